//! Where one record is, as the running program knows it. Numbers and names only, nothing of the record.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use isobar_topology::Whereabouts as Known;
use serde::{Deserialize, Serialize};

use super::question::Asked;
use crate::observer::Observer;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    topic: String,
    partition: i32,
    offset: i64,
}

/// What the program knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// Version of the form.
    pub version: u32,
    /// The topology.
    pub topology: String,
    /// By spout: several may read the topic.
    pub spouts: Vec<OfSpout>,
}

/// What it knows of a record as a spout reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfSpout {
    /// The spout.
    pub spout: String,
    /// Where the record is.
    #[serde(flatten)]
    pub state: State,
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// This program reads the partition and has not come to it.
    NotRead,
    /// It is not settled; nor, as long as its batch was not sent again, need be any other record of that.
    InFlight {
        /// When the batch was read, in ms since 1970.
        since_ms: i64,
        /// The bolt that took it last, or other records that were sent with it; while it waits, the one at
        /// which it failed. Null before the first did.
        bolt: Option<String>,
        /// How often it was sent again.
        retries: u32,
        /// How it waits to be sent again; absent while it is on its way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waits: Option<Waits>,
    },
    /// It was dropped.
    Dropped {
        /// By this policy.
        policy: String,
    },
    /// It was settled otherwise: delivered or dead-lettered.
    Settled {
        /// False where drops were forgotten that it may be among.
        certain: bool,
    },
    /// It was deleted at the source before this program read it.
    Lost,
    /// This program did not read it, handed it back, or has forgotten it.
    Elsewhere,
}

/// How a record waits to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// When it first failed at the bolt, and at no other one since, in ms since 1970.
    pub since_ms: i64,
    /// Whether it goes on as soon as the bolt's outside system takes something.
    pub held: bool,
}

impl Whereabouts {
    /// The version of the form.
    pub const VERSION: u32 = 1;

    fn of(observer: &Observer, question: &Question) -> Self {
        let graph = observer.running.graph();
        let spouts = graph
            .spouts
            .iter()
            .enumerate()
            .filter_map(|(number, spout)| {
                let partitions = observer.running.partitions(number).all();
                let partition = partitions.iter().find(|one| {
                    **one.topic() == *question.topic && one.number() == question.partition
                })?;
                let state = match partition.whereabouts(question.offset) {
                    Known::NotRead => State::NotRead,
                    Known::InFlight {
                        since_ms,
                        bolt,
                        retries,
                        waits,
                    } => State::InFlight {
                        since_ms,
                        bolt: bolt.map(|bolt| graph.bolts[bolt].id.to_string()),
                        retries,
                        waits: waits.map(|waits| Waits {
                            since_ms: waits.since_ms,
                            held: waits.held,
                        }),
                    },
                    Known::Dropped(policy) => State::Dropped {
                        policy: graph.policies[policy.index()].clone(),
                    },
                    Known::Settled { certain } => State::Settled { certain },
                    Known::Lost => State::Lost,
                    Known::Elsewhere => State::Elsewhere,
                };
                Some(OfSpout {
                    spout: spout.id.to_string(),
                    state,
                })
            });
        Self {
            version: Self::VERSION,
            topology: observer.plan.topology.clone(),
            spouts: spouts.collect(),
        }
    }
}

pub(super) async fn answer(
    Extract(observer): Extract<Arc<Observer>>,
    Asked(question): Asked<Question>,
) -> Response {
    Json(Whereabouts::of(&observer, &question)).into_response()
}
