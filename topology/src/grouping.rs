//! How the records of a stream are spread over the lanes of the bolt that consumes it.

use crate::batch::Batch;
use crate::record::Record;

/// Key slots of the groupings `fields` and `partial_key`. Fixed, so that the slot of a key never depends on the number of
/// lanes; slots are dealt to lanes in turn.
pub const KEY_SLOTS: usize = 256;

/// A stable 64-bit hash (FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>) over the raw JSON of
/// key fields. An absent field hashes like an empty one.
#[derive(Clone, Copy, Debug)]
pub struct KeyHash(u64);

impl Default for KeyHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

/// Mixes bits so that each depends on all: the last step of SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) fn mix(bits: u64) -> u64 {
    let mixed = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Evenly mixed bits as a number from 0 to below 1, by the 53 that a double has room for.
pub(crate) fn share(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

impl KeyHash {
    /// Adds one field.
    pub fn add(&mut self, raw: Option<&[u8]>) {
        for byte in raw.unwrap_or_default().iter().chain(&[0xFF]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    /// All 64 bits, mixed so that each depends on every byte.
    pub fn mixed(self) -> u64 {
        mix(self.0)
    }

    /// Where the key stands between 0 and 1, evenly spread.
    pub fn share(self) -> f64 {
        share(self.mixed())
    }

    /// The key's slot, below [`KEY_SLOTS`].
    pub fn slot(self) -> usize {
        // The low bits of FNV-1a alone depend too little on the last byte.
        ((self.0 ^ (self.0 >> 32)) % KEY_SLOTS as u64) as usize
    }

    /// The key's slot and another one, which depends on it as little as hashes allow.
    pub fn slots(self) -> [usize; 2] {
        [self.slot(), (self.mixed() % KEY_SLOTS as u64) as usize]
    }
}

/// The lane that serves a key slot.
pub(crate) fn lane_of_slot(slot: usize, lanes: usize) -> usize {
    slot % lanes
}

/// Parts a batch by key: one part for each lane, order kept.
pub(crate) fn part_by_key(
    batch: Batch,
    lanes: usize,
    slot: impl Fn(Record<'_>) -> usize,
) -> Vec<Option<Batch>> {
    let part_of: Vec<u8> = batch
        .records()
        .map(|record| lane_of_slot(slot(record), lanes) as u8)
        .collect();
    batch.part(&part_of, lanes)
}

/// The two lanes that serve a key with these slots: different ones, unless there is one lane only.
pub(crate) fn lanes_of_slots([first, second]: [usize; 2], lanes: usize) -> [usize; 2] {
    let first = lane_of_slot(first, lanes);
    match lanes {
        1 => [first, first],
        // Of the others, counted from the one behind it.
        _ => [first, (first + 1 + second % (lanes - 1)) % lanes],
    }
}

/// How many records went to each lane along one edge, as seen from one lane: what tells which of two
/// is less loaded.
///
/// Each sender goes by what it has sent itself, which balances the sum as well as if all shared their
/// counts (Nasir et al., "The Power of Both Choices", ICDE 2015).
#[derive(Debug)]
pub(crate) struct Loads(Vec<u64>);

impl Loads {
    pub(crate) fn new(lanes: usize) -> Self {
        Self(vec![0; lanes])
    }

    /// Chooses for one record, and counts it.
    pub(crate) fn choose(&mut self, [first, second]: [usize; 2]) -> usize {
        let lane = match self.0[second] < self.0[first] {
            true => second,
            false => first,
        };
        self.0[lane] += 1;
        lane
    }

    /// Parts a batch by key: one part for each lane, order kept.
    pub(crate) fn part(
        &mut self,
        batch: Batch,
        slots: impl Fn(Record<'_>) -> [usize; 2],
    ) -> Vec<Option<Batch>> {
        let lanes = self.0.len();
        let part_of: Vec<u8> = batch
            .records()
            .map(|record| self.choose(lanes_of_slots(slots(record), lanes)) as u8)
            .collect();
        batch.part(&part_of, lanes)
    }
}

/// Deals batches to lanes: the next one in turn, so that a slow lane holds up at most its share of
/// what is sent.
#[derive(Debug, Default)]
pub(crate) struct Turn(usize);

impl Turn {
    pub(crate) fn next(&mut self, lanes: usize) -> usize {
        self.0 = (self.0 + 1) % lanes;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::symbol::Symbols;
    use crate::testing::{Harness, Input};

    fn slot(fields: &[Option<&[u8]>]) -> usize {
        let mut hash = KeyHash::default();
        fields.iter().for_each(|field| hash.add(*field));
        hash.slot()
    }

    #[test]
    fn the_slot_of_a_key_never_changes() {
        // Values of the first release: repartitioned data depends on them.
        let golden = [
            slot(&[None]),
            slot(&[Some(b"\"web-1\"")]),
            slot(&[Some(b"7"), Some(b"\"x\"")]),
        ];
        assert_eq!(golden, GOLDEN);
    }

    const GOLDEN: [usize; 3] = [34, 74, 235];

    #[test]
    fn batches_are_dealt_evenly() {
        let mut turn = Turn::default();
        let mut dealt = [0; 3];
        (0..30).for_each(|_| dealt[turn.next(3)] += 1);
        assert_eq!(dealt, [10; 3]);
    }

    proptest! {
        /// Each record goes to the lane of its slot, in the order of the batch; none is lost or doubled.
        #[test]
        fn records_of_one_slot_go_to_one_lane_in_order(
            lanes in 1usize..9,
            slots in prop::collection::vec(0..KEY_SLOTS, 1..40),
        ) {
            let mut harness = Harness::new(Symbols::new());
            let inputs = vec![Input::raw("x"); slots.len()];
            let slot = |record: Record<'_>| slots[record.offset() as usize];
            let parts = part_by_key(harness.batch(&inputs), lanes, slot);
            prop_assert_eq!(parts.len(), lanes);
            for (lane, part) in parts.into_iter().enumerate() {
                let all = 0..slots.len() as i64;
                let expected: Vec<i64> = all.filter(|at| slots[*at as usize] % lanes == lane).collect();
                let offsets = part.map(|part| part.records().map(|r| r.offset()).collect());
                let offsets: Vec<i64> = offsets.unwrap_or_default();
                prop_assert_eq!(offsets, expected);
            }
        }

        /// A key has two lanes, always the same; each record goes to the one of them that has less.
        #[test]
        fn records_of_one_key_go_to_the_less_loaded_of_two_lanes(
            lanes in 1usize..9,
            slots in prop::collection::vec((0..KEY_SLOTS, 0..KEY_SLOTS), 1..40),
        ) {
            let mut harness = Harness::new(Symbols::new());
            let inputs = vec![Input::raw("x"); slots.len()];
            let slots_of = |record: Record<'_>| <[usize; 2]>::from(slots[record.offset() as usize]);
            let parts = Loads::new(lanes).part(harness.batch(&inputs), slots_of);
            let mut lane_of = vec![None; slots.len()];
            for (lane, part) in parts.into_iter().enumerate() {
                let Some(part) = part else { continue };
                let offsets: Vec<i64> = part.records().map(|record| record.offset()).collect();
                prop_assert!(offsets.is_sorted());
                for offset in offsets {
                    prop_assert_eq!(lane_of[offset as usize].replace(lane), None);
                }
            }
            let mut loads = vec![0; lanes];
            for (slots, lane) in slots.iter().zip(lane_of) {
                let lane = lane.expect("each record goes somewhere");
                let two = lanes_of_slots((*slots).into(), lanes);
                prop_assert!(lanes == 1 || two[0] != two[1]);
                prop_assert!(two.contains(&lane));
                prop_assert!(two.iter().all(|other| loads[lane] <= loads[*other]));
                loads[lane] += 1;
            }
        }

        /// What `fields` cannot spread, as one key has half of the records: no lane has much more than
        /// that half needs.
        #[test]
        fn a_frequent_key_is_spread_over_two_lanes(lanes in 2usize..9, prefix in "[a-z]{0,5}") {
            let mut loads = Loads::new(lanes);
            let mut of_frequent = vec![0u64; lanes];
            for n in 0..4000 {
                let rest = if n % 2 == 0 { "frequent".to_owned() } else { n.to_string() };
                let mut hash = KeyHash::default();
                hash.add(Some(format!("\"{prefix}{rest}\"").as_bytes()));
                let lane = loads.choose(lanes_of_slots(hash.slots(), lanes));
                of_frequent[lane] += u64::from(n % 2 == 0);
            }
            let fair = 4000 / lanes as u64;
            let most = fair.max(1000) * 5 / 4;
            prop_assert!(loads.0.iter().all(|load| *load <= most), "{:?}", loads);
            prop_assert!(of_frequent.iter().filter(|count| **count > 0).count() <= 2);
        }

        #[test]
        fn keys_spread_over_all_lanes(lanes in 1usize..9, prefix in "[a-z]{0,5}") {
            let mut counts = vec![0usize; lanes];
            for n in 0..2000 {
                let key = format!("\"{prefix}{n}\"");
                counts[lane_of_slot(slot(&[Some(key.as_bytes())]), lanes)] += 1;
            }
            let fair = 2000 / lanes;
            prop_assert!(counts.iter().all(|count| *count > fair / 2 && *count < fair * 2), "{:?}", counts);
        }

        #[test]
        fn field_borders_matter(a in "[a-z]{1,4}", b in "[a-z]{1,4}") {
            let joined = format!("{a}{b}");
            let apart = slot(&[Some(a.as_bytes()), Some(b.as_bytes())]);
            let mut one = KeyHash::default();
            one.add(Some(joined.as_bytes()));
            one.add(None);
            let mut two = KeyHash::default();
            two.add(Some(a.as_bytes()));
            two.add(Some(b.as_bytes()));
            prop_assert_ne!(one.0, two.0);
            prop_assert!(apart < KEY_SLOTS);
        }
    }
}
