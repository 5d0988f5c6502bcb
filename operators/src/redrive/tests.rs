//! A redrive against librdkafka's stand-in cluster: records in their places, and what is told afterwards.

use std::path::Path;

use isobar_topology::spec::{Node, Spec};
use isobar_topology::{Finish, plan};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::json;

use super::*;
use crate::letters::{Content, Stored};
use crate::registry;

const WITHIN: Duration = Duration::from_secs(10);

fn spec(brokers: &str, letters: &str) -> Spec {
    let file = json!({
        "isobar": 1, "name": "logs",
        "connections": {"kafka": {"type": "kafka", "brokers": brokers}},
        "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": ["t"],
            "start": "earliest"}},
        "bolts": {
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "end": {"type": "blackhole", "inputs": ["parse"]},
        },
        "dead_letter": {"type": "kafka", "connection": "kafka", "topic": letters},
    });
    Spec::read(&Node::from_json(&file)).expect("the file is sound")
}

/// Writes the letter of the record at an offset of `t/0`, of a topic with this source.
fn write(producer: &BaseProducer, topic: &str, (source, offset): (u64, i64), payload: &str) {
    let fields = [
        ("isobar.dead_letter.version", "1".to_owned()),
        ("isobar.dead_letter.topology", "logs".to_owned()),
        ("isobar.dead_letter.bolt", "parse".to_owned()),
        ("isobar.dead_letter.attempts", "1".to_owned()),
        ("isobar.dead_letter.class", "invalid_json".to_owned()),
        ("isobar.dead_letter.reason", "a reason".to_owned()),
        ("isobar.dead_letter.rejected_at", offset.to_string()),
        ("isobar.origin.source", format!("{source:016x}")),
        ("isobar.origin.topic", "t".to_owned()),
        ("isobar.origin.partition", "0".to_owned()),
        ("isobar.origin.offset", offset.to_string()),
    ];
    let mut headers = OwnedHeaders::new();
    for (key, value) in &fields {
        let value = Some(value);
        headers = headers.insert(Header { key, value });
    }
    let record = BaseRecord::to(topic).partition(0).key("k");
    let record = record.payload(payload).headers(headers);
    producer.send(record).expect("it is queued");
}

/// The letters in the topic as (offset of the record, redrives), then the offsets that are resolved.
fn read(letters: &DeadLetters) -> (Vec<(i64, u32)>, Vec<i64>) {
    let (mut found, mut resolved) = (Vec::new(), Vec::new());
    letters
        .read(WITHIN, |stored| match stored.content.expect("ours") {
            Content::Letter(letter) => found.push((letter.origin.offset, letter.redrives)),
            Content::Resolution(resolution) => resolved.push(resolution.origin.offset),
        })
        .expect("it is read");
    resolved.sort_unstable();
    (found, resolved)
}

fn job(topics: &[DeadLetters]) -> Job {
    let mut picks = BTreeMap::new();
    let mut add = |topic: usize, stored: Stored| {
        let Ok(Content::Letter(letter)) = stored.content else {
            return;
        };
        let resolution = Resolution {
            origin: letter.origin.clone(),
            bolt: letter.bolt,
            redrives: letter.redrives,
            rejected_at: letter.rejected_at,
            run: "logs.redrive.1".to_owned(),
        };
        let at = (topic, stored.partition, stored.offset);
        let pick = Pick {
            origin: letter.origin,
            redrives: letter.redrives,
            marks: vec![Mark { at, resolution }],
        };
        let _ = picks.insert(at, pick);
    };
    for (topic, letters) in topics.iter().enumerate() {
        let read = letters.read(WITHIN, |stored| add(topic, stored));
        read.expect("it is read");
    }
    Job {
        run: "logs.redrive.1".to_owned(),
        letters: topics.to_vec(),
        picks: Arc::new(picks),
        within: WITHIN,
        rate: None,
        is_unprotected: false,
        gate: None,
        misplaced: Arc::default(),
    }
}

