//! What the tasks of a topology are told besides batches: the phase of the run, the wish that everything
//! kept be sent off, and that they are killed.
//!
//! Not `tokio::sync::watch`: it wakes its receivers in random order, and a simulation must be the
//! same each time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::clock::Instant;

/// The phase of a run; it only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Reading.
    Running,
    /// Spouts stopped reading and wait for what is in flight, until this time.
    Draining(Instant),
    /// Spouts are closed; bolts close.
    Closing,
}

/// The phase of a topology, shared by all its lanes.
#[derive(Debug)]
pub(crate) struct Phases {
    now: Mutex<Phase>,
    moved: Notify,
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            now: Mutex::new(Phase::Running),
            moved: Notify::new(),
        }
    }
}

impl Phases {
    pub(crate) fn now(&self) -> Phase {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves forward to this phase; does nothing when that one, or a later one, is reached already.
    pub(crate) fn move_to(&self, phase: Phase) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = match (*now, phase) {
            // The first deadline of a drain holds.
            (Phase::Draining(_), Phase::Draining(_)) => false,
            (now, phase) => now < phase,
        };
        if earlier {
            *now = phase;
            drop(now);
            self.moved.notify_waiters();
        }
    }
}

/// The wishes of all lanes: what one waits for may be kept on another, behind a `shuffle` or `fields`
/// edge.
#[derive(Debug, Default)]
pub(crate) struct Flushes {
    asked: AtomicU64,
    more: Notify,
}

/// Kills of all bolts, from outside.
#[derive(Debug, Default)]
pub(crate) struct Kills {
    /// How many there were, and when the bolts may be made anew after the last one.
    last: Mutex<(u64, Option<Instant>)>,
    more: Notify,
}

impl Kills {
    pub(crate) fn kill(&self, until: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (last.0 + 1, Some(until));
        drop(last);
        self.more.notify_waiters();
    }

    fn last(&self) -> (u64, Option<Instant>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All signals, for one task.
#[derive(Clone)]
pub(crate) struct Signals {
    phases: Arc<Phases>,
    flushes: Arc<Flushes>,
    flushes_seen: u64,
    kills: Arc<Kills>,
    kills_seen: u64,
}

impl Signals {
    /// The signals of a topology; its tasks get clones.
    pub(crate) fn new(phases: &Arc<Phases>, flushes: &Arc<Flushes>, kills: &Arc<Kills>) -> Self {
        Self {
            phases: Arc::clone(phases),
            flushes: Arc::clone(flushes),
            flushes_seen: 0,
            kills: Arc::clone(kills),
            kills_seen: 0,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phases.now()
    }

    /// Waits until the phase is another one than the caller saw. Cancel-safe.
    pub(crate) async fn phase_after(&self, seen: Phase) {
        loop {
            let moved = self.phases.moved.notified();
            if self.phases.now() != seen {
                return;
            }
            moved.await;
        }
    }

    /// Waits until the phase has been `Closing` for this long since the call saw it.
    pub(crate) async fn closed_for(&self, time: std::time::Duration) {
        loop {
            match self.phases.now() {
                Phase::Closing => break,
                other => self.phase_after(other).await,
            }
        }
        tokio::time::sleep(time).await;
    }

    /// Asks every bolt of the topology to send off what it keeps.
    pub(crate) fn ask_flush(&self) {
        let _ = self.flushes.asked.fetch_add(1, Ordering::AcqRel);
        self.flushes.more.notify_waiters();
    }

    /// Waits for a kill since the last call; returns until when the bolts stay away. Cancel-safe.
    pub(crate) async fn killed(&mut self) -> Option<Instant> {
        loop {
            let more = self.kills.more.notified();
            let (count, until) = self.kills.last();
            if count != self.kills_seen {
                self.kills_seen = count;
                return until;
            }
            more.await;
        }
    }

    /// Waits until somebody asked for a flush since the last call. Cancel-safe.
    pub(crate) async fn flush_asked(&mut self) {
        loop {
            let more = self.flushes.more.notified();
            let asked = self.flushes.asked.load(Ordering::Acquire);
            if asked != self.flushes_seen {
                self.flushes_seen = asked;
                return;
            }
            more.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_move_forward_only() {
        let phases = Phases::default();
        let (first, second) = (Instant::now(), Instant::now());
        phases.move_to(Phase::Draining(first));
        phases.move_to(Phase::Draining(second));
        assert_eq!(phases.now(), Phase::Draining(first));
        phases.move_to(Phase::Closing);
        phases.move_to(Phase::Draining(second));
        assert_eq!(phases.now(), Phase::Closing);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_is_seen_once_by_each_task_also_when_it_came_before() {
        let signals = Signals::new(&Arc::default(), &Arc::default(), &Arc::default());
        let (mut one, mut other) = (signals.clone(), signals.clone());
        signals.ask_flush();
        signals.ask_flush();
        one.flush_asked().await;
        other.flush_asked().await;
        let again = tokio::time::timeout(std::time::Duration::from_secs(1), one.flush_asked());
        assert!(again.await.is_err(), "it was seen");
    }
}
