//! Sends batches along the edges of a stream: forks for each further consumer, parts by key.

use std::cell::RefCell;
use std::sync::Arc;

use crate::batch::Batch;
use crate::graph::{BoltNode, GLOBAL_LANE, Grouping, Output, Target};
use crate::grouping::{Loads, Turn, part_by_key};
use crate::outcome::{Answer, Failure};
use crate::run::inbox::Sender;
use crate::run::reject_limit::Limiter;
use crate::statistics::Counter;

/// The inboxes of all tasks: by lane and by the bolt that heads the task.
pub(crate) type Inboxes = Arc<Vec<Vec<Option<Sender>>>>;

/// The edges of one stream, as seen from one lane.
pub(crate) struct Router {
    lane: usize,
    edges: Vec<Edge>,
    drop: Option<crate::Policy>,
}

/// What bounds the dead letters along an edge.
struct Limit {
    limiter: Arc<Limiter>,
    /// The bolt that writes them.
    bolt: Arc<str>,
}

struct Edge {
    bolt: usize,
    /// The bolt belongs to the sender's own task.
    fused: bool,
    dead_letter: bool,
    limit: Option<Limit>,
    grouping: Grouping,
    turn: RefCell<Turn>,
    /// Of a `partial_key` edge.
    loads: RefCell<Loads>,
    /// Records that went along it, over all lanes.
    sent: Counter,
    /// By lane.
    inboxes: Vec<Sender>,
}

impl Router {
    /// The edges from `from` (a bolt's task, or `None` for a spout or a retry), which count in `sent`.
    pub(crate) fn new(
        lane: usize,
        from: Option<usize>,
        output: &Output,
        sent: &[Counter],
        heads: &[usize],
        inboxes: &Inboxes,
    ) -> Self {
        match output {
            Output::Drop(policy) => Self {
                lane,
                edges: Vec::new(),
                drop: Some(*policy),
            },
            Output::To(targets) => Self::to(lane, from, targets, sent, heads, inboxes),
        }
    }

    pub(crate) fn to(
        lane: usize,
        from: Option<usize>,
        targets: &[Target],
        sent: &[Counter],
        heads: &[usize],
        inboxes: &Inboxes,
    ) -> Self {
        let edges = targets.iter().zip(sent).map(|(target, sent)| {
            let head = heads[target.bolt];
            Edge {
                bolt: target.bolt,
                fused: from == Some(head),
                dead_letter: target.dead_letter,
                limit: None,
                grouping: target.grouping.clone(),
                turn: RefCell::default(),
                loads: RefCell::new(Loads::new(match &target.grouping {
                    Grouping::PartialKey(_) => inboxes.len(),
                    _ => 0,
                })),
                sent: sent.clone(),
                inboxes: inboxes
                    .iter()
                    .map(|lane| lane[head].clone().expect("each head has an inbox"))
                    .collect(),
            }
        });
        Self {
            lane,
            edges: edges.collect(),
            drop: None,
        }
    }

    /// The same, with its dead letters bounded.
    pub(crate) fn limited(mut self, limiter: Option<&Arc<Limiter>>, bolts: &[BoltNode]) -> Self {
        for edge in self.edges.iter_mut().filter(|edge| edge.dead_letter) {
            edge.limit = limiter.map(|limiter| Limit {
                limiter: Arc::clone(limiter),
                bolt: Arc::clone(&bolts[edge.bolt].id),
            });
        }
        self
    }

    /// Whether nobody consumes the stream and no policy drops its records.
    pub(crate) fn leads_nowhere(&self) -> bool {
        self.edges.is_empty() && self.drop.is_none()
    }

    /// Sends to every consumer; for consumers in the sender's own task calls `fused` instead.
    ///
    /// A batch without consumer is dropped, which fails it: the planner lets no such stream through.
    pub(crate) async fn send(&self, batch: Batch, mut fused: impl FnMut(usize, Batch)) {
        if let Some(policy) = self.drop {
            batch.answer(Answer::Dropped(policy));
            return;
        }
        let Some((last, others)) = self.edges.split_last() else {
            return;
        };
        for edge in others {
            self.send_along(edge, batch.fork(), &mut fused).await;
        }
        self.send_along(last, batch, &mut fused).await;
    }

    async fn send_along(&self, edge: &Edge, batch: Batch, fused: &mut impl FnMut(usize, Batch)) {
        if let Some(limit) = &edge.limit
            && let at_fault @ 1.. = batch.at_fault()
            && !limit.limiter.admits(at_fault, &limit.bolt)
        {
            // It waits like any record that an outside system does not take.
            return batch.answer(Answer::Failed(Failure::External));
        }
        let copies = match edge.grouping {
            Grouping::All => edge.inboxes.len(),
            _ => 1,
        };
        edge.sent.add((batch.len() * copies) as u64);
        let batch = if edge.dead_letter {
            batch.dead_letter()
        } else {
            batch
        };
        if edge.fused {
            return fused(edge.bolt, batch);
        }
        let lanes = edge.inboxes.len();
        match &edge.grouping {
            Grouping::Local => edge.inboxes[self.lane].send(edge.bolt, batch).await,
            Grouping::Shuffle => {
                let lane = edge.turn.borrow_mut().next(lanes);
                edge.inboxes[lane].send(edge.bolt, batch).await;
            }
            Grouping::Fields(slot) => {
                let parts = part_by_key(batch, lanes, |record| slot(record));
                edge.send_parts(parts).await;
            }
            Grouping::PartialKey(slots) => {
                let parts = edge.loads.borrow_mut().part(batch, |record| slots(record));
                edge.send_parts(parts).await;
            }
            Grouping::All => {
                let (last, others) = edge.inboxes.split_last().expect("there is a lane");
                for inbox in others {
                    inbox.send(edge.bolt, batch.fork()).await;
                }
                last.send(edge.bolt, batch).await;
            }
            Grouping::Global => edge.inboxes[GLOBAL_LANE].send(edge.bolt, batch).await,
        }
    }
}

impl Edge {
    /// Sends each lane its part.
    async fn send_parts(&self, parts: Vec<Option<Batch>>) {
        for (inbox, part) in self.inboxes.iter().zip(parts) {
            if let Some(part) = part {
                inbox.send(self.bolt, part).await;
            }
        }
    }
}
