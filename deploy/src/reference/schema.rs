//! Reads the JSON schemas that schemars makes of configuration structs.

use std::ops::Range;

use serde_json::Value;

use super::OptionOf;

/// Deepest nesting of options: configuration structs have two or three levels.
const DEPTH_MAX: usize = 6;

/// The options of a struct, those of structs below it after the option that holds them.
pub(super) fn options(schema: &Value) -> Vec<OptionOf> {
    let mut options = Vec::new();
    Reader { root: schema }.options(schema, "", &mut options, 0);
    options
}

/// The description, as the doc comment has it.
pub(super) fn description(schema: &Value) -> &str {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

struct Reader<'s> {
    root: &'s Value,
}

impl<'s> Reader<'s> {
    fn options(&self, schema: &'s Value, above: &str, options: &mut Vec<OptionOf>, depth: usize) {
        let schema = self.resolve(schema);
        let required = schema.get("required").and_then(Value::as_array);
        let required = |name: &str| required.is_some_and(|list| list.iter().any(|r| r == name));
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, option) in properties.into_iter().flatten() {
            let path = format!("{above}{name}");
            let own = description(option);
            // An alternative with a value is a mapping of one member, described as a whole.
            let is_alternative = own.is_empty()
                && properties.is_some_and(|members| members.len() == 1)
                && !description(schema).is_empty();
            let described = match own {
                "" if is_alternative => description(schema),
                "" => description(self.resolve(option)),
                own => own,
            };
            let default = default(option);
            options.push(OptionOf {
                name: path.clone(),
                kind: self.kind(option),
                required: required(name) && !is_alternative,
                description: without_default(described, default.as_deref()),
                default,
            });
            if depth < DEPTH_MAX {
                for (inner, step) in self.structs_below(option) {
                    self.options(inner, &format!("{path}{step}"), options, depth + 1);
                }
            }
        }
    }

    /// Structs that a value of this schema consists of, each with the step that leads into it.
    fn structs_below(&self, schema: &'s Value) -> Vec<(&'s Value, &'static str)> {
        let schema = self.resolve(schema);
        let mut found = Vec::new();
        if schema.get("properties").is_some() {
            found.push((schema, "."));
        }
        if let Some(items) = schema.get("items") {
            found.extend(
                self.structs_below(items)
                    .into_iter()
                    .map(|(inner, _)| (inner, "[].")),
            );
        }
        if let Some(values) = schema.get("additionalProperties").filter(|v| v.is_object()) {
            found.extend(
                self.structs_below(values)
                    .into_iter()
                    .map(|(inner, _)| (inner, ".*.")),
            );
        }
        for branch in branches(schema) {
            found.extend(self.structs_below(branch));
        }
        found
    }

    /// What a value is, in words.
    fn kind(&self, schema: &'s Value) -> String {
        let schema = self.resolve(schema);
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return one_of(values.iter().map(shown).collect());
        }
        if let Some(value) = schema.get("const") {
            return shown(value);
        }
        let branches = branches(schema);
        if !branches.is_empty() {
            let mut kinds: Vec<String> = Vec::new();
            for kind in branches.into_iter().map(|branch| self.kind(branch)) {
                if kind != "nothing" && !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            return one_of(kinds);
        }
        match schema.get("format").and_then(Value::as_str) {
            Some("duration") => return "duration".to_owned(),
            Some("percent") => return "part such as 5%".to_owned(),
            Some("rate") => return "rate such as 1000/s".to_owned(),
            Some("byte_size") => return "size".to_owned(),
            Some("secret") => return "secret text".to_owned(),
            _ => {}
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => return "anything".to_owned(),
        };
        let kinds = types
            .into_iter()
            .filter(|kind| *kind != "null" || schema["type"] == "null");
        one_of(kinds.map(|kind| self.kind_of(kind, schema)).collect())
    }

    fn kind_of(&self, kind: &str, schema: &'s Value) -> String {
        match kind {
            "string" => "text".to_owned(),
            "integer" => format!("whole number{}", range(schema)),
            "number" => format!("number{}", range(schema)),
            "boolean" => "true or false".to_owned(),
            "null" => "nothing".to_owned(),
            "array" => match schema.get("items") {
                Some(items) => format!("list of {}", self.kind(items)),
                None => "list".to_owned(),
            },
            _ => match schema
                .get("additionalProperties")
                .filter(|values| values.is_object())
            {
                Some(values) => format!("mapping of names to {}", self.kind(values)),
                None => "mapping".to_owned(),
            },
        }
    }

    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let mut schema = schema;
        for _ in 0..DEPTH_MAX {
            let name = schema.get("$ref").and_then(Value::as_str);
            match name.and_then(|name| self.root.pointer(name.trim_start_matches('#'))) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }
}

