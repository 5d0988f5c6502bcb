//! The immutable part of a batch: payloads, keys and headers of up to some thousand records of one
//! partition, in one allocation.
//!
//! A retry reads the records from here again, so nothing of them ever changes. Those that are settled may
//! be left out between two attempts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::clock;
use crate::json::Span;
use crate::latency::Times;
use crate::partition::Partition;

/// Records of one partition as they were read.
#[derive(Debug)]
pub struct Arena {
    partition: Arc<Partition>,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    times: Times,
    read_at: i64,
    /// Of records that count towards the limit of dead letters.
    limited: Marks,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    timestamp: i64,
    payload: Option<Span>,
    key: Option<Span>,
    headers: Span,
}

impl Arena {
    /// The partition that all records come from.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all payloads, keys and headers, plus what the bookkeeping of a record takes.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    /// The same of one record.
    pub(crate) fn size_of(&self, record: usize) -> usize {
        let entry = self.entries[record];
        let spans = [entry.payload, entry.key, Some(entry.headers)];
        let bytes: usize = spans.into_iter().flatten().map(Span::len).sum();
        bytes + size_of::<Entry>()
    }

    /// The offset of a record in its partition. Offsets ascend, with gaps.
    pub fn offset(&self, record: usize) -> i64 {
        self.entries[record].offset
    }

    /// The record's timestamp in ms since 1970, −1 when it has none.
    pub fn timestamp(&self, record: usize) -> i64 {
        self.entries[record].timestamp
    }

    /// When the records were read, in ms since 1970. The same for each attempt, so that what is judged by it ends
    /// the same however long records wait in between; a record that another process reads again has another.
    pub fn read_at(&self) -> i64 {
        self.read_at
    }

    /// The same records, as if they had been read at this time.
    pub(crate) fn with_read_at(self, read_at: i64) -> Self {
        Self { read_at, ..self }
    }

    /// As if these records alone had been read, in their order.
    pub(crate) fn with_only(&self, records: impl Iterator<Item = usize> + Clone) -> Self {
        let count = records.clone().count();
        let size: usize = records.clone().map(|record| self.size_of(record)).sum();
        let bytes = size - count * size_of::<Entry>();
        let mut only = ArenaBuilder::new(Arc::clone(&self.partition), count, bytes);
        for record in records {
            let (key, payload) = (self.key(record), self.payload(record));
            let (offset, timestamp) = (self.offset(record), self.timestamp(record));
            only.push(offset, timestamp, key, payload, self.headers(record));
            if self.is_limited(record) {
                only.arena.limited.set(only.len() - 1, count);
            }
        }
        only.arena.with_read_at(self.read_at)
    }

    /// All timestamps in short.
    pub(crate) fn times(&self) -> &Times {
        &self.times
    }

    /// Whether a record was counted towards the limit of dead letters, in this attempt or an earlier one.
    pub(crate) fn is_limited(&self, record: usize) -> bool {
        self.limited.has(record)
    }

    /// Notes that a record was counted so.
    pub(crate) fn limit(&self, record: usize) {
        self.limited.set(record, self.len());
    }

    /// The record's value, `None` for a tombstone.
    pub fn payload(&self, record: usize) -> Option<&[u8]> {
        self.entries[record]
            .payload
            .map(|span| span.of(&self.bytes))
    }

    /// The record's key.
    pub fn key(&self, record: usize) -> Option<&[u8]> {
        self.entries[record].key.map(|span| span.of(&self.bytes))
    }

    /// The record's headers in order; a name may occur more than once.
    pub fn headers(&self, record: usize) -> Headers<'_> {
        Headers {
            rest: self.entries[record].headers.of(&self.bytes),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn payload_span(&self, record: usize) -> Option<Span> {
        self.entries[record].payload
    }
}

/// One bit for each record; takes no memory before the first is set.
#[derive(Debug, Default)]
struct Marks(OnceLock<Box<[AtomicU64]>>);

impl Marks {
    fn has(&self, record: usize) -> bool {
        let (word, bit) = (record / 64, 1 << (record % 64));
        let words = self.0.get();
        words.is_some_and(|words| words[word].load(Ordering::Relaxed) & bit != 0)
    }

    fn set(&self, record: usize, of: usize) {
        let words = self.0.get_or_init(|| {
            let words = (0..of.div_ceil(64)).map(|_| AtomicU64::new(0));
            words.collect()
        });
        let _ = words[record / 64].fetch_or(1 << (record % 64), Ordering::Relaxed);
    }
}

/// Iterates over (name, value) pairs; the value is `None` where the header has none.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

/// Headers apart from the arena that they were read into.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedHeaders(Vec<u8>);

impl OwnedHeaders {
    /// The headers in order.
    pub fn iter(&self) -> Headers<'_> {
        Headers { rest: &self.0 }
    }
}

impl From<Headers<'_>> for OwnedHeaders {
    fn from(headers: Headers<'_>) -> Self {
        Self(headers.rest.to_vec())
    }
}

