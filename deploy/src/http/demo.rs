//! The paths of a demonstration: what it has come to, and, for who has the token, its documents and
//! what can be done to it.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::question::{Asked, Nothing};
use super::token::{Guarded, Permitted, refuse};
use crate::demo::{Action, Demo};
use crate::observer::Observer;
use crate::token::Token;

/// A demonstration and the topology that it runs.
#[derive(Clone)]
struct Shown {
    demo: Arc<Demo>,
    observer: Arc<Observer>,
}

/// The routes, to be added to those of the topology.
pub(super) fn router(demo: Arc<Demo>, observer: Arc<Observer>) -> Router {
    Router::new()
        .route("/demo", get(document))
        .route("/demo/demo.yaml", get(file))
        .route("/demo/search", get(search))
        .route("/demo/actions/{action}", post(act))
        .with_state(Shown { demo, observer })
}

async fn document(_: Asked<Nothing>, State(shown): State<Shown>) -> Response {
    Json(shown.demo.document(&shown.observer)).into_response()
}

/// Its topology file, so that commands reach what is in this process.
async fn file(_: Asked<Nothing>, State(shown): State<Shown>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/yaml")];
    (headers, shown.demo.file()).into_response()
}

async fn search(_: Permitted, State(shown): State<Shown>, RawQuery(query): RawQuery) -> Response {
    let (status, body) = shown.demo.search(&query.unwrap_or_default());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn act(
    _: Permitted,
    _: Asked<Nothing>,
    State(shown): State<Shown>,
    Path(name): Path<String>,
) -> Response {
    let Some(action) = Action::of_name(&name) else {
        let text = format!(
            "there is no action {name}; there is {}",
            Action::names().join(", ")
        );
        return refuse(StatusCode::NOT_FOUND, &text);
    };
    tracing::info!(action = name, "By hand");
    match shown.demo.act(action, &shown.observer) {
        Ok(()) => Json(shown.demo.document(&shown.observer)).into_response(),
        Err(error) => refuse(StatusCode::CONFLICT, &error.to_string()),
    }
}

impl Guarded for Shown {
    fn token(&self) -> Option<&Token> {
        self.observer.token.as_ref()
    }
}
