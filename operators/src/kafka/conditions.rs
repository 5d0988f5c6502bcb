//! What is wrong at the moment between this member and the cluster, in words for people.
//!
//! A condition stands until what it is about works again; it decides nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use rdkafka::error::RDKafkaErrorCode;

use super::admin::TopicPartition;
use super::log::lock;

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The connection to the brokers.
    Connection,
    /// Joining and commits of the consumer group.
    Group,
    /// Membership of the consumer group, from when it is lost until the group gives partitions anew.
    Membership,
    /// Commits of a partition alone: those of others, and reading it, say nothing about them.
    Commits(TopicPartition),
    /// A topic, by name.
    Topic(String),
    /// A partition alone: what is read of another one says nothing about it.
    Partition(TopicPartition),
}

/// Something that is wrong and may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What it is about.
    pub subject: Subject,
    /// One sentence that names broker, group or topic, and the cause.
    pub text: String,
    /// When it was first seen.
    pub since: Instant,
    seen: Instant,
}

/// The conditions of one consumer.
#[derive(Default)]
pub(crate) struct Conditions {
    any: AtomicBool,
    by_subject: Mutex<BTreeMap<Subject, Condition>>,
}

impl Conditions {
    /// Notes that something is wrong.
    pub(crate) fn raise(&self, subject: Subject, text: String) {
        let now = clock::now();
        let mut conditions = lock(&self.by_subject);
        let since = conditions.get(&subject).map_or(now, |known| known.since);
        if since == now {
            // Whoever shows conditions warns.
            tracing::debug!(subject = ?subject, "{text}");
        }
        let condition = Condition {
            subject: subject.clone(),
            text,
            since,
            seen: now,
        };
        let _ = conditions.insert(subject, condition);
        self.any.store(true, Ordering::Release);
    }

    /// Notes that something works.
    pub(crate) fn clear(&self, subject: &Subject) {
        if self.any() {
            let mut conditions = lock(&self.by_subject);
            let _ = conditions.remove(subject);
            self.any.store(!conditions.is_empty(), Ordering::Release);
        }
    }

    /// Tells whether something is wrong with this.
    pub(crate) fn stands(&self, subject: &Subject) -> bool {
        self.any() && lock(&self.by_subject).contains_key(subject)
    }

    /// Tells whether there may be a condition, without a lock.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Returns what is wrong. A failed connection to one broker is reported again by librdkafka
    /// every half minute as long as it lasts, so an older one has passed.
    pub(crate) fn read(&self) -> Vec<Condition> {
        if !self.any() {
            return Vec::new();
        }
        let now = clock::now();
        lock(&self.by_subject)
            .values()
            .filter(|condition| {
                condition.subject != Subject::Connection
                    || now.saturating_duration_since(condition.seen) < CONNECTION_LASTS
            })
            .cloned()
            .collect()
    }
}

/// librdkafka repeats a broker's error after at most 30 s of silence (`rd_kafka_broker_set_error`)
/// and tries again at most every 10 s (`reconnect.backoff.max.ms`).
const CONNECTION_LASTS: Duration = Duration::from_secs(60);

/// Sorts an error that librdkafka reported for the whole client; `None` when it says nothing new.
pub(crate) fn classify(code: RDKafkaErrorCode, reason: &str) -> Option<Subject> {
    use RDKafkaErrorCode as Code;
    match code {
        // The failure of the last broker said more.
        Code::AllBrokersDown => None,
        Code::BrokerTransportFailure
        | Code::Resolve
        | Code::Authentication
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::OperationTimedOut => Some(Subject::Connection),
        Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed => Some(topic_in(reason)),
        _ => Some(Subject::Group),
    }
}

/// Finds the topic in librdkafka's sentence "Subscribed topic not available: NAME: CAUSE".
fn topic_in(reason: &str) -> Subject {
    let name = reason
        .split_once("topic not available: ")
        .and_then(|(_, rest)| rest.split(':').next());
    name.map_or(Subject::Group, |name| Subject::Topic(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_they_are_about() {
        for (code, reason, subject) in [
            (
                RDKafkaErrorCode::UnknownTopicOrPartition,
                "Subscribed topic not available: logs: Broker: Unknown topic or partition",
                Some(Subject::Topic("logs".to_owned())),
            ),
            (
                RDKafkaErrorCode::BrokerTransportFailure,
                "127.0.0.1:1/bootstrap: Connect failed: Connection refused",
                Some(Subject::Connection),
            ),
            (
                RDKafkaErrorCode::AllBrokersDown,
                "1/1 brokers are down",
                None,
            ),
            (
                RDKafkaErrorCode::GroupAuthorizationFailed,
                "JoinGroup failed: Broker: Group authorization failed",
                Some(Subject::Group),
            ),
        ] {
            assert_eq!(classify(code, reason), subject);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_stands_until_it_works_and_a_connection_until_it_is_silent() {
        let conditions = Conditions::default();
        conditions.raise(Subject::Group, "no".to_owned());
        conditions.raise(Subject::Connection, "down".to_owned());
        assert_eq!(conditions.read().len(), 2);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(conditions.read()[0].subject, Subject::Group);
        assert_eq!(conditions.read().len(), 1);
        conditions.clear(&Subject::Group);
        assert!(conditions.read().is_empty());
    }
}
