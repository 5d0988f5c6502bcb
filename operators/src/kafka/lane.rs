//! The reading side of a lane: takes records off the lane's queue and hands them out in batches of
//! one partition.
//!
//! Runs on the lane's thread alone and never waits for another thread. What may be accepted is
//! decided in `acceptance.rs`, what is held per partition is kept in `table.rs`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::assignment::Assignment;
use super::conditions::Subject;
use super::config::RECORD_OVERHEAD;
use super::ffi::consume::{self, Handle, Inbox};
use super::ffi::record::Record;
use super::mailbox::{Control, Event};
use super::shared::{Shared, add};
use super::table::{FULL_BATCHES_HELD, Sorted, Table, Tally};

/// Messages per call into librdkafka at most; larger calls cost the same per record.
const CHUNK: usize = 1000;

/// Messages of the first call, when their size is not known yet.
const FIRST_CHUNK: usize = 100;

/// Reads the records of one lane.
///
/// Call [`Self::read`] until it returns [`Read::Empty`], then wait for [`Self::ready`]. Not calling
/// it is how a lane resists: its queue fills up to its limits and fetching stops, for this lane
/// alone. Revokes are answered late meanwhile, so an owner that resists should still look for
/// events with [`Self::event`].
pub struct LaneReader {
    lane: usize,
    shared: Arc<Shared>,
    inbox: Option<Inbox>,
    table: Table,
    events: VecDeque<Event>,
    /// The queue may hold more: the last batch call did not return 0, or the event came since.
    more: bool,
    /// Messages of the next call: about a batch's bytes of them, so that large records are not taken
    /// off the queue, which bounds them, by the thousand.
    chunk: usize,
}

/// Takes the records that [`LaneReader::read`] hands out.
pub trait Sink {
    /// A batch of this partition comes: so many records, so many bytes of keys and values.
    fn start(&mut self, assignment: &Arc<Assignment>, records: usize, bytes: usize);

    /// One of its records, in offset order.
    fn record(&mut self, record: Record<'_>);
}

/// How much one [`LaneReader::read`] hands out at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Records, at least 1.
    pub records: usize,
    /// Bytes of keys and values; one record is handed out even if it is larger.
    pub bytes: usize,
}

impl Limits {
    /// Bytes of messages that a lane has taken off its queue and not handed out, at most.
    pub fn held_at_most(self) -> usize {
        let records = self.records * FULL_BATCHES_HELD + CHUNK;
        self.bytes * (FULL_BATCHES_HELD + 1) + records * RECORD_OVERHEAD as usize
    }
}

/// What one call of [`LaneReader::read`] found.
#[derive(Debug)]
pub enum Read {
    /// Records of this partition were handed out.
    Records(Arc<Assignment>),
    /// Something else happened; see to it before reading on.
    Event(Event),
    /// Nothing is there: wait for [`LaneReader::ready`].
    Empty,
}

impl LaneReader {
    pub(crate) fn new(lane: usize, shared: Arc<Shared>) -> Self {
        Self {
            lane,
            shared,
            inbox: None,
            table: Table::default(),
            events: VecDeque::new(),
            more: true,
            chunk: FIRST_CHUNK,
        }
    }

    /// Returns the number of the lane, from 0.
    pub fn lane(&self) -> usize {
        self.lane
    }

    /// Hands out records of one partition in offset order, or an event, without waiting.
    ///
    /// `sink` gets all records before this returns; the partition is that of the returned
    /// [`Read::Records`].
    pub fn read(&mut self, limits: Limits, sink: &mut impl Sink) -> Read {
        loop {
            if let Some(event) = self.event() {
                return Read::Event(event);
            }
            self.fill(limits);
            if !self.events.is_empty() {
                continue;
            }
            let Some(inbox) = &mut self.inbox else {
                self.more = false;
                return Read::Empty;
            };
            if let Some((assignment, records, bytes)) = self.table.hand_out(inbox, limits, sink) {
                add(&self.shared.counters.records, records);
                add(&self.shared.counters.bytes, bytes);
                self.clear_conditions(&assignment);
                return Read::Records(assignment);
            }
            if !self.more {
                self.table.report_silent(&self.shared);
                return Read::Empty;
            }
        }
    }

    /// Returns the next event without reading records, without waiting.
    pub fn event(&mut self) -> Option<Event> {
        if self.shared.mailboxes[self.lane].is_waiting() {
            self.serve_controls();
        }
        self.events.pop_front()
    }

    /// Waits until [`Self::read`] may find something. Cancel-safe: a wake-up is never lost.
    pub async fn ready(&mut self) {
        let mailbox = &self.shared.mailboxes[self.lane];
        if self.more || mailbox.is_waiting() || !self.events.is_empty() || self.table.holds_any() {
            return;
        }
        let wake = Arc::clone(&mailbox.wake);
        wake.notified().await;
        self.more = true;
    }

    /// Tells whether the next [`Self::read`] looks into the queue, which may move positions.
    pub fn may_have_more(&self) -> bool {
        self.more
    }

