//! A bulk body: lines of records from one or more batches, and which record each of its items is.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use isobar_topology::{OperatorError, Record, Rejection};
use serde::Deserialize;

use super::existing::Existing;
use super::held::{Admission, HeldIndices};
use super::lines::Lines;
use super::pending::{Pending, Settled};

/// A body that is being filled.
#[derive(Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    manifest: Manifest,
}

/// The memory of a body without what was in it.
#[derive(Default)]
pub(crate) struct Room {
    bytes: Vec<u8>,
    items: Vec<Item>,
    targets: Vec<Arc<str>>,
}

impl From<Room> for Body {
    fn from(room: Room) -> Self {
        let Room {
            bytes,
            items,
            targets,
        } = room;
        let segments = Vec::new();
        let manifest = Manifest {
            items,
            targets,
            segments,
        };
        Self { bytes, manifest }
    }
}

/// A body that is sent, whole or in parts.
pub(crate) struct Bulk {
    bytes: Bytes,
    pub(crate) manifest: Manifest,
}

/// Which records the items of a body are. Dropped before it is closed, it fails them.
#[derive(Default)]
pub(crate) struct Manifest {
    items: Vec<Item>,
    /// The indices that items go to; a name may be there more than once.
    targets: Vec<Arc<str>>,
    segments: Vec<Segment>,
}

/// An item of a body.
#[derive(Clone, Copy, Debug)]
struct Item {
    /// Where its lines end.
    end: u32,
    /// Its row in the batch.
    row: u32,
    /// Its index, by position in `targets`.
    target: u32,
}

/// Items of one batch.
struct Segment {
    pending: Rc<Pending>,
    /// Rows of the batch.
    rows: usize,
    /// The item after its last.
    end: usize,
}

/// Indices that take no records just now.
#[derive(Clone, Copy, Default)]
pub(crate) struct Limits<'a> {
    /// Those that refuse documents.
    pub(crate) held: Option<&'a HeldIndices>,
    /// What exists, where none is made.
    pub(crate) existing: Option<&'a Existing>,
}

/// Why a record is not in a body.
#[derive(Debug)]
pub(crate) enum NotAdded {
    /// This becomes of it.
    Settled(Settled),
    /// Nobody has asked whether this index exists.
    Unasked(Arc<str>),
}

impl From<Settled> for NotAdded {
    fn from(settled: Settled) -> Self {
        Self::Settled(settled)
    }
}

/// Targets of a body that are compared with a new one before it is noted again.
const TARGETS_COMPARED: usize = 8;

impl Body {
    /// A body with room for so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            manifest: Manifest::default(),
        }
    }

    /// Whether it has no memory yet.
    pub(crate) fn is_without_room(&self) -> bool {
        self.bytes.capacity() == 0
    }

    /// Appends a record: the row `row` of a batch of `rows`. A record that can never be indexed, or goes
    /// to an index that `limits` keep it from, is not appended; what becomes of it is returned instead.
    #[inline]
    pub(crate) fn add(
        &mut self,
        lines: &mut Lines,
        record: Record<'_>,
        pending: &Rc<Pending>,
        (row, rows): (u32, usize),
        limits: Limits<'_>,
    ) -> Result<(), NotAdded> {
        let start = self.bytes.len();
        let target = lines
            .write(record, &mut self.bytes)
            .map_err(Settled::Rejected)?;
        if let Some(existing) = limits.existing {
            let not_added = match existing.has(target) {
                Some(true) => None,
                Some(false) => Some(Settled::Dropped(existing.policy).into()),
                None => Some(NotAdded::Unasked(Arc::clone(target))),
            };
            if let Some(not_added) = not_added {
                self.bytes.truncate(start);
                return Err(not_added);
            }
        }
        if let Some(held) = limits.held {
            match held.admit(target) {
                Admission::Send => {}
                Admission::Wait => {
                    self.bytes.truncate(start);
                    return Err(Settled::Held.into());
                }
                Admission::GiveUp(reason) => {
                    let id = id_of(&self.bytes[start..]);
                    self.bytes.truncate(start);
                    let rejection = Rejection::new("held", reason).given_up();
                    return Err(Settled::Rejected(rejection.tried(Arc::clone(target), id)).into());
                }
            }
        }
        let Ok(end) = u32::try_from(self.bytes.len()) else {
            self.bytes.truncate(start);
            let text = "the document is larger than a body can be (4 GiB)";
            return Err(Settled::Rejected(Rejection::new("too_large", text)).into());
        };
        self.manifest.add(target, end, pending, (row, rows));
        Ok(())
    }

    /// Bytes so far.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Records so far.
    pub(crate) fn len(&self) -> usize {
        self.manifest.items.len()
    }

    /// Whether there is no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.manifest.items.is_empty()
    }

    /// Moves the last record into an empty body.
    pub(crate) fn split_last(&mut self, into: &mut Body) {
        debug_assert!(into.is_empty());
        let Some(last) = self.manifest.items.pop() else {
            return;
        };
        let start = self.manifest.items.last().map_or(0, |item| item.end) as usize;
        into.bytes.extend_from_slice(&self.bytes[start..]);
        self.bytes.truncate(start);
        let segments = &mut self.manifest.segments;
        let segment = segments.last_mut().expect("the record has one");
        segment.end -= 1;
        let target = &self.manifest.targets[last.target as usize];
        let end = into.bytes.len() as u32;
        into.manifest
            .add(target, end, &segment.pending, (last.row, segment.rows));
    }

    /// Ends the filling.
    pub(crate) fn seal(self) -> Bulk {
        Bulk {
            bytes: self.bytes.into(),
            manifest: self.manifest,
        }
    }
}

