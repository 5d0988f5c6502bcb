//! A group that is not Isobar's, far behind in every partition and getting on: its commits say nothing of times,
//! so that the ages of its records must be looked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use isobar_topology::clock;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use testkit::services::Kafka;
use testkit::services::kafka::Sent;
use testkit::wait;

use super::record;

/// Each partition holds one record for each 6 s of the last hour.
const RECORDS: i64 = 600;
const STEP_MS: i64 = 6_000;
/// Small batches, as those of a producer that sends to many partitions.
const BATCH_RECORDS: u32 = 100;
/// So many of them are committed at first.
const BEGIN: i64 = RECORDS / 10;
/// Between two commits, each of one record more in every partition: six times as fast as the records came.
const COMMIT: Duration = Duration::from_secs(1);

pub(super) struct Stranger {
    name: &'static str,
    partitions: i32,
    /// The time of the first record of each partition, in milliseconds since 1970.
    first_ms: i64,
    consumer: BaseConsumer,
}

impl Stranger {
    /// Fills a topic of this name, and commits a tenth of it as the group of the same name.
    pub(super) fn new(kafka: &Kafka, name: &'static str, partitions: i32) -> Result<Self> {
        kafka.create_topic(name, partitions, &[])?;
        let first_ms = clock::unix_ms() - RECORDS * STEP_MS;
        let of = |partition| {
            (0..RECORDS).map(move |number| Sent {
                timestamp: Some(first_ms + number * STEP_MS),
                ..record(partition)
            })
        };
        kafka.produce_in_batches(name, BATCH_RECORDS, (0..partitions).flat_map(of))?;
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", kafka.brokers())
            .set("group.id", name)
            .create()?;
        let stranger = Self {
            name,
            partitions,
            first_ms,
            consumer,
        };
        stranger.commit(BEGIN)?;
        Ok(stranger)
    }

    /// Gets on until it is told to end.
    pub(super) fn get_on(&self, ended: &AtomicBool) -> Result<()> {
        for offset in BEGIN + 1..RECORDS {
            wait::rest(COMMIT);
            if ended.load(Ordering::Acquire) {
                return Ok(());
            }
            self.commit(offset)?;
        }
        Ok(())
    }

    fn commit(&self, offset: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition_offset(self.name, partition, Offset::Offset(offset))?;
        }
        Ok(self.consumer.commit(&list, CommitMode::Sync)?)
    }

    /// Fails unless all ages are known: each that of the record at the commit, to a hundredth.
    pub(super) fn check(&self, lag: &Value) -> Result<()> {
        let spout = &lag["spouts"][0];
        let rows = spout["partitions"].as_array().context("no partitions")?;
        let now_ms = clock::unix_ms();
        for row in rows {
            let committed = row["committed"].as_i64().context("no commit")?;
            let truth = (now_ms - self.first_ms - committed * STEP_MS) as f64 / 1_000.0;
            let age = row["oldest_age_seconds"].as_f64();
            let age = age.with_context(|| format!("no age: {row}"))?;
            // The answer is a moment old.
            let possible = truth - 2.0..truth * 1.01 + 1.0;
            ensure!(possible.contains(&age), "{age} is not {truth}: {row}");
        }
        Ok(())
    }
}
