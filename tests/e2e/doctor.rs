//! `isobar doctor` against real services: nothing is found where nothing is wrong, and planted faults
//! are.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::isobar::{Finished, Setup};
use testkit::process::{Launch, Process};
use testkit::scratch::Scratch;
use testkit::services::kafka::{USER, tools};
use testkit::services::{Kafka, PASSWORD, Search, SearchVersion};

use crate::support::{Steps, kafka_with_records};

const LIMIT: Duration = Duration::from_secs(90);

const TOPOLOGY: &str = "\
isobar: 1
name: doctored
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
  search: {type: elasticsearch, hosts: \"${ES}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  index: {type: elasticsearch, connection: search, inputs: [parse], index: logs}
dead_letter: {type: kafka, connection: kafka, topic: dead}
";

/// What comes of each check where nothing is wrong: on Elasticsearch 8, Elasticsearch 9, OpenSearch 2 and
/// OpenSearch 3. What the reduced distributions of the tests do not have is skipped, and what a cluster of one
/// node is not, and a topology without a template does not have, is mentioned.
const SOUND: [(&str, [&str; 4]); 43] = [
    ("kafka.brokers", ["ok"; 4]),
    ("kafka.topics", ["ok"; 4]),
    ("kafka.outputs", ["ok"; 4]),
    ("kafka.permissions", ["ok"; 4]),
    ("kafka.leaders", ["ok"; 4]),
    ("kafka.in_sync", ["ok"; 4]),
    ("kafka.min_in_sync", ["skipped"; 4]),
    ("kafka.replication", ["info"; 4]),
    ("kafka.partitions", ["ok"; 4]),
    ("kafka.retention", ["ok"; 4]),
    ("kafka.transactions", ["ok"; 4]),
    ("kafka.group", ["ok"; 4]),
    ("kafka.dead_letter_size", ["ok"; 4]),
    ("kafka.dead_letter_cleanup", ["ok"; 4]),
    ("kafka.replays", ["ok"; 4]),
    ("kafka.certificates", ["skipped"; 4]),
    ("elasticsearch.hosts", ["ok"; 4]),
    ("elasticsearch.one_cluster", ["ok"; 4]),
    ("elasticsearch.one_master", ["ok"; 4]),
    ("elasticsearch.versions", ["ok"; 4]),
    ("elasticsearch.data_path", ["ok"; 4]),
    ("elasticsearch.quorum", ["info"; 4]),
    ("elasticsearch.health", ["info"; 4]),
    (
        "elasticsearch.health_report",
        ["ok", "ok", "skipped", "skipped"],
    ),
    ("elasticsearch.pending_tasks", ["ok"; 4]),
    ("elasticsearch.disk", ["info"; 4]),
    ("elasticsearch.blocks", ["ok"; 4]),
    ("elasticsearch.replicas", ["ok"; 4]),
    ("elasticsearch.index_health", ["info"; 4]),
    ("elasticsearch.kind", ["ok"; 4]),
    ("elasticsearch.failure_store", ["skipped"; 4]),
    ("elasticsearch.refresh", ["ok"; 4]),
    ("elasticsearch.index_pipelines", ["ok"; 4]),
    ("elasticsearch.template", ["info"; 4]),
    ("elasticsearch.mapping", ["ok"; 4]),
    ("elasticsearch.pipeline", ["skipped"; 4]),
    ("elasticsearch.privileges", ["skipped"; 4]),
    ("elasticsearch.rejected_writes", ["ok"; 4]),
    ("elasticsearch.heap", ["ok"; 4]),
    ("elasticsearch.lifecycle", ["skipped"; 4]),
    ("elasticsearch.body_bytes", ["ok"; 4]),
    ("elasticsearch.certificates", ["skipped"; 4]),
    ("elasticsearch.clock", ["ok"; 4]),
];

#[test]
fn a_sound_topology_has_no_finding_and_planted_faults_are_found() {
    let (mut steps, kafka, search) = sound(SearchVersion::Elasticsearch9);
    let compacted = [("cleanup.policy", "compact"), ("max.message.bytes", "1000")];
    kafka
        .create_topic("compacted", 1, &compacted)
        .expect("it is created");
    // As it is where brokers make topics by themselves.
    kafka
        .create_topic("doctored.replays", 1, &[])
        .expect("it is created");
    let hosts = search.url();
    let client = search.client();
    let block = json!({"index.blocks.write": true});
    let _ = client
        .json("PUT", "/logs/_settings", Some(&block))
        .expect("it is set");
    let template = json!({
        "index_patterns": ["logs*"], "priority": 500,
        "template": {"mappings": {"dynamic": "strict", "properties": {"number": {"type": "long"}}}},
    });
    client
        .put_template("planted", &template)
        .expect("it is made");
    let other = Search::start(SearchVersion::Elasticsearch9).expect("another cluster");
    let both = format!("{hosts},{}", other.url());
    let sick = TOPOLOGY.replace("topic: dead", "topic: compacted");
    let sick = sick.replace("topics: [logs]", "topics: [logs, absent]");
    let (finished, findings) = doctor(&setup(&kafka, &sick, &both));
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stdout);
    for (check, status, part) in [
        ("kafka.topics", "error", "absent"),
        ("kafka.dead_letter_size", "warning", "takes 1000 bytes"),
        ("kafka.dead_letter_cleanup", "warning", "compact"),
        (
            "kafka.replays",
            "warning",
            "doctored.replays has cleanup.policy=delete",
        ),
        ("elasticsearch.one_cluster", "error", "2 clusters"),
        ("elasticsearch.one_master", "error", "2 masters"),
        ("elasticsearch.blocks", "error", "logs takes no documents"),
        ("elasticsearch.mapping", "error", "a new index of logs"),
    ] {
        assert!(has(&findings, check, status, part), "{check}: {findings}");
    }
    steps.done("planted faults");
}

