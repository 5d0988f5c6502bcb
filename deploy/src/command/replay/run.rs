//! Runs a plan: checks its pins again, reads the fixed ranges through the graph, reports, verifies.

mod reported;

use std::sync::Arc;

use anyhow::anyhow;
use isobar_operators::kafka::admin::{Admin, Committed, TopicPartition};
use isobar_operators::lag::{self, Source};
use isobar_operators::replay::registry::{Registry, State};
use isobar_operators::replay::{Gate, Job, Sink, letters_apart, missing_index_policy, read_only};
use isobar_topology::Plan;
use serde_json::json;
use tokio::sync::mpsc;

use super::RunArgs;
use super::another_index;
use super::attend::{Attendance, Attended, Ended, last_word};
use super::clusters;
use super::document::{PlanFile, ReportFile, VERSION};
use super::files::{check_writable, write};
use super::frontier::Frontier;
use super::held::{
    Begin, Brokers, Progress, check_pins, claim, forget_group, grown, known_ids, ranges,
    refuse_done,
};
use super::purge::{PURGE, REMAINS, purge};
use super::verify::{Asked, Shape, Verdict};
use super::width::Width;
use super::{part, ticket};
use crate::command::Context;
use crate::command::job::{agree, apart, bound_in_flight, to_its_end, unless_stopped};
use crate::command::run::report::Report;
use crate::command::runtime::Runtime;
use crate::command::signals::Signals;
use crate::command::source::asking;
use crate::environment::cores;
use crate::exit::{Exit, Failure, Outcome};
use crate::observer::Observer;
use crate::output::{Format, number};
use crate::progress::Goal;
use crate::topology_file::TopologyFile;
use reported::reported;

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
    let begin = Begin {
        resume: args.resume,
        accept_narrowed: args.accept_narrowed,
        options: options(args, &plan),
    };
    // What cannot run is refused before anybody is asked; what counts is looked at under the claim.
    let _ = check_pins(&plan, &brokers, &begin)?;
    for told in grown(&plan, &brokers.admin)? {
        context.screen.line(&format!("isobar: {told}"));
    }
    if ranges(&plan).is_empty() {
        context
            .screen
            .line("isobar: nothing to replay: the ranges of the plan are empty");
        if let Some(file) = &args.report {
            ticket::write(file, &plan, None, Err("the ranges of the plan are empty"))?;
        }
        return Ok(Exit::Done);
    }
    let (searches, runtime) = (part.searches()?, Runtime::new()?);
    runtime.block_on(clusters::check(&plan, &part.sinks, &searches))?;
    let registry = Registry::of(file.spec()?, &plan.spout, args.timeout.get());
    let registry = registry.ok_or_else(|| Failure::usage("the spout has no connection"))?;
    refuse_done(&plan, &registry)?;
    for file in [Some(&ReportFile::beside(&args.plan)), args.report.as_ref()] {
        file.map_or(Ok(()), |file| check_writable(file))?;
    }
    agree(args.yes, &plan.text(), "replayed", &context)?;
    if !args.yes {
        // Somebody may have thought for long.
        refuse_done(&plan, &registry)?;
    }

    let width = Width::find(&source, args.yield_to_live, args.timeout.get());
    width.set(&mut part.spec, cores());
    // The plan has told where.
    let _ = letters_apart(&mut part.spec, &plan.id);
    part.plan = file.plan_part(&part.spec, context.registry, cores())?;
    width.say(part.plan.graph.lanes, &context.screen);
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
    let asked = Asked {
        searches: &searches,
        shape: Shape::of(&part.spec, &searches),
        source: &source,
        within: args.timeout.get(),
    };
    let frontier = Frontier::of(&plan, &brokers)?;
    let claimed = claim(&plan, registry, &brokers, &begin, &context.screen);
    let (claim, progress) = runtime.block_on(claimed)?;
    let (stop, told) = mpsc::channel(2);
    let attended = Attended::start(Attendance {
        claim,
        gate: Arc::clone(&gate),
        live: source.clone(),
        yield_to: args.yield_to_live,
        width,
        frontier,
        stop,
        screen: context.screen.clone(),
    })?;
    let claimed = Claimed {
        args,
        plan: &plan,
        brokers: &brokers,
        asked: &asked,
        sinks: &part.sinks,
        progress: &progress,
        context: &context,
    };
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen_also(told)?;
        let attended = attended.begin(claimed.look(), &mut signals).await?;
        if plan.target == PURGE
            && let Some((word, failure)) = claimed.purge(&gate, &mut signals).await
        {
            let state = match attended.ended() {
                Some(_) => State::Aborted,
                None => State::Stopped,
            };
            attended.end(state, Some(word));
            return Err(failure);
        }
        claimed.run(part.plan, attended, &mut signals).await
    });
    // Of what still goes on beside, such as a question to the brokers, nobody wants to know any more.
    drop(runtime);
    outcome
}

