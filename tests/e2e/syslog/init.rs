//! From a topic that nobody has described to documents: `init`, `try` and `run`, with no edit of the file
//! between them, over topics with garbage among the records.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::isobar::{Finished, Setup};
use testkit::services::kafka::{Sent, USER};
use testkit::services::{Kafka, PASSWORD, Search};

use crate::support::{Steps, Total, dead_letters};

const LIMIT: Duration = Duration::from_secs(60);
const PARTITIONS: u64 = 3;
/// Records of a topic.
const RECORDS: u64 = 3_000;
/// Of these, at this place of each hundred, are garbage: 1 %.
const GARBAGE: u64 = 41;
/// 2026-03-01T00:00:00Z in ms.
const FIRST_DAY: i64 = 1_772_323_200_000;

/// Records of a format.
struct Case {
    topic: &'static str,
    /// What `init` says that they are.
    found: &'static str,
    /// Why garbage is rejected.
    class: &'static str,
    /// The value of a record and its document.
    good: fn(u64) -> (String, Value),
    garbage: &'static [&'static str],
    /// Reached with encryption and a login.
    secured: bool,
}

const CASES: [Case; 5] = [
    Case {
        topic: "Shop.Events",
        found: "2970 are JSON objects; the other 30 would be dead-lettered",
        class: "invalid_json",
        good: json_object,
        garbage: &[
            "{\"timestamp\":\"2026-03-01T00:00:00Z\",\"num",
            "    at org.example.shop.Basket.total(Basket.java:113)",
            "[1,2]",
            "",
        ],
        secured: false,
    },
    Case {
        topic: "syslog-lines",
        found: "2970 are syslog lines; the other 30 would be dead-lettered",
        class: "invalid_syslog",
        good: syslog_line,
        garbage: &[
            "-- MARK --",
            "<999>1 2026-03-01T00:00:00Z web-1 shop 1 - - too high",
            "<165>1 2026-02-30T00:00:00Z web-1 shop 1 - - no such day",
        ],
        secured: false,
    },
    Case {
        topic: "syslog-3164",
        found: "2970 are syslog lines; the other 30 would be dead-lettered",
        class: "invalid_syslog",
        good: line_of_rfc_3164,
        garbage: &[
            "-- MARK --",
            "<13>Feb 30 00:00:00 web-1 shop: no such day",
            "Mar  1 00:00:00 web-1 shop: no priority",
        ],
        secured: false,
    },
    Case {
        topic: "rsyslog",
        found: "2970 are syslog lines as rsyslog and devices write them; the other 30 would be dead-lettered",
        class: "invalid_syslog",
        good: line_of_rsyslog,
        // Nearly all else is a message.
        garbage: &[
            "",
            "<165>1 2026-02-30T00:00:00Z web-1 shop 1 - - no such day",
        ],
        secured: false,
    },
    Case {
        topic: "access",
        found: "2970 are access lines of a web server; the other 30 would be dead-lettered",
        class: "invalid_access_line",
        good: access_line,
        garbage: &[
            "Segmentation fault (core dumped)",
            "192.0.2.7 - - [31/Feb/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
            "192.0.2.7 - - [01/Mar/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 2",
        ],
        secured: true,
    },
];

/// Day of March and the time on it.
fn day_and_time(number: u64) -> (u64, String) {
    let (hour, minute, second) = (number / 3_600, number / 60 % 60, number % 60);
    (1 + number % 3, format!("{hour:02}:{minute:02}:{second:02}"))
}

fn timestamp(number: u64) -> String {
    let (day, time) = day_and_time(number);
    format!("2026-03-{day:02}T{time}Z")
}

fn event_time(number: u64) -> i64 {
    FIRST_DAY + (number % 3 * 86_400_000 + number * 1_000) as i64
}

fn json_object(number: u64) -> (String, Value) {
    let document = json!({
        "number": number, "timestamp": timestamp(number), "level": "info", "ok": true, "ratio": 0.5,
        "http": {"status": 200, "path": format!("/item/{number}")}, "tags": ["a", "ü"], "user": null,
    });
    (document.to_string(), document)
}

fn syslog_line(number: u64) -> (String, Value) {
    let (time, host) = (timestamp(number), format!("web-{:02}", number % 100));
    let line = format!(
        "<165>1 {time} {host} shop {number} ID47 [shop@32473 order=\"{number}\"] order {number} is paid"
    );
    let document = json!({
        "timestamp": time, "hostname": host, "app_name": "shop", "proc_id": number.to_string(),
        "msg_id": "ID47", "structured_data": {"shop@32473": {"order": number.to_string()}},
        "message": format!("order {number} is paid"), "priority": 165, "facility": "local4",
        "severity": "notice", "severity_code": 5, "version": 1,
    });
    (line, document)
}

