//! What tests of this crate and of operators share: a spout that reads a script, a bolt made of a
//! closure, a bolt prepared as a topology file says it, and a harness that runs one bolt over records
//! and says what became of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ack::{Completions, Ticket};
use crate::arena::ArenaBuilder;
use crate::batch::Batch;
use crate::error::OperatorError;
use crate::graph::BoltContext;
use crate::health::Health;
pub use crate::json::oracle::members;
use crate::operator::{AnyBolt, AnySpout, Bolt, Emitter, Next, SourceBatch, Spout};
use crate::ordinals::Ordinals;
use crate::outcome::{Code, Policy, Settled};
use crate::partition::Partition;
use crate::registry::{BoltType, Prepare, PreparedBolt};
use crate::rejection::Rejection;
use crate::request_times::RequestTimes;
use crate::run::Recoveries;
use crate::spec::{Component, Node, Overload, Path, Place, Problems, Value};
use crate::statistics::Counters;
use crate::stream::Stream;
use crate::symbol::Symbols;

/// A spout that hands out what a script holds, then ends.
pub struct Script {
    steps: VecDeque<Next>,
}

impl Script {
    /// A script of these steps.
    pub fn spout(steps: impl IntoIterator<Item = Next>) -> AnySpout {
        AnySpout::new(Self {
            steps: steps.into_iter().collect(),
        })
    }
}

impl Spout for Script {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        Ok(self.steps.pop_front().unwrap_or(Next::End))
    }
}

/// Records with these payloads from offset `start` on, as a spout hands them out.
pub fn source_batch<P: AsRef<[u8]>>(
    partition: &Arc<Partition>,
    start: i64,
    payloads: impl IntoIterator<Item = P>,
) -> SourceBatch {
    let mut builder = ArenaBuilder::new(Arc::clone(partition), 0, 0);
    for (offset, payload) in (start..).zip(payloads) {
        let payload = Some(payload.as_ref());
        builder.push(offset, 1_000 + offset, None, payload, std::iter::empty());
    }
    SourceBatch {
        arena: builder.finish(),
        dropped: Vec::new(),
    }
}

/// A bolt made of a function over each batch.
pub struct FnBolt<F>(pub F);

impl<F> Bolt for FnBolt<F>
where
    F: FnMut(Batch, &mut Emitter) -> Result<(), OperatorError> + 'static,
{
    async fn process(&mut self, batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
        (self.0)(batch, out)
    }
}

impl<F> FnBolt<F>
where
    F: FnMut(Batch, &mut Emitter) -> Result<(), OperatorError> + 'static,
{
    /// The bolt, erased.
    pub fn any(f: F) -> AnyBolt {
        AnyBolt::new(FnBolt(f))
    }
}

