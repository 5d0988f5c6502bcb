//! Whether a topology reads, and why not, in words.

use std::time::Duration;

use isobar_topology::Running;

/// A lane that gave no sign of life for so long counts as stuck. Batches are worked off in
/// milliseconds; a minute leaves room for a machine that is badly overloaded.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

/// Why a topology does not read, or not all that it should: one sentence each. Empty when all is well.
pub fn reasons(running: &Running) -> Vec<String> {
    let conditions = running.health().conditions();
    let mut reasons: Vec<String> = conditions
        .iter()
        .map(|condition| {
            format!(
                "{}: {}: {}",
                condition.component, condition.kind, condition.text
            )
        })
        .collect();
    for component in running.not_open() {
        // What is wrong with it was said already.
        let said = conditions
            .iter()
            .any(|condition| condition.component == *component.component);
        if !said {
            reasons.push(format!(
                "{}: opening: open on {} of {} lanes",
                component.component, component.open, component.of
            ));
        }
    }
    reasons.extend(stuck(running));
    reasons
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
