//! Services that are not there or not what they should be, and records that nobody should have sent:
//! said in words, never a panic, and nothing is lost.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::ensure;
use isobar_topology::clock;
use serde_json::json;
use testkit::isobar::{Isobar, Setup};
use testkit::services::kafka::Sent;
use testkit::services::{Kafka, Search, SearchVersion};
use testkit::{http, ports};

use crate::support::{
    Steps, Total, catch_up, dead_letters, kafka_with_records, planned_memory, setup, topology,
};

const LIMIT: Duration = Duration::from_secs(120);

/// Given up after a short while, with these words on standard error and exit code 4.
fn gives_up(setup: &Setup, words: &[&str]) -> Total {
    let ended = catch_up(setup, &["--give-up-after", "6s"]);
    let said = &ended.finished.stderr;
    assert_eq!(ended.finished.status.code(), Some(4), "{said}");
    for word in words {
        assert!(said.contains(word), "{word} is not in:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    ended.total()
}

/// Waits until `/readyz` says why it is not ready, with these words.
fn says(isobar: &mut Isobar, words: &[&str]) {
    let said = isobar.wait_for("the reason in /readyz", LIMIT, |address| {
        let answer = http::get(address, "/readyz")?;
        let text = answer.text();
        let all = words.iter().all(|word| text.contains(word));
        ensure!(answer.status == 503 && all, "{}: {text}", answer.status);
        Ok(())
    });
    said.unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn a_kafka_or_a_topic_that_is_not_there_is_named() {
    let mut steps = Steps::new("bad input");
    let nobody = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let away = Setup::new(&topology("away", "")).expect("a directory");
    let away = away
        .environment("KAFKA", &nobody)
        .environment("ES", &format!("http://{nobody}"));
    assert_eq!(gives_up(&away, &["logs: ", &nobody]), Total::default());
    let mut isobar = away.start().expect("it starts");
    says(&mut isobar, &["logs: ", &nobody]);
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
    steps.done("no Kafka");

    let kafka = Kafka::start().expect("Kafka starts");
    let missing = setup(&kafka, &format!("http://{nobody}"), "missing", "");
    assert_eq!(gives_up(&missing, &["logs: ", "topic"]), Total::default());
    let mut isobar = missing.start().expect("it starts");
    says(&mut isobar, &["logs: topic: ", "not available: logs"]);
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
    steps.done("no topic");
}

#[test]
fn an_elasticsearch_that_is_away_or_refuses_or_is_something_else_is_named() {
    let mut steps = Steps::new("bad input");
    let kafka = kafka_with_records(4, 20_000);
    steps.done("start Kafka");
    let nobody = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let unauthorized = answering(
        "401 Unauthorized",
        r#"{"error":{"type":"security_exception","reason":"missing authentication credentials"},"status":401}"#,
    );
    let web = answering("200 OK", "<html><body>Welcome</body></html>");
    let cases = [
        ("away", &nobody, ["index: ", &nobody]),
        ("unauthorized", &unauthorized, ["index: ", "401"]),
        ("web", &web, ["index: ", "Elasticsearch"]),
    ];
    for (group, address, words) in cases {
        let spout = ", max_in_flight_records: 2000, batch_records_max: 500";
        let short = topology(group, spout) + "settings: {drain_timeout: 1s}\n";
        let setup = Setup::new(&short)
            .expect("a directory")
            .environment("KAFKA", kafka.brokers())
            .environment("ES", &format!("http://{address}"));
        let total = gives_up(&setup, &words);
        assert!(total.read <= 2_000 + 2 * 500, "{total:?}");
        let open = Total {
            read: total.read,
            handed_back: total.read,
            ..Total::default()
        };
        assert_eq!(total, open, "{group}");
        let committed = kafka.committed(group, "logs").expect("the broker answers");
        assert!(
            committed.iter().all(|offset| offset.unwrap_or(0) == 0),
            "{committed:?}"
        );

        let mut isobar = setup.start().expect("it starts");
        says(&mut isobar, &words);
        let status = isobar.stop(LIMIT).expect("it ends");
        assert_eq!(
            status.code(),
            Some(0),
            "{}",
            isobar.log().unwrap_or_default()
        );
        steps.done(&format!("Elasticsearch: {group}"));
    }
}

/// A server that answers every request with this, for as long as the test runs. Gives its address.
fn answering(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let _ = std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else {
                return;
            };
            let _ = std::thread::spawn(move || {
                let mut head = [0; 4096];
                let kind = if body.starts_with('{') {
                    "application/json"
                } else {
                    "text/html"
                };
                // One request for each connection; what comes after the head is not waited for.
                let _ = connection.read(&mut head);
                let _ = write!(
                    connection,
                    "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
            });
        }
    });
    address
}

/// What becomes of a record that nobody should have sent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Indexed,
    Rejected(&'static str),
    Dropped,
}

use Fate::{Dropped, Indexed, Rejected};

const TOPOLOGY: &str = "\
isobar: 1
name: hostile
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
  search: {type: elasticsearch, hosts: \"${ES}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [hostile], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs], event_time: at, event_time_format: unix_ms, on_invalid_event_time: keep}
  index:
    type: elasticsearch
    connection: search
    inputs: [parse]
    index: \"hostile-{{ event_time.format('%Y.%m.%d') }}\"
dead_letter: {type: file, path: dead-letters.ndjson}
";

fn text(length: usize) -> String {
    "lorem ipsum ".repeat(length / 12)
}

fn nested(levels: usize) -> String {
    format!("{}1{}", "{\"n\":".repeat(levels), "}".repeat(levels))
}

/// Records by name. `case` in a document tells which one it is.
fn hostile() -> Vec<(&'static str, Option<Vec<u8>>, Fate)> {
    let now = clock::unix_ms();
    let day = 86_400_000;
    let document =
        |case: &str, member: &str| format!("{{\"case\":\"{case}\",{member}}}").into_bytes();
    let member =
        |case: &'static str, member: &str, fate| (case, Some(document(case, member)), fate);
    let raw = |case, payload: &[u8], fate| (case, Some(payload.to_vec()), fate);
    let at = |case: &'static str, at: i64, fate| {
        (case, Some(document(case, &format!("\"at\":{at}"))), fate)
    };
    vec![
        member("ordinary", "\"value\":1", Indexed),
        raw("not JSON", b"GET / HTTP/1.1", Rejected("invalid_json")),
        raw(
            "half of a document",
            b"{\"case\":\"half",
            Rejected("invalid_json"),
        ),
        raw(
            "not UTF-8",
            b"{\"case\":\"\xff\xfe\"}",
            Rejected("invalid_json"),
        ),
        raw("no object", b"[1,2,3]", Rejected("invalid_json")),
        raw("empty", b"", Rejected("invalid_json")),
        ("tombstone", None, Dropped),
        member(
            "5 MB",
            &format!("\"text\":\"{}\"", text(5_000_000)),
            Indexed,
        ),
        member(
            "20 MB",
            &format!("\"text\":\"{}\"", text(20_000_000)),
            Indexed,
        ),
        raw(
            "20 MB, not JSON",
            text(20_000_000).as_bytes(),
            Rejected("invalid_json"),
        ),
        raw(
            "10,000 levels",
            nested(10_000).as_bytes(),
            Rejected("invalid_json"),
        ),
        member(
            "100 levels",
            &format!("\"deep\":{}", nested(100)),
            Rejected("mapping"),
        ),
        member("key twice", "\"a\":1,\"a\":2", Rejected("invalid_json")),
        member(
            "key twice below",
            "\"b\":{\"a\":1,\"a\":2}",
            Rejected("mapping"),
        ),
        member(
            "number out of range",
            "\"value\":1e999",
            Rejected("mapping"),
        ),
        member(
            "integer out of range",
            "\"value\":123456789012345678901234567890",
            Rejected("mapping"),
        ),
        member(
            "text for a number",
            "\"value\":\"many\"",
            Rejected("mapping"),
        ),
        member("empty key", "\"\":1", Rejected("mapping")),
        member("dots in a key", "\"..\":1", Rejected("mapping")),
        member("id of its own", "\"_id\":\"x\"", Rejected("mapping")),
        member("origin of its own", "\"_isobar\":{\"o\":-1}", Indexed),
        member("line feed in a key", "\"a\\nb\":1", Indexed),
        raw(
            "line feeds between",
            b"{\r\n  \"case\": \"line feeds between\",\n\n  \"value\": 2\n}\n",
            Indexed,
        ),
        at("now", now, Indexed),
        at("long ago", now - 400 * day, Rejected("event_time")),
        at("1970", 0, Rejected("event_time")),
        at(
            "the day after tomorrow",
            now + 2 * day,
            Rejected("event_time"),
        ),
        at("far future", 253_402_300_799_000, Rejected("event_time")),
        // No time at all, and so kept with that of the record.
        at("beyond all calendars", i64::MAX, Indexed),
    ]
}

#[test]
fn records_that_nobody_should_have_sent_are_indexed_rejected_or_dropped() {
    let mut steps = Steps::new("bad input");
    let kafka = Kafka::start_with(&[("message.max.bytes", "30000000")]).expect("Kafka starts");
    // By default a document may take a fortieth of the heap, which here is as small as can be.
    let roomy = [("indexing_pressure.memory.limit", "50%")];
    let search = Search::start_with(SearchVersion::Elasticsearch9, &roomy);
    let search = search.expect("Elasticsearch starts");
    let mapping = json!({
        "index_patterns": ["hostile-*"],
        "template": {"mappings": {"properties": {"value": {"type": "long"}}}},
    });
    search
        .client()
        .put_template("hostile", &mapping)
        .expect("the template is taken");
    kafka
        .create_topic("hostile", 1, &[])
        .expect("the topic is created");
    let cases = hostile();
    let keys: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"\"\n{}\\"), Some(b"\xff\x00")];
    let sent = cases
        .iter()
        .zip(keys.iter().cycle())
        .map(|((_, value, _), key)| Sent {
            partition: Some(0),
            key: key.map(<[u8]>::to_vec),
            value: value.clone(),
            timestamp: Some(clock::unix_ms()),
        });
    kafka.produce("hostile", sent).expect("all is acknowledged");
    steps.done("start, send");

    let setup = Setup::new(TOPOLOGY)
        .expect("a directory")
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    let bound = planned_memory(&setup);
    let ended = catch_up(&setup, &["--fail-on-reject"]);
    let said = &ended.finished.stderr;
    assert!(!said.contains("panicked"), "{said}");
    let peak = ended.finished.usage.peak_memory;
    assert!(peak <= bound, "{} MiB of {}", peak >> 20, bound >> 20);
    assert_eq!(ended.report["statistics"]["bolts"][0]["restarts"], 0);
    steps.done(&format!(
        "read, reject, index, with at most {} MiB",
        peak >> 20
    ));

    let client = search.client();
    client.refresh("hostile-*").expect("it refreshes");
    let documents = client.dump("hostile-*", &["case"]).expect("it dumps");
    let letters = dead_letters(&setup.topology().with_file_name("dead-letters.ndjson"));
    let mut wrong = Vec::new();
    for (offset, (name, _, expected)) in cases.iter().enumerate() {
        let indexed = documents
            .iter()
            .filter(|d| d.fields["case"] == *name)
            .count();
        let rejected: Vec<&str> = letters
            .iter()
            .filter(|letter| letter["offset"] == offset)
            .map(|letter| letter["class"].as_str().unwrap_or_default())
            .collect();
        let found = match (indexed, &rejected[..]) {
            (1, []) => Some(Indexed),
            (0, []) => Some(Dropped),
            (0, [class]) => match expected {
                Rejected(expected) if class == expected => Some(Rejected(expected)),
                _ => None,
            },
            _ => None,
        };
        if found != Some(*expected) {
            wrong.push(format!(
                "{name}: {expected:?}, but indexed {indexed}, rejected {rejected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\n{said}", wrong.join("\n"));
    let count = |fate: fn(&Fate) -> bool| cases.iter().filter(|(_, _, f)| fate(f)).count() as u64;
    let expected = Total {
        read: cases.len() as u64,
        delivered: count(|fate| *fate == Indexed),
        dead_lettered: count(|fate| matches!(fate, Rejected(_))),
        dropped: count(|fate| *fate == Dropped),
        ..Total::default()
    };
    assert_eq!(ended.total(), expected);
    assert_eq!(ended.finished.status.code(), Some(3), "{said}");
    steps.done("look at every record");

    letters_that_do_not_fit(&kafka, &search, &mut steps);
}

/// Dead letters in a topic: one that is larger than the broker takes is cut, and while there is no
/// such topic the records stay in flight.
fn letters_that_do_not_fit(kafka: &Kafka, search: &Search, steps: &mut Steps) {
    let letters = "dead_letter: {type: file, path: dead-letters.ndjson}\n";
    let in_kafka = "dead_letter: {type: kafka, connection: kafka, topic: dead}\n";
    let topology = TOPOLOGY
        .replace(letters, in_kafka)
        .replace("name: hostile", "name: letters");
    let setup = Setup::new(&topology)
        .expect("a directory")
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    let rejected = hostile()
        .into_iter()
        .filter(|(_, _, fate)| matches!(fate, Rejected(_)));
    let rejected = rejected.count() as u64;

    let mut isobar = setup.start().expect("it starts");
    says(&mut isobar, &["dead"]);
    let held = |address: &str| {
        let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
        ensure!(total.in_flight == rejected, "{total:?}");
        ensure!(total.dead_lettered == 0, "{total:?}");
        Ok(())
    };
    isobar
        .wait_for("the rejected records in flight", LIMIT, held)
        .unwrap_or_else(|error| panic!("{error:#}"));
    steps.done("no topic for dead letters");

    kafka
        .create_topic("dead", 1, &[("max.message.bytes", "1000000")])
        .expect("the topic is created");
    isobar
        .wait_for("the dead letters", LIMIT, |address| {
            let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
            ensure!(
                total.dead_lettered == rejected && total.in_flight == 0,
                "{total:?}"
            );
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
    let letters = kafka.consume_all("dead", LIMIT).expect("all is read");
    assert!(letters.len() as u64 >= rejected);
    let large = text(20_000_000);
    let cut = letters.iter().filter(|letter| {
        let value = letter.value.as_deref().unwrap_or_default();
        value.len() > 1_000 && large.as_bytes().starts_with(value)
    });
    assert!(cut.count() >= 1, "the letter of 20 MB is cut");
    steps.done("a topic for dead letters that takes 1 MB");
}
