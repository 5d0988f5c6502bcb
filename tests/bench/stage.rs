//! What every case needs: a broker with its topics filled, the stand-in bulk server, and the programs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use isobar::generate::{Generated, Generator};
use serde_json::Value;
use testkit::bulk_server::BulkServerProgram;
use testkit::isobar::{Finished, Setup};
use testkit::process::{Launch, Process, Usage};
use testkit::records;
use testkit::scratch::Scratch;
use testkit::services::Kafka;
use testkit::services::kafka::Sent;
use testkit::wait;

use crate::cases::{Case, Content, Input, To};

/// How long one run may take.
pub const LIMIT: Duration = Duration::from_secs(120);

pub struct Stage {
    pub kafka: Kafka,
    pub server: BulkServerProgram,
    programs: PathBuf,
    loaded: HashSet<String>,
    runs: u32,
    /// The topic that the last case was set up to write to.
    out: String,
    scratch: Scratch,
}

/// One run of a program.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub usage: Usage,
    pub wall: Duration,
}

impl Stage {
    /// Starts the services. `programs` is the directory of the built programs.
    pub fn start(programs: &Path) -> Result<Self> {
        Ok(Self {
            // A group's first member waits for others otherwise, and waiting is not what is measured.
            kafka: Kafka::start_with(&[("group.initial.rebalance.delay.ms", "0")])?,
            server: BulkServerProgram::start(&programs.join("bulk-server"), false)?,
            programs: programs.to_owned(),
            loaded: HashSet::new(),
            runs: 0,
            out: String::new(),
            scratch: Scratch::new("bench")?,
        })
    }

    /// The path of a built program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Fills the topic of an input, once.
    pub fn load(&mut self, input: &Input) -> Result<()> {
        let topic = input.topic();
        if !self.loaded.insert(topic.clone()) {
            return Ok(());
        }
        let settings = [
            ("compression.type", input.compression),
            ("max.message.bytes", "4000000"),
            ("retention.ms", "-1"),
        ];
        self.kafka
            .create_topic(&topic, input.partitions, &settings)?;
        self.kafka.produce(&topic, sent(input))
    }

    /// Runs the product over a case to its end, as a group of its own, and checks its report.
    pub fn product(&mut self, case: &Case) -> Result<Run> {
        let setup = self.setup(case, &self.server.url())?;
        let finished = self.to_the_end(&setup, case)?;
        Ok(Run {
            usage: finished.0.usage,
            wall: finished.1,
        })
    }

    /// The allocations of a run without those of one that finds nothing to read, for each record.
    pub fn allocations(&mut self, case: &Case) -> Result<f64> {
        let counting = self.program("isobar-counting");
        let setup = self.setup(case, &self.server.url())?.program(&counting);
        let (full, _) = self.to_the_end(&setup, case)?;
        let empty = setup.finish(&COMMAND, LIMIT)?;
        let (full, empty) = (full.allocations()?, empty.allocations()?);
        Ok(full.saturating_sub(empty) as f64 / case.input.records as f64)
    }

    /// The bytes of memory that the plan of a case says it takes at most.
    pub fn memory_bound(&mut self, case: &Case) -> Result<u64> {
        let setup = self.setup(case, &self.server.url())?;
        let planned = setup.finish(&["plan", "-o", "json"], LIMIT)?;
        ensure!(planned.status.success(), "{}", planned.stderr);
        let plan: Value = serde_json::from_str(&planned.stdout)?;
        let total = plan["memory"]["total"].as_u64();
        total.context("a plan has a bound")
    }

    /// A case that is ready to run once.
    pub fn setup(&mut self, case: &Case, url: &str) -> Result<Setup> {
        self.make_out(case)?;
        let setup = self.topology(&case.topology, &case.input.topic(), url)?;
        Ok(setup.environment("OUT", &self.out))
    }

    /// Makes the topic that a case writes to, where it writes to one: each run to its own.
    fn make_out(&mut self, case: &Case) -> Result<()> {
        self.runs += 1;
        self.out = format!("out-{}", self.runs);
        if case.to != To::Kafka {
            return Ok(());
        }
        let settings = [("max.message.bytes", "4000000")];
        let partitions = case.input.partitions;
        self.kafka.create_topic(&self.out, partitions, &settings)
    }

    /// The topic that the last case was set up to write to, where it writes to one.
    pub fn out(&self) -> &str {
        &self.out
    }

    /// The product over a topic, as a group of its own.
    pub fn topology(&mut self, topology: &str, topic: &str, url: &str) -> Result<Setup> {
        self.runs += 1;
        Ok(Setup::new(topology)?
            .file("hosts.csv", &hosts())?
            .environment("KAFKA", self.kafka.brokers())
            .environment("TOPIC", topic)
            .environment("GROUP", &format!("bench-{}", self.runs))
            .environment("ES", url)
            .program(&self.program("isobar")))
    }

    /// Keeps the broker and the stand-in on these cores from now on.
    pub fn keep_services_on(&mut self, cores: &str) -> Result<()> {
        self.kafka.keep_on(cores)?;
        self.server.process().keep_on(cores)
    }

