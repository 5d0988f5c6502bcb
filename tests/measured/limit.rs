//! What the same work costs at least: reads records in batches from one queue and copies them into bulk bodies of
//! 4 MB with an action line each, posts these with a blocking socket, and counts the items of each reply; or copies
//! them to a topic. No parse, no ids, no group, no guarantee: the product's figures are told as ratios to it, since
//! both drift alike with the machine. Its clients have the settings of the product's own.
//!
//! `bench-limit BROKERS TOPIC PARTITIONS RECORDS [post HOST:PORT [FLUSH_MS] | write TOPIC]`; without a target it copies
//! and hands on nothing. With a time no body is older when it is posted, and each document, an object, ends
//! with its record's timestamp, as that of the product does.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate reads message by message, at 1.6 times the cost"
)]

mod post;
mod write;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use isobar_operators::kafka::connection::KafkaConnection;
use isobar_operators::kafka::{ConsumerConfig, GroupProtocol, StartPolicy};
use isobar_topology::clock;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

use post::Poster;
use write::Writer;

/// As the product's defaults: records in a batch, bytes of a body.
const BATCH: usize = 1000;
const BODY: usize = 4 << 20;

const ACTION: &[u8] = b"{\"create\":{}}\n";

const USAGE: &str =
    "bench-limit BROKERS TOPIC PARTITIONS RECORDS [post HOST:PORT [FLUSH_MS] | write TOPIC]";

fn main() -> Result<()> {
    isobar::c_memory::keep_between_fetches();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [brokers, topic, partitions, records, to @ ..] = &arguments[..] else {
        bail!("usage: {USAGE}");
    };
    let (partitions, records) = (partitions.parse()?, records.parse()?);
    let to = match to {
        [] => To::Nowhere,
        ["post", address] => To::Server(Poster::start(address), None),
        ["post", address, ms] => {
            let flush = Duration::from_millis(ms.parse()?);
            To::Server(Poster::start(address), Some(flush))
        }
        ["write", to] => To::Topic(Writer::start(connection(brokers)?, to)?),
        _ => bail!("usage: {USAGE}"),
    };
    let mut copies = Copies {
        to,
        body: Vec::with_capacity(BODY + (64 << 10)),
        since: clock::now(),
    };
    let consumer = consumer(brokers, topic, partitions)?;
    let copied = read(&consumer, topic, partitions, records, &mut copies)?;
    ensure!(copied == records, "{copied} of {records} records");
    if let Some(taken) = copies.finish()? {
        ensure!(taken == records, "{taken} of {records} were taken");
    }
    Ok(())
}

fn connection(brokers: &str) -> Result<KafkaConnection> {
    let connection = serde_json::json!({ "brokers": brokers });
    Ok(serde_json::from_value(connection)?)
}

/// A client with the settings of a `kafka` spout, but for its one queue.
fn consumer(brokers: &str, topic: &str, partitions: i32) -> Result<BaseConsumer> {
    let spout = ConsumerConfig {
        connection: connection(brokers)?,
        group: "limit".to_owned(),
        topics: vec![topic.to_owned()],
        start: StartPolicy::Earliest,
        protocol: GroupProtocol::Classic,
        instance_id: None,
        queue_size: ConsumerConfig::QUEUE_SIZE as u64,
        revoke_drain_timeout: Duration::ZERO,
        options: BTreeMap::new(),
        fixed: None,
    };
    let lanes = std::thread::available_parallelism()?.get();
    let mut settings = spout.client_config(lanes);
    // What the spout has in the queues of all lanes that read.
    let queues = lanes.min(usize::try_from(partitions)?) as u64;
    for name in ["queued.max.messages.kbytes", "queued.min.messages"] {
        let each = settings.get(name).context("the spout sets it")?;
        let all = each.parse::<u64>()? * queues;
        let _ = settings.set(name, all.to_string());
    }
    Ok(settings.create()?)
}

