//! The lines of all edges. Where edges run together they are one line: dashes that lie on each other at
//! different phases look like a line without any.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Label, Line, rounded};

/// Along the layers and across them.
pub(super) type Point = (f64, f64);

/// A stretch of the way of an edge.
pub(super) struct Hop {
    /// Which one it is: edges that take the same run together.
    pub(super) key: Key,
    pub(super) start: Point,
    pub(super) steps: Vec<Step>,
    /// Where the label of a line that begins with this stretch goes.
    pub(super) label: Option<Label>,
    /// It ends at a card.
    pub(super) arrives: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// From an item to one of the next layer, of rejected records or others.
    Between(usize, usize, bool),
    /// Out of a card, on the way to letters.
    Out(usize, usize),
    /// Along a layer from where a card's line joins, on the way to letters.
    Beside(usize, usize),
    /// Below all layers, from this one on, to letters.
    Below(usize, usize),
}

/// A part of a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    To(Point),
    /// Out of the corner at the first point, and on to the second.
    Around(Point, Point),
    /// From layer to layer.
    Curve(Point),
}

/// The lines of edges, given the way of each and whether it is of rejected records.
pub(super) fn lines(ways: &[(Vec<Hop>, bool)], down: bool) -> Vec<Line> {
    let mut together: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    for (number, (hops, _)) in ways.iter().enumerate() {
        for hop in hops {
            together.entry(hop.key).or_default().push(number);
        }
    }
    let edges = |hop: &Hop| {
        together
            .get(&hop.key)
            .map(Vec::as_slice)
            .unwrap_or_default()
    };
    let mut lines = Vec::new();
    for (number, (hops, rejected)) in ways.iter().enumerate() {
        for stretch in hops.chunk_by(|one, next| edges(one) == edges(next)) {
            let first = &stretch[0];
            let edges = edges(first);
            if edges.first() == Some(&number) {
                lines.push(Line {
                    d: drawn(stretch, down),
                    edges: edges.to_vec(),
                    label: first.label,
                    rejected: *rejected,
                    arrives: stretch.iter().any(|hop| hop.arrives),
                });
            }
        }
    }
    lines
}

/// The attribute `d` of a path (<https://www.w3.org/TR/SVG2/paths.html#PathData>).
fn drawn(stretch: &[Hop], down: bool) -> String {
    let text = |(along, across): Point| {
        let (x, y) = if down {
            (across, along)
        } else {
            (along, across)
        };
        format!("{} {}", rounded(x), rounded(y))
    };
    let mut at = stretch[0].start;
    let mut d = format!("M{}", text(at));
    for step in stretch.iter().flat_map(|hop| &hop.steps) {
        let (end, part) = match *step {
            Step::To(end) => (end, format!("L{}", text(end))),
            Step::Around(corner, end) => (end, format!("Q{} {}", text(corner), text(end))),
            Step::Curve(end) => {
                let middle = (at.0 + end.0) / 2.0;
                let bends = [(middle, at.1), (middle, end.1), end].map(text);
                (end, format!("C{}", bends.join(" ")))
            }
        };
        if end != at {
            let _ = write!(d, "{part}");
        }
        at = end;
    }
    d
}
