//! What the indices have of a partition, taken up a window of offsets at a time: all offsets of one may be more
//! than fit into memory.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::replay::Found;

use super::NAMED_MAX;

/// Offsets of a window: what is known of one is 3 MB at most.
const WINDOW: i64 = 100_000;
/// Most stretches of offsets without a document that are remembered of a partition: 16 bytes each.
pub(super) const STRETCHES_MAX: usize = 1_000_000;

/// The windows of a range.
pub(super) fn windows((from, to): (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
    let starts = (from..to).step_by(WINDOW as usize);
    starts.map(move |start| (start, to.min(start + WINDOW)))
}

/// What the indices have of a window.
pub(super) struct Window {
    from: i64,
    /// Of each offset, the number of sinks whose indices have it.
    sinks: Vec<u16>,
    doubled: BTreeSet<i64>,
    repeated: BTreeSet<i64>,
    more: u64,
}

impl Window {
    pub(super) fn of((from, to): (i64, i64)) -> Self {
        Self {
            from,
            sinks: vec![0; usize::try_from(to - from).unwrap_or(0)],
            doubled: BTreeSet::new(),
            repeated: BTreeSet::new(),
            more: 0,
        }
    }

    /// Adds what the indices of one more sink have.
    pub(super) fn add(&mut self, found: Found) {
        for offset in found.offsets {
            let at = usize::try_from(offset - self.from).ok();
            if let Some(sinks) = at.and_then(|at| self.sinks.get_mut(at)) {
                *sinks = sinks.saturating_add(1);
            }
        }
        self.doubled.extend(found.doubled);
        self.repeated.extend(found.repeated);
        self.more += found.more;
    }
}

/// What the indices have of a partition so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Offsets with a document in any index.
    pub(super) in_index: u64,
    /// Offsets without.
    pub(super) missing: u64,
    /// Some offset has a document of one sink and none of another.
    pub(super) is_uneven: bool,
    /// Offsets of which a record, or the same part of one, has documents in two indices of one sink.
    pub(super) doubled: u64,
    /// The first of them.
    pub(super) first_doubled: Vec<i64>,
    /// Those with several documents in one index.
    pub(super) repeated: u64,
    /// The first of them.
    pub(super) first_repeated: Vec<i64>,
    /// Documents beyond one for each offset and sink.
    pub(super) more: u64,
    /// Documents of each sink, by its bolt; one that is in two indices counts once.
    pub(super) by_sink: BTreeMap<String, u64>,
    /// The first half-open stretches of offsets without a document.
    stretches: Vec<(i64, i64)>,
    /// There are more of those.
    is_cut: bool,
}

impl Tally {
    /// Takes the next window, of so many sinks.
    pub(super) fn take(&mut self, window: &Window, sinks: usize) {
        for (offset, of_sinks) in (window.from..).zip(&window.sinks) {
            match usize::from(*of_sinks) {
                0 => self.misses(offset),
                of_sinks => {
                    self.in_index += 1;
                    self.is_uneven |= of_sinks < sinks;
                }
            }
        }
        self.doubled += window.doubled.len() as u64;
        let room = NAMED_MAX - self.first_doubled.len();
        self.first_doubled.extend(window.doubled.iter().take(room));
        self.repeated += window.repeated.len() as u64;
        let room = NAMED_MAX - self.first_repeated.len();
        self.first_repeated
            .extend(window.repeated.iter().take(room));
        self.more += window.more;
    }

    /// Several documents in one index are those of several sinks, where sinks share it.
    pub(super) fn forget_repeated(&mut self) {
        self.repeated = 0;
        self.first_repeated.clear();
    }

    /// Counts what the indices of a sink have.
    pub(super) fn count(&mut self, bolt: &str, found: &Found) {
        let documents = self.by_sink.entry(bolt.to_owned()).or_default();
        *documents += found.offsets.len() as u64 + found.more;
    }

