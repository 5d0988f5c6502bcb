//! Keeps a replay that writes documents anew behind the live topology: two versions of a document on their way
//! at the same time could arrive in either order.

use std::collections::BTreeMap;

use isobar_operators::kafka::admin::{Committed, TopicPartition};
use isobar_operators::kafka::error::Error;
use isobar_operators::offsets::{Group, Position, is_of_former_topic};
use isobar_operators::range::{Place, Range};

use super::document::PlanFile;
use super::held::{Brokers, known_ids, ranges};
use super::purge::PURGE;
use crate::command::source::asking;
use crate::exit::Failure;
use crate::output::number;

/// The target that writes every document anew.
pub(super) const OVERWRITE: &str = "overwrite";

/// Ends a range at what the live topology has settled. Returns whether it is another one now.
///
/// Where it was to end at `now`, nothing that was asked for is missing: what is behind is on its way, and is written
/// by the file that is live. Not so where the group has never committed anything: then nobody may write it.
pub(super) fn stay_behind(range: &mut Range, position: &Position, to: Place) -> bool {
    let settled = settled(position.committed.as_ref(), position.topic_id.as_deref());
    let end = settled.unwrap_or(0);
    if range.to <= end || range.is_empty() {
        return false;
    }
    let end = end.max(range.from);
    let from = number(end);
    if to == Place::Now && settled.is_some() {
        range.notes.push(format!(
            "offsets from {from} on are left to the live topology, which has not settled them yet and writes them \
             by the file that it runs with"
        ));
    } else {
        range.narrowed.push(format!(
            "offsets from {from} on are not settled by the live topology yet, so they are not overwritten"
        ));
    }
    range.to = end;
    true
}

/// The live group of a plan that writes documents anew.
pub(in crate::command) struct Frontier {
    group: Group,
    /// Where the range of each partition of the plan ends.
    ends: BTreeMap<TopicPartition, i64>,
    topic_ids: BTreeMap<String, String>,
}

/// A partition of which the live topology writes documents itself that a plan writes anew: its group was moved back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) partition: TopicPartition,
    /// What is before this offset is settled there.
    pub(super) settled: i64,
    /// The end of the plan's range.
    pub(super) to: i64,
}

impl Frontier {
    /// `None` of a plan that writes nothing anew.
    pub(super) fn of(plan: &PlanFile, brokers: &Brokers) -> Result<Option<Self>, Failure> {
        if plan.target != PURGE && plan.target != OVERWRITE {
            return Ok(None);
        }
        let ends = ranges(plan).into_iter();
        Ok(Some(Self {
            group: Group::of(&brokers.source, brokers.within).map_err(asking)?,
            ends: ends.map(|(partition, (_, to))| (partition, to)).collect(),
            topic_ids: known_ids(plan),
        }))
    }

    /// The first partition that the live topology is not past. Waits for the brokers.
    pub(super) fn passed(&self) -> Result<Option<Passed>, Error> {
        let partitions: Vec<TopicPartition> = self.ends.keys().cloned().collect();
        let commits = self.group.commits(&partitions)?;
        let mut passed = self.ends.iter().filter_map(|(partition, to)| {
            let topic_id = self.topic_ids.get(&*partition.topic);
            let commit = commits.get(partition);
            let settled = settled(commit, topic_id.map(String::as_str)).unwrap_or(0);
            (settled < *to).then(|| Passed {
                partition: partition.clone(),
                settled,
                to: *to,
            })
        });
        Ok(passed.next())
    }
}

/// Why a plan that writes documents anew may not run any more, if so: the live group was moved back, and writes
/// some of them itself.
pub(super) fn is_passed(plan: &PlanFile, brokers: &Brokers) -> Result<Option<String>, Failure> {
    let Some(frontier) = Frontier::of(plan, brokers)? else {
        return Ok(None);
    };
    let passed = frontier.passed().map_err(asking)?;
    Ok(passed.map(|passed| {
        format!(
            "{}/{}: the live topology has settled what is before {}, and the plan writes documents up to {} anew: \
             both would write them at the same time; run it when the live topology is there, or make a new plan",
            passed.partition.topic,
            passed.partition.partition,
            passed.settled,
            passed.to - 1
        )
    }))
}

/// Up to where the live topology has settled a partition; `None` where it has never said so. A commit for a topic
/// of that name that was deleted says nothing of this one.
fn settled(commit: Option<&Committed>, topic_id: Option<&str>) -> Option<i64> {
    let commit = commit.filter(|commit| !is_of_former_topic(commit, topic_id));
    commit.map(|commit| commit.offset)
}

#[cfg(test)]
mod tests {
    use isobar_operators::range::Log;

    use super::*;

    fn check(committed: Option<(i64, &str)>, (from, to): (i64, i64), expected: i64) {
        let partition = TopicPartition::new("logs", 0);
        let mut position = Position {
            partition: partition.clone(),
            topic_id: Some("this".to_owned()),
            log: Log {
                start: 0,
                end: 100,
                high: 100,
            },
            committed: None,
        };
        position.committed = committed.map(|(offset, topic_id)| {
            let of = Position {
                topic_id: Some(topic_id.to_owned()),
                ..position.clone()
            };
            Committed {
                partition: partition.clone(),
                offset,
                metadata: Some(of.text()),
            }
        });
        for place in [Place::Offset(to), Place::Now] {
            let mut range = Range {
                partition: partition.clone(),
                from,
                to,
                narrowed: Vec::new(),
                notes: Vec::new(),
            };
            let is_cut = stay_behind(&mut range, &position, place);
            assert_eq!((range.to, is_cut), (expected, expected < to));
            // Nothing that a running topology reads is missing up to now.
            let is_live = committed.is_some_and(|(_, topic_id)| topic_id == "this");
            let is_note = is_live && place == Place::Now;
            let said = (range.narrowed.len(), range.notes.len());
            let expected = (
                usize::from(is_cut && !is_note),
                usize::from(is_cut && is_note),
            );
            assert_eq!(said, expected, "{place} {range:?}");
        }
    }

    #[test]
    fn a_range_ends_where_the_live_topology_is() {
        check(Some((50, "this")), (10, 50), 50);
        check(Some((50, "this")), (10, 60), 50);
        check(Some((5, "this")), (10, 60), 10);
        check(None, (10, 60), 10);
        check(None, (60, 60), 60);
        // That was another topic.
        check(Some((50, "former")), (10, 60), 10);
    }
}
