//! Which bolt keeps a spout from getting on, as far as the runtime can tell.

use std::collections::BTreeSet;

use isobar_topology::{Output, Running, Target};

/// The bolt downstream of a spout that does not take enough, and why, in a sentence; `None` when nothing
/// says so.
///
/// A bolt that says what it waits for comes first. Otherwise, while as much is in flight as may be, it
/// is the bolt for which most batches wait.
pub(super) fn blocked(running: &Running, spout: usize) -> Option<String> {
    let bolts = downstream(running, spout);
    let graph = running.graph();
    let conditions = running.health().conditions();
    let of_bolts = conditions.iter().find(|condition| {
        let mut ids = bolts.iter().map(|bolt| &graph.bolts[*bolt].id);
        ids.any(|id| **id == *condition.component)
    });
    if let Some(condition) = of_bolts {
        let (bolt, kind, text) = (&condition.component, condition.kind, &condition.text);
        return Some(format!("{bolt}: {kind}: {text}"));
    }
    let node = &graph.spouts[spout];
    let (records, bytes) = running.in_flight(spout);
    if records < node.max_in_flight_records && bytes < node.max_in_flight_bytes {
        return None;
    }
    let waiting = bolts
        .iter()
        .filter_map(|bolt| Some((running.waiting(*bolt)?, bolt)));
    match waiting.max().filter(|(batches, _)| *batches > 0) {
        Some((batches, bolt)) => Some(format!(
            "{}: {batches} batches wait for it and no more may be in flight",
            graph.bolts[*bolt].id
        )),
        None => Some(format!(
            "the bolts of {} take no more: {records} records are in flight",
            node.id
        )),
    }
}

/// The bolts that records of a spout reach.
fn downstream(running: &Running, spout: usize) -> BTreeSet<usize> {
    let graph = running.graph();
    let mut found = BTreeSet::new();
    let mut open: Vec<&Target> = graph.spouts[spout].out.iter().collect();
    while let Some(target) = open.pop() {
        if found.insert(target.bolt) {
            let outputs = graph.bolts[target.bolt].outputs.iter();
            open.extend(outputs.flat_map(|output| match output {
                Output::To(targets) => targets.as_slice(),
                Output::Drop(_) => &[],
            }));
        }
    }
    found
}
