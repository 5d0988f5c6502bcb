//! Checks a replay against the index itself: each offset of the plan has a document, or it is known what
//! became of it.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::replay::{Search, forks, origin_of, splits};
use isobar_topology::spec::Spec;
use serde::Serialize;

use super::VerifyArgs;
use super::document::{PlanFile, PlannedPartition, ReportFile, ReportedPartition, VERSION};
use super::make::undetermined;
use super::{part, ticket};
use crate::command::Context;
use crate::command::runtime::Runtime;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Table, known, number};

/// Most offsets without a document that are named for each partition.
const NAMED_MAX: usize = 10;

pub(super) fn execute(args: &VerifyArgs, mut context: Context<'_>) -> Outcome {
    let plan = PlanFile::read(&args.plan)?;
    let report = ReportFile::of(&args.plan, &plan)?;
    let (_, part) = part::of_plan(&plan, &mut context)?;
    let searches = part.searches()?;
    let shape = Shape::of(&part.spec, &searches);
    let runtime = Runtime::new()?;
    let verdict = runtime.block_on(Verdict::find(&plan, report.as_ref(), &searches, shape))?;
    if let Some(file) = &args.report {
        ticket::write(file, &plan, report.as_ref(), &verdict)?;
    }
    match args.output.format {
        Format::Table => context.output.text(&verdict.text())?,
        Format::Json => context.output.json(&verdict)?,
    }
    Ok(verdict.exit())
}

/// What the index has of a plan.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    version: u32,
    id: String,
    /// `exact`: every offset is accounted for. `wrong`: one is not, or has documents in two indices.
    /// `unknown`: what became of some is known to an earlier run alone.
    verdict: Word,
    partitions: Vec<Verified>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Exact,
    Unknown,
    Wrong,
}

/// What of the topology decides how much the index can prove.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Sinks that write to an index.
    sinks: usize,
    /// Some records go more than one way.
    forks: bool,
    /// Some records are split into parts.
    splits: bool,
}

impl Shape {
    pub(super) fn of(part: &Spec, searches: &[Search]) -> Self {
        Self {
            sinks: searches.len(),
            forks: forks(part),
            splits: splits(part),
        }
    }
}

/// A partition of it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Verified {
    topic: String,
    partition: i32,
    /// Offsets of the plan.
    planned: u64,
    /// Of those, with a document in any index.
    in_index: u64,
    /// What the run says of the others; null when it is not known.
    others: Option<Others>,
    /// Documents beyond one for each offset, of split records.
    more: u64,
    /// Offsets of which a record, or the same part of one, has documents in two indices of one sink.
    doubled: Vec<i64>,
    /// The first offsets without a document.
    without: Vec<i64>,
    verdict: Word,
}

/// Offsets without a document, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Others {
    dead_lettered: u64,
    dropped: u64,
    /// Offsets that hold no record for a reader: markers of transactions, aborted or compacted ones.
    gaps: u64,
    /// Deleted at the broker before they were read.
    lost: u64,
}

impl Others {
    fn of(planned: u64, report: &ReportedPartition) -> Self {
        Self {
            dead_lettered: report.dead_lettered,
            dropped: report.dropped,
            gaps: planned.saturating_sub(report.read + report.lost),
            lost: report.lost,
        }
    }

    /// Whether some are such as one branch of a fork can have.
    fn on_branches(self) -> bool {
        self.dead_lettered + self.dropped > 0
    }

    fn sum(self) -> u64 {
        self.dead_lettered + self.dropped + self.gaps + self.lost
    }
}

impl Verdict {
    /// Asks the indices for every offset of a plan, and compares with the report of its run.
    pub(super) async fn find(
        plan: &PlanFile,
        report: Option<&ReportFile>,
        searches: &[Search],
        shape: Shape,
    ) -> Result<Self, Failure> {
        for search in searches {
            search.refresh().await.map_err(undetermined)?;
        }
        let mut partitions = Vec::new();
        for planned in &plan.partitions {
            let id = plan.topics.get(&planned.topic).and_then(Option::as_deref);
            let source = origin_of(&plan.cluster_id, &planned.topic, id);
            let mut indexed = Indexed::default();
            for search in searches {
                let range = (planned.from, planned.to);
                let found = search.offsets(&source, planned.partition, range).await;
                let found = found.map_err(undetermined)?;
                for offset in found.offsets {
                    *indexed.offsets.entry(offset).or_default() += 1;
                }
                indexed.doubled.extend(found.doubled);
                indexed.more += found.more;
            }
            let others = others(planned, report);
            partitions.push(verified(planned, indexed, others, shape));
        }
        Ok(Self::of(plan, partitions))
    }

    fn of(plan: &PlanFile, partitions: Vec<Verified>) -> Self {
        let words = partitions.iter().map(|one| one.verdict);
        Self {
            version: VERSION,
            id: plan.id.clone(),
            verdict: words.max().unwrap_or(Word::Exact),
            partitions,
        }
    }

