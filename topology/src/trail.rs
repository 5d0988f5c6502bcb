//! Where single records of a partition are: the batches that are open and who took them last, and which
//! records were dropped by which policy. For questions about one record; all sums are in the account.
//!
//! Costs one lock for each batch and nothing for a record that is not dropped. What is remembered is
//! bounded; what was forgotten is said to be unknown.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Range, RangeInclusive};

use crate::ack::Attempt;
use crate::outcome::Policy;
use crate::retry::Portion;

/// Runs of dropped records that a partition remembers at most, 32 bytes each: the newest ones.
const DROPPED_MAX: usize = 16_384;

/// Spans of offsets that a partition remembers to have read at most; each assignment adds one, and each
/// lost range another.
const SPANS_MAX: usize = 256;

/// Ranges of offsets that a partition remembers to be lost at most: the newest ones.
const LOST_MAX: usize = 256;

/// Where a record is, as this process knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// This process reads the partition and has not come to the record yet.
    NotRead,
    /// It is not settled; nor, as long as its batch was not sent again, need be any other record of that.
    InFlight {
        /// When the batch was read, in ms since 1970.
        since_ms: i64,
        /// The bolt that took it last, or other records that were sent with it, by its number in the graph;
        /// while it waits, the one at which it failed. `None` before the first one did.
        bolt: Option<usize>,
        /// How often it was sent again.
        retries: u32,
        /// What it waits for, where it is not on its way.
        waits: Option<Waits>,
    },
    /// It was left out on purpose.
    Dropped(Policy),
    /// It was read and settled, and is none of the dropped ones that are remembered. `certain` unless
    /// dropped ones were forgotten that it may be among.
    Settled {
        /// Whether it was not dropped for sure.
        certain: bool,
    },
    /// It was deleted at the source before this process read it.
    Lost,
    /// This process did not read it, handed it back, or has forgotten it.
    Elsewhere,
}

/// How a record waits to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// When it first failed at the bolt, and at no other one since, in ms since 1970.
    pub since_ms: i64,
    /// Whether it was not sent, as the bolt's outside system takes nothing: it goes on when that does.
    pub held: bool,
}

/// What a partition remembers.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// By their first offset.
    open: BTreeMap<i64, Open>,
    /// In the order in which they were settled.
    dropped: VecDeque<Run>,
    /// The offset after the last dropped record that was forgotten.
    forgotten: i64,
    /// What was read and not handed back, the newest last.
    spans: VecDeque<Span>,
    /// What was deleted at the source before it was read.
    lost: VecDeque<Range<i64>>,
    /// Of the present assignment, 0 without one.
    ledger: u64,
}

#[derive(Debug)]
struct Open {
    last: i64,
    since_ms: i64,
    ledger: u64,
    /// The first attempt, of all records.
    attempt: Attempt,
    /// What is open of it since that came back, by its first offset.
    parts: Option<BTreeMap<i64, Part>>,
}

/// Records of a batch that are sent again together.
#[derive(Debug)]
struct Part {
    stretches: Vec<Stretch>,
    held: bool,
    retries: u32,
    /// `None` while they wait.
    attempt: Option<Attempt>,
}

/// Neighbours among them that failed at one bolt.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: i64,
    last: i64,
    bolt: Option<usize>,
    since_ms: i64,
}

impl Open {
    /// Where a record is, unless it is settled before others of the batch are.
    fn find(&self, offset: i64) -> Option<Whereabouts> {
        let since_ms = self.since_ms;
        let Some(parts) = &self.parts else {
            return Some(Whereabouts::InFlight {
                since_ms,
                bolt: self.attempt.bolt(),
                retries: 0,
                waits: None,
            });
        };
        let mut parts = parts.values();
        let (part, at) = parts.find_map(|part| Some((part, part.stretch(offset)?)))?;
        let taken_by = part.attempt.as_ref().and_then(Attempt::bolt);
        Some(Whereabouts::InFlight {
            since_ms,
            bolt: taken_by.or(at.bolt),
            retries: part.retries,
            waits: part.attempt.is_none().then_some(Waits {
                since_ms: at.since_ms,
                held: part.held,
            }),
        })
    }
}

