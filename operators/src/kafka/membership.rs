//! Looks whether the group's coordinator counts the same partitions as ours as we do, and finds out when it
//! does not and never will: then only joining again helps.
//!
//! With the protocol of KIP-848 the coordinator says once what a member is to read, in the answer to a
//! heartbeat. librdkafka 2.12.1 waits for that answer for one heartbeat interval
//! (`rd_kafka_ConsumerGroupHeartbeatRequest`) and then goes on with short requests, not with the full one that
//! is answered with the whole assignment: it sends that after other errors only
//! (`rd_kafka_cgrp_handle_ConsumerGroupHeartbeat`). Where the answer began a new epoch of the member, the
//! coordinator refuses the next request, and the member joins again by itself. Where it did not, nobody
//! notices: what it gave is read by nobody, for as long as the group stays as it is; what it took away is kept
//! until the rebalance time-out, `max.poll.interval.ms`.
//!
//! With this protocol, a member to which nothing is given hears nothing at all: librdkafka calls back for
//! changes only, and nothing is what it had (`rd_kafka_cgrp_consumer_is_new_assignment_different`). That the
//! coordinator knows the member and counts nothing as its own says that it has joined.
//!
//! Runs on the poll thread only, between polls, and never waits.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};

use super::admin::{Admin, TopicPartition};
use super::asked::{Asked, let_go};
use super::conditions::Subject;
use super::config::GroupProtocol;
use super::error::Error;
use super::ffi::admin::group::member_id;
use super::log::lock;
use super::shared::{Client, Shared};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// Between two looks of a member that may not have joined yet. Whoever waits for that waits so long.
const JOINING: Duration = Duration::from_secs(1);

/// So many looks in a row must find the same: a rebalance may be under way at one, and members hear of
/// deleted topics with their next heartbeat only.
const LOOKS: u32 = 3;

/// Where joining again did not help, looks are further and further apart, up to this: it costs the group two
/// rebalances. After as long without a difference they are as often as at first.
const AT_LEAST_EVERY: Duration = Duration::from_secs(600);

/// After a look without an answer.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

const WITHIN: Duration = Duration::from_secs(5);

/// What was seen so far; owned by the poll thread.
pub(crate) struct Membership {
    due: Option<Instant>,
    every: Duration,
    /// The last difference, and how many looks have found it.
    before: Option<(Difference, u32)>,
    agreed_since: Option<Instant>,
    under_way: Option<Look>,
    /// Asks beside the member's own client: were that one to end with a question under way that the
    /// coordinator cannot answer, it might wait for ever. Made anew after a failure, as unanswered
    /// questions pile up in it until the coordinator is back.
    admin: Option<Admin>,
}

/// A question under way, and how many rebalances of this member there had been. Its answer is what the
/// coordinator counts as ours, `None` where it does not know the member.
struct Look {
    asked: Asked<(Admin, Option<BTreeSet<TopicPartition>>)>,
    rebalances: u64,
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
            agreed_since: None,
            under_way: None,
            admin: None,
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
        if let Some(look) = &self.under_way {
            let answer = look.asked.answer()?;
            let before = look.rebalances;
            self.under_way = None;
            return self.answered(shared, answer, before);
        }
        let now = clock::now();
        // At the start there is nothing to look at yet.
        let due = *self.due.get_or_insert(now + JOINING);
        if now >= due {
            self.ask(shared, client);
        }
        None
    }

    fn ask(&mut self, shared: &Shared, client: &Client) {
        self.due = Some(clock::now() + AFTER_FAILURE);
        let Some(id) = member_id(client) else {
            return;
        };
        let (connection, group) = (
            shared.config.connection.clone(),
            shared.config.group.clone(),
        );
        let admin = self.admin.take();
        let asked = Asked::of((), move |()| {
            // Making a client reads files. After a failure it ends here, and nobody asks before it has.
            let admin = match admin {
                Some(admin) => admin,
                None => Admin::of_group(&connection, &group, WITHIN)?,
            };
            let owned = admin.owned_by(&id)?;
            Ok((admin, owned))
        });
        match asked {
            Ok(asked) => {
                let rebalances = shared.counters.rebalances.load(Ordering::Relaxed);
                self.under_way = Some(Look { asked, rebalances });
            }
            Err(error) => tracing::debug!(%error, "The coordinator was not asked what is ours"),
        }
    }

    fn answered(
        &mut self,
        shared: &Shared,
        answer: Result<(Admin, Option<BTreeSet<TopicPartition>>), Error>,
        before: u64,
    ) -> Option<String> {
        let now = clock::now();
        let theirs = match answer {
            Ok((admin, theirs)) => {
                self.admin = Some(admin);
                theirs
            }
            Err(error) => {
                tracing::debug!(%error, "The coordinator did not say what is ours");
                return None;
            }
        };
        let joined = shared.joined.load(Ordering::Acquire);
        self.due = Some(now + if joined { self.every } else { JOINING });
        let rebalances = shared.counters.rebalances.load(Ordering::Relaxed);
        // It tells a member that it does not know so with its next heartbeat.
        let theirs = theirs.filter(|_| rebalances == before)?;
        let ours = shared.ours();
        let difference = |these: &BTreeSet<_>, those| these.difference(those).cloned().collect();
        let difference = Difference {
            given: difference(&theirs, &ours),
            taken: difference(&ours, &theirs),
            rebalances,
        };
        // What is given to a member that heard of nothing yet may be on its way, as long as at any other time.
        self.due = Some(now + self.every);
        let agrees = difference.is_none();
        let why = self.judge(difference, now);
        if agrees {
            shared.joined.store(true, Ordering::Release);
            shared.conditions.clear(&Subject::Membership);
        }
        why
    }

    /// What a look comes to, after those before.
    fn judge(&mut self, difference: Difference, now: Instant) -> Option<String> {
        if difference.is_none() {
            self.before = None;
            let since = *self.agreed_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= AT_LEAST_EVERY {
                self.every = EVERY;
            }
            return None;
        }
        self.agreed_since = None;
        let looks = match self.before.take() {
            Some((before, looks)) if before == difference => looks + 1,
            _ => 1,
        };
        if looks < LOOKS {
            self.before = Some((difference, looks));
            return None;
        }
        self.every = (self.every * 2).min(AT_LEAST_EVERY);
        Some(difference.to_string())
    }

    /// The client is gone; how often joining again did not help is remembered.
    pub(crate) fn clear(&mut self) {
        self.due = None;
        self.before = None;
        self.under_way = None;
        if let Some(admin) = self.admin.take() {
            let_go(admin);
        }
    }
}

