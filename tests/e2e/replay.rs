//! A replay beside a topology: what was deleted comes back and nothing else changes, kills in the middle
//! leave nothing out, and a plan runs against what it was made for, or not at all.

mod api;
mod blocked;
mod dates;
pub(crate) mod deleted;
mod due;
mod hazards;
mod keyed;
pub(crate) mod kills;
mod missing_index;
mod page;
mod pins;
mod redrive;
mod rights;
mod runbooks;
mod twice;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use testkit::isobar::{Finished, Setup};
use testkit::services::kafka::Sent;
use testkit::services::{Kafka, Search};
use testkit::{records, wait};

use crate::support::{Steps, catch_up, check_exactly_once, setup, topology, with_search};
use redrive::REJECTS;

const LIMIT: Duration = Duration::from_secs(180);
const PARTITIONS: u64 = 4;
const RECORDS: u64 = 60_000;
/// Sent after the plan was made.
const LATER: u64 = 1_000;
const KILLS: u64 = 2;
/// Of a topic that was deleted since.
const FORMER: u64 = 1_000;

fn plan(setup: &Setup, target: &str, out: &str) -> Value {
    let command = [
        "replay", "plan", "--from", "earliest", "--to", "now", "--target", target, "--out", out,
        "-o", "json",
    ];
    json_of(&setup.finish(&command, LIMIT).expect("it ends"))
}

fn json_of(finished: &Finished) -> Value {
    let text = &finished.stdout;
    assert_eq!(
        finished.status.code(),
        Some(0),
        "{text}\n{}",
        finished.stderr
    );
    serde_json::from_str(text).expect("JSON")
}

fn run(setup: &Setup, arguments: &[&str]) -> Finished {
    let command = ["replay", "run"].iter().chain(arguments).copied();
    let command: Vec<&str> = command.collect();
    setup.finish_alone(&command, LIMIT).expect("it ends")
}

fn refused(finished: &Finished, part: &str) {
    assert_ne!(finished.status.code(), Some(0), "{}", finished.stdout);
    assert!(finished.stderr.contains(part), "{}", finished.stderr);
}

/// Deletes documents here and there, and returns their numbers.
fn delete_some(search: &Search) -> BTreeSet<u64> {
    let client = search.client();
    client.refresh("logs-*").expect("it refreshes");
    let mut lines = String::new();
    let mut deleted = BTreeSet::new();
    for document in client.dump("logs-*", &["number"]).expect("it answers") {
        let number = document.fields["number"].as_u64().expect("a number");
        if number * 7_919 % 101 == 13 {
            let action =
                serde_json::json!({"delete": {"_index": document.index, "_id": document.id}});
            writeln!(lines, "{action}").expect("it is text");
            let _ = deleted.insert(number);
        }
    }
    let answer = client.bulk(lines.as_bytes()).expect("it answers");
    assert_eq!(answer["errors"], false, "{answer}");
    client.refresh("logs-*").expect("it refreshes");
    deleted
}

fn committed(kafka: &Kafka, group: &str) -> Vec<Option<i64>> {
    kafka.committed(group, "logs").expect("the broker answers")
}

#[test]
fn replays_are_exact_and_heard_of_everywhere() {
    let mut steps = Steps::new("replay");
    let (kafka, search) = with_search(Kafka::start);
    kafka.create_topic("logs", 4, &[]).expect("it is created");
    kafka
        .produce_json("logs", 4, 0..RECORDS)
        .expect("all is acknowledged");
    steps.done("start, send");
    what_is_missing_comes_back_and_kills_leave_nothing_out(&kafka, &search, &mut steps);
    the_register_keeps_runs_apart_and_hears_operators(&kafka, &search, &mut steps);
    a_replay_waits_while_the_live_topology_is_behind(&kafka, &search, &mut steps);
    missing_index::what_a_lifecycle_has_deleted_stays_so_unless_it_is_asked_for(
        &kafka, &search, &mut steps,
    );
    let records = runbooks::run(&kafka, &search, RECORDS + LATER, &mut steps);
    the_runbook_brings_back_a_partition(&kafka, &search, records, &mut steps);
    dates::dates_that_no_clock_means_make_no_index(&kafka, &search, &mut steps);
    twice::what_an_alias_has_left_behind_is_not_stored_twice(&kafka, &search, &mut steps);
    twice::what_a_former_template_has_written_is_not_stored_twice(&kafka, &search, &mut steps);
    twice::documents_that_are_there_twice_are_no_good_end(&kafka, &search, &mut steps);
    keyed::an_older_record_takes_the_place_of_no_newer_one(&kafka, &search, &mut steps);
    blocked::an_index_that_takes_nothing_is_known_before_a_run(&kafka, &search, &mut steps);
    pins::a_plan_is_held_to_what_its_variables_said(&kafka, &search, &mut steps);
    api::a_running_topology_replays_by_its_api(&kafka, &search, records, &mut steps);
    redrive::dead_letters_are_redriven_until_none_is_open(&kafka, &search, &mut steps);
    a_data_stream_is_purged_and_written_anew(&kafka, &search, &mut steps);
    due::a_purge_is_not_begun_once_its_records_go_soon(&kafka, &search, &mut steps);
}

