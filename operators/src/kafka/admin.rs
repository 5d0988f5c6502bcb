//! Questions to a cluster that need no group membership: offsets, topic ids, commits, cluster id.
//!
//! Every call waits for its answer, bounded; call from a thread that may block, never from a lane.

mod group;
mod layout;
mod listing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::clock;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};

use super::connection::KafkaConnection;
use super::error::{Error, code_of};
use super::ffi::admin::{self as ffi, Permissions};
use super::ffi::list::{Element, elements};
use super::ffi::pattern::Pattern;
use super::lag::Found;
use super::log::Asking;
use super::parting::Parting;
use super::password::Follower;
use listing::{AT_END, list};

pub use group::{Commit, GroupState, Member, Members, Permitted};
pub use layout::{Layout, LayoutPartition, LayoutTopic};
pub(super) use listing::offsets;
pub use rdkafka::error::RDKafkaErrorCode;

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: &str, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spec {
    /// The first offset that still exists (log start).
    Earliest,
    /// The offset after the last record that this connection may read: the last stable offset,
    /// or the high watermark with `isolation.level: read_uncommitted`.
    Latest,
    /// The offset after the last record, those of open transactions included.
    HighWatermark,
    /// The first record, in offset order, whose timestamp in milliseconds since 1970 is this or
    /// later; the end where there is none.
    Timestamp(i64),
}

/// The answer for one partition.
pub type PartitionAnswer<T> = (TopicPartition, Result<T, RDKafkaErrorCode>);

/// The last commit of a group for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
    /// The text stored with it, as [`super::commit_metadata`] writes it or any other.
    pub metadata: Option<String>,
}

/// A topic as the brokers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The topic's name.
    pub name: String,
    /// The topic's id in Kafka's spelling; `None` where the cluster has none.
    pub id: Option<String>,
    /// How many partitions it has.
    pub partitions: usize,
}

/// The answer for one topic, with its name.
pub type TopicAnswer = (String, Result<Topic, RDKafkaErrorCode>);

/// A client that only asks.
pub struct Admin {
    client: Parting,
    _password: Option<Follower>,
    /// For errors.
    brokers: String,
    group: Option<String>,
    uncommitted: bool,
    within: Duration,
}

impl Admin {
    /// Makes the client; contacts nobody yet. Each later call waits at most `within`.
    ///
    /// Fails when a certificate or key of the connection cannot be read.
    pub fn new(connection: &KafkaConnection, within: Duration) -> Result<Self, Error> {
        Self::make(connection, None, within)
    }

    /// As [`Admin::new`], for questions about the commits of a group as well. It does not join.
    pub fn of_group(
        connection: &KafkaConnection,
        group: &str,
        within: Duration,
    ) -> Result<Self, Error> {
        Self::make(connection, Some(group), within)
    }

    fn make(
        connection: &KafkaConnection,
        group: Option<&str>,
        within: Duration,
    ) -> Result<Self, Error> {
        let client = Arc::new(connection.asking_client(group)?);
        Ok(Self {
            _password: Follower::of(connection, &client),
            client: Parting::new(client),
            brokers: connection.brokers.join(", "),
            group: group.map(str::to_owned),
            uncommitted: connection.reads_uncommitted(),
            within,
        })
    }

    /// Asks for one offset of each partition. Partitions that fail say why, one by one.
    pub fn offsets(
        &self,
        partitions: &[TopicPartition],
        spec: Spec,
    ) -> Result<Vec<PartitionAnswer<i64>>, Error> {
        self.explain(offsets(
            self.client.client(),
            partitions,
            spec,
            self.uncommitted,
            self.within,
        ))
    }

    /// Whether offsets beyond open transactions may be read, so that `Latest` is the high watermark.
    pub fn reads_uncommitted(&self) -> bool {
        self.uncommitted
    }

