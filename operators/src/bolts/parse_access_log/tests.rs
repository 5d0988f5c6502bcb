//! What lines become: those of the servers' own documentation, those that servers write for hostile
//! requests, and lines that do not fit.

use isobar_topology::testing::Input;
use proptest::prelude::*;
use serde_json::{Value, json};

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
    let text =
        format!("invalid_access_line: invalid access log line at byte {at}: expected {expected}");
    assert_eq!(error, text, "{shown}");
}

const COMMON: &str =
    r#"192.0.2.7 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#;
const REST_OF_COMBINED: &str =
    r#" "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)""#;

fn common() -> Value {
    json!({
        "client": "192.0.2.7", "user": "frank", "timestamp": "2000-10-10T20:55:36Z", "method": "GET",
        "path": "/apache_pb.gif", "protocol": "HTTP/1.0", "status": 200, "bytes": 2326,
    })
}

/// `document` with these fields on top.
fn with(mut document: Value, fields: Value) -> Value {
    let further = fields.as_object().expect("an object").clone();
    document.as_object_mut().expect("an object").extend(further);
    document
}

#[test]
fn each_format_is_read_and_told() {
    let combined = with(
        common(),
        json!({"referrer": "http://www.example.com/start.html", "user_agent": "Mozilla/4.08 [en] (Win98; I ;Nav)"}),
    );
    let nginx = with(
        combined.clone(),
        json!({"forwarded_for": "198.51.100.1, 192.0.2.9"}),
    );
    let forwarded = r#" "198.51.100.1, 192.0.2.9""#;
    for (format, line, expected) in [
        ("common", COMMON.to_owned(), common()),
        ("combined", format!("{COMMON}{REST_OF_COMBINED}"), combined),
        (
            "nginx",
            format!("{COMMON}{REST_OF_COMBINED}{forwarded}"),
            nginx,
        ),
    ] {
        check(json!({"format": format}), &line, expected.clone());
        check(json!({}), &line, expected.clone());
        check(json!({}), format!("{line}\r\n"), expected.clone());
        let raw = with(expected, json!({"whole": line}));
        check(json!({"raw_field": "whole"}), format!("{line}\n"), raw);
    }
    let (_, time) = run(&TYPE, &json!({}), Input::raw(COMMON)).expect("fits");
    assert_eq!(time, Some(971_211_336_000));
}

#[test]
fn the_host_before_the_client_is_no_client() {
    let of = |host: &str, port: u16| with(common(), json!({"vhost": host, "port": port}));
    for (host, expected) in [
        ("example.com:443", of("example.com", 443)),
        ("[2001:db8::1]:080", of("[2001:db8::1]", 80)),
    ] {
        check(json!({}), format!("{host} {COMMON}"), expected.clone());
        let combined = json!({"referrer": "http://www.example.com/start.html", "user_agent": "Mozilla/4.08 [en] (Win98; I ;Nav)"});
        let line = format!("{host} {COMMON}{REST_OF_COMBINED}");
        let expected = with(expected, combined);
        check(json!({}), &line, expected.clone());
        check(json!({"format": "vhost_combined"}), &line, expected);
    }
    // A client with a port, and an address that ends like one.
    let tail = r#"[14/Nov/2023:22:13:20 +0000] "GET / HTTP/1.1" 200 5"#;
    for (line, user) in [
        ("192.0.2.7:5000 - ann", "ann"),
        ("2001:db8::80 - ann b", "ann b"),
    ] {
        let (client, _) = line.split_once(' ').expect("a client");
        let found = run(&TYPE, &json!({}), Input::raw(format!("{line} {tail}")));
        let (document, _) = found.expect(line);
        assert_eq!(
            (&document["client"], &document["user"]),
            (&json!(client), &json!(user))
        );
        assert!(document.get("vhost").is_none(), "{document}");
    }
    for (format, line, at) in [
        ("combined", "example.com:443 192.0.2.7 - -", 28),
        ("common", "example.com:443 192.0.2.7 - ann", 28),
        ("auto", "example.com 192.0.2.7 - -", 24),
    ] {
        let options = json!({"format": format});
        check_error(options, format!("{line} {tail}"), at, "[ before the time");
    }
    check_error(
        json!({"format": "vhost_combined"}),
        format!("192.0.2.7 - - {tail}"),
        0,
        "name and port of the host, such as example.com:443",
    );
}

