//! Offsets of partitions, by librdkafka's `ListOffsets`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use rdkafka::client::{Client, ClientContext};
use rdkafka::{Offset, TopicPartitionList};

use super::{PartitionAnswer, RDKafkaErrorCode, Spec, TopicPartition};
use crate::kafka::error::{Error, code_of};
use crate::kafka::ffi::admin as ffi;
use crate::kafka::ffi::list::Element;

/// Asks for one offset of each partition; where no record has the time that is asked for, its end.
pub(in crate::kafka) fn offsets<C: ClientContext>(
    client: &Client<C>,
    partitions: &[TopicPartition],
    spec: Spec,
    uncommitted: bool,
    within: Duration,
) -> Result<Vec<PartitionAnswer<i64>>, Error> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let answers = ask(client, partitions, spec, uncommitted, within)?;
    let beyond: Vec<_> = answers
        .iter()
        .filter(|(_, answer)| *answer == Ok(AT_END))
        .map(|(partition, _)| partition.clone())
        .collect();
    if beyond.is_empty() {
        return Ok(answers);
    }
    let ends = ask(client, &beyond, Spec::Latest, uncommitted, within)?;
    let found = answers
        .into_iter()
        .filter(|(_, answer)| *answer != Ok(AT_END));
    Ok(found.chain(ends).collect())
}

/// What a broker answers for a timestamp after the last record.
pub(super) const AT_END: i64 = -1;

fn ask<C: ClientContext>(
    client: &Client<C>,
    partitions: &[TopicPartition],
    spec: Spec,
    uncommitted: bool,
    within: Duration,
) -> Result<Vec<PartitionAnswer<i64>>, Error> {
    let raw = match spec {
        Spec::Earliest => Offset::Beginning,
        Spec::Latest | Spec::HighWatermark => Offset::End,
        Spec::Timestamp(ms) => Offset::Offset(ms.max(0)),
    };
    let specs = partitions.iter().map(|partition| (partition, raw));
    let uncommitted = uncommitted || spec == Spec::HighWatermark;
    let answers = list(client, specs, uncommitted, within)?.into_iter();
    Ok(answers
        .map(|(partition, answer)| (partition, answer.map(|(offset, _)| offset)))
        .collect())
}

/// Lists an offset of each partition, with the timestamp of the record there if time was asked for.
///
/// A partition whose leader changed is listed once more with what the brokers say of its topic now:
/// librdkafka 2.12 asks for the leader's epoch after no answer to this question but
/// `NOT_LEADER_OR_FOLLOWER` (`rd_kafka_admin_result_err_refresh`), so that a client which does not
/// read would be refused until `metadata.max.age.ms` (15 min) is over.
pub(super) fn list<'a, C: ClientContext>(
    client: &Client<C>,
    specs: impl Iterator<Item = (&'a TopicPartition, Offset)>,
    uncommitted: bool,
    within: Duration,
) -> Result<Vec<PartitionAnswer<(i64, i64)>>, Error> {
    let deadline = clock::now() + within;
    let specs: BTreeMap<_, _> = specs.collect();
    let mut answers = list_once(client, &specs, uncommitted, within)?;
    let is_fenced = |answer: &Result<_, _>| *answer == Err(RDKafkaErrorCode::FencedLeaderEpoch);
    let fenced = answers.iter().filter(|(_, answer)| is_fenced(answer));
    let fenced: BTreeSet<_> = fenced.map(|(partition, _)| partition.clone()).collect();
    let topics: BTreeSet<_> = fenced.iter().map(|partition| &*partition.topic).collect();
    for topic in topics {
        let left = deadline.saturating_duration_since(clock::now());
        if left.is_zero() {
            break;
        }
        // The client keeps the answer; without one the topic's partitions are fenced once more.
        let _ = client.fetch_metadata(Some(topic), left);
    }
    let left = deadline.saturating_duration_since(clock::now());
    if !fenced.is_empty() && !left.is_zero() {
        let again = specs.into_iter();
        let again = again.filter(|(partition, _)| fenced.contains(*partition));
        let Ok(again) = list_once(client, &again.collect(), uncommitted, left) else {
            return Ok(answers);
        };
        answers.retain(|(_, answer)| !is_fenced(answer));
        answers.extend(again);
    }
    Ok(answers)
}

