//! Gets partitions going again that stand still: after errors, ranges that no longer exist, starts
//! that could not be found in time.
//!
//! Runs on the poll thread only, between polls: librdkafka accepts an assign of a partition that is
//! not ours and then breaks on the next real one, so each step checks the assignment first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use rdkafka::consumer::Consumer;
use rdkafka::{Offset, TopicPartitionList};

use super::admin::{self, Spec, TopicPartition};
use super::assignment::{Assignment, Held, same};
use super::conditions::Subject;
use super::error::Error;
use super::ffi::list;
use super::log::lock;
use super::mailbox::{Control, Event, Request};
use super::rebalance::{assign_at, give_up, send_to_lane, take_over, tell, unassign};
use super::shared::{Client, Shared, add};
use super::start;

/// Between unassign and assign of one partition. Back to back, librdkafka 2.12 stops it in
/// silence, up to 8 times of 8; with 50 to 200 ms it never did in 32. Also before a partition is
/// sent to its lane once more.
const GAP: Duration = Duration::from_millis(200);

/// How long after a partition was moved its lane is asked whether anything came.
const VERIFY_AFTER: Duration = Duration::from_secs(2);

/// A partition of which nothing comes, because there is nothing, is looked at less and less often.
const VERIFY_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// Between two looks whether a partition without records has got over its error.
const CURED_AGAIN: Duration = Duration::from_secs(10);

/// Before asking again what could not be answered.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

const WITHIN: Duration = Duration::from_secs(2);

/// Between two looks whether a topic of ours was deleted and made again. What is read of the new one
/// in between is read once more from its start.
const IDS_EVERY: Duration = Duration::from_secs(5);

/// The poll thread waits for the answer, so without brokers it asks seldom.
const IDS_AFTER_FAILURE: Duration = Duration::from_secs(30);

const IDS_WITHIN: Duration = Duration::from_secs(1);

/// Partitions on their way back to work; owned by the poll thread.
#[derive(Default)]
pub(crate) struct Recovery {
    due: Vec<(Instant, Step)>,
    /// When to ask for topic ids again.
    ids_due: Option<Instant>,
    /// How long to wait before a silent partition is looked at again, by epoch. Those of assignments
    /// that are over go when ids are asked for.
    patience: BTreeMap<u64, Duration>,
}

enum Step {
    /// Send the partition to its lane once more.
    Forward(Arc<Assignment>),
    /// Ask where the log starts and ends, and decide.
    Bounds(Arc<Assignment>, i64),
    /// The gap has passed: fetch again from this offset.
    Resume(Arc<Assignment>, i64),
    /// Ask the lane whether anything came.
    Verify(Arc<Assignment>),
    /// Has the partition got over its error, although no record comes to show it?
    Cured(Arc<Assignment>),
}

impl Recovery {
    /// Serves requests of the lanes, and whatever is due.
    pub(crate) fn serve(&mut self, shared: &Shared, client: &Client) {
        let requests = std::mem::take(&mut *lock(&shared.requests));
        for request in requests {
            self.request(shared, client, request);
        }
        let now = clock::now();
        while let Some(position) = self.due.iter().position(|(due, _)| *due <= now) {
            let (_, step) = self.due.swap_remove(position);
            self.step(shared, client, step);
        }
        if self.ids_due.is_none_or(|due| due <= now) {
            let registry = lock(&shared.registry);
            let ours = |epoch: &u64| registry.assignments.values().any(|one| one.epoch == *epoch);
            self.patience.retain(|epoch, _| ours(epoch));
            drop(registry);
            let asked = check_ids(shared, client);
            self.ids_due = Some(clock::now() + if asked { IDS_EVERY } else { IDS_AFTER_FAILURE });
        }
        shared.retry_postponed(client);
    }

    /// Forgets everything: the client is gone.
    pub(crate) fn clear(&mut self) {
        self.due.clear();
        self.patience.clear();
        self.ids_due = None;
    }

