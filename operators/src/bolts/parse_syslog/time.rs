//! Times of syslog lines: the ones of RFC 5424, which are RFC 3339, and the older ones without year.

use crate::cursor::{Cursor, LineError, two_digits};
use crate::event_time::calendar::{Date, month_named};
use crate::event_time::zone::{Civil, Zone, latest_year};

/// A time that a line carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp<'a> {
    /// In ms since 1970.
    pub(super) ms: i64,
    /// The text of the line, where it is a time of RFC 3339 with all its digits.
    pub(super) written: Option<&'a [u8]>,
}

const SPACE_AFTER: &str = "a space after the time";

/// Reads a time of RFC 3339. Lenient also takes small letters, an offset without colon or none at
/// all (then in `zone`), a 60th second and any number of fraction digits.
pub(super) fn rfc3339<'a>(
    cursor: &mut Cursor<'a>,
    strict: bool,
    zone: &mut Zone,
) -> Result<Stamp<'a>, LineError> {
    let start = *cursor;
    let date = date(cursor)?;
    let mut verbatim = true;
    if !cursor.eat(b'T') {
        if strict || !cursor.eat(b't') {
            return Err(cursor.wrong("T after the date"));
        }
        verbatim = false;
    }
    let clock = clock(cursor, strict)?;
    let fraction = fraction(cursor, if strict { 6 } else { usize::MAX })?;
    verbatim &= clock.second < 60;
    let offset = match cursor.peek() {
        Some(b'Z') => {
            cursor.at += 1;
            Some(0)
        }
        Some(b'z') if !strict => {
            cursor.at += 1;
            verbatim = false;
            Some(0)
        }
        Some(b'+' | b'-') => {
            let before = cursor.at;
            let offset = numeric_offset(cursor, strict)?;
            verbatim &= cursor.at - before == "+02:00".len();
            Some(offset)
        }
        _ if strict => return Err(cursor.wrong("Z or an offset such as +02:00")),
        _ => {
            verbatim = false;
            None
        }
    };
    if !matches!(cursor.peek(), None | Some(b' ')) {
        return Err(cursor.wrong(SPACE_AFTER));
    }
    let civil = Civil {
        date,
        ms_of_day: clock.ms() + fraction,
    };
    let ms = civil.utc_ms(offset, zone);
    let ms = ms.ok_or_else(|| start.wrong("a time that the zone has"))?;
    Ok(Stamp {
        ms,
        written: verbatim.then(|| &start.text[start.at..cursor.at]),
    })
}

/// Reads a time of RFC 3164, `Oct 11 22:14:15`. Lenient also takes what devices write besides: days
/// of one digit or with a zero, a year behind the day or at the end, fractions of a second, and a
/// zone: `Oct 11 2003 22:14:15`, `Oct  1 22:14:15.003 +02:00`, `Aug 24 05:34:00 CST 1987`.
///
/// Without a year, it is of the latest one in which it is at most a day after `reference`, in ms
/// since 1970.
pub(super) fn bsd<'a>(
    cursor: &mut Cursor<'a>,
    strict: bool,
    reference: i64,
    zone: &mut Zone,
) -> Result<Stamp<'a>, LineError> {
    let start = *cursor;
    let month = month(cursor)?;
    cursor.expect(b' ', "a space after the month")?;
    let day = day(cursor, strict)?;
    cursor.expect(b' ', "a space after the day")?;
    let mut year = None;
    if !strict {
        year = eat_year(cursor);
        if year.is_some() {
            cursor.at += 1;
        }
    }
    let clock = clock(cursor, strict)?;
    let mut fraction_ms = 0;
    let mut offset = None;
    if !strict {
        fraction_ms = fraction(cursor, usize::MAX)?;
        offset = eat_zone(cursor);
        let mut ahead = *cursor;
        if year.is_none() && ahead.eat(b' ') {
            year = eat_year(&mut ahead);
            if year.is_some() {
                *cursor = ahead;
            }
        }
        // Some routers end the time with a colon.
        let _ = cursor.eat(b':');
    }
    if !matches!(cursor.peek(), None | Some(b' ')) {
        return Err(cursor.wrong(SPACE_AFTER));
    }
    let civil = |year| Civil {
        date: Date { year, month, day },
        ms_of_day: clock.ms() + fraction_ms,
    };
    let ms = match year {
        Some(year) => civil(year).utc_ms(offset, zone),
        None => latest_year(reference, offset, zone, |year| Some(civil(year))),
    };
    let ms = ms.ok_or_else(|| start.wrong("a day that the month has"))?;
    Ok(Stamp { ms, written: None })
}

