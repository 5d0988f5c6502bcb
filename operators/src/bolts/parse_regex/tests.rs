//! What text becomes, and text that does not match.

use isobar_topology::testing::Input;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::TYPE;
use crate::one_record::{check_problems, run};

const PATTERN: &str = r"^(?<client>\S+) (?:user=(?<user>\w+) )?(?<status>\d{3})$";

fn check(options: Value, text: impl AsRef<[u8]>, expected: Result<Value, &str>) {
    let shown = String::from_utf8_lossy(text.as_ref()).into_owned();
    let found = run(&TYPE, &options, Input::raw(text)).map(|(document, _)| document);
    assert_eq!(found, expected.map_err(str::to_owned), "{shown}");
}

#[test]
fn named_groups_become_fields() {
    let options = || json!({"pattern": PATTERN});
    check(
        options(),
        "192.0.2.1 user=bob 200\n",
        Ok(json!({"client": "192.0.2.1", "user": "bob", "status": "200"})),
    );
    check(
        options(),
        b"\xFF\" 404",
        Ok(json!({"client": "\u{FFFD}\"", "status": "404"})),
    );
    check(
        json!({"pattern": "(?<first>b*)(c)?"}),
        "abbc",
        Ok(json!({"first": ""})),
    );
}

#[test]
fn text_without_a_match_is_rejected_with_the_position() {
    let options = || json!({"pattern": PATTERN});
    for (text, at) in [
        ("", 0),
        ("a", 1),
        ("a 20x", 4),
        ("a 2000", 5),
        ("a user= 200", 7),
    ] {
        let reason = format!(
            "no_match: The text does not match: its start fits the pattern up to byte {at}"
        );
        check(options(), text, Err(&reason));
    }
    let tombstone = run(&TYPE, &options(), Input::default());
    assert_eq!(
        tombstone.expect_err("no text"),
        "no_value: The record has no value: it is a tombstone"
    );
}

#[test]
fn text_in_a_field_sets_the_others_beside_it() {
    let options = json!({"pattern": PATTERN, "field": "message"});
    let input = Input::document(r#"{"message":"a 200","status":1}"#);
    let (document, _) = run(&TYPE, &options, input).expect("matches");
    assert_eq!(
        document,
        json!({"message": "a 200", "client": "a", "status": "200"})
    );
}

#[test]
fn bad_options_are_problems() {
    check_problems(
        &TYPE,
        &json!({"pattern": "(a)"}),
        &[
            "bolts.bolt.pattern: the pattern has no named group; expected a group for each field, such as (?<status>\\d+)",
        ],
    );
    check_problems(
        &TYPE,
        &json!({"pattern": "(?<a.b>a)"}),
        &[
            "bolts.bolt.pattern: `a.b` looks like a field inside of `a`; expected the name of a top-level field, or [\"a.b\"] for one that has dots in its name",
        ],
    );
}

proptest! {
    #[test]
    fn text_is_read_as_it_was_written(client in "[^\\s]{1,20}", user in "\\w{1,10}", status in 100u32..1000) {
        let text = format!("{client} user={user} {status}");
        let found = run(&TYPE, &json!({"pattern": PATTERN}), Input::raw(&text)).expect(&text);
        prop_assert_eq!(found.0, json!({"client": client, "user": user, "status": status.to_string()}));
    }

    #[test]
    fn arbitrary_bytes_give_a_document_or_a_reason(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = run(&TYPE, &json!({"pattern": r"(?<a>\w+)\b(?<b>.*)"}), Input::raw(text));
    }
}

#[test]
fn a_field_that_does_not_fit_is_kept_where_that_is_asked_for() {
    let options = json!({"pattern": PATTERN, "field": "line", "on_invalid": "keep"});
    for document in [json!({"line": "?", "a": 1}), json!({"line": 1}), json!({})] {
        let found = run(&TYPE, &options, Input::document(&document.to_string()));
        assert_eq!(found.map(|found| found.0), Ok(document));
    }
}