    fn request(&mut self, shared: &Shared, client: &Client, request: Request) {
        match request {
            Request::Stop(assignment) if assignment.is_read() => {
                assignment.stop();
                unassign(shared, client, std::slice::from_ref(&assignment.partition));
            }
            Request::Seek(assignment, to) if assignment.is_read() => {
                add(&shared.counters.seeks, 1);
                if seek(client, &assignment.partition, to) {
                    moved(shared, &assignment, to);
                } else {
                    // A partition that stopped refuses to seek; only a new start helps.
                    self.restart(shared, client, assignment, to);
                }
            }
            Request::Forward(assignment) => {
                for after in [GAP, VERIFY_AFTER] {
                    self.later(after, Step::Forward(Arc::clone(&assignment)));
                }
            }
            Request::OutOfRange(assignment, next) => {
                self.step(shared, client, Step::Bounds(assignment, next));
            }
            Request::Failed(assignment) => {
                let waits =
                    |step: &Step| matches!(step, Step::Cured(one) if same(one, &assignment));
                if !self.due.iter().any(|(_, step)| waits(step)) {
                    self.later(VERIFY_AFTER, Step::Cured(assignment));
                }
            }
            Request::Silent(assignment, next) if assignment.is_read() => {
                let uncommitted = shared.config.reads_uncommitted();
                match bounds(client, &assignment.partition, uncommitted) {
                    Ok((_, end)) if end > next => self.restart(shared, client, assignment, next),
                    _ => {
                        let patience = self.patience.entry(assignment.epoch);
                        let patience = patience.or_insert(VERIFY_AFTER);
                        *patience = (*patience * 2).min(VERIFY_AT_LEAST_EVERY);
                        let after = *patience;
                        self.later(after, Step::Verify(assignment));
                    }
                }
            }
            Request::Seek(..) | Request::Silent(..) | Request::Stop(_) => {}
        }
    }

    fn step(&mut self, shared: &Shared, client: &Client, step: Step) {
        match step {
            Step::Bounds(assignment, next) if assignment.is_read() => {
                self.decide(shared, client, assignment, next);
            }
            Step::Resume(assignment, at) if assignment.is_read() => {
                moved(shared, &assignment, at);
                assign_at(shared, client, &[(Arc::clone(&assignment), at)], false);
                self.later(VERIFY_AFTER, Step::Verify(assignment));
            }
            Step::Verify(assignment) if assignment.is_read() => {
                shared.mailboxes[assignment.lane].push(Control::Verify(assignment));
            }
            Step::Forward(assignment) if assignment.is_read() => {
                if let Some(session) = shared.session() {
                    send_to_lane(client, &session, &assignment);
                }
            }
            Step::Cured(assignment) if assignment.is_owned() => {
                let subject = Subject::Partition(assignment.partition.clone());
                if !shared.conditions.stands(&subject) {
                    return;
                }
                let uncommitted = shared.config.reads_uncommitted();
                let bounds = bounds(client, &assignment.partition, uncommitted);
                if is_read_to(&bounds, assignment.next()) {
                    shared.conditions.clear(&subject);
                } else {
                    self.later(CURED_AGAIN, Step::Cured(assignment));
                }
            }
            Step::Bounds(..)
            | Step::Resume(..)
            | Step::Verify(_)
            | Step::Forward(_)
            | Step::Cured(_) => {}
        }
    }

    fn decide(&mut self, shared: &Shared, client: &Client, assignment: Arc<Assignment>, next: i64) {
        let topic = &*assignment.partition.topic;
        if renew_if_made_again(shared, client, &[topic]).is_ok_and(|renewed| renewed) {
            return;
        }
        let uncommitted = shared.config.reads_uncommitted();
        let (start, end) = match bounds(client, &assignment.partition, uncommitted) {
            Ok(bounds) => bounds,
            Err(text) => {
                shared.conditions.raise(Subject::Connection, text);
                self.later(AGAIN_AFTER, Step::Bounds(assignment, next));
                return;
            }
        };
        let resumed = resume_at(next, start, end);
        let held = match resumed {
            Some(_) => None,
            None => Some(Held::BeyondEnd { next, end }),
        };
        if resumed != Some(next) {
            let event = Event::OutOfRange {
                assignment: Arc::clone(&assignment),
                requested: next,
                log_start: start,
                resumed,
                held,
            };
            tell(shared, &assignment, event);
        }
        if let Some(at) = resumed {
            add(&shared.counters.lost, u64::try_from(at - next).unwrap_or(0));
            self.restart(shared, client, assignment, at);
        }
    }

    fn restart(&mut self, shared: &Shared, client: &Client, assignment: Arc<Assignment>, at: i64) {
        add(&shared.counters.restarts, 1);
        unassign(shared, client, std::slice::from_ref(&assignment.partition));
        self.later(GAP, Step::Resume(assignment, at));
    }

    fn later(&mut self, after: Duration, step: Step) {
        self.due.push((clock::now() + after, step));
    }
}

