//! The metrics of lag: our own, and on request the same figures under the names of two exporters that
//! dashboards and alerts were written for.

use isobar_operators::lag::{Deletion, Eta, Exactness};

use super::families::Families;
use super::{Metric, gauge};
use crate::lag::{PartitionLag, SpoutLag};

/// What is exported of lag.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether there are series for each partition, or only sums.
    pub by: By,
    /// Names of others under which the figures are exported as well.
    pub also: Vec<Also>,
}

/// How many series there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// About 20 for each partition, and sums.
    #[default]
    Partition,
    /// Sums for each spout only.
    Spout,
}

/// An exporter whose names are understood by many dashboards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Also {
    /// `kafka_consumergroup_lag` and its like, by danielqsj.
    KafkaExporter,
    /// `kafka_consumergroup_group_lag` and its like, by seglo.
    KafkaLagExporter,
}

const SPOUT: &[&str] = &["topology", "spout", "group"];
const SPOUT_STATUS: &[&str] = &["topology", "spout", "group", "status"];
const SPOUT_FIGURES: &[&str] = &["topology", "spout", "group", "lag", "oldest_unsettled_age"];
const PARTITION: &[&str] = &["topology", "spout", "group", "topic", "partition"];
const PARTITION_STATUS: &[&str] = &["topology", "spout", "group", "topic", "partition", "status"];
const PARTITION_FIGURES: &[&str] = &[
    "topology",
    "spout",
    "group",
    "topic",
    "partition",
    "lag",
    "oldest_unsettled_age",
    "retention_headroom",
];

