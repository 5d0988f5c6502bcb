//! From a specification to a graph that can run, with everything that can be said before it does:
//! edges, bounds, guarantees, and every problem at once.

mod checks;
mod letters;
mod overload;
mod partial;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;
use std::sync::Arc;

use crate::graph::{BoltNode, Graph, Grouping, Output, SpoutNode, Target};
use crate::grouping::KeyHash;
use crate::json;
use crate::outcome::Policy;
use crate::registry::{Prepare, PreparedBolt, PreparedSpout, Registry};
use crate::rehearsal::Part;
use crate::retry::RetryPolicy;
use crate::retry::jitter::Jitter;
use crate::run::RejectLimit;
use crate::spec::{
    self, Component, Input, OnRejected, Path, Problem, Problems, Refused, Spec, check_all,
};
use crate::stream::Stream;
use crate::symbol::{Symbol, Symbols};

use overload::Overloads;
use partial::Unprepared;
pub use report::{EdgeReport, MemoryReport, NodeReport, PlanReport};

/// A topology that can be run, and what can be said about it.
pub struct Plan {
    /// What runs.
    pub graph: Graph,
    /// What is printed.
    pub report: PlanReport,
    /// How each bolt takes part in a rehearsal, by its number in the graph.
    pub parts: Vec<Part>,
    /// Ids of bolts with [`PreparedBolt::dates_by_clock`].
    pub dated_by_clock: Vec<String>,
}

/// A consumer of a stream, before numbers are known.
struct Edge<'s> {
    from: &'s str,
    stream: Stream,
    to: usize,
    grouping: &'s spec::Grouping,
    /// What the file says of it; `None` for the way of rejected records to the topology's dead letter.
    input: Option<&'s Input>,
    /// Whether dead letters may take it, and whether it is there that they are written; see `letters.rs`.
    letters: bool,
    dead_letter: bool,
}

/// How groupings write the key that a record has in its source.
const RECORD_KEY: &str = "kafka.key";

const LOCAL: &spec::Grouping = &spec::Grouping::Local;

/// A component with what its type made of it.
struct Prepared<'s, T> {
    component: &'s Component,
    made: T,
}

/// Prepares a topology. `cores` is the default number of lanes; `directory` is where relative paths
/// of the file start.
pub fn plan(
    spec: &Spec,
    registry: &Registry,
    cores: usize,
    directory: &FilePath,
) -> Result<Plan, Problems> {
    plan_after(Problems::default(), spec, registry, cores, directory)
}

/// As [`plan`], for what could be read of a file with problems: adds those that its components have.
/// Gives a plan only when there is no problem at all.
pub fn plan_after(
    mut problems: Problems,
    spec: &Spec,
    registry: &Registry,
    cores: usize,
    directory: &FilePath,
) -> Result<Plan, Problems> {
    let lanes = spec.settings.lanes.unwrap_or(cores).clamp(1, 255);
    let mut symbols = Symbols::new();
    let mut policies = Vec::new();
    let mut lossy = BTreeSet::new();
    let mut unprepared = Unprepared::of(spec);
    let connections = connections(spec, registry, &mut problems);
    let connections: BTreeMap<&str, &Component> = connections
        .iter()
        .map(|connection| (connection.id.as_str(), connection))
        .collect();
    let mut prepare = Prepare {
        topology: &spec.name,
        lanes,
        symbols: &mut symbols,
        policies: &mut policies,
        lossy: &mut lossy,
        connections: &connections,
        directory,
        memory_per_lane: 0,
        memory_shared: 0,
        shared: BTreeMap::new(),
    };
    let spouts = prepare_spouts(spec, registry, &mut prepare, &mut unprepared, &mut problems);
    let bolts = prepare_bolts(spec, registry, &mut prepare, &mut unprepared, &mut problems);

    let mut edges = Vec::new();
    checks::offer_streams(spec, &bolts, &mut problems);
    connect(&spouts, &bolts, &unprepared, &mut edges, &mut problems);
    let drops = connect_rejected(
        spec,
        &bolts,
        &unprepared,
        &mut edges,
        &mut prepare,
        &mut problems,
    );
    letters::mark(&bolts, &mut edges);
    checks::streams_lead_somewhere(&spouts, &bolts, &unprepared, &edges, &mut problems);
    checks::documents_are_made(&bolts, &edges, &mut problems);
    checks::letters_can_be_written(&bolts, &edges, &mut problems);
    checks::no_letter_is_dropped(&bolts, &edges, &mut problems);
    checks::no_record_is_split_too_often(&bolts, &edges, &mut problems);
    // It goes from the end to the start, and a cycle, which was told, has neither.
    if spec.sorted_bolts().len() == spec.bolts.len() {
        checks::no_record_arrives_twice(&spouts, &bolts, &edges, &mut problems);
    }
    checks::no_record_comes_round(&spouts, &bolts, &edges, &mut problems);
    checks::no_target_has_two_owners(&bolts, &mut problems);
    let groupings = groupings(&edges, &bolts, &mut prepare, &mut problems);
    let overloads = Overloads::of(&spouts, &bolts, &edges, &mut prepare, &mut problems);
    problems.or(())?;

    let mut memory = MemoryReport::new(&spouts, &bolts, &edges, lanes, symbols.len());
    let streams: Vec<Vec<String>> = bolts
        .iter()
        .map(|bolt| checks::stream_names(&bolt.made))
        .collect();
    let nodes = report::nodes(&spouts, &bolts, &streams);
    let parts = bolts.iter().map(|bolt| bolt.made.part()).collect();
    let by_clock = bolts.iter().filter(|bolt| bolt.made.dates_by_clock);
    let dated_by_clock = by_clock.map(|bolt| bolt.component.id.clone()).collect();
    let notes = checks::apart(&bolts, &edges, lanes);
    let graph = build(
        spec, lanes, symbols, policies, lossy, spouts, bolts, &edges, &groupings, &overloads,
        &drops,
    );
    memory.edges(&graph);
    let report = PlanReport::new(&graph, &streams, nodes, notes, memory);
    Ok(Plan {
        graph,
        report,
        parts,
        dated_by_clock,
    })
}

