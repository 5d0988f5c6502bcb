//! What is replaced, and what stays.

use std::net::{Ipv4Addr, Ipv6Addr};

use isobar_topology::testing::{Input, PreparedForTest};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::TYPE;
use crate::one_record::{check_problems, emitted, run};

fn check(options: Value, document: &Value, expected: Value) {
    let found = run(&TYPE, &options, Input::document(&document.to_string()));
    assert_eq!(found.map(|found| found.0), Ok(expected), "{document}");
}

fn masked(pattern: &str, text: &str) -> String {
    let options = json!({"search": ["m"], "patterns": [pattern]});
    let input = Input::document(&json!({"m": text}).to_string());
    let (document, _) = run(&TYPE, &options, input).expect("stays");
    document["m"].as_str().expect("text").to_owned()
}

#[test]
fn fields_are_replaced_as_a_whole() {
    check(
        json!({"fields": ["a", "b", "c"], "replacement": "\"x\""}),
        &json!({"a": "secret", "b": {"x": [1]}, "d": "stays"}),
        json!({"a": "\"x\"", "b": "\"x\"", "d": "stays"}),
    );
}

#[test]
fn fields_inside_of_others_are_replaced_wherever_they_are_written() {
    check(
        json!({"fields": ["user.password", "card.number"], "search": ["user.note"], "patterns": ["email"]}),
        &json!({
            "user": {"password": {"hash": 1}, "note": ["to z@y.example"], "mail": "z@y.example"},
            "user.password": "x", "card": [{"number": 1, "year": 2}, {"year": 3}, "none"], "password": "stays",
        }),
        json!({
            "user": {"password": "***", "note": ["to ***"], "mail": "z@y.example"},
            "user.password": "***", "card": [{"number": "***", "year": 2}, {"year": 3}, "none"],
            "password": "stays",
        }),
    );
    check(
        json!({"fields": ["[\"user.password\"]"]}),
        &json!({"user": {"password": "stays"}, "user.password": "x"}),
        json!({"user": {"password": "stays"}, "user.password": "***"}),
    );
}

#[test]
fn dots_may_be_anywhere_in_names() {
    for document in [
        r#"{"a":{"b":{"c":1}}}"#,
        r#"{"a":{"b.c":1}}"#,
        r#"{"a.b":{"c":1}}"#,
        r#"{"a.b.c":1}"#,
        r#"{"a":[{"b.c":1}],"a.b":[[{"c":1}]]}"#,
    ] {
        let after = document.replace('1', "\"***\"");
        let document: Value = serde_json::from_str(document).expect("JSON");
        let after: Value = serde_json::from_str(&after).expect("JSON");
        check(json!({"fields": ["a.b.c"]}), &document, after.clone());
        let options = json!({"search": ["a.b.c"], "patterns": ["[1]"]});
        check(options, &document, after);
    }
    check(
        json!({"fields": ["a[\"b.c\"]"]}),
        &json!({"a": {"b": {"c": 1}, "b.c": 2}, "a.b": {"c": 3}}),
        json!({"a": {"b": {"c": 1}, "b.c": "***"}, "a.b": {"c": 3}}),
    );
}

#[test]
fn named_patterns_find_what_they_are_called_after() {
    for (pattern, text, expected) in [
        (
            "email",
            "to bob.x+y@mail.example.com, ann@b",
            "to ***, ann@b",
        ),
        (
            "ipv4",
            "from 192.0.2.1:80 and 300.1.1.1 or 1.2.3.4.",
            "from ***:80 and 300.1.1.1 or ***.",
        ),
        (
            "ipv6",
            "[2001:db8::1]:80 at 12:30:00, fe80::",
            "[***]:80 at 12:30:00, ***",
        ),
        (
            "ipv6",
            "Foo::Bar::new, std::vector",
            "Foo::Bar::new, std::vector",
        ),
        (
            "card_number",
            "card 4111 1111 1111 1111 or 4111111111111112",
            "card *** or 4111111111111112",
        ),
        ("card_number", "5500-0000-0000-0004,", "***,"),
        ("card_number", "4111111111111111 123 x", "*** 123 x"),
        ("(?:secret)", "a secret", "a ***"),
        ("token=\\w+", "a?token=ab1&b=ä token=", "a?***&b=ä token="),
        ("x*", "axxb", "a***b"),
        ("[ä]", "ääb", "******b"),
    ] {
        assert_eq!(masked(pattern, text), expected, "{pattern} in {text}");
    }
}

