//! Takes rounds of samples on a thread of its own, at its own pace, whatever the spout does.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use isobar_topology::clock;

use super::engine::{Circumstances, Engine};
use super::history::Window;
use super::row::Row;
use super::sample::{Ages, Progress, sample};
use crate::kafka::admin::{Admin, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::log::lock;

/// Samples a group until it is dropped.
pub struct Sampler {
    shared: Arc<Shared>,
}

/// Which partitions are sampled, asked before each round. It may wait.
pub type Which = Box<dyn Fn(&Admin) -> Result<Vec<TopicPartition>, Error> + Send>;
/// The running spout that reads the partitions.
pub struct Live {
    /// What it has done; never waits.
    pub done: Box<dyn Fn() -> BTreeMap<TopicPartition, Progress> + Send>,
    /// Told after each round why it failed, or `None` when it went well.
    pub told: Told,
}

/// Takes what is told of a round.
pub type Told = Box<dyn Fn(Option<&str>) + Send>;

struct Shared {
    engine: Mutex<Engine>,
    stop: Mutex<bool>,
    stopped: Condvar,
}

/// Between two looks at whether other partitions are to be sampled.
const LOOK: Duration = Duration::from_secs(1);
/// The same while there are none: a member that has just started gets its partitions soon.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// How long settings of topics are believed.
const SETTINGS_LAST: Duration = Duration::from_secs(300);
/// How long it is believed who leads a partition, while all that is asked is answered.
const LEADERS_LAST: Duration = Duration::from_secs(30);

impl Sampler {
    /// Starts sampling, at once and then every `interval`, and out of turn when other partitions are
    /// assigned to the running spout, if there is one.
    ///
    /// Fails only when no thread can be made; unreachable brokers show as [`Sampler::failure`].
    pub fn start(
        admin: Admin,
        interval: Duration,
        which: Which,
        live: Option<Live>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            engine: Mutex::new(Engine::new(Window::default())),
            stop: Mutex::new(false),
            stopped: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let _ = std::thread::Builder::new()
            .name("kafka-lag".to_owned())
            .spawn(move || theirs.run(&admin, interval, &which, live.as_ref()))
            .map_err(|source| Error::System {
                what: "starting the lag thread".to_owned(),
                source,
            })?;
        Ok(Self { shared })
    }

    /// The figures of now, see [`Engine::rows`]; never waits for the brokers.
    pub fn rows(
        &self,
        live: Option<&BTreeMap<TopicPartition, Progress>>,
        circumstances: &Circumstances,
    ) -> Vec<Row> {
        lock(&self.shared.engine).rows(live, circumstances, clock::unix_ms())
    }

    /// Whether a round has ended, well or not.
    pub fn has_begun(&self) -> bool {
        lock(&self.shared.engine).has_begun()
    }

    /// Why a part of the last round failed, naming broker, topic or group.
    pub fn failure(&self) -> Option<String> {
        lock(&self.shared.engine).failure().map(str::to_owned)
    }
}

/// Tells the thread to end; it does after the question that it is asking.
impl Drop for Sampler {
    fn drop(&mut self) {
        *lock(&self.shared.stop) = true;
        self.shared.stopped.notify_all();
    }
}

impl Shared {
    fn run(&self, admin: &Admin, interval: Duration, which: &Which, live: Option<&Live>) {
        let mut ages = Ages::default();
        let mut settings_due = clock::now() + SETTINGS_LAST;
        let mut leaders_due = clock::now() + LEADERS_LAST;
        loop {
            let started = clock::now();
            if started >= settings_due {
                settings_due = started + SETTINGS_LAST;
                ages.ask_for_settings_again();
            }
            if started >= leaders_due {
                leaders_due = started + LEADERS_LAST;
                ages.ask_for_leaders_again();
            }
            self.round(admin, which, live, &mut ages);
            if let Some(live) = live {
                (live.told)(lock(&self.engine).failure());
            }
            let due = started + interval;
            loop {
                let left = due.saturating_duration_since(clock::now());
                let look = match lock(&self.engine).partitions().next() {
                    Some(_) => LOOK,
                    None => FIRST_LOOK,
                };
                if self.waits(left.min(look)) {
                    return;
                }
                let others = live.is_some_and(|live| self.has_others(live));
                if others || clock::now() >= due {
                    break;
                }
            }
        }
    }

    /// Waits; `true` when it is to stop.
    fn waits(&self, time: Duration) -> bool {
        let stop = lock(&self.stop);
        let waited = self.stopped.wait_timeout_while(stop, time, |stop| !*stop);
        *waited.map_or_else(|poisoned| poisoned.into_inner().0, |(stop, _)| stop)
    }

    /// Whether the running spout reads a partition that was not sampled.
    fn has_others(&self, live: &Live) -> bool {
        let engine = lock(&self.engine);
        // A failed round is repeated in its turn.
        if engine.failure().is_some() {
            return false;
        }
        let mut known = engine.partitions();
        let mut assigned = (live.done)().into_keys();
        assigned.any(|partition| !known.any(|known| *known == partition))
    }

    fn round(&self, admin: &Admin, which: &Which, live: Option<&Live>, ages: &mut Ages) {
        let done = || live.map_or_else(BTreeMap::new, |live| (live.done)());
        let (partitions, taken) = match which(admin) {
            Ok(partitions) => {
                let transactions = !admin.reads_uncommitted();
                let taken = sample(admin, &partitions, transactions, &done, ages);
                (Some(partitions), taken)
            }
            Err(error) => (None, Err(error)),
        };
        let mut engine = lock(&self.engine);
        match taken {
            Ok(samples) => engine.take(samples, ages),
            Err(error) => {
                let partitions =
                    partitions.unwrap_or_else(|| engine.partitions().cloned().collect());
                engine.fail(&partitions, error.to_string());
            }
        }
    }
}
