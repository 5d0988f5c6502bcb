//! The producer of the `kafka` bolt, of dead letters and of generated records: whole batches in,
//! one answer per batch out.
//!
//! Knows topics and bytes; knows nothing of acks. Idempotent, waits for all in-sync replicas, one request at a
//! time to each broker.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaType;
use rdkafka::{ClientConfig, ClientContext};
use tokio::sync::oneshot;

use super::conditions::{Condition, Conditions, Subject, classify};
use super::connection::KafkaConnection;
use super::error::{Error, code_of};
use super::log::{forward, lock};
use super::options;
use super::password::{self, Follower};
use super::pending::{Enqueuing, Pending};
use super::served::Served;

/// The configuration of a producer.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// The cluster.
    pub connection: KafkaConnection,
    /// How record batches are compressed on the way and at the broker.
    pub compression: Compression,
    /// Bytes of records that wait for the brokers at most, at least 1 MiB.
    pub queue_size: u64,
    /// Settings of librdkafka for this producer alone, on top of the connection's, such as
    /// `linger.ms` or `message.max.bytes`.
    pub options: BTreeMap<String, String>,
}

impl ProducerConfig {
    /// What `queue_size` is unless a topology says so, in bytes.
    pub const QUEUE_SIZE: usize = 8 << 20;

    /// Returns the bytes that the producer takes at most: the queue, and as much again for what
    /// librdkafka keeps around each record and for requests on their way.
    pub fn memory(&self) -> usize {
        2 * self.kbytes() as usize * 1024
    }

    /// Says why librdkafka would make no client of these settings, if so; contacts nobody.
    pub(crate) fn check_together(&self) -> Option<String> {
        options::check_together(self.client_config(), RDKafkaType::RD_KAFKA_PRODUCER)
    }

    /// Returns the settings of the client.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = self.connection.client_config();
        for (name, value) in &self.options {
            let _ = config.set(name, value);
        }
        let _ = config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // With more, librdkafka can take records for written that no log has: `decisions/producing.md`.
            .set("max.in.flight.requests.per.connection", "1")
            .set("compression.type", self.compression.name())
            .set("queue.buffering.max.kbytes", self.kbytes().to_string())
            .set("queue.buffering.max.messages", self.records().to_string())
            .set("statistics.interval.ms", "0");
        if config.get("topic.metadata.propagation.max.ms").is_none() {
            // How long a missing topic is taken for a new one; what fails is sent again anyway.
            let _ = config.set("topic.metadata.propagation.max.ms", "10000");
        }
        config
    }

    /// A record larger than the whole queue would wait for room for ever.
    fn kbytes(&self) -> u64 {
        let option = |name| self.options.get(name).or(self.connection.options.get(name));
        let largest = option("message.max.bytes").and_then(|text| text.parse().ok());
        (self.queue_size.max(largest.unwrap_or(1_000_000)) / 1024 + 64).clamp(1024, 2_097_151)
    }

    /// Small records are bounded by their number, at the bytes that librdkafka keeps around each.
    fn records(&self) -> u64 {
        self.kbytes() * 1024 / RECORD_OVERHEAD
    }
}

/// Bytes around a record in librdkafka's queue: `rd_kafka_msg_t` and its headers, rounded up.
const RECORD_OVERHEAD: u64 = 512;

/// How record batches are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Zstandard: small, and cheap for what it saves.
    Zstd,
    /// LZ4: cheapest.
    Lz4,
    /// Snappy.
    Snappy,
    /// Gzip: for consumers that know nothing else.
    Gzip,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
        }
    }
}

/// A record to produce.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` chooses by the hash of the key, or at random without one.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` writes a tombstone.
    pub payload: Option<&'a [u8]>,
    /// The timestamp in milliseconds since 1970; `None` takes the moment of sending.
    pub timestamp: Option<i64>,
    /// Headers in order; names can repeat.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// Why a record was not produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// librdkafka's code.
    pub code: RDKafkaErrorCode,
    /// The topic that the record was for.
    pub topic: String,
}

