//! A field in whole documents, in every form that Elasticsearch takes for the same: what checks that a field
//! is, or is not, in a document goes by the rules of those who take it out.

use isobar_topology::spec::{Path, Problem};
use serde_json::Value;

use crate::field_path::indexed_names;

/// A field, as options of bolts name it: `user.name`, or `["user.name"]` for just the one that has a dot in
/// its name.
#[derive(Clone, Debug)]
pub struct IndexedField {
    names: Vec<String>,
    in_all_forms: bool,
}

impl IndexedField {
    /// Reads what an option at `path` holds; a problem where it is no field, or stands for many.
    pub fn new(written: &str, path: &Path) -> Result<Self, Problem> {
        let (names, in_all_forms) = indexed_names(written, path)?;
        Ok(Self {
            names: names.into_iter().map(str::to_owned).collect(),
            in_all_forms,
        })
    }

    /// Its values in a document: where a list is on the way, those in each of its elements.
    pub fn values<'d>(&self, document: &'d Value) -> Vec<&'d Value> {
        match self.in_all_forms {
            true => in_all_forms(document, &self.names.join(".")),
            false => in_this_form(document, &self.names),
        }
    }
}

/// The values of a field, by its path: a member's name may have dots in it, and lists stand in between.
pub(crate) fn in_all_forms<'d>(value: &'d Value, path: &str) -> Vec<&'d Value> {
    match value {
        Value::Array(items) => {
            let inside = items.iter().flat_map(|item| in_all_forms(item, path));
            inside.collect()
        }
        Value::Object(members) => {
            let mut found: Vec<&Value> = members.get(path).into_iter().collect();
            for (at, _) in path.match_indices('.') {
                if let Some(member) = members.get(&path[..at]) {
                    found.extend(in_all_forms(member, &path[at + 1..]));
                }
            }
            found
        }
        _ => Vec::new(),
    }
}

fn in_this_form<'d>(value: &'d Value, names: &[String]) -> Vec<&'d Value> {
    let Some((name, rest)) = names.split_first() else {
        return vec![value];
    };
    match value {
        Value::Array(items) => {
            let inside = items.iter().flat_map(|item| in_this_form(item, names));
            inside.collect()
        }
        Value::Object(members) => {
            let member = members.get(name).into_iter();
            member
                .flat_map(|member| in_this_form(member, rest))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_found_in_the_forms_that_are_asked_for() {
        for (written, document, expected) in [
            ("a", json!({"a": 1, "b": 2}), json!([1])),
            ("a", json!({"a": null}), json!([null])),
            ("a", json!({"a": [1, 2]}), json!([[1, 2]])),
            ("a", json!({"b": {"a": 1}}), json!([])),
            (
                "a.b",
                json!({"a": [{"b": 1}, {"c": 2}, [{"b": 3}]]}),
                json!([1, 3]),
            ),
            ("a.b.c", json!({"a": {"b": {"c": 1}}}), json!([1])),
            ("a.b.c", json!({"a": {"b.c": 1}}), json!([1])),
            ("a.b.c", json!({"a.b": [{"c": 1}]}), json!([1])),
            ("a.b.c", json!({"a.b.c": 1}), json!([1])),
            ("[\"a.b\"]", json!({"a": {"b": 1}, "a.b": 2}), json!([2])),
            (
                "a[\"b.c\"]",
                json!({"a": [{"b.c": 1}], "a.b.c": 2}),
                json!([1]),
            ),
        ] {
            let field = IndexedField::new(written, &Path::root()).expect("a field");
            let found = field.values(&document);
            assert_eq!(json!(found), expected, "{written} in {document}");
        }
        for written in ["a..b", "doc.a", "a.*", ""] {
            let read = IndexedField::new(written, &Path::root());
            assert!(read.is_err(), "{written}");
        }
    }
}
