//! What the C library does with memory that librdkafka and OpenSSL take from it.

/// Has it keep what librdkafka frees until [`give_back`]. By default it returns buffers of the size of a fetch at
/// once and takes them anew, page by page, for the next one: a tenth of the CPU time of reading, parsing and
/// indexing. To be called before other threads run (mallopt(3)).
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the C library offers it to C only")
)]
pub fn keep_between_fetches() {
    /// In bytes. Responses of brokers are of a few MiB at most.
    #[cfg(target_env = "gnu")]
    const APART: i32 = 8 << 20;
    /// In bytes, for each thread of a client at most.
    #[cfg(target_env = "gnu")]
    const KEPT: i32 = 32 << 20;
    // SAFETY: it takes two numbers. Where they are refused, all stays as it was.
    #[cfg(target_env = "gnu")]
    let _ = unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, APART) + libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT)
    };
}

/// Gives back to the system what is free.
#[cfg_attr(
    target_env = "gnu",
    expect(unsafe_code, reason = "the C library offers it to C only")
)]
pub fn give_back() {
    // SAFETY: any thread may call it; it works under the locks of the allocator (malloc_trim(3)).
    #[cfg(target_env = "gnu")]
    let _ = unsafe { libc::malloc_trim(0) };
}
