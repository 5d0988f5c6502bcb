//! What lines become: checks that all share, and what does not depend on the format.

mod random;
mod rfc3164;
mod rfc5424;

use isobar_topology::Stream;
use isobar_topology::testing::{Emitted, Input, PreparedForTest};
use serde_json::{Value, json};

use super::*;
use crate::one_record::run;

/// What the bolt with these options makes of payloads that were read at 2023-11-14T22:13:20Z.
fn emitted(options: &Value, payloads: &[&[u8]]) -> Vec<Emitted> {
    let mut bolt = PreparedForTest::new(&TYPE, options).expect("good options");
    let inputs: Vec<Input> = payloads.iter().map(Input::raw).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(bolt.run(&inputs))
}

fn parse(options: &Value, payload: impl AsRef<[u8]>) -> Result<(Value, Option<i64>), String> {
    let emitted = emitted(options, &[payload.as_ref()]);
    let [record] = emitted.as_slice() else {
        panic!("one record comes out for one that goes in");
    };
    match &record.rejection {
        Some(rejection) => {
            assert_eq!(
                (rejection.class, record.stream),
                ("invalid_syslog", Stream::REJECTED)
            );
            Err(rejection.reason.to_string())
        }
        None => {
            let document = record
                .document
                .as_deref()
                .expect("a parser makes a document");
            assert_no_key_repeats(document.as_bytes());
            Ok((
                serde_json::from_str(document).expect("JSON"),
                record.event_time,
            ))
        }
    }
}

fn assert_no_key_repeats(document: &[u8]) {
    let mut nested = Vec::new();
    let scanned = json::scan_object(document, |member| {
        let value = member.value.of(document);
        if value.starts_with(b"{") {
            nested.push(value);
        }
    });
    assert_eq!(scanned.err(), None, "{}", String::from_utf8_lossy(document));
    nested.into_iter().for_each(assert_no_key_repeats);
}

/// Checks the fields of a line other than those that follow from its priority.
fn check(options: Value, payload: impl AsRef<[u8]>, expected: Value) {
    let payload = payload.as_ref();
    let shown = String::from_utf8_lossy(payload);
    let (mut document, _) = parse(&options, payload).unwrap_or_else(|e| panic!("{shown}: {e}"));
    let fields = document.as_object_mut().expect("an object");
    for field in ["facility", "severity", "severity_code"] {
        let removed = fields.remove(field);
        assert_eq!(
            removed.is_some(),
            fields.contains_key("priority"),
            "{shown}"
        );
    }
    assert_eq!(document, expected, "{shown}");
}

fn check_error(options: Value, payload: impl AsRef<[u8]>, at: usize, expected: &str) {
    let error = parse(&options, payload.as_ref()).expect_err("does not fit");
    let text = format!("invalid syslog line at byte {at}: expected {expected}");
    assert_eq!(error, text);
}

const BOM: &str = "\u{FEFF}";

fn both_modes() -> [Value; 2] {
    ["strict", "lenient"].map(|mode| json!({"mode": mode}))
}

#[test]
fn the_format_is_told_line_by_line() {
    for (line, version) in [
        ("<13>1 - h a - - - m", Some(1)),
        ("<13>1 2023-11-14T00:00:00Z h a - - - m", Some(1)),
        ("<13>Nov 11 09:00:00 h a: m", None),
        ("<13>1 apple a day", None),
        ("<13>2 3 5 7 11", None),
        ("<13>1", None),
        ("<13>", None),
    ] {
        let (document, _) = parse(&json!({}), line).expect("lenient");
        assert_eq!(
            document.get("version").and_then(Value::as_u64),
            version,
            "{line}"
        );
    }
    check(
        json!({"format": "rfc3164"}),
        "<13>1 - h a - - - m",
        json!({"priority": 13, "message": "1 - h a - - - m"}),
    );
}

