//! What is measured: the table of cases, by name.

use isobar::generate::Lines;

use crate::expected::{Expected, enriched, looked_up, of_access_line, of_object, of_syslog_line};

/// Records in the ordinary cases.
pub const RECORDS: u64 = 500_000;

/// A topology over a topic of known content.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub work: &'static str,
    pub input: Input,
    pub to: To,
    /// With `${KAFKA}`, `${TOPIC}`, `${GROUP}`, `${ES}` and `${OUT}`.
    pub topology: String,
    /// How many records reach the sink; others are dropped on purpose.
    pub delivered: u64,
    /// What becomes of a record, by its number and text; none of one that is dropped.
    pub expected: fn(u64, &str) -> Option<Expected>,
    /// Another case that runs in turns with this one, to be told as a ratio to it.
    pub beside: Option<&'static str>,
}

/// Where a topology writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The stand-in bulk server.
    Search,
    /// A topic of the same broker: `limit` writes one too.
    Kafka,
    /// Nowhere: `limit` posts nothing either.
    Nowhere,
}

/// What is in a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    pub content: Content,
    pub records: u64,
    pub partitions: i32,
    /// The topic's `compression.type`: the broker compresses what it is sent.
    pub compression: &'static str,
}

/// What the records look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// [`testkit::records::json`], 423 bytes each.
    Json,
    /// One JSON object of so many bytes each.
    Sized(usize),
    /// Lines of `isobar generate`.
    Access,
    /// Lines of `isobar generate`.
    Syslog,
}

impl Content {
    pub fn lines(self) -> Option<Lines> {
        match self {
            Self::Json | Self::Sized(_) => None,
            Self::Access => Some(Lines::Access),
            Self::Syslog => Some(Lines::Syslog),
        }
    }
}

impl Input {
    fn new(content: Content) -> Self {
        Self {
            content,
            records: RECORDS,
            partitions: 4,
            compression: "producer",
        }
    }

    /// The topic's name; the same input is loaded once.
    pub fn topic(&self) -> String {
        let content = match self.content {
            Content::Json => "json".to_owned(),
            Content::Sized(size) => format!("json-{size}"),
            Content::Access => "access".to_owned(),
            Content::Syslog => "syslog".to_owned(),
        };
        format!(
            "{content}.{}.{}.{}",
            self.records, self.partitions, self.compression
        )
    }
}

