//! The checks of a Kafka cluster: the list, then one function for each.

use std::collections::BTreeSet;

use isobar_topology::spec::units::Duration;

use super::replays::replays;
use super::{Answer, Facts, Failed, Spout};
use crate::doctor::{Check, Depth, Missing, Said, Status, Verdict, fine, or_fine};
use crate::kafka::admin::{LayoutTopic, RDKafkaErrorCode};
use crate::lag::{Deletion, Status as LagStatus};

pub(in crate::doctor) const CHECKS: &[Check<Facts>] = &[
    Check {
        id: "kafka.brokers",
        depth: Depth::Start,
        why: "Without brokers nothing is read, and nothing that was read is committed.",
        fix: "Correct `brokers`, `tls` or `sasl` of the connection, or start the brokers.",
        needs: "it takes a login that is valid",
        judge: brokers,
    },
    Check {
        id: "kafka.topics",
        depth: Depth::Start,
        why: "A topic that does not exist, or may not be seen, is waited for; its records are not read.",
        fix: "Create the topic, correct `topics` of the spout, or permit `Read` and `Describe`.",
        needs: DESCRIBE,
        judge: topics,
    },
    Check {
        id: "kafka.outputs",
        depth: Depth::Start,
        why: "What is to be written to a topic that is not there waits; with dead letters, one bad record stops its partition from being committed.",
        fix: "Create the topic, or permit `Write` and `Describe`. Isobar creates none.",
        needs: DESCRIBE,
        judge: outputs,
    },
    Check {
        id: "kafka.permissions",
        depth: Depth::Start,
        why: "What the user may not read stands still, and what it may not write waits; with dead letters, one bad record stops its partition from being committed.",
        fix: "Permit `Read` on the topics that are read and on the group, and `Write` on the topics that are written (`kafka-acls.sh --add`).",
        needs: DESCRIBE,
        judge: permissions,
    },
    Check {
        id: "kafka.leaders",
        depth: Depth::All,
        why: "A partition without a leader can neither be read nor written.",
        fix: "Start the brokers that have its copies.",
        needs: DESCRIBE,
        judge: leaders,
    },
    Check {
        id: "kafka.in_sync",
        depth: Depth::All,
        why: "Copies that lag behind are lost records when the leader's disk is; below `min.insync.replicas` nothing is written.",
        fix: "Start the brokers that are away, or find out why they do not keep up.",
        needs: DESCRIBE,
        judge: in_sync,
    },
    Check {
        id: "kafka.min_in_sync",
        depth: Depth::All,
        why: "What a broker has acknowledged is on as many disks as `min.insync.replicas` says, and on no more.",
        fix: "Set `min.insync.replicas` of the topic to 2, with three copies of each partition.",
        needs: "it takes `DescribeConfigs` on the topic",
        judge: min_in_sync,
    },
    Check {
        id: "kafka.replication",
        depth: Depth::All,
        why: "A topic with one copy of each record loses what is on a disk with that disk.",
        fix: "Replicate the topic three times, with `min.insync.replicas` of 2.",
        needs: DESCRIBE,
        judge: replication,
    },
    Check {
        id: "kafka.partitions",
        depth: Depth::All,
        why: "A partition is read by one lane: with fewer partitions than lanes, some read nothing.",
        fix: "More partitions, fewer `lanes`, or `shuffle` before the bolts that cost most.",
        needs: DESCRIBE,
        judge: partitions,
    },
    Check {
        id: "kafka.retention",
        depth: Depth::All,
        why: "What is older than the retention of its topic is deleted, read or not.",
        fix: "Raise `retention.ms` (and `retention.bytes`) of the topic until the lag is gone.",
        needs: "it takes `DescribeConfigs` on the topic, and `Describe` on the group",
        judge: retention,
    },
    Check {
        id: "kafka.transactions",
        depth: Depth::All,
        why: "Behind a transaction that stays open nothing is read, however much there is.",
        fix: "Find the producer (`kafka-transactions.sh find-hanging`) and abort its transaction.",
        needs: "it takes `Describe` on topic and group",
        judge: transactions,
    },
    Check {
        id: "kafka.group",
        depth: Depth::All,
        why: "Members that are no copies of this topology take partitions and commit offsets of records that they treat otherwise.",
        fix: "Give each program its own `group`.",
        needs: "it takes `Describe` on the group",
        judge: group,
    },
    Check {
        id: "kafka.dead_letter_size",
        depth: Depth::All,
        why: "A dead letter is its record and more; one that the topic does not take is cut, and its record cannot be sent again from it.",
        fix: "Set `max.message.bytes` of the dead-letter topic, and `message.max.bytes` of the bolt, to 64 KiB more than the topics that are read have.",
        needs: "it takes `DescribeConfigs` on the topics",
        judge: dead_letter_size,
    },
    Check {
        id: "kafka.dead_letter_cleanup",
        depth: Depth::All,
        why: "Dead letters keep the key of their record, so a compacted topic keeps one letter for each key.",
        fix: "Set `cleanup.policy=delete` and a retention of weeks on the dead-letter topic.",
        needs: "it takes `DescribeConfigs` on the topic",
        judge: dead_letter_cleanup,
    },
    Check {
        id: "kafka.replays",
        depth: Depth::All,
        why: "Replays and redrives tell each other in a topic what they read; without it none is run, and each question about them reads all of it.",
        fix: "Permit `Create`, `Read`, `Write` and `Describe` on the topic `NAME.replays` of the topology NAME, and `Read` and `Delete` on groups that start with `NAME.replay.`; set `cleanup.policy=compact`, `message.timestamp.type=LogAppendTime`, `segment.ms=600000`, `segment.bytes=16777216` and `min.cleanable.dirty.ratio=0.1` of the topic.",
        needs: "it takes `Describe` and `DescribeConfigs` on the topic",
        judge: replays,
    },
    Check {
        id: "kafka.certificates",
        depth: Depth::All,
        why: "From the moment that a certificate expires, no connection is made any more.",
        fix: "Renew the certificate.",
        needs: "it takes a connection to the broker",
        judge: certificates,
    },
];