    /// Asks for the first record of each partition, in offset order, at or after a time in
    /// milliseconds since 1970; `None` where there is none.
    pub fn first_since(
        &self,
        partitions: &[(TopicPartition, i64)],
    ) -> Result<Vec<PartitionAnswer<Option<Found>>>, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let specs = partitions.iter();
        let specs = specs.map(|(partition, ms)| (partition, Offset::Offset((*ms).max(0))));
        let answers = list(self.client.client(), specs, self.uncommitted, self.within);
        let found = |(offset, ms)| (offset != AT_END).then_some(Found { offset, ms });
        let answers = self.explain(answers)?.into_iter();
        Ok(answers
            .map(|(partition, answer)| (partition, answer.map(found)))
            .collect())
    }

    /// Asks for the configuration of topics, by topic and name. Topics that may not be seen are left
    /// out.
    pub fn topic_configurations(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, BTreeMap<String, String>>, Error> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.explain(ffi::describe_configs(
            self.client.client(),
            topics,
            self.within,
        ))
    }

    /// Asks for the last commits of the group that this client was made for, `None` without one.
    /// Partitions without a commit are left out.
    ///
    /// Asks as a member would, and not by the admin request for it: that one crashes the process
    /// where the client has no group (`rd_kafka_handle_OffsetFetch` of librdkafka 2.12.1 on
    /// `NOT_COORDINATOR`, its issue 5040), and goes on asking the old coordinator for up to
    /// `metadata.max.age.ms` when the group has moved to another one.
    pub fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Option<Vec<Committed>>, Error> {
        let Some(group) = &self.group else {
            return Ok(None);
        };
        if partitions.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let commits = committed(&self.client, group, partitions, self.within);
        self.explain(commits).map(Some)
    }

    /// Asks for ids and partition counts of topics by name, in the order of the answer.
    pub fn topics(&self, names: &[&str]) -> Result<Vec<TopicAnswer>, Error> {
        self.explain(topics(self.client.client(), names, self.within))
    }

    /// Asks for the partitions of topics that are given as a consumer takes them: by name, or by
    /// patterns that start with `^`. Beside them one sentence for each name that does not exist or
    /// may not be seen.
    pub fn partitions(
        &self,
        topics: &[String],
    ) -> Result<(Vec<TopicPartition>, Vec<String>), Error> {
        let (patterns, names): (Vec<_>, Vec<_>) =
            topics.iter().partition(|topic| topic.starts_with('^'));
        let (mut found, mut problems) = (BTreeSet::new(), Vec::new());
        for name in names {
            for topic in self.metadata(Some(name))?.topics() {
                match topic.error() {
                    None => found.extend(partitions_of(topic)),
                    Some(code) => {
                        let code = RDKafkaErrorCode::from(code);
                        let refused = Error::Refused {
                            what: format!("topic {name}"),
                            code,
                            text: code.to_string(),
                        };
                        problems.push(refused.to_string());
                    }
                }
            }
        }
        if !patterns.is_empty() {
            let patterns: Result<Vec<Pattern>, String> =
                patterns.iter().map(|text| Pattern::new(text)).collect();
            let patterns = patterns.map_err(Error::Config)?;
            for topic in self.metadata(None)?.topics() {
                if patterns.iter().any(|pattern| pattern.matches(topic.name())) {
                    found.extend(partitions_of(topic));
                }
            }
        }
        Ok((found.into_iter().collect(), problems))
    }

    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, Error> {
        let what = match topic {
            Some(name) => format!("asking for topic {name}"),
            None => "listing topics".to_owned(),
        };
        let metadata = self.client.fetch_metadata(topic, self.within);
        self.explain(metadata.map_err(|error| refused(what, self.within, &error)))
    }

    /// Whether the brokers are those of `brokers: embedded`, whatever process they are in. Waits for their
    /// first answer, at most 2 s; `false` without one.
    pub fn is_embedded(&self) -> bool {
        is_embedded(self.client.client())
    }

    /// Asks for the cluster's id.
    pub fn cluster_id(&self) -> Result<String, Error> {
        self.explain(cluster_id(self.client.client(), self.within))
    }

    /// That an answer has not come in time, with the last failure of a connection meanwhile.
    pub(crate) fn no_answer(&self, what: String) -> Error {
        let none = Error::TimedOut {
            what,
            within: self.within,
            brokers: None,
            cause: None,
        };
        none.asked(&self.brokers, self.client.context().failure())
    }

    /// Serves what librdkafka reported meanwhile (its queue of log lines and failures has no other
    /// reader), and adds the brokers and the last failure to a question that got no answer.
    fn explain<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        for _ in 0..SERVED_PER_CALL {
            let _ = self.client.poll(Duration::ZERO);
        }
        let unsupported = answer.as_ref().is_err_and(Error::is_unsupported);
        let context = self.client.context();
        if answer.is_ok() {
            context.works();
        }
        answer.map_err(|error| match error {
            Error::Refused { what, .. } | Error::Embedded { what }
                if unsupported && is_embedded(self.client.client()) =>
            {
                Error::Embedded { what }
            }
            error => error.asked(&self.brokers, context.failure()),
        })
    }
}

/// Between two questions while the group has no coordinator.
const COORDINATOR_PAUSE: Duration = Duration::from_millis(100);

fn committed(
    client: &BaseConsumer<Asking>,
    group: &str,
    partitions: &[TopicPartition],
    within: Duration,
) -> Result<Vec<Committed>, Error> {
    let what = || format!("asking for the commits of group {group}");
    let deadline = clock::now() + within;
    loop {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            let _ = list.add_partition(&partition.topic, partition.partition);
        }
        let left = deadline.saturating_duration_since(clock::now());
        let moving = match client.committed_offsets(list, left) {
            Ok(list) => return commits_of(&list, group),
            Err(error) => match code_of(&error) {
                RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress => error,
                _ => return Err(refused(what(), within, &error)),
            },
        };
        if clock::now() + COORDINATOR_PAUSE >= deadline {
            return Err(refused(what(), within, &moving));
        }
        let _ = client.poll(COORDINATOR_PAUSE);
    }
}

