//! What is a dead letter, and counts as one, is what a record still is where it is written: bolts between
//! may pass it on, or make something of it.

use super::*;
use crate::{Batch, Emitter, RecordMut, RejectLimit, Rejection, Verdict};

/// Rejects every record.
fn picky() -> AnyBolt {
    FnBolt::any(|batch, out| {
        batch.judge(out, |_| reject());
        Ok(())
    })
}

fn reject() -> Verdict {
    Verdict::Reject(Rejection::new("mapping", "never fits"))
}

/// Makes a document of every other record, and passes the rest on as it is.
fn mends_every_other(batch: Batch, out: &mut Emitter) -> Result<(), OperatorError> {
    batch.judge(out, |record: &mut RecordMut<'_>| {
        if record.view().offset() % 2 == 0 {
            record.adopt_object(b"{}").expect("an object");
        }
        Verdict::Keep
    });
    Ok(())
}

/// Notes what is written, and whether as a dead letter.
fn writer(seen: &Seen<(i64, bool)>) -> impl Fn() -> AnyBolt + Send + Sync + use<> {
    let seen = Arc::clone(seen);
    move || {
        let seen = Arc::clone(&seen);
        FnBolt::any(move |batch, _| {
            for row in 0..batch.len() {
                let is_letter = batch.rejection(row).is_some();
                see(&seen, (batch.record(row).offset(), is_letter));
            }
            batch.answer(Answer::Delivered);
            Ok(())
        })
    }
}

/// `picky`, whose rejected records go by a bolt to a sink that writes dead letters.
fn by_way_of(
    between: impl Fn() -> AnyBolt + Send + Sync + 'static,
    seen: &Seen<(i64, bool)>,
) -> Vec<BoltNode> {
    let letters = Target {
        dead_letter: true,
        ..target(2, Grouping::Local)
    };
    let rejected = vec![
        Output::To(vec![]),
        Output::To(vec![target(1, Grouping::Local)]),
    ];
    vec![
        bolt("picky", rejected, picky),
        bolt("between", vec![Output::To(vec![letters])], between),
        bolt("letters", vec![], writer(seen)),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_was_made_anew_is_delivered_and_what_was_passed_on_is_a_dead_letter() {
    let seen = Seen::default();
    let bolts = by_way_of(|| FnBolt::any(mends_every_other), &seen);
    let (running, finish) = finish(graph(1, 2, 10, bolts)).await;
    assert_eq!(finish, Finish::Drained);
    let mut seen = seen.lock().expect("no panic").clone();
    seen.sort_unstable();
    let expected: Vec<(i64, bool)> = (0..20).map(|offset| (offset, offset % 2 == 1)).collect();
    assert_eq!(seen, expected);
    let account = running.account(0);
    assert_eq!((account.delivered, account.dead_lettered), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_come_by_way_of_a_bolt_are_bounded_like_others() {
    let limited = |between: fn() -> AnyBolt| async move {
        let seen = Seen::default();
        let mut graph = graph(1, 60, 10, by_way_of(between, &seen));
        graph.spouts[0].max_in_flight_records = 600;
        graph.drain_timeout = Duration::from_secs(3);
        graph.reject_limit = Some(RejectLimit {
            ratio: 0.05,
            over: Duration::from_secs(3_600),
        });
        let local = LocalSet::new();
        let running = start_here(graph, false, &local).expect("starts");
        let script = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            running.stop();
            let _ = running.finished().await;
        };
        local.run_until(script).await;
        let account = running.account(0);
        (account.delivered, account.dead_lettered)
    };
    assert_eq!(limited(pass).await, (0, 100));
    // Of what is mended nothing counts.
    assert_eq!(limited(|| FnBolt::any(mends_every_other)).await, (300, 100));
}
