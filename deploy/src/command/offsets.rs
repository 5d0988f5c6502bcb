//! `isobar offsets`: shows, moves, saves and restores what a spout's consumer group has committed.
//!
//! Changes are shown only, unless `--execute` is given; the old offsets are written to a file first.

mod beside;
mod change;
mod saved;
mod times;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use isobar_operators::lag::Source;
use isobar_operators::offsets::{Group, Position};
use isobar_operators::range::{Place, Selection};
use isobar_operators::replay::registry::Registry;
use isobar_topology::clock;
use serde_json::json;

use super::Context;
use super::source::{OfArgs, SelectionArgs, asking};
use crate::cli::OutputArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Table, known, number};
use beside::refuse_beside;
use change::{Row, Write};
use saved::Saved;
use times::check_times;

/// Version of the JSON form of `show`.
const VERSION: u32 = 1;

/// What `offsets` takes.
#[derive(Args, Debug)]
#[command(after_help = RESET_EXAMPLE)]
pub struct OffsetsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows the group: its members, and what it has committed of each partition
    #[command(after_help = "Example:\n  isobar offsets show logs.yaml --partitions 0-3")]
    Show {
        #[command(flatten)]
        of: OfArgs,
        #[command(flatten)]
        selection: SelectionArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Moves the group to another place in its topics
    #[command(after_help = RESET_EXAMPLE)]
    Reset {
        #[command(flatten)]
        of: OfArgs,
        #[command(flatten)]
        selection: SelectionArgs,
        /// Where the group is to go on: an offset, a time with its zone such as 2026-01-31T00:00:00Z, a
        /// duration before now such as 2h, earliest, or now.
        #[arg(long, value_name = "PLACE")]
        to: Place,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Writes what the group has committed to a file
    #[command(after_help = "Example:\n  isobar offsets export logs.yaml --out offsets.json")]
    Export {
        #[command(flatten)]
        of: OfArgs,
        #[command(flatten)]
        selection: SelectionArgs,
        /// The file, which must not exist yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Moves the group to the offsets of a file that `export`, or a change, has written
    #[command(
        after_help = "Example:\n  isobar offsets import logs.yaml --from offsets.json --execute"
    )]
    Import {
        #[command(flatten)]
        of: OfArgs,
        /// The file.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Takes a change back, with the file that it has written
    ///
    /// Refuses when the group has committed anything since: what it has read meanwhile would be read
    /// once more, or be skipped.
    #[command(
        after_help = "Example:\n  isobar offsets undo logs.yaml --from offsets-logs-1769839200000.json --execute"
    )]
    Undo {
        #[command(flatten)]
        of: OfArgs,
        /// The file.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        #[command(flatten)]
        write: WriteArgs,
    },
}

const RESET_EXAMPLE: &str = "\
Examples:
  isobar offsets reset logs.yaml --to 2026-01-31T06:00:00+02:00
  isobar offsets reset logs.yaml --to earliest --partitions 0,3,7-9 --execute
  isobar offsets undo logs.yaml --from offsets-logs-1769839200000.json --execute

Nothing is changed without --execute. The group must have no members: stop the topology before.";

/// How a change is made.
#[derive(Args, Debug)]
struct WriteArgs {
    /// Makes the change. Without it, what would change is shown.
    #[arg(long)]
    execute: bool,

    /// The file for the old offsets. Default: offsets-GROUP-TIME.json in the current directory.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn execute(args: &OffsetsArgs, mut context: Context<'_>) -> Outcome {
    match &args.action {
        Action::Show {
            of,
            selection,
            output,
        } => {
            let subject = Subject::of(of, &mut context)?;
            let positions = subject.positions(&selection.selection())?;
            show(&subject, &positions, output.format, &context)
        }
        Action::Export { of, selection, out } => {
            let subject = Subject::of(of, &mut context)?;
            let positions = subject.positions(&selection.selection())?;
            let saved = subject.saved(&positions, &[])?;
            saved.write(out)?;
            let count = number(saved.offsets.len());
            context
                .screen
                .line(&format!("{count} partitions are in {}", out.display()));
            Ok(Exit::Done)
        }
        Action::Reset {
            of,
            selection,
            to,
            write,
        } => {
            let subject = Subject::of(of, &mut context)?;
            write.allowed_by(&subject.group)?;
            let positions = subject.positions(&selection.selection())?;
            let places = subject.group.places(&positions, *to).map_err(asking)?;
            if to.time(clock::unix_ms()).is_some() {
                check_times(&subject.source, &positions, &places, of.timeout.get())?;
            }
            let rows = change::to_places(&positions, places)?;
            subject.change(&positions, &rows, write, &context)
        }
        Action::Import { of, from, write } => {
            let (subject, saved, positions) = restored(of, from, write, &mut context)?;
            let rows = change::to_saved(&positions, &saved)?;
            subject.change(&positions, &rows, write, &context)
        }
        Action::Undo { of, from, write } => {
            let (subject, saved, positions) = restored(of, from, write, &mut context)?;
            let rows = change::back(&positions, &saved)?;
            subject.change(&positions, &rows, write, &context)
        }
    }
}

