//! Bad records among good ones.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::services::kafka::Sent;
use testkit::services::{Kafka, Search, SearchVersion};
use testkit::{records, wait};

use super::{PARTITIONS, median, setup};
use crate::support::{Steps, Total, catch_up, dead_letters};

/// Good records with bad ones among them: every `every`th, half of them no JSON and half of them with a
/// field that the index's mapping refuses.
struct Mixed {
    good: u64,
    bad: u64,
}

impl Mixed {
    fn every(&self) -> u64 {
        (self.good + self.bad) / self.bad.max(1)
    }

    fn is_bad(&self, number: u64) -> bool {
        self.bad > 0 && number % self.every() == self.every() / 2
    }

    fn record(&self, number: u64) -> Vec<u8> {
        let good = records::json(number);
        if !self.is_bad(number) {
            return good;
        }
        if (number / self.every()).is_multiple_of(2) {
            return good[..100].to_vec();
        }
        let mut document: Value = serde_json::from_slice(&good).expect("JSON");
        document["duration_ms"] = "slow".into();
        document.to_string().into_bytes()
    }
}

/// Of the rate without bad records, what is left with few of them, at least: less than a tenth is lost.
const KEPT: f64 = 0.9;

/// Rounds, of which each has a run without bad records beside one with few of them. What counts is the one in the
/// middle: what else the machine does falls on both of a round, or decides about that round only.
const ROUNDS: usize = 5;

/// What a run took for each record, in seconds.
#[derive(Clone, Copy)]
struct Took {
    /// By the clock, with its start and its end.
    time: f64,
    /// Of CPU time of the program.
    cpu: f64,
}

/// 100 bad records among 1,000,000, and one in each batch: exactly those are dead-lettered, and the few cost less than
/// a tenth of the rate and of the CPU time. What one in each batch costs is printed.
pub(crate) fn bad_records() {
    let mut steps = Steps::new("bad records");
    let kafka = Kafka::start().expect("Kafka starts");
    let search = Search::start(SearchVersion::Elasticsearch9).expect("Elasticsearch starts");
    let template = json!({"index_patterns": ["run-*"], "template": {"mappings": {"properties": {
        "duration_ms": {"type": "long"}
    }}}});
    search
        .client()
        .put_template("runs", &template)
        .expect("a template");
    steps.done("start");
    let topics = [
        (
            "none",
            Mixed {
                good: 1_000_000,
                bad: 0,
            },
        ),
        (
            "few",
            Mixed {
                good: 1_000_000,
                bad: 100,
            },
        ),
        // A batch has 1,000 records at most and is of one partition.
        (
            "each-batch",
            Mixed {
                good: 99_000,
                bad: 1_000,
            },
        ),
    ];
    for (topic, mixed) in &topics {
        kafka
            .create_topic(topic, PARTITIONS as i32, &[])
            .expect("the topic is created");
        let all = (0..mixed.good + mixed.bad).map(|number| Sent {
            partition: i32::try_from(number % PARTITIONS).ok(),
            value: Some(mixed.record(number)),
            timestamp: Some(records::time(number)),
            ..Sent::default()
        });
        kafka.produce(topic, all).expect("all is acknowledged");
    }
    steps.done("send");
    let [none, few, each_batch] = &topics;
    let mut run = |(topic, mixed): &(&str, Mixed), round: usize| {
        let took = run_to_the_end(&kafka, &search, topic, mixed, round);
        let (rate, cpu) = (1.0 / took.time, took.cpu * 1e6);
        steps.done(&format!(
            "{topic}, round {round}: {rate:.0} records/s, {cpu:.2} us of CPU each"
        ));
        took
    };
    let mut kept = Vec::new();
    for round in 0..ROUNDS {
        // Each comes first in turn: a machine that gets slower, or an index server that gets warm, is for both.
        let (without, with) = match round % 2 {
            0 => {
                let without = run(none, round);
                (without, run(few, round))
            }
            _ => {
                let with = run(few, round);
                (run(none, round), with)
            }
        };
        let _ = run(each_batch, round);
        kept.push((without.time / with.time, without.cpu / with.cpu));
    }
    for (what, of) in [
        ("rate", kept.iter().map(|one| one.0).collect::<Vec<f64>>()),
        ("work by CPU time", kept.iter().map(|one| one.1).collect()),
    ] {
        let kept = median(of.clone());
        steps.done(&format!(
            "{what} that is kept with few: {kept:.3} of {of:.3?}"
        ));
        assert!(kept >= KEPT, "of the {what} {kept:.3} is kept: {of:?}");
    }
}

fn run_to_the_end(
    kafka: &Kafka,
    search: &Search,
    topic: &str,
    mixed: &Mixed,
    round: usize,
) -> Took {
    let name = format!("run-{topic}-{round}");
    let nodes = format!(
        "\
spouts:
  logs: {{type: kafka, connection: kafka, topics: [{topic}], start: earliest}}
bolts:
  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  index: {{type: elasticsearch, connection: search, inputs: [parse], index: {name}, event_time_bounds: off}}
"
    );
    let setup = setup(kafka, &search.url(), &name, &nodes);
    let began = wait::now();
    let ended = catch_up(&setup, &[]);
    let took = began.elapsed();
    let total = ended.total();
    let wanted = Total {
        read: mixed.good + mixed.bad,
        delivered: mixed.good,
        dead_lettered: mixed.bad,
        ..Total::default()
    };
    assert_eq!(total, wanted, "{}", ended.finished.stderr);
    let client = search.client();
    client.refresh(&name).expect("it refreshes");
    assert_eq!(client.count(&name).expect("it counts"), mixed.good);
    if mixed.bad > 0 {
        let letters = dead_letters(&setup.topology().with_file_name("dead-letters.ndjson"));
        let found: Vec<u64> = letters
            .iter()
            .map(|letter| {
                let of = |name: &str| letter[name].as_u64().expect("a number");
                of("offset") * PARTITIONS + of("partition")
            })
            .collect();
        let bad: BTreeSet<u64> = (0..mixed.good + mixed.bad)
            .filter(|number| mixed.is_bad(*number))
            .collect();
        assert_eq!(found.len(), bad.len(), "each is dead-lettered once");
        assert_eq!(found.into_iter().collect::<BTreeSet<u64>>(), bad);
    }
    client.delete_index(&name).expect("room for the next run");
    let records = (mixed.good + mixed.bad) as f64;
    Took {
        time: took.as_secs_f64() / records,
        cpu: ended.finished.usage.cpu.as_secs_f64() / records,
    }
}
