//! A small blocking HTTP/1.1 client for tests: one connection per request, plain text only. It exists so
//! that what checks the program shares no code with it.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// An answer as it came.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status line and headers, as text.
    pub head: String,
    /// The body, without its transfer coding.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as text, with replacement characters where it is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; fails with the body's beginning when the status is not 2xx or it is no JSON.
    pub fn json(&self) -> Result<Value> {
        let beginning: String = self.text().chars().take(500).collect();
        if !(200..300).contains(&self.status) {
            bail!("status {}: {beginning}", self.status);
        }
        let parsed = std::str::from_utf8(&self.body).map(str::parse);
        let value = parsed.with_context(|| format!("not UTF-8: {beginning}"))?;
        value.with_context(|| format!("not JSON: {beginning}"))
    }
}

/// Sends a request to `address` (`host:port`, or `user:password@host:port`) and reads the answer to its end. `body` is its content
/// type and its bytes. Fails after `limit` without progress on the connection.
pub fn request(
    address: &str,
    method: &str,
    path: &str,
    body: Option<(&str, &[u8])>,
    limit: Duration,
) -> Result<Response> {
    exchange(address, method, path, &[], body, limit)
        .with_context(|| format!("{method} http://{address}{path}"))
}

/// As [`request`] without a body, with headers by name and value.
pub fn request_with(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    limit: Duration,
) -> Result<Response> {
    exchange(address, method, path, headers, None, limit)
        .with_context(|| format!("{method} http://{address}{path}"))
}

/// As [`request_with`], with a document.
pub fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    document: &Value,
    limit: Duration,
) -> Result<Response> {
    let text = document.to_string();
    let body = ("application/json", text.as_bytes());
    send_body(address, method, path, headers, body, limit)
}

/// As [`send`], with a body of any kind: its content type and its bytes.
pub fn send_body(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: (&str, &[u8]),
    limit: Duration,
) -> Result<Response> {
    exchange(address, method, path, headers, Some(body), limit)
        .with_context(|| format!("{method} http://{address}{path}"))
}

/// Gets a path, within 10 seconds.
pub fn get(address: &str, path: &str) -> Result<Response> {
    request(address, "GET", path, None, Duration::from_secs(10))
}

fn exchange(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<(&str, &[u8])>,
    limit: Duration,
) -> Result<Response> {
    let (user, address) = match address.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, address),
    };
    let target = address.to_socket_addrs()?.next().context("no such host")?;
    let mut stream = TcpStream::connect_timeout(&target, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    if let Some(user) = user {
        head += &format!("authorization: Basic {}\r\n", base64(user.as_bytes()));
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some((content_type, bytes)) = body {
        head += &format!(
            "content-type: {content_type}\r\ncontent-length: {}\r\n",
            bytes.len()
        );
    }
    head += "\r\n";
    stream.write_all(head.as_bytes())?;
    if let Some((_, bytes)) = body {
        stream.write_all(bytes)?;
    }
    let mut received = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    // Elasticsearch 9 leaves the connection open after it has refused a body, so a declared length counts.
    while !is_complete(&received) {
        match stream.read(&mut chunk)? {
            0 => break,
            length => received.extend_from_slice(&chunk[..length]),
        }
    }
    parse(&received)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = 0_u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(*chunk.get(place).unwrap_or(&0));
        }
        for place in 0..4 {
            text.push(match place <= chunk.len() {
                true => LETTERS[(bits >> (18 - 6 * place) & 63) as usize] as char,
                false => '=',
            });
        }
    }
    text
}

/// Whether a body of the declared length is there.
fn is_complete(received: &[u8]) -> bool {
    let Some(split) = find(received, b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&received[..split]);
    let declared: Option<usize> = header(&head, "content-length").and_then(|n| n.parse().ok());
    declared.is_some_and(|declared| received.len() >= split + 4 + declared)
}

fn parse(received: &[u8]) -> Result<Response> {
    let split = find(received, b"\r\n\r\n").context("the answer has no end of headers")?;
    let head = String::from_utf8_lossy(&received[..split]).into_owned();
    let status = head
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("not HTTP: {head}"))?;
    let rest = &received[split + 4..];
    let chunked =
        header(&head, "transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
    let body = if chunked {
        unchunk(rest)?
    } else {
        let declared: Option<usize> = header(&head, "content-length").and_then(|n| n.parse().ok());
        if declared.is_some_and(|declared| declared != rest.len()) {
            bail!("the answer was cut: {} of {declared:?} bytes", rest.len());
        }
        rest.to_vec()
    };
    Ok(Response { status, head, body })
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(rest.len());
    loop {
        let line_end = find(rest, b"\r\n").context("the answer was cut before a chunk")?;
        let line = std::str::from_utf8(&rest[..line_end])?;
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
        let start = line_end + 2;
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(
            rest.get(start..start + size)
                .context("the answer was cut in a chunk")?,
        );
        rest = rest
            .get(start + size + 2..)
            .context("the answer was cut after a chunk")?;
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_headers_found_in_any_case() {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n";
        let response = parse(answer).expect("it is complete");
        assert_eq!((response.status, response.text().as_str()), (200, "abcd"));
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    }

    #[test]
    fn users_and_passwords_are_encoded() {
        for (text, encoded) in [("a:b", "YTpi"), ("ab:c", "YWI6Yw=="), ("ab:cd", "YWI6Y2Q=")] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        let _ = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc")
            .expect_err("two bytes are missing");
        let _ = parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc")
            .expect_err("cut");
        let _ = parse(b"HTTP/1.1 200 OK\r\n").expect_err("no end of headers");
    }
}
