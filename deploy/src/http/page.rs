//! The page at `/`: one document, one style sheet, one script and an icon, all in the program. It asks the
//! JSON paths of this server again and again, and nobody else.

mod layouts;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::question::Asked;
use super::{Observed, index};

const HTML: &str = include_str!("page/page.html");
const CSS: &str = include_str!("page/page.css");
const ICON: &str = include_str!("page/icon.svg");
/// In pieces, so that each has one idea; to a browser one script.
const SCRIPT: &str = concat!(
    include_str!("page/text.js"),
    include_str!("page/elements.js"),
    include_str!("page/verdict.js"),
    include_str!("page/graph.js"),
    include_str!("page/plot.js"),
    include_str!("page/lag.js"),
    include_str!("page/requests.js"),
    include_str!("page/replicas.js"),
    include_str!("page/records.js"),
    include_str!("page/facts.js"),
    include_str!("page/token.js"),
    include_str!("page/demo.js"),
    include_str!("page/replays.js"),
    include_str!("page/replay_plan.js"),
    include_str!("page/replay_runs.js"),
    include_str!("page/live.js"),
);

/// What the page may load: only what comes from this server. Nobody may put it into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The paths of the page.
pub(super) fn routes() -> Router<std::sync::Arc<crate::observer::Observer>> {
    Router::new()
        .route("/", get(page))
        .route("/page.css", get(async || part("text/css", CSS)))
        .route("/page.js", get(async || part("text/javascript", SCRIPT)))
        .route("/icon.svg", get(async || part("image/svg+xml", ICON)))
        .route("/history", get(history))
        .route("/layouts", get(layouts::answer))
}

/// The page for browsers; for all others the paths that there are.
async fn page(headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.and_then(|accepted| accepted.to_str().ok());
    let mut response = match accepted.is_some_and(|accepted| accepted.contains("text/html")) {
        true => part("text/html", HTML),
        false => index().await.into_response(),
    };
    let vary = HeaderValue::from_static("accept");
    let _ = response.headers_mut().insert(header::VARY, vary);
    response
}

/// A part of the page. A program that was started again may be another version, so nothing is kept by the
/// browser.
fn part(kind: &str, text: &'static str) -> Response {
    let headers: [(HeaderName, String); 6] = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::X_FRAME_OPTIONS, "DENY".to_owned()),
    ];
    (headers, text).into_response()
}

/// What of the history is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    /// Only what came after this time, in ms since 1970.
    #[serde(default)]
    after_ms: i64,
}

async fn history(State(observer): Observed, Asked(asked): Asked<After>) -> Response {
    Json(observer.history(asked.after_ms)).into_response()
}
