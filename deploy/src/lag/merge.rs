//! The lag of several replicas as one: each partition once, and nobody left out who does not answer.

use std::collections::BTreeMap;

use isobar_operators::lag::{Deletion, Eta, Exactness, Status};

use super::{PartitionLag, SpoutLag};

/// What another replica said.
pub struct OfReplica {
    /// Its address.
    pub address: String,
    /// Its lag when it last answered, of the partitions that it reads; empty when it never did.
    pub lag: Vec<SpoutLag>,
    /// How old that answer is.
    pub age_seconds: f64,
    /// Why it counts as not answering, in a sentence.
    pub silent: Option<String>,
}

/// A partition, and who reads it.
struct Claim {
    lag: PartitionLag,
    /// Whoever reads it does not answer.
    silent: bool,
    sampled: f64,
}

/// Puts the lag of this replica and of others together, by spout in the order of this one's file.
///
/// A partition that two read, as it seems while it moves, counts for the one who sampled it last. Of one
/// whose reader does not answer the lag is unknown, unless somebody else has it by now, and so is that of one that
/// none of them reads. Sums are unknown while a replica does not answer: it may read partitions that nobody
/// knows of.
pub fn merge(own: Vec<SpoutLag>, others: &[OfReplica]) -> Vec<SpoutLag> {
    own.into_iter()
        .map(|spout| of_spout(spout, others))
        .collect()
}

/// Puts the lag of replicas together of which this process is none, by spout in the order in which the first
/// of them that has answered names them. Otherwise as [`merge`].
pub fn merge_all(replicas: &[OfReplica]) -> Vec<SpoutLag> {
    let first = replicas.iter().find(|one| !one.lag.is_empty());
    let spouts = first.into_iter().flat_map(|first| &first.lag);
    let none = spouts.map(|of| SpoutLag {
        cluster: of.cluster.clone(),
        ..SpoutLag::sum(of.spout.clone(), of.group.clone(), vec![], None)
    });
    merge(none.collect(), replicas)
}

fn of_spout(own: SpoutLag, others: &[OfReplica]) -> SpoutLag {
    let mut claims = BTreeMap::new();
    let mut topics = own.topics;
    let mut failures: Vec<String> = own.failure.into_iter().collect();
    for partition in own.partitions {
        claim(&mut claims, partition, 0.0, None);
    }
    for other in others {
        failures.extend(other.silent.clone());
        let same = other.lag.iter().find(|theirs| theirs.spout == own.spout);
        let Some(theirs) = same else {
            continue;
        };
        for (topic, partitions) in &theirs.topics {
            let known = topics.entry(topic.clone()).or_default();
            *known = (*known).max(*partitions);
        }
        let failure = theirs.failure.as_ref();
        failures.extend(failure.map(|failure| format!("{}: {failure}", other.address)));
        for partition in &theirs.partitions {
            let mut partition = partition.clone();
            partition.owner = Some(other.address.clone());
            claim(
                &mut claims,
                partition,
                other.age_seconds,
                other.silent.as_deref(),
            );
        }
    }
    let silent = others.iter().any(|other| other.silent.is_some());
    let partitions = with_those_of_nobody(claims, &topics, silent);
    let failure = (!failures.is_empty()).then(|| failures.join("; "));
    // Before any of them knows its topics, as while none has joined the group, the sums of none would be 0.
    let is_unknown = silent || (partitions.is_empty() && failure.is_some());
    let mut merged = SpoutLag::sum(own.spout, own.group, partitions, failure);
    (merged.topics, merged.cluster) = (topics, own.cluster);
    if !is_unknown {
        return merged;
    }
    // Whether who does not answer is paused, too, is not known.
    if let (Status::Paused, Some(failure)) = (merged.status, &merged.failure) {
        (merged.status, merged.reason) = (Status::NoData, failure.clone());
    }
    merged.without_sums()
}

/// Most rows of a spout, whatever replicas say of its topics: some ten times the partitions of a large cluster's
/// largest topic.
const ROWS_MAX: usize = 100_000;

