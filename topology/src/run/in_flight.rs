//! How much of a spout is in flight, over all its lanes, in records and bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::ledger::Released;

/// The bound on what a spout has handed out and not settled.
#[derive(Debug)]
pub(crate) struct InFlight {
    records: AtomicUsize,
    bytes: AtomicUsize,
    /// Of these, records and bytes that wait for room themselves.
    parked: (AtomicUsize, AtomicUsize),
    records_max: usize,
    bytes_max: usize,
    released: Notify,
}

impl InFlight {
    pub(crate) fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            parked: Default::default(),
            records_max,
            bytes_max,
            released: Notify::new(),
        }
    }

    /// Whether another batch may be read. With nothing in flight always: a batch larger than the
    /// bounds must not wait for ever.
    pub(crate) fn has_room(&self) -> bool {
        let (records, bytes) = self.now();
        // Between two counts a difference may be off by what just came or went, but never below 0.
        let records = records.saturating_sub(self.parked.0.load(Ordering::Acquire));
        let bytes = bytes.saturating_sub(self.parked.1.load(Ordering::Acquire));
        records == 0 || (records < self.records_max && bytes < self.bytes_max)
    }

    pub(crate) fn add(&self, records: usize, bytes: usize) {
        let _ = self.records.fetch_add(records, Ordering::AcqRel);
        let _ = self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(crate) fn release(&self, released: Released) {
        if released == Released::default() {
            return;
        }
        let _ = self.bytes.fetch_sub(released.bytes, Ordering::AcqRel);
        let _ = self.records.fetch_sub(released.records, Ordering::AcqRel);
        self.released.notify_waiters();
    }

    /// Takes records that were added out of the way until there is room for them.
    pub(crate) fn park(self: &Arc<Self>, records: usize, bytes: usize) -> Parked {
        let _ = self.parked.0.fetch_add(records, Ordering::AcqRel);
        let _ = self.parked.1.fetch_add(bytes, Ordering::AcqRel);
        Parked {
            of: Arc::clone(self),
            records,
            bytes,
        }
    }

    /// Waits for room. Cancel-safe.
    pub(crate) async fn room(&self) {
        loop {
            let released = self.released.notified();
            if self.has_room() {
                return;
            }
            released.await;
        }
    }

    /// Records and bytes in flight.
    pub(crate) fn now(&self) -> (usize, usize) {
        (
            self.records.load(Ordering::Acquire),
            self.bytes.load(Ordering::Acquire),
        )
    }
}

/// Records that wait for room, until this is dropped.
#[derive(Debug)]
pub(crate) struct Parked {
    of: Arc<InFlight>,
    records: usize,
    bytes: usize,
}

impl Drop for Parked {
    fn drop(&mut self) {
        let _ = self.of.parked.0.fetch_sub(self.records, Ordering::AcqRel);
        let _ = self.of.parked.1.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
