//! A partition while it belongs to this member: what the poll thread, its lane and the owner of
//! the ledger share about it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};

use super::admin::TopicPartition;

/// One assignment of one partition. The same partition assigned again is a new assignment.
pub struct Assignment {
    /// The partition.
    pub partition: TopicPartition,
    /// The lane that reads it, as long as the assignment lasts.
    pub lane: usize,
    /// Counts the assignments of this member: larger is later.
    pub epoch: u64,
    /// Where reading starts and why.
    pub start: Start,
    state: AtomicU8,
    next: AtomicI64,
    committed: AtomicI64,
    /// Its commits share no request with others.
    commits_alone: AtomicBool,
    /// Nothing more of it is fetched, although it is ours.
    stopped: AtomicBool,
}

/// Where reading of an assignment starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first offset to read.
    pub offset: i64,
    /// Whether the offset was committed by the group; otherwise it follows from the start policy.
    pub from_commit: bool,
    /// The text stored with that commit.
    pub metadata: Option<String>,
    /// The cluster's id.
    pub cluster_id: Arc<str>,
    /// The topic's id in Kafka's spelling; `None` where the cluster has none.
    pub topic_id: Option<String>,
    /// Why nothing is read although the partition is ours.
    pub held: Option<Held>,
}

#[cfg(test)]
impl Start {
    /// The first record of a partition of which nothing is committed.
    pub(crate) fn for_tests() -> Self {
        Self {
            offset: 0,
            from_commit: false,
            metadata: None,
            cluster_id: "c".into(),
            topic_id: None,
            held: None,
        }
    }
}

/// Why a partition stands still until an operator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// The committed offset lies behind the end of the log: records were lost on the broker, or
    /// the topic was made again.
    BeyondEnd {
        /// The offset that was to be read next.
        next: i64,
        /// The end of the log.
        end: i64,
    },
    /// The topic was deleted and made again since the last commit.
    OtherTopic {
        /// The topic's id in the commit.
        committed: String,
        /// The topic's id now.
        found: String,
    },
}

impl Held {
    /// The same, with what to do, for who reads what a plan says and not what a group has committed.
    pub fn of_plan(&self) -> String {
        let why = match self {
            Self::BeyondEnd { .. } => self.to_string(),
            Self::OtherTopic { committed, found } => format!(
                "the topic was made again since the plan was made (its id was {committed} and is {found}), so its \
                 offsets are those of other records"
            ),
        };
        format!("{why}; make a new plan")
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeyondEnd { next, end } => write!(
                f,
                "the next offset, {next}, is beyond the end of the log, {end}: were records lost \
                 at the broker?"
            ),
            Self::OtherTopic { committed, found } => write!(
                f,
                "the topic was made again since the last commit (its id was {committed} and is \
                 {found}), so the committed offset means nothing"
            ),
        }
    }
}

/// How far an assignment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is ours: read, commit.
    Owned,
    /// It is being taken away: stop, say how far answers came.
    Revoking,
    /// It is no longer ours: whatever comes for it is dropped.
    Gone,
}

impl Assignment {
    pub(crate) fn new(partition: TopicPartition, lane: usize, epoch: u64, start: Start) -> Self {
        Self {
            partition,
            lane,
            epoch,
            next: AtomicI64::new(start.offset),
            committed: AtomicI64::new(if start.from_commit {
                start.offset
            } else {
                NONE
            }),
            commits_alone: AtomicBool::new(false),
            state: AtomicU8::new(OWNED),
            stopped: AtomicBool::new(false),
            start,
        }
    }

    /// Returns how far the assignment is in its life.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            OWNED => State::Owned,
            REVOKING => State::Revoking,
            _ => State::Gone,
        }
    }

    /// Returns the offset after the last record that the lane handed out or holds.
    pub fn next(&self) -> i64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Returns the last offset whose commit was confirmed; `None` when nothing is committed.
    pub fn committed(&self) -> Option<i64> {
        Some(self.committed.load(Ordering::Relaxed)).filter(|offset| *offset != NONE)
    }

    pub(crate) fn commits_alone(&self) -> bool {
        self.commits_alone.load(Ordering::Relaxed)
    }

    pub(crate) fn set_commits_alone(&self, alone: bool) {
        self.commits_alone.store(alone, Ordering::Relaxed);
    }

    pub(crate) fn is_owned(&self) -> bool {
        self.state.load(Ordering::Acquire) == OWNED
    }

    /// Whether it is ours and more of it is wanted.
    pub(crate) fn is_read(&self) -> bool {
        self.is_owned() && !self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_state(&self, state: State) {
        let state = match state {
            State::Owned => OWNED,
            State::Revoking => REVOKING,
            State::Gone => GONE,
        };
        self.state.store(state, Ordering::Release);
    }

    pub(crate) fn set_next(&self, next: i64) {
        self.next.store(next, Ordering::Relaxed);
    }

    pub(crate) fn set_committed(&self, offset: i64) {
        self.committed.store(offset, Ordering::Relaxed);
    }
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assignment")
            .field("partition", &self.partition)
            .field("lane", &self.lane)
            .field("epoch", &self.epoch)
            .field("start", &self.start)
            .field("state", &self.state())
            .field("next", &self.next())
            .field("committed", &self.committed())
            .finish()
    }
}

/// Chooses a lane for each of `count` new partitions: the one with the fewest, the first of equals.
///
/// `load` counts the partitions of each lane and is brought up to date.
pub(crate) fn choose_lanes(load: &mut [usize], count: usize) -> Vec<usize> {
    (0..count)
        .map(|_| {
            let lane = (0..load.len()).min_by_key(|lane| load[*lane]).unwrap_or(0);
            load[lane] += 1;
            lane
        })
        .collect()
}

/// An assignment as a value that can be compared and kept in lists.
pub(crate) fn same(one: &Arc<Assignment>, other: &Arc<Assignment>) -> bool {
    Arc::ptr_eq(one, other)
}

const OWNED: u8 = 0;
const REVOKING: u8 = 1;
const GONE: u8 = 2;
const NONE: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_partitions_go_to_the_lanes_with_the_fewest() {
        let mut load = [2, 0, 1];
        assert_eq!(choose_lanes(&mut load, 4), [1, 1, 2, 0]);
        assert_eq!(load, [3, 2, 2]);
        assert_eq!(choose_lanes(&mut [0, 0], 5), [0, 1, 0, 1, 0]);
    }
}
