//! HTTP/1.1 over one connection, as far as bulk clients use it: keep-alive, declared and chunked
//! bodies, `Expect: 100-continue`. Written by hand since a framework costs CPU that would be counted
//! against what is measured beside it.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use isobar_operators::embedded::encoding::{self, Unreadable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;
use super::answer::{self, Answer, Cut};

/// The longest request line and headers that are read, in bytes.
const HEAD_MAX: usize = 64 << 10;

/// How much is read at once while the length of a request is not known.
const READ_SIZE: usize = 64 << 10;

/// Serves requests until the client closes, breaks the protocol, or a fault cuts the connection.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // A client that goes away in the middle is its own matter: tests look at what was stored.
    drop(serve_all(stream, &shared).await);
}

async fn serve_all(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection {
        stream,
        received: Vec::new(),
    };
    while let Some(head_length) = connection.read_head().await? {
        let head = Head::parse(&connection.received[..head_length])?;
        if head.length.is_some_and(|length| length > shared.body_max) {
            return connection
                .refuse_and_close(&Answer::error(413, "", ""))
                .await;
        }
        if head.expects_continue {
            connection
                .stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await?;
        }
        let body = match head.length {
            Some(length) => {
                connection.fill(head_length + length).await?;
                Body::InPlace(length)
            }
            None => match connection.read_chunks(head_length, shared.body_max).await? {
                Some(chunks) => chunks,
                None => {
                    return connection
                        .refuse_and_close(&Answer::error(413, "", ""))
                        .await;
                }
            },
        };
        let (bytes, used) = match &body {
            Body::InPlace(length) => (
                &connection.received[head_length..head_length + length],
                head_length + length,
            ),
            Body::Joined { bytes, used } => (&bytes[..], *used),
        };
        let _under_way = shared.begin();
        let answer = match encoding::decode(&head.encoding, bytes, shared.body_max) {
            Ok(body) => {
                if matches!(body, Cow::Owned(_)) {
                    shared.lock().store.counted.compressed += 1;
                }
                answer::answer(shared, &head.method, &head.path, &head.query, &body)
            }
            Err(Unreadable::Unknown) => Answer::error(415, "", ""),
            Err(Unreadable::TooLong) => Answer::error(413, "", ""),
            // As real servers do: they close without a word.
            Err(Unreadable::Broken) => return Ok(()),
        };
        drop(connection.received.drain(..used));
        if !answer.delay.is_zero() {
            tokio::time::sleep(answer.delay).await;
        }
        if answer.cut == Cut::BeforeReply {
            return Ok(());
        }
        connection.write(&answer, head.method == "HEAD").await?;
        if head.closes || answer.cut != Cut::No {
            return Ok(());
        }
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    /// What has come and is not answered yet. Keeps its size, so that a stream of bulk bodies is read
    /// without allocating.
    received: Vec<u8>,
}

enum Body {
    /// The bytes after the head, so many.
    InPlace(usize),
    /// Joined from chunks that end at `used` in what was received.
    Joined { bytes: Vec<u8>, used: usize },
}

impl Connection {
    /// Reads to the end of the headers and returns their length; nothing if the client has closed.
    async fn read_head(&mut self) -> io::Result<Option<usize>> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.received, b"\r\n\r\n") {
                return Ok(Some(end + 4));
            }
            if self.received.len() > HEAD_MAX {
                return Err(invalid("the headers are too long"));
            }
            self.received.reserve(READ_SIZE);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return if self.received.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads until so many bytes have come.
    async fn fill(&mut self, length: usize) -> io::Result<()> {
        self.received
            .reserve(length.saturating_sub(self.received.len()));
        while self.received.len() < length {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Reads a chunked body; nothing if it is longer than `body_max`.
    async fn read_chunks(
        &mut self,
        head_length: usize,
        body_max: usize,
    ) -> io::Result<Option<Body>> {
        let (mut bytes, mut used) = (Vec::new(), head_length);
        loop {
            let line_end = loop {
                if let Some(end) = memchr::memmem::find(&self.received[used..], b"\r\n") {
                    break used + end;
                }
                self.fill(self.received.len() + 1).await?;
            };
            let line = std::str::from_utf8(&self.received[used..line_end])
                .map_err(|_| invalid("chunk size"))?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).map_err(|_| invalid("chunk size"))?;
            let start = line_end + 2;
            if bytes.len().saturating_add(size) > body_max {
                return Ok(None);
            }
            self.fill(start + size + 2).await?;
            bytes.extend_from_slice(&self.received[start..start + size]);
            used = start + size + 2;
            if size == 0 {
                return Ok(Some(Body::Joined { bytes, used }));
            }
        }
    }

    async fn write(&mut self, answer: &Answer, head_only: bool) -> io::Result<()> {
        let mut out = Vec::with_capacity(answer.body.len() + 256);
        let head = format!(
            "HTTP/1.1 {} {}\r\nX-elastic-product: Elasticsearch\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
            answer.status,
            reason_phrase(answer.status),
            answer.content_type,
            answer.body.len()
        );
        out.extend_from_slice(head.as_bytes());
        if !head_only {
            out.extend_from_slice(&answer.body);
        }
        let end = if answer.cut == Cut::WithinReply {
            out.len() - answer.body.len() / 2 - 1
        } else {
            out.len()
        };
        self.stream.write_all(&out[..end]).await
    }

    /// Answers before the body is read, as real servers do, and reads on until the client has closed:
    /// closing with unread data would reset the connection and could lose the answer.
    async fn refuse_and_close(&mut self, answer: &Answer) -> io::Result<()> {
        self.write(answer, false).await?;
        self.stream.shutdown().await?;
        let mut discarded = vec![0; READ_SIZE];
        while self.stream.read(&mut discarded).await? > 0 {}
        Ok(())
    }
}

#[derive(Debug)]
struct Head {
    method: String,
    path: String,
    query: String,
    /// The declared length of the body; absent when it is chunked.
    length: Option<usize>,
    expects_continue: bool,
    /// Of the body; empty for none.
    encoding: String,
    closes: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|_| invalid("headers that are not UTF-8"))?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(invalid("no request line"));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut head = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            length: Some(0),
            expects_continue: false,
            encoding: String::new(),
            closes: words.next() == Some("HTTP/1.0"),
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    head.length = Some(value.parse().map_err(|_| invalid("content-length"))?)
                }
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => head.length = None,
                "content-encoding" => head.encoding = value.to_owned(),
                "expect" => head.expects_continue = value.eq_ignore_ascii_case("100-continue"),
                "connection" => head.closes |= value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        Ok(head)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        413 => "Request Entity Too Large",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        // The phrase means nothing to clients; a space after the status is all that HTTP asks for.
        _ => "Status",
    }
}
