//! What the poll thread, the lanes and the handle of one consumer share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rdkafka::consumer::BaseConsumer;

use super::admin::TopicPartition;
use super::assignment::{Assignment, choose_lanes};
use super::conditions::Conditions;
use super::config::ConsumerConfig;
use super::ffi::consume::LaneQueue;
use super::log::lock;
use super::mailbox::{Mailbox, Request};
use super::rebalance::Context;
use super::recovery::Postponed;

pub(crate) type Client = BaseConsumer<Context>;

pub(crate) struct Shared {
    pub(crate) config: ConsumerConfig,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) requests: Mutex<Vec<Request>>,
    pub(crate) postponed: Mutex<Postponed>,
    /// The group has said which partitions are ours, or that none are.
    pub(crate) joined: AtomicBool,
    pub(crate) conditions: Conditions,
    pub(crate) counters: Counters,
    /// The client of the moment; none before the start, while it is made again and after the end.
    pub(crate) session: Mutex<Option<Session>>,
    /// The client has met an error that only a new client gets over.
    pub(crate) check_fatal: AtomicBool,
    pub(crate) closing: Mutex<bool>,
    pub(crate) close_asked: Condvar,
    pub(crate) closed: tokio::sync::watch::Sender<Option<Closed>>,
}

/// How a consumer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It left its group and freed everything.
    Cleanly,
    /// A lane did not let go in time: the client was abandoned, the group notices by time-out.
    Abandoned,
}

/// A client with the queues of its lanes.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) client: Arc<Client>,
    pub(super) queues: Vec<Arc<LaneQueue>>,
}

/// The partitions that are ours.
#[derive(Default)]
pub(crate) struct Registry {
    pub(crate) assignments: BTreeMap<TopicPartition, Arc<Assignment>>,
    epoch: u64,
    /// Partitions with a commit that is not answered yet, with the epoch of the assignment that sent it:
    /// it may be over, and another one there.
    committing: BTreeMap<TopicPartition, u64>,
}

impl Registry {
    /// Makes assignments for new partitions, each with the lane that has the fewest.
    pub(crate) fn assign(
        &mut self,
        lanes: usize,
        starts: Vec<(TopicPartition, super::assignment::Start)>,
    ) -> Vec<Arc<Assignment>> {
        let mut load = vec![0; lanes];
        for assignment in self.assignments.values() {
            load[assignment.lane] += 1;
        }
        let lanes = choose_lanes(&mut load, starts.len());
        starts
            .into_iter()
            .zip(lanes)
            .map(|((partition, start), lane)| {
                self.epoch += 1;
                let assignment = Assignment::new(partition.clone(), lane, self.epoch, start);
                let assignment = Arc::new(assignment);
                let _ = self.assignments.insert(partition, Arc::clone(&assignment));
                assignment
            })
            .collect()
    }

    /// Tells whether a commit of the partition is on its way, also one of an earlier assignment.
    pub(crate) fn is_committing(&self, partition: &TopicPartition) -> bool {
        self.committing.contains_key(partition)
    }

    /// Notes that a commit of an assignment was sent.
    pub(crate) fn commit_sent(&mut self, assignment: &Assignment) {
        let partition = assignment.partition.clone();
        let _ = self.committing.insert(partition, assignment.epoch);
    }

    /// Notes that a commit of a partition was answered. Returns the assignment that sent it, unless it is
    /// over: the answer says nothing about the next one, which starts from what it found committed.
    pub(crate) fn commit_answered(
        &mut self,
        topic: &str,
        partition: i32,
    ) -> Option<Arc<Assignment>> {
        let partition = TopicPartition::new(topic, partition);
        let sender = self.committing.remove(&partition)?;
        let current = self.assignments.get(&partition)?;
        (current.epoch == sender).then(|| Arc::clone(current))
    }

    /// Forgets commits that nobody will answer: their client is gone.
    pub(crate) fn forget_commits(&mut self) {
        self.committing.clear();
    }
}

/// What happened since the start; each only grows.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) strays: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) seeks: AtomicU64,
    pub(crate) restarts: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) rebalances: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) failed_commits: AtomicU64,
    pub(crate) late_revokes: AtomicU64,
    pub(crate) clients: AtomicU64,
}

/// Counts since the consumer was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records handed out.
    pub records: u64,
    /// Bytes of keys and values handed out.
    pub bytes: u64,
    /// Records dropped because they had been accepted before (re-reads inside one assignment).
    pub duplicates: u64,
    /// Records dropped because their partition was not ours: expected to stay 0.
    pub strays: u64,
    /// Errors that stood in a partition's queue in place of a record.
    pub errors: u64,
    /// Times that a partition was moved back after an error.
    pub seeks: u64,
    /// Times that a partition was unassigned and assigned again to get it going.
    pub restarts: u64,
    /// Offsets that were deleted at the broker before they were read.
    pub lost: u64,
    /// Rebalances of the group that touched this member.
    pub rebalances: u64,
    /// Commits that the group's coordinator confirmed, per partition.
    pub commits: u64,
    /// Commits that failed, or shared their request with one that did, per partition; the next one
    /// carries the same or a later offset.
    pub failed_commits: u64,
    /// Times that a lane did not answer a revoke within the drain time-out.
    pub late_revokes: u64,
    /// Clients made: more than 1 after fatal errors, and where the group was joined again.
    pub clients: u64,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            records: read(&self.records),
            bytes: read(&self.bytes),
            duplicates: read(&self.duplicates),
            strays: read(&self.strays),
            errors: read(&self.errors),
            seeks: read(&self.seeks),
            restarts: read(&self.restarts),
            lost: read(&self.lost),
            rebalances: read(&self.rebalances),
            commits: read(&self.commits),
            failed_commits: read(&self.failed_commits),
            late_revokes: read(&self.late_revokes),
            clients: read(&self.clients),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    if count > 0 {
        let _ = counter.fetch_add(count, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(config: ConsumerConfig, lanes: usize) -> Self {
        Self {
            config,
            mailboxes: (0..lanes.max(1)).map(|_| Mailbox::default()).collect(),
            registry: Mutex::default(),
            requests: Mutex::default(),
            postponed: Mutex::default(),
            joined: false.into(),
            conditions: Conditions::default(),
            counters: Counters::default(),
            session: Mutex::default(),
            check_fatal: false.into(),
            closing: Mutex::new(false),
            close_asked: Condvar::new(),
            closed: tokio::sync::watch::Sender::new(None),
        }
    }

    pub(crate) fn session(&self) -> Option<Session> {
        lock(&self.session).clone()
    }

    pub(crate) fn request(&self, request: Request) {
        lock(&self.requests).push(request);
    }

    pub(crate) fn is_closing(&self) -> bool {
        *lock(&self.closing)
    }
}
