//! The rebalance callback: takes partitions over from explicit offsets, gives them up after their
//! lanes said how far they are.
//!
//! Runs on the poll thread only, inside `poll`. The whole member stands still meanwhile, and the
//! group waits, so every step is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use rdkafka_sys::RDKafkaRespErr;

use super::admin::TopicPartition;
use super::assignment::{Assignment, Start, State, same};
use super::conditions::{Subject, classify};
use super::error::code_of;
use super::ffi::{commit, consume, list};
use super::log::{forward, lock};
use super::mailbox::{Control, Drain, Event, Frontier, Request};
use super::shared::{Session, Shared, add, commit_list, is_rebalancing};
use super::start;

/// How long the commit of a revoke may take. It takes 5 to 14 ms with a healthy coordinator.
const COMMIT_WITHIN: Duration = Duration::from_secs(3);

/// What librdkafka calls back into.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        forward(level, facility, text);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.shared.check_fatal.store(true, Ordering::Relaxed);
        if let Some(subject) = classify(code_of(&error), reason) {
            self.shared.conditions.raise(subject, reason.to_owned());
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        client: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        add(&self.shared.counters.rebalances, 1);
        let partitions: Vec<_> = list::elements(partitions)
            .into_iter()
            .map(|element| TopicPartition::new(&element.topic, element.partition))
            .collect();
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.assign(client, &partitions)
            }
            _ => self.revoke(client, &partitions),
        }
        for mailbox in &self.shared.mailboxes {
            mailbox.push(Control::Recheck);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let shared = &self.shared;
        self.answered(offsets);
        match result {
            Ok(()) => {
                shared.conditions.clear(&Subject::Group);
                shared.conditions.clear(&Subject::Connection);
            }
            // Nothing to commit is not a failure.
            Err(error) if code_of(&error) == rdkafka::error::RDKafkaErrorCode::NoOffset => return,
            Err(error) => {
                let code = code_of(&error);
                add(&shared.counters.failed_commits, offsets.count() as u64);
                if !is_rebalancing(code) {
                    let text = format!("group {}: commit failed: {code}", shared.config.group);
                    shared.conditions.raise(Subject::Group, text);
                }
                return;
            }
        }
        let registry = lock(&shared.registry);
        for element in list::elements(offsets) {
            if element.error.is_some() {
                add(&shared.counters.failed_commits, 1);
            } else if let Some(assignment) = registry.get(&element.topic, element.partition) {
                add(&shared.counters.commits, 1);
                assignment.set_committed(element.offset);
            }
        }
    }
}

impl Context {
    /// Lets the next commit of these partitions go.
    fn answered(&self, offsets: &TopicPartitionList) {
        let registry = lock(&self.shared.registry);
        for element in list::elements(offsets) {
            if let Some(assignment) = registry.get(&element.topic, element.partition) {
                assignment.set_committing(false);
            }
        }
    }

