//! How fast a spout may read, over all its lanes.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use isobar_topology::clock::{self, Instant};

/// When the next batch may be read.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    due: Mutex<Option<Instant>>,
}

impl Pace {
    /// Until when reading has to wait with so many records per second at most; `None` for not at all.
    pub(crate) fn due(&self, rate: Option<NonZeroU32>) -> Option<Instant> {
        // Without a rate nothing is locked.
        let _ = rate?;
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.filter(|due| *due > clock::now())
    }

    /// Notes that so many records were read. What was not used before is gone: after a pause there is no
    /// burst.
    pub(crate) fn took(&self, rate: Option<NonZeroU32>, records: usize) {
        let Some(rate) = rate else {
            return;
        };
        let cost = Duration::from_secs_f64(records as f64 / f64::from(rate.get()));
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        *due = Some(due.map_or(now, |due| due.max(now)) + cost);
    }
}

/// The records of a batch at most, with so many per second: what is read at once is paid for by a rest as long, which
/// is to be short.
pub(crate) fn batch_records(rate: Option<NonZeroU32>, most: usize) -> usize {
    let quarter = rate.map(|rate| rate.get() / 4);
    quarter.map_or(most, |quarter| most.min(quarter.max(1) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_pace_goes_by_small_steps() {
        let check = |rate, expected| {
            assert_eq!(batch_records(NonZeroU32::new(rate), 1_000), expected);
        };
        check(0, 1_000);
        check(1, 1);
        check(10, 2);
        check(100, 25);
        check(1_000_000, 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn lanes_together_keep_the_rate_and_a_pause_earns_no_burst() {
        let rate = NonZeroU32::new(1_000);
        let pace = Pace::default();
        let start = clock::now();
        assert_eq!(pace.due(rate), None);
        pace.took(rate, 500);
        pace.took(rate, 250);
        assert_eq!(pace.due(rate), Some(start + Duration::from_millis(750)));
        assert_eq!(pace.due(None), None);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(pace.due(rate), None);
        pace.took(rate, 100);
        let due = Some(start + Duration::from_millis(60_100));
        assert_eq!(pace.due(rate), due);
    }
}
