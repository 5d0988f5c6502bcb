//! What every bolt must do, whatever it does: answer for every record, give the same when records come
//! again, wait when those behind it wait, stop cleanly, and survive hostile records.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::{Account, Finish, Graph, Running, json, start, start_here};
use tokio::task::LocalSet;

use crate::probe::{Arrival, Manner, Probes};
use crate::source::{self, BATCH, Payload};
use crate::world::{Subject, World};

/// Calls `check` with every bolt that runs without an outside system, under its name.
async fn each_bolt(check: impl AsyncFn(&str, &World, &Subject)) {
    let bolts = isobar_operators::registry().bolts;
    let mut checked = 0;
    for kind in &bolts {
        // It would print among the results of the tests; it is the bolt of `file` but for that.
        if kind.name == "console" {
            continue;
        }
        let world = World::new();
        let subject = Subject::bolt(&world, kind);
        if !subject.is_connected {
            check(kind.name, &world, &subject).await;
            checked += 1;
        }
    }
    assert!(checked >= 3, "only {checked} bolts were checked");
}

/// The topology around a bolt, with these records and probes.
fn graph(
    world: &World,
    subject: &Subject,
    payloads: Vec<Payload>,
    ends: bool,
    probes: &Probes,
) -> Graph {
    let plan = world.plan(&subject.topology);
    let mut graph = plan.unwrap_or_else(|refused| panic!("{refused}")).graph;
    graph.spouts[0].start = source::start(payloads, ends);
    for bolt in &mut graph.bolts {
        if bolt.id.starts_with("sink_") || &*bolt.id == "dead_letter" {
            let (probes, name) = (probes.clone(), Arc::clone(&bolt.id));
            bolt.make = Arc::new(move |_| probes.make(&name));
        }
    }
    graph
}

/// What became of the records of a run.
#[derive(Debug, PartialEq)]
struct Outcome {
    delivered: u64,
    dropped: u64,
    dead_lettered: u64,
    arrivals: BTreeSet<Arrival>,
}

impl Outcome {
    /// Checks what holds at the end of every run that is waited for.
    fn of(name: &str, running: &Running, finish: &Finish, probes: &Probes) -> Self {
        let account = running.account(0);
        assert_eq!(*finish, Finish::Drained, "{name}: {account:?}");
        check_account(name, &account);
        assert_eq!((account.in_flight, account.handed_back), (0, 0), "{name}");
        for (number, bolt) in running.graph().bolts.iter().enumerate() {
            assert_eq!(
                running.bolt(number).restarts,
                0,
                "{name}: {} panicked",
                bolt.id
            );
        }
        let conditions = running.health().conditions();
        assert!(conditions.is_empty(), "{name}: {conditions:?}");
        Self {
            delivered: account.delivered,
            dropped: account.dropped.values().sum(),
            dead_lettered: account.dead_lettered,
            arrivals: probes.arrivals().clone(),
        }
    }
}

fn check_account(name: &str, account: &Account) {
    assert_eq!(account.difference(), 0, "{name}: {account:?}");
}

async fn run(
    name: &str,
    world: &World,
    subject: &Subject,
    payloads: Vec<Payload>,
    manner: Manner,
) -> Outcome {
    let count = payloads.len() as u64;
    let probes = Probes::new(manner);
    let local = LocalSet::new();
    let graph = graph(world, subject, payloads, true, &probes);
    let running = start_here(graph, true, &local).expect("starts");
    let finish = local.run_until(running.finished()).await;
    let outcome = Outcome::of(name, &running, &finish, &probes);
    let sum = outcome.delivered + outcome.dropped + outcome.dead_lettered;
    assert_eq!(sum, count, "{name}: every record has one outcome");
    if manner == Manner::Deliver {
        let retried = running.account(0).retried;
        assert_eq!(
            retried, 0,
            "{name}: nothing failed, and nothing was left unanswered"
        );
    }
    outcome
}

#[tokio::test(start_paused = true)]
async fn every_record_is_answered_for() {
    each_bolt(async |name, world, subject| {
        let outcome = run(name, world, subject, source::ordinary(), Manner::Deliver).await;
        // Whatever a bolt does, these records are not all wrong for it.
        assert!(
            outcome.delivered + outcome.dropped > 0,
            "{name}: {outcome:?}"
        );
        assert_sound(name, &outcome);
    })
    .await;
}

