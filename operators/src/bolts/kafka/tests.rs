//! The bolt against librdkafka's stand-in cluster, which speaks the real protocol: what is written, and
//! what becomes of records that brokers refuse.

use std::path::Path;
use std::time::Duration;

use isobar_topology::Stream;
use isobar_topology::testing::{Fate, Input, PreparedForTest};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message as _, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::*;
use crate::dead_letter::Letter;

struct Fixture {
    cluster: MockCluster<'static, DefaultProducerContext>,
    test: PreparedForTest,
    bolt: AnyBolt,
}

impl Fixture {
    async fn new(options: Value) -> Self {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        for topic in ["out", "out-a"] {
            cluster.create_topic(topic, 1, 1).expect("created");
        }
        let connections = json!({"kafka": {
            "type": "kafka", "brokers": cluster.bootstrap_servers(),
            "options": {"linger.ms": 5, "retry.backoff.ms": 10},
        }});
        let mut all = json!({"connection": "kafka", "topic": "out"});
        let given = options.as_object().expect("a mapping").clone();
        all.as_object_mut().expect("a mapping").extend(given);
        let test = PreparedForTest::with_connections(&TYPE, &all, &connections, Path::new("."));
        let test = test.expect("the options are sound");
        let mut bolt = test.make();
        bolt.open().await.expect("a producer");
        Self {
            cluster,
            test,
            bolt,
        }
    }

    /// Gives a batch to the bolt and waits for the answers.
    async fn process(&mut self, batch: Batch) -> Vec<Fate> {
        let mut out = self.test.harness.emitter();
        self.bolt
            .process(batch, &mut out)
            .await
            .expect("it is taken");
        let emitted = self.test.harness.emitted(out).await;
        assert!(emitted.iter().all(|one| one.stream == Stream::REJECTED));
        self.test.harness.fates().expect("everything is answered")
    }

    async fn run(&mut self, inputs: &[Input]) -> Vec<Fate> {
        let batch = self.test.harness.batch(inputs);
        self.process(batch).await
    }

    /// The first records of a topic.
    fn read(&self, topic: &str, count: usize) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", "test")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning)
            .expect("sound");
        consumer.assign(&list).expect("assigned");
        let read = (0..count).map(|_| {
            let record = consumer
                .poll(Duration::from_secs(20))
                .expect("it comes in time");
            record.expect("a record").detach()
        });
        read.collect()
    }

    fn conditions(&self) -> Vec<String> {
        let conditions = self.test.health.conditions();
        conditions.into_iter().map(|one| one.text).collect()
    }
}

fn headers(record: &OwnedMessage) -> Vec<(&[u8], Option<&[u8]>)> {
    let headers = record
        .headers()
        .map(|headers| headers.iter().collect())
        .unwrap_or_default();
    let headers: Vec<rdkafka::message::Header<'_, &[u8]>> = headers;
    headers
        .into_iter()
        .map(|header| (header.key.as_bytes(), header.value))
        .collect()
}

fn rejection() -> Rejection {
    let mut rejection = Rejection::new("mapping", "no number");
    rejection.bolt = "index".into();
    rejection
}

