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
    /// It, or another record of its batch, is not settled.
    InFlight {
        /// When the batch was read, in ms since 1970.
        since_ms: i64,
        /// The bolt that took the batch, or a part of it, last; null before the first did.
        bolt: Option<String>,
        /// How often records of the batch were sent again.
        retries: u32,
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
                    } => State::InFlight {
                        since_ms,
                        bolt: bolt.map(|bolt| graph.bolts[bolt].id.to_string()),
                        retries,
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
