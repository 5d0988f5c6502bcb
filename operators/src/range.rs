//! Places in the log of a topic as people write them, and the fixed offsets that they come to.
//!
//! Half-open ranges for replay, single places for moving a group. Nothing is narrowed in silence:
//! what the log no longer or not yet has is said for each partition. `range/resolve.rs` asks the
//! brokers where a range is, `range/extent.rs` reads what is in it, `range/records.rs` which offsets hold
//! a record; what is here contacts nobody.

mod extent;
mod records;
mod resolve;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use isobar_topology::spec::units::Duration;

use crate::kafka::admin::TopicPartition;

pub use crate::kafka::lag::{Retention, TopicSettings};
pub use extent::{Extent, LOOKED_AT, Last, Look, again, extents};
pub use records::{Records, records};
pub use resolve::{Log, logs, places, ranges, retentions};

/// A place in the log of each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first record that exists: `earliest`.
    Earliest,
    /// The end as it is when it is asked for: `now`.
    Now,
    /// An offset: a whole number.
    Offset(i64),
    /// The first record, in the order of offsets, whose timestamp in ms since 1970 is this or later:
    /// a time with its zone such as `2026-01-31T06:00:00+02:00`.
    Time(i64),
    /// The same, so long before now: a duration such as `2h`.
    Ago(Duration),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => return Ok(Self::Earliest),
            "now" => return Ok(Self::Now),
            _ => {}
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let offset = text.parse().map(Self::Offset);
            return offset.map_err(|_| format!("{text} is larger than any offset"));
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return match time.as_millisecond() {
                ms @ 0.. => Ok(Self::Time(ms)),
                _ => Err(format!(
                    "{text} is before 1970, where no record's timestamp is"
                )),
            };
        }
        if let Ok(ago) = text.parse() {
            return Ok(Self::Ago(ago));
        }
        let zone = match text.parse::<jiff::civil::DateTime>() {
            Ok(_) => ": it has no zone, and would mean another moment on another machine",
            Err(_) => "",
        };
        Err(format!(
            "{text:?} is no place in a log{zone}; write an offset, a time with its zone such as \
             2026-01-31T00:00:00Z, a duration before now such as 2h, earliest, or now"
        ))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Now => f.write_str("now"),
            Self::Offset(offset) => offset.fmt(f),
            Self::Time(ms) => match jiff::Timestamp::from_millisecond(*ms) {
                Ok(time) => time.fmt(f),
                Err(_) => write!(f, "{ms} ms since 1970"),
            },
            Self::Ago(ago) => write!(f, "{ago} ago"),
        }
    }
}

impl Place {
    /// The time that is looked for, at `now_ms`, in ms since 1970; `None` where none is.
    pub fn time(self, now_ms: i64) -> Option<i64> {
        match self {
            Self::Time(ms) => Some(ms),
            Self::Ago(ago) => {
                let ago = i64::try_from(ago.get().as_millis()).unwrap_or(i64::MAX);
                Some(now_ms.saturating_sub(ago).max(0))
            }
            Self::Earliest | Self::Now | Self::Offset(_) => None,
        }
    }
}

/// Numbers of partitions: `0,3,7-9`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionNumbers(Vec<(i32, i32)>);

impl FromStr for PartitionNumbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spans: Option<Vec<(i32, i32)>> = text.split(',').map(span).collect();
        spans.map(Self).ok_or_else(|| {
            format!("{text:?} are no partitions; write numbers and spans of them such as 0,3,7-9")
        })
    }
}

/// A number, or two with a dash between them.
fn span(text: &str) -> Option<(i32, i32)> {
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

impl PartitionNumbers {
    fn contains(&self, number: i32) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
    }
}

/// Which partitions of a spout are meant: by default all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of these topics; empty for all of the spout.
    pub topics: Vec<String>,
    /// With these numbers.
    pub partitions: Option<PartitionNumbers>,
}

