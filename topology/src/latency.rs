//! How long things took, as a histogram: records from their timestamp at the source to their answer, exact
//! for each, at the price of one comparison for most batches; and requests to outside systems.

use std::time::Duration;

/// Upper bounds of the buckets of a histogram in ms, inclusive and ascending; what is above the last one
/// is in a bucket of its own.
type Bounds = [u64; 17];

/// The bounds of what records take from end to end.
///
/// Steps of 1, 2.5, 5 from 10 ms, below which a batch that waits for its bulk body does not come, to
/// 10 s: a quantile read from them is off by at most that factor. Then what people say of a backlog: half a
/// minute to a day. A build that measures acks has them near what acks take.
pub const LATENCY_BOUNDS_MS: Bounds = match cfg!(isobar_fine_latency) {
    true => [
        4, 6, 8, 10, 12, 13, 14, 15, 16, 17, 18, 20, 22, 25, 30, 40, 60,
    ],
    false => [
        10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000,
        3_600_000, 21_600_000, 86_400_000,
    ],
};

/// The bounds of what requests take: from 1 ms, on one machine, in the same steps to 10 s, then half a minute,
/// the time-out that most leave as it is, and longer ones.
pub const REQUEST_BOUNDS_MS: Bounds = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000,
    300_000,
];

/// A histogram of times. That of records, which is the default, tells the time from the timestamp of a
/// record to the answer that settled it: delivered, already present, dropped or dead-lettered, retries
/// included.
///
/// The timestamp is the one that the source gives. Of a Kafka topic with `message.timestamp.type=LogAppendTime`
/// it is when the broker appended the record; with `CreateTime`, the default, when the producer says
/// that it made it, by the producer's clock. A time in the future counts as 0 ms; a record without one is
/// not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    bounds: &'static Bounds,
    buckets: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Timestamps are arbitrary numbers, so sums need more than 64 bits.
    sum_ms: u128,
}

/// That of records: [`LATENCY_BOUNDS_MS`].
impl Default for Latency {
    fn default() -> Self {
        Self::with_bounds(&LATENCY_BOUNDS_MS)
    }
}

impl Latency {
    /// A histogram of what requests take: [`REQUEST_BOUNDS_MS`].
    pub fn of_requests() -> Self {
        Self::with_bounds(&REQUEST_BOUNDS_MS)
    }

    fn with_bounds(bounds: &'static Bounds) -> Self {
        Self {
            bounds,
            buckets: Default::default(),
            sum_ms: 0,
        }
    }

    /// How many took up to each bound, in ms, as Prometheus counts them.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut total = 0;
        self.bounds
            .iter()
            .zip(&self.buckets)
            .map(move |(bound, records)| {
                total += records;
                (*bound, total)
            })
    }

    /// How many in all.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all times, in ms.
    pub fn sum_ms(&self) -> u128 {
        self.sum_ms
    }

    /// What came in addition since `before`, an earlier copy.
    pub fn since(&self, before: &Latency) -> Latency {
        let mut since = self.clone();
        for (records, before) in since.buckets.iter_mut().zip(&before.buckets) {
            *records = records.saturating_sub(*before);
        }
        since.sum_ms = since.sum_ms.saturating_sub(before.sum_ms);
        since
    }

    /// The bound in ms within which so much of all lies, from 0 to 1; `None` without any, and where it is
    /// above the last bound.
    pub fn within_ms(&self, part: f64) -> Option<u64> {
        let least = (self.count() as f64 * part).ceil().max(1.0) as u64;
        let found = self.cumulative().find(|(_, records)| *records >= least);
        found.map(|(bound, _)| bound)
    }

    /// Adds another histogram of the same kind.
    pub(crate) fn add(&mut self, other: &Latency) {
        debug_assert_eq!(self.bounds, other.bounds);
        for (records, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *records += more;
        }
        self.sum_ms += other.sum_ms;
    }

    /// Counts one record that was settled at `now`; both in ms since 1970.
    pub(crate) fn observe(&mut self, now: i64, timestamp: i64) {
        if timestamp >= 0 {
            self.count_one(age(now, timestamp));
        }
    }

    /// Counts one that took so long; parts of a millisecond count as one.
    pub(crate) fn took(&mut self, time: Duration) {
        let ms = time.as_micros().div_ceil(1_000);
        self.count_one(u64::try_from(ms).unwrap_or(u64::MAX));
    }

    fn count_one(&mut self, ms: u64) {
        self.buckets[self.bucket(ms)] += 1;
        self.sum_ms += u128::from(ms);
    }

    fn bucket(&self, ms: u64) -> usize {
        self.bounds.partition_point(|bound| *bound < ms)
    }

    /// Counts all records of a batch that was settled at `now` as a whole. Looks at each only where they
    /// do not share a bucket.
    pub(crate) fn observe_all(&mut self, now: i64, times: &Times, each: impl Iterator<Item = i64>) {
        let shared = self.bucket(age(now, times.oldest));
        if times.newest <= now && shared == self.bucket(age(now, times.newest)) {
            self.buckets[shared] += times.count;
            let ages = i128::from(now) * i128::from(times.count) - times.sum;
            self.sum_ms += u128::try_from(ages).unwrap_or(0);
        } else {
            each.for_each(|timestamp| self.observe(now, timestamp));
        }
    }
}

