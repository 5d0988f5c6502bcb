//! A spout on one lane: its ledgers, what is in flight, retries, and what a revoke waits for.
//!
//! Hands batches to the bolts through a bounded inbox and never waits for them otherwise, so that
//! answers, retries and revokes go on while a sink is slow.

mod attempts;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use tokio::sync::oneshot;

use crate::ack::Completions;
use crate::batch::Batch;
use crate::clock::{self, Instant};
use crate::error::OperatorError;
use crate::health::Health;
use crate::ledger::Ledger;
use crate::operator::{ErasedSpout, Next, SourceBatch};
use crate::outcome::{Answer, Policy};
use crate::overload::{OnFull, Throttle, sampled};
use crate::partition::Partition;
use crate::retry::RetryPolicy;
use crate::run::bolt_task::{guarded, sleep_until};
use crate::run::in_flight::{InFlight, Parked};
use crate::run::pause::Pause;
use crate::run::retries::Retries;
use crate::run::router::Router;
use crate::run::signals::{Phase, Signals};
use crate::statistics::BoltStatistics;
use crate::symbol::Symbols;

/// What a spout task needs.
pub(crate) struct SpoutTask {
    pub(crate) id: Arc<str>,
    pub(crate) spout: Box<dyn ErasedSpout>,
    pub(crate) symbols: Arc<Symbols>,
    pub(crate) out: std::rc::Rc<Router>,
    /// Edges of the streams `rejected`, by bolt: records that the core gives up on leave there.
    pub(crate) rejected: std::rc::Rc<Vec<Router>>,
    pub(crate) bolts: Vec<Arc<str>>,
    /// Of the bolts.
    pub(crate) statistics: Vec<Arc<BoltStatistics>>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) pause: Arc<Pause>,
    /// Copies of this spout that have been opened.
    pub(crate) opened: Arc<AtomicUsize>,
    pub(crate) max_uncommitted: usize,
    pub(crate) on_full: OnFull,
    /// Shared with the copies of this spout on other lanes.
    pub(crate) throttle: Option<Arc<Throttle>>,
    pub(crate) retry: RetryPolicy,
    pub(crate) retries: Retries,
    pub(crate) signals: Signals,
    pub(crate) health: Health,
    pub(crate) state: State,
}

/// What a spout task keeps track of.
#[derive(Default)]
pub(crate) struct State {
    completions: Arc<Completions>,
    /// By ledger id.
    ledgers: HashMap<u64, Ledger>,
    /// The ledger of each partition that is assigned.
    assigned: BTreeMap<(Arc<str>, i32), u64>,
    /// Batches on their way to the bolts, oldest first.
    leaving: VecDeque<Leaving>,
    /// What a policy kept of a batch for which there was no room in flight. Not among those that leave:
    /// those make the room.
    parked: Option<Kept>,
    revoking: Vec<Revoking>,
    /// A batch was taken that a policy may have dropped.
    dropped: bool,
    ended: bool,
    /// Setbacks of the spout in a row.
    setbacks: u32,
    /// Not asked again before this time.
    rest_until: Option<Instant>,
    /// A partition has reached `max_uncommitted`.
    uncommitted_full: bool,
}

struct Revoking {
    /// Not partitions: one may be assigned again while this waits.
    ledgers: Vec<u64>,
    deadline: Instant,
    done: oneshot::Sender<()>,
}

struct Kept {
    ledger: u64,
    batch: Batch,
    _until_room: Parked,
}

struct Leaving {
    ledger: u64,
    sending: LocalBoxFuture<'static, ()>,
}

const READING: &str = "reading";
/// The kind of the condition while a lane reads no further for `max_uncommitted`.
pub(crate) const UNCOMMITTED: &str = "uncommitted";

/// Most batches that wait for room in the first queue. Retries look for that before reading does: a spout
/// that samples always has the next one waiting.
const LEAVING_MAX: usize = 2;

impl SpoutTask {
    /// Runs until the spout ended or the topology drains, and what was in flight is settled or the
    /// drain's deadline has passed. Closes the spout; tells whether everything was settled.
    pub(crate) async fn run(mut self) -> bool {
        if self.open().await {
            self.run_open().await;
        }
        let settled = self.hand_back();
        if let Err(fault) = guarded(self.spout.close()).await {
            tracing::error!(spout = %self.id, error = %fault, "Closing the spout failed");
        }
        settled
    }

