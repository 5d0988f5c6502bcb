//! A plan as it is printed: the planner's report and the bounds of the graph, for people and programs.

use std::time::Duration;

use isobar_topology::spec::units;
use isobar_topology::{EdgeReport, Graph, MemoryReport, Plan, PlanReport};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::output::{Table, bytes, number};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// What is known about a topology before it runs.
#[derive(Clone, Debug, Serialize)]
pub struct PlanDocument {
    /// Version of this format.
    pub version: u32,
    /// The topology's name.
    pub topology: String,
    /// Threads that each run a copy of all bolts.
    pub lanes: usize,
    /// Spouts, then bolts in the order of processing.
    pub nodes: Vec<Node>,
    /// Who hands records to whom.
    pub edges: Vec<EdgeReport>,
    /// What bounds the run.
    pub bounds: Bounds,
    /// Policies by which records are dropped.
    pub policies: Vec<String>,
    /// Those among them that drop records since too many come.
    pub lossy: Vec<String>,
    /// What is allowed and may not be meant, a sentence for each.
    pub notes: Vec<String>,
    /// The most memory that the process takes, in bytes.
    pub memory: MemoryReport,
}

/// A spout or bolt.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What there is to know.
    pub facts: Map<String, Value>,
}

/// What bounds a run.
#[derive(Clone, Debug, Serialize)]
pub struct Bounds {
    /// By spout.
    pub spouts: Vec<SpoutBounds>,
    /// Batches in each queue of an edge, on each lane.
    pub queue_batches: usize,
    /// Bytes in each queue of an edge, on each lane.
    pub queue_bytes: usize,
    /// Attempts before a record is rejected, where the failures are its own fault.
    pub max_attempts: u32,
    /// How much of what is read may be dead-lettered; null for all of it.
    pub reject_limit: Option<RejectBound>,
    /// First wait before a retry.
    pub retry_initial_ms: u64,
    /// Longest wait before a retry.
    pub retry_max_ms: u64,
    /// How long a stop waits for what is in flight.
    pub drain_timeout_ms: u64,
}

/// How much of what is read may be dead-lettered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RejectBound {
    /// The part of the records that were read, from 0 to 1.
    pub ratio: f64,
    /// Within this time.
    pub over_ms: u64,
}

/// What bounds a spout.
#[derive(Clone, Debug, Serialize)]
pub struct SpoutBounds {
    /// Its id.
    pub spout: String,
    /// Records in flight over all lanes.
    pub max_in_flight_records: usize,
    /// Bytes in flight over all lanes.
    pub max_in_flight_bytes: usize,
    /// Records of one partition between the oldest unsettled and the last read.
    pub max_uncommitted: usize,
}

impl PlanDocument {
    /// Makes the document of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self::new(plan.report.clone(), &plan.graph)
    }

    /// Makes the document of what a planner says about a graph.
    pub fn new(report: PlanReport, graph: &Graph) -> Self {
        let nodes = report.nodes.into_iter().map(|node| Node {
            id: node.id,
            kind: node.kind,
            facts: node
                .facts
                .into_iter()
                .map(|(what, value)| (what, Value::String(value)))
                .collect(),
        });
        Self {
            version: VERSION,
            topology: report.topology,
            lanes: report.lanes,
            nodes: nodes.collect(),
            edges: report.edges,
            bounds: Bounds::of(graph),
            policies: report.policies,
            lossy: report.lossy,
            notes: report.notes,
            memory: report.memory,
        }
    }

    /// The text for people.
    pub fn text(&self) -> String {
        let lanes = if self.lanes == 1 { "lane" } else { "lanes" };
        let parts = [
            format!("Topology {}, {} {lanes}\n", self.topology, self.lanes),
            self.nodes_text(),
            self.edges_text(),
            self.bounds.text(),
            self.policies_text(),
            self.notes.iter().map(|note| note_text(note)).collect(),
            memory_text(&self.memory),
        ];
        parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn nodes_text(&self) -> String {
        let mut table = Table::new(["NODE", "TYPE", "FACT", ""]);
        for node in &self.nodes {
            let mut first = [node.id.clone(), node.kind.clone()];
            if node.facts.is_empty() {
                table.row(first.clone());
            }
            for (what, value) in &node.facts {
                let value = value.as_str().unwrap_or_default().to_owned();
                table.row(first.into_iter().chain([what.clone(), value]));
                first = Default::default();
            }
        }
        table.text()
    }

    fn edges_text(&self) -> String {
        let mut table = Table::new(["FROM", "TO", "GROUPING", "QUEUE", "ORDER OF A PARTITION"]);
        for edge in &self.edges {
            let mut queue = match edge.fused {
                true => "none (fused)".to_owned(),
                false => "bounded".to_owned(),
            };
            if let Some(rate) = edge.throttle {
                queue.push_str(&format!(", at most {rate}"));
            }
            if let Some(policy) = &edge.on_full {
                queue.push_str(&format!(", lossy when full: {policy}"));
            }
            let order = if edge.ordered {
                "kept, retries aside"
            } else {
                "not kept"
            };
            table.row([
                edge.from.clone(),
                edge.to.clone(),
                edge.grouping.to_owned(),
                queue,
                order.to_owned(),
            ]);
        }
        table.text()
    }

    fn policies_text(&self) -> String {
        let mut text = String::new();
        if !self.policies.is_empty() {
            text.push_str(&format!(
                "Policies that drop records: {}\n",
                self.policies.join(", ")
            ));
        }
        if !self.lossy.is_empty() {
            text.push_str(&format!(
                "Lossy, as they drop when too many records come: {}\n",
                self.lossy.join(", ")
            ));
        }
        text
    }
}

