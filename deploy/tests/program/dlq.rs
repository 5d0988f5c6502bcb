//! `isobar dlq` over topics of dead letters in embedded brokers: what needs no index.

use std::collections::BTreeMap;
use std::path::PathBuf;

use isobar_operators::embedded::EmbeddedKafka;
use isobar_operators::kafka::connection::KafkaConnection;
use isobar_operators::kafka::{Compression, OutRecord, Producer, ProducerConfig};
use serde_json::Value;
use testkit::scratch::Scratch;

use crate::support::built_program;

/// A topology with dead letters, two that are open, a third one that a redrive has settled, and one in another topic
/// that another redrive has.
struct Fixture {
    kafka: EmbeddedKafka,
    file: PathBuf,
    _scratch: Scratch,
}

impl Fixture {
    async fn new(name: &str) -> Self {
        let kafka = EmbeddedKafka::start().expect("a port");
        for topic in ["logs", "dead", "bad", "t.replays"] {
            kafka.create_topic(topic).expect("a topic");
        }
        let file = format!(
            "\
isobar: 1
name: t
connections:
  kafka: {{type: kafka, brokers: \"{}\"}}
  search: {{type: elasticsearch, hosts: [\"http://127.0.0.1:9\"]}}
spouts:
  logs: {{type: kafka, connection: kafka, topics: [logs], start: earliest}}
bolts:
  parse: {{type: parse_json, inputs: [logs]}}
  bad: {{type: kafka, connection: kafka, topic: bad, inputs: [parse.rejected]}}
  index: {{type: elasticsearch, connection: search, inputs: [parse], index: logs}}
dead_letter: {{type: kafka, connection: kafka, topic: dead}}
",
            kafka.brokers()
        );
        let scratch = Scratch::new(name).expect("a directory");
        let file = scratch.file("t.yaml", &file).expect("it can be written");
        let producer = Producer::new(&ProducerConfig {
            connection: KafkaConnection::plain(&[kafka.brokers().to_owned()]),
            compression: Compression::None,
            queue_size: 1 << 20,
            options: BTreeMap::new(),
        });
        let producer = producer.expect("a producer");
        for (topic, headers, key) in [
            (
                "dead",
                letter("logs", 1, "parse", "invalid_json"),
                "somebody",
            ),
            // Of a topic that the spout read once.
            ("dead", letter("gone", 2, "parse", "too_large"), "other"),
            ("dead", letter("logs", 3, "parse", "invalid_json"), "other"),
            ("dead", mark("logs", 3, "parse", "t.redrive.1"), ""),
            ("bad", letter("logs", 4, "parse", "invalid_json"), "other"),
            ("bad", mark("logs", 4, "parse", "t.redrive.3"), ""),
        ] {
            let headers: Vec<(&str, Option<&[u8]>)> = headers
                .iter()
                .map(|(name, value)| (*name, Some(value.as_bytes())))
                .collect();
            let record = OutRecord {
                topic,
                partition: Some(0),
                key: Some(key.as_bytes()),
                payload: Some(b"{"),
                headers: &headers,
                ..OutRecord::default()
            };
            let failures = producer.send([record]).await.await;
            assert!(failures.is_empty(), "{failures:?}");
        }
        Self {
            kafka,
            file,
            _scratch: scratch,
        }
    }

    /// What a command says, as JSON where it has an answer.
    fn dlq(&self, command: &str, options: &[&str], code: i32) -> (Value, String) {
        let mut isobar = built_program();
        let isobar = isobar.args(["dlq", command]).arg(&self.file).args(options);
        let done = isobar.args(["-o", "json"]).output().expect("it starts");
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(
            done.status.code(),
            Some(code),
            "{command} {options:?}: {told}"
        );
        let answer = serde_json::from_slice(&done.stdout).unwrap_or_default();
        (answer, told)
    }
}

type Headers = Vec<(&'static str, String)>;

fn letter(topic: &str, offset: i64, bolt: &str, class: &str) -> Headers {
    let mut headers = origin(topic, offset);
    headers.extend([
        ("isobar.dead_letter.version", "1".to_owned()),
        ("isobar.dead_letter.topology", "t".to_owned()),
        ("isobar.dead_letter.bolt", bolt.to_owned()),
        ("isobar.dead_letter.attempts", "1".to_owned()),
        ("isobar.dead_letter.class", class.to_owned()),
        ("isobar.dead_letter.reason", "a reason".to_owned()),
        ("isobar.dead_letter.rejected_at", offset.to_string()),
    ]);
    headers
}

fn mark(topic: &str, offset: i64, bolt: &str, run: &str) -> Headers {
    let mut headers = origin(topic, offset);
    headers.extend([
        ("isobar.resolution.version", "1".to_owned()),
        ("isobar.resolution.run", run.to_owned()),
        ("isobar.resolution.bolt", bolt.to_owned()),
        ("isobar.resolution.rejected_at", offset.to_string()),
    ]);
    headers
}

fn origin(topic: &str, offset: i64) -> Headers {
    vec![
        ("isobar.origin.source", format!("{:016x}", 7)),
        ("isobar.origin.topic", topic.to_owned()),
        ("isobar.origin.partition", "0".to_owned()),
        ("isobar.origin.offset", offset.to_string()),
    ]
}

#[tokio::test]
async fn letters_are_counted_by_reason_bolt_time_and_key() {
    let fixture = Fixture::new("dlq-stats").await;
    let counted = |options: &[&str]| {
        let (stats, _) = fixture.dlq("stats", options, 0);
        (stats["letters"].clone(), stats["resolved"].clone())
    };
    let check = |options: &[&str], letters: u64, resolved: u64| {
        let expected = (letters.into(), resolved.into());
        assert_eq!(counted(options), expected, "{options:?}");
    };
    check(&[], 2, 2);
    check(&["--class", "invalid_json"], 1, 2);
    check(&["--bolt", "index"], 0, 0);
    check(&["--key", "other"], 1, 2);
    check(&["--target", "logs"], 0, 0);
    check(&["--to", "2020-01-01T00:00:00Z"], 2, 2);
    check(&["--from", "2020-01-01T00:00:00Z"], 0, 0);
}

#[tokio::test]
async fn a_redrive_says_that_nobody_reads_the_topic_of_some_letters_any_more() {
    let fixture = Fixture::new("dlq-gone").await;
    let (plan, _) = fixture.dlq("redrive", &["--dry-run"], 3);
    let plan = &plan["plan"];
    assert_eq!(plan["records"], 1, "{plan}");
    assert_eq!(plan["left_out"]["letters_of_topics_not_read"], 1, "{plan}");
    let of_one = ["--dry-run", "--class", "invalid_json"];
    let (plan, _) = fixture.dlq("redrive", &of_one, 0);
    assert_eq!(plan["plan"]["records"], 1, "{plan}");
}

#[tokio::test]
async fn a_redrive_is_verified_later_by_its_marks_in_whatever_topic_they_are() {
    let fixture = Fixture::new("dlq-verify").await;
    let (_, told) = fixture.dlq("verify", &["t.redrive.2"], 2);
    let expected = "nothing in dead, bad says that a redrive t.redrive.2 has settled a letter";
    assert!(told.contains(expected), "{told}");
    // The record is known; the index is away.
    for run in ["t.redrive.1", "t.redrive.3"] {
        let (answer, told) = fixture.dlq("verify", &[run], 4);
        assert_eq!(answer, Value::Null);
        assert!(told.contains("127.0.0.1:9"), "{told}");
    }
}

/// A member of what `list` says while a topic cannot be read.
fn list_of(fixture: &Fixture, name: &str) -> Value {
    let (list, _) = fixture.dlq("list", &[], 4);
    list[name].clone()
}

#[tokio::test]
async fn a_topic_that_cannot_be_read_does_not_keep_the_others_from_being_read() {
    let fixture = Fixture::new("dlq-unread").await;
    let file = std::fs::read_to_string(&fixture.file).expect("it is there");
    let write = |file: String| std::fs::write(&fixture.file, file).expect("it can be written");
    write(file.replace("topic: bad,", "topic: missing,"));
    let (stats, told) = fixture.dlq("stats", &[], 4);
    assert_eq!(
        (&stats["letters"], &stats["resolved"]),
        (&2.into(), &1.into())
    );
    let names = |name: &str| (stats[name].clone(), list_of(&fixture, name));
    let [dead, missing] = ["dead", "missing"].map(|name| Value::from(vec![name]));
    assert_eq!(names("read"), (dead.clone(), dead));
    assert_eq!(names("failed"), (missing.clone(), missing));
    let unread = stats["unread"].to_string();
    assert!(
        unread.contains("the letters of the topic missing"),
        "{unread}"
    );
    assert!(
        told.contains("not read: the letters of the topic missing"),
        "{told}"
    );
    assert_eq!(list_of(&fixture, "unread"), stats["unread"]);
    assert!(told.contains("so these are not all"), "{told}");
    // What is nowhere else may be there.
    let none = ["--bolt", "index"];
    let (stats, _) = fixture.dlq("stats", &none, 4);
    assert_eq!(
        (&stats["letters"], &stats["resolved"]),
        (&Value::Null, &Value::Null)
    );
    let (list, _) = fixture.dlq("list", &none, 4);
    assert_eq!(list["letters"], Value::Null);
    let (letter, _) = fixture.dlq("show", &["--letter", "0:0"], 0);
    assert_eq!(letter["record"], "logs/0@1");
    let (_, told) = fixture.dlq("show", &["--letter", "missing/0@0"], 4);
    let expected =
        "the letter missing/0@0 was not found, and of dead, missing could not be read: missing";
    assert!(told.contains(expected), "{told}");
    // What must know of all of them is refused.
    let (_, told) = fixture.dlq("redrive", &["--dry-run"], 2);
    assert!(told.contains("the letters of the topic missing"), "{told}");
    let (_, told) = fixture.dlq("verify", &["t.redrive.1"], 2);
    assert!(told.contains("the letters of the topic missing"), "{told}");
    write(
        file.replace("topic: bad,", "topic: missing,")
            .replace("topic: dead}", "topic: gone}"),
    );
    for command in ["stats", "list"] {
        let (_, told) = fixture.dlq(command, &[], 4);
        assert!(told.contains("the letters of the topic gone"), "{told}");
    }
}

#[tokio::test]
async fn a_redrive_says_that_it_may_be_less_where_letters_are_on_other_hosts() {
    let fixture = Fixture::new("dlq-elsewhere").await;
    let file = std::fs::read_to_string(&fixture.file).expect("it is there");
    let bad = "bad: {type: kafka, connection: kafka, topic: bad, inputs: [parse.rejected]}";
    let elsewhere = "bad: {type: file, path: bad.ndjson, inputs: [parse.rejected]}";
    std::fs::write(&fixture.file, file.replace(bad, elsewhere)).expect("it can be written");
    let of_one = ["--dry-run", "--class", "invalid_json"];
    let (plan, told) = fixture.dlq("redrive", &of_one, 0);
    assert_eq!(plan["plan"]["records"], 1, "{plan}");
    assert!(told.contains("bad.ndjson is not on this host"), "{told}");
}

#[tokio::test]
async fn a_redrive_takes_no_letters_of_another_spout_of_a_topic_of_that_name() {
    let fixture = Fixture::new("dlq-spouts").await;
    let file = std::fs::read_to_string(&fixture.file).expect("it is there");
    let other =
        "  other: {type: kafka, connection: kafka, topics: [logs], group: g, start: earliest}\n";
    let again = "  again: {type: parse_json, inputs: [other]}\n";
    let file = file
        .replace("bolts:\n", &format!("{other}bolts:\n{again}"))
        .replace("inputs: [parse], index", "inputs: [parse, again], index");
    std::fs::write(&fixture.file, file).expect("it can be written");
    let of_one = ["--dry-run", "--class", "invalid_json"];
    let plan = |spout: &str, code: i32| {
        let options = [&of_one[..], &["--spout", spout]].concat();
        let (plan, _) = fixture.dlq("redrive", &options, code);
        let plan = &plan["plan"];
        let left_out = &plan["left_out"]["letters_of_others"];
        (plan["records"].clone(), left_out.clone())
    };
    assert_eq!(plan("other", 0), (0.into(), 1.into()));
    // No topic of that name has this source by now, and only this spout leads to the bolt.
    assert_eq!(plan("logs", 0), (1.into(), 0.into()));
}

#[tokio::test]
async fn a_replay_or_redrive_from_the_embedded_brokers_of_another_process_is_refused_at_once() {
    let fixture = Fixture::new("embedded-replay").await;
    let brokers = fixture.kafka.brokers();
    let expected = format!("the brokers {brokers} are embedded in a process: ");
    let range = ["--from", "earliest", "--to", "now", "--target", "missing"];
    for (command, options) in [
        (["replay", "plan"], &range[..]),
        (["dlq", "redrive"], &["--yes"]),
    ] {
        let mut isobar = built_program();
        let isobar = isobar.args(command).arg(&fixture.file).args(options);
        let done = isobar.output().expect("it starts");
        let told = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{told}");
        assert!(told.starts_with(&expected), "{told}");
    }
}
