//! A user who may read and write, and delete nothing: the group of a replay that is over stays, and that is said.

use testkit::isobar::Setup;
use testkit::process::{Launch, Process};
use testkit::scratch::Scratch;
use testkit::services::kafka::{USER, tools};
use testkit::services::{Kafka, PASSWORD};

use super::{LIMIT, json_of, plan, run};
use crate::support::{Steps, catch_up, topology, with_search};

const RECORDS: u64 = 100;

#[test]
fn a_run_that_may_not_delete_its_group_says_so_and_is_complete() {
    let mut steps = Steps::new("replay-rights");
    let (kafka, search) = with_search(Kafka::start_with_rights);
    kafka.create_topic("logs", 1, &[]).expect("it is created");
    kafka
        .produce_json("logs", 1, 0..RECORDS)
        .expect("all is acknowledged");
    let directory = Scratch::new("kafka-tools").expect("a directory");
    let _path = tools(directory.path()).expect("they are written");
    let allow = |operations: &[&str], resource: [&str; 2]| {
        let log = directory.path().join("acls.log");
        let operations = operations.iter().flat_map(|one| ["--operation", *one]);
        let launch = Launch::new(directory.path().join("kafka-acls.sh"), &log)
            .arguments(["--bootstrap-server", kafka.brokers(), "--add", "--force"])
            .arguments(["--allow-principal", &format!("User:{USER}")])
            .arguments(operations)
            .arguments(resource);
        Process::run(launch, LIMIT).expect("it is allowed");
    };
    let topics = ["Read", "Write", "Create", "Describe", "DescribeConfigs"];
    allow(&topics, ["--topic", "*"]);
    allow(&["Read", "Describe"], ["--group", "*"]);
    let secured = kafka.secured().expect("it takes logins");
    let connection = format!(
        "kafka: {{type: kafka, brokers: \"{}\", tls: {{ca: \"{}\"}}, sasl: {{mechanism: PLAIN, username: {USER}, password: {PASSWORD}}}}}",
        secured.brokers,
        secured.ca.display()
    );
    let file =
        topology("rights", "").replace("kafka: {type: kafka, brokers: \"${KAFKA}\"}", &connection);
    let setup = Setup::new(&file).expect("a directory");
    let setup = setup.environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().delivered, RECORDS);
    steps.done("start, index");

    let planned = plan(&setup, "missing", "plan.json");
    let group = planned["group"].as_str().expect("a group");
    let finished = run(&setup, &["plan.json", "--yes", "-o", "json"]);
    let ran = json_of(&finished);
    assert_eq!(ran["verification"]["verdict"], "exact", "{ran}");
    let said = format!("the group {group}, which kept the progress, could not be deleted");
    for part in [said.as_str(), "the user has no right to that group"] {
        assert!(
            finished.stderr.contains(part),
            "no {part} in:\n{}",
            finished.stderr
        );
    }
    let committed = kafka.committed(group, "logs").expect("it answers");
    assert_eq!(committed, [Some(100)], "the group is left");
    steps.done("replay without the right to delete");
}
