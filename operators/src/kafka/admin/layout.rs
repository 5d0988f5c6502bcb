//! Where the partitions of topics are: brokers, leaders, replicas.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataBroker;

use super::{Admin, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::lag::NO_LEADER;

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

    /// Asks who leads each partition of topics, one request for each: `host:port`, or [`NO_LEADER`] where
    /// no broker does. Topics that do not exist, or may not be seen, are left out.
    pub(in crate::kafka) fn leaders(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<TopicPartition, Arc<str>>, Error> {
        let mut leaders = BTreeMap::new();
        let none: Arc<str> = NO_LEADER.into();
        for name in topics {
            // Asked of whichever broker is up; an admin request would wait for the controller.
            let metadata = self.metadata(Some(name))?;
            let brokers = metadata.brokers().iter();
            let brokers: BTreeMap<i32, Arc<str>> = brokers
                .map(|broker| (broker.id(), address(broker).into()))
                .collect();
            for partition in metadata.topics().iter().flat_map(|one| one.partitions()) {
                let leader = brokers.get(&partition.leader()).unwrap_or(&none);
                let partition = TopicPartition::new(name, partition.id());
                let _ = leaders.insert(partition, Arc::clone(leader));
            }
        }
        Ok(leaders)
    }
}

fn address(broker: &MetadataBroker) -> String {
    format!("{}:{}", broker.host(), broker.port())
}

impl Layout {
    fn take_brokers(&mut self, metadata: &rdkafka::metadata::Metadata) {
        let brokers = metadata.brokers().iter();
        self.brokers = brokers.map(address).collect();
    }
}
