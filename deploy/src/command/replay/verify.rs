//! Checks a replay against the index itself: each offset of the plan has a document, or it is known what
//! became of it, from the run that counted it or from the brokers.

mod tally;
mod text;
mod written;

use std::collections::BTreeMap;
use std::time::Duration;

use isobar_operators::lag::Source;
use isobar_operators::range::{Records, records};
#[cfg(test)]
use isobar_operators::replay::Found;
use isobar_operators::replay::{Search, forks, origin_of, shares_ids, splits};
use isobar_topology::OperatorError;
use isobar_topology::spec::Spec;
use serde::Serialize;

use super::VerifyArgs;
use super::clusters;
use super::document::{PlanFile, PlannedPartition, ReportFile, ReportedPartition, VERSION};
use super::files::check_writable;
use super::make::undetermined;
use super::run::source_of;
use super::{part, ticket};
use crate::command::Context;
use crate::command::runtime::block_on;
use crate::command::verdict::{Twice, Word};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, number};
use tally::{STRETCHES_MAX, Tally, Window, windows};
use written::{Written, fewer};

/// Most offsets without a document that are named for each partition.
const NAMED_MAX: usize = 10;
/// How long each of a few questions to the brokers may take.
const WITHIN: Duration = Duration::from_secs(10);

pub(super) fn execute(args: &VerifyArgs, mut context: Context<'_>) -> Outcome {
    let plan = PlanFile::read(&args.plan)?;
    let report = ReportFile::of(&args.plan, &plan, &context.screen)?;
    let (file, part) = part::as_it_is(&plan, &mut context)?;
    // Where the documents are is all that a check goes by; how they are made may be another way by now.
    if let Some(changed) = part.changed(&plan) {
        context.screen.line(&format!(
            "isobar: {changed} has changed since the plan was made: what the index has is checked all the same"
        ));
    }
    let source = source_of(&plan, &file)?;
    if let Some(file) = &args.report {
        check_writable(file)?;
    }
    let searches = part.searches()?;
    let asked = Asked {
        searches: &searches,
        shape: Shape::of(&part.spec, &searches),
        source: &source,
        within: WITHIN,
    };
    let verdict = block_on(async {
        clusters::check(&plan, &part.sinks, &searches).await?;
        Verdict::find(&plan, report.as_ref(), &asked).await
    })??;
    match args.output.format {
        Format::Table => context.output.text(&verdict.text())?,
        Format::Json => context.output.json(&verdict)?,
    }
    if let Some(file) = &args.report {
        ticket::write(file, &plan, report.as_ref(), Ok(&verdict))?;
    }
    Ok(verdict.exit())
}

/// Who is asked, and what of the topology decides how much their answers prove.
pub(super) struct Asked<'a> {
    pub(super) searches: &'a [Search],
    pub(super) shape: Shape,
    /// The brokers.
    pub(super) source: &'a Source,
    /// How long each answer of theirs may take.
    pub(super) within: Duration,
}

/// What the index has of a plan.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    version: u32,
    id: String,
    /// `exact`: every offset is accounted for. `wrong`: one is not, or has a document twice.
    /// `unknown`: what became of some is known to nobody any more.
    verdict: Word,
    /// Documents of all partitions, by the bolt that indexes them.
    documents: BTreeMap<String, u64>,
    /// How many fewer these are than those that were there before a purge, where records were rejected or dropped.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fewer: BTreeMap<String, u64>,
    partitions: Vec<Verified>,
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
    /// Several records may have one id, of which one has the document.
    shares_ids: bool,
}

