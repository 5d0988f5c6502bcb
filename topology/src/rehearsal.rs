//! Runs single records through the bolts of a topology, with nothing written anywhere, and tells what
//! each bolt made of them.
//!
//! The bolts are the ones that run in earnest, one copy of each; sinks say what they would write, by the
//! code that would write it. What lanes, queues, retries and acks do is left out: a record goes alone,
//! from bolt to bolt, and a failure that would be retried is told.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt;

use crate::ack::{Ack, Completion, Completions, Ticket};
use crate::arena::Arena;
use crate::batch::Batch;
use crate::clock;
use crate::error::{Domain, OperatorError};
use crate::graph::{BoltContext, Graph, Grouping, MakeBolt, Output, Target};
use crate::health::Health;
use crate::operator::{Emitter, ErasedBolt, SourceBatch};
use crate::ordinals::Ordinals;
use crate::outcome::{Answer, Failure, Policy, Settled};
use crate::plan::{NodeReport, Plan};
use crate::rejection::Rejection;
use crate::request_times::RequestTimes;
use crate::run::Recoveries;
use crate::run::bolt_task::{Fault, called, guarded};
use crate::statistics::Counters;
use crate::stream::Stream;

/// How a bolt takes part in a rehearsal.
#[derive(Clone)]
pub enum Part {
    /// It runs as in earnest: it reaches no outside system.
    Runs,
    /// It is a sink and says what it would write.
    Drafts(Arc<MakeDrafter>),
    /// It is a sink that cannot say: whatever reaches it counts as written.
    StandsBack,
}

/// Makes what drafts in place of a sink.
pub type MakeDrafter = dyn Fn(&BoltContext) -> Box<Drafter> + Send + Sync;
/// Drafts what a sink would write of the only record of a batch, or says why it would reject it.
pub type Drafter = dyn FnMut(&Batch) -> Result<Draft, Rejection>;

/// What a sink would write of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// What it would be written to: `index`, `data_stream`, `topic`, `file`, …
    pub kind: &'static str,
    /// The name of that.
    pub target: String,
    /// The document id, where the sink gives one.
    pub id: Option<String>,
    /// The key, for systems that have keys.
    pub key: Option<Vec<u8>>,
    /// The document, or the bytes that stand for it; `None` for a tombstone.
    pub content: Option<Vec<u8>>,
    /// The member of the document that tells where the record comes from.
    pub origin: Option<String>,
}

/// What became of a record.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// What each bolt put out, in the order in which it happened.
    pub steps: Vec<Step>,
    /// Where the record came to an end: once for each branch.
    pub ends: Vec<End>,
}

/// A record as a bolt put it out.
#[derive(Clone, Debug)]
pub struct Step {
    /// The step that it came from; `None` where that is the spout.
    pub after: Option<usize>,
    /// The bolt, by its number in the graph.
    pub bolt: usize,
    /// The stream that it left on.
    pub stream: Stream,
    /// Which part of the record it is, once it was split.
    pub part: Ordinals,
    /// The document, if there is one.
    pub document: Option<Vec<u8>>,
    /// The time of the event in ms since 1970.
    pub event_time: Option<i64>,
    /// Why the bolt rejected it, on that stream.
    pub rejection: Option<Rejection>,
}

/// An end of a record's way.
#[derive(Clone, Debug)]
pub struct End {
    /// The last step before it; `None` where that is the spout.
    pub after: Option<usize>,
    /// The bolt that it came to, by its number in the graph; `None` for the spout.
    pub bolt: Option<usize>,
    /// What became of it there.
    pub outcome: Outcome,
}

/// What became of a record at the end of its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It would be written.
    Written(Draft),
    /// It would be a dead letter.
    Rejected(Rejection),
    /// It is left out on purpose.
    Dropped(Policy),
    /// The bolt failed in a way that is tried again, since another system is at fault.
    Failed(String),
}

/// A topology that records are run through one by one.
pub struct Rehearsal {
    graph: Graph,
    nodes: Vec<NodeReport>,
    players: Vec<Player>,
    completions: Arc<Completions>,
    /// Numbers the calls on bolts.
    calls: u64,
}

