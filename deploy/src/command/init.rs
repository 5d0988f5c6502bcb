//! `isobar init`: a topology file for a topic that nobody has described yet. Looks at a sample of it,
//! without a group, and writes down what fits.

mod proposal;
mod recognise;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use isobar_operators::kafka::connection::KafkaConnection;
use isobar_operators::lag::Source;
use isobar_operators::range::Selection;
use isobar_operators::sample::{Sampled, Which, sample};
use isobar_topology::spec::units::Duration;

use super::Context;
use super::source::asking;
use crate::exit::{Exit, Failure, Outcome};
use proposal::Subject;
use recognise::{Recognised, recognise};

/// What `init` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct InitArgs {
    /// Brokers of the topic, host:port each, separated by commas. They must take connections without
    /// encryption and login; for others, add `tls` and `sasl` to the file.
    #[arg(long, value_name = "BROKERS", value_delimiter = ',', required = true)]
    brokers: Vec<String>,

    /// The topic.
    #[arg(long, value_name = "NAME")]
    topic: String,

    /// The hosts to index in, as URLs separated by commas. Not contacted.
    #[arg(long, value_name = "URLS", default_value = "http://localhost:9200")]
    es: String,

    /// The topology's name, and that of its group and its indices. Default: made of the topic's.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// How many of the newest records are looked at.
    #[arg(long, value_name = "NUMBER", default_value = "200")]
    sample: NonZeroU32,

    /// The file to write, which must not exist yet. Standard output without it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// How long each of a few questions to the brokers may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,
}

const EXAMPLE: &str = "\
Examples:
  isobar init --brokers localhost:9092 --topic access --out access.yaml
  isobar try access.yaml
  isobar run access.yaml

Recognises JSON, syslog, access logs of web servers, keys and values (logfmt) and CSV, by parsing the \
sample with the bolt of each. Joins no group and commits nothing.";

pub(super) fn execute(args: &InitArgs, context: Context<'_>) -> Outcome {
    let wrong = KafkaConnection::plain(&args.brokers).check();
    if !wrong.is_empty() {
        return Err(Failure::usage(wrong.join("\n")));
    }
    let source = Source::of_group(&args.brokers, "isobar", std::slice::from_ref(&args.topic));
    let (count, within) = (args.sample.get() as usize, args.timeout.get());
    let sampled = sample(&source, &Selection::default(), Which::Newest, count, within);
    let mut records: Vec<Sampled> = sampled.map_err(asking)?.records;
    // They say nothing of the format.
    records.retain(|record| record.payload.is_some());
    if records.is_empty() {
        let topic = &args.topic;
        return Err(Failure::new(
            Exit::Failed,
            anyhow!("topic {topic} has no record to look at; `isobar generate` makes some"),
        ));
    }
    let subject = Subject::new(args.name.as_deref(), &args.brokers, &args.topic, &args.es);
    let Recognised { text, told } = recognise(&subject, &records, context.registry)?;
    for line in told {
        context.screen.line(&format!("isobar: {line}"));
    }
    match &args.out {
        None => context.output.text(&text)?,
        Some(path) => {
            let name = path.display();
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .with_context(|| format!("cannot write {name}"))?;
            context
                .screen
                .line(&format!("isobar: wrote {name}; next: isobar try {name}"));
        }
    }
    Ok(Exit::Done)
}