const SPOUT_LAG: Metric = gauge(
    "isobar_spout_lag_records",
    SPOUT,
    "Records that are not settled, over all partitions that this process reads; absent while a part is unknown.",
);
const SPOUT_COMMITTED_LAG: Metric = gauge(
    "isobar_spout_committed_lag_records",
    SPOUT,
    "Records that are not committed, over all partitions that this process reads; absent while a part is unknown.",
);
const SPOUT_AGE: Metric = gauge(
    "isobar_spout_oldest_unsettled_age_seconds",
    SPOUT,
    "Age of the oldest record that is not settled, 0 when there is none; absent while a part is unknown.",
);
const SPOUT_CATCH_UP: Metric = gauge(
    "isobar_spout_catch_up_seconds",
    SPOUT,
    "Time until all has caught up at the rates of the last minute, where these are nearly the same at those of five, after a stall at the rate since, or after several at the rates from one to another; +Inf for never; absent while unknown, and where as much is settled as comes in and what is behind is in hand anyway.",
);
const SPOUT_IS: Metric = gauge(
    "isobar_spout_status",
    SPOUT_STATUS,
    "1 for the status of the worst partition; the label says which.",
);
const SPOUT_EXACTNESS: Metric = gauge(
    "isobar_spout_exactness",
    SPOUT_FIGURES,
    "1; a label for each figure says how it is to be taken: exact, upper_bound, sampled (an estimate), or unknown.",
);
const SPOUT_SAMPLE_AGE: Metric = gauge(
    "isobar_spout_lag_sample_age_seconds",
    SPOUT,
    "How old the oldest offsets are that the sums are made of; absent while those of a partition are unknown.",
);
const SAMPLE_FAILED: Metric = gauge(
    "isobar_lag_sample_failed",
    SPOUT,
    "1 while the brokers do not answer questions about lag, or the group is not joined yet; 0 otherwise.",
);
const PARTITIONS: Metric = gauge(
    "isobar_partitions",
    SPOUT,
    "Partitions that are watched: those that this process reads or holds, or all of a group that is watched from outside.",
);
const UNOWNED: Metric = gauge(
    "isobar_unowned_partitions",
    SPOUT,
    "Watched partitions that no member of the group reads; absent while the brokers do not tell its members.",
);
const LAG: Metric = gauge(
    "isobar_lag_records",
    PARTITION,
    "Records that are not settled: end of the partition minus the oldest unsettled offset; absent while unknown.",
);
const COMMITTED_LAG: Metric = gauge(
    "isobar_committed_lag_records",
    PARTITION,
    "Records that are not committed, which is what other tools call lag: the sum of read lag, open records and commit debt.",
);
const READ_LAG: Metric = gauge(
    "isobar_read_lag_records",
    PARTITION,
    "Records that have not been read.",
);
const OPEN: Metric = gauge(
    "isobar_open_records",
    PARTITION,
    "Offsets that were read, from the oldest one on that is not settled.",
);
const COMMIT_DEBT: Metric = gauge(
    "isobar_commit_debt_records",
    PARTITION,
    "Records that are settled and not committed: they would be read again after a crash.",
);
const IN_FLIGHT: Metric = gauge(
    "isobar_partition_in_flight_records",
    PARTITION,
    "Records of the partition that were read and are not settled.",
);
const DELETED: Metric = gauge(
    "isobar_deleted_unread_records",
    PARTITION,
    "Records that Kafka deleted before they were read. Offsets are counted: it is less where they were markers of transactions, or aborted or compacted records.",
);
const AGE: Metric = gauge(
    "isobar_oldest_unsettled_age_seconds",
    PARTITION,
    "Age of the oldest record that is not settled, 0 when there is none; absent while its time is unknown.",
);
const HEADROOM: Metric = gauge(
    "isobar_retention_headroom_records",
    PARTITION,
    "Records from the first one that exists to the oldest one that is not settled: so many are deleted before that one is. All that the partition holds while nothing is behind; absent while unknown.",
);
const HEADROOM_SECONDS: Metric = gauge(
    "isobar_retention_headroom_seconds",
    PARTITION,
    "Time until the oldest record that is not settled is deleted by age, or, of a topic with retention.bytes, by size at the speed at which records were deleted of late, if that is sooner; until two deletions 5 minutes apart were seen it is by age alone, and size may delete sooner. +Inf where the topic deletes nothing, whether a record waits or not; absent while it is not known, and otherwise while none waits.",
);
const INCOMING: Metric = gauge(
    "isobar_incoming_records_per_second",
    PARTITION,
    "Records that came in during the last minute, per second.",
);
const OUTGOING: Metric = gauge(
    "isobar_outgoing_records_per_second",
    PARTITION,
    "Records that were settled during the last minute, per second; of a group that is watched from outside and commits more seldom, from one commit to another.",
);
const CATCH_UP: Metric = gauge(
    "isobar_catch_up_seconds",
    PARTITION,
    "Time until it has caught up at the rates of the last minute, where these are nearly the same at those of five, after a stall at the rate since, or after several at the rates from one to another; +Inf for never; absent while unknown, and where as much is settled as comes in and what is behind is in hand anyway.",
);
const NO_PROGRESS: Metric = gauge(
    "isobar_no_progress_seconds",
    PARTITION,
    "For how long there has been lag and its oldest record was not settled; 0 without lag.",
);
const SAMPLE_AGE: Metric = gauge(
    "isobar_lag_sample_age_seconds",
    PARTITION,
    "How old the figures of the partition are.",
);
const START: Metric = gauge(
    "isobar_partition_start_offset",
    PARTITION,
    "The first offset that still exists.",
);
const END: Metric = gauge(
    "isobar_partition_end_offset",
    PARTITION,
    "The offset after the last readable record.",
);
const COMMITTED: Metric = gauge(
    "isobar_committed_offset",
    PARTITION,
    "The group's last commit; absent before the first one.",
);
const PARTITION_IS: Metric = gauge(
    "isobar_partition_status",
    PARTITION_STATUS,
    "1 for the status of the partition; the label says which.",
);
const PARTITION_EXACTNESS: Metric = gauge(
    "isobar_partition_exactness",
    PARTITION_FIGURES,
    "1; a label for each figure says how it is to be taken: exact, upper_bound, sampled (an estimate), or unknown.",
);

/// Our own, in the order in which they are exported.
pub(super) const OWN: &[&Metric] = &[
    &SPOUT_LAG,
    &SPOUT_COMMITTED_LAG,
    &SPOUT_AGE,
    &SPOUT_CATCH_UP,
    &SPOUT_IS,
    &SPOUT_EXACTNESS,
    &SPOUT_SAMPLE_AGE,
    &SAMPLE_FAILED,
    &PARTITIONS,
    &UNOWNED,
    &LAG,
    &COMMITTED_LAG,
    &READ_LAG,
    &OPEN,
    &COMMIT_DEBT,
    &IN_FLIGHT,
    &DELETED,
    &AGE,
    &HEADROOM,
    &HEADROOM_SECONDS,
    &INCOMING,
    &OUTGOING,
    &CATCH_UP,
    &NO_PROGRESS,
    &SAMPLE_AGE,
    &START,
    &END,
    &COMMITTED,
    &PARTITION_IS,
    &PARTITION_EXACTNESS,
];

