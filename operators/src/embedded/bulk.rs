//! The server's side of the bulk protocol: action and document lines in, the answer's items out, in one
//! pass. Like Elasticsearch 9 it works line by line: what came before a broken line is stored.
//!
//! Knows lines and answers; where documents are kept, and what becomes of one, its caller says.

use std::borrow::Cow;
use std::io::Write;

use serde_json::Value;

pub use super::filter::Filter;

/// What an action line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Store it unless its id is there.
    Create,
    /// Store it, over one of its id.
    Index,
    /// Remove the document of this id.
    Delete,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Create, Self::Index, Self::Delete];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Index => "index",
            Self::Delete => "delete",
        }
    }
}

/// One item of a request.
#[derive(Debug, Clone, Copy)]
pub struct Item<'b> {
    /// Its place in the request, from 0.
    pub position: usize,
    /// What is asked for.
    pub kind: Kind,
    /// The index it goes to.
    pub index: &'b str,
    /// Its id, if it has one.
    pub id: Option<&'b str>,
    /// The ingest pipeline that it is to go through, if any.
    pub pipeline: Option<&'b str>,
    /// The document; empty for a `delete`.
    pub source: &'b [u8],
}

/// What became of an item.
#[derive(Debug)]
pub struct Outcome<'b> {
    /// Its id, made here if it had none.
    pub id: Cow<'b, str>,
    /// The item's status.
    pub status: u16,
    /// What happened: `created`, `updated`, `deleted`, `not_found`; empty with an error.
    pub result: &'static str,
    /// It went into the failure store of its data stream, which is answered as a success.
    pub in_failure_store: bool,
    /// Type and reason of the error, if it is one.
    pub error: Option<Fault>,
}

/// Type and reason of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The error's `type`.
    pub kind: Cow<'static, str>,
    /// The error's `reason`.
    pub reason: Cow<'static, str>,
}

impl<'b> Outcome<'b> {
    /// It was done.
    pub fn done(id: Cow<'b, str>, status: u16, result: &'static str) -> Self {
        Self {
            id,
            status,
            result,
            in_failure_store: false,
            error: None,
        }
    }

    /// It was refused.
    pub fn refused(
        id: Cow<'b, str>,
        status: u16,
        kind: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (kind, reason) = (kind.into(), reason.into());
        Self {
            error: Some(Fault { kind, reason }),
            ..Self::done(id, status, "")
        }
    }

    /// The id of a `create` is there already.
    pub fn conflict(id: Cow<'b, str>) -> Self {
        let reason =
            format!("[{id}]: version conflict, document already exists (current version [1])");
        Self::refused(id, 409, "version_conflict_engine_exception", reason)
    }
}

/// Hands each item of a body to `store`, up to `items_max` of them, and writes the answer with the
/// parts that `filter` wants. Items without an index go to `default_index`.
///
/// Fails with the reason for a 400 of the whole request; items before the broken line are stored.
pub fn apply(
    body: &[u8],
    default_index: &str,
    filter: &Filter,
    items_max: usize,
    mut store: impl for<'i> FnMut(&Item<'i>) -> Outcome<'i>,
) -> Result<Vec<u8>, String> {
    if body.last() != Some(&b'\n') {
        return Err("The bulk request must be terminated by a newline [\\n]".to_owned());
    }
    let mut items = Vec::with_capacity(1024);
    let mut errors = false;
    let mut lines = Lines { rest: body };
    let mut position = 0;
    while let Some(line) = lines.next().filter(|_| position < items_max) {
        if line.is_empty() {
            continue;
        }
        let action = Action::parse(line, default_index)?;
        let source = if action.kind == Kind::Delete {
            &[][..]
        } else {
            // An action at the end without its document is dropped without a word, as real servers do.
            let Some(source) = lines.next() else { break };
            source
        };
        let item = Item {
            position,
            kind: action.kind,
            index: &action.index,
            id: action.id.as_deref(),
            pipeline: action.pipeline.as_deref(),
            source,
        };
        let outcome = store(&item);
        errors |= outcome.error.is_some();
        write_item(&mut items, filter, &item, &outcome);
        position += 1;
    }
    let mut answer = Vec::with_capacity(items.len() + 64);
    answer.push(b'{');
    if filter.errors {
        let _ = write!(answer, "\"errors\":{errors},");
    }
    if filter.took {
        answer.extend_from_slice(b"\"took\":1,");
    }
    if items.pop().is_some() {
        answer.extend_from_slice(b"\"items\":[");
        answer.append(&mut items);
        answer.extend_from_slice(b"],");
    }
    if answer.last() == Some(&b',') {
        let _ = answer.pop();
    }
    answer.push(b'}');
    Ok(answer)
}

/// The items of a body: its action lines that have what belongs to them.
pub fn count_items(body: &[u8]) -> usize {
    let mut lines = Lines { rest: body };
    let mut count = 0;
    while let Some(line) = lines.next() {
        let is_delete = line.starts_with(b"{\"delete\"");
        if !line.is_empty() && (is_delete || lines.next().is_some()) {
            count += 1;
        }
    }
    count
}

