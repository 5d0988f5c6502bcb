//! What must hold at every step, whatever goes wrong.

use std::collections::BTreeSet;

use isobar_topology::{Account, Batch, Rejection, Running, Whereabouts};

use crate::Plant;
use crate::scenario::{Edge, Fate, Item, Kind, Rejected, Scenario, Way};
use crate::world::{Blame, Drops, Record, State, World, rejected_by, walk_rejected};

/// Calls of operators in one life; a run has some thousand.
const STEPS_MAX: u64 = 2_000_000;

/// Enough for any run with the mistake that never ends, which would take a minute to get that far.
const STEPS_OF_NO_END: u64 = 100_000;

/// Each record that was read is looked at then, which takes a while.
const STEPS_BETWEEN_LOOKS: u64 = 32;

/// Bytes that are counted for a record that waits alone of its batch, padding aside.
const WAITING: usize = 1_700;

fn steps_max(plant: Plant) -> u64 {
    match plant {
        Plant::NeverRests => STEPS_OF_NO_END,
        _ => STEPS_MAX,
    }
}

impl World {
    /// Looks at everything. Called at each call on an operator.
    pub fn check(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.violation.is_some() {
            return;
        }
        state.steps += 1;
        if state.steps > steps_max(self.plant) {
            self.violate(state, || "it goes on for ever".to_owned());
        }
        let Some(running) = state.life.running.clone() else {
            return;
        };
        for spout in 0..self.scenario.spouts.len() {
            let mut in_flight = 0;
            for log in 0..state.logs.len() {
                if state.logs[log].spout != spout {
                    continue;
                }
                let topic = format!("in-{spout}");
                let partition = running
                    .partitions(spout)
                    .open(&topic, state.logs[log].number, 7);
                let account = partition.account();
                in_flight += account.in_flight;
                self.check_account(state, log, &account);
            }
            let mut now = running.in_flight(spout);
            if self.plant == Plant::KeepsBytes {
                now.1 = now.1.max(1);
            }
            self.check_in_flight(state, spout, in_flight, now);
        }
        if state.steps.is_multiple_of(STEPS_BETWEEN_LOOKS) {
            for spout in 0..self.scenario.spouts.len() {
                self.check_what_waits(state, &running, spout);
            }
        }
        let queued = self.scenario.queue_batches * self.scenario.lanes;
        for bolt in 0..self.scenario.bolts.len() {
            if running
                .waiting(bolt)
                .is_some_and(|waiting| waiting > queued)
            {
                self.violate(state, || {
                    format!("the queue of bolt-{bolt} is over its bound")
                });
            }
        }
    }

    fn check_account(&self, state: &mut State, log: usize, account: &Account) {
        let handed = state.life.read.get(&log).copied().unwrap_or(0);
        if state.logs[log].lost && account.is_assigned() {
            self.violate(state, || format!("log {log} was lost and is still read"));
        }
        if account.difference() != 0 || account.read != handed {
            self.violate(state, || {
                format!("log {log}: {handed} records were handed out, the account says {account:?}")
            });
        }
        if let Some(frontier) = account.frontier {
            self.check_passed(state, log, frontier, "the frontier");
        }
        if let (Some(frontier), Some(next)) = (account.frontier, account.next) {
            let offsets = &state.logs[log].offsets;
            let below = |offset| offsets.partition_point(|o| *o < offset);
            let uncommitted = below(next).saturating_sub(below(frontier));
            if uncommitted >= self.scenario.max_uncommitted + self.scenario.batch_max {
                self.violate(state, || {
                    format!("log {log}: {uncommitted} records are read and not committed")
                });
            }
        }
    }

    /// One batch per lane may be added while there is room.
    fn check_in_flight(&self, state: &mut State, spout: usize, open: u64, now: (usize, usize)) {
        let scenario = &self.scenario;
        let (records, bytes) = now;
        // A spout that drops reads one more, to drop it.
        let batches = match scenario.spouts[spout].overload.is_lossy() {
            true => 2 * scenario.lanes * scenario.batch_max,
            false => scenario.lanes * scenario.batch_max,
        };
        if records as u64 != open {
            self.violate(state, || {
                format!("in-{spout}: {records} records in flight, by the accounts {open}")
            });
        }
        if records >= scenario.max_in_flight_records + batches
            || bytes >= scenario.max_in_flight_bytes + batches * (100 + scenario.padding)
        {
            self.violate(state, || {
                format!("in-{spout}: {records} records, {bytes} bytes in flight are too much")
            });
        }
        if records == 0 && bytes != 0 {
            self.violate(state, || format!("in-{spout}: {bytes} bytes of no record"));
        }
    }

