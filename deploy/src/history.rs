//! The lag of the last hour, kept by the program so that a page that is opened or reloaded shows it.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};
use serde::{Deserialize, Serialize};

use crate::lag::{PartitionLag, SpoutLag};

/// Between two points.
const INTERVAL: Duration = Duration::from_secs(10);
/// Points that are kept: those of an hour.
const KEPT: usize = 361;
/// Lines that are kept, of spouts and then of partitions, those first that are furthest behind when they come up:
/// beyond that only spouts tell. One that has had no value for as long as points are kept makes room. With 40 bytes
/// for each point at most 3 MB in all.
const LINES_MAX: usize = 200;

/// The lag of the last hour.
#[derive(Default)]
pub struct History {
    lines: Vec<Line>,
    samples: VecDeque<Sample>,
    last: Option<Instant>,
}

/// What a line is about: a spout, or one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) spout: String,
    /// Null for all partitions of the spout together.
    pub(crate) topic: Option<String>,
    pub(crate) partition: Option<i32>,
}

struct Sample {
    at_ms: i64,
    /// By line; lines that came up later have none here.
    points: Vec<Point>,
}

/// What is unknown is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Point {
    lag: Option<u64>,
    oldest_age_seconds: Option<f32>,
    incoming_per_second: Option<f32>,
    outgoing_per_second: Option<f32>,
}

/// The history as `/history` writes it: by line, a value for each time, null where it is unknown.
#[derive(Debug, Serialize, Deserialize)]
pub struct HistoryDocument {
    version: u32,
    interval_seconds: u64,
    /// In ms since 1970, ascending.
    times_ms: Vec<i64>,
    lines: Vec<LineDocument>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LineDocument {
    #[serde(flatten)]
    line: Line,
    lag: Vec<Option<u64>>,
    oldest_age_seconds: Vec<Option<f64>>,
    incoming_per_second: Vec<Option<f64>>,
    outgoing_per_second: Vec<Option<f64>>,
}

impl HistoryDocument {
    /// When the last look was, in ms since 1970; `None` without any.
    pub(crate) fn last_ms(&self) -> Option<i64> {
        self.times_ms.last().copied()
    }

    /// As if the clock of the program had been put back so far behind the look `place`.
    #[cfg(test)]
    pub(crate) fn put_back(&mut self, place: usize, ms: i64) {
        for at in &mut self.times_ms[..place] {
            *at += ms;
        }
    }

    /// The lag that is known, by line: times in ms since 1970 with records.
    pub(crate) fn lag(self) -> impl Iterator<Item = (Line, Vec<(i64, u64)>)> {
        let Self {
            times_ms, lines, ..
        } = self;
        lines.into_iter().map(move |one| {
            let points = times_ms.iter().zip(one.lag);
            let known = points.filter_map(|(at, lag)| Some((*at, lag?)));
            (one.line, known.collect())
        })
    }
}

impl History {
    /// Adds a point for each line, unless it did so just now; to be called often. Asks for the lag only
    /// when it needs it.
    pub fn look(&mut self, lag: impl FnOnce() -> Vec<SpoutLag>) {
        let now = clock::now();
        if self.last.is_some_and(|last| now < last + INTERVAL) {
            return;
        }
        let lag = lag();
        // Before the first answer of the brokers there is nothing to tell.
        if lag.iter().all(|spout| spout.partitions.is_empty()) && self.samples.is_empty() {
            return;
        }
        self.last = Some(now);
        if self.samples.len() == KEPT {
            let _ = self.samples.pop_front();
        }
        let spouts = lag
            .iter()
            .map(|spout| (Line::of(spout), Point::of_spout(spout)));
        let partitions = lag.iter().flat_map(|spout| {
            let each = spout.partitions.iter();
            each.map(|one| (Line::of_partition(spout, one), Point::of_partition(one)))
        });
        let points = self.points(spouts.chain(partitions));
        let at_ms = clock::unix_ms();
        self.samples.push_back(Sample { at_ms, points });
    }

