//! Rejected records by bolt and reason, over all replicas that answer; most first. The reasons in full are in the
//! dead letters, since they may quote records.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::output::{Table, number};
use crate::statistics::Statistics;

/// A row for each reason of each bolt; nothing without any. `read` is how many records were.
pub(super) fn table<'a>(of: impl Iterator<Item = &'a Statistics>, read: u64) -> String {
    let mut rejected: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for bolt in of.flat_map(|statistics| &statistics.bolts) {
        for (reason, records) in &bolt.rejected_by_class {
            *rejected.entry((&bolt.bolt, reason)).or_default() += records;
        }
    }
    if rejected.is_empty() {
        return String::new();
    }
    let mut rows: Vec<_> = rejected.into_iter().collect();
    rows.sort_by_key(|(_, records)| Reverse(*records));
    let mut table = Table::new(["BOLT", "REASON", "REJECTED>", "OF READ>"]);
    for ((bolt, reason), records) in rows {
        let share = match read {
            0 => "?".to_owned(),
            read => format!("{:.2} %", records as f64 / read as f64 * 100.0),
        };
        table.row([bolt.to_owned(), reason.to_owned(), number(records), share]);
    }
    table.text()
}
