//! What is written for a record, byte for byte, and what is not.

use isobar_topology::spec::Path;
use isobar_topology::testing::{Harness, Input, with_prepare};
use isobar_topology::{Prepare, RecordMut, Symbols, clock};

use super::*;

fn template(text: &str, prepare: &mut Prepare<'_>) -> Template {
    Template::compile(text, &Path::root(), prepare).expect("a sound template")
}

/// Documents go to the index `logs` under deterministic ids, with no more than that.
fn plain() -> Addressing {
    Addressing {
        operation: Operation::Create,
        index: Index::Constant("logs".into()),
        id: Id::Deterministic,
        routing: None,
        bounds: None,
        origin: None,
        timestamp: None,
    }
}

/// What is written for each record, or why it is rejected.
fn written(
    addressing: impl FnOnce(&mut Prepare<'_>) -> Addressing,
    inputs: &[Input],
) -> Vec<Result<String, (&'static str, String)>> {
    let mut symbols = Symbols::new();
    let addressing = with_prepare(&mut symbols, addressing);
    let mut harness = Harness::new(symbols);
    let batch = harness.batch(inputs);
    let mut lines = Lines::new(Arc::new(addressing));
    lines.begin(&batch);
    let lines = batch.records().map(|record| {
        let mut out = b"before".to_vec();
        match lines.write(record, &mut out) {
            Ok(_) => Ok(String::from_utf8(out.split_off(6)).expect("UTF-8")),
            Err(rejection) => {
                assert_eq!(out, b"before");
                Err((rejection.class, rejection.reason.into_owned()))
            }
        }
    });
    lines.collect()
}

fn documents(texts: &[&str]) -> Vec<Input> {
    texts.iter().map(|text| Input::document(text)).collect()
}

/// The lines of documents that are all written.
fn lines(addressing: impl FnOnce(&mut Prepare<'_>) -> Addressing, inputs: &[Input]) -> String {
    let lines = written(addressing, inputs).into_iter();
    lines
        .map(|lines| lines.expect("it can be indexed"))
        .collect()
}

#[test]
fn a_record_becomes_two_lines_whatever_its_form() {
    let written = lines(
        |_| plain(),
        &documents(&["{}", "{\n \"a\": [1,\r\n2]\n}\n"]),
    );
    let expected = "{\"create\":{\"_index\":\"logs\",\"_id\":\"1--NjEtLV-----------6-----2-----------\"}}\n{}\n\
         {\"create\":{\"_index\":\"logs\",\"_id\":\"1--NjEtLV-----------6-----2----------0\"}}\n{  \"a\": [1,\r 2]}\n";
    assert_eq!(written, expected);
}

#[test]
fn the_id_and_the_routing_follow_from_the_record() {
    let with = |id: fn(&mut Prepare<'_>) -> Id, routing: bool| {
        let addressing = move |prepare: &mut Prepare<'_>| Addressing {
            operation: Operation::Index,
            id: id(prepare),
            routing: routing.then(|| template("{{ doc.shard }}", prepare)),
            ..plain()
        };
        let lines = lines(addressing, &documents(&[r#"{"id":"a\"é","shard":"s"}"#]));
        lines.split_once('\n').expect("two lines").0.to_owned()
    };
    let auto = |_: &mut Prepare<'_>| Id::Auto;
    let field = |prepare: &mut Prepare<'_>| Id::Template(template("{{ doc.id }}", prepare));
    assert_eq!(with(auto, false), r#"{"index":{"_index":"logs"}}"#);
    assert_eq!(
        with(auto, true),
        r#"{"index":{"_index":"logs","routing":"s"}}"#
    );
    assert_eq!(
        with(field, false),
        r#"{"index":{"_index":"logs","_id":"a\"é"}}"#
    );
    assert_eq!(
        with(field, true),
        r#"{"index":{"_index":"logs","_id":"a\"é","routing":"s"}}"#
    );
    let fixed = with(|_| Id::Deterministic, true);
    assert!(
        fixed.ends_with(r#"-----------","routing":"s"}}"#),
        "{fixed}"
    );
}

#[test]
fn a_document_tells_where_it_comes_from_and_when() {
    let document = |origin: bool, timestamp: bool, input: Input| {
        let addressing = move |prepare: &mut Prepare<'_>| {
            let mut symbol = |name| prepare.symbol(name, &Path::root()).expect("few names");
            Addressing {
                origin: origin.then(|| symbol("_isobar")),
                timestamp: timestamp.then(|| symbol("@timestamp")),
                ..plain()
            }
        };
        let lines = lines(addressing, &[input]);
        lines.split_once('\n').expect("two lines").1.to_owned()
    };
    let empty = || Input::document("{}");
    let origin = r#""_isobar":{"s":"----------6","t":"topic","p":3,"o":0,"ts":1700000000000}"#;
    let time = r#""@timestamp":"2023-11-14T22:13:20Z""#;
    assert_eq!(document(true, false, empty()), format!("{{{origin}}}\n"));
    assert_eq!(document(false, true, empty()), format!("{{{time}}}\n"));
    assert_eq!(
        document(true, true, empty()),
        format!("{{{time},{origin}}}\n")
    );
    let own = Input::document(r#"{"@timestamp":null,"_isobar":1,"a":2}"#);
    assert_eq!(
        document(true, true, own),
        format!("{{\"@timestamp\":null,\"a\":2,{origin}}}\n")
    );
    let without = Input {
        timestamp: -1,
        ..empty()
    };
    assert_eq!(
        document(true, true, without),
        "{\"_isobar\":{\"s\":\"----------6\",\"t\":\"topic\",\"p\":3,\"o\":0}}\n"
    );
}

#[test]
fn what_can_never_be_indexed_is_rejected_with_its_reason() {
    let inputs = [
        Input::document(&format!(r#"{{"n":"{}"}}"#, "x".repeat(513))),
        Input::document(r#"{"n":""}"#),
        Input::document("{}"),
        Input::raw("no document"),
        Input::document(r#"{"n":"fine"}"#),
    ];
    let check = |addressing: fn(&mut Prepare<'_>) -> Addressing, expected: [&str; 5]| {
        let written = written(addressing, &inputs).into_iter();
        let classes = written.map(|lines| lines.map_or_else(|(class, _)| class, |_| "written"));
        assert_eq!(classes.collect::<Vec<_>>(), expected);
    };
    let (id, field) = ("document_id", "missing_field");
    check(
        |prepare| Addressing {
            id: Id::Template(template("{{ doc.n }}", prepare)),
            ..plain()
        },
        [id, id, field, field, "written"],
    );
    check(
        |prepare| Addressing {
            routing: Some(template("{{ doc.n }}", prepare)),
            ..plain()
        },
        ["written", "routing", field, field, "written"],
    );
    check(
        |prepare| Addressing {
            index: Index::Template(template("{{ doc.n }}", prepare)),
            ..plain()
        },
        ["index_name", "index_name", field, field, "written"],
    );
    let no_document = ["written", "written", "written", "no_document", "written"];
    check(|_| plain(), no_document);
}

#[test]
fn more_indices_than_are_kept_rendered_are_written_all_the_same() {
    let numbers = || (0..2).flat_map(|_| 0..3 * TARGETS_MAX);
    let texts: Vec<String> = numbers().map(|n| format!("{{\"n\":{n}}}")).collect();
    let inputs: Vec<Input> = texts.iter().map(|text| Input::document(text)).collect();
    let by_field = |prepare: &mut Prepare<'_>| Addressing {
        index: Index::Template(template("logs-{{ doc.n }}", prepare)),
        id: Id::Auto,
        ..plain()
    };
    let expected: String = numbers()
        .map(|n| format!("{{\"create\":{{\"_index\":\"logs-{n}\"}}}}\n{{\"n\":{n}}}\n"))
        .collect();
    assert_eq!(lines(by_field, &inputs), expected);
}

#[tokio::test(start_paused = true)]
async fn times_out_of_bounds_are_rejected_and_none_is_not() {
    let now = clock::unix_ms();
    let times = [now, now - 10_001, now + 5_001, -1, i64::MAX];
    let inputs = times.map(|timestamp| Input {
        timestamp,
        ..Input::document("{}")
    });
    let bounded = |_: &mut Prepare<'_>| Addressing {
        bounds: Some(Bounds {
            past: 10_000,
            future: 5_000,
            of_record: false,
        }),
        ..plain()
    };
    let sides = written(bounded, &inputs)
        .into_iter()
        .map(|lines| match lines {
            Ok(_) => "taken",
            Err(("event_time", reason)) if reason.contains("in the past") => "past",
            Err(("event_time", reason)) if reason.contains("in the future") => "future",
            Err(other) => panic!("{other:?}"),
        });
    let sides: Vec<&str> = sides.collect();
    assert_eq!(sides, ["taken", "past", "future", "taken", "future"]);
}

/// What live took when the record was written it takes for ever, and a date that was wrong then is wrong for ever.
#[tokio::test(start_paused = true)]
async fn the_past_of_an_old_record_begins_when_it_was_written() {
    const DAY: i64 = 86_400_000;
    let now = clock::unix_ms();
    let bounds = |of_record| Bounds {
        past: DAY,
        future: DAY,
        of_record,
    };
    // When the record was written, and the time of its event.
    for (written, event, live, again) in [
        (now, now - DAY, None, None),
        (now, now - DAY - 1, Some("past"), Some("past")),
        (now - 9 * DAY, now - 10 * DAY, Some("past"), None),
        (
            now - 9 * DAY,
            now - 10 * DAY - 1,
            Some("past"),
            Some("past"),
        ),
        (now - 9 * DAY, 0, Some("past"), Some("past")),
        (now - 9 * DAY, now + DAY, None, None),
        (now - 9 * DAY, now + DAY + 1, Some("future"), Some("future")),
        // One that comes from the future is no older for that, nor is one that does not say when it was written.
        (now + 9 * DAY, now - DAY, None, None),
        (now + 9 * DAY, now - DAY - 1, Some("past"), Some("past")),
        (-1, now - DAY - 1, Some("past"), Some("past")),
    ] {
        let mut harness = Harness::new(Symbols::new());
        let mut batch = harness.batch(&[Input {
            timestamp: written,
            ..Input::document("{}")
        }]);
        batch.record_mut(0).set_event_time(event);
        for (of_record, expected) in [(false, live), (true, again)] {
            let checked = check_time(batch.record(0), bounds(of_record), now);
            let side = checked.err().map(|rejection| {
                let is_past = rejection.reason.contains("in the past");
                if is_past { "past" } else { "future" }
            });
            assert_eq!(
                side,
                expected,
                "{of_record} {} {}",
                now - written,
                now - event
            );
        }
    }
}

/// As in an outage, in which records wait long after they were read.
#[tokio::test(start_paused = true)]
async fn times_count_from_when_a_record_was_read_however_late_it_is_written() {
    let mut harness = Harness::new(Symbols::new());
    let read_at = clock::unix_ms();
    let times = [read_at - 10_000, read_at - 10_001, read_at + 5_001];
    let inputs = times.map(|timestamp| Input {
        timestamp,
        ..Input::document("{}")
    });
    let batch = harness.batch(&inputs);
    let mut lines = Lines::new(Arc::new(Addressing {
        bounds: Some(Bounds {
            past: 10_000,
            future: 5_000,
            of_record: false,
        }),
        ..plain()
    }));
    for _ in 0..2 {
        lines.begin(&batch);
        let taken = batch
            .records()
            .map(|record| lines.write(record, &mut Vec::new()).is_ok());
        assert_eq!(taken.collect::<Vec<_>>(), [true, false, false]);
        tokio::time::advance(std::time::Duration::from_secs(3_600)).await;
    }
}

#[test]
fn the_name_follows_the_time_across_the_ends_of_days() {
    const DAY: i64 = 86_400_000;
    let indexed = |pattern: &str, times: &[i64]| {
        let addressing = |prepare: &mut Prepare<'_>| Addressing {
            index: Index::Template(template(pattern, prepare)),
            id: Id::Auto,
            ..plain()
        };
        let inputs = times.iter().map(|time| Input {
            timestamp: *time,
            ..Input::document("{}")
        });
        let lines = lines(addressing, &inputs.collect::<Vec<_>>());
        let names = lines.split("\"_index\":\"").skip(1);
        let names = names.filter_map(|rest| rest.split('"').next());
        names.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let times = [0, DAY - 1, DAY, DAY - 1, 2 * DAY - 1, 2 * DAY, 0];
    assert_eq!(
        indexed("l-{{ event_time.format('%d') }}", &times),
        "l-01 l-01 l-02 l-01 l-02 l-03 l-01"
    );
    assert_eq!(
        indexed(
            "l-{{ event_time.format('%d') }}.{{ event_time.format('%H') }}",
            &[0, DAY - 1, 3_600_000, 7_199_999]
        ),
        "l-01.00 l-01.23 l-01.01 l-01.01"
    );
    assert_eq!(
        indexed(
            "l-{{ event_time.format('%d') }}-{{ kafka.offset }}",
            &[0, 1, DAY]
        ),
        "l-01-0 l-01-1 l-02-2"
    );
}

#[test]
fn each_part_of_a_record_has_its_number_in_id_and_origin() {
    let mut symbols = Symbols::new();
    let addressing = with_prepare(&mut symbols, |prepare| Addressing {
        origin: prepare.symbol("_isobar", &Path::root()).ok(),
        ..plain()
    });
    let mut harness = Harness::new(symbols);
    let mut out = harness.emitter();
    let two = |_: &mut RecordMut<'_>| Ok(std::num::NonZeroU16::new(2).expect("not 0"));
    let batch = harness.batch(&documents(&["{}"]));
    let once = batch.split(&mut out, 1, two).parts.expect("two parts");
    let twice = once.split(&mut out, 9, two).parts.expect("four parts");
    let mut lines = Lines::new(Arc::new(addressing));
    lines.begin(&twice);
    let ids = twice.records().map(|record| {
        let mut out = Vec::new();
        let _ = lines.write(record, &mut out).expect("it can be indexed");
        let text = String::from_utf8(out).expect("UTF-8");
        let (action, document) = text.split_once('\n').expect("two lines");
        let [outer, inner] = record.ordinals().iter().collect::<Vec<_>>()[..] else {
            panic!("it is a part of a part");
        };
        assert!(
            document.contains(&format!(",\"n\":[{outer},{inner}]}}")),
            "{document}"
        );
        action.to_owned()
    });
    let ids: std::collections::BTreeSet<String> = ids.collect();
    assert_eq!(ids.len(), 4);
    twice.answer(isobar_topology::Answer::Delivered);
}
