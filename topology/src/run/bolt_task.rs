//! A task: a bolt and those fused behind it, on one lane.
//!
//! Takes batches from its inbox, hands them from bolt to bolt without queues, sends what leaves the
//! task to other inboxes. A bolt that panics, or is killed, is made anew after a back-off; its batches
//! fail.

use std::any::Any;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::task::JoinSet;

use crate::ack::Dropped;
use crate::batch::Batch;
use crate::clock::{self, Instant};
use crate::error::{Domain, OperatorError};
use crate::graph::{BoltContext, MakeBolt};
use crate::operator::{Emitter, ErasedBolt};
use crate::run::inbox::{Delivery, Receiver};
use crate::run::router::Router;
use crate::run::signals::{Phase, Signals};
use crate::statistics::BoltStatistics;
use crate::stream::Stream;

/// Back-off before a bolt is made anew or opened again: doubles from the first to the second.
const RESTART_DELAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The bolts of one task on one lane.
pub(crate) struct BoltTask {
    pub(crate) members: Vec<Member>,
    pub(crate) inbox: Receiver,
    pub(crate) signals: Signals,
    /// Requests and other work that bolts let go on beside them, with the member's index.
    pub(crate) detached: JoinSet<(usize, Result<Emitter, Fault>)>,
}

/// A bolt inside a task.
pub(crate) struct Member {
    /// Its number in the graph.
    pub(crate) number: usize,
    pub(crate) context: BoltContext,
    pub(crate) make: Arc<MakeBolt>,
    /// `None` before it was opened and after a panic.
    pub(crate) bolt: Option<Box<dyn ErasedBolt>>,
    /// By stream.
    pub(crate) routers: Vec<Router>,
    pub(crate) statistics: Arc<BoltStatistics>,
    /// Panics and failed openings in a row.
    pub(crate) setbacks: u32,
    /// The last call failed by an outside system.
    pub(crate) failing: bool,
    /// It was killed, and is not made anew before this time.
    pub(crate) away_until: Option<Instant>,
}

impl BoltTask {
    /// Runs until the phase is `Closing` and everything in hand is sent off.
    pub(crate) async fn run(mut self) {
        let phases = self.signals.clone();
        let mut kills = self.signals.clone();
        loop {
            let phase = phases.phase();
            if phase == Phase::Closing {
                break;
            }
            // At the start, and again after a panic.
            for member in 0..self.members.len() {
                let _ = self.make_ready(member).await;
            }
            if phase != Phase::Running && self.inbox.is_empty() {
                // Draining: nothing is kept that nobody adds to.
                self.flush(|_| true).await;
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                () = phases.phase_after(phase) => {}
                until = kills.killed() => self.kill(until),
                Some(done) = self.detached.join_next() => self.finish_detached(done).await,
                () = self.signals.flush_asked() => self.flush(|_| true).await,
                () = sleep_until(deadline) => {
                    let now = clock::now();
                    self.flush(|bolt| bolt.deadline().is_some_and(|at| at <= now)).await;
                }
                Delivery { bolt, batch, .. } = self.inbox.recv() => {
                    self.work_off(vec![(self.member(bolt), batch)]).await;
                }
            }
        }
        self.close().await;
    }

    /// Takes batches through the task until they left it, oldest first.
    async fn work_off(&mut self, mut waiting: Vec<(usize, Batch)>) {
        waiting.reverse();
        while let Some((member, batch)) = waiting.pop() {
            if !self.make_ready(member).await {
                // Stopping: the batch is dropped, hence handed back.
                return;
            }
            let mut out = Emitter::new(Arc::clone(&self.members[member].context.id));
            self.members[member].process(batch, &mut out).await;
            let mut fused = Vec::new();
            self.route(member, out, &mut fused).await;
            waiting.extend(fused.into_iter().rev());
        }
    }

