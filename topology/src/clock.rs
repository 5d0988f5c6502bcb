//! The one source of time, so that tests which pause tokio's clock pause everything.
//!
//! Knows nothing of time zones or formats.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

pub use tokio::time::Instant;

/// Returns the monotonic time; under a paused tokio clock it moves only when the test moves it.
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the wall-clock time in milliseconds since 1970-01-01T00:00:00Z.
///
/// It is read from the system once per process and carried forward by [`now`], so that it never
/// jumps back while a topology runs and stands still under a paused clock.
pub fn unix_ms() -> i64 {
    if let Some(ms) = PINNED.get() {
        return ms;
    }
    static START: OnceLock<(Instant, Duration)> = OnceLock::new();
    let (start, wall) = *START.get_or_init(|| (Instant::now(), system_time()));
    let elapsed = Instant::now().saturating_duration_since(start);
    i64::try_from((wall + elapsed).as_millis()).unwrap_or(i64::MAX)
}

thread_local! {
    static PINNED: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Lets [`unix_ms`] give this time on this thread until the guard is dropped, for rehearsals that take
/// place at another time.
pub(crate) fn pin(ms: i64) -> Pinned {
    Pinned {
        before: PINNED.replace(Some(ms)),
        _here: PhantomData,
    }
}

/// The wall clock stands still.
pub(crate) struct Pinned {
    before: Option<i64>,
    /// It belongs to its thread.
    _here: PhantomData<*const ()>,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        PINNED.set(self.before);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the system for the wall-clock time"
)]
fn system_time() -> Duration {
    std::time::SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
