//! Whether a spout reads: an operator can stop the reading for a while and let it go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock;

/// The wish of an operator about one spout, shared by all its lanes. It is of this run: a topology that is
/// started again reads.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    times: Mutex<Times>,
    moved: Notify,
}

/// In ms since 1970.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    /// Since when it is paused.
    since: Option<i64>,
    /// When it last read again.
    resumed: Option<i64>,
}

impl Pause {
    /// Stops the reading, or lets it go on; tells whether that is a change.
    pub(crate) fn set(&self, paused: bool) -> bool {
        let mut times = self.lock();
        if times.since.is_some() == paused {
            return false;
        }
        let now = Some(clock::unix_ms());
        *times = match paused {
            true => Times {
                since: now,
                ..*times
            },
            false => Times {
                since: None,
                resumed: now,
            },
        };
        drop(times);
        self.moved.notify_waiters();
        true
    }

    /// Since when it is paused, in ms since 1970.
    pub(crate) fn since(&self) -> Option<i64> {
        self.lock().since
    }

    /// When it last read again after a pause, in ms since 1970.
    pub(crate) fn resumed(&self) -> Option<i64> {
        self.lock().resumed
    }

    /// Waits until it is no longer as the caller saw it. Cancel-safe.
    pub(crate) async fn after(&self, seen: bool) {
        loop {
            let moved = self.moved.notified();
            if self.since().is_some() != seen {
                return;
            }
            moved.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
