//! Checks a tree against a JSON schema as schemars makes it from a configuration struct, and finds
//! every problem, each with its place.
//!
//! Also coerces where a file may be written in a shorter way: text with commas where a list of texts
//! is wanted, one text where a list is wanted, numbers where text is wanted.

mod alternatives;
mod coerce;
mod words;

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::problem::{Path, Problem, Problems};
use super::tree::{Node, Value};
use super::units::{ByteSize, Duration, Percent};
use coerce::coerce;
use words::{bounds_of, branches, format, is_a, one_of_names, types};

/// Checks `node`, which is at `path` of the file; returns it coerced, and what is wrong.
pub(super) fn check(node: &Node, schema: &Json, path: &Path) -> (Node, Problems) {
    let mut checker = Checker {
        root: schema,
        problems: Problems::default(),
    };
    let node = checker.node(node, schema, path);
    (node, checker.problems)
}

struct Checker<'s> {
    root: &'s Json,
    problems: Problems,
}

impl<'s> Checker<'s> {
    fn node(&mut self, node: &Node, schema: &'s Json, path: &Path) -> Node {
        let schema = self.resolve(schema);
        if node.value == Value::Unreadable {
            return node.clone();
        }
        if format(schema) == Some("secret") && !node.hidden {
            let hidden = Node {
                hidden: true,
                ..node.clone()
            };
            return self.node(&hidden, schema, path);
        }
        if let Some(branches) = branches(schema) {
            return self.alternatives(node, branches, path);
        }
        if let Some(known) = schema.get("enum").and_then(Json::as_array) {
            self.one_of(node, known, path);
            return node.clone();
        }
        if let Some(constant) = schema.get("const") {
            self.one_of(node, std::slice::from_ref(constant), path);
            return node.clone();
        }
        let types = types(schema);
        if types.is_empty() {
            return node.clone();
        }
        let coerced = coerce(node, schema, &types);
        let node = coerced.as_ref().unwrap_or(node);
        if !types.iter().any(|wanted| is_a(node, wanted)) {
            self.mismatch(node, self.expected(schema), path);
            return node.clone();
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
                }
                Node {
                    value: Value::List(items),
                    ..node.clone()
                }
            }
            Value::Int(_) | Value::Float(_) => {
                self.range(node, schema, path);
                node.clone()
            }
            Value::String(text) => {
                let fits = match format(schema) {
                    Some("duration") => text.parse::<Duration>().is_ok(),
                    Some("percent") => text.parse::<Percent>().is_ok(),
                    Some("byte_size") => text.parse::<ByteSize>().is_ok(),
                    _ => true,
                };
                if !fits {
                    self.mismatch(node, self.expected(schema), path);
                }
                node.clone()
            }
            _ => node.clone(),
        }
    }

    fn map(&mut self, node: &Node, schema: &'s Json, path: &Path) -> Node {
        let properties = schema.get("properties").and_then(Json::as_object);
        let additional = schema.get("additionalProperties");
        let mut entries = Vec::new();
        for entry in node.entries() {
            let below = path.key(&entry.key);
            let known = properties.and_then(|properties| properties.get(&entry.key));
            let mut entry = entry.clone();
            match (known, additional) {
                (Some(schema), _) => entry.node = self.node(&entry.node, schema, &below),
                (None, Some(Json::Bool(false))) => {
                    let known: BTreeSet<&str> = properties
                        .into_iter()
                        .flat_map(|p| p.keys().map(String::as_str))
                        .collect();
                    self.problem(
                        Problem::new(below, "unknown option")
                            .expected(one_of_names(&known))
                            .near(&entry.key, known)
                            .at(entry.key_place),
                    );
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
            if node.get(name).is_none() {
                let about = properties
                    .and_then(|properties| properties.get(name))
                    .map(|schema| {
                        self.description(schema)
                            .unwrap_or_else(|| self.expected(schema))
                    })
                    .filter(|about| !about.is_empty());
                let mut problem =
                    Problem::new(path.clone(), format!("`{name}` is missing")).at(node.place);
                problem.expected = about;
                self.problem(problem);
            }
        }
        Node {
            value: Value::Map(entries),
            ..node.clone()
        }
    }

    fn one_of(&mut self, node: &Node, known: &[Json], path: &Path) {
        if known.contains(&node.to_json()) {
            return;
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
    }

    fn range(&mut self, node: &Node, schema: &Json, path: &Path) {
        let value = match node.value {
            Value::Int(value) => value as f64,
            Value::Float(value) => value,
            _ => return,
        };
        if !value.is_finite() {
            return self.mismatch(node, "a finite number".to_owned(), path);
        }
        let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
        let of_type = format(schema).and_then(bounds_of);
        let low = bound("minimum").or(of_type.map(|(low, _)| low));
        let high = bound("maximum").or(of_type.map(|(_, high)| high));
        if low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high) {
            let expected = match (low, high) {
                (Some(low), Some(high)) => format!("a number from {low} to {high}"),
                (Some(low), None) => format!("a number not below {low}"),
                (_, Some(high)) => format!("a number not above {high}"),
                (None, None) => return,
            };
            self.mismatch(node, expected, path);
        }
    }

    fn mismatch(&mut self, node: &Node, expected: String, path: &Path) {
        self.problem(
            Problem::new(path.clone(), format!("found {}", node.described()))
                .expected(expected)
                .at(node.place),
        );
    }

    fn description(&self, schema: &'s Json) -> Option<String> {
        let text = schema
            .get("description")
            .or_else(|| self.resolve(schema).get("description"))?
            .as_str()?;
        let first = text.split("\n\n").next()?.replace('\n', " ");
        Some(first.trim_end_matches('.').to_owned())
    }

    fn resolve(&self, schema: &'s Json) -> &'s Json {
        let mut schema = schema;
        // Definitions of configuration structs do not refer to each other in circles of bare
        // references; the bound is for hand-made schemas.
        for _ in 0..16 {
            let Some(name) = schema.get("$ref").and_then(Json::as_str) else {
                break;
            };
            match self.root.pointer(name.trim_start_matches('#')) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}
