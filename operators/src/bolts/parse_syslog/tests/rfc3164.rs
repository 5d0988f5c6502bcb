//! Lines of RFC 3164, as it says and as devices and rsyslog write them.

use serde_json::json;

use super::*;

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