    fn misses(&mut self, offset: i64) {
        self.missing += 1;
        let has_room = self.stretches.len() < STRETCHES_MAX;
        match self.stretches.last_mut() {
            Some((_, end)) if *end == offset => *end += 1,
            _ if has_room => self.stretches.push((offset, offset + 1)),
            _ => self.is_cut = true,
        }
    }

    /// The first offsets without a document.
    pub(super) fn first_missing(&self) -> Vec<i64> {
        let offsets = self.stretches.iter().flat_map(|(from, to)| *from..*to);
        offsets.take(NAMED_MAX).collect()
    }

    /// All stretches of offsets without a document; `None` where there are too many.
    pub(super) fn stretches(&self) -> Option<Vec<(i64, i64)>> {
        (!self.is_cut).then(|| self.stretches.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(offsets: impl IntoIterator<Item = i64>) -> Found {
        Found {
            offsets: offsets.into_iter().collect(),
            ..Found::default()
        }
    }

    #[test]
    fn windows_are_what_there_is_one_behind_the_other() {
        let all: Vec<(i64, i64)> = windows((5, 250_005)).collect();
        let expected = [(5, 100_005), (100_005, 200_005), (200_005, 250_005)];
        assert_eq!(all, expected);
        assert_eq!(windows((5, 5)).count(), 0);
    }

    #[test]
    fn offsets_are_counted_over_sinks_and_windows() {
        let mut tally = Tally::default();
        let mut first = Window::of((10, 14));
        first.add(found([10, 11]));
        first.add(Found {
            offsets: vec![11],
            more: 3,
            doubled: vec![11],
            repeated: vec![10, 11],
            ..Found::default()
        });
        tally.take(&first, 2);
        // What lacks a document goes on from one window into the next.
        let mut second = Window::of((14, 17));
        second.add(found([15]));
        second.add(found([15]));
        tally.take(&second, 2);
        assert_eq!((tally.in_index, tally.missing, tally.more), (3, 4, 3));
        assert!(tally.is_uneven, "10 is in one of two");
        assert_eq!((tally.doubled, &tally.first_doubled), (1, &vec![11]));
        assert_eq!((tally.repeated, &tally.first_repeated), (2, &vec![10, 11]));
        assert_eq!(tally.stretches(), Some(vec![(12, 15), (16, 17)]));
        assert_eq!(tally.first_missing(), [12, 13, 14, 16]);
    }

    #[test]
    fn documents_are_counted_by_sink_also_where_there_are_none() {
        let mut tally = Tally::default();
        let parts = Found {
            more: 3,
            ..found([15])
        };
        for (bolt, found) in [
            ("index", found([10, 11])),
            ("index", parts),
            ("errors", found([])),
        ] {
            tally.count(bolt, &found);
        }
        let expected = [("errors".to_owned(), 0), ("index".to_owned(), 6)];
        assert_eq!(tally.by_sink, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut tally = Tally::default();
        let every_other = STRETCHES_MAX as i64 * 2;
        for offset in (1..every_other).step_by(2) {
            tally.misses(offset);
        }
        assert!(!tally.is_uneven);
        let stretches = tally.stretches().map(|stretches| stretches.len());
        assert_eq!(stretches, Some(STRETCHES_MAX));
        let mut one_more = Window::of((every_other, every_other + 3));
        one_more.add(found([every_other, every_other + 2]));
        tally.take(&one_more, 1);
        assert_eq!(tally.missing, STRETCHES_MAX as u64 + 1);
        assert_eq!(tally.stretches(), None);
        assert_eq!(tally.first_missing(), [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
        let mut doubled = Window::of((0, 20));
        doubled.add(Found {
            doubled: (0..20).collect(),
            ..found(0..20)
        });
        tally.take(&doubled, 1);
        assert_eq!((tally.doubled, tally.first_doubled.len()), (20, NAMED_MAX));
    }
}
