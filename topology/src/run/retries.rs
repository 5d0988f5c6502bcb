//! The retries of a spout on one lane, each of which waits for its time. What is held, as an outside
//! system takes nothing, waits apart: all of it goes on at a recovery, and one batch now and then before
//! that, so that somebody finds out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::ack::{Completion, Note, Ticket};
use crate::clock::Instant;
use crate::retry::jitter::Jitter;
use crate::retry::{self, Action, Portion, RetryPolicy};
use crate::run::recoveries::Recoveries;

pub(crate) struct Retries {
    policy: RetryPolicy,
    jitter: Jitter,
    waiting: BinaryHeap<Reverse<Due>>,
    held: BinaryHeap<Reverse<Due>>,
    /// When one of those held goes out before its time.
    find_out_at: Option<Instant>,
    recoveries: Recoveries,
    /// The number of the last recovery that those held have seen.
    seen: u64,
    /// When those held were let go last.
    let_go: Option<Instant>,
    made: u64,
    /// Longest wait, while the topology drains.
    hurried: Option<Duration>,
}

/// Longest wait between attempts in a drain, which has no time for more: what comes back in it is to be met.
const HURRIED: Duration = Duration::from_millis(250);

/// Of what is held one batch goes out at least this often: how long a system is back before it is noticed.
/// The wait is random below it, as everything that waits for the system does.
const FIND_OUT_EVERY: Duration = Duration::from_secs(1);

/// What is held is let go at most this often: all of it passes through all bolts, and where two systems
/// are away, one that comes and goes must not keep a lane busy with what waits for the other.
const LET_GO_EVERY: Duration = Duration::from_secs(1);

