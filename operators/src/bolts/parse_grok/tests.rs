//! Lines with known answers, what each of the usual patterns takes and refuses, and bad patterns.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use isobar_topology::spec::Path;
use isobar_topology::testing::Input;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::expand::Expansion;
use super::{TYPE, library};
use crate::one_record::{check_problems, emitted, run};
use crate::pattern::Pattern;

fn parse(pattern: &str, text: &str) -> Result<Value, String> {
    let options =
        json!({"pattern": pattern, "patterns": {"OWN": "a%{INT:n:int}|b", "DATA": "[dD]ata"}});
    run(&TYPE, &options, Input::raw(text)).map(|(document, _)| document)
}

#[test]
fn lines_of_servers_become_documents() {
    let line = r#"192.0.2.7 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif?b=c HTTP/1.0" 200 2326 "http://www.example.com/" "Mozilla/4.08 \"x\"""#;
    assert_eq!(
        run(
            &TYPE,
            &json!({"pattern": "^%{COMBINEDAPACHELOG}$"}),
            Input::raw(line)
        )
        .map(|found| found.0),
        Ok(json!({
            "clientip": "192.0.2.7", "ident": "-", "auth": "frank", "timestamp": "10/Oct/2000:13:55:36 -0700",
            "verb": "GET", "request": "/a.gif?b=c", "httpversion": "1.0", "response": "200", "bytes": "2326",
            "referrer": "\"http://www.example.com/\"", "agent": r#""Mozilla/4.08 \"x\"""#,
        }))
    );
    let line = "Oct  1 22:14:15 web-1 sshd[123]: Accepted publickey";
    assert_eq!(
        run(
            &TYPE,
            &json!({"pattern": "^%{SYSLOGLINE}"}),
            Input::raw(line)
        )
        .map(|found| found.0),
        Ok(json!({
            "timestamp": "Oct  1 22:14:15", "logsource": "web-1", "program": "sshd", "pid": "123",
            "message": "Accepted publickey",
        }))
    );
}

#[test]
fn a_line_that_goes_wrong_is_told_where() {
    let line = |time: &str, rest: &str| {
        format!("127.0.0.1 - - [{time}] \"GET / HTTP/1.0\" {rest} \"Mozilla\"")
    };
    let time = "10/Oct/2026:13:55:36 -0700";
    for (line, at) in [
        (line(time, "2x0 2326 \"-\""), 61),
        (line(time, "200 23k26 \"-\""), 66),
        (line(time, "200 2326 http://x/"), 69),
        (line("10/Okt/2026:13:55:36 -0700", "200 2326 \"-\""), 19),
    ] {
        let options = json!({"pattern": "^%{COMBINEDAPACHELOG}$"});
        let found = run(&TYPE, &options, Input::raw(&line)).map(|found| found.0);
        let expected = format!(
            "no_match: The text does not match: its start fits the pattern up to byte {at}"
        );
        assert_eq!(found, Err(expected), "{line}");
    }
    let options = json!({"pattern": "^%{IPORHOST:client} - %{DATA:user} \\[%{HTTPDATE:time}\\] %{QS:request}"});
    let line = "192.0.2.7 - frank m [10/Okt/2000:13:55:36 -0700] \"GET / HTTP/1.0\" 200";
    let found = run(&TYPE, &options, Input::raw(line)).map(|found| found.0);
    let expected = "no_match: The text does not match: its start fits the pattern up to byte 25";
    assert_eq!(found, Err(expected.to_owned()));
}