#[test]
fn replays_end_by_position_and_refuse_what_has_changed() {
    let mut steps = Steps::new("replay of logs that change");
    // Compaction begins at once, and not within 15 s.
    let settings = [("log.cleaner.backoff.ms", "200")];
    let (kafka, search) = with_search(|| Kafka::start_with(&settings));
    // Documents of a former topic stay in the index, and count for nothing.
    kafka.create_topic("logs", 1, &[]).expect("it is created");
    kafka
        .produce_json("logs", 1, 0..FORMER)
        .expect("all is acknowledged");
    let former = setup(&kafka, &search.url(), "former", "");
    assert_eq!(catch_up(&former, &[]).total().delivered, FORMER);
    steps.done("start, index a former topic");
    anew(&kafka);
    hazards::records_that_are_deleted_under_a_run_are_told_as_lost(&kafka, &search, &mut steps);
    hazards::a_run_that_was_stopped_killed_and_resumed_is_verified_exactly(
        &kafka, &search, &mut steps,
    );
    hazards::an_open_transaction_is_named_and_not_waited_for(&kafka, &search, &mut steps);
    hazards::holes_of_compaction_are_gaps(&kafka, &search, &mut steps);
    anew(&kafka);
    ranges_end_by_position_and_plans_refuse_what_has_changed(&kafka, &search, &mut steps);
}

/// The topic `logs` is another one from now on, of one partition.
fn anew(kafka: &Kafka) {
    kafka.delete_topic("logs").expect("it is deleted");
    kafka.create_topic("logs", 1, &[]).expect("it is created");
}

fn what_is_missing_comes_back_and_kills_leave_nothing_out(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    let setup = setup(kafka, &search.url(), "live", ", commit_interval: 500ms");
    assert_eq!(catch_up(&setup, &[]).total().delivered, RECORDS);
    let live = committed(kafka, "live");
    let deleted = delete_some(search).len() as u64;
    assert!(deleted > RECORDS / 110, "{deleted}");
    steps.done("index, delete some");

    let planned = plan(&setup, "missing", "plan.json");
    assert_eq!(planned["sinks"][0]["guarantee"], "exact");
    assert_eq!(planned["partition_counts"]["logs"], PARTITIONS);
    let ends = planned["sample"]["ends"].as_array().expect("a sample");
    assert_eq!(ends.len(), 10, "{planned}");
    for end in ends {
        let is = end["is"].as_str().expect("a word");
        assert!(["missing", "same"].contains(&is), "{end}");
    }
    let group = planned["group"].as_str().expect("a group").to_owned();
    kafka
        .produce_json("logs", 4, RECORDS..RECORDS + LATER)
        .expect("all is acknowledged");
    refused(&run(&setup, &["plan.json"]), "--yes runs the plan");
    let verified = ["replay", "verify", "plan.json"];
    let verified = setup.finish_alone(&verified, LIMIT).expect("it ends");
    assert_eq!(verified.status.code(), Some(4), "{}", verified.stdout);

    let ran = json_of(&run(&setup, &["plan.json", "--yes", "-o", "json"]));
    let total = &ran["run"]["accounting"]["total"];
    assert_eq!(total["read"], RECORDS);
    assert_eq!(total["delivered"], deleted);
    assert_eq!(total["already_present"], RECORDS - deleted);
    assert_eq!(ran["verification"]["verdict"], "exact");
    check_exactly_once(search, PARTITIONS, RECORDS);
    assert_eq!(
        committed(kafka, "live"),
        live,
        "the live group is untouched"
    );
    assert_eq!(committed(kafka, &group), [None; 4], "no group is left");
    steps.done("replay what is missing");

    let planned = plan(&setup, "index=again", "again.json");
    let group = planned["group"].as_str().expect("a group").to_owned();
    for kill in 1..=KILLS {
        let least = kill * 12_000;
        kills::kill_when(&setup, "again.json", || {
            let settled = kills::settled(kafka, &group);
            ensure!(settled >= least, "{settled} of {least}");
            Ok(())
        });
    }
    refused(
        &run(&setup, &["again.json", "--yes"]),
        "--resume goes on where it ended",
    );
    let ran = json_of(&run(
        &setup,
        &["again.json", "--yes", "--resume", "-o", "json"],
    ));
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    let client = search.client();
    assert_eq!(client.count("again").expect("it counts"), RECORDS + LATER);
    assert_eq!(committed(kafka, &group), [None; 4], "no group is left");
    assert_eq!(
        committed(kafka, "live"),
        live,
        "the live group is untouched"
    );
    steps.done("replay into another index, killed twice");
}