/// Looks whether a topic of ours is another one by now; false when nobody answered.
fn check_ids(shared: &Shared, client: &Client) -> bool {
    let mut topics: Vec<Arc<str>> = lock(&shared.registry)
        .assignments
        .keys()
        .map(|partition| Arc::clone(&partition.topic))
        .collect();
    topics.dedup();
    let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
    renew_if_made_again(shared, client, &topics).is_ok()
}

/// Starts over with topics that were deleted and made again while they were read: what is in flight of
/// the old one is never committed, and the new one starts as at any assignment. librdkafka 2.12 would
/// go on at the old offset without a word (`rd_kafka_topic_metadata_update` leaves that open).
fn renew_if_made_again(shared: &Shared, client: &Client, topics: &[&str]) -> Result<bool, Error> {
    let answers = match admin::topics(client.client(), topics, IDS_WITHIN) {
        Err(error) if error.is_unsupported() => return Ok(false),
        answers => answers?,
    };
    let ids: BTreeMap<String, Option<String>> = answers
        .into_iter()
        .filter_map(|(name, topic)| Some((name, topic.ok()?.id)))
        .collect();
    let is_former = |assignment: &Arc<Assignment>| {
        let now = ids
            .get(&*assignment.partition.topic)
            .and_then(Option::as_ref);
        let before = assignment.start.topic_id.as_ref();
        now.is_some() && before.is_some() && now != before
    };
    let former: Vec<Arc<Assignment>> = {
        let registry = lock(&shared.registry);
        let assignments = registry.assignments.values();
        assignments.filter(|one| is_former(one)).cloned().collect()
    };
    if former.is_empty() {
        return Ok(false);
    }
    let partitions: Vec<_> = former.iter().map(|one| one.partition.clone()).collect();
    tracing::warn!(
        ?partitions,
        "A topic was deleted and made again; reading starts over"
    );
    unassign(shared, client, &partitions);
    give_up(shared, &former);
    let why = "the topic was deleted and made again; reading starts over";
    let postponed = partitions.into_iter().map(|one| (one, why.to_owned()));
    shared.postpone(postponed.collect());
    Ok(true)
}

/// Decides where to go on after the broker had no such offset: at log start when records were
/// deleted, nowhere when the offset is beyond the end, else where it was.
fn resume_at(next: i64, start: i64, end: i64) -> Option<i64> {
    if next > end {
        None
    } else {
        Some(next.max(start))
    }
}

/// Tells whether a partition answers and has no record after those that were read. As long as it has
/// some, they show whether it can be read.
fn is_read_to(bounds: &Result<(i64, i64), String>, next: i64) -> bool {
    bounds.as_ref().is_ok_and(|(_, end)| *end <= next)
}

/// Tells the lane that what comes from now on starts at this offset.
fn moved(shared: &Shared, assignment: &Arc<Assignment>, at: i64) {
    shared.mailboxes[assignment.lane].push(Control::Moved(Arc::clone(assignment), at));
}

fn seek(client: &Client, partition: &TopicPartition, to: i64) -> bool {
    let mut offsets = TopicPartitionList::with_capacity(1);
    if offsets
        .add_partition_offset(&partition.topic, partition.partition, Offset::Offset(to))
        .is_err()
    {
        return false;
    }
    match client.seek_partitions(offsets, WITHIN) {
        Ok(answers) => list::elements(&answers)
            .iter()
            .all(|element| element.error.is_none()),
        Err(_) => false,
    }
}

fn bounds(
    client: &Client,
    partition: &TopicPartition,
    uncommitted: bool,
) -> Result<(i64, i64), String> {
    let ask = |spec| {
        let asked = std::slice::from_ref(partition);
        admin::offsets(client.client(), asked, spec, uncommitted, WITHIN)
            .map_err(|error| error.to_string())?
            .into_iter()
            .next()
            .ok_or_else(|| "listing offsets: an empty answer".to_owned())?
            .1
            .map_err(|code| format!("topic {}: {code}", partition.topic))
    };
    Ok((ask(Spec::Earliest)?, ask(Spec::Latest)?))
}

/// Partitions whose start could not be found inside the rebalance: ours, and not fetched yet.
#[derive(Default)]
pub(crate) struct Postponed {
    pub(super) partitions: Vec<TopicPartition>,
    again: Option<Instant>,
}

