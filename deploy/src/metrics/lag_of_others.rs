//! Lag under the names of two exporters, so that what was built on them works beside or instead of
//! them. They call lag what is not committed.

use std::collections::BTreeMap;

use super::families::Families;
use super::lag::{Also, By, once};
use super::{Metric, gauge};
use crate::lag::{PartitionLag, SpoutLag};

const GROUP: &[&str] = &["consumergroup", "topic", "partition"];
const TOPIC: &[&str] = &["topic", "partition"];

const LAG: Metric = gauge(
    "kafka_consumergroup_lag",
    GROUP,
    "Records that are not committed.",
);
const LAG_SUM: Metric = gauge(
    "kafka_consumergroup_lag_sum",
    &["consumergroup", "topic"],
    "Records that are not committed, over all partitions; absent while a part is unknown.",
);
const CURRENT: Metric = gauge(
    "kafka_consumergroup_current_offset",
    GROUP,
    "The last commit.",
);
const MEMBERS: Metric = gauge(
    "kafka_consumergroup_members",
    &["consumergroup"],
    "Members of the group, of one that is watched from outside; absent while the brokers do not tell.",
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

const MEMBER: &[&str] = &["group", "topic", "partition"];

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
    &["group"],
    "The most records of a partition that are not committed.",
);
const GROUP_MAX_LAG_SECONDS: Metric = gauge(
    "kafka_consumergroup_group_max_lag_seconds",
    &["group"],
    "The greatest age of a partition.",
);
const GROUP_SUM_LAG: Metric = gauge(
    "kafka_consumergroup_group_sum_lag",
    &["group"],
    "Records that are not committed, over all partitions; absent while a part is unknown.",
);
const GROUP_TOPIC_SUM_LAG: Metric = gauge(
    "kafka_consumergroup_group_topic_sum_lag",
    &["group", "topic"],
    "Records that are not committed, over all partitions of the topic; absent while a part is unknown.",
);
const LATEST: Metric = gauge(
    "kafka_partition_latest_offset",
    TOPIC,
    "The offset after the last readable record.",
);
const EARLIEST: Metric = gauge(
    "kafka_partition_earliest_offset",
    TOPIC,
    "The first offset that still exists.",
);

/// All of them.
pub(super) const ALL: &[&Metric] = &[
    &LAG,
    &LAG_SUM,
    &CURRENT,
    &MEMBERS,
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

/// A partition as a group reads it; of several spouts in one group that read it, the first counts.
type Partitions<'a> = BTreeMap<(&'a str, &'a str, i32), &'a PartitionLag>;

/// Adds the figures under the names of one exporter.
pub(super) fn fill(also: Also, spouts: &[SpoutLag], by: By, figures: &mut Families) {
    let mut partitions = Partitions::new();
    for spout in spouts {
        for one in &spout.partitions {
            let key = (spout.group.as_str(), one.topic.as_str(), one.partition);
            let _ = partitions.entry(key).or_insert(one);
        }
    }
    match also {
        Also::KafkaExporter => {
            if by == By::Partition {
                each(&partitions, &LAG, |one| records(one.committed_lag), figures);
                each(&partitions, &CURRENT, |one| offset(one.committed), figures);
                of_topics(&partitions, &TOPIC_CURRENT, |one| offset(one.end), figures);
                of_topics(&partitions, &TOPIC_OLDEST, |one| offset(one.start), figures);
            }
            sum_by_topic(&partitions, &LAG_SUM, figures);
            members(spouts, figures);
        }
        Also::KafkaLagExporter => {
            if by == By::Partition {
                each(
                    &partitions,
                    &GROUP_LAG,
                    |one| records(one.committed_lag),
                    figures,
                );
                each(
                    &partitions,
                    &GROUP_LAG_SECONDS,
                    |one| one.oldest_age_seconds,
                    figures,
                );
                each(
                    &partitions,
                    &GROUP_OFFSET,
                    |one| offset(one.committed),
                    figures,
                );
                of_topics(&partitions, &LATEST, |one| offset(one.end), figures);
                of_topics(&partitions, &EARLIEST, |one| offset(one.start), figures);
            }
            sum_by_topic(&partitions, &GROUP_TOPIC_SUM_LAG, figures);
            of_groups(&partitions, figures);
        }
    }
}

fn records(records: Option<u64>) -> Option<f64> {
    records.map(|records| records as f64)
}

fn offset(offset: Option<i64>) -> Option<f64> {
    offset.map(|offset| offset as f64)
}

fn each(
    partitions: &Partitions<'_>,
    metric: &'static Metric,
    figure: impl Fn(&PartitionLag) -> Option<f64>,
    figures: &mut Families,
) {
    for ((group, topic, number), one) in partitions {
        if let Some(value) = figure(one) {
            figures.sample(metric, &[group, topic, &number.to_string()], value);
        }
    }
}

/// Figures of topics, which are those of any group that reads them.
fn of_topics(
    partitions: &Partitions<'_>,
    metric: &'static Metric,
    figure: impl Fn(&PartitionLag) -> Option<f64>,
    figures: &mut Families,
) {
    let mut topics = BTreeMap::new();
    for ((_, topic, number), one) in partitions {
        if let Some(value) = figure(one) {
            let _ = topics.entry((*topic, *number)).or_insert(value);
        }
    }
    for ((topic, number), value) in topics {
        figures.sample(metric, &[topic, &number.to_string()], value);
    }
}

fn sum_by_topic(partitions: &Partitions<'_>, metric: &'static Metric, figures: &mut Families) {
    for (group, topic) in once(partitions.keys().map(|(group, topic, _)| (*group, *topic))) {
        let theirs = partitions
            .iter()
            .filter(|((of, at, _), _)| *of == group && *at == topic);
        if let Some(sum) = records(theirs.map(|(_, one)| one.committed_lag).sum()) {
            figures.sample(metric, &[group, topic], sum);
        }
    }
}

/// Of several spouts in one group that tell, the first counts.
fn members(spouts: &[SpoutLag], figures: &mut Families) {
    let mut groups = BTreeMap::new();
    for spout in spouts {
        if let Some(members) = spout.members {
            let _ = groups.entry(&*spout.group).or_insert(members);
        }
    }
    for (group, members) in groups {
        figures.sample(&MEMBERS, &[group], members as f64);
    }
}

fn of_groups(partitions: &Partitions<'_>, figures: &mut Families) {
    for group in once(partitions.keys().map(|(group, _, _)| *group)) {
        let theirs = partitions.iter().filter(|((of, _, _), _)| *of == group);
        let lags: Option<Vec<u64>> = theirs.clone().map(|(_, one)| one.committed_lag).collect();
        let ages: Option<Vec<f64>> = theirs.map(|(_, one)| one.oldest_age_seconds).collect();
        let most = lags.as_ref().and_then(|lags| lags.iter().max().copied());
        let oldest = ages.map(|ages| ages.into_iter().fold(0.0, f64::max));
        let sum = lags.map(|lags| lags.iter().sum());
        for (metric, value) in [
            (&GROUP_MAX_LAG, records(most)),
            (&GROUP_MAX_LAG_SECONDS, oldest),
            (&GROUP_SUM_LAG, records(sum)),
        ] {
            if let Some(value) = value {
                figures.sample(metric, &[group], value);
            }
        }
    }
}