/// The connections, each without what is wrong with it, so that those who use it say nothing of that.
fn connections(spec: &Spec, registry: &Registry, problems: &mut Problems) -> Vec<Component> {
    let checked = spec.connections.iter().map(|component| {
        let Some(kind) = registry.connection(&component.kind) else {
            let known = registry.connections.iter().map(|kind| kind.name);
            checks::unknown_type(component, "connection", known.collect(), problems);
            return component.clone();
        };
        match checked(component, kind.schema, kind.check) {
            Ok(()) => component.clone(),
            Err(refused) => {
                problems.append(refused.problems);
                component.with(refused.mended)
            }
        }
    });
    checked.collect()
}

fn prepare_spouts<'s>(
    spec: &'s Spec,
    registry: &Registry,
    prepare: &mut Prepare<'_>,
    unprepared: &mut Unprepared<'s>,
    problems: &mut Problems,
) -> Vec<Prepared<'s, PreparedSpout>> {
    let mut prepared = Vec::new();
    for component in &spec.spouts {
        let Some(kind) = registry.spout(&component.kind) else {
            let known = registry.spouts.iter().map(|kind| kind.name);
            checks::unknown_type(component, "spout", known.collect(), problems);
            unprepared.add(component);
            continue;
        };
        let made = checked(component, kind.schema, |mended| {
            (kind.prepare)(mended, prepare)
        });
        match made {
            Ok(made) => prepared.push(Prepared { component, made }),
            Err(refused) => {
                problems.append(refused.problems);
                unprepared.add(component);
            }
        }
    }
    prepared
}

fn prepare_bolts<'s>(
    spec: &'s Spec,
    registry: &Registry,
    prepare: &mut Prepare<'_>,
    unprepared: &mut Unprepared<'s>,
    problems: &mut Problems,
) -> Vec<Prepared<'s, PreparedBolt>> {
    let mut prepared = Vec::new();
    let sorted = spec.sorted_bolts();
    // A topology with a cycle gets no plan, but its bolts are checked.
    let in_cycles: Vec<&Component> = match sorted.len() == spec.bolts.len() {
        true => Vec::new(),
        false => spec
            .bolts
            .iter()
            .filter(|bolt| !sorted.iter().any(|other| std::ptr::eq(*other, *bolt)))
            .collect(),
    };
    for component in sorted.into_iter().chain(in_cycles).chain(&spec.dead_letter) {
        let Some(kind) = registry.bolt(&component.kind) else {
            let known = registry.bolts.iter().map(|kind| kind.name);
            checks::unknown_type(component, "bolt", known.collect(), problems);
            unprepared.add(component);
            continue;
        };
        let made = checked(component, kind.schema, |mended| {
            kind.prepared(mended, prepare)
        });
        match made {
            Ok(made) => prepared.push(Prepared { component, made }),
            Err(refused) => {
                problems.append(refused.problems);
                unprepared.add(component);
            }
        }
    }
    prepared
}

/// What a type makes of a component, or everything that is wrong with it.
fn checked<T>(
    component: &Component,
    schema: fn() -> schemars::Schema,
    mut check: impl FnMut(&Component) -> Result<T, Problems>,
) -> Result<T, Refused> {
    let (config, path) = (&component.config, &component.path);
    check_all(config, path, schema, |config| {
        check(&component.with(config.clone()))
    })
}

