//! The stand-in bulk server: takes bulk requests as an Elasticsearch 9 does, keeps ids instead of
//! documents, and fails on demand. For tests of faults, and for measuring the program without a search
//! server's own cost. It is no search engine: whether a document is found is for the real ones.

mod ages;
mod answer;
mod bulk;
mod connection;
mod fault;
mod program;
mod store;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::ports;

pub use fault::{Item, ItemFault, Request, RequestFault};
pub use program::BulkServerProgram;
pub use store::{Statistics, Stored};

/// How the stand-in behaves from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The port on the loopback address; 0 for a free one.
    pub port: u16,
    /// Keeps a 128-bit hash of every id (about 20 to 40 bytes each) and answers 409 to a `create` of an
    /// id that is there. Without it, every document is new.
    pub keep_ids: bool,
    /// Keeps every document too, for [`BulkServer::documents`]. For small tests only.
    pub keep_documents: bool,
    /// The longest body that is read, in bytes; longer ones are answered 413, as a real server's
    /// `http.max_content_length` does.
    pub body_max: usize,
    /// How long every bulk request waits for its answer once all is stored.
    pub delay: Duration,
    /// Counts how old documents are when they are stored, by the record's timestamp in their origin, for
    /// `GET /_ages`; `DELETE /_ages` begins anew, with the records of that moment and later.
    pub count_ages: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            keep_ids: true,
            keep_documents: false,
            body_max: 64 << 20,
            delay: Duration::ZERO,
            count_ages: false,
        }
    }
}

/// A stand-in that runs on one thread of this process. Dropping it closes it.
pub struct BulkServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Option<Running>,
}

impl BulkServer {
    /// Starts a stand-in; it accepts connections when this returns.
    pub fn start(options: Options) -> Result<Self> {
        let port = if options.port == 0 {
            ports::free()?
        } else {
            options.port
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let state = Mutex::new(State {
            store: store::Store::new(&options),
            faults: fault::Faults::default(),
        });
        let shared = Arc::new(Shared {
            state,
            body_max: options.body_max,
            delay: options.delay,
            under_way: AtomicUsize::new(0),
        });
        let mut server = Self {
            shared,
            address,
            running: None,
        };
        server.reopen()?;
        Ok(server)
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// `http://` and its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it has counted so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.lock().store.statistics()
    }

    /// The documents that it holds, in order of arrival; empty unless
    /// [`keep_documents`](Options::keep_documents) is on.
    pub fn documents(&self) -> Vec<Stored> {
        self.shared.lock().store.documents().to_vec()
    }

    /// Lets the next `times` bulk requests meet a fault. Faults given earlier come first.
    pub fn fail_requests(&self, times: u64, fault: RequestFault) {
        self.fail_requests_if(times, |_| true, fault);
    }

    /// Lets the next `times` bulk requests for which `matches` holds meet a fault.
    pub fn fail_requests_if(
        &self,
        times: u64,
        matches: impl FnMut(&Request<'_>) -> bool + Send + 'static,
        fault: RequestFault,
    ) {
        self.shared
            .lock()
            .faults
            .add_request(times, Box::new(matches), fault);
    }

    /// Answers the next `times` items for which `matches` holds with an error, and does not store them.
    pub fn fail_items(
        &self,
        times: u64,
        matches: impl FnMut(&Item<'_>) -> bool + Send + 'static,
        fault: ItemFault,
    ) {
        self.shared
            .lock()
            .faults
            .add_item(times, Box::new(matches), fault);
    }

    /// Forgets all faults that are still to come.
    pub fn heal(&self) {
        self.shared.lock().faults = fault::Faults::default();
    }

    /// Closes the port and all connections; what was stored stays for [`reopen`](Self::reopen).
    pub fn close(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.stop);
            running.thread.join().expect("the stand-in does not panic");
        }
    }

    /// Accepts connections again, on the same port, after [`close`](Self::close).
    pub fn reopen(&mut self) -> Result<()> {
        self.close();
        let address = self.address;
        let listener = std::net::TcpListener::bind(address)
            .with_context(|| format!("the stand-in cannot listen on {address}"))?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name("bulk-server".into())
            .spawn(move || {
                runtime.block_on(async {
                    let listener = TcpListener::from_std(listener).expect("a listening socket");
                    tokio::select! {
                        () = accept(listener, &shared) => {}
                        // An error: the sender is dropped, which is how it says stop.
                        _ = stopped => {}
                    }
                });
            })?;
        self.running = Some(Running { stop, thread });
        Ok(())
    }
}

impl Drop for BulkServer {
    fn drop(&mut self) {
        self.close();
    }
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What all connections share.
struct Shared {
    state: Mutex<State>,
    body_max: usize,
    delay: Duration,
    under_way: AtomicUsize,
}

/// A request from when its body is read until it is answered.
struct UnderWay<'s>(&'s AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let _ = self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct State {
    store: store::Store,
    faults: fault::Faults,
}

impl Shared {
    fn begin(&self) -> UnderWay<'_> {
        let _ = self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(&self.under_way)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test's own closure that panicked under the lock has failed that test already.
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: &Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // An accepted connection that is already broken is the client's matter.
                if let Ok((stream, _)) = accepted {
                    let _ = connections.spawn(connection::serve(stream, Arc::clone(shared)));
                }
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
}

#[cfg(test)]
mod tests;
