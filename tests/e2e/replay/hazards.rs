//! What happens to the log under a plan: records that are deleted while they are read, and a transaction that is
//! still open.

use std::fs::File;

use anyhow::ensure;
use serde_json::Value;
use testkit::services::kafka::Sent;
use testkit::services::{Kafka, Search};
use testkit::{records, wait};

use super::{LIMIT, committed, json_of, plan, run};
use crate::support::{Steps, dead_letters, setup};

/// Five times as much as is fetched beforehand.
const RECORDS: u64 = 12_000;
/// What is left of them when the rest is deleted.
const LEFT: u64 = 1_000;
const FEW: &str = ", queue_size: 1MiB, commit_interval: 500ms";

fn sent(value: Vec<u8>) -> Sent {
    Sent {
        partition: Some(0),
        value: Some(value),
        ..Sent::default()
    }
}

/// A topic `logs` of one partition, with records that are deleted while a replay reads them: it goes on, says
/// how many are lost, and does not call that well.
pub(super) fn records_that_are_deleted_under_a_run_are_told_as_lost(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    kafka
        .produce_in_batches("logs", 100, (0..RECORDS).map(records::json).map(sent))
        .expect("all is acknowledged");
    let setup = setup(kafka, &search.url(), "deleted", FEW);
    let planned = plan(&setup, "index=deleted-under-it", "deleted.json");
    let group = planned["group"].as_str().expect("a group");
    let command = ["replay", "run", "deleted.json", "--yes", "--rate", "300"];
    let command = [&command[..], &["--report", "ticket.json", "-o", "json"]].concat();
    let mut process = setup.begin_alone(&command).expect("it starts");
    wait::until("progress", LIMIT, || {
        process.check_running()?;
        let settled = super::kills::settled(kafka, group);
        ensure!(settled > 0, "nothing is settled");
        Ok(())
    })
    .expect("it gets on");
    let end = kafka.end_offsets("logs").expect("the broker answers")[0];
    let left = i64::try_from(LEFT).expect("few");
    kafka
        .delete_records("logs", 0, end - left)
        .expect("they are deleted");
    let status = process.wait(LIMIT).expect("it ends");
    assert_eq!(status.code(), Some(3), "{}", process.log_tail());
    let ticket = setup.topology().with_file_name("ticket.json");
    let ticket = std::fs::read_to_string(ticket).expect("it is written");
    let ticket: Value = serde_json::from_str(&ticket).expect("JSON");
    let partition = &ticket["run"]["partitions"][0];
    let number = |name: &str| partition[name].as_u64().expect("a number");
    let (read, lost) = (number("read"), number("lost"));
    assert!(lost > 0 && read >= LEFT, "{ticket}");
    assert_eq!(read + lost, RECORDS, "{ticket}");
    assert_eq!(
        ticket["verification"]["partitions"][0]["others"]["lost"],
        lost
    );
    assert_eq!(
        committed(kafka, group),
        [None],
        "no group is left, although that is not well"
    );
    steps.done("records that are deleted under a run");
}

/// What a run counted that was stopped in order, or killed, is known to the one that goes on: the check is exact
/// although a record is dead-lettered, and others are taken back.
pub(super) fn a_run_that_was_stopped_killed_and_resumed_is_verified_exactly(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    kafka
        .produce("logs", [sent(b"no JSON".to_vec())])
        .expect("it is acknowledged");
    let aborted = (0..3).map(records::json).map(sent);
    kafka
        .produce_transaction("logs", aborted, false)
        .expect("sent and taken back");
    let setup = setup(kafka, &search.url(), "stopped", FEW);
    // As a live topology does it that writes its own letters there.
    let live = setup.topology().with_file_name("dead-letters.ndjson");
    let live = File::create(live).expect("a new file");
    live.try_lock().expect("nobody else writes to it");
    let planned = plan(&setup, "index=stopped", "stopped.json");
    let id = planned["id"].as_str().expect("an id");
    let group = planned["group"].as_str().expect("a group");
    // The log does not begin with 0 any more.
    let from = planned["partitions"][0]["from"].as_u64();
    let from = from.expect("an offset");
    let command = ["replay", "run", "stopped.json", "--yes", "--rate", "100"];
    let mut process = setup.begin_alone(&command).expect("it starts");
    wait::until("progress", LIMIT, || {
        process.check_running()?;
        let settled = super::kills::settled(kafka, group);
        ensure!(settled > from, "nothing behind {from} is settled");
        Ok(())
    })
    .expect("it gets on");
    let status = process.stop(LIMIT).expect("it ends in order");
    assert_eq!(status.code(), Some(1), "{}", process.log_tail());
    let before = super::kills::settled(kafka, group);
    let command = [&command[..], &["--resume"]].concat();
    let mut process = setup.begin_alone(&command).expect("it starts");
    wait::until("more progress", LIMIT, || {
        process.check_running()?;
        let settled = super::kills::settled(kafka, group);
        ensure!(settled > before, "nothing behind {before} is settled");
        Ok(())
    })
    .expect("it gets on");
    process.kill9();
    let resumed = run(&setup, &["stopped.json", "--yes", "--resume", "-o", "json"]);
    let resumed = json_of(&resumed);
    let verified = &resumed["verification"]["partitions"][0];
    assert!(resumed["run"]["accounting"]["total"]["read"].as_u64() < Some(LEFT));
    assert_eq!(verified["verdict"], "exact", "{resumed}");
    let others = serde_json::json!({"dead_lettered": 1, "dropped": 0, "gaps": 4, "lost": 0});
    assert_eq!(verified["others"], others, "{resumed}");
    let own = format!("dead-letters.replay.{id}.ndjson");
    let letters = dead_letters(&setup.topology().with_file_name(own));
    assert!(!letters.is_empty());
    assert_eq!(live.metadata().expect("it is open").len(), 0);
    for letter in letters {
        assert_eq!(letter["topology"], group, "it says which run it is from");
    }
    steps.done("a run that is stopped, killed and resumed");
}

