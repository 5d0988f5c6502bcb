//! What a plan tells about the bolt before anything runs: where documents go, what protects against
//! storing one twice, and what is kept in order.

use isobar_topology::spec::units::{ByteSize, Duration};

use crate::elasticsearch::lines::{Id, Index, Operation};

use super::config::{Compression, Settings};

pub(super) fn of(settings: &Settings) -> Vec<(String, String)> {
    let hosts = settings.connection.hosts.join(", ");
    let kind = match settings.is_data_stream {
        true => "data stream",
        false => "index",
    };
    let flush = Duration::millis(settings.flush_interval.as_millis() as u64);
    let facts = [
        (kind, format!("{} at {hosts}", settings.target)),
        ("operation", settings.addressing.operation.name().to_owned()),
        ("document id", document_id(settings)),
        ("duplicates", duplicates(settings).to_owned()),
        ("order", order(settings)),
        (
            "requests",
            format!(
                "up to {} per lane, each up to {} or {} documents, or what came within {flush}{}",
                settings.requests_per_lane,
                ByteSize::bytes(settings.body_bytes),
                settings.body_records,
                match settings.compression {
                    Compression::None => "",
                    Compression::Gzip => "; sent compressed with gzip",
                },
            ),
        ),
        (
            "event time",
            match &settings.bounds {
                None => "any".to_owned(),
                Some(around) => format!("{around}; others are rejected"),
            },
        ),
        (
            "index that takes nothing",
            match settings.patience {
                None => "its records wait; once they fill max_in_flight or max_uncommitted of a spout, all do".to_owned(),
                Some(patience) => {
                    let patience = Duration::millis(patience.as_millis() as u64);
                    format!("its records wait for {patience}, then they are rejected")
                }
            },
        ),
        (
            "origin",
            match &settings.origin {
                Some(field) => format!("in the field {field}"),
                None => "off: replay cannot verify what is in the index".to_owned(),
            },
        ),
    ];
    let pipeline = settings.pipeline.iter();
    let pipeline = pipeline.map(|name| ("pipeline", name.clone()));
    let missing = settings.missing_dropped.map(|_| {
        let what = "its documents are dropped by name";
        ("index that does not exist", what.to_owned())
    });
    facts
        .into_iter()
        .chain(missing)
        .chain(pipeline)
        .map(|(what, value)| (what.to_owned(), value))
        .collect()
}

fn document_id(settings: &Settings) -> String {
    match &settings.addressing.id {
        Id::Deterministic => {
            "from timestamp, source, partition and offset of the record".to_owned()
        }
        Id::Auto => "made by the cluster".to_owned(),
        Id::Template(_) => settings.id.clone(),
    }
}

/// What is known of a record that is sent again.
fn duplicates(settings: &Settings) -> &'static str {
    let addressing = &settings.addressing;
    match (&addressing.id, addressing.operation) {
        (Id::Auto, _) => "none excluded: a record that is sent again is stored again",
        (Id::Template(_), Operation::Create) => {
            "as the id says: the first document of an id stays, later ones count as already present"
        }
        (Id::Template(_), Operation::Index) => {
            "as the id says: the last request with an id replaces what was there"
        }
        (Id::Deterministic, _) if settings.is_data_stream => {
            "excluded until the data stream rolls over: what is read again after that is stored again"
        }
        (Id::Deterministic, _) if matches!(addressing.index, Index::Constant(_)) => {
            "excluded; if the name is an alias, until its write index changes"
        }
        (Id::Deterministic, _) => {
            "excluded, as the name of the index follows from the record alone"
        }
    }
}

fn order(settings: &Settings) -> String {
    match (settings.addressing.operation, settings.requests_per_lane) {
        (Operation::Create, _) => "of no matter: documents are only created".to_owned(),
        (Operation::Index, 1) => {
            "of handing over, except for what is sent again after a failure".to_owned()
        }
        (Operation::Index, requests) => format!(
            "not kept: {requests} requests are under way at a time; requests_per_lane: 1 keeps it, except for what is sent again after a failure"
        ),
    }
}
