//! The components of a topology and the edges between them.

mod inputs;
mod overload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::problem::{Path, Problem, Problems, Segment, nearest};
use super::settings::Settings;
use super::tree::{Entry, Node, Place, Value};
use inputs::{input_nodes, read_inputs, refuse_grouping_beside};
use overload::{Bounded, OPTIONS as OVERLOAD_OPTIONS, read_overload, refuse_overload_beside};
pub use overload::{OnFull, Overload};

/// A topology as its file says it.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The topology's name.
    pub name: String,
    /// Outside systems, by name.
    pub connections: Vec<Component>,
    /// Where records come from.
    pub spouts: Vec<Component>,
    /// What is done with them.
    pub bolts: Vec<Component>,
    /// Where rejected records go that no bolt consumes.
    pub dead_letter: Option<Component>,
    /// Bounds and paces.
    pub settings: Settings,
    /// Where relative paths of the file start: the directory that it is in. A tree of values is in none,
    /// so whoever read it from a file says so.
    pub directory: PathBuf,
    /// Parts of the graph could not be read, so that consumers may be missing. Whoever read the text says
    /// so of what did not become a part of the tree.
    pub is_torn: bool,
}

/// A connection, spout or bolt.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its key in the file.
    pub id: String,
    /// Its `type:`; empty where that could not be read.
    pub kind: String,
    /// Where its records come from; bolts only.
    pub inputs: Vec<Input>,
    /// What becomes of records that come faster than they can be taken; spouts only.
    pub overload: Overload,
    /// What its `rejected` stream does when nobody consumes it.
    pub on_rejected: Option<OnRejected>,
    /// A mapping of the remaining options.
    pub config: Node,
    /// Where it is in the file.
    pub place: Place,
    /// Where it is in the tree.
    pub path: Path,
}

impl Component {
    /// The component with other options.
    pub(crate) fn with(&self, config: Node) -> Self {
        Self {
            config,
            ..self.clone()
        }
    }
}

/// What happens to rejected records that no bolt consumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRejected {
    /// They are dropped, counted under a policy of the bolt's name.
    Drop,
}

/// An input of a bolt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The stream that is consumed.
    pub from: StreamRef,
    /// How its records are spread over lanes.
    pub grouping: Grouping,
    /// What becomes of records that come faster than they can be taken.
    pub overload: Overload,
    /// Where it is in the tree.
    pub path: Path,
    /// Where it is in the file.
    pub place: Place,
}

/// A stream of a spout or bolt: `parse` or `route.errors`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamRef {
    /// The spout or bolt.
    pub component: String,
    /// The stream, `None` for `out`.
    pub stream: Option<String>,
}

/// How records are spread over the lanes of a bolt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// They stay on their lane.
    Local,
    /// Batches go to the lanes in turn.
    Shuffle,
    /// Records with equal values in these fields go to the same lane.
    Fields(Vec<String>),
    /// Records with equal values in these fields go to one of two lanes, the less loaded one.
    PartialKey(Vec<String>),
    /// Every lane gets all of them.
    All,
    /// One lane gets all of them.
    Global,
}

impl Grouping {
    /// The fields that decide about the lane.
    pub fn fields(&self) -> &[String] {
        match self {
            Grouping::Fields(fields) | Grouping::PartialKey(fields) => fields,
            Grouping::Local | Grouping::Shuffle | Grouping::All | Grouping::Global => &[],
        }
    }
}

const TOP_LEVEL: [&str; 8] = [
    "isobar",
    "name",
    "connections",
    "spouts",
    "bolts",
    "dead_letter",
    "settings",
    // Whoever runs the tests of a topology reads them.
    "tests",
];

/// The name of a topology without a readable one, so that nothing follows from that.
const NO_NAME: &str = "unnamed";

/// The id under which the topology's dead letter appears beside the bolts.
const DEAD_LETTER: &str = "dead_letter";

impl Spec {
    /// Reads a whole file and finds every problem that needs no knowledge of operators.
    pub fn read(root: &Node) -> Result<Spec, Problems> {
        let (spec, problems) = Self::read_all(root);
        problems.or(spec)
    }

