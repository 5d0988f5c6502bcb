//! What becomes of a batch whose records are spread over bulk bodies: it is answered when the last body
//! with a record of it is. All well is one answer; anything else is kept by row.

use std::cell::RefCell;
use std::rc::Rc;

use isobar_topology::{
    Answer, AsRead, Batch, Emitter, Failure, OperatorError, Policy, Rejection, Retry,
};

/// A batch on its way, shared by the bodies that hold records of it.
pub(crate) struct Pending {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// `None` while its records are still being written, and after it is answered.
    batch: Option<AsRead>,
    /// Bodies that are not answered yet, and the writing.
    open: usize,
    /// By row; empty while every row is delivered.
    outcomes: Vec<Outcome>,
    rejections: Vec<(u32, Rejection)>,
    /// Why rows are counted, the last reason.
    fault: Option<OperatorError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Delivered,
    AlreadyPresent,
    Held,
    Failed,
    Counted,
    Dropped(Policy),
    Rejected,
}

/// What becomes of one record.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It is in the index.
    Delivered,
    /// It was there already.
    AlreadyPresent,
    /// It was not sent, and waits until its host or index takes documents.
    Held,
    /// It is sent again, as often as it takes.
    Failed,
    /// It is sent again a bounded number of times, for this reason.
    Counted(OperatorError),
    /// It is left out on purpose.
    Dropped(Policy),
    /// It can never be indexed.
    Rejected(Rejection),
}

impl Pending {
    /// Starts to write a batch into bodies; [`Pending::written`] ends that.
    pub(crate) fn new() -> Rc<Self> {
        let state = State {
            open: 1,
            ..State::default()
        };
        Rc::new(Self {
            state: RefCell::new(state),
        })
    }

    /// Another body holds records of the batch: [`Pending::close`] ends that.
    pub(crate) fn open(&self) {
        self.state.borrow_mut().open += 1;
    }

    /// Says what becomes of a row of a batch with so many rows; the last word counts, and a row of
    /// which nothing else is said is delivered.
    pub(crate) fn settle(&self, row: u32, rows: usize, settled: Settled) {
        let mut state = self.state.borrow_mut();
        if state.outcomes.get(row as usize) == Some(&Outcome::Rejected) {
            state.rejections.retain(|(rejected, _)| *rejected != row);
        }
        let outcome = match settled {
            Settled::Delivered if state.outcomes.is_empty() => return,
            Settled::Delivered => Outcome::Delivered,
            Settled::AlreadyPresent => Outcome::AlreadyPresent,
            Settled::Held => Outcome::Held,
            Settled::Failed => Outcome::Failed,
            Settled::Counted(fault) => {
                state.fault = Some(fault);
                Outcome::Counted
            }
            Settled::Dropped(policy) => Outcome::Dropped(policy),
            Settled::Rejected(rejection) => {
                state.rejections.push((row, rejection));
                Outcome::Rejected
            }
        };
        if state.outcomes.is_empty() {
            state.outcomes = vec![Outcome::Delivered; rows];
        }
        state.outcomes[row as usize] = outcome;
    }

    /// All records of the batch are in bodies, or settled.
    pub(crate) fn written(&self, batch: Batch, out: &mut Emitter) {
        self.state.borrow_mut().batch = Some(batch.as_read());
        self.close(Some(out));
    }

    /// A body with records of the batch is answered. The last one answers the batch and emits what is
    /// rejected; where nothing can be emitted any more, that is failed.
    pub(crate) fn close(&self, out: Option<&mut Emitter>) {
        let mut state = self.state.borrow_mut();
        state.open -= 1;
        if state.open > 0 {
            return;
        }
        let settled = std::mem::take(&mut *state);
        drop(state);
        answer(settled, out);
    }
}

