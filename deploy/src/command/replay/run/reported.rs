//! The report to keep of a run: what became of the records of each partition, also of those that earlier runs
//! of the plan have settled.

use std::collections::BTreeMap;

use isobar_operators::kafka::admin::TopicPartition;

use super::super::document::{PlanFile, ReportFile, ReportedPartition, VERSION};
use super::super::held::{Progress, ranges};
use crate::accounting::{Accounting, PartitionAccount};

/// The report to keep: complete when each partition was settled up to its end. Has what earlier runs counted,
/// where they ended in order right where this one began.
pub(super) fn reported(
    plan: &PlanFile,
    run: &Accounting,
    summary: &str,
    progress: &Progress,
    earlier: Option<&ReportFile>,
) -> ReportFile {
    let accounts = by_partition(run);
    let mut complete = true;
    let each = ranges(plan).into_iter().map(|(partition, (from, to))| {
        let start = *progress.get(&partition).unwrap_or(&from);
        let account = accounts.get(&partition).copied();
        let frontier = account.and_then(|account| account.frontier);
        complete &= frontier.unwrap_or(start) >= to;
        let mut reported = counted(&partition, start, account);
        let before = earlier.and_then(|earlier| earlier.of_partition(&partition));
        if let Some(before) = before.filter(|before| before.to == Some(start)) {
            reported.add(before);
        }
        reported
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

/// What a run counted of a partition that it has read from `start` on.
fn counted(
    partition: &TopicPartition,
    start: i64,
    account: Option<&PartitionAccount>,
) -> ReportedPartition {
    let reported = ReportedPartition {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        from: Some(start),
        to: Some(start),
        ..ReportedPartition::default()
    };
    let Some(account) = account else {
        return reported;
    };
    let terms = &account.terms;
    // What is counted behind the frontier is read again by whoever goes on from there.
    let is_in_order = terms.in_flight == 0 && terms.handed_back == 0;
    ReportedPartition {
        read: terms.read,
        delivered: terms.delivered,
        already_present: terms.already_present,
        dead_lettered: terms.dead_lettered,
        dropped: terms.dropped,
        lost: terms.lost,
        to: is_in_order.then_some(account.frontier.unwrap_or(start)),
        ..reported
    }
}

fn by_partition(accounting: &Accounting) -> BTreeMap<TopicPartition, &PartitionAccount> {
    let partitions = accounting.spouts.iter().flat_map(|spout| &spout.partitions);
    let each = partitions.filter(|account| !account.former).map(|account| {
        (
            TopicPartition::new(&account.topic, account.partition),
            account,
        )
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::accounting::{SpoutAccount, Terms};

    /// Two partitions of 100 offsets.
    fn plan() -> PlanFile {
        let partition = |number| json!({"topic": "t", "partition": number, "from": 0, "to": 100, "narrowed": [], "notes": []});
        let plan = json!({
            "version": 1, "id": "19a", "made_at_ms": 5, "topology": "logs", "file": "/logs.yaml",
            "env_files": [], "configuration": "0f", "spout": "in", "group": "g", "cluster_id": "c",
            "topics": {"t": null}, "from": "0", "to": "100", "target": "missing", "sinks": [],
            "left_out": [], "narrowed": false, "partitions": [partition(0), partition(1)],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    /// What a run has read of the first partition: so many were delivered, and one more dead-lettered.
    fn account(frontier: i64, delivered: u64, handed_back: u64) -> PartitionAccount {
        PartitionAccount {
            topic: "t".to_owned(),
            partition: 0,
            former: false,
            terms: Terms {
                read: delivered + 1 + handed_back,
                delivered,
                dead_lettered: 1,
                handed_back,
                ..Terms::default()
            },
            frontier: Some(frontier),
            next: None,
        }
    }

    fn run(
        partitions: Vec<PartitionAccount>,
        progress: &[(i32, i64)],
        earlier: Option<&ReportFile>,
    ) -> ReportFile {
        let spouts = vec![SpoutAccount {
            spout: "in".to_owned(),
            terms: Terms::default(),
            partitions,
        }];
        let accounting = Accounting {
            topology: "logs".to_owned(),
            total: Terms::default(),
            spouts,
        };
        let progress = progress.iter();
        let progress =
            progress.map(|(number, offset)| (TopicPartition::new("t", *number), *offset));
        reported(&plan(), &accounting, "s", &progress.collect(), earlier)
    }

    /// The records that the report says were read of the first partition; `None` where earlier ones are
    /// missing from it.
    fn read(report: &ReportFile) -> Option<u64> {
        let counts = report.counts(&plan().partitions[0]);
        counts.map(|counts| counts.read)
    }

    #[test]
    fn counts_of_runs_that_ended_in_order_add_up() {
        let first = run(vec![account(40, 30, 0)], &[], None);
        assert!(!first.complete && !first.resumed);
        // The other partition was settled meanwhile, and nothing of it is read any more.
        let second = run(
            vec![account(100, 50, 0)],
            &[(0, 40), (1, 100)],
            Some(&first),
        );
        assert!(second.complete && second.resumed);
        assert_eq!(read(&second), Some(31 + 51));
        let counts = second.counts(&plan().partitions[0]).expect("whole");
        assert_eq!((counts.delivered, counts.dead_lettered), (80, 2));
        assert_eq!((counts.from, counts.to), (Some(0), Some(100)));
        // Whose counts those are of the other one is not known.
        assert_eq!(second.counts(&plan().partitions[1]), None);
        // Once more, as after a check that was stopped: nothing is left to read.
        let third = run(Vec::new(), &[(0, 100), (1, 100)], Some(&second));
        assert!(third.complete);
        assert_eq!(read(&third), Some(31 + 51));
    }

    #[test]
    fn counts_do_not_add_up_over_a_run_that_did_not_end_in_order() {
        let second = |first: &ReportFile, start| {
            let second = run(
                vec![account(100, 50, 0)],
                &[(0, start), (1, 100)],
                Some(first),
            );
            assert!(second.complete);
            read(&second)
        };
        let first = run(vec![account(40, 30, 0)], &[], None);
        assert_eq!(second(&first, 40), Some(82));
        // Another run was killed between the two.
        assert_eq!(second(&first, 41), None);
        // Some that were settled behind the frontier are read and counted again.
        let first = run(vec![account(40, 30, 5)], &[], None);
        assert_eq!(second(&first, 40), None);
    }

    #[test]
    fn a_run_from_the_start_to_the_end_has_all_counts() {
        let other = PartitionAccount {
            partition: 1,
            ..account(100, 60, 0)
        };
        let whole = run(vec![account(100, 98, 0), other], &[], None);
        assert!(whole.complete && !whole.resumed);
        assert_eq!(read(&whole), Some(99));
        let half = run(vec![account(100, 98, 0)], &[], None);
        assert!(!half.complete, "the other partition was not read");
    }
}