const DESCRIBE: &str = "it takes `Describe` on the topic";

/// What a dead letter has beside its record, in bytes, at most about so much: headers with the origin and
/// the reason, which is cut.
const LETTER_EXTRA: i64 = 64 << 10;

/// The oldest unread record has used up so much of the retention, in percent.
const WARN_FROM: u64 = 75;
const ALARM_FROM: u64 = 95;

fn brokers(facts: &Facts) -> Verdict {
    match &facts.layout {
        Ok(layout) => {
            let brokers = layout.brokers.len();
            let ending = if brokers == 1 { "" } else { "s" };
            fine(format!(
                "{brokers} broker{ending}: {}",
                layout.brokers.join(", ")
            ))
        }
        Err(Failed::Denied) => Err(Missing::Denied),
        Err(Failed::Other(why)) => Ok(vec![(Status::Error, why.clone())]),
    }
}

fn topics(facts: &Facts) -> Verdict {
    let _ = known(&facts.layout)?;
    let mut found = Vec::new();
    for spout in &facts.spouts {
        let (partitions, missing) = known(&spout.found)?;
        for missing in missing {
            found.push((Status::Error, format!("{}: {missing}", spout.id)));
        }
        let of_patterns = spout.wanted.iter().any(|topic| topic.starts_with('^'));
        if partitions.is_empty() && of_patterns {
            let text = format!("{}: no topic matches {}", spout.id, spout.wanted.join(", "));
            found.push((Status::Warning, text));
        }
    }
    if facts.spouts.is_empty() {
        return Err(Missing::Absent("no spout reads from here".to_owned()));
    }
    let topics: BTreeSet<&str> = facts.spouts.iter().flat_map(Spout::topics).collect();
    let topics: Vec<&str> = topics.into_iter().collect();
    or_fine(found, format!("there: {}", topics.join(", ")))
}

