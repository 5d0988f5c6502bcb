//! A partition that a spout reads, and the account of what became of its records.
//!
//! The account lives as long as the spout, over revokes and new assignments. Each term is counted
//! on its own, none is derived from the others, so that a difference is a bug that shows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::latency::Latency;
use crate::outcome::{Code, Policy, Settled};
use crate::trail::{Trail, Whereabouts};

/// A partition of a topic, as one spout reads it.
#[derive(Debug)]
pub struct Partition {
    topic: Arc<str>,
    number: i32,
    source: u64,
    account: Mutex<Account>,
    trail: Mutex<Trail>,
}

impl Partition {
    /// Names a partition. `source` is the 64-bit hash of the cluster, the topic's name and the
    /// topic's id that becomes part of every document id.
    pub fn new(topic: Arc<str>, number: i32, source: u64) -> Arc<Self> {
        Arc::new(Self {
            topic,
            number,
            source,
            account: Mutex::default(),
            trail: Mutex::default(),
        })
    }

    /// The topic's name.
    pub fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    /// The partition's number in its topic.
    pub fn number(&self) -> i32 {
        self.number
    }

    /// The hash of cluster and topic that is part of document ids.
    pub fn source(&self) -> u64 {
        self.source
    }

    /// Counts and notes records that were deleted at the source before they were read, by their offsets.
    pub fn count_lost(&self, offsets: Range<i64>) {
        let count = offsets.end.saturating_sub(offsets.start);
        self.lock().lost += u64::try_from(count).unwrap_or(0);
        self.trail().lost(offsets);
    }

    /// The frontier, if everything that was handed out is settled.
    pub fn settled_to(&self) -> Option<i64> {
        let account = self.lock();
        account
            .frontier
            .filter(|_| account.frontier == account.next)
    }

    /// The offset behind the last record that was handed out, if any was.
    pub fn next(&self) -> Option<i64> {
        self.lock().next
    }

    /// A consistent copy of the account.
    pub fn account(&self) -> Account {
        self.lock().clone()
    }

    /// Where the record at an offset is, as far as this process knows.
    pub fn whereabouts(&self, offset: i64) -> Whereabouts {
        self.trail().find(offset)
    }

    /// Never locked while the account is.
    pub(crate) fn trail(&self) -> MutexGuard<'_, Trail> {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Account> {
        // Nothing panics while holding this lock, except on broken invariants, which are kept.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition without meaning, for tests.
    #[cfg(any(test, feature = "testing"))]
    pub fn for_tests(topic: &str, number: i32) -> Arc<Self> {
        Self::new(topic.into(), number, 7)
    }
}

/// What became of the records that were read from a partition, in records. One that fans out, or that is
/// split into parts, counts once, as its worst branch or part.
///
/// `read = delivered + already_present + dropped + dead_lettered + handed_back + in_flight` holds at
/// every moment; [`Account::difference`] is 0 unless there is a bug.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Handed out by the spout.
    pub read: u64,
    /// The outside system took it.
    pub delivered: u64,
    /// The outside system had it already.
    pub already_present: u64,
    /// Left out on purpose, by policy.
    pub dropped: BTreeMap<Policy, u64>,
    /// Rejected, and the dead letter is written.
    pub dead_lettered: u64,
    /// Given back unfinished: the partition was revoked, or the topology stopped. Whoever reads the
    /// partition next starts before these records.
    pub handed_back: u64,
    /// Handed out and not settled yet.
    pub in_flight: u64,
    /// Times that a record was sent again after a failure.
    pub retried: u64,
    /// Offsets that were deleted at the source before their records were read. They were never read,
    /// so they are no part of the sum above; anything but 0 is loss.
    pub lost: u64,
    /// How long the settled records took from their timestamps on; those handed back are not settled.
    pub latency: Latency,
    /// Everything before this offset is settled: what may be committed. `None` before the first record.
    pub frontier: Option<i64>,
    /// The offset after the last record that was handed out.
    pub next: Option<i64>,
    /// Of the current assignment: what became of the records before the frontier. What is settled behind it is not
    /// among them, and is read again by whoever goes on from there.
    pub before_frontier: Fates,
    /// Timestamp of the record at the frontier, in ms since 1970, where that record was read.
    pub frontier_timestamp: Option<i64>,
    /// Timestamp of the last record before the frontier, in ms since 1970.
    pub settled_timestamp: Option<i64>,
    /// Number of the ledger of the current assignment, 0 without one. Only it moves the frontier:
    /// late answers to an earlier assignment say nothing about this one.
    pub(crate) ledger: u64,
}

/// Settled records by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// The outside system took them.
    pub delivered: u64,
    /// The outside system had them already.
    pub already_present: u64,
    /// Left out on purpose, by any policy.
    pub dropped: u64,
    /// Rejected, and their dead letters are written.
    pub dead_lettered: u64,
}

impl Fates {
    /// How many there are in all.
    pub fn sum(&self) -> u64 {
        self.delivered + self.already_present + self.dropped + self.dead_lettered
    }

    /// Adds those of others.
    pub fn add(&mut self, others: &Self) {
        self.delivered += others.delivered;
        self.already_present += others.already_present;
        self.dropped += others.dropped;
        self.dead_lettered += others.dead_lettered;
    }

