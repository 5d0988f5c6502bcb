//! Replicas that know of each other.

use std::time::Duration;

use anyhow::Context as _;
use isobar::peers::Peers;
use serde_json::{Value, json};
use testkit::wait;

use crate::http::{Served, WAITING};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn all_replicas_are_shown_and_one_that_does_not_answer_is_named() {
    let other = Served::start(WAITING);
    let address = other.address.clone();
    let api = [format!("http://{address}").parse().expect("an address")];
    let served = Served::start_with(WAITING, |observer| {
        observer.peers = Peers::at(&api, "waiting");
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
fn another_topology_is_no_replica() {
    let other = Served::start(WAITING);
    let api = [format!("http://{}", other.address)
        .parse()
        .expect("an address")];
    let served = Served::start_with(
        &WAITING.replace("name: waiting", "name: mine"),
        |observer| {
            observer.peers = Peers::at(&api, "mine");
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