/// The group of a spout.
struct Subject {
    topology: String,
    source: Source,
    group: Group,
    /// Of the replays that may be under way.
    register: Option<Registry>,
}

impl Subject {
    fn of(args: &OfArgs, context: &mut Context<'_>) -> Result<Self, Failure> {
        let (file, source, group) = args.find(context)?;
        Ok(Self {
            topology: file.spec()?.name.clone(),
            register: Registry::of(file.spec()?, &source.spout, args.timeout.get()),
            source,
            group,
        })
    }

    fn positions(&self, selection: &Selection) -> Result<Vec<Position>, Failure> {
        self.group.positions(selection).map_err(asking)
    }

    /// What the group has now, and what it is to have then.
    fn saved(&self, positions: &[Position], rows: &[Row]) -> Result<Saved, Failure> {
        let cluster = self.group.cluster_id().map_err(asking)?;
        Ok(Saved::of(
            &self.topology,
            &self.source.spout,
            self.group.name(),
            &cluster,
            positions,
            rows,
        ))
    }

    fn change(
        &self,
        positions: &[Position],
        rows: &[Row],
        args: &WriteArgs,
        context: &Context<'_>,
    ) -> Outcome {
        if let Some(register) = self.register.as_ref().filter(|_| args.execute) {
            match register.runs() {
                Ok(runs) => refuse_beside(&runs, rows)?,
                // Whoever may not read it can have no replay either.
                Err(error) => context.screen.line(&format!(
                    "isobar: whether a replay writes documents anew there is not known: {error}"
                )),
            }
        }
        let saved = self.saved(positions, rows)?;
        let default = format!("offsets-{}-{}.json", self.group.name(), clock::unix_ms());
        let path = args.save.clone().unwrap_or_else(|| default.into());
        let write = Write {
            group: &self.group,
            positions,
            rows,
            saved,
            path: &path,
            execute: args.execute,
            format: args.output.format,
        };
        write.run(context)
    }
}

impl WriteArgs {
    /// Fails when a change is to be made and the group has members. Asked before its offsets: those of
    /// a group that runs are others a moment later.
    fn allowed_by(&self, group: &Group) -> Result<(), Failure> {
        match self.execute {
            true => change::inactive(group).map(|_| ()),
            false => Ok(()),
        }
    }
}

/// Reads a file of saved offsets, and asks about the partitions in it.
fn restored(
    of: &OfArgs,
    from: &std::path::Path,
    write: &WriteArgs,
    context: &mut Context<'_>,
) -> Result<(Subject, Saved, Vec<Position>), Failure> {
    let saved = Saved::read(from)?;
    let subject = Subject::of(of, context)?;
    let cluster = subject.group.cluster_id().map_err(asking)?;
    saved
        .check(subject.group.name(), &cluster)
        .map_err(|why| Failure::usage(format!("{}: {why}", from.display())))?;
    write.allowed_by(&subject.group)?;
    let positions = subject.positions(&Selection::default())?;
    Ok((subject, saved, positions))
}

fn show(
    subject: &Subject,
    positions: &[Position],
    format: Format,
    context: &Context<'_>,
) -> Outcome {
    let state = subject.group.state().map_err(asking)?;
    if format == Format::Json {
        let partitions: Vec<_> = positions
            .iter()
            .map(|position| {
                let committed = position.committed.as_ref();
                json!({
                    "topic": &*position.partition.topic,
                    "partition": position.partition.partition,
                    "committed": committed.map(|commit| commit.offset),
                    "metadata": committed.and_then(|commit| commit.metadata.clone()),
                    "start": position.log.start,
                    "end": position.log.end,
                })
            })
            .collect();
        context.output.json(&json!({
            "version": VERSION,
            "topology": subject.topology,
            "spout": subject.source.spout,
            "group": subject.group.name(),
            "state": state.name,
            "members": state.members,
            "partitions": partitions,
        }))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["TOPIC", "PARTITION>", "COMMITTED>", "START>", "END>"]);
    for position in positions {
        table.row([
            position.partition.topic.to_string(),
            position.partition.partition.to_string(),
            position
                .committed
                .as_ref()
                .map_or_else(|| "none".to_owned(), |commit| known(Some(commit.offset))),
            number(position.log.start),
            number(position.log.end),
        ]);
    }
    let members = match state.members {
        1 => "1 member".to_owned(),
        members => format!("{} members", number(members)),
    };
    context.output.text(&format!(
        "Group {}: {}, {members}\n\n{}",
        subject.group.name(),
        state.name,
        table.text()
    ))?;
    Ok(Exit::Done)
}
