//! What the group has committed, looked at all the time. A member that was put out of its group knows
//! older offsets than the one that reads on: were its commit taken, the group would go back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::services::KafkaClient;
use testkit::wait;

const PAUSE: Duration = Duration::from_millis(300);

pub(super) struct Commits<'k> {
    pub(super) kafka: &'k KafkaClient,
    pub(super) group: &'static str,
}

impl Commits<'_> {
    /// Looks until it is over; panics when a commit is before one that was seen, or beyond the end.
    pub(super) fn watch(&self, over: &AtomicBool) {
        let mut seen: Vec<i64> = Vec::new();
        while !over.load(Ordering::Acquire) {
            // While a broker is away there may be no answer.
            if let Ok(committed) = self.kafka.committed(self.group, "logs") {
                let committed = committed.iter().map(|offset| offset.unwrap_or(0));
                let committed: Vec<i64> = committed.collect();
                let goes_back = seen.iter().zip(&committed).any(|(old, new)| new < old);
                assert!(!goes_back, "from {seen:?} to {committed:?}");
                seen = committed;
            }
            wait::rest(PAUSE);
        }
    }
}
