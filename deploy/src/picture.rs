//! A topology as a picture: where its nodes stand and how its edges run. Drawn by `isobar graph -o svg`,
//! and by the page of a running topology, which puts figures on it.

mod line;
mod order;
mod way;

use isobar_topology::EdgeReport;
use serde::Serialize;

use way::Ways;

/// Sizes of cards and of what is between them, in pixels, and which way the layers go.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Form {
    /// Layers go down; to the right otherwise.
    pub(crate) down: bool,
    /// Of a card.
    pub(crate) width: f64,
    /// Of a card.
    pub(crate) height: f64,
    /// Between two layers.
    pub(crate) along: f64,
    /// Between two cards of a layer.
    pub(crate) across: f64,
    /// For a label, along the way of its edge.
    pub(crate) room: f64,
    /// Characters of a name that fit on a card.
    pub(crate) letters: usize,
}

/// A picture, all of it in pixels.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Layout {
    pub(crate) form: Form,
    /// In the order of the plan.
    pub(crate) nodes: Vec<Placed>,
    pub(crate) lines: Vec<Line>,
    /// What is seen: left, top, width, height, with room for what is around cards.
    pub(crate) view: [f64; 4],
}

/// A card, by its middle.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Placed {
    pub(crate) id: String,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// A line, which is an edge, or a part of several that run together.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// The attribute `d` of its path.
    pub(crate) d: String,
    /// The edges that it is of, by their numbers in the plan, at least one.
    pub(crate) edges: Vec<usize>,
    /// Where the label of these edges goes, on the line with which they begin.
    pub(crate) label: Option<Label>,
    /// Only rejected records take it.
    pub(crate) rejected: bool,
    /// It ends at a card, with an arrow.
    pub(crate) arrives: bool,
}

/// The base line of a label.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Label {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) anchor: Anchor,
}

/// Which part of a label is at its place, in the words of the attribute `text-anchor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    /// As the attribute has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

impl Label {
    fn new(x: f64, y: f64, anchor: Anchor) -> Self {
        let (x, y) = (rounded(x), rounded(y));
        Self { x, y, anchor }
    }
}

/// Room for an edge that passes a layer.
const LANE: f64 = 14.0;
/// Around all cards.
const MARGIN: f64 = 10.0;

impl Layout {
    /// Places nodes, which are given in the order of processing. Edges whose ends are no nodes are left
    /// out.
    pub(crate) fn new<'a>(
        ids: impl IntoIterator<Item = &'a str>,
        edges: &[EdgeReport],
        form: Form,
    ) -> Self {
        let ids: Vec<&str> = ids.into_iter().collect();
        let number = |id: &str| ids.iter().position(|one| *one == id);
        let known = edges.iter().enumerate().filter_map(|(at, edge)| {
            let (from, rejected) = match edge.from.rsplit_once('.') {
                Some((from, stream)) => (from, stream == "rejected"),
                None => (edge.from.as_str(), false),
            };
            let edge = order::Edge {
                from: number(from)?,
                to: number(&edge.to)?,
                rejected,
            };
            Some((at, edge))
        });
        let (numbers, known): (Vec<usize>, Vec<order::Edge>) = known.unzip();
        let (size, thick) = match form.down {
            true => (form.width, form.height),
            false => (form.height, form.width),
        };
        let ordered = order::Ordered::new(
            ids.len(),
            &known,
            |is_card| if is_card { size } else { LANE },
            form.across,
        );

        let step = thick + form.along;
        let nodes = ids.iter().zip(&ordered.items).map(|(id, item)| {
            let along = item.layer as f64 * step + thick / 2.0;
            let (x, y) = match form.down {
                true => (item.across, along),
                false => (along, item.across),
            };
            Placed {
                id: (*id).to_owned(),
                x: rounded(x),
                y: rounded(y),
            }
        });
        let ways = Ways {
            form,
            ordered: &ordered,
            edges: &known,
            nodes: ids.len(),
            card: (thick, size),
        };
        let all = known.iter().enumerate();
        let all: Vec<_> = all.map(|(at, edge)| (ways.of(at), edge.rejected)).collect();
        let mut lines = line::lines(&all, form.down);
        for edge in lines.iter_mut().flat_map(|line| &mut line.edges) {
            *edge = numbers[*edge];
        }
        let length = ordered.layers as f64 * step - form.along + MARGIN + Ways::margin();
        let breadth = ordered.breadth + 2.0 * MARGIN;
        let (width, height) = match form.down {
            true => (breadth, length),
            false => (length, breadth),
        };
        Self {
            form,
            nodes: nodes.collect(),
            lines,
            view: [-MARGIN, -MARGIN, width, height].map(rounded),
        }
    }
}

