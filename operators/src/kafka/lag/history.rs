//! What is remembered of a partition: enough of its past to tell rates, progress and trends, in memory
//! that does not grow.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::sample::Sample;

/// How far back is looked.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Between two points whose lag is compared, in milliseconds.
    pub step_ms: i64,
    /// How many steps make the window.
    pub steps: usize,
}

/// 5 minutes: long enough to forgive a rebalance or a restart, short enough to be told in time.
impl Default for Window {
    fn default() -> Self {
        Self {
            step_ms: 30_000,
            steps: 10,
        }
    }
}

impl Window {
    /// Its length in milliseconds.
    pub fn ms(self) -> i64 {
        self.step_ms * self.steps as i64
    }
}

/// When all of today's lag is settled, at the rates of the last minute; after a stall, at the rate at
/// which records have been settled since it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Eta {
    /// The rates are not known yet.
    #[default]
    Unknown,
    /// Not at these rates: no more is settled than comes in.
    Never,
    /// As much is settled as comes in, and what is behind is what is in hand anyway: there is nothing
    /// to catch up.
    Steady,
    /// In so many seconds.
    Seconds(f64),
}

/// A number of seconds, `"never"`, `"steady"`, or null.
impl Serialize for Eta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown => serializer.serialize_none(),
            Self::Never => serializer.serialize_str("never"),
            Self::Steady => serializer.serialize_str("steady"),
            Self::Seconds(seconds) => serializer.serialize_f64(*seconds),
        }
    }
}

impl<'de> Deserialize<'de> for Eta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Seconds(f64),
            Word(String),
        }
        Ok(match Option::deserialize(deserializer)? {
            None => Self::Unknown,
            Some(Written::Seconds(seconds)) => Self::Seconds(seconds),
            Some(Written::Word(word)) => match word.as_str() {
                "never" => Self::Never,
                "steady" => Self::Steady,
                _ => {
                    let what = format!("{word:?} is no number of seconds, \"never\" or \"steady\"");
                    return Err(serde::de::Error::custom(what));
                }
            },
        })
    }
}

impl Eta {
    /// When the last of several has caught up: unknown if one is, never if one never does. Steady
    /// ones have nothing to catch up.
    pub fn last(etas: impl IntoIterator<Item = Self>) -> Self {
        let mut last = Self::Seconds(0.0);
        for eta in etas {
            last = match (last, eta) {
                (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
                (Self::Never, _) | (_, Self::Never) => Self::Never,
                // Those that have nothing to catch up wait for nobody.
                (Self::Steady, Self::Seconds(0.0) | Self::Steady)
                | (Self::Seconds(0.0), Self::Steady) => Self::Steady,
                (Self::Steady, seconds) | (seconds, Self::Steady) => seconds,
                (Self::Seconds(one), Self::Seconds(other)) => Self::Seconds(one.max(other)),
            };
        }
        last
    }
}

/// A moment of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) at_ms: i64,
    pub(super) end: i64,
    pub(super) done: i64,
    /// How far it would be done if what is answered had come first: at `done`, or after it where
    /// later records are answered before one that is not.
    pub(super) answered: i64,
}

impl Point {
    pub(super) fn lag(&self) -> i64 {
        (self.end - self.done).max(0)
    }

    /// Records that are not answered: fewer than the lag where later ones are.
    fn waiting(&self) -> i64 {
        (self.end - self.answered).max(0)
    }
}

/// The past of one partition.
#[derive(Debug)]
pub(super) struct History {
    window: Window,
    /// Oldest first, each at least a sixth of a step after the one before, but for the newest.
    points: VecDeque<Point>,
    /// Since when there is lag and nothing was answered.
    still: Option<Point>,
    /// Whether anything was answered since the first look, or nothing was behind at one.
    has_moved: bool,
    /// The same of any record at all: where the oldest one waits, later ones may be answered.
    silent: Option<Point>,
    /// The stall that it is recovering from.
    recovery: Option<Recovery>,
    /// How long the last few stretches without progress took, in milliseconds.
    gaps: VecDeque<i64>,
    /// Whether the last point is of a running spout, which knows what is answered behind its frontier.
    is_live: bool,
    /// The highest offset that was committed since somebody put the group anywhere: nothing before it is to be done
    /// again.
    peak: Option<i64>,
    /// Since when a transaction that is open keeps the end where it is.
    blocked_since: Option<i64>,
    /// Records that were lost by now, and when that number rose last.
    lost: u64,
    lost_ms: Option<i64>,
    /// When the ends were last learnt.
    heard_ms: i64,
    /// The first offset that still exists, and when it moved lately, and to where.
    start: Option<i64>,
    deletions: VecDeque<(i64, i64)>,
}