/// A replay under way, told from other processes; nothing else may read its records.
fn the_register_keeps_runs_apart_and_hears_operators(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    let setup = setup(kafka, &search.url(), "live", ", commit_interval: 500ms");
    let planned = plan(&setup, "index=register", "register.json");
    let (id, group) = (&planned["id"], planned["group"].as_str().expect("a group"));
    let later = plan(&setup, "index=beside", "beside.json");
    let command = ["replay", "run", "register.json", "--yes", "--rate", "2000"];
    let mut process = setup.begin_alone(&command).expect("it starts");
    let told = |command: &[&str]| {
        let command = [&["replay"][..], command, &["-o", "json"]].concat();
        json_of(&setup.finish(&command, LIMIT).expect("it ends"))
    };
    wait::until("progress", LIMIT, || {
        process.check_running()?;
        let sum: i64 = committed(kafka, group).into_iter().flatten().sum();
        anyhow::ensure!(sum > 0, "nothing is committed");
        Ok(())
    })
    .expect("it gets on");
    let beside = run(&setup, &["beside.json", "--yes"]);
    refused(&beside, "among which are some of these");

    let paused = told(&["pause"]);
    assert_eq!(
        (&paused["run"]["state"], &paused["run"]["told"]["run"]),
        (&"paused".into(), id)
    );
    // What was in flight is settled and committed; from then on nothing is.
    wait::rest(Duration::from_secs(3));
    let paused_at = kills::settled(kafka, group);
    wait::rest(Duration::from_secs(3));
    assert_eq!(kills::settled(kafka, group), paused_at);
    let resumed = told(&["resume"]);
    assert_eq!(resumed["run"]["state"], "running", "{resumed}");
    wait::until("more", LIMIT, || {
        process.check_running()?;
        ensure!(kills::settled(kafka, group) > paused_at, "it stands still");
        Ok(())
    })
    .expect("it goes on");
    let aborted = told(&["abort"]);
    assert_eq!(aborted["run"]["state"], "aborted", "{aborted}");
    let status = process.wait(LIMIT).expect("it ends");
    assert_eq!(status.code(), Some(1), "it was stopped");
    assert_eq!(committed(kafka, group), [None; 4], "no group is left");
    let runs = told(&["list"]);
    let states: BTreeSet<&str> = runs["runs"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|run| run["state"].as_str())
        .collect();
    assert_eq!(states, BTreeSet::from(["aborted", "done", "refused"]));
    let now = run(&setup, &["beside.json", "--yes"]);
    assert_eq!(now.status.code(), Some(0), "{}", now.stderr);
    let idle = "nobody reads for the live group, so there is nobody to yield to: this run has ";
    assert!(now.stderr.contains(idle), "{}", now.stderr);
    // As if it had been killed between its last word and the end of its group.
    let (id, group) = (later["id"].as_str(), later["group"].as_str());
    let (id, group) = (id.expect("an id"), group.expect("a group"));
    let left = kafka.commit(group, "logs", 0, 5, "");
    left.expect("it is committed");
    let forgotten = told(&["abort", "--run", id]);
    assert_eq!(forgotten["run"]["state"], "done", "{forgotten}");
    assert_eq!(committed(kafka, group), [None; 4], "no group is left");
    let again = setup.finish(&["replay", "abort", "--run", id], LIMIT);
    let again = again.expect("it ends");
    assert_eq!(again.status.code(), Some(2), "{}", again.stderr);
    let over = "is not under way: it is done";
    assert!(again.stderr.contains(over), "{}", again.stderr);
    steps.done("pause, resume and abort a replay, and keep another from its records");
}

