//! The signals that stop a command that goes on by itself.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
pub(super) enum Signals {
    /// Those of the process.
    Process {
        terminate: Signal,
        interrupt: Signal,
    },
    /// What a test sends.
    #[cfg(test)]
    Test(tokio::sync::mpsc::Receiver<&'static str>),
}

impl Signals {
    /// Takes the signals over from now on: they do not end the process any more.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self::Process {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for one; returns its name. Cancel-safe.
    pub(super) async fn next(&mut self) -> &'static str {
        match self {
            Self::Process {
                terminate,
                interrupt,
            } => tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            },
            #[cfg(test)]
            Self::Test(signals) => match signals.recv().await {
                Some(signal) => signal,
                None => std::future::pending().await,
            },
        }
    }
}
