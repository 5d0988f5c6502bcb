//! The rebalance callback: takes partitions over from explicit offsets, gives them up after their
//! lanes said how far they are.
//!
//! Runs on the poll thread only, inside `poll`. The whole member stands still meanwhile, and the
//! group waits, so every step is bounded.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use isobar_topology::clock;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use rdkafka_sys::RDKafkaRespErr;

use super::admin::TopicPartition;
use super::assignment::{Assignment, Start, State, same};
use super::commits::{self, is_of_one_partition, is_rebalancing};
use super::conditions::{Subject, classify};
use super::error::code_of;
use super::ffi::list::Element;
use super::ffi::{commit, consume, list};
use super::log::{forward, lock};
use super::mailbox::{Control, Drain, Event, Frontier, Request};
use super::shared::{Session, Shared, add};
use super::start;

/// How long the commits of a revoke may take together. One takes 5 to 14 ms with a healthy coordinator.
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
        let elements = list::elements(offsets);
        let senders = self.answered(&elements);
        match result.map_err(|error| code_of(&error)) {
            Ok(()) => self.confirmed(&elements, &senders),
            // Nothing to commit is not a failure.
            Err(RDKafkaErrorCode::NoOffset) => {}
            Err(code) => self.refused(code, &senders),
        }
    }
}

impl Context {
    /// Lets the next commit of these partitions go. Returns the assignments that sent these; none where
    /// it is over.
    fn answered(&self, elements: &[Element]) -> Vec<Option<Arc<Assignment>>> {
        let mut registry = lock(&self.shared.registry);
        let elements = elements.iter();
        elements
            .map(|element| registry.commit_answered(&element.topic, element.partition))
            .collect()
    }

    fn confirmed(&self, elements: &[Element], senders: &[Option<Arc<Assignment>>]) {
        let shared = &self.shared;
        add(&shared.counters.commits, elements.len() as u64);
        shared.conditions.clear(&Subject::Group);
        shared.conditions.clear(&Subject::Connection);
        for (element, sender) in elements.iter().zip(senders) {
            if let Some(assignment) = sender {
                assignment.set_committed(element.offset);
                assignment.set_commits_alone(false);
                let subject = Subject::Commits(assignment.partition.clone());
                shared.conditions.clear(&subject);
            }
        }
    }