/// What is settled after a stall.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    /// The first point with progress. What it settled was long in the making and tells no rate. Where
    /// later records are answered first, which may go on to the end of the recovery: the point at
    /// which most were waiting.
    from: Point,
    /// Records that were waiting when the stall began: with no more than that it is over.
    waiting_before: i64,
}

impl Recovery {
    /// Whether more has gone by this point than the few that fail for good while all else waits.
    fn goes_on(&self, point: Point) -> bool {
        point.waiting() as f64 <= self.from.waiting() as f64 * GOES_ON
    }
}

/// How far back rates are taken, in milliseconds: two points of the window at least.
const RATE_MS: i64 = 60_000;
/// Rates that differ by less than this part are level: samples fall between batches.
const LEVEL: f64 = 0.1;
/// Work of so many seconds, at the rate of now, is what a pipeline has in hand anyway.
pub(super) const IN_HAND_SECONDS: f64 = 30.0;
/// No progress for so many milliseconds is a stall: the rates of before say nothing about what follows.
const STALL_MS: i64 = 10_000;
/// What waits in a stall, compared with the most that did: with more than this part of it, it still stands.
const GOES_ON: f64 = 0.95;
/// Stretches without progress that are remembered, to learn how seldom a group commits.
const GAPS: usize = 3;
/// Deletions that are remembered, to learn how fast a bound on size deletes: those of ten minutes, or more.
const DELETIONS: usize = 12;
/// Of deletions that are nearer to each other than this, in milliseconds, only the last one is: so that those that
/// are remembered reach back for longer than a window.
const DELETIONS_APART_MS: i64 = 60_000;
/// Points per step: rates need more of them than trends.
const POINTS_PER_STEP: i64 = 6;

