//! Memory that was freed on lanes and not given back to the system. Allocators keep what a thread has
//! freed for that thread and look through it when the thread goes on freeing: one that has come to rest
//! after a lot of work holds it for ever. Which allocator there is, the program knows.

use std::sync::OnceLock;

/// How often lanes give back what is free, in beats of [`crate::run`], which are a second each: rare
/// enough that a busy lane, which needs the memory again, notices nothing.
pub(crate) const BEATS: u64 = 3;

static GIVE_BACK: OnceLock<GiveBack> = OnceLock::new();

/// How the program's allocators return to the system what was freed and is kept.
#[derive(Debug)]
pub struct GiveBack {
    /// What is kept for the thread that calls this.
    pub of_thread: fn(),
    /// What is kept for all threads together.
    pub of_process: fn(),
}

/// Lets a topology give memory back every 3 s: every lane what is kept for its thread, and the first one
/// what is kept for all. For programs that choose an allocator, before a topology starts; a second call
/// changes nothing.
pub fn give_back_with(give_back: GiveBack) {
    let _ = GIVE_BACK.set(give_back);
}

/// Gives back what is kept for the calling thread: for threads beside the lanes, after work with large
/// buffers. Does nothing unless the program has [said how](give_back_with).
pub fn give_back_of_thread() {
    if let Some(give_back) = GIVE_BACK.get() {
        (give_back.of_thread)();
    }
}

/// Gives back what a lane has to, on its thread.
pub(crate) fn give_back(lane: usize) {
    give_back_of_thread();
    if lane == 0
        && let Some(give_back) = GIVE_BACK.get()
    {
        (give_back.of_process)();
    }
}
