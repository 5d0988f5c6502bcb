//! A producer with a thread that serves its events when they come.
//!
//! The rdkafka crate has one, `ThreadedProducer`. Its poll rounds what is left of 100 ms down to whole ms (0.39),
//! so its thread spins through the last ms of each: a hundredth of a core, all the time, for nothing.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, ProducerContext};

use super::ffi::main_queue::MainQueue;

/// A client that calls its context back from a thread of its own. Dropping it answers what is on its way, which
/// can take half a second.
pub(super) struct Served<C: ProducerContext + 'static> {
    client: Arc<BaseProducer<C>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> Served<C> {
    /// Makes the client; contacts nobody yet.
    pub(super) fn new(config: &ClientConfig, context: C) -> KafkaResult<Self> {
        let client = BaseProducer::from_config_and_context(config, context)?;
        let client = Arc::new(client);
        let over = Arc::new(AtomicBool::new(false));
        let served = (Arc::clone(&client), Arc::clone(&over));
        let thread = thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || serve(&served.0, &served.1))
            .map_err(|error| KafkaError::ClientCreation(format!("no thread for it: {error}")))?;
        Ok(Self {
            client,
            over,
            thread: Some(thread),
        })
    }
}

fn serve<C: ProducerContext + 'static>(client: &Arc<BaseProducer<C>>, over: &AtomicBool) {
    let queue = MainQueue::new(client, thread::current());
    loop {
        while !queue.is_empty() {
            client.poll(Duration::ZERO);
        }
        if over.load(Ordering::Acquire) {
            return;
        }
        // What has come since the queue was empty has unparked this thread: it does not stay.
        thread::park();
    }
}

impl<C: ProducerContext> Deref for Served<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &BaseProducer<C> {
        &self.client
    }
}

impl<C: ProducerContext> Drop for Served<C> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
