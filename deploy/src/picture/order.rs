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
    /// Those that edges lead here from, and lead to, in the layers beside its own.
    before: Vec<usize>,
    behind: Vec<usize>,
}

/// Everything in its place.
#[derive(Debug)]
pub(super) struct Ordered {
    /// The nodes, then the places of edges.
    pub(super) items: Vec<Item>,
    /// The items of each edge, from its start to its end. Edges to letters pass no places.
    pub(super) paths: Vec<Vec<usize>>,
    /// By node: whether nothing but rejected records comes to it and it passes none of them on. These
    /// stand below all others, each at the end of a line that is straight.
    pub(super) letters: Vec<bool>,
    /// How many there are.
    pub(super) layers: usize,
    /// Across all layers.
    pub(super) breadth: f64,
}

/// Times that all layers are ordered anew, towards the end and back in turn and at last towards the end,
/// so that chains are straight: no picture of a handful of layers changes after that.
const SWEEPS: usize = 13;

impl Ordered {
    /// Places `count` nodes. `size` is that of a card, or of the place of an edge; `gap` is between two.
    pub(super) fn new(count: usize, edges: &[Edge], size: impl Fn(bool) -> f64, gap: f64) -> Self {
        let (layer_of, letters) = layers(count, edges);
        let mut items: Vec<Item> = Vec::with_capacity(count);
        let item = |layer, is_card| Item {
            layer,
            across: 0.0,
            size: size(is_card),
            before: Vec::new(),
            behind: Vec::new(),
        };
        items.extend(layer_of.iter().map(|layer| item(*layer, true)));
        // Edges of a kind that pass a layer on their way to one node share a place there.
        let mut passing = BTreeMap::new();
        let mut paths = Vec::with_capacity(edges.len());
        for edge in edges {
            let mut path = vec![edge.from];
            if !letters[edge.to] {
                for layer in layer_of[edge.from] + 1..layer_of[edge.to] {
                    let place = (layer, edge.to, edge.rejected);
                    path.push(*passing.entry(place).or_insert_with(|| {
                        items.push(item(layer, false));
                        items.len() - 1
                    }));
                }
            }
            path.push(edge.to);
            for pair in path.windows(2).filter(|_| !letters[edge.to]) {
                items[pair[0]].behind.push(pair[1]);
                items[pair[1]].before.push(pair[0]);
            }
            paths.push(path);
        }
        let last = layer_of.iter().copied().max();
        let mut layers = vec![Vec::new(); last.map_or(0, |last| last + 1)];
        let is_letters = |number: usize| letters.get(number).copied().unwrap_or_default();
        for (number, item) in items.iter().enumerate() {
            if !is_letters(number) {
                layers[item.layer].push(number);
            }
        }
        arrange(&mut items, &mut layers, gap);
        let edge_of = |item: &Item, side: f64| item.across + side * item.size / 2.0;
        let ordinary = || layers.iter().flatten().copied();
        let least = ordinary().map(|number| edge_of(&items[number], -1.0));
        let least = least.reduce(f64::min).unwrap_or_default();
        for number in ordinary() {
            items[number].across -= least;
        }
        let end_of = |items: &[Item], numbers: &mut dyn Iterator<Item = usize>| {
            let ends = numbers.map(|number| edge_of(&items[number], 1.0));
            ends.reduce(f64::max).unwrap_or(-gap)
        };
        // Below all that their lines pass, and below what stands in their own layer.
        let own = end_of(
            &items,
            &mut layers.iter().last().into_iter().flatten().copied(),
        );
        let mut breadth = end_of(&items, &mut ordinary());
        let mut at = (breadth + gap + size(false) / 2.0).max(own + gap + size(true) / 2.0);
        for number in (0..count).filter(|number| letters[*number]) {
            items[number].across = at;
            breadth = breadth.max(at + size(true) / 2.0);
            at += size(true) + gap;
        }
        Self {
            breadth,
            layers: layers.len(),
            items,
            paths,
            letters,
        }
    }
}

/// The layer of each node: one behind the last of those that lead to it. What takes only rejected
/// records and passes none on stands in the last layer, beside the other ends; which nodes these are is
/// the other part of the answer.
fn layers(count: usize, edges: &[Edge]) -> (Vec<usize>, Vec<bool>) {
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
    (layer_of, takes_letters)
}

fn arrange(items: &mut [Item], layers: &mut [Vec<usize>], gap: f64) {
    for layer in &*layers {
        place(items, layer, &vec![0.0; layer.len()], gap);
    }
    for sweep in 0..SWEEPS {
        let is_forward = sweep % 2 == 0;
        for number in 0..layers.len() {
            let number = match is_forward {
                true => number,
                false => layers.len() - 1 - number,
            };
            let layer = &mut layers[number];
            let wanted = |item: &usize| {
                let item = &items[*item];
                let near = if is_forward {
                    &item.before
                } else {
                    &item.behind
                };
                let sum: f64 = near.iter().map(|one| items[*one].across).sum();
                match near.len() {
                    0 => item.across,
                    count => sum / count as f64,
                }
            };
            layer.sort_by(|a, b| wanted(a).total_cmp(&wanted(b)));
            let wanted: Vec<f64> = layer.iter().map(wanted).collect();
            place(items, layer, &wanted, gap);
        }
    }
}

/// Puts a layer side by side in its order, each item as near to where it is wanted as the others allow:
/// those that would overlap form a block, which stands at the mean of what they want. This is isotonic
/// regression by pooling adjacent violators (Barlow and others, "Statistical inference under order
/// restrictions", 1972).
fn place(items: &mut [Item], layer: &[usize], wanted: &[f64], gap: f64) {
    /// Where each item of a block stands when those before it took no room, and how many there are.
    type Block = (f64, usize);
    let mut blocks: Vec<Block> = Vec::new();
    let mut room = Vec::with_capacity(layer.len());
    let mut at = 0.0;
    for (item, wanted) in layer.iter().zip(wanted) {
        let size = items[*item].size;
        room.push(at + size / 2.0);
        let mut last = (wanted - at - size / 2.0, 1);
        while let Some((before, count)) = blocks.pop_if(|(before, _)| *before > last.0) {
            let sum = before * count as f64 + last.0 * last.1 as f64;
            last = (sum / (count + last.1) as f64, count + last.1);
        }
        blocks.push(last);
        at += size + gap;
    }
    let starts = blocks
        .iter()
        .flat_map(|(start, count)| std::iter::repeat_n(*start, *count));
    for ((item, room), start) in layer.iter().zip(room).zip(starts) {
        items[*item].across = start + room;
    }
}
