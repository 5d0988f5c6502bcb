//! What is wrong right now, by component, in words: read by `/readyz`, tables and people.
//!
//! A condition is set when something starts to be wrong and cleared when it is over; nothing here
//! is a history.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, Instant};

/// The conditions of a running topology.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// With when each was told last.
    conditions: Arc<Mutex<BTreeMap<Key, (Condition, Instant)>>>,
    progress: Arc<AtomicU64>,
    of_records: bool,
}

/// The kind of a condition that lasts until somebody decides something, or mends it: records wait that long.
pub const HELD: &str = "held";

/// So long after the last word of it a note lasts that only records find out, where none is in flight.
const NOTE_LASTS: Duration = Duration::from_secs(15 * 60);

/// Component and the kind of its condition.
type Key = (String, &'static str);

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The spout or bolt.
    pub component: String,
    /// A stable word: `connecting`, `restarting`, `held`, …
    pub kind: &'static str,
    /// One sentence for a person: what is wrong and what it waits for.
    pub text: String,
    /// Since when, in ms since 1970.
    pub since: i64,
    /// Whether records may wait for it.
    pub holds_up: bool,
    /// Whether it was found out by records on their way, and by nothing else.
    pub of_records: bool,
}

impl Health {
    /// The same, for what a bolt finds out only by records that are on their way through it, such as whether
    /// a host takes them. Without such a record nobody would find out that it is over, so what is told here
    /// is over once none is in flight that could come to the bolt; a [note](Self::note) 15 minutes after that.
    pub fn of_records(&self) -> Self {
        Self {
            of_records: true,
            ..self.clone()
        }
    }

    /// Says that something is wrong for which records may wait; the time of the first word counts.
    pub fn set(&self, component: &str, kind: &'static str, text: impl Into<String>) {
        self.tell(component, kind, text.into(), true);
    }

    /// Says that something is wrong for which no record waits, such as a file that was changed and cannot be
    /// used, where what was read of it before is.
    pub fn note(&self, component: &str, kind: &'static str, text: impl Into<String>) {
        self.tell(component, kind, text.into(), false);
    }

    fn tell(&self, component: &str, kind: &'static str, text: String, holds_up: bool) {
        let mut conditions = self.lock();
        let (condition, told) = conditions
            .entry((component.to_owned(), kind))
            .or_insert_with(|| {
                tracing::warn!(component, kind, text, "Something is wrong");
                let condition = Condition {
                    component: component.to_owned(),
                    kind,
                    text: String::new(),
                    since: clock::unix_ms(),
                    holds_up,
                    of_records: self.of_records,
                };
                (condition, clock::now())
            });
        *told = clock::now();
        condition.text = text;
        condition.holds_up = holds_up;
        condition.of_records = self.of_records;
    }

    /// Says that it is over.
    pub fn clear(&self, component: &str, kind: &'static str) {
        if self.lock().remove(&(component.to_owned(), kind)).is_some() {
            tracing::info!(component, kind, "Back to normal");
        }
    }

    /// All conditions, by component.
    pub fn conditions(&self) -> Vec<Condition> {
        let all = self.lock();
        all.values()
            .map(|(condition, _)| condition.clone())
            .collect()
    }

    /// Ends what records found out, where none is in flight any more that may come to the component. That is
    /// asked while nobody can tell anything new, as who tells has a record in flight.
    pub(crate) fn end_without_records(&self, may_come_to: impl Fn(&str) -> bool) {
        self.lock().retain(|(component, kind), (condition, told)| {
            // Where records come seldom, a note that ended between two of them would never last.
            let is_fresh = !condition.holds_up && clock::now() - *told < NOTE_LASTS;
            let stays = !condition.of_records || is_fresh || may_come_to(component);
            if !stays {
                tracing::info!(component, kind, "No record waits for it any more");
            }
            stays
        });
    }

    /// Says that what a component waits for has come closer, although no record of this process was
    /// read or answered: a bounded run that waits for other members of its group does not stand still.
    pub fn count_progress(&self) {
        let _ = self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// How often [`Health::count_progress`] was called; only grows.
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, (Condition, Instant)>> {
        self.conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
