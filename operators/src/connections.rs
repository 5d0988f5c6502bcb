//! The types of outside systems that `connections:` can name.

use isobar_topology::ConnectionType;
use isobar_topology::spec::{Component, Problem, Problems, Spec, parse_config};

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

/// Places sentences that start with an option's name and a colon at that option.
pub(crate) fn problems_of(component: &Component, sentences: Vec<String>) -> Problems {
    let mut problems = Problems::default();
    for sentence in sentences {
        let option = sentence.split_once(": ");
        let found = option.and_then(|(name, text)| Some((name, component.config.get(name)?, text)));
        problems.push(match found {
            Some((name, node, text)) => Problem::new(component.path.key(name), text).at(node.place),
            None => Problem::new(component.path.clone(), sentence).at(component.place),
        });
    }
    problems
}
