//! Copies of records on an edge, for who looks at them. Looking takes nothing from the data: a copy is made
//! only where there is room for it, and what finds none is counted.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::arena::{ArenaBuilder, OwnedHeaders};
use crate::batch::Batch;
use crate::clock;
use crate::ordinals::Ordinals;
use crate::partition::Partition;
use crate::record::{Record, RecordMut, Row, Slot};
use crate::rejection::Rejection;
use crate::symbol::Symbols;

/// Copies that wait to be looked at, for each tap. With [`Tapped::TEXT_MAX`] for what was read and as
/// much for the document these are 8 MiB.
const QUEUE: usize = 64;
/// Copies a second that a tap takes: some ms of CPU time a second, and more than anybody reads.
const RECORDS_PER_SECOND: u32 = 1_000;
/// Bytes of copies a second that a tap takes.
const BYTES_PER_SECOND: u32 = 4 << 20;
/// What a tap that waited may take at once, as the time that it stands for.
const BURST: Duration = Duration::from_millis(50);

/// A copy of a record as it went along an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tapped {
    /// The topic that it comes from.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The record's own timestamp in ms since 1970; −1 when it has none.
    pub timestamp: i64,
    /// Which part of the record it is, once it was split.
    pub part: Ordinals,
    /// The time of the event in ms since 1970.
    pub event_time: Option<i64>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// The record's headers.
    pub headers: OwnedHeaders,
    /// What the record says.
    pub text: Text,
    /// Why it was rejected, on such a stream.
    pub rejection: Option<Rejection>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The document with all edits: one JSON object.
    Document(Vec<u8>),
    /// The value as it was read, where no parser made a document of it.
    Value(Vec<u8>),
    /// Nothing: it is a tombstone.
    Tombstone,
    /// More than [`Tapped::TEXT_MAX`]: so many bytes of key, headers and value, or of the document.
    TooLong(usize),
}

impl Tapped {
    /// Longest text of which a copy is made, in bytes: that of key, headers and value together, and that of
    /// the document.
    pub const TEXT_MAX: usize = 64 << 10;

    fn of(batch: &Batch, row: usize) -> Self {
        let record = batch.record(row);
        let read = [record.key(), record.payload()];
        let read = read
            .iter()
            .flatten()
            .map(|bytes| bytes.len())
            .sum::<usize>();
        let read = read + record.headers().size();
        let (text, key, headers) = match read {
            0..=Self::TEXT_MAX => (text(record), record.key(), record.headers().into()),
            _ => (Text::TooLong(read), None, OwnedHeaders::default()),
        };
        Self {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            part: record.ordinals(),
            event_time: record.event_time(),
            key: key.map(<[u8]>::to_vec),
            headers,
            text,
            rejection: batch.rejection(row).cloned(),
        }
    }

    /// Reads it as a record again, of which these fields can be asked for: what the topology mentions plays
    /// no part. `None` where the text is too long to be here.
    pub fn read<T>(&self, symbols: &Symbols, read: impl FnOnce(Record<'_>) -> T) -> Option<T> {
        let (value, is_document) = match &self.text {
            Text::Document(text) => (Some(text.as_slice()), true),
            Text::Value(text) => (Some(text.as_slice()), false),
            Text::Tombstone => (None, false),
            Text::TooLong(_) => return None,
        };
        let partition = Partition::new(self.topic.as_str().into(), self.partition, 0);
        let mut arena = ArenaBuilder::new(partition, 1, self.size());
        let (key, headers) = (self.key.as_deref(), self.headers.iter());
        arena.push(self.offset, self.timestamp, key, value, headers);
        let mut record = RecordMut {
            arena: &arena.finish(),
            symbols,
            row: &mut Row::new(0).with(self.part),
            slots: &mut vec![Slot::default(); symbols.len()],
            scratch: &mut Vec::new(),
        };
        if is_document {
            // Edits can nest it deeper than what is read; its fields are missing then.
            let _ = record.adopt_json();
        }
        if let Some(time) = self.event_time {
            record.set_event_time(time);
        }
        Some(read(record.view()))
    }

    /// Bytes that it holds, about.
    fn size(&self) -> usize {
        let text = match &self.text {
            Text::Document(text) | Text::Value(text) => text.len(),
            Text::Tombstone | Text::TooLong(_) => 0,
        };
        let key = self.key.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + self.topic.len() + key + self.headers.iter().size() + text
    }
}

fn text(record: Record<'_>) -> Text {
    let mut document = Vec::new();
    match (record.write(&mut document), record.payload()) {
        (true, _) if document.len() > Tapped::TEXT_MAX => Text::TooLong(document.len()),
        (true, _) => Text::Document(document),
        (false, Some(value)) => Text::Value(value.to_vec()),
        (false, None) => Text::Tombstone,
    }
}

/// Where an edge can be tapped: one for each edge, shared by all lanes.
#[derive(Debug, Default)]
pub(crate) struct Taps {
    /// Whether anybody looks: all that is asked of a batch while nobody does.
    open: AtomicBool,
    valves: RwLock<Vec<Arc<Valve>>>,
}

impl Taps {
    /// Shows a batch to who looks. Waits for nobody: a batch that goes by while a tap is opened or closed
    /// is before or after it.
    #[inline]
    pub(crate) fn show(&self, batch: &Batch) {
        if self.open.load(Ordering::Relaxed) {
            self.copy(batch);
        }
    }

