//! What the lanes of a spout share: the client, what is wrong with it, and who has begun to close.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use isobar_topology::{Counters, HELD, Health, Partitions, Policy};
use tokio::sync::watch;

use super::bounded::Bounded;
use super::gate::Gate;
use super::pace::Pace;
use super::tally::Tally;
use crate::kafka::admin::TopicPartition;
use crate::kafka::{Assignment, Fixed, Handle, Held, Limits, Subject};

/// One member of the consumer group, as its lanes see it.
pub(super) struct Member {
    pub(super) id: Arc<str>,
    pub(super) handle: Handle,
    pub(super) partitions: Arc<Partitions>,
    pub(super) health: Health,
    pub(super) settings: Settings,
    /// What a bounded run reads up to.
    pub(super) bounded: Option<Arc<Bounded>>,
    /// What is read of each partition, where that is fixed.
    pub(super) fixed: Option<Arc<Fixed>>,
    pub(super) pace: Pace,
    /// Held while it is changed and shown what is held, so that the last word is the newest.
    holding: Mutex<()>,
    tally: Tally,
    /// Lanes that have not begun to close.
    reading: watch::Sender<usize>,
}

/// What the lanes need of the options.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    /// The policy that drops tombstones, unless they are passed on.
    pub(super) tombstones: Option<Policy>,
    pub(super) commit_interval: Duration,
    pub(super) revoke_drain_timeout: Duration,
    /// Records per second at most, over all lanes.
    pub(super) rate: Option<NonZeroU32>,
    /// What holds reading back from outside.
    pub(super) gate: Option<Arc<Gate>>,
}

const CONNECTION: &str = "connection";
const GROUP: &str = "group";
const TOPIC: &str = "topic";

impl Member {
    #[expect(
        clippy::too_many_arguments,
        reason = "the one place where what the lanes share comes together"
    )]
    pub(super) fn new(
        id: Arc<str>,
        handle: Handle,
        partitions: Arc<Partitions>,
        health: Health,
        settings: Settings,
        bounded: Option<Arc<Bounded>>,
        fixed: Option<Arc<Fixed>>,
        counters: &Counters,
        lanes: usize,
    ) -> Self {
        Self {
            id,
            handle,
            partitions,
            health,
            settings,
            bounded,
            fixed,
            pace: Pace::default(),
            holding: Mutex::default(),
            tally: Tally::new(counters),
            reading: watch::Sender::new(lanes),
        }
    }

    /// Says what the client says is wrong, takes back what is over, and passes on what it counted.
    pub(super) fn show_conditions(&self) {
        self.tally.take(&self.handle.counts());
        let conditions = self.handle.conditions();
        for (kind, is_kind) in [
            (
                CONNECTION,
                (|s| matches!(s, Subject::Connection)) as fn(&Subject) -> bool,
            ),
            (GROUP, |s| {
                matches!(
                    s,
                    Subject::Group | Subject::Membership | Subject::Commits(_)
                )
            }),
            (TOPIC, |s| {
                matches!(s, Subject::Topic(_) | Subject::Partition(_))
            }),
        ] {
            let of_kind = conditions.iter().filter(|one| is_kind(&one.subject));
            let texts: Vec<&str> = of_kind.map(|one| one.text.as_str()).collect();
            self.show(kind, &texts);
        }
    }

    /// Notes that nothing is read of a partition until somebody decides, and why.
    pub(super) fn hold(&self, assignment: &Assignment, why: &Held) {
        let TopicPartition { topic, partition } = &assignment.partition;
        let why = match self.fixed {
            Some(_) => why.of_plan(),
            None => format!("{why}; reset the group's offsets"),
        };
        let _holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        self.partitions.hold(topic, *partition, why);
        self.show_held();
    }

    /// Forgets held partitions that are no longer ours.
    pub(super) fn release(&self, assignments: &[Arc<Assignment>]) {
        let _holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        if self.partitions.held().is_empty() {
            return;
        }
        for assignment in assignments {
            let TopicPartition { topic, partition } = &assignment.partition;
            self.partitions.release(topic, *partition);
        }
        self.show_held();
    }

    /// The first offset of a partition that is not wanted.
    pub(super) fn end_of(&self, partition: &TopicPartition) -> i64 {
        let ranges = self.fixed.as_ref().map(|fixed| &fixed.ranges);
        let range = ranges.and_then(|ranges| ranges.get(partition));
        range.map_or(i64::MAX, |(_, end)| *end)
    }

    pub(super) fn holds(&self, partition: &TopicPartition) -> bool {
        let TopicPartition { topic, partition } = partition;
        self.partitions
            .held()
            .contains_key(&(Arc::clone(topic), *partition))
    }

    /// Notes that a lane has begun to close.
    pub(super) fn lane_closes(&self) {
        self.reading
            .send_modify(|lanes| *lanes = lanes.saturating_sub(1));
    }

    /// Waits until every lane has begun to close: only then may the group be left, or those that
    /// drain would lose their partitions. Cancel-safe.
    pub(super) async fn all_close(&self) {
        let mut reading = self.reading.subscribe();
        // The sender is this value's own.
        let _ = reading.wait_for(|lanes| *lanes == 0).await;
    }

    fn show_held(&self) {
        let held = self.partitions.held().into_iter();
        let texts: Vec<String> = held
            .map(|((topic, partition), why)| format!("topic {topic}, partition {partition}: {why}"))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.show(HELD, &texts);
    }

    fn show(&self, kind: &'static str, texts: &[&str]) {
        if texts.is_empty() {
            self.health.clear(&self.id, kind);
        } else {
            self.health.set(&self.id, kind, texts.join("; "));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.tally.take(&self.handle.counts());
        if let Some(bounded) = &self.bounded {
            bounded.stop();
        }
    }
}