    /// Where all that is open waits to be sent again, no more is kept in memory than a few times that.
    fn check_what_waits(&self, state: &mut State, running: &Running, spout: usize) {
        let (mut open, mut waiting) = (0, 0);
        let of_spout = state.logs.iter().filter(|log| log.spout == spout);
        for log in of_spout {
            let partitions = running.partitions(spout);
            let partition = partitions.open(&format!("in-{spout}"), log.number, 7);
            let account = partition.account();
            open += account.in_flight;
            let (from, to) = (account.frontier.unwrap_or(0), account.next.unwrap_or(0));
            let places = [from, to].map(|at| log.offsets.partition_point(|offset| *offset < at));
            let beyond = log.offsets.get(places[0]..places[1]).unwrap_or_default();
            let waits = |offset: &&i64| {
                let at = partition.whereabouts(**offset);
                matches!(at, Whereabouts::InFlight { waits: Some(_), .. })
            };
            waiting += beyond.iter().filter(waits).count();
        }
        let (_, bytes) = running.in_flight(spout);
        if open == waiting as u64 && bytes > waiting * 4 * (WAITING + self.scenario.padding) {
            self.violate(state, || {
                format!("in-{spout}: {bytes} bytes are kept of {waiting} records that wait")
            });
        }
    }

    /// Everything before this offset must be where it belongs.
    pub fn check_passed(&self, state: &mut State, log: usize, offset: i64, what: &str) {
        loop {
            let at = state.logs[log].verified;
            match state.logs[log].offsets.get(at) {
                Some(next) if *next < offset => {}
                _ => return,
            }
            let id = state.logs[log].first + at;
            if let Err(missing) = self.is_settled(state, id) {
                self.violate(state, || {
                    format!("{what} of log {log} is at {offset} and passed record {id}: {missing}")
                });
                return;
            }
            state.logs[log].verified += 1;
        }
    }

    /// Says what a record still lacks.
    fn is_settled(&self, state: &State, id: usize) -> Result<(), String> {
        let record = &state.records[id];
        if record.foreign || self.has_arrived(id, record, Drops::Nothing) {
            return Ok(());
        }
        if self.was_dropped(state, id) && self.has_arrived(id, record, Drops::Everything) {
            return Ok(());
        }
        Err(format!(
            "it belongs to {:?} and is at {:?}",
            record.expected, record.reached
        ))
    }

    /// Whether a record is everywhere where it belongs, or in a dead letter for a fault of its own.
    fn has_arrived(&self, id: usize, record: &Record, drops: Drops) -> bool {
        let arrived = |expected: &Option<BTreeSet<_>>| matches!(expected, Some(expected) if expected.is_subset(&record.reached));
        let expected = match drops {
            Drops::Nothing => &record.expected,
            Drops::Everything => &record.spared,
        };
        let given_up = |blame: &Blame| {
            let mut expected = Some(BTreeSet::new());
            walk_rejected(
                &self.scenario,
                Item::whole(id),
                blame.bolt,
                drops,
                &mut expected,
            );
            self.may_be_given_up(record, blame.bolt) && arrived(&expected)
        };
        arrived(expected) || record.blame.iter().any(given_up)
    }

    /// Whether it is on record that a policy on one of its ways dropped it, a part or a copy of it, since
    /// too many came. A record that is dead-lettered on another way counts as that.
    fn was_dropped(&self, state: &State, id: usize) -> bool {
        let Some(running) = &state.life.running else {
            return false;
        };
        let record = &state.records[id];
        let log = &state.logs[record.log];
        let partitions = running.partitions(log.spout);
        let partition = partitions.open(&format!("in-{}", log.spout), log.number, 7);
        let policies = self.lossy_policies(state, id);
        match partition.whereabouts(record.offset) {
            Whereabouts::Dropped(policy) => policies.contains(&policy.index()),
            _ => {
                let is_dead_lettered = record.reached.iter().any(|end| end.rejected_by.is_some());
                is_dead_lettered && !policies.is_empty()
            }
        }
    }

