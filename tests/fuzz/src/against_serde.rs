//! What a document means, as serde_json sees it. It checks the grammar alone when it ignores values, so
//! that numbers of any size and lone surrogates, which are kept as they are written, are no difference.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Deepest nesting that is taken; it is documented at `parse_json`.
const DEPTH_MAX: usize = 128;

/// Asserts that a parser made of a text what it should: nothing when it is no object, repeats a key at
/// its top level or nests too deep; else a document with the same meaning.
pub fn parsed(text: &[u8], document: Option<&str>) {
    match (is_document(text), document) {
        (false, None) => {}
        (true, Some(document)) => {
            assert!(is_document(document.as_bytes()), "{document}");
            let meant: Option<Value> = serde_json::from_slice(text).ok();
            let means: Option<Value> = serde_json::from_str(document).ok();
            assert_eq!(meant, means, "{document}");
        }
        (true, None) => panic!("refused, and it is a document"),
        (false, Some(document)) => panic!("taken, and it is no document: {document}"),
    }
}

/// Asserts that an edited document is the one before with the edits made.
pub fn edited(
    before: &Map<String, Value>,
    document: Option<&str>,
    edit: fn(&mut Map<String, Value>),
) {
    let mut expected = before.clone();
    edit(&mut expected);
    let document = document.expect("edits reject nothing");
    let found = object(document.as_bytes());
    assert_eq!(found, Some(expected), "{document}");
}

/// What the bolt `set_fields` of the target `document` does.
pub fn set(object: &mut Map<String, Value>) {
    let copy = object.get("c").filter(|value| !value.is_null());
    let copy = copy.cloned().unwrap_or_else(|| "none".into());
    let _ = object.insert("a".to_owned(), "text".into());
    let _ = object.insert("b".to_owned(), serde_json::json!({"c": [1, null]}));
    let _ = object.insert("copy".to_owned(), copy);
}

/// What its bolt `remove_fields` does.
pub fn remove(object: &mut Map<String, Value>) {
    let _ = object.remove("a");
    let _ = object.remove("c");
}

/// What its bolt `rename_fields` does.
pub fn rename(object: &mut Map<String, Value>) {
    for (from, to) in [("a", "b"), ("c", "d")] {
        if let Some(value) = object.remove(from) {
            let _ = object.insert(to.to_owned(), value);
        }
    }
}

/// The object that a text is, where it is a document whose values all fit in memory.
pub fn object(text: &[u8]) -> Option<Map<String, Value>> {
    let object = serde_json::from_slice(text).ok();
    object.filter(|_| is_document(text))
}

/// Whether a text is an object, repeats no key at its top level, and does not nest too deep.
pub fn is_document(text: &[u8]) -> bool {
    // Keys read as bytes are not searched for control characters, hence the grammar first.
    let grammar = std::str::from_utf8(text).ok().and_then(|text| {
        let IgnoredAny = serde_json::from_str(text).ok()?;
        serde_json::from_str::<Keys>(text).ok()
    });
    grammar.is_some_and(|keys| {
        let different: HashSet<_> = keys.0.iter().collect();
        different.len() == keys.0.len() && depth(text) <= DEPTH_MAX
    })
}

/// Deepest nesting of a valid text.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0, 0, false, false);
    for byte in text {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The keys of an object as bytes, in which lone surrogates stay different.
struct Keys(Vec<Key>);

#[derive(PartialEq, Eq, Hash)]
struct Key(Vec<u8>);

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Keys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, IgnoredAny)) = map.next_entry()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Key, E> {
                Ok(Key(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
