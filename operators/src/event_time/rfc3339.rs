//! RFC 3339, the format that nearly every log uses: a path of its own for its usual forms, jiff for
//! what else jiff takes for a point in time.

use jiff::Timestamp;

use super::calendar::{DAY_MS, Date};

/// Reads a time such as `2024-05-06T07:08:09.123Z`, in ms since 1970; finer digits are cut off. `T`
/// may be a space, letters may be small. `None` for anything else, such as a time without zone.
#[inline]
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    usual(text).or_else(|| unusual(text))
}

/// Appends a time in UTC, with milliseconds unless they are `.000`. Times outside of the years 0 to
/// 9999, which RFC 3339 cannot say, are written as their milliseconds since 1970.
pub(crate) fn write(out: &mut Vec<u8>, ms: i64) {
    let Some(date) = Date::of_day(ms.div_euclid(DAY_MS)) else {
        out.extend_from_slice(ms.to_string().as_bytes());
        return;
    };
    let of_day = ms.rem_euclid(DAY_MS) as u32;
    let mut text = *b"0000-00-00T00:00:00.000";
    put(&mut text[0..4], date.year);
    put(&mut text[5..7], date.month);
    put(&mut text[8..10], date.day);
    put(&mut text[11..13], of_day / 3_600_000);
    put(&mut text[14..16], of_day / 60_000 % 60);
    put(&mut text[17..19], of_day / 1_000 % 60);
    put(&mut text[20..23], of_day % 1_000);
    let length = if of_day.is_multiple_of(1_000) { 19 } else { 23 };
    out.extend_from_slice(&text[..length]);
    out.push(b'Z');
}

/// Writes a number with leading zeros into all of `to`.
#[inline]
pub(crate) fn put(to: &mut [u8], mut number: u32) {
    for digit in to.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// `YYYY-MM-DDTHH:MM:SS`, up to nine digits of a fraction, `Z` or `±HH:MM`.
#[inline]
fn usual(text: &[u8]) -> Option<i64> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [date, time] = [0, 8].map(|at| {
        let word: &[u8; 8] = head[at..].first_chunk().expect("19 bytes hold two words");
        u64::from_le_bytes(*word)
    });
    if !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let date = pairs(date, *b"0000-00-", u64::MAX)?;
    let time = pairs(time, *b"00T00:00", !0xFF_0000)?;
    let (tens, ones) = (head[17].wrapping_sub(b'0'), head[18].wrapping_sub(b'0'));
    // A leap second is the unusual way's.
    if head[16] != b':' || tens > 5 || ones > 9 {
        return None;
    }
    let second = u32::from(tens) * 10 + u32::from(ones);
    let [century, _, year, _, _, month, ..] = date.map(u32::from);
    let [day, _, _, hour, _, _, minute, _] = time.map(u32::from);
    let date = Date {
        year: century * 100 + year,
        month,
        day,
    };
    if !date.exists() || hour > 23 || minute > 59 {
        return None;
    }
    let (ms, zone) = fraction(rest)?;
    let offset = offset_minutes(zone)?;
    let of_day = i64::from(((hour * 60 + minute) * 60 + second) * 1_000 + ms);
    Some(date.to_day() * DAY_MS + of_day - offset * 60_000)
}

/// For each byte of a word the number that its digit and the next one make. `None` unless digits are
/// where `form` has `0`, and the same bytes elsewhere; bytes outside of `checked` may be anything.
#[inline]
fn pairs(word: u64, form: [u8; 8], checked: u64) -> Option<[u8; 8]> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // What sets the high bit of a byte that is too large: above 9 for digits, above 0 for others.
    let excess = form.map(|byte| if byte == b'0' { 0x76 } else { 0x7F });
    let digits = (word ^ u64::from_le_bytes(form)) & checked;
    // A byte with its high bit set can carry into the next one, but is refused itself.
    if (digits.wrapping_add(u64::from_le_bytes(excess)) | digits) & HIGH != 0 {
        return None;
    }
    // No sum of a byte passes 99.
    Some((digits * 10 + (digits >> 8)).to_le_bytes())
}

/// The milliseconds of a fraction, and what follows it.
#[inline]
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let place = |at: usize| digits[..length].get(at).map_or(0, |b| u32::from(b - b'0'));
    let ms = place(0) * 100 + place(1) * 10 + place(2);
    Some((ms, &digits[length..]))
}

