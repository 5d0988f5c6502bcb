//! How seldom a group commits, as far as its commits tell it.

use std::collections::VecDeque;

/// What the last commits of a group told of how long it takes from one to another, in a partition.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// From one commit to another, in milliseconds. Where records come seldom several may have gone by between them
    /// that had nothing to settle.
    stretches: VecDeque<i64>,
    /// How long the oldest record that one of them settled had waited, in milliseconds: a part of such a stretch.
    waits: VecDeque<i64>,
}

/// Of so many stretches the shortest counts: an outage is none.
const STRETCHES: usize = 3;
/// Of so many waits the longest counts: records that come by chance wait for half of a stretch and more, all but one
/// in 256 times.
const WAITS: usize = 8;

impl Habits {
    /// Notes a commit: how long the oldest of what it settled had waited, and how long ago the one before was seen, if
    /// one was; both in milliseconds.
    pub(super) fn note(&mut self, waited: i64, stretch: Option<i64>) {
        keep(&mut self.waits, waited, WAITS);
        if let Some(stretch) = stretch {
            keep(&mut self.stretches, stretch, STRETCHES);
        }
    }

    /// How long it usually takes from one commit to another, in milliseconds; 0 before anything is known. Never more
    /// than it takes from one to another that is seen, nor, once enough have waited, than records wait: where they come
    /// seldom and are settled at once, stretches tell how seldom they come.
    pub(super) fn usual_ms(&self) -> i64 {
        let longest_wait = self.waits.iter().max().copied().unwrap_or(0);
        match self.stretches.iter().min() {
            Some(shortest) if self.waits.len() < WAITS => *shortest,
            Some(shortest) => longest_wait.min(*shortest),
            None => longest_wait,
        }
    }
}

fn keep(last: &mut VecDeque<i64>, ms: i64, most: usize) {
    last.push_back(ms);
    if last.len() > most {
        let _ = last.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(commits: impl IntoIterator<Item = (i64, i64)>) -> i64 {
        let mut habits = Habits::default();
        for (number, (waited, stretch)) in (0..).zip(commits) {
            habits.note(waited, (number > 0).then_some(stretch));
        }
        habits.usual_ms()
    }

    #[test]
    fn one_wait_tells_what_there_is_to_tell_and_a_stretch_more() {
        assert_eq!(usual([]), 0);
        assert_eq!(usual([(20, 0)]), 20);
        assert_eq!(usual([(20, 0), (50, 600)]), 600);
        assert_eq!(usual([(600, 0), (600, 600), (600, 1_200)]), 600);
    }

    #[test]
    fn of_records_that_come_seldom_waits_tell_whether_they_are_settled_at_once() {
        let at_once = [(5, 3_600); 9];
        assert_eq!((usual(at_once), usual([(5, 3_600); 7])), (5, 3_600));
        // Among those that wait for a commit some come just before one.
        let by_turns = (0..20).map(|n| (n * 70 % 600, 1_200));
        assert_eq!(usual(by_turns), 590);
    }

    #[test]
    fn an_outage_is_no_habit() {
        let outage = [(5, 10), (3_000, 3_010), (5, 10)];
        assert_eq!(usual([(5, 10); 20].into_iter().chain(outage)), 10);
        assert_eq!(usual(outage.into_iter().chain([(5, 10); 8])), 5);
    }
}
