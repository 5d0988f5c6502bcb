//! Takes values that came from outside out of the text of a problem.
//!
//! The reader marks such values and whoever writes a problem can leave them out; this is the net below,
//! for texts of parsers and of operators.

use std::collections::BTreeSet;

use isobar_topology::spec::{Node, Problem};

use crate::secrets::HIDDEN;

/// Shorter values are taken out only where they stand between quotes: they would fit parts of words.
const WORD_MIN: usize = 4;

/// The problem without any of `pieces`, if it is about a part of the file where some were put in.
pub(super) fn outside(mut problem: Problem, tree: &Node, pieces: &BTreeSet<String>) -> Problem {
    let about = tree.nearest_to(&problem.path);
    if !about.walk().any(|node| node.hidden) {
        return problem;
    }
    let mut parts: Vec<&str> = pieces
        .iter()
        .flat_map(|piece| {
            // A list may have been made of it.
            let parts = piece.split(['\n', ',']).map(str::trim);
            parts.chain([piece.as_str(), piece.trim()])
        })
        .filter(|part| !part.is_empty())
        .collect();
    // Longer ones first: they may contain others.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.dedup();
    for part in parts {
        problem.message = without(&problem.message, part);
        if problem.nearest.as_deref() == Some(part) {
            problem.nearest = None;
        }
    }
    problem
}

fn without(text: &str, part: &str) -> String {
    let escaped = part.escape_debug().to_string();
    let mut text = text.to_owned();
    for part in [part, escaped.as_str()] {
        if part.chars().count() >= WORD_MIN {
            text = text.replace(part, HIDDEN);
        }
        for quote in ['"', '`', '\''] {
            let quoted = format!("{quote}{part}{quote}");
            text = text.replace(&quoted, &format!("{quote}{HIDDEN}{quote}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::{Path, Value};

    use super::*;

    fn check(message: &str, pieces: &[&str], expected: &str) {
        let mut tree = Node::new(Value::String(String::new()), Default::default());
        tree.hidden = true;
        let pieces = pieces.iter().map(|piece| (*piece).to_owned()).collect();
        let problem = Problem::new(Path::root(), message);
        assert_eq!(outside(problem, &tree, &pieces).message, expected);
    }

    #[test]
    fn pieces_are_taken_out_however_they_are_written() {
        check(
            "cannot parse hunter2!",
            &["hunter2"],
            "cannot parse <hidden>!",
        );
        check("bad \"hun\\\"ter\"", &["hun\"ter"], "bad \"<hidden>\"");
        check(
            "unknown input `in` of a string in",
            &["in"],
            "unknown input `<hidden>` of a string in",
        );
        check(
            "a-1:9092 has no host",
            &["a-1:9092,b-1:9092"],
            "<hidden> has no host",
        );
        check("abcdefgh", &["abcd", "abcdefgh"], "<hidden>");
    }
}
