//! Replicas that are asked by a command, which is none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::join_all;

use super::peer::Peer;
use super::{ReplicasDocument, VERSION, ask_for_ever};
use crate::accounting::Accounting;
use crate::command::api::Api;
use crate::lag::merge_all;

/// The replicas of one topology, seen from outside.
pub struct Outside {
    topology: Arc<OnceLock<String>>,
    peers: Vec<Arc<Peer>>,
}

impl Outside {
    /// The replicas at these addresses, of whom nobody was asked yet.
    pub fn at(addresses: &[Api]) -> Self {
        let topology = Arc::default();
        let peers = addresses.iter();
        let peers = peers.map(|api| Arc::new(Peer::at(api, &topology)));
        Self {
            peers: peers.collect(),
            topology,
        }
    }

    /// Asks all of them once; each of two questions may take `within`.
    pub async fn ask(&self, within: Duration) {
        let _ = join_all(self.peers.iter().map(|peer| peer.ask(within))).await;
    }

    /// Asks each of them every so often; one that does not answer holds no other one up.
    pub async fn run(&self, every: Duration, within: Duration) -> std::convert::Infallible {
        ask_for_ever(&self.peers, every, within, |_, _| ()).await
    }

    /// All of them; one that is known under two addresses counts once. Without a topology's name before the
    /// first answer.
    pub fn document(&self) -> ReplicasDocument {
        self.document_without(&BTreeMap::new())
    }

    /// The same, where some did not answer another question: why, by address. They count as those that do
    /// not answer at all.
    pub fn document_without(&self, failures: &BTreeMap<String, String>) -> ReplicasDocument {
        let failure = |peer: &Peer| failures.get(peer.address());
        let mut known = BTreeSet::new();
        let peers = self.peers.iter();
        let peers: Vec<_> = peers
            .filter(|peer| match peer.instance() {
                Some(instance) => known.insert(instance),
                None => true,
            })
            .collect();
        let answer = peers.iter().filter(|peer| failure(peer).is_none());
        let accounts: Vec<_> = answer.filter_map(|peer| peer.accounting()).collect();
        let replicas = peers.iter().map(|peer| {
            let mut replica = peer.replica();
            replica.failure = failure(peer).cloned().or(replica.failure);
            replica
        });
        let lag = peers.iter().map(|peer| {
            let mut lag = peer.lag();
            let silent = failure(peer).map(|why| format!("replica {why}"));
            lag.silent = silent.or(lag.silent);
            lag
        });
        let topology = self.topology.get().cloned().unwrap_or_default();
        ReplicasDocument {
            version: VERSION,
            replicas: replicas.collect(),
            lag: merge_all(&lag.collect::<Vec<_>>()),
            accounting: Accounting::sum(&topology, &accounts),
            topology,
        }
    }
}
