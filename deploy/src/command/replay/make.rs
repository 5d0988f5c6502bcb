//! Makes a plan: fixes the ranges, looks at the indices, says what is not as it was asked for.

use std::collections::BTreeSet;
use std::path::absolute;

use anyhow::Context as _;
use isobar_operators::lag::Source;
use isobar_operators::offsets::Position;
use isobar_operators::range::{self, Extent, Range};
use isobar_operators::replay::{Choice, Search, Target};
use isobar_topology::clock;

use super::PlanArgs;
use super::document::{PlanFile, PlannedPartition, PlannedSink, VERSION, write};
use super::extent::PlannedExtent;
use super::part::Part;
use super::preview::{self, Preview};
use super::sample::Sample;
use crate::command::Context;
use crate::command::runtime::Runtime;
use crate::command::source::{asking, check_order};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, number};

pub(super) fn execute(args: &PlanArgs, mut context: Context<'_>) -> Outcome {
    check_order(args.from, args.to)?;
    let (file, source, group) = args.of.find(&mut context)?;
    let choice = Choice {
        target: args.target.clone(),
        create_missing: args.create_missing,
        only: args.only_bolt.clone(),
        exclude: args.exclude_bolt.clone(),
    };
    let part = Part::of(&file, &source.spout, &choice, &context)?;
    let positions = group
        .positions(&args.selection.selection())
        .map_err(asking)?;
    // They have answered just now.
    if group.admin().is_embedded() {
        return Err(Failure::usage(format!(
            "the brokers {} are embedded in a process: they cannot keep the register of replays; for a replay \
             name real ones in `brokers`",
            source.connection().brokers.join(", ")
        )));
    }
    let partitions: Vec<_> = positions.iter().map(|one| one.partition.clone()).collect();
    let mut ranges =
        range::ranges(group.admin(), &partitions, args.from, args.to).map_err(asking)?;
    if matches!(args.target, Target::Overwrite | Target::Purge) {
        for (range, position) in ranges.iter_mut().zip(&positions) {
            stay_behind(range, position);
        }
    }
    let extents = extents(args, &source, &mut ranges)?;
    let searches = part.searches()?;
    let mut sinks = Vec::new();
    let runtime = Runtime::new()?;
    for (sink, search) in part.sinks.iter().zip(&searches) {
        if args.target == Target::Purge && search.origin().is_none() {
            return Err(Failure::usage(format!(
                "the documents of {} carry no origin (`origin: off`), so nobody can tell which to purge; \
                 replay into another index with index=NAME",
                sink.bolt
            )));
        }
        let indices = runtime.block_on(search.indices()).map_err(undetermined)?;
        sinks.push(PlannedSink {
            bolt: sink.bolt.clone(),
            index: sink.index.clone(),
            guarantee: sink.guarantee.to_string(),
            verifiable: Search::origin(search).is_some(),
            indices: indices
                .into_iter()
                .map(|index| (index.name, index.blocks))
                .collect(),
        });
    }
    let tables = part.planned_tables();
    let dated_by_clock = part.plan.dated_by_clock.clone();
    let mut sample = None;
    if args.sample > 0 && !ranges.iter().all(Range::is_empty) {
        let preview = Preview {
            source: &source,
            ranges: &ranges,
            count: usize::from(args.sample),
            within: args.of.timeout.get(),
            target: &args.target,
            sinks: &part.sinks,
            left_out: &part.left_out,
        };
        sample = Some(preview.sample(file.spec()?, part.plan, &searches, &runtime)?);
    }
    let missing_indices = match ranges.iter().all(Range::is_empty) {
        true => BTreeSet::new(),
        false => missing_indices(&args.target, &sinks, sample.as_ref()),
    };
    let oldest_ms = sample.as_ref().and_then(|sample| sample.oldest_ms);
    let dated_by_clock = match sample.as_ref().is_some_and(|sample| !sample.has_undated) {
        true => Vec::new(),
        false => dated_by_clock,
    };
    let notes = preview::notes(
        &part.spec,
        context.registry,
        &part.tables,
        &dated_by_clock,
        oldest_ms,
    );
    let made_at_ms = clock::unix_ms();
    let id = format!("{made_at_ms:x}");
    let topology = &part.spec.name;
    let env_files = args.of.file.env_file.iter().map(absolute);
    let plan = PlanFile {
        version: VERSION,
        group: format!("{topology}.replay.{id}"),
        id,
        made_at_ms,
        topology: topology.clone(),
        file: absolute(&args.of.file.file).context("where is the topology file?")?,
        env_files: env_files
            .collect::<Result<_, _>>()
            .context("where are the files of variables?")?,
        configuration: part.configuration.clone(),
        spout: source.spout.clone(),
        cluster_id: group.cluster_id().map_err(asking)?,
        topics: positions
            .iter()
            .map(|one| (one.partition.topic.to_string(), one.topic_id.clone()))
            .collect(),
        from: args.from.to_string(),
        to: args.to.to_string(),
        target: args.target.to_string(),
        create_missing: args.create_missing,
        only_bolts: args.only_bolt.clone(),
        exclude_bolts: args.exclude_bolt.clone(),
        rate: args.rate,
        sinks,
        left_out: part.left_out.clone(),
        narrowed: ranges.iter().any(|range| !range.narrowed.is_empty())
            || (!missing_indices.is_empty() && !args.create_missing),
        missing_indices,
        partitions: ranges.into_iter().zip(&extents).map(planned).collect(),
        tables,
        sample,
        notes,
    };
    if let Some(out) = &args.out {
        write(out, &plan, true)?;
    }
    match args.output.format {
        Format::Table => context.output.text(&plan.text())?,
        Format::Json => context.output.json(&plan)?,
    }
    if plan.narrowed {
        context
            .screen
            .line("isobar: the plan is narrower than what was asked for: see above");
        return Ok(Exit::Threshold);
    }
    Ok(Exit::Done)
}

