//! Rejected records in a file that people can read.

use std::collections::BTreeMap;

use isobar_topology::{Finish, json, start_here};
use serde_json::Value;
use tokio::task::LocalSet;

use crate::source;
use crate::world::World;

const TOPOLOGY: &str = "\
isobar: 1
name: suite
spouts:
  logs: {type: source}
bolts:
  parse: {type: documents, inputs: [logs]}
  out: {type: file, inputs: [parse], path: out/good.ndjson}
dead_letter: {type: file, path: out/bad.ndjson, sync: true}
";

#[tokio::test(start_paused = true)]
async fn every_record_is_in_one_of_two_files() {
    let world = World::new();
    let mut graph = world
        .plan(TOPOLOGY)
        .unwrap_or_else(|refused| panic!("{refused}"))
        .graph;
    let mut payloads = source::hostile();
    payloads.extend(source::ordinary());
    let count = payloads.len();
    graph.spouts[0].start = source::start(payloads.clone(), true);
    let local = LocalSet::new();
    let running = start_here(graph, true, &local).expect("starts");
    assert_eq!(local.run_until(running.finished()).await, Finish::Drained);

    let lines = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(world.directory().join(name)).expect("is written");
        text.lines().map(str::to_owned).collect()
    };
    let good = lines("out/good.ndjson");
    for line in &good {
        assert_eq!(
            json::scan_object(line.as_bytes(), |_| {}).err(),
            None,
            "{line}"
        );
    }
    let bad = lines("out/bad.ndjson");
    let bad: Vec<Value> = bad
        .iter()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect();
    let account = running.account(0);
    assert_eq!(
        (good.len() as u64, bad.len() as u64),
        (account.delivered, account.dead_lettered)
    );
    assert_eq!(good.len() + bad.len(), count);

    let by_offset: BTreeMap<i64, &Value> = bad
        .iter()
        .map(|letter| (letter["offset"].as_i64().expect("has one"), letter))
        .collect();
    assert_eq!(by_offset.len(), bad.len(), "one letter for each record");
    for (offset, letter) in by_offset {
        assert_eq!(letter["dead_letter"], 1);
        assert_eq!(
            (&letter["topology"], &letter["bolt"]),
            (&"suite".into(), &"parse".into())
        );
        assert_eq!(
            (&letter["class"], &letter["attempts"]),
            (&"invalid_json".into(), &1.into())
        );
        let payload = payloads[offset as usize].as_deref();
        match payload.map(std::str::from_utf8) {
            None => assert_eq!(letter["payload"], Value::Null),
            Some(Ok(text)) => assert_eq!(letter["payload"], text),
            Some(Err(_)) => {
                assert!(letter["payload_base64"].is_string() && letter.get("payload").is_none())
            }
        }
    }
}

#[test]
fn standard_output_can_take_dead_letters() {
    let topology = TOPOLOGY.replace(
        "{type: file, path: out/bad.ndjson, sync: true}",
        "{type: console}",
    );
    let plan = World::new().plan(&topology);
    assert!(plan.is_ok(), "{}", plan.err().unwrap_or_default());
}
