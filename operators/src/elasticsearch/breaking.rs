//! Documents on which the connection breaks whenever they are sent alone: something on the way takes no request of
//! their size, and breaks off where a server would answer 413. They are told of; and one that breaks it again and
//! again while all others get through is at fault, and no outage.

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
/// And so many when it may be at fault. Where one request in ten breaks by chance, this happens to one document
/// in 10^10.
const AT_FAULT_FROM: u32 = 10;
/// It is at fault only where so many times more requests were answered meanwhile than broke, without its own:
/// where connections break at all times, none of their documents is.
const ANSWERED_MORE: u64 = 16;
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
    /// Requests that were answered, and that broke, when it did so first.
    before: (u64, u64),
}

impl Breaking {
    pub(crate) fn new(shows_ids: bool) -> Self {
        Self {
            shows_ids,
            answered: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            known: Mutex::default(),
        }
    }

    /// A request was answered, whatever the answer. Documents that nobody sends any more are told of no longer.
    pub(crate) fn answered(&self, (component, health): (&str, &Health)) {
        let _ = self.answered.fetch_add(1, Ordering::Relaxed);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut known = self.lock();
        if forget(&mut known) {
            self.tell(&known, component, health);
        }
    }

    /// The connection broke on a request of several documents, or of a small one.
    pub(crate) fn broke(&self) {
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
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut fault = None;
        if let Some(one) = known.get_mut(&document) {
            let (seen, broken) = (load(&self.answered), load(&self.broken) - one.before.1);
            one.times += u32::from(seen > one.seen);
            (one.last, one.seen) = (now, seen);
            let answered = seen - one.before.0;
            if one.times >= AT_FAULT_FROM && answered >= ANSWERED_MORE * broken.max(1) {
                let (times, bytes) = (one.times, document.bytes);
                fault = Some(format!(
                    "the connection broke each of {times} times that this document was sent alone, in a request \
                     of {bytes} bytes, while {answered} other requests were answered and {broken} broke"
                ));
                let _ = known.remove(&document);
            }
        } else {
            self.broke();
            if known.len() < KNOWN_MAX {
                let before = (load(&self.answered), load(&self.broken));
                let one = Known {
                    times: 1,
                    last: now,
                    seen: before.0,
                    before,
                };
                let _ = known.insert(document, one);
            }
        }
        self.tell(&known, component, health);
        fault
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

    /// After how many times it is at fault, where so many requests are answered in between and so many break.
    fn at_fault(answered: u64, broken: u64) -> Option<usize> {
        let breaking = Breaking::new(true);
        let health = Health::default();
        let to = ("index", &health);
        (1..100).find(|_| {
            (0..answered).for_each(|_| breaking.answered(to));
            (0..broken).for_each(|_| breaking.broke());
            breaking.broke_on(document("a"), to).is_some()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_is_at_fault_where_it_alone_breaks_the_connection_each_time() {
        assert_eq!(at_fault(2, 0), Some(10));
        // Later where less is known.
        assert_eq!(at_fault(1, 0), Some(17));
        for (answered, broken) in [(0, 0), (0, 1), (9, 1), (1, 1)] {
            assert_eq!(at_fault(answered, broken), None, "{answered} {broken}");
        }
        assert_eq!(at_fault(20, 1), Some(10));
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
                breaking.answered(to);
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
            breaking.answered(to);
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
