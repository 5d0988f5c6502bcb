//! The topology file that is proposed, with comments for whoever goes on with it.

use std::fmt;

use crate::command::brokers::quoted;

/// Bytes of a topology's name at most.
pub(super) const NAME_MAX: usize = 100;

/// What the file is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    name: String,
    /// The name that it would have, were there no such group.
    is_beside: Option<String>,
    brokers: String,
    pub(super) topic: String,
    hosts: String,
    /// The options of the connections, as the file says them.
    pub(super) tls: Option<String>,
    pub(super) sasl: Option<String>,
    pub(super) search_auth: Option<String>,
    pub(super) search_tls: Option<String>,
}

/// A format of records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    /// As the RFCs say, or also as rsyslog and devices write it.
    Syslog {
        is_lenient: bool,
    },
    /// With more behind each line or not.
    Access {
        has_rest: bool,
    },
    KeyValue,
    /// So many columns, with this character between them.
    Csv(usize, char),
}

/// Where the time of the event stands, for formats that do not say it themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Time {
    /// As the option of the bolt says it.
    pub(super) field: String,
    pub(super) format: &'static str,
}

impl Time {
    /// Whether its zone is that of the option, since the text does not say it.
    pub(super) fn needs_zone(&self) -> bool {
        self.format.contains('%') && !self.format.contains("%z")
    }
}

const ZONE: &str =
    "# The times do not say their zone, such as Europe/Berlin or +02:00: UTC is assumed.";

const NONE: &str = "# Some records have no time there, and keep that of the record; `reject` makes dead letters of them.";

/// What is written.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub(super) format: Format,
    pub(super) time: Option<Time>,
    /// Some records have none there, and keep their own.
    pub(super) some_have_none: bool,
    /// What is taken besides events of the usual times.
    pub(super) far_off: FarOff,
}

/// On which side of now there are events outside of the usual bounds; with any, all are taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FarOff {
    /// Older than a year.
    pub(super) past: bool,
    /// More than a day ahead.
    pub(super) ahead: bool,
}

impl FarOff {
    /// While it is not known.
    pub(super) const OF_ANY: Self = Self {
        past: true,
        ahead: true,
    };

    /// The option of the sink, with the reason for it.
    fn bounds(self) -> String {
        let some = match (self.past, self.ahead) {
            (false, false) => return String::new(),
            (true, false) => "older than a year",
            (false, true) => "more than a day ahead",
            (true, true) => "older than a year, others more than a day ahead",
        };
        format!(
            "    # Some events are {some}. Each time far off makes an index of its own.\n    \
             event_time_bounds: off\n"
        )
    }
}

impl Subject {
    pub(super) fn new(name: Option<&str>, brokers: &[String], topic: &str, hosts: &str) -> Self {
        Self {
            name: name.map_or_else(|| name_of(topic), str::to_owned),
            is_beside: None,
            brokers: brokers.join(","),
            topic: topic.to_owned(),
            hosts: hosts.to_owned(),
            tls: None,
            sasl: None,
            search_auth: None,
            search_tls: None,
        }
    }

    /// The topology's name, and that of its group.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Gives it another name, since the one that it has is a group already.
    pub(super) fn rename(&mut self, name: String) {
        self.is_beside = Some(std::mem::replace(&mut self.name, name));
    }
}

/// A name that a topology, a consumer group and an index can have.
fn name_of(topic: &str) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '_' => c,
        _ => '-',
    };
    let name: String = topic.chars().map(plain).take(NAME_MAX).collect();
    match name.trim_start_matches(['-', '_']) {
        "" => "logs".to_owned(),
        name => name.to_owned(),
    }
}

