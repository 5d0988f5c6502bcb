//! `isobar init` at a Kafka where others read already.

use std::time::Duration;

use isobar_operators::embedded::EmbeddedKafka;
use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::kafka::connection::KafkaConnection;
use isobar_operators::lag::Source;
use isobar_operators::offsets::{Change, Group};

use crate::support::built_program;

/// What a command printed and what it said besides.
fn isobar(kafka: &EmbeddedKafka, arguments: &[&str]) -> (String, String) {
    let mut isobar = built_program();
    let isobar = isobar.args(arguments).args(["--topic", "orders"]);
    let done = isobar.args(["--brokers", kafka.brokers()]).output();
    let done = done.expect("it starts");
    let [printed, told] =
        [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(done.status.code(), Some(0), "{told}");
    (printed, told)
}

/// Lets there be a group that has read some of the topic.
fn read_some(kafka: &EmbeddedKafka, group: &str) {
    let connection = KafkaConnection::plain(&[kafka.brokers().to_owned()]);
    let source = Source::of_group(connection, group, &["orders".to_owned()]);
    let group = Group::of(&source, Duration::from_secs(30)).expect("a client");
    let commit = (
        TopicPartition::new("orders", 0),
        Change::To(1, String::new()),
    );
    group.change(&[commit]).expect("nobody is a member");
}

#[test]
fn a_group_of_somebody_else_is_not_joined_without_a_word() {
    let kafka = EmbeddedKafka::start().expect("a port");
    kafka.create_topic("orders").expect("a topic");
    let _ = isobar(&kafka, &["generate", "--count", "100"]);
    let (file, told) = isobar(&kafka, &["init"]);
    assert!(
        file.contains("\n# Also the name of the consumer group.\nname: \"orders\"\n"),
        "{file}"
    );
    assert!(!told.contains("group"), "{told}");

    read_some(&kafka, "orders");
    let (file, told) = isobar(&kafka, &["init"]);
    for part in [
        "There is a group orders already, of another program.\nname: \"orders-isobar\"\n",
        "index: \"orders-isobar-{{ ",
        "path: orders-isobar.dead-letters.ndjson\n",
    ] {
        assert!(file.contains(part), "{part}: {file}");
    }
    let part = "isobar: there is a consumer group orders already, so this topology is named orders-isobar; --name";
    assert!(told.contains(part), "{told}");

    let (file, told) = isobar(&kafka, &["init", "--name", "orders"]);
    assert!(file.contains("group.\nname: \"orders\"\n"), "{file}");
    let part =
        "isobar: there is a consumer group orders already: `isobar run` shares its partitions";
    assert!(told.contains(part), "{told}");
}
