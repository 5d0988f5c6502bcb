//! A producer that goes on beside a test, at a steady rate and through faults of the brokers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::KafkaClient;
use super::client::ONE_AT_A_TIME;
use crate::{records, wait};

/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(10);

/// How long the brokers may take to acknowledge the last records, one of them just started again.
const FLUSH_LIMIT: Duration = Duration::from_secs(120);

/// An idempotent producer (`acks=all`) that sends records, each number once and in order, number N to
/// partition N modulo the number of partitions. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    stop: SyncSender<()>,
    thread: JoinHandle<Result<u64>>,
    acknowledged: Acknowledged,
    schedule: Schedule,
}

/// When which record is sent.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    began: Instant,
    per_second: f64,
}

impl Schedule {
    /// Before this moment a record is not sent.
    pub fn due(&self, number: u64) -> Instant {
        self.began + Duration::from_secs_f64(number as f64 / self.per_second)
    }

    /// How many records are due by now.
    pub fn due_by_now(&self) -> u64 {
        (self.began.elapsed().as_secs_f64() * self.per_second) as u64
    }
}

/// How many records of each partition are acknowledged.
#[derive(Debug, Clone)]
pub struct Acknowledged(Arc<[AtomicU64]>);

impl Acknowledged {
    /// How many there are in a partition: records of the offsets below this.
    pub fn of(&self, partition: usize) -> u64 {
        self.0[partition].load(Ordering::Acquire)
    }
}

impl KafkaClient {
    /// Starts to send so many JSON records per second, those of [`records::json`], to a topic of so many
    /// partitions that is empty.
    pub fn load(&self, topic: &str, partitions: u64, per_second: u64) -> Result<Load> {
        self.load_of(topic, partitions, per_second, records::json)
    }

    /// The same of records with the values that `value` makes of their numbers.
    pub fn load_of(
        &self,
        topic: &str,
        partitions: u64,
        per_second: u64,
        value: fn(u64) -> Vec<u8>,
    ) -> Result<Load> {
        let counts = (0..partitions).map(|_| AtomicU64::new(0)).collect();
        let acknowledged = Acknowledged(counts);
        let settings = [
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ONE_AT_A_TIME,
            ("linger.ms", "20"),
            // However long an outage of brokers takes: a record that was given up would be nobody's.
            ("message.timeout.ms", "0"),
        ];
        let context = Offsets {
            acknowledged: acknowledged.clone(),
            given_up: OnceLock::new(),
        };
        let producer: BaseProducer<Offsets> =
            self.config(&settings).create_with_context(context)?;
        let topic = topic.to_owned();
        let (stop, stopped) = sync_channel(1);
        let schedule = Schedule {
            began: wait::now(),
            per_second: per_second as f64,
        };
        let thread = std::thread::Builder::new()
            .name("load".into())
            .spawn(move || {
                let mut number = 0;
                while matches!(stopped.try_recv(), Err(TryRecvError::Empty)) {
                    let due = schedule.due_by_now();
                    while number < due {
                        let partition = i32::try_from(number % partitions)?;
                        if !send(&producer, &topic, partition, number, &value(number))? {
                            break;
                        }
                        number += 1;
                    }
                    producer.poll(TICK);
                    if let Some(why) = producer.context().given_up() {
                        bail!("a record was given up: {why}");
                    }
                    if let Some((code, why)) = producer.client().fatal_error() {
                        bail!("the producer has failed for good: {code}: {why}");
                    }
                }
                let flushed = producer.flush(FLUSH_LIMIT);
                flushed.context("the brokers did not acknowledge all records in time")?;
                if let Some(why) = producer.context().given_up() {
                    bail!("a record was given up: {why}");
                }
                Ok(number)
            })?;
        Ok(Load {
            stop,
            thread,
            acknowledged,
            schedule,
        })
    }
}

impl Load {
    /// What is acknowledged so far; goes on to be true.
    pub fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.clone()
    }

    /// When which record is sent.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }

    /// Whether it has ended by itself, which it does after an error only; [`Self::finish`] says which.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it and returns how many records it has sent, once all of them are acknowledged. Fails when one
    /// is not, or does not have the offset that follows from its number.
    pub fn finish(self) -> Result<u64> {
        drop(self.stop);
        let sent = self.thread.join().expect("the load does not panic")?;
        let counts = self.acknowledged.0.iter();
        let acknowledged: u64 = counts.map(|count| count.load(Ordering::Acquire)).sum();
        ensure!(
            acknowledged == sent,
            "sent {sent} records, {acknowledged} were acknowledged at their offsets"
        );
        Ok(sent)
    }
}

/// Sends a record, or tells that there is no room for it now.
fn send(
    producer: &BaseProducer<Offsets>,
    topic: &str,
    partition: i32,
    number: u64,
    value: &[u8],
) -> Result<bool> {
    let key = records::key(number);
    let record = BaseRecord::to(topic)
        .partition(partition)
        .key(&key)
        .payload(value)
        .timestamp(records::time(number));
    match producer.send(record) {
        Ok(()) => Ok(true),
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
        Err((error, _)) => Err(error.into()),
    }
}

/// Counts what is acknowledged where it should be: after as many as are before it.
struct Offsets {
    acknowledged: Acknowledged,
    /// Why the first record that will never be acknowledged is not.
    given_up: OnceLock<String>,
}

impl Offsets {
    fn given_up(&self) -> Option<&str> {
        self.given_up.get().map(String::as_str)
    }
}

impl ClientContext for Offsets {}

impl ProducerContext for Offsets {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let record = match result {
            Ok(record) => record,
            Err((error, record)) => {
                let at = format!("{error}, in partition {}", record.partition());
                let _ = self.given_up.set(at);
                return;
            }
        };
        let Acknowledged(counts) = &self.acknowledged;
        let count = &counts[record.partition() as usize];
        if record.offset() as u64 == count.load(Ordering::Acquire) {
            let _ = count.fetch_add(1, Ordering::AcqRel);
        }
    }
}
