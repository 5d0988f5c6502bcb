//! Which ways dead letters take. A record that was rejected is one until a bolt makes something of it, so it
//! can come to the sink that writes it by way of bolts that pass it on.

use super::{Edge, Prepared};
use crate::registry::{DocumentUse, PreparedBolt};
use crate::stream::Stream;

/// Finds the edges that dead letters may take, and those of them that end in a sink. Edges lead to later
/// bolts, so one pass from the start knows what comes to each.
pub(super) fn mark(bolts: &[Prepared<'_, PreparedBolt>], edges: &mut [Edge<'_>]) {
    let mut passes_on = vec![false; bolts.len()];
    for (number, bolt) in bolts.iter().enumerate() {
        let mut come = false;
        for edge in edges.iter_mut().filter(|edge| edge.to == number) {
            let is_rejected = edge.stream == Stream::REJECTED;
            let mut from = bolts.iter().zip(&passes_on);
            edge.letters = is_rejected
                || from.any(|(bolt, passes_on)| *passes_on && bolt.component.id == edge.from);
            // What cannot reject, such as a blackhole, writes nothing down; who leads records there by way
            // of a bolt drops them by name.
            let writes = bolt.made.is_sink() && (is_rejected || bolt.made.rejects);
            edge.dead_letter = edge.letters && writes;
            come |= edge.letters;
        }
        passes_on[number] = come && bolt.made.document == DocumentUse::Any;
    }
}

/// For each bolt whether dead letters that come to it are passed on to a sink that writes them.
pub(super) fn lead_on(bolts: &[Prepared<'_, PreparedBolt>], edges: &[Edge<'_>]) -> Vec<bool> {
    let mut leads = vec![false; bolts.len()];
    for number in (0..bolts.len()).rev() {
        let id = bolts[number].component.id.as_str();
        let mut out = edges.iter().filter(|edge| edge.from == id);
        leads[number] = out.any(|edge| edge.stream != Stream::REJECTED && arrive(edge, &leads));
    }
    leads
}

/// Whether dead letters on an edge come to a sink that writes them; `leads` as of [`lead_on`].
pub(super) fn arrive(edge: &Edge<'_>, leads: &[bool]) -> bool {
    edge.dead_letter || edge.letters && leads[edge.to]
}
