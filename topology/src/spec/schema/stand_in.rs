//! Values that fit a schema, to stand in the place of values that do not.

use serde_json::Value as Json;

use super::super::problem::Segment;
use super::super::tree::{Entry, Node, Value};
use super::resolve;
use super::words::{branches, format, types};

/// A value that fits. What a configuration makes of it is never used; the less it is refused, the more
/// of the rest is looked at.
pub(in super::super) fn stand_in(schema: &Json, root: &Json) -> Value {
    at_depth(schema, root, 0)
}

/// The schema of a part of what `schema` describes, where it says one.
pub(in super::super) fn part<'s>(
    schema: &'s Json,
    step: &Segment,
    root: &'s Json,
) -> Option<&'s Json> {
    let schema = resolve(schema, root);
    if let Some(branches) = branches(schema) {
        return branches.iter().find_map(|branch| part(branch, step, root));
    }
    let found = match step {
        Segment::Index(_) => schema.get("items"),
        Segment::Key(key) => {
            let named = schema.get("properties").and_then(|named| named.get(key));
            named.or_else(|| schema.get("additionalProperties"))
        }
    };
    found.filter(|found| found.is_object())
}

fn at_depth(schema: &Json, root: &Json, depth: usize) -> Value {
    /// Configurations are not nested deeper; a schema that refers to itself could go on for ever.
    const DEPTH_MAX: usize = 16;
    if depth == DEPTH_MAX {
        return Value::Null;
    }
    let schema = resolve(schema, root);
    let inner = |schema: &Json| at_depth(schema, root, depth + 1);
    let first = |name: &str| schema.get(name).and_then(|all| all.as_array()?.first());
    let known = first("examples").or_else(|| first("enum"));
    if let Some(known) = known.or_else(|| schema.get("const")) {
        return Node::from_json(known).value;
    }
    if let Some(branches) = branches(schema) {
        let is_null = |branch: &&Json| types(resolve(branch, root)) == ["null"];
        let branch = branches.iter().find(|branch| !is_null(branch));
        return branch.map_or(Value::Null, inner);
    }
    let node = |value| Node::new(value, Default::default());
    match types(schema).first().copied() {
        Some("null") => Value::Null,
        Some("boolean") => Value::Bool(false),
        Some("integer" | "number") => {
            let least = schema.get("minimum").and_then(Json::as_f64);
            Value::Int(least.map_or(0, |least| least.ceil() as i64))
        }
        Some("array") => {
            let least = schema.get("minItems").and_then(Json::as_u64).unwrap_or(0);
            let item = schema.get("items").filter(|_| least > 0);
            Value::List(item.map(inner).map(node).into_iter().collect())
        }
        Some("object") => {
            let required = schema.get("required").and_then(Json::as_array);
            let names = required.into_iter().flatten().filter_map(Json::as_str);
            let entries = names.map(|name| Entry {
                key: name.to_owned(),
                key_place: Default::default(),
                node: node(inner(&schema["properties"][name])),
            });
            Value::Map(entries.collect())
        }
        _ => Value::String(
            match format(schema) {
                Some("duration") => "1s",
                Some("percent") => "1%",
                Some("byte_size") => "1MiB",
                _ => "x",
            }
            .to_owned(),
        ),
    }
}
