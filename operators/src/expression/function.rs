//! The functions of expressions.

use std::borrow::Cow;

use isobar_topology::{Record, json};

use super::kind::Kind;
use super::node::Node;
use super::number::{self, Number};
use super::value::Value;
use super::{Result, Undefined};
use crate::event_time::rfc3339;

/// A function that takes values and gives one. `has`, `default` and `format` are not among them: they
/// are more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    StartsWith,
    EndsWith,
    Contains,
    Substring,
    Size,
    LowerAscii,
    UpperAscii,
    Int,
    Double,
    String,
    Timestamp,
}

/// How a function is called.
pub(super) struct Signature {
    pub(super) name: &'static str,
    /// As it is shown to users.
    pub(super) usage: &'static str,
    pub(super) function: Function,
    pub(super) style: Style,
    /// What each argument must be, the one before the dot first.
    pub(super) takes: &'static [Kind],
    /// How many of them may be left out at the end.
    pub(super) optional: usize,
    pub(super) gives: Kind,
}

/// Whether the first argument stands before a dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Method,
    Global,
    Both,
}

const fn signature(
    name: &'static str,
    usage: &'static str,
    function: Function,
    style: Style,
    takes: &'static [Kind],
    gives: Kind,
) -> Signature {
    Signature {
        name,
        usage,
        function,
        style,
        takes,
        optional: 0,
        gives,
    }
}

const TEXT: Kind = Kind::Text;
const NUMBER: Kind = Kind::Number;

/// Every function, in the order in which they are listed to users.
pub(super) const FUNCTIONS: &[Signature] = &[
    signature(
        "startsWith",
        "TEXT.startsWith(TEXT)",
        Function::StartsWith,
        Style::Method,
        &[TEXT, TEXT],
        Kind::Bool,
    ),
    signature(
        "endsWith",
        "TEXT.endsWith(TEXT)",
        Function::EndsWith,
        Style::Method,
        &[TEXT, TEXT],
        Kind::Bool,
    ),
    signature(
        "contains",
        "TEXT.contains(TEXT)",
        Function::Contains,
        Style::Method,
        &[TEXT, TEXT],
        Kind::Bool,
    ),
    Signature {
        optional: 1,
        ..signature(
            "substring",
            "TEXT.substring(START, END)",
            Function::Substring,
            Style::Method,
            &[TEXT, NUMBER, NUMBER],
            TEXT,
        )
    },
    signature(
        "lowerAscii",
        "TEXT.lowerAscii()",
        Function::LowerAscii,
        Style::Method,
        &[TEXT],
        TEXT,
    ),
    signature(
        "upperAscii",
        "TEXT.upperAscii()",
        Function::UpperAscii,
        Style::Method,
        &[TEXT],
        TEXT,
    ),
    signature(
        "size",
        "size(VALUE)",
        Function::Size,
        Style::Both,
        &[Kind::Any],
        NUMBER,
    ),
    signature(
        "int",
        "int(VALUE)",
        Function::Int,
        Style::Global,
        &[Kind::Any],
        NUMBER,
    ),
    signature(
        "double",
        "double(VALUE)",
        Function::Double,
        Style::Global,
        &[Kind::Any],
        NUMBER,
    ),
    signature(
        "string",
        "string(VALUE)",
        Function::String,
        Style::Global,
        &[Kind::Any],
        TEXT,
    ),
    signature(
        "timestamp",
        "timestamp(TEXT)",
        Function::Timestamp,
        Style::Global,
        &[TEXT],
        Kind::Time,
    ),
];

impl Function {
    /// Calls it. The arguments are as many as its signature says.
    pub(super) fn call<'a>(self, arguments: &'a [Node], record: Record<'a>) -> Result<Value<'a>> {
        let subject = || arguments[0].value(record);
        let argument = |at: usize| arguments[at].value(record);
        Ok(match self {
            Function::StartsWith | Function::EndsWith | Function::Contains => {
                Value::Bool(self.test(arguments, record)?)
            }
            Function::Substring => {
                let start = index(&argument(1)?)?;
                let end = arguments
                    .get(2)
                    .map(|end| index(&end.value(record)?))
                    .transpose()?;
                substring(subject()?, start, end)?
            }
            Function::Size => size(&subject()?)?,
            Function::LowerAscii => with_case(
                subject()?,
                u8::is_ascii_uppercase,
                <[u8]>::make_ascii_lowercase,
            )?,
            Function::UpperAscii => with_case(
                subject()?,
                u8::is_ascii_lowercase,
                <[u8]>::make_ascii_uppercase,
            )?,
            Function::Int => int(subject()?)?,
            Function::Double => double(subject()?)?,
            Function::String => string(subject()?)?,
            Function::Timestamp => match subject()? {
                Value::Time(ms) => Value::Time(ms),
                other => Value::Time(rfc3339::parse(bytes(&other)?).ok_or(Undefined::Time)?),
            },
        })
    }
    /// What a function that answers yes or no says of two texts.
    pub(super) fn test(self, arguments: &[Node], record: Record<'_>) -> Result<bool> {
        let values = (arguments[0].value(record), arguments[1].value(record));
        let (Ok(subject), Ok(argument)) = &values else {
            let first = values.0.err().or(values.1.err());
            return Err(first.unwrap_or(Undefined::Type));
        };
        match self {
            Function::StartsWith => Ok(bytes(subject)?.starts_with(bytes(argument)?)),
            Function::EndsWith => Ok(bytes(subject)?.ends_with(bytes(argument)?)),
            Function::Contains => Ok(text(subject)?.contains(text(argument)?)),
            _ => Err(Undefined::Type),
        }
    }
}

