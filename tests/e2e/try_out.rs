//! `isobar try` and `isobar init` on a topic that a topology is reading: they say what the index has of its records,
//! and leave no trace.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use testkit::isobar::{Isobar, Setup};
use testkit::services::{Kafka, SearchClient};

use crate::support::{Steps, check_exactly_once, setup, with_search};

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: u64 = 4;
const RECORDS: u64 = 8_000;
/// Sent when all was tried out.
const LATER: u64 = 1_000;
/// The topology's, and the name that `init` would make of the topic's.
const GROUP: &str = "logs";

#[test]
fn trying_a_live_topic_out_changes_nothing() {
    let mut steps = Steps::new("try");
    let (kafka, search) = with_search(Kafka::start);
    kafka.create_topic("logs", 4, &[]).expect("it is created");
    let sent = kafka.produce_json("logs", 4, 0..RECORDS);
    sent.expect("all is acknowledged");
    let setup = setup(&kafka, &search.url(), GROUP, ", commit_interval: 200ms");
    let mut isobar = setup.start().expect("it starts");
    wait_for_commits(&mut isobar, &kafka, RECORDS);
    steps.done("start, send, index");

    let client = search.client();
    let before = state(&kafka, client);
    let tried = try_the_newest(isobar.setup());
    try_a_range(isobar.setup());
    init(&kafka, isobar.setup());
    assert_eq!(state(&kafka, client), before);
    for line in tried.lines() {
        let tried: Value = serde_json::from_str(line).expect("JSON");
        let end = &tried["ends"][0];
        let (index, id) = (end["target"].as_str(), end["id"].as_str());
        let place = format!("/{}/_doc/{}", index.expect("an index"), id.expect("an id"));
        let found = client.json("GET", &place, None).expect("it is there");
        assert_eq!(found["_source"], end["document"]);
    }
    steps.done("try, init");

    // It has gone on reading meanwhile, and was not made to read anything again.
    let sent = kafka.produce_json("logs", 4, RECORDS..RECORDS + LATER);
    sent.expect("all is acknowledged");
    wait_for_commits(&mut isobar, &kafka, RECORDS + LATER);
    let accounting = isobar.accounting().expect("it answers");
    let total = &accounting["total"];
    assert_eq!(total["read"], RECORDS + LATER, "{total}");
    assert_eq!(total["delivered"], RECORDS + LATER, "{total}");
    check_exactly_once(&search, PARTITIONS, RECORDS + LATER);
    let end = isobar.stop(LIMIT).expect("it ends");
    assert_eq!(end.code(), Some(0));
    steps.done("more records, stop");
}

fn wait_for_commits(isobar: &mut Isobar, kafka: &Kafka, records: u64) {
    let settled = isobar.wait_for("all to be committed", LIMIT, |_| {
        let committed = kafka.committed(GROUP, "logs")?;
        let sum: i64 = committed.into_iter().flatten().sum();
        ensure!(sum as u64 == records, "{sum}");
        Ok(())
    });
    settled.expect("it keeps up");
}

/// What somebody could have changed: groups, commits, the topic, and in the index documents and attempts to index,
/// also such as stored nothing.
fn state(kafka: &Kafka, search: &SearchClient) -> (Vec<String>, Vec<Option<i64>>, Vec<i64>, Value) {
    search.refresh("*").expect("it refreshes");
    let indices = search.json("GET", "/_stats/docs,indexing", None);
    let total = &indices.expect("it answers")["_all"]["total"];
    (
        kafka.groups().expect("the broker answers"),
        kafka.committed(GROUP, "logs").expect("the broker answers"),
        kafka.end_offsets("logs").expect("the broker answers"),
        serde_json::json!([total["docs"]["count"], total["indexing"]["index_total"]]),
    )
}

/// A line of JSON for each of 50 records.
fn try_the_newest(setup: &Setup) -> String {
    let command = ["try", "--sample", "50", "-o", "json"];
    let tried = setup.finish(&command, LIMIT).expect("it ends");
    assert_eq!(tried.status.code(), Some(0), "{}", tried.stderr);
    assert_eq!(tried.stdout.lines().count(), 50);
    tried.stdout
}

fn try_a_range(setup: &Setup) {
    let range = ["--from", "100", "--to", "110", "--partitions", "2"];
    let command = [&["try"][..], &range, &["-o", "table"]].concat();
    let tried = setup.finish(&command, LIMIT).expect("it ends");
    let expected = "\n10 records: 10 to index logs-";
    assert!(tried.stdout.contains(expected), "{}", tried.stdout);
}

fn init(kafka: &Kafka, setup: &Setup) {
    let command = ["init", "--brokers", kafka.brokers(), "--topic", "logs"];
    let made = setup.finish_alone(&command, LIMIT).expect("it ends");
    for part in [
        "event_time: \"timestamp\"\n    event_time_format: \"rfc3339\"\n",
        // `logs-isobar-…` would be a data stream.
        "name: \"logs-isobar\"\n",
        "index: \"logs_isobar-{{ ",
    ] {
        assert!(made.stdout.contains(part), "{part}: {}", made.stdout);
    }
    for part in [
        "of 200 records of logs, 200 are JSON objects\n",
        "there is a consumer group logs already, so this topology is named logs-isobar",
    ] {
        assert!(made.stderr.contains(part), "{part}: {}", made.stderr);
    }
}