impl Bulk {
    /// The bytes of some of its items; the whole body is not copied.
    pub(crate) fn part(&self, items: &Range<usize>) -> Bytes {
        let start = match items.start {
            0 => 0,
            first => self.manifest.items[first - 1].end as usize,
        };
        self.bytes
            .slice(start..self.manifest.items[items.end - 1].end as usize)
    }

    /// The document id of an item, if it has one.
    pub(crate) fn id_of(&self, item: usize) -> Option<String> {
        id_of(&self.part(&(item..item + 1)))
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.manifest.items.len()
    }

    /// Gives the memory back for another body, unless that is larger than `size_max` or still used by
    /// a request that was given up.
    pub(crate) fn recycle(self, size_max: usize) -> Option<Room> {
        let Self {
            mut bytes,
            mut manifest,
        } = self;
        if !bytes.is_unique() {
            return None;
        }
        // The way back moves what is in it, even to where it is; without any of it the memory is let go.
        bytes.truncate(1);
        let mut bytes = Vec::from(bytes);
        bytes.clear();
        debug_assert!(manifest.segments.is_empty());
        let mut room = Room {
            bytes,
            items: std::mem::take(&mut manifest.items),
            targets: std::mem::take(&mut manifest.targets),
        };
        room.items.clear();
        room.targets.clear();
        (room.bytes.capacity() <= size_max).then_some(room)
    }
}

/// The id in an action line, with which these lines begin.
pub(crate) fn id_of(lines: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Action {
        #[serde(alias = "index")]
        create: Fields,
    }
    #[derive(Deserialize)]
    struct Fields {
        _id: Option<String>,
    }
    let end = lines.iter().position(|b| *b == b'\n');
    let action = &lines[..end.unwrap_or(lines.len())];
    let action: Action = serde_json::from_slice(action).ok()?;
    action.create._id
}

impl Manifest {
    #[inline]
    fn add(&mut self, target: &Arc<str>, end: u32, pending: &Rc<Pending>, row: (u32, usize)) {
        let target = self.target(target);
        let (row, rows) = row;
        self.items.push(Item { end, row, target });
        let end = self.items.len();
        match self.segments.last_mut() {
            Some(segment) if Rc::ptr_eq(&segment.pending, pending) => segment.end = end,
            _ => {
                pending.open();
                self.segments.push(Segment {
                    pending: Rc::clone(pending),
                    rows,
                    end,
                });
            }
        }
    }

    #[inline]
    fn target(&mut self, name: &Arc<str>) -> u32 {
        let known = self.targets.iter().rev().take(TARGETS_COMPARED);
        let known = known
            .enumerate()
            .find(|(_, known)| Arc::ptr_eq(known, name));
        let index = match known {
            Some((back, _)) => self.targets.len() - 1 - back,
            None => {
                self.targets.push(Arc::clone(name));
                self.targets.len() - 1
            }
        };
        index as u32
    }

    /// The index of an item.
    pub(crate) fn target_of(&self, item: usize) -> &Arc<str> {
        &self.targets[self.items[item].target as usize]
    }

    /// The position of an item's index among [`Manifest::targets`].
    pub(crate) fn target_index(&self, item: usize) -> usize {
        self.items[item].target as usize
    }

    /// The indices of the items; a name may be there more than once.
    pub(crate) fn targets(&self) -> &[Arc<str>] {
        &self.targets
    }

    /// Says what becomes of each of some items, in order.
    pub(crate) fn settle(&self, items: Range<usize>, mut settled: impl FnMut(usize) -> Settled) {
        let mut segment = self.segments.partition_point(|s| s.end <= items.start);
        for item in items {
            while self.segments[segment].end <= item {
                segment += 1;
            }
            let Segment { pending, rows, .. } = &self.segments[segment];
            pending.settle(self.items[item].row, *rows, settled(item));
        }
    }

