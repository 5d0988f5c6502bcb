//! A replay of a window of which an index was deleted, as a lifecycle does: it comes back only where somebody
//! says so. The topology writes a copy elsewhere, which the replay leaves out and does not count.

use serde_json::Value;
use testkit::isobar::Setup;
use testkit::services::{Kafka, Search};

use super::{LIMIT, json_of, refused, run};
use crate::support::{Steps, catch_up, topology};

const RECORDS: u64 = 1_000;
/// Of those, in the index that is deleted: one in fifty.
const DELETED: u64 = 20;

pub(super) fn what_a_lifecycle_has_deleted_stays_so_unless_it_is_asked_for(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    kafka
        .create_topic("windows", 2, &[])
        .expect("it is created");
    kafka
        .produce_json("windows", 2, 0..RECORDS)
        .expect("all is acknowledged");
    let live = topology("windows", ", on_full: drop_newest")
        .replace("topics: [logs]", "topics: [windows]")
        .replace(
            "logs-{{ event_time.format('%Y.%m.%d') }}",
            "windows-{{ doc.level }}",
        )
        .replace("inputs: [parse]", "inputs: [find]")
        .replace(
            "dead_letter:",
            "  find: {type: lookup, inputs: [parse], file: hosts.csv, key: host, from: doc.host}
  copy: {type: file, path: copy.ndjson, inputs: [enrich]}\ndead_letter:",
        );
    let table = "host,zone\nweb-07,east\n";
    let setup = Setup::new(&live).and_then(|setup| setup.file("hosts.csv", table));
    let setup = setup
        .expect("a directory")
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().delivered, RECORDS);
    let client = search.client();
    let indices = || {
        let all = client.json("GET", "/_cat/indices/windows-*?format=json&h=index", None);
        let all = all.expect("it answers");
        let names = all.as_array().into_iter().flatten();
        let names: Vec<String> = names.map(|one| one["index"].to_string()).collect();
        names
    };
    let plan = |more: &[&str]| {
        let range = ["--from", "earliest", "--to", "now", "--target", "missing"];
        let command = [&["replay", "plan"][..], &range, more].concat();
        setup.finish(&command, LIMIT).expect("it ends")
    };

    let closed = client.json("POST", "/windows-error/_close", None);
    let _ = closed.expect("it is closed");
    let planned = plan(&[]);
    assert_eq!(planned.status.code(), Some(3), "{}", planned.stderr);
    for said in [
        "  2 of its indices exist\n  windows-error takes no documents: closed\n",
        "Note: windows-error takes no documents (closed): those of the range that go there would wait",
    ] {
        assert!(planned.stdout.contains(said), "{}", planned.stdout);
    }
    for note in [
        "hosts.csv, which was written at 20",
        "Note: logs drops records that come too fast when it is live (`on_full`)",
    ] {
        assert!(planned.stdout.contains(note), "{}", planned.stdout);
    }
    client.delete_index("windows-error").expect("it is deleted");

    // The sample is not what it goes by.
    let narrowed = plan(&["--out", "narrow.json", "--rate", "2000", "--sample", "0"]);
    let text = &narrowed.stdout;
    assert_eq!(narrowed.status.code(), Some(3), "{text}");
    for said in [
        "windows-error does not exist: documents for it are left out, unless --create-missing has it made\n",
        "Offsets in all: 1,000\nRecords in all: 1,000, 42",
        "At 2,000 records a second that takes 500 ms\n",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:01:39.9Z",
    ] {
        assert!(text.contains(said), "no {said} in:\n{text}");
    }
    refused(&run(&setup, &["narrow.json", "--yes"]), "--accept-narrowed");
    let ran = run(
        &setup,
        &["narrow.json", "--yes", "--accept-narrowed", "-o", "json"],
    );
    assert_eq!(ran.status.code(), Some(3), "{}\n{}", ran.stdout, ran.stderr);
    let said = "20 records are left out, as the index of a document does not exist";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    let ran: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let total = &ran["run"]["accounting"]["total"];
    let dropped = serde_json::json!({"index.missing_index": DELETED});
    assert_eq!(
        (&total["already_present"], &total["dropped_by_policy"]),
        (&(RECORDS - DELETED).into(), &dropped)
    );
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    assert_eq!(indices(), ["\"windows-info\""]);
    let plan_file = setup.topology().with_file_name("narrow.json");
    let planned: Value =
        serde_json::from_slice(&std::fs::read(plan_file).expect("it is there")).expect("JSON");
    let group = planned["group"].as_str().expect("a group");
    let left = kafka.committed(group, "windows").expect("it answers");
    assert_eq!(left, [None; 2], "no group is left");

    let whole = plan(&["--out", "whole.json", "--create-missing"]);
    assert_eq!(whole.status.code(), Some(0), "{}", whole.stdout);
    let made = "windows-error does not exist, and is made\n";
    assert!(whole.stdout.contains(made), "{}", whole.stdout);
    let of_table = setup.topology().with_file_name("hosts.csv");
    std::fs::write(&of_table, "host,zone\nweb-07,west\n").expect("written");
    refused(
        &run(&setup, &["whole.json", "--yes"]),
        "hosts.csv has changed since the plan was made",
    );
    std::fs::write(&of_table, table).expect("written");
    let ran = json_of(&run(&setup, &["whole.json", "--yes", "-o", "json"]));
    let total = &ran["run"]["accounting"]["total"];
    assert_eq!(total["delivered"], DELETED);
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    assert_eq!(indices().len(), 2);
    client.refresh("windows-*").expect("it refreshes");
    assert_eq!(client.count("windows-*").expect("it counts"), RECORDS);
    steps.done("replay a window without one of its indices");
}
