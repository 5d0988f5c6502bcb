//! The way of an edge: from layer to layer, or out of the layers and below them all to dead letters.

use super::line::{Hop, Key, Point, Step};
use super::order::{Edge, Ordered};
use super::{Anchor, Form, Label};

/// From a layer to the line beside it that leads to letters.
const BESIDE: f64 = 14.0;
/// Between two of those, of different letters.
const APART: f64 = 6.0;
/// Most that a label is away from there, for topologies with many letters.
const LETTERS_MAX: usize = 2;
/// Of a bend.
const RADIUS: f64 = 8.0;
/// From where ordinary lines leave a card to those of rejected records.
const SHIFT: f64 = 9.0;
/// From the base line of a label above a line to that of one below it.
const BELOW: f64 = 21.0;
/// From a label to the arrow beside it.
const ARROW: f64 = 11.0;

/// Where the ways of all edges are.
pub(super) struct Ways<'a> {
    pub(super) form: Form,
    pub(super) ordered: &'a Ordered,
    pub(super) edges: &'a [Edge],
    /// Nodes; the other items are places of edges.
    pub(super) nodes: usize,
    /// Of a card, along the layers and across them.
    pub(super) card: Point,
}

impl Ways<'_> {
    /// What a picture has to have beside its layers for their lines.
    pub(super) fn margin() -> f64 {
        BESIDE + LETTERS_MAX as f64 * APART + ARROW
    }

    /// The way of an edge by its number.
    pub(super) fn of(&self, number: usize) -> Vec<Hop> {
        let edge = self.edges[number];
        match self.ordered.letters[edge.to] {
            true => self.to_letters(edge),
            false => {
                let path = &self.ordered.paths[number];
                let pairs = path.windows(2).enumerate();
                let hops = pairs.map(|(at, pair)| self.between(pair[0], pair[1], edge, at == 0));
                hops.collect()
            }
        }
    }

    /// Where layers begin along the way.
    fn layer(&self, layer: usize) -> f64 {
        layer as f64 * (self.card.0 + self.form.along)
    }

    fn across(&self, item: usize) -> f64 {
        self.ordered.items[item].across
    }

    fn between(&self, from: usize, to: usize, edge: Edge, is_first: bool) -> Hop {
        let place = |item: usize, far: f64| {
            let is_card = item < self.nodes;
            let shift = if is_card && edge.rejected { SHIFT } else { 0.0 };
            let along = self.layer(self.ordered.items[item].layer) + far;
            (along, self.across(item) + shift)
        };
        let (start, end) = (place(from, self.card.0), place(to, 0.0));
        let is_straight = (start.1 - end.1).abs() < 0.5;
        let (leads, comes) = self.ordinary(from, to);
        // A label is on a straight part, where no other line comes by.
        let (lead, tail) = match (is_straight, leads, comes) {
            (false, _, 1) => (0.0, self.form.room + ARROW),
            (false, 1, _) => (BESIDE + self.form.room, 0.0),
            _ => (0.0, 0.0),
        };
        let (bend, bent) = ((start.0 + lead, start.1), (end.0 - tail, end.1));
        let curve = match is_straight {
            true => Step::To(bent),
            false => Step::Curve(bent),
        };
        let middle = ((start.0 + end.0) / 2.0, (start.1 + end.1) / 2.0);
        let label = match (is_straight, lead > 0.0, tail > 0.0) {
            (true, ..) if self.form.down => self.beside((end.0 - ARROW, end.1), Anchor::Middle),
            (true, ..) => self.beside(middle, Anchor::Middle),
            (_, true, _) => self.beside((start.0 + BESIDE + 4.0, start.1), Anchor::Start),
            // On the side where the line does not come from.
            (_, _, true) => {
                let below = if start.1 < end.1 && !self.form.down {
                    BELOW
                } else {
                    0.0
                };
                self.beside((end.0 - ARROW, end.1 + below), Anchor::End)
            }
            _ => self.on(middle),
        };
        Hop {
            key: Key::Between(from, to, edge.rejected),
            start,
            steps: vec![Step::To(bend), curve, Step::To(end)],
            label: is_first.then_some(label),
            arrives: to < self.nodes,
        }
    }

    /// How many lines lead out of an item in this layer and how many come into one in the next.
    fn ordinary(&self, from: usize, to: usize) -> (usize, usize) {
        let paths = self.ordered.paths.iter().zip(self.edges);
        let ordinary = paths.filter(|(_, edge)| !self.ordered.letters[edge.to]);
        let pairs = ordinary.flat_map(|(path, edge)| {
            let pairs = path.windows(2);
            pairs.map(|pair| (pair[0], pair[1], edge.rejected))
        });
        let pairs: std::collections::BTreeSet<_> = pairs.collect();
        let leads = pairs.iter().filter(|(one, ..)| *one == from).count();
        let comes = pairs.iter().filter(|(_, one, _)| *one == to).count();
        (leads, comes)
    }

    /// Above a line that goes to the right; on it where it goes down, and this far along.
    fn beside(&self, (along, across): Point, anchor: Anchor) -> Label {
        match (self.form.down, anchor) {
            (true, Anchor::Start) => Label::new(across, along + 10.0, Anchor::Middle),
            (true, _) => Label::new(across, along - 6.0, Anchor::Middle),
            (false, anchor) => Label::new(along, across - 6.0, anchor),
        }
    }

    fn on(&self, (along, across): Point) -> Label {
        match self.form.down {
            true => Label::new(across, along + 4.0, Anchor::Middle),
            false => Label::new(along, across + 4.0, Anchor::Middle),
        }
    }

    /// Out of the card, beside its layer to the line below all of them, and along that. From the last
    /// layer it is back to the card from behind.
    fn to_letters(&self, edge: Edge) -> Vec<Hop> {
        let items = &self.ordered.items;
        let (layer, last) = (items[edge.from].layer, items[edge.to].layer);
        let below = self.across(edge.to);
        let side = (below - self.across(edge.from)).signum();
        let key = |one: usize| side * (below - self.across(one));
        // From the one that is farthest away.
        let mut joining = self.leading_to(edge.to);
        joining.retain(|one| items[*one].layer == layer && key(*one) > 0.0);
        joining.sort_by(|a, b| key(*b).total_cmp(&key(*a)));

        let beside = self.beside_layer(layer, edge.to);
        let joins = |one: usize| (beside, self.across(one) + SHIFT + side * RADIUS);
        let start = (
            self.layer(layer) + self.card.0,
            self.across(edge.from) + SHIFT,
        );
        let corner = (beside, start.1);
        let mut hops = vec![Hop {
            key: Key::Out(edge.from, edge.to),
            start,
            steps: vec![
                Step::To((beside - RADIUS, start.1)),
                Step::Around(corner, joins(edge.from)),
            ],
            label: Some(self.of_rejected(edge.from, beside)),
            arrives: false,
        }];
        let behind = joining.iter().skip_while(|one| **one != edge.from);
        let behind: Vec<usize> = behind.copied().collect();
        let way = if layer < last { 1.0 } else { -1.0 };
        for (at, one) in behind.iter().enumerate() {
            let steps = match behind.get(at + 1) {
                Some(next) => vec![Step::To(joins(*next))],
                None => vec![
                    Step::To((beside, below - side * RADIUS)),
                    Step::Around((beside, below), (beside + way * RADIUS, below)),
                ],
            };
            hops.push(Hop {
                key: Key::Beside(*one, edge.to),
                start: joins(*one),
                steps,
                label: None,
                arrives: false,
            });
        }
        if layer == last {
            let end = (self.layer(last) + self.card.0, below);
            let back = hops.last_mut().expect("there is the way out");
            back.steps.push(Step::To(end));
            back.arrives = true;
            return hops;
        }
        let layers = self
            .leading_to(edge.to)
            .into_iter()
            .map(|one| items[one].layer);
        let layers: std::collections::BTreeSet<usize> =
            layers.filter(|one| (layer..last).contains(one)).collect();
        let leaves = |layer| (self.beside_layer(layer, edge.to) + RADIUS, below);
        for layer in &layers {
            let next = layers.range(layer + 1..).next();
            let end = next.map_or((self.layer(last), below), |next| leaves(*next));
            hops.push(Hop {
                key: Key::Below(*layer, edge.to),
                start: leaves(*layer),
                steps: vec![Step::To(end)],
                label: None,
                arrives: next.is_none(),
            });
        }
        hops
    }

    /// The nodes from which edges lead to one, each once.
    fn leading_to(&self, to: usize) -> Vec<usize> {
        let edges = self.edges.iter().filter(|edge| edge.to == to);
        let mut from: Vec<usize> = edges.map(|edge| edge.from).collect();
        from.sort_unstable();
        from.dedup();
        from
    }

    /// Where the line of a layer to these letters is.
    fn beside_layer(&self, layer: usize, to: usize) -> f64 {
        let before = (0..to).filter(|node| self.ordered.letters[*node]).count();
        self.layer(layer) + self.card.0 + BESIDE + before.min(LETTERS_MAX) as f64 * APART
    }

    /// Where layers go to the right below the card, where nothing else is; else below the line, at the end
    /// of the card.
    fn of_rejected(&self, from: usize, beside: f64) -> Label {
        let end = self.across(from) + self.card.1 / 2.0;
        match self.form.down {
            true => Label::new(end, beside + 13.0, Anchor::End),
            false => Label::new(beside - 5.0, end + 15.0, Anchor::End),
        }
    }
}
