//! The program with its own allocator and a counter in front: how many allocations a run takes. The
//! last line on standard error is `allocations N`. What librdkafka and OpenSSL take from libc is not
//! in it. It has the operators of `constant.rs` besides its own.

mod constant;

use std::alloc::{GlobalAlloc, Layout};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts, and hands on to the allocator of the program.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every call is handed on unchanged to an allocator that keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { mimalloc::MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { mimalloc::MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { mimalloc::MiMalloc.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { mimalloc::MiMalloc.dealloc(at, layout) }
    }
}

fn main() -> ExitCode {
    let mut registry = isobar_operators::registry();
    registry.spouts.push(constant::CONSTANT);
    registry.bolts.push(constant::IDENTITY);
    let exit = isobar::main_with(registry);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    // Nobody may be listening any more; that is the reader's matter.
    let _ = writeln!(std::io::stderr(), "allocations {allocations}");
    exit
}