    /// Sends what a bolt emitted; what stays in the task is appended to `fused`.
    async fn route(&mut self, member: usize, out: Emitter, fused: &mut Vec<(usize, Batch)>) {
        let Emitter {
            emitted, detached, ..
        } = out;
        for work in detached {
            let _ = self
                .detached
                .spawn_local(async move { (member, called(work.map(Ok).boxed_local()).await) });
        }
        for (stream, batch) in emitted {
            let from = &self.members[member];
            if stream == Stream::REJECTED {
                from.statistics.count_rejected(&batch);
            }
            let Some(router) = from.routers.get(stream.index()) else {
                tracing::error!(bolt = %from.context.id, "A bolt emitted on a stream that it did not declare");
                continue;
            };
            let members = &self.members;
            router
                .send(batch, |bolt, batch| {
                    fused.push((index_of(members, bolt), batch));
                })
                .await;
        }
    }

    async fn finish_detached(
        &mut self,
        done: Result<(usize, Result<Emitter, Fault>), tokio::task::JoinError>,
    ) {
        match done {
            Ok((member, Ok(out))) => {
                let mut fused = Vec::new();
                self.route(member, out, &mut fused).await;
                self.work_off(fused).await;
            }
            Ok((member, Err(fault))) => self.members[member].count_failure(&fault),
            Err(error) => tracing::error!(%error, "Detached work ended by a fault of the runtime"),
        }
    }

    async fn flush(&mut self, due: impl Fn(&dyn ErasedBolt) -> bool) {
        for member in 0..self.members.len() {
            let is_due = self.members[member].bolt.as_deref().is_some_and(&due);
            if !is_due {
                continue;
            }
            let mut out = Emitter::new(Arc::clone(&self.members[member].context.id));
            self.members[member].flush(&mut out).await;
            let mut fused = Vec::new();
            self.route(member, out, &mut fused).await;
            self.work_off(fused).await;
        }
    }

    /// Ends every bolt as a panic would. What is under way beside them goes on.
    fn kill(&mut self, until: Option<Instant>) {
        for member in &mut self.members {
            member.away_until = until;
            member.lose("killed from outside; it is made anew soon and its batches are sent again");
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let bolts = self.members.iter().filter_map(|m| m.bolt.as_deref());
        bolts.filter_map(ErasedBolt::deadline).min()
    }

    fn member(&self, bolt: usize) -> usize {
        index_of(&self.members, bolt)
    }

    /// Makes and opens the bolt unless it is; `false` when the topology stops meanwhile.
    async fn make_ready(&mut self, member: usize) -> bool {
        while self.members[member].bolt.is_none() {
            let wait = self.members[member].restart_delay();
            let opened = async {
                tokio::time::sleep(wait).await;
                self.members[member].try_open().await;
            };
            tokio::select! {
                biased;
                () = opened => {}
                () = closing(&self.signals) => return false,
            }
        }
        true
    }

    async fn close(&mut self) {
        for member in &mut self.members {
            if let Some(mut bolt) = member.bolt.take() {
                let closed = guarded(bolt.close()).await;
                if let Err(error) = closed {
                    tracing::warn!(bolt = %member.context.id, %error, "Closing failed");
                }
            }
        }
    }
}

/// Resolves when the phase is `Closing`, or draining has reached its deadline.
async fn closing(signals: &Signals) {
    loop {
        let phase = signals.phase();
        if phase == Phase::Closing {
            return;
        }
        signals.phase_after(phase).await;
    }
}

fn index_of(members: &[Member], bolt: usize) -> usize {
    let found = members.iter().position(|member| member.number == bolt);
    found.expect("only bolts of the task are sent to its inbox")
}

impl Member {
    async fn process(&mut self, mut batch: Batch, out: &mut Emitter) {
        let bolt = self.bolt.as_mut().expect("made ready before");
        batch.taken_by(self.number);
        let (records, is_again, start) = (batch.len(), batch.is_again(), clock::now());
        let result = called(bolt.process(batch, out)).await;
        self.statistics
            .count_call(records, is_again, clock::now() - start);
        self.after_call(result);
    }

