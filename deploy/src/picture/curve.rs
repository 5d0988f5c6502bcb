//! The line of an edge, through all the places that it passes.

use std::fmt::Write as _;

use super::rounded;

type Point = (f64, f64);

/// A line and where its label goes.
pub(super) struct Curve {
    /// Attribute `d` of a path.
    pub(super) d: String,
    /// The middle of its base line.
    pub(super) label: Point,
}

/// How far an edge within a layer bends out of it.
const BEND: f64 = 26.0;

impl Curve {
    /// A line through the middles of at least two places, each with half of its length along the way.
    pub(super) fn through(stops: &[(Point, f64)], down: bool) -> Self {
        // Along the way and across it, and back to x and y.
        let turned = |(x, y): Point| if down { (y, x) } else { (x, y) };
        let end_of = |stop: usize, side: f64| {
            let (middle, half) = stops[stop];
            let (along, across) = turned(middle);
            (along + side * half, across)
        };
        let text = |point: Point| {
            let (x, y) = turned(point);
            format!("{} {}", rounded(x), rounded(y))
        };
        let last = stops.len() - 1;
        let (start, back) = (end_of(0, 1.0), end_of(last, 1.0));
        if last == 1 && start.0 == back.0 {
            // Within a layer: around, on the far side.
            let far = start.0 + BEND;
            let points = [(far, start.1), (far, back.1), back].map(text);
            return Self {
                d: format!("M{}C{}", text(start), points.join(" ")),
                label: turned((far, (start.1 + back.1) / 2.0)),
            };
        }
        let mut d = String::new();
        let mut label = start;
        for stop in 1..=last {
            let (from, to) = (end_of(stop - 1, 1.0), end_of(stop, -1.0));
            let command = if stop == 1 { 'M' } else { 'L' };
            let middle = (from.0 + to.0) / 2.0;
            let bends = [(middle, from.1), (middle, to.1), to].map(text);
            let _ = write!(d, "{command}{}C{}", text(from), bends.join(" "));
            if stop == 1 {
                // Nearer to where it goes: edges that fan out begin in one place.
                label = (middle, (from.1 + 3.0 * to.1) / 4.0);
            }
        }
        let (x, y) = turned(label);
        // On the line where that goes down, above it where it goes to the right.
        let label = (x, if down { y + 6.0 } else { y - 7.0 });
        Self { d, label }
    }
}
