//! The dead letters of a topology, read back from the topics and files that they are in.

mod kept;

use std::time::Duration;

use isobar_topology::spec::{Component, Problems, Spec, parse_config};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::bolts::KafkaConfig;
use crate::connections::kafka_of;
use crate::dead_letter::{Letter, NotALetter, Resolution};
use crate::kafka::admin::Admin;
use crate::kafka::error::Error;
use crate::kafka::lag::{Brokers, Retention};
use crate::kafka::{ProducerConfig, read_topic};

pub use kept::{Kept, in_files, kept};

/// A topic with dead letters of a topology.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    /// The connection's name.
    connection: String,
    producer: ProducerConfig,
    topic: String,
    /// Of all topics with letters of the topology none other has it.
    name: String,
}

/// The partition of what is on a line of a file.
pub const IN_FILE: i32 = -1;

/// A record of that topic, or a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The partition of the dead-letter topic, or [`IN_FILE`].
    pub partition: i32,
    /// The offset there, or the number of the line from 1.
    pub offset: i64,
    /// What it is; or why nothing of ours.
    pub content: Result<Content, NotALetter>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value, or the first part of it in a cut letter.
    pub payload: Option<Vec<u8>>,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A record that was rejected, and what is said of it.
    Letter(Letter),
    /// Letters of one record are settled.
    Resolution(Resolution),
}

impl DeadLetters {
    /// Those of a topology file. `None` when its dead letters go to no Kafka topic of one name.
    ///
    /// Fails with what is wrong with the options.
    pub fn of(spec: &Spec) -> Result<Option<Self>, Problems> {
        let of_kind = spec.dead_letter.as_ref().filter(|one| one.kind == "kafka");
        match of_kind {
            Some(component) => Self::by(spec, component),
            None => Ok(None),
        }
    }

    /// Those that a bolt of type `kafka` writes.
    pub(crate) fn by(spec: &Spec, component: &Component) -> Result<Option<Self>, Problems> {
        let config: KafkaConfig = parse_config(&component.config, &component.path)?;
        let connection = kafka_of(spec, &config.connection)?;
        let (Some(connection), false) = (connection, config.topic.contains("{{")) else {
            return Ok(None);
        };
        Ok(Some(Self {
            connection: config.connection,
            producer: ProducerConfig {
                connection,
                compression: config.compression,
                queue_size: config.queue_size.get() as u64,
                options: config.options,
            },
            name: config.topic.clone(),
            topic: config.topic,
        }))
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The name that its letters are told with: the topic's, and behind that of its connection where another connection
    /// has letters in a topic of this name, too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Hands out everything that is in the topic now, those of each partition in order. Waits for the
    /// brokers; fails when nothing comes for `within`.
    pub fn read(&self, within: Duration, mut each: impl FnMut(Stored)) -> Result<(), Error> {
        self.read_records(within, |record| each(stored(record)))
    }

    /// The same, of the records themselves.
    pub(crate) fn read_records(
        &self,
        within: Duration,
        each: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), Error> {
        read_topic(&self.producer.connection, &self.topic, within, each)
    }

    /// When the topic deletes letters by age; `None` when it never does. Waits at most `within`; fails
    /// when the brokers do not say, for lack of a permission too.
    pub fn retention(&self, within: Duration) -> Result<Option<Duration>, Error> {
        let admin = Admin::new(&self.producer.connection, within)?;
        let settings = Brokers::settings(&admin, &[&self.topic])?;
        let settings = settings.get(&self.topic).copied().unwrap_or_default();
        match settings.retention {
            Retention::Never => Ok(None),
            Retention::After(ms) => Ok(Some(Duration::from_millis(ms.unsigned_abs()))),
            Retention::Unknown => Err(Error::Config(format!(
                "the configuration of topic {} cannot be seen",
                self.topic
            ))),
        }
    }

    /// How to write into the topic.
    pub(crate) fn producer(&self) -> &ProducerConfig {
        &self.producer
    }
}

fn stored(record: &BorrowedMessage<'_>) -> Stored {
    let content = match Resolution::read(headers(record)) {
        Some(resolution) => resolution.map(Content::Resolution),
        None => Letter::read(headers(record)).map(Content::Letter),
    };
    Stored {
        partition: record.partition(),
        offset: record.offset(),
        content,
        key: record.key().map(<[u8]>::to_vec),
        payload: record.payload().map(<[u8]>::to_vec),
    }
}

/// Names and values of a record's headers.
pub(crate) fn headers<'a>(
    record: &'a BorrowedMessage<'_>,
) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
    let headers = record.headers().into_iter().flat_map(Headers::iter);
    headers.map(|header| (header.key.as_bytes(), header.value))
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
