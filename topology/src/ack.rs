//! The duty to answer for the records of a batch.
//!
//! An [`Ack`] moves with its batch, cannot be cloned, forks only by name, and *dropped unanswered
//! means failed*: a `?`, a panic or a forgotten branch lead to a retry, never to loss.
//! One lock and one pass over a byte per record for each batch, nothing for each record's sake.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::{Domain, OperatorError, Retry};
use crate::outcome::{Answer, Code, Failure};

/// The duty to answer for some records of one attempt of one batch, in the order of the batch's rows.
#[must_use = "an ack that is dropped fails its records"]
#[derive(Debug)]
pub struct Ack {
    /// Taken when answered.
    tracker: Option<Arc<Tracker>>,
    positions: Positions,
    /// Answers better than this count as this: deliveries of dead letters are dead-lettered records.
    floor: Code,
    /// The bolt that took the batch last, by its number in the plan: whoever holds the ack, be it in
    /// work that goes on beside the bolt.
    holder: Option<usize>,
}

/// Which records of an attempt, by position in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Positions {
    /// All of them, in order.
    All(usize),
    /// These, in the order of the rows; a position may occur more than once (children of one record).
    Some(Vec<u32>),
}

impl Ack {
    /// How many rows the ack covers.
    pub fn len(&self) -> usize {
        match &self.positions {
            Positions::All(count) => *count,
            Positions::Some(positions) => positions.len(),
        }
    }

    /// Whether the ack covers nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the same answer for every row.
    pub fn answer(mut self, answer: Answer) {
        self.settle(|_| Code::of(answer));
    }

    /// Answers row by row; `answer` is called once per row, in order.
    pub fn answer_each(mut self, mut answer: impl FnMut(usize) -> Answer) {
        self.settle(|row| Code::of(answer(row)));
    }

    /// Fails every row for the same reason.
    pub fn fail(mut self, error: &OperatorError) {
        if let Some(tracker) = &self.tracker {
            tracker.lock().note(error);
        }
        self.settle(|_| Code::failed(Failure::from(error)));
    }

    /// Says which bolt takes the batch.
    pub(crate) fn taken_by(&mut self, bolt: usize) {
        self.holder = Some(bolt);
    }

    /// Makes a second ack for the same rows: a fan-out. Each branch must answer, the worst counts.
    pub fn fork(&self) -> Ack {
        if let Some(tracker) = &self.tracker {
            let mut state = tracker.lock();
            for_each(&self.positions, |_, position| state.open[position] += 1);
            state.open_total += self.len();
        }
        Ack {
            tracker: self.tracker.clone(),
            positions: self.positions.clone(),
            floor: self.floor,
            holder: self.holder,
        }
    }

    /// Parts the rows: row `i` goes to part `part_of[i]`, order kept. Parts may be empty.
    pub(crate) fn part(mut self, part_of: &[u8], parts: usize) -> Vec<Ack> {
        debug_assert_eq!(part_of.len(), self.len());
        let mut split = vec![Vec::new(); parts];
        for_each(&self.positions, |row, position| {
            split[usize::from(part_of[row])].push(position as u32);
        });
        let tracker = self.tracker.take();
        split
            .into_iter()
            .map(|positions| Ack {
                tracker: tracker.clone().filter(|_| !positions.is_empty()),
                positions: Positions::Some(positions),
                floor: self.floor,
                holder: self.holder,
            })
            .collect()
    }

    /// Lets every good answer count as dead-lettered.
    pub(crate) fn dead_letter(mut self) -> Ack {
        self.floor = Code::DEAD_LETTERED;
        self
    }

    /// Holds the attempt open while an operator works on it, so that its error can be told apart
    /// from a forgotten ack.
    pub(crate) fn watch(&self) -> Watch {
        if let Some(tracker) = &self.tracker {
            tracker.lock().watches += 1;
        }
        Watch {
            tracker: self.tracker.clone(),
        }
    }

