//! The options of the spout and the consumer that follows from them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use isobar_topology::spec::units::{ByteSize, Duration};
use isobar_topology::spec::{Path, Problem, Problems};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::kafka::connection::{KafkaConnection, Setting, settings};
use crate::kafka::{ConsumerConfig, GroupProtocol, StartPolicy};

/// Reads topics of a Kafka cluster as one member of a consumer group.
///
/// Each lane of the topology reads its own partitions. An offset is committed when every record
/// before it is answered, so a crash repeats records and loses none. Lag reaches 0 at the end of
/// the topics, past transaction markers too. Records that were deleted at the broker before they
/// were read are counted as `lost`, and reading goes on at the first record that exists.
///
/// A partition is *held*, and the health says so, when its committed offset is beyond the end of
/// the log or belongs to a topic of the same name that was deleted: reading on would be a guess.
/// Stop the topology, reset the group's offsets, start again.
///
/// Moves the metrics of the accounting (`read`, `delivered`, …, `lost`) and of lag.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// The cluster: a connection of type `kafka`.
    pub connection: String,
    /// Topics by name. A text that starts with `^` is a pattern (POSIX extended regular
    /// expression); topics that match it later are found within five minutes.
    #[schemars(length(min = 1))]
    pub topics: Vec<String>,
    /// The consumer group. Default: the topology's name.
    #[serde(default)]
    pub group: Option<String>,
    /// Where a partition starts for which the group has committed nothing: `earliest`, `latest`, or
    /// the first record at or after a time such as `2026-01-31T00:00:00Z`.
    pub start: StartAt,
    /// Who decides which member reads what: `classic` (the members, cooperatively; all brokers) or
    /// `consumer` (the brokers, KIP-848; Kafka 4.0 or later). Default classic.
    #[serde(default)]
    pub group_protocol: GroupProtocol,
    /// A fixed name of this member, different on each replica: a restart within the session
    /// time-out then moves no partition. Default: none.
    #[serde(default)]
    pub group_instance_id: Option<String>,
    /// Records of one batch at most, from 1 to 10000. Default 1000.
    #[serde(default = "batch_records_max")]
    #[schemars(range(min = 1, max = 10000))]
    pub batch_records_max: usize,
    /// Bytes of keys and values of one batch at most; a larger record is a batch of its own. From 1KiB
    /// to 256MiB. Default 1MiB.
    #[serde(default = "batch_bytes_max")]
    pub batch_bytes_max: ByteSize,
    /// Between two commits: what is repeated after a crash. From 100ms to 1h. Default 2s.
    #[serde(default = "commit_interval")]
    pub commit_interval: Duration,
    /// How long partitions that go to another member wait for answers of records in flight. The
    /// whole group waits meanwhile; what is not answered is read again there. From 0ms to 30s. Default
    /// 500ms.
    #[serde(default = "revoke_drain_timeout")]
    pub revoke_drain_timeout: Duration,
    /// Records in flight at most, over all lanes; at this bound reading waits. Default 100000.
    #[serde(default = "max_in_flight_records")]
    #[schemars(range(min = 1, max = 100000000))]
    pub max_in_flight_records: usize,
    /// Bytes in flight at most, over all lanes; at this bound reading waits. One batch for each
    /// lane may come on top. From 1KiB to 1024GiB. Default 48MiB.
    #[serde(default = "max_in_flight_bytes")]
    pub max_in_flight_bytes: ByteSize,
    /// Records of one partition that may be read beyond its oldest one without an answer: what a
    /// crash repeats at most. At this bound the lane of the partition waits. Default 1000000.
    #[serde(default = "max_uncommitted")]
    #[schemars(range(min = 1, max = 1000000000))]
    pub max_uncommitted: usize,
    /// Bytes that the client holds of records that are fetched and not read yet, over all lanes. From
    /// 1MiB to 1024GiB; where that is less than 1MiB for each lane, each has 1MiB. Default 24MiB.
    #[serde(default = "queue_size")]
    pub queue_size: ByteSize,
    /// What becomes of tombstones, records without a value: `drop` drops them under the policy
    /// `<id>.tombstone`, `pass` hands them on, and parsers reject them. Default drop.
    #[serde(default)]
    pub on_tombstone: OnTombstone,
    /// Settings of librdkafka for this spout, on top of those of the connection, such as
    /// `{fetch.min.bytes: 100000}`. Settings that Isobar owns are refused with the option to use.
    #[serde(default, deserialize_with = "settings")]
    #[schemars(with = "BTreeMap<String, Setting>")]
    pub options: BTreeMap<String, String>,
}

impl KafkaConfig {
    /// The group, by default of the topology's name.
    pub(crate) fn group<'a>(&'a self, topology: &'a str) -> &'a str {
        self.group.as_deref().unwrap_or(topology)
    }

