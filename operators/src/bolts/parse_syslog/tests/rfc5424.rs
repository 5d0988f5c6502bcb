//! Lines of RFC 5424, as it says and as senders write them.

use serde_json::{Map, json};

use super::*;

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