/// Writes one item and a comma; nothing at all when no wanted field is there, so that filtering by
/// `items.*.error` alone loses the positions as it does with real servers.
fn write_item(out: &mut Vec<u8>, filter: &Filter, item: &Item<'_>, outcome: &Outcome<'_>) {
    let wanted = filter.item(item.kind);
    let start = out.len();
    let _ = write!(out, "{{\"{}\":{{", item.kind.name());
    let empty = out.len();
    if wanted.index {
        write_text(out, "_index", item.index);
    }
    if wanted.id {
        write_text(out, "_id", &outcome.id);
    }
    if wanted.rest && outcome.error.is_none() {
        out.extend_from_slice(b"\"_version\":1,\"_shards\":{\"total\":1,\"successful\":1,\"failed\":0},\"_seq_no\":0,\"_primary_term\":1,");
    }
    if wanted.result && !outcome.result.is_empty() {
        write_text(out, "result", outcome.result);
    }
    if wanted.status {
        let _ = write!(out, "\"status\":{},", outcome.status);
    }
    if outcome.in_failure_store && wanted.failure_store {
        write_text(out, "failure_store", "used");
    }
    if let Some(fault) = &outcome.error
        && (wanted.error_type || wanted.error_reason)
    {
        out.extend_from_slice(b"\"error\":{");
        if wanted.error_type {
            write_text(out, "type", &fault.kind);
        }
        if wanted.error_reason {
            write_text(out, "reason", &fault.reason);
        }
        let _ = out.pop();
        out.extend_from_slice(b"},");
    }
    if out.len() == empty {
        out.truncate(start);
        return;
    }
    let _ = out.pop();
    out.extend_from_slice(b"}},");
}

fn write_text(out: &mut Vec<u8>, name: &str, text: &str) {
    let _ = write!(out, "\"{name}\":");
    serde_json::to_writer(&mut *out, text).expect("text into memory");
    out.push(b',');
}

/// An action line.
struct Action<'b> {
    kind: Kind,
    index: Cow<'b, str>,
    id: Option<Cow<'b, str>>,
    pipeline: Option<Cow<'b, str>>,
}

impl<'b> Action<'b> {
    fn parse(line: &'b [u8], default_index: &'b str) -> Result<Self, String> {
        match Self::parse_plain(line, default_index) {
            Some(action) => Ok(action),
            None => Self::parse_any(line, default_index),
        }
    }

    /// The shape that clients write: no spaces around the action, no escapes. Without escapes a quoted
    /// name followed by a colon can only be a key.
    fn parse_plain(line: &'b [u8], default_index: &'b str) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let kind = Kind::ALL.into_iter().find(|kind| {
            let rest = text
                .strip_prefix("{\"")
                .and_then(|rest| rest.strip_prefix(kind.name()));
            rest.is_some_and(|rest| rest.starts_with("\":{"))
        })?;
        if !text.ends_with("}}") || memchr::memchr(b'\\', line).is_some() {
            return None;
        }
        let has = |key: &str| memchr::memmem::find(line, key.as_bytes()).is_some();
        let field = |key: &str| {
            let start = memchr::memmem::find(line, key.as_bytes())? + key.len();
            let end = start + memchr::memchr(b'"', &line[start..])?;
            Some(Cow::Borrowed(&text[start..end]))
        };
        let id = field("\"_id\":\"");
        let index = field("\"_index\":\"").unwrap_or(Cow::Borrowed(default_index));
        // A key with a space after its colon, a number for an id, or a key that few clients send: the
        // other way reads it.
        let unread = |value: bool, key: &str| !value && has(key);
        if unread(id.is_some(), "\"_id\"")
            || index.is_empty()
            || unread(!std::ptr::eq(&*index, default_index), "\"_index\"")
            || has("\"pipeline\"")
        {
            return None;
        }
        Some(Self {
            kind,
            index,
            id,
            pipeline: None,
        })
    }

    fn parse_any(line: &[u8], default_index: &'b str) -> Result<Self, String> {
        let shown = || {
            String::from_utf8_lossy(line)
                .chars()
                .take(100)
                .collect::<String>()
        };
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| format!("Malformed action/metadata line: {error}: {}", shown()))?;
        let action = value
            .as_object()
            .filter(|object| object.len() == 1)
            .and_then(|object| object.iter().next());
        let Some((name, fields)) = action else {
            return Err(format!(
                "Malformed action/metadata line, expected one action: {}",
                shown()
            ));
        };
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == name) else {
            return Err(format!(
                "Malformed action/metadata line, this server knows no action [{name}]"
            ));
        };
        let text = |key: &str| fields[key].as_str().map(|text| Cow::Owned(text.to_owned()));
        let index = text("_index").unwrap_or(Cow::Borrowed(default_index));
        if index.is_empty() {
            return Err("Validation Failed: 1: index is missing;".to_owned());
        }
        Ok(Self {
            kind,
            index,
            id: text("_id"),
            pipeline: text("pipeline"),
        })
    }
}

struct Lines<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Lines<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}
