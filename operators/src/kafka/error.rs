//! What can go wrong between Isobar and a Kafka cluster, in words that name the broker or topic.
//!
//! Knows librdkafka's error codes; decides nothing about retries beyond saying what is transient.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::embedded::PARTITIONS;

/// A failed call to a Kafka cluster or to librdkafka.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used; the text names the option and the fix.
    #[error("{0}")]
    Config(String),
    /// librdkafka refused to create a client with this configuration.
    #[error("cannot create a Kafka client for {brokers}: {source}{}", about(files))]
    Client {
        /// The bootstrap brokers of the connection.
        brokers: String,
        /// Files of the connection that librdkafka names by its setting, and what is wrong with them.
        files: Vec<String>,
        /// What librdkafka said.
        source: Box<KafkaError>,
    },
    /// The cluster, or librdkafka on its behalf, answered a request with an error.
    #[error("{what}: {}", in_words(*code, text))]
    Refused {
        /// What was asked for, naming topic or group.
        what: String,
        /// librdkafka's code for the error.
        code: RDKafkaErrorCode,
        /// The error's text.
        text: String,
    },
    /// No answer came in time: the brokers may be unreachable or overloaded.
    #[error("{what}: no answer from {} within {within:?}{}", whom(brokers.as_ref()), because(cause.as_ref()))]
    TimedOut {
        /// What was asked for, naming topic or group.
        what: String,
        /// How long was waited.
        within: Duration,
        /// The bootstrap brokers of the connection, where whoever asked knows them.
        brokers: Option<String>,
        /// The last failure of a connection meanwhile, naming the broker.
        cause: Option<String>,
    },
    /// The brokers are those of `brokers: embedded`, which know less than others: nothing helps but real ones.
    #[error(
        "{what}: the embedded Kafka cannot do this; it has the topics that its topology file names, with {} partitions each, and answers no questions about groups and settings",
        PARTITIONS
    )]
    Embedded {
        /// What was asked for, naming topic or group.
        what: String,
    },
    /// The operating system refused something, such as a new thread.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// A client that librdkafka refused to make of a configuration.
    pub(crate) fn client(config: &ClientConfig, source: KafkaError) -> Self {
        let said = source.to_string();
        let files = [
            ("ca", "ssl.ca.location"),
            ("certificate", "ssl.certificate.location"),
            ("key", "ssl.key.location"),
        ];
        let files = files.into_iter().filter_map(|(option, setting)| {
            let path = config.get(setting).filter(|_| said.contains(setting))?;
            let why = match std::fs::read(path) {
                Ok(_) => "is no such file in PEM".to_owned(),
                Err(error) => format!("cannot be read: {error}"),
            };
            Some(format!("`tls: {{{option}: {path}}}` {why}"))
        });
        Self::Client {
            brokers: config
                .get("bootstrap.servers")
                .unwrap_or_default()
                .to_owned(),
            files: files.collect(),
            source: Box::new(source),
        }
    }

    /// Adds to a question without an answer who was asked, and the last failure of a connection.
    pub(crate) fn asked(mut self, whom: &str, failure: Option<String>) -> Self {
        if let Self::TimedOut { brokers, cause, .. } = &mut self {
            *brokers = Some(whom.to_owned());
            *cause = failure;
        }
        self
    }

    /// Tells whether the same call may succeed later without anybody changing anything.
    ///
    /// Configuration errors never do; missing topics and permissions count as transient, because
    /// they are repaired at the cluster while the topology keeps running.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Config(_) | Self::Client { .. } | Self::Embedded { .. } => false,
            Self::TimedOut { .. } | Self::System { .. } => true,
            Self::Refused { code, .. } => !matches!(
                code,
                RDKafkaErrorCode::InvalidArgument
                    | RDKafkaErrorCode::UnsupportedFeature
                    | RDKafkaErrorCode::UnsupportedVersion
                    | RDKafkaErrorCode::NotImplemented
            ),
        }
    }

    /// Tells whether the connection's user may not do what was asked for.
    pub fn is_denied(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed,
                ..
            }
        )
    }

    /// Tells whether the cluster does not know the request at all.
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self,
            Self::Embedded { .. }
                | Self::Refused {
                    code: RDKafkaErrorCode::UnsupportedFeature
                        | RDKafkaErrorCode::UnsupportedVersion
                        | RDKafkaErrorCode::NotImplemented,
                    ..
                }
        )
    }
}

/// What the commonest refusals mean, before the text of librdkafka, which can be searched for.
fn in_words(code: RDKafkaErrorCode, text: &str) -> String {
    let meaning = match code {
        RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownPartition => {
            "there is no such topic or partition, or the user may not see it"
        }
        RDKafkaErrorCode::AutoOffsetReset => {
            "at an offset from which they were to be read there are no records any more; ask for later ones"
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => "the user has no right to that topic",
        RDKafkaErrorCode::GroupAuthorizationFailed => "the user has no right to that group",
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "the user has no right to that on the cluster"
        }
        _ => return text.to_owned(),
    };
    format!("{meaning} ({text})")
}

fn about(files: &[String]) -> String {
    match files {
        [] => String::new(),
        files => format!(" ({})", files.join("; ")),
    }
}

fn whom(brokers: Option<&String>) -> &str {
    brokers.map_or("the brokers", String::as_str)
}

fn because(cause: Option<&String>) -> String {
    cause.map_or_else(String::new, |cause| format!(" ({cause})"))
}

/// Returns librdkafka's code of an error of the `rdkafka` crate, if it carries one.
pub(crate) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}
