//! `isobar offsets` against a real group: shown, moved, refused while it runs, taken back.

use std::time::Duration;

use serde_json::Value;
use testkit::isobar::{Finished, Setup};

use crate::support::{Steps, kafka_with_records};

const LIMIT: Duration = Duration::from_secs(60);
/// Offsets 0 to 499 in each of two partitions.
const RECORDS: u64 = 1_000;

const TOPOLOGY: &str = "\
isobar: 1
name: moved
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  end: {type: blackhole, inputs: [logs], on_rejected: drop}
";

fn offsets(setup: &Setup, arguments: &[&str]) -> Finished {
    let (action, rest) = arguments.split_first().expect("an action");
    let command: Vec<&str> = ["offsets", action].iter().chain(rest).copied().collect();
    setup.finish(&command, LIMIT).expect("it ends")
}

fn changed(finished: &Finished) -> Value {
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).expect("JSON")
}

fn refused(finished: &Finished, part: &str) {
    assert_ne!(finished.status.code(), Some(0), "{}", finished.stdout);
    assert!(finished.stderr.contains(part), "{}", finished.stderr);
}

/// Reads to the end and returns how many records that took.
fn read(setup: &Setup) -> u64 {
    let command = [
        "run",
        "--exit-when-caught-up",
        "--http",
        "off",
        "-o",
        "json",
    ];
    let report = changed(&setup.finish(&command, LIMIT).expect("it ends"));
    let read = report["accounting"]["total"]["read"].as_u64();
    read.expect("a number")
}

#[test]
fn a_group_is_moved_and_moved_back_and_never_while_it_runs() {
    let mut steps = Steps::new("offsets");
    let kafka = kafka_with_records(2, RECORDS);
    let setup = Setup::new(TOPOLOGY)
        .expect("a directory")
        .environment("KAFKA", kafka.brokers());
    let committed = || kafka.committed("moved", "logs").expect("it answers");
    assert_eq!(read(&setup), RECORDS);
    steps.done("start Kafka, read all");

    // Shown only, at first.
    let dry = changed(&offsets(
        &setup,
        &["reset", "--to", "earliest", "-o", "json"],
    ));
    assert_eq!(
        (&dry["changed"], &dry["partitions"][1]["after"]),
        (&false.into(), &0.into())
    );
    assert_eq!(committed(), [Some(500), Some(500)]);
    // Outside of the log there is nothing to read.
    refused(
        &offsets(&setup, &["reset", "--to", "501"]),
        "beyond the end of the log, 500",
    );
    refused(
        &offsets(&setup, &["reset", "--to", "2026-01-31"]),
        "has no zone",
    );
    refused(
        &offsets(&setup, &["reset", "--to", "1", "--partitions", "2"]),
        "no partition 2",
    );

    let one = [
        "reset",
        "--to",
        "400",
        "--partitions",
        "1",
        "--save",
        "one.json",
        "--execute",
    ];
    let _ = changed(&offsets(
        &setup,
        &[one.as_slice(), &["-o", "json"]].concat(),
    ));
    assert_eq!(committed(), [Some(500), Some(400)]);
    let undo = [
        "undo",
        "--from",
        "one.json",
        "--save",
        "undo.json",
        "--execute",
        "-o",
        "json",
    ];
    let _ = changed(&offsets(&setup, &undo));
    assert_eq!(committed(), [Some(500), Some(500)]);
    steps.done("move, move back");

    // The old offsets are never written over, and nothing changes before they are saved.
    refused(&offsets(&setup, &one), "one.json: cannot be written");
    assert_eq!(committed(), [Some(500), Some(500)]);
    let again = [
        "reset",
        "--to",
        "400",
        "--save",
        "again.json",
        "--execute",
        "-o",
        "json",
    ];
    let _ = changed(&offsets(&setup, &again));
    assert_eq!(read(&setup), 200);
    let undo = ["undo", "--from", "again.json", "--execute"];
    refused(&offsets(&setup, &undo), "it has gone on since");
    steps.done("move, read on");

    assert!(
        offsets(&setup, &["export", "--out", "all.json"])
            .status
            .success()
    );
    // A wrong year must not skip all that is there.
    refused(
        &offsets(&setup, &["reset", "--to", "2100-01-01T00:00:00Z"]),
        "the time is in the future",
    );
    let mut isobar = setup.start().expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let show = changed(&offsets(isobar.setup(), &["show", "-o", "json"]));
    assert_eq!(
        (&show["state"], &show["members"]),
        (&"Stable".into(), &1.into())
    );
    refused(&offsets(isobar.setup(), &again), "Stable with 1 members");
    assert!(isobar.stop(LIMIT).expect("it ends").success());
    let import = [
        "import",
        "--from",
        "all.json",
        "--execute",
        "--save",
        "x.json",
        "-o",
        "json",
    ];
    let _ = changed(&offsets(isobar.setup(), &import));
    assert_eq!(committed(), [Some(500), Some(500)]);
    steps.done("refused while it runs");

    let setup = Setup::new(TOPOLOGY).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("PLACE", "100");
    let printed = setup.runbook("move-a-group.md", LIMIT);
    let printed = printed.expect("its commands succeed");
    assert!(printed.contains("400 again"), "{printed}");
    assert_eq!(committed(), [Some(500), Some(500)]);
    steps.done("the runbook");
}
