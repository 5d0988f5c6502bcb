//! What parts records have, and what becomes of those without.

use isobar_topology::Stream;
use isobar_topology::testing::{Emitted, Fate, Input, PreparedForTest};
use serde_json::{Value, json};

use super::*;
use crate::one_record::{check_problems, emitted};

/// The parts of a document, each with its numbers; or class and reason of what is rejected.
fn parts(options: &Value, document: &str) -> Vec<String> {
    let told = |record: Emitted| match record.rejection {
        Some(rejection) => format!("{}: {}", rejection.class, rejection.reason),
        None => {
            let document = record.document.expect("a document");
            let scanned = isobar_topology::json::scan_object(document.as_bytes(), |_| {});
            assert_eq!(scanned.err(), None, "{document}");
            format!("{} {document}", record.part)
        }
    };
    let emitted = emitted(&TYPE, options, &[Input::document(document)]);
    emitted.into_iter().map(told).collect()
}

#[test]
fn elements_take_the_place_of_their_array() {
    assert_eq!(
        parts(
            &json!({"field": "items"}),
            r#"{"host":"a", "items":[1, {"b":[2]} ,"x\"]"], "z":0}"#
        ),
        [
            r#"0 {"host":"a",  "z":0,"items":1}"#,
            r#"1 {"host":"a",  "z":0,"items":{"b":[2]}}"#,
            r#"2 {"host":"a",  "z":0,"items":"x\"]"}"#,
        ]
    );
    assert_eq!(
        parts(
            &json!({"field": "items", "into": "item"}),
            r#"{"items":[null,7],"item":"before"}"#
        ),
        [r#"0 {"item":null}"#, r#"1 {"item":7}"#]
    );
}

#[test]
fn an_array_may_be_inside_of_other_fields() {
    assert_eq!(
        parts(
            &json!({"field": "a.items", "into": "item"}),
            r#"{"a":{"items":[1,{"b":2}],"n":3}}"#
        ),
        [
            r#"0 {"a":{"n":3},"item":1}"#,
            r#"1 {"a":{"n":3},"item":{"b":2}}"#
        ]
    );
    assert_eq!(
        parts(
            &json!({"field": "a.items", "as": "document"}),
            r#"{"a":{"items":[{"n":1},{"n":2}]}}"#
        ),
        [r#"0 {"n":1}"#, r#"1 {"n":2}"#]
    );
    assert_eq!(
        parts(
            &json!({"field": "a.items", "into": "a"}),
            r#"{"a":{"items":[1]}}"#
        ),
        [r#"0 {"a":1}"#]
    );
}

#[test]
fn an_element_can_be_the_document() {
    let options = json!({"field": "items", "as": "document"});
    assert_eq!(
        parts(&options, r#"{"host":"a","items":[ {"n":1} ,{"items":[]}]}"#),
        [r#"0 {"n":1}"#, r#"1 {"items":[]}"#]
    );
    // Each for itself: what is sound goes on.
    let mut told = parts(&options, r#"{"items":[{"n":1},2,{"a":1,"a":2}]}"#);
    told.sort_unstable();
    assert_eq!(
        told,
        [
            r#"0 {"n":1}"#,
            "not_an_object: The part is no object: invalid JSON at byte 0: expected an object, found a number",
            "not_an_object: The part is no object: invalid JSON at byte 7: duplicate key",
        ]
    );
    assert_eq!(
        parts(&options, r#"{"items":"a\nb"}"#),
        ["no_parts: The field items is no array"]
    );
}

#[test]
fn text_is_split_at_line_ends_or_separators_and_empty_parts_have_no_number() {
    assert_eq!(
        parts(
            &json!({"field": "text"}),
            r#"{"text":"a\r\n\n\u00fc \"b\"\n \nc\\\n"}"#
        ),
        [
            r#"0 {"text":"a"}"#,
            r#"1 {"text":"ü \"b\""}"#,
            r#"2 {"text":" "}"#,
            r#"3 {"text":"c\\"}"#,
        ]
    );
    assert_eq!(
        parts(
            &json!({"field": "text", "separator": "; "}),
            r#"{"text":"a;b; ; c; "}"#
        ),
        [r#"0 {"text":"a;b"}"#, r#"1 {"text":"c"}"#]
    );
}

#[test]
fn a_value_that_is_an_array_becomes_a_record_for_each_element() {
    let split = |value: &str| {
        let options = json!({"value": "json_array"});
        let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
        let batch = bolt.harness.batch(&[Input::raw(value)]);
        let mut parts = Parts::new(Source {
            field: None,
            separator: None,
            is_array: true,
            takes_text: true,
            parts_max: 3,
        });
        match parts.find(batch.record(0)) {
            Ok(_) => parts
                .iter()
                .map(|(_, range)| value[range].to_owned())
                .collect(),
            Err(none) => {
                let rejection = Rejection::from(none);
                vec![format!("{}: {}", rejection.class, rejection.reason)]
            }
        }
    };
    for (value, expected) in [
        (
            " [{\"a\":[1, 2]} ,\n{\"b\":\"]\"}, 3]\n",
            &["{\"a\":[1, 2]}", "{\"b\":\"]\"}", "3"][..],
        ),
        ("[{}]", &["{}"]),
        // As a producer writes that had but one; what it is, the parser says.
        ("{\"a\":1}\n", &["{\"a\":1}\n"]),
        ("no JSON", &["no JSON"]),
        ("[]", &["no_parts: The record has no parts"]),
        (" ", &["no_parts: The record has no parts"]),
        (
            "[1,2,3,4]",
            &["too_many_parts: The record has more than 3 parts (max_parts)"],
        ),
        (
            "[1,2,]",
            &[
                "invalid_json: The record is no JSON array: invalid JSON at byte 5: expected a value",
            ],
        ),
    ] {
        assert_eq!(split(value), expected, "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_is_settled_as_the_worst_of_its_parts() {
    let options = json!({"field": "items", "as": "document"});
    let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
    let inputs = [
        r#"{"items":[{},{},{}]}"#,
        r#"{"items":[]}"#,
        r#"{"items":[{},1]}"#,
        r#"{}"#,
        r#"{"items":null}"#,
    ];
    let emitted = bolt.run(&inputs.map(Input::document)).await;
    let on = |stream: Stream| {
        let records = emitted.iter().filter(move |record| record.stream == stream);
        records.map(|record| (record.offset, record.part.to_string()))
    };
    let expected = [(0, "0"), (0, "1"), (0, "2"), (2, "0")];
    let expected = expected.map(|(offset, part)| (offset, part.to_owned()));
    assert_eq!(on(Stream::OUT).collect::<Vec<_>>(), expected);
    let mut rejected: Vec<_> = on(Stream::REJECTED).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, [(2, "1".to_owned()), (3, String::new())]);
    assert_eq!(
        bolt.harness.fates(),
        Some(vec![
            Fate::Delivered,
            Fate::Dropped(0),
            Fate::DeadLettered,
            Fate::DeadLettered,
            Fate::Dropped(0),
        ])
    );
    assert_eq!(bolt.policies, ["bolt.empty"]);
    assert_eq!(bolt.counters.values()[0].2, 5);
}

#[test]
fn records_that_cannot_be_split_say_why() {
    let options = json!({"field": "items", "max_parts": 2, "on_empty": "reject"});
    for (document, expected) in [
        (
            r#"{"item":[1]}"#,
            "missing_field: The field items is missing",
        ),
        (
            r#"{"items":{"a":1}}"#,
            "no_parts: The field items is neither an array nor a text",
        ),
        (
            r#"{"items":[1,2,3]}"#,
            "too_many_parts: The field items has more than 2 parts (max_parts)",
        ),
        (
            r#"{"items":"\n"}"#,
            "no_parts: The field items has no parts",
        ),
        (
            r#"{"items":null}"#,
            "no_parts: The field items has no parts",
        ),
    ] {
        assert_eq!(parts(&options, document), [expected], "{document}");
    }
    assert_eq!(parts(&options, r#"{"items":[1,2]}"#).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn so_many_parts_are_made_at_a_time_and_the_order_is_kept() {
    let options = json!({"field": "items", "max_parts": 3_000});
    let mut prepared = PreparedForTest::new(&TYPE, &options).expect("good options");
    let mut bolt = prepared.make();
    let inputs = [2_000, 1_000, 3_000, 1, 3_000, 3_000, 1].map(|count| {
        let items = vec!["1"; count].join(",");
        Input::document(&format!("{{\"items\":[{items}]}}"))
    });
    let mut emitted = Vec::new();
    let first = prepared.harness.batch(&inputs[..4]);
    let second = prepared.harness.batch(&inputs[4..]);
    let mut calls = Vec::new();
    for batch in [Some(first), Some(second), None, None] {
        let mut out = prepared.harness.emitter();
        match batch {
            Some(batch) => bolt.process(batch, &mut out).await.expect("it splits"),
            None => {
                assert!(bolt.deadline().is_some_and(|at| at <= clock::now()));
                bolt.flush(&mut out).await.expect("it splits");
            }
        }
        let records = prepared.harness.emitted(out).await;
        calls.push(records.len());
        emitted.extend(
            records
                .into_iter()
                .map(|record| (record.offset, record.part)),
        );
    }
    assert_eq!(bolt.deadline(), None);
    assert_eq!(calls, [6_000, 1, 6_000, 1]);
    let (first, second) = emitted.split_at(6_001);
    assert!(first.is_sorted() && second.is_sorted());
}

#[test]
fn bad_options_are_problems() {
    check_problems(
        &TYPE,
        &json!({"as": "document", "into": "x", "separator": ""}),
        &[
            "bolts.bolt.as: there is no `field` to split; expected `field`, the name of a field with an array",
            "bolts.bolt.into: there is no `field` to split; expected `field`, or no `into`: a parser behind this bolt makes documents of the parts",
            "bolts.bolt.separator: it is empty; expected one character or more, such as \",\"",
        ],
    );
    check_problems(
        &TYPE,
        &json!({"field": "a", "value": "json_array", "separator": ","}),
        &[
            "bolts.bolt.field: an array that is the record's value has no use for it; expected `value: text`, or nothing here",
            "bolts.bolt.separator: an array that is the record's value has no use for it; expected `value: text`, or nothing here",
        ],
    );
    check_problems(
        &TYPE,
        &json!({"field": "a.b"}),
        &[
            "bolts.bolt.into: `field` is inside of another; expected `into`, the top-level field that gets the part, or `as: document`",
        ],
    );
    check_problems(
        &TYPE,
        &json!({"field": "a.b", "into": "c.d"}),
        &[
            "bolts.bolt.into: `c.d` looks like a field inside of `c`; expected the name of a top-level field, or [\"c.d\"] for one that has dots in its name",
        ],
    );
    check_problems(
        &TYPE,
        &json!({"field": "a", "as": "document", "into": "x", "separator": ","}),
        &[
            "bolts.bolt.into: a part that is the document has no use for it; expected `as: field`, or nothing here",
            "bolts.bolt.separator: a part that is the document has no use for it; expected `as: field`, or nothing here",
        ],
    );
}
