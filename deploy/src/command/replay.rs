//! `isobar replay`: a range of a topic once more, as a plan, a run of that plan, and a check of what came
//! of it.

mod another_index;
pub(super) mod attend;
pub(super) mod claiming;
mod clusters;
mod destinations;
mod document;
mod elsewhere;
mod expiry;
mod extent;
mod files;
mod frontier;
mod held;
mod indices;
pub(super) mod make;
pub(super) mod part;
mod preview;
mod purge;
mod register;
mod run;
mod sample;
mod ticket;
mod verify;
pub(super) mod width;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use isobar_operators::range::Place;
use isobar_operators::replay::Target;
use isobar_operators::replay::registry::Wanted;
use isobar_topology::spec::units::Duration;

use super::Context;
use super::source::{OfArgs, SelectionArgs};
use crate::cli::OutputArgs;
use crate::exit::{Failure, Outcome};
use attend::YieldTo;
use document::PlanFile;

pub(crate) use files::private;
#[cfg(test)]
pub(in crate::command) use register::entry_for_tests;

/// What `replay` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct ReplayArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fixes what would be replayed, and writes it to a file. Changes nothing
    #[command(after_help = PLAN_EXAMPLE)]
    Plan(PlanArgs),
    /// Does what a plan says, ends, and verifies
    ///
    /// Ctrl-C stops it in order; after that, or after a crash, --resume goes on. Once all is settled, Ctrl-C ends
    /// the check of the index, which `isobar replay verify` does again.
    #[command(after_help = RUN_EXAMPLE)]
    Run(RunArgs),
    /// Checks that the index has what the plan says. Changes nothing there
    #[command(after_help = VERIFY_EXAMPLE)]
    Verify(VerifyArgs),
    /// Lists the runs of a topology's replays and redrives, on whatever hosts they are or were
    #[command(after_help = "Example:\n  isobar replay list logs.yaml")]
    List(register::ListArgs),
    /// Shows how far a run is, and why it waits
    #[command(after_help = "Example:\n  isobar replay status logs.yaml")]
    Status(register::RunOfArgs),
    /// Makes a run wait: it reads nothing more, and settles what is in flight
    #[command(after_help = "Example:\n  isobar replay pause logs.yaml")]
    Pause(register::RunOfArgs),
    /// Lets a run go on that was paused
    #[command(after_help = "Example:\n  isobar replay resume logs.yaml")]
    Resume(register::RunOfArgs),
    /// Ends a run for good, and forgets its progress. What it has written stays
    ///
    /// Of one that was killed at its very end it deletes the group that was left behind.
    #[command(after_help = "Example:\n  isobar replay abort logs.yaml --run 19ab2f3c4d5")]
    Abort(register::RunOfArgs),
}

const EXAMPLE: &str = "\
Examples:
  isobar replay plan logs.yaml --from 120000 --to 180000 --partitions 3 \\
      --target overwrite --out plan.json
  isobar replay run plan.json
  isobar replay verify plan.json

While it runs, from any host:
  isobar replay list logs.yaml
  isobar replay status logs.yaml
  isobar replay pause logs.yaml
  isobar replay resume logs.yaml
  isobar replay abort logs.yaml

isobar replay plan --help says what ranges and targets there are.";

const PLAN_EXAMPLE: &str = "\
Examples:
  isobar replay plan logs.yaml --from 2026-01-31T06:00:00+02:00 --to 2h \\
      --target missing --out plan.json
  isobar replay plan logs.yaml --from 120000 --to 180000 --partitions 3 \\
      --target overwrite --out plan.json
  isobar replay run plan.json
  isobar replay verify plan.json

Targets:
  missing      stores what is not there; changes nothing that is
  overwrite    writes every document anew: for a bug that was fixed
  purge        deletes the documents of the range, then writes them anew, also
               into indices that do not exist; the plan says in which ones it
               deletes
  index=NAME   writes into another index: a name, or a template as in the file

Ranges are half-open: the first offset is in them, the last is not. They are fixed when the plan is \
made. Exit code 3 says that something that was asked for is not in the plan, such as records that \
are gone.";

const RUN_EXAMPLE: &str = "\
Example:
  isobar replay run plan.json --rate 5000

Exit codes:
  0  all is settled and verified as exact
  1  it was stopped, something is missing or there twice, or Kafka and the
     indices are not as the plan says any more: topics, records, clusters, or
     documents that were not there
  2  the plan is not run so: it came to its end before, it is narrowed, an
     earlier run of it has begun, or its topology has changed
  3  less was done than was asked for: records were lost or left out, keep an
     older document, or have none any more after a purge
  4  it gave up, or what came of it could not be determined";

const VERIFY_EXAMPLE: &str = "\
Example:
  isobar replay verify plan.json --report ticket.md