/// All partitions of the topics, those included that no replica reads; `silent` when one of them does not answer.
fn with_those_of_nobody(
    claims: BTreeMap<(String, i32), Claim>,
    topics: &BTreeMap<String, i32>,
    silent: bool,
) -> Vec<PartitionLag> {
    let why = match silent {
        true => "no replica that answers reads it",
        false => "none of the replicas that were asked reads it",
    };
    let all = claims.into_iter().map(|(name, claim)| (name, claim.lag));
    let mut all: BTreeMap<(String, i32), PartitionLag> = all.collect();
    for (topic, partitions) in topics {
        for number in 0..*partitions {
            // One that nobody reads is listed by then, so that no sum is taken for that of all.
            if all.len() >= ROWS_MAX {
                break;
            }
            let of = all.entry((topic.clone(), number));
            let _ = of.or_insert_with(|| PartitionLag::of_nobody(topic, number, why));
        }
    }
    all.into_values().collect()
}

/// Enters a partition that a replica reads, `answered` seconds ago as that one said.
fn claim(
    claims: &mut BTreeMap<(String, i32), Claim>,
    mut lag: PartitionLag,
    answered: f64,
    silent: Option<&str>,
) {
    let older = |age: f64| age + answered;
    lag.sampled_age_seconds = lag.sampled_age_seconds.map(older);
    if let Some(silent) = silent {
        forget(&mut lag, silent);
    } else {
        lag.oldest_age_seconds = match lag.oldest_age_seconds {
            // Nothing waited then: what came since is younger than the answer.
            Some(0.0) => Some(0.0),
            age => age.map(older),
        };
    }
    let new = Claim {
        sampled: lag.sampled_age_seconds.unwrap_or(f64::INFINITY),
        silent: silent.is_some(),
        lag,
    };
    let key = (new.lag.topic.clone(), new.lag.partition);
    match claims.get(&key) {
        Some(known) if (known.silent, known.sampled) <= (new.silent, new.sampled) => {}
        _ => drop(claims.insert(key, new)),
    }
}