    /// Everything after a time in ms since 1970.
    pub fn after(&self, ms: i64) -> HistoryDocument {
        let samples = || self.samples.iter().filter(move |sample| sample.at_ms > ms);
        let lines = self.lines.iter().enumerate().map(|(number, line)| {
            let points =
                || samples().map(move |s| s.points.get(number).copied().unwrap_or_default());
            let tenths = |figure: fn(&Point) -> Option<f32>| {
                let values = points().map(move |point| figure(&point));
                let rounded = |value: f32| (f64::from(value) * 10.0).round() / 10.0;
                values.map(|value| value.map(rounded)).collect()
            };
            LineDocument {
                line: line.clone(),
                lag: points().map(|point| point.lag).collect(),
                oldest_age_seconds: tenths(|point| point.oldest_age_seconds),
                incoming_per_second: tenths(|point| point.incoming_per_second),
                outgoing_per_second: tenths(|point| point.outgoing_per_second),
            }
        });
        HistoryDocument {
            version: 1,
            interval_seconds: INTERVAL.as_secs(),
            times_ms: samples().map(|sample| sample.at_ms).collect(),
            lines: lines.collect(),
        }
    }

    /// The points of now, by line; makes lines for what is new, as far as there is room.
    fn points(&mut self, now: impl Iterator<Item = (Line, Point)>) -> Vec<Point> {
        let mut points = vec![None; self.lines.len()];
        let mut new = Vec::new();
        for (line, point) in now {
            match self.lines.iter().position(|known| *known == line) {
                Some(number) => points[number] = Some(point),
                // How far it is behind decides whether it has a line, so that is waited for.
                None if line.partition.is_some() && point == Point::default() => {}
                None => new.push((line, point)),
            }
        }
        new.sort_by_key(|(line, point)| (line.partition.is_some(), Reverse(point.lag)));
        let is_free = |number: &usize| points[*number].is_none() && self.is_over(*number);
        let free: Vec<usize> = match self.lines.len() + new.len() > LINES_MAX {
            true => (0..self.lines.len()).filter(is_free).collect(),
            false => Vec::new(),
        };
        let mut free = free.into_iter();
        for (line, point) in new {
            if self.lines.len() < LINES_MAX {
                self.lines.push(line);
                points.push(Some(point));
            } else if let Some(number) = free.next() {
                self.lines[number] = line;
                points[number] = Some(point);
            }
        }
        points.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Whether a line has no value in any point that is kept.
    fn is_over(&self, number: usize) -> bool {
        let mut points = self.samples.iter().map(|sample| sample.points.get(number));
        points.all(|point| point.is_none_or(|point| *point == Point::default()))
    }
}

impl Line {
    fn of(spout: &SpoutLag) -> Self {
        Self {
            spout: spout.spout.clone(),
            topic: None,
            partition: None,
        }
    }

    fn of_partition(spout: &SpoutLag, one: &PartitionLag) -> Self {
        Self {
            topic: Some(one.topic.clone()),
            partition: Some(one.partition),
            ..Self::of(spout)
        }
    }
}

impl Point {
    fn of_spout(spout: &SpoutLag) -> Self {
        Self {
            lag: spout.lag,
            oldest_age_seconds: short(spout.oldest_age_seconds),
            incoming_per_second: short(spout.incoming_per_second),
            outgoing_per_second: short(spout.outgoing_per_second),
        }
    }

