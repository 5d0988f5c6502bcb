//! What happens to the records of an attempt that failed: when they are sent again, in which
//! portions, and when they are rejected.
//!
//! Only failures that are attributable to a record count. A portion with such a failure is halved
//! until the record at fault stands alone; an outage of an outside system is waited out. What was not
//! sent, as its system takes nothing, is held: it has a back-off of its own, which a recovery ends.
//!
//! Waits are random below a back-off that doubles (`retry/jitter.rs`).

pub(crate) mod jitter;

use std::time::Duration;

use crate::ack::{Completion, Ticket};
use crate::outcome::Failure;
use crate::retry::jitter::Jitter;

/// How retries are paced and bounded.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// First back-off: a wait is random, from 0 to the back-off.
    pub initial: Duration,
    /// Longest back-off; each one doubles the last.
    pub max: Duration,
    /// Attempts that count before a record is rejected, at least 1.
    pub attempts_max: u32,
    /// One seed draws the same waits.
    pub seed: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            attempts_max: 5,
            seed: 0,
        }
    }
}

impl RetryPolicy {
    /// The back-off before retry number `retries` (from 0).
    pub(crate) fn delay(&self, retries: u32) -> Duration {
        self.initial
            .saturating_mul(1u32.checked_shl(retries.min(20)).unwrap_or(u32::MAX))
            .min(self.max)
    }
}

/// What to do with some failed records of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// Records of the entry.
    pub(crate) records: Vec<u32>,
    /// Attempts that counted so far.
    pub(crate) attempts: u32,
    /// Retries so far after failures, and of what was held.
    pub(crate) retries: u32,
    pub(crate) holds: u32,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Send again after this time.
    Resend(Duration),
    /// Send again after a recovery, and after this time in any case.
    Hold(Duration),
    /// It can never succeed, or was tried often enough.
    Reject,
}

/// Records that wait together to be sent again, for whoever asks where they are.
#[derive(Debug)]
pub(crate) struct Portion {
    /// In order, by number in the entry; each with the bolt at which it failed.
    pub(crate) records: Vec<(u32, Option<usize>)>,
    /// Whether a recovery ends the wait.
    pub(crate) held: bool,
}

