//! The signals that stop a command that goes on by itself.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// SIGTERM, SIGINT, and what else may stop it.
pub(super) struct Signals {
    /// Those of the process.
    process: Option<(Signal, Signal)>,
    /// Others, by name.
    told: Option<mpsc::Receiver<&'static str>>,
}

impl Signals {
    /// Takes the signals over from now on: they do not end the process any more.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let terminate = listen(SignalKind::terminate())?;
        Ok(Self {
            process: Some((terminate, listen(SignalKind::interrupt())?)),
            told: None,
        })
    }

    /// The same, and what somebody else sends.
    pub(super) fn listen_also(told: mpsc::Receiver<&'static str>) -> anyhow::Result<Self> {
        Ok(Self {
            told: Some(told),
            ..Self::listen()?
        })
    }

    /// What a test sends, and nothing else.
    #[cfg(test)]
    pub(super) fn told(told: mpsc::Receiver<&'static str>) -> Self {
        Self {
            process: None,
            told: Some(told),
        }
    }

    /// Waits for one; returns its name. Cancel-safe.
    pub(super) async fn next(&mut self) -> &'static str {
        let process = async {
            match &mut self.process {
                Some((terminate, interrupt)) => tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                },
                None => std::future::pending().await,
            }
        };
        let told = async {
            match &mut self.told {
                Some(told) => match told.recv().await {
                    Some(by) => by,
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = process => signal,
            by = told => by,
        }
    }
}
