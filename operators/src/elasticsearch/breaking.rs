//! Documents on which the connection breaks whenever they are sent alone: something on the way takes no request of
//! their size, and breaks off where a server would answer 413. They are told of; and one that breaks it again and
//! again while others get through is at fault, and no outage.
//!
//! Where requests of any kind break, one document can break several times in a row by chance, the more so the longer
//! it is on the way: ten times say all where hardly anything else breaks, and nothing where half of it does. So it
//! is not counted to a number, but until chance would do the same to one document in [`BY_CHANCE`] or fewer. In an
//! outage that is never: a time counts only where something was answered since the one before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::Health;
use isobar_topology::clock::{self, Instant};

/// The kind of the condition.
const BREAKING: &str = "breaking";
/// So many times in a row a document has broken the connection when it is told of.
const TOLD_FROM: u32 = 3;
/// And so many at least when it may be at fault.
const AT_FAULT_FROM: u32 = 10;
/// It is at fault where chance breaks one document in so many, or in more, as often in a row.
const BY_CHANCE: f64 = 1e10;
/// Documents that are remembered at most, a few hundred bytes each.
const KNOWN_MAX: usize = 1_000;
/// One that was not sent for this long is forgotten: its record went to another member of the group. Ten times the
/// longest back-off at its default.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// A document that was sent alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Document {
    pub(crate) index: Arc<str>,
    pub(crate) id: Option<String>,
    /// Of its request.
    pub(crate) bytes: usize,
}

/// What a bolt knows of connections that break.
#[derive(Debug)]
pub(crate) struct Breaking {
    /// Ids hold nothing of documents, so that they may be shown.
    shows_ids: bool,
    /// Requests that were answered.
    answered: AtomicU64,
    /// Requests on which the connection broke, without those of documents that are known for it.
    broken: AtomicU64,
    /// Bytes of both.
    bytes: AtomicU64,
    /// Of `known`, to be read for each request.
    count: AtomicUsize,
    known: Mutex<BTreeMap<Document, Known>>,
}

#[derive(Debug)]
struct Known {
    /// In a row, of those before which something else was answered: where nothing is, it is an outage.
    times: u32,
    last: Instant,
    /// Requests that were answered, when it did so last.
    seen: u64,
    /// All requests, when it did so first.
    before: Requests,
}

/// Requests other than those of documents that are known to break the connection.
#[derive(Clone, Copy, Debug)]
struct Requests {
    answered: u64,
    broken: u64,
    bytes: u64,
}

impl Requests {
    fn since(self, before: Self) -> Self {
        Self {
            answered: self.answered - before.answered,
            broken: self.broken.saturating_sub(before.broken),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }

    /// The share of requests of so many bytes that break by chance where these did: each part of a request that is as
    /// large as one of these on average breaks as often as they do. With the rule of succession, so that a few that
    /// went well do not mean that all do.
    fn breaking(self, bytes: usize) -> f64 {
        let (requests, broken) = ((self.answered + self.broken) as f64, self.broken as f64);
        let parts = bytes as f64 * requests / (self.bytes as f64).max(1.0);
        1.0 - (1.0 - (broken + 1.0) / (requests + 2.0)).powf(parts.max(1.0))
    }
}

impl Breaking {
    pub(crate) fn new(shows_ids: bool) -> Self {
        Self {
            shows_ids,
            answered: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            known: Mutex::default(),
        }
    }

    /// A request of so many bytes was answered, whatever the answer. Documents that nobody sends any more are told of
    /// no longer.
    pub(crate) fn answered(&self, bytes: usize, (component, health): (&str, &Health)) {
        let _ = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let _ = self.answered.fetch_add(1, Ordering::Relaxed);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut known = self.lock();
        if forget(&mut known) {
            self.tell(&known, component, health);
        }
    }

    /// The connection broke on a request of so many bytes, of several documents or of a small one.
    pub(crate) fn broke(&self, bytes: usize) {
        let _ = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let _ = self.broken.fetch_add(1, Ordering::Relaxed);
    }

    /// This document, alone in its request, was answered. Costs next to nothing while none is known.
    pub(crate) fn passed(
        &self,
        document: impl FnOnce() -> Document,
        (component, health): (&str, &Health),
    ) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut known = self.lock();
        if known.remove(&document()).is_some() {
            self.tell(&known, component, health);
        }
    }

    /// The connection broke on this document, alone in its request. Says why it is rejected, where it is at fault.
    pub(crate) fn broke_on(
        &self,
        document: Document,
        (component, health): (&str, &Health),
    ) -> Option<String> {
        let mut known = self.lock();
        let now = clock::now();
        let _ = forget(&mut known);
        let all = self.requests();
        let mut fault = None;
        if let Some(one) = known.get_mut(&document) {
            one.times += u32::from(all.answered > one.seen);
            (one.last, one.seen) = (now, all.answered);
            let others = all.since(one.before);
            let by_chance = others.breaking(document.bytes).powf(f64::from(one.times));
            if one.times >= AT_FAULT_FROM && by_chance * BY_CHANCE <= 1.0 {
                let (times, bytes) = (one.times, document.bytes);
                let Requests {
                    answered, broken, ..
                } = others;
                fault = Some(format!(
                    "the connection broke each of {times} times that this document was sent alone, in a request \
                     of {bytes} bytes, while {answered} other requests were answered and {broken} broke"
                ));
                let _ = known.remove(&document);
            }
        } else {
            self.broke(document.bytes);
            if known.len() < KNOWN_MAX {
                let one = Known {
                    times: 1,
                    last: now,
                    seen: all.answered,
                    before: self.requests(),
                };
                let _ = known.insert(document, one);
            }
        }
        self.tell(&known, component, health);
        fault
    }

