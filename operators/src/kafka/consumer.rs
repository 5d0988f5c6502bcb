//! The laned consumer: one member of a consumer group whose partitions are read by several lanes.
//!
//! Offers starting, committing, watching and closing. Reading is done by the [`LaneReader`]s.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::assignment::Assignment;
use super::commits;
use super::conditions::Condition;
use super::config::ConsumerConfig;
use super::error::Error;
use super::ffi::commit;
use super::lane::LaneReader;
use super::log::lock;
use super::mailbox::{Frontier, Request};
use super::password::{self, Follower};
use super::session;
use super::shared::{Closed, Counts, Shared, add};

/// Starts consumers.
pub struct LanedConsumer;

impl LanedConsumer {
    /// Joins the group with one member and as many lanes, each to be read by a thread of its own.
    ///
    /// Contacts nobody before it returns: unreachable brokers and missing topics show as
    /// [`Handle::conditions`]. Fails when the configuration cannot be used.
    pub fn start(config: ConsumerConfig, lanes: usize) -> Result<(Handle, Vec<LaneReader>), Error> {
        let problems = config.check();
        if !problems.is_empty() {
            return Err(Error::Config(problems.join("; ")));
        }
        config.connection.within_reach()?;
        let shared = Arc::new(Shared::new(config, lanes));
        let first = session::open(&shared)?;
        let theirs = Arc::clone(&shared);
        let _ = std::thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || session::run(&theirs, first))
            .map_err(|source| Error::System {
                what: "starting the poll thread".to_owned(),
                source,
            })?;
        Ok(Self::ends(shared))
    }

    fn ends(shared: Arc<Shared>) -> (Handle, Vec<LaneReader>) {
        let readers = (0..shared.mailboxes.len())
            .map(|lane| LaneReader::new(lane, Arc::clone(&shared)))
            .collect();
        let handle = Handle {
            inner: Arc::new(Owner {
                _password: follow_password(&shared),
                shared,
            }),
        };
        (handle, readers)
    }

    /// A member without a client: what the group says is in the hands of the test.
    #[cfg(test)]
    pub(crate) fn without_client(
        config: ConsumerConfig,
        lanes: usize,
    ) -> (Handle, Vec<LaneReader>) {
        Self::ends(Arc::new(Shared::new(config, lanes)))
    }
}

/// A running consumer. The last handle that is dropped closes it without waiting.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    _password: Option<Follower>,
}

fn follow_password(shared: &Arc<Shared>) -> Option<Follower> {
    let connection = &shared.config.connection;
    let shared = Arc::downgrade(shared);
    Follower::start(connection, password::INTERVAL, move |sasl| {
        let Some(shared) = shared.upgrade() else {
            return false;
        };
        // Under the lock, so that this thread is never the last one that has the client.
        let session = lock(&shared.session);
        let client = session.as_ref().map(|session| session.client.client());
        client.is_some_and(|client| password::give(client, sasl))
    })
}

impl Drop for Owner {
    fn drop(&mut self) {
        ask_to_close(&self.shared);
    }
}

impl Handle {
    /// Commits frontiers without waiting; returns how many were sent.
    ///
    /// Left out are assignments that are no longer ours, and partitions of which a commit is on its way,
    /// see [`Self::is_committing`].
    ///
    /// Results show in [`Self::counts`] and [`Assignment::committed`]. Fails when the request could
    /// not be sent; the next one carries the same or later offsets, so nothing is lost.
    pub fn commit(&self, frontiers: &[Frontier]) -> Result<usize, RDKafkaErrorCode> {
        let shared = &self.inner.shared;
        let Some(session) = shared.session() else {
            return Ok(0);
        };
        // Held until the request is sent, so that no commit of a partition starts after its
        // revoke has.
        let mut registry = lock(&shared.registry);
        let ours: Vec<Frontier> = frontiers
            .iter()
            .filter(|frontier| {
                let assignment = &frontier.assignment;
                assignment.is_owned() && !registry.is_committing(&assignment.partition)
            })
            .cloned()
            .collect();
        let mut sent = 0;
        for request in commits::requests(ours) {
            if let Err(code) = commit::commit(&session.client, &commits::list(&request)) {
                add(&shared.counters.failed_commits, request.len() as u64);
                return Err(code);
            }
            for frontier in &request {
                registry.commit_sent(&frontier.assignment);
            }
            sent += request.len();
        }
        Ok(sent)
    }

    /// Tells whether a commit of this partition was sent by [`Self::commit`] and not answered yet, also for
    /// an earlier assignment of it. No other is sent meanwhile: librdkafka repeats commits whose connection
    /// broke, and an old one that is repeated after a newer one was answered takes the group back.
    ///
    /// While the client lives every commit is answered, but without a bound in time: one that could not
    /// be sent is kept until the group has a coordinator again (`rd_kafka_buf_retry`).
    ///
    /// A revoke commits all the same, since nobody can later, and does not hear of it when the coordinator
    /// takes more than 3 s. Should one of the two commits be repeated after that, some records are read
    /// again, by whoever has the partition then.
    pub fn is_committing(&self, assignment: &Assignment) -> bool {
        lock(&self.inner.shared.registry).is_committing(&assignment.partition)
    }

    /// Returns what is wrong at the moment; empty when all is well.
    pub fn conditions(&self) -> Vec<Condition> {
        self.inner.shared.conditions.read()
    }

    /// Returns counts since the start.
    pub fn counts(&self) -> Counts {
        self.inner.shared.counters.read()
    }

    /// Tells whether the group has said which partitions are ours.
    pub fn joined(&self) -> bool {
        self.inner.shared.joined.load(Ordering::Acquire)
    }

    /// Returns the partitions that are ours at the moment, in the order of their names; `None` while
    /// that is not settled: the group was not joined yet, or the start of one is still asked for.
    pub fn assignments(&self) -> Option<Vec<Arc<Assignment>>> {
        let shared = &self.inner.shared;
        // In this order: a partition is registered before it leaves the list of postponed ones.
        if !self.joined() || shared.any_postponed() {
            return None;
        }
        let registry = lock(&shared.registry);
        Some(registry.assignments.values().cloned().collect())
    }

    /// What the poll thread works on, for tests that do its part.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Stops fetching a partition of which nothing more is wanted. It stays ours: what is answered of it
    /// can be committed.
    pub fn stop_reading(&self, assignment: &Arc<Assignment>) {
        let request = Request::Stop(Arc::clone(assignment));
        self.inner.shared.request(request);
    }

    /// Leaves the group and frees everything, waiting at most `within`; `None` when it takes
    /// longer and goes on behind the scenes.
    ///
    /// The lanes must go on being read until they say [`super::Event::Closed`]: they are asked for
    /// their frontiers as in any revoke, and must let go of their records. With dead brokers
    /// the end can take as long as the session time-out.
    pub async fn close(&self, within: Duration) -> Option<Closed> {
        ask_to_close(&self.inner.shared);
        let mut closed = self.inner.shared.closed.subscribe();
        let waited = tokio::time::timeout(within, closed.wait_for(Option::is_some)).await;
        waited.ok()?.ok().and_then(|closed| *closed)
    }
}

fn ask_to_close(shared: &Shared) {
    *lock(&shared.closing) = true;
    shared.close_asked.notify_all();
}
