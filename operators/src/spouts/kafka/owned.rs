//! A partition that a lane reads: its assignment, its account, and what may be committed of it.

use std::sync::Arc;

use isobar_topology::{Partition, Partitions};

use super::source::source;
use crate::kafka::commit_metadata::CommitMetadata;
use crate::kafka::{Assignment, Frontier};

/// A partition with a ledger on this lane.
pub(super) struct Owned {
    pub(super) assignment: Arc<Assignment>,
    pub(super) partition: Arc<Partition>,
    /// No record before this offset will come: what lay there was deleted.
    pub(super) skipped_to: i64,
    /// The first offset that is not wanted; none is, from there on.
    pub(super) end: i64,
    /// The client's position may have moved since it was asked.
    pub(super) position_due: bool,
    /// The runtime has opened its ledger: the account's frontier is of this assignment.
    pub(super) announced: bool,
    /// The text that was last sent with a commit.
    text: String,
}

impl Owned {
    pub(super) fn new(assignment: Arc<Assignment>, partitions: &Partitions, end: i64) -> Self {
        let start = &assignment.start;
        let name = &assignment.partition;
        let id = start.topic_id.as_deref().unwrap_or_default();
        let source = source(&start.cluster_id, &name.topic, id);
        Self {
            partition: partitions.open(&name.topic, name.partition, source),
            skipped_to: start.offset,
            end,
            position_due: true,
            announced: false,
            text: start.metadata.clone().unwrap_or_default(),
            assignment,
        }
    }

    pub(super) fn is(&self, assignment: &Arc<Assignment>) -> bool {
        Arc::ptr_eq(&self.assignment, assignment)
    }

    /// How far it is answered: nothing else may ever be committed.
    pub(super) fn frontier(&self) -> Option<Frontier> {
        if !self.announced {
            return None;
        }
        let account = self.partition.account();
        let metadata = CommitMetadata {
            topic_id: self.assignment.start.topic_id.clone(),
            frontier_ms: account.frontier_timestamp,
            last_ms: account.settled_timestamp,
            by_hand: false,
        };
        Some(Frontier {
            assignment: Arc::clone(&self.assignment),
            offset: account.frontier?,
            metadata: metadata.to_string(),
        })
    }

    /// The frontier, if a commit of it would tell the group anything new: another offset, or the
    /// time of the record there, which was not known before.
    pub(super) fn news(&mut self) -> Option<Frontier> {
        let frontier = self.frontier()?;
        let committed = self.assignment.committed() == Some(frontier.offset);
        if committed && self.text == frontier.metadata {
            return None;
        }
        self.text.clone_from(&frontier.metadata);
        Some(frontier)
    }

    /// Whether everything that was answered is committed, as the group has confirmed.
    pub(super) fn is_committed(&self) -> bool {
        let frontier = self.frontier().map(|frontier| frontier.offset);
        frontier.is_none() || self.assignment.committed() == frontier
    }
}
