//! Crashes at any await point, also between two awaits that are both ready.
//!
//! A task can be dropped only where it waits, and a clock that stands still until every task waits ends lives
//! there alone. A process that is killed is known by what it no longer does: from a point on, whatever it did
//! last stays done, and nothing that it would have done next is. So its work is wrapped, and points are counted:
//! before and after each poll of an operator, of work that goes on beside one and of the commits, and where an
//! operator says so between two of its steps. At the last one of a life everything that is wrapped stands still,
//! until the tasks are dropped. What the core does between two points is in its memory only, and dies with that.

use std::fmt::Write as _;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use isobar_topology::{Batch, Bolt, Emitter, Next, OperatorError, Spout, clock};

use crate::world::World;

/// An operator of a process that may die.
pub struct Mortal<O> {
    world: Arc<World>,
    operator: O,
}

impl<O> Mortal<O> {
    pub fn new(world: &Arc<World>, operator: O) -> Self {
        Self {
            world: Arc::clone(world),
            operator,
        }
    }
}

impl<B: Bolt> Bolt for Mortal<B> {
    async fn open(&mut self) -> Result<(), OperatorError> {
        self.world.alive(self.operator.open()).await
    }

    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        self.world.alive(self.operator.process(batch, out)).await
    }

    fn deadline(&self) -> Option<clock::Instant> {
        self.operator.deadline()
    }

    async fn flush(&mut self, out: &mut Emitter) -> Result<(), OperatorError> {
        self.world.alive(self.operator.flush(out)).await
    }

    async fn close(&mut self) -> Result<(), OperatorError> {
        self.world.alive(self.operator.close()).await
    }
}

impl<S: Spout> Spout for Mortal<S> {
    async fn open(&mut self) -> Result<(), OperatorError> {
        self.world.alive(self.operator.open()).await
    }

    async fn next(&mut self) -> Result<Next, OperatorError> {
        self.world.alive(self.operator.next()).await
    }

    async fn next_event(&mut self) -> Result<Next, OperatorError> {
        self.world.alive(self.operator.next_event()).await
    }

    async fn close(&mut self) -> Result<(), OperatorError> {
        self.world.alive(self.operator.close()).await
    }
}

impl World {
    /// Does work for as long as the process lives; then it stands still.
    pub async fn alive<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.dies() {
                return Poll::Pending;
            }
            let polled = work.as_mut().poll(context);
            // What it did stays done, and nobody comes to know.
            if self.dies() {
                return Poll::Pending;
            }
            polled
        })
        .await
    }

    /// A point between two steps: ready while the process lives.
    pub async fn point(&self) {
        if self.dies() {
            pending().await
        }
    }

    /// Counts a point. Whether the process is dead by now.
    fn dies(&self) -> bool {
        let mut state = self.lock();
        let Some(left) = state.life.points_left else {
            return false;
        };
        if left == 0 {
            return true;
        }
        state.life.points_left = Some(left - 1);
        if left > 1 {
            return false;
        }
        state.note(|line| write!(line, "the process is killed"));
        self.died.notify_one();
        true
    }
}
