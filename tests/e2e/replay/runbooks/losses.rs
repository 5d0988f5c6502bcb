//! A topic that loses records before they are read, and then is made again beneath its commits.

use anyhow::ensure;
use testkit::services::kafka::tools;
use testkit::services::{Kafka, Search};
use testkit::{http, wait};

use super::{LIMIT, is_stopped_by, run_pages, small};
use crate::support::catch_up;

const RECORDS: u64 = 100;
const LOST: u64 = 30;

pub(super) fn a_topic_loses_records_and_is_made_again(kafka: &Kafka, search: &Search) {
    let setup = small(kafka, &search.url(), "lost", 2, "");
    let send = |numbers| {
        let sent = kafka.produce_json("lost", 2, numbers);
        sent.expect("all is acknowledged");
    };
    send(0..RECORDS);
    assert_eq!(catch_up(&setup, &[]).total().delivered, RECORDS);
    send(RECORDS..2 * RECORDS);
    let committed = RECORDS / 2;
    let start = i64::try_from(committed + LOST).expect("a small number");
    kafka
        .delete_records("lost", 0, start)
        .expect("they are deleted");
    let directory = setup.topology().parent().expect("it is in one").to_owned();
    let setup = setup
        .environment("PATH", &tools(&directory).expect("they are written"))
        .environment("TOPIC", "lost")
        .environment("OFFSET", &committed.to_string());
    run_pages(&setup, &["IsobarRecordsLost.md"]);
    let client = search.client();
    client.refresh("lost").expect("it refreshes");
    assert_eq!(client.count("lost").expect("it counts"), 2 * RECORDS - LOST);

    let commit = kafka.commit_text("lost", "lost", 0).expect("it answers");
    kafka.delete_topic("lost").expect("it is deleted");
    wait::until("the new topic", LIMIT, || {
        kafka.create_topic("lost", 2, &[])
    })
    .expect("it is made");
    send(0..RECORDS);
    // Kafka forgets the commits of a deleted topic; a restored group brings them back.
    for partition in 0..2 {
        kafka
            .commit("lost", "lost", partition, 100, &commit)
            .expect("it is committed");
    }
    let mut isobar = setup.start().expect("it starts");
    isobar
        .wait_for("the word that it is held, and its lag", LIMIT, |address| {
            let ready = http::get(address, "/readyz")?.text();
            ensure!(ready.contains("made again"), "{ready}");
            let lag = http::get(address, "/lag")?.json()?;
            ensure!(lag["spouts"][0]["lag"].is_u64(), "{lag}");
            Ok(())
        })
        .expect("it is said");
    let asked = small(kafka, &search.url(), "lost", 0, "");
    let asked =
        is_stopped_by(asked, &isobar).environment("URL", &format!("http://{}", isobar.address()));
    let asked = asked
        .environment("TOPIC", "lost")
        .environment("PARTITIONS", "0-1");
    run_pages(&asked, &["IsobarHeld.md"]);
    client.refresh("lost").expect("it refreshes");
    assert_eq!(client.count("lost").expect("it counts"), 3 * RECORDS - LOST);
}
