//! How old the first record is that nobody has read: found by asking brokers which record is the first
//! at or after a time, without reading the topic.
//!
//! Right where timestamps rise with the offsets, as with `LogAppendTime`; elsewhere an estimate, and
//! called that.

use std::collections::BTreeMap;
use std::time::Duration;

use isobar_topology::clock;

use super::brokers::{Brokers, Found};
use super::sample::{Ages, Sample};
use crate::kafka::admin::TopicPartition;
use crate::kafka::error::Error;

/// The time of a record that was found by its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The record's offset.
    pub offset: i64,
    /// Its timestamp, or one before it, in milliseconds since 1970.
    pub ms: i64,
    /// Whether timestamps rise with the offsets, so that the record is not older than that.
    pub rises: bool,
}

/// Questions for one age at most. Each takes one request to each broker, for all partitions at once;
/// halving the logarithm of an age between a second and 50 years to 1 % takes 11.
const QUESTIONS_MAX: usize = 14;
/// An age need not be known better than this, in milliseconds, nor better than 1 %.
const GOOD_ENOUGH_MS: i64 = 1_000;

/// Looking for ages may take so long in all, and the question that is asked then: figures of the same round
/// wait for it, and one question may take seconds where old segments lie elsewhere.
const SEARCH_MAX: Duration = Duration::from_secs(10);

/// Enters the time of the first unanswered record where neither a running spout nor the commit tells
/// it. Waits for the answers.
///
/// Fails when the brokers do not answer in time; what was not found by then is not known.
pub(super) fn find(
    brokers: &dyn Brokers,
    samples: &mut BTreeMap<TopicPartition, Sample>,
    ages: &mut Ages,
    now_ms: i64,
) -> Result<(), Error> {
    ages.settings_of(brokers, samples);
    ages.found
        .retain(|partition, _| samples.contains_key(partition));
    let mut searches = Vec::new();
    for (partition, sample) in &*samples {
        let Some(offset) = wanted(sample) else {
            continue;
        };
        let known = ages.found.get(partition);
        if known.is_some_and(|known| known.offset == offset) {
            continue;
        }
        let settings = ages.settings.get(&*partition.topic);
        searches.push(Search {
            partition: partition.clone(),
            offset,
            rises: settings.is_some_and(|settings| settings.log_append_time),
            // The record before it was not younger.
            after_ms: answered(sample).or(known.filter(|k| k.offset < offset).map(|k| k.ms)),
            before_ms: now_ms + 1,
            asked: false,
            done: false,
        });
    }
    let searched = search(brokers, &mut searches, now_ms);
    for search in searches {
        let unread = search.after_ms.map(|ms| Unread {
            offset: search.offset,
            ms,
            rises: search.rises,
        });
        match unread {
            Some(unread) => drop(ages.found.insert(search.partition, unread)),
            None => drop(ages.found.remove(&search.partition)),
        }
    }
    for (partition, sample) in samples {
        let offset = wanted(sample);
        let found = ages.found.get(partition).copied();
        sample.unread = found.filter(|found| offset == Some(found.offset));
    }
    searched
}

/// Asks until all are found, or given up.
fn search(brokers: &dyn Brokers, searches: &mut [Search], now_ms: i64) -> Result<(), Error> {
    let due = clock::now() + SEARCH_MAX;
    for _ in 0..QUESTIONS_MAX {
        let open: Vec<&mut Search> = searches.iter_mut().filter(|search| !search.done).collect();
        if open.is_empty() {
            break;
        }
        let questions: Vec<(TopicPartition, i64)> = open
            .iter()
            .map(|search| (search.partition.clone(), search.question(now_ms)))
            .collect();
        let answers = match clock::now() < due {
            true => brokers.first_since(&questions),
            false => Err(Error::TimedOut {
                what: "looking for the age of records".to_owned(),
                within: SEARCH_MAX,
                brokers: None,
                cause: None,
            }),
        };
        let mut answers: BTreeMap<TopicPartition, _> = match answers {
            Ok(answers) => answers.into_iter().collect(),
            Err(error) => {
                open.into_iter().for_each(Search::give_up);
                return Err(error);
            }
        };
        for (search, (partition, asked_ms)) in open.into_iter().zip(questions) {
            match answers.remove(&partition) {
                Some(Ok(found)) => search.take(asked_ms, found, now_ms),
                Some(Err(_)) | None => search.give_up(),
            }
        }
    }
    Ok(())
}

/// The offset whose record's time must be looked for, if any.
fn wanted(sample: &Sample) -> Option<i64> {
    let known = match sample.progress {
        Some(progress) => progress.in_flight > 0,
        None => sample.committed_ms().is_some(),
    };
    if known || sample.lag().is_none_or(|lag| lag == 0) {
        return None;
    }
    Some(sample.done()?.max(sample.start?))
}

/// The time of the last record that was answered.
fn answered(sample: &Sample) -> Option<i64> {
    let ms = match sample.progress {
        Some(progress) => progress.answered_ms,
        None => sample.metadata.as_ref()?.last_ms,
    };
    ms.filter(|ms| *ms >= 0)
}

/// The search for the time of one record.
struct Search {
    partition: TopicPartition,
    offset: i64,
    rises: bool,
    /// The record is not older than this; unknown at first.
    after_ms: Option<i64>,
    /// It is older than this.
    before_ms: i64,
    /// Whether the first question was answered.
    asked: bool,
    done: bool,
}