#[derive(Clone, Copy)]
struct Clock {
    hour: u32,
    minute: u32,
    second: u32,
}

impl Clock {
    fn ms(self) -> u32 {
        ((self.hour * 60 + self.minute) * 60 + self.second.min(59)) * 1000
    }
}

/// Reads `2003-10-11`.
#[inline(always)]
fn date(cursor: &mut Cursor<'_>) -> Result<Date, LineError> {
    let head = cursor.rest().first_chunk();
    if let Some([y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]) = head {
        let (century, year) = (two_digits(*y1, *y2), two_digits(*y3, *y4));
        let date = Date {
            year: century * 100 + year,
            month: two_digits(*m1, *m2),
            day: two_digits(*d1, *d2),
        };
        if year <= 99 && date.exists() {
            cursor.at += "2003-10-11".len();
            return Ok(date);
        }
    }
    Err(wrong_date(*cursor))
}

#[cold]
fn wrong_date(mut cursor: Cursor<'_>) -> LineError {
    let mut read = || {
        let _year = cursor.number::<4>(0..=9999, "a time such as 2003-10-11T22:14:15.003Z")?;
        cursor.expect(b'-', "- after the year")?;
        let _month = cursor.number::<2>(1..=12, "a month from 01 to 12")?;
        cursor.expect(b'-', "- after the month")?;
        Err(cursor.wrong("a day that the month has"))
    };
    let Err::<(), _>(error) = read() else {
        return cursor.wrong("a date");
    };
    error
}

/// Reads `22:14:15`. Lenient takes a 60th second.
#[inline(always)]
fn clock(cursor: &mut Cursor<'_>, strict: bool) -> Result<Clock, LineError> {
    let head = cursor.rest().first_chunk();
    if let Some([h1, h2, b':', m1, m2, b':', s1, s2]) = head {
        let clock = Clock {
            hour: two_digits(*h1, *h2),
            minute: two_digits(*m1, *m2),
            second: two_digits(*s1, *s2),
        };
        if clock.hour <= 23 && clock.minute <= 59 && clock.second <= 59 {
            cursor.at += "22:14:15".len();
            return Ok(clock);
        }
    }
    unusual_clock(cursor, strict)
}

#[cold]
fn unusual_clock(cursor: &mut Cursor<'_>, strict: bool) -> Result<Clock, LineError> {
    let hour = cursor.number::<2>(0..=23, "an hour from 00 to 23")?;
    cursor.expect(b':', ": after the hour")?;
    let minute = cursor.number::<2>(0..=59, "a minute from 00 to 59")?;
    cursor.expect(b':', ": after the minute")?;
    // A leap second counts as the second before, which is what other readers of time do.
    let last = if strict { 59 } else { 60 };
    let second = cursor.number::<2>(0..=last, "a second from 00 to 59")?;
    Ok(Clock {
        hour,
        minute,
        second,
    })
}

/// Reads `.` and digits; returns whole milliseconds, 0 where there is no fraction.
#[inline(always)]
fn fraction(cursor: &mut Cursor<'_>, digits_max: usize) -> Result<u32, LineError> {
    if !cursor.eat(b'.') {
        return Ok(0);
    }
    let rest = cursor.rest();
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length > digits_max {
        cursor.at += digits_max;
        return Err(cursor.wrong("at most six digits of a second"));
    }
    let ms = match rest[..length] {
        [] => return Err(cursor.wrong("digits of a second")),
        [a] => two_digits(a, b'0') * 10,
        [a, b] => two_digits(a, b) * 10,
        [a, b, c, ..] => two_digits(a, b) * 10 + two_digits(b'0', c),
    };
    cursor.at += length;
    Ok(ms)
}