fn connect<'s>(
    spouts: &[Prepared<'s, PreparedSpout>],
    bolts: &[Prepared<'s, PreparedBolt>],
    unprepared: &Unprepared<'s>,
    edges: &mut Vec<Edge<'s>>,
    problems: &mut Problems,
) {
    let stream_of = |input: &Input| -> Option<Result<Stream, Problem>> {
        let name = input.from.component.as_str();
        let bolt = bolts.iter().find(|bolt| bolt.component.id == name);
        let mut streams = bolt.map(|bolt| checks::stream_names(&bolt.made));
        // A spout of the same name has `out`, whichever was meant.
        if spouts.iter().any(|spout| spout.component.id == name) {
            let streams = streams.get_or_insert_with(|| vec![String::new()]);
            streams[0] = "out".to_owned();
        }
        // What is wrong with others was said already.
        let streams = streams?;
        Some(checks::stream_of(input, &streams))
    };
    for (to, bolt) in bolts.iter().enumerate() {
        for input in &bolt.component.inputs {
            match stream_of(input) {
                Some(Ok(stream)) => edges.push(Edge {
                    from: &input.from.component,
                    stream,
                    to,
                    grouping: &input.grouping,
                    input: Some(input),
                    letters: false,
                    dead_letter: false,
                }),
                Some(Err(problem)) => problems.push(problem),
                None => {}
            }
        }
    }
    for input in unprepared.inputs() {
        if let Some(Err(problem)) = stream_of(input) {
            problems.push(problem);
        }
    }
}

/// Leads `rejected` streams that nobody consumes to the dead letter, or into a policy.
fn connect_rejected<'s>(
    spec: &'s Spec,
    bolts: &[Prepared<'s, PreparedBolt>],
    unprepared: &Unprepared<'s>,
    edges: &mut Vec<Edge<'s>>,
    prepare: &mut Prepare<'_>,
    problems: &mut Problems,
) -> BTreeMap<&'s str, Policy> {
    let mut drops = BTreeMap::new();
    let is_letter =
        |bolt: &Component| (spec.dead_letter.iter()).any(|letter| std::ptr::eq(letter, bolt));
    let letters = bolts.iter().position(|bolt| is_letter(bolt.component));
    // What could not be prepared rejects records too.
    let rejecting = bolts.iter().filter(|bolt| bolt.made.rejects);
    let components = rejecting.map(|bolt| bolt.component);
    for component in components.chain(unprepared.bolts(spec)) {
        let id = component.id.as_str();
        let consumed = edges
            .iter()
            .any(|edge| edge.from == id && edge.stream == Stream::REJECTED);
        if consumed || is_letter(component) || unprepared.may_consume(id, "rejected") {
            continue;
        }
        match (component.on_rejected, letters) {
            (Some(OnRejected::Drop), _) => {
                let path = component.path.key("on_rejected");
                match prepare.policy(&format!("{id}.rejected"), &path) {
                    Ok(policy) => {
                        let _ = drops.insert(id, policy);
                    }
                    Err(problem) => problems.push(problem),
                }
            }
            (None, Some(to)) => edges.push(Edge {
                from: id,
                stream: Stream::REJECTED,
                to,
                grouping: LOCAL,
                input: None,
                letters: false,
                dead_letter: false,
            }),
            (None, None) if spec.dead_letter.is_some() => {}
            (None, None) => problems.push(
                Problem::new(
                    component.path.clone(),
                    "records that it rejects lead nowhere",
                )
                .expected(format!(
                    "a `dead_letter` of the topology, a bolt with `inputs: [{id}.rejected]`, or `on_rejected: drop`"
                ))
                .at(component.place),
            ),
        }
    }
    drops
}