/// Without a year, which is that of the record.
fn line_of_rfc_3164(number: u64) -> (String, Value) {
    let (day, time) = day_and_time(number);
    let line = format!("<165>Mar {day:2} {time} web-1 shop[{number}]: order {number} is paid");
    let document = json!({
        "timestamp": timestamp(number), "hostname": "web-1", "app_name": "shop",
        "proc_id": number.to_string(), "message": format!("order {number} is paid"), "priority": 165,
        "facility": "local4", "severity": "notice", "severity_code": 5,
    });
    (line, document)
}

/// As rsyslog writes it to Kafka where no template is named: `RSYSLOG_FileFormat`.
fn line_of_rsyslog(number: u64) -> (String, Value) {
    let (day, time) = day_and_time(number);
    let time = format!("2026-03-{day:02}T{time}.000000+00:00");
    let line = format!("{time} web-1 shop[{number}]: order {number} is paid\n");
    let document = json!({
        "timestamp": time, "hostname": "web-1", "app_name": "shop", "proc_id": number.to_string(),
        "message": format!("order {number} is paid"),
    });
    (line, document)
}

/// Every second line in the common format, the others in the combined one.
fn access_line(number: u64) -> (String, Value) {
    let (day, time) = day_and_time(number);
    let client = format!("192.0.2.{}", number % 250);
    let mut line = format!(
        "{client} - ann [{day:02}/Mar/2026:{time} +0000] \"GET /item/{number}?q=a HTTP/1.1\" 404 {number}"
    );
    let mut document = json!({
        "client": client, "user": "ann", "timestamp": timestamp(number), "method": "GET",
        "path": format!("/item/{number}?q=a"), "protocol": "HTTP/1.1", "status": 404, "bytes": number,
    });
    if number.is_multiple_of(2) {
        line += " \"https://shop.example/\" \"curl/8.14.1\"";
        document["referrer"] = "https://shop.example/".into();
        document["user_agent"] = "curl/8.14.1".into();
    }
    (line, document)
}

/// Runs the commands for each format. The services must not have its topics and indices yet.
pub(crate) fn check_init_try_run(kafka: &Kafka, search: &Search, steps: &mut Steps) {
    for case in &CASES {
        case.check(kafka, search);
        steps.done(&format!("init, try, run: {}", case.topic));
    }
}

/// Where a record lies.
fn place(number: u64) -> (u64, u64) {
    (number % PARTITIONS, number / PARTITIONS)
}

impl Case {
    /// The value of a record, and its document unless it is garbage.
    fn record(&self, number: u64) -> (String, Option<Value>) {
        match number % 100 == GARBAGE {
            true => {
                let which = (number / 100) as usize % self.garbage.len();
                (self.garbage[which].to_owned(), None)
            }
            false => {
                let (value, document) = (self.good)(number);
                (value, Some(document))
            }
        }
    }

    fn check(&self, kafka: &Kafka, search: &Search) {
        // Its records are of March, and are not to be deleted for that.
        let settings = [("retention.ms", "-1")];
        let created = kafka.create_topic(self.topic, PARTITIONS as i32, &settings);
        created.expect("the topic is created");
        let sent = (0..RECORDS).map(|number| Sent {
            partition: Some(place(number).0 as i32),
            value: Some(self.record(number).0.into_bytes()),
            timestamp: Some(event_time(number)),
            ..Sent::default()
        });
        kafka
            .produce(self.topic, sent)
            .expect("all is acknowledged");

        let setup = Setup::new("").expect("a directory");
        let setup = setup.environment("KAFKA_PASSWORD", PASSWORD);
        self.init(kafka, search, &setup);
        self.try_out(&setup);
        let run = ["run", "made.yaml", "--exit-when-caught-up", "--http", "off"];
        let ran = self.done(&setup, &[&run[..], &["-o", "json"]].concat());
        let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let expected = Total {
            read: RECORDS,
            delivered: RECORDS / 100 * 99,
            dead_lettered: RECORDS / 100,
            ..Total::default()
        };
        let total = Total::of(&report["accounting"]).expect("an account");
        assert_eq!(total, expected, "{}", ran.stderr);
        let name = self.topic.to_lowercase().replace('.', "-");
        self.check_documents(search, &name);
        let letters = format!("{name}.dead-letters.ndjson");
        self.check_letters(&setup.topology().with_file_name(letters));
    }

