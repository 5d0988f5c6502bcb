//! What is shown of a record: its document or value, with fields masked.

use isobar_topology::{Tapped, Text};
use serde_json::{Value, json};

use super::{TapRecord, TapRejected};

/// What stands in place of what is masked.
const MASKED: &str = "***";

/// What is shown of a copy, without what is masked.
pub(super) fn record(copy: Tapped, masks: &[String]) -> TapRecord {
    let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let masked = |bytes: &[u8]| {
        let mut value = serde_json::from_slice(bytes).ok()?;
        for mask in masks {
            hide(&mut value, mask);
        }
        Some(value)
    };
    let (mut document, mut value, mut too_long) = (None, None, None);
    match copy.text {
        Text::Document(bytes) => document = masked(&bytes),
        Text::Value(bytes) if masks.is_empty() => value = Some(lossy(bytes)),
        // Where the fields are in a text that nobody has parsed is not known, unless it is JSON.
        Text::Value(bytes) => {
            let object = masked(&bytes).filter(Value::is_object);
            value = Some(object.map_or_else(|| MASKED.to_owned(), |object| object.to_string()));
        }
        Text::Tombstone => {}
        Text::TooLong(bytes) => too_long = Some(bytes),
    }
    let hides_key = masks.iter().any(|mask| mask == "kafka.key");
    let key = copy.key.map(|key| match hides_key {
        true => MASKED.to_owned(),
        false => lossy(key),
    });
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

/// Masks a field: `user`, or `user.name` for one inside of another, in each element of a list.
fn hide(value: &mut Value, path: &str) {
    match value {
        Value::Object(fields) => {
            if let Some(field) = fields.get_mut(path) {
                *field = Value::String(MASKED.to_owned());
            }
            if let Some((outer, inner)) = path.split_once('.')
                && let Some(field) = fields.get_mut(outer)
            {
                hide(field, inner);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| hide(element, path)),
        _ => {}
    }
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

    fn masks(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn masked_fields_are_not_shown_wherever_they_are() {
        let document = json!({"user": {"name": "me", "id": 1}, "a.b": 2, "list": [{"x": 1}, 2]});
        let text = Text::Document(document.to_string().into_bytes());
        let masks = masks(&["user.name", "a.b", "list.x", "kafka.key", "missing"]);
        let shown = record(copy(text), &masks);
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
            let shown = record(copy(Text::Value(text.into())), &masks(names));
            assert_eq!(shown.value.as_deref(), Some(expected));
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