#[test]
fn texts_and_numbers_inside_of_values_are_searched() {
    check(
        json!({"search": ["a", "n", "b"], "patterns": ["email", "card_number"]}),
        &json!({
            "a": {"x@y.example": ["z@y.example", 4_111_111_111_111_111_u64, {"k": "\"4111111111111111\""}, null, true, -1.5]},
            "n": 4_111_111_111_111_111_u64, "other": "z@y.example",
        }),
        json!({
            "a": {"x@y.example": ["***", "***", {"k": "\"***\""}, null, true, -1.5]},
            "n": "***", "other": "z@y.example",
        }),
    );
    let input = Input::document(r#"{"m" : {"k" : "a\u0040b.example"}}"#);
    let options = json!({"search": ["m"], "patterns": ["email"]});
    let (document, _) = run(&TYPE, &options, input).expect("stays");
    assert_eq!(document, json!({"m": {"k": "***"}}));
}

#[test]
fn the_same_text_has_the_same_pseudonym_wherever_it_is_found() {
    let options = json!({
        "fields": ["user", "id"], "search": ["message"], "patterns": ["email"],
        "pseudonym_key": "a key of 16 bytes, or more",
    });
    let mail = "a\"nn@mail.example";
    let run_on = |message: &str| {
        let document = json!({"user": mail, "id": 7, "message": message});
        let (document, _) =
            run(&TYPE, &options, Input::document(&document.to_string())).expect("stays");
        document
    };
    let found = run_on("from bob@mail.example to nn@mail.example");
    let (user, id) = (&found["user"], &found["id"]);
    for pseudonym in [user, id] {
        let text = pseudonym.as_str().expect("text");
        assert_eq!(text.len(), 32, "{found}");
        assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{found}");
    }
    assert_ne!(user, id);
    let again = run_on("nn@mail.example");
    assert_eq!(&again["user"], user);
    let message = found["message"].as_str().expect("text");
    let one = again["message"].as_str().expect("text");
    assert!(
        message.starts_with("from ") && message.ends_with(&format!(" to {one}")),
        "{found}"
    );
    let input = Input::document(r#"{"user":"nn@mail.example"}"#);
    let (alone, _) = run(&TYPE, &options, input).expect("stays");
    assert_eq!(alone["user"], one);
}

/// The pseudonym of a text, as of a field that is it.
fn pseudonym(text: &str) -> Value {
    let options = json!({"fields": ["a"], "pseudonym_key": KEY});
    let input = Input::document(&json!({"a": text}).to_string());
    let (mut document, _) = run(&TYPE, &options, input).expect("stays");
    document["a"].take()
}

const KEY: &str = "a key of 16 bytes, or more";

#[test]
fn a_field_inside_of_one_that_is_searched_has_the_pseudonym_of_its_value() {
    let mail = "nn@mail.example";
    for fields in [
        json!(["user.email"]),
        json!(["user.email", "[\"user.email\"]", "user.email"]),
    ] {
        let options = json!({
            "fields": fields, "search": ["user", "message", "[\"user.email\"]"], "patterns": ["email"],
            "pseudonym_key": KEY,
        });
        let of_mail = pseudonym(mail);
        check(
            options,
            &json!({
                "user": [{"email": mail, "other": mail}, {"email": {"x": mail}}], "user.email": mail,
                "message": mail,
            }),
            json!({
                "user": [
                    {"email": of_mail, "other": of_mail},
                    {"email": pseudonym("{\"x\":\"nn@mail.example\"}")},
                ],
                "user.email": of_mail, "message": of_mail,
            }),
        );
    }
}

#[test]
fn what_was_put_in_for_one_pattern_is_not_found_by_another() {
    let options =
        json!({"search": ["m"], "patterns": ["email", "[0-9a-f]{4,}"], "pseudonym_key": KEY});
    let (mail, number) = (pseudonym("x@y.example"), pseudonym("12345"));
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    check(
        options,
        &json!({"m": "12345 by x@y.example, 1234@y.example"}),
        json!({"m": format!(
            "{} by {}, {}", text(&number), text(&mail), text(&pseudonym("1234@y.example")),
        )}),
    );
    let options = json!({"search": ["m"], "patterns": ["(?:ab)", "(?:bc)", "\\*+", "[d]"]});
    check(
        options,
        &json!({"m": "abc * ab dd"}),
        json!({"m": "*** *** *** ******"}),
    );
}

#[test]
fn a_field_inside_of_one_that_is_replaced_goes_with_it() {
    check(
        json!({"fields": ["a.b", "a", "c"], "search": ["a.d", "c.d"], "patterns": ["[x]"]}),
        &json!({"a": {"b": 1, "d": "x"}, "c": {"d": "x"}, "a.b": "x", "a.d": "ax"}),
        json!({"a": "***", "c": "***", "a.b": "***", "a.d": "a***"}),
    );
}

#[tokio::test(start_paused = true)]
async fn masked_values_are_counted() {
    let options = json!({"fields": ["a"], "search": ["b"], "patterns": ["email"]});
    let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
    let documents = [r#"{"a":1,"b":"x@y.example"}"#, r#"{"b":"x"}"#].map(Input::document);
    assert_eq!(bolt.run(&documents).await.len(), 2);
    assert_eq!(bolt.counters.values()[0].2, 2);

    let options = json!({"fields": ["a.b"], "search": ["a", "a.c", "a.e"], "patterns": ["[x]"]});
    let mut bolt = PreparedForTest::new(&TYPE, &options).expect("good options");
    let documents = [
        r#"{"a":{"b":1,"c":"x","d":"x"}}"#,
        r#"{"a":{"b":1,"c":"y","d":"y"}}"#,
        r#"{"a.e":"x","a.b":"x"}"#,
    ];
    assert_eq!(bolt.run(&documents.map(Input::document)).await.len(), 3);
    assert_eq!(bolt.counters.values()[0].2, 2 + 1 + 2);
}

#[test]
fn bad_options_are_problems() {
    let expected = "expected fields to replace, or fields to search and patterns to find";
    check_problems(
        &TYPE,
        &json!({}),
        &[&format!(
            "bolts.bolt.fields: `fields` is missing; {expected}"
        )],
    );
    check_problems(
        &TYPE,
        &json!({"search": ["a"]}),
        &[&format!(
            "bolts.bolt.patterns: `patterns` is missing; {expected}"
        )],
    );
    check_problems(
        &TYPE,
        &json!({"fields": ["a"], "patterns": ["email"]}),
        &[&format!(
            "bolts.bolt.search: `search` is missing; {expected}"
        )],
    );
    check_problems(
        &TYPE,
        &json!({"fields": ["a"], "pseudonym_key": "hunter2"}),
        &[
            "bolts.bolt.pseudonym_key: the key is too short to be secret; expected at least 16 bytes, such as of `openssl rand -hex 16`",
        ],
    );
    check_problems(
        &TYPE,
        &json!({"fields": ["a"], "pseudonym_key": "a key of 16 bytes, or more", "replacement": "x"}),
        &["bolts.bolt.pseudonym_key: `replacement` is given too; expected one of them"],
    );
    check_problems(
        &TYPE,
        &json!({"search": ["doc.a"], "fields": ["a..b"], "patterns": ["email"]}),
        &[
            "bolts.bolt.fields[0]: `a..b` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
            "bolts.bolt.search[0]: `doc.a` begins as in an expression; expected `a`, or [\"doc\"].a for what is inside of a field `doc`",
        ],
    );
}

#[test]
fn what_would_hide_nothing_is_refused() {
    let names = "expected email, ipv4, ipv6, card_number, or a regular expression";
    for (pattern, near) in [
        ("card-number", "; did you mean card_number?"),
        ("IPV4", "; did you mean ipv4?"),
        ("mail", "; did you mean email?"),
        ("phone_number", ""),
        ("", ""),
    ] {
        let expected = format!(
            "bolts.bolt.patterns[0]: unknown pattern `{pattern}`; {names}; `(?:{pattern})` finds just this text{near}"
        );
        let options = json!({"search": ["a"], "patterns": [pattern]});
        check_problems(&TYPE, &options, &[&expected]);
    }
    check_problems(
        &TYPE,
        &json!({"fields": ["*", "user.*"]}),
        &[
            "bolts.bolt.fields[0]: `*` does not stand for many fields; expected the name of each field, or [\"*\"] for one that has a star in its name",
            "bolts.bolt.fields[1]: `user.*` does not stand for many fields; expected the name of each field, or [\"user.*\"] for one that has a star in its name",
        ],
    );
    check(
        json!({"fields": ["[\"*\"]"]}),
        &json!({"*": 1, "a": 2}),
        json!({"*": "***", "a": 2}),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn nothing_is_left_of_what_is_looked_for(
        texts in prop::collection::vec((any::<String>(), any::<u32>(), address()), 100),
    ) {
        let text = |(text, four, six): &(String, u32, u128)| {
            let (four, six) = (Ipv4Addr::from(*four), Ipv6Addr::from(*six));
            json!({"m": format!("[{six}] {text} ann@mail.example {text} ({four})")}).to_string()
        };
        let inputs: Vec<Input> = texts.iter().map(|t| Input::document(&text(t))).collect();
        let options = json!({"search": ["m"], "patterns": ["email", "ipv6", "ipv4"], "replacement": ""});
        let masked = emitted(&TYPE, &options, &inputs);
        for (record, (text, four, six)) in masked.iter().zip(&texts) {
            let document = record.document.as_deref().expect("a document");
            let document: Value = serde_json::from_str(document).expect("JSON");
            let found = document["m"].as_str().expect("text");
            let is_framed = found.starts_with("[] ") && found.ends_with(" ()");
            prop_assert!(is_framed, "{} of {:?} {:x} {:x}", found, text, four, six);
            prop_assert!(!found.contains("ann@mail.example"), "{}", found);
        }
    }
}

/// An address of IPv6, often with many zeros.
fn address() -> impl Strategy<Value = u128> {
    let of_bits = |set: [bool; 8]| {
        let bits = set.iter();
        bits.fold(0, |sum, bit| sum << 16 | u128::from(*bit))
    };
    let mapped = any::<u32>().prop_map(|four| 0xFFFF_0000_0000 | u128::from(four));
    let some = prop_oneof![any::<u128>(), any::<[bool; 8]>().prop_map(of_bits), mapped];
    // `::` is nobody's address.
    some.prop_filter("unspecified", |address| *address != 0)
}
