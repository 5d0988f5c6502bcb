//! How many bulk requests of a lane are under way at one time: up to `requests_per_lane`, half as many
//! when the cluster refuses for want of room or takes very long, and one more for each round that went
//! well. Additive increase and multiplicative decrease, as TCP has it, since that converges where several
//! lanes and processes share a cluster (Chiu and Jain, Computer Networks and ISDN Systems 17, 1989).

use std::cell::Cell;
use std::time::Duration;

use isobar_topology::Counter;
use isobar_topology::clock::{self, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The slots of a lane for requests.
pub(crate) struct Width {
    most: usize,
    /// An answer that takes longer counts as a refusal.
    slow: Duration,
    now: Cell<usize>,
    slots: Semaphore,
    /// Slots that are withdrawn when the requests that have them end.
    owed: Cell<usize>,
    /// Answers since the width last changed, while all slots were taken.
    went_well: Cell<usize>,
    /// When it was last halved: requests that began before say nothing new.
    halved: Cell<Option<Instant>>,
    withdrawn: Counter,
    restored: Counter,
}

/// Room for one request.
pub(crate) struct Slot<'w> {
    width: &'w Width,
    permit: Option<SemaphorePermit<'w>>,
}

/// How a request ended, as far as it says how much the cluster takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It was worked off.
    Taken,
    /// It, or some of its documents, was refused as queues or memory were full, or had no answer in time.
    Refused,
    /// Nothing: it failed for other reasons.
    None,
}

impl Width {
    /// At most `most` requests; an answer that takes longer than a quarter of
    /// `request_timeout` counts as a refusal. `withdrawn` and `restored` count slots.
    pub(crate) fn new(
        most: usize,
        request_timeout: Duration,
        withdrawn: Counter,
        restored: Counter,
    ) -> Self {
        Self {
            most,
            slow: request_timeout / 4,
            now: Cell::new(most),
            slots: Semaphore::new(most),
            owed: Cell::new(0),
            went_well: Cell::new(0),
            halved: Cell::new(None),
            withdrawn,
            restored,
        }
    }

