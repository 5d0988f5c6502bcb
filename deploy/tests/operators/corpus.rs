//! What the fuzzer was given and what it found, each input once more: `tests/fuzz/run` looks for more.

#[path = "../../../tests/fuzz/src/against_serde.rs"]
mod against_serde;
#[path = "../../../tests/fuzz/src/asked.rs"]
mod asked;
#[path = "../../../tests/fuzz/src/bolt.rs"]
mod bolt;
#[path = "../../../tests/fuzz/src/inside.rs"]
mod inside;
#[path = "../../../tests/fuzz/src/kept.rs"]
mod kept;
#[path = "../../../tests/fuzz/src/tables.rs"]
mod tables;
#[path = "../../../tests/fuzz/src/targets.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value};
use targets::TARGETS;

#[test]
fn every_input_of_the_corpus_ends_well() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    let mut failed = Vec::new();
    for target in &TARGETS {
        let mut inputs = 0;
        for entry in std::fs::read_dir(corpus.join(target.name)).expect("each target has inputs") {
            let file = entry.expect("entries can be read").path();
            let input = std::fs::read(&file).expect("inputs can be read");
            inputs += 1;
            if catch_unwind(|| (target.run)(&input)).is_err() {
                failed.push(file.display().to_string());
            }
        }
        assert!(inputs > 0, "{} has no inputs", target.name);
    }
    assert_eq!(failed, Vec::<String>::new());
}

#[test]
fn every_directory_of_the_corpus_has_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    let entries = std::fs::read_dir(corpus).expect("there is a corpus");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("entries can be read").file_name())
        .map(|name| name.into_string().expect("names are text"))
        .collect();
    names.sort();
    let mut targets = TARGETS.map(|target| target.name);
    targets.sort_unstable();
    assert_eq!(names, targets);
}

/// Values of the names that the targets `inside` and `merge` are about.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i8>().prop_map(Value::from),
        prop_oneof![
            Just("{\"a\":{\"x\":1},\"c\":2}"),
            Just("some words"),
            Just("{}"),
            Just("\"\\\u{1}"),
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            object(inner).prop_map(Value::from),
        ]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop::sample::select(vec![
        "a", "b", "c", "d", "e", "x", "y", "a.b", "b.c", "c.d", "d.e", "c.d.e",
    ]);
    let members = prop::collection::vec((name.prop_map(str::to_owned), value), 0..5);
    members.prop_map(|members| members.into_iter().collect())
}

proptest! {
    #[test]
    fn what_is_inside_of_documents_is_changed_as_in_a_tree(document in object(value())) {
        let text = Value::Object(document).to_string();
        inside::members(text.as_bytes());
        inside::merge(text.as_bytes());
    }
}
