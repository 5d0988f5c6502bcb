//! The questions that lag is made of, so that tests can answer them in the place of a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::kafka::admin::{Admin, Committed, PartitionAnswer, Spec, TopicPartition};
use crate::kafka::error::Error;

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970.
    pub ms: i64,
}

/// When a topic deletes records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// It could not be asked for.
    #[default]
    Unknown,
    /// Never by age.
    Never,
    /// When they are so old, in milliseconds; earlier where size deletes them first.
    After(i64),
}

/// What of a topic's configuration matters for lag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicSettings {
    /// When it deletes records.
    pub retention: Retention,
    /// Whether it deletes records by size, too: those beyond `retention.bytes` of a partition.
    pub bounded_by_size: bool,
    /// Whether brokers set the timestamps, so that they rise with the offsets.
    pub log_append_time: bool,
}

/// Who is asked about offsets; all calls wait, bounded.
pub trait Brokers {
    /// The last commits of the group, `None` when there is no group to ask for. Partitions without a
    /// commit are left out.
    fn committed(&self, partitions: &[TopicPartition]) -> Result<Option<Vec<Committed>>, Error>;

    /// One offset of each partition.
    fn offsets(
        &self,
        partitions: &[TopicPartition],
        spec: Spec,
    ) -> Result<Vec<PartitionAnswer<i64>>, Error>;

    /// The first record of each partition, in offset order, at or after a time in milliseconds since
    /// 1970; `None` where there is none.
    fn first_since(
        &self,
        partitions: &[(TopicPartition, i64)],
    ) -> Result<Vec<PartitionAnswer<Option<Found>>>, Error>;

    /// The settings of topics. Those that may not be seen are left out.
    fn settings(&self, topics: &[&str]) -> Result<BTreeMap<String, TopicSettings>, Error>;

    /// The leader of each partition of topics, `host:port` or [`NO_LEADER`](super::NO_LEADER). Topics that
    /// may not be seen are left out.
    fn leaders(&self, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Arc<str>>, Error>;
}

impl Brokers for Admin {
    fn committed(&self, partitions: &[TopicPartition]) -> Result<Option<Vec<Committed>>, Error> {
        Admin::committed(self, partitions)
    }

    fn offsets(
        &self,
        partitions: &[TopicPartition],
        spec: Spec,
    ) -> Result<Vec<PartitionAnswer<i64>>, Error> {
        Admin::offsets(self, partitions, spec)
    }

    fn first_since(
        &self,
        partitions: &[(TopicPartition, i64)],
    ) -> Result<Vec<PartitionAnswer<Option<Found>>>, Error> {
        Admin::first_since(self, partitions)
    }

    fn settings(&self, topics: &[&str]) -> Result<BTreeMap<String, TopicSettings>, Error> {
        let configurations = self.topic_configurations(topics)?;
        let settings = configurations
            .into_iter()
            .map(|(topic, entries)| (topic, TopicSettings::of(&entries)));
        Ok(settings.collect())
    }

    fn leaders(&self, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Arc<str>>, Error> {
        Admin::leaders(self, topics)
    }
}

impl TopicSettings {
    fn of(entries: &BTreeMap<String, String>) -> Self {
        let entry = |name: &str| entries.get(name).map(String::as_str);
        let deletes = entry("cleanup.policy").map(|policy| policy.contains("delete"));
        let number = |name: &str| entry(name).and_then(|text| text.parse::<i64>().ok());
        let (after, bytes) = (number("retention.ms"), number("retention.bytes"));
        Self {
            retention: match (deletes, after) {
                (Some(false), _) | (Some(true), Some(..0)) => Retention::Never,
                (Some(true), Some(ms)) => Retention::After(ms),
                _ => Retention::Unknown,
            },
            bounded_by_size: deletes == Some(true) && bytes.is_some_and(|bytes| bytes >= 0),
            log_append_time: entry("message.timestamp.type") == Some("LogAppendTime"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_topic_deletes_follows_from_its_configuration() {
        let check = |entries: &[(&str, &str)], retention, flags: [bool; 2]| {
            let [log_append_time, bounded_by_size] = flags;
            let entries = entries.iter();
            let entries = entries.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let expected = TopicSettings {
                retention,
                bounded_by_size,
                log_append_time,
            };
            assert_eq!(TopicSettings::of(&entries.collect()), expected);
        };
        check(&[], Retention::Unknown, [false, false]);
        check(
            &[("cleanup.policy", "delete"), ("retention.ms", "604800000")],
            Retention::After(604_800_000),
            [false, false],
        );
        check(
            &[
                ("cleanup.policy", "delete"),
                ("retention.ms", "604800000"),
                ("retention.bytes", "50000000000"),
            ],
            Retention::After(604_800_000),
            [false, true],
        );
        check(
            &[
                ("cleanup.policy", "compact,delete"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
                ("message.timestamp.type", "LogAppendTime"),
            ],
            Retention::Never,
            [true, false],
        );
        check(
            &[
                ("cleanup.policy", "compact"),
                ("retention.ms", "1"),
                ("retention.bytes", "1"),
            ],
            Retention::Never,
            [false, false],
        );
    }
}
