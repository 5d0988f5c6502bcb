//! The other replicas of the topology: asked again and again, so that any of them shows all. Commands ask
//! them from outside.

mod outside;
mod peer;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::accounting::Accounting;
use crate::command::api::Api;
use crate::lag::{HERE, OfReplica, SpoutLag, merge};
use crate::observer::Observer;
use crate::statistics::Statistics;
use peer::{Peer, Turn};

pub use outside::Outside;

/// Between two questions to a replica: as often as lag is sampled.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(3);
/// Version of the JSON form.
const VERSION: u32 = 1;

/// The other replicas.
#[derive(Default)]
pub struct Peers {
    all: Vec<Arc<Peer>>,
    /// The name of this start of the program: a peer with that name is this one.
    own: String,
}

/// All replicas, as `/replicas` writes them.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReplicasDocument {
    /// Version of this form.
    pub version: u32,
    /// The topology's name.
    pub topology: String,
    /// This one first, then the others in the order of `--peers`.
    pub replicas: Vec<Replica>,
    /// The lag of all of them.
    pub lag: Vec<SpoutLag>,
    /// What became of the records of those that answer, by spout.
    pub accounting: Accounting,
}

/// A replica.
#[derive(Debug, Serialize, Deserialize)]
pub struct Replica {
    /// `here`, or its address.
    pub address: String,
    /// How old its figures are; null when it has never answered.
    pub age_seconds: Option<f64>,
    /// Why it does not answer; null while it does.
    pub failure: Option<String>,
    /// Its figures when it last answered; null when it never did.
    pub statistics: Option<Statistics>,
}

impl Peers {
    /// The other replicas of this one at these addresses, of whom nobody was asked yet. Its own address is
    /// left out as soon as that has answered: it may be known under many names.
    pub fn at(addresses: &[Api], observer: &Observer) -> Self {
        let topology = Arc::new(OnceLock::from(observer.plan.topology.clone()));
        let all = addresses.iter();
        let all = all.map(|api| Arc::new(Peer::at(api, &topology)));
        Self {
            all: all.collect(),
            own: observer.instance.clone(),
        }
    }

    /// Asks each of them again and again; one that does not answer holds no other one up.
    pub async fn run(&self) -> Infallible {
        ask_for_ever(&self.all, INTERVAL, WITHIN, log).await
    }

    /// The lag of this replica with that of the others.
    pub fn merged(&self, own: Vec<SpoutLag>) -> Vec<SpoutLag> {
        if self.all.is_empty() {
            return own;
        }
        let others: Vec<OfReplica> = self.others().map(Peer::lag).collect();
        merge(own, &others)
    }

    fn others(&self) -> impl Iterator<Item = &Peer> {
        let all = self.all.iter().map(|peer| &**peer);
        all.filter(|peer| peer.instance().as_ref() != Some(&self.own))
    }

    /// All of them.
    pub fn document(&self, observer: &Observer) -> ReplicasDocument {
        let own = observer.statistics();
        let lag = self.merged(own.lag.clone());
        let here = Replica {
            address: HERE.to_owned(),
            age_seconds: Some(0.0),
            failure: None,
            statistics: Some(own),
        };
        let others = self.others().map(Peer::replica);
        let accounts = self.others().filter_map(Peer::accounting);
        let accounts: Vec<_> = std::iter::once(observer.accounting())
            .chain(accounts)
            .collect();
        let topology = observer.plan.topology.clone();
        ReplicasDocument {
            version: VERSION,
            replicas: std::iter::once(here).chain(others).collect(),
            lag,
            accounting: Accounting::sum(&topology, &accounts),
            topology,
        }
    }
}

impl ReplicasDocument {
    /// The same with the address of whoever wrote it in place of `here`.
    #[must_use]
    pub fn written_at(mut self, address: &str) -> Self {
        let replicas = self.replicas.iter_mut();
        for replica in replicas.filter(|replica| replica.address == HERE) {
            address.clone_into(&mut replica.address);
        }
        let partitions = self.lag.iter_mut().flat_map(|spout| &mut spout.partitions);
        for partition in partitions.filter(|one| one.owner.as_deref() == Some(HERE)) {
            partition.owner = Some(address.to_owned());
        }
        self
    }
}

/// Asks each of them every so often, and tells what changed of whom.
async fn ask_for_ever(
    peers: &[Arc<Peer>],
    every: Duration,
    within: Duration,
    tell: fn(&Peer, Turn),
) -> Infallible {
    let mut asking = JoinSet::new();
    for peer in peers {
        let peer = Arc::clone(peer);
        let _ = asking.spawn(async move {
            let mut ticks = tokio::time::interval(every);
            loop {
                let _ = ticks.tick().await;
                tell(&peer, peer.ask(within).await);
            }
        });
    }
    std::future::pending().await
}

fn log(peer: &Peer, turn: Turn) {
    let replica = peer.address();
    match turn {
        Turn::Same => {}
        Turn::Back => tracing::info!(replica, "A replica answers again"),
        Turn::Lost(why) => tracing::warn!(replica, error = why, "A replica does not answer"),
    }
}
