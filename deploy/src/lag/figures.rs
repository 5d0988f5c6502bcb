//! The figures of lag as they are written: of a partition, and summed up for a spout.

use std::collections::BTreeMap;

use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::lag::{Deletion, Eta, Exactness, Lag, Member, Row, Source, Status};
use isobar_topology::clock;
use serde::{Deserialize, Serialize};

use super::totals::Totals;
use crate::output::number;

/// The lag of a topology, as `isobar lag -o json` and `/lag` write it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LagDocument {
    /// Version of this form.
    pub version: u32,
    /// The topology's name; the group's where it is watched from outside.
    pub topology: String,
    /// The worst of its spouts.
    pub status: Status,
    /// Over all spouts.
    #[serde(default)]
    pub total: Totals,
    /// By spout, in the order of the topology file.
    pub spouts: Vec<SpoutLag>,
}

impl LagDocument {
    /// The version that is written and read.
    pub const VERSION: u32 = 1;

    /// Puts it together.
    pub fn of(topology: &str, spouts: Vec<SpoutLag>) -> Self {
        let worst = spouts.iter().map(|spout| spout.status).max();
        Self {
            version: Self::VERSION,
            topology: topology.to_owned(),
            status: worst.unwrap_or_default(),
            total: Totals::of(&spouts),
            spouts,
        }
    }

    /// With what programs of before did not say and what follows from the rest.
    #[must_use]
    pub fn completed(mut self) -> Self {
        for one in self
            .spouts
            .iter_mut()
            .flat_map(|spout| &mut spout.partitions)
        {
            one.depth = depth(one.start, one.end);
        }
        self.total = Totals::of(&self.spouts);
        self
    }
}

/// The lag of a spout.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpoutLag {
    /// The spout's id.
    pub spout: String,
    /// Its consumer group.
    pub group: String,
    /// What its cluster is called: the connection's name in the topology file; where there is none, the brokers that
    /// were named, separated by commas.
    #[serde(default)]
    pub cluster: String,
    /// The worst of its partitions; at least `NO_DATA` while something could not be asked, unless it is paused.
    pub status: Status,
    /// Why, in one sentence; names the partition, or what could not be asked.
    pub reason: String,
    /// Records that are not settled, over all partitions listed.
    pub lag: Option<u64>,
    /// How the lag is to be taken: as that of the partition of which least is known.
    #[serde(default)]
    pub lag_exactness: Exactness,
    /// How old the oldest of the offsets are that sums were made of.
    #[serde(default)]
    pub sampled_age_seconds: Option<f64>,
    /// Records that are not committed.
    pub committed_lag: Option<u64>,
    /// Age of the oldest record that is not settled; 0 when there is none.
    pub oldest_age_seconds: Option<f64>,
    /// How that age is to be taken.
    pub oldest_age_exactness: Exactness,
    /// Records that Kafka deleted before they were read, at most: those of all partitions.
    #[serde(default)]
    pub lost: Option<u64>,
    /// The fewest records of a partition that are deleted before one that is not settled is; null where nothing
    /// is behind, or nothing is deleted.
    #[serde(default)]
    pub headroom_records: Option<u64>,
    /// The least time until a record is deleted that is not settled: seconds, `"never"` where nothing is deleted in
    /// any partition in which one waits; null where none waits, and while it is null for one in which one does.
    #[serde(default)]
    pub headroom_seconds: Deletion,
    /// How that time is to be taken: an upper bound where that of any partition is one.
    #[serde(default)]
    pub headroom_exactness: Exactness,
    /// Records per second that come in.
    pub incoming_per_second: Option<f64>,
    /// Records per second that are settled.
    pub outgoing_per_second: Option<f64>,
    /// How these rates are to be taken: estimates, from looks at it; of a program that is watched from
    /// outside what it commits counts as settled.
    #[serde(default)]
    pub rates_exactness: Exactness,
    /// When the last partition has caught up: seconds, `"never"` at these rates, `"steady"` where
    /// as much is settled as comes in and what is behind is in hand anyway, or null.
    pub eta_seconds: Eta,
    /// How that is to be taken: an estimate, unless nothing is behind.
    #[serde(default)]
    pub eta_exactness: Exactness,
    /// Why something is not known, naming broker, topic or group.
    pub failure: Option<String>,
    /// Partitions that nobody reads; null where the brokers do not tell the members of the group, or a replica
    /// does not answer.
    #[serde(default)]
    pub unowned_partitions: Option<usize>,
    /// Members of the group; null where the brokers do not tell, and of a running topology, which does not ask.
    #[serde(default)]
    pub members: Option<usize>,
    /// How many partitions each of its topics has, whoever reads them; empty where that is not known.
    #[serde(default)]
    pub topics: BTreeMap<String, i32>,
    /// By topic and partition.
    pub partitions: Vec<PartitionLag>,
}

