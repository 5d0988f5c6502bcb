//! The spout for a replay: the same lanes over fixed ranges, with a group of its own for its progress.

use std::num::NonZeroU32;
use std::sync::Arc;

use isobar_topology::{Graph, Policy};

use super::config::{KafkaConfig, OnTombstone};
use super::gate::Gate;
use super::pace::batch_records;
use super::{settings, start, tombstone_policy};
use crate::kafka::connection::KafkaConnection;
use crate::kafka::{Fixed, GroupProtocol};

/// What holds a replay back.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    /// Records per second at most.
    pub(crate) rate: Option<NonZeroU32>,
    pub(crate) gate: Option<Arc<Gate>>,
}

/// Makes the spout `id` of a graph read `fixed` and nothing else.
///
/// It subscribes to nothing, so it is no member of any group: it goes on from what `group` has
/// committed, and commits there.
pub(crate) fn replay(
    config: &KafkaConfig,
    connection: KafkaConnection,
    graph: &mut Graph,
    id: &str,
    group: &str,
    fixed: Fixed,
    hold: Hold,
) {
    let mut consumer = config.consumer(connection, &graph.name);
    consumer.group = group.to_owned();
    // What is about members means nothing here, and is refused together with the other protocol.
    consumer.protocol = GroupProtocol::Classic;
    consumer.instance_id = None;
    let _ = consumer.options.remove("group.remote.assignor");
    consumer.fixed = Some(Arc::new(fixed));
    let mut settings = settings(config, tombstones(config, graph, id));
    settings.rate = hold.rate;
    settings.limits.records = batch_records(hold.rate, settings.limits.records);
    settings.gate = hold.gate;
    if let Some(spout) = graph.spouts.iter_mut().find(|spout| *spout.id == *id) {
        spout.start = Box::new(move |context| start(&consumer, settings.clone(), context));
    }
}

/// The policy by which the spout `id` of a graph drops tombstones, if it does.
pub(crate) fn tombstones(config: &KafkaConfig, graph: &Graph, id: &str) -> Option<Policy> {
    match config.on_tombstone {
        OnTombstone::Pass => None,
        OnTombstone::Drop => graph.policy(&tombstone_policy(id)),
    }
}