/// Length that stands for a header without a value.
const NO_VALUE: u32 = u32::MAX;

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let name_length = self.take_length();
        let name = self.take(name_length as usize);
        let value = match self.take_length() {
            NO_VALUE => None,
            length => Some(self.take(length as usize)),
        };
        Some((name, value))
    }
}

impl<'a> Headers<'a> {
    /// Bytes of those that are left, with what the bookkeeping of each takes.
    pub fn size(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, rest) = self.rest.split_at(length);
        self.rest = rest;
        head
    }

    fn take_length(&mut self) -> u32 {
        let bytes = self.take(4);
        u32::from_le_bytes(bytes.try_into().expect("four bytes were taken"))
    }
}

/// Fills an [`Arena`] record by record.
#[derive(Debug)]
pub struct ArenaBuilder {
    arena: Arena,
}

impl ArenaBuilder {
    /// Most bytes that one arena holds: positions inside are 32-bit numbers.
    pub const BYTES_MAX: usize = 1 << 31;

    /// Starts an arena for records of one partition, with room for `records` and `bytes`.
    pub fn new(partition: Arc<Partition>, records: usize, bytes: usize) -> Self {
        Self {
            arena: Arena {
                partition,
                bytes: Vec::with_capacity(bytes),
                entries: Vec::with_capacity(records),
                times: Times::default(),
                read_at: 0,
                limited: Marks::default(),
            },
        }
    }

    /// Copies one record in. Offsets must ascend. `timestamp` is in ms since 1970, −1 for none.
    ///
    /// Panics when the arena would pass [`Self::BYTES_MAX`]; callers bound batches far below.
    pub fn push<'h>(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) {
        debug_assert!(
            self.arena
                .entries
                .last()
                .is_none_or(|last| last.offset < offset),
            "offsets of one partition ascend"
        );
        let key = key.map(|key| self.append(key));
        let payload = payload.map(|payload| self.append(payload));
        let start = self.position();
        for (name, value) in headers {
            self.append_length(name.len());
            let _ = self.append(name);
            match value {
                Some(value) => {
                    self.append_length(value.len());
                    let _ = self.append(value);
                }
                None => self.arena.bytes.extend_from_slice(&NO_VALUE.to_le_bytes()),
            }
        }
        let headers = Span {
            start,
            end: self.position(),
        };
        // One look at the end is enough: positions beyond it would have been kept by nobody yet.
        assert!(
            self.arena.bytes.len() <= Self::BYTES_MAX,
            "an arena stays below BYTES_MAX"
        );
        self.arena.times.add(timestamp);
        self.arena.entries.push(Entry {
            offset,
            timestamp,
            payload,
            key,
            headers,
        });
    }

    /// How many records were pushed.
    pub fn len(&self) -> usize {
        self.arena.len()
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.arena.is_empty()
    }

    /// Bytes of payloads, keys and headers so far.
    pub fn bytes(&self) -> usize {
        self.arena.bytes.len()
    }

    /// The partition that the records come from.
    pub fn partition(&self) -> &Arc<Partition> {
        &self.arena.partition
    }

    /// Ends the filling: by now the records are read.
    pub fn finish(self) -> Arena {
        self.arena.with_read_at(clock::unix_ms())
    }

    fn append(&mut self, bytes: &[u8]) -> Span {
        let start = self.position();
        self.arena.bytes.extend_from_slice(bytes);
        Span {
            start,
            end: self.position(),
        }
    }

    fn append_length(&mut self, length: usize) {
        let length = u32::try_from(length).expect("a header is smaller than BYTES_MAX");
        self.arena.bytes.extend_from_slice(&length.to_le_bytes());
    }

    fn position(&self) -> u32 {
        self.arena.bytes.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_pushed() {
        let mut builder = ArenaBuilder::new(Partition::for_tests("logs", 3), 2, 64);
        let headers: [(&[u8], Option<&[u8]>); 3] = [
            (b"trace", Some(b"a1")),
            (b"empty", Some(b"")),
            (b"none", None),
        ];
        builder.push(10, 1_000, Some(b"key"), Some(b"value"), headers.into_iter());
        builder.push(12, -1, None, None, std::iter::empty());
        let arena = builder.finish();

        assert_eq!(arena.len(), 2);
        assert_eq!((arena.offset(0), arena.offset(1)), (10, 12));
        assert_eq!((arena.timestamp(0), arena.timestamp(1)), (1_000, -1));
        assert_eq!(arena.key(0), Some(&b"key"[..]));
        assert_eq!(arena.payload(0), Some(&b"value"[..]));
        assert_eq!(arena.headers(0).collect::<Vec<_>>(), headers);
        let owned = OwnedHeaders::from(arena.headers(0));
        assert_eq!(owned.iter().collect::<Vec<_>>(), headers);
        assert_eq!((arena.key(1), arena.payload(1)), (None, None));
        assert_eq!(arena.headers(1).count(), 0);
    }
}
