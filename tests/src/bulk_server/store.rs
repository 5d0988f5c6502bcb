//! What the stand-in remembers: hashes of ids, counts, and documents if it is told to.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use isobar_operators::embedded::index_pattern;
use serde_json::{Value, json};

use super::Options;
use super::ages::Ages;

/// What the stand-in has counted since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Bulk requests whose body was read, whatever was answered.
    pub requests: u64,
    /// Bytes of their bodies, decoded.
    pub bytes: u64,
    /// Requests of any kind whose body came compressed.
    pub compressed: u64,
    /// Items that reached the store, so not those of requests that met a fault before it.
    pub items: u64,
    /// Documents held: each id once.
    pub documents: u64,
    /// Items whose id was held already: answered 409 for `create`, 200 for `index`.
    pub duplicates: u64,
    /// Items answered with a scripted error.
    pub faulted_items: u64,
    /// Items answered with an error for what they were, such as a document that is no object.
    pub rejected_items: u64,
    /// Requests that met a scripted fault.
    pub faulted_requests: u64,
}

impl Statistics {
    /// The same as JSON, with the same names, as `GET /_stats` gives it.
    pub fn to_json(self) -> Value {
        json!({
            "requests": self.requests,
            "bytes": self.bytes,
            "compressed": self.compressed,
            "items": self.items,
            "documents": self.documents,
            "duplicates": self.duplicates,
            "faulted_items": self.faulted_items,
            "rejected_items": self.rejected_items,
            "faulted_requests": self.faulted_requests,
        })
    }
}

/// A document that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its index.
    pub index: String,
    /// Its id.
    pub id: String,
    /// The document as it was sent.
    pub source: Vec<u8>,
}

/// The memory of the stand-in.
pub(super) struct Store {
    pub(super) counted: Statistics,
    keep_ids: bool,
    keep_documents: bool,
    ages: Option<Ages>,
    ids: HashSet<u128, BuildHasherDefault<AlreadyHashed>>,
    /// Documents per index, in order of first use. Tests use few indices, mostly the same one again.
    indices: Vec<(String, u64)>,
    documents: Vec<Stored>,
}

impl Store {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            counted: Statistics::default(),
            keep_ids: options.keep_ids,
            keep_documents: options.keep_documents,
            ages: options.count_ages.then(Ages::default),
            ids: HashSet::default(),
            indices: Vec::new(),
            documents: Vec::new(),
        }
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.counted
    }

    pub(super) fn documents(&self) -> &[Stored] {
        &self.documents
    }

    /// How old documents were when they came, see [`Ages`]; null unless they are counted.
    pub(super) fn ages(&self) -> Value {
        self.ages.as_ref().map_or(Value::Null, Ages::to_json)
    }

    /// Counts ages anew, of records from now on.
    pub(super) fn forget_ages(&mut self) {
        self.ages = self.ages.take().map(|_| Ages::from_now());
    }

    /// Whether an index has held a document.
    pub(super) fn has_index(&self, name: &str) -> bool {
        self.indices
            .iter()
            .any(|(index, _)| index_pattern::names(name, index))
    }

    /// Documents in the indices that a comma-separated list of names and patterns names.
    pub(super) fn count(&self, names: &str) -> u64 {
        self.indices
            .iter()
            .filter(|(index, _)| index_pattern::names(names, index))
            .map(|(_, count)| count)
            .sum()
    }

    /// Stores a document and tells whether it is new. With `replace`, one that is there is replaced.
    pub(super) fn put(&mut self, index: &str, id: &str, source: &[u8], replace: bool) -> bool {
        self.counted.items += 1;
        if self.keep_ids && !self.ids.insert(hash(index, id)) {
            self.counted.duplicates += 1;
            if replace && self.keep_documents {
                let same = |stored: &&mut Stored| stored.index == index && stored.id == id;
                if let Some(stored) = self.documents.iter_mut().find(same) {
                    stored.source = source.to_vec();
                }
            }
            return false;
        }
        self.counted.documents += 1;
        if let Some(ages) = &mut self.ages {
            ages.count(source);
        }
        match self
            .indices
            .iter_mut()
            .rev()
            .find(|(name, _)| name == index)
        {
            Some((_, count)) => *count += 1,
            None => self.indices.push((index.to_owned(), 1)),
        }
        if self.keep_documents {
            self.documents.push(Stored {
                index: index.to_owned(),
                id: id.to_owned(),
                source: source.to_vec(),
            });
        }
        true
    }

    /// Removes a document and tells whether it was there.
    pub(super) fn delete(&mut self, index: &str, id: &str) -> bool {
        self.counted.items += 1;
        if !self.ids.remove(&hash(index, id)) {
            return false;
        }
        self.counted.documents -= 1;
        if let Some((_, count)) = self.indices.iter_mut().find(|(name, _)| name == index) {
            *count -= 1;
        }
        self.documents
            .retain(|stored| stored.index != index || stored.id != id);
        true
    }
}

/// 128 bits of index and id: two 64-bit lanes of multiply and fold (as in wyhash) with different
/// keys. Ids of tests are not hostile; two of a billion collide with a probability below 1e-20.
fn hash(index: &str, id: &str) -> u128 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let (mut one, mut two) = (0xA076_1D64_78BD_642F_u64, 0xE703_7ED1_A0B4_28DB_u64);
    for text in [index.as_bytes(), id.as_bytes()] {
        let mut mix = |word: u64| {
            one = fold(one ^ word, 0x8EBC_6AF0_9C88_C6E3);
            two = fold(two.rotate_left(23) ^ word, 0x5899_65CC_7537_4CC3);
        };
        // The length first, so that index and id cannot trade characters.
        mix(text.len() as u64);
        for chunk in text.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(u64::from_le_bytes(word));
        }
    }
    u128::from(fold(one, 0x9E37_79B9_7F4A_7C15)) << 64
        | u128::from(fold(two, 0xD6E8_FEB8_6659_FD93))
}

/// Takes the low half of a hash that is already good.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn write(&mut self, bytes: &[u8]) {
        // Only `u128` keys are used, and they come through `write_u128`.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_differ_where_ids_or_indices_do() {
        let mut seen = HashSet::new();
        for number in 0..200_000_u32 {
            assert!(seen.insert(hash("logs", &number.to_string())));
        }
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
        assert_ne!(hash("a", "b"), hash("b", "a"));
        assert_ne!(hash("a", "b"), hash("a", "b\0"));
    }
}
