//! Finds fields that may hold the time of an event, and how they write it.

use serde_json::{Map, Value};

use super::proposal::Time;
use crate::rehearsal::Told;

/// Names of fields that usually hold the time of an event, the likeliest first; letters and digits alone,
/// so that `createdAt`, `created_at` and `Created-At` are one.
const TIME_FIELDS: [&str; 20] = [
    "timestamp",
    "eventtime",
    "eventtimestamp",
    "time",
    "ts",
    "datetime",
    "date",
    "at",
    "occurredat",
    "created",
    "createdat",
    "loggedat",
    "logtime",
    "t",
    // Log4j's JSON, Debezium, OpenTelemetry, the journal of systemd.
    "timemillis",
    "timestampms",
    "tsms",
    "timeunixnano",
    "realtimetimestamp",
    "epoch",
];

/// How deep objects are looked into.
const DEPTH_MAX: usize = 3;

/// Patterns of times in text, such as Python, log4j and databases write them. Those with a fraction take
/// times without one, too, but for the comma.
const PATTERNS: [&str; 9] = [
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S,%f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S,%f",
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S %z",
];

/// How many documents are looked at for fields: a few have none.
const DOCUMENTS: usize = 10;

/// Where the time may stand, the likeliest first: fields of usual names before others, and those further
/// out before those in other objects.
pub(super) fn times(told: &[Told]) -> Vec<Time> {
    let documents = told.iter().filter(|told| !told.is_rejected());
    let documents = documents
        .filter_map(|told| told.steps.first()?.document.as_ref()?.as_object())
        .take(DOCUMENTS);
    let mut found = Vec::new();
    for document in documents {
        add_fields(document, "", 1, &mut found);
    }
    found.sort_by_key(|(likely, _)| *likely);
    let mut times: Vec<Time> = Vec::new();
    for (_, time) in found {
        if !times.contains(&time) {
            times.push(time);
        }
    }
    times
}

/// Adds the fields of an object that may hold times, each with its depth and the place of its name.
fn add_fields(
    object: &Map<String, Value>,
    outer: &str,
    depth: usize,
    found: &mut Vec<((usize, usize), Time)>,
) {
    for (name, value) in object {
        // In options `doc.` is taken for that of expressions.
        let is_bare = is_plain(name) && (depth > 1 || name != "doc");
        let field = match is_bare {
            true => format!("{outer}{name}"),
            false if depth == 1 && name.split('.').all(is_plain) => format!("[\"{name}\"]"),
            false => continue,
        };
        if let Value::Object(inner) = value {
            if depth < DEPTH_MAX {
                add_fields(inner, &format!("{field}."), depth + 1, found);
            }
            continue;
        }
        let usual = likeliness(name);
        // Elsewhere numbers are of anything.
        let is_long_text = value.as_str().is_some_and(|text| text.len() >= 19);
        if usual.is_none() && !is_long_text {
            continue;
        }
        let rank = (usual.map_or(DEPTH_MAX, |_| 0) + depth, usual.unwrap_or(0));
        for format in formats_of(value) {
            let field = field.clone();
            found.push((rank, Time { field, format }));
        }
    }
}

/// Whether a name may stand in a file and on a screen, and in options without brackets: it is of whoever wrote
/// the records.
pub(super) fn is_plain(name: &str) -> bool {
    let mut letters = name.chars();
    !name.is_empty() && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@'))
}

/// The place among usual names; `@timestamp`, which Kibana sorts by, comes first.
fn likeliness(name: &str) -> Option<usize> {
    if name == "@timestamp" {
        return Some(0);
    }
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    let place = TIME_FIELDS.iter().position(|usual| *usual == plain);
    place.map(|place| place + 1)
}

/// How a value may write a time, the simplest first; none if it is not one.
fn formats_of(value: &Value) -> Vec<&'static str> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    if let Some(number) = number {
        // From 2001 on, and not after the year 5138, each range is of one unit.
        return match number {
            1e9..1e11 => vec!["unix_s"],
            1e12..1e14 => vec!["unix_ms"],
            1e15..1e17 => vec!["unix_us"],
            1e18..1e19 => vec!["unix_ns"],
            _ => Vec::new(),
        };
    }
    let Some(text) = value.as_str() else {
        return Vec::new();
    };
    if text.parse::<jiff::Timestamp>().is_ok() {
        return vec!["rfc3339"];
    }
    let fits = |pattern: &&str| jiff::fmt::strtime::parse(pattern, text).is_ok();
    PATTERNS.into_iter().filter(fits).collect()
}
