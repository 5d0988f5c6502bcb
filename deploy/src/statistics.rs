//! The numbers of a running topology that count: what each bolt did, what is in flight, what it costs.

use std::collections::BTreeMap;

use isobar_topology::{Latency, Running};
use serde::{Deserialize, Serialize};

use crate::bottleneck::{self, Bottleneck};
use crate::lag::SpoutLag;
use crate::observer::Observer;
use crate::output::{Table, number};
use crate::process::Process;
use crate::rates::Recent;

/// The numbers of a whole topology.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statistics {
    /// The topology's name.
    pub topology: String,
    /// Tells this start of the program apart from every other one; empty where it is not said.
    #[serde(default)]
    pub instance: String,
    /// By spout, in the order of the topology file.
    pub spouts: Vec<SpoutNumbers>,
    /// By bolt, in the order of processing.
    pub bolts: Vec<BoltNumbers>,
    /// By edge, in the order of the plan.
    pub edges: Vec<EdgeNumbers>,
    /// What holds records up; null while they get on freely.
    pub bottleneck: Option<Bottleneck>,
    /// Lag by Kafka spout, of the partitions that this process reads.
    pub lag: Vec<SpoutLag>,
    /// What the process takes.
    pub process: Process,
}

/// What a spout has in flight.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpoutNumbers {
    /// Its id.
    pub spout: String,
    /// Since when an operator has paused it, in ms since 1970; null while it reads.
    #[serde(default)]
    pub paused_since_ms: Option<i64>,
    /// Records per second that it read, over the last ten seconds; null just after the start.
    pub records_per_second: Option<f64>,
    /// Records that were settled in these ten seconds and have a timestamp.
    pub settled_records: Option<u64>,
    /// Half of them took at most so long, by the bounds of the
    /// histogram in `/metrics`; null without any, and above the last bound.
    pub half_within_seconds: Option<f64>,
    /// The same of 99 %.
    pub most_within_seconds: Option<f64>,
    /// Records in flight.
    pub in_flight_records: usize,
    /// Their bytes: of whole batches, until the last record of a batch is settled.
    pub in_flight_bytes: usize,
    /// Records in flight before it waits.
    pub in_flight_records_max: usize,
    /// Bytes in flight before it waits.
    pub in_flight_bytes_max: usize,
    /// What its type counts besides.
    pub counters: BTreeMap<String, u64>,
}

/// What a bolt did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BoltNumbers {
    /// Its id.
    pub bolt: String,
    /// Batches taken.
    pub batches: u64,
    /// Records taken, those sent again included.
    pub records: u64,
    /// Those of them that were sent again after a failure.
    #[serde(default)]
    pub records_again: u64,
    /// Records per second that it took for the first time, over the last ten seconds; null just after the
    /// start.
    pub records_per_second: Option<f64>,
    /// Records per second that it was sent again, over the same time.
    #[serde(default)]
    pub again_per_second: Option<f64>,
    /// Records that it rejected.
    pub rejected: u64,
    /// The same by the class of the reason.
    pub rejected_by_class: BTreeMap<String, u64>,
    /// Calls that ended in an error or a panic.
    pub failures: u64,
    /// Times that it was made anew after a panic.
    pub restarts: u64,
    /// Time inside of it, over all lanes.
    pub busy_seconds: f64,
    /// The part of the time of all lanes that was spent inside of it in the last ten seconds, from 0 to 1; null
    /// while that is not known.
    pub busy_share: Option<f64>,
    /// Batches that wait for it; null for a bolt without a queue.
    pub waiting_batches: Option<usize>,
    /// Batches that may wait for it over all lanes; null for a bolt without a queue.
    pub waiting_batches_max: Option<usize>,
    /// Its requests to an outside system, by host; of one that counts them.
    #[serde(default)]
    pub requests: Vec<HostNumbers>,
    /// What its type counts besides.
    pub counters: BTreeMap<String, u64>,
}

/// The requests of a bolt to a host: those that were answered or took all of their time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostNumbers {
    /// The host, as a URL.
    pub host: String,
    /// Requests since the start.
    pub requests: u64,
    /// Requests per second, over the last ten seconds; null just after the start.
    pub requests_per_second: Option<f64>,
    /// Half of the requests of these ten seconds took at most so long, by the bounds of the histogram in
    /// `/metrics`; null without any, and above the last bound.
    pub half_within_seconds: Option<f64>,
    /// The same of 99 %.
    pub most_within_seconds: Option<f64>,
}

