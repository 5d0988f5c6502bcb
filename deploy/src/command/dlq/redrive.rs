//! `isobar dlq redrive`: the plan, the run, and the check of what came of it.
//!
//! A redrive is a replay of what is missing whose records come from their letters. Its progress is in
//! the topics of the letters: one that died is gone on with by another.

mod entry;
mod register;
mod selection;
mod whose;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use clap::Args;
use isobar_operators::dead_letter::{Origin, REDRIVE};
use isobar_operators::lag;
use isobar_operators::offsets::Group;
use isobar_operators::redrive::{Job, LetterAt, Pick, redrive};
use isobar_operators::replay::registry::{Entry as RunEntry, Registry};
use isobar_operators::replay::{Choice, Gate, Guarantee, Search, forks, letters_apart, whole};
use isobar_topology::spec::units::Duration;
use isobar_topology::{Plan, clock};
use serde_json::json;
use tokio::sync::mpsc;

use super::filter::FilterArgs;
use super::keepers::Keepers;
use super::letters::Letters;
use super::records::Records;
use super::verdict::{Verdict, dropped};
use super::{VERSION, keepers_of, read};
use crate::cli::OutputArgs;
use crate::command::Context;
use crate::command::job::{agree, apart, bound_in_flight, to_its_end, unless_stopped};
use crate::command::replay::attend::{Attendance, Attended, Ended, YieldTo, last_word};
use crate::command::replay::claiming::claim;
use crate::command::replay::part::Part;
use crate::command::replay::width::Width;
use crate::command::run::report::Report;
use crate::command::runtime::Runtime;
use crate::command::signals::Signals;
use crate::command::source::{OfArgs, asking, refuse_embedded};
use crate::environment::cores;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, number};
use crate::topology_file::TopologyFile;
use entry::EntersAt;
use selection::{Scope, Selection, rejected_by};
use whose::Owners;

pub(super) use entry::Entry;
pub(super) use register::entered_at_bolt;

pub(super) const EXAMPLE: &str = "\
Examples:
  isobar dlq redrive logs.yaml --dry-run
  isobar dlq redrive logs.yaml --class mapping --limit 10
  isobar dlq redrive logs.yaml --bolt parse --from 24h --yes
  isobar dlq redrive logs.yaml --bolt index --at bolt --dry-run
  isobar dlq redrive logs.yaml --rate 500 --yes

Repair what the letters complain about before, and try it with a few (--limit). Where the topology has \
other branches, which have done with these records, or would drop them this time, --at bolt lets them enter at \
the bolt that rejected them.

Exit codes:
  0  all is settled, and each record in the index or dropped by a policy
  1  it, or its check, was ended at once, something is missing or there twice,
     another run has these records, another redrive has settled some of them
     meanwhile, or a topic of letters was made again meanwhile
  2  it is not begun so: the command line or the topology file is wrong, or a
     topic of letters is not there
  3  records were rejected again, or some that were asked for are left out
  4  it gave up, letters are open as before, as where it was stopped, or what
     came of it could not be determined";

/// What `redrive` takes.
#[derive(Args, Debug)]
pub(super) struct RedriveArgs {
    #[command(flatten)]
    of: OfArgs,

    #[command(flatten)]
    filter: FilterArgs,