/// The file up to its bolts.
const HEAD: &str = "\
isobar: 1
name: bench
connections:
  kafka: {type: kafka, brokers: \"${KAFKA}\"}
  search: {type: elasticsearch, hosts: \"${ES}\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [\"${TOPIC}\"], group: \"${GROUP}\", start: earliest}
bolts:
";

/// The check of dates that an index of such a name has by default, as records are of the first day of 2026.
const BOUNDS: &str = "    event_time_bounds: {past: 3650d}";

/// The bolts around a parser whose documents are indexed by day with four fields more.
fn indexed(parser: &str) -> String {
    format!(
        "{HEAD}  parse: {{{parser}, inputs: [logs]}}
  enrich:
    type: set_fields
    inputs: [parse]
    fields: {{env: bench, region: eu-west-1, team: shop, is_test: true}}
  index:
    type: elasticsearch
    connection: search
    inputs: [enrich]
    index: \"logs-{{{{ event_time.format('%Y.%m.%d') }}}}\"
{BOUNDS}
dead_letter: {{type: file, path: dead-letters.ndjson}}
"
    )
}

/// The topology of `json-es` and of whatever varies its input.
pub fn json_es() -> String {
    indexed("type: parse_json, event_time: timestamp")
}

/// [`json_es`] whose bodies are posted when they are so old, such as `5ms`.
pub fn json_es_flushed(interval: &str) -> String {
    json_es().replace(BOUNDS, &format!("{BOUNDS}\n    flush_interval: {interval}"))
}

fn search(name: &str, work: &'static str, input: Input, topology: String) -> Case {
    Case {
        name: name.to_owned(),
        work,
        delivered: input.records,
        input,
        to: To::Search,
        topology,
        expected: |_, record| Some(enriched(of_object(record))),
        beside: None,
    }
}

/// Every case, in the order of the table.
pub fn all() -> Vec<Case> {
    let json = || Input::new(Content::Json);
    let mut cases = vec![
        search(
            "json-es",
            "parse, 4 fields, index with ids and origin",
            json(),
            json_es(),
        ),
        Case {
            expected: |_, line| Some(enriched(of_access_line(line))),
            ..search(
                "access-es",
                "the same with lines of a web server",
                Input::new(Content::Access),
                indexed("type: parse_access_log"),
            )
        },
        Case {
            expected: |_, line| Some(enriched(of_syslog_line(line))),
            ..search(
                "syslog-es",
                "the same with lines of RFC 5424",
                Input::new(Content::Syslog),
                indexed("type: parse_syslog"),
            )
        },
        filter_lookup(),
        Case {
            to: To::Kafka,
            ..search("kafka-kafka", "parse, write to a topic", json(), staged())
        },
    ];
    for partitions in [1, 4] {
        // The start of the program would be a tenth of the ordinary number.
        let records = 4 * RECORDS;
        cases.push(Case {
            to: To::Nowhere,
            delivered: 0,
            ..search(
                &format!("kafka-null-{partitions}"),
                "read and drop",
                Input {
                    partitions,
                    records,
                    ..json()
                },
                format!("{HEAD}  end: {{type: blackhole, inputs: [logs], on_rejected: drop}}\n"),
            )
        });
    }
    for partitions in [1, 16, 64] {
        let name = format!("partitions-{partitions}");
        let input = Input {
            partitions,
            ..json()
        };
        cases.push(Case {
            beside: Some("json-es"),
            ..search(&name, "json-es over so many partitions", input, json_es())
        });
    }
    for (name, size, records) in [
        ("sizes-100B", 100, 1_000_000),
        ("sizes-1kB", 1_000, 200_000),
        ("sizes-10kB", 10_000, 20_000),
        ("sizes-1MB", 1_000_000, 200),
    ] {
        let input = Input {
            records,
            ..Input::new(Content::Sized(size))
        };
        cases.push(search(name, "json-es of such records", input, json_es()));
    }
    for compression in ["lz4", "zstd"] {
        cases.push(search(
            &format!("compressed-{compression}"),
            "json-es from a compressed topic",
            Input {
                compression,
                ..json()
            },
            json_es(),
        ));
    }
    cases.push(search(
        "compressed-bodies",
        "json-es with bodies in gzip",
        json(),
        json_es().replace(
            "    type: elasticsearch\n",
            "    type: elasticsearch\n    compression: gzip\n",
        ),
    ));
    cases
}

fn staged() -> String {
    format!(
        "{HEAD}  parse: {{type: parse_json, inputs: [logs]}}
  out: {{type: kafka, connection: kafka, inputs: [parse], topic: \"${{OUT}}\"}}
dead_letter: {{type: file, path: dead-letters.ndjson}}
"
    )
}

fn filter_lookup() -> Case {
    let topology = format!(
        "{HEAD}  parse: {{type: parse_json, inputs: [logs], event_time: timestamp}}
  wanted: {{type: filter, inputs: [parse], keep_when: \"doc.number % 10 != 0\"}}
  owner:
    type: lookup
    inputs: [wanted]
    file: hosts.csv
    key: host
    from: doc.host
  split:
    type: route
    inputs: [owner]
    routes: {{get: \"doc.http.method == 'GET'\", post: \"doc.http.method == 'POST'\"}}
    default: rest
  gets: {{type: elasticsearch, connection: search, inputs: [split.get], index: logs-get}}
  posts: {{type: elasticsearch, connection: search, inputs: [split.post], index: logs-post}}
  rest: {{type: elasticsearch, connection: search, inputs: [split.rest], index: logs-rest}}
dead_letter: {{type: file, path: dead-letters.ndjson}}
"
    );
    Case {
        delivered: RECORDS * 9 / 10,
        expected: |number, record| {
            (!number.is_multiple_of(10)).then(|| looked_up(of_object(record)))
        },
        ..search(
            "filter-lookup-es",
            "parse, filter 10 %, look up, route into 3 indices",
            Input::new(Content::Json),
            topology,
        )
    }
}
