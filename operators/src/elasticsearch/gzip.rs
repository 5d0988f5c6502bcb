//! Compression of bulk bodies, on threads beside the lanes: it takes about as long as all else that is
//! done for a body.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use isobar_topology::memory;

/// Of lines of JSON, 4.6 MB, level 1 of this library makes a quarter (it has one fixed code), level 2 a
/// sixth for a quarter more CPU, level 6 a seventh for twice that.
const LEVEL: u32 = 2;

/// Bytes of memory for the compressed form of a body: where it is made, and where it is then kept, at its own
/// length, until it is posted.
pub(crate) const fn memory(body: usize) -> usize {
    2 * size_max(body)
}

/// Longest compressed form of a body, in bytes: what cannot be compressed is stored in blocks with 5
/// bytes before each (RFC 1951, section 3.2.4), between 18 bytes of head and end (RFC 1952). Blocks are
/// of 16 KiB or more, hence there is room.
const fn size_max(body: usize) -> usize {
    body + body / 1024 + 1024
}

/// Compresses a body while the lane goes on with other things. `None` where that cannot be done, as the
/// program ends: then the body goes as it is.
pub(crate) async fn compressed(body: Bytes) -> Option<Bytes> {
    let compressing = tokio::task::spawn_blocking(move || {
        let compressed = compress(&body);
        drop(body);
        // The next body may be compressed on another thread, and each would keep the room of one.
        memory::give_back_of_thread();
        compressed
    });
    compressing.await.ok()
}

fn compress(body: &[u8]) -> Bytes {
    let room = Vec::with_capacity(size_max(body.len()));
    let mut encoder = GzEncoder::new(room, Compression::new(LEVEL));
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    // Not the room itself: most of it is empty, and whoever posts would free it on another thread, which
    // takes the allocator long to give back.
    Bytes::copy_from_slice(&written.expect("memory takes every byte"))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn check(body: &[u8]) -> usize {
        let compressed = compress(body);
        assert!(compressed.len() <= size_max(body.len()), "{}", body.len());
        let mut back = Vec::new();
        let _ = GzDecoder::new(&compressed[..])
            .read_to_end(&mut back)
            .expect("it is sound");
        assert!(back == body);
        compressed.len()
    }

    #[test]
    fn lines_become_much_shorter() {
        let line = "{\"create\":{\"_index\":\"logs\"}}\n{\"level\":\"info\",\"n\":";
        let body: String = (0..10_000).map(|n| format!("{line}{n}}}\n")).collect();
        assert!(check(body.as_bytes()) * 6 < body.len());
        assert!(check(b"") > 0);
    }

    #[test]
    fn what_cannot_be_compressed_has_a_bound_too() {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        });
        assert!(check(&noise.take(3 << 20).collect::<Vec<_>>()) > 3 << 20);
    }

    proptest! {
        #[test]
        fn every_body_comes_back(body in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let _ = check(&body);
        }
    }
}
