//! Runs a test and compares what came out with what was expected.

use std::collections::BTreeMap;

use isobar_operators::indexed_field::IndexedField;
use isobar_operators::sample::Sampled;
use isobar_topology::clock;
use isobar_topology::spec::Path;
use serde::Serialize;
use serde_json::{Value, json};

use super::file::{Expected, Names, Record, Rejection, Test};
use crate::differences::{Compare, Difference, differences};
use crate::exit::Failure;
use crate::rehearsal::{End, Outcome, Stage, Step, Told, Written};

/// What is not as it was expected.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(super) enum Misfit {
    /// Something else came out.
    Different {
        /// What was expected, in a few words.
        expected: String,
        /// The number of the record that it became of, from 1.
        record: usize,
        /// What came out, in a few words.
        found: String,
        /// What differs: before is what was expected.
        differences: Vec<Difference>,
    },
    /// Nothing came out for it.
    Missing {
        /// What was expected, in a few words.
        expected: String,
    },
    /// Nobody expected it.
    Unexpected {
        /// The number of the record that it became of, from 1.
        record: usize,
        /// What came out, in a few words.
        found: String,
    },
}

/// An end of one of the records.
struct Came {
    /// From 1.
    record: usize,
    told: usize,
    end: usize,
}

/// Runs a test. `topic` is the one that records come from which do not say it.
pub(super) fn judge(
    test: &Test,
    topic: &str,
    names: &Names,
    stage: &mut Stage,
) -> Result<Vec<Misfit>, Failure> {
    let spout = match &test.spout {
        Some(spout) => spout.clone(),
        None => names.spouts.first().cloned().unwrap_or_default(),
    };
    let now = test.now.map_or_else(clock::unix_ms, |at| at.0);
    let mut next: BTreeMap<(String, i32), i64> = BTreeMap::new();
    let mut told = Vec::new();
    for record in test.records() {
        let mut sampled = sampled(record, topic, now);
        let next = next.entry((sampled.topic.clone(), sampled.partition));
        let next = next.or_default();
        sampled.offset = record.offset.unwrap_or(*next);
        *next = sampled.offset + 1;
        told.push(stage.run(&spout, &sampled, Some(now))?);
    }
    Ok(compare(test, &told))
}

fn sampled(record: &Record, topic: &str, now: i64) -> Sampled {
    let headers = record.headers.iter();
    Sampled {
        partition: record.partition,
        timestamp: record.timestamp.map_or(now, |at| at.0),
        key: record.key.as_ref().map(|key| key.clone().into_bytes()),
        payload: match &record.value {
            Value::Null => None,
            Value::String(text) => Some(text.clone().into_bytes()),
            value => Some(value.to_string().into_bytes()),
        },
        headers: headers
            .map(|(name, value)| (name.clone().into_bytes(), Some(value.clone().into_bytes())))
            .collect(),
        ..Sampled::of_topic(record.topic.as_deref().unwrap_or(topic))
    }
}

fn compare(test: &Test, told: &[Told]) -> Vec<Misfit> {
    let came: Vec<Came> = (0..told.len())
        .flat_map(|number| {
            (0..told[number].ends.len()).map(move |end| Came {
                record: number + 1,
                told: number,
                end,
            })
        })
        .collect();
    let misfit = |expected: &Expected, came: &Came| {
        let told = &told[came.told];
        difference(
            expected,
            told,
            &told.ends[came.end],
            test.is_exact(expected),
        )
    };
    let all: Vec<Vec<Vec<Difference>>> = test
        .expect
        .iter()
        .map(|expected| came.iter().map(|came| misfit(expected, came)).collect())
        .collect();
    let mut taken = pair(&all);
    let mut misfits = Vec::new();
    for (number, expected) in test.expect.iter().enumerate() {
        if taken.contains(&Some(number)) {
            continue;
        }
        // What is nearest to it among what nobody else expects.
        let near = (0..came.len()).filter(|one| taken[*one].is_none());
        let near = near.min_by_key(|one| distance(&all[number][*one]));
        let words = in_words(expected);
        misfits.push(match near {
            None => Misfit::Missing { expected: words },
            Some(one) => {
                taken[one] = Some(number);
                Misfit::Different {
                    expected: words,
                    record: came[one].record,
                    found: end_in_words(&told[came[one].told].ends[came[one].end]),
                    differences: all[number][one].clone(),
                }
            }
        });
    }
    let left = came.iter().zip(&taken).filter(|(_, by)| by.is_none());
    misfits.extend(left.map(|(came, _)| Misfit::Unexpected {
        record: came.record,
        found: end_in_words(&told[came.told].ends[came.end]),
    }));
    misfits
}

