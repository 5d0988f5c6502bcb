//! A name server on the loopback address that answers late or never, for a program that has it in place of
//! the system's: in a mount namespace of its own, since the C library reads `/etc/resolv.conf`.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::scratch::Scratch;
use crate::wait;

/// Where `/etc/resolv.conf` can say that a name server is.
const PORT: u16 = 53;

/// How often it looks whether a late answer is due.
const LOOK: Duration = Duration::from_millis(20);

/// The end of every name that it knows: each is at 127.0.0.1. No such domain exists (RFC 2606).
pub const DOMAIN: &str = "slow.test";

/// A name server. Dropping it ends it.
#[derive(Debug)]
pub struct NameServer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    scratch: Scratch,
}

#[derive(Debug)]
struct Shared {
    /// How long an answer takes; `None` for ever.
    delay: Mutex<Option<Duration>>,
    asked: AtomicU64,
    over: AtomicBool,
}

impl NameServer {
    /// Starts one that does not answer yet. Fails where the tests do not run as root.
    pub fn start() -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a name server of the tests' own needs port {PORT} and a mount namespace: run the tests as root"
        );
        let (socket, address) = bind()?;
        socket.set_read_timeout(Some(LOOK))?;
        let scratch = Scratch::new("name-server")?;
        // One question of 30 s instead of three of 5 s, as dead name servers add up to.
        let resolv = format!("nameserver {address}\noptions timeout:30 attempts:1\n");
        let _ = scratch.file("resolv.conf", &resolv)?;
        let shared = Arc::new(Shared {
            delay: Mutex::new(None),
            asked: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("name-server".into())
            .spawn(move || serving.serve(&socket))?;
        Ok(Self {
            shared,
            thread: Some(thread),
            scratch,
        })
    }

    /// From now on answers take so long; `None`: for ever. Questions that wait are answered by the new rule.
    pub fn answer_after(&self, delay: Option<Duration>) {
        *self.shared.lock() = delay;
    }

    /// How many questions came.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Acquire)
    }

    /// A program that runs `program`, with the same arguments, as the same process, and with this name server
    /// alone.
    pub fn given_to(&self, program: &Path) -> Result<PathBuf> {
        let resolv = self.scratch.path().join("resolv.conf");
        let script = format!(
            "#!/bin/sh\nexec unshare --mount sh -ec 'mount --bind \"$0\" /etc/resolv.conf; exec \"$@\"' {} {} \"$@\"\n",
            resolv.display(),
            program.display()
        );
        let path = self.scratch.file("with-name-server", &script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The whole of 127.0.0.0/8 is this machine, and the first addresses may be taken by the system's own.
fn bind() -> Result<(UdpSocket, Ipv4Addr)> {
    let mut last = None;
    for number in 1..=250 {
        let address = Ipv4Addr::new(127, 53, 0, number);
        match UdpSocket::bind((address, PORT)) {
            Ok(socket) => return Ok((socket, address)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("no address was tried")?)
        .with_context(|| format!("port {PORT} is free nowhere in 127.53.0.0/24"))
}

/// An answer that waits for its time.
struct Waiting {
    came: Instant,
    answer: Vec<u8>,
    to: SocketAddr,
}

impl Shared {
    fn serve(&self, socket: &UdpSocket) {
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut question = [0; 512];
        while !self.over.load(Ordering::Acquire) {
            if let Ok((length, to)) = socket.recv_from(&mut question)
                && let Some(answer) = answer(&question[..length])
            {
                let _ = self.asked.fetch_add(1, Ordering::AcqRel);
                let came = wait::now();
                waiting.push(Waiting { came, answer, to });
            }
            let Some(delay) = *self.lock() else { continue };
            for Waiting { answer, to, .. } in
                waiting.extract_if(.., |one| one.came.elapsed() >= delay)
            {
                // Who asked may be gone.
                let _ = socket.send_to(&answer, to);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to a question (RFC 1035, section 4): the address 127.0.0.1 where one of IPv4 is asked for a
/// name below [`DOMAIN`], else that there is none.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    const HEAD: usize = 12;
    const A: [u8; 2] = [0, 1];
    let mut end = HEAD;
    let mut labels = Vec::new();
    while *question.get(end)? > 0 {
        let length = usize::from(question[end]);
        let label = question.get(end + 1..end + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        end += 1 + length;
    }
    // The name's end, its type, its class; additional records of the question are left out.
    let asked = question.get(HEAD..end + 5)?;
    let kind = question.get(end + 1..end + 3)?;
    let known = labels.join(".").ends_with(DOMAIN);
    let has_address = known && kind == A;
    let mut answer = question[..2].to_vec();
    // A response, recursion available; of a name that does not exist, code 3.
    answer.extend([0x81, if known { 0x80 } else { 0x83 }]);
    answer.extend([0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend(asked);
    if has_address {
        // The name above, type A, class IN, 0 s to live, 4 bytes.
        answer.extend([0xc0, HEAD as u8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u8) -> Vec<u8> {
        let mut question = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(label.len() as u8);
            question.extend(label.as_bytes());
        }
        question.extend([0, 0, kind, 0, 1]);
        question
    }

    #[test]
    fn names_of_the_domain_have_one_address_and_others_do_not_exist() {
        let of = |name, kind| answer(&question(name, kind)).expect("a question");
        let found = of("ES.slow.test", 1);
        assert_eq!(found[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 1]);
        assert!(found.ends_with(&[0, 4, 127, 0, 0, 1]));
        assert_eq!(of("es.slow.test", 28)[..8], [7, 9, 0x81, 0x80, 0, 1, 0, 0]);
        assert_eq!(of("elsewhere.test", 1)[..8], [7, 9, 0x81, 0x83, 0, 1, 0, 0]);
        assert_eq!(answer(&[7, 9, 1, 0]), None);
        let cut = question("es.slow.test", 1);
        assert_eq!(answer(&cut[..cut.len() - 3]), None);
    }
}