    async fn open(&mut self) -> bool {
        loop {
            let signals = self.signals.clone();
            let opened = tokio::select! {
                biased;
                opened = guarded(self.spout.open()) => opened,
                () = signals.phase_after(Phase::Running) => return false,
            };
            match opened {
                Ok(()) => {
                    self.state.setbacks = 0;
                    self.health.clear(&self.id, READING);
                    let _ = self.opened.fetch_add(1, Ordering::AcqRel);
                    return true;
                }
                Err(fault) => self.set_back(fault.error()),
            }
            tokio::select! {
                biased;
                () = sleep_until(self.state.rest_until) => {}
                () = signals.phase_after(Phase::Running) => return false,
            }
        }
    }

    async fn run_open(&mut self) {
        let mut seen_full = false;
        loop {
            self.take_completions();
            // One after the other, as there is room for them: all that was held is due at one moment.
            while self.state.leaving.len() < LEAVING_MAX
                && let Some(due) = self.retries.next(clock::now())
            {
                self.send_again(due);
            }
            self.finish_revokes();
            let phase = self.signals.phase();
            let draining = match phase {
                Phase::Running => self.state.ended,
                Phase::Draining(_) | Phase::Closing => true,
            };
            if draining && self.is_settled() {
                return;
            }
            if matches!(phase, Phase::Draining(_)) {
                self.retries.hurry(clock::now());
            }
            if std::mem::take(&mut self.state.dropped) {
                // Nothing else makes a spout wait that drops what finds no room; bolts must have a turn.
                tokio::task::yield_now().await;
                self.take_completions();
            }
            self.send_parked();
            let full = !self.in_flight.has_room();
            if full && !seen_full {
                self.signals.ask_flush();
            }
            seen_full = full;
            let paused = self.pause.since().is_some();
            let throttled = self.throttle.as_deref().and_then(Throttle::due);
            let may_read = !draining
                && !paused
                && throttled.is_none()
                && self.may_take(full)
                && self.state.revoking.is_empty()
                && !self.too_much_uncommitted();
            let give_up = match phase {
                Phase::Draining(deadline) => Some(deadline),
                Phase::Closing => return,
                Phase::Running => None,
            };
            let state = &mut self.state;
            let revokes = state.revoking.iter().map(|revoking| revoking.deadline);
            let recoveries = self.retries.recoveries();
            let retry = match state.leaving.len() < LEAVING_MAX {
                true => self.retries.wake(clock::now()),
                false => None,
            };
            let wake = retry.into_iter().chain(revokes).min();
            let resting = state.rest_until.filter(|at| *at > clock::now());
            tokio::select! {
                biased;
                () = self.signals.phase_after(phase) => {
                    self.signals.ask_flush();
                }
                () = self.pause.after(paused) => {}
                () = state.completions.arrived() => {}
                () = self.retries.recovery_after(recoveries), if self.retries.holds() => {}
                () = first(&mut state.leaving), if !state.leaving.is_empty() => {
                    let _ = state.leaving.pop_front();
                }
                () = sleep_until(wake), if wake.is_some() => {}
                () = sleep_until(throttled), if throttled.is_some() => {}
                () = sleep_until(give_up), if give_up.is_some() => return,
                () = sleep_until(resting), if resting.is_some() => {
                    state.rest_until = None;
                }
                next = guarded(match may_read {
                    true => self.spout.next(),
                    false => self.spout.next_event(),
                }), if resting.is_none() => match next {
                    Ok(next) => {
                        if state.setbacks > 0 {
                            state.setbacks = 0;
                            self.health.clear(&self.id, READING);
                        }
                        self.take_next(next);
                    }
                    Err(fault) => self.set_back(fault.error()),
                },
                () = self.in_flight.room(), if full || state.parked.is_some() => {}
            }
        }
    }

    /// Whether another batch can be taken: in full, or as far as the policy keeps it.
    fn may_take(&self, full: bool) -> bool {
        match self.on_full {
            OnFull::Block | OnFull::DropOldest(_) => !full && self.state.leaving.is_empty(),
            OnFull::DropNewest(_) => true,
            // What is kept of one batch waits before another one is sampled; also where other lanes have
            // made room since it was looked at.
            OnFull::Sample { .. } if self.state.parked.is_some() => false,
            OnFull::Sample { .. } if full => self.state.leaving.is_empty(),
            OnFull::Sample { .. } => self.state.leaving.len() < LEAVING_MAX,
        }
    }

