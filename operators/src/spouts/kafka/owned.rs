//! A partition that a lane reads: its assignment, its account, and what may be committed of it.

use std::sync::Arc;

use isobar_topology::{Account, Partition, Partitions};

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
    /// When somebody last put the group anywhere, as the commit says that reading started from.
    by_hand_ms: Option<i64>,
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
            by_hand_ms: start
                .metadata
                .as_deref()
                .and_then(CommitMetadata::parse)
                .and_then(|text| text.by_hand_ms),
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
        Some(Frontier {
            assignment: Arc::clone(&self.assignment),
            offset: account.frontier?,
            metadata: self.text_of(&account).to_string(),
        })
    }

    fn text_of(&self, account: &Account) -> CommitMetadata {
        CommitMetadata {
            topic_id: self.assignment.start.topic_id.clone(),
            frontier_ms: account.frontier_timestamp,
            last_ms: account.settled_timestamp,
            by_hand_ms: self.by_hand_ms,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::Start;
    use crate::kafka::admin::TopicPartition;

    #[test]
    fn that_the_group_was_put_somewhere_is_said_again_with_each_commit() {
        let text = |metadata: Option<&str>| {
            let start = Start {
                metadata: metadata.map(str::to_owned),
                ..Start::for_tests()
            };
            let assignment = Assignment::new(TopicPartition::new("t", 0), 0, 1, start);
            let owned = Owned::new(Arc::new(assignment), &Partitions::default(), i64::MAX);
            let mut account = Account::default();
            account.settled_timestamp = Some(5);
            owned.text_of(&account).to_string()
        };
        assert_eq!(text(Some("isobar1;f=3;h=7")), "isobar1;l=5;h=7");
        assert_eq!(text(Some("isobar1;f=3")), "isobar1;l=5");
        assert_eq!(text(None), "isobar1;l=5");
    }
}
