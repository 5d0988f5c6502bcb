//! Runs a plan: checks its pins again, reads the fixed ranges through the graph, reports, verifies.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use isobar_operators::kafka::admin::{Admin, TopicPartition};
use isobar_operators::lag::{self, Source};
use isobar_operators::replay::registry::{Registry, State};
use isobar_operators::replay::{Gate, Job, Sink, missing_index_policy, read_only};
use serde_json::json;
use tokio::sync::mpsc;

use super::RunArgs;
use super::attend::{Attendance, Attended, Ended};
use super::document::{PlanFile, ReportFile, ReportedPartition, VERSION, write};
use super::held::{Brokers, check_pins, claim, forget_group, known_ids, ranges};
use super::purge::{PURGE, purge};
use super::verify::{Shape, Verdict};
use super::{part, ticket};
use crate::accounting::Accounting;
use crate::command::Context;
use crate::command::job::{agree, apart, bound_in_flight, to_its_end};
use crate::command::run::report::Report;
use crate::command::runtime::Runtime;
use crate::command::signals::Signals;
use crate::command::source::asking;
use crate::exit::{Exit, Failure, Outcome};
use crate::observer::Observer;
use crate::output::{Format, number};
use crate::progress::Goal;
use crate::topology_file::TopologyFile;

/// What is to be known of a purge that did not come to its end.
const REMAINS: &str = "the documents that were deleted are missing until the plan is run to its end with \
                       --resume";

pub(super) fn execute(args: &RunArgs, mut context: Context<'_>) -> Outcome {
    let plan = PlanFile::read(&args.plan)?;
    if plan.narrowed && !args.accept_narrowed {
        return Err(Failure::usage(
            "the plan is narrower than what was asked for; make another one, or run it as it is with \
             --accept-narrowed",
        ));
    }
    let (file, mut part) = part::of_plan(&plan, &mut context)?;
    let source = source_of(&plan, &file)?;
    let admin = Admin::of_group(source.connection(), &plan.group, args.timeout.get());
    let brokers = Brokers {
        admin: admin.map_err(asking)?,
        source: source.clone(),
        within: args.timeout.get(),
    };
    // What cannot run is refused before anybody is asked; what counts is looked at under the claim.
    let _ = check_pins(&plan, &brokers, args.resume)?;
    if ranges(&plan).is_empty() {
        context
            .screen
            .line("isobar: nothing to replay: the ranges of the plan are empty");
        return Ok(Exit::Done);
    }
    agree(args.yes, &plan.text(), "replayed", &context)?;

    let gate = Arc::new(Gate::default());
    let job = Job {
        group: plan.group.clone(),
        ranges: ranges(&plan),
        topic_ids: known_ids(&plan),
        rate: args.rate.or(plan.rate),
        gate: Some(Arc::clone(&gate)),
    };
    let graph = &mut part.plan.graph;
    read_only(&part.spec, graph, &plan.spout, job)
        .map_err(|problems| Failure::from(file.refuse(problems)))?;
    // Dead letters say which run they come from.
    graph.name.clone_from(&plan.group);
    bound_in_flight(graph, args.max_in_flight);
    let searches = part.searches()?;
    let shape = Shape::of(&part.spec, &searches);
    let runtime = Runtime::new()?;
    let registry = Registry::of(file.spec()?, &plan.spout, args.timeout.get());
    let registry = registry.ok_or_else(|| Failure::usage("the spout has no connection"))?;
    let claimed = claim(&plan, registry, &brokers, args.resume, &context.screen);
    let (claim, progress) = runtime.block_on(claimed)?;
    let resumed = !progress.is_empty();
    let (stop, told) = mpsc::channel(2);
    let attended = Attended::start(Attendance {
        claim,
        gate: Arc::clone(&gate),
        live: source.clone(),
        yield_to: args.yield_to_live,
        stop,
        screen: context.screen.clone(),
    })?;
    runtime.block_on(async {
        let mut signals = Signals::listen_also(told)?;
        if plan.target == PURGE {
            let purged = purge(&plan, &progress, &searches, &gate, &mut signals).await?;
            let documents = number(purged.documents);
            context.screen.line(&format!(
                "isobar: {documents} documents of the range are deleted"
            ));
            if let Some(by) = purged.stopped_by {
                let state = match attended.ended() {
                    Some(_) => State::Aborted,
                    None => State::Stopped,
                };
                let why =
                    format!("stopped by {by} while it deleted: {documents} documents are gone");
                attended.end(state, Some(why));
                return Err(Failure::new(
                    Exit::Failed,
                    anyhow!("stopped by {by}: nothing is written anew yet; {REMAINS}"),
                ));
            }
        }
        let observe = |observer: &Arc<Observer>| attended.observe(observer);
        let goal = Some(goal(&plan));
        let after = args.give_up_after;
        let run = to_its_end(part.plan, after, signals, goal, &context, observe).await?;
        let report = reported(&plan, &run, resumed);
        write(&ReportFile::beside(&args.plan), &report, false)?;
        let (verdict, unchecked) = match report.complete {
            true => apart(Verdict::find(&plan, Some(&report), &searches, shape).await),
            false => (None, None),
        };
        let ended = attended.ended().filter(|_| !report.complete);
        print(
            args,
            &plan,
            &run,
            verdict.as_ref(),
            ended.as_ref(),
            &context,
        )?;
        let (state, why) = match (&ended, report.complete) {
            (Some(_), _) => (State::Aborted, run.summary().to_owned()),
            (None, false) => (State::Stopped, run.summary().to_owned()),
            (None, true) => {
                let word = verdict.as_ref().map_or("not verified", Verdict::word);
                (State::Done, format!("verified: {word}"))
            }
        };
        attended.end(state, Some(why));
        if let Some(Failure { exit, error }) = unchecked {
            let error = error.context("the replay is complete, but could not be verified");
            return Err(Failure::new(exit, error));
        }
        let mut exit = run.exit();
        if let Some(verdict) = &verdict {
            exit = exit.max(verdict.exit());
        }
        let is_given_up = ended == Some(Ended::Aborted);
        if is_given_up && plan.target == PURGE {
            context.screen.line(&format!("isobar: {REMAINS}"));
        }
        let left_out = without_index(&run, &part.sinks);
        let is_over =
            (verdict.is_some() && exit == Exit::Done) || (is_given_up && plan.target != PURGE);
        if is_over {
            // Nobody would read it any more, and its lag would grow for ever.
            forget_group(&brokers.admin, &plan.group, &context.screen);
        }
        if left_out > 0 {
            context.screen.line(&format!(
                "isobar: {} records are left out, as the index of a document does not exist; a plan with \
                 --create-missing has it made",
                number(left_out)
            ));
            exit = exit.max(Exit::Threshold);
        }
        if let (Some(file), Some(verdict)) = (&args.report, &verdict) {
            ticket::write(file, &plan, Some(&report), verdict)?;
        }
        Ok(exit)
    })
}

