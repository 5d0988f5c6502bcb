//! Pages and plans that are used again, while records come, and with a topology that makes fewer documents: what was
//! written before is never taken for what is written now.

use std::path::Path;

use anyhow::ensure;
use serde_json::Value;
use testkit::isobar::{Finished, Setup};
use testkit::services::{Kafka, Search};
use testkit::wait;

use super::{LIMIT, printed, small};
use crate::support::catch_up;

const PER_SECOND: u64 = 200;
const RECORDS: i64 = 1_000;
/// Deleted of a partition before it is read.
const LOST: i64 = 20;
const PAGE: &str = "roll-back-a-release.md";

pub(super) fn pages_and_plans_are_used_again(kafka: &Kafka, search: &Search) {
    let by_size = [("retention.bytes", "1000000000")];
    kafka
        .create_topic("reused", 2, &by_size)
        .expect("the topic is created");
    kafka
        .create_topic("reused.dead", 1, &[])
        .expect("the topic is created");
    let setup = small(kafka, &search.url(), "reused", 0, "").environment("SINCE", "earliest");
    let file = std::fs::read_to_string(setup.topology()).expect("it is there");
    let with = |bolt: &str| {
        let bolts = format!("  change: {{inputs: [parse], {bolt}}}\n  index:\n");
        let changed = file.replace("  index:\n", &bolts);
        let changed = changed.replace("inputs: [parse]\n", "inputs: [change]\n");
        std::fs::write(setup.topology(), changed).expect("written");
    };
    let env = |env: &str| with(&format!("type: set_fields, fields: {{env: {env}}}"));

    let load = kafka.load("reused", 2, PER_SECOND).expect("it is sent");
    wait::until("some records", LIMIT, || {
        let sent: i64 = kafka.end_offsets("reused")?.iter().sum();
        ensure!(sent > RECORDS, "{sent}");
        Ok(())
    })
    .expect("they come");
    env("wrong");
    assert!(catch_up(&setup, &[]).total().delivered > RECORDS.unsigned_abs());
    env("right");
    // While records come, which nobody has settled: they are no reason to ask whether less will do.
    let text = setup.runbook(PAGE, LIMIT).expect("its commands succeed");
    printed(&text, &["are left to the live topology", "Verified: exact"]);
    let _ = load.finish().expect("all is acknowledged");
    let client = search.client();
    client.refresh("reused").expect("it refreshes");
    let wrong = serde_json::json!({"term": {"env.keyword": "wrong"}});
    let left = client.count_where("reused", &wrong).expect("it counts");
    assert_eq!(left, 0);

    // In the same directory, where the first plan still is.
    env("later");
    let text = setup.runbook(PAGE, LIMIT).expect("its commands succeed");
    printed(&text, &["  env changes in ", "Verified: exact"]);
    let done = plan_of_page(setup.topology().parent().expect("it is in one"));
    let run = |plan: &str, more: &[&str]| {
        let command = [&["replay", "run", plan, "--yes", "-o", "json"][..], more].concat();
        setup.finish_alone(&command, LIMIT).expect("it ends")
    };
    let again = run(&done, &[]);
    ends(&again, 2, "this plan was run to its end on");
    ends(&run(&done, &["--resume"]), 2, "make a new one");
    let plan = |target: &str, out: &str| {
        let range = ["--from", "earliest", "--to", "now", "--target", target];
        let command = [&["replay", "plan"][..], &range, &["--out", out]].concat();
        setup.finish(&command, LIMIT).expect("it ends")
    };
    ends(&plan("missing", &done), 2, "there is such a file already");

    // Documents are there, of whatever run.
    ends(&plan("overwrite", "few.json"), 0, "");
    let command = ["replay", "verify", "few.json"];
    let verified = setup.finish_alone(&command, LIMIT).expect("it ends");
    ends(&verified, 4, "");
    printed(
        &verified.stdout,
        &["whether this plan has written them is not known"],
    );
    with("type: filter, drop_when: \"doc.level == 'error'\"");
    ends(&plan("overwrite", "fewer.json"), 0, "");
    let fewer = run("fewer.json", &[]);
    ends(&fewer, 3, "");
    let verified = json(&fewer);
    let verified = &verified["verification"];
    assert_eq!(verified["verdict"], "exact", "{verified}");
    let partitions = verified["partitions"].as_array().expect("a list");
    let sum = |field: fn(&Value) -> &Value| {
        let numbers = partitions.iter().map(|one| field(one).as_u64());
        numbers.sum::<Option<u64>>().expect("numbers")
    };
    let kept = sum(|one| &one["kept"]);
    assert!(kept > 0, "{verified}");
    assert_eq!(kept, sum(|one| &one["others"]["dropped"]), "{verified}");
    // Nor is it well where they are deleted first.
    ends(&plan("purge", "gone.json"), 0, "");
    let gone = run("gone.json", &[]);
    ends(&gone, 3, "");
    let gone = json(&gone);
    let gone = &gone["verification"];
    assert_eq!(gone["verdict"], "exact", "{gone}");
    assert_eq!(gone["fewer"]["index"], kept, "{gone}");

    another_index_is_written_once(&env, &plan, &run);
    let purge = plan("purge", "purge.json");
    ends(&purge, 0, "");
    printed(&purge.stdout, &["reused deletes records by size as well"]);
    what_is_deleted_of_the_rest_is_lost_where_that_will_do(kafka, &plan, &run, &setup);
    client.delete_index("reused").expect("it is deleted");
}