    /// Values that are not in their range.
    pub(crate) fn out_of_range(&self, path: &Path) -> Problems {
        let at = |option: &str| path.key(option);
        let kib = ByteSize::bytes(1 << 10);
        let sizes = [
            (
                "batch_bytes_max",
                self.batch_bytes_max,
                kib,
                ByteSize::mib(256),
            ),
            (
                "max_in_flight_bytes",
                self.max_in_flight_bytes,
                kib,
                ByteSize::mib(1 << 20),
            ),
            (
                "queue_size",
                self.queue_size,
                ByteSize::mib(1),
                ByteSize::mib(1 << 20),
            ),
        ];
        let times = [
            (
                "commit_interval",
                self.commit_interval,
                Duration::millis(100),
                Duration::secs(3_600),
            ),
            (
                "revoke_drain_timeout",
                self.revoke_drain_timeout,
                Duration::millis(0),
                Duration::secs(30),
            ),
        ];
        let mut problems = Problems::default();
        problems.extend(sizes.map(|(option, value, least, most)| {
            Problem::out_of_range(at(option), value, least, most)
        }));
        problems.extend(times.map(|(option, value, least, most)| {
            Problem::out_of_range(at(option), value, least, most)
        }));
        problems
    }

    /// What the client layer needs.
    pub(crate) fn consumer(&self, connection: KafkaConnection, topology: &str) -> ConsumerConfig {
        ConsumerConfig {
            connection,
            group: self.group(topology).to_owned(),
            topics: self.topics.clone(),
            start: self.start.0,
            protocol: self.group_protocol,
            instance_id: self.group_instance_id.clone(),
            queue_size: self.queue_size.get() as u64,
            revoke_drain_timeout: self.revoke_drain_timeout.get(),
            options: self.options.clone(),
            fixed: None,
        }
    }
}

/// What becomes of records without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnTombstone {
    /// They are dropped, by name.
    #[default]
    Drop,
    /// They go on like other records.
    Pass,
}

/// Where a partition starts, as a topology file says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartAt(pub(crate) StartPolicy);

impl<'de> Deserialize<'de> for StartAt {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let policy = match text.as_str() {
            "earliest" => StartPolicy::Earliest,
            "latest" => StartPolicy::Latest,
            time => match time.parse::<jiff::Timestamp>() {
                Ok(time) => StartPolicy::Timestamp(time.as_millisecond()),
                Err(_) => {
                    return Err(serde::de::Error::custom(format!(
                        "{text:?} is no start: write earliest, latest, or a time with its zone such as 2026-01-31T00:00:00Z"
                    )));
                }
            },
        };
        Ok(Self(policy))
    }
}

impl JsonSchema for StartAt {
    fn schema_name() -> Cow<'static, str> {
        "StartAt".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "examples": ["earliest", "latest", "2026-01-31T00:00:00Z"],
        })
    }
}

impl fmt::Display for StartAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            StartPolicy::Earliest => f.write_str("earliest"),
            StartPolicy::Latest => f.write_str("latest"),
            StartPolicy::Timestamp(ms) => match jiff::Timestamp::from_millisecond(ms) {
                Ok(time) => write!(f, "{time}"),
                Err(_) => write!(f, "{ms} ms since 1970"),
            },
        }
    }
}

fn batch_records_max() -> usize {
    1000
}

fn batch_bytes_max() -> ByteSize {
    ByteSize::mib(1)
}

fn commit_interval() -> Duration {
    Duration::secs(2)
}

fn revoke_drain_timeout() -> Duration {
    Duration::millis(500)
}

fn max_in_flight_records() -> usize {
    100_000
}

fn max_in_flight_bytes() -> ByteSize {
    ByteSize::mib(48)
}

fn max_uncommitted() -> usize {
    1_000_000
}

fn queue_size() -> ByteSize {
    ByteSize::bytes(ConsumerConfig::QUEUE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_words_or_times_with_a_zone() {
        let read = |text: &str| serde_json::from_value::<StartAt>(text.into());
        for (text, start) in [
            ("earliest", StartPolicy::Earliest),
            ("latest", StartPolicy::Latest),
            ("1970-01-01T00:00:01Z", StartPolicy::Timestamp(1_000)),
            ("1970-01-01T01:00:01.5+01:00", StartPolicy::Timestamp(1_500)),
        ] {
            assert_eq!(read(text).expect(text), StartAt(start));
        }
        for text in ["", "Earliest", "2026-01-31", "2026-01-31T00:00:00", "now"] {
            let problem = read(text).expect_err(text).to_string();
            assert!(
                problem.contains("write earliest, latest, or a time"),
                "{problem}"
            );
        }
        let start = read("2026-01-31T00:00:00+02:00").expect("a time");
        assert_eq!(start.to_string(), "2026-01-30T22:00:00Z");
    }
}
