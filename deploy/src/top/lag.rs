//! Lag by partition: those that are furthest behind, with what is behind of it, and why it is as it is.

use std::collections::BTreeMap;

use isobar_operators::lag::Status;

use crate::lag::table::{Headroom, age, eta, rate, records};
use crate::lag::{PartitionLag, SpoutLag};
use crate::output::{Table, known, number};

/// Partitions that are shown of each spout: those that are furthest behind.
const PARTITIONS_MAX: usize = 16;
/// Reasons that are told of each spout, and partitions that are named with each.
const REASONS_MAX: usize = 3;

/// A row for each partition, and of each spout, what the records are that are not committed.
pub(super) fn table(spouts: &[SpoutLag], are_several: bool) -> String {
    let mut columns = vec![
        "PARTITION",
        "LAG>",
        "OLDEST>",
        "IN/S>",
        "OUT/S>",
        "ETA>",
        "HEADROOM>",
        "STATUS",
    ];
    columns.extend(are_several.then_some("OWNER"));
    let mut table = Table::new(columns);
    let mut hidden = 0;
    for spout in spouts {
        let mut partitions: Vec<&PartitionLag> = spout.partitions.iter().collect();
        partitions.sort_by_key(|one| std::cmp::Reverse((one.status, one.lag)));
        hidden += partitions.len().saturating_sub(PARTITIONS_MAX);
        for one in partitions.into_iter().take(PARTITIONS_MAX) {
            let owner = one.owner.clone().unwrap_or_else(|| "-".to_owned());
            table.row(
                partition(one)
                    .into_iter()
                    .chain(are_several.then_some(owner)),
            );
        }
        if spout.partitions.len() != 1 {
            table.row(sums(spout));
        }
    }
    if table.is_empty() {
        return String::new();
    }
    let mut text = table.text();
    if hidden > 0 {
        text.push_str(&format!(
            "and {} partitions that are less far behind\n",
            number(hidden)
        ));
    }
    text.extend(spouts.iter().map(parts));
    text
}

/// What the records are that are not committed, which is what other tools call lag: who is slow.
fn parts(spout: &SpoutLag) -> String {
    let sum = |figure: fn(&PartitionLag) -> Option<u64>| {
        let partitions = spout.partitions.iter().map(figure);
        // Where nothing is known of any, the sum of none would be 0.
        known(
            partitions
                .sum::<Option<u64>>()
                .filter(|_| spout.committed_lag.is_some()),
        )
    };
    format!(
        "{}: committed lag {} = read lag {} + open {} + commit debt {}\n",
        spout.spout,
        known(spout.committed_lag),
        sum(|one| one.read_lag),
        sum(|one| one.open),
        sum(|one| one.commit_debt),
    )
}

/// Why spouts are not OK: a line for each reason, the worst first, with the partitions that have it. Not what
/// could not be asked: that is said elsewhere.
pub(super) fn reasons(spouts: &[SpoutLag]) -> Vec<String> {
    spouts.iter().flat_map(of_spout).collect()
}

fn of_spout(spout: &SpoutLag) -> Vec<String> {
    let of = &spout.spout;
    if spout.status == Status::Ok || spout.failure.as_ref() == Some(&spout.reason) {
        return Vec::new();
    }
    let mut by: BTreeMap<(std::cmp::Reverse<Status>, &str), Vec<&PartitionLag>> = BTreeMap::new();
    for one in spout
        .partitions
        .iter()
        .filter(|one| one.status != Status::Ok)
    {
        let key = (std::cmp::Reverse(one.status), &*one.reason);
        by.entry(key).or_default().push(one);
    }
    if by.is_empty() {
        return vec![format!("{of}: {}", spout.reason)];
    }
    let more = by.len().saturating_sub(REASONS_MAX);
    let told = by
        .iter()
        .take(REASONS_MAX)
        .map(|((_, reason), partitions)| {
            let named = partitions.iter().take(REASONS_MAX);
            let named = named.map(|one| format!("{}/{}", one.topic, one.partition));
            let named = named.collect::<Vec<_>>().join(", ");
            match partitions.len().saturating_sub(REASONS_MAX) {
                0 => format!("{of}: {named}: {reason}"),
                more => format!("{of}: {named} and {more} more: {reason}"),
            }
        });
    let rest = (more > 0).then(|| format!("{of}: {more} more reasons: isobar lag tells them"));
    told.chain(rest).collect()
}

