//! The `isobar` program.

use std::process::ExitCode;

/// Many small buffers are made on one thread and freed on another; this one is fast at that and gives
/// memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    isobar_topology::memory::give_back_with(give_back);
    isobar::main_with(isobar_operators::registry())
}

/// Gives back what this thread has freed, and what is free of the memory that librdkafka and OpenSSL
/// take from the C library.
#[expect(unsafe_code, reason = "the allocators offer it to C only")]
fn give_back() {
    unsafe extern "C" {
        /// From `mimalloc.h`; with `force` also what was freed a moment ago.
        fn mi_collect(force: bool);
    }
    // SAFETY: any thread may call it at any time; it touches nothing that is in use.
    unsafe { mi_collect(true) };
    // SAFETY: as above, under the locks of the allocator (malloc_trim(3)).
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}
