//! What differs between two JSON values, member by member: for what a bolt changed in a document, and
//! for what a test expected.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A member that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where it is, such as `http.status`; empty for the whole.
    pub path: String,
    /// What it was, or should have been; `None` where it was not there.
    #[serde(
        default,
        deserialize_with = "there",
        skip_serializing_if = "Option::is_none"
    )]
    pub before: Option<Value>,
    /// What it is; `None` where it is not there.
    #[serde(
        default,
        deserialize_with = "there",
        skip_serializing_if = "Option::is_none"
    )]
    pub after: Option<Value>,
}

/// A value that is there may be null.
fn there<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// How much of the second value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// All of it.
    Everything,
    /// The members of mappings that the first value has, too.
    WhatIsNamed,
}

/// Everything that differs, in the order of the members. Numbers are compared by value.
pub fn differences(before: &Value, after: &Value, compare: Compare) -> Vec<Difference> {
    let mut found = Vec::new();
    look(
        String::new(),
        Some(before),
        Some(after),
        compare,
        &mut found,
    );
    found
}

fn look(
    path: String,
    before: Option<&Value>,
    after: Option<&Value>,
    compare: Compare,
    found: &mut Vec<Difference>,
) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            for name in names(before, after, compare) {
                let below = match path.as_str() {
                    "" => name.clone(),
                    path => format!("{path}.{name}"),
                };
                look(below, before.get(name), after.get(name), compare, found);
            }
        }
        (Some(before), Some(after)) if same(before, after) => {}
        _ => found.push(Difference {
            path,
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn names<'v>(
    before: &'v Map<String, Value>,
    after: &'v Map<String, Value>,
    compare: Compare,
) -> impl Iterator<Item = &'v String> {
    let more = after
        .keys()
        .filter(move |name| compare == Compare::Everything && !before.contains_key(*name));
    before.keys().chain(more)
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() || other.is_f64()) && one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(_), Value::Object(_)) => {
            differences(one, other, Compare::Everything).is_empty()
        }
        _ => one == other,
    }
}

impl fmt::Display for Difference {
    /// `+ path: value` for what came, `- path: value` for what went, `~ path: old → new` for the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self.path.as_str() {
            "" => "it",
            path => path,
        };
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "+ {path}: {after}"),
            (Some(before), None) => write!(f, "- {path}: {before}"),
            (Some(before), Some(after)) => write!(f, "~ {path}: {before} → {after}"),
            (None, None) => write!(f, "  {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(before: Value, after: Value, compare: Compare, expected: &[&str]) {
        let found = differences(&before, &after, compare);
        let found: Vec<String> = found.iter().map(Difference::to_string).collect();
        assert_eq!(found, expected, "{before} {after}");
    }

    #[test]
    fn members_that_came_went_and_changed_are_told_with_their_paths() {
        let before = json!({"a": 1, "b": {"c": "x", "d": [1, 2]}, "e": null});
        let after = json!({"b": {"c": "y", "d": [1, 2.0]}, "e": false, "f": {}});
        let expected = [
            "- a: 1",
            "~ b.c: \"x\" → \"y\"",
            "~ e: null → false",
            "+ f: {}",
        ];
        check(
            before.clone(),
            after.clone(),
            Compare::Everything,
            &expected,
        );
        check(before, after, Compare::WhatIsNamed, &expected[..3]);
        check(json!(1), json!(2), Compare::Everything, &["~ it: 1 → 2"]);
    }

    #[test]
    fn a_null_is_told_from_nothing_when_it_is_read_again() {
        let found = differences(
            &json!({"a": null}),
            &json!({"b": null}),
            Compare::Everything,
        );
        let text = serde_json::to_string(&found).expect("JSON");
        let again: Vec<Difference> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(again, found);
    }

    #[test]
    fn numbers_are_the_same_by_value_and_lists_as_a_whole() {
        check(
            json!({"a": 1, "b": 2.5}),
            json!({"a": 1.0, "b": 2.5}),
            Compare::Everything,
            &[],
        );
        let large = (
            json!(9_007_199_254_740_993_u64),
            json!(9_007_199_254_740_992_u64),
        );
        assert_eq!(
            differences(&large.0, &large.1, Compare::Everything).len(),
            1
        );
        check(
            json!([{"a": 1}]),
            json!([{"a": 1, "b": 2}]),
            Compare::WhatIsNamed,
            &["~ it: [{\"a\":1}] → [{\"a\":1,\"b\":2}]"],
        );
    }
}
