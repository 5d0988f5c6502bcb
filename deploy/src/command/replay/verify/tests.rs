//! What a check says of tallies of an index, with and without the counts of the runs.

use super::*;

const PLAIN: Shape = Shape {
    sinks: 1,
    forks: false,
    splits: false,
    shares_ids: false,
};

fn check(offsets: &[i64], others: Option<Others>, expected: Word, without: &[i64]) {
    check_part((1, false, false), offsets, others, expected, without);
}

fn check_part(
    (sinks, forks, splits): (u16, bool, bool),
    offsets: &[i64],
    others: Option<Others>,
    expected: Word,
    without: &[i64],
) {
    let shape = Shape {
        sinks: sinks.into(),
        forks,
        splits,
        shares_ids: false,
    };
    let tally = tally(offsets, shape);
    let verified = verified(&planned(), tally, others, None, Written::All, shape);
    assert_eq!(
        (verified.verdict, verified.without.as_slice()),
        (expected, without)
    );
}

/// Offsets from 10 to 13.
fn planned() -> PlannedPartition {
    PlannedPartition {
        topic: "t".to_owned(),
        partition: 0,
        from: 10,
        to: 14,
        extent: None,
        narrowed: Vec::new(),
        notes: Vec::new(),
    }
}

fn tally(offsets: &[i64], shape: Shape) -> Tally {
    let mut window = Window::of((10, 14));
    for offset in offsets {
        window.add(Found {
            offsets: vec![*offset],
            ..Found::default()
        });
    }
    let mut tally = Tally::default();
    tally.take(&window, shape.sinks);
    tally
}

#[test]
fn every_offset_has_a_document_or_a_known_fate() {
    let others = |dead_lettered, dropped, gaps| {
        Some(Others {
            dead_lettered,
            dropped,
            gaps,
            lost: 0,
        })
    };
    check(&[10, 11, 12, 13], others(0, 0, 0), Word::Exact, &[]);
    check(&[10, 13], others(1, 0, 1), Word::Exact, &[11, 12]);
    check(&[10, 13], others(1, 0, 0), Word::Wrong, &[11, 12]);
    // More fates than offsets without a document: a record met one on another branch.
    check(&[10, 11, 13], others(1, 1, 0), Word::Unknown, &[12]);
    check(&[10, 11, 12, 13], others(0, 4, 0), Word::Exact, &[]);
    // Of two sinks that share the records among them, one has the document.
    let shared = (2, false, false);
    check_part(shared, &[10, 11, 12, 13], others(0, 0, 0), Word::Exact, &[]);
    check_part(shared, &[10, 13], others(1, 0, 0), Word::Wrong, &[11, 12]);
    // Of two that each record goes to, one may have lost it.
    let both = (2, true, false);
    let twice = [10, 10, 11, 11, 12, 12, 13, 13];
    check_part(both, &twice, others(0, 0, 0), Word::Exact, &[]);
    check_part(both, &twice[1..], others(0, 0, 0), Word::Unknown, &[]);
    check_part(both, &[10, 13], others(1, 0, 0), Word::Wrong, &[11, 12]);
    // What is no record has no document anywhere.
    let rest = [10, 10, 12, 12, 13, 13];
    check_part(both, &rest, others(0, 0, 1), Word::Exact, &[11]);
    check_part(both, &rest[1..], others(0, 0, 1), Word::Unknown, &[11]);
    check_part(both, &rest, others(0, 1, 0), Word::Unknown, &[11]);
    // One may be lost, and the one that was dropped on a branch be indexed on another.
    let fork = (1, true, false);
    check_part(fork, &[10, 11, 12], others(0, 1, 0), Word::Unknown, &[13]);
    check_part(fork, &[10, 11, 12], others(0, 0, 1), Word::Exact, &[13]);
    // The document of a record may be that of another one of its id.
    let shared = Shape {
        shares_ids: true,
        ..PLAIN
    };
    for (offsets, expected) in [
        (&[10, 11, 12, 13][..], Word::Exact),
        (&[10, 11], Word::Unknown),
    ] {
        let (tally, none) = (tally(offsets, shared), others(0, 0, 0));
        let found = verified(&planned(), tally, none, None, Written::All, shared);
        assert_eq!(found.verdict, expected);
    }
    // A document of each record says nothing of its other parts.
    let split = (1, false, true);
    let all = &[10, 11, 12, 13];
    check_part(split, all, others(0, 0, 0), Word::Unknown, &[]);
    check_part(split, &[10, 11], others(1, 0, 0), Word::Wrong, &[12, 13]);
}