fn age(now: i64, timestamp: i64) -> u64 {
    u64::try_from(now.saturating_sub(timestamp)).unwrap_or(0)
}

/// The timestamps of a batch in short, in ms since 1970; of records without one nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    oldest: i64,
    newest: i64,
    sum: i128,
    count: u64,
}

impl Times {
    pub(crate) fn add(&mut self, timestamp: i64) {
        if timestamp < 0 {
            return;
        }
        self.oldest = match self.count {
            0 => timestamp,
            _ => self.oldest.min(timestamp),
        };
        self.newest = self.newest.max(timestamp);
        self.sum += i128::from(timestamp);
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_are_inclusive_and_ascend() {
        assert!(LATENCY_BOUNDS_MS.is_sorted() && REQUEST_BOUNDS_MS.is_sorted());
        let records = Latency::default();
        assert_eq!([0, 10, 11, 25].map(|ms| records.bucket(ms)), [0, 0, 1, 1]);
        assert_eq!(records.bucket(86_400_001), LATENCY_BOUNDS_MS.len());
    }

    #[test]
    fn parts_of_a_millisecond_count_as_one() {
        let mut requests = Latency::of_requests();
        for micros in [0, 1, 1_000, 1_001, 2_001, 300_000_001] {
            requests.took(Duration::from_micros(micros));
        }
        let first: Vec<_> = requests.cumulative().take(3).collect();
        assert_eq!(first, [(1, 3), (2, 4), (5, 5)]);
        assert_eq!((requests.count(), requests.sum_ms()), (6, 300_008));
        assert_eq!(requests.within_ms(1.0), None, "above the last bound");
    }

    #[test]
    fn parts_lie_within_the_bound_of_their_bucket() {
        let mut latency = Latency::default();
        assert_eq!(latency.within_ms(0.5), None);
        for age in [5, 5, 5, 200] {
            latency.observe(1_000, 1_000 - age);
        }
        let parts = [0.0, 0.75, 0.76, 1.0].map(|part| latency.within_ms(part));
        assert_eq!(parts, [Some(10), Some(10), Some(250), Some(250)]);
        let before = latency.clone();
        latency.observe(90_000_000, 0);
        assert_eq!(latency.within_ms(1.0), None, "above the last bound");
        assert_eq!((latency.since(&before).count(), latency.count()), (1, 5));
        assert_eq!(latency.sum_ms(), 90_000_215);
    }

    proptest! {
        /// The short way over a batch counts what looking at each record counts.
        #[test]
        fn a_batch_counts_as_its_records(
            now in 0i64..200_000_000,
            near in prop::collection::vec(-1i64..200, 0..20),
            any in prop::collection::vec(any::<i64>(), 0..3),
        ) {
            let near = near.into_iter().map(|age| if age < 0 { -1 } else { now - age });
            let timestamps: Vec<i64> = near.chain(any).collect();
            let mut times = Times::default();
            let (mut whole, mut each) = (Latency::default(), Latency::default());
            for timestamp in &timestamps {
                times.add(*timestamp);
                each.observe(now, *timestamp);
            }
            whole.observe_all(now, &times, timestamps.into_iter());
            prop_assert_eq!(whole, each);
        }
    }
}