    fn init(&self, kafka: &Kafka, search: &Search, setup: &Setup) {
        let (records, url) = (RECORDS.to_string(), search.url());
        let mut init = vec!["init", "--topic", self.topic, "--out", "made.yaml"];
        init.extend(["--es", &url, "--sample", &records]);
        let secured = kafka.secured().expect("such a broker");
        let ca = secured.ca.display().to_string();
        match self.secured {
            false => init.extend(["--brokers", kafka.brokers()]),
            true => {
                init.extend(["--brokers", &secured.brokers, "--tls-ca", &ca]);
                init.extend(["--sasl-mechanism", "PLAIN", "--sasl-username", USER]);
                init.extend(["--sasl-password-from", "KAFKA_PASSWORD"]);
            }
        }
        let made = self.done(setup, &init);
        assert!(made.stderr.contains(self.found), "{}", made.stderr);
        let text = std::fs::read_to_string(setup.topology().with_file_name("made.yaml"));
        assert!(!text.expect("it is written").contains(PASSWORD));
    }

    /// What `try` says of all records, which is what must come of them.
    fn try_out(&self, setup: &Setup) {
        let records = RECORDS.to_string();
        let tried = self.done(
            setup,
            &["try", "made.yaml", "--sample", &records, "-o", "json"],
        );
        let mut seen = 0;
        for line in tried.stdout.lines() {
            let tried: Value = serde_json::from_str(line).expect("JSON");
            let (partition, offset) = (&tried["partition"], &tried["offset"]);
            let number = offset.as_u64().expect("a number") * PARTITIONS
                + partition.as_u64().expect("a number");
            let end = &tried["ends"][0];
            match self.record(number).1 {
                Some(_) => {
                    assert_eq!(end["outcome"], "written", "{line}");
                    let last = tried["steps"].as_array().and_then(|steps| steps.last());
                    let time = &last.expect("a step")["event_time"];
                    assert_eq!(time, event_time(number), "{line}");
                }
                None => {
                    let rejected = (&end["outcome"], &end["class"]);
                    assert_eq!(rejected, (&"rejected".into(), &self.class.into()), "{line}");
                }
            }
            seen += 1;
        }
        assert_eq!(seen, RECORDS);
    }

    fn check_documents(&self, search: &Search, name: &str) {
        let client = search.client();
        let pattern = format!("{name}-*");
        client.refresh(&pattern).expect("it refreshes");
        let documents = client.dump(&pattern, &["*"]).expect("it dumps");
        let mut found = BTreeMap::new();
        for mut document in documents {
            let origin = document.fields["_isobar"].take();
            let [partition, offset] = ["p", "o"].map(|name| origin[name].as_u64().expect("origin"));
            let fields = document.fields.as_object_mut().expect("a document");
            let _ = fields.remove("_isobar");
            let _ = found.insert((partition, offset), (document.index, document.fields));
        }
        let good = (0..RECORDS).filter_map(|number| {
            let document = self.record(number).1?;
            let (day, _) = day_and_time(number);
            Some((
                place(number),
                (format!("{name}-2026.03.{day:02}"), document),
            ))
        });
        let good: BTreeMap<_, _> = good.collect();
        assert_eq!(found.len(), good.len());
        for (place, expected) in &good {
            assert_eq!(found.get(place), Some(expected), "{place:?}");
        }
    }

    fn check_letters(&self, file: &Path) {
        let letters = dead_letters(file).into_iter().map(|letter| {
            let [partition, offset] = ["partition", "offset"].map(|name| letter[name].as_u64());
            let place = (partition.expect("a number"), offset.expect("a number"));
            let [class, bolt, payload, reason] = ["class", "bolt", "payload", "reason"]
                .map(|name| letter[name].as_str().expect("text").to_owned());
            assert_eq!(
                (class.as_str(), bolt.as_str()),
                (self.class, "parse"),
                "{letter}"
            );
            assert!(reason.len() > 10, "{letter}");
            (place, payload)
        });
        let found: BTreeMap<_, _> = letters.collect();
        let garbage = (0..RECORDS).filter_map(|number| match self.record(number) {
            (value, None) => Some((place(number), value)),
            _ => None,
        });
        assert_eq!(found, garbage.collect());
    }

    /// Runs a command that must succeed.
    fn done(&self, setup: &Setup, command: &[&str]) -> Finished {
        let ended = setup.finish_alone(command, LIMIT).expect("it ends");
        assert_eq!(
            ended.status.code(),
            Some(0),
            "{}: {}",
            self.topic,
            ended.stderr
        );
        ended
    }
}