    fn take_next(&mut self, next: Next) {
        match next {
            Next::Assigned { partition, start } => {
                self.forget_partition(&partition);
                let ledger = Ledger::open(Arc::clone(&partition), start);
                let _ = self.state.assigned.insert(key(&partition), ledger.id());
                let _ = self.state.ledgers.insert(ledger.id(), ledger);
            }
            Next::Batch(batch) => self.take_batch(batch),
            Next::Position { partition, offset } => {
                if let Some(ledger) = self.ledger_of(&partition) {
                    ledger.advance(offset);
                }
            }
            Next::Revoking {
                partitions,
                deadline,
                done,
            } => {
                let ledgers = partitions
                    .iter()
                    .filter_map(|partition| self.state.assigned.get(&key(partition)).copied());
                let revoking = Revoking {
                    ledgers: ledgers.collect(),
                    deadline,
                    done,
                };
                self.state.revoking.push(revoking);
                self.signals.ask_flush();
            }
            Next::Lost(partitions) => {
                for partition in &partitions {
                    self.forget_partition(partition);
                }
            }
            Next::End => {
                self.state.ended = true;
                self.signals.ask_flush();
            }
        }
    }

    fn take_batch(&mut self, batch: SourceBatch) {
        let SourceBatch { arena, dropped } = batch;
        let arena = Arc::new(arena);
        let Some(ledger) = self.ledger_of(arena.partition()) else {
            debug_assert!(false, "a batch of a partition that is not assigned");
            tracing::error!(spout = %self.id, "A batch of a partition that is not assigned was let go");
            return;
        };
        let id = ledger.id();
        let ticket = ledger.register(Arc::clone(&arena));
        let full = !self.in_flight.has_room();
        if !cfg!(isobar_unacked) {
            self.in_flight.add(arena.len(), arena.size());
        }
        if let Some(throttle) = &self.throttle {
            throttle.spend(arena.len());
        }
        let mut batch = self.attempt((&arena, None), arena.offset(0), ticket);
        if !dropped.is_empty() {
            let mut part_of = vec![0u8; batch.len()];
            let mut policies = Vec::new();
            for (record, policy) in dropped {
                let part = policies.iter().position(|known| *known == policy);
                let part = part.unwrap_or_else(|| {
                    policies.push(policy);
                    policies.len() - 1
                });
                part_of[record as usize] = part as u8 + 1;
            }
            let mut parts = batch.part(&part_of, policies.len() + 1).into_iter();
            let rest = parts.next().flatten();
            for (part, policy) in parts.zip(policies) {
                if let Some(part) = part {
                    part.answer(Answer::Dropped(policy));
                }
            }
            match rest {
                Some(rest) => batch = rest,
                None => return,
            }
        }
        self.state.dropped = self.on_full != OnFull::Block;
        match self.on_full {
            _ if !full && self.state.leaving.is_empty() => self.send_off(id, batch),
            OnFull::Block | OnFull::DropOldest(_) => self.send_off(id, batch),
            OnFull::DropNewest(policy) => batch.answer(Answer::Dropped(policy)),
            OnFull::Sample { keep, policy } => {
                self.send_off_share(id, batch, full, (keep, policy));
            }
        }
    }

    fn send_off(&mut self, ledger: u64, batch: Batch) {
        let out = std::rc::Rc::clone(&self.out);
        self.leave(ledger, async move { out.send(batch, no_fused).await });
    }

    /// Drops what is not kept; the rest leaves when there is room.
    fn send_off_share(
        &mut self,
        ledger: u64,
        batch: Batch,
        full: bool,
        (keep, policy): (f64, Policy),
    ) {
        let (kept, others) = sampled(batch, keep);
        if let Some(others) = others {
            others.answer(Answer::Dropped(policy));
        }
        match kept {
            Some(kept) if full => {
                // What was dropped is settled with the rest.
                let arena = kept.arena();
                let _until_room = self.in_flight.park(arena.len(), arena.size());
                self.state.parked = Some(Kept {
                    ledger,
                    batch: kept,
                    _until_room,
                });
            }
            Some(kept) => self.send_off(ledger, kept),
            None => {}
        }
    }

