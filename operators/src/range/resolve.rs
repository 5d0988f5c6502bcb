//! From places to offsets: asks the brokers what each log holds, then decides.
//!
//! The deciding part, [`range`], is a function of the answers alone.

use std::collections::BTreeMap;

use isobar_topology::clock;

use super::{Place, Range};
use crate::kafka::admin::{Admin, Spec, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::lag::{Brokers, TopicSettings};

/// What the log of a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The first offset that exists.
    pub start: i64,
    /// The end for whoever reads as the spout does: before the first open transaction.
    pub end: i64,
    /// The end, open transactions included.
    pub high: i64,
}

/// Asks what the logs of these partitions hold. Fails when one of them gives no answer.
pub fn logs(
    admin: &Admin,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicPartition, Log>, Error> {
    let starts = ask(admin, partitions, Spec::Earliest)?;
    let ends = ask(admin, partitions, Spec::Latest)?;
    let highs = ask(admin, partitions, Spec::HighWatermark)?;
    let log = |partition: &TopicPartition| {
        let log = Log {
            start: *starts.get(partition)?,
            end: *ends.get(partition)?,
            high: *highs.get(partition)?,
        };
        Some((partition.clone(), log))
    };
    Ok(partitions.iter().filter_map(log).collect())
}

/// Asks when topics delete records. Those that may not be seen are left out.
pub fn retentions(
    admin: &Admin,
    topics: &[&str],
) -> Result<BTreeMap<String, TopicSettings>, Error> {
    Brokers::settings(admin, topics)
}

/// Fixes the range of each partition, at `now_ms`, in ms since 1970. Waits for a few answers of the brokers.
///
/// Fails when a partition gives no answer, or when the range ends before it starts.
pub fn ranges(
    admin: &Admin,
    partitions: &[TopicPartition],
    from: Place,
    to: Place,
    now_ms: i64,
) -> Result<Vec<Range>, Error> {
    if is_backwards(from, to, now_ms) {
        return Err(Error::Config(format!(
            "the range from {from} to {to} ends before it starts"
        )));
    }
    let first = found(admin, partitions, from, now_ms)?;
    let last = found(admin, partitions, to, now_ms)?;
    // After the offsets: what was found lies inside, unless it was deleted meanwhile.
    let logs = logs(admin, partitions)?;
    let each = logs.into_iter().map(|(partition, log)| {
        let bounds = [(from, &first), (to, &last)];
        let bounds = bounds.map(|(place, found)| Bound {
            place,
            found: found.get(&partition).copied(),
        });
        range(partition, log, bounds, now_ms)
    });
    Ok(each.collect())
}

/// The offset of a place in each partition, within its log. Beside the offset, why it is not the one
/// that was asked for, if so.
pub fn places(
    admin: &Admin,
    partitions: &[TopicPartition],
    place: Place,
) -> Result<Vec<(TopicPartition, i64, Option<String>)>, Error> {
    let now_ms = clock::unix_ms();
    let found = found(admin, partitions, place, now_ms)?;
    let logs = logs(admin, partitions)?;
    let each = logs.into_iter().map(|(partition, log)| {
        let bound = Bound {
            place,
            found: found.get(&partition).copied(),
        };
        let wanted = bound.wanted(log);
        let why = match wanted {
            _ if place.time(now_ms).is_some_and(|time| time > now_ms) => {
                Some("the time is in the future".to_owned())
            }
            offset if offset < log.start => Some(format!(
                "offset {offset} is gone: the log starts at {}",
                log.start
            )),
            offset if offset > log.end => Some(format!(
                "offset {offset} is beyond the end of the log, {}",
                log.end
            )),
            _ => None,
        };
        (partition, wanted.clamp(log.start, log.end), why)
    });
    Ok(each.collect())
}

fn is_backwards(from: Place, to: Place, now_ms: i64) -> bool {
    match (from, to) {
        (Place::Offset(from), Place::Offset(to)) => from > to,
        (Place::Now, Place::Earliest) => true,
        _ => match (from.time(now_ms), to.time(now_ms)) {
            (Some(from), Some(to)) => from > to,
            _ => false,
        },
    }
}

/// The offsets of a time, by partition; nothing for other places.
fn found(
    admin: &Admin,
    partitions: &[TopicPartition],
    place: Place,
    now_ms: i64,
) -> Result<BTreeMap<TopicPartition, i64>, Error> {
    match place.time(now_ms) {
        Some(ms) => ask(admin, partitions, Spec::Timestamp(ms)),
        None => Ok(BTreeMap::new()),
    }
}

fn ask(
    admin: &Admin,
    partitions: &[TopicPartition],
    spec: Spec,
) -> Result<BTreeMap<TopicPartition, i64>, Error> {
    known(admin.offsets(partitions, spec)?)
}

fn known(
    answers: Vec<crate::kafka::admin::PartitionAnswer<i64>>,
) -> Result<BTreeMap<TopicPartition, i64>, Error> {
    let each = answers.into_iter().map(|(partition, answer)| match answer {
        Ok(offset) => Ok((partition, offset)),
        Err(code) => Err(Error::Refused {
            what: format!(
                "asking for offsets of topic {}, partition {}",
                partition.topic, partition.partition
            ),
            code,
            text: code.to_string(),
        }),
    });
    each.collect()
}

/// An end of a range with what the brokers found for it.
#[derive(Clone, Copy)]
struct Bound {
    place: Place,
    /// The offset of its time.
    found: Option<i64>,
}

impl Bound {
    /// The offset, wherever it lies.
    fn wanted(self, log: Log) -> i64 {
        match self.place {
            Place::Earliest => log.start,
            Place::Now => log.end,
            Place::Offset(offset) => offset,
            Place::Time(_) | Place::Ago(_) => self.found.unwrap_or(log.end),
        }
    }
}

fn range(partition: TopicPartition, log: Log, [from, to]: [Bound; 2], now_ms: i64) -> Range {
    let (mut narrowed, mut notes) = (Vec::new(), Vec::new());
    let (first, last) = (from.wanted(log), to.wanted(log));
    if first < log.start {
        let gone = last.min(log.start) - 1;
        narrowed.push(format!(
            "offsets {first} to {gone} are gone: the log starts at {}",
            log.start
        ));
    }
    let of_time = from.place.time(now_ms).is_some();
    if of_time && first <= log.start && log.start > 0 {
        narrowed.push(format!(
            "the log starts at {}: what came before it is gone, and may have been of this time",
            log.start
        ));
    }
    if last > log.high {
        narrowed.push(format!(
            "offsets from {} on do not exist yet",
            log.high.max(first)
        ));
    } else if last > log.end {
        narrowed.push(format!(
            "offsets from {} on are held back by an open transaction",
            log.end.max(first)
        ));
    }
    if to.place == Place::Now && log.high > log.end {
        notes.push(format!(
            "offsets from {} on are held back by an open transaction",
            log.end
        ));
    }
    if to.place.time(now_ms).is_some_and(|ms| ms > now_ms) {
        narrowed.push("the range ends in the future; what comes later is not in it".to_owned());
    }
    let start = first.clamp(log.start, log.end);
    let end = last.clamp(start, log.end);
    if start == end && narrowed.is_empty() {
        notes.push(match of_time && first >= log.end {
            true => "empty: no record is of this time or later".to_owned(),
            false => "empty".to_owned(),
        });
    }
    Range {
        partition,
        from: start,
        to: end,
        narrowed,
        notes,
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::units::Duration;

    use super::*;

    const LOG: Log = Log {
        start: 100,
        end: 180,
        high: 200,
    };

    fn at(offset: i64) -> Bound {
        Bound {
            place: Place::Offset(offset),
            found: None,
        }
    }

    fn of_time(ms: i64, found: i64) -> Bound {
        Bound {
            place: Place::Time(ms),
            found: Some(found),
        }
    }

    fn word(place: Place) -> Bound {
        Bound { place, found: None }
    }

    /// Checks the offsets, and the beginnings of what is said.
    fn check(log: Log, bounds: [Bound; 2], offsets: (i64, i64), narrowed: &[&str], notes: &[&str]) {
        let range = range(TopicPartition::new("t", 0), log, bounds, 5_000);
        assert_eq!((range.from, range.to), offsets, "{range:?}");
        for (said, expected) in [(&range.narrowed, narrowed), (&range.notes, notes)] {
            assert_eq!(said.len(), expected.len(), "{range:?}");
            for (said, expected) in said.iter().zip(expected) {
                assert!(said.starts_with(expected), "{said}");
            }
        }
        assert_eq!(range.is_empty(), range.from == range.to);
    }

    #[test]
    fn ranges_inside_the_log_are_taken_as_they_are() {
        check(LOG, [at(100), at(180)], (100, 180), &[], &[]);
        check(LOG, [at(120), at(130)], (120, 130), &[], &[]);
        let whole = [word(Place::Earliest), word(Place::Now)];
        check(
            LOG,
            whole,
            (100, 180),
            &[],
            &["offsets from 180 on are held"],
        );
        let closed = Log { end: 200, ..LOG };
        check(closed, whole, (100, 200), &[], &[]);
        check(
            LOG,
            [of_time(1, 110), of_time(2, 150)],
            (110, 150),
            &[],
            &[],
        );
    }

    #[test]
    fn what_is_gone_is_said_with_its_offsets() {
        let gone = "offsets 40 to 99 are gone: the log starts at 100";
        check(LOG, [at(40), at(150)], (100, 150), &[gone], &[]);
        check(
            LOG,
            [at(40), at(60)],
            (100, 100),
            &["offsets 40 to 59 are gone"],
            &[],
        );
        let perhaps = "the log starts at 100: what came before";
        check(LOG, [of_time(1, 100), at(150)], (100, 150), &[perhaps], &[]);
        let never_cut = Log { start: 0, ..LOG };
        check(never_cut, [of_time(1, 0), at(150)], (0, 150), &[], &[]);
    }

    #[test]
    fn what_is_not_there_yet_is_said() {
        check(
            LOG,
            [at(150), at(250)],
            (150, 180),
            &["offsets from 200 on do not"],
            &[],
        );
        check(
            LOG,
            [at(150), at(190)],
            (150, 180),
            &["offsets from 180 on are held"],
            &[],
        );
        check(
            LOG,
            [at(300), at(400)],
            (180, 180),
            &["offsets from 300 on do not"],
            &[],
        );
        let future = "the range ends in the future";
        check(
            LOG,
            [at(150), of_time(6_000, 180)],
            (150, 180),
            &[future],
            &[],
        );
    }

    #[test]
    fn an_empty_range_says_so() {
        check(LOG, [at(150), at(150)], (150, 150), &[], &["empty"]);
        let after_all = [of_time(1, 180), word(Place::Now)];
        check(
            Log { high: 180, ..LOG },
            after_all,
            (180, 180),
            &[],
            &["empty: no record"],
        );
        // Timestamps need not rise with the offsets.
        check(
            LOG,
            [of_time(1, 150), of_time(2, 120)],
            (150, 150),
            &[],
            &["empty"],
        );
    }

    #[test]
    fn ranges_that_end_before_they_start_are_seen_before_anybody_is_asked() {
        let ago = |s| Place::Ago(Duration::secs(s));
        for (from, to, expected) in [
            (Place::Offset(2), Place::Offset(1), true),
            (Place::Offset(1), Place::Offset(1), false),
            (ago(1), ago(2), true),
            (ago(2), ago(1), false),
            (Place::Time(5_000), ago(1), true),
            (Place::Now, Place::Earliest, true),
            (Place::Earliest, Place::Now, false),
        ] {
            assert_eq!(is_backwards(from, to, 5_000), expected, "{from} {to}");
        }
    }
}