fn outputs(facts: &Facts) -> Verdict {
    let layout = known(&facts.layout)?;
    if facts.outputs.is_empty() {
        return Err(Missing::Absent("nothing is written here".to_owned()));
    }
    let mut found = Vec::new();
    for output in &facts.outputs {
        let topic = layout
            .topics
            .iter()
            .find(|topic| topic.name == output.topic);
        let error = topic.and_then(|topic| topic.error);
        if let Some(error) = error {
            let what = match output.is_dead_letter {
                true => "dead letters".to_owned(),
                false => format!("records of {}", output.bolt),
            };
            let why = match error {
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                    "does not exist".to_owned()
                }
                error => error.to_string(),
            };
            let text = format!("the topic {} for {what}: {why}", output.topic);
            found.push((Status::Error, text));
        }
    }
    let names: Vec<&str> = facts.outputs.iter().map(|one| one.topic.as_str()).collect();
    or_fine(found, format!("there: {}", names.join(", ")))
}

fn permissions(facts: &Facts) -> Verdict {
    let topics = known(&facts.permitted)?;
    let mut found = Vec::new();
    let mut told = !topics.is_empty();
    for Spout {
        id,
        group,
        permitted,
        ..
    } in &facts.spouts
    {
        // Whoever may read from a group may see it.
        let may_join = match permitted {
            Ok(permitted) => permitted.map(|one| one.read),
            Err(Failed::Denied) => Some(false),
            Err(Failed::Other(_)) => None,
        };
        told |= may_join.is_some();
        if may_join == Some(false) {
            let text = format!("{id}: the user may not read in group {group}");
            found.push((Status::Error, text));
        }
    }
    for spout in &facts.spouts {
        let denied = spout.topics().into_iter();
        let denied = denied.filter(|topic| topics.get(*topic).is_some_and(|one| !one.read));
        found.extend(denied.map(|topic| {
            let text = format!("{}: the user may not read topic {topic}", spout.id);
            (Status::Error, text)
        }));
    }
    let outputs = facts.outputs.iter();
    let denied = outputs.filter(|one| topics.get(&one.topic).is_some_and(|one| !one.write));
    found.extend(denied.map(|output| {
        let text = format!(
            "{}: the user may not write to topic {}",
            output.bolt, output.topic
        );
        (Status::Error, text)
    }));
    match told {
        true => or_fine(found, "the user may do what it has to"),
        false => Err(Missing::Absent(
            "the brokers do not say what their users may do".to_owned(),
        )),
    }
}

fn leaders(facts: &Facts) -> Verdict {
    let found = each_topic(facts, |topic| {
        let without = topic.partitions.iter().filter(|one| !one.has_leader);
        let without: Vec<String> = without.map(|one| one.number.to_string()).collect();
        (!without.is_empty()).then(|| {
            let text = format!(
                "{}: no leader of partition {}",
                topic.name,
                without.join(", ")
            );
            (Status::Error, text)
        })
    })?;
    or_fine(found, "every partition has one")
}

fn in_sync(facts: &Facts) -> Verdict {
    let settings = known(&facts.settings)?;
    let found = each_topic(facts, |topic| {
        let behind = topic
            .partitions
            .iter()
            .filter(|one| one.in_sync < one.replicas);
        let (behind, least) = (behind.clone().count(), behind.map(|one| one.in_sync).min()?);
        let needed = settings.get(&topic.name);
        let needed = number(needed.and_then(|settings| settings.get(MIN_IN_SYNC)));
        let name = &topic.name;
        Some(match needed {
            Some(needed) if (least as i64) < needed && is_written(facts, name) => (
                Status::Error,
                format!(
                    "{name}: {least} in-sync copies where writing takes {needed}, so nothing is written"
                ),
            ),
            _ => (
                Status::Warning,
                format!("{name}: copies of {behind} partitions lag behind"),
            ),
        })
    })?;
    or_fine(found, "all copies have everything")
}

