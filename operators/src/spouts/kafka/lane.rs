//! The spout on one lane: hands on what its reader finds, commits how far its partitions are
//! answered, and answers for them when they are taken away.
//!
//! Everything happens on the lane's thread, between two calls of the runtime: what an account says
//! is then final, and no commit can overtake its ledger.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use isobar_topology::{Next, OperatorError, Spout};
use tokio::sync::oneshot;

use super::fill::{Fill, Filled};
use super::gate::Gate;
use super::member::{Member, Settings};
use super::owned::Owned;
use crate::kafka::{Assignment, Closed, Event, Frontier, LaneReader, Read, Reply};

/// How long leaving the group may take. With the brokers gone it could be the session time-out; the
/// group then notices by that.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks at what is wrong with the client, and at whether a bounded run is over.
const TICK: Duration = Duration::from_secs(1);

/// Between two looks at where the client stands in all partitions, each of which takes about 1 µs: with
/// hundreds of them and a trickle of records, asking at each wake would be most of the work.
const POSITIONS_APART: Duration = Duration::from_millis(100);

/// Between two looks at whether the group has been joined: lanes that get no partition learn it by no
/// event.
const JOINED_TICK: Duration = Duration::from_millis(100);

pub(super) struct Lane {
    member: Arc<Member>,
    reader: LaneReader,
    ours: Vec<Owned>,
    revokes: Vec<Revoke>,
    /// To be handed on before anything else.
    waiting: VecDeque<Next>,
    header_bytes: usize,
    commit_due: Instant,
    tick_due: Instant,
    /// Whether the client may stand elsewhere than when positions were last asked for.
    moved: bool,
    /// When they may be asked for again.
    positions_due: Instant,
    closing: bool,
}

/// Partitions that are being taken away.
struct Revoke {
    owned: Vec<Owned>,
    /// The client waits for it.
    reply: Reply,
    /// The runtime says that their frontiers are final.
    settled: oneshot::Receiver<()>,
}

