//! Whether a topology reads, and why not, in words.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use isobar_topology::Running;

use crate::diagnostics::rfc3339;

/// A lane that gave no sign of life for so long counts as stuck. Batches are worked off in
/// milliseconds; a minute leaves room for a machine that is badly overloaded.
pub const STUCK_AFTER: Duration = Duration::from_secs(60);

/// What is wrong with a topology, one sentence each: why it does not read, or not all that it should, and
/// what keeps no record waiting. Empty when all is well.
pub fn reasons(running: &Running) -> Vec<Reason> {
    let wrong = wrong(running).into_iter();
    let stuck = stuck(running).into_iter().map(Reason::from);
    let wrong = wrong.map(|wrong| Reason {
        text: format!("{}: {}", wrong.component, wrong.why),
        since: wrong.since,
        holds_up: wrong.holds_up,
    });
    wrong.chain(stuck).collect()
}

/// Something that is wrong.
pub struct Reason {
    /// One sentence.
    pub text: String,
    /// Since when, in ms since 1970, where that is known.
    pub since: Option<i64>,
    /// Whether records may wait for it: then the topology is not ready.
    pub holds_up: bool,
}

/// A reason why it does not read.
impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self {
            text,
            since: None,
            holds_up: true,
        }
    }
}

/// With the time, where it is known: `logs: connection: no broker answers (since 2026-01-01T00:00:00Z)`.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.since {
            Some(since) => write!(f, " (since {})", rfc3339(since)),
            None => Ok(()),
        }
    }
}

/// What is wrong with a spout or bolt, first things first; `None` when it works as it should.
pub fn reason(running: &Running, component: &str) -> Option<String> {
    let mut wrong = wrong(running).into_iter();
    let found = wrong.find(|wrong| wrong.component == component);
    found.map(|wrong| wrong.why)
}

struct Wrong {
    component: String,
    why: String,
    since: Option<i64>,
    holds_up: bool,
}

/// Spouts and bolts that do not work as they should, and why.
fn wrong(running: &Running) -> Vec<Wrong> {
    let conditions = running.conditions();
    // What a component waits for is why it is not open.
    let said = conditions.iter().filter(|condition| condition.holds_up);
    let said: BTreeSet<String> = said.map(|one| one.component.clone()).collect();
    let not_open = running.not_open().into_iter();
    let not_open = not_open
        .filter(|component| !said.contains(&*component.component))
        .map(|component| Wrong {
            why: format!(
                "opening: not connected yet ({} of {} lanes)",
                component.open, component.of
            ),
            component: component.component.to_string(),
            since: None,
            holds_up: true,
        });
    let conditions = conditions.into_iter().map(|condition| Wrong {
        why: format!("{}: {}", condition.kind, condition.text),
        component: condition.component,
        since: Some(condition.since),
        holds_up: condition.holds_up,
    });
    conditions.chain(not_open).collect()
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