    /// As [`Spec::read`], but also returns what could be read of a file with problems, so that the
    /// problems of its components can be found as well. Nothing of it must run.
    pub fn read_all(root: &Node) -> (Spec, Problems) {
        let mut problems = Problems::default();
        if !matches!(root.value, Value::Map(_)) {
            let problem = Problem::new(Path::root(), format!("found {}", root.described()));
            problems.push(
                problem
                    .expected("a mapping with isobar, name, spouts and bolts")
                    .at(root.place),
            );
            problems.forget(&root.unreadable());
            return (Spec::default(), problems);
        }
        for entry in root.entries() {
            if !TOP_LEVEL.contains(&entry.key.as_str()) {
                problems.push(
                    Problem::new(Path::root().key(&entry.key), "unknown key")
                        .expected(format!("one of {}", TOP_LEVEL.join(", ")))
                        .near(&entry.key, TOP_LEVEL)
                        .at(entry.key_place),
                );
            }
        }
        check_version(root, &mut problems);
        let name = read_name(root, &mut problems);
        let connections = components(root, "connections", Part::Other, &mut problems);
        let spouts = components(root, "spouts", Part::Spout, &mut problems);
        let bolts = components(root, "bolts", Part::Bolt, &mut problems);
        let dead_letter = root.entry(DEAD_LETTER).and_then(|entry| {
            let path = Path::root().key(DEAD_LETTER);
            component(entry, path, Part::Other, &mut problems)
        });
        let settings = root.get("settings");
        let settings = settings.and_then(|node| problems.take(Settings::read(node)));
        let settings = settings.unwrap_or_default();
        let is_torn = is_torn(root, &bolts, dead_letter.as_ref());
        let spec = Spec {
            name,
            connections,
            spouts,
            bolts,
            dead_letter,
            settings,
            directory: PathBuf::new(),
            is_torn,
        };
        spec.check_ids(root, &mut problems);
        spec.check_inputs(root, &mut problems);
        spec.check_cycles(&mut problems);
        problems.forget(&root.unreadable());
        (spec, problems)
    }

    /// Bolts in an order in which every bolt comes after its inputs; those that form cycles, or are
    /// behind one, are left out.
    pub fn sorted_bolts(&self) -> Vec<&Component> {
        let spouts: BTreeSet<&str> = self.spouts.iter().map(|s| s.id.as_str()).collect();
        // What is no bolt needs not to be waited for, be it a spout or unknown.
        let mut waited_for: BTreeSet<&str> = self
            .bolts
            .iter()
            .map(|bolt| bolt.id.as_str())
            .filter(|id| !spouts.contains(id))
            .collect();
        let mut waiting: Vec<&Component> = self.bolts.iter().collect();
        let mut sorted: Vec<&Component> = Vec::new();
        loop {
            let (ready, rest): (Vec<&Component>, Vec<&Component>) =
                waiting.into_iter().partition(|bolt| {
                    let mut inputs = bolt.inputs.iter();
                    inputs.all(|input| !waited_for.contains(input.from.component.as_str()))
                });
            if ready.is_empty() {
                return sorted;
            }
            for bolt in &ready {
                let _ = waited_for.remove(bolt.id.as_str());
            }
            sorted.extend(ready);
            waiting = rest;
        }
    }

    /// Lets records wait wherever a policy would drop some when too many come: for a replay, whose source
    /// can wait.
    pub fn wait_for_room(&mut self) {
        let inputs = self.bolts.iter_mut().flat_map(|bolt| &mut bolt.inputs);
        let inputs = inputs.map(|input| &mut input.overload);
        let spouts = self.spouts.iter_mut().map(|spout| &mut spout.overload);
        for overload in inputs.chain(spouts) {
            overload.on_full = OnFull::Block;
        }
    }

    fn check_ids(&self, root: &Node, problems: &mut Problems) {
        for (section, one) in [("spouts", "spout"), ("bolts", "bolt")] {
            let (problem, place) = match root.get(section) {
                None => (
                    Problem::new(Path::root(), format!("`{section}` is missing")),
                    root.place,
                ),
                // A template that was rendered without its part looks like this.
                Some(node) if matches!(&node.value, Value::Map(entries) if entries.is_empty()) => {
                    let path = Path::root().key(section);
                    (
                        Problem::new(path, format!("`{section}` is empty")),
                        node.place,
                    )
                }
                Some(_) => continue,
            };
            problems.push(problem.expected(format!("at least one {one}")).at(place));
        }
        let mut seen: BTreeMap<&str, &Component> = BTreeMap::new();
        for component in self.spouts.iter().chain(&self.bolts) {
            if let Some(first) = seen.insert(&component.id, component) {
                problems.push(
                    Problem::new(
                        component.path.clone(),
                        format!("the id `{}` is taken by {}", component.id, first.path),
                    )
                    .expected("an id of its own: spouts and bolts share their names")
                    .at(component.place),
                );
            }
            if component.id == DEAD_LETTER {
                problems.push(
                    Problem::new(component.path.clone(), "the id `dead_letter` is reserved")
                        .at(component.place),
                );
            }
        }
    }

