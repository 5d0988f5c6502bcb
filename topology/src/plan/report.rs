//! What a plan says to people and programs.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Edge, Prepared};
use crate::graph::{Graph, Grouping, Target};
use crate::overload::OnFull;
use crate::record::{Row, Slot};
use crate::registry::{PreparedBolt, PreparedSpout};
use crate::spec;
use crate::spec::units::Rate;
use crate::stream::Stream;

/// A plan in words and numbers.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// The topology's name.
    pub topology: String,
    /// Threads that each run a copy of all bolts.
    pub lanes: usize,
    /// Spouts, then bolts in the order of processing.
    pub nodes: Vec<NodeReport>,
    /// Who hands records to whom.
    pub edges: Vec<EdgeReport>,
    /// Policies by which records are dropped.
    pub policies: Vec<String>,
    /// Those among them that drop records since too many come: which ones depends on the moment.
    pub lossy: Vec<String>,
    /// What is allowed and may not be meant, a sentence for each.
    pub notes: Vec<String>,
    /// The most memory that the process takes, in bytes.
    pub memory: MemoryReport,
}

/// A spout or bolt of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its streams, by their index: `out` and, for bolts, `rejected` and those that it declares.
    pub streams: Vec<String>,
    /// What there is to know: (what, value).
    pub facts: Vec<(String, String)>,
}

/// An edge of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct EdgeReport {
    /// The stream: `parse` or `route.errors`.
    pub from: String,
    /// The bolt.
    pub to: String,
    /// `local`, `shuffle`, `fields`, `partial_key`, `all` or `global`.
    pub grouping: &'static str,
    /// No queue: the bolt is called by the task that emits.
    pub fused: bool,
    /// Whether records of a partition arrive in the order in which they were read (retries aside).
    pub ordered: bool,
    /// How fast records may follow each other; others wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Rate>,
    /// What becomes of records when the queue is full, where they do not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_full: Option<String>,
}

/// The most memory that the process takes, in bytes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MemoryReport {
    /// Fetched by clients and not read yet.
    pub clients: usize,
    /// Records in flight, with room for the documents that bolts make of them. A record that is larger than a
    /// batch may be, and is changed, takes more.
    pub in_flight: usize,
    /// Held by bolts: bodies, replies, tables.
    pub bolts: usize,
    /// Waiting in inboxes; these are in flight too, so they are part of that term.
    pub inboxes: usize,
    /// Program, threads, buffers of the allocator and of TLS.
    pub fixed: usize,
    /// All of it, inboxes aside.
    pub total: usize,
}

/// Program text, stacks, runtimes, HTTP server and metrics; measured with an idle topology, rounded up.
const FIXED: usize = 48 << 20;
/// Per lane: stack, runtime, arenas that the allocator keeps.
const FIXED_PER_LANE: usize = 4 << 20;

