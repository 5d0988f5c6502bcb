//! A tree of values, each with its place in the text that it came from.

use std::collections::BTreeSet;
use std::path::Path as FilePath;
use std::sync::Arc;

use serde_json::Value as Json;

use super::problem::{Path, Segment};

/// A place in a text: line and column, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1; 0 where there is no text.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it starts.
    pub place: Place,
    /// The value came from a variable or a file, so texts about problems must not show it.
    pub hidden: bool,
    /// The file that the whole text came from, so that a secret can be read again when it has changed.
    pub file: Option<Arc<FilePath>>,
    /// How a number or `true` and `false` was written, for options that want text: `007` and `1.10`
    /// stay what they are.
    pub written: Option<Box<str>>,
}

/// A value as YAML and JSON know it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the text; keys do not repeat.
    Map(Vec<Entry>),
    /// What stood there could not be read, and a problem already says so. It fits everywhere, so that
    /// no further problem follows from it.
    Unreadable,
}

/// A member of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key starts.
    pub key_place: Place,
    /// The value.
    pub node: Node,
}

impl Node {
    /// A value at a place.
    pub fn new(value: Value, place: Place) -> Self {
        Self {
            value,
            place,
            hidden: false,
            file: None,
            written: None,
        }
    }

    /// The member of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The member of a mapping, with its key's place.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The members of a mapping; empty for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list; empty for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// This node and all below it.
    pub fn walk(&self) -> impl Iterator<Item = &Node> {
        let mut open = vec![self];
        std::iter::from_fn(move || {
            let node = open.pop()?;
            open.extend(node.items());
            open.extend(node.entries().iter().map(|entry| &entry.node));
            Some(node)
        })
    }

    /// The places of all that could not be read.
    pub fn unreadable(&self) -> BTreeSet<Place> {
        self.walk()
            .filter(|node| node.value == Value::Unreadable)
            .map(|node| node.place)
            .collect()
    }

    /// The same values without places; what could not be read is null.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null | Value::Unreadable => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::from(*value),
            Value::Float(value) => Json::from(*value),
            Value::String(value) => Json::String(value.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.node.to_json()))
                    .collect(),
            ),
        }
    }

    /// Values that came from no text.
    pub fn from_json(json: &Json) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(int) => Value::Int(int),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::String(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Node::from_json).collect()),
            Json::Object(members) => Value::Map(
                members
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        key_place: Place::default(),
                        node: Node::from_json(value),
                    })
                    .collect(),
            ),
        };
        Self::new(value, Place::default())
    }

    /// What a path names below this node, or its nearest ancestor that exists.
    pub fn nearest_to(&self, path: &Path) -> &Node {
        let mut node = self;
        for segment in path.segments() {
            let next = match segment {
                Segment::Key(key) => node.get(key),
                Segment::Index(index) => node.items().get(*index),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// The place of what a path names below this node, or of its nearest ancestor that exists: of a
    /// scalar where it is itself, of a list or mapping where its key is.
    pub fn place_of(&self, path: &[Segment]) -> Place {
        let Some((segment, rest)) = path.split_first() else {
            return self.place;
        };
        match (segment, &self.value) {
            (Segment::Key(key), Value::Map(_)) => match self.entry(key) {
                Some(entry) if rest.is_empty() => match entry.node.value {
                    Value::List(_) | Value::Map(_) => entry.key_place,
                    _ => entry.node.place,
                },
                Some(entry) => entry.node.place_of(rest),
                None => self.place,
            },
            (Segment::Index(index), Value::List(items)) => match items.get(*index) {
                Some(item) => item.place_of(rest),
                None => self.place,
            },
            _ => self.place,
        }
    }

    /// As [`Node::place_of`].
    pub fn place_at(&self, path: &Path) -> Place {
        self.place_of(path.segments())
    }

    /// What the value is, in the words of a problem's text; shows scalars unless they are hidden.
    pub(crate) fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Unreadable => "what cannot be read".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Bool(value) => self.shown("boolean", &value.to_string()),
            Value::Int(value) => self.shown("number", &value.to_string()),
            Value::Float(value) => self.shown("number", &value.to_string()),
            Value::String(value) => {
                let mut short: String = value.chars().take(40).collect();
                if short.len() < value.len() {
                    short.push('…');
                }
                self.shown("string", &format!("{short:?}"))
            }
        }
    }

    fn shown(&self, kind: &str, value: &str) -> String {
        if self.hidden {
            format!("a {kind}")
        } else {
            format!("the {kind} {value}")
        }
    }
}