/// Keeps a range that overwrites behind the live topology: two versions of a document on their way at
/// the same time could arrive in either order.
fn stay_behind(range: &mut Range, position: &Position) {
    let committed = position
        .committed
        .as_ref()
        .map_or(0, |commit| commit.offset);
    if range.to <= committed || range.is_empty() {
        return;
    }
    range.narrowed.push(format!(
        "offsets from {} on are not settled by the live topology yet, so they are not overwritten",
        number(committed.max(range.from))
    ));
    range.to = committed.max(range.from);
}

/// Looks what is in the ranges, and notes where a time has found less than it seems to. Fails where times find
/// nothing: records without any lie anywhere.
fn extents(args: &PlanArgs, source: &Source, ranges: &mut [Range]) -> Result<Vec<Extent>, Failure> {
    let now_ms = clock::unix_ms();
    let (from_ms, to_ms) = (args.from.time(now_ms), args.to.time(now_ms));
    let within = args.of.timeout.get();
    let extents = range::extents(source, ranges, to_ms, within).map_err(asking)?;
    for (range, extent) in ranges.iter_mut().zip(&extents) {
        if extent.is_without_times && (from_ms.is_some() || to_ms.is_some()) {
            return Err(Failure::usage(format!(
                "{}/{}: records carry no timestamp, so no time says where they are; give offsets as --from \
                 and --to, earliest or now",
                range.partition.topic, range.partition.partition
            )));
        }
        if extent.late > 0 {
            range.notes.push(format!(
                "timestamps do not rise with the offsets: {} of the records close behind the range are older \
                 than its end; a later --to has them too",
                number(extent.late)
            ));
        }
    }
    Ok(extents)
}

/// Names that documents go to and that do not exist: those of the sample, and of a bolt none of whose indices
/// exists its name or template.
fn missing_indices(
    target: &Target,
    sinks: &[PlannedSink],
    sample: Option<&Sample>,
) -> BTreeSet<String> {
    if matches!(target, Target::Index(_)) {
        return BTreeSet::new();
    }
    let sampled = sample.map_or_else(BTreeSet::new, |sample| sample.missing_indices.clone());
    if !sampled.is_empty() {
        return sampled;
    }
    let without = sinks.iter().filter(|sink| sink.indices.is_empty());
    without.map(|sink| sink.index.clone()).collect()
}

fn planned((range, extent): (Range, &Extent)) -> PlannedPartition {
    PlannedPartition {
        extent: Some(PlannedExtent::of(extent)),
        topic: range.partition.topic.to_string(),
        partition: range.partition.partition,
        from: range.from,
        to: range.to,
        narrowed: range.narrowed,
        notes: range.notes,
    }
}

pub(in crate::command) fn undetermined(error: isobar_topology::OperatorError) -> Failure {
    Failure::new(Exit::Undetermined, error.into())
}