/// A run that has its claim.
struct Claimed<'a> {
    args: &'a RunArgs,
    plan: &'a PlanFile,
    brokers: &'a Brokers,
    asked: &'a Asked<'a>,
    sinks: &'a [Sink],
    progress: &'a Progress,
    context: &'a Context<'a>,
}

impl Claimed<'_> {
    /// Looks once more at the index of another name, now that nobody else replays these records.
    async fn look(&self) -> Result<(), Failure> {
        let (searches, resume) = (self.asked.searches, self.args.resume);
        let told = another_index::look(self.plan, self.progress, searches, resume).await?;
        for told in told {
            self.context.screen.line(&format!("isobar: {told}"));
        }
        Ok(())
    }

    /// Deletes what is written anew afterwards. Returns what to tell the register, and with what to end, when
    /// it did not come to its end.
    async fn purge(&self, gate: &Gate, signals: &mut Signals) -> Option<(String, Failure)> {
        let screen = &self.context.screen;
        let (searches, resume) = (self.asked.searches, self.args.resume);
        let purged = purge(self.plan, self.progress, searches, resume, gate, signals);
        let (word, failure) = match purged.await {
            Ok(purged) => {
                let documents = number(purged.documents);
                screen.line(&format!(
                    "isobar: {documents} documents of the range are deleted"
                ));
                let by = purged.stopped_by?;
                let failure = anyhow!("stopped by {by}: nothing is written anew yet; {REMAINS}");
                (
                    format!("stopped by {by} while it deleted: {documents} documents are gone"),
                    Failure::new(Exit::Failed, failure),
                )
            }
            Err(failure) => ("it failed while it deleted".to_owned(), failure),
        };
        let _ = self.says(self.ticket(None, Err(&format!("{:#}", failure.error))));
        Some((word, failure))
    }

    /// Runs the part of the topology to its end, verifies, and tells everybody.
    async fn run(&self, part: Plan, attended: Attended, signals: &mut Signals) -> Outcome {
        let Self {
            args,
            plan,
            context,
            ..
        } = *self;
        let observe = |observer: &Arc<Observer>| attended.observe(observer);
        let (goal, after) = (Some(goal(plan)), args.give_up_after);
        let run = to_its_end(part, after, signals, goal, context, observe).await?;
        let (accounting, commits) = (&run.accounting, self.commits());
        let report = reported(plan, accounting, run.summary(), self.progress, &commits);
        let kept = write(&ReportFile::beside(&args.plan), &report, false);
        let (verdict, unchecked) = match report.complete {
            true => {
                let check = Verdict::find(plan, Some(&report), self.asked);
                apart(unless_stopped(check, signals).await)
            }
            false => (None, None),
        };
        let ended = attended.ended();
        let is_ours = !matches!(ended, Some(Ended::TakenOver(_)));
        let ended = ended.filter(|_| !report.complete);
        let printed = self.print(&run, report.complete, verdict.as_ref(), ended.as_ref());
        let word = verdict.as_ref().map(Verdict::word);
        let (state, why) = last_word(ended.as_ref(), report.complete, run.summary(), word);
        attended.end(state, Some(why));
        let is_given_up = ended == Some(Ended::Aborted);
        if is_given_up && plan.target == PURGE {
            context.screen.line(&format!("isobar: {REMAINS}"));
        }
        if leaves_no_group(report.complete && is_ours, is_given_up, &plan.target) {
            let _ = forget_group(&self.brokers.admin, &plan.group, &context.screen);
        }
        let left_out = without_index(&run, self.sinks);
        if left_out > 0 {
            context.screen.line(&format!(
                "isobar: {} records are left out, as the index of a document does not exist; a plan with \
                 --create-missing has it made",
                number(left_out)
            ));
        }
        let why = match &unchecked {
            Some(Failure { error, .. }) => format!("{error:#}"),
            None => "not all of its offsets are settled".to_owned(),
        };
        let noted = self.ticket(Some(&report), verdict.as_ref().ok_or(&why));
        // Both could be written when the run began, and what they would say has been printed.
        let is_written = [kept, noted].map(|written| self.says(written));
        let checked = verdict.as_ref().map(Verdict::exit);
        let is_whole = is_written.iter().all(|is_written| *is_written);
        let exit = joined(run.exit(), checked, left_out, is_whole);
        printed?;
        match unchecked {
            Some(Failure { exit, error }) => {
                let error = error.context(
                    "the replay is complete, but could not be verified (isobar replay verify does that)",
                );
                Err(Failure::new(exit, error))
            }
            None => Ok(exit),
        }
    }

    /// What the plan's group has committed by now; nothing, with a word, where that is not known.
    fn commits(&self) -> Vec<Committed> {
        let partitions: Vec<TopicPartition> = ranges(self.plan).into_keys().collect();
        match self.brokers.admin.committed(&partitions) {
            Ok(commits) => commits.unwrap_or_default(),
            Err(error) => {
                self.context.screen.line(&format!(
                    "isobar: {error}: what became of each record is not known"
                ));
                Vec::new()
            }
        }
    }

    /// Writes the ticket, where one is wanted.
    fn ticket(
        &self,
        report: Option<&ReportFile>,
        checked: Result<&Verdict, &String>,
    ) -> Result<(), Failure> {
        match &self.args.report {
            Some(file) => ticket::write(file, self.plan, report, checked.map_err(String::as_str)),
            None => Ok(()),
        }
    }

    /// Says what could not be done; returns whether it was.
    fn says(&self, done: Result<(), Failure>) -> bool {
        if let Err(Failure { error, .. }) = &done {
            self.context.screen.line(&format!("isobar: {error:#}"));
        }
        done.is_ok()
    }

    fn print(
        &self,
        run: &Report,
        is_complete: bool,
        verdict: Option<&Verdict>,
        ended: Option<&Ended>,
    ) -> Result<(), Failure> {
        let Context { output, screen, .. } = self.context;
        match self.args.output.format {
            Format::Json => output.json(&json!({
                "version": VERSION,
                "id": self.plan.id,
                "run": run,
                "verification": verdict,
            }))?,
            Format::Table => {
                let mut text = format!("{}\n{}", run.summary(), run.accounting.table());
                if let Some(verdict) = verdict {
                    text.push_str(&format!("\n{}", verdict.text()));
                }
                output.text(&text)?;
            }
        }
        run.say_why(screen);
        if let Some(ended) = ended {
            ended.say(screen);
        }
        if !is_complete && ended.is_none() {
            let report = ReportFile::beside(&self.args.plan);
            screen.line(&format!(
                "isobar: not all of {} offsets are settled; --resume goes on (report: {})",
                number(self.plan.offsets()),
                report.display()
            ));
        }
        Ok(())
    }
}