/// A retry and when it is due.
pub(crate) struct Due {
    at: Instant,
    /// Keeps retries of one moment in order.
    number: u64,
    pub(crate) ticket: Ticket,
    pub(crate) action: Action,
    pub(crate) note: Option<Note>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Retries {
    /// `task` numbers the spouts and lanes of a topology, which draw waits of their own.
    pub(crate) fn new(policy: RetryPolicy, task: u64, recoveries: Recoveries) -> Self {
        Self {
            policy,
            jitter: Jitter::new(policy.seed, task),
            waiting: BinaryHeap::new(),
            held: BinaryHeap::new(),
            find_out_at: None,
            recoveries,
            seen: 0,
            let_go: None,
            made: 0,
            hurried: None,
        }
    }

    /// Takes in the failed records of an attempt, and returns the portions in which they go on. With
    /// `keeps` none is given up.
    pub(crate) fn plan(
        &mut self,
        completion: Completion,
        keeps: bool,
        now: Instant,
    ) -> Vec<Portion> {
        let mut portions = Vec::new();
        for mut next in retry::plan(&completion, &self.policy, &mut self.jitter) {
            if next.action == Action::Reject && keeps {
                let most = self.policy.delay(completion.ticket.retries);
                next.action = Action::Resend(self.jitter.within(most));
            }
            // It met the end of an outage on its way.
            if let Action::Hold(_) = next.action
                && self.recoveries.last() > completion.ticket.recoveries
            {
                next.action = Action::Resend(Duration::ZERO);
            }
            let delay = match next.action {
                Action::Resend(delay) | Action::Hold(delay) => {
                    delay.min(self.hurried.unwrap_or(delay))
                }
                Action::Reject => Duration::ZERO,
            };
            self.made += 1;
            let records = next.records.iter();
            portions.push(Portion {
                records: records
                    .map(|record| (*record, completion.failed_at(*record)))
                    .collect(),
                held: matches!(next.action, Action::Hold(_)),
            });
            let due = Reverse(Due {
                at: now + delay,
                number: self.made,
                ticket: Ticket {
                    records: Some(next.records),
                    attempts: next.attempts,
                    retries: next.retries,
                    holds: next.holds,
                    ..completion.ticket.clone()
                },
                action: next.action,
                note: completion.note.clone(),
            });
            match next.action {
                Action::Hold(_) => self.hold(due, now),
                Action::Resend(_) | Action::Reject => self.waiting.push(due),
            }
        }
        portions
    }

    fn hold(&mut self, due: Reverse<Due>, now: Instant) {
        if self.held.is_empty() {
            self.seen = due.0.ticket.recoveries;
            self.find_out_at = Some(now + self.jitter.within(FIND_OUT_EVERY));
        }
        self.held.push(due);
    }

    /// The number of the last recovery, which an attempt that begins now has seen.
    pub(crate) fn recoveries(&self) -> u64 {
        self.recoveries.last()
    }

    /// Whether anything is held.
    pub(crate) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Waits for a recovery after that of this number. Cancel-safe.
    pub(crate) async fn recovery_after(&self, number: u64) {
        self.recoveries.after(number).await;
    }

    /// When what is held is let go, if a recovery was told.
    fn let_go_at(&self, now: Instant) -> Option<Instant> {
        let recovered = self.holds() && self.recoveries.last() > self.seen;
        recovered.then(|| self.let_go.map_or(now, |last| now.max(last + LET_GO_EVERY)))
    }

    /// Lets go what is held if it is time for that: as it was read, partitions in turn.
    fn let_go(&mut self, now: Instant) {
        if self.let_go_at(now).is_none_or(|at| at > now) {
            return;
        }
        self.let_go = Some(now);
        let mut held = std::mem::take(&mut self.held).into_vec();
        held.sort_by_key(|Reverse(due)| (due.ticket.entry, due.number));
        let mut of_ledger = HashMap::<u64, usize>::new();
        let in_turn = held.into_iter().map(|Reverse(due)| {
            let turn = of_ledger.entry(due.ticket.ledger).or_default();
            *turn += 1;
            (*turn, due)
        });
        let mut in_turn: Vec<(usize, Due)> = in_turn.collect();
        in_turn.sort_by_key(|(turn, _)| *turn);
        for (_, mut due) in in_turn {
            self.made += 1;
            (due.at, due.number) = (now, self.made);
            self.waiting.push(Reverse(due));
        }
    }

    /// Forgets the retries of an assignment that is over.
    pub(crate) fn forget(&mut self, ledger: u64) {
        let stays = |Reverse(due): &Reverse<Due>| due.ticket.ledger != ledger;
        self.waiting.retain(stays);
        self.held.retain(stays);
    }

    /// From now on nothing waits for long: the topology drains.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if self.hurried.replace(HURRIED).is_none() {
            for waiting in [&mut self.waiting, &mut self.held] {
                let mut all = std::mem::take(waiting).into_vec();
                for Reverse(due) in &mut all {
                    due.at = due.at.min(now + HURRIED);
                }
                *waiting = all.into();
            }
        }
    }

    /// When the next one is due.
    pub(crate) fn wake(&self, now: Instant) -> Option<Instant> {
        let first = |of: &BinaryHeap<Reverse<Due>>| of.peek().map(|Reverse(due)| due.at);
        let find_out = self.find_out_at.filter(|_| self.holds());
        let times = [first(&self.waiting), first(&self.held), find_out];
        times.into_iter().flatten().chain(self.let_go_at(now)).min()
    }

    /// One that is due.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Due> {
        self.let_go(now);
        let is_due = |Reverse(due): &Reverse<Due>| due.at <= now;
        if self.waiting.peek().is_some_and(is_due) {
            return self.waiting.pop().map(|Reverse(due)| due);
        }
        let finds_out = self.find_out_at.is_some_and(|at| at <= now);
        if !self.held.peek().is_some_and(|due| finds_out || is_due(due)) {
            return None;
        }
        self.find_out_at = Some(now + self.jitter.within(FIND_OUT_EVERY));
        self.held.pop().map(|Reverse(due)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::outcome::{Code, Failure};

    fn failed(count: usize, failure: Failure) -> Completion {
        let ticket = Ticket::for_tests(1);
        Completion::of(ticket, vec![Code::failed(failure); count])
    }

    #[tokio::test(start_paused = true)]
    async fn halves_come_at_once_and_in_order_and_others_within_their_back_off() {
        let mut retries = Retries::new(RetryPolicy::default(), 0, Recoveries::default());
        let began = clock::now();
        let _ = retries.plan(failed(3, Failure::External), false, began);
        let _ = retries.plan(failed(5, Failure::Poison), false, began);
        let first = |due: Option<Due>| due.and_then(|due| due.ticket.records);
        assert_eq!(first(retries.next(began)), Some(vec![0, 1, 2]));
        assert_eq!(first(retries.next(began)), Some(vec![3, 4]));
        assert_eq!(first(retries.next(began)), None);
        let at = retries.wake(began).expect("one waits");
        assert!(at > began && at <= began + RetryPolicy::default().initial);
        assert_eq!(first(retries.next(at)), Some(vec![0, 1, 2]));
        assert_eq!(retries.wake(began), None);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_drain_nothing_waits_for_long() {
        let slow = Duration::from_secs(60);
        let policy = RetryPolicy {
            initial: slow,
            max: slow,
            ..RetryPolicy::default()
        };
        let mut retries = Retries::new(policy, 0, Recoveries::default());
        let began = clock::now();
        let _ = retries.plan(failed(1, Failure::External), false, began);
        let at = retries.wake(began).expect("one waits");
        assert!(at > began + HURRIED);
        retries.hurry(began);
        assert_eq!(retries.wake(began), Some(began + HURRIED));
        assert!(retries.next(began + HURRIED).is_some());
        let _ = retries.plan(failed(1, Failure::External), false, began);
        assert_eq!(retries.wake(began), Some(began + HURRIED));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_is_given_up_unless_there_is_nowhere_to_put_it() {
        let policy = RetryPolicy {
            attempts_max: 1,
            ..RetryPolicy::default()
        };
        let mut retries = Retries::new(policy, 0, Recoveries::default());
        let _ = retries.plan(failed(1, Failure::Attributable), false, clock::now());
        let due = retries.next(clock::now()).expect("it is given up at once");
        assert_eq!(due.action, Action::Reject);
        let _ = retries.plan(failed(1, Failure::Attributable), true, clock::now());
        tokio::time::advance(policy.initial).await;
        let due = retries.next(clock::now()).expect("it is due");
        assert!(matches!(due.action, Action::Resend(_)));
    }

    /// Like [`failed`], of one record of an entry, by an attempt that had seen so many recoveries.
    fn held(entry: u64, recoveries: u64) -> Completion {
        let mut completion = failed(1, Failure::Held);
        (completion.ticket.entry, completion.ticket.recoveries) = (entry, recoveries);
        completion
    }

    /// The entries of those that are due.
    fn due(retries: &mut Retries, now: Instant) -> Vec<u64> {
        let due = std::iter::from_fn(|| retries.next(now));
        due.map(|due| due.ticket.entry).collect()
    }

    fn long_waits(recoveries: &Recoveries) -> Retries {
        let hour = Duration::from_secs(3_600);
        let policy = RetryPolicy {
            initial: hour,
            max: hour,
            ..RetryPolicy::default()
        };
        Retries::new(policy, 0, recoveries.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn a_recovery_lets_all_go_that_was_held_before_it_in_order_and_nothing_else() {
        let recoveries = Recoveries::default();
        let mut retries = long_waits(&recoveries);
        let began = clock::now();
        let _ = retries.plan(failed(1, Failure::External), false, began);
        for entry in [3, 1, 2] {
            let _ = retries.plan(held(entry, 0), false, began);
        }
        assert!(due(&mut retries, began).is_empty());
        recoveries.tell();
        assert_eq!(retries.wake(began), Some(began));
        assert_eq!(due(&mut retries, began), [1, 2, 3]);
        assert!(!retries.holds());

        // Another partition, which was read from later on.
        for (ledger, entry) in [(2, 0), (2, 1), (1, 8), (1, 9)] {
            let mut completion = held(entry, 1);
            completion.ticket.ledger = ledger;
            let _ = retries.plan(completion, false, began);
        }
        recoveries.tell();
        let now = began + LET_GO_EVERY;
        assert_eq!(due(&mut retries, now), [0, 8, 1, 9]);

        // One that was on its way meanwhile, and one of another outage.
        let _ = retries.plan(held(4, 1), false, now);
        assert_eq!(due(&mut retries, now), [4]);
        let _ = retries.plan(held(5, 2), false, now);
        assert!(due(&mut retries, now).is_empty());
        recoveries.tell();
        // Soon after the last one it waits a little, and no longer.
        let again = now + LET_GO_EVERY;
        assert!(retries.wake(now) <= Some(again));
        assert_eq!(due(&mut retries, again), [5]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_those_held_goes_out_now_and_then_each_in_its_turn() {
        let mut retries = long_waits(&Recoveries::default());
        let began = clock::now();
        let mut now = began;
        for entry in 0..3 {
            let _ = retries.plan(held(entry, 0), false, now);
        }
        let mut went = Vec::new();
        while now < began + 20 * FIND_OUT_EVERY {
            let at = retries.wake(now).expect("some are held");
            assert!(at <= now + FIND_OUT_EVERY, "{at:?} {now:?}");
            now = at;
            let due = due(&mut retries, now);
            assert_eq!(due.len(), 1);
            went.extend(&due);
            let _ = retries.plan(held(due[0], 0), false, now);
        }
        assert!((20..80).contains(&went.len()), "{}", went.len());
        for entry in 0..3 {
            assert!(went.contains(&entry), "{went:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_of_an_assignment_that_is_over() {
        let mut retries = long_waits(&Recoveries::default());
        let began = clock::now();
        let _ = retries.plan(held(1, 0), false, began);
        let _ = retries.plan(failed(1, Failure::External), false, began);
        retries.forget(1);
        assert_eq!(retries.wake(began), None);
    }
}
