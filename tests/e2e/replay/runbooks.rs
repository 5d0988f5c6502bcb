//! Runbooks, block by block as they are written, in the services of a suite whose topic `logs` has four
//! partitions and is indexed by the group `live`. Those in files below have topics and indices of their own.

mod again;
mod clusters;
mod losses;
mod members;
mod partitions;
mod refusals;
mod rejects;
mod switched;

use std::time::Duration;

use serde_json::json;
use testkit::isobar::{Isobar, Setup};
use testkit::services::{Kafka, Search};

use crate::support::{Steps, catch_up, setup, topology};

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: i32 = 4;
/// Records that a wrong release reads.
const WRONG: u64 = 400;

/// Runs them; `records` are in the topic. Returns how many there are then.
pub(crate) fn run(kafka: &Kafka, search: &Search, records: u64, steps: &mut Steps) -> u64 {
    let records = std::thread::scope(|scope| {
        let apart =
            APART.map(|tests| scope.spawn(|| tests.iter().for_each(|run| run(kafka, search))));
        a_window_goes_into_a_new_index(kafka, search);
        let records = a_release_is_rolled_back(kafka, search, records);
        a_new_version_starts_beside_the_old_one(kafka, search);
        one_persons_data_is_deleted(kafka, search);
        again::pages_and_plans_are_used_again(kafka, search);
        for tests in apart {
            tests.join().expect("their commands succeed");
        }
        records
    });
    steps.done("runbooks");
    records
}

/// Runs one on these services.
type Runbook = fn(&Kafka, &Search);

/// Those with topics and indices of their own. They go on at once, since they mostly wait.
const APART: [&[Runbook]; 3] = [
    &[refusals::an_index_refuses_and_the_process_is_killed],
    &[
        members::a_replica_is_replaced_and_one_comes_and_goes,
        rejects::a_mapping_does_not_fit,
    ],
    &[
        losses::a_topic_loses_records_and_is_made_again,
        partitions::one_partition_has_it_all,
        switched::readers_lose_nothing_by_a_switch_and_the_way_back,
        clusters::hosts_of_two_clusters_share_the_documents,
        clusters::another_elasticsearch,
        clusters::another_kafka,
    ],
];

