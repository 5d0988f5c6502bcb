//! Shorter ways to write a value than the one that the schema says.

use serde_json::Value as Json;

use super::super::tree::{Node, Value};
use super::words::{self, format, is_a};

/// The value as `schema` wants it, where it may be written differently.
pub(super) fn coerce(node: &Node, schema: &Json, types: &[&str]) -> Option<Node> {
    let value = match &node.value {
        Value::String(text) if types.contains(&"array") && !types.contains(&"string") => {
            let of_texts = schema.get("items").is_none_or(|items| {
                let names = words::types(items);
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
        // Text without quotes that looks like a number. A variable's value has no quotes at all.
        Value::Int(_) | Value::Float(_) | Value::Bool(_)
            if types.contains(&"string") && !types.iter().any(|wanted| is_a(node, wanted)) =>
        {
            let is_bool = matches!(node.value, Value::Bool(_));
            if format(schema).is_some_and(|format| format != "secret") || is_bool && !node.hidden {
                return None;
            }
            Value::String(match (&node.written, &node.value) {
                (Some(written), _) => written.to_string(),
                (None, Value::Int(number)) => number.to_string(),
                (None, _) => return None,
            })
        }
        // Whole numbers up to here are exact: 2^53.
        Value::Float(number)
            if types.contains(&"integer")
                && !types.contains(&"number")
                && number.fract() == 0.0
                && number.abs() <= 9_007_199_254_740_992.0 =>
        {
            Value::Int(*number as i64)
        }
        _ => return None,
    };
    Some(Node {
        value,
        ..node.clone()
    })
}
