//! Commits whose answers arrive: bounded, or through the poll thread.
//!
//! librdkafka's own synchronous commit waits as long as it takes, and the answers of its
//! asynchronous one reach nobody when events are used instead of callbacks, as the `rdkafka` crate
//! does: its `commit_callback` is then never called.

#![expect(
    unsafe_code,
    reason = "the rdkafka crate commits either without an answer or without a bound"
)]

use std::ptr;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;
use rdkafka_sys::RDKafkaRespErr;

use super::list;

/// Commits offsets with their metadata without waiting; the answer comes to the context's
/// `commit_callback`, on the thread that polls.
pub(in crate::kafka) fn commit<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    // SAFETY: client and list are alive; librdkafka copies the list. The handle of the consumer's
    // queue is ours; the queue itself lives as long as its client.
    unsafe {
        let native = client.client().native_ptr();
        let queue = sys::rd_kafka_queue_get_consumer(native);
        if queue.is_null() {
            return Err(RDKafkaErrorCode::UnknownGroup);
        }
        let started =
            sys::rd_kafka_commit_queue(native, offsets.ptr(), queue, None, ptr::null_mut());
        sys::rd_kafka_queue_destroy(queue);
        ok_or(started)
    }
}

/// Commits offsets with their metadata and waits for the coordinator's answer, at most `within`.
///
/// After a time-out the commit may still happen.
pub(in crate::kafka) fn commit_within<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
    within: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: client and list are alive; librdkafka copies the list. The queue and the event are
    // owned here and destroyed once; the event's list is borrowed from it and copied before. An
    // answer that comes after the queue's end is dropped by librdkafka, which counts references.
    unsafe {
        let native = client.client().native_ptr();
        let queue = sys::rd_kafka_queue_new(native);
        let started =
            sys::rd_kafka_commit_queue(native, offsets.ptr(), queue, None, ptr::null_mut());
        let outcome = if started == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            let event = sys::rd_kafka_queue_poll(queue, millis);
            if event.is_null() {
                Err(RDKafkaErrorCode::OperationTimedOut)
            } else {
                let code = sys::rd_kafka_event_error(event);
                let elements = list::copy(sys::rd_kafka_event_topic_partition_list(event));
                sys::rd_kafka_event_destroy(event);
                match elements.iter().find_map(|element| element.error) {
                    Some(code) => Err(code),
                    None => ok_or(code),
                }
            }
        } else {
            ok_or(started)
        };
        sys::rd_kafka_queue_destroy(queue);
        outcome
    }
}

fn ok_or(code: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}
