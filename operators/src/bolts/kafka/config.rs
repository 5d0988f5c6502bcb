//! The options of the bolt.

use std::collections::BTreeMap;

use isobar_topology::spec::units::ByteSize;
use isobar_topology::spec::{Component, Input, Problem, Problems};
use isobar_topology::{LetterUse, Prepare};
use schemars::JsonSchema;
use serde::Deserialize;

use super::outgoing::{Form, Key, Topic};
use crate::kafka::connection::{Setting, settings};
use crate::kafka::{Compression, ProducerConfig, topic_name_problem};
use crate::template::Template;

/// Writes records to topics of a Kafka cluster.
///
/// A record is answered for when all in-sync replicas have it; the producer is idempotent, with one
/// request under way to each broker. While brokers or topics are missing, records wait, and the
/// health says what for. Headers and timestamp go along. A record that is larger than the client
/// (`message.max.bytes`, 1 MB by default) or the topic takes is rejected with the class `too_large`.
///
/// Rejected records that arrive here, in particular with this bolt as the topology's `dead_letter`,
/// become dead letters: the record as it was read, with headers that say why it was rejected and
/// where it comes from. Bolts that pass records on, such as `route`, may be between; a record that a
/// bolt has made a document of, such as another parser, is a record like any other. A letter that is
/// too large is cut: it has the first bytes of the value, and the value's length and SHA-256. A letter
/// is never dropped: what cannot be written waits.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// The cluster: a connection of type `kafka`.
    pub connection: String,
    /// The topic: a name, or a template such as `logs-{{ doc.team }}`. Topics are not created by
    /// this bolt.
    pub topic: String,
    /// What becomes the key: `original` (the key that the record was read with), `none`, or a
    /// template such as `{{ doc.host }}`. The key chooses the partition. Dead letters keep their own.
    /// Default original.
    #[serde(default = "original")]
    pub key: String,
    /// What becomes the value: `document` (as JSON, with everything that bolts have changed) or
    /// `payload` (the bytes that were read). Dead letters always have the payload. Default document.
    #[serde(default)]
    pub value: ValueOf,
    /// Whether the record's headers go along: `original` or `none`. Default original.
    #[serde(default)]
    pub headers: HeadersOf,
    /// How batches of records are compressed: `none`, `zstd`, `lz4`, `snappy` or `gzip`. Default none.
    #[serde(default)]
    pub compression: Compression,
    /// Bytes of records that wait for the brokers at most, over all lanes; at this bound the bolt
    /// waits. From 1MiB to 1GiB. Default 8MiB.
    #[serde(default = "queue_size")]
    pub queue_size: ByteSize,
    /// Settings of librdkafka for this bolt, on top of those of the connection, such as
    /// `{linger.ms: 20, message.max.bytes: 5000000}`. Settings that Isobar owns are refused with the
    /// option to use.
    #[serde(default, deserialize_with = "settings")]
    #[schemars(with = "BTreeMap<String, Setting>")]
    pub options: BTreeMap<String, String>,
}

/// What becomes the value of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueOf {
    /// The document.
    #[default]
    Document,
    /// The bytes that were read.
    Payload,
}

/// What becomes of a record's headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeadersOf {
    /// They go along.
    #[default]
    Original,
    /// They stay behind.
    None,
}

fn original() -> String {
    "original".to_owned()
}

fn queue_size() -> ByteSize {
    ByteSize::bytes(ProducerConfig::QUEUE_SIZE)
}

impl KafkaConfig {
    /// What is written of a record.
    pub(super) fn form(
        &self,
        component: &Component,
        prepare: &mut Prepare<'_>,
    ) -> Result<Form, Problems> {
        let mut problems = Problems::default();
        let topic = problems.take(self.topic(component, prepare).map_err(Problems::from));
        let key = problems.take(self.key(component, prepare).map_err(Problems::from));
        let (Some(topic), Some(key)) = (topic, key) else {
            return Err(problems);
        };
        Ok(Form {
            topic,
            key,
            document: self.value == ValueOf::Document,
            headers: self.headers == HeadersOf::Original,
        })
    }

    fn topic(&self, component: &Component, prepare: &mut Prepare<'_>) -> Result<Topic, Problem> {
        let path = component.path.key("topic");
        let template = Template::compile(&self.topic, &path, prepare)?;
        let Some(name) = template.constant() else {
            return Ok(Topic::Template(template));
        };
        match topic_name_problem(name) {
            None => Ok(Topic::Constant(name.to_owned())),
            Some(problem) => Err(Problem::new(path, problem).at(place(component, "topic"))),
        }
    }

    /// Whether dead letters can be written: they have no document that could name their topic.
    pub(super) fn letters(&self, component: &Component, form: &Form) -> LetterUse {
        let Topic::Template(template) = &form.topic else {
            return LetterUse::Writes;
        };
        let mut names = template.names();
        let Some(name) = names.find(|name| name.starts_with("doc.")) else {
            return LetterUse::Writes;
        };
        let message = format!(
            "dead letters come to `{}`, and none has a topic: they have no document, and so no {name}",
            component.id
        );
        let problem = Problem::new(component.path.key("topic"), message)
            .expected("a name, a template of what every record has, such as kafka.topic, or another bolt for the dead letters")
            .at(place(component, "topic"));
        LetterUse::Cannot(problem)
    }

    fn key(&self, component: &Component, prepare: &mut Prepare<'_>) -> Result<Key, Problem> {
        let path = component.path.key("key");
        match self.key.as_str() {
            "original" => return Ok(Key::Original),
            "none" => return Ok(Key::None),
            _ => {}
        }
        let template = Template::compile(&self.key, &path, prepare)?;
        match template.constant() {
            None => Ok(Key::Template(template)),
            Some(_) => Err(Problem::new(path, "every record would have the same key")
                .expected("original, none, or a template such as {{ doc.host }}")
                .near(&self.key, ["original", "none"])
                .at(place(component, "key"))),
        }
    }

    pub(super) fn facts(
        &self,
        component: &Component,
        producer: &ProducerConfig,
    ) -> Vec<(String, String)> {
        // The topology's dead letter has no inputs of its own.
        let is_rejected = |input: &Input| input.from.stream.as_deref() == Some("rejected");
        let letters = component.inputs.is_empty() || component.inputs.iter().any(is_rejected);
        let others = !component.inputs.iter().all(is_rejected);
        let value = match self.value {
            ValueOf::Document => "document",
            ValueOf::Payload => "payload",
        };
        let mut facts = vec![
            ("connection", self.connection.clone()),
            ("brokers", producer.connection.brokers.join(", ")),
            ("topic", self.topic.clone()),
        ];
        if others {
            facts.push(("key", self.key.clone()));
            facts.push(("value", value.to_owned()));
        }
        if letters {
            facts.push((
                "dead letters",
                "key and payload as they were read".to_owned(),
            ));
        }
        facts.extend([
            ("answered", "by all in-sync replicas".to_owned()),
            ("waiting for brokers at most", self.queue_size.to_string()),
            (
                "repeated",
                "a record may be written again after an error".to_owned(),
            ),
        ]);
        facts
            .into_iter()
            .map(|(what, value)| (what.to_owned(), value))
            .collect()
    }
}

fn place(component: &Component, option: &str) -> isobar_topology::spec::Place {
    component
        .config
        .get(option)
        .map_or(component.place, |node| node.place)
}
