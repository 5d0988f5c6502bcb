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

/// Of what bolts wait for, what is said first, with the bolt: what somebody has to mend, as all else ends by
/// itself.
fn first(
    conditions: Vec<Condition>,
    bolt: impl Fn(&Condition) -> Option<usize>,
) -> Option<(usize, Condition)> {
    let holding_up = conditions.into_iter().filter(|one| one.holds_up);
    let of_bolts = holding_up.filter_map(|one| Some((bolt(&one)?, one)));
    of_bolts.min_by_key(|(_, one)| one.kind != HELD)
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
}
