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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rdkafka::error::KafkaResult;
    use rdkafka::mocking::MockCluster;
    use rdkafka::{ClientConfig, ClientContext, Offset};

    use super::*;
    use crate::kafka::log::lock;

    type Answer = (bool, Vec<Option<RDKafkaErrorCode>>);

    #[derive(Default)]
    struct Answers(Mutex<Vec<Answer>>);

    impl ClientContext for Answers {}

    impl ConsumerContext for Answers {
        fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
            let errors = list::elements(offsets).into_iter();
            let errors = errors.map(|element| element.error).collect();
            lock(&self.0).push((result.is_ok(), errors));
        }
    }

    /// What `commits.rs` rests on. When this fails, librdkafka says of each partition what became of it:
    /// then nothing needs to be committed alone any more.
    #[test]
    fn one_refused_partition_gives_its_error_to_those_that_were_stored_unless_they_go_alone() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 1, 1).expect("it is created");
        let client: BaseConsumer<Answers> = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("group.id", "g")
            .create_with_context(Answers::default())
            .expect("a client");
        let list_of = |partitions: &[i32], offset| {
            let mut list = TopicPartitionList::new();
            for partition in partitions {
                let added = list.add_partition_offset("t", *partition, offset);
                added.expect("an offset");
            }
            list
        };
        let answer_to = |partitions: &[i32], offset| {
            let list = list_of(partitions, Offset::Offset(offset));
            commit(&client, &list).expect("it is sent");
            for _ in 0..200 {
                let _ = client.poll(Duration::from_millis(100));
                if let Some(answer) = lock(&client.context().0).pop() {
                    return answer;
                }
            }
            panic!("no answer");
        };
        let (there, missing) = (0, 9);
        let stored = || {
            let asked = list_of(&[there], Offset::Invalid);
            let answer = client.committed_offsets(asked, Duration::from_secs(20));
            answer.expect("an answer").elements()[0].offset()
        };
        let unknown = Some(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(
            answer_to(&[there, missing], 5),
            (false, vec![unknown, unknown])
        );
        assert_eq!(stored(), Offset::Offset(5));
        assert_eq!(answer_to(&[missing], 6), (false, vec![unknown]));
        assert_eq!(answer_to(&[there], 6), (true, vec![None]));
        assert_eq!(stored(), Offset::Offset(6));
    }
}
