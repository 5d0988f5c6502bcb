//! The document id that follows from where a record comes from, so that a record that is sent again is
//! found and not stored twice.
//!
//! The format can never change: documents that are in an index would be indexed again. A new one gets
//! another version character.

use isobar_topology::Ordinals;

/// What is first in each id: the version of the format.
const VERSION: u8 = b'1';

/// Digits for 6 bits each, in the order of their bytes: ids sort as the numbers in them do, and need no
/// escapes in JSON and URLs.
const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// Digits of a timestamp in ms: up to the year 572,000, so that times in µs that were taken for ms have
/// room too.
const TIMESTAMP: usize = 9;
const TIMESTAMP_MAX: i64 = (1 << (6 * TIMESTAMP)) - 1;
/// Digits of the hash of cluster, topic and topic id (64 bits).
const SOURCE: usize = 11;
/// Digits of a partition (31 bits) and of each number of a part (32 bits).
const SMALL: usize = 6;
/// Digits of an offset (63 bits).
const OFFSET: usize = 11;

const LENGTH: usize = 1 + TIMESTAMP + SOURCE + SMALL + OFFSET;

/// Longest id in bytes, and a bound for other formats to come: all levels of parts fit.
const LENGTH_MAX: usize = 64;
const _: () = assert!(LENGTH + Ordinals::DEPTH_MAX * SMALL <= LENGTH_MAX);

/// The parts of ids that all records of a partition share.
#[derive(Clone, Debug)]
pub(crate) struct SourceId {
    template: [u8; LENGTH],
}

impl SourceId {
    /// For records of this partition; `source` is the hash of cluster, topic and topic id.
    pub(crate) fn new(source: u64, partition: i32) -> Self {
        let mut template = [VERSION; LENGTH];
        let (_, rest) = template.split_at_mut(1 + TIMESTAMP);
        let (hash, rest) = rest.split_at_mut(SOURCE);
        put(hash, source);
        put(&mut rest[..SMALL], u64::from(partition.max(0) as u32));
        Self { template }
    }

    /// The hash of cluster, topic and topic id as it stands in each id.
    pub(crate) fn source(&self) -> &[u8] {
        &self.template[1 + TIMESTAMP..][..SOURCE]
    }

    /// Appends the id of a record: its own timestamp in ms since 1970 (−1 and other times that no
    /// record can have become the nearest possible one; the rest of the id tells records apart), its
    /// offset, and for a part of a split record its numbers, the outermost first.
    #[inline]
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        timestamp: i64,
        offset: i64,
        ordinals: impl IntoIterator<Item = u32>,
    ) {
        let mut id = self.template;
        put(
            &mut id[1..1 + TIMESTAMP],
            timestamp.clamp(0, TIMESTAMP_MAX) as u64,
        );
        put(&mut id[LENGTH - OFFSET..], offset.max(0) as u64);
        out.extend_from_slice(&id);
        for ordinal in ordinals {
            let mut digits = [0; SMALL];
            put(&mut digits, u64::from(ordinal));
            out.extend_from_slice(&digits);
        }
    }
}

/// Writes a number into all of `digits`, the highest first.
#[inline]
fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number & 63) as usize];
        number >>= 6;
    }
    debug_assert_eq!(number, 0, "the number has room");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(source: u64, partition: i32, timestamp: i64, offset: i64, child: Option<u32>) -> String {
        let mut out = Vec::new();
        SourceId::new(source, partition).write(&mut out, timestamp, offset, child);
        String::from_utf8(out).expect("the digits are ASCII")
    }

    /// Documents with these ids are in people's indices: a change here stores them twice.
    #[test]
    fn ids_never_change() {
        for (source, partition, timestamp, offset, child, expected) in [
            (0, 0, 0, 0, None, "1-------------------------------------"),
            (
                0x0123_4567_89AB_CDEF,
                3,
                1_767_225_600_000,
                123_456_789,
                None,
                "1--OhqqeV--3YGLT8ewrj-----2------6LwoK",
            ),
            (
                u64::MAX,
                i32::MAX,
                i64::MAX,
                i64::MAX,
                Some(u32::MAX),
                "1zzzzzzzzzEzzzzzzzzzz0zzzzz6zzzzzzzzzz2zzzzz",
            ),
            (
                7,
                12,
                -1,
                41,
                Some(2),
                "1-------------------6-----B----------d-----1",
            ),
        ] {
            assert_eq!(
                id(source, partition, timestamp, offset, child),
                expected,
                "{source} {partition} {timestamp} {offset} {child:?}"
            );
        }
    }

    #[test]
    fn parts_of_parts_have_an_id_of_their_own() {
        let write = |ordinals: &[u32]| {
            let mut out = Vec::new();
            SourceId::new(7, 12).write(&mut out, -1, 41, ordinals.iter().copied());
            String::from_utf8(out).expect("the digits are ASCII")
        };
        let golden = "1-------------------6-----B----------d-----1-----0-----/-----2";
        let deepest = write(&[2, 1, 0, 3]);
        assert_eq!(deepest, golden.replace('/', "-"));
        assert!(deepest.len() <= LENGTH_MAX && deepest.starts_with(&write(&[2, 1])));
    }

    #[test]
    fn the_origin_names_the_source_as_the_id_does() {
        let source = SourceId::new(99, 1);
        let whole = id(99, 1, 5, 6, None);
        assert_eq!(&whole.as_bytes()[10..21], source.source());
    }

    proptest! {
        /// Ids sort by time, then source, partition, offset and child, so different records of one time
        /// never share an id.
        #[test]
        fn ids_sort_as_their_parts_do(
            a in (0i64..=TIMESTAMP_MAX, any::<u64>(), 0..=i32::MAX, 0..=i64::MAX, any::<Option<u32>>()),
            b in (0i64..=TIMESTAMP_MAX, any::<u64>(), 0..=i32::MAX, 0..=i64::MAX, any::<Option<u32>>()),
            same in 0usize..5,
        ) {
            // The first parts are made equal, so that later ones come to decide.
            let b = (
                if same > 0 { a.0 } else { b.0 },
                if same > 1 { a.1 } else { b.1 },
                if same > 2 { a.2 } else { b.2 },
                if same > 3 { a.3 } else { b.3 },
                b.4,
            );
            let text = |r: (i64, u64, i32, i64, Option<u32>)| id(r.1, r.2, r.0, r.3, r.4);
            prop_assert_eq!(a.cmp(&b), text(a).cmp(&text(b)));
        }
    }
}
