//! One huge partition beside many tiny ones: those are through long before it is, whether its records are
//! many, large, or fail.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::bulk_server::{BulkServer, BulkServerProgram, ItemFault, Options};
use testkit::http;
use testkit::isobar::{Isobar, Setup};
use testkit::services::Kafka;
use testkit::services::kafka::Sent;

use crate::support::{Steps, Total, planned_memory};

const LIMIT: Duration = Duration::from_secs(120);

/// Partition 0 is the huge one.
const PARTITIONS: i32 = 64;
/// Records in each of the others.
const TINY: u64 = 100;

/// What of the huge partition may be done when the tiny ones are: they are read with its first records. Of the
/// large ones a quarter goes with the first requests.
const SHARE_MAX: f64 = 0.5;

/// A topology over a topic of the same name, into the index that a record names.
fn setup(kafka: &Kafka, url: &str, topic: &str) -> Setup {
    let topology = format!(
        "\
isobar: 1
name: {topic}
connections:
  kafka: {{type: kafka, brokers: \"${{KAFKA}}\"}}
  search: {{type: elasticsearch, hosts: \"${{ES}}\"}}
spouts:
  logs: {{type: kafka, connection: kafka, topics: [{topic}], start: earliest}}
bolts:
  parse: {{type: parse_json, inputs: [logs]}}
  index:
    type: elasticsearch
    connection: search
    inputs: [parse]
    index: \"{{{{ doc.to }}}}\"
    flush_interval: 100ms
dead_letter: {{type: file, path: dead-letters.ndjson}}
settings: {{drain_timeout: 1s}}
"
    );
    let setup = Setup::new(&topology).expect("a directory");
    setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", url)
}

/// A topic with so many records of so many bytes in its huge partition. The tiny ones come after them.
fn fill(kafka: &Kafka, topic: &str, huge: u64, bytes: usize) {
    let created = kafka.create_topic(topic, PARTITIONS, &[]);
    created.expect("the topic is created");
    let record = |partition: i32, text: &str| {
        let to = if partition == 0 { "huge" } else { "tiny" };
        let value = format!("{{\"to\":\"{to}\",\"text\":\"{text}\"}}");
        Sent {
            partition: Some(partition),
            value: Some(value.into_bytes()),
            ..Sent::default()
        }
    };
    let text = "x".repeat(bytes);
    let of_huge = (0..huge).map(|_| record(0, &text));
    let of_tiny = (1..PARTITIONS).flat_map(|partition| (0..TINY).map(move |_| partition));
    let all = of_huge.chain(of_tiny.map(|partition| record(partition, "little")));
    kafka.produce(topic, all).expect("all is acknowledged");
}

/// What is settled of the huge partition, and of all tiny ones together.
fn settled(accounting: &Value) -> Result<(u64, u64)> {
    let partitions = accounting["spouts"][0]["partitions"].as_array();
    let (mut huge, mut tiny) = (0, 0);
    for partition in partitions.context("an account by partition")? {
        let done = partition["delivered"].as_u64().context("a count")?;
        match partition["partition"].as_i64() {
            Some(0) => huge += done,
            _ => tiny += done,
        }
    }
    Ok((huge, tiny))
}

/// Waits until the tiny partitions are done, and returns how much of the huge one is.
fn tiny_ones_done(isobar: &mut Isobar) -> u64 {
    let all_tiny = TINY * u64::from(PARTITIONS.unsigned_abs() - 1);
    let huge = isobar.wait_for("the tiny partitions", LIMIT, |address| {
        let (huge, tiny) = settled(&http::get(address, "/accounting")?.json()?)?;
        ensure!(
            tiny == all_tiny,
            "{tiny} of {all_tiny}, of the huge one {huge}"
        );
        Ok(huge)
    });
    huge.unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn tiny_partitions_do_not_wait_for_a_huge_one() {
    let mut steps = Steps::new("uneven partitions");
    let kafka = Kafka::start().expect("Kafka starts");
    // The second one is more than may be in flight, by its bytes.
    let cases = [("many", 300_000, 100), ("large", 120, 900_000)];
    for (topic, huge, bytes) in cases {
        fill(&kafka, topic, huge, bytes);
    }
    // As many as fail and leave room in flight for others.
    fill(&kafka, "failing", 80_000, 100);
    steps.done("start, send");

    let binary = Path::new(env!("CARGO_BIN_EXE_bulk-server"));
    let slow = ["--no-ids", "--delay", "300"];
    for (topic, huge, _) in cases {
        let stand_in = BulkServerProgram::start_with(binary, &slow).expect("the stand-in starts");
        let setup = setup(&kafka, &stand_in.url(), topic);
        let bound = planned_memory(&setup);
        let mut isobar = setup.start().expect("it starts");
        let done = tiny_ones_done(&mut isobar);
        let share = done as f64 / huge as f64;
        assert!(share <= SHARE_MAX, "{topic}: {done} of {huge}");
        let all = isobar.wait_for("all records", LIMIT, |address| {
            let (done, _) = settled(&http::get(address, "/accounting")?.json()?)?;
            ensure!(done == huge, "{done} of {huge}");
            Ok(())
        });
        all.unwrap_or_else(|error| panic!("{error:#}"));
        let peak = isobar.process().peak_memory();
        let peak = peak.expect("the system counts it");
        assert!(peak <= bound, "{topic}: {peak} bytes, planned {bound}");
        assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
        steps.done(&format!(
            "{topic}: {:.0} % of it were done; {} of planned {} MiB",
            share * 100.0,
            peak >> 20,
            bound >> 20
        ));
    }

    let server = BulkServer::start(Options::default()).expect("a free port");
    let busy = ItemFault::too_many_requests();
    server.fail_items(u64::MAX, |item| item.index == "huge", busy);
    let setup = setup(&kafka, &server.url(), "failing");
    let mut isobar = setup.start().expect("it starts");
    assert_eq!(tiny_ones_done(&mut isobar), 0);
    let total = Total::of(&isobar.accounting().expect("it answers")).expect("an accounting");
    assert!(total.in_flight > 0 && total.dead_lettered == 0, "{total:?}");
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
    steps.done("all of it fails, and is sent again and again");
}