#[tokio::test]
async fn nothing_goes_through_while_the_gate_is_closed() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    cluster.create_topic("dead", 1, 1).expect("it is created");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer");
    for offset in 0..3 {
        write(&producer, "dead", (7, offset), "{}");
    }
    producer.flush(WITHIN).expect("all is sent");

    let spec = spec(&cluster.bootstrap_servers(), "dead");
    let letters = DeadLetters::of(&spec).expect("sound").expect("a topic");
    let planned = plan(&spec, &registry(), 2, Path::new("."));
    let mut graph = planned.expect("sound").graph;
    let gate = Arc::new(Gate::default());
    gate.close("the live topology is behind");
    let job = Job {
        gate: Some(Arc::clone(&gate)),
        ..job(&[letters])
    };
    redrive(&spec, &mut graph, "in", job).expect("sound");
    let running = isobar_topology::start(graph, true).expect("it starts");
    let standing = async {
        // It says that it lives while it waits.
        while running.health().progress() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waits = tokio::time::timeout(WITHIN, standing).await;
    waits.expect("it is at the gate");
    assert_eq!(running.account(0).read, 0);
    gate.open();
    assert_eq!(running.finished().await, Finish::Drained);
    assert_eq!(running.account(0).read, 3);
}

#[tokio::test]
async fn records_go_through_at_their_old_places_and_their_letters_are_settled() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    for topic in ["dead", "bad"] {
        cluster.create_topic(topic, 1, 1).expect("it is created");
    }
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer");
    // In no order; one is of a former topic of the name, and one is rejected again.
    for (source, offset, payload) in [(7, 5, "{}"), (7, 3, "{}"), (8, 4, "{}"), (7, 4, "none")] {
        write(&producer, "dead", (source, offset), payload);
    }
    // At the place of the first one, in another topic.
    write(&producer, "bad", (7, 6), "{}");
    producer.flush(WITHIN).expect("all is sent");

    let [spec, other] = ["dead", "bad"].map(|topic| spec(&cluster.bootstrap_servers(), topic));
    let topics = [&spec, &other].map(|spec| {
        let letters = DeadLetters::of(spec).expect("sound");
        letters.expect("a topic")
    });
    let mut graph = plan(&spec, &registry(), 2, Path::new("."))
        .expect("sound")
        .graph;
    redrive(&spec, &mut graph, "in", job(&topics)).expect("sound");
    let running = isobar_topology::start(graph, true).expect("it starts");
    assert_eq!(running.finished().await, Finish::Drained);

    let account = running.account(0);
    assert_eq!(
        (account.read, account.dead_lettered, account.difference()),
        (5, 1, 0)
    );
    let mut sources: Vec<(u64, u64)> = running
        .partitions(0)
        .ever()
        .map(|(partition, _)| (partition.source(), partition.account().read))
        .collect();
    sources.sort_unstable();
    assert_eq!(sources, [(7, 4), (8, 1)]);
    let (found, resolved) = read(&topics[0]);
    assert_eq!(found, [(5, 0), (3, 0), (4, 0), (4, 0), (4, 1)]);
    assert_eq!(resolved, [3, 4, 4, 5]);
    assert_eq!(read(&topics[1]), (vec![(6, 0)], vec![6]));
}

