//! `isobar try`: what a topology would make of records, of a live topic or of standard input. Reads without
//! a group, commits nothing, writes nothing.

mod text;

use std::io::{self, BufRead};
use std::num::NonZeroU32;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use isobar_operators::lag::{self, Source};
use isobar_operators::range::Place;
use isobar_operators::sample::{Sampled, Which, sample};
use isobar_topology::clock;
use isobar_topology::spec::units::Duration;
use serde::Serialize;
use serde_json::Value;

use super::Context;
use super::source::{SelectionArgs, asking, check_order, choose};
use crate::cli::FileArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Output, printable};
use crate::rehearsal::{Stage, Told};
use crate::topology_file::TopologyFile;

/// What `try` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct TryArgs {
    #[command(flatten)]
    file: FileArgs,

    /// How many records: the newest, or with --from the first in the range.
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    sample: NonZeroU32,

    /// Where to start in each partition: an offset, a time with its zone, a duration before now such as
    /// 2h, or earliest.
    #[arg(long, value_name = "PLACE")]
    from: Option<Place>,

    /// Where to end at the latest.
    #[arg(long, value_name = "PLACE", default_value = "now", requires = "from")]
    to: Place,

    /// Takes each line of standard input for a record, in place of those of the topic.
    #[arg(
        long,
        conflicts_with_all = ["sample", "from", "to", "SelectionArgs", "timeout"]
    )]
    stdin: bool,

    #[command(flatten)]
    selection: SelectionArgs,

    /// The spout whose records are meant, where the topology has several.
    #[arg(long, value_name = "SPOUT")]
    spout: Option<String>,

    /// How long each of a few questions to the brokers may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,

    /// Ends with exit code 3 when any record would be rejected.
    #[arg(long)]
    fail_on_reject: bool,

    /// How the result is printed: diff (what each bolt changes), table (a line for each document or
    /// reject), or json (a line for each record).
    #[arg(
        long,
        short = 'o',
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true
    )]
    output: Form,
}

/// How the result is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// What each bolt changes.
    #[default]
    Diff,
    /// A line for each end.
    Table,
    /// A line for each record.
    Json,
}

const EXAMPLE: &str = "\
Examples:
  isobar try logs.yaml                   the 10 newest records of its topics
  isobar try logs.yaml --sample 1000 -o table --fail-on-reject
  isobar try logs.yaml --from 2h --partitions 3 --sample 5
  isobar generate --count 3 | isobar try logs.yaml --stdin
  isobar try logs.yaml -o json | jq '.ends[] | select(.outcome == \"rejected\")'

Safe beside a running topology: it joins no group, commits nothing, and contacts no sink. What only the \
index can say, such as that a document does not fit its mapping, is not seen.";

/// A record and what became of it; a line of the JSON form.
#[derive(Serialize)]
struct Tried<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<String>,
    value: Option<String>,
    #[serde(flatten)]
    told: &'a Told,
}

pub(super) fn execute(args: &TryArgs, mut context: Context<'_>) -> Outcome {
    if let Some(from) = args.from {
        check_order(from, args.to)?;
    }
    let (file, plan) = args.file.plan(&mut context.environment, context.registry)?;
    let spouts: Vec<String> = plan
        .graph
        .spouts
        .iter()
        .map(|one| one.id.to_string())
        .collect();
    let stage = Stage::open(plan)?;
    let mut trial = Trial {
        stage,
        form: args.output,
        output: &context.output,
        counts: text::Counts::default(),
    };
    if args.stdin {
        let spout = choose_spout(&spouts, args.spout.as_deref())?;
        let topic = super::test::topic_of(file.spec()?, Some(&spout));
        let lines = io::stdin().lock().split(b'\n');
        for (offset, line) in (0..).zip(lines) {
            let mut line = line.context("cannot read standard input")?;
            if line.last() == Some(&b'\r') {
                let _ = line.pop();
            }
            let record = Sampled {
                offset,
                timestamp: clock::unix_ms(),
                payload: Some(line),
                ..Sampled::of_topic(&topic)
            };
            if !trial.run(&spout, &record)? {
                break;
            }
        }
    } else {
        let source = args.source(&file)?;
        let which = match args.from {
            Some(from) => Which::First(from, args.to),
            None => Which::Newest,
        };
        let count = args.sample.get() as usize;
        let within = args.timeout.get();
        let selection = args.selection.selection();
        let sample = sample(&source, &selection, which, count, within).map_err(asking)?;
        for text in &sample.narrowed {
            context.screen.line(&format!("isobar: {text}"));
        }
        for record in &sample.records {
            if !trial.run(&source.spout, record)? {
                break;
            }
        }
    }
    trial.finish(match args.stdin {
        true => "nothing came in",
        false => "no record: there is none in the range",
    })?;
    match args.fail_on_reject && trial.counts.rejected > 0 {
        true => Ok(Exit::Threshold),
        false => Ok(Exit::Done),
    }
}

impl TryArgs {
    fn source(&self, file: &TopologyFile) -> Result<Source, Failure> {
        let sources = lag::sources(file.spec()?);
        let sources = sources.map_err(|problems| Failure::from(file.refuse(problems)))?;
        choose(sources, self.spout.as_deref()).map_err(|why| {
            let name = self.file.file.display();
            Failure::usage(format!(
                "{name}: {why}; --stdin takes records from standard input"
            ))
        })
    }
}

fn choose_spout(spouts: &[String], named: Option<&str>) -> Result<String, Failure> {
    let known = spouts.join(", ");
    match (named, spouts) {
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Failure::usage(format!(
            "the topology has several spouts: say which with --spout, one of {known}"
        ))),
        (Some(name), spouts) if spouts.iter().any(|one| one == name) => Ok(name.to_owned()),
        (Some(name), _) => Err(Failure::usage(format!(
            "there is no spout {name}; there is {known}"
        ))),
    }
}

/// Records on trial, told as they go.
struct Trial<'a> {
    stage: Stage,
    form: Form,
    output: &'a Output,
    counts: text::Counts,
}

impl Trial<'_> {
    /// Runs a record and tells what became of it; `false` when nobody reads any more.
    fn run(&mut self, spout: &str, record: &Sampled) -> Result<bool, Failure> {
        let told = self.stage.run(spout, record, None)?;
        self.counts.add(&told);
        let text = match self.form {
            Form::Diff => printable(&text::diff(record, &told)).into_owned(),
            Form::Table => printable(&text::rows(record, &told)).into_owned(),
            Form::Json => format!("{}\n", json(record, &told)?),
        };
        Ok(self.output.write(text.as_bytes())?)
    }

    /// Tells the sums, for people; `none` is what to say where there was no record.
    fn finish(&self, none: &str) -> Result<(), Failure> {
        match self.form {
            Form::Json => {}
            Form::Diff | Form::Table => self.output.line(&self.counts.text(none))?,
        }
        Ok(())
    }
}

fn json(record: &Sampled, told: &Told) -> anyhow::Result<Value> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    let tried = Tried {
        topic: &record.topic,
        partition: record.partition,
        offset: record.offset,
        timestamp: Some(record.timestamp).filter(|ms| *ms >= 0),
        key: record.key.as_ref().map(text),
        value: record.payload.as_ref().map(text),
        told,
    };
    serde_json::to_value(tried).context("cannot write JSON")
}