    /// Whether the core may reject the record on behalf of this bolt.
    fn may_be_given_up(&self, record: &Record, bolt: usize) -> bool {
        let faults: u32 = record.blame.iter().map(|blame| blame.faults).sum();
        let certain = record.blame.iter().any(|blame| blame.certain);
        let by_this = record.blame.iter().any(|blame| blame.bolt == bolt);
        by_this && (certain || faults >= self.scenario.retry.attempts_max)
    }

    /// Looks at a batch that a bolt gets.
    pub fn check_batch(&self, bolt: usize, lane: usize, batch: &Batch, items: &[Item]) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let upstream = Upstream::of(&self.scenario, bolt);
        for (row, item) in items.iter().enumerate() {
            if let Some(rejection) = batch.rejection(row) {
                self.check_rejection(state, *item, rejection);
            }
            let record = &state.records[item.record];
            let (log, key, offset) = (record.log, record.key, record.offset);
            let lanes_of_key = match upstream.last {
                Some(Way::Fields) => Some((key, 1)),
                Some(Way::PartialKey) => Some((key, 2)),
                Some(Way::Global) => Some((0, 1)),
                Some(Way::Local | Way::Shuffle | Way::All) | None => None,
            };
            if let Some((key, most)) = lanes_of_key {
                let lanes = state.life.lanes_of_key.entry((bolt, key)).or_default();
                let _ = lanes.insert(lane);
                if lanes.len() > most {
                    self.violate(state, || {
                        format!("bolt-{bolt} gets key {key} on too many lanes")
                    });
                }
            }
            if self.scenario.orderly && upstream.ordered {
                let key = if upstream.keyed { key } else { 0 };
                let at = (offset, item.part);
                let copy = if upstream.last == Some(Way::All) {
                    lane
                } else {
                    0
                };
                let last = state.life.last_seen.insert((bolt, log, key, copy), at);
                if last.is_some_and(|last| last >= at) {
                    self.violate(state, || {
                        format!("bolt-{bolt} gets offset {at:?} of log {log} after {last:?}")
                    });
                }
            }
        }
    }

    /// A record is rejected by the bolt that does so, or given up for faults that are its own: never
    /// for those of an outside system or of a neighbour.
    fn check_rejection(&self, state: &mut State, item: Item, rejection: &Rejection) {
        let bolt = rejected_by(rejection);
        let right = match rejection.class {
            // It may have been split since.
            "simulated" => item
                .and_outer()
                .any(|item| self.scenario.fate(bolt, item) == Fate::Reject),
            _ => self.may_be_given_up(&state.records[item.record], bolt),
        };
        if !right {
            self.violate(state, || {
                format!("record {item} is rejected without a reason of its own: {rejection:?}")
            });
        }
    }

    /// Everything is settled, so all input was passed.
    pub fn check_caught_up(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        for log in 0..state.logs.len() {
            self.check_passed(state, log, i64::MAX, "the end");
        }
    }

    /// No record counted as something that it never was.
    pub fn check_counts(&self) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(running) = state.life.running.clone() else {
            return;
        };
        let mut counted = Account::default();
        for spout in 0..self.scenario.spouts.len() {
            counted.add(&running.account(spout));
        }
        // What became of records that were given up depends on when.
        let (mut certain, mut uncertain) = ([0; 3], counted.handed_back + counted.in_flight);
        for (id, times) in &state.life.handed {
            let record = &state.records[*id];
            let sure = record.blame.is_empty() && self.lossy_policies(state, *id).is_empty();
            if sure && record.expected.is_some() {
                certain[self.class(state, *id) as usize] += times;
            } else {
                uncertain += times;
            }
        }
        let indexed = counted.delivered + counted.already_present;
        let dropped = counted.dropped.values().sum();
        let counts = [indexed, dropped, counted.dead_lettered];
        if (0..3).any(|class| counts[class].abs_diff(certain[class]) > uncertain) {
            self.violate(state, || {
                format!("indexed, dropped, dead-lettered are {certain:?} and {uncertain} more, counted was {counted:?}")
            });
        }
    }

    /// The policies that may drop a record, or a part or a copy of it, since too many come.
    fn lossy_policies(&self, state: &State, id: usize) -> BTreeSet<usize> {
        let number = state.logs[state.records[id].log].spout;
        let spout = &self.scenario.spouts[number];
        let mut policies = BTreeSet::new();
        if spout.overload.is_lossy() {
            let _ = policies.insert(self.scenario.policy_of_spout(number));
        }
        self.lossy_along(Item::whole(id), &spout.out, &mut policies);
        // What is given up on behalf of a bolt goes where that one rejects to.
        for blame in &state.records[id].blame {
            if let Rejected::To(to) = self.scenario.bolts[blame.bolt].rejected {
                self.lossy_along(Item::whole(id), &[Edge::new(to, Way::Local)], &mut policies);
            }
        }
        policies
    }

    fn lossy_along(&self, item: Item, edges: &[Edge], policies: &mut BTreeSet<usize>) {
        for edge in edges {
            if edge.overload.is_lossy() {
                let _ = policies.insert(self.scenario.policy_of_bolt(edge.to));
            }
            let bolt = &self.scenario.bolts[edge.to];
            match (self.scenario.fate(edge.to, item), bolt.rejected) {
                (Fate::Pass, _) if bolt.kind == Kind::Split => {
                    for part in item.parts(self.scenario.parts(edge.to, item)) {
                        self.lossy_along(part, &bolt.out, policies);
                    }
                }
                (Fate::Pass, _) => self.lossy_along(item, &bolt.out, policies),
                (Fate::Other, _) => self.lossy_along(item, &bolt.other, policies),
                (Fate::Reject, Rejected::To(to)) => {
                    self.lossy_along(item, &[Edge::new(to, Way::Local)], policies);
                }
                _ => {}
            }
        }
    }

    /// What a record counts as: its worst branch.
    fn class(&self, state: &State, id: usize) -> Class {
        let record = &state.records[id];
        if record.tombstone {
            return Class::Dropped;
        }
        let spout = state.logs[record.log].spout;
        let out = self.scenario.spouts[spout].out.iter();
        let worst = out
            .map(|edge| self.class_at(Item::whole(id), edge.to))
            .max();
        worst.expect("spouts have consumers")
    }

    fn class_at(&self, item: Item, bolt: usize) -> Class {
        let plan = &self.scenario.bolts[bolt];
        let worst = |item: Item, edges: &[Edge]| {
            let classes = edges.iter().map(|edge| self.class_at(item, edge.to));
            classes.max().expect("streams have consumers")
        };
        match self.scenario.fate(bolt, item) {
            Fate::Pass if plan.kind.is_sink() => Class::Indexed,
            Fate::Pass if plan.kind == Kind::Split => {
                let parts = item.parts(self.scenario.parts(bolt, item));
                let classes = parts.map(|part| worst(part, &plan.out));
                classes.max().expect("there is a part")
            }
            Fate::Pass => worst(item, &plan.out),
            Fate::Other => worst(item, &plan.other),
            Fate::Drop => Class::Dropped,
            Fate::Reject => match plan.rejected {
                Rejected::DeadLetter => Class::DeadLettered,
                Rejected::Drop => Class::Dropped,
                Rejected::To(next) => self.class_at(item, next),
            },
            Fate::Poison(_) => Class::DeadLettered,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Indexed,
    Dropped,
    DeadLettered,
}

/// The way of records to a bolt that has one input.
struct Upstream {
    /// The grouping of the edge that leads to it.
    last: Option<Way>,
    ordered: bool,
    /// Records of one key only come in order.
    keyed: bool,
}

impl Upstream {
    fn of(scenario: &Scenario, bolt: usize) -> Self {
        let ways = scenario.ways_to(bolt);
        let last = match ways[..] {
            [way] => Some(way.0),
            _ => None,
        };
        let mut upstream = Self {
            last,
            ordered: true,
            keyed: false,
        };
        let mut at = bolt;
        loop {
            let [(way, from)] = scenario.ways_to(at)[..] else {
                upstream.ordered = false;
                return upstream;
            };
            upstream.ordered &= !matches!(way, Way::Shuffle | Way::PartialKey);
            // Copies of one record come one after the other where they meet.
            upstream.ordered &= way != Way::All || at == bolt;
            upstream.keyed |= way == Way::Fields;
            let Some(from) = from else {
                return upstream;
            };
            // Requests end in any order.
            upstream.ordered &= scenario.bolts[from].kind != Kind::BulkSink;
            at = from;
        }
    }
}