#[test]
fn bytes_that_are_no_text_are_replaced_or_refused() {
    let line = b"<13>1 - h\xFF a - - [a x=\"\xFE\"] m\xC3";
    check(
        json!({"raw_field": "raw"}),
        line,
        json!({
            "hostname": "h\u{FFFD}", "app_name": "a", "structured_data": {"a": {"x": "\u{FFFD}"}},
            "message": "m\u{FFFD}", "priority": 13, "version": 1,
            "raw": "<13>1 - h\u{FFFD} a - - [a x=\"\u{FFFD}\"] m\u{FFFD}",
        }),
    );
    check_error(json!({"mode": "strict"}), line, 9, "UTF-8");
    // Names that differ only in what would be replaced must not become one key.
    let (document, _) = parse(&json!({}), b"<13>1 - - - - - [\xFE][\xFF]").expect("lenient");
    assert_eq!(document["message"], "[\u{FFFD}][\u{FFFD}]");
}

#[test]
fn words_and_numbers_of_a_priority() {
    for (priority, facility, severity) in [
        (0, "kern", "emerg"),
        (34, "auth", "crit"),
        (86, "authpriv", "info"),
        (191, "local7", "debug"),
    ] {
        let (document, _) = parse(&json!({}), format!("<{priority}>x")).expect("lenient");
        assert_eq!(
            document,
            json!({"priority": priority, "facility": facility, "severity": severity, "severity_code": priority % 8, "message": "x"})
        );
    }
}

#[test]
fn options_that_do_not_fit_are_said_all_at_once() {
    let problems = PreparedForTest::new(
        &TYPE,
        &json!({"zone": "Europe/Atlantis", "raw_field": "message"}),
    );
    let text = problems.err().expect("two problems").to_string();
    assert!(
        text.contains("bolts.bolt.zone: `Europe/Atlantis` is not a time zone"),
        "{text}"
    );
    assert!(
        text.contains("bolts.bolt.raw_field: the document has a field `message` already"),
        "{text}"
    );
}

#[test]
fn a_line_in_a_field_sets_the_others_beside_it() {
    let options = json!({"field": "event.original", "format": "rfc5424", "raw_field": "raw"});
    let line = "<34>1 2026-01-31T06:00:00Z web-1 su 47 - [a b=\"c\"] m\n\0\n";
    let document = json!({"event": {"original": line}, "hostname": "old", "pod": "a"});
    let (found, time) = run(&TYPE, &options, Input::document(&document.to_string())).expect("fits");
    assert_eq!(
        found,
        json!({
            "event": {"original": line}, "hostname": "web-1", "pod": "a", "app_name": "su", "proc_id": "47",
            "timestamp": "2026-01-31T06:00:00Z", "structured_data": {"a": {"b": "c"}}, "message": "m",
            "priority": 34, "facility": "auth", "severity": "crit", "severity_code": 2, "version": 1,
            "raw": line.trim_end_matches(['\n', '\0']),
        })
    );
    assert_eq!(time, Some(1_769_839_200_000));
    for (document, expected) in [
        ("{}", "missing_field: The field event.original is missing"),
        (
            r#"{"event":{"original":"<34>1 x"}}"#,
            "invalid_syslog: invalid syslog line at byte 6: expected ",
        ),
    ] {
        let found = run(&TYPE, &options, Input::document(document)).expect_err("rejected");
        assert!(found.starts_with(expected), "{found}");
        let mut keeps = options.clone();
        keeps["on_invalid"] = json!("keep");
        let (found, time) = run(&TYPE, &keeps, Input::document(document)).expect("is kept");
        assert_eq!(found.to_string(), document);
        assert_eq!(time, Some(1_700_000_000_000));
    }
}

#[test]
fn a_plan_knows_which_lines_say_no_year() {
    let by_clock = |options: Value| {
        let prepared = PreparedForTest::new(&TYPE, &options).expect("good options");
        prepared.prepared.dates_by_clock
    };
    assert!(by_clock(json!({})) && by_clock(json!({"format": "rfc3164"})));
    assert!(!by_clock(json!({"format": "rfc5424"})));
}

#[test]
fn a_tombstone_is_rejected_and_neighbours_are_not() {
    let mut bolt = PreparedForTest::new(&TYPE, &json!({})).expect("good options");
    let inputs = [Input::raw("a"), Input::default(), Input::raw("b")];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let emitted = runtime.expect("a runtime").block_on(bolt.run(&inputs));
    let mut offsets: Vec<_> = emitted.iter().map(|e| (e.offset, e.stream)).collect();
    offsets.sort_unstable();
    assert_eq!(
        offsets,
        [(0, Stream::OUT), (1, Stream::REJECTED), (2, Stream::OUT)]
    );
}