/// Decides about the failed records of a completed attempt; nothing when all succeeded.
pub(crate) fn plan(
    completion: &Completion,
    policy: &RetryPolicy,
    jitter: &mut Jitter,
) -> Vec<Next> {
    let Ticket {
        attempts,
        retries,
        holds,
        ..
    } = completion.ticket;
    let mut waiting = Vec::new();
    let mut held = Vec::new();
    let mut suspects = Vec::new();
    let mut poison = true;
    for (position, code) in completion.codes.iter().enumerate() {
        let record = match &completion.ticket.records {
            None => position as u32,
            Some(records) => records[position],
        };
        match code.failure() {
            None => {}
            Some(Failure::Bystander | Failure::External) => waiting.push(record),
            Some(Failure::Held) => held.push(record),
            Some(failure) => {
                poison &= failure == Failure::Poison;
                suspects.push(record);
            }
        }
    }
    let mut next = Vec::new();
    if !waiting.is_empty() {
        next.push(Next {
            records: waiting,
            attempts,
            retries: retries + 1,
            holds,
            action: Action::Resend(jitter.within(policy.delay(retries))),
        });
    }
    if !held.is_empty() {
        next.push(Next {
            records: held,
            attempts,
            retries,
            holds: holds + 1,
            action: Action::Hold(jitter.within(policy.delay(holds))),
        });
    }
    if let [record] = suspects[..] {
        let attempts = attempts + 1;
        let over = poison || attempts >= policy.attempts_max;
        next.push(Next {
            records: vec![record],
            attempts,
            retries: retries + 1,
            holds,
            action: if over {
                Action::Reject
            } else {
                Action::Resend(jitter.within(policy.delay(attempts - 1)))
            },
        });
    } else if !suspects.is_empty() {
        // Which of them is at fault is not known yet, so the attempt counts for none.
        let second = suspects.split_off(suspects.len().div_ceil(2));
        for records in [suspects, second] {
            next.push(Next {
                records,
                attempts,
                retries,
                holds,
                action: Action::Resend(Duration::ZERO),
            });
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Code;

    fn completion(records: Option<Vec<u32>>, attempts: u32, codes: Vec<Code>) -> Completion {
        let ticket = Ticket {
            ledger: 1,
            entry: 0,
            records,
            attempts,
            retries: attempts,
            holds: 0,
            recoveries: 0,
        };
        Completion::of(ticket, codes)
    }

    const OK: Code = Code::DELIVERED;

    fn code(failure: Failure) -> Code {
        Code::failed(failure)
    }

    #[test]
    fn external_failures_never_count() {
        let away = code(Failure::External);
        let policy = RetryPolicy::default();
        let failed = completion(Some(vec![4, 7, 9]), 3, vec![away, OK, away]);
        let next = plan(&failed, &policy, &mut Jitter::default());
        assert_eq!(next.len(), 1);
        assert_eq!((&next[0].records, next[0].attempts), (&vec![4, 9], 3));
        let wait = Jitter::default().within(policy.delay(3));
        assert_eq!(next[0].action, Action::Resend(wait));
    }

    #[test]
    fn what_was_held_waits_apart_and_counts_for_no_other_back_off() {
        let (held, away) = (code(Failure::Held), code(Failure::External));
        let policy = RetryPolicy::default();
        let mut failed = completion(None, 0, vec![held, away, OK, held]);
        (failed.ticket.retries, failed.ticket.holds) = (2, 9);
        let mut jitter = Jitter::default();
        let next = plan(&failed, &policy, &mut jitter.clone());
        let counted = next.iter().map(|n| (n.records.clone(), n.retries, n.holds));
        let expected = [(vec![1], 3, 9), (vec![0, 3], 2, 10)];
        assert_eq!(counted.collect::<Vec<_>>(), expected);
        let sent = jitter.within(policy.delay(2));
        let held = jitter.within(policy.delay(9));
        let actions = next.iter().map(|next| next.action);
        assert_eq!(
            actions.collect::<Vec<_>>(),
            [Action::Resend(sent), Action::Hold(held)]
        );
    }

    #[test]
    fn suspects_are_halved_until_one_stands_alone() {
        let policy = RetryPolicy::default();
        let mut portions = vec![(0..1000u32).collect::<Vec<_>>()];
        let (mut sends, mut rejected) = (0, Vec::new());
        let mut attempts = 0;
        while let Some(records) = portions.pop() {
            sends += 1;
            let bad = records.contains(&617);
            let codes = vec![if bad { code(Failure::Poison) } else { OK }; records.len()];
            let failed = completion(Some(records), attempts, codes);
            for next in plan(&failed, &policy, &mut Jitter::default()) {
                match next.action {
                    Action::Resend(_) | Action::Hold(_) => portions.push(next.records),
                    Action::Reject => rejected.extend(next.records),
                }
                attempts = next.attempts;
            }
        }
        assert_eq!(rejected, [617]);
        assert!(sends <= 21, "{sends}");
    }

    #[test]
    fn a_single_record_is_rejected_after_the_last_attempt() {
        let policy = RetryPolicy::default();
        let failed = vec![code(Failure::Attributable)];
        for attempts in 0..policy.attempts_max {
            let failed = completion(None, attempts, failed.clone());
            let next = plan(&failed, &policy, &mut Jitter::default());
            let last = attempts + 1 == policy.attempts_max;
            assert_eq!(next[0].action == Action::Reject, last, "{attempts}");
        }
    }

    fn any_code() -> impl Strategy<Value = Code> {
        prop::sample::select(vec![
            OK,
            Code::of(crate::outcome::Answer::AlreadyPresent),
            Code::DEAD_LETTERED,
            Code::UNANSWERED,
            code(Failure::Bystander),
            code(Failure::Held),
            code(Failure::External),
            code(Failure::Attributable),
            code(Failure::Poison),
        ])
    }

    proptest! {
        /// Each record that failed goes on exactly once, the others never; only one that stands alone
        /// is rejected, and only for a failure of its own.
        #[test]
        fn every_failed_record_goes_on_once(
            codes in prop::collection::vec(any_code(), 1..20),
            attempts in 0u32..5,
            step in 1u32..4,
        ) {
            let records: Vec<u32> = (0..codes.len() as u32).map(|at| at * step).collect();
            let by_record: Vec<(u32, Code)> = records.iter().copied().zip(codes.clone()).collect();
            let policy = RetryPolicy::default();
            let failed = completion(Some(records), attempts, codes);
            let next = plan(&failed, &policy, &mut Jitter::default());

            let mut going_on: Vec<u32> = next.iter().flat_map(|n| n.records.clone()).collect();
            going_on.sort_unstable();
            let failed = by_record.iter().filter(|(_, code)| code.failure().is_some());
            prop_assert_eq!(going_on, failed.map(|(record, _)| *record).collect::<Vec<_>>());
            for next in next {
                let failures = by_record.iter().filter(|(record, _)| next.records.contains(record));
                let mut failures = failures.filter_map(|(_, code)| code.failure());
                let waits = failures.any(|f| matches!(f, Failure::Bystander | Failure::Held | Failure::External));
                prop_assert!(next.attempts == attempts || (!waits && next.records.len() == 1));
                if next.action == Action::Reject {
                    prop_assert!(next.attempts == attempts + 1);
                }
            }
        }
    }

    #[test]
    fn the_back_off_doubles_up_to_its_maximum() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(0), policy.initial);
        assert_eq!(policy.delay(3), policy.initial * 8);
        assert_eq!(policy.delay(40), policy.max);
    }
}
