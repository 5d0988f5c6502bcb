//! Passes what the client counts on to the counters of the topology, under the names that metrics
//! give it.

use std::sync::{Mutex, PoisonError};

use isobar_topology::{Counter, Counters};

use crate::kafka::Counts;

/// Name, help, and where the client counts it.
type Column = (&'static str, &'static str, fn(&Counts) -> u64);

const COLUMNS: [Column; 10] = [
    (
        "commits",
        "Commits that the group's coordinator confirmed, one for each partition.",
        |counts| counts.commits,
    ),
    (
        "failed_commits",
        "Commits that failed; the next one carries the same or a later offset.",
        |counts| counts.failed_commits,
    ),
    (
        "rebalances",
        "Rebalances of the group that touched this member.",
        |counts| counts.rebalances,
    ),
    (
        "late_revokes",
        "Times that a lane did not answer a revoke within the drain time-out.",
        |counts| counts.late_revokes,
    ),
    (
        "read_errors",
        "Errors that stood in place of a record; reading went on at the same offset.",
        |counts| counts.errors,
    ),
    (
        "duplicates",
        "Records let go because they had been read before, after a partition was moved back.",
        |counts| counts.duplicates,
    ),
    (
        "strays",
        "Records let go because their partition was not assigned: anything but 0 is a bug.",
        |counts| counts.strays,
    ),
    (
        "seeks",
        "Times that a partition was moved back after an error.",
        |counts| counts.seeks,
    ),
    (
        "partition_restarts",
        "Times that reading a partition was begun anew, after deleted records or because nothing came of it.",
        |counts| counts.restarts,
    ),
    (
        "clients",
        "Clients made, more than 1 after fatal errors, and where the group was joined again.",
        |counts| counts.clients,
    ),
];

/// The counters, and how much of the client's counts is in them.
pub(super) struct Tally {
    counters: [Counter; COLUMNS.len()],
    taken: Mutex<Counts>,
}

impl Tally {
    pub(super) fn new(counters: &Counters) -> Self {
        Self {
            counters: COLUMNS.map(|(name, help, _)| counters.counter(name, help)),
            taken: Mutex::default(),
        }
    }

    /// Adds what was counted since the last call.
    pub(super) fn take(&self, now: &Counts) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for (counter, (_, _, value)) in self.counters.iter().zip(COLUMNS) {
            counter.add(value(now) - value(&taken));
        }
        *taken = *now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_not_taken_again() {
        let counters = Counters::default();
        let tally = Tally::new(&counters);
        let mut counts = Counts {
            commits: 3,
            ..Counts::default()
        };
        tally.take(&counts);
        counts.commits = 5;
        counts.rebalances = 1;
        tally.take(&counts);
        tally.take(&counts);
        let values: Vec<(&str, u64)> = counters.values().iter().map(|v| (v.0, v.2)).collect();
        assert_eq!(
            values[..3],
            [("commits", 5), ("failed_commits", 0), ("rebalances", 1)]
        );
    }
}