impl DeliveryError {
    /// Tells whether the record is too large, or came together with others that are too large.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self.code,
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::MessageBatchTooLarge
        )
    }

    /// Tells whether the record itself is at fault: the same record will fail each time.
    pub fn is_of_record(&self) -> bool {
        self.is_too_large()
            || matches!(
                self.code,
                RDKafkaErrorCode::InvalidMessage
                    | RDKafkaErrorCode::InvalidRecord
                    | RDKafkaErrorCode::InvalidTimestamp
                    | RDKafkaErrorCode::InvalidTopic
                    | RDKafkaErrorCode::InvalidArgument
            )
    }
}

impl std::fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "topic {}: {}", self.topic, self.code)?;
        if self.code == RDKafkaErrorCode::MessageSizeTooLarge {
            f.write_str(
                " (message.max.bytes of the connection's options, at most what the topic allows)",
            )?;
        }
        Ok(())
    }
}

/// The records of a batch that were not produced, by their position in it, in no order.
pub type Failures = Vec<(u32, DeliveryError)>;

/// Waits until every record of a batch was acknowledged or failed; returns the failed ones.
///
/// Dropping it forgets the answer and takes nothing back.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Failures>);

impl Future for Delivery {
    type Output = Failures;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Failures> {
        Pin::new(&mut self.0)
            .poll(task)
            .map(|answer| answer.expect("every record is answered before the batch is let go"))
    }
}

/// Produces batches of records.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
}

type Client = Served<Context>;

struct Inner {
    config: ProducerConfig,
    client: Mutex<Current>,
    pending: Arc<Pending>,
    _password: Option<Follower>,
}

struct Current {
    client: Arc<Client>,
    made: Instant,
}

impl Producer {
    /// Makes the client; contacts nobody yet. Fails when the configuration cannot be used.
    pub fn new(config: &ProducerConfig) -> Result<Self, Error> {
        let mut problems = config.connection.check();
        problems.extend(options::check(&config.options));
        if !problems.is_empty() {
            return Err(Error::Config(problems.join("; ")));
        }
        config.connection.within_reach()?;
        let pending = Pending::new();
        let current = make(&config.client_config(), &pending)?;
        let inner = Arc::new_cyclic(|inner| Inner {
            config: config.clone(),
            client: Mutex::new(current),
            pending,
            _password: follow_password(&config.connection, inner.clone()),
        });
        Ok(Self { inner })
    }

    /// Hands a batch to the client; waits only while its queue is full.
    ///
    /// Positions in the answer count the records from 0. Dropping the returned future in the
    /// middle leaves what was handed over on its way.
    pub async fn send<'a>(&self, records: impl IntoIterator<Item = OutRecord<'a>>) -> Delivery {
        let (mut batch, answer) = Arc::clone(&self.inner.pending).open().await;
        for record in records {
            self.enqueue(&mut batch, record).await;
        }
        drop(batch);
        Delivery(answer)
    }

    async fn enqueue(&self, batch: &mut Enqueuing, record: OutRecord<'_>) {
        let client = self.client();
        let mut next = to_base(record, batch.next());
        loop {
            let room = self.inner.pending.room();
            tokio::pin!(room);
            // Listens before it tries, or the room could come in between.
            let _ = room.as_mut().enable();
            match client.send(next) {
                Ok(()) => return,
                Err((error, back)) => match code_of(&error) {
                    RDKafkaErrorCode::QueueFull => {
                        next = back;
                        self.inner.pending.wait_for(room).await;
                    }
                    code => {
                        if code == RDKafkaErrorCode::Fatal {
                            client.context().broken.store(true, Ordering::Relaxed);
                        }
                        let error = DeliveryError {
                            code,
                            topic: record.topic.to_owned(),
                        };
                        return self.inner.pending.failed(back.delivery_opaque, error);
                    }
                },
            }
        }
    }

    /// Returns the client, a new one when the old one met an error that it cannot get over.
    fn client(&self) -> Arc<Client> {
        let inner = &*self.inner;
        let mut current = lock(&inner.client);
        let rested = clock::now().saturating_duration_since(current.made) > RENEW_AT_MOST_EVERY;
        if current.client.context().broken.load(Ordering::Relaxed) && rested {
            match make(&inner.config.client_config(), &inner.pending) {
                Ok(fresh) => {
                    tracing::warn!("The Kafka producer met a fatal error; a new one takes over");
                    let old = std::mem::replace(&mut *current, fresh);
                    // Its drop answers what is left, which can take half a second.
                    drop_aside(old.client);
                }
                Err(error) => current
                    .client
                    .context()
                    .conditions
                    .raise(Subject::Connection, error.to_string()),
            }
        }
        Arc::clone(&current.client)
    }

    /// Returns what is wrong at the moment; empty when all is well.
    pub fn conditions(&self) -> Vec<Condition> {
        let client = Arc::clone(&lock(&self.inner.client).client);
        client.context().conditions.read()
    }

    /// Waits until nothing is in flight, at most `within`; returns whether that was reached.
    pub async fn flush(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.inner.pending.empty())
            .await
            .is_ok()
    }
}

