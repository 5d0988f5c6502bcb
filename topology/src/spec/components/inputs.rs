//! The inputs of a bolt: the streams that it consumes, and how their records are spread.

use super::super::problem::{Path, Problem, Problems};
use super::super::tree::{Entry, Node, Value};
use super::{Grouping, Input, StreamRef};

pub(super) fn read_inputs(entry: &Entry, path: &Path, problems: &mut Problems) -> Vec<Input> {
    let path = path.key("inputs");
    let Some(node) = entry.node.get("inputs") else {
        problems.push(
            Problem::new(path, "`inputs` is missing")
                .expected("a list of spouts, bolts or streams such as [parse, route.errors]")
                .at(entry.key_place),
        );
        return Vec::new();
    };
    let items = input_nodes(node);
    if items.is_empty() {
        problems.push(
            Problem::new(path.clone(), "the list is empty")
                .expected("at least one input")
                .at(node.place),
        );
    }
    let items = items.iter().enumerate();
    items
        .filter_map(|(i, item)| read_input(item, path.index(i), problems))
        .collect()
}

/// What the option `inputs` lists, which may be written as one text.
pub(super) fn input_nodes(node: &Node) -> Vec<Node> {
    match &node.value {
        Value::List(items) => items.clone(),
        Value::String(text) if text.contains(',') => text
            .split(',')
            .map(|part| Node::new(Value::String(part.trim().to_owned()), node.place))
            .collect(),
        _ => vec![node.clone()],
    }
}

fn read_input(node: &Node, path: Path, problems: &mut Problems) -> Option<Input> {
    if !node.unreadable().is_empty() {
        return None;
    }
    let (from, grouping) = match &node.value {
        Value::String(text) => (Some(text.as_str()), Grouping::Local),
        Value::Map(entries) => {
            for entry in entries {
                if !["from", "grouping"].contains(&entry.key.as_str()) {
                    problems.push(
                        Problem::new(path.key(&entry.key), "unknown option")
                            .expected("from or grouping")
                            .near(&entry.key, ["from", "grouping"])
                            .at(entry.key_place),
                    );
                }
            }
            let grouping = node
                .get("grouping")
                .and_then(|grouping| read_grouping(grouping, path.key("grouping"), problems));
            let from = node.get("from").and_then(Node::text);
            (from, grouping.unwrap_or(Grouping::Local))
        }
        _ => (None, Grouping::Local),
    };
    let Some(from) = from else {
        problems.push(
            Problem::new(path, format!("found {}", node.described()))
                .expected(
                    "a name such as parse or route.errors, or {from: parse, grouping: shuffle}",
                )
                .at(node.place),
        );
        return None;
    };
    let (component, stream) = match from.split_once('.') {
        None => (from, None),
        Some((component, "out")) => (component, None),
        Some((component, stream)) => (component, Some(stream.to_owned())),
    };
    Some(Input {
        from: StreamRef {
            component: component.to_owned(),
            stream,
        },
        grouping,
        path,
        place: node.place,
    })
}

/// The groupings that are a word, and those that name fields.
static WORDS: [(&str, Grouping); 4] = [
    ("local", Grouping::Local),
    ("shuffle", Grouping::Shuffle),
    ("all", Grouping::All),
    ("global", Grouping::Global),
];
const BY_FIELDS: [&str; 2] = ["fields", "partial_key"];

fn read_grouping(node: &Node, path: Path, problems: &mut Problems) -> Option<Grouping> {
    const EXPECTED: &str =
        "local, shuffle, all, global, {fields: [doc.host]} or {partial_key: [doc.host]}";
    let known = match &node.value {
        Value::String(name) => WORDS.iter().find(|(word, _)| word == name),
        _ => None,
    };
    if let Some((_, grouping)) = known {
        return Some(grouping.clone());
    }
    if let [entry] = node.entries() {
        let items = match &entry.node.value {
            Value::List(items) => items.clone(),
            _ => vec![entry.node.clone()],
        };
        let texts = items.iter().map(|item| item.text().map(str::to_owned));
        let texts: Option<Vec<String>> = texts.collect();
        match (entry.key.as_str(), texts.filter(|texts| !texts.is_empty())) {
            ("fields", Some(texts)) => return Some(Grouping::Fields(texts)),
            ("partial_key", Some(texts)) => return Some(Grouping::PartialKey(texts)),
            _ => {}
        }
    }
    let written = match node.entries() {
        [entry] => entry.key.as_str(),
        _ => node.text().unwrap_or_default(),
    };
    let names = WORDS.iter().map(|(word, _)| *word).chain(BY_FIELDS);
    let is_known = BY_FIELDS.contains(&written);
    let near = if is_known { "" } else { written };
    let problem = Problem::new(path, format!("found {}", node.described()))
        .expected(EXPECTED)
        .near(near, names)
        .at(node.place);
    problems.push(problem);
    None
}
