//! Writes a record into a bulk body: the action line that says where it goes and under which id, and
//! the document with its origin. What records have in common is rendered once.

use std::sync::Arc;

use isobar_topology::{Batch, Record, Rejection, Symbol, clock, json};

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
    /// Times of events that are taken; ms before and after now.
    pub(crate) bounds: Option<(i64, i64)>,
    /// The field that tells where the record comes from.
    pub(crate) origin: Option<Symbol>,
    /// The field that is set to the time of the event where a document lacks it.
    pub(crate) timestamp: Option<Symbol>,
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
    source: SourceId,
    /// `"_isobar":{"s":"…","t":"…","p":0,"o":` of the current batch.
    origin: Vec<u8>,
    origin_symbol: Option<Symbol>,
    /// The current batch's time, in ms since 1970.
    now: i64,
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
            source: SourceId::new(0, 0),
            origin: Vec::new(),
            origin_symbol: addressing.origin,
            now: 0,
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
        self.now = clock::unix_ms();
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
            check_time(record, bounds, self.now)?;
        }
        if let Index::Template(template) = &addressing.index {
            self.rendered.clear();
            let name = template.render(record, &mut self.rendered);
            name.map_err(|missing| missing_field("index", &missing))?;
            choose(&mut self.targets, &self.rendered, addressing)?;
        }
        out.extend_from_slice(&self.targets[0].line);
        match &addressing.id {
            Id::Auto => {}
            Id::Deterministic => {
                let (timestamp, offset) = (record.timestamp(), record.offset());
                self.source.write(out, timestamp, offset, record.ordinal());
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
                if let Some(child) = record.ordinal() {
                    out.extend_from_slice(b",\"n\":");
                    write_number(out, i64::from(child));
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

/// Times that are far off would make an index each, so they are kept out.
#[inline]
fn check_time(
    record: Record<'_>,
    (past, future): (i64, i64),
    now: i64,
) -> Result<(), Box<Rejection>> {
    let Some(time) = record.event_time() else {
        return Ok(());
    };
    let side = match time {
        time if time < now.saturating_sub(past) => "past",
        time if time > now.saturating_add(future) => "future",
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
    // Looks at every byte without a branch, so that 16 are looked at together.
    let any = document
        .iter()
        .fold(false, |any, byte| any | (*byte == b'\n'));
    if any {
        for byte in document {
            if *byte == b'\n' {
                *byte = b' ';
            }
        }
    }
}

#[inline]
fn write_number(out: &mut Vec<u8>, number: i64) {
    serde_json::to_writer(out, &number).expect("a number into memory");
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::Path;
    use isobar_topology::testing::{Harness, Input, with_prepare};
    use isobar_topology::{Prepare, Symbols};

    use super::*;

    fn template(text: &str, prepare: &mut Prepare<'_>) -> Template {
        Template::compile(text, &Path::root(), prepare).expect("a sound template")
    }

    /// Documents go to the index `logs` under deterministic ids, with no more than that.
    fn plain() -> Addressing {
        Addressing {
            operation: Operation::Create,
            index: Index::Constant("logs".into()),
            id: Id::Deterministic,
            routing: None,
            bounds: None,
            origin: None,
            timestamp: None,
        }
    }

    /// What is written for each record, or why it is rejected.
    fn written(
        addressing: impl FnOnce(&mut Prepare<'_>) -> Addressing,
        inputs: &[Input],
    ) -> Vec<Result<String, (&'static str, String)>> {
        let mut symbols = Symbols::new();
        let addressing = with_prepare(&mut symbols, addressing);
        let mut harness = Harness::new(symbols);
        let batch = harness.batch(inputs);
        let mut lines = Lines::new(Arc::new(addressing));
        lines.begin(&batch);
        let lines = batch.records().map(|record| {
            let mut out = b"before".to_vec();
            match lines.write(record, &mut out) {
                Ok(_) => Ok(String::from_utf8(out.split_off(6)).expect("UTF-8")),
                Err(rejection) => {
                    assert_eq!(out, b"before");
                    Err((rejection.class, rejection.reason.into_owned()))
                }
            }
        });
        lines.collect()
    }

    fn documents(texts: &[&str]) -> Vec<Input> {
        texts.iter().map(|text| Input::document(text)).collect()
    }

    /// The lines of documents that are all written.
    fn lines(addressing: impl FnOnce(&mut Prepare<'_>) -> Addressing, inputs: &[Input]) -> String {
        let lines = written(addressing, inputs).into_iter();
        lines
            .map(|lines| lines.expect("it can be indexed"))
            .collect()
    }

    #[test]
    fn a_record_becomes_two_lines_whatever_its_form() {
        let written = lines(
            |_| plain(),
            &documents(&["{}", "{\n \"a\": [1,\r\n2]\n}\n"]),
        );
        let expected = "{\"create\":{\"_index\":\"logs\",\"_id\":\"1--NjEtLV-----------6-----2-----------\"}}\n{}\n\
             {\"create\":{\"_index\":\"logs\",\"_id\":\"1--NjEtLV-----------6-----2----------0\"}}\n{  \"a\": [1,\r 2]}\n";
        assert_eq!(written, expected);
    }

    #[test]
    fn the_id_and_the_routing_follow_from_the_record() {
        let with = |id: fn(&mut Prepare<'_>) -> Id, routing: bool| {
            let addressing = move |prepare: &mut Prepare<'_>| Addressing {
                operation: Operation::Index,
                id: id(prepare),
                routing: routing.then(|| template("{{ doc.shard }}", prepare)),
                ..plain()
            };
            let lines = lines(addressing, &documents(&[r#"{"id":"a\"é","shard":"s"}"#]));
            lines.split_once('\n').expect("two lines").0.to_owned()
        };
        let auto = |_: &mut Prepare<'_>| Id::Auto;
        let field = |prepare: &mut Prepare<'_>| Id::Template(template("{{ doc.id }}", prepare));
        assert_eq!(with(auto, false), r#"{"index":{"_index":"logs"}}"#);
        assert_eq!(
            with(auto, true),
            r#"{"index":{"_index":"logs","routing":"s"}}"#
        );
        assert_eq!(
            with(field, false),
            r#"{"index":{"_index":"logs","_id":"a\"é"}}"#
        );
        assert_eq!(
            with(field, true),
            r#"{"index":{"_index":"logs","_id":"a\"é","routing":"s"}}"#
        );
        let fixed = with(|_| Id::Deterministic, true);
        assert!(
            fixed.ends_with(r#"-----------","routing":"s"}}"#),
            "{fixed}"
        );
    }

    #[test]
    fn a_document_tells_where_it_comes_from_and_when() {
        let document = |origin: bool, timestamp: bool, input: Input| {
            let addressing = move |prepare: &mut Prepare<'_>| {
                let mut symbol = |name| prepare.symbol(name, &Path::root()).expect("few names");
                Addressing {
                    origin: origin.then(|| symbol("_isobar")),
                    timestamp: timestamp.then(|| symbol("@timestamp")),
                    ..plain()
                }
            };
            let lines = lines(addressing, &[input]);
            lines.split_once('\n').expect("two lines").1.to_owned()
        };
        let empty = || Input::document("{}");
        let origin = r#""_isobar":{"s":"----------6","t":"topic","p":3,"o":0,"ts":1700000000000}"#;
        let time = r#""@timestamp":"2023-11-14T22:13:20Z""#;
        assert_eq!(document(true, false, empty()), format!("{{{origin}}}\n"));
        assert_eq!(document(false, true, empty()), format!("{{{time}}}\n"));
        assert_eq!(
            document(true, true, empty()),
            format!("{{{time},{origin}}}\n")
        );
        let own = Input::document(r#"{"@timestamp":null,"_isobar":1,"a":2}"#);
        assert_eq!(
            document(true, true, own),
            format!("{{\"@timestamp\":null,\"a\":2,{origin}}}\n")
        );
        let without = Input {
            timestamp: -1,
            ..empty()
        };
        assert_eq!(
            document(true, true, without),
            "{\"_isobar\":{\"s\":\"----------6\",\"t\":\"topic\",\"p\":3,\"o\":0}}\n"
        );
    }

    #[test]
    fn what_can_never_be_indexed_is_rejected_with_its_reason() {
        let inputs = [
            Input::document(&format!(r#"{{"n":"{}"}}"#, "x".repeat(513))),
            Input::document(r#"{"n":""}"#),
            Input::document("{}"),
            Input::raw("no document"),
            Input::document(r#"{"n":"fine"}"#),
        ];
        let check = |addressing: fn(&mut Prepare<'_>) -> Addressing, expected: [&str; 5]| {
            let written = written(addressing, &inputs).into_iter();
            let classes = written.map(|lines| lines.map_or_else(|(class, _)| class, |_| "written"));
            assert_eq!(classes.collect::<Vec<_>>(), expected);
        };
        let (id, field) = ("document_id", "missing_field");
        check(
            |prepare| Addressing {
                id: Id::Template(template("{{ doc.n }}", prepare)),
                ..plain()
            },
            [id, id, field, field, "written"],
        );
        check(
            |prepare| Addressing {
                routing: Some(template("{{ doc.n }}", prepare)),
                ..plain()
            },
            ["written", "routing", field, field, "written"],
        );
        check(
            |prepare| Addressing {
                index: Index::Template(template("{{ doc.n }}", prepare)),
                ..plain()
            },
            ["index_name", "index_name", field, field, "written"],
        );
        let no_document = ["written", "written", "written", "no_document", "written"];
        check(|_| plain(), no_document);
    }

    #[test]
    fn more_indices_than_are_kept_rendered_are_written_all_the_same() {
        let numbers = || (0..2).flat_map(|_| 0..3 * TARGETS_MAX);
        let texts: Vec<String> = numbers().map(|n| format!("{{\"n\":{n}}}")).collect();
        let inputs: Vec<Input> = texts.iter().map(|text| Input::document(text)).collect();
        let by_field = |prepare: &mut Prepare<'_>| Addressing {
            index: Index::Template(template("logs-{{ doc.n }}", prepare)),
            id: Id::Auto,
            ..plain()
        };
        let expected: String = numbers()
            .map(|n| format!("{{\"create\":{{\"_index\":\"logs-{n}\"}}}}\n{{\"n\":{n}}}\n"))
            .collect();
        assert_eq!(lines(by_field, &inputs), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn times_out_of_bounds_are_rejected_and_none_is_not() {
        let now = clock::unix_ms();
        let times = [now, now - 10_001, now + 5_001, -1, i64::MAX];
        let inputs = times.map(|timestamp| Input {
            timestamp,
            ..Input::document("{}")
        });
        let bounded = |_: &mut Prepare<'_>| Addressing {
            bounds: Some((10_000, 5_000)),
            ..plain()
        };
        let sides = written(bounded, &inputs)
            .into_iter()
            .map(|lines| match lines {
                Ok(_) => "taken",
                Err(("event_time", reason)) if reason.contains("in the past") => "past",
                Err(("event_time", reason)) if reason.contains("in the future") => "future",
                Err(other) => panic!("{other:?}"),
            });
        let sides: Vec<&str> = sides.collect();
        assert_eq!(sides, ["taken", "past", "future", "taken", "future"]);
    }
}
