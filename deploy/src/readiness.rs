//! Whether a topology reads, and why not, in words.

use std::collections::BTreeSet;
use std::time::Duration;

use isobar_topology::Running;

/// A lane that gave no sign of life for so long counts as stuck. Batches are worked off in
/// milliseconds; a minute leaves room for a machine that is badly overloaded.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Why a topology does not read, or not all that it should: one sentence each. Empty when all is well.
pub fn reasons(running: &Running) -> Vec<String> {
    let wrong = wrong(running).into_iter();
    let mut reasons: Vec<String> = wrong
        .map(|(component, why)| format!("{component}: {why}"))
        .collect();
    reasons.extend(stuck(running));
    reasons
}

/// What is wrong with a spout or bolt, first things first; `None` when it works as it should.
pub fn reason(running: &Running, component: &str) -> Option<String> {
    let mut wrong = wrong(running).into_iter();
    let found = wrong.find(|(wrong, _)| wrong == component);
    found.map(|(_, why)| why)
}

/// Spouts and bolts that do not work as they should, and why.
fn wrong(running: &Running) -> Vec<(String, String)> {
    let conditions = running.health().conditions();
    // What is wrong with a component is why it is not open.
    let said: BTreeSet<String> = conditions.iter().map(|c| c.component.clone()).collect();
    let not_open = running.not_open().into_iter();
    let not_open = not_open
        .filter(|component| !said.contains(&*component.component))
        .map(|component| {
            let (open, of) = (component.open, component.of);
            let why = format!("opening: not connected yet ({open} of {of} lanes)");
            (component.component.to_string(), why)
        });
    let conditions = conditions.into_iter();
    conditions
        .map(|condition| {
            let why = format!("{}: {}", condition.kind, condition.text);
            (condition.component, why)
        })
        .chain(not_open)
        .collect()
}

/// Lanes that have ended or that an operator blocks, in words.
pub fn stuck(running: &Running) -> Vec<String> {
    let lanes = running.lanes().into_iter().enumerate();
    lanes
        .filter_map(|(number, lane)| match lane.quiet {
            _ if lane.ended => Some(format!("lane {number} has ended")),
            Some(quiet) if quiet > STUCK_AFTER => Some(format!(
                "lane {number} gave no sign of life for {} s: an operator blocks its thread",
                quiet.as_secs()
            )),
            _ => None,
        })
        .collect()
}
