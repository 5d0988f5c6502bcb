//! What the fuzzer was given and what it found, each input once more: `tests/fuzz/run` looks for more.

#[path = "../../../tests/fuzz/src/against_serde.rs"]
mod against_serde;
#[path = "../../../tests/fuzz/src/bolt.rs"]
mod bolt;
#[path = "../../../tests/fuzz/src/targets.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::Path;

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
