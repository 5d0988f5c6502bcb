//! Lines of both RFCs and of senders that follow neither, and what becomes of arbitrary bytes.

use isobar_topology::Stream;
use isobar_topology::testing::{Emitted, Input, PreparedForTest};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

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
fn the_examples_of_rfc_5424_mean_what_it_says() {
    for options in both_modes() {
        check(
            options.clone(),
            format!(
                "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - {BOM}'su root' failed for lonvick on /dev/pts/8"
            ),
            json!({
                "timestamp": "2003-10-11T22:14:15.003Z", "hostname": "mymachine.example.com",
                "app_name": "su", "msg_id": "ID47", "priority": 34, "version": 1,
                "message": "'su root' failed for lonvick on /dev/pts/8",
            }),
        );
        check(
            options.clone(),
            "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.\n",
            json!({
                "timestamp": "2003-08-24T05:14:15.000003-07:00", "hostname": "192.0.2.1",
                "app_name": "myproc", "proc_id": "8710", "priority": 165, "version": 1,
                "message": "%% It's time to make the do-nuts.",
            }),
        );
        let elements = json!({
            "exampleSDID@32473": {"iut": "3", "eventSource": "Application", "eventID": "1011"},
        });
        check(
            options.clone(),
            format!(
                r#"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] {BOM}An application event log entry..."#
            ),
            json!({
                "timestamp": "2003-10-11T22:14:15.003Z", "hostname": "mymachine.example.com",
                "app_name": "evntslog", "msg_id": "ID47", "priority": 165, "version": 1,
                "structured_data": elements, "message": "An application event log entry...",
            }),
        );
        let mut elements = elements;
        elements["examplePriority@32473"] = json!({"class": "high"});
        check(
            options,
            r#"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"][examplePriority@32473 class="high"]"#,
            json!({
                "timestamp": "2003-10-11T22:14:15.003Z", "hostname": "mymachine.example.com",
                "app_name": "evntslog", "msg_id": "ID47", "priority": 165, "version": 1,
                "structured_data": elements,
            }),
        );
    }
}

#[test]
fn the_times_of_rfc_5424_are_taken_and_refused_as_it_says() {
    let line = |time: &str| format!("<0>1 {time} - - - - -");
    for (time, ms) in [
        ("1985-04-12T23:20:50.52Z", 482_196_050_520),
        ("1985-04-12T19:20:50.52-04:00", 482_196_050_520),
        ("2003-10-11T22:14:15.003Z", 1_065_910_455_003),
        ("2003-08-24T05:14:15.000003-07:00", 1_061_727_255_000),
    ] {
        for options in both_modes() {
            let (document, event_time) = parse(&options, line(time)).expect("a good time");
            assert_eq!(
                (&document["timestamp"], event_time),
                (&json!(time), Some(ms))
            );
        }
    }
    let strict = json!({"mode": "strict"});
    for (time, at, expected) in [
        (
            "2003-08-24T05:14:15.000000003-07:00",
            31,
            "at most six digits of a second",
        ),
        ("2003-08-24t05:14:15Z", 15, "T after the date"),
        ("2003-08-24T05:14:60Z", 22, "a second from 00 to 59"),
        ("2003-08-24T05:14:15z", 24, "Z or an offset such as +02:00"),
        (
            "2003-08-24T05:14:15+0200",
            27,
            ": after the hours of an offset",
        ),
        ("2003-02-29T05:14:15Z", 13, "a day that the month has"),
        ("2003-08-24T05:14:15Zulu", 25, "a space after the time"),
        ("yesterday", 5, "a time such as 2003-10-11T22:14:15.003Z"),
    ] {
        check_error(
            json!({"mode": "strict", "format": "rfc5424"}),
            line(time),
            at,
            expected,
        );
    }
    let nil = parse(&strict, line("-")).expect("nil is a time");
    assert_eq!(nil.1, Some(1_700_000_000_000), "the time of the record");
}

