//! `isobar dlq`: what is in the dead-letter topic of a topology: counted, listed, shown, sent through
//! the topology again.
//!
//! Letters are written at least once, so all counts are of distinct rejections: origin and bolt.

mod filter;
mod letters;
mod redrive;

use clap::{Args, Subcommand};
use isobar_operators::letters::{DeadLetters, Stored};
use isobar_topology::spec::units::Duration;
use serde_json::json;

use super::Context;
use super::source::asking;
use crate::cli::{FileArgs, OutputArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, number};
use crate::topology_file::TopologyFile;
use filter::{Filter, FilterArgs};
use letters::{At, Letters, full, kinds, listed, table};
use redrive::RedriveArgs;

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
        of: TopicArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Lists open dead letters with their reasons, the newest last. Shows nothing of the records themselves
    #[command(after_help = EXAMPLE)]
    List {
        #[command(flatten)]
        of: TopicArgs,
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
        of: TopicArgs,
        /// The letter: its partition and offset in the dead-letter topic, as `list` shows them.
        #[arg(long, value_name = "PARTITION:OFFSET")]
        letter: At,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Sends the records of open dead letters through the topology again, and verifies
    ///
    /// A record goes in at its spout, or with --at bolt at the bolt that rejected it, as if it came from where
    /// it was first read: its documents have the ids that they would have had, and what is in the index
    /// already is left as it is. What is rejected again has a new dead letter. Letters that are settled are marked in their topic, so `list` shows
    /// them no more, and a redrive that was stopped or died is gone on with by the same command.
    #[command(after_help = redrive::EXAMPLE)]
    Redrive(RedriveArgs),
}

const EXAMPLE: &str = "\
Examples:
  isobar dlq stats logs.yaml
  isobar dlq list logs.yaml --class mapping --limit 100
  isobar dlq show logs.yaml --letter 0:4711
  isobar dlq redrive logs.yaml --class mapping --dry-run

Each of them reads the whole dead-letter topic, and remembers some 700 bytes of each letter, more \
where reasons are long. A redrive reads it three times, and while it runs remembers some 500 bytes of each \
letter that it is to settle.";

/// The topic that is meant.
#[derive(Args, Debug)]
struct TopicArgs {
    #[command(flatten)]
    file: FileArgs,

    /// How long the brokers may say nothing.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,
}

pub(super) fn execute(args: &DlqArgs, mut context: Context<'_>) -> Outcome {
    match &args.action {
        Action::Stats { of, output } => {
            let topic = of.find(&mut context)?;
            let letters = of.read(&topic, None)?;
            let open = letters.chosen(&Filter::default(), false);
            let kinds = kinds(open.iter().copied());
            match output.format {
                Format::Table => context.output.text(&table(&kinds, None))?,
                Format::Json => context.output.json(&json!({
                    "version": VERSION,
                    "topic": topic.topic(),
                    "letters": open.len(),
                    "resolved": letters.resolved(),
                    "strangers": letters.strangers,
                    "kinds": kinds,
                }))?,
            }
            say_strangers(&letters, &context);
        }
        Action::List {
            of,
            filter,
            limit,
            all,
            output,
        } => {
            let topic = of.find(&mut context)?;
            let letters = of.read(&topic, filter.key.clone())?;
            let mut newest = letters.chosen(&filter.filter(), *all);
            let found = newest.len();
            let newest = newest.split_off(found.saturating_sub(*limit));
            match output.format {
                Format::Table => context.output.text(&listed(&newest, *all))?,
                Format::Json => context.output.json(&json!({
                    "version": VERSION,
                    "topic": topic.topic(),
                    "letters": newest,
                }))?,
            }
            if newest.len() < found {
                let (shown, all) = (number(newest.len()), number(found));
                let line = format!("isobar: the newest {shown} of {all}; --limit shows more");
                context.screen.line(&line);
            }
            say_strangers(&letters, &context);
        }
        Action::Show { of, letter, output } => {
            let topic = of.find(&mut context)?;
            let mut found: Option<Stored> = None;
            let is_meant =
                |one: &Stored| (one.partition, one.offset) == (letter.partition, letter.offset);
            of.each(&topic, |stored| {
                if is_meant(&stored) {
                    found = Some(stored);
                }
            })?;
            let Some(stored) = found else {
                let topic = topic.topic();
                return Err(Failure::usage(format!(
                    "there is no letter {letter} in {topic}"
                )));
            };
            let value = full(&stored)
                .map_err(|not| Failure::usage(format!("{letter} is no dead letter: {not}")))?;
            match output.format {
                Format::Table => context.output.text(&letters::text(&value))?,
                Format::Json => context.output.json(&value)?,
            }
        }
        Action::Redrive(args) => return redrive::execute(args, context),
    }
    Ok(Exit::Done)
}

/// Says that others write into the topic, too.
fn say_strangers(letters: &Letters, context: &Context<'_>) {
    if letters.strangers > 0 {
        context.screen.line(&format!(
            "isobar: {} records of the topic are no dead letters that this program can read",
            number(letters.strangers)
        ));
    }
}

impl TopicArgs {
    fn find(&self, context: &mut Context<'_>) -> Result<DeadLetters, Failure> {
        let (file, _) = self.file.plan(&mut context.environment, context.registry)?;
        topic_of(&file, &self.file)
    }

    fn read(&self, topic: &DeadLetters, key: Option<String>) -> Result<Letters, Failure> {
        read(topic, key, self.timeout)
    }

    fn each(&self, topic: &DeadLetters, each: impl FnMut(Stored)) -> Result<(), Failure> {
        topic.read(self.timeout.get(), each).map_err(asking)
    }
}

fn topic_of(file: &TopologyFile, args: &FileArgs) -> Result<DeadLetters, Failure> {
    let letters = DeadLetters::of(file.spec()?);
    let letters = letters.map_err(|problems| Failure::from(file.refuse(problems)))?;
    letters.ok_or_else(|| {
        Failure::usage(format!(
            "{}: its dead letters are in no Kafka topic of one name, so they cannot be read back",
            args.file.display()
        ))
    })
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

/// Reads all of the topic; remembers letters with this key, or all.
fn read(topic: &DeadLetters, key: Option<String>, timeout: Duration) -> Result<Letters, Failure> {
    let mut letters = Letters::of(key);
    topic
        .read(timeout.get(), |stored| letters.add(stored))
        .map_err(asking)?;
    Ok(letters.finish())
}
