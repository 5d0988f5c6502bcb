//! Embedded Kafka: librdkafka's mock cluster, one broker behind a real port of the loopback address,
//! reached by the same client code as any other. For demonstrations, trials and tests.

use isobar_topology::OperatorError;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use crate::kafka::set_initial_rebalance_delay;

/// Partitions of a topic: those that the mock cluster gives topics that it makes by itself.
pub const PARTITIONS: i32 = 4;

/// Bytes of records that a partition keeps at most; then the oldest go without a word (`max_size` in
/// `rd_kafka_mock_partition_init` of librdkafka 2.12.1). The spout counts those that it had not read
/// as lost.
pub const PARTITION_BYTES_MAX: usize = 5 << 20;

/// What is different from real brokers, in a few words each.
pub const LIMITS: &[&str] = &[
    "keeps the last 5 MiB of each partition, in memory; older records are lost, and counted where they were not read",
    "forgets everything when the program ends",
    "finds no record by its time",
    "knows no transactions, replicas, users or encryption",
    "answers no questions about groups and settings, and makes topics by itself",
    "takes up to two minutes to share a group anew when a program joins or leaves it, and lets it read and commit \
     little meanwhile; give each program a group of its own (`group` of the spout, or `isobar init --name NAME`)",
];

/// A Kafka cluster in this process. Dropping it ends it and forgets everything.
pub struct EmbeddedKafka {
    /// It owns the cluster.
    client: BaseProducer,
    brokers: String,
}

impl EmbeddedKafka {
    /// Starts one broker on a free port.
    ///
    /// Fails when there is no port or no thread for it.
    pub fn start() -> Result<Self, OperatorError> {
        let client: BaseProducer = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            // It would say that it is a mock cluster, each time.
            .set_log_level(RDKafkaLogLevel::Error)
            .create()
            .map_err(|error| {
                OperatorError::internal("embedded Kafka cannot be started").with_source(error)
            })?;
        let Some(cluster) = client.client().mock_cluster() else {
            let text = "embedded Kafka cannot be started: librdkafka made no cluster";
            return Err(OperatorError::internal(text));
        };
        let brokers = cluster.bootstrap_servers();
        drop(cluster);
        // Real brokers wait 3 s for more members; here nobody else comes.
        set_initial_rebalance_delay(client.client(), std::time::Duration::ZERO);
        Ok(Self { client, brokers })
    }

    /// `host:port` of its broker.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Makes a topic with [`PARTITIONS`] partitions; one that is there stays as it is.
    ///
    /// Fails when Kafka allows no topic of such a name.
    pub fn create_topic(&self, topic: &str) -> Result<(), OperatorError> {
        let cluster = self.client.client().mock_cluster();
        let cluster = cluster.expect("it was there when this was started");
        match cluster.create_topic(topic, PARTITIONS, 1) {
            Ok(()) | Err(KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            Err(error) => {
                let text = format!("embedded Kafka cannot make the topic {topic}");
                Err(OperatorError::user(text).with_source(error))
            }
        }
    }
}
