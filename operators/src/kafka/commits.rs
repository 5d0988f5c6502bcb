//! In which requests frontiers are committed, and what their answers mean.
//!
//! When the broker refuses one partition of a request, it stores the others; but librdkafka 2.12 then
//! gives that one's error to all of them (`rd_kafka_cgrp_update_committed_offsets`), so nobody learns
//! what was stored. A partition of such a request is committed alone until that succeeds: then each
//! has an answer of its own, and only those that are refused stay alone.

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::mailbox::Frontier;

/// Divides frontiers into requests: those that go together first, none of them empty.
pub(crate) fn requests(frontiers: Vec<Frontier>) -> Vec<Vec<Frontier>> {
    let is_alone = |frontier: &Frontier| frontier.assignment.commits_alone();
    let (alone, together): (Vec<_>, Vec<_>) = frontiers.into_iter().partition(is_alone);
    let alone = alone.into_iter().map(|frontier| vec![frontier]);
    let requests = std::iter::once(together).chain(alone);
    requests.filter(|request| !request.is_empty()).collect()
}

/// Writes frontiers as the list of a commit request; those that librdkafka cannot take are left
/// out.
pub(crate) fn list(frontiers: &[Frontier]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(frontiers.len());
    for frontier in frontiers {
        let partition = &frontier.assignment.partition;
        let mut element = list.add_partition(&partition.topic, partition.partition);
        if element.set_offset(Offset::Offset(frontier.offset)).is_ok()
            && !frontier.metadata.is_empty()
        {
            element.set_metadata(&frontier.metadata);
        }
    }
    list
}

/// Tells whether a commit failed because the group is on the move: the next one goes through.
pub(crate) fn is_rebalancing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::NoOffset
            | RDKafkaErrorCode::StaleMemberEpoch
    )
}

/// Tells whether a broker gives this error to one partition of a request and may store the others
/// (Kafka 4.1: `KafkaApis.handleOffsetCommitRequest`, `OffsetMetadataManager.commitOffset`). It
/// gives the last one when a request is too large, which it may be no more when divided.
pub(crate) fn is_of_one_partition(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::OffsetMetadataTooLarge
            | RDKafkaErrorCode::InvalidCommitOffsetSize
    )
}
