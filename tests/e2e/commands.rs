//! The commands that ask or stop at a real broker: `lag`, `run` with a deadline, signals.

use std::time::Duration;

use serde_json::Value;
use testkit::isobar::{Finished, Setup};
use testkit::services::Kafka;
use testkit::services::kafka::Sent;
use testkit::{http, wait};

use crate::support::kafka_with_records;

const LIMIT: Duration = Duration::from_secs(60);

fn setup(kafka: &Kafka) -> Setup {
    let topology = "\
isobar: 1
name: commands
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
spouts:
  logs:
    type: kafka
    connection: kafka
    topics: [logs]
    start: earliest
    options: {session.timeout.ms: 6000}
bolts:
  end: {type: blackhole, inputs: [logs], on_rejected: drop}
";
    let setup = Setup::new(topology).expect("a directory");
    setup.environment("KAFKA", kafka.brokers())
}

fn lag(setup: &Setup) -> (Finished, Value) {
    let finished = setup
        .finish(&["lag", "-o", "json", "--timeout", "20s"], LIMIT)
        .expect("it ends");
    let json = serde_json::from_str(&finished.stdout).unwrap_or_default();
    (finished, json)
}

#[test]
fn lag_is_unknown_before_the_first_commit_and_0_after_all_is_read() {
    let kafka = kafka_with_records(2, 1_000);
    let setup = setup(&kafka);

    // The first question about any group: the broker has no coordinator yet.
    let (finished, before) = lag(&setup);
    assert_eq!(finished.status.code(), Some(4), "{}", finished.stderr);
    assert!(
        finished
            .stderr
            .contains("its group commands has committed nothing"),
        "{}",
        finished.stderr
    );
    let partition = &before["spouts"][0]["partitions"][0];
    assert_eq!(
        (&partition["end"], &partition["lag"]),
        (&500.into(), &Value::Null)
    );

    let command = [
        "run",
        "--exit-when-caught-up",
        "--http",
        "off",
        "-o",
        "json",
    ];
    let run = setup.finish(&command, LIMIT).expect("it ends");
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(
        report["accounting"]["total"]["dropped_by_policy"]["end"],
        1_000
    );
    assert_eq!(report["lag"][0]["lag"], 0);

    kafka
        .produce_json("logs", 2, 1_000..1_010)
        .expect("all is acknowledged");
    let (finished, after) = lag(&setup);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert_eq!(after["spouts"][0]["lag"], 10);
    assert_eq!(after["spouts"][0]["partitions"][1]["committed"], 500);
}

#[test]
fn a_broker_that_goes_away_is_named_and_a_stop_ends_all_the_same() {
    let mut kafka = kafka_with_records(2, 1_000);
    let mut isobar = setup(&kafka).start().expect("it starts");
    isobar
        .wait_for("all records and their lag", LIMIT, |address| {
            let text = http::get(address, "/metrics")?.text();
            let all = "isobar_records_dropped_total{topology=\"commands\",spout=\"logs\",policy=\"end\"} 1000\n";
            let lag = "isobar_lag_records{topology=\"commands\",spout=\"logs\",group=\"commands\",topic=\"logs\",partition=\"1\"} 0\n";
            anyhow::ensure!(text.contains(all) && text.contains(lag), "{text}");
            Ok(())
        })
        .expect("they arrive");
    isobar.wait_until_ready(LIMIT).expect("it reads");

    let broker = kafka.brokers().to_owned();
    kafka.pause();
    wait::until("the silent broker to be missed", LIMIT, || {
        let answer = http::get(isobar.address(), "/readyz")?;
        let why = format!("no answer from {broker} within 5s");
        let said = answer.text();
        anyhow::ensure!(said.contains(&why), "{said}");
        Ok(())
    })
    .expect("it is missed");
    let address = isobar.address().to_owned();
    let lag = || -> anyhow::Result<Value> { http::get(&address, "/lag")?.json() };
    let partitions = |lag: &Value| lag["spouts"][0]["partitions"].as_array().map(Vec::len);
    let is_unknown = |lag: &Value| {
        let of_spout = (&lag["status"], &lag["spouts"][0]["lag"]);
        let of_partition = &lag["spouts"][0]["partitions"][0]["lag"];
        assert_eq!(of_spout, (&"NO_DATA".into(), &Value::Null), "{lag}");
        assert_eq!(of_partition, &Value::Null, "{lag}");
    };
    wait::until("the session to end", LIMIT, || {
        let lag = lag()?;
        is_unknown(&lag);
        anyhow::ensure!(partitions(&lag) == Some(0), "{lag}");
        Ok(())
    })
    .expect("it ends");
    let metrics = http::get(isobar.address(), "/metrics").expect("an answer");
    assert!(!metrics.text().contains("isobar_spout_lag_records{"));
    kafka.resume();
    isobar.wait_until_ready(LIMIT).expect("it reads again");
    let again = lag().expect("JSON");
    assert_eq!(partitions(&again), Some(2), "{again}");

    kafka.kill9();
    let reasons = wait::until("the broker to be missed", LIMIT, || {
        let answer = http::get(isobar.address(), "/readyz")?;
        anyhow::ensure!(answer.status == 503, "{}", answer.text());
        Ok(answer.text())
    });
    let reasons = reasons.expect("it is missed");
    assert!(
        reasons.contains("logs: ") && reasons.contains(&broker),
        "{reasons}"
    );

    let status = isobar.stop(LIMIT).expect("it ends");
    assert_eq!(
        status.code(),
        Some(0),
        "{}",
        isobar.log().unwrap_or_default()
    );
}

