//! Days and dates of the proleptic Gregorian calendar, in UTC, for the years 0 to 9999.
//!
//! After <https://howardhinnant.github.io/date_algorithms.html>: years start in March, so that the
//! day that leap years add is their last.

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// From 0000-03-01 to 1970-01-01, in days.
const MARCH_0_TO_1970: i64 = 719_468;
/// Days of 400 years.
const ERA: i64 = 146_097;
/// 0000-01-01 and 9999-12-31, in days since 1970.
const FIRST_DAY: i64 = -719_528;
const LAST_DAY: i64 = 2_932_896;

/// A date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    /// From 0 to 9999.
    pub(crate) year: u32,
    /// From 1.
    pub(crate) month: u32,
    /// From 1.
    pub(crate) day: u32,
}

/// Whether a moment in ms since 1970 is in the years 0 to 9999, which dates can say.
pub(crate) fn has_date(ms: i64) -> bool {
    (FIRST_DAY..=LAST_DAY).contains(&ms.div_euclid(DAY_MS))
}

impl Date {
    /// The date of a day since 1970; `None` outside of the years 0 to 9999.
    #[inline]
    pub(crate) fn of_day(day: i64) -> Option<Date> {
        if !(FIRST_DAY..=LAST_DAY).contains(&day) {
            return None;
        }
        // From here on all numbers are small and, but for two months of the year 0, not negative.
        let days = (day + MARCH_0_TO_1970 + ERA) as u32;
        let (era, day_of_era) = (days / ERA as u32, days % ERA as u32);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let in_next_year = month_from_march >= 10;
        Some(Date {
            year: year_of_era + era * 400 + u32::from(in_next_year) - 400,
            month: if in_next_year {
                month_from_march - 9
            } else {
                month_from_march + 3
            },
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
        })
    }

    /// The year of a moment in ms since 1970, from 1970 to 9999.
    pub(crate) fn year_of(ms: i64) -> u32 {
        let day = ms.div_euclid(DAY_MS).clamp(0, LAST_DAY);
        Date::of_day(day).expect("in range").year
    }

    /// The day since 1970. The date must exist.
    #[inline]
    pub(crate) fn to_day(self) -> i64 {
        let before_march = self.month <= 2;
        // One era ahead, so that no number is negative.
        let year = self.year + 400 - u32::from(before_march);
        let (era, year_of_era) = (year / 400, year % 400);
        let month_from_march = if before_march {
            self.month + 9
        } else {
            self.month - 3
        };
        let day_of_year = (153 * month_from_march + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        i64::from(era) * ERA + i64::from(day_of_era) - ERA - MARCH_0_TO_1970
    }

    /// Whether there is such a date.
    #[inline]
    pub(crate) fn exists(self) -> bool {
        let days = match self.month {
            2 if is_leap(self.year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return false,
        };
        self.year <= 9_999 && (1..=days).contains(&self.day)
    }
}

/// The number of a month, from 1, by the short English name that logs use.
#[inline]
pub(crate) fn month_named(name: [u8; 3]) -> Option<u32> {
    const NAMES: [[u8; 3]; 12] = [
        *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
        *b"Nov", *b"Dec",
    ];
    let index = NAMES.iter().position(|known| *known == name)?;
    Some(index as u32 + 1)
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_one_date_in_order() {
        let mut before = None;
        for day in FIRST_DAY..=LAST_DAY {
            let date = Date::of_day(day).expect("in range");
            assert!(date.exists());
            assert_eq!(date.to_day(), day);
            let key = (date.year, date.month, date.day);
            assert!(before < Some(key), "{key:?}");
            before = Some(key);
        }
        assert_eq!(before, Some((9_999, 12, 31)));
        let epoch = Date::of_day(0).map(|date| (date.year, date.month, date.day));
        assert_eq!(epoch, Some((1970, 1, 1)));
        assert_eq!(Date::of_day(LAST_DAY + 1), None);
        assert_eq!(Date::of_day(FIRST_DAY - 1), None);
    }

    #[test]
    fn dates_that_do_not_exist_are_told() {
        for (year, month, day, exists) in [
            (2024, 2, 29, true),
            (2023, 2, 29, false),
            (1900, 2, 29, false),
            (2000, 2, 29, true),
            (2024, 4, 31, false),
            (2024, 13, 1, false),
            (2024, 0, 1, false),
            (2024, 1, 0, false),
            (2024, 12, 31, true),
        ] {
            assert_eq!(Date { year, month, day }.exists(), exists);
        }
    }
}
