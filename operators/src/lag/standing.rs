//! A group that is watched from outside, whether its program runs or not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Circumstances, Lag, Source};
use crate::kafka::admin::{Admin, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::lag::Sampler;

/// Samples the lag of a group until it is dropped.
pub struct Standing {
    sampler: Sampler,
    found: Arc<Mutex<Found>>,
}

/// What was learnt beside offsets.
#[derive(Default)]
struct Found {
    owners: BTreeMap<TopicPartition, String>,
    problems: Vec<String>,
}

impl Source {
    /// Watches all partitions of the group from outside: starts a thread that asks the brokers at once
    /// and then every `interval`, at most `within` for each question.
    ///
    /// Fails when no client or thread can be made; unreachable brokers show as [`Lag::failure`].
    pub fn stand(&self, interval: Duration, within: Duration) -> Result<Standing, Error> {
        let admin = Admin::of_group(&self.connection, &self.group, within)?;
        let found = Arc::new(Mutex::new(Found::default()));
        let (theirs, source) = (Arc::clone(&found), self.clone());
        let which = move |admin: &Admin| {
            let (partitions, problems) = source.partitions(admin)?;
            *lock(&theirs) = Found {
                owners: admin.owners().unwrap_or_default(),
                problems,
            };
            Ok(partitions)
        };
        Ok(Standing {
            sampler: Sampler::start(admin, interval, Box::new(which), None)?,
            found,
        })
    }
}

impl Standing {
    /// The lag now, from the newest samples; `None` before the first answer or failure. Never waits.
    pub fn read(&self) -> Option<Lag> {
        if !self.sampler.has_begun() {
            return None;
        }
        let mut rows = self.sampler.rows(None, &Circumstances::default());
        let found = lock(&self.found);
        for row in &mut rows {
            row.owner = found.owners.get(&row.partition).cloned();
        }
        let failures: Vec<String> = found
            .problems
            .iter()
            .cloned()
            .chain(self.sampler.failure())
            .collect();
        Some(Lag {
            rows,
            failure: (!failures.is_empty()).then(|| failures.join("; ")),
        })
    }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}
