//! Text with `{{ expression }}` inside: names of indices and topics, ids, values of fields.
//!
//! `{{` in text itself is written `{{ '{{' }}`. What a record lacks makes the text missing, so that a
//! record is never written to `logs-` or `logs-null` by accident; `default(...)` is the way out.

use std::fmt;
use std::ops::Range;

use isobar_topology::spec::{Path, Problem};
use isobar_topology::{Prepare, Record, json};

use crate::expression::{Expression, Undefined};

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Placeholder {
        expression: Expression,
        /// As it is written, braces included.
        written: String,
    },
}

/// Why a template has no text for a record: which placeholder, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    placeholder: String,
    why: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.placeholder, self.why)
    }
}

impl Template {
    /// Compiles a template; problems are at `path` and name the column.
    pub(crate) fn compile(
        text: &str,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> Result<Self, Problem> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while let Some(opening) = text[at..].find("{{") {
            let opening = at + opening;
            if opening > at {
                pieces.push(Piece::Text(text[at..opening].to_owned()));
            }
            let inside = opening + 2;
            let Some(length) = closing(&text[inside..]) else {
                let column = text[..opening].chars().count() + 1;
                let message = format!("column {column}: `{{{{` has no closing `}}}}`");
                return Err(Problem::new(path.clone(), message)
                    .expected("{{ EXPRESSION }}, or {{ '{{' }} for the braces themselves"));
            };
            let range = trimmed(text, inside..inside + length);
            at = inside + length + 2;
            pieces.push(Piece::Placeholder {
                expression: Expression::compile_within(text, range, path, prepare)?,
                written: text[opening..at].to_owned(),
            });
        }
        if at < text.len() {
            pieces.push(Piece::Text(text[at..].to_owned()));
        }
        Ok(Self { pieces })
    }

    /// The text, if there is no placeholder in it.
    pub(crate) fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text for a record. Nothing is appended when a placeholder is missing, null or
    /// undefined. Objects and lists are appended as JSON.
    pub(crate) fn render(&self, record: Record<'_>, out: &mut Vec<u8>) -> Result<(), Missing> {
        let start = out.len();
        for piece in &self.pieces {
            let (expression, written) = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Piece::Placeholder {
                    expression,
                    written,
                } => (expression, written),
            };
            if let Err(undefined) = expression.write_text(record, out) {
                out.truncate(start);
                return Err(missing(expression, written, undefined));
            }
        }
        Ok(())
    }

    /// Appends a JSON value: the value itself, of its type, when the template is nothing but one
    /// placeholder; else the text as a string. Nothing is appended when it fails.
    pub(crate) fn render_json(&self, record: Record<'_>, out: &mut Vec<u8>) -> Result<(), Missing> {
        if let [
            Piece::Placeholder {
                expression,
                written,
            },
        ] = self.pieces.as_slice()
        {
            let value = expression.evaluate(record);
            value
                .map_err(|undefined| missing(expression, written, undefined))?
                .write_json(out);
            return Ok(());
        }
        let start = out.len();
        out.push(b'"');
        if let Err(missing) = self.render(record, out) {
            out.truncate(start);
            return Err(missing);
        }
        let text = &out[start + 1..];
        if text.iter().any(|b| *b < b' ' || matches!(b, b'"' | b'\\')) {
            let text = text.to_vec();
            out.truncate(start);
            json::write_bytes_lossy(out, &text);
        } else {
            out.push(b'"');
        }
        Ok(())
    }
}

#[cold]
fn missing(expression: &Expression, written: &str, undefined: Undefined) -> Missing {
    Missing {
        placeholder: written.to_owned(),
        why: expression.explain(undefined),
    }
}

/// Where the `}}` of a placeholder is, quoted texts skipped.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'}' if bytes[at..].starts_with(b"}}") => return Some(at),
            quote @ (b'\'' | b'"') => {
                let is_raw = at > 0 && matches!(bytes[at - 1], b'r' | b'R');
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' && !is_raw { 2 } else { 1 };
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let inside = &text[range.clone()];
    let start = range.start + (inside.len() - inside.trim_start().len());
    start..start + inside.trim().len()
}
