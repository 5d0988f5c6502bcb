//! What a program needs to send a range of a topic through a topology once more: the part of the graph
//! that it goes through, the spout that reads it, and what of it is in the index.
//!
//! A replay runs beside the live topology: it is no member of its group, reads nothing that the group
//! committed, and keeps its own progress in a group of its own.

mod beside_live;
mod graph;
mod letters_apart;
mod names;
mod reach;
pub mod registry;
mod search;
mod tables;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use isobar_topology::Graph;
use isobar_topology::spec::{Problems, Spec, parse_config};

use crate::connections::kafka_of;
use crate::elasticsearch::document_id::SourceId;
use crate::kafka::Fixed;
use crate::kafka::admin::TopicPartition;
use crate::spouts::{self, Hold, KafkaConfig};

pub use crate::bolts::missing_index_policy;
pub use crate::spouts::Gate;

pub use beside_live::beside_live;
pub use graph::{
    Choice, Guarantee, Sink, Target, Way, forks, live_sinks, part_for, reached_by, shares_ids,
    splits, whole,
};
pub use letters_apart::letters_apart;
pub(crate) use letters_apart::with_those_apart;
pub use names::makes;
pub use reach::within_reach;
pub use search::{DOCUMENTS_MAX, Document, Found, IndexState, Place, Purge, Search, Stored};
pub(crate) use search::{ordinals_of, pattern as index_pattern};
pub use tables::{Table, tables};

/// What is to be read, and how.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// The group that keeps the progress.
    pub group: String,
    /// The half-open range of each partition.
    pub ranges: BTreeMap<TopicPartition, (i64, i64)>,
    /// The ids of the topics that are meant, where the cluster has ids.
    pub topic_ids: BTreeMap<String, String>,
    /// Records per second at most.
    pub rate: Option<NonZeroU32>,
    /// What holds it back from outside.
    pub gate: Option<Arc<Gate>>,
}

/// Makes the Kafka spout `id` of a planned graph read what a job says, from where its group is, and end
/// there. Fails with what is wrong with the spout's options or its connection.
pub fn read_only(spec: &Spec, graph: &mut Graph, id: &str, job: Job) -> Result<(), Problems> {
    let of_id = |spout: &&isobar_topology::spec::Component| spout.id == id;
    let Some(spout) = spec.spouts.iter().find(of_id) else {
        return Ok(());
    };
    let config: KafkaConfig = parse_config(&spout.config, &spout.path)?;
    let Some(connection) = kafka_of(spec, &config.connection)? else {
        return Ok(());
    };
    let fixed = Fixed {
        ranges: job.ranges,
        topic_ids: job.topic_ids,
    };
    let hold = Hold {
        rate: job.rate,
        gate: job.gate,
    };
    spouts::replay(&config, connection, graph, id, &job.group, fixed, hold);
    Ok(())
}

/// The source of a topic as it stands in the origin of its documents.
pub fn origin_of(cluster_id: &str, topic: &str, topic_id: Option<&str>) -> String {
    origin_of_source(spouts::source(
        cluster_id,
        topic,
        topic_id.unwrap_or_default(),
    ))
}

/// The same, of a source by its hash.
pub fn origin_of_source(source: u64) -> String {
    let source = SourceId::new(source, 0);
    String::from_utf8_lossy(source.source()).into_owned()
}
