//! The scanner against serde_json on random, mutated and senseless text.

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::keys::DUPLICATE;
use super::oracle::{depth, members};
use super::tests::scan;
use super::*;

fn check(text: &[u8]) -> Result<(), TestCaseError> {
    let ours = scan(text);
    let theirs = members(text);
    let shown = text.escape_ascii();
    match (&ours, theirs) {
        (Ok(members), Ok(count)) => prop_assert_eq!(members.len(), count, "{}", shown),
        (Err(error), Err(problem)) => {
            prop_assert!(error.at <= text.len(), "{error} in {shown}");
            let ours_is_duplicate = error.problem == DUPLICATE;
            // Text may break the grammar behind a repeated key.
            if problem == DUPLICATE || (ours_is_duplicate && problem != "grammar") {
                prop_assert_eq!(error.problem, problem, "{}", shown);
            }
            prop_assert_eq!(
                error.problem == "not UTF-8",
                problem == "not UTF-8",
                "{}",
                shown
            );
        }
        _ => prop_assert!(false, "{ours:?}, expected {theirs:?}: {shown}"),
    }
    let any = std::str::from_utf8(text).is_ok_and(|text| {
        serde_json::from_str::<IgnoredAny>(text).is_ok() && depth(text.as_bytes()) <= DEPTH_MAX
    });
    prop_assert_eq!(validate(text).is_ok(), any, "{}", shown);
    Ok(())
}

/// Valid JSON values in the spellings that machines and people use.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1e400",
            "-0.5E-7",
            "12e+3",
            "1.25",
            "\"\"",
            "\"\\ud800\"",
            "\"\\udc00\\ud83d\"",
            "\"\\ud83d\\ude00\"",
            "[]",
            "{}",
            "[ ]",
            "{\n}",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|n| n.to_string()),
        ".{0,20}".prop_map(|text| Value::from(text).to_string()),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 1..6), space()).prop_map(|(elements, space)| {
                format!(
                    "[{space}{}{space}]",
                    elements.join(&format!("{space},{space}"))
                )
            }),
            object(key(), inner, 1..6),
        ]
    })
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n  ", "\r\n\t"])
}

/// Keys that repeat now and then, also in another spelling.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "a",
            "\\u0061",
            "b",
            "host",
            "\\ud800",
            "\\uD800",
            "\\udfff",
            "\u{FFFD}",
            "é",
            "\\u00e9",
            "kubernetes_a_namespace",
            "kubernetes_b_namespace",
            "\\\"",
            "\\\\",
            "",
        ])
        .prop_map(|key| format!("\"{key}\"")),
        ".{0,12}".prop_map(|text| Value::from(text).to_string()),
        "[a-z]{1,20}".prop_map(|text| Value::from(text).to_string()),
        any::<u32>().prop_map(|n| format!("\"field_{n}\"")),
    ]
}

fn object(
    key: impl Strategy<Value = String>,
    value: impl Strategy<Value = String>,
    size: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    (prop::collection::vec((key, value), size), space()).prop_map(|(members, space)| {
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("{key}{space}:{space}{value}"))
            .collect();
        format!(
            "{{{space}{}{space}}}",
            members.join(&format!("{space},{space}"))
        )
    })
}

fn document() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => object(key(), value(), 0..12),
        1 => object(any::<u16>().prop_map(|n| format!("\"key{n}\"")), Just("1".to_owned()), 40..200),
    ]
}

#[derive(Clone, Debug)]
enum Edit {
    Cut,
    Set(u8),
    Insert(u8),
    Remove,
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = prop_oneof![
        prop::sample::select(b"{}[]:,\"\\ \n\t01-+.eEutfna\x00\x1F\x7F\x80\xC3\xED\xFF".to_vec()),
        any::<u8>(),
    ];
    prop_oneof![
        1 => Just(Edit::Cut),
        4 => byte.clone().prop_map(Edit::Set),
        4 => byte.prop_map(Edit::Insert),
        4 => Just(Edit::Remove),
    ]
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\":", "\"a\":1", "1", "-", "0.5", "e5", "true",
        "nul", "null", "\"", "\\", "\\u00e9", " ", "\n", "é", "\u{1}",
    ])
}