impl Shape {
    pub(super) fn of(part: &Spec, searches: &[Search]) -> Self {
        Self {
            sinks: searches.len(),
            forks: forks(part),
            splits: splits(part),
            shares_ids: shares_ids(part),
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
    /// Of these, with a document that was to be written anew and was not: its record was rejected, dropped or
    /// deleted this time. Null when it is not known.
    kept: Option<u64>,
    /// What became of the others, as the run says, or the brokers where they hold no record; null when it is
    /// not known.
    others: Option<Others>,
    /// Documents by the bolt that indexes them.
    documents: BTreeMap<String, u64>,
    /// Documents beyond one for each offset, of split records.
    more: u64,
    /// The first offsets of which a record, or the same part of one, has documents in two indices of one
    /// sink.
    doubled: Vec<i64>,
    /// How many of these there are.
    doubled_in_all: u64,
    /// The first offsets of which a record, or the same part of one, has several documents in one index.
    repeated: Vec<i64>,
    /// How many of these there are.
    repeated_in_all: u64,
    /// The first offsets without a document; where the brokers were asked, of those that hold a record.
    without: Vec<i64>,
    /// How many of these there are.
    without_in_all: u64,
    /// Offsets that have a document though the run had rejected or dropped their records, where nothing else speaks
    /// against it.
    #[serde(skip_serializing_if = "is_none")]
    since: u64,
    /// Why the brokers did not say which offsets hold a record, where that was to be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_asked: Option<String>,
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
    /// Asks the indices for every offset of a plan, and compares with the report of its run. Where that does not
    /// tell what became of all others, asks the brokers which of them hold a record at all.
    pub(super) async fn find(
        plan: &PlanFile,
        report: Option<&ReportFile>,
        asked: &Asked<'_>,
    ) -> Result<Self, Failure> {
        for search in asked.searches {
            search.refresh().await.map_err(undetermined)?;
        }
        let (mut partitions, mut twice) = (Vec::new(), Twice::default());
        for planned in &plan.partitions {
            let id = plan.topics.get(&planned.topic).and_then(Option::as_deref);
            let origin = origin_of(&plan.cluster_id, &planned.topic, id);
            let tally = asked.indices(planned, &origin).await;
            let mut tally = tally.map_err(undetermined)?;
            let are_too_many = twice.are_too_many(tally.repeated, asked.searches);
            if !are_too_many.await.map_err(undetermined)? {
                tally.forget_repeated();
            }
            let others = others(planned, report);
            let held = match others {
                None if tally.missing > 0 => Some(asked.brokers(planned, &origin, &tally).await),
                _ => None,
            };
            let written = Written::of(plan, planned, report);
            partitions.push(verified(planned, tally, others, held, written, asked.shape));
        }
        Ok(Self::of(plan, partitions))
    }

    fn of(plan: &PlanFile, partitions: Vec<Verified>) -> Self {
        let words = partitions.iter().map(|one| one.verdict);
        let verdict = words.max().unwrap_or(Word::Exact);
        let mut documents = BTreeMap::new();
        for (bolt, of_partition) in partitions.iter().flat_map(|one| &one.documents) {
            *documents.entry(bolt.clone()).or_default() += of_partition;
        }
        let others = partitions.iter().filter_map(|one| one.others);
        let unwritten = others.map(|others| others.dead_lettered + others.dropped);
        Self {
            version: VERSION,
            id: plan.id.clone(),
            verdict,
            fewer: fewer(plan, &documents, unwritten.sum()),
            documents,
            partitions,
        }
    }

    /// That of a plan whose index has so many offsets, the last ones, of each partition, and some of them in another
    /// index as well.
    #[cfg(test)]
    pub(super) fn for_tests(
        plan: &PlanFile,
        report: &ReportFile,
        in_index: i64,
        doubled: &[i64],
    ) -> Self {
        let shape = Shape {
            sinks: 1,
            forks: false,
            splits: false,
            shares_ids: false,
        };
        let partitions = plan.partitions.iter().map(|planned| {
            let mut window = Window::of((planned.from, planned.to));
            window.add(Found {
                offsets: (planned.to - in_index..planned.to).collect(),
                doubled: doubled.to_vec(),
                ..Found::default()
            });
            let mut tally = Tally::default();
            tally.take(&window, shape.sinks);
            let others = others(planned, Some(report));
            let written = Written::of(plan, planned, Some(report));
            verified(planned, tally, others, None, written, shape)
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
        let is_short = |one: &Verified| {
            one.others.is_some_and(|others| others.lost > 0)
                || one.kept.is_some_and(|kept| kept > 0)
        };
        let any_is_short = self.partitions.iter().any(is_short);
        self.verdict.exit(any_is_short || !self.fewer.is_empty())
    }
}

impl Verified {
    pub(super) fn in_index(&self) -> u64 {
        self.in_index
    }

    /// Offsets that were dead-lettered, dropped, gaps and lost; `None` where that is not known.
    pub(super) fn others(&self) -> [Option<u64>; 4] {
        in_order(self.others)
    }

    /// Offsets of which a record, or the same part of one, has more than one document, in one index or in two.
    pub(super) fn twice(&self) -> u64 {
        self.doubled_in_all + self.repeated_in_all
    }

    pub(super) fn word(&self) -> &'static str {
        self.verdict.text()
    }

    /// Whether all that is not known of it comes from documents that are there since the run.
    fn is_known_but_since(&self) -> bool {
        self.verdict == Word::Exact || self.since > 0
    }
}

impl Asked<'_> {
    /// What the indices have of a partition.
    async fn indices(
        &self,
        planned: &PlannedPartition,
        origin: &str,
    ) -> Result<Tally, OperatorError> {
        let mut tally = Tally::default();
        for range in windows((planned.from, planned.to)) {
            let mut window = Window::of(range);
            for search in self.searches {
                let found = search.offsets(origin, planned.partition, range).await?;
                tally.count(search.bolt(), &found);
                window.add(found);
            }
            tally.take(&window, self.searches.len());
        }
        Ok(tally)
    }

    /// What the brokers have where the indices have nothing; else why that is not known.
    async fn brokers(
        &self,
        planned: &PlannedPartition,
        origin: &str,
        tally: &Tally,
    ) -> Result<Records, String> {
        let Some(stretches) = tally.stretches() else {
            let most = number(STRETCHES_MAX);
            return Err(format!("there are more than {most} stretches of them"));
        };
        let partition = planned.name();
        let found = records(self.source, origin, &partition, stretches, self.within);
        found.await.map_err(|error| error.to_string())
    }
}

/// The same as [`Verified::others`], by what a run says alone.
pub(super) fn others_of(
    planned: &PlannedPartition,
    report: Option<&ReportFile>,
) -> [Option<u64>; 4] {
    in_order(others(planned, report))
}

fn in_order(others: Option<Others>) -> [Option<u64>; 4] {
    [
        others.map(|others| others.dead_lettered),
        others.map(|others| others.dropped),
        others.map(|others| others.gaps),
        others.map(|others| others.lost),
    ]
}

/// What the report of a run says of the offsets of a partition that have no document.
fn others(planned: &PlannedPartition, report: Option<&ReportFile>) -> Option<Others> {
    let counts = report?.counts(planned)?;
    Some(Others::of(planned.offsets(), &counts))
}

/// Compares what the indices have with what the run says of the other offsets, or what the brokers hold there.
fn verified(
    planned: &PlannedPartition,
    tally: Tally,
    others: Option<Others>,
    held: Option<Result<Records, String>>,
    written: Written,
    shape: Shape,
) -> Verified {
    let missing = tally.missing;
    let (mut without, mut without_in_all) = (tally.first_missing(), missing);
    let (mut others, mut not_asked) = (others, None);
    match held {
        // Not one record is without its document.
        Some(Ok(held)) if held.count + held.deleted == 0 => {
            others = Some(Others {
                gaps: missing,
                ..Others::default()
            });
        }
        Some(Ok(held)) => {
            // What is known to be a gap needs no looking at.
            (without, without_in_all) = match held.deleted {
                0 => (held.first, held.count),
                _ => (without, without_in_all),
            };
            not_asked = (held.deleted > 0)
                .then(|| format!("{} of them are deleted by now", number(held.deleted)));
        }
        Some(Err(why)) => not_asked = Some(why),
        None => {}
    }
    let kept = written.kept(tally.in_index, shape);
    // An offset that keeps an older document is among those that were not written, too.
    let with_kept = missing + kept.unwrap_or(0);
    let accounted =
        others.is_some_and(|others| others.sum() == missing || others.sum() == with_kept);
    // Gaps and lost offsets are such on every branch.
    let is_on_branches = others.is_some_and(Others::on_branches);
    let is_everywhere =
        !shape.splits && !tally.is_uneven && (missing == 0 || (accounted && !is_on_branches));
    let verdict = match others {
        _ if tally.doubled + tally.repeated > 0 => Word::Wrong,
        // Where ids are shared, the document of another record may be theirs.
        Some(others) if missing > others.sum() && !shape.shares_ids => Word::Wrong,
        // Documents are no proof where there were some before.
        _ if kept.is_none() => Word::Unknown,
        _ if is_everywhere => Word::Exact,
        // A record that goes to several sinks counts once: one may have its document and another not.
        _ if shape.sinks > 1 && shape.forks => Word::Unknown,
        // Nor is it known how many parts a record has: one with some of its documents may lack others.
        _ if shape.splits => Word::Unknown,
        _ if missing == 0 => Word::Exact,
        // Records of a fork have fates on other branches, which may stand for those of others.
        _ if accounted && !(shape.forks && is_on_branches) => Word::Exact,
        _ => Word::Unknown,
    };
    let is_plain = !shape.forks && !shape.splits && !shape.shares_ids && !tally.is_uneven;
    let since = match others {
        Some(others) if verdict == Word::Unknown && is_plain && kept == Some(0) => {
            others.sum().saturating_sub(missing)
        }
        _ => 0,
    };
    Verified {
        topic: planned.topic.clone(),
        partition: planned.partition,
        planned: planned.offsets(),
        in_index: tally.in_index,
        kept,
        others,
        documents: tally.by_sink,
        more: tally.more,
        doubled: tally.first_doubled,
        doubled_in_all: tally.doubled,
        repeated: tally.first_repeated,
        repeated_in_all: tally.repeated,
        without,
        without_in_all,
        since,
        not_asked,
        verdict,
    }
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests;
