//! The duty to answer for the records of a batch.
//!
//! An [`Ack`] moves with its batch, cannot be cloned, forks only by name, and *dropped unanswered
//! means failed*: a `?`, a panic or a forgotten branch lead to a retry, never to loss.
//! One lock and one pass over a byte per record for each batch, nothing for each record's sake.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::error::{Domain, OperatorError};
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
        self.settle_for(Some(error), |_| Code::failed(Failure::from(error)));
    }

    /// Says which bolt takes the batch.
    pub(crate) fn taken_by(&mut self, bolt: usize) {
        self.holder = Some(bolt);
        if let Some(tracker) = &self.tracker {
            tracker.taken_by.store(bolt, Ordering::Relaxed);
        }
    }

    /// Whether the records were sent before, and are sent again after a failure.
    pub(crate) fn is_again(&self) -> bool {
        self.tracker
            .as_ref()
            .is_some_and(|tracker| tracker.is_again)
    }

    /// Which attempt it is, from 1, of those that count.
    pub(crate) fn attempts(&self) -> u32 {
        let before = self.tracker.as_ref().map(|tracker| tracker.attempts);
        before.unwrap_or(0).saturating_add(1)
    }

    /// The attempt that it is of, to be looked at from outside.
    pub(crate) fn attempt(&self) -> Attempt {
        let tracker = self.tracker.as_ref();
        Attempt(tracker.map_or_else(Weak::new, Arc::downgrade))
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

    /// Splits the rows: `counts[row]` rows, at least one, stand in the place of each. A record is
    /// answered when all of its parts are, the worst answer counts.
    pub(crate) fn split(mut self, counts: &[u16]) -> Ack {
        debug_assert_eq!(counts.len(), self.len());
        let total = counts.iter().map(|count| usize::from(*count)).sum();
        let mut split = Vec::with_capacity(total);
        for_each(&self.positions, |row, position| {
            let of_row = std::iter::repeat_n(position as u32, usize::from(counts[row]));
            split.extend(of_row);
        });
        let tracker = self.tracker.take();
        if let Some(tracker) = &tracker {
            let mut state = tracker.lock();
            for_each(&self.positions, |row, position| {
                state.open[position] += u32::from(counts[row]) - 1;
            });
            state.open_total += total - counts.len();
        }
        Ack {
            tracker,
            positions: Positions::Some(split),
            floor: self.floor,
            holder: self.holder,
        }
    }

    /// Lets every good answer count as dead-lettered.
    pub(crate) fn dead_letter(mut self) -> Ack {
        self.floor = Code::DEAD_LETTERED;
        self
    }

    fn settle(&mut self, code: impl FnMut(usize) -> Code) {
        self.settle_for(None, code);
    }

    fn settle_for(&mut self, error: Option<&OperatorError>, mut code: impl FnMut(usize) -> Code) {
        let Some(tracker) = self.tracker.take() else {
            return;
        };
        let mut guard = tracker.lock();
        let state = &mut *guard;
        let mut worst = Code::DELIVERED;
        let mut enter = |row: usize, so_far: &mut Code, open: &mut u32| {
            let code = code(row).max(self.floor);
            worst = worst.max(code);
            *so_far = (*so_far).max(code);
            *open -= 1;
        };
        match &self.positions {
            // Without an index for each row, so that many of them are entered at once.
            Positions::All(count) => {
                let open = state.open[..*count].iter_mut();
                let rows = state.worst[..*count].iter_mut().zip(open).enumerate();
                rows.for_each(|(row, (so_far, open))| enter(row, so_far, open));
            }
            Positions::Some(positions) => {
                for (row, position) in positions.iter().map(|p| *p as usize).enumerate() {
                    enter(row, &mut state.worst[position], &mut state.open[position]);
                }
            }
        }
        state.open_total -= self.len();
        if worst.failure().is_some() {
            state.note(worst, self.holder, error);
            state.blame(&self.positions, self.holder);
        }
        finish_if_complete(&tracker, guard);
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if self.tracker.is_none() {
            return;
        }
        let mut ack = Some(Ack {
            tracker: self.tracker.take(),
            positions: std::mem::replace(&mut self.positions, Positions::All(0)),
            floor: self.floor,
            holder: self.holder,
        });
        // Without the list, at the end of a thread, nobody waits for the meaning any more.
        let _ = CALL.try_with(|call| {
            if let Some(dropped) = call.borrow_mut().as_mut() {
                dropped.extend(ack.take());
            }
        });
        if let Some(ack) = &mut ack {
            ack.settle(|_| Code::UNANSWERED);
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
    /// Where acks go that are dropped unanswered while an operator is at work on this thread.
    static CALL: RefCell<Option<Vec<Ack>>> = const { RefCell::new(None) };
}

/// Acks that an operator dropped unanswered during a call. They stay open until the call has ended:
/// only then it is known whether they were forgotten, or left behind by a `?` or a panic.
#[derive(Debug, Default)]
pub(crate) struct Dropped(Vec<Ack>);

impl Dropped {
    /// Runs a part of the call.
    pub(crate) fn during<T>(&mut self, part: impl FnOnce() -> T) -> T {
        /// Puts the list back where it came from, also when the part panics.
        struct Lent<'a>(&'a mut Vec<Ack>, Option<Vec<Ack>>);
        impl Drop for Lent<'_> {
            fn drop(&mut self) {
                *self.0 = CALL.replace(self.1.take()).unwrap_or_default();
            }
        }
        let list = std::mem::take(&mut self.0);
        let before = CALL.replace(Some(list));
        let _lent = Lent(&mut self.0, before);
        part()
    }

    /// The call has ended: what it dropped failed for its error, or was forgotten.
    pub(crate) fn end(self, error: Option<&OperatorError>) {
        for ack in self.0 {
            match error {
                Some(error) => ack.fail(error),
                // Out of any call, a drop means just that.
                None => drop(ack),
            }
        }
    }

    /// The acks were only held by an operator that is discarded after it failed on something else.
    pub(crate) fn let_go(self) {
        for ack in self.0 {
            ack.answer(Answer::Failed(Failure::Bystander));
        }
    }
}

