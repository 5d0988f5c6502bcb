//! Dead letters that go through again once their cause is mended.

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::isobar::Setup;
use testkit::services::kafka::Sent;
use testkit::services::{Kafka, Search};
use testkit::{http, ports, wait};

use super::LIMIT;
use crate::support::{Steps, catch_up, topology};

/// Records that a mistake in the topology rejects.
pub(super) const REJECTS: u64 = 10_000;

pub(super) fn dead_letters_are_redriven_until_none_is_open(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    for topic in ["rejects", "dead"] {
        kafka.create_topic(topic, 2, &[]).expect("it is created");
    }
    kafka
        .produce_json("rejects", 2, 0..REJECTS)
        .expect("all is acknowledged");
    let sound = topology("redriven", "")
        .replace("topics: [logs]", "topics: [rejects]")
        .replace("index: \"logs-", "index: \"redriven-")
        .replace(
            "{type: file, path: dead-letters.ndjson}",
            "{type: kafka, connection: kafka, topic: dead}",
        );
    let mistaken = sound.replace("event_time: timestamp", "event_time: time");
    let setup = Setup::new(&mistaken).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().dead_lettered, REJECTS);
    let live = kafka.committed("redriven", "rejects").expect("it answers");
    std::fs::write(setup.topology(), &sound).expect("written");
    steps.done("reject all");

    let printed = setup
        .runbook("redrive-dead-letters.md", LIMIT)
        .expect("its commands succeed");
    for expected in [
        "10,000 records, by their 10,000 open dead letters in dead",
        "10 records: 10 in the index, 0 rejected again",
        "9,990 records: 9,990 in the index, 0 rejected again",
        "Verified: exact",
    ] {
        assert!(printed.contains(expected), "no {expected} in:\n{printed}");
    }
    let dlq = |arguments: &[&str], code: i32| {
        let command: Vec<&str> = ["dlq"].iter().chain(arguments).copied().collect();
        let finished = setup.finish(&command, LIMIT).expect("it ends");
        let (text, log) = (&finished.stdout, &finished.stderr);
        assert_eq!(finished.status.code(), Some(code), "{text}\n{log}");
        serde_json::from_str::<Value>(text).expect("JSON")
    };
    let stats = dlq(&["stats", "-o", "json"], 0);
    let counts = (&stats["letters"], &stats["resolved"]);
    assert_eq!(counts, (&0.into(), &REJECTS.into()), "{stats}");
    let none = dlq(&["list", "-o", "json"], 0);
    assert_eq!(none["letters"].as_array().map(Vec::len), Some(0));
    let client = search.client();
    client.refresh("redriven-*").expect("it refreshes");
    let fields = ["number", "_isobar.t", "_isobar.p", "_isobar.o"];
    let documents = client.dump("redriven-*", &fields).expect("it answers");
    let mut seen = BTreeSet::new();
    for document in documents {
        let number = document.fields["number"].as_u64().expect("a number");
        let origin = json!({"t": "rejects", "p": number % 2, "o": number / 2});
        assert_eq!(document.fields["_isobar"], origin);
        assert!(seen.insert(number), "{number} is there twice");
    }
    assert_eq!(seen.len() as u64, REJECTS);
    let after = kafka.committed("redriven", "rejects").expect("it answers");
    assert_eq!(after, live, "the live group is untouched");
    // A group that reads all from the start finds nothing to do: the ids are those that it gives.
    let afresh = Setup::new(&sound.replace("name: redriven", "name: afresh"));
    let afresh = afresh
        .expect("a directory")
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&afresh, &[]).total().already_present, REJECTS);
    steps.done("redrive all");
    records_are_redriven_to_where_the_cluster_makes_the_ids(kafka, search, &sound, steps);

    // What nobody can repair comes back as often as it may, and no more.
    let value = |value: &str| Sent {
        partition: Some(0),
        key: None,
        value: Some(value.into()),
        timestamp: None,
    };
    kafka
        .produce("rejects", ["no JSON", "{"].map(value))
        .expect("sent");
    assert_eq!(catch_up(&setup, &[]).total().dead_lettered, 2);
    let redrive = ["redrive", "--yes", "--redrives-max", "1", "-o", "json"];
    let ran = dlq(&redrive, 3);
    let total = &ran["run"]["accounting"]["total"];
    assert_eq!(
        (
            &total["read"],
            &total["dead_lettered"],
            &total["difference"]
        ),
        (&2.into(), &2.into(), &0.into())
    );
    assert_eq!(ran["verification"]["rejected_again"], 2, "{ran}");
    let list = dlq(&["list", "-o", "json"], 0);
    let letters = list["letters"].as_array().expect("a list");
    assert_eq!(letters.len(), 2, "{list}");
    assert!(letters.iter().all(|letter| letter["redrives"] == 1));
    check_exported(&setup, letters.len());
    let left_out = dlq(&redrive, 3);
    let plan = &left_out["plan"];
    assert_eq!(
        (&plan["records"], &plan["left_out"]["redriven_too_often"]),
        (&0.into(), &2.into())
    );
    let offset = REJECTS / 2;
    let setup = setup
        .environment("TOPIC", "rejects")
        .environment("OFFSET", &offset.to_string());
    let text = setup.runbook("poison-record.md", LIMIT);
    let text = text.expect("its commands succeed");
    let record = format!("rejects/0@{offset}\n  no JSON\n");
    for expected in [record.as_str(), "a dead letter, rejected by parse"] {
        assert!(text.contains(expected), "no {expected} in:\n{text}");
    }
    let text = setup.runbook("game-day.md", LIMIT);
    let _ = text.expect("its commands succeed");
    steps.done("redrive what cannot be repaired");
}

