//! The bolt that bounds how fast a running topology gets on, as far as the runtime can tell.

use isobar_topology::Running;
use serde::{Deserialize, Serialize};

use crate::lag::pressure::{self, Pressure};
use crate::rates::Recent;

/// From this part of the time of all lanes on a bolt counts as what bounds the rest. The runtime and the
/// client of the source need some of it, too.
const BUSY: f64 = 0.8;

/// What holds records up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// The bolt.
    pub bolt: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// The bolt that does not take enough: one that says what it waits for, else the one for which most
/// batches wait while no more may be in flight, else the busiest. `None` while records get on freely.
pub fn find(running: &Running, recent: Option<&Recent>) -> Option<Bottleneck> {
    let graph = running.graph();
    let busy = |bolt: usize| recent.and_then(|recent| recent.busy[bolt]);
    let busiest = |bolts: &mut dyn Iterator<Item = usize>| {
        let known = bolts.filter_map(|bolt| Some((bolt, busy(bolt)?)));
        known.max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let named = |bolt: usize, reason: String| Bottleneck {
        bolt: graph.bolts[bolt].id.to_string(),
        reason,
    };
    for spout in 0..graph.spouts.len() {
        match pressure::on(running, spout) {
            Some(Pressure {
                bolt: Some(bolt),
                text,
                ..
            }) => return Some(named(bolt, text)),
            Some(Pressure {
                bolt: None, text, ..
            }) => {
                let mut bolts = graph.downstream(spout).into_iter();
                if let Some((bolt, _)) = busiest(&mut bolts) {
                    return Some(named(bolt, format!("the busiest, and {text}")));
                }
            }
            None => {}
        }
    }
    let (bolt, share) = busiest(&mut (0..graph.bolts.len())).filter(|(_, share)| *share >= BUSY)?;
    let reason = format!(
        "busy {:.0} % of the time of {} lanes",
        share * 100.0,
        graph.lanes
    );
    Some(named(bolt, reason))
}
