//! The indices that documents of a plan go to, by name, as far as records here and there of its ranges tell.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::range::{LOOKED_AT, Range};
use isobar_operators::sample::Sampled;

use crate::exit::Failure;
use crate::rehearsal::Stage;

/// Records that are rehearsed for it at most, or somewhat more; of more than these every second, third, ….
const REHEARSED_MAX: u64 = 20_000;
/// Names of a bolt that are kept at most.
const NAMES_MAX: usize = 10_000;

/// The names that bolts would write some records to.
#[derive(Default)]
pub(super) struct Destinations {
    /// Where they are rehearsed; without one nothing is.
    stage: Option<Stage>,
    spout: String,
    /// Of so many records one is rehearsed.
    every: u64,
    records: u64,
    names: BTreeMap<String, BTreeSet<String>>,
    failure: Option<Failure>,
}

impl Destinations {
    /// For what is looked at of some ranges of a spout.
    pub(super) fn of(stage: Stage, spout: &str, ranges: &[Range]) -> Self {
        let records = ranges.iter().map(|range| range.len().min(LOOKED_AT));
        let records: u64 = records.sum();
        Self {
            stage: Some(stage),
            spout: spout.to_owned(),
            every: records.div_ceil(REHEARSED_MAX).max(1),
            ..Self::default()
        }
    }

    /// Takes the next record.
    pub(super) fn take(&mut self, record: &Sampled) {
        let Some(stage) = &mut self.stage else {
            return;
        };
        let is_taken = self.records.is_multiple_of(self.every);
        self.records += 1;
        if !is_taken || self.failure.is_some() {
            return;
        }
        match stage.targets(&self.spout, record) {
            Ok(targets) => {
                for (bolt, name) in targets {
                    let names = self.names.entry(bolt).or_default();
                    if names.len() < NAMES_MAX {
                        let _ = names.insert(name);
                    }
                }
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    /// The names by bolt. Fails when a bolt could not be made.
    pub(super) fn names(self) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.names),
        }
    }
}