/// What is allowed and may not be meant, as a line.
pub fn note_text(note: &str) -> String {
    format!("Note: {note}\n")
}

impl Bounds {
    fn of(graph: &Graph) -> Self {
        let spouts = graph.spouts.iter().map(|spout| SpoutBounds {
            spout: spout.id.to_string(),
            max_in_flight_records: spout.max_in_flight_records,
            max_in_flight_bytes: spout.max_in_flight_bytes,
            max_uncommitted: spout.max_uncommitted,
        });
        Self {
            spouts: spouts.collect(),
            queue_batches: graph.queue_batches,
            queue_bytes: graph.queue_bytes,
            max_attempts: graph.retry.attempts_max,
            reject_limit: graph.reject_limit.map(|limit| RejectBound {
                ratio: limit.ratio,
                over_ms: millis(limit.over),
            }),
            retry_initial_ms: millis(graph.retry.initial),
            retry_max_ms: millis(graph.retry.max),
            drain_timeout_ms: millis(graph.drain_timeout),
        }
    }

    fn text(&self) -> String {
        let mut table = Table::new(["BOUND", "OF", "AT MOST>", ""]);
        let mut row = |what: &str, of: &str, most: String, why: &str| {
            table.row([what, of, &most, why].map(str::to_owned));
        };
        for spout in &self.spouts {
            let of = spout.spout.as_str();
            row(
                "records in flight",
                of,
                number(spout.max_in_flight_records),
                "over all lanes",
            );
            row(
                "bytes in flight",
                of,
                bytes(spout.max_in_flight_bytes),
                "over all lanes",
            );
            row(
                "uncommitted records",
                of,
                number(spout.max_uncommitted),
                "in each partition",
            );
        }
        row(
            "batches",
            "each queue",
            number(self.queue_batches),
            "on each lane",
        );
        row(
            "bytes",
            "each queue",
            bytes(self.queue_bytes),
            "on each lane",
        );
        row(
            "attempts",
            "each record",
            number(self.max_attempts),
            "where the record is at fault; an outage is waited out",
        );
        if let Some(limit) = self.reject_limit {
            row(
                "dead letters",
                "the topology",
                format!("{}%", limit.ratio * 100.0),
                &format!(
                    "of the records read within {}, and 100 in any case; further ones wait",
                    duration(limit.over_ms)
                ),
            );
        }
        let retry = format!(
            "{} to {}",
            duration(self.retry_initial_ms),
            duration(self.retry_max_ms)
        );
        row("wait", "each retry", retry, "doubles each time");
        row(
            "wait",
            "a stop",
            duration(self.drain_timeout_ms),
            "for what is in flight",
        );
        table.text()
    }
}

fn memory_text(memory: &MemoryReport) -> String {
    let mut table = Table::new(["MEMORY", "AT MOST>", ""]);
    let mut row = |what: &str, size: usize, why: &str| {
        table.row([what.to_owned(), bytes(size), why.to_owned()]);
    };
    row("clients", memory.clients, "fetched and not read yet");
    row(
        "in flight",
        memory.in_flight,
        "records with room for edits, also those that wait in queues",
    );
    row("bolts", memory.bolts, "bodies, replies, tables");
    row("fixed", memory.fixed, "program, threads, allocator, TLS");
    row("total", memory.total, "");
    table.text()
}

fn duration(ms: u64) -> String {
    units::Duration::millis(ms).to_string()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
