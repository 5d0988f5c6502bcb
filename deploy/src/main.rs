//! The `isobar` program.

use std::process::ExitCode;

use isobar_topology::memory::{self, GiveBack};

/// Many small buffers are made on one thread and freed on another; this one is fast at that and gives
/// memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::give_back_with(GiveBack {
        of_thread,
        of_process: isobar::c_memory::give_back,
    });
    isobar::main_with(isobar_operators::registry())
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
