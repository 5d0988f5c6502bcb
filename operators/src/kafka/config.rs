//! What a consumer needs to know, checked, and the client settings that follow from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::types::RDKafkaType;
use schemars::JsonSchema;
use serde::Deserialize;

use super::admin::TopicPartition;
use super::connection::KafkaConnection;
use super::ffi::pattern::Pattern;
use super::options;

/// The configuration of a laned consumer.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// The cluster.
    pub connection: KafkaConnection,
    /// The consumer group.
    pub group: String,
    /// Topics by name; a name that starts with `^` is a regular expression (POSIX extended, as
    /// librdkafka reads it), looked up again every `topic.metadata.refresh.interval.ms`.
    pub topics: Vec<String>,
    /// Where a partition starts for which the group has committed nothing.
    pub start: StartPolicy,
    /// How the group agrees on who reads what.
    pub protocol: GroupProtocol,
    /// The member's fixed name, so that a restart within the session time-out moves nothing.
    pub instance_id: Option<String>,
    /// Bytes that fetched and not yet read records may take, over all lanes, at least 1 MiB each.
    pub queue_size: u64,
    /// How long a revoke waits for answers of records in flight. The whole group waits with it.
    pub revoke_drain_timeout: Duration,
    /// Settings of librdkafka for this consumer alone, on top of the connection's.
    pub options: BTreeMap<String, String>,
    /// Reads these partitions, whatever a group decides; `topics` and `start` then count for nothing,
    /// and the group is where progress is kept.
    pub fixed: Option<Arc<Fixed>>,
}

/// Partitions that one consumer alone reads, from what its group committed, else from fixed offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixed {
    /// Each partition with the half-open range of offsets that is wanted.
    pub ranges: BTreeMap<TopicPartition, (i64, i64)>,
    /// The ids of the topics that are meant, where they are known: a topic that was made again since is
    /// held.
    pub topic_ids: BTreeMap<String, String>,
}

/// Where a partition starts for which the group has committed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartPolicy {
    /// The first record that exists.
    Earliest,
    /// The end at the moment of the first assignment.
    Latest,
    /// The first record at or after this time, in milliseconds since 1970.
    Timestamp(i64),
}

/// How the members of a group agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocol {
    /// The members decide, cooperatively. Works with all brokers.
    #[default]
    Classic,
    /// The brokers decide (KIP-848). Needs brokers of version 4.0 or later.
    Consumer,
}

/// Tells whether names of topics, or patterns that start with `^`, name this one.
pub(crate) fn topics_name(topics: &[String], topic: &str) -> bool {
    let is_it = |named: &String| match named.starts_with('^') {
        true => Pattern::new(named).is_ok_and(|pattern| pattern.matches(topic)),
        false => named == topic,
    };
    topics.iter().any(is_it)
}

impl ConsumerConfig {
    /// What `queue_size` is unless a topology says so, in bytes.
    pub const QUEUE_SIZE: usize = 24 << 20;

    /// Returns one sentence for each thing that cannot work, without contacting anybody.
    pub fn check(&self) -> Vec<String> {
        let mut problems = self.connection.check();
        problems.extend(self.check_own());
        problems
    }

    /// As [`Self::check`], without what is wrong with the connection alone. Each sentence starts
    /// with the option's name and a colon; of `options`, the name of the setting comes next.
    pub fn check_own(&self) -> Vec<String> {
        let options = options::check(&self.options).into_iter();
        let mut problems: Vec<String> = options
            .map(|problem| format!("options: {problem}"))
            .collect();
        if self.group.is_empty() {
            problems.push("group: give the consumer group a name".to_owned());
        }
        if self.topics.is_empty() {
            problems.push("topics: name at least one".to_owned());
        }
        problems.extend(self.topics.iter().filter_map(|topic| topic_problem(topic)));
        for (number, topic) in self.topics.iter().enumerate() {
            if self.topics[..number].contains(topic) {
                problems.push(format!("topics: {topic:?} is named twice"));
            }
        }
        if self.protocol == GroupProtocol::Consumer {
            for name in SET_BY_BROKER {
                if self.option(name).is_some() {
                    problems.push(format!(
                        "options: {name} is set at the brokers with `group_protocol: consumer` \
                         (group.consumer.* there)"
                    ));
                }
            }
        } else if self.option("group.remote.assignor").is_some() {
            problems
                .push("options: group.remote.assignor needs `group_protocol: consumer`".to_owned());
        }
        problems
    }

