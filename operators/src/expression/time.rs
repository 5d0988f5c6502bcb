//! Patterns of `strftime`, read once, then a few divisions per record. In UTC.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::event_time::calendar::{DAY_MS, Date};
use crate::event_time::rfc3339::put;

/// A pattern such as `%Y.%m.%d`.
#[derive(Debug)]
pub(super) struct TimeFormat {
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Number(Part),
    /// Everything else that jiff knows, at its price.
    Other(String),
}

/// A number of a fixed width.
#[derive(Clone, Copy, Debug)]
enum Part {
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
    fn of(directive: &str) -> Option<Part> {
        Some(match directive {
            "%Y" => Part::Year,
            "%y" => Part::YearOfCentury,
            "%m" => Part::Month,
            "%d" => Part::Day,
            "%j" => Part::DayOfYear,
            "%H" => Part::Hour,
            "%M" => Part::Minute,
            "%S" => Part::Second,
            "%G" => Part::WeekYear,
            "%V" => Part::Week,
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
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = pattern.chars();
        while let Some(char) = rest.next() {
            if char != '%' {
                text.push(char);
                continue;
            }
            let mut directive = String::from('%');
            // Flags, width and precision come before the letter.
            for char in rest.by_ref() {
                directive.push(char);
                if !char.is_ascii_digit() && !"-_0^#.:".contains(char) {
                    break;
                }
            }
            if directive == "%%" {
                text.push('%');
                continue;
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(match Part::of(&directive) {
                Some(part) => Piece::Number(part),
                None => {
                    let _ = other(&directive, 0)
                        .map_err(|error| format!("`{directive}` of the pattern: {error}"))?;
                    Piece::Other(directive)
                }
            });
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(Self { pieces })
    }

    /// Appends the time; `None`, with some of it appended, outside of the years 0 to 9999.
    pub(super) fn write(&self, ms: i64, out: &mut Vec<u8>) -> Option<()> {
        let day = ms.div_euclid(DAY_MS);
        let second = ms.rem_euclid(DAY_MS) as u32 / 1_000;
        let date = Date::of_day(day)?;
        for piece in &self.pieces {
            let part = match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Piece::Other(directive) => {
                    out.extend_from_slice(other(directive, ms).ok()?.as_bytes());
                    continue;
                }
                Piece::Number(part) => *part,
            };
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
            let mut digits = [0; 4];
            let digits = &mut digits[..part.width()];
            put(digits, number);
            out.extend_from_slice(digits);
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

fn other(directive: &str, ms: i64) -> Result<String, jiff::Error> {
    let time = Timestamp::from_millisecond(ms)?.to_zoned_datetime(TimeZone::UTC);
    jiff::fmt::strtime::format(directive, &time)
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
    fn what_is_no_pattern_is_refused() {
        for pattern in ["%", "%E!", "100%", "%Y-%", "%é", "%5"] {
            let error = TimeFormat::new(pattern).expect_err(pattern);
            assert!(error.starts_with("`%"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn numbers_agree_with_jiff(ms in -62_135_596_800_000i64..253_402_207_200_000) {
            for directive in ["%Y", "%y", "%m", "%d", "%j", "%H", "%M", "%S", "%G", "%V"] {
                prop_assert_eq!(format(directive, ms), other(directive, ms).ok(), "{}", directive);
            }
        }
    }
}
