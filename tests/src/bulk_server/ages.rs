//! How old documents are when they are stored: from the timestamp of the record, which the origin in a
//! document tells, by this machine's clock.

use isobar_topology::clock;
use serde_json::{Value, json};

/// Ages from here on, in ms, are counted together.
const MAX: usize = 60_000;

/// A count for each age in ms.
#[derive(Default)]
pub(super) struct Ages {
    /// Records of before this time, in ms since 1970, do not count.
    from: i64,
    counts: Vec<u64>,
    total: u64,
}

impl Ages {
    /// Of records of this moment and later.
    pub(super) fn from_now() -> Self {
        Self {
            from: clock::unix_ms(),
            ..Self::default()
        }
    }

    /// Counts one document; one that tells no time is left out.
    pub(super) fn count(&mut self, source: &[u8]) {
        let timestamp = timestamp(source).filter(|timestamp| *timestamp >= self.from);
        let Some(timestamp) = timestamp else {
            return;
        };
        let age = usize::try_from(clock::unix_ms() - timestamp).unwrap_or(0);
        let age = age.min(MAX);
        if self.counts.len() <= age {
            self.counts.resize(age + 1, 0);
        }
        self.counts[age] += 1;
        self.total += 1;
    }

    /// The number of documents, and the ages in ms that 50, 99 and 99.9 % of them do not exceed.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "documents": self.total,
            "p50_ms": self.within(0.5),
            "p99_ms": self.within(0.99),
            "p999_ms": self.within(0.999),
            "max_ms": self.within(1.0),
        })
    }

    fn within(&self, part: f64) -> Option<usize> {
        let wanted = (self.total as f64 * part).ceil() as u64;
        let mut seen = 0;
        let reaches = |count: &u64| {
            seen += count;
            seen >= wanted
        };
        self.counts.iter().position(reaches)
    }
}

/// The number behind `"ts":`, which stands at the end of a document.
fn timestamp(source: &[u8]) -> Option<i64> {
    let at = memchr::memmem::rfind(source, b"\"ts\":")? + 5;
    let digits = source[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let number = |number: i64, digit: &u8| Some(number * 10 + i64::from(digit - b'0'));
    digits.take(15).try_fold(0, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_records_do_not_count() {
        let mut ages = Ages::from_now();
        for timestamp in [ages.from - 1, ages.from] {
            ages.count(format!("{{\"_isobar\":{{\"ts\":{timestamp}}}}}").as_bytes());
        }
        assert_eq!(ages.to_json()["documents"], 1);
    }

    #[test]
    fn ages_follow_from_the_origin() {
        let mut ages = Ages::default();
        let at = |timestamp: i64| format!("{{\"a\":1,\"_isobar\":{{\"o\":7,\"ts\":{timestamp}}}}}");
        let now = clock::unix_ms();
        for timestamp in [now - 50_000, now + 50_000] {
            ages.count(at(timestamp).as_bytes());
        }
        ages.count(b"{}");
        let counted = ages.to_json();
        assert_eq!(
            (&counted["documents"], &counted["p50_ms"]),
            (&json!(2), &json!(0))
        );
        let oldest = counted["p999_ms"].as_u64().expect("a number");
        assert!((50_000..60_000).contains(&oldest), "{oldest}");
    }
}
