//! The `isobar` program.

use std::process::ExitCode;

use isobar_topology::memory::{self, GiveBack};

/// Many small buffers are made on one thread and freed on another; this one is fast at that and gives
/// memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keep_between_fetches();
    memory::give_back_with(GiveBack {
        of_thread,
        of_process,
    });
    isobar::main_with(isobar_operators::registry())
}

/// Has the C library keep what librdkafka frees until [`of_process`] gives it back. By default it returns buffers
/// of the size of a fetch at once and takes them anew, page by page, for the next one: a tenth of the CPU time
/// of reading, parsing and indexing.
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the C library offers it to C only")
)]
fn keep_between_fetches() {
    /// In bytes. Responses of brokers are of a few MiB at most.
    #[cfg(target_env = "gnu")]
    const APART: i32 = 8 << 20;
    /// In bytes, for each thread of a client at most.
    #[cfg(target_env = "gnu")]
    const KEPT: i32 = 32 << 20;
    // SAFETY: nothing else runs yet (mallopt(3)). Where it is refused, all stays as it was.
    #[cfg(target_env = "gnu")]
    let _ = unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, APART) + libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT)
    };
}

/// Gives back what this thread has freed.
#[expect(unsafe_code, reason = "the allocator offers it to C only")]
fn of_thread() {
    unsafe extern "C" {
        /// From `mimalloc.h`; with `force` also what was freed a moment ago.
        fn mi_collect(force: bool);
    }
    // SAFETY: any thread may call it at any time; it touches nothing that is in use.
    unsafe { mi_collect(true) }
}

/// Gives back what is free of the memory that librdkafka and OpenSSL take from the C library.
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the C library offers it to C only")
)]
fn of_process() {
    // SAFETY: any thread may call it; it works under the locks of the allocator (malloc_trim(3)).
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}
