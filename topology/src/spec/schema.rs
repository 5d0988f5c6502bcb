//! Checks a tree against a JSON schema as schemars makes it from a configuration struct, and finds
//! every problem, each with its place.
//!
//! Also coerces where a file may be written in a shorter way: text with commas where a list of texts
//! is wanted, one text where a list is wanted, numbers where text is wanted.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::problem::{Path, Problem, Problems};
use super::tree::{Node, Value};

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
        if let Some(branches) = branches(schema) {
            return self.best_branch(node, branches, schema, path);
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
            let wanted: Vec<&str> = types.iter().map(|name| in_words(name, schema)).collect();
            self.problem(
                Problem::new(path.clone(), format!("found {}", node.described()))
                    .expected(wanted.join(" or "))
                    .at(node.place),
            );
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
                    .and_then(|schema| self.description(schema));
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

    /// Of several alternatives takes the one with the fewest problems, so that texts stay helpful.
    fn best_branch(
        &mut self,
        node: &Node,
        branches: &'s [Json],
        schema: &'s Json,
        path: &Path,
    ) -> Node {
        let mut constants = Vec::new();
        for branch in branches {
            let branch = self.resolve(branch);
            if let Some(constant) = branch.get("const") {
                constants.push(constant.clone());
            } else if let Some(known) = branch.get("enum").and_then(Json::as_array) {
                constants.extend(known.iter().cloned());
            }
        }
        if constants.len() >= branches.len() {
            self.one_of(node, &constants, path);
            return node.clone();
        }
        let tried = branches.iter().map(|branch| {
            let mut checker = Checker {
                root: self.root,
                problems: Problems::default(),
            };
            let coerced = checker.node(node, branch, path);
            let resolved = self.resolve(branch);
            // A mapping is compared with mappings, and those that share a key come first.
            let types = types(resolved);
            let same_type = types.iter().any(|wanted| is_a(node, wanted));
            let shared = node.entries().iter().any(|entry| {
                resolved
                    .get("properties")
                    .is_some_and(|properties| properties.get(&entry.key).is_some())
            });
            let count = checker.problems.clone().sorted().len();
            (count, !shared, !same_type, checker.problems, coerced)
        });
        let Some((count, _, same_type_missing, problems, coerced)) = tried.min_by_key(|tried| {
            let (count, unshared, other_type, ..) = tried;
            (*count > 0, *unshared, *other_type, *count)
        }) else {
            return node.clone();
        };
        if count > 0 && same_type_missing {
            let mut wanted: Vec<String> = Vec::new();
            for branch in branches {
                let branch = self.resolve(branch);
                for name in types(branch) {
                    let words = in_words(name, branch).to_owned();
                    if name != "null" && !wanted.contains(&words) {
                        wanted.push(words);
                    }
                }
                wanted.extend(branch.get("const").map(Json::to_string));
            }
            let about = self.description(schema);
            let expected = about.unwrap_or_else(|| wanted.join(" or "));
            self.problem(
                Problem::new(path.clone(), format!("found {}", node.described()))
                    .expected(expected)
                    .at(node.place),
            );
        } else {
            self.problems.append(problems);
        }
        coerced
    }

    fn one_of(&mut self, node: &Node, known: &[Json], path: &Path) {
        if known.contains(&node.to_json()) {
            return;
        }
        let names: BTreeSet<&str> = known.iter().filter_map(Json::as_str).collect();
        let problem = Problem::new(path.clone(), format!("found {}", node.described()))
            .expected(one_of_names(&names))
            .near(node.text().unwrap_or_default(), names)
            .at(node.place);
        self.problem(problem);
    }

    fn range(&mut self, node: &Node, schema: &Json, path: &Path) {
        let value = match node.value {
            Value::Int(value) => value as f64,
            Value::Float(value) => value,
            _ => return,
        };
        let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
        let (low, high) = (bound("minimum"), bound("maximum"));
        if low.is_some_and(|low| value < low) || high.is_some_and(|high| value > high) {
            let expected = match (low, high) {
                (Some(low), Some(high)) => format!("a number from {low} to {high}"),
                (Some(low), None) => format!("a number not below {low}"),
                (_, Some(high)) => format!("a number not above {high}"),
                (None, None) => return,
            };
            self.problem(
                Problem::new(path.clone(), format!("found {}", node.described()))
                    .expected(expected)
                    .at(node.place),
            );
        }
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

fn branches(schema: &Json) -> Option<&[Json]> {
    let found = schema.get("oneOf").or_else(|| schema.get("anyOf"))?;
    found.as_array().map(Vec::as_slice)
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ if schema.get("properties").is_some() => vec!["object"],
        _ => Vec::new(),
    }
}

fn is_a(node: &Node, wanted: &str) -> bool {
    match (&node.value, wanted) {
        (Value::Null, "null")
        | (Value::Bool(_), "boolean")
        | (Value::Int(_), "integer" | "number")
        | (Value::Float(_), "number")
        | (Value::String(_), "string")
        | (Value::List(_), "array")
        | (Value::Map(_), "object") => true,
        (Value::Float(value), "integer") => value.fract() == 0.0,
        _ => false,
    }
}

fn in_words<'a>(name: &'a str, schema: &'a Json) -> &'a str {
    match (name, schema.get("format").and_then(Json::as_str)) {
        (_, Some("duration")) => "a duration such as 500ms, 2s or 10m",
        (_, Some("byte_size")) => "a size such as 64KiB or 8MiB",
        ("integer", _) => "a whole number",
        ("number", _) => "a number",
        ("string", _) => "a string",
        ("boolean", _) => "true or false",
        ("array", _) => "a list",
        ("object", _) => "a mapping",
        ("null", _) => "nothing",
        (other, _) => other,
    }
}

fn coerce(node: &Node, schema: &Json, types: &[&str]) -> Option<Node> {
    let value = match &node.value {
        Value::String(text) if types.contains(&"array") && !types.contains(&"string") => {
            let of_texts = schema.get("items").is_none_or(|items| {
                let names = self::types(items);
                names.is_empty() || names.contains(&"string")
            });
            if !of_texts {
                return None;
            }
            let parts = text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            let item = |part: &str| Node {
                value: Value::String(part.to_owned()),
                ..node.clone()
            };
            Value::List(parts.map(item).collect())
        }
        Value::Int(number) if types.contains(&"string") && !types.contains(&"integer") => {
            if schema.get("format").is_some() {
                return None;
            }
            Value::String(number.to_string())
        }
        _ => return None,
    };
    Some(Node {
        value,
        ..node.clone()
    })
}

fn one_of_names(names: &BTreeSet<&str>) -> String {
    let names: Vec<&str> = names.iter().copied().collect();
    match names.as_slice() {
        [] => "no options".to_owned(),
        [one] => (*one).to_owned(),
        many => format!("one of {}", many.join(", ")),
    }
}
