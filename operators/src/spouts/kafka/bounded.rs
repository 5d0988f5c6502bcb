//! A bounded run: reads up to the ends of the topics as they were at the start, then ends.
//!
//! Every member answers for the partitions that it has. One without any waits until the group has
//! committed everything: partitions may still be on their way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use isobar_topology::OperatorError;
use tokio::sync::watch;

use super::member::Member;
use crate::kafka::admin::{Admin, Spec, TopicPartition};
use crate::kafka::{Assignment, Handle};

/// Between two questions to the brokers.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

const ENDS: &str = "ends";

/// The ends, and how much of the way is done.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    ends: OnceLock<BTreeMap<TopicPartition, i64>>,
    /// Assignments that have reached their end, by epoch.
    reached: Mutex<BTreeSet<u64>>,
    over: watch::Sender<bool>,
    /// The group has committed up to the ends.
    committed: OnceLock<()>,
    stopped: Mutex<bool>,
    stop: Condvar,
}

impl Bounded {
    /// Notes how far a partition was read: everything before `next`.
    pub(super) fn reached(&self, assignment: &Assignment, next: i64) {
        let Some(ends) = self.ends.get() else {
            return;
        };
        // Partitions that came into being later had no end at the start.
        if ends
            .get(&assignment.partition)
            .is_none_or(|end| next >= *end)
        {
            let _ = lock(&self.reached).insert(assignment.epoch);
        }
    }

    /// Tells whether this member has read all that it has to.
    pub(super) fn is_over(&self, handle: &Handle) -> bool {
        if *self.over.borrow() {
            return true;
        }
        let Some(assignments) = handle.assignments().filter(|_| self.ends.get().is_some()) else {
            return false;
        };
        let reached = lock(&self.reached);
        let over = match assignments.is_empty() {
            true => self.committed.get().is_some(),
            false => assignments.iter().all(|one| reached.contains(&one.epoch)),
        };
        if over {
            let _ = self.over.send_replace(true);
        }
        over
    }

    /// Waits until the run is over. Cancel-safe.
    pub(super) async fn over(&self) {
        let mut over = self.over.subscribe();
        // The sender is this value's own.
        let _ = over.wait_for(|over| *over).await;
    }

    pub(super) fn stop(&self) {
        *lock(&self.stopped) = true;
        self.stop.notify_all();
    }

    /// Waits before the next question; `false` when there is nothing more to ask.
    fn wait(&self) -> bool {
        let waited = self
            .stop
            .wait_timeout_while(lock(&self.stopped), AGAIN_AFTER, |stopped| !*stopped);
        let stopped = waited.map_or_else(|poisoned| *poisoned.into_inner().0, |(stop, _)| *stop);
        !stopped && !*self.over.borrow()
    }
}

/// What the thread asks about.
pub(super) struct Asked {
    pub(super) admin: Admin,
    pub(super) topics: Vec<String>,
}

/// Starts the thread that asks for the ends, as long as it takes.
pub(super) fn start(member: &Arc<Member>, asked: Asked) -> Result<(), OperatorError> {
    let Some(bounded) = member.bounded.clone() else {
        return Ok(());
    };
    let member = Arc::downgrade(member);
    let spawned = std::thread::Builder::new()
        .name("kafka-ends".to_owned())
        .spawn(move || asked.run(&bounded, &member));
    match spawned {
        Ok(_detached) => Ok(()),
        Err(error) => Err(OperatorError::internal(
            "the thread for end offsets could not be started",
        )
        .with_source(error)),
    }
}

impl Asked {
    fn run(&self, bounded: &Bounded, member: &Weak<Member>) {
        loop {
            let found = self.step(bounded, member);
            let Some(member) = member.upgrade() else {
                return;
            };
            match found {
                Ok(()) => member.health.clear(&member.id, ENDS),
                Err(text) => member.health.set(&member.id, ENDS, text),
            }
            // Not held while waiting: the last lane that lets go of it ends this thread.
            drop(member);
            if !bounded.wait() {
                return;
            }
        }
    }

    fn step(&self, bounded: &Bounded, member: &Weak<Member>) -> Result<(), String> {
        let Some(ends) = bounded.ends.get() else {
            let ends = self.ends()?;
            let _ = bounded.ends.set(ends);
            return Ok(());
        };
        let assignments = member
            .upgrade()
            .and_then(|member| member.handle.assignments());
        if assignments.is_some_and(|assignments| assignments.is_empty()) {
            let partitions: Vec<TopicPartition> = ends.keys().cloned().collect();
            let commits = self.admin.committed(&partitions);
            let commits = commits.map_err(|e| e.to_string())?;
            let committed: BTreeMap<_, _> = commits
                .into_iter()
                .flatten()
                .map(|commit| (commit.partition, commit.offset))
                .collect();
            let mut ends = ends.iter();
            if ends.all(|(partition, end)| committed.get(partition) >= Some(end)) {
                let _ = bounded.committed.set(());
            }
        }
        Ok(())
    }

    fn ends(&self) -> Result<BTreeMap<TopicPartition, i64>, String> {
        let found = self
            .admin
            .partitions(&self.topics)
            .map_err(|e| e.to_string())?;
        let (partitions, problems) = found;
        if let Some(problem) = problems.first() {
            return Err(problem.clone());
        }
        let answers = self
            .admin
            .offsets(&partitions, Spec::Latest)
            .map_err(|e| e.to_string())?;
        let ends = answers.into_iter().map(|(partition, end)| match end {
            Ok(end) => Ok((partition, end)),
            Err(code) => Err(format!(
                "topic {}, partition {}: asking for its end: {code}",
                partition.topic, partition.partition
            )),
        });
        ends.collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
