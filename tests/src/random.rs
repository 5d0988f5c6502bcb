//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): eight
//! lines that never change with a dependency, so that a seed written down today means the same run
//! tomorrow.

use std::ops::Range;

/// A stream of numbers from one seed.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        scramble(self.0)
    }

    /// A number of the range, which is not empty.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.number() % (range.end - range.start)
    }

    /// As [`within`](Self::within), for sizes and positions.
    pub fn size(&mut self, range: Range<usize>) -> usize {
        self.within(range.start as u64..range.end as u64) as usize
    }

    /// True in so many of 1,000 cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.number() % 1000 < per_mille
    }

    /// One of these, of which there is at least one.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.size(0..choices.len())]
    }
}

/// A number that depends on all of these and on nothing else: what is decided about a record once and
/// for all, in whatever order bolts come to see it.
pub fn fixed(parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(0, |mixed: u64, part| scramble(mixed.rotate_left(23) ^ part))
}

fn scramble(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[test]
fn the_stream_of_a_seed_never_changes() {
    // The first outputs for seed 1234567 of the reference implementation, prng.di.unimi.it/splitmix64.c.
    let mut random = Random::new(1_234_567);
    let numbers = [random.number(), random.number(), random.number()];
    let reference = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
    ];
    assert_eq!(numbers, reference);
}
