//! A bounded queue of batches into a bolt task: bounded by batches and by bytes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::batch::Batch;

/// What arrives at a bolt task.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// The bolt, by its number in the plan.
    pub(crate) bolt: usize,
    pub(crate) batch: Batch,
    /// Given back when the batch leaves the queue.
    _room: OwnedSemaphorePermit,
}

/// The end of an edge that bolts and spouts send into.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    queue: mpsc::Sender<Delivery>,
    room: Arc<Semaphore>,
    bytes_max: u32,
}

pub(crate) type Receiver = mpsc::Receiver<Delivery>;

/// Makes a queue for at most `batches` batches (≥ 1) and `bytes` bytes; a larger batch is admitted
/// when the queue holds nothing else.
pub(crate) fn inbox(batches: usize, bytes: usize) -> (Sender, Receiver) {
    let (queue, receiver) = mpsc::channel(batches.max(1));
    let bytes_max = u32::try_from(bytes.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
    let sender = Sender {
        queue,
        room: Arc::new(Semaphore::new(bytes_max as usize)),
        bytes_max,
    };
    (sender, receiver)
}

impl Sender {
    /// Waits for room and sends. When the task is gone the batch is dropped, which fails it.
    pub(crate) async fn send(&self, bolt: usize, batch: Batch) {
        let size = u32::try_from(batch.size())
            .unwrap_or(u32::MAX)
            .min(self.bytes_max);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(size).await else {
            return;
        };
        let delivery = Delivery {
            bolt,
            batch,
            _room: room,
        };
        let _ = self.queue.send(delivery).await;
    }

    /// Batches waiting.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}