#[inline]
fn offset_minutes(text: &[u8]) -> Option<i64> {
    match text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let two = |a: &u8, b: &u8| {
                let digits = [a.wrapping_sub(b'0'), b.wrapping_sub(b'0')];
                (digits[0] <= 9 && digits[1] <= 9)
                    .then(|| i64::from(digits[0]) * 10 + i64::from(digits[1]))
            };
            let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            Some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

#[cold]
#[inline(never)]
fn unusual(text: &[u8]) -> Option<i64> {
    /// Longer texts are no times, and hostile ones must not cost more than others.
    const TEXT_MAX: usize = 64;
    let text = text.get(..).filter(|text| text.len() <= TEXT_MAX)?;
    let time: Timestamp = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn usual_and_unusual_forms_are_read() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1970-01-01T00:00:00.001Z", Some(1)),
            ("1970-01-01 00:00:01.5z", Some(1_500)),
            ("1969-12-31T23:59:59.9999Z", Some(-1)),
            ("1970-01-01T01:00:00+01:00", Some(0)),
            ("1969-12-31T14:30:00.000000001-09:30", Some(0)),
            ("2024-02-29t12:00:00.123456789Z", Some(1_709_208_000_123)),
            ("9999-12-30T23:59:59.999Z", Some(253_402_214_399_999)),
            ("0000-01-01T00:00:00Z", Some(-62_167_219_200_000)),
            // jiff's: a leap second is the second before, a zone may have no colon.
            ("2016-12-31T23:59:60Z", Some(1_483_228_799_000)),
            ("1970-01-01T01:00:00+0100", Some(0)),
            ("1970-01-01T00:00:00", None),
            ("1970-01-01", None),
            ("2023-02-29T00:00:00Z", None),
            ("1970-01-01T24:00:00Z", None),
            ("1970-01-01T00:60:00Z", None),
            ("1970-01-01T00:00:00.Z", None),
            ("1970-01-01T00:00:00Z ", Some(0)),
            ("197O-01-01T00:00:00Z", None),
            ("1970-01-01T00:00:00Zx", None),
            ("", None),
            ("now", None),
            ("1700000000", None),
        ] {
            assert_eq!(parse(text.as_bytes()), ms, "{text}");
        }
        assert_eq!(parse(&[b'0'; 1_000]), None);
        assert_eq!(parse(b"1970-01-01T00:00:00\xFF"), None);
    }

    #[test]
    fn times_are_written_in_utc() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_709_208_000_123, "2024-02-29T12:00:00.123Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "253402300800000"),
            (-62_167_219_200_000, "0000-01-01T00:00:00Z"),
            (-62_167_219_200_001, "-62167219200001"),
            (i64::MIN, "-9223372036854775808"),
        ] {
            let mut out = Vec::new();
            write(&mut out, ms);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(text));
        }
    }

    proptest! {
        /// Where the fast path answers, it answers as jiff does.
        #[test]
        fn the_usual_way_agrees_with_jiff(
            year in 0u32..=9_999, month in 0u32..=13, day in 0u32..=32,
            hour in 0u32..=24, minute in 0u32..=60, second in 0u32..=60,
            separator in "[Tt ]", fraction in "(\\.[0-9]{0,10})?", zone in "Z|z|[+-][0-2][0-9]:[0-6][0-9]|",
        ) {
            let text = format!(
                "{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{fraction}{zone}"
            );
            let jiff = text.parse::<Timestamp>().ok();
            let jiff = jiff.map(|time| time.as_nanosecond().div_euclid(1_000_000) as i64);
            if let Some(ms) = usual(text.as_bytes()) {
                prop_assert_eq!(Some(ms), jiff, "{}", text);
            }
            prop_assert_eq!(parse(text.as_bytes()), jiff, "{}", text);
        }

        #[test]
        fn what_is_written_is_read(ms in -62_167_219_200_000i64..253_402_207_200_000) {
            for ms in [ms, ms / 1_000 * 1_000] {
                let mut out = Vec::new();
                write(&mut out, ms);
                prop_assert_eq!(usual(&out), Some(ms));
                let theirs = Timestamp::from_millisecond(ms).expect("in range").to_string();
                if ms % 10 != 0 || ms % 1_000 == 0 {
                    prop_assert_eq!(String::from_utf8(out).expect("ASCII"), theirs);
                }
            }
        }
    }
}
