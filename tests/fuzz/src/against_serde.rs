//! What a document means, as serde_json sees it.

use isobar_topology::testing::members;
use serde_json::{Map, Value};

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
    members(text).is_ok()
}
