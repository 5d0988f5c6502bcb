//! From a node to the configuration struct of an operator.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_path_to_error as with_path;

use super::mended::Mended;
use super::problem::{Path, Problem, Problems};
use super::tree::Node;

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
    let unreadable = node.unreadable();
    let (mut mended, mut problems) = Mended::new(node, schema.as_value(), path);
    problems.forget(&unreadable);
    loop {
        let problem = match read(&mended.node, path) {
            Ok(config) if unreadable.is_empty() => return problems.or(config),
            Ok(_) => return Err(problems),
            Err(problem) => problem,
        };
        // What cannot be read after all that was mended may follow from that.
        let is_other = mended.replace(&problem.path);
        if is_other || problems.is_empty() && unreadable.is_empty() {
            problems.push(problem);
        }
        if !is_other {
            return Err(problems);
        }
    }
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

#[cfg(test)]
mod tests;
