//! The search for the time of one record by the offsets of the first records at or after a time, and what of it
//! helps the next search in the same partition: a group that gets on is asked about again and again.

use crate::kafka::admin::TopicPartition;
use crate::kafka::lag::Found;

/// An age need not be known better than this, in milliseconds, nor better than 1 %.
const GOOD_ENOUGH_MS: i64 = 1_000;
/// So often a search that goes on asks a bit ahead of where the last one ended, before it asks in the middle.
const AHEAD_MAX: u32 = 3;

/// What a search has found.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Bounds {
    /// The offset whose time was looked for.
    pub(super) offset: i64,
    /// The record there is not older than this, in milliseconds since 1970.
    pub(super) not_before_ms: i64,
    /// The offset of a record of that time.
    at: i64,
    before: Option<Before>,
    /// The time between two records, in milliseconds, over the last offsets that the group has read; 0 where that
    /// is not known.
    pace: f64,
}

/// No record before `offset` is as young as `ms`, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Before {
    ms: i64,
    offset: i64,
    /// The time of the record there, if there was one.
    found_ms: Option<i64>,
}

/// The search for the time of one record.
pub(super) struct Search {
    pub(super) partition: TopicPartition,
    offset: i64,
    /// Where the partition ends.
    end: i64,
    /// An offset, and its time: the record that is looked for is not older. Unknown at first.
    after: Option<(i64, i64)>,
    /// It is older than this.
    before: Option<Before>,
    /// What the search has gone on from, and its pace.
    known: Option<(i64, i64)>,
    pace: f64,
    step: Step,
    pub(super) done: bool,
}

/// Where a search asks next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Just after the record before it, which was not younger: few records share a millisecond.
    JustAfter,
    /// A bit after where it should be, so that what is found tells the ages of some more rounds; for the time of
    /// so many times.
    Ahead(u32),
    /// A bit before where it should be.
    Below,
    /// In the middle of the possible ages, as ratios.
    Middle,
}

impl Search {
    pub(super) fn new(partition: TopicPartition, offset: i64, end: Option<i64>) -> Self {
        Self {
            partition,
            offset,
            end: end.unwrap_or(offset),
            after: None,
            before: None,
            known: None,
            pace: 0.0,
            step: Step::Middle,
            done: false,
        }
    }

    /// The record before it has this time.
    pub(super) fn just_after(self, ms: i64) -> Self {
        Self {
            after: Some((self.offset - 1, ms)),
            step: Step::JustAfter,
            ..self
        }
    }

    /// Goes on from what an earlier search in the partition has found, unless the group was put back since. It is
    /// done where that tells enough.
    pub(super) fn going_on_from(self, known: &Bounds, now_ms: i64) -> Self {
        if known.offset > self.offset {
            return self;
        }
        let after = (known.at, known.not_before_ms);
        let mut new = Self {
            after: Some(after),
            known: Some(after),
            pace: known.pace,
            step: Step::Ahead(1),
            ..self
        };
        match known.before {
            Some(before) if before.offset > new.offset => {
                new.before = Some(before);
                new.step = Step::Middle;
            }
            Some(Before {
                offset,
                found_ms: Some(ms),
                ..
            }) => {
                new.after = Some((offset, ms));
                new.done = offset == new.offset;
            }
            _ => {}
        }
        new.done |= new.is_good_enough(now_ms);
        new
    }

    /// What it has found; `None` without any time.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        let (at, ms) = self.after?;
        let pace = match self.known {
            Some((offset, before_ms)) if at > offset => {
                (ms - before_ms) as f64 / (at - offset) as f64
            }
            _ => self.pace,
        };
        Some(Bounds {
            offset: self.offset,
            not_before_ms: ms,
            at,
            before: self.before,
            pace,
        })
    }

    /// The time to ask for.
    pub(super) fn question(&self, now_ms: i64) -> i64 {
        let Some((at, ms)) = self.after else {
            return 0;
        };
        let known = age(now_ms, ms);
        let enough = good_enough(known);
        // At the pace of late, and a little less than half of what is near enough to either side of it: two bounds
        // that are so near to each other end the search, and the age that is known is a little more than it is.
        let expected = self.pace * (self.offset - at) as f64;
        let bit = enough * 0.45;
        let middle = || {
            let (oldest, youngest) = (known, self.youngest(now_ms));
            let [oldest, youngest] = [oldest, youngest].map(|age| age + GOOD_ENOUGH_MS as f64);
            now_ms - ((oldest * youngest).sqrt() as i64 - GOOD_ENOUGH_MS)
        };
        let asked = match self.step {
            Step::JustAfter => return ms + 1,
            Step::Ahead(_) => ms + (expected + bit).max(enough) as i64,
            Step::Below => ms + (expected - bit) as i64,
            Step::Middle => return middle(),
        };
        let before_ms = self.before.map_or(now_ms, |before| before.ms);
        match ms < asked && asked < before_ms {
            true => asked,
            false => middle(),
        }
    }

    /// Takes the first record at or after the time that was asked for, `None` where there is none.
    pub(super) fn take(&mut self, asked_ms: i64, found: Option<Found>, now_ms: i64) {
        let first = self.after.is_none() || self.step == Step::JustAfter;
        let is_later = found.is_none_or(|found| found.offset > self.offset);
        self.step = match self.step {
            Step::Ahead(_) if is_later => Step::Below,
            Step::Ahead(times) if times < AHEAD_MAX => Step::Ahead(times + 1),
            _ => Step::Middle,
        };
        match found {
            Some(found) if found.offset == self.offset => {
                self.after = (found.ms >= 0).then_some((found.offset, found.ms));
                self.done = true;
            }
            Some(found) if found.offset < self.offset => {
                self.after = Some((found.offset, found.ms.max(asked_ms)));
            }
            // No record from ours on is so young. Just after the last answered one: then it has its time.
            found => {
                self.before = Some(Before {
                    ms: asked_ms,
                    offset: found.map_or(self.end, |found| found.offset),
                    found_ms: found.map(|found| found.ms),
                });
                self.done = first;
            }
        }
        self.done |= self.is_good_enough(now_ms);
    }

    /// Nothing is known.
    pub(super) fn give_up(&mut self) {
        self.after = None;
        self.done = true;
    }

    fn is_good_enough(&self, now_ms: i64) -> bool {
        self.after.is_some_and(|(_, ms)| {
            let oldest = age(now_ms, ms);
            oldest - self.youngest(now_ms) <= good_enough(oldest)
        })
    }

    /// The least age that it may have.
    fn youngest(&self, now_ms: i64) -> f64 {
        self.before.map_or(0.0, |before| age(now_ms, before.ms))
    }
}

/// Of such an age this is known well enough.
fn good_enough(age: f64) -> f64 {
    (GOOD_ENOUGH_MS as f64).max(age / 100.0)
}

fn age(now_ms: i64, ms: i64) -> f64 {
    (now_ms - ms).max(0) as f64
}
