//! The same topology file on embedded services and on real ones, with nothing changed but the
//! environment: the documents must be the same.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::isobar::{Isobar, Setup, finish};
use testkit::services::{Kafka, Search, SearchClient};

const TOPOLOGY: &str = include_str!("../../../deploy/topologies/demo.yaml");
/// Few enough to be read back by one search.
const RECORDS: u64 = 900;
const LIMIT: Duration = Duration::from_secs(120);

/// Runs the topology of the demo on both and compares. The services must not have its topics yet.
pub(crate) fn check_same_as_real(kafka: &Kafka, search: &Search) {
    kafka.create_topic("demo", 4, &[]).expect("it is created");
    let dead = kafka.create_topic("demo.dead", 1, &[]);
    dead.expect("it is created");
    let start = now();
    let real = run(kafka.brokers(), &search.url(), &start).expect("it runs on real services");
    let embedded = run("embedded", "embedded", &start).expect("it runs on embedded ones");
    assert!(real.rejected > 0, "there is garbage");
    assert_eq!(embedded.rejected, real.rejected);
    assert_eq!(real.documents.len() as u64 + real.rejected, RECORDS);
    assert_eq!(embedded.documents, real.documents);
}

/// What a run came to.
struct Ran {
    rejected: u64,
    /// Index and document, without where it comes from, in the order of the records.
    documents: Vec<(u64, String, Value)>,
}

fn run(brokers: &str, url: &str, start: &str) -> Result<Ran> {
    let setup = Setup::new(TOPOLOGY)?
        .environment("KAFKA", brokers)
        .environment("ES", url)
        .arguments(&["--log", "json", "--log-level", "info"]);
    let mut isobar = setup.start()?;
    isobar.wait_until_ready(LIMIT)?;
    let (brokers, url) = match brokers {
        "embedded" => (logged(&isobar, "brokers")?, logged(&isobar, "url")?),
        _ => (brokers.to_owned(), url.to_owned()),
    };
    let count = RECORDS.to_string();
    let generate = [
        "generate",
        "--count",
        &count,
        "--garbage",
        "3",
        "--topic",
        "demo",
    ];
    let more = ["--brokers", &brokers, "--start-time", start];
    let made = finish(&[&generate[..], &more].concat(), LIMIT)?;
    ensure!(made.status.success(), "{}", made.stderr);
    let rejected = isobar.wait_for("everything to be settled", LIMIT, |address| {
        let accounting = testkit::http::get(address, "/accounting")?.json()?;
        let total = &accounting["total"];
        let done = total["read"] == RECORDS && total["in_flight"] == 0;
        ensure!(done && total["difference"] == 0, "{total}");
        total["dead_lettered"].as_u64().context("a number")
    })?;
    let documents = documents(&SearchClient::new(url.trim_start_matches("http://")))?;
    let end = isobar.stop(LIMIT)?;
    ensure!(end.success(), "{}", isobar.log()?);
    Ok(Ran {
        rejected,
        documents,
    })
}

fn documents(search: &SearchClient) -> Result<Vec<(u64, String, Value)>> {
    search.refresh("demo-*")?;
    let found = search.json("GET", "/demo-*/_search?q=*&size=1000", None)?;
    let hits = found["hits"]["hits"].as_array().context("hits")?;
    let each = hits.iter().map(|hit| {
        let mut source = hit["_source"].clone();
        let document = source.as_object_mut().context("a document")?;
        // Source and partition are those of its own cluster.
        ensure!(document.remove("_isobar").is_some(), "it tells its origin");
        let number = source["number"].as_u64().context("a number")?;
        let index = hit["_index"].as_str().context("an index")?;
        Ok((number, index.to_owned(), source))
    });
    let mut documents = each.collect::<Result<Vec<_>>>()?;
    documents.sort_by_key(|(number, ..)| *number);
    Ok(documents)
}

/// A field of the first log line that has it.
fn logged(isobar: &Isobar, field: &str) -> Result<String> {
    let log = isobar.log()?;
    let mut lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = lines.find_map(|line| Some(line[field].as_str()?.to_owned()));
    found.with_context(|| format!("no {field} in\n{log}"))
}

fn now() -> String {
    let now = Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])
        .output();
    let now = now.expect("date is there").stdout;
    String::from_utf8_lossy(&now).trim().to_owned()
}
