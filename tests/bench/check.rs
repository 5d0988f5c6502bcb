//! The untimed pass: every document of a case is looked at, so that no figure is printed for work that
//! was not done.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::bulk_server::{BulkServer, Options};

use crate::cases::{Case, To};
use crate::stage::{COMMAND, LIMIT, Stage, check_report, object};

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

/// Each document under an id of its own, with its origin, the members of its record, and what the bolts add.
fn check_documents(stage: &mut Stage, case: &Case) -> Result<()> {
    let server = BulkServer::start(Options {
        keep_documents: true,
        ..Options::default()
    })?;
    let setup = stage.setup(case, &server.url())?;
    check_report(&setup.finish(&COMMAND, LIMIT)?, case)?;
    let documents = server.documents();
    ensure!(
        documents.len() as u64 == case.delivered,
        "{}: {} documents, {} expected",
        case.name,
        documents.len(),
        case.delivered
    );
    let mut ids = HashSet::with_capacity(documents.len());
    let mut origins = HashSet::with_capacity(documents.len());
    for stored in &documents {
        let text = || String::from_utf8_lossy(&stored.source).into_owned();
        let document: Value = serde_json::from_slice(&stored.source).with_context(text)?;
        ensure!(
            ids.insert(&stored.id),
            "the id {} is there twice",
            stored.id
        );
        let origin = &document["_isobar"];
        let place = (origin["p"].as_u64(), origin["o"].as_u64());
        ensure!(
            origin["t"] == case.input.topic() && place.0.is_some() && place.1.is_some(),
            "no origin in {document}"
        );
        ensure!(origins.insert(place), "{origin} is there twice");
        let number = place.1.zip(place.0);
        let number = number.map(|(offset, partition)| {
            offset * u64::from(case.input.partitions.unsigned_abs()) + partition
        });
        let record = number.and_then(|number| object(case.input.content, number));
        if let Some(record) = record {
            let record: Value = serde_json::from_slice(&record)?;
            for (name, value) in record.as_object().context("an object")? {
                ensure!(
                    document[name] == *value,
                    "{name} is no longer {value} in {document}"
                );
            }
        }
        for (pointer, expected) in case.fields {
            let found = document.pointer(pointer).map(Value::to_string);
            ensure!(
                found.as_deref() == Some(*expected),
                "{pointer} is {found:?} in {document}"
            );
        }
    }
    Ok(())
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
