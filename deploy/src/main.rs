//! The `isobar` program.

use std::process::ExitCode;

/// Many small buffers are made on one thread and freed on another; this one is fast at that and gives
/// memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    isobar::main_with(isobar_operators::registry())
}