/// An open transaction holds back what is behind it: a plan says so, and does not wait for it.
pub(super) fn an_open_transaction_is_named_and_not_waited_for(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    let before = kafka.end_offsets("logs").expect("the broker answers")[0];
    let open = kafka.open_transaction("logs", (0..3).map(records::json).map(sent));
    let open = open.expect("sent");
    let setup = setup(kafka, &search.url(), "open", "");
    let behind = format!("offsets from {before} on are held back by an open transaction");
    let command = |to: &str, out: &str| {
        let range = ["--from", "earliest", "--to", to, "--target", "index=open"];
        let command = [&["replay", "plan"][..], &range, &["--out", out]].concat();
        setup.finish(&command, LIMIT).expect("it ends")
    };
    let narrowed = command(&(before + 3).to_string(), "narrow.json");
    assert_eq!(narrowed.status.code(), Some(3), "{}", narrowed.stderr);
    assert!(narrowed.stdout.contains(&behind), "{}", narrowed.stdout);
    let planned = command("now", "now.json");
    assert_eq!(planned.status.code(), Some(0), "{}", planned.stderr);
    assert!(planned.stdout.contains(&behind), "{}", planned.stdout);
    let ran = json_of(&run(&setup, &["now.json", "--yes", "-o", "json"]));
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    open.end(false).expect("it is taken back");
    steps.done("an open transaction");
}

/// What compaction has taken is a gap, also at the end of what is replayed.
pub(super) fn holes_of_compaction_are_gaps(kafka: &Kafka, search: &Search, steps: &mut Steps) {
    kafka.delete_topic("logs").expect("it is deleted");
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("segment.ms", "100"),
    ];
    kafka.create_topic("logs", 1, &settings).expect("created");
    let of_key = |key: &str, numbers: std::ops::Range<u64>| {
        let records = numbers.map(|number| Sent {
            key: Some(key.into()),
            ..sent(records::json(number))
        });
        kafka.produce("logs", records).expect("all is acknowledged");
    };
    of_key("a", 0..100);
    of_key("b", 100..200);
    of_key("a", 200..201);
    // What is written last is compacted only behind something else, and stays itself.
    let mut number = 201;
    let left = wait::until("compaction", LIMIT, || {
        wait::rest(std::time::Duration::from_millis(200));
        of_key("c", number..number + 1);
        number += 1;
        let left = kafka.consume_all("logs", LIMIT)?;
        let old = left.iter().filter(|record| record.offset < 201).count();
        ensure!(old == 2, "{old} of 2");
        Ok(left)
    })
    .expect("it is compacted");
    assert_eq!((left[0].offset, left[1].offset), (199, 200));
    let setup = setup(kafka, &search.url(), "compacted", "");
    let command = [
        "replay",
        "plan",
        "--from",
        "0",
        "--to",
        "199",
        "--target",
        "index=compacted",
        "--out",
        "hole.json",
    ];
    let planned = setup.finish(&command, LIMIT).expect("it ends");
    assert_eq!(planned.status.code(), Some(0), "{}", planned.stderr);
    let ran = json_of(&run(&setup, &["hole.json", "--yes", "-o", "json"]));
    let verified = &ran["verification"]["partitions"][0];
    assert_eq!(verified["others"]["gaps"], 199, "{ran}");
    assert_eq!(verified["verdict"], "exact", "{ran}");
    let planned = plan(&setup, "index=compacted", "whole.json");
    let offsets = planned["partitions"][0]["to"].as_u64().expect("an offset");
    let ran = json_of(&run(&setup, &["whole.json", "--yes", "-o", "json"]));
    let verified = &ran["verification"]["partitions"][0];
    let (found, gaps) = (&verified["in_index"], &verified["others"]["gaps"]);
    let sum = found.as_u64().zip(gaps.as_u64()).map(|(a, b)| a + b);
    assert_eq!(sum, Some(offsets), "{ran}");
    assert_eq!(verified["verdict"], "exact", "{ran}");
    steps.done("holes of compaction");
}