#[test]
fn references_become_fields_of_their_types() {
    for (pattern, text, expected) in [
        (
            "%{WORD:w} %{NUMBER:f:float} (?<plain>x+) %{INT:i:int} %{INT:s:string} %{NOTSPACE}",
            "a 1.50 xx +7 +7 b",
            Ok(json!({"w": "a", "f": 1.5, "plain": "xx", "i": 7, "s": "+7"})),
        ),
        // Groups for one field: those that are part of the match count.
        ("^(?:a=%{INT:n}|b=%{INT:n})$", "b=2", Ok(json!({"n": "2"}))),
        (
            "^%{WORD:a} %{INT:b:int} %{WORD:a}(?: %{INT:a:int})?$",
            "x 1 y 2",
            Ok(json!({"a": ["x", "y", 2], "b": 1})),
        ),
        (
            "^%{WORD:a} %{INT:b:int} %{WORD:a}(?: %{INT:a:int})?$",
            "x 1 y",
            Ok(json!({"a": ["x", "y"], "b": 1})),
        ),
        // Own patterns go first, and may make fields.
        (
            "^%{OWN:o} %{DATA:d}$",
            "a12 data",
            Ok(json!({"o": "a12", "n": 12, "d": "data"})),
        ),
        ("^%{OWN:o}$", "b", Ok(json!({"o": "b"}))),
        (
            "^%{WORD:[\"log.level\"]}",
            "warn",
            Ok(json!({"log.level": "warn"})),
        ),
        (
            "^%{INT:n:int}$",
            "99999999999999999999",
            Err("no_match: invalid text at byte 0: expected a whole number of 64 bits"),
        ),
        (
            "^%{IP:ip} %{WORD:w}$",
            "192.0.2.1 -",
            Err("no_match: The text does not match: its start fits the pattern up to byte 10"),
        ),
    ] {
        let found = parse(pattern, text);
        assert_eq!(found, expected.map_err(str::to_owned), "{pattern} {text}");
    }
}

/// Whether a pattern takes all of a text.
fn takes(name: &str, text: &str) -> bool {
    let options = json!({"pattern": format!("^%{{{name}:x}}$")});
    run(&TYPE, &options, Input::raw(text)).is_ok()
}

#[test]
fn usual_patterns_take_what_they_are_called_after() {
    for (name, good, bad) in [
        ("WORD", &["a_1", "ä"][..], &["a b", ""][..]),
        ("QUOTEDSTRING", &["\"a\\\"b\"", "'a'", "`a`"], &["\"a", "a"]),
        (
            "UUID",
            &["123e4567-e89b-12d3-a456-426614174000"],
            &["123e4567e89b12d3a456426614174000"],
        ),
        (
            "LOGLEVEL",
            &["warn", "WARNING", "Error", "information"],
            &["loud"],
        ),
        ("INT", &["1", "-1", "+01"], &["1.0", "a"]),
        ("POSINT", &["10"], &["0", "-1"]),
        ("NUMBER", &["1", "-1.5", ".5"], &["1e", "a"]),
        ("BASE16NUM", &["0xFf", "a0"], &["0x", "g"]),
        (
            "MAC",
            &["00:1b:44:11:3a:b7", "00-1B-44-11-3A-B7", "001b.4411.3ab7"],
            &["00:1b:44:11:3a"],
        ),
        (
            "IPV4",
            &["0.0.0.0", "255.249.99.1"],
            &["256.0.0.1", "1.2.3", "1.2.3.4.5"],
        ),
        (
            "IPV6",
            &[
                "::",
                "1::",
                "fe80::1%eth0",
                "::ffff:192.0.2.1",
                "1::192.0.2.1",
            ],
            &["1:2", ":::", "g::"],
        ),
        (
            "HOSTNAME",
            &["a", "web-1.example.com", "a_b"],
            &["-a", "a..b"],
        ),
        ("HOSTPORT", &["web-1:80", "192.0.2.1:443"], &["web-1"]),
        ("EMAILADDRESS", &["a.b+c@example.com"], &["a@"]),
        (
            "PATH",
            &["/", "/a/b.c", "C:\\a\\b", "\\\\server\\x"],
            &["a/b"],
        ),
        ("TTY", &["/dev/pts/0", "/dev/tty1"], &["/dev/null"]),
        (
            "URI",
            &["http://example.com", "https://a:80/b?c=d", "ftp://u@h/"],
            &["example.com"],
        ),
        ("MONTH", &["Jan", "October"], &["Okt"]),
        ("DAY", &["Mon", "Thursday"], &["Mo"]),
        (
            "TIME",
            &["23:59:60", "0:00", "12:00:00.123", "12:00:00,5"],
            &["24:00:00", "12:60:00"],
        ),
        ("DATE", &["01/31/2024", "31.01.24"], &["2024"]),
        ("DATESTAMP", &["01/31/2024 12:00:00"], &["01/31/2024"]),
        (
            "TIMESTAMP_ISO8601",
            &[
                "2024-01-31T12:00:00Z",
                "2024-01-31 12:00:00,123",
                "2024-01-31T12:00+0100",
            ],
            &["2024-13-31T12:00"],
        ),
        (
            "HTTPDATE",
            &["10/Oct/2000:13:55:36 -0700"],
            &["10/Okt/2000:13:55:36 -0700"],
        ),
        (
            "SYSLOGTIMESTAMP",
            &["Oct  1 22:14:15", "Oct 11 22:14:15"],
            &["Oct 32 22:14:15"],
        ),
        (
            "DATESTAMP_RFC2822",
            &["Mon, 15 Aug 2005 15:52:01 +0000"],
            &["15 Aug 2005"],
        ),
        (
            "DATESTAMP_RFC822",
            &["Mon Aug 15 05 15:52:01 UTC"],
            &["Aug 15"],
        ),
        (
            "DATESTAMP_OTHER",
            &["Mon Aug 15 15:52:01 UTC 2005"],
            &["Aug 15"],
        ),
    ] {
        for text in good {
            assert!(takes(name, text), "{name} takes {text}");
        }
        for text in bad {
            assert!(!takes(name, text), "{name} refuses {text}");
        }
    }
}

