//! `isobar generate`: made-up records, to standard output or to a topic.

mod topic;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use isobar_topology::clock::{self, Instant};
use isobar_topology::spec::units;
use jiff::Timestamp;

use super::Context;
use super::brokers::SecurityArgs;
use super::runtime::block_on;
use crate::cli::{FileArgs, OutputArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::generate::{Generated, Generator, Lines};
use crate::output::Output;
use topic::Target;

/// What `generate` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
#[command(group = ArgGroup::new("target").args(["topic", "topology"]))]
pub struct GenerateArgs {
    /// What the lines look like: json (log events of about 400 bytes), access (a web server's, in the
    /// combined log format), syslog (RFC 5424), key-value (logfmt) or csv (time, host, service, level,
    /// method, path, status, bytes, duration in ms, message).
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "json",
        hide_possible_values = true
    )]
    format: Lines,

    /// How many records; 0 goes on until it is stopped.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    count: u64,

    /// Records per second; as fast as it goes without it.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: Option<u32>,

    /// The same seed and start time give the same records.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Of 100 records, so many on average are garbage that a parser rejects.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    garbage: u8,

    /// Time of the first record, such as 2026-01-01T00:00:00Z. The others follow at the rate, or 1 ms
    /// apart without one. Default: so that the last record is of now; with a rate the first one.
    #[arg(long, value_name = "TIME")]
    start_time: Option<Timestamp>,

    /// Brokers of the topic, host:port each, separated by commas.
    #[arg(
        long,
        value_name = "BROKERS",
        value_delimiter = ',',
        requires = "topic"
    )]
    brokers: Vec<String>,

    #[command(flatten)]
    security: SecurityArgs,

    /// The topic to write to; standard output without it. The key of a record is its host.
    #[arg(long, value_name = "NAME", requires = "brokers")]
    topic: Option<String>,

    /// A topology file instead: writes to the first topic that it reads, with its encryption and login.
    #[arg(
        long = "for",
        value_name = "FILE",
        conflicts_with_all = ["brokers", "topic", "SecurityArgs"]
    )]
    topology: Option<PathBuf>,

    /// A file of KEY=VALUE lines for `${KEY}` in the topology file.
    #[arg(long, value_name = "FILE", requires = "topology")]
    env_file: Vec<PathBuf>,

    /// Creates the topic with so many partitions unless it exists.
    #[arg(
        long,
        value_name = "N",
        requires = "target",
        value_parser = clap::value_parser!(i32).range(1..=100_000)
    )]
    partitions: Option<i32>,

    /// How long the brokers may take to answer.
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "target")]
    timeout: units::Duration,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar generate --format access --count 3
  isobar generate --count 100000 --brokers localhost:9092 --topic logs
  isobar generate --count 0 --rate 500 --for logs.yaml";

pub(super) fn execute(args: &GenerateArgs, mut context: Context<'_>) -> Outcome {
    let target = target(args, &mut context)?;
    block_on(async {
        let pieces = Pieces::new(args);
        match target {
            Some(target) => topic::produce(args, target, pieces, &context).await,
            None => write(pieces, &context.output).await,
        }
    })?
}

/// Where the records go, unless that is standard output.
fn target(args: &GenerateArgs, context: &mut Context<'_>) -> Result<Option<Target>, Failure> {
    if let Some(file) = &args.topology {
        let file = FileArgs {
            file: file.clone(),
            env_file: args.env_file.clone(),
        };
        return of_topology(&file, context).map(Some);
    }
    let Some(topic) = &args.topic else {
        return Ok(None);
    };
    let security = &args.security;
    Ok(Some(Target {
        connection: security.connection(&args.brokers, &context.environment)?,
        topic: topic.clone(),
    }))
}

fn of_topology(file: &FileArgs, context: &mut Context<'_>) -> Result<Target, Failure> {
    let (topology, _) = file.plan(&mut context.environment, context.registry)?;
    let sources = isobar_operators::lag::sources(topology.spec()?);
    let sources = sources.map_err(|problems| Failure::from(topology.refuse(problems)))?;
    let mut targets = sources.iter().flat_map(|source| {
        // A pattern is no name.
        let names = source.topics.iter().filter(|topic| !topic.starts_with('^'));
        names.map(|topic| Target {
            connection: source.connection().clone(),
            topic: topic.clone(),
        })
    });
    targets.next().ok_or_else(|| {
        let name = file.file.display();
        Failure::usage(format!("{name} reads no topic of Kafka by name"))
    })
}

/// Most records that are made in one go: what is written between two looks at the clock.
const PIECE_MAX: u64 = 500;

/// Records in pieces, at the rate that is asked for.
struct Pieces {
    generator: Generator,
    /// How many are left; none when there is no end.
    left: Option<u64>,
    rate: Option<u32>,
    start: Instant,
    made: u64,
    records: Vec<Generated>,
}

impl Pieces {
    fn new(args: &GenerateArgs) -> Self {
        let step_us = args.rate.map_or(1_000, |rate| (1_000_000 / rate).max(1));
        let now = clock::unix_ms();
        let start = match (args.start_time, args.rate) {
            (Some(time), _) => time.as_millisecond(),
            (None, Some(_)) => now,
            (None, None) => now.saturating_sub(i64::try_from(args.count).unwrap_or(i64::MAX)),
        };
        Self {
            generator: Generator::new(args.format, args.seed, start, step_us)
                .with_garbage(args.garbage),
            left: (args.count > 0).then_some(args.count),
            rate: args.rate,
            start: clock::now(),
            made: 0,
            records: Vec::new(),
        }
    }

    /// The next piece when it is due; `None` after the last one. Cancel-safe.
    async fn next(&mut self) -> Option<&[Generated]> {
        let wanted = self.left.unwrap_or(u64::MAX).min(PIECE_MAX);
        if wanted == 0 {
            return None;
        }
        let count = match self.rate {
            Some(rate) => {
                // At low rates one by one, at high rates what falls due in 10 ms.
                let piece = u64::from(rate / 100).clamp(1, wanted);
                let due = Duration::from_secs_f64(self.made as f64 / f64::from(rate));
                tokio::time::sleep_until(self.start + due).await;
                piece
            }
            None => wanted,
        };
        self.records.resize_with(count as usize, Generated::default);
        for record in &mut self.records {
            self.generator.next_into(record);
        }
        self.made += count;
        self.left = self.left.map(|left| left - count);
        Some(&self.records)
    }
}

async fn write(mut pieces: Pieces, output: &Output) -> Outcome {
    let mut text = Vec::new();
    while let Some(records) = pieces.next().await {
        text.clear();
        for record in records {
            text.extend_from_slice(record.line.as_bytes());
            text.push(b'\n');
        }
        if !output.write(&text)? {
            break;
        }
    }
    Ok(Exit::Done)
}
