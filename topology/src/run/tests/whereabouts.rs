//! Where single records of a batch are while others of it are elsewhere.

use super::*;
use crate::{Rejection, Verdict, Waits, Whereabouts};

#[tokio::test(start_paused = true)]
async fn a_record_that_waits_is_told_at_its_own_bolt_and_since_it_came_there() {
    // 1 is rejected, and its letter cannot be written; 2 is held; all others are delivered.
    let picky = || {
        FnBolt::any(|batch, out| {
            batch.judge(out, |record| match record.view().offset() {
                1 => Verdict::Reject(Rejection::new("mapping", "never fits")),
                _ => Verdict::Keep,
            });
            Ok(())
        })
    };
    let index = || {
        FnBolt::any(|batch, _| {
            let offsets: Vec<i64> = batch.records().map(|record| record.offset()).collect();
            batch.into_ack().answer_each(|row| match offsets[row] {
                2 => Answer::Failed(Failure::Held),
                _ => Answer::Delivered,
            });
            Ok(())
        })
    };
    let letters = Target {
        dead_letter: true,
        ..target(2, Grouping::Local)
    };
    let outputs = vec![
        Output::To(vec![target(1, Grouping::Local)]),
        Output::To(vec![letters]),
    ];
    let bolts = vec![
        bolt("picky", outputs, picky),
        bolt("index", vec![], index),
        bolt("letters", vec![], away),
    ];
    let mut graph = graph(1, 1, 4, bolts);
    graph.drain_timeout = Duration::from_secs(3);
    let local = LocalSet::new();
    let running = start_here(graph, false, &local).expect("starts");
    let began = clock::unix_ms();
    let script = async {
        for seconds in [30, 300] {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            let partition = Arc::clone(&running.partitions(0).all()[0]);
            for offset in [0, 3] {
                let settled = Whereabouts::Settled { certain: true };
                assert_eq!(partition.whereabouts(offset), settled);
            }
            for (offset, at, held) in [(1, 2, false), (2, 1, true)] {
                let Whereabouts::InFlight {
                    bolt,
                    retries,
                    waits,
                    ..
                } = partition.whereabouts(offset)
                else {
                    panic!("{offset} waits");
                };
                assert_eq!(bolt, Some(at));
                assert!(retries > 2, "{retries}");
                let Waits { since_ms, held: is } = waits.expect("nothing is under way");
                assert_eq!(is, held);
                assert!(since_ms - began < 1_000, "since it came there");
            }
        }
        running.stop();
        running.finished().await
    };
    assert_eq!(local.run_until(script).await, Finish::HandedBack);
}
