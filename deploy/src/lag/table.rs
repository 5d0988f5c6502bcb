//! Lag as a table for people: a row for each partition, sums, and what is wrong in words.

use isobar_operators::lag::{Deletion, Eta, Exactness, Status};

use super::figures::{PartitionLag, SpoutLag};
use crate::output::{Table, known, time};

/// How much of each partition a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// How it gets on.
    Usual,
    /// Which broker leads it and how many records it holds, too.
    Wide,
}

const COLUMNS: [&str; 17] = [
    "SPOUT",
    "TOPIC",
    "PARTITION>",
    LEADER,
    "OWNER",
    "EARLIEST>",
    "COMMITTED>",
    "CURRENT>",
    "END>",
    DEPTH,
    "LAG>",
    "OLDEST>",
    "IN/S>",
    "OUT/S>",
    "ETA>",
    "HEADROOM>",
    "STATUS",
];
const LEADER: &str = "LEADER";
const DEPTH: &str = "DEPTH>";

impl Width {
    fn shows(self, column: &str) -> bool {
        self == Self::Wide || ![LEADER, DEPTH].contains(&column)
    }
}

/// A row for each partition, one with the sums of each spout of several, and a line or two for each spout
/// with which something is wrong.
pub fn table(spouts: &[SpoutLag]) -> String {
    let wrong = spouts.iter().filter(|spout| spout.status != Status::Ok);
    let lines = wrong.flat_map(|spout| {
        let failure = spout.failure.as_ref();
        let failure = failure.filter(|failure| **failure != spout.reason);
        let all = [Some(&spout.reason), failure].into_iter().flatten();
        all.map(|why| format!("{}: {why}\n", spout.spout))
    });
    rows(spouts, Width::Usual) + &below(lines)
}

/// The same for who says elsewhere what could not be asked.
pub fn table_without_failures(spouts: &[SpoutLag], width: Width) -> String {
    rows(spouts, width) + &below(reasons(spouts))
}

/// A line for each spout with which something is wrong, unless it is what could not be asked.
pub(crate) fn reasons(spouts: &[SpoutLag]) -> impl Iterator<Item = String> {
    let wrong = spouts.iter().filter(|spout| {
        spout.status != Status::Ok && spout.failure.as_ref() != Some(&spout.reason)
    });
    wrong.map(|spout| format!("{}: {}\n", spout.spout, spout.reason))
}

fn rows(spouts: &[SpoutLag], width: Width) -> String {
    let mut table = Table::new(COLUMNS.into_iter().filter(|column| width.shows(column)));
    let shown = |cells: [String; COLUMNS.len()]| {
        let cells = COLUMNS.into_iter().zip(cells);
        let shown = cells.filter(|(column, _)| width.shows(column));
        shown.map(|(_, cell)| cell).collect::<Vec<_>>()
    };
    for spout in spouts {
        for partition in &spout.partitions {
            table.row(shown(row(spout, partition)));
        }
        if spout.partitions.len() != 1 {
            table.row(shown(sums(spout)));
        }
    }
    table.text()
}

/// Lines below a table.
fn below(lines: impl Iterator<Item = String>) -> String {
    match lines.collect::<String>() {
        none if none.is_empty() => none,
        some => format!("\n{some}"),
    }
}

fn row(spout: &SpoutLag, partition: &PartitionLag) -> [String; COLUMNS.len()] {
    let nobody = match spout.unowned_partitions {
        Some(_) => "-",
        None => "?",
    };
    [
        spout.spout.clone(),
        partition.topic.clone(),
        partition.partition.to_string(),
        partition.leader.clone().unwrap_or_else(|| "?".to_owned()),
        partition.owner.clone().unwrap_or_else(|| nobody.to_owned()),
        known(partition.start),
        known(partition.committed),
        known(partition.frontier.or(partition.committed)),
        known(partition.end),
        known(partition.depth),
        records(partition.lag, partition.lag_exactness),
        age(partition.oldest_age_seconds, partition.oldest_age_exactness),
        rate(partition.incoming_per_second),
        rate(partition.outgoing_per_second),
        eta(partition.eta_seconds, partition.eta_exactness),
        Headroom::of(partition).text(),
        partition.status.to_string(),
    ]
}

