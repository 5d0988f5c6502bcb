//! The other replicas of the topology: asked again and again, so that any of them shows all.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::command::api::Api;
use crate::exit::Failure;
use crate::lag::{OfReplica, SpoutLag, merge};
use crate::observer::Observer;
use crate::output::time;
use crate::statistics::Statistics;

/// Between two questions to a replica: as often as lag is sampled.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(3);
/// An answer that is older says nothing about now: two questions were not answered.
const SILENT: Duration = Duration::from_secs(15);

/// The other replicas.
#[derive(Default)]
pub struct Peers(Vec<Arc<Peer>>);

struct Peer {
    api: Api,
    /// What it must run.
    topology: String,
    /// Who asks.
    asker: String,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    answer: Option<(Statistics, Instant)>,
    /// Why the last question was not answered.
    failure: Option<String>,
    /// It was this process that answered.
    is_self: bool,
}

/// All replicas, as `/replicas` writes them.
#[derive(Debug, Serialize)]
pub struct ReplicasDocument {
    /// Version of this form.
    pub version: u32,
    /// The topology's name.
    pub topology: String,
    /// This one first, then the others in the order of `--peers`.
    pub replicas: Vec<Replica>,
    /// The lag of all of them.
    pub lag: Vec<SpoutLag>,
}

/// A replica.
#[derive(Debug, Serialize)]
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
        let peers = addresses.iter().map(|api| {
            Arc::new(Peer {
                api: api.clone(),
                topology: observer.plan.topology.clone(),
                asker: observer.instance.clone(),
                known: Mutex::default(),
            })
        });
        Self(peers.collect())
    }

    /// Asks each of them again and again; one that does not answer holds no other one up.
    pub async fn run(&self) -> Infallible {
        let mut asking = JoinSet::new();
        for peer in &self.0 {
            let peer = Arc::clone(peer);
            let _ = asking.spawn(async move {
                let mut ticks = tokio::time::interval(INTERVAL);
                loop {
                    let _ = ticks.tick().await;
                    peer.ask().await;
                }
            });
        }
        std::future::pending().await
    }

    /// The lag of this replica with that of the others.
    pub fn merged(&self, own: Vec<SpoutLag>) -> Vec<SpoutLag> {
        if self.0.is_empty() {
            return own;
        }
        let others: Vec<OfReplica> = self.others().map(Peer::lag).collect();
        merge(own, &others)
    }

    fn others(&self) -> impl Iterator<Item = &Peer> {
        let all = self.0.iter().map(|peer| &**peer);
        all.filter(|peer| !peer.known().is_self)
    }

    /// All of them.
    pub fn document(&self, observer: &Observer) -> ReplicasDocument {
        let own = observer.statistics();
        let lag = self.merged(own.lag.clone());
        let here = Replica {
            address: "here".to_owned(),
            age_seconds: Some(0.0),
            failure: None,
            statistics: Some(own),
        };
        let others = self.others().map(Peer::replica);
        ReplicasDocument {
            version: 1,
            topology: observer.plan.topology.clone(),
            replicas: std::iter::once(here).chain(others).collect(),
            lag,
        }
    }
}

impl Peer {
    async fn ask(&self) {
        let answer: Result<Statistics, Failure> =
            self.api.get("/statistics", "its statistics", WITHIN).await;
        let answer = answer.map_err(|failure| format!("{:#}", failure.error));
        let answer = answer.and_then(|answer| match answer.topology == self.topology {
            true => Ok(answer),
            false => Err(format!("{} runs {}", self.api.address(), answer.topology)),
        });
        self.note(answer);
    }

    /// Keeps an answer or why there is none, and logs when one turns into the other.
    fn note(&self, answer: Result<Statistics, String>) {
        let mut known = self.known();
        let replica = self.api.address();
        match answer {
            Ok(answer) => {
                if known.failure.is_some() {
                    tracing::info!(replica, "A replica answers again");
                }
                *known = Known {
                    is_self: answer.instance == self.asker,
                    answer: Some((answer, clock::now())),
                    failure: None,
                };
            }
            Err(why) => {
                if known.failure.is_none() {
                    tracing::warn!(replica, error = why, "A replica does not answer");
                }
                known.failure = Some(why);
            }
        }
    }

    fn lag(&self) -> OfReplica {
        let known = self.known();
        let answer = known.answer.as_ref();
        let age = answer.map(|(_, at)| clock::now() - *at);
        OfReplica {
            address: self.api.address().to_owned(),
            lag: answer
                .map(|(answer, _)| answer.lag.clone())
                .unwrap_or_default(),
            age_seconds: age.map_or(0.0, |age| age.as_secs_f64()),
            silent: match age {
                Some(age) if age <= SILENT => None,
                _ => Some(self.silence(age, known.failure.as_deref())),
            },
        }
    }

    fn silence(&self, age: Option<Duration>, failure: Option<&str>) -> String {
        let address = self.api.address();
        match (age, failure) {
            (Some(age), _) => {
                let age = time(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
                format!("replica {address} has not answered for {age}")
            }
            (None, Some(failure)) => format!("replica {failure}"),
            (None, None) => format!("replica {address} was not asked yet"),
        }
    }

    fn replica(&self) -> Replica {
        let known = self.known();
        let answer = known.answer.as_ref();
        Replica {
            address: self.api.address().to_owned(),
            age_seconds: answer.map(|(_, at)| (clock::now() - *at).as_secs_f64()),
            failure: known.failure.clone(),
            statistics: answer.map(|(answer, _)| answer.clone()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
