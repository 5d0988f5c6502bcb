//! Small topologies, run for real on one thread under a paused clock.

mod copies;
mod held;
mod kill;
mod letters;
mod overload;
mod pause;
mod revoke;
mod whereabouts;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::graph::{BoltNode, Grouping, Output, SpoutNode, StartSpout, Target};
use crate::operator::{AnyBolt, AnySpout, Next, Spout};
use crate::outcome::{Answer, Failure};
use crate::testing::{FnBolt, Script, Seen, see, source_batch};
use crate::{OnFull, OperatorError, Overload, Policy, RetryPolicy, Symbols};

fn target(bolt: usize, grouping: Grouping) -> Target {
    Target {
        bolt,
        grouping,
        dead_letter: false,
        overload: Overload::default(),
    }
}

fn bolt(
    id: &str,
    outputs: Vec<Output>,
    make: impl Fn() -> AnyBolt + Send + Sync + 'static,
) -> BoltNode {
    BoltNode {
        id: id.into(),
        make: Arc::new(move |_| make()),
        outputs,
    }
}

/// One partition of `batches` × `size` records, then these bolts.
fn graph(lanes: usize, batches: i64, size: i64, bolts: Vec<BoltNode>) -> Graph {
    let start = move |context: SpoutContext| {
        let partition = context.partitions.open("t", 0, 7);
        let assigned = Next::Assigned {
            partition: Arc::clone(&partition),
            start: 0,
        };
        let read = (0..batches).map(move |n| {
            let payloads = (0..size).map(|i| format!("{}", n * size + i));
            Next::Batch(source_batch(&partition, n * size, payloads))
        });
        let steps: Vec<Next> = std::iter::once(assigned).chain(read).collect();
        let make: MakeSpout = Box::new(|| Script::spout(steps));
        Ok(vec![make])
    };
    graph_with(lanes, Box::new(start), bolts)
}

fn graph_with(lanes: usize, start: Box<StartSpout>, bolts: Vec<BoltNode>) -> Graph {
    Graph {
        name: "test".to_owned(),
        lanes,
        symbols: Arc::new(Symbols::new()),
        policies: vec!["noise".to_owned()],
        lossy: BTreeSet::new(),
        spouts: vec![SpoutNode {
            id: "in".into(),
            start,
            out: vec![target(0, Grouping::Local)],
            max_in_flight_records: 50,
            max_in_flight_bytes: 1 << 20,
            max_uncommitted: 1_000,
            overload: Overload::default(),
        }],
        bolts,
        retry: RetryPolicy::default(),
        reject_limit: None,
        drain_timeout: Duration::from_secs(30),
        queue_batches: 2,
        queue_bytes: 1 << 20,
    }
}

async fn finish(graph: Graph) -> (Running, Finish) {
    let local = LocalSet::new();
    let running = start_here(graph, true, &local).expect("starts");
    let finish = local.run_until(running.finished()).await;
    assert_eq!(running.account(0).difference(), 0);
    assert_eq!(running.in_flight(0), (0, 0));
    (running, finish)
}

fn sink(seen: &Seen<i64>) -> impl Fn() -> AnyBolt + Send + Sync + use<> {
    let seen = Arc::clone(seen);
    move || {
        let seen = Arc::clone(&seen);
        FnBolt::any(move |batch, _| {
            batch.records().for_each(|r| see(&seen, r.offset()));
            batch.answer(Answer::Delivered);
            Ok(())
        })
    }
}

fn pass() -> AnyBolt {
    FnBolt::any(|batch, out| {
        out.emit(batch);
        Ok(())
    })
}

fn away() -> AnyBolt {
    FnBolt::any(|_, _| Err(OperatorError::external("away for good")))
}

fn to(bolt: usize) -> Vec<Output> {
    vec![Output::To(vec![target(bolt, Grouping::Local)])]
}

fn sorted(seen: &Seen<i64>) -> Vec<i64> {
    let mut seen = seen.lock().expect("no panic while seeing").clone();
    seen.sort_unstable();
    seen
}