    /// Those of records that are settled.
    pub(crate) fn of(codes: &[Code]) -> Self {
        let mut fates = Self::default();
        for run in codes.chunk_by(PartialEq::eq) {
            if let Some(settled) = run[0].settled() {
                fates.count(settled, run.len() as u64);
            }
        }
        fates
    }

    fn count(&mut self, settled: Settled, records: u64) {
        *match settled {
            Settled::Delivered => &mut self.delivered,
            Settled::AlreadyPresent => &mut self.already_present,
            Settled::Dropped(_) => &mut self.dropped,
            Settled::DeadLettered => &mut self.dead_lettered,
        } += records;
    }
}

impl Account {
    /// Whether the partition is read by this process at the moment. Otherwise the offsets above are
    /// those of the last assignment, and another member may be further.
    pub fn is_assigned(&self) -> bool {
        self.ledger != 0
    }

    /// Records read but in none of the terms. Anything but 0 is a bug.
    pub fn difference(&self) -> i64 {
        let terms = self.delivered
            + self.already_present
            + self.dropped.values().sum::<u64>()
            + self.dead_lettered
            + self.handed_back
            + self.in_flight;
        self.read as i64 - terms as i64
    }

    /// Adds the counts of another account; offsets and timestamps of the sum are unknown.
    pub fn add(&mut self, other: &Account) {
        self.read += other.read;
        self.delivered += other.delivered;
        self.already_present += other.already_present;
        for (policy, count) in &other.dropped {
            *self.dropped.entry(*policy).or_default() += count;
        }
        self.dead_lettered += other.dead_lettered;
        self.handed_back += other.handed_back;
        self.in_flight += other.in_flight;
        self.retried += other.retried;
        self.lost += other.lost;
        self.latency.add(&other.latency);
        self.frontier = None;
        self.next = None;
        self.before_frontier = Fates::default();
        self.frontier_timestamp = None;
        self.settled_timestamp = None;
        self.ledger = 0;
    }

    pub(crate) fn count_read(&mut self, records: u64) {
        self.read += records;
        self.in_flight += records;
    }

    /// Counts final outcomes, and returns them.
    pub(crate) fn count_settled(&mut self, codes: &[Code]) -> Fates {
        let mut all = Fates::default();
        for run in codes.chunk_by(PartialEq::eq) {
            let Some(settled) = run[0].settled() else {
                continue;
            };
            let records = run.len() as u64;
            all.count(settled, records);
            *match settled {
                Settled::Delivered => &mut self.delivered,
                Settled::AlreadyPresent => &mut self.already_present,
                Settled::Dropped(policy) => self.dropped.entry(policy).or_default(),
                Settled::DeadLettered => &mut self.dead_lettered,
            } += records;
        }
        self.in_flight -= all.sum();
        all
    }

    pub(crate) fn count_handed_back(&mut self, records: u64) {
        self.in_flight -= records;
        self.handed_back += records;
    }
}

/// The partitions of a spout, over all assignments since it was started.
#[derive(Debug, Default)]
pub struct Partitions {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By topic and number.
    current: BTreeMap<(Arc<str>, i32), Arc<Partition>>,
    /// Of topics that were deleted and created again since.
    former: Vec<Arc<Partition>>,
    /// Those of which nothing is read until somebody decides, and why.
    held: BTreeMap<(Arc<str>, i32), String>,
}

impl Partitions {
    /// Returns the partition, with its account going on where it was read before.
    ///
    /// A topic that was deleted and created again has another `source` and a new account; the one
    /// before goes on to count in sums.
    pub fn open(&self, topic: &str, number: i32, source: u64) -> Arc<Partition> {
        let mut known = self.lock();
        let key = (Arc::from(topic), number);
        match known.current.get(&key) {
            Some(partition) if partition.source() == source => Arc::clone(partition),
            _ => {
                let partition = Partition::new(Arc::clone(&key.0), number, source);
                let before = known.current.insert(key, Arc::clone(&partition));
                known.former.extend(before);
                partition
            }
        }
    }

    /// All partitions, by topic and number, without those of topics that were created again since.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.lock().current.values().cloned().collect()
    }

    /// All partitions that were ever opened: those of [`Partitions::all`] with `true`, then former
    /// ones with `false`.
    pub fn ever(&self) -> impl Iterator<Item = (Arc<Partition>, bool)> + use<> {
        let known = self.lock();
        let current = known.current.values().map(|partition| (partition, true));
        let former = known.former.iter().map(|partition| (partition, false));
        let all: Vec<_> = current
            .chain(former)
            .map(|(partition, current)| (Arc::clone(partition), current))
            .collect();
        all.into_iter()
    }

    /// Notes that a partition is this process's and nothing is read of it until somebody decides, and
    /// why.
    pub fn hold(&self, topic: &Arc<str>, number: i32, why: String) {
        let _ = self.lock().held.insert((Arc::clone(topic), number), why);
    }

    /// Forgets that a partition is held, if it was.
    pub fn release(&self, topic: &Arc<str>, number: i32) {
        let mut known = self.lock();
        if !known.held.is_empty() {
            let _ = known.held.remove(&(Arc::clone(topic), number));
        }
    }

    /// The partitions that are held, by topic and number, and why.
    pub fn held(&self) -> BTreeMap<(Arc<str>, i32), String> {
        self.lock().held.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
