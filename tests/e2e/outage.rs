//! Elasticsearch away for a minute under load, ten in the long form, then the broker: bounded memory, nothing lost, nothing
//! dead-lettered, and it goes on by itself.

use std::time::Duration;

use anyhow::ensure;
use testkit::isobar::Isobar;
use testkit::services::Kafka;
use testkit::wait;

use crate::support::{Steps, Total, check_exactly_once, planned_memory, setup, with_search};

const LIMIT: Duration = Duration::from_secs(240);
const PARTITIONS: u64 = 4;
/// What a default topology may take at most, whatever its plan says.
const MEMORY_MAX: u64 = 512 << 20;

#[test]
fn outages_of_both_sides_are_waited_out_within_the_bounds() {
    run(Duration::from_secs(60));
}

/// With Elasticsearch away for so long, at full input.
pub(crate) fn run(outage: Duration) {
    let mut steps = Steps::new("outage");
    let (mut kafka, mut search) = with_search(Kafka::start);
    kafka
        .create_topic("logs", 4, &[])
        .expect("the topic is created");
    let setup = setup(&kafka, &search.url(), "outage", "");
    let bound = planned_memory(&setup);
    assert!(bound <= MEMORY_MAX, "planned: {bound}");
    let mut isobar = setup.start().expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let sampler = isobar.sample_accounting().expect("a thread");
    kafka
        .produce_json("logs", 4, 0..50_000)
        .expect("all is acknowledged");
    let _ = wait_for_indexed(&mut isobar, 25_000);
    steps.done("start, first records");

    search.kill9();
    let began = wait::now();
    // More than may be in flight, so that reading has to stop.
    kafka
        .produce_json("logs", 4, 50_000..400_000)
        .expect("all is acknowledged");
    isobar
        .wait_for("the word that Elasticsearch is away", LIMIT, |address| {
            let ready = testkit::http::get(address, "/readyz")?;
            ensure!(ready.status == 503, "/readyz: {}", ready.text());
            ensure!(ready.text().contains("index"), "{}", ready.text());
            Ok(())
        })
        .expect("it is said");
    let held = isobar
        .wait_for("a standstill at the bound", LIMIT, |address| {
            let total = Total::of(&testkit::http::get(address, "/accounting")?.json()?)?;
            ensure!(total.in_flight >= 90_000, "{total:?}");
            Ok(total)
        })
        .expect("it reads as much as it may hold");
    wait::rest(outage.saturating_sub(began.elapsed()));
    let later = Total::of(&isobar.accounting().expect("it answers")).expect("an accounting");
    assert!(later.read - held.read <= 20_000, "{held:?} {later:?}");
    assert_eq!(later.dead_lettered, 0);
    steps.done(&format!(
        "{outage:?} without Elasticsearch, {} records held",
        later.in_flight
    ));

    search.restart().expect("Elasticsearch starts again");
    steps.done("Elasticsearch starts again");
    let _ = wait_for_indexed(&mut isobar, 400_000);
    isobar.wait_until_ready(LIMIT).expect("all is well again");
    steps.done("everything is indexed");

    kafka
        .produce_json("logs", 4, 400_000..450_000)
        .expect("all is acknowledged");
    let _ = wait_for_indexed(&mut isobar, 401_000);
    kafka.kill9();
    kafka.restart().expect("Kafka starts again");
    kafka
        .produce_json("logs", 4, 450_000..500_000)
        .expect("all is acknowledged");
    let total = wait_for_indexed(&mut isobar, 500_000);
    isobar.wait_until_ready(LIMIT).expect("all is well again");
    steps.done("the broker restarts, everything is indexed");

    assert_eq!((total.dead_lettered, total.dropped), (0, 0));
    let peak = isobar.process().peak_memory().expect("it runs");
    assert!(
        peak <= bound,
        "it took {} MiB, the plan says {} MiB",
        peak >> 20,
        bound >> 20
    );
    let samples = sampler.finish().expect("every sample adds up");
    assert_eq!(samples.unanswered, 0, "{samples:?}");
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
    let committed = kafka
        .committed("outage", "logs")
        .expect("the broker answers");
    assert_eq!(committed, [Some(125_000); 4]);
    steps.done(&format!(
        "stop; peak memory {} MiB of {} MiB",
        peak >> 20,
        bound >> 20
    ));
    check_exactly_once(&search, PARTITIONS, 500_000);
    steps.done("look at every document");
}

/// Waits until so many records are settled, each as a document.
fn wait_for_indexed(isobar: &mut Isobar, records: u64) -> Total {
    let total = isobar.wait_for("records to be indexed", LIMIT, |address| {
        let total = Total::of(&testkit::http::get(address, "/accounting")?.json()?)?;
        ensure!(total.indexed() >= records, "{total:?}");
        Ok(total)
    });
    total.unwrap_or_else(|error| panic!("{error:#}"))
}
