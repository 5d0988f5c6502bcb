//! A bounded run: reads up to the ends of the topics as they were at the start, then ends.
//!
//! Every member answers for the partitions that it has. One without any waits until the group has
//! committed everything: partitions may still be on their way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use isobar_topology::OperatorError;
use isobar_topology::clock::{self, Instant};
use tokio::sync::watch;

use super::member::Member;
use crate::kafka::admin::{Admin, Spec, TopicPartition};
use crate::kafka::{Assignment, Handle};

/// Between two questions to the brokers.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The group commits every few seconds while it reads; after so long without one a member that waits
/// for it says so.
const COMMITS_WITHIN: Duration = Duration::from_secs(30);

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
    /// With ends that are known beforehand.
    pub(super) fn up_to(ends: BTreeMap<TopicPartition, i64>) -> Self {
        Self {
            ends: OnceLock::from(ends),
            ..Self::default()
        }
    }

    /// One with nothing left to read.
    #[cfg(test)]
    pub(super) fn that_is_over() -> Self {
        Self {
            over: watch::Sender::new(true),
            ..Self::default()
        }
    }

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
        let mut others = Others::new();
        loop {
            let found = self.step(bounded, member, &mut others);
            let Some(member) = member.upgrade() else {
                return;
            };
            match found {
                Ok(Way::Reads) => member.health.clear(&member.id, ENDS),
                Ok(Way::Closer) => {
                    member.health.count_progress();
                    member.health.clear(&member.id, ENDS);
                }
                Err(text) => member.health.set(&member.id, ENDS, text),
            }
            // Not held while waiting: the last lane that lets go of it ends this thread.
            drop(member);
            if !bounded.wait() {
                return;
            }
        }
    }

    fn step(
        &self,
        bounded: &Bounded,
        member: &Weak<Member>,
        others: &mut Others,
    ) -> Result<Way, String> {
        let Some(ends) = bounded.ends.get() else {
            let ends = self.ends()?;
            let _ = bounded.ends.set(ends);
            return Ok(Way::Reads);
        };
        let assignments = member
            .upgrade()
            .and_then(|member| member.handle.assignments());
        if assignments.is_none_or(|assignments| !assignments.is_empty()) {
            *others = Others::new();
            return Ok(Way::Reads);
        }
        let partitions: Vec<TopicPartition> = ends.keys().cloned().collect();
        let commits = self.admin.committed(&partitions);
        let commits = commits.map_err(|e| e.to_string())?;
        let committed: BTreeMap<_, _> = commits
            .into_iter()
            .flatten()
            .map(|commit| (commit.partition, commit.offset))
            .collect();
        let mut all = ends.iter();
        if all.all(|(partition, end)| committed.get(partition) >= Some(end)) {
            let _ = bounded.committed.set(());
        }
        others.look(ends, &committed)
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

/// How a bounded member gets on.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// By what it reads, or it is too early to tell.
    Reads,
    /// By what the other members of its group have committed since the last look.
    Closer,
}

/// What a member without partitions sees of the others.
struct Others {
    /// Commits added up: of one group, this grows while any of them does.
    sum: Option<i64>,
    since: Instant,
}

impl Others {
    fn new() -> Self {
        Self {
            sum: None,
            since: clock::now(),
        }
    }

    /// Compares with the last look; says what is waited for when the group has stood still for long.
    fn look(
        &mut self,
        ends: &BTreeMap<TopicPartition, i64>,
        committed: &BTreeMap<TopicPartition, i64>,
    ) -> Result<Way, String> {
        let sum = ends.keys().filter_map(|one| committed.get(one)).sum();
        if self.sum.is_none_or(|last| sum > last) {
            self.sum = Some(sum);
            self.since = clock::now();
            return Ok(Way::Closer);
        }
        let still = clock::now() - self.since;
        if still < COMMITS_WITHIN {
            return Ok(Way::Reads);
        }
        let is_short =
            |(partition, end): &(&TopicPartition, &i64)| committed.get(partition) < Some(*end);
        let mut short = ends.iter().filter(is_short);
        let Some((first, end)) = short.next() else {
            return Ok(Way::Reads);
        };
        Err(format!(
            "this member has no partition and waits for the other members of the group, which have committed nothing for {} s: {} partitions are not at their end, topic {}, partition {} among them ({} of {end})",
            still.as_secs(),
            short.count() + 1,
            first.topic,
            first.partition,
            committed
                .get(first)
                .map_or_else(|| "nothing".to_owned(), i64::to_string),
        ))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_member_without_partitions_gets_on_with_the_commits_of_the_others() {
        let at = |offsets: [i64; 2]| -> BTreeMap<TopicPartition, i64> {
            let offsets = (0..).zip(offsets);
            offsets
                .map(|(partition, offset)| (TopicPartition::new("t", partition), offset))
                .collect()
        };
        let ends = at([100, 50]);
        let mut others = Others::new();
        let mut look = |committed| others.look(&ends, &committed);
        let wait = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        assert_eq!(look(BTreeMap::new()), Ok(Way::Closer));
        wait(29).await;
        assert_eq!(look(BTreeMap::new()), Ok(Way::Reads));
        assert_eq!(look(at([10, 50])), Ok(Way::Closer));
        wait(29).await;
        assert_eq!(look(at([10, 50])), Ok(Way::Reads));
        wait(1).await;
        let said = look(at([10, 50])).expect_err("it stands still");
        assert!(
            said.ends_with("nothing for 30 s: 1 partitions are not at their end, topic t, partition 0 among them (10 of 100)"),
            "{said}"
        );
        assert_eq!(look(at([11, 50])), Ok(Way::Closer));
        wait(60).await;
        assert_eq!(look(at([100, 50])), Ok(Way::Closer));
    }
}