impl Part {
    /// Records that wait from `now_ms` on, or from before, as they waited at the same bolt.
    fn waiting(
        portion: &Portion,
        offset: impl Fn(u32) -> i64,
        before: Option<&Part>,
        now_ms: i64,
    ) -> Self {
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut next = None;
        for &(record, bolt) in &portion.records {
            let offset = offset(record);
            let waited = before.and_then(|before| before.stretch(offset));
            let waited = waited.filter(|waited| waited.bolt == bolt);
            let since_ms = waited.map_or(now_ms, |waited| waited.since_ms);
            match stretches.last_mut() {
                Some(last)
                    if next == Some(record) && (last.bolt, last.since_ms) == (bolt, since_ms) =>
                {
                    last.last = offset;
                }
                _ => stretches.push(Stretch {
                    first: offset,
                    last: offset,
                    bolt,
                    since_ms,
                }),
            }
            next = Some(record + 1);
        }
        Self {
            stretches,
            held: portion.held,
            retries: before.map_or(0, |before| before.retries),
            attempt: None,
        }
    }

    fn stretch(&self, offset: i64) -> Option<&Stretch> {
        let at = self.stretches.partition_point(|one| one.last < offset);
        let next = self.stretches.get(at);
        next.filter(|one| one.first <= offset)
    }
}

/// What an assignment read, without a lost range between.
#[derive(Debug)]
struct Span {
    ledger: u64,
    read: Range<i64>,
}

/// Neighbours with one fate.
#[derive(Clone, Copy, Debug)]
struct Run {
    ledger: u64,
    first: i64,
    last: i64,
    policy: Policy,
}

impl Trail {
    /// An assignment begins at this offset.
    pub(crate) fn begin(&mut self, ledger: u64, start: i64) {
        self.ledger = ledger;
        self.push_span(start);
    }

    /// A batch was read.
    pub(crate) fn read(&mut self, ledger: u64, first: i64, last: i64, since_ms: i64) {
        if ledger == self.ledger {
            let end = self.spans.back().map_or(first, |span| span.read.end);
            let passed = |lost: &Range<i64>| lost.start < first && end < lost.end;
            if end < first && self.lost.iter().any(passed) {
                self.push_span(first);
            }
            if let Some(span) = self.spans.back_mut() {
                span.read.end = last + 1;
            }
        }
        let open = Open {
            last,
            since_ms,
            ledger,
            attempt: Attempt::default(),
            parts: None,
        };
        let _ = self.open.insert(first, open);
    }

    /// A batch is sent on its way; or a part of it, `of` its first record on, so often before.
    pub(crate) fn attempted(&mut self, batch: i64, of: i64, attempt: Attempt, retries: u32) {
        let Some(open) = self.open.get_mut(&batch) else {
            return;
        };
        match &mut open.parts {
            None => open.attempt = attempt,
            Some(parts) => {
                if let Some(part) = parts.get_mut(&of) {
                    part.attempt = Some(attempt);
                    part.retries = retries;
                }
            }
        }
    }

    /// A batch, or a part of it, `of` its first record on, came back; of it these wait, and the rest is
    /// settled. `offset` is that of a record that waits by its number in the batch.
    pub(crate) fn came_back(
        &mut self,
        batch: i64,
        of: i64,
        portions: &[Portion],
        offset: impl Fn(u32) -> i64,
        now_ms: i64,
    ) {
        let Some(open) = self.open.get_mut(&batch) else {
            return;
        };
        let parts = open.parts.get_or_insert_default();
        let before = parts.remove(&of);
        for portion in portions {
            let part = Part::waiting(portion, &offset, before.as_ref(), now_ms);
            if let Some(first) = part.stretches.first().map(|one| one.first) {
                let _ = parts.insert(first, part);
            }
        }
    }