/// A live topology that reaches no index is behind: a replay reads nothing beside it.
fn a_replay_waits_while_the_live_topology_is_behind(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    let stuck = setup(kafka, "http://127.0.0.1:1", "behind", "");
    let mut live = stuck.start().expect("it starts");
    let setup = setup(kafka, &search.url(), "behind", ", commit_interval: 500ms");
    let planned = plan(&setup, "index=behind", "behind.json");
    let group = planned["group"].as_str().expect("a group");
    let command = ["replay", "run", "behind.json", "--yes"];
    let command = [&command[..], &["--yield-to-live", "1s"]].concat();
    // It would not wait for a topology that nobody runs.
    wait::until("a member", LIMIT, || {
        let shown = setup.finish(&["offsets", "show", "-o", "json"], LIMIT)?;
        let shown: Value = serde_json::from_str(&shown.stdout)?;
        ensure!(
            shown["members"] == 1 && shown["state"] == "Stable",
            "{shown}"
        );
        Ok(())
    })
    .expect("it reads");
    let mut process = setup.begin_alone(&command).expect("it starts");
    wait::until("a pause", LIMIT, || {
        process.check_running()?;
        let command = ["replay", "status", "-o", "json"];
        let shown = setup.finish(&command, LIMIT)?;
        let shown: Value = serde_json::from_str(&shown.stdout)?;
        let why = shown["run"]["told"]["why"].as_str().unwrap_or_default();
        ensure!(why.contains(" behind, and it yields above"), "{shown}");
        Ok(())
    })
    .expect("it waits");
    wait::rest(Duration::from_secs(3));
    assert_eq!(kills::settled(kafka, group), 0, "not one record was read");
    let _ = live.stop(LIMIT).expect("it ends");
    let status = process.wait(LIMIT).expect("it ends");
    let told = std::fs::read_to_string(process.log()).expect("it is there");
    assert_eq!(status.code(), Some(0), "{told}");
    let narrow = "beside the live topology this run has 1 lane, a quarter";
    assert!(told.contains(narrow), "{told}");
    steps.done("a replay waits while the live topology is behind");
}

/// Thousands, as people are told them.
fn grouped(number: u64) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}

fn the_runbook_brings_back_a_partition(
    kafka: &Kafka,
    search: &Search,
    records: u64,
    steps: &mut Steps,
) {
    let setup = setup(kafka, &search.url(), "live", "").environment("PARTITION", "1");
    let deleted = delete_some(search).into_iter();
    let deleted = deleted.filter(|number| number % PARTITIONS == 1).count() as u64;
    let printed = setup
        .runbook("replay-a-partition.md", LIMIT)
        .expect("its commands succeed");
    let partition = records / PARTITIONS;
    for expected in [
        format!("Offsets in all: {}", grouped(partition)),
        "Verified: exact".to_owned(),
    ] {
        assert!(printed.contains(&expected), "no {expected} in:\n{printed}");
    }
    assert!(deleted > 0);
    let ticket = setup.topology().with_file_name("replay-ticket.md");
    let ticket = std::fs::read_to_string(ticket).expect("it is written");
    let row = format!("| logs/1 | 0 | {0} | {0} | {0} |", grouped(partition));
    for expected in ["# Replay ", " of live: exact\n", &row] {
        assert!(ticket.contains(expected), "no {expected} in:\n{ticket}");
    }
    steps.done("the runbook");
}

