//! What the tasks of a topology tell each other besides batches: the phase of the run, and the wish
//! that everything kept be sent off.

use tokio::sync::watch;

use crate::clock::Instant;

/// The phase of a run; it only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Reading.
    Running,
    /// Spouts stopped reading and wait for what is in flight, until this time.
    Draining(Instant),
    /// Spouts are closed; bolts close.
    Closing,
}

/// Both signals, for one task.
#[derive(Clone)]
pub(crate) struct Signals {
    phase: watch::Receiver<Phase>,
    flush: watch::Sender<u64>,
    flush_seen: watch::Receiver<u64>,
}

impl Signals {
    pub(crate) fn new(phase: watch::Receiver<Phase>) -> Self {
        let (flush, flush_seen) = watch::channel(0);
        Self {
            phase,
            flush,
            flush_seen,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the phase is another one than the caller saw. Cancel-safe.
    pub(crate) async fn phase_after(&mut self, seen: Phase) {
        // The sender outlives the tasks; should it be gone, there is nothing more to wait for.
        if self.phase.wait_for(|phase| *phase != seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the phase has been `Closing` for this long since the call saw it.
    pub(crate) async fn closed_for(&mut self, time: std::time::Duration) {
        if self
            .phase
            .wait_for(|phase| *phase == Phase::Closing)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(time).await;
    }

    /// Asks every bolt to send off what it keeps.
    pub(crate) fn ask_flush(&self) {
        self.flush.send_modify(|count| *count += 1);
    }

    /// Waits until somebody asked for a flush since the last call. Cancel-safe.
    pub(crate) async fn flush_asked(&mut self) {
        if self.flush_seen.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