impl Shared {
    /// Notes partitions whose start could not be found, and why.
    pub(crate) fn postpone(&self, failed: Vec<(TopicPartition, String)>) {
        for (partition, text) in &failed {
            let topic = &partition.topic;
            let text = format!("topic {topic}, partition {}: {text}", partition.partition);
            self.conditions
                .raise(Subject::Partition(partition.clone()), text);
        }
        let mut postponed = lock(&self.postponed);
        postponed
            .partitions
            .extend(failed.into_iter().map(|(partition, _)| partition));
        postponed.again = Some(clock::now() + AGAIN_AFTER);
    }

    /// Takes partitions over that no group gives: their start is asked for at the next look.
    pub(crate) fn own(&self, partitions: Vec<TopicPartition>) {
        let mut postponed = lock(&self.postponed);
        postponed.partitions = partitions;
        postponed.again = Some(clock::now());
        self.joined.store(true, Ordering::Release);
    }

    /// Forgets postponed partitions that are being taken away.
    pub(crate) fn forget_postponed(&self, partitions: &[TopicPartition]) {
        lock(&self.postponed).partitions.retain(|partition| {
            let forgotten = partitions.contains(partition);
            if forgotten {
                self.conditions
                    .clear(&Subject::Partition(partition.clone()));
            }
            !forgotten
        });
    }

    /// Forgets all of them: the client is gone.
    pub(crate) fn clear_postponed(&self) {
        *lock(&self.postponed) = Postponed::default();
    }

    /// Tells whether a partition that is ours has no start yet.
    pub(crate) fn any_postponed(&self) -> bool {
        !lock(&self.postponed).partitions.is_empty()
    }

    fn retry_postponed(&self, client: &Client) {
        let mut postponed = lock(&self.postponed);
        if postponed.again.is_none_or(|again| clock::now() < again) {
            return;
        }
        // They stay in the list meanwhile: nobody must believe that they are not ours.
        let partitions = postponed.partitions.clone();
        postponed.again = None;
        drop(postponed);
        if partitions.is_empty() {
            return;
        }
        let (found, failed) = start::find(self, client, &partitions);
        let reading = take_over(self, found);
        assign_at(self, client, &reading, false);
        lock(&self.postponed).partitions.clear();
        if !failed.is_empty() {
            self.postpone(failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::assignment::Start;
    use super::super::config::ConsumerConfig;
    use super::super::consumer::LanedConsumer;
    use super::*;

    #[test]
    fn reading_goes_on_at_log_start_and_never_beyond_the_end() {
        for (next, start, end, expected) in [
            (5, 10, 20, Some(10)),
            (15, 10, 20, Some(15)),
            (20, 10, 20, Some(20)),
            (21, 10, 20, None),
            (5, 10, 10, Some(10)),
            (11, 10, 10, None),
        ] {
            assert_eq!(
                resume_at(next, start, end),
                expected,
                "{next} {start} {end}"
            );
        }
    }

    #[test]
    fn an_idle_partition_is_well_when_it_answers_and_has_no_more_records() {
        assert!(is_read_to(&Ok((3, 10)), 10));
        assert!(!is_read_to(&Ok((3, 11)), 10));
        assert!(!is_read_to(&Err("no answer".to_owned()), 10));
    }

    #[test]
    fn what_one_partition_shows_says_nothing_about_another() {
        let config = ConsumerConfig::for_tests();
        let (handle, _readers) = LanedConsumer::without_client(config, 1);
        let shared = handle.shared();
        let partitions = [0, 3].map(|number| TopicPartition::new("t", number));
        let said = || -> Vec<String> {
            let conditions = handle.conditions().into_iter();
            conditions.map(|condition| condition.text).collect()
        };
        let failed = partitions.clone().map(|one| (one, "no answer".to_owned()));
        shared.postpone(failed.to_vec());
        assert_eq!(said().len(), 2);
        let start = Start::for_tests();
        let [first, other] = partitions;
        let taken = take_over(shared, vec![(first, start.clone())]);
        assert_eq!(said(), ["topic t, partition 3: no answer"]);
        // Of the other one nothing came yet; what is wrong with it goes when it goes.
        let (assignment, _) = &taken[0];
        shared.postpone(vec![(assignment.partition.clone(), "again".to_owned())]);
        give_up(shared, std::slice::from_ref(assignment));
        assert_eq!(said(), ["topic t, partition 3: no answer"]);
        let _ = take_over(shared, vec![(other, start)]);
        assert_eq!(said(), Vec::<String>::new());
    }
}