impl Shared {
    /// The partitions that the group gave to us, those without a start yet among them.
    fn ours(&self) -> BTreeSet<TopicPartition> {
        let mut ours: BTreeSet<_> = lock(&self.postponed).partitions.iter().cloned().collect();
        ours.extend(lock(&self.registry).assignments.keys().cloned());
        ours
    }
}

impl Difference {
    fn is_none(&self) -> bool {
        self.given.is_empty() && self.taken.is_empty()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |partitions: &BTreeSet<TopicPartition>| {
            let mut text = String::new();
            for TopicPartition { topic, partition } in partitions {
                let comma = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{comma}{topic}/{partition}");
            }
            text
        };
        f.write_str("its coordinator and this member disagree on what it reads: ")?;
        if !self.given.is_empty() {
            write!(
                f,
                "it never heard that {} is given to it",
                list(&self.given)
            )?;
        }
        if !self.taken.is_empty() {
            let and = if self.given.is_empty() {
                "it never heard"
            } else {
                " and"
            };
            write!(f, "{and} that {} is taken away", list(&self.taken))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(given: &[i32], taken: &[i32], rebalances: u64) -> Difference {
        let set = |numbers: &[i32]| {
            let numbers = numbers.iter();
            numbers.map(|one| TopicPartition::new("t", *one)).collect()
        };
        Difference {
            given: set(given),
            taken: set(taken),
            rebalances,
        }
    }

    #[test]
    fn only_what_stays_without_a_rebalance_counts() {
        let (mut membership, now) = (Membership::default(), clock::now());
        for seen in [
            difference(&[1], &[], 1),
            difference(&[1], &[], 1),
            difference(&[1], &[], 2),
            difference(&[1, 2], &[], 2),
            difference(&[], &[3], 2),
            difference(&[], &[3], 2),
            difference(&[], &[], 2),
            difference(&[], &[3], 2),
            difference(&[], &[3], 2),
        ] {
            assert_eq!(membership.judge(seen, now), None);
        }
        let why = membership.judge(difference(&[], &[3], 2), now);
        assert_eq!(
            why.as_deref(),
            Some(
                "its coordinator and this member disagree on what it reads: it never heard that t/3 is taken away"
            )
        );
    }

    #[test]
    fn what_does_not_help_is_tried_less_and_less_often_until_it_agrees_for_long() {
        let (mut membership, mut now) = (Membership::default(), clock::now());
        for expected in [20, 40, 80, 160, 320, 600, 600] {
            let seen = difference(&[0, 1], &[2], 1);
            for _ in 1..LOOKS {
                assert_eq!(membership.judge(seen.clone(), now), None);
            }
            let why = membership.judge(seen, now).expect("it stays");
            assert!(
                why.ends_with("that t/0, t/1 is given to it and that t/2 is taken away"),
                "{why}"
            );
            membership.clear();
            assert_eq!(membership.every, Duration::from_secs(expected));
            // To agree for a moment is not enough.
            assert_eq!(membership.judge(difference(&[], &[], 1), now), None);
            assert_eq!(membership.every, Duration::from_secs(expected));
        }
        now += AT_LEAST_EVERY;
        assert_eq!(membership.judge(difference(&[], &[], 1), now), None);
        assert_eq!(membership.every, EVERY);
    }
}