proptest! {
    #[test]
    fn documents_get_the_verdict_of_serde(text in document()) {
        check(text.as_bytes())?;
    }

    #[test]
    fn mutated_documents_get_the_verdict_of_serde(
        text in document(), edits in prop::collection::vec((any::<prop::sample::Index>(), edit()), 1..4),
    ) {
        let mut text = text.into_bytes();
        for (at, edit) in edits {
            if text.is_empty() {
                break;
            }
            let at = at.index(text.len());
            match edit {
                Edit::Cut => text.truncate(at),
                Edit::Set(byte) => text[at] = byte,
                Edit::Insert(byte) => text.insert(at, byte),
                Edit::Remove => drop(text.remove(at)),
            }
        }
        check(&text)?;
    }

    #[test]
    fn rows_of_tokens_get_the_verdict_of_serde(tokens in prop::collection::vec(token(), 0..12)) {
        check(format!("{{{}}}", tokens.concat()).as_bytes())?;
        check(tokens.concat().as_bytes())?;
    }

    #[test]
    fn random_bytes_get_the_verdict_of_serde_and_never_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&text)?;
        let mut quoted = b"{\"a\":\"".to_vec();
        quoted.extend_from_slice(&text);
        quoted.extend_from_slice(b"\"}");
        check(&quoted)?;
        for text in [&text, &quoted] {
            let _ = (member(text, "x"), element(text, 1), unescape(text), skip_value(text, 5));
            for_each_element(text, |_| {});
        }
    }

    #[test]
    fn nesting_is_accepted_up_to_its_bound(shapes in prop::collection::vec(any::<bool>(), 100..160)) {
        let (mut open, mut close) = (String::from("{\"k\":"), Vec::new());
        for is_object in shapes {
            open.push_str(if is_object { "{\"k\":" } else { "[" });
            close.push(if is_object { '}' } else { ']' });
        }
        let close: String = close.into_iter().rev().collect();
        check(format!("{open}1{close}}}").as_bytes())?;
    }

    #[test]
    fn members_hold_what_serde_reads(
        members in prop::collection::hash_map(".{0,8}", ".{0,20}|[0-9]{1,5}", 0..70), pretty: bool,
    ) {
        let object: serde_json::Map<String, Value> = members
            .into_iter()
            .map(|(key, text)| {
                let nested = serde_json::json!({"list": [text.len(), text], "{": null});
                (key, if text.len() % 2 == 0 { nested } else { Value::from(text) })
            })
            .collect();
        let text = if pretty {
            serde_json::to_string_pretty(&object)
        } else {
            serde_json::to_string(&object)
        }
        .expect("a document");
        let members = scan(text.as_bytes()).map_err(|e| TestCaseError::fail(format!("{e} in {text}")))?;
        prop_assert_eq!(members.len(), object.len());
        let mut walked = Vec::new();
        for_each_member(text.as_bytes(), |key, value| {
            let value = String::from_utf8(value.to_vec()).expect("checked UTF-8");
            walked.push((unescape(key).into_owned(), value));
        });
        prop_assert_eq!(&walked, &members);
        for (key, raw) in members {
            let value: Value = serde_json::from_str(&raw).expect("a value");
            prop_assert_eq!(Some(&value), object.get(&key));
            prop_assert_eq!(member(text.as_bytes(), &key), Some(raw.as_bytes()));
            if let Some(list) = member(raw.as_bytes(), "list") {
                let second = element(list, 1).and_then(string).expect("a string");
                prop_assert_eq!(Some(&*second), value["list"][1].as_str());
            }
        }
    }

    #[test]
    fn strings_survive_writing_and_reading(text in ".{0,40}") {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        let back: String = serde_json::from_slice(&out).expect("a string");
        prop_assert_eq!(&back, &text);
        prop_assert_eq!(string(&out).map(|t| t.into_owned()), Some(text));
    }

    #[test]
    fn bytes_are_written_as_the_standard_library_reads_them(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut out = Vec::new();
        write_bytes_lossy(&mut out, &text);
        let back: String = serde_json::from_slice(&out).expect("a string");
        prop_assert_eq!(back, String::from_utf8_lossy(&text));
    }

    #[test]
    fn escapes_resolve_as_serde_resolves_them(text in r#"(a|\\[nrtbf]|\\"|\\\\|\\/|\\u00e9|\\u0000|\\uFFFF|\\ud83d\\uDE00|é){0,10}"#) {
        let quoted = format!("\"{text}\"");
        let theirs: String = serde_json::from_str(&quoted).expect("valid escapes");
        prop_assert_eq!(unescape(text.as_bytes()), theirs);
    }

    #[test]
    fn lone_surrogates_are_replaced_one_by_one(units in prop::collection::vec(prop_oneof![any::<u16>(), 0xD700u16..0xE100], 0..8)) {
        let text: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        prop_assert_eq!(unescape(text.as_bytes()), String::from_utf16_lossy(&units));
    }
}
