//! What is shown of a record: its document or value, with fields masked.

use isobar_topology::{Tapped, Text};
use serde_json::{Value, json};

use super::{TapRecord, TapRejected};

/// What stands in place of what is masked.
const MASKED: &str = "***";

/// The field that is the record's key.
const KEY: &str = "kafka.key";

/// A field whose values are not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mask {
    path: String,
    /// Something of a record that was shown is masked by it.
    pub(super) has_hidden: bool,
}

impl Mask {
    pub(super) fn of(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            has_hidden: false,
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// What is shown of a copy, without what is masked.
pub(super) fn record(copy: Tapped, masks: &mut [Mask]) -> TapRecord {
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let mut key = copy.key.map(lossy);
    for mask in masks.iter_mut().filter(|mask| mask.path == KEY) {
        if let Some(key) = &mut key {
            *key = MASKED.to_owned();
            mask.has_hidden = true;
        }
    }
    let (mut document, mut value, mut too_long) = (None, None, None);
    match copy.text {
        Text::Document(bytes) => document = masked(&bytes, masks),
        Text::Value(bytes) if masks.is_empty() => value = Some(lossy(bytes)),
        // Where the fields are in a text that nobody has parsed is not known, unless it is JSON.
        Text::Value(bytes) => {
            let object = masked(&bytes, masks).filter(Value::is_object);
            value = Some(match object {
                Some(object) => object.to_string(),
                None => {
                    // With all that is in it.
                    masks.iter_mut().for_each(|mask| mask.has_hidden = true);
                    MASKED.to_owned()
                }
            });
        }
        Text::Tombstone => {}
        Text::TooLong(bytes) => too_long = Some(bytes),
    }
    let rejected = copy.rejection.map(|why| TapRejected {
        by: why.bolt.to_string(),
        class: why.class.to_owned(),
        // Which may quote the record.
        reason: match masks {
            [] => why.reason.into_owned(),
            _ => MASKED.to_owned(),
        },
    });
    TapRecord {
        topic: copy.topic,
        partition: copy.partition,
        offset: copy.offset,
        timestamp_ms: Some(copy.timestamp).filter(|ms| *ms >= 0),
        event_time_ms: copy.event_time,
        part: (!copy.part.is_none()).then(|| json!(copy.part)),
        key,
        document,
        value,
        too_long,
        rejected,
    }
}

/// The JSON of a text without what is masked; `None` where it is none.
fn masked(bytes: &[u8], masks: &mut [Mask]) -> Option<Value> {
    let mut value = serde_json::from_slice(bytes).ok()?;
    for mask in masks {
        mask.has_hidden |= hide(&mut value, &mask.path);
    }
    Some(value)
}

/// Masks a field: `user`, or `user.name` for one inside of another, in each element of a list. Returns whether there
/// is one.
fn hide(value: &mut Value, path: &str) -> bool {
    let mut is_there = false;
    match value {
        Value::Object(fields) => {
            if let Some(field) = fields.get_mut(path) {
                *field = Value::String(MASKED.to_owned());
                is_there = true;
            }
            if let Some((outer, inner)) = path.split_once('.')
                && let Some(field) = fields.get_mut(outer)
            {
                is_there |= hide(field, inner);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                is_there |= hide(element, path);
            }
        }
        _ => {}
    }
    is_there
}

#[cfg(test)]
mod tests {
    use isobar_topology::{Ordinals, OwnedHeaders};

    use super::*;

    fn copy(text: Text) -> Tapped {
        Tapped {
            topic: "logs".to_owned(),
            partition: 0,
            offset: 17,
            timestamp: -1,
            part: Ordinals::default(),
            event_time: None,
            key: Some(b"me".to_vec()),
            headers: OwnedHeaders::default(),
            text,
            rejection: None,
        }
    }

    fn masks(names: &[&str]) -> Vec<Mask> {
        names.iter().map(|name| Mask::of(name)).collect()
    }

    /// Those that have hidden nothing.
    fn idle(masks: &[Mask]) -> Vec<&str> {
        let idle = masks.iter().filter(|mask| !mask.has_hidden);
        idle.map(Mask::path).collect()
    }

    #[test]
    fn masked_fields_are_not_shown_wherever_they_are() {
        let document = json!({"user": {"name": "me", "id": 1}, "a.b": 2, "list": [{"x": 1}, 2]});
        let text = Text::Document(document.to_string().into_bytes());
        let mut masks = masks(&["user.name", "a.b", "list.x", "kafka.key", "missing", "name"]);
        let shown = record(copy(text), &mut masks);
        assert_eq!(idle(&masks), ["missing", "name"]);
        assert_eq!(
            shown.document,
            Some(
                json!({"user": {"name": "***", "id": 1}, "a.b": "***", "list": [{"x": "***"}, 2]})
            )
        );
        assert_eq!(shown.key.as_deref(), Some("***"));
        assert_eq!(shown.timestamp_ms, None);
    }

    #[test]
    fn a_text_in_which_fields_cannot_be_masked_is_not_shown() {
        let check = |text: &str, names: &[&str], expected: &str| {
            let mut masks = masks(names);
            let shown = record(copy(Text::Value(text.into())), &mut masks);
            assert_eq!(shown.value.as_deref(), Some(expected));
            assert_eq!(idle(&masks), [""; 0], "{text}");
        };
        check("user=me", &[], "user=me");
        check("user=me", &["user"], "***");
        check(
            r#"{"user":"me","n":1}"#,
            &["user"],
            r#"{"user":"***","n":1}"#,
        );
        check(r#"["me"]"#, &["user"], "***");
    }
}