impl History {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            points: VecDeque::new(),
            still: None,
            has_moved: false,
            silent: None,
            recovery: None,
            gaps: VecDeque::new(),
            is_live: false,
            peak: None,
            blocked_since: None,
            lost: 0,
            lost_ms: None,
            heard_ms: 0,
            start: None,
            deletions: VecDeque::new(),
        }
    }

    /// Notes a sample. One with an unknown end says nothing.
    pub(super) fn add(&mut self, sample: &Sample) {
        let at_ms = sample.sampled_ms;
        let Some(end) = sample.end else {
            return;
        };
        self.heard_ms = at_ms;
        self.note_start(sample.start, at_ms);
        let done = match sample.done() {
            Some(done) => done,
            // An empty partition is done to its end.
            None if sample.empty().is_some() => end,
            None => return self.forget_progress(),
        };
        let point = Point {
            at_ms,
            end,
            done,
            answered: sample
                .answered()
                .map_or(done, |answered| answered.max(done)),
        };
        let before = self.points.back().copied();
        let is_live = sample.answered().is_some();
        if std::mem::replace(&mut self.is_live, is_live) != is_live {
            // What was answered by then was so before.
            self.recovery = None;
        }
        self.note_progress(before, point);
        self.note_lost(sample, at_ms);
        self.peak = match &sample.metadata {
            // It was meant.
            Some(text) if text.by_hand => sample.committed,
            _ => self.peak.max(sample.committed),
        };
        let waits = sample.high_watermark.is_some_and(|mark| mark > end);
        let same_end = before.is_some_and(|before| before.end == end);
        self.blocked_since = match self.blocked_since {
            _ if !waits => None,
            Some(since) if same_end => Some(since),
            _ => Some(at_ms),
        };
        self.push(point);
    }

    /// The commit is gone, as when it has expired: what was done before it says nothing about what will be, which
    /// begins where somebody says then.
    fn forget_progress(&mut self) {
        self.points.clear();
        self.still = None;
        self.has_moved = false;
        self.silent = None;
        self.recovery = None;
        self.gaps.clear();
        self.peak = None;
        self.blocked_since = None;
    }

    fn note_progress(&mut self, before: Option<Point>, point: Point) {
        self.has_moved |= point.lag() == 0;
        let Some(before) = before else {
            self.still = (point.lag() > 0).then_some(point);
            self.silent = self.still;
            return;
        };
        if point.done < before.done {
            // What was compared with it lies on another path.
            self.points.clear();
            self.recovery = None;
        }
        let moved = point.done != before.done;
        self.has_moved |= moved;
        if let Some(still) = self.still {
            let gap = point.at_ms - still.at_ms;
            // Of a group that commits seldom it is no stall.
            if gap >= STALL_MS && gap > 2 * self.usual_gap_ms() {
                self.note_stall(still, before, point);
            }
            if moved {
                self.gaps.push_back(gap);
                if self.gaps.len() > GAPS {
                    let _ = self.gaps.pop_front();
                }
            }
        }
        self.recovery = self.recovery.filter(|recovery| {
            let recent = point.at_ms - recovery.from.at_ms < RATE_MS;
            recent && point.waiting() > recovery.waiting_before
        });
        self.still = match self.still {
            _ if point.lag() == 0 => None,
            Some(still) if !moved => Some(still),
            _ => Some(point),
        };
        self.silent = match self.silent {
            _ if point.lag() == 0 => None,
            Some(silent) if point.answered == before.answered => Some(silent),
            _ => Some(point),
        };
    }

    /// Notes a point of a stall that began with `still`, or the one that ends it: from where on it recovers.
    fn note_stall(&mut self, still: Point, before: Point, point: Point) {
        let moved = point.done != before.done;
        let newest_before = if moved { before } else { point };
        let recovers = self
            .recovery
            .is_some_and(|recovery| recovery.goes_on(newest_before));
        // Where most of what came is answered a single record is waited for, and nothing piles up.
        let piles_up = 2 * (point.answered - still.answered) <= point.end - still.end;
        if !recovers && (moved || piles_up) {
            self.recovery = Some(Recovery {
                from: point,
                waiting_before: still.waiting(),
            });
        }
    }

    fn note_lost(&mut self, sample: &Sample, at_ms: i64) {
        let lost = sample.progress.map_or(0, |progress| progress.lost);
        if lost > self.lost {
            self.lost_ms = Some(at_ms);
        }
        self.lost = lost;
    }

    fn note_start(&mut self, start: Option<i64>, at_ms: i64) {
        let Some(start) = start else {
            return;
        };
        match self.start.replace(start) {
            Some(before) if before < start => {
                let before_last = self.deletions.len().checked_sub(2);
                let is_near = before_last
                    .is_some_and(|before| at_ms - self.deletions[before].0 < DELETIONS_APART_MS);
                if is_near {
                    let _ = self.deletions.pop_back();
                }
                self.deletions.push_back((at_ms, start));
            }
            // Another topic of the same name.
            Some(before) if before > start => self.deletions.clear(),
            _ => {}
        }
        if self.deletions.len() > DELETIONS {
            let _ = self.deletions.pop_front();
        }
    }

    fn push(&mut self, point: Point) {
        let spacing = self.window.step_ms / POINTS_PER_STEP;
        let newest = self.points.len().checked_sub(1);
        let replace = newest.filter(|newest| {
            *newest > 0 && self.points[*newest].at_ms - self.points[*newest - 1].at_ms < spacing
        });
        match replace {
            Some(newest) => self.points[newest] = point,
            None => self.points.push_back(point),
        }
        let oldest = point.at_ms - self.window.ms() - self.window.step_ms;
        while self
            .points
            .front()
            .is_some_and(|point| point.at_ms < oldest)
        {
            let _ = self.points.pop_front();
        }
    }

    pub(super) fn newest(&self) -> Option<Point> {
        self.points.back().copied()
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// When the ends were last learnt, in milliseconds since 1970; 0 for never.
    pub(super) fn heard_ms(&self) -> i64 {
        self.heard_ms
    }

    /// For how long there has been lag and the oldest record was not answered, in milliseconds; 0 without
    /// lag.
    pub(super) fn still_ms(&self, now_ms: i64) -> Option<u64> {
        self.lasting_ms(self.still, now_ms)
    }

    /// For how long there has been lag and no record at all was answered, in milliseconds; 0 without lag.
    pub(super) fn silent_ms(&self, now_ms: i64) -> Option<u64> {
        self.lasting_ms(self.silent, now_ms)
    }

    fn lasting_ms(&self, since: Option<Point>, now_ms: i64) -> Option<u64> {
        let newest = self.newest()?;
        let since = since.filter(|_| newest.lag() > 0);
        Some(since.map_or(0, |since| u64::try_from(now_ms - since.at_ms).unwrap_or(0)))
    }

    /// Whether anything was answered since the first look, or nothing was behind at one: otherwise nothing is
    /// known of progress yet.
    pub(super) fn has_moved(&self) -> bool {
        self.has_moved
    }

    /// For how long a transaction that is open has kept the end where it is, in milliseconds.
    pub(super) fn blocked_ms(&self, now_ms: i64) -> Option<i64> {
        Some(now_ms - self.blocked_since?)
    }

    /// The highest commit, if the group is before it.
    pub(super) fn rewound_from(&self) -> Option<i64> {
        let newest = self.newest()?;
        self.peak.filter(|peak| newest.done < *peak)
    }

    /// Whether records were lost within the window.
    pub(super) fn lost_lately(&self, now_ms: i64) -> bool {
        let since = self.lost_ms.map(|ms| now_ms - ms);
        since.is_some_and(|since| since <= self.window.ms())
    }

    /// How long no progress is no reason to worry, in milliseconds: the window, or twice the time
    /// that this group usually takes between two commits, at most an hour.
    pub(super) fn patience_ms(&self) -> i64 {
        let usual = self.usual_gap_ms();
        (2 * usual).min(PATIENCE_MAX_MS).max(self.window.ms())
    }

    /// How long this group usually takes between two commits, in milliseconds; 0 before it is known.
    fn usual_gap_ms(&self) -> i64 {
        match self.gaps.len() {
            GAPS => self.gaps.iter().min().copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// Offsets per second that were deleted lately. Brokers look every few minutes and delete a segment at a
    /// time, so two deletions that are a window apart are the least that tells.
    pub(super) fn deleted_per_second(&self) -> Option<f64> {
        let (first_ms, first) = *self.deletions.front()?;
        let (last_ms, last) = *self.deletions.back()?;
        if last_ms - first_ms < self.window.ms() {
            return None;
        }
        // What has stopped is not as fast any more.
        let ms = (last_ms - first_ms).max(self.heard_ms - last_ms);
        Some((last - first) as f64 * 1_000.0 / ms as f64)
    }

    /// Offsets per second that came in and that were answered, over the last minute.
    pub(super) fn rates(&self) -> Option<(f64, f64)> {
        let newest = self.newest()?;
        let oldest = self.recent(newest).next()?;
        let seconds = (newest.at_ms - oldest.at_ms) as f64 / 1_000.0;
        if seconds < 1.0 {
            return None;
        }
        let per_second = |from: i64, to: i64| (to - from).max(0) as f64 / seconds;
        let incoming = per_second(oldest.end, newest.end);
        Some((incoming, per_second(oldest.done, newest.done)))
    }

    /// When it will have caught up.
    pub(super) fn eta(&self) -> Eta {
        let (Some(newest), Some((incoming, outgoing))) = (self.newest(), self.rates()) else {
            return match self.newest() {
                Some(newest) if newest.lag() == 0 => Eta::Seconds(0.0),
                _ => Eta::Unknown,
            };
        };
        let lag = newest.lag();
        if lag == 0 {
            return Eta::Seconds(0.0);
        }
        let (left, outgoing) = match self.recovering(newest) {
            Some(rate) => (newest.waiting(), rate),
            None => (lag, outgoing),
        };
        let was_at_end = self.recent(newest).any(|point| point.lag() == 0);
        let level = (incoming - outgoing).abs() <= incoming * LEVEL;
        let in_hand = was_at_end || lag as f64 <= outgoing * IN_HAND_SECONDS;
        match outgoing > incoming {
            _ if outgoing > 0.0 && level && in_hand => Eta::Steady,
            true => Eta::Seconds(left as f64 / (outgoing - incoming)),
            // What came after the end was reached has had no time yet.
            false if outgoing == 0.0 && was_at_end => Eta::Unknown,
            false => Eta::Never,
        }
    }

    /// Offsets per second that were answered since a stall ended. The minute before reaches into the
    /// stall: by its rates what piled up would never be settled.
    fn recovering(&self, newest: Point) -> Option<f64> {
        let recovery = self.recovery?;
        let from = recovery.from;
        if newest.done == from.done && !recovery.goes_on(newest) {
            return None;
        }
        let seconds = (newest.at_ms - from.at_ms) as f64 / 1_000.0;
        let answered = newest.answered - from.answered;
        (seconds >= 0.5 && answered > 0).then(|| answered as f64 / seconds)
    }

    /// The points that rates are taken from, oldest first.
    fn recent(&self, newest: Point) -> impl Iterator<Item = &Point> {
        let since = newest.at_ms - RATE_MS;
        self.points.iter().filter(move |point| point.at_ms >= since)
    }

    /// The lags of the window, oldest first, a step apart; `None` while it is not full.
    pub(super) fn trend(&self) -> Option<Vec<i64>> {
        let newest = self.newest()?;
        let mut lags = vec![newest.lag()];
        let mut last = newest.at_ms;
        for point in self.points.iter().rev() {
            if last - point.at_ms >= self.window.step_ms {
                lags.push(point.lag());
                last = point.at_ms;
            }
        }
        lags.truncate(self.window.steps + 1);
        lags.reverse();
        (lags.len() == self.window.steps + 1).then_some(lags)
    }

    /// Whether the lag was 0 at any point of the window.
    pub(super) fn was_at_end(&self) -> bool {
        self.points.iter().any(|point| point.lag() == 0)
    }
}

const PATIENCE_MAX_MS: i64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::super::sample::Progress;
    use super::*;

    fn history(points: impl IntoIterator<Item = (i64, i64, i64)>) -> History {
        let mut history = History::new(Window::default());
        for (seconds, end, done) in points {
            history.add(&Sample {
                committed: Some(done),
                start: Some(0),
                end: Some(end),
                sampled_ms: seconds * 1_000,
                ..Sample::default()
            });
        }
        history
    }

    #[test]
    fn deletions_that_go_on_for_the_window_tell_how_fast_they_are() {
        let mut history = History::new(Window::default());
        let mut deleted = |seconds: i64, start| {
            history.add(&Sample {
                start: Some(start),
                end: Some(1_000_000),
                sampled_ms: seconds * 1_000,
                ..Sample::default()
            });
            history.deleted_per_second()
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

    #[test]
    fn rates_are_those_of_the_last_minute_and_say_when_it_has_caught_up() {
        let old = (0..20).map(|n| (n * 5, 1_000_000, 0));
        let new = (20..40).map(|n| (n * 5, 1_000_000 + (n - 19) * 50, (n - 19) * 550));
        let history = history(old.chain(new));
        assert_eq!(history.rates(), Some((10.0, 110.0)));
        assert_eq!(history.eta(), Eta::Seconds(9_900.0));
    }

    #[test]
    fn a_single_look_says_nothing_about_rates() {
        assert_eq!(history([(5, 10, 5)]).rates(), None);
        assert_eq!(history([(5, 10, 5)]).eta(), Eta::Unknown);
        assert_eq!(history([(5, 10, 10)]).eta(), Eta::Seconds(0.0));
        assert_eq!(history([(0, 10, 5), (5, 12, 6)]).eta(), Eta::Never);
    }

    #[test]
    fn a_level_run_has_nothing_to_catch_up() {
        // 100 records/s come and go, some 50 are on their way; looks fall before or after a batch.
        let level = |jitter: i64| {
            let looks =
                (0..13).map(move |n| (n * 5, 1_000 + n * 500, 950 + n * 500 - (n % 2) * jitter));
            history(looks).eta()
        };
        assert_eq!([level(0), level(40)], [Eta::Steady; 2]);
        // As much goes as comes, an hour behind.
        let behind = history((0..13).map(|n| (n * 5, 400_000 + n * 500, n * 500)));
        assert_eq!(behind.eta(), Eta::Never);
        // A record a minute.
        let seldom = history([(0, 5, 5), (30, 6, 5), (35, 6, 6), (60, 6, 6), (90, 7, 6)]);
        assert_eq!(seldom.eta(), Eta::Steady);
        let first = history([(0, 5, 5), (30, 5, 5), (60, 6, 5)]);
        assert_eq!(first.eta(), Eta::Unknown);
    }

    /// 100 records/s come; nothing is settled from the 30th second to the 50th, then 600 a second. Looked
    /// at once a second.
    fn outage(until: i64) -> History {
        let done = |n| match n {
            ..30 => n * 100 - 50,
            30..50 => 2_950,
            _ => 2_950 + (n - 49) * 600,
        };
        history((0..=until).map(|n| (n, n * 100, done(n).min(n * 100 - 50))))
    }

    #[test]
    fn after_a_stall_it_is_caught_up_at_the_rate_since_then() {
        assert_eq!(outage(45).eta(), Eta::Never);
        // What the first look saw may have been waiting for its answer only.
        assert_eq!(outage(50).eta(), Eta::Never);
        let Eta::Seconds(eta) = outage(51).eta() else {
            panic!("{:?}", outage(51).eta());
        };
        assert!((1.8..2.0).contains(&eta), "{eta}");
        assert_eq!(outage(56).eta(), Eta::Steady);
        // As much is settled as comes in, so what piled up stays.
        let stuck = (0..=70).map(|n| (n, n * 100, if n < 20 { 0 } else { (n - 20) * 100 + 100 }));
        assert_eq!(history(stuck).eta(), Eta::Steady);
        let far_behind = (0..=90).map(|n| (n, 90_000 + n * 100, (n - 20).max(0) * 100));
        assert_eq!(history(far_behind).eta(), Eta::Never);
    }

    /// The same seen by the running spout, the oldest records answered last: until then the offset before
    /// which all is answered stays. One in a hundred records is rejected at once and waits for nothing.
    fn outage_out_of_order(until: i64, answered_per_second: i64) -> History {
        let mut history = History::new(Window::default());
        for n in 0..=until {
            let rejected = n.min(50) - 30;
            let answered = match n {
                ..30 => n * 100 - 50,
                _ => 2_950 + rejected + (n - 50).max(0) * answered_per_second,
            };
            let answered = answered.min(n * 100 - 50);
            let catches_up = (30..70).contains(&n) && answered < n * 100 - 50;
            let next = n * 100 - 20;
            history.add(&Sample {
                progress: Some(Progress {
                    next: Some(next),
                    frontier: Some(if catches_up { 2_850 } else { answered }),
                    in_flight: (next - answered) as u64,
                    ..Progress::default()
                }),
                start: Some(0),
                end: Some(n * 100),
                sampled_ms: n * 1_000,
                ..Sample::default()
            });
        }
        history
    }

    #[test]
    fn what_is_answered_before_an_older_record_counts_for_a_recovery() {
        for until in [45, 50] {
            assert_eq!(outage_out_of_order(until, 300).eta(), Eta::Never);
        }
        // 2,030 are waiting at the end of the stall, and 200 fewer each second.
        for until in 51..59 {
            let Eta::Seconds(eta) = outage_out_of_order(until, 300).eta() else {
                panic!("{until}: {:?}", outage_out_of_order(until, 300).eta());
            };
            let left = 60.1 - until as f64;
            assert!((left / 1.5..left * 1.5).contains(&eta), "{until}: {eta}");
        }
        assert_eq!(outage_out_of_order(70, 300).eta(), Eta::Steady);
    }

    /// Looks once a second at a running spout, whose time to catch up is never told in seconds.
    fn never_finite(seconds: i64, end: impl Fn(i64) -> i64, progress: impl Fn(i64) -> Progress) {
        let mut history = History::new(Window::default());
        for n in 0..=seconds {
            history.add(&Sample {
                progress: Some(progress(n)),
                start: Some(0),
                end: Some(end(n)),
                sampled_ms: n * 1_000,
                ..Sample::default()
            });
            let finite = matches!(history.eta(), Eta::Seconds(seconds) if seconds > 0.0);
            assert!(!finite, "{n}: {:?}", history.eta());
        }
        assert_eq!(history.eta(), Eta::Never);
    }

    #[test]
    fn one_record_that_is_waited_for_is_no_recovery() {
        let progress = |n: i64| Progress {
            next: Some(n * 100),
            frontier: Some((n * 100).min(2_000)),
            in_flight: 1 + (n % 3) as u64 * 20,
            ..Progress::default()
        };
        never_finite(120, |n| n * 100 + 30, progress);
    }

    #[test]
    fn a_few_records_that_fail_for_good_are_no_recovery() {
        // One in five seconds, after all that there is has come and waits.
        let end = |n: i64| 100 + n.min(20) * 250;
        let progress = |n: i64| Progress {
            next: Some(end(n)),
            frontier: Some(0),
            in_flight: (end(n) - (n - 25).max(0) / 5) as u64,
            ..Progress::default()
        };
        never_finite(100, end, progress);
    }

    #[test]
    fn the_long_way_from_commit_to_commit_is_no_stall() {
        let commits_every_20_s = (0..=120).map(|n| (n, 1_000 + n * 10, n / 20 * 200 + 900));
        for until in 0..=120 {
            let history = history(commits_every_20_s.clone().take(until));
            let finite = matches!(history.eta(), Eta::Seconds(_));
            assert!(!finite, "{until}: {:?}", history.eta());
        }
    }

    #[test]
    fn memory_is_bounded_however_often_is_looked() {
        let history = history((0..100_000).map(|n| (n / 10, n, n / 2)));
        assert!(
            history.points.len() <= 11 * 6 + 2,
            "{}",
            history.points.len()
        );
        let span = history.points[0].at_ms..history.newest().expect("it has one").at_ms;
        assert!((300_000..=330_000).contains(&(span.end - span.start)));
    }

    #[test]
    fn time_without_progress_counts_from_when_there_was_something_to_do() {
        let quiet_then_record = history([(0, 5, 5), (3_600, 6, 5), (3_605, 6, 5)]);
        assert_eq!(quiet_then_record.still_ms(3_610_000), Some(10_000));
        assert_eq!(history([(0, 5, 5)]).still_ms(9_000), Some(0));
        assert_eq!(history([]).still_ms(9_000), None);
    }

    #[test]
    fn an_eta_is_a_number_a_word_or_nothing() {
        let json = |eta| serde_json::to_value(eta).expect("JSON");
        assert_eq!(json(Eta::Seconds(2.5)), 2.5);
        assert_eq!(json(Eta::Never), "never");
        assert!(json(Eta::Unknown).is_null());
        for eta in [Eta::Seconds(2.5), Eta::Never, Eta::Steady, Eta::Unknown] {
            assert_eq!(serde_json::from_value::<Eta>(json(eta)).expect("read"), eta);
        }
        let last = Eta::last([Eta::Seconds(1.0), Eta::Seconds(3.0), Eta::Never]);
        assert_eq!(last, Eta::Never);
        let last = |one, other| Eta::last([one, other]);
        assert_eq!(last(Eta::Steady, Eta::Seconds(0.0)), Eta::Steady);
        assert_eq!(last(Eta::Seconds(3.0), Eta::Steady), Eta::Seconds(3.0));
        assert_eq!(last(Eta::Steady, Eta::Unknown), Eta::Unknown);
    }
}
