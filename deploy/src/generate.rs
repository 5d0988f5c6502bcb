//! Made-up records of ordinary shape, to try a topology and to load it. The same seed, start and format
//! give the same bytes.

mod access;
mod csv;
mod garbage;
mod json;
mod key_value;
mod random;
mod syslog;

use jiff::Timestamp;
use random::Random;

/// What the lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lines {
    /// Log events of a shop as JSON objects of about 400 bytes.
    Json,
    /// Lines of a web server in the combined log format.
    Access,
    /// Syslog lines of RFC 5424.
    Syslog,
    /// Lines of keys and values.
    KeyValue,
    /// Lines of CSV.
    Csv,
}

/// Makes records one after the other.
#[derive(Clone, Debug)]
pub struct Generator {
    lines: Lines,
    random: Random,
    number: u64,
    time_us: i64,
    step_us: i64,
    garbage_percent: u64,
    garbage: u64,
}

/// A record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Generated {
    /// The host that it comes from: records of one host stay in order.
    pub key: String,
    /// The line, without a line end.
    pub line: String,
    /// Its time in ms since 1970.
    pub timestamp: i64,
}

impl Generator {
    /// Starts with a time in ms since 1970 for the first record, and so many microseconds between one
    /// and the next.
    pub fn new(lines: Lines, seed: u64, start_ms: i64, step_us: u32) -> Self {
        Self {
            lines,
            random: Random::new(seed),
            number: 0,
            time_us: start_ms.saturating_mul(1_000),
            step_us: i64::from(step_us),
            garbage_percent: 0,
            garbage: 0,
        }
    }

    /// Of 100 records, so many on average are no such lines: what a parser rejects.
    pub fn with_garbage(mut self, percent: u8) -> Self {
        self.garbage_percent = u64::from(percent);
        self
    }

    /// The next record is of this time, in ms since 1970.
    pub fn go_on_at(&mut self, ms: i64) {
        self.time_us = ms.saturating_mul(1_000);
    }

    /// How many records of garbage were made.
    pub fn garbage(&self) -> u64 {
        self.garbage
    }

    /// Writes the next record over `record`.
    pub fn next_into(&mut self, record: &mut Generated) {
        record.key.clear();
        record.line.clear();
        record.timestamp = self.time_us / 1_000;
        let event = Event::new(&mut self.random, self.number, record.timestamp);
        record.key.push_str(event.host);
        match self.lines {
            Lines::Json => json::write(&event, &mut self.random, &mut record.line),
            Lines::Access => access::write(&event, &mut self.random, &mut record.line),
            Lines::Syslog => syslog::write(&event, &mut self.random, &mut record.line),
            Lines::KeyValue => key_value::write(&event, &mut self.random, &mut record.line),
            Lines::Csv => csv::write(&event, &mut self.random, &mut record.line),
        }
        // Without garbage no number is drawn for it, and a seed gives what it always gave.
        if self.garbage_percent > 0 && self.random.below(100) < self.garbage_percent {
            garbage::write(self.lines, &mut self.random, &mut record.line);
            self.garbage += 1;
        }
        self.number += 1;
        self.time_us = self.time_us.saturating_add(self.step_us);
    }
}

/// What all formats tell about the same request.
struct Event {
    number: u64,
    time: Timestamp,
    host: &'static str,
    service: &'static str,
    level: &'static str,
    method: &'static str,
    path: &'static str,
    item: u64,
    status: u16,
    bytes: u64,
    duration_us: u64,
}

const HOSTS: [&str; 16] = [
    "web-01", "web-02", "web-03", "web-04", "web-05", "web-06", "web-07", "web-08", "api-01",
    "api-02", "api-03", "api-04", "job-01", "job-02", "job-03", "job-04",
];
const SERVICES: [&str; 6] = ["basket", "catalog", "checkout", "login", "search", "stock"];
const PATHS: [&str; 6] = [
    "/basket", "/item", "/order", "/session", "/search", "/stock",
];
const METHODS: [&str; 4] = ["GET", "GET", "GET", "POST"];

