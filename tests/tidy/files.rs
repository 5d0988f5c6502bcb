//! Rules for single source files: their names, lengths and first lines.

use crate::tree::{check, texts};

/// Longest source file, in lines. Most have 100 to 300; a longer one should be a table or a protocol.
const LINES_MAX: usize = 800;

/// Words in names of files that say nothing about what is inside.
const EMPTY_WORDS: [&str; 4] = ["util", "manager", "handler", "helper"];

#[test]
fn every_source_file_opens_with_what_it_is() {
    let mut complaints = Vec::new();
    for file in texts(&[".rs"]) {
        let first = file.content.lines().next().unwrap_or_default();
        let words = first
            .strip_prefix("//!")
            .unwrap_or_default()
            .split_whitespace();
        if words.count() < 2 {
            complaints.push(format!("{}: starts with {first:?}", file.path));
        }
    }
    check("the first line is `//!` and a sentence", &complaints);
}

#[test]
fn no_source_file_is_too_long() {
    let mut complaints = Vec::new();
    for file in texts(&[".rs"]) {
        let lines = file.content.lines().count();
        if lines > LINES_MAX {
            complaints.push(format!("{}: {lines} lines", file.path));
        }
    }
    check(&format!("at most {LINES_MAX} lines"), &complaints);
}

#[test]
fn names_of_files_say_what_is_inside() {
    let mut complaints = Vec::new();
    for file in texts(&[".rs", ".sh", ".md", ".yaml"]) {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        let words = stem
            .split(['_', '-'])
            .map(|word| word.trim_end_matches('s'));
        let mut empty = words.filter(|word| EMPTY_WORDS.contains(word));
        if name == "mod.rs" {
            complaints.push(format!(
                "{}: put it beside its folder, as NAME.rs",
                file.path
            ));
        }
        complaints.extend(empty.next().map(|word| format!("{}: {word}", file.path)));
    }
    check("no file is called mod.rs or by an empty word", &complaints);
}

#[test]
fn no_place_is_marked_as_unfinished() {
    // In pieces, so that this file has none of them.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|mark| mark.concat());
    let mut complaints = Vec::new();
    for file in texts(&[".rs", ".sh", ".md", ".yaml", ".toml", "tests/run"]) {
        for (number, line) in (1..).zip(file.content.lines()) {
            let words = line.split(|letter: char| !letter.is_ascii_alphanumeric());
            if let Some(mark) = words
                .into_iter()
                .find(|word| marks.iter().any(|m| m == word))
            {
                complaints.push(format!("{}:{number}: {mark}", file.path));
            }
        }
    }
    check(
        "the place for work not done is the issue tracker",
        &complaints,
    );
}
