//! The loop beside a run: it tells the register, hears of it, looks at the live group, and opens and closes the gate
//! that holds the run back.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use isobar_operators::kafka::error::Error;
use isobar_operators::replay::Gate;
use isobar_operators::replay::registry::{Claim, Dropped, News, Part, State, Wanted};
use isobar_topology::clock::{self, Instant};
use tokio::sync::{mpsc, oneshot};

use super::moved::Moved;
use super::telling::Telling;
use super::yielding::{ASKED, Yielding};
use super::{BY_OPERATOR, Ended, Shared, lock};
use crate::progress::Screen;

/// Between two looks at the live topology; the brokers are asked every few seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a run waits whose lease is over.
const LEASE_OVER: &str = "the register of replays has not answered for too long, and another run may take \
                          these records over; it goes on when the register answers and none has";
/// Who ends a run whose records were taken over.
const TAKER: &str = "another run";
/// Why one waits that is about to end.
const TAKEN_OVER: &str = "another run has these records now";

/// What of a [`Claim`] the loop needs.
pub(super) trait Register {
    /// See [`Claim::tell`].
    fn tell(
        &mut self,
        state: State,
        why: Option<String>,
        partitions: Vec<Part>,
    ) -> BoxFuture<'static, Result<(), Error>>;

    /// See [`Claim::note`].
    fn note(&mut self, dropped: Dropped);

    /// See [`Claim::news`].
    async fn news(&mut self) -> News;

    /// See [`Claim::holds_until`].
    fn holds_until(&self) -> Instant;

    /// What the run reads, as it was told last.
    fn partitions(&self) -> Vec<Part>;
}

impl Register for Claim {
    fn tell(
        &mut self,
        state: State,
        why: Option<String>,
        partitions: Vec<Part>,
    ) -> BoxFuture<'static, Result<(), Error>> {
        Self::tell(self, state, why, partitions).boxed()
    }

    fn note(&mut self, dropped: Dropped) {
        Self::note(self, dropped);
    }

    async fn news(&mut self) -> News {
        Self::news(self).await
    }

    fn holds_until(&self) -> Instant {
        Self::holds_until(self)
    }

    fn partitions(&self) -> Vec<Part> {
        self.entry().partitions.clone()
    }
}

/// What the loop goes on with.
pub(super) struct Beside<R> {
    pub(super) register: R,
    pub(super) gate: Arc<Gate>,
    pub(super) yielding: Yielding,
    pub(super) moved: Moved,
    pub(super) stop: mpsc::Sender<&'static str>,
    pub(super) screen: Screen,
    pub(super) shared: Arc<Shared>,
    /// By an operator.
    pub(super) paused: bool,
    /// Nothing is heard of the register for a while.
    pub(super) deaf: bool,
}

impl<R: Register> Beside<R> {
    /// Goes on until the last word comes, and tells it.
    pub(super) async fn attend(mut self, mut ended: oneshot::Receiver<(State, Option<String>)>) {
        let mut telling = Telling::new();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let lease_over = self.register.holds_until();
            tokio::select! {
                last = &mut ended => return self.last_word(last.ok()).await,
                news = self.register.news() => self.hear(news),
                () = telling.turn() => {}
                () = self.moved.turn() => {}
                _ = looks.tick() => self.yielding.look(&self.screen),
                () = tokio::time::sleep_until(lease_over), if clock::now() < lease_over => {}
            }
            if let Some(Ended::TakenOver(_)) = self.ended() {
                // Nobody must take it for the run that has its records now.
                self.gate.close(TAKEN_OVER);
                let _ = ended.await;
                return;
            }
            if self.hold_back() {
                telling.hurry();
            }
            if telling.is_due() {
                telling.begin(self.word());
            }
        }
    }

    fn hear(&mut self, news: News) {
        let was_deaf = std::mem::replace(&mut self.deaf, matches!(news, News::Deaf(_)));
        match news {
            // The lease is looked at after all news.
            News::Heard => {}
            News::Wanted(Wanted::Pause) => self.paused = true,
            News::Wanted(Wanted::Resume) => self.paused = false,
            News::Wanted(Wanted::Abort) => self.end("replay abort", Ended::Aborted),
            News::TakenOver(by) => {
                self.end(TAKER, Ended::TakenOver(by));
                // Told twice, it does not wait for what is in flight: sent again later, that would come over
                // what the other one has written meanwhile.
                let _ = self.stop.try_send(TAKER);
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

    fn ended(&self) -> Option<Ended> {
        lock(&self.shared.ended).clone()
    }

    /// Opens or closes the gate; `true` when that is news for the register.
    fn hold_back(&self) -> bool {
        let why = match self.paused {
            true => Some(BY_OPERATOR),
            false if self.register.holds_until() <= clock::now() => Some(LEASE_OVER),
            false => self.moved.why().or(self.yielding.behind()),
        };
        let before = self.gate.why();
        let before = before.as_deref();
        match why {
            Some(why) => self.gate.close(why),
            None => self.gate.open(),
        }
        let is_shown = |why: &&str| *why != ASKED;
        match (before.filter(is_shown), why.filter(is_shown)) {
            (None, Some(why)) => self.pauses(why),
            (Some(before), Some(LEASE_OVER)) if before != LEASE_OVER => self.pauses(LEASE_OVER),
            (Some(_), None) => self.screen.line("isobar: goes on"),
            _ => {}
        }
        before.is_some() != why.is_some()
            || (before == Some(BY_OPERATOR)) != (why == Some(BY_OPERATOR))
    }

    fn pauses(&self, why: &str) {
        self.screen.line(&format!("isobar: paused: {why}"));
    }

    fn word(&mut self) -> BoxFuture<'static, Result<(), Error>> {
        let why = self.gate.why();
        let state = match why {
            Some(_) => State::Paused,
            None => State::Running,
        };
        self.tell(state, why)
    }

    /// Tells how far the run is, and what it has dropped once that is known: it may be killed before its last word.
    fn tell(&mut self, state: State, why: Option<String>) -> BoxFuture<'static, Result<(), Error>> {
        let partitions = self.progress();
        if let Some(dropped) = *lock(&self.shared.dropped) {
            self.register.note(dropped);
        }
        self.register.tell(state, why, partitions)
    }

    async fn last_word(mut self, last: Option<(State, Option<String>)>) {
        let failed = || (State::Stopped, Some("it failed".to_owned()));
        let (state, why) = last.unwrap_or_else(failed);
        if let Err(error) = self.tell(state, why).await {
            let error = error.to_string();
            tracing::warn!(error, "The register of replays was not told how it ended");
        }
    }

    fn progress(&self) -> Vec<Part> {
        let mut parts = self.register.partitions();
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

#[cfg(test)]
mod tests;
