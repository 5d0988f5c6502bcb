//! Indices that have taken no document for a while since the cluster refuses them for the moment: its queues or memory
//! are full. Such documents are sent again as often as it takes, whether they are refused one by one or with their
//! whole request, so nothing but this tells why nothing gets on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::Health;
use isobar_topology::clock::{self, Instant};

use super::hosts::{CAUSE_MAX, cut};
use super::reply::without_reason;

/// The kind of the condition.
const BUSY: &str = "busy";
/// An index that takes nothing for so long is told. That is the longest back-off at its default: what the next try
/// mends is none of anybody's business.
const TOLD_AFTER: Duration = Duration::from_secs(30);
/// Indices that are remembered at most, a few hundred bytes each. Where more of them take nothing these are told.
const KNOWN_MAX: usize = 1_000;
/// An index to which nothing was refused for this long is forgotten: its records went to another member of the group.
/// Ten times the longest back-off at its default.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// The indices of a bolt that refuse documents for the moment.
#[derive(Debug, Default)]
pub(crate) struct BusyIndices {
    /// Of `known`, to be read for each request.
    count: AtomicUsize,
    known: Mutex<BTreeMap<Arc<str>, Busy>>,
}

/// An index that has taken nothing since its first refusal.
#[derive(Debug)]
struct Busy {
    first: Instant,
    last: Instant,
    /// Status and type of the last one.
    answer: String,
}

impl BusyIndices {
    /// These indices have refused a document for the moment, each with this answer.
    pub(crate) fn refused<'i>(
        &self,
        refusals: impl IntoIterator<Item = (&'i Arc<str>, &'i str)>,
        to: (&str, &Health),
    ) {
        let mut known = self.lock();
        let now = clock::now();
        forget(&mut known, now);
        for (index, error) in refusals {
            let answer = cut(without_reason(error), CAUSE_MAX).to_owned();
            if let Some(busy) = known.get_mut(index) {
                (busy.last, busy.answer) = (now, answer);
            } else if known.len() < KNOWN_MAX {
                let busy = Busy {
                    first: now,
                    last: now,
                    answer,
                };
                let _ = known.insert(Arc::clone(index), busy);
            }
        }
        self.tell(&known, to);
    }

    /// These indices have taken documents. Costs next to nothing while none refuses any.
    pub(crate) fn accepted<'i>(
        &self,
        indices: impl IntoIterator<Item = &'i Arc<str>>,
        to: (&str, &Health),
    ) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut known = self.lock();
        let before = known.len();
        for index in indices {
            drop(known.remove(index));
        }
        forget(&mut known, clock::now());
        if known.len() < before {
            self.tell(&known, to);
        }
    }

    fn tell(&self, known: &BTreeMap<Arc<str>, Busy>, (component, health): (&str, &Health)) {
        self.count.store(known.len(), Ordering::Relaxed);
        let is_told = |busy: &Busy| busy.last - busy.first >= TOLD_AFTER;
        let mut told = known.iter().filter(|(_, busy)| is_told(busy));
        let Some((index, Busy { answer, .. })) = told.next() else {
            return health.clear(component, BUSY);
        };
        let more = match told.count() {
            0 => String::new(),
            more => format!("; so it is with {more} more"),
        };
        let seconds = TOLD_AFTER.as_secs();
        let text = format!(
            "index `{index}` has taken no documents for {seconds}s or longer: {answer}{more}; they are sent again, nothing is lost"
        );
        health.set(component, BUSY, text);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Busy>> {
        // Nothing panics while holding this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(known: &mut BTreeMap<Arc<str>, Busy>, now: Instant) {
    known.retain(|_, busy| now - busy.last < FORGET_AFTER);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "429 es_rejected_execution_exception: rejected `secret`";

    #[tokio::test(start_paused = true)]
    async fn what_takes_nothing_for_long_is_told_with_the_last_answer_until_it_takes_something() {
        let busy = BusyIndices::default();
        let health = Health::default();
        let to = ("index", &health);
        let [a, b] = ["a", "b"].map(Arc::<str>::from);
        let told = || health.conditions().first().map(|c| c.text.clone());
        busy.refused([(&a, ANSWER), (&b, ANSWER)], to);
        tokio::time::advance(TOLD_AFTER - Duration::from_secs(1)).await;
        busy.refused([(&a, ANSWER), (&b, ANSWER)], to);
        assert_eq!(told(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        busy.refused([(&a, "429 circuit_breaking_exception: too large")], to);
        let text = "index `a` has taken no documents for 30s or longer: 429 circuit_breaking_exception; they are sent again, nothing is lost";
        assert_eq!(told().as_deref(), Some(text));
        busy.refused([(&b, ANSWER)], to);
        let text = told().expect("both");
        assert!(
            text.contains("_exception; so it is with 1 more; "),
            "{text}"
        );
        busy.accepted([&a], to);
        let text = told().expect("the other one");
        let start = "index `b` has taken no documents for 30s or longer: 429 es_rejected_execution_exception; they";
        assert!(text.starts_with(start), "{text}");
        busy.accepted([&b], to);
        assert_eq!(told(), None);
        // From then on anew.
        busy.refused([(&b, ANSWER)], to);
        assert_eq!(told(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_writes_to_any_more_is_forgotten() {
        let busy = BusyIndices::default();
        let health = Health::default();
        let to = ("index", &health);
        let [a, b] = ["a", "b"].map(Arc::<str>::from);
        busy.refused([(&a, ANSWER)], to);
        tokio::time::advance(TOLD_AFTER).await;
        busy.refused([(&a, ANSWER)], to);
        assert_eq!(health.conditions().len(), 1);
        tokio::time::advance(FORGET_AFTER).await;
        busy.accepted([&b], to);
        assert_eq!(health.conditions(), []);
        // One refusal now and then is none that lasts.
        for _ in 0..3 {
            busy.refused([(&a, ANSWER)], to);
            assert_eq!(health.conditions(), []);
            tokio::time::advance(FORGET_AFTER).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_a_bound() {
        let busy = BusyIndices::default();
        let health = Health::default();
        let to = ("index", &health);
        let names = (0..2 * KNOWN_MAX).map(|number| format!("index-{number:04}").into());
        let names: Vec<Arc<str>> = names.collect();
        for _ in 0..2 {
            busy.refused(names.iter().map(|name| (name, ANSWER)), to);
            tokio::time::advance(TOLD_AFTER).await;
        }
        assert_eq!(busy.lock().len(), KNOWN_MAX);
        let text = &health.conditions()[0].text;
        assert!(text.contains("so it is with 999 more"), "{text}");
    }
}
