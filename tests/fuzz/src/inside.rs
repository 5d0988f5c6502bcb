//! Bolts that change what is inside of objects, beside what serde_json makes of the same document.

use serde_json::{Map, Value, json};

use super::against_serde;
use super::bolt::Bolt;

/// Members of objects are set, removed, renamed and masked by the way to them.
pub fn members(input: &[u8]) {
    thread_local!(static BOLTS: [Bolt; 4] = [
        Bolt::new("set_fields", json!({"fields": {
            "a.b": 1, "a.c.d": [{}], "[\"a.b\"]": "text", "d": null,
        }})),
        Bolt::new("remove_fields", json!({"fields": ["a.b", "c", "c.d.e", "[\"b.c\"]"]})),
        Bolt::new("rename_fields", json!({"fields": {
            "a.b": "x.y", "[\"a.b\"]": "b.c", "c": "x.z", "a.c.d": "d",
        }})),
        Bolt::new("mask", json!({"fields": ["a.b", "c.d"], "search": ["a"], "patterns": ["[a-z]{2,}"]})),
    ]);
    let Some((text, before)) = document(input) else {
        return;
    };
    BOLTS.with(|[set, remove, rename, mask]| {
        is(&set.document(text), set_all(before.clone()));
        let paths = ["a.b", "c", "c.d.e"].into_iter();
        let mut removed = paths.fold(before.clone(), |before, path| each(before, path, &|_| None));
        let _ = take(&mut removed, &["b.c"]);
        is(&remove.document(text), Some(removed));
        is(&rename.document(text), rename_all(before.clone()));
        is_masked(&mask.document(text), &before);
    });
}

/// An object in the text of a field takes its place, or becomes part of the document; what is none stays.
pub fn merge(input: &[u8]) {
    thread_local!(static BOLTS: [Bolt; 2] = [false, true].map(|merge| {
        Bolt::new("parse_json", json!({"field": "a.b", "merge": merge, "on_invalid": "keep"}))
    }));
    let Some((text, before)) = document(input) else {
        return;
    };
    let found = match before.pointer("/a/b") {
        // What is put inside of others may nest deeper than what is read.
        Some(Value::String(inner)) if inner.matches(['{', '[']).count() > 50 => return,
        Some(Value::String(inner)) => against_serde::object(inner.as_bytes()),
        Some(Value::Object(inner)) => Some(inner.clone()),
        _ => None,
    };
    let (mut placed, mut merged) = (before.clone(), before.clone());
    if let Some(found) = found {
        let _ = set(&mut placed, &["a", "b"], found.clone().into());
        let _ = take(&mut merged, &["a", "b"]);
        let members = merged.as_object_mut().expect("a document is an object");
        members.extend(found);
    }
    BOLTS.with(|[place, merge]| {
        is(&place.document(text), Some(placed));
        is(&merge.document(text), Some(merged));
    });
}

/// A document in which no name repeats, also inside: which of two values is meant nobody says.
fn document(input: &[u8]) -> Option<(&str, Value)> {
    let text = std::str::from_utf8(input).ok()?;
    // Far from the deepest nesting, as renaming may add to it.
    if text.matches(['{', '[']).count() > 50 {
        return None;
    }
    let value = Value::Object(against_serde::object(input)?);
    (colons(text) == members_of(&value)).then_some((text, value))
}

/// Colons outside of texts: one for each member, those that repeat included.
fn colons(text: &str) -> usize {
    let (mut colons, mut in_text, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            b'"' if !escaped => in_text = !in_text,
            b':' if !in_text => colons += 1,
            _ => {}
        }
        escaped = byte == b'\\' && !escaped;
    }
    colons
}

fn members_of(value: &Value) -> usize {
    match value {
        Value::Array(elements) => elements.iter().map(members_of).sum(),
        Value::Object(members) => members.len() + members.values().map(members_of).sum::<usize>(),
        _ => 0,
    }
}