/// Lets tests of what operators share use a [`Prepare`] without connections.
pub fn with_prepare<T>(symbols: &mut Symbols, test: impl FnOnce(&mut Prepare<'_>) -> T) -> T {
    Prepare::alone(symbols, test)
}

/// A bolt as its type prepares it from the options in a topology file, and a harness to run it.
pub struct PreparedForTest {
    /// What the type made of the options.
    pub prepared: PreparedBolt,
    /// Names of policies, by [`crate::Policy::index`].
    pub policies: Vec<String>,
    /// What the bolt counts.
    pub counters: Counters,
    /// What is wrong with it.
    pub health: Health,
    /// Knows the names of fields that the options mention.
    pub harness: Harness,
}

impl PreparedForTest {
    /// Prepares the bolt `bolts.bolt` with these options; `type`, `inputs` and `on_rejected` may be
    /// among them and are left out.
    pub fn new(kind: &BoltType, options: &serde_json::Value) -> Result<Self, Problems> {
        Self::with_connections(kind, options, &serde_json::Value::Null, FilePath::new("."))
    }

    /// As [`PreparedForTest::new`], with a mapping of connections as in a topology file, and the
    /// directory in which that file would be.
    pub fn with_connections(
        kind: &BoltType,
        options: &serde_json::Value,
        connections: &serde_json::Value,
        directory: &FilePath,
    ) -> Result<Self, Problems> {
        let connections: Vec<Component> = Node::from_json(connections)
            .entries()
            .iter()
            .map(|entry| component("connections", &entry.key, &entry.node))
            .collect();
        let connections: BTreeMap<&str, &Component> = connections
            .iter()
            .map(|component| (component.id.as_str(), component))
            .collect();
        let (mut symbols, mut policies) = (Symbols::new(), Vec::new());
        let mut prepare = Prepare {
            topology: "test",
            lanes: 1,
            symbols: &mut symbols,
            policies: &mut policies,
            lossy: &mut BTreeSet::new(),
            connections: &connections,
            directory,
            memory_per_lane: 0,
            memory_shared: 0,
            shared: BTreeMap::new(),
        };
        let bolt = component("bolts", "bolt", &Node::from_json(options));
        let prepared = kind.prepared(&bolt, &mut prepare)?;
        Ok(Self {
            prepared,
            policies,
            counters: Counters::default(),
            health: Health::default(),
            harness: Harness::new(symbols),
        })
    }

    /// Makes the bolt, for the only lane.
    pub fn make(&self) -> AnyBolt {
        (self.prepared.make)(BoltContext {
            id: "bolt".into(),
            topology: "test".into(),
            lane: 0,
            lanes: 1,
            health: self.health.clone(),
            counters: self.counters.clone(),
            request_times: RequestTimes::default(),
            recoveries: Recoveries::default(),
        })
    }

    /// Makes the bolt and gives it the records in one batch; see [`Harness::run`].
    pub async fn run(&mut self, inputs: &[Input]) -> Vec<Emitted> {
        let mut bolt = self.make();
        self.harness.run(&mut bolt, inputs).await
    }
}

fn component(section: &str, id: &str, options: &Node) -> Component {
    let own = ["type", "inputs", "on_rejected"];
    let entries = options.entries().iter();
    let entries = entries.filter(|entry| !own.contains(&entry.key.as_str()));
    Component {
        id: id.to_owned(),
        kind: options
            .get("type")
            .and_then(Node::text)
            .unwrap_or_default()
            .to_owned(),
        inputs: Vec::new(),
        overload: Overload::default(),
        on_rejected: None,
        config: Node::new(Value::Map(entries.cloned().collect()), Place::default()),
        place: Place::default(),
        path: Path::root().key(section).key(id),
    }
}

/// Runs one bolt over records, outside of any topology.
pub struct Harness {
    symbols: Arc<Symbols>,
    completions: Arc<Completions>,
    batches: u64,
}

/// A record to give to a bolt.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's value, `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: Vec<(String, Vec<u8>)>,
    /// In ms since 1970.
    pub timestamp: i64,
    /// Makes the payload the document before the bolt sees the record.
    pub parsed: bool,
}

impl Input {
    /// A record whose payload is a JSON document that a parser has seen.
    pub fn document(json: &str) -> Self {
        Self {
            parsed: true,
            ..Self::raw(json)
        }
    }

    /// A record that no parser has seen.
    pub fn raw(payload: impl AsRef<[u8]>) -> Self {
        Self {
            payload: Some(payload.as_ref().to_vec()),
            timestamp: 1_700_000_000_000,
            ..Self::default()
        }
    }
}

/// What a bolt emitted for a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// The stream.
    pub stream: Stream,
    /// The document as text; `None` where the record has none.
    pub document: Option<String>,
    /// The offset in the source.
    pub offset: i64,
    /// Which part of the record it is, once it was split.
    pub part: Ordinals,
    /// The time of the event in ms since 1970.
    pub event_time: Option<i64>,
    /// Why the record was rejected, on that stream.
    pub rejection: Option<Rejection>,
}

/// What became of a record that a bolt answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Delivered.
    Delivered,
    /// Was there already.
    AlreadyPresent,
    /// Dropped by the policy of this number.
    Dropped(usize),
    /// Rejected and written as a dead letter.
    DeadLettered,
    /// Will be retried.
    Failed,
}

impl Harness {
    /// A harness for bolts that were built with these names.
    pub fn new(symbols: Symbols) -> Self {
        Self {
            symbols: Arc::new(symbols),
            completions: Arc::default(),
            batches: 0,
        }
    }

