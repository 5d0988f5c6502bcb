//! An index on all of whose documents the server fails, told until it takes one. It is waited for as an outage
//! is; but where a document is alone in its requests it may be what the server fails on, and then nothing but
//! this tells why its record is sent again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::Health;
use isobar_topology::clock::{self, Instant};

use super::hosts::{CAUSE_MAX, cut};
use super::reply::without_reason;

/// The kind of the condition.
const FAILING: &str = "failing";
/// An index that nobody wrote to for this long is forgotten when another one takes documents: its records went
/// to another member of the group. Ten times the longest back-off at its default.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// The index of a bolt that is told. Of several one is; when that one is over, the next failure tells another.
#[derive(Debug, Default)]
pub(crate) struct FailingIndex {
    /// To be read for each request.
    is_told: AtomicBool,
    told: Mutex<Option<Told>>,
}

#[derive(Debug)]
struct Told {
    index: Arc<str>,
    last_failure: Instant,
}

impl FailingIndex {
    /// The server has failed on all documents of this index in a request, and said this.
    pub(crate) fn failed(
        &self,
        index: &Arc<str>,
        error: &str,
        (component, health): (&str, &Health),
    ) {
        let mut told = self.lock();
        if told.as_ref().is_some_and(|told| told.index != *index) {
            return;
        }
        *told = Some(Told {
            index: Arc::clone(index),
            last_failure: clock::now(),
        });
        self.is_told.store(true, Ordering::Relaxed);
        let text = format!(
            "index `{index}`: the server fails on every document: {} (its log says why); they are sent again, nothing is lost",
            cut(without_reason(error), CAUSE_MAX)
        );
        health.set(component, FAILING, text);
    }

    /// These indices have taken documents. Costs next to nothing while none is told.
    pub(crate) fn accepted<'i>(
        &self,
        indices: impl IntoIterator<Item = &'i Arc<str>>,
        (component, health): (&str, &Health),
    ) {
        if !self.is_told.load(Ordering::Relaxed) {
            return;
        }
        let mut told = self.lock();
        let is_over = told.as_ref().is_some_and(|told| {
            let is_old = clock::now() - told.last_failure >= FORGET_AFTER;
            is_old || indices.into_iter().any(|index| *index == told.index)
        });
        if is_over {
            *told = None;
            self.is_told.store(false, Ordering::Relaxed);
            health.clear(component, FAILING);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Told>> {
        // Nothing panics while holding this lock.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_failing_index_is_told_until_it_takes_documents_or_nobody_writes_to_it() {
        let failing = FailingIndex::default();
        let health = Health::default();
        let to = ("index", &health);
        let [a, b] = ["a", "b"].map(Arc::<str>::from);
        let told = || health.conditions().first().map(|c| c.text.clone());
        failing.failed(&a, "500 null_pointer_exception: of `secret`", to);
        failing.failed(&b, "500 null_pointer_exception", to);
        assert_eq!(
            told().as_deref(),
            Some(
                "index `a`: the server fails on every document: 500 null_pointer_exception (its log says why); they are sent again, nothing is lost"
            )
        );
        failing.accepted([&b], to);
        assert!(told().is_some());
        failing.accepted([&b, &a], to);
        assert_eq!(told(), None);
        failing.failed(&b, "500 null_pointer_exception", to);
        assert!(told().expect("another").starts_with("index `b`"));
        tokio::time::advance(FORGET_AFTER).await;
        failing.accepted([&a], to);
        assert_eq!(told(), None);
    }
}