    fn settle(&mut self, mut code: impl FnMut(usize) -> Code) {
        let Some(tracker) = self.tracker.take() else {
            return;
        };
        let mut state = tracker.lock();
        let mut worst = Code::DELIVERED;
        for_each(&self.positions, |row, position| {
            let code = code(row).max(self.floor);
            worst = worst.max(code);
            state.worst[position] = state.worst[position].max(code);
            state.open[position] -= 1;
        });
        state.open_total -= self.len();
        if worst.is_suspect() {
            state.suspect_of = self.holder.or(state.suspect_of);
        }
        finish_if_complete(&tracker, state);
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if self.tracker.is_some() {
            let code = if BYSTANDERS.get() {
                Code::failed(Failure::Bystander)
            } else {
                Code::UNANSWERED
            };
            self.settle(|_| code);
        }
    }
}

fn for_each(positions: &Positions, mut f: impl FnMut(usize, usize)) {
    match positions {
        Positions::All(count) => (0..*count).for_each(|row| f(row, row)),
        Positions::Some(positions) => {
            for (row, position) in positions.iter().enumerate() {
                f(row, *position as usize);
            }
        }
    }
}

thread_local! {
    static BYSTANDERS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, in which acks that are dropped unanswered count as bystanders: they were only held by
/// an operator that is being discarded after it failed on something else.
pub(crate) fn as_bystanders<T>(f: impl FnOnce() -> T) -> T {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            BYSTANDERS.set(self.0);
        }
    }
    let _reset = Reset(BYSTANDERS.replace(true));
    f()
}

/// Keeps an attempt from completing until the operator that got it has returned.
#[derive(Debug)]
pub(crate) struct Watch {
    tracker: Option<Arc<Tracker>>,
}

impl Watch {
    /// The operator `bolt` returned. With an error, what it left unanswered failed for that reason.
    pub(crate) fn end(self, bolt: usize, error: Option<&OperatorError>) {
        if let (Some(tracker), Some(error)) = (&self.tracker, error) {
            let mut state = tracker.lock();
            state.note(error);
            state.suspect_of = Some(bolt);
            let failure = Code::failed(Failure::from(error));
            for code in &mut state.worst {
                if *code == Code::UNANSWERED {
                    *code = failure;
                }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(tracker) = self.tracker.take() {
            let mut state = tracker.lock();
            state.watches -= 1;
            finish_if_complete(&tracker, state);
        }
    }
}

/// One attempt of one batch, shared by its acks.
#[derive(Debug)]
struct Tracker {
    state: Mutex<State>,
    completions: Arc<Completions>,
}

#[derive(Debug)]
struct State {
    /// Unanswered acks by position.
    open: Vec<u16>,
    /// Worst answer so far by position.
    worst: Vec<Code>,
    /// Sum of `open`.
    open_total: usize,
    /// Operators at work on the attempt.
    watches: usize,
    note: Option<Note>,
    /// The bolt that failed on a record last, by its number in the plan.
    suspect_of: Option<usize>,
    /// Taken at completion.
    ticket: Option<Ticket>,
}

/// Why records of an attempt failed: the last reason given.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) domain: Domain,
    pub(crate) text: String,
}

impl State {
    fn note(&mut self, error: &OperatorError) {
        self.note = Some(Note {
            domain: error.domain,
            text: error.to_string(),
        });
        debug_assert!(error.domain != Domain::External || error.retry == Retry::Backoff);
    }
}

impl Tracker {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock, except on broken invariants, which are kept.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn finish_if_complete(tracker: &Tracker, mut state: MutexGuard<'_, State>) {
    if state.open_total > 0 || state.watches > 0 {
        return;
    }
    let Some(ticket) = state.ticket.take() else {
        return;
    };
    let completion = Completion {
        ticket,
        codes: std::mem::take(&mut state.worst),
        note: state.note.take(),
        suspect_of: state.suspect_of,
    };
    drop(state);
    tracker.completions.push(completion);
}

/// Says whose attempt it was. Opaque to acks.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    /// The ledger, unique in the process.
    pub(crate) ledger: u64,
    /// The entry of the ledger.
    pub(crate) entry: u64,
    /// Which records of the entry; `None` for all.
    pub(crate) records: Option<Vec<u32>>,
    /// Attempts that counted so far.
    pub(crate) attempts: u32,
    /// Retries so far, for the back-off.
    pub(crate) retries: u32,
}

/// All acks of an attempt are answered.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) ticket: Ticket,
    /// Worst answer by position in the attempt.
    pub(crate) codes: Vec<Code>,
    pub(crate) note: Option<Note>,
    /// The bolt that failed on a record last, by its number in the plan, where that is known.
    pub(crate) suspect_of: Option<usize>,
}