/// Partitions of one question. librdkafka 2.12 looks each answer up among all partitions of its question
/// (`rd_kafka_ListOffsets_response_merge`), which is a million comparisons of names for 1,000 at once.
const ASKED_AT_ONCE: usize = 128;

fn list_once<C: ClientContext>(
    client: &Client<C>,
    specs: &BTreeMap<&TopicPartition, Offset>,
    uncommitted: bool,
    within: Duration,
) -> Result<Vec<PartitionAnswer<(i64, i64)>>, Error> {
    let deadline = clock::now() + within;
    let specs: Vec<_> = specs.iter().map(|(one, raw)| (*one, *raw)).collect();
    let questions = specs.chunks(ASKED_AT_ONCE);
    let lists = questions.clone().map(list_of);
    let lists = lists.collect::<Result<Vec<_>, Error>>()?;
    let answers = ffi::list_offsets(client, &lists, uncommitted, within);
    let answers = questions
        .zip(answers)
        .map(|(specs, answers)| match answers {
            Err(Error::Refused {
                code: RDKafkaErrorCode::NoEnt,
                ..
            }) => Ok(without_leaders(client, specs, deadline)),
            answers => Ok(answers?.into_iter().map(answer).collect()),
        });
    let answers = answers.collect::<Result<Vec<Vec<_>>, Error>>()?;
    Ok(answers.into_iter().flatten().collect())
}

fn list_of(specs: &[(&TopicPartition, Offset)]) -> Result<TopicPartitionList, Error> {
    let mut list = TopicPartitionList::with_capacity(specs.len());
    for (partition, raw) in specs {
        list.add_partition_offset(&partition.topic, partition.partition, *raw)
            .map_err(|error| Error::Refused {
                what: format!("listing offsets of topic {}", partition.topic),
                code: code_of(&error),
                text: error.to_string(),
            })?;
    }
    Ok(list)
}

fn answer((element, ms): (Element, i64)) -> PartitionAnswer<(i64, i64)> {
    let partition = TopicPartition::new(&element.topic, element.partition);
    (partition, listed(&element).map(|offset| (offset, ms)))
}

/// What each partition would answer where none of a question has a leader: librdkafka refuses the question as a
/// whole then (`rd_kafka_ListOffsets_leaders_queried_cb`: "No leaders found"), as it does where no topic
/// is there.
fn without_leaders<C: ClientContext>(
    client: &Client<C>,
    specs: &[(&TopicPartition, Offset)],
    deadline: Instant,
) -> Vec<PartitionAnswer<(i64, i64)>> {
    let topics: BTreeSet<_> = specs.iter().map(|(one, _)| &*one.topic).collect();
    let of_topic = |topic| {
        let left = deadline.saturating_duration_since(clock::now());
        let metadata = client.fetch_metadata(Some(topic), left).ok();
        let error = metadata.and_then(|metadata| metadata.topics().first()?.error());
        let code = error.map(RDKafkaErrorCode::from);
        (topic, code.unwrap_or(RDKafkaErrorCode::LeaderNotAvailable))
    };
    let codes: BTreeMap<&str, RDKafkaErrorCode> = topics.into_iter().map(of_topic).collect();
    let each = specs.iter();
    each.map(|(one, _)| ((*one).clone(), Err(codes[&*one.topic])))
        .collect()
}