    /// Where records enter the topology: spout, or bolt for the one that rejected them.
    ///
    /// At a bolt, they go to it and to what is behind it, and to no other branch. A letter has its record as it was
    /// read, so bolts before it that change records run again; filter, sample, deduplicate, limit and route, which
    /// only choose records, are passed by. The letters have to be those of one bolt (--bolt).
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        default_value_t,
        hide_possible_values = true
    )]
    at: EntersAt,

    /// So many records at most, those that were rejected first.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,

    /// Leaves out records that were redriven so often before.
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    redrives_max: u32,

    /// Shows what would be redriven. Changes nothing.
    #[arg(long)]
    dry_run: bool,

    /// Does not ask. Needed where standard input is no terminal.
    #[arg(long)]
    yes: bool,

    /// Records per second at most. Default: as fast as it goes.
    #[arg(long, value_name = "NUMBER")]
    rate: Option<NonZeroU32>,

    /// Records in flight at most; less takes less from the live topology. Default: as the topology says.
    #[arg(long, value_name = "NUMBER")]
    max_in_flight: Option<NonZeroU32>,

    /// Waits while the oldest record that the live topology has not settled is older, or its age is not known. Beside
    /// a live topology the run has a quarter of the lanes, and one small request at a time per lane and bolt; where
    /// nobody is in the live group when it begins, or with off, it is as wide as the topology says. off never waits.
    #[arg(long, value_name = "AGE", default_value_t = YieldTo::Above(Duration::secs(30)))]
    yield_to_live: YieldTo,

    /// Ends with exit code 4 when nothing was read and nothing settled for so long.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    give_up_after: Duration,

    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn execute(args: &RedriveArgs, mut context: Context<'_>) -> Outcome {
    let (file, source, group) = args.of.find(&mut context)?;
    if !args.dry_run {
        refuse_embedded(&group, &source, "redrive")?;
    }
    let spec = file.spec()?;
    let keepers = keepers_of(&file, &args.of.file, &context)?;
    let letters = read(&keepers, args.filter.key.clone(), args.of.timeout)?;
    let filter = args.filter.filter();
    let topology = spec.name.clone();
    let sources = lag::sources(spec);
    let sources = sources.map_err(|problems| Failure::from(file.refuse(problems)))?;
    let within = args.of.timeout.get();
    let mut owners = Owners::of(spec, &sources, &source.spout);
    owners.find(&letters, &topology, |source, topic| {
        let group = Group::of(source, within);
        group
            .and_then(|group| group.source_of(topic))
            .map_err(asking)
    })?;
    let whose = |origin: &Origin, bolt: &str| owners.whose(origin, bolt);
    let entry = match args.at {
        EntersAt::Spout => Entry::at_spout(&source.spout),
        EntersAt::Bolt => {
            let bolts = rejected_by(&letters, &filter, &topology, &whose);
            Entry::at_bolt(spec, &source.spout, &bolts).map_err(Failure::usage)?
        }
    };
    let mut part = part_of(&file, &source.spout, &entry, &context)?;
    let stamp = format!("{:x}", clock::unix_ms());
    let run = format!("{topology}{REDRIVE}{stamp}");
    let whole = whole(spec, &part.spec, &part.left_out);
    let scope = Scope {
        topology: &topology,
        whose: &whose,
        topic_of: &|at| keepers.topic_of(at),
        settles: &|bolt| entry.settles(bolt) && (part.left_out.is_empty() || whole.contains(bolt)),
        redrives_max: args.redrives_max,
        limit: args.limit.unwrap_or(usize::MAX),
        run: &run,
    };
    let mut selection = Selection::of(&letters, &filter, &scope);
    // All of them were in memory: the run goes without.
    drop(letters);
    let plan = selection.text(&run, &keepers.names().join(", "), &entry, &part);
    keepers.say_unread(&context.screen);
    if args.dry_run || selection.records == 0 {
        match args.output.format {
            Format::Table => context.output.text(&plan)?,
            Format::Json => context.output.json(&json!({
                "version": VERSION,
                "id": run,
                "plan": selection.document(&entry),
            }))?,
        }
        return Ok(selection.exit());
    }
    let registry = Registry::of(spec, &source.spout, within);
    let registry = registry.ok_or_else(|| Failure::usage("the spout has no connection"))?;
    agree(args.yes, &plan, "redriven", &context)?;

    let picks = Arc::new(std::mem::take(&mut selection.picks));
    let gate = Arc::new(Gate::default());
    let misplaced = Arc::new(AtomicU64::new(0));
    let mut sinks = part.sinks.iter();
    let job = Job {
        run: run.clone(),
        letters: keepers.topics(),
        picks: Arc::clone(&picks),
        within,
        rate: args.rate,
        is_unprotected: sinks.any(|sink| sink.guarantee == Guarantee::None),
        gate: Some(Arc::clone(&gate)),
        misplaced: Arc::clone(&misplaced),
    };
    let width = Width::find(&source, args.yield_to_live, within);
    width.set(&mut part.spec, cores());
    // A live topology has its own file of letters open.
    let _ = letters_apart(&mut part.spec, &stamp);
    part.plan = file.plan_part(&part.spec, context.registry, cores())?;
    width.say(part.plan.graph.lanes, &context.screen);
    let graph = &mut part.plan.graph;
    redrive(&part.spec, graph, &source.spout, job)
        .map_err(|problems| Failure::from(file.refuse(problems)))?;
    bound_in_flight(graph, args.max_in_flight);
    let (searches, runtime) = (part.searches()?, Runtime::new()?);
    let is_at_bolt = entry.bolt().is_some();
    let wants = register::wants(
        args,
        &run,
        &source.spout,
        is_at_bolt,
        &part.configuration,
        &picks,
    );
    // One that has died leaves its letters open, and this one takes them.
    let may_be_dead = |before: &RunEntry| before.is_redrive();
    let claimed = claim(
        wants,
        registry,
        register::NOT_DONE,
        may_be_dead,
        || Ok(()),
        &context.screen,
    );
    let claim = runtime.block_on(claimed)?;
    let (stop, told) = mpsc::channel(2);
    let attended = Attended::start(Attendance {
        claim,
        gate,
        live: source,
        yield_to: args.yield_to_live,
        width,
        // Nothing that is there is written anew.
        frontier: None,
        stop,
        screen: context.screen.clone(),
    })?;
    let claimed = Claimed {
        args,
        run: &run,
        keepers: &keepers,
        picks: &picks,
        misplaced: &misplaced,
        selection: &selection,
        entry: &entry,
        left_out: &part.left_out,
        searches: &searches,
        forks: forks(&part.spec),
        context: &context,
    };
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen_also(told)?;
        let attended = attended.begin(claimed.look(), &mut signals).await?;
        claimed.run(part.plan, attended, &mut signals).await
    });
    // Nobody waits for a topic that is still read.
    drop(runtime);
    outcome
}

