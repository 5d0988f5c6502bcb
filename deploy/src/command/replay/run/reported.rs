//! The report to keep of a run: what became of the records of each partition, also of those that earlier runs
//! of the plan have settled.
//!
//! Each commit of the plan's group says what became of all before it, so that no kill and no stop takes anything
//! from the counts.

use std::collections::BTreeMap;

use isobar_operators::kafka::admin::{Committed, TopicPartition};
use isobar_operators::kafka::commit_metadata::{CommitMetadata, Counts};

use super::super::document::{PlanFile, ReportFile, ReportedPartition, VERSION};
use super::super::held::{Progress, ranges};
use crate::accounting::Accounting;

/// The report to keep: complete when each partition was settled up to its end. `commits` are those of the plan's
/// group after the run.
pub(super) fn reported(
    plan: &PlanFile,
    run: &Accounting,
    summary: &str,
    progress: &Progress,
    commits: &[Committed],
) -> ReportFile {
    let frontiers = frontiers(run);
    let mut complete = true;
    let each = ranges(plan).into_iter().map(|(partition, (from, to))| {
        let start = *progress.get(&partition).unwrap_or(&from);
        let frontier = frontiers.get(&partition).copied();
        complete &= frontier.unwrap_or(start) >= to;
        let commit = commits.iter().find(|commit| commit.partition == partition);
        counted(&partition, from, commit)
    });
    let partitions = each.collect();
    ReportFile {
        version: VERSION,
        id: plan.id.clone(),
        complete,
        resumed: !progress.is_empty(),
        summary: summary.to_owned(),
        partitions,
    }
}

/// What a commit says of a partition whose range starts at `from`.
fn counted(partition: &TopicPartition, from: i64, commit: Option<&Committed>) -> ReportedPartition {
    let to = commit.map_or(from, |commit| commit.offset);
    let said = commit.map_or(Some(Counts::default()), |commit| {
        let text = commit.metadata.as_deref();
        text.and_then(CommitMetadata::parse)?.counts
    });
    // Of what a program has settled that did not count, nothing is known.
    let from = if said.is_some() { from } else { to };
    let Counts { fates, lost } = said.unwrap_or_default();
    ReportedPartition {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        read: fates.sum(),
        delivered: fates.delivered,
        already_present: fates.already_present,
        dead_lettered: fates.dead_lettered,
        dropped: fates.dropped,
        lost,
        from: Some(from),
        to: Some(to),
    }
}

fn frontiers(accounting: &Accounting) -> BTreeMap<TopicPartition, i64> {
    let partitions = accounting.spouts.iter().flat_map(|spout| &spout.partitions);
    let current = partitions.filter(|account| !account.former);
    let each = current.filter_map(|account| {
        let name = TopicPartition::new(&account.topic, account.partition);
        Some((name, account.frontier?))
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::accounting::{PartitionAccount, SpoutAccount, Terms};

    /// Two partitions of 100 offsets.
    fn plan() -> PlanFile {
        let partition = |number| json!({"topic": "t", "partition": number, "from": 0, "to": 100, "narrowed": [], "notes": []});
        let plan = json!({
            "version": 2, "id": "19a", "made_at_ms": 5, "topology": "logs", "file": "/logs.yaml",
            "env_files": [], "configuration": "0f", "spout": "in", "group": "g", "cluster_id": "c",
            "topics": {"t": null}, "from": "0", "to": "100", "target": "missing", "sinks": [],
            "left_out": [], "narrowed": false, "partitions": [partition(0), partition(1)],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    fn commit(partition: i32, offset: i64, text: &str) -> Committed {
        Committed {
            partition: TopicPartition::new("t", partition),
            offset,
            metadata: Some(text.to_owned()),
        }
    }

    /// Of a run that has settled the partitions up to so far, and went on from `progress`.
    fn run(frontiers: &[(i32, i64)], progress: &[(i32, i64)], commits: &[Committed]) -> ReportFile {
        let partitions = frontiers
            .iter()
            .map(|(partition, frontier)| PartitionAccount {
                topic: "t".to_owned(),
                partition: *partition,
                former: false,
                terms: Terms::default(),
                frontier: Some(*frontier),
                next: None,
            });
        let accounting = Accounting {
            topology: "logs".to_owned(),
            total: Terms::default(),
            spouts: vec![SpoutAccount {
                spout: "in".to_owned(),
                terms: Terms::default(),
                partitions: partitions.collect(),
            }],
        };
        let progress = progress.iter();
        let progress =
            progress.map(|(number, offset)| (TopicPartition::new("t", *number), *offset));
        reported(&plan(), &accounting, "s", &progress.collect(), commits)
    }

    #[test]
    fn what_became_of_all_is_what_the_last_commits_say_whoever_made_them() {
        let commits = [
            commit(0, 100, "isobar1;c=80,5,4,2,1"),
            commit(1, 100, "isobar1;c=100,0,0,0,0"),
        ];
        // The other partition was settled by a run that was killed.
        let report = run(&[(0, 100)], &[(0, 40), (1, 100)], &commits);
        assert!(report.complete && report.resumed);
        let counts = |at: usize| report.counts(&plan().partitions[at]).expect("whole");
        let found = counts(0);
        let fates = (found.delivered, found.already_present, found.dropped);
        assert_eq!((fates, found.dead_lettered), ((80, 5, 4), 2));
        assert_eq!((found.read, found.lost), (91, 1));
        assert_eq!(counts(1).delivered, 100);
    }

    #[test]
    fn what_was_not_counted_is_not_known() {
        // One by an older program, and one whose last commit was not taken.
        let commits = [
            commit(0, 100, "isobar1"),
            commit(1, 99, "isobar1;c=99,0,0,0,0"),
        ];
        let report = run(&[(0, 100), (1, 100)], &[], &commits);
        assert!(report.complete && !report.resumed);
        for planned in &plan().partitions {
            assert_eq!(report.counts(planned), None);
        }
        // Nobody has said anything.
        let report = run(&[(0, 100), (1, 100)], &[], &[]);
        assert_eq!(report.counts(&plan().partitions[0]), None);
    }

    #[test]
    fn a_run_that_was_stopped_has_counts_up_to_where_it_is_gone_on_with() {
        let commits = [commit(0, 40, "isobar1;c=39,0,0,1,0")];
        let report = run(&[(0, 40)], &[], &commits);
        assert!(!report.complete, "the other partition was not read");
        let found = &report.partitions;
        let (first, other) = (&found[0], &found[1]);
        assert_eq!((first.from, first.to, first.read), (Some(0), Some(40), 40));
        assert_eq!((other.from, other.to, other.read), (Some(0), Some(0), 0));
        assert_eq!(report.counts(&plan().partitions[0]), None);
    }
}
