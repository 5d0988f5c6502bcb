//! How much a plan reads, as its file has it and as people are told: records, bytes and times of each
//! partition, and how long that takes.

use std::num::NonZeroU32;

use isobar_operators::range;
use serde::{Deserialize, Serialize};

use crate::output::{bytes, number, time};

/// What the range of a partition holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlannedExtent {
    /// Records.
    pub(super) records: u64,
    /// Bytes of their keys, values and headers, uncompressed.
    pub(super) bytes: u64,
    /// All of them were counted. Otherwise both are estimates, and times are those of what was looked at.
    pub(super) is_exact: bool,
    /// The oldest timestamp, in ms since 1970; null where no record has one.
    pub(super) oldest_ms: Option<i64>,
    /// The newest one.
    pub(super) newest_ms: Option<i64>,
    /// The last record that was looked at: another one at its offset is a log that was written anew.
    pub(super) last: Option<Last>,
}

/// A record by which a log is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Last {
    pub(super) offset: i64,
    /// In ms since 1970, −1 without one.
    pub(super) timestamp_ms: i64,
    /// Of the leader that took it; null where brokers do not tell it.
    pub(super) leader_epoch: Option<i32>,
}

impl PlannedExtent {
    pub(super) fn of(extent: &range::Extent) -> Self {
        Self {
            records: extent.records,
            bytes: extent.bytes,
            is_exact: extent.is_exact,
            oldest_ms: extent.oldest_ms,
            newest_ms: extent.newest_ms,
            last: extent.last.map(Last::of),
        }
    }

    /// Records, bytes, oldest and newest timestamp as cells of a table, with `~` before estimates.
    pub(super) fn cells(extent: Option<&Self>) -> [String; 4] {
        let Some(extent) = extent else {
            return ["?"; 4].map(str::to_owned);
        };
        let about = if extent.is_exact { "" } else { "~" };
        [
            format!("{about}{}", number(extent.records)),
            format!("{about}{}", size(extent.bytes)),
            moment(about, extent.oldest_ms),
            moment(about, extent.newest_ms),
        ]
    }
}

impl Last {
    pub(super) fn of(last: range::Last) -> Self {
        Self {
            offset: last.offset,
            timestamp_ms: last.timestamp,
            leader_epoch: last.leader_epoch,
        }
    }

    /// The same, to be looked for again.
    pub(super) fn known(self) -> range::Last {
        range::Last {
            offset: self.offset,
            timestamp: self.timestamp_ms,
            leader_epoch: self.leader_epoch,
        }
    }
}

/// How much all of some extents are, and how long they take at a rate, a line each.
pub(super) fn in_all<'e>(
    extents: impl Iterator<Item = &'e PlannedExtent>,
    rate: Option<NonZeroU32>,
) -> String {
    let (mut records, mut sum, mut is_exact) = (0, 0, true);
    for extent in extents {
        records += extent.records;
        sum += extent.bytes;
        is_exact &= extent.is_exact;
    }
    let about = if is_exact { "" } else { "about " };
    let mut text = format!(
        "Records in all: {about}{}, {about}{}{}\n",
        number(records),
        size(sum),
        match is_exact {
            true => "",
            false => " (~: by records here and there of each range)",
        }
    );
    if let Some(rate) = rate {
        let ms = records.saturating_mul(1_000) / u64::from(rate.get());
        text.push_str(&format!(
            "At {} records a second that takes {about}{}\n",
            number(rate.get()),
            time(ms)
        ));
    }
    text
}

fn size(size: u64) -> String {
    bytes(usize::try_from(size).unwrap_or(usize::MAX))
}

fn moment(about: &str, ms: Option<i64>) -> String {
    let time = ms.map(jiff::Timestamp::from_millisecond);
    match time {
        None => "-".to_owned(),
        Some(Ok(time)) => format!("{about}{time}"),
        Some(Err(_)) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_told_as_such() {
        let exact = PlannedExtent {
            records: 1_200,
            bytes: 3_000,
            is_exact: true,
            oldest_ms: Some(0),
            newest_ms: None,
            last: None,
        };
        let about = PlannedExtent {
            is_exact: false,
            ..exact.clone()
        };
        assert_eq!(
            PlannedExtent::cells(Some(&exact)),
            ["1,200", "2.9 KiB", "1970-01-01T00:00:00Z", "-"]
        );
        assert_eq!(
            PlannedExtent::cells(Some(&about))[..3],
            ["~1,200", "~2.9 KiB", "~1970-01-01T00:00:00Z"]
        );
        assert_eq!(PlannedExtent::cells(None)[0], "?");
        let rate = NonZeroU32::new(100);
        assert_eq!(
            in_all([&exact].into_iter(), rate),
            "Records in all: 1,200, 2.9 KiB\nAt 100 records a second that takes 12.0 s\n"
        );
        assert_eq!(
            in_all([&exact, &about].into_iter(), rate),
            "Records in all: about 2,400, about 5.9 KiB (~: by records here and there of each range)\n\
             At 100 records a second that takes about 24.0 s\n"
        );
    }
}
