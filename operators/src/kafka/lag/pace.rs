//! How fast a partition gets on between two points, and what follows from that.

use super::eta::Eta;
use super::history::Point;

/// How fast it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Offsets per second that come in and that are answered.
    pub(super) incoming: f64,
    pub(super) outgoing: f64,
    /// Over how many seconds that was measured.
    pub(super) seconds: f64,
    /// By how many seconds the two ends of that time may be wrong: commits are seen at the next look.
    pub(super) blur: f64,
    /// Seconds between two commits of a group that is seen by them, those of the window at most; 0 otherwise.
    pub(super) apart: f64,
}

impl Pace {
    /// From one point to another; `None` where they are too near to each other to tell.
    pub(super) fn between(from: Point, to: Point) -> Option<Self> {
        let seconds = (to.at_ms - from.at_ms) as f64 / 1_000.0;
        let per_second = |from: i64, to: i64| (to - from).max(0) as f64 / seconds;
        (seconds >= 1.0).then(|| Self {
            incoming: per_second(from.end, to.end),
            outgoing: per_second(from.done, to.done),
            seconds,
            blur: 0.0,
            apart: 0.0,
        })
    }

    /// Whether the two rates differ by no more than this part of what comes in, and what chance does: the ends of the
    /// time that was measured, and three times the deviation of the two numbers of records.
    pub(super) fn is_level(self, part: f64) -> bool {
        let chance = self.incoming * self.blur / self.seconds
            + 3.0 * ((self.incoming + self.outgoing) * self.seconds).sqrt() / self.seconds;
        (self.incoming - self.outgoing).abs() <= self.incoming * part + chance
    }

    /// Offsets that a pipeline has in hand anyway at a point. What is answered shows with the next commit, and what
    /// came before the last one may be settled as a whole.
    pub(super) fn in_hand(self, point: &Point) -> f64 {
        let unseen = point.unseen_ms as f64 / 1_000.0;
        self.outgoing * (IN_HAND_SECONDS + self.apart + unseen)
    }

    pub(super) fn eta(self, left: i64) -> Eta {
        match self.outgoing > self.incoming {
            true => Eta::Seconds(left as f64 / (self.outgoing - self.incoming)),
            false => Eta::Never,
        }
    }
}

/// Work of so many seconds, at the rate of now, is what a pipeline has in hand anyway.
const IN_HAND_SECONDS: f64 = 30.0;
