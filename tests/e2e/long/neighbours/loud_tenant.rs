//! One tenant that sends as much as a hundred others together.

use std::time::Duration;

use anyhow::Result;
use testkit::latency::Histogram;
use testkit::services::{Kafka, Search, SearchVersion};
use testkit::wait;

use super::{LIMIT, PARTITIONS, settled, setup};
use crate::support::Steps;

/// Records per second of all others together; the loud one sends as many.
const RATE: u64 = 5_000;
/// Of each tenant. The others are a hundred hosts, with 50 each; the margin is for a producer that was kept
/// waiting and catches up.
const LIMIT_OF_EACH: u64 = 500;
const WATCHED: Duration = Duration::from_secs(40);
/// Before the watch, for the start to be over.
const SETTLING: Duration = Duration::from_secs(10);

/// The others' latency alone, beside a loud tenant that is limited, and beside one that is not.
pub(crate) fn a_loud_tenant() {
    let mut steps = Steps::new("a loud tenant");
    let kafka = Kafka::start().expect("Kafka starts");
    let search = Search::start(SearchVersion::Elasticsearch9).expect("Elasticsearch starts");
    steps.done("start");
    let alone = watch(&kafka, &search, "alone", "{{ doc.host }}", None);
    steps.done(&alone);
    // By fours, so that both are in all partitions.
    let loud = "{{ doc.number % 8 < 4 ? 'loud' : doc.host }}";
    for (name, limit) in [("limited", Some(LIMIT_OF_EACH)), ("not-limited", None)] {
        steps.done(&watch(&kafka, &search, name, loud, limit));
    }
}

/// Says how old records were when they were settled.
fn watch(kafka: &Kafka, search: &Search, name: &str, tenant: &str, limit: Option<u64>) -> String {
    let settings = [("message.timestamp.type", "LogAppendTime")];
    kafka
        .create_topic(name, PARTITIONS as i32, &settings)
        .expect("the topic is created");
    let (limit, last) = match limit {
        Some(rate) => (
            format!(
                "  limit: {{type: limit, inputs: [tenant], key: \"{{{{ doc.tenant }}}}\", rate: {rate}/s, above: drop}}\n"
            ),
            "limit",
        ),
        None => (String::new(), "tenant"),
    };
    let nodes = format!(
        "\
spouts:
  logs: {{type: kafka, connection: kafka, topics: [{name}], start: earliest}}
bolts:
  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  tenant: {{type: set_fields, inputs: [parse], fields: {{tenant: \"{tenant}\"}}}}
{limit}  index: {{type: elasticsearch, connection: search, inputs: [{last}], index: {name}, event_time_bounds: off}}
"
    );
    let mut isobar = setup(kafka, search, name, &nodes)
        .start()
        .expect("it starts");
    isobar.wait_until_ready(LIMIT).expect("it reads");
    let is_loud = tenant.contains("loud");
    // Half of the records are the loud tenant's then.
    let per_second = RATE * if is_loud { 2 } else { 1 };
    let load = kafka.load(name, PARTITIONS, per_second).expect("it starts");
    wait::rest(SETTLING);
    let before = Histogram::of(isobar.address()).expect("a histogram");
    wait::rest(WATCHED);
    let watched = Histogram::of(isobar.address())
        .expect("a histogram")
        .since(&before);
    let sent = load.finish().expect("all is acknowledged");
    let total = settled(&mut isobar, sent);
    assert_eq!(total.indexed() + total.dropped, sent, "{total:?}");
    if limit.is_empty() {
        assert_eq!(total.dropped, 0, "{total:?}");
    } else {
        let others = search
            .client()
            .refresh(name)
            .and_then(|()| count_others(search, name));
        let of_others = (0..sent).filter(|number| number % 8 >= 4).count() as u64;
        assert_eq!(others.expect("it counts"), of_others, "none is dropped");
    }
    assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
    search.client().delete_index(name).expect("an empty start");
    // Were all of the others' among the slowest, 1 in 100 of them were 1 in 200 of all.
    let share = if is_loud { 0.995 } else { 0.99 };
    format!(
        "{name}: {per_second} records/s, 99 in 100 of the others settled within {:.2} s; {} dropped",
        watched.quantile(share),
        total.dropped
    )
}

fn count_others(search: &Search, index: &str) -> Result<u64> {
    let query = serde_json::json!({"bool": {"must_not": {"term": {"tenant.keyword": "loud"}}}});
    search.client().count_where(index, &query)
}