#[test]
fn addresses_are_not_found_inside_of_longer_ones() {
    let found = |name: &str, text: &str| {
        let options = json!({"pattern": format!("%{{{name}:x}}")});
        let found = run(&TYPE, &options, Input::raw(text)).map(|found| found.0);
        found
            .ok()
            .and_then(|document| document["x"].as_str().map(str::to_owned))
    };
    for (name, text, expected) in [
        ("IPV4", "from 10.0.0.25:80", Some("10.0.0.25")),
        ("IPV4", "ip=10.0.0.25,", Some("10.0.0.25")),
        ("IPV4", "ü10.0.0.25ü", Some("10.0.0.25")),
        ("IPV4", "from 10.0.0.2567", None),
        ("IPV4", "999.1.1.1", None),
        ("IPV4", "from 10.0.0.2567, 10.0.0.1", Some("10.0.0.1")),
        ("IP", "from 10.0.0.2567", None),
        ("IP", "src=fe80::1%eth0;", Some("fe80::1%eth0")),
        ("IP", "[::1]:80", Some("::1")),
        ("IP", "src:fe80::1 x", Some("fe80::1")),
        ("IPV6", "fe80::12345", None),
        ("IPV6", "a 1:: b", Some("1::")),
        ("MAC", "at 00:1b:44:11:3a:b7.", Some("00:1b:44:11:3a:b7")),
        ("MAC", "at 00:1b:44:11:3a:b7c", None),
        ("MAC", "1001b.4411.3ab7", None),
    ] {
        assert_eq!(found(name, text).as_deref(), expected, "{name} {text}");
    }
}