/// What went along an edge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EdgeNumbers {
    /// The stream: `parse` or `route.errors`.
    pub from: String,
    /// The bolt.
    pub to: String,
    /// Records, those sent again included.
    pub records: u64,
    /// Records per second that went along it for the first time, over the last ten seconds; null just
    /// after the start.
    pub records_per_second: Option<f64>,
}

impl Statistics {
    /// Takes the numbers; each is right on its own.
    pub fn of(observer: &Observer) -> Self {
        let running = &observer.running;
        let graph = running.graph();
        let recent = observer.recent();
        let recent = recent.as_ref();
        let spouts = graph.spouts.iter().enumerate().map(|(spout, node)| {
            let (records, bytes) = running.in_flight(spout);
            SpoutNumbers {
                spout: node.id.to_string(),
                paused_since_ms: running.paused_since(spout),
                records_per_second: recent.map(|recent| recent.read[spout]),
                settled_records: recent.map(|recent| recent.latency[spout].count()),
                half_within_seconds: recent.and_then(|recent| within(&recent.latency[spout], 0.5)),
                most_within_seconds: recent.and_then(|recent| within(&recent.latency[spout], 0.99)),
                in_flight_records: records,
                in_flight_bytes: bytes,
                in_flight_records_max: node.max_in_flight_records,
                in_flight_bytes_max: node.max_in_flight_bytes,
                counters: values(running.spout_counters(spout)),
            }
        });
        let bolts = graph.bolts.iter().enumerate().map(|(bolt, node)| {
            let counts = running.bolt(bolt);
            let rejected = running.rejected(bolt).into_iter();
            let waiting = running.waiting(bolt);
            BoltNumbers {
                bolt: node.id.to_string(),
                batches: counts.batches,
                records: counts.records,
                records_again: counts.again,
                again_per_second: recent.map(|recent| recent.again[bolt]),
                records_per_second: recent.map(|recent| recent.taken[bolt]),
                rejected: counts.rejected,
                rejected_by_class: rejected.map(|(class, n)| (class.to_owned(), n)).collect(),
                failures: counts.failures,
                restarts: counts.restarts,
                busy_seconds: counts.busy.as_secs_f64(),
                busy_share: recent.and_then(|recent| recent.busy[bolt]),
                waiting_batches: waiting,
                waiting_batches_max: waiting.map(|_| graph.queue_batches * graph.lanes),
                requests: requests(running, bolt, recent),
                counters: values(running.bolt_counters(bolt)),
            }
        });
        let planned = observer.plan.edges.iter().zip(running.edge_records());
        let edges = planned
            .enumerate()
            .map(|(number, (edge, records))| EdgeNumbers {
                from: edge.from.clone(),
                to: edge.to.clone(),
                records,
                records_per_second: recent.map(|recent| recent.edges[number]),
            });
        Self {
            instance: observer.instance.clone(),
            topology: graph.name.clone(),
            spouts: spouts.collect(),
            bolts: bolts.collect(),
            edges: edges.collect(),
            bottleneck: bottleneck::find(running, recent),
            lag: observer.lag.read(running),
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
                own.row([id.clone(), name.clone(), number(*value)]);
            }
        }
        if !own.is_empty() {
            text.push('\n');
            text.push_str(&own.text());
        }
        text
    }
}

fn values(counters: Vec<(&'static str, &'static str, u64)>) -> BTreeMap<String, u64> {
    let counters = counters.into_iter();
    counters
        .map(|(name, _, value)| (name.to_owned(), value))
        .collect()
}

fn requests(running: &Running, bolt: usize, recent: Option<&Recent>) -> Vec<HostNumbers> {
    let each = running.request_times(bolt).into_iter();
    each.map(|(host, times)| {
        let recent = recent.and_then(|recent| recent.requests[bolt].get(&host));
        HostNumbers {
            host: host.to_string(),
            requests: times.count(),
            requests_per_second: recent.map(|recent| recent.per_second),
            half_within_seconds: recent.and_then(|recent| within(&recent.times, 0.5)),
            most_within_seconds: recent.and_then(|recent| within(&recent.times, 0.99)),
        }
    })
    .collect()
}

fn within(latency: &Latency, part: f64) -> Option<f64> {
    latency.within_ms(part).map(|ms| ms as f64 / 1000.0)
}