#[test]
fn a_run_whose_counts_are_not_known_is_exact_only_when_nothing_is_missing() {
    check(&[10, 11, 12, 13], None, Word::Exact, &[]);
    check(&[10, 11, 12], None, Word::Unknown, &[13]);
}

/// A verdict about one partition.
fn of(word: Word, found: Verified) -> Verdict {
    Verdict {
        version: VERSION,
        id: "19a".to_owned(),
        verdict: word,
        documents: BTreeMap::new(),
        fewer: BTreeMap::new(),
        partitions: vec![found],
    }
}

#[test]
fn what_the_brokers_hold_no_record_of_is_a_gap_whoever_counted_it() {
    let check = |held, word: Word, gaps: Option<u64>, notes: &str| {
        let tally = tally(&[10, 12], PLAIN);
        let found = verified(&planned(), tally, None, Some(held), Written::All, PLAIN);
        assert_eq!(found.verdict, word);
        assert_eq!(found.others.map(|others| others.gaps), gaps);
        let verdict = of(word, found);
        assert_eq!(verdict.notes(), notes);
    };
    let held = |first: &[i64], deleted| {
        Ok(Records {
            count: first.len() as u64,
            first: first.to_vec(),
            deleted,
        })
    };
    check(held(&[], 0), Word::Exact, Some(2), "");
    // A record without a document: only an earlier run knew why.
    let one = "t/0: without a document: 13\n";
    check(held(&[13], 0), Word::Unknown, None, one);
    let both = "t/0: without a document: 11, 13\n\
                t/0: which of these offsets hold a record is not known: ";
    let deleted = format!("{both}1 of them are deleted by now\n");
    check(held(&[], 1), Word::Unknown, None, &deleted);
    let away = format!("{both}no answer\n");
    check(Err("no answer".to_owned()), Word::Unknown, None, &away);
}

#[test]
fn documents_that_were_not_written_anew_are_no_success() {
    let all: &[i64] = &[10, 11, 12, 13];
    let check = |there: &[i64], others, written, word: Word, exit: Exit, said: &str| {
        let tally = tally(there, PLAIN);
        let found = verified(&planned(), tally, others, None, written, PLAIN);
        assert_eq!(found.verdict, word);
        let verdict = of(word, found);
        assert_eq!(verdict.exit(), exit);
        assert!(verdict.text().contains(said), "{}", verdict.text());
    };
    let rejected = |dead_lettered| {
        Some(Others {
            dead_lettered,
            ..Others::default()
        })
    };
    let of = |delivered| Written::Of {
        delivered,
        has_failed: delivered < 4,
    };
    let done = Exit::Done;
    check(all, rejected(0), of(4), Word::Exact, done, "exact");
    let kept = "\nt/0: 3 offsets keep a document that this run has not written: ";
    let short = Exit::Threshold;
    check(all, rejected(3), of(1), Word::Exact, short, kept);
    // One of two that were rejected had no document before.
    let kept = "\nt/0: 1 offsets keep a document that this run has not written: ";
    let there = &all[..3];
    check(there, rejected(2), of(2), Word::Exact, short, kept);
    let unknown = "Verified: unknown: documents are there, and whether this plan has written them is not known";
    let (word, exit) = (Word::Unknown, Exit::Undetermined);
    check(all, None, Written::NotKnown, word, exit, unknown);
}

fn plan() -> PlanFile {
    serde_json::from_value(serde_json::json!({
        "version": 2, "id": "19a", "made_at_ms": 5, "topology": "logs", "file": "/logs.yaml",
        "env_files": [], "configuration": "0f", "spout": "in", "group": "g", "cluster_id": "c",
        "topics": {"t": null}, "from": "0", "to": "100", "target": "missing", "sinks": [],
        "left_out": [], "narrowed": false, "partitions": [],
    }))
    .expect("a plan")
}

#[test]
fn documents_that_a_purge_has_deleted_and_nobody_has_written_again_are_no_success() {
    let purge = |before: u64| {
        let mut plan = plan();
        plan.target = "purge".to_owned();
        plan.sinks = serde_json::from_value(serde_json::json!([{
            "bolt": "index", "index": "logs-{{ doc.day }}", "guarantee": "exact", "verifiable": true,
            "indices": {}, "purged": {"logs-1": before - 1, "logs-2": 1},
        }]))
        .expect("a sink");
        plan
    };
    let check = |there: &[i64], others: Others, before: u64, exit: Exit, notes: &str| {
        let mut tally = tally(there, PLAIN);
        let _ = tally.by_sink.insert("index".to_owned(), there.len() as u64);
        let found = verified(&planned(), tally, Some(others), None, Written::All, PLAIN);
        let verdict = Verdict::of(&purge(before), vec![found]);
        assert_eq!((verdict.verdict, verdict.exit()), (Word::Exact, exit));
        assert_eq!(verdict.notes(), notes);
    };
    let others = |dead_lettered, dropped| Others {
        dead_lettered,
        dropped,
        ..Others::default()
    };
    let said = "index: 2 documents fewer than there were before the purge: their records were rejected or dropped this \
                time (isobar dlq list), or had several\n";
    let short = Exit::Threshold;
    check(&[10, 11], others(2, 0), 4, short, said);
    check(&[10, 11], others(1, 1), 4, short, said);
    // They had no document before, either.
    check(&[10, 11], others(2, 0), 2, Exit::Done, "");
    // Each was there twice: to have each once is what was wanted.
    check(&[10, 11, 12, 13], others(0, 0), 8, Exit::Done, "");
}

