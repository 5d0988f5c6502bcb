//! For tests: what a host in their place has to do with a connection.

use std::io::{Read, Write};

/// Reads one request: its head and, apart from it, its body. `None` when the client closes or breaks off.
pub(crate) fn request(stream: &mut impl Read) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
        let digits = rest.split('\r').next();
        digits.expect("a value").parse().expect("a number")
    });
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).expect("text")))
}

/// Answers a request with this JSON.
pub(crate) fn answer(stream: &mut impl Write, body: &str) {
    answer_with(stream, 200, body);
}

/// The same with another status.
pub(crate) fn answer_with(stream: &mut impl Write, status: u16, body: &str) {
    let length = body.len();
    let reply = format!("HTTP/1.1 {status} OK\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(reply.as_bytes()).expect("sent");
}
