//! Dates that no clock means: what rejects them live rejects them in replays and redrives as well, while records that
//! are only old are taken.

use serde_json::Value;
use testkit::isobar::Setup;
use testkit::services::kafka::Sent;
use testkit::services::{Kafka, Search};

use super::{LIMIT, json_of, plan, run};
use crate::support::{Steps, catch_up, topology};

/// 2024-03-01.
const LONG_AGO_MS: i64 = 1_709_251_200_000;

pub(super) fn dates_that_no_clock_means_make_no_index(
    kafka: &Kafka,
    search: &Search,
    steps: &mut Steps,
) {
    for topic in ["dates", "dates.dead"] {
        let kept = [("retention.ms", "-1")];
        kafka.create_topic(topic, 1, &kept).expect("it is created");
    }
    let sent = |time: &str, timestamp| Sent {
        partition: Some(0),
        key: None,
        value: Some(format!(r#"{{"timestamp":"{time}","level":"info"}}"#).into()),
        timestamp,
    };
    let old = sent("2024-02-28T00:00:00Z", Some(LONG_AGO_MS));
    let wrong = ["2099-01-01T00:00:00Z", "1970-01-20T00:00:00Z"].map(|time| sent(time, None));
    let all = std::iter::once(old).chain(wrong);
    kafka.produce("dates", all).expect("sent");
    let live = topology("dates", "")
        .replace("topics: [logs]", "topics: [dates]")
        .replace("index: \"logs-", "index: \"dates-")
        .replace("    event_time_bounds: off\n", "")
        .replace(
            "{type: file, path: dead-letters.ndjson}",
            "{type: kafka, connection: kafka, topic: dates.dead}",
        );
    let setup = Setup::new(&live).expect("a directory");
    let setup = setup
        .environment("KAFKA", kafka.brokers())
        .environment("ES", &search.url());
    assert_eq!(catch_up(&setup, &[]).total().dead_lettered, 3);

    let redrive = ["dlq", "redrive", "--yes", "-o", "json"];
    let redriven = setup.finish(&redrive, LIMIT).expect("it ends");
    let (text, log) = (&redriven.stdout, &redriven.stderr);
    assert_eq!(redriven.status.code(), Some(3), "{text}\n{log}");
    let redriven: Value = serde_json::from_str(text).expect("JSON");
    let found = &redriven["verification"];
    let counts = (&found["in_index"], &found["rejected_again"]);
    assert_eq!(counts, (&1.into(), &2.into()), "{redriven}");
    let planned = plan(
        &setup,
        "index=dated-{{ event_time.format('%Y') }}",
        "dates.json",
    );
    assert_eq!(planned["partitions"][0]["to"], 3, "{planned}");
    let ran = json_of(&run(&setup, &["dates.json", "--yes", "-o", "json"]));
    let total = &ran["run"]["accounting"]["total"];
    let counts = (&total["delivered"], &total["dead_lettered"]);
    assert_eq!(counts, (&1.into(), &2.into()), "{ran}");
    let client = search.client();
    for (pattern, index) in [("dates-*", "dates-2024.02.28"), ("dated-*", "dated-2024")] {
        let path = format!("/_resolve/index/{pattern}");
        let found = client.json("GET", &path, None).expect("it answers");
        let names = found["indices"].as_array().expect("a list").iter();
        let names: Vec<&Value> = names.map(|one| &one["name"]).collect();
        assert_eq!(names, [index], "{found}");
    }
    steps.done("reject wrong dates again");
}