Exit codes:
  0  exact
  1  wrong: something is missing or there twice; or the indices are not those
     of the plan
  3  exact, and records were lost, keep an older document, or have none any
     more after a purge
  4  unknown, or an outside system did not answer in time";

/// What `plan` takes.
#[derive(Args, Debug)]
struct PlanArgs {
    #[command(flatten)]
    of: OfArgs,

    #[command(flatten)]
    selection: SelectionArgs,

    /// Where the range starts in each partition: an offset, a time with its zone, a duration before now
    /// such as 2h, or earliest.
    #[arg(long, value_name = "PLACE")]
    from: Place,

    /// Where it ends; also now, the end as it is when the plan is made, or, with overwrite and purge, what the live
    /// topology has settled by then.
    #[arg(long, value_name = "PLACE")]
    to: Place,

    /// Where the range ends by a time, it goes on until records are so much later: of those that come late, such as
    /// from one of several producers, it has those, too.
    #[arg(long, value_name = "TIME")]
    slack: Option<Duration>,

    /// What becomes of documents that are there: missing, overwrite, purge, or index=NAME.
    #[arg(long, value_name = "TARGET")]
    target: Target,

    /// Lets the cluster make indices that do not exist, such as those that a lifecycle has deleted. Without
    /// it, documents for them are left out; those of another index (index=NAME) and of a purge never are.
    #[arg(long)]
    create_missing: bool,

    /// Of the bolts that index, only this one. Can be given several times.
    #[arg(long, value_name = "BOLT")]
    only_bolt: Vec<String>,

    /// Leaves a bolt out, with what only it leads to. Can be given several times. Bolts that change something
    /// elsewhere, such as a topic or a file, are left out anyway. Records that reach nothing else are dropped.
    #[arg(long, value_name = "BOLT")]
    exclude_bolt: Vec<String>,

    /// Records of the range that are rehearsed and compared with what is indexed; 0 for none. What would
    /// change of their documents is shown and is in the plan.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(..=100))]
    sample: u16,

    /// Records per second at most, unless the run says another rate. How long the run takes at it is shown.
    #[arg(long, value_name = "NUMBER")]
    rate: Option<NonZeroU32>,

    /// The file for the plan, which must not exist yet. Without it the plan is shown only.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// What `run` takes.
#[derive(Args, Debug)]
struct RunArgs {
    /// The plan. The report of the run is written beside it.
    plan: PathBuf,

    /// Does not ask. Needed where standard input is no terminal.
    #[arg(long)]
    yes: bool,

    /// Runs a plan that is narrower than what was asked for, or that purges documents of records which Kafka deletes
    /// soon. With --resume, also goes on where some of what is left to read was deleted meanwhile: that counts as
    /// lost.
    #[arg(long)]
    accept_narrowed: bool,

    /// Goes on where an earlier run of the plan ended.
    #[arg(long)]
    resume: bool,

    /// Records per second at most. Without it, as the plan says, else as fast as it goes.
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

    /// How long each of a few questions to the brokers may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,

    /// Writes what was planned and what came of it to a file, for a ticket: in Markdown where its name ends in
    /// .md, else in JSON. Also where it did not come to its end.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// What `verify` takes.
#[derive(Args, Debug)]
struct VerifyArgs {
    /// The plan. The report of its last run, if any, is beside it.
    plan: PathBuf,

    /// Writes what was planned and what came of it to a file, for a ticket: in Markdown where its name ends in
    /// .md, else in JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// The id of a plan as `replay plan -o json` prints it; `None` for anything else.
pub(crate) fn id_of_plan(text: &[u8]) -> Option<String> {
    let plan: PlanFile = serde_json::from_slice(text).ok()?;
    Some(plan.id)
}

/// The spout that the plan in a file reads.
pub(crate) fn spout_of_plan(file: &Path) -> Result<String, Failure> {
    Ok(PlanFile::read(file)?.spout)
}

/// The text for people of the plan in a file.
pub(crate) fn text_of_plan(file: &Path) -> Result<String, Failure> {
    Ok(PlanFile::read(file)?.text())
}

pub(super) fn execute(args: &ReplayArgs, context: Context<'_>) -> Outcome {
    match &args.action {
        Action::Plan(args) => make::execute(args, context),
        Action::Run(args) => run::execute(args, context),
        Action::Verify(args) => verify::execute(args, context),
        Action::List(args) => register::list(args, context),
        Action::Status(args) => register::status(args, context),
        Action::Pause(args) => register::want(args, Wanted::Pause, context),
        Action::Resume(args) => register::want(args, Wanted::Resume, context),
        Action::Abort(args) => register::want(args, Wanted::Abort, context),
    }
}
