//! How fast a partition is deleted from its beginning.

use std::collections::VecDeque;

/// When the first offset that still exists moved lately, and to where.
#[derive(Debug, Default)]
pub(super) struct DeletionRate {
    start: Option<i64>,
    moved: VecDeque<(i64, i64)>,
}

/// How many are remembered: those of ten minutes, or more.
const MOVES: usize = 12;
/// Of those that are nearer to each other than this, in milliseconds, only the last one is: so that those that are
/// remembered reach back for longer than a window.
const APART_MS: i64 = 60_000;

impl DeletionRate {
    /// Notes a look at the first offset.
    pub(super) fn add(&mut self, start: Option<i64>, at_ms: i64) {
        let Some(start) = start else {
            return;
        };
        match self.start.replace(start) {
            Some(before) if before < start => {
                let before_last = self.moved.len().checked_sub(2);
                let is_near =
                    before_last.is_some_and(|before| at_ms - self.moved[before].0 < APART_MS);
                if is_near {
                    let _ = self.moved.pop_back();
                }
                self.moved.push_back((at_ms, start));
            }
            // Another topic of the same name.
            Some(before) if before > start => self.moved.clear(),
            _ => {}
        }
        if self.moved.len() > MOVES {
            let _ = self.moved.pop_front();
        }
    }

    /// Offsets per second. Brokers look every few minutes and delete a segment at a time, so two deletions that are
    /// `window_ms` apart are the least that tells.
    pub(super) fn per_second(&self, window_ms: i64, now_ms: i64) -> Option<f64> {
        let (first_ms, first) = *self.moved.front()?;
        let (last_ms, last) = *self.moved.back()?;
        if last_ms - first_ms < window_ms {
            return None;
        }
        // What has stopped is not as fast any more.
        let ms = (last_ms - first_ms).max(now_ms - last_ms);
        Some((last - first) as f64 * 1_000.0 / ms as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_that_go_on_for_the_window_tell_how_fast_they_are() {
        let mut rate = DeletionRate::default();
        let mut deleted = |seconds: i64, start| {
            rate.add(Some(start), seconds * 1_000);
            rate.per_second(300_000, seconds * 1_000)
        };
        // What was deleted before the first look says nothing.
        assert_eq!(deleted(0, 5_000), None);
        assert_eq!(deleted(60, 6_000), None);
        assert_eq!(deleted(65, 6_000), None);
        assert_eq!(deleted(359, 7_000), None);
        assert_eq!(deleted(460, 10_000), Some(10.0));
        assert_eq!(deleted(860, 10_000), Some(10.0));
        assert_eq!(deleted(1_260, 10_000), Some(5.0));
        for round in 0..100 {
            let _ = deleted(1_300 + round * 100, 11_000 + round * 3_000);
        }
        assert_eq!(deleted(11_200, 308_000), Some(30.0));
        assert_eq!(deleted(11_300, 0), None, "it was made anew");
        // With each look.
        let each = (0..200).map(|look| deleted(20_000 + look * 5, 1 + look * 50));
        assert_eq!(each.last(), Some(Some(10.0)));
    }
}