impl Search {
    /// The time to ask for: first just after what is known, since few records share a millisecond;
    /// then the middle of the possible ages, as ratios.
    fn question(&self, now_ms: i64) -> i64 {
        match self.after_ms {
            None => 0,
            Some(ms) if !self.asked => ms + 1,
            Some(ms) => {
                let oldest = age(now_ms, ms) + GOOD_ENOUGH_MS as f64;
                let youngest = age(now_ms, self.before_ms) + GOOD_ENOUGH_MS as f64;
                let middle = (oldest * youngest).sqrt() - GOOD_ENOUGH_MS as f64;
                now_ms - middle as i64
            }
        }
    }

    fn take(&mut self, asked_ms: i64, found: Option<Found>, now_ms: i64) {
        let first = !self.asked;
        self.asked = true;
        match found {
            Some(found) if found.offset == self.offset => {
                self.after_ms = (found.ms >= 0).then_some(found.ms);
                self.done = true;
            }
            Some(found) if found.offset < self.offset => {
                let known = self.after_ms.unwrap_or(0);
                self.after_ms = Some(known.max(found.ms).max(asked_ms));
            }
            // No record from ours on is so young. Just after the last answered one: then it has its time.
            _ => {
                self.before_ms = asked_ms;
                self.done = first;
            }
        }
        let Some(after_ms) = self.after_ms else {
            return;
        };
        let open = age(now_ms, after_ms) - age(now_ms, self.before_ms);
        let enough = (GOOD_ENOUGH_MS as f64).max(age(now_ms, after_ms) / 100.0);
        self.done |= open <= enough;
    }

    fn give_up(&mut self) {
        self.after_ms = None;
        self.done = true;
    }
}

fn age(now_ms: i64, ms: i64) -> f64 {
    (now_ms - ms).max(0) as f64
}

impl Ages {
    /// Asks for the settings of topics that are not known. Without the permission to see them nothing
    /// is known of them, which is no failure.
    fn settings_of(&mut self, brokers: &dyn Brokers, samples: &BTreeMap<TopicPartition, Sample>) {
        let mut topics: Vec<&str> = samples
            .keys()
            .map(|partition| &*partition.topic)
            .filter(|topic| !self.settings.contains_key(*topic))
            .collect();
        topics.dedup();
        if topics.is_empty() {
            return;
        }
        let found = brokers.settings(&topics).unwrap_or_default();
        for topic in topics {
            let settings = found.get(topic).copied().unwrap_or_default();
            let _ = self.settings.insert(topic.to_owned(), settings);
        }
    }

    /// Forgets the settings of topics, which may have changed.
    pub(super) fn ask_for_settings_again(&mut self) {
        self.settings.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Log, Scripted};
    use super::*;
    use crate::kafka::lag::{Exactness, sample};

    const NOW: i64 = 1_000_000_000_000;

    /// The age that is found in a partition of records with these timestamps, committed up to
    /// `committed` with this text.
    fn found(log: Log, committed: i64, text: &str) -> Option<(i64, Exactness)> {
        let partition = TopicPartition::new("logs", 0);
        let brokers = Scripted::of([(partition.clone(), log.committed(committed, text))]);
        let none = BTreeMap::new;
        let mut ages = Ages::default();
        let taken = sample(
            &brokers,
            std::slice::from_ref(&partition),
            false,
            &none,
            &mut ages,
        );
        let mut samples = taken.expect("they answer").partitions;
        // The round used the real time; what counts is the age now.
        ages.found.clear();
        find(&brokers, &mut samples, &mut ages, NOW).expect("they answer");
        let unread = samples[&partition].unread?;
        Some((NOW - unread.ms, Exactness::by_order(unread.rises)))
    }

    #[test]
    fn a_topic_that_was_quiet_when_the_group_stopped_tells_the_age_of_what_came_since() {
        // The last answered record is 5 hours old, the first one after it 2 s.
        let log = || Log::new([NOW - 18_000_000, NOW - 2_000, NOW - 1_000]);
        let text = format!("isobar1;l={}", NOW - 18_000_000);
        assert_eq!(
            found(log().append_time(), 1, &text),
            Some((2_000, Exactness::UpperBound))
        );
        assert_eq!(found(log(), 1, &text), Some((2_000, Exactness::Sampled)));
        assert_eq!(found(log(), 3, &text), None, "nothing is open");
    }

    #[test]
    fn records_of_the_same_millisecond_have_its_age() {
        let log = Log::new([NOW - 9_000; 4]).append_time();
        let text = format!("isobar1;l={}", NOW - 9_000);
        assert_eq!(found(log, 2, &text), Some((9_000, Exactness::UpperBound)));
    }

    #[test]
    fn without_any_text_the_age_is_found_to_a_second_or_a_hundredth() {
        for committed in [0, 1, 37, 500, 998, 999] {
            // One record each 7 minutes, the last one now.
            let log = Log::new((0..1_000).map(|n| NOW - (999 - n) * 420_000)).append_time();
            let truth = (999 - committed) * 420_000;
            let (age, exactness) = found(log, committed, "").expect("it is found");
            assert_eq!(exactness, Exactness::UpperBound);
            let margin = (truth / 100).max(1_000);
            assert!(
                (truth..=truth + margin).contains(&age),
                "{committed}: {age} is not {truth}"
            );
        }
    }

    #[test]
    fn what_was_deleted_does_not_count() {
        let log = Log::new([NOW - 9_000, NOW - 8_000, NOW - 7_000]).append_time();
        let log = log.deleted_before(2);
        assert_eq!(found(log, 0, ""), Some((7_000, Exactness::UpperBound)));
    }

    #[test]
    fn a_record_without_time_has_no_age() {
        assert_eq!(found(Log::new([-1, -1]), 0, ""), None);
    }
}
