//! What lines become, with separators of all kinds, and lines that do not fit.

use isobar_topology::testing::Input;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::TYPE;
use crate::one_record::{check_problems, run};

fn check(options: Value, line: impl AsRef<[u8]>, expected: Value) {
    let shown = String::from_utf8_lossy(line.as_ref()).into_owned();
    let (document, _) = run(&TYPE, &options, Input::raw(line)).expect(&shown);
    assert_eq!(document, expected, "{shown}");
}

fn check_error(options: Value, line: impl AsRef<[u8]>, at: usize, expected: &str) {
    let shown = String::from_utf8_lossy(line.as_ref()).into_owned();
    let error = run(&TYPE, &options, Input::raw(line)).expect_err(&shown);
    let text = format!(
        "invalid_key_value: invalid line of keys and values at byte {at}: expected {expected}"
    );
    assert_eq!(error, text, "{shown}");
}

#[test]
fn pairs_become_fields() {
    check(
        json!({}),
        "time=2024-01-31T12:00:00Z level=info  msg=\"all \\\"well\\\"\\n\"\terr= url=/a?b=c \n",
        json!({
            "time": "2024-01-31T12:00:00Z", "level": "info", "msg": "all \"well\"\n", "err": "",
            "url": "/a?b=c",
        }),
    );
    check(
        json!({}),
        b"a=\xFF b=x\"y\" \xC3\xA4=1 c=\"\"",
        json!({"a": "\u{FFFD}", "b": "x\"y\"", "ä": "1", "c": ""}),
    );
    check(
        json!({"pair_separator": ";", "key_value_separator": ":"}),
        " first name : Jane Doe ; quoted: \"a;b\" ;; last:x y;",
        json!({"first name": "Jane Doe", "quoted": "a;b", "last": "x y"}),
    );
    check(
        json!({"pair_separator": "\t"}),
        "a=\tb= 1 2 \t\tc=\"3\"",
        json!({"a": "", "b": "1 2", "c": "3"}),
    );
    check(
        json!({"pair_separator": "&"}),
        "q=a+b&page=2&q=",
        json!({"q": ["a+b", ""], "page": "2"}),
    );
}

#[test]
fn a_key_that_repeats_is_a_list() {
    check(
        json!({"bare_words": "keep"}),
        "a=1 b=2 a=\"3\\\\\" a c=4 a=1",
        json!({"a": ["1", "3\\", true, "1"], "b": "2", "c": "4"}),
    );
}

#[test]
fn words_without_values_are_rejected_ignored_or_kept() {
    let line = "INFO a=1 done";
    check_error(json!({}), line, 4, "a value for the key");
    check(json!({"bare_words": "ignore"}), line, json!({"a": "1"}));
    check(json!({"bare_words": "ignore"}), "INFO", json!({}));
    let kept = json!({"INFO": true, "a": "1", "done": true});
    check(json!({"bare_words": "keep"}), line, kept);
}

#[test]
fn lines_that_do_not_fit_are_rejected_with_the_position() {
    for (line, at, expected) in [
        (&b""[..], 0, "a key"),
        (b" \t\n", 0, "a key"),
        (b"a=1 =2", 4, "a key"),
        (b"a=1 b\xFF=2", 5, "a key in UTF-8"),
        (b"a=\"b", 4, "\" after a quoted value"),
        (b"a=\"b\\\"", 6, "\" after a quoted value"),
        (
            b"a=\"b\"c",
            5,
            "a separator or the end after a quoted value",
        ),
    ] {
        check_error(json!({}), line, at, expected);
    }
    let pairs = |count: usize| -> String { (0..count).map(|n| format!("k{n}=v ")).collect() };
    let (document, _) = run(&TYPE, &json!({}), Input::raw(pairs(1024))).expect("fits");
    assert_eq!(document.as_object().map(Map::len), Some(1024));
    let at = pairs(1024).len();
    check_error(json!({}), pairs(1025), at, "at most 1024 keys and values");
}

#[test]
fn pairs_in_a_field_become_an_object_there() {
    let options = json!({"field": "msg", "bare_words": "ignore"});
    for (text, expected) in [
        ("a=1 b=\"2\" a=3", json!({"a": ["1", "3"], "b": "2"})),
        ("nothing", json!({})),
    ] {
        let input = Input::document(&json!({"a": 0, "msg": text}).to_string());
        let (document, _) = run(&TYPE, &options, input).expect("fits");
        assert_eq!(document, json!({"a": 0, "msg": expected}));
    }
    let options = json!({"field": "event.msg", "merge": true});
    let input = Input::document(r#"{"a":0,"event":{"msg":"a=1 b=2"}}"#);
    let (document, _) = run(&TYPE, &options, input).expect("fits");
    assert_eq!(document, json!({"event": {}, "a": "1", "b": "2"}));
}

#[test]
fn bad_separators_are_problems() {
    let expected =
        "expected one character of ASCII that is no letter, digit, quote or backslash, such as ,";
    check_problems(
        &TYPE,
        &json!({"pair_separator": "", "key_value_separator": "=>"}),
        &[
            &format!("bolts.bolt.key_value_separator: `=>` is not a separator; {expected}"),
            &format!("bolts.bolt.pair_separator: `` is not a separator; {expected}"),
        ],
    );
    check_problems(
        &TYPE,
        &json!({"pair_separator": "="}),
        &[
            "bolts.bolt.key_value_separator: `pair_separator` is this character already; expected another character",
        ],
    );
}

proptest! {
    #[test]
    fn a_line_is_read_as_it_was_written(
        pairs in prop::collection::vec(("[a-c]|[^ \t\r\n=,]{1,8}", any::<String>()), 1..30),
        comma: bool,
    ) {
        let mut expected = Map::new();
        let mut line = String::new();
        for (key, value) in &pairs {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            line.push_str(&format!("{key}=\"{quoted}\"{}", if comma { ", " } else { " " }));
            match expected.get_mut(key) {
                None => {
                    let _ = expected.insert(key.clone(), json!(value));
                }
                Some(Value::Array(values)) => values.push(json!(value)),
                Some(first) => *first = json!([first, value]),
            }
        }
        let separator = if comma { "," } else { " " };
        let options = json!({"pair_separator": separator});
        let (document, _) = run(&TYPE, &options, Input::raw(&line)).expect(&line);
        prop_assert_eq!(document, Value::Object(expected), "{}", line);
    }

    #[test]
    fn arbitrary_bytes_give_a_document_or_a_reason(
        line in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[ab=\"\\\\ ,\t]{0,60}".prop_map(String::into_bytes),
        ],
        separator in prop::sample::select(vec![" ", ",", "\t"]),
        bare_words in prop::sample::select(vec!["reject", "ignore", "keep"]),
    ) {
        let options = json!({"pair_separator": separator, "bare_words": bare_words});
        let _ = run(&TYPE, &options, Input::raw(line));
    }
}

#[test]
fn a_field_that_does_not_fit_is_kept_where_that_is_asked_for() {
    let options = json!({"field": "line", "on_invalid": "keep", "merge": true});
    for document in [
        json!({"line": "no pair", "a": 1}),
        json!({"line": 1}),
        json!({}),
    ] {
        let found = run(&TYPE, &options, Input::document(&document.to_string()));
        assert_eq!(found.map(|found| found.0), Ok(document));
    }
}