/// An attempt, for whoever wants to know where it is and keeps nothing of it alive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt(Weak<Tracker>);

impl Attempt {
    /// The bolt that took the batch, or a part of it, last, by its number in the plan.
    pub(crate) fn bolt(&self) -> Option<usize> {
        let bolt = self.0.upgrade()?.taken_by.load(Ordering::Relaxed);
        (bolt != NOBODY).then_some(bolt)
    }
}

/// No bolt took it yet.
const NOBODY: usize = usize::MAX;

/// One attempt of one batch, shared by its acks.
#[derive(Debug)]
struct Tracker {
    state: Mutex<State>,
    /// The bolt that took the batch, or a part of it, last.
    taken_by: AtomicUsize,
    /// Whether its records were sent before.
    is_again: bool,
    /// Attempts that counted before it.
    attempts: u32,
    completions: Arc<Completions>,
}

#[derive(Debug)]
struct State {
    /// Unanswered acks by position; a record that was split has one for each part.
    open: Vec<u32>,
    /// Worst answer so far by position.
    worst: Vec<Code>,
    /// By position the bolt at which a record failed first; empty while none has.
    failed_at: Vec<usize>,
    /// Sum of `open`.
    open_total: usize,
    note: Option<Note>,
    /// Taken at completion.
    ticket: Option<Ticket>,
}

/// Why records of an attempt failed: the last reason given for the worst failure.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    code: Code,
    /// The bolt that failed, by its number in the plan; `None` when no bolt had the batch yet.
    pub(crate) bolt: Option<usize>,
    pub(crate) domain: Domain,
    pub(crate) text: Cow<'static, str>,
    /// As [`OperatorError::tried`].
    pub(crate) tried: Option<(Arc<str>, Option<String>)>,
}

impl State {
    /// Notes the bolt at which records failed first; some of these did just now.
    fn blame(&mut self, positions: &Positions, bolt: Option<usize>) {
        let Some(bolt) = bolt else { return };
        if self.failed_at.is_empty() {
            self.failed_at = vec![NOBODY; self.worst.len()];
        }
        for_each(positions, |_, position| {
            let failed_at = &mut self.failed_at[position];
            if *failed_at == NOBODY && self.worst[position].failure().is_some() {
                *failed_at = bolt;
            }
        });
    }