#[tokio::test]
async fn lanes_on_threads_of_their_own_give_the_same() {
    each_bolt(async |name, world, subject| {
        let at_once = run(name, world, subject, source::ordinary(), Manner::Deliver).await;
        let probes = Probes::new(Manner::Deliver);
        let graph = graph(world, subject, source::ordinary(), true, &probes);
        let running = start(graph, true).expect("starts");
        let finish = running.finished().await;
        let on_threads = Outcome::of(name, &running, &finish, &probes);
        assert_eq!(at_once, on_threads, "{name}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn records_that_come_again_give_the_same() {
    each_bolt(async |name, world, subject| {
        let at_once = run(name, world, subject, source::ordinary(), Manner::Deliver).await;
        let again = run(name, world, subject, source::ordinary(), Manner::FailFirst).await;
        assert_eq!(at_once, again, "{name}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_bolt_waits_for_those_behind_it() {
    const IN_FLIGHT_MAX: usize = 20;
    each_bolt(async |name, world, subject| {
        let at_once = run(name, world, subject, source::ordinary(), Manner::Deliver).await;
        let probes = Probes::new(Manner::WaitForGate);
        let local = LocalSet::new();
        let mut graph = graph(world, subject, source::ordinary(), true, &probes);
        graph.spouts[0].max_in_flight_records = IN_FLIGHT_MAX;
        graph.queue_batches = 1;
        let running = start_here(graph, true, &local).expect("starts");
        let finish = local
            .run_until(async {
                for _minute in 0..3 {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    let (records, _) = running.in_flight(0);
                    assert!(
                        records < IN_FLIGHT_MAX + BATCH,
                        "{name}: {records} in flight"
                    );
                    check_account(name, &running.account(0));
                }
                assert_eq!(
                    running.account(0).delivered,
                    0,
                    "{name} delivered through a closed gate"
                );
                assert!(probes.arrivals().is_empty(), "{name}");
                probes.open_gate();
                running.finished().await
            })
            .await;
        let waited = Outcome::of(name, &running, &finish, &probes);
        assert_eq!(waited, at_once, "{name}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_was_read_and_hands_nothing_back() {
    each_bolt(async |name, world, subject| {
        let probes = Probes::new(Manner::WaitForGate);
        let local = LocalSet::new();
        let graph = graph(world, subject, source::ordinary(), false, &probes);
        let drain_timeout = graph.drain_timeout;
        let running = start_here(graph, false, &local).expect("starts");
        let finish = local
            .run_until(async {
                tokio::time::sleep(Duration::from_secs(60)).await;
                running.stop();
                tokio::time::sleep(drain_timeout / 2).await;
                probes.open_gate();
                running.finished().await
            })
            .await;
        let outcome = Outcome::of(name, &running, &finish, &probes);
        let read = running.account(0).read;
        let sum = outcome.delivered + outcome.dropped + outcome.dead_lettered;
        assert!(read > 0 && sum == read, "{name}: {outcome:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn hostile_records_neither_break_a_bolt_nor_get_lost() {
    each_bolt(async |name, world, subject| {
        let mut payloads = source::hostile();
        payloads.extend(source::ordinary());
        let outcome = run(name, world, subject, payloads, Manner::Deliver).await;
        assert!(
            outcome.delivered + outcome.dropped > 0,
            "{name}: {outcome:?}"
        );
        assert_sound(name, &outcome);
    })
    .await;
}

/// Documents are JSON without repeated keys, and rejected records say why.
fn assert_sound(name: &str, outcome: &Outcome) {
    let mut letters = BTreeSet::new();
    for arrival in &outcome.arrivals {
        if let Some(document) = &arrival.document {
            let scanned = json::scan_object(document.as_bytes(), |_| {});
            assert!(scanned.is_ok(), "{name}: {scanned:?} in {arrival:?}");
        }
        let is_letter = arrival.at == "dead_letter";
        assert_eq!(arrival.class.is_some(), is_letter, "{name}: {arrival:?}");
        if is_letter {
            assert!(
                letters.insert(arrival.offset),
                "{name}: two letters of one record"
            );
        }
    }
    assert_eq!(letters.len() as u64, outcome.dead_lettered, "{name}");
}
