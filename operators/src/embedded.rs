//! Kafka and Elasticsearch inside of the process, for trying things out: `brokers: embedded` and
//! `hosts: [embedded]`. Both listen on real ports of the loopback address, so everything else reaches
//! them by the same code as real ones; no other module knows that they are here.

mod answers;
pub mod bulk;
mod documents;
pub mod encoding;
mod filter;
pub mod index_pattern;
mod kafka;
mod mapping;
mod query;
mod search;

use isobar_topology::OperatorError;
use isobar_topology::spec::{Component, Node, Problems, Spec, Value, parse_config};

use crate::elasticsearch::connection::ElasticsearchConnection;
use crate::kafka::connection::KafkaConnection;

pub use kafka::{EmbeddedKafka, LIMITS as KAFKA_LIMITS, PARTITION_BYTES_MAX, PARTITIONS};
pub use search::{BYTES_MAX, Counts, EmbeddedSearch};

/// The services that a topology file names, running. Dropping them ends them, and all that they hold
/// is gone.
#[derive(Default)]
pub struct Embedded {
    /// One cluster for all connections that name it.
    pub kafka: Option<EmbeddedKafka>,
    /// One index for all connections that name it.
    pub search: Option<EmbeddedSearch>,
}

impl Embedded {
    /// Starts what the file's connections name, and puts the addresses into the specification, which
    /// is then like that of real services: plan and run this one. The topics that spouts and bolts
    /// name are made. `None` where nothing embedded is named.
    ///
    /// Fails when a port or thread cannot be had, or an option of a connection cannot be read.
    pub fn start(spec: &mut Spec) -> Result<Option<Self>, OperatorError> {
        let mut services = Self::default();
        let topics = named_topics(spec);
        for connection in &mut spec.connections {
            match connection.kind.as_str() {
                "kafka" if is_embedded_kafka(connection)? => {
                    let kafka = match services.kafka.take() {
                        Some(kafka) => kafka,
                        None => EmbeddedKafka::start()?,
                    };
                    for (_, topic) in topics.iter().filter(|(of, _)| *of == connection.id) {
                        kafka.create_topic(topic)?;
                    }
                    replace(connection, "brokers", kafka.brokers());
                    services.kafka = Some(kafka);
                }
                "elasticsearch" if is_embedded_search(connection)? => {
                    let search = match services.search.take() {
                        Some(search) => search,
                        None => EmbeddedSearch::start(BYTES_MAX)?,
                    };
                    replace(connection, "hosts", &search.url());
                    services.search = Some(search);
                }
                _ => {}
            }
        }
        let any = services.kafka.is_some() || services.search.is_some();
        Ok(any.then_some(services))
    }
}

fn is_embedded_kafka(connection: &Component) -> Result<bool, OperatorError> {
    let read: Result<KafkaConnection, Problems> =
        parse_config(&connection.config, &connection.path);
    read.map(|read| read.is_embedded()).map_err(unsound)
}

fn is_embedded_search(connection: &Component) -> Result<bool, OperatorError> {
    let read = ElasticsearchConnection::read(connection);
    read.map(|read| read.is_embedded()).map_err(unsound)
}

fn unsound(problems: Problems) -> OperatorError {
    OperatorError::user(problems.to_string())
}

/// Connection and name of each topic that the file names: those of spouts, patterns aside, and those of
/// bolts, templates aside.
fn named_topics(spec: &Spec) -> Vec<(String, String)> {
    let all = spec
        .spouts
        .iter()
        .chain(&spec.bolts)
        .chain(&spec.dead_letter);
    let kafka = all.filter(|component| component.kind == "kafka");
    let each = kafka.flat_map(|component| {
        let connection = component.config.get("connection").and_then(Node::text);
        let several = component.config.get("topics").into_iter();
        let several = several.flat_map(|node| {
            let items = node.items().iter().filter_map(Node::text);
            node.text().into_iter().chain(items)
        });
        let one = component.config.get("topic").and_then(Node::text);
        let names = several.flat_map(|text| text.split(',')).chain(one);
        let names = names.map(str::trim).filter(|name| {
            let is_pattern = name.starts_with('^') || name.contains("{{");
            !name.is_empty() && !is_pattern
        });
        names.filter_map(move |name| Some((connection?.to_owned(), name.to_owned())))
    });
    each.collect()
}

/// Puts an address in the place of the word `embedded`. Encryption and login are for real services.
fn replace(connection: &mut Component, option: &str, address: &str) {
    let Value::Map(entries) = &mut connection.config.value else {
        return;
    };
    entries.retain(|entry| !matches!(entry.key.as_str(), "tls" | "sasl" | "auth"));
    if let Some(entry) = entries.iter_mut().find(|entry| entry.key == option) {
        entry.node = Node::new(Value::String(address.to_owned()), entry.node.place);
    }
}

#[cfg(test)]
mod tests;