impl MemoryReport {
    pub(super) fn new(
        spouts: &[Prepared<'_, PreparedSpout>],
        bolts: &[Prepared<'_, PreparedBolt>],
        edges: &[Edge<'_>],
        lanes: usize,
        symbols: usize,
    ) -> Self {
        let per_record = size_of::<Row>() + symbols * size_of::<Slot>();
        let copies = Copies::new(bolts, edges);
        let in_flight = spouts.iter().map(|spout| {
            let made = &spout.made;
            let records = made.max_in_flight_bytes + made.max_in_flight_records * per_record;
            // Each lane takes one batch at a time through its bolts.
            let passing = lanes * copies.passing * GROWTH * made.batch_bytes;
            records + passing + copies.kept * made.max_in_flight_bytes
        });
        let held = bolts.iter().map(|bolt| {
            let per_lane = bolt.made.memory_per_lane + bolt.made.parts_per_lane * per_record;
            per_lane * lanes + bolt.made.memory_shared
        });
        let mut report = Self {
            clients: spouts.iter().map(|spout| spout.made.memory).sum(),
            in_flight: in_flight.sum(),
            bolts: held.sum(),
            inboxes: 0,
            fixed: FIXED + lanes * FIXED_PER_LANE,
            total: 0,
        };
        report.total = report.clients + report.in_flight + report.bolts + report.fixed;
        report
    }

    pub(super) fn edges(&mut self, graph: &Graph) {
        let tasks = graph.tasks();
        let heads = (0..tasks.len())
            .filter(|bolt| tasks[*bolt] == *bolt)
            .count();
        self.inboxes = heads * graph.lanes * graph.queue_bytes;
        // Batches that bolts hand to other tasks wait there with what was copied for them, which the queue
        // counts; those that spouts hand over, and rejected ones, have nothing of that.
        let edited: BTreeSet<usize> = (graph.bolts.iter())
            .flat_map(|bolt| bolt.targets())
            .filter(|(stream, _)| *stream != Stream::REJECTED.index())
            .map(|(_, target)| target.bolt)
            .filter(|bolt| tasks[*bolt] == *bolt)
            .collect();
        let edited = edited.len() * graph.lanes * graph.queue_bytes;
        self.in_flight += edited;
        self.total += edited;
    }
}

/// A buffer that grows has up to twice what is in it.
const GROWTH: usize = 2;

/// How often what a record has is in a batch at most, for documents that bolts make and fields that they set,
/// besides the record itself.
struct Copies {
    /// On the way through the bolts of a task, over all branches.
    passing: usize,
    /// In sinks that keep it until they are answered.
    kept: usize,
}

impl Copies {
    /// Bolts are in the order of processing. A batch that goes several ways takes its copies along on each;
    /// rejected records start over without any.
    fn new(bolts: &[Prepared<'_, PreparedBolt>], edges: &[Edge<'_>]) -> Self {
        let mut behind = vec![0; bolts.len()];
        let (mut passing, mut kept) = (0, 0);
        for (number, bolt) in bolts.iter().enumerate() {
            let inputs = edges
                .iter()
                .filter(|edge| edge.to == number && edge.stream != Stream::REJECTED);
            let before = inputs.filter_map(|edge| {
                let from = bolts.iter().position(|bolt| bolt.component.id == edge.from);
                from.map(|from| behind[from])
            });
            if bolt.made.is_sink() {
                let all: usize = before.sum();
                passing += all;
                kept += if bolt.made.keeps_documents { all } else { 0 };
            } else {
                behind[number] = before.max().unwrap_or(0) + bolt.made.copies;
            }
        }
        Self { passing, kept }
    }
}

pub(super) fn nodes(
    spouts: &[Prepared<'_, PreparedSpout>],
    bolts: &[Prepared<'_, PreparedBolt>],
    streams: &[Vec<String>],
) -> Vec<NodeReport> {
    let out = || vec!["out".to_owned()];
    let spouts = spouts.iter().map(|s| {
        let mut facts = s.made.facts.clone();
        facts.extend(overload_facts(s.component.overload));
        (s.component, facts, out())
    });
    let bolts = bolts.iter().zip(streams);
    let bolts = bolts.map(|(b, streams)| (b.component, b.made.facts.clone(), streams.clone()));
    spouts
        .chain(bolts)
        .map(|(component, facts, streams)| NodeReport {
            id: component.id.clone(),
            kind: component.kind.clone(),
            streams,
            facts,
        })
        .collect()
}

impl PlanReport {
    pub(super) fn new(
        graph: &Graph,
        streams: &[Vec<String>],
        nodes: Vec<NodeReport>,
        notes: Vec<String>,
        memory: MemoryReport,
    ) -> Self {
        let tasks = graph.tasks();
        let mut edges = Vec::new();
        for spout in &graph.spouts {
            for target in &spout.out {
                edges.push(edge(spout.id.to_string(), graph, target, false));
            }
        }
        for (number, bolt) in graph.bolts.iter().enumerate() {
            for (stream, target) in bolt.targets() {
                let from = match stream {
                    0 => bolt.id.to_string(),
                    named => format!("{}.{}", bolt.id, streams[number][named]),
                };
                let fused = stream != Stream::REJECTED.index()
                    && tasks[target.bolt] == tasks[number]
                    && matches!(target.grouping, Grouping::Local);
                edges.push(edge(from, graph, target, fused));
            }
        }
        Self {
            topology: graph.name.clone(),
            lanes: graph.lanes,
            nodes,
            edges,
            policies: graph.policies.clone(),
            lossy: (graph.lossy.iter())
                .map(|policy| graph.policies[policy.index()].clone())
                .collect(),
            notes,
            memory,
        }
    }
}

fn edge(from: String, graph: &Graph, target: &Target, fused: bool) -> EdgeReport {
    let (grouping, ordered) = match target.grouping {
        Grouping::Local => ("local", true),
        Grouping::Shuffle => ("shuffle", false),
        Grouping::Fields(_) => ("fields", true),
        // Records of one key may come on two lanes.
        Grouping::PartialKey(_) => ("partial_key", false),
        Grouping::All => ("all", true),
        Grouping::Global => ("global", true),
    };
    EdgeReport {
        from,
        to: graph.bolts[target.bolt].id.to_string(),
        grouping,
        fused,
        ordered,
        throttle: target.overload.throttle,
        on_full: on_full(target.overload.on_full),
    }
}

fn on_full(on_full: OnFull) -> Option<String> {
    Some(match on_full {
        OnFull::Block => return None,
        OnFull::DropNewest(_) => "drop_newest".to_owned(),
        OnFull::DropOldest(_) => "drop_oldest".to_owned(),
        OnFull::Sample { keep, .. } => format!("sample {:.0}%", keep * 100.0),
    })
}

/// What a plan tells of a spout that does not only wait.
fn overload_facts(overload: spec::Overload) -> Vec<(String, String)> {
    let throttle = overload.throttle.map(|rate| {
        let text = format!("reads at most {rate}, the rest waits at the source");
        ("throttle".to_owned(), text)
    });
    let dropped = match overload.on_full {
        spec::OnFull::Block => None,
        spec::OnFull::Sample(keep) => Some(format!("keeps {keep} of the records")),
        spec::OnFull::DropNewest | spec::OnFull::DropOldest => Some("drops records".to_owned()),
    };
    let dropped = dropped.map(|what| {
        let text = format!("{what} that come while there is no room in flight: lossy");
        ("on_full".to_owned(), text)
    });
    throttle.into_iter().chain(dropped).collect()
}
