//! What the poll thread, the lanes and the owners of the lanes tell each other.
//!
//! Mailboxes are bounded by what they are about: each partition is named in a few entries at most.
//! Nobody waits for a mailbox; whoever writes to a lane wakes it through the lane's one event.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::assignment::{Assignment, Held};
use super::ffi::consume::LaneQueue;
use super::log::lock;

/// What a lane tells its owner besides records.
#[derive(Debug)]
pub enum Event {
    /// A partition is ours from now on; its records follow, unless [`super::Start::held`] says
    /// why not.
    Assigned(Arc<Assignment>),
    /// Partitions are being taken away: no more of their records follow. Answer with how far they
    /// are answered; the whole group waits for it, at most the drain time-out.
    Revoking(Vec<Arc<Assignment>>, Reply),
    /// Partitions are no longer ours; answers that come later must be ignored.
    Gone(Vec<Arc<Assignment>>),
    /// The next offset of a partition does not exist at the broker.
    OutOfRange {
        /// The partition.
        assignment: Arc<Assignment>,
        /// The offset that was asked for.
        requested: i64,
        /// The first offset that exists.
        log_start: i64,
        /// Where reading goes on: the records from `requested` to there are lost, if any.
        /// `None` when the partition is held.
        resumed: Option<i64>,
        /// Why the partition is held.
        held: Option<Held>,
    },
    /// The consumer was closed: nothing follows.
    Closed,
}

/// How far a partition is answered: the offset to commit, with its text.
#[derive(Clone, Debug)]
pub struct Frontier {
    /// The partition's assignment; a commit for one that is no longer owned is left out.
    pub assignment: Arc<Assignment>,
    /// The lowest offset that is not answered yet.
    pub offset: i64,
    /// The text to store with it, at most 4,096 bytes at a broker's defaults.
    pub metadata: String,
}

/// The answer to [`Event::Revoking`]. Dropped unanswered, it says that nothing is to be committed.
#[derive(Debug)]
pub struct Reply {
    drain: Option<Arc<Drain>>,
}

impl Reply {
    /// Says how far the partitions are answered.
    pub fn answer(mut self, frontiers: Vec<Frontier>) {
        if let Some(drain) = self.drain.take() {
            drain.arrived(frontiers);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(drain) = self.drain.take() {
            drain.arrived(Vec::new());
        }
    }
}

/// Collects the answers of lanes for the thread that waits for them.
#[derive(Debug)]
pub(crate) struct Drain {
    state: Mutex<(usize, Vec<Frontier>)>,
    changed: Condvar,
}

impl Drain {
    /// Expects this many replies.
    pub(crate) fn new(expected: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new((expected, Vec::new())),
            changed: Condvar::new(),
        })
    }

    /// Makes one of the replies.
    pub(crate) fn reply(self: &Arc<Self>) -> Reply {
        Reply {
            drain: Some(Arc::clone(self)),
        }
    }

    fn arrived(&self, mut frontiers: Vec<Frontier>) {
        let mut state = lock(&self.state);
        state.0 = state.0.saturating_sub(1);
        state.1.append(&mut frontiers);
        self.changed.notify_all();
    }

    /// Waits for the replies, at most `within`; returns what came and how many are missing.
    pub(crate) fn wait(&self, within: Duration) -> (Vec<Frontier>, usize) {
        let mut state = self
            .changed
            .wait_timeout_while(lock(&self.state), within, |state| state.0 > 0)
            .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        (std::mem::take(&mut state.1), state.0)
    }
}

/// What the poll thread tells a lane.
#[derive(Debug)]
pub(super) enum Control {
    /// Read this queue from now on.
    Attach(Arc<LaneQueue>),
    /// Let go of the queue and all its messages, then drop the reply.
    Detach(Reply),
    Assign(Arc<Assignment>),
    Revoke(Vec<Arc<Assignment>>, Reply),
    Gone(Vec<Arc<Assignment>>),
    /// Partitions with an error since their last record: ask to be moved back.
    Recheck,
    /// The partition goes on at this offset; with the event to pass on, if any.
    Moved(Arc<Assignment>, i64),
    /// An event for the owner.
    Tell(Event),
    /// Has anything come for this partition since it was moved? If not, say so.
    Verify(Arc<Assignment>),
    Closed,
}

impl std::fmt::Debug for LaneQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LaneQueue")
    }
}

/// What a lane, or a callback, asks of the poll thread.
#[derive(Debug)]
pub(crate) enum Request {
    /// Make sure that the partition's records reach their lane.
    Forward(Arc<Assignment>),
    /// Move the partition back to this offset.
    Seek(Arc<Assignment>, i64),
    /// The broker has no such offset; the partition stands still.
    OutOfRange(Arc<Assignment>, i64),
    /// An error stood in the partition's queue in place of a record.
    Failed(Arc<Assignment>),
    /// Nothing came since the partition was moved, and the lane's queue is empty.
    Silent(Arc<Assignment>, i64),
    /// Nothing more of the partition is wanted: stop fetching it.
    Stop(Arc<Assignment>),
}

/// A lane's mailbox and its event.
#[derive(Default)]
pub(crate) struct Mailbox {
    /// True while `controls` is not empty, so that a lane looks without a lock.
    waiting: AtomicBool,
    controls: Mutex<VecDeque<Control>>,
    /// The lane was dropped: nobody will read this any more. Changed under the lock.
    abandoned: AtomicBool,
    pub(crate) wake: Arc<Notify>,
}

impl Mailbox {
    pub(super) fn push(&self, control: Control) {
        let mut controls = lock(&self.controls);
        if self.abandoned.load(Ordering::Relaxed) {
            // Outside the lock, since a reply that is dropped wakes who waits for it.
            drop(controls);
            return drop(control);
        }
        controls.push_back(control);
        self.waiting.store(true, Ordering::Release);
        drop(controls);
        self.wake.notify_one();
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Notes that nobody will read; replies that wait here, and later ones, count as given.
    pub(crate) fn abandon(&self) {
        let mut controls = lock(&self.controls);
        self.abandoned.store(true, Ordering::Relaxed);
        let left = std::mem::take(&mut *controls);
        drop(controls);
        drop(left);
    }

    pub(super) fn take(&self) -> VecDeque<Control> {
        let mut controls = lock(&self.controls);
        self.waiting.store(false, Ordering::Release);
        std::mem::take(&mut controls)
    }
}
