//! Counters of a running topology that are not part of the account: per bolt, updated once per batch.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::batch::Batch;
use crate::request_times::RequestTimes;

/// What a bolt did since the start, over all lanes.
#[derive(Debug, Default)]
pub struct BoltStatistics {
    batches: AtomicU64,
    again: AtomicU64,
    records: AtomicU64,
    rejected: Mutex<BTreeMap<&'static str, Rejected>>,
    failures: AtomicU64,
    restarts: AtomicU64,
    busy_us: AtomicU64,
    /// Copies that are open.
    open: AtomicUsize,
    own: Counters,
    request_times: RequestTimes,
}

/// Records that were rejected for reasons of one class.
#[derive(Debug, Default)]
struct Rejected {
    count: u64,
    /// A reason that was given lately.
    reason: Cow<'static, str>,
}

/// A copy of [`BoltStatistics`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoltCounts {
    /// Batches taken.
    pub batches: u64,
    /// Records taken, those sent again included.
    pub records: u64,
    /// Those of them that were sent again after a failure.
    pub again: u64,
    /// Records that left on `rejected`, because the bolt or the runtime gave them up; those sent again
    /// included.
    pub rejected: u64,
    /// Calls that ended in an error or a panic.
    pub failures: u64,
    /// Times that the bolt was made anew after a panic.
    pub restarts: u64,
    /// Time inside the bolt, waiting for room at an outside system included.
    pub busy: Duration,
}

impl BoltStatistics {
    pub(crate) fn count_call(&self, records: usize, is_again: bool, busy: Duration) {
        let _ = self.batches.fetch_add(1, Ordering::Relaxed);
        let _ = self.records.fetch_add(records as u64, Ordering::Relaxed);
        if is_again {
            let _ = self.again.fetch_add(records as u64, Ordering::Relaxed);
        }
        let _ = self
            .busy_us
            .fetch_add(busy.as_micros() as u64, Ordering::Relaxed);
    }

    /// Counts a batch that leaves on `rejected`. There are as many classes as the code has words for.
    pub(crate) fn count_rejected(&self, batch: &Batch) {
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        for row in 0..batch.len() {
            let class = batch.rejection(row).map_or("unknown", |why| why.class);
            rejected.entry(class).or_default().count += 1;
        }
        // One of each batch is enough to show.
        let last = batch.len().checked_sub(1);
        if let Some(why) = last.and_then(|row| batch.rejection(row)) {
            rejected.entry(why.class).or_default().reason = why.reason.clone();
        }
    }

    /// Records that left on `rejected`, by the class of the reason.
    pub fn rejected_by_class(&self) -> BTreeMap<&'static str, u64> {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let rejected = rejected.iter();
        rejected.map(|(class, of)| (*class, of.count)).collect()
    }

    /// A reason that was given lately, by its class. It may quote the record.
    pub fn rejected_lately(&self) -> BTreeMap<&'static str, String> {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        let rejected = rejected.iter();
        rejected
            .map(|(class, of)| (*class, of.reason.to_string()))
            .collect()
    }

    pub(crate) fn count_failure(&self) {
        let _ = self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_restart(&self) {
        let _ = self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a copy was opened, or that an open one is gone.
    pub(crate) fn count_opened(&self, opened: bool) {
        let _ = match opened {
            true => self.open.fetch_add(1, Ordering::AcqRel),
            false => self.open.fetch_sub(1, Ordering::AcqRel),
        };
    }

    /// Copies that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// The counters that the bolt's type defines.
    pub fn own(&self) -> &Counters {
        &self.own
    }

    /// How long its requests to outside systems took.
    pub fn request_times(&self) -> &RequestTimes {
        &self.request_times
    }

    /// A copy of the counters; each is right on its own.
    pub fn counts(self: &Arc<Self>) -> BoltCounts {
        BoltCounts {
            batches: self.batches.load(Ordering::Relaxed),
            again: self.again.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            rejected: self.rejected_by_class().values().sum(),
            failures: self.failures.load(Ordering::Relaxed),
            restarts: self.restarts.load(Ordering::Relaxed),
            busy: Duration::from_micros(self.busy_us.load(Ordering::Relaxed)),
        }
    }
}

/// Counters that a type of spout or bolt defines for itself: summed over lanes, kept when a bolt is made anew.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Mutex<Vec<NamedCounter>>>);

#[derive(Debug)]
struct NamedCounter {
    name: &'static str,
    help: &'static str,
    counter: Counter,
}

impl Counters {
    /// The counter of this name, made with 0 at the first call; later calls, from any lane, give the
    /// same one. `name` is what metrics call it: lower-case words joined by `_`. `help` says in one
    /// sentence what it counts.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| known.name == name) {
            return known.counter.clone();
        }
        let counter = Counter::default();
        known.push(NamedCounter {
            name,
            help,
            counter: counter.clone(),
        });
        counter
    }

    /// Name, help and value of each, in the order in which they were made.
    pub fn values(&self) -> Vec<(&'static str, &'static str, u64)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .map(|known| (known.name, known.help, known.counter.get()))
            .collect()
    }
}

/// One counter of [`Counters`]: get it once when the bolt is made, add to it once per batch.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        if n > 0 {
            let _ = self.0.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// The sum over all lanes.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_one_name_are_one_counter() {
        let counters = Counters::default();
        let other_lane = counters.clone();
        let hits = counters.counter("hits", "Keys found.");
        counters.counter("misses", "Keys not found.").add(0);
        hits.add(2);
        other_lane.counter("hits", "Keys found.").add(3);
        assert_eq!(hits.get(), 5);
        assert_eq!(
            counters.values(),
            [("hits", "Keys found.", 5), ("misses", "Keys not found.", 0)]
        );
    }
}
