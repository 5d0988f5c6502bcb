//! Durations, byte sizes and rates as a topology file spells them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`, such as `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// So many milliseconds.
    pub const fn millis(ms: u64) -> Self {
        Self(std::time::Duration::from_millis(ms))
    }

    /// So many seconds.
    pub const fn secs(s: u64) -> Self {
        Self(std::time::Duration::from_secs(s))
    }

    /// As the standard library has it.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

/// Units from large to small, in ms.
const TIME_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let factor = TIME_UNITS.iter().find(|(name, _)| *name == unit);
        let ms = factor.and_then(|(_, factor)| number.parse::<u64>().ok()?.checked_mul(*factor));
        ms.map(Self::millis)
            .ok_or_else(|| format!("{text:?} is not a duration: write a whole number and ms, s, m, h or d, such as 500ms"))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis() as u64;
        let (unit, factor) = TIME_UNITS
            .iter()
            .find(|(_, factor)| ms >= *factor && ms.is_multiple_of(*factor))
            .unwrap_or(&("ms", 1));
        write!(f, "{}{unit}", ms / factor)
    }
}

/// A number of bytes: a whole number, alone or with `KiB`, `MiB`, `GiB` (1024) or `kB`, `MB`, `GB`
/// (1000), such as `8MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(usize);

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(bytes: usize) -> Self {
        Self(bytes)
    }

    /// So many times 1024 × 1024 bytes.
    pub const fn mib(mib: usize) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> usize {
        self.0
    }
}

const SIZE_UNITS: [(&str, usize); 8] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let factor = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
        let bytes =
            factor.and_then(|(_, factor)| number.parse::<usize>().ok()?.checked_mul(*factor));
        bytes.map(Self).ok_or_else(|| {
            format!(
                "{text:?} is not a size: write a whole number and KiB, MiB or GiB, such as 8MiB"
            )
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact =
            |(_, factor): &&(&str, usize)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        let (unit, factor) = SIZE_UNITS.iter().find(exact).unwrap_or(&("", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// A part of a whole: a whole number from 0 to 100 and `%`, such as `5%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// The part, from 0 to 1.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let number = number.parse().ok().filter(|number| *number <= 100);
        number.filter(|_| unit == "%").map(Self).ok_or_else(|| {
            format!("{text:?} is not a part: write a whole number from 0 to 100 and %, such as 5%")
        })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// So many records in a time: a whole number from 1 on and `/s`, `/m` or `/h`, such as `1000/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    records: u32,
    per: Duration,
}

impl Rate {
    /// The records, at least 1.
    pub const fn records(self) -> u32 {
        self.records
    }

    /// The time that they may take.
    pub const fn per(self) -> std::time::Duration {
        self.per.get()
    }

    /// Records in a second.
    pub fn per_second(self) -> f64 {
        f64::from(self.records) / self.per.get().as_secs_f64()
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let records = number.parse().ok().filter(|records| *records > 0);
        let per = match unit.strip_prefix('/').map(str::trim_start) {
            Some("s") => Some(Duration::secs(1)),
            Some("m") => Some(Duration::secs(60)),
            Some("h") => Some(Duration::secs(3_600)),
            _ => None,
        };
        let rate = records.zip(per).map(|(records, per)| Self { records, per });
        rate.ok_or_else(|| {
            format!("{text:?} is not a rate: write a whole number from 1 to 4294967295 and /s, /m or /h, such as 1000/s")
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.get().as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.records)
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

struct FromText<T>(std::marker::PhantomData<T>, &'static str);

impl<T: FromStr<Err = String>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.1)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

/// A value that is read from, and written as, the text that a file has for it.
macro_rules! spelled {
    ($unit:ident, $such_as:literal, $schema:tt) => {
        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(FromText(std::marker::PhantomData, $such_as))
            }
        }

        impl Serialize for $unit {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl JsonSchema for $unit {
            fn schema_name() -> Cow<'static, str> {
                stringify!($unit).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

spelled!(Duration, "a duration such as 500ms", {
    "type": "string", "format": "duration", "examples": ["500ms", "2s", "10m"]
});
spelled!(ByteSize, "a size such as 8MiB", {
    "type": ["string", "integer"], "format": "byte_size", "minimum": 0, "examples": ["64KiB", "8MiB"]
});
spelled!(Percent, "a part such as 5%", {
    "type": "string", "format": "percent", "examples": ["5%"]
});
spelled!(Rate, "a rate such as 1000/s", {
    "type": "string", "format": "rate", "examples": ["1000/s", "50/m"]
});

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_read_and_written_in_their_shortest_form() {
        for (text, ms, shortest) in [
            ("250ms", 250, "250ms"),
            ("2000ms", 2_000, "2s"),
            ("90s", 90_000, "90s"),
            ("24h", 86_400_000, "1d"),
            ("0s", 0, "0ms"),
        ] {
            let duration: Duration = text.parse().expect(text);
            assert_eq!(duration, Duration::millis(ms));
            assert_eq!(duration.to_string(), shortest);
        }
        for (text, bytes, shortest) in [
            ("512", 512, "512B"),
            ("64KiB", 65_536, "64KiB"),
            ("1GB", 1_000_000_000, "1GB"),
            ("1024 MiB", 1 << 30, "1GiB"),
        ] {
            let size: ByteSize = text.parse().expect(text);
            assert_eq!(size, ByteSize::bytes(bytes));
            assert_eq!(size.to_string(), shortest);
        }
        for percent in 0..=100 {
            let part: Percent = format!("{percent}%").parse().expect("a part");
            assert_eq!(part.to_string(), format!("{percent}%"));
        }
        assert_eq!("5%".parse().map(Percent::get), Ok(0.05));
        for (text, per_second) in [("1000/s", 1_000.0), ("30/m", 0.5), ("3600 / h", 1.0)] {
            let rate: Rate = text.parse().expect(text);
            assert_eq!(rate.per_second(), per_second);
            assert_eq!(rate.to_string(), text.replace(' ', ""));
        }
        for text in [
            "",
            "5",
            "/s",
            "0/s",
            "-1/s",
            "1.5/s",
            "5/d",
            "5/ms",
            "4294967296/s",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["", "5", "%", "101%", "-1%", "0.5%", "5 s"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "1 week",
            "99999999999999999999s",
        ] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
        for text in ["", "MiB", "-1", "8 mib", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn units_survive_writing_and_reading(ms in 0u64..1 << 40, bytes: u32) {
            let duration = Duration::millis(ms);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            let size = ByteSize::bytes(bytes as usize);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
