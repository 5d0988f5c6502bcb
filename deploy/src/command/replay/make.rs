//! Makes a plan: fixes the ranges, looks at the indices, says what is not as it was asked for.

use std::collections::BTreeSet;
use std::path::absolute;

use anyhow::Context as _;
use isobar_operators::offsets::Position;
use isobar_operators::range::{self, Extent, Look, Place, Range};
use isobar_operators::replay::registry::Registry;
use isobar_operators::replay::{Choice, Target, letters_apart, origin_of};
use isobar_operators::sample::Sampled;
use isobar_topology::clock;
use isobar_topology::spec::units::Duration;

use super::PlanArgs;
use super::destinations::Destinations;
use super::document::{PLAN_VERSION, PlanFile, PlannedPartition};
use super::elsewhere;
use super::expiry;
use super::extent::PlannedExtent;
use super::files::{check_new, write};
use super::frontier::stay_behind;
use super::held::partition_counts;
use super::indices::Indices;
use super::part::Part;
use super::preview::{self, Preview};
use super::purge::Documents;
use crate::command::Context;
use crate::command::runtime::Runtime;
use crate::command::source::{asking, check_order, refuse_embedded, without_times};
use crate::environment::cores;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, number};
use crate::rehearsal::Stage;

pub(super) fn execute(args: &PlanArgs, mut context: Context<'_>) -> Outcome {
    check_order(args.from, args.to)?;
    if args.slack.is_some() && args.to.time(0).is_none() {
        return Err(Failure::usage(
            "--slack is for a range that ends by a time; another end has all that is before it",
        ));
    }
    // Before anybody is asked.
    args.out.as_deref().map_or(Ok(()), check_new)?;
    let (file, source, group) = args.of.find(&mut context)?;
    let choice = Choice {
        create_missing: args.create_missing,
        only: args.only_bolt.clone(),
        exclude: args.exclude_bolt.clone(),
        ..Choice::of(args.target.clone())
    };
    let part = Part::of(&file, &source.spout, &choice, &context)?;
    let positions = group
        .positions(&args.selection.selection())
        .map_err(asking)?;
    // They have answered just now.
    refuse_embedded(&group, &source, "replay")?;
    let searches = part.searches()?;
    for (sink, search) in part.sinks.iter().zip(&searches) {
        if args.target == Target::Purge && search.origin().is_none() {
            return Err(Failure::usage(format!(
                "the documents of {} carry no origin (`origin: off`), so nobody can tell which to purge; \
                 replay into another index with index=NAME",
                sink.bolt
            )));
        }
    }
    let cluster_id = group.cluster_id().map_err(asking)?;
    let names: BTreeSet<&str> = positions.iter().map(|one| &*one.partition.topic).collect();
    let partition_counts = partition_counts(group.admin(), names).map_err(asking)?;
    let partitions: Vec<_> = positions.iter().map(|one| one.partition.clone()).collect();
    // What is looked at later goes by the same moment.
    let now_ms = clock::unix_ms();
    let to = args
        .slack
        .map_or(args.to, |slack| later(args.to, slack, now_ms));
    let ranges = range::ranges(group.admin(), &partitions, args.from, to, now_ms);
    let mut ranges = ranges.map_err(asking)?;
    let mut are_cut = vec![false; ranges.len()];
    if matches!(args.target, Target::Overwrite | Target::Purge) {
        for ((range, position), is_cut) in ranges.iter_mut().zip(&positions).zip(&mut are_cut) {
            *is_cut = stay_behind(range, position, args.to);
        }
    }
    let mut destinations = Destinations::default();
    if !matches!(args.target, Target::Index(_)) {
        // A stage of its own: what bolts remember of these records is not to show in the sample.
        let stage = Stage::open(file.plan_part(&part.spec, context.registry, cores())?)?;
        destinations = Destinations::of(stage, &source.spout, &ranges);
    }
    let looks = looks(args, &ranges, &positions, &are_cut, now_ms);
    let each = |record: Sampled| destinations.take(&record);
    let extents = range::extents(&source, &looks, args.of.timeout.get(), each).map_err(asking)?;
    let destinations = destinations.names()?;
    check_times((args.from, args.to), &extents, &mut ranges)?;
    if args.target == Target::Purge {
        expiry::look(&mut ranges, group.admin(), now_ms)?;
    }

    let runtime = Runtime::new()?;
    let documents = ranges.iter().zip(&positions);
    let documents = documents.filter(|(range, _)| !range.is_empty());
    let documents = documents.map(|(range, position)| {
        let topic = &range.partition.topic;
        let source = origin_of(&cluster_id, topic, position.topic_id.as_deref());
        (source, range.partition.partition, (range.from, range.to))
    });
    let documents: Vec<Documents> = documents.collect();
    let indices = Indices::look(&part, &searches, &args.target, &documents, &destinations);
    let mut indices = runtime.block_on(indices)?;
    if !indices.elsewhere.is_empty() {
        let registry = Registry::of(file.spec()?, &source.spout, args.of.timeout.get());
        let runs = registry.map_or(Ok(Vec::new()), |registry| registry.runs());
        elsewhere::tell(&mut indices, runs.map_err(|error| error.to_string()));
    }
    let tables = part.planned_tables();
    let dated_by_clock = part.plan.dated_by_clock.clone();
    let mut sample = None;
    if args.sample > 0 && !documents.is_empty() {
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
    let of_sample = sample.as_ref().and_then(|sample| sample.oldest_ms);
    let of_ranges = extents.iter().filter_map(|extent| extent.oldest_ms);
    let oldest_ms = of_ranges.chain(of_sample).min();
    let dated_by_clock = match sample.as_ref().is_some_and(|sample| !sample.has_undated) {
        true => Vec::new(),
        false => dated_by_clock,
    };
    let mut notes = indices.there.clone();
    notes.extend(args.slack.map(|slack| {
        format!(
            "--slack {slack}: the ranges go on behind --to for so long, so that they have records that came late, and \
             younger ones"
        )
    }));
    notes.extend(indices.notes);
    notes.extend(preview::notes(
        &part.spec,
        context.registry,
        &part.tables,
        &dated_by_clock,
        oldest_ms,
    ));
    notes.extend(preview::note_on_drops(file.spec()?, &part.spec));
    if !choice.makes_indices() && extents.iter().any(|extent| !extent.is_exact) {
        notes.extend(preview::note_on_names(&part.sinks));
    }
    let made_at_ms = clock::unix_ms();
    let id = format!("{made_at_ms:x}");
    let letters = letters_apart(&mut part.spec.clone(), &id);
    notes.extend(letters.iter().map(|file| {
        format!(
            "records that are rejected have their dead letters in {}: the file of the live topology has one writer",
            file.display()
        )
    }));
    let topology = &part.spec.name;
    let env_files = args.of.file.env_file.iter().map(absolute);
    let plan = PlanFile {
        version: PLAN_VERSION,
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
        cluster_id,
        topics: positions
            .iter()
            .map(|one| (one.partition.topic.to_string(), one.topic_id.clone()))
            .collect(),
        partition_counts,
        from: args.from.to_string(),
        to: args.to.to_string(),
        target: args.target.to_string(),
        create_missing: args.create_missing,
        only_bolts: args.only_bolt.clone(),
        exclude_bolts: args.exclude_bolt.clone(),
        rate: args.rate,
        sinks: indices.sinks,
        left_out: part.left_out.clone(),
        other_sinks: part
            .other_sinks
            .iter()
            .map(|sink| sink.bolt.clone())
            .collect(),
        narrowed: ranges.iter().any(|range| !range.narrowed.is_empty())
            || !indices.there.is_empty()
            || (!indices.missing.is_empty() && !choice.makes_indices()),
        missing_indices: indices.missing,
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

/// What is to be looked at of each range: beside what is in it, what is behind it where it ends by a time, and the
/// end of the log where a time has found that.
fn looks<'r>(
    args: &PlanArgs,
    ranges: &'r [Range],
    positions: &[Position],
    are_cut: &[bool],
    now_ms: i64,
) -> Vec<Look<'r>> {
    let by_time = args.from.time(now_ms).or(args.to.time(now_ms)).is_some();
    let each = ranges.iter().zip(positions).zip(are_cut);
    each.map(|((range, Position { log, .. }), is_cut)| Look {
        range,
        before_ms: args.to.time(now_ms).filter(|_| !is_cut),
        log: (by_time && range.is_empty() && range.from >= log.end).then_some((log.start, log.end)),
    })
    .collect()
}

/// Where a range ends that is to have what comes later than its time by so much, up to now.
fn later(to: Place, slack: Duration, now_ms: i64) -> Place {
    let slack_ms = i64::try_from(slack.get().as_millis()).unwrap_or(i64::MAX);
    match to.time(now_ms) {
        Some(ms) => Place::Time(ms.saturating_add(slack_ms).min(now_ms.max(ms))),
        None => to,
    }
}

/// Says where a time has found less than it seems to. Fails where times find nothing: records without any lie
/// anywhere.
fn check_times(
    (from, to): (Place, Place),
    extents: &[Extent],
    ranges: &mut [Range],
) -> Result<(), Failure> {
    let by_time = from.time(0).or(to.time(0)).is_some();
    for (range, extent) in ranges.iter_mut().zip(extents) {
        if extent.is_without_times && by_time {
            return Err(without_times(
                &range.partition,
                "give offsets as --from and --to, earliest or now",
            ));
        }
        if extent.late > 0 {
            range.narrowed.push(format!(
                "timestamps do not rise with the offsets: {} of the records close behind the range are older than its \
                 end, and are not in it; --slack, such as --slack 15m, has those too that come so much later",
                number(extent.late)
            ));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_reaches_behind_a_time_and_not_beyond_now() {
        let now_ms = 10_000_000;
        let check = |to: &str, expected: Place| {
            let to: Place = to.parse().expect("a place");
            assert_eq!(later(to, Duration::secs(60), now_ms), expected, "{to}");
        };
        check("1970-01-01T00:10:00Z", Place::Time(660_000));
        check("2m", Place::Time(now_ms - 60_000));
        check("30s", Place::Time(now_ms));
        // What is said of the future is said of the time that was asked for.
        check("1970-01-01T10:00:00Z", Place::Time(36_000_000));
        check("now", Place::Now);
        check("17", Place::Offset(17));
    }

    #[test]
    fn a_range_that_lacks_late_records_is_narrowed() {
        let mut ranges = [Range {
            partition: isobar_operators::kafka::admin::TopicPartition::new("t", 0),
            from: 0,
            to: 10,
            narrowed: Vec::new(),
            notes: Vec::new(),
        }];
        let mut extent = Extent::default();
        let [from, to] = ["2h", "1h"].map(|place| place.parse().expect("a place"));
        check_times((from, to), std::slice::from_ref(&extent), &mut ranges)
            .expect("there are times");
        assert_eq!(ranges[0].narrowed, Vec::<String>::new());
        extent.late = 3;
        check_times((from, to), std::slice::from_ref(&extent), &mut ranges)
            .expect("there are times");
        let said =
            "timestamps do not rise with the offsets: 3 of the records close behind the range";
        assert!(ranges[0].narrowed[0].starts_with(said), "{ranges:?}");
        extent.is_without_times = true;
        let refused = check_times((from, to), std::slice::from_ref(&extent), &mut ranges);
        let text = refused.expect_err("no time says where").error.to_string();
        assert!(
            text.starts_with("t/0: records carry no timestamp"),
            "{text}"
        );
        let by_offset = (Place::Offset(0), Place::Now);
        assert!(check_times(by_offset, &[extent], &mut ranges).is_ok());
    }
}