impl Spout for Lane {
    /// Waits until the group has been joined, so that whoever asks whether it reads is not told so
    /// before it does. Which partitions are ours comes after that, as events: one whose start cannot
    /// be found yet must not keep the others unread.
    async fn open(&mut self) -> Result<(), OperatorError> {
        while !self.member.handle.joined() {
            if self.reader.lane() == 0 {
                self.member.show_conditions();
            }
            tokio::time::sleep(JOINED_TICK).await;
        }
        if self.reader.lane() == 0 {
            self.member.show_conditions();
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Next, OperatorError> {
        loop {
            if let Some(next) = self.turn() {
                return Ok(next);
            }
            self.moved |= self.reader.may_have_more();
            let gate = self.member.settings.gate.as_ref();
            if let Some(gate) = gate.filter(|gate| gate.is_closed()) {
                let gate = Arc::clone(gate);
                if let Some(event) = self.reader.event() {
                    self.take(event);
                    continue;
                }
                if let Some(next) = self.position() {
                    return Ok(next);
                }
                if self.is_at_end() {
                    return Ok(Next::End);
                }
                self.rest_behind(&gate).await;
                continue;
            }
            let Settings {
                rate,
                limits,
                tombstones,
                ..
            } = self.member.settings;
            if let Some(due) = self.member.pace.due(rate) {
                match self.reader.event() {
                    Some(event) => self.take(event),
                    None => self.rest_until(due).await,
                }
                continue;
            }
            let mut fill = Fill::new(&self.ours, tombstones, &mut self.header_bytes);
            match self.reader.read(limits, &mut fill) {
                Read::Records(assignment) => {
                    let Filled { batch, beyond } = fill.finish();
                    if beyond {
                        self.beyond(&assignment);
                    }
                    match batch {
                        Some(batch) => {
                            self.member.pace.took(rate, batch.arena.len());
                            return Ok(Next::Batch(batch));
                        }
                        None if beyond => {}
                        None => {
                            tracing::error!(?assignment, "Records of a partition without a ledger");
                        }
                    }
                }
                Read::Event(event) => self.take(event),
                Read::Empty => {
                    if let Some(next) = self.position() {
                        return Ok(next);
                    }
                    if self.is_at_end() {
                        return Ok(Next::End);
                    }
                    self.rest(true).await;
                }
            }
        }
    }

    async fn next_event(&mut self) -> Result<Next, OperatorError> {
        loop {
            if let Some(next) = self.turn() {
                return Ok(next);
            }
            match self.reader.event() {
                Some(event) => self.take(event),
                None => self.rest(false).await,
            }
        }
    }

    async fn close(&mut self) -> Result<(), OperatorError> {
        self.closing = true;
        self.waiting.clear();
        // Others may drain for long before the group is left.
        self.commit();
        self.member.lane_closes();
        let member = Arc::clone(&self.member);
        let leave = async {
            member.all_close().await;
            // Asks once, however many lanes do; `None` when it takes too long.
            member.handle.close(CLOSE_WITHIN).await
        };
        tokio::pin!(leave);
        let closed = loop {
            self.answer_revokes();
            if let Some(event) = self.reader.event() {
                self.take(event);
                continue;
            }
            tokio::select! {
                biased;
                closed = &mut leave => break closed,
                () = self.reader.event_ready() => {}
            }
        };
        self.member.show_conditions();
        self.confirm(closed == Some(Closed::Cleanly))
    }
}

/// A lane that ends without closing must not keep the others from leaving the group.
impl Drop for Lane {
    fn drop(&mut self) {
        if !self.closing {
            self.member.lane_closes();
        }
    }
}

impl Lane {
    pub(super) fn new(member: Arc<Member>, reader: LaneReader) -> Self {
        let now = clock::now();
        Self {
            commit_due: now + member.settings.commit_interval,
            tick_due: now + TICK,
            moved: true,
            positions_due: now,
            member,
            reader,
            ours: Vec::new(),
            revokes: Vec::new(),
            waiting: VecDeque::new(),
            header_bytes: 0,
            closing: false,
        }
    }

    /// Does what is due, and returns what waits to be handed on.
    fn turn(&mut self) -> Option<Next> {
        self.answer_revokes();
        if let Some(next) = self.waiting.pop_front() {
            if let Next::Assigned { partition, .. } = &next {
                let revoked = self.revokes.iter_mut().flat_map(|revoke| &mut revoke.owned);
                let owned = self.ours.iter_mut().chain(revoked);
                owned
                    .filter(|owned| Arc::ptr_eq(&owned.partition, partition))
                    .for_each(|owned| owned.announced = true);
            }
            return Some(next);
        }
        let now = clock::now();
        if now >= self.commit_due {
            self.commit_due = now + self.member.settings.commit_interval;
            self.commit();
        }
        if now >= self.tick_due {
            self.tick_due = now + TICK;
            if self.reader.lane() == 0 {
                self.member.show_conditions();
            }
        }
        None
    }

    /// When there is something to do though nothing happens. Positions are asked for while `records` are read
    /// alone: where none may be, as much is in flight as there is room for, or the spout is paused.
    fn next_due(&self, records: bool) -> Instant {
        let due = self.commit_due.min(self.tick_due);
        match self.moved && records {
            true => due.min(self.positions_due),
            false => due,
        }
    }

    /// Waits until there may be something to do. Cancel-safe.
    async fn rest(&mut self, records: bool) {
        let due = self.next_due(records);
        let reader = &mut self.reader;
        let ready = async {
            if records {
                reader.ready().await;
            } else {
                reader.event_ready().await;
            }
        };
        let over = async {
            match &self.member.bounded {
                Some(bounded) if records => bounded.over().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ready => {}
            () = over => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }

    /// Waits for an event, or until the pace lets more records go. That it waits is meant, as behind a gate.
    /// Cancel-safe.
    async fn rest_until(&mut self, due: Instant) {
        self.member.health.count_progress();
        let due = due.min(self.commit_due).min(self.tick_due);
        tokio::select! {
            () = self.reader.event_ready() => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }

    /// Waits for an event, or until the gate is open. That it waits is meant: nobody gives up on it.
    /// Cancel-safe.
    async fn rest_behind(&mut self, gate: &Gate) {
        self.member.health.count_progress();
        let due = self.next_due(false);
        tokio::select! {
            () = self.reader.event_ready() => {}
            () = gate.opened() => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }

    /// A partition was read up to the end of what is wanted of it.
    fn beyond(&mut self, assignment: &Arc<Assignment>) {
        if let Some(owned) = self.ours.iter_mut().find(|owned| owned.is(assignment)) {
            owned.skipped_to = owned.end;
            owned.position_due = true;
            self.member.handle.stop_reading(assignment);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Assigned(assignment) => self.assigned(assignment),
            Event::Revoking(assignments, reply) => self.revoking(&assignments, reply),
            Event::Gone(assignments) => self.gone(&assignments),
            Event::OutOfRange {
                assignment,
                requested,
                log_start,
                resumed,
                held,
                ..
            } => {
                if let Some(why) = held {
                    self.member.hold(&assignment, &why);
                }
                if let Some(at) = resumed {
                    self.skipped(&assignment, requested, at, log_start);
                }
            }
            // Only after `close`, which learns it from the handle.
            Event::Closed => {}
        }
    }

    fn assigned(&mut self, assignment: Arc<Assignment>) {
        if self.closing {
            return;
        }
        // Of a held partition nothing is read, and nothing may be committed: a commit would carry
        // the id of the topic as it is now, and the next start would take it for sound.
        if let Some(why) = &assignment.start.held {
            return self.member.hold(&assignment, why);
        }
        let start = assignment.start.offset;
        if !assignment.start.from_commit {
            // At once: after a crash before the first commit, `latest` would be later.
            self.commit_due = clock::now();
        }
        let end = self.member.end_of(&assignment.partition);
        let counts = self.member.fixed.is_some();
        let owned = Owned::new(assignment, &self.member.partitions, end, counts);
        let partition = Arc::clone(&owned.partition);
        self.ours.push(owned);
        self.waiting.push_back(Next::Assigned { partition, start });
    }

    fn revoking(&mut self, assignments: &[Arc<Assignment>], reply: Reply) {
        self.member.release(assignments);
        if self.closing {
            // Their ledgers are closed already. They stay in the list, to see what was committed.
            return reply.answer(self.frontiers(assignments));
        }
        let owned = self.give_up(assignments);
        if owned.is_empty() {
            return reply.answer(Vec::new());
        }
        let (done, settled) = oneshot::channel();
        // Short of what the client waits, so that the answer arrives in time.
        let patience = self.member.settings.revoke_drain_timeout * 4 / 5;
        self.waiting.push_back(Next::Revoking {
            partitions: owned
                .iter()
                .map(|owned| Arc::clone(&owned.partition))
                .collect(),
            deadline: clock::now() + patience,
            done,
        });
        self.revokes.push(Revoke {
            owned,
            reply,
            settled,
        });
    }

    fn gone(&mut self, assignments: &[Arc<Assignment>]) {
        self.member.release(assignments);
        if self.closing {
            return;
        }
        let revoked = self.revokes.iter().flat_map(|revoke| &revoke.owned);
        let mut partitions: Vec<_> = revoked
            .filter(|owned| assignments.iter().any(|one| owned.is(one)))
            .map(|owned| Arc::clone(&owned.partition))
            .collect();
        partitions.extend(
            self.give_up(assignments)
                .into_iter()
                .map(|owned| owned.partition),
        );
        if !partitions.is_empty() {
            self.waiting.push_back(Next::Lost(partitions));
        }
    }

    fn give_up(&mut self, assignments: &[Arc<Assignment>]) -> Vec<Owned> {
        let theirs = |owned: &mut Owned| assignments.iter().any(|one| owned.is(one));
        self.ours.extract_if(.., theirs).collect()
    }

    /// The records from `requested` to `at` were deleted before they were read.
    fn skipped(&mut self, assignment: &Arc<Assignment>, requested: i64, at: i64, log_start: i64) {
        let Some(owned) = self.ours.iter_mut().find(|owned| owned.is(assignment)) else {
            return;
        };
        let at = at.min(owned.end);
        owned.skipped_to = at;
        owned.position_due = true;
        if let Ok(lost) = u64::try_from(at - requested)
            && lost > 0
        {
            owned.partition.count_lost(requested..at);
            owned.lost.push(requested..at);
            tracing::error!(
                topic = %assignment.partition.topic,
                partition = assignment.partition.partition,
                requested,
                log_start,
                lost,
                "Records were deleted at the broker before they were read"
            );
        }
    }

    /// With nothing in flight, moves a partition past offsets that hold no record.
    fn position(&mut self) -> Option<Next> {
        let now = clock::now();
        if self.moved && now >= self.positions_due {
            self.moved = false;
            self.positions_due = now + POSITIONS_APART;
            self.ours
                .iter_mut()
                .for_each(|owned| owned.position_due = true);
        }
        for owned in &mut self.ours {
            if !owned.position_due {
                continue;
            }
            let Some(settled) = owned.partition.settled_to() else {
                continue;
            };
            owned.position_due = false;
            let position = self.reader.position(&owned.assignment);
            let offset = position.unwrap_or(settled).max(owned.skipped_to);
            let offset = offset.min(owned.end);
            if offset > settled {
                let partition = Arc::clone(&owned.partition);
                return Some(Next::Position { partition, offset });
            }
        }
        None
    }

    fn is_at_end(&self) -> bool {
        let Some(bounded) = &self.member.bounded else {
            return false;
        };
        for owned in &self.ours {
            if let Some(next) = owned.partition.next()
                && owned.announced
                && !self.member.holds(&owned.assignment.partition)
            {
                bounded.reached(&owned.assignment, next);
            }
        }
        bounded.is_over(&self.member.handle)
    }

    fn commit(&mut self) {
        let handle = &self.member.handle;
        let ours = self.ours.iter_mut();
        let ready = ours.filter(|owned| !handle.is_committing(&owned.assignment));
        let news: Vec<Frontier> = ready.filter_map(Owned::news).collect();
        if !news.is_empty()
            && let Err(code) = handle.commit(&news)
        {
            tracing::warn!(spout = %self.member.id, error = %code, "A commit could not be sent; it is repeated");
        }
    }

    fn answer_revokes(&mut self) {
        let settled = |revoke: &mut Revoke| {
            let answer = revoke.settled.try_recv();
            answer != Err(oneshot::error::TryRecvError::Empty)
        };
        for revoke in self.revokes.extract_if(.., settled) {
            let frontiers = revoke.owned.iter().filter_map(Owned::frontier).collect();
            revoke.reply.answer(frontiers);
        }
    }

    fn frontiers(&self, assignments: &[Arc<Assignment>]) -> Vec<Frontier> {
        let theirs = |owned: &&Owned| assignments.iter().any(|one| owned.is(one));
        let owned = self.ours.iter().filter(theirs);
        owned.filter_map(Owned::frontier).collect()
    }

    /// Says which answered records will be read again, since their commit was not confirmed.
    fn confirm(&self, left: bool) -> Result<(), OperatorError> {
        let open: Vec<&Owned> = self.ours.iter().filter(|o| !o.is_committed()).collect();
        let Some(first) = open.first() else {
            return if left {
                Ok(())
            } else {
                Err(OperatorError::external(format!(
                    "the group was not left within {CLOSE_WITHIN:?}; it notices when the session ends"
                )))
            };
        };
        let name = &first.assignment.partition;
        Err(OperatorError::external(format!(
            "the last commit of {} partitions was not confirmed, {}/{} among them: what was answered since the one before is read again",
            open.len(),
            name.topic,
            name.partition,
        )))
    }
}

#[cfg(test)]
mod tests;
