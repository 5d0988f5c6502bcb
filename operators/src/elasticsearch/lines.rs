//! Writes a record into a bulk body: the action line that says where it goes and under which id, and
//! the document with its origin. What records have in common is rendered once.

use std::ops::Range;
use std::sync::Arc;

use isobar_topology::{Batch, Ordinals, Record, Rejection, Symbol, json};

use super::document_id::SourceId;
use super::index_name;
use crate::event_time::rfc3339;
use crate::template::{Missing, Template};

/// Longest document id that Elasticsearch and OpenSearch take, in bytes. A longer one would let the
/// whole request fail.
const ID_MAX: usize = 512;

/// Names of indices that are kept rendered: records of neighbouring days and of a few services.
const TARGETS_MAX: usize = 16;

/// Where documents go and what is added to them.
#[derive(Debug)]
pub(crate) struct Addressing {
    /// What is asked for each document.
    pub(crate) operation: Operation,
    /// The index or data stream.
    pub(crate) index: Index,
    /// The document id.
    pub(crate) id: Id,
    /// What decides about the shard, if it is not the id.
    pub(crate) routing: Option<Template>,
    /// Times of events that are taken, around when the record was read.
    pub(crate) bounds: Option<Bounds>,
    /// The field that tells where the record comes from.
    pub(crate) origin: Option<Symbol>,
    /// The field that is set to the time of the event where a document lacks it.
    pub(crate) timestamp: Option<Symbol>,
}

/// Times of events that are taken, in ms before and after now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) past: i64,
    pub(crate) future: i64,
    /// The past begins when the record was written, if that is earlier than now.
    pub(crate) of_record: bool,
}

/// What is asked for a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Store it unless one with its id is there.
    Create,
    /// Store it, replacing one with its id.
    Index,
}

/// The index of a document.
#[derive(Debug)]
pub(crate) enum Index {
    /// All go to the same, whose name is sound.
    Constant(Arc<str>),
    /// It follows from the record.
    Template(Template),
}

/// The id of a document.
#[derive(Debug)]
pub(crate) enum Id {
    /// It follows from where the record comes from.
    Deterministic,
    /// The cluster makes one.
    Auto,
    /// It follows from the record's fields.
    Template(Template),
}

impl Id {
    /// Whether it may hold what is in the document.
    pub(crate) fn holds_fields(&self) -> bool {
        matches!(self, Self::Template(_))
    }
}

impl Operation {
    /// Its name in action lines and replies.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index => "index",
        }
    }
}

/// Writes lines for one lane.
pub(crate) struct Lines {
    addressing: Arc<Addressing>,
    /// The last ones used; the newest first.
    targets: Vec<Target>,
    /// How long the name of an index stays the same, see [`Template::period`].
    period: Option<i64>,
    /// Times of events, in ms since 1970, that belong to the first target.
    current: Range<i64>,
    source: SourceId,
    /// `"_isobar":{"s":"…","t":"…","p":0,"o":` of the current batch.
    origin: Vec<u8>,
    origin_symbol: Option<Symbol>,
    /// When the current batch was read, in ms since 1970.
    read_at: i64,
    rendered: Vec<u8>,
}

/// An index and the start of its action lines.
struct Target {
    name: Arc<str>,
    /// Up to where the id, or the end, follows.
    line: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(addressing: Arc<Addressing>) -> Self {
        let mut lines = Self {
            targets: Vec::with_capacity(TARGETS_MAX),
            period: match &addressing.index {
                Index::Template(template) => template.period(),
                Index::Constant(_) => None,
            },
            current: 0..0,
            source: SourceId::new(0, 0),
            origin: Vec::new(),
            origin_symbol: addressing.origin,
            read_at: 0,
            rendered: Vec::new(),
            addressing,
        };
        if let Index::Constant(name) = &lines.addressing.index {
            let target = Target::new(Arc::clone(name), &lines.addressing);
            lines.targets.push(target);
        }
        lines
    }

