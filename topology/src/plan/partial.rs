//! Components of which nothing is known but what the file says, since something is wrong with them: the
//! checks of the others go on, and do not repeat it.

use std::collections::BTreeMap;

use crate::spec::{Component, Input, Path, Problem, Problems, Segment};

/// Components that could not be prepared.
pub(super) struct Unprepared<'s> {
    components: Vec<&'s Component>,
    /// Parts of the graph may not have been read at all, so that consumers may be missing.
    is_torn: bool,
}

impl<'s> Unprepared<'s> {
    /// None yet, in a file of which this is known to be wrong.
    pub(super) fn after(problems: &Problems) -> Self {
        let of_graph = |path: &Path| match path.segments().first() {
            Some(Segment::Key(key)) => matches!(&**key, "spouts" | "bolts" | "dead_letter"),
            _ => true,
        };
        Self {
            components: Vec::new(),
            is_torn: problems.iter().any(|problem| of_graph(&problem.path)),
        }
    }

    pub(super) fn add(&mut self, component: &'s Component) {
        self.components.push(component);
    }

    /// Notes a component with what its type found; adds what that may have kept from being looked at.
    pub(super) fn refused(
        &mut self,
        component: &'s Component,
        found: Problems,
        connections: &BTreeMap<&str, &Component>,
        problems: &mut Problems,
    ) {
        self.add(component);
        if let Some(problem) = unknown_connection(component, &found, connections) {
            problems.push(problem);
        }
        problems.append(found);
    }

    /// Their inputs.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &'s Input> {
        self.components.iter().flat_map(|one| &one.inputs)
    }

    /// Whether one of them, or something that was not read, may consume this stream.
    pub(super) fn may_consume(&self, id: &str, stream: &str) -> bool {
        let is_it = |input: &Input| {
            input.from.component == id && input.from.stream.as_deref().unwrap_or("out") == stream
        };
        self.is_torn || self.inputs().any(is_it)
    }
}

/// A connection that does not exist, unless that was said: types look at it after the other options.
fn unknown_connection(
    component: &Component,
    found: &Problems,
    connections: &BTreeMap<&str, &Component>,
) -> Option<Problem> {
    let path = component.path.key("connection");
    let node = component.config.get("connection")?;
    let name = node.text()?;
    if connections.contains_key(name) || found.iter().any(|problem| problem.path == path) {
        return None;
    }
    let known: Vec<&str> = connections.keys().copied().collect();
    let problem = Problem::new(path, format!("unknown connection `{name}`")).at(node.place);
    let problem = problem.near(name, known.iter().copied());
    Some(match known.as_slice() {
        [] => problem.expected("a name in `connections`, which has none"),
        names => problem.expected(names.join(" or ")),
    })
}