    /// Records of neighbouring offsets were left out on purpose. Those of one batch come in the order of
    /// their offsets.
    pub(crate) fn dropped(&mut self, ledger: u64, offsets: RangeInclusive<i64>, policy: Policy) {
        let (first, last) = offsets.into_inner();
        if let Some(run) = self.dropped.back_mut()
            && (run.ledger, run.policy) == (ledger, policy)
            && run.last + 1 == first
        {
            run.last = last;
            return;
        }
        if self.dropped.len() == DROPPED_MAX
            && let Some(run) = self.dropped.pop_front()
        {
            self.forgotten = self.forgotten.max(run.last + 1);
        }
        self.dropped.push_back(Run {
            ledger,
            first,
            last,
            policy,
        });
    }

    /// All records of a batch are settled, or handed back.
    pub(crate) fn closed(&mut self, ledger: u64, first: i64) {
        if self
            .open
            .get(&first)
            .is_some_and(|open| open.ledger == ledger)
        {
            let _ = self.open.remove(&first);
        }
    }

    /// Records of these offsets were deleted at the source before they were read.
    pub(crate) fn lost(&mut self, offsets: Range<i64>) {
        if self.lost.len() == LOST_MAX {
            let _ = self.lost.pop_front();
        }
        self.lost.push_back(offsets);
    }

    /// The assignment is over. What it read from `frontier` on, the first offset that is not settled, is
    /// handed back, also what it dropped: another one reads it again, and may keep it.
    pub(crate) fn end(&mut self, ledger: u64, frontier: i64) {
        self.open.retain(|_, open| open.ledger != ledger);
        self.dropped
            .retain(|run| run.ledger != ledger || run.first < frontier);
        for run in self.dropped.iter_mut().filter(|run| run.ledger == ledger) {
            run.last = run.last.min(frontier - 1);
        }
        let ended = self.spans.iter_mut().filter(|span| span.ledger == ledger);
        for span in ended {
            span.read.end = span.read.end.min(frontier);
        }
        self.spans
            .retain(|span| span.ledger != ledger || !span.read.is_empty());
        if self.ledger == ledger {
            self.ledger = 0;
        }
    }

    /// Where a record is.
    pub(crate) fn find(&self, offset: i64) -> Whereabouts {
        let dropped = self.dropped.iter().rev();
        let mut dropped = dropped.filter(|run| (run.first..=run.last).contains(&offset));
        let run = dropped.next().filter(|run| {
            // Where an assignment begins before what the one before it had settled.
            let mut later = self.spans.iter().filter(|span| span.ledger > run.ledger);
            !later.any(|span| span.read.contains(&offset))
        });
        if let Some(run) = run {
            return Whereabouts::Dropped(run.policy);
        }
        let open = self.open.range(..=offset).next_back();
        let open = open.filter(|(_, open)| offset <= open.last);
        if let Some(found) = open.and_then(|(_, open)| open.find(offset)) {
            return found;
        }
        if self.spans.iter().any(|span| span.read.contains(&offset)) {
            return Whereabouts::Settled {
                certain: offset >= self.forgotten,
            };
        }
        if self.lost.iter().any(|lost| lost.contains(&offset)) {
            return Whereabouts::Lost;
        }
        let next = self.spans.back().map(|span| span.read.end);
        match self.ledger != 0 && next.is_some_and(|next| offset >= next) {
            true => Whereabouts::NotRead,
            false => Whereabouts::Elsewhere,
        }
    }

