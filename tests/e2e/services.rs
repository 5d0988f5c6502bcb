//! The services themselves: each starts, stores, counts, stops and starts again. When this suite
//! fails, the others need not be looked at.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use testkit::bulk_server::BulkServerProgram;
use testkit::services::rsyslog::RFC5424;
use testkit::services::{Kafka, Prometheus, Rsyslog, Search, SearchVersion};
use testkit::{http, records, wait};

use crate::support::Steps;

#[test]
fn kafka_keeps_what_it_is_given() {
    let mut steps = Steps::new("kafka");
    let mut kafka = Kafka::start().expect("Kafka starts");
    steps.done("start");

    kafka
        .create_topic("first", 4, &[])
        .expect("the topic is created");
    kafka
        .produce_json("first", 4, 0..1_000)
        .expect("all is acknowledged");
    steps.done("produce 1,000");
    let received = kafka
        .consume_all("first", Duration::from_secs(30))
        .expect("all is read");
    steps.done("consume 1,000");
    assert_eq!(received.len(), 1_000);
    for record in &received {
        let number = u64::try_from(record.offset).expect("offsets count") * 4
            + u64::try_from(record.partition).expect("partitions count");
        assert_eq!(record.value, Some(records::json(number)));
    }

    kafka.kill9();
    kafka.restart().expect("Kafka starts again");
    assert_eq!(
        kafka.end_offsets("first").expect("the broker answers"),
        [250; 4]
    );
    steps.done("kill -9 and restart");

    kafka
        .create_topic("second", 4, &[])
        .expect("the topic is created");
    kafka
        .produce_json("second", 4, 0..500_000)
        .expect("all is acknowledged");
    steps.done("produce 500,000");
    assert_eq!(
        kafka.end_offsets("second").expect("the broker answers"),
        [125_000; 4]
    );
    kafka.stop().expect("Kafka stops when asked");
    steps.done("stop");
}

#[test]
fn elasticsearch_8_keeps_what_it_is_given() {
    search_keeps_what_it_is_given(SearchVersion::Elasticsearch8);
}

#[test]
fn elasticsearch_9_keeps_what_it_is_given() {
    search_keeps_what_it_is_given(SearchVersion::Elasticsearch9);
}

#[test]
fn opensearch_2_keeps_what_it_is_given() {
    search_keeps_what_it_is_given(SearchVersion::OpenSearch2);
}

#[test]
fn opensearch_3_keeps_what_it_is_given() {
    search_keeps_what_it_is_given(SearchVersion::OpenSearch3);
}

#[test]
fn rsyslog_writes_lines_to_kafka() {
    let mut steps = Steps::new("rsyslog");
    let kafka = Kafka::start().expect("Kafka starts");
    kafka
        .create_topic("syslog", 1, &[])
        .expect("the topic is created");
    let mut rsyslog = Rsyslog::start(kafka.brokers(), "syslog", RFC5424).expect("rsyslog starts");
    steps.done("start");

    let lines =
        (0..1_000).map(|n| format!("<34>1 2026-01-01T00:00:00Z web-1 shop {n} ID47 - line {n}"));
    rsyslog.send(lines).expect("rsyslog takes them");
    wait::until("1,000 lines in Kafka", Duration::from_secs(60), || {
        let end = kafka.end_offsets("syslog")?;
        anyhow::ensure!(end == [1_000], "the topic ends at {end:?}");
        Ok(())
    })
    .expect("all arrive");
    let received = kafka
        .consume_all("syslog", Duration::from_secs(30))
        .expect("all is read");
    let texts = received.iter().filter_map(|record| record.value.as_deref());
    assert!(
        texts
            .clone()
            .all(|text| text.starts_with(b"<34>1 2026-01-01T00:00:00Z web-1 shop "))
    );
    assert_eq!(texts.count(), 1_000);
    steps.done("1,000 lines");
    rsyslog.stop().expect("rsyslog stops when asked");
    steps.done("stop");
}

