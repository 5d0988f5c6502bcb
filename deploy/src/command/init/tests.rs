//! What is proposed for samples of each format with garbage among them.

use std::path::Path;

use clap::{Parser, ValueEnum};
use isobar_topology::clock;

use super::*;
use crate::cli::Cli;
use crate::command::Command;
use crate::generate::{Generated, Generator, Lines};
use crate::rehearsal::{Outcome as Ended, Stage};
use crate::substitute::Outside;
use crate::topology_file::TopologyFile;

fn sampled(payload: &str, offset: i64) -> Sampled {
    Sampled {
        offset,
        timestamp: clock::unix_ms(),
        payload: Some(payload.as_bytes().to_vec()),
        ..Sampled::of_topic("Shop.Logs")
    }
}

fn recognised(records: &[Sampled]) -> Result<Recognised, Failure> {
    let subject = Subject::new(None, &["a:1".to_owned()], "Shop.Logs", "http://b:2");
    recognise(&subject, records, &isobar_operators::registry())
}

/// The topology that is proposed, which must be sound.
fn stage(text: &str) -> Stage {
    let outside = Outside {
        variable: &|name| name.ends_with("PASSWORD").then(|| "hunter2".to_owned()),
        file: &|_| Ok("id:key".to_owned()),
    };
    let file = TopologyFile::from_text(Path::new("t.yaml"), text.to_owned(), &outside);
    let plan = file.plan(&isobar_operators::registry(), 1);
    let plan = plan.unwrap_or_else(|refused| panic!("{refused}\n{text}"));
    Stage::open(plan).unwrap_or_else(|failure| panic!("{:#}", failure.error))
}

#[test]
fn every_good_record_is_parsed_and_exactly_the_garbage_rejected() {
    for lines in Lines::value_variants() {
        let start = clock::unix_ms() - 3_600_000;
        let mut generator = Generator::new(*lines, 11, start, 1_000).with_garbage(1);
        let (mut records, mut times, mut garbage) = (Vec::new(), Vec::new(), Vec::new());
        for offset in 0..1_500 {
            let (mut record, before) = (Generated::default(), generator.garbage());
            generator.next_into(&mut record);
            garbage.push(generator.garbage() > before);
            records.push(sampled(&record.line, offset));
            times.push(record.timestamp);
        }
        assert!(garbage.iter().filter(|one| **one).count() > 5, "{lines:?}");
        let found = recognised(&records[..200]).unwrap_or_else(|f| panic!("{:#}", f.error));
        let text = &found.text;
        let (_, bolts) = text.split_once("\nbolts:\n").expect("bolts");
        let (bolts, _) = bolts.split_once("\n# Rejected").expect("an end");
        let outside = bolts.lines().find(|line| line.starts_with(|c| c != ' '));
        assert_eq!(outside, None, "{text}");
        let mut stage = stage(text);
        for number in 0..records.len() {
            let told = stage.run("records", &records[number], None);
            let told = told.unwrap_or_else(|failure| panic!("{:#}", failure.error));
            assert_eq!(
                told.is_rejected(),
                garbage[number],
                "{lines:?} {told:?}\n{text}"
            );
            if garbage[number] {
                continue;
            }
            let last = told.steps.last().and_then(|step| step.event_time);
            // Access lines have whole seconds.
            let off = last.expect("a time") - times[number];
            assert!((-999..=0).contains(&off), "{lines:?} {off}\n{text}");
            let Ended::Written(written) = &told.ends[0].outcome else {
                panic!("{told:?}");
            };
            assert!(
                written.target.starts_with("shop-logs-20"),
                "{}",
                written.target
            );
        }
        let others = garbage[..200].iter().filter(|one| **one).count();
        let told = &found.told[0];
        let start = format!("of 200 records of Shop.Logs, {} are ", 200 - others);
        let end = match others {
            0 => String::new(),
            1 => "; the other one would be dead-lettered".to_owned(),
            others => format!("; the other {others} would be dead-lettered"),
        };
        assert!(told.starts_with(&start) && told.ends_with(&end), "{told}");
        assert!(text.contains(" %)."), "{text}");
    }
}

