//! The scanner against tables, and against serde_json on random and mutated text.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn scan(text: &[u8]) -> Result<Vec<(String, String)>, JsonError> {
    let mut members = Vec::new();
    let span = scan_object(text, |member| {
        let key = unescape(member.key.of(text)).into_owned();
        let value = String::from_utf8(member.value.of(text).to_vec()).expect("checked UTF-8");
        assert_eq!(text[member.key_start as usize], b'"');
        assert_eq!(member.escaped_key, member.key.of(text).contains(&b'\\'));
        members.push((key, value));
    })?;
    assert_eq!(
        (text[span.start as usize], text[span.end as usize - 1]),
        (b'{', b'}')
    );
    Ok(members)
}

#[test]
fn members_are_reported_with_their_places() {
    let text = " { \"a\" : 1 , \"b\":[1,{\"x\":\"}\"}],\"\\u0063\\n\":\"q\\\"q\",\"d\":{}} \r\n";
    let expected = [
        ("a", "1"),
        ("b", "[1,{\"x\":\"}\"}]"),
        ("c\n", "\"q\\\"q\""),
        ("d", "{}"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(scan(text.as_bytes()), Ok(expected.to_vec()));
    assert_eq!(scan(b"{}"), Ok(vec![]));
}

#[test]
fn faults_are_named_with_their_place() {
    let table: &[(&[u8], usize, &str)] = &[
        (b"", 0, "the text is empty"),
        (b"  ", 2, "the text is empty"),
        (b"[1]", 0, "expected an object, found an array"),
        (b"\"x\"", 0, "expected an object"),
        (
            b"\xEF\xBB\xBF{}",
            0,
            "expected an object, found a byte order mark",
        ),
        (b"{\"a\":1", 6, "expected ',' or '}' after a member"),
        (b"{\"a\" 1}", 5, "expected ':' after a key"),
        (b"{a:1}", 1, "expected a key in quotes"),
        (b"{\"a\":1,}", 7, "expected a key in quotes"),
        (b"{\"a\":01}", 6, "expected ',' or '}' after a member"),
        (b"{\"a\":1.}", 7, "expected a digit"),
        (b"{\"a\":-}", 6, "expected a digit"),
        (b"{\"a\":1e}", 7, "expected a digit"),
        (b"{\"a\":tru}", 5, "expected a value"),
        (b"{\"a\":NaN}", 5, "expected a value"),
        (b"{\"a\":", 5, "the text ends where a value was expected"),
        (b"{\"a\":\"x", 7, "the text ends inside a string"),
        (b"{\"a\":\"x\ny\"}", 7, "a control character in a string"),
        (b"{\"a\":\"\\x\"}", 6, "an unknown escape in a string"),
        (
            b"{\"a\":\"\\u12g4\"}",
            6,
            "expected four hexadecimal digits after \\u",
        ),
        (b"{\"a\":[1 2]}", 8, "expected ',' or ']' after an element"),
        (b"{\"a\":1}{", 7, "text after the end of the value"),
        (b"{\"a\":\"\xFF\"}", 6, "not UTF-8"),
        (b"{\"a\":1,\"a\":2}", 7, "a key that occurred before"),
        (b"{\"a\":1,\"\\u0061\":2}", 7, "a key that occurred before"),
    ];
    for (text, at, problem) in table {
        let error = scan(text).expect_err("a fault");
        assert_eq!(
            (error.at, error.problem),
            (*at, *problem),
            "{}",
            text.escape_ascii()
        );
    }
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
    let nested = |levels: usize| {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        scan(text.as_bytes()).map(|_| ())
    };
    assert_eq!(nested(DEPTH_MAX - 1), Ok(()));
    let error = nested(10_000).expect_err("too deep");
    assert_eq!(error.problem, "nested deeper than 128 levels");
}

#[test]
fn many_keys_are_compared_without_quadratic_time() {
    let mut text = String::from("{");
    for n in 0..100_000 {
        text.push_str(&format!("\"key{n}\":{n},"));
    }
    let unique = format!("{text}\"last\":0}}");
    assert_eq!(
        scan(unique.as_bytes()).map(|members| members.len()),
        Ok(100_001)
    );
    let repeated = format!("{text}\"key70000\":0}}");
    assert_eq!(
        scan(repeated.as_bytes()).map_err(|e| e.problem),
        Err(DUPLICATE)
    );
}

#[test]
fn paths_find_nested_values() {
    let object = br#"{"a":{"b":[10,{"c":"x"}]},"k\u0065y":true, "last" : null}"#;
    let list = member(member(object, "a").expect("a"), "b").expect("b");
    assert_eq!(element(list, 0), Some(&b"10"[..]));
    assert_eq!(
        member(element(list, 1).expect("1"), "c"),
        Some(&b"\"x\""[..])
    );
    assert_eq!(element(list, 2), None);
    assert_eq!(member(object, "key"), Some(&b"true"[..]));
    assert_eq!(member(object, "last"), Some(&b"null"[..]));
    assert_eq!(member(object, "b"), None);
    assert_eq!(member(b"[1]", "b"), None);
}

/// What serde_json accepts and the scanner refuses, or the other way round, on purpose.
fn differs_on_purpose(text: &[u8], error: Option<JsonError>) -> bool {
    let duplicate_or_deep =
        error.is_some_and(|e| e.problem == DUPLICATE || e.problem.starts_with("nested deeper"));
    // serde_json refuses lone surrogates and numbers beyond f64; Elasticsearch takes the first and
    // answers the second with a reason of its own.
    let surrogate = text.windows(2).any(|pair| pair == b"\\u");
    let number = text.iter().any(|byte| matches!(byte, b'e' | b'E')) || text.len() > 300;
    duplicate_or_deep || surrogate || number
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)),
        ".{0,12}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(".{0,6}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::hash_map(".{0,8}", value, 0..70)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

proptest! {
    #[test]
    fn valid_documents_are_read_as_serde_reads_them(document in document(), pretty: bool) {
        let text = if pretty {
            serde_json::to_string_pretty(&document)
        } else {
            serde_json::to_string(&document)
        }.expect("a document");
        let members = scan(text.as_bytes());
        let members = members.map_err(|e| TestCaseError::fail(format!("{e} in {text}")))?;
        let object = document.as_object().expect("an object");
        prop_assert_eq!(members.len(), object.len());
        for (key, value) in members {
            let value: Value = serde_json::from_str(&value).expect("a value");
            prop_assert_eq!(Some(&value), object.get(&key));
            prop_assert_eq!(
                member(text.trim().as_bytes(), &key).map(|raw| serde_json::from_slice(raw).ok()),
                Some(object.get(&key).cloned())
            );
        }
    }

    #[test]
    fn mutated_documents_are_refused_exactly_when_serde_refuses_them(
        document in document(), at: prop::sample::Index, byte: u8, cut: bool,
    ) {
        let mut text = serde_json::to_vec(&document).expect("a document");
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        let ours = scan(&text).map(|_| ());
        let theirs = serde_json::from_slice::<serde_json::Map<String, Value>>(&text);
        if ours.is_ok() != theirs.is_ok() {
            prop_assert!(differs_on_purpose(&text, ours.err()), "{:?} {:?} {}", ours, theirs, text.escape_ascii());
        }
    }

    #[test]
    fn random_text_never_panics(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let ours = scan(&text).is_ok();
        let theirs = serde_json::from_slice::<serde_json::Map<String, Value>>(&text).is_ok();
        prop_assert_eq!(ours, theirs);
        let _ = member(&text, "x");
        let _ = element(&text, 1);
        let _ = unescape(&text);
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
    fn escapes_resolve_as_serde_resolves_them(text in r#"(a|\\n|\\"|\\\\|\\/|\\u00e9|\\ud83d\\ude00|é){0,10}"#) {
        let quoted = format!("\"{text}\"");
        let theirs: String = serde_json::from_str(&quoted).expect("valid escapes");
        prop_assert_eq!(unescape(text.as_bytes()), theirs);
    }
}
