//! The sums over all spouts of a topology.

use std::collections::BTreeSet;

use isobar_operators::lag::{Exactness, NO_LEADER};
use serde::{Deserialize, Serialize};

use super::figures::{SpoutLag, count};
use super::table::{Width, records};
use crate::output::known;

/// What is summed up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Partitions that are listed.
    pub partitions: usize,
    /// Brokers that lead them; null where that of one is not known.
    pub leading_brokers: Option<usize>,
    /// Records that the brokers hold of them; null where that of one is not known.
    pub depth: Option<u64>,
    /// Records that are not settled.
    pub lag: Option<u64>,
    /// How the lag is to be taken: as that of the partition of which least is known.
    pub lag_exactness: Exactness,
}

impl Totals {
    /// Sums them up.
    pub fn of(spouts: &[SpoutLag]) -> Self {
        let partitions = spouts.iter().flat_map(|spout| &spout.partitions);
        let leaders = partitions.clone().map(|one| one.leader.as_deref());
        let leaders: Option<BTreeSet<&str>> = leaders.collect();
        let leading = leaders.map(|all| all.into_iter().filter(|one| *one != NO_LEADER).count());
        let exactness = spouts.iter().map(|spout| spout.lag_exactness).min();
        Self {
            partitions: partitions.clone().count(),
            leading_brokers: leading,
            depth: count(partitions.map(|one| one.depth)),
            lag: count(spouts.iter().map(|spout| spout.lag)),
            lag_exactness: exactness.unwrap_or_default(),
        }
    }

    /// The same in a sentence; the brokers where there is room. `None` where nothing is known of any.
    pub fn text(&self, width: Width) -> Option<String> {
        let Self {
            partitions, depth, ..
        } = self;
        if *partitions == 0 && self.lag.is_none() {
            return None;
        }
        let led = match width {
            Width::Usual => String::new(),
            Width::Wide => format!(" (leading brokers: {})", known(self.leading_brokers)),
        };
        Some(format!(
            "{partitions} partitions{led} hold {} records, {} of them are not settled.\n",
            known(*depth),
            records(self.lag, self.lag_exactness)
        ))
    }
}