#[test]
fn further_names_take_a_line_that_fits_and_refuse_one_that_does_not() {
    let base = "Oct  1 22:14:15 web-1 CRON[123]:";
    let old =
        "[Mon Aug 31 16:27:04 2015] [error] [client 192.0.2.3] Premature end of script headers";
    let new = "[Mon Aug 31 09:30:48.958285 2015] [proxy_fcgi:error] [pid 28787:tid 140169587934976] (70008)Partial results: [client 192.0.2.166:59307] AH01075: Error dispatching";
    let common = r#"192.0.2.7 - frank [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326"#;
    let combined = format!(r#"{common} "-" "Mozilla/4.08""#);
    let tomcat7 = "Jan 9, 2014 7:13:13 AM org.apache.catalina.core.StandardService startInternal INFO: Starting";
    let tomcat8 = "31-Jul-2020 16:40:38.578 INFO [main] org.apache.catalina.core.StandardService.startInternal Starting";
    let haproxy = r#"192.0.2.5:33317 [06/Feb/2026:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html HTTP/1.1""#;
    let five = "<174>1 2016-11-14T09:49:23+01:00 192.0.2.6 named 2255 -";
    let s3 = r#"79a5 bucket [06/Feb/2026:00:00:38 +0000] 192.0.2.3 79a5 3E57427F3 REST.GET.VERSIONING - "GET /bucket?versioning HTTP/1.1" 200 - 113 - 7 - "-" "S3Console/0.4" -"#;
    for (name, good, bad) in [
        ("BASE16FLOAT", "0x1f.8", "0x"),
        ("URN", "urn:isbn:0451450523", "isbn:0451450523"),
        ("COMMONMAC", "00:1b:44:11:3a:b7", "00-1b-44-11-3a-b7"),
        ("WINDOWSMAC", "00-1b-44-11-3a-b7", "001b.4411.3ab7"),
        ("CISCOMAC", "001b.4411.3ab7", "00:1b:44:11:3a:b7"),
        ("URIQUERY", "a=b&c[]=%20", "a b"),
        ("URIPARAM", "?a=b", "a=b"),
        ("DATESTAMP_EVENTLOG", "20260131120000", "2026-01-31"),
        ("SYSLOGFACILITY", "<1.5>", "<1>"),
        ("SYSLOGBASE", base, "Oct 1 web-1"),
        ("SYSLOGBASE2", "2026-01-31T12:00:00Z web-1", "web-1"),
        (
            "SYSLOGLINE",
            "Jun 24 10:32:02 win-host WinFileService Event: read",
            "Jun 24 win-host",
        ),
        ("SYSLOG5424PRINTASCII", "a-1", "a b"),
        ("SYSLOG5424PRI", "<174>", "174"),
        ("SYSLOG5424SD", r#"[a@1 b="c \] d"][e]"#, "[]"),
        ("SYSLOG5424BASE", &format!("{five} -"), five),
        (
            "SYSLOG5424LINE",
            &format!("{five} [a@1 b=\"c\"] info"),
            "<174>1 info",
        ),
        (
            "SYSLOGPAMSESSION",
            &format!("{base} pam_unix(cron:session): session opened for user root by (uid=0)"),
            &format!("{base} session opened"),
        ),
        ("CRON_ACTION", "CMD", "cmd"),
        (
            "CRONLOG",
            &format!("{base} (root) CMD (run-parts)"),
            &format!("{base} root CMD"),
        ),
        ("HTTPD_COMMONLOG", common, "192.0.2.7 - - -"),
        ("HTTPD_COMBINEDLOG", &combined, common),
        ("COMMONAPACHELOG", common, &combined),
        ("HTTPDERROR_DATE", "Mon Aug 31 16:27:04 2015", "31 Aug 2015"),
        ("HTTPD20_ERRORLOG", old, "[error] x"),
        ("HTTPD24_ERRORLOG", new, old),
        ("HTTPD_ERRORLOG", old, "error"),
        (
            "HTTPD_ERRORLOG",
            "[Tue Apr 14 14:27:52.605084 2020] [:error] [pid 5688] x",
            common,
        ),
        ("S3_REQUEST_LINE", "GET /a HTTP/1.1", "GET /a \"b\" c"),
        ("S3_ACCESS_LOG", s3, common),
        ("HAPROXYTIME", "12:14:14", "12:14"),
        ("HAPROXYDATE", "06/Feb/2026:12:14:14.655", "06/Feb/2026"),
        ("HAPROXYHTTPBASE", haproxy, common),
        (
            "HAPROXYHTTP",
            &format!("Feb  6 12:14:14 lb haproxy[14389]: {haproxy}"),
            haproxy,
        ),
        ("JAVACLASS", "hudson.node_monitors.Abstract$1", "1a"),
        ("JAVAFILE", "Native Method", "a/b"),
        ("JAVAMETHOD", "<init>", "<x>"),
        (
            "JAVASTACKTRACEPART",
            "  at com.example.A$b.c(A.java:42)",
            "at com",
        ),
        ("JAVATHREAD", "TP-Processor4", "main"),
        ("CATALINA7_DATESTAMP", "Jan 9, 2014 7:13:13 AM", "Jan 9"),
        (
            "CATALINA8_DATESTAMP",
            "31-Jul-2020 16:40:38.578",
            "31-Jul-2020",
        ),
        ("CATALINA_DATESTAMP", "31-Jul-2020 16:40:38.578", "2020"),
        ("CATALINA7_LOG", tomcat7, tomcat8),
        ("CATALINA8_LOG", tomcat8, tomcat7),
        ("CATALINALOG", tomcat7, "Starting"),
        (
            "TOMCAT_DATESTAMP",
            "2014-01-09 20:03:28,269 -0800",
            "2014-01-09",
        ),
        (
            "TOMCATLOG",
            "2014-01-09 20:03:28,269 -0800 | ERROR | com.example.A - wrong",
            tomcat8,
        ),
        (
            "POSTGRESQL",
            "31.01.2026 12:00:00 CET app 5af1c 123",
            "31.01.2026 app",
        ),
    ] {
        assert!(takes(name, good), "{name} takes {good}");
        assert!(!takes(name, bad), "{name} refuses {bad}");
    }
}

#[test]
fn groups_in_usual_patterns_make_fields() {
    let of = |pattern: &str, line: &str| {
        let found = run(&TYPE, &json!({"pattern": pattern}), Input::raw(line));
        found.map(|found| found.0).expect(line)
    };
    let line = "[Mon Aug 31 09:30:48.958285 2015] [proxy_fcgi:error] [pid 28787:tid 140] (70008)Partial results: [client 192.0.2.166:59307] AH01075: Error";
    let document = of("^%{HTTPD24_ERRORLOG}$", line);
    assert_eq!(document["errorcode"], "AH01075", "{document}");
    let line = r#"192.0.2.7 - - [10/Oct/2000:13:55:36 -0700] "\x16\x03" 400 5"#;
    let document = of("^(?:a%{S3_REQUEST_LINE}|%{HTTPD_COMMONLOG})$", line);
    assert_eq!(document["rawrequest"], r"\x16\x03", "{document}");
    let line = "Oct  1 22:14:15 web-1 CRON[123]: pam_unix(cron:session): session opened for user root by (uid=0)";
    let document = of("^%{SYSLOGPAMSESSION}$", line);
    let message = "pam_unix(cron:session): session opened for user root by (uid=0)";
    assert_eq!(document["message"], message, "{document}");
    assert_eq!(document["pam_caller"], "cron:session", "{document}");
}

#[test]
fn every_usual_name_is_in_the_reference() {
    let schema = (TYPE.schema)();
    let description = schema.as_value()["description"].as_str().expect("text");
    for name in library::names() {
        assert!(description.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_usual_pattern_can_be_used() {
    for name in library::names() {
        let path = Path::root();
        let expansion = Expansion::new(&format!("%{{{name}:x}}"), &BTreeMap::new(), &path);
        let expansion = expansion.unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let compiled = Pattern::compile(&expansion.regex, &path);
        assert!(compiled.is_ok(), "{name}: {:?}", compiled.err());
        let same = library::names().filter(|known| *known == name);
        assert_eq!(same.count(), 1, "{name} is there twice");
    }
}

#[test]
fn bad_patterns_are_problems() {
    let check = |pattern: &str, expected: &str| {
        check_problems(&TYPE, &json!({"pattern": pattern}), &[expected]);
    };
    check(
        "%{HOSTNAM:x}",
        "bolts.bolt.pattern: unknown pattern `HOSTNAM`; expected a name that `isobar operators parse_grok` lists, or one of `patterns`; did you mean HOSTNAME?",
    );
    check(
        "%{INT:x",
        "bolts.bolt.pattern: `%{INT:x` has no closing brace; expected %{NAME}, %{NAME:field}, %{NAME:field:int} or %{NAME:field:float}",
    );
    check(
        "%{INT:x:integer}",
        "bolts.bolt.pattern: unknown type `integer` in `%{INT:x:integer}`; expected int, float or string",
    );
    check(
        "%{INT}",
        "bolts.bolt.pattern: the pattern makes no field; expected a name for each field, such as %{IP:client}",
    );
    check(
        "%{INT:a.b}",
        "bolts.bolt.pattern: `a.b` looks like a field inside of `a`; expected the name of a top-level field, or [\"a.b\"] for one that has dots in its name",
    );
    check(
        "%{IP:[client][ip]:int}",
        "bolts.bolt.pattern: `[client][ip]` looks like a field inside of another, as Logstash writes it; expected the name of a top-level field: [\"client.ip\"], which the index takes for `client.ip`, or a bare one that `rename_fields` moves",
    );
    check(
        "(?<x>a",
        "bolts.bolt.pattern: as a regular expression of 6 bytes, at character 1 of the expression: unclosed group; expected a regular expression as the Rust crate regex takes it, such as ^(?<host>\\S+) (?<status>\\d+)$",
    );
    check_problems(
        &TYPE,
        &json!({"pattern": "%{A:x}", "patterns": {"A": "a%{B}", "B": "b%{A}", "C": "%{NONE}"}}),
        &[
            "bolts.bolt.pattern: the pattern has no end; expected patterns that are not made of themselves, 32 deep and 256 KiB in all at most",
            "bolts.bolt.patterns.A: the pattern has no end; expected patterns that are not made of themselves, 32 deep and 256 KiB in all at most",
            "bolts.bolt.patterns.B: the pattern has no end; expected patterns that are not made of themselves, 32 deep and 256 KiB in all at most",
            "bolts.bolt.patterns.C: unknown pattern `NONE`; expected a name that `isobar operators parse_grok` lists, or one of `patterns`",
        ],
    );
    let doubled: BTreeMap<String, String> = (0..30)
        .map(|n| (format!("P{n}"), format!("%{{P{0}}}%{{P{0}}}", n + 1)))
        .chain([("P30".to_owned(), "a".to_owned())])
        .collect();
    let problem = Expansion::new("%{P0:x}", &doubled, &Path::root()).expect_err("too long");
    assert!(
        problem.to_string().contains("the pattern has no end"),
        "{problem}"
    );
}

proptest! {
    // Each case compiles the pattern once, which takes longer than all of its lines.
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn addresses_and_numbers_are_taken_as_they_are_printed(
        lines in prop::collection::vec((any::<u32>(), address(), any::<i64>(), -1e15f64..1e15), 100),
    ) {
        let expected: Vec<_> = lines
            .iter()
            .map(|(four, six, integer, float)| {
                let (four, six) = (Ipv4Addr::from(*four), Ipv6Addr::from(*six));
                let float: Value = serde_json::from_str(&float.to_string()).expect("a number");
                json!({"four": four.to_string(), "six": six.to_string(), "integer": integer, "float": float})
            })
            .collect();
        let text = |(four, six, integer, float): &(u32, u128, i64, f64)| {
            let (four, six) = (Ipv4Addr::from(*four), Ipv6Addr::from(*six));
            Input::raw(format!("x {four} {six} {integer} {float} y"))
        };
        let inputs: Vec<Input> = lines.iter().map(text).collect();
        let pattern = "^x %{IP:four} %{IP:six} %{INT:integer:int} %{NUMBER:float:float} y$";
        let found: Vec<Value> = emitted(&TYPE, &json!({"pattern": pattern}), &inputs)
            .into_iter()
            .map(|record| serde_json::from_str(&record.document.expect("matches")).expect("JSON"))
            .collect();
        prop_assert_eq!(found, expected);
    }
}

/// An address of IPv6, often with many zeros.
fn address() -> impl Strategy<Value = u128> {
    let of_bits = |set: [bool; 8]| {
        let bits = set.iter();
        bits.fold(0, |sum, bit| sum << 16 | u128::from(*bit))
    };
    prop_oneof![any::<u128>(), any::<[bool; 8]>().prop_map(of_bits)]
}

#[test]
fn a_field_that_does_not_fit_is_kept_as_it_is() {
    let pattern = "^%{WORD:a} %{INT:n:int}$";
    let options = json!({"pattern": pattern, "field": "line", "on_invalid": "keep"});
    for (line, expected) in [
        ("x 1", json!({"line": "x 1", "a": "x", "n": 1})),
        ("x", json!({"line": "x"})),
        // Nothing of it is set where one value is not of its type.
        (
            "x 99999999999999999999",
            json!({"line": "x 99999999999999999999"}),
        ),
    ] {
        let input = Input::document(&json!({"line": line}).to_string());
        let found = run(&TYPE, &options, input).map(|found| found.0);
        assert_eq!(found, Ok(expected));
    }
}