fn min_in_sync(facts: &Facts) -> Verdict {
    let settings = known(&facts.settings)?;
    let mut any = false;
    let found = each_topic(facts, |topic| {
        let copies = topic.partitions.iter().map(|one| one.replicas).min()?;
        // Of one copy `kafka.replication` tells.
        if copies < 2 {
            return None;
        }
        any = true;
        let name = &topic.name;
        // Whoever writes what is read here has to answer for it.
        let status = match is_written(facts, name) {
            true => Status::Warning,
            false => Status::Info,
        };
        let needed = settings.get(name);
        match number(needed.and_then(|settings| settings.get(MIN_IN_SYNC))) {
            None => Some((
                Status::Unknown,
                format!("{name}: the brokers do not tell its {MIN_IN_SYNC}"),
            )),
            // Of two copies one may be away, or writing stops.
            Some(..=1) if copies == 2 => Some((
                Status::Info,
                format!("{name}: a record that is acknowledged may be in one copy of 2"),
            )),
            Some(..=1) => Some((
                status,
                format!("{name}: a record that is acknowledged may be in one copy of {copies}"),
            )),
            Some(needed) if needed >= copies as i64 => Some((
                status,
                format!(
                    "{name}: with one broker away nothing is written, as that takes {needed} copies of {copies}"
                ),
            )),
            Some(_) => None,
        }
    })?;
    match any {
        true => or_fine(found, "what is acknowledged is in several copies"),
        false => Err(Missing::Absent("no topic has several copies".to_owned())),
    }
}

/// The setting that says in how many copies an acknowledged record is.
const MIN_IN_SYNC: &str = "min.insync.replicas";

fn is_written(facts: &Facts, topic: &str) -> bool {
    facts.outputs.iter().any(|output| output.topic == topic)
}

fn replication(facts: &Facts) -> Verdict {
    let brokers = known(&facts.layout)?.brokers.len();
    let found = each_topic(facts, |topic| {
        let single = topic.partitions.iter().any(|one| one.replicas == 1);
        // One broker has room for one copy.
        let status = if brokers > 1 {
            Status::Warning
        } else {
            Status::Info
        };
        single.then(|| (status, format!("{}: one copy of each record", topic.name)))
    })?;
    or_fine(found, "no topic has a single copy")
}

fn partitions(facts: &Facts) -> Verdict {
    let _ = known(&facts.layout)?;
    let mut found = Vec::new();
    for spout in &facts.spouts {
        let (partitions, lanes) = (known(&spout.found)?.0.len(), facts.lanes);
        if partitions > 0 && partitions < lanes {
            let text = format!("{}: {partitions} partitions for {lanes} lanes", spout.id);
            found.push((Status::Info, text));
        }
    }
    or_fine(found, "there are enough for all lanes")
}

fn retention(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    for spout in &facts.spouts {
        for row in known(&spout.lag)? {
            let name = format!("{}/{}", row.partition.topic, row.partition.partition);
            if let Some(lost @ 1..) = row.lost {
                let text = format!(
                    "{name}: up to {lost} records were deleted before {} read them",
                    spout.group
                );
                found.push((Status::Error, text));
                continue;
            }
            let (Some(age @ 1..), Deletion::Seconds(left)) = (row.age_ms, row.deletion) else {
                continue;
            };
            let (age, left) = (age / 1_000, left as u64);
            let used = age * 100 / (age + left).max(1);
            let status = match used {
                ALARM_FROM.. => Status::Error,
                WARN_FROM.. => Status::Warning,
                _ => continue,
            };
            let left = Duration::secs(left);
            found.push((
                status,
                format!("{name}: the oldest unread record is deleted in {left}"),
            ));
        }
    }
    let fresh = facts.spouts.iter().filter(|spout| {
        let rows = spout.lag.as_ref().map(Vec::as_slice).unwrap_or_default();
        !rows.is_empty() && rows.iter().all(|row| row.committed.is_none())
    });
    found.extend(fresh.map(|spout| {
        let text = format!(
            "group {} has committed nothing yet: it begins at `start`",
            spout.group
        );
        (Status::Info, text)
    }));
    or_fine(found, "no unread record is near its end")
}

fn transactions(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    for spout in &facts.spouts {
        let blocked = known(&spout.lag)?
            .iter()
            .filter(|row| row.status == LagStatus::LsoBlocked);
        found.extend(blocked.map(|row| {
            let (topic, partition) = (&row.partition.topic, row.partition.partition);
            (
                Status::Warning,
                format!("{topic}/{partition}: {}", row.reason),
            )
        }));
    }
    or_fine(found, "none hides records")
}

