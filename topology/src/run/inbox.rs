//! A bounded queue of batches into a bolt task: bounded by batches and by bytes.
//!
//! Not a channel, since the policy of an edge may take back what waits longest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::batch::Batch;
use crate::outcome::Policy;

/// What arrives at a bolt task.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The bolt, by its number in the plan.
    pub(crate) bolt: usize,
    pub(crate) batch: Batch,
    /// Its bytes, given back with the delivery.
    _room: OwnedSemaphorePermit,
}

/// A delivery that waits.
#[derive(Debug)]
struct Waiting {
    delivery: Delivery,
    /// By which policy it may be taken back.
    replaceable: Option<Policy>,
    /// Given back when it leaves the queue.
    _place: OwnedSemaphorePermit,
}

/// The end of an edge that bolts and spouts send into.
#[derive(Clone, Debug)]
pub(crate) struct Sender(Arc<Queue>);

/// The end of the task. Dropping it closes the queue.
#[derive(Debug)]
pub(crate) struct Receiver(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    waiting: Mutex<VecDeque<Waiting>>,
    arrived: Notify,
    /// Closed with the queue.
    places: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: u32,
}

/// Makes a queue for at most `batches` batches (≥ 1) and `bytes` bytes; a larger batch is admitted
/// when the queue holds nothing else.
pub(crate) fn inbox(batches: usize, bytes: usize) -> (Sender, Receiver) {
    let bytes_max = u32::try_from(bytes.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let queue = Arc::new(Queue {
        waiting: Mutex::default(),
        arrived: Notify::new(),
        places: Arc::new(Semaphore::new(batches.clamp(1, Semaphore::MAX_PERMITS))),
        bytes: Arc::new(Semaphore::new(bytes_max as usize)),
        bytes_max,
    });
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        // Nothing panics while it holds this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes_of(&self, batch: &Batch) -> u32 {
        let size = u32::try_from(batch.size()).unwrap_or(u32::MAX);
        size.min(self.bytes_max)
    }

    fn push(&self, one: Waiting) {
        let mut waiting = self.waiting();
        // Nobody will take it, so dropping it fails it.
        if !self.places.is_closed() {
            waiting.push_back(one);
            drop(waiting);
            self.arrived.notify_one();
        }
    }
}

impl Sender {
    /// Waits for room and sends. When the task is gone the batch is dropped, which fails it.
    pub(crate) async fn send(&self, bolt: usize, batch: Batch) {
        let Self(queue) = self;
        let size = queue.bytes_of(&batch);
        let Ok(bytes) = Arc::clone(&queue.bytes).acquire_many_owned(size).await else {
            return;
        };
        let Ok(place) = Arc::clone(&queue.places).acquire_owned().await else {
            return;
        };
        queue.push(Waiting {
            delivery: Delivery {
                bolt,
                batch,
                _room: bytes,
            },
            replaceable: None,
            _place: place,
        });
    }

    /// Sends if there is room, and gives the batch back if there is none; while it waits it may be taken back by
    /// the policy `replaceable`.
    pub(crate) fn try_send(
        &self,
        bolt: usize,
        batch: Batch,
        replaceable: Option<Policy>,
    ) -> Option<Batch> {
        let Self(queue) = self;
        let size = queue.bytes_of(&batch);
        let bytes = Arc::clone(&queue.bytes).try_acquire_many_owned(size);
        let place = Arc::clone(&queue.places).try_acquire_owned();
        let (Ok(bytes), Ok(place)) = (bytes, place) else {
            return Some(batch);
        };
        queue.push(Waiting {
            delivery: Delivery {
                bolt,
                batch,
                _room: bytes,
            },
            replaceable,
            _place: place,
        });
        None
    }

    /// Takes back the batch that waits longest of those that this policy may take back.
    pub(crate) fn take_back(&self, policy: Policy) -> Option<Batch> {
        let mut waiting = self.0.waiting();
        let mut oldest = waiting.iter();
        let oldest = oldest.position(|one| one.replaceable == Some(policy))?;
        waiting.remove(oldest).map(|one| one.delivery.batch)
    }

    /// Whether nobody will take what is sent.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.places.is_closed()
    }

    /// Batches waiting.
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting().len()
    }
}

impl Receiver {
    /// Waits for the next batch. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Delivery {
        loop {
            // An inbox that is never empty must not keep the lane from its other tasks.
            tokio::task::coop::consume_budget().await;
            let oldest = self.0.waiting().pop_front();
            if let Some(oldest) = oldest {
                return oldest.delivery;
            }
            self.0.arrived.notified().await;
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.waiting().is_empty()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        self.0.places.close();
        self.0.bytes.close();
        let left = std::mem::take(&mut *waiting);
        drop(waiting);
        // Acks answer outside of the lock.
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use proptest::prelude::*;

    use super::*;
    use crate::symbol::Symbols;
    use crate::testing::{Harness, Input, policy};

    proptest! {
        /// Whatever is sent, taken and taken back: there is room for so many, what waits keeps its order,
        /// and a policy takes back its own alone, the oldest first.
        #[test]
        fn what_waits_is_bounded_and_in_order(
            places in 1usize..5,
            steps in prop::collection::vec(0u8..5, 0..60),
        ) {
            let mut harness = Harness::new(Symbols::new());
            let (sender, mut receiver) = inbox(places, 1 << 30);
            // The lengths of the batches tell them apart.
            let mut waiting: VecDeque<(usize, Option<Policy>)> = VecDeque::new();
            for (number, step) in steps.into_iter().enumerate() {
                let records = number + 1;
                match step {
                    0..3 => {
                        let replaceable = (step > 0).then(|| policy(step.into()));
                        let batch = harness.batch(&vec![Input::raw("x"); records]);
                        let sent = sender.try_send(0, batch, replaceable).is_none();
                        prop_assert_eq!(sent, waiting.len() < places);
                        if sent {
                            waiting.push_back((records, replaceable));
                        }
                    }
                    3 => {
                        let oldest = waiting.iter().position(|(_, by)| *by == Some(policy(1)));
                        let expected = oldest.and_then(|at| waiting.remove(at));
                        let taken = sender.take_back(policy(1));
                        prop_assert_eq!(taken.map(|batch| batch.len()), expected.map(|one| one.0));
                    }
                    _ => {
                        let taken = receiver.recv().now_or_never();
                        let taken = taken.map(|delivery| delivery.batch.len());
                        prop_assert_eq!(taken, waiting.pop_front().map(|one| one.0));
                    }
                }
                prop_assert_eq!(sender.waiting(), waiting.len());
                prop_assert_eq!(receiver.is_empty(), waiting.is_empty());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_too_large_is_alone_and_a_closed_queue_fails_what_comes() {
        let mut harness = Harness::new(Symbols::new());
        let (sender, mut receiver) = inbox(5, 1);
        let inputs = [Input::raw("x")];
        assert!(sender.try_send(0, harness.batch(&inputs), None).is_none());
        assert!(sender.try_send(0, harness.batch(&inputs), None).is_some());
        drop(receiver.recv().await);
        sender.send(0, harness.batch(&inputs)).await;
        assert_eq!(sender.waiting(), 1);
        drop(receiver);
        assert!(sender.is_closed());
        sender.send(0, harness.batch(&inputs)).await;
        assert_eq!(sender.waiting(), 0);
    }
}
