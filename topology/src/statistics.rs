//! Counters of a running topology that are not part of the account: per bolt, updated once per batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a bolt did since the start, over all lanes.
#[derive(Debug, Default)]
pub struct BoltStatistics {
    batches: AtomicU64,
    records: AtomicU64,
    rejected: AtomicU64,
    failures: AtomicU64,
    restarts: AtomicU64,
    busy_us: AtomicU64,
}

/// A copy of [`BoltStatistics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoltCounts {
    /// Batches taken.
    pub batches: u64,
    /// Records taken, those sent again included.
    pub records: u64,
    /// Records emitted on `rejected`.
    pub rejected: u64,
    /// Calls that ended in an error or a panic.
    pub failures: u64,
    /// Times that the bolt was made anew after a panic.
    pub restarts: u64,
    /// Time inside the bolt, waiting for room at an outside system included.
    pub busy: Duration,
}

impl BoltStatistics {
    pub(crate) fn count_call(&self, records: usize, busy: Duration) {
        let _ = self.batches.fetch_add(1, Ordering::Relaxed);
        let _ = self.records.fetch_add(records as u64, Ordering::Relaxed);
        let _ = self
            .busy_us
            .fetch_add(busy.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_rejected(&self, records: usize) {
        let _ = self.rejected.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self) {
        let _ = self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_restart(&self) {
        let _ = self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// A copy of the counters; each is right on its own.
    pub fn counts(self: &Arc<Self>) -> BoltCounts {
        BoltCounts {
            batches: self.batches.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            busy: Duration::from_micros(self.busy_us.load(Ordering::Relaxed)),
        }
    }
}
