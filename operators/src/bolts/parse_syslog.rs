//! `parse_syslog`: makes documents of lines in the two formats of syslog.
//!
//! A parser by hand over the bytes of the payload; nothing is copied before the document is written.

mod line;
mod rfc3164;
mod rfc5424;
mod structured_data;
#[cfg(test)]
mod tests;
mod time;

use std::sync::Arc;

use isobar_topology::spec::{Component, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt,
    RecordMut, Rejection, Symbol, clock, json,
};
use schemars::JsonSchema;
use serde::Deserialize;

use line::{FACILITIES, Line, Parser, SEVERITIES};
use structured_data::StructuredData;

use crate::event_time::{self, rfc3339};
use crate::field_name;
use crate::text_source::{TextSource, WriteFields};
use crate::unfit::{OnInvalid, Unfit};

pub(super) const TYPE: BoltType = BoltType {
    name: "parse_syslog",
    schema: || schemars::schema_for!(ParseSyslogConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: parse_syslog
inputs: [logs]
zone: Europe/Berlin
raw_field: raw
",
    &[
        "<34>Jan 31 07:00:00 web-1 su[4711]: authentication failure",
        "<34>1 2026-01-31T06:00:00Z web-1",
    ],
);

/// Makes a document of a line of syslog, in the format of RFC 5424 or of RFC 3164 (BSD).
///
/// The document has those of these fields that the line has:
///
/// - `timestamp`: the time of the line, in the form of RFC 3339. It also becomes the event time.
/// - `hostname`, `app_name`, `proc_id`, `msg_id`: text, as in the header of RFC 5424. In lines of
///   RFC 3164 the tag `app[123]:` gives `app_name` and `proc_id`.
/// - `message`: the text of the message, without the line end and without a byte order mark.
/// - `structured_data`: an object with an object for each element of RFC 5424, such as
///   `{"origin": {"software": "sshd", "ip": ["192.0.2.1", "192.0.2.129"]}}`. Values are text; a
///   parameter that occurs several times is a list.
/// - `priority`: the number of the line, `facility` and `severity`: the words of syslog.conf for it,
///   such as `authpriv` and `err`, and `severity_code`: from 0, `emerg`, to 7, `debug`.
/// - `version`: the number of the format; lines of RFC 3164 have none.
///
/// A line that does not fit is rejected as `invalid_syslog`, with the position of what is wrong. In
/// lenient mode that is an empty line, and one of RFC 5424 whose header does not fit; any other line
/// is at least a message.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseSyslogConfig {
    /// The format of the lines. `auto` tells it line by line: a version and a time behind the priority
    /// mean RFC 5424. Default `auto`.
    #[serde(default)]
    format: Format,
    /// What is taken. `strict`: what the RFC says and nothing else. `lenient`: what senders write as
    /// well: lines without priority, without time, host name or structured data; times of RFC 3339 in
    /// lines of RFC 3164, or with a year, a zone or fractions of a second; unescaped brackets; ids of
    /// structured data that repeat; a second space before the message; bytes that are not UTF-8, which
    /// become U+FFFD. Default `lenient`.
    #[serde(default)]
    mode: Mode,
    /// Time zone of lines that do not say theirs: a name such as `Europe/Berlin`, an offset such as
    /// `+02:00`, or `UTC`. Lines of RFC 3164 do not say the year either: it is the latest one in which
    /// the line is at most one day newer than the record. Where the record has no timestamp (topics of
    /// before Kafka 0.10), the year follows from the time of reading: read again much later, such a line
    /// may get another year, hence another index and a second document. Default `UTC`.
    #[serde(default = "utc")]
    zone: String,
    /// A field with the line, such as `log` or `event.original`; what is found becomes fields of the
    /// document. Default: the record's value is parsed.
    field: Option<String>,
    /// What becomes of a record whose `field` is missing or does not fit: `reject`, or `keep` as it is, counted
    /// by the metric `unparsed_fields`. Default `reject`.
    #[serde(default)]
    on_invalid: OnInvalid,
    /// Name of a further field, with the whole line as text. Default: none.
    raw_field: Option<String>,
}

/// A format of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Auto,
    Rfc5424,
    Rfc3164,
}

/// How exactly lines must follow their format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Lenient,
    Strict,
}

fn utc() -> String {
    "UTC".to_owned()
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ParseSyslogConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let zone = event_time::zone(&config.zone, &component.path.key("zone"));
    let zone = problems.take(zone.map_err(Problems::from));
    let source = TextSource::new(
        config.field.as_deref(),
        config.on_invalid,
        component,
        prepare,
    );
    let source = problems.take(source);
    let fields = problems.take(Fields::new(&config, component, prepare).map_err(Problems::from));
    problems.or(())?;
    let made = zone.zip(source).zip(fields);
    let ((zone, source), fields) = made.expect("no problem means all three");
    let (format, mode) = (config.format, config.mode);
    Ok(PreparedBolt {
        document: source.document_use(),
        // Only lines of RFC 5424 say it.
        dates_by_clock: format != Format::Rfc5424,
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(ParseSyslog {
                source: source.clone(),
                unfit: source.unfit(&context),
                parser: Parser {
                    format,
                    mode,
                    zone: zone.clone(),
                    structured_data: StructuredData::default(),
                },
                fields,
            })
        }))
    })
}