/// A partition whose commit could not be told is not one without a commit: nobody guesses.
fn commits_of(list: &TopicPartitionList, group: &str) -> Result<Vec<Committed>, Error> {
    let mut commits = Vec::new();
    for element in elements(list) {
        let Element {
            topic, partition, ..
        } = &element;
        if let Some(code) = element.error {
            return Err(Error::Refused {
                what: format!("asking for the commit of group {group} for {topic}/{partition}"),
                code,
                text: code.to_string(),
            });
        }
        if element.offset >= 0 {
            commits.push(Committed {
                partition: TopicPartition::new(topic, *partition),
                offset: element.offset,
                metadata: element.metadata,
            });
        }
    }
    Ok(commits)
}

fn partitions_of(topic: &MetadataTopic) -> impl Iterator<Item = TopicPartition> {
    let partitions = topic.partitions().iter();
    partitions.map(|partition| TopicPartition::new(topic.name(), partition.id()))
}

/// How many reports of librdkafka are served after a call; a call causes a handful at most.
const SERVED_PER_CALL: usize = 64;

fn refused(what: String, within: Duration, error: &KafkaError) -> Error {
    match code_of(error) {
        RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::BrokerTransportFailure => {
            Error::TimedOut {
                what,
                within,
                brokers: None,
                cause: None,
            }
        }
        code => Error::Refused {
            what,
            code,
            text: code.to_string(),
        },
    }
}

pub(super) fn topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    within: Duration,
) -> Result<Vec<TopicAnswer>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    Ok(
        ffi::describe_topics(client, names, Permissions::LeftOut, within)?
            .into_iter()
            .map(|described| {
                let answer = match described.error {
                    Some((code, _)) => Err(code),
                    None => Ok(Topic {
                        name: described.topic.clone(),
                        id: described.id,
                        partitions: described.partitions,
                    }),
                };
                (described.topic, answer)
            })
            .collect(),
    )
}

pub(super) fn cluster_id<C: ClientContext>(
    client: &Client<C>,
    within: Duration,
) -> Result<String, Error> {
    client
        .fetch_cluster_id(within)
        .ok_or_else(|| Error::TimedOut {
            what: "asking for the cluster's id".to_owned(),
            within,
            brokers: None,
            cause: None,
        })
}

/// Whether the brokers are librdkafka's mock cluster, which is what [`crate::embedded`] starts: its id
/// begins so (`rd_kafka_mock_cluster_new` of librdkafka 2.12.1).
pub(super) fn is_embedded<C: ClientContext>(client: &Client<C>) -> bool {
    let id = client.fetch_cluster_id(ID_WITHIN);
    id.is_some_and(|id| id.starts_with("mockCluster"))
}

/// How long the id is waited for; who has answered just now has told it.
const ID_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    #[test]
    fn topics_are_asked_of_another_broker_where_one_does_not_answer() {
        let cluster = MockCluster::new(2).expect("a stand-in cluster");
        cluster.create_topic("t", 3, 1).expect("it is created");
        // The first is asked, and known by the second alone.
        let slow = Duration::from_secs(20);
        cluster.broker_round_trip_time(1, slow).expect("it has two");
        let brokers = cluster.bootstrap_servers();
        let second = brokers.split(',').nth(1).expect("it has two");
        let connection = serde_json::json!({ "brokers": second });
        let connection = serde_json::from_value(connection).expect("well formed");
        let admin = Admin::new(&connection, slow / 2).expect("a client");
        let topics = admin.topics(&["t"]).expect("the second answers");
        let (_, topic) = topics.into_iter().next().expect("one");
        assert_eq!(topic.expect("it is there").partitions, 3);
    }

    #[test]
    fn a_coordinator_that_moved_is_looked_for_and_no_crash() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 1, 1).expect("it is created");
        cluster.request_errors(
            RDKafkaApiKey::OffsetFetch,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR; 2],
        );
        let connection = serde_json::json!({ "brokers": cluster.bootstrap_servers() });
        let connection = serde_json::from_value(connection).expect("well formed");
        let admin = Admin::of_group(&connection, "g", Duration::from_secs(10)).expect("a client");
        let partitions = [TopicPartition::new("t", 0)];
        let commits = admin.committed(&partitions).expect("it is there now");
        assert_eq!(commits, Some(Vec::new()));
    }

    #[test]
    fn a_coordinator_that_comes_after_the_time_for_an_answer_is_no_crash() {
        let cluster = MockCluster::new(2).expect("a stand-in cluster");
        let coordinator = MockCoordinator::Group("g".to_owned());
        cluster.coordinator(coordinator, 2).expect("it has two");
        cluster.broker_down(2).expect("it has two");
        let connection = serde_json::json!({ "brokers": cluster.bootstrap_servers() });
        let connection = serde_json::from_value(connection).expect("well formed");
        let within = Duration::from_millis(300);
        let admin = Admin::of_group(&connection, "g", within).expect("a client");
        let none = admin.group_state().expect_err("it is away");
        assert!(matches!(none, Error::TimedOut { .. }), "{none}");
        cluster.broker_up(2).expect("it has two");
        // The stand-in has no such answer, which is told once the coordinator is there.
        let deadline = clock::now() + Duration::from_secs(30);
        let answered = std::iter::repeat_with(|| admin.group_state().expect_err("no answer"))
            .take_while(|_| clock::now() < deadline)
            .find(Error::is_unsupported);
        assert!(answered.is_some());
    }
}
