//! Which bolts of a topology are there for dead letters: a replay keeps them, whatever they write to.

use std::collections::BTreeSet;

use isobar_topology::spec::{Component, Input, Spec};

use crate::bolts;

/// The bolts to which nothing but rejected records comes, also by way of bolts that hand them on as they are.
pub(super) struct Letters(BTreeSet<String>);

impl Letters {
    pub(super) fn of(spec: &Spec) -> Self {
        let (mut alone, mut pass_on) = (BTreeSet::new(), BTreeSet::new());
        for bolt in spec.sorted_bolts() {
            let is_letter = |input: &Input| {
                let from = &input.from;
                from.stream.as_deref() == Some("rejected")
                    || pass_on.contains(from.component.as_str())
            };
            if bolt.inputs.iter().all(is_letter) {
                let _ = alone.insert(bolt.id.clone());
                if bolts::CHOOSE.contains(&bolt.kind.as_str()) {
                    let _ = pass_on.insert(bolt.id.as_str());
                }
            }
        }
        Self(alone)
    }

    /// Whether nothing but rejected records comes to it.
    pub(super) fn come_alone_to(&self, bolt: &Component) -> bool {
        self.0.contains(&bolt.id)
    }
}
