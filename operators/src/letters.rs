//! The dead letters of a topology, read back from the topic that they are in.

use std::time::Duration;

use isobar_topology::spec::{Problems, Spec, parse_config};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::bolts::KafkaConfig;
use crate::connections::kafka_of;
use crate::dead_letter::{Letter, NotALetter};
use crate::kafka::connection::KafkaConnection;
use crate::kafka::error::Error;
use crate::kafka::read_topic;

/// The topic with the dead letters of a topology.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    connection: KafkaConnection,
    topic: String,
}

/// A record of that topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The partition of the dead-letter topic.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
    /// What it says of the record that was rejected; or why it is no letter.
    pub letter: Result<Letter, NotALetter>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value, or the first part of it in a cut letter.
    pub payload: Option<Vec<u8>>,
}

impl DeadLetters {
    /// Those of a topology file. `None` when its dead letters go to no Kafka topic of one name.
    ///
    /// Fails with what is wrong with the options.
    pub fn of(spec: &Spec) -> Result<Option<Self>, Problems> {
        let of_kind = spec.dead_letter.as_ref().filter(|one| one.kind == "kafka");
        let Some(component) = of_kind else {
            return Ok(None);
        };
        let config: KafkaConfig = parse_config(&component.config, &component.path)?;
        let connection = kafka_of(spec, &config.connection)?;
        let (Some(connection), false) = (connection, config.topic.contains("{{")) else {
            return Ok(None);
        };
        Ok(Some(Self {
            connection,
            topic: config.topic,
        }))
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Hands out everything that is in the topic now, those of each partition in order. Waits for the
    /// brokers; fails when nothing comes for `within`.
    pub fn read(&self, within: Duration, mut each: impl FnMut(Stored)) -> Result<(), Error> {
        read_topic(&self.connection, &self.topic, within, |record| {
            each(stored(record));
        })
    }
}

fn stored(record: &BorrowedMessage<'_>) -> Stored {
    let headers = record.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|header| (header.key.as_bytes(), header.value));
    Stored {
        partition: record.partition(),
        offset: record.offset(),
        letter: Letter::read(headers),
        key: record.key().map(<[u8]>::to_vec),
        payload: record.payload().map(<[u8]>::to_vec),
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::Node;
    use serde_json::{Value, json};

    use super::*;

    fn topic(dead_letter: Value) -> Option<String> {
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {"kafka": {"type": "kafka", "brokers": "localhost:1"}},
            "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": ["a"],
                "start": "earliest"}},
            "bolts": {"end": {"type": "blackhole", "inputs": ["in"]}},
            "dead_letter": dead_letter,
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        let letters = DeadLetters::of(&spec).expect("sound");
        letters.map(|letters| letters.topic().to_owned())
    }

    #[test]
    fn only_letters_in_one_topic_can_be_read_back() {
        let kafka = |topic: &str| json!({"type": "kafka", "connection": "kafka", "topic": topic});
        assert_eq!(topic(kafka("dead")), Some("dead".to_owned()));
        assert_eq!(topic(kafka("dead-{{ kafka.topic }}")), None);
        assert_eq!(topic(json!({"type": "file", "path": "dead"})), None);
    }
}
