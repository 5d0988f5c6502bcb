//! A partition that a lane reads: its assignment, its account, and what may be committed of it.

use std::ops::Range;
use std::sync::Arc;

use isobar_topology::{Account, Partition, Partitions};

use super::source::source;
use crate::kafka::commit_metadata::{CommitMetadata, Counts};
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
    /// Of a replay: what became of all before this assignment; `None` where nobody knows.
    counts: Option<Counts>,
    /// Offsets that were deleted before they were read, in this assignment.
    pub(super) lost: Vec<Range<i64>>,
    /// The text that was last sent with a commit.
    text: String,
}

impl Owned {
    /// With `counts`, commits say what became of the records before them.
    pub(super) fn new(
        assignment: Arc<Assignment>,
        partitions: &Partitions,
        end: i64,
        counts: bool,
    ) -> Self {
        let start = &assignment.start;
        let said = start.metadata.as_deref().and_then(CommitMetadata::parse);
        let so_far = match start.from_commit {
            true => said.as_ref().and_then(|text| text.counts),
            false => Some(Counts::default()),
        };
        let name = &assignment.partition;
        let id = start.topic_id.as_deref().unwrap_or_default();
        let source = source(&start.cluster_id, &name.topic, id);
        Self {
            partition: partitions.open(&name.topic, name.partition, source),
            skipped_to: start.offset,
            end,
            position_due: true,
            announced: false,
            by_hand_ms: said.and_then(|text| text.by_hand_ms),
            counts: so_far.filter(|_| counts),
            lost: Vec::new(),
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
            counts: self.counts_at(account),
        }
    }

    /// What became of all before the frontier, also of what earlier runs have read.
    fn counts_at(&self, account: &Account) -> Option<Counts> {
        let (mut counts, frontier) = (self.counts?, account.frontier?);
        counts.fates.add(&account.before_frontier);
        let lost = self
            .lost
            .iter()
            .map(|lost| lost.end.min(frontier) - lost.start);
        let lost = lost.filter_map(|count| u64::try_from(count).ok());
        counts.lost += lost.sum::<u64>();
        Some(counts)
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
    use isobar_topology::Fates;

    use super::*;
    use crate::kafka::Start;
    use crate::kafka::admin::TopicPartition;

    fn owned(metadata: Option<&str>, counts: bool) -> Owned {
        let start = Start {
            metadata: metadata.map(str::to_owned),
            from_commit: metadata.is_some(),
            ..Start::for_tests()
        };
        let assignment = Assignment::new(TopicPartition::new("t", 0), 0, 1, start);
        Owned::new(Arc::new(assignment), &Partitions::default(), 100, counts)
    }

    #[test]
    fn that_the_group_was_put_somewhere_is_said_again_with_each_commit() {
        let text = |metadata: Option<&str>| {
            let mut account = Account::default();
            account.settled_timestamp = Some(5);
            owned(metadata, false).text_of(&account).to_string()
        };
        assert_eq!(text(Some("isobar1;f=3;h=7")), "isobar1;l=5;h=7");
        assert_eq!(text(Some("isobar1;f=3")), "isobar1;l=5");
        assert_eq!(text(None), "isobar1;l=5");
    }

    #[test]
    fn commits_of_a_replay_say_what_became_of_all_before_them() {
        let text = |metadata: Option<&str>, counts: bool, frontier: i64| {
            let mut owned = owned(metadata, counts);
            owned.lost = vec![20..30, 50..60];
            let mut account = Account::default();
            account.frontier = Some(frontier);
            account.before_frontier = Fates {
                delivered: 7,
                dead_lettered: 1,
                ..Fates::default()
            };
            owned.text_of(&account).to_string()
        };
        assert_eq!(text(None, true, 40), "isobar1;c=7,0,0,1,10");
        let earlier = Some("isobar1;c=3,4,5,6,1");
        assert_eq!(text(earlier, true, 60), "isobar1;c=10,4,5,7,21");
        assert_eq!(text(earlier, true, 10), "isobar1;c=10,4,5,7,1");
        // Of another program's commit, and of a live group, nobody knows where it began.
        assert_eq!(text(Some("isobar1;f=3"), true, 40), "isobar1");
        assert_eq!(text(None, false, 40), "isobar1");
    }
}
