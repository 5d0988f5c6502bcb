//! `isobar lag` after the program was killed: behind, with the oldest record in its hands, and caught up, with
//! records that come when nothing runs any more. The age comes from what the commit says, or from asking
//! the brokers, and carries how it is to be taken.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::ensure;
use isobar_topology::clock;
use serde_json::{Value, json};
use testkit::bulk_server::{BulkServer, Options};
use testkit::isobar::Setup;
use testkit::services::Kafka;
use testkit::wait;

use super::record;
use crate::support::Steps;

const LIMIT: Duration = Duration::from_secs(60);
const GROUP: &str = "killed-lag";
/// One of brokers' timestamps, one of producers'.
const TOPICS: [&str; 2] = ["append", "create"];
const MINUTE: i64 = 60_000;

const TOPOLOGY: &str = "\
isobar: 1
name: killed-lag
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
  search: {type: elasticsearch, hosts: \"${ES}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [append, create], start: earliest, commit_interval: 200ms, group_instance_id: only}
bolts:
  parse: {type: parse_json, inputs: [logs], on_rejected: drop}
  index: {type: elasticsearch, connection: search, inputs: [parse], index: logs, on_rejected: drop}
";

/// Sends records to both topics, those of producers' timestamps with this one. Tells when it was.
fn send(kafka: &Kafka, count: usize, ms: i64) -> RangeInclusive<i64> {
    let before = clock::unix_ms();
    for topic in TOPICS {
        let records = (0..count).map(|_| record(0, ms));
        kafka.produce(topic, records).expect("acknowledged");
    }
    before..=clock::unix_ms()
}

/// What `isobar lag` says of the topics, and its exit code.
fn asked(setup: &Setup, arguments: &[&str]) -> (Option<i32>, [Value; 2]) {
    let command = [&["lag", "-o", "json"], arguments].concat();
    let ended = setup.finish(&command, LIMIT).expect("it ends");
    let json: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    let rows = &json["spouts"][0]["partitions"];
    assert_eq!(rows.as_array().map(Vec::len), Some(2), "{}", ended.stderr);
    (ended.status.code(), [rows[0].clone(), rows[1].clone()])
}

/// Checks lag, age and how that is to be taken of each topic, at the end of a look that began at `from`.
fn check(
    rows: &[Value; 2],
    lag: u64,
    since: [RangeInclusive<i64>; 2],
    exactness: [&str; 2],
    from: i64,
) {
    let now = clock::unix_ms();
    for ((row, since), exactness) in rows.iter().zip(since).zip(exactness) {
        assert_eq!(row["lag"], lag, "{row}");
        assert_eq!(row["oldest_age_exactness"], exactness, "{row}");
        let age = row["oldest_age_seconds"].as_f64().expect("known") * 1_000.0;
        let truth = from - since.end() - 1_000..=now - since.start() + 1_000;
        assert!(truth.contains(&(age as i64)), "{row}: {truth:?}");
    }
}

#[test]
fn the_age_is_right_after_a_kill_behind_and_after_one_caught_up() {
    let mut steps = Steps::new("lag after a kill");
    let kafka = Kafka::start().expect("Kafka starts");
    for (topic, kind) in TOPICS.into_iter().zip(["LogAppendTime", "CreateTime"]) {
        let settings = [("message.timestamp.type", kind)];
        kafka.create_topic(topic, 1, &settings).expect("created");
    }
    let mut search = BulkServer::start(Options::default()).expect("a free port");
    let setup = Setup::new(TOPOLOGY).expect("a directory");
    let setup = setup.environment("KAFKA", kafka.brokers());
    let setup = setup.environment("ES", &search.url());
    // The last record that is settled is an hour old.
    let hour_ago = clock::unix_ms() - 60 * MINUTE;
    let _ = send(&kafka, 5, hour_ago);
    let mut isobar = setup.start().expect("it starts");
    let committed = |offset: i64, text: &str| {
        wait::until("the commits", LIMIT, || {
            for topic in TOPICS {
                let committed = kafka.committed(GROUP, topic)?;
                ensure!(committed == [Some(offset)], "{topic}: {committed:?}");
                let told = kafka.commit_text(GROUP, topic, 0)?;
                ensure!(told.contains(text), "{topic}: {told}");
            }
            Ok(())
        })
        .expect("it commits");
    };
    committed(5, ";l=");
    steps.done("start");

    search.close();
    let ten_minutes_ago = clock::unix_ms() - 10 * MINUTE;
    let sent = send(&kafka, 10, ten_minutes_ago);
    committed(5, ";f=");
    isobar.kill9();
    let _ = send(&kafka, 5, clock::unix_ms() - 5 * MINUTE);
    let from = clock::unix_ms();
    let (exit, rows) = asked(isobar.setup(), &["--fail-older", "5m"]);
    let since = [sent, ten_minutes_ago..=ten_minutes_ago];
    let exactness = ["upper_bound", "sampled"];
    check(&rows, 15, since, exactness, from);
    assert_eq!(exit, Some(3), "one of them is 10 minutes old");
    steps.done("killed behind");

    search.reopen().expect("its port is free");
    isobar.start_again().expect("it starts");
    committed(20, ";l=");
    isobar.kill9();
    let (exit, rows) = asked(isobar.setup(), &["--fail-older", "1s"]);
    assert_eq!(exit, Some(0), "{rows:?}");
    for row in &rows {
        let shown = (&row["lag"], &row["oldest_age_seconds"]);
        assert_eq!(shown, (&json!(0), &json!(0.0)), "{row}");
    }
    let now = clock::unix_ms();
    let sent = send(&kafka, 5, now);
    let _ = send(&kafka, 5, now + MINUTE);
    let from = clock::unix_ms();
    let (exit, rows) = asked(isobar.setup(), &[]);
    check(&rows, 10, [sent, now..=now], exactness, from);
    assert_eq!(exit, Some(0), "{rows:?}");
    steps.done("killed caught up, then records came");
}
