//! Keeps a replay that writes documents anew behind the live topology: two versions of a document on their way
//! at the same time could arrive in either order.

use std::collections::BTreeMap;

use isobar_operators::offsets::{Group, Position};
use isobar_operators::range::{Range, Selection};

use super::document::PlanFile;
use super::held::{Brokers, ranges};
use super::purge::PURGE;
use crate::command::source::asking;
use crate::exit::Failure;
use crate::output::number;

/// Narrows a range to what the live topology has settled. Returns whether it is another one now.
pub(super) fn stay_behind(range: &mut Range, position: &Position) -> bool {
    let settled = settled(position);
    if range.to <= settled || range.is_empty() {
        return false;
    }
    range.narrowed.push(format!(
        "offsets from {} on are not settled by the live topology yet, so they are not overwritten",
        number(settled.max(range.from))
    ));
    range.to = settled.max(range.from);
    true
}

/// Why a plan that writes documents anew may not run any more, if so: the live group was moved back, and writes
/// some of them itself.
pub(super) fn is_passed(plan: &PlanFile, brokers: &Brokers) -> Result<Option<String>, Failure> {
    if plan.target != PURGE && plan.target != "overwrite" {
        return Ok(None);
    }
    let group = Group::of(&brokers.source, brokers.within).map_err(asking)?;
    let positions = group.positions(&Selection::default()).map_err(asking)?;
    let settled: BTreeMap<_, i64> = positions
        .iter()
        .map(|position| (position.partition.clone(), settled(position)))
        .collect();
    let mut passed = ranges(plan).into_iter().filter_map(|(partition, (_, to))| {
        let settled = settled.get(&partition).copied().unwrap_or(0);
        (settled < to).then(|| {
            format!(
                "{}/{}: the live topology has settled what is before {settled}, and the plan writes documents \
                 up to {} anew: both would write them at the same time; run it when the live topology is \
                 there, or make a new plan",
                partition.topic,
                partition.partition,
                to - 1
            )
        })
    });
    Ok(passed.next())
}

/// Up to where the live topology has settled a partition. A commit for a topic of that name that was deleted
/// says nothing of this one.
fn settled(position: &Position) -> i64 {
    let committed = position.committed.as_ref();
    let committed = committed.filter(|_| !position.is_of_former_topic());
    committed.map_or(0, |commit| commit.offset)
}

#[cfg(test)]
mod tests {
    use isobar_operators::kafka::admin::{Committed, TopicPartition};
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
        let mut range = Range {
            partition,
            from,
            to,
            narrowed: Vec::new(),
            notes: Vec::new(),
        };
        let is_cut = stay_behind(&mut range, &position);
        assert_eq!((range.to, is_cut), (expected, expected < to));
        assert_eq!(range.narrowed.len(), usize::from(is_cut));
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