struct Player {
    context: BoltContext,
    make: Arc<MakeBolt>,
    role: Role,
}

enum Role {
    Bolt(Box<dyn ErasedBolt>),
    Drafter(Box<Drafter>),
    StandsBack,
    /// It failed badly, and is made anew for the next record.
    Gone,
}

/// A record on its way to a bolt.
struct OnItsWay {
    after: Option<usize>,
    bolt: usize,
    batch: Batch,
}

impl Rehearsal {
    /// Makes the bolts of a plan, and opens those that run. Fails when one of them cannot be opened.
    pub async fn new(plan: Plan) -> Result<Self, OperatorError> {
        let spouts = plan.graph.spouts.len();
        let nodes = plan.report.nodes.into_iter().skip(spouts).collect();
        Self::of(plan.graph, nodes, plan.parts).await
    }

    async fn of(
        graph: Graph,
        nodes: Vec<NodeReport>,
        parts: Vec<Part>,
    ) -> Result<Self, OperatorError> {
        let mut players = Vec::new();
        for (node, part) in graph.bolts.iter().zip(parts) {
            let context = BoltContext {
                id: Arc::clone(&node.id),
                topology: graph.name.as_str().into(),
                lane: 0,
                lanes: 1,
                health: Health::default(),
                counters: Counters::default(),
                request_times: RequestTimes::default(),
                recoveries: Recoveries::default(),
            };
            let role = match part {
                Part::Runs => Role::Bolt(opened(&node.make, &context).await?),
                Part::Drafts(make) => Role::Drafter(make(&context)),
                Part::StandsBack => Role::StandsBack,
            };
            players.push(Player {
                context,
                make: Arc::clone(&node.make),
                role,
            });
        }
        Ok(Self {
            nodes,
            graph,
            players,
            completions: Arc::default(),
            calls: 0,
        })
    }

    /// The topology.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The bolts by number, with the names of their types and streams.
    pub fn nodes(&self) -> &[NodeReport] {
        &self.nodes
    }

    /// Runs the first record of a batch through the topology, as the spout of this number would hand it
    /// out. `now` is the time in ms since 1970 that it takes place at, if not the present.
    ///
    /// Fails when a bolt that panicked cannot be opened again.
    pub async fn run(
        &mut self,
        spout: usize,
        source: SourceBatch,
        now: Option<i64>,
    ) -> Result<Trace, OperatorError> {
        let _pinned = now.map(clock::pin);
        let mut trace = Trace::default();
        let arena = Arc::new(source.arena.with_read_at(clock::unix_ms()));
        if let Some((_, policy)) = source.dropped.first() {
            trace.ends.push(End {
                after: None,
                bolt: None,
                outcome: Outcome::Dropped(*policy),
            });
            return Ok(trace);
        }
        let batch = self.batch(&arena);
        let mut waiting = VecDeque::new();
        self.forward(batch, None, &self.graph.spouts[spout].out, &mut waiting);
        while let Some(next) = waiting.pop_front() {
            self.play(next, &arena, &mut trace, &mut waiting).await?;
        }
        Ok(trace)
    }

    async fn play(
        &mut self,
        next: OnItsWay,
        arena: &Arc<Arena>,
        trace: &mut Trace,
        waiting: &mut VecDeque<OnItsWay>,
    ) -> Result<(), OperatorError> {
        let OnItsWay {
            after,
            bolt,
            mut batch,
        } = next;
        self.calls += 1;
        batch
            .replace_ack(self.ack(self.calls))
            .answer(Answer::Delivered);
        batch.taken_by(bolt);
        let Played { draft, emitted } = self.players[bolt].play(batch).await?;
        let went_on = !emitted.is_empty();
        for (stream, batch) in emitted {
            for batch in alone(batch) {
                self.put_out(after, bolt, stream, batch, trace, waiting);
            }
        }
        let outcome = match self.completion() {
            _ if draft.is_some() => draft.map(Outcome::Written),
            None => Some(Outcome::Failed("the bolt keeps the record".to_owned())),
            Some(completion) => match completion.codes[0].settled() {
                Some(Settled::Dropped(policy)) => Some(Outcome::Dropped(policy)),
                Some(_) if went_on => None,
                Some(_) => Some(Outcome::Written(self.players[bolt].unknown(None))),
                None => match refusal(&completion) {
                    Err(text) => Some(Outcome::Failed(text)),
                    Ok(mut rejection) => {
                        rejection.bolt = Arc::clone(&self.players[bolt].context.id);
                        let batch = self.batch(arena).rejected(vec![rejection]);
                        self.put_out(after, bolt, Stream::REJECTED, batch, trace, waiting);
                        None
                    }
                },
            },
        };
        trace.ends.extend(outcome.map(|outcome| End {
            after,
            bolt: Some(bolt),
            outcome,
        }));
        Ok(())
    }

