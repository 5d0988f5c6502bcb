//! What an expression evaluates to: values that borrow from the record, and how they are written.
//!
//! Knows no expressions.

use std::borrow::Cow;
use std::io::Write as _;

use isobar_topology::json::{self, Kind};

use super::number;
use crate::event_time::rfc3339;

/// A value of a record or of an expression.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// A whole number above what fits `Int`.
    UInt(u64),
    /// A finite number that was computed.
    Float(f64),
    /// Another number of a document, as it is written there: with a fraction or an exponent,
    /// beyond 64 bits, or `-0`. Compares and computes as the nearest double.
    Number(&'a [u8]),
    /// Text in UTF-8, escapes resolved.
    Str(Cow<'a, [u8]>),
    /// A key or header that is no UTF-8.
    Bytes(&'a [u8]),
    /// A raw object or list.
    Json(&'a [u8]),
    /// In ms since 1970.
    Time(i64),
}

impl<'a> Value<'a> {
    /// The value of a field, from its raw JSON.
    #[inline]
    pub(crate) fn of(raw: &'a [u8]) -> Self {
        match Kind::of(raw) {
            Kind::String => Value::Str(text_of(raw)),
            Kind::Number => number::integer(raw).unwrap_or(Value::Number(raw)),
            Kind::Bool => Value::Bool(raw.first() == Some(&b't')),
            Kind::Null => Value::Null,
            Kind::Array | Kind::Object => Value::Json(raw),
        }
    }

    /// The value of a key or header.
    pub(super) fn of_bytes(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(_) => Value::Str(bytes.into()),
            Err(_) => Value::Bytes(bytes),
        }
    }

    /// The same value, borrowed.
    #[inline]
    pub(super) fn borrowed(&self) -> Value<'_> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(*value),
            Value::Int(number) => Value::Int(*number),
            Value::UInt(number) => Value::UInt(*number),
            Value::Float(number) => Value::Float(*number),
            Value::Number(raw) => Value::Number(raw),
            Value::Str(text) => Value::Str(Cow::Borrowed(text)),
            Value::Bytes(bytes) => Value::Bytes(bytes),
            Value::Json(raw) => Value::Json(raw),
            Value::Time(ms) => Value::Time(*ms),
        }
    }

    /// The text, or the bytes of what is no text.
    #[inline]
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Str(text) => Some(text),
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Appends the value as JSON. Numbers of a document are written as they were read there, times
    /// in RFC 3339; bytes that are no UTF-8 are replaced by U+FFFD.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Value::Str(text) => json::write_bytes_lossy(out, text),
            Value::Bytes(bytes) => json::write_bytes_lossy(out, bytes),
            Value::Float(number) => number::write_json(out, *number),
            Value::Time(ms) => {
                out.push(b'"');
                rfc3339::write(out, *ms);
                out.push(b'"');
            }
            _ => self.write_text(out),
        }
    }

    /// Appends the value as text: strings as they are, everything else as [`Value::write_json`] does,
    /// without quotes.
    pub(crate) fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Int(number) => number::write_int(out, *number),
            Value::UInt(number) => {
                let _ = write!(out, "{number}");
            }
            Value::Float(number) => number::write_text(out, *number),
            Value::Str(text) => out.extend_from_slice(text),
            Value::Bytes(bytes) => {
                for chunk in bytes.utf8_chunks() {
                    out.extend_from_slice(chunk.valid().as_bytes());
                    if !chunk.invalid().is_empty() {
                        out.extend_from_slice("\u{FFFD}".as_bytes());
                    }
                }
            }
            Value::Number(raw) | Value::Json(raw) => out.extend_from_slice(raw),
            Value::Time(ms) => rfc3339::write(out, *ms),
        }
    }
}

/// The text of a raw JSON string. Documents were validated, so it is UTF-8.
#[inline]
pub(crate) fn text_of(raw: &[u8]) -> Cow<'_, [u8]> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if has_escape(inner) {
        Cow::Owned(json::unescape(inner).into_owned().into_bytes())
    } else {
        Cow::Borrowed(inner)
    }
}

/// Whether there is a backslash, eight bytes at a time: texts are too short for a search that starts
/// slowly.
#[inline]
fn has_escape(text: &[u8]) -> bool {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = text.as_chunks::<8>();
    // The high bit of a byte is set where it was a backslash; above one, it may be set for others too.
    let hits = words.iter().fold(0, |hits, word| {
        let other = u64::from_le_bytes(*word) ^ (LOW * u64::from(b'\\'));
        hits | (other.wrapping_sub(LOW) & !other)
    });
    hits & HIGH != 0 || rest.contains(&b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, text: &str, json: &str) {
        let value = Value::of(raw.as_bytes());
        let (mut as_text, mut as_json) = (Vec::new(), Vec::new());
        value.write_text(&mut as_text);
        value.write_json(&mut as_json);
        assert_eq!(String::from_utf8(as_text).as_deref(), Ok(text), "{raw}");
        assert_eq!(String::from_utf8(as_json).as_deref(), Ok(json), "{raw}");
    }

    #[test]
    fn values_of_documents_are_written_as_they_were_read() {
        for same in [
            "null", "true", "false", "0", "-1", "1.10", "1e2", "1E400", "-0.0",
        ] {
            check(same, same, same);
        }
        for same in [
            "9223372036854775807",
            "-9223372036854775808",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "0.1234567890123456789",
            r#"[1, "a"]"#,
            r#"{"a": 1}"#,
        ] {
            check(same, same, same);
        }
        check(r#""a""#, "a", r#""a""#);
        check(r#""""#, "", r#""""#);
        check(r#""a\"\u00e9\/""#, "a\"é/", r#""a\"é/""#);
        // Half of a surrogate pair stands for no character.
        check(r#""\ud83d!""#, "\u{FFFD}!", "\"\u{FFFD}!\"");
    }

    #[test]
    fn an_escape_is_found_wherever_it_is() {
        for length in 0..40 {
            // 0xDC is a backslash with its high bit set.
            for other in [b'a', b']', b'[', 0x5D, 0xDC, 0xFF, 0] {
                let mut text = vec![other; length];
                assert!(!has_escape(&text), "{text:?}");
                for at in 0..length {
                    text[at] = b'\\';
                    assert!(has_escape(&text), "{text:?}");
                    text[at] = other;
                }
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_written_lossily() {
        let value = Value::of_bytes(b"a\xFFb\"");
        assert!(matches!(value, Value::Bytes(_)));
        let (mut as_text, mut as_json) = (Vec::new(), Vec::new());
        value.write_text(&mut as_text);
        value.write_json(&mut as_json);
        assert_eq!(as_text, "a\u{FFFD}b\"".as_bytes());
        assert_eq!(as_json, "\"a\u{FFFD}b\\\"\"".as_bytes());
    }
}