/// Asserts that a document is this; `None` stands for a reject.
fn is(ended: &super::bolt::Ended, expected: Option<Value>) {
    let document = ended.document();
    let found = document.map(|text| serde_json::from_str(text).expect("JSON"));
    assert_eq!(found, expected, "{document:?}");
}

/// Changes all that a path leads to, in every form of the field and through lists; `None` removes it.
fn each(value: Value, path: &str, change: &impl Fn(Value) -> Option<Value>) -> Value {
    match value {
        Value::Array(elements) => {
            let elements = elements.into_iter().map(|one| each(one, path, change));
            elements.collect()
        }
        Value::Object(members) => {
            let members = members.into_iter().filter_map(|(name, value)| {
                let value = match path.strip_prefix(name.as_str()) {
                    Some("") => change(value)?,
                    Some(rest) if rest.starts_with('.') => each(value, &rest[1..], change),
                    _ => value,
                };
                Some((name, value))
            });
            Value::Object(members.collect())
        }
        other => other,
    }
}

/// Sets a member and makes the objects around it; `None` where something else is there.
fn set(value: &mut Value, way: &[&str], new: Value) -> Option<()> {
    let Some((name, rest)) = way.split_first() else {
        *value = new;
        return Some(());
    };
    if value.is_null() {
        *value = Map::new().into();
    }
    let member = value.as_object_mut()?.entry(*name).or_insert(Value::Null);
    set(member, rest, new)
}

/// Takes a member out, through objects only.
fn take(value: &mut Value, way: &[&str]) -> Option<Value> {
    let (name, rest) = way.split_first()?;
    let members = value.as_object_mut()?;
    match rest {
        [] => members.remove(*name),
        rest => take(members.get_mut(*name)?, rest),
    }
}

fn set_all(mut document: Value) -> Option<Value> {
    set(&mut document, &["a", "b"], 1.into())?;
    set(&mut document, &["a", "c", "d"], json!([{}]))?;
    set(&mut document, &["a.b"], "text".into())?;
    set(&mut document, &["d"], Value::Null)?;
    Some(document)
}

fn rename_all(mut document: Value) -> Option<Value> {
    let names: [(&[&str], &[&str]); 4] = [
        (&["a", "b"], &["x", "y"]),
        (&["a.b"], &["b", "c"]),
        (&["c"], &["x", "z"]),
        (&["a", "c", "d"], &["d"]),
    ];
    let taken = names.map(|(from, _)| take(&mut document, from));
    for ((_, to), value) in names.iter().zip(taken) {
        if let Some(value) = value {
            set(&mut document, to, value)?;
        }
    }
    Some(document)
}

/// Asserts that nothing is left of what is to be replaced or found, and all else is as it was.
fn is_masked(ended: &super::bolt::Ended, before: &Value) {
    let document = ended.document().expect("nothing is rejected");
    let found: Value = serde_json::from_str(document).expect("JSON");
    let hide = |value: Value| {
        ["a.b", "c.d"].iter().fold(value, |value, path| {
            each(value, path, &|_| Some("***".into()))
        })
    };
    assert_eq!(hide(found.clone()), found, "{document}");
    let mut expected = hide(before.clone());
    if let Some(searched) = expected.get_mut("a") {
        search(searched);
    }
    assert_eq!(found, expected, "{document}");
}

/// Replaces words in the texts of a value; there are none in numbers.
fn search(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(search),
        Value::Object(members) => members.values_mut().for_each(search),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => *text = without_words(text),
    }
}

/// Two letters or more are a word.
fn without_words(text: &str) -> String {
    let (mut out, mut word) = (String::new(), String::new());
    for c in text.chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_ascii_lowercase() => word.push(c),
            other => {
                out.push_str(if word.len() > 1 { "***" } else { &word });
                word.clear();
                out.extend(other);
            }
        }
    }
    out
}
