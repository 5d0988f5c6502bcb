//! Sends batches along the edges of a stream: forks for each further consumer, parts by key.

use std::cell::RefCell;
use std::sync::Arc;

use crate::batch::Batch;
use crate::graph::{BoltNode, GLOBAL_LANE, Grouping, Output, Target};
use crate::grouping::{Loads, Turn, part_by_key};
use crate::outcome::{Answer, Failure, Policy};
use crate::overload::{OnFull, sampled};
use crate::run::edges::Traffic;
use crate::run::inbox::Sender;
use crate::run::reject_limit::Limiter;

/// The inboxes of all tasks: by lane and by the bolt that heads the task.
pub(crate) type Inboxes = Arc<Vec<Vec<Option<Sender>>>>;

/// The edges of one stream, as seen from one lane.
pub(crate) struct Router {
    lane: usize,
    edges: Vec<Edge>,
    drop: Option<Policy>,
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
    on_full: OnFull,
    traffic: Traffic,
    /// By lane.
    inboxes: Vec<Sender>,
}

impl Router {
    /// The edges from `from` (a bolt's task, or `None` for a spout or a retry), with their `traffic`.
    pub(crate) fn new(
        lane: usize,
        from: Option<usize>,
        output: &Output,
        traffic: &[Traffic],
        heads: &[usize],
        inboxes: &Inboxes,
    ) -> Self {
        match output {
            Output::Drop(policy) => Self {
                lane,
                edges: Vec::new(),
                drop: Some(*policy),
            },
            Output::To(targets) => Self::to(lane, from, targets, traffic, heads, inboxes),
        }
    }

    pub(crate) fn to(
        lane: usize,
        from: Option<usize>,
        targets: &[Target],
        traffic: &[Traffic],
        heads: &[usize],
        inboxes: &Inboxes,
    ) -> Self {
        let edges = targets.iter().zip(traffic).map(|(target, traffic)| {
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
                on_full: target.overload.on_full,
                traffic: traffic.clone(),
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

    /// What is a dead letter is decided here, where it comes to the bolt that writes it.
    async fn send_along(&self, edge: &Edge, batch: Batch, fused: &mut impl FnMut(usize, Batch)) {
        if !edge.dead_letter {
            return self.pass(edge, batch, fused).await;
        }
        let (letters, others) = batch.part_letters();
        if let Some(letters) = letters {
            match &edge.limit {
                Some(Limit { limiter, bolt })
                    if !letters.passes_limit(|records| limiter.admits(records, bolt)) =>
                {
                    // They wait like any record that an outside system does not take.
                    letters.answer(Answer::Failed(Failure::External));
                }
                _ => self.pass(edge, letters.dead_letter(), fused).await,
            }
        }
        if let Some(others) = others {
            self.pass(edge, others, fused).await;
        }
    }

    async fn pass(&self, edge: &Edge, batch: Batch, fused: &mut impl FnMut(usize, Batch)) {
        edge.traffic.taps.show(&batch);
        if edge.fused {
            edge.traffic.count(batch.len(), batch.is_again());
            return fused(edge.bolt, batch);
        }
        if let Some(throttle) = &edge.traffic.throttle {
            throttle.pass(batch.len()).await;
        }
        let lanes = edge.inboxes.len();
        match &edge.grouping {
            Grouping::Local => edge.hand_over(self.lane, batch).await,
            Grouping::Shuffle => {
                let lane = edge.turn.borrow_mut().next(lanes);
                edge.hand_over(lane, batch).await;
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
                let last = lanes - 1;
                for lane in 0..last {
                    edge.hand_over(lane, batch.fork()).await;
                }
                edge.hand_over(last, batch).await;
            }
            Grouping::Global => edge.hand_over(GLOBAL_LANE, batch).await,
        }
    }
}

impl Edge {
    /// Sends each lane its part.
    async fn send_parts(&self, parts: Vec<Option<Batch>>) {
        for (lane, part) in parts.into_iter().enumerate() {
            if let Some(part) = part {
                self.hand_over(lane, part).await;
            }
        }
    }

    /// Puts a batch into the queue of the bolt on a lane, or does what the policy says when that has no
    /// room. Counts what went along.
    async fn hand_over(&self, lane: usize, batch: Batch) {
        let inbox = &self.inboxes[lane];
        if inbox.is_closed() {
            // Nobody takes anything any more: that is no overload, the records are handed back.
            return;
        }
        if self.on_full == OnFull::Block {
            return self.wait(inbox, batch).await;
        }
        // A policy that drops never waits; the lane has other tasks.
        tokio::task::coop::consume_budget().await;
        let (records, is_again) = (batch.len(), batch.is_again());
        let refused = match self.on_full {
            OnFull::DropOldest(policy) => inbox.try_send(self.bolt, batch, Some(policy)),
            _ => inbox.try_send(self.bolt, batch, None),
        };
        let Some(batch) = refused else {
            return self.traffic.count(records, is_again);
        };
        match self.on_full {
            OnFull::Block => self.wait(inbox, batch).await,
            OnFull::DropNewest(policy) => batch.answer(Answer::Dropped(policy)),
            OnFull::DropOldest(policy) => self.make_room(inbox, policy, batch),
            OnFull::Sample { keep, policy } => {
                let (kept, others) = sampled(batch, keep);
                if let Some(others) = others {
                    others.answer(Answer::Dropped(policy));
                }
                if let Some(kept) = kept {
                    self.wait(inbox, kept).await;
                }
            }
        }
    }

    async fn wait(&self, inbox: &Sender, batch: Batch) {
        self.traffic.count(batch.len(), batch.is_again());
        inbox.send(self.bolt, batch).await;
    }

    /// Drops what waits longest until there is room. What others sent stays: where nothing else is left
    /// to drop, the batch itself is.
    fn make_room(&self, inbox: &Sender, policy: Policy, mut batch: Batch) {
        let (records, is_again) = (batch.len(), batch.is_again());
        while let Some(oldest) = inbox.take_back(policy) {
            oldest.answer(Answer::Dropped(policy));
            match inbox.try_send(self.bolt, batch, Some(policy)) {
                None => return self.traffic.count(records, is_again),
                Some(refused) => batch = refused,
            }
        }
        batch.answer(Answer::Dropped(policy));
    }
}
