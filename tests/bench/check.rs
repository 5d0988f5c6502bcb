//! The untimed pass: every document of a case is looked at, so that no figure is printed for work that
//! was not done.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::bulk_server::{BulkServer, Options};

use crate::cases::{Case, To};
use crate::stage::{COMMAND, LIMIT, Stage, check_report};

/// Runs the case against a server that keeps what it is sent. Fails unless each record that is to be
/// delivered is there once, under an id of its own, with its origin and what the bolts add.
pub fn check(stage: &mut Stage, case: &Case) -> Result<()> {
    if case.to != To::Search {
        // The product's report is checked in every run; records without a server are counted there.
        return Ok(());
    }
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
