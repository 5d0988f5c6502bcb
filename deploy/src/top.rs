//! What `isobar top` shows, made of what the HTTP API of a topology answers.

use serde::Deserialize;

use crate::accounting::Accounting;
use crate::lag::table::{age, eta, rate};
use crate::lag::{PartitionLag, SpoutLag};
use crate::output::{Table, bytes, known, number, time};
use crate::statistics::{BoltNumbers, SpoutNumbers, Statistics};

/// Partitions that are shown of each spout: those that are furthest behind.
const PARTITIONS_MAX: usize = 16;

/// A topology as it was seen.
pub struct Seen {
    /// `/statistics`.
    pub statistics: Statistics,
    /// `/accounting`.
    pub accounting: Accounting,
    /// `/diagnostics`.
    pub facts: Facts,
}

/// What is shown of `/diagnostics`.
#[derive(Debug, Deserialize)]
pub struct Facts {
    uptime_seconds: f64,
    reasons: Vec<String>,
    plan: Plan,
}

#[derive(Debug, Deserialize)]
struct Plan {
    lanes: usize,
    memory: Memory,
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Memory {
    total: usize,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Seen {
    /// The text: a line, what is wrong, the nodes, lag by partition, and what became of each record.
    pub fn text(&self) -> String {
        let reasons = self.facts.reasons.iter();
        let reasons: String = reasons.map(|reason| format!("{reason}\n")).collect();
        let parts = [
            self.line(),
            reasons,
            self.nodes(),
            self.lag(),
            self.accounting.table(),
        ];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("\n")
    }

    fn line(&self) -> String {
        let worst = self.statistics.lag.iter().map(|spout| spout.status).max();
        let status = match (worst, self.facts.reasons.is_empty()) {
            (Some(status), _) => status.to_string(),
            (None, true) => "OK".to_owned(),
            (None, false) => "not ready".to_owned(),
        };
        let resident = self.statistics.process.resident_bytes;
        let resident = resident.and_then(|bytes| usize::try_from(bytes).ok());
        format!(
            "{}: {status}, up {}, {} lanes, memory {} of {}\n",
            self.statistics.topology,
            time((self.facts.uptime_seconds * 1000.0) as u64),
            self.facts.plan.lanes,
            resident.map_or_else(|| "?".to_owned(), bytes),
            bytes(self.facts.plan.memory.total),
        )
    }

    fn nodes(&self) -> String {
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
        for spout in &self.statistics.spouts {
            table.row(self.spout(spout));
        }
        for bolt in &self.statistics.bolts {
            table.row(self.bolt(bolt));
        }
        let mut text = table.text();
        if let Some(bottleneck) = &self.statistics.bottleneck {
            let reason = &bottleneck.reason;
            text.push_str(&format!("\nBottleneck: {}: {reason}\n", bottleneck.bolt));
        }
        text
    }

    fn spout(&self, spout: &SpoutNumbers) -> [String; 9] {
        let accounts = self.accounting.spouts.iter();
        let read = accounts.filter(|account| account.spout == spout.spout);
        let records = spout.in_flight_records as f64 / spout.in_flight_records_max as f64;
        let bytes = spout.in_flight_bytes as f64 / spout.in_flight_bytes_max as f64;
        [
            spout.spout.clone(),
            self.kind(&spout.spout),
            rate(spout.records_per_second),
            known(read.map(|account| account.terms.read).next()),
            String::new(),
            percent(Some(records.max(bytes))),
            String::new(),
            String::new(),
            match spout.paused_since_ms {
                Some(_) => "paused".to_owned(),
                None => String::new(),
            },
        ]
    }

    fn bolt(&self, bolt: &BoltNumbers) -> [String; 9] {
        let queue = match (bolt.waiting_batches, bolt.waiting_batches_max) {
            (Some(waiting), Some(most)) => format!("{waiting}/{most}"),
            _ => "-".to_owned(),
        };
        let bottleneck = self.statistics.bottleneck.as_ref();
        let is_bottleneck = bottleneck.is_some_and(|bottleneck| bottleneck.bolt == bolt.bolt);
        [
            bolt.bolt.clone(),
            self.kind(&bolt.bolt),
            rate(bolt.records_per_second),
            number(bolt.records),
            percent(bolt.busy_share),
            queue,
            number(bolt.rejected),
            number(bolt.failures),
            if is_bottleneck { "<" } else { "" }.to_owned(),
        ]
    }

    fn kind(&self, id: &str) -> String {
        let node = self.facts.plan.nodes.iter().find(|node| node.id == id);
        node.map(|node| node.kind.clone()).unwrap_or_default()
    }

    fn lag(&self) -> String {
        let mut table = Table::new([
            "PARTITION",
            "LAG>",
            "OLDEST>",
            "IN/S>",
            "OUT/S>",
            "ETA>",
            "STATUS",
        ]);
        let mut hidden = 0;
        for spout in &self.statistics.lag {
            let mut partitions: Vec<&PartitionLag> = spout.partitions.iter().collect();
            partitions.sort_by_key(|one| std::cmp::Reverse((one.status, one.lag)));
            hidden += partitions.len().saturating_sub(PARTITIONS_MAX);
            for one in partitions.into_iter().take(PARTITIONS_MAX) {
                table.row([
                    format!("{}/{}", one.topic, one.partition),
                    known(one.lag),
                    age(one.oldest_age_seconds, one.oldest_age_exactness),
                    rate(one.incoming_per_second),
                    rate(one.outgoing_per_second),
                    eta(one.eta_seconds),
                    one.status.to_string(),
                ]);
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
        text
    }
}

fn sums(spout: &SpoutLag) -> [String; 7] {
    [
        format!("{}, all", spout.spout),
        known(spout.lag),
        age(spout.oldest_age_seconds, spout.oldest_age_exactness),
        rate(spout.incoming_per_second),
        rate(spout.outgoing_per_second),
        eta(spout.eta_seconds),
        spout.status.to_string(),
    ]
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "?".to_owned(), |share| format!("{:.0} %", share * 100.0))
}
