//! Single records through small graphs of bolts that fork, reject, fail and panic.

use std::time::Duration;

use super::*;
use crate::batch::Verdict;
use crate::graph::{BoltNode, Grouping, SpoutNode};
use crate::overload::Overload;
use crate::partition::Partition;
use crate::retry::RetryPolicy;
use crate::symbol::Symbols;
use crate::testing::{FnBolt, source_batch};

const LETTERS: usize = 4;

/// `work` → `next`, `other`; rejected records of `work` → `letters` or, of class `mend`, by `mender`.
async fn rehearsal(
    work: impl Fn(Batch, &mut Emitter) -> Result<(), OperatorError> + Clone + Send + Sync + 'static,
    rejected: usize,
) -> Rehearsal {
    let to = |bolts: &[usize]| -> Output {
        let target = |bolt: &usize| Target {
            bolt: *bolt,
            grouping: Grouping::Local,
            dead_letter: *bolt == LETTERS,
            overload: Overload::default(),
        };
        Output::To(bolts.iter().map(target).collect())
    };
    let never = || -> Arc<MakeBolt> { Arc::new(|_| panic!("it is not made")) };
    let node = |id: &str, make: Arc<MakeBolt>, outputs: Vec<Output>| BoltNode {
        id: id.into(),
        make,
        outputs,
    };
    let pass = |batch: Batch, out: &mut Emitter| {
        out.emit(batch);
        Ok(())
    };
    let work: Arc<MakeBolt> = Arc::new(move |_| FnBolt::any(work.clone()));
    let mender: Arc<MakeBolt> = Arc::new(move |_| FnBolt::any(pass));
    let graph = Graph {
        name: "t".to_owned(),
        lanes: 1,
        symbols: Arc::new(Symbols::new()),
        policies: vec!["odd".to_owned()],
        lossy: Default::default(),
        spouts: vec![SpoutNode {
            id: "in".into(),
            start: Box::new(|_| panic!("nothing is read")),
            out: match to(&[0]) {
                Output::To(targets) => targets,
                Output::Drop(_) => Vec::new(),
            },
            max_in_flight_records: 1,
            max_in_flight_bytes: 1,
            max_uncommitted: 1,
            overload: Overload::default(),
        }],
        bolts: vec![
            node("work", work, vec![to(&[2, 3]), to(&[rejected])]),
            node("mender", mender, vec![to(&[2])]),
            node("next", never(), vec![to(&[]), to(&[LETTERS])]),
            node("other", never(), Vec::new()),
            node("letters", never(), Vec::new()),
        ],
        retry: RetryPolicy::default(),
        reject_limit: None,
        drain_timeout: Duration::ZERO,
        queue_batches: 1,
        queue_bytes: 1,
    };
    let drafts: Arc<MakeDrafter> = Arc::new(|_| {
        Box::new(|batch| match batch.record(0).payload() {
            Some(b"bad") => Err(Rejection::new("bad", "it is bad")),
            payload => Ok(Draft {
                kind: "index",
                content: payload.map(<[u8]>::to_vec),
                ..Draft::default()
            }),
        })
    });
    let parts = vec![
        Part::Runs,
        Part::Runs,
        Part::Drafts(drafts),
        Part::StandsBack,
        Part::StandsBack,
    ];
    let rehearsal = Rehearsal::of(graph, Vec::new(), parts).await;
    rehearsal.expect("nothing needs to be opened")
}

/// What became of a record: the bolt, and a word.
async fn ends(rehearsal: &mut Rehearsal, payload: &str) -> Vec<(usize, String)> {
    let partition = Partition::for_tests("t", 0);
    let batch = source_batch(&partition, 0, [payload]);
    let trace = rehearsal.run(0, batch, None).await.expect("it runs");
    let word = |outcome| match outcome {
        Outcome::Written(draft) => draft.kind.to_owned(),
        Outcome::Rejected(rejection) => {
            format!(
                "{} {}: {}",
                rejection.bolt, rejection.class, rejection.reason
            )
        }
        Outcome::Dropped(policy) => format!("dropped {}", policy.index()),
        Outcome::Failed(text) => text,
    };
    let ends = trace.ends.into_iter();
    ends.map(|end| (end.bolt.unwrap_or(99), word(end.outcome)))
        .collect()
}

fn check(found: Vec<(usize, String)>, expected: &[(usize, &str)]) {
    let found: Vec<(usize, &str)> = found.iter().map(|(n, word)| (*n, word.as_str())).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_record_goes_to_every_consumer_and_is_rejected_dropped_or_written_there() {
    let judge = |batch: Batch, out: &mut Emitter| {
        batch.judge(out, |record| match record.payload() {
            Some(b"odd") => Verdict::Drop(crate::testing::policy(0)),
            Some(b"no") => Verdict::Reject(Rejection::new("no", "it says no")),
            _ => Verdict::Keep,
        });
        Ok(())
    };
    let mut all = rehearsal(judge, LETTERS).await;
    check(ends(&mut all, "x").await, &[(2, "index"), (3, "bolt")]);
    check(ends(&mut all, "odd").await, &[(0, "dropped 0")]);
    check(ends(&mut all, "no").await, &[(4, "work no: it says no")]);
    let bad = [(4, "next bad: it is bad"), (3, "bolt")];
    check(ends(&mut all, "bad").await, &bad);
    let mut mended = rehearsal(judge, 1).await;
    check(ends(&mut mended, "no").await, &[(2, "index")]);
}

#[tokio::test]
async fn what_a_bolt_fails_on_is_rejected_unless_another_system_is_at_fault() {
    let fail = |batch: Batch, out: &mut Emitter| match batch.record(0).payload() {
        Some(b"user") => Err(OperatorError::user("never")),
        Some(b"away") => Err(OperatorError::external("nobody answers")),
        Some(b"panic") => panic!("on purpose"),
        Some(b"later") => {
            let mut later = out.later();
            out.detach(async move {
                later.emit(batch);
                later
            });
            Ok(())
        }
        _ => {
            drop(batch);
            Ok(())
        }
    };
    let mut all = rehearsal(fail, LETTERS).await;
    check(ends(&mut all, "user").await, &[(4, "work refused: never")]);
    check(ends(&mut all, "away").await, &[(0, "nobody answers")]);
    let panicked = [(4, "work fault: the operator panicked: on purpose")];
    check(ends(&mut all, "panic").await, &panicked);
    let forgotten = [(4, "work fault: a bolt dropped the record without an answer")];
    check(ends(&mut all, "forget").await, &forgotten);
    check(ends(&mut all, "later").await, &[(2, "index"), (3, "bolt")]);
}

#[tokio::test]
async fn time_stands_where_it_is_told_to_and_goes_on_afterwards() {
    let tell = |batch: Batch, _: &mut Emitter| {
        drop(batch);
        Err(OperatorError::external(clock::unix_ms().to_string()))
    };
    let mut all = rehearsal(tell, LETTERS).await;
    let batch = source_batch(&Partition::for_tests("t", 0), 0, ["x"]);
    let trace = all.run(0, batch, Some(1_234)).await.expect("it runs");
    assert_eq!(trace.ends[0].outcome, Outcome::Failed("1234".to_owned()));
    assert!(clock::unix_ms() > 1_700_000_000_000);
}
