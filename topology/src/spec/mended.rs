//! Everything that is wrong with a configuration, also what one mistake keeps a check from looking at:
//! something that fits is put in the place of what is wrong, and the check looks again.

use std::collections::BTreeSet;

use schemars::Schema;
use serde_json::Value as Json;

use super::problem::{Path, Problem, Problems, Segment};
use super::schema::{self, Checked};
use super::tree::{Entry, Node, Value};

/// What a check refuses.
pub(crate) struct Refused {
    /// Everything that is wrong.
    pub(crate) problems: Problems,
    /// The configuration without it, for those who need one that can be read. Nothing of it must run.
    pub(crate) mended: Node,
}

/// Checks a configuration, which is at `path` of the file, by a function that may stop at the first
/// problem.
pub(crate) fn check_all<T>(
    node: &Node,
    path: &Path,
    schema: fn() -> Schema,
    mut check: impl FnMut(&Node) -> Result<T, Problems>,
) -> Result<T, Refused> {
    let mut problems = match check(node) {
        Ok(made) => return Ok(made),
        Err(found) => found,
    };
    let schema = schema();
    let (mut mended, of_schema) = Mended::new(node, schema.as_value(), path);
    let others = problems.iter().filter(|one| !of_schema.contains(one));
    let mut is_changed = !mended.replaced.is_empty();
    for problem in others {
        is_changed |= mended.replace(&problem.path);
    }
    while std::mem::take(&mut is_changed) {
        let Err(found) = check(&mended.node) else {
            break;
        };
        for problem in found.iter() {
            if mended.covers(&problem.path) || problems.contains(problem) {
                continue;
            }
            problems.push(mended.placed(problem));
            is_changed |= mended.replace(&problem.path);
        }
    }
    Err(Refused {
        problems,
        mended: mended.node,
    })
}

/// A configuration in which something that fits stands in the place of what is wrong.
pub(super) struct Mended<'s> {
    pub(super) node: Node,
    schema: &'s Json,
    path: &'s Path,
    /// Where the file says something else or nothing, so that problems there would be about no word of
    /// it.
    replaced: BTreeSet<Path>,
}

impl<'s> Mended<'s> {
    /// Replaces what does not fit the schema, and says what that is.
    pub(super) fn new(node: &Node, schema: &'s Json, path: &'s Path) -> (Self, Problems) {
        let Checked {
            node,
            problems,
            replaced,
        } = schema::check(node, schema, path);
        let mended = Self {
            node,
            schema,
            path,
            replaced,
        };
        (mended, problems)
    }

    /// Replaces what is at a path; false when it has been or is no part of the configuration.
    pub(super) fn replace(&mut self, path: &Path) -> bool {
        let Some(below) = path.below(self.path).filter(|below| !below.is_empty()) else {
            return false;
        };
        if self.covers(path) || !replace(&mut self.node, below, Some(self.schema), self.schema) {
            return false;
        }
        self.replaced.insert(path.clone())
    }

    /// Whether what is at a path was replaced, with or without what is around it.
    fn covers(&self, path: &Path) -> bool {
        let mut replaced = self.replaced.iter();
        replaced.any(|replaced| path.below(replaced).is_some())
    }

    /// The problem with its place here: an option that is spelled wrong is read under its right name.
    fn placed(&self, problem: &Problem) -> Problem {
        match (problem.place, problem.path.below(self.path)) {
            (None, Some(below)) if !below.is_empty() => {
                problem.clone().at(self.node.place_of(below))
            }
            _ => problem.clone(),
        }
    }
}

/// Puts a stand-in at `below` of a node, or around it where that is no part of the node; false when there
/// is nothing that could be replaced. Members stay, as without them others may be said to be missing.
fn replace(node: &mut Node, below: &[Segment], schema: Option<&Json>, root: &Json) -> bool {
    let Some((step, below)) = below.split_first() else {
        let text = || Value::String("x".to_owned());
        node.value = schema.map_or_else(text, |schema| schema::stand_in(schema, root));
        return true;
    };
    let inner = schema.and_then(|schema| schema::part(schema, step, root));
    let place = node.place;
    let part = match (&mut node.value, step) {
        (Value::List(items), Segment::Index(index)) => items.get_mut(*index),
        (Value::Map(entries), Segment::Key(key)) => {
            let known = entries.iter().position(|entry| entry.key == *key);
            if known.is_none() && inner.is_some() {
                entries.push(Entry {
                    key: key.clone(),
                    key_place: place,
                    node: Node::new(Value::Null, place),
                });
            }
            let at = known.or_else(|| inner.map(|_| entries.len() - 1));
            at.map(|at| &mut entries[at].node)
        }
        _ => None,
    };
    part.is_some_and(|part| replace(part, below, inner, root) || replace(part, &[], inner, root))
}
