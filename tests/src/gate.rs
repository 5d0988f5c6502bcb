//! A gate in front of a server, as they stand before search clusters: it ends TLS and lets in whoever sends
//! the right credentials. Both can be changed while requests are under way.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};

/// A certificate for `localhost` that vouches for itself, with its key.
pub struct Shown {
    certificate: X509,
    key: PKey<Private>,
}

/// Passes requests on to one address. Dropping it closes it.
pub struct Gate {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: String,
    state: Mutex<State>,
    passes: Condvar,
    over: AtomicBool,
    turned_away: AtomicU64,
}

struct State {
    acceptor: SslAcceptor,
    /// The value of `authorization` that is let in.
    let_in: String,
    open: Vec<TcpStream>,
    /// Requests that are looked at; the others wait.
    left: u64,
    waiting: usize,
}

impl Shown {
    /// Makes one; `number` tells it from others.
    pub fn make(number: u32) -> Result<Self> {
        let key = PKey::from_rsa(Rsa::generate(2048)?)?;
        let mut name = X509NameBuilder::new()?;
        // Of several of one name OpenSSL may try a wrong one.
        name.append_entry_by_text("CN", &format!("gate {number}"))?;
        let name = name.build();
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_not_before(Asn1Time::from_unix(0)?.as_ref())?;
        builder.set_not_after(Asn1Time::days_from_now(9)?.as_ref())?;
        builder.set_pubkey(&key)?;
        let mut names = SubjectAlternativeName::new();
        let names = names.dns("localhost");
        let names = names.build(&builder.x509v3_context(None, None))?;
        builder.append_extension(names)?;
        builder.sign(&key, MessageDigest::sha256())?;
        let certificate = builder.build();
        Ok(Self { certificate, key })
    }

    /// The certificate, for whoever is to trust it.
    pub fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().expect("it is complete")
    }

    fn acceptor(&self) -> Result<SslAcceptor> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
        acceptor.set_private_key(&self.key)?;
        acceptor.set_certificate(&self.certificate)?;
        Ok(acceptor.build())
    }
}

impl Gate {
    /// Listens on a port of its own, in front of `target` (`host:port`). Looks at no request yet.
    pub fn start(target: &str, shown: &Shown, let_in: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            state: Mutex::new(State {
                acceptor: shown.acceptor()?,
                let_in: let_in.to_owned(),
                open: Vec::new(),
                left: 0,
                waiting: 0,
            }),
            passes: Condvar::new(),
            over: AtomicBool::new(false),
            turned_away: AtomicU64::new(0),
        });
        let accepted = Arc::clone(&shared);
        let accepting = std::thread::Builder::new()
            .name("gate".into())
            .spawn(move || accepted.accept(&listener))?;
        Ok(Self {
            port,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Looks at so many requests more, and lets the others wait.
    pub fn pass(&self, requests: u64) {
        self.shared.lock().left = requests;
        self.shared.passes.notify_all();
    }

    /// Whether every request that comes now waits.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().left == 0
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.shared.lock().waiting
    }

    /// Lets in these credentials from now on, and the ones before no more.
    pub fn let_in(&self, authorization: &str) {
        authorization.clone_into(&mut self.shared.lock().let_in);
    }

    /// Shows this certificate to new connections, and closes those that are open.
    pub fn show(&self, shown: &Shown) -> Result<()> {
        let acceptor = shown.acceptor()?;
        let mut state = self.shared.lock();
        state.acceptor = acceptor;
        close(&mut state);
        Ok(())
    }

    /// Requests that had the wrong credentials.
    pub fn turned_away(&self) -> u64 {
        self.shared.turned_away.load(Ordering::Relaxed)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // Wakes the thread that waits for the next connection.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
        close(&mut self.shared.lock());
        self.pass(u64::MAX);
    }
}

fn close(state: &mut State) {
    for stream in state.open.drain(..) {
        // One that the client has closed already is closed.
        drop(stream.shutdown(Shutdown::Both));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            let Ok(client) = client else { continue };
            let shared = Arc::clone(&self);
            let serving = std::thread::Builder::new().name("let in".into());
            // What ends a connection is the client's to see.
            drop(serving.spawn(move || drop(shared.serve(client))));
        }
    }

    /// Waits until the request may be looked at.
    fn is_right(&self, asked: &[u8]) -> bool {
        let mut state = self.lock();
        state.waiting += 1;
        let waiting = self.passes.wait_while(state, |state| state.left == 0);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.left -= 1;
        let line = format!("authorization: {}\r\n", state.let_in);
        memchr::memmem::find(asked, line.as_bytes()).is_some()
    }

    fn serve(&self, client: TcpStream) -> Result<()> {
        let acceptor = {
            let mut state = self.lock();
            state.open.push(client.try_clone()?);
            state.acceptor.clone()
        };
        let mut client = acceptor.accept(client)?;
        let mut server = TcpStream::connect(&self.target)?;
        while let Some(asked) = read(&mut client)? {
            if self.is_right(&asked) {
                server.write_all(&asked)?;
                let answer = read(&mut server)?.context("no answer")?;
                client.write_all(&answer)?;
            } else {
                let _ = self.turned_away.fetch_add(1, Ordering::Relaxed);
                let body = r#"{"error":{"type":"security_exception","reason":"unable to authenticate"},"status":401}"#;
                let length = body.len();
                write!(
                    client,
                    "HTTP/1.1 401 Unauthorized\r\ncontent-length: {length}\r\n\r\n{body}"
                )?;
            }
        }
        Ok(())
    }
}

/// A message of HTTP that says its length, head and body; `None` at the end.
fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    let mut piece = [0; 16 << 10];
    let mut wanted = usize::MAX;
    while message.len() < wanted {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return match message.is_empty() {
                true => Ok(None),
                false => Err(io::ErrorKind::UnexpectedEof.into()),
            };
        }
        message.extend_from_slice(&piece[..count]);
        let end = memchr::memmem::find(&message, b"\r\n\r\n");
        if let (usize::MAX, Some(end)) = (wanted, end) {
            let head = String::from_utf8_lossy(&message[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
            wanted = end + 4 + length.unwrap_or(0);
        }
    }
    Ok(Some(message))
}
