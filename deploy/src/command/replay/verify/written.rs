//! What is known of documents that a replay was to write anew: where it has not, the index has older ones all the
//! same, and has them under the same ids. Where it has deleted them first, the index may have fewer.

use std::collections::BTreeMap;

use super::super::document::{PlanFile, PlannedPartition, ReportFile};
use super::super::frontier::OVERWRITE;
use super::super::purge::PURGE;
use super::Shape;

/// How many of a partition's documents are those of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// All that are there: nothing that is older had to go, or it is deleted.
    All,
    /// Those of so many records; others were rejected or lost, or none was.
    Of { delivered: u64, has_failed: bool },
    /// Nobody knows that.
    NotKnown,
}

impl Written {
    pub(super) fn of(
        plan: &PlanFile,
        planned: &PlannedPartition,
        report: Option<&ReportFile>,
    ) -> Self {
        let complete = report.filter(|report| report.complete);
        match (plan.target.as_str(), complete) {
            (PURGE | OVERWRITE, None) => Self::NotKnown,
            (OVERWRITE, Some(report)) => {
                let counts = report.counts(planned);
                counts.map_or(Self::NotKnown, |counts| Self::Of {
                    delivered: counts.delivered,
                    has_failed: counts.dead_lettered + counts.lost > 0,
                })
            }
            _ => Self::All,
        }
    }

    /// Of so many offsets with a document, those with an older one; `None` where that is not known.
    pub(super) fn kept(self, in_index: u64, shape: Shape) -> Option<u64> {
        match self {
            Self::All => Some(0),
            Self::Of { delivered, .. } if in_index <= delivered => Some(0),
            // A record with several ways or parts counts as the worst of them, and may be written all the same: as
            // one that a filter on one of its ways drops, which is what such filters are for.
            Self::Of { has_failed, .. } if shape.forks || shape.splits => {
                (!has_failed).then_some(0)
            }
            Self::Of { delivered, .. } => Some(in_index - delivered),
            Self::NotKnown => (in_index == 0).then_some(0),
        }
    }
}

/// How many documents fewer a bolt has than the plan has found to be deleted, by the bolt, where so many records were
/// rejected or dropped this time. Where none was, records had several documents before, as is what a purge is for.
pub(super) fn fewer(
    plan: &PlanFile,
    documents: &BTreeMap<String, u64>,
    unwritten: u64,
) -> BTreeMap<String, u64> {
    let each = plan.sinks.iter().map(|sink| {
        let before: u64 = sink.purged.values().sum();
        let now = documents.get(&sink.bolt).copied().unwrap_or(0);
        (sink.bolt.clone(), before.saturating_sub(now))
    });
    // More than were not written: some records had several documents, and nobody knows which of them had none.
    each.filter(|(_, fewer)| (1..=unwritten).contains(fewer))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(target: &str) -> PlanFile {
        let plan = json!({
            "version": 2, "id": "19a", "made_at_ms": 5, "topology": "logs", "file": "/logs.yaml",
            "env_files": [], "configuration": "0f", "spout": "in", "group": "g", "cluster_id": "c",
            "topics": {"t": null}, "from": "0", "to": "100", "target": target, "sinks": [],
            "left_out": [], "narrowed": false,
            "partitions": [{"topic": "t", "partition": 0, "from": 0, "to": 100, "narrowed": [], "notes": []}],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    /// Of a run that has delivered 90 records from an offset on.
    fn report(complete: bool, from: i64) -> ReportFile {
        let report = json!({
            "version": 1, "id": "19a", "complete": complete, "resumed": from > 0, "summary": "s",
            "partitions": [{"topic": "t", "partition": 0, "read": 100, "delivered": 90, "already_present": 0,
                            "dead_lettered": 10, "dropped": 0, "lost": 0, "from": from, "to": 100}],
        });
        serde_json::from_value(report).expect("a report")
    }

    #[test]
    fn only_a_run_that_came_to_its_end_has_written_all_anew() {
        let check = |target: &str, report: Option<&ReportFile>, expected: Written| {
            let plan = plan(target);
            let written = Written::of(&plan, &plan.partitions[0], report);
            assert_eq!(written, expected, "{target} {report:?}");
        };
        let (whole, stopped, killed) = (report(true, 0), report(false, 0), report(true, 40));
        for target in [OVERWRITE, PURGE] {
            check(target, None, Written::NotKnown);
            check(target, Some(&stopped), Written::NotKnown);
        }
        let of_90 = Written::Of {
            delivered: 90,
            has_failed: true,
        };
        check(OVERWRITE, Some(&whole), of_90);
        // What was rejected of what a killed run had read nobody knows.
        check(OVERWRITE, Some(&killed), Written::NotKnown);
        check(PURGE, Some(&killed), Written::All);
        for target in ["missing", "index=again"] {
            check(target, None, Written::All);
            check(target, Some(&stopped), Written::All);
        }
    }

    #[test]
    fn documents_beyond_those_of_delivered_records_are_older() {
        let shape = |forks, splits| Shape {
            sinks: 1,
            forks,
            splits,
            shares_ids: false,
        };
        let of_90 = |has_failed| Written::Of {
            delivered: 90,
            has_failed,
        };
        for has_failed in [false, true] {
            let plain = shape(false, false);
            assert_eq!(of_90(has_failed).kept(90, plain), Some(0));
            assert_eq!(of_90(has_failed).kept(97, plain), Some(7));
        }
        let plain = shape(false, false);
        for shape in [shape(true, false), shape(false, true)] {
            assert_eq!(of_90(true).kept(90, shape), Some(0));
            assert_eq!(of_90(true).kept(97, shape), None);
            assert_eq!(of_90(false).kept(97, shape), Some(0), "one way drops them");
        }
        assert_eq!(Written::All.kept(97, plain), Some(0));
        assert_eq!(Written::NotKnown.kept(97, plain), None);
        assert_eq!(Written::NotKnown.kept(0, plain), Some(0));
    }
}