    /// Tells whether a topic of this name is read.
    pub(crate) fn reads(&self, topic: &str) -> bool {
        topics_name(&self.topics, topic)
    }

    /// Says why librdkafka would make no client of these settings, if so; contacts nobody.
    pub(crate) fn check_together(&self, lanes: usize) -> Option<String> {
        options::check_together(self.client_config(lanes), RDKafkaType::RD_KAFKA_CONSUMER)
    }

    fn option(&self, name: &str) -> Option<&String> {
        self.options
            .get(name)
            .or_else(|| self.connection.options.get(name))
    }

    /// Tells whether records of open and aborted transactions are read.
    pub(crate) fn reads_uncommitted(&self) -> bool {
        self.option("isolation.level")
            .is_some_and(|level| level == "read_uncommitted")
    }

    /// Returns the bytes that fetched records take at most with this many lanes: the queues, and one
    /// response of a broker that was asked for while there was room, compressed 8 to 1.
    pub fn memory(&self, lanes: usize) -> usize {
        let limits = QueueLimits::new(self.queue_size, lanes);
        let queues = lanes as u64 * (limits.kbytes * 1024 + limits.records * RECORD_OVERHEAD);
        (queues + self.fetch_bytes(&limits) * COMPRESSION) as usize
    }

    /// Bytes of one response, before they are decompressed.
    fn fetch_bytes(&self, limits: &QueueLimits) -> u64 {
        let number = |name| self.option(name).and_then(|text| text.parse::<u64>().ok());
        let largest = number("message.max.bytes").unwrap_or(1_000_000);
        let chosen = number("fetch.max.bytes");
        chosen.unwrap_or_else(|| limits.fetch_bytes.max(largest))
    }

    /// Returns the settings of the client that serves this many lanes. Those of a queue are those of each
    /// lane's.
    pub fn client_config(&self, lanes: usize) -> ClientConfig {
        let mut config = self.connection.client_config();
        for (name, value) in &self.options {
            let _ = config.set(name, value);
        }
        let limits = QueueLimits::new(self.queue_size, lanes);
        let _ = config
            .set("group.id", &self.group)
            .set("enable.partition.eof", "false")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("statistics.interval.ms", "0")
            .set("fetch.queue.backoff.ms", "20")
            .set("queued.max.messages.kbytes", limits.kbytes.to_string())
            .set("queued.min.messages", limits.records.to_string());
        let _ = config.set("fetch.max.bytes", self.fetch_bytes(&limits).to_string());
        match self.protocol {
            GroupProtocol::Classic => {
                let _ = config.set("partition.assignment.strategy", "cooperative-sticky");
            }
            GroupProtocol::Consumer => {
                let _ = config.set("group.protocol", "consumer");
            }
        }
        if let Some(id) = &self.instance_id {
            let _ = config.set("group.instance.id", id);
        }
        config
    }
}

/// Settings that the client refuses together with the consumer protocol.
const SET_BY_BROKER: &[&str] = &[
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol.type",
    "partition.assignment.strategy",
];

fn topic_problem(topic: &str) -> Option<String> {
    if topic.starts_with('^') {
        let reason = Pattern::new(topic).err()?;
        return Some(format!("topics: {topic:?} is no pattern: {reason}"));
    }
    let problem = topic_name_problem(topic)?;
    Some(format!("topics: {problem}; a pattern starts with ^"))
}

/// Says why a text is no topic's name, if so: Kafka's own rule
/// (`org.apache.kafka.common.internals.Topic`).
pub(crate) fn topic_name_problem(topic: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if topic.is_empty() || topic.len() > 249 || topic == "." || topic == ".." {
        return Some(format!(
            "{topic:?} is no topic's name: it has 1 to 249 characters and is not . or .."
        ));
    }
    topic
        .chars()
        .find(|c| !legal(*c))
        .map(|c| format!("{topic:?} contains {c:?}: names have letters, digits, '.', '_' and '-'"))
}

/// The limits of each lane's queue. Since partitions are forwarded, librdkafka applies its limits
/// per partition to the lane's shared queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    kbytes: u64,
    records: u64,
    fetch_bytes: u64,
}

