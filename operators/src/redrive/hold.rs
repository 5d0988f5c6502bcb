//! What holds a redrive back: its rate, and a gate that others close.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::{Health, clock};

use crate::replay::Gate;
use crate::spouts::{Pace, batch_records};

/// Between two signs of life of one that waits: that it does is meant, and nobody gives up on it.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Hold {
    rate: Option<NonZeroU32>,
    pace: Pace,
    gate: Option<Arc<Gate>>,
    health: Health,
}

impl Hold {
    pub(super) fn new(rate: Option<NonZeroU32>, gate: Option<Arc<Gate>>, health: Health) -> Self {
        Self {
            rate,
            pace: Pace::default(),
            gate,
            health,
        }
    }

    /// The records of a batch, of which there may be so many.
    pub(super) fn batch_records(&self, most: usize) -> usize {
        batch_records(self.rate, most)
    }

    /// Waits until records may be handed out. Cancel-safe.
    pub(super) async fn may_go(&self) {
        loop {
            let closed = self.gate.as_ref().filter(|gate| gate.is_closed());
            let due = self.pace.due(self.rate);
            if closed.is_none() && due.is_none() {
                return;
            }
            self.health.count_progress();
            let look = clock::now() + ALIVE_EVERY;
            match closed {
                Some(gate) => tokio::select! {
                    () = gate.opened() => {}
                    () = tokio::time::sleep_until(look) => {}
                },
                None => tokio::time::sleep_until(due.map_or(look, |due| due.min(look))).await,
            }
        }
    }

    /// Notes that so many were handed out.
    pub(super) fn took(&self, records: usize) {
        self.pace.took(self.rate, records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_its_rate_and_for_the_gate_and_says_that_it_lives() {
        let (gate, health) = (Arc::new(Gate::default()), Health::default());
        let rate = NonZeroU32::new(100);
        let hold = Hold::new(rate, Some(Arc::clone(&gate)), health.clone());
        let start = clock::now();
        let seconds = || (clock::now() - start).as_secs();
        hold.may_go().await;
        assert_eq!((seconds(), hold.batch_records(1_000)), (0, 25));
        hold.took(500);
        hold.may_go().await;
        assert_eq!(seconds(), 5);
        assert!(health.progress() >= 5, "{}", health.progress());

        gate.close("paused");
        let opens = async {
            tokio::time::sleep(Duration::from_secs(90)).await;
            gate.open();
        };
        let before = health.progress();
        let ((), ()) = tokio::join!(hold.may_go(), opens);
        assert_eq!(seconds(), 95);
        assert!(health.progress() - before >= 90);
        let free = Hold::new(None, None, health);
        free.took(1_000_000);
        free.may_go().await;
        assert_eq!((seconds(), free.batch_records(1_000)), (95, 1_000));
    }
}
