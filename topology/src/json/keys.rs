//! Telling repeated keys of an object, without allocation for objects of up to `Seen::ROOM` members
//! and in linear time for larger ones.

use std::collections::HashSet;

use super::text::unescape_exactly;
use super::{JsonError, Span, for_each_member};

pub(super) const DUPLICATE: &str = "duplicate key";

/// Keys of an object so far, by hash.
pub(super) struct Seen {
    /// One bit per key, chosen by its hash: most new keys are told by a clear bit.
    filter: u64,
    /// Hash in the upper half, position of the key in the lower.
    known: [u64; Seen::ROOM],
    count: usize,
    /// Too many keys, or keys with escapes: all are compared as text at the end.
    uncertain: bool,
}

impl Seen {
    /// Records of logs have up to some dozens of members; comparing this many hashes one by one
    /// still costs less than a table.
    const ROOM: usize = 64;

    #[inline]
    pub(super) fn new() -> Self {
        Self {
            filter: 0,
            known: [0; Seen::ROOM],
            count: 0,
            uncertain: false,
        }
    }

    /// Notes a key of `text` with its [`key_hash`]; returns whether it is known to repeat.
    #[inline]
    pub(super) fn repeats(&mut self, text: &[u8], key: Span, hash: u32, escaped: bool) -> bool {
        if escaped || self.count == Self::ROOM {
            self.uncertain = true;
            return false;
        }
        let bit = 1 << (hash >> 26);
        if self.filter & bit != 0 && self.finds(text, key.of(text), hash) {
            return true;
        }
        self.filter |= bit;
        self.known[self.count] = u64::from(hash) << 32 | u64::from(key.start);
        self.count += 1;
        false
    }

    #[inline(never)]
    fn finds(&self, text: &[u8], key: &[u8], hash: u32) -> bool {
        self.known[..self.count].iter().any(|known| {
            // A key without escapes contains no quote, so a quote behind equal bytes ends it.
            (known >> 32) as u32 == hash
                && text[*known as u32 as usize..]
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.first() == Some(&b'"'))
        })
    }

    /// Decides what `repeats` had to leave open. `start` is where the validated object starts.
    #[inline]
    pub(super) fn finish(self, text: &[u8], start: usize) -> Result<(), JsonError> {
        if self.uncertain {
            check_all(text, start)
        } else {
            Ok(())
        }
    }
}

/// Compares all keys of a validated object as text. The set's hashes are seeded, so that nobody can
/// choose keys that make it slow.
#[cold]
fn check_all(text: &[u8], start: usize) -> Result<(), JsonError> {
    let mut seen = HashSet::new();
    let mut duplicate = None;
    for_each_member(&text[start..], |key, _| {
        if duplicate.is_none() && !seen.insert(unescape_exactly(key)) {
            duplicate = Some(key.as_ptr() as usize - text.as_ptr() as usize - 1);
        }
    });
    match duplicate {
        None => Ok(()),
        Some(at) => Err(JsonError {
            at,
            problem: DUPLICATE,
        }),
    }
}

/// Mixes length, first and last bytes of a key: keys of log records differ there, and whoever finds
/// equal hashes compares the keys.
#[inline]
pub(crate) fn key_hash(key: &[u8]) -> u32 {
    let (head, tail) = if let Some(ends) = ends::<8>(key) {
        (u64::from_le_bytes(ends.0), u64::from_le_bytes(ends.1))
    } else if let Some(ends) = ends::<4>(key) {
        let [head, tail] = [ends.0, ends.1].map(u32::from_le_bytes);
        (head.into(), tail.into())
    } else if let [first, .., last] = key {
        // Of three bytes at most, so that the middle one is all there is between them.
        (
            u64::from(*first) << 8 | u64::from(key[key.len() / 2]),
            (*last).into(),
        )
    } else {
        (key.first().copied().unwrap_or_default().into(), 0)
    };
    let mixed = (head ^ tail.rotate_left(23))
        .wrapping_add(key.len() as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32
}

/// The first and the last `N` bytes, which overlap in a key of less than twice as many.
#[inline]
fn ends<const N: usize>(key: &[u8]) -> Option<([u8; N], [u8; N])> {
    Some((*key.first_chunk()?, *key.last_chunk()?))
}