fn another_index_is_written_once(
    env: &dyn Fn(&str),
    plan: &dyn Fn(&str, &str) -> Finished,
    run: &dyn Fn(&str, &[&str]) -> Finished,
) {
    env("first");
    ends(&plan("index=reused-window", "first.json"), 0, "");
    // Made before the other one is run.
    ends(&plan("index=reused-window", "beside.json"), 0, "");
    ends(&run("first.json", &[]), 0, "");
    let late = run("beside.json", &[]);
    ends(
        &late,
        1,
        "documents of the range, and had none when the plan was made",
    );
    env("second");
    let second = plan("index=reused-window", "second.json");
    ends(&second, 3, "narrower than what was asked for");
    let there = "documents of the range already: they stay as they are";
    printed(&second.stdout, &["Note: reused-window has ", there]);
    ends(&run("second.json", &[]), 2, "--accept-narrowed");
}

/// A run has begun, and Kafka has deleted what it was to read next.
fn what_is_deleted_of_the_rest_is_lost_where_that_will_do(
    kafka: &Kafka,
    plan: &dyn Fn(&str, &str) -> Finished,
    run: &dyn Fn(&str, &[&str]) -> Finished,
    setup: &Setup,
) {
    ends(&plan("index=reused-gap", "gap.json"), 0, "");
    let planned = std::fs::read(setup.topology().with_file_name("gap.json"));
    let planned: Value = serde_json::from_slice(&planned.expect("it is there")).expect("JSON");
    let group = planned["group"].as_str().expect("a group");
    kafka
        .commit(group, "reused", 0, 0, "isobar1;c=0,0,0,0,0")
        .expect("it is committed");
    kafka
        .delete_records("reused", 0, LOST)
        .expect("they are deleted");
    let refused = run("gap.json", &["--resume"]);
    ends(&refused, 1, "the replay is not gone on with: reused/0: ");
    ends(&refused, 1, "--accept-narrowed goes on with what is left");
    let gone_on = run("gap.json", &["--resume", "--accept-narrowed"]);
    ends(&gone_on, 3, "");
    let verified = json(&gone_on);
    let verified = &verified["verification"];
    assert_eq!(verified["verdict"], "exact", "{verified}");
    assert_eq!(verified["partitions"][0]["others"]["lost"], LOST);
    let command = ["replay", "list", "-o", "json"];
    let runs = json(&setup.finish(&command, LIMIT).expect("it ends"));
    let told = runs["runs"].as_array().and_then(|runs| runs.last());
    let asked = &told.expect("a run")["told"]["asked"];
    let options = ["--resume", "--accept-narrowed", "--yield-to-live=30s"];
    assert_eq!(asked["options"], serde_json::json!(options), "{runs}");
    assert_eq!(asked["configuration"], planned["configuration"]);
}

/// The last plan that the page has made.
fn plan_of_page(directory: &Path) -> String {
    let files = std::fs::read_dir(directory).expect("it is there");
    let names = files.map(|file| file.expect("it is there").file_name());
    let names = names.filter_map(|name| name.into_string().ok());
    let of_page = |name: &String| {
        name.starts_with("roll-back-") && name.ends_with(".json") && !name.contains(".report.")
    };
    names.filter(of_page).max().expect("a plan")
}

/// Fails unless it has ended with this code, and has said this.
fn ends(finished: &Finished, code: i32, said: &str) {
    let Finished { stdout, stderr, .. } = finished;
    assert_eq!(finished.status.code(), Some(code), "{stdout}\n{stderr}");
    assert!(stderr.contains(said), "no {said} in:\n{stderr}");
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).expect("JSON")
}
