//! The list of spouts. A new one is a file in `spouts/`, its `mod` line and its entry here.

mod drops;
mod kafka;

use isobar_topology::SpoutType;

pub use kafka::Gate;
pub(crate) use kafka::{
    Hold, KafkaConfig, Pace, batch_records, replay, source, tombstone_policy, tombstones,
};

pub(crate) fn list() -> Vec<SpoutType> {
    vec![kafka::TYPE, drops::TYPE]
}