#[tokio::test]
async fn documents_go_to_their_topics_with_keys_headers_and_times() {
    let mut fixture = Fixture::new(json!({
        "topic": "out{{ doc.to }}", "key": "{{ doc.k }}", "compression": "zstd",
    }))
    .await;
    let input = |text: &str| Input {
        headers: vec![("h".to_owned(), b"v".to_vec())],
        key: Some(b"original".to_vec()),
        ..Input::document(text)
    };
    let fates = fixture
        .run(&[
            input(r#"{"to": "", "k": 1}"#),
            input(r#"{"to": "-a", "k": "two"}"#),
            input(r#"{"to": ""}"#),
            input(r#"{"to": " bad", "k": 4}"#),
            input(r#"{"to": "", "k": null, "x": 5}"#),
        ])
        .await;
    use Fate::{DeadLettered, Delivered};
    assert_eq!(
        fates,
        [
            Delivered,
            Delivered,
            DeadLettered,
            DeadLettered,
            DeadLettered
        ]
    );
    let record = fixture.read("out", 1).remove(0);
    assert_eq!(record.payload(), Some(&br#"{"to": "", "k": 1}"#[..]));
    assert_eq!(record.key(), Some(&b"1"[..]));
    assert_eq!(headers(&record), [(&b"h"[..], Some(&b"v"[..]))]);
    assert_eq!(record.timestamp().to_millis(), Some(1_700_000_000_000));
    assert_eq!(fixture.read("out-a", 1)[0].key(), Some(&b"two"[..]));
}

#[tokio::test]
async fn payloads_go_as_they_were_read_and_tombstones_stay_tombstones() {
    let mut fixture = Fixture::new(json!({"value": "payload", "headers": "none"})).await;
    let fates = fixture
        .run(&[
            Input {
                key: Some(b"k".to_vec()),
                headers: vec![("h".to_owned(), b"v".to_vec())],
                ..Input::raw(b"\xFF\x00")
            },
            Input::default(),
        ])
        .await;
    assert_eq!(fates, [Fate::Delivered; 2]);
    let records = fixture.read("out", 2);
    let plain = records
        .iter()
        .find(|record| record.key().is_some())
        .expect("one has a key");
    assert_eq!(
        (plain.payload(), headers(plain)),
        (Some(&b"\xFF\x00"[..]), vec![])
    );
    let tombstone = records
        .iter()
        .find(|record| record.key().is_none())
        .expect("one has none");
    assert_eq!(tombstone.payload(), None);
}

#[tokio::test]
async fn rejected_records_become_dead_letters() {
    let mut fixture = Fixture::new(json!({})).await;
    let inputs = [Input::raw("not json"), Input::default()];
    let batch = fixture.test.harness.letters(&inputs, &rejection());
    assert_eq!(fixture.process(batch).await, [Fate::DeadLettered; 2]);
    let mut offsets = Vec::new();
    for record in fixture.read("out", 2) {
        let letter = Letter::read(headers(&record)).expect("a letter");
        assert_eq!(
            (letter.topology.as_str(), letter.bolt.as_str()),
            ("test", "index")
        );
        let payload = [Some(&b"not json"[..]), None][letter.origin.offset as usize];
        assert_eq!(record.payload(), payload);
        assert_ne!(record.timestamp().to_millis(), Some(1_700_000_000_000));
        offsets.push(letter.origin.offset);
    }
    offsets.sort_unstable();
    assert_eq!(offsets, [0, 1]);
}

#[tokio::test]
async fn what_is_too_large_is_rejected_and_its_letter_is_cut() {
    let mut fixture = Fixture::new(json!({"value": "payload"})).await;
    let large = Input::raw(vec![b'x'; 2_000_000]);
    let fates = fixture
        .run(&[Input::raw("a"), large.clone(), Input::raw("b")])
        .await;
    use Fate::{DeadLettered, Delivered};
    assert_eq!(fates, [Delivered, DeadLettered, Delivered]);

    let batch = fixture
        .test
        .harness
        .letters(&[Input::raw("c"), large], &rejection());
    assert_eq!(fixture.process(batch).await, [DeadLettered; 2]);
    let records = fixture.read("out", 4);
    let cut = records
        .iter()
        .find(|record| record.payload().map_or(0, <[u8]>::len) > 1)
        .expect("the large one");
    assert_eq!(cut.payload().map_or(0, <[u8]>::len), 16 << 10);
    let letter = Letter::read(headers(cut)).expect("a letter");
    assert_eq!(letter.cut.expect("it was cut").payload_bytes, 2_000_000);
    let (name, _, count) = fixture.test.counters.values()[0];
    assert_eq!((name, count), ("letters_cut", 1));
    assert_eq!(fixture.conditions(), Vec::<String>::new());
}

#[tokio::test]
async fn a_batch_that_is_too_large_for_the_broker_is_sent_record_by_record() {
    let mut fixture = Fixture::new(json!({"value": "payload"})).await;
    fixture.cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
    );
    let inputs: Vec<Input> = (0..20).map(|n| Input::raw(n.to_string())).collect();
    assert_eq!(fixture.run(&inputs).await, [Fate::Delivered; 20]);
    assert_eq!(fixture.read("out", 20).len(), 20);

    // Refused whole, alone, with a part of its value; at last with none of it.
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 3];
    fixture
        .cluster
        .request_errors(RDKafkaApiKey::Produce, &refused);
    let batch = fixture
        .test
        .harness
        .letters(&[Input::raw("a letter")], &rejection());
    assert_eq!(fixture.process(batch).await, [Fate::DeadLettered]);
    let last = fixture.read("out", 21).pop().expect("the letter");
    assert_eq!(last.payload(), Some(&b""[..]));
}

/// A broker that has no state of a producer takes any first sequence: what comes after a refused request tells
/// nothing of it, whatever librdkafka concludes.
#[tokio::test]
async fn the_first_request_is_not_taken_for_written_because_the_second_one_is() {
    let mut fixture = Fixture::new(json!({
        "value": "payload", "options": {"batch.num.messages": 1, "linger.ms": 0},
    }))
    .await;
    fixture.cluster.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION],
    );
    let inputs: Vec<Input> = (0..20).map(|n| Input::raw(n.to_string())).collect();
    assert_eq!(fixture.run(&inputs).await, [Fate::Delivered; 20]);
    let written = fixture.read("out", 20);
    let written: Vec<&[u8]> = written.iter().filter_map(|one| one.payload()).collect();
    let sent: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(
        written,
        sent.iter().map(String::as_bytes).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn failures_of_the_cluster_make_records_wait_and_are_said() {
    let mut fixture = Fixture::new(json!({"value": "payload"})).await;
    let denied = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION];
    for letters in [false, true] {
        fixture
            .cluster
            .request_errors(RDKafkaApiKey::Produce, &denied);
        let batch = match letters {
            false => fixture.test.harness.batch(&[Input::raw("a")]),
            true => fixture
                .test
                .harness
                .letters(&[Input::raw("a")], &rejection()),
        };
        assert_eq!(fixture.process(batch).await, [Fate::Failed]);
        let said = fixture.conditions();
        assert!(
            said.iter().any(|text| text.contains("topic out: ")),
            "{said:?}"
        );
        let fates = fixture.run(&[Input::raw("b")]).await;
        assert_eq!(fates, [Fate::Delivered], "{:?}", fixture.conditions());
        assert_eq!(fixture.conditions(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_bolt_that_got_over_a_fatal_error_is_well_again() {
    let mut fixture = Fixture::new(json!({"value": "payload"})).await;
    // An idempotent producer that may not get an id is of no more use.
    let denied = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED];
    fixture
        .cluster
        .request_errors(RDKafkaApiKey::InitProducerId, &denied);
    assert_eq!(fixture.run(&[Input::raw("a")]).await, [Fate::Failed]);
    let said = fixture.conditions();
    assert!(
        said.iter()
            .any(|text| text.contains("Cluster authorization failed")),
        "{said:?}"
    );
    // The new client is made a while later: until then the old one takes nothing.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while fixture.run(&[Input::raw("b")]).await == [Fate::Failed] {
        assert!(tokio::time::Instant::now() < deadline, "it gets over it");
    }
    assert_eq!(fixture.conditions(), Vec::<String>::new());
    assert_eq!(fixture.read("out", 1)[0].payload(), Some(&b"b"[..]));
}

#[tokio::test]
async fn what_was_rejected_is_a_dead_letter_until_a_bolt_makes_a_document_of_it() {
    let mut fixture = Fixture::new(json!({})).await;
    let inputs = [Input::raw("a=1"), Input::raw("a=2")];
    let mut batch = fixture.test.harness.letters(&inputs, &rejection());
    let mended = batch.record_mut(0).adopt_object(br#"{"a":"1"}"#);
    mended.expect("an object");
    let _ = fixture.process(batch).await;
    let written = fixture.read("out", 2);
    let values: Vec<Option<&[u8]>> = written.iter().map(|one| one.payload()).collect();
    assert_eq!(values, [Some(&br#"{"a":"1"}"#[..]), Some(b"a=2")]);
    let is_letter = |one: &OwnedMessage| Letter::read(headers(one).into_iter()).is_ok();
    assert_eq!(
        [0, 1].map(|at: usize| is_letter(&written[at])),
        [false, true]
    );
}

#[tokio::test(start_paused = true)]
async fn a_letter_whose_topic_cannot_be_told_waits_and_says_so() {
    let mut fixture = Fixture::new(json!({"topic": "out{{ doc.to }}"})).await;
    let letters = [Input::raw("no document")];
    let batch = fixture.test.harness.letters(&letters, &rejection());
    assert_eq!(fixture.process(batch).await, [Fate::Failed]);
    let expected = "a dead letter waits, and nothing behind it is committed: that of topic/3@0 has no topic: topic: {{ doc.to }}: ";
    let said = fixture.conditions();
    assert!(said.len() == 1 && said[0].starts_with(expected), "{said:?}");

    // It comes again, or is gone with its partition.
    tokio::time::advance(COMES_AGAIN - Duration::from_secs(1)).await;
    let mut out = fixture.test.harness.emitter();
    fixture.bolt.flush(&mut out).await.expect("nothing to do");
    assert_eq!(fixture.conditions().len(), 1);
    assert!(fixture.bolt.deadline().is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    fixture.bolt.flush(&mut out).await.expect("nothing to do");
    assert_eq!(fixture.conditions(), Vec::<String>::new());
    assert_eq!(fixture.bolt.deadline(), None);
}

#[test]
fn topics_that_no_dead_letter_has_are_refused_where_some_come() {
    let problems = |topic: &str, inputs: Value| {
        let sink =
            json!({"type": "kafka", "connection": "kafka", "topic": topic, "inputs": inputs});
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {"kafka": {"type": "kafka", "brokers": "localhost:1"}},
            "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": "in", "start": "earliest"}},
            "bolts": {
                "parse": {"type": "parse_json", "inputs": ["in"]},
                "end": {"type": "blackhole", "inputs": ["parse"]},
                "known": {"type": "filter", "inputs": ["parse.rejected"], "keep_when": "true"},
                "rest": {"type": "blackhole", "inputs": ["known"]},
                "sink": sink,
            },
            "dead_letter": {"type": "file", "path": "dead"},
        });
        let spec =
            isobar_topology::spec::Spec::read(&isobar_topology::spec::Node::from_json(&file));
        let spec = spec.expect("sound");
        let plan = isobar_topology::plan(&spec, &crate::registry(), 1, Path::new("."));
        plan.map(|_| ()).err().map(|problems| problems.to_string())
    };
    let template = "out-{{ doc.team }}";
    for input in ["parse.rejected", "known"] {
        let problem = problems(template, json!([input])).expect("refused");
        let expected = "bolts.sink.topic: dead letters come to `sink`, and none has a topic: they have no document, and so no doc.team; expected a name, ";
        assert!(problem.starts_with(expected), "{problem}");
    }
    assert_eq!(problems(template, json!(["parse"])), None);
    assert_eq!(problems("out-{{ kafka.topic }}", json!(["known"])), None);
}

#[test]
fn a_plan_says_what_dead_letters_are() {
    let kafka = |topic: &str, inputs: Value| {
        let inputs = inputs.as_array().cloned();
        let mut bolt = json!({"type": "kafka", "connection": "kafka", "topic": topic});
        if let Some(inputs) = inputs {
            bolt["inputs"] = inputs.into();
        }
        bolt
    };
    let file = json!({
        "isobar": 1, "name": "logs",
        "connections": {"kafka": {"type": "kafka", "brokers": "localhost:1"}},
        "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": "in", "start": "earliest"}},
        "bolts": {
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "out": kafka("out", json!(["parse"])),
            "bad": kafka("bad", json!(["parse.rejected"])),
        },
        "dead_letter": kafka("dead", Value::Null),
    });
    let spec = isobar_topology::spec::Spec::read(&isobar_topology::spec::Node::from_json(&file));
    let spec = spec.expect("sound");
    let plan = isobar_topology::plan(&spec, &crate::registry(), 1, Path::new("."));
    let plan = plan.expect("sound");
    for (id, expected) in [
        ("out", &["key", "value"][..]),
        ("bad", &["dead letters"]),
        ("dead_letter", &["dead letters"]),
    ] {
        let mut nodes = plan.report.nodes.iter();
        let node = nodes.find(|node| node.id == id).expect(id);
        let facts = node.facts.iter().map(|(what, _)| what.as_str());
        let facts = facts.filter(|what| ["key", "value", "dead letters"].contains(what));
        assert_eq!(facts.collect::<Vec<_>>(), expected, "{id}");
    }
}

#[test]
fn options_that_cannot_work_are_found_before_anything_starts() {
    let connections = json!({"kafka": {"type": "kafka", "brokers": "localhost:1"}});
    let check = |options: Value, expected: &[&str]| {
        let test = PreparedForTest::with_connections(&TYPE, &options, &connections, Path::new("."));
        let problems = test.map(|_| ()).expect_err("it cannot work").to_string();
        assert_eq!(problems.lines().count(), expected.len(), "{problems}");
        for (line, part) in problems.lines().zip(expected) {
            assert!(line.contains(part), "{line}");
        }
    };
    check(
        json!({"connection": "kafka", "topic": "a b", "key": "orignal", "options": {"acks": "1"}}),
        &[
            "every record would have the same key",
            "acks is set by Isobar",
            "contains ' '",
        ],
    );
    check(
        json!({"connection": "kafk", "topic": "{{ doc. }}"}),
        &[
            "topic: at character 8 of the text",
            "unknown connection `kafk`",
        ],
    );
    check(json!({"connection": "kafka"}), &["topic"]);
    check(
        json!({"connection": "kafka", "topic": "a", "queue_size": "1KiB"}),
        &["bolts.bolt.queue_size: 1KiB is out of range; expected from 1MiB to 1GiB"],
    );
    check(
        json!({"connection": "kafka", "topic": "a", "options": {"linger.ms": 100, "message.timeout.ms": 10}}),
        &["bolts.bolt.options: "],
    );
}