/// A topology whose name is that of its topic, group and index too; with its topic of so many partitions,
/// unless that is there already.
fn small(kafka: &Kafka, url: &str, name: &str, partitions: i32, spout: &str) -> Setup {
    if partitions > 0 {
        for (topic, partitions) in [(name, partitions), (&format!("{name}.dead"), 1)] {
            let made = kafka.create_topic(topic, partitions, &[]);
            made.expect("the topic is created");
        }
    }
    let file = format!(
        "\
isobar: 1
name: {name}
connections:
  kafka: {{type: kafka, brokers: \"${{KAFKA}}\"}}
  search: {{type: elasticsearch, hosts: \"${{ES}}\"}}
spouts:
  logs: {{type: kafka, connection: kafka, topics: [{name}], start: earliest{spout}}}
bolts:
  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  index:
    type: elasticsearch
    connection: search
    inputs: [parse]
    index: {name}
    event_time_bounds: off
dead_letter: {{type: kafka, connection: kafka, topic: {name}.dead}}
"
    );
    let setup = Setup::new(&file).expect("a directory");
    setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", url)
}

/// `$STOP` stops the process and waits for its end, `$START` starts one with the topology of the setup.
fn is_stopped_by(setup: Setup, isobar: &Isobar) -> Setup {
    let id = isobar.process().id().expect("it runs");
    // One that nobody has waited for is a zombie.
    let stop = format!(
        "kill -TERM {id}\nwhile grep -q '^State:.[^Z]' /proc/{id}/status; do sleep 0.1; done\n"
    );
    let start = "isobar run \"$TOPOLOGY\" --http off 2> started.log &\n";
    let setup = setup
        .file("stop.sh", &stop)
        .and_then(|setup| setup.file("start.sh", start));
    let setup = setup.expect("written");
    setup
        .environment("STOP", "bash stop.sh")
        .environment("START", "bash start.sh")
}

/// Runs these pages one after the other.
fn run_pages(setup: &Setup, pages: &[&str]) {
    for page in pages {
        let ran = setup.runbook(page, LIMIT);
        let _ = ran.unwrap_or_else(|error| panic!("{error:#}"));
    }
}

fn printed(printed: &str, expected: &[&str]) {
    for expected in expected {
        assert!(printed.contains(expected), "no {expected} in:\n{printed}");
    }
}

fn a_window_goes_into_a_new_index(kafka: &Kafka, search: &Search) {
    let setup = setup(kafka, &search.url(), "live", "");
    // A rule was changed since.
    let live = std::fs::read_to_string(setup.topology()).expect("it is there");
    std::fs::write(setup.topology(), live.replace("env: test", "env: fixed")).expect("written");
    let plan = |target: &str, sample: &str| {
        let range = [
            "--from", "100", "--to", "600", "--sample", sample, "--target", target,
        ];
        let command = [&["replay", "plan"][..], &range, &["--out", target]].concat();
        let planned = setup.finish(&command, LIMIT).expect("it ends");
        assert_eq!(planned.status.code(), Some(0), "{}", planned.stderr);
        planned.stdout
    };
    let run = |plan: &str| {
        let command = ["replay", "run", plan, "--yes"];
        let ran = setup.finish_alone(&command, LIMIT).expect("it ends");
        assert_eq!(ran.status.code(), Some(0), "{}\n{}", ran.stdout, ran.stderr);
        printed(&ran.stdout, &["Verified: exact"]);
    };
    // `logs-*` finds it, and no name of a day is like it.
    let window = "index=logs-window";
    let other =
        "Sample of 10 records: 10 documents other than indexed\n  env changes in 10 documents\n";
    printed(&plan(window, "10"), &["Offsets in all: 2,000", other]);
    run(window);
    let client = search.client();
    let count = |indices: &str| {
        let fixed = json!({"term": {"env.keyword": "fixed"}});
        let all = client.count(indices).expect("it counts");
        let fixed = client.count_where(indices, &fixed).expect("it counts");
        (all, fixed)
    };
    assert_eq!(count("logs-window"), (2_000, 2_000), "each is new");
    assert_eq!(count("logs-2*").1, 0, "none outside is");
    // Another replay of the window takes it for nothing of its own, neither to delete nor to count.
    printed(
        &plan("purge", "0"),
        &[
            "  logs-2026.01.01 has 2,000 documents that are deleted\n",
            "Note: logs-window has 2,000 documents of the range as well: its name is none that index makes, so they \
             stay there\n",
        ],
    );
    // That it is beside is known by the replay that has made it.
    printed(
        &plan("missing", "0"),
        &["Note: logs-window has 2,000 documents of the range as well, where the replay "],
    );
    run("missing");
    client.delete_index("logs-window").expect("it is deleted");
}

/// The runbook that starts a topology again is run on the way: the former release has a lag then.
fn a_release_is_rolled_back(kafka: &Kafka, search: &Search, records: u64) -> u64 {
    let former = setup(kafka, &search.url(), "live", "");
    let text = former.runbook("nothing-is-running.md", LIMIT);
    printed(
        &text.expect("its commands succeed"),
        &["everything that was read is settled"],
    );
    let sent = records..records + WRONG;
    kafka
        .produce_json("logs", PARTITIONS, sent)
        .expect("all is acknowledged");
    let since = records / PARTITIONS as u64;
    let setup = former.environment("SINCE", &since.to_string());
    let right = std::fs::read_to_string(setup.topology()).expect("it is there");
    std::fs::write(setup.topology(), right.replace("env: test", "env: wrong")).expect("written");
    assert_eq!(catch_up(&setup, &[]).total().delivered, WRONG);
    std::fs::write(setup.topology(), right).expect("written");

    let text = setup.runbook("roll-back-a-release.md", LIMIT);
    printed(
        &text.expect("its commands succeed"),
        &["env changes in 10 documents", "Verified: exact"],
    );
    let client = search.client();
    client.refresh("logs-*").expect("it refreshes");
    let wrong = json!({"term": {"env.keyword": "wrong"}});
    let left = client.count_where("logs-*", &wrong).expect("it counts");
    assert_eq!(left, 0);
    records + WRONG
}

fn a_new_version_starts_beside_the_old_one(kafka: &Kafka, search: &Search) {
    let old = kafka.committed("live", "logs").expect("it answers");
    let setup = setup(kafka, &search.url(), "live", "");
    let new = topology("second", "").replace("index: \"logs-", "index: \"second-");
    let file = setup.topology().with_file_name("second.yaml");
    std::fs::write(file, new).expect("written");
    let setup = setup
        .environment("NEW", "second.yaml")
        .environment("OLD_GROUP", "live");
    let text = setup.runbook("start-a-new-version-beside.md", LIMIT);
    printed(
        &text.expect("its commands succeed"),
        &["the group second starts where live is, in 4 of 4 partitions"],
    );
    let group = |name| kafka.committed(name, "logs").expect("it answers");
    assert_eq!(group("second"), old, "everything was read by the old one");
    assert_eq!(group("live"), old);
}

fn one_persons_data_is_deleted(kafka: &Kafka, search: &Search) {
    let setup = setup(kafka, &search.url(), "live", "")
        .environment("FIELD", "number")
        .environment("PERSON", "17");
    let text = setup.runbook("delete-one-persons-data.md", LIMIT);
    printed(
        &text.expect("its commands succeed"),
        &["\"count\":1,", "\"count\":0,"],
    );
    let query = json!({"term": {"number": 17}});
    let left = search.client().count_where("logs-*", &query);
    assert_eq!(left.expect("it counts"), 0);
}
