//! The policies by which spouts and edges drop records when too many come.

use super::{Edge, Prepared};
use crate::overload::{OnFull, Overload};
use crate::registry::{Prepare, PreparedBolt, PreparedSpout};
use crate::spec::{self, Path, Problem, Problems};

/// What bounds each spout and each edge, in their orders.
#[derive(Default)]
pub(super) struct Overloads {
    pub(super) spouts: Vec<Overload>,
    pub(super) edges: Vec<Overload>,
}

impl Overloads {
    pub(super) fn of(
        spouts: &[Prepared<'_, PreparedSpout>],
        bolts: &[Prepared<'_, PreparedBolt>],
        edges: &[Edge<'_>],
        prepare: &mut Prepare<'_>,
        problems: &mut Problems,
    ) -> Self {
        let mut named = |id: &str, path: &Path, overload: spec::Overload| {
            let named = with_policy(id, path, overload, prepare);
            let named = problems.take(named.map_err(Problems::from));
            named.unwrap_or_default()
        };
        let spouts = spouts.iter().map(|spout| spout.component);
        let spouts = spouts.map(|spout| named(&spout.id, &spout.path, spout.overload));
        let spouts = spouts.collect();
        let edges = edges.iter().map(|edge| {
            let bolt = bolts[edge.to].component;
            let overload = edge
                .input
                .map_or_else(spec::Overload::default, |input| input.overload);
            named(&bolt.id, &bolt.path.key("inputs"), overload)
        });
        Self {
            spouts,
            edges: edges.collect(),
        }
    }
}

fn with_policy(
    id: &str,
    path: &Path,
    overload: spec::Overload,
    prepare: &mut Prepare<'_>,
) -> Result<Overload, Problem> {
    let mut policy = || {
        let word = overload.on_full.policy().unwrap_or_default();
        prepare.overload_policy(&format!("{id}.{word}"), path)
    };
    let on_full = match overload.on_full {
        spec::OnFull::Block => OnFull::Block,
        spec::OnFull::DropNewest => OnFull::DropNewest(policy()?),
        spec::OnFull::DropOldest => OnFull::DropOldest(policy()?),
        spec::OnFull::Sample(keep) => OnFull::Sample {
            keep: keep.get(),
            policy: policy()?,
        },
    };
    Ok(Overload {
        throttle: overload.throttle,
        on_full,
    })
}
