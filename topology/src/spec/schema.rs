//! Checks a tree against a JSON schema as schemars makes it from a configuration struct, and finds
//! every problem, each with its place.
//!
//! Also coerces where a file may be written in a shorter way: text with commas where a list of texts
//! is wanted, one text where a list is wanted, numbers where text is wanted. And mends: an option that
//! is spelled wrong is read as the one that was meant, and something that fits replaces what does not,
//! so that the rest can be looked at.

mod alternatives;
mod coerce;
mod stand_in;
mod words;

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::components::options_of_all;
use super::problem::{Path, Problem, Problems};
use super::secret;
use super::tree::{Entry, Node, Value};
use super::units::{ByteSize, Duration, Percent, Rate};
use coerce::coerce;
pub(super) use stand_in::{part, stand_in};
use words::{bounds_of, branches, format, is_a, one_of_names, types};

/// What a check found.
pub(super) struct Checked {
    /// The tree, coerced and mended.
    pub(super) node: Node,
    pub(super) problems: Problems,
    /// Where the mended tree says something else than the file.
    pub(super) replaced: BTreeSet<Path>,
}

/// Checks `node`, which is at `path` of the file.
pub(super) fn check(node: &Node, schema: &Json, path: &Path) -> Checked {
    let mut checker = Checker::new(schema);
    let node = checker.node(node, schema, path);
    Checked {
        node,
        problems: checker.problems,
        replaced: checker.replaced,
    }
}

struct Checker<'s> {
    root: &'s Json,
    problems: Problems,
    replaced: BTreeSet<Path>,
}

impl<'s> Checker<'s> {
    fn new(root: &'s Json) -> Self {
        Self {
            root,
            problems: Problems::default(),
            replaced: BTreeSet::new(),
        }
    }

    fn node(&mut self, node: &Node, schema: &'s Json, path: &Path) -> Node {
        let schema = self.resolve(schema);
        if node.value == Value::Unreadable {
            return self.replace(node, schema, path);
        }
        let is_secret = format(schema) == Some("secret");
        // With its file already: a configuration that is mended is checked again.
        if is_secret && node.file.is_some() && matches!(node.value, Value::Map(_)) {
            return node.clone();
        }
        if is_secret && !node.hidden {
            let hidden = Node {
                hidden: true,
                ..node.clone()
            };
            return self.node(&hidden, schema, path);
        }
        if let Some(branches) = branches(schema) {
            return self.alternatives(node, schema, branches, path);
        }
        let constant = schema.get("const").map(std::slice::from_ref);
        let known = schema.get("enum").and_then(Json::as_array);
        if let Some(known) = known.map(Vec::as_slice).or(constant) {
            return match self.one_of(node, known, path) {
                true => node.clone(),
                false => self.replace(node, schema, path),
            };
        }
        let types = types(schema);
        if types.is_empty() {
            return node.clone();
        }
        let coerced = coerce(node, schema, &types);
        let node = coerced.as_ref().unwrap_or(node);
        if !types.iter().any(|wanted| is_a(node, wanted)) {
            let expected = self.expected(schema);
            return self.mismatch(node, schema, expected, path);
        }
        match &node.value {
            Value::Map(_) => self.map(node, schema, path),
            Value::List(items) => {
                let Some(item_schema) = schema.get("items") else {
                    return node.clone();
                };
                let items = items.iter().enumerate();
                let items = items.map(|(i, item)| self.node(item, item_schema, &path.index(i)));
                let items: Vec<Node> = items.collect();
                let least = schema.get("minItems").and_then(Json::as_u64).unwrap_or(0);
                if (items.len() as u64) < least {
                    self.problem(
                        Problem::new(path.clone(), "the list is empty")
                            .expected("at least one element")
                            .at(node.place),
                    );
                    return self.replace(node, schema, path);
                }
                Node {
                    value: Value::List(items),
                    ..node.clone()
                }
            }
            Value::Int(_) | Value::Float(_) => match self.out_of_range(node, schema) {
                Some(expected) => self.mismatch(node, schema, expected, path),
                None => node.clone(),
            },
            Value::String(text) => {
                let fits = match format(schema) {
                    Some("duration") => text.parse::<Duration>().is_ok(),
                    Some("rate") => text.parse::<Rate>().is_ok(),
                    Some("percent") => text.parse::<Percent>().is_ok(),
                    Some("byte_size") => text.parse::<ByteSize>().is_ok(),
                    _ => true,
                };
                if !fits {
                    let expected = self.expected(schema);
                    return self.mismatch(node, schema, expected, path);
                }
                let with_file = is_secret.then(|| secret::with_file(node)).flatten();
                with_file.unwrap_or_else(|| node.clone())
            }
            _ => node.clone(),
        }
    }

