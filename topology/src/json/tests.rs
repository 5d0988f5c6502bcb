//! The scanner against tables of valid and invalid text. Random text is next door, in `against_serde`.

use super::keys::DUPLICATE;
use super::*;

pub(super) fn scan(text: &[u8]) -> Result<Vec<(String, String)>, JsonError> {
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
        (b"\"x\"", 0, "expected an object, found a string"),
        (b" -1", 1, "expected an object, found a number"),
        (b"null", 0, "expected an object"),
        (b"\xEF\xBB", 0, "not UTF-8"),
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
        (b"{\"a\":[1,]}", 8, "expected a value"),
        (b"{\"a\":[1}}", 7, "expected ',' or ']' after an element"),
        (
            b"{\"a\":{\"b\":1]}",
            11,
            "expected ',' or '}' after a member",
        ),
        (b"{\"a\":{1:2}}", 6, "expected a key in quotes"),
        (b"{\"a\":+1}", 5, "expected a value"),
        (b"{\"a\":.5}", 5, "expected a value"),
        (b"{\"a\":1e+}", 8, "expected a digit"),
        (b"{\"a\":\"\\", 6, "an unknown escape in a string"),
        (b"{\"a\":\"\x00\"}", 6, "a control character in a string"),
        (b"{\"a\":1}\x0C", 7, "text after the end of the value"),
        (b"{\"a\":1}{", 7, "text after the end of the value"),
        (b"{\"a\":\"\xFF\"}", 6, "not UTF-8"),
        (b"{\"a\":1,\"a\":2}", 7, "duplicate key"),
        (b"{\"a\":1,\"\\u0061\":2}", 7, "duplicate key"),
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
    for levels in [DEPTH_MAX, 10_000] {
        let error = nested(levels).expect_err("too deep");
        let problem = format!("nested deeper than {DEPTH_MAX} levels");
        assert_eq!((error.at, error.problem), (DEPTH_MAX + 4, &problem[..]));
    }
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

#[test]
fn any_single_value_is_validated_with_its_place() {
    let valid: &[(&str, u32, u32)] = &[
        ("1", 0, 1),
        (" \"x\" ", 1, 4),
        ("-0.5E-7\n", 0, 7),
        ("1e400", 0, 5),
        ("[]", 0, 2),
        ("{\"a\":1,\"a\":[ { } ]}", 0, 19),
        ("\tnull", 1, 5),
    ];
    for (text, start, end) in valid {
        let (start, end) = (*start, *end);
        assert_eq!(validate(text.as_bytes()), Ok(Span { start, end }), "{text}");
    }
    for (text, at) in [("", 0), ("1 2", 2), ("tru", 0), ("[", 1), ("01", 1)] {
        assert_eq!(
            validate(text.as_bytes()).map_err(|e| e.at),
            Err(at),
            "{text}"
        );
    }
}

#[test]
fn the_end_of_a_string_is_found_at_every_alignment() {
    for special in [b'"', b'\\', 0x00, 0x1F] {
        for filler in [
            b'x', b' ', b'!', b'#', b'[', b']', 0x7F, 0x80, 0xA2, 0xDC, 0xFF,
        ] {
            for before in 0..40 {
                let mut text = vec![filler; before];
                text.extend_from_slice(&[special, b'"', filler, 0x01, b'\\']);
                for from in 0..=before {
                    assert_eq!(text::next_special(&text, from), before);
                }
                assert_eq!(text::next_special(&text[..before], 0), before);
            }
        }
    }
}

#[test]
fn keys_repeat_only_when_they_are_equal_as_text() {
    // Equal length, first and last eight bytes, hence equal hashes.
    let alike = r#"{"kubernetes_a_namespace":1,"kubernetes_b_namespace":2}"#;
    assert_eq!(scan(alike.as_bytes()).map(|members| members.len()), Ok(2));
    // The hash of a key and of a longer key that starts with it, made equal by its last bytes.
    let (short, long) = ("labels_application", "labels_applicationlicatyon");
    assert_eq!(key_hash(short.as_bytes()), key_hash(long.as_bytes()));
    for text in [
        format!(r#"{{"{short}":1,"{long}":2}}"#),
        format!(r#"{{"{long}":1,"{short}":2}}"#),
    ] {
        assert_eq!(scan(text.as_bytes()).map(|members| members.len()), Ok(2));
    }
    // Different halves of surrogate pairs become the same text, but are different keys.
    let halves = r#"{"\ud800":1,"\ud801":2,"\udc00":3,"\ufffd":4}"#;
    assert_eq!(scan(halves.as_bytes()).map(|members| members.len()), Ok(4));
    for text in [
        r#"{"kubernetes_a_namespace":1,"x":{},"kubernetes_a_namespace":2}"#,
        r#"{"":1,"":2}"#,
        r#"{"\uD83D\ude00":1,"😀":2}"#,
        r#"{"\ud800":1,"\uD800":2}"#,
    ] {
        assert_eq!(scan(text.as_bytes()).map_err(|e| e.problem), Err(DUPLICATE));
    }
}

#[test]
fn a_repeated_key_is_found_whatever_the_number_of_members() {
    for count in 1..150 {
        let keys: Vec<_> = (0..count).map(|n| format!("\"key{n}\":{n}")).collect();
        let unique = format!("{{{}}}", keys.join(","));
        assert_eq!(
            scan(unique.as_bytes()).map(|members| members.len()),
            Ok(count)
        );
        for repeated in [0, count / 2, count - 1] {
            let text = format!("{{{},{}}}", keys.join(","), keys[repeated]);
            let error = scan(text.as_bytes()).expect_err("a repeated key");
            assert_eq!((error.at, error.problem), (unique.len(), DUPLICATE));
        }
    }
}

/// Each length has its own way to look at the last bytes.
#[test]
fn what_needs_an_escape_is_seen_wherever_it_is() {
    for length in 0..=20 {
        let plain = "x".repeat(length);
        let written = |text: &str| {
            let mut out = Vec::new();
            write_bytes_lossy(&mut out, text.as_bytes());
            String::from_utf8(out).expect("JSON")
        };
        assert_eq!(written(&plain), format!("\"{plain}\""));
        for at in 0..length {
            for special in ['"', '\\', '\n', '\u{1f}', '\0'] {
                let text = format!("{}{special}{}", &plain[..at], &plain[at + 1..]);
                let expected = serde_json::to_string(&text).expect("JSON");
                assert_eq!(written(&text), expected);
            }
            let text = [
                &plain.as_bytes()[..at],
                b"\xff",
                &plain.as_bytes()[at + 1..],
            ]
            .concat();
            let mut out = Vec::new();
            write_bytes_lossy(&mut out, &text);
            let expected = format!("\"{}\u{FFFD}{}\"", &plain[..at], &plain[at + 1..]);
            assert_eq!(String::from_utf8(out), Ok(expected));
        }
    }
}