/// What the names of the indices begin with, and lines of comment that say why it is not the topology's name.
///
/// Elasticsearch makes data streams of what is called `logs-*-*` and the like, by templates that come with it:
/// <https://www.elastic.co/docs/manage-data/data-store/templates>. Those refuse documents without `@timestamp`,
/// and one for each day is not meant.
fn index_of(name: &str) -> (String, String) {
    const OF_STREAMS: [&str; 3] = ["logs", "metrics", "synthetics"];
    match name.split_once('-') {
        Some((kind, rest)) if OF_STREAMS.contains(&kind) => {
            let lines = [
                format!("With `{kind}_`: of what is called `{kind}-{rest}-…` Elasticsearch makes a data stream, by a"),
                "template that comes with it, which refuses documents without `@timestamp`. To write to such a".to_owned(),
                "stream say `data_stream` in place of `index`.".to_owned(),
            ];
            let note = lines.map(|line| format!("  # {line}\n")).concat();
            (format!("{kind}_{rest}"), note)
        }
        _ => (name.to_owned(), String::new()),
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json => f.write_str("JSON objects"),
            Self::Syslog { is_lenient: false } => f.write_str("syslog lines"),
            Self::Syslog { is_lenient: true } => {
                f.write_str("syslog lines as rsyslog and devices write them")
            }
            Self::Access { has_rest: false } => f.write_str("access lines of a web server"),
            Self::Access { has_rest: true } => {
                f.write_str("access lines of a web server with more behind them")
            }
            Self::KeyValue => f.write_str("keys and values"),
            Self::Csv(columns, '\t') => write!(f, "{columns} values with tabs between them"),
            Self::Csv(columns, delimiter) => {
                write!(f, "CSV of {columns} values with `{delimiter}`")
            }
        }
    }
}

impl Format {
    /// The bolt that parses.
    fn bolt(&self, time: Option<&Time>, some_have_none: bool) -> String {
        match self {
            Self::Json => {
                let mut text = "  # Makes a document of each record. What is no JSON object is rejected, with the reason.
  parse:
    type: parse_json
    inputs: [records]
"
                .to_owned();
                if let Some(time) = time {
                    text.push_str("    # Names the index, so that an old event goes where it belongs.\n");
                    text.push_str(&format!("    event_time: {}\n", quoted(&time.field)));
                    text.push_str(&format!("    event_time_format: {}\n", quoted(time.format)));
                    if time.needs_zone() {
                        text.push_str(&format!("    {ZONE}\n    event_time_zone: UTC\n"));
                    }
                    if some_have_none {
                        text.push_str(&format!("    {NONE}\n    on_invalid_event_time: keep\n"));
                    }
                }
                text
            }
            Self::Syslog { is_lenient: false } => "  # RFC 5424 and RFC 3164, told apart line by line; `mode: lenient` takes what is neither as a message.
  parse:
    type: parse_syslog
    inputs: [records]
    mode: strict
    # Of lines that do not say theirs.
    zone: UTC
"
            .to_owned(),
            Self::Syslog { is_lenient: true } => {
                "  # Also lines without a priority, with times of RFC 3339, or as devices spell theirs. What is no such line
  # is a document with its `message` and the time of the record; `mode: strict` rejects it, and takes what the
  # RFCs say and nothing else.
  parse:
    type: parse_syslog
    inputs: [records]
    mode: lenient
    # Of lines that do not say theirs.
    zone: UTC
"
                .to_owned()
            }
            Self::Access { has_rest: false } => {
                "  # Common, combined, the format `main` of nginx, and combined behind the name of a host, told line by
  # line. For a format with more behind it, name a field for the rest: `rest_field: rest`.
  parse:
    type: parse_access_log
    inputs: [records]
"
                .to_owned()
            }
            Self::Access { has_rest: true } => {
                "  # What stands behind the format, such as times, is in the field `rest`. A bolt `parse_grok` or
  # `parse_regex` with `field: rest` makes fields of it.
  parse:
    type: parse_access_log
    inputs: [records]
    rest_field: rest
"
                .to_owned()
            }
            Self::KeyValue => "  # Every value is text; the bolt `convert` makes numbers of some.
  parse:
    type: parse_key_value
    inputs: [records]
"
            .to_owned(),
            Self::Csv(columns, delimiter) => {
                let names = (1..=*columns).map(|number| match time {
                    Some(time) if time.field == column(number) => time.field.clone(),
                    _ => column(number),
                });
                let names: Vec<String> = names.collect();
                format!(
                    "  # Give the columns their names. Every value is text; the bolt `convert` makes numbers of some.
  parse:
    type: parse_csv
    inputs: [records]
    columns: [{}]
    delimiter: {}
",
                    names.join(", "),
                    quoted(&delimiter.to_string())
                )
            }
        }
    }

