//! Lag of the Kafka spouts of a topology: sampled while it runs, asked for once while it does not.
//!
//! The definitions are those of `isobar_operators::lag`; here they become rows, sums and tables.
//! What is unknown is null or `?`, and so is every sum that it is part of.

mod figures;
mod merge;
pub(crate) mod pressure;
pub(crate) mod table;
mod totals;

use std::sync::Arc;
use std::time::Duration;

use isobar_operators::lag::{self, Circumstances, Lag, Source, Standing, Watch};
use isobar_topology::Running;
use isobar_topology::spec::Spec;

use crate::diagnostics::rfc3339;
use crate::readiness;

pub use figures::{LagDocument, PartitionLag, SpoutLag};
pub use isobar_operators::lag::HERE;
pub use merge::{OfReplica, merge, merge_all};
pub use table::{Width, table, table_without_failures};
pub use totals::Totals;

/// How often a running topology's lag is sampled.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// Samples the lag of a running topology.
#[derive(Default)]
pub struct Watches(Vec<Watched>);

struct Watched {
    source: Source,
    /// The spout's number in the graph.
    spout: usize,
    watch: Result<Watch, String>,
}

impl Watches {
    /// Starts to sample every `interval`, on a thread for each Kafka spout. What cannot be sampled says why in
    /// [`SpoutLag::failure`].
    pub fn start(spec: &Spec, running: &Running, interval: Duration) -> Self {
        // The file was planned, so its options are sound.
        let sources = lag::sources(spec).unwrap_or_default();
        let spouts = &running.graph().spouts;
        let watches = sources.into_iter().filter_map(|source| {
            let spout = spouts.iter().position(|node| *node.id == *source.spout)?;
            let partitions = Arc::clone(running.partitions(spout));
            let watch = source
                .watch(partitions, running.health().clone(), interval)
                .map_err(|error| error.to_string());
            Some(Watched {
                source,
                spout,
                watch,
            })
        });
        Self(watches.collect())
    }

    /// The lag now, of the partitions that this process reads, and what it means. Never waits.
    ///
    /// Without any it is known, and 0, only of a spout that is well: it is a member of its group, which
    /// gave it none.
    pub fn read(&self, running: &Running) -> Vec<SpoutLag> {
        let each = self.0.iter().map(
            |Watched {
                 source,
                 spout,
                 watch,
             }| match watch {
                Ok(watch) => {
                    let lag = watch.read(circumstances(running, *spout));
                    let why = match (lag.rows.as_slice(), &lag.failure) {
                        ([], None) => readiness::reason(running, &source.spout),
                        ([], Some(failure)) => Some(failure.clone()),
                        _ => None,
                    };
                    match why {
                        Some(why) => SpoutLag {
                            topics: lag.topics,
                            ..SpoutLag::unknown(source, why)
                        },
                        None => SpoutLag::of(source, lag),
                    }
                }
                Err(failure) => SpoutLag::unknown(source, failure.clone()),
            },
        );
        each.collect()
    }

    /// The lag now of all spouts together; `None` while a part of it is not known, and without any
    /// Kafka spout.
    pub fn total(&self, running: &Running) -> Option<u64> {
        match self.0.as_slice() {
            [] => None,
            _ => self.read(running).iter().map(|spout| spout.lag).sum(),
        }
    }

    /// Asks the brokers for the lag of all partitions, whoever reads them; waits at most `within` for
    /// each of a few questions.
    pub fn ask(&self, within: Duration) -> Vec<SpoutLag> {
        self.0
            .iter()
            .map(|watched| ask(&watched.source, within))
            .collect()
    }
}

/// Groups that are watched from outside, whether their program runs or not.
pub struct Standings(Vec<(Source, Result<Standing, String>)>);

impl Standings {
    /// Starts to ask the brokers, at once and then every `interval`, on a thread for each. Waits for
    /// nothing.
    pub fn start(sources: Vec<Source>, interval: Duration, within: Duration) -> Self {
        let each = sources.into_iter().map(|source| {
            let standing = source.stand(interval, within);
            let standing = standing.map_err(|error| error.to_string());
            (source, standing)
        });
        Self(each.collect())
    }

    /// The lag now; `None` before the brokers of all have answered, or failed to. Never waits.
    pub fn read(&self) -> Option<Vec<SpoutLag>> {
        let each = self.0.iter().map(|(source, standing)| match standing {
            Ok(standing) => Some(told(source, standing.read()?)),
            Err(failure) => Some(SpoutLag::unknown(source, failure.clone())),
        });
        each.collect()
    }
}

/// Asks the brokers for the lag of a group, whether anything runs or not; waits at most `within` for each
/// of a few questions.
pub fn ask(source: &Source, within: Duration) -> SpoutLag {
    match source.once(within) {
        Ok(lag) => told(source, lag),
        Err(error) => SpoutLag::unknown(source, error.to_string()),
    }
}

/// What the brokers told; no partition at all is no good answer.
fn told(source: &Source, lag: Lag) -> SpoutLag {
    if lag.rows.is_empty() {
        let none = format!("there is no topic {}", source.topics.join(", "));
        return SpoutLag::unknown(source, lag.failure.unwrap_or(none));
    }
    SpoutLag::of(source, lag)
}

fn circumstances(running: &Running, spout: usize) -> Circumstances {
    Circumstances {
        paused: running.paused_since(spout).map(paused),
        resumed_ms: running.resumed_at(spout),
        blocked: pressure::blocked(running, spout),
        ..Circumstances::default()
    }
}

/// That reading was paused at a time in ms since 1970, in a sentence.
fn paused(since_ms: i64) -> String {
    let since = rfc3339(since_ms);
    format!("paused by hand since {since}; isobar resume lets it go on")
}

#[cfg(test)]
pub(crate) mod tests;