    /// Gets ready for the records of a batch.
    pub(crate) fn begin(&mut self, batch: &Batch) {
        let partition = batch.arena().partition();
        self.read_at = batch.arena().read_at();
        self.source = SourceId::new(partition.source(), partition.number());
        self.origin.clear();
        if let Some(symbol) = self.origin_symbol {
            let out = &mut self.origin;
            json::write_string(out, batch.symbols().name(symbol));
            out.extend_from_slice(b":{\"s\":\"");
            out.extend_from_slice(self.source.source());
            out.extend_from_slice(b"\",\"t\":");
            json::write_string(out, partition.topic());
            out.extend_from_slice(b",\"p\":");
            write_number(out, i64::from(partition.number()));
            out.extend_from_slice(b",\"o\":");
        }
    }

    /// Appends both lines of a record of the current batch and returns its index. A record that can
    /// never be indexed gives the reason, with nothing appended.
    #[inline]
    pub(crate) fn write(
        &mut self,
        record: Record<'_>,
        out: &mut Vec<u8>,
    ) -> Result<&Arc<str>, Rejection> {
        let start = out.len();
        match self.try_write(record, out) {
            Ok(()) => Ok(&self.targets[0].name),
            Err(rejection) => {
                out.truncate(start);
                Err(*rejection)
            }
        }
    }

    fn try_write(&mut self, record: Record<'_>, out: &mut Vec<u8>) -> Result<(), Box<Rejection>> {
        let addressing = &*self.addressing;
        if let Some(bounds) = addressing.bounds {
            check_time(record, bounds, self.read_at)?;
        }
        let time = record.event_time();
        let is_current = time.is_some_and(|time| self.current.contains(&time));
        if let (false, Index::Template(template)) = (is_current, &addressing.index) {
            self.rendered.clear();
            let name = template.render(record, &mut self.rendered);
            name.map_err(|missing| missing_field("index", &missing))?;
            choose(&mut self.targets, &self.rendered, addressing)?;
            self.current = match (self.period, time) {
                (Some(period), Some(time)) => {
                    let start = time.div_euclid(period) * period;
                    start..start + period
                }
                _ => 0..0,
            };
        }
        out.extend_from_slice(&self.targets[0].line);
        match &addressing.id {
            Id::Auto => {}
            Id::Deterministic => {
                let (timestamp, offset) = (record.timestamp(), record.offset());
                let ordinals = record.ordinals().iter();
                self.source.write(out, timestamp, offset, ordinals);
                out.push(b'"');
            }
            Id::Template(template) => {
                self.rendered.clear();
                let id = template.render(record, &mut self.rendered);
                id.map_err(|missing| missing_field("id", &missing))?;
                json::write_string(out, sound_id(&self.rendered)?);
            }
        }
        if let Some(template) = &addressing.routing {
            self.rendered.clear();
            let routing = template.render(record, &mut self.rendered);
            routing.map_err(|missing| missing_field("routing", &missing))?;
            // It would count as none, and the document would go to another shard.
            if self.rendered.is_empty() {
                return Err(Box::new(Rejection::new("routing", "the routing is empty")));
            }
            let comma = if matches!(addressing.id, Id::Auto) {
                ""
            } else {
                ","
            };
            out.extend_from_slice(comma.as_bytes());
            out.extend_from_slice(b"\"routing\":");
            json::write_bytes_lossy(out, &self.rendered);
        }
        out.extend_from_slice(b"}}\n");
        let document = out.len();
        let has_document = record.write_with(out, self.origin_symbol, |out| {
            if let Some(symbol) = addressing.timestamp
                && record.get(symbol).is_none()
                && let Some(time) = record.event_time()
            {
                out.extend_from_slice(b"\"@timestamp\":\"");
                rfc3339::write(out, time);
                let end: &[u8] = if self.origin.is_empty() {
                    b"\""
                } else {
                    b"\","
                };
                out.extend_from_slice(end);
            }
            if !self.origin.is_empty() {
                out.extend_from_slice(&self.origin);
                write_number(out, record.offset());
                if record.timestamp() >= 0 {
                    out.extend_from_slice(b",\"ts\":");
                    write_number(out, record.timestamp());
                }
                if !record.ordinals().is_empty() {
                    out.extend_from_slice(b",\"n\":");
                    write_ordinals(out, record.ordinals());
                }
                out.push(b'}');
            }
        });
        if !has_document {
            let text = isobar_topology::NoDocument.to_string();
            return Err(Box::new(Rejection::new("no_document", text)));
        }
        to_one_line(&mut out[document..]);
        out.push(b'\n');
        Ok(())
    }
}