impl Event {
    fn new(random: &mut Random, number: u64, time_ms: i64) -> Self {
        // One in 50 fails, one in 20 is not found.
        let luck = random.below(100);
        let (level, status) = match luck {
            0..2 => ("error", 500),
            2..7 => ("warn", 404),
            _ => ("info", 200),
        };
        let service = random.below(SERVICES.len() as u64) as usize;
        Self {
            number,
            time: Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::MAX),
            host: random.one_of(&HOSTS),
            service: SERVICES[service],
            level,
            method: random.one_of(&METHODS),
            path: PATHS[service],
            item: random.below(1_000_000),
            status,
            bytes: 200 + random.below(20_000),
            duration_us: 300 + random.below(200_000),
        }
    }

    /// What a person would read.
    fn message(&self, random: &mut Random, line: &mut String) {
        const GOOD: [&str; 4] = [
            "request served from the cache of the nearest replica",
            "order accepted and handed to the warehouse for packing",
            "session renewed for a customer who came back within the hour",
            "list of results sorted by relevance and price before paging",
        ];
        const BAD: [&str; 2] = [
            "the database did not answer before the deadline of the request",
            "the payment provider refused the connection three times in a row",
        ];
        line.push_str(match self.level {
            "error" => random.one_of(&BAD),
            "warn" => "the item is not in the catalog any more",
            _ => random.one_of(&GOOD),
        });
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Input, PreparedForTest};
    use serde_json::json;

    use super::*;

    const START: i64 = 1_767_225_600_000;

    fn records(lines: Lines, seed: u64, count: usize) -> Vec<Generated> {
        let mut generator = Generator::new(lines, seed, START, 500);
        let make = |_| {
            let mut record = Generated::default();
            generator.next_into(&mut record);
            record
        };
        (0..count).map(make).collect()
    }

    #[test]
    fn a_seed_gives_the_same_records_and_another_others() {
        for lines in <Lines as clap::ValueEnum>::value_variants() {
            let lines = *lines;
            assert_eq!(records(lines, 7, 100), records(lines, 7, 100));
            assert_ne!(records(lines, 7, 100), records(lines, 8, 100));
        }
        let times: Vec<i64> = records(Lines::Json, 7, 4)
            .iter()
            .map(|r| r.timestamp - START)
            .collect();
        assert_eq!(times, [0, 0, 1, 1]);
    }

    #[test]
    fn formats_look_like_this() {
        let first = |lines| records(lines, 1, 1).remove(0).line;
        assert_eq!(first(Lines::Json), JSON);
        assert_eq!(first(Lines::Access), ACCESS);
        assert_eq!(first(Lines::Syslog), SYSLOG);
        assert_eq!(first(Lines::KeyValue), KEY_VALUE);
        assert_eq!(first(Lines::Csv), CSV);
    }

    const JSON: &str = "{\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"level\":\"info\",\"host\":\"job-03\",\"service\":\"catalog\",\"number\":0,\"trace\":\"85e7bb0f12278575491718de357e3da8\",\"http\":{\"method\":\"POST\",\"path\":\"/item/968761\",\"status\":200,\"bytes\":10248},\"duration_ms\":67.345,\"client\":\"192.0.2.77\",\"customer\":76737,\"session\":\"9afcd44d14cf8bfe\",\"message\":\"request served from the cache of the nearest replica\",\"version\":\"2.14.0\",\"region\":\"eu-central\"}";
    const ACCESS: &str = "192.0.2.108 - - [01/Jan/2026:00:00:00 +0000] \"POST /item/968761 HTTP/1.1\" 200 10248 \"https://shop.example/item\" \"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\"";
    const SYSLOG: &str = "<134>1 2026-01-01T00:00:00.000Z job-03 catalog 11533 REQ [http@32473 method=\"POST\" path=\"/item/968761\" status=\"200\"] session renewed for a customer who came back within the hour";
    const KEY_VALUE: &str = "time=2026-01-01T00:00:00.000Z level=info host=job-03 service=catalog method=POST path=/item/968761 status=200 bytes=10248 duration_ms=67.345 msg=\"order accepted and handed to the warehouse for packing\"";
    const CSV: &str = "2026-01-01T00:00:00.000Z,job-03,catalog,info,POST,/item/968761,200,10248,67.345,\"order accepted and handed to the warehouse for packing\"";

    #[tokio::test(start_paused = true)]
    async fn every_format_is_read_by_its_bolt() {
        let columns = "time,host,service,level,method,path,status,bytes,duration_ms,message";
        let columns: Vec<&str> = columns.split(',').collect();
        let grok = r"^%{COMBINEDAPACHELOG}$";
        for (lines, bolt, options, status) in [
            (Lines::Json, "parse_json", json!({}), "http"),
            (
                Lines::Access,
                "parse_access_log",
                json!({"format": "combined"}),
                "status",
            ),
            (
                Lines::Access,
                "parse_grok",
                json!({"pattern": grok}),
                "response",
            ),
            (
                Lines::Syslog,
                "parse_syslog",
                json!({"mode": "strict"}),
                "severity",
            ),
            (Lines::KeyValue, "parse_key_value", json!({}), "status"),
            (
                Lines::Csv,
                "parse_csv",
                json!({"columns": columns}),
                "status",
            ),
        ] {
            let registry = isobar_operators::registry();
            let kind = registry.bolt(bolt).expect("is registered");
            let inputs = records(lines, 5, 1_000);
            let inputs: Vec<Input> = inputs.iter().map(|r| Input::raw(&r.line)).collect();
            let mut bolt = PreparedForTest::new(kind, &options).expect("good options");
            let emitted = bolt.run(&inputs).await;
            assert_eq!(emitted.len(), inputs.len());
            for record in emitted {
                assert_eq!(record.rejection, None, "{lines:?}");
                let document = record.document.expect("a document");
                assert!(document.contains(&format!("\"{status}\":")), "{document}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn exactly_the_garbage_is_rejected_by_the_bolt_of_its_format() {
        let columns: Vec<String> = (0..10).map(|n| format!("c{n}")).collect();
        for (lines, bolt, options) in [
            (Lines::Json, "parse_json", json!({})),
            (
                Lines::Access,
                "parse_access_log",
                json!({"format": "combined"}),
            ),
            (Lines::Syslog, "parse_syslog", json!({"mode": "strict"})),
            (Lines::KeyValue, "parse_key_value", json!({})),
            (Lines::Csv, "parse_csv", json!({"columns": columns})),
        ] {
            let mut generator = Generator::new(lines, 5, START, 500).with_garbage(10);
            let mut record = Generated::default();
            let mut inputs = Vec::new();
            for _ in 0..1_000 {
                generator.next_into(&mut record);
                inputs.push(Input::raw(&record.line));
            }
            let registry = isobar_operators::registry();
            let kind = registry.bolt(bolt).expect("is registered");
            let mut bolt = PreparedForTest::new(kind, &options).expect("good options");
            let emitted = bolt.run(&inputs).await;
            let rejected = emitted.iter().filter(|one| one.rejection.is_some()).count();
            assert_eq!(rejected as u64, generator.garbage(), "{lines:?}");
            assert!((70..130).contains(&rejected), "{lines:?}: {rejected}");
        }
    }

    #[test]
    fn json_is_valid_and_of_the_size_that_is_promised() {
        let all = records(Lines::Json, 3, 10_000);
        let mut levels = std::collections::BTreeMap::new();
        for record in &all {
            let json: serde_json::Value = serde_json::from_str(&record.line).expect("valid");
            assert_eq!(json["host"], record.key);
            let level = json["level"].as_str().expect("text").to_owned();
            *levels.entry(level).or_insert(0) += 1;
        }
        let size = all.iter().map(|record| record.line.len()).sum::<usize>() / all.len();
        assert!((380..440).contains(&size), "{size}");
        assert!((100..300).contains(&levels["error"]), "{levels:?}");
    }
}