fn read(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: i32,
    records: u64,
    copies: &mut Copies,
) -> Result<u64> {
    let client = consumer.client().native_ptr();
    let name = CString::new(topic)?;
    // SAFETY: client and name are alive; the queue is destroyed below, before the client.
    let queue = unsafe { sys::rd_kafka_queue_new(client) };
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Offset(0))?;
        // SAFETY: as above; the partition's own queue is ours and destroyed at once.
        unsafe {
            let source = sys::rd_kafka_queue_get_partition(client, name.as_ptr(), partition);
            sys::rd_kafka_queue_forward(source, queue);
            sys::rd_kafka_queue_destroy(source);
        }
    }
    consumer.assign(&list)?;

    let mut messages = vec![std::ptr::null_mut(); BATCH];
    let mut copied = 0;
    let wait = copies.flush().map_or(20, |flush| flush.as_millis() as i32);
    while copied < records {
        let _ = consumer.poll(Duration::ZERO);
        copies.between_batches()?;
        // SAFETY: the array has room for so many; each message is ours and destroyed once.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(queue, wait, messages.as_mut_ptr(), messages.len())
        };
        for message in &messages[..usize::try_from(count).context("the queue is gone")?] {
            // SAFETY: it was just given to us.
            if let Some(message) = unsafe { Message::of(*message) } {
                copies.add(&message)?;
                copied += 1;
            }
            // SAFETY: as above.
            unsafe { sys::rd_kafka_message_destroy(*message) };
        }
    }
    // SAFETY: as above.
    unsafe { sys::rd_kafka_queue_destroy(queue) };
    Ok(copied)
}

/// A message of librdkafka that is alive and no error.
struct Message<'m>(&'m sys::rd_kafka_message_t);

impl<'m> Message<'m> {
    /// # Safety
    ///
    /// The message is alive for as long as this is used.
    unsafe fn of(message: *const sys::rd_kafka_message_t) -> Option<Self> {
        // SAFETY: as promised.
        let message: &'m _ = unsafe { &*message };
        let is_record = message.err == sys::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        is_record.then_some(Self(message))
    }

    fn payload(&self) -> &'m [u8] {
        // SAFETY: a message has so many bytes of payload, until it is destroyed.
        unsafe { std::slice::from_raw_parts(self.0.payload.cast(), self.0.len) }
    }

    fn key(&self) -> Option<&'m [u8]> {
        // SAFETY: as its payload.
        (!self.0.key.is_null())
            .then(|| unsafe { std::slice::from_raw_parts(self.0.key.cast(), self.0.key_len) })
    }

    /// In ms since 1970.
    fn timestamp(&self) -> i64 {
        // SAFETY: the message is alive, and nothing is asked of its kind of time.
        unsafe { sys::rd_kafka_message_timestamp(self.0, std::ptr::null_mut()) }
    }
}

/// Where records are copied to.
enum To {
    /// To where nobody reads them.
    Nowhere,
    /// To a server, when they are so old at the latest.
    Server(Poster, Option<Duration>),
    Topic(Writer),
}

/// Records that are copied.
struct Copies {
    to: To,
    /// Those that are not yet handed on.
    body: Vec<u8>,
    /// No record in it is older.
    since: clock::Instant,
}

impl Copies {
    /// How old a record is at most when it is handed on.
    fn flush(&self) -> Option<Duration> {
        match self.to {
            To::Server(_, flush) => flush,
            To::Nowhere | To::Topic(_) => None,
        }
    }

    fn between_batches(&mut self) -> Result<()> {
        if let To::Topic(writer) = &self.to {
            writer.serve();
        }
        let flush = self.flush();
        if flush.is_some_and(|flush| self.since.elapsed() >= flush) {
            self.send()?;
        }
        if self.body.is_empty() {
            self.since = clock::now();
        }
        Ok(())
    }

    fn add(&mut self, message: &Message<'_>) -> Result<()> {
        if let To::Topic(writer) = &self.to {
            return writer.send(message.key(), message.payload(), message.timestamp());
        }
        self.body.extend_from_slice(ACTION);
        let record = message.payload();
        // A server takes objects alone; that a line between braces is none, the stand-in does not see.
        let is_object = record.first() == Some(&b'{');
        if !is_object {
            self.body.push(b'{');
        }
        self.body.extend_from_slice(record);
        if !is_object {
            self.body.push(b'}');
        }
        if self.flush().is_some() {
            let _ = self.body.pop();
            write!(self.body, ",\"ts\":{}}}", message.timestamp())?;
        }
        self.body.push(b'\n');
        if self.body.len() >= BODY {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        match &self.to {
            To::Server(poster, _) => poster.send(&mut self.body),
            To::Nowhere | To::Topic(_) => {
                self.body.clear();
                Ok(())
            }
        }
    }

    /// Hands on what is left, and returns how many records were taken where somebody tells.
    fn finish(mut self) -> Result<Option<u64>> {
        self.send()?;
        match self.to {
            To::Nowhere => Ok(None),
            To::Server(poster, _) => poster.finish().map(Some),
            To::Topic(writer) => writer.finish().map(Some),
        }
    }
}
