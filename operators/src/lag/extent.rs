//! How many partitions the topics of a spout have, whoever reads them: so that replicas together can tell which
//! ones are read by none of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};

use super::Source;
use crate::kafka::admin::{Admin, TopicPartition};
use crate::kafka::error::Error;

/// How long it is believed. Partitions are added seldom, and a consumer learns of new ones no sooner.
const LASTS: Duration = Duration::from_secs(30);

/// What is known of the topics of a spout.
#[derive(Default)]
pub(super) struct Extent(Mutex<Known>);

#[derive(Default)]
struct Known {
    partitions: BTreeMap<String, i32>,
    /// When that was asked for, well or not.
    asked: Option<Instant>,
}

impl Extent {
    /// Asks for the topics of a source, unless something is read and they are known since less than [`LASTS`].
    ///
    /// While nothing is read this is the only question, and fails when the brokers do not answer, or where a topic
    /// is not there. Otherwise those about offsets tell that, and what was known stays.
    pub(super) fn ask(&self, source: &Source, admin: &Admin, reads: bool) -> Result<(), Error> {
        let now = clock::now();
        let is_due = self.known().asked.is_none_or(|at| now >= at + LASTS);
        if reads && !is_due {
            return Ok(());
        }
        self.known().asked = Some(now);
        let told = source.partitions(admin);
        if let Ok((partitions, _)) = &told {
            self.known().partitions = counts(partitions);
        }
        match told {
            Ok((_, problems)) if !reads && !problems.is_empty() => {
                Err(Error::Config(problems.join("; ")))
            }
            Err(error) if !reads => Err(error),
            _ => Ok(()),
        }
    }

    /// How many partitions each topic has; empty where that is not known.
    pub(super) fn topics(&self) -> BTreeMap<String, i32> {
        self.known().partitions.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many partitions each topic has of which these are all.
pub(super) fn counts(partitions: &[TopicPartition]) -> BTreeMap<String, i32> {
    let mut counts = BTreeMap::new();
    for TopicPartition { topic, partition } in partitions {
        let count = counts.entry(topic.to_string()).or_default();
        *count = (partition + 1).max(*count);
    }
    counts
}
