//! What is remembered of a partition: enough of its past to tell rates, progress and trends, in memory
//! that does not grow.

use std::collections::VecDeque;

use super::deletion_rate::DeletionRate;
use super::eta::Eta;
use super::habits::Habits;
use super::pace::Pace;
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

/// A moment of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) at_ms: i64,
    pub(super) end: i64,
    pub(super) done: i64,
    /// How far it would be done if what is answered had come first: at `done`, or after it where
    /// later records are answered before one that is not.
    pub(super) answered: i64,
    /// For how long nothing was seen of what a group settles that is seen by its commits, in milliseconds: since the
    /// last one, or since there was something to do. 0 of a running spout.
    pub(super) unseen_ms: i64,
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
    /// Oldest first, each about a sixth of a step or more after the one before, but for the newest.
    points: VecDeque<Point>,
    /// Since when there is lag and nothing was answered.
    still: Option<Point>,
    /// Whether anything was answered since the first look, or nothing was behind at one.
    has_moved: bool,
    /// The same of any record at all: where the oldest one waits, later ones may be answered.
    silent: Option<Point>,
    /// The stall that it is recovering from.
    recovery: Option<Recovery>,
    /// The last two stalls, at the points where they began.
    stalls: Option<(Option<Point>, Point)>,
    /// The last two looks at which a commit had moved on.
    commits: Option<(Option<Point>, Point)>,
    /// How seldom a group commits that is seen by that. What keeps a running spout, as an outage or an operator does,
    /// says nothing of habits.
    habits: Habits,
    /// Whether the last point is of a running spout, which knows what is answered behind its frontier.
    is_live: bool,
    /// The highest offset that was committed since somebody put the group anywhere: nothing before it is to be done
    /// again.
    peak: Option<i64>,
    /// When that was, as the last commit says.
    by_hand_ms: Option<i64>,
    /// Since when a transaction that is open keeps the end where it is.
    blocked_since: Option<i64>,
    /// Records that were lost by now, and when that number rose last.
    lost: u64,
    lost_ms: Option<i64>,
    /// When the ends were last learnt.
    heard_ms: i64,
    deletion_rate: DeletionRate,
}

