//! Which bolt keeps a spout from getting on, as far as the runtime can tell.

use isobar_operators::kafka::lag::Blocked;
use isobar_topology::{Condition, HELD, Running};

/// What keeps a spout from handing out more.
pub(crate) struct Pressure {
    /// The bolt, by its number, where it can be told.
    pub(crate) bolt: Option<usize>,
    /// Why, without the bolt's name.
    pub(crate) text: String,
    /// What it writes to takes nothing until somebody mends it.
    pub(crate) held: bool,
}

/// The bolt downstream of a spout that does not take enough, and why; `None` when nothing says so.
pub(super) fn blocked(running: &Running, spout: usize) -> Option<Blocked> {
    let Pressure { bolt, text, held } = on(running, spout)?;
    // Until then records of others get through.
    let held = held && running.takes_no_more(spout);
    let why = match bolt {
        Some(bolt) => format!("{}: {text}", running.graph().bolts[bolt].id),
        None => text,
    };
    Some(Blocked { why, held })
}

/// A bolt that says what it waits for comes first. Otherwise, while as much is in flight as may be, it
/// is the bolt for which most batches wait.
pub(crate) fn on(running: &Running, spout: usize) -> Option<Pressure> {
    let graph = running.graph();
    let bolts = graph.downstream(spout);
    let by_id = |condition: &Condition| {
        let mut ids = bolts.iter().copied();
        ids.find(|bolt| *graph.bolts[*bolt].id == *condition.component)
    };
    if let Some((bolt, condition)) = first(running.conditions(), by_id) {
        return Some(Pressure {
            bolt: Some(bolt),
            text: format!("{}: {}", condition.kind, condition.text),
            held: condition.kind == HELD,
        });
    }
    let node = &graph.spouts[spout];
    let (records, bytes) = running.in_flight(spout);
    if records < node.max_in_flight_records && bytes < node.max_in_flight_bytes {
        return None;
    }
    let waiting = bolts
        .iter()
        .filter_map(|bolt| Some((running.waiting(*bolt)?, *bolt)));
    Some(match waiting.max().filter(|(batches, _)| *batches > 0) {
        Some((batches, bolt)) => Pressure {
            bolt: Some(bolt),
            text: format!("{batches} batches wait for it and no more may be in flight"),
            held: false,
        },
        None => Pressure {
            bolt: None,
            text: format!(
                "the bolts of {} take no more: {records} records are in flight",
                node.id
            ),
            held: false,
        },
    })
}

/// What begins within so many milliseconds of each other begins at one time.
const AT_ONE_TIME_MS: i64 = 1_000;

/// Of what bolts wait for, what is said first, with the bolt: what somebody has to mend, as all else ends by
/// itself; then what has lasted longest; and of what began at one time, what records come to first.
fn first(
    conditions: Vec<Condition>,
    bolt: impl Fn(&Condition) -> Option<usize>,
) -> Option<(usize, Condition)> {
    let holding_up = conditions.into_iter().filter(|one| one.holds_up);
    let of_bolts = holding_up.filter_map(|one| Some((bolt(&one)?, one)));
    let mut all: Vec<_> = of_bolts.collect();
    let is_any_held = all.iter().any(|(_, one)| one.kind == HELD);
    all.retain(|(_, one)| !is_any_held || one.kind == HELD);
    let oldest = all.iter().map(|(_, one)| one.since).min()?;
    all.retain(|(_, one)| one.since - oldest < AT_ONE_TIME_MS);
    all.into_iter().min_by_key(|(bolt, _)| *bolt)
}

#[cfg(test)]
mod tests {
    use isobar_topology::Health;

    use super::*;

    #[test]
    fn what_is_held_is_said_before_what_ends_by_itself_and_nothing_of_what_holds_nothing_up() {
        let health = Health::default();
        let said = || {
            let bolt = |condition: &Condition| (condition.component != "elsewhere").then_some(3);
            first(health.conditions(), bolt).map(|(_, condition)| condition.text)
        };
        health.note("index", "connecting", "one host of several");
        health.set("elsewhere", HELD, "of another spout");
        assert_eq!(said(), None);
        health.set("index", "connecting", "no host");
        assert_eq!(said().as_deref(), Some("no host"));
        health.set("index", HELD, "a write block");
        assert_eq!(said().as_deref(), Some("a write block"));
    }

    #[test]
    fn what_has_lasted_longest_is_said_and_of_one_time_what_records_come_to_first() {
        // Edges lead from smaller to larger numbers.
        let ids = ["parse", "index", "dead_letter"];
        let said = |since: [i64; 3]| {
            let conditions = ids.into_iter().zip(since).map(|(id, since)| Condition {
                component: id.to_owned(),
                kind: "restarting",
                text: String::new(),
                since,
                holds_up: true,
                of_records: false,
            });
            let bolt = |one: &Condition| ids.iter().position(|id| one.component == *id);
            first(conditions.rev().collect(), bolt).map(|(bolt, _)| ids[bolt])
        };
        assert_eq!(said([5_000, 1_000, 5_000]), Some("index"));
        assert_eq!(said([1_002, 1_001, 1_000]), Some("parse"));
    }
}