/// Adds the figures of now.
pub(super) fn fill(topology: &str, spouts: &[SpoutLag], options: &Options, figures: &mut Families) {
    for spout in spouts {
        let of_spout = [topology, spout.spout.as_str(), spout.group.as_str()];
        sums(spout, of_spout, figures);
        if options.by == By::Partition {
            for partition in &spout.partitions {
                let number = partition.partition.to_string();
                let [topology, id, group] = of_spout;
                let labels = [topology, id, group, &partition.topic, &number];
                of_partition(partition, labels, figures);
            }
        }
    }
    for also in &options.also {
        super::lag_of_others::fill(*also, spouts, options.by, figures);
    }
}

fn sums(spout: &SpoutLag, labels: [&str; 3], figures: &mut Families) {
    for (metric, value) in [
        (&SPOUT_LAG, spout.lag.map(|records| records as f64)),
        (
            &SPOUT_COMMITTED_LAG,
            spout.committed_lag.map(|records| records as f64),
        ),
        (&SPOUT_AGE, spout.oldest_age_seconds),
        (&SPOUT_CATCH_UP, seconds(spout.eta_seconds)),
        (&SPOUT_SAMPLE_AGE, spout.sampled_age_seconds),
    ] {
        if let Some(value) = value {
            figures.sample(metric, &labels, value);
        }
    }
    let [topology, id, group] = labels;
    let status = [topology, id, group, spout.status.word()];
    figures.sample(&SPOUT_IS, &status, 1.0);
    let [lag, age] = [spout.lag_exactness, spout.oldest_age_exactness].map(Exactness::word);
    figures.sample(&SPOUT_EXACTNESS, &[topology, id, group, lag, age], 1.0);
    let failed = f64::from(u8::from(spout.failure.is_some()));
    figures.sample(&SAMPLE_FAILED, &labels, failed);
    figures.sample(&PARTITIONS, &labels, spout.partitions.len() as f64);
    if let Some(unowned) = spout.unowned_partitions {
        figures.sample(&UNOWNED, &labels, unowned as f64);
    }
}