#[test]
fn a_sound_topology_on_opensearch_has_no_finding() {
    drop(sound(SearchVersion::OpenSearch3));
}

/// Runs a topology on services of which nothing is wrong, and compares what comes of every check.
pub(crate) fn sound(version: SearchVersion) -> (Steps, Kafka, Search) {
    let mut steps = Steps::new("doctor");
    let kafka = kafka_with_records(2, 1_000);
    let wide = [("max.message.bytes", "2000000")];
    kafka.create_topic("dead", 1, &wide).expect("it is created");
    let search = Search::start(version).expect("the server starts");
    let sound = setup(&kafka, TOPOLOGY, &search.url());
    steps.done(&format!("start {}", version.directory()));
    let run = ["run", "--exit-when-caught-up", "--http", "off"];
    let run = sound.finish(&run, LIMIT).expect("it ends");
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
    // What the checks at the start found would be a warning in the log.
    assert!(!run.stderr.contains("Check at the start"), "{}", run.stderr);
    let (finished, findings) = doctor(&sound);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stdout);
    let of = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let findings = findings.as_array().expect("a list");
    let found = findings
        .iter()
        .map(|one| (of(one, "check"), of(one, "status")));
    let found: BTreeSet<(String, String)> = found.collect();
    let versions = SearchVersion::ALL.iter();
    let column = versions.take_while(|one| **one != version).count();
    let expected = SOUND.map(|(check, statuses)| (check.to_owned(), statuses[column].to_owned()));
    assert_eq!(found, BTreeSet::from(expected), "{findings:#?}");
    steps.done("nothing is wrong");
    (steps, kafka, search)
}

fn setup(kafka: &Kafka, topology: &str, hosts: &str) -> Setup {
    let setup = Setup::new(topology).expect("a directory");
    let setup = setup.environment("KAFKA", kafka.brokers());
    setup.environment("ES", hosts)
}

/// A user who may see topics and group and do nothing with them, then one who may do what it has to.
#[test]
fn what_the_user_may_not_do_at_the_brokers_is_found() {
    let mut steps = Steps::new("doctor-rights");
    let kafka = Kafka::start_with_rights().expect("Kafka starts");
    for topic in ["logs", "dead"] {
        kafka.create_topic(topic, 1, &[]).expect("it is created");
    }
    let secured = kafka.secured().expect("it takes logins");
    let connection = format!(
        "kafka: {{type: kafka, brokers: \"{}\", tls: {{ca: \"{}\"}}, sasl: {{mechanism: PLAIN, username: {USER}, password: {PASSWORD}}}}}",
        secured.brokers,
        secured.ca.display()
    );
    let topology = "\
isobar: 1
name: doctored
connections:
  CONNECTION
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  end: {type: blackhole, inputs: [parse]}
dead_letter: {type: kafka, connection: kafka, topic: dead}
";
    let topology = topology.replace("CONNECTION", &connection);
    let setup = Setup::new(&topology).expect("a directory");
    let directory = Scratch::new("kafka-tools").expect("a directory");
    let _path = tools(directory.path()).expect("they are written");
    let allow = |operation: &str, resource: [&str; 2]| {
        let log = directory.path().join("acls.log");
        let launch = Launch::new(directory.path().join("kafka-acls.sh"), &log)
            .arguments(["--bootstrap-server", kafka.brokers(), "--add", "--force"])
            .arguments(["--allow-principal", &format!("User:{USER}")])
            .arguments(["--operation", operation])
            .arguments(resource);
        Process::run(launch, LIMIT).expect("it is allowed");
    };
    for resource in [["--topic", "*"], ["--group", "doctored"]] {
        allow("Describe", resource);
    }
    steps.done("start");

    let (_, findings) = doctor(&setup);
    for part in [
        "logs: the user may not read topic logs",
        "dead_letter: the user may not write to topic dead",
        "logs: the user may not read in group doctored",
    ] {
        assert!(
            has(&findings, "kafka.permissions", "error", part),
            "{part}: {findings}"
        );
    }
    steps.done("nothing is allowed");

    allow("Read", ["--group", "doctored"]);
    allow("Read", ["--topic", "logs"]);
    allow("Write", ["--topic", "dead"]);
    let (_, findings) = doctor(&setup);
    assert!(
        has(
            &findings,
            "kafka.permissions",
            "ok",
            "may do what it has to"
        ),
        "{findings}"
    );
    steps.done("all is allowed");
}

fn doctor(setup: &Setup) -> (Finished, Value) {
    let finished = setup
        .finish(&["doctor", "-o", "json"], LIMIT)
        .expect("it ends");
    let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
    (finished, report["findings"].clone())
}

fn has(findings: &Value, check: &str, status: &str, part: &str) -> bool {
    let mut findings = findings.as_array().into_iter().flatten();
    findings.any(|one| {
        let text = one["text"].as_str().unwrap_or_default();
        one["check"] == check && one["status"] == status && text.contains(part)
    })
}