#[test]
fn what_was_redriven_since_is_told_and_not_taken_for_what_nobody_knows() {
    let rejected = |dead_lettered| {
        Some(Others {
            dead_lettered,
            ..Others::default()
        })
    };
    let found = verified(
        &planned(),
        tally(&[10, 11], PLAIN),
        rejected(3),
        None,
        Written::All,
        PLAIN,
    );
    let verdict = of(found.verdict, found);
    assert_eq!(verdict.exit(), Exit::Undetermined);
    let start = "unknown: records that the run had rejected or dropped have a document by now";
    assert!(verdict.sentence().starts_with(start));
    assert_eq!(
        verdict.notes(),
        "t/0: 1 offsets have a document by now whose records the run had rejected or dropped\n\
         t/0: without a document: 12, 13\n"
    );
    // On another branch it may have had one all the time.
    let forked = Shape {
        forks: true,
        ..PLAIN
    };
    let tally = tally(&[10, 11], PLAIN);
    let found = verified(&planned(), tally, rejected(3), None, Written::All, forked);
    let verdict = of(found.verdict, found);
    assert!(
        verdict
            .sentence()
            .starts_with("unknown: of what has no document")
    );
    assert!(!verdict.notes().contains("by now"), "{}", verdict.notes());
}

#[test]
fn an_offset_that_has_a_document_twice_is_wrong_in_one_index_as_in_two() {
    let check = |found: Found, expected: Word, notes: &str| {
        let mut window = Window::of((10, 14));
        window.add(Found {
            offsets: vec![10, 11, 12, 13],
            ..found
        });
        let mut tally = Tally::default();
        tally.take(&window, 1);
        let verified = verified(&planned(), tally, None, None, Written::All, PLAIN);
        let verdict = Verdict::of(&plan(), vec![verified]);
        let found = (verdict.verdict, verdict.notes());
        assert_eq!(found, (expected, notes.to_owned()));
    };
    check(Found::default(), Word::Exact, "");
    let doubled = Found {
        doubled: vec![11],
        ..Found::default()
    };
    check(doubled, Word::Wrong, "t/0: in two indices: 11\n");
    let repeated = Found {
        more: 2,
        repeated: vec![12, 13],
        ..Found::default()
    };
    let notes = "t/0: more than once in one index, under several ids: 12, 13\n";
    check(repeated, Word::Wrong, notes);
}

#[test]
fn of_several_sinks_it_is_told_how_many_documents_each_has() {
    let plan = plan();
    let verdict_of = |bolts: &[&str]| {
        let partition = || {
            let mut tally = tally(&[10, 11, 12, 13], PLAIN);
            tally.by_sink = bolts.iter().map(|bolt| ((*bolt).to_owned(), 600)).collect();
            verified(&planned(), tally, None, None, Written::All, PLAIN)
        };
        Verdict::of(&plan, vec![partition(), partition()])
    };
    let two = verdict_of(&["index", "errors"]);
    let line = "documents: 1,200 by errors, 1,200 by index";
    assert_eq!(two.by_sink().as_deref(), Some(line));
    assert!(
        two.text().contains(&format!("\n{line}\n")),
        "{}",
        two.text()
    );
    let one = verdict_of(&["index"]);
    assert_eq!(one.by_sink(), None);
    let json = serde_json::to_value(&one).expect("JSON");
    assert_eq!(json["documents"]["index"], 1_200);
    assert_eq!(json["partitions"][0]["documents"]["index"], 600);
}

#[test]
fn gaps_are_what_was_planned_and_never_came() {
    let report = ReportedPartition {
        read: 7,
        dropped: 2,
        lost: 1,
        ..ReportedPartition::default()
    };
    let others = Others::of(10, &report);
    assert_eq!((others.gaps, others.sum()), (2, 5));
}
