//! The inputs of a bolt: the streams that it consumes, and how their records are spread.

use super::super::problem::{Path, Problem, Problems};
use super::super::tree::{Entry, Node, Value};
use super::overload::{Bounded, OPTIONS as OVERLOAD_OPTIONS, read_overload};
use super::{Grouping, Input, OnFull, Overload, StreamRef};

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
    let (from, grouping, overload) = match &node.value {
        Value::String(text) => (Some(text.as_str()), None, Overload::default()),
        Value::Map(entries) => {
            for entry in entries {
                let known = ["from", "grouping"].into_iter().chain(OVERLOAD_OPTIONS);
                if !known.clone().any(|known| known == entry.key) {
                    problems.push(
                        Problem::new(path.key(&entry.key), "unknown option")
                            .expected("from, grouping, throttle or on_full")
                            .near(&entry.key, known)
                            .at(entry.key_place),
                    );
                }
            }
            let grouping = node
                .get("grouping")
                .and_then(|grouping| read_grouping(grouping, path.key("grouping"), problems));
            let from = node.get("from").and_then(Node::text);
            let overload = read_overload(node, Bounded::Input, &path, problems);
            (from, grouping, overload)
        }
        _ => (None, None, Overload::default()),
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
    let grouping = grouping.unwrap_or(Grouping::Local);
    if overload.on_full != OnFull::Block
        && let Some((message, expected)) = refused_to_drop(stream.as_deref(), &grouping)
    {
        let place = node.get("on_full").map_or(node.place, |node| node.place);
        problems.push(
            Problem::new(path.key("on_full"), message)
                .expected(expected)
                .at(place),
        );
    }
    Some(Input {
        from: StreamRef {
            component: component.to_owned(),
            stream,
        },
        grouping,
        overload,
        path,
        place: node.place,
    })
}

/// What must not be dropped for want of room: why, and what to write instead.
fn refused_to_drop(
    stream: Option<&str>,
    grouping: &Grouping,
) -> Option<(&'static str, &'static str)> {
    if stream == Some("rejected") {
        return Some((
            "rejected records are not dropped for want of room",
            "block, or `on_rejected: drop` at the bolt that rejects them",
        ));
    }
    (*grouping == Grouping::All).then_some((
        "with `grouping: all` every lane gets each record, and none of these copies is dropped for want of room",
        "block, or another grouping",
    ))
}

/// The groupings that are a word, and those that name fields.
static WORDS: [(&str, Grouping); 4] = [
    ("local", Grouping::Local),
    ("shuffle", Grouping::Shuffle),
    ("all", Grouping::All),
    ("global", Grouping::Global),
];
const BY_FIELDS: [&str; 2] = ["fields", "partial_key"];

const EXPECTED: &str =
    "local, shuffle, all, global, {fields: [doc.host]} or {partial_key: [doc.host]}";

fn read_grouping(node: &Node, path: Path, problems: &mut Problems) -> Option<Grouping> {
    let written = match node.entries() {
        [] => node.text().unwrap_or_default(),
        [one] => one.key.as_str(),
        several => {
            let names: Vec<String> = several.iter().map(|e| format!("`{}`", e.key)).collect();
            let message = format!("found {} groupings: {}", names.len(), names.join(", "));
            problems.push(
                Problem::new(path, message)
                    .expected("one of them")
                    .at(node.place),
            );
            return None;
        }
    };
    if BY_FIELDS.contains(&written) {
        let fields = read_fields(node.get(written), node, path.key(written), problems)?;
        return Some(match written {
            "fields" => Grouping::Fields(fields),
            _ => Grouping::PartialKey(fields),
        });
    }
    let known = WORDS.iter().find(|(word, _)| node.text() == Some(*word));
    if let Some((_, grouping)) = known {
        return Some(grouping.clone());
    }
    let names = WORDS.iter().map(|(word, _)| *word).chain(BY_FIELDS);
    problems.push(
        Problem::new(path, format!("found {}", node.described()))
            .expected(EXPECTED)
            .near(written, names)
            .at(node.place),
    );
    None
}

/// The fields that a grouping names, which may be a single text.
fn read_fields(
    fields: Option<&Node>,
    grouping: &Node,
    path: Path,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    const FIELDS: &str = "one or more fields such as [doc.host]";
    let items = match fields.map(|fields| &fields.value) {
        Some(Value::List(items)) => items.as_slice(),
        Some(Value::Null) | None => &[],
        Some(_) => fields.map(std::slice::from_ref).unwrap_or_default(),
    };
    if items.is_empty() {
        let place = fields.unwrap_or(grouping).place;
        problems.push(
            Problem::new(path, "no fields are named")
                .expected(FIELDS)
                .at(place),
        );
        return None;
    }
    let mut texts = Vec::new();
    for item in items {
        match item.text() {
            Some(text) => texts.push(text.to_owned()),
            None => problems.push(
                Problem::new(path.clone(), format!("found {}", item.described()))
                    .expected(FIELDS)
                    .at(item.place),
            ),
        }
    }
    (texts.len() == items.len()).then_some(texts)
}

/// The stream that an input consumes, as topology files have it.
pub(super) fn written(input: &Input) -> String {
    let StreamRef { component, stream } = &input.from;
    match stream {
        Some(stream) => format!("{component}.{stream}"),
        None => component.clone(),
    }
}

/// A grouping that stands beside `inputs`, where it would be of all of them: each has its own.
pub(super) fn refuse_grouping_beside(
    inputs: &[Input],
    node: &Node,
    path: &Path,
    problems: &mut Problems,
) {
    let Some(beside) = node.entry("grouping") else {
        return;
    };
    let from = inputs.first().map_or("parse".to_owned(), written);
    let path = path.key("grouping");
    let grouping = read_grouping(&beside.node, path.clone(), &mut Problems::default());
    problems.push(
        Problem::new(path, "a grouping belongs to one input")
            .expected(format!(
                "`inputs: [{{from: {from}, grouping: {}}}]`",
                grouping.map_or("shuffle".to_owned(), |grouping| spelled(&grouping))
            ))
            .at(beside.key_place),
    );
}

/// A grouping as topology files have it.
fn spelled(grouping: &Grouping) -> String {
    match grouping {
        Grouping::Fields(fields) => format!("{{fields: [{}]}}", fields.join(", ")),
        Grouping::PartialKey(fields) => format!("{{partial_key: [{}]}}", fields.join(", ")),
        word => {
            let known = WORDS.iter().find(|(_, grouping)| grouping == word);
            known.map_or("local", |(word, _)| word).to_owned()
        }
    }
}
