//! How fast records move through a running topology just now: by spout, bolt and edge, over the last
//! seconds. Knows nothing of lag.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use isobar_topology::{Latency, Running};

/// Between two looks at the counters.
const INTERVAL: Duration = Duration::from_secs(1);
/// Looks that are kept: rates are those of ten seconds, enough for bulk bodies to even out.
const KEPT: usize = 11;

/// The last looks at the counters of a topology. A few kB for each, whatever runs.
#[derive(Default)]
pub struct Rates {
    looks: VecDeque<Look>,
}

struct Look {
    at: Instant,
    /// By spout: records read, and how long settled ones took.
    spouts: Vec<(u64, Latency)>,
    /// By bolt: records taken for the first time, records sent again, and time inside.
    bolts: Vec<(u64, u64, Duration)>,
    /// By bolt: how long requests took, by host.
    requests: Vec<BTreeMap<Arc<str>, Latency>>,
    /// By edge, without what was sent again.
    edges: Vec<u64>,
}

/// The requests to a host in the last seconds.
#[derive(Clone, Debug)]
pub struct Requests {
    /// So many per second.
    pub per_second: f64,
    /// How long they took.
    pub times: Latency,
}

/// Rates of the last seconds, by number in the graph.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// Records per second that each spout read.
    pub read: Vec<f64>,
    /// How long the records of each spout took that were settled.
    pub latency: Vec<Latency>,
    /// Records per second that each bolt took for the first time.
    pub taken: Vec<f64>,
    /// Records per second that it was sent again after failures.
    pub again: Vec<f64>,
    /// Time inside of each bolt, as a part of all time of all lanes. A call counts when it ends: where one
    /// ended that took longer than these seconds, the part is not known.
    pub busy: Vec<Option<f64>>,
    /// The requests of each bolt, by host.
    pub requests: Vec<BTreeMap<Arc<str>, Requests>>,
    /// Records per second that went along each edge for the first time, in the order of the plan.
    pub edges: Vec<f64>,
}

impl Rates {
    /// Looks, unless it did so just now; to be called often.
    pub fn look(&mut self, running: &Running) {
        let now = clock::now();
        if (self.looks.back()).is_some_and(|last| now < last.at + INTERVAL) {
            return;
        }
        if self.looks.len() == KEPT {
            let _ = self.looks.pop_front();
        }
        let graph = running.graph();
        let spouts = (0..graph.spouts.len()).map(|spout| {
            let account = running.account(spout);
            (account.read, account.latency)
        });
        let bolts = (0..graph.bolts.len()).map(|bolt| {
            let counts = running.bolt(bolt);
            (
                counts.records.saturating_sub(counts.again),
                counts.again,
                counts.busy,
            )
        });
        let requests = (0..graph.bolts.len()).map(|bolt| {
            let of_hosts = running.request_times(bolt).into_iter();
            of_hosts.collect()
        });
        self.looks.push_back(Look {
            at: now,
            spouts: spouts.collect(),
            bolts: bolts.collect(),
            requests: requests.collect(),
            edges: first_time(running),
        });
    }

    /// The rates over all looks that are kept; `None` before the second one.
    pub fn recent(&self, lanes: usize) -> Option<Recent> {
        let (first, last) = (self.looks.front()?, self.looks.back()?);
        let seconds = (last.at - first.at).as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let spouts = || last.spouts.iter().zip(&first.spouts);
        let bolts = || last.bolts.iter().zip(&first.bolts);
        let busy = |now: Duration, before: Duration| {
            let share = now.saturating_sub(before).as_secs_f64() / seconds / lanes as f64;
            (share <= 1.0).then_some(share)
        };
        Some(Recent {
            read: spouts().map(|(l, f)| per_second(l.0, f.0)).collect(),
            latency: spouts().map(|(l, f)| l.1.since(&f.1)).collect(),
            taken: bolts().map(|(l, f)| per_second(l.0, f.0)).collect(),
            again: bolts().map(|(l, f)| per_second(l.1, f.1)).collect(),
            busy: bolts().map(|(l, f)| busy(l.2, f.2)).collect(),
            requests: last
                .requests
                .iter()
                .zip(&first.requests)
                .map(|(last, first)| requests(last, first, seconds))
                .collect(),
            edges: last
                .edges
                .iter()
                .zip(&first.edges)
                .map(|(l, f)| per_second(*l, *f))
                .collect(),
        })
    }
}

/// The requests to each host between two looks.
fn requests(
    last: &BTreeMap<Arc<str>, Latency>,
    first: &BTreeMap<Arc<str>, Latency>,
    seconds: f64,
) -> BTreeMap<Arc<str>, Requests> {
    let each = last.iter().map(|(host, times)| {
        let times = match first.get(host) {
            Some(before) => times.since(before),
            None => times.clone(),
        };
        let per_second = times.count() as f64 / seconds;
        (Arc::clone(host), Requests { per_second, times })
    });
    each.collect()
}

/// Records that went along each edge, without those sent again.
fn first_time(running: &Running) -> Vec<u64> {
    // Before all of them: there are never more.
    let again = running.edge_records_again();
    let all = running.edge_records().into_iter().zip(again);
    all.map(|(records, again)| records.saturating_sub(again))
        .collect()
}
