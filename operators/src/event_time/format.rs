//! How times are written in a field: RFC 3339, a number since 1970, or a pattern of `strptime`.

use std::fmt;

use isobar_topology::clock;
use isobar_topology::json::Kind;
use isobar_topology::spec::{Path, Problem};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;

use super::calendar::Date;
use super::joda::{as_strftime, mixed};
use super::rfc3339;
use super::unix::Unit;
use super::zone::{Civil, Zone, latest_year};
use crate::expression::text_of;

/// Formats that have a name.
const NAMED: [(&str, TimeFormat); 5] = [
    ("rfc3339", TimeFormat::Rfc3339),
    ("unix_s", TimeFormat::Unix(Unit::Seconds)),
    ("unix_ms", TimeFormat::Unix(Unit::Milliseconds)),
    ("unix_us", TimeFormat::Unix(Unit::Microseconds)),
    ("unix_ns", TimeFormat::Unix(Unit::Nanoseconds)),
];

/// A format of times.
#[derive(Clone, Debug)]
pub(super) enum TimeFormat {
    Rfc3339,
    Unix(Unit),
    Pattern(Box<Pattern>),
}

#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    /// For patterns that do not say the zone.
    zone: Option<Zone>,
    says_year: bool,
}

impl TimeFormat {
    /// Reads a format that an option at `path` holds; `zone` is that of times that do not say theirs.
    pub(super) fn new(format: &str, zone: &Zone, path: &Path) -> Result<Self, Problem> {
        if let Some((_, format)) = NAMED.iter().find(|(name, _)| *name == format) {
            return Ok(format.clone());
        }
        if let Some(pattern) = as_strftime(format) {
            let text = match format.contains('%') {
                true => mixed(format),
                false => format!("`{format}` has no conversion such as %Y"),
            };
            return Err(Problem::new(path.clone(), text).expected(format!("for example {pattern}")));
        }
        if !format.contains('%') {
            let names = NAMED.map(|(name, _)| name);
            let text = format!("unknown format `{format}`");
            return Err(Problem::new(path.clone(), text)
                .expected(format!(
                    "{}, or a pattern of strptime such as %d/%b/%Y:%H:%M:%S %z",
                    names.join(", ")
                ))
                .near(format, names));
        }
        let pattern = Pattern::new(format, zone.clone()).map_err(|error| {
            Problem::new(path.clone(), format!("the pattern gives no time: {error}")).expected(
                "a pattern of strptime with at least a date, such as %d/%b/%Y:%H:%M:%S %z",
            )
        })?;
        Ok(TimeFormat::Pattern(Box::new(pattern)))
    }

    /// Whether it says the year.
    pub(super) fn says_year(&self) -> bool {
        match self {
            TimeFormat::Rfc3339 | TimeFormat::Unix(_) => true,
            TimeFormat::Pattern(pattern) => pattern.says_year,
        }
    }

    /// The time of a raw JSON value: text, and for times since 1970 numbers as well. `timestamp` is that of
    /// the record, or negative, for times without a year.
    #[inline]
    pub(super) fn read(&mut self, raw: &[u8], timestamp: i64) -> Option<i64> {
        match (Kind::of(raw), self) {
            (Kind::String, format) => {
                let text = text_of(raw);
                match format {
                    TimeFormat::Rfc3339 => rfc3339::parse(&text),
                    TimeFormat::Unix(unit) => unit.read(&text),
                    TimeFormat::Pattern(pattern) => pattern.read(&text, timestamp),
                }
            }
            (Kind::Number, TimeFormat::Unix(unit)) => unit.read(raw),
            _ => None,
        }
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeFormat::Rfc3339 => f.write_str("a time of RFC 3339 such as 2024-01-31T12:00:00Z"),
            TimeFormat::Unix(Unit::Seconds) => {
                f.write_str("a number of seconds since 1970, up to the year 9999")
            }
            TimeFormat::Unix(Unit::Milliseconds) => {
                f.write_str("a number of ms since 1970, up to the year 9999")
            }
            TimeFormat::Unix(Unit::Microseconds) => {
                f.write_str("a number of µs since 1970, up to the year 9999")
            }
            TimeFormat::Unix(Unit::Nanoseconds) => {
                f.write_str("a number of ns since 1970, up to the year 9999")
            }
            TimeFormat::Pattern(pattern) => write!(f, "a time of the form {}", pattern.text),
        }
    }
}

impl Pattern {
    /// Tries the pattern on a time that it writes itself.
    fn new(text: &str, zone: Zone) -> Result<Self, jiff::Error> {
        let sample = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
        let sample = strtime::format(text, &sample)?;
        let mut parsed = strtime::parse(text, &sample)?;
        let says_zone = parsed.offset().is_some() || parsed.timestamp().is_some();
        let says_year = says_year(&parsed);
        if !says_year {
            parsed.set_year(Some(1970))?;
        }
        if says_zone {
            let _ = parsed.to_timestamp()?;
        } else {
            let _ = parsed.to_datetime()?;
        }
        Ok(Self {
            text: text.to_owned(),
            zone: (!says_zone).then_some(zone),
            says_year,
        })
    }

