//! Keeps a bad deploy from dead-lettering a whole stream: of what is read within a time only a part may
//! become dead letters, and what is above that waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{self, Instant};
use crate::health::Health;
use crate::partition::Partitions;

/// The kind of the condition while records wait.
const KIND: &str = "reject_limit";

/// Records that may be dead-lettered within the time in any case: a part of very few is none.
const ALWAYS: u64 = 100;

/// Parts of the time that are told apart.
const STEPS: u32 = 10;

/// How much of what is read may be dead-lettered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RejectLimit {
    /// The part, from 0 to 1.
    pub ratio: f64,
    /// Within this time.
    pub over: Duration,
}

/// The limit at work, shared by all lanes.
pub(crate) struct Limiter {
    limit: RejectLimit,
    /// A record that waits comes again within this time.
    comes_again: Duration,
    /// Those of all spouts.
    partitions: Vec<Arc<Partitions>>,
    health: Health,
    window: Mutex<Window>,
    /// When letters for a bolt had to wait last.
    refused: Mutex<BTreeMap<Arc<str>, Instant>>,
}

struct Window {
    /// The last step that began before the time.
    before: Step,
    /// Those that began within it, oldest first.
    steps: VecDeque<Step>,
    dead_lettered: u64,
}

/// What was counted when a step began.
#[derive(Clone, Copy)]
struct Step {
    at: Instant,
    read: u64,
    dead_lettered: u64,
}

impl Limiter {
    /// `retry_max` is the longest back-off.
    pub(crate) fn new(
        limit: RejectLimit,
        retry_max: Duration,
        partitions: Vec<Arc<Partitions>>,
        health: Health,
    ) -> Self {
        Self {
            limit,
            comes_again: limit.over + retry_max,
            partitions,
            health,
            window: Mutex::new(Window::new()),
            refused: Mutex::default(),
        }
    }

    /// Whether so many records that leave for this bolt may become dead letters now; they are counted
    /// then.
    pub(crate) fn admits(&self, records: usize, dead_letter: &Arc<str>) -> bool {
        let partitions = self.partitions.iter().flat_map(|of_spout| of_spout.all());
        let read = partitions.map(|partition| partition.account().read).sum();
        let now = clock::now();
        let admitted = lock(&self.window).admits(self.limit, records as u64, read, now);
        let mut refused = lock(&self.refused);
        if !admitted {
            self.health.set(dead_letter, KIND, self.text());
            let _ = refused.insert(Arc::clone(dead_letter), now);
        } else if refused.remove(dead_letter).is_some() {
            self.health.clear(dead_letter, KIND);
        }
        admitted
    }

    /// Takes back that records wait where none has come for so long that they must be gone: handed back with
    /// their partition.
    pub(crate) fn look(&self, now: Instant) {
        lock(&self.refused).retain(|dead_letter, at| {
            let may_wait = now - *at <= self.comes_again;
            if !may_wait {
                self.health.clear(dead_letter, KIND);
            }
            may_wait
        });
    }

    fn text(&self) -> String {
        let RejectLimit { ratio, over } = self.limit;
        format!(
            "more than {:.0}% of the records read within {over:?} were rejected: further ones wait instead of being dead-lettered; the dead letters say why, and a topology that is corrected and started again goes on with those that wait",
            ratio * 100.0
        )
    }
}

