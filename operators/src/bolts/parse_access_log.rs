//! `parse_access_log`: makes documents of the lines in which web servers tell of requests.
//!
//! A parser by hand over the bytes of the line; nothing is copied before the document is written.

mod line;
#[cfg(test)]
mod tests;
mod time;

use std::sync::Arc;

use isobar_topology::spec::{Component, Path, Problem, Problems, parse_config};
use isobar_topology::{
    AnyBolt, Batch, Bolt, BoltType, Emitter, Example, OperatorError, Prepare, PreparedBolt,
    RecordMut, Rejection, Symbol, json,
};
use schemars::JsonSchema;
use serde::Deserialize;

use line::{Line, NameAndPort, Parser, Request, Text};

use crate::field_name;
use crate::text_source::{self, Members, TextSource, WriteFields};
use crate::unfit::{OnInvalid, Unfit};

pub(super) const TYPE: BoltType = BoltType {
    name: "parse_access_log",
    schema: || schemars::schema_for!(ParseAccessLogConfig),
    example: EXAMPLE,
    side_effects: false,
    deterministic: true,
    prepare,
};

const EXAMPLE: Example = Example::of(
    "\
type: parse_access_log
inputs: [logs]
rest_field: timing
",
    &[
        r#"192.0.2.7 - frank [31/Jan/2026:06:00:00 +0000] "GET /search?q=a HTTP/1.1" 200 512 "-" "curl/8.5.0" 0.042"#,
        r#"192.0.2.7 - frank [31/Jan/2026:06:00:00 +0000] "GET / HTTP/1.1" ok 512"#,
    ],
);

/// Makes a document of a line in the access log of a web server, such as Apache httpd and nginx write.
///
/// The document has those of these fields that the line has; `-` means that it has none:
///
/// - `vhost` and `port`: the host that the request was for, where the line begins with `example.com:443`.
/// - `client`: the address or name of the client.
/// - `ident` and `user`: who the client says and who the server knows that it is.
/// - `timestamp`: the time of the request in the form of RFC 3339, in UTC. It also becomes the event
///   time.
/// - `method`, `path` and `protocol`, such as `GET`, `/search?q=a` and `HTTP/1.1`. A request that is
///   not of this form, as of somebody who speaks TLS to a port for HTTP, is in `request` as it is.
/// - `status` and `bytes`: numbers.
/// - `referrer`, `user_agent` and `forwarded_for`: text.
///
/// Escapes such as `\"` and `\x22` in quoted text are resolved. A line that does not fit is rejected as
/// `invalid_access_line`, with the position of what is wrong.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParseAccessLogConfig {
    /// The format of the lines: `common`, which ends with the size of the reply; `combined`, with
    /// referrer and user agent behind; `nginx`, with the addresses of `X-Forwarded-For` behind those,
    /// as the format `main` of nginx has them; `vhost_combined`, with name and port of the host before
    /// the client, as Apache httpd on Debian has it; or `auto`: any of them, line by line. Default `auto`.
    #[serde(default)]
    format: Format,
    /// Name of a field for what stands behind the format, such as times of a format of your own.
    /// Default: lines with more text are rejected.
    rest_field: Option<String>,
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
    Common,
    Combined,
    Nginx,
    VhostCombined,
}

fn prepare(component: &Component, prepare: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let config: ParseAccessLogConfig = parse_config(&component.config, &component.path)?;
    let mut problems = Problems::default();
    let source = TextSource::new(
        config.field.as_deref(),
        config.on_invalid,
        component,
        prepare,
    );
    let source = problems.take(source);
    let fields = problems.take(Fields::new(&config, component, prepare));
    problems.or(())?;
    let (source, fields) = source.zip(fields).expect("no problem means both");
    let parser = Parser::new(config.format, fields.rest.is_some());
    Ok(PreparedBolt {
        document: source.document_use(),
        ..PreparedBolt::new(Arc::new(move |context| {
            AnyBolt::new(ParseAccessLog {
                source: source.clone(),
                unfit: source.unfit(&context),
                parser: parser.clone(),
                fields,
                plain: Vec::new(),
            })
        }))
    })
}

/// The fields of a document.
#[derive(Clone, Copy)]
struct Fields {
    vhost: Symbol,
    port: Symbol,
    client: Symbol,
    ident: Symbol,
    user: Symbol,
    timestamp: Symbol,
    method: Symbol,
    path: Symbol,
    protocol: Symbol,
    request: Symbol,
    status: Symbol,
    bytes: Symbol,
    referrer: Symbol,
    user_agent: Symbol,
    forwarded_for: Symbol,
    rest: Option<Symbol>,
    raw: Option<Symbol>,
}

/// Their names, in the order of [`Fields`].
const NAMES: [&str; 15] = [
    "vhost",
    "port",
    "client",
    "ident",
    "user",
    "timestamp",
    "method",
    "path",
    "protocol",
    "request",
    "status",
    "bytes",
    "referrer",
    "user_agent",
    "forwarded_for",
];