    fn note(&mut self, code: Code, bolt: Option<usize>, error: Option<&OperatorError>) {
        let known = self.note.as_ref().map(|note| note.code);
        if known > Some(code) || (known == Some(code) && error.is_none()) {
            return;
        }
        let (domain, text) = match error {
            Some(error) => (error.domain, Cow::Owned(error.to_string())),
            None if code == Code::UNANSWERED => (
                Domain::Internal,
                Cow::Borrowed("a bolt dropped the record without an answer"),
            ),
            None => (
                Domain::Internal,
                Cow::Borrowed("a bolt failed the record and did not say why"),
            ),
        };
        self.note = Some(Note {
            code,
            bolt,
            domain,
            text,
            tried: error.and_then(|error| error.tried.clone()),
        });
    }
}

impl Tracker {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds this lock, except on broken invariants, which are kept.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn finish_if_complete(tracker: &Tracker, mut state: MutexGuard<'_, State>) {
    if state.open_total > 0 {
        return;
    }
    let Some(ticket) = state.ticket.take() else {
        return;
    };
    let completion = Completion {
        ticket,
        codes: std::mem::take(&mut state.worst),
        failed_at: std::mem::take(&mut state.failed_at),
        note: state.note.take(),
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
    /// Retries so far after failures, for the back-off.
    pub(crate) retries: u32,
    /// Retries so far of what was held, for its own back-off: nobody was asked for these.
    pub(crate) holds: u32,
    /// The last recovery before the attempt began, by its number.
    pub(crate) recoveries: u64,
}

impl Ticket {
    /// The first of the records.
    pub(crate) fn first_record(&self) -> u32 {
        let records = self.records.as_ref();
        records.map_or(0, |records| records[0])
    }

    /// The first attempt with all records of the first entry of a ledger.
    #[cfg(test)]
    pub(crate) fn for_tests(ledger: u64) -> Self {
        Self {
            ledger,
            entry: 0,
            records: None,
            attempts: 0,
            retries: 0,
            holds: 0,
            recoveries: 0,
        }
    }
}

/// All acks of an attempt are answered.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) ticket: Ticket,
    /// Worst answer by position in the attempt.
    pub(crate) codes: Vec<Code>,
    /// By position the bolt at which it failed first, [`NOBODY`] where that is not known; empty where none
    /// failed.
    failed_at: Vec<usize>,
    pub(crate) note: Option<Note>,
}

impl Completion {
    /// As if an attempt had come to an end without any bolt.
    #[cfg(test)]
    pub(crate) fn of(ticket: Ticket, codes: Vec<Code>) -> Self {
        Self {
            ticket,
            codes,
            failed_at: Vec::new(),
            note: None,
        }
    }

