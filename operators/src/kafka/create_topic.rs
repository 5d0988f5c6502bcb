//! Creates a topic, where the cluster has none of the name.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::admin::is_embedded;
use super::asked::{LetGo, beside};
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
    // To end it takes as long as its poll, and longer where a broker is away.
    let client = LetGo::of(Arc::new(client));
    // -1: as many replicas as the cluster's setting `default.replication.factor` says.
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let options = AdminOptions::new()
        .request_timeout(Some(within))
        .operation_timeout(Some(within));
    let asked = Arc::clone(&client);
    let embedded = beside(move || Ok(is_embedded(asked.inner())));
    let answer = tokio::select! {
        biased;
        // It would not answer before the time is up.
        Ok(true) = embedded => return Err(Error::Embedded { what: what() }),
        answer = client.create_topics([&new], &options) => answer,
    };
    let code = match answer.map(|topics| topics.into_iter().next()) {
        Ok(Some(Err((_, code)))) => code,
        Ok(_) => return Ok(()),
        Err(error) => code_of(&error),
    };
    match code {
        RDKafkaErrorCode::TopicAlreadyExists => Ok(()),
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

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn embedded_brokers_are_told_at_once() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        let connection = KafkaConnection::plain(&[cluster.bootstrap_servers()]);
        let asked = create_topic(&connection, "t", 1, WITHIN);
        let told = tokio::time::timeout(WITHIN / 2, asked).await;
        let told = told.expect("an answer").expect_err("it makes none");
        assert!(matches!(told, Error::Embedded { .. }), "{told}");
    }
}