fn answer(state: State, out: Option<&mut Emitter>) {
    let State {
        batch,
        outcomes,
        mut rejections,
        fault,
        ..
    } = state;
    // Where a panic ended the writing, its batch was answered by that.
    let Some(batch) = batch else { return };
    if outcomes.is_empty() {
        return batch.answer(Answer::Delivered);
    }
    let part_of = |outcome: &Outcome| match outcome {
        Outcome::Rejected if out.is_some() => 2,
        Outcome::Counted => 1,
        _ => 0,
    };
    let parts: Vec<u8> = outcomes.iter().map(part_of).collect();
    let mut settled = outcomes.iter().zip(&parts).filter(|(_, part)| **part == 0);
    let mut parts = batch.part(&parts, 3).into_iter();
    if let Some(part) = parts.next().flatten() {
        part.into_ack().answer_each(|_| match settled.next() {
            Some((Outcome::Delivered, _)) => Answer::Delivered,
            Some((Outcome::AlreadyPresent, _)) => Answer::AlreadyPresent,
            Some((Outcome::Held, _)) => Answer::Failed(Failure::Held),
            Some((Outcome::Dropped(policy), _)) => Answer::Dropped(*policy),
            _ => Answer::Failed(Failure::External),
        });
    }
    if let Some(part) = parts.next().flatten() {
        let mut error = fault.expect("rows are counted for a reason");
        error.retry = Retry::Backoff;
        part.into_ack().fail(&error);
    }
    if let (Some(part), Some(out)) = (parts.next().flatten(), out) {
        rejections.sort_by_key(|(row, _)| *row);
        let part = part.into_batch();
        out.reject(part, rejections.into_iter().map(|(_, r)| r).collect());
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::Symbols;
    use isobar_topology::testing::{Fate, Harness, Input};

    use super::*;

    fn harness() -> (Harness, Batch) {
        let mut harness = Harness::new(Symbols::new());
        let inputs = [0; 5].map(|_| Input::document("{}"));
        let batch = harness.batch(&inputs);
        (harness, batch)
    }

    #[tokio::test]
    async fn a_batch_is_answered_once_all_its_bodies_are() {
        let (mut harness, batch) = harness();
        let pending = Pending::new();
        pending.open();
        pending.open();
        let mut out = harness.emitter();
        pending.close(Some(&mut out));
        pending.written(batch, &mut out);
        assert_eq!(harness.fates(), None);
        pending.close(Some(&mut out));
        assert_eq!(harness.fates(), Some(vec![Fate::Delivered; 5]));
        assert!(harness.emitted(out).await.is_empty());
    }

    #[tokio::test]
    async fn each_row_gets_its_own_answer_and_reason() {
        let (mut harness, batch) = harness();
        let pending = Pending::new();
        let settle = |row, settled| pending.settle(row, 5, settled);
        settle(0, Settled::Rejected(Rejection::new("mapping", "zero")));
        settle(4, Settled::Rejected(Rejection::new("mapping", "four")));
        settle(1, Settled::AlreadyPresent);
        settle(2, Settled::Failed);
        settle(3, Settled::Rejected(Rejection::new("mapping", "three")));
        // The last word counts.
        settle(0, Settled::Failed);
        settle(0, Settled::Delivered);
        let mut out = harness.emitter();
        pending.written(batch, &mut out);
        let emitted = harness.emitted(out).await;
        let reasons = emitted.iter().map(|e| {
            let rejection = e.rejection.as_ref().expect("on rejected");
            (e.offset, &*rejection.reason)
        });
        assert_eq!(reasons.collect::<Vec<_>>(), [(3, "three"), (4, "four")]);
        let fates = [
            Fate::Delivered,
            Fate::AlreadyPresent,
            Fate::Failed,
            Fate::DeadLettered,
            Fate::DeadLettered,
        ];
        assert_eq!(harness.fates(), Some(fates.to_vec()));
    }

    #[tokio::test]
    async fn what_can_be_emitted_no_more_is_sent_again() {
        let (mut harness, batch) = harness();
        let pending = Pending::new();
        pending.open();
        let mut out = harness.emitter();
        pending.written(batch, &mut out);
        pending.settle(0, 5, Settled::Rejected(Rejection::new("mapping", "no")));
        pending.settle(1, 5, Settled::Counted(OperatorError::user("odd")));
        pending.close(None);
        let fates = harness.fates().expect("answered");
        assert_eq!(fates[..2], [Fate::Failed; 2]);
        assert_eq!(fates[2..], [Fate::Delivered; 3]);
    }
}
