//! The records that a lane remembers, the oldest forgotten first.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};

use isobar_topology::{Ordinals, Record};

use crate::field_path::FieldPath;

/// A key as a hash of 128 bits. It is seeded for each lane, so that nobody can make two keys that are
/// taken for one.
pub(super) type Key = u128;

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    source: u64,
    partition: i32,
    offset: i64,
    ordinals: Ordinals,
}

/// Keys of records that were kept, and which records those are.
#[derive(Debug)]
pub(super) struct Seen {
    window: usize,
    origins: HashMap<Key, Origin>,
    /// In the order in which they came.
    order: VecDeque<Key>,
    seeds: [RandomState; 2],
}

impl Seen {
    pub(super) fn new(window: usize) -> Self {
        Self {
            window,
            origins: HashMap::new(),
            order: VecDeque::new(),
            seeds: [RandomState::new(), RandomState::new()],
        }
    }

    /// Bytes for so many records at most: a table that has just grown is seven sixteenths full, and has
    /// the one of half its size beside it meanwhile; the queue is half full.
    pub(super) fn memory(window: usize) -> usize {
        let entry = (size_of::<(Key, Origin)>() + 1) * 16 / 7 * 3 / 2;
        window * (entry + 2 * size_of::<Key>())
    }

    /// The key of a record by these fields; `None` when it has not all of them.
    #[inline]
    pub(super) fn key(&self, record: &Record<'_>, fields: &[FieldPath]) -> Option<Key> {
        let mut hashers = self.seeds.each_ref().map(RandomState::build_hasher);
        for field in fields {
            let raw = field.get(*record)?;
            for hasher in &mut hashers {
                hasher.write_usize(raw.len());
                hasher.write(raw);
            }
        }
        let [high, low] = hashers.map(|hasher| u128::from(hasher.finish()));
        Some(high << 64 | low)
    }

    /// Whether no other record with this key is remembered; then this one is.
    #[inline]
    pub(super) fn is_first(&mut self, key: Key, record: &Record<'_>) -> bool {
        let origin = Origin {
            source: record.source(),
            partition: record.partition(),
            offset: record.offset(),
            ordinals: record.ordinals(),
        };
        if let Some(first) = self.origins.get(&key) {
            return *first == origin;
        }
        if self.order.len() == self.window
            && let Some(oldest) = self.order.pop_front()
        {
            let _ = self.origins.remove(&oldest);
        }
        self.order.push_back(key);
        let _ = self.origins.insert(key, origin);
        true
    }
}