/// Completed attempts of one spout task, filled from any lane. Bounded by what is in flight.
#[derive(Debug, Default)]
pub(crate) struct Completions {
    queue: Mutex<VecDeque<Completion>>,
    arrived: Notify,
}

impl Completions {
    /// Starts an attempt over `count` records.
    pub(crate) fn start(self: &Arc<Self>, ticket: Ticket, count: usize) -> Ack {
        debug_assert!(
            ticket
                .records
                .as_ref()
                .is_none_or(|records| records.len() == count)
        );
        Ack {
            tracker: Some(Arc::new(Tracker {
                state: Mutex::new(State {
                    open: vec![1; count],
                    worst: vec![Code::DELIVERED; count],
                    open_total: count,
                    watches: 0,
                    note: None,
                    suspect_of: None,
                    ticket: Some(ticket),
                }),
                completions: Arc::clone(self),
            })),
            positions: Positions::All(count),
            floor: Code::DELIVERED,
            holder: None,
        }
    }

    /// Takes the oldest completion.
    pub(crate) fn take(&self) -> Option<Completion> {
        self.lock().pop_front()
    }

    /// Waits until there may be a completion to take. Cancel-safe.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn push(&self, completion: Completion) {
        self.lock().push_back(completion);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Completion>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start(count: usize) -> (Arc<Completions>, Ack) {
        let completions = Arc::new(Completions::default());
        let ticket = Ticket {
            ledger: 0,
            entry: 0,
            records: None,
            attempts: 0,
            retries: 0,
        };
        let ack = completions.start(ticket, count);
        (completions, ack)
    }

    fn codes(completions: &Completions) -> Option<Vec<Code>> {
        completions.take().map(|completion| completion.codes)
    }

    #[test]
    fn a_dropped_ack_fails_its_records() {
        let (completions, ack) = start(2);
        drop(ack);
        assert_eq!(codes(&completions), Some(vec![Code::UNANSWERED; 2]));
        assert!(completions.take().is_none());
    }

    #[test]
    fn an_attempt_completes_when_every_branch_has_answered() {
        let (completions, ack) = start(3);
        let branch = ack.fork();
        ack.answer(Answer::Delivered);
        assert!(completions.take().is_none());
        branch.answer_each(|row| match row {
            1 => Answer::Failed(Failure::External),
            _ => Answer::AlreadyPresent,
        });
        let present = Code::of(Answer::AlreadyPresent);
        let failed = Code::failed(Failure::External);
        assert_eq!(codes(&completions), Some(vec![present, failed, present]));
    }

    #[test]
    fn what_an_operator_left_unanswered_failed_for_its_error() {
        let (completions, ack) = start(2);
        let watch = ack.watch();
        let mut parts = ack.part(&[0, 1], 2);
        parts.remove(0).answer(Answer::Delivered);
        drop(parts);
        assert!(
            completions.take().is_none(),
            "the operator is still at work"
        );
        watch.end(7, Some(&OperatorError::external("the index is away")));
        let completion = completions.take().expect("complete");
        assert_eq!(
            completion.codes,
            [Code::DELIVERED, Code::failed(Failure::External)]
        );
        let note = completion.note.expect("the error");
        assert_eq!(note.text, "the index is away");
        assert_eq!(completion.suspect_of, Some(7));
    }

