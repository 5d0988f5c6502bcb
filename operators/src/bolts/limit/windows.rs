//! How many records of each key have passed in each window of time. Bounded; decides the same for a
//! record that is seen again.

use std::collections::{HashMap, VecDeque};

use isobar_topology::Ordinals;

/// A key, as a hash; `None` for those that found no room and share one count.
type Key = Option<u64>;

/// Where a record stands in its partition: by offset, and by its numbers where it was split.
pub(super) type Position = (i64, Ordinals);

/// A record, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The hash of its key.
    pub(super) key: u64,
    /// The number of its window.
    pub(super) window: i64,
    /// The hash of cluster and topic, and the partition.
    pub(super) partition: (u64, i32),
    pub(super) position: Position,
}

/// What is decided about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) passes: bool,
    /// Its key found no room and shares a count with others.
    pub(super) shares: bool,
}

/// The counts of one lane.
#[derive(Debug)]
pub(super) struct Windows {
    /// Records of a key that pass in one window, at least 1.
    limit: u32,
    /// Most counts, each of one key, window and partition.
    counts_max: usize,
    counts: HashMap<(Key, i64), Count>,
    /// In the order in which they were made.
    order: VecDeque<(Key, i64)>,
    /// Places in all counts.
    places: usize,
}

#[derive(Debug)]
struct Count {
    passed: u32,
    first: Place,
    /// Of further partitions, which most keys do not have.
    others: Vec<Place>,
}

/// How far the records of a key went in one partition.
#[derive(Clone, Copy, Debug)]
struct Place {
    partition: (u64, i32),
    /// The last one that passed.
    passed: Position,
    /// The last one.
    seen: Position,
}

const NOWHERE: Position = (i64::MIN, Ordinals::NONE);

impl Windows {
    pub(super) fn new(limit: u32, counts_max: usize) -> Self {
        Self {
            limit,
            counts_max,
            counts: HashMap::new(),
            order: VecDeque::new(),
            places: 0,
        }
    }

    /// Bytes for so many counts at most: a table that has just grown is seven sixteenths full, and has
    /// the one of half its size beside it meanwhile; the queue is half full.
    pub(super) fn memory(counts_max: usize) -> usize {
        let entry = (size_of::<((Key, i64), Count)>() + 1) * 16 / 7 * 3 / 2;
        counts_max * (entry + 2 * size_of::<(Key, i64)>())
    }

    /// Decides about a record and counts it, unless it was counted before: records of one partition come
    /// in order, so one that is not after the last of its key was seen already, or failed on its way here.
    pub(super) fn decide(&mut self, record: Seen) -> Decision {
        let own = (Some(record.key), record.window);
        let place = Place {
            partition: record.partition,
            passed: NOWHERE,
            seen: NOWHERE,
        };
        let known = self.counts.get(&own);
        let has_place = known.is_some_and(|count| count.has(record.partition));
        let shares = !has_place && !self.make_room(record.window);
        let id = if shares { (None, record.window) } else { own };
        let count = self.counts.entry(id).or_insert_with(|| {
            self.order.push_back(id);
            self.places += 1;
            Count {
                passed: 0,
                first: place,
                others: Vec::new(),
            }
        });
        if !count.has(record.partition) {
            count.others.push(place);
            self.places += 1;
        }
        let passes = count.decide(record, self.limit);
        Decision { passes, shares }
    }

    /// Whether there is room for another count. The oldest ones go, but none of the window in hand: a key
    /// must not start over because there are many others.
    fn make_room(&mut self, window: i64) -> bool {
        while self.places >= self.counts_max {
            match self.order.front() {
                Some(oldest) if oldest.1 != window => {
                    let gone = self.counts.remove(oldest);
                    self.places -= gone.map_or(0, |count| 1 + count.others.len());
                    let _ = self.order.pop_front();
                }
                _ => return false,
            }
        }
        true
    }
}

impl Count {
    fn has(&self, partition: (u64, i32)) -> bool {
        let mut places = std::iter::once(&self.first).chain(&self.others);
        places.any(|place| place.partition == partition)
    }