/// Reads `+02:00`; lenient also `+0200` and `+02`. In seconds east of UTC.
fn numeric_offset(cursor: &mut Cursor<'_>, strict: bool) -> Result<i64, LineError> {
    let sign = if cursor.eat(b'-') { -1 } else { 1 };
    if sign == 1 {
        cursor.expect(b'+', "an offset such as +02:00")?;
    }
    let hours = cursor.number::<2>(0..=23, "hours of an offset from 00 to 23")?;
    let minutes = match cursor.peek() {
        Some(b':') => {
            cursor.at += 1;
            cursor.number::<2>(0..=59, "minutes of an offset from 00 to 59")?
        }
        _ if strict => return Err(cursor.wrong(": after the hours of an offset")),
        Some(b'0'..=b'9') => cursor.number::<2>(0..=59, "minutes of an offset from 00 to 59")?,
        _ => 0,
    };
    Ok(sign * i64::from(hours * 3600 + minutes * 60))
}

fn month(cursor: &mut Cursor<'_>) -> Result<u32, LineError> {
    let name = cursor.rest().first_chunk::<3>();
    match name.and_then(|name| month_named(*name)) {
        Some(month) => {
            cursor.at += 3;
            Ok(month)
        }
        None => Err(cursor.wrong("a time such as Oct 11 22:14:15")),
    }
}

/// Reads a day of the month, filled with a space to two places.
fn day(cursor: &mut Cursor<'_>, strict: bool) -> Result<u32, LineError> {
    const EXPECTED: &str = "a day from 1 to 31 in two places, filled with a space";
    let before = *cursor;
    let padded = cursor.eat(b' ');
    let two_digits = cursor
        .text
        .get(cursor.at + 1)
        .is_some_and(u8::is_ascii_digit);
    let fits = match strict {
        true => padded != two_digits && !(two_digits && cursor.peek() == Some(b'0')),
        false => true,
    };
    if !fits {
        return Err(before.wrong(EXPECTED));
    }
    match two_digits {
        true => cursor.number::<2>(1..=31, EXPECTED),
        false => cursor.number::<1>(1..=31, EXPECTED),
    }
}

/// Reads a year from 1970 to 2099 before a space, if one is next.
fn eat_year(cursor: &mut Cursor<'_>) -> Option<u32> {
    let mut ahead = *cursor;
    let year = ahead.number::<4>(1970..=2099, "a year").ok()?;
    (ahead.peek() == Some(b' ')).then(|| *cursor = ahead)?;
    Some(year)
}

/// Reads a zone right behind the time or behind one space, if there is one.
fn eat_zone(cursor: &mut Cursor<'_>) -> Option<i64> {
    let mut ahead = *cursor;
    let _ = ahead.eat(b' ');
    let offset = match ahead.peek()? {
        b'+' | b'-' => numeric_offset(&mut ahead, false).ok()?,
        _ => {
            let name = ahead.rest();
            let length = name.iter().position(|byte| !byte.is_ascii_uppercase());
            let name = &name[..length.unwrap_or(name.len())];
            ahead.at += name.len();
            named_offset(name)?
        }
    };
    matches!(ahead.peek(), None | Some(b' ' | b':')).then(|| *cursor = ahead)?;
    Some(offset)
}

/// The zones of RFC 822, section 5.1, and those of Europe, in seconds east of UTC.
fn named_offset(name: &[u8]) -> Option<i64> {
    let hours = match name {
        b"Z" | b"UT" | b"UTC" | b"GMT" | b"WET" => 0,
        b"EST" | b"CDT" => -5,
        b"EDT" => -4,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        b"CET" | b"WEST" => 1,
        b"EET" | b"CEST" => 2,
        b"EEST" => 3,
        _ => return None,
    };
    Some(hours * 3600)
}