/// What follows from where the partition ends, or from its reader, is not known. Offsets stay, with their
/// age.
fn forget(lag: &mut PartitionLag, why: &str) {
    *lag = PartitionLag {
        status: match lag.status {
            // What was worse is not better for that.
            worse @ (Status::Lost | Status::Held) => worse,
            _ => Status::NoData,
        },
        reason: why.to_owned(),
        lag: None,
        lag_exactness: Exactness::Unknown,
        committed_lag: None,
        read_lag: None,
        oldest_age_seconds: None,
        oldest_age_exactness: Exactness::Unknown,
        headroom_seconds: Deletion::Unknown,
        headroom_exactness: Exactness::Unknown,
        incoming_per_second: None,
        outgoing_per_second: None,
        rates_exactness: Exactness::Unknown,
        eta_seconds: Eta::Unknown,
        eta_exactness: Exactness::Unknown,
        no_progress_seconds: None,
        ..lag.clone()
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::lag::samples::{full, spout};

    fn behind(number: i32, lag: u64, sampled: f64) -> PartitionLag {
        PartitionLag {
            lag: Some(lag),
            committed_lag: Some(lag),
            sampled_age_seconds: Some(sampled),
            oldest_age_seconds: Some(1.0),
            ..full(number)
        }
    }

    fn other(partitions: Vec<PartitionLag>, age_seconds: f64, silent: Option<&str>) -> OfReplica {
        OfReplica {
            address: "b:1".to_owned(),
            lag: vec![spout("in", partitions)],
            age_seconds,
            silent: silent.map(str::to_owned),
        }
    }

    fn merged(own: Vec<PartitionLag>, other: OfReplica) -> SpoutLag {
        merge(vec![spout("in", own)], &[other]).remove(0)
    }

    #[test]
    fn partitions_of_all_are_summed_up_with_their_owners() {
        let all = merged(
            vec![behind(0, 5, 1.0)],
            other(vec![behind(1, 7, 1.0)], 2.0, None),
        );
        assert_eq!((all.lag, all.failure), (Some(12), None));
        assert_eq!(all.cluster, "kafka");
        let owners: Vec<_> = all
            .partitions
            .iter()
            .map(|one| one.owner.as_deref())
            .collect();
        assert_eq!(owners, [Some("here"), Some("b:1")]);
        let theirs = &all.partitions[1];
        assert_eq!(
            (theirs.sampled_age_seconds, theirs.oldest_age_seconds),
            (Some(3.0), Some(3.0))
        );
    }

    #[test]
    fn a_partition_that_moves_counts_once_for_who_sampled_it_last() {
        let here = merged(
            vec![behind(0, 5, 1.0)],
            other(vec![behind(0, 7, 1.0)], 2.0, None),
        );
        assert_eq!((here.lag, here.partitions.len()), (Some(5), 1));
        let there = merged(
            vec![behind(0, 5, 9.0)],
            other(vec![behind(0, 7, 1.0)], 2.0, None),
        );
        assert_eq!((there.lag, there.partitions.len()), (Some(7), 1));
    }

    #[test]
    fn what_none_of_them_reads_has_a_row_and_makes_sums_unknown() {
        let of = |partitions, count| SpoutLag {
            topics: BTreeMap::from([("a\"b".to_owned(), count)]),
            ..spout("in", partitions)
        };
        let merged = |silent: Option<&str>, count| {
            let other = OfReplica {
                lag: vec![of(vec![behind(2, 7, 1.0)], count)],
                ..other(vec![], 1.0, silent)
            };
            merge(vec![of(vec![behind(0, 5, 1.0)], 3)], &[other]).remove(0)
        };
        // The other one has not learnt of the third partition yet.
        let all = merged(None, 2);
        assert_eq!((all.lag, all.unowned_partitions), (None, Some(1)));
        let numbers: Vec<_> = all.partitions.iter().map(|one| one.partition).collect();
        assert_eq!(numbers, [0, 1, 2]);
        let (nobody, why) = (
            &all.partitions[1],
            "none of the replicas that were asked reads it",
        );
        assert_eq!((&nobody.owner, nobody.lag), (&None, None));
        assert_eq!((nobody.status, &*nobody.reason), (Status::NoData, why));
        assert_eq!(all.status, Status::NoData);
        // Who does not answer may read it by now.
        let all = merged(Some("b:1 has not answered for 60 s"), 3);
        assert_eq!((all.lag, all.unowned_partitions), (None, None));
        assert_eq!(all.partitions[1].lag, None);
        // Where all are read nothing is unknown.
        let all = merge(vec![of(vec![behind(0, 5, 1.0)], 1)], &[]);
        assert_eq!((all[0].lag, all[0].unowned_partitions), (Some(5), Some(0)));
    }

    #[test]
    fn a_replica_that_claims_any_number_makes_no_more_rows_than_a_cluster_has_partitions() {
        let of = |partitions| SpoutLag {
            topics: BTreeMap::from([("a\"b".to_owned(), i32::MAX), ("c".to_owned(), i32::MAX)]),
            ..spout("in", partitions)
        };
        let theirs = OfReplica {
            lag: vec![of(vec![behind(1, u64::MAX, 1.0)])],
            ..other(vec![], 1.0, None)
        };
        let all = merge(vec![spout("in", vec![behind(0, 5, 1.0)])], &[theirs]).remove(0);
        assert_eq!((all.partitions.len(), all.lag), (ROWS_MAX, None));
    }

    #[test]
    fn sums_of_what_replicas_say_do_not_wrap_around() {
        let all = merged(
            vec![behind(0, u64::MAX, 1.0)],
            other(vec![behind(1, 2, 1.0)], 2.0, None),
        );
        assert_eq!(all.lag, Some(u64::MAX));
    }

    #[test]
    fn who_does_not_answer_is_shown_and_makes_sums_unknown() {
        let why = "b:1 has not answered for 60 s";
        let gone = other(vec![behind(0, 7, 1.0), behind(1, 7, 1.0)], 60.0, Some(why));
        let all = merged(vec![behind(0, 5, 1.0)], gone);
        assert_eq!((all.lag, all.status), (None, Status::NoData));
        assert_eq!(all.failure.as_deref(), Some(why));
        assert_eq!(all.partitions[0].lag, Some(5), "it has moved here");
        let left = &all.partitions[1];
        assert_eq!(
            (left.lag, left.status, &*left.reason),
            (None, Status::NoData, why)
        );
        assert_eq!(
            (left.end, left.sampled_age_seconds),
            (Some(100), Some(61.0))
        );
        let paused = PartitionLag {
            status: Status::Paused,
            ..behind(0, 5, 1.0)
        };
        let all = merged(vec![paused], other(vec![], 0.0, Some(why)));
        assert_eq!((all.status, &*all.reason), (Status::NoData, why));
        let nobody_has_joined = SpoutLag {
            failure: Some("not connected yet".to_owned()),
            ..spout("in", vec![])
        };
        let all = merge(vec![nobody_has_joined], &[other(vec![], 1.0, None)]);
        assert_eq!((all[0].lag, all[0].unowned_partitions), (None, None));
        let never = merged(vec![], other(vec![], 0.0, Some(why)));
        assert_eq!((never.lag, never.failure.as_deref()), (None, Some(why)));
    }
}
