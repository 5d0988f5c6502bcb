//! The paths of a demonstration: what it has come to, and, for who has the token, its documents and
//! what can be done to it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::demo::{Action, Demo};
use crate::observer::Observer;

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
        .route("/demo/search", get(search))
        .route("/demo/actions/{action}", post(act))
        .with_state(Shown { demo, observer })
}

async fn document(State(shown): State<Shown>) -> Response {
    Json(shown.demo.document(&shown.observer)).into_response()
}

async fn search(_: Permitted, State(shown): State<Shown>, RawQuery(query): RawQuery) -> Response {
    let (status, body) = shown.demo.search(&query.unwrap_or_default());
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn act(_: Permitted, State(shown): State<Shown>, Path(name): Path<String>) -> Response {
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

/// Whoever asks has the token.
struct Permitted;

impl FromRequestParts<Shown> for Permitted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shown: &Shown) -> Result<Self, Response> {
        let given = parts.headers.get(header::AUTHORIZATION);
        let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = shown.demo.token().as_bytes();
        let is_right = given.is_some_and(|given| {
            given.len() == token.len() && openssl::memcmp::eq(given.as_bytes(), token)
        });
        match is_right {
            true => Ok(Self),
            false => Err(refuse(
                StatusCode::UNAUTHORIZED,
                "this needs the token that is in the address that `isobar demo` printed; send it as Authorization: Bearer TOKEN",
            )),
        }
    }
}

fn refuse(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}