    /// Notes a record that left a bolt, and sends it to those that consume the stream.
    fn put_out(
        &self,
        after: Option<usize>,
        bolt: usize,
        stream: Stream,
        batch: Batch,
        trace: &mut Trace,
        waiting: &mut VecDeque<OnItsWay>,
    ) {
        let record = batch.record(0);
        let mut document = Vec::new();
        let has_document = record.write(&mut document);
        trace.steps.push(Step {
            after,
            bolt,
            stream,
            part: record.ordinals(),
            document: has_document.then_some(document),
            event_time: record.event_time(),
            rejection: batch.rejection(0).cloned(),
        });
        let after = Some(trace.steps.len() - 1);
        let mut end = |bolt, outcome| {
            trace.ends.push(End {
                after,
                bolt,
                outcome,
            });
        };
        match self.graph.bolts[bolt].output(stream) {
            Output::Drop(policy) => {
                batch.answer(Answer::Dropped(*policy));
                end(None, Outcome::Dropped(*policy));
            }
            Output::To(targets) => {
                if let Some(rejection) = batch.rejection(0) {
                    for letter in targets.iter().filter(|target| target.dead_letter) {
                        end(Some(letter.bolt), Outcome::Rejected(rejection.clone()));
                    }
                }
                self.forward(batch, after, targets, waiting);
            }
        }
    }

    /// Gives a copy of a record to each consumer that does not write it as a dead letter.
    fn forward(
        &self,
        batch: Batch,
        after: Option<usize>,
        targets: &[Target],
        waiting: &mut VecDeque<OnItsWay>,
    ) {
        let is_letter = batch.rejection(0).is_some();
        for target in targets {
            if is_letter && target.dead_letter {
                continue;
            }
            let copies = match target.grouping {
                Grouping::All => self.graph.lanes,
                _ => 1,
            };
            for _ in 0..copies {
                let mut copy = batch.fork();
                // The duty of the call ends here; nobody waits for it while the record is on its way.
                copy.replace_ack(self.ack(0)).answer(Answer::Delivered);
                waiting.push_back(OnItsWay {
                    after,
                    bolt: target.bolt,
                    batch: copy,
                });
            }
        }
        batch.answer(Answer::Delivered);
    }

    /// The record as it was read.
    fn batch(&self, arena: &Arc<Arena>) -> Batch {
        let symbols = Arc::clone(&self.graph.symbols);
        Batch::new(Arc::clone(arena), symbols, Some(&[0]), self.ack(0))
    }

    /// The duty to answer for one record in a call; 0 stands for none.
    fn ack(&self, call: u64) -> Ack {
        let ticket = Ticket {
            ledger: 0,
            entry: call,
            records: None,
            attempts: 0,
            retries: 0,
            holds: 0,
            recoveries: 0,
        };
        self.completions.start(ticket, 1)
    }

    /// What the present call has answered; `None` while something is open.
    fn completion(&self) -> Option<Completion> {
        let all = std::iter::from_fn(|| self.completions.take());
        all.filter(|completion| completion.ticket.entry == self.calls)
            .last()
    }
}

/// What a call on a bolt gave.
#[derive(Default)]
struct Played {
    draft: Option<Draft>,
    emitted: Vec<(Stream, Batch)>,
}

