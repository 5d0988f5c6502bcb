//! A thread that posts bodies over one connection, one at a time, and counts what was stored.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

/// As the product's default: bodies under way.
const BODIES: usize = 3;

/// The thread.
pub struct Poster {
    bodies: SyncSender<Vec<u8>>,
    /// Posted bodies, emptied.
    spare: Receiver<Vec<u8>>,
    thread: JoinHandle<Result<u64>>,
}

impl Poster {
    pub fn start(address: &str) -> Self {
        let address = address.to_owned();
        let (bodies, to_post) = sync_channel::<Vec<u8>>(BODIES);
        let (posted, spare) = sync_channel(BODIES + 1);
        let thread = std::thread::spawn(move || {
            let connection = TcpStream::connect(&address)?;
            connection.set_nodelay(true)?;
            let mut connection = BufReader::new(connection);
            let mut stored = 0;
            for mut body in to_post {
                stored += post(&mut connection, &address, &body)?;
                body.clear();
                let _ = posted.try_send(body);
            }
            Ok(stored)
        });
        Self {
            bodies,
            spare,
            thread,
        }
    }

    /// Takes what is in the body, which is empty then.
    pub fn send(&self, body: &mut Vec<u8>) -> Result<()> {
        if body.is_empty() {
            return Ok(());
        }
        let next = self.spare.try_recv().unwrap_or_default();
        let full = std::mem::replace(body, next);
        self.bodies.send(full).ok().context("posting failed")
    }

    /// Returns how many documents were stored.
    pub fn finish(self) -> Result<u64> {
        drop(self.bodies);
        self.thread.join().expect("it does not panic")
    }
}

fn post(connection: &mut BufReader<TcpStream>, address: &str, body: &[u8]) -> Result<u64> {
    let head = format!(
        "POST /logs/_bulk?filter_path=errors,items.*.status,items.*.error HTTP/1.1\r\nhost: {address}\r\n\
         content-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.get_mut().write_all(head.as_bytes())?;
    connection.get_mut().write_all(body)?;
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        let _ = connection.read_line(&mut line)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut reply = vec![0; length];
    connection.read_exact(&mut reply)?;
    Ok(memchr::memmem::find_iter(&reply, b"\"status\":201").count() as u64)
}
