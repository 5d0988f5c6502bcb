//! Records that Kafka deletes soon: a purge deletes the documents of all of its range first and reads them
//! after that, and what is gone by then comes back from nowhere.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::kafka::admin::{Admin, TopicPartition};
use isobar_operators::range::{self, Range, Retention, TopicSettings};
use isobar_topology::clock;

use super::document::PlanFile;
use super::held::ranges;
use super::purge::PURGE;
use crate::command::source::asking;
use crate::exit::Failure;
use crate::output::{number, time};

/// So long a purge and what holds it back may take: the live topology that is behind, an operator who has gone
/// home.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// How long before they are deleted records count as deleted soon: a day, and where they are kept for less than two,
/// half of that time.
fn soon_ms(kept_ms: i64) -> i64 {
    DAY_MS.min(kept_ms / 2)
}

/// Narrows the ranges of a purge that begin with records which go soon, as it is at `now_ms`, in ms since 1970.
/// Waits for the brokers.
pub(super) fn look(ranges: &mut [Range], admin: &Admin, now_ms: i64) -> Result<(), Failure> {
    let topics: BTreeSet<&str> = ranges.iter().map(|one| &*one.partition.topic).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    let settings = range::retentions(admin, &topics).map_err(asking)?;
    let times = times(ranges, &settings, now_ms);
    let first = admin.first_since(&times).map_err(asking)?;
    let first = first.into_iter().filter_map(|(partition, answer)| {
        Some((partition, answer.ok()?.map(|found| found.offset)))
    });
    warn(ranges, &settings, &first.collect());
    Ok(())
}

/// Why a plan that purges may not be begun any more, if so: its first records go soon by now. Waits for the brokers
/// where it purges.
pub(super) fn is_due(plan: &PlanFile, admin: &Admin) -> Result<Option<String>, Failure> {
    let ranges = ranges(plan)
        .into_iter()
        .map(|(partition, (from, to))| Range {
            partition,
            from,
            to,
            narrowed: Vec::new(),
            notes: Vec::new(),
        });
    let mut ranges: Vec<Range> = ranges.collect();
    if plan.target != PURGE || ranges.is_empty() {
        return Ok(None);
    }
    look(&mut ranges, admin, clock::unix_ms())?;
    Ok(due(&ranges))
}

/// What is said of the first range that is narrower than it was.
fn due(ranges: &[Range]) -> Option<String> {
    let mut narrowed = ranges.iter().filter_map(|range| {
        let why = range.narrowed.first()?;
        Some(format!(
            "{}/{}: {why}",
            range.partition.topic, range.partition.partition
        ))
    });
    narrowed.next()
}

/// Of which times the first record is to be asked for, in ms since 1970: what comes before it goes soon. Kafka
/// deletes by the newest record of a segment, so that old ones among new ones, as of a clock that is wrong, stay.
fn times(
    ranges: &[Range],
    topics: &BTreeMap<String, TopicSettings>,
    now_ms: i64,
) -> Vec<(TopicPartition, i64)> {
    let some = ranges.iter().filter(|range| !range.is_empty());
    let kept = some.filter_map(|range| match settings(range, topics).retention {
        Retention::After(kept_ms) => {
            let first_ms = now_ms.saturating_sub(kept_ms);
            Some((
                range.partition.clone(),
                first_ms.saturating_add(soon_ms(kept_ms)),
            ))
        }
        Retention::Unknown | Retention::Never => None,
    });
    kept.collect()
}

/// Narrows the ranges that begin before `first`, the offsets of the first records that are not deleted soon; none
/// where all are. They stay what they are. Notes where that is not known.
fn warn(
    ranges: &mut [Range],
    topics: &BTreeMap<String, TopicSettings>,
    first: &BTreeMap<TopicPartition, Option<i64>>,
) {
    for range in ranges.iter_mut().filter(|range| !range.is_empty()) {
        let topic = range.partition.topic.to_string();
        let settings = settings(range, topics);
        match (settings.retention, first.get(&range.partition)) {
            (Retention::After(kept_ms), Some(first)) => {
                let first = first.map_or(range.to, |first| first.min(range.to));
                if first > range.from {
                    let last = (range.from, first - 1);
                    range.narrowed.push(deleted_soon(&topic, last, soon_ms(kept_ms)));
                }
            }
            (Retention::Unknown, _) => range.notes.push(format!(
                "the configuration of topic {topic} cannot be seen, so when it deletes records is not known: what \
                 it deletes before it is read is lost, as its documents are deleted first"
            )),
            (Retention::After(_) | Retention::Never, _) => {}
        }
        if settings.bounded_by_size {
            range.notes.push(format!(
                "topic {topic} deletes records by size as well (retention.bytes): what it deletes before it is read \
                 is lost, as its documents are deleted first"
            ));
        }
    }
}

fn settings(range: &Range, topics: &BTreeMap<String, TopicSettings>) -> TopicSettings {
    let topic: &str = &range.partition.topic;
    topics.get(topic).copied().unwrap_or_default()
}