/// Whether what a run has done is checked as soon as it has ended: where somebody wants it to end at once, or has its
/// records now, it must not live on for as long as that takes.
fn is_checked(is_at_end: bool, is_in_order: bool, ended: Option<&Ended>) -> bool {
    is_at_end || (is_in_order && ended.is_none())
}

/// How a redrive ends, and what it says, that has not found so many of its letters at their places.
fn left_behind(letters: u64) -> (Exit, String) {
    match letters {
        0 => (Exit::Done, String::new()),
        letters => {
            let text = format!(
                "{} records were left out: where their letters were there are others by now, so a topic of letters was \
                 made again; the same command takes what is open in it\n",
                number(letters)
            );
            (Exit::Failed, text)
        }
    }
}

/// The part of a topology that records of letters go through from where they enter.
pub(super) fn part_of(
    file: &TopologyFile,
    spout: &str,
    entry: &Entry,
    context: &Context<'_>,
) -> Result<Part, Failure> {
    let choice = Choice {
        at: entry.bolt().map(str::to_owned),
        ..Choice::of_rejected()
    };
    Part::of(file, spout, &choice, context)
}

/// A redrive that has its claim.
struct Claimed<'a> {
    args: &'a RedriveArgs,
    run: &'a str,
    keepers: &'a Keepers,
    picks: &'a Arc<BTreeMap<LetterAt, Pick>>,
    /// Picks that were left out, as others were at their places.
    misplaced: &'a AtomicU64,
    selection: &'a Selection,
    entry: &'a Entry,
    left_out: &'a [String],
    searches: &'a [Search],
    forks: bool,
    context: &'a Context<'a>,
}