/// The offset that was listed: −1 where no record has the time that was asked for.
///
/// While a partition changes its leader, librdkafka 2.12 may answer for it with its mark of "no offset"
/// (`RD_KAFKA_OFFSET_INVALID`, −1001) and without an error.
fn listed(element: &Element) -> Result<i64, RDKafkaErrorCode> {
    match element.error {
        Some(code) => Err(code),
        None if element.offset < -1 => Err(RDKafkaErrorCode::OffsetNotAvailable),
        None => Ok(element.offset),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::kafka::admin::Admin;

    #[test]
    fn a_partition_is_listed_with_the_epoch_of_its_new_leader() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 2, 1).expect("it is created");
        let connection = serde_json::json!({ "brokers": cluster.bootstrap_servers() });
        let connection = serde_json::from_value(connection).expect("well formed");
        let admin = Admin::new(&connection, Duration::from_secs(10)).expect("a client");
        let partitions = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
        let listed = || {
            let ends = admin.offsets(&partitions, Spec::Latest);
            let mut ends = ends.expect("an answer");
            ends.sort_by(|(one, _), (other, _)| one.cmp(other));
            ends
        };
        let expected = partitions.clone().map(|partition| (partition, Ok(0)));
        assert_eq!(listed(), expected);
        // The same broker leads it once more: the epoch that the client knows is over.
        cluster.partition_leader("t", 1, Some(1)).expect("set");
        assert_eq!(listed(), expected);
    }

    #[test]
    fn where_no_partition_has_a_leader_each_says_so_and_where_no_topic_is_there_that() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 2, 1).expect("it is created");
        let connection = serde_json::json!({ "brokers": cluster.bootstrap_servers() });
        let connection = serde_json::from_value(connection).expect("well formed");
        let admin = Admin::new(&connection, Duration::from_secs(10)).expect("a client");
        let partitions = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
        let listed = |partitions: &[TopicPartition]| {
            let ends = admin.offsets(partitions, Spec::Latest).expect("an answer");
            ends.into_iter().map(|(_, end)| end).collect::<Vec<_>>()
        };
        for number in 0..2 {
            cluster.partition_leader("t", number, None).expect("set");
        }
        let none = Err(RDKafkaErrorCode::LeaderNotAvailable);
        assert_eq!(listed(&partitions), [none; 2]);
        let nowhere = [TopicPartition::new("nowhere", 0)];
        let none = Err(RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(listed(&nowhere), [none]);
        let timed = admin.first_since(&[(partitions[0].clone(), 5)]);
        let none = Err(RDKafkaErrorCode::LeaderNotAvailable);
        assert_eq!(timed.expect("an answer"), [(partitions[0].clone(), none)]);
    }

    #[test]
    fn more_partitions_than_one_question_has_are_all_answered_in_their_order() {
        let cluster = MockCluster::new(2).expect("a stand-in cluster");
        cluster.create_topic("t", 300, 1).expect("it is created");
        // All of the first question have none, and one of the last.
        let leaderless = |number: i32| number < 128 || number == 299;
        for number in (0..300).filter(|number| leaderless(*number)) {
            cluster.partition_leader("t", number, None).expect("set");
        }
        let connection = serde_json::json!({ "brokers": cluster.bootstrap_servers() });
        let connection = serde_json::from_value(connection).expect("well formed");
        let admin = Admin::new(&connection, Duration::from_secs(10)).expect("a client");
        let partitions: Vec<_> = (0..300)
            .map(|number| TopicPartition::new("t", number))
            .collect();
        let expected = partitions
            .iter()
            .map(|one| match leaderless(one.partition) {
                true => (one.clone(), Err(RDKafkaErrorCode::LeaderNotAvailable)),
                false => (one.clone(), Ok(0)),
            });
        let ends = admin.offsets(&partitions, Spec::Latest).expect("an answer");
        assert_eq!(ends, expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_has_no_offset_is_no_answer() {
        let element = |offset, error| Element {
            topic: "t".to_owned(),
            partition: 0,
            offset,
            metadata: None,
            error,
        };
        let unavailable = RDKafkaErrorCode::OffsetNotAvailable;
        let fenced = RDKafkaErrorCode::FencedLeaderEpoch;
        for (offset, error, expected) in [
            (7, None, Ok(7)),
            (-1, None, Ok(-1)),
            (-1001, None, Err(unavailable)),
            (-1001, Some(fenced), Err(fenced)),
        ] {
            assert_eq!(listed(&element(offset, error)), expected);
        }
    }
}