/// To a tenth of a pixel.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Form = Form {
        down: false,
        width: 100.0,
        height: 40.0,
        along: 50.0,
        across: 20.0,
        room: 10.0,
        letters: 10,
    };

    fn edge(from: &str, to: &str) -> EdgeReport {
        EdgeReport {
            from: from.to_owned(),
            to: to.to_owned(),
            grouping: "local",
            fused: true,
            ordered: true,
            throttle: None,
            on_full: None,
        }
    }

    fn layout(ids: &[&str], edges: &[(&str, &str)], form: Form) -> Layout {
        let edges: Vec<_> = edges.iter().map(|(from, to)| edge(from, to)).collect();
        Layout::new(ids.iter().copied(), &edges, form)
    }

    #[test]
    fn a_chain_is_a_straight_line_and_dead_letters_stand_beside_the_sink() {
        let ids = ["logs", "parse", "index", "dead_letter"];
        let edges = [
            ("logs", "parse"),
            ("parse", "index"),
            ("parse.rejected", "dead_letter"),
            ("index.rejected", "dead_letter"),
        ];
        let drawn = layout(&ids[..3], &edges[..2], FORM);
        let places: Vec<_> = drawn.nodes.iter().map(|node| (node.x, node.y)).collect();
        assert_eq!(places, [(50.0, 20.0), (200.0, 20.0), (350.0, 20.0)]);
        assert_eq!(drawn.lines[0].d, "M100 20L150 20");
        assert_eq!(drawn.view, [-10.0, -10.0, 447.0, 60.0]);

        let drawn = layout(&ids, &edges, FORM);
        let [index, letters] = [&drawn.nodes[2], &drawn.nodes[3]];
        assert_eq!((index.x, letters.x), (350.0, 350.0));
        assert_eq!(letters.y - index.y, 60.0);
        let lines: Vec<_> = drawn.lines.iter().map(|line| line.d.as_str()).collect();
        let from_parse = "M250 29L256 29Q264 29 264 37L264 72Q264 80 272 80L300 80";
        let from_index = "M400 29L406 29Q414 29 414 37L414 72Q414 80 406 80L400 80";
        assert_eq!(
            lines,
            ["M100 20L150 20", "M250 20L300 20", from_parse, from_index]
        );

        let down = layout(&ids, &edges, Form { down: true, ..FORM });
        let [parse, index] = [&down.nodes[1], &down.nodes[2]];
        assert_eq!((parse.y, index.y), (110.0, 200.0));
        assert_eq!(down.nodes[3].x - index.x, 120.0);
    }

    #[test]
    fn edges_that_run_together_are_one_line_with_one_arrow() {
        let ids = ["in", "route", "a", "b", "end", "letters"];
        let edges = [
            ("in", "route"),
            ("route.slow", "a"),
            ("route.errors", "a"),
            ("route.rest", "b"),
            ("a", "end"),
            ("route.audit", "end"),
            ("in", "end"),
            ("a.rejected", "letters"),
            ("b.rejected", "letters"),
            ("route.rejected", "letters"),
            ("end.rejected", "letters"),
        ];
        for down in [false, true] {
            let drawn = layout(&ids, &edges, Form { down, ..FORM });
            let mut of: Vec<_> = drawn.lines.iter().map(|line| line.edges.clone()).collect();
            of.sort();
            of.dedup();
            // Both streams to `a`; what goes past it to `end`; and letters, as they come together.
            for together in [vec![1, 2], vec![5, 6], vec![7, 8], vec![7, 8, 9]] {
                assert!(of.contains(&together), "{together:?} of {of:?}");
            }
            // No stretch is drawn twice, and each edge has one start and one end.
            for edge in 0..edges.len() {
                let lines = drawn.lines.iter().filter(|line| line.edges.contains(&edge));
                let labels = lines.clone().filter(|line| line.label.is_some()).count();
                let arrows = lines.filter(|line| line.arrives).count();
                assert_eq!((labels, arrows), (1, 1), "{edge}: {:?}", drawn.lines);
            }
        }
    }

    #[test]
    fn labels_stand_apart() {
        let ids = ["in", "route", "a", "b", "c", "end", "letters"];
        let edges = [
            ("in", "route"),
            ("route.a", "a"),
            ("route.b", "b"),
            ("route.c", "c"),
            ("a", "end"),
            ("b", "end"),
            ("c", "end"),
            ("a.rejected", "letters"),
            ("b.rejected", "letters"),
        ];
        let drawn = layout(&ids, &edges, FORM);
        let labels: Vec<_> = drawn.lines.iter().filter_map(|line| line.label).collect();
        assert_eq!(labels.len(), edges.len());
        for (number, one) in labels.iter().enumerate() {
            for other in &labels[..number] {
                let apart = (one.x - other.x).abs() >= 40.0 || (one.y - other.y).abs() >= 12.0;
                assert!(apart, "{one:?} {other:?}");
            }
        }
        // None is on a card.
        for label in labels {
            let on = |node: &Placed| {
                (label.x - node.x).abs() < 50.0 && (label.y - 4.0 - node.y).abs() < 24.0
            };
            assert!(!drawn.nodes.iter().any(on), "{label:?}");
        }
    }

    #[test]
    fn cards_never_touch_and_no_edge_leads_back() {
        // A second parser behind the rejects of the first, and an edge that passes three layers.
        let ids = [
            "a",
            "b",
            "first",
            "second",
            "enrich",
            "index",
            "copy",
            "dead_letter",
        ];
        let edges = [
            ("a", "first"),
            ("first", "enrich"),
            ("first.rejected", "second"),
            ("second", "enrich"),
            ("enrich", "index"),
            ("a", "copy"),
            ("b", "copy"),
            ("b", "index"),
            ("second.rejected", "dead_letter"),
            ("index.rejected", "dead_letter"),
        ];
        for down in [false, true] {
            let form = Form { down, ..FORM };
            let drawn = layout(&ids, &edges, form);
            for (number, one) in drawn.nodes.iter().enumerate() {
                let [left, top, width, height] = drawn.view;
                assert!(
                    one.x - 50.0 >= left && one.x + 50.0 <= left + width,
                    "{one:?}"
                );
                assert!(
                    one.y - 20.0 >= top && one.y + 20.0 <= top + height,
                    "{one:?}"
                );
                for other in &drawn.nodes[..number] {
                    let apart = (one.x - other.x).abs() >= 100.0 || (one.y - other.y).abs() >= 40.0;
                    assert!(apart, "{one:?} {other:?}");
                }
            }
            let along = |id: &str| {
                let node = drawn.nodes.iter().find(|node| node.id == id);
                let node = node.expect("a node");
                if down { node.y } else { node.x }
            };
            for (from, to) in edges {
                let from = from.split('.').next().expect("an id");
                assert!(
                    along(from) < along(to) || to == "dead_letter",
                    "{from} {to}"
                );
            }
            assert_eq!(along("index"), along("dead_letter"));
        }
    }

    #[test]
    fn an_edge_to_nobody_and_a_lone_node_are_no_trouble() {
        let drawn = layout(&["a"], &[("a", "gone")], FORM);
        assert_eq!((drawn.nodes.len(), drawn.lines.len()), (1, 0));
        assert_eq!(drawn.view, [-10.0, -10.0, 147.0, 60.0]);
    }
}
