//! `kill -9` at ten moments with records in flight, and start again.

use std::time::Duration;

use anyhow::ensure;
use testkit::services::Kafka;

use crate::support::{Steps, Total, catch_up, check_exactly_once, setup, with_search};

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: u64 = 4;
/// Sent before each of the kills.
const RECORDS: u64 = 30_000;
const KILLS: u64 = 10;

#[test]
fn nothing_is_missing_and_nothing_twice_after_ten_kills() {
    let mut steps = Steps::new("kill");
    let (kafka, search) = with_search(Kafka::start);
    kafka
        .create_topic("logs", 4, &[])
        .expect("the topic is created");
    steps.done("start");

    // A fixed name of the member: the group need not wait for the session of the one that was killed.
    let spout = ", commit_interval: 500ms, group_instance_id: only";
    let mut isobar = setup(&kafka, &search.url(), "killed", spout)
        .start()
        .expect("it starts");
    let sampler = isobar.sample_accounting().expect("a thread");
    let mut already_present = 0;
    for kill in 0..KILLS {
        kafka
            .produce_json("logs", 4, kill * RECORDS..(kill + 1) * RECORDS)
            .expect("all is acknowledged");
        if kill > 0 {
            isobar.start_again().expect("it starts again");
        }
        // From the first record in flight on, a moment that no schedule of ours explains.
        let settled = kill * 2_713 % 20_011;
        let before = isobar.wait_for("records in flight", LIMIT, |address| {
            let accounting = testkit::http::get(address, "/accounting")?.json()?;
            let total = Total::of(&accounting)?;
            ensure!(total.in_flight > 0, "{total:?}");
            ensure!(total.indexed() >= settled, "{total:?}");
            Ok(total)
        });
        isobar.kill9();
        let before = before.unwrap_or_else(|error| panic!("kill {kill}: {error:#}"));
        already_present += before.already_present;
        steps.done(&format!("kill {kill} with {} in flight", before.in_flight));
    }
    let samples = sampler.finish().expect("every sample adds up");
    assert!(samples.good >= KILLS, "{samples:?}");

    let committed = kafka
        .committed("killed", "logs")
        .expect("the broker answers");
    let open: i64 = kafka
        .end_offsets("logs")
        .expect("the broker answers")
        .iter()
        .zip(committed)
        .map(|(end, committed)| end - committed.unwrap_or(0))
        .sum();
    let ended = catch_up(isobar.setup(), &["--fail-on-reject"]);
    let total = ended.total();
    assert_eq!(ended.finished.status.code(), Some(0), "{total:?}");
    assert_eq!(total.read, open as u64, "it reads what is not committed");
    assert_eq!(total.indexed(), total.read);
    already_present += total.already_present;
    assert!(already_present > 0, "some records were sent again");
    steps.done(&format!(
        "the rest; {already_present} records were sent again"
    ));

    check_exactly_once(&search, PARTITIONS, KILLS * RECORDS);
    steps.done("look at every document");
}
