//! Lets go of a client that only asks, without waiting for it for long.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use super::asked::let_go;
use super::log::Asking;

/// How long it is waited for the end of a client: most take a few milliseconds, and a process should not exit
/// amid a handshake.
const WITHIN: Duration = Duration::from_millis(500);

/// A client whose end is waited for 500 ms at most. librdkafka joins its threads there, and one that looks a
/// name up cannot be told to stop: it goes on for as long as name servers are away.
pub(crate) struct Parting(Option<Arc<BaseConsumer<Asking>>>);

impl Parting {
    pub(crate) fn new(client: Arc<BaseConsumer<Asking>>) -> Self {
        Self(Some(client))
    }
}

impl Deref for Parting {
    type Target = BaseConsumer<Asking>;

    fn deref(&self) -> &BaseConsumer<Asking> {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        let (end, ended) = sync_channel::<()>(0);
        // What is let go ends in this order, and the sender's end is heard.
        let_go((self.0.take(), end));
        let _ = ended.recv_timeout(WITHIN);
    }
}
