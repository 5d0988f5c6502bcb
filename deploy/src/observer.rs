//! All that can be seen of a running topology: what the HTTP API, the progress line and the final
//! report take their numbers from.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use isobar_topology::{Condition, Running, clock};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::accounting::Accounting;
use crate::certificates::Certificates;
use crate::history::{History, HistoryDocument};
use crate::http::Replays;
use crate::lag::{SpoutLag, Watches};
use crate::metrics::{self, Recorder};
use crate::peers::Peers;
use crate::plan_document::PlanDocument;
use crate::push::{Push, Pushes};
use crate::rates::{Rates, Recent};
use crate::readiness::{self, Reason};
use crate::statistics::Statistics;
use crate::token::Token;

/// A running topology and what it was started with.
pub struct Observer {
    /// The topology.
    pub running: Running,
    /// What was planned.
    pub plan: PlanDocument,
    /// The topology file with all values, secrets hidden.
    pub configuration: Value,
    /// The name of that file as it was given; `None` where none was.
    pub configuration_file: Option<String>,
    /// When it was started, in ms since 1970.
    pub started_ms: i64,
    /// Tells this start apart from every other one.
    pub instance: String,
    /// What operators record with the `metrics` crate.
    pub recorder: Recorder,
    /// Samples the lag.
    pub lag: Watches,
    /// What is exported of the lag.
    pub metrics: metrics::lag::Options,
    /// To whom metrics are sent.
    pub pushes: Pushes,
    /// When certificates expire.
    pub certificates: Certificates,
    /// The other replicas.
    pub peers: Peers,
    /// What the HTTP API asks of who changes something or looks at records; without it nobody can.
    pub token: Option<Token>,
    /// Whether it is a demonstration, with paths of its own.
    pub is_demo: bool,
    /// Room for taps.
    pub taps: Arc<Semaphore>,
    /// What runs replays beside it, where something does.
    pub replays: Option<Replays>,
    rates: Mutex<Rates>,
    history: Mutex<History>,
    stopping: AtomicBool,
}

impl Observer {
    /// Observes a topology that was started just now.
    pub fn new(
        running: Running,
        plan: PlanDocument,
        configuration: Value,
        recorder: Recorder,
        lag: Watches,
    ) -> Self {
        Self {
            running,
            plan,
            configuration,
            configuration_file: None,
            started_ms: clock::unix_ms(),
            // Its keys are random, and others each time.
            instance: format!("{:016x}", RandomState::new().hash_one(clock::unix_ms())),
            recorder,
            lag,
            metrics: metrics::lag::Options::default(),
            pushes: Pushes::default(),
            certificates: Certificates::default(),
            peers: Peers::default(),
            token: None,
            is_demo: false,
            taps: Arc::new(Semaphore::new(crate::http::TAPS_MAX)),
            replays: None,
            rates: Mutex::default(),
            history: Mutex::default(),
            stopping: AtomicBool::new(false),
        }
    }

    /// Notes that the topology was told to stop, and stops replays beside it.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(replays) = &self.replays {
            replays.stop();
        }
    }

    /// Whether the topology was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// How long it has been running, in ms.
    pub fn uptime_ms(&self) -> u64 {
        u64::try_from(clock::unix_ms() - self.started_ms).unwrap_or(0)
    }

    /// The account of now.
    pub fn accounting(&self) -> Accounting {
        Accounting::of(&self.running)
    }

    /// The numbers of now.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(self)
    }

    /// Looks at what moves, for rates and the history; to be called often.
    pub fn look(&self) {
        lock(&self.rates).look(&self.running);
        lock(&self.history).look(|| self.lag_of_all());
    }

    /// The lag now, of all replicas that are known of.
    pub fn lag_of_all(&self) -> Vec<SpoutLag> {
        self.peers.merged(self.lag.read(&self.running))
    }

    /// How fast records move just now; `None` before [`Observer::look`] has seen them move.
    pub fn recent(&self) -> Option<Recent> {
        lock(&self.rates).recent(self.running.graph().lanes)
    }

    /// The lag of the last hour after a time in ms since 1970.
    pub fn history(&self, after_ms: i64) -> HistoryDocument {
        lock(&self.history).after(after_ms)
    }

    /// What is wrong right now: with spouts and bolts, and with those to whom metrics are sent. The latter
    /// keep nothing from being read, so they are no reason.
    pub fn conditions(&self) -> Vec<Condition> {
        let mut conditions = self.running.conditions();
        conditions.extend(self.pushes.all().filter_map(Push::condition));
        conditions
    }

    /// What is wrong, and since when: why it does not read as it should, and what keeps no record waiting.
    pub fn reasons_with_times(&self) -> Vec<Reason> {
        let mut reasons = readiness::reasons(&self.running);
        if self.is_stopping() {
            reasons.insert(0, "the topology is stopping".to_owned().into());
        }
        reasons
    }

    /// The same in words alone.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self.reasons_with_times().into_iter();
        reasons.map(|reason| reason.text).collect()
    }

    /// Whether it reads as it should: nothing is wrong for which records may wait.
    pub fn is_ready(&self) -> bool {
        let mut reasons = self.reasons_with_times().into_iter();
        !reasons.any(|reason| reason.holds_up)
    }

    /// Lanes that have ended or are blocked, in words. While the topology stops lanes end one by one.
    pub fn stuck(&self) -> Vec<String> {
        match self.is_stopping() {
            true => Vec::new(),
            false => readiness::stuck(&self.running),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left behind is at worst a look that is missing.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
