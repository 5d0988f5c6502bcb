//! How long the requests of a bolt to an outside system took, by the host that was asked. Bolts that ask
//! nobody have none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::latency::Latency;

/// The histograms of a bolt, one for each host: summed over lanes, kept when the bolt is made anew.
#[derive(Clone, Debug, Default)]
pub struct RequestTimes(Arc<Mutex<Vec<RequestTime>>>);

/// That of one host: get it once when the bolt is opened, add to it once per request.
#[derive(Clone, Debug)]
pub struct RequestTime {
    host: Arc<str>,
    times: Arc<Mutex<Latency>>,
}

impl RequestTimes {
    /// That of the host of this name, made at the first call; later calls, from any lane, give the same
    /// one. There are as many as hosts in a topology file, so the name must not follow from records.
    pub fn of(&self, host: &str) -> RequestTime {
        let mut known = lock(&self.0);
        if let Some(known) = known.iter().find(|known| *known.host == *host) {
            return known.clone();
        }
        let made = RequestTime {
            host: host.into(),
            times: Arc::new(Mutex::new(Latency::of_requests())),
        };
        known.push(made.clone());
        made
    }

    /// A copy of each with the name of its host, in the order in which they were made.
    pub fn values(&self) -> Vec<(Arc<str>, Latency)> {
        let known = lock(&self.0);
        let each = known.iter();
        each.map(|one| (Arc::clone(&one.host), lock(&one.times).clone()))
            .collect()
    }
}

impl RequestTime {
    /// Counts a request that took so long, from when it was sent to the end of its answer.
    pub fn took(&self, time: Duration) {
        lock(&self.times).took(time);
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding it.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_to_one_host_are_counted_together_whatever_lane_sends_them() {
        let times = RequestTimes::default();
        let other_lane = times.clone();
        times.of("http://a").took(Duration::from_millis(3));
        other_lane.of("http://b").took(Duration::from_secs(2));
        other_lane.of("http://a").took(Duration::from_millis(4));
        let values = times.values();
        let shown: Vec<_> = values
            .iter()
            .map(|(host, times)| (&**host, times.count(), times.sum_ms()))
            .collect();
        assert_eq!(shown, [("http://a", 2, 7), ("http://b", 1, 2_000)]);
    }
}
