//! Times as a number of seconds or parts of a second since 1970, in decimal.

use super::calendar::has_date;

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    /// How many there are in a second, as a power of ten.
    fn power(self) -> u32 {
        match self {
            Unit::Seconds => 0,
            Unit::Milliseconds => 3,
            Unit::Microseconds => 6,
            Unit::Nanoseconds => 9,
        }
    }

    /// Reads a number with or without a fraction or an exponent, in ms since 1970; finer parts are
    /// cut off. `None` for what is no number, or not in the years 0 to 9999: milliseconds that are taken
    /// for seconds are 50,000 years away.
    pub(super) fn read(self, text: &[u8]) -> Option<i64> {
        let ms = match decimal(text) {
            Some(thousandths) => {
                i64::try_from(thousandths.div_euclid(10i128.pow(self.power()))).ok()
            }
            None => self.read_double(text),
        };
        ms.filter(|ms| has_date(*ms))
    }

    /// For exponents, as some writers put numbers.
    #[cold]
    fn read_double(self, text: &[u8]) -> Option<i64> {
        if !text.iter().any(|byte| matches!(byte, b'e' | b'E')) {
            return None;
        }
        let number: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        let ms = (number * 1_000.0 / 10f64.powi(self.power() as i32)).floor();
        // 2^63, which is the first to be too large.
        (ms.abs() < 9_223_372_036_854_775_808.0).then_some(ms as i64)
    }
}

/// A decimal number, in thousandths, rounded down.
fn decimal(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let whole = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let (whole, rest) = digits.split_at(whole);
    let fraction = match rest {
        [] => rest,
        [b'.', fraction @ ..] if !fraction.is_empty() => fraction,
        _ => return None,
    };
    // 30 digits and thousandths fit 127 bits.
    if !(1..=30).contains(&whole.len()) || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (fine, finer) = fraction.split_at(fraction.len().min(3));
    let add = |sum: i128, digit: &u8| sum * 10 + i128::from(digit - b'0');
    let thousandths = whole.iter().chain(fine).fold(0, add) * 10i128.pow(3 - fine.len() as u32);
    let is_cut = finer.iter().any(|digit| *digit != b'0');
    Some(match negative {
        true => -thousandths - i128::from(is_cut),
        false => thousandths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_unit_are_read() {
        use Unit::{Microseconds, Milliseconds, Nanoseconds, Seconds};
        for (unit, text, ms) in [
            (Seconds, "0", Some(0)),
            (Seconds, "1700000000", Some(1_700_000_000_000)),
            (Seconds, "1700000000.1239", Some(1_700_000_000_123)),
            (Seconds, "1700000000.5", Some(1_700_000_000_500)),
            (Seconds, "-0.5", Some(-500)),
            (Seconds, "-0.0001", Some(-1)),
            (Seconds, "1.7e9", Some(1_700_000_000_000)),
            (Milliseconds, "1700000000123", Some(1_700_000_000_123)),
            (Milliseconds, "-1.5", Some(-2)),
            (Microseconds, "1700000000123999", Some(1_700_000_000_123)),
            (Nanoseconds, "1700000000123999999", Some(1_700_000_000_123)),
            (Nanoseconds, "-1", Some(-1)),
            (Seconds, "253402300799.999", Some(253_402_300_799_999)),
            (Seconds, "253402300800", None),
            (Seconds, "1700000000000", None),
            (Milliseconds, "-62167219200000", Some(-62_167_219_200_000)),
            (Milliseconds, "-62167219200001", None),
            (Seconds, "99999999999999999999", None),
            (Seconds, "1e300", None),
            (Seconds, "-1e300", None),
            (
                Nanoseconds,
                "99999999999999999999",
                Some(99_999_999_999_999),
            ),
            (Seconds, "", None),
            (Seconds, "-", None),
            (Seconds, "1.", None),
            (Seconds, ".5", None),
            (Seconds, "0x10", None),
            (Seconds, "nane", None),
            (Seconds, " 1", None),
        ] {
            assert_eq!(unit.read(text.as_bytes()), ms, "{unit:?} {text}");
        }
        let long = "9".repeat(100_000);
        assert_eq!(Seconds.read(long.as_bytes()), None);
    }
}
