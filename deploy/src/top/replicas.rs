//! Several replicas, one a row: who answers, and what each has to do.

use isobar_operators::lag::Status;

use crate::lag::table::rate;
use crate::output::{Table, bytes, known, number, time};
use crate::peers::Replica;
use crate::statistics::Statistics;

/// A row for each replica, and a line for each that does not answer.
pub(super) fn table(replicas: &[Replica]) -> String {
    let mut table = Table::new([
        "REPLICA",
        "ANSWERED",
        "STATUS",
        "PARTITIONS>",
        "LAG>",
        "READ/S>",
        "IN FLIGHT>",
        "MEMORY>",
    ]);
    for replica in replicas {
        let of = |figure: fn(&Statistics) -> String| {
            let statistics = replica.statistics.as_ref();
            statistics.map_or_else(|| "?".to_owned(), figure)
        };
        table.row([
            replica.address.clone(),
            answered(replica),
            of(|own| {
                let worst = own.lag.iter().map(|spout| spout.status).max();
                worst.unwrap_or(Status::Ok).to_string()
            }),
            of(|own| {
                number(
                    own.lag
                        .iter()
                        .map(|one| one.partitions.len())
                        .sum::<usize>(),
                )
            }),
            of(|own| known(own.lag.iter().map(|spout| spout.lag).sum::<Option<u64>>())),
            of(|own| rate(own.spouts.iter().map(|one| one.records_per_second).sum())),
            of(|own| {
                number(
                    own.spouts
                        .iter()
                        .map(|one| one.in_flight_records)
                        .sum::<usize>(),
                )
            }),
            of(|own| {
                let resident = own.process.resident_bytes;
                let resident = resident.and_then(|bytes| usize::try_from(bytes).ok());
                resident.map_or_else(|| "?".to_owned(), bytes)
            }),
        ]);
    }
    let failures = replicas.iter().filter_map(|one| one.failure.as_ref());
    table.text() + &failures.map(|why| format!("{why}\n")).collect::<String>()
}

/// When it last answered: what it said is that old.
fn answered(replica: &Replica) -> String {
    match (replica.age_seconds, &replica.failure) {
        (Some(age), None) if age < 0.5 => "now".to_owned(),
        (Some(age), _) => format!("{} ago", time((age * 1000.0) as u64)),
        (None, Some(_)) => "never".to_owned(),
        (None, None) => "not asked yet".to_owned(),
    }
}
