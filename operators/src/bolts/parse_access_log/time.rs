//! Times of access logs: `10/Oct/2000:13:55:36 -0700`, or RFC 3339 where the server is told so.

use isobar_topology::json;
use memchr::memchr;

use crate::cursor::{Cursor, LineError, two_digits};
use crate::event_time::calendar::{DAY_MS, Date, month_named};
use crate::event_time::rfc3339;

const LENGTH: usize = "10/Oct/2000:13:55:36 -0700".len();

/// A time that a line carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// In ms since 1970.
    pub(super) ms: i64,
    text: [u8; 24],
    length: u8,
}

impl Time {
    /// Appends it in RFC 3339, as JSON.
    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        json::write_bytes_lossy(out, &self.text[..usize::from(self.length)]);
    }
}

/// Reads times. Consecutive lines are mostly of one second, so the last one is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    last: Option<([u8; LENGTH], Time)>,
    /// Where times are written before they are kept.
    written: Vec<u8>,
}

impl Clock {
    /// Reads a time, up to the bracket behind it.
    #[inline]
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Time, LineError> {
        let head = cursor.rest().first_chunk::<LENGTH>();
        if let (Some(head), Some((last, time))) = (head, &self.last)
            && head == last
        {
            cursor.at += LENGTH;
            return Ok(*time);
        }
        let Some(head) = head.filter(|head| head[2] == b'/') else {
            return self.read_rfc3339(cursor);
        };
        let ms = parse(head).map_err(|(at, expected)| LineError {
            at: cursor.at + at,
            expected,
        })?;
        cursor.at += LENGTH;
        let time = self.time(ms);
        self.last = Some((*head, time));
        Ok(time)
    }

    #[cold]
    fn read_rfc3339(&mut self, cursor: &mut Cursor<'_>) -> Result<Time, LineError> {
        let rest = cursor.rest();
        let end = memchr(b']', rest).unwrap_or(rest.len());
        let ms = rfc3339::parse(&rest[..end]);
        let ms = ms.filter(|ms| Date::of_day(ms.div_euclid(DAY_MS)).is_some());
        let ms = ms.ok_or_else(|| cursor.wrong(SPELLING))?;
        cursor.at += end;
        Ok(self.time(ms))
    }

    /// A time in the years 0 to 9999.
    fn time(&mut self, ms: i64) -> Time {
        self.written.clear();
        rfc3339::write(&mut self.written, ms);
        let mut text = [0; 24];
        text[..self.written.len()].copy_from_slice(&self.written);
        Time {
            ms,
            text,
            length: self.written.len() as u8,
        }
    }
}

/// What is said where no time stands.
pub(super) const SPELLING: &str = "a time such as 10/Oct/2000:13:55:36 -0700";

/// In ms since 1970, or the position of what is wrong, and what should stand there.
fn parse(text: &[u8; LENGTH]) -> Result<i64, (usize, &'static str)> {
    let two = |at: usize| two_digits(text[at], text[at + 1]);
    let in_range = |at, max, expected| {
        let number = two(at);
        if number <= max {
            Ok(i64::from(number))
        } else {
            Err((at, expected))
        }
    };
    for (at, byte) in [(6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')] {
        if text[at] != byte {
            return Err((at, SPELLING));
        }
    }
    let month = month_named([text[3], text[4], text[5]]).ok_or((3, "a month such as Oct"))?;
    let (century, year) = (two(7), two(9));
    if century > 99 || year > 99 {
        return Err((7, "a year of four digits"));
    }
    let date = Date {
        year: century * 100 + year,
        month,
        day: two(0),
    };
    if !date.exists() {
        return Err((0, "a day that the month has"));
    }
    let hour = in_range(12, 23, "an hour from 00 to 23")?;
    let minute = in_range(15, 59, "a minute from 00 to 59")?;
    // A leap second counts as the one before it.
    let second = in_range(18, 60, "a second from 00 to 60")?.min(59);
    let sign = match text[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return Err((21, "an offset such as -0700")),
    };
    let hours_east = in_range(22, 23, "an offset such as -0700")?;
    let minutes_east = in_range(24, 59, "an offset such as -0700")?;
    let minutes = hour * 60 + minute - sign * (hours_east * 60 + minutes_east);
    let ms = date.to_day() * DAY_MS + (minutes * 60 + second) * 1_000;
    // An offset may lead out of the years that can be written.
    match Date::of_day(ms.div_euclid(DAY_MS)) {
        Some(_) => Ok(ms),
        None => Err((0, "a time in the years 0000 to 9999")),
    }
}
