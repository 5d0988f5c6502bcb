//! One index of two that takes nothing.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use testkit::isobar::{Isobar, Setup};
use testkit::services::kafka::Acknowledged;
use testkit::services::{Kafka, Search, SearchVersion};
use testkit::{http, wait};

use super::{LIMIT, PARTITIONS, median, settled, setup};
use crate::support::{Steps, Total};

/// Records per second of the held index's part; the others are nine times as many.
const TO_HELD: u64 = 400;
/// So that the held ones fill it within a minute.
const IN_FLIGHT: u64 = 20_000;
/// Records that each lane may read at once beyond it.
const BATCH: u64 = 100;

/// Of what the others send, the part that is indexed beside a held index, by the part without one, at least: a tenth
/// is for where the looks fall.
const UNAFFECTED: f64 = 0.9;
/// Looks without a held index and with one, in turn; of each the one in the middle counts. All the held records of
/// one look are far from filling what may be in flight.
const ROUNDS: usize = 3;
const LOOK: u64 = 10;
/// While fewer are in flight, those that were held are through.
const FEW: u64 = IN_FLIGHT / 10;
/// How long after as much is in flight as may be HELD may be said: it is when nothing was settled for 10 s.
const SAID_WITHIN: Duration = Duration::from_secs(30);

/// One index takes nothing, which is a tenth of the input: the others go on until the held ones fill what
/// may be in flight, as many as `plan` says, and the index is what presses; then all waits, which is called HELD.
/// With `on_held` they go on throughout.
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
        let setup = setup(&kafka, &search.url(), name, &nodes(name, on_held));
        let bounds = planned(&setup);
        let mut isobar = setup.start().expect("it starts");
        isobar.wait_until_ready(LIMIT).expect("it reads");
        let sampler = isobar.sample_accounting().expect("a thread");
        let load = kafka
            .load(name, PARTITIONS, TO_HELD * 10)
            .expect("it starts");
        let others = Others {
            search: &search,
            acknowledged: load.acknowledged(),
        };
        let both = "both indices to grow";
        isobar
            .wait_for(both, LIMIT, |_| {
                ensure!(documents(&search, "held")? > 0);
                Ok(())
            })
            .expect("it indexes");
        let (mut without, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            wait_until_through(&mut isobar);
            without.push(others.indexed(LOOK));
            block(&search, true);
            beside.push(others.indexed(LOOK));
            block(&search, false);
        }
        steps.done(&format!(
            "{name}: of the others' records are indexed at once: {without:.3?} without a held index, {beside:.3?} beside it"
        ));
        let [without, beside] = [without, beside].map(median);
        assert!(beside >= UNAFFECTED * without, "the others wait, too");
        wait_until_through(&mut isobar);
        block(&search, true);
        if on_held.is_empty() {
            // The first that waits keeps the offset before which all is settled where it is.
            wait_for_status(&mut isobar, "BACKPRESSURED");
            let total = Total::of(&isobar.accounting().expect("it answers")).expect("sums");
            assert!(total.in_flight < *bounds.start(), "{total:?}");
            let held = wait_until_held(&mut isobar, *bounds.start());
            assert!(bounds.contains(&held.in_flight), "{bounds:?}: {held:?}");
            assert_eq!(held.dead_lettered, 0, "{held:?}");
            assert_eq!(
                others.indexed(5),
                0.0,
                "others get through, and it is called HELD"
            );
            steps.done(&format!(
                "{name}: HELD with {} in flight, of {bounds:?} planned",
                held.in_flight
            ));
        } else {
            let later = others.indexed(35);
            assert_ne!(status(isobar.address()).expect("it answers"), "HELD");
            let total = Total::of(&isobar.accounting().expect("it answers")).expect("sums");
            assert!(total.dead_lettered > 0, "{total:?}");
            steps.done(&format!(
                "{name}: {later:.3} of the others' records a while later, {} dead-lettered",
                total.dead_lettered
            ));
            assert!(later >= UNAFFECTED * without, "the others wait, too");
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
  logs: {{type: kafka, connection: kafka, topics: [{topic}], start: earliest, max_in_flight_records: {IN_FLIGHT}, batch_records_max: {BATCH}}}
bolts:
  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  index:
    type: elasticsearch
    connection: search
    inputs: [parse]
    index: \"{{{{ doc.number % 10 == 0 ? 'held' : 'others' }}}}\"
    event_time_bounds: off
    flush_interval: 100ms
    {on_held}
"
    )
}

fn documents(search: &Search, index: &str) -> Result<u64> {
    search.client().refresh(index)?;
    search.client().count(index)
}

/// With how many records in flight the spout reads no more, as `plan` says: with what a lane reads at once beyond that
/// at most.
fn planned(setup: &Setup) -> RangeInclusive<u64> {
    let planned = setup.finish(&["plan", "-o", "json"], LIMIT);
    let planned = planned.expect("it ends");
    let plan: Value = serde_json::from_str(&planned.stdout).expect(&planned.stderr);
    let records = plan["bounds"]["spouts"][0]["max_in_flight_records"].as_u64();
    let lanes = plan["lanes"].as_u64().expect("a number");
    let records = records.expect("a bound");
    records..=records + lanes * BATCH
}

/// The records that go to the index that is not held.
struct Others<'s> {
    search: &'s Search,
    acknowledged: Acknowledged,
}

impl Others<'_> {
    /// How many of them were indexed in so many seconds, for each one that the broker took in that time.
    fn indexed(&self, seconds: u64) -> f64 {
        let counts = || {
            let all: u64 = (0..PARTITIONS as usize)
                .map(|partition| self.acknowledged.of(partition))
                .sum();
            let indexed = documents(self.search, "others").expect("it counts");
            (indexed as f64, all as f64 * 0.9)
        };
        let before = counts();
        wait::rest(Duration::from_secs(seconds));
        let after = counts();
        (after.0 - before.0) / (after.1 - before.1)
    }
}

/// Waits until records that were held are through.
fn wait_until_through(isobar: &mut Isobar) {
    isobar
        .wait_for("those that were held", LIMIT, |address| {
            let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
            ensure!(total.in_flight < FEW, "{total:?}");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
}

/// Waits until HELD is said, and returns the sums of that moment. Panics when it is not said soon after the planned
/// number is in flight.
fn wait_until_held(isobar: &mut Isobar, planned: u64) -> Total {
    let mut full = None;
    let held = isobar.wait_for("the status HELD", LIMIT, |address| {
        let status = status(address)?;
        let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
        if status == "HELD" {
            return Ok(Ok(total));
        }
        if total.in_flight >= planned {
            let since = *full.get_or_insert_with(wait::now);
            if since.elapsed() > SAID_WITHIN {
                return Ok(Err(format!("{status} with {total:?}")));
            }
        }
        bail!("{status} with {total:?}")
    });
    held.unwrap_or_else(|error| panic!("{error:#}"))
        .unwrap_or_else(|late| panic!("HELD is not said: {late}"))
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
