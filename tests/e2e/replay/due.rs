//! A plan that purges and lies for too long: Kafka would delete its records by the time they are read.

use isobar_topology::clock;
use testkit::isobar::Setup;
use testkit::process::{Launch, Process};
use testkit::records;
use testkit::scratch::Scratch;
use testkit::services::kafka::tools;
use testkit::services::{Kafka, Search};

use super::{LIMIT, json_of, plan, refused, run};
use crate::support::{Steps, catch_up, topology};

const RECORDS: u64 = 100;
const HALF_A_DAY_MS: i64 = 12 * 60 * 60 * 1_000;

pub(super) fn a_purge_is_not_begun_once_its_records_go_soon(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    kafka
        .create_topic("due", 1, &[("retention.ms", "-1")])
        .expect("it is created");
    kafka
        .produce_json("due", 1, 0..RECORDS)
        .expect("all is acknowledged");
    let file = topology("due", "")
        .replace("topics: [logs]", "topics: [due]")
        .replace("index: \"logs-", "index: \"due-");
    let setup = Setup::new(&file)
        .expect("a directory")
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().delivered, RECORDS);
    let planned = plan(&setup, "purge", "due.json");
    assert_eq!(planned["narrowed"], false, "{planned}");

    let age_ms = clock::unix_ms() - records::FIRST_TIME;
    keep_for(kafka, "due", age_ms + HALF_A_DAY_MS);
    let late = run(&setup, &["due.json", "--yes"]);
    let why = "due/0: Kafka may delete offsets 0 to 99 within 1 d 0 h (retention.ms of topic due)";
    refused(&late, why);
    refused(&late, "--accept-narrowed");
    let client = search.client();
    client.refresh("due-*").expect("it refreshes");
    let there = client.count("due-*").expect("it counts");
    assert_eq!(there, RECORDS, "nothing was deleted");
    let accepted = ["due.json", "--yes", "--accept-narrowed", "-o", "json"];
    let ran = json_of(&run(&setup, &accepted));
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    steps.done("purge what goes soon");
}

/// Sets for how many ms a topic keeps its records.
fn keep_for(kafka: &Kafka, topic: &str, ms: i64) {
    let directory = Scratch::new("kafka-tools").expect("a directory");
    let _path = tools(directory.path()).expect("they are written");
    let log = directory.path().join("configs.log");
    let launch = Launch::new(directory.path().join("kafka-configs.sh"), &log)
        .arguments(["--bootstrap-server", kafka.brokers(), "--alter"])
        .arguments(["--entity-type", "topics", "--entity-name", topic])
        .arguments(["--add-config", &format!("retention.ms={ms}")]);
    Process::run(launch, LIMIT).expect("it is set");
}
