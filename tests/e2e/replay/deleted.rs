//! Documents that were deleted at random among many come back, and no others change.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use testkit::random::Random;
use testkit::services::{Kafka, Search, SearchClient, SearchVersion};

use super::{PARTITIONS, committed, json_of, plan};
use crate::support::{Steps, catch_up, setup};

/// A debug build reads a million records again in a few minutes beside other work.
const RUN_LIMIT: Duration = Duration::from_secs(1_200);
/// Indexed at a time.
const PART: u64 = 250_000;
const RECORDS: u64 = 4 * PART;
const DELETED: usize = 10_000;
/// Changed when other documents are wanted.
const SEED: u64 = 8;

/// Deletes 10,000 of 1,000,000 live-indexed documents, and replays all records into what is missing, with
/// a changed topology, so that what is written is told from what was there.
pub(crate) fn ten_thousand_of_a_million() {
    let mut steps = Steps::new("replay of what was deleted");
    let kafka = Kafka::start().expect("Kafka starts");
    kafka.create_topic("logs", 4, &[]).expect("it is created");
    let search = Search::start(SearchVersion::Elasticsearch9).expect("Elasticsearch starts");
    let setup = setup(&kafka, &search.url(), "live", "");
    for start in (0..RECORDS).step_by(PART as usize) {
        kafka
            .produce_json("logs", 4, start..start + PART)
            .expect("all is acknowledged");
        assert_eq!(catch_up(&setup, &[]).total().delivered, PART);
    }
    let live = committed(&kafka, "live");
    steps.done("start, send, index");
    let deleted = delete(search.client());
    steps.done("delete some");

    let topology = std::fs::read_to_string(setup.topology()).expect("it is there");
    let changed = topology.replace("env: test", "env: again");
    std::fs::write(setup.topology(), changed).expect("written");
    let planned = plan(&setup, "missing", "plan.json");
    let run = ["replay", "run", "plan.json", "--yes", "-o", "json"];
    let ran = json_of(&setup.finish_alone(&run, RUN_LIMIT).expect("it ends"));
    let total = &ran["run"]["accounting"]["total"];
    assert_eq!(total["read"], RECORDS);
    assert_eq!(total["delivered"], DELETED);
    assert_eq!(total["already_present"], RECORDS - DELETED as u64);
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    steps.done("replay what is missing");

    let verify = ["replay", "verify", "plan.json", "-o", "json"];
    let _ = json_of(&setup.finish_alone(&verify, RUN_LIMIT).expect("it ends"));
    assert_eq!(committed(&kafka, "live"), live, "it is untouched");
    let group = planned["group"].as_str().expect("a group");
    assert_eq!(committed(&kafka, group), [None; 4], "no group is left");
    check(search.client(), &deleted);
    steps.done("verify, look at every document");
}

/// Returns the numbers of what is deleted.
fn delete(client: &SearchClient) -> BTreeSet<u64> {
    client.refresh("logs-*").expect("it refreshes");
    let mut documents = client.dump("logs-*", &["number"]).expect("it answers");
    assert_eq!(documents.len() as u64, RECORDS);
    let mut random = Random::new(SEED);
    for at in 0..DELETED {
        documents.swap(at, random.size(at..RECORDS as usize));
    }
    documents.truncate(DELETED);
    let mut lines = String::new();
    for document in &documents {
        let action = serde_json::json!({"_index": document.index, "_id": document.id});
        writeln!(lines, "{}", serde_json::json!({ "delete": action })).expect("it is text");
    }
    let answer = client.bulk(lines.as_bytes()).expect("it answers");
    assert_eq!(answer["errors"], false, "{answer}");
    client.refresh("logs-*").expect("it refreshes");
    let left = client.count("logs-*").expect("it counts");
    assert_eq!(left, RECORDS - DELETED as u64);
    let numbers = documents.iter();
    let numbers = numbers.map(|document| document.fields["number"].as_u64());
    numbers.collect::<Option<_>>().expect("each has its number")
}

/// Each record is there once, written by the live topology or, of those that were deleted, by the replay.
fn check(client: &SearchClient, deleted: &BTreeSet<u64>) {
    client.refresh("logs-*").expect("it refreshes");
    let fields = ["number", "env", "_isobar.p", "_isobar.o"];
    let mut seen = BTreeSet::new();
    for document in client.dump("logs-*", &fields).expect("it answers") {
        let fields = &document.fields;
        let number = fields["number"].as_u64().expect("a number");
        assert!(seen.insert(number), "{number} is there twice");
        let (partition, offset) = (number % PARTITIONS, number / PARTITIONS);
        let origin = &fields["_isobar"];
        assert!(
            origin["p"] == partition && origin["o"] == offset,
            "{number}: {origin}"
        );
        let writer = match deleted.contains(&number) {
            true => "again",
            false => "test",
        };
        assert_eq!(fields["env"], writer, "{number}");
    }
    assert_eq!(seen.len() as u64, RECORDS);
}
