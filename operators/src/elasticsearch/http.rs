//! The HTTP client of a connection: keeps connections open and hands out replies piece by piece. It has
//! TLS only where a host is asked with it.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response, Uri};
use hyper_tls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use native_tls::TlsConnector;
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

/// A silent connection is tested after so long, and again so often; what is on the way may have
/// forgotten it.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

/// Sends requests to the hosts of a connection.
pub(crate) struct Http {
    client: Client<Connect, Full<Bytes>>,
    /// Sent with every request.
    headers: HeaderMap,
}

/// A reply whose body is yet to come.
pub(crate) struct Reply(Response<Incoming>);

/// Why there is no reply, or no more of it.
#[derive(Debug)]
pub(crate) struct NoReply {
    /// There was no connection, so the host has seen nothing of the request.
    pub(crate) unconnected: bool,
    /// In a few words.
    pub(crate) cause: String,
}

impl Http {
    /// A client that sends `headers` with every request, waits for a connection `connect_timeout` at
    /// most, and keeps `idle_max` idle ones to each host. Without `tls` hosts are asked in the clear, and
    /// `https` fails.
    pub(crate) fn new(
        headers: HeaderMap,
        tls: Option<TlsConnector>,
        connect_timeout: Duration,
        idle_max: usize,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(tls.is_none());
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        // Shared by the addresses of a name, so that one that is dead leaves time for the next.
        tcp.set_connect_timeout(Some(connect_timeout));
        let connect = Connect {
            tcp,
            tls,
            within: connect_timeout,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(idle_max)
            .build(connect);
        Self { client, headers }
    }

    /// Sends a request and waits for the head of the reply; the caller bounds how long. Redirects are not
    /// followed: a document must not go to a host that nobody named.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&'static str, &'static str)],
        body: Bytes,
    ) -> Result<Reply, NoReply> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(of_request) = request.headers_mut() {
            of_request.extend(self.headers.clone());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| NoReply::broken(&error))?;
        let reply = self.client.request(request).await;
        reply.map(Reply).map_err(|error| NoReply {
            unconnected: error.is_connect(),
            cause: causes(&error),
        })
    }
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// Bytes of the body, where the reply tells it beforehand.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.0.body().size_hint().exact()
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, NoReply> {
        while let Some(frame) = self.0.frame().await {
            let frame = frame.map_err(|error| NoReply::broken(&error))?;
            // Trailers tell nothing.
            if let Ok(chunk) = frame.into_data() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// The whole body, from hosts that are trusted not to send without end.
    pub(crate) async fn bytes(self) -> Result<Bytes, NoReply> {
        let body = self.0.into_body().collect().await;
        let body = body.map_err(|error| NoReply::broken(&error))?;
        Ok(body.to_bytes())
    }
}

impl NoReply {
    fn broken(error: &(dyn StdError + 'static)) -> Self {
        Self {
            unconnected: false,
            cause: causes(error),
        }
    }
}

/// Opens connections within a time, TLS included.
#[derive(Clone)]
struct Connect {
    tcp: HttpConnector,
    tls: Option<TlsConnector>,
    within: Duration,
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Connecting<T> =
    Pin<Box<dyn Future<Output = Result<T, Box<dyn StdError + Send + Sync>>> + Send>>;

impl Service<Uri> for Connect {
    type Response = Stream;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Connecting<Stream>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, host: Uri) -> Self::Future {
        let connecting: Connecting<Stream> = match &self.tls {
            Some(tls) => {
                let mut https = HttpsConnector::from((self.tcp.clone(), tls.clone().into()));
                Box::pin(https.call(host))
            }
            None => {
                let tcp = self.tcp.call(host);
                Box::pin(async { Ok(MaybeHttpsStream::Http(tcp.await?)) })
            }
        };
        let within = self.within;
        Box::pin(async move {
            match tokio::time::timeout(within, connecting).await {
                Ok(connected) => connected,
                Err(_) => {
                    let text = format!("no connection within {within:?}");
                    Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
                }
            }
        })
    }
}

/// The causes of an error, without what tells nothing more.
fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        // Layers repeat what is below them, and the client's own one tells only that a request failed.
        let tells = !text.starts_with("client error (");
        if tells && !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
        next = cause.source();
    }
    match texts.is_empty() {
        true => "the request failed".to_owned(),
        false => texts.join(": "),
    }
}
