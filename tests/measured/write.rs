//! Copies of records to a topic, by a producer with the settings of the product's own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use isobar_operators::kafka::connection::KafkaConnection;
use isobar_operators::kafka::{Compression, ProducerConfig};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

/// How long the brokers may take for the last records.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Writer {
    producer: BaseProducer<Acknowledged>,
    topic: String,
}

/// How many records the brokers have acknowledged.
#[derive(Default)]
struct Acknowledged(AtomicU64);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            let _ = self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    pub fn start(connection: KafkaConnection, topic: &str) -> Result<Self> {
        let config = ProducerConfig {
            connection,
            compression: Compression::None,
            queue_size: ProducerConfig::QUEUE_SIZE as u64,
            options: BTreeMap::new(),
        };
        let settings = config.client_config();
        Ok(Self {
            producer: settings.create_with_context(Acknowledged::default())?,
            topic: topic.to_owned(),
        })
    }

    /// Takes a record; waits while the queue is full.
    pub fn send(&self, key: Option<&[u8]>, payload: &[u8], timestamp: i64) -> Result<()> {
        let record = BaseRecord::to(&self.topic).payload(payload);
        let mut record = record.timestamp(timestamp);
        record.key = key;
        loop {
            let full = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => back,
                Err((error, _)) => return Err(error.into()),
            };
            record = full;
            self.producer.poll(Duration::from_millis(5));
        }
    }

    /// Counts what was acknowledged meanwhile.
    pub fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Returns how many records were acknowledged.
    pub fn finish(self) -> Result<u64> {
        self.producer.flush(LIMIT)?;
        Ok(self.producer.context().0.load(Ordering::Relaxed))
    }
}
