//! What is held while an outside system is away.

use super::*;
use crate::Recoveries;

/// A system that is away now and then, and the bolt that writes to it.
#[derive(Default)]
struct System {
    is_away: AtomicBool,
    /// The bolt was told that it is away, and not yet that it is back.
    is_known: AtomicBool,
    /// After so many records more it is away.
    takes: AtomicU32,
    /// Batches that came while it was away.
    turned_away: AtomicU32,
    written: Mutex<Vec<(clock::Instant, i64)>>,
}

impl System {
    fn is_away(&self, away: bool) {
        self.is_away.store(away, Ordering::Relaxed);
    }

    fn take(&self, batch: crate::Batch, recoveries: &Recoveries) {
        if self.is_away.load(Ordering::Relaxed) {
            self.is_known.store(true, Ordering::Relaxed);
            let _ = self.turned_away.fetch_add(1, Ordering::Relaxed);
            return batch.answer(Answer::Failed(Failure::Held));
        }
        let mut written = self.written.lock().expect("nobody panics");
        written.extend(batch.records().map(|r| (clock::now(), r.offset())));
        batch.answer(Answer::Delivered);
        if self.is_known.swap(false, Ordering::Relaxed) {
            recoveries.tell();
        }
        if self.takes.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.is_away(true);
        }
    }

    fn written(&self) -> Vec<(clock::Instant, i64)> {
        self.written.lock().expect("nobody panics").clone()
    }
}

/// Fifty batches of one record, all of them in flight while nothing is taken; back-off is an hour at once.
fn graph_into(system: &Arc<System>) -> Graph {
    let system = Arc::clone(system);
    let mut sink = bolt("sink", vec![], || unreachable!("replaced below"));
    sink.make = Arc::new(move |context| {
        let (system, recoveries) = (Arc::clone(&system), context.recoveries);
        FnBolt::any(move |batch, _| {
            system.take(batch, &recoveries);
            Ok(())
        })
    });
    let mut graph = graph(1, 50, 1, vec![sink]);
    let hour = Duration::from_secs(3_600);
    (graph.retry.initial, graph.retry.max) = (hour, hour);
    graph
}

#[tokio::test(start_paused = true)]
async fn all_that_was_held_goes_on_in_order_with_the_first_that_is_taken() {
    let system = Arc::new(System::default());
    system.takes.store(u32::MAX, Ordering::Relaxed);
    system.is_away(true);
    let local = LocalSet::new();
    let running = start_here(graph_into(&system), true, &local).expect("starts");
    let script = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(running.in_flight(0).0, 50);
        assert!(running.takes_no_more(0));
        // Each came once, and now and then one of them.
        let turned_away = system.turned_away.load(Ordering::Relaxed);
        assert!((60..150).contains(&turned_away), "{turned_away}");
        system.is_away(false);
        let back = clock::now();
        let finish = running.finished().await;
        (back, finish)
    };
    let (back, finish) = local.run_until(script).await;
    assert_eq!(finish, Finish::Drained);
    let account = running.account(0);
    assert_eq!((account.delivered, account.difference()), (50, 0));
    let written = system.written();
    let (first, found_out) = written[0];
    assert!(first - back <= Duration::from_secs(1), "{:?}", first - back);
    assert!(written.iter().all(|(at, _)| *at == first), "{written:?}");
    let others = written[1..].iter().map(|(_, offset)| *offset);
    let in_order = (0..50).filter(|offset| *offset != found_out);
    assert_eq!(others.collect::<Vec<_>>(), in_order.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_held_record_of_each_thousand_stops_nothing_before_as_many_are_held_as_may_be() {
    let system = Arc::new(System::default());
    system.is_away(true);
    let sink = Arc::clone(&system);
    let mut graph = graph_into(&system);
    graph.bolts[0].make = Arc::new(move |context| {
        let (system, recoveries) = (Arc::clone(&sink), context.recoveries);
        FnBolt::any(move |batch, _| {
            let of_system = |record: crate::Record<'_>| u8::from(record.offset() % 1_000 == 500);
            let part_of: Vec<u8> = batch.records().map(of_system).collect();
            let mut parts = batch.part(&part_of, 2).into_iter();
            if let Some(others) = parts.next().flatten() {
                others.answer(Answer::Delivered);
            }
            if let Some(held) = parts.next().flatten() {
                system.take(held, &recoveries);
            }
            Ok(())
        })
    });
    let of = super::graph(1, 100, 1_000, Vec::new());
    graph.spouts = of.spouts;
    let spout = &mut graph.spouts[0];
    // Two batches as they are read.
    (spout.max_in_flight_records, spout.max_in_flight_bytes) = (20, 100_000);
    spout.max_uncommitted = 1_000_000;
    let local = LocalSet::new();
    let running = start_here(graph, true, &local).expect("starts");
    let script = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let account = running.account(0);
        assert_eq!((account.read, account.in_flight), (20_000, 20));
        let (records, bytes) = running.in_flight(0);
        assert!(records == 20 && bytes < 100_000, "{bytes}");
        system.takes.store(u32::MAX, Ordering::Relaxed);
        system.is_away(false);
        running.finished().await
    };
    assert_eq!(local.run_until(script).await, Finish::Drained);
    let account = running.account(0);
    assert_eq!((account.delivered, account.difference()), (100_000, 0));
    assert_eq!(running.in_flight(0), (0, 0));
    let offsets: BTreeSet<i64> = system.written().iter().map(|(_, at)| *at).collect();
    let of_system: BTreeSet<i64> = (0..100).map(|batch| batch * 1_000 + 500).collect();
    assert_eq!(offsets, of_system);
}