    /// Whether there is none now.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.available_permits() == 0
    }

    /// Room for a request, once there is some.
    pub(crate) async fn enter(&self) -> Slot<'_> {
        let permit = self.slots.acquire().await.expect("nobody closes it");
        Slot {
            width: self,
            permit: Some(permit),
        }
    }

    /// Notes how a request ended that began at `began`.
    pub(crate) fn learn(&self, began: Instant, sign: Sign) {
        let sign = match sign {
            Sign::Taken if clock::now() - began > self.slow => Sign::Refused,
            sign => sign,
        };
        match sign {
            Sign::None => {}
            Sign::Refused if self.halved.get().is_some_and(|halved| began < halved) => {}
            Sign::Refused => {
                self.halved.set(Some(clock::now()));
                self.change(self.now.get().div_ceil(2));
            }
            // With slots to spare it does not show whether the cluster takes more.
            Sign::Taken if self.slots.available_permits() > 0 => {}
            Sign::Taken => {
                self.went_well.set(self.went_well.get() + 1);
                if self.went_well.get() >= self.now.get() {
                    self.change(self.now.get() + 1);
                }
            }
        }
    }

    fn change(&self, to: usize) {
        let (now, to) = (self.now.get(), to.clamp(1, self.most));
        self.now.set(to);
        self.went_well.set(0);
        if to < now {
            let less = now - to;
            let free = self.slots.forget_permits(less);
            self.owed.set(self.owed.get() + less - free);
            self.withdrawn.add(less as u64);
        } else {
            let more = to - now;
            let owed = self.owed.get().min(more);
            self.owed.set(self.owed.get() - owed);
            self.slots.add_permits(more - owed);
            self.restored.add(more as u64);
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let owed = self.width.owed.get();
        if owed > 0 {
            self.width.owed.set(owed - 1);
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn width(most: usize) -> Width {
        Width::new(most, TIMEOUT, Counter::default(), Counter::default())
    }

    /// Keeps all slots busy at a cluster that works on so many requests at a time, `each` long, and
    /// queues or refuses what is above `queue`; gives the greatest width of each of `rounds` answers.
    async fn against(width: &Width, works: usize, queue: usize, rounds: usize) -> Vec<usize> {
        let each = Duration::from_millis(40);
        // Slot, when it began, when it ends, and how.
        let mut under_way: Vec<(Slot<'_>, Instant, Instant, Sign)> = Vec::new();
        let mut free_at = vec![clock::now(); works];
        let mut widths = Vec::new();
        for _ in 0..rounds {
            while width.slots.available_permits() > 0 {
                let slot = width.enter().await;
                let now = clock::now();
                let waiting = under_way.iter().filter(|(.., sign)| *sign == Sign::Taken);
                if waiting.count() >= works + queue {
                    under_way.push((slot, now, now + Duration::from_millis(1), Sign::Refused));
                    continue;
                }
                let worker = free_at.iter_mut().min().expect("one works");
                *worker = (*worker).max(now) + each;
                under_way.push((slot, now, *worker, Sign::Taken));
            }
            let first = (0..under_way.len()).min_by_key(|at| under_way[*at].2);
            let (slot, began, ends, sign) = under_way.remove(first.expect("one is under way"));
            tokio::time::sleep_until(ends).await;
            width.learn(began, sign);
            drop(slot);
            widths.push(width.now.get());
        }
        assert!(under_way.len() <= width.now.get() + width.owed.get());
        widths
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_takes_all_gets_as_many_as_are_allowed() {
        let width = width(8);
        let widths = against(&width, 8, 0, 400).await;
        assert!(widths.iter().all(|width| *width == 8), "{widths:?}");
        assert_eq!(width.withdrawn.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_halve_it_once_for_each_round_trip_and_it_grows_again_one_by_one() {
        let width = width(16);
        let began = clock::now();
        let slots = [width.enter().await, width.enter().await];
        tokio::time::advance(Duration::from_millis(10)).await;
        for _ in 0..10 {
            width.learn(began, Sign::Refused);
        }
        assert_eq!(width.now.get(), 8);
        assert_eq!(width.slots.available_permits(), 6);
        drop(slots);
        assert_eq!(width.slots.available_permits(), 8);
        tokio::time::advance(Duration::from_millis(10)).await;
        for expected in [4, 2, 1, 1] {
            let began = clock::now();
            tokio::time::advance(Duration::from_millis(10)).await;
            width.learn(began, Sign::Refused);
            assert_eq!(width.now.get(), expected);
        }
        let widths = against(&width, 64, 0, 1 + (1..16).sum::<usize>()).await;
        assert_eq!(widths.last(), Some(&16));
        assert!(widths.is_sorted());
        assert_eq!((width.withdrawn.get(), width.restored.get()), (15, 15));
    }

    #[tokio::test(start_paused = true)]
    async fn it_keeps_close_to_what_the_cluster_takes() {
        let width = width(64);
        let _ = against(&width, 4, 2, 400).await;
        let widths = against(&width, 4, 2, 1_000).await;
        assert!(
            widths.iter().all(|width| (3..=7).contains(width)),
            "{widths:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_very_long_counts_as_a_refusal() {
        let width = width(4);
        let began = clock::now();
        tokio::time::advance(TIMEOUT / 4).await;
        width.learn(began, Sign::Taken);
        assert_eq!(width.now.get(), 4);
        tokio::time::advance(Duration::from_millis(1)).await;
        width.learn(began, Sign::Taken);
        assert_eq!(width.now.get(), 2);
        width.learn(began, Sign::None);
        assert_eq!(width.now.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn with_slots_to_spare_nothing_is_learned() {
        let width = width(8);
        width.learn(clock::now(), Sign::Refused);
        let slot = width.enter().await;
        for _ in 0..100 {
            width.learn(clock::now(), Sign::Taken);
        }
        assert_eq!(width.now.get(), 4);
        drop(slot);
    }
}
