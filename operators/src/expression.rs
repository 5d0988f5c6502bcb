//! The one language of topology files: CEL, for conditions and inside of `{{ }}`.
//!
//! The `cel` crate parses; its tree is compiled once to one of our own whose leaves are slots of the
//! record, so that evaluating allocates nothing for ordinary conditions. What the compiler does not
//! know is a problem of the file, never a surprise at a record.
//!
//! Names: `doc.NAME`, `doc["@timestamp"]`, `doc.a.b[0]`; `kafka.topic`, `kafka.partition`,
//! `kafka.offset`, `kafka.timestamp`, `kafka.key`, `kafka.headers["x"]`; `event_time`.
//!
//! Differs from CEL in these points, as JSON has one type of numbers and logs have gaps:
//! numbers compare and compute whatever their notation, whole numbers have 64 bits signed or not;
//! `has(doc.a.b)` is false where `doc.a` is missing; `default(x, y)` is `y` where `x` is missing
//! or null;
//! a result that is no finite number is undefined; objects and lists are not compared with each other.

mod call;
mod compile;
mod function;
mod kind;
mod name;
mod node;
mod number;
mod parse;
mod time;
mod value;

use std::fmt;
use std::ops::Range;

use isobar_topology::spec::{Path, Problem};
use isobar_topology::{Prepare, Record};

use compile::Compiler;
use kind::Kind;
use node::Node;
pub(crate) use parse::text_place;
use parse::{Parsed, TextPlace};
pub(crate) use value::{Value, text_of};

/// A compiled condition.
#[derive(Debug)]
pub(crate) struct Condition(Expression);

impl Condition {
    /// Compiles a condition; problems are at `path` and name the character.
    pub(crate) fn compile(
        text: &str,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> std::result::Result<Self, Problem> {
        let expression = Expression::compile(text, path, prepare)?;
        match Kind::of(&expression.node) {
            Kind::Bool | Kind::Any => Ok(Self(expression)),
            other => Err(TextPlace::whole(text, path)
                .problem(0, &format!("the expression is {}", other.words()))
                .expected(Kind::Bool.words())),
        }
    }

    /// Whether the record meets it; `None` when that cannot be evaluated, as a field is missing or of
    /// another type.
    #[inline]
    pub(crate) fn holds(&self, record: Record<'_>) -> Option<bool> {
        self.0.node.truth(record).ok()
    }

    /// As [`Condition::holds`], with the reason why that cannot be evaluated.
    pub(crate) fn explained(&self, record: Record<'_>) -> std::result::Result<bool, String> {
        let truth = self.0.node.truth(record);
        truth.map_err(|undefined| self.0.explain(undefined))
    }
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    node: Node,
    /// What records can lack, for [`Expression::explain`].
    names: Vec<String>,
}

impl Expression {
    /// Compiles an expression; problems are at `path` and name the character.
    pub(crate) fn compile(
        text: &str,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> std::result::Result<Self, Problem> {
        Self::compile_within(text, 0..text.len(), path, prepare)
    }

    /// As [`Expression::compile`], for an expression at these bytes of `text`: characters count from
    /// the start of `text`.
    pub(crate) fn compile_within(
        text: &str,
        bytes: Range<usize>,
        path: &Path,
        prepare: &mut Prepare<'_>,
    ) -> std::result::Result<Self, Problem> {
        let place = TextPlace {
            text,
            start: bytes.start,
            end: bytes.end,
            path,
        };
        let parsed = Parsed::new(place)?;
        let mut compiler = Compiler {
            parsed: &parsed,
            prepare,
            names: Vec::new(),
        };
        let node = compiler.node(&parsed.expr)?;
        Ok(Self {
            node,
            names: compiler.names,
        })
    }

    /// The value for a record.
    #[inline]
    pub(crate) fn evaluate<'a>(&'a self, record: Record<'a>) -> Result<Value<'a>> {
        self.node.value(record)
    }

    /// Appends the value for a record as text; cheaper than evaluating and writing for formatted
    /// times. Null is no text. What was appended is meaningless when it fails.
    #[inline]
    pub(crate) fn write_text(&self, record: Record<'_>, out: &mut Vec<u8>) -> Result<()> {
        self.node.write_text(record, out)
    }

    /// The name, where the expression is nothing but one: `doc.host`, `kafka.key`.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.node {
            Node::Attribute(attribute) => {
                let name = self.names.get(usize::from(attribute.name));
                name.map(String::as_str)
            }
            _ => None,
        }
    }

    /// How long the value stays the same, in ms of the time of the event from each multiple since 1970
    /// on; `None` unless that time alone decides.
    pub(crate) fn period(&self) -> Option<i64> {
        match &self.node {
            Node::Format(time, format) if time.is_event_time() => format.period(),
            _ => None,
        }
    }

    /// Says why the expression is undefined for a record.
    pub(crate) fn explain(&self, undefined: Undefined) -> String {
        match undefined {
            Undefined::Missing(name) => match self.names.get(usize::from(name)) {
                Some(name) => format!("{name} is missing"),
                None => "a value is missing".to_owned(),
            },
            other => other.to_string(),
        }
    }
}

/// Why an expression has no value for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undefined {
    /// The record does not have it; the number is for [`Expression::explain`].
    Missing(u16),
    /// It is null, where text is wanted.
    Null,
    /// An operand is of a type that the operator or function does not take.
    Type,
    /// A result does not fit 64 bits or is not finite, or text is no number.
    Number,
    /// A position is outside of the text.
    Index,
    /// Text is no time, or the time has no year from 0 to 9999.
    Time,
}

impl fmt::Display for Undefined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Undefined::Missing(_) => "a value is missing",
            Undefined::Null => "the value is null",
            Undefined::Type => "a value is of a type that does not fit there",
            Undefined::Number => {
                "a number does not fit 64 bits, is not finite, or text is no number"
            }
            Undefined::Index => "a position is outside of the text",
            Undefined::Time => "text is no time, or a time is outside of the years 0 to 9999",
        })
    }
}

/// A value, or why there is none.
pub(crate) type Result<T> = std::result::Result<T, Undefined>;

#[cfg(test)]
mod against_cel;
#[cfg(test)]
mod tests;
