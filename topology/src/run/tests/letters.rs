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

#[tokio::test(start_paused = true)]
async fn a_letter_says_how_often_its_record_was_tried_and_with_which_index_and_id() {
    const TIMES: u32 = 2;
    type Told = (i64, u32, Option<String>, Option<String>);
    let seen = Seen::<Told>::default();
    // Both fail; of 3 it is found out after two attempts that it never fits, 5 is given up.
    let index = || {
        let mut failed = 0;
        FnBolt::any(move |batch, out| {
            let first = batch.record(0).offset();
            match (batch.len(), first) {
                (1, 3) if failed == TIMES => {
                    out.reject(batch, vec![Rejection::new("mapping", "never fits")]);
                    return Ok(());
                }
                (1, 3) => failed += 1,
                (1, 5) => {}
                _ if batch.records().any(|one| [3, 5].contains(&one.offset())) => {}
                _ => {
                    batch.answer(Answer::Delivered);
                    return Ok(());
                }
            }
            let mut error = OperatorError::user("it fails");
            error.retry = crate::Retry::Backoff;
            let id = format!("t/{first}");
            Err(error.tried("logs".into(), Some(id)))
        })
    };
    let told = Arc::clone(&seen);
    let letters = move || {
        let told = Arc::clone(&told);
        FnBolt::any(move |batch, _| {
            for row in 0..batch.len() {
                let why = batch.rejection(row).expect("a letter");
                let target = why.target.as_deref().map(str::to_owned);
                let offset = batch.record(row).offset();
                see(
                    &told,
                    (offset, why.attempts, target, why.document_id.clone()),
                );
            }
            batch.answer(Answer::Delivered);
            Ok(())
        })
    };
    let letter = Target {
        dead_letter: true,
        ..target(1, Grouping::Local)
    };
    let outputs = vec![Output::To(vec![]), Output::To(vec![letter])];
    let bolts = vec![
        bolt("index", outputs, index),
        bolt("letters", vec![], letters),
    ];
    let (running, _) = finish(graph(1, 1, 8, bolts)).await;
    assert_eq!(running.account(0).dead_lettered, 2);
    let mut seen = seen.lock().expect("no panic").clone();
    seen.sort_unstable();
    let index = Some("logs".to_owned());
    let most = RetryPolicy::default().attempts_max;
    let expected = [
        (3, TIMES + 1, None, None),
        (5, most, index, Some("t/5".to_owned())),
    ];
    assert_eq!(seen, expected);
}