    /// Every item is settled, or delivered.
    pub(crate) fn close(&mut self, out: &mut isobar_topology::Emitter) {
        for segment in self.segments.drain(..) {
            segment.pending.close(Some(&mut *out));
        }
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        if self.segments.is_empty() {
            return;
        }
        // A panic may be some record's fault; whoever lets go of a body otherwise does it for a reason
        // that has nothing to do with its records.
        let panicking = std::thread::panicking();
        self.settle(0..self.items.len(), |_| match panicking {
            true => Settled::Counted(OperatorError::user(
                "the sink panicked on a body with this record",
            )),
            false => Settled::Failed,
        });
        for segment in self.segments.drain(..) {
            segment.pending.close(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::testing::{Emitted, Fate, Harness, Input};
    use isobar_topology::{Batch, Symbols};

    use super::super::lines::{Addressing, Id, Index, Operation};
    use super::*;

    fn lines() -> Lines {
        Lines::new(Arc::new(Addressing {
            operation: Operation::Create,
            index: Index::Constant("logs".into()),
            id: Id::Auto,
            routing: None,
            bounds: None,
            origin: None,
            timestamp: None,
        }))
    }

    fn batch(harness: &mut Harness, documents: &[&str]) -> Batch {
        let inputs: Vec<Input> = documents.iter().map(|d| Input::document(d)).collect();
        harness.batch(&inputs)
    }

    fn add(body: &mut Body, batch: &Batch, pending: &Rc<Pending>) {
        let mut lines = lines();
        lines.begin(batch);
        for (row, record) in batch.records().enumerate() {
            let place = (row as u32, batch.len());
            let added = body.add(&mut lines, record, pending, place, Limits::default());
            added.expect("a constant index takes every document");
        }
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("documents are UTF-8")
    }

    const LINE: &str = "{\"create\":{\"_index\":\"logs\"}}\n";

    #[tokio::test]
    async fn a_body_is_parted_at_its_records() {
        let mut harness = Harness::new(Symbols::new());
        let (one, two) = (Pending::new(), Pending::new());
        let mut body = Body::with_capacity(1 << 10);
        let first = batch(&mut harness, &[r#"{"a":1}"#, r#"{"a":2}"#]);
        let second = batch(&mut harness, &[r#"{"a":3}"#]);
        add(&mut body, &first, &one);
        add(&mut body, &second, &two);
        let mut next = Body::with_capacity(1 << 10);
        body.split_last(&mut next);
        assert_eq!((body.len(), next.len()), (2, 1));

        let (bulk, mut last) = (body.seal(), next.seal());
        assert_eq!(text(&bulk.part(&(1..2))), format!("{LINE}{{\"a\":2}}\n"));
        // The cluster makes it.
        assert_eq!(bulk.id_of(1), None);
        assert_eq!(text(&last.part(&(0..1))), format!("{LINE}{{\"a\":3}}\n"));

        // The second batch has no record left in the first body, which still is one of its own.
        let mut out = harness.emitter();
        one.written(first, &mut out);
        two.written(second, &mut out);
        last.manifest.settle(0..1, |_| Settled::AlreadyPresent);
        last.manifest.close(&mut out);
        assert_eq!(harness.fates(), None);
        let mut bulk = bulk;
        bulk.manifest.settle(1..2, |_| Settled::Failed);
        bulk.manifest.close(&mut out);
        assert_eq!(harness.fates(), Some(vec![Fate::Delivered, Fate::Failed]));
        assert_eq!(harness.fates(), Some(vec![Fate::AlreadyPresent]));
        assert_eq!(harness.emitted(out).await, Vec::<Emitted>::new());
    }

    #[tokio::test]
    async fn a_body_that_is_let_go_fails_its_records() {
        let mut harness = Harness::new(Symbols::new());
        let pending = Pending::new();
        let mut body = Body::with_capacity(1 << 10);
        let records = batch(&mut harness, &["{}", "{}"]);
        add(&mut body, &records, &pending);
        pending.written(records, &mut harness.emitter());
        drop(body.seal());
        assert_eq!(harness.fates(), Some(vec![Fate::Failed; 2]));
    }

    #[test]
    fn a_body_is_used_again_with_its_memory() {
        let mut harness = Harness::new(Symbols::new());
        for documents in [&["{}"][..], &["{}"; 40]] {
            let mut body = Body::with_capacity(1 << 10);
            let records = batch(&mut harness, documents);
            let pending = Pending::new();
            add(&mut body, &records, &pending);
            let capacity = body.bytes.capacity();
            let mut bulk = body.seal();
            bulk.manifest.close(&mut harness.emitter());
            let request = bulk.part(&(0..documents.len()));
            drop(request);
            match bulk.recycle(1 << 10).map(Body::from) {
                Some(again) => {
                    assert!(again.is_empty() && again.size() == 0);
                    assert_eq!(again.bytes.capacity(), capacity);
                    assert_eq!(documents.len(), 1);
                }
                // It grew beyond what is kept.
                None => assert!(capacity > 1 << 10),
            }
        }
    }
}
