//! Where partitions start: what the group committed, else the start policy, as explicit offsets.
//!
//! Runs on the poll thread, inside the rebalance callback, so every question is bounded. What
//! cannot be answered in time is asked again later; nobody guesses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;

use super::admin::{self, Spec, TopicPartition};
use super::assignment::{Held, Start};
use super::commit_metadata::CommitMetadata;
use super::config::{Fixed, StartPolicy};
use super::error::code_of;
use super::ffi::list;
use super::shared::{Client, Shared};

/// How long one question may take inside a rebalance. A warm client is answered in 1 ms; the whole
/// group waits meanwhile.
const WITHIN: Duration = Duration::from_secs(2);

/// The partitions whose start was found, and those where it was not, with the reason.
pub(crate) type Found = (Vec<(TopicPartition, Start)>, Vec<(TopicPartition, String)>);

/// Finds the start of each partition; for those where it could not be found, says why.
pub(crate) fn find(shared: &Shared, client: &Client, partitions: &[TopicPartition]) -> Found {
    let mut failed = BTreeMap::new();
    let cluster_id: Arc<str> = match admin::cluster_id(client.client(), WITHIN) {
        Ok(id) => id.into(),
        Err(error) => {
            fail_all(&mut failed, partitions, &error.to_string());
            return (Vec::new(), failed.into_iter().collect());
        }
    };
    let commits = committed(client, partitions, &mut failed);
    let ids = topic_ids(client, partitions, &mut failed);
    let fresh: Vec<_> = partitions
        .iter()
        .filter(|partition| !commits.contains_key(partition) && !failed.contains_key(partition))
        .cloned()
        .collect();
    let offsets = match &shared.config.fixed {
        Some(fixed) => first_offsets(fixed),
        None => by_policy(shared, client, &fresh, &mut failed),
    };

    let mut found = Vec::new();
    for partition in partitions {
        if failed.contains_key(partition) {
            continue;
        }
        let topic_id = ids.get(&*partition.topic).cloned().flatten();
        let start = match (commits.get(partition), offsets.get(partition)) {
            (Some((offset, metadata)), _) => {
                from_commit(*offset, metadata.clone(), &cluster_id, topic_id)
            }
            (None, Some(offset)) => Start {
                offset: *offset,
                from_commit: false,
                metadata: None,
                cluster_id: Arc::clone(&cluster_id),
                held: made_again(shared, partition, topic_id.as_ref()),
                topic_id,
            },
            (None, None) => {
                let _ = failed.insert(partition.clone(), "no answer for its offset".to_owned());
                continue;
            }
        };
        found.push((partition.clone(), start));
    }
    (found, failed.into_iter().collect())
}

/// Starts at a commit, unless its text says that it belongs to another topic of the same name.
fn from_commit(
    offset: i64,
    metadata: Option<String>,
    cluster_id: &Arc<str>,
    topic_id: Option<String>,
) -> Start {
    let committed = metadata
        .as_deref()
        .and_then(CommitMetadata::parse)
        .and_then(|metadata| metadata.topic_id);
    let held = match (committed, &topic_id) {
        (Some(committed), Some(found)) if committed != *found => Some(Held::OtherTopic {
            committed,
            found: found.clone(),
        }),
        _ => None,
    };
    Start {
        offset,
        from_commit: true,
        metadata,
        cluster_id: Arc::clone(cluster_id),
        topic_id,
        held,
    }
}

/// Where the ranges start that are wanted.
fn first_offsets(fixed: &Fixed) -> BTreeMap<TopicPartition, i64> {
    let ranges = fixed.ranges.iter();
    ranges
        .map(|(partition, (from, _))| (partition.clone(), *from))
        .collect()
}

/// Why a range means nothing, if its topic is another one by now.
fn made_again(shared: &Shared, partition: &TopicPartition, found: Option<&String>) -> Option<Held> {
    let meant = shared
        .config
        .fixed
        .as_ref()?
        .topic_ids
        .get(&*partition.topic)?;
    let found = found.filter(|found| *found != meant)?;
    Some(Held::OtherTopic {
        committed: meant.clone(),
        found: found.clone(),
    })
}

type Failures = BTreeMap<TopicPartition, String>;

