//! The HTTP client of a connection: keeps connections open and hands out replies piece by piece. It has
//! TLS only where a host is asked with it.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use hyper::http::Extensions;
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use native_tls::TlsConnector;
use url::Url;

use super::connect::{Answered, Connect, Ending};
use super::frames::Frames;

/// How long an idle connection is kept: less than hosts, proxies and load balancers do (60 s in most), so
/// that few requests meet one that is being closed.
const IDLE: Duration = Duration::from_secs(20);

/// Largest piece of a body on a TLS connection, and what hyper collects before it writes, in bytes: so a
/// connection holds at most twice as much of what is sent, see [`Frames`].
const FRAME_MAX: usize = 64 << 10;

/// Sends requests to the hosts of a connection.
pub(crate) struct Http {
    client: Client<Connect, Frames>,
    /// Sent with every request.
    headers: HeaderMap,
    /// Most idle connections to a host.
    idle_max: usize,
}

/// A reply whose body is yet to come.
pub(crate) struct Reply(Response<Incoming>);

/// Why there is no reply, or no more of it.
#[derive(Debug)]
pub(crate) struct NoReply {
    /// There was no connection, so the host has seen nothing of the request.
    pub(crate) unconnected: bool,
    /// The connection had answered before, and was closed without an answer to this.
    stale: bool,
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
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(idle_max)
            .http1_max_buf_size(FRAME_MAX)
            .build(Connect::new(tls, connect_timeout));
        Self {
            client,
            headers,
            idle_max,
        }
    }

    /// Sends a request and waits for the head of the reply; the caller bounds how long. Redirects are not
    /// followed: a document must not go to a host that nobody named.
    ///
    /// A request whose connection had answered before and closes without an answer is sent again at once:
    /// hosts, and what is on the way to them, close idle connections whenever they like. Every request may be
    /// sent twice, since an answer can get lost.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&'static str, &'static str)],
        body: Bytes,
    ) -> Result<Reply, NoReply> {
        let mut again = self.idle_max;
        loop {
            let asked = self.send_once(method.clone(), url, headers, body.clone());
            match asked.await {
                Err(none) if none.stale && again > 0 => again -= 1,
                asked => return asked,
            }
        }
    }

    async fn send_once(
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
        let frame_max = match url.scheme() {
            "https" => FRAME_MAX,
            _ => usize::MAX,
        };
        let mut request = request
            .body(Frames::new(body, frame_max))
            .map_err(|error| NoReply::broken(&error))?;
        let mut asking = Asking {
            connection: capture_connection(&mut request),
            is_over: false,
        };
        let reply = self.client.request(request).await;
        asking.is_over = true;
        let reply = reply.map_err(|error| NoReply {
            unconnected: error.is_connect(),
            stale: is_stale(&error),
            cause: causes(&error),
        })?;
        if let Some(answered) = reply.extensions().get::<Answered>() {
            answered.set();
        }
        Ok(Reply(reply))
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

    /// The whole body. Fails when it is longer than `max` bytes, whatever its length was said to be.
    pub(crate) async fn bytes(self, max: usize) -> Result<Bytes, NoReply> {
        let body = Limited::new(self.0.into_body(), max).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(NoReply {
                unconnected: false,
                stale: false,
                cause: format!("the answer is longer than {max} bytes, which no answer to this is"),
            }),
            Err(error) => Err(NoReply::broken(&*error)),
        }
    }
}

impl NoReply {
    fn broken(error: &(dyn StdError + 'static)) -> Self {
        Self {
            unconnected: false,
            stale: false,
            cause: causes(error),
        }
    }
}

/// A request that is sent. Dropped before that is over, it takes its connection along.
struct Asking {
    connection: CaptureConnection,
    is_over: bool,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut extensions = Extensions::new();
        if let Some(connected) = &*self.connection.connection_metadata() {
            connected.get_extras(&mut extensions);
        }
        if let Some(ending) = extensions.get::<Ending>() {
            ending.end();
        }
    }
}

/// Tells whether a connection that had answered before was closed without an answer. What cannot be read
/// is an answer.
fn is_stale(error: &hyper_util::client::legacy::Error) -> bool {
    let mut extensions = Extensions::new();
    if let Some(connection) = error.connect_info() {
        connection.get_extras(&mut extensions);
    }
    let is_answer = |error: &hyper::Error| error.is_parse();
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    extensions.get().is_some_and(Answered::get) && !cause.is_some_and(is_answer)
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use tokio::task::{JoinHandle, spawn_blocking};

    use super::*;
    use crate::stand_in::{answer, request};

    /// A host that takes one connection for each number, and on each answers so many requests and closes
    /// it when another one has come, or was closed. Ends with the bodies of all requests.
    fn host(connections: &'static [usize]) -> (Url, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = spawn_blocking(move || {
            let mut bodies = Vec::new();
            for answers in connections {
                let (mut stream, _) = listener.accept().expect("a client");
                for _ in 0..*answers {
                    bodies.extend(body(&mut stream));
                    answer(&mut stream, "{}");
                }
                bodies.extend(body(&mut stream));
            }
            bodies
        });
        let url = format!("http://{address}/").parse();
        (url.expect("an address"), serving)
    }

    fn body(stream: &mut TcpStream) -> Option<String> {
        request(stream).map(|(_, body)| body)
    }

    fn client() -> Http {
        Http::new(HeaderMap::new(), None, Duration::from_secs(10), 2)
    }

    async fn post(http: &Http, host: &Url, body: &'static str) -> Result<Bytes, NoReply> {
        let body = Bytes::from_static(body.as_bytes());
        let reply = http.send(Method::POST, host, &[], body).await?;
        reply.bytes(10).await
    }

    #[tokio::test]
    async fn a_request_that_meets_a_closed_connection_goes_on_another_one() {
        let (url, serving) = host(&[1, 1]);
        let http = client();
        let _ = post(&http, &url, "one").await.expect("answered");
        let _ = post(&http, &url, "two").await.expect("answered");
        drop(http);
        assert_eq!(serving.await.expect("it ends"), ["one", "two", "two"]);
    }

    #[tokio::test]
    async fn a_new_connection_that_is_closed_without_an_answer_says_something() {
        let (url, serving) = host(&[0]);
        let none = post(&client(), &url, "one").await.expect_err("no answer");
        assert!(!none.unconnected, "{none:?}");
        assert_eq!(serving.await.expect("it ends"), ["one"]);
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_before_others_close_it() {
        let (url, serving) = host(&[1, 1]);
        let http = client();
        let _ = post(&http, &url, "one").await.expect("answered");
        tokio::time::pause();
        tokio::time::advance(IDLE + Duration::from_secs(1)).await;
        tokio::time::resume();
        let _ = post(&http, &url, "two").await.expect("answered");
        drop(http);
        assert_eq!(serving.await.expect("it ends"), ["one", "two"]);
    }

    #[tokio::test]
    async fn an_answer_without_a_length_is_read_up_to_a_bound() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let serving = spawn_blocking(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let _ = request(&mut stream);
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).expect("sent");
            // Without end, until the client has enough.
            while stream.write_all(b"4\r\nmore\r\n").is_ok() {}
        });
        let url = url.parse().expect("an address");
        let none = post(&client(), &url, "one").await.expect_err("too long");
        assert!(none.cause.contains("longer than 10 bytes"), "{none:?}");
        serving.await.expect("it ends");
    }
}
