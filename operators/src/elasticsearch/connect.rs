//! Opens connections to hosts, with TLS where the address says so, and knows of each whether it has
//! answered a request.

use std::error::Error as StdError;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_tls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use native_tls::TlsConnector;
use tokio::net::TcpStream;
use tower_service::Service;

use super::resolver::Resolver;

/// A silent connection is tested after so long, and again so often; what is on the way may have
/// forgotten it.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;

/// Opens connections within a time, TLS included.
#[derive(Clone)]
pub(crate) struct Connect {
    tcp: HttpConnector<Resolver>,
    tls: Option<TlsConnector>,
    within: Duration,
    resolver: Resolver,
}

impl Connect {
    /// Without `tls` hosts are asked in the clear, and `https` fails.
    pub(crate) fn new(tls: Option<TlsConnector>, within: Duration) -> Self {
        let resolver = Resolver::of_system();
        let mut tcp = HttpConnector::new_with_resolver(resolver.clone());
        tcp.enforce_http(tls.is_none());
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_keepalive_interval(Some(KEEPALIVE));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        // Shared by the addresses of a name, so that one that is dead leaves time for the next.
        tcp.set_connect_timeout(Some(within));
        Self {
            tcp,
            tls,
            within,
            resolver,
        }
    }
}

type Io = MaybeHttpsStream<TokioIo<TcpStream>>;
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
        let name = host.host().unwrap_or_default().to_owned();
        let connecting: Connecting<Io> = match &self.tls {
            Some(tls) => {
                let mut https = HttpsConnector::from((self.tcp.clone(), tls.clone().into()));
                Box::pin(https.call(host))
            }
            None => {
                let tcp = self.tcp.call(host);
                Box::pin(async { Ok(MaybeHttpsStream::Http(tcp.await?)) })
            }
        };
        let (within, resolver) = (self.within, self.resolver.clone());
        Box::pin(async move {
            match tokio::time::timeout(within, connecting).await {
                Ok(connected) => connected.map(Stream::new),
                Err(_) => {
                    let text = match resolver.is_looking_up(&name) {
                        true => {
                            format!("no name server has said within {within:?} where {name} is")
                        }
                        false => format!("no connection within {within:?}"),
                    };
                    Err(io::Error::new(io::ErrorKind::TimedOut, text).into())
                }
            }
        })
    }
}

/// Whether a connection has answered a request; with every reply, and with the errors of the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered(Arc<AtomicBool>);

impl Answered {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Ends a connection whatever its host does. The client lets go of one only when the host has read all that
/// was to be written (`poll_shutdown` in hyper's `h1/io.rs`), and one that is slow or stands still would keep
/// the bodies of all requests that were given up, one for each time that it is tried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending(Arc<Ended>);

#[derive(Debug, Default)]
struct Ended {
    has_ended: AtomicBool,
    /// Of who writes.
    waker: AtomicWaker,
}

impl Ending {
    pub(crate) fn end(&self) {
        self.0.has_ended.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    fn has_ended(&self, context: &Context<'_>) -> bool {
        self.0.waker.register(context.waker());
        self.0.has_ended.load(Ordering::Acquire)
    }
}

/// A connection.
pub(crate) struct Stream {
    io: Io,
    answered: Answered,
    ending: Ending,
}

impl Stream {
    fn new(io: Io) -> Self {
        Self {
            io,
            answered: Answered::default(),
            ending: Ending::default(),
        }
    }

    /// Fails once nobody waits for what is written.
    fn check(&self, context: &Context<'_>) -> io::Result<()> {
        match self.ending.has_ended(context) {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }

    fn io(self: Pin<&mut Self>) -> Pin<&mut Io> {
        Pin::new(&mut self.get_mut().io)
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = self.io.connected();
        connected
            .extra(self.answered.clone())
            .extra(self.ending.clone())
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.io().poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        self.io().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        self.io().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        self.io().poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        self.io().poll_write_vectored(context, buffers)
    }
}
