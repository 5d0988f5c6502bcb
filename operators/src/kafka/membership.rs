//! Looks whether the group's coordinator counts the same partitions as ours as we do, and finds out when it
//! does not and never will: then only joining again helps.
//!
//! With the protocol of KIP-848 the coordinator says once what a member is to read, in the answer to a
//! heartbeat. librdkafka 2.12.1 waits for that answer for one heartbeat interval
//! (`rd_kafka_ConsumerGroupHeartbeatRequest`) and then sends the same request again, not the full one that
//! is answered with the whole assignment: it asks for that after other errors only
//! (`rd_kafka_cgrp_handle_ConsumerGroupHeartbeat`). What a late answer gave is read by nobody, for as long as
//! the group stays as it is; what it took away is kept until the rebalance time-out, `max.poll.interval.ms`.
//!
//! Runs on the poll thread only, between polls.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};

use super::admin::TopicPartition;
use super::config::GroupProtocol;
use super::ffi::admin::group;
use super::log::lock;
use super::shared::{Client, Shared};

/// Between two looks. Only what two of them find alike counts, since a rebalance may be under way at one.
const EVERY: Duration = Duration::from_secs(10);

/// Joining again costs the group two rebalances; where it did not help, it is not tried soon again.
const AT_LEAST_EVERY: Duration = Duration::from_secs(600);

/// The poll thread waits for the answer.
const WITHIN: Duration = Duration::from_secs(1);

/// What was seen so far; owned by the poll thread.
pub(crate) struct Membership {
    due: Option<Instant>,
    every: Duration,
    before: Option<Difference>,
}

/// How the coordinator's word differs from what the client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Difference {
    /// Counts as ours, and was never given to us.
    given: BTreeSet<TopicPartition>,
    /// Is ours, and does not count so any more.
    taken: BTreeSet<TopicPartition>,
    /// Rebalances of this member until then.
    rebalances: u64,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            due: None,
            every: EVERY,
            before: None,
        }
    }
}

impl Membership {
    /// Looks when it is time to. Returns why the group is to be joined again, if it is.
    pub(crate) fn serve(&mut self, shared: &Shared, client: &Client) -> Option<String> {
        let config = &shared.config;
        if config.protocol != GroupProtocol::Consumer || config.fixed.is_some() {
            return None;
        }
        let now = clock::now();
        match self.due {
            Some(due) if now < due => return None,
            // At the start there is nothing to look at yet.
            None => {
                self.due = Some(now + self.every);
                return None;
            }
            Some(_) => {}
        }
        let difference = look(shared, client);
        self.due = Some(clock::now() + self.every);
        self.judge(difference)
    }

    /// What a look comes to, after the one before. `None` when the coordinator did not answer or does not
    /// know this member, which it says to its next heartbeat.
    fn judge(&mut self, difference: Option<Difference>) -> Option<String> {
        let difference = difference?;
        if difference.given.is_empty() && difference.taken.is_empty() {
            self.before = None;
            self.every = EVERY;
            return None;
        }
        if self.before.as_ref() != Some(&difference) {
            self.before = Some(difference);
            return None;
        }
        self.before = None;
        self.every = (self.every * 2).min(AT_LEAST_EVERY);
        Some(difference.to_string())
    }

    /// The client is gone; how often joining again did not help is remembered.
    pub(crate) fn clear(&mut self) {
        self.due = None;
        self.before = None;
    }
}

fn look(shared: &Shared, client: &Client) -> Option<Difference> {
    if !shared.joined.load(Ordering::Acquire) {
        return None;
    }
    let theirs = match group::owned_by_us(client, &shared.config.group, WITHIN) {
        Ok(owned) => owned?,
        Err(error) => {
            tracing::debug!(%error, "The coordinator did not say what is ours");
            return None;
        }
    };
    let ours = shared.ours();
    let difference = |these: &BTreeSet<_>, those| these.difference(those).cloned().collect();
    Some(Difference {
        given: difference(&theirs, &ours),
        taken: difference(&ours, &theirs),
        rebalances: shared.counters.rebalances.load(Ordering::Relaxed),
    })
}

impl Shared {
    /// The partitions that the group gave to us, those without a start yet among them.
    fn ours(&self) -> BTreeSet<TopicPartition> {
        // In this order: a partition is registered before it leaves the list of postponed ones.
        let mut ours: BTreeSet<_> = lock(&self.postponed).partitions.iter().cloned().collect();
        ours.extend(lock(&self.registry).assignments.keys().cloned());
        ours
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |partitions: &BTreeSet<TopicPartition>| {
            let mut text = String::new();
            for TopicPartition { topic, partition } in partitions {
                let comma = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{comma}{topic}/{partition}");
            }
            text
        };
        f.write_str("an answer of its coordinator was lost: ")?;
        if !self.given.is_empty() {
            write!(f, "it gave this member {}", list(&self.given))?;
        }
        if !self.taken.is_empty() {
            let and = if self.given.is_empty() { "" } else { " and " };
            write!(f, "{and}it took {} away", list(&self.taken))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(given: &[i32], taken: &[i32], rebalances: u64) -> Option<Difference> {
        let set = |numbers: &[i32]| {
            let numbers = numbers.iter();
            numbers.map(|one| TopicPartition::new("t", *one)).collect()
        };
        Some(Difference {
            given: set(given),
            taken: set(taken),
            rebalances,
        })
    }

    #[test]
    fn only_what_stays_without_a_rebalance_counts() {
        let mut membership = Membership::default();
        for seen in [
            difference(&[1], &[], 1),
            difference(&[1], &[], 2),
            difference(&[1, 2], &[], 2),
            difference(&[], &[3], 2),
            difference(&[], &[], 2),
            difference(&[], &[3], 2),
        ] {
            assert_eq!(membership.judge(seen), None);
        }
        // One without an answer says nothing either way.
        assert_eq!(membership.judge(None), None);
        let why = membership
            .judge(difference(&[], &[3], 2))
            .expect("it stays");
        assert_eq!(
            why,
            "an answer of its coordinator was lost: it took t/3 away"
        );
    }

    #[test]
    fn what_does_not_help_is_tried_less_and_less_often() {
        let mut membership = Membership::default();
        for expected in [20, 40, 80, 160, 320, 600, 600] {
            let seen = difference(&[0, 1], &[2], 1);
            assert_eq!(membership.judge(seen.clone()), None);
            let why = membership.judge(seen).expect("it stays");
            assert!(
                why.ends_with("it gave this member t/0, t/1 and it took t/2 away"),
                "{why}"
            );
            membership.clear();
            assert_eq!(membership.every, Duration::from_secs(expected));
        }
        assert_eq!(membership.judge(difference(&[], &[], 1)), None);
        assert_eq!(membership.every, EVERY);
    }
}
