//! What a program used in all, as the kernel adds it up when the program ends.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Result, bail};

/// What a program and the children that it waited for used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// How it ended.
    pub status: ExitStatus,
    /// CPU time, user and system, in steps of 1 µs.
    pub cpu: Duration,
    /// The most memory that was seen resident, in bytes, within 20 ms of the end. Not what the kernel adds
    /// up, which has in it what the parent had resident when it made the process.
    pub peak_memory: u64,
}

/// Takes the end of a child, if it has ended, with the CPU time that it used: afterwards nobody else can
/// wait for it.
#[expect(
    unsafe_code,
    reason = "neither the standard library nor rustix gives the usage of one child"
)]
pub(super) fn take_ended(id: u32) -> Result<Option<(ExitStatus, Duration)>> {
    let id = libc::pid_t::try_from(id)?;
    let mut status = 0;
    // SAFETY: all-zero is a value of this struct of integers; both pointers are to live places.
    let (ended, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let ended = libc::wait4(id, &raw mut status, libc::WNOHANG, &raw mut usage);
        (ended, usage)
    };
    if ended < 0 {
        bail!("cannot wait: {}", std::io::Error::last_os_error());
    }
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    Ok((ended == id).then(|| {
        let cpu = time(usage.ru_utime) + time(usage.ru_stime);
        (ExitStatus::from_raw(status), cpu)
    }))
}