#[test]
fn dead_letters_are_read_back_from_their_topic() {
    let kafka = kafka_with_records(1, 10);
    kafka.create_topic("dead", 2, &[]).expect("it is created");
    let sent = |value: &str| Sent {
        partition: Some(0),
        key: Some(b"k".to_vec()),
        value: Some(value.into()),
        timestamp: None,
    };
    let bad = ["no JSON", "{", "none either"].map(sent);
    kafka.produce("logs", bad).expect("all is acknowledged");
    let topology = "\
isobar: 1
name: letters
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  end: {type: blackhole, inputs: [parse]}
dead_letter: {type: kafka, connection: kafka, topic: dead}
";
    let setup = Setup::new(topology).expect("a directory");
    let setup = setup.environment("KAFKA", kafka.brokers());
    let run = ["run", "--exit-when-caught-up", "--http", "off"];
    let run = setup.finish(&run, LIMIT).expect("it ends");
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
    kafka.produce("dead", [sent("a stranger")]).expect("sent");

    let dlq = |arguments: &[&str]| {
        let command: Vec<&str> = ["dlq"].iter().chain(arguments).copied().collect();
        let finished = setup.finish(&command, LIMIT).expect("it ends");
        let json: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
        (finished, json)
    };
    let (finished, stats) = dlq(&["stats", "-o", "json"]);
    assert_eq!(
        (&stats["letters"], &stats["strangers"]),
        (&3.into(), &1.into()),
        "{stats}"
    );
    assert!(
        finished
            .stderr
            .contains("1 records of dead are no dead letters")
    );
    let kind = &stats["kinds"][0];
    assert_eq!(
        (&kind["bolt"], &kind["class"]),
        (&"parse".into(), &"invalid_json".into())
    );
    let (_, of_another) = dlq(&["stats", "--class", "mapping", "-o", "json"]);
    assert_eq!(of_another["letters"], 0, "{of_another}");
    let (_, of_key) = dlq(&["stats", "--key", "k", "--bolt", "parse", "-o", "json"]);
    assert_eq!(of_key["letters"], 3, "{of_key}");
    let (_, list) = dlq(&["list", "--bolt", "parse", "--limit", "2", "-o", "json"]);
    let letters = list["letters"].as_array().expect("a list");
    assert_eq!(letters.len(), 2);
    let (_, none) = dlq(&["list", "--class", "mapping", "-o", "json"]);
    assert_eq!(none["letters"].as_array().map(Vec::len), Some(0));
    let at = letters[1]["letter"].as_str().expect("a place");
    let (_, shown) = dlq(&["show", "--letter", at, "-o", "json"]);
    assert_eq!(shown["record"], letters[1]["origin"], "{shown}");
    assert_eq!(shown["key"], "k");
    let (missing, _) = dlq(&["show", "--letter", "0:999"]);
    assert_eq!(missing.status.code(), Some(2), "{}", missing.stderr);
}