fn committed(
    client: &Client,
    partitions: &[TopicPartition],
    failed: &mut Failures,
) -> BTreeMap<TopicPartition, (i64, Option<String>)> {
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        let _ = asked.add_partition(&partition.topic, partition.partition);
    }
    let answer = match client.committed_offsets(asked, WITHIN) {
        Ok(answer) => answer,
        Err(error) => {
            let text = format!("asking for the group's commits: {}", code_of(&error));
            fail_all(failed, partitions, &text);
            return BTreeMap::new();
        }
    };
    let mut commits = BTreeMap::new();
    for element in list::elements(&answer) {
        let partition = TopicPartition::new(&element.topic, element.partition);
        match element.error {
            Some(code) => {
                let _ = failed.insert(partition, format!("asking for its commit: {code}"));
            }
            None if element.offset >= 0 => {
                let _ = commits.insert(partition, (element.offset, element.metadata));
            }
            None => {}
        }
    }
    commits
}

/// Asks for topic ids. A cluster that has none says so, which is not a failure.
fn topic_ids(
    client: &Client,
    partitions: &[TopicPartition],
    failed: &mut Failures,
) -> BTreeMap<String, Option<String>> {
    let mut names: Vec<&str> = partitions
        .iter()
        .map(|partition| &*partition.topic)
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut ids = BTreeMap::new();
    match admin::topics(client.client(), &names, WITHIN) {
        Ok(answers) => {
            for (name, answer) in answers {
                match answer {
                    Ok(topic) => {
                        let _ = ids.insert(name, topic.id);
                    }
                    Err(code) => {
                        let of_topic = partitions.iter().filter(|one| *one.topic == *name);
                        for partition in of_topic {
                            let text = format!("asking for the topic's id: {code}");
                            let _ = failed.insert(partition.clone(), text);
                        }
                    }
                }
            }
        }
        Err(error) if error.is_unsupported() => {}
        Err(error) => fail_all(failed, partitions, &error.to_string()),
    }
    ids
}

fn by_policy(
    shared: &Shared,
    client: &Client,
    partitions: &[TopicPartition],
    failed: &mut Failures,
) -> BTreeMap<TopicPartition, i64> {
    let spec = match shared.config.start {
        StartPolicy::Earliest => Spec::Earliest,
        StartPolicy::Latest => Spec::Latest,
        StartPolicy::Timestamp(ms) => Spec::Timestamp(ms),
    };
    let uncommitted = shared.config.reads_uncommitted();
    let answers = match admin::offsets(client.client(), partitions, spec, uncommitted, WITHIN) {
        Ok(answers) => answers,
        Err(error) => {
            fail_all(failed, partitions, &error.to_string());
            return BTreeMap::new();
        }
    };
    let mut offsets = BTreeMap::new();
    for (partition, answer) in answers {
        match answer {
            Ok(offset) => {
                let _ = offsets.insert(partition, offset);
            }
            Err(code) => {
                let _ = failed.insert(partition, format!("asking for its start: {code}"));
            }
        }
    }
    offsets
}

fn fail_all(failed: &mut Failures, partitions: &[TopicPartition], text: &str) {
    for partition in partitions {
        let _ = failed.insert(partition.clone(), text.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::ConsumerConfig;

    #[test]
    fn a_commit_of_another_topic_of_the_same_name_holds_the_partition() {
        let commit = |id: &str| Some(format!("isobar1;id={id};f=1"));
        let found = || Some("new".to_owned());
        let held = |metadata, found| from_commit(5, metadata, &"cluster".into(), found).held;
        assert_eq!(held(commit("new"), found()), None);
        assert_eq!(held(commit("old"), None), None);
        assert_eq!(held(Some("text".to_owned()), found()), None);
        assert_eq!(
            held(commit("old"), found()),
            Some(Held::OtherTopic {
                committed: "old".to_owned(),
                found: "new".to_owned()
            })
        );
    }

    #[test]
    fn a_fixed_range_starts_at_its_first_offset_and_is_held_where_its_topic_is_another_one() {
        let partition = TopicPartition::new("logs", 3);
        let fixed = Fixed {
            ranges: BTreeMap::from([(partition.clone(), (7, 9))]),
            topic_ids: BTreeMap::from([("logs".to_owned(), "old".to_owned())]),
        };
        assert_eq!(first_offsets(&fixed)[&partition], 7);
        let config = ConsumerConfig {
            fixed: Some(Arc::new(fixed)),
            ..ConsumerConfig::for_tests()
        };
        let shared = Shared::new(config, 1);
        let held = |found: Option<&str>, name: &str| {
            let found = found.map(str::to_owned);
            made_again(&shared, &TopicPartition::new(name, 3), found.as_ref())
        };
        let other = Held::OtherTopic {
            committed: "old".to_owned(),
            found: "new".to_owned(),
        };
        assert_eq!(held(Some("new"), "logs"), Some(other));
        assert_eq!(held(Some("old"), "logs"), None);
        // The cluster has no ids, and of the other topic none was known.
        assert_eq!(held(None, "logs"), None);
        assert_eq!(held(Some("new"), "others"), None);
    }
}
