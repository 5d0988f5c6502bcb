//! `isobar dlq redrive`: the plan, the run, and the check of what came of it.
//!
//! A redrive is a replay of what is missing whose records come from their letters. Its progress is in
//! the topics of the letters: one that died is gone on with by another.

mod entry;
mod selection;
mod verdict;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use isobar_operators::dead_letter::REDRIVE;
use isobar_operators::redrive::{Job, LetterAt, Pick, redrive};
use isobar_operators::replay::{Choice, forks, letters_apart, whole};
use isobar_topology::clock;
use isobar_topology::spec::units::Duration;
use serde_json::{Value, json};

use super::filter::FilterArgs;
use super::keepers::Keepers;
use super::letters::Letters;
use super::{VERSION, keepers_of, read};
use crate::cli::OutputArgs;
use crate::command::Context;
use crate::command::job::{agree, apart, bound_in_flight, to_its_end, unless_stopped};
use crate::command::replay::part::Part;
use crate::command::run::report::Report;
use crate::command::runtime::block_on;
use crate::command::signals::Signals;
use crate::command::source::OfArgs;
use crate::environment::cores;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::Format;
use entry::{EntersAt, Entry};
use selection::{Scope, Selection, rejected_by};
use verdict::{Dropped, Records, Verdict};

pub(super) const EXAMPLE: &str = "\
Examples:
  isobar dlq redrive logs.yaml --dry-run
  isobar dlq redrive logs.yaml --class mapping --limit 10
  isobar dlq redrive logs.yaml --bolt parse --from 24h --yes
  isobar dlq redrive logs.yaml --bolt index --at bolt --dry-run

Repair what the letters complain about before, and try it with a few (--limit). Where the topology has \
other branches, which have done with these records, or would drop them this time, --at bolt lets them enter at \
the bolt that rejected them. Exit code 3 says that records were rejected again, or that some that were asked for cannot be redriven.";

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

    /// Records in flight at most; less takes less from the live topology. Default: as the topology says.
    #[arg(long, value_name = "NUMBER")]
    max_in_flight: Option<NonZeroU32>,

    /// Ends with exit code 4 when nothing was read and nothing settled for so long.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    give_up_after: Duration,

    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn execute(args: &RedriveArgs, mut context: Context<'_>) -> Outcome {
    let (file, source, _) = args.of.find(&mut context)?;
    let spec = file.spec()?;
    let live = file.plan(context.registry, cores())?;
    let keepers = keepers_of(&file, &live.graph, &args.of.file)?;
    drop(live);
    let letters = read(&keepers, args.filter.key.clone(), args.of.timeout)?;
    let filter = args.filter.filter();
    let topology = spec.name.clone();
    let reads = |topic: &str| source.reads(topic);
    let entry = match args.at {
        EntersAt::Spout => Entry::at_spout(&source.spout),
        EntersAt::Bolt => {
            let bolts = rejected_by(&letters, &filter, &topology, &reads);
            Entry::at_bolt(spec, &source.spout, &bolts).map_err(Failure::usage)?
        }
    };
    let choice = Choice {
        at: entry.bolt().map(str::to_owned),
        ..Choice::of_rejected()
    };
    let mut part = Part::of(&file, &source.spout, &choice, &context)?;
    let stamp = format!("{:x}", clock::unix_ms());
    let run = format!("{topology}{REDRIVE}{stamp}");
    let whole = whole(spec, &part.spec, &part.left_out);
    let scope = Scope {
        topology: &topology,
        reads: &reads,
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
    agree(args.yes, &plan, "redriven", &context)?;

    let picks = Arc::new(std::mem::take(&mut selection.picks));
    let job = Job {
        run: run.clone(),
        letters: keepers.topics(),
        picks: Arc::clone(&picks),
        within: args.of.timeout.get(),
    };
    // A live topology has its own file of letters open.
    if !letters_apart(&mut part.spec, &stamp).is_empty() {
        part.plan = file.plan_part(&part.spec, context.registry, cores())?;
    }
    let graph = &mut part.plan.graph;
    redrive(&part.spec, graph, &source.spout, job)
        .map_err(|problems| Failure::from(file.refuse(problems)))?;
    bound_in_flight(graph, args.max_in_flight);
    let searches = part.searches()?;
    let forks = forks(&part.spec);
    block_on(async {
        let mut signals = Signals::listen()?;
        let report = to_its_end(
            part.plan,
            args.give_up_after,
            &mut signals,
            None,
            &context,
            |_| {},
        )
        .await?;
        let dropped = Dropped::of(&report.accounting.total, &part.left_out);
        let check = async {
            let after = letters_after(Arc::clone(&picks), keepers, args.of.timeout).await?;
            let records = Records::of(&picks);
            Verdict::find(&records, &after, &searches, dropped, forks).await
        };
        let (verdict, unchecked) = apart(unless_stopped(check, &mut signals).await);
        let plan = selection.document(&entry);
        print(
            args,
            &run,
            (&selection, plan),
            &report,
            verdict.as_ref(),
            &context,
        )?;
        if let Some(Failure { exit, error }) = unchecked {
            let error = error.context("the redrive has ended, but could not be verified");
            return Err(Failure::new(exit, error));
        }
        let checked = verdict.map_or(Exit::Done, |verdict| verdict.exit());
        Ok(report.exit().max(checked).max(selection.exit()))
    })?
}

/// The letters that there are of the records after the run. Reading all of a topic takes a while, and waits for
/// no signal: on a thread beside.
async fn letters_after(
    picks: Arc<BTreeMap<LetterAt, Pick>>,
    keepers: Keepers,
    within: Duration,
) -> Result<Letters, Failure> {
    let read =
        tokio::task::spawn_blocking(move || Records::of(&picks).letters(&keepers, within)).await;
    read.context("the letters could not be read")?
}

fn print(
    args: &RedriveArgs,
    run: &str,
    (selection, plan): (&Selection, Value),
    report: &Report,
    verdict: Option<&Verdict>,
    context: &Context<'_>,
) -> Result<(), Failure> {
    match args.output.format {
        Format::Json => context.output.json(&json!({
            "version": VERSION,
            "id": run,
            "plan": plan,
            "run": report,
            "verification": verdict,
        }))?,
        Format::Table => {
            let mut text = format!("{}\n{}", report.summary(), report.accounting.table());
            if let Some(verdict) = verdict {
                text.push_str(&format!("\n{}", verdict.text()));
            }
            text.push_str(&selection.left_out_text());
            context.output.text(&text)?;
        }
    }
    report.say_why(&context.screen);
    Ok(())
}
