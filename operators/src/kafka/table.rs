//! The partitions of one lane and the records that it holds of each, between the shared queue,
//! which mixes partitions, and batches, which do not.
//!
//! Owned by the lane's thread; knows no queue.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;

use super::acceptance::{Acceptance, Verdict};
use super::assignment::{Assignment, State, same};
use super::conditions::Subject;
use super::ffi::consume::{Handle, Inbox};
use super::ffi::record::Record;
use super::lane::{Limits, Sink};
use super::mailbox::Request;
use super::shared::{Counters, Shared, add};

/// A lane holds at most this many times the records of a full batch, so that the batches stay
/// large although the queue mixes partitions.
pub(crate) const FULL_BATCHES_HELD: usize = 4;

#[derive(Default)]
pub(crate) struct Table {
    slots: Vec<Option<Slot>>,
    /// Slots by topic (as a number) and partition; only of partitions that are ours.
    index: HashMap<(usize, i32), usize>,
    last: Option<((usize, i32), usize)>,
    /// Slots that hold records, in the order of their first record.
    ready: VecDeque<usize>,
    held: usize,
    held_bytes: usize,
}

struct Slot {
    assignment: Arc<Assignment>,
    acceptance: Acceptance,
    records: VecDeque<(Handle, usize)>,
    /// Something came since the partition was moved.
    arrived: bool,
    /// The poll thread wants to know if nothing did.
    verify: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sorted {
    Kept,
    Dropped,
    /// Its partition is not among ours; perhaps the news has not been read yet.
    Unknown,
}

/// Counts of one fill, added to the counters at its end.
#[derive(Default)]
pub(crate) struct Tally {
    duplicates: u64,
    strays: u64,
    errors: u64,
}

impl Tally {
    pub(crate) fn stray(&mut self) {
        self.strays += 1;
    }

    pub(crate) fn count(&self, counters: &Counters) {
        add(&counters.duplicates, self.duplicates);
        add(&counters.strays, self.strays);
        add(&counters.errors, self.errors);
    }
}

impl Table {
    /// Decides about a message and keeps it with its partition if it is accepted.
    pub(crate) fn sort(
        &mut self,
        shared: &Shared,
        handle: Handle,
        record: Record<'_>,
        tally: &mut Tally,
    ) -> Sorted {
        let found = self.find(record);
        if let Some((code, text)) = record.error() {
            tally.errors += 1;
            return self.error(shared, found, record, code, &text);
        }
        let Some(position) = found else {
            return Sorted::Unknown;
        };
        let Some(slot) = &mut self.slots[position] else {
            return Sorted::Unknown;
        };
        match slot.assignment.state() {
            State::Owned => {}
            State::Revoking => return Sorted::Dropped,
            // It may have been assigned again already.
            State::Gone => return Sorted::Unknown,
        }
        slot.arrived = true;
        match slot.acceptance.judge(record.offset()) {
            Verdict::Accept => {
                let bytes = record.payload_len() + record.key().map_or(0, <[u8]>::len);
                if slot.records.is_empty() {
                    self.ready.push_back(position);
                }
                slot.records.push_back((handle, bytes));
                slot.assignment.set_next(slot.acceptance.next());
                self.held += 1;
                self.held_bytes += bytes;
                Sorted::Kept
            }
            Verdict::Duplicate => {
                tally.duplicates += 1;
                Sorted::Dropped
            }
            Verdict::Discard => Sorted::Dropped,
            Verdict::Seek(to) => {
                shared.request(Request::Seek(Arc::clone(&slot.assignment), to));
                Sorted::Dropped
            }
        }
    }

    fn error(
        &mut self,
        shared: &Shared,
        found: Option<usize>,
        record: Record<'_>,
        code: RDKafkaErrorCode,
        text: &str,
    ) -> Sorted {
        if code == RDKafkaErrorCode::PartitionEOF {
            return Sorted::Dropped;
        }
        let (topic, partition) = (record.topic(), record.partition());
        let Some(slot) = found.and_then(|position| self.slots[position].as_mut()) else {
            if partition >= 0 && !topic.is_empty() {
                return Sorted::Unknown;
            }
            let subject = match topic {
                "" => Subject::Group,
                topic => Subject::Topic(topic.to_owned()),
            };
            shared.conditions.raise(subject, text.to_owned());
            return Sorted::Dropped;
        };
        if !slot.assignment.is_owned() {
            return Sorted::Dropped;
        }
        slot.arrived = true;
        slot.acceptance.error();
        if code == RDKafkaErrorCode::AutoOffsetReset {
            slot.acceptance.hold();
            let next = slot.acceptance.next();
            shared.request(Request::OutOfRange(Arc::clone(&slot.assignment), next));
        } else {
            let subject = Subject::Partition(slot.assignment.partition.clone());
            let text = format!("topic {topic}, partition {partition}: {text}");
            shared.conditions.raise(subject, text);
            shared.request(Request::Failed(Arc::clone(&slot.assignment)));
        }
        Sorted::Dropped
    }

    /// Finds the slot of a message by the numbers that librdkafka gives, or else by name.
    fn find(&mut self, record: Record<'_>) -> Option<usize> {
        let key = (record.topic_key(), record.partition());
        if let Some((last, position)) = self.last
            && last == key
        {
            return Some(position);
        }
        let position = match self.index.get(&key) {
            Some(position) => *position,
            None => {
                let topic = record.topic();
                let position = self.slots.iter().position(|slot| {
                    slot.as_ref().is_some_and(|slot| {
                        let partition = &slot.assignment.partition;
                        partition.partition == key.1 && *partition.topic == *topic
                    })
                })?;
                let _ = self.index.insert(key, position);
                position
            }
        };
        self.last = Some((key, position));
        Some(position)
    }

