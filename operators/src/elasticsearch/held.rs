//! Indices that take no documents for a reason that a person, or time, must remove: closed, blocked,
//! missing, not permitted, disk full. Their records are tried again with back-off; those tries are how
//! it is found that an index takes documents again. All lanes share what is known.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::Health;
use isobar_topology::clock::{self, Instant};

use super::hosts::cut;

/// The kind of the condition while an index is held.
const HELD: &str = "held";

/// Indices that are remembered at most; more than these are only counted as records that wait.
const KNOWN_MAX: usize = 100;
/// Indices that a condition names at most.
const NAMED_MAX: usize = 3;
/// Longest reason that a condition tells, in bytes.
const REASON_MAX: usize = 300;
/// An index that nobody wrote to for this long is forgotten: its records went to another member of the
/// group. Ten times the longest back-off at its default.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// The indices of one bolt that are held.
#[derive(Debug, Default)]
pub(crate) struct HeldIndices {
    /// Of `known`, to be read for each request.
    count: AtomicUsize,
    known: Mutex<BTreeMap<Arc<str>, Hold>>,
}

#[derive(Debug)]
struct Hold {
    reason: String,
    last_refusal: Instant,
}

impl HeldIndices {
    /// An index has refused a document.
    pub(crate) fn refused(&self, index: &Arc<str>, reason: &str, component: &str, health: &Health) {
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX && !known.contains_key(index) {
            return;
        }
        let hold = Hold {
            reason: cut(reason, REASON_MAX).to_owned(),
            last_refusal: clock::now(),
        };
        let _ = known.insert(Arc::clone(index), hold);
        self.tell(&known, component, health);
    }

    /// These indices have taken documents. Costs next to nothing while none is held.
    pub(crate) fn accepted<'i>(
        &self,
        indices: impl IntoIterator<Item = &'i Arc<str>>,
        component: &str,
        health: &Health,
    ) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut known = self.lock();
        let before = known.len();
        for index in indices {
            let _ = known.remove(index);
        }
        let now = clock::now();
        known.retain(|_, hold| now - hold.last_refusal < FORGET_AFTER);
        if known.len() < before {
            self.tell(&known, component, health);
        }
    }

    fn tell(&self, known: &BTreeMap<Arc<str>, Hold>, component: &str, health: &Health) {
        self.count.store(known.len(), Ordering::Relaxed);
        if known.is_empty() {
            return health.clear(component, HELD);
        }
        let mut text: Vec<String> = known
            .iter()
            .take(NAMED_MAX)
            .map(|(index, hold)| format!("index `{index}` takes no documents: {}", hold.reason))
            .collect();
        if known.len() > NAMED_MAX {
            text.push(format!("and {} more indices", known.len() - NAMED_MAX));
        }
        let text = text.join("; ");
        health.set(
            component,
            HELD,
            format!("{text}; their records are kept and tried again"),
        );
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Hold>> {
        // Nothing panics while holding this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn held_indices_are_told_until_they_take_documents_or_nobody_writes_to_them() {
        let held = HeldIndices::default();
        let health = Health::default();
        let names = ["a", "b", "c", "d"].map(Arc::<str>::from);
        let told = || health.conditions().first().map(|c| c.text.clone());
        held.refused(
            &names[0],
            "400 index_closed_exception: closed",
            "index",
            &health,
        );
        assert_eq!(
            told().as_deref(),
            Some(
                "index `a` takes no documents: 400 index_closed_exception: closed; their records are kept and tried again"
            )
        );
        for name in &names[1..] {
            held.refused(name, "403 blocked", "index", &health);
        }
        assert!(told().expect("four").contains("and 1 more indices"));
        held.accepted(&names[..3], "index", &health);
        assert!(told().expect("one").starts_with("index `d`"));
        tokio::time::advance(FORGET_AFTER).await;
        held.accepted([], "index", &health);
        assert_eq!(told(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_a_bound() {
        let held = HeldIndices::default();
        let health = Health::default();
        for number in 0..2 * KNOWN_MAX {
            let name = format!("index-{number}").into();
            held.refused(&name, "no", "index", &health);
        }
        assert_eq!(held.lock().len(), KNOWN_MAX);
        assert!(health.conditions()[0].text.len() < 2_000);
    }
}