/// Goes on with the records of the redrive, the last two of which are no JSON.
fn a_data_stream_is_purged_and_written_anew(kafka: &Kafka, search: &Search, steps: &mut Steps) {
    let client = search.client();
    let template = serde_json::json!({"index_patterns": ["replayed"], "data_stream": {}});
    let _ = client
        .json("PUT", "/_index_template/replayed", Some(&template))
        .expect("it is there");
    let live = topology("purged", "")
        .replace("topics: [logs]", "topics: [rejects]")
        .replace(
            "index: \"logs-{{ event_time.format('%Y.%m.%d') }}\"",
            "data_stream: replayed",
        )
        .replace(
            "fields: {",
            "fields: {\"@timestamp\": \"{{ doc.timestamp }}\", ",
        );
    let setup = Setup::new(&live).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().delivered, REJECTS);
    // From now on the same ids would be stored once more.
    let _ = client
        .json("POST", "/replayed/_rollover", None)
        .expect("it is rolled over");
    let mended = live.replace("env: test", "env: mended");
    std::fs::write(setup.topology(), mended).expect("written");

    let command = |target| {
        let range = ["--from", "earliest", "--to", "now", "--partitions", "0"];
        let rest = ["--target", target, "--out", "purge.json"];
        let command = [&["replay", "plan"][..], &range, &rest].concat();
        setup.finish(&command, LIMIT).expect("it ends")
    };
    refused(
        &command("overwrite"),
        "delete the documents first with purge",
    );
    let planned = command("purge");
    assert_eq!(planned.status.code(), Some(0), "{}", planned.stderr);
    assert!(
        planned.stdout.contains("deleted first"),
        "{}",
        planned.stdout
    );
    // Exactly the field that the fix changes.
    let sampled =
        "\nSample of 10 records: 10 documents other than indexed\n  env changes in 10 documents\n";
    assert!(planned.stdout.contains(sampled), "{}", planned.stdout);
    let difference = "\n      ~ env: \"test\" → \"mended\"\n";
    assert_eq!(planned.stdout.matches(difference).count(), 10);
    std::fs::remove_file(setup.topology().with_file_name("purge.json")).expect("it is there");
    let missing = command("missing");
    assert_eq!(missing.status.code(), Some(3), "{}", missing.stderr);
    for note in [
        "10 documents of the sample differ from what is indexed, and the target `missing` leaves",
        "they would be there twice; purge deletes them first",
        " has 5,000 documents of the range, and what index writes goes to .ds-replayed-",
    ] {
        assert!(missing.stdout.contains(note), "{}", missing.stdout);
    }
    // So it is, and that is no good end of a replay.
    refused(&run(&setup, &["purge.json", "--yes"]), "--accept-narrowed");
    let doubled = run(&setup, &["purge.json", "--yes", "--accept-narrowed"]);
    assert_eq!(doubled.status.code(), Some(1), "{}", doubled.stdout);
    for said in ["Verified: wrong", "\nrejects/0: in two indices: 0, 1, 2, "] {
        assert!(doubled.stdout.contains(said), "{}", doubled.stdout);
    }
    std::fs::remove_file(setup.topology().with_file_name("purge.json")).expect("it is there");
    let planned = command("purge");
    assert_eq!(planned.status.code(), Some(0), "{}", planned.stderr);
    let ran = run(&setup, &["purge.json", "--yes", "-o", "json"]);
    assert!(
        ran.stderr
            .contains("10,000 documents of the range are deleted"),
        "{}",
        ran.stderr
    );
    let ran = json_of(&ran);
    assert_eq!(ran["run"]["accounting"]["total"]["delivered"], REJECTS / 2);
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    client.refresh("replayed").expect("it refreshes");
    assert_eq!(client.count("replayed").expect("it counts"), REJECTS);
    let mended = |partition: i32| {
        let query = serde_json::json!({"bool": {"filter": [
            {"term": {"env.keyword": "mended"}}, {"term": {"_isobar.p": partition}},
        ]}});
        client.count_where("replayed", &query).expect("it counts")
    };
    assert_eq!((mended(0), mended(1)), (REJECTS / 2, 0));
    steps.done("purge a partition of a data stream");
}

/// As behind a run that was killed: nobody knows what it has counted.
fn without_counts_the_brokers_say_what_is_no_record(setup: &Setup) {
    let report = setup.topology().with_file_name("plan.report.json");
    std::fs::remove_file(report).expect("it is there");
    let verify = |plan: &str| {
        let command = ["replay", "verify", plan];
        setup.finish_alone(&command, LIMIT).expect("it ends")
    };
    let found = verify("plan.json");
    assert_eq!(found.status.code(), Some(4), "{}", found.stdout);
    let only = "logs/0: without a document: 21\n";
    assert!(found.stdout.contains(only), "{}", found.stdout);
    // Before it are ten records, ten that were taken back, and their marker.
    let range = ["--from", "0", "--to", "21", "--target", "missing"];
    let command = [&["replay", "plan"][..], &range, &["--out", "before.json"]].concat();
    let planned = setup.finish(&command, LIMIT).expect("it ends");
    assert_eq!(planned.status.code(), Some(0), "{}", planned.stderr);
    let found = verify("before.json");
    assert_eq!(found.status.code(), Some(0), "{}", found.stdout);
}