fn deleted_soon(topic: &str, (from, last): (i64, i64), within_ms: i64) -> String {
    format!(
        "Kafka may delete offsets {} to {} within {} (retention.ms of topic {topic}): their documents are deleted \
         first, and what is not read by then is lost for good; let the topic keep its records for longer, or take a \
         later --from",
        number(from.unsigned_abs()),
        number(last.unsigned_abs()),
        time(within_ms.unsigned_abs())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 60 * 60 * 1_000;
    const NOW_MS: i64 = 1_000 * DAY_MS;

    fn range(to: i64) -> Range {
        Range {
            partition: TopicPartition::new("logs", 0),
            from: 10,
            to,
            narrowed: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_plan_whose_first_records_go_soon_by_now_says_which() {
        let mut ranges = [range(20), range(20)];
        ranges[1].partition = TopicPartition::new("logs", 1);
        assert_eq!(due(&ranges), None);
        let topics = BTreeMap::from([("logs".to_owned(), kept_for(168))]);
        let first = [
            (ranges[0].partition.clone(), Some(3)),
            (ranges[1].partition.clone(), Some(15)),
        ];
        warn(&mut ranges, &topics, &BTreeMap::from(first));
        let why = due(&ranges).expect("five go");
        let start = "logs/1: Kafka may delete offsets 10 to 14 within 1 d ";
        assert!(why.starts_with(start), "{why}");
    }

    /// What is said of a range from 10 on where `first` is the first record that stays: what narrows it, and notes.
    fn said(
        settings: TopicSettings,
        first: Option<Option<i64>>,
        to: i64,
    ) -> (Vec<String>, Vec<String>) {
        let mut range = range(to);
        let topics = BTreeMap::from([("logs".to_owned(), settings)]);
        let first = first.map(|first| (range.partition.clone(), first));
        warn(
            std::slice::from_mut(&mut range),
            &topics,
            &first.into_iter().collect(),
        );
        assert_eq!((range.from, range.to), (10, to));
        (range.narrowed, range.notes)
    }

    fn kept_for(hours: i64) -> TopicSettings {
        TopicSettings {
            retention: Retention::After(hours * HOUR_MS),
            ..TopicSettings::default()
        }
    }

    #[test]
    fn what_is_deleted_within_a_day_is_not_purged_unasked() {
        let check = |kept_hours, first, expected: Option<&str>| {
            let (narrowed, notes) = said(kept_for(kept_hours), Some(first), 20);
            assert_eq!(notes, Vec::<String>::new());
            match expected {
                None => assert_eq!(narrowed, Vec::<String>::new()),
                Some(part) => assert!(narrowed[0].contains(part), "{narrowed:?}"),
            }
        };
        check(168, Some(10), None);
        check(168, Some(3), None);
        check(168, Some(15), Some("offsets 10 to 14 within 1 d "));
        check(168, None, Some("offsets 10 to 19 within 1 d "));
        check(168, Some(50), Some("offsets 10 to 19 "));
        // Of a topic that keeps little the younger half.
        check(12, Some(11), Some("offsets 10 to 10 within 6 h "));
    }

    #[test]
    fn the_first_record_is_asked_for_that_is_kept_for_a_day() {
        let asked = |settings: TopicSettings, to: i64| {
            let topics = BTreeMap::from([("logs".to_owned(), settings)]);
            let times = times(&[range(to)], &topics, NOW_MS).into_iter();
            times
                .map(|(_, ms)| (NOW_MS - ms) / HOUR_MS)
                .collect::<Vec<_>>()
        };
        assert_eq!(asked(kept_for(168), 20), [144]);
        assert_eq!(asked(kept_for(12), 20), [6]);
        assert!(asked(kept_for(168), 10).is_empty(), "there is no record");
        assert!(asked(TopicSettings::default(), 20).is_empty());
    }

    #[test]
    fn what_is_not_known_is_said_and_what_never_goes_is_not() {
        let never = TopicSettings {
            retention: Retention::Never,
            ..TopicSettings::default()
        };
        let none = (Vec::<String>::new(), Vec::<String>::new());
        assert_eq!(said(never, None, 20), none);
        assert_eq!(said(kept_for(168), None, 20), none, "no answer");
        assert_eq!(said(kept_for(168), Some(None), 10), none, "it is empty");
        let (narrowed, notes) = said(TopicSettings::default(), None, 20);
        assert_eq!((narrowed.len(), notes.len()), (0, 1));
        assert!(notes[0].contains("cannot be seen"), "{notes:?}");
        let by_size = TopicSettings {
            bounded_by_size: true,
            ..never
        };
        let (narrowed, notes) = said(by_size, None, 20);
        assert_eq!((narrowed.len(), notes.len()), (0, 1));
        assert!(notes[0].contains("retention.bytes"), "{notes:?}");
    }
}