fn of_partition(partition: &PartitionLag, labels: [&str; 5], figures: &mut Families) {
    let records = |records: Option<u64>| records.map(|records| records as f64);
    let offset = |offset: Option<i64>| offset.map(|offset| offset as f64);
    for (metric, value) in [
        (&LAG, records(partition.lag)),
        (&COMMITTED_LAG, records(partition.committed_lag)),
        (&READ_LAG, records(partition.read_lag)),
        (&OPEN, records(partition.open)),
        (&COMMIT_DEBT, records(partition.commit_debt)),
        (&IN_FLIGHT, records(partition.in_flight)),
        (&DELETED, records(partition.lost)),
        (&AGE, partition.oldest_age_seconds),
        (&HEADROOM, records(partition.headroom_records)),
        (&HEADROOM_SECONDS, headroom(partition.headroom_seconds)),
        (&INCOMING, partition.incoming_per_second),
        (&OUTGOING, partition.outgoing_per_second),
        (&CATCH_UP, seconds(partition.eta_seconds)),
        (&NO_PROGRESS, partition.no_progress_seconds),
        (&SAMPLE_AGE, partition.sampled_age_seconds),
        (&START, offset(partition.start)),
        (&END, offset(partition.end)),
        (&COMMITTED, offset(partition.committed)),
    ] {
        if let Some(value) = value {
            figures.sample(metric, &labels, value);
        }
    }
    let and = |words: &[&'static str]| [labels.as_slice(), words].concat();
    figures.sample(&PARTITION_IS, &and(&[partition.status.word()]), 1.0);
    let exactnesses = [
        partition.lag_exactness,
        partition.oldest_age_exactness,
        partition.headroom_exactness,
    ];
    let exactnesses = exactnesses.map(Exactness::word);
    figures.sample(&PARTITION_EXACTNESS, &and(&exactnesses), 1.0);
}

fn seconds(eta: Eta) -> Option<f64> {
    match eta {
        Eta::Unknown | Eta::Steady => None,
        Eta::Never => Some(f64::INFINITY),
        Eta::Seconds(seconds) => Some(seconds),
    }
}

fn headroom(deletion: Deletion) -> Option<f64> {
    match deletion {
        Deletion::Unknown => None,
        Deletion::Never => Some(f64::INFINITY),
        Deletion::Seconds(seconds) => Some(seconds),
    }
}

/// Lags that tests write down.
#[cfg(test)]
pub(crate) mod samples {
    use std::collections::BTreeMap;

    use isobar_operators::lag::{Deletion, Eta, Exactness, Status};

    use crate::lag::{PartitionLag, SpoutLag};

    pub(crate) fn partition(number: i32) -> PartitionLag {
        let nothing = serde_json::json!({
            "topic": "a\"b", "partition": number, "status": "NO_DATA", "reason": "",
            "lag_exactness": "unknown", "oldest_age_exactness": "unknown",
        });
        serde_json::from_value(nothing).expect("all else may be missing")
    }

    pub(crate) fn full(number: i32) -> PartitionLag {
        PartitionLag {
            owner: Some("here".to_owned()),
            leader: Some("kafka-1:9092".to_owned()),
            status: Status::Ok,
            sampled_age_seconds: Some(2.0),
            start: Some(1),
            end: Some(100),
            committed: Some(93),
            lag: Some(0),
            lag_exactness: Exactness::Exact,
            committed_lag: Some(7),
            read_lag: Some(0),
            open: Some(0),
            commit_debt: Some(7),
            in_flight: Some(0),
            lost: Some(0),
            oldest_age_seconds: Some(0.5),
            oldest_age_exactness: Exactness::Exact,
            headroom_records: Some(99),
            headroom_seconds: Deletion::Never,
            headroom_exactness: Exactness::Exact,
            incoming_per_second: Some(1.5),
            outgoing_per_second: Some(1.5),
            rates_exactness: Exactness::Sampled,
            eta_seconds: Eta::Never,
            eta_exactness: Exactness::Sampled,
            no_progress_seconds: Some(0.0),
            ..partition(number)
        }
    }

    pub(crate) fn spout(id: &str, partitions: Vec<PartitionLag>) -> SpoutLag {
        SpoutLag {
            spout: id.to_owned(),
            group: "g".to_owned(),
            cluster: "kafka".to_owned(),
            status: Status::Slow,
            reason: String::new(),
            lag: None,
            lag_exactness: Exactness::Unknown,
            sampled_age_seconds: None,
            committed_lag: None,
            oldest_age_seconds: None,
            oldest_age_exactness: Exactness::Unknown,
            lost: None,
            headroom_records: None,
            headroom_seconds: Deletion::Unknown,
            headroom_exactness: Exactness::Unknown,
            incoming_per_second: None,
            outgoing_per_second: None,
            rates_exactness: Exactness::Unknown,
            eta_seconds: Eta::Unknown,
            eta_exactness: Exactness::Unknown,
            failure: None,
            unowned_partitions: Some(partitions.iter().filter(|one| one.owner.is_none()).count()),
            members: None,
            topics: BTreeMap::new(),
            partitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use isobar_operators::lag::Member;

    use super::super::{of_lag, text};
    use super::samples::{full, partition, spout};
    use super::*;

    fn rendered(topology: &str, spouts: &[SpoutLag], options: &Options) -> String {
        text(&of_lag(topology, spouts, options))
    }

    #[test]
    fn what_is_unknown_has_no_series() {
        let options = Options::default();
        let nothing = SpoutLag {
            unowned_partitions: None,
            ..spout("in", vec![partition(3)])
        };
        let text = rendered("t", &[nothing], &options);
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let of_spout = "{topology=\"t\",spout=\"in\",group=\"g\"";
        let of_partition = ",topic=\"a\\\"b\",partition=\"3\"";
        let unknown = "lag=\"unknown\",oldest_unsettled_age=\"unknown\"";
        assert_eq!(
            series,
            [
                format!("isobar_spout_status{of_spout},status=\"SLOW\"}} 1"),
                format!("isobar_spout_exactness{of_spout},{unknown}}} 1"),
                format!("isobar_lag_sample_failed{of_spout}}} 0"),
                format!("isobar_partitions{of_spout}}} 1"),
                format!("isobar_partition_status{of_spout}{of_partition},status=\"NO_DATA\"}} 1"),
                format!(
                    "isobar_partition_exactness{of_spout}{of_partition},{unknown},retention_headroom=\"unknown\"}} 1"
                ),
            ]
        );
    }

    #[test]
    fn every_figure_has_a_series_and_sums_can_be_all_there_is() {
        let known = SpoutLag {
            lag: Some(5),
            lag_exactness: Exactness::UpperBound,
            sampled_age_seconds: Some(2.0),
            committed_lag: Some(7),
            oldest_age_seconds: Some(1.5),
            oldest_age_exactness: Exactness::Sampled,
            eta_seconds: Eta::Seconds(3.0),
            ..spout("in", vec![full(3)])
        };
        let mut options = Options::default();
        let text = rendered("t", std::slice::from_ref(&known), &options);
        for metric in OWN {
            let kind = format!("# TYPE {} gauge\n", metric.name);
            assert!(text.contains(&kind), "{}", metric.name);
        }
        let labels = "{topology=\"t\",spout=\"in\",group=\"g\",topic=\"a\\\"b\",partition=\"3\"}";
        let all = labels.replace(
            '}',
            ",lag=\"exact\",oldest_unsettled_age=\"exact\",retention_headroom=\"exact\"}",
        );
        for line in [
            format!("isobar_partition_exactness{all} 1\n"),
            format!("isobar_committed_lag_records{labels} 7\n"),
            format!("isobar_oldest_unsettled_age_seconds{labels} 0.5\n"),
            format!("isobar_catch_up_seconds{labels} +Inf\n"),
            format!("isobar_retention_headroom_seconds{labels} +Inf\n"),
        ] {
            assert!(text.contains(&line), "{line} is not in:\n{text}");
        }
        options.by = By::Spout;
        let text = rendered("t", &[known], &options);
        assert!(!text.contains("partition="), "{text}");
        assert!(text.contains("isobar_spout_lag_records{"), "{text}");
        let of_spout = "{topology=\"t\",spout=\"in\",group=\"g\",lag=\"upper_bound\",oldest_unsettled_age=\"sampled\"}";
        let exactness = format!("isobar_spout_exactness{of_spout} 1\n");
        assert!(text.contains(&exactness), "{exactness} is not in:\n{text}");
    }

    #[test]
    fn names_of_others_are_exported_with_their_labels_when_they_are_asked_for() {
        let read = PartitionLag {
            member: Some(Member {
                id: "isobar-5".to_owned(),
                client_id: "isobar".to_owned(),
                host: "/10.0.0.2".to_owned(),
            }),
            ..full(1)
        };
        let spouts = [
            SpoutLag {
                members: Some(3),
                topics: BTreeMap::from([("a\"b".to_owned(), 4)]),
                ..spout("in", vec![full(0), read])
            },
            spout("two", vec![full(0)]),
            SpoutLag {
                cluster: "other".to_owned(),
                ..spout("three", vec![full(0)])
            },
        ];
        let own = rendered("t", &spouts, &Options::default());
        assert!(!own.contains("kafka_"), "{own}");
        let options = Options {
            by: By::Partition,
            also: vec![Also::KafkaExporter, Also::KafkaLagExporter],
        };
        let text = rendered("t", &spouts, &options);
        for line in [
            "kafka_consumergroup_members{consumergroup=\"g\"} 3\n",
            "kafka_topic_partitions{topic=\"a\\\"b\"} 4\n",
            "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"a\\\"b\",partition=\"1\"} 7\n",
            "kafka_consumergroup_lag_sum{consumergroup=\"g\",topic=\"a\\\"b\"} 14\n",
            "kafka_consumergroup_current_offset_sum{consumergroup=\"g\",topic=\"a\\\"b\"} 186\n",
            "kafka_topic_partition_oldest_offset{topic=\"a\\\"b\",partition=\"0\"} 1\n",
            "kafka_consumergroup_group_lag_seconds{cluster_name=\"kafka\",group=\"g\",topic=\"a\\\"b\",partition=\"0\",member_host=\"unknown\",consumer_id=\"unknown\",client_id=\"unknown\"} 0.5\n",
            "kafka_consumergroup_group_lag{cluster_name=\"kafka\",group=\"g\",topic=\"a\\\"b\",partition=\"1\",member_host=\"/10.0.0.2\",consumer_id=\"isobar-5\",client_id=\"isobar\"} 7\n",
            "kafka_consumergroup_group_max_lag{cluster_name=\"kafka\",group=\"g\"} 7\n",
            "kafka_consumergroup_group_sum_lag{cluster_name=\"kafka\",group=\"g\"} 14\n",
            "kafka_consumergroup_group_sum_lag{cluster_name=\"other\",group=\"g\"} 7\n",
            "kafka_consumergroup_group_topic_sum_lag{cluster_name=\"kafka\",group=\"g\",topic=\"a\\\"b\"} 14\n",
            "kafka_partition_latest_offset{cluster_name=\"kafka\",topic=\"a\\\"b\",partition=\"0\"} 100\n",
        ] {
            assert_eq!(text.matches(line).count(), 1, "{line} in:\n{text}");
        }
        // Of each partition once, where no label tells clusters apart.
        assert_eq!(
            text.matches("\nkafka_consumergroup_lag{").count(),
            2,
            "{text}"
        );
    }
}
