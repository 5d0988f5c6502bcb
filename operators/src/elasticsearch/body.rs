//! A bulk body: lines of records from one or more batches, and which record each of its items is.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use isobar_topology::{Record, Rejection};

use super::lines::Lines;
use super::pending::{Pending, Settled};

/// A body that is being filled.
#[derive(Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    manifest: Manifest,
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

    /// Appends a record: the row `row` of a batch of `rows`. A record that can never be indexed gives
    /// the reason instead.
    #[inline]
    pub(crate) fn add(
        &mut self,
        lines: &mut Lines,
        record: Record<'_>,
        pending: &Rc<Pending>,
        (row, rows): (u32, usize),
    ) -> Result<(), Rejection> {
        let start = self.bytes.len();
        let target = lines.write(record, &mut self.bytes)?;
        let Ok(end) = u32::try_from(self.bytes.len()) else {
            self.bytes.truncate(start);
            let text = "the document is larger than a body can be (4 GiB)";
            return Err(Rejection::new("too_large", text));
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

    /// The action line of an item.
    pub(crate) fn action(&self, item: usize) -> Bytes {
        let lines = self.part(&(item..item + 1));
        let end = lines.iter().position(|b| *b == b'\n');
        lines.slice(..end.unwrap_or(lines.len()))
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.manifest.items.len()
    }

    /// Gives the memory back for another body, unless that is larger than `size_max` or still used by
    /// a request that was given up.
    pub(crate) fn recycle(self, size_max: usize) -> Option<Body> {
        let Self {
            mut bytes,
            mut manifest,
        } = self;
        if !bytes.is_unique() {
            return None;
        }
        // Before the way back, which would move what is in it.
        bytes.clear();
        let bytes = Vec::from(bytes);
        manifest.items.clear();
        manifest.targets.clear();
        debug_assert!(manifest.segments.is_empty());
        (bytes.capacity() <= size_max).then_some(Body { bytes, manifest })
    }
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
            true => Settled::Counted("the sink panicked on a body with this record".to_owned()),
            false => Settled::Failed,
        });
        for segment in self.segments.drain(..) {
            segment.pending.close(None);
        }
    }
}
