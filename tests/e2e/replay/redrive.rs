//! Dead letters that go through again once their cause is mended.

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::isobar::{Finished, Setup};
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

    let setup = setup.environment("BOLT", "parse");
    let printed = setup
        .runbook("redrive-dead-letters.md", LIMIT)
        .expect("its commands succeed");
    for expected in [
        "10,000 records, by their 10,000 open dead letters in dead",
        "Entered at parse, and nowhere else\n",
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
    records_enter_at_the_bolt_that_rejected_them(kafka, search, steps);

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

/// What an index refused goes to the bolt that writes there: a filter before it, which would drop the records now,
/// is passed by, and another branch, which has stored them, does not get them once more.
fn records_enter_at_the_bolt_that_rejected_them(kafka: &Kafka, search: &Search, steps: &mut Steps) {
    for topic in ["entered", "entered.dead"] {
        kafka.create_topic(topic, 1, &[]).expect("it is created");
    }
    kafka
        .produce_json("entered", 1, 0..20)
        .expect("all is acknowledged");
    let client = search.client();
    let mapping = json!({"mappings": {"properties": {"level": {"type": "long"}}}});
    let _ = client
        .json("PUT", "/entered", Some(&mapping))
        .expect("it is made");
    let file = |keep_when: &str, bolt: &str, index: &str| {
        format!(
            "\
isobar: 1
name: entered
connections:
  kafka: {{type: kafka, brokers: \"${{KAFKA}}\"}}
  search: {{type: elasticsearch, hosts: \"${{ES}}\"}}
spouts:
  logs: {{type: kafka, connection: kafka, topics: [entered], start: earliest}}
bolts:
  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  copies: {{type: elasticsearch, connection: search, inputs: [parse], index: copies, id: auto, event_time_bounds: off}}
  some: {{type: filter, inputs: [parse], keep_when: \"{keep_when}\"}}
  {bolt}: {{type: elasticsearch, connection: search, inputs: [some], index: {index}, event_time_bounds: off}}
dead_letter: {{type: kafka, connection: kafka, topic: entered.dead}}
"
        )
    };
    let setup = Setup::new(&file("doc.number >= 0", "index", "entered")).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().dead_lettered, 20);
    let redrive = |more: &[&str]| {
        let command = [&["dlq", "redrive", "--at", "bolt"], more].concat();
        setup.finish(&command, LIMIT).expect("it ends")
    };
    let renamed = file("doc.number < 0", "index_2", "entered-2");
    std::fs::write(setup.topology(), renamed).expect("written");
    super::refused(
        &redrive(&["--yes"]),
        "the topology has no bolt index any more",
    );
    let repaired = file("doc.number < 0", "index", "entered-2");
    std::fs::write(setup.topology(), repaired).expect("written");
    one_that_is_killed_keeps_its_records_until_its_lease_is_over(&setup, &redrive);
    let ran = super::json_of(&redrive(&["--yes", "-o", "json"]));
    let entered = json!({"id": "index", "is_bolt": true, "runs_again": ["parse"], "may_part": [], "passed_by": ["some"]});
    assert_eq!(ran["plan"]["enters_at"], entered, "{ran}");
    assert_eq!(ran["run"]["accounting"]["total"]["read"], 20, "{ran}");
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    assert_eq!(ran["verification"]["in_index"], 20, "{ran}");
    // The same is said later, by the marks of the letters and the index.
    let id = ran["id"].as_str().expect("a name");
    let topology = setup.topology();
    let topology = topology.to_str().expect("text");
    let verify = ["dlq", "verify", topology, id, "-o", "json"];
    let verified = super::json_of(&setup.finish_alone(&verify, LIMIT).expect("it ends"));
    assert_eq!(verified["verification"], ran["verification"]);
    let listed = ["replay", "list", "-o", "json"];
    let listed = super::json_of(&setup.finish(&listed, LIMIT).expect("it ends"));
    let mut runs = listed["runs"].as_array().expect("a list").iter();
    let run = runs.find(|run| run["told"]["run"] == ran["id"]);
    let told = run.map(|run| (&run["state"], &run["told"]["why"]));
    assert_eq!(
        told,
        Some((&"done".into(), &"verified: exact".into())),
        "{listed}"
    );
    for index in ["entered-2", "copies"] {
        client.refresh(index).expect("it refreshes");
        assert_eq!(client.count(index).expect("it counts"), 20, "{index}");
    }
    let left = super::json_of(&redrive(&["--yes", "-o", "json"]));
    assert_eq!(left["plan"]["records"], 0, "{left}");
    steps.done("redrive at the bolt that rejected");
}

/// One that is paused: nobody else may take its records, and killed it has settled nothing.
fn one_that_is_killed_keeps_its_records_until_its_lease_is_over(
    setup: &Setup,
    redrive: &impl Fn(&[&str]) -> Finished,
) {
    let slow = [
        "dlq", "redrive", "--at", "bolt", "--yes", "--rate", "1", "-o", "json",
    ];
    let mut process = setup.begin(&slow).expect("it starts");
    wait::until("its claim", LIMIT, || {
        process.check_running()?;
        let list = setup.finish(&["replay", "list", "-o", "json"], LIMIT)?;
        let list: Value = serde_json::from_str(&list.stdout)?;
        ensure!(list["runs"][0]["state"] == "running", "{list}");
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    let paused = setup.finish(&["replay", "pause"], LIMIT).expect("it ends");
    assert!(
        paused.stdout.starts_with("Redrive entered.redrive."),
        "{}",
        paused.stdout
    );
    let beside = redrive(&["--yes"]);
    super::refused(
        &beside,
        "nothing was redriven: the redrive entered.redrive.",
    );
    process.kill9();
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
