//! Nodes in layers, and the order within each.
//!
//! After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures"
//! (1981): layers by the longest way, a place in each layer that an edge passes, and the order of a layer
//! by the mean of where its neighbours stand.

use std::collections::BTreeMap;

/// An edge between nodes, by their numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) rejected: bool,
}

/// A node, or the place of an edge in a layer that it passes.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) layer: usize,
    /// Its middle, from 0.
    pub(super) across: f64,
    size: f64,
    near: Vec<usize>,
}

/// Everything in its place.
#[derive(Debug)]
pub(super) struct Ordered {
    /// The nodes, then the places of edges.
    pub(super) items: Vec<Item>,
    /// The items of each edge, from its start to its end.
    pub(super) paths: Vec<Vec<usize>>,
    /// How many there are.
    pub(super) layers: usize,
    /// Across all layers.
    pub(super) breadth: f64,
}

/// Times that all layers are ordered anew: no picture of a handful of layers changes after that.
const SWEEPS: usize = 6;

impl Ordered {
    /// Places `count` nodes. `size` is that of a card, or of the place of an edge; `gap` is between two.
    pub(super) fn new(count: usize, edges: &[Edge], size: impl Fn(bool) -> f64, gap: f64) -> Self {
        let layer_of = layers(count, edges);
        let mut items: Vec<Item> = Vec::with_capacity(count);
        let item = |layer, is_card| Item {
            layer,
            across: 0.0,
            size: size(is_card),
            near: Vec::new(),
        };
        items.extend(layer_of.iter().map(|layer| item(*layer, true)));
        // Edges that pass a layer on their way to one node share a place there.
        let mut passing = BTreeMap::new();
        let mut paths = Vec::with_capacity(edges.len());
        for edge in edges {
            let mut path = vec![edge.from];
            for layer in layer_of[edge.from] + 1..layer_of[edge.to] {
                path.push(*passing.entry((layer, edge.to)).or_insert_with(|| {
                    items.push(item(layer, false));
                    items.len() - 1
                }));
            }
            path.push(edge.to);
            for pair in path.windows(2) {
                items[pair[0]].near.push(pair[1]);
                items[pair[1]].near.push(pair[0]);
            }
            paths.push(path);
        }
        let count = layer_of.iter().max().map_or(0, |last| last + 1);
        let mut layers = vec![Vec::new(); count];
        for (number, item) in items.iter().enumerate() {
            layers[item.layer].push(number);
        }
        arrange(&mut items, &mut layers, gap);
        let edge_of = |item: &Item, side: f64| item.across + side * item.size / 2.0;
        let least = items.iter().map(|item| edge_of(item, -1.0));
        let least = least.reduce(f64::min).unwrap_or_default();
        for item in &mut items {
            item.across -= least;
        }
        let most = items.iter().map(|item| edge_of(item, 1.0));
        Self {
            breadth: most.reduce(f64::max).unwrap_or_default(),
            layers: layers.len(),
            items,
            paths,
        }
    }
}

/// The layer of each node: one behind the last of those that lead to it. What takes only rejected
/// records and passes none on stands in the last layer, beside the other ends.
fn layers(count: usize, edges: &[Edge]) -> Vec<usize> {
    // Nodes come in the order of processing, so one pass sees each edge after what leads to it.
    let mut takes_letters = vec![false; count];
    for node in (0..count).rev() {
        let mut inputs = edges.iter().filter(|edge| edge.to == node).peekable();
        let is_fed = inputs.peek().is_some() && inputs.all(|edge| edge.rejected);
        let mut outputs = edges.iter().filter(|edge| edge.from == node);
        takes_letters[node] = is_fed && outputs.all(|edge| takes_letters[edge.to]);
    }
    let mut layer_of = vec![0; count];
    for node in 0..count {
        let outputs = edges.iter().filter(|edge| edge.from == node);
        for edge in outputs.filter(|edge| !takes_letters[edge.to]) {
            layer_of[edge.to] = layer_of[edge.to].max(layer_of[node] + 1);
        }
    }
    let last = layer_of.iter().copied().max().unwrap_or_default();
    // Behind a spout that nothing else reads.
    let last = last.max(usize::from(takes_letters.contains(&true)));
    for node in (0..count).filter(|node| takes_letters[*node]) {
        layer_of[node] = last;
    }
    layer_of
}

fn arrange(items: &mut [Item], layers: &mut [Vec<usize>], gap: f64) {
    for layer in &*layers {
        place(items, layer, gap);
    }
    for sweep in 0..SWEEPS {
        for number in 0..layers.len() {
            let number = match sweep % 2 {
                0 => number,
                _ => layers.len() - 1 - number,
            };
            let layer = &mut layers[number];
            let mean = |item: &usize| {
                let near = &items[*item].near;
                let sum: f64 = near.iter().map(|one| items[*one].across).sum();
                sum / near.len().max(1) as f64
            };
            layer.sort_by(|a, b| mean(a).total_cmp(&mean(b)));
            place(items, layer, gap);
        }
    }
}

/// Puts a layer side by side in its order, around 0.
fn place(items: &mut [Item], layer: &[usize], gap: f64) {
    let sizes = layer.iter().map(|item| items[*item].size + gap);
    let mut at = (gap - sizes.sum::<f64>()) / 2.0;
    for item in layer {
        let item = &mut items[*item];
        item.across = at + item.size / 2.0;
        at += item.size + gap;
    }
}