fn sums(spout: &SpoutLag) -> [String; COLUMNS.len()] {
    let none = String::new;
    let partitions = spout.partitions.iter();
    // Where nothing is known of any, the sum of none would be 0.
    let is_unknown = spout.partitions.is_empty() && spout.lag.is_none();
    let depth = partitions.map(|one| one.depth).sum::<Option<u64>>();
    [
        spout.spout.clone(),
        "all".to_owned(),
        none(),
        none(),
        none(),
        none(),
        none(),
        none(),
        none(),
        known(depth.filter(|_| !is_unknown)),
        records(spout.lag, spout.lag_exactness),
        age(spout.oldest_age_seconds, spout.oldest_age_exactness),
        rate(spout.incoming_per_second),
        rate(spout.outgoing_per_second),
        eta(spout.eta_seconds, spout.eta_exactness),
        Headroom::of_spout(spout).text(),
        spout.status.to_string(),
    ]
}

/// An age, or another length of time; `~` before an estimate, `≤` before an upper bound.
pub(crate) fn age(seconds: Option<f64>, exactness: Exactness) -> String {
    let Some(seconds) = seconds else {
        return "?".to_owned();
    };
    let about = match exactness {
        Exactness::Sampled if seconds > 0.0 => "~",
        Exactness::UpperBound if seconds > 0.0 => "≤",
        _ => "",
    };
    format!("{about}{}", time((seconds * 1000.0) as u64))
}

/// A number of records, `≤` before an upper bound.
pub(crate) fn records(records: Option<u64>, exactness: Exactness) -> String {
    let at_most = match (records, exactness) {
        (Some(1..), Exactness::UpperBound) => "≤",
        _ => "",
    };
    format!("{at_most}{}", known(records))
}

pub(crate) fn rate(per_second: Option<f64>) -> String {
    known(per_second.map(|rate| rate.round() as u64))
}

/// When it has caught up, `~` before an estimate; nothing while nothing is behind.
pub(crate) fn eta(eta: Eta, exactness: Exactness) -> String {
    match eta {
        Eta::Steady => "steady".to_owned(),
        Eta::Seconds(0.0) => "-".to_owned(),
        Eta::Unknown => "?".to_owned(),
        Eta::Never => "never".to_owned(),
        Eta::Seconds(seconds) => age(Some(seconds), exactness),
    }
}

/// How far something is from being lost.
pub(crate) struct Headroom {
    lag: Option<u64>,
    records: Option<u64>,
    time: Deletion,
    exactness: Exactness,
}

impl Headroom {
    pub(crate) fn of(partition: &PartitionLag) -> Self {
        Self {
            lag: partition.lag,
            records: partition.headroom_records,
            time: partition.headroom_seconds,
            exactness: partition.headroom_exactness,
        }
    }

    /// That of the partition which is nearest to it.
    pub(crate) fn of_spout(spout: &SpoutLag) -> Self {
        Self {
            lag: spout.lag,
            records: spout.headroom_records,
            time: spout.headroom_seconds,
            exactness: spout.headroom_exactness,
        }
    }

    /// The time where it is known, else, also where it may be less, records; nothing while nothing is behind.
    pub(crate) fn text(&self) -> String {
        match (self.lag, self.time) {
            (Some(0), _) => "-".to_owned(),
            (_, Deletion::Never) => "never".to_owned(),
            (_, Deletion::Seconds(seconds)) if self.exactness != Exactness::UpperBound => {
                age(Some(seconds), self.exactness)
            }
            _ => known(self.records),
        }
    }
}
