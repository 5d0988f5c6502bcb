//! A topology under way, until it ends: by itself, by signals, or because nothing moves.

use std::time::Duration;

use isobar_topology::spec::units;
use isobar_topology::{Finish, clock};

use super::signals::Signals;
use crate::metrics::Recorder;
use crate::observer::Observer;
use crate::output::number;
use crate::progress::{Goal, Progress, Screen};

/// How often the run is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long closing may take after giving up: the systems that would be waited for are away.
const CLOSE_AFTER_GIVING_UP: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// The topology ended.
    Finished {
        finish: Finish,
        /// The signal that stopped it, if it did not end by itself.
        stopped_by: Option<&'static str>,
    },
    /// A second signal.
    CutShort(&'static str),
    /// Nothing moved for so long.
    GaveUp { after: String, reasons: Vec<String> },
}

impl End {
    /// Whether a run with an end came to it.
    pub(super) fn is_caught_up(&self) -> bool {
        matches!(
            self,
            Self::Finished {
                finish: Finish::Drained,
                stopped_by: None
            }
        )
    }

    /// Whether it ended as it should, by itself or by a first signal.
    pub(super) fn is_in_order(&self) -> bool {
        let finish = match self {
            Self::Finished { finish, .. } => finish,
            Self::CutShort(_) | Self::GaveUp { .. } => return false,
        };
        matches!(finish, Finish::Drained | Finish::HandedBack)
    }
}

/// A run under way.
pub(super) struct Run<'a> {
    /// Ends when nothing was read and nothing settled for so long; `None` for a run without an end.
    pub(super) give_up_after: Option<units::Duration>,
    pub(super) screen: &'a Screen,
    pub(super) observer: &'a Observer,
    pub(super) signals: &'a mut Signals,
    /// What it is to come to, where that is fixed.
    pub(super) goal: Option<Goal>,
}

impl Run<'_> {
    /// Waits until the topology ends: by itself, by signals, or because nothing moves.
    pub(super) async fn watch(mut self) -> End {
        let running = &self.observer.running;
        let finished = running.finished();
        tokio::pin!(finished);
        let mut ticks = tokio::time::interval(TICK);
        let mut progress = Progress::new();
        let mut upkeep = clock::now();
        let mut stopped_by = None;
        loop {
            tokio::select! {
                biased;
                finish = &mut finished => return End::Finished { finish, stopped_by },
                signal = self.signals.next() => match stopped_by {
                    None => {
                        self.stop_on(signal);
                        stopped_by = Some(signal);
                    }
                    Some(_) => return End::CutShort(signal),
                },
                _ = ticks.tick() => {}
            }
            if clock::now() >= upkeep {
                self.observer.recorder.upkeep();
                upkeep = clock::now() + Recorder::UPKEEP_INTERVAL;
            }
            self.observer.look();
            let account = self.observer.accounting();
            if self.is_paused() {
                // Somebody's wish is no reason to give up.
                running.health().count_progress();
            }
            let elsewhere = running.health().progress();
            let still_for = progress.still_for(&account, elsewhere);
            let reasons = self.observer.reasons();
            let goal = &mut self.goal;
            self.screen.show(|| {
                let lag = self.observer.lag.total(&self.observer.running);
                let goal = goal.as_mut().map(|goal| goal.text(&account));
                progress.line(&account, goal, lag, &reasons)
            });
            let give_up_after = self.give_up_after.filter(|_| stopped_by.is_none());
            if let Some(after) = give_up_after
                && still_for >= after.get()
            {
                return self.give_up(after, reasons, &mut finished).await;
            }
        }
    }

    fn stop_on(&self, signal: &str) {
        let (records, _) = self.in_flight();
        tracing::info!(
            signal,
            in_flight = records,
            "Stopping: reading has ended, what is in flight is waited for; a second signal ends at once"
        );
        self.observer.stopping();
        self.observer.running.stop();
    }

    /// Ends a bounded run that does not get on. What is in flight is not waited for again.
    async fn give_up(
        &self,
        after: units::Duration,
        mut reasons: Vec<String>,
        finished: &mut (impl Future<Output = Finish> + Unpin),
    ) -> End {
        if reasons.is_empty() {
            let (records, _) = self.in_flight();
            reasons.push(format!(
                "no operator says what is wrong; {} records are in flight",
                number(records)
            ));
        }
        tracing::error!(
            reasons = reasons.join("; "),
            "Giving up: nothing was read or settled"
        );
        self.observer.stopping();
        self.observer.running.stop_within(Duration::ZERO);
        let _ = tokio::time::timeout(CLOSE_AFTER_GIVING_UP, finished).await;
        End::GaveUp {
            after: after.to_string(),
            reasons,
        }
    }

    fn is_paused(&self) -> bool {
        let running = &self.observer.running;
        let mut spouts = 0..running.graph().spouts.len();
        spouts.any(|spout| running.paused_since(spout).is_some())
    }

    fn in_flight(&self) -> (usize, usize) {
        let spouts = 0..self.observer.running.graph().spouts.len();
        let each = spouts.map(|spout| self.observer.running.in_flight(spout));
        each.fold((0, 0), |sum, (records, bytes)| {
            (sum.0 + records, sum.1 + bytes)
        })
    }
}
