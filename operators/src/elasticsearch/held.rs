//! Indices that take no documents for a reason that a person, or time, must remove: closed, blocked,
//! missing, not permitted, disk full. Their records are not sent but wait, except for one now and then
//! that finds out whether the index takes documents again. All lanes share what is known. Of an index that refuses
//! some documents and takes others of the same request, as when a shard of it is full or away, all are sent: nobody
//! knows which of them it refuses.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use isobar_topology::spec::units;
use isobar_topology::{HELD, Health};

use super::hosts::cut;
use super::outcome::Class;
use super::reply::without_reason;

/// Indices that are remembered at most, some MiB of names and reasons: one for each tenant is not too many.
/// Records of more than these are sent and refused, as often as it takes.
const KNOWN_MAX: usize = 10_000;
/// Indices that a condition names at most.
const NAMED_MAX: usize = 3;
/// Longest reason that a condition tells, in bytes.
const REASON_MAX: usize = 300;
/// Time until a record is sent to find out: doubles from the first to the second.
const PROBE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// So long after its last refusal an index is taken to refuse still: half as long again as between two records that
/// find out, for the answer to one. Later it may be well again, and nobody has noticed.
const KNOWN_FOR: Duration = Duration::from_secs(15);
/// An index that nobody wrote to for this long is forgotten when another one takes documents: its records went
/// to another member of the group. Ten times the longest back-off at its default.
const FORGET_AFTER: Duration = Duration::from_secs(300);
/// An index that took some documents and refused none for this long is forgotten: it was rolled over, or nobody writes
/// what it refuses. Three times the longest back-off at its default.
const PART_FORGET_AFTER: Duration = Duration::from_secs(90);
/// An index that refused some documents, and took nothing for this long, is taken to refuse all. Half as long again as
/// between two records that find out whether one that is held takes documents.
const WHOLE_AFTER: Duration = Duration::from_secs(15);
/// Of so many indices with a shard that is away each is asked in its turn; of more, whichever comes next.
const TURNS_MAX: usize = 30;

/// The indices of one bolt that are held.
#[derive(Debug, Default)]
pub(crate) struct HeldIndices {
    /// How long records wait before they are rejected; `None` for ever.
    patience: Option<Duration>,
    /// How long the answer takes for a document whose shard is away.
    shard_wait: Duration,
    /// Of `known`, to be read for each request and batch.
    count: AtomicUsize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    holds: BTreeMap<Arc<str>, Hold>,
    /// Until when a request waits for a shard that is away. One at a time does, as it keeps others waiting.
    shard_asked_until: Option<Instant>,
}

#[derive(Debug)]
struct Hold {
    class: Class,
    /// Status, type and reason of the last refusal.
    error: String,
    since: Instant,
    last_refusal: Instant,
    /// When it took a document last, if it did since the first refusal.
    last_taken: Option<Instant>,
    /// When the next record is sent to find out.
    probe_at: Instant,
    /// Records that were sent to find out, the first refused one included.
    probes: u32,
    /// It takes others than it refuses, and none waits.
    in_part: bool,
}

/// What an index did not take a document for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    /// A reason of this class, which may be that of all its documents.
    Of(Class),
    /// A reason of this class, which is not that of all: it took others of the same request.
    InPart(Class),
}

impl Refusal {
    fn class(self) -> Class {
        match self {
            Self::Of(class) | Self::InPart(class) => class,
        }
    }
}

impl Hold {
    /// It has taken a document, though not all.
    fn took(&mut self, now: Instant) {
        self.in_part = true;
        self.last_taken = Some(now);
    }

    /// It has refused a document, and nobody knows whether it takes others. Where it was found to refuse some and has
    /// taken none for a while, it takes none any more, or nobody writes what it would take: its records wait from now
    /// on, but for those that find out.
    fn refused_alone(&mut self, now: Instant) {
        let takes_others = |taken| now - taken < WHOLE_AFTER;
        if self.in_part && !self.last_taken.is_some_and(takes_others) {
            self.in_part = false;
            self.probe_at = now + probe_after(0);
            self.probes = 1;
        }
    }

    /// Whether its records wait for a shard.
    fn is_away(&self) -> bool {
        !self.in_part && self.class == Class::ShardAway
    }

    fn is_over(&self, now: Instant) -> bool {
        let forget_after = match self.in_part {
            true => PART_FORGET_AFTER,
            // Its turn to be asked may be that far away.
            false if self.is_away() => 10 * FORGET_AFTER,
            false => FORGET_AFTER,
        };
        now - self.last_refusal >= forget_after
    }