    fn push_span(&mut self, from: i64) {
        if self.spans.len() == SPANS_MAX {
            let _ = self.spans.pop_front();
        }
        self.spans.push_back(Span {
            ledger: self.ledger,
            read: from..from,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(number: usize) -> Policy {
        Policy::new(number).expect("few enough")
    }

    fn in_flight(since_ms: i64) -> Whereabouts {
        Whereabouts::InFlight {
            since_ms,
            bolt: None,
            retries: 0,
            waits: None,
        }
    }

    /// Records of a batch from offset 10 on that failed at these bolts.
    fn waiting(records: &[(u32, usize)], held: bool) -> Portion {
        let records = records.iter();
        let records = records.map(|(offset, bolt)| (offset - 10, Some(*bolt)));
        Portion {
            records: records.collect(),
            held,
        }
    }

    #[test]
    fn what_came_back_waits_record_by_record_and_the_rest_is_settled() {
        let at = |trail: &Trail, offset| match trail.find(offset) {
            Whereabouts::InFlight {
                bolt,
                retries,
                waits,
                ..
            } => Some((
                bolt,
                retries,
                waits.map(|waits| (waits.since_ms, waits.held)),
            )),
            Whereabouts::Settled { certain: true } => None,
            other => panic!("{other:?}"),
        };
        let offset = |record: u32| i64::from(record) + 10;
        let mut trail = Trail::default();
        trail.begin(1, 10);
        trail.read(1, 10, 15, 1_000);
        trail.attempted(10, 10, Attempt::default(), 0);
        assert_eq!(at(&trail, 12), Some((None, 0, None)));
        // 10 and 15 are settled.
        let held = waiting(&[(11, 3), (12, 3)], true);
        let failed = waiting(&[(13, 4), (14, 3)], false);
        trail.came_back(10, 10, &[held, failed], offset, 2_000);
        let all = |trail: &Trail| [10, 11, 12, 13, 14, 15].map(|offset| at(trail, offset));
        let (held, failed) = (Some((2_000, true)), Some((2_000, false)));
        let expected = [
            None,
            Some((Some(3), 0, held)),
            Some((Some(3), 0, held)),
            Some((Some(4), 0, failed)),
            Some((Some(3), 0, failed)),
            None,
        ];
        assert_eq!(all(&trail), expected);

        // On its way again it is where it was before, until a bolt takes it.
        trail.attempted(10, 13, Attempt::default(), 1);
        assert_eq!(at(&trail, 13), Some((Some(4), 1, None)));
        // One failed again at the same bolt, the other one at another.
        let again = waiting(&[(13, 4), (14, 4)], false);
        trail.came_back(10, 13, &[again], offset, 9_000);
        assert_eq!(at(&trail, 13), Some((Some(4), 1, failed)));
        assert_eq!(at(&trail, 14), Some((Some(4), 1, Some((9_000, false)))));

        trail.attempted(10, 11, Attempt::default(), 1);
        trail.came_back(10, 11, &[], offset, 9_500);
        assert_eq!([11, 12].map(|offset| at(&trail, offset)), [None; 2]);
        trail.closed(1, 10);
        assert_eq!(at(&trail, 14), None);
    }

    #[test]
    fn records_are_elsewhere_in_flight_settled_or_not_read_yet() {
        let mut trail = Trail::default();
        assert_eq!(trail.find(5), Whereabouts::Elsewhere);
        trail.begin(1, 10);
        trail.read(1, 10, 14, 1_000);
        trail.read(1, 15, 19, 2_000);
        assert_eq!(trail.find(9), Whereabouts::Elsewhere);
        assert_eq!(trail.find(14), in_flight(1_000));
        assert_eq!(trail.find(15), in_flight(2_000));
        assert_eq!(trail.find(20), Whereabouts::NotRead);
        trail.closed(1, 15);
        let settled = Whereabouts::Settled { certain: true };
        assert_eq!(trail.find(15), settled);

        // What was open goes back, and whoever reads it next knows more.
        trail.end(1, 10);
        assert_eq!(trail.find(14), Whereabouts::Elsewhere);
        assert_eq!(trail.find(20), Whereabouts::Elsewhere);
        assert_eq!(trail.find(15), Whereabouts::Elsewhere);

        // Batches of the assignment before say nothing about this one.
        trail.begin(2, 10);
        trail.read(2, 10, 14, 3_000);
        trail.closed(1, 10);
        assert_eq!(trail.find(10), in_flight(3_000));
    }

    #[test]
    fn what_was_handed_back_is_elsewhere_also_when_a_later_assignment_goes_on_after_it() {
        let settled = Whereabouts::Settled { certain: true };
        let mut trail = Trail::default();
        trail.begin(1, 10);
        trail.read(1, 10, 14, 1_000);
        trail.closed(1, 10);
        trail.read(1, 15, 19, 1_000);
        trail.end(1, 15);
        // Somebody else settled 15 to 19.
        trail.begin(2, 20);
        trail.read(2, 20, 24, 2_000);
        assert_eq!(trail.find(14), settled);
        assert_eq!(trail.find(15), Whereabouts::Elsewhere);
        assert_eq!(trail.find(19), Whereabouts::Elsewhere);
        assert_eq!(trail.find(20), in_flight(2_000));
        trail.closed(2, 20);
        // The end of one before says nothing of this one.
        trail.end(1, 15);
        assert_eq!(trail.find(20), settled);
        assert_eq!(trail.find(25), Whereabouts::NotRead);
    }

    #[test]
    fn what_was_lost_was_not_read_and_a_gap_without_loss_parts_nothing() {
        let settled = Whereabouts::Settled { certain: true };
        let mut trail = Trail::default();
        trail.begin(1, 10);
        // The loss is known before what was read before it is handed out.
        trail.lost(15..30);
        trail.read(1, 10, 14, 1_000);
        assert_eq!(trail.find(15), Whereabouts::Lost);
        assert_eq!(trail.find(30), Whereabouts::NotRead);
        trail.read(1, 30, 34, 2_000);
        trail.read(1, 40, 44, 3_000);
        for first in [10, 30, 40] {
            trail.closed(1, first);
        }
        assert_eq!(trail.find(14), settled);
        assert_eq!(trail.find(15), Whereabouts::Lost);
        assert_eq!(trail.find(29), Whereabouts::Lost);
        assert_eq!(trail.find(30), settled);
        assert_eq!(trail.spans.len(), 2);
        for _ in 0..LOST_MAX {
            trail.lost(50..51);
        }
        assert_eq!(trail.find(15), Whereabouts::Elsewhere, "it is forgotten");
    }

    #[test]
    fn dropped_records_are_known_by_policy_and_the_oldest_are_forgotten_aloud() {
        let mut trail = Trail::default();
        trail.begin(1, 0);
        let all = 4 * DROPPED_MAX as i64;
        trail.read(1, 0, all, 1_000);
        for offset in 0..all {
            if offset % 4 < 2 {
                trail.dropped(1, offset..=offset, policy((offset % 4 / 2) as usize));
            }
        }
        trail.closed(1, 0);
        assert_eq!(trail.dropped.len(), DROPPED_MAX, "neighbours are one run");
        assert_eq!(trail.find(4), Whereabouts::Dropped(policy(0)));
        assert_eq!(trail.find(6), Whereabouts::Settled { certain: true });
        trail.dropped(1, all..=all, policy(1));
        assert_eq!(trail.find(all), Whereabouts::Dropped(policy(1)));
        assert_eq!(trail.find(1), Whereabouts::Settled { certain: false });
        assert_eq!(trail.find(2), Whereabouts::Settled { certain: true });
    }

    #[test]
    fn what_was_dropped_and_handed_back_is_what_becomes_of_it_when_it_is_read_again() {
        let mut trail = Trail::default();
        trail.begin(1, 10);
        trail.read(1, 10, 19, 1_000);
        trail.dropped(1, 11..=18, policy(0));
        assert_eq!(trail.find(15), Whereabouts::Dropped(policy(0)));
        // Of the batch 15 was open still, so all from there on is read again.
        trail.end(1, 15);
        assert_eq!(trail.find(14), Whereabouts::Dropped(policy(0)));
        assert_eq!(trail.find(15), Whereabouts::Elsewhere);
        // What was settled was not committed, so this assignment begins before it.
        trail.begin(2, 14);
        assert_eq!(trail.find(15), Whereabouts::NotRead);
        trail.read(2, 14, 17, 2_000);
        assert_eq!(trail.find(13), Whereabouts::Dropped(policy(0)));
        assert_eq!(trail.find(14), in_flight(2_000));
        assert_eq!(trail.find(16), in_flight(2_000));
        trail.dropped(2, 16..=16, policy(1));
        assert_eq!(trail.find(16), Whereabouts::Dropped(policy(1)));
        trail.closed(2, 14);
        let settled = Whereabouts::Settled { certain: true };
        assert_eq!([14, 15, 17].map(|offset| trail.find(offset)), [settled; 3]);
        // The end of one before says nothing of what this one dropped.
        trail.end(1, 11);
        assert_eq!(trail.find(16), Whereabouts::Dropped(policy(1)));
    }
}
