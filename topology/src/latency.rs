//! End-to-end latency: how long records took from their timestamp at the source to their answer, as a
//! histogram. Exact for each record, at the price of one comparison for most batches.

/// Upper bounds of the buckets in ms, inclusive; what is above the last one is in a bucket of its own.
///
/// Steps of 1, 2.5, 5 from 10 ms, below which a batch that waits for its bulk body does not come, to
/// 10 s: a quantile read from them is off by at most that factor. Then what people say of a backlog: half a
/// minute to a day.
pub const LATENCY_BOUNDS_MS: [u64; 17] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000,
    3_600_000, 21_600_000, 86_400_000,
];

/// A histogram of the time from the timestamp of a record to the answer that settled it: delivered,
/// already present, dropped or dead-lettered, retries included.
///
/// The timestamp is the one that the source gives. Of a Kafka topic with `message.timestamp.type=LogAppendTime`
/// it is when the broker appended the record; with `CreateTime`, the default, when the producer says
/// that it made it, by the producer's clock. A time in the future counts as 0 ms; a record without one is
/// not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    buckets: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Timestamps are arbitrary numbers, so sums need more than 64 bits.
    sum_ms: u128,
}

impl Latency {
    /// Records up to each bound of [`LATENCY_BOUNDS_MS`], as Prometheus counts them.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut total = 0;
        LATENCY_BOUNDS_MS
            .iter()
            .zip(&self.buckets)
            .map(move |(bound, records)| {
                total += records;
                (*bound, total)
            })
    }

    /// Records in all.
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

    /// The bound in ms within which so much of the records lies, from 0 to 1; `None` without any record,
    /// and where it is above the last bound.
    pub fn within_ms(&self, part: f64) -> Option<u64> {
        let least = (self.count() as f64 * part).ceil().max(1.0) as u64;
        let found = self.cumulative().find(|(_, records)| *records >= least);
        found.map(|(bound, _)| bound)
    }

    /// Adds the records of another histogram.
    pub(crate) fn add(&mut self, other: &Latency) {
        for (records, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *records += more;
        }
        self.sum_ms += other.sum_ms;
    }

    /// Counts one record that was settled at `now`; both in ms since 1970.
    pub(crate) fn observe(&mut self, now: i64, timestamp: i64) {
        if timestamp >= 0 {
            let age = age(now, timestamp);
            self.buckets[bucket(age)] += 1;
            self.sum_ms += u128::from(age);
        }
    }

    /// Counts all records of a batch that was settled at `now` as a whole. Looks at each only where they
    /// do not share a bucket.
    pub(crate) fn observe_all(&mut self, now: i64, times: &Times, each: impl Iterator<Item = i64>) {
        let shared = bucket(age(now, times.oldest));
        if times.newest <= now && shared == bucket(age(now, times.newest)) {
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

fn bucket(age: u64) -> usize {
    LATENCY_BOUNDS_MS.partition_point(|bound| *bound < age)
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
        assert!(LATENCY_BOUNDS_MS.is_sorted());
        assert_eq!([0, 10, 11, 25].map(bucket), [0, 0, 1, 1]);
        assert_eq!(bucket(86_400_001), LATENCY_BOUNDS_MS.len());
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