fn ranges_end_by_position_and_plans_refuse_what_has_changed(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    // Ten records, ten that are aborted with their marker, one that no index takes, then markers alone.
    let value = |value: Vec<u8>| Sent {
        partition: Some(0),
        key: None,
        value: Some(value),
        timestamp: None,
    };
    let json = |numbers: Range<u64>| numbers.map(records::json).map(value);
    let aborted = |numbers| kafka.produce_transaction("logs", json(numbers), false);
    kafka.produce("logs", json(0..10)).expect("sent");
    aborted(10..20).expect("sent and taken back");
    kafka
        .produce("logs", [value(b"no JSON".to_vec())])
        .expect("sent");
    aborted(20..21).expect("sent and taken back");
    let setup = setup(kafka, &search.url(), "ends", "");
    let planned = plan(&setup, "missing", "plan.json");
    let ran = json_of(&run(&setup, &["plan.json", "--yes", "-o", "json"]));
    let verified = &ran["verification"]["partitions"][0];
    let offsets = planned["partitions"][0]["to"].as_i64().expect("an offset");
    let others =
        serde_json::json!({"dead_lettered": 1, "dropped": 0, "gaps": offsets - 11, "lost": 0});
    assert_eq!(
        (&verified["in_index"], &verified["others"]),
        (&10.into(), &others),
        "{ran}"
    );
    steps.done("end at markers");
    without_counts_the_brokers_say_what_is_no_record(&setup);
    steps.done("verify without the counts of a run");

    kafka
        .delete_records("logs", 0, 5)
        .expect("they are deleted");
    refused(&run(&setup, &["plan.json", "--yes"]), "the log has 5 to");
    let command = [
        "replay", "plan", "--from", "0", "--to", "now", "--target", "missing",
    ];
    let narrowed = setup
        .finish(&[&command[..], &["--out", "narrow.json"]].concat(), LIMIT)
        .expect("it ends");
    assert_eq!(narrowed.status.code(), Some(3), "{}", narrowed.stderr);
    let gone = "offsets 0 to 4 are gone: the log starts at 5";
    assert!(narrowed.stdout.contains(gone), "{}", narrowed.stdout);
    refused(&run(&setup, &["narrow.json", "--yes"]), "--accept-narrowed");
    let accepted = run(&setup, &["narrow.json", "--yes", "--accept-narrowed"]);
    assert_eq!(accepted.status.code(), Some(0), "{}", accepted.stderr);

    // Nothing is overwritten before the live topology has settled it: its group has read nothing.
    let command = [
        "replay",
        "plan",
        "--from",
        "earliest",
        "--to",
        "now",
        "--target",
        "overwrite",
    ];
    let behind = setup.finish(&command, LIMIT).expect("it ends");
    assert_eq!(behind.status.code(), Some(3), "{}", behind.stderr);
    assert!(
        behind.stdout.contains("not settled by the live"),
        "{}",
        behind.stdout
    );

    let topology = std::fs::read_to_string(setup.topology()).expect("it is there");
    let changed = topology.replace("env: test", "env: other");
    std::fs::write(setup.topology(), changed).expect("written");
    refused(
        &run(&setup, &["narrow.json", "--yes", "--accept-narrowed"]),
        "has changed since",
    );
    // What is in the index is there however documents are made by now.
    let verified = ["replay", "verify", "narrow.json"];
    let verified = setup.finish_alone(&verified, LIMIT).expect("it ends");
    assert_eq!(verified.status.code(), Some(0), "{}", verified.stderr);
    assert!(
        verified.stderr.contains("has changed since"),
        "{}",
        verified.stderr
    );
    std::fs::write(setup.topology(), topology).expect("written");
    anew(kafka);
    let again = run(&setup, &["narrow.json", "--yes", "--accept-narrowed"]);
    refused(&again, "was deleted and made again");
    steps.done("refuse what has changed");
}
