//! Replays by way of the HTTP API of a running topology.

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::services::{Kafka, Search};
use testkit::{http, wait};

use super::LIMIT;
use super::page::{Page, a_fix_is_planned_run_and_verified};
use crate::support::{Steps, setup};

/// With the token, a plan is made, run, stopped with the topology, resumed on the page
/// after it, and verified; then another one on the page.
pub(super) fn a_running_topology_replays_by_its_api(
    kafka: &Kafka,
    search: &Search,
    records: u64,
    steps: &mut Steps,
) {
    let token = "0123456789abcdef";
    let setup = setup(kafka, &search.url(), "live", "").file("token", token);
    let arguments = ["--token-file", "token", "--replay-dir", "plans"];
    let mut isobar = setup.expect("written").arguments(&arguments).start();
    let isobar = isobar.as_mut().expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let address = isobar.address().to_owned();
    let bearer = format!("Bearer {token}");
    let post = |path: &str, body: Value| {
        let headers = [("authorization", bearer.as_str())];
        let answer = http::send(&address, "POST", path, &headers, &body, LIMIT);
        answer.expect("an answer")
    };
    let get = |path: &str, accept: &str| {
        let headers = [("authorization", bearer.as_str()), ("accept", accept)];
        http::request_with(&address, "GET", path, &headers, LIMIT)
    };

    let asked = json!({"from": "earliest", "to": "now", "target": "index=by-api",
        "create_missing": true});
    let refused = http::send(&address, "POST", "/replays/plans", &[], &asked, LIMIT);
    assert_eq!(refused.expect("an answer").status, 401);
    let mut wrong = asked.clone();
    wrong["from"] = "yesterday".into();
    let refused = post("/replays/plans", wrong);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("--from"), "{}", refused.text());
    let planned = post("/replays/plans", asked);
    assert_eq!(planned.status, 201, "{}", planned.text());
    let plan = planned.json().expect("a plan");
    let id = plan["id"].as_str().expect("an id");
    let place = planned.header("location").expect("a place");
    let text = get(place, "text/plain").expect("an answer").text();
    let start = format!("Replay {id} of live: spout logs, from earliest to now");
    assert!(text.starts_with(&start), "{text}");

    // It lasts until the topology is stopped.
    let run = json!({"plan": id, "rate": 300, "yield_to_live": "off"});
    let started = post("/replays", run.clone());
    assert_eq!(started.status, 202, "{}", started.text());
    let place = started.header("location").expect("a place");
    let begins = get(place, "application/json").expect("an answer").json();
    let begins = begins.expect("it is known before it is in the register");
    let word = begins["state"].as_str();
    assert!(matches!(word, Some("starting" | "running")), "{begins}");
    assert_eq!(post("/replays", run).status, 409, "it is under way");
    let mut page = Page::open(isobar, token);
    let status = || get(place, "application/json")?.json();
    wait::until("progress", LIMIT, || {
        let shown = status()?;
        let parts = shown["run"]["told"]["partitions"].as_array();
        let got_on =
            parts.is_some_and(|parts| parts.iter().any(|part| part["next"] != part["from"]));
        ensure!(shown["run"]["state"] == "running" && got_on, "{shown}");
        Ok(())
    })
    .expect("it gets on");
    page.shows("running", ".figures", "a second; done in");
    for (action, state) in [("resume", "running"), ("pause", "paused")] {
        let answer = post(&format!("{place}/{action}"), Value::Null).json();
        let shown = answer.expect("it is done");
        assert_eq!(shown["run"]["state"], state, "{shown}");
    }
    page.shows("paused", ".why", "An operator paused it");
    page.clicks("Resume");
    page.shows("running", ".figures", "offsets settled");
    let end = isobar.stop(LIMIT).expect("it ends");
    assert_eq!(end.code(), Some(0));
    isobar.start_again().expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let shown = status().expect("it is known");
    assert_eq!(shown["run"]["state"], "stopped", "{shown}");

    page.goes_on_without_yielding();
    let ended = |command: &str| {
        wait::until("the end", LIMIT, || {
            let shown = status()?;
            let job = &shown["job"];
            ensure!(
                job["command"] == command && job["is_running"] == false,
                "{shown}"
            );
            Ok(shown)
        })
        .expect("it ends")
    };
    let shown = ended("run");
    assert_eq!(shown["job"]["exit"], 0, "{shown}");
    assert_eq!(shown["run"]["state"], "done", "{shown}");
    let verdict = &shown["job"]["result"]["verification"]["verdict"];
    assert_eq!(verdict, "exact", "{shown}");
    let verified = post(&format!("{place}/verify"), Value::Null);
    assert_eq!(verified.status, 202, "{}", verified.text());
    let shown = ended("verify");
    assert_eq!(shown["job"]["result"]["verdict"], "exact", "{shown}");
    let count = search.client().count("by-api").expect("it counts");
    assert_eq!(count, records);
    steps.done("plan, run, stop, resume and verify over the API");
    a_fix_is_planned_run_and_verified(&mut page, kafka, search, isobar, steps);
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
}
