//! Brokers whose partitions a test writes down: timestamps, what was deleted, commits, open
//! transactions.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use super::brokers::{Brokers, Found, Retention, TopicSettings};
use crate::kafka::admin::{Committed, PartitionAnswer, RDKafkaErrorCode, Spec, TopicPartition};
use crate::kafka::error::Error;

/// A partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    timestamps: Vec<i64>,
    start: i64,
    /// Where an open transaction begins.
    stable: Option<i64>,
    committed: Option<(i64, String)>,
    append_time: bool,
    retention: Retention,
    bounded_by_size: bool,
    leader: Option<&'static str>,
    /// Nobody leads it, so nobody tells an offset.
    leaderless: bool,
}

impl Log {
    pub(super) fn new(timestamps: impl IntoIterator<Item = i64>) -> Self {
        Self {
            timestamps: timestamps.into_iter().collect(),
            ..Self::default()
        }
    }

    pub(super) fn append_time(mut self) -> Self {
        self.append_time = true;
        self
    }

    pub(super) fn committed(mut self, offset: i64, text: &str) -> Self {
        self.committed = Some((offset, text.to_owned()));
        self
    }

    pub(super) fn deleted_before(mut self, start: i64) -> Self {
        self.start = start;
        self
    }

    pub(super) fn open_transaction_at(mut self, offset: i64) -> Self {
        self.stable = Some(offset);
        self
    }

    pub(super) fn retention(mut self, ms: i64) -> Self {
        self.retention = Retention::After(ms);
        self
    }

    pub(super) fn kept_for_ever(mut self) -> Self {
        self.retention = Retention::Never;
        self
    }

    pub(super) fn bounded_by_size(mut self) -> Self {
        self.bounded_by_size = true;
        self
    }

    pub(super) fn led_by(mut self, leader: &'static str) -> Self {
        self.leader = Some(leader);
        self
    }

    pub(super) fn leaderless(mut self) -> Self {
        self.leaderless = true;
        self
    }

    fn offset(&self, spec: Spec) -> Result<i64, RDKafkaErrorCode> {
        if self.leaderless {
            return Err(RDKafkaErrorCode::LeaderNotAvailable);
        }
        let end = self.timestamps.len() as i64;
        Ok(match spec {
            Spec::Earliest => self.start,
            Spec::Latest => self.stable.unwrap_or(end),
            Spec::HighWatermark => end,
            Spec::Timestamp(ms) => self.first_since(ms).map_or(end, |found| found.offset),
        })
    }

    fn first_since(&self, ms: i64) -> Option<Found> {
        let records = self.timestamps.iter().enumerate();
        let records = records.map(|(offset, ms)| Found {
            offset: offset as i64,
            ms: *ms,
        });
        let mut readable = records.filter(|record| record.offset >= self.start);
        readable.find(|record| record.ms >= ms)
    }
}

/// Brokers that answer from logs, or not at all.
#[derive(Default)]
pub(super) struct Scripted {
    pub(super) logs: RefCell<BTreeMap<TopicPartition, Log>>,
    pub(super) away: RefCell<bool>,
    /// Of offsets they tell starts and ends only, and find no record by its time.
    pub(super) tell_little: Cell<bool>,
    /// How long they take to find records by their time; on a clock that stands still otherwise.
    pub(super) find_within: Cell<Duration>,
    /// With each question a record comes, the group commits behind it, and what lies before is deleted.
    pub(super) purge: Cell<bool>,
    /// So often.
    pub(super) asked_for_leaders: Cell<u32>,
    /// So many questions for records by their time.
    pub(super) asked_for_times: Cell<u32>,
}

impl Scripted {
    pub(super) fn of(logs: impl IntoIterator<Item = (TopicPartition, Log)>) -> Self {
        Self {
            logs: RefCell::new(logs.into_iter().collect()),
            ..Self::default()
        }
    }

    fn answer<T>(
        &self,
        answer: impl FnOnce(&BTreeMap<TopicPartition, Log>) -> T,
    ) -> Result<T, Error> {
        if *self.away.borrow() {
            return Err(Error::Config("the brokers are away".to_owned()));
        }
        let answered = answer(&self.logs.borrow());
        if self.purge.get() {
            for log in self.logs.borrow_mut().values_mut() {
                log.timestamps.push(0);
                log.start = log.timestamps.len() as i64;
                log.committed = Some((log.start, String::new()));
            }
        }
        Ok(answered)
    }

    /// Fails while they tell little.
    fn more_than_little(&self) -> Result<(), Error> {
        match self.tell_little.get() {
            true => Err(Error::Config("the brokers are slow".to_owned())),
            false => Ok(()),
        }
    }
}

impl Brokers for Scripted {
    fn committed(&self, partitions: &[TopicPartition]) -> Result<Option<Vec<Committed>>, Error> {
        self.answer(|logs| {
            let commits = partitions.iter().filter_map(|partition| {
                let (offset, text) = logs.get(partition)?.committed.clone()?;
                Some(Committed {
                    partition: partition.clone(),
                    offset,
                    metadata: Some(text),
                })
            });
            Some(commits.collect())
        })
    }

    fn offsets(
        &self,
        partitions: &[TopicPartition],
        spec: Spec,
    ) -> Result<Vec<PartitionAnswer<i64>>, Error> {
        if spec == Spec::HighWatermark && !partitions.is_empty() {
            self.more_than_little()?;
        }
        self.answer(|logs| {
            let answers = partitions.iter();
            let answers = answers.map(|one| (one.clone(), logs[one].offset(spec)));
            answers.collect()
        })
    }

    fn first_since(
        &self,
        partitions: &[(TopicPartition, i64)],
    ) -> Result<Vec<PartitionAnswer<Option<Found>>>, Error> {
        self.asked_for_times.set(self.asked_for_times.get() + 1);
        self.more_than_little()?;
        if !self.find_within.get().is_zero() {
            // The first poll moves the clock.
            let _ = tokio::time::advance(self.find_within.get()).now_or_never();
        }
        self.answer(|logs| {
            let answers = partitions.iter();
            let answers = answers.map(|(one, ms)| (one.clone(), Ok(logs[one].first_since(*ms))));
            answers.collect()
        })
    }

    fn settings(&self, topics: &[&str]) -> Result<BTreeMap<String, TopicSettings>, Error> {
        self.answer(|logs| {
            let known = logs.iter();
            let known = known.filter(|(partition, _)| topics.contains(&&*partition.topic));
            let settings = known.map(|(partition, log)| {
                let settings = TopicSettings {
                    retention: log.retention,
                    bounded_by_size: log.bounded_by_size,
                    log_append_time: log.append_time,
                };
                (partition.topic.to_string(), settings)
            });
            settings.collect()
        })
    }

    fn leaders(&self, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Arc<str>>, Error> {
        self.asked_for_leaders.set(self.asked_for_leaders.get() + 1);
        self.answer(|logs| {
            let known = logs.iter();
            let known = known.filter(|(partition, _)| topics.contains(&&*partition.topic));
            let led = known.filter_map(|(partition, log)| {
                let leader = log.leader?;
                Some((partition.clone(), leader.into()))
            });
            led.collect()
        })
    }
}