#[test]
fn prometheus_answers_queries() {
    let mut steps = Steps::new("prometheus");
    let mut prometheus = Prometheus::start(&["127.0.0.1:9"], &[]).expect("Prometheus starts");
    let up = wait::until("the first scrape", Duration::from_secs(30), || {
        let up = prometheus.query("up{job=\"isobar\"}")?;
        anyhow::ensure!(!up.is_empty(), "nothing was scraped yet");
        Ok(up)
    })
    .expect("it scrapes");
    assert_eq!(up[0]["value"][1], "0", "nothing listens on that port");
    prometheus.stop().expect("Prometheus stops when asked");
    steps.done("start, query, stop");
}

#[test]
fn the_stand_in_takes_500_000_documents() {
    let mut steps = Steps::new("bulk-server");
    let binary = Path::new(env!("CARGO_BIN_EXE_bulk-server"));
    let mut stand_in = BulkServerProgram::start(binary, true).expect("the stand-in starts");
    steps.done("start");

    let bodies: Vec<Vec<u8>> = (0..50_u64)
        .map(|part| bulk_body(part * 10_000..(part + 1) * 10_000))
        .collect();
    let send = |body: &Vec<u8>| {
        let path = "/_bulk?filter_path=errors,items.*.status,items.*.error";
        let body = Some(("application/x-ndjson", &body[..]));
        let answer = http::request(
            stand_in.client().address(),
            "POST",
            path,
            body,
            Duration::from_secs(30),
        );
        answer.expect("an answer").json().expect("200 and JSON")
    };
    steps.done("write 500,000 documents into bodies");
    for body in &bodies {
        let answer = send(body);
        assert_eq!(answer["errors"], false);
        assert_eq!(answer["items"].as_array().map(Vec::len), Some(10_000));
    }
    assert_eq!(send(&bodies[7])["items"][9_999]["create"]["status"], 409);
    steps.done("send 500,000");
    let counted = stand_in.statistics().expect("it counts");
    assert_eq!(
        (&counted["documents"], &counted["duplicates"]),
        (&json!(500_000), &json!(10_000))
    );
    let process = stand_in.process();
    let cpu = process.cpu_time().expect("it runs");
    let memory = process.peak_memory().expect("it runs") >> 20;
    steps.done(&format!(
        "it used {:.2} s of CPU, {memory} MiB",
        cpu.as_secs_f32()
    ));
    stand_in.stop().expect("it stops when asked");
}

/// Creates with the record's number as id.
fn bulk_body(numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut lines = Vec::new();
    for number in numbers {
        let action = json!({"create": {"_index": "first", "_id": number.to_string()}});
        lines.extend_from_slice(action.to_string().as_bytes());
        lines.push(b'\n');
        lines.extend_from_slice(&records::json(number));
        lines.push(b'\n');
    }
    lines
}

fn search_keeps_what_it_is_given(version: SearchVersion) {
    let mut steps = Steps::new(version.directory());
    let mut search = Search::start(version).expect("the server starts");
    let client = search.client().clone();
    steps.done("start");

    let lines = bulk_body(0..1_000);
    let answer = client.bulk(&lines).expect("the bulk request is answered");
    assert_eq!(answer["errors"], false);
    let again = client.bulk(&lines).expect("the bulk request is answered");
    assert_eq!(again["items"][999]["create"]["status"], 409);
    client.refresh("first").expect("it refreshes");
    assert_eq!(client.count("first").expect("it counts"), 1_000);
    let errors = client
        .count_where("first", &json!({"term": {"level": "error"}}))
        .expect("it counts");
    assert_eq!(errors, 20);
    let mut documents = client.dump("first", &["number"]).expect("it dumps");
    documents.sort_by_key(|document| document.fields["number"].as_u64());
    for (number, document) in (0_u64..).zip(&documents) {
        assert_eq!(
            (document.id.clone(), document.fields.clone()),
            (number.to_string(), json!({"number": number}))
        );
    }
    assert_eq!(documents.len(), 1_000);
    steps.done("index, count, dump 1,000");

    search.kill9();
    search.restart().expect("the server starts again");
    client.refresh("first").expect("it refreshes");
    assert_eq!(client.count("first").expect("it counts"), 1_000);
    steps.done("kill -9 and restart");
    search.stop().expect("the server stops when asked");
    steps.done("stop");
}
