//! The Kafka sink against a real broker: what all replicas have, what is too large, dead letters whose
//! topic is missing.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use isobar_operators::dead_letter::Letter;
use isobar_operators::registry;
use isobar_topology::spec::{Node, Spec};
use isobar_topology::{Account, Running, plan, start};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use testkit::services::Kafka;
use testkit::services::kafka::Sent;
use testkit::{records, wait};

const LIMIT: Duration = Duration::from_secs(60);

/// A topology from topic `in` through `parse_json` to topic `out`, with dead letters in `dead`.
fn topology(kafka: &Kafka, sink: Value, bounded: bool) -> Running {
    let mut out = json!({
        "type": "kafka", "connection": "kafka", "inputs": ["parse"], "topic": "out",
        "key": "{{ doc.number }}",
    });
    let usual = out.as_object_mut().expect("a mapping");
    usual.extend(sink.as_object().expect("a mapping").clone());
    let file = json!({
        "isobar": 1, "name": "copy",
        "connections": {"kafka": {"type": "kafka", "brokers": kafka.brokers(),
            "options": {"broker.address.family": "v4", "reconnect.backoff.max.ms": 200}}},
        "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": ["in"], "start": "earliest"}},
        "bolts": {
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "out": out,
        },
        "dead_letter": {"type": "kafka", "connection": "kafka", "topic": "dead"},
        "settings": {"lanes": 2},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("the file is sound");
    let planned = plan(&spec, &registry(), 2, Path::new(".")).expect("the plan is sound");
    start(planned.graph, bounded).expect("it starts")
}

fn finish(running: &Running) -> Account {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let finished = running.finished();
    let limited = async { tokio::time::timeout(LIMIT, finished).await };
    let finish = runtime.expect("a runtime").block_on(limited);
    let account = running.account(0);
    assert!(
        finish.is_ok(),
        "{account:?} {:?}",
        running.health().conditions()
    );
    assert_eq!(account.difference(), 0);
    account
}

fn conditions(running: &Running) -> Vec<String> {
    let conditions = running.health().conditions();
    conditions
        .iter()
        .map(|one| format!("{}: {}", one.component, one.text))
        .collect()
}

/// Reads `count` dead letters of one partition.
fn letters(kafka: &Kafka, count: usize) -> Vec<(Letter, Option<Vec<u8>>)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("broker.address.family", "v4")
        .set("group.id", "letters")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("dead", 0, Offset::Beginning)
        .expect("sound");
    consumer.assign(&list).expect("assigned");
    let read = |record: &BorrowedMessage<'_>| {
        let headers = record.headers().expect("a letter has headers");
        let headers = headers
            .iter()
            .map(|header| (header.key.as_bytes(), header.value));
        let letter = Letter::read(headers).expect("a letter");
        (letter, record.payload().map(<[u8]>::to_vec))
    };
    let letters = (0..count).map(|_| {
        let record = consumer.poll(LIMIT).expect("it comes in time");
        read(&record.expect("a record"))
    });
    letters.collect()
}

fn sent(value: impl Into<Vec<u8>>) -> Sent {
    Sent {
        partition: Some(0),
        value: Some(value.into()),
        ..Sent::default()
    }
}

