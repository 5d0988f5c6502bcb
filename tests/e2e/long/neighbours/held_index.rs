//! One index of two that takes nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::isobar::Isobar;
use testkit::services::{Kafka, Search, SearchVersion};
use testkit::{http, wait};

use super::{LIMIT, PARTITIONS, settled, setup};
use crate::support::{Steps, Total};

/// Records per second of the held index's part; the others are nine times as many.
const TO_HELD: u64 = 400;
/// So that the held ones fill it within a minute.
const IN_FLIGHT: u64 = 20_000;

/// Of their rate before, what the others have at least while the index is held: they are unaffected, and the
/// machine does other things.
const UNAFFECTED: f64 = 0.7;

/// One index takes nothing, which is a tenth of the input: the others go on until the held ones fill what
/// may be in flight, and the index is what presses; then all waits, which is called HELD. With `on_held`
/// they go on throughout.
pub(crate) fn one_index_held() {
    let mut steps = Steps::new("one index held");
    let kafka = Kafka::start().expect("Kafka starts");
    let search = Search::start(SearchVersion::Elasticsearch9).expect("Elasticsearch starts");
    steps.done("start");
    for (name, on_held) in [
        ("waits", ""),
        ("rejects", "on_held: {after: 5s, then: dead_letter}"),
    ] {
        kafka
            .create_topic(name, PARTITIONS as i32, &[])
            .expect("the topic is created");
        let mut isobar = setup(&kafka, &search, name, &nodes(name, on_held))
            .start()
            .expect("it starts");
        isobar.wait_until_ready(LIMIT).expect("it reads");
        let sampler = isobar.sample_accounting().expect("a thread");
        let load = kafka
            .load(name, PARTITIONS, TO_HELD * 10)
            .expect("it starts");
        let both = "both indices to grow";
        isobar
            .wait_for(both, LIMIT, |_| {
                ensure!(documents(&search, "held")? > 0);
                Ok(())
            })
            .expect("it indexes");
        let before = rate_of_others(&search, 20);
        block(&search, true);
        if on_held.is_empty() {
            // The first that waits keeps the offset before which all is settled where it is.
            wait_for_status(&mut isobar, "BACKPRESSURED");
            let total = Total::of(&isobar.accounting().expect("it answers")).expect("sums");
            assert!(total.in_flight < IN_FLIGHT, "{total:?}");
        }
        // 400 each second come to 20,000 in 50 s.
        let beside = rate_of_others(&search, 20);
        steps.done(&format!(
            "{name}: others' records/s: {before:.0} before, {beside:.0} beside the held index"
        ));
        assert!(beside >= UNAFFECTED * before, "the others wait, too");
        if on_held.is_empty() {
            wait_for_status(&mut isobar, "HELD");
            let total = Total::of(&isobar.accounting().expect("it answers")).expect("sums");
            assert_eq!(total.dead_lettered, 0, "{total:?}");
            assert!(total.in_flight >= IN_FLIGHT, "{total:?}");
            let standstill = rate_of_others(&search, 5);
            assert_eq!(standstill, 0.0, "others get through, and it is called HELD");
            steps.done(&format!("{name}: HELD with {} in flight", total.in_flight));
        } else {
            let later = rate_of_others(&search, 35);
            assert_ne!(status(isobar.address()).expect("it answers"), "HELD");
            let total = Total::of(&isobar.accounting().expect("it answers")).expect("sums");
            assert!(total.dead_lettered > 0, "{total:?}");
            steps.done(&format!(
                "{name}: others' records/s: {later:.0} a while later, {} dead-lettered",
                total.dead_lettered
            ));
            assert!(later >= UNAFFECTED * before, "the others wait, too");
        }
        block(&search, false);
        let sent = load.finish().expect("all is acknowledged");
        let total = settled(&mut isobar, sent);
        assert_eq!(total.indexed() + total.dead_lettered, sent, "{total:?}");
        assert_eq!(
            documents(&search, "others").expect("it counts"),
            sent - sent.div_ceil(10)
        );
        assert_eq!(
            documents(&search, "held").expect("it counts") + total.dead_lettered,
            sent.div_ceil(10)
        );
        let _ = sampler.finish().expect("every sample adds up");
        assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
        for index in ["held", "others"] {
            search.client().delete_index(index).expect("an empty start");
        }
        steps.done(&format!(
            "{name}: {sent} sent, {} indexed, {} dead-lettered",
            total.indexed(),
            total.dead_lettered
        ));
    }
}

fn nodes(topic: &str, on_held: &str) -> String {
    format!(
        "\
spouts:
  logs: {{type: kafka, connection: kafka, topics: [{topic}], start: earliest, max_in_flight_records: {IN_FLIGHT}}}
bolts:
  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  index:
    type: elasticsearch
    connection: search
    inputs: [parse]
    index: \"{{{{ doc.number % 10 == 0 ? 'held' : 'others' }}}}\"
    event_time_bounds: off
    {on_held}
"
    )
}

fn documents(search: &Search, index: &str) -> Result<u64> {
    search.client().refresh(index)?;
    search.client().count(index)
}

/// How many documents of the index that is not held come in each second.
fn rate_of_others(search: &Search, seconds: u64) -> f64 {
    let count = || documents(search, "others").expect("it counts");
    let (began, before) = (wait::now(), count());
    wait::rest(Duration::from_secs(seconds));
    (count() - before) as f64 / began.elapsed().as_secs_f64()
}

fn block(search: &Search, blocked: bool) {
    let settings = json!({ "index.blocks.write": blocked });
    let _ = search
        .client()
        .json("PUT", "/held/_settings", Some(&settings))
        .expect("the setting is taken");
}

fn wait_for_status(isobar: &mut Isobar, wanted: &str) {
    isobar
        .wait_for(&format!("the status {wanted}"), LIMIT, |address| {
            let status = status(address)?;
            ensure!(status == wanted, "{status}");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
}

fn status(address: &str) -> Result<String> {
    let lag = http::get(address, "/lag")?.json()?;
    let status = lag["spouts"][0]["status"].as_str();
    Ok(status.context("a word")?.to_owned())
}
