//! Replicas that know of each other.

use std::time::Duration;

use anyhow::Context as _;
use isobar::peers::Peers;
use serde_json::{Value, json};
use testkit::process::{Launch, Process};
use testkit::{http, ports, wait};

use crate::http::{Served, WAITING};
use crate::support::File;

const SOON: Duration = Duration::from_secs(30);

/// A topology that waits for records that nobody sends.
const RUNNING: &str = "\
isobar: 1
name: waiting
connections:
  kafka: {type: kafka, brokers: embedded}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  end: {type: blackhole, inputs: [logs], on_rejected: drop}
";

#[test]
fn all_replicas_are_shown_and_one_that_does_not_answer_is_named() {
    let other = Served::start(WAITING);
    let address = other.address.clone();
    let api = [format!("http://{address}").parse().expect("an address")];
    let served = Served::start_with(WAITING, |observer| {
        observer.peers = Peers::at(&api, observer);
    });
    let until = |what: &str, is_so: &dyn Fn(&Value) -> bool| {
        let found = wait::until(what, SOON, || {
            let document = served.json("/replicas");
            anyhow::ensure!(is_so(&document), "{document}");
            Ok(document)
        });
        found.unwrap_or_else(|error| panic!("{error:#}"))
    };
    let document = until("an answer", &|document| {
        document["replicas"][1]["statistics"].is_object()
    });
    let (here, there) = (&document["replicas"][0], &document["replicas"][1]);
    assert_eq!(
        [&here["address"], &there["address"], &there["failure"]],
        [&json!("here"), &json!(address), &Value::Null]
    );
    assert_eq!(there["statistics"]["spouts"][0]["spout"], "in");

    drop(other);
    let document = until("a failure", &|document| {
        document["replicas"][1]["failure"].is_string()
    });
    let there = &document["replicas"][1];
    let failure = there["failure"].as_str().expect("text");
    let expected = format!("{address} does not say its statistics: ");
    assert!(failure.starts_with(&expected), "{failure}");
    // What it said last stays, with its age.
    assert!(there["age_seconds"].as_f64() > Some(0.0), "{there}");
    assert_eq!(there["statistics"]["topology"], "waiting");
}

#[test]
fn its_own_address_is_no_second_replica() {
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let file = File::new("peers-own", RUNNING);
    let log = file.path.with_extension("log");
    let launch = Launch::new(env!("CARGO_BIN_EXE_isobar"), &log)
        .arguments(["run", "--http", &address])
        // Nobody listens at the second address.
        .arguments(["--peers", &format!("http://{address},http://127.0.0.1:9")])
        .arguments([&file.path]);
    let mut process = Process::start(launch).expect("it starts");
    let replicas = wait::until("itself to be left out", SOON, || {
        process.check_running()?;
        let document: Value = http::get(&address, "/replicas")?.json()?;
        let replicas = document["replicas"].as_array().context("a list")?.clone();
        anyhow::ensure!(replicas.len() == 2, "{document}");
        anyhow::ensure!(replicas[1]["failure"].is_string(), "{document}");
        Ok(replicas)
    });
    let replicas = replicas.unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(replicas[1]["address"], "127.0.0.1:9");
    assert_eq!(process.stop(SOON).expect("it ends").code(), Some(0));
    let log = std::fs::read_to_string(&log).expect("it logged");
    assert_eq!(log.matches("A replica does not answer").count(), 1, "{log}");
}

#[test]
fn another_topology_is_no_replica() {
    let other = Served::start(WAITING);
    let api = [format!("http://{}", other.address)
        .parse()
        .expect("an address")];
    let served = Served::start_with(
        &WAITING.replace("name: waiting", "name: mine"),
        |observer| {
            observer.peers = Peers::at(&api, observer);
        },
    );
    let failure = wait::until("a failure", SOON, || {
        let document = served.json("/replicas");
        let failure = document["replicas"][1]["failure"].as_str();
        Ok(failure.context("not yet")?.to_owned())
    });
    let expected = format!("{} runs waiting", other.address);
    assert_eq!(failure.expect("it is asked"), expected);
}

#[test]
fn without_peers_a_replica_shows_itself() {
    let served = Served::start(WAITING);
    let document = served.json("/replicas");
    assert_eq!(document["replicas"].as_array().map(Vec::len), Some(1));
    assert_eq!(document["lag"], json!([]));
}