    fn map(&mut self, node: &Node, schema: &'s Json, path: &Path) -> Node {
        let properties = schema.get("properties").and_then(Json::as_object);
        let of_name = |name: &str| properties.and_then(|properties| properties.get(name));
        let additional = schema.get("additionalProperties");
        let mut entries: Vec<Entry> = Vec::new();
        for entry in node.entries() {
            let below = path.key(&entry.key);
            let mut entry = entry.clone();
            match (of_name(&entry.key), additional) {
                (Some(schema), _) => entry.node = self.node(&entry.node, schema, &below),
                (None, Some(Json::Bool(false))) => {
                    let known = properties.into_iter().flat_map(|p| p.keys());
                    let known: BTreeSet<&str> = known.map(String::as_str).collect();
                    let problem = unknown_option(&entry, known, path);
                    let meant = problem.nearest.clone().filter(|name| {
                        let is_read = entries.iter().any(|entry| entry.key == *name);
                        node.get(name).is_none() && !is_read
                    });
                    self.problem(problem);
                    let _ = self.replaced.insert(below);
                    let meant = meant.and_then(|name| Some((of_name(&name)?, name)));
                    let Some((schema, meant)) = meant else {
                        continue;
                    };
                    entry.node = self.node(&entry.node, schema, &path.key(&meant));
                    entry.key = meant;
                }
                (None, Some(schema @ Json::Object(_))) => {
                    entry.node = self.node(&entry.node, schema, &below);
                }
                (None, _) => {}
            }
            entries.push(entry);
        }
        let required = schema.get("required").and_then(Json::as_array);
        for name in required.into_iter().flatten().filter_map(Json::as_str) {
            if entries.iter().any(|entry| entry.key == name) {
                continue;
            }
            let missing = of_name(name).unwrap_or(&Json::Null);
            let mut problem =
                Problem::new(path.clone(), format!("`{name}` is missing")).at(node.place);
            problem.expected = self.explained(missing);
            self.problem(problem);
            let absent = Node::new(Value::Null, node.place);
            entries.push(Entry {
                key: name.to_owned(),
                key_place: node.place,
                node: self.replace(&absent, missing, &path.key(name)),
            });
        }
        Node {
            value: Value::Map(entries),
            ..node.clone()
        }
    }

    /// Whether a value is one of these; says so if not.
    fn one_of(&mut self, node: &Node, known: &[Json], path: &Path) -> bool {
        if known.contains(&node.to_json()) {
            return true;
        }
        let names: BTreeSet<&str> = known.iter().filter_map(Json::as_str).collect();
        let mut problem = Problem::new(path.clone(), format!("found {}", node.described()))
            .expected(one_of_names(&names))
            .at(node.place);
        // What is near to a hidden value tells about it.
        if !node.hidden {
            problem = problem.near(node.text().unwrap_or_default(), names);
        }
        self.problem(problem);
        false
    }

    /// What was expected of a number that is not in its range.
    fn out_of_range(&self, node: &Node, schema: &Json) -> Option<String> {
        let value = match node.value {
            Value::Int(value) => value as f64,
            Value::Float(value) => value,
            _ => return None,
        };
        if !value.is_finite() {
            return Some("a finite number".to_owned());
        }
        let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
        let of_type = format(schema).and_then(bounds_of);
        let low = bound("minimum").or(of_type.map(|(low, _)| low));
        let high = bound("maximum").or(of_type.map(|(_, high)| high));
        if low.is_none_or(|low| value >= low) && high.is_none_or(|high| value <= high) {
            return None;
        }
        match (low, high) {
            (Some(low), Some(high)) => Some(format!("a number from {low} to {high}")),
            (Some(low), None) => Some(format!("a number not below {low}")),
            (None, Some(high)) => Some(format!("a number not above {high}")),
            (None, None) => None,
        }
    }

    fn mismatch(&mut self, node: &Node, schema: &Json, expected: String, path: &Path) -> Node {
        self.problem(
            Problem::new(path.clone(), format!("found {}", node.described()))
                .expected(expected)
                .at(node.place),
        );
        self.replace(node, schema, path)
    }

    /// Something that fits, at the place of what does not.
    fn replace(&mut self, node: &Node, schema: &Json, path: &Path) -> Node {
        let _ = self.replaced.insert(path.clone());
        Node {
            value: stand_in(schema, self.root),
            ..node.clone()
        }
    }

    fn resolve(&self, schema: &'s Json) -> &'s Json {
        resolve(schema, self.root)
    }

    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

fn resolve<'s>(schema: &'s Json, root: &'s Json) -> &'s Json {
    let mut schema = schema;
    // Definitions of configuration structs do not refer to each other in circles of bare references;
    // the bound is for hand-made schemas.
    for _ in 0..16 {
        let Some(name) = schema.get("$ref").and_then(Json::as_str) else {
            break;
        };
        match root.pointer(name.trim_start_matches('#')) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}
/// An option that none of the `known` ones is, at `path`. One that every component has may be meant.
fn unknown_option(entry: &Entry, known: BTreeSet<&str>, path: &Path) -> Problem {
    let below = path.key(&entry.key);
    let all = known.iter().chain(options_of_all(path)).copied();
    let problem = Problem::new(below, "unknown option").near(&entry.key, all.clone());
    let is_own = problem
        .nearest
        .as_deref()
        .is_none_or(|name| known.contains(name));
    let expected = match is_own {
        true => known,
        false => all.collect(),
    };
    problem
        .expected(one_of_names(&expected))
        .at(entry.key_place)
}
