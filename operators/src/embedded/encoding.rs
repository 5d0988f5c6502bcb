//! The server's side of `content-encoding`: bodies as they came, to what they are.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// No such encoding is known.
    Unknown,
    /// It is longer than it may be, once it is decoded.
    TooLong,
    /// It is not what it is said to be, or was cut.
    Broken,
}

/// The body itself, of `bytes_max` bytes at most. An encoding that is empty or `identity` is none.
pub fn decode<'b>(
    encoding: &str,
    body: &'b [u8],
    bytes_max: usize,
) -> Result<Cow<'b, [u8]>, Unreadable> {
    let encoding = encoding.trim();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return Ok(body.into());
    }
    if !encoding.eq_ignore_ascii_case("gzip") {
        return Err(Unreadable::Unknown);
    }
    let mut decoded = Vec::new();
    let limit = bytes_max as u64 + 1;
    let read = MultiGzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut decoded);
    match read {
        Ok(_) if decoded.len() > bytes_max => Err(Unreadable::TooLong),
        Ok(_) => Ok(decoded.into()),
        Err(_) => Err(Unreadable::Broken),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn bodies_are_decoded_up_to_their_bound() {
        let body = b"{}\n".repeat(1_000);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&body).expect("memory");
        let gzip = encoder.finish().expect("memory");
        let decoded =
            |encoding, bytes: &[u8], max| decode(encoding, bytes, max).map(Cow::into_owned);
        assert_eq!(decoded("", &body, 1), Ok(body.clone()));
        assert_eq!(decoded("Identity", &body, 1), Ok(body.clone()));
        assert_eq!(decoded("gzip", &gzip, body.len()), Ok(body.clone()));
        let less = body.len() - 1;
        assert_eq!(decoded("gzip", &gzip, less), Err(Unreadable::TooLong));
        assert_eq!(decoded("br", &gzip, 1 << 20), Err(Unreadable::Unknown));
        for broken in [&gzip[..gzip.len() / 2], &body, b""] {
            assert_eq!(decoded("gzip", broken, 1 << 20), Err(Unreadable::Broken));
        }
    }
}