    /// How many documents the stand-in has taken so far.
    pub fn documents(&self) -> Result<u64> {
        let statistics = self.server.statistics()?;
        statistics["documents"].as_u64().context("no count")
    }

    fn to_the_end(&self, setup: &Setup, case: &Case) -> Result<(Finished, Duration)> {
        let began = wait::now();
        let finished = setup.finish(&COMMAND, LIMIT)?;
        let wall = began.elapsed();
        check_report(&finished, case)?;
        Ok((finished, wall))
    }

    /// Runs `limit` on the same topic and count, to where the case writes.
    pub fn limit(&mut self, case: &Case) -> Result<Run> {
        self.make_out(case)?;
        let address = self.server.client().address();
        let to = match case.to {
            To::Nowhere => Vec::new(),
            To::Search => vec!["post", address],
            To::Kafka => vec!["write", &self.out],
        };
        let Input {
            partitions,
            records,
            ..
        } = case.input;
        let launch = self.launch_limit(&case.input.topic(), partitions, records);
        let began = wait::now();
        let mut process = Process::start(launch.arguments(to))?;
        let usage = process.wait_measured(LIMIT)?;
        ensure!(usage.status.success(), "limit: {}", process.log_tail());
        Ok(Run {
            usage,
            wall: began.elapsed(),
        })
    }

    /// Starts `limit` on a topic that is yet to be filled, posting what is older than `flush_ms`.
    pub fn begin_limit(
        &self,
        topic: &str,
        partitions: i32,
        records: u64,
        server: &BulkServerProgram,
        flush_ms: u32,
    ) -> Result<Process> {
        let launch = self.launch_limit(topic, partitions, records);
        let address = server.client().address().to_owned();
        Process::start(launch.arguments(["post".to_owned(), address, flush_ms.to_string()]))
    }

    fn launch_limit(&self, topic: &str, partitions: i32, records: u64) -> Launch {
        let log = self.scratch.path().join("limit.log");
        Launch::new(self.program("bench-limit"), &log)
            .arguments([self.kafka.brokers(), topic])
            .arguments([partitions.to_string(), records.to_string()])
    }
}

/// A bounded run that nobody watches.
pub const COMMAND: [&str; 6] = [
    "run",
    "--exit-when-caught-up",
    "-o",
    "json",
    "--http",
    "off",
];

/// Fails unless every record was read and met the fate that the case is about.
pub fn check_report(finished: &Finished, case: &Case) -> Result<()> {
    ensure!(finished.status.success(), "{}", finished.stderr);
    let report: Value = serde_json::from_str(&finished.stdout)?;
    let total = &report["accounting"]["total"];
    let number = |name: &str| total[name].as_u64().with_context(|| format!("{total}"));
    let (read, delivered, dropped) = (number("read")?, number("delivered")?, number("dropped")?);
    let expected = case.delivered;
    if read != case.input.records || delivered != expected || dropped != read - expected {
        bail!("{}: unexpected fates: {total}", case.name);
    }
    Ok(())
}

/// The records of an input: record N goes to partition N modulo their number.
pub fn sent(input: &Input) -> impl Iterator<Item = Sent> {
    let partitions = u64::from(input.partitions.unsigned_abs());
    let content = input.content;
    let mut generator = content
        .lines()
        .map(|lines| Generator::new(lines, 1, records::FIRST_TIME, 100_000));
    let mut generated = Generated::default();
    (0..input.records).map(move |number| {
        let value = match &mut generator {
            Some(generator) => {
                generator.next_into(&mut generated);
                generated.line.clone().into_bytes()
            }
            None => object(content, number).expect("what is not generated are objects"),
        };
        Sent {
            partition: i32::try_from(number % partitions).ok(),
            key: Some(records::key(number).into_bytes()),
            value: Some(value),
            timestamp: Some(records::time(number)),
        }
    })
}

/// The record of this number where records are JSON objects.
pub fn object(content: Content, number: u64) -> Option<Vec<u8>> {
    match content {
        Content::Json => Some(records::json(number)),
        Content::Sized(size) => Some(sized(number, size)),
        Content::Access | Content::Syslog => None,
    }
}

/// An object of so many bytes, at least 60, of which one text is as long as it takes.
fn sized(number: u64, size: usize) -> Vec<u8> {
    let head = format!("{{\"number\":{number},\"timestamp\":\"2026-01-01T00:00:00Z\",\"text\":\"");
    let text = "all work and no play makes a dull record ";
    let fill = text
        .bytes()
        .cycle()
        .take(size.saturating_sub(head.len() + 2));
    head.into_bytes()
        .into_iter()
        .chain(fill)
        .chain(*b"\"}")
        .collect()
}

/// The table of `lookup`: every host of [`records::json`].
fn hosts() -> String {
    let rows = (0..100).map(|host| format!("web-{host:02},eu-{},shop\n", host % 3));
    ["host,zone,team\n".to_owned()]
        .into_iter()
        .chain(rows)
        .collect()
}
