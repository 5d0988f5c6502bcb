//! Escapes in quoted text, as servers and programs write them into lines: `\"`, `\\`, `\n` and the other
//! letters of C, and bytes as `\x22`.

use memchr::memchr;

/// Writes a text with its escapes resolved over `plain`. What is no known escape stays as it is.
#[cold]
pub(crate) fn resolve(written: &[u8], plain: &mut Vec<u8>) {
    plain.clear();
    let mut rest = written;
    while let Some(at) = memchr(b'\\', rest) {
        plain.extend_from_slice(&rest[..at]);
        let (byte, length) = match &rest[at + 1..] {
            [b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| (byte as char).to_digit(16).expect("a digit") as u8;
                (digit(*high) << 4 | digit(*low), 4)
            }
            [b'n', ..] => (b'\n', 2),
            [b'r', ..] => (b'\r', 2),
            [b't', ..] => (b'\t', 2),
            [b'b', ..] => (0x08, 2),
            [b'f', ..] => (0x0C, 2),
            [b'v', ..] => (0x0B, 2),
            [quote @ (b'"' | b'\\'), ..] => (*quote, 2),
            _ => (b'\\', 1),
        };
        plain.push(byte);
        rest = &rest[at + length..];
    }
    plain.extend_from_slice(rest);
}
