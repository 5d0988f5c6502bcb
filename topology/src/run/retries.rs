//! The retries of a spout on one lane, each of which waits for its time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::ack::{Completion, Note, Ticket};
use crate::clock::Instant;
use crate::retry::jitter::Jitter;
use crate::retry::{self, Action, RetryPolicy};

pub(crate) struct Retries {
    policy: RetryPolicy,
    jitter: Jitter,
    waiting: BinaryHeap<Reverse<Due>>,
    made: u64,
    /// Longest wait, while the topology drains.
    hurried: Option<Duration>,
}

/// Longest wait between attempts in a drain, which has no time for more: what comes back in it is to be met.
const HURRIED: Duration = Duration::from_millis(250);

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
    pub(crate) fn new(policy: RetryPolicy, task: u64) -> Self {
        Self {
            policy,
            jitter: Jitter::new(policy.seed, task),
            waiting: BinaryHeap::new(),
            made: 0,
            hurried: None,
        }
    }

    /// Takes in the failed records of an attempt. With `keeps` none is given up.
    pub(crate) fn plan(&mut self, completion: Completion, keeps: bool, now: Instant) {
        for mut next in retry::plan(&completion, &self.policy, &mut self.jitter) {
            if next.action == Action::Reject && keeps {
                let most = self.policy.delay(completion.ticket.retries);
                next.action = Action::Resend(self.jitter.within(most));
            }
            let delay = match next.action {
                Action::Resend(delay) => delay.min(self.hurried.unwrap_or(delay)),
                Action::Reject => Duration::ZERO,
            };
            self.made += 1;
            self.waiting.push(Reverse(Due {
                at: now + delay,
                number: self.made,
                ticket: Ticket {
                    records: Some(next.records),
                    attempts: next.attempts,
                    retries: next.retries,
                    ..completion.ticket.clone()
                },
                action: next.action,
                note: completion.note.clone(),
            }));
        }
    }

    /// From now on nothing waits for long: the topology drains.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if self.hurried.replace(HURRIED).is_none() {
            let mut waiting = std::mem::take(&mut self.waiting).into_vec();
            for Reverse(due) in &mut waiting {
                due.at = due.at.min(now + HURRIED);
            }
            self.waiting = waiting.into();
        }
    }

    /// When the next one is due.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.waiting.peek().map(|Reverse(due)| due.at)
    }

    /// One that is due.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Due> {
        let is_due = |Reverse(due): &Reverse<Due>| due.at <= now;
        if !self.waiting.peek().is_some_and(is_due) {
            return None;
        }
        self.waiting.pop().map(|Reverse(due)| due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::outcome::{Code, Failure};

    fn failed(count: usize, failure: Failure) -> Completion {
        Completion {
            ticket: Ticket {
                ledger: 1,
                entry: 0,
                records: None,
                attempts: 0,
                retries: 0,
            },
            codes: vec![Code::failed(failure); count],
            note: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn halves_come_at_once_and_in_order_and_others_within_their_back_off() {
        let mut retries = Retries::new(RetryPolicy::default(), 0);
        let began = clock::now();
        retries.plan(failed(3, Failure::External), false, began);
        retries.plan(failed(5, Failure::Poison), false, began);
        let first = |due: Option<Due>| due.and_then(|due| due.ticket.records);
        assert_eq!(first(retries.next(began)), Some(vec![0, 1, 2]));
        assert_eq!(first(retries.next(began)), Some(vec![3, 4]));
        assert_eq!(first(retries.next(began)), None);
        let at = retries.wake().expect("one waits");
        assert!(at > began && at <= began + RetryPolicy::default().initial);
        assert_eq!(first(retries.next(at)), Some(vec![0, 1, 2]));
        assert_eq!(retries.wake(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_drain_nothing_waits_for_long() {
        let slow = Duration::from_secs(60);
        let policy = RetryPolicy {
            initial: slow,
            max: slow,
            ..RetryPolicy::default()
        };
        let mut retries = Retries::new(policy, 0);
        let began = clock::now();
        retries.plan(failed(1, Failure::External), false, began);
        let at = retries.wake().expect("one waits");
        assert!(at > began + HURRIED);
        retries.hurry(began);
        assert_eq!(retries.wake(), Some(began + HURRIED));
        assert!(retries.next(began + HURRIED).is_some());
        retries.plan(failed(1, Failure::External), false, began);
        assert_eq!(retries.wake(), Some(began + HURRIED));
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_is_given_up_unless_there_is_nowhere_to_put_it() {
        let policy = RetryPolicy {
            attempts_max: 1,
            ..RetryPolicy::default()
        };
        let mut retries = Retries::new(policy, 0);
        retries.plan(failed(1, Failure::Attributable), false, clock::now());
        let due = retries.next(clock::now()).expect("it is given up at once");
        assert_eq!(due.action, Action::Reject);
        retries.plan(failed(1, Failure::Attributable), true, clock::now());
        tokio::time::advance(policy.initial).await;
        let due = retries.next(clock::now()).expect("it is due");
        assert!(matches!(due.action, Action::Resend(_)));
    }
}
