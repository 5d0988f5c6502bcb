//! From a node to the configuration struct of an operator.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_path_to_error as with_path;

use super::problem::{Path, Problem, Problems, Segment};
use super::schema;
use super::tree::{Node, Value};

/// Reads a configuration: first against the struct's JSON schema, which finds every problem with
/// its place, then by serde, which finds what a schema cannot say: what is wrong with one option hides
/// nothing of another.
///
/// `path` is where `node` is in the topology file. Problems can be none at all: then parts of it could
/// not be read, which was said when the file was read.
pub fn parse_config<T: DeserializeOwned + JsonSchema>(
    node: &Node,
    path: &Path,
) -> Result<T, Problems> {
    let schema = schemars::schema_for!(T);
    let (node, mut problems) = schema::check(node, schema.as_value(), path);
    let unreadable = node.unreadable();
    if !unreadable.is_empty() {
        problems.forget(&unreadable);
        return Err(problems);
    }
    let mut node = node;
    let _ = leave_out(&mut node, problems.iter(), path);
    loop {
        let problem = match read(&node, path) {
            Ok(config) => return problems.or(config),
            Err(problem) => problem,
        };
        // Without the options that are wrong the rest may be incomplete, which says nothing.
        let of_option = problem.path.segments().len() > path.segments().len();
        if of_option || problems.is_empty() {
            problems.push(problem.clone());
        }
        if !of_option || !leave_out(&mut node, [&problem], path) {
            return Err(problems);
        }
    }
}

/// Takes the options away that problems are about, so that others can be looked at; false when
/// there was none.
fn leave_out<'p>(
    node: &mut Node,
    problems: impl IntoIterator<Item = &'p Problem>,
    path: &Path,
) -> bool {
    let depth = path.segments().len();
    let mut left_out = false;
    for problem in problems {
        if let (Value::Map(entries), Some(Segment::Key(wrong))) =
            (&mut node.value, problem.path.segments().get(depth))
        {
            let before = entries.len();
            entries.retain(|entry| entry.key != *wrong);
            left_out |= entries.len() < before;
        }
    }
    left_out
}

fn read<T: DeserializeOwned>(node: &Node, path: &Path) -> Result<T, Problem> {
    with_path::deserialize(node.to_json()).map_err(|error| {
        let mut below = Path::root();
        let mut at = path.clone();
        for segment in error.path() {
            match segment {
                with_path::Segment::Seq { index } => {
                    (below, at) = (below.index(*index), at.index(*index));
                }
                with_path::Segment::Map { key } => (below, at) = (below.key(key), at.key(key)),
                // Alternatives of an enum are not steps of the file.
                with_path::Segment::Enum { .. } | with_path::Segment::Unknown => {}
            }
        }
        let wrong = node.nearest_to(&below);
        let message = if wrong.walk().any(|node| node.hidden) {
            "not valid; what is wrong cannot be shown, as the value came from a variable or a file"
                .to_owned()
        } else {
            error.inner().to_string()
        };
        Problem::new(at, message).at(wrong.place)
    })
}