    /// Sends off what was kept of a batch, when there is room.
    fn send_parked(&mut self) {
        if self.state.parked.is_some()
            && self.in_flight.has_room()
            && let Some(Kept { ledger, batch, .. }) = self.state.parked.take()
        {
            self.send_off(ledger, batch);
        }
    }

    fn leave(&mut self, ledger: u64, sending: impl Future<Output = ()> + 'static) {
        let sending = sending.boxed_local();
        self.state.leaving.push_back(Leaving { ledger, sending });
    }

    /// Ends revokes of which nothing is in flight any more, or that took too long.
    fn finish_revokes(&mut self) {
        if self.state.revoking.is_empty() {
            return;
        }
        let now = clock::now();
        for revoking in std::mem::take(&mut self.state.revoking) {
            let open = |id: &u64| {
                let ledger = self.state.ledgers.get(id);
                ledger.is_some_and(|ledger| !ledger.is_empty())
            };
            if now < revoking.deadline && revoking.ledgers.iter().any(open) {
                self.state.revoking.push(revoking);
                continue;
            }
            for ledger in revoking.ledgers {
                self.forget(ledger);
            }
            // The spout may have stopped waiting.
            let _ = revoking.done.send(());
        }
    }

    fn forget_partition(&mut self, partition: &Arc<Partition>) {
        if let Some(id) = self.state.assigned.get(&key(partition)) {
            self.forget(*id);
        }
    }

    /// Ends an assignment: what is on its way to the bolts is let go, late answers and retries find
    /// no ledger any more.
    fn forget(&mut self, ledger: u64) {
        if let Some(ledger) = self.state.ledgers.remove(&ledger) {
            let id = ledger.id();
            self.state.assigned.retain(|_, assigned| *assigned != id);
            self.state.leaving.retain(|leaving| leaving.ledger != id);
            let _ = self.state.parked.take_if(|kept| kept.ledger == id);
            self.retries.forget(id);
            self.in_flight.release(ledger.close());
        }
    }

    /// Gives up what is still open; tells whether there was nothing.
    fn hand_back(&mut self) -> bool {
        self.take_completions();
        let settled = self.state.ledgers.values().all(Ledger::is_empty);
        self.state.assigned.clear();
        self.state.parked = None;
        for (_, ledger) in self.state.ledgers.drain() {
            self.in_flight.release(ledger.close());
        }
        for revoking in self.state.revoking.drain(..) {
            let _ = revoking.done.send(());
        }
        settled
    }

    fn is_settled(&self) -> bool {
        self.state.ledgers.values().all(Ledger::is_empty) && self.state.leaving.is_empty()
    }

    fn too_much_uncommitted(&mut self) -> bool {
        let full = self
            .state
            .ledgers
            .values()
            .find(|ledger| ledger.uncommitted() >= self.max_uncommitted);
        match full {
            Some(ledger) => {
                let partition = ledger.partition();
                let text = format!(
                    "{}/{} has {} records read beyond its oldest unsettled one (max_uncommitted): this lane reads no further until that one is settled",
                    partition.topic(),
                    partition.number(),
                    ledger.uncommitted(),
                );
                self.health.set(&self.id, UNCOMMITTED, text);
                self.state.uncommitted_full = true;
            }
            None if self.state.uncommitted_full => {
                self.health.clear(&self.id, UNCOMMITTED);
                self.state.uncommitted_full = false;
            }
            None => {}
        }
        self.state.uncommitted_full
    }

    fn ledger_of(&mut self, partition: &Arc<Partition>) -> Option<&mut Ledger> {
        let id = self.state.assigned.get(&key(partition))?;
        self.state.ledgers.get_mut(id)
    }

    fn set_back(&mut self, error: &OperatorError) {
        self.health.set(&self.id, READING, error.to_string());
        self.state.rest_until = Some(clock::now() + self.retry.delay(self.state.setbacks));
        self.state.setbacks = self.state.setbacks.saturating_add(1);
    }
}

fn key(partition: &Arc<Partition>) -> (Arc<str>, i32) {
    (Arc::clone(partition.topic()), partition.number())
}

async fn first(leaving: &mut VecDeque<Leaving>) {
    match leaving.front_mut() {
        Some(leaving) => (&mut leaving.sending).await,
        None => std::future::pending().await,
    }
}

fn no_fused(_: usize, _: Batch) {
    debug_assert!(false, "a spout shares no task with bolts");
}
