//! What can become of a record, and which of several outcomes counts.
//!
//! A record that fans out is counted once, as its worst branch: the order of the codes is that order.

use crate::error::{Domain, OperatorError, Retry};

/// A named policy by which records are dropped on purpose: an index into the policies of a topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Policy(u8);

impl Policy {
    /// Most policies that one topology may name.
    pub const MAX: usize = 100;

    pub(crate) fn new(index: usize) -> Option<Self> {
        (index < Self::MAX).then_some(Self(index as u8))
    }

    /// The position of the policy's name in the plan.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What an operator answers for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The outside system has it.
    Delivered,
    /// The outside system had it already, under the same id.
    AlreadyPresent,
    /// Left out on purpose, by a named policy.
    Dropped(Policy),
    /// Could not be delivered now; will be retried.
    Failed(Failure),
}

/// Why a record failed, which decides how it is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Only queued beside something that failed: retried, never counted.
    Bystander,
    /// Not sent, as the outside system takes nothing now: as `External`, and sent again at once when a
    /// bolt tells of a recovery ([`crate::Recoveries`]).
    Held,
    /// The outside system is at fault: retried with back-off for ever, never counted.
    External,
    /// Attributable to the record: counted; isolated by bisection.
    Attributable,
    /// Attributable to the record and certain to fail again: isolated by bisection, then rejected.
    Poison,
}

impl From<&OperatorError> for Failure {
    fn from(error: &OperatorError) -> Self {
        match (error.domain, error.retry) {
            (Domain::External, _) => Failure::External,
            (_, Retry::Never) => Failure::Poison,
            (_, Retry::Backoff) => Failure::Attributable,
        }
    }
}

/// One byte per record and attempt; a larger code is a worse outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Code(u8);

impl Code {
    pub(crate) const DELIVERED: Code = Code(0);
    const ALREADY_PRESENT: Code = Code(1);
    const FIRST_POLICY: u8 = 2;
    pub(crate) const DEAD_LETTERED: Code = Code(128);
    const BYSTANDER: Code = Code(200);
    const HELD: Code = Code(201);
    const EXTERNAL: Code = Code(202);
    const ATTRIBUTABLE: Code = Code(203);
    const POISON: Code = Code(204);
    /// The ack was dropped.
    pub(crate) const UNANSWERED: Code = Code(205);
    /// Not settled yet; only in a ledger.
    pub(crate) const OPEN: Code = Code(255);

    pub(crate) fn of(answer: Answer) -> Code {
        match answer {
            Answer::Delivered => Code::DELIVERED,
            Answer::AlreadyPresent => Code::ALREADY_PRESENT,
            Answer::Dropped(policy) => Code(Code::FIRST_POLICY + policy.0),
            Answer::Failed(failure) => Code::failed(failure),
        }
    }

    pub(crate) fn failed(failure: Failure) -> Code {
        match failure {
            Failure::Bystander => Code::BYSTANDER,
            Failure::Held => Code::HELD,
            Failure::External => Code::EXTERNAL,
            Failure::Attributable => Code::ATTRIBUTABLE,
            Failure::Poison => Code::POISON,
        }
    }

    /// The failure, if the record must be retried.
    pub(crate) fn failure(self) -> Option<Failure> {
        match self {
            Code::BYSTANDER => Some(Failure::Bystander),
            Code::HELD => Some(Failure::Held),
            Code::EXTERNAL => Some(Failure::External),
            Code::ATTRIBUTABLE | Code::UNANSWERED => Some(Failure::Attributable),
            Code::POISON => Some(Failure::Poison),
            _ => None,
        }
    }

    /// The policy, if the record was dropped by one.
    #[inline]
    pub(crate) fn policy(self) -> Option<Policy> {
        let is_policy = (Code::FIRST_POLICY..Code::DEAD_LETTERED.0).contains(&self.0);
        is_policy.then(|| Policy(self.0 - Code::FIRST_POLICY))
    }

    /// The final outcome, if it is one.
    pub(crate) fn settled(self) -> Option<Settled> {
        match self.0 {
            0 => Some(Settled::Delivered),
            1 => Some(Settled::AlreadyPresent),
            128 => Some(Settled::DeadLettered),
            _ => self.policy().map(Settled::Dropped),
        }
    }
}

/// The final outcome of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The outside system has it.
    Delivered,
    /// The outside system had it already, under the same id.
    AlreadyPresent,
    /// Left out on purpose, by a named policy.
    Dropped(Policy),
    /// Rejected, and its dead letter is written.
    DeadLettered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_branch_has_the_largest_code() {
        let policy = Policy::new(Policy::MAX - 1).expect("below MAX");
        let best_to_worst = [
            Code::of(Answer::Delivered),
            Code::of(Answer::AlreadyPresent),
            Code::of(Answer::Dropped(Policy(0))),
            Code::of(Answer::Dropped(policy)),
            Code::DEAD_LETTERED,
            Code::failed(Failure::Bystander),
            Code::failed(Failure::Held),
            Code::failed(Failure::External),
            Code::failed(Failure::Attributable),
            Code::failed(Failure::Poison),
            Code::UNANSWERED,
            Code::OPEN,
        ];
        assert!(best_to_worst.is_sorted());
        assert_eq!(Policy::new(Policy::MAX), None);
        assert_eq!(
            Code::of(Answer::Dropped(policy)).settled(),
            Some(Settled::Dropped(policy))
        );
    }
}
