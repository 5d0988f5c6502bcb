//! Components of which nothing is known but what the file says, since something is wrong with them: the
//! checks of the others go on, and do not repeat it.

use crate::spec::{Component, Input, Spec, StreamRef, nearest};

/// Components that could not be prepared.
pub(super) struct Unprepared<'s> {
    components: Vec<&'s Component>,
    /// Parts of the graph were not read at all, so that consumers may be missing.
    is_torn: bool,
    /// What inputs that do not exist were probably meant to be.
    meant: Vec<StreamRef>,
}

impl<'s> Unprepared<'s> {
    /// None yet.
    pub(super) fn of(spec: &Spec) -> Self {
        let components = spec.spouts.iter().chain(&spec.bolts);
        let known: Vec<&str> = components.map(|one| one.id.as_str()).collect();
        let inputs = spec.bolts.iter().flat_map(|bolt| &bolt.inputs);
        let meant = inputs.filter_map(|input| {
            let StreamRef { component, stream } = &input.from;
            let is_known = known.contains(&component.as_str());
            let meant = nearest(component, known.iter().copied()).filter(|_| !is_known)?;
            Some(StreamRef {
                component: meant.to_owned(),
                stream: stream.clone(),
            })
        });
        Self {
            components: Vec::new(),
            is_torn: spec.is_torn,
            meant: meant.collect(),
        }
    }

    pub(super) fn add(&mut self, component: &'s Component) {
        self.components.push(component);
    }

    /// Those that are bolts of this specification.
    pub(super) fn bolts(&self, spec: &Spec) -> impl Iterator<Item = &'s Component> {
        let components = self.components.iter().copied();
        components.filter(|one| spec.bolts.iter().any(|bolt| std::ptr::eq(bolt, *one)))
    }

    /// Their inputs.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &'s Input> {
        self.components.iter().flat_map(|one| &one.inputs)
    }

    /// Whether one of them, an input with a slip, or something that was not read may consume this
    /// stream.
    pub(super) fn may_consume(&self, id: &str, stream: &str) -> bool {
        let is_it = |from: &StreamRef| {
            from.component == id && from.stream.as_deref().unwrap_or("out") == stream
        };
        let mut inputs = self.inputs().map(|input| &input.from).chain(&self.meant);
        self.is_torn || inputs.any(is_it)
    }
}