/// What was rejected was not stored, so nothing is stored twice although nothing protects against that.
fn records_are_redriven_to_where_the_cluster_makes_the_ids(
    kafka: &Kafka,
    search: &Search,
    sound: &str,
    steps: &mut Steps,
) {
    for topic in ["autos", "autos.dead"] {
        kafka.create_topic(topic, 1, &[]).expect("it is created");
    }
    kafka
        .produce_json("autos", 1, 0..20)
        .expect("all is acknowledged");
    let sound = sound
        .replace("name: redriven", "name: autos")
        .replace("topics: [rejects]", "topics: [autos]")
        .replace("topic: dead", "topic: autos.dead")
        .replace(
            "    index: \"redriven-",
            "    id: auto\n    index: \"autos-",
        );
    let mistaken = sound.replace("event_time: timestamp", "event_time: time");
    let setup = Setup::new(&mistaken).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().dead_lettered, 20);
    std::fs::write(setup.topology(), &sound).expect("written");
    let again = ["replay", "plan", "--from", "earliest", "--to", "now"];
    let again = [&again[..], &["--target", "missing"]].concat();
    let again = setup.finish(&again, LIMIT).expect("it ends");
    super::refused(&again, "made by the cluster");
    let redrive = ["dlq", "redrive", "--yes", "-o", "json"];
    let ran = super::json_of(&setup.finish(&redrive, LIMIT).expect("it ends"));
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    assert_eq!(ran["verification"]["in_index"], 20, "{ran}");
    let client = search.client();
    client.refresh("autos-*").expect("it refreshes");
    assert_eq!(client.count("autos-*").expect("it counts"), 20);
    steps.done("redrive to where the cluster makes the ids");
}

/// The standing exporter says how many letters are open, and since when the topic's oldest one is.
fn check_exported(setup: &Setup, open: usize) {
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let exporter = setup.begin(&["lag", "--serve", &address]);
    let mut exporter = exporter.expect("it starts");
    let labels = "{topology=\"redriven\",topic=\"dead\"}";
    wait::until("the open letters", LIMIT, || {
        let text = http::get(&address, "/metrics")?.text();
        let count = format!("isobar_dead_letters_open{labels} {open}\n");
        ensure!(text.contains(&count), "{text}");
        let age = format!("isobar_dead_letters_oldest_open_age_seconds{labels} ");
        ensure!(text.contains(&age), "{text}");
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    let status = exporter.stop(LIMIT).expect("it ends");
    assert_eq!(status.code(), Some(0));
}