#[test]
fn lenient_times_become_times_of_rfc_3339() {
    for (time, expected) in [
        (
            "2003-08-24T05:14:15.123456789-07:00",
            "2003-08-24T05:14:15.123456789-07:00",
        ),
        ("2003-08-24t05:14:15.5z", "2003-08-24T05:14:15.500Z"),
        ("2003-08-24T05:14:15+0200", "2003-08-24T03:14:15Z"),
        ("2003-08-24T05:14:15-03", "2003-08-24T08:14:15Z"),
        ("2003-08-24T05:14:15", "2003-08-24T03:14:15Z"),
        ("2003-08-24T23:59:60", "2003-08-24T21:59:59Z"),
    ] {
        let line = format!("<0>1 {time} - - - - -");
        let (document, _) = parse(&json!({"zone": "Europe/Berlin"}), line).expect("good enough");
        assert_eq!(document["timestamp"], expected);
    }
}

#[test]
fn nil_is_absent_and_so_is_an_empty_message() {
    for options in both_modes() {
        for end in ["", " ", " \u{FEFF}", "\n", "\r\n"] {
            let line = format!("<13>1 - - - - - -{end}");
            check(options.clone(), line, json!({"priority": 13, "version": 1}));
        }
    }
}

#[test]
fn structured_data_has_its_escapes_resolved_and_never_repeats_a_key() {
    let line = |data: &str| format!("<13>1 - - - - - {data} text");
    let fields = |data: Value| json!({"priority": 13, "version": 1, "structured_data": data, "message": "text"});
    for (data, expected) in [
        ("[a]", json!({"a": {}})),
        ("[a][b]", json!({"a": {}, "b": {}})),
        (
            r#"[a x="1" y=""][b x="2"]"#,
            json!({"a": {"x": "1", "y": ""}, "b": {"x": "2"}}),
        ),
        (r#"[a x="\"\\\]"]"#, json!({"a": {"x": r#""\]"#}})),
        (r#"[a x="\n\\n\ "]"#, json!({"a": {"x": r"\n\n\ "}})),
        ("[a x=\"äß\u{1}\"]", json!({"a": {"x": "äß\u{1}"}})),
        (
            r#"[origin ip="192.0.2.1" software="x" ip="192.0.2.129"][a b="c"]"#,
            json!({"origin": {"ip": ["192.0.2.1", "192.0.2.129"], "software": "x"}, "a": {"b": "c"}}),
        ),
    ] {
        for options in both_modes() {
            check(options, line(data), fields(expected.clone()));
        }
    }
    let lenient = json!({});
    for (data, expected) in [
        (r#"[a x="]"]"#, json!({"a": {"x": "]"}})),
        (r#"[a  x="1" ]"#, json!({"a": {"x": "1"}})),
        (
            r#"[a x="1"][b][a y="2" x="3"][a]"#,
            json!({"a": {"x": ["1", "3"], "y": "2"}, "b": {}}),
        ),
    ] {
        check(lenient.clone(), line(data), fields(expected));
    }
    let strict = json!({"mode": "strict"});
    check_error(
        strict.clone(),
        line(r#"[a x="]"]"#),
        22,
        r"\ before ] in a value",
    );
    check_error(
        strict.clone(),
        line(r#"[a][b x="1"][a y="2"]"#),
        29,
        "each id of structured data once",
    );
    let long = "n".repeat(33);
    check_error(
        strict.clone(),
        line(&format!("[{long}]")),
        49,
        "a name of at most 32 bytes",
    );
    check(
        lenient,
        line(&format!("[{long}]")),
        fields(json!({long: {}})),
    );
    check_error(
        strict,
        line("[ä]"),
        17,
        "the id of an element of structured data",
    );
}

#[test]
fn many_elements_are_told_apart_as_few_are() {
    let elements: String = (0..40)
        .map(|n| format!(r#"[e{} x="{n}"]"#, n % 20))
        .collect();
    let (document, _) = parse(&json!({}), format!("<13>1 - - - - - {elements}")).expect("fits");
    let data = document["structured_data"].as_object().expect("an object");
    assert_eq!(data.len(), 20);
    assert_eq!(data["e7"], json!({"x": ["7", "27"]}));
    let line = format!("<13>1 - - - - - {elements}");
    check_error(
        json!({"mode": "strict"}),
        line,
        237,
        "each id of structured data once",
    );

    let unique: String = (0..1024).map(|n| format!("[e{n}]")).collect();
    let (document, _) = parse(&json!({}), format!("<13>1 - - - - - {unique}")).expect("fits");
    assert_eq!(
        document["structured_data"].as_object().map(Map::len),
        Some(1024)
    );
    let expected = "at most 1024 elements and parameters of structured data";
    let line = format!("<13>1 - - - - - {unique}[more]");
    let at = line.len() - 1;
    check_error(json!({"mode": "strict"}), &line, at, expected);
    let (document, _) = parse(&json!({}), line).expect("a message at least");
    assert!(
        document["message"]
            .as_str()
            .is_some_and(|text| text.ends_with("[e1023][more]"))
    );
}

#[test]
fn lenient_takes_lines_of_rfc_5424_without_structured_data() {
    for (end, message) in [
        ("", None),
        (" it works", Some("it works")),
        (" [main] it works", None),
        (" [main] it", None),
        (" [it works", Some("[it works")),
        (" [it works] now", Some("[it works] now")),
        (" -it", Some("-it")),
    ] {
        let line = format!("<13>1 - host app 7 ID{end}");
        let (document, _) = parse(&json!({}), &line).expect("good enough");
        if end.starts_with(" [main]") {
            assert_eq!(document["structured_data"], json!({"main": {}}));
        } else {
            assert_eq!(
                document.get("message").and_then(Value::as_str),
                message,
                "{line}"
            );
            assert_eq!(document.get("structured_data"), None);
        }
        assert_eq!(
            (&document["msg_id"], &document["proc_id"]),
            (&json!("ID"), &json!("7"))
        );
    }
}

#[test]
fn headers_of_rfc_5424_that_do_not_fit_say_where() {
    let strict = || json!({"mode": "strict"});
    for (line, at, expected) in [
        ("<192>1 - - - - - -", 1, "a priority from <0> to <191>"),
        ("<034>1 - - - - - -", 1, "a priority from <0> to <191>"),
        ("<1234>1 - - - - - -", 4, "> after the priority"),
        ("<>1 - - - - - -", 1, "a priority from <0> to <191>"),
        ("1 - - - - - -", 0, "a priority from <0> to <191>"),
        ("<34>2 - - - - - -", 4, "the version 1"),
        ("<34>1 -  - - - -", 8, "a host name, or -"),
        ("<34>1 - host", 12, "an application name, or -"),
        (
            "<34>1 - host app 1 ID",
            21,
            "structured data in brackets, or -",
        ),
        (
            "<34>1 - host app 1 ID text",
            22,
            "structured data in brackets, or -",
        ),
        (
            "<34>1 - host app 1 ID -text",
            23,
            "a space or the end after structured data",
        ),
        (
            "<34>1 - h\u{e4}st app 1 ID -",
            9,
            "visible ASCII in the header",
        ),
    ] {
        check_error(strict(), line, at, expected);
    }
    let line = format!("<34>1 - {} app 1 ID -", "h".repeat(256));
    let error = parse(&strict(), &line).expect_err("too long");
    assert!(error.starts_with("invalid syslog line at byte 263: expected a shorter field"));
    assert!(parse(&json!({}), &line).is_ok());
    check_error(
        json!({"format": "rfc5424"}),
        "plain text",
        0,
        "a priority from <0> to <191>",
    );
    check_error(json!({}), "", 0, "a line; this one is empty");
    check_error(json!({}), "\r\n", 0, "a line; this one is empty");
}

#[test]
fn the_examples_of_rfc_3164_mean_what_it_says() {
    for options in both_modes() {
        check(
            options.clone(),
            "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
            json!({
                "timestamp": "2023-10-11T22:14:15Z", "hostname": "mymachine", "app_name": "su",
                "priority": 34, "message": "'su root' failed for lonvick on /dev/pts/8",
            }),
        );
        check(
            options,
            "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
            json!({
                "timestamp": "2023-02-05T17:32:18Z", "hostname": "10.0.0.99", "priority": 13,
                "message": "Use the BFG!",
            }),
        );
    }
    // Without priority and time all of it is content, and so it is with a time that is none.
    check(
        json!({}),
        "Use the BFG!",
        json!({"message": "Use the BFG!"}),
    );
    let odd =
        "1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!";
    check(
        json!({}),
        format!("<0>{odd}"),
        json!({"priority": 0, "message": odd}),
    );
    // The zone and year that the RFC shows as wrong are taken where lines need not be strict.
    check(
        json!({}),
        "<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time to make the do-nuts.  %%",
        json!({
            "timestamp": "1987-08-24T11:34:00Z", "hostname": "mymachine", "app_name": "myproc",
            "proc_id": "10", "priority": 165, "message": "%% It's time to make the do-nuts.  %%",
        }),
    );
}

#[test]
fn times_of_rfc_3164_in_the_spellings_of_devices() {
    for (time, expected) in [
        ("Nov  1 09:00:00", "2023-11-01T08:00:00Z"),
        ("Nov 1 09:00:00", "2023-11-01T08:00:00Z"),
        ("Nov 01 09:00:00", "2023-11-01T08:00:00Z"),
        ("Jul 21 09:00:00", "2023-07-21T07:00:00Z"),
        ("Nov  1 2019 09:00:00", "2019-11-01T08:00:00Z"),
        ("Nov  1 09:00:00 2019", "2019-11-01T08:00:00Z"),
        ("Nov  1 09:00:00.123", "2023-11-01T08:00:00.123Z"),
        ("Nov  1 09:00:00.1234567 UTC:", "2023-11-01T09:00:00.123Z"),
        ("Nov  1 09:00:00+05:30", "2023-11-01T03:30:00Z"),
        ("Nov  1 09:00:00 EST", "2023-11-01T14:00:00Z"),
        (
            "2023-11-01T09:00:00.000001+01:00",
            "2023-11-01T09:00:00.000001+01:00",
        ),
        // The day after the record's is of this year, the one after that of the year before.
        ("Nov 15 23:00:00", "2023-11-15T22:00:00Z"),
        ("Nov 16 23:30:00", "2022-11-16T22:30:00Z"),
        ("Dec 31 23:59:59", "2022-12-31T22:59:59Z"),
        ("Feb 29 12:00:00", "2020-02-29T11:00:00Z"),
    ] {
        let line = format!("<13>{time} host app: text");
        let (document, event_time) = parse(&json!({"zone": "Europe/Berlin"}), &line).expect("fits");
        assert_eq!(document["timestamp"], expected, "{line}");
        assert_eq!(
            (&document["hostname"], &document["app_name"]),
            (&json!("host"), &json!("app")),
            "{line}"
        );
        let stamp: jiff::Timestamp = expected.parse().expect("a time");
        assert_eq!(event_time, Some(stamp.as_millisecond()));
    }
    let strict = || json!({"mode": "strict", "format": "rfc3164"});
    for (line, at, expected) in [
        (
            "<13>Nov 1 09:00:00 host app: text",
            8,
            "a day from 1 to 31 in two places, filled with a space",
        ),
        (
            "<13>Nov 01 09:00:00 host app: text",
            8,
            "a day from 1 to 31 in two places, filled with a space",
        ),
        (
            "<13>Nov 31 09:00:00 host app: text",
            4,
            "a day that the month has",
        ),
        (
            "<13>Nov 11 2019 09:00:00 host app: text",
            13,
            ": after the hour",
        ),
        (
            "<13>Nov 11 09:00:00.1 host app: text",
            19,
            "a space after the time",
        ),
        (
            "<13>nov 11 09:00:00 host app: text",
            4,
            "a time such as Oct 11 22:14:15",
        ),
        (
            "<13>Nov 11 09:00:00 app[1]: text",
            20,
            "a space and a host name or address",
        ),
        (
            "<13>Nov 11 09:00:00",
            19,
            "a space and a host name or address",
        ),
        (
            "Nov 11 09:00:00 host app: text",
            0,
            "a priority from <0> to <191>",
        ),
    ] {
        check_error(strict(), line, at, expected);
    }
}

#[test]
fn a_line_is_of_the_year_that_the_time_of_its_record_says() {
    let year = |reference: &str, line: &str| {
        let mut parser = Parser {
            format: Format::Rfc3164,
            mode: Mode::Strict,
            zone: "UTC".parse().expect("a zone"),
            structured_data: StructuredData::default(),
        };
        let reference: jiff::Timestamp = reference.parse().expect("a time");
        let line = parser
            .line(line.as_bytes(), reference.as_millisecond())
            .expect("fits");
        let ms = line.time.expect("has a time").ms;
        jiff::Timestamp::from_millisecond(ms)
            .expect("in range")
            .to_string()
    };
    for (reference, line, expected) in [
        (
            "2024-01-01T00:00:05Z",
            "<13>Dec 31 23:59:59 h m",
            "2023-12-31T23:59:59Z",
        ),
        (
            "2023-12-31T23:59:55Z",
            "<13>Jan  1 00:00:01 h m",
            "2024-01-01T00:00:01Z",
        ),
        (
            "2023-12-30T00:00:00Z",
            "<13>Jan  1 00:00:01 h m",
            "2023-01-01T00:00:01Z",
        ),
        (
            "2104-02-28T00:00:00Z",
            "<13>Feb 29 12:00:00 h m",
            "2096-02-29T12:00:00Z",
        ),
    ] {
        assert_eq!(year(reference, line), expected);
    }
    let mut parser = Parser {
        format: Format::Auto,
        mode: Mode::Lenient,
        zone: "Europe/Berlin".parse().expect("a zone"),
        structured_data: StructuredData::default(),
    };
    for reference in [0, 1, i64::MAX, i64::MAX - 1] {
        let line = parser
            .line(b"<13>Feb 29 12:00:00 h m", reference)
            .expect("fits");
        assert!(line.message.is_some());
    }
}

#[test]
fn what_rsyslog_writes_by_default_is_taken() {
    let expected = |timestamp: &str| {
        json!({
            "timestamp": timestamp, "hostname": "web-1", "app_name": "postfix/smtpd",
            "proc_id": "4711", "message": "connect from unknown[192.0.2.7]",
        })
    };
    let tail = "web-1 postfix/smtpd[4711]: connect from unknown[192.0.2.7]";
    let file = format!("2023-11-14T23:13:20.123456+01:00 {tail}");
    check(
        json!({}),
        &file,
        expected("2023-11-14T23:13:20.123456+01:00"),
    );
    check(
        json!({}),
        format!("Nov 14 22:13:20 {tail}\n"),
        expected("2023-11-14T22:13:20Z"),
    );
    let mut forward = expected("2023-11-14T23:13:20.123456+01:00");
    forward["priority"] = json!(22);
    check(json!({}), format!("<22>{file}"), forward);
}

#[test]
fn the_space_that_rsyslog_puts_before_messages_is_none_of_theirs() {
    let line = "<22>1 - web-1 app 78 - -  two words";
    let fields = |message: &str| {
        json!({
            "hostname": "web-1", "app_name": "app", "proc_id": "78", "priority": 22, "version": 1,
            "message": message,
        })
    };
    check(json!({}), line, fields("two words"));
    check(json!({"mode": "strict"}), line, fields(" two words"));
}

#[test]
fn a_tag_is_told_from_the_host_before_and_the_message_behind() {
    for (rest, host, app, pid, message) in [
        ("h app: text", Some("h"), Some("app"), None, Some("text")),
        ("h app[]: text", Some("h"), Some("app"), None, Some("text")),
        (
            "h app[1] text",
            Some("h"),
            Some("app"),
            Some("1"),
            Some("text"),
        ),
        (
            "h app[1]:text",
            Some("h"),
            Some("app"),
            Some("1"),
            Some("text"),
        ),
        (
            "h Foo::Bar: text",
            Some("h"),
            Some("Foo::Bar"),
            None,
            Some("text"),
        ),
        (
            "h http://x is up",
            Some("h"),
            None,
            None,
            Some("http://x is up"),
        ),
        (
            "h [1.5] usb: text",
            Some("h"),
            None,
            None,
            Some("[1.5] usb: text"),
        ),
        ("h : text", Some("h"), None, None, Some(": text")),
        ("h app:", Some("h"), Some("app"), None, None),
        ("h", Some("h"), None, None, None),
        ("app: text", None, Some("app"), None, Some("text")),
        ("su[7]: text", None, Some("su"), Some("7"), Some("text")),
        (
            "2001:db8::1 app: text",
            Some("2001:db8::1"),
            Some("app"),
            None,
            Some("text"),
        ),
        ("h  text", Some("h"), None, None, Some(" text")),
    ] {
        let (document, _) = parse(&json!({}), format!("<13>Nov 11 09:00:00 {rest}")).expect("fits");
        let found = ["hostname", "app_name", "proc_id", "message"]
            .map(|field| document.get(field).and_then(Value::as_str));
        assert_eq!(found, [host, app, pid, message], "{rest}");
    }
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

/// A field of the header: visible ASCII, or nil.
fn field(length_max: usize) -> impl Strategy<Value = Option<String>> {
    let text = prop::collection::vec(0x21u8..0x7F, 1..=length_max);
    let text = text.prop_map(|bytes| String::from_utf8(bytes).expect("ASCII"));
    prop::option::of(text.prop_filter("nil", |text| text != "-"))
}

fn name() -> impl Strategy<Value = String> {
    "[!#-<>-\\\\^-~]{1,32}"
}

/// Elements with parameters; ids are unique, names need not be.
type Elements = Vec<(String, Vec<(String, String)>)>;

fn elements() -> impl Strategy<Value = Elements> {
    let parameter = ("[a-c]|[!#-<>-\\\\^-~]{1,32}", any::<String>());
    let element = (name(), prop::collection::vec(parameter, 0..5));
    prop::collection::vec(element, 0..20).prop_map(|mut elements: Elements| {
        let mut seen = std::collections::BTreeSet::new();
        elements.retain(|(id, _)| seen.insert(id.clone()));
        elements
    })
}

fn render_elements(elements: &Elements) -> String {
    if elements.is_empty() {
        return "-".to_owned();
    }
    let mut text = String::new();
    for (id, parameters) in elements {
        text.push_str(&format!("[{id}"));
        for (name, value) in parameters {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace(']', "\\]");
            text.push_str(&format!(" {name}=\"{value}\""));
        }
        text.push(']');
    }
    text
}

fn elements_as_json(elements: &Elements) -> Value {
    let mut data = Map::new();
    for (id, parameters) in elements {
        let mut element = Map::new();
        for (name, value) in parameters {
            match element.get_mut(name) {
                None => {
                    let _ = element.insert(name.clone(), json!(value));
                }
                Some(Value::Array(values)) => values.push(json!(value)),
                Some(first) => *first = json!([first, value]),
            }
        }
        let _ = data.insert(id.clone(), Value::Object(element));
    }
    Value::Object(data)
}

proptest! {
    #[test]
    fn a_line_of_rfc_5424_is_read_as_it_was_written(
        priority in 0u32..192,
        ms in prop::option::of(-62_135_596_800_000i64..253_402_300_799_999),
        fields in (field(255), field(48), field(128), field(32)),
        elements in elements(),
        message in "[^ \u{FEFF}\r\n]([^\r\n]|[ \t]){0,40}",
    ) {
        let (hostname, app_name, proc_id, msg_id) = fields;
        let time = ms.map(|ms| jiff::Timestamp::from_millisecond(ms).expect("in range").to_string());
        let mut expected = json!({"priority": priority, "version": 1, "message": message});
        for (name, value) in [
            ("timestamp", &time),
            ("hostname", &hostname),
            ("app_name", &app_name),
            ("proc_id", &proc_id),
            ("msg_id", &msg_id),
        ] {
            if let Some(value) = value {
                expected[name] = json!(value);
            }
        }
        if !elements.is_empty() {
            expected["structured_data"] = elements_as_json(&elements);
        }
        let nil = "-".to_owned();
        let line = format!(
            "<{priority}>1 {} {} {} {} {} {} {message}",
            time.as_ref().unwrap_or(&nil),
            hostname.as_ref().unwrap_or(&nil),
            app_name.as_ref().unwrap_or(&nil),
            proc_id.as_ref().unwrap_or(&nil),
            msg_id.as_ref().unwrap_or(&nil),
            render_elements(&elements),
        );
        check(json!({"mode": "strict"}), &line, expected.clone());
        // Lenient cuts zero bytes off the end, too.
        if !line.ends_with('\0') {
            check(json!({}), &line, expected);
        }
    }

    #[test]
    fn arbitrary_bytes_give_a_document_or_a_reason(
        start in prop_oneof![
            Just(""), Just("<13>"), Just("<13>1 - "), Just("<13>1 - h a p m "),
            Just("<13>1 - - - - - [a b=\"c\""), Just("<13>Oct 11 22:14:15 "), Just("2023-11-14T"),
        ],
        rest in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[\\[\\]\"=\\\\ ab:0-9<>-]{0,60}".prop_map(String::into_bytes),
        ],
        strict: bool,
        format in prop::sample::select(vec!["auto", "rfc5424", "rfc3164"]),
    ) {
        let payload = [start.as_bytes(), &rest].concat();
        let mode = if strict { "strict" } else { "lenient" };
        let options = json!({"mode": mode, "format": format, "zone": "Europe/Berlin", "raw_field": "raw"});
        let _ = parse(&options, payload);
    }
}
