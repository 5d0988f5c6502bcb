//! The untimed pass: every document of a case is looked at, so that no figure is printed for work that
//! was not done.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use testkit::bulk_server::{BulkServer, Options, Stored};
use testkit::services::kafka::Sent;

use crate::cases::{Case, To};
use crate::stage::{COMMAND, LIMIT, Stage, check_report, object, sent};

/// Runs the case where what arrives is kept. Fails unless each record that is to be delivered is there once,
/// with all that was in it.
pub fn check(stage: &mut Stage, case: &Case) -> Result<()> {
    match case.to {
        To::Search => check_documents(stage, case),
        To::Kafka => check_topic(stage, case),
        // The product's report is checked in every run; records that go nowhere are counted there.
        To::Nowhere => Ok(()),
    }
}

/// A stand-in that keeps what it is sent.
pub fn keeping() -> Result<BulkServer> {
    BulkServer::start(Options {
        keep_documents: true,
        ..Options::default()
    })
}

/// As [`compare`]; and a second group that reads the same finds every document there: ids follow from records.
fn check_documents(stage: &mut Stage, case: &Case) -> Result<()> {
    let server = keeping()?;
    let setup = stage.setup(case, &server.url())?;
    check_report(&setup.finish(&COMMAND, LIMIT)?, case)?;
    let again = stage.setup(case, &server.url())?;
    let finished = again.finish(&COMMAND, LIMIT)?;
    ensure!(finished.status.success(), "{}", finished.stderr);
    let report: Value = serde_json::from_str(&finished.stdout)?;
    let total = &report["accounting"]["total"];
    ensure!(
        total["already_present"] == case.delivered,
        "{}: read again, its records have other ids: {total}",
        case.name
    );
    compare(case, &server)
}

/// Each record that is to be delivered is there once, as the whole document that it becomes, in its index, under an
/// id of its own and with its origin.
pub fn compare(case: &Case, server: &BulkServer) -> Result<()> {
    let documents = server.documents();
    ensure!(
        documents.len() as u64 == case.delivered,
        "{}: {} documents, {} expected",
        case.name,
        documents.len(),
        case.delivered
    );
    let records: Vec<Sent> = sent(&case.input).collect();
    let mut ids = HashSet::with_capacity(documents.len());
    let mut origins = HashSet::with_capacity(documents.len());
    for stored in &documents {
        ensure!(
            ids.insert(&stored.id),
            "the id {} is there twice",
            stored.id
        );
        let number = check_document(case, stored, &records)?;
        ensure!(
            origins.insert(number),
            "record {number} is there twice: {}",
            String::from_utf8_lossy(&stored.source)
        );
    }
    Ok(())
}

/// Compares one document with its record, which its origin tells, and returns the record's number.
fn check_document(case: &Case, stored: &Stored, records: &[Sent]) -> Result<u64> {
    let text = || String::from_utf8_lossy(&stored.source).into_owned();
    let mut document: Map<String, Value> =
        serde_json::from_slice(&stored.source).with_context(text)?;
    let origin = document.remove("_isobar").with_context(text)?;
    let place = origin["p"].as_u64().zip(origin["o"].as_u64());
    let (partition, offset) = place.with_context(|| format!("no origin in {}", text()))?;
    let number = offset * u64::from(case.input.partitions.unsigned_abs()) + partition;
    let record = records.get(usize::try_from(number)?);
    let record = record.with_context(|| format!("there is no record {number}: {}", text()))?;
    let members = ["t", "p", "o", "ts", "s"].map(|name| origin.get(name));
    ensure!(
        members.iter().all(Option::is_some)
            && origin
                .as_object()
                .is_some_and(|all| all.len() == members.len())
            && origin["t"] == case.input.topic()
            && origin["s"]
                .as_str()
                .is_some_and(|source| stored.id.contains(source))
            && origin["ts"].as_i64() == record.timestamp,
        "record {number} of {:?} has another origin: {origin}",
        record.timestamp
    );
    let record = std::str::from_utf8(record.value.as_deref().context("it has a value")?)?;
    let expected = (case.expected)(number, record);
    let expected = expected.with_context(|| format!("{record} is to be dropped: {}", text()))?;
    ensure!(
        stored.index == expected.index,
        "in {}, not in {}: {}",
        stored.index,
        expected.index,
        text()
    );
    ensure!(
        document == expected.document,
        "{record} became {}, and not {}",
        text(),
        Value::Object(expected.document)
    );
    Ok(number)
}

/// Each record as it was, once.
fn check_topic(stage: &mut Stage, case: &Case) -> Result<()> {
    let setup = stage.setup(case, &stage.server.url())?;
    check_report(&setup.finish(&COMMAND, LIMIT)?, case)?;
    let written = stage.kafka.consume_all(stage.out(), LIMIT)?;
    ensure!(
        written.len() as u64 == case.delivered,
        "{}: {} records, {} expected",
        case.name,
        written.len(),
        case.delivered
    );
    let mut left: HashSet<Vec<u8>> = (0..case.input.records)
        .filter_map(|number| object(case.input.content, number))
        .collect();
    for record in written {
        let value = record.value.unwrap_or_default();
        let text = || String::from_utf8_lossy(&value).into_owned();
        ensure!(
            left.remove(&value),
            "not a record, or there twice: {}",
            text()
        );
    }
    Ok(())
}
