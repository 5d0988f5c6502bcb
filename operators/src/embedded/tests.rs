//! What a topology file gets that names embedded services, over real connections.

use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use isobar_topology::clock;
use isobar_topology::spec::Node;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;
use url::Url;

use super::*;
use crate::elasticsearch::http::Http;
use crate::kafka::admin::{Admin, RDKafkaErrorCode, Spec as Which, TopicPartition};
use crate::kafka::{Compression, OutRecord, Producer, ProducerConfig};

const SOON: Duration = Duration::from_secs(10);

fn spec() -> Spec {
    let file = json!({
        "isobar": 1,
        "name": "t",
        "connections": {
            "kafka": {"type": "kafka", "brokers": "embedded", "tls": {"ca": "gone.pem"}},
            "real": {"type": "kafka", "brokers": "kafka:9092"},
            "search": {"type": "elasticsearch", "hosts": ["embedded"], "auth": {"api_key": "a2V5"}},
        },
        "spouts": {
            "logs": {"type": "kafka", "connection": "kafka", "topics": "a, b", "start": "earliest"},
            "more": {"type": "kafka", "connection": "real", "topics": ["c"], "start": "earliest"},
        },
        "bolts": {
            "out": {"type": "kafka", "connection": "kafka", "inputs": ["logs"], "topic": "t-{{ doc.x }}"},
        },
        "dead_letter": {"type": "kafka", "connection": "kafka", "topic": "dead"},
    });
    Spec::read(&Node::from_json(&file)).expect("a sound file")
}

fn connection(brokers: &str) -> KafkaConnection {
    KafkaConnection::plain(&[brokers.to_owned()])
}

#[test]
fn a_file_gets_what_it_names_and_the_addresses_with_it() {
    let mut spec = spec();
    let services = Embedded::start(&mut spec).expect("they start");
    let services = services.expect("two are named");
    let kafka = services.kafka.as_ref().expect("it is named");
    let search = services.search.as_ref().expect("it is named");
    let options = |number: usize| spec.connections[number].config.to_json();
    assert_eq!(options(0), json!({"brokers": kafka.brokers()}));
    assert_eq!(options(1), json!({"brokers": "kafka:9092"}));
    assert_eq!(options(2), json!({"hosts": search.url()}));

    let admin = Admin::new(&connection(kafka.brokers()), SOON).expect("a client");
    let topics = admin.topics(&["a", "b", "dead"]).expect("it answers");
    for (name, topic) in topics {
        let topic = topic.expect("it was made");
        assert_eq!((topic.name, topic.partitions), (name, 4));
        assert!(topic.id.is_some(), "a topic that is made again is told");
    }
    let unnamed = admin.topics(&["c"]).expect("it answers").remove(0).1;
    assert_eq!(unnamed, Err(RDKafkaErrorCode::UnknownTopicOrPartition));
    assert!(Embedded::start(&mut spec).expect("nothing to do").is_none());
}

#[test]
fn what_is_started_nowhere_is_refused_in_words() {
    let connection = connection("embedded");
    let refused = Admin::new(&connection, SOON)
        .map(drop)
        .expect_err("not here");
    let said = refused.to_string();
    assert!(
        said.contains("inside the process that runs the topology"),
        "{said}"
    );
}

/// The limits that are told, each found out by asking: where librdkafka gets better, the words go.
#[tokio::test]
async fn the_limits_of_embedded_kafka_are_those_that_are_told() {
    let kafka = EmbeddedKafka::start().expect("it starts");
    kafka.create_topic("t").expect("made");
    kafka.create_topic("t").expect("there");
    let connection = connection(kafka.brokers());
    let producer = Producer::new(&ProducerConfig {
        connection: connection.clone(),
        compression: Compression::None,
        queue_size: 32 << 20,
        options: std::collections::BTreeMap::new(),
    })
    .expect("a producer");
    let value = vec![b'x'; 100_000];
    let record = OutRecord {
        topic: "t",
        partition: Some(0),
        payload: Some(&value),
        timestamp: Some(1_000),
        ..OutRecord::default()
    };
    let sent = producer.send((0..80).map(|_| record)).await.await;
    assert!(sent.is_empty(), "{sent:?}");

    let asked = tokio::task::spawn_blocking(move || {
        let admin = Admin::new(&connection, SOON).expect("a client");
        let partition = [TopicPartition::new("t", 0)];
        let offset = |which| {
            let mut answers = admin.offsets(&partition, which).expect("it answers");
            answers.remove(0).1.expect("it is there")
        };
        let (start, end) = (offset(Which::Earliest), offset(Which::Latest));
        // 5 MiB are 52 of these, and they go by batches of up to 1 MB.
        assert_eq!(end, 80);
        assert!((28..=40).contains(&start), "{start}");
        let by_time = admin.first_since(&[(partition[0].clone(), 0)]);
        let by_time = by_time.expect("it answers").remove(0).1;
        assert_eq!(by_time, Ok(None), "no record is found by its time");
        let settings = admin.topic_configurations(&["t"]).map(drop);
        let settings = settings.expect_err("nothing is told of settings");
        assert!(settings.is_unsupported());
        let said = settings.to_string();
        assert!(said.contains("the embedded Kafka cannot"), "{said}");
        connection
    });
    let connection = asked.await.expect("as it is told");
    let refused = crate::kafka::create_topic(&connection, "more", 2, SOON).await;
    let said = refused.expect_err("it makes none on request").to_string();
    assert!(
        said.starts_with("creating topic more: the embedded Kafka cannot do this; it has the topics that its topology file names"),
        "{said}"
    );
}

