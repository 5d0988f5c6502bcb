//! What comes together where it is to, on several lanes.

use anyhow::ensure;
use isobar_operators::embedded::PARTITIONS;
use testkit::scratch::Scratch;
use testkit::{http, wait};

use super::topic::send;
use super::{LIMIT, Program};

/// Each bolt gets all records: as they come on each lane, those with the same key on one lane, and all on one.
const TOPOLOGY: &str = "\
isobar: 1
name: lanes
connections:
  kafka: {type: kafka, brokers: embedded}
  search: {type: elasticsearch, hosts: [embedded]}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  apart: {type: deduplicate, inputs: [parse], fields: [key]}
  by_key: {type: deduplicate, inputs: [{from: parse, grouping: {fields: [doc.key]}}], fields: [key]}
  at_one: {type: deduplicate, inputs: [{from: parse, grouping: global}], fields: [key]}
  of_apart: {type: elasticsearch, connection: search, inputs: [apart], index: apart}
  of_by_key: {type: elasticsearch, connection: search, inputs: [by_key], index: by-key}
  of_at_one: {type: elasticsearch, connection: search, inputs: [at_one], index: at-one}
dead_letter: {type: console}
settings: {lanes: 2}
";

const KEYS: u64 = 200;

#[test]
fn duplicates_of_all_lanes_are_found_behind_groupings_that_bring_them_together() {
    let scratch = Scratch::new("embedded-lanes").expect("a directory");
    let file = scratch.file("t.yaml", TOPOLOGY).expect("written");
    let mut program = Program::start("lanes", &["run", file.to_str().expect("text")], &[]);
    let values: Vec<String> = (0..KEYS).map(|key| format!("{{\"key\":{key}}}")).collect();
    let brokers = program.logged("Embedded Kafka is up", "brokers");
    send(&brokers, "logs", &values);
    let total = wait::until("everything to be settled", LIMIT, || {
        let total = program.total()?;
        let all = KEYS * PARTITIONS as u64;
        ensure!(total["read"] == all && total["in_flight"] == 0, "{total}");
        Ok(total)
    });
    let total = total.expect("it settles");
    assert_eq!(total["difference"], 0, "{total}");
    let index = program.logged(
        "The embedded index is up; it holds the latest documents in memory",
        "url",
    );
    let index = index.trim_start_matches("http://");
    for (name, expected) in [
        // Both lanes read two of the partitions, and know their own records only.
        ("apart", 2 * KEYS),
        ("by-key", KEYS),
        ("at-one", KEYS),
    ] {
        let count = http::get(index, &format!("/{name}/_count")).and_then(|count| count.json());
        assert_eq!(count.expect("it answers")["count"], expected, "{name}");
    }
    let end = program.process.stop(LIMIT).expect("it ends");
    assert_eq!(end.code(), Some(0), "{}", program.printed());
}
