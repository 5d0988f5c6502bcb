//! The HTTP API of a running topology: numbers and facts, for people, probes and Prometheus.
//!
//! Only who has the token sees data of records or changes anything. It listens on loopback unless told otherwise.

mod demo;
mod lag;
mod listener;
mod page;
mod pause;
mod question;
mod replays;
mod tap;
mod token;
mod whereabouts;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::demo::Demo;
use crate::diagnostics::Diagnostics;
use crate::lag::LagDocument;
use crate::metrics;
use crate::observer::Observer;
use listener::Limited;
use question::{Asked, Nothing};

pub use lag::LagServer;
pub use pause::{Pauses, SpoutPause};
pub use question::understood;
pub use replays::{Offer, Replays};
pub(crate) use tap::{COUNTS_EVERY, TAPS_MAX};
pub use tap::{TapCounts, TapEnd, TapEnded, TapJudged, TapLine, TapRecord, TapRejected, TapStart};
pub use whereabouts::{State as WhereaboutsState, Waits as WhereaboutsWaits, Whereabouts};

/// Where the API listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Nowhere.
    Off,
    /// At this `host:port`.
    At(String),
}

/// Where the API listens unless it is told otherwise. The port stands for the pressure of the standard
/// atmosphere, 1013.2 hPa, and is assigned to nothing else.
pub const DEFAULT: &str = "127.0.0.1:10132";

impl FromStr for Bind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Bind::Off);
        }
        let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match port.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(_)) => Ok(Bind::At(text.to_owned())),
            _ => Err(format!("write HOST:PORT such as {DEFAULT}, or off")),
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Off => f.write_str("off"),
            Bind::At(address) => f.write_str(address),
        }
    }
}

/// The listening API, not served yet: so that an address in use is known before anything is started.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Listens. `None` when the API is off. `instead` is what to write where the address cannot be had,
    /// for the error.
    pub async fn bind(bind: &Bind, instead: &str) -> anyhow::Result<Option<Self>> {
        let Bind::At(address) = bind else {
            return Ok(None);
        };
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok::<_, std::io::Error>(Server { listener, address })
        };
        match bound.await {
            Ok(server) => Ok(Some(server)),
            Err(error) => anyhow::bail!(
                "cannot listen on {address}: {error}; choose another address with {instead}"
            ),
        }
    }

    /// The address that is listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests for ever.
    pub async fn serve(self, observer: Arc<Observer>) -> Infallible {
        self.serve_router(router(observer)).await
    }

    /// As [`Server::serve`], with the paths of a demonstration as well.
    pub async fn serve_demo(self, observer: Arc<Observer>, demo: Arc<Demo>) -> Infallible {
        let demo = demo::router(demo, Arc::clone(&observer));
        self.serve_router(router(observer).merge(demo)).await
    }

    async fn serve_router(self, router: Router) -> Infallible {
        let router = router.method_not_allowed_fallback(method_refused);
        let served = axum::serve(Limited::new(self.listener), router);
        // Never ends: errors of the socket are waited out by the library.
        let _ = served.await;
        std::future::pending().await
    }
}

/// Paths with what they answer.
const PATHS: [(&str, &str); 14] = [
    (
        "/",
        "in a browser, a page that shows all of this as it changes",
    ),
    ("/metrics", "metrics in the text format of Prometheus"),
    ("/healthz", "200 while the process and its lanes are alive"),
    (
        "/readyz",
        "200 while it reads as it should or is paused by hand, 503 otherwise; with all that is wrong and since when",
    ),
    (
        "/accounting",
        "what became of every record, by spout and partition",
    ),
    (
        "/lag",
        "how far the spouts are behind, by partition, and what that means",
    ),
    (
        "/replicas",
        "the same of all replicas (--peers), with the numbers of each and who does not answer",
    ),
    (
        "/history",
        "the lag of the last hour, by spout and partition; ?after_ms=TIME for what came later",
    ),
    (
        "/whereabouts",
        "where one record is: ?topic=TOPIC&partition=NUMBER&offset=NUMBER",
    ),
    (
        "/statistics",
        "numbers: rates, bolts, edges, the bottleneck, in flight, memory, CPU",
    ),
    (
        "/pause",
        "POST with the token stops the reading, POST /resume lets it go on; ?spout=ID for one spout",
    ),
    (
        "/tap",
        "with the token, records on an edge: ?edge=EDGE; every=N, limit=N, for=TIME, mask=FIELDS",
    ),
    (
        "/replays",
        "with the token, replays and how they get on; POST /replays/plans and POST /replays begin one",
    ),
    (
        "/diagnostics",
        "facts: version, configuration, plan, lanes, what is wrong",
    ),
];