/// The fields of a document.
#[derive(Clone, Copy)]
struct Fields {
    timestamp: Symbol,
    hostname: Symbol,
    app_name: Symbol,
    proc_id: Symbol,
    msg_id: Symbol,
    structured_data: Symbol,
    message: Symbol,
    priority: Symbol,
    facility: Symbol,
    severity: Symbol,
    severity_code: Symbol,
    version: Symbol,
    raw: Option<Symbol>,
}

/// Their names, in the order of [`Fields`].
const NAMES: [&str; 12] = [
    "timestamp",
    "hostname",
    "app_name",
    "proc_id",
    "msg_id",
    "structured_data",
    "message",
    "priority",
    "facility",
    "severity",
    "severity_code",
    "version",
];

impl Fields {
    fn new(
        config: &ParseSyslogConfig,
        component: &Component,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, Problem> {
        let path = component.path.key("raw_field");
        let raw = config.raw_field.as_deref();
        let raw = raw
            .map(|name| field_name::top_level(name, &path))
            .transpose()?;
        if let Some(name) = raw.filter(|name| NAMES.contains(name)) {
            let problem = Problem::new(path, format!("the document has a field `{name}` already"));
            return Err(problem.expected(format!("a name other than {}", NAMES.join(", "))));
        }
        let raw = raw.map(|name| prepare.symbol(name, &path)).transpose()?;
        let [
            timestamp,
            hostname,
            app_name,
            proc_id,
            msg_id,
            structured_data,
            message,
            priority,
            facility,
            severity,
            severity_code,
            version,
        ] = NAMES.map(|name| prepare.symbol(name, &component.path));
        Ok(Self {
            timestamp: timestamp?,
            hostname: hostname?,
            app_name: app_name?,
            proc_id: proc_id?,
            msg_id: msg_id?,
            structured_data: structured_data?,
            message: message?,
            priority: priority?,
            facility: facility?,
            severity: severity?,
            severity_code: severity_code?,
            version: version?,
            raw,
        })
    }
}

struct ParseSyslog {
    source: TextSource,
    unfit: Unfit,
    parser: Parser,
    fields: Fields,
}

impl Bolt for ParseSyslog {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let now = clock::unix_ms();
        let unfit = self.unfit.clone();
        unfit.judge(batch, out, |record| self.parse(record, now));
        Ok(())
    }
}

impl ParseSyslog {
    fn parse(&mut self, record: &mut RecordMut<'_>, now: i64) -> Result<(), Rejection> {
        let reads_field = self.source.field().is_some();
        let text = self.source.read(record)?;
        let text = match self.parser.mode {
            Mode::Strict => text,
            Mode::Lenient => without_line_ends(text),
        };
        let read_at = record.view().timestamp();
        let reference = if read_at >= 0 { read_at } else { now };
        let line = self.parser.line(text, reference);
        let line = line.map_err(|error| error.rejection("invalid_syslog", "syslog line"))?;
        if let Some(time) = line.time {
            record.set_event_time(time.ms);
        }
        let (fields, data) = (&self.fields, &mut self.parser.structured_data);
        // Told apart once, not for each field.
        match reads_field {
            false => record.write_document(|document| fields.write(document, text, &line, data)),
            true => fields.write(record, text, &line, data),
        }
        Ok(())
    }
}

/// Senders that end lines in a stream leave the end in the record.
fn without_line_ends(text: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0);
    let end = text.iter().rposition(|byte| !is_end(byte));
    &text[..end.map_or(0, |last| last + 1)]
}

impl Fields {
    fn write(
        &self,
        document: &mut impl WriteFields,
        text: &[u8],
        line: &Line<'_>,
        data: &mut StructuredData,
    ) {
        if let Some(time) = line.time {
            document.member(self.timestamp, |out| match time.written {
                Some(text) => json::write_bytes_lossy(out, text),
                None => {
                    out.push(b'"');
                    rfc3339::write(out, time.ms);
                    out.push(b'"');
                }
            });
        }
        for (field, text) in [
            (self.hostname, line.hostname),
            (self.app_name, line.app_name),
            (self.proc_id, line.proc_id),
            (self.msg_id, line.msg_id),
        ] {
            if let Some(text) = text {
                document.string(field, text);
            }
        }
        if line.has_structured_data {
            document.member(self.structured_data, |out| data.write(text, out));
        }
        if let Some(priority) = line.priority {
            let (facility, severity) = (usize::from(priority >> 3), usize::from(priority & 7));
            document.member(self.priority, |out| write_number(out, priority.into()));
            document.string(self.facility, FACILITIES[facility].as_bytes());
            document.string(self.severity, SEVERITIES[severity].as_bytes());
            document.member(self.severity_code, |out| out.push(b'0' + (priority & 7)));
        }
        if let Some(version) = line.version {
            document.member(self.version, |out| write_number(out, version));
        }
        if let Some(message) = line.message {
            document.string(self.message, message);
        }
        if let Some(raw) = self.raw {
            document.string(raw, text);
        }
    }
}

/// Appends a number of up to three digits.
fn write_number(out: &mut Vec<u8>, number: u32) {
    for place in [100, 10, 1] {
        if number >= place || place == 1 {
            out.push(b'0' + (number / place % 10) as u8);
        }
    }
}
