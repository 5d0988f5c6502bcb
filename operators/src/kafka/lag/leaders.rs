//! Which broker leads each partition: it is the one that tells where the partition ends. Leaders change
//! seldom, so they are not asked for in each round, but after one in which the end was not told:
//! librdkafka 2.12 asks nobody for the end of a partition that had no leader when it last looked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::brokers::Brokers;
use super::sample::{Ages, Sample};
use crate::kafka::admin::TopicPartition;

/// The leader of a partition that has none: nothing of it is read or written.
pub const NO_LEADER: &str = "none";

impl Ages {
    /// Enters who leads the partitions; asks about the topics of those of which it is not known. What is
    /// not told stays unknown, which is no failure: a partition that nobody leads says so when its end is
    /// asked for.
    pub(super) fn leaders_of(
        &mut self,
        brokers: &dyn Brokers,
        samples: &mut BTreeMap<TopicPartition, Sample>,
    ) {
        let unknown = samples
            .keys()
            .filter(|partition| !self.leaders.contains_key(partition));
        let topics: BTreeSet<&str> = unknown.map(|partition| &*partition.topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let mut found = match topics.is_empty() {
            true => BTreeMap::new(),
            false => brokers.leaders(&topics).unwrap_or_default(),
        };
        found.retain(|partition, _| samples.contains_key(partition));
        self.leaders.extend(found);
        for (partition, sample) in samples {
            sample.leader = self.leaders.get(partition).map(Arc::clone);
        }
    }

    /// Forgets who leads the partitions whose end was not told.
    pub(super) fn ask_again_who_leads(&mut self, samples: &BTreeMap<TopicPartition, Sample>) {
        let is_told = |partition: &TopicPartition| {
            samples.get(partition).is_some_and(|one| one.end.is_some())
        };
        self.leaders.retain(|partition, _| is_told(partition));
    }

    /// Forgets who leads, which may have changed.
    pub(super) fn ask_for_leaders_again(&mut self) {
        self.leaders.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::mocking::MockCluster;

    use super::super::scripted::{Log, Scripted};
    use super::*;
    use crate::kafka::admin::Admin;
    use crate::kafka::lag::{Samples, sample};

    fn partitions() -> [TopicPartition; 2] {
        [0, 1].map(|number| TopicPartition::new("t", number))
    }

    fn taken(brokers: &dyn Brokers, ages: &mut Ages) -> Samples {
        let taken = sample(brokers, &partitions(), true, &BTreeMap::new, ages);
        taken.expect("an answer")
    }

    fn leaders(samples: &Samples) -> Vec<Option<&str>> {
        let samples = samples.partitions.values();
        samples.map(|sample| sample.leader.as_deref()).collect()
    }

    #[test]
    fn leaders_are_asked_for_once_and_again_when_they_may_have_changed() {
        let [zero, one] = partitions();
        let log = || Log::new([1; 10]);
        let brokers = Scripted::of([(zero, log().led_by("a:1")), (one.clone(), log())]);
        let mut ages = Ages::default();
        assert_eq!(leaders(&taken(&brokers, &mut ages)), [Some("a:1"), None]);
        let log = log().led_by("b:1");
        let _ = brokers.logs.borrow_mut().insert(one, log);
        assert_eq!(
            leaders(&taken(&brokers, &mut ages)),
            [Some("a:1"), Some("b:1")]
        );
        let asked = brokers.asked_for_leaders.get();
        let _ = taken(&brokers, &mut ages);
        assert_eq!(brokers.asked_for_leaders.get(), asked);
        ages.ask_for_leaders_again();
        let _ = taken(&brokers, &mut ages);
        assert_eq!(brokers.asked_for_leaders.get(), asked + 1);
    }

    #[test]
    fn a_partition_without_a_leader_says_so_and_hides_nothing_of_the_others() {
        let cluster = MockCluster::new(1).expect("a stand-in cluster");
        cluster.create_topic("t", 2, 1).expect("it is created");
        cluster.partition_leader("t", 1, None).expect("set");
        let brokers = cluster.bootstrap_servers();
        let connection = serde_json::json!({ "brokers": brokers });
        let connection = serde_json::from_value(connection).expect("well formed");
        let admin = Admin::of_group(&connection, "g", Duration::from_secs(10)).expect("a client");
        let mut ages = Ages::default();
        let samples = taken(&admin, &mut ages);
        assert_eq!(leaders(&samples), [Some(brokers.as_str()), Some(NO_LEADER)]);
        let ends: Vec<_> = samples.partitions.values().map(|one| one.end).collect();
        assert_eq!(ends, [Some(0), None]);
        let failure = samples.failure.unwrap_or_default();
        let why = "topic t, partition 1: no broker leads it (LeaderNotAvailable";
        assert!(failure.starts_with(why), "{failure}");
        // With none at all it is the same.
        cluster.partition_leader("t", 0, None).expect("set");
        ages.ask_for_leaders_again();
        let samples = taken(&admin, &mut ages);
        assert_eq!(leaders(&samples), [Some(NO_LEADER); 2]);
        let why = samples.failure.unwrap_or_default();
        assert!(
            why.starts_with("topic t, partitions 0, 1: no broker leads it"),
            "{why}"
        );
        for number in 0..2 {
            cluster.partition_leader("t", number, Some(1)).expect("set");
        }
        let samples = taken(&admin, &mut ages);
        assert_eq!(leaders(&samples), [Some(brokers.as_str()); 2]);
        assert_eq!(samples.failure, None);
    }
}
