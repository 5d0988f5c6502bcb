//! A listener with bounds, since the server library has none: so many connections at once, and none
//! that says nothing for long.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use isobar_topology::clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Connections at once; further ones wait until one is closed. A few scrapers, probes and people.
const CONNECTIONS_MAX: usize = 64;
/// A connection on which nothing comes in or goes out for so long is closed. Longer than the usual
/// scrape interval, so that scrapers keep theirs.
const IDLE_MAX: Duration = Duration::from_secs(75);

pub(super) struct Limited {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Limited {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            room: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }
    }
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.expect("the semaphore is never closed");
        // The library's own accept waits out errors such as too many open files.
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            idle: Box::pin(tokio::time::sleep(IDLE_MAX)),
            _room: room,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when it is idle for too long.
pub(super) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

impl Connection {
    /// Passes on what the stream did, and starts the time anew when it did something.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        did: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if did.is_ready() {
            self.idle.as_mut().reset(clock::now() + IDLE_MAX);
            return did;
        }
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(context, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_says_nothing_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut limited = Limited::new(listener);
        let (client, accepted) = tokio::join!(TcpStream::connect(address), limited.accept());
        let (mut client, mut connection) = (client.expect("it listens"), accepted.0);
        client.write_all(b"GET").await.expect("it is open");
        let mut bytes = [0; 8];
        assert_eq!(connection.read(&mut bytes).await.expect("it came"), 3);
        let start = clock::now();
        let idle = connection.read(&mut bytes).await;
        assert_eq!(
            idle.expect_err("nothing comes").kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!((clock::now() - start).as_secs(), IDLE_MAX.as_secs());
    }
}
