//! Records for a topic of embedded Kafka.

use std::collections::BTreeMap;
use std::iter;

use isobar_operators::embedded::PARTITIONS;
use isobar_operators::kafka::connection::KafkaConnection;
use isobar_operators::kafka::{Compression, OutRecord, Producer, ProducerConfig};

/// Writes each value to each partition.
pub(super) fn send(brokers: &str, topic: &str, values: &[String]) {
    let producer = Producer::new(&ProducerConfig {
        connection: KafkaConnection::plain(&[brokers.to_owned()]),
        compression: Compression::None,
        queue_size: 8 << 20,
        options: BTreeMap::new(),
    });
    let producer = producer.expect("a client");
    let records = values
        .iter()
        .flat_map(|value| iter::repeat_n(value, PARTITIONS as usize).zip(0..));
    let records = records.map(|(value, partition)| OutRecord {
        topic,
        partition: Some(partition),
        payload: Some(value.as_bytes()),
        ..OutRecord::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let failed = runtime
        .expect("a runtime")
        .block_on(async { producer.send(records).await.await });
    assert!(failed.is_empty(), "{failed:?}");
}