    fn decide(&mut self, record: Seen, limit: u32) -> bool {
        let mut places = std::iter::once(&mut self.first).chain(&mut self.others);
        let place = places.find(|place| place.partition == record.partition);
        let place = place.expect("it was added");
        if record.position <= place.seen {
            return record.position <= place.passed;
        }
        place.seen = record.position;
        let passes = self.passed < limit;
        if passes {
            self.passed += 1;
            place.passed = record.position;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn seen(key: u64, window: i64, partition: i32, offset: i64) -> Seen {
        Seen {
            key,
            window,
            partition: (7, partition),
            position: (offset, Ordinals::NONE),
        }
    }

    fn passes(windows: &mut Windows, record: Seen) -> bool {
        windows.decide(record).passes
    }

    #[test]
    fn each_key_has_its_count_in_each_window_over_all_partitions() {
        let mut windows = Windows::new(2, 100);
        let records = [
            (seen(1, 0, 0, 0), true),
            (seen(1, 0, 1, 0), true),
            (seen(1, 0, 0, 1), false),
            (seen(1, 0, 1, 1), false),
            (seen(2, 0, 0, 2), true),
            (seen(1, 1, 0, 3), true),
            // A partition that is behind has what is left of its own window.
            (seen(2, 0, 1, 2), true),
            (seen(2, 0, 1, 3), false),
        ];
        for (record, expected) in records {
            assert_eq!(passes(&mut windows, record), expected, "{record:?}");
        }
    }

    #[test]
    fn a_record_that_is_sent_again_fares_as_before() {
        let mut windows = Windows::new(2, 100);
        let offsets = [5, 6, 7, 8];
        let first = offsets.map(|offset| passes(&mut windows, seen(1, 0, 0, offset)));
        let again = offsets.map(|offset| passes(&mut windows, seen(1, 0, 0, offset)));
        assert_eq!(first, [true, true, false, false]);
        assert_eq!(first, again);
        // One that failed before it came here is behind as well.
        assert!(passes(&mut windows, seen(1, 0, 0, 4)));
    }

    #[test]
    fn keys_without_room_share_a_count_until_the_window_is_over() {
        let mut windows = Windows::new(1, 2);
        let decisions = [1, 2, 3, 4, 1].map(|key| {
            let decision = windows.decide(seen(key, 0, 0, key as i64 + 10));
            (decision.passes, decision.shares)
        });
        let expected = [
            (true, false),
            (true, false),
            (true, true),
            (false, true),
            (true, false),
        ];
        // The last is the first record again.
        assert_eq!(decisions, expected);
        let next = [5, 6, 7].map(|key| windows.decide(seen(key, 1, 0, 30 + key as i64)).shares);
        assert_eq!(next, [false, false, true]);
    }

    proptest! {
        /// With room for all counts each key passes what its limit leaves, whatever the order of
        /// partitions. Without, what is kept is bounded all the same.
        #[test]
        fn each_key_passes_up_to_its_limit_in_bounded_memory(
            limit in 1u32..5,
            counts_max in prop_oneof![1usize..20, Just(1_000)],
            records in prop::collection::vec((0u64..6, 0i64..4, 0i32..3), 0..200),
        ) {
            let mut windows = Windows::new(limit, counts_max);
            let mut of_key: BTreeMap<(u64, i64), (u32, u32)> = BTreeMap::new();
            for (offset, (key, window, partition)) in records.into_iter().enumerate() {
                let decision = windows.decide(seen(key, window, partition, offset as i64));
                let (given, passed) = of_key.entry((key, window)).or_default();
                *given += 1;
                *passed += u32::from(decision.passes);
                let places = windows.counts.values().map(|count| 1 + count.others.len());
                prop_assert_eq!(places.sum::<usize>(), windows.places);
                // Those that share come on top: one for each window and partition.
                prop_assert!(windows.places <= counts_max + 4 * 3);
            }
            if counts_max == 1_000 {
                for (given, passed) in of_key.into_values() {
                    prop_assert_eq!(passed, given.min(limit));
                }
            }
        }
    }
}