    /// Waits until [`Self::event`] may find something, whether there are records or not. Cancel-safe.
    pub async fn event_ready(&mut self) {
        let mailbox = &self.shared.mailboxes[self.lane];
        while !mailbox.is_waiting() && self.events.is_empty() {
            mailbox.wake.notified().await;
            // It may have been for records.
            self.more = true;
        }
    }

    /// Returns the offset to commit when everything handed out of this partition is answered: the
    /// client's position, which moves past control records too, so that lag reaches 0.
    ///
    /// `None` when the position cannot be believed (records are held here, an error was seen since
    /// the last one, the partition is no longer ours): then the offset after the last record is
    /// all that is known. Call it between reads, on the lane's thread.
    pub fn position(&self, assignment: &Arc<Assignment>) -> Option<i64> {
        let next = self.table.settled_next(assignment)?;
        let client = self.shared.session()?.client;
        let partition = &assignment.partition;
        let position = consume::position(&client, &partition.topic, partition.partition)?;
        // Asked twice, since a revoke may have come in between.
        assignment.is_owned().then_some(position.max(next))
    }

    /// Takes records off the queue until it is empty or enough is held for a full batch.
    fn fill(&mut self, limits: Limits) {
        let mut tally = Tally::default();
        while let Some(inbox) = &mut self.inbox
            && self.more
            && self.table.has_room(limits)
        {
            let mut unsorted: Vec<Handle> = Vec::new();
            let table = &mut self.table;
            let shared = &*self.shared;
            let mut bytes = 0;
            let taken = inbox.receive(self.chunk, |handle, record| {
                bytes += record.payload_len();
                match table.sort(shared, handle, record, &mut tally) {
                    Sorted::Kept => true,
                    Sorted::Dropped => false,
                    Sorted::Unknown => {
                        unsorted.push(handle);
                        true
                    }
                }
            });
            self.more = taken > 0;
            if let Some(mean) = bytes.checked_div(taken) {
                self.chunk = (limits.bytes / mean.max(1)).clamp(1, CHUNK);
            }
            if !unsorted.is_empty() {
                self.sort_again(&unsorted, &mut tally);
            }
        }
        tally.count(&self.shared.counters);
    }

    /// Sorts records whose partition was not known: the news of its assignment may be waiting,
    /// since it is sent before the first record can come.
    fn sort_again(&mut self, unsorted: &[Handle], tally: &mut Tally) {
        self.serve_controls();
        let Some(inbox) = &mut self.inbox else {
            return;
        };
        for handle in unsorted {
            let (table, shared) = (&mut self.table, &*self.shared);
            let sorted = inbox.peek(*handle, |record| table.sort(shared, *handle, record, tally));
            match sorted {
                Some(Sorted::Kept) | None => {}
                Some(Sorted::Dropped) => inbox.discard(*handle),
                Some(Sorted::Unknown) => {
                    tally.stray();
                    inbox.discard(*handle);
                }
            }
        }
    }

    fn serve_controls(&mut self) {
        let shared = Arc::clone(&self.shared);
        for control in shared.mailboxes[self.lane].take() {
            match control {
                Control::Attach(queue) => {
                    self.inbox = Some(Inbox::new(queue));
                    self.more = true;
                }
                Control::Detach(_reply) => {
                    self.table.clear();
                    self.inbox = None;
                }
                Control::Assign(assignment) => {
                    self.table.insert(&assignment);
                    self.events.push_back(Event::Assigned(assignment));
                }
                Control::Revoke(assignments, reply) => {
                    self.remove(&assignments);
                    self.events.push_back(Event::Revoking(assignments, reply));
                }
                Control::Gone(assignments) => {
                    self.remove(&assignments);
                    self.events.push_back(Event::Gone(assignments));
                }
                Control::Recheck => self.table.recheck(&shared),
                Control::Moved(assignment, at) => self.table.moved(&assignment, at),
                Control::Tell(event) => self.events.push_back(event),
                Control::Verify(assignment) => self.table.verify(&assignment),
                Control::Closed => self.events.push_back(Event::Closed),
            }
        }
    }

    fn remove(&mut self, assignments: &[Arc<Assignment>]) {
        for handle in self.table.remove(assignments) {
            if let Some(inbox) = &mut self.inbox {
                inbox.discard(handle);
            }
        }
    }

    fn clear_conditions(&self, assignment: &Assignment) {
        let conditions = &self.shared.conditions;
        if conditions.any() {
            let partition = &assignment.partition;
            conditions.clear(&Subject::Partition(partition.clone()));
            // It is there, and may be read.
            conditions.clear(&Subject::Topic(partition.topic.to_string()));
        }
    }
}

/// Lets go of the queue: a lane that ends must not keep the client from closing.
impl Drop for LaneReader {
    fn drop(&mut self) {
        self.table.clear();
        self.inbox = None;
        self.shared.mailboxes[self.lane].abandon();
    }
}
