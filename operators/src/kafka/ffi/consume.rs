//! Lane queues: one librdkafka queue shared by the partitions of a lane, read in batches.
//!
//! Knows queues and message pointers; what a record is accepted for is decided by the lane.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate reads message by message, at 1.6 times the cost"
)]

use std::any::Any;
use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka_sys as sys;
use rdkafka_sys::RDKafkaRespErr;
use tokio::sync::Notify;

use super::record::Record;

/// A queue to which partitions are forwarded, and which tells its lane when it has something.
pub(in crate::kafka) struct LaneQueue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Told when the queue turns from empty to non-empty; alive as long as the callback.
    wake: Arc<Notify>,
    /// Keeps the client alive: a queue must be destroyed before its client.
    _client: Arc<dyn Any + Send + Sync>,
}

// SAFETY: librdkafka's queues lock themselves; every function used here may be called from any
// thread.
unsafe impl Send for LaneQueue {}
// SAFETY: as above.
unsafe impl Sync for LaneQueue {}

impl LaneQueue {
    /// Makes a queue of `client` that notifies `wake` each time it turns non-empty.
    pub(in crate::kafka) fn new<C: ConsumerContext + 'static>(
        client: &Arc<BaseConsumer<C>>,
        wake: Arc<Notify>,
    ) -> Self {
        // SAFETY: the client is alive, and kept alive by the new value.
        let queue = unsafe { sys::rd_kafka_queue_new(client.client().native_ptr()) };
        let queue = Self {
            queue: NonNull::new(queue).expect("librdkafka aborts when it has no memory"),
            wake,
            _client: Arc::<BaseConsumer<C>>::clone(client),
        };
        // SAFETY: the opaque pointer is the `Notify` that this value keeps alive; `Drop` disables
        // the callback under the queue's lock before letting go of it.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(
                queue.queue.as_ptr(),
                Some(wake_lane),
                Arc::as_ptr(&queue.wake).cast_mut().cast::<c_void>(),
            );
        }
        queue
    }
}

impl Drop for LaneQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is owned by this value and destroyed once. The callback runs under the
        // queue's lock, which disabling takes: afterwards it neither runs nor will run.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Wakes the lane. Runs under the queue's lock, so it does nothing else.
///
/// # Safety
/// `wake` must point to a live `Notify`.
unsafe extern "C" fn wake_lane(_client: *mut sys::rd_kafka_t, wake: *mut c_void) {
    // SAFETY: guaranteed by `LaneQueue`, which enables and disables this callback.
    unsafe { &*wake.cast::<Notify>() }.notify_one();
}

/// Sends what is fetched of a partition to a lane's queue, from now on and until it is forwarded
/// elsewhere. To be called before the partition is assigned, on every assign.
///
/// Returns false when librdkafka knows no such partition.
pub(in crate::kafka) fn forward<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    lane: &LaneQueue,
) -> bool {
    let Ok(topic) = CString::new(topic) else {
        return false;
    };
    // SAFETY: client, topic and lane are alive for the call; the partition's handle is ours, and
    // may be destroyed at once: the forwarding stays.
    unsafe {
        let native = client.client().native_ptr();
        let source = sys::rd_kafka_queue_get_partition(native, topic.as_ptr(), partition);
        if source.is_null() {
            return false;
        }
        sys::rd_kafka_queue_forward(source, lane.queue.as_ptr());
        sys::rd_kafka_queue_destroy(source);
    }
    true
}

/// Returns the offset after the last one that batch calls returned or skipped (control records,
/// aborted transactions) for a partition; `None` before the first and when it is not assigned.
///
/// Only the thread that makes the batch calls may ask: for others it runs ahead of what was
/// looked at.
pub(in crate::kafka) fn position<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let mut list = rdkafka::TopicPartitionList::with_capacity(1);
    let _ = list.add_partition(topic, partition);
    // SAFETY: client and list are alive for the call, which fills in the list's offsets.
    let code = unsafe { sys::rd_kafka_position(client.client().native_ptr(), list.ptr()) };
    if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return None;
    }
    super::list::elements(&list)
        .first()
        .filter(|element| element.error.is_none() && element.offset >= 0)
        .map(|element| element.offset)
}