/// Of librdkafka's mock cluster: whoever joins a group that has members waits for `session.timeout.ms` less a
/// second, also when all of them have said that they are there (`rd_kafka_mock_cgrp_classic_rebalance` of
/// librdkafka 2.12.1); and twice, where partitions are handed over as Isobar's spouts do it, cooperatively. Real
/// brokers go on as soon as all are there.
#[test]
fn a_second_member_of_a_group_of_embedded_kafka_waits_as_long_as_is_told() {
    const SESSION: Duration = Duration::from_secs(3);
    let kafka = EmbeddedKafka::start().expect("it starts");
    kafka.create_topic("t").expect("made");
    let member = || {
        let member: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka.brokers())
            .set("group.id", "g")
            .set("session.timeout.ms", SESSION.as_millis().to_string())
            .set("heartbeat.interval.ms", "100")
            .create()
            .expect("a client");
        member.subscribe(&["t"]).expect("a topic");
        member
    };
    let partitions = |member: &BaseConsumer| {
        let _ = member.poll(Duration::from_millis(10));
        member.assignment().expect("it is known").count()
    };
    let first = member();
    let began = clock::now();
    while partitions(&first) == 0 {
        assert!(began.elapsed() < SOON, "nothing was given to the first one");
    }
    let second = member();
    let began = clock::now();
    while partitions(&second) == 0 {
        let _ = partitions(&first);
        assert!(
            began.elapsed() < 2 * SOON,
            "nothing was given to the second one"
        );
    }
    let took = began.elapsed();
    assert!(took >= SESSION - Duration::from_secs(1), "{took:?}");
    let told = KAFKA_LIMITS.join("; ");
    assert!(told.contains("up to two minutes to share a group anew"));
}

#[test]
fn an_index_comes_back_on_its_port_with_what_it_held() {
    let search = EmbeddedSearch::start(1 << 20).expect("it starts");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let http = Http::new(HeaderMap::new(), None, SOON, 1);
    let send = |method, path: &str, body: &'static str| {
        let url = Url::parse(&format!("{}{path}", search.url())).expect("a URL");
        let (http, body) = (&http, Bytes::from_static(body.as_bytes()));
        async move { http.send(method, &url, &[], body).await }
    };
    let ask = |path: &str| {
        let asked = send(Method::GET, path, "");
        runtime.block_on(async { asked.await?.bytes(1 << 20).await })
    };
    let body = "{\"create\":{\"_index\":\"logs\",\"_id\":\"1\"}}\n{\"level\":\"info\"}\n";
    let sent = send(Method::POST, "/_bulk", body);
    let stored = runtime.block_on(sent).expect("it answers");
    assert_eq!(stored.headers()["x-elastic-product"], "Elasticsearch");
    assert_eq!(search.counts().documents, 1);

    search.close();
    search.close();
    assert!(!search.is_open());
    let _ = ask("/").expect_err("nothing listens");
    let (status, _) = search.search("q=level:info");
    assert_eq!(status, 200, "what it holds is still seen from inside");
    search.reopen().expect("the port is free");
    search.reopen().expect("nothing to do");
    let count = ask("/logs/_count?q=level:info").expect("it answers");
    assert!(count.starts_with(b"{\"count\":1,"), "{count:?}");

    search.take_at_most(4);
    let began = clock::now();
    let _ = runtime
        .block_on(send(Method::POST, "/_bulk", body))
        .expect("it answers");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(250), "{took:?}");
}
