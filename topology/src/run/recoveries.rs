//! What bolts tell of outside systems that take records again, so that what is held goes on at once and
//! not at the end of its back-off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Where a bolt tells that what it held for may go on: what was answered with [`crate::Failure::Held`]
/// is sent again. All bolts of a topology tell it in one place.
#[derive(Clone, Debug, Default)]
pub struct Recoveries(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    /// How many so far, which numbers the last one.
    count: AtomicU64,
    more: Notify,
}

impl Recoveries {
    /// An outside system takes records again. Wakes every spout that has something held: call it at such a
    /// change, never for each request that goes well, and only after records are let through again.
    pub fn tell(&self) {
        let _ = self.0.count.fetch_add(1, Ordering::AcqRel);
        self.0.more.notify_waiters();
    }

    /// The number of the last one, from 1; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    /// Waits for one after that of this number. Cancel-safe.
    pub(crate) async fn after(&self, number: u64) {
        loop {
            let more = self.0.more.notified();
            if self.last() > number {
                return;
            }
            more.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_recovery_is_told_to_all_who_wait_for_it_and_to_those_who_come_late() {
        let told = Recoveries::default();
        let teller = told.clone();
        let (one, two, ()) = tokio::join!(told.after(0), told.after(0), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            teller.tell();
        });
        assert_eq!((one, two, told.last()), ((), (), 1));
        told.after(0).await;
        let none = tokio::time::timeout(Duration::from_secs(1), told.after(1)).await;
        assert!(none.is_err(), "there is no other");
    }
}