fn branches(schema: &Value) -> Vec<&Value> {
    let lists = ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .filter_map(|name| schema.get(name));
    lists.filter_map(Value::as_array).flatten().collect()
}

fn one_of(mut kinds: Vec<String>) -> String {
    match kinds.pop() {
        None => "anything".to_owned(),
        Some(last) if kinds.is_empty() => last,
        Some(last) => format!("{} or {last}", kinds.join(", ")),
    }
}

fn range(schema: &Value) -> String {
    // Types give bounds as well: those of 64 bits say nothing to anybody.
    let bound = |name: &str| schema.get(name).filter(|bound| **bound != 0);
    match (bound("minimum"), bound("maximum")) {
        (Some(low), Some(high)) => format!(" from {low} to {high}"),
        (Some(low), None) => format!(", at least {low}"),
        (None, Some(high)) => format!(", at most {high}"),
        (None, None) => String::new(),
    }
}

fn default(schema: &Value) -> Option<String> {
    let given = schema
        .get("default")
        .filter(|value| !value.is_null() && !is_empty(value));
    if let Some(given) = given {
        return Some(shown(given));
    }
    // The word of the doc comment, where the schema cannot say it.
    said_default(&description(schema).replace('\n', " ")).map(|(_, said)| said)
}

/// Where the sentence of a description stands that says the default, and what it says.
fn said_default(text: &str) -> Option<(Range<usize>, String)> {
    let start = text.rfind("Default: ").or_else(|| text.rfind("Default "))?;
    let said = text[start..]
        .trim_start_matches("Default")
        .trim_start_matches([':', ' ']);
    let length = said.find(". ").map_or(said.len(), |end| end + 2);
    let end = text.len() - said.len() + length;
    let said = said[..length].trim_end_matches(['.', ' ']).replace('`', "");
    Some((start..end, said))
}

/// The description without a sentence that says the default and nothing else: it has a place of its own.
fn without_default(text: &str, default: Option<&str>) -> String {
    let plain = text.replace('\n', " ");
    match said_default(&plain) {
        Some((sentence, said)) if Some(said.as_str()) == default => {
            let (before, after) = (&text[..sentence.start], &text[sentence.end..]);
            format!("{before}{after}").trim_end().to_owned()
        }
        _ => text.to_owned(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, expected: &[(&str, &str, bool, Option<&str>)]) {
        let found = options(&schema);
        let found: Vec<_> = found
            .iter()
            .map(|o| {
                (
                    o.name.as_str(),
                    o.kind.as_str(),
                    o.required,
                    o.default.as_deref(),
                )
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_default_is_said_once() {
        for (text, default, expected) in [
            (
                "Threads. Default: the number\nof cores. From 1.",
                "the number of cores",
                "Threads. From 1.",
            ),
            ("How long. Default 5s.", "5s", "How long."),
            ("How. Default `none`.", "none", "How."),
            // What says more stays, and so does what is no sentence of its own.
            (
                "Safe. Default `false`: it waits.",
                "false",
                "Safe. Default `false`: it waits.",
            ),
            ("The default is fine.", "x", "The default is fine."),
        ] {
            assert_eq!(without_default(text, Some(default)), expected);
        }
    }

    #[test]
    fn options_are_described_in_words() {
        check(
            json!({
                "properties": {
                    "topics": {"type": "array", "items": {"type": "string"}},
                    "start": {"anyOf": [{"enum": ["earliest", "latest"]}, {"type": "string"}]},
                    "size": {"type": ["string", "integer"], "format": "byte_size", "default": "8MiB"},
                    "lanes": {"type": ["integer", "null"], "minimum": 1, "maximum": 255,
                        "description": "Threads. Default: the number\nof cores. From 1."},
                    "options": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}},
                },
                "required": ["topics"],
            }),
            &[
                ("topics", "list of text", true, None),
                ("start", "earliest or latest or text", false, None),
                ("size", "size", false, Some("8MiB")),
                (
                    "lanes",
                    "whole number from 1 to 255",
                    false,
                    Some("the number of cores"),
                ),
                ("options", "mapping of names to text", false, None),
            ],
        );
    }

    #[test]
    fn options_of_structs_have_paths() {
        check(
            json!({
                "properties": {
                    "tls": {"anyOf": [{"$ref": "#/$defs/Tls"}, {"type": "null"}]},
                    "routes": {"type": "array", "items": {"$ref": "#/$defs/Tls"}},
                },
                "$defs": {"Tls": {"type": "object", "properties": {"ca": {"type": "string"}}, "required": ["ca"]}},
            }),
            &[
                ("tls", "mapping", false, None),
                ("tls.ca", "text", true, None),
                ("routes", "list of mapping", false, None),
                ("routes[].ca", "text", true, None),
            ],
        );
    }
}
