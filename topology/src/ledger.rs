//! What was handed out from one partition during one assignment, in delivery order.
//!
//! The frontier is the offset before which everything is settled; only it may be committed.
//! Delivery order, not offset arithmetic: gaps of compaction and control records do not matter.

mod entry;

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ack::Ticket;
use crate::arena::Arena;
use crate::clock;
use crate::ledger::entry::Entry;
use crate::outcome::Code;
use crate::partition::{Fates, Partition};

/// The open and not yet passed entries of one assignment of one partition.
#[derive(Debug)]
pub(crate) struct Ledger {
    id: u64,
    partition: Arc<Partition>,
    entries: VecDeque<Entry>,
    /// Number of `entries[0]`.
    first: u64,
    /// Offset after the last record that was handed out, or where reading starts.
    next: i64,
    /// Records of `entries`.
    uncommitted: usize,
    /// What became of the records of entries before the first one.
    passed: Fates,
    /// Timestamp of the last settled record before the frontier.
    settled_timestamp: Option<i64>,
}

impl Ledger {
    /// Opens the ledger of an assignment that reads from offset `start`.
    pub(crate) fn open(partition: Arc<Partition>, start: i64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut ledger = Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            partition,
            entries: VecDeque::new(),
            first: 0,
            next: start,
            uncommitted: 0,
            passed: Fates::default(),
            settled_timestamp: None,
        };
        ledger.partition.lock().ledger = ledger.id;
        ledger.partition.trail().begin(ledger.id, start);
        ledger.publish();
        ledger
    }

    /// Unique in the process: late answers to an earlier assignment find no ledger.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Notes a batch as handed out and returns the ticket of its first attempt.
    pub(crate) fn register(&mut self, arena: Arc<Arena>) -> Ticket {
        let count = arena.len();
        assert!(count > 0, "a batch has records");
        assert!(
            arena.offset(0) >= self.next,
            "batches of a partition come in offset order"
        );
        self.next = arena.offset(count - 1) + 1;
        let entry = self.first + self.entries.len() as u64;
        if !cfg!(isobar_unacked) {
            self.uncommitted += count;
            let (first, last) = (arena.offset(0), self.next - 1);
            let mut trail = self.partition.trail();
            trail.read(self.id, first, last, clock::unix_ms());
            drop(trail);
            self.entries.push_back(Entry::new(arena));
            self.partition.lock().count_read(count as u64);
        }
        self.publish();
        Ticket {
            ledger: self.id,
            entry,
            records: None,
            attempts: 0,
            retries: 0,
            holds: 0,
            recoveries: 0,
        }
    }

    /// Enters the final outcomes of an attempt and moves the frontier. Failed records stay open.
    /// Returns records and bytes that are no longer in flight.
    pub(crate) fn settle(&mut self, ticket: &Ticket, codes: &[Code]) -> Released {
        let index = (ticket.entry - self.first) as usize;
        let entry = &mut self.entries[index];
        let size = entry.size();
        let places = ticket.records.as_ref().map(|all| entry.places(all));
        let mut dropped = Vec::new();
        let mut enter = |places: Range<usize>, code: Code| {
            if code.failure().is_none() {
                if let Some(policy) = code.policy() {
                    dropped.push((places.clone(), policy));
                }
                entry.settle(places, code);
            }
        };
        match &places {
            None => {
                let mut next = 0;
                for run in codes.chunk_by(PartialEq::eq) {
                    enter(next..next + run.len(), run[0]);
                    next += run.len();
                }
            }
            Some(places) => {
                for (place, code) in places.iter().map(|place| *place as usize).zip(codes) {
                    enter(place..place + 1, *code);
                }
            }
        }
        let arena = entry.arena();
        let now = clock::unix_ms();
        let mut account = self.partition.lock();
        let fates = account.count_settled(codes);
        let records = fates.sum();
        if records == arena.len() as u64 {
            let each = (0..arena.len()).map(|place| arena.timestamp(place));
            account.latency.observe_all(now, arena.times(), each);
        } else {
            let settled = codes
                .iter()
                .enumerate()
                .filter(|(_, c)| c.failure().is_none());
            for (position, _) in settled {
                let place = places.as_ref().map_or(position, |p| p[position] as usize);
                account.latency.observe(now, arena.timestamp(place));
            }
        }
        drop(account);
        if !dropped.is_empty() || entry.open == 0 {
            let mut trail = self.partition.trail();
            for (places, policy) in dropped {
                for offsets in unbroken(arena, places) {
                    trail.dropped(self.id, offsets, policy);
                }
            }
            if entry.open == 0 {
                trail.closed(self.id, entry.first);
            }
        }
        entry.fates.add(&fates);
        match entry.open {
            0 => entry.close(),
            _ => entry.thin(),
        }
        let released = Released {
            records: records as usize,
            bytes: size - entry.size(),
        };
        self.pass_settled();
        released
    }

    /// What the records of an attempt are read from, and where in that they are; `None` for all of it.
    pub(crate) fn records(&self, ticket: &Ticket) -> (&Arc<Arena>, Option<Vec<u32>>) {
        let entry = self.entry(ticket.entry);
        let numbers = ticket.records.as_ref();
        let places = numbers.map(|numbers| entry.places(numbers).into_owned());
        (entry.arena(), places)
    }

    /// The offset of an open record, by its number in its batch.
    pub(crate) fn offset(&self, entry: u64, record: u32) -> i64 {
        let entry = self.entry(entry);
        entry.arena().offset(entry.places(&[record])[0] as usize)
    }

    /// The offset of the first record of a batch with open ones.
    pub(crate) fn batch(&self, entry: u64) -> i64 {
        self.entry(entry).first
    }

    /// Whether a batch has open records.
    pub(crate) fn is_open(&self, entry: u64) -> bool {
        entry >= self.first && self.entry(entry).open > 0
    }

    fn entry(&self, entry: u64) -> &Entry {
        &self.entries[(entry - self.first) as usize]
    }

    /// Nothing is in flight and the spout knows that nothing lies before `position`: control records
    /// or gaps at the end of the partition are passed, so that lag reaches 0.
    pub(crate) fn advance(&mut self, position: i64) {
        if self.entries.is_empty() && position > self.next {
            self.next = position;
            self.publish();
        }
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Records read beyond the frontier, settled or not: what would be read again after a crash.
    pub(crate) fn uncommitted(&self) -> usize {
        self.uncommitted
    }

    /// Ends the assignment: what is still open is handed back.
    pub(crate) fn close(self) -> Released {
        let mut released = Released::default();
        for entry in self.entries.iter().filter(|entry| entry.open > 0) {
            released.records += entry.open;
            released.bytes += entry.size();
        }
        let oldest = self.entries.front();
        let frontier = oldest.map(|entry| entry.arena().offset(entry.oldest_open()));
        let mut trail = self.partition.trail();
        trail.end(self.id, frontier.unwrap_or(self.next));
        drop(trail);
        let mut account = self.partition.lock();
        account.count_handed_back(released.records as u64);
        if account.ledger == self.id {
            account.ledger = 0;
        }
        drop(account);
        released
    }

    fn pass_settled(&mut self) {
        while let Some(entry) = self.entries.front() {
            if entry.open > 0 {
                break;
            }
            self.settled_timestamp = known(entry.last_timestamp);
            self.uncommitted -= entry.records;
            self.passed.add(&entry.fates);
            let _ = self.entries.pop_front();
            self.first += 1;
        }
        self.publish();
    }

    /// Writes the frontier where the commit and lag threads read it.
    fn publish(&mut self) {
        let mut before = self.passed;
        let (frontier, frontier_timestamp) = match self.entries.front() {
            None => (self.next, None),
            Some(entry) => {
                let (arena, open) = (entry.arena(), entry.oldest_open());
                let (fates, timestamp) = entry.before(open);
                before.add(&fates);
                if let Some(timestamp) = timestamp {
                    self.settled_timestamp = known(timestamp);
                }
                (arena.offset(open), known(arena.timestamp(open)))
            }
        };
        let mut account = self.partition.lock();
        if account.ledger != self.id {
            return;
        }
        account.frontier = Some(frontier);
        account.next = Some(self.next);
        account.before_frontier = before;
        account.frontier_timestamp = frontier_timestamp;
        account.settled_timestamp = self.settled_timestamp.or(account.settled_timestamp);
    }
}