#[test]
fn what_a_line_does_not_say_is_left_out() {
    check(
        json!({}),
        r#"- - - [14/Nov/2023:22:13:20 +0000] "-" - - "-" "" "-""#,
        json!({"timestamp": "2023-11-14T22:13:20Z"}),
    );
    check(
        json!({}),
        r#"::1 id Jane Q. [x] Doe [2023-11-14T23:13:20.5+01:00] "OPTIONS * HTTP/2.0" 000 0000"#,
        json!({
            "client": "::1", "ident": "id", "user": "Jane Q. [x] Doe", "timestamp": "2023-11-14T22:13:20.500Z",
            "method": "OPTIONS", "path": "*", "protocol": "HTTP/2.0", "status": 0, "bytes": 0,
        }),
    );
}

#[test]
fn requests_of_all_kinds_are_kept() {
    for (request, expected) in [
        ("GET /", json!({"method": "GET", "path": "/"})),
        (
            "GET /a b?c=d HTTP/1.1",
            json!({"method": "GET", "path": "/a b?c=d", "protocol": "HTTP/1.1"}),
        ),
        (
            r#"M-SEARCH /say/"hi"! HTTP/1.1"#,
            json!({"method": "M-SEARCH", "path": "/say/\"hi\"!", "protocol": "HTTP/1.1"}),
        ),
        (
            r#"GET /\"\x22\\x\x5Cn\q HTTP/1.1"#,
            json!({"method": "GET", "path": "/\"\"\\x\\n\\q", "protocol": "HTTP/1.1"}),
        ),
        (
            r"\x16\x03\x01\x02\x00 \xc3\xa4\xff",
            json!({"request": "\u{16}\u{3}\u{1}\u{2}\0 ä\u{FFFD}"}),
        ),
        (
            r"\n\r\t\b\f\v\",
            json!({"request": "\n\r\t\u{8}\u{c}\u{b}\\"}),
        ),
        ("GET  HTTP/1.1", json!({"request": "GET  HTTP/1.1"})),
        ("GET a b", json!({"request": "GET a b"})),
        ("GET ", json!({"request": "GET "})),
        ("quit", json!({"request": "quit"})),
        (" / HTTP/1.1", json!({"request": " / HTTP/1.1"})),
        ("ä / HTTP/1.1", json!({"request": "ä / HTTP/1.1"})),
    ] {
        // A backslash before the closing quote would escape it.
        let closed = if request.ends_with('\\') { r"\" } else { "" };
        let line =
            format!(r#"192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] "{request}{closed}" 400 5"#);
        let common = json!({"client": "192.0.2.7", "timestamp": "2023-11-14T22:13:20Z", "status": 400, "bytes": 5});
        check(json!({}), line, with(common, expected));
    }
}

#[test]
fn what_stands_behind_the_format_has_a_field_or_is_refused() {
    let timing = |rest: &str| with(common(), json!({"timing": rest}));
    let options = json!({"rest_field": "timing", "format": "common"});
    check(
        options.clone(),
        format!("{COMMON} 0.012 ."),
        timing("0.012 ."),
    );
    check(
        options.clone(),
        format!("{COMMON} \"a\" \"b\""),
        timing("\"a\" \"b\""),
    );
    check(options.clone(), format!("{COMMON} "), common());
    check(options.clone(), COMMON, common());
    check_error(
        options,
        format!("{COMMON}x"),
        85,
        "a space before the rest of the line",
    );
    check_error(
        json!({}),
        format!("{COMMON} 0.012"),
        85,
        "the end of the line",
    );
    check_error(
        json!({"format": "common"}),
        format!("{COMMON}{REST_OF_COMBINED}"),
        85,
        "the end of the line",
    );
    let whole = format!("{COMMON}{REST_OF_COMBINED}");
    check_error(
        json!({"format": "combined"}),
        COMMON,
        85,
        "a space after the size of the reply",
    );
    let end = whole.len();
    check_error(
        json!({"format": "nginx"}),
        &whole,
        end,
        "a space after the user agent",
    );
    check_error(
        json!({}),
        format!("{whole} \"a"),
        end + 3,
        "\" after a quoted text",
    );
}

#[test]
fn lines_that_do_not_fit_are_rejected_with_the_position() {
    let name = "the address or name of the client";
    let time = "a time such as 10/Oct/2000:13:55:36 -0700";
    for (line, at, expected) in [
        ("", 0, name),
        (" - - [", 0, name),
        ("h", 1, "a space after the client"),
        ("h ", 2, "the identity of the client, or -"),
        ("h -", 3, "a space after the identity"),
        ("h - ", 4, "the name of the user, or -"),
        ("h - u", 5, "[ before the time"),
        ("h - u ", 6, "[ before the time"),
        ("h - u[10/Oct/2000", 17, "[ before the time"),
        ("h - - [", 7, time),
        ("h - - [yesterday] \"", 7, time),
        ("h - - [10/Oct/2000:13:55:36] \"-\" - -", 27, time),
        (
            "h - - [31/Jun/2000:13:55:36 -0700] \"-\" - -",
            7,
            "a day that the month has",
        ),
        (
            "h - - [10/Okt/2000:13:55:36 -0700] \"-\" - -",
            10,
            "a month such as Oct",
        ),
        (
            "h - - [10/Oct/200x:13:55:36 -0700] \"-\" - -",
            14,
            "a year of four digits",
        ),
        (
            "h - - [10/Oct/2000:24:55:36 -0700] \"-\" - -",
            19,
            "an hour from 00 to 23",
        ),
        (
            "h - - [10/Oct/2000:13:60:36 -0700] \"-\" - -",
            22,
            "a minute from 00 to 59",
        ),
        (
            "h - - [10/Oct/2000:13:55:61 -0700] \"-\" - -",
            25,
            "a second from 00 to 60",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 =0700] \"-\" - -",
            28,
            "an offset such as -0700",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 -07x0] \"-\" - -",
            31,
            "an offset such as -0700",
        ),
        (
            "h - - [01/Jan/0000:00:00:00 +0100] \"-\" - -",
            7,
            "a time in the years 0000 to 9999",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 -0700 \"-\" - -",
            33,
            "] after the time",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 -0700]\"-\" - -",
            34,
            "a space after the time",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 -0700] - - -",
            35,
            "\" before the request",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 -0700] \"-",
            37,
            "\" after a quoted text",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 -0700] \"-\"",
            38,
            "a space after the request",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 -0700] \"-\" 20 -",
            39,
            "a status of three digits, or -",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 -0700] \"-\" 2000 -",
            42,
            "a space after the status",
        ),
        (
            "h - - [10/Oct/2000:13:55:36 -0700] \"-\" - x",
            41,
            "the size of the reply, a number of up to 18 digits, or -",
        ),
    ] {
        check_error(json!({}), line, at, expected);
    }
    let tombstone = run(&TYPE, &json!({}), Input::default()).expect_err("has no line");
    assert_eq!(
        tombstone,
        "no_value: The record has no value: it is a tombstone"
    );
}

