//! The traits of spouts and bolts, and what a bolt hands on.
//!
//! Authors write plain `async fn`; the runtime keeps an erased twin and pays dynamic dispatch once
//! per batch. Calls on one operator never overlap.

use std::future::{Future, pending, ready};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::sync::oneshot;

use crate::arena::Arena;
use crate::batch::Batch;
use crate::clock::Instant;
use crate::error::OperatorError;
use crate::outcome::Policy;
use crate::partition::Partition;
use crate::rejection::Rejection;
use crate::stream::Stream;

/// A source of batches: one per lane.
pub trait Spout: 'static {
    /// Connects. Called once before [`Spout::next`]; an external error is tried again with back-off.
    fn open(&mut self) -> impl Future<Output = Result<(), OperatorError>> {
        ready(Ok(()))
    }

    /// Waits for the next thing to do. Must be cancel-safe: the runtime drops the future when
    /// something else is more urgent, and calls again later. Not called while the lane has no room.
    fn next(&mut self) -> impl Future<Output = Result<Next, OperatorError>>;

    /// Called in place of [`Spout::next`] while the lane may not read: it has no room, a revoke is
    /// under way, or the topology drains. Waits for anything but records, since assignments and
    /// revokes must not wait for a slow sink. Never gives a batch; as cancel-safe as `next`.
    fn next_event(&mut self) -> impl Future<Output = Result<Next, OperatorError>> {
        pending()
    }

    /// Ends cleanly: commits what may be committed. Frontiers are in the partitions' accounts, and
    /// move no more: what was open is handed back.
    fn close(&mut self) -> impl Future<Output = Result<(), OperatorError>> {
        ready(Ok(()))
    }
}

/// What a spout has.
#[derive(Debug)]
pub enum Next {
    /// From now on batches of this partition come, starting at an offset not below `start`.
    /// Ends an earlier assignment of the same partition.
    Assigned {
        /// The partition.
        partition: Arc<Partition>,
        /// Where reading starts.
        start: i64,
    },
    /// Records of one partition that was assigned before.
    Batch(SourceBatch),
    /// With nothing in flight, everything before this offset is known to hold no further records:
    /// control records, compacted or aborted ones.
    Position {
        /// The partition.
        partition: Arc<Partition>,
        /// The offset.
        offset: i64,
    },
    /// These partitions go to another member. The runtime stops reading, flushes, and answers `done`
    /// when nothing of them is in flight or `deadline` has passed; then they are gone, and their
    /// accounts keep the last frontier.
    Revoking {
        /// The partitions.
        partitions: Vec<Arc<Partition>>,
        /// When to answer at the latest.
        deadline: Instant,
        /// Answered, or dropped, when the frontiers are final.
        done: oneshot::Sender<()>,
    },
    /// These partitions are gone already: whatever is in flight of them may not be committed.
    Lost(Vec<Arc<Partition>>),
    /// A bounded run has read all that it was asked to read: [`Spout::next`] is not called again.
    End,
}

/// Records as a spout hands them out.
#[derive(Debug)]
pub struct SourceBatch {
    /// The records; at least one.
    pub arena: Arena,
    /// Records, by index in ascending order, that the spout drops by a policy of its own, such as
    /// tombstones.
    pub dropped: Vec<(u32, Policy)>,
}

/// A step of the graph: transforms batches, or writes them to an outside system.
pub trait Bolt: 'static {
    /// Connects. Called once before anything else; an external error is tried again with back-off.
    fn open(&mut self) -> impl Future<Output = Result<(), OperatorError>> {
        ready(Ok(()))
    }

    /// Takes a batch: emits it, keeps it for a while (then [`Bolt::deadline`] says until when), or
    /// answers for it. An error fails what the call drops unanswered: the batch in hand, and batches
    /// kept from before if it drops those too.
    fn process(
        &mut self,
        batch: Batch,
        out: &mut Emitter,
    ) -> impl Future<Output = Result<(), OperatorError>>;

    /// When [`Bolt::flush`] must be called at the latest; `None` while nothing is kept.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Sends off whatever is kept. Also called when the spout has no more room, before a revoke, and
    /// before a stop. An error fails what the call drops unanswered.
    fn flush(&mut self, out: &mut Emitter) -> impl Future<Output = Result<(), OperatorError>> {
        let _ = out;
        ready(Ok(()))
    }

    /// Ends cleanly, after the last flush.
    fn close(&mut self) -> impl Future<Output = Result<(), OperatorError>> {
        ready(Ok(()))
    }
}

/// Collects what a bolt emits during one call.
#[derive(Default)]
pub struct Emitter {
    bolt: Arc<str>,
    pub(crate) emitted: Vec<(Stream, Batch)>,
    pub(crate) detached: Vec<LocalBoxFuture<'static, Emitter>>,
}

impl Emitter {
    /// An emitter for the bolt of this name.
    pub(crate) fn new(bolt: Arc<str>) -> Self {
        Self {
            bolt,
            emitted: Vec::new(),
            detached: Vec::new(),
        }
    }

    /// Emits on the stream `out`.
    pub fn emit(&mut self, batch: Batch) {
        self.emit_to(Stream::OUT, batch);
    }

