//! A partition that has nearly all records, and more lanes than partitions.

use testkit::records;
use testkit::services::kafka::{Sent, tools};
use testkit::services::{Kafka, Search};

use super::{run_pages, small};
use crate::support::catch_up;

pub(super) fn one_partition_has_it_all(kafka: &Kafka, search: &Search) {
    let setup = small(kafka, &search.url(), "hot", 2, "");
    kafka
        .produce_json("hot", 2, 0..2)
        .expect("all is acknowledged");
    assert_eq!(catch_up(&setup, &[]).total().delivered, 2);
    let sent = (0..1_000).map(|number| Sent {
        partition: Some(i32::from(number % 100 != 0)),
        key: Some(
            if number % 10 == 0 {
                "tenant-3"
            } else {
                "tenant-17"
            }
            .into(),
        ),
        value: Some(records::json(number)),
        timestamp: None,
    });
    kafka.produce("hot", sent).expect("all is acknowledged");
    let file = std::fs::read_to_string(setup.topology()).expect("it is there");
    let lanes = |file: &str| format!("{file}settings: {{lanes: 4}}\n");
    let shuffled = file.replace(
        "inputs: [logs]",
        "inputs: [{from: logs, grouping: shuffle}]",
    );
    std::fs::write(setup.topology(), lanes(&file)).expect("written");
    let directory = setup.topology().parent().expect("it is in one").to_owned();
    let setup = setup
        .file("repaired.yaml", &lanes(&shuffled))
        .expect("written")
        .environment("PATH", &tools(&directory).expect("they are written"))
        .environment("REPAIRED", "repaired.yaml")
        .environment("PARTITION", "1")
        .environment("TOPIC", "hot")
        .environment("PARTITIONS", "4");
    run_pages(&setup, &["hot-partition.md", "scale-beyond-partitions.md"]);
    let client = search.client();
    client.refresh("hot").expect("it refreshes");
    assert_eq!(client.count("hot").expect("it counts"), 1_002);
}
