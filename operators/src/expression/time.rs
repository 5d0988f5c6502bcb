//! Patterns of `strftime`, read once, then a few divisions per record. In UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::event_time::calendar::{DAY_MS, Date};
use crate::event_time::rfc3339::put;

/// A pattern such as `%Y.%m.%d`.
#[derive(Debug)]
pub(super) enum TimeFormat {
    /// Text with room for numbers, and where they go: all of them have a fixed width.
    Fixed {
        blank: Vec<u8>,
        parts: Vec<(usize, Part)>,
    },
    /// A pattern with more than that, as jiff formats it, at its price.
    Other(String),
}

/// A number of a fixed width.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Year,
    YearOfCentury,
    Month,
    Day,
    DayOfYear,
    Hour,
    Minute,
    Second,
    /// The year of the ISO week.
    WeekYear,
    Week,
}

impl Part {
    fn of(letter: char) -> Option<Part> {
        Some(match letter {
            'Y' => Part::Year,
            'y' => Part::YearOfCentury,
            'm' => Part::Month,
            'd' => Part::Day,
            'j' => Part::DayOfYear,
            'H' => Part::Hour,
            'M' => Part::Minute,
            'S' => Part::Second,
            'G' => Part::WeekYear,
            'V' => Part::Week,
            _ => return None,
        })
    }

    fn width(self) -> usize {
        match self {
            Part::Year | Part::WeekYear => 4,
            Part::DayOfYear => 3,
            _ => 2,
        }
    }
}

impl TimeFormat {
    /// Reads a pattern, or says what is wrong with it.
    pub(super) fn new(pattern: &str) -> Result<Self, jiff::Error> {
        // What jiff takes is what is good.
        let _ = other(pattern, 0)?;
        Ok(Self::fixed(pattern).unwrap_or_else(|| TimeFormat::Other(pattern.to_owned())))
    }

    fn fixed(pattern: &str) -> Option<Self> {
        let (mut blank, mut parts) = (Vec::new(), Vec::new());
        let mut rest = pattern;
        while let Some((text, directive)) = rest.split_once('%') {
            blank.extend_from_slice(text.as_bytes());
            let expanded = match directive.chars().next()? {
                '%' => "%",
                'F' => "%Y-%m-%d",
                'T' => "%H:%M:%S",
                letter => {
                    let part = Part::of(letter)?;
                    parts.push((blank.len(), part));
                    blank.resize(blank.len() + part.width(), b'0');
                    ""
                }
            };
            rest = &directive[1..];
            match expanded {
                "" => {}
                "%" => blank.push(b'%'),
                expanded => {
                    let Some(TimeFormat::Fixed {
                        blank: more,
                        parts: inner,
                    }) = Self::fixed(expanded)
                    else {
                        return None;
                    };
                    parts.extend(inner.into_iter().map(|(at, part)| (blank.len() + at, part)));
                    blank.extend(more);
                }
            }
        }
        blank.extend_from_slice(rest.as_bytes());
        Some(TimeFormat::Fixed { blank, parts })
    }

    /// How long its text stays the same, in ms from each multiple since 1970 on; `None` where that is
    /// not known.
    pub(super) fn period(&self) -> Option<i64> {
        let TimeFormat::Fixed { parts, .. } = self else {
            return None;
        };
        let periods = parts.iter().map(|(_, part)| match part {
            Part::Second => 1_000,
            Part::Minute => 60_000,
            Part::Hour => 3_600_000,
            _ => DAY_MS,
        });
        Some(periods.min().unwrap_or(DAY_MS))
    }

    /// Appends the time; `None` outside of the years 0 to 9999.
    pub(super) fn write(&self, ms: i64, out: &mut Vec<u8>) -> Option<()> {
        let day = ms.div_euclid(DAY_MS);
        let date = Date::of_day(day)?;
        let (blank, parts) = match self {
            TimeFormat::Fixed { blank, parts } => (blank, parts),
            TimeFormat::Other(pattern) => {
                out.extend_from_slice(other(pattern, ms).ok()?.as_bytes());
                return Some(());
            }
        };
        let second = ms.rem_euclid(DAY_MS) as u32 / 1_000;
        let start = out.len();
        out.extend_from_slice(blank);
        let text = &mut out[start..];
        for (at, part) in parts {
            let number = match part {
                Part::Year => date.year,
                Part::YearOfCentury => date.year % 100,
                Part::Month => date.month,
                Part::Day => date.day,
                Part::DayOfYear => (day - first_day(date.year)) as u32 + 1,
                Part::Hour => second / 3_600,
                Part::Minute => second / 60 % 60,
                Part::Second => second % 60,
                Part::WeekYear => Date::of_day(thursday(day))?.year,
                Part::Week => {
                    let thursday = thursday(day);
                    let year = Date::of_day(thursday)?.year;
                    (thursday - first_day(year)) as u32 / 7 + 1
                }
            };
            put(&mut text[*at..*at + part.width()], number);
        }
        Some(())
    }
}

/// The first of January, in days since 1970.
fn first_day(year: u32) -> i64 {
    Date {
        year,
        month: 1,
        day: 1,
    }
    .to_day()
}

/// The Thursday of a day's week: its year is the week's year. 1970-01-01 was one.
fn thursday(day: i64) -> i64 {
    day - (day + 3).rem_euclid(7) + 3
}

fn other(pattern: &str, ms: i64) -> Result<String, jiff::Error> {
    let time = Timestamp::from_millisecond(ms)?.to_zoned_datetime(TimeZone::UTC);
    jiff::fmt::strtime::format(pattern, &time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn format(pattern: &str, ms: i64) -> Option<String> {
        let mut out = Vec::new();
        TimeFormat::new(pattern)
            .expect(pattern)
            .write(ms, &mut out)?;
        Some(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn patterns_are_filled_in() {
        let ms = 1_709_208_065_123;
        for (pattern, expected) in [
            ("%Y.%m.%d", "2024.02.29"),
            ("logs-%Y%m%d-%H:%M:%S%%é", "logs-20240229-12:01:05%é"),
            ("%G.%V %j %y", "2024.09 060 24"),
            (
                "%F %T %a %b %e %-d %.3f",
                "2024-02-29 12:01:05 Thu Feb 29 29 .123",
            ),
            ("", ""),
            ("plain", "plain"),
        ] {
            assert_eq!(format(pattern, ms).as_deref(), Some(expected));
        }
        assert_eq!(format("%Y", i64::MAX), None);
        assert_eq!(format("%Y", -62_167_219_200_001), None);
    }

    #[test]
    fn the_finest_part_decides_how_long_a_text_stays() {
        let period = |pattern| TimeFormat::new(pattern).expect(pattern).period();
        assert_eq!(period("%Y.%m.%d"), Some(86_400_000));
        assert_eq!(period("%G.%V"), Some(86_400_000));
        assert_eq!(period("%F-%H"), Some(3_600_000));
        assert_eq!(period("%H%M"), Some(60_000));
        assert_eq!(period("%F %T"), Some(1_000));
        assert_eq!(period("%b"), None);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["%", "%E!", "100%", "%Y-%", "%é", "%5"] {
            assert!(TimeFormat::new(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn numbers_agree_with_jiff(ms in -62_135_596_800_000i64..253_402_207_200_000) {
            for directive in ["%F %T%%", "%Y", "%y", "%m", "%d", "%j", "%H", "%M", "%S", "%G", "%V"] {
                prop_assert_eq!(format(directive, ms), other(directive, ms).ok(), "{}", directive);
            }
        }
    }
}
