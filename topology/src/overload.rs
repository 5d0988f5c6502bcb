//! What becomes of records that come faster than they can be taken: they wait, or a named policy drops
//! some. Knows neither queues nor lanes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::batch::Batch;
use crate::clock::{self, Instant};
use crate::grouping::KeyHash;
use crate::outcome::Policy;
use crate::record::Record;
use crate::spec::units::Rate;

/// What bounds the records of a spout or an edge, and what becomes of those beyond. By default they wait.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overload {
    /// How fast records may follow each other, over all lanes. Faster ones wait; what was not used for
    /// up to a second may follow at once.
    pub throttle: Option<Rate>,
    /// What becomes of records for which there is no room.
    pub on_full: OnFull,
}

/// What becomes of records for which there is no room: in the queue of an edge, or in flight of a spout.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum OnFull {
    /// They wait, and so does everything before them.
    #[default]
    Block,
    /// They are dropped.
    DropNewest(Policy),
    /// The batch that waits longest makes room for them. Of edges only: what a spout has in flight is
    /// with bolts and cannot be taken back.
    DropOldest(Policy),
    /// A share of them waits, the rest is dropped.
    Sample {
        /// The share that waits, from 0 to 1.
        keep: f64,
        /// By which policy the others are dropped.
        policy: Policy,
    },
}

impl OnFull {
    /// The policy by which it drops.
    pub fn policy(self) -> Option<Policy> {
        match self {
            Self::Block => None,
            Self::DropNewest(policy) | Self::DropOldest(policy) | Self::Sample { policy, .. } => {
                Some(policy)
            }
        }
    }
}

/// Where a record stands between 0 and 1, evenly spread, by cluster, topic, partition and offset: the
/// same whenever and wherever it is read. All parts of a split record stand where it does, since it counts
/// as dropped when one of them is. Behind a `sample`, which goes by the same, it must keep others.
fn place(record: &Record<'_>) -> f64 {
    let mut hash = KeyHash::default();
    hash.add(Some(b"on_full"));
    hash.add(Some(&record.source().to_le_bytes()));
    hash.add(Some(&record.partition().to_le_bytes()));
    hash.add(Some(&record.offset().to_le_bytes()));
    hash.share()
}

/// Parts a batch into the share of its records that is kept, and the rest.
pub(crate) fn sampled(batch: Batch, keep: f64) -> (Option<Batch>, Option<Batch>) {
    let part_of = batch
        .records()
        .map(|record| u8::from(place(&record) >= keep));
    let part_of: Vec<u8> = part_of.collect();
    let mut parts = batch.part(&part_of, 2).into_iter();
    (parts.next().flatten(), parts.next().flatten())
}

/// Lets so many records through in a second, shared by all lanes. A batch passes whole as long as
/// anything is left, and what it takes too much is made up for by the next one.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: f64,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    records: f64,
    at: Instant,
}

impl Throttle {
    /// One for this rate. At the start one batch passes.
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            per_second: rate.per_second(),
            left: Mutex::new(Left {
                records: 1.0,
                at: clock::now(),
            }),
        }
    }

    /// When the next batch may pass; `None` for now.
    pub(crate) fn due(&self) -> Option<Instant> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        let since = now.saturating_duration_since(left.at).as_secs_f64();
        left.records = (left.records + since * self.per_second).min(self.per_second.max(1.0));
        left.at = now;
        // The clock of the runtime counts milliseconds.
        let wait = (1.0 - left.records) / self.per_second;
        (wait > 0.0).then(|| now + Duration::from_secs_f64(wait).max(Duration::from_millis(1)))
    }

    /// Counts records that pass.
    pub(crate) fn spend(&self, records: usize) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.records -= records as f64;
    }

    /// Waits until the next batch may pass, and counts its records. Cancel-safe: who does not wait to
    /// the end has counted nothing.
    pub(crate) async fn pass(&self, records: usize) {
        while let Some(at) = self.due() {
            tokio::time::sleep_until(at).await;
        }
        self.spend(records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbol::Symbols;
    use crate::testing::{Harness, Input};

    #[test]
    fn of_what_a_sample_keeps_a_policy_keeps_its_share() {
        let mut harness = Harness::new(Symbols::new());
        let batch = harness.batch(&vec![Input::raw("x"); 10_000]);
        let sampled = batch.records().filter(|record| {
            let mut hash = KeyHash::default();
            hash.add(Some(&record.source().to_le_bytes()));
            hash.add(Some(&record.partition().to_le_bytes()));
            hash.add(Some(&record.offset().to_le_bytes()));
            hash.share() < 0.1
        });
        let places: Vec<f64> = sampled.map(|record| place(&record)).collect();
        let kept = places.iter().filter(|place| **place < 0.3).count() as f64;
        let share = kept / places.len() as f64;
        assert!((0.25..0.35).contains(&share), "{share} of {}", places.len());
    }

    fn throttle(rate: &str) -> Throttle {
        Throttle::new(rate.parse().expect("a rate"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_lets_its_rate_through_on_average() {
        let throttle = throttle("100/s");
        let began = clock::now();
        for _ in 0..21 {
            throttle.pass(50).await;
        }
        let took = (clock::now() - began).as_secs_f64();
        assert!((9.9..10.2).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_saved_for_a_second() {
        let throttle = throttle("100/s");
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let began = clock::now();
        for _ in 0..100 {
            throttle.pass(1).await;
        }
        assert_eq!(clock::now(), began);
        throttle.pass(1).await;
        assert!(clock::now() > began);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_counts_nothing() {
        let throttle = throttle("10/s");
        throttle.pass(11).await;
        let due = throttle.due();
        let gave_up = tokio::time::timeout(Duration::from_millis(1), throttle.pass(1_000)).await;
        assert!(gave_up.is_err());
        assert_eq!(throttle.due(), due);
    }
}
