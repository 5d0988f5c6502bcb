//! How many records went along each edge, over all lanes: updated once per batch.

use crate::graph::Graph;
use crate::statistics::Counter;

/// A counter for each edge.
pub(crate) struct Edges {
    /// By spout, by target.
    spouts: Vec<Vec<Counter>>,
    /// By bolt, by stream, by target.
    bolts: Vec<Vec<Vec<Counter>>>,
}

impl Edges {
    pub(crate) fn new(graph: &Graph) -> Self {
        let of = |targets: usize| (0..targets).map(|_| Counter::default()).collect();
        let spouts = graph.spouts.iter().map(|spout| of(spout.out.len()));
        let bolts = graph.bolts.iter().map(|bolt| {
            let streams = bolt.outputs.iter();
            streams.map(|output| of(output.targets().len())).collect()
        });
        Self {
            spouts: spouts.collect(),
            bolts: bolts.collect(),
        }
    }

    /// Those of a spout.
    pub(crate) fn of_spout(&self, spout: usize) -> &[Counter] {
        &self.spouts[spout]
    }

    /// Those of a stream of a bolt.
    pub(crate) fn of_stream(&self, bolt: usize, stream: usize) -> &[Counter] {
        self.bolts[bolt].get(stream).map_or(&[], Vec::as_slice)
    }

    /// All, in the order of [`crate::PlanReport::edges`].
    pub(crate) fn records(&self) -> Vec<u64> {
        let bolts = self.bolts.iter().flatten();
        let all = self.spouts.iter().chain(bolts).flatten();
        all.map(Counter::get).collect()
    }
}
