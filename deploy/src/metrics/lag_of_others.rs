//! Lag under the names of two exporters, so that what was built on them works beside or instead of
//! them. They call lag what is not committed.

use std::collections::BTreeMap;
use std::fmt::Display;

use isobar_operators::lag::Member;

use super::families::Families;
use super::lag::{Also, By};
use super::{Metric, gauge};
use crate::lag::{PartitionLag, SpoutLag};

const GROUP: &[&str] = &["consumergroup", "topic", "partition"];
const TOPIC_OF_GROUP: &[&str] = &["consumergroup", "topic"];
const TOPIC: &[&str] = &["topic", "partition"];

const LAG: Metric = gauge(
    "kafka_consumergroup_lag",
    GROUP,
    "Records that are not committed.",
);
const LAG_SUM: Metric = gauge(
    "kafka_consumergroup_lag_sum",
    TOPIC_OF_GROUP,
    "Records that are not committed, over all partitions; absent while a part is unknown.",
);
const CURRENT: Metric = gauge(
    "kafka_consumergroup_current_offset",
    GROUP,
    "The last commit.",
);
const CURRENT_SUM: Metric = gauge(
    "kafka_consumergroup_current_offset_sum",
    TOPIC_OF_GROUP,
    "The last commits of all partitions together; absent while a part is unknown.",
);
const MEMBERS: Metric = gauge(
    "kafka_consumergroup_members",
    &["consumergroup"],
    "Members of the group, of one that is watched from outside; absent while the brokers do not tell.",
);
const TOPIC_PARTITIONS: Metric = gauge(
    "kafka_topic_partitions",
    &["topic"],
    "Partitions of the topic; absent while unknown.",
);
const TOPIC_CURRENT: Metric = gauge(
    "kafka_topic_partition_current_offset",
    TOPIC,
    "The offset after the last readable record.",
);
const TOPIC_OLDEST: Metric = gauge(
    "kafka_topic_partition_oldest_offset",
    TOPIC,
    "The first offset that still exists.",
);

const MEMBER: &[&str] = &[
    "cluster_name",
    "group",
    "topic",
    "partition",
    "member_host",
    "consumer_id",
    "client_id",
];
const OF_GROUP: &[&str] = &["cluster_name", "group"];
const OF_PARTITION: &[&str] = &["cluster_name", "topic", "partition"];

const GROUP_LAG: Metric = gauge(
    "kafka_consumergroup_group_lag",
    MEMBER,
    "Records that are not committed.",
);
const GROUP_LAG_SECONDS: Metric = gauge(
    "kafka_consumergroup_group_lag_seconds",
    MEMBER,
    "Age of the oldest record that is not settled.",
);
const GROUP_OFFSET: Metric = gauge(
    "kafka_consumergroup_group_offset",
    MEMBER,
    "The last commit.",
);
const GROUP_MAX_LAG: Metric = gauge(
    "kafka_consumergroup_group_max_lag",
    OF_GROUP,
    "The most records of a partition that are not committed.",
);
const GROUP_MAX_LAG_SECONDS: Metric = gauge(
    "kafka_consumergroup_group_max_lag_seconds",
    OF_GROUP,
    "The greatest age of a partition.",
);
const GROUP_SUM_LAG: Metric = gauge(
    "kafka_consumergroup_group_sum_lag",
    OF_GROUP,
    "Records that are not committed, over all partitions; absent while a part is unknown.",
);
const GROUP_TOPIC_SUM_LAG: Metric = gauge(
    "kafka_consumergroup_group_topic_sum_lag",
    &["cluster_name", "group", "topic"],
    "Records that are not committed, over all partitions of the topic; absent while a part is unknown.",
);
const LATEST: Metric = gauge(
    "kafka_partition_latest_offset",
    OF_PARTITION,
    "The offset after the last readable record.",
);
const EARLIEST: Metric = gauge(
    "kafka_partition_earliest_offset",
    OF_PARTITION,
    "The first offset that still exists.",
);

/// All of them.
pub(super) const ALL: &[&Metric] = &[
    &LAG,
    &LAG_SUM,
    &CURRENT,
    &CURRENT_SUM,
    &MEMBERS,
    &TOPIC_PARTITIONS,
    &TOPIC_CURRENT,
    &TOPIC_OLDEST,
    &GROUP_LAG,
    &GROUP_LAG_SECONDS,
    &GROUP_OFFSET,
    &GROUP_MAX_LAG,
    &GROUP_MAX_LAG_SECONDS,
    &GROUP_SUM_LAG,
    &GROUP_TOPIC_SUM_LAG,
    &LATEST,
    &EARLIEST,
];

/// Adds the figures under the names of an exporter.
pub(super) fn fill(also: Also, spouts: &[SpoutLag], by: By, figures: &mut Families) {
    match also {
        Also::KafkaExporter => kafka_exporter(spouts, by, figures),
        Also::KafkaLagExporter => kafka_lag_exporter(spouts, by, figures),
    }
}