#[test]
fn times_are_found_in_many_forms_and_old_ones_are_taken() {
    for (line, expected) in [
        (
            r#"{"ts": 1767225600, "a": "x"}"#,
            "event_time: \"ts\"\n    event_time_format: \"unix_s\"",
        ),
        (r#"{"t": 1767225600000}"#, "event_time_format: \"unix_ms\""),
        (
            r#"{"when": "2026-01-01T00:00:00Z"}"#,
            "event_time: \"when\"\n    event_time_format: \"rfc3339\"",
        ),
        (
            r#"{"time": "2026-01-01 00:00:00"}"#,
            "event_time_format: \"%Y-%m-%d %H:%M:%S\"",
        ),
        (
            r#"{"time": "2016-01-01T00:00:00Z"}"#,
            "event_time_bounds: off",
        ),
        (
            r#"{"id": 7, "event": {"created": "2026-01-01T00:00:00Z"}}"#,
            "event_time: \"event.created\"\n    event_time_format: \"rfc3339\"",
        ),
        (
            r#"{"log.time": "2026-01-01T00:00:00Z"}"#,
            r#"event_time: "[\"log.time\"]""#,
        ),
        (
            r#"{"event": {"created": "2026-01-01T00:00:00Z"}, "ts": 1767225600}"#,
            "event_time: \"ts\"",
        ),
        (
            r#"{"t": "2026-01-01 00:00:00.123"}"#,
            "event_time_format: \"%Y-%m-%d %H:%M:%S%.f\"\n    # The times do not say their zone",
        ),
        (
            r#"{"t": "2026-01-01 00:00:00,123"}"#,
            "event_time_format: \"%Y-%m-%d %H:%M:%S,%f\"",
        ),
        (
            r#"{"t": "2026-01-01T00:00:00.123"}"#,
            "event_time_format: \"%Y-%m-%dT%H:%M:%S%.f\"",
        ),
        (
            "x;2026-01-01 00:00:00.5;y",
            "formats: [\"%Y-%m-%d %H:%M:%S%.f\"]\n    # The times do not say their zone, such as Europe/Berlin or +02:00: UTC is assumed.\n    zone: UTC",
        ),
        ("a=1 time=1767225600", "formats: [\"unix_s\"]"),
        (
            r#"{"Timestamp": 1767225600.5, "level": 1}"#,
            "event_time: \"Timestamp\"\n    event_time_format: \"unix_s\"",
        ),
        (
            r#"{"__REALTIME_TIMESTAMP": "1767225600000000"}"#,
            "event_time: \"__REALTIME_TIMESTAMP\"\n    event_time_format: \"unix_us\"",
        ),
        (
            r#"{"time": 1767225600, "@timestamp": "2026-01-01T00:00:00+0100"}"#,
            "event_time: \"@timestamp\"\n    event_time_format: \"rfc3339\"",
        ),
        (
            r#"{"doc": {"created": "2026-01-01T00:00:00Z"}}"#,
            r#"event_time: "[\"doc\"].created""#,
        ),
        (
            r#"{"created_on": "2026-01-01 00:00:00.5 +0100"}"#,
            "event_time_format: \"%Y-%m-%d %H:%M:%S%.f %z\"",
        ),
        (
            r#"{"date": "Thu, 01 Jan 2026 00:00:00 +0000"}"#,
            "event_time_format: \"%a, %d %b %Y %H:%M:%S %z\"",
        ),
        ("x;2026-01-01T00:00:00Z;\"a;b\"", "field: \"column_2\""),
    ] {
        let found = recognised(&[sampled(line, 0)]).unwrap_or_else(|f| panic!("{:#}", f.error));
        assert!(found.text.contains(expected), "{line}\n{}", found.text);
        let _ = stage(&found.text);
    }
    let found = recognised(&[sampled(r#"{"level": 1, "n": 1767225600}"#, 0)]);
    let text = found.unwrap_or_else(|f| panic!("{:#}", f.error)).text;
    assert!(
        !text.contains("event_time:") && !text.contains("bounds"),
        "{text}"
    );
}

#[test]
fn what_is_said_of_the_time_is_true() {
    for (lines, expected) in [
        (
            [
                r#"{"t": "2026-01-01 00:00:00"}"#,
                r#"{"t": "2026-01-01 00:00:00.5"}"#,
            ],
            "The time of the event is in `t` (%Y-%m-%d %H:%M:%S%.f); it does not say its zone, and UTC is assumed.",
        ),
        (
            [r#"{"t": "2026-01-01T00:00:00Z"}"#, r#"{"t": "soon"}"#],
            "Only 1 of them have a time in `t`: that of the record is taken.",
        ),
        (
            [r#"{"t": "soon"}"#, r#"{"t": "late"}"#],
            "No field holds a time of a known format: that of the record is taken.",
        ),
    ] {
        let found = recognised(&lines.map(|line| sampled(line, 0)));
        let found = found.unwrap_or_else(|f| panic!("{:#}", f.error));
        assert_eq!(found.told[1], expected);
    }
}

#[test]
fn a_few_records_without_a_time_keep_their_own() {
    for (lines, expected) in [
        (
            [r#"{"a":1}"#, r#"{"ts":1767225600}"#, r#"{"ts":1767225601}"#],
            "    on_invalid_event_time: keep\n",
        ),
        (
            ["a=1", "ts=1767225600", "ts=1767225601"],
            "    on_invalid: keep\n",
        ),
    ] {
        let records = lines.map(|line| sampled(line, 0));
        let found = recognised(&records).unwrap_or_else(|f| panic!("{:#}", f.error));
        assert_eq!(
            found.told[1],
            "The time of the event is in `ts` (unix_s); 2 of them have it, the others keep the time of the record."
        );
        assert!(found.text.contains(expected), "{}", found.text);
        let mut stage = stage(&found.text);
        for record in &records {
            let told = stage.run("records", record, None);
            let told = told.unwrap_or_else(|failure| panic!("{:#}", failure.error));
            assert!(!told.is_rejected(), "{told:?}\n{}", found.text);
        }
    }
}

#[test]
fn json_inside_of_a_field_is_told() {
    let lines = [
        r#"{"stream":"stdout","log":"{\"level\":\"warn\"}\n"}"#,
        r#"{"stream":"stdout","log":"{\"level\":\"info\"}\n"}"#,
        r#"{"stream":"stderr","log":"started\n"}"#,
    ];
    let found = recognised(&lines.map(|line| sampled(line, 0)));
    let found = found.unwrap_or_else(|f| panic!("{:#}", f.error));
    let said = "The field `log` holds JSON objects as text in 2 of them: a second bolt `parse_json`, with `field: \"log\"`, `on_invalid: keep` and `merge: true`, makes fields of what is in them; the others stay as they are.";
    assert!(
        found.text.contains(&format!("# {said}\n")),
        "{}",
        found.text
    );
    assert_eq!(found.told[2], said);
    let found = recognised(&[sampled(r#"{"@message":"{\"level\":1}"}"#, 0)]);
    let found = found.unwrap_or_else(|f| panic!("{:#}", f.error));
    assert_eq!(
        found.told[2],
        "The field `@message` holds JSON objects as text in 1 of them: a second bolt `parse_json`, with `field: \"@message\"` and `merge: true`, makes fields of what is in them."
    );
    let plain = recognised(&[sampled(r#"{"log":"{ started }"}"#, 0)]);
    let plain = plain.unwrap_or_else(|f| panic!("{:#}", f.error));
    assert_eq!(plain.told.len(), 2, "{:?}", plain.told);
}

#[test]
fn what_is_advised_keeps_records_that_do_not_fit() {
    let mut stage = stage(
        "isobar: 1
name: t
connections: {kafka: {type: kafka, brokers: \"a:1\"}}
spouts: {records: {type: kafka, connection: kafka, topics: [t], start: earliest}}
bolts:
  parse: {type: parse_json, inputs: [records]}
  inside: {type: parse_json, inputs: [parse], field: \"log\", on_invalid: keep, merge: true}
  out: {type: console, inputs: [inside]}
dead_letter: {type: console}
",
    );
    for (line, expected) in [
        (r#"{"log":"{\"level\":1}"}"#, r#"{"level":1}"#),
        (r#"{"log":"started"}"#, r#"{"log":"started"}"#),
        (r#"{"logs":1}"#, r#"{"logs":1}"#),
    ] {
        let told = stage.run("records", &sampled(line, 0), None);
        let told = told.unwrap_or_else(|f| panic!("{:#}", f.error));
        assert!(!told.is_rejected(), "{told:?}");
        let document = told.steps[1].document.as_ref().expect("a document");
        assert_eq!(document.to_string(), expected);
    }
}

#[test]
fn a_name_that_a_producer_chose_is_no_part_of_the_file() {
    for name in [
        "log\\rsettings: {max_attempts: 1} #",
        "a: b",
        "l\\u001b[2J",
        "a`",
    ] {
        let line = format!(r#"{{"{name}":"{{}}","{name} time":"2026-01-01T00:00:00Z"}}"#);
        let found = recognised(&[sampled(&line, 0)]).unwrap_or_else(|f| panic!("{:#}", f.error));
        assert_eq!(found.told.len(), 2, "{:?}", found.told);
        let said = found.told.concat() + &found.text;
        let control = said.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(control, None, "{said}");
        assert!(!said.contains("max_attempts"), "{said}");
    }
}

#[test]
fn events_far_off_are_told_by_their_side_of_now() {
    let day = 86_400_000;
    let at = |days: i64| format!(r#"{{"ts":{}}}"#, clock::unix_ms() + days * day);
    for (days, expected, is_told) in [
        (vec![-1, 0], None, false),
        (vec![-400, 0], Some("older than a year. Each"), false),
        (vec![2, 0], Some("more than a day ahead. Each"), true),
        (
            vec![2, -400, 0],
            Some("older than a year, others more than a day ahead. Each"),
            true,
        ),
    ] {
        let records: Vec<Sampled> = days.iter().map(|days| sampled(&at(*days), 0)).collect();
        let found = recognised(&records).unwrap_or_else(|f| panic!("{:#}", f.error));
        let text = &found.text;
        assert_eq!(
            text.contains("event_time_bounds: off"),
            expected.is_some(),
            "{text}"
        );
        assert!(text.contains(expected.unwrap_or_default()), "{text}");
        let told = found
            .told
            .iter()
            .any(|line| line.contains("look at the clock, or the zone"));
        assert_eq!(told, is_told, "{:?}", found.told);
    }
}

#[test]
fn topics_may_be_called_as_numbers_and_words_of_yaml() {
    for topic in ["2024", "1e5", "true", "null"] {
        let subject = Subject::new(None, &["a:1".to_owned()], topic, "http://b:2");
        let registry = isobar_operators::registry();
        recognise::check(&subject, &registry).unwrap_or_else(|f| panic!("{topic}: {:#}", f.error));
        let found = recognise(&subject, &[sampled(r#"{"a":1}"#, 0)], &registry);
        let found = found.unwrap_or_else(|f| panic!("{topic}: {:#}", f.error));
        let _ = stage(&found.text);
    }
}

#[test]
fn no_index_has_a_name_that_elasticsearch_makes_data_streams_of() {
    for (topic, index) in [
        ("logs.app", "logs_app-20"),
        ("logs-app-web", "logs_app-web-20"),
        ("Metrics-x", "metrics_x-20"),
        ("synthetics-x", "synthetics_x-20"),
        // These have one part less than such streams.
        ("logs", "logs-20"),
        ("app-logs", "app-logs-20"),
        ("logsapp-x", "logsapp-x-20"),
    ] {
        let subject = Subject::new(None, &["a:1".to_owned()], topic, "http://b:2");
        let record = sampled(r#"{"a":1}"#, 0);
        let registry = isobar_operators::registry();
        let found = recognise(&subject, std::slice::from_ref(&record), &registry);
        let text = found
            .unwrap_or_else(|f| panic!("{topic}: {:#}", f.error))
            .text;
        let told = stage(&text).run("records", &record, None);
        let told = told.unwrap_or_else(|failure| panic!("{:#}", failure.error));
        let Ended::Written(written) = &told.ends[0].outcome else {
            panic!("{told:?}");
        };
        assert!(
            written.target.starts_with(index),
            "{topic}: {}",
            written.target
        );
        assert_eq!(
            text.contains("makes a data stream, by a"),
            index.contains('_'),
            "{text}"
        );
    }
}

#[test]
fn a_topic_without_values_is_told_from_one_without_records() {
    let tombstone = Sampled {
        payload: None,
        ..sampled("", 0)
    };
    for (records, expected) in [
        (
            vec![],
            "topic t has no record to look at; `isobar generate` makes some",
        ),
        (
            vec![tombstone.clone(), tombstone.clone()],
            "the newest 2 records of topic t are tombstones, which have no value; `--sample NUMBER` looks at more of them",
        ),
    ] {
        let failure = with_values(records, "t").expect_err("nothing to look at");
        assert_eq!(format!("{:#}", failure.error), expected);
    }
    let records = with_values(vec![tombstone, sampled("a", 1)], "t");
    assert_eq!(records.unwrap_or_else(|f| panic!("{:#}", f.error)).len(), 1);
}

#[test]
fn access_lines_may_have_more_behind_them() {
    let tail = "- - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"ua\"";
    for (line, field, value) in [
        (
            format!("192.0.2.1 {tail} 0.004 10.0.0.1:80"),
            "rest",
            "0.004 10.0.0.1:80",
        ),
        (
            format!("example.com:443 192.0.2.1 {tail}"),
            "vhost",
            "example.com",
        ),
    ] {
        let found = recognised(&[sampled(&line, 0)]).unwrap_or_else(|f| panic!("{:#}", f.error));
        assert!(found.told[0].contains("access lines"), "{:?}", found.told);
        let told = stage(&found.text).run("records", &sampled(&line, 0), None);
        let told = told.unwrap_or_else(|f| panic!("{:#}", f.error));
        let document = told.steps[0].document.as_ref().expect("a document");
        assert_eq!(document[field], value, "{document}");
        assert_eq!(document["client"], "192.0.2.1", "{document}");
    }
}

#[test]
fn lines_of_syslog_are_taken_as_each_template_of_rsyslog_writes_them() {
    let now = jiff::Timestamp::from_millisecond(clock::unix_ms() - 3_600_000).expect("in range");
    let (time, bsd) = (now.strftime("%FT%T.123456+00:00"), now.strftime("%b %e %T"));
    let tail = "web-1 postfix/smtpd[4711]: connect from a=1, b=2";
    for (template, line, mode) in [
        ("RSYSLOG_FileFormat", format!("{time} {tail}\n"), "lenient"),
        (
            "RSYSLOG_TraditionalFileFormat",
            format!("{bsd} {tail}\n"),
            "lenient",
        ),
        (
            "RSYSLOG_ForwardFormat",
            format!("<22>{time} {tail}"),
            "lenient",
        ),
        (
            "RSYSLOG_TraditionalForwardFormat",
            format!("<22>{bsd} {tail}"),
            "strict",
        ),
        (
            "RSYSLOG_SyslogProtocol23Format",
            format!("<22>1 {time} web-1 postfix/smtpd 4711 - - connect from a=1, b=2\n"),
            "strict",
        ),
    ] {
        let mut records = vec![sampled(&line, 0); 19];
        records.push(sampled("-- MARK --", 1));
        let found = recognised(&records).unwrap_or_else(|f| panic!("{template}: {:#}", f.error));
        let expected = match mode {
            "strict" => "19 are syslog lines; the other one would be dead-lettered",
            _ => {
                "19 are syslog lines as rsyslog and devices write them; of 1 others only the text would be taken, with the time of the record"
            }
        };
        assert!(
            found.told[0].ends_with(expected),
            "{template}: {:?}",
            found.told
        );
        let text = &found.text;
        assert!(text.contains(&format!("\n    mode: {mode}\n")), "{text}");
        let mut stage = stage(text);
        let mut told = |record: &Sampled| {
            let told = stage.run("records", record, None);
            told.unwrap_or_else(|failure| panic!("{:#}", failure.error))
        };
        let line = told(&records[0]);
        let document = line.steps[0].document.as_ref().expect("a document");
        assert_eq!(document["hostname"], "web-1", "{template}: {document}");
        assert_eq!(
            document["app_name"], "postfix/smtpd",
            "{template}: {document}"
        );
        assert_eq!(document["proc_id"], "4711", "{template}: {document}");
        let off = now.as_millisecond() - line.steps[0].event_time.expect("a time");
        assert!((-999..=999).contains(&off), "{template}: {off}");
        assert_eq!(told(&records[19]).is_rejected(), mode == "strict");
    }
}

#[test]
fn lines_of_programs_with_a_time_before_them_are_no_syslog() {
    for line in [
        "2026-01-01T00:00:00.123Z INFO org.example.Shop: started",
        "2026-01-01T00:00:00.123Z [warn] main[7]: slow",
        "2026-01-01T00:00:00.123Z the shop has started",
        "started: all is well",
    ] {
        let failure = recognised(&[sampled(line, 0)]).err().expect(line);
        let text = format!("{:#}", failure.error);
        assert!(text.contains("devices write them 0"), "{line}: {text}");
    }
}

#[test]
fn a_comma_before_milliseconds_is_no_delimiter() {
    let lines = ["INFO,started", "ERROR,disk full", "WARN,a, b"];
    let records = lines.map(|rest| sampled(&format!("2026-11-28 06:00:00,123,{rest}"), 0));
    let failure = recognised(&records).err().expect("no format");
    let text = format!("{:#}", failure.error);
    assert!(
        text.contains("such as 06:00:00,123, are those of Python or log4j"),
        "{text}"
    );
}

#[test]
fn what_no_parser_reads_is_said_by_its_name() {
    let of_registry: &[u8] = b"\0\0\0\0\x07\x02\x0Afrank";
    for (payload, expected) in [
        (
            of_registry,
            "they begin as Avro or Protobuf of a schema registry does",
        ),
        (
            b"\x1F\x8B\x08\0\0\0\0\0",
            "they were compressed before they came to Kafka",
        ),
        (b"\x82\xA1a\x01\xFF", "they are no text"),
        (b" [{\"a\":1},{\"a\":2}]", "they are lists of JSON"),
        (b"{\"a\":1}\n{\"a\":2}\n", "they have several lines"),
    ] {
        let record = Sampled {
            payload: Some(payload.to_vec()),
            ..sampled("", 0)
        };
        let failure = recognised(&[record]).err().expect("no format");
        let text = format!("{:#}", failure.error);
        assert!(
            text.contains(expected) && !text.contains("parse_grok"),
            "{text}"
        );
    }
}

#[test]
fn what_fits_no_format_is_said_with_what_was_tried() {
    let found = recognised(&[sampled("hello, world", 0), sampled("good bye", 1)]);
    let failure = found.err().expect("no format");
    let text = format!("{:#}", failure.error);
    assert!(
        text.contains("JSON objects 0, syslog lines 0") && text.contains("parse_grok"),
        "{text}"
    );
}

fn environment() -> Environment {
    Environment::new(|name| name.ends_with("PASSWORD").then(|| "hunter2".to_owned()))
}

/// What the command line asks for, behind brokers and topic.
fn asked(options: &str) -> InitArgs {
    let line = format!("isobar init --brokers a:1 --topic t {options}");
    let cli = Cli::try_parse_from(line.split_whitespace());
    match cli.unwrap_or_else(|error| panic!("{error}")).command {
        Command::Init(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn connections_are_written_as_they_were_reached_and_secrets_by_name() {
    let records = [sampled(r#"{"a": 1}"#, 0)];
    for (options, expected) in [
        (
            "",
            "    # tls: {ca: /etc/ssl/kafka-ca.pem}
    # sasl: {mechanism: SCRAM-SHA-512, username: isobar, password: \"${file:/run/secrets/kafka}\"}
",
        ),
        (
            "--tls --sasl-mechanism PLAIN --sasl-username me --sasl-password-from K_PASSWORD",
            "    tls: {}
    sasl: {mechanism: PLAIN, username: \"me\", password: \"${K_PASSWORD}\"}
",
        ),
        (
            "--tls-ca /ca.pem --es https://e:9200 --es-ca /e.pem --es-username me --es-password-from E_PASSWORD",
            "    auth: {basic: {username: \"me\", password: \"${E_PASSWORD}\"}}
    tls: {ca: \"/e.pem\"}
",
        ),
        (
            concat!(
                "--es-api-key-from file:",
                env!("CARGO_MANIFEST_DIR"),
                "/Cargo.toml"
            ),
            concat!(
                "    auth: {api_key: \"${file:",
                env!("CARGO_MANIFEST_DIR"),
                "/Cargo.toml}\"}\n"
            ),
        ),
    ] {
        let subject = asked(options).subject(&environment());
        let subject = subject.unwrap_or_else(|f| panic!("{options}: {:#}", f.error));
        let registry = isobar_operators::registry();
        recognise::check(&subject, &registry).unwrap_or_else(|f| panic!("{:#}", f.error));
        let found = recognise(&subject, &records, &registry);
        let text = found.unwrap_or_else(|f| panic!("{:#}", f.error)).text;
        assert!(
            text.contains(expected) && !text.contains("hunter2"),
            "{text}"
        );
        let _ = stage(&text);
    }
}

#[test]
fn what_no_file_can_be_written_for_is_refused_before_anybody_is_asked() {
    for (options, expected) in [
        (
            "--es e:9200",
            "connections.search.hosts: the host \"e:9200\" has no scheme",
        ),
        (
            "--es https://u:hunter2@e",
            "connections.search.hosts: a host has a user or password in it",
        ),
        (
            "--es-ca /e.pem",
            "connections.search.tls: a host is asked without encryption",
        ),
        (
            "--name a/b",
            "--name: found the string \"a/b\"; expected a name of lower-case letters, digits, - and _",
        ),
        ("--es-api-key-from id:hunter2", "not the secret itself"),
        (
            "--es-api-key-from hunter2",
            "no variable of this name is set",
        ),
    ] {
        let subject = asked(options).subject(&environment());
        let refused =
            subject.and_then(|subject| recognise::check(&subject, &isobar_operators::registry()));
        let failure = refused.expect_err(options);
        assert_eq!(failure.exit, Exit::Usage, "{options}");
        let said = format!("{:#}", failure.error);
        assert!(
            said.contains(expected) && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[test]
fn a_variable_that_wins_over_what_was_named_is_told_without_its_value() {
    let told = |options: &str, kafka: &'static str, es: &'static str| {
        let environment = Environment::new(move |name| match name {
            "KAFKA" => Some(kafka.to_owned()),
            "ES" => Some(es.to_owned()),
            _ => None,
        });
        asked(options).overridden(&environment)
    };
    let named = "--es http://staging:9200";
    assert_eq!(
        asked(named).overridden(&environment()),
        Vec::<String>::new()
    );
    assert_eq!(told(named, " a:1", ""), Vec::<String>::new());
    // Nobody named any other.
    assert_eq!(told("", "a:1", "http://b:2"), Vec::<String>::new());
    let end = "and wins over the file: unset it, or the next commands go elsewhere";
    assert_eq!(
        told(named, "b:1", "http://u:hunter2@localhost:9200"),
        [
            format!("KAFKA is set, is not a:1 (--brokers), {end}"),
            format!("ES is set, is not http://staging:9200 (--es), {end}"),
        ]
    );
}