/// What is settled after a stall.
#[derive(Clone, Copy, Debug)]
struct Recovery {
    /// When the stall began.
    stall_ms: i64,
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
/// Rates of that time that differ by no more than this part are level: samples fall between batches.
const LEVEL: f64 = 0.1;
/// The same of rates over the window: with 3 % more, an hour's lag takes 33 hours to catch up.
const LEVEL_OVER_WINDOW: f64 = 0.03;
/// No progress for so many milliseconds is a stall: the rates of before say nothing about what follows.
const STALL_MS: i64 = 10_000;
/// What waits in a stall, compared with the most that did: with more than this part of it, it still stands.
const GOES_ON: f64 = 0.95;
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
            stalls: None,
            commits: None,
            habits: Habits::default(),
            is_live: false,
            peak: None,
            by_hand_ms: None,
            blocked_since: None,
            lost: 0,
            lost_ms: None,
            heard_ms: 0,
            deletion_rate: DeletionRate::default(),
        }
    }

    /// Notes a sample. One with an unknown end says nothing.
    pub(super) fn add(&mut self, sample: &Sample) {
        let at_ms = sample.sampled_ms;
        let Some(end) = sample.end else {
            return;
        };
        self.heard_ms = at_ms;
        self.deletion_rate.add(sample.start, at_ms);
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
            unseen_ms: 0,
        };
        let before = self.points.back().copied();
        let is_live = sample.answered().is_some();
        if std::mem::replace(&mut self.is_live, is_live) != is_live {
            // What was answered by then was so before.
            self.recovery = None;
            self.stalls = None;
        }
        self.note_progress(before, point);
        self.note_lost(sample, at_ms);
        let text = sample.metadata.as_ref();
        let by_hand_ms = text.and_then(|text| text.by_hand_ms);
        let by_hand_before = std::mem::replace(&mut self.by_hand_ms, by_hand_ms);
        self.peak = match by_hand_ms.is_some() && by_hand_ms != by_hand_before {
            // It was meant, whether the commit was seen that did it or a later one of the program.
            true => sample.committed,
            false => self.peak.max(sample.committed),
        };
        let waits = sample.high_watermark.is_some_and(|mark| mark > end);
        let same_end = before.is_some_and(|before| before.end == end);
        self.blocked_since = match self.blocked_since {
            _ if !waits => None,
            Some(since) if same_end => Some(since),
            _ => Some(at_ms),
        };
        let still = self.still.filter(|_| !is_live);
        self.push(Point {
            unseen_ms: still.map_or(0, |still| at_ms - still.at_ms),
            ..point
        });
    }

    /// The commit is gone, as when it has expired: what was done before it says nothing about what will be, which
    /// begins where somebody says then.
    fn forget_progress(&mut self) {
        self.points.clear();
        self.still = None;
        self.has_moved = false;
        self.silent = None;
        self.recovery = None;
        self.stalls = None;
        self.commits = None;
        self.habits = Habits::default();
        self.peak = None;
        self.blocked_since = None;
    }

    fn note_progress(&mut self, before: Option<Point>, point: Point) {
        let Some(before) = before else {
            self.has_moved |= point.lag() == 0;
            self.still = (point.lag() > 0).then_some(point);
            self.silent = self.still;
            return;
        };
        if point.done < before.done {
            // What was compared with it lies on another path.
            self.points.clear();
            self.recovery = None;
            self.stalls = None;
            self.commits = None;
        }
        let moved = point.done != before.done;
        // Where nothing was behind, it took no longer than from look to look.
        let waited = point.at_ms - self.still.unwrap_or(before).at_ms;
        if let Some(still) = self.still
            && waited >= STALL_MS
            // Of a group that commits seldom it is no stall. Its commits are seen at the next look.
            && waited > 2 * self.habits.usual_ms() + self.spacing_ms()
        {
            self.note_stall(still, before, point);
        }
        if moved {
            let last = self.commits.map(|(_, last)| last);
            if !self.is_live {
                let stretch = last.map(|last| point.at_ms - last.at_ms);
                self.habits.note(waited, stretch);
            }
            self.commits = Some((last, point));
        }
        self.has_moved |= moved || point.lag() == 0;
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
        let last = self.stalls.map(|(_, last)| last);
        if last.is_none_or(|last| last.at_ms != still.at_ms) {
            self.stalls = Some((last, still));
        }
        if self.between_stalls(point).is_some() {
            self.recovery = None;
            return;
        }
        let moved = point.done != before.done;
        let newest_before = if moved { before } else { point };
        let recovers = self
            .recovery
            .is_some_and(|recovery| recovery.goes_on(newest_before));
        // Where most of what came is answered a single record is waited for, and nothing piles up.
        let piles_up = 2 * (point.answered - still.answered) <= point.end - still.end;
        if !recovers && (moved || piles_up) {
            self.recovery = Some(Recovery {
                stall_ms: still.at_ms,
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

    fn push(&mut self, point: Point) {
        // Looks are a little early or late.
        let spacing = self.spacing_ms() * 9 / 10;
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

    /// Between two points, about, or more, but for the newest.
    fn spacing_ms(&self) -> i64 {
        self.window.step_ms / POINTS_PER_STEP
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
        (2 * self.habits.usual_ms())
            .min(PATIENCE_MAX_MS)
            .max(self.window.ms())
    }

    /// Offsets per second that came in and that were answered, over the last minute; of a group that commits more
    /// seldom, the latter from one commit to another.
    pub(super) fn rates(&self) -> Option<(f64, f64)> {
        let newest = self.newest()?;
        let oldest = *self.since(newest.at_ms - RATE_MS).next()?;
        let incoming = Pace::between(oldest, newest)?.incoming;
        Some((incoming, self.pace(RATE_MS)?.outgoing))
    }

    /// How fast it went in the last so many milliseconds.
    fn pace(&self, ms: i64) -> Option<Pace> {
        let newest = self.newest()?;
        let since = newest.at_ms - ms;
        let between = self.between_commits(newest, since);
        let between = between.and_then(|(from, to, apart_ms)| {
            let seconds = |ms: i64| ms as f64 / 1_000.0;
            let unseen_ms = apart_ms.max(newest.at_ms - to.at_ms);
            let pace = Pace::between(from, to)?;
            Some(Pace {
                blur: seconds(unseen_ms.min(self.spacing_ms())),
                apart: seconds(apart_ms.min(self.window.ms())),
                ..pace
            })
        });
        // Two commits that are known may be too near to each other.
        between.or_else(|| Pace::between(*self.since(since).next()?, newest))
    }

    /// Whether it stops again and again, so that a stop is no end.
    pub(super) fn stops(&self) -> bool {
        let newest = self.newest();
        newest.is_some_and(|newest| self.between_stalls(newest).is_some())
    }

    /// How fast it goes where it stops again and again, from one stall to another: it is not as fast as it is in
    /// between. `None` where they are further apart than a window, or the last one is longer ago; or where the next one
    /// is overdue, by as much again as they were apart.
    fn between_stalls(&self, newest: Point) -> Option<Pace> {
        let (before, last) = self.stalls?;
        let before = before?;
        let is_lately = |one: Point, next: Point| next.at_ms - one.at_ms <= self.window.ms();
        let is_overdue = newest.at_ms - last.at_ms > 2 * (last.at_ms - before.at_ms);
        let pace = Pace::between(before, last)?;
        let is_known = is_lately(before, last) && is_lately(last, newest) && !is_overdue;
        is_known.then_some(Pace {
            blur: self.spacing_ms() as f64 / 1_000.0,
            ..pace
        })
    }

    /// Of a group that is seen by its commits, from which one of them to which one it is to be measured, and how many
    /// milliseconds they are apart: what a commit says was long in the making, and a minute with one more or one
    /// less tells another rate. `None` where they are not known, or where they have ceased.
    fn between_commits(&self, newest: Point, since_ms: i64) -> Option<(Point, Point, i64)> {
        let (before, last) = self.commits.filter(|_| !self.is_live)?;
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        let commits = pairs.filter_map(|(one, next)| (one.done != next.done).then_some(*next));
        // The last one up to then, or the first one after it; and how many came after that.
        let mut from = None;
        let mut gaps = 0;
        for commit in commits {
            match from {
                Some(_) if commit.at_ms > since_ms => gaps += 1,
                _ => (from, gaps) = (Some(commit), 0),
            }
        }
        let (from, gaps) = match (from, gaps) {
            (Some(from), 1..) => (from, gaps),
            _ => (before?, 1),
        };
        let apart_ms = (last.at_ms - from.at_ms) / gaps;
        let silent_ms = newest.at_ms - last.at_ms;
        let is_on_time = silent_ms <= (2 * apart_ms).min(PATIENCE_MAX_MS);
        is_on_time.then_some((from, last, apart_ms))
    }

    /// Tells how many offsets a pipeline has in hand anyway at a point, by the last minute or the window: the minute
    /// may be that of a restart.
    pub(super) fn in_hand(&self) -> impl Fn(&Point) -> f64 {
        let paces = [RATE_MS, self.window.ms()].map(|ms| self.pace(ms));
        move |point| {
            let known = paces.iter().flatten();
            known.map(|pace| pace.in_hand(point)).fold(0.0, f64::max)
        }
    }

    /// For how long nothing is settled where it gets on all the same, in milliseconds.
    pub(super) fn moves_within_ms(&self) -> i64 {
        self.window.step_ms.max(2 * self.habits.usual_ms())
    }

    /// Offsets per second that were deleted lately.
    pub(super) fn deleted_per_second(&self) -> Option<f64> {
        self.deletion_rate
            .per_second(self.window.ms(), self.heard_ms)
    }

    /// When it will have caught up.
    pub(super) fn eta(&self) -> Eta {
        let Some(newest) = self.newest() else {
            return Eta::Unknown;
        };
        let lag = newest.lag();
        if lag == 0 {
            return Eta::Seconds(0.0);
        }
        let between_stalls = self.between_stalls(newest);
        let Some(pace) = between_stalls.or_else(|| self.pace(RATE_MS)) else {
            return Eta::Unknown;
        };
        let (left, outgoing) = match self.recovering(newest) {
            Some(rate) => (newest.waiting(), rate),
            None => (lag, pace.outgoing),
        };
        let pace = Pace { outgoing, ..pace };
        let was_at_end = self
            .since(newest.at_ms - RATE_MS)
            .any(|point| point.lag() == 0);
        if outgoing == 0.0 && was_at_end {
            // What came after the end was reached has had no time yet.
            return Eta::Unknown;
        }
        if !pace.is_level(LEVEL) {
            return pace.eta(left);
        }
        if outgoing > 0.0 && (was_at_end || lag as f64 <= pace.in_hand(&newest)) {
            return Eta::Steady;
        }
        // A minute does not tell which of the two is more.
        let is_full = self.points[0].at_ms <= newest.at_ms - self.window.ms();
        let tells_more = is_full && between_stalls.is_none();
        let over_window = self.pace(self.window.ms()).filter(|_| tells_more);
        match over_window {
            Some(pace) if !pace.is_level(LEVEL_OVER_WINDOW) => pace.eta(lag),
            _ => Eta::Never,
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

    /// Whether most of what is behind has piled up in a stall that is over, and has not become more since.
    pub(super) fn works_off_a_stall(&self) -> bool {
        let (Some(recovery), Some(newest)) = (self.recovery, self.newest()) else {
            return false;
        };
        let is_over = self
            .still
            .is_none_or(|still| still.at_ms != recovery.stall_ms);
        let piled_up = recovery.from.waiting();
        is_over && newest.waiting() <= piled_up && 2 * recovery.waiting_before <= piled_up
    }

    /// The points from then on, oldest first.
    fn since(&self, ms: i64) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(move |point| point.at_ms >= ms)
    }

    /// The points of the window, oldest first, a step apart; `None` while it is not full.
    pub(super) fn trend(&self) -> Option<Vec<Point>> {
        let newest = self.newest()?;
        let steps = (0..=self.window.steps as i64).rev();
        let point = |step| {
            // Looks are a little early or late, so steps are counted from the newest and not added up.
            let at_ms = newest.at_ms - step * self.window.step_ms;
            let mut before = self.points.iter().rev();
            before.find(|point| point.at_ms <= at_ms).copied()
        };
        steps.map(point).collect()
    }

    /// Whether the lag was 0 at any point of the window.
    pub(super) fn was_at_end(&self) -> bool {
        self.points.iter().any(|point| point.lag() == 0)
    }
}

const PATIENCE_MAX_MS: i64 = 3_600_000;

#[cfg(test)]
mod tests;
