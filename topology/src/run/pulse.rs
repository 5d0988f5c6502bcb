//! Signs of life of a lane, so that a thread that an operator blocks is seen from outside.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::LaneLife;
use crate::clock;

/// When a lane was last seen at work.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// In ms since 1970; 0 before the first beat.
    last: AtomicI64,
    ended: AtomicBool,
}

impl Pulse {
    /// The pace of the beats; the first is at once.
    pub(crate) fn interval() -> Interval {
        let mut interval = tokio::time::interval(Duration::from_secs(1));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    }

    pub(crate) fn beat(&self) {
        self.last.store(clock::unix_ms(), Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn life(&self) -> LaneLife {
        let last = self.last.load(Ordering::Relaxed);
        let quiet = u64::try_from(clock::unix_ms() - last).unwrap_or(0);
        LaneLife {
            ended: self.ended.load(Ordering::Relaxed),
            quiet: (last > 0).then(|| Duration::from_millis(quiet)),
        }
    }
}