impl QueueLimits {
    /// Divides a budget in bytes. Half of a lane's share is for the records' bytes and half for
    /// what librdkafka keeps around each record, so that small records stay in the budget too.
    /// One fetched response may come on top, hence its own limit.
    pub(crate) fn new(memory: u64, lanes: usize) -> Self {
        let lane = (memory / lanes.max(1) as u64).max(MIN_LANE_MEMORY);
        let half = lane / 2;
        Self {
            kbytes: (half / 1024).clamp(1, 2_097_151),
            records: (half / RECORD_OVERHEAD).clamp(1, 10_000_000),
            fetch_bytes: (memory / 16).clamp(MIN_LANE_MEMORY, 50 << 20),
        }
    }
}

const MIN_LANE_MEMORY: u64 = 1 << 20;

/// How much smaller a response may be than its records: zstd makes 5 to 8 of 1 out of JSON logs.
const COMPRESSION: u64 = 8;

/// Bytes that librdkafka 2.12 keeps per queued record besides its key and value: 65,537 records of
/// 1 kB took 118 MiB of resident memory where 64 MiB are their bytes.
pub(crate) const RECORD_OVERHEAD: u64 = 800;

#[cfg(test)]
impl ConsumerConfig {
    /// A group of a cluster that is not asked for anything.
    pub(crate) fn for_tests() -> Self {
        let connection = serde_json::json!({"brokers": "localhost:9092"});
        Self {
            connection: serde_json::from_value(connection).expect("a connection"),
            group: "g".to_owned(),
            topics: vec!["logs".to_owned()],
            start: StartPolicy::Earliest,
            protocol: GroupProtocol::Classic,
            instance_id: None,
            queue_size: 64 << 20,
            revoke_drain_timeout: Duration::from_millis(500),
            options: BTreeMap::new(),
            fixed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: serde_json::Value) -> ConsumerConfig {
        ConsumerConfig {
            connection: serde_json::from_value(json).expect("the test's connection is well formed"),
            ..ConsumerConfig::for_tests()
        }
    }

    fn plain() -> ConsumerConfig {
        ConsumerConfig::for_tests()
    }

    #[test]
    fn the_budget_covers_bytes_and_overhead_of_every_lane() {
        let limits = QueueLimits::new(64 << 20, 4);
        assert_eq!(limits.kbytes, 8 * 1024);
        let most = limits.kbytes * 1024 + limits.records * RECORD_OVERHEAD;
        assert!(most <= 16 << 20, "{most}");
        assert_eq!(limits.fetch_bytes, 4 << 20);
        assert_eq!(plain().memory(4), (most * 4 + (32 << 20)) as usize);
        let least = QueueLimits::new(0, 64);
        assert_eq!((least.kbytes, least.fetch_bytes), (512, 1 << 20));
    }

    #[test]
    fn the_settings_that_guard_against_loss_are_always_there() {
        let settings = plain().client_config(2);
        for (name, value) in [
            ("enable.partition.eof", "false"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("fetch.queue.backoff.ms", "20"),
        ] {
            assert_eq!(settings.get(name), Some(value), "{name}");
        }
        assert!(settings.create_native_config().is_ok());
    }

    #[test]
    fn settings_that_the_consumer_protocol_excludes_are_refused_wherever_they_are() {
        let mut config = config(serde_json::json!({
            "brokers": "localhost:9092", "options": {"session.timeout.ms": 6000}
        }));
        let _ = config
            .options
            .insert("heartbeat.interval.ms".to_owned(), "1000".to_owned());
        assert!(config.check().is_empty());
        config.protocol = GroupProtocol::Consumer;
        assert_eq!(config.check().len(), 2, "{:?}", config.check());
        let settings = plain().client_config(1);
        assert_eq!(settings.get("group.protocol"), None);
    }

    #[test]
    fn topics_are_names_or_patterns() {
        let mut config = plain();
        config.topics = vec!["a.b_c-1".to_owned(), "^logs\\..*".to_owned()];
        assert!(config.check().is_empty());
        config.topics = ["logs*", "", "..", "^logs("].map(str::to_owned).to_vec();
        assert_eq!(config.check().len(), 4);
        config.topics = ["a", "^b", "a", "^b"].map(str::to_owned).to_vec();
        assert_eq!(
            config.check(),
            [
                r#"topics: "a" is named twice"#,
                r#"topics: "^b" is named twice"#
            ]
        );
        config.topics.clear();
        assert_eq!(config.check(), ["topics: name at least one"]);
    }
}