    #[test]
    fn the_bolt_that_took_the_batch_is_the_one_that_failed_on_it() {
        let (completions, mut ack) = start(2);
        ack.taken_by(3);
        let mut parts = ack.part(&[0, 1], 2).into_iter();
        let mut next = parts.next().expect("two parts");
        next.taken_by(4);
        next.answer(Answer::Failed(Failure::External));
        drop(parts);
        let completion = completions.take().expect("complete");
        assert_eq!(
            completion.codes,
            [Code::failed(Failure::External), Code::UNANSWERED]
        );
        assert_eq!(completion.suspect_of, Some(3));
    }

    #[test]
    fn acks_of_a_discarded_operator_are_bystanders() {
        let (completions, ack) = start(1);
        as_bystanders(|| drop(ack));
        assert_eq!(
            codes(&completions),
            Some(vec![Code::failed(Failure::Bystander)])
        );
    }

    #[test]
    fn a_written_dead_letter_is_a_dead_lettered_record() {
        let (completions, ack) = start(1);
        ack.dead_letter().answer(Answer::Delivered);
        assert_eq!(codes(&completions), Some(vec![Code::DEAD_LETTERED]));
    }

    /// What a random program does with an ack that it holds.
    #[derive(Clone, Debug)]
    enum Step {
        Fork(usize),
        Part(usize, Vec<u8>),
        Answer(usize, u8),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..8).prop_map(Step::Fork),
            (0usize..8, prop::collection::vec(0u8..3, 8)).prop_map(|(at, by)| Step::Part(at, by)),
            (0usize..8, 0u8..4).prop_map(|(at, answer)| Step::Answer(at, answer)),
            (0usize..8).prop_map(Step::Drop),
        ]
    }

    fn answer_of(number: u8) -> Answer {
        match number {
            0 => Answer::Delivered,
            1 => Answer::AlreadyPresent,
            2 => Answer::Dropped(crate::outcome::Policy::new(3).expect("small")),
            _ => Answer::Failed(Failure::External),
        }
    }

    proptest! {
        /// Forks and parts answered in any order give one completion, with each record's worst answer.
        #[test]
        fn any_order_of_answers_gives_one_outcome(count in 1usize..8, steps in prop::collection::vec(step(), 0..40)) {
            let (completions, ack) = start(count);
            // Beside each ack, the records that it covers; beside the records, the worst answer.
            let mut held: Vec<(Ack, Vec<usize>)> = vec![(ack, (0..count).collect())];
            let mut worst = vec![Code::DELIVERED; count];
            for step in steps {
                if held.is_empty() {
                    break;
                }
                match step {
                    Step::Fork(at) => {
                        let (ack, records) = &held[at % held.len()];
                        let fork = (ack.fork(), records.clone());
                        held.push(fork);
                    }
                    Step::Part(at, by) => {
                        let (ack, records) = held.swap_remove(at % held.len());
                        let parts = ack.part(&by[..records.len()], 3);
                        for (part, ack) in parts.into_iter().enumerate() {
                            let covered: Vec<usize> = records
                                .iter()
                                .zip(&by)
                                .filter(|(_, to)| usize::from(**to) == part)
                                .map(|(record, _)| *record)
                                .collect();
                            prop_assert_eq!(ack.len(), covered.len());
                            held.push((ack, covered));
                        }
                    }
                    Step::Answer(at, number) => {
                        let (ack, records) = held.swap_remove(at % held.len());
                        let code = Code::of(answer_of(number));
                        records.iter().for_each(|r| worst[*r] = worst[*r].max(code));
                        ack.answer(answer_of(number));
                    }
                    Step::Drop(at) => {
                        let (ack, records) = held.swap_remove(at % held.len());
                        records.iter().for_each(|r| worst[*r] = Code::UNANSWERED);
                        drop(ack);
                    }
                }
                let open = held.iter().any(|(_, records)| !records.is_empty());
                if open {
                    prop_assert!(completions.take().is_none());
                }
            }
            for (_, records) in &held {
                records.iter().for_each(|r| worst[*r] = Code::UNANSWERED);
            }
            drop(held);
            prop_assert_eq!(codes(&completions), Some(worst));
            prop_assert!(completions.take().is_none());
        }
    }
}