    fn assign(&self, client: &BaseConsumer<Self>, partitions: &[TopicPartition]) {
        let (found, failed) = if partitions.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            start::find(&self.shared, client, partitions)
        };
        let reading = take_over(&self.shared, found);
        assign_at(&self.shared, client, &reading, true);
        if !failed.is_empty() {
            self.shared.postpone(failed);
        }
        self.shared.joined.store(true, Ordering::Release);
        self.shared.conditions.clear(&Subject::Membership);
        if !partitions.is_empty() {
            self.shared.conditions.clear(&Subject::Group);
            self.shared.conditions.clear(&Subject::Connection);
        }
    }

    /// Gives up every partition, after its lane said how far it is.
    pub(crate) fn release(&self, client: &BaseConsumer<Self>) {
        let registry = lock(&self.shared.registry);
        let ours: Vec<TopicPartition> = registry.assignments.keys().cloned().collect();
        drop(registry);
        self.revoke(client, &ours);
    }

    fn revoke(&self, client: &BaseConsumer<Self>, partitions: &[TopicPartition]) {
        let shared = &self.shared;
        let lost = client.assignment_lost();
        if lost {
            let group = &shared.config.group;
            let text = format!(
                "no member of group {group} any more, as its coordinator was silent or put this one out; it joins again by itself"
            );
            shared.conditions.raise(Subject::Membership, text);
        }
        shared.forget_postponed(partitions);
        let revoked: Vec<Arc<Assignment>> = {
            let registry = lock(&shared.registry);
            let ours = partitions
                .iter()
                .filter_map(|partition| registry.assignments.get(partition).cloned());
            // Under the lock, so that no commit of theirs starts after this.
            ours.inspect(|assignment| assignment.set_state(State::Revoking))
                .collect()
        };
        if !lost && !revoked.is_empty() {
            let frontiers = drain(shared, &revoked);
            self.commit_now(client, &frontiers);
        }
        unassign(shared, client, partitions);
        give_up(shared, &revoked);
    }

    fn commit_now(&self, client: &BaseConsumer<Self>, frontiers: &[Frontier]) {
        let counters = &self.shared.counters;
        let fresh: Vec<Frontier> = frontiers
            .iter()
            .filter(|frontier| frontier.assignment.committed() != Some(frontier.offset))
            .cloned()
            .collect();
        if fresh.is_empty() {
            return;
        }
        match commit::commit_within(client, &commit_list(&fresh), COMMIT_WITHIN) {
            Ok(()) => {
                add(&counters.commits, fresh.len() as u64);
                for frontier in &fresh {
                    frontier.assignment.set_committed(frontier.offset);
                }
            }
            Err(code) => {
                add(&counters.failed_commits, fresh.len() as u64);
                if !is_rebalancing(code) {
                    tracing::warn!(error = %code, "The commit at a revoke failed");
                }
            }
        }
    }
}

/// Registers partitions with their lanes. Returns those that are to be read.
pub(crate) fn take_over(
    shared: &Shared,
    starts: Vec<(TopicPartition, Start)>,
) -> Vec<(Arc<Assignment>, i64)> {
    let assignments = lock(&shared.registry).assign(shared.mailboxes.len(), starts);
    let mut reading = Vec::new();
    for assignment in assignments {
        let partition = &assignment.partition;
        // The lane hears of the partition before its first record can come.
        shared.mailboxes[assignment.lane].push(Control::Assign(Arc::clone(&assignment)));
        let conditions = &shared.conditions;
        conditions.clear(&Subject::Partition(partition.clone()));
        conditions.clear(&Subject::Topic(partition.topic.to_string()));
        if assignment.start.held.is_none() {
            let offset = assignment.start.offset;
            reading.push((assignment, offset));
        }
    }
    reading
}

/// Sends what will be fetched to the lanes and starts fetching at explicit offsets. Inside a rebalance the call is due even without any.
pub(crate) fn assign_at(
    shared: &Shared,
    client: &BaseConsumer<Context>,
    reading: &[(Arc<Assignment>, i64)],
    in_rebalance: bool,
) {
    if reading.is_empty() && !in_rebalance {
        return;
    }
    let Some(session) = shared.session() else {
        return;
    };
    let mut offsets = TopicPartitionList::with_capacity(reading.len());
    for (assignment, offset) in reading {
        let partition = &assignment.partition;
        send_to_lane(client, &session, assignment);
        shared.request(Request::Forward(Arc::clone(assignment)));
        let at = Offset::Offset((*offset).max(0));
        if let Err(error) = offsets.add_partition_offset(&partition.topic, partition.partition, at)
        {
            tracing::error!(?partition, %error, "A partition cannot be assigned");
        }
    }
    // Both protocols of the group are cooperative.
    if let Err(error) = client.incremental_assign(&offsets) {
        let text = format!("group {}: assign failed: {error}", shared.config.group);
        shared.conditions.raise(Subject::Group, text);
    }
}

/// Sends what is fetched of a partition to its lane. Due on every assign: when fetching stops,
/// librdkafka ends the forwarding, and records go nowhere. It does so whenever it gets round to it,
/// perhaps after the next assign, so this is repeated; what has piled up then arrives at once.
pub(crate) fn send_to_lane(
    client: &BaseConsumer<Context>,
    session: &Session,
    assignment: &Arc<Assignment>,
) {
    let partition = &assignment.partition;
    let queue = &session.queues[assignment.lane];
    if !consume::forward(client, &partition.topic, partition.partition, queue) {
        tracing::error!(?partition, "librdkafka has no queue for a partition");
    }
}

