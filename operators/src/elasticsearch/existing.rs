//! Which indices exist, for bolts that make none: each name is asked for when its first record comes, and
//! again after a while. All lanes share what is known.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use isobar_topology::clock::{self, Instant};
use isobar_topology::{OperatorError, Policy};

use super::ask::Ask;

/// So long it is believed that something is there: it may be deleted while records come.
const THERE_FOR: Duration = Duration::from_secs(10);

/// And so long that it is not. What is dropped does not come back, so this is how long after it was made documents
/// for it may be lost; and all that come meanwhile cost one question in a second.
const GONE_FOR: Duration = Duration::from_secs(1);

/// Names that are known at a time; the oldest answers are forgotten for new ones.
const KNOWN_MAX: usize = 10_000;

/// Names that are asked for at one time: a batch may have hundreds.
pub(crate) const AT_ONE_TIME: usize = 16;

/// The bolt stands still meanwhile, with what it has to send: whoever tells does so in milliseconds.
pub(crate) const WITHIN: Duration = Duration::from_secs(5);

/// The names that a bolt has asked for: indices, aliases and data streams.
pub(crate) struct Existing {
    /// By which documents for other names are dropped.
    pub(crate) policy: Policy,
    known: Mutex<BTreeMap<Arc<str>, (bool, Instant)>>,
}

impl Existing {
    /// Nothing is known yet.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            known: Mutex::default(),
        }
    }

    /// Whether there is something of this name; `None` where that is to be asked.
    pub(crate) fn has(&self, name: &str) -> Option<bool> {
        let known = self.lock();
        let (is_there, since) = known.get(name)?;
        is_believed(*is_there, *since, clock::now()).then_some(*is_there)
    }

    /// Asks for names, some at one time. Fails where no host tells of one, and the others are known
    /// nevertheless; and after [`WITHIN`], when those are known that were told by then.
    pub(crate) async fn learn(
        &self,
        ask: &Ask,
        names: impl IntoIterator<Item = Arc<str>>,
    ) -> Result<(), OperatorError> {
        let asking = stream::iter(names).map(|name| async move {
            let told = ask.exists(&name).await;
            (name, told)
        });
        let told = asking.buffer_unordered(AT_ONE_TIME);
        let told = told.fold(Ok(()), |so_far, (name, told)| async move {
            self.remember(name, told?);
            so_far
        });
        match tokio::time::timeout(WITHIN, told).await {
            Ok(told) => told,
            Err(_) => Err(OperatorError::external(format!(
                "asking which indices exist: not all was told within {WITHIN:?}"
            ))),
        }
    }

    fn remember(&self, name: Arc<str>, is_there: bool) {
        let (mut known, now) = (self.lock(), clock::now());
        if known.len() >= KNOWN_MAX && !known.contains_key(&name) {
            known.retain(|_, (is_there, since)| is_believed(*is_there, *since, now));
            let oldest = known.iter().min_by_key(|(_, (_, since))| *since);
            if known.len() >= KNOWN_MAX
                && let Some(oldest) = oldest.map(|(name, _)| Arc::clone(name))
            {
                let _ = known.remove(&oldest);
            }
        }
        let _ = known.insert(name, (is_there, now));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, (bool, Instant)>> {
        // Nothing panics while holding this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_believed(is_there: bool, since: Instant, now: Instant) -> bool {
    let believed_for = match is_there {
        true => THERE_FOR,
        false => GONE_FOR,
    };
    now - since < believed_for
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use isobar_topology::testing::policy;
    use serde_json::json;

    use super::*;
    use crate::stand_in::request;

    #[tokio::test]
    async fn what_is_told_of_some_names_is_known_though_nobody_tells_of_another() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = tokio::task::spawn_blocking(move || {
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().expect("a client");
                let (head, _) = request(&mut stream).expect("a request");
                let status = match head.split(' ').nth(1) {
                    Some("/there") => "200 OK",
                    Some("/gone") => "404 Not Found",
                    _ => "503 Service Unavailable",
                };
                let reply =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(reply.as_bytes()).expect("a reader");
            }
        });
        let connection = serde_json::from_value(json!({ "hosts": [host] })).expect("sound");
        let ask = Ask::of(&connection, WITHIN).expect("a client");
        let existing = Existing::new(policy(0));
        let names = ["broken", "gone", "there"].map(Arc::from);
        let error = existing
            .learn(&ask, names)
            .await
            .expect_err("of one none tells");
        assert!(
            error.to_string().contains("whether `broken` exists"),
            "{error}"
        );
        let known = ["broken", "gone", "there"].map(|name| existing.has(name));
        assert_eq!(known, [None, Some(false), Some(true)]);
        serving.await.expect("it ends");
    }

    #[tokio::test(start_paused = true)]
    async fn that_something_is_not_there_is_believed_for_a_second_only() {
        let existing = Existing::new(policy(0));
        existing.remember("gone".into(), false);
        existing.remember("there".into(), true);
        let has = || ["gone", "there"].map(|name| existing.has(name));
        assert_eq!(has(), [Some(false), Some(true)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(has(), [None, Some(true)]);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(has(), [None, None]);
    }

    #[test]
    fn the_oldest_answers_are_forgotten_for_new_ones() {
        let existing = Existing::new(policy(0));
        for number in 0..=KNOWN_MAX {
            existing.remember(number.to_string().into(), true);
        }
        assert_eq!(existing.lock().len(), KNOWN_MAX);
        assert_eq!(existing.has(&KNOWN_MAX.to_string()), Some(true));
    }
}