    /// Emits on a stream of the bolt.
    pub fn emit_to(&mut self, stream: Stream, batch: Batch) {
        if !batch.is_empty() {
            self.emitted.push((stream, batch));
        }
    }

    /// Emits a whole batch on `rejected`, one reason for each row, as it was read.
    pub fn reject(&mut self, batch: Batch, rejections: Vec<Rejection>) {
        let attempts = batch.attempts();
        let rejections = rejections.into_iter();
        let rejections = rejections.map(|one| self.complete(one, attempts)).collect();
        self.emit_to(Stream::REJECTED, batch.start_over().rejected(rejections));
    }

    /// Lets the lane go on with `work` while [`Bolt::process`] returns: a request under way. What
    /// the emitter that it returns holds is emitted then; make that one with [`Emitter::later`].
    pub fn detach(&mut self, work: impl Future<Output = Emitter> + 'static) {
        self.detached.push(work.boxed_local());
    }

    /// An empty emitter of the same bolt, for detached work.
    pub fn later(&self) -> Emitter {
        Emitter::new(Arc::clone(&self.bolt))
    }

    pub(crate) fn complete(&self, mut rejection: Rejection, attempts: u32) -> Rejection {
        rejection.attempts = attempts;
        if rejection.bolt.is_empty() {
            rejection.bolt = Arc::clone(&self.bolt);
        }
        rejection
    }
}

/// The erased twin of [`Spout`].
pub(crate) trait ErasedSpout {
    fn open(&mut self) -> LocalBoxFuture<'_, Result<(), OperatorError>>;
    fn next(&mut self) -> LocalBoxFuture<'_, Result<Next, OperatorError>>;
    fn next_event(&mut self) -> LocalBoxFuture<'_, Result<Next, OperatorError>>;
    fn close(&mut self) -> LocalBoxFuture<'_, Result<(), OperatorError>>;
}

impl<S: Spout> ErasedSpout for S {
    fn open(&mut self) -> LocalBoxFuture<'_, Result<(), OperatorError>> {
        Spout::open(self).boxed_local()
    }

    fn next(&mut self) -> LocalBoxFuture<'_, Result<Next, OperatorError>> {
        Spout::next(self).boxed_local()
    }

    fn next_event(&mut self) -> LocalBoxFuture<'_, Result<Next, OperatorError>> {
        Spout::next_event(self).boxed_local()
    }

    fn close(&mut self) -> LocalBoxFuture<'_, Result<(), OperatorError>> {
        Spout::close(self).boxed_local()
    }
}

/// The erased twin of [`Bolt`].
pub(crate) trait ErasedBolt {
    fn open(&mut self) -> LocalBoxFuture<'_, Result<(), OperatorError>>;
    fn process<'a>(
        &'a mut self,
        batch: Batch,
        out: &'a mut Emitter,
    ) -> LocalBoxFuture<'a, Result<(), OperatorError>>;
    fn deadline(&self) -> Option<Instant>;
    fn flush<'a>(
        &'a mut self,
        out: &'a mut Emitter,
    ) -> LocalBoxFuture<'a, Result<(), OperatorError>>;
    fn close(&mut self) -> LocalBoxFuture<'_, Result<(), OperatorError>>;
}

impl<B: Bolt> ErasedBolt for B {
    fn open(&mut self) -> LocalBoxFuture<'_, Result<(), OperatorError>> {
        Bolt::open(self).boxed_local()
    }

    fn process<'a>(
        &'a mut self,
        batch: Batch,
        out: &'a mut Emitter,
    ) -> LocalBoxFuture<'a, Result<(), OperatorError>> {
        Bolt::process(self, batch, out).boxed_local()
    }

    fn deadline(&self) -> Option<Instant> {
        Bolt::deadline(self)
    }

    fn flush<'a>(
        &'a mut self,
        out: &'a mut Emitter,
    ) -> LocalBoxFuture<'a, Result<(), OperatorError>> {
        Bolt::flush(self, out).boxed_local()
    }

    fn close(&mut self) -> LocalBoxFuture<'_, Result<(), OperatorError>> {
        Bolt::close(self).boxed_local()
    }
}

/// A spout of any type, to be run on a lane.
pub struct AnySpout(pub(crate) Box<dyn ErasedSpout>);

impl AnySpout {
    /// Erases the type.
    pub fn new(spout: impl Spout) -> Self {
        Self(Box::new(spout))
    }
}

/// A bolt of any type, to be run on a lane.
pub struct AnyBolt(pub(crate) Box<dyn ErasedBolt>);

/// So that one bolt can wrap another, and tests can run what a type prepared.
impl Bolt for AnyBolt {
    async fn open(&mut self) -> Result<(), OperatorError> {
        self.0.open().await
    }

    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        self.0.process(batch, out).await
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    async fn flush(&mut self, out: &mut Emitter) -> Result<(), OperatorError> {
        self.0.flush(out).await
    }

    async fn close(&mut self) -> Result<(), OperatorError> {
        self.0.close().await
    }
}

impl AnyBolt {
    /// Erases the type.
    pub fn new(bolt: impl Bolt) -> Self {
        Self(Box::new(bolt))
    }
}
