//! Spouts and bolts with their numbers, over all replicas that answer: rates and counts are sums, shares those
//! of the replica where they are highest. What is wrong with a node stands in place of its type, as on the page.

use std::collections::BTreeSet;

use isobar_operators::lag::Status;

use super::facts::{Facts, shortened};
use crate::accounting::Accounting;
use crate::lag::SpoutLag;
use crate::lag::table::rate;
use crate::output::{Table, known, number};
use crate::statistics::{BoltNumbers, SpoutNumbers, Statistics};

/// What is shown of nodes, and of whom.
pub(super) struct Nodes<'a> {
    /// By the address of the replica.
    pub(super) of: Vec<(&'a str, &'a Statistics)>,
    pub(super) accounting: &'a Accounting,
    pub(super) lag: &'a [SpoutLag],
    /// Of those that were asked.
    pub(super) facts: Vec<&'a Facts>,
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
        ]);
        for id in self.ids(|one| one.spouts.iter().map(|spout| &*spout.spout).collect()) {
            table.row(self.spout(id));
        }
        for id in self.ids(|one| one.bolts.iter().map(|bolt| &*bolt.bolt).collect()) {
            table.row(self.bolt(id));
        }
        let below = self.bottlenecks() + &self.again();
        match below.is_empty() {
            true => table.text(),
            false => format!("{}\n{below}", table.text()),
        }
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
            let sentence = format!("{}: {}", bottleneck.bolt, bottleneck.reason);
            let sentence = shortened(&sentence, &self.facts);
            Some(format!("Bottleneck{of}: {sentence}\n"))
        });
        found.collect()
    }

    /// What is sent again after failures, where anything is.
    fn again(&self) -> String {
        let ids = self.ids(|one| one.bolts.iter().map(|bolt| &*bolt.bolt).collect());
        let sent = ids.into_iter().filter_map(|id| {
            let again: f64 = self
                .bolts(id)
                .filter_map(|bolt| bolt.again_per_second)
                .sum();
            (again > 0.0).then(|| format!("{id} {}/s", rate(Some(again))))
        });
        match sent.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => none,
            sent => format!("Sent again: {sent}\n"),
        }
    }

    fn spout(&self, id: &str) -> [String; 8] {
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
        let paused = match paused.len() {
            0 => None,
            some if some == all.len() => Some("paused".to_owned()),
            _ => Some(format!("paused at {}", paused.join(", "))),
        };
        let lag = self.lag.iter().find(|spout| spout.spout == id);
        let lag = lag.filter(|lag| lag.status != Status::Ok);
        let status = paused.or_else(|| self.conditions(id));
        let status = status.or_else(|| Some(lag?.status.to_string()));
        [
            id.to_owned(),
            status.unwrap_or_else(|| self.kind(id)),
            rate(all.iter().map(|(_, one)| one.records_per_second).sum()),
            known(account.map(|account| account.terms.read)),
            String::new(),
            percent(fills.reduce(f64::max)),
            String::new(),
            String::new(),
        ]
    }

    fn bolt(&self, id: &str) -> [String; 8] {
        let all: Vec<&BoltNumbers> = self.bolts(id).collect();
        let count =
            |figure: fn(&BoltNumbers) -> u64| number(all.iter().map(|b| figure(b)).sum::<u64>());
        let busy = all.iter().filter_map(|bolt| bolt.busy_share);
        [
            self.marked(id, id),
            self.conditions(id).unwrap_or_else(|| self.kind(id)),
            rate(all.iter().map(|bolt| bolt.records_per_second).sum()),
            count(|bolt| bolt.records.saturating_sub(bolt.records_again)),
            percent(busy.reduce(f64::max)),
            self.queue(id),
            count(|bolt| bolt.rejected),
            count(|bolt| bolt.failures),
        ]
    }

    /// What waits for a bolt, of what may; `-` where it has no queue.
    pub(super) fn queue(&self, id: &str) -> String {
        let sum = |figure: fn(&BoltNumbers) -> Option<usize>| -> Option<usize> {
            self.bolts(id).map(figure).sum()
        };
        match (
            sum(|bolt| bolt.waiting_batches),
            sum(|bolt| bolt.waiting_batches_max),
        ) {
            (Some(waiting), Some(most)) => format!("{waiting}/{most}"),
            _ => "-".to_owned(),
        }
    }

    /// A name, marked where this bolt holds records up.
    pub(super) fn marked(&self, name: &str, id: &str) -> String {
        let mut bottlenecks = self
            .of
            .iter()
            .filter_map(|(_, one)| one.bottleneck.as_ref());
        match bottlenecks.any(|bottleneck| bottleneck.bolt == id) {
            true => format!("{name} <"),
            false => name.to_owned(),
        }
    }

    fn bolts(&self, id: &str) -> impl Iterator<Item = &BoltNumbers> {
        let all = self.of.iter().flat_map(|(_, one)| &one.bolts);
        all.filter(move |bolt| bolt.bolt == id)
    }

    /// What is wrong with it, in a word each: `held`.
    fn conditions(&self, id: &str) -> Option<String> {
        let all = self.facts.iter().flat_map(|facts| &facts.conditions);
        let of = all.filter(|condition| condition.component == id);
        let kinds: BTreeSet<&str> = of.map(|condition| &*condition.kind).collect();
        (!kinds.is_empty()).then(|| kinds.into_iter().collect::<Vec<_>>().join(", "))
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
