//! `isobar dlq`: what is in the dead-letter topic of a topology: counted, listed, shown.
//!
//! Letters are written at least once, so all counts are of distinct rejections: origin and bolt.

mod letters;

use std::fmt;
use std::str::FromStr;

use clap::{Args, Subcommand};
use isobar_operators::kafka::error::Error;
use isobar_operators::letters::{DeadLetters, Stored};
use isobar_topology::spec::units::Duration;
use serde_json::json;

use super::Context;
use super::source::asking;
use crate::cli::{FileArgs, OutputArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, number};
use letters::{Filter, Letters, full, listed};

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
    /// Counts dead letters by the bolt that rejected them and the kind of reason
    #[command(after_help = EXAMPLE)]
    Stats {
        #[command(flatten)]
        of: TopicArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Lists dead letters with their reasons, the newest last. Shows nothing of the records themselves
    #[command(after_help = EXAMPLE)]
    List {
        #[command(flatten)]
        of: TopicArgs,
        #[command(flatten)]
        filter: FilterArgs,
        /// The newest ones only, so many.
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: usize,
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
}

const EXAMPLE: &str = "\
Examples:
  isobar dlq stats logs.yaml
  isobar dlq list logs.yaml --class mapping --limit 100
  isobar dlq show logs.yaml --letter 0:4711

Each of them reads the whole dead-letter topic once, and remembers about 300 bytes of each letter.";

/// The topic that is meant.
#[derive(Args, Debug)]
struct TopicArgs {
    #[command(flatten)]
    file: FileArgs,

    /// How long the brokers may say nothing.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,
}

/// The letters that are meant.
#[derive(Args, Debug)]
struct FilterArgs {
    /// Those of this bolt.
    #[arg(long, value_name = "BOLT")]
    bolt: Option<String>,

    /// Those with this kind of reason, such as invalid_json.
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,

    /// Those whose record was meant for this index or topic.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
}

/// A place in the dead-letter topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    partition: i32,
    offset: i64,
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(partition, offset)| {
            Some(Self {
                partition: partition.parse().ok()?,
                offset: offset.parse().ok()?,
            })
        });
        parts.ok_or_else(|| {
            format!("{text:?} is no letter; write its partition and offset, such as 0:4711")
        })
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

pub(super) fn execute(args: &DlqArgs, mut context: Context<'_>) -> Outcome {
    match &args.action {
        Action::Stats { of, output } => {
            let topic = of.find(&mut context)?;
            let letters = of.read(&topic, Filter::default())?;
            match output.format {
                Format::Table => context.output.text(&letters.table())?,
                Format::Json => context.output.json(&json!({
                    "version": VERSION,
                    "topic": topic.topic(),
                    "letters": letters.len(),
                    "strangers": letters.strangers,
                    "kinds": letters.kinds(),
                }))?,
            }
            say_strangers(&letters, &context);
        }
        Action::List {
            of,
            filter,
            limit,
            output,
        } => {
            let topic = of.find(&mut context)?;
            let letters = of.read(&topic, filter.filter())?;
            let newest = letters.newest(*limit);
            match output.format {
                Format::Table => context.output.text(&listed(&newest))?,
                Format::Json => context.output.json(&json!({
                    "version": VERSION,
                    "topic": topic.topic(),
                    "letters": newest,
                }))?,
            }
            if newest.len() < letters.len() {
                let (shown, all) = (number(newest.len()), number(letters.len()));
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
        let letters = DeadLetters::of(file.spec()?);
        let letters = letters.map_err(|problems| Failure::from(file.refuse(problems)))?;
        letters.ok_or_else(|| {
            Failure::usage(format!(
                "{}: its dead letters are in no Kafka topic of one name, so they cannot be read back",
                self.file.file.display()
            ))
        })
    }

    fn read(&self, topic: &DeadLetters, filter: Filter) -> Result<Letters, Failure> {
        let mut letters = Letters::of(filter);
        self.each(topic, |stored| letters.add(stored))?;
        Ok(letters)
    }

    fn each(&self, topic: &DeadLetters, each: impl FnMut(Stored)) -> Result<(), Failure> {
        let read: Result<(), Error> = topic.read(self.timeout.get(), each);
        read.map_err(asking)
    }
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        Filter {
            bolt: self.bolt.clone(),
            class: self.class.clone(),
            target: self.target.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_named_by_partition_and_offset() {
        let at: At = "3:4711".parse().expect("a letter");
        assert_eq!(at.to_string(), "3:4711");
        for text in ["", "3", "3:", "a:1", "1:b", "1:2:3"] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }
}
