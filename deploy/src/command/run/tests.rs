//! Ends of runs under a paused clock: signals, and sinks that never answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use isobar_topology::testing::{FnBolt, source_batch};
use isobar_topology::{
    Answer, AnyBolt, AnySpout, BoltNode, Graph, Grouping, Health, MakeSpout, Next, OperatorError,
    Output, Overload, Rejection, RetryPolicy, Spout, SpoutContext, SpoutNode, Symbols, Target,
    clock,
};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;
use crate::cli::Cli;
use crate::command::Command;
use crate::exit::Exit;
use crate::lag::Watches;
use crate::metrics::Recorder;
use crate::plan_document::PlanDocument;
use crate::progress::Screen;

/// Hands out ten records and waits for more.
struct Ten {
    steps: std::vec::IntoIter<Next>,
}

impl Spout for Ten {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        match self.steps.next() {
            Some(step) => Ok(step),
            None => std::future::pending().await,
        }
    }
}

/// Has nothing itself and sees others get on, every half minute for five minutes.
struct Watcher {
    health: Health,
}

impl Spout for Watcher {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_secs(30)).await;
            self.health.count_progress();
        }
        Ok(Next::End)
    }
}

/// Ten records for a sink that is away for ever.
fn graph() -> Graph {
    let start = |context: SpoutContext| {
        let partition = context.partitions.open("t", 0, 7);
        let batch = source_batch(&partition, 0, (0..10).map(|n| n.to_string()));
        let assigned = Next::Assigned {
            partition,
            start: 0,
        };
        let steps = vec![assigned, Next::Batch(batch)].into_iter();
        let make: MakeSpout = Box::new(|| AnySpout::new(Ten { steps }));
        Ok(vec![make])
    };
    let away =
        || -> AnyBolt { FnBolt::any(|_, _| Err(OperatorError::external("the index is away"))) };
    Graph {
        name: "test".to_owned(),
        lanes: 1,
        symbols: Arc::new(Symbols::new()),
        policies: Vec::new(),
        lossy: BTreeSet::new(),
        spouts: vec![SpoutNode {
            id: "in".into(),
            start: Box::new(start),
            out: vec![Target {
                bolt: 0,
                grouping: Grouping::Local,
                dead_letter: false,
                overload: Overload::default(),
            }],
            max_in_flight_records: 100,
            max_in_flight_bytes: 1 << 20,
            max_uncommitted: 100,
            overload: Overload::default(),
        }],
        bolts: vec![BoltNode {
            id: "sink".into(),
            make: Arc::new(move |_| away()),
            outputs: Vec::new(),
        }],
        retry: RetryPolicy::default(),
        reject_limit: None,
        drain_timeout: Duration::from_secs(30),
        queue_batches: 2,
        queue_bytes: 1 << 20,
    }
}