/// How a run ends that has ended so by itself and by its check, and has left out so many records. Its files, where not
/// all of them were written, are asked for later.
fn joined(run: Exit, checked: Option<Exit>, left_out: u64, is_written: bool) -> Exit {
    let less = match left_out {
        0 => Exit::Done,
        _ => Exit::Threshold,
    };
    let unwritten = match is_written {
        true => Exit::Done,
        false => Exit::Failed,
    };
    run.worse(checked.unwrap_or(Exit::Done))
        .worse(less)
        .worse(unwritten)
}

/// What was said of a run and its plan beside target and ranges, as the command line has it.
fn options(args: &RunArgs, plan: &PlanFile) -> Vec<String> {
    let flags = [
        ("--resume", args.resume),
        ("--accept-narrowed", args.accept_narrowed),
        ("--create-missing", plan.create_missing),
    ];
    let flags = flags.into_iter().filter(|(_, given)| *given);
    let mut options: Vec<String> = flags.map(|(flag, _)| flag.to_owned()).collect();
    let rate = args.rate.or(plan.rate);
    for (name, number) in [("rate", rate), ("max-in-flight", args.max_in_flight)] {
        options.extend(number.map(|number| format!("--{name}={number}")));
    }
    options.push(format!("--yield-to-live={}", args.yield_to_live));
    let only = plan.only_bolts.iter().map(|bolt| ("only", bolt));
    let excluded = plan.exclude_bolts.iter().map(|bolt| ("exclude", bolt));
    let bolts = only.chain(excluded);
    options.extend(bolts.map(|(what, bolt)| format!("--{what}-bolt={bolt}")));
    options
}

/// Whether nobody goes on with a run any more: it is complete, whatever the index says of it, or was given up
/// and lacks nothing. Then nobody would read its progress, and its lag would grow for ever.
fn leaves_no_group(is_complete: bool, is_given_up: bool, target: &str) -> bool {
    is_complete || (is_given_up && target != PURGE)
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

/// The spout of a plan, as one that is asked about.
pub(super) fn source_of(plan: &PlanFile, file: &TopologyFile) -> Result<Source, Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_are_left_out_hide_no_failure() {
        let (done, less, failed) = (Exit::Done, Exit::Threshold, Exit::Failed);
        assert_eq!(joined(done, Some(done), 0, true), done);
        assert_eq!(joined(done, Some(done), 20, true), less);
        assert_eq!(joined(done, Some(less), 0, true), less);
        // It was stopped, and never checked.
        assert_eq!(joined(failed, None, 5, true), failed);
        // Some are missing, beside those.
        assert_eq!(joined(done, Some(failed), 20, true), failed);
        assert_eq!(joined(less, Some(done), 20, false), failed);
        let unknown = Exit::Undetermined;
        assert_eq!(joined(done, Some(unknown), 20, true), unknown);
    }
}
