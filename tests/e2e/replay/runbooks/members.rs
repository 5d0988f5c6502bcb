//! Replicas of one group: one is replaced, and one comes and goes.

use testkit::process::{Launch, Process};
use testkit::services::{Kafka, Search};

use super::{LIMIT, is_stopped_by, run_pages, small};

/// The group finds out within half a second that somebody came or went.
const SPOUT: &str = ", options: {session.timeout.ms: 6000, heartbeat.interval.ms: 500}";

pub(super) fn a_replica_is_replaced_and_one_comes_and_goes(kafka: &Kafka, search: &Search) {
    let url = search.url();
    let stays = small(kafka, &url, "members", 4, SPOUT);
    kafka
        .produce_json("members", 4, 0..100)
        .expect("all is acknowledged");
    let mut stays = stays.start().expect("it starts");
    stays.wait_until_ready(LIMIT).expect("it reads");
    let mut goes = small(kafka, &url, "members", 0, SPOUT)
        .start()
        .expect("it starts");
    goes.wait_until_ready(LIMIT).expect("it reads");
    let asked = is_stopped_by(small(kafka, &url, "members", 0, SPOUT), &goes);
    run_pages(&asked, &["drain-and-replace-a-replica.md"]);

    let flaps = small(kafka, &url, "members", 0, SPOUT);
    let program = testkit::isobar::binary().expect("it is built");
    let again = format!(
        "while true; do timeout --foreground 4 {program:?} run {:?} --http off; done",
        flaps.topology()
    );
    let log = flaps.topology().with_file_name("flaps.log");
    let launch = Launch::new("bash", &log)
        .arguments(["-c", &again])
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &url);
    let flapping = Process::start(launch).expect("it starts");
    let group = flapping.id().expect("it runs");
    let asked = small(kafka, &url, "members", 0, SPOUT)
        .environment("URL", &format!("http://{}", stays.address()))
        .environment("PAUSE", "3")
        .environment("STOP", &format!("kill -TERM -- -{group}"));
    let text = asked.runbook("rebalance-loop.md", LIMIT);
    let text = text.unwrap_or_else(|error| panic!("{error:#}"));
    let counts: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("isobar_spout_rebalances_total"))
        .collect();
    let [first, .., last] = counts[..] else {
        panic!("{text}");
    };
    assert_ne!(first, last, "{text}");
}
