//! The quick start of the README and the look at a topic of one's own behind it, as they are written, against
//! a Kafka and an Elasticsearch.

mod embedded;

use std::path::Path;
use std::time::Duration;

use testkit::process::{Launch, Process};
use testkit::scratch::Scratch;
use testkit::services::Kafka;

use crate::support::with_search;
use embedded::check_same_as_real;

/// Most of it is the build, where nothing is built yet.
const LIMIT: Duration = Duration::from_secs(900);

#[test]
fn the_quick_start_indexes_100_000_documents_and_embedded_services_do_as_real_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("it is there");
    let (_, from_heading) = readme.split_once("## Quick start").expect("its heading");
    let (section, _) = from_heading.split_once("\n## ").expect("its end");
    let blocks = section.split("```sh\n").skip(1);
    let blocks = blocks.map(|from| from.split_once("```").expect("its end").0);
    let blocks: Vec<&str> = blocks.collect();
    assert_eq!(blocks.len(), 2, "the quick start, and a topic of one's own");

    let (kafka, search) = with_search(Kafka::start);
    let scratch = Scratch::new("readme").expect("a directory");
    let log = scratch.path().join("log");
    // Both in one shell, as for who follows the page. Only the file is not left in the repository, and what is
    // found of the services may be about this machine, such as a heap that is nearly full.
    let own = scratch.path().join("mine.yaml");
    let script = blocks.concat();
    assert!(script.contains("isobar doctor mine.yaml"), "{script}");
    let script = script
        .replace(
            "isobar doctor mine.yaml",
            "{ isobar doctor mine.yaml || test $? = 3; }",
        )
        .replace("mine.yaml", own.to_str().expect("text"));
    let launch = Launch::new("bash", &log)
        .arguments(["-euo", "pipefail", "-c", &script])
        .directory(&root)
        .environment("KAFKA", kafka.brokers())
        .environment("ES", format!("http://{}", search.client().address()));
    let ended = Process::run(launch, LIMIT);
    let printed = std::fs::read_to_string(&log).expect("it printed something");
    ended.unwrap_or_else(|error| panic!("{error:#}\n{printed}"));

    for expected in [
        "100,000 records acknowledged, 0 failed",
        "logs-to-elasticsearch.yaml: valid",
        "everything that was read is settled",
        "\"count\":100000",
        "of 200 records of isobar-quick-start, 200 are JSON objects",
        " passed, 0 failed",
    ] {
        assert!(
            printed.contains(expected),
            "{expected} is not in:\n{printed}"
        );
    }
    let rows = printed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let sums: Vec<_> = rows
        .filter(|row| row.starts_with(&["logs", "all"]))
        .collect();
    // That of the run, and that of the command beside it.
    assert_eq!(sums.len(), 2, "{printed}");
    assert!(
        sums.iter().all(|sum| sum[2..5] == ["0", "0", "ms"]),
        "{printed}"
    );

    // Where both services are there already.
    check_same_as_real(&kafka, &search);
}