    fn check_inputs(&self, root: &Node, problems: &mut Problems) {
        // Those with problems of their own are known all the same.
        let known: Vec<&str> = ["spouts", "bolts"]
            .into_iter()
            .filter_map(|section| root.get(section))
            .flat_map(|section| section.entries())
            .map(|entry| entry.key.as_str())
            .collect();
        for bolt in &self.bolts {
            for input in &bolt.inputs {
                let from = input.from.component.as_str();
                if !known.contains(&from) {
                    let others = known.iter().copied().filter(|id| *id != bolt.id);
                    let others: Vec<&str> = others.collect();
                    problems.push(
                        Problem::new(input.path.clone(), format!("unknown input `{from}`"))
                            .expected(format!("one of {}", others.join(", ")))
                            .near(from, others)
                            .at(input.place),
                    );
                }
            }
        }
    }

    fn check_cycles(&self, problems: &mut Problems) {
        let sorted: BTreeSet<*const Component> = self
            .sorted_bolts()
            .into_iter()
            .map(std::ptr::from_ref)
            .collect();
        let unsorted: BTreeMap<&str, &Component> = self
            .bolts
            .iter()
            .filter(|bolt| !sorted.contains(&std::ptr::from_ref(*bolt)))
            .map(|bolt| (bolt.id.as_str(), bolt))
            .collect();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for bolt in &self.bolts {
            // Each bolt that is not sorted waits for another one, so walking towards the inputs
            // comes to a bolt again: of this walk, or of an earlier one that has told its cycle.
            let mut walk: Vec<&str> = Vec::new();
            let mut at = unsorted.get(bolt.id.as_str());
            while let Some(bolt) = at.filter(|bolt| seen.insert(&bolt.id)) {
                walk.push(&bolt.id);
                let mut inputs = bolt.inputs.iter();
                at = inputs.find_map(|input| unsorted.get(input.from.component.as_str()));
            }
            let again = at.and_then(|bolt| walk.iter().position(|id| *id == bolt.id));
            if let (Some(start), Some(first)) = (again, at) {
                let mut cycle = walk.split_off(start);
                cycle.push(&first.id);
                cycle.reverse();
                problems.push(
                    Problem::new(
                        first.path.key("inputs"),
                        format!("the bolts form a cycle: {}", cycle.join(" → ")),
                    )
                    .expected("a graph in which records only move forward")
                    .at(first.place),
                );
            }
        }
    }
}

/// Whether a consumer may be missing: a bolt, one of its inputs or the dead letter was not read.
fn is_torn(root: &Node, bolts: &[Component], dead_letter: Option<&Component>) -> bool {
    let entries = root.get("bolts").map(Node::entries).unwrap_or_default();
    let is_read = |(entry, bolt): (&Entry, &Component)| {
        let inputs = entry.node.get("inputs").map(input_nodes);
        inputs.is_some_and(|inputs| !inputs.is_empty() && inputs.len() == bolt.inputs.len())
    };
    let hides_one = |key: &str| {
        let meant = nearest(key, TOP_LEVEL);
        !TOP_LEVEL.contains(&key) && meant.is_some_and(|key| ["bolts", DEAD_LETTER].contains(&key))
    };
    bolts.is_empty()
        || bolts.len() < entries.len()
        || !entries.iter().zip(bolts).all(is_read)
        || dead_letter.is_none() && root.get(DEAD_LETTER).is_some()
        || root.entries().iter().any(|entry| hides_one(&entry.key))
}

fn check_version(root: &Node, problems: &mut Problems) {
    let path = Path::root().key("isobar");
    match root.get("isobar") {
        None => problems.push(
            Problem::new(Path::root(), "`isobar` is missing")
                .expected("`isobar: 1`, the version of the file's format")
                .at(root.place),
        ),
        Some(node) if node.value != Value::Int(1) => problems.push(
            Problem::new(path, format!("found {}", node.described()))
                .expected("1, the only version of the file's format that this program knows")
                .at(node.place),
        ),
        Some(_) => {}
    }
}