    /// Whether a bolt of its own reads the time.
    fn needs_time(&self) -> bool {
        matches!(self, Self::KeyValue | Self::Csv(..))
    }
}

/// The name of a column, from 1.
fn column(number: usize) -> String {
    format!("column_{number}")
}

/// The line of an option, or an example of it behind the sign of a comment.
fn option(name: &str, value: Option<&String>, example: &str) -> String {
    match value {
        Some(value) => format!("{name}: {value}"),
        None => format!("# {name}: {example}"),
    }
}

impl Proposal {
    /// The topology file; `head` are its first lines, without the sign of a comment.
    pub(super) fn text(&self, subject: &Subject, head: &[String]) -> String {
        let Subject {
            name,
            brokers,
            topic,
            hosts,
            ..
        } = subject;
        let head: String = head
            .iter()
            .map(|line| format!("{}\n", format!("# {line}").trim_end()))
            .collect();
        let parse = self.format.bolt(self.time.as_ref(), self.some_have_none);
        let (time, last) = match &self.time {
            Some(time) if self.format.needs_time() => {
                let mut more = String::new();
                if time.needs_zone() {
                    more.push_str(&format!("    {ZONE}\n    zone: UTC\n"));
                }
                if self.some_have_none {
                    more.push_str(&format!("    {NONE}\n    on_invalid: keep\n"));
                }
                (
                    format!(
                        "
  # The time of the event names the index, so that an old event goes where it belongs.
  time:
    type: parse_timestamp
    inputs: [parse]
    field: {}
    formats: [{}]
{more}",
                        quoted(&time.field),
                        quoted(time.format)
                    ),
                    "time",
                )
            }
            _ => (String::new(), "parse"),
        };
        let bounds = self.far_off.bounds();
        let (index, index_note) = index_of(name);
        let quoted_name = quoted(name);
        let beside = match &subject.is_beside {
            Some(other) => format!(" There is a group {other} already, of another program."),
            None => String::new(),
        };
        let (topic, brokers) = (quoted(topic), quoted(&format!("${{KAFKA:-{brokers}}}")));
        let hosts = quoted(&format!("${{ES:-{hosts}}}"));
        let tls = option("tls", subject.tls.as_ref(), "{ca: /etc/ssl/kafka-ca.pem}");
        let sasl = option(
            "sasl",
            subject.sasl.as_ref(),
            "{mechanism: SCRAM-SHA-512, username: isobar, password: \"${file:/run/secrets/kafka}\"}",
        );
        let auth = option(
            "auth",
            subject.search_auth.as_ref(),
            "{api_key: \"${file:/run/secrets/search}\"}",
        );
        let search_tls = subject.search_tls.as_ref();
        let search_tls = search_tls.map_or(String::new(), |tls| format!("    tls: {tls}\n"));
        format!(
            "\
{head}
isobar: 1
# Also the name of the consumer group.{beside}
name: {quoted_name}

connections:
  kafka:
    type: kafka
    brokers: {brokers}
    {tls}
    {sasl}
  search:
    type: elasticsearch
    hosts: {hosts}
    {auth}
{search_tls}
spouts:
  records:
    type: kafka
    connection: kafka
    topics: [{topic}]
    # Where the group has committed nothing: earliest reads all that is there, latest what comes from now on.
    start: earliest

bolts:
{parse}{time}
  # One index for each day. A record that is sent again has the same id and is not stored twice.
{index_note}  index:
    type: elasticsearch
    connection: search
    inputs: [{last}]
    index: \"{index}-{{{{ event_time.format('%Y.%m.%d') }}}}\"
{bounds}
# Rejected records: one line each, with the reason. For letters that `isobar dlq redrive` can send through
# again, make a topic and write {{type: kafka, connection: kafka, topic: {name}.dead}}.
dead_letter:
  type: file
  path: {name}.dead-letters.ndjson
  sync: true
"
        )
    }
}
