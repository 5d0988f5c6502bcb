//! Records that Kafka deletes soon: a purge deletes the documents of all of its range first and reads them
//! after that, and what is gone by then comes back from nowhere.

use std::collections::BTreeMap;

use isobar_operators::range::{Extent, Range, Retention, TopicSettings};

use crate::output::time;

/// So long a purge and what holds it back may take: the live topology that is behind, an operator who has gone
/// home.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Narrows the ranges whose oldest records are deleted within a day of `now_ms`, or, where records are kept for less
/// than two, within half of that time; they stay what they are. Notes where that is not known.
pub(super) fn warn(
    ranges: &mut [Range],
    extents: &[Extent],
    topics: &BTreeMap<String, TopicSettings>,
    now_ms: i64,
) {
    for (range, extent) in ranges.iter_mut().zip(extents) {
        let topic = range.partition.topic.to_string();
        let settings = topics.get(&topic).copied().unwrap_or_default();
        if range.is_empty() {
            continue;
        }
        match (settings.retention, extent.oldest_ms) {
            (Retention::After(kept_ms), Some(oldest_ms)) => {
                let left_ms = oldest_ms.saturating_add(kept_ms).saturating_sub(now_ms);
                if left_ms < DAY_MS.min(kept_ms / 2) {
                    range.narrowed.push(deleted_soon(&topic, left_ms));
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

fn deleted_soon(topic: &str, left_ms: i64) -> String {
    let when = match u64::try_from(left_ms) {
        Ok(left_ms) if left_ms > 0 => format!("in {}", time(left_ms)),
        _ => "at any moment".to_owned(),
    };
    format!(
        "Kafka may delete the oldest of these records {when} (retention.ms of topic {topic}): their documents are \
         deleted first, and what is not read by then is lost for good; let the topic keep its records for longer, or \
         take a later --from"
    )
}

#[cfg(test)]
mod tests {
    use isobar_operators::kafka::admin::TopicPartition;

    use super::*;

    const HOUR_MS: i64 = 60 * 60 * 1_000;
    const NOW_MS: i64 = 1_000 * DAY_MS;

    /// What is said of a range whose oldest record is so old: what narrows it, and notes.
    fn said(settings: TopicSettings, hours: Option<i64>, to: i64) -> (Vec<String>, Vec<String>) {
        let mut range = Range {
            partition: TopicPartition::new("logs", 0),
            from: 10,
            to,
            narrowed: Vec::new(),
            notes: Vec::new(),
        };
        let extent = Extent {
            oldest_ms: hours.map(|hours| NOW_MS - hours * HOUR_MS),
            ..Extent::default()
        };
        let topics = BTreeMap::from([("logs".to_owned(), settings)]);
        warn(std::slice::from_mut(&mut range), &[extent], &topics, NOW_MS);
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
        let check = |kept_hours, old_hours: i64, expected: Option<&str>| {
            let (narrowed, notes) = said(kept_for(kept_hours), Some(old_hours), 20);
            assert_eq!(notes, Vec::<String>::new());
            match expected {
                None => assert_eq!(narrowed, Vec::<String>::new()),
                Some(part) => assert!(narrowed[0].contains(part), "{narrowed:?}"),
            }
        };
        check(168, 144, None);
        check(168, 145, Some(" in 23 h"));
        check(168, 170, Some(" at any moment "));
        // Of a topic that keeps little the younger half.
        check(12, 6, None);
        check(12, 7, Some(" in 5 h"));
    }

    #[test]
    fn what_is_not_known_is_said_and_what_never_goes_is_not() {
        let never = TopicSettings {
            retention: Retention::Never,
            ..TopicSettings::default()
        };
        let none = (Vec::<String>::new(), Vec::<String>::new());
        assert_eq!(said(never, Some(5_000), 20), none);
        assert_eq!(said(kept_for(168), None, 20), none, "no record was found");
        assert_eq!(said(kept_for(168), Some(200), 10), none, "it is empty");
        let (narrowed, notes) = said(TopicSettings::default(), Some(1), 20);
        assert_eq!((narrowed.len(), notes.len()), (0, 1));
        assert!(notes[0].contains("cannot be seen"), "{notes:?}");
        let by_size = TopicSettings {
            bounded_by_size: true,
            ..never
        };
        let (narrowed, notes) = said(by_size, Some(1), 20);
        assert_eq!((narrowed.len(), notes.len()), (0, 1));
        assert!(notes[0].contains("retention.bytes"), "{notes:?}");
    }
}