/// Finds as many pairs of expectations and what came as there can be; for each that came, who expected
/// it. By augmenting paths, so that a loose expectation leaves to a strict one what only that one fits.
fn pair(all: &[Vec<Vec<Difference>>]) -> Vec<Option<usize>> {
    let mut taken = vec![None; all.first().map_or(0, Vec::len)];
    for number in 0..all.len() {
        let mut seen = vec![false; taken.len()];
        let _ = find(number, all, &mut taken, &mut seen);
    }
    taken
}

fn find(
    number: usize,
    all: &[Vec<Vec<Difference>>],
    taken: &mut [Option<usize>],
    seen: &mut [bool],
) -> bool {
    for one in 0..taken.len() {
        if seen[one] || !all[number][one].is_empty() {
            continue;
        }
        seen[one] = true;
        let free = match taken[one] {
            None => true,
            Some(other) => find(other, all, taken, seen),
        };
        if free {
            taken[one] = Some(number);
            return true;
        }
    }
    false
}

/// How far an end is from an expectation: one at the bolt, or of the kind, that is named is nearer than
/// any other, however much of it differs.
fn distance(differences: &[Difference]) -> (bool, usize) {
    let elsewhere = ["bolt", "rejected", "rejected.by"];
    let elsewhere = differences
        .iter()
        .any(|one| elsewhere.contains(&one.path.as_str()));
    (elsewhere, differences.len())
}

/// What differs between an expectation and an end.
fn difference(expected: &Expected, told: &Told, end: &End, exact: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut same = |path: &str, expected: &Option<String>, is: Option<&str>| {
        if let Some(expected) = expected
            && Some(expected.as_str()) != is
        {
            found.push(Difference {
                path: path.to_owned(),
                before: Some(json!(expected)),
                after: is.map(|is| json!(is)),
            });
        }
    };
    same("bolt", &expected.bolt, end.bolt.as_deref());
    if let Some(stream) = &expected.stream {
        let passed: Vec<String> = told.way(end).into_iter().map(Step::name).collect();
        if !passed.contains(stream) {
            same("stream", &expected.stream, Some(&passed.join(", ")));
        }
    }
    let written = match &end.outcome {
        Outcome::Written(written) => Some(written),
        _ => None,
    };
    let target = |kinds: &[&str]| {
        let written = written.filter(|written| kinds.contains(&written.kind));
        written.map(|written| written.target.as_str())
    };
    same("index", &expected.index, target(&["index", "data_stream"]));
    same("topic", &expected.topic, target(&["topic"]));
    same(
        "id",
        &expected.id,
        written.and_then(|one| one.id.as_deref()),
    );
    same(
        "key",
        &expected.key,
        written.and_then(|one| one.key.as_deref()),
    );
    let policy = match &end.outcome {
        Outcome::Dropped { policy } => Some(policy.as_str()),
        _ => None,
    };
    same("dropped", &expected.dropped, policy);
    if let Some(rejection) = &expected.rejected {
        found.extend(rejection_of(rejection, &end.outcome, exact));
    }
    found.extend(document_of(expected, written, exact));
    let is_of_kind = match &end.outcome {
        Outcome::Written(_) => expected.rejected.is_none() && expected.dropped.is_none(),
        Outcome::Rejected(_) => expected.rejected.is_some(),
        Outcome::Dropped { .. } => expected.dropped.is_some(),
        Outcome::Failed { .. } => false,
    };
    if !is_of_kind && found.is_empty() {
        found.push(Difference {
            path: "outcome".to_owned(),
            before: Some(json!(in_words(expected))),
            after: Some(json!(end_in_words(end))),
        });
    }
    found
}