fn partition(one: &PartitionLag) -> [String; 8] {
    [
        format!("{}/{}", one.topic, one.partition),
        records(one.lag, one.lag_exactness),
        age(one.oldest_age_seconds, one.oldest_age_exactness),
        rate(one.incoming_per_second),
        rate(one.outgoing_per_second),
        eta(one.eta_seconds, one.eta_exactness),
        Headroom::of(one).text(),
        one.status.to_string(),
    ]
}

fn sums(spout: &SpoutLag) -> [String; 8] {
    [
        format!("{}, all", spout.spout),
        records(spout.lag, spout.lag_exactness),
        age(spout.oldest_age_seconds, spout.oldest_age_exactness),
        rate(spout.incoming_per_second),
        rate(spout.outgoing_per_second),
        eta(spout.eta_seconds, spout.eta_exactness),
        Headroom::of_spout(spout).text(),
        spout.status.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use isobar_operators::lag::{Deletion, Exactness, Row};

    use super::*;
    use crate::lag::tests::{lag, row};

    fn blocked(number: i32, reason: &str) -> Row {
        Row {
            status: Status::LsoBlocked,
            reason: reason.to_owned(),
            ..row(number, Some(0), Some(0))
        }
    }

    #[test]
    fn lag_is_shown_with_its_headroom_and_what_is_behind_of_it() {
        let behind = Row {
            headroom: Some(7),
            deletion: Deletion::Seconds(7_200.0),
            headroom_exactness: Exactness::Exact,
            read_lag: Some(2),
            open: Some(3),
            commit_debt: Some(0),
            ..row(1, Some(5), Some(2_000))
        };
        let settled = Row {
            read_lag: Some(0),
            open: Some(0),
            commit_debt: Some(0),
            ..blocked(0, "why")
        };
        assert_eq!(
            table(&[lag(vec![settled, behind])], false),
            "\
PARTITION  LAG  OLDEST  IN/S  OUT/S  ETA   HEADROOM  STATUS
a/0          0    0 ms     ?      ?    ?          -  LSO_BLOCKED
a/1          5  ~2.0 s     ?      ?    ?  2 h 0 min  OK
in, all      5  ~2.0 s     ?      ?    ?  2 h 0 min  LSO_BLOCKED
in: committed lag 5 = read lag 2 + open 3 + commit debt 0
"
        );
        let unknown = table(&[lag(vec![row(0, None, None)])], false);
        let parts = "in: committed lag ? = read lag ? + open ? + commit debt ?\n";
        assert!(unknown.ends_with(parts), "{unknown}");
    }

    #[test]
    fn why_a_spout_is_not_ok_is_told_once_for_all_partitions_with_the_worst_first() {
        let check = |rows: Vec<Row>, expected: &[&str]| {
            assert_eq!(reasons(&[lag(rows)]), expected);
        };
        check(vec![row(0, Some(5), Some(0))], &[]);
        let slow = |number: i32| Row {
            status: Status::Slow,
            ..blocked(number, "too much comes")
        };
        let mut rows = vec![
            blocked(9, "a transaction is open"),
            row(0, Some(5), Some(0)),
        ];
        rows.extend((1..6).map(slow));
        check(
            rows,
            &[
                "in: a/1, a/2, a/3 and 2 more: too much comes",
                "in: a/9: a transaction is open",
            ],
        );
        let each = (0..5).map(|number| blocked(number, &format!("transaction {number}")));
        let told = reasons(&[lag(each.collect())]);
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(told[3], "in: 2 more reasons: isobar lag tells them");
    }
}