#[test]
fn a_line_in_a_field_sets_the_others_beside_it() {
    let options = json!({"field": "log"});
    let document = json!({"log": format!("{COMMON}\n"), "status": "kept not", "pod": "a"});
    let (found, _) = run(&TYPE, &options, Input::document(&document.to_string())).expect("fits");
    let around = json!({"log": format!("{COMMON}\n"), "pod": "a"});
    assert_eq!(found, with(around, common()));
    for (document, expected) in [
        ("{}", "missing_field: The field log is missing"),
        (r#"{"log":5}"#, "missing_field: The field log is not text"),
        (
            r#"{"log":"h"}"#,
            "invalid_access_line: invalid access log line at byte 1: expected a space after the client",
        ),
    ] {
        let found = run(&TYPE, &options, Input::document(document));
        assert_eq!(found.expect_err("rejected"), expected);
    }
}

#[test]
fn options_that_do_not_fit_are_said_all_at_once() {
    let others = "vhost, port, client, ident, user, timestamp, method, path, protocol, request, status, bytes, referrer, user_agent, forwarded_for";
    check_problems(
        &TYPE,
        &json!({"rest_field": "user", "raw_field": "a.b", "field": "c."}),
        &[
            "bolts.bolt.field: `c.` is not a field; expected a name such as host, user.name for a field inside of another, or [\"user.name\"] for a name with a dot in it",
            "bolts.bolt.raw_field: `a.b` looks like a field inside of `a`; expected the name of a top-level field, or [\"a.b\"] for one that has dots in its name",
            &format!(
                "bolts.bolt.rest_field: the document has a field `user` already; expected a name other than {others}"
            ),
        ],
    );
    check_problems(
        &TYPE,
        &json!({"rest_field": "a", "raw_field": "a"}),
        &["bolts.bolt.raw_field: `rest_field` has this name already; expected another name"],
    );
}

/// A text as Apache httpd and nginx write it between quotes.
fn escaped(text: &str, hex: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' if !hex => out.extend(['\\', byte as char]),
            b'"' | b'\\' | 0..0x20 | 0x7F.. => out.push_str(&format!("\\x{byte:02X}")),
            _ => out.push(byte as char),
        }
    }
    out
}

