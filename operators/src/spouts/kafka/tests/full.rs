//! A partition that is full, beside another one of its lane.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use isobar_topology::testing::{FnBolt, Seen, see};
use isobar_topology::{Answer, Failure, Finish, Partition, Running, start};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::*;
use crate::embedded::Embedded;

const WITHIN: Duration = Duration::from_secs(30);
/// Records of a partition.
const RECORDS: i64 = 400;
/// What is read beyond one that waits, give or take a batch.
const UNCOMMITTED: u64 = 50;
const BATCH: u64 = 10;

fn write(producer: &BaseProducer, partition: i32, records: i64) {
    for _ in 0..records {
        let record = BaseRecord::to("t").partition(partition).key("");
        producer.send(record.payload("{}")).expect("it is queued");
    }
    producer.flush(WITHIN).expect("all is sent");
}

/// Waits until a partition is as it should be.
async fn until(running: &Running, number: i32, is_so: impl Fn(&Partition) -> bool) {
    let waiting = async {
        loop {
            let all = running.partitions(0).all();
            let partition = all.iter().find(|partition| partition.number() == number);
            if partition.is_some_and(|partition| is_so(partition)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(WITHIN, waiting).await;
    waited.unwrap_or_else(|_| panic!("partition {number}: {:?}", running.account(0)));
}

#[tokio::test]
async fn a_full_partition_stops_alone_and_goes_on_where_it_stopped() {
    let file = json!({
        "isobar": 1, "name": "full",
        "connections": {"kafka": {"type": "kafka", "brokers": "embedded"}},
        "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": ["t"], "start": "earliest",
            "max_uncommitted": UNCOMMITTED, "batch_records_max": BATCH}},
        "bolts": {"end": {"type": "blackhole", "inputs": ["in"], "on_rejected": "drop"}},
    });
    let mut spec = Spec::read(&Node::from_json(&file)).expect("the file is sound");
    let services = Embedded::start(&mut spec).expect("it starts");
    let services = services.expect("it is named");
    let brokers = services.kafka.as_ref().expect("it is named").brokers();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .expect("a producer");

    let planned = plan(&spec, &registry(), 1, Path::new("."));
    let mut graph = planned.expect("it is sound").graph;
    (graph.retry.initial, graph.retry.max) = (Duration::from_millis(10), Duration::from_millis(50));
    // Of the first partition the record at this offset waits.
    let (waits, seen) = (Arc::new(AtomicI64::new(5)), Seen::<(i32, i64)>::default());
    let (waiting, sees) = (Arc::clone(&waits), Arc::clone(&seen));
    graph.bolts[0].make = Arc::new(move |_| {
        let (waiting, sees) = (Arc::clone(&waiting), Arc::clone(&sees));
        FnBolt::any(move |batch, _| {
            let waiting = (0, waiting.load(Ordering::Acquire));
            let records = batch.records().map(|one| (one.partition(), one.offset()));
            let answers = records.map(|record| {
                if record == waiting {
                    return Answer::Failed(Failure::External);
                }
                see(&sees, record);
                Answer::Delivered
            });
            let answers: Vec<Answer> = answers.collect();
            batch.into_ack().answer_each(|row| answers[row]);
            Ok(())
        })
    });
    let running = start(graph, false).expect("it starts");
    write(&producer, 0, RECORDS);
    until(&running, 0, Partition::is_full).await;

    // The other one goes on, to its end.
    write(&producer, 1, RECORDS);
    let all = |partition: &Partition| partition.settled_to() == Some(RECORDS);
    until(&running, 1, all).await;
    let full = |partition: &Partition| {
        let account = partition.account();
        let read = account.read;
        assert!(read < UNCOMMITTED + BATCH, "{account:?}");
        partition.is_full()
    };
    until(&running, 0, full).await;

    // It goes on, stops again, and goes on to its end.
    waits.store(205, Ordering::Release);
    let again =
        |partition: &Partition| partition.account().frontier == Some(205) && partition.is_full();
    until(&running, 0, again).await;
    waits.store(-1, Ordering::Release);
    until(&running, 0, all).await;
    running.stop();
    assert_eq!(running.finished().await, Finish::Drained);

    let account = running.account(0);
    assert_eq!(
        (account.read, account.delivered),
        (800, 800),
        "none was read twice"
    );
    assert_eq!(account.difference(), 0);
    let seen = seen.lock().expect("nobody panics").clone();
    let first = seen.into_iter().filter(|(partition, _)| *partition == 0);
    let in_order: Vec<i64> = first
        .map(|(_, at)| at)
        .filter(|at| ![5, 205].contains(at))
        .collect();
    let expected = (0..RECORDS).filter(|at| ![5, 205].contains(at));
    assert!(
        in_order.into_iter().eq(expected),
        "in the order in which they were read"
    );
}
