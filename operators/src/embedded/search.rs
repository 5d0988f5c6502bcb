//! The embedded index: a small part of Elasticsearch behind a real port of the loopback address, so
//! that the sink reaches it like any other host. For demonstrations, trials and tests.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State as Given};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use isobar_topology::OperatorError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::answers::{self, Asked, BODY_MAX};
use super::documents::Documents;
use super::encoding::{self, Unreadable};

pub use super::documents::Counts;

/// Bytes of documents that are held at most unless something else is said, tables included.
pub const BYTES_MAX: usize = 64 << 20;

/// An index in this process, on a thread of its own. Dropping it closes it and forgets everything.
pub struct EmbeddedSearch {
    documents: Shared,
    pace: Arc<Pace>,
    address: SocketAddr,
    serving: Mutex<Option<Serving>>,
}

type Shared = Arc<Mutex<Documents>>;

/// What answers need.
#[derive(Clone)]
struct Host {
    documents: Shared,
    pace: Arc<Pace>,
}

/// How many documents a second are taken at most.
#[derive(Default)]
struct Pace {
    /// 0 for as many as come.
    per_second: AtomicU32,
    /// When all that was sent is taken.
    busy_until: Mutex<Option<Instant>>,
}

struct Serving {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl EmbeddedSearch {
    /// Starts an index that holds documents of so many bytes at most, the oldest let go first. It
    /// accepts connections when this returns, on a free port.
    ///
    /// Fails when there is no port or no thread for it.
    pub fn start(bytes_max: usize) -> Result<Self, OperatorError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(unusable)?;
        let search = Self {
            documents: Arc::new(Mutex::new(Documents::new(bytes_max))),
            pace: Arc::default(),
            address: listener.local_addr().map_err(unusable)?,
            serving: Mutex::default(),
        };
        search.serve(listener)?;
        Ok(search)
    }

    /// `http://` and its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it holds.
    pub fn counts(&self) -> Counts {
        lock(&self.documents).counts()
    }

    /// How many documents were stored in these indices, names and patterns separated by commas; those that were
    /// let go since included.
    pub fn stored_in(&self, names: &str) -> u64 {
        lock(&self.documents).stored_in(names)
    }

    /// Closes the port and all connections; what was stored stays. Does nothing when it is closed.
    pub fn close(&self) {
        let serving = lock(&self.serving).take();
        // Nobody waits any more for what was sent.
        *lock(&self.pace.busy_until) = None;
        if let Some(Serving { stop, thread }) = serving {
            drop(stop);
            // It ends by itself, and a panic there has been told.
            drop(thread.join());
        }
    }

    /// Accepts connections again, on the same port. Does nothing when it does already.
    ///
    /// Fails when something else has taken the port meanwhile.
    pub fn reopen(&self) -> Result<(), OperatorError> {
        if self.is_open() {
            return Ok(());
        }
        self.serve(TcpListener::bind(self.address).map_err(unusable)?)
    }

    /// Whether it accepts connections.
    pub fn is_open(&self) -> bool {
        lock(&self.serving).is_some()
    }

    /// Refuses every write from now on, or no more, as an index with a write block does.
    pub fn block_writes(&self, blocked: bool) {
        lock(&self.documents).blocked = blocked;
    }

    /// Takes so many documents a second at most from now on, 0 for as many as come. Bulk requests wait
    /// for their turn.
    pub fn take_at_most(&self, per_second: u32) {
        self.pace.per_second.store(per_second, Ordering::Release);
    }

    /// How many documents a second it takes at most; 0 for as many as come.
    pub fn takes_at_most(&self) -> u32 {
        self.pace.per_second.load(Ordering::Acquire)
    }

    /// Whether every write is refused.
    pub fn is_blocked(&self) -> bool {
        lock(&self.documents).blocked
    }

    /// The answer to a search, as `_search` of all indices gives it, also while the port is closed.
    /// `query` is what stands behind `?`, percent-encoded.
    pub fn search(&self, query: &str) -> (u16, Vec<u8>) {
        let asked = Asked {
            method: Method::GET,
            path: "/_search",
            query,
            body: b"",
        };
        let (status, body) = answers::answer(&mut lock(&self.documents), &asked);
        (status.as_u16(), body)
    }

    fn serve(&self, listener: TcpListener) -> Result<(), OperatorError> {
        listener.set_nonblocking(true).map_err(unusable)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(unusable)?;
        let host = Host {
            documents: Arc::clone(&self.documents),
            pace: Arc::clone(&self.pace),
        };
        let (stop, stopped) = oneshot::channel();
        let body = move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                    return;
                };
                let router = Router::new()
                    .fallback(respond)
                    .layer(DefaultBodyLimit::max(BODY_MAX))
                    .with_state(host);
                let served = std::future::IntoFuture::into_future(axum::serve(listener, router));
                tokio::select! {
                    _ = served => {}
                    // An error: the sender is dropped, which is how it says stop.
                    _ = stopped => {}
                }
            });
            // With the runtime all connections go, in the middle of what they do.
        };
        let thread = std::thread::Builder::new()
            .name("embedded-search".into())
            .spawn(body)
            .map_err(unusable)?;
        *lock(&self.serving) = Some(Serving { stop, thread });
        Ok(())
    }
}

impl Drop for EmbeddedSearch {
    fn drop(&mut self) {
        self.close();
    }
}

impl Pace {
    /// Waits until so many documents have had their turn.
    async fn wait(&self, documents: usize) {
        let per_second = self.per_second.load(Ordering::Acquire);
        if per_second == 0 || documents == 0 {
            return;
        }
        let takes = Duration::from_secs_f64(documents as f64 / f64::from(per_second));
        let until = {
            let mut busy_until = lock(&self.busy_until);
            let now = Instant::now();
            let until = busy_until.map_or(now, |busy| busy.max(now)) + takes;
            *busy_until = Some(until);
            until
        };
        tokio::time::sleep_until(until).await;
    }
}

async fn respond(
    Given(Host { documents, pace }): Given<Host>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let encoding = headers.get(header::CONTENT_ENCODING);
    let encoding = encoding.map_or(Ok(""), HeaderValue::to_str);
    let body = match encoding::decode(encoding.unwrap_or("unknown"), &body, BODY_MAX) {
        Ok(body) => body,
        Err(Unreadable::Unknown) => return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response(),
        Err(Unreadable::TooLong) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(Unreadable::Broken) => return StatusCode::BAD_REQUEST.into_response(),
    };
    if uri.path().ends_with("/_bulk") {
        // A line for the action and one for the document.
        pace.wait(body.iter().filter(|byte| **byte == b'\n').count() / 2)
            .await;
    }
    let asked = Asked {
        method,
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        body: &body,
    };
    let (status, body) = answers::answer(&mut lock(&documents), &asked);
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (PRODUCT, "Elasticsearch"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (status, headers, body).into_response()
}

/// By this header clients know what answers.
const PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");

fn unusable(error: std::io::Error) -> OperatorError {
    OperatorError::internal("the embedded index cannot be started").with_source(error)
}

/// Also after a panic elsewhere: an item is stored or it is not.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