fn bytes<'v>(value: &'v Value<'_>) -> Result<&'v [u8]> {
    value.bytes().ok_or(Undefined::Type)
}

fn text<'v>(value: &'v Value<'_>) -> Result<&'v str> {
    std::str::from_utf8(bytes(value)?).map_err(|_| Undefined::Type)
}

fn index(value: &Value<'_>) -> Result<usize> {
    match value {
        Value::Int(number) => usize::try_from(*number).map_err(|_| Undefined::Index),
        Value::UInt(_) => Err(Undefined::Index),
        _ => Err(Undefined::Type),
    }
}

/// Positions count characters; out of range is undefined, as in CEL's extension of strings.
fn substring<'a>(subject: Value<'a>, start: usize, end: Option<usize>) -> Result<Value<'a>> {
    let range = {
        let text = text(&subject)?;
        if end.is_some_and(|end| end < start) {
            return Err(Undefined::Index);
        }
        let from = byte_of(text, start).ok_or(Undefined::Index)?;
        let to = match end {
            None => text.len(),
            Some(end) => from + byte_of(&text[from..], end - start).ok_or(Undefined::Index)?,
        };
        from..to
    };
    Ok(match subject {
        Value::Str(Cow::Borrowed(text)) => Value::Str(text[range].into()),
        Value::Str(Cow::Owned(mut text)) => {
            text.truncate(range.end);
            let _ = text.drain(..range.start);
            Value::Str(text.into())
        }
        _ => return Err(Undefined::Type),
    })
}

/// The byte at which a character starts; the end counts.
fn byte_of(text: &str, character: usize) -> Option<usize> {
    let starts = text.char_indices().map(|(at, _)| at);
    starts.chain([text.len()]).nth(character)
}

fn size(subject: &Value<'_>) -> Result<Value<'static>> {
    let size = match subject {
        Value::Str(text) => text.iter().filter(|byte| **byte & 0xC0 != 0x80).count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Json(raw) => {
            let mut count = 0;
            if raw.first() == Some(&b'[') {
                json::for_each_element(raw, |_| count += 1);
            } else {
                json::for_each_member(raw, |_, _| count += 1);
            }
            count
        }
        _ => return Err(Undefined::Type),
    };
    Ok(number::from_u64(size as u64))
}

fn with_case<'a>(
    subject: Value<'a>,
    is_other: impl Fn(&u8) -> bool,
    change: impl Fn(&mut [u8]),
) -> Result<Value<'a>> {
    let Value::Str(mut text) = subject else {
        return Err(Undefined::Type);
    };
    if text.iter().any(is_other) {
        change(text.to_mut());
    }
    Ok(Value::Str(text))
}

fn int(subject: Value<'_>) -> Result<Value<'_>> {
    match &subject {
        Value::Int(_) | Value::UInt(_) => Ok(subject),
        Value::Time(ms) => Ok(Value::Int(ms.div_euclid(1_000))),
        Value::Str(text) => number::integer(text).ok_or(Undefined::Number),
        other => {
            let number = Number::of(other).ok_or(Undefined::Type)?;
            number::whole(number).ok_or(Undefined::Number)
        }
    }
}

fn double(subject: Value<'_>) -> Result<Value<'_>> {
    let number = match &subject {
        Value::Str(text) => number::double(text).ok_or(Undefined::Number)?,
        other => Number::of(other).ok_or(Undefined::Type)?.as_double(),
    };
    number::finite(number).ok_or(Undefined::Number)
}

fn string(subject: Value<'_>) -> Result<Value<'_>> {
    match subject {
        Value::Str(_) => Ok(subject),
        Value::Bytes(_) | Value::Null => Err(Undefined::Type),
        other => {
            let mut text = Vec::new();
            other.write_text(&mut text);
            Ok(Value::Str(text.into()))
        }
    }
}
