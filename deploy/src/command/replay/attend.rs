//! What goes on beside a run: it tells the register how it gets on, does what operators want of it, and
//! stands back while the live topology is behind.
//!
//! On a thread of its own, so that a run that purges, verifies or waits for brokers is heard of as well.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use isobar_operators::lag::{Oldest, Source, Standing};
use isobar_operators::replay::Gate;
use isobar_operators::replay::registry::{Claim, News, Part, State, Wanted};
use isobar_topology::spec::units;
use tokio::sync::{mpsc, oneshot};

use crate::command::job::runtime;
use crate::command::source::asking;
use crate::exit::Failure;
use crate::observer::Observer;
use crate::output::time;
use crate::progress::Screen;

/// Between two words of a run to the register.
const TELL_EVERY: Duration = Duration::from_secs(3);
/// After so long without one it counts as dead, in ms: three may be lost.
pub(super) const LEASE_MS: i64 = 12_000;
/// Between two looks at the live topology; the brokers are asked every few seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the brokers are asked how far the live topology is, and how long an answer may take.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Why a run waits that an operator has told to.
pub(super) const BY_OPERATOR: &str = "an operator paused it (isobar replay pause)";
/// Why one waits at its start, which is nothing to tell anybody.
const ASKED: &str = "the brokers are asked how far the live topology is";

/// The age of the oldest record of the live topology above which a replay waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum YieldTo {
    /// It never does.
    Off,
    Above(units::Duration),
}

impl FromStr for YieldTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            text => match text.parse() {
                Ok(age) => Ok(Self::Above(age)),
                Err(why) => Err(format!("{why}, or off")),
            },
        }
    }
}

impl fmt::Display for YieldTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Above(age) => age.fmt(f),
        }
    }
}

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
    /// Stops the run, with the name of who does.
    pub(super) stop: mpsc::Sender<&'static str>,
    pub(super) screen: Screen,
}

