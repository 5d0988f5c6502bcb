//! How old records were when they were settled, by the program's own histogram.

use anyhow::{Context, Result};

use crate::http;

/// Upper bounds in seconds, and how many records were as young as that when they were settled.
pub struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// What a running topology says of all that it has settled so far.
    pub fn of(address: &str) -> Result<Self> {
        let text = http::get(address, "/metrics")?.text();
        let buckets = text
            .lines()
            .filter_map(|line| line.strip_prefix("isobar_end_to_end_latency_seconds_bucket{"));
        let bucket = |line: &str| {
            let (labels, count) = line.rsplit_once("} ").context("no count")?;
            let bound = labels.rsplit('"').nth(1).context("no bound")?;
            Ok((bound.replace("+Inf", "inf").parse()?, count.parse()?))
        };
        buckets.map(bucket).collect::<Result<_>>().map(Self)
    }

    /// The part of it that came after an earlier one.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let both = self.0.iter().zip(&before.0);
        Self(both.map(|(now, then)| (now.0, now.1 - then.1)).collect())
    }

    /// The share of the records that were no older than a bound of the histogram, in seconds.
    pub fn share(&self, bound: f64) -> f64 {
        let count = |at: Option<&(f64, f64)>| at.map_or(f64::NAN, |bucket| bucket.1);
        let within = count(self.0.iter().find(|bucket| bucket.0 == bound));
        within / count(self.0.last())
    }

    /// The age, in seconds, that this share of the records did not pass; as Prometheus does it: linear within
    /// a bucket.
    pub fn quantile(&self, share: f64) -> f64 {
        let all = self.0.last().map_or(0.0, |last| last.1);
        let wanted = all * share;
        let mut below = (0.0, 0.0);
        for bucket in &self.0 {
            if bucket.1 >= wanted {
                let part = (wanted - below.1) / (bucket.1 - below.1);
                return below.0 + (bucket.0 - below.0) * part;
            }
            below = *bucket;
        }
        f64::INFINITY
    }
}
