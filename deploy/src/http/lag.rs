//! The HTTP API of `isobar lag --serve`: the lag of groups that are watched from outside.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::Server;
use super::listener::Limited;
use super::question::{Asked, Nothing};
use crate::lag::{LagDocument, Standings};
use crate::metrics::{self, Families};
use crate::push::Pushes;

/// What is served.
pub struct LagServer {
    /// The topology's name; the group's where there is none.
    pub topology: String,
    /// The groups.
    pub standing: Standings,
    /// What is exported as metrics.
    pub options: metrics::lag::Options,
    /// To whom these are sent.
    pub pushes: Pushes,
    /// Tells what is known of the dead letters, where there are any to read.
    pub letters: Option<Box<dyn Fn() -> metrics::Letters + Send + Sync>>,
}

impl LagServer {
    /// The lag now; `None` before the brokers have answered.
    pub fn document(&self) -> Option<LagDocument> {
        let spouts = self.standing.read()?;
        Some(LagDocument::of(&self.topology, spouts))
    }

    /// The metrics of such a document.
    pub fn figures(&self, document: &LagDocument) -> Families {
        let mut figures = metrics::of_lag(&self.topology, &document.spouts, &self.options);
        if let Some(letters) = &self.letters {
            metrics::add_letters(&self.topology, &letters(), &mut figures);
        }
        metrics::add_pushes(&self.topology, &self.pushes, &mut figures);
        figures
    }
}

impl Server {
    /// Answers requests about lag for ever.
    pub async fn serve_lag(self, served: Arc<LagServer>) -> Infallible {
        let router = Router::new()
            .route("/", get(index))
            .route("/metrics", get(serve_metrics))
            .route("/lag", get(lag))
            .route("/healthz", get(healthz))
            .with_state(served);
        let served = axum::serve(Limited::new(self.listener), router).await;
        // Never ends: errors of the socket are waited out by the library.
        let _ = served;
        std::future::pending().await
    }
}

async fn index() -> &'static str {
    "/metrics  the lag in the text format of Prometheus\n\
     /lag      the same as JSON\n\
     /healthz  200 while the process lives\n"
}

async fn healthz() -> &'static str {
    "alive\n"
}

async fn lag(_: Asked<Nothing>, State(served): State<Arc<LagServer>>) -> Response {
    match served.document() {
        Some(document) => Json(document).into_response(),
        None => not_yet(),
    }
}

async fn serve_metrics(State(served): State<Arc<LagServer>>) -> Response {
    let Some(document) = served.document() else {
        return not_yet();
    };
    let text = metrics::text(&served.figures(&document));
    let kind = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([kind], text).into_response()
}

fn not_yet() -> Response {
    let text = "the brokers have not answered yet\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
