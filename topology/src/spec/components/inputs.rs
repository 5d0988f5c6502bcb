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

fn read_grouping(node: &Node, path: Path, problems: &mut Problems) -> Option<Grouping> {
    const EXPECTED: &str = "local, shuffle or {fields: [doc.host]}";
    match &node.value {
        Value::String(name) if name == "local" => return Some(Grouping::Local),
        Value::String(name) if name == "shuffle" => return Some(Grouping::Shuffle),
        Value::Map(entries) if entries.len() == 1 => {
            let fields = node.get("fields").map(|fields| match &fields.value {
                Value::List(items) => items.clone(),
                _ => vec![fields.clone()],
            });
            let texts: Option<Vec<String>> = fields
                .filter(|fields| !fields.is_empty())
                .and_then(|fields| fields.iter().map(|f| f.text().map(str::to_owned)).collect());
            if let Some(texts) = texts {
                return Some(Grouping::Fields(texts));
            }
        }
        _ => {}
    }
    let problem = Problem::new(path, format!("found {}", node.described()))
        .expected(EXPECTED)
        .near(node.text().unwrap_or_default(), ["local", "shuffle"])
        .at(node.place);
    problems.push(problem);
    None
}