    /// Whether that it takes a document says nothing of what it refuses: it goes to another shard, or is not of the kind
    /// that it refused beside others not long ago.
    fn outlives_a_taken_one(&self, now: Instant) -> bool {
        let was_in_part = |taken| now - taken < PART_FORGET_AFTER;
        let was_in_part = !self.class.passes() && self.last_taken.is_some_and(was_in_part);
        self.class == Class::Full || self.in_part || was_in_part
    }

    /// As whoever asks is told. What is refused to all documents for a reason that nobody knows may have one that
    /// quotes them, and that of a shard that is away may end in the request for it.
    fn shown(&self) -> String {
        match self.class {
            Class::AllRefused => self.told(without_reason(&self.error)),
            Class::ShardAway => {
                let before_request = self.error.split(", request: [").next();
                self.told(before_request.unwrap_or_default())
            }
            _ => self.told(&self.error),
        }
    }

    fn told(&self, error: &str) -> String {
        match self.class.advice() {
            "" => error.to_owned(),
            advice => format!("{error} ({advice})"),
        }
    }
}

impl Known {
    /// A document of this index is sent, whose shard is away: others are once it is answered, each in its turn.
    fn asks_for_shard(&mut self, index: &Arc<str>, shard_wait: Duration, now: Instant) {
        self.shard_asked_until = Some(now + shard_wait);
        let away = self.holds.values().filter(|hold| hold.is_away());
        let turns = away.take(TURNS_MAX).count() as u32;
        if let Some(hold) = self.holds.get_mut(index) {
            hold.probe_at = hold.probe_at.max(now + shard_wait * turns);
        }
    }

    /// One is back, and others may be.
    fn ask_for_other_shards(&mut self, now: Instant) {
        self.shard_asked_until = None;
        let away = self.holds.values_mut().filter(|hold| hold.is_away());
        away.for_each(|hold| hold.probe_at = now);
    }
}

/// What becomes of a record that goes to an index.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is sent.
    Send,
    /// It waits.
    Wait,
    /// It has waited enough: it is rejected for this reason.
    GiveUp(String),
}

impl HeldIndices {
    /// None held so far. Records wait as long as `patience` since the first refusal, or for ever; for a shard that is
    /// away a request takes `shard_wait`.
    pub(crate) fn new(patience: Option<Duration>, shard_wait: Duration) -> Self {
        Self {
            patience,
            shard_wait,
            ..Self::default()
        }
    }

    /// Whether any index is held. Costs next to nothing.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Whether this index is held. One that takes some documents is not.
    pub(crate) fn holds(&self, index: &Arc<str>) -> bool {
        let is_whole = |known: &Known| known.holds.get(index).is_some_and(|hold| !hold.in_part);
        self.any() && is_whole(&self.lock())
    }

    /// What becomes of a record that goes to this index. Where it is held, one record now and then is
    /// sent all the same; and where records would be given up all are, once the last refusal is too long ago
    /// to be told for the reason. Of those with a shard that is away one is asked at a time, in turn.
    pub(crate) fn admit(&self, index: &Arc<str>) -> Admission {
        let mut known = self.lock();
        let now = clock::now();
        let is_nobody_waiting = known.shard_asked_until.is_none_or(|until| until <= now);
        let Some(hold) = known.holds.get_mut(index) else {
            return Admission::Send;
        };
        if hold.in_part {
            return Admission::Send;
        }
        let is_away = hold.is_away();
        if hold.probe_at <= now && (!is_away || is_nobody_waiting) {
            hold.probe_at = now + probe_after(hold.probes);
            hold.probes = hold.probes.saturating_add(1);
            if is_away {
                known.asks_for_shard(index, self.shard_wait, now);
            }
            return Admission::Send;
        }
        match self.verdict(hold, now) {
            // Its turn comes.
            Some(_) if now - hold.last_refusal >= KNOWN_FOR && is_away => Admission::Wait,
            Some(_) if now - hold.last_refusal >= KNOWN_FOR => Admission::Send,
            // What it took meanwhile may be of the kind that this one is.
            Some(_) if self.has_taken_meanwhile(hold, now) => Admission::Wait,
            Some(reason) => Admission::GiveUp(reason),
            None => Admission::Wait,
        }
    }