/// How the records of each edge are spread, by its position in `edges`.
fn groupings(
    edges: &[Edge<'_>],
    bolts: &[Prepared<'_, PreparedBolt>],
    prepare: &mut Prepare<'_>,
    problems: &mut Problems,
) -> Vec<Grouping> {
    let mut grouping = |edge: &Edge<'_>| match edge.grouping {
        spec::Grouping::Local => Grouping::Local,
        spec::Grouping::Shuffle => Grouping::Shuffle,
        spec::Grouping::All => Grouping::All,
        spec::Grouping::Global => Grouping::Global,
        spec::Grouping::Fields(_) => {
            let keys = keys(edge, bolts, prepare, problems);
            Grouping::Fields(Arc::new(move |record| hash(&keys, record).slot()))
        }
        spec::Grouping::PartialKey(_) => {
            let keys = keys(edge, bolts, prepare, problems);
            Grouping::PartialKey(Arc::new(move |record| hash(&keys, record).slots()))
        }
    };
    edges.iter().map(&mut grouping).collect()
}

fn keys(
    edge: &Edge<'_>,
    bolts: &[Prepared<'_, PreparedBolt>],
    prepare: &mut Prepare<'_>,
    problems: &mut Problems,
) -> Vec<Key> {
    let bolt = bolts[edge.to].component;
    let (path, place) = match edge.input {
        Some(input) => (input.path.key("grouping"), input.place),
        None => (bolt.path.clone(), bolt.place),
    };
    let mut keys = Vec::new();
    for field in edge.grouping.fields() {
        match key_of(field, &path, prepare) {
            Ok(key) => keys.push(key),
            Err(problem) => problems.push(problem.at(place)),
        }
    }
    keys
}

fn hash(keys: &[Key], record: crate::Record<'_>) -> KeyHash {
    let mut hash = KeyHash::default();
    for key in keys {
        match key {
            Key::RecordKey => hash.add(record.key()),
            Key::Field(symbol, path) => {
                let mut value = record.get(*symbol);
                for step in path {
                    value = value.and_then(|value| json::member(value, step));
                }
                hash.add(value);
            }
        }
    }
    hash
}

/// A part of the key of a grouping by fields.
enum Key {
    RecordKey,
    Field(Symbol, Vec<String>),
}

fn key_of(field: &str, path: &Path, prepare: &mut Prepare<'_>) -> Result<Key, Problem> {
    if field == RECORD_KEY {
        return Ok(Key::RecordKey);
    }
    let mut steps = field
        .strip_prefix("doc.")
        .into_iter()
        .flat_map(|rest| rest.split('.'))
        .map(str::to_owned);
    match steps.next().filter(|first| !first.is_empty()) {
        Some(first) => Ok(Key::Field(prepare.symbol(&first, path)?, steps.collect())),
        None => Err(Problem::new(
            path.clone(),
            format!("`{field}` is not a field to group by"),
        )
        .expected("doc.NAME, doc.NAME.NESTED or kafka.key")),
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the one place where all parts come together"
)]
fn build<'s>(
    spec: &Spec,
    lanes: usize,
    symbols: Symbols,
    policies: Vec<String>,
    lossy: BTreeSet<Policy>,
    spouts: Vec<Prepared<'s, PreparedSpout>>,
    bolts: Vec<Prepared<'s, PreparedBolt>>,
    edges: &[Edge<'s>],
    groupings: &[Grouping],
    overloads: &Overloads,
    drops: &BTreeMap<&str, Policy>,
) -> Graph {
    let targets = |from: &str, stream: Stream| -> Vec<Target> {
        let edges = edges.iter().enumerate();
        edges
            .filter(|(_, edge)| edge.from == from && edge.stream == stream)
            .map(|(number, edge)| Target {
                bolt: edge.to,
                grouping: groupings[number].clone(),
                dead_letter: edge.dead_letter,
                overload: overloads.edges[number],
            })
            .collect()
    };
    let spouts = spouts.into_iter().zip(&overloads.spouts);
    let spouts = spouts.map(|(spout, overload)| SpoutNode {
        id: spout.component.id.as_str().into(),
        start: spout.made.start,
        out: targets(&spout.component.id, Stream::OUT),
        max_in_flight_records: spout.made.max_in_flight_records,
        max_in_flight_bytes: spout.made.max_in_flight_bytes,
        max_uncommitted: spout.made.max_uncommitted,
        overload: *overload,
    });
    let bolts = bolts.into_iter().map(|bolt| {
        let id = bolt.component.id.as_str();
        let streams = 2 + bolt.made.streams.len();
        let outputs = (0..streams).map(|index| {
            let stream = Stream::at(index);
            match drops.get(id) {
                Some(policy) if stream == Stream::REJECTED => Output::Drop(*policy),
                _ => Output::To(targets(id, stream)),
            }
        });
        BoltNode {
            id: id.into(),
            outputs: outputs.collect(),
            make: bolt.made.make,
        }
    });
    let settings = &spec.settings;
    Graph {
        name: spec.name.clone(),
        lanes,
        symbols: Arc::new(symbols),
        policies,
        lossy,
        spouts: spouts.collect(),
        bolts: bolts.collect(),
        retry: RetryPolicy {
            initial: settings.retry_initial.get(),
            max: settings.retry_max.get(),
            attempts_max: settings.max_attempts,
            seed: Jitter::any_seed(),
        },
        reject_limit: settings.reject_limit.map(|limit| RejectLimit {
            ratio: limit.ratio.get(),
            over: limit.over.get(),
        }),
        drain_timeout: settings.drain_timeout.get(),
        queue_batches: settings.queue_batches,
        queue_bytes: settings.queue_bytes.get(),
    }
}

#[cfg(test)]
mod tests;