    fn of_partition(one: &PartitionLag) -> Self {
        Self {
            lag: one.lag,
            oldest_age_seconds: short(one.oldest_age_seconds),
            incoming_per_second: short(one.incoming_per_second),
            outgoing_per_second: short(one.outgoing_per_second),
        }
    }
}

/// Precise enough for a plot.
fn short(value: Option<f64>) -> Option<f32> {
    value.map(|value| value as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::tests::{lag as spout, row};

    #[tokio::test(start_paused = true)]
    async fn an_hour_is_kept_and_what_is_unknown_is_no_number() {
        let mut history = History::default();
        history.look(Vec::new);
        assert_eq!(history.after(0).times_ms.len(), 0, "nothing is known yet");
        for round in 0..400 {
            let all = if round < 395 { 1 } else { 2 };
            let partitions = (0..all)
                .map(|number| row(number, Some(round), Some(0)))
                .collect();
            history.look(|| vec![spout(partitions)]);
            history.look(|| unreachable!("it looked just now"));
            tokio::time::advance(INTERVAL).await;
        }
        let document = history.after(0);
        assert_eq!(document.times_ms.len(), KEPT);
        let names: Vec<_> = document.lines.iter().map(|l| l.line.partition).collect();
        assert_eq!(names, [None, Some(0), Some(1)]);
        assert_eq!(document.lines[1].lag.last(), Some(&Some(399)));
        assert_eq!(document.lines[2].lag[KEPT - 6..KEPT - 4], [None, Some(395)]);
        let read: HistoryDocument =
            serde_json::from_value(serde_json::to_value(&document).expect("JSON")).expect("JSON");
        assert_eq!(read.last_ms(), document.times_ms.last().copied());
        let second = read.lag().nth(2).expect("a line");
        // What is not known is left out.
        assert_eq!((second.0.partition, second.1.len()), (Some(1), 5));
        let newer = history.after(document.times_ms[KEPT - 3]);
        assert_eq!(newer.times_ms, document.times_ms[KEPT - 2..]);
        assert_eq!(newer.lines[0].lag, [Some(796), Some(798)]);
    }

    #[tokio::test(start_paused = true)]
    async fn lines_have_a_bound_and_spouts_come_first() {
        let mut history = History::default();
        let partitions = (0..2 * LINES_MAX as i32).map(|number| row(number, Some(1), Some(0)));
        history.look(|| vec![spout(partitions.collect())]);
        let document = history.after(0);
        assert_eq!(document.lines.len(), LINES_MAX);
        assert_eq!(document.lines[0].lag, [Some(2 * LINES_MAX as u64)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_furthest_behind_has_a_past_and_what_has_moved_away_makes_room_in_an_hour() {
        let mut history = History::default();
        let all = 2 * LINES_MAX as i32;
        let first = |numbers: std::ops::Range<i32>| {
            let partitions = numbers.map(|number| row(number, Some(number as u64), Some(0)));
            vec![spout(partitions.collect())]
        };
        let shown = |history: &History| -> Vec<i32> {
            let lines = history.after(0).lines.into_iter();
            lines.filter_map(|one| one.line.partition).collect()
        };
        history.look(|| first(0..all));
        let most = LINES_MAX as i32 - 1;
        assert_eq!(shown(&history), (all - most..all).rev().collect::<Vec<_>>());
        for round in 1..=KEPT {
            tokio::time::advance(INTERVAL).await;
            history.look(|| first(0..2));
            // The hour of what has moved away is still shown.
            assert_eq!(shown(&history).contains(&0), round == KEPT, "{round}");
        }
        let document = history.after(0);
        assert_eq!(document.lines.len(), LINES_MAX);
        let new = document
            .lines
            .iter()
            .find(|one| one.line.partition == Some(1));
        let new = new.expect("there is room").lag.iter().flatten();
        assert_eq!(new.collect::<Vec<_>>(), [&1]);
    }

    /// With replicas, partitions are known by name before anybody reads them.
    #[tokio::test(start_paused = true)]
    async fn partitions_of_which_nothing_is_known_take_no_line_from_others() {
        let mut history = History::default();
        let names = || 0..2 * LINES_MAX as i32;
        let unknown = names().map(|number| row(number, None, None)).collect();
        history.look(|| vec![spout(unknown)]);
        assert_eq!(history.after(0).lines.len(), 1, "of the spout");
        tokio::time::advance(INTERVAL).await;
        let known = names().map(|number| row(number, Some(number as u64), Some(0)));
        let known = known.collect();
        history.look(|| vec![spout(known)]);
        let document = history.after(0);
        let furthest = document.lines.iter().map(|line| line.line.partition);
        let of_furthest = Some(2 * LINES_MAX as i32 - 1);
        assert_eq!(furthest.take(2).collect::<Vec<_>>(), [None, of_furthest]);
    }
}
