//! The poll thread: makes the client, serves its callbacks, recovers partitions, closes.
//!
//! It alone changes assignments. Lanes never wait for it; it waits for lanes only with a bound.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use isobar_topology::clock;
use rdkafka::consumer::Consumer;

use super::conditions::Subject;
use super::config::GroupProtocol;
use super::error::Error;
use super::ffi::admin::group::member_id;
use super::ffi::consume::LaneQueue;
use super::log::lock;
use super::mailbox::{Control, Drain};
use super::membership::Membership;
use super::rebalance::{Context, give_up};
use super::recovery::Recovery;
use super::shared::{Client, Closed, Session, Shared, add};

/// How long one poll waits for a callback. Requests of lanes, all of them about partitions that
/// stand still anyway, are served in between.
const POLL: Duration = Duration::from_millis(50);

/// How long unsubscribing may take. In the middle of a rebalance the client postpones it to the end of that, which
/// may be as far away as the slowest other member; closing does not wait for it, and revokes what is still held.
/// With [`LEAVE_WITHIN`] less than whoever closes waits (10 s).
const UNSUBSCRIBE_WITHIN: Duration = Duration::from_secs(3);

/// How long closing may take until the client is dropped regardless.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// How many events of a client are served before it is looked at what there is to revoke: more than one
/// rebalance brings.
const SERVED_BEFORE_LEAVE: usize = 8;

/// After how long it is told that leaving the group takes its time.
const LEAVE_TOLD_AFTER: Duration = Duration::from_secs(1);

/// How long lanes have to let go of their queues.
const DETACH_WITHIN: Duration = Duration::from_secs(5);

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LAST_BACKOFF: Duration = Duration::from_secs(15);

/// Makes a client with its lane queues and joins the group. Contacts nobody yet.
pub(crate) fn open(shared: &Arc<Shared>) -> Result<Session, Error> {
    let lanes = shared.mailboxes.len();
    let config = shared.config.client_config(lanes);
    let refused = |source| Error::client(&config, source);
    let context = Context {
        shared: Arc::clone(shared),
    };
    let client: Client = config.create_with_context(context).map_err(refused)?;
    let client = Arc::new(client);
    let queues: Vec<_> = shared
        .mailboxes
        .iter()
        .map(|mailbox| Arc::new(LaneQueue::new(&client, Arc::clone(&mailbox.wake))))
        .collect();
    for (mailbox, queue) in shared.mailboxes.iter().zip(&queues) {
        mailbox.push(Control::Attach(Arc::clone(queue)));
    }
    let session = Session { client, queues };
    *lock(&shared.session) = Some(session.clone());
    match &shared.config.fixed {
        Some(fixed) => shared.own(fixed.ranges.keys().cloned().collect()),
        None => {
            let topics: Vec<&str> = shared.config.topics.iter().map(String::as_str).collect();
            session.client.subscribe(&topics).map_err(refused)?;
        }
    }
    add(&shared.counters.clients, 1);
    Ok(session)
}

/// Runs until the consumer is closed; makes a new client after errors that end the old one.
pub(crate) fn run(shared: &Arc<Shared>, first: Session) {
    let mut session = Some(first);
    let mut backoff = FIRST_BACKOFF;
    let mut recovery = Recovery::default();
    let mut membership = Membership::default();
    let mut outcome = Closed::Cleanly;
    while let Some(current) = session.take() {
        let started = clock::now();
        let end = poll(shared, &current.client, &mut recovery, &mut membership);
        recovery.clear();
        membership.clear();
        if !matches!(end, End::Fatal(_)) {
            leave(shared, &current.client);
        }
        outcome = drop_session(shared, current);
        let (subject, text) = match end {
            End::Closing => break,
            End::Fatal(text) => (Subject::Group, text),
            End::Astray(text) => (Subject::Membership, text),
        };
        if clock::now().saturating_duration_since(started) > LAST_BACKOFF * 2 {
            backoff = FIRST_BACKOFF;
        }
        session = reopen(shared, &subject, &text, &mut backoff);
    }
    for mailbox in &shared.mailboxes {
        mailbox.push(Control::Closed);
    }
    let _ = shared.closed.send_replace(Some(outcome));
}

/// Why a client is no longer served.
enum End {
    /// The consumer is to be closed.
    Closing,
    /// The client is of no more use; what librdkafka says of it.
    Fatal(String),
    /// The group is to be joined again, and why.
    Astray(String),
}

/// Serves callbacks and lanes until the end of the client.
fn poll(
    shared: &Shared,
    client: &Client,
    recovery: &mut Recovery,
    membership: &mut Membership,
) -> End {
    while !shared.is_closing() {
        // Errors went to the context, with more text than here; records go to the lanes.
        let _ = client.poll(POLL);
        if shared.check_fatal.swap(false, Ordering::Relaxed)
            && let Some((code, text)) = client.client().fatal_error()
        {
            return End::Fatal(format!("{text} ({code})"));
        }
        recovery.serve(shared, client);
        if let Some(text) = membership.serve(shared, client) {
            return End::Astray(text);
        }
    }
    End::Closing
}