/// A broken client is replaced at most this often.
const RENEW_AT_MOST_EVERY: Duration = Duration::from_secs(1);

fn make(config: &ClientConfig, pending: &Arc<Pending>) -> Result<Current, Error> {
    let context = Context {
        pending: Arc::clone(pending),
        conditions: Conditions::default(),
        broken: AtomicBool::new(false),
    };
    let client = Served::new(config, context).map_err(|source| Error::client(config, source))?;
    Ok(Current {
        client: Arc::new(client),
        made: clock::now(),
    })
}

fn follow_password(connection: &KafkaConnection, inner: Weak<Inner>) -> Option<Follower> {
    Follower::start(connection, password::INTERVAL, move |sasl| {
        let inner = inner.upgrade();
        inner.is_some_and(|inner| password::give(lock(&inner.client).client.client(), sasl))
    })
}

fn drop_aside(client: Arc<Client>) {
    let spawned = std::thread::Builder::new()
        .name("kafka-producer-end".to_owned())
        .spawn(move || drop(client));
    if let Err(error) = spawned {
        tracing::warn!(%error, "No thread for dropping a Kafka producer");
    }
}

fn to_base<'a>(record: OutRecord<'a>, opaque: usize) -> BaseRecord<'a, [u8], [u8], usize> {
    let headers = (!record.headers.is_empty()).then(|| {
        let empty = OwnedHeaders::new_with_capacity(record.headers.len());
        record.headers.iter().fold(empty, |headers, (key, value)| {
            headers.insert(Header { key, value: *value })
        })
    });
    BaseRecord {
        topic: record.topic,
        partition: record.partition,
        payload: record.payload,
        key: record.key,
        timestamp: record.timestamp,
        headers,
        delivery_opaque: opaque,
    }
}

/// Waits no longer for the last handle of a producer: what is in flight was awaited by whoever
/// sent it.
impl Drop for Inner {
    fn drop(&mut self) {
        let client = Arc::clone(&lock(&self.client).client);
        drop_aside(client);
    }
}

/// What one client calls back into: its successor starts well, and what it still says while it ends
/// is about itself.
struct Context {
    pending: Arc<Pending>,
    conditions: Conditions,
    broken: AtomicBool,
}

impl Context {
    /// A record was written: the brokers answer, this client may write, and the topic takes it.
    fn clear_conditions(&self, topic: &str) {
        if self.conditions.any() {
            self.conditions.clear(&Subject::Connection);
            self.conditions.clear(&Subject::Group);
            self.conditions.clear(&Subject::Topic(topic.to_owned()));
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        forward(level, facility, text);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let code = code_of(&error);
        if code == RDKafkaErrorCode::Fatal {
            self.broken.store(true, Ordering::Relaxed);
        }
        if let Some(subject) = classify(code, reason) {
            self.conditions.raise(subject, reason.to_owned());
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        match result {
            Ok(record) => {
                self.clear_conditions(rdkafka::Message::topic(record));
                self.pending.delivered(opaque);
            }
            Err((error, record)) => {
                let code = code_of(error);
                if code == RDKafkaErrorCode::Fatal {
                    self.broken.store(true, Ordering::Relaxed);
                }
                let topic = rdkafka::Message::topic(record).to_owned();
                self.pending.failed(opaque, DeliveryError { code, topic });
            }
        }
    }
}