    /// Hands up to a batch of records of one partition to `sink`, in offset order.
    ///
    /// Returns the partition, how many there were and how many bytes; `None` when none are held.
    pub(crate) fn hand_out(
        &mut self,
        inbox: &mut Inbox,
        limits: Limits,
        sink: &mut impl Sink,
    ) -> Option<(Arc<Assignment>, u64, u64)> {
        let position = self.ready.pop_front()?;
        let slot = self.slots[position].as_mut()?;
        let (mut records, mut bytes) = (0, 0);
        for (_, size) in &slot.records {
            if records > 0 && (records >= limits.records || bytes + size > limits.bytes) {
                break;
            }
            records += 1;
            bytes += size;
        }
        sink.start(&slot.assignment, records, bytes);
        for (handle, _) in slot.records.drain(..records) {
            inbox.visit(handle, |record| sink.record(record));
        }
        self.held -= records;
        self.held_bytes -= bytes;
        if !slot.records.is_empty() {
            self.ready.push_back(position);
        }
        Some((Arc::clone(&slot.assignment), records as u64, bytes as u64))
    }

    /// Tells whether more may be taken off the queue before the next batch is handed out.
    pub(crate) fn has_room(&self, limits: Limits) -> bool {
        let first = self
            .ready
            .front()
            .and_then(|first| self.slots[*first].as_ref());
        let full = first.is_some_and(|slot| slot.records.len() >= limits.records);
        !full
            && self.held < limits.records.saturating_mul(FULL_BATCHES_HELD)
            && self.held_bytes < limits.bytes.saturating_mul(FULL_BATCHES_HELD)
    }

    pub(crate) fn holds_any(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns the next offset of a partition of which nothing is held and no error was seen.
    pub(crate) fn settled_next(&self, assignment: &Arc<Assignment>) -> Option<i64> {
        let slot = self.slot(assignment)?;
        let settled =
            slot.records.is_empty() && slot.acceptance.is_clean() && assignment.is_owned();
        settled.then(|| slot.acceptance.next())
    }

    pub(crate) fn insert(&mut self, assignment: &Arc<Assignment>) {
        let slot = Some(Slot {
            acceptance: Acceptance::new(assignment.start.offset),
            assignment: Arc::clone(assignment),
            records: VecDeque::new(),
            arrived: false,
            verify: false,
        });
        self.forget_numbers();
        match self.slots.iter_mut().find(|slot| slot.is_none()) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
    }

    /// Removes partitions; returns the messages held of them, for destruction.
    pub(crate) fn remove(&mut self, assignments: &[Arc<Assignment>]) -> Vec<Handle> {
        self.forget_numbers();
        let mut handles = Vec::new();
        for (position, place) in self.slots.iter_mut().enumerate() {
            let ours = place
                .as_ref()
                .is_some_and(|slot| assignments.iter().any(|one| same(one, &slot.assignment)));
            if ours && let Some(slot) = place.take() {
                self.ready.retain(|ready| *ready != position);
                for (handle, bytes) in slot.records {
                    self.held -= 1;
                    self.held_bytes -= bytes;
                    handles.push(handle);
                }
            }
        }
        handles
    }

    /// Forgets everything held; the messages are destroyed with their inbox.
    pub(crate) fn clear(&mut self) {
        self.forget_numbers();
        self.ready.clear();
        (self.held, self.held_bytes) = (0, 0);
        for slot in self.slots.iter_mut().flatten() {
            slot.records.clear();
        }
    }

    /// After a rebalance: asks for every partition with an error to be moved back.
    pub(crate) fn recheck(&mut self, shared: &Shared) {
        for slot in self.slots.iter_mut().flatten() {
            if let Some(to) = slot.acceptance.recheck() {
                shared.request(Request::Seek(Arc::clone(&slot.assignment), to));
            }
        }
    }

    pub(crate) fn moved(&mut self, assignment: &Arc<Assignment>, at: i64) {
        if let Some(slot) = self.slot_mut(assignment) {
            slot.acceptance.moved(at);
            slot.assignment.set_next(at);
            slot.arrived = false;
        }
    }

    pub(crate) fn verify(&mut self, assignment: &Arc<Assignment>) {
        if let Some(slot) = self.slot_mut(assignment) {
            slot.verify = true;
        }
    }

    /// With the queue empty: says of which partitions to be verified nothing came.
    pub(crate) fn report_silent(&mut self, shared: &Shared) {
        for slot in self.slots.iter_mut().flatten() {
            if std::mem::take(&mut slot.verify) && !slot.arrived {
                let next = slot.acceptance.next();
                shared.request(Request::Silent(Arc::clone(&slot.assignment), next));
            }
        }
    }

    fn slot(&self, assignment: &Arc<Assignment>) -> Option<&Slot> {
        let mut slots = self.slots.iter().flatten();
        slots.find(|slot| same(&slot.assignment, assignment))
    }

    fn slot_mut(&mut self, assignment: &Arc<Assignment>) -> Option<&mut Slot> {
        let mut slots = self.slots.iter_mut().flatten();
        slots.find(|slot| same(&slot.assignment, assignment))
    }

    /// A topic's number may be given again once none of its partitions is assigned.
    fn forget_numbers(&mut self) {
        self.index.clear();
        self.last = None;
    }
}
