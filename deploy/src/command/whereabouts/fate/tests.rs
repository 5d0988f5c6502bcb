//! What is concluded of a record from what each of those asked says.

use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::range::Log;

use super::*;

fn place(offset: i64) -> Place {
    Place {
        partition: TopicPartition::new("logs", 3),
        offset,
    }
}

fn logged(
    log: std::ops::Range<i64>,
    committed: Option<i64>,
    members: usize,
    exists: Option<bool>,
) -> Logged {
    Logged {
        log: Ok(Log {
            start: log.start,
            end: log.end,
            high: log.end,
        }),
        committed: Ok(committed),
        members: Ok(members),
        exists: Ok(exists),
        source: 7,
        origin: String::new(),
    }
}

/// A log from 100 to 200 of which 150 are committed, nobody reading, nothing found.
fn nothing() -> Evidence {
    Evidence {
        logged: logged(100..200, Some(150), 0, Some(true)),
        documents: Ok(Vec::new()),
        letters: Ok(Vec::new()),
        running: vec![Err("localhost:1 does not answer: refused".to_owned())],
        policies: vec!["sample.sampled".to_owned()],
        shares_ids: false,
    }
}

fn document() -> Document {
    Document {
        index: "logs-1".to_owned(),
        id: "1x".to_owned(),
        part: Ordinals::NONE,
    }
}

fn letter() -> FoundLetter {
    FoundLetter {
        place: "dead/0@7".to_owned(),
        part: Ordinals::NONE,
        bolt: "index".to_owned(),
        class: "mapping".to_owned(),
        reason: "no".to_owned(),
        rejected_at_ms: Some(0),
        resolved_by: None,
    }
}

