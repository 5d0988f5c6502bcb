//! Spouts and bolts with their numbers, over all replicas that answer: rates and counts are sums, shares those
//! of the replica where they are highest.

use std::collections::BTreeSet;

use super::Facts;
use crate::accounting::Accounting;
use crate::lag::table::rate;
use crate::output::{Table, known, number};
use crate::statistics::{BoltNumbers, SpoutNumbers, Statistics};

/// What is shown of nodes, and of whom.
pub(super) struct Nodes<'a> {
    /// By the address of the replica.
    pub(super) of: Vec<(&'a str, &'a Statistics)>,
    pub(super) accounting: &'a Accounting,
    pub(super) facts: Option<&'a Facts>,
}

impl Nodes<'_> {
    pub(super) fn table(&self) -> String {
        let mut table = Table::new([
            "NODE",
            "TYPE",
            "RECORDS/S>",
            "RECORDS>",
            "BUSY>",
            "QUEUE>",
            "REJECTED>",
            "FAILURES>",
            "",
        ]);
        for id in self.ids(|one| one.spouts.iter().map(|spout| &*spout.spout).collect()) {
            table.row(self.spout(id));
        }
        for id in self.ids(|one| one.bolts.iter().map(|bolt| &*bolt.bolt).collect()) {
            table.row(self.bolt(id));
        }
        table.text() + &self.bottlenecks()
    }

    /// The ids of all, those of the first replica first: others may run another version of the file.
    fn ids(&self, of: fn(&Statistics) -> Vec<&str>) -> Vec<&str> {
        let mut known = BTreeSet::new();
        let all = self.of.iter().flat_map(|(_, statistics)| of(statistics));
        all.filter(|id| known.insert(*id)).collect()
    }

    fn bottlenecks(&self) -> String {
        let found = self.of.iter().filter_map(|(address, statistics)| {
            let bottleneck = statistics.bottleneck.as_ref()?;
            let of = match self.of.len() {
                1 => String::new(),
                _ => format!(" of {address}"),
            };
            let (bolt, reason) = (&bottleneck.bolt, &bottleneck.reason);
            Some(format!("Bottleneck{of}: {bolt}: {reason}\n"))
        });
        match found.collect::<String>() {
            none if none.is_empty() => none,
            some => format!("\n{some}"),
        }
    }

    fn spout(&self, id: &str) -> [String; 9] {
        let all: Vec<(&str, &SpoutNumbers)> = self
            .of
            .iter()
            .flat_map(|(address, one)| one.spouts.iter().map(move |spout| (*address, spout)))
            .filter(|(_, spout)| spout.spout == id)
            .collect();
        let mut accounts = self.accounting.spouts.iter();
        let account = accounts.find(|account| account.spout == id);
        let fills = all.iter().map(|(_, spout)| {
            let records = spout.in_flight_records as f64 / spout.in_flight_records_max as f64;
            records.max(spout.in_flight_bytes as f64 / spout.in_flight_bytes_max as f64)
        });
        let paused = all.iter().filter(|(_, one)| one.paused_since_ms.is_some());
        let paused: Vec<&str> = paused.map(|(address, _)| *address).collect();
        [
            id.to_owned(),
            self.kind(id),
            rate(all.iter().map(|(_, one)| one.records_per_second).sum()),
            known(account.map(|account| account.terms.read)),
            String::new(),
            percent(fills.reduce(f64::max)),
            String::new(),
            String::new(),
            match paused.len() {
                0 => String::new(),
                some if some == all.len() => "paused".to_owned(),
                _ => format!("paused at {}", paused.join(", ")),
            },
        ]
    }

    fn bolt(&self, id: &str) -> [String; 9] {
        let bolts = self.of.iter().flat_map(|(_, one)| &one.bolts);
        let all: Vec<&BoltNumbers> = bolts.filter(|bolt| bolt.bolt == id).collect();
        let count =
            |figure: fn(&BoltNumbers) -> u64| number(all.iter().map(|b| figure(b)).sum::<u64>());
        let sum = |figure: fn(&BoltNumbers) -> Option<usize>| -> Option<usize> {
            all.iter().map(|bolt| figure(bolt)).sum()
        };
        let queue = match (
            sum(|bolt| bolt.waiting_batches),
            sum(|bolt| bolt.waiting_batches_max),
        ) {
            (Some(waiting), Some(most)) => format!("{waiting}/{most}"),
            _ => "-".to_owned(),
        };
        let mut bottlenecks = self
            .of
            .iter()
            .filter_map(|(_, one)| one.bottleneck.as_ref());
        let is_bottleneck = bottlenecks.any(|bottleneck| bottleneck.bolt == id);
        let busy = all.iter().filter_map(|bolt| bolt.busy_share);
        [
            id.to_owned(),
            self.kind(id),
            rate(all.iter().map(|bolt| bolt.records_per_second).sum()),
            count(|bolt| bolt.records.saturating_sub(bolt.records_again)),
            percent(busy.reduce(f64::max)),
            queue,
            count(|bolt| bolt.rejected),
            count(|bolt| bolt.failures),
            if is_bottleneck { "<" } else { "" }.to_owned(),
        ]
    }

    fn kind(&self, id: &str) -> String {
        let mut nodes = self.facts.iter().flat_map(|facts| &facts.plan.nodes);
        let node = nodes.find(|node| node.id == id);
        node.map(|node| node.kind.clone()).unwrap_or_default()
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "?".to_owned(), |share| format!("{:.0} %", share * 100.0))
}
