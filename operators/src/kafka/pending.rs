//! Batches of records that wait for the brokers: counts each batch down and answers it as a whole.
//!
//! A delivered record costs two atomic operations: no future, no lock and no allocation per record.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, Semaphore, oneshot};

use super::log::lock;
use super::producer::{DeliveryError, Failures};

/// Most batches that wait at once; a batch beyond waits for one of them. A record names its batch
/// and its position in 32 bits each.
const BATCHES: usize = 1024;

pub(crate) struct Pending {
    slots: Vec<Slot>,
    free: Mutex<Vec<usize>>,
    available: Semaphore,
    /// Records on their way.
    records: AtomicUsize,
    /// Senders that wait for room in the client's queue.
    waiting: AtomicUsize,
    /// They are woken when no more records than this are in the queue.
    wake_below: AtomicUsize,
    room: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct Slot {
    /// Records without an answer, and 1 while the batch is being handed over.
    open: AtomicUsize,
    failures: Mutex<Failures>,
    answer: Mutex<Option<oneshot::Sender<Failures>>>,
}

impl Pending {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            slots: (0..BATCHES).map(|_| Slot::default()).collect(),
            free: Mutex::new((0..BATCHES).collect()),
            available: Semaphore::new(BATCHES),
            records: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            wake_below: AtomicUsize::new(0),
            room: Notify::new(),
            emptied: Notify::new(),
        })
    }

    /// Starts a batch; waits while too many are open.
    pub(crate) async fn open(self: Arc<Self>) -> (Enqueuing, oneshot::Receiver<Failures>) {
        let permit = self.available.acquire().await;
        permit.expect("the semaphore is never closed").forget();
        let slot = lock(&self.free)
            .pop()
            .expect("each permit stands for a free slot");
        let (answer, answered) = oneshot::channel();
        *lock(&self.slots[slot].answer) = Some(answer);
        self.slots[slot].open.store(1, Ordering::Relaxed);
        let batch = Enqueuing {
            pending: self,
            slot,
            position: 0,
        };
        (batch, answered)
    }

    /// Notes that the broker has a record.
    pub(crate) fn delivered(&self, record: usize) {
        self.left();
        self.settle(record >> 32);
    }

    /// Notes that a record was not produced.
    pub(crate) fn failed(&self, record: usize, error: DeliveryError) {
        let position = (record & 0xFFFF_FFFF) as u32;
        lock(&self.slots[record >> 32].failures).push((position, error));
        self.left();
        self.settle(record >> 32);
    }

    /// Returns the wake-up of a full queue; to be enabled before the queue is tried.
    pub(crate) fn room(&self) -> tokio::sync::futures::Notified<'_> {
        self.room.notified()
    }

    /// Waits until a good part of what fills the queue has left. `room` was enabled before the
    /// queue was tried.
    pub(crate) async fn wait_for(&self, room: impl Future<Output = ()>) {
        let _waiting = Waiting::new(&self.waiting);
        let queued = self.queued();
        let goal = queued - queued.div_ceil(4);
        self.wake_below.store(goal, Ordering::SeqCst);
        // Again, since records may have left before anybody saw that somebody waits for it.
        if self.queued() > goal {
            room.await;
        } else {
            self.room.notify_waiters();
            tokio::task::yield_now().await;
        }
    }

    /// Returns how many records are in the client's queue: those on their way without those in
    /// the hands of waiting senders.
    fn queued(&self) -> usize {
        let waiting = self.waiting.load(Ordering::SeqCst);
        self.records.load(Ordering::SeqCst).saturating_sub(waiting)
    }

    pub(crate) fn records(&self) -> usize {
        self.records.load(Ordering::SeqCst)
    }

    /// Waits until no record is on its way.
    pub(crate) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            let _ = emptied.as_mut().enable();
            if self.records() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn left(&self) {
        let records = self.records.fetch_sub(1, Ordering::SeqCst) - 1;
        let waiting = self.waiting.load(Ordering::SeqCst);
        if waiting > 0 && records.saturating_sub(waiting) <= self.wake_below.load(Ordering::SeqCst)
        {
            self.room.notify_waiters();
        }
        if records == 0 {
            self.emptied.notify_waiters();
        }
    }

    /// Counts down; the last one answers the batch and frees its slot.
    fn settle(&self, slot: usize) {
        if self.slots[slot].open.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let failures = std::mem::take(&mut *lock(&self.slots[slot].failures));
        if let Some(answer) = lock(&self.slots[slot].answer).take() {
            // Whoever sent the batch may have stopped waiting.
            let _ = answer.send(failures);
        }
        lock(&self.free).push(slot);
        self.available.add_permits(1);
    }
}

/// A batch while it is handed over; it cannot be answered before this is dropped.
pub(crate) struct Enqueuing {
    pending: Arc<Pending>,
    slot: usize,
    position: u32,
}

impl Enqueuing {
    /// Counts one more record and returns the number that names it in its delivery.
    pub(crate) fn next(&mut self) -> usize {
        let _ = self.pending.slots[self.slot]
            .open
            .fetch_add(1, Ordering::Relaxed);
        let _ = self.pending.records.fetch_add(1, Ordering::SeqCst);
        let record = (self.slot << 32) | self.position as usize;
        self.position += 1;
        record
    }
}

impl Drop for Enqueuing {
    fn drop(&mut self) {
        self.pending.settle(self.slot);
    }
}

/// Counts a sender that waits, also when its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        let _ = waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let _ = self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::error::RDKafkaErrorCode;

    fn error() -> DeliveryError {
        DeliveryError {
            code: RDKafkaErrorCode::MessageSizeTooLarge,
            topic: "t".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_batch_is_answered_when_all_of_it_is_and_not_before() {
        let pending = Pending::new();
        let (mut batch, mut answered) = Arc::clone(&pending).open().await;
        let records = [batch.next(), batch.next(), batch.next()];
        pending.delivered(records[0]);
        pending.failed(records[2], error());
        pending.delivered(records[1]);
        assert!(
            answered.try_recv().is_err(),
            "it is still being handed over"
        );
        drop(batch);
        assert_eq!(answered.await.expect("it is answered"), [(2, error())]);
        assert_eq!(pending.records(), 0);
        pending.empty().await;
    }

    #[tokio::test]
    async fn batches_do_not_mix_and_slots_are_used_again() {
        let pending = Pending::new();
        for round in 0..3 * BATCHES {
            let (mut one, first) = Arc::clone(&pending).open().await;
            let (mut two, second) = Arc::clone(&pending).open().await;
            let (a, b) = (one.next(), two.next());
            drop((one, two));
            pending.failed(b, error());
            pending.delivered(a);
            assert!(first.await.expect("answered").is_empty(), "round {round}");
            assert_eq!(second.await.expect("answered").len(), 1);
        }
    }

    #[tokio::test]
    async fn an_empty_batch_is_answered_at_once() {
        let (batch, answered) = Pending::new().open().await;
        drop(batch);
        assert!(answered.await.expect("answered").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_beyond_the_most_waits_for_another_one() {
        let pending = Pending::new();
        let mut open = Vec::new();
        for _ in 0..BATCHES {
            open.push(Arc::clone(&pending).open().await);
        }
        let beyond = Arc::clone(&pending).open();
        let soon = std::time::Duration::from_secs(1);
        assert!(tokio::time::timeout(soon, beyond).await.is_err());
        drop(open.pop());
        let beyond = Arc::clone(&pending).open();
        assert!(tokio::time::timeout(soon, beyond).await.is_ok());
    }
}