impl Attended {
    /// Starts the thread.
    pub(super) fn start(with: Attendance) -> Result<Self, Failure> {
        let live = match with.yield_to {
            YieldTo::Off => None,
            YieldTo::Above(age) => {
                let standing = with.live.stand(ASK_EVERY, ASK_EVERY).map_err(asking)?;
                Some((standing, age))
            }
        };
        let runtime = runtime()?;
        let shared = Arc::new(Shared::default());
        let (end, ended) = oneshot::channel();
        let beside = Beside {
            claim: with.claim,
            gate: with.gate,
            live,
            stop: with.stop,
            screen: with.screen,
            shared: Arc::clone(&shared),
            paused: false,
            behind: None,
            told_idle: false,
            deaf: false,
        };
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

/// The thread's own.
struct Beside {
    claim: Claim,
    gate: Arc<Gate>,
    live: Option<(Standing, units::Duration)>,
    stop: mpsc::Sender<&'static str>,
    screen: Screen,
    shared: Arc<Shared>,
    /// By an operator.
    paused: bool,
    /// Why the live topology comes first just now.
    behind: Option<String>,
    told_idle: bool,
    /// Nothing is heard of the register for a while.
    deaf: bool,
}

impl Beside {
    async fn attend(mut self, mut ended: oneshot::Receiver<(State, Option<String>)>) {
        let mut tells = tokio::time::interval(TELL_EVERY);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let mut to_tell = false;
            tokio::select! {
                last = &mut ended => return self.last_word(last.ok()).await,
                news = self.claim.news() => self.hear(news),
                _ = looks.tick() => self.look(),
                _ = tells.tick() => to_tell = true,
            }
            if self.hold_back() || to_tell {
                self.tell().await;
            }
        }
    }

    fn hear(&mut self, news: News) {
        let was_deaf = std::mem::replace(&mut self.deaf, matches!(news, News::Deaf(_)));
        match news {
            News::Heard => {}
            News::Wanted(Wanted::Pause) => self.paused = true,
            News::Wanted(Wanted::Resume) => self.paused = false,
            News::Wanted(Wanted::Abort) => self.end("replay abort", Ended::Aborted),
            News::TakenOver(by) => {
                let by = format!("{} on {}", by.run, by.host);
                self.end("another replay", Ended::TakenOver(by));
            }
            News::Deaf(_) if was_deaf => {}
            News::Deaf(error) => {
                tracing::warn!(error, "The register of replays cannot be read for a while");
            }
        }
    }

    fn end(&self, by: &'static str, ended: Ended) {
        *lock(&self.shared.ended) = Some(ended);
        // Full when it was told already.
        let _ = self.stop.try_send(by);
    }

    fn look(&mut self) {
        let Some((standing, above)) = &self.live else {
            return;
        };
        self.behind = match standing.oldest() {
            Oldest::NobodyReads => {
                if !std::mem::replace(&mut self.told_idle, true) {
                    self.screen.line(
                        "isobar: nobody reads for the live group, so there is nobody to yield to",
                    );
                }
                None
            }
            oldest => behind(&oldest, above.get()),
        };
    }

    /// Opens or closes the gate; `true` when that is news.
    fn hold_back(&mut self) -> bool {
        let why = match self.paused {
            true => Some(BY_OPERATOR.to_owned()),
            false => self.behind.clone(),
        };
        let before = self.gate.why();
        match &why {
            Some(why) => self.gate.close(why),
            None => self.gate.open(),
        }
        let to_tell = |why: &Option<String>| why.clone().filter(|why| why != ASKED);
        match (to_tell(&before), to_tell(&why)) {
            (None, Some(why)) => self.screen.line(&format!("isobar: paused: {why}")),
            (Some(_), None) => self.screen.line("isobar: goes on"),
            _ => {}
        }
        before.is_some() != why.is_some()
            || (before.as_deref() == Some(BY_OPERATOR)) != (why.as_deref() == Some(BY_OPERATOR))
    }

    async fn tell(&mut self) {
        let why = self.gate.why();
        let state = match why {
            Some(_) => State::Paused,
            None => State::Running,
        };
        self.write(state, why).await;
    }

    async fn last_word(mut self, last: Option<(State, Option<String>)>) {
        // Nobody must take it for the run that has its records now.
        if let Some(Ended::TakenOver(_)) = lock(&self.shared.ended).clone() {
            return;
        }
        let failed = || (State::Stopped, Some("it failed".to_owned()));
        let (state, why) = last.unwrap_or_else(failed);
        self.write(state, why).await;
    }

    async fn write(&mut self, state: State, why: Option<String>) {
        let partitions = self.progress();
        if let Err(error) = self.claim.tell(state, why, partitions).await {
            let error = error.to_string();
            tracing::warn!(error, "The register of replays was not told how it gets on");
        }
    }

    fn progress(&self) -> Vec<Part> {
        let mut parts = self.claim.entry().partitions.clone();
        if let Some(observer) = &*lock(&self.shared.observer) {
            let accounting = observer.accounting();
            let accounts = accounting.spouts.iter().flat_map(|spout| &spout.partitions);
            for account in accounts {
                let is_of = |part: &&mut Part| {
                    part.topic == account.topic && part.partition == account.partition
                };
                if let Some(part) = parts.iter_mut().find(is_of) {
                    part.next = account.frontier.or(part.next);
                }
            }
        }
        parts
    }
}

/// Why a replay waits for a live topology whose oldest record is so old, if it does.
fn behind(oldest: &Oldest, above: Duration) -> Option<String> {
    let above_ms = u64::try_from(above.as_millis()).unwrap_or(u64::MAX);
    match oldest {
        Oldest::NobodyReads => None,
        Oldest::Age(ms) if *ms <= above_ms => None,
        Oldest::Age(ms) => Some(format!(
            "the live topology is {} behind, and it yields above {} (--yield-to-live)",
            time(*ms),
            time(above_ms)
        )),
        Oldest::Asked => Some(ASKED.to_owned()),
        Oldest::Unknown(why) => Some(format!(
            "it is not known how far the live topology is behind: {why} (--yield-to-live)"
        )),
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_yields_above_an_age_and_where_the_age_is_not_known() {
        let check = |oldest: Oldest, part: Option<&str>| {
            let found = behind(&oldest, Duration::from_secs(30));
            assert_eq!(found.is_some(), part.is_some(), "{oldest:?}");
            for (found, part) in found.iter().zip(part) {
                assert!(found.contains(part), "{found}");
            }
        };
        check(Oldest::Age(0), None);
        check(Oldest::Age(30_000), None);
        check(Oldest::Age(30_001), Some("is 30.0 s behind"));
        check(Oldest::NobodyReads, None);
        check(Oldest::Unknown("no answer".to_owned()), Some("no answer"));
        check(Oldest::Asked, Some("are asked"));
    }

    #[test]
    fn yielding_is_an_age_or_off() {
        for text in ["30s", "5m", "off"] {
            assert_eq!(text.parse::<YieldTo>().expect(text).to_string(), text);
        }
        let problem = "soon".parse::<YieldTo>().expect_err("no duration");
        assert!(problem.ends_with(", or off"), "{problem}");
    }
}
