//! What is broken right now, or was a moment ago: what may not be known meanwhile, and what must.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use testkit::wait;

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Replica,
    Broker,
    /// Between replicas and brokers.
    Way,
    Search,
}

impl Part {
    const ALL: [Self; 4] = [Self::Replica, Self::Broker, Self::Way, Self::Search];

    /// Until so long after a fault the part may still be finding together.
    fn aftermath(self) -> Duration {
        Duration::from_secs(match self {
            // Sessions run out and members join.
            Self::Replica => 20,
            // A fault is over when all are in sync; whoever is connected may not have heard of it.
            Self::Broker => 10,
            // Replicas connect anew, and read what came meanwhile.
            Self::Way => 10,
            // A fault is over when it answers; who asks connects anew.
            Self::Search => 2,
        })
    }
}

/// All faults of the moment.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    begun: Mutex<Vec<(Part, Option<Instant>)>>,
}

/// A fault under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Fault<'t> {
    trouble: &'t Trouble,
    number: usize,
}

impl Trouble {
    /// A fault begins.
    pub(super) fn begin(&self, part: Part) -> Fault<'_> {
        let mut begun = self.begun.lock().expect("no holder panics");
        begun.push((part, None));
        Fault {
            trouble: self,
            number: begun.len() - 1,
        }
    }

    /// Whether a fault of this part is under way, or was since this moment.
    pub(super) fn has_struck(&self, part: Part, since: Instant) -> bool {
        let begun = self.begun.lock().expect("no holder panics");
        let mut begun = begun.iter();
        begun.any(|(one, over)| *one == part && over.is_none_or(|over| over >= since))
    }

    /// The parts of which a fault is under way, or was since this moment.
    pub(super) fn struck(&self, since: Instant) -> Vec<Part> {
        let parts = Part::ALL.into_iter();
        parts.filter(|part| self.has_struck(*part, since)).collect()
    }

    /// Whether a fault of one of these parts is under way, or was within the aftermath before `since`.
    pub(super) fn touches(&self, parts: &[Part], since: Instant) -> bool {
        let begun = self.begun.lock().expect("no holder panics");
        begun.iter().any(|(part, over)| {
            parts.contains(part) && over.is_none_or(|over| over + part.aftermath() >= since)
        })
    }
}

impl Drop for Fault<'_> {
    fn drop(&mut self) {
        let mut begun = self.trouble.begun.lock().expect("no holder panics");
        begun[self.number].1 = Some(wait::now());
    }
}