    /// That of a plan whose index has so many offsets, the last ones, of each partition.
    #[cfg(test)]
    pub(super) fn for_tests(plan: &PlanFile, report: &ReportFile, in_index: i64) -> Self {
        let shape = Shape {
            sinks: 1,
            forks: false,
            splits: false,
        };
        let partitions = plan.partitions.iter().map(|planned| {
            let offsets = planned.to - in_index..planned.to;
            let indexed = Indexed {
                offsets: offsets.map(|offset| (offset, 1)).collect(),
                ..Indexed::default()
            };
            verified(planned, indexed, others(planned, Some(report)), shape)
        });
        Self::of(plan, partitions.collect())
    }

    /// `exact`, `wrong` or `unknown`.
    pub(super) fn word(&self) -> &'static str {
        self.verdict.text()
    }

    /// By partition, in the order of the plan.
    pub(super) fn partitions(&self) -> &[Verified] {
        &self.partitions
    }

    pub(super) fn exit(&self) -> Exit {
        let lost = |one: &Verified| one.others.is_some_and(|others| others.lost > 0);
        match self.verdict {
            Word::Wrong => Exit::Failed,
            Word::Unknown => Exit::Undetermined,
            Word::Exact if self.partitions.iter().any(lost) => Exit::Threshold,
            Word::Exact => Exit::Done,
        }
    }

    /// The text for people.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new([
            "TOPIC",
            "PARTITION>",
            "PLANNED>",
            "IN INDEX>",
            "DEAD-LETTERED>",
            "DROPPED>",
            "GAPS>",
            "LOST>",
        ]);
        for one in &self.partitions {
            let [dead_lettered, dropped, gaps, lost] = one.others();
            table.row([
                one.topic.clone(),
                one.partition.to_string(),
                number(one.planned),
                number(one.in_index),
                known(dead_lettered),
                known(dropped),
                known(gaps),
                known(lost),
            ]);
        }
        format!(
            "Verified: {}\n\n{}{}",
            self.sentence(),
            table.text(),
            self.notes()
        )
    }

    /// What the verdict means.
    pub(super) fn sentence(&self) -> &'static str {
        match self.verdict {
            Word::Exact => "exact: every offset of the plan is accounted for",
            Word::Wrong => "wrong: see below",
            Word::Unknown => {
                "unknown: what has no document was rejected, dropped or no record, but which is not \
                 known: an earlier run counted it, or records go to more than one place, or are split \
                 into parts, of which some may be missing"
            }
        }
    }

    /// The offsets that are to be looked at, a line for each kind and partition.
    pub(super) fn notes(&self) -> String {
        let mut notes = String::new();
        for one in &self.partitions {
            let name = format!("{}/{}", one.topic, one.partition);
            if one.verdict != Word::Exact && !one.without.is_empty() {
                notes.push_str(&format!(
                    "{name}: without a document: {}\n",
                    listed(&one.without, one.planned - one.in_index)
                ));
            }
            if !one.doubled.is_empty() {
                let count = one.doubled.len() as u64;
                notes.push_str(&format!(
                    "{name}: in two indices: {}\n",
                    listed(&one.doubled, count)
                ));
            }
        }
        notes
    }
}

impl Verified {
    pub(super) fn in_index(&self) -> u64 {
        self.in_index
    }

    /// Offsets that were dead-lettered, dropped, gaps and lost; `None` where that is not known.
    pub(super) fn others(&self) -> [Option<u64>; 4] {
        let others = self.others;
        [
            others.map(|others| others.dead_lettered),
            others.map(|others| others.dropped),
            others.map(|others| others.gaps),
            others.map(|others| others.lost),
        ]
    }

    pub(super) fn word(&self) -> &'static str {
        self.verdict.text()
    }
}

impl Word {
    fn text(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Unknown => "unknown",
            Self::Wrong => "wrong",
        }
    }
}

/// What the report of a whole run says of the offsets of a partition that have no document.
fn others(planned: &PlannedPartition, report: Option<&ReportFile>) -> Option<Others> {
    let whole = report.filter(|report| report.complete && !report.resumed)?;
    let mut reported = whole.partitions.iter();
    let of_partition =
        |one: &&ReportedPartition| one.topic == planned.topic && one.partition == planned.partition;
    let reported = reported.find(of_partition).cloned().unwrap_or_default();
    Some(Others::of(planned.offsets(), &reported))
}

/// What the indices have of a partition.
#[derive(Debug, Default)]
struct Indexed {
    /// Each with the number of sinks whose indices have it.
    offsets: BTreeMap<i64, usize>,
    doubled: BTreeSet<i64>,
    more: u64,
}

