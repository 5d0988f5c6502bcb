//! Waiting for something outside this process, always with a limit. The one place of the testkit that
//! reads the real clock: paused time is for tests of the library crates, and these wait for programs.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long a probe waits before it asks again. 50 ms is short against the seconds that a service
/// needs to start, and costs it nothing.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// The monotonic time, for deadlines and for printing how long a step took.
#[expect(
    clippy::disallowed_methods,
    reason = "programs outside this process know no paused time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits without doing anything. For spacing probes; never for hoping that something has happened.
pub fn rest(time: Duration) {
    let end = now() + time;
    while let Some(left) = end
        .checked_duration_since(now())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}

/// Asks `probe` every [`PROBE_INTERVAL`] until it gives a value, and fails after `limit` with `what`
/// and the last reason that the probe gave. An `Err` from the probe means "not yet, because".
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<T>) -> Result<T> {
    let end = now() + limit;
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(reason) if now() >= end => bail!("{what}: not within {limit:?}: {reason:#}"),
            Err(_) => rest(PROBE_INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_asked_until_it_answers() {
        let mut asked = 0;
        let answer = until("third time", Duration::from_secs(10), || {
            asked += 1;
            if asked < 3 {
                bail!("only {asked}")
            }
            Ok(asked)
        });
        assert_eq!(answer.expect("the third probe answers"), 3);
    }

    #[test]
    fn a_wait_that_ends_says_what_for_and_why() {
        let error = until::<()>("the moon", Duration::ZERO, || bail!("it is day"))
            .expect_err("the probe never answers");
        assert_eq!(error.to_string(), "the moon: not within 0ns: it is day");
    }
}