/// Names one message in an [`Inbox`] until it is visited or discarded.
#[derive(Clone, Copy, Debug)]
pub(in crate::kafka) struct Handle(u32);

/// The messages that a lane has taken off its queue and not yet dealt with.
pub(in crate::kafka) struct Inbox {
    /// Live messages by handle; null where a handle is free.
    messages: Vec<*mut sys::rd_kafka_message_t>,
    free: Vec<u32>,
    /// What the last batch call returned, before it got handles.
    batch: Vec<*mut sys::rd_kafka_message_t>,
    /// The handles of that batch, in its order.
    fresh: Vec<u32>,
    /// Dropped after the messages; it keeps the client alive.
    queue: Arc<LaneQueue>,
}

// SAFETY: the messages are owned by this value alone, and librdkafka lets any thread read and
// destroy them.
unsafe impl Send for Inbox {}

impl Inbox {
    /// Makes an inbox for a queue. A queue must have one inbox at most.
    pub(in crate::kafka) fn new(queue: Arc<LaneQueue>) -> Self {
        Self {
            messages: Vec::new(),
            free: Vec::new(),
            batch: Vec::new(),
            fresh: Vec::new(),
            queue,
        }
    }

    /// Takes up to `max` messages off the queue without waiting, and shows each to `keep`, in the
    /// order of the queue; those for which it returns false are destroyed.
    ///
    /// Returns how many were taken; only 0 says that the queue was empty.
    pub(in crate::kafka) fn receive(
        &mut self,
        max: usize,
        mut keep: impl FnMut(Handle, Record<'_>) -> bool,
    ) -> usize {
        self.batch.clear();
        self.batch.reserve(max);
        // SAFETY: the queue is alive, the buffer has room for `max` pointers, and librdkafka
        // initialises as many as it returns; the messages are ours from now on.
        unsafe {
            let taken = sys::rd_kafka_consume_batch_queue(
                self.queue.queue.as_ptr(),
                0,
                self.batch.as_mut_ptr(),
                max,
            );
            self.batch.set_len(usize::try_from(taken).unwrap_or(0));
        }
        // All messages get their place first: whatever `keep` does, each has an owner.
        self.fresh.clear();
        for message in self.batch.drain(..) {
            let index = match self.free.pop() {
                Some(index) => {
                    self.messages[index as usize] = message;
                    index
                }
                None => {
                    self.messages.push(message);
                    u32::try_from(self.messages.len() - 1).expect("a lane holds far fewer messages")
                }
            };
            self.fresh.push(index);
        }
        for position in 0..self.fresh.len() {
            let handle = Handle(self.fresh[position]);
            // SAFETY: the message was stored above, is not null and not destroyed yet.
            let record = unsafe { Record::new(self.messages[handle.0 as usize]) };
            if !keep(handle, record) {
                self.discard(handle);
            }
        }
        self.fresh.len()
    }

    /// Shows a message to `visit` and destroys it. Does nothing for a handle that was used up.
    pub(in crate::kafka) fn visit(&mut self, handle: Handle, visit: impl FnOnce(Record<'_>)) {
        let message = self.messages[handle.0 as usize];
        if !message.is_null() {
            // SAFETY: messages that are not null are alive and owned by this inbox.
            visit(unsafe { Record::new(message) });
            self.discard(handle);
        }
    }

    /// Shows a message without destroying it. Does nothing for a handle that was used up.
    pub(in crate::kafka) fn peek<T>(
        &self,
        handle: Handle,
        look: impl FnOnce(Record<'_>) -> T,
    ) -> Option<T> {
        let message = self.messages[handle.0 as usize];
        // SAFETY: messages that are not null are alive and owned by this inbox.
        (!message.is_null()).then(|| look(unsafe { Record::new(message) }))
    }

    /// Destroys a message. Does nothing for a handle that was used up.
    pub(in crate::kafka) fn discard(&mut self, handle: Handle) {
        let message = std::mem::replace(&mut self.messages[handle.0 as usize], ptr::null_mut());
        if !message.is_null() {
            self.free.push(handle.0);
            // SAFETY: the message is owned by this inbox, which forgot it one line above.
            unsafe { sys::rd_kafka_message_destroy(message) }
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        for message in self.messages.drain(..).filter(|message| !message.is_null()) {
            // SAFETY: messages that are not null are alive and owned by this inbox; the client
            // outlives them, since the queue that keeps it alive is dropped after this.
            unsafe { sys::rd_kafka_message_destroy(message) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    use rdkafka::{ClientConfig, Offset, TopicPartitionList};

    use super::*;

    type Headers = Vec<(String, Option<String>)>;

    type Written = (
        Option<&'static str>,
        &'static [(&'static str, Option<&'static str>)],
    );

    const WRITTEN: [Written; 7] = [
        (
            Some("value"),
            &[("a", Some("1")), ("b", None), ("a", Some(""))],
        ),
        (Some("value"), &[]),
        (Some(""), &[("a", Some("1"))]),
        (Some(""), &[]),
        (None, &[("a", Some("1"))]),
        (None, &[]),
        (Some("last"), &[]),
    ];

    fn write(brokers: &str, compression: &str) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("compression.type", compression)
            // All in one batch, which is compressed as one.
            .set("linger.ms", "100")
            .create()
            .expect("a producer");
        for (value, headers) in WRITTEN {
            let headers = headers
                .iter()
                .fold(OwnedHeaders::new(), |all, (key, value)| {
                    all.insert(Header { key, value: *value })
                });
            let record = BaseRecord::<str, str>::to("t")
                .partition(0)
                .headers(headers);
            let record = match value {
                Some(value) => record.payload(value),
                None => record,
            };
            producer.send(record).expect("it is queued");
        }
        let flushed = producer.flush(Duration::from_secs(10));
        flushed.expect("all is sent");
    }

    #[tokio::test]
    async fn headers_come_as_they_were_written_whatever_the_value_before_them() {
        for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let cluster = MockCluster::new(1).expect("a stand-in cluster");
            cluster.create_topic("t", 1, 1).expect("it is created");
            let brokers = cluster.bootstrap_servers();
            write(&brokers, compression);

            let mut config = ClientConfig::new();
            let _ = config
                .set("bootstrap.servers", brokers)
                .set("group.id", "g");
            let client: Arc<BaseConsumer> = Arc::new(config.create().expect("a consumer"));
            let wake = Arc::new(Notify::new());
            let queue = Arc::new(LaneQueue::new(&client, Arc::clone(&wake)));
            assert!(forward(&*client, "t", 0, &queue));
            let mut list = TopicPartitionList::new();
            let added = list.add_partition_offset("t", 0, Offset::Beginning);
            added.expect("a partition");
            client.assign(&list).expect("assigned");
            let mut inbox = Inbox::new(queue);
            let mut read: Vec<Headers> = Vec::new();
            while read.len() < WRITTEN.len() {
                let woken = tokio::time::timeout(Duration::from_secs(30), wake.notified());
                woken.await.expect("records come");
                let _ = inbox.receive(100, |_, record| {
                    assert_eq!(record.error(), None);
                    assert!(record.is_kept_as_described());
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let headers = record.headers();
                    read.push(
                        headers
                            .map(|(name, value)| (text(name), value.map(text)))
                            .collect(),
                    );
                    false
                });
            }
            let owned = |(name, value): &(&str, Option<&str>)| {
                ((*name).to_owned(), value.map(str::to_owned))
            };
            let written = WRITTEN
                .iter()
                .map(|(_, headers)| headers.iter().map(owned).collect());
            assert_eq!(read, written.collect::<Vec<Headers>>(), "{compression}");
        }
    }
}
