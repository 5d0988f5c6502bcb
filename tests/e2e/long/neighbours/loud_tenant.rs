//! One tenant that sends a hundred times what each other one does.
//!
//! How old a record is when it is stored is told by the index itself: its shard numbers what it takes
//! (`_seq_no`), and how many it has taken is looked at all the time. The program's own histogram would not do
//! for a factor of 2, as its buckets are as wide as that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use isobar_topology::clock;
use testkit::proxy::Proxy;
use testkit::services::{Kafka, Search, SearchClient, SearchVersion};
use testkit::wait;

use super::{LIMIT, PARTITIONS, median, settled, setup};
use crate::support::Steps;

/// Tenants besides the loud one.
const OTHERS: u64 = 20;
/// Records per second of each of them.
const RATE: u64 = 50;
/// The loud one sends so many times that.
const LOUD: u64 = 100;
/// Records per second of each tenant that get through; the margin is for a producer that was kept waiting and
/// catches up.
const LIMIT_OF_EACH: u64 = 10 * RATE;
/// What the way to the index takes in bytes per second of each of two requests at one time: some 3,300 records. That
/// is twice what comes with the limit, and half of what comes without.
const PACE: u64 = 1_000_000;
/// Each is judged by itself, and the one in the middle counts: a machine that was busy with other things in one
/// of them does not decide.
const WINDOWS: usize = 5;
const WINDOW: Duration = Duration::from_secs(8);
/// Before the watch, for the start to be over.
const SETTLING: Duration = Duration::from_secs(10);
/// Between two looks at how much the index has taken.
const LOOK: Duration = Duration::from_millis(50);
/// A difference below this, in seconds, is that of two looks.
const RESOLUTION: f64 = 0.1;

/// The others' latency alone, beside a loud tenant that is limited, and beside one that is not: limited, it
/// costs them less than as much again, and it is the limit that does it.
pub(crate) fn a_loud_tenant() {
    let mut steps = Steps::new("a loud tenant");
    let kafka = Kafka::start().expect("Kafka starts");
    let search = Search::start(SearchVersion::Elasticsearch9).expect("Elasticsearch starts");
    steps.done("start");
    let [alone, limited, not_limited] = [
        ("alone", 0, None),
        ("limited", LOUD, Some(LIMIT_OF_EACH)),
        ("not-limited", LOUD, None),
    ]
    .map(|(name, loud, limit)| {
        let oldest = Watch { name, loud, limit }.run(&kafka, &search);
        steps.done(&format!(
            "{name}: 99 in 100 of the others' records were stored within {oldest:.2} s"
        ));
        oldest
    });
    let twice = 2.0 * alone.max(RESOLUTION);
    assert!(limited <= twice, "{limited:.2} s, and alone {alone:.2} s");
    assert!(
        not_limited > twice,
        "{not_limited:.2} s, and alone {alone:.2} s: nothing is too much without the limit"
    );
}

/// One run.
struct Watch {
    name: &'static str,
    /// Records of the loud tenant for each one of another.
    loud: u64,
    limit: Option<u64>,
}

impl Watch {
    /// Runs it, and returns how many seconds 99 in 100 of the others' records took from the broker to the index
    /// at most.
    fn run(&self, kafka: &Kafka, search: &Search) -> f64 {
        let name = self.name;
        let settings = [("message.timestamp.type", "LogAppendTime")];
        kafka
            .create_topic(name, PARTITIONS as i32, &settings)
            .expect("the topic is created");
        let client = search.client();
        let proxy = Proxy::start(client.address()).expect("it listens");
        proxy.slow(PACE);
        let url = format!("http://{}", proxy.address());
        let mut isobar = setup(kafka, &url, name, &self.nodes())
            .start()
            .expect("it starts");
        isobar.wait_until_ready(LIMIT).expect("it reads");
        let over = AtomicBool::new(false);
        let (began, growth, sent, total) = std::thread::scope(|scope| {
            let growing = scope.spawn(|| growth(client, name, &over));
            let watching = Over(&over);
            let load = kafka
                .load(name, PARTITIONS, RATE * (OTHERS + self.loud))
                .expect("it starts");
            wait::rest(SETTLING);
            let began = clock::unix_ms();
            wait::rest(WINDOW * WINDOWS as u32);
            // What is left need not take as long.
            proxy.pass();
            let sent = load.finish().expect("all is acknowledged");
            let total = settled(&mut isobar, sent);
            drop(watching);
            (began, growing.join().expect("no panic"), sent, total)
        });
        assert_eq!(total.indexed() + total.dropped, sent, "{total:?}");
        assert_eq!(total.dropped > 0, self.limit.is_some(), "{total:?}");
        assert_eq!(isobar.stop(LIMIT).expect("it ends").code(), Some(0));
        let others = others(client, name).expect("they are there");
        let expected = (0..sent).filter(|number| self.is_other(*number)).count();
        assert_eq!(others.len(), expected, "of the others none is dropped");
        client.delete_index(name).expect("room for the next run");
        let oldest = (0..WINDOWS as i64).map(|window| {
            let length = WINDOW.as_millis() as i64;
            let from = began + window * length;
            let ages = others
                .iter()
                .filter(|(appended, _)| (from..from + length).contains(appended))
                .map(|(appended, sequence)| stored_at(&growth, *sequence) - appended);
            of_99_in_100(ages.collect())
        });
        median(oldest.collect())
    }

