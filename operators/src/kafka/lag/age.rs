//! How old the first record is that nobody has read: found by asking brokers which record is the first
//! at or after a time, without reading the topic.
//!
//! Right where timestamps rise with the offsets, as with `LogAppendTime`; elsewhere an estimate, and
//! called that.

mod search;

use std::collections::BTreeMap;
use std::time::Duration;

use isobar_topology::clock;

use super::brokers::Brokers;
use super::sample::{Ages, Sample};
use crate::kafka::admin::TopicPartition;
use crate::kafka::error::Error;
use search::Search;

pub(super) use search::Bounds;

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
        let new = Search::new(partition.clone(), offset, sample.end);
        searches.push(match (answered(sample), known) {
            (Some(ms), _) => new.just_after(ms),
            (None, Some(known)) => new.going_on_from(known, now_ms),
            (None, None) => new,
        });
    }
    let searched = search(brokers, &mut searches, now_ms);
    for search in searches {
        match search.bounds() {
            Some(bounds) => drop(ages.found.insert(search.partition, bounds)),
            None => drop(ages.found.remove(&search.partition)),
        }
    }
    for (partition, sample) in samples {
        let offset = wanted(sample);
        let found = ages.found.get(partition);
        let settings = ages.settings.get(&*partition.topic);
        let unread = found.map(|found| Unread {
            offset: found.offset,
            ms: found.not_before_ms,
            rises: settings.is_some_and(|settings| settings.log_append_time),
        });
        sample.unread = unread.filter(|unread| offset == Some(unread.offset));
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

    /// A group of others that is asked about again and again.
    struct Stranger {
        partition: TopicPartition,
        brokers: Scripted,
        ages: Ages,
        step_ms: i64,
    }

    impl Stranger {
        /// A record each `step_ms`, from two hours before to one after.
        fn new(step_ms: i64) -> Self {
            let partition = TopicPartition::new("logs", 0);
            let times = (NOW - 7_200_000..NOW + 3_600_000).step_by(step_ms as usize);
            let log = Log::new(times).append_time();
            Self {
                brokers: Scripted::of([(partition.clone(), log)]),
                partition,
                ages: Ages::default(),
                step_ms,
            }
        }

        /// So many questions it takes to find the age, at a time, of the record that came at another one: to a
        /// second or a hundredth of it.
        fn questions(&mut self, now_ms: i64, came_ms: i64) -> u32 {
            let offset = |ms: i64| (ms - NOW + 7_200_000) / self.step_ms;
            let truth = now_ms - (NOW - 7_200_000 + offset(came_ms) * self.step_ms);
            let sample = Sample {
                committed: Some(offset(came_ms)),
                start: Some(0),
                end: Some(offset(now_ms) + 1),
                ..Sample::default()
            };
            let mut samples = BTreeMap::from([(self.partition.clone(), sample)]);
            let before = self.brokers.asked_for_times.get();
            find(&self.brokers, &mut samples, &mut self.ages, now_ms).expect("they answer");
            let unread = samples[&self.partition].unread.expect("it is found");
            let age = now_ms - unread.ms;
            let margin = (age / 100).max(1_000);
            assert!(
                (truth..=truth + margin).contains(&age),
                "{age} is not {truth}"
            );
            self.brokers.asked_for_times.get() - before
        }
    }

    #[test]
    fn while_a_group_gets_on_what_was_found_tells_the_ages_of_more_rounds() {
        /// At first it is `behind`, then it reads so many times as fast as records come. A minute of rounds is
        /// asked for so many times at most.
        fn check(step_ms: i64, behind_ms: i64, speed: f64, most: u32) {
            let mut stranger = Stranger::new(step_ms);
            let mut round = |number: i64| {
                let passed = number * 5_000;
                let came_ms = NOW - behind_ms + (passed as f64 * speed) as i64;
                stranger.questions(NOW + passed, came_ms)
            };
            let first = round(0) + round(1);
            let asked: Vec<u32> = (2..=61).map(round).collect();
            let all: u32 = asked.iter().sum();
            assert!(
                all <= most * 5,
                "{behind_ms} behind: {first}, then {all}: {asked:?}"
            );
        }
        check(1_000, 3_600_000, 2.0, 5);
        check(1_000, 3_600_000, 0.9, 2);
        check(1_000, 3_600_000, 6.0, 20);
        check(100, 60_000, 1.0, 26);
        check(100, 3_000, 1.0, 26);
    }

    #[test]
    fn a_group_that_was_put_back_or_far_ahead_is_looked_for_anew() {
        let mut stranger = Stranger::new(1_000);
        let ages = [3_600_000, 7_100_000, 10_000, 3_000_000, 0];
        for age in ages {
            let asked = stranger.questions(NOW, NOW - age);
            assert!(asked <= QUESTIONS_MAX as u32, "{age}: {asked}");
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
