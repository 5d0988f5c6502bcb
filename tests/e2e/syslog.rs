//! Real input: rsyslog sends lines to Kafka; they are parsed, enriched from a table, and indexed.

mod init;
mod password;

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use testkit::isobar::Setup;
use testkit::services::rsyslog::{RFC3164, RFC5424};
use testkit::services::{Kafka, Rsyslog, Search};
use testkit::wait;

use crate::support::{Steps, Total, catch_up, with_search};
use init::check_init_try_run;
use password::check_a_password_that_changes;

const LIMIT: Duration = Duration::from_secs(120);

/// Lines of each format; every fiftieth of RFC 5424 has structured data.
const LINES: u64 = 20_000;

const TOPOLOGY: &str = "\
isobar: 1
name: syslog
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
  search: {type: elasticsearch, hosts: \"${ES}\"}
spouts:
  lines: {type: kafka, connection: kafka, topics: [syslog], start: earliest}
bolts:
  parse: {type: parse_syslog, inputs: [lines], zone: UTC}
  hosts:
    type: lookup
    inputs: [parse]
    file: hosts.csv
    key: hostname
    from: doc.hostname
    fields: {zone: zone, team: team}
    default: {team: unknown}
  index:
    type: elasticsearch
    connection: search
    inputs: [hosts]
    index: \"syslog-{{ event_time.format('%Y.%m.%d') }}\"
    event_time_bounds: off
dead_letter: {type: file, path: dead-letters.ndjson}
";

#[test]
fn lines_of_rsyslog_are_parsed_enriched_and_indexed_and_init_writes_what_runs() {
    let mut steps = Steps::new("syslog");
    let (kafka, search) = with_search(Kafka::start_secured);
    kafka
        .create_topic("syslog", 4, &[])
        .expect("the topic is created");
    steps.done("start");

    let line = |format: &str, n: u64| {
        let host = format!("web-{:02}", n % 100);
        let (minute, second) = (n / 60 % 60, n % 60);
        let data = match n % 50 {
            0 => format!("[shop@32473 order=\"{n}\" note=\"a \\\"quoted\\\" word\"]"),
            _ => "-".to_owned(),
        };
        match format {
            RFC5424 => format!(
                "<165>1 2026-03-01T10:{minute:02}:{second:02}.123456Z {host} shop {n} ID47 {data} order {n} is paid"
            ),
            // What arrives without a year is of the year in which rsyslog forwards it.
            _ => format!(
                "<34>Mar  1 10:{minute:02}:{second:02} {host} su[{n}]: 'su root' failed for n{n}"
            ),
        }
    };
    for (round, format) in (1..).zip([RFC5424, RFC3164]) {
        let mut rsyslog = Rsyslog::start(kafka.brokers(), "syslog", format).expect("it starts");
        rsyslog
            .send((0..LINES).map(|n| line(format, n)))
            .expect("rsyslog takes them");
        wait::until("the lines in Kafka", LIMIT, || {
            let ends = kafka.end_offsets("syslog")?;
            let sum: i64 = ends.iter().sum();
            ensure!(sum as u64 == round * LINES, "{ends:?}");
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
        rsyslog.stop().expect("it stops when asked");
        steps.done(&format!("{LINES} lines as {format}"));
    }

    // Half of the hosts are in the table.
    let rows = (0..100).step_by(2);
    let rows: Vec<String> = rows
        .map(|n| format!("web-{n:02},eu-{},shop\n", n % 4))
        .collect();
    let setup = Setup::new(TOPOLOGY)
        .and_then(|setup| {
            setup.file(
                "hosts.csv",
                &format!("hostname,zone,team\n{}", rows.concat()),
            )
        })
        .expect("a directory")
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    let ended = catch_up(&setup, &["--fail-on-reject"]);
    let expected = Total {
        read: 2 * LINES,
        delivered: 2 * LINES,
        ..Total::default()
    };
    assert_eq!(ended.total(), expected, "{}", ended.finished.stderr);
    assert_eq!(ended.finished.status.code(), Some(0));
    steps.done("parse, enrich, index");

    check_documents(&search);
    steps.done("look at every document");

    // Where both services are there already.
    check_init_try_run(&kafka, &search, &mut steps);
    check_a_password_that_changes(&kafka, &mut steps);
}

fn check_documents(search: &Search) {
    let client = search.client();
    client.refresh("syslog-*").expect("it refreshes");
    let documents = client.dump("syslog-*", &["*"]).expect("it dumps");
    assert_eq!(documents.len() as u64, 2 * LINES);
    let mut seen = [vec![false; LINES as usize], vec![false; LINES as usize]];
    for document in &documents {
        let fields = &document.fields;
        let text = |name: &str| fields[name].as_str().unwrap_or_default();
        let number: u64 = text("proc_id")
            .parse()
            .unwrap_or_else(|_| panic!("{fields}"));
        let old = text("app_name") == "su";
        let seen = &mut seen[usize::from(old)][number as usize];
        assert!(!*seen, "line {number} is there twice: {fields}");
        *seen = true;

        let host = number % 100;
        let message = match old {
            true => format!("'su root' failed for n{number}"),
            false => format!("order {number} is paid"),
        };
        assert_eq!(text("message"), message);
        assert_eq!(text("hostname"), format!("web-{host:02}"));
        let (zone, team) = match host % 2 {
            0 => (json!(format!("eu-{}", host % 4)), "shop"),
            _ => (Value::Null, "unknown"),
        };
        assert_eq!((&fields["zone"], text("team")), (&zone, team), "{fields}");
        let priority = if old {
            (34, "auth", "crit")
        } else {
            (165, "local4", "notice")
        };
        let found = (
            fields["priority"].as_u64(),
            text("facility"),
            text("severity"),
        );
        assert_eq!(
            found,
            (Some(priority.0), priority.1, priority.2),
            "{fields}"
        );
        let (minute, second) = (number / 60 % 60, number % 60);
        let time = format!("-03-01T10:{minute:02}:{second:02}");
        assert!(text("timestamp").contains(&time), "{fields}");
        if !old {
            assert_eq!(text("msg_id"), "ID47");
            let order = &fields["structured_data"]["shop@32473"];
            let expected = match number % 50 {
                0 => json!({"order": number.to_string(), "note": "a \"quoted\" word"}),
                _ => Value::Null,
            };
            assert_eq!(order, &expected, "{fields}");
        }
        assert!(document.index.ends_with(".03.01"), "{}", document.index);
    }
    assert!(seen.iter().flatten().all(|seen| *seen), "a line is missing");
}