    fn requests(&self) -> Requests {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Requests {
            answered: load(&self.answered),
            broken: load(&self.broken),
            bytes: load(&self.bytes),
        }
    }

    fn tell(&self, known: &BTreeMap<Document, Known>, component: &str, health: &Health) {
        self.count.store(known.len(), Ordering::Relaxed);
        let mut told = known.iter().filter(|(_, one)| one.times >= TOLD_FROM);
        let Some((document, one)) = told.next() else {
            return health.clear(component, BREAKING);
        };
        let Document { index, id, bytes } = document;
        let id = match id {
            Some(id) if self.shows_ids => format!(" with the id `{id}`"),
            _ => String::new(),
        };
        let more = match told.count() {
            0 => String::new(),
            more => format!("; so it does on {more} more"),
        };
        let times = one.times;
        let text = format!(
            "index `{index}`: the connection broke each of {times} times that a document{id} was sent alone, in a \
             request of {bytes} bytes, while others were answered: something on the way may not take as much{more}; it is sent again, and \
             dead-lettered where that goes on"
        );
        health.set(component, BREAKING, text);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Document, Known>> {
        // Nothing panics while holding this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of documents that were not sent for long; returns whether there were any.
fn forget(known: &mut BTreeMap<Document, Known>) -> bool {
    let (before, now) = (known.len(), clock::now());
    known.retain(|_, one| now - one.last < FORGET_AFTER);
    known.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str) -> Document {
        Document {
            index: "logs".into(),
            id: Some(id.to_owned()),
            bytes: 1 << 20,
        }
    }

    /// After how many times it is at fault, where so many requests, each so many times smaller than it, are answered
    /// in between, and so many break.
    fn at_fault(answered: u64, broken: u64, smaller: usize) -> Option<usize> {
        let breaking = Breaking::new(true);
        let health = Health::default();
        let (to, bytes) = (("index", &health), (1 << 20) / smaller);
        (1..=2_000).find(|_| {
            (0..answered).for_each(|_| breaking.answered(bytes, to));
            (0..broken).for_each(|_| breaking.broke(bytes));
            breaking.broke_on(document("a"), to).is_some()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_is_at_fault_where_chance_would_not_break_it_as_often() {
        // Where hardly another one breaks, as soon as one may tell.
        for (answered, broken) in [(2, 0), (20, 1), (50, 1)] {
            assert_eq!(
                at_fault(answered, broken, 1),
                Some(10),
                "{answered} {broken}"
            );
        }
        // Later the more of the others break: 0.1^n, 0.5^n and 0.9^n are as improbable.
        for (answered, broken, times) in [(9, 1, 10..=12), (1, 1, 33..=36), (1, 9, 215..=235)] {
            let at = at_fault(answered, broken, 1);
            assert!(
                at.is_some_and(|at| times.contains(&at)),
                "{answered} {broken}: {at:?}"
            );
        }
        // In an outage never.
        for (answered, broken) in [(0, 0), (0, 1)] {
            assert_eq!(at_fault(answered, broken, 1), None, "{answered} {broken}");
        }
    }

    /// What takes four times as long on the way breaks as often as one of four.
    #[tokio::test(start_paused = true)]
    async fn a_large_document_among_small_ones_is_at_fault_later() {
        let at = at_fault(9, 1, 4);
        assert!(at.is_some_and(|at| (20..=26).contains(&at)), "{at:?}");
        assert_eq!(at_fault(1, 1, 20), None);
        assert_eq!(at_fault(1_000, 0, 20), Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_until_it_gets_through_or_nobody_sends_it() {
        let health = Health::default();
        let to = ("index", &health);
        let told = || health.conditions().first().map(|c| c.text.clone());
        for (shows_ids, shown) in [
            (true, "a document with the id `a` was"),
            (false, "a document was"),
        ] {
            let breaking = Breaking::new(shows_ids);
            let broke = |id| {
                breaking.answered(1 << 20, to);
                breaking.broke_on(document(id), to)
            };
            assert_eq!([0; 2].map(|_| broke("a")), [None, None]);
            assert_eq!(told(), None);
            assert_eq!(broke("a"), None);
            let text = told().expect("the third time");
            let start = "index `logs`: the connection broke each of 3 times that";
            assert!(text.starts_with(start), "{text}");
            assert!(text.contains(shown), "{text}");
            assert!(text.contains("in a request of 1048576 bytes"), "{text}");
            breaking.passed(|| document("b"), to);
            assert!(told().is_some());
            breaking.passed(|| document("a"), to);
            assert_eq!(told(), None);
            assert_eq!([0; 3].map(|_| broke("a")), [None, None, None]);
            assert!(told().is_some());
            tokio::time::advance(FORGET_AFTER).await;
            breaking.answered(1 << 20, to);
            assert_eq!(told(), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_a_bound() {
        let breaking = Breaking::new(true);
        let health = Health::default();
        for number in 0..2 * KNOWN_MAX {
            let _ = breaking.broke_on(document(&number.to_string()), ("index", &health));
        }
        assert_eq!(breaking.lock().len(), KNOWN_MAX);
    }
}