/// Compares what the indices have with what the run says of the other offsets.
fn verified(
    planned: &PlannedPartition,
    indexed: Indexed,
    others: Option<Others>,
    shape: Shape,
) -> Verified {
    let count = planned.offsets();
    let in_index = indexed.offsets.len() as u64;
    let missing = count - in_index;
    let without = (planned.from..planned.to).filter(|offset| !indexed.offsets.contains_key(offset));
    let is_everywhere =
        missing == 0 && !shape.splits && indexed.offsets.values().all(|one| *one == shape.sinks);
    let verdict = match others {
        _ if !indexed.doubled.is_empty() => Word::Wrong,
        Some(others) if missing > others.sum() => Word::Wrong,
        _ if is_everywhere => Word::Exact,
        // A record that goes to several sinks counts once: one may have its document and another not.
        _ if shape.sinks > 1 && shape.forks => Word::Unknown,
        // Nor is it known how many parts a record has: one with some of its documents may lack others.
        _ if shape.splits => Word::Unknown,
        _ if missing == 0 => Word::Exact,
        // Records of a fork have fates on other branches, which may stand for those of others.
        Some(others) if others.sum() == missing && !(shape.forks && others.on_branches()) => {
            Word::Exact
        }
        _ => Word::Unknown,
    };
    Verified {
        topic: planned.topic.clone(),
        partition: planned.partition,
        planned: count,
        in_index,
        others,
        more: indexed.more,
        doubled: indexed.doubled.into_iter().collect(),
        without: without.take(NAMED_MAX).collect(),
        verdict,
    }
}

/// The first of so many offsets.
fn listed(offsets: &[i64], count: u64) -> String {
    let named: Vec<String> = offsets.iter().take(NAMED_MAX).map(i64::to_string).collect();
    match count.saturating_sub(named.len() as u64) {
        0 => named.join(", "),
        more => format!("{} and {} more", named.join(", "), number(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(offsets: &[i64], others: Option<Others>, expected: Word, without: &[i64]) {
        check_part((1, false, false), offsets, others, expected, without);
    }

    fn check_part(
        (sinks, forks, splits): (usize, bool, bool),
        offsets: &[i64],
        others: Option<Others>,
        expected: Word,
        without: &[i64],
    ) {
        let planned = PlannedPartition {
            topic: "t".to_owned(),
            partition: 0,
            from: 10,
            to: 14,
            extent: None,
            narrowed: Vec::new(),
            notes: Vec::new(),
        };
        let mut indexed = Indexed::default();
        for offset in offsets {
            *indexed.offsets.entry(*offset).or_default() += 1;
        }
        let shape = Shape {
            sinks,
            forks,
            splits,
        };
        let verified = verified(&planned, indexed, others, shape);
        assert_eq!(
            (verified.verdict, verified.without.as_slice()),
            (expected, without)
        );
    }

    #[test]
    fn every_offset_has_a_document_or_a_known_fate() {
        let others = |dead_lettered, dropped, gaps| {
            Some(Others {
                dead_lettered,
                dropped,
                gaps,
                lost: 0,
            })
        };
        check(&[10, 11, 12, 13], others(0, 0, 0), Word::Exact, &[]);
        check(&[10, 13], others(1, 0, 1), Word::Exact, &[11, 12]);
        check(&[10, 13], others(1, 0, 0), Word::Wrong, &[11, 12]);
        // More fates than offsets without a document: a record met one on another branch.
        check(&[10, 11, 13], others(1, 1, 0), Word::Unknown, &[12]);
        check(&[10, 11, 12, 13], others(0, 4, 0), Word::Exact, &[]);
        // Of two sinks that share the records among them, one has the document.
        let shared = (2, false, false);
        check_part(shared, &[10, 11, 12, 13], others(0, 0, 0), Word::Exact, &[]);
        check_part(shared, &[10, 13], others(1, 0, 0), Word::Wrong, &[11, 12]);
        // Of two that each record goes to, one may have lost it.
        let both = (2, true, false);
        let twice = [10, 10, 11, 11, 12, 12, 13, 13];
        check_part(both, &twice, others(0, 0, 0), Word::Exact, &[]);
        check_part(both, &twice[1..], others(0, 0, 0), Word::Unknown, &[]);
        check_part(both, &[10, 13], others(1, 0, 0), Word::Wrong, &[11, 12]);
        // One may be lost, and the one that was dropped on a branch be indexed on another.
        let fork = (1, true, false);
        check_part(fork, &[10, 11, 12], others(0, 1, 0), Word::Unknown, &[13]);
        check_part(fork, &[10, 11, 12], others(0, 0, 1), Word::Exact, &[13]);
        // A document of each record says nothing of its other parts.
        let split = (1, false, true);
        let all = &[10, 11, 12, 13];
        check_part(split, all, others(0, 0, 0), Word::Unknown, &[]);
        check_part(split, &[10, 11], others(1, 0, 0), Word::Wrong, &[12, 13]);
    }

    #[test]
    fn a_run_whose_counts_are_not_known_is_exact_only_when_nothing_is_missing() {
        check(&[10, 11, 12, 13], None, Word::Exact, &[]);
        check(&[10, 11, 12], None, Word::Unknown, &[13]);
    }

    #[test]
    fn gaps_are_what_was_planned_and_never_came() {
        let report = ReportedPartition {
            read: 7,
            dropped: 2,
            lost: 1,
            ..ReportedPartition::default()
        };
        let others = Others::of(10, &report);
        assert_eq!((others.gaps, others.sum()), (2, 5));
    }
}