#[tokio::test]
async fn what_a_run_has_settled_before_it_died_is_marked() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    cluster.create_topic("dead", 1, 1).expect("it is created");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer");
    for offset in 0..1_500 {
        write(&producer, "dead", (7, offset), "{}");
    }
    producer.flush(WITHIN).expect("all is sent");
    let spec_of = |topic| spec(&cluster.bootstrap_servers(), topic);
    let spec = spec_of("dead");
    let letters = DeadLetters::of(&spec).expect("sound").expect("a topic");
    let mut job = job(std::slice::from_ref(&letters));
    job.is_unprotected = true;
    // It breaks where it is to read on: what it has handed over before is all that goes through.
    let missing = DeadLetters::of(&spec_of("missing")).expect("sound");
    job.letters.extend(missing);
    let planned = plan(&spec, &registry(), 2, Path::new("."));
    let mut graph = planned.expect("sound").graph;
    redrive(&spec, &mut graph, "in", job).expect("sound");
    let running = isobar_topology::start(graph, true).expect("it starts");
    let marked = async {
        while read(&letters).1.len() < 1_000 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let marked = tokio::time::timeout(WITHIN, marked).await;
    marked.expect("the first 1,000 are marked");
    assert_eq!(running.account(0).read, 1_000);
    assert_eq!(read(&letters).1, (0..1_000).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_letter_of_another_record_at_a_place_that_was_chosen_is_left_out() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    cluster.create_topic("dead", 1, 1).expect("it is created");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer");
    for offset in [5, 6, 7] {
        write(&producer, "dead", (7, offset), "{}");
    }
    let stranger = BaseRecord::<str, str>::to("dead")
        .partition(0)
        .payload("{}");
    producer.send(stranger).expect("it is queued");
    producer.flush(WITHIN).expect("all is sent");
    let spec = spec(&cluster.bootstrap_servers(), "dead");
    let letters = DeadLetters::of(&spec).expect("sound").expect("a topic");
    let mut job = job(std::slice::from_ref(&letters));
    // They were chosen in a topic of this name that is no more.
    let mut picks = Arc::unwrap_or_clone(job.picks);
    let first = picks.get_mut(&(0, 0, 0)).expect("a letter");
    first.origin.source = 8;
    let (mut second, at) = (first.clone(), (0, 0, 3));
    second.origin.offset = 9;
    let _ = picks.insert(at, second);
    job.picks = Arc::new(picks);
    let misplaced = Arc::clone(&job.misplaced);
    let planned = plan(&spec, &registry(), 2, Path::new("."));
    let mut graph = planned.expect("sound").graph;
    redrive(&spec, &mut graph, "in", job).expect("sound");
    let running = isobar_topology::start(graph, true).expect("it starts");
    assert_eq!(running.finished().await, Finish::Drained);
    assert_eq!(running.account(0).read, 2);
    assert_eq!(misplaced.load(std::sync::atomic::Ordering::Relaxed), 2);
    let mut resolved = Vec::new();
    let read = letters.read(WITHIN, |stored| {
        if let Ok(Content::Resolution(resolution)) = stored.content {
            resolved.push(resolution.origin.offset);
        }
    });
    read.expect("it is read");
    assert_eq!(resolved, [6, 7]);
}

#[tokio::test]
async fn each_letter_of_a_record_is_settled_in_the_topic_and_partition_that_it_is_in() {
    let cluster = MockCluster::new(1).expect("a stand-in cluster");
    for topic in ["dead", "bad"] {
        cluster.create_topic(topic, 2, 1).expect("it is created");
    }
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer");
    for topic in ["dead", "bad"] {
        write(&producer, topic, (7, 5), "{}");
    }
    producer.flush(WITHIN).expect("all is sent");
    let [spec, other] = ["dead", "bad"].map(|topic| spec(&cluster.bootstrap_servers(), topic));
    let topics = [&spec, &other].map(|spec| {
        let letters = DeadLetters::of(spec).expect("sound");
        letters.expect("a topic")
    });
    let mut job = job(&topics);
    // The record goes through once, by the first of its letters; the other one is in another partition.
    let mut picks = Arc::unwrap_or_clone(job.picks);
    let mut other = picks.remove(&(1, 0, 0)).expect("a letter");
    other.marks[0].at = (1, 1, 0);
    let first = picks.get_mut(&(0, 0, 0)).expect("a letter");
    first.marks.append(&mut other.marks);
    job.picks = Arc::new(picks);
    let planned = plan(&spec, &registry(), 2, Path::new("."));
    let mut graph = planned.expect("sound").graph;
    redrive(&spec, &mut graph, "in", job).expect("sound");
    let running = isobar_topology::start(graph, true).expect("it starts");
    assert_eq!(running.finished().await, Finish::Drained);
    assert_eq!(running.account(0).read, 1);
    for (letters, partition) in topics.iter().zip([0, 1]) {
        let mut marks = Vec::new();
        let read = letters.read(WITHIN, |stored| {
            if let Ok(Content::Resolution(resolution)) = stored.content {
                marks.push((stored.partition, resolution.origin.offset));
            }
        });
        read.expect("it is read");
        assert_eq!(marks, [(partition, 5)], "{}", letters.topic());
    }
}
