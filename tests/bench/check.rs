//! The untimed pass: every document of a case is looked at, so that no figure is printed for work that
//! was not done.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::bulk_server::{BulkServer, Options, Stored};

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

/// Each document in its index, under an id of its own, with its origin and all that its record makes of it. A
/// second group that reads the same finds every document there: ids follow from records.
fn check_documents(stage: &mut Stage, case: &Case) -> Result<()> {
    let server = BulkServer::start(Options {
        keep_documents: true,
        ..Options::default()
    })?;
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
    let documents = server.documents();
    ensure!(
        documents.len() as u64 == case.delivered,
        "{}: {} documents, {} expected",
        case.name,
        documents.len(),
        case.delivered
    );
    let records: Vec<_> = sent(&case.input).filter_map(|sent| sent.value).collect();
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
fn check_document(case: &Case, stored: &Stored, records: &[Vec<u8>]) -> Result<u64> {
    let text = || String::from_utf8_lossy(&stored.source).into_owned();
    let document: Value = serde_json::from_slice(&stored.source).with_context(text)?;
    let origin = &document["_isobar"];
    let place = origin["p"].as_u64().zip(origin["o"].as_u64());
    let place = place.filter(|_| origin["t"] == case.input.topic());
    let (partition, offset) = place.with_context(|| format!("no origin in {document}"))?;
    let number = offset * u64::from(case.input.partitions.unsigned_abs()) + partition;
    let record = records.get(usize::try_from(number)?);
    let record = record.with_context(|| format!("there is no record {number}: {document}"))?;
    let record = std::str::from_utf8(record)?;
    let expected = (case.expected)(number, record);
    let expected = expected.with_context(|| format!("{record} is to be dropped: {document}"))?;
    ensure!(
        stored.index == expected.index,
        "in {}, not in {}: {document}",
        stored.index,
        expected.index
    );
    for (name, value) in &expected.members {
        ensure!(
            document[name] == *value,
            "{name} is not {value} in {document}, made of {record}"
        );
    }
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