impl Claimed<'_> {
    /// Looks at the letters once more, now that nobody else redrives these records.
    async fn look(&self) -> Result<(), Failure> {
        register::check_still_open(self.picks, &self.letters().await?)
    }

    /// Runs the part of the topology to its end, verifies, and tells everybody.
    async fn run(&self, part: Plan, attended: Attended, signals: &mut Signals) -> Outcome {
        let (args, context, selection) = (self.args, self.context, self.selection);
        let after = args.give_up_after;
        // Offsets of letters come in no order, and say nothing of how far it is.
        let report = to_its_end(part, after, signals, None, context, |_| {}).await?;
        let dropped = dropped(&report.accounting.total, self.left_out);
        attended.note(dropped);
        let check = async {
            let after = self.letters().await?;
            let records = Records::of(self.picks.values());
            let unread = self.keepers.unread();
            let dropped = Some(dropped);
            Verdict::find(&records, &after, self.searches, dropped, unread, self.forks).await
        };
        let is_at_end = report.is_at_end();
        let is_in_order = report.is_in_order();
        let is_checked = is_checked(is_at_end, is_in_order, attended.ended().as_ref());
        let (verdict, unchecked) = match is_checked {
            true => apart(unless_stopped(check, signals).await),
            false => (None, None),
        };
        let ended = attended.ended().filter(|_| !is_at_end);
        let word = verdict.as_ref().map(Verdict::word);
        let (state, why) = last_word(ended.as_ref(), is_at_end, report.summary(), word);
        attended.end(state, Some(why));
        self.print(&report, verdict.as_ref())?;
        if let Some(ended) = ended {
            ended.say(&context.screen);
        }
        let verify = || {
            let file = args.of.file.file.display();
            format!("isobar dlq verify {file} {} does that", self.run)
        };
        if let Some(Failure { exit, error }) = unchecked {
            let error = error.context(format!(
                "the redrive has ended, but could not be verified ({})",
                verify()
            ));
            return Err(Failure::new(exit, error));
        }
        if !is_checked {
            let line = format!("isobar: what it has settled was not verified; {}", verify());
            context.screen.line(&line);
        }
        let checked = verdict.map_or(Exit::Done, |verdict| verdict.exit());
        let ran = report.exit().worse(checked).worse(selection.exit());
        Ok(ran.worse(left_behind(self.misplaced()).0))
    }

    fn misplaced(&self) -> u64 {
        self.misplaced.load(Ordering::Relaxed)
    }

    /// The letters that there are of the records by now. Reading all of them takes a while, and waits for no
    /// signal: on a thread beside.
    async fn letters(&self) -> Result<Letters, Failure> {
        let (picks, keepers) = (Arc::clone(self.picks), self.keepers.clone());
        let within = self.args.of.timeout;
        let read = tokio::task::spawn_blocking(move || {
            Records::of(picks.values()).letters(&keepers, within)
        });
        read.await.context("the letters could not be read")?
    }

    fn print(&self, report: &Report, verdict: Option<&Verdict>) -> Result<(), Failure> {
        let Context { output, screen, .. } = self.context;
        match self.args.output.format {
            Format::Json => output.json(&json!({
                "version": VERSION,
                "id": self.run,
                "plan": self.selection.document(self.entry),
                "run": report,
                "misplaced": self.misplaced(),
                "verification": verdict,
            }))?,
            Format::Table => {
                let mut text = format!("{}\n{}", report.summary(), report.accounting.table());
                if let Some(verdict) = verdict {
                    text.push_str(&format!("\n{}", verdict.text()));
                }
                text.push_str(&left_behind(self.misplaced()).1);
                text.push_str(&self.selection.left_out_text());
                output.text(&text)?;
            }
        }
        report.say_why(screen);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::Finish;

    use super::*;
    use crate::command::watch::End;

    #[test]
    fn where_letters_were_not_at_their_places_it_is_said_and_has_failed() {
        assert_eq!(left_behind(0), (Exit::Done, String::new()));
        let (exit, text) = left_behind(1_200);
        assert_eq!(exit, Exit::Failed);
        assert!(text.starts_with("1,200 records were left out: "), "{text}");
        // Whatever was left out before.
        assert_eq!(Exit::Threshold.worse(exit), Exit::Failed);
    }

    #[test]
    fn what_is_to_end_at_once_is_not_checked_before() {
        let finished = |finish, stopped_by| End::Finished { finish, stopped_by };
        let check = |end: End, ended: Option<Ended>, expected: bool| {
            let found = is_checked(end.is_caught_up(), end.is_in_order(), ended.as_ref());
            assert_eq!(found, expected);
        };
        let (by, aborted) = (Some("SIGINT"), Some(Ended::Aborted));
        check(finished(Finish::Drained, None), None, true);
        // It was told too late.
        check(finished(Finish::Drained, None), aborted.clone(), true);
        check(finished(Finish::Drained, by), None, true);
        check(finished(Finish::HandedBack, by), None, true);
        check(finished(Finish::Drained, by), aborted, false);
        let taken_over = Some(Ended::TakenOver("logs.redrive.2".to_owned()));
        check(finished(Finish::Drained, by), taken_over, false);
        check(finished(Finish::Broken(String::new()), None), None, false);
        check(End::CutShort("SIGINT"), None, false);
        let gave_up = End::GaveUp {
            after: "60 s".to_owned(),
            reasons: Vec::new(),
        };
        check(gave_up, None, false);
    }
}
