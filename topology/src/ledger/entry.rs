//! A batch in a ledger: what became of its records, and the bytes of those that are open.
//!
//! A record that waits for hours keeps no others in memory: once little of a batch is open, the rest is
//! let go of. Numbers of records go on to count all that the batch had; only here they are translated.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::arena::Arena;
use crate::outcome::Code;
use crate::partition::Fates;

/// What a batch of which only a part waits takes besides its records, in bytes: entry, arena, retry with its note,
/// and half of it the trail's tables; the sum of their sizes, rounded up. Bytes in flight count it, so that
/// many such batches stay within the plan.
pub(super) const WAITING: usize = 1_536;

/// Of a batch at least this part is let go of at a time, or nothing: each record is copied seldom, and all
/// copies of a batch together are smaller than it was.
const KEPT_AT_MOST: usize = 4;

#[derive(Debug)]
pub(super) struct Entry {
    /// Offset of its first record.
    pub(super) first: i64,
    /// Let go of, with the codes, as soon as all records are settled: an entry may wait long for an
    /// older one.
    arena: Option<Arc<Arena>>,
    /// Of the records of the arena.
    codes: Vec<Code>,
    /// Which these are, where the arena has not all records of the batch any more.
    remains: Option<Vec<Remaining>>,
    /// What became of those that are settled.
    pub(super) fates: Fates,
    pub(super) open: usize,
    pub(super) records: usize,
    pub(super) last_timestamp: i64,
}

/// A record that the arena still has.
#[derive(Debug)]
struct Remaining {
    /// In the batch.
    number: u32,
    /// Of the records between the one that remains before it, if any, and itself.
    gone: Gone,
}

/// Records that the arena has no more.
#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    fates: Fates,
    /// Of the last one, if there is any.
    timestamp: Option<i64>,
}

impl Gone {
    fn add(&mut self, later: &Gone) {
        self.fates.add(&later.fates);
        self.timestamp = later.timestamp.or(self.timestamp);
    }
}

impl Entry {
    pub(super) fn new(arena: Arc<Arena>) -> Self {
        let count = arena.len();
        Self {
            first: arena.offset(0),
            last_timestamp: arena.timestamp(count - 1),
            arena: Some(arena),
            codes: vec![Code::OPEN; count],
            remains: None,
            fates: Fates::default(),
            open: count,
            records: count,
        }
    }

    /// The records with open ones among them.
    pub(super) fn arena(&self) -> &Arc<Arena> {
        let arena = self.arena.as_ref();
        arena.expect("an entry with open records has them")
    }

    /// Where in the arena records are, by their numbers in the batch. Each must be open, or was when the
    /// arena was made.
    pub(super) fn places<'a>(&self, numbers: &'a [u32]) -> Cow<'a, [u32]> {
        let Some(remains) = &self.remains else {
            return Cow::Borrowed(numbers);
        };
        let place = |number: &u32| {
            let place = remains.binary_search_by_key(number, |one| one.number);
            place.expect("what is open remains") as u32
        };
        Cow::Owned(numbers.iter().map(place).collect())
    }

    /// Enters the final outcome of open records, by their places in the arena.
    pub(super) fn settle(&mut self, places: Range<usize>, code: Code) {
        let codes = &mut self.codes[places];
        debug_assert!(codes.iter().all(|code| *code == Code::OPEN), "settled once");
        codes.fill(code);
        self.open -= codes.len();
    }

    /// The place of the oldest open record.
    pub(super) fn oldest_open(&self) -> usize {
        let open = self.codes.iter().position(|code| *code == Code::OPEN);
        open.expect("it has an open record")
    }

    /// What became of the records before the oldest open one, and the timestamp of the last of them: `None`
    /// where the batch begins with it.
    pub(super) fn before(&self, open: usize) -> (Fates, Option<i64>) {
        let mut fates = Fates::of(&self.codes[..open]);
        let mut timestamp = (open > 0).then(|| self.arena().timestamp(open - 1));
        if let Some(remains) = &self.remains {
            for one in &remains[..=open] {
                fates.add(&one.gone.fates);
            }
            timestamp = remains[open].gone.timestamp.or(timestamp);
        }
        (fates, timestamp)
    }

    /// Bytes that it counts for.
    pub(super) fn size(&self) -> usize {
        let arena = self.arena.as_ref().map_or(0, |arena| arena.size());
        let remains = self.remains.as_ref().map_or(0, |one| waiting(one.len()));
        arena + remains
    }

    /// Lets go of everything, once nothing is open.
    pub(super) fn close(&mut self) {
        (self.arena, self.codes, self.remains) = (None, Vec::new(), None);
    }

    /// Lets go of what is settled if that is most of it, and nobody else has it: another part of the batch
    /// may be under way, and would keep it all in memory anyhow. An attempt has come back, with failures.
    pub(super) fn thin(&mut self) {
        let size = self.size();
        let Some(arena) = self.arena.as_mut().and_then(Arc::get_mut) else {
            return;
        };
        let is_open = |place: &usize| self.codes[*place] == Code::OPEN;
        let open = (0..arena.len()).filter(is_open);
        let kept = open
            .clone()
            .map(|place| arena.size_of(place))
            .sum::<usize>();
        if KEPT_AT_MOST * (kept + waiting(self.open)) >= size {
            return;
        }
        let mut remains = Vec::with_capacity(self.open);
        let mut gone = Gone::default();
        for (place, code) in self.codes.iter().enumerate() {
            let before = self.remains.as_ref().map(|remains| &remains[place]);
            if let Some(before) = before {
                gone.add(&before.gone);
            }
            if *code == Code::OPEN {
                remains.push(Remaining {
                    number: before.map_or(place as u32, |one| one.number),
                    gone: std::mem::take(&mut gone),
                });
            } else {
                gone.add(&Gone {
                    fates: Fates::of(&[*code]),
                    timestamp: Some(arena.timestamp(place)),
                });
            }
        }
        *arena = arena.with_only(open);
        self.codes = vec![Code::OPEN; self.open];
        self.remains = Some(remains);
    }
}

/// What is counted beside the records of an arena that has not all of its batch any more.
fn waiting(records: usize) -> usize {
    WAITING + records * size_of::<Remaining>()
}
