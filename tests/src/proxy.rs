//! A TCP proxy on the loopback address: connections through it can be slowed, silenced and cut, as a
//! bad network does it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait;

/// How much is read at once, in bytes. Small, so that a cut also falls between parts of a message.
const CHUNK: usize = 16 << 10;

/// How often a silenced connection looks whether it may go on.
const LOOK: Duration = Duration::from_millis(20);

/// Passes connections on to one address. Dropping it closes all of them.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    /// [`PASSES`], 0 for silence, or bytes per second of each direction of each connection.
    pace: AtomicU64,
    /// Bytes that had to keep to a pace.
    slowed: AtomicU64,
    over: AtomicBool,
    connections: Mutex<Connections>,
}

/// Both ends of those that are open, by number.
#[derive(Debug, Default)]
struct Connections {
    opened: u64,
    open: Vec<(u64, [TcpStream; 2])>,
}

/// No limit.
const PASSES: u64 = u64::MAX;

impl Proxy {
    /// Listens on a port of its own for connections to `target` (`host:port`), which need not be there.
    pub fn start(target: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            pace: AtomicU64::new(PASSES),
            slowed: AtomicU64::new(0),
            over: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let accepted = Arc::clone(&shared);
        let accepting = std::thread::Builder::new()
            .name("proxy".into())
            .spawn(move || accepted.accept(&listener))?;
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Where it listens: `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Lets everything pass as it comes.
    pub fn pass(&self) {
        self.shared.pace.store(PASSES, Ordering::Release);
    }

    /// Lets pass only so many bytes per second, at least 1, of each direction of each connection.
    pub fn slow(&self, bytes_per_second: u64) {
        let pace = bytes_per_second.max(1);
        self.shared.pace.store(pace, Ordering::Release);
    }

    /// How many bytes have been slowed so far.
    pub fn slowed(&self) -> u64 {
        self.shared.slowed.load(Ordering::Relaxed)
    }

    /// Lets nothing pass; connections stay open.
    pub fn silence(&self) {
        self.shared.pace.store(0, Ordering::Release);
    }

    /// Closes every connection that is open, wherever its messages are, and returns how many there were.
    /// New ones are taken.
    pub fn cut(&self) -> usize {
        self.shared.cut()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        self.pass();
        // Wakes the thread that waits for the next connection.
        drop(TcpStream::connect(&self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
        let _ = self.shared.cut();
    }
}

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            // Nobody there is what the client is to see: its connection closes.
            let Ok(client) = client else { continue };
            if let Ok(server) = TcpStream::connect(&self.target) {
                drop(self.connect(client, server));
            }
        }
    }

    /// Passes both directions on, each on a thread of its own.
    fn connect(self: &Arc<Self>, client: TcpStream, server: TcpStream) -> Result<()> {
        let ends = [client, server];
        let number = {
            let mut connections = self.lock();
            connections.opened += 1;
            let number = connections.opened;
            let kept = [ends[0].try_clone()?, ends[1].try_clone()?];
            connections.open.push((number, kept));
            number
        };
        for (from, to) in [(0, 1), (1, 0)] {
            let (from, to) = (ends[from].try_clone()?, ends[to].try_clone()?);
            to.set_nodelay(true)?;
            let shared = Arc::clone(self);
            let pass = std::thread::Builder::new().name("proxied".into());
            drop(pass.spawn(move || {
                shared.pass_on(&from, &to);
                // One end that closes closes the other, in both directions.
                let _ = shared.close(|open| open == number);
            })?);
        }
        Ok(())
    }

    fn pass_on(&self, mut from: &TcpStream, mut to: &TcpStream) {
        let mut chunk = vec![0; CHUNK];
        loop {
            let pace = self.pace.load(Ordering::Acquire);
            let most = usize::try_from(pace / 20).unwrap_or(CHUNK).clamp(1, CHUNK);
            let Ok(length @ 1..) = from.read(&mut chunk[..most]) else {
                return;
            };
            if pace < PASSES {
                let seconds = length as f64 / pace.max(1) as f64;
                wait::rest(Duration::from_secs_f64(seconds.min(1.0)));
                let _ = self.slowed.fetch_add(length as u64, Ordering::Relaxed);
            }
            // What came before the silence waits, too.
            while self.pace.load(Ordering::Acquire) == 0 {
                wait::rest(LOOK);
            }
            if to.write_all(&chunk[..length]).is_err() {
                return;
            }
        }
    }

    fn cut(&self) -> usize {
        self.close(|_| true)
    }

    fn close(&self, which: impl Fn(u64) -> bool) -> usize {
        let mut connections = self.lock();
        let closed = connections
            .open
            .extract_if(.., |(number, _)| which(*number));
        let mut count = 0;
        for (_, ends) in closed {
            count += 1;
            for end in ends {
                // One that is closed already is as it should be.
                drop(end.shutdown(Shutdown::Both));
            }
        }
        count
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// Says back what it hears, one connection after the other.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let _ = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut answer = stream.try_clone().expect("a second handle");
                drop(std::io::copy(&mut stream, &mut answer));
            }
        });
        address
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time-out");
        stream
    }

    fn say(stream: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut heard = vec![0; text.len()];
        stream.read_exact(&mut heard)?;
        Ok(heard)
    }

    #[test]
    fn what_is_said_passes_and_a_cut_ends_it() {
        let proxy = Proxy::start(&echo()).expect("it listens");
        let mut stream = connect(&proxy);
        assert_eq!(say(&mut stream, b"hello").expect("it passes"), b"hello");
        assert_eq!(proxy.cut(), 1);
        let _ = say(&mut stream, b"hello").expect_err("it is cut");
        assert_eq!(proxy.cut(), 0);
        let mut next = connect(&proxy);
        assert_eq!(say(&mut next, b"again").expect("it passes"), b"again");
    }

    #[test]
    fn a_silent_connection_goes_on_when_it_may() {
        let proxy = Proxy::start(&echo()).expect("it listens");
        let mut stream = connect(&proxy);
        assert_eq!(say(&mut stream, b"one").expect("it passes"), b"one");
        proxy.silence();
        stream.write_all(b"two").expect("it is open");
        let short = Some(Duration::from_millis(100));
        stream.set_read_timeout(short).expect("a time-out");
        let mut heard = [0; 3];
        let error = stream.read_exact(&mut heard).expect_err("nothing passes");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        proxy.pass();
        stream.set_read_timeout(Some(SOON)).expect("a time-out");
        stream.read_exact(&mut heard).expect("it goes on");
        assert_eq!(&heard, b"two");
    }

    #[test]
    fn a_slow_connection_takes_its_time() {
        let proxy = Proxy::start(&echo()).expect("it listens");
        let mut stream = connect(&proxy);
        proxy.slow(10_000);
        let began = wait::now();
        assert_eq!(proxy.slowed(), 0);
        let said = vec![7; 2_000];
        assert_eq!(say(&mut stream, &said).expect("it passes"), said);
        // 200 ms there, and on the way back what came last is still to pass.
        assert!(began.elapsed() >= Duration::from_millis(200));
        assert!(proxy.slowed() >= 2_000, "{}", proxy.slowed());
    }

    #[test]
    fn nobody_there_closes_the_connection() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("it is bound").to_string();
        drop(free);
        let proxy = Proxy::start(&address).expect("it listens");
        let mut stream = connect(&proxy);
        let _ = say(&mut stream, b"hello").expect_err("nobody is there");
    }
}
