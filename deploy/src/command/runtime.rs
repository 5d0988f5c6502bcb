//! The runtime of a command, on the command's own thread.

use std::future::Future;
use std::time::Duration;

use anyhow::Context as _;

use crate::exit::Failure;

/// How long the end of a command waits for what still goes on beside it. What hangs is let go: a name is
/// looked up for as long as its name servers are away, and cannot be told to stop.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Runs a future to its end and lets go of all that was started beside it.
pub(super) fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    Ok(Runtime::new()?.block_on(future))
}

/// For several futures, one after the other. Where it goes, all is let go of that was started beside them.
pub(super) struct Runtime(Option<tokio::runtime::Runtime>);

impl Runtime {
    /// Fails when the system gives no more file descriptors.
    pub(super) fn new() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot make the runtime of the command")?;
        Ok(Self(Some(runtime)))
    }

    /// Runs a future to its end.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let runtime = self.0.as_ref().expect("it is there until it is dropped");
        runtime.block_on(future)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(END_WITHIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use isobar_topology::clock;

    use super::*;

    #[test]
    fn what_hangs_beside_a_command_does_not_hold_up_its_end() {
        let (release, hold) = sync_channel::<()>(0);
        let began = clock::now();
        let ended = block_on(async {
            let (started, starts) = tokio::sync::oneshot::channel();
            drop(tokio::task::spawn_blocking(move || {
                let _ = started.send(());
                // As long as a resolver may take, and then some.
                let _ = hold.recv_timeout(Duration::from_secs(120));
            }));
            starts.await.is_ok()
        });
        assert!(ended.is_ok_and(|started| started));
        assert!(clock::now() - began < Duration::from_secs(60));
        drop(release);
    }
}