    /// Notes that none of these is known to be committed.
    fn refused(&self, code: RDKafkaErrorCode, senders: &[Option<Arc<Assignment>>]) {
        let shared = &self.shared;
        let group = &shared.config.group;
        add(&shared.counters.failed_commits, senders.len() as u64);
        if is_of_one_partition(code) {
            for assignment in senders.iter().flatten() {
                assignment.set_commits_alone(true);
                // Of several, the next commits will tell which it is.
                if senders.len() == 1 {
                    let TopicPartition { topic, partition } = &assignment.partition;
                    let text = format!(
                        "group {group}: commits of topic {topic}, partition {partition}, fail: {code}"
                    );
                    let subject = Subject::Commits(assignment.partition.clone());
                    shared.conditions.raise(subject, text);
                }
            }
        } else if !is_rebalancing(code) {
            let text = format!("group {group}: commit failed: {code}");
            shared.conditions.raise(Subject::Group, text);
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
        let until = clock::now() + COMMIT_WITHIN;
        for request in commits::requests(fresh) {
            let within = until.saturating_duration_since(clock::now());
            match commit::commit_within(client, &commits::list(&request), within) {
                Ok(()) => {
                    add(&counters.commits, request.len() as u64);
                    for frontier in &request {
                        frontier.assignment.set_committed(frontier.offset);
                    }
                }
                Err(code) => {
                    add(&counters.failed_commits, request.len() as u64);
                    if !is_rebalancing(code) {
                        tracing::warn!(error = %code, "The commit at a revoke failed");
                    }
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
        conditions.clear(&Subject::Commits(partition.clone()));
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
        let partition = &assignment.partition;
        let conditions = &shared.conditions;
        conditions.clear(&Subject::Partition(partition.clone()));
        conditions.clear(&Subject::Commits(partition.clone()));
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
    use super::*;
    use crate::kafka::ConsumerConfig;

    fn list_of(offsets: &[(i32, i64)]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let added = list.add_partition_offset("t", *partition, Offset::Offset(*offset));
            added.expect("an offset");
        }
        list
    }

    #[test]
    fn an_answer_of_either_kind_lets_the_next_commit_go() {
        let shared = Arc::new(Shared::new(ConsumerConfig::for_tests(), 1));
        let partition = TopicPartition::new("t", 3);
        let taken = take_over(&shared, vec![(partition.clone(), Start::for_tests())]);
        let (assignment, _) = &taken[0];
        let context = Context {
            shared: Arc::clone(&shared),
        };
        let is_committing = || lock(&shared.registry).is_committing(&partition);

        lock(&shared.registry).commit_sent(assignment);
        assert!(is_committing());
        let failed = KafkaError::ConsumerCommit(RDKafkaErrorCode::CoordinatorNotAvailable);
        context.commit_callback(Err(failed), &list_of(&[(3, 5)]));
        assert!(!is_committing());
        assert_eq!(assignment.committed(), None);

        lock(&shared.registry).commit_sent(assignment);
        context.commit_callback(Ok(()), &list_of(&[(3, 5)]));
        assert!(!is_committing());
        assert_eq!(assignment.committed(), Some(5));
    }

    #[test]
    fn a_commit_of_an_earlier_assignment_holds_back_those_of_the_next_and_confirms_none() {
        let shared = Arc::new(Shared::new(ConsumerConfig::for_tests(), 1));
        let partition = TopicPartition::new("t", 3);
        let assigned = || {
            let start = vec![(partition.clone(), Start::for_tests())];
            Arc::clone(&take_over(&shared, start)[0].0)
        };
        let context = Context {
            shared: Arc::clone(&shared),
        };
        let is_committing = || lock(&shared.registry).is_committing(&partition);

        let former = assigned();
        lock(&shared.registry).commit_sent(&former);
        give_up(&shared, std::slice::from_ref(&former));
        let current = assigned();
        assert!(is_committing(), "it may still reach the coordinator");
        context.commit_callback(Ok(()), &list_of(&[(3, 5)]));
        assert!(!is_committing());
        assert_eq!((former.committed(), current.committed()), (None, None));

        lock(&shared.registry).commit_sent(&current);
        context.commit_callback(Ok(()), &list_of(&[(3, 7)]));
        assert_eq!(current.committed(), Some(7));
    }

    #[test]
    fn a_partition_whose_commit_is_refused_does_not_hide_what_is_stored_of_others() {
        let shared = Arc::new(Shared::new(ConsumerConfig::for_tests(), 1));
        let starts = [0, 1, 2].map(|number| (TopicPartition::new("t", number), Start::for_tests()));
        let taken = take_over(&shared, starts.to_vec());
        let context = Context {
            shared: Arc::clone(&shared),
        };
        let requests = || -> Vec<Vec<i32>> {
            let frontier = |(assignment, _): &(Arc<Assignment>, i64)| Frontier {
                assignment: Arc::clone(assignment),
                offset: 5,
                metadata: String::new(),
            };
            let number = |frontier: &Frontier| frontier.assignment.partition.partition;
            let requests = commits::requests(taken.iter().map(frontier).collect());
            let numbers = requests.iter().map(|one| one.iter().map(number).collect());
            numbers.collect()
        };
        let refused = || {
            let code = RDKafkaErrorCode::TopicAuthorizationFailed;
            Err(KafkaError::ConsumerCommit(code))
        };
        let answer = |result: KafkaResult<()>, numbers: &[usize]| {
            for number in numbers {
                lock(&shared.registry).commit_sent(&taken[*number].0);
            }
            let offsets: Vec<_> = numbers.iter().map(|number| (*number as i32, 5)).collect();
            context.commit_callback(result, &list_of(&offsets));
        };
        let committed = || -> Vec<Option<i64>> {
            let committed = taken.iter().map(|(assignment, _)| assignment.committed());
            committed.collect()
        };
        assert_eq!(requests(), [[0, 1, 2]]);
        answer(refused(), &[0, 1, 2]);
        assert_eq!(committed(), [None; 3]);
        assert!(shared.conditions.read().is_empty(), "it is not known which");

        assert_eq!(requests(), [[0], [1], [2]]);
        answer(Ok(()), &[0]);
        answer(refused(), &[1]);
        answer(Ok(()), &[2]);
        assert_eq!(committed(), [Some(5), None, Some(5)]);
        let conditions = shared.conditions.read();
        assert_eq!(conditions.len(), 1);
        assert!(
            conditions[0].text.contains("topic t, partition 1, fail"),
            "{}",
            conditions[0].text
        );

        assert_eq!(requests(), [vec![0, 2], vec![1]]);
        answer(Ok(()), &[1]);
        assert_eq!(committed(), [Some(5); 3]);
        assert_eq!(requests(), [[0, 1, 2]]);
        assert!(shared.conditions.read().is_empty());
    }
}
