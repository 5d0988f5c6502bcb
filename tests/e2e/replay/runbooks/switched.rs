//! A window goes into a new index while a live topology writes by the alias that readers use; they are switched to it,
//! and back, and see every document before, between and after.

use anyhow::ensure;
use serde_json::json;
use testkit::services::{Kafka, Search};
use testkit::wait;

use super::{LIMIT, printed, small};

const PAGE: &str = "replay-into-a-new-index.md";
const NAME: &str = "switched";
const PER_SECOND: u64 = 100;
/// Before the page is begun.
const RECORDS: i64 = 500;
/// Documents of an index that nothing is to be done with.
const OTHERS: u64 = 1;

pub(super) fn readers_lose_nothing_by_a_switch_and_the_way_back(kafka: &Kafka, search: &Search) {
    let client = search.client();
    let ask = |method: &str, path: &str, body| {
        let answer = client.json(method, path, Some(&body));
        answer.expect("it answers")
    };
    let _ = ask("PUT", "/switched-0", json!({"aliases": {NAME: {}}}));
    let _ = ask(
        "PUT",
        "/switched-0/_doc/1?refresh=true",
        json!({"of": "others"}),
    );
    let written = json!({"aliases": {NAME: {"is_write_index": true}}});
    let _ = ask("PUT", "/switched-1", written);
    // A replay waits while the live topology is behind: by the time of its records, which the load has of long ago.
    let by_arrival = [("message.timestamp.type", "LogAppendTime")];
    let made = kafka.create_topic(NAME, 2, &by_arrival);
    made.expect("the topic is created");
    let made = kafka.create_topic(&format!("{NAME}.dead"), 1, &[]);
    made.expect("the topic is created");
    let setup = small(kafka, &search.url(), NAME, 0, "")
        .environment("FROM", "earliest")
        .environment("NEW", "switched-2")
        .environment("ALIAS", NAME)
        .environment("OLD", "switched-1")
        .environment("WRITES", "true");
    let live = std::fs::read_to_string(setup.topology()).expect("it is there");
    let mut isobar = setup.start().expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let load = kafka.load(NAME, 2, PER_SECOND).expect("it is sent");
    let settled = |least: i64| {
        wait::until("what was sent", LIMIT, || {
            let settled = kafka.committed(NAME, NAME)?;
            let settled: i64 = settled.into_iter().flatten().sum();
            ensure!(settled >= least, "{settled} of {least}");
            Ok(())
        })
        .expect("it is settled");
    };
    settled(RECORDS);
    let fixed = live
        .replace(
            "  index:\n",
            "  fix: {type: set_fields, inputs: [parse], fields: {env: fixed}}\n  index:\n",
        )
        .replace("inputs: [parse]\n", "inputs: [fix]\n");
    std::fs::write(isobar.setup().topology(), fixed).expect("written");

    let text = isobar.setup().runbook(PAGE, LIMIT);
    let text = text.expect("its commands succeed");
    let found = [
        " documents other than indexed\n",
        "switched switched-0",
        "switched switched-2",
    ];
    printed(&text, &found);
    // The window, twice; the window up to a time behind the switch; and what there is in all after the way back.
    assert_eq!(text.matches("Verified: exact").count(), 4, "{text}");
    let counts: Vec<u64> = text
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .collect();
    let [before, _old, _new, after, back] = counts[..] else {
        panic!("{counts:?} in {text}");
    };
    assert!(
        before > OTHERS && after >= before && back >= after,
        "{counts:?}"
    );

    let sent = load.finish().expect("all is acknowledged");
    settled(i64::try_from(sent).expect("few"));
    client.refresh("switched-*").expect("it refreshes");
    // As it was, with all that has come since.
    let behind = client
        .json("GET", "/_alias/switched", None)
        .expect("it answers");
    let behind: Vec<&String> = behind.as_object().expect("indices").keys().collect();
    assert_eq!(behind, ["switched-0", "switched-1"]);
    assert_eq!(client.count(NAME).expect("it counts"), sent + OTHERS);
    let _ = isobar.stop(LIMIT).expect("it ends");
}