/// The offsets of some records of an arena, in ranges without a gap: a batch mostly has none.
fn unbroken(
    arena: &Arena,
    records: Range<usize>,
) -> impl Iterator<Item = RangeInclusive<i64>> + '_ {
    let mut offsets = records.map(|record| arena.offset(record)).peekable();
    std::iter::from_fn(move || {
        let first = offsets.next()?;
        let mut last = first;
        while offsets.next_if_eq(&(last + 1)).is_some() {
            last += 1;
        }
        Some(first..=last)
    })
}

fn known(timestamp: i64) -> Option<i64> {
    (timestamp >= 0).then_some(timestamp)
}

/// What is no longer in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Released {
    pub(crate) records: usize,
    /// Bytes of records that were let go of.
    pub(crate) bytes: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arena::ArenaBuilder;
    use crate::outcome::{Answer, Failure, Policy};
    use crate::trail::Whereabouts;

    fn arena(partition: &Arc<Partition>, offsets: &[i64]) -> Arc<Arena> {
        arena_of(1, partition, offsets)
    }

    /// With payloads of so many bytes, which say the offset.
    fn arena_of(bytes: usize, partition: &Arc<Partition>, offsets: &[i64]) -> Arc<Arena> {
        let mut builder = ArenaBuilder::new(Arc::clone(partition), offsets.len(), 0);
        for offset in offsets {
            let payload = vec![*offset as u8; bytes];
            builder.push(
                *offset,
                offset * 10,
                None,
                Some(&payload),
                std::iter::empty(),
            );
        }
        Arc::new(builder.finish())
    }

    fn delivered(count: usize) -> Vec<Code> {
        vec![Code::of(Answer::Delivered); count]
    }

    #[test]
    fn the_frontier_waits_for_the_oldest_open_batch() {
        let partition = Partition::for_tests("t", 0);
        let mut ledger = Ledger::open(Arc::clone(&partition), 5);
        assert_eq!(partition.account().frontier, Some(5));
        let older = ledger.register(arena(&partition, &[7, 8]));
        let newer = ledger.register(arena(&partition, &[20]));
        assert_eq!(partition.account().frontier, Some(7));

        let _ = ledger.settle(&newer, &delivered(1));
        let account = partition.account();
        assert_eq!((account.frontier, account.next), (Some(7), Some(21)));
        assert_eq!(account.frontier_timestamp, Some(70));

        let _ = ledger.settle(&older, &delivered(2));
        let account = partition.account();
        assert_eq!((account.frontier, account.in_flight), (Some(21), 0));
        assert_eq!(account.settled_timestamp, Some(200));
        assert_eq!(account.difference(), 0);
    }

    #[test]
    fn dropped_records_are_remembered_without_the_gaps_between_them() {
        let partition = Partition::for_tests("t", 0);
        let mut ledger = Ledger::open(Arc::clone(&partition), 0);
        let ticket = ledger.register(arena(&partition, &[0, 1, 4, 5, 6]));
        let policy = Policy::new(1).expect("few enough");
        let dropped = Code::of(Answer::Dropped(policy));
        let _ = ledger.settle(
            &ticket,
            &[dropped, dropped, dropped, Code::DELIVERED, dropped],
        );
        let found = |offset| partition.trail().find(offset);
        for offset in [0, 1, 4, 6] {
            assert_eq!(found(offset), Whereabouts::Dropped(policy), "{offset}");
        }
        for offset in [2, 3, 5] {
            let settled = Whereabouts::Settled { certain: true };
            assert_eq!(found(offset), settled, "{offset}");
        }
        let account = partition.account();
        assert_eq!(account.dropped, [(policy, 4)].into());
        assert_eq!((account.delivered, account.difference()), (1, 0));
    }

    #[test]
    fn a_failed_record_stays_open_and_its_neighbours_do_not() {
        let partition = Partition::for_tests("t", 0);
        let mut ledger = Ledger::open(Arc::clone(&partition), 0);
        let ticket = ledger.register(arena(&partition, &[0, 1, 2]));
        let failed = Code::failed(Failure::External);
        let codes = [Code::DELIVERED, failed, Code::DELIVERED];
        let _ = ledger.settle(&ticket, &codes);
        assert_eq!(partition.account().frontier, Some(1));
        assert_eq!(partition.account().in_flight, 1);
        assert_eq!(partition.account().latency.count(), 2);

        let retry = Ticket {
            records: Some(vec![1]),
            ..ticket
        };
        let released = ledger.settle(&retry, &delivered(1));
        assert_eq!(released.records, 1);
        assert!(released.bytes > 0);
        assert_eq!(partition.account().frontier, Some(3));
        assert_eq!(partition.account().latency.count(), 3);
    }

    #[test]
    fn what_became_of_the_records_before_the_frontier_is_told_without_those_behind_it() {
        let partition = Partition::for_tests("t", 0);
        let mut ledger = Ledger::open(Arc::clone(&partition), 0);
        let first = ledger.register(arena(&partition, &[0, 1, 2]));
        let second = ledger.register(arena(&partition, &[3, 4]));
        let before = || {
            let account = partition.account();
            (account.frontier, account.before_frontier)
        };
        let dead_lettered = Code::DEAD_LETTERED;
        let _ = ledger.settle(&second, &[Code::DELIVERED, dead_lettered]);
        assert_eq!(before(), (Some(0), Fates::default()));
        let failed = Code::failed(Failure::External);
        let _ = ledger.settle(&first, &[dead_lettered, failed, Code::DELIVERED]);
        let one = Fates {
            dead_lettered: 1,
            ..Fates::default()
        };
        assert_eq!(before(), (Some(1), one));
        let retry = Ticket {
            records: Some(vec![1]),
            ..first
        };
        let _ = ledger.settle(&retry, &[Code::of(Answer::AlreadyPresent)]);
        let all = Fates {
            delivered: 2,
            already_present: 1,
            dead_lettered: 2,
            ..Fates::default()
        };
        assert_eq!(before(), (Some(5), all));
        // What the next assignment begins with is behind that.
        let _again = Ledger::open(Arc::clone(&partition), 5);
        assert_eq!(before(), (Some(5), Fates::default()));
    }

    #[test]
    fn positions_past_control_records_count_only_with_nothing_in_flight() {
        let partition = Partition::for_tests("t", 0);
        let mut ledger = Ledger::open(Arc::clone(&partition), 0);
        let ticket = ledger.register(arena(&partition, &[0]));
        ledger.advance(9);
        assert_eq!(partition.account().frontier, Some(0));
        let _ = ledger.settle(&ticket, &delivered(1));
        ledger.advance(9);
        assert_eq!(partition.account().frontier, Some(9));
        ledger.advance(3);
        assert_eq!(partition.account().frontier, Some(9));
    }

    #[test]
    fn a_settled_batch_behind_an_open_one_keeps_no_records() {
        let partition = Partition::for_tests("t", 0);
        let mut ledger = Ledger::open(Arc::clone(&partition), 0);
        let held = ledger.register(arena(&partition, &[0]));
        let behind = arena(&partition, &[1, 2]);
        let ticket = ledger.register(Arc::clone(&behind));
        let released = ledger.settle(&ticket, &delivered(2));
        assert_eq!((released.records, released.bytes), (2, behind.size()));
        assert_eq!(Arc::strong_count(&behind), 1, "the ledger let go of it");
        assert_eq!(
            (ledger.uncommitted(), partition.account().frontier),
            (3, Some(0))
        );
        let _ = ledger.settle(&held, &delivered(1));
        let account = partition.account();
        assert_eq!((ledger.uncommitted(), account.frontier), (0, Some(3)));
        assert_eq!(account.settled_timestamp, Some(20));
    }

    #[test]
    fn a_record_that_waits_keeps_no_others_in_memory() {
        let partition = Partition::for_tests("t", 0);
        let mut ledger = Ledger::open(Arc::clone(&partition), 0);
        let batch = arena_of(400, &partition, &(0..1_000).collect::<Vec<_>>());
        let size = batch.size();
        batch.limit(700);
        let ticket = ledger.register(batch);
        let again = |records: &[u32]| Ticket {
            records: Some(records.to_vec()),
            ..ticket.clone()
        };
        let failed = Code::failed(Failure::Held);
        let mut codes = delivered(1_000);
        (codes[300], codes[700], codes[701]) = (failed, failed, failed);
        codes[699] = Code::DEAD_LETTERED;
        let let_go = ledger.settle(&ticket, &codes);
        assert_eq!(let_go.records, 997);
        assert!((size - 4_000..size).contains(&let_go.bytes), "{let_go:?}");

        // Numbers go on to count all of the batch, whichever part is asked for.
        let (arena, places) = ledger.records(&again(&[700, 701]));
        let found = places.expect("a part").into_iter().map(|place| {
            let record = place as usize;
            let payload = arena.payload(record).expect("one of 400 bytes");
            (arena.offset(record), payload[0], arena.is_limited(record))
        });
        let expected = [(700, 188, true), (701, 189, false)];
        assert!(found.eq(expected));
        assert_eq!(ledger.offset(ticket.entry, 300), 300);
        let account = partition.account();
        assert_eq!(
            (account.frontier, account.settled_timestamp),
            (Some(300), Some(2_990))
        );
        assert_eq!(account.before_frontier.delivered, 300);

        assert_eq!(ledger.settle(&again(&[300]), &delivered(1)).bytes, 0);
        let account = partition.account();
        assert_eq!(
            (account.frontier, account.settled_timestamp),
            (Some(700), Some(6_990))
        );
        let before = account.before_frontier;
        assert_eq!((before.delivered, before.dead_lettered), (699, 1));
        let last = ledger.settle(&again(&[700, 701]), &delivered(2));
        assert_eq!(let_go.bytes + last.bytes, size);
        let account = partition.account();
        assert_eq!(
            (account.frontier, account.settled_timestamp),
            (Some(1_000), Some(9_990))
        );
        assert_eq!((account.latency.count(), account.difference()), (1_000, 0));
    }

    #[test]
    fn what_another_part_of_the_batch_is_read_from_stays_as_it_is() {
        let partition = Partition::for_tests("t", 0);
        let mut ledger = Ledger::open(Arc::clone(&partition), 0);
        let batch = arena_of(4_000, &partition, &(0..20).collect::<Vec<_>>());
        let ticket = ledger.register(Arc::clone(&batch));
        let mut codes = delivered(20);
        codes[3] = Code::failed(Failure::Held);
        assert_eq!(ledger.settle(&ticket, &codes).bytes, 0);
        drop(batch);
        let retry = Ticket {
            records: Some(vec![3]),
            ..ticket
        };
        let let_go = ledger.settle(&retry, &[Code::failed(Failure::Held)]);
        assert!(let_go.bytes > 70_000, "{let_go:?}");
        assert_eq!(let_go.records, 0);
    }

    #[test]
    fn an_earlier_assignment_moves_no_frontier() {
        let partition = Partition::for_tests("t", 0);
        let mut before = Ledger::open(Arc::clone(&partition), 0);
        let ticket = before.register(arena(&partition, &[0, 1]));
        let now = Ledger::open(Arc::clone(&partition), 1);
        let _ = before.settle(&ticket, &delivered(2));
        assert_eq!(partition.account().frontier, Some(1));
        let _ = before.close();
        assert!(partition.account().is_assigned());
        let _ = now.close();
        let account = partition.account();
        assert!(!account.is_assigned());
        assert_eq!((account.difference(), account.read), (0, 2));
    }

    #[test]
    fn what_is_open_at_the_end_is_handed_back() {
        let partition = Partition::for_tests("t", 0);
        let mut ledger = Ledger::open(Arc::clone(&partition), 0);
        let ticket = ledger.register(arena(&partition, &[0, 1, 2]));
        let codes = [
            Code::DELIVERED,
            Code::failed(Failure::External),
            Code::DELIVERED,
        ];
        let _ = ledger.settle(&ticket, &codes);
        assert_eq!(ledger.close().records, 1);
        let settled = Whereabouts::Settled { certain: true };
        assert_eq!(partition.whereabouts(0), settled);
        assert_eq!(partition.whereabouts(1), Whereabouts::Elsewhere);
        let account = partition.account();
        assert_eq!((account.handed_back, account.in_flight), (1, 0));
        assert_eq!(account.difference(), 0);
    }

    /// What a random program does with a ledger.
    #[derive(Clone, Debug)]
    enum Step {
        /// A batch of so many records after a gap, with payloads of so many bytes.
        Register(usize, i64, usize),
        /// An attempt is answered: which one, and the records that fail, as bits.
        Answer(usize, u16),
        /// Positions of control records.
        Advance(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (1usize..16, 0i64..4, prop::sample::select(vec![1, 4_000]))
                .prop_map(|(size, gap, bytes)| Step::Register(size, gap, bytes)),
            5 => (any::<usize>(), any::<u16>(), any::<u16>())
                .prop_map(|(at, fails, too)| Step::Answer(at, fails & too)),
            1 => (0i64..4).prop_map(Step::Advance),
        ]
    }

    proptest! {
        /// Batches come and attempts are answered in any order, in part or as a whole: the frontier
        /// never passes an open record and never lags behind, and the account adds up at every step.
        #[test]
        fn the_frontier_never_passes_an_open_offset(steps in prop::collection::vec(step(), 0..80)) {
            let partition = Partition::for_tests("t", 0);
            let mut ledger = Ledger::open(Arc::clone(&partition), 0);
            let mut next = 0;
            // Attempts under way, with the offsets of their records and the batch's size in bytes.
            let mut open: Vec<(Ticket, Vec<i64>)> = Vec::new();
            let mut registered: Vec<(i64, usize)> = Vec::new();
            let mut read: Vec<i64> = Vec::new();
            let (mut bytes, mut records) = (0, 0);
            for step in steps {
                match step {
                    Step::Register(size, gap, payload) => {
                        let offsets: Vec<i64> = (next + gap..next + gap + size as i64).collect();
                        next += gap + size as i64;
                        let arena = arena_of(payload, &partition, &offsets);
                        bytes += arena.size();
                        records += size;
                        registered.push((next - 1, size));
                        read.extend(&offsets);
                        open.push((ledger.register(arena), offsets));
                    }
                    Step::Answer(at, fails) if !open.is_empty() => {
                        let (ticket, offsets) = open.swap_remove(at % open.len());
                        let fails = |row: usize| fails >> row & 1 == 1;
                        let codes: Vec<Code> = (0..offsets.len())
                            .map(|row| match fails(row) {
                                true => Code::failed(Failure::External),
                                false => Code::DELIVERED,
                            })
                            .collect();
                        let released = ledger.settle(&ticket, &codes);
                        (records, bytes) = (records - released.records, bytes - released.bytes);
                        let failed: Vec<usize> = (0..offsets.len()).filter(|r| fails(*r)).collect();
                        if !failed.is_empty() {
                            let number = |row: &usize| match &ticket.records {
                                None => *row as u32,
                                Some(records) => records[*row],
                            };
                            let records = Some(failed.iter().map(number).collect());
                            let offsets = failed.iter().map(|row| offsets[*row]).collect();
                            open.push((Ticket { records, ..ticket }, offsets));
                        }
                    }
                    Step::Answer(..) => {}
                    Step::Advance(by) => {
                        ledger.advance(next + by);
                        if open.is_empty() {
                            next += by;
                        }
                    }
                }
                let oldest = open.iter().flat_map(|(_, offsets)| offsets).min();
                let frontier = *oldest.unwrap_or(&next);
                let account = partition.account();
                prop_assert_eq!((account.frontier, account.next), (Some(frontier), Some(next)));
                let before = read.iter().filter(|offset| **offset < frontier).count();
                prop_assert_eq!(account.before_frontier.delivered, before as u64);
                prop_assert_eq!(account.before_frontier.sum(), before as u64);
                prop_assert_eq!(account.in_flight, records as u64);
                prop_assert_eq!(account.latency.count(), account.delivered);
                prop_assert_eq!(account.difference(), 0);
                let beyond = registered.iter().filter(|(last, _)| *last >= frontier);
                prop_assert_eq!(ledger.uncommitted(), beyond.map(|(_, size)| size).sum::<usize>());
                prop_assert_eq!(ledger.is_empty(), open.is_empty());
                prop_assert_eq!(bytes == 0, records == 0);
                for (ticket, offsets) in &open {
                    let (arena, places) = ledger.records(ticket);
                    let places = places.unwrap_or_else(|| (0..arena.len() as u32).collect());
                    prop_assert_eq!(places.len(), offsets.len());
                    for (place, offset) in places.into_iter().zip(offsets) {
                        let payload = arena.payload(place as usize).expect("one with bytes");
                        prop_assert_eq!(arena.offset(place as usize), *offset);
                        prop_assert_eq!(payload[0], *offset as u8);
                    }
                }
                let timestamp = before.checked_sub(1).map(|last| read[last] * 10);
                prop_assert_eq!(account.settled_timestamp, timestamp);
            }
            let left = ledger.close();
            prop_assert_eq!((left.records, left.bytes), (records, bytes));
            prop_assert_eq!(partition.account().difference(), 0);
        }
    }
}
