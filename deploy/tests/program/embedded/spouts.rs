//! The examples of the spouts, as their documentation has them, read something.

use anyhow::ensure;
use testkit::scratch::Scratch;
use testkit::{http, wait};

use super::topic::send;
use super::{LIMIT, Program};

/// One index is not there, so that what the example of Kafka reads waits for it, and the one of drops has something
/// to tell.
const TOPOLOGY: &str = "\
isobar: 1
name: spouts
connections:
  kafka: {type: kafka, brokers: embedded}
  search: {type: elasticsearch, hosts: [embedded]}
  away: {type: elasticsearch, hosts: ['http://127.0.0.1:9']}
spouts:
KAFKA
DROPS
bolts:
  parse: {type: parse_json, inputs: [kafka]}
  away: {type: elasticsearch, connection: away, inputs: [{from: parse, on_full: drop_newest}], index: access}
  told: {type: parse_json, inputs: [drops]}
  of_drops: {type: elasticsearch, connection: search, inputs: [told], index: drops}
dead_letter: {type: console}
settings: {queue_batches: 1}
";

/// The example of a type as an entry of its name.
fn entry(name: &str) -> String {
    let spouts = isobar_operators::registry().spouts;
    let spout = spouts.iter().find(|spout| spout.name == name);
    let lines = spout.expect("there is one").example.lines();
    let lines: String = lines.map(|line| format!("    {line}\n")).collect();
    format!("  {name}:\n{lines}")
}

#[test]
fn the_example_of_every_spout_reads_what_there_is() {
    assert_eq!(isobar_operators::registry().spouts.len(), 2, "all are here");
    let topology = TOPOLOGY
        .replace("KAFKA\n", &entry("kafka"))
        .replace("DROPS\n", &entry("drops"));
    let scratch = Scratch::new("embedded-spouts").expect("a directory");
    let file = scratch.file("t.yaml", &topology).expect("written");
    let program = Program::start("spouts", &["run", file.to_str().expect("text")], &[]);
    let brokers = program.logged("Embedded Kafka is up", "brokers");
    let values: Vec<String> = (0..25).map(|key| format!("{{\"key\":{key}}}")).collect();
    let index = program.logged(
        "The embedded index is up; it holds the latest documents in memory",
        "url",
    );
    let index = index.trim_start_matches("http://");
    let told = wait::until("a record of what was dropped", LIMIT, || {
        // Each time in a batch of its own.
        send(&brokers, "access", &values);
        let found = http::get(index, "/drops/_search?q=*&size=1")?.json()?;
        let told = found["hits"]["hits"][0]["_source"].clone();
        ensure!(told.is_object(), "{found}");
        Ok(told)
    });
    let told = told.expect("it is told");
    assert_eq!(told["policy"], "away.drop_newest", "{told}");
    let total = program.total().expect("it answers");
    let [records, read] = [&told["records"], &total["read"]].map(|number| number.as_u64());
    assert!(records > Some(0) && records < read, "{told} {total}");
    assert_eq!(total["difference"], 0, "{total}");
}
