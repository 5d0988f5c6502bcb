//! Time zones, and arithmetic of the calendar without a library call per line.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Where senders are whose lines do not say it.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    kind: Kind,
    /// A minute of the local calendar, in seconds since 1970, and the seconds east of UTC then:
    /// consecutive lines are mostly of one minute, and looking up a zone costs more than all the rest
    /// of a line.
    last: Option<(i64, i64)>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Seconds east of UTC.
    Fixed(i64),
    Named(TimeZone),
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = match (text, fixed(text)) {
            ("UTC" | "Z", _) => Kind::Fixed(0),
            (_, Some(seconds)) => Kind::Fixed(seconds),
            _ => Kind::Named(TimeZone::get(text).map_err(|error| error.to_string())?),
        };
        Ok(Self { kind, last: None })
    }
}

/// `+02:00` in seconds.
fn fixed(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two_digits = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

impl Zone {
    /// Seconds east of UTC at a time of the local calendar. A time that a change of clocks skips
    /// counts as after it, one that it repeats as the first of the two.
    fn offset(&mut self, civil: Civil) -> Option<i64> {
        let zone = match &self.kind {
            Kind::Fixed(seconds) => return Some(*seconds),
            Kind::Named(zone) => zone,
        };
        let start = civil.start_of_minute();
        let local = start.ms_as_utc()?.div_euclid(1000);
        if let Some((last, offset)) = self.last
            && last == local
        {
            return Some(offset);
        }
        let time = zone.to_ambiguous_timestamp(start.to_jiff()?);
        let offset = local - time.compatible().ok()?.as_second();
        self.last = Some((local, offset));
        Some(offset)
    }
}

/// A time of the calendar.
#[derive(Clone, Copy, Debug)]
pub(super) struct Civil {
    /// From 0 to 9999.
    pub(super) year: i32,
    /// From 1.
    pub(super) month: u32,
    /// From 1.
    pub(super) day: u32,
    /// Milliseconds since midnight.
    pub(super) ms_of_day: u32,
}

impl Civil {
    /// In ms since 1970, at so many seconds east of UTC or else in `zone`. `None` where the month has
    /// no such day or no calendar such a year.
    pub(super) fn utc_ms(&self, offset: Option<i64>, zone: &mut Zone) -> Option<i64> {
        let offset = match offset {
            Some(offset) => offset,
            None => zone.offset(*self)?,
        };
        Some(self.ms_as_utc()? - offset * 1000)
    }

    /// The year of a moment in UTC, from 1970 to 9999.
    pub(super) fn year_of(ms: i64) -> i32 {
        year_month_day(ms.clamp(0, LAST).div_euclid(DAY)).0
    }

    fn ms_as_utc(&self) -> Option<i64> {
        let fits = (0..=9999).contains(&self.year) && self.day <= days_in(self.year, self.month);
        fits.then(|| days_since_1970(self) * DAY + i64::from(self.ms_of_day))
    }

    fn start_of_minute(self) -> Self {
        Self {
            ms_of_day: self.ms_of_day / 60_000 * 60_000,
            ..self
        }
    }

    fn to_jiff(self) -> Option<DateTime> {
        let minute = self.ms_of_day / 60_000;
        DateTime::new(
            self.year as i16,
            self.month as i8,
            self.day as i8,
            (minute / 60) as i8,
            (minute % 60) as i8,
            0,
            0,
        )
        .ok()
    }
}

const DAY: i64 = 86_400_000;

/// Start of the year 0 and end of the year 9999, in ms since 1970.
const FIRST: i64 = -62_167_219_200_000;
const LAST: i64 = 253_402_300_799_999;

fn days_in(year: i32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts years from March, so that the leap day is the last of its year.
fn days_since_1970(civil: &Civil) -> i64 {
    let before_march = i64::from(civil.month <= 2);
    let year = i64::from(civil.year) - before_march;
    let month = i64::from(civil.month) + 12 * before_march - 3;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From March on, months have 30.6 days on average, to the day: 31, 30, 31, 30, 31 and again.
    let before_month = (153 * month + 2) / 5;
    // 719,468 days lie between 1 March of the year 0 and 1970.
    year * 365 + leap_days + before_month + i64::from(civil.day) - 1 - 719_468
}

/// The opposite of [`days_since_1970`].
fn year_month_day(days: i64) -> (i32, u32, u32) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let after_december = i64::from(month >= 10);
    (
        (era * 400 + year + after_december) as i32,
        (month + 3 - 12 * after_december) as u32,
        day as u32,
    )
}

/// Appends a moment of the years 0 to 9999 as JSON: `"2003-10-11T22:14:15.003Z"`, without `.000`.
pub(super) fn write_utc(out: &mut Vec<u8>, ms: i64) {
    let ms = ms.clamp(FIRST, LAST);
    let (year, month, day) = year_month_day(ms.div_euclid(DAY));
    let of_day = ms.rem_euclid(DAY) as u32;
    let second = of_day / 1000;
    out.push(b'"');
    for (number, digits, end) in [
        (year as u32, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second / 3600, 2, b':'),
        (second / 60 % 60, 2, b':'),
        (second % 60, 2, b'.'),
    ] {
        push_digits(out, number, digits);
        out.push(end);
    }
    match of_day % 1000 {
        0 => out.truncate(out.len() - 1),
        ms => push_digits(out, ms, 3),
    }
    out.extend_from_slice(b"Z\"");
}

fn push_digits(out: &mut Vec<u8>, number: u32, digits: u32) {
    for place in (0..digits).rev() {
        out.push(b'0' + (number / 10u32.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn utc(zone: &str, year: i32, month: u32, day: u32, hour: u32, minute: u32) -> Option<String> {
        let mut zone: Zone = zone.parse().expect("a zone of the system");
        let civil = Civil {
            year,
            month,
            day,
            ms_of_day: (hour * 60 + minute) * 60_000,
        };
        let mut out = Vec::new();
        write_utc(&mut out, civil.utc_ms(None, &mut zone)?);
        Some(String::from_utf8(out).expect("ASCII"))
    }

    #[test]
    fn a_zone_has_its_summer_time_and_its_changes_of_clocks() {
        for (zone, month, day, hour, expected) in [
            ("UTC", 7, 1, 12, "\"2023-07-01T12:30:00Z\""),
            ("+05:30", 7, 1, 12, "\"2023-07-01T07:00:00Z\""),
            ("-01:00", 12, 31, 23, "\"2024-01-01T00:30:00Z\""),
            ("Europe/Berlin", 7, 1, 12, "\"2023-07-01T10:30:00Z\""),
            ("Europe/Berlin", 1, 1, 12, "\"2023-01-01T11:30:00Z\""),
            // Skipped: the clocks go from 2 to 3.
            ("Europe/Berlin", 3, 26, 2, "\"2023-03-26T01:30:00Z\""),
            // Repeated: the clocks go from 3 back to 2.
            ("Europe/Berlin", 10, 29, 2, "\"2023-10-29T00:30:00Z\""),
        ] {
            let found = utc(zone, 2023, month, day, hour, 30);
            assert_eq!(
                found.as_deref(),
                Some(expected),
                "{zone} {month}/{day} {hour}"
            );
        }
        assert_eq!(utc("UTC", 2023, 2, 29, 0, 0), None);
        assert_eq!(utc("Europe/Berlin", 10_000, 1, 1, 0, 0), None);
    }

    #[test]
    fn what_is_no_zone_is_refused() {
        for text in [
            "",
            "Europe/Atlantis",
            "+2:00",
            "+24:00",
            "+01:60",
            "+1a:00",
            "+0100",
        ] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }

    proptest! {
        /// The calendar agrees with a library that was not written here.
        #[test]
        fn the_calendar_is_the_one_of_everybody(seconds in -62_135_596_800i64..253_402_207_200) {
            let theirs = Timestamp::from_second(seconds).expect("in range").to_string();
            let mut ours = Vec::new();
            write_utc(&mut ours, seconds * 1000);
            prop_assert_eq!(String::from_utf8(ours).expect("ASCII"), format!("\"{theirs}\""));
            let (year, month, day) = year_month_day((seconds * 1000).div_euclid(DAY));
            let civil = Civil { year, month, day, ms_of_day: 0 };
            prop_assert_eq!(days_since_1970(&civil), (seconds * 1000).div_euclid(DAY));
        }
    }
}