    fn nodes(&self) -> String {
        let Self { name, loud, limit } = self;
        let (round, last) = (OTHERS + loud, limit.map_or("tenant", |_| "limit"));
        let limit = limit.map(|rate| {
            format!(
                "  limit: {{type: limit, inputs: [tenant], key: \"{{{{ doc.tenant }}}}\", rate: {rate}/s, above: drop}}\n"
            )
        });
        let limit = limit.unwrap_or_default();
        format!(
            "\
settings: {{lanes: 2}}
spouts:
  logs: {{type: kafka, connection: kafka, topics: [{name}], start: earliest}}
bolts:
  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  tenant:
    type: set_fields
    inputs: [parse]
    fields:
      tenant: \"{{{{ doc.number % {round} < {loud} ? 'loud' : string(doc.number % {round}) }}}}\"
{limit}  index: {{type: elasticsearch, connection: search, inputs: [{last}], index: {name}, event_time_bounds: off, requests_per_lane: 1}}
"
        )
    }

    fn is_other(&self, number: u64) -> bool {
        number % (OTHERS + self.loud) >= self.loud
    }
}

/// Says with its end that it is over, also when that comes by a panic: who looks on would be waited for for ever.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How many documents the index has taken, and when in ms since 1970 it had said so, until it is over.
fn growth(client: &SearchClient, index: &str, over: &AtomicBool) -> Vec<(u64, i64)> {
    let mut growth = Vec::new();
    loop {
        let is_last = over.load(Ordering::Acquire);
        // There is none at first.
        if let Ok(taken) = taken(client, index) {
            growth.push((taken, clock::unix_ms()));
        }
        if is_last {
            return growth;
        }
        wait::rest(LOOK);
    }
}

fn taken(client: &SearchClient, index: &str) -> Result<u64> {
    let told = client.json("GET", &format!("/{index}/_stats/indexing"), None)?;
    let taken = told["_all"]["primaries"]["indexing"]["index_total"].as_u64();
    taken.context("no number of documents")
}

/// When the broker appended each record of the others, in ms since 1970, and its number in the index.
fn others(client: &SearchClient, index: &str) -> Result<Vec<(i64, u64)>> {
    client.refresh(index)?;
    let all = client.dump(index, &["tenant", "_isobar.ts"])?.into_iter();
    let others = all.filter(|document| document.fields["tenant"] != "loud");
    others
        .map(|document| {
            let appended = document.fields["_isobar"]["ts"].as_i64();
            Ok((appended.context("no time")?, document.sequence))
        })
        .collect()
}

/// When the document of this number was in the index for certain.
fn stored_at(growth: &[(u64, i64)], sequence: u64) -> i64 {
    let before = growth.partition_point(|(taken, _)| *taken <= sequence);
    growth.get(before).expect("all is looked at in the end").1
}

/// What 99 in 100 of these times in ms do not exceed, in seconds.
fn of_99_in_100(mut all: Vec<i64>) -> f64 {
    all.sort_unstable();
    let last = all.len() * 99 / 100;
    *all.get(last).expect("some came in that time") as f64 / 1_000.0
}