fn router(observer: Arc<Observer>) -> Router {
    Router::new()
        .merge(page::routes())
        .route("/metrics", get(serve_metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/accounting", get(accounting))
        .route("/lag", get(lag_of_topology))
        .route("/replicas", get(replicas))
        .route("/whereabouts", get(whereabouts::answer))
        .route("/pause", post(pause::pause))
        .route("/resume", post(pause::resume))
        .route("/tap", get(tap::answer))
        .merge(replays::routes())
        .route("/statistics", get(statistics))
        .route("/diagnostics", get(diagnostics))
        .fallback(unknown)
        .with_state(observer)
}

type Observed = State<Arc<Observer>>;

impl token::Guarded for Arc<Observer> {
    fn token(&self) -> Option<&crate::token::Token> {
        self.token.as_ref()
    }
}

async fn index() -> String {
    PATHS
        .iter()
        .map(|(path, what)| format!("{path:<13} {what}\n"))
        .collect()
}

async fn unknown() -> (StatusCode, String) {
    let text = format!("there is nothing here; what there is:\n{}", index().await);
    (StatusCode::NOT_FOUND, text)
}

/// Each path takes one method.
async fn method_refused(method: Method) -> Response {
    let (allowed, text) = match method {
        Method::GET | Method::HEAD => ("POST", "this is done with POST and the token"),
        _ => ("GET, HEAD", "this is asked with GET"),
    };
    let mut refused = token::refuse(StatusCode::METHOD_NOT_ALLOWED, text);
    let allowed = HeaderValue::from_static(allowed);
    let _ = refused.headers_mut().insert(header::ALLOW, allowed);
    refused
}

async fn serve_metrics(State(observer): Observed) -> Response {
    let text = metrics::text(&metrics::of(&observer)) + &observer.recorder.render();
    let kind = (
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    );
    ([kind], text).into_response()
}

async fn healthz(State(observer): Observed) -> (StatusCode, String) {
    let stuck = observer.stuck();
    let bad = (!stuck.is_empty()).then_some(StatusCode::INTERNAL_SERVER_ERROR);
    answer("alive", bad, stuck)
}

/// Says all that is wrong; that it is not ready only for what records may wait for.
async fn readyz(State(observer): Observed) -> (StatusCode, String) {
    let reasons = observer.reasons_with_times();
    let holds_up = reasons.iter().any(|reason| reason.holds_up);
    let bad = holds_up.then_some(StatusCode::SERVICE_UNAVAILABLE);
    answer("ready", bad, reasons.iter().map(ToString::to_string))
}

/// The word, or with a code that it is not so, and a line for each thing that is wrong.
fn answer(
    word: &str,
    bad: Option<StatusCode>,
    wrong: impl IntoIterator<Item = String>,
) -> (StatusCode, String) {
    let first = match bad {
        None => word.to_owned(),
        Some(_) => format!("not {word}"),
    };
    let lines = [first].into_iter().chain(wrong);
    let text = lines.map(|line| line + "\n").collect();
    (bad.unwrap_or(StatusCode::OK), text)
}

async fn accounting(_: Asked<Nothing>, State(observer): Observed) -> Response {
    Json(observer.accounting()).into_response()
}

async fn lag_of_topology(_: Asked<Nothing>, State(observer): Observed) -> Response {
    let spouts = observer.lag_of_all();
    Json(LagDocument::of(&observer.plan.topology, spouts)).into_response()
}

async fn replicas(_: Asked<Nothing>, State(observer): Observed) -> Response {
    Json(observer.peers.document(&observer)).into_response()
}

async fn statistics(_: Asked<Nothing>, State(observer): Observed) -> Response {
    Json(observer.statistics()).into_response()
}

async fn diagnostics(_: Asked<Nothing>, State(observer): Observed) -> Response {
    Json(Diagnostics::of(&observer)).into_response()
}
