//! The numbers of a running topology that count: what each bolt did, what is in flight, what it costs.

use std::collections::BTreeMap;

use isobar_topology::Running;
use serde::Serialize;

use crate::lag::{SpoutLag, Watches};
use crate::output::{Table, number};
use crate::process::Process;

/// The numbers of a whole topology.
#[derive(Clone, Debug, Serialize)]
pub struct Statistics {
    /// The topology's name.
    pub topology: String,
    /// By spout, in the order of the topology file.
    pub spouts: Vec<SpoutNumbers>,
    /// By bolt, in the order of processing.
    pub bolts: Vec<BoltNumbers>,
    /// Lag by Kafka spout, of the partitions that this process reads.
    pub lag: Vec<SpoutLag>,
    /// What the process takes.
    pub process: Process,
}

/// What a spout has in flight.
#[derive(Clone, Debug, Serialize)]
pub struct SpoutNumbers {
    /// Its id.
    pub spout: String,
    /// Records in flight.
    pub in_flight_records: usize,
    /// Their bytes: of whole batches, until the last record of a batch is settled.
    pub in_flight_bytes: usize,
    /// Records in flight before it waits.
    pub in_flight_records_max: usize,
    /// Bytes in flight before it waits.
    pub in_flight_bytes_max: usize,
    /// What its type counts besides.
    pub counters: BTreeMap<&'static str, u64>,
}

/// What a bolt did.
#[derive(Clone, Debug, Serialize)]
pub struct BoltNumbers {
    /// Its id.
    pub bolt: String,
    /// Batches taken.
    pub batches: u64,
    /// Records taken, those sent again included.
    pub records: u64,
    /// Records that it rejected.
    pub rejected: u64,
    /// Calls that ended in an error or a panic.
    pub failures: u64,
    /// Times that it was made anew after a panic.
    pub restarts: u64,
    /// Time inside of it, over all lanes.
    pub busy_seconds: f64,
    /// Batches that wait for it; null for a bolt without a queue.
    pub waiting_batches: Option<usize>,
    /// What its type counts besides.
    pub counters: BTreeMap<&'static str, u64>,
}

impl Statistics {
    /// Takes the numbers; each is right on its own.
    pub fn of(running: &Running, lag: &Watches) -> Self {
        let graph = running.graph();
        let spouts = graph.spouts.iter().enumerate().map(|(spout, node)| {
            let (records, bytes) = running.in_flight(spout);
            SpoutNumbers {
                spout: node.id.to_string(),
                in_flight_records: records,
                in_flight_bytes: bytes,
                in_flight_records_max: node.max_in_flight_records,
                in_flight_bytes_max: node.max_in_flight_bytes,
                counters: values(running.spout_counters(spout)),
            }
        });
        let bolts = graph.bolts.iter().enumerate().map(|(bolt, node)| {
            let counts = running.bolt(bolt);
            BoltNumbers {
                bolt: node.id.to_string(),
                batches: counts.batches,
                records: counts.records,
                rejected: counts.rejected,
                failures: counts.failures,
                restarts: counts.restarts,
                busy_seconds: counts.busy.as_secs_f64(),
                waiting_batches: running.waiting(bolt),
                counters: values(running.bolt_counters(bolt)),
            }
        });
        Self {
            topology: graph.name.clone(),
            spouts: spouts.collect(),
            bolts: bolts.collect(),
            lag: lag.read(running),
            process: Process::now(),
        }
    }

    /// A row for each bolt, and one for each number that the types of operators count, if it is not 0.
    pub fn table(&self) -> String {
        let mut table = Table::new(["BOLT", "RECORDS>", "REJECTED>", "FAILURES>", "BUSY>"]);
        for bolt in &self.bolts {
            let busy = format!("{:.1} s", bolt.busy_seconds);
            let counts = [bolt.records, bolt.rejected, bolt.failures].map(number);
            table.row([bolt.bolt.clone()].into_iter().chain(counts).chain([busy]));
        }
        let mut text = table.text();
        let mut own = Table::new(["OPERATOR", "COUNTER", "VALUE>"]);
        let spouts = self
            .spouts
            .iter()
            .map(|spout| (&spout.spout, &spout.counters));
        let bolts = self.bolts.iter().map(|bolt| (&bolt.bolt, &bolt.counters));
        for (id, counters) in spouts.chain(bolts) {
            for (name, value) in counters.iter().filter(|(_, value)| **value > 0) {
                own.row([id.clone(), (*name).to_owned(), number(*value)]);
            }
        }
        if !own.is_empty() {
            text.push('\n');
            text.push_str(&own.text());
        }
        text
    }
}

fn values(counters: Vec<(&'static str, &'static str, u64)>) -> BTreeMap<&'static str, u64> {
    let counters = counters.into_iter();
    counters.map(|(name, _, value)| (name, value)).collect()
}