/// Runs with these further arguments while `meanwhile` sends signals; returns the report and how long
/// it took.
async fn run<F: Future<Output = ()>>(
    more: &[&str],
    meanwhile: impl FnOnce(mpsc::Sender<&'static str>) -> F,
) -> (Report, Duration) {
    run_graph(graph(), more, meanwhile).await
}

async fn run_graph<F: Future<Output = ()>>(
    graph: Graph,
    more: &[&str],
    meanwhile: impl FnOnce(mpsc::Sender<&'static str>) -> F,
) -> (Report, Duration) {
    let arguments = ["isobar", "run", "t.yaml"].iter().chain(more);
    let Command::Run(args) = Cli::parse_from(arguments).command else {
        unreachable!("the command is run")
    };
    let local = LocalSet::new();
    let plan = isobar_topology::PlanReport {
        topology: graph.name.clone(),
        lanes: 1,
        nodes: Vec::new(),
        edges: Vec::new(),
        policies: Vec::new(),
        lossy: Vec::new(),
        notes: Vec::new(),
        memory: isobar_topology::MemoryReport::default(),
    };
    let document = PlanDocument::new(plan, &graph);
    let bounded = args.exit_when_caught_up;
    let running = isobar_topology::start_here(graph, bounded, &local).expect("it starts");
    let configuration = serde_json::Value::Null;
    let (recorder, lag) = (Recorder::new(), Watches::default());
    let observer = Observer::new(running, document, configuration, recorder, lag);
    let (send, receive) = mpsc::channel(2);
    let screen = Screen::to(std::io::sink());
    let mut signals = Signals::told(receive);
    let run = Run {
        give_up_after: args.exit_when_caught_up.then_some(args.give_up_after),
        screen: &screen,
        observer: &observer,
        signals: &mut signals,
        goal: None,
    };
    let start = clock::now();
    let both = async { tokio::join!(run.watch(), meanwhile(send)).0 };
    let end = local.run_until(both).await;
    let report = Report::of(&observer, end, bounded, args.fail_on_reject);
    (report, clock::now() - start)
}

async fn signals(send: mpsc::Sender<&'static str>, gaps: &[(u64, &'static str)]) {
    for (seconds, signal) in gaps {
        tokio::time::sleep(Duration::from_secs(*seconds)).await;
        send.send(signal).await.expect("it runs");
    }
}

