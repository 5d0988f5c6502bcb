//! What a record would become, against what is stored.

use serde_json::json;

use super::*;
use crate::rehearsal::{End as Ended, Rejected};

fn record(offset: i64) -> Sampled {
    Sampled {
        offset,
        timestamp: 1_000 + offset,
        source: 7,
        ..Sampled::of_topic("t")
    }
}

fn told(outcome: Outcome) -> Told {
    Told {
        steps: Vec::new(),
        ends: vec![Ended {
            after: None,
            bolt: Some("index".to_owned()),
            outcome,
        }],
    }
}

fn origin(offset: i64) -> Value {
    json!({"s": origin_of_source(7), "p": 0, "o": offset})
}

fn written(offset: i64, zone: &str) -> Told {
    told(Outcome::Written(Written {
        kind: "index",
        target: "logs".to_owned(),
        id: Some(format!("id{offset}")),
        key: None,
        document: Some(json!({"zone": zone, "_isobar": origin(offset)})),
        text: None,
        origin: Some("_isobar".to_owned()),
    }))
}

fn stored(index: &str, id: &str, offset: i64, zone: &str) -> Stored {
    Stored {
        index: index.to_owned(),
        id: id.to_owned(),
        document: json!({"_isobar": origin(offset), "zone": zone}),
    }
}

fn sample(offsets: &[i64], stored: Vec<Stored>, target: Target) -> Sample {
    let records: Vec<_> = offsets
        .iter()
        .map(|offset| (record(*offset), written(*offset, "new")))
        .collect();
    let known = Known {
        bolt: "index".to_owned(),
        stored,
        origin: Some("_isobar".to_owned()),
        written_to: BTreeMap::from([("logs".to_owned(), "logs".to_owned())]),
    };
    Sample::of(&records, &[known], &target, &[])
}

#[test]
fn what_would_change_is_told_field_by_field_and_the_rest_is_counted() {
    let there = vec![
        stored("logs", "id1", 1, "old"),
        stored("logs", "id2", 2, "new"),
    ];
    let sample = sample(&[1, 2, 3], there, Target::Overwrite);
    assert_eq!(sample.oldest_ms, Some(1_001));
    assert_eq!(
        sample.text(),
        "\
Sample of 3 records: 1 document not in the index, 1 document as indexed, 1 document other than indexed
  zone changes in 1 document
  t/0@1 → logs id1
      ~ zone: \"old\" → \"new\"
"
    );
    let text = serde_json::to_string(&sample).expect("JSON");
    let again: Sample = serde_json::from_str(&text).expect("a sample");
    assert_eq!(again, sample);
}

fn check_note(offsets: &[i64], there: Vec<Stored>, target: Target, expected: &[&str]) {
    let sample = sample(offsets, there, target.clone());
    assert_eq!(sample.notes.len(), expected.len(), "{:?}", sample.notes);
    for (note, part) in sample.notes.iter().zip(expected) {
        assert!(note.contains(part), "{target}: {note}");
    }
}

#[test]
fn a_target_that_would_change_nothing_or_store_twice_is_noted() {
    let same = || vec![stored("logs", "id1", 1, "new")];
    let old = || vec![stored("logs", "id1", 1, "old")];
    check_note(&[1], same(), Target::Missing, &["nothing to do"]);
    check_note(&[1, 2], same(), Target::Missing, &[]);
    check_note(&[1], old(), Target::Missing, &["leaves them as they are"]);
    check_note(&[1], same(), Target::Overwrite, &["may change nothing"]);
    check_note(&[1], same(), Target::Purge, &["may change nothing"]);
    check_note(&[1], old(), Target::Overwrite, &[]);
    let elsewhere = || vec![stored("logs-before", "id1", 1, "old")];
    let twice = "(id1 is in logs-before and would go to logs): they would be there twice";
    check_note(&[1], elsewhere(), Target::Overwrite, &[twice]);
    check_note(&[1], elsewhere(), Target::Purge, &[]);
    let named = Target::Index("logs".to_owned());
    check_note(&[1], elsewhere(), named, &[]);
    let other_id = vec![stored("logs", "x", 1, "old")];
    check_note(&[1], other_id, Target::Overwrite, &["twice"]);
    // Of two, the one that would be replaced is compared.
    let both = [elsewhere(), old()].concat();
    check_note(&[1], both, Target::Overwrite, &[]);
}

#[test]
fn rejects_and_drops_are_counted_but_for_those_of_bolts_that_are_left_out() {
    let rejected = told(Outcome::Rejected(Rejected {
        by: "parse".to_owned(),
        class: "json",
        reason: "no JSON".to_owned(),
    }));
    let dropped = |policy: &str| {
        told(Outcome::Dropped {
            policy: policy.to_owned(),
        })
    };
    let records = [
        (record(1), rejected),
        (record(2), dropped("quiet.dropped")),
        (record(3), dropped("copy")),
    ];
    let sample = Sample::of(&records, &[], &Target::Missing, &["copy".to_owned()]);
    assert_eq!(
        sample.text(),
        "Sample of 3 records: 1 dropped by quiet.dropped, 1 rejected by parse (json)\n"
    );
}