fn goal(plan: &PlanFile) -> Goal {
    let ranges = ranges(plan).into_iter();
    let name = |partition: TopicPartition| (partition.topic.to_string(), partition.partition);
    Goal::new(
        ranges
            .map(|(partition, range)| (name(partition), range))
            .collect(),
    )
}

fn source_of(plan: &PlanFile, file: &TopologyFile) -> Result<Source, Failure> {
    let sources = lag::sources(file.spec()?);
    let sources = sources.map_err(|problems| Failure::from(file.refuse(problems)))?;
    let source = sources.into_iter().find(|one| one.spout == plan.spout);
    source.ok_or_else(|| Failure::usage(format!("no spout {}", plan.spout)))
}

/// Records that were dropped since the index of a document does not exist.
fn without_index(run: &Report, sinks: &[Sink]) -> u64 {
    let dropped = &run.accounting.total.dropped_by_policy;
    let policies = sinks.iter().map(|sink| missing_index_policy(&sink.bolt));
    policies.filter_map(|policy| dropped.get(&policy)).sum()
}

/// The report to keep: complete when each partition was settled up to its end.
fn reported(plan: &PlanFile, run: &Report, resumed: bool) -> ReportFile {
    let accounts = by_partition(&run.accounting);
    let complete = ranges(plan).iter().all(|(partition, (_, to))| {
        let account = accounts.get(partition);
        account.and_then(|(frontier, _)| *frontier) >= Some(*to)
    });
    ReportFile {
        version: VERSION,
        id: plan.id.clone(),
        complete,
        resumed,
        summary: run.summary().to_owned(),
        partitions: accounts
            .into_values()
            .map(|(_, reported)| reported)
            .collect(),
    }
}

fn by_partition(
    accounting: &Accounting,
) -> BTreeMap<TopicPartition, (Option<i64>, ReportedPartition)> {
    let partitions = accounting.spouts.iter().flat_map(|spout| &spout.partitions);
    let each = partitions.map(|account| {
        let terms = &account.terms;
        let reported = ReportedPartition {
            topic: account.topic.clone(),
            partition: account.partition,
            read: terms.read,
            delivered: terms.delivered,
            already_present: terms.already_present,
            dead_lettered: terms.dead_lettered,
            dropped: terms.dropped,
            lost: terms.lost,
        };
        let name = TopicPartition::new(&account.topic, account.partition);
        (name, (account.frontier, reported))
    });
    each.collect()
}

fn print(
    args: &RunArgs,
    plan: &PlanFile,
    run: &Report,
    verdict: Option<&Verdict>,
    ended: Option<&Ended>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    match args.output.format {
        Format::Json => context.output.json(&json!({
            "version": VERSION,
            "id": plan.id,
            "run": run,
            "verification": verdict,
        }))?,
        Format::Table => {
            let mut text = format!("{}\n{}", run.summary(), run.accounting.table());
            if let Some(verdict) = verdict {
                text.push_str(&format!("\n{}", verdict.text()));
            }
            context.output.text(&text)?;
        }
    }
    run.say_why(&context.screen);
    if let Some(Ended::TakenOver(by)) = ended {
        context.screen.line(&format!(
            "isobar: nothing was heard of this run for too long, and {by} has its records now"
        ));
    }
    if verdict.is_none() && ended.is_none() {
        let report = ReportFile::beside(Path::new(&args.plan));
        context.screen.line(&format!(
            "isobar: not all of {} offsets are settled; --resume goes on (report: {})",
            number(plan.offsets()),
            report.display()
        ));
    }
    Ok(())
}
