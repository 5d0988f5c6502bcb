//! Which indices exist, for bolts that make none: each name is asked for when its first record comes, and
//! again after a while. All lanes share what is known.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use isobar_topology::{OperatorError, Policy};

use super::ask::Ask;

/// So long an answer is believed: an index may be deleted, or made, while records come.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// Names that are known at a time; the oldest answers are forgotten for new ones.
const KNOWN_MAX: usize = 1_000;

/// The names that a bolt has asked for: indices, aliases and data streams.
pub(crate) struct Existing {
    /// By which documents for other names are dropped.
    pub(crate) policy: Policy,
    known: Mutex<BTreeMap<Arc<str>, (bool, Instant)>>,
}

impl Existing {
    /// Nothing is known yet.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            known: Mutex::default(),
        }
    }

    /// Whether there is something of this name; `None` where that is to be asked.
    pub(crate) fn has(&self, name: &str) -> Option<bool> {
        let known = self.lock();
        let (is_there, since) = known.get(name)?;
        (clock::now() - *since < BELIEVED_FOR).then_some(*is_there)
    }

    /// Asks for names. Fails, with nothing known of the others, when no host answers for one.
    pub(crate) async fn learn(
        &self,
        ask: &Ask,
        names: impl IntoIterator<Item = Arc<str>>,
    ) -> Result<(), OperatorError> {
        for name in names {
            let is_there = ask.exists(&name).await?;
            let mut known = self.lock();
            if known.len() >= KNOWN_MAX && !known.contains_key(&name) {
                let oldest = known.iter().min_by_key(|(_, (_, since))| *since);
                if let Some(oldest) = oldest.map(|(name, _)| Arc::clone(name)) {
                    let _ = known.remove(&oldest);
                }
            }
            let _ = known.insert(name, (is_there, clock::now()));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, (bool, Instant)>> {
        // Nothing panics while holding this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
