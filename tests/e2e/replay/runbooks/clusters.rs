//! Two clusters where one is meant, and moves from one cluster to another. The other Elasticsearch is the
//! stand-in, the other Kafka is embedded: they are up in no time.

use testkit::bulk_server::{BulkServer, Options};
use testkit::services::{Kafka, Search};

use super::{LIMIT, is_stopped_by, run_pages, small};
use crate::support::catch_up;

const RECORDS: u64 = 4_000;

pub(super) fn hosts_of_two_clusters_share_the_documents(kafka: &Kafka, search: &Search) {
    let client = search.client();
    let count = |index: &str| {
        client.refresh(index).expect("it refreshes");
        client.count(index).expect("it counts")
    };
    let other = BulkServer::start(Options::default()).expect("the stand-in starts");
    let both = format!("{},{}", search.url(), other.url());
    let setup = small(kafka, &both, "split", 2, "");
    kafka
        .produce_json("split", 2, 0..RECORDS)
        .expect("all is acknowledged");
    assert_eq!(catch_up(&setup, &[]).total().delivered, RECORDS);
    assert!(count("split") < RECORDS, "the other one has a part");
    let file = std::fs::read_to_string(setup.topology()).expect("it is there");
    let hosts = |url: &str| file.replace("${ES}", url);
    let setup = setup
        .file("repaired.yaml", &hosts(&search.url()))
        .expect("written")
        .environment("REPAIRED", "repaired.yaml")
        .environment("SINCE", "earliest");
    run_pages(&setup, &["split-brain.md"]);
    assert_eq!(count("split"), RECORDS);
}

pub(super) fn another_elasticsearch(kafka: &Kafka, search: &Search) {
    let other = BulkServer::start(Options::default()).expect("the stand-in starts");
    let setup = small(kafka, &other.url(), "moved", 2, "");
    let file = std::fs::read_to_string(setup.topology()).expect("it is there");
    kafka
        .produce_json("moved", 2, 0..100)
        .expect("all is acknowledged");
    assert_eq!(catch_up(&setup, &[]).total().delivered, 100);
    kafka
        .produce_json("moved", 2, 100..150)
        .expect("all is acknowledged");
    let setup = setup
        .file("new.yaml", &file.replace("${ES}", &search.url()))
        .expect("written")
        .environment("NEW", "new.yaml")
        .environment("STOP", "true");
    run_pages(&setup, &["move-to-another-elasticsearch.md"]);
    let client = search.client();
    client.refresh("moved").expect("it refreshes");
    assert_eq!(client.count("moved").expect("it counts"), 150);
}

pub(super) fn another_kafka(kafka: &Kafka, search: &Search) {
    let setup = small(kafka, &search.url(), "elsewhere", 2, "");
    let file = std::fs::read_to_string(setup.topology()).expect("it is there");
    kafka
        .produce_json("elsewhere", 2, 0..100)
        .expect("all is acknowledged");
    let old = file.replace("${KAFKA}", "embedded");
    std::fs::write(setup.topology(), old).expect("written");
    let mut isobar = setup.start().expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let log = isobar.log().expect("it has one");
    let brokers = log.split("brokers=\"").nth(1);
    let brokers = brokers.and_then(|rest| rest.split('"').next());
    let brokers = brokers.expect("it says where the embedded Kafka is");
    let generate = [
        "generate",
        "--topic",
        "elsewhere",
        "--count",
        "50",
        "--brokers",
        brokers,
    ];
    let asked = small(kafka, &search.url(), "elsewhere", 0, "");
    let made = asked.finish_alone(&generate, LIMIT).expect("it ends");
    assert!(made.status.success(), "{}", made.stderr);
    let asked = asked
        .file("new.yaml", &file)
        .expect("written")
        .environment("NEW", "new.yaml")
        .environment("URL", &format!("http://{}", isobar.address()));
    run_pages(
        &is_stopped_by(asked, &isobar),
        &["move-to-another-kafka.md"],
    );
    let client = search.client();
    client.refresh("elsewhere").expect("it refreshes");
    assert_eq!(client.count("elsewhere").expect("it counts"), 150);
}
