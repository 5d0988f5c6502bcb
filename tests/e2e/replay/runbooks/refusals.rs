//! A topology whose index takes nothing: it stands still, is repaired, is killed, and starts again.

use anyhow::ensure;
use serde_json::json;
use testkit::http;
use testkit::services::{Kafka, Search};

use super::{LIMIT, printed, run_pages, small};

const RECORDS: u64 = 200;
/// A kill leaves nothing committed, and the group waits for the one that was killed for 6 s and not for 45.
const SPOUT: &str =
    ", commit_interval: 1h, options: {session.timeout.ms: 6000, heartbeat.interval.ms: 500}";

pub(super) fn an_index_refuses_and_the_process_is_killed(kafka: &Kafka, search: &Search) {
    let client = search.client();
    let full = json!({"settings": {"index.blocks.read_only_allow_delete": true}});
    let _ = client
        .json("PUT", "/refused", Some(&full))
        .expect("it is made");
    let setup = small(kafka, &search.url(), "refused", 2, SPOUT);
    kafka
        .produce_json("refused", 2, 0..RECORDS)
        .expect("all is acknowledged");
    let mut isobar = setup.start().expect("it starts");
    isobar
        .wait_for("the word that the index refuses", LIMIT, |address| {
            let ready = http::get(address, "/readyz")?.text();
            ensure!(ready.contains("refused"), "{ready}");
            Ok(())
        })
        .expect("it is said");
    let asked = small(kafka, &search.url(), "refused", 0, SPOUT)
        .environment("URL", &format!("http://{}", isobar.address()))
        .environment("INDEX", "refused");
    run_pages(
        &asked,
        &[
            "IsobarTooOld.md",
            "IsobarNoProgress.md",
            "IsobarMemoryNearBound.md",
            "elasticsearch-refuses.md",
            "IsobarAccountDoesNotAddUp.md",
        ],
    );
    isobar.kill9();
    let text = asked.runbook("out-of-memory.md", LIMIT);
    printed(
        &text.expect("its commands succeed"),
        &["everything that was read is settled"],
    );
    client.refresh("refused").expect("it refreshes");
    assert_eq!(client.count("refused").expect("it counts"), RECORDS);
}