    #[cold]
    fn copy(&self, batch: &Batch) {
        let valves = match self.valves.try_read() {
            Ok(valves) => valves,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        for valve in valves.iter() {
            valve.copy(batch);
        }
    }

    /// Opens a tap that takes one in so many records.
    pub(crate) fn open(self: &Arc<Self>, every: NonZeroU64) -> Tap {
        let (queue, copies) = mpsc::channel(QUEUE);
        let valve = Arc::new(Valve {
            every,
            passed: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            queue,
        });
        let mut valves = self.lock();
        valves.push(Arc::clone(&valve));
        self.open.store(true, Ordering::Relaxed);
        drop(valves);
        Tap {
            taps: Arc::clone(self),
            valve,
            copies,
            ready: clock::now(),
        }
    }

    fn lock(&self) -> RwLockWriteGuard<'_, Vec<Arc<Valve>>> {
        self.valves.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side of a tap that lanes see.
#[derive(Debug)]
struct Valve {
    every: NonZeroU64,
    passed: AtomicU64,
    missed: AtomicU64,
    queue: mpsc::Sender<Tapped>,
}

impl Valve {
    fn copy(&self, batch: &Batch) {
        let (every, records) = (self.every.get(), batch.len() as u64);
        let before = self.passed.fetch_add(records, Ordering::Relaxed);
        let mut next = before.next_multiple_of(every) - before;
        while next < records {
            let Ok(room) = self.queue.try_reserve() else {
                let missed = (records - next).div_ceil(every);
                let _ = self.missed.fetch_add(missed, Ordering::Relaxed);
                return;
            };
            room.send(Tapped::of(batch, next as usize));
            next += every;
        }
    }
}

/// Looks at the records on an edge until it is dropped.
#[derive(Debug)]
pub struct Tap {
    taps: Arc<Taps>,
    valve: Arc<Valve>,
    copies: mpsc::Receiver<Tapped>,
    /// When it may take another copy.
    ready: Instant,
}

impl Tap {
    /// Waits for the next copy. At most 1,000 a second and 4 MiB a second come, a little more at once after
    /// a while without. Cancel-safe.
    pub async fn next(&mut self) -> Tapped {
        tokio::time::sleep_until(self.ready).await;
        let copy = self.copies.recv().await;
        let copy = copy.expect("this side holds the other one, too");
        let size = u32::try_from(copy.size()).unwrap_or(u32::MAX);
        let of_bytes = Duration::from_secs(1) / BYTES_PER_SECOND * size;
        let cost = of_bytes.max(Duration::from_secs(1) / RECORDS_PER_SECOND);
        self.ready = self.ready.max(clock::now() - BURST) + cost;
        copy
    }

    /// Records that came to the edge since it was opened, those sent again included, and those that a
    /// policy of the edge drops then.
    pub fn passed(&self) -> u64 {
        self.valve.passed.load(Ordering::Relaxed)
    }

    /// Those among them that were to be copied and found no room.
    pub fn missed(&self) -> u64 {
        self.valve.missed.load(Ordering::Relaxed)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut valves = self.taps.lock();
        valves.retain(|valve| !Arc::ptr_eq(valve, &self.valve));
        self.taps.open.store(!valves.is_empty(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::{Completions, Ticket};
    /// A batch of records from this offset on, each with this text.
    fn batch(offsets: std::ops::Range<i64>, text: &[u8]) -> Batch {
        let partition = Partition::for_tests("logs", 0);
        let mut arena = ArenaBuilder::new(partition, 1, text.len());
        for offset in offsets {
            arena.push(offset, 7, Some(b"key"), Some(text), std::iter::empty());
        }
        of(arena)
    }

    fn of(arena: ArenaBuilder) -> Batch {
        let ticket = Ticket::for_tests(0);
        let ack = Arc::<Completions>::default().start(ticket, arena.len());
        Batch::new(
            Arc::new(arena.finish()),
            Arc::new(Symbols::new()),
            None,
            ack,
        )
    }

    fn every(every: u64) -> NonZeroU64 {
        NonZeroU64::new(every).expect("not 0")
    }

    #[tokio::test(start_paused = true)]
    async fn one_in_so_many_is_copied_across_batches() {
        let taps = Arc::<Taps>::default();
        taps.show(&batch(0..4, b"before"));
        let mut tap = taps.open(every(3));
        taps.show(&batch(4..8, b"{}"));
        taps.show(&batch(8..12, b"{}"));
        let mut offsets = Vec::new();
        for _ in 0..3 {
            let copy = tap.next().await;
            assert_eq!(copy.text, Text::Value(b"{}".to_vec()));
            assert_eq!(copy.key.as_deref(), Some(&b"key"[..]));
            offsets.push(copy.offset);
        }
        assert_eq!(offsets, [4, 7, 10]);
        assert_eq!((tap.passed(), tap.missed()), (8, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_counted_and_not_waited_for() {
        let taps = Arc::<Taps>::default();
        let tap = taps.open(every(2));
        // Nobody takes copies: this returns all the same.
        taps.show(&batch(0..1_000, b"x"));
        taps.show(&batch(1_000..1_010, b"x"));
        assert_eq!(tap.copies.len(), QUEUE);
        assert_eq!((tap.passed(), tap.missed()), (1_010, 505 - QUEUE as u64));
    }

    #[tokio::test(start_paused = true)]
    async fn copies_come_no_faster_than_the_budget() {
        let seconds_for = async |text: &[u8], copies: u32| {
            let taps = Arc::<Taps>::default();
            let mut tap = taps.open(every(1));
            let start = clock::now();
            for offset in 0..i64::from(copies) {
                taps.show(&batch(offset..offset + 1, text));
                let _ = tap.next().await;
            }
            (clock::now() - start).as_secs_f64()
        };
        let by_number = seconds_for(b"x", 5_000).await;
        assert!((4.9..5.1).contains(&by_number), "{by_number}");
        let by_bytes = seconds_for(&[b'x'; 60 << 10], 700).await;
        assert!((9.9..11.0).contains(&by_bytes), "{by_bytes}");
    }

    #[tokio::test(start_paused = true)]
    async fn long_records_come_without_their_text() {
        let taps = Arc::<Taps>::default();
        let mut tap = taps.open(every(1));
        let long = vec![b'x'; Tapped::TEXT_MAX];
        taps.show(&batch(0..1, &long));
        let copy = tap.next().await;
        assert_eq!(copy.text, Text::TooLong(long.len() + 3));
        assert_eq!(copy.key, None);
    }

    #[test]
    fn a_copy_is_read_as_a_record_with_any_fields() {
        let mut arena = ArenaBuilder::new(Partition::for_tests("logs", 3), 1, 0);
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"trace", Some(b"a1")), (b"none", None)];
        arena.push(17, 7, Some(b"key"), Some(b"{\"a\":1}"), headers.into_iter());
        let (mut batch, mut symbols) = (of(arena), Symbols::new());
        let host = symbols.intern("host").expect("room");
        let copy = Tapped::of(&batch, 0);
        let has_document = copy.read(&symbols, |record| record.has_document());
        assert_eq!(has_document, Some(false), "nobody has parsed it");

        batch
            .record_mut(0)
            .adopt_object(b"{\"host\":\"web\",\"n\":[1]}")
            .expect("an object");
        batch.record_mut(0).set_event_time(99);
        let copy = Tapped::of(&batch, 0);
        let read = copy.read(&symbols, |record| {
            assert_eq!(record.get(host), Some(&b"\"web\""[..]));
            assert_eq!((record.topic(), record.partition()), ("logs", 3));
            assert_eq!((record.offset(), record.timestamp()), (17, 7));
            assert_eq!(
                (record.key(), record.event_time()),
                (Some(&b"key"[..]), Some(99))
            );
            assert_eq!(record.headers().collect::<Vec<_>>(), headers);
        });
        assert_eq!(read, Some(()));
        let long = Tapped {
            text: Text::TooLong(1 << 20),
            ..copy
        };
        assert_eq!(long.read(&symbols, |_| ()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_tap_costs_nothing_more_and_others_go_on() {
        let taps = Arc::<Taps>::default();
        let (one, other) = (taps.open(every(1)), taps.open(every(1)));
        drop(one);
        taps.show(&batch(0..2, b"x"));
        assert_eq!(other.passed(), 2);
        drop(other);
        assert!(!taps.open.load(Ordering::Relaxed));
        assert!(taps.lock().is_empty());
    }

    /// A tap that is opened or closed at the moment does not hold a lane up.
    #[test]
    fn a_batch_does_not_wait_for_a_tap_that_is_opened() {
        let taps = Taps::default();
        taps.open.store(true, Ordering::Relaxed);
        let _opening = taps.lock();
        taps.show(&batch(0..2, b"x"));
    }
}
