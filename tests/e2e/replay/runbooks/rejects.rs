//! An index that has another type for a field than the documents: dead letters grow, the file is
//! repaired, the letters are redriven.

use serde_json::json;
use testkit::services::{Kafka, Search};

use super::{run_pages, small};
use crate::support::catch_up;

const RECORDS: u64 = 100;

pub(super) fn a_mapping_does_not_fit(kafka: &Kafka, search: &Search) {
    let client = search.client();
    let mapping = json!({"mappings": {"properties": {"level": {"type": "long"}}}});
    let _ = client
        .json("PUT", "/conflict", Some(&mapping))
        .expect("it is made");
    let setup = small(kafka, &search.url(), "conflict", 2, "");
    kafka
        .produce_json("conflict", 2, 0..RECORDS)
        .expect("all is acknowledged");
    assert_eq!(catch_up(&setup, &[]).total().dead_lettered, RECORDS);
    let wrong = std::fs::read_to_string(setup.topology()).expect("it is there");
    let right = wrong.replace("index: conflict\n", "index: conflict-2\n");
    let setup = setup
        .file("repaired.yaml", &right)
        .expect("written")
        .environment("REPAIRED", "repaired.yaml")
        .environment("INDEX", "conflict")
        .environment("FIELD", "level");
    run_pages(&setup, &["IsobarRejectRatio.md", "mapping-conflict.md"]);
    client.refresh("conflict-2").expect("it refreshes");
    assert_eq!(client.count("conflict-2").expect("it counts"), RECORDS);
}