/// The lag of a partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The member of the group that reads it: client id and host, `here` for this process; null when
    /// nobody does, or when the brokers do not tell.
    pub owner: Option<String>,
    /// The same in its parts, of a group that is watched from outside: what the coordinator calls the member, its
    /// client id, and `/` with the address that it connects from.
    #[serde(default)]
    pub member: Option<Member>,
    /// The broker that leads it, `host:port`, as of the last 30 s; `none` where no broker does, and null
    /// where that is not known.
    pub leader: Option<String>,
    /// How it gets on.
    pub status: Status,
    /// Why, in one sentence.
    pub reason: String,
    /// How old the offsets below and their differences are.
    pub sampled_age_seconds: Option<f64>,
    /// The first offset that still exists.
    pub start: Option<i64>,
    /// The offset after the last record.
    pub end: Option<i64>,
    /// Records that the brokers hold: from the first offset to the end.
    #[serde(default)]
    pub depth: Option<u64>,
    /// The last commit; null when nothing was committed.
    pub committed: Option<i64>,
    /// The first offset that is not settled; null when nothing runs.
    pub frontier: Option<i64>,
    /// The next offset to read; null when nothing runs.
    pub next: Option<i64>,
    /// Records that are not settled; of a topology that does not run, not committed.
    pub lag: Option<u64>,
    /// How the lag is to be taken: not more than what is not committed, of a topology that does not run.
    pub lag_exactness: Exactness,
    /// Records that are not committed: the sum of the next three.
    pub committed_lag: Option<u64>,
    /// Records that have not been read.
    pub read_lag: Option<u64>,
    /// Offsets that were read, from the first one on that is not settled.
    pub open: Option<u64>,
    /// Records that are settled and not committed: they would be read again after a crash.
    pub commit_debt: Option<u64>,
    /// Records in flight.
    pub in_flight: Option<u64>,
    /// Records that Kafka deleted before they were read, at most: offsets are counted, and some may be markers of
    /// transactions, or aborted or compacted records.
    pub lost: Option<u64>,
    /// Age of the oldest record that is not settled; 0 when there is none.
    pub oldest_age_seconds: Option<f64>,
    /// How that age is to be taken: exact while the record is in memory.
    pub oldest_age_exactness: Exactness,
    /// Records from the first one that exists to the oldest one that is not settled: so many are deleted before that
    /// one is. All that the partition holds while nothing is behind.
    pub headroom_records: Option<u64>,
    /// Time until the oldest record that is not settled is deleted, by age or by size: seconds, `"never"` where
    /// nothing is deleted, whether one waits or not, or null.
    pub headroom_seconds: Deletion,
    /// How that time is to be taken: an upper bound where size may delete sooner, and how fast is not known.
    #[serde(default)]
    pub headroom_exactness: Exactness,
    /// Records per second that come in, over the last minute.
    pub incoming_per_second: Option<f64>,
    /// Records per second that are settled, over the last minute; of a group that is watched from outside and commits
    /// more seldom, from one commit to another.
    pub outgoing_per_second: Option<f64>,
    /// How these rates are to be taken: estimates where they are known.
    #[serde(default)]
    pub rates_exactness: Exactness,
    /// When it has caught up: seconds, `"never"` at these rates, `"steady"` where
    /// as much is settled as comes in and what is behind is in hand anyway, or null.
    pub eta_seconds: Eta,
    /// How that is to be taken: an estimate, unless nothing is behind.
    #[serde(default)]
    pub eta_exactness: Exactness,
    /// For how long there has been lag and its oldest record was not settled.
    pub no_progress_seconds: Option<f64>,
}

impl SpoutLag {
    pub(super) fn of(source: &Source, lag: Lag) -> Self {
        let now_ms = clock::unix_ms();
        let rows = lag.rows.into_iter();
        let partitions = rows.map(|row| PartitionLag::of(row, now_ms)).collect();
        let (spout, group) = (source.spout.clone(), source.group.clone());
        let mut sum = Self::sum(spout, group, partitions, lag.failure);
        if lag.owners_unknown {
            sum.unowned_partitions = None;
        }
        sum.members = lag.members;
        sum.topics = lag.topics;
        sum.cluster.clone_from(&source.cluster);
        sum
    }

