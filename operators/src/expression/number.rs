//! Numbers: reading them, comparing them by value, computing with them.
//!
//! JSON does not tell whole numbers from others by type, so neither do comparisons: `1 == 1.0`. They
//! are exact, though: a whole number is never rounded to a double to be compared with one.

use std::cmp::Ordering;
use std::io::Write as _;

use super::value::Value;

/// A whole number of up to 18 digits: what nearly every one is.
#[inline]
pub(super) fn short_integer(raw: &[u8]) -> Option<i64> {
    let (negative, digits) = match raw {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut number = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(if negative { -number } else { number })
}

/// A whole number that fits 64 bits, signed or not; `None` for other numbers, and for the zero with a
/// sign, which would lose it.
#[inline]
pub(super) fn integer(raw: &[u8]) -> Option<Value<'static>> {
    match short_integer(raw) {
        Some(0) if raw.len() > 1 => None,
        Some(number) => Some(Value::Int(number)),
        None => long_integer(raw).and_then(from_i128),
    }
}

pub(super) fn from_u64(number: u64) -> Value<'static> {
    i64::try_from(number).map_or(Value::UInt(number), Value::Int)
}

/// A whole number of the result of a computation; `None` when it does not fit 64 bits.
pub(super) fn from_i128(number: i128) -> Option<Value<'static>> {
    match i64::try_from(number) {
        Ok(number) => Some(Value::Int(number)),
        Err(_) => u64::try_from(number).ok().map(Value::UInt),
    }
}

/// A number as comparisons and computations see it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Whole(i128),
    Double(f64),
}

impl Number {
    /// The number that a value is, if it is one.
    #[inline]
    pub(super) fn of(value: &Value<'_>) -> Option<Number> {
        match value {
            Value::Int(number) => Some(Number::Whole(i128::from(*number))),
            Value::UInt(number) => Some(Number::Whole(i128::from(*number))),
            Value::Float(number) => Some(Number::Double(*number)),
            Value::Number(raw) => match long_integer(raw) {
                Some(number) => Some(Number::Whole(number)),
                None => double(raw).map(Number::Double),
            },
            _ => None,
        }
    }

    pub(super) fn as_double(self) -> f64 {
        match self {
            Number::Whole(number) => number as f64,
            Number::Double(number) => number,
        }
    }

    /// Compares by value.
    #[inline]
    pub(super) fn compare(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => a.cmp(&b),
            // No number is NaN: documents cannot write it, and computations refuse it.
            (Number::Double(a), Number::Double(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Number::Whole(a), Number::Double(b)) => whole_with_double(a, b),
            (Number::Double(a), Number::Whole(b)) => whole_with_double(b, a).reverse(),
        }
    }
}

/// A whole number of up to 38 digits: what surely fits.
fn long_integer(raw: &[u8]) -> Option<i128> {
    let digits = raw.strip_prefix(b"-").unwrap_or(raw);
    // Fractions and exponents are told before anything is parsed.
    if digits.len() > 38 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// The nearest double of a number in text; infinite for `1e400`.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Compares a whole number with a double, exactly.
fn whole_with_double(whole: i128, double: f64) -> Ordering {
    /// 2^127: doubles below it in size are exact as `i128` once their fraction is cut.
    const LIMIT: f64 = (1u128 << 127) as f64;
    if double >= LIMIT {
        return Ordering::Less;
    }
    if double <= -LIMIT {
        return Ordering::Greater;
    }
    let cut = double.trunc();
    whole
        .cmp(&(cut as i128))
        .then_with(|| 0f64.partial_cmp(&(double - cut)).unwrap_or(Ordering::Equal))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// Computes; `None` when the result does not fit 64 bits or is not finite, when a whole number
    /// is divided by zero, and for remainders of doubles.
    pub(super) fn apply(self, a: Number, b: Number) -> Option<Value<'static>> {
        match (a, b) {
            (Number::Whole(a), Number::Whole(b)) => from_i128(match self {
                Operator::Add => a.checked_add(b)?,
                Operator::Subtract => a.checked_sub(b)?,
                Operator::Multiply => a.checked_mul(b)?,
                Operator::Divide => a.checked_div(b)?,
                Operator::Remainder => a.checked_rem(b)?,
            }),
            _ => {
                let (a, b) = (a.as_double(), b.as_double());
                finite(match self {
                    Operator::Add => a + b,
                    Operator::Subtract => a - b,
                    Operator::Multiply => a * b,
                    Operator::Divide => a / b,
                    Operator::Remainder => return None,
                })
            }
        }
    }
}

pub(super) fn negate(number: Number) -> Option<Value<'static>> {
    match number {
        Number::Whole(number) => from_i128(number.checked_neg()?),
        Number::Double(number) => finite(-number),
    }
}

pub(super) fn finite(number: f64) -> Option<Value<'static>> {
    number.is_finite().then_some(Value::Float(number))
}

/// The whole part of a number, towards zero; `None` when it does not fit 64 bits.
pub(super) fn whole(number: Number) -> Option<Value<'static>> {
    match number {
        Number::Whole(number) => from_i128(number),
        // What is too large, infinite included, saturates and then does not fit.
        Number::Double(number) => from_i128(number as i128),
    }
}

