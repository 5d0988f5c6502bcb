//! When a run tells the register how it gets on: one word at a time, in turns, and never waited for.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// Between two words of a run to the register.
const TELL_EVERY: Duration = Duration::from_secs(3);
/// So long an answer is waited for before the next word is sent. What was sent stays on its way.
const TELL_WITHIN: Duration = Duration::from_secs(6);
/// After so long without a word others count a run as dead, in ms: three may be lost.
pub(in crate::command::replay) const LEASE_MS: i64 = 12_000;

type Word = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The words of a run.
pub(super) struct Telling {
    turns: Interval,
    is_due: bool,
    under_way: Option<Word>,
    /// The last one failed.
    fails: bool,
}

impl Telling {
    /// The first word is due at once.
    pub(super) fn new() -> Self {
        let mut turns = interval(TELL_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self {
            turns,
            is_due: false,
            under_way: None,
            fails: false,
        }
    }

    /// There is something to tell that does not wait for its turn.
    pub(super) fn hurry(&mut self) {
        self.is_due = true;
    }

    /// Whether a word should be begun now.
    pub(super) fn is_due(&self) -> bool {
        self.is_due && self.under_way.is_none()
    }

    /// Sends a word, which [`Telling::turn`] waits for.
    pub(super) fn begin<E: Display>(
        &mut self,
        word: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.is_due = false;
        self.under_way = Some(Box::pin(async move {
            match timeout(TELL_WITHIN, word).await {
                Ok(answer) => answer.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {} s", TELL_WITHIN.as_secs())),
            }
        }));
    }

    /// Waits until a word is due, or the one under way is answered. Cancel-safe.
    pub(super) async fn turn(&mut self) {
        let Some(word) = &mut self.under_way else {
            let _ = self.turns.tick().await;
            self.is_due = true;
            return;
        };
        let answer = word.await;
        self.under_way = None;
        let has_failed = std::mem::replace(&mut self.fails, answer.is_err());
        match answer {
            Err(error) if !has_failed => {
                tracing::warn!(
                    error,
                    "The register of replays was not told how this one gets on"
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use isobar_topology::clock;

    use super::*;

    /// Begins the next word, and returns when, in s.
    async fn next(
        telling: &mut Telling,
        word: impl Future<Output = Result<(), String>> + Send + 'static,
    ) -> u64 {
        while !telling.is_due() {
            telling.turn().await;
        }
        telling.begin(word);
        clock::unix_ms() as u64 / 1_000
    }

    #[tokio::test(start_paused = true)]
    async fn words_go_in_turns_and_one_that_hangs_holds_the_next_one_up_for_6_s() {
        let mut telling = Telling::new();
        let start = next(&mut telling, ready(Ok(()))).await;
        assert_eq!(next(&mut telling, ready(Ok(()))).await - start, 3);
        assert_eq!(next(&mut telling, pending()).await - start, 6);
        assert!(!telling.fails);
        assert_eq!(next(&mut telling, pending()).await - start, 12);
        assert!(telling.fails);
        let denied = ready(Err("denied".to_owned()));
        assert_eq!(next(&mut telling, denied).await - start, 18);
        // A refusal is an answer, and the next turn is soon enough.
        assert_eq!(next(&mut telling, ready(Ok(()))).await - start, 21);
        assert!(telling.fails);
        telling.turn().await;
        assert!(!telling.fails);
        telling.hurry();
        assert_eq!(next(&mut telling, pending()).await - start, 21);
        telling.hurry();
        assert!(!telling.is_due(), "one at a time");
    }
}
