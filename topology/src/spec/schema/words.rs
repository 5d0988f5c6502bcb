//! What a schema asks for, in words.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::super::tree::{Node, Value};
use super::Checker;

impl<'s> Checker<'s> {
    /// What a schema wants, as the rest of "expected …"; empty when it takes everything. Leaving an
    /// option out is not offered as a value.
    pub(super) fn expected(&self, schema: &'s Json) -> String {
        let mut wanted: Vec<String> = Vec::new();
        let mut constants = BTreeSet::new();
        for branch in self.flat(schema) {
            constants.extend(constants_of(branch));
            if constants_of(branch).is_empty() {
                for name in types(branch).into_iter().filter(|name| *name != "null") {
                    let words = in_words(name, branch);
                    if !wanted.contains(&words) {
                        wanted.push(words);
                    }
                }
            }
        }
        if !constants.is_empty() {
            wanted.insert(0, one_of_names(&constants));
        }
        wanted.join(" or ")
    }

    /// What an option wants and what it is for, as the rest of "expected …".
    pub(super) fn explained(&self, schema: &'s Json) -> Option<String> {
        let description = |schema: &'s Json| schema.get("description").and_then(Json::as_str);
        let about = description(schema).or_else(|| description(self.resolve(schema)));
        let about = about.map(first_sentence).filter(|about| !about.is_empty());
        let wanted = self.expected(schema);
        match (wanted.is_empty(), about) {
            (true, None) => None,
            (true, Some(about)) => Some(about),
            (false, None) => Some(wanted),
            (false, Some(about)) => Some(format!("{wanted} ({about})")),
        }
    }

    /// A schema as the list of its alternatives, those inside of others included.
    pub(super) fn flat(&self, schema: &'s Json) -> Vec<&'s Json> {
        let schema = self.resolve(schema);
        match branches(schema) {
            Some(branches) => branches.iter().flat_map(|b| self.flat(b)).collect(),
            None => vec![schema],
        }
    }
}

/// The first sentence of a documentation, to stand inside of another one.
fn first_sentence(documentation: &str) -> String {
    let text = documentation.replace('\n', " ");
    let first = text.split(". ").next().unwrap_or_default();
    let first = first.trim().trim_end_matches('.');
    let mut characters = first.chars();
    match (characters.next(), characters.clone().next()) {
        // What starts with two capitals is an abbreviation.
        (Some(letter), next) if !next.is_some_and(char::is_uppercase) => {
            letter.to_lowercase().chain(characters).collect()
        }
        _ => first.to_owned(),
    }
}

/// The texts that a schema takes and no others; empty when it is not such a schema.
pub(super) fn constants_of(schema: &Json) -> Vec<&str> {
    let known = schema.get("enum").and_then(Json::as_array);
    let constant = schema.get("const");
    let known = known.into_iter().flatten().chain(constant);
    known.filter_map(Json::as_str).collect()
}

pub(super) fn branches(schema: &Json) -> Option<&[Json]> {
    let found = schema.get("oneOf").or_else(|| schema.get("anyOf"))?;
    found.as_array().map(Vec::as_slice)
}

pub(super) fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ if schema.get("properties").is_some() => vec!["object"],
        _ => Vec::new(),
    }
}

pub(super) fn format(schema: &Json) -> Option<&str> {
    schema.get("format").and_then(Json::as_str)
}

/// The bounds of a Rust number type; schemars writes them down for the small ones only.
pub(super) fn bounds_of(format: &str) -> Option<(f64, f64)> {
    match format {
        "uint32" => Some((0.0, f64::from(u32::MAX))),
        "int32" => Some((f64::from(i32::MIN), f64::from(i32::MAX))),
        _ => None,
    }
}

pub(super) fn is_a(node: &Node, wanted: &str) -> bool {
    match (&node.value, wanted) {
        (Value::Null, "null")
        | (Value::Bool(_), "boolean")
        | (Value::Int(_), "integer" | "number")
        | (Value::Float(_), "number")
        | (Value::String(_), "string")
        | (Value::List(_), "array")
        | (Value::Map(_), "object")
        | (Value::Unreadable, _) => true,
        (Value::Float(value), "integer") => value.fract() == 0.0,
        _ => false,
    }
}

pub(super) fn one_of_names(names: &BTreeSet<&str>) -> String {
    let names: Vec<&str> = names.iter().copied().collect();
    match names.as_slice() {
        [] => "no options".to_owned(),
        [one] => (*one).to_owned(),
        many => format!("one of {}", many.join(", ")),
    }
}

fn in_words(name: &str, schema: &Json) -> String {
    let words = match (name, format(schema)) {
        (_, Some("duration")) => "a duration such as 500ms, 2s or 10m",
        (_, Some("percent")) => "a part such as 5%",
        (_, Some("byte_size")) => "a size such as 64KiB or 8MiB",
        ("integer", _) => return with_range("a whole number", schema),
        ("number", _) => return with_range("a number", schema),
        ("string", _) => "a string",
        ("boolean", _) => "true or false",
        ("array", _) => "a list",
        ("object", _) => "a mapping",
        (other, _) => other,
    };
    words.to_owned()
}

/// The words, and the range where the schema has both of its ends.
fn with_range(words: &str, schema: &Json) -> String {
    let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
    match (bound("minimum"), bound("maximum")) {
        (Some(low), Some(high)) => format!("{words} from {low} to {high}"),
        _ => words.to_owned(),
    }
}