#[test]
fn every_record_is_copied_and_what_cannot_be_becomes_a_dead_letter() {
    let kafka = Kafka::start().expect("Kafka starts");
    let large = [("max.message.bytes", "30000000")];
    kafka.create_topic("in", 2, &large).expect("created");
    kafka.create_topic("out", 3, &[]).expect("created");
    kafka
        .create_topic("dead", 1, &[("max.message.bytes", "100000")])
        .expect("created");
    kafka
        .produce_json("in", 2, 0..50_000)
        .expect("acknowledged");
    let mut huge = br#"{"number": 1, "text": ""#.to_vec();
    huge.resize(5_000_000, b'x');
    huge.extend_from_slice(br#""}"#);
    let mut wrong = vec![b'-'; 20_000_000];
    wrong[19_999_999] = b'!';
    let odd = ["not json", "", "{}", r#"{"number": null}"#].map(sent);
    kafka.produce("in", odd).expect("acknowledged");
    kafka
        .produce("in", [sent(huge), sent(wrong)])
        .expect("acknowledged");

    let account = finish(&topology(&kafka, json!({"compression": "zstd"}), true));
    assert_eq!((account.delivered, account.dead_lettered), (50_000, 6));
    let mut copied: Vec<Vec<u8>> = kafka
        .consume_all("out", LIMIT)
        .expect("read")
        .into_iter()
        .map(|record| record.value.expect("a value"))
        .collect();
    copied.sort_unstable();
    let mut expected: Vec<Vec<u8>> = (0..50_000).map(records::json).collect();
    expected.sort_unstable();
    assert!(copied == expected, "{} records", copied.len());

    let letters = letters(&kafka, 6);
    let of_class = |class: &str| -> Vec<&(Letter, Option<Vec<u8>>)> {
        let letters = letters.iter();
        letters
            .filter(|(letter, _)| letter.class == class)
            .collect()
    };
    assert_eq!(of_class("missing_field").len(), 2);
    assert_eq!(of_class("invalid_json").len(), 3);
    let (letter, payload) = of_class("too_large")[0];
    assert_eq!(
        (letter.bolt.as_str(), letter.target.as_deref()),
        ("out", Some("out"))
    );
    assert_eq!(
        letter.cut.as_ref().map(|cut| cut.payload_bytes),
        Some(5_000_002)
    );
    assert_eq!(payload.as_ref().map(Vec::len), Some(16 << 10));
    assert!(
        letters
            .iter()
            .all(|(letter, _)| letter.origin.topic == "in" && letter.topology == "copy")
    );
}

#[test]
fn a_topic_that_takes_little_gets_its_records_one_by_one() {
    let kafka = Kafka::start().expect("Kafka starts");
    kafka.create_topic("in", 1, &[]).expect("created");
    kafka
        .create_topic("out", 1, &[("max.message.bytes", "1000")])
        .expect("created");
    kafka
        .create_topic("dead", 1, &[("max.message.bytes", "1000")])
        .expect("created");
    kafka.produce_json("in", 1, 0..300).expect("acknowledged");
    kafka
        .produce(
            "in",
            (0..20).map(|n| sent(format!("{n} is no JSON object"))),
        )
        .expect("acknowledged");
    let account = finish(&topology(&kafka, json!({}), true));
    assert_eq!((account.delivered, account.dead_lettered), (300, 20));
    assert_eq!(kafka.consume_all("out", LIMIT).expect("read").len(), 300);
    assert_eq!(letters(&kafka, 20).len(), 20);
}

#[test]
fn dead_letters_wait_for_their_topic_and_brokers() {
    let mut kafka = Kafka::start().expect("Kafka starts");
    kafka.create_topic("in", 1, &[]).expect("created");
    kafka.create_topic("out", 1, &[]).expect("created");
    kafka
        .produce("in", [sent("no JSON"), sent(r#"{"number": 1}"#)])
        .expect("acknowledged");
    let running = topology(&kafka, json!({}), false);
    wait::until("the word", LIMIT, || {
        let said = conditions(&running);
        let told = said
            .iter()
            .any(|text| text.starts_with("dead_letter: ") && text.contains("topic dead"));
        ensure!(told, "{said:?} {:?}", running.account(0));
        Ok(())
    })
    .expect("it is said");
    let account = running.account(0);
    assert_eq!(
        (account.delivered, account.dead_lettered, account.in_flight),
        (1, 0, 1)
    );
    assert_eq!(kafka.committed("copy", "in").expect("answered"), [Some(0)]);

    kafka.create_topic("dead", 1, &[]).expect("created");
    wait::until("the letter", LIMIT, || {
        let account = running.account(0);
        ensure!(
            account.dead_lettered == 1,
            "{account:?} {:?}",
            conditions(&running)
        );
        ensure!(
            conditions(&running).is_empty(),
            "{:?}",
            conditions(&running)
        );
        Ok(())
    })
    .expect("it is written");

    // The broker goes, a record waits for it, and nothing is lost.
    kafka
        .produce("in", [sent("no JSON either")])
        .expect("acknowledged");
    kafka.restart().expect("it starts again");
    kafka
        .produce("in", [sent("nor this")])
        .expect("acknowledged");
    wait::until("the letters", LIMIT, || {
        let account = running.account(0);
        ensure!(
            account.dead_lettered == 3,
            "{account:?} {:?}",
            conditions(&running)
        );
        Ok(())
    })
    .expect("they are written");
    running.stop();
    let account = finish(&running);
    assert_eq!((account.delivered, account.dead_lettered), (1, 3));
    assert_eq!(kafka.committed("copy", "in").expect("answered"), [Some(4)]);
}
