//! What goes on beside a run: it tells the register how it gets on, does what operators want of it, stands
//! back while the live topology is behind, and stands still when its lease is over.
//!
//! On a thread of its own, so that a run that purges, verifies or waits for brokers is heard of as well.

mod beside;
mod moved;
mod telling;
mod yielding;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context as _;
use isobar_operators::lag::Source;
use isobar_operators::replay::Gate;
use isobar_operators::replay::registry::{Claim, Dropped, State};
use tokio::sync::{mpsc, oneshot};

use super::frontier::Frontier;
use super::width::Width;
use crate::command::job::unless_stopped;
use crate::command::runtime::Runtime;
use crate::command::signals::Signals;
use crate::exit::Failure;
use crate::observer::Observer;
use crate::progress::Screen;
use beside::Beside;
use moved::Moved;
use yielding::{ASKED, Yielding};

pub(super) use telling::LEASE_MS;
pub(in crate::command) use yielding::YieldTo;

/// Why a run waits that an operator has told to.
pub(super) const BY_OPERATOR: &str = "an operator paused it (isobar replay pause)";

/// What the last word of a run says before the verdict of its check.
pub(super) const VERIFIED: &str = "verified: ";

/// A run that is attended to until this is dropped.
pub(in crate::command) struct Attended {
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<(State, Option<String>)>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a run was ended from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::command) enum Ended {
    /// An operator gave it up.
    Aborted,
    /// It was silent for too long, and this run has its records now.
    TakenOver(String),
}

impl Ended {
    /// Says what whoever has begun the run cannot know.
    pub(in crate::command) fn say(&self, screen: &Screen) {
        if let Self::TakenOver(by) = self {
            screen.line(&format!(
                "isobar: nothing was heard of this run for too long, and {by} has its records now"
            ));
        }
    }
}

/// How a run has ended, for the register: by somebody else, by itself before its end, or with a verdict, if it
/// could be verified.
pub(in crate::command) fn last_word(
    ended: Option<&Ended>,
    is_complete: bool,
    summary: &str,
    verdict: Option<&'static str>,
) -> (State, String) {
    match (ended, is_complete, verdict) {
        (Some(_), ..) => (State::Aborted, summary.to_owned()),
        (None, false, _) => (State::Stopped, summary.to_owned()),
        (None, true, Some(verdict)) => (State::Done, format!("{VERIFIED}{verdict}")),
        (None, true, None) => (State::Done, "not verified".to_owned()),
    }
}

#[derive(Default)]
struct Shared {
    observer: Mutex<Option<Arc<Observer>>>,
    ended: Mutex<Option<Ended>>,
    dropped: Mutex<Option<Dropped>>,
}

/// What a run is attended with.
pub(in crate::command) struct Attendance {
    pub(in crate::command) claim: Claim,
    /// What holds its spout back.
    pub(in crate::command) gate: Arc<Gate>,
    /// Whose progress comes first.
    pub(in crate::command) live: Source,
    pub(in crate::command) yield_to: YieldTo,
    pub(in crate::command) width: Width,
    /// What the live group has to be past, where the run writes documents anew.
    pub(in crate::command) frontier: Option<Frontier>,
    /// Stops the run, with the name of who does; with room for two, of which the second ends it at once.
    pub(in crate::command) stop: mpsc::Sender<&'static str>,
    pub(in crate::command) screen: Screen,
}

impl Attended {
    /// Starts the thread.
    pub(in crate::command) fn start(with: Attendance) -> Result<Self, Failure> {
        let shared = Arc::new(Shared::default());
        let (end, ended) = oneshot::channel();
        let beside = Beside {
            register: with.claim,
            gate: with.gate,
            yielding: Yielding::start(&with.live, with.yield_to, with.width)?,
            moved: Moved::of(with.frontier),
            stop: with.stop,
            screen: with.screen,
            shared: Arc::clone(&shared),
            paused: false,
            deaf: false,
        };
        if with.yield_to != YieldTo::Off {
            // Until somebody knows, also where the thread has its first turn late.
            beside.gate.close(ASKED);
        }
        let runtime = Runtime::new()?;
        let thread = std::thread::Builder::new()
            .name("replay-register".to_owned())
            .spawn(move || runtime.block_on(beside.attend(ended)))
            .context("the thread beside the replay could not be started")?;
        Ok(Self {
            shared,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// From now on the progress is that of this run.
    pub(super) fn observe(&self, observer: &Arc<Observer>) {
        *lock(&self.shared.observer) = Some(Arc::clone(observer));
    }

    /// Looks once more at what is to be done, now that nobody else does it. Where that fails, or a signal comes
    /// meanwhile, nothing was begun, and the register is told so.
    pub(in crate::command) async fn begin(
        self,
        look: impl Future<Output = Result<(), Failure>>,
        signals: &mut Signals,
    ) -> Result<Self, Failure> {
        match unless_stopped(look, signals).await {
            Ok(()) => Ok(self),
            Err(failure) => {
                self.end(State::Stopped, Some("it was not begun".to_owned()));
                Err(failure)
            }
        }
    }

    /// Whether somebody else has ended it.
    pub(in crate::command) fn ended(&self) -> Option<Ended> {
        lock(&self.shared.ended).clone()
    }

    /// The words from now on tell this, too.
    pub(in crate::command) fn note(&self, dropped: Dropped) {
        *lock(&self.shared.dropped) = Some(dropped);
    }

    /// Tells the last word, and waits until the register has it.
    pub(in crate::command) fn end(mut self, state: State, why: Option<String>) {
        if let Some(end) = self.end.take() {
            // The thread lives until it has heard.
            let _ = end.send((state, why));
        }
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been told.
            let _ = thread.join();
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_says_who_has_ended_a_run_and_what_its_check_has_found() {
        let check = |ended, complete, verdict, expected: (State, &str)| {
            let found = last_word(ended, complete, "stopped by SIGINT", verdict);
            assert_eq!((found.0, found.1.as_str()), expected);
        };
        let exact = Some("exact");
        check(None, true, exact, (State::Done, "verified: exact"));
        check(None, true, None, (State::Done, "not verified"));
        check(None, false, exact, (State::Stopped, "stopped by SIGINT"));
        let ended = Some(&Ended::Aborted);
        check(ended, true, exact, (State::Aborted, "stopped by SIGINT"));
    }
}