    /// An index has refused a document. Says why the document is rejected, where it has waited enough.
    pub(crate) fn refused(
        &self,
        index: &Arc<str>,
        refusal: Refusal,
        error: &str,
        (component, health): (&str, &Health),
    ) -> Option<String> {
        let mut known = self.lock();
        let holds = &mut known.holds;
        if holds.len() >= KNOWN_MAX && !holds.contains_key(index) {
            return None;
        }
        let (class, now) = (refusal.class(), clock::now());
        // What it refuses for another reason has not waited yet, nor has what it refuses long after.
        let begins_anew =
            |hold: &Hold| hold.last_taken.is_some() && (class != hold.class || hold.is_over(now));
        if holds.get(index).is_some_and(begins_anew) {
            let _ = holds.remove(index);
        }
        let hold = holds.entry(Arc::clone(index)).or_insert_with(|| Hold {
            class,
            error: String::new(),
            since: now,
            last_refusal: now,
            last_taken: None,
            probe_at: now + probe_after(0),
            probes: 1,
            in_part: false,
        });
        match refusal {
            Refusal::InPart(_) => hold.took(now),
            Refusal::Of(_) => hold.refused_alone(now),
        }
        hold.class = class;
        hold.error = cut(error, REASON_MAX).to_owned();
        hold.last_refusal = now;
        let verdict = self.verdict(hold, now);
        self.tell(&known.holds, component, health);
        verdict
    }

    /// These indices have taken documents. Says whether one of them was held, or one is not held any more
    /// that nobody wrote to. One that was full, or refused some documents, may do so still; what it refuses waits since
    /// the first refusal. Costs next to nothing while none is held.
    pub(crate) fn accepted<'i>(
        &self,
        indices: impl IntoIterator<Item = &'i Arc<str>>,
        component: &str,
        health: &Health,
    ) -> bool {
        if !self.any() {
            return false;
        }
        let mut known = self.lock();
        let now = clock::now();
        // Whether anything is told otherwise by now, and whether records of an index wait no more.
        let (mut changed, mut freed) = (false, false);
        let mut is_shard_back = false;
        for index in indices {
            let Some(hold) = known.holds.get_mut(index) else {
                continue;
            };
            changed |= !hold.in_part;
            freed |= !hold.in_part;
            is_shard_back |= hold.is_away();
            match hold.outlives_a_taken_one(now) {
                true => hold.took(now),
                false => drop(known.holds.remove(index)),
            }
        }
        if is_shard_back {
            known.ask_for_other_shards(now);
        }
        known.holds.retain(|_, hold| {
            let is_over = hold.is_over(now);
            changed |= is_over;
            freed |= is_over && !hold.in_part;
            !is_over
        });
        if changed {
            self.tell(&known.holds, component, health);
        }
        freed
    }

    /// Whether it took others within the time that records wait.
    fn has_taken_meanwhile(&self, hold: &Hold, now: Instant) -> bool {
        let within = self.patience.unwrap_or(Duration::MAX);
        hold.last_taken.is_some_and(|taken| now - taken < within)
    }

    fn verdict(&self, hold: &Hold, now: Instant) -> Option<String> {
        let patience = self.patience?;
        let is_over = now - hold.since >= patience;
        is_over.then(|| {
            let told = units::Duration::millis(patience.as_millis() as u64);
            let reason = hold.told(&hold.error);
            let what = match self.has_taken_meanwhile(hold, now) {
                false => "the index took no documents",
                true if hold.class.is_of_a_shard() => "its shard of the index took no documents",
                true => "the index took others, and none like this one",
            };
            format!("{what} for more than {told}: {reason}")
        })
    }

    fn tell(&self, holds: &BTreeMap<Arc<str>, Hold>, component: &str, health: &Health) {
        self.count.store(holds.len(), Ordering::Relaxed);
        if holds.is_empty() {
            return health.clear(component, HELD);
        }
        let mut text: Vec<String> = holds
            .iter()
            .take(NAMED_MAX)
            .map(|(index, hold)| {
                let what = match hold.in_part {
                    false => format!("index `{index}` takes no documents"),
                    true if hold.class.is_of_a_shard() => {
                        format!("a shard of index `{index}` takes no documents")
                    }
                    true => format!("index `{index}` does not take some documents"),
                };
                format!("{what}: {}", hold.shown())
            })
            .collect();
        if holds.len() > NAMED_MAX {
            text.push(format!("and {} more indices", holds.len() - NAMED_MAX));
        }
        let text = text.join("; ");
        let then = match self.patience {
            None => "their records wait, nothing is lost".to_owned(),
            Some(patience) => {
                let patience = units::Duration::millis(patience.as_millis() as u64);
                format!("their records wait, and are dead-lettered from {patience} on")
            }
        };
        health.set(component, HELD, format!("{text}; {then}"));
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while holding this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn probe_after(probes: u32) -> Duration {
    let (first, longest) = PROBE;
    first.saturating_mul(1 << probes.min(16)).min(longest)
}

#[cfg(test)]
mod tests;