impl Fields {
    fn new(
        config: &ParseAccessLogConfig,
        component: &Component,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let path = |option: &str| component.path.key(option);
        let mut further = |name: &Option<String>, option| {
            let name = name.as_deref();
            let symbol = name.map(|name| further_field(name, &path(option), prepare));
            problems.take(symbol.transpose().map_err(Problems::from))
        };
        let rest = further(&config.rest_field, "rest_field").flatten();
        let raw = further(&config.raw_field, "raw_field").flatten();
        if rest.is_some() && rest == raw {
            problems.push(
                Problem::new(path("raw_field"), "`rest_field` has this name already")
                    .expected("another name"),
            );
        }
        problems.or(())?;
        let [
            vhost,
            port,
            client,
            ident,
            user,
            timestamp,
            method,
            target,
            protocol,
            request,
            status,
            bytes,
            referrer,
            user_agent,
            forwarded_for,
        ] = NAMES.map(|name| prepare.symbol(name, &component.path));
        Ok(Self {
            vhost: vhost?,
            port: port?,
            client: client?,
            ident: ident?,
            user: user?,
            timestamp: timestamp?,
            method: method?,
            path: target?,
            protocol: protocol?,
            request: request?,
            status: status?,
            bytes: bytes?,
            referrer: referrer?,
            user_agent: user_agent?,
            forwarded_for: forwarded_for?,
            rest,
            raw,
        })
    }
}

/// A field whose name an option says.
fn further_field(written: &str, path: &Path, prepare: &mut Prepare<'_>) -> Result<Symbol, Problem> {
    let name = field_name::top_level(written, path)?;
    if NAMES.contains(&name) {
        let text = format!("the document has a field `{name}` already");
        let problem = Problem::new(path.clone(), text);
        return Err(problem.expected(format!("a name other than {}", NAMES.join(", "))));
    }
    prepare.symbol(name, path)
}

struct ParseAccessLog {
    source: TextSource,
    unfit: Unfit,
    parser: Parser,
    fields: Fields,
    /// A text whose escapes are resolved.
    plain: Vec<u8>,
}

impl Bolt for ParseAccessLog {
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        let unfit = self.unfit.clone();
        unfit.judge(batch, out, |record| self.parse(record));
        Ok(())
    }
}

impl ParseAccessLog {
    fn parse(&mut self, record: &mut RecordMut<'_>) -> Result<(), Rejection> {
        let reads_field = self.source.field().is_some();
        let text = self.source.read(record)?;
        let line = self.parser.line(text);
        let line =
            line.map_err(|error| error.rejection("invalid_access_line", "access log line"))?;
        let (fields, plain) = (&self.fields, &mut self.plain);
        record.set_event_time(line.time.ms);
        text_source::write(record, reads_field, |document| {
            fields.write(document, text, &line, plain);
        });
        Ok(())
    }
}

impl Fields {
    // Apart from what every line has, which stays short.
    #[cold]
    fn write_vhost(&self, document: &mut Members<'_, '_>, (name, port): NameAndPort<'_>) {
        document.string(self.vhost, name);
        document.member(self.port, |out| out.extend_from_slice(port));
    }

    #[inline]
    fn write(
        &self,
        document: &mut Members<'_, '_>,
        text: &[u8],
        line: &Line<'_>,
        plain: &mut Vec<u8>,
    ) {
        if let Some(vhost) = line.vhost {
            self.write_vhost(document, vhost);
        }
        for (field, text) in [
            (self.client, line.client),
            (self.ident, line.ident),
            (self.user, line.user),
        ] {
            if let Some(text) = text {
                document.string(field, text);
            }
        }
        document.member(self.timestamp, |out| line.time.write(out));
        match line.request {
            None => {}
            Some(Request::Other(text)) => write_text(document, self.request, text, plain),
            Some(Request::Http {
                method,
                path,
                protocol,
            }) => {
                document.string(self.method, method);
                write_text(document, self.path, path, plain);
                if let Some(protocol) = protocol {
                    document.string(self.protocol, protocol);
                }
            }
        }
        for (field, digits) in [(self.status, line.status), (self.bytes, line.bytes)] {
            if let Some(digits) = digits {
                document.member(field, |out| out.extend_from_slice(digits));
            }
        }
        for (field, text) in [
            (self.referrer, line.referrer),
            (self.user_agent, line.user_agent),
            (self.forwarded_for, line.forwarded_for),
        ] {
            if let Some(text) = text {
                write_text(document, field, text, plain);
            }
        }
        if let Some((field, rest)) = self.rest.zip(line.rest) {
            document.string(field, rest);
        }
        if let Some(raw) = self.raw {
            document.string(raw, text);
        }
    }
}

/// Writes a text that was quoted; its escapes are resolved in `plain`.
#[inline]
fn write_text(document: &mut Members<'_, '_>, field: Symbol, text: Text<'_>, plain: &mut Vec<u8>) {
    document.member(field, |out| {
        json::write_bytes_lossy(out, text.resolved(plain));
    });
}
