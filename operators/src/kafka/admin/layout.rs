//! Where the partitions of topics are: brokers, leaders, replicas.

use rdkafka::error::RDKafkaErrorCode;

use super::Admin;
use crate::kafka::error::Error;

/// A cluster as a broker describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// `host:port` of each broker.
    pub brokers: Vec<String>,
    /// The topics that were asked for, in that order.
    pub topics: Vec<LayoutTopic>,
}

/// A topic of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutTopic {
    /// The topic's name.
    pub name: String,
    /// Why nothing is known of it: it does not exist, or may not be seen.
    pub error: Option<RDKafkaErrorCode>,
    /// Its partitions.
    pub partitions: Vec<LayoutPartition>,
}

/// A partition of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutPartition {
    /// The partition's number.
    pub number: i32,
    /// Whether a broker leads it: without one nothing is read or written.
    pub has_leader: bool,
    /// Copies that there should be.
    pub replicas: usize,
    /// Copies that have everything.
    pub in_sync: usize,
}

impl Admin {
    /// Asks where the partitions of topics are. A topic that does not exist, or may not be seen, says so.
    pub fn layout(&self, topics: &[&str]) -> Result<Layout, Error> {
        let mut layout = Layout::default();
        for name in topics {
            let metadata = self.metadata(Some(name))?;
            layout.take_brokers(&metadata);
            let found = metadata.topics().iter().find(|one| one.name() == *name);
            let partitions = found.into_iter().flat_map(|one| one.partitions());
            layout.topics.push(LayoutTopic {
                name: (*name).to_owned(),
                error: match found {
                    None => Some(RDKafkaErrorCode::UnknownTopicOrPartition),
                    Some(topic) => topic.error().map(RDKafkaErrorCode::from),
                },
                partitions: partitions
                    .map(|one| LayoutPartition {
                        number: one.id(),
                        has_leader: one.leader() >= 0,
                        replicas: one.replicas().len(),
                        in_sync: one.isr().len(),
                    })
                    .collect(),
            });
        }
        if topics.is_empty() {
            layout.take_brokers(&self.metadata(None)?);
        }
        Ok(layout)
    }
}

impl Layout {
    fn take_brokers(&mut self, metadata: &rdkafka::metadata::Metadata) {
        let brokers = metadata.brokers().iter();
        self.brokers = brokers
            .map(|broker| format!("{}:{}", broker.host(), broker.port()))
            .collect();
    }
}