    /// Makes a batch with offsets from 0.
    pub fn batch(&mut self, inputs: &[Input]) -> Batch {
        let partition = Partition::for_tests("topic", 3);
        let mut builder = ArenaBuilder::new(partition, inputs.len(), 0);
        for (offset, input) in inputs.iter().enumerate() {
            let headers = input.headers.iter();
            builder.push(
                offset as i64,
                input.timestamp,
                input.key.as_deref(),
                input.payload.as_deref(),
                headers.map(|(name, value)| (name.as_bytes(), Some(value.as_slice()))),
            );
        }
        let ticket = Ticket {
            ledger: 0,
            entry: self.batches,
            records: None,
            attempts: 0,
            retries: 0,
            holds: 0,
            recoveries: 0,
        };
        self.batches += 1;
        let ack = self.completions.start(ticket, inputs.len());
        let symbols = Arc::clone(&self.symbols);
        let mut batch = Batch::new(Arc::new(builder.finish()), symbols, None, ack);
        for (row, input) in inputs.iter().enumerate() {
            if input.parsed {
                let adopted = batch.record_mut(row).adopt_json();
                adopted.expect("a test that gives a document gives a valid one");
            }
        }
        batch
    }

    /// Makes a batch of dead letters with offsets from 0, all rejected for the same reason.
    pub fn letters(&mut self, inputs: &[Input], rejection: &Rejection) -> Batch {
        let rejections = vec![rejection.clone(); inputs.len()];
        let batch = self.batch(inputs).start_over();
        batch.rejected(rejections).dead_letter()
    }

    /// An emitter for a bolt named `bolt`.
    pub fn emitter(&self) -> Emitter {
        Emitter::new("bolt".into())
    }

    /// Gives the records to the bolt in one batch and returns what it emitted, in order; the records
    /// emitted are answered as delivered.
    pub async fn run(&mut self, bolt: &mut impl Bolt, inputs: &[Input]) -> Vec<Emitted> {
        let batch = self.batch(inputs);
        let mut out = self.emitter();
        let result = bolt.process(batch, &mut out).await;
        result.expect("a test that expects an error calls the bolt itself");
        self.emitted(out).await
    }

    /// Waits for detached work and lists everything that was emitted.
    pub async fn emitted(&mut self, out: Emitter) -> Vec<Emitted> {
        let mut records = Vec::new();
        let mut emitters = VecDeque::from([out]);
        while let Some(mut out) = emitters.pop_front() {
            for (stream, batch) in out.emitted.drain(..) {
                for row in 0..batch.len() {
                    let record = batch.record(row);
                    let mut document = Vec::new();
                    let has_document = record.write(&mut document);
                    records.push(Emitted {
                        stream,
                        document: has_document
                            .then(|| String::from_utf8(document).expect("documents are UTF-8")),
                        offset: record.offset(),
                        part: record.ordinals(),
                        event_time: record.event_time(),
                        rejection: batch.rejection(row).cloned(),
                    });
                }
                let dead_letter = stream == Stream::REJECTED;
                let batch = if dead_letter {
                    batch.dead_letter()
                } else {
                    batch
                };
                batch.answer(crate::Answer::Delivered);
            }
            for work in out.detached.drain(..) {
                emitters.push_back(work.await);
            }
        }
        records
    }

    /// Takes what became of the records of the oldest batch that is fully answered.
    pub fn fates(&mut self) -> Option<Vec<Fate>> {
        let completion = self.completions.take()?;
        Some(completion.codes.into_iter().map(fate).collect())
    }
}

fn fate(code: Code) -> Fate {
    match code.settled() {
        Some(Settled::Delivered) => Fate::Delivered,
        Some(Settled::AlreadyPresent) => Fate::AlreadyPresent,
        Some(Settled::Dropped(policy)) => Fate::Dropped(policy.index()),
        Some(Settled::DeadLettered) => Fate::DeadLettered,
        None => Fate::Failed,
    }
}

/// The policy of this number, without a plan that names it.
///
/// Panics from [`Policy::MAX`] on.
pub fn policy(number: usize) -> Policy {
    Policy::new(number).expect("a test has few policies")
}

/// Collects what bolts saw, from any lane.
pub type Seen<T> = Arc<Mutex<Vec<T>>>;

/// Adds to what was seen.
pub fn see<T>(seen: &Seen<T>, what: T) {
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(what);
}