    /// Sums partitions up. `failure` is why something is not known.
    pub(super) fn sum(
        spout: String,
        group: String,
        partitions: Vec<PartitionLag>,
        failure: Option<String>,
    ) -> Self {
        let (status, reason) = match (worst(&partitions), &failure) {
            ((status, _), Some(failure)) if status.gives_way() => (Status::NoData, failure.clone()),
            (worst, _) => worst,
        };
        let (oldest_age_seconds, oldest_age_exactness) = oldest(&partitions);
        let (headroom_seconds, headroom_exactness) = headroom(&partitions);
        let unowned = partitions.iter().filter(|one| one.owner.is_none());
        Self {
            spout,
            group,
            cluster: String::new(),
            status,
            reason,
            lag: count(partitions.iter().map(|one| one.lag)),
            lag_exactness: least(&partitions, |one| one.lag_exactness),
            sampled_age_seconds: oldest_sample(&partitions),
            committed_lag: count(partitions.iter().map(|one| one.committed_lag)),
            oldest_age_seconds,
            oldest_age_exactness,
            lost: count(partitions.iter().map(|one| one.lost)),
            headroom_records: headroom_records(&partitions),
            headroom_seconds,
            headroom_exactness,
            incoming_per_second: sum(partitions.iter().map(|one| one.incoming_per_second)),
            outgoing_per_second: sum(partitions.iter().map(|one| one.outgoing_per_second)),
            rates_exactness: least(&partitions, |one| one.rates_exactness),
            eta_seconds: Eta::last(partitions.iter().map(|one| one.eta_seconds)),
            eta_exactness: least(&partitions, |one| one.eta_exactness),
            failure,
            unowned_partitions: Some(unowned.count()),
            members: None,
            topics: BTreeMap::new(),
            partitions,
        }
    }

    /// The same of a run that has ended, `caught_up` with what was there at its start or not. One look after
    /// the end says nothing about progress, and there is none any more.
    #[must_use]
    pub fn after_the_end(mut self, caught_up: bool) -> Self {
        // Nothing is known of any: the sums of none would be 0.
        if self.partitions.is_empty() {
            return self;
        }
        for one in &mut self.partitions {
            // Otherwise it is not known how many are behind.
            if let (Status::NoData, Some(behind)) = (one.status, one.lag) {
                let records = number(behind);
                (one.status, one.reason) = match caught_up {
                    true => (
                        Status::Ok,
                        format!("it had caught up; {records} records came since"),
                    ),
                    false => (
                        Status::NoData,
                        format!("the run ended; {records} records are left to read"),
                    ),
                };
            }
        }
        Self {
            unowned_partitions: self.unowned_partitions,
            members: self.members,
            topics: self.topics,
            cluster: self.cluster,
            ..Self::sum(self.spout, self.group, self.partitions, self.failure)
        }
    }

    pub(super) fn unknown(source: &Source, failure: String) -> Self {
        let (spout, group) = (source.spout.clone(), source.group.clone());
        Self {
            cluster: source.cluster.clone(),
            ..Self::sum(spout, group, Vec::new(), Some(failure)).without_sums()
        }
    }

    /// The same where not all partitions may be listed, so that no sum is known.
    pub(super) fn without_sums(self) -> Self {
        Self {
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
            unowned_partitions: None,
            ..self
        }
    }
}

fn depth(start: Option<i64>, end: Option<i64>) -> Option<u64> {
    u64::try_from(end?.checked_sub(start?)?).ok()
}

/// The worst status, with the first of its partitions; nothing is wrong with a spout that has none.
fn worst(partitions: &[PartitionLag]) -> (Status, String) {
    let first_of_worst = partitions.iter().rev().max_by_key(|one| one.status);
    match first_of_worst {
        None => (Status::Ok, "it reads no partition".to_owned()),
        Some(one) if one.status == Status::Ok => (Status::Ok, one.reason.clone()),
        Some(one) => {
            let reason = format!("{}/{}: {}", one.topic, one.partition, one.reason);
            (one.status, reason)
        }
    }
}

/// The sum of counts, which a replica may have said; unknown as soon as one is.
pub(super) fn count(mut counts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    counts.try_fold(0_u64, |sum, count| Some(sum.saturating_add(count?)))
}

/// The sum of rates, from 0: that of the standard library starts at -0.
fn sum(mut rates: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    rates.try_fold(0.0, |sum, rate| Some(sum + rate?))
}