impl Player {
    async fn play(&mut self, batch: Batch) -> Result<Played, OperatorError> {
        if matches!(self.role, Role::Gone) {
            self.role = Role::Bolt(opened(&self.make, &self.context).await?);
        }
        let mut played = Played::default();
        match &mut self.role {
            Role::Bolt(bolt) => {
                let fault = work(bolt.as_mut(), &self.context.id, batch, &mut played.emitted).await;
                if let Some(Fault::Panic(_)) = fault {
                    self.role = Role::Gone;
                }
            }
            Role::Drafter(draft) => match draft(&batch) {
                Ok(draft) => {
                    batch.answer(Answer::Delivered);
                    played.draft = Some(draft);
                }
                Err(mut rejection) => {
                    rejection.bolt = Arc::clone(&self.context.id);
                    let rejected = batch.start_over().rejected(vec![rejection]);
                    played.emitted.push((Stream::REJECTED, rejected));
                }
            },
            Role::StandsBack | Role::Gone => {
                played.draft = Some(self.unknown(Some(&batch)));
                batch.answer(Answer::Delivered);
            }
        }
        Ok(played)
    }

    /// The draft of a sink that says nothing of what it writes: the document as it came.
    fn unknown(&self, batch: Option<&Batch>) -> Draft {
        let content = batch.map(|batch| {
            let (record, mut document) = (batch.record(0), Vec::new());
            match record.write(&mut document) {
                true => document,
                false => record.payload().unwrap_or_default().to_vec(),
            }
        });
        Draft {
            kind: "bolt",
            target: self.context.id.to_string(),
            content,
            ..Draft::default()
        }
    }
}

async fn opened(
    make: &Arc<MakeBolt>,
    context: &BoltContext,
) -> Result<Box<dyn ErasedBolt>, OperatorError> {
    let mut bolt = make(context.clone()).0;
    match guarded(bolt.open()).await {
        Ok(()) => Ok(bolt),
        Err(Fault::Error(error) | Fault::Panic(error)) => Err(error),
    }
}

/// Gives a record to a bolt, lets it send off what it keeps, and waits for what it does beside.
async fn work(
    bolt: &mut dyn ErasedBolt,
    id: &Arc<str>,
    batch: Batch,
    emitted: &mut Vec<(Stream, Batch)>,
) -> Option<Fault> {
    let mut out = Emitter::new(Arc::clone(id));
    let mut fault = called(bolt.process(batch, &mut out)).await.err();
    if fault.is_none() && bolt.deadline().is_some() {
        fault = called(bolt.flush(&mut out)).await.err();
    }
    let mut emitters = VecDeque::from([out]);
    while let Some(out) = emitters.pop_front() {
        let Emitter {
            emitted: now,
            detached,
            ..
        } = out;
        emitted.extend(now);
        for work in detached {
            match called(work.map(Ok).boxed_local()).await {
                Ok(out) => emitters.push_back(out),
                Err(error) => fault = Some(error),
            }
        }
    }
    fault
}

/// What the runtime would reject the record for, or the reason why it would go on trying.
fn refusal(completion: &Completion) -> Result<Rejection, String> {
    let (domain, text) = match &completion.note {
        Some(note) => (note.domain, note.text.clone()),
        None => (
            Domain::Internal,
            "a bolt failed the record and did not say why".into(),
        ),
    };
    match completion.codes[0].failure() {
        Some(Failure::Attributable | Failure::Poison) => Ok(Rejection::of_fault(domain, text)),
        _ => Err(text.into_owned()),
    }
}

/// Each record of a batch in a batch of its own.
fn alone(batch: Batch) -> Vec<Batch> {
    let mut all = Vec::with_capacity(batch.len());
    let mut rest = Some(batch);
    while let Some(batch) = rest.take() {
        if batch.len() < 2 {
            all.push(batch);
            break;
        }
        let mut part_of = vec![1; batch.len()];
        part_of[0] = 0;
        let mut parts = batch.part(&part_of, 2).into_iter();
        all.extend(parts.next().flatten());
        rest = parts.next().flatten();
    }
    all
}

#[cfg(test)]
mod tests;
