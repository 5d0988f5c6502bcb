//! Pausing spouts and letting them go on, for who has the token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::question::Asked;
use super::token::{Permitted, refuse};
use crate::observer::Observer;

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// One spout; all without it.
    spout: Option<String>,
}

/// Which spouts are paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    /// Version of the form.
    pub version: u32,
    /// The topology.
    pub topology: String,
    /// By spout, in the order of the topology file.
    pub spouts: Vec<SpoutPause>,
}

/// Whether a spout is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoutPause {
    /// The spout.
    pub spout: String,
    /// Since when, in ms since 1970; null while it reads.
    pub paused_since_ms: Option<i64>,
}

impl Pauses {
    /// The version of the form.
    pub const VERSION: u32 = 1;

    fn of(observer: &Observer) -> Self {
        let spouts = observer.running.graph().spouts.iter().enumerate();
        Self {
            version: Self::VERSION,
            topology: observer.plan.topology.clone(),
            spouts: spouts
                .map(|(number, spout)| SpoutPause {
                    spout: spout.id.to_string(),
                    paused_since_ms: observer.running.paused_since(number),
                })
                .collect(),
        }
    }
}

pub(super) async fn pause(
    _: Permitted,
    State(observer): State<Arc<Observer>>,
    Asked(question): Asked<Question>,
) -> Response {
    set(&observer, &question, true)
}

pub(super) async fn resume(
    _: Permitted,
    State(observer): State<Arc<Observer>>,
    Asked(question): Asked<Question>,
) -> Response {
    set(&observer, &question, false)
}

fn set(observer: &Observer, question: &Question, paused: bool) -> Response {
    let running = &observer.running;
    let spouts = running.graph().spouts.iter().enumerate();
    let asked = |id: &str| question.spout.as_deref().is_none_or(|spout| spout == id);
    let chosen: Vec<_> = spouts.filter(|(_, spout)| asked(&spout.id)).collect();
    if let (Some(spout), []) = (&question.spout, chosen.as_slice()) {
        let all: Vec<&str> = running
            .graph()
            .spouts
            .iter()
            .map(|spout| &*spout.id)
            .collect();
        let text = format!("there is no spout {spout}; there is {}", all.join(", "));
        return refuse(StatusCode::NOT_FOUND, &text);
    }
    for (number, spout) in chosen {
        let (changed, what) = match paused {
            true => (running.pause(number), "Reading is paused by hand"),
            false => (running.resume(number), "Reading goes on by hand"),
        };
        if changed {
            tracing::info!(spout = &*spout.id, "{what}");
        }
    }
    Json(Pauses::of(observer)).into_response()
}
