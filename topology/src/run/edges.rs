//! What the lanes share of each edge: how many records went along it, updated once per batch, what slows
//! them down, and who looks at them.

use std::sync::Arc;

use crate::graph::{Graph, Target};
use crate::overload::Throttle;
use crate::run::tap::Taps;
use crate::statistics::Counter;

/// The traffic of each edge.
pub(crate) struct Edges {
    /// By spout, by target.
    spouts: Vec<Vec<Traffic>>,
    /// By bolt, by stream, by target.
    bolts: Vec<Vec<Vec<Traffic>>>,
}

/// The traffic of one edge, over all lanes.
#[derive(Clone)]
pub(crate) struct Traffic {
    /// Records that went along it.
    records: Counter,
    /// Those of them that were sent again after a failure.
    again: Counter,
    pub(crate) throttle: Option<Arc<Throttle>>,
    pub(crate) taps: Arc<Taps>,
}

impl Traffic {
    fn along(target: &Target) -> Self {
        let throttle = target.overload.throttle.map(Throttle::new);
        Self {
            records: Counter::default(),
            again: Counter::default(),
            throttle: throttle.map(Arc::new),
            taps: Arc::default(),
        }
    }

    /// Counts what goes along it.
    pub(crate) fn count(&self, records: usize, is_again: bool) {
        self.records.add(records as u64);
        if is_again {
            self.again.add(records as u64);
        }
    }
}

impl Edges {
    pub(crate) fn new(graph: &Graph) -> Self {
        let of = |targets: &[Target]| targets.iter().map(Traffic::along).collect();
        let spouts = graph.spouts.iter().map(|spout| of(&spout.out));
        let bolts = graph.bolts.iter().map(|bolt| {
            let streams = bolt.outputs.iter();
            streams.map(|output| of(output.targets())).collect()
        });
        Self {
            spouts: spouts.collect(),
            bolts: bolts.collect(),
        }
    }

    /// Those of a spout.
    pub(crate) fn of_spout(&self, spout: usize) -> &[Traffic] {
        &self.spouts[spout]
    }

    /// Those of a stream of a bolt.
    pub(crate) fn of_stream(&self, bolt: usize, stream: usize) -> &[Traffic] {
        self.bolts[bolt].get(stream).map_or(&[], Vec::as_slice)
    }

    /// All, in the order of [`crate::PlanReport::edges`].
    pub(crate) fn records(&self) -> Vec<u64> {
        self.all().map(|traffic| traffic.records.get()).collect()
    }

    /// Those of them that were sent again after a failure.
    pub(crate) fn again(&self) -> Vec<u64> {
        self.all().map(|traffic| traffic.again.get()).collect()
    }

    /// Where the edge of this number in that order can be tapped.
    pub(crate) fn taps(&self, edge: usize) -> Option<&Arc<Taps>> {
        self.all().nth(edge).map(|traffic| &traffic.taps)
    }

    fn all(&self) -> impl Iterator<Item = &Traffic> {
        let bolts = self.bolts.iter().flatten();
        self.spouts.iter().chain(bolts).flatten()
    }
}
