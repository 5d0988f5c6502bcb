//! How much of a spout is in flight, over all its lanes, in records and bytes.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::ledger::Released;

/// The bound on what a spout has handed out and not settled.
#[derive(Debug)]
pub(crate) struct InFlight {
    records: AtomicUsize,
    bytes: AtomicUsize,
    records_max: usize,
    bytes_max: usize,
    released: Notify,
}

impl InFlight {
    pub(crate) fn new(records_max: usize, bytes_max: usize) -> Self {
        Self {
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            records_max,
            bytes_max,
            released: Notify::new(),
        }
    }

    /// Whether another batch may be read. With nothing in flight always: a batch larger than the
    /// bounds must not wait for ever.
    pub(crate) fn has_room(&self) -> bool {
        let records = self.records.load(Ordering::Acquire);
        records == 0
            || (records < self.records_max && self.bytes.load(Ordering::Acquire) < self.bytes_max)
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
