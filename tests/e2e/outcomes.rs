//! The outcome table against real servers: each row that says where it was seen is seen there again.
//! First by requests of the test's own, whose answers the table is asked about; then by a topology with
//! the sink at its end, where what follows from the row has to happen to the records.
//!
//! In every run on Elasticsearch 9 and OpenSearch 3; `tests/run e2e long` tries the two older ones.

mod answers;
mod records;

use std::collections::BTreeSet;

use isobar_operators::outcome::{Proof, Server, TABLE};
use testkit::services::{Search, SearchVersion};

use crate::support::Steps;

/// The ids of the rows that were seen.
pub(crate) type Seen = BTreeSet<&'static str>;

#[test]
fn elasticsearch_9_answers_as_the_table_says() {
    check(SearchVersion::Elasticsearch9);
}

#[test]
fn opensearch_3_answers_as_the_table_says() {
    check(SearchVersion::OpenSearch3);
}

/// Tries everything that a server of this version can be brought to answer.
pub(crate) fn check(version: SearchVersion) {
    let mut steps = Steps::new(version.directory());
    let settings = [
        ("http.max_content_length", "1mb"),
        ("indexing_pressure.memory.limit", "512kb"),
        // The sink alone does not fill it.
        ("thread_pool.write.queue_size", "12"),
        // As many threads write as there are processors: on a large machine the queue would never be full.
        ("node.processors", "2"),
        // With each update the server releases indices that are blocked for a full disk.
        ("cluster.info.update.interval", "1h"),
    ];
    let mut search = Search::start_guarded(version, &settings).expect("the server starts");
    steps.done("start");
    let mut seen = answers::see(&search);
    steps.done("answers");
    seen.append(&mut records::see(&mut search));
    steps.done("records");

    let server = server(version);
    let expected: Seen = TABLE
        .iter()
        .filter(|row| matches!(row.proof, Proof::Servers(servers) if servers.contains(&server)))
        .map(|row| row.id)
        .collect();
    let missing: Vec<_> = expected.difference(&seen).collect();
    let unclaimed: Vec<_> = seen.difference(&expected).collect();
    assert!(
        missing.is_empty() && unclaimed.is_empty(),
        "rows that the table claims for {server:?} and that were not seen: {missing:?}; \
         rows that were seen and that it does not claim: {unclaimed:?}"
    );
}

fn server(version: SearchVersion) -> Server {
    match version {
        SearchVersion::Elasticsearch8 => Server::Elasticsearch8,
        SearchVersion::Elasticsearch9 => Server::Elasticsearch9,
        SearchVersion::OpenSearch2 => Server::OpenSearch2,
        SearchVersion::OpenSearch3 => Server::OpenSearch3,
    }
}
