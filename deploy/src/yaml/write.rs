//! From JSON to YAML, for people to read: a line for each value, and quotes only where they are needed.

use isobar_topology::spec::Value as Yaml;
use serde_json::Value;

use super::scalar::typed;

/// The value as YAML that reads back as the same, each line ended.
pub(crate) fn write(value: &Value) -> String {
    match in_line(value) {
        Some(text) => format!("{text}\n"),
        None => block(value, ""),
    }
}

/// What has lines of its own: a mapping, or a list of others than scalars.
fn block(value: &Value, indent: &str) -> String {
    let deeper = format!("{indent}  ");
    match value {
        Value::Object(entries) => {
            let lines = entries.iter().map(|(key, value)| {
                let key = scalar(key);
                match in_line(value) {
                    Some(text) => format!("{indent}{key}: {text}\n"),
                    None => format!("{indent}{key}:\n{}", block(value, &deeper)),
                }
            });
            lines.collect()
        }
        Value::Array(items) => {
            let lines = items.iter().map(|item| match in_line(item) {
                Some(text) => format!("{indent}- {text}\n"),
                // Its first line is behind the dash.
                None => format!("{indent}- {}", block(item, &deeper).trim_start()),
            });
            lines.collect()
        }
        _ => String::new(),
    }
}

/// What goes behind a key: a scalar, a list of scalars, or nothing at all.
fn in_line(value: &Value) -> Option<String> {
    match value {
        Value::Object(entries) => entries.is_empty().then(|| "{}".to_owned()),
        Value::Array(items) => {
            let is_nested = |item: &Value| item.is_object() || item.is_array();
            let items = (!items.iter().any(is_nested)).then(|| items.iter().filter_map(in_line))?;
            Some(format!("[{}]", items.collect::<Vec<_>>().join(", ")))
        }
        Value::String(text) => Some(scalar(text)),
        other => Some(other.to_string()),
    }
}

/// A text with quotes unless it means the same without; those of JSON are read by YAML.
fn scalar(text: &str) -> String {
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_./<".contains(c));
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:<>-".contains(c);
    let is_plain = first && text.chars().all(plain) && !text.ends_with(':');
    match is_plain && matches!(typed(text), Yaml::String(_)) {
        true => text.to_owned(),
        false => Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::substitute::Outside;
    use crate::yaml::read;

    #[test]
    fn what_is_written_is_easy_on_the_eye_and_reads_back_as_the_same() {
        let value = json!({
            "isobar": 1,
            "name": "logs",
            "bolts": {
                "route": {
                    "type": "route",
                    "inputs": [{"from": "parse", "grouping": {"by": ["doc.a", "b c"]}}, {"from": "x.y"}],
                    "routes": {"errors": "doc.level == 'error'", "a: b": "x\ny"},
                },
                "index": {"hosts": ["http://es:9200", "<hidden>"], "body_bytes": "64KiB"},
            },
            "empty": {}, "none": [], "nested": [[1, 2], []],
            "kept": [null, true, -1.5, "null", "true", "12", "1e3", "-", "", "a:", "#", "é"],
        });
        let text = write(&value);
        let expected = "\
isobar: 1
name: logs
bolts:
  route:
    type: route
    inputs:
      - from: parse
        grouping:
          by: [doc.a, \"b c\"]
      - from: x.y
    routes:
      errors: \"doc.level == 'error'\"
      \"a: b\": \"x\\ny\"
  index:
    hosts: [http://es:9200, <hidden>]
    body_bytes: 64KiB
empty: {}
none: []
nested:
  - [1, 2]
  - []
kept: [null, true, -1.5, \"null\", \"true\", \"12\", \"1e3\", \"-\", \"\", \"a:\", \"#\", \"é\"]
";
        assert_eq!(text, expected);
        let outside = Outside {
            variable: &|_| None,
            file: &|_: &Path| Err(std::io::ErrorKind::NotFound.into()),
        };
        let read = read(&text, &outside);
        assert!(read.problems.is_empty(), "{:?}", read.problems);
        assert_eq!(read.root.to_json(), value);
        assert_eq!(write(&json!("a")), "a\n");
    }
}
