//! A topology as a picture: where its nodes stand and how its edges run. Drawn by `isobar graph -o svg`,
//! and by the page of a running topology, which puts figures on it.

mod curve;
mod order;

use isobar_topology::EdgeReport;
use serde::Serialize;

use curve::Curve;

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
    /// Characters of a name that fit on a card.
    pub(crate) letters: usize,
}

/// A picture, all of it in pixels.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Layout {
    pub(crate) form: Form,
    /// In the order of the plan.
    pub(crate) nodes: Vec<Placed>,
    /// In the order of the plan.
    pub(crate) edges: Vec<Way>,
    /// What is seen: left, top, width, height, with room for marks above cards and edges around them.
    pub(crate) view: [f64; 4],
}

/// A card, by its middle.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Placed {
    pub(crate) id: String,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// An edge.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Way {
    /// Its line, as the attribute `d` of a path
    /// (<https://www.w3.org/TR/SVG2/paths.html#PathData>).
    pub(crate) d: String,
    /// The middle of the base line of its label.
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Only rejected records take it.
    pub(crate) rejected: bool,
}

/// Room for an edge that passes a layer.
const LANE: f64 = 14.0;
/// Above all cards, for marks.
const TOP: f64 = 22.0;
/// Below all cards. Edges within the last layer need it where layers go down.
const BOTTOM: f64 = 34.0;

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
        let known = edges.iter().filter_map(|edge| {
            let (from, rejected) = match edge.from.rsplit_once('.') {
                Some((from, stream)) => (from, stream == "rejected"),
                None => (edge.from.as_str(), false),
            };
            Some(order::Edge {
                from: number(from)?,
                to: number(&edge.to)?,
                rejected,
            })
        });
        let known: Vec<order::Edge> = known.collect();
        let (size, thick) = match form.down {
            true => (form.width, form.height),
            false => (form.height, form.width),
        };
        let ordered = order::Ordered::new(
            ids.len(),
            &known,
            |is_card| {
                if is_card { size } else { LANE }
            },
            form.across,
        );

        let step = thick + form.along;
        let points: Vec<(f64, f64)> = ordered
            .items
            .iter()
            .map(|item| {
                let along = item.layer as f64 * step + thick / 2.0;
                match form.down {
                    true => (item.across, along),
                    false => (along, item.across),
                }
            })
            .collect();
        let nodes = ids.iter().zip(&points).map(|(id, (x, y))| Placed {
            id: (*id).to_owned(),
            x: rounded(*x),
            y: rounded(*y),
        });
        let edges = known.iter().zip(&ordered.paths).map(|(edge, path)| {
            let stops = path.iter().map(|item| {
                let is_card = *item < ids.len();
                (points[*item], if is_card { thick / 2.0 } else { LANE })
            });
            let Curve { d, label } = Curve::through(&stops.collect::<Vec<_>>(), form.down);
            Way {
                d,
                x: rounded(label.0),
                y: rounded(label.1),
                rejected: edge.rejected,
            }
        });
        let length = ordered.layers as f64 * step - form.along;
        let (width, height) = match form.down {
            true => (ordered.breadth, length),
            false => (length, ordered.breadth),
        };
        // Edges within the last layer need it where layers go to the right.
        let side = if form.down { 10.0 } else { 25.0 };
        Self {
            form,
            nodes: nodes.collect(),
            edges: edges.collect(),
            view: [-side, -TOP, width + 2.0 * side, height + TOP + BOTTOM].map(rounded),
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
        letters: 10,
    };

    fn edge(from: &str, to: &str) -> EdgeReport {
        EdgeReport {
            from: from.to_owned(),
            to: to.to_owned(),
            grouping: "local",
            fused: true,
            ordered: true,
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
        assert_eq!(drawn.edges[0].d, "M100 20C125 20 125 20 150 20");
        assert_eq!(drawn.view, [-25.0, -22.0, 450.0, 96.0]);

        let drawn = layout(&ids, &edges, FORM);
        let [index, letters] = [&drawn.nodes[2], &drawn.nodes[3]];
        assert_eq!((index.x, letters.x), (350.0, 350.0));
        assert_eq!((index.y - letters.y).abs(), 60.0);
        let rejected: Vec<bool> = drawn.edges.iter().map(|edge| edge.rejected).collect();
        assert_eq!(rejected, [false, false, true, true]);

        let down = layout(&ids, &edges, Form { down: true, ..FORM });
        let [parse, index] = [&down.nodes[1], &down.nodes[2]];
        assert_eq!((parse.y, index.y), (110.0, 200.0));
        assert_eq!((index.x - down.nodes[3].x).abs(), 120.0);
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
        assert_eq!((drawn.nodes.len(), drawn.edges.len()), (1, 0));
        assert_eq!(drawn.view, [-25.0, -22.0, 150.0, 96.0]);
    }
}
