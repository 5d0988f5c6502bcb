//! How many records each policy dropped since the start, for whoever tells of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::outcome::Policy;
use crate::partition::{Account, Partitions};

/// Counts what is dropped, over all spouts of a topology. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Dropped {
    /// Names of all policies.
    policies: Arc<[String]>,
    /// Those that drop records since too many come.
    lossy: Arc<BTreeSet<Policy>>,
    /// Each with its id.
    spouts: Arc<[(Arc<str>, Arc<Partitions>)]>,
}

/// What one policy dropped of one spout's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedBy {
    /// The spout's id.
    pub spout: Arc<str>,
    /// The policy's name.
    pub policy: String,
    /// Whether it drops records since too many come.
    pub is_lossy: bool,
    /// Records since the start of the topology, at least 1.
    pub records: u64,
}

impl Dropped {
    pub(crate) fn new(
        policies: &[String],
        lossy: &BTreeSet<Policy>,
        spouts: Vec<(Arc<str>, Arc<Partitions>)>,
    ) -> Self {
        Self {
            policies: policies.into(),
            lossy: Arc::new(lossy.clone()),
            spouts: spouts.into(),
        }
    }

    /// What was dropped, by spout and policy, where it was anything.
    pub fn counts(&self) -> Vec<DroppedBy> {
        let mut counts = Vec::new();
        for (spout, partitions) in &*self.spouts {
            let mut sum = Account::default();
            for (partition, _) in partitions.ever() {
                sum.add(&partition.account());
            }
            let of_policies = sum.dropped.into_iter().map(|(policy, records)| DroppedBy {
                spout: Arc::clone(spout),
                policy: self.policies[policy.index()].clone(),
                is_lossy: self.lossy.contains(&policy),
                records,
            });
            counts.extend(of_policies);
        }
        counts
    }
}