/// How a sum is to be taken: as the part of which least is known.
fn least(partitions: &[PartitionLag], of: impl Fn(&PartitionLag) -> Exactness) -> Exactness {
    let all = partitions.iter().map(of);
    all.min().unwrap_or(Exactness::Exact)
}

/// The oldest age, with its exactness; unknown as soon as one is.
fn oldest(partitions: &[PartitionLag]) -> (Option<f64>, Exactness) {
    let mut oldest = (0.0, Exactness::Sampled);
    for one in partitions {
        match one.oldest_age_seconds {
            None => return (None, Exactness::Unknown),
            Some(age) if age > oldest.0 => oldest = (age, one.oldest_age_exactness),
            Some(_) => {}
        }
    }
    (Some(oldest.0), oldest.1)
}

/// Those in which a record may wait.
fn waiting(partitions: &[PartitionLag]) -> impl Iterator<Item = &PartitionLag> {
    let is_done = |one: &PartitionLag| one.lag == Some(0) || one.oldest_age_seconds == Some(0.0);
    partitions.iter().filter(move |one| !is_done(one))
}

fn headroom_records(partitions: &[PartitionLag]) -> Option<u64> {
    let is_safe =
        |one: &PartitionLag| one.lag == Some(0) || one.headroom_seconds == Deletion::Never;
    let behind = partitions.iter().filter(|one| !is_safe(one));
    let all: Vec<u64> = behind
        .map(|one| one.headroom_records)
        .collect::<Option<_>>()?;
    all.into_iter().min()
}

/// The least headroom, with its exactness; unknown as soon as one is.
fn headroom(partitions: &[PartitionLag]) -> (Deletion, Exactness) {
    let all = || waiting(partitions);
    let least = Deletion::first(all().map(|one| one.headroom_seconds));
    if least == Deletion::Unknown {
        return (least, Exactness::Unknown);
    }
    // Where size may delete sooner in any of them, it may be that one that is next.
    let bounded = |one: &PartitionLag| one.headroom_exactness == Exactness::UpperBound;
    if all().any(bounded) {
        return (least, Exactness::UpperBound);
    }
    let of_least = all().find(|one| one.headroom_seconds == least);
    (
        least,
        of_least.map_or(Exactness::Unknown, |one| one.headroom_exactness),
    )
}

/// The age of the oldest sample; unknown without any, and as soon as one is.
fn oldest_sample(partitions: &[PartitionLag]) -> Option<f64> {
    let ages = partitions.iter().map(|one| one.sampled_age_seconds);
    let ages: Vec<f64> = ages.collect::<Option<_>>()?;
    ages.into_iter().reduce(f64::max)
}

impl PartitionLag {
    /// One that nobody reads, as far as is known, and of which nothing else is.
    pub(super) fn of_nobody(topic: &str, partition: i32, why: &str) -> Self {
        let row = Row {
            reason: why.to_owned(),
            ..Row::unknown(TopicPartition::new(topic, partition))
        };
        Self::of(row, 0)
    }

    pub(super) fn of(row: Row, now_ms: i64) -> Self {
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        Self {
            topic: row.partition.topic.to_string(),
            partition: row.partition.partition,
            owner: row.owner,
            member: row.member,
            leader: row.leader.map(|leader| leader.to_string()),
            status: row.status,
            reason: row.reason,
            sampled_age_seconds: row
                .sampled_ms
                .map(|ms| seconds(u64::try_from(now_ms - ms).unwrap_or(0))),
            start: row.start,
            end: row.end,
            depth: depth(row.start, row.end),
            committed: row.committed,
            frontier: row.frontier,
            next: row.next,
            lag: row.lag,
            lag_exactness: row.lag_exactness,
            committed_lag: row.committed_lag,
            read_lag: row.read_lag,
            open: row.open,
            commit_debt: row.commit_debt,
            in_flight: row.in_flight,
            lost: row.lost,
            oldest_age_seconds: row.age_ms.map(seconds),
            oldest_age_exactness: row.age_exactness,
            headroom_records: row.headroom,
            headroom_seconds: row.deletion,
            headroom_exactness: row.headroom_exactness,
            incoming_per_second: row.incoming,
            outgoing_per_second: row.outgoing,
            rates_exactness: row.rates_exactness,
            eta_seconds: row.eta,
            eta_exactness: row.eta_exactness,
            no_progress_seconds: row.still_ms.map(seconds),
        }
    }
}
