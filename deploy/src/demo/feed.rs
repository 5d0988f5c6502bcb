//! The records of a demonstration: made up at a rate and written to the topic over the network, as
//! any other program would.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use isobar_operators::kafka::connection::KafkaConnection;
use isobar_operators::kafka::error::Error;
use isobar_operators::kafka::{Compression, OutRecord, Producer, ProducerConfig};
use isobar_topology::clock;
use tokio::time::MissedTickBehavior;

use super::Demo;
use crate::generate::{Generated, Generator, Lines};
use crate::observer::Observer;

/// Between two writes.
const TICK: Duration = Duration::from_millis(50);
/// Bytes of records that wait for the brokers at most.
const QUEUE: u64 = 8 << 20;
/// Of 100 records, so many are garbage, so that dead letters are seen.
const GARBAGE_PERCENT: u8 = 1;

/// Writes records to a topic.
pub struct Feed {
    producer: Producer,
    topic: String,
    rate: u32,
    generator: Generator,
    records: Vec<Generated>,
}

impl Feed {
    /// Will write so many records a second to a topic. Fails when no client can be made.
    pub fn new(brokers: &str, topic: &str, rate: u32) -> Result<Self, Error> {
        let producer = Producer::new(&ProducerConfig {
            connection: KafkaConnection::plain(&[brokers.to_owned()]),
            compression: Compression::None,
            queue_size: QUEUE,
            options: BTreeMap::new(),
        })?;
        let generator = Generator::new(Lines::Json, 1, clock::unix_ms(), 0);
        Ok(Self {
            producer,
            topic: topic.to_owned(),
            rate,
            generator: generator.with_garbage(GARBAGE_PERCENT),
            records: Vec::new(),
        })
    }

    /// Writes until the topology stops, and then nothing for ever.
    pub async fn run(mut self, demo: &Demo, observer: &Observer) -> Infallible {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = 0.0;
        while !observer.is_stopping() {
            let _ = ticks.tick().await;
            if demo.input.is_paused.load(Ordering::Acquire) {
                continue;
            }
            due += f64::from(self.rate) * TICK.as_secs_f64();
            self.write(demo, due as usize).await;
            due = due.fract();
        }
        std::future::pending().await
    }

    async fn write(&mut self, demo: &Demo, count: usize) {
        let garbage = self.generator.garbage();
        self.generator.go_on_at(clock::unix_ms());
        self.records.resize_with(count, Generated::default);
        for record in &mut self.records {
            self.generator.next_into(record);
        }
        let records = self.records.iter().map(|record| OutRecord {
            topic: &self.topic,
            key: Some(record.key.as_bytes()),
            payload: Some(record.line.as_bytes()),
            timestamp: Some(record.timestamp),
            ..OutRecord::default()
        });
        // Counted before: they can be stored before they are acknowledged.
        let _ = demo.input.written.fetch_add(count as u64, Ordering::AcqRel);
        let failures = self.producer.send(records).await.await;
        if let Some((_, error)) = failures.first() {
            tracing::warn!(%error, records = failures.len(), "Made-up records were not written");
        }
        let failed = failures.len() as u64;
        let _ = demo.input.written.fetch_sub(failed, Ordering::AcqRel);
        let garbage = self.generator.garbage() - garbage;
        let _ = demo.input.garbage.fetch_add(garbage, Ordering::AcqRel);
    }
}
