//! Random waits, so that what failed at one moment does not come back at one moment. "Full jitter" of
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>: of the ways compared
//! there, the one with the fewest calls.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::grouping::{mix, share};

/// Draws waits; one seed draws the same ones. SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug, Default)]
pub(crate) struct Jitter(u64);

impl Jitter {
    /// The jitter of one user of a seed.
    pub(crate) fn new(seed: u64, user: u64) -> Self {
        let mut mixed = Self(seed);
        Self(mixed.next() ^ user.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    /// A seed that differs from run to run.
    pub(crate) fn any_seed() -> u64 {
        RandomState::new().hash_one(0)
    }

    /// A wait from 0 to `most`.
    pub(crate) fn within(&mut self, most: Duration) -> Duration {
        most.mul_f64(share(self.next()))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_evenly_and_follow_from_the_seed() {
        let most = Duration::from_secs(10);
        let draw = |seed, user| {
            let mut jitter = Jitter::new(seed, user);
            let waits: Vec<Duration> = (0..1_000).map(|_| jitter.within(most)).collect();
            waits
        };
        let waits = draw(1, 0);
        assert_eq!(waits, draw(1, 0));
        assert_ne!(waits, draw(1, 1));
        assert_ne!(waits, draw(2, 0));
        assert!(waits.iter().all(|wait| *wait <= most));
        for tenth in 0..10 {
            let within = most / 10 * tenth..most / 10 * (tenth + 1);
            let there = waits.iter().filter(|wait| within.contains(wait)).count();
            assert!((60..140).contains(&there), "{tenth}: {there}");
        }
        assert_eq!(Jitter::new(1, 0).within(Duration::ZERO), Duration::ZERO);
        assert_ne!(Jitter::any_seed(), Jitter::any_seed());
    }
}