proptest! {
    #[test]
    fn a_line_is_read_as_it_was_written(
        client in "[!-~]{2,40}",
        user in "[!-Z^-~]{2}([ -Z^-~]{0,10}[!-~])?",
        second in -62_135_510_400_i64..253_402_214_400,
        (hours, minutes) in (-14i64..15, 0i64..60),
        path in any::<String>(),
        agent in any::<String>(),
        (status, bytes) in (100u32..600, 0u64..1_000_000_000_000_000_000),
        hex: bool,
    ) {
        // Also a line of Apache's `vhost_combined` of a client without a name, so nobody can tell.
        let is_of_vhost = client.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        prop_assume!(!(is_of_vhost && user.contains(' ')));
        let offset = (hours * 60 + minutes * hours.signum()) * 60;
        let local = jiff::Timestamp::from_second(second + offset).expect("in range");
        let sign = if offset < 0 { '-' } else { '+' };
        let line = format!(
            "{client} - {user} [{} {sign}{:02}{:02}] \"GET /{} HTTP/1.1\" {status} {bytes} \"-\" \"{}\"",
            local.strftime("%d/%b/%Y:%H:%M:%S"), offset.abs() / 3600, offset.abs() / 60 % 60,
            escaped(&path, hex), escaped(&agent, hex),
        );
        let (document, time) = run(&TYPE, &json!({}), Input::raw(&line)).expect(&line);
        let mut expected = json!({
            "client": client, "user": user, "method": "GET", "path": format!("/{path}"),
            "protocol": "HTTP/1.1", "status": status, "bytes": bytes,
            "timestamp": jiff::Timestamp::from_second(second).expect("in range").to_string(),
        });
        if !agent.is_empty() && agent != "-" {
            expected["user_agent"] = json!(agent);
        }
        prop_assert_eq!(document, expected, "{}", line);
        prop_assert_eq!(time, Some(second * 1_000));
    }

    #[test]
    fn arbitrary_bytes_give_a_document_or_a_reason(
        length in 0usize..84,
        rest in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[\\[\\]\"\\\\ x0-9/:-]{0,60}".prop_map(String::into_bytes),
        ],
        format in prop::sample::select(vec!["auto", "common", "combined", "nginx"]),
    ) {
        let payload = [&COMMON.as_bytes()[..length.min(COMMON.len())], &rest].concat();
        let options = json!({"format": format, "rest_field": "rest", "raw_field": "raw"});
        let _ = run(&TYPE, &options, Input::raw(payload));
    }
}

#[test]
fn a_field_that_does_not_fit_is_kept_where_that_is_asked_for() {
    let options = json!({"field": "line", "on_invalid": "keep", "raw_field": "raw"});
    for document in [
        json!({"line": "started", "a": 1}),
        json!({"line": 1}),
        json!({}),
    ] {
        let found = run(&TYPE, &options, Input::document(&document.to_string()));
        assert_eq!(found.map(|found| found.0), Ok(document));
    }
}
