//! What the suites share: the seconds of each step, one ordinary topology, numbers out of the
//! accounting, and the check that an index holds every record exactly once.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::isobar::{Finished, Sampler, Samples, Setup};
use testkit::services::{Kafka, Search, SearchClient, SearchVersion};
use testkit::{ports, wait};

/// How long a bounded run over 500,000 records may take beside a search server on a busy machine; it
/// needs 20 to 60 s on two idle cores.
pub(crate) const RUN_LIMIT: Duration = Duration::from_secs(400);

/// Prints how long each step took, so that a slow one is seen in any run.
pub(crate) struct Steps {
    name: &'static str,
    last: Instant,
}

impl Steps {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            last: wait::now(),
        }
    }

    #[expect(clippy::print_stdout, reason = "the seconds of an end-to-end run")]
    pub(crate) fn done(&mut self, step: &str) {
        println!(
            "{}: {step}: {:.1} s",
            self.name,
            self.last.elapsed().as_secs_f32()
        );
        self.last = wait::now();
    }
}

/// Kafka topic `logs` → parse → enrich → one index per day, dead letters in a file beside the topology.
/// `spout` has further options of the spout, such as `, commit_interval: 1s`.
pub(crate) fn topology(group: &str, spout: &str) -> String {
    format!(
        "\
isobar: 1
name: {group}
connections:
  kafka: {{type: kafka, brokers: \"${{KAFKA}}\"}}
  search: {{type: elasticsearch, hosts: \"${{ES}}\"}}
spouts:
  logs: {{type: kafka, connection: kafka, topics: [logs], start: earliest{spout}}}
bolts:
  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  enrich:
    type: set_fields
    inputs: [parse]
    fields: {{env: test, is_error: \"{{{{ doc.level == 'error' }}}}\"}}
  index:
    type: elasticsearch
    connection: search
    inputs: [enrich]
    index: \"logs-{{{{ event_time.format('%Y.%m.%d') }}}}\"
    event_time_bounds: off
dead_letter: {{type: file, path: dead-letters.ndjson}}
"
    )
}

/// A broker whose topic `logs` of so many partitions holds so many JSON records.
pub(crate) fn kafka_with_records(partitions: i32, records: u64) -> Kafka {
    let kafka = Kafka::start().expect("Kafka starts");
    kafka
        .create_topic("logs", partitions, &[])
        .expect("the topic is created");
    kafka
        .produce_json("logs", partitions, 0..records)
        .expect("all is acknowledged");
    kafka
}

/// A broker, started in some way, and an Elasticsearch of the newest version: at once, as each takes seconds.
pub(crate) fn with_search(kafka: impl FnOnce() -> Result<Kafka> + Send) -> (Kafka, Search) {
    std::thread::scope(|scope| {
        let kafka = scope.spawn(kafka);
        let search = Search::start(SearchVersion::Elasticsearch9).expect("Elasticsearch starts");
        let kafka = kafka.join().expect("no panic").expect("Kafka starts");
        (kafka, search)
    })
}

/// The ordinary topology, ready to run.
pub(crate) fn setup(kafka: &Kafka, url: &str, group: &str, spout: &str) -> Setup {
    let setup = Setup::new(&topology(group, spout)).expect("a directory");
    setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", url)
}

/// The bytes of memory that the topology takes at most, as `plan` says.
pub(crate) fn planned_memory(setup: &Setup) -> u64 {
    let planned = setup.finish(&["plan", "-o", "json"], RUN_LIMIT);
    let planned = planned.expect("it ends");
    let plan: Value = serde_json::from_str(&planned.stdout).expect(&planned.stderr);
    plan["memory"]["total"].as_u64().expect("a bound")
}

/// A bounded run that has ended.
pub(crate) struct Ended {
    pub(crate) finished: Finished,
    /// Its report; null when it printed none.
    pub(crate) report: Value,
    /// What was seen of the accounting meanwhile.
    pub(crate) samples: Samples,
}

impl Ended {
    /// The sums of its accounting.
    pub(crate) fn total(&self) -> Total {
        Total::of(&self.report["accounting"]).unwrap_or_else(|error| {
            panic!("{error:#}\n{}\n{}", self.report, self.finished.stderr);
        })
    }
}

/// Runs to the end offsets and ends, with the accounting watched; any exit status is fine here.
pub(crate) fn catch_up(setup: &Setup, arguments: &[&str]) -> Ended {
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let sampler = Sampler::start(&address).expect("a thread");
    let command = [
        "run",
        "--exit-when-caught-up",
        "-o",
        "json",
        "--http",
        &address,
    ];
    let command: Vec<&str> = command.iter().chain(arguments).copied().collect();
    let finished = setup.finish(&command, RUN_LIMIT).expect("it ends");
    let samples = sampler.finish();
    let samples = samples.unwrap_or_else(|error| panic!("{error:#}\n{}", finished.stderr));
    Ended {
        report: serde_json::from_str(&finished.stdout).unwrap_or_default(),
        finished,
        samples,
    }
}

/// The sums of an accounting over all spouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Total {
    pub(crate) read: u64,
    pub(crate) delivered: u64,
    pub(crate) already_present: u64,
    pub(crate) dropped: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) handed_back: u64,
    pub(crate) in_flight: u64,
}

impl Total {
    pub(crate) fn of(accounting: &Value) -> Result<Self> {
        let number = |name: &str| {
            let value = accounting["total"][name].as_u64();
            value.with_context(|| format!("no {name} in {accounting}"))
        };
        Ok(Self {
            read: number("read")?,
            delivered: number("delivered")?,
            already_present: number("already_present")?,
            dropped: number("dropped")?,
            dead_lettered: number("dead_lettered")?,
            handed_back: number("handed_back")?,
            in_flight: number("in_flight")?,
        })
    }

    /// Documents that are in the index by this account.
    pub(crate) fn indexed(&self) -> u64 {
        self.delivered + self.already_present
    }
}

/// The dead letters of a file.
pub(crate) fn dead_letters(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("dead letters are written");
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

/// Fails unless the index holds each of the records 0 to `records` of [`testkit::records::json`] once:
/// by its count, and by a look at each document's number and origin. Record N was sent to partition N
/// modulo `partitions`, so that its offset follows too.
pub(crate) fn check_exactly_once(search: &Search, partitions: u64, records: u64) {
    check_exactly_those(search, partitions, records, |_| true);
}

/// The same of those records whose numbers are meant, and that it holds no other.
pub(crate) fn check_exactly_those(
    search: &Search,
    partitions: u64,
    records: u64,
    is_meant: impl Fn(u64) -> bool,
) {
    let client = search.client();
    client.refresh("logs-*").expect("it refreshes");
    let meant = (0..records).filter(|number| is_meant(*number)).count();
    assert_eq!(client.count("logs-*").expect("it counts"), meant as u64);
    let checked = check_each(client, partitions, records, is_meant);
    checked.unwrap_or_else(|error| panic!("{error:#}"));
}

fn check_each(
    client: &SearchClient,
    partitions: u64,
    records: u64,
    is_meant: impl Fn(u64) -> bool,
) -> Result<()> {
    let mut seen = vec![false; usize::try_from(records)?];
    let fields = [
        "number",
        "env",
        "is_error",
        "_isobar.t",
        "_isobar.p",
        "_isobar.o",
    ];
    for document in client.dump("logs-*", &fields)? {
        let fields = &document.fields;
        let number = fields["number"]
            .as_u64()
            .context("a document without number")?;
        let seen = seen.get_mut(usize::try_from(number)?);
        let seen = seen.with_context(|| format!("record {number} was never sent"))?;
        ensure!(!*seen, "record {number} is there twice");
        ensure!(is_meant(number), "record {number} should not be there");
        *seen = true;
        let origin = &fields["_isobar"];
        ensure!(
            origin["t"] == "logs"
                && origin["p"] == number % partitions
                && origin["o"] == number / partitions,
            "record {number} says that it comes from {origin}"
        );
        ensure!(
            fields["env"] == "test" && fields["is_error"] == number.is_multiple_of(50),
            "record {number}: {fields}"
        );
    }
    let mut numbers = (0..records).zip(seen);
    let missing = numbers.find(|(number, seen)| !seen && is_meant(*number));
    let missing = missing.map(|(number, _)| number);
    ensure!(missing.is_none(), "record {missing:?} is missing");
    Ok(())
}
