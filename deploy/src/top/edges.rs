//! Edges with what goes along them, over all replicas that answer: named as `isobar tap` takes them.

use super::nodes::Nodes;
use crate::lag::table::rate;
use crate::output::{Table, number};
use crate::statistics::EdgeNumbers;

/// A row for each edge that has carried anything, with the queue at its end.
pub(super) fn table(nodes: &Nodes<'_>) -> String {
    let all: Vec<&EdgeNumbers> = nodes.of.iter().flat_map(|(_, one)| &one.edges).collect();
    let mut known: Vec<(&str, &str)> = Vec::new();
    for edge in &all {
        let ends = (&*edge.from, &*edge.to);
        if !known.contains(&ends) {
            known.push(ends);
        }
    }
    let mut table = Table::new(["EDGE", "RECORDS/S>", "SENT>", "QUEUE>"]);
    let mut quiet = 0;
    for (from, to) in known {
        let same = all
            .iter()
            .filter(|edge| (&*edge.from, &*edge.to) == (from, to));
        let records: u64 = same.clone().map(|edge| edge.records).sum();
        if records == 0 {
            quiet += 1;
            continue;
        }
        table.row([
            nodes.marked(&format!("{from} -> {to}"), to),
            rate(same.map(|edge| edge.records_per_second).sum()),
            number(records),
            nodes.queue(to),
        ]);
    }
    let mut text = match table.is_empty() {
        true => String::new(),
        false => table.text(),
    };
    match quiet {
        0 => {}
        1 => text.push_str("one edge has carried nothing yet\n"),
        some => text.push_str(&format!("{some} edges have carried nothing yet\n")),
    }
    text
}