impl Target {
    fn new(name: Arc<str>, addressing: &Addressing) -> Self {
        let mut line = Vec::with_capacity(40 + name.len());
        let operation = addressing.operation.name();
        line.extend_from_slice(format!("{{\"{operation}\":{{\"_index\":\"{name}\"").as_bytes());
        line.extend_from_slice(match (&addressing.id, &addressing.routing) {
            (Id::Deterministic, _) => b",\"_id\":\"",
            (Id::Template(_), _) => b",\"_id\":",
            (Id::Auto, Some(_)) => b",",
            (Id::Auto, None) => b"",
        });
        Self { name, line }
    }
}

/// Brings the target of this name to the front, made new where it is not there.
#[inline]
fn choose(
    targets: &mut Vec<Target>,
    name: &[u8],
    addressing: &Addressing,
) -> Result<(), Box<Rejection>> {
    match targets
        .iter()
        .position(|known| known.name.as_bytes() == name)
    {
        Some(0) => {}
        Some(at) => targets[..=at].rotate_right(1),
        None => {
            let name = sound_name(name)?;
            targets.truncate(TARGETS_MAX - 1);
            targets.insert(0, Target::new(name, addressing));
        }
    }
    Ok(())
}

fn sound_name(name: &[u8]) -> Result<Arc<str>, Box<Rejection>> {
    let shown = String::from_utf8_lossy(name);
    let problem = match std::str::from_utf8(name) {
        Err(_) => "is not UTF-8",
        Ok(name) => match index_name::problem(name) {
            Some(problem) => problem,
            None => return Ok(name.into()),
        },
    };
    let text = format!(
        "the index name {:?} {problem}",
        super::hosts::cut(&shown, 300)
    );
    Err(Box::new(Rejection::new("index_name", text)))
}

fn sound_id(id: &[u8]) -> Result<&str, Box<Rejection>> {
    let reject = |text: &'static str| Box::new(Rejection::new("document_id", text));
    if id.is_empty() {
        return Err(reject("the document id is empty"));
    }
    if id.len() > ID_MAX {
        return Err(reject("the document id is longer than 512 bytes"));
    }
    std::str::from_utf8(id).map_err(|_| reject("the document id is not UTF-8"))
}

#[cold]
fn missing_field(option: &str, missing: &Missing) -> Box<Rejection> {
    let text = format!("{option}: {missing}");
    Box::new(Rejection::new("missing_field", text))
}

/// Times that are far off would make an index each, so they are kept out. What is far off does not change while a
/// record waits: an outage rejects nothing, and no record is indexed by one attempt and rejected by the next.
#[inline]
fn check_time(record: Record<'_>, bounds: Bounds, read_at: i64) -> Result<(), Box<Rejection>> {
    let Some(time) = record.event_time() else {
        return Ok(());
    };
    let of_record = bounds.of_record && record.timestamp() >= 0;
    let present = match of_record {
        true => read_at.min(record.timestamp()),
        false => read_at,
    };
    let side = match time {
        time if time < present.saturating_sub(bounds.past) => "past",
        time if time > read_at.saturating_add(bounds.future) => "future",
        _ => return Ok(()),
    };
    let mut shown = Vec::new();
    rfc3339::write(&mut shown, time);
    let shown = String::from_utf8_lossy(&shown);
    let text = format!(
        "the time of the event, {shown}, is too far in the {side}: see event_time_bounds.{side}"
    );
    Err(Box::new(Rejection::new("event_time", text)))
}

/// Documents are lines of a body: line ends between members become spaces. In a validated text none is
/// inside of a string.
#[inline]
fn to_one_line(document: &mut [u8]) {
    let mut rest = document;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        rest[at] = b' ';
        rest = &mut rest[at + 1..];
    }
}

/// One number, or an array of them for a part of a part: Elasticsearch maps both to the same type.
fn write_ordinals(out: &mut Vec<u8>, ordinals: Ordinals) {
    serde_json::to_writer(out, &ordinals).expect("numbers into memory");
}

#[inline]
fn write_number(out: &mut Vec<u8>, number: i64) {
    serde_json::to_writer(out, &number).expect("a number into memory");
}

#[cfg(test)]
mod tests;
