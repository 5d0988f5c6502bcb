//! Time zones, and times of the local calendar, without a library call per time.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::calendar::{DAY_MS, Date};

/// How far a time without a year may be ahead of the record's own timestamp, in ms, before it is taken to
/// be of an earlier year: clocks and zones of senders are wrong by less than a day.
const AHEAD_MAX: i64 = DAY_MS;

/// Where senders are whose lines do not say it.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
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

impl Default for Zone {
    /// UTC.
    fn default() -> Self {
        Self {
            kind: Kind::Fixed(0),
            last: None,
        }
    }
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
pub(crate) struct Civil {
    /// Need not exist.
    pub(crate) date: Date,
    /// Milliseconds since midnight.
    pub(crate) ms_of_day: u32,
}

impl Civil {
    /// In ms since 1970, at so many seconds east of UTC or else in `zone`. `None` where the month has
    /// no such day or no calendar such a year.
    pub(crate) fn utc_ms(&self, offset: Option<i64>, zone: &mut Zone) -> Option<i64> {
        let offset = match offset {
            Some(offset) => offset,
            None => zone.offset(*self)?,
        };
        Some(self.ms_as_utc()? - offset * 1000)
    }

    fn ms_as_utc(&self) -> Option<i64> {
        let exists = self.date.exists();
        exists.then(|| self.date.to_day() * DAY_MS + i64::from(self.ms_of_day))
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
            self.date.year as i16,
            self.date.month as i8,
            self.date.day as i8,
            (minute / 60) as i8,
            (minute % 60) as i8,
            0,
            0,
        )
        .ok()
    }
}

/// A time without a year, in ms since 1970: that of the latest year in which it is at most a day after
/// `reference`, in ms since 1970. `civil` says what it is in a year. `None` where none of the last eight
/// years has it.
pub(crate) fn latest_year(
    reference: i64,
    offset: Option<i64>,
    zone: &mut Zone,
    mut civil: impl FnMut(u32) -> Option<Civil>,
) -> Option<i64> {
    let now = Date::year_of(reference);
    // Leap days are at most eight years apart.
    let mut years = (now - 8..=now + 1).rev();
    years.find_map(|year| {
        let civil = civil(year)?;
        // Zones are within a day of UTC; asking a zone about years that are not meant costs too much.
        let nearly = civil.utc_ms(Some(0), zone)?;
        if nearly - reference > AHEAD_MAX + DAY_MS {
            return None;
        }
        let ms = civil.utc_ms(offset, zone)?;
        (ms - reference <= AHEAD_MAX).then_some(ms)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_time::rfc3339;

    fn utc(zone: &str, date: (u32, u32, u32), hour: u32, minute: u32) -> Option<String> {
        let mut zone: Zone = zone.parse().expect("a zone of the system");
        let (year, month, day) = date;
        let civil = Civil {
            date: Date { year, month, day },
            ms_of_day: (hour * 60 + minute) * 60_000,
        };
        let mut out = Vec::new();
        rfc3339::write(&mut out, civil.utc_ms(None, &mut zone)?);
        Some(String::from_utf8(out).expect("ASCII"))
    }

    #[test]
    fn a_zone_has_its_summer_time_and_its_changes_of_clocks() {
        for (zone, month, day, hour, expected) in [
            ("UTC", 7, 1, 12, "2023-07-01T12:30:00Z"),
            ("+05:30", 7, 1, 12, "2023-07-01T07:00:00Z"),
            ("-01:00", 12, 31, 23, "2024-01-01T00:30:00Z"),
            ("Europe/Berlin", 7, 1, 12, "2023-07-01T10:30:00Z"),
            ("Europe/Berlin", 1, 1, 12, "2023-01-01T11:30:00Z"),
            // Skipped: the clocks go from 2 to 3.
            ("Europe/Berlin", 3, 26, 2, "2023-03-26T01:30:00Z"),
            // Repeated: the clocks go from 3 back to 2.
            ("Europe/Berlin", 10, 29, 2, "2023-10-29T00:30:00Z"),
        ] {
            let found = utc(zone, (2023, month, day), hour, 30);
            assert_eq!(
                found.as_deref(),
                Some(expected),
                "{zone} {month}/{day} {hour}"
            );
        }
        assert_eq!(utc("UTC", (2023, 2, 29), 0, 0), None);
        assert_eq!(utc("Europe/Berlin", (10_000, 1, 1), 0, 0), None);
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
}
