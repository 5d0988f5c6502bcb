//! Creates a topic, where the cluster has none of the name.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::admin::is_embedded;
use super::connection::KafkaConnection;
use super::error::{Error, code_of};
use super::log::Asking;

/// Creates a topic with so many partitions and the cluster's own settings for all else. One that
/// exists already is left as it is. Waits for the cluster, at most `within`.
pub async fn create_topic(
    connection: &KafkaConnection,
    topic: &str,
    partitions: i32,
    within: Duration,
) -> Result<(), Error> {
    create_topic_with(connection, topic, partitions, &[], within).await
}

/// As [`create_topic`], with settings of the topic by their names.
pub(crate) async fn create_topic_with(
    connection: &KafkaConnection,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
    within: Duration,
) -> Result<(), Error> {
    let what = || format!("creating topic {topic}");
    connection.within_reach()?;
    let config = connection.client_config();
    let client: AdminClient<Asking> = config
        .create_with_context(Asking::default())
        .map_err(|source| Error::client(&config, source))?;
    // -1: as many replicas as the cluster's setting `default.replication.factor` says.
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let options = AdminOptions::new()
        .request_timeout(Some(within))
        .operation_timeout(Some(within));
    let answer = client.create_topics([&new], &options).await;
    let code = match answer.map(|topics| topics.into_iter().next()) {
        Ok(Some(Err((_, code)))) => code,
        Ok(_) => return Ok(()),
        Err(error) => code_of(&error),
    };
    match code {
        RDKafkaErrorCode::TopicAlreadyExists => Ok(()),
        // Its broker closes the connection.
        RDKafkaErrorCode::Fail if is_embedded(client.inner()) => {
            Err(Error::Embedded { what: what() })
        }
        RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::BrokerTransportFailure => {
            Err(Error::TimedOut {
                what: what(),
                within,
                brokers: Some(connection.brokers.join(", ")),
                cause: client.inner().context().failure(),
            })
        }
        code => Err(Error::Refused {
            what: what(),
            code,
            text: code.to_string(),
        }),
    }
}