#[tokio::test(start_paused = true)]
async fn lanes_that_rest_give_back_memory_too_and_that_of_all_once() {
    thread_local! {
        // Of this test alone: its lanes share its thread.
        static OF_THREAD: Cell<usize> = const { Cell::new(0) };
        static OF_PROCESS: Cell<usize> = const { Cell::new(0) };
    }
    crate::memory::give_back_with(crate::memory::GiveBack {
        of_thread: || OF_THREAD.set(OF_THREAD.get() + 1),
        of_process: || OF_PROCESS.set(OF_PROCESS.get() + 1),
    });
    /// Has nothing to read.
    struct Silent;
    impl Spout for Silent {
        async fn next(&mut self) -> Result<Next, OperatorError> {
            std::future::pending().await
        }
    }
    let start = |context: SpoutContext| {
        let copies =
            (0..context.lanes).map(|_| -> MakeSpout { Box::new(|| AnySpout::new(Silent)) });
        Ok(copies.collect())
    };
    let bolts = vec![bolt("sink", Vec::new(), pass)];
    let local = LocalSet::new();
    let running = start_here(graph_with(2, Box::new(start), bolts), false, &local).expect("starts");
    local
        .run_until(tokio::time::sleep(Duration::from_secs(10)))
        .await;
    // Two lanes, three times.
    assert_eq!((OF_THREAD.get(), OF_PROCESS.get()), (6, 3));
    running.stop();
    let _ = local.run_until(running.finished()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_bolt_counts_is_summed_over_lanes() {
    let seen = Seen::default();
    let counting = BoltNode {
        id: "counting".into(),
        make: Arc::new(|context| {
            let counter = context.counters.counter("seen", "Records seen.");
            FnBolt::any(move |batch, out| {
                counter.add(batch.len() as u64);
                out.emit(batch);
                Ok(())
            })
        }),
        outputs: to(2),
    };
    let spread = vec![Output::To(vec![target(1, Grouping::Shuffle)])];
    let bolts = vec![
        bolt("pass", spread, pass),
        counting,
        bolt("sink", vec![], sink(&seen)),
    ];
    let (running, _) = finish(graph(3, 20, 10, bolts)).await;
    assert_eq!(running.bolt_counters(0), []);
    assert_eq!(running.bolt_counters(1), [("seen", "Records seen.", 200)]);
}

#[tokio::test(start_paused = true)]
async fn every_record_is_delivered_once_and_the_run_ends_drained() {
    for grouping in [
        Grouping::Local,
        Grouping::Shuffle,
        Grouping::Fields(Arc::new(|r| r.offset() as usize)),
        Grouping::PartialKey(Arc::new(|r| [r.offset() as usize, 1])),
        Grouping::Global,
    ] {
        let seen = Seen::default();
        let edges = vec![Output::To(vec![target(1, grouping)])];
        let bolts = vec![bolt("pass", edges, pass), bolt("sink", vec![], sink(&seen))];
        let (running, finish) = finish(graph(3, 20, 10, bolts)).await;
        assert_eq!(finish, Finish::Drained);
        assert_eq!(sorted(&seen), (0..200).collect::<Vec<_>>());
        let account = running.account(0);
        assert_eq!((account.read, account.delivered), (200, 200));
        let partition = &running.partitions(0).all()[0];
        assert_eq!(partition.account().frontier, Some(200));
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_and_dead_letters_nothing() {
    let seen: Seen<i64> = Seen::default();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let sink_seen = Arc::clone(&seen);
    let flaky = move || {
        let (seen, calls) = (Arc::clone(&sink_seen), Arc::clone(&counted));
        FnBolt::any(move |batch, _| {
            if calls.fetch_add(1, Ordering::Relaxed) < 40 {
                return Err(OperatorError::external("the index is away"));
            }
            batch.records().for_each(|r| see(&seen, r.offset()));
            batch.answer(Answer::Delivered);
            Ok(())
        })
    };
    let (running, finish) = finish(graph(1, 5, 10, vec![bolt("sink", vec![], flaky)])).await;
    assert_eq!(finish, Finish::Drained);
    assert_eq!(sorted(&seen), (0..50).collect::<Vec<_>>());
    assert_eq!(running.account(0).dead_lettered, 0);
    assert!(running.account(0).retried > 0);
    assert_eq!(running.health().conditions(), [], "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_panic_makes_the_bolt_anew_and_isolates_the_record_at_fault() {
    let (seen, dead) = (Seen::default(), Seen::default());
    let panicking = || {
        FnBolt::any(|batch, out| {
            assert!(batch.records().all(|r| r.offset() != 13), "record 13");
            out.emit(batch);
            Ok(())
        })
    };
    let letter = Target {
        dead_letter: true,
        ..target(2, Grouping::Local)
    };
    let edges = vec![
        Output::To(vec![target(1, Grouping::Local)]),
        Output::To(vec![letter]),
    ];
    let bolts = vec![
        bolt("bad", edges, panicking),
        bolt("sink", vec![], sink(&seen)),
        bolt("dead", vec![], sink(&dead)),
    ];
    let (running, finish) = finish(graph(1, 4, 10, bolts)).await;
    assert_eq!(finish, Finish::Drained);
    let expected: Vec<i64> = (0..40).filter(|offset| *offset != 13).collect();
    assert_eq!(sorted(&seen), expected);
    assert_eq!(sorted(&dead), [13]);
    let account = running.account(0);
    assert_eq!((account.delivered, account.dead_lettered), (39, 1));
    // The runtime gave it up on behalf of the bolt.
    let rejected: Vec<_> = running.rejected(0).into_iter().collect();
    assert_eq!(rejected, [("fault", 1)]);
    let lately = running.rejected_lately(0);
    assert_ne!(lately["fault"], "");
    assert_eq!(running.edge_records().last(), Some(&1));
    assert!(running.bolt(0).restarts >= 5);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_detached_work_drops_is_rejected_by_the_bolt_that_detached_it() {
    let (seen, letters) = (Seen::default(), Seen::default());
    let kept = Arc::clone(&seen);
    let detaching = move || {
        let seen = Arc::clone(&kept);
        FnBolt::any(move |batch, out| {
            let (seen, later) = (Arc::clone(&seen), out.later());
            out.detach(async move {
                let part_of = batch.records().map(|r| u8::from(r.offset() == 17));
                let part_of: Vec<u8> = part_of.collect();
                if let Some(good) = batch.part(&part_of, 2).swap_remove(0) {
                    good.records().for_each(|r| see(&seen, r.offset()));
                    good.answer(Answer::Delivered);
                }
                later
            });
            Ok(())
        })
    };
    let rejected = vec![
        Output::To(Vec::new()),
        Output::To(vec![Target {
            bolt: 2,
            grouping: Grouping::Local,
            dead_letter: true,
            overload: Overload::default(),
        }]),
    ];
    let bolts = vec![
        bolt("pass", to(1), pass),
        bolt("detaching", rejected, detaching),
        bolt("letters", vec![], sink(&letters)),
    ];
    let (running, _) = finish(graph(1, 4, 10, bolts)).await;
    assert_eq!(sorted(&letters), [17]);
    let account = running.account(0);
    assert_eq!((account.delivered, account.dead_lettered), (39, 1));
}

/// Keeps batches for so long or until a flush, which meets an outage now and then.
struct Keeping {
    kept: Vec<crate::Batch>,
    keep_for: Duration,
    until: Option<clock::Instant>,
    outages: Arc<AtomicU32>,
    seen: Seen<i64>,
}

impl crate::Bolt for Keeping {
    async fn process(
        &mut self,
        batch: crate::Batch,
        _: &mut crate::Emitter,
    ) -> Result<(), OperatorError> {
        self.kept.push(batch);
        self.until = Some(clock::now() + self.keep_for);
        Ok(())
    }

    fn deadline(&self) -> Option<clock::Instant> {
        self.until
    }

    async fn flush(&mut self, _: &mut crate::Emitter) -> Result<(), OperatorError> {
        self.until = None;
        let kept = std::mem::take(&mut self.kept);
        if self.outages.fetch_add(1, Ordering::Relaxed) < 40 {
            return Err(OperatorError::external("the index is away"));
        }
        for batch in kept {
            batch.records().for_each(|r| see(&self.seen, r.offset()));
            batch.answer(Answer::Delivered);
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_a_flush_meets_counts_for_no_record() {
    let (seen, letters) = (Seen::default(), Seen::default());
    let (kept, outages) = (Arc::clone(&seen), Arc::new(AtomicU32::new(0)));
    let keeping = move || {
        AnyBolt::new(Keeping {
            kept: Vec::new(),
            keep_for: Duration::from_millis(10),
            until: None,
            outages: Arc::clone(&outages),
            seen: Arc::clone(&kept),
        })
    };
    let bolts = vec![
        bolt("keeping", rejecting_to(1), keeping),
        bolt("letters", vec![], sink(&letters)),
    ];
    let (running, finish) = finish(graph(1, 30, 1, bolts)).await;
    assert_eq!(finish, Finish::Drained);
    assert!(sorted(&letters).is_empty());
    assert_eq!(sorted(&seen), (0..30).collect::<Vec<_>>());
    assert_eq!(running.account(0).delivered, 30);
}

/// What waits for up to half an hour is sent again at once, and the drain has 3 s.
#[tokio::test(start_paused = true)]
async fn a_drain_soon_after_an_outage_settles_what_failed_in_it() {
    let is_back = Arc::new(AtomicBool::new(false));
    let back = Arc::clone(&is_back);
    let away = move || {
        let is_back = Arc::clone(&back);
        FnBolt::any(move |batch, _| {
            batch.answer(match is_back.load(Ordering::Relaxed) {
                true => Answer::Delivered,
                false => Answer::Failed(Failure::External),
            });
            Ok(())
        })
    };
    let mut graph = graph(1, 30, 1, vec![bolt("away", vec![], away)]);
    graph.drain_timeout = Duration::from_secs(3);
    let half_an_hour = Duration::from_secs(1_800);
    (graph.retry.initial, graph.retry.max) = (half_an_hour, half_an_hour);
    let local = LocalSet::new();
    let running = start_here(graph, false, &local).expect("starts");
    let finish = local.run_until(async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        running.stop();
        tokio::time::sleep(Duration::from_secs(2)).await;
        is_back.store(true, Ordering::Relaxed);
        running.finished().await
    });
    assert_eq!(finish.await, Finish::Drained);
    assert_eq!(running.account(0).delivered, 30);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_written_stays_in_flight_with_back_off() {
    let bad = || FnBolt::any(|_, _| Err(OperatorError::user("never fits")));
    let panicking = || FnBolt::any(|_, _| panic!("a fault of the bolt that writes letters"));
    let bolts = vec![
        bolt("bad", rejecting_to(1), bad),
        bolt("letters", vec![], panicking),
    ];
    let mut graph = graph(1, 1, 1, bolts);
    graph.drain_timeout = Duration::from_secs(3);
    let local = LocalSet::new();
    let running = start_here(graph, false, &local).expect("starts");
    let finish = local
        .run_until(async {
            tokio::time::sleep(Duration::from_secs(600)).await;
            running.stop();
            running.finished().await
        })
        .await;
    assert_eq!(finish, Finish::HandedBack);
    let account = running.account(0);
    assert_eq!((account.dead_lettered, account.handed_back), (0, 1));
    assert!((5..60).contains(&account.retried), "{}", account.retried);
}

#[tokio::test(start_paused = true)]
async fn a_bad_deploy_dead_letters_no_more_than_the_limit_and_says_so() {
    let seen = Seen::default();
    let picky = || {
        FnBolt::any(|batch, out| {
            let reject = |_: &mut crate::RecordMut<'_>| {
                crate::Verdict::Reject(crate::Rejection::new("mapping", "never fits"))
            };
            batch.judge(out, reject);
            Ok(())
        })
    };
    let bolts = vec![
        bolt("picky", rejecting_to(1), picky),
        bolt("letters", vec![], sink(&seen)),
    ];
    let mut graph = graph(1, 1_000, 10, bolts);
    graph.spouts[0].max_in_flight_records = 500;
    graph.drain_timeout = Duration::from_secs(3);
    graph.reject_limit = Some(crate::RejectLimit {
        ratio: 0.05,
        over: Duration::from_secs(60),
    });
    let local = LocalSet::new();
    let running = start_here(graph, false, &local).expect("starts");
    let finish = local
        .run_until(async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            let account = running.account(0);
            assert_eq!(account.dead_lettered, 100, "what may be in any case");
            assert_eq!(account.in_flight, 500, "the others wait: {account:?}");
            let conditions = running.health().conditions();
            let told = conditions.iter().find(|c| c.kind == "reject_limit");
            let told = told.expect("it is said");
            assert_eq!(told.component, "letters");
            assert!(
                told.text.starts_with("more than 5% of the records"),
                "{told:?}"
            );
            running.stop();
            running.finished().await
        })
        .await;
    assert_eq!(finish, Finish::HandedBack);
    let account = running.account(0);
    assert_eq!((account.dead_lettered, account.handed_back), (100, 500));
    assert_eq!((account.difference(), account.delivered), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_cannot_be_written_counts_once_however_often_it_comes() {
    let picky = || {
        FnBolt::any(|batch, out| {
            let reject = |_: &mut crate::RecordMut<'_>| {
                crate::Verdict::Reject(crate::Rejection::new("mapping", "never fits"))
            };
            batch.judge(out, reject);
            Ok(())
        })
    };
    // What letters go to is away for a minute.
    let back = clock::now() + Duration::from_secs(60);
    let letters = move || {
        FnBolt::any(move |batch, _| {
            batch.answer(match clock::now() < back {
                true => Answer::Failed(Failure::External),
                false => Answer::Delivered,
            });
            Ok(())
        })
    };
    let bolts = vec![
        bolt("picky", rejecting_to(1), picky),
        bolt("letters", vec![], letters),
    ];
    let mut graph = graph(1, 6, 10, bolts);
    graph.spouts[0].max_in_flight_records = 100;
    graph.reject_limit = Some(crate::RejectLimit {
        ratio: 0.05,
        over: Duration::from_secs(3_600),
    });
    let local = LocalSet::new();
    let running = start_here(graph, true, &local).expect("starts");
    let script = async {
        tokio::time::sleep(Duration::from_secs(59)).await;
        let account = running.account(0);
        assert!(account.retried >= 300, "{account:?}");
        let conditions = running.conditions();
        assert!(conditions.is_empty(), "{conditions:?}");
        let _ = running.finished().await;
    };
    local.run_until(script).await;
    assert_eq!(running.account(0).dead_lettered, 60);
    assert!(clock::now() - back < RetryPolicy::default().max);
}

#[tokio::test(start_paused = true)]
async fn records_that_are_only_given_up_count_towards_no_limit() {
    let seen = Seen::default();
    let gives_up = || {
        FnBolt::any(|batch, out| {
            let reject = |_: &mut crate::RecordMut<'_>| {
                crate::Verdict::Reject(crate::Rejection::new("held", "for too long").given_up())
            };
            batch.judge(out, reject);
            Ok(())
        })
    };
    let bolts = vec![
        bolt("index", rejecting_to(1), gives_up),
        bolt("letters", vec![], sink(&seen)),
    ];
    let mut graph = graph(1, 1_000, 10, bolts);
    graph.reject_limit = Some(crate::RejectLimit {
        ratio: 0.05,
        over: Duration::from_secs(60),
    });
    let local = LocalSet::new();
    let running = start_here(graph, true, &local).expect("starts");
    let finish = local.run_until(running.finished()).await;
    assert_eq!(finish, Finish::Drained);
    assert_eq!(running.account(0).dead_lettered, 10_000);
    assert!(running.health().conditions().is_empty());
}

fn rejecting_to(letters: usize) -> Vec<Output> {
    let letters = Target {
        dead_letter: true,
        ..target(letters, Grouping::Local)
    };
    vec![Output::To(vec![]), Output::To(vec![letters])]
}

#[tokio::test(start_paused = true)]
async fn each_branch_of_a_fan_out_gets_every_record_and_drops_are_named() {
    let seen = Seen::default();
    let drops = || {
        FnBolt::any(|batch, _| {
            batch.answer(Answer::Dropped(Policy::new(0).expect("small")));
            Ok(())
        })
    };
    let both = vec![target(1, Grouping::Local), target(2, Grouping::Shuffle)];
    let bolts = vec![
        bolt("pass", vec![Output::To(both)], pass),
        bolt("sink", vec![], sink(&seen)),
        bolt("drops", vec![], drops),
    ];
    let (running, _) = finish(graph(2, 3, 10, bolts)).await;
    assert_eq!(sorted(&seen).len(), 30);
    let dropped: u64 = running.account(0).dropped.values().sum();
    assert_eq!((dropped, running.account(0).delivered), (30, 0));
    assert_eq!(running.edge_records(), [30, 30, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_hands_back_what_a_dead_sink_holds() {
    let mut graph = graph(
        1,
        100,
        10,
        vec![bolt("pass", to(1), pass), bolt("sink", vec![], away)],
    );
    graph.drain_timeout = Duration::from_secs(3);
    let local = LocalSet::new();
    let running = start_here(graph, false, &local).expect("starts");
    let finish = local
        .run_until(async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(running.account(0).read, 50, "stays within max_in_flight");
            let conditions = running.health().conditions();
            let conditions: Vec<_> = conditions
                .iter()
                .map(|c| (c.component.as_str(), c.kind, c.text.as_str()))
                .collect();
            assert_eq!(conditions, [("sink", "failing", "away for good")]);
            running.stop();
            running.finished().await
        })
        .await;
    assert_eq!(finish, Finish::HandedBack);
    assert!(running.lanes().iter().all(|lane| lane.ended));
    let account = running.account(0);
    assert_eq!((account.handed_back, account.difference()), (50, 0));
    assert_eq!(running.partitions(0).all()[0].account().frontier, Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_open_is_known_and_a_stop_can_be_short() {
    struct Away;
    impl crate::Bolt for Away {
        async fn open(&mut self) -> Result<(), OperatorError> {
            Err(OperatorError::external("nobody answers"))
        }
        async fn process(
            &mut self,
            _: crate::Batch,
            _: &mut crate::Emitter,
        ) -> Result<(), OperatorError> {
            unreachable!("it never opens")
        }
    }
    let bolts = vec![
        bolt("pass", to(1), pass),
        bolt("away", vec![], || AnyBolt::new(Away)),
    ];
    let local = LocalSet::new();
    let running = start_here(graph(2, 100, 10, bolts), false, &local).expect("starts");
    assert_eq!(running.not_open().len(), 3, "nothing has run yet");
    let stopping = Duration::from_millis(1_500);
    local
        .run_until(async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let not_open = running.not_open();
            assert_eq!(not_open.len(), 1);
            assert_eq!(
                (&*not_open[0].component, not_open[0].open, not_open[0].of),
                ("away", 0, 2)
            );
            let quiet = running.lanes().into_iter().map(|lane| lane.quiet);
            assert!(
                quiet
                    .into_iter()
                    .all(|quiet| quiet.is_some_and(|q| q <= Duration::from_secs(1)))
            );
            let asked = clock::now();
            running.stop_within(stopping);
            assert_eq!(running.finished().await, Finish::HandedBack);
            assert!(clock::now() - asked < stopping + CLOSE_TIMEOUT + Duration::from_secs(1));
        })
        .await;
}
