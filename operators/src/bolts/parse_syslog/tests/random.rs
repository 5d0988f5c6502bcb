//! Lines that were written by chance are read as they were written; arbitrary bytes never panic.

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

/// A field of the header: visible ASCII, or nil.
fn field(length_max: usize) -> impl Strategy<Value = Option<String>> {
    let text = prop::collection::vec(0x21u8..0x7F, 1..=length_max);
    let text = text.prop_map(|bytes| String::from_utf8(bytes).expect("ASCII"));
    prop::option::of(text.prop_filter("nil", |text| text != "-"))
}

fn name() -> impl Strategy<Value = String> {
    "[!#-<>-\\\\^-~]{1,32}"
}

/// Elements with parameters; ids are unique, names need not be.
type Elements = Vec<(String, Vec<(String, String)>)>;

fn elements() -> impl Strategy<Value = Elements> {
    let parameter = ("[a-c]|[!#-<>-\\\\^-~]{1,32}", any::<String>());
    let element = (name(), prop::collection::vec(parameter, 0..5));
    prop::collection::vec(element, 0..20).prop_map(|mut elements: Elements| {
        let mut seen = std::collections::BTreeSet::new();
        elements.retain(|(id, _)| seen.insert(id.clone()));
        elements
    })
}

fn render_elements(elements: &Elements) -> String {
    if elements.is_empty() {
        return "-".to_owned();
    }
    let mut text = String::new();
    for (id, parameters) in elements {
        text.push_str(&format!("[{id}"));
        for (name, value) in parameters {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace(']', "\\]");
            text.push_str(&format!(" {name}=\"{value}\""));
        }
        text.push(']');
    }
    text
}

fn elements_as_json(elements: &Elements) -> Value {
    let mut data = Map::new();
    for (id, parameters) in elements {
        let mut element = Map::new();
        for (name, value) in parameters {
            match element.get_mut(name) {
                None => {
                    let _ = element.insert(name.clone(), json!(value));
                }
                Some(Value::Array(values)) => values.push(json!(value)),
                Some(first) => *first = json!([first, value]),
            }
        }
        let _ = data.insert(id.clone(), Value::Object(element));
    }
    Value::Object(data)
}

proptest! {
    #[test]
    fn a_line_of_rfc_5424_is_read_as_it_was_written(
        priority in 0u32..192,
        ms in prop::option::of(-62_135_596_800_000i64..253_402_300_799_999),
        fields in (field(255), field(48), field(128), field(32)),
        elements in elements(),
        message in "[^ \u{FEFF}\r\n]([^\r\n]|[ \t]){0,40}",
    ) {
        let (hostname, app_name, proc_id, msg_id) = fields;
        let time = ms.map(|ms| jiff::Timestamp::from_millisecond(ms).expect("in range").to_string());
        let mut expected = json!({"priority": priority, "version": 1, "message": message});
        for (name, value) in [
            ("timestamp", &time),
            ("hostname", &hostname),
            ("app_name", &app_name),
            ("proc_id", &proc_id),
            ("msg_id", &msg_id),
        ] {
            if let Some(value) = value {
                expected[name] = json!(value);
            }
        }
        if !elements.is_empty() {
            expected["structured_data"] = elements_as_json(&elements);
        }
        let nil = "-".to_owned();
        let line = format!(
            "<{priority}>1 {} {} {} {} {} {} {message}",
            time.as_ref().unwrap_or(&nil),
            hostname.as_ref().unwrap_or(&nil),
            app_name.as_ref().unwrap_or(&nil),
            proc_id.as_ref().unwrap_or(&nil),
            msg_id.as_ref().unwrap_or(&nil),
            render_elements(&elements),
        );
        check(json!({"mode": "strict"}), &line, expected.clone());
        // Lenient cuts zero bytes off the end, too.
        if !line.ends_with('\0') {
            check(json!({}), &line, expected);
        }
    }

    #[test]
    fn arbitrary_bytes_give_a_document_or_a_reason(
        start in prop_oneof![
            Just(""), Just("<13>"), Just("<13>1 - "), Just("<13>1 - h a p m "),
            Just("<13>1 - - - - - [a b=\"c\""), Just("<13>Oct 11 22:14:15 "), Just("2023-11-14T"),
        ],
        rest in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[\\[\\]\"=\\\\ ab:0-9<>-]{0,60}".prop_map(String::into_bytes),
        ],
        strict: bool,
        format in prop::sample::select(vec!["auto", "rfc5424", "rfc3164"]),
    ) {
        let payload = [start.as_bytes(), &rest].concat();
        let mode = if strict { "strict" } else { "lenient" };
        let options = json!({"mode": mode, "format": format, "zone": "Europe/Berlin", "raw_field": "raw"});
        let _ = parse(&options, payload);
    }
}
