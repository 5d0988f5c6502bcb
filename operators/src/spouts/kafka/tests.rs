//! What is said of a spout before it starts. How it reads is tested end to end: librdkafka's stand-in
//! cluster has no controller and never answers what ids its topics have.

use std::path::Path;

use isobar_topology::spec::{Node, Problems, Spec};
use isobar_topology::{Plan, plan};
use serde_json::{Value, json};

use crate::registry;

fn planned(brokers: &str, spout: Value) -> Result<Plan, Problems> {
    let end = json!({"type": "blackhole", "inputs": ["in"], "on_rejected": "drop"});
    planned_to(brokers, spout, end)
}

fn planned_to(brokers: &str, spout: Value, end: Value) -> Result<Plan, Problems> {
    let mut all = json!({"type": "kafka", "connection": "kafka"});
    let given = spout.as_object().expect("a mapping").clone();
    all.as_object_mut().expect("a mapping").extend(given);
    let file = json!({
        "isobar": 1, "name": "logs",
        "connections": {"kafka": {"type": "kafka", "brokers": brokers}},
        "spouts": {"in": all},
        "bolts": {"end": end},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("the file is sound");
    plan(&spec, &registry(), 2, Path::new("."))
}

#[test]
fn options_that_cannot_work_are_found_before_anything_starts() {
    let check = |spout: Value, expected: &[&str]| {
        let problems = planned("localhost:1", spout)
            .map(|_| ())
            .expect_err("it cannot work");
        let lines = problems.to_string();
        assert_eq!(lines.lines().count(), expected.len(), "{lines}");
        for (line, part) in lines.lines().zip(expected) {
            assert!(line.contains(part), "{line}");
        }
    };
    check(
        json!({"topics": ["a b", "^("], "start": "earliest", "group": "", "commit_interval": "1ms",
            "options": {"group.id": "x", "fetch.min.bytess": 1}}),
        &[
            "spouts.in.commit_interval: 1ms is out of range; expected from 100ms to 1h",
            "spouts.in.group: give the consumer group a name",
            "spouts.in.options[\"fetch.min.bytess\"]: fetch.min.bytess is not a setting of librdkafka; did you mean fetch.min.bytes?",
            "spouts.in.options[\"group.id\"]: group.id is set by Isobar",
            "spouts.in.topics: \"^(\" is no pattern",
            "spouts.in.topics: \"a b\" contains ' '",
        ],
    );
    check(
        json!({"topics": ["a"], "start": "earliest", "group_protocol": "consumer",
            "options": {"session.timeout.ms": 6000}}),
        &["spouts.in.options[\"session.timeout.ms\"]: session.timeout.ms is set at the brokers"],
    );
    check(
        json!({"topics": ["a", "a"], "start": "earliest"}),
        &["spouts.in.topics: \"a\" is named twice"],
    );
    check(
        json!({"topics": ["a"], "start": "earliest", "options": {"session.timeout.ms": 600_000}}),
        &["spouts.in.options: `max.poll.interval.ms`"],
    );
    check(
        json!({"topics": ["a"], "start": "earliest", "revoke_drain_timeout": "10m",
            "batch_bytes_max": "100GiB", "queue_size": "1KiB", "max_in_flight_bytes": 0}),
        &[
            "spouts.in.batch_bytes_max: 100GiB is out of range; expected from 1KiB to 256MiB",
            "spouts.in.max_in_flight_bytes: 0 is out of range; expected from 1KiB to 1024GiB",
            "spouts.in.queue_size: 1KiB is out of range; expected from 1MiB to 1024GiB",
            "spouts.in.revoke_drain_timeout: 10m is out of range; expected from 0ms to 30s",
        ],
    );
    check(json!({"topics": ["a"]}), &["start"]);
    check(
        json!({"topics": ["a"], "start": "2026-01-01"}),
        &["write earliest, latest, or a time"],
    );
}

#[test]
fn a_topic_is_not_read_and_written_by_one_topology() {
    for (topics, topic, is_round) in [
        (json!(["a"]), "b", false),
        (json!(["^a.*"]), "ba", false),
        (json!(["b", "a"]), "a", true),
        (json!(["^a.*"]), "a-dead", true),
    ] {
        let spout = json!({"topics": topics, "start": "earliest"});
        let end = json!({
            "type": "kafka", "connection": "kafka", "inputs": ["in"], "topic": topic,
            "value": "payload", "on_rejected": "drop",
        });
        let planned = planned_to("localhost:1", spout, end).map(|_| ());
        let said = planned.map_err(|problems| problems.to_string());
        let expected = format!(
            "bolts.end.topic: `in` reads the topic {topic} too: records would come round for ever; expected a topic that it does not read"
        );
        assert_eq!(said, if is_round { Err(expected) } else { Ok(()) });
    }
}

#[test]
fn the_bound_on_memory_leaves_room_for_the_rest_of_a_topology() {
    let spout = json!({"topics": ["a"], "start": "earliest"});
    let memory = planned("localhost:1", spout).expect("sound").report.memory;
    assert!(memory.clients + memory.in_flight <= 192 << 20, "{memory:?}");
    // Nothing that is held grows with the number of lanes without being told.
    let eight = json!({"topics": ["a"], "start": "earliest", "batch_bytes_max": "8MiB"});
    let more = planned("localhost:1", eight).expect("sound").report.memory;
    assert!(
        more.clients >= memory.clients + 2 * 6 * (7 << 20),
        "{more:?}"
    );
}
