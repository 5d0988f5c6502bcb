//! What holds a replay back from outside: while it is closed, no lane reads more. What is in flight goes
//! on and is committed.

use tokio::sync::watch;

/// Open at first.
#[derive(Debug, Default)]
pub struct Gate {
    /// Why it is closed.
    closed: watch::Sender<Option<String>>,
}

impl Gate {
    /// Closes it, for a reason in words, or tells another one.
    pub fn close(&self, why: &str) {
        let _ = self.closed.send_if_modified(|closed| {
            let is_new = closed.as_deref() != Some(why);
            if is_new {
                *closed = Some(why.to_owned());
            }
            is_new
        });
    }

    /// Opens it.
    pub fn open(&self) {
        let _ = self
            .closed
            .send_if_modified(|closed| closed.take().is_some());
    }

    /// Why it is closed; `None` while it is open.
    pub fn why(&self) -> Option<String> {
        self.closed.borrow().clone()
    }

    /// Whether it is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.borrow().is_some()
    }

    /// Waits until it is open. Cancel-safe.
    pub async fn opened(&self) {
        let mut closed = self.closed.subscribe();
        // The sender is this value's own.
        let _ = closed.wait_for(Option::is_none).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_goes_on_when_it_is_opened() {
        let gate = Gate::default();
        assert_eq!((gate.is_closed(), gate.why()), (false, None));
        gate.opened().await;
        gate.close("paused");
        gate.close("the live topology is behind");
        assert_eq!(gate.why().as_deref(), Some("the live topology is behind"));
        let opens = async {
            tokio::task::yield_now().await;
            gate.open();
        };
        let ((), ()) = tokio::join!(gate.opened(), opens);
        assert!(!gate.is_closed());
    }
}
