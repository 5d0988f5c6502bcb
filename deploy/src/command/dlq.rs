//! `isobar dlq`: the dead letters of a topology, in whatever topics and files its bolts write them: counted,
//! listed, shown, sent through the topology again.
//!
//! Letters are written at least once, so all counts are of distinct rejections: origin and bolt.

mod filter;
mod keepers;
mod letters;
mod records;
mod redrive;
mod verdict;
mod verify;

use clap::{Args, Subcommand};
use isobar_operators::letters::{DeadLetters, Stored};
use isobar_topology::spec::units::Duration;
use serde_json::json;

use super::Context;
use crate::cli::{FileArgs, OutputArgs};
use crate::environment::cores;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, number};
use crate::topology_file::TopologyFile;
use filter::FilterArgs;
use keepers::Keepers;
use letters::{At, Letters, full, kinds, listed, table};
use redrive::RedriveArgs;
use verify::VerifyArgs;

/// Version of the JSON forms.
const VERSION: u32 = 1;

/// What `dlq` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct DlqArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Counts open dead letters by the bolt that rejected them and the kind of reason
    #[command(after_help = EXAMPLE)]
    Stats {
        #[command(flatten)]
        of: LettersArgs,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Lists open dead letters with their reasons, the newest last. Shows nothing of the records themselves
    #[command(after_help = EXAMPLE)]
    List {
        #[command(flatten)]
        of: LettersArgs,
        #[command(flatten)]
        filter: FilterArgs,
        /// The newest ones only, so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: usize,
        /// Those too whose records were sent through the topology again.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Shows one dead letter with its record
    #[command(after_help = EXAMPLE)]
    Show {
        #[command(flatten)]
        of: LettersArgs,
        /// The letter, as `list` shows it: its partition and offset in the dead-letter topic; in another topic
        /// TOPIC/PARTITION@OFFSET, and in a file PATH:LINE.
        #[arg(long, value_name = "PLACE")]
        letter: At,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Sends the records of open dead letters through the topology again, and verifies
    ///
    /// A record goes in at its spout, or with --at bolt at the bolt that rejected it, as if it came from where
    /// it was first read: its documents have the ids that they would have had, and what is in the index
    /// already is left as it is. What is rejected again has a new dead letter. Letters that are settled are marked in their topic, so `list` shows
    /// them no more, and a redrive that was stopped or died is gone on with by the same command. Those in a file
    /// cannot be marked, and are left out.
    #[command(after_help = redrive::EXAMPLE)]
    Redrive(RedriveArgs),
    /// Checks what came of a redrive, by what it has marked as settled. Changes nothing
    ///
    /// The check that a redrive makes at its end, once more: for one whose check could not be made or was stopped,
    /// or that died.
    #[command(after_help = verify::EXAMPLE)]
    Verify(VerifyArgs),
}

const EXAMPLE: &str = "\
Examples:
  isobar dlq stats logs.yaml
  isobar dlq stats logs.yaml --bolt parse --from 24h
  isobar dlq list logs.yaml --class mapping --limit 100
  isobar dlq show logs.yaml --letter 0:4711
  isobar dlq redrive logs.yaml --class mapping --dry-run

Letters are read from `dead_letter`, and from topics and files of other bolts to which rejected records lead; \
a topic in which they are among other records is not read. What could not be read is named, and in JSON nothing that \
was found is null then and not 0. Each command reads them all, and remembers some 700 \
bytes of each letter, more where reasons are long. A redrive reads them four times, and while it runs remembers some 500 bytes of each \
letter that it is to settle.

Exit codes of stats, list and show:
  0  done
  2  the command line or the topology file is wrong, or there is no such letter
  4  a topic or file with letters could not be read: what is shown is not all";

/// The topology that is meant.
#[derive(Args, Debug)]
struct LettersArgs {
    #[command(flatten)]
    file: FileArgs,

    /// How long the brokers may say nothing.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,
}

pub(super) fn execute(args: &DlqArgs, mut context: Context<'_>) -> Outcome {
    match &args.action {
        Action::Stats { of, filter, output } => {
            let mut keepers = of.find(&mut context)?;
            let (letters, read) = read_readable(&mut keepers, filter.key.clone(), of.timeout)?;
            let filter = filter.filter();
            let open = letters.chosen(&filter, false);
            let kinds = kinds(open.iter().copied());
            match output.format {
                Format::Table => context.output.text(&table(&kinds, None))?,
                Format::Json => context.output.json(&json!({
                    "version": VERSION,
                    "topic": keepers.first_topic(),
                    "read": read,
                    "failed": keepers.failed(),
                    "unread": keepers.unread(),
                    "letters": as_far_as_known(open.len(), &keepers),
                    "resolved": as_far_as_known(letters.resolved(&filter), &keepers),
                    "strangers": letters.strangers,
                    "kinds": kinds,
                }))?,
            }
            say_unread(&keepers, &letters, &context);
            Ok(keepers.exit())
        }
        Action::List {
            of,
            filter,
            limit,
            all,
            output,
        } => {
            let mut keepers = of.find(&mut context)?;
            let (letters, read) = read_readable(&mut keepers, filter.key.clone(), of.timeout)?;
            let mut newest = letters.chosen(&filter.filter(), *all);
            let found = newest.len();
            let newest = newest.split_off(found.saturating_sub(*limit));
            match output.format {
                Format::Table => context.output.text(&listed(&newest, *all))?,
                Format::Json => context.output.json(&json!({
                    "version": VERSION,
                    "topic": keepers.first_topic(),
                    "read": read,
                    "failed": keepers.failed(),
                    "unread": keepers.unread(),
                    "letters": as_far_as_known(found, &keepers).map(|_| &newest),
                }))?,
            }
            if newest.len() < found {
                let (shown, all) = (number(newest.len()), number(found));
                let line = format!("isobar: the newest {shown} of {all}; --limit shows more");
                context.screen.line(&line);
            }
            say_unread(&keepers, &letters, &context);
            Ok(keepers.exit())
        }
        Action::Show { of, letter, output } => {
            let mut keepers = of.find(&mut context)?;
            let first = keepers.first_topic().map(str::to_owned);
            let mut found: Option<(At, Stored)> = None;
            let _ = keepers.each_readable(of.timeout.get(), |of, stored| {
                let at = At::of(of, &stored);
                if at.is(letter, first.as_deref()) {
                    found = Some((at, stored));
                }
            })?;
            let Some((at, stored)) = found else {
                keepers.say_unread(&context.screen);
                return Err(keepers.not_found(letter));
            };
            let value = full(&at, &stored)
                .map_err(|not| Failure::usage(format!("{letter} is no dead letter: {not}")))?;
            match output.format {
                Format::Table => context.output.text(&letters::text(&value))?,
                Format::Json => context.output.json(&value)?,
            }
            Ok(Exit::Done)
        }
        Action::Redrive(args) => redrive::execute(args, context),
        Action::Verify(args) => verify::execute(args, context),
    }
}

/// How many were found; where that is none and some could not be read, nobody knows.
fn as_far_as_known(found: usize, keepers: &Keepers) -> Option<usize> {
    (found > 0 || keepers.unread().is_empty()).then_some(found)
}

/// Says that others write there, too, and which letters are not among these.
fn say_unread(keepers: &Keepers, letters: &Letters, context: &Context<'_>) {
    if letters.strangers > 0 {
        let (count, names) = (number(letters.strangers), keepers.names().join(", "));
        context.screen.line(&format!(
            "isobar: {count} records of {names} are no dead letters that this program can read"
        ));
    }
    keepers.say_unread(&context.screen);
    if !keepers.failed().is_empty() {
        let line = "isobar: so these are not all, and some of them may be settled";
        context.screen.line(line);
    }
}

impl LettersArgs {
    fn find(&self, context: &mut Context<'_>) -> Result<Keepers, Failure> {
        let file = self.file.load(&mut context.environment)?;
        keepers_of(&file, &self.file, context)
    }
}

fn keepers_of(
    file: &TopologyFile,
    args: &FileArgs,
    context: &Context<'_>,
) -> Result<Keepers, Failure> {
    let live = file.plan(context.registry, cores())?;
    Keepers::of(file.spec()?, &live.graph)
        .map_err(|why| Failure::usage(format!("{}: {why}", args.file.display())))
}

/// How many letters are open, and when the one of them was written that is deleted first, in ms since 1970.
/// Reads all of the topic; fails when nothing comes for `within`.
pub(super) fn open_letters(
    topic: &DeadLetters,
    within: std::time::Duration,
) -> Result<(usize, Option<i64>), isobar_operators::kafka::error::Error> {
    let mut letters = Letters::of(None);
    topic.read(within, |stored| letters.add(stored))?;
    let letters = letters.finish();
    let oldest = letters.open().map(|(_, line)| line.open_until_ms).min();
    Ok((letters.open().count(), oldest))
}

/// Reads those that can be read; remembers letters with this key, or all. Beside them the names of what was read.
fn read_readable(
    keepers: &mut Keepers,
    key: Option<String>,
    timeout: Duration,
) -> Result<(Letters, Vec<String>), Failure> {
    let mut letters = Letters::of(key);
    let read = keepers.each_readable(timeout.get(), |of, stored| {
        letters.read_from(of);
        letters.add(stored);
    })?;
    Ok((letters.finish(), read))
}

/// Reads all of them, as a redrive has to; remembers letters with this key, or all.
fn read(keepers: &Keepers, key: Option<String>, timeout: Duration) -> Result<Letters, Failure> {
    let mut letters = Letters::of(key);
    keepers.each(timeout.get(), |of, stored| {
        letters.read_from(of);
        letters.add(stored);
    })?;
    Ok(letters.finish())
}
