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
use isobar_operators::replay::registry::{Claim, State};
use tokio::sync::{mpsc, oneshot};

use super::frontier::Frontier;
use super::width::Width;
use crate::command::runtime::Runtime;
use crate::exit::Failure;
use crate::observer::Observer;
use crate::progress::Screen;
use beside::Beside;
use moved::Moved;
use yielding::{ASKED, Yielding};

pub(super) use telling::LEASE_MS;
pub(super) use yielding::YieldTo;

/// Why a run waits that an operator has told to.
pub(super) const BY_OPERATOR: &str = "an operator paused it (isobar replay pause)";

/// A run that is attended to until this is dropped.
pub(super) struct Attended {
    shared: Arc<Shared>,
    end: Option<oneshot::Sender<(State, Option<String>)>>,
    thread: Option<JoinHandle<()>>,
}

/// Why a run was ended from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// An operator gave it up.
    Aborted,
    /// It was silent for too long, and this run has its records now.
    TakenOver(String),
}

#[derive(Default)]
struct Shared {
    observer: Mutex<Option<Arc<Observer>>>,
    ended: Mutex<Option<Ended>>,
}

/// What a run is attended with.
pub(super) struct Attendance {
    pub(super) claim: Claim,
    /// What holds its spout back.
    pub(super) gate: Arc<Gate>,
    /// Whose progress comes first.
    pub(super) live: Source,
    pub(super) yield_to: YieldTo,
    pub(super) width: Width,
    /// What the live group has to be past, where the run writes documents anew.
    pub(super) frontier: Option<Frontier>,
    /// Stops the run, with the name of who does; with room for two, of which the second ends it at once.
    pub(super) stop: mpsc::Sender<&'static str>,
    pub(super) screen: Screen,
}

impl Attended {
    /// Starts the thread.
    pub(super) fn start(with: Attendance) -> Result<Self, Failure> {
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

    /// Whether somebody else has ended it.
    pub(super) fn ended(&self) -> Option<Ended> {
        lock(&self.shared.ended).clone()
    }

    /// Tells the last word, and waits until the register has it.
    pub(super) fn end(mut self, state: State, why: Option<String>) {
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
