//! Memory that was freed on lanes and not given back to the system. Allocators keep what a thread has
//! freed for that thread and look through it when the thread goes on freeing: one that has come to rest
//! after a lot of work holds it for ever. Which allocator there is, the program knows.

use std::sync::OnceLock;

/// How often lanes give back what is free, in beats of [`crate::run`], which are a second each: rare
/// enough that a busy lane, which needs the memory again, notices nothing.
pub(crate) const BEATS: u64 = 3;

static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// Lets every lane call `give_back` on its thread every 3 s, to return to the system what the allocator
/// keeps for this thread. For programs that choose an allocator, before a topology starts; a second call
/// changes nothing.
pub fn give_back_with(give_back: fn()) {
    let _ = GIVE_BACK.set(give_back);
}

pub(crate) fn give_back() {
    if let Some(give_back) = GIVE_BACK.get() {
        give_back();
    }
}