fn group(facts: &Facts) -> Verdict {
    let mut found = Vec::new();
    let mut members = BTreeSet::new();
    for spout in &facts.spouts {
        let topics = spout.topics();
        for (partition, owner) in known(&spout.owners)? {
            let fresh = members.insert(owner.as_str());
            if !topics.contains(&*partition.topic) {
                let text = format!(
                    "{owner} reads {} in group {}, which {} does not",
                    partition.topic, spout.group, spout.id
                );
                found.push((Status::Error, text));
            } else if fresh && !owner.starts_with(&facts.client_id) {
                let text = format!(
                    "{owner} is in group {}: its client id is not {}",
                    spout.group, facts.client_id
                );
                found.push((Status::Warning, text));
            }
        }
    }
    found.dedup();
    or_fine(
        found,
        match members.len() {
            0 => "nobody reads".to_owned(),
            members => format!("{members} read, all of them Isobar by their client id"),
        },
    )
}

fn dead_letter_size(facts: &Facts) -> Verdict {
    let settings = known(&facts.settings)?;
    let size = |topic: &str| number(settings.get(topic)?.get("max.message.bytes"));
    let mut found = Vec::new();
    let mut compared = false;
    for output in facts.outputs.iter().filter(|one| one.is_dead_letter) {
        let Some(takes) = size(&output.topic) else {
            continue;
        };
        let topics = facts.spouts.iter().flat_map(Spout::topics);
        let largest = topics.filter_map(|topic| Some((size(topic)?, topic))).max();
        let Some((largest, topic)) = largest else {
            continue;
        };
        compared = true;
        if takes < largest {
            found.push((
                Status::Warning,
                format!(
                    "{} takes {takes} bytes, and {topic} has up to {largest}",
                    output.topic
                ),
            ));
        } else if takes < largest + LETTER_EXTRA {
            found.push((
                Status::Info,
                format!(
                    "{} takes {takes} bytes, so letters of the largest records of {topic} ({largest}) are cut",
                    output.topic
                ),
            ));
        }
    }
    match compared {
        true => or_fine(found, "letters of the largest records fit"),
        false => Err(Missing::Absent(
            "no dead letters go to a topic here".to_owned(),
        )),
    }
}

fn dead_letter_cleanup(facts: &Facts) -> Verdict {
    let settings = known(&facts.settings)?;
    let letters = facts.outputs.iter().filter(|one| one.is_dead_letter);
    let policies = letters.filter_map(|output| {
        let policy = settings.get(&output.topic)?.get("cleanup.policy")?;
        Some((&output.topic, policy))
    });
    let policies: Vec<_> = policies.collect();
    if policies.is_empty() {
        return Err(Missing::Absent(
            "no dead letters go to a topic here".to_owned(),
        ));
    }
    let compacted = policies
        .iter()
        .filter(|(_, policy)| policy.contains("compact"));
    let found: Vec<Said> = compacted
        .map(|(topic, policy)| {
            let text = format!(
                "{topic} has cleanup.policy={policy}: letters of one key replace each other"
            );
            (Status::Warning, text)
        })
        .collect();
    or_fine(found, "every letter is kept until its retention ends")
}

fn certificates(facts: &Facts) -> Verdict {
    match facts.certificates.is_empty() {
        true => Err(Missing::Absent(
            "the connection is not encrypted".to_owned(),
        )),
        false => Ok(facts.certificates.iter().map(|one| one.judge()).collect()),
    }
}

/// What `judge` finds wrong with each topic that is there.
fn each_topic(
    facts: &Facts,
    judge: impl FnMut(&LayoutTopic) -> Option<Said>,
) -> Result<Vec<Said>, Missing> {
    let topics = known(&facts.layout)?.topics.iter();
    // The layout has the topics that were found: it says nothing of others.
    for spout in &facts.spouts {
        let _ = known(&spout.found)?;
    }
    Ok(topics
        .filter(|topic| topic.error.is_none())
        .filter_map(judge)
        .collect())
}

pub(super) fn known<T>(answer: &Answer<T>) -> Result<&T, Missing> {
    answer.as_ref().map_err(|failed| match failed {
        Failed::Denied => Missing::Denied,
        Failed::Other(why) => Missing::Unknown(why.clone()),
    })
}

fn number(text: Option<&String>) -> Option<i64> {
    text?.parse().ok()
}