/// Appends a whole number in decimal.
pub(super) fn write_int(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a double as JSON: always with a fraction or an exponent, in its shortest exact form.
pub(super) fn write_json(out: &mut Vec<u8>, number: f64) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{number:?}");
}

/// Appends a double as text: without a fraction where it has none, and with an exponent where it
/// would be long.
pub(super) fn write_text(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    if size == 0.0 || (1e-5..1e17).contains(&size) {
        let _ = write!(out, "{number}");
    } else {
        let _ = write!(out, "{number:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        Number::of(&Value::of(text.as_bytes())).expect("a number")
    }

    #[test]
    fn numbers_compare_by_value_and_exactly() {
        for (less, more) in [
            ("9007199254740992.0", "9007199254740993"),
            ("9007199254740993", "9007199254740994.0"),
            ("9223372036854775807", "9223372036854775808.0"),
            ("9223372036854775807", "9223372036854775808"),
            ("18446744073709551615", "18446744073709551616"),
            ("18446744073709551615", "1e400"),
            ("-1e400", "-9223372036854775808"),
            ("-9223372036854775809", "-9223372036854775808"),
            (
                "99999999999999999999999999999999999998",
                "99999999999999999999999999999999999999",
            ),
            ("99999999999999999999999999999999999999", "1.1e38"),
            (
                "-999999999999999999999999999999999999999",
                "-99999999999999999999999999999999999999",
            ),
            ("0", "0.5"),
            ("-0.5", "0"),
            ("1", "1.0000000000000002"),
        ] {
            assert_eq!(number(less).compare(number(more)), Ordering::Less);
            assert_eq!(number(more).compare(number(less)), Ordering::Greater);
        }
        for (a, b) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("-0", "0.0"),
            ("-0.0", "0"),
            ("9223372036854775808", "9223372036854775808.0"),
        ] {
            assert_eq!(number(a).compare(number(b)), Ordering::Equal);
        }
    }

    #[test]
    fn results_that_do_not_fit_are_none() {
        use Operator::{Add, Divide, Multiply, Remainder, Subtract};
        for (operator, a, b, expected) in [
            (Add, "9223372036854775807", "1", Some("9223372036854775808")),
            (Add, "18446744073709551615", "1", None),
            (Subtract, "-9223372036854775808", "1", None),
            (
                Multiply,
                "18446744073709551615",
                "18446744073709551615",
                None,
            ),
            (Divide, "7", "-2", Some("-3")),
            (Divide, "7", "2.0", Some("3.5")),
            (Divide, "7", "0", None),
            (Divide, "7", "0.0", None),
            (
                Divide,
                "-9223372036854775808",
                "-1",
                Some("9223372036854775808"),
            ),
            (Remainder, "-7", "2", Some("-1")),
            (Remainder, "7", "0", None),
            (Remainder, "7.5", "2", None),
            (Multiply, "1e200", "1e200", None),
            (Add, "1e400", "1", None),
        ] {
            let result = operator.apply(number(a), number(b)).map(|value| {
                let mut text = Vec::new();
                value.write_text(&mut text);
                String::from_utf8(text).expect("digits")
            });
            assert_eq!(result.as_deref(), expected, "{a} {operator:?} {b}");
        }
        assert!(whole(Number::Double(f64::INFINITY)).is_none());
        assert!(whole(Number::Double(1e20)).is_none());
        assert!(matches!(whole(Number::Double(-1.9)), Some(Value::Int(-1))));
    }

    #[test]
    fn doubles_are_written_shortly() {
        for (number, text, json) in [
            (1.0, "1", "1.0"),
            (0.1, "0.1", "0.1"),
            (-2.5, "-2.5", "-2.5"),
            (1e300, "1e300", "1e300"),
            (1e-7, "1e-7", "1e-7"),
            (0.0, "0", "0.0"),
        ] {
            let (mut as_text, mut as_json) = (Vec::new(), Vec::new());
            write_text(&mut as_text, number);
            write_json(&mut as_json, number);
            assert_eq!(as_text, text.as_bytes());
            assert_eq!(as_json, json.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_survive_writing_and_reading(number: i64, large in (1u64 << 63)..) {
            let mut text = Vec::new();
            write_int(&mut text, number);
            let expected = number.to_string();
            prop_assert_eq!(text.as_slice(), expected.as_bytes());
            prop_assert!(matches!(integer(&text), Some(Value::Int(back)) if back == number));
            let read = integer(large.to_string().as_bytes());
            prop_assert!(matches!(read, Some(Value::UInt(back)) if back == large));
        }

        /// Against whole numbers: a double between 2^53 and 2^64 is one.
        #[test]
        fn doubles_compare_with_whole_numbers_as_what_they_are(a: i64, b in -2f64.powi(65)..2f64.powi(65)) {
            let expected = match b.fract() == 0.0 {
                true => i128::from(a).cmp(&(b as i128)),
                // Far from each other, or small enough for doubles to be exact.
                false => (a as f64).partial_cmp(&b).expect("no NaN"),
            };
            prop_assert_eq!(whole_with_double(i128::from(a), b), expected);
        }
    }
}
