//! The types that text can be converted to, as JSON writes them.

use std::io::Write;

use isobar_topology::json;
use schemars::JsonSchema;
use serde::Deserialize;

/// A type of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    String,
    Integer,
    Float,
    Boolean,
}

impl Kind {
    /// Appends the value that a text says; nothing, and `false`, when it says none of this type. Spaces
    /// around numbers and words do not count.
    #[inline]
    pub(crate) fn write(self, text: &[u8], out: &mut Vec<u8>) -> bool {
        match self {
            Kind::String => {
                json::write_bytes_lossy(out, text);
                true
            }
            Kind::Integer => write_integer(text.trim_ascii(), out),
            Kind::Float => write_float(text.trim_ascii(), out),
            Kind::Boolean => write_boolean(text.trim_ascii(), out),
        }
    }

    /// What is said where a text is not of this type.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Kind::String => "text",
            Kind::Integer => "a whole number of 64 bits",
            Kind::Float => "a number",
            Kind::Boolean => "true or false, yes or no, on or off, 1 or 0",
        }
    }
}

/// Leading zeros and a plus, which JSON does not know, go.
fn write_integer(text: &[u8], out: &mut Vec<u8>) -> bool {
    let number: Option<i64> = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
    if let Some(number) = number {
        write!(out, "{number}").expect("memory can be written");
    }
    number.is_some()
}

/// A number that JSON can write stays as it is, with all of its digits.
fn write_float(text: &[u8], out: &mut Vec<u8>) -> bool {
    let number: Option<f64> = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
    let Some(number) = number.filter(|number| number.is_finite()) else {
        return false;
    };
    if json::validate(text).is_ok() {
        out.extend_from_slice(text);
    } else {
        write!(out, "{number}").expect("memory can be written");
    }
    true
}

fn write_boolean(text: &[u8], out: &mut Vec<u8>) -> bool {
    let is = |words: [&str; 4]| {
        let mut words = words.iter();
        words.any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
    };
    let value = if is(["true", "yes", "on", "1"]) {
        "true"
    } else if is(["false", "no", "off", "0"]) {
        "false"
    } else {
        return false;
    };
    out.extend_from_slice(value.as_bytes());
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn converted(kind: Kind, text: &str) -> Option<String> {
        let mut out = Vec::new();
        let is_one = kind.write(text.as_bytes(), &mut out);
        assert_eq!(is_one, !out.is_empty(), "{text}");
        is_one.then(|| String::from_utf8(out).expect("JSON"))
    }

    #[test]
    fn text_becomes_values() {
        for (kind, text, expected) in [
            (Kind::String, "a\"", Some("\"a\\\"\"")),
            (Kind::Integer, "007", Some("7")),
            (Kind::Integer, " +5 ", Some("5")),
            (Kind::Integer, "-0", Some("0")),
            (
                Kind::Integer,
                "-9223372036854775808",
                Some("-9223372036854775808"),
            ),
            (Kind::Integer, "9223372036854775808", None),
            (Kind::Integer, "1.0", None),
            (Kind::Integer, "", None),
            (Kind::Float, "1.50", Some("1.50")),
            (Kind::Float, "1e3", Some("1e3")),
            (Kind::Float, ".5", Some("0.5")),
            (Kind::Float, "5.", Some("5")),
            (Kind::Float, "+007", Some("7")),
            (
                Kind::Float,
                "0.1234567890123456789",
                Some("0.1234567890123456789"),
            ),
            (Kind::Float, "1e999", None),
            (Kind::Float, "NaN", None),
            (Kind::Float, "inf", None),
            (Kind::Boolean, "True", Some("true")),
            (Kind::Boolean, " ON", Some("true")),
            (Kind::Boolean, "0", Some("false")),
            (Kind::Boolean, "2", None),
            (Kind::Boolean, "", None),
        ] {
            assert_eq!(
                converted(kind, text).as_deref(),
                expected,
                "{kind:?} {text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_json(text in "[-+0-9.eE ]{0,12}") {
            for kind in [Kind::Integer, Kind::Float, Kind::Boolean] {
                if let Some(written) = converted(kind, &text) {
                    prop_assert!(json::validate(written.as_bytes()).is_ok(), "{} {}", text, written);
                }
            }
        }
    }
}