    /// The bolt at which a record of the entry failed, by its number in the plan.
    pub(crate) fn failed_at(&self, record: u32) -> Option<usize> {
        let position = match &self.ticket.records {
            None => record as usize,
            // In the order in which they were read.
            Some(records) => records.binary_search(&record).ok()?,
        };
        let bolt = self.failed_at.get(position).copied();
        bolt.filter(|bolt| *bolt != NOBODY)
    }
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
        if cfg!(isobar_unacked) {
            return Ack {
                tracker: None,
                positions: Positions::All(count),
                floor: Code::DELIVERED,
                holder: None,
            };
        }
        // A first attempt has all records of its batch.
        let (is_again, attempts) = (ticket.records.is_some(), ticket.attempts);
        Ack {
            tracker: Some(Arc::new(Tracker {
                is_again,
                attempts,
                state: Mutex::new(State {
                    open: vec![1; count],
                    worst: vec![Code::DELIVERED; count],
                    failed_at: Vec::new(),
                    open_total: count,
                    note: None,
                    ticket: Some(ticket),
                }),
                taken_by: AtomicUsize::new(NOBODY),
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
        let ticket = Ticket::for_tests(0);
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
        let (completions, mut ack) = start(2);
        ack.taken_by(7);
        let mut dropped = Dropped::default();
        dropped.during(|| {
            let mut parts = ack.part(&[0, 1], 2);
            parts.remove(0).answer(Answer::Delivered);
        });
        assert!(
            completions.take().is_none(),
            "the operator is still at work"
        );
        dropped.end(Some(&OperatorError::external("the index is away")));
        let completion = completions.take().expect("complete");
        assert_eq!(
            completion.codes,
            [Code::DELIVERED, Code::failed(Failure::External)]
        );
        let note = completion.note.expect("the error");
        assert_eq!((note.bolt, &*note.text), (Some(7), "the index is away"));
    }

    #[test]
    fn what_an_operator_forgot_failed_when_it_returned() {
        let (completions, ack) = start(1);
        let mut dropped = Dropped::default();
        dropped.during(|| drop(ack));
        assert!(completions.take().is_none());
        dropped.end(None);
        assert_eq!(codes(&completions), Some(vec![Code::UNANSWERED]));
    }

    #[test]
    fn a_panic_keeps_what_was_dropped_and_ends_the_collecting() {
        let (completions, ack) = start(1);
        let mut dropped = Dropped::default();
        let panics = std::panic::AssertUnwindSafe(|| {
            dropped.during(|| {
                let _held = ack;
                std::panic::resume_unwind(Box::new("planned"));
            });
        });
        assert!(std::panic::catch_unwind(panics).is_err());
        let (others, other) = start(1);
        drop(other);
        assert_eq!(codes(&others), Some(vec![Code::UNANSWERED]));
        assert!(completions.take().is_none());
        dropped.end(Some(&OperatorError::internal("it panicked")));
        let failed = Code::failed(Failure::Attributable);
        assert_eq!(codes(&completions), Some(vec![failed]));
    }

    #[test]
    fn the_reason_of_the_worst_failure_is_kept() {
        let (completions, mut ack) = start(2);
        ack.taken_by(1);
        let mut branch = ack.fork();
        branch.taken_by(2);
        branch.fail(&OperatorError::user("it never fits"));
        ack.fail(&OperatorError::external("the index is away"));
        let note = completions.take().and_then(|c| c.note).expect("a reason");
        assert_eq!((note.bolt, &*note.text), (Some(2), "it never fits"));
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
        assert_eq!(completion.note.and_then(|note| note.bolt), Some(3));
    }

    #[test]
    fn acks_of_a_discarded_operator_are_bystanders() {
        let (completions, ack) = start(1);
        let mut dropped = Dropped::default();
        dropped.during(|| drop(ack));
        dropped.let_go();
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
        /// By row, one to three parts.
        Split(usize, Vec<u8>),
        Answer(usize, u8),
        Drop(usize),
    }

    /// Most rows of one ack in the test below: splits multiply.
    const ROWS_MAX: usize = 100;

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..8).prop_map(Step::Fork),
            (0usize..8, prop::collection::vec(0u8..3, 8)).prop_map(|(at, by)| Step::Part(at, by)),
            (0usize..8, prop::collection::vec(0u8..3, 8)).prop_map(|(at, by)| Step::Split(at, by)),
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
        /// Forks, parts and splits answered in any order give one completion, with each record's worst answer.
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
                        let by: Vec<u8> = by.into_iter().cycle().take(records.len()).collect();
                        let parts = ack.part(&by, 3);
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
                    Step::Split(at, by) if held[at % held.len()].1.len() < ROWS_MAX => {
                        let (ack, records) = held.swap_remove(at % held.len());
                        let counts = by.into_iter().cycle().take(records.len());
                        let counts: Vec<u16> = counts.map(|by| u16::from(by) + 1).collect();
                        let of_parts = records.iter().zip(&counts);
                        let of_parts = of_parts
                            .flat_map(|(record, count)| vec![*record; usize::from(*count)]);
                        let of_parts: Vec<usize> = of_parts.collect();
                        let ack = ack.split(&counts);
                        prop_assert_eq!(ack.len(), of_parts.len());
                        held.push((ack, of_parts));
                    }
                    Step::Split(..) => {}
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
