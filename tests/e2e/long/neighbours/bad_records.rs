//! Bad records among good ones.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::services::kafka::Sent;
use testkit::services::{Kafka, Search, SearchVersion};
use testkit::{records, wait};

use super::{PARTITIONS, setup};
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

/// Of the rate without bad records, what is left with few of them, at least: less than a tenth is lost, and as
/// much again is left to chance on a machine that does other things.
const KEPT: f64 = 0.8;

/// 100 bad records among 1,000,000, and one in each batch: exactly those are dead-lettered, and the few cost
/// next to nothing. What they cost is printed beside what the same number of good ones takes.
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
    // By turns, so that a machine that gets slower does so for all.
    let mut rates = [const { Vec::new() }; 3];
    for round in 0..3 {
        for ((topic, mixed), rates) in topics.iter().zip(&mut rates) {
            let rate = run_to_the_end(&kafka, &search, topic, mixed, round);
            steps.done(&format!("{topic}, round {round}: {rate:.0} records/s"));
            rates.push(rate);
        }
    }
    let [none, few, _] = rates.map(|mut rates| {
        rates.sort_unstable_by(f64::total_cmp);
        rates[1]
    });
    assert!(few >= KEPT * none, "{few:.0} of {none:.0} records/s");
}

fn run_to_the_end(kafka: &Kafka, search: &Search, topic: &str, mixed: &Mixed, round: u32) -> f64 {
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
    let setup = setup(kafka, search, &name, &nodes);
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
    (mixed.good + mixed.bad) as f64 / took.as_secs_f64()
}