/// Nothing panics while holding one of these.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Window {
    /// Nothing is read yet.
    fn new() -> Self {
        Self {
            before: Step {
                at: clock::now(),
                read: 0,
                dead_lettered: 0,
            },
            steps: VecDeque::new(),
            dead_lettered: 0,
        }
    }

    fn admits(&mut self, limit: RejectLimit, records: u64, read: u64, now: Instant) -> bool {
        let step = limit.over / STEPS;
        let last = self.steps.back().unwrap_or(&self.before);
        if now - last.at >= step {
            self.steps.push_back(Step {
                at: now,
                read,
                dead_lettered: self.dead_lettered,
            });
        }
        while let Some(first) = self.steps.front()
            && now - first.at > limit.over
        {
            self.before = *first;
            let _ = self.steps.pop_front();
        }
        let first = self.steps.front().copied().unwrap_or(Step {
            at: now,
            read,
            dead_lettered: self.dead_lettered,
        });
        // Letters of a step come within its length; what is read comes all the time.
        let counts_before = now - self.before.at <= limit.over + step;
        let base = if counts_before { self.before } else { first };
        let read = read
            .saturating_sub(self.read_before(first, now - limit.over.min(now - self.before.at)));
        let allowed = ((read as f64 * limit.ratio) as u64).max(ALWAYS);
        let used = self.dead_lettered - base.dead_lettered;
        // Batches pass whole: one with more than is ever allowed would otherwise wait for ever.
        let admitted = used + records <= allowed || used == 0;
        if admitted {
            self.dead_lettered += records;
        }
        admitted
    }

    /// How much had been read at a time between `before` and the next step: in proportion.
    fn read_before(&self, next: Step, at: Instant) -> u64 {
        let between = (next.at - self.before.at).as_secs_f64();
        let since = (at - self.before.at).as_secs_f64();
        let read = next.read.saturating_sub(self.before.read) as f64;
        let part = if between > 0.0 {
            (since / between).min(1.0)
        } else {
            0.0
        };
        self.before.read + (read * part) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RejectLimit = RejectLimit {
        ratio: 0.05,
        over: Duration::from_secs(60),
    };

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_told_until_one_passes_or_none_comes_again() {
        let health = Health::default();
        let (letters, back_off) = (Arc::from("letters"), Duration::from_secs(30));
        let limiter = Limiter::new(LIMIT, back_off, Vec::new(), health.clone());
        assert!(limiter.admits(100, &letters));
        let mut waited = Duration::ZERO;
        while !limiter.admits(1, &letters) {
            limiter.look(clock::now());
            assert_eq!(health.conditions().len(), 1, "{waited:?}");
            tokio::time::advance(LIMIT.over / 10).await;
            waited += LIMIT.over / 10;
            assert!(waited < LIMIT.over * 2);
        }
        assert!(waited >= LIMIT.over && health.conditions().is_empty());
        tokio::time::advance(LIMIT.over * 2).await;
        assert!(limiter.admits(100, &letters) && !limiter.admits(1, &letters));
        // It went to another member of the group with its partition.
        tokio::time::advance(LIMIT.over + back_off).await;
        limiter.look(clock::now());
        assert_eq!(health.conditions().len(), 1, "it may come again");
        tokio::time::advance(Duration::from_millis(1)).await;
        limiter.look(clock::now());
        assert!(health.conditions().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_of_what_is_read_passes_within_the_time_and_some_in_any_case() {
        let mut window = Window::new();
        let mut passed = 0;
        for read in (1_000..=20_000).step_by(1_000) {
            for _ in 0..100 {
                passed += u64::from(window.admits(LIMIT, 1, read, clock::now()));
            }
            assert_eq!(passed, (read / 20).max(ALWAYS));
        }
        // Nothing more is read, as all that is open waits.
        tokio::time::advance(LIMIT.over / 2).await;
        assert!(!window.admits(LIMIT, 1, 20_000, clock::now()));
        tokio::time::advance(LIMIT.over).await;
        assert!(window.admits(LIMIT, 100, 20_000, clock::now()));
        assert!(!window.admits(LIMIT, 1, 20_000, clock::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_long_ago_is_no_licence_to_dead_letter_much() {
        let mut window = Window::new();
        tokio::time::advance(Duration::from_secs(36_000)).await;
        // A million in ten hours: some 1,667 in the last minute.
        assert!(window.admits(LIMIT, 50, 1_000_000, clock::now()));
        assert!(!window.admits(LIMIT, 200, 1_000_000, clock::now()));
        assert!(window.admits(LIMIT, 50, 1_000_000, clock::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_more_than_is_ever_allowed_passes_when_nothing_else_did() {
        let mut window = Window::new();
        assert!(window.admits(LIMIT, 30, 1_000, clock::now()));
        assert!(!window.admits(LIMIT, 150, 1_000, clock::now()));
        tokio::time::advance(LIMIT.over * 2).await;
        assert!(window.admits(LIMIT, 150, 1_000, clock::now()));
        assert!(!window.admits(LIMIT, 1, 1_000, clock::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_with_few_bad_records_never_waits_and_memory_is_bounded() {
        let mut window = Window::new();
        for second in 1..=600 {
            assert!(window.admits(LIMIT, 40, second * 1_000, clock::now()));
            assert!(window.steps.len() <= STEPS as usize + 2);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }
}