#[tokio::test(start_paused = true)]
async fn another_outage_while_all_goes_on_holds_the_rest_again() {
    let system = Arc::new(System::default());
    system.is_away(true);
    // It is away again after ten records.
    system.takes.store(10, Ordering::Relaxed);
    let local = LocalSet::new();
    let running = start_here(graph_into(&system), true, &local).expect("starts");
    let script = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        system.is_away(false);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!((system.written().len(), running.in_flight(0).0), (10, 40));
        system.is_away(false);
        let back = clock::now();
        let finish = running.finished().await;
        (back, finish)
    };
    let (back, finish) = local.run_until(script).await;
    assert_eq!(finish, Finish::Drained);
    let account = running.account(0);
    assert_eq!((account.delivered, account.difference()), (50, 0));
    let written = system.written();
    assert!(written[10..].iter().all(|(at, _)| *at == written[10].0));
    assert!(written[10].0 - back <= Duration::from_secs(1));
    let offsets: BTreeSet<_> = written.iter().map(|(_, offset)| offset).collect();
    assert_eq!(offsets.len(), 50, "none twice");
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_handed_back_by_a_drain_in_its_time() {
    let system = Arc::new(System::default());
    system.is_away(true);
    let local = LocalSet::new();
    let mut graph = graph_into(&system);
    graph.drain_timeout = Duration::from_secs(3);
    let running = start_here(graph, false, &local).expect("starts");
    let script = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        running.stop();
        let began = clock::now();
        let finish = running.finished().await;
        (clock::now() - began, finish)
    };
    let (took, finish) = local.run_until(script).await;
    assert_eq!(finish, Finish::HandedBack);
    assert!(took <= Duration::from_secs(4), "{took:?}");
    let account = running.account(0);
    assert_eq!((account.handed_back, account.difference()), (50, 0));
}

#[tokio::test(start_paused = true)]
async fn what_only_records_find_out_is_over_when_none_is_in_flight() {
    let system = Arc::new(System::default());
    system.takes.store(u32::MAX, Ordering::Relaxed);
    system.is_away(true);
    let mut graph = graph_into(&system);
    let sink = Arc::clone(&system);
    graph.bolts[0].make = Arc::new(move |context| {
        let system = Arc::clone(&sink);
        FnBolt::any(move |batch, _| {
            let (bolt, health) = (&context.id, &context.health);
            health.note(bolt, "credentials", "the file cannot be read");
            health.of_records().set(bolt, "connecting", "refused");
            system.take(batch, &context.recoveries);
            Ok(())
        })
    });
    let local = LocalSet::new();
    let running = start_here(graph, true, &local).expect("starts");
    let told = || {
        let conditions = running.conditions().into_iter();
        conditions.map(|one| one.kind).collect::<Vec<_>>()
    };
    let script = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(told(), ["connecting", "credentials"]);
        system.is_away(false);
        let _ = running.finished().await;
    };
    local.run_until(script).await;
    assert_eq!(told(), ["credentials"]);
    // A request that was under way when its records were handed back ends late.
    let health = running.health().of_records();
    health.set("sink", "connecting", "no answer");
    assert_eq!(told(), ["credentials"]);
    // Of a spout nothing is known to be over.
    health.set("in", "reading", "refused");
    assert_eq!(told(), ["reading", "credentials"]);
}