    fn read(&mut self, text: &[u8], timestamp: i64) -> Option<i64> {
        let mut parsed = strtime::parse(&self.text, text).ok()?;
        if !self.says_year {
            let now = match timestamp {
                0.. => timestamp,
                _ => clock::unix_ms(),
            };
            let offset = parsed.offset().map(|offset| i64::from(offset.seconds()));
            let zone = self.zone.get_or_insert_default();
            return latest_year(now, offset, zone, |year| {
                parsed.set_year(Some(i16::try_from(year).ok()?)).ok()?;
                civil(&parsed.to_datetime().ok()?)
            });
        }
        let Some(zone) = &mut self.zone else {
            let ns = parsed.to_timestamp().ok()?.as_nanosecond();
            return i64::try_from(ns.div_euclid(1_000_000)).ok();
        };
        civil(&parsed.to_datetime().ok()?)?.utc_ms(None, zone)
    }
}

/// Whether a time says all that there is to it, and not only month and day.
fn says_year(parsed: &BrokenDownTime) -> bool {
    let has_day = parsed.month().is_some() && parsed.day().is_some();
    parsed.year().is_some() || parsed.timestamp().is_some() || !has_day
}

fn civil(time: &DateTime) -> Option<Civil> {
    Some(Civil {
        date: Date {
            year: u32::try_from(time.year()).ok()?,
            month: u32::try_from(time.month()).ok()?,
            day: u32::try_from(time.day()).ok()?,
        },
        ms_of_day: (u32::try_from(time.hour()).ok()? * 3_600
            + u32::try_from(time.minute()).ok()? * 60
            + u32::try_from(time.second()).ok()?)
            * 1_000
            + u32::try_from(time.subsec_nanosecond()).ok()? / 1_000_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: &str, zone: &str, cases: &[(&str, Option<i64>)]) {
        let zone = zone.parse().expect("a good zone");
        let mut format = TimeFormat::new(format, &zone, &Path::root()).expect("a good format");
        for (raw, ms) in cases {
            assert_eq!(
                format.read(raw.as_bytes(), 1_688_212_800_123),
                *ms,
                "{raw} as {format}"
            );
        }
    }

    #[test]
    fn every_format_is_read() {
        check(
            "rfc3339",
            "UTC",
            &[
                (r#""1970-01-01T00:00:01.5Z""#, Some(1_500)),
                (r#""1970-01-01T00:00:01\u005a""#, Some(1_000)),
                ("1", None),
                ("null", None),
                (r#"["1970-01-01T00:00:01Z"]"#, None),
            ],
        );
        check(
            "unix_s",
            "UTC",
            &[
                ("1.5", Some(1_500)),
                (r#""2""#, Some(2_000)),
                ("true", None),
            ],
        );
        check("unix_us", "UTC", &[("1500", Some(1)), (r#""x""#, None)]);
        check(
            "%d/%b/%Y:%H:%M:%S %z",
            "Europe/Berlin",
            &[
                (r#""10/Oct/2000:13:55:36 -0700""#, Some(971_211_336_000)),
                (r#""10\/Oct\/2000:13:55:36 -0700""#, Some(971_211_336_000)),
                (r#""10/Okt/2000:13:55:36 -0700""#, None),
                (r#""10/Oct/2000:13:55:36 -0700 ""#, None),
                ("971211336", None),
            ],
        );
        let utc = 1_688_212_800_123;
        let line = [(r#""2023-07-01 12:00:00.123456""#, Some(utc))];
        check("%Y-%m-%d %H:%M:%S%.f", "UTC", &line);
        let line = [
            (r#""2023-07-01 14:00:00.123456""#, Some(utc)),
            (r#""2023-01-01 01:00:00.0""#, Some(1_672_531_200_000)),
        ];
        check("%Y-%m-%d %H:%M:%S%.f", "Europe/Berlin", &line);
        check("%Y-%m-%d %H:%M:%S%.f", "+02:00", &line[..1]);
        check("%Y-%m-%d", "UTC", &[(r#""1970-01-02""#, Some(86_400_000))]);
        // 2023-07-01T12:00: the day after may be of a clock that is wrong, and is of this year.
        let lines = [
            (r#""Jul  1 12:00:00""#, Some(1_688_212_800_000)),
            (r#""Jul 02 11:00:00""#, Some(1_688_295_600_000)),
            (r#""Jul  3 12:00:00""#, Some(1_656_849_600_000)),
            (r#""Feb 29 00:00:00""#, Some(1_582_934_400_000)),
            (r#""Feb 30 00:00:00""#, None),
        ];
        check("%b %e %H:%M:%S", "UTC", &lines);
        let line = [(r#""Jul  1 14:00:00""#, Some(1_688_212_800_000))];
        check("%b %e %H:%M:%S", "Europe/Berlin", &line);
        let line = [(r#""Jul  1 14:00:00 +0200""#, Some(1_688_212_800_000))];
        check("%b %e %H:%M:%S %z", "UTC", &line);
        check("%s", "Europe/Berlin", &[(r#""5""#, Some(5_000))]);
    }
}