#[track_caller]
fn check(offset: i64, evidence: &Evidence, expected: &str) {
    let text = Fate::of(&place(offset), evidence).text(&place(offset));
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_was_found_counts_before_all_else() {
    let mut evidence = nothing();
    evidence.running = vec![Ok(State::NotRead)];
    evidence.letters = Ok(vec![letter()]);
    check(
        160,
        &evidence,
        "logs/3@160: dead-lettered\n  dead/0@7: rejected by index at 1970-01-01T00:00:00Z as mapping: no\n",
    );
    evidence.documents = Ok(vec![document()]);
    check(
        160,
        &evidence,
        "logs/3@160: indexed\n  logs-1/_doc/1x\nThere is a dead letter",
    );
    // Also where the other place could not be asked.
    evidence.letters = Err("nobody there".to_owned());
    check(160, &evidence, "indexed");
}

#[test]
fn of_a_split_record_each_part_is_told_and_whether_more_may_come() {
    let part = |text: &str| text.parse::<Ordinals>().expect("sound");
    let mut evidence = nothing();
    let documents = ["0", "2.1"].map(|text| Document {
        part: part(text),
        ..document()
    });
    evidence.documents = Ok(documents.to_vec());
    evidence.letters = Ok(vec![FoundLetter {
        part: part("1"),
        ..letter()
    }]);
    check(
        160,
        &evidence,
        "logs/3@160: split, with 2 parts indexed\n  part 0: logs-1/_doc/1x\n  part 2.1: logs-1/_doc/1x\n\
         There is a dead letter of it, too:\n  part 1: dead/0@7: rejected by index",
    );
    evidence.running = vec![Ok(State::InFlight {
        since_ms: 0,
        bolt: None,
        retries: 0,
        waits: None,
    })];
    check(
        160,
        &evidence,
        "It is in flight still: more of it may come\n",
    );
    let fate = Fate::of(&place(160), &evidence).json(&place(160));
    assert_eq!(fate["documents"][1]["part"], json!([2, 1]));
    assert_eq!(
        (&fate["in_flight"], &fate["dropped"]),
        (&json!(true), &Value::Null)
    );
    let policy = "index.drop_newest".to_owned();
    evidence.running = vec![Ok(State::Dropped { policy })];
    check(
        160,
        &evidence,
        "The policy index.drop_newest dropped something of it: a part, another branch, or it again\n",
    );
    let fate = Fate::of(&place(160), &evidence).json(&place(160));
    assert_eq!(fate["dropped"], "index.drop_newest");
}

#[test]
fn a_program_tells_what_is_in_flight_dropped_or_not_read_yet() {
    let mut evidence = nothing();
    let at_index = |retries, waits| State::InFlight {
        since_ms: 0,
        bolt: Some("index".to_owned()),
        retries,
        waits,
    };
    let in_flight = at_index(2, None);
    // Another one may have dropped it before it handed the partition over.
    let policy = "index.drop_newest".to_owned();
    for other in [State::NotRead, State::Dropped { policy }] {
        evidence.running = vec![Ok(other), Ok(in_flight.clone())];
        check(
            160,
            &evidence,
            "in flight since 1970-01-01T00:00:00Z, at index, sent again 2 times",
        );
    }
    let waits = |held| {
        Some(Waits {
            since_ms: 5_000,
            held,
        })
    };
    for (state, expected) in [
        (
            at_index(0, None),
            "at index, or other records of its batch are\n",
        ),
        (
            at_index(0, waits(true)),
            "waits at index since 1970-01-01T00:00:05Z, until that takes something again\n",
        ),
        (
            at_index(1, waits(false)),
            "waits at index since 1970-01-01T00:00:05Z, sent again once\n",
        ),
    ] {
        evidence.running = vec![Ok(state)];
        let expected = format!("in flight since 1970-01-01T00:00:00Z, {expected}");
        check(160, &evidence, &expected);
    }
    let fate = Fate::of(&place(160), &evidence).json(&place(160));
    assert_eq!(fate["waits"], json!({"since_ms": 5_000, "held": false}));
    evidence.running = vec![Ok(State::Elsewhere), Ok(State::NotRead)];
    check(160, &evidence, "not read yet: the running program");
    let policy = "sample.sampled".to_owned();
    evidence.running = vec![Ok(State::Dropped { policy })];
    check(120, &evidence, "dropped by the policy sample.sampled");
}

#[test]
fn offsets_alone_tell_what_was_not_read_what_is_lost_and_what_never_was() {
    let mut evidence = nothing();
    check(
        160,
        &evidence,
        "not read yet: the group has committed 150, and nobody is reading",
    );
    check(200, &evidence, "no record: the partition ends at 200");
    evidence.logged = logged(100..200, Some(150), 0, Some(false));
    check(160, &evidence, "no record: a marker");
    evidence.logged = logged(100..200, None, 0, Some(true));
    check(
        160,
        &evidence,
        "the group has committed nothing, and nobody",
    );
}

#[test]
fn what_an_open_transaction_holds_back_is_not_read_yet() {
    let mut evidence = nothing();
    evidence.logged.log = Ok(Log {
        start: 100,
        end: 200,
        high: 210,
    });
    check(
        205,
        &evidence,
        "not read yet: a transaction is open, and nothing from 200 on",
    );
    check(210, &evidence, "no record: the partition ends at 210");
}

#[test]
fn what_is_deleted_is_lost_only_where_all_who_can_know_say_nothing() {
    let lost = || Evidence {
        logged: logged(100..200, Some(50), 1, None),
        running: vec![Ok(State::Elsewhere)],
        ..nothing()
    };
    check(
        99,
        &lost(),
        "lost: it is deleted: the log begins at 100, and the group has committed 50\n",
    );
    let mut nobody_reads = lost();
    nobody_reads.running.clear();
    nobody_reads.logged.members = Ok(0);
    check(99, &nobody_reads, "lost: ");

    let unknown = "unknown\n  it is deleted: the log begins at 100, and the group has committed 50: lost, unless it was read before\n";
    let check_unknown = |evidence: &Evidence, why: &str| {
        check(99, evidence, unknown);
        check(99, evidence, why);
    };
    let mut evidence = lost();
    evidence.documents = Err("the indices could not be asked: timeout".to_owned());
    check_unknown(&evidence, "the indices could not be asked: timeout");
    evidence = lost();
    evidence.letters = Err("timeout".to_owned());
    check_unknown(&evidence, "dead letters could not be read: timeout");
    evidence = lost();
    evidence.running.clear();
    check_unknown(&evidence, "no running program was asked");
    evidence = lost();
    evidence.logged.members = Ok(2);
    check_unknown(&evidence, "not all members of the group have answered");
    evidence = lost();
    evidence.running.push(Err("refused".to_owned()));
    check_unknown(&evidence, "refused");
    evidence = lost();
    evidence.running = vec![Ok(State::NotRead)];
    check_unknown(
        &evidence,
        "the running program has not come to it, but may have",
    );
}

#[test]
fn a_program_that_counted_a_record_as_lost_is_believed_where_nothing_can_be_found() {
    let mut evidence = nothing();
    evidence.running = vec![Ok(State::Elsewhere), Ok(State::Lost)];
    check(
        120,
        &evidence,
        "logs/3@120: lost: the running program found it deleted before it came to it\n",
    );
    evidence.documents = Err("the indices could not be asked: timeout".to_owned());
    check(
        120,
        &evidence,
        "unknown\n  the running program found it deleted before it came to it\n  the indices could",
    );
}

#[test]
fn what_brokers_do_not_say_is_not_guessed_and_hides_nothing_that_others_know() {
    let none = || "no answer".to_owned();
    let silent = || {
        let mut evidence = nothing();
        evidence.logged.log = Err("no answer about the log".to_owned());
        evidence.logged.exists = Ok(None);
        evidence.running = vec![Ok(State::Elsewhere)];
        evidence
    };
    let mut evidence = silent();
    check(160, &evidence, "unknown\n  the group has committed 150\n");
    check(160, &evidence, "\n  no answer about the log\n");
    check(120, &evidence, "so it has passed the record");
    // It may be deleted, or beyond the end.
    evidence.running = vec![Ok(State::NotRead)];
    check(160, &evidence, "unknown");
    check(160, &evidence, "the running program has not come to it\n");
    evidence.logged = Logged {
        committed: Err(none()),
        ..logged(100..200, None, 1, None)
    };
    check(160, &evidence, "not read yet: the running program");
    check(
        99,
        &evidence,
        "unknown\n  it is deleted: the log begins at 100: lost, unless",
    );
    evidence.running = vec![Ok(State::Elsewhere)];
    check(99, &evidence, "unknown");
    evidence.logged.members = Ok(0);
    check(
        160,
        &evidence,
        "unknown\n  the indices have no document of it\n",
    );
    evidence.logged = Logged {
        members: Err(none()),
        ..logged(100..200, Some(50), 0, None)
    };
    check(99, &evidence, "unknown");
    check(160, &evidence, "unknown\n  the group has committed 50\n");

    let policy = "sample.sampled".to_owned();
    evidence = silent();
    evidence.running = vec![Err(none()), Ok(State::Dropped { policy })];
    check(160, &evidence, "dropped by the policy sample.sampled");
    evidence.letters = Ok(vec![letter()]);
    check(160, &evidence, "dead-lettered");
    evidence.documents = Ok(vec![document()]);
    check(160, &evidence, "indexed");
}

#[test]
fn a_letter_makes_a_record_dead_lettered_only_while_it_is_open() {
    let settled = FoundLetter {
        resolved_by: Some("run-1".to_owned()),
        ..letter()
    };
    let mut evidence = nothing();
    evidence.letters = Ok(vec![settled.clone()]);
    evidence.running = vec![Ok(State::Settled { certain: true })];
    check(120, &evidence, "unknown");
    check(
        120,
        &evidence,
        "no document of it\n  its dead letter dead/0@7, of index, is settled by the redrive run-1\n  the running program did not drop it\n",
    );
    evidence.letters = Ok(vec![settled, letter()]);
    check(
        120,
        &evidence,
        "dead-lettered\n  dead/0@7: rejected by index at 1970-01-01T00:00:00Z as mapping: no (settled by the redrive run-1)\n",
    );
}

#[test]
fn a_dead_lettered_record_says_where_the_index_was_not_asked() {
    let mut evidence = nothing();
    evidence.letters = Ok(vec![letter()]);
    let json = |evidence: &Evidence| Fate::of(&place(120), evidence).json(&place(120));
    assert_eq!(json(&evidence)["not_asked"], Value::Null);
    let why = "the indices could not be asked: timeout";
    evidence.documents = Err(why.to_owned());
    check(
        120,
        &evidence,
        "as mapping: no\n  the indices could not be asked: timeout\n",
    );
    assert_eq!(json(&evidence)["not_asked"], why);
}

#[test]
fn what_nobody_knows_is_unknown_with_what_was_asked() {
    let mut evidence = nothing();
    let unknown = Fate::of(&place(120), &evidence).text(&place(120));
    assert_eq!(
        unknown,
        "\
logs/3@120: unknown
  the group has committed 150, so it has passed the record: settled, lost, or skipped by `start` or a moved offset
  the indices have no document of it
  there is no dead letter of it
  it may have been dropped, by sample.sampled: a program knows what it dropped since its start
  what the topology makes of it now is shown by `isobar try` with `--topic logs --partitions 3 --from 120 --sample 1`
  localhost:1 does not answer: refused
"
    );
    evidence.running = vec![Ok(State::Settled { certain: false })];
    check(
        120,
        &evidence,
        "\n  it may have been dropped, by sample.sampled: the running program has forgotten which records it dropped so long ago, as it keeps a bounded number of them\n  what the topology makes of it now",
    );
    evidence.documents = Err("the indices could not be asked: timeout".to_owned());
    check(120, &evidence, "the indices could not be asked: timeout");
    evidence.documents = Err("no record of in reaches an index".to_owned());
    check(120, &evidence, "\n  no record of in reaches an index\n");
    evidence.running = vec![Ok(State::Settled { certain: true })];
    check(
        120,
        &evidence,
        "unknown\n  the running program has settled it\n",
    );
    check(120, &evidence, "the running program did not drop it\n");
    evidence.documents = Ok(Vec::new());
    check(
        120,
        &evidence,
        "did not drop it: its document or letter was deleted",
    );
    check(160, &evidence, "unknown");
    evidence.running.clear();
    evidence.logged = logged(100..200, Some(150), 1, Some(true));
    check(
        160,
        &evidence,
        "in flight there, or not read yet\n  the indices have no document of it\n  there is no dead letter of it\n  no running program was asked",
    );
    let json = Fate::of(&place(160), &evidence).json(&place(160));
    assert_eq!(
        (&json["fate"], &json["offset"]),
        (&"unknown".into(), &160.into())
    );
}

/// The first of two records of one event has the document, and the second was there already.
#[test]
fn where_ids_are_made_of_fields_another_record_may_have_that_of_this_one() {
    let mut evidence = nothing();
    let has_cause = |evidence: &Evidence, cause: &str| {
        let text = Fate::of(&place(120), evidence).text(&place(120));
        text.contains(cause)
    };
    for shares_ids in [false, true] {
        evidence.shares_ids = shares_ids;
        evidence.running = vec![Ok(State::Settled { certain: true })];
        let cause = "was deleted since, or it went elsewhere than to an index, or another record has its id\n";
        assert_eq!(has_cause(&evidence, cause), shares_ids);
        // Nobody says that it was not dropped.
        evidence.running.clear();
        let cause = "\n  another record may have its id, which is made of fields\n";
        assert_eq!(has_cause(&evidence, cause), shares_ids);
    }
    // Its document may be there, as nobody looked.
    evidence.documents = Err("the indices could not be asked: timeout".to_owned());
    assert!(!has_cause(&evidence, "another record"));
}