/// Stops fetching; leaves out what is not fetched at the moment, such as held partitions, which
/// librdkafka would refuse to unassign.
pub(crate) fn unassign(
    shared: &Shared,
    client: &BaseConsumer<Context>,
    partitions: &[TopicPartition],
) {
    let fetched = client.assignment().unwrap_or_default();
    let mut leaving = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        let number = partition.partition;
        if fetched.find_partition(&partition.topic, number).is_some() {
            let _ = leaving.add_partition(&partition.topic, number);
        }
    }
    if let Err(error) = client.incremental_unassign(&leaving) {
        let text = format!("group {}: unassign failed: {error}", shared.config.group);
        shared.conditions.raise(Subject::Group, text);
    }
}

/// Asks the lanes how far their partitions are answered and waits for them, bounded.
fn drain(shared: &Shared, revoked: &[Arc<Assignment>]) -> Vec<Frontier> {
    let of_lane = |lane| -> Vec<_> {
        let of_lane = revoked.iter().filter(|assignment| assignment.lane == lane);
        of_lane.cloned().collect()
    };
    let lanes: Vec<_> = (0..shared.mailboxes.len())
        .map(|lane| (lane, of_lane(lane)))
        .filter(|(_, assignments)| !assignments.is_empty())
        .collect();
    let drain = Drain::new(lanes.len());
    for (lane, assignments) in lanes {
        shared.mailboxes[lane].push(Control::Revoke(assignments, drain.reply()));
    }
    let (mut frontiers, late) = drain.wait(shared.config.revoke_drain_timeout);
    add(&shared.counters.late_revokes, late as u64);
    // Only what this revoke is about: an owner may answer with more.
    frontiers.retain(|frontier| revoked.iter().any(|one| same(one, &frontier.assignment)));
    frontiers
}

/// Forgets partitions and tells their lanes.
pub(crate) fn give_up(shared: &Shared, assignments: &[Arc<Assignment>]) {
    let mut registry = lock(&shared.registry);
    for assignment in assignments {
        assignment.set_state(State::Gone);
        let subject = Subject::Partition(assignment.partition.clone());
        shared.conditions.clear(&subject);
        let current = registry.assignments.get(&assignment.partition);
        if current.is_some_and(|current| same(current, assignment)) {
            let _ = registry.assignments.remove(&assignment.partition);
        }
    }
    drop(registry);
    for (lane, mailbox) in shared.mailboxes.iter().enumerate() {
        let gone: Vec<_> = assignments
            .iter()
            .filter(|assignment| assignment.lane == lane)
            .cloned()
            .collect();
        if !gone.is_empty() {
            mailbox.push(Control::Gone(gone));
        }
    }
}

/// Passes an event on to the owner of an assignment's lane.
pub(crate) fn tell(shared: &Shared, assignment: &Arc<Assignment>, event: Event) {
    shared.mailboxes[assignment.lane].push(Control::Tell(event));
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;
    use crate::kafka::ConsumerConfig;

    #[test]
    fn an_answer_of_either_kind_lets_the_next_commit_go() {
        let shared = Arc::new(Shared::new(ConsumerConfig::for_tests(), 1));
        let partition = TopicPartition::new("t", 3);
        let taken = take_over(&shared, vec![(partition, Start::for_tests())]);
        let (assignment, _) = &taken[0];
        let context = Context { shared };
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset("t", 3, Offset::Offset(5))
            .expect("an offset");

        assignment.set_committing(true);
        let failed = KafkaError::ConsumerCommit(RDKafkaErrorCode::CoordinatorNotAvailable);
        context.commit_callback(Err(failed), &offsets);
        assert!(!assignment.is_committing());
        assert_eq!(assignment.committed(), None);

        assignment.set_committing(true);
        context.commit_callback(Ok(()), &offsets);
        assert!(!assignment.is_committing());
        assert_eq!(assignment.committed(), Some(5));
    }
}
