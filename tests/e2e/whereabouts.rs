//! `isobar where` for records of every fate, against what a test knows of them.

use std::time::Duration;

use serde_json::Value;
use testkit::isobar::Setup;
use testkit::services::Kafka;
use testkit::services::kafka::Sent;
use testkit::{http, records, wait};

use crate::support::{Steps, Total, with_search};

const LIMIT: Duration = Duration::from_secs(60);

const TOPOLOGY: &str = "\
isobar: 1
name: found
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
  search: {type: elasticsearch, hosts: \"${ES}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest, commit_interval: 100ms}
  files: {type: kafka, connection: kafka, topics: [files], group: files, start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  odd: {type: filter, inputs: [parse], keep_when: \"doc.number % 10 != 3\"}
  index: {type: elasticsearch, connection: search, inputs: [odd], index: logs}
  split: {type: split, inputs: [files]}
  lines: {type: parse_json, inputs: [split], event_time: time}
  parts: {type: elasticsearch, connection: search, inputs: [lines], index: \"parts-{{ event_time.format('%Y') }}\", event_time_bounds: off}
dead_letter: {type: kafka, connection: kafka, topic: dead}
";

/// A record of three lines, of which one is no JSON and the others belong into different indices.
const FILE: &str = "\
{\"n\":0,\"time\":\"2024-01-01T00:00:00Z\"}
no JSON
{\"n\":2,\"time\":\"2025-01-01T00:00:00Z\"}
";

/// Of ten records one is no JSON, one is dropped, and the others are indexed.
fn fate_of(offset: u64) -> &'static str {
    match offset % 10 {
        3 => "dropped",
        7 => "dead_lettered",
        _ => "indexed",
    }
}

#[test]
fn every_record_is_found_where_it_is() {
    let mut steps = Steps::new("where");
    let (kafka, mut search) = with_search(Kafka::start);
    for topic in ["logs", "files", "dead"] {
        kafka.create_topic(topic, 1, &[]).expect("it is created");
    }
    produce(&kafka, 0..1_000);
    let file = Sent {
        partition: Some(0),
        key: None,
        value: Some(FILE.as_bytes().to_vec()),
        timestamp: None,
    };
    kafka.produce("files", [file]).expect("it is acknowledged");
    let setup = || {
        let setup = Setup::new(TOPOLOGY).expect("a directory");
        let setup = setup.environment("KAFKA", kafka.brokers());
        setup.environment("ES", &search.url())
    };
    let asking = setup();
    steps.done("start");

    assert_eq!(found(&asking, 5, "off")["fate"], "not_read");
    assert_eq!(found(&asking, 1_000, "off")["fate"], "no_record");

    let mut isobar = setup().start().expect("it starts");
    isobar
        .wait_for("all to be settled", LIMIT, |address| {
            let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
            anyhow::ensure!((total.read, total.in_flight) == (1_001, 0), "{total:?}");
            Ok(())
        })
        .expect("they are");
    let address = isobar.address().to_owned();
    let mut slowest = Duration::ZERO;
    for offset in [0, 3, 7, 203, 557, 993, 996, 997, 999] {
        let began = wait::now();
        let answer = found(&asking, offset, &address);
        slowest = slowest.max(began.elapsed());
        assert_eq!(answer["fate"], fate_of(offset), "{answer}");
        match fate_of(offset) {
            "indexed" => assert_eq!(answer["documents"][0]["index"], "logs"),
            "dropped" => assert_eq!(answer["policy"], "odd.filtered"),
            _ => assert_eq!(answer["letters"][0]["class"], "invalid_json"),
        }
    }
    steps.done(&format!("found; the slowest took {slowest:?}"));

    let answer = found_in("files", &asking, 0, &address);
    let parts = |of: &str, name: &str| -> Vec<Value> {
        let found = answer[of].as_array().expect("a list").iter();
        found.map(|one| one[name].clone()).collect()
    };
    assert_eq!(answer["fate"], "indexed", "{answer}");
    assert_eq!(parts("documents", "part"), [0, 2], "{answer}");
    assert_eq!(parts("documents", "index"), ["parts-2024", "parts-2025"]);
    assert_eq!(parts("letters", "part"), [1], "{answer}");
    steps.done("parts of a record that was split");

    // While the server stands still, what is read is in flight at the bolt that writes to it. The index
    // cannot be searched meanwhile, so the program's word counts.
    search.pause();
    produce(&kafka, 1_000..1_001);
    let answer = wait::until("the record to be in flight", LIMIT, || {
        let answer = found(&asking, 1_000, &address);
        anyhow::ensure!(
            answer["fate"] == "in_flight" && answer["bolt"] == "index",
            "{answer}"
        );
        Ok(answer)
    });
    let answer = answer.expect("it is");
    assert!(answer["since_ms"].as_i64() > Some(0), "{answer}");
    search.resume();
    let indexed = wait::until("the record to be indexed", LIMIT, || {
        let answer = found(&asking, 1_000, &address);
        anyhow::ensure!(answer["fate"] == "indexed", "{answer}");
        Ok(())
    });
    indexed.expect("it is");
    steps.done("in flight, then indexed");

    let status = isobar.stop(LIMIT).expect("it ends");
    assert!(status.success());
    // What a program dropped before its end nobody knows any more, and nobody guesses.
    let answer = found(&asking, 3, "off");
    assert_eq!(answer["fate"], "unknown");
    assert_eq!(found(&asking, 7, "off")["fate"], "dead_lettered");
    steps.done("after the end");

    // What is deleted before it is read is lost, and nothing beside it.
    produce(&kafka, 1_001..1_100);
    kafka.delete_records("logs", 0, 1_060).expect("deleted");
    isobar.start_again().expect("it starts");
    isobar
        .wait_for("the rest to be settled", LIMIT, |address| {
            let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
            anyhow::ensure!((total.read, total.in_flight) == (40, 0), "{total:?}");
            Ok(())
        })
        .expect("it is");
    for (offset, fate) in [
        (1_000, "indexed"),
        (1_001, "lost"),
        (1_059, "lost"),
        (1_060, "indexed"),
    ] {
        let answer = found(&asking, offset, &address);
        assert_eq!(answer["fate"], fate, "{answer}");
    }
    let log = isobar.log().expect("it logs");
    let range = "topic=logs partition=0 requested=1001 log_start=1060 lost=59";
    assert!(log.contains(range), "{log}");
    steps.done("lost");
}

fn produce(kafka: &Kafka, numbers: std::ops::Range<u64>) {
    let sent = numbers.map(|number| Sent {
        partition: Some(0),
        key: None,
        value: Some(match fate_of(number) {
            "dead_lettered" => b"no JSON".to_vec(),
            _ => records::json(number),
        }),
        timestamp: None,
    });
    kafka.produce("logs", sent).expect("all is acknowledged");
}

fn found(setup: &Setup, offset: u64, http: &str) -> Value {
    found_in("logs", setup, offset, http)
}

fn found_in(topic: &str, setup: &Setup, offset: u64, http: &str) -> Value {
    let record = format!("{topic}/0@{offset}");
    let file = setup.topology().to_str().expect("text");
    let command = [
        "where",
        file,
        &record,
        "-o",
        "json",
        "--spout",
        topic,
        "--timeout",
        "5s",
        "--http",
        http,
    ];
    let finished = setup.finish_alone(&command, LIMIT).expect("it ends");
    let answer = serde_json::from_str(&finished.stdout);
    let answer: Value = answer.unwrap_or_else(|_| panic!("{}", finished.stderr));
    let unknown = answer["fate"] == "unknown";
    assert_eq!(finished.status.code(), Some(if unknown { 4 } else { 0 }));
    answer
}
