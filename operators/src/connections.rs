//! The types of outside systems that `connections:` can name.

use isobar_topology::ConnectionType;
use isobar_topology::spec::{Component, Entry, Problem, Problems, Spec, parse_config};

use crate::elasticsearch;
use crate::elasticsearch::connection::ElasticsearchConnection;
use crate::kafka::connection::KafkaConnection;

pub(crate) fn list() -> Vec<ConnectionType> {
    vec![
        ConnectionType {
            name: "kafka",
            schema: || schemars::schema_for!(KafkaConnection),
            check: check_kafka,
        },
        elasticsearch::CONNECTION,
    ]
}

fn check_kafka(component: &Component) -> Result<(), Problems> {
    let connection: KafkaConnection = parse_config(&component.config, &component.path)?;
    problems_of(component, connection.check()).or(())
}

/// The Kafka connection of a topology file by its name, for what reads the file without a plan. `None`
/// where there is none, which a plan complains about.
pub(crate) fn kafka_of(spec: &Spec, name: &str) -> Result<Option<KafkaConnection>, Problems> {
    let mut kafka = spec.connections.iter().filter(|one| one.kind == "kafka");
    let Some(component) = kafka.find(|one| one.id == name) else {
        return Ok(None);
    };
    let connection: KafkaConnection = parse_config(&component.config, &component.path)?;
    Ok(Some(connection.beside(&spec.directory)))
}

/// The same for a connection to Elasticsearch or OpenSearch.
pub(crate) fn elasticsearch_of(
    spec: &Spec,
    name: &str,
) -> Result<Option<ElasticsearchConnection>, Problems> {
    let of_kind = |one: &&Component| one.kind == "elasticsearch" && one.id == name;
    let Some(component) = spec.connections.iter().find(of_kind) else {
        return Ok(None);
    };
    let connection = ElasticsearchConnection::read(component)?;
    Ok(Some(connection.beside(|path| spec.directory.join(path))))
}

/// Places sentences that start with an option's name and a colon at that option, and those that go on
/// with the name of one of its members at that.
pub(crate) fn problems_of(component: &Component, sentences: Vec<String>) -> Problems {
    let problem = |sentence: String| {
        let at_option = sentence.split_once(": ").and_then(|(name, text)| {
            let node = component.config.get(name)?;
            let path = component.path.key(name);
            let is_about = |member: &&Entry| {
                let rest = text.strip_prefix(member.key.as_str());
                rest.is_some_and(|rest| rest.starts_with([' ', ':']))
            };
            Some(match node.entries().iter().find(is_about) {
                Some(member) => Problem::new(path.key(&member.key), text).at(member.key_place),
                None => Problem::new(path, text).at(node.place),
            })
        });
        at_option.unwrap_or_else(|| {
            Problem::new(component.path.clone(), sentence.clone()).at(component.place)
        })
    };
    let mut problems = Problems::default();
    problems.extend(sentences.into_iter().map(problem).map(Some));
    problems
}
