//! Whether documents as the bolt writes them fit a mapping, and whether their origin can be searched.

use serde_json::Value;

use super::Sink;
use crate::doctor::{Said, Status};

/// What is wrong with the mapping of `place` for the documents of a sink: an index, or a template.
pub(super) fn misfits(sink: &Sink, place: &str, mappings: &Value) -> Vec<Said> {
    let mut found = Vec::new();
    let dynamic = dynamic_of(mappings).unwrap_or("true");
    if sink.is_data_stream {
        let kind = kind(&mappings["properties"]["@timestamp"]);
        if !matches!(kind, None | Some("date" | "date_nanos")) {
            let text = format!(
                "{place} maps @timestamp as {}, and a data stream needs a date",
                kind.unwrap_or_default()
            );
            found.push((Status::Error, text));
        }
    }
    let Some(field) = &sink.origin else {
        return found;
    };
    let origin = &mappings["properties"][field];
    if origin.is_null() {
        match dynamic {
            "strict" => found.push((
                Status::Error,
                format!("{place} takes no field that it does not name, and does not name {field}: it rejects every document"),
            )),
            "false" => found.push((Status::Warning, unsearchable(place, field))),
            _ => {}
        }
        return found;
    }
    if let Some(kind) = kind(origin).filter(|kind| !matches!(*kind, "object" | "nested")) {
        let text = format!(
            "{place} maps {field} as {kind}, but it is an object: it rejects every document"
        );
        return vec![(Status::Error, text)];
    }
    if origin["enabled"] == false || kind(origin) == Some("nested") {
        found.push((Status::Warning, unsearchable(place, field)));
        return found;
    }
    let closed = dynamic_of(origin).unwrap_or(dynamic);
    for (member, fits) in MEMBERS {
        let property = &origin["properties"][*member];
        match kind(property) {
            Some(kind) => found.extend(fits(kind).map(|(status, effect)| {
                let text = format!("{place} maps {field}.{member} as {kind}: {effect}");
                (status, text)
            })),
            None if closed == "strict" => found.push((
                Status::Error,
                format!("{place} takes no field in {field} that it does not name, and does not name {member}: it rejects every document"),
            )),
            None if closed == "false" => found.push((
                Status::Warning,
                unsearchable(place, &format!("{field}.{member}")),
            )),
            None => {}
        }
    }
    found
}

fn unsearchable(place: &str, field: &str) -> String {
    format!(
        "{place} does not index {field}: `where` and `replay verify` cannot find documents there"
    )
}

type Fits = fn(&str) -> Option<(Status, &'static str)>;

/// What each member of an origin that every document has may be mapped as. Beside them are `ts` and `n`,
/// which only some documents have and nothing searches.
const MEMBERS: &[(&str, Fits)] = &[
    ("s", of_text),
    ("t", of_text),
    ("p", of_number),
    ("o", of_offset),
];

fn of_text(kind: &str) -> Option<(Status, &'static str)> {
    match kind {
        "keyword" | "text" | "constant_keyword" | "wildcard" => None,
        _ => Some((Status::Error, "it rejects every document, or most")),
    }
}

fn of_number(kind: &str) -> Option<(Status, &'static str)> {
    match kind {
        "long" | "integer" | "short" | "unsigned_long" => None,
        _ => of_other(kind),
    }
}

fn of_offset(kind: &str) -> Option<(Status, &'static str)> {
    match kind {
        "long" | "unsigned_long" => None,
        "integer" | "short" | "byte" => Some((
            Status::Error,
            "it rejects every document whose offset is larger than that",
        )),
        _ => of_other(kind),
    }
}

fn of_other(kind: &str) -> Option<(Status, &'static str)> {
    match kind {
        "ip" | "boolean" | "object" | "nested" => {
            Some((Status::Error, "it rejects every document"))
        }
        _ => Some((
            Status::Warning,
            "its order is not that of numbers, so `where` and `replay verify` go wrong",
        )),
    }
}

/// The type of a field; objects need not say theirs.
fn kind(property: &Value) -> Option<&str> {
    match property["type"].as_str() {
        None if property["properties"].is_object() => Some("object"),
        kind => kind,
    }
}

/// `true`, `false`, `runtime` or `strict`, which products write as text or not.
fn dynamic_of(of: &Value) -> Option<&str> {
    match &of["dynamic"] {
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        other => other.as_str(),
    }
}
