//! Whether the live group was moved back to before what a run writes anew: then both would write the same documents,
//! of two versions, in any order.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use isobar_topology::clock::{self, Instant};

use super::super::frontier::{Frontier, Passed};
use crate::output::number;

/// Between two questions to the brokers.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// What the brokers say: a partition of which the live topology writes documents of the run itself, if there is one;
/// else why that is not known.
type Answer = Result<Option<Passed>, String>;
type Ask = Box<dyn Fn() -> BoxFuture<'static, Answer> + Send>;

/// What is seen of the live group.
pub(super) struct Moved {
    ask: Option<Ask>,
    under_way: Option<BoxFuture<'static, Answer>>,
    due: Instant,
    why: Option<String>,
    /// The last question failed.
    fails: bool,
}

impl Moved {
    /// For a run that stays behind a frontier; nothing is asked where there is none. It was asked just before.
    pub(super) fn of(frontier: Option<Frontier>) -> Self {
        let frontier = frontier.map(Arc::new);
        Self::asking(frontier.map(|frontier| {
            let ask = move || {
                let frontier = Arc::clone(&frontier);
                let asked = tokio::task::spawn_blocking(move || frontier.passed());
                let answer = async move {
                    let answer = asked.await.map_err(|error| error.to_string())?;
                    answer.map_err(|error| error.to_string())
                };
                answer.boxed()
            };
            Box::new(ask) as Ask
        }))
    }

    pub(super) fn asking(ask: Option<Ask>) -> Self {
        Self {
            ask,
            under_way: None,
            due: clock::now() + ASK_EVERY,
            why: None,
            fails: false,
        }
    }

    /// Waits for the next answer. Cancel-safe.
    pub(super) async fn turn(&mut self) {
        let Some(ask) = &self.ask else {
            return std::future::pending().await;
        };
        if self.under_way.is_none() {
            tokio::time::sleep_until(self.due).await;
        }
        let answer = self.under_way.get_or_insert_with(ask).await;
        self.under_way = None;
        self.due = clock::now() + ASK_EVERY;
        let has_failed = std::mem::replace(&mut self.fails, answer.is_err());
        match answer {
            Ok(passed) => self.why = passed.as_ref().map(why),
            // What was known last stands.
            Err(error) if !has_failed => {
                tracing::warn!(
                    error,
                    "The brokers do not say what the live group has committed"
                );
            }
            Err(_) => {}
        }
    }

    /// Why the run must wait, if it must.
    pub(super) fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }
}

fn why(passed: &Passed) -> String {
    let Passed {
        partition,
        settled,
        to,
    } = passed;
    format!(
        "the live group was moved back: of {}/{} it has settled what is before {}, and this run writes documents up \
         to {} anew; it goes on when the live topology is past them",
        partition.topic,
        partition.partition,
        number(*settled),
        number(to - 1)
    )
}