fn check(report: &Report, end: &str, exit: Exit, summary: &str, why: &[&str]) {
    let json = serde_json::to_value(report).expect("JSON");
    assert_eq!((json["end"].as_str(), report.exit()), (Some(end), exit));
    assert_eq!(json["summary"].as_str(), Some(summary));
    assert_eq!(json["why"], serde_json::json!(why));
    assert_eq!(json["accounting"]["total"]["difference"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_signal_drains_up_to_the_timeout_and_hands_back() {
    let (report, took) = run(&[], |send| async move {
        signals(send, &[(10, "SIGTERM")]).await;
    })
    .await;
    check(
        &report,
        "handed_back",
        Exit::Done,
        "stopped by SIGTERM after 40.0 s with records handed back: whoever reads their partitions next starts before them",
        &[],
    );
    assert!(
        took >= Duration::from_secs(40) && took < Duration::from_secs(46),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_at_once() {
    let (report, took) = run(&[], |send| async move {
        signals(send, &[(10, "SIGTERM"), (1, "SIGINT")]).await;
    })
    .await;
    check(
        &report,
        "cut_short",
        Exit::Failed,
        "cut short after 11.0 s with 10 records in flight: they are not committed and will be read again",
        &["ended at once by a second signal (SIGINT)"],
    );
    assert_eq!(took.as_secs(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_bounded_run_gives_up_when_nothing_moves_for_a_minute() {
    let (report, took) = run(&["--exit-when-caught-up"], |_| async {}).await;
    check(
        &report,
        "gave_up",
        Exit::Undetermined,
        "gave up after 1 min 0 s, before it had caught up",
        &[
            "gave up: nothing was read or settled for 1m (--give-up-after): sink: failing: the index is away",
        ],
    );
    assert!(took < Duration::from_secs(67), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bounded_run_that_waits_for_others_goes_on_while_they_get_on() {
    let mut graph = graph();
    graph.spouts[0].start = Box::new(|context: SpoutContext| {
        let health = context.health;
        let make: MakeSpout = Box::new(|| AnySpout::new(Watcher { health }));
        Ok(vec![make])
    });
    let (report, took) = run_graph(graph, &["--exit-when-caught-up"], |_| async {}).await;
    assert_eq!(report.exit(), Exit::Done, "{}", report.text());
    assert_eq!(took.as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_dead_letter_is_written_late_was_rejected_once() {
    let mut graph = graph();
    let to_letters = Target {
        bolt: 1,
        grouping: Grouping::Local,
        dead_letter: true,
        overload: Overload::default(),
    };
    let reject = || -> AnyBolt {
        FnBolt::any(|batch, out| {
            let rejections = (0..batch.len()).map(|_| Rejection::new("bad", "no good"));
            let rejections = rejections.collect();
            out.reject(batch, rejections);
            Ok(())
        })
    };
    let letters = || -> AnyBolt {
        let mut outages = 3;
        FnBolt::any(move |batch, _| {
            if outages > 0 {
                outages -= 1;
                return Err(OperatorError::external("the disk is full"));
            }
            batch.answer(Answer::Delivered);
            Ok(())
        })
    };
    graph.bolts = vec![
        BoltNode {
            id: "parse".into(),
            make: Arc::new(move |_| reject()),
            outputs: vec![Output::To(Vec::new()), Output::To(vec![to_letters])],
        },
        BoltNode {
            id: "dead_letter".into(),
            make: Arc::new(move |_| letters()),
            outputs: Vec::new(),
        },
    ];
    let (report, _) = run_graph(graph, &["--fail-on-reject"], |send| async move {
        signals(send, &[(60, "SIGTERM")]).await;
    })
    .await;
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(json["accounting"]["total"]["dead_lettered"], 10);
    assert_eq!(json["rejected"], 10);
    let why = "10 records were rejected (--fail-on-reject)";
    assert_eq!(json["why"], serde_json::json!([why]));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_rejected_once_whatever_is_between_the_bolt_and_its_dead_letter() {
    // What is between passes records on, or makes something of them.
    for (mends, dead_lettered) in [(false, 10), (true, 0)] {
        let mut graph = graph();
        let target = |bolt, dead_letter| Target {
            bolt,
            grouping: Grouping::Local,
            dead_letter,
            overload: Overload::default(),
        };
        let reject = || -> AnyBolt {
            FnBolt::any(|batch, out| {
                let rejections = (0..batch.len()).map(|_| Rejection::new("bad", "no good"));
                let rejections = rejections.collect();
                out.reject(batch, rejections);
                Ok(())
            })
        };
        let between = move || -> AnyBolt {
            FnBolt::any(move |mut batch, out| {
                let made_anew = if mends { batch.len() } else { 0 };
                for row in 0..made_anew {
                    let made = batch.record_mut(row).adopt_object(b"{}");
                    made.expect("an object");
                }
                out.emit(batch);
                Ok(())
            })
        };
        let write = || -> AnyBolt {
            FnBolt::any(|batch, _| {
                batch.answer(Answer::Delivered);
                Ok(())
            })
        };
        graph.bolts = vec![
            BoltNode {
                id: "parse".into(),
                make: Arc::new(move |_| reject()),
                outputs: vec![Output::To(Vec::new()), Output::To(vec![target(1, false)])],
            },
            BoltNode {
                id: "between".into(),
                make: Arc::new(move |_| between()),
                outputs: vec![Output::To(vec![target(2, !mends)])],
            },
            BoltNode {
                id: "letters".into(),
                make: Arc::new(move |_| write()),
                outputs: Vec::new(),
            },
        ];
        let (report, _) = run_graph(graph, &["--fail-on-reject"], |send| async move {
            signals(send, &[(60, "SIGTERM")]).await;
        })
        .await;
        let json = serde_json::to_value(&report).expect("JSON");
        let account = &json["accounting"]["total"];
        assert_eq!(account["dead_lettered"], dead_lettered);
        assert_eq!(account["delivered"], 10 - dead_lettered);
        assert_eq!(json["rejected"], 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bounded_run_that_is_stopped_has_not_caught_up() {
    let (report, _) = run(&["--exit-when-caught-up"], |send| async move {
        signals(send, &[(5, "SIGINT")]).await;
    })
    .await;
    assert_eq!(report.exit(), Exit::Failed);
    let json = serde_json::to_value(&report).expect("JSON");
    assert_eq!(
        json["why"],
        serde_json::json!(["stopped by SIGINT before it had caught up"])
    );
}