impl Selection {
    /// Those that are meant out of `all`. Fails when something is named that is not there.
    pub fn of(&self, all: &[TopicPartition]) -> Result<Vec<TopicPartition>, String> {
        let known: BTreeSet<&str> = all.iter().map(|one| &*one.topic).collect();
        if let Some(topic) = self.topics.iter().find(|one| !known.contains(one.as_str())) {
            let known: Vec<&str> = known.into_iter().collect();
            return Err(format!(
                "the spout does not read a topic {topic}; it reads {}",
                known.join(", ")
            ));
        }
        let of_topics: Vec<&TopicPartition> = all
            .iter()
            .filter(|one| self.topics.is_empty() || self.topics.iter().any(|t| **t == *one.topic))
            .collect();
        if let Some(numbers) = &self.partitions {
            let is_there = |number| of_topics.iter().any(|one| one.partition == number);
            let mut ends = numbers.0.iter().flat_map(|(first, last)| [*first, *last]);
            if let Some(missing) = ends.find(|number| !is_there(*number)) {
                return Err(format!("there is no partition {missing}"));
            }
        }
        let meant = |one: &&TopicPartition| match &self.partitions {
            Some(numbers) => numbers.contains(one.partition),
            None => true,
        };
        Ok(of_topics.into_iter().filter(meant).cloned().collect())
    }
}

/// A half-open range of offsets of one partition, fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset in it.
    pub from: i64,
    /// The first offset after it.
    pub to: i64,
    /// What was asked for and is not in it, one sentence each.
    pub narrowed: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

impl Range {
    /// The offsets in it. Not all of them need to hold a record.
    pub fn len(&self) -> u64 {
        u64::try_from(self.to - self.from).unwrap_or(0)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_offsets_times_durations_and_two_words() {
        for (text, place) in [
            ("earliest", Place::Earliest),
            ("now", Place::Now),
            ("0", Place::Offset(0)),
            ("9223372036854775807", Place::Offset(i64::MAX)),
            ("1970-01-01T01:00:01.5+01:00", Place::Time(1_500)),
            ("1970-01-01T00:00:01Z", Place::Time(1_000)),
            ("2h", Place::Ago(Duration::secs(7_200))),
        ] {
            assert_eq!(text.parse(), Ok(place), "{text}");
        }
        for (text, part) in [
            ("", "no place"),
            ("-5", "no place"),
            ("latest", "earliest, or now"),
            ("9223372036854775808", "larger than any offset"),
            ("2026-01-31T00:00:00", "has no zone"),
            ("2026-01-31", "has no zone"),
            ("1969-12-31T23:59:59Z", "before 1970"),
            ("2 hours", "no place"),
        ] {
            let problem = text.parse::<Place>().expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn partitions_are_numbers_and_spans() {
        let numbers: PartitionNumbers = "0,3, 7-9".parse().expect("numbers");
        let found: Vec<i32> = (0..12).filter(|number| numbers.contains(*number)).collect();
        assert_eq!(found, [0, 3, 7, 8, 9]);
        for text in ["", "a", "3-", "-3", "9-7", "1,,2", "+1", "99999999999"] {
            assert!(text.parse::<PartitionNumbers>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_named_must_be_there() {
        let all = [("a", 0), ("a", 1), ("b", 0)].map(|(t, p)| TopicPartition::new(t, p));
        let select = |topics: &[&str], partitions: Option<&str>| {
            let selection = Selection {
                topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
                partitions: partitions.map(|text| text.parse().expect("numbers")),
            };
            selection.of(&all)
        };
        assert_eq!(select(&[], None).expect("all").len(), 3);
        assert_eq!(select(&["a"], Some("1")).expect("one"), all[1..2]);
        assert_eq!(select(&[], Some("0")).expect("two").len(), 2);
        let problem = select(&["c"], None).expect_err("no such topic");
        assert_eq!(problem, "the spout does not read a topic c; it reads a, b");
        let problem = select(&["b"], Some("0-1")).expect_err("no such partition");
        assert_eq!(problem, "there is no partition 1");
    }
}