fn kafka_exporter(spouts: &[SpoutLag], by: By, figures: &mut Families) {
    // It knows one cluster only, and does not say which.
    let all = partitions(spouts, |_| "");
    if by == By::Partition {
        let of = |key: Key<'_>, _: &_| texts([&key.group, &key.topic, &key.number]);
        all.each(&LAG, of, |all| one(all, committed_lag), figures);
        all.each(&CURRENT, of, |all| one(all, commit), figures);
        let of = |key: Key<'_>, _: &_| texts([&key.topic, &key.number]);
        all.each(&TOPIC_CURRENT, of, |all| one(all, end), figures);
        all.each(&TOPIC_OLDEST, of, |all| one(all, start), figures);
    }
    let of = |key: Key<'_>, _: &_| texts([&key.group, &key.topic]);
    all.each(&LAG_SUM, of, |all| sum(all, committed_lag), figures);
    all.each(&CURRENT_SUM, of, |all| sum(all, commit), figures);
    let mut groups = BTreeMap::new();
    let mut topics: BTreeMap<&str, i32> = BTreeMap::new();
    for spout in spouts {
        // Of several spouts in one group that tell, the first counts.
        if let Some(members) = spout.members {
            let _ = groups.entry(&*spout.group).or_insert(members);
        }
        let counts = spout.topics.iter();
        topics.extend(counts.map(|(topic, count)| (topic.as_str(), *count)));
    }
    for (group, members) in groups {
        figures.sample(&MEMBERS, &[group], members as f64);
    }
    for (topic, count) in topics {
        figures.sample(&TOPIC_PARTITIONS, &[topic], f64::from(count));
    }
}

fn kafka_lag_exporter(spouts: &[SpoutLag], by: By, figures: &mut Families) {
    let all = partitions(spouts, |spout| &spout.cluster);
    if by == By::Partition {
        let of = |key: Key<'_>, one: &PartitionLag| {
            let Key {
                cluster,
                group,
                topic,
                number,
            } = key;
            let [host, id, client_id] = member(one.member.as_ref());
            texts([&cluster, &group, &topic, &number, &host, &id, &client_id])
        };
        all.each(&GROUP_LAG, of, |all| one(all, committed_lag), figures);
        all.each(&GROUP_LAG_SECONDS, of, |all| one(all, age), figures);
        all.each(&GROUP_OFFSET, of, |all| one(all, commit), figures);
        let of = |key: Key<'_>, _: &_| texts([&key.cluster, &key.topic, &key.number]);
        all.each(&LATEST, of, |all| one(all, end), figures);
        all.each(&EARLIEST, of, |all| one(all, start), figures);
    }
    let of = |key: Key<'_>, _: &_| texts([&key.cluster, &key.group, &key.topic]);
    all.each(
        &GROUP_TOPIC_SUM_LAG,
        of,
        |all| sum(all, committed_lag),
        figures,
    );
    let of = |key: Key<'_>, _: &_| texts([&key.cluster, &key.group]);
    all.each(&GROUP_MAX_LAG, of, |all| most(all, committed_lag), figures);
    all.each(&GROUP_MAX_LAG_SECONDS, of, |all| most(all, age), figures);
    all.each(&GROUP_SUM_LAG, of, |all| sum(all, committed_lag), figures);
}

/// Host, id and client id of a member; that exporter's word where it knows none.
fn member(member: Option<&Member>) -> [&str; 3] {
    match member {
        Some(Member {
            id,
            client_id,
            host,
        }) => [host, id, client_id],
        None => ["unknown"; 3],
    }
}

/// A partition that a group reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    cluster: &'a str,
    group: &'a str,
    topic: &'a str,
    number: i32,
}

/// Each of them once, however many spouts read it.
struct Partitions<'a>(BTreeMap<Key<'a>, &'a PartitionLag>);

fn partitions<'a>(
    spouts: &'a [SpoutLag],
    cluster: impl Fn(&'a SpoutLag) -> &'a str,
) -> Partitions<'a> {
    let mut partitions = BTreeMap::new();
    for spout in spouts {
        for one in &spout.partitions {
            let key = Key {
                cluster: cluster(spout),
                group: &spout.group,
                topic: &one.topic,
                number: one.partition,
            };
            let _ = partitions.entry(key).or_insert(one);
        }
    }
    Partitions(partitions)
}

impl Partitions<'_> {
    /// A series for all partitions of the same labels, unless its figure is unknown.
    fn each(
        &self,
        metric: &'static Metric,
        labels: impl Fn(Key<'_>, &PartitionLag) -> Vec<String>,
        figure: impl Fn(&[&PartitionLag]) -> Option<f64>,
        figures: &mut Families,
    ) {
        let mut series: BTreeMap<Vec<String>, Vec<&PartitionLag>> = BTreeMap::new();
        for (key, one) in &self.0 {
            series.entry(labels(*key, one)).or_default().push(one);
        }
        for (labels, all) in series {
            if let Some(value) = figure(&all) {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                figures.sample(metric, &labels, value);
            }
        }
    }
}

fn texts<const N: usize>(labels: [&dyn Display; N]) -> Vec<String> {
    labels.map(ToString::to_string).into()
}

/// A figure of a partition.
type Figure = fn(&PartitionLag) -> Option<f64>;

/// That of a partition, also of one that several groups read.
fn one(all: &[&PartitionLag], figure: Figure) -> Option<f64> {
    all.iter().find_map(|one| figure(one))
}

fn sum(all: &[&PartitionLag], figure: Figure) -> Option<f64> {
    all.iter().map(|one| figure(one)).sum()
}

fn most(all: &[&PartitionLag], figure: Figure) -> Option<f64> {
    let most = |most: f64, one: &&PartitionLag| Some(most.max(figure(one)?));
    all.iter().try_fold(0.0, most)
}

fn committed_lag(one: &PartitionLag) -> Option<f64> {
    one.committed_lag.map(|records| records as f64)
}

fn age(one: &PartitionLag) -> Option<f64> {
    one.oldest_age_seconds
}

fn commit(one: &PartitionLag) -> Option<f64> {
    one.committed.map(|offset| offset as f64)
}

fn start(one: &PartitionLag) -> Option<f64> {
    one.start.map(|offset| offset as f64)
}

fn end(one: &PartitionLag) -> Option<f64> {
    one.end.map(|offset| offset as f64)
}