fn read_name(root: &Node, problems: &mut Problems) -> String {
    let path = Path::root().key("name");
    match root.get("name") {
        None => problems.push(
            Problem::new(Path::root(), "`name` is missing")
                .expected("the topology's name: it names the consumer group and the metrics")
                .at(root.place),
        ),
        Some(node) => match node.text() {
            Some(name) if is_id(name) => return name.to_owned(),
            _ => problems.push(
                Problem::new(path, format!("found {}", node.described()))
                    .expected(ID_RULE)
                    .at(node.place),
            ),
        },
    }
    NO_NAME.to_owned()
}

const ID_RULE: &str = "a name of lower-case letters, digits, - and _";

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 100
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// What options a component has besides those of its type.
#[derive(Clone, Copy)]
enum Part {
    Spout,
    Bolt,
    /// A connection, or the dead letter.
    Other,
}

fn components(root: &Node, section: &str, part: Part, problems: &mut Problems) -> Vec<Component> {
    let Some(node) = root.get(section) else {
        return Vec::new();
    };
    let path = Path::root().key(section);
    if !matches!(node.value, Value::Map(_)) {
        problems.push(
            Problem::new(path, format!("found {}", node.described()))
                .expected("a mapping from ids to their options")
                .at(node.place),
        );
        return Vec::new();
    }
    let entries = node.entries().iter();
    entries
        .filter_map(|entry| {
            if !is_id(&entry.key) {
                problems.push(
                    Problem::new(path.key(&entry.key), "not an id")
                        .expected(ID_RULE)
                        .at(entry.key_place),
                );
            }
            component(entry, path.key(&entry.key), part, problems)
        })
        .collect()
}

fn component(entry: &Entry, path: Path, part: Part, problems: &mut Problems) -> Option<Component> {
    let node = &entry.node;
    if node.value == Value::Unreadable {
        return None;
    }
    if !matches!(node.value, Value::Map(_)) {
        problems.push(
            Problem::new(path, format!("found {}", node.described()))
                .expected("a mapping with at least `type`")
                .at(entry.key_place),
        );
        return None;
    }
    let kind = match node.get("type") {
        Some(kind) => {
            if kind.text().is_none() {
                problems.push(
                    Problem::new(path.key("type"), format!("found {}", kind.described()))
                        .expected("the name of a type")
                        .at(kind.place),
                );
            }
            kind.text().unwrap_or_default()
        }
        None => {
            problems.push(
                Problem::new(path.clone(), "`type` is missing")
                    .expected("the name of a type; `isobar operators` lists them")
                    .at(entry.key_place),
            );
            ""
        }
    };
    let mut own = vec!["type"];
    let mut inputs = Vec::new();
    let mut on_rejected = None;
    let mut overload = Overload::default();
    match part {
        Part::Spout => {
            own.extend(OVERLOAD_OPTIONS);
            overload = read_overload(node, Bounded::Spout, &path, problems);
        }
        Part::Bolt => {
            own.extend(OF_BOLTS);
            own.push("grouping");
            own.extend(OVERLOAD_OPTIONS);
            inputs = read_inputs(entry, &path, problems);
            refuse_grouping_beside(&inputs, node, &path, problems);
            refuse_overload_beside(&inputs, node, &path, problems);
            on_rejected = read_on_rejected(node, &path, problems);
        }
        Part::Other => {}
    }
    let rest = node.entries().iter();
    let rest = rest.filter(|entry| !own.contains(&entry.key.as_str()));
    Some(Component {
        id: entry.key.clone(),
        kind: kind.to_owned(),
        inputs,
        overload,
        on_rejected,
        config: Node::new(Value::Map(rest.cloned().collect()), entry.key_place),
        place: entry.key_place,
        path,
    })
}

/// What every bolt has besides its type and its own options.
const OF_BOLTS: [&str; 2] = ["inputs", "on_rejected"];

/// The options that a component at `path` has whatever its type.
pub(super) fn options_of_all(path: &Path) -> &'static [&'static str] {
    let [Segment::Key(part), Segment::Key(_)] = path.segments() else {
        return &[];
    };
    match part.as_str() {
        "spouts" => &OVERLOAD_OPTIONS,
        "bolts" => &OF_BOLTS,
        _ => &[],
    }
}

fn read_on_rejected(node: &Node, path: &Path, problems: &mut Problems) -> Option<OnRejected> {
    let value = node.get("on_rejected")?;
    if value.text() == Some("drop") {
        return Some(OnRejected::Drop);
    }
    problems.push(
        Problem::new(
            path.key("on_rejected"),
            format!("found {}", value.described()),
        )
        .expected("drop; to keep rejected records, consume the stream or set dead_letter")
        .at(value.place),
    );
    None
}

#[cfg(test)]
mod tests;