    async fn flush(&mut self, out: &mut Emitter) {
        let Some(bolt) = self.bolt.as_mut() else {
            return;
        };
        let result = called(bolt.flush(out)).await;
        self.after_call(result);
    }

    fn after_call(&mut self, result: Result<(), Fault>) {
        let Err(fault) = result else {
            self.setbacks = 0;
            if std::mem::take(&mut self.failing) {
                self.context.health.clear(&self.context.id, FAILING);
            }
            return;
        };
        self.count_failure(&fault);
        if let Fault::Panic(error) = fault {
            self.lose(&format!(
                "{error}; it is made anew and its batches are sent again"
            ));
        }
    }

    /// Lets go of the bolt and of what it held, which is sent again and counts as no attempt.
    fn lose(&mut self, text: &str) {
        let Some(bolt) = self.bolt.take() else {
            return;
        };
        self.statistics.count_restart();
        self.setbacks += 1;
        self.statistics.count_opened(false);
        let mut held = Dropped::default();
        held.during(|| drop(bolt));
        held.let_go();
        self.context.health.set(&self.context.id, RESTARTING, text);
    }

    fn count_failure(&mut self, fault: &Fault) {
        self.statistics.count_failure();
        match fault {
            // Said once, not for every batch of an outage.
            Fault::Error(error) if error.domain == Domain::External => {
                self.failing = true;
                let text = error.to_string();
                let health = self.context.health.of_records();
                health.set(&self.context.id, FAILING, text);
            }
            fault => {
                tracing::warn!(bolt = %self.context.id, error = %fault, "A bolt failed on a batch");
            }
        }
    }

    async fn try_open(&mut self) {
        let context = &self.context;
        let mut bolt = (self.make)(context.clone()).0;
        match guarded(bolt.open()).await {
            Ok(()) => {
                self.bolt = Some(bolt);
                self.statistics.count_opened(true);
                context.health.clear(&context.id, RESTARTING);
                context.health.clear(&context.id, OPENING);
            }
            Err(fault) => {
                self.setbacks += 1;
                context
                    .health
                    .set(&context.id, OPENING, fault.error().to_string());
            }
        }
    }

    fn restart_delay(&self) -> Duration {
        let (first, longest) = RESTART_DELAY;
        let back_off = match self.setbacks {
            0 => Duration::ZERO,
            n => first.saturating_mul(1 << (n - 1).min(16)).min(longest),
        };
        let away = self
            .away_until
            .map(|until| until.saturating_duration_since(clock::now()));
        back_off.max(away.unwrap_or_default())
    }
}

const RESTARTING: &str = "restarting";
const OPENING: &str = "opening";
const FAILING: &str = "failing";

/// How a call on an operator ended badly.
#[derive(Debug)]
pub(crate) enum Fault {
    Error(OperatorError),
    Panic(OperatorError),
}

impl Fault {
    pub(crate) fn error(&self) -> &OperatorError {
        match self {
            Fault::Error(error) | Fault::Panic(error) => error,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error().fmt(f)
    }
}

/// Awaits a call on an operator; a panic becomes an error.
pub(crate) async fn guarded<T>(
    call: LocalBoxFuture<'_, Result<T, OperatorError>>,
) -> Result<T, Fault> {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Fault::Error(error)),
        Err(panic) => Err(Fault::Panic(OperatorError::internal(format!(
            "the operator panicked: {}",
            panic_text(panic.as_ref())
        )))),
    }
}

/// Awaits a call on a bolt, or work that it detached; a panic becomes an error. Acks that the call
/// dropped fail for its error, all of them: those of the batch in hand and those kept from before.
pub(crate) async fn called<T>(
    call: LocalBoxFuture<'_, Result<T, OperatorError>>,
) -> Result<T, Fault> {
    let mut dropped = Dropped::default();
    let mut call = pin!(guarded(call));
    let result = poll_fn(|context| dropped.during(|| call.as_mut().poll(context))).await;
    dropped.end(result.as_ref().err().map(Fault::error));
    result
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "without a text"
    }
}

/// Sleeps until then, or for ever.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