fn rejection_of(expected: &Rejection, outcome: &Outcome, exact: bool) -> Vec<Difference> {
    let differs = |path: &str, expected: &Option<String>, found: Option<&str>, same: bool| {
        let expected = expected.as_ref().filter(|_| !same)?;
        Some(Difference {
            path: format!("rejected.{path}"),
            before: Some(json!(expected)),
            after: found.map(|found| json!(found)),
        })
    };
    let Outcome::Rejected(found) = outcome else {
        return vec![Difference {
            path: "rejected".to_owned(),
            before: Some(json!(true)),
            after: Some(json!(false)),
        }];
    };
    let fits = |expected: &Option<String>, found: &str, exact: bool| match expected {
        Some(expected) if exact => found == expected,
        Some(expected) => found.contains(expected.as_str()),
        None => true,
    };
    let (by, class, reason) = (found.by.as_str(), found.class, found.reason.as_str());
    let all = [
        differs("by", &expected.by, Some(by), fits(&expected.by, by, true)),
        differs(
            "class",
            &expected.class,
            Some(class),
            fits(&expected.class, class, true),
        ),
        differs(
            "reason",
            &expected.reason,
            Some(reason),
            fits(&expected.reason, reason, exact),
        ),
    ];
    all.into_iter().flatten().collect()
}

fn document_of(expected: &Expected, written: Option<&Written>, exact: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    let Some(document) = written.and_then(|written| written.document.as_ref()) else {
        if let Some(expected) = &expected.document {
            found.push(Difference {
                path: "document".to_owned(),
                before: Some(Value::Object(expected.clone())),
                after: written
                    .and_then(|written| written.text.clone())
                    .map(Value::String),
            });
        }
        return found;
    };
    if let Some(expected) = &expected.document {
        let mut document = document.clone();
        // It is the sink's, not the author's.
        let origin = written.and_then(|written| written.origin.as_deref());
        if let (Some(origin), Some(members)) = (origin, document.as_object_mut())
            && !expected.contains_key(origin)
        {
            let _ = members.remove(origin);
        }
        let compare = match exact {
            true => Compare::Everything,
            false => Compare::WhatIsNamed,
        };
        let all = differences(&Value::Object(expected.clone()), &document, compare);
        found.extend(all.into_iter().map(|one| Difference {
            path: format!("document.{}", one.path),
            ..one
        }));
    }
    for written in &expected.without {
        // What is no field was refused when the test was read.
        let field = IndexedField::new(written, &Path::root());
        let values = field.iter().flat_map(|field| field.values(document));
        found.extend(values.map(|value| Difference {
            path: format!("document.{written}"),
            before: None,
            after: Some(value.clone()),
        }));
    }
    found
}

fn in_words(expected: &Expected) -> String {
    let mut words = Vec::new();
    let mut add = |name: &str, value: &Option<String>| {
        words.extend(value.iter().map(|value| format!("{name} {value}")));
    };
    add("bolt", &expected.bolt);
    add("stream", &expected.stream);
    add("index", &expected.index);
    add("topic", &expected.topic);
    add("id", &expected.id);
    add("key", &expected.key);
    add("dropped by", &expected.dropped);
    if let Some(rejection) = &expected.rejected {
        add("rejected by", &rejection.by);
        add("class", &rejection.class);
        add("reason", &rejection.reason);
        if words.is_empty() {
            words.push("rejected".to_owned());
        }
    }
    if let Some(document) = &expected.document {
        words.push(format!("document {}", Value::Object(document.clone())));
    }
    if !expected.without.is_empty() {
        words.push(format!("no {}", expected.without.join(", ")));
    }
    words.join(", ")
}

/// An end in a few words.
pub(crate) fn end_in_words(end: &End) -> String {
    match &end.outcome {
        Outcome::Written(written) => {
            let mut words = format!("{} {}", written.kind.replace('_', " "), written.target);
            if let Some(id) = &written.id {
                words.push_str(&format!(", id {id}"));
            }
            if let Some(document) = &written.document {
                words.push_str(&format!(", document {document}"));
            }
            if let Some(text) = &written.text {
                words.push_str(&format!(", text {text:?}"));
            }
            words
        }
        Outcome::Rejected(rejected) => format!(
            "rejected by {}, class {}, reason {}",
            rejected.by, rejected.class, rejected.reason
        ),
        Outcome::Dropped { policy } => format!("dropped by {policy}"),
        Outcome::Failed { reason } => format!("not settled: {reason}"),
    }
}
