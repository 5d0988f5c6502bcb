//! One bulk body: action and document lines in, the answer's items out, in one pass. Like
//! Elasticsearch 9 it works line by line: what came before a broken line is stored.

use std::borrow::Cow;
use std::io::Write;

use serde_json::Value;

use super::State;
use super::fault::{FAILURE_STORE, Item};
use super::filter::Filter;

/// What an action line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Create,
    Index,
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

/// Stores what the body holds, but for the last `missing` items, and writes the answer. Fails with the
/// reason for a 400 of the whole request.
pub(super) fn apply(
    state: &mut State,
    filter: &Filter,
    default_index: &str,
    body: &[u8],
    missing: usize,
) -> Result<Vec<u8>, String> {
    if body.last() != Some(&b'\n') {
        return Err("The bulk request must be terminated by a newline [\\n]".to_owned());
    }
    let stop_at = if missing == 0 {
        usize::MAX
    } else {
        count_items(body).saturating_sub(missing)
    };
    let mut items = Vec::with_capacity(1024);
    let mut errors = false;
    let mut lines = Lines { rest: body };
    let mut position = 0;
    while let Some(line) = lines.next().filter(|_| position < stop_at) {
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
        let outcome = store(state, &action, source, position);
        errors |= (outcome.error.as_ref()).is_some_and(|(kind, _)| kind != FAILURE_STORE);
        write_item(&mut items, filter, &action, &outcome);
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

/// The items of a body, as the stand-in counts them: action lines.
fn count_items(body: &[u8]) -> usize {
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

struct Outcome<'s> {
    id: Cow<'s, str>,
    status: u16,
    result: &'static str,
    error: Option<(Cow<'static, str>, Cow<'static, str>)>,
}

fn store<'s>(
    state: &mut State,
    action: &'s Action<'_>,
    source: &[u8],
    position: usize,
) -> Outcome<'s> {
    let State { store, faults } = state;
    let item = Item {
        position,
        index: &action.index,
        id: action.id.as_deref(),
        source,
    };
    let id = match &action.id {
        Some(id) => Cow::Borrowed(&**id),
        None => Cow::Owned(format!("auto-{}", store.counted.items)),
    };
    if let Some(fault) = faults.of_item(&item) {
        store.counted.faulted_items += 1;
        let error = Some((fault.kind.clone().into(), fault.reason.clone().into()));
        return Outcome {
            id,
            status: fault.status,
            result: "",
            error,
        };
    }
    let (status, result) = match action.kind {
        Kind::Delete if store.delete(&action.index, &id) => (200, "deleted"),
        Kind::Delete => (404, "not_found"),
        Kind::Create | Kind::Index if !is_object(source) => {
            store.counted.rejected_items += 1;
            let error = Some((
                "document_parsing_exception".into(),
                "[1:1] failed to parse: not an object".into(),
            ));
            return Outcome {
                id,
                status: 400,
                result: "",
                error,
            };
        }
        Kind::Create | Kind::Index
            if store.put(&action.index, &id, source, action.kind == Kind::Index) =>
        {
            (201, "created")
        }
        Kind::Index => (200, "updated"),
        Kind::Create => {
            let reason =
                format!("[{id}]: version conflict, document already exists (current version [1])");
            let error = Some(("version_conflict_engine_exception".into(), reason.into()));
            return Outcome {
                id,
                status: 409,
                result: "",
                error,
            };
        }
    };
    Outcome {
        id,
        status,
        result,
        error: None,
    }
}

/// The outermost braces only: the stand-in parses no documents.
fn is_object(source: &[u8]) -> bool {
    let source = source.trim_ascii();
    source.first() == Some(&b'{') && source.last() == Some(&b'}')
}

/// Writes one item and a comma; nothing at all when no wanted field is there, so that filtering by
/// `items.*.error` alone loses the positions as it does with real servers.
fn write_item(out: &mut Vec<u8>, filter: &Filter, action: &Action<'_>, outcome: &Outcome<'_>) {
    let wanted = filter.item(action.kind);
    let start = out.len();
    let _ = write!(out, "{{\"{}\":{{", action.kind.name());
    let empty = out.len();
    if wanted.index {
        write_text(out, "_index", &action.index);
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
    if let Some((kind, _)) = &outcome.error
        && kind == FAILURE_STORE
    {
        if wanted.failure_store {
            write_text(out, "failure_store", "used");
        }
    } else if let Some((kind, reason)) = &outcome.error
        && (wanted.error_type || wanted.error_reason)
    {
        out.extend_from_slice(b"\"error\":{");
        if wanted.error_type {
            write_text(out, "type", kind);
        }
        if wanted.error_reason {
            write_text(out, "reason", reason);
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
        let field = |key: &str| {
            let start = memchr::memmem::find(line, key.as_bytes())? + key.len();
            let end = start + memchr::memchr(b'"', &line[start..])?;
            Some(Cow::Borrowed(&text[start..end]))
        };
        let id = field("\"_id\":\"");
        let index = field("\"_index\":\"").unwrap_or(Cow::Borrowed(default_index));
        // A key with a space after its colon, or a number for an id: the other way reads it.
        let unread =
            |value: bool, key: &str| !value && memchr::memmem::find(line, key.as_bytes()).is_some();
        if unread(id.is_some(), "\"_id\"")
            || index.is_empty()
            || unread(!std::ptr::eq(&*index, default_index), "\"_index\"")
        {
            return None;
        }
        Some(Self { kind, index, id })
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
                "Malformed action/metadata line, the stand-in knows no action [{name}]"
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
