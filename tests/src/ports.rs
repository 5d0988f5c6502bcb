//! Free ports on the loopback address for services that must be told theirs before they start.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Result, bail};

/// The range searched. It lies below the ports that Linux gives to outgoing connections (32768 and up
/// by default): otherwise a client could take a service's port while that service is down for a restart.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// Finds a port that nothing listens on, never the same one twice in a process. Fails when the whole
/// range is taken. Two processes start their search at different places; the service that loses a race
/// all the same fails to start and says so.
pub fn free() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = RANGE.end - RANGE.start;
    let offset = (std::process::id().wrapping_mul(61) % u32::from(span)) as u16;
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = RANGE.start + (offset.wrapping_add(step)) % span;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", RANGE.start, RANGE.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_never_given() {
        let first = free().expect("some port is free");
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).expect("the port is free");
        let second = free().expect("another port is free");
        assert_ne!(first, second);
        assert!(RANGE.contains(&second));
    }
}
