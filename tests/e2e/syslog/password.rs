//! A password of Kafka that is wrong when a topology starts and right in its file later: the spout, and the
//! producer of dead letters, log in without a restart.

use std::time::Duration;

use testkit::http;
use testkit::isobar::Setup;
use testkit::services::kafka::{Sent, USER};
use testkit::services::{Kafka, PASSWORD};

use crate::support::{Steps, Total};

const LIMIT: Duration = Duration::from_secs(60);
const TOPIC: &str = "login";
const GOOD: u64 = 90;
const BAD: u64 = 10;

const TOPOLOGY: &str = "\
isobar: 1
name: login
connections:
  kafka:
    type: kafka
    brokers: \"${KAFKA}\"
    tls: {ca: \"${CA}\"}
    sasl: {mechanism: PLAIN, username: \"${KAFKA_USER}\", password: \"${file:DIRECTORY/password}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [login], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  end: {type: blackhole, inputs: [parse]}
dead_letter: {type: kafka, connection: kafka, topic: login.dead}
";

/// The broker must not have its topics yet.
pub(crate) fn check_a_password_that_changes(kafka: &Kafka, steps: &mut Steps) {
    for topic in [TOPIC, "login.dead"] {
        let created = kafka.create_topic(topic, 1, &[]);
        created.expect("the topic is created");
    }
    let produced = kafka.produce_json(TOPIC, 1, 0..GOOD);
    produced.expect("all is acknowledged");
    let garbage = (0..BAD).map(|_| Sent {
        value: Some(b"{".to_vec()),
        ..Sent::default()
    });
    kafka.produce(TOPIC, garbage).expect("all is acknowledged");

    let secured = kafka.secured().expect("such a broker");
    let setup = Setup::new("").expect("a directory");
    let directory = setup.topology().parent().expect("it is in one").to_owned();
    let name = directory.display().to_string();
    std::fs::write(setup.topology(), TOPOLOGY.replace("DIRECTORY", &name)).expect("written");
    let setup = setup.file("password", "of-last-year\n").expect("written");
    let setup = setup
        .environment("KAFKA", &secured.brokers)
        .environment("CA", &secured.ca.display().to_string())
        .environment("KAFKA_USER", USER);
    let mut isobar = setup.start().expect("it starts");
    let refused = isobar.wait_for("a refusal", LIMIT, |address| {
        let reasons = http::get(address, "/readyz")?.text();
        anyhow::ensure!(reasons.contains("uthentication"), "{reasons}");
        Ok(reasons)
    });
    let _ = refused.expect("the password is wrong");
    steps.done("a password is refused");

    std::fs::write(directory.join("new"), PASSWORD).expect("written");
    std::fs::rename(directory.join("new"), directory.join("password")).expect("renamed");
    let expected = Total {
        read: GOOD + BAD,
        dropped: GOOD,
        dead_lettered: BAD,
        ..Total::default()
    };
    let settled = isobar.wait_for("all records", LIMIT, |address| {
        let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
        anyhow::ensure!(total == expected, "{total:?}");
        Ok(())
    });
    settled.expect("the new password is taken");
    let log = isobar.log().expect("it logged");
    assert!(
        log.contains("A changed password of Kafka was read"),
        "{log}"
    );
    for value in ["of-last-year", PASSWORD] {
        assert!(!log.contains(value), "{log}");
    }
    assert!(isobar.stop(LIMIT).expect("it ends").success());
    steps.done("the right one is taken from its file");
}
