//! What the same work costs at least: reads records in batches from one queue, copies them into bulk
//! bodies of 4 MB with an action line each, posts these with a blocking socket, and counts the items
//! of each reply. No parse, no ids, no group, no guarantee: the product's figures are told as ratios to
//! it, since both drift alike with the machine.
//!
//! `bench-limit BROKERS TOPIC PARTITIONS RECORDS [HOST:PORT [FLUSH_MS]]`; without an address it copies and
//! posts nothing. With a time no body is older when it is posted, and each document, an object, ends
//! with its record's timestamp, as that of the product does.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate reads message by message, at 1.6 times the cost"
)]

use std::ffi::CString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use isobar_topology::clock;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as sys;

/// As the product's defaults: records in a batch, bytes of a body, bodies under way.
const BATCH: usize = 1000;
const BODY: usize = 4 << 20;
const BODIES: usize = 3;

const ACTION: &[u8] = b"{\"create\":{}}\n";

fn main() -> Result<()> {
    isobar::c_memory::keep_between_fetches();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, partitions, records, rest @ ..] = &arguments[..] else {
        bail!("usage: bench-limit BROKERS TOPIC PARTITIONS RECORDS [HOST:PORT [FLUSH_MS]]");
    };
    let (partitions, records) = (partitions.parse()?, records.parse()?);
    let poster = rest.first().map(|address| Poster::start(address.clone()));
    let flush = match rest.get(1) {
        Some(ms) => Some(Duration::from_millis(ms.parse()?)),
        None => None,
    };
    let copied = read(brokers, topic, partitions, records, poster.as_ref(), flush)?;
    ensure!(copied == records, "{copied} of {records} records");
    if let Some(poster) = poster {
        let answered = poster.finish()?;
        ensure!(answered == records, "{answered} of {records} answers");
    }
    Ok(())
}

fn read(
    brokers: &str,
    topic: &str,
    partitions: i32,
    records: u64,
    poster: Option<&Poster>,
    flush: Option<Duration>,
) -> Result<u64> {
    // What the spout sets, where it bears on the cost.
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "limit")
        .set("enable.partition.eof", "false")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("fetch.queue.backoff.ms", "20")
        // From the default `queue_size`, 24 MiB: in one queue what the spout has in those of two lanes.
        .set("queued.max.messages.kbytes", "12288")
        .set("queued.min.messages", "15728")
        .set("fetch.max.bytes", "1572864")
        .set("statistics.interval.ms", "0")
        .create()?;
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
    let mut body = Vec::with_capacity(BODY + (64 << 10));
    let mut copied = 0;
    let mut since = clock::now();
    let wait = flush.map_or(20, |flush| flush.as_millis() as i32);
    while copied < records {
        let _ = consumer.poll(Duration::ZERO);
        if flush.is_some_and(|flush| since.elapsed() >= flush) {
            send(&mut body, poster)?;
        }
        if body.is_empty() {
            since = clock::now();
        }
        // SAFETY: the array has room for so many; each message is ours and destroyed once.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(queue, wait, messages.as_mut_ptr(), messages.len())
        };
        for message in &messages[..usize::try_from(count).context("the queue is gone")?] {
            // SAFETY: a message has so many bytes of payload, until it is destroyed.
            let payload = unsafe {
                let message = &**message;
                if message.err == sys::RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let bytes = message.payload.cast::<u8>();
                    Some(std::slice::from_raw_parts(bytes, message.len))
                } else {
                    None
                }
            };
            if let Some(payload) = payload {
                body.extend_from_slice(ACTION);
                body.extend_from_slice(payload);
                if flush.is_some() {
                    // SAFETY: the message is alive, and nothing is asked of its kind of time.
                    let ms =
                        unsafe { sys::rd_kafka_message_timestamp(*message, std::ptr::null_mut()) };
                    let _ = body.pop();
                    write!(body, ",\"ts\":{ms}}}")?;
                }
                body.push(b'\n');
                copied += 1;
            }
            // SAFETY: as above.
            unsafe { sys::rd_kafka_message_destroy(*message) };
            if body.len() >= BODY {
                send(&mut body, poster)?;
            }
        }
    }
    send(&mut body, poster)?;
    // SAFETY: as above.
    unsafe { sys::rd_kafka_queue_destroy(queue) };
    Ok(copied)
}

fn send(body: &mut Vec<u8>, poster: Option<&Poster>) -> Result<()> {
    match poster {
        Some(_) if body.is_empty() => {}
        Some(poster) => {
            let next = poster.spare.try_recv().unwrap_or_default();
            let full = std::mem::replace(body, next);
            poster.bodies.send(full).ok().context("posting failed")?;
        }
        None => body.clear(),
    }
    Ok(())
}

/// A thread with a connection.
struct Poster {
    bodies: SyncSender<Vec<u8>>,
    /// Posted bodies, emptied.
    spare: Receiver<Vec<u8>>,
    thread: std::thread::JoinHandle<Result<u64>>,
}

impl Poster {
    fn start(address: String) -> Self {
        let (bodies, to_post) = sync_channel::<Vec<u8>>(BODIES);
        let (posted, spare) = sync_channel(BODIES + 1);
        let thread = std::thread::spawn(move || {
            let connection = TcpStream::connect(&address)?;
            connection.set_nodelay(true)?;
            let mut connection = BufReader::new(connection);
            let mut items = 0;
            for mut body in to_post {
                items += post(&mut connection, &address, &body)?;
                body.clear();
                let _ = posted.try_send(body);
            }
            Ok(items)
        });
        Self {
            bodies,
            spare,
            thread,
        }
    }

    /// Returns how many items were answered.
    fn finish(self) -> Result<u64> {
        drop(self.bodies);
        self.thread.join().expect("it does not panic")
    }
}

fn post(connection: &mut BufReader<TcpStream>, address: &str, body: &[u8]) -> Result<u64> {
    let head = format!(
        "POST /logs/_bulk?filter_path=errors,items.*.status,items.*.error HTTP/1.1\r\nhost: {address}\r\n\
         content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.get_mut().write_all(head.as_bytes())?;
    connection.get_mut().write_all(body)?;
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        let _ = connection.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut reply = vec![0; length];
    connection.read_exact(&mut reply)?;
    Ok(memchr::memmem::find_iter(&reply, b"\"status\":").count() as u64)
}
