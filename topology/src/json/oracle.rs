//! What serde_json says of a text, for tests to compare with.
//!
//! It checks the grammar alone when it ignores values, so that numbers of any size and lone surrogates,
//! which are kept as they are written, are no difference. Repeated keys and depth are worked out here.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::DEPTH_MAX;
use super::keys::DUPLICATE;

/// The number of members of a text that is an object, repeats no key at its top level and does not nest too
/// deep; else `not UTF-8`, `grammar`, `depth`, or the scanner's word for a repeated key.
pub fn members(text: &[u8]) -> Result<usize, &'static str> {
    let utf8 = std::str::from_utf8(text).map_err(|_| "not UTF-8")?;
    // Keys read as bytes are not searched for control characters, hence the grammar first.
    let IgnoredAny = serde_json::from_str(utf8).map_err(|_| "grammar")?;
    let keys: Keys = serde_json::from_str(utf8).map_err(|_| "grammar")?;
    if depth(text) > DEPTH_MAX {
        return Err("depth");
    }
    let different: HashSet<_> = keys.0.iter().collect();
    if different.len() < keys.0.len() {
        return Err(DUPLICATE);
    }
    Ok(keys.0.len())
}

/// Deepest nesting of a valid text.
pub(super) fn depth(text: &[u8]) -> usize {
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
struct Keys(Vec<Vec<u8>>);

/// Reads keys, as the visitor of the object and of each key.
struct Reader;

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Keys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Keys, E> {
        Ok(Keys(vec![bytes.to_vec()]))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry_seed(Reader, PhantomData)? {
            keys.extend(key.0);
        }
        Ok(Keys(keys))
    }
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Keys;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Keys, D::Error> {
        deserializer.deserialize_bytes(Reader)
    }
}
