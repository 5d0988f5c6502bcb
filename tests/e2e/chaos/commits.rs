//! What the group has committed, looked at all the time, and in the end every commit that the brokers took.
//! A member that was put out of its group knows older offsets than the one that reads on: were its commit
//! taken, the group would go back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use testkit::services::KafkaClient;
use testkit::services::kafka::Received;
use testkit::wait;

const PAUSE: Duration = Duration::from_millis(300);

/// Where the brokers keep commits.
const COMMITS: &str = "__consumer_offsets";

pub(super) struct Commits<'k> {
    pub(super) kafka: &'k KafkaClient,
    pub(super) group: &'static str,
}

impl Commits<'_> {
    /// Looks until it is over; panics when a commit is before one that was seen, or beyond the end.
    pub(super) fn watch(&self, over: &AtomicBool) {
        let mut seen: Vec<i64> = Vec::new();
        while !over.load(Ordering::Acquire) {
            // While a broker is away there may be no answer.
            if let Ok(committed) = self.kafka.committed(self.group, "logs") {
                let committed = committed.iter().map(|offset| offset.unwrap_or(0));
                let committed: Vec<i64> = committed.collect();
                let goes_back = seen.iter().zip(&committed).any(|(old, new)| new < old);
                assert!(!goes_back, "from {seen:?} to {committed:?}");
                seen = committed;
            }
            wait::rest(PAUSE);
        }
    }

    /// Fails when the brokers took a commit that is before an earlier one of its partition. Returns how many
    /// they took.
    pub(super) fn check_all(&self, limit: Duration) -> Result<u64> {
        let (mut taken, mut last) = (0, BTreeMap::new());
        for record in self.kafka.consume_all(COMMITS, limit)? {
            let Some((partition, offset)) = commit_of(&record, self.group) else {
                continue;
            };
            let before = last.insert(partition, offset);
            ensure!(
                before <= Some(offset),
                "partition {partition} went back from {before:?} to {offset}"
            );
            taken += 1;
        }
        Ok(taken)
    }
}

/// Partition of `logs` and offset, where the record is a commit of this group to that topic. Key: version, 0 or
/// 1 for a commit, group, topic, partition. Value: version, offset, and what follows. None is a group's that is
/// deleted. From Kafka's `OffsetCommitKey.json` and `OffsetCommitValue.json`.
fn commit_of(record: &Received, group: &str) -> Option<(i32, i64)> {
    let mut key = record.key.as_deref()?;
    let version = i16::from_be_bytes(taken(&mut key)?);
    let is_meant = matches!(version, 0 | 1)
        && text(&mut key)? == group.as_bytes()
        && text(&mut key)? == b"logs";
    if !is_meant {
        return None;
    }
    let mut value = record.value.as_deref()?;
    let _version: [u8; 2] = taken(&mut value)?;
    let (partition, offset) = (taken(&mut key)?, taken(&mut value)?);
    Some((i32::from_be_bytes(partition), i64::from_be_bytes(offset)))
}

fn text<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = u16::from_be_bytes(taken(bytes)?);
    let (text, rest) = bytes.split_at_checked(length.into())?;
    *bytes = rest;
    Some(text)
}

fn taken<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}