/// Waits, longer each time, and makes a new client; `None` when the consumer is closed meanwhile.
fn reopen(
    shared: &Arc<Shared>,
    subject: &Subject,
    text: &str,
    backoff: &mut Duration,
) -> Option<Session> {
    let mut text = text.to_owned();
    loop {
        let group = &shared.config.group;
        shared.conditions.raise(
            subject.clone(),
            format!("group {group}: {text}; it joins with a new client in {backoff:?}"),
        );
        if close_asked_within(shared, *backoff) {
            return None;
        }
        *backoff = (*backoff * 2).min(LAST_BACKOFF);
        match open(shared) {
            Ok(session) => return Some(session),
            Err(error) => {
                text = error.to_string();
                if let Some(session) = lock(&shared.session).clone() {
                    let _ = drop_session(shared, session);
                }
            }
        }
    }
}

fn close_asked_within(shared: &Shared, within: Duration) -> bool {
    shared
        .close_asked
        .wait_timeout_while(lock(&shared.closing), within, |closing| !*closing)
        .map_or_else(|poisoned| *poisoned.into_inner().0, |(closing, _)| *closing)
}

/// Closes the consumer, bounded: its partitions are revoked in order, then it leaves the group, where
/// a member with an instance id stays for its next start. A member without partitions in a rebalance that takes longer
/// than [`UNSUBSCRIBE_WITHIN`] does not leave: the group has it until its session ends.
fn leave(shared: &Shared, client: &Client) {
    if shared.config.fixed.is_some() {
        // Nobody else gives or takes these partitions.
        client.context().release(client);
    }
    let group = &shared.config.group;
    let mut told = Some(clock::now() + LEAVE_TOLD_AFTER);
    let mut serve_until = |is_done: &dyn Fn() -> bool, within: Duration| {
        let until = clock::now() + within;
        while !is_done() && clock::now() < until {
            let _ = client.poll(POLL);
            if told.take_if(|at| clock::now() >= *at).is_some() {
                tracing::info!(
                    group,
                    "Waiting for the brokers to confirm that this member left its group, {:?} at most; while a group is being joined they wait for its other members",
                    UNSUBSCRIBE_WITHIN + LEAVE_WITHIN
                );
            }
        }
    };
    // An assignment may be on its way in the client.
    for _ in 0..SERVED_BEFORE_LEAVE {
        let _ = client.poll(Duration::ZERO);
    }
    if has_nothing_to_revoke(shared) {
        client.unsubscribe();
        serve_until(&|| !is_member(client), UNSUBSCRIBE_WITHIN);
    }
    if let Err(error) = client.close_queue() {
        tracing::warn!(%error, "The Kafka client cannot be closed");
        return;
    }
    // Its own time, so that a rebalance that goes on leaves enough to revoke partitions and to commit.
    serve_until(&|| client.closed(), LEAVE_WITHIN);
    if !client.closed() {
        tracing::warn!(
            group,
            "The brokers did not confirm within {LEAVE_WITHIN:?} that this member left its group"
        );
    }
}

/// Whether the client, when it is closed, would not leave its group by itself: librdkafka 2.12 skips that for
/// a member of a cooperative group that has no partitions (`rd_kafka_cgrp_revoke_all_rejoin`, when terminating).
/// The group then waits for the member up to the session time-out, with whatever was meant for it. An instance id
/// is to stay in the group.
fn has_nothing_to_revoke(shared: &Shared) -> bool {
    let config = &shared.config;
    let may_leave = config.fixed.is_none() && config.instance_id.is_none();
    may_leave
        && config.protocol == GroupProtocol::Classic
        && lock(&shared.registry).assignments.is_empty()
        && !shared.any_postponed()
}

/// Whether the client has a member id, which it forgets when it sends that it leaves. In the middle of joining
/// it does so only afterwards (`rd_kafka_cgrp_subscribe` postpones), and not at all where it is closed before.
fn is_member(client: &Client) -> bool {
    member_id(client).is_some_and(|id| !id.is_empty())
}

/// Lets go of a client in the order that does not hang: partitions, lanes, queues, client.
fn drop_session(shared: &Shared, session: Session) -> Closed {
    *lock(&shared.session) = None;
    shared.joined.store(false, Ordering::Release);
    shared.clear_postponed();
    let left: Vec<_> = lock(&shared.registry)
        .assignments
        .values()
        .cloned()
        .collect();
    give_up(shared, &left);
    lock(&shared.registry).forget_commits();
    lock(&shared.requests).clear();
    let drain = Drain::new(shared.mailboxes.len());
    for mailbox in &shared.mailboxes {
        mailbox.push(Control::Detach(drain.reply()));
    }
    let (_, late) = drain.wait(DETACH_WITHIN);
    let Session { client, queues } = session;
    if late > 0 {
        tracing::error!(
            lanes = late,
            "Lanes did not let go of the Kafka client in time; it is abandoned"
        );
        // Dropping a client whose queues live hangs for ever.
        std::mem::forget(client);
        std::mem::forget(queues);
        return Closed::Abandoned;
    }
    drop(queues);
    // Waits for the group's coordinator, up to the session time-out when the brokers are gone:
    // whoever closes has a deadline of their own.
    drop(client);
    Closed::Cleanly
}
