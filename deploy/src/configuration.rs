//! The effective configuration of a topology: the file with values from outside and defaults put in,
//! and with every secret hidden.

use isobar_topology::Registry;
use isobar_topology::spec::{Node, Settings, Value as Yaml};
use serde_json::{Map, Value};

use crate::secrets::{HIDDEN, is_secret, without_credentials};

/// Makes the configuration of a file that was planned. Values from variables and files are hidden
/// whatever they are: nobody can tell which of them are secrets.
pub fn effective(tree: &Node, settings: &Settings, lanes: usize, registry: &Registry) -> Value {
    let mut shown = Map::new();
    for entry in tree.entries() {
        let value = match entry.key.as_str() {
            "connections" | "spouts" | "bolts" => {
                let components = entry.node.entries().iter();
                let components = components.map(|entry| {
                    let component = component(&entry.node, registry);
                    (entry.key.clone(), component)
                });
                Value::Object(components.collect())
            }
            "dead_letter" => component(&entry.node, registry),
            "settings" => continue,
            key => show(key, &entry.node, None),
        };
        let _ = shown.insert(entry.key.clone(), value);
    }
    let mut settings = serde_json::to_value(settings).unwrap_or_default();
    settings["lanes"] = lanes.into();
    let _ = shown.insert("settings".to_owned(), settings);
    Value::Object(shown)
}

fn component(node: &Node, registry: &Registry) -> Value {
    let kind = node.get("type").and_then(Node::text).unwrap_or_default();
    let schema = registry
        .spout(kind)
        .map(|kind| (kind.schema)())
        .or_else(|| registry.bolt(kind).map(|kind| (kind.schema)()))
        .or_else(|| registry.connection(kind).map(|kind| (kind.schema)()));
    let options = schema.as_ref().and_then(|schema| schema.get("properties"));
    let options = options.and_then(Value::as_object);
    let mut shown = Map::new();
    for entry in node.entries() {
        let schema = options.and_then(|options| options.get(&entry.key));
        let _ = shown.insert(entry.key.clone(), show(&entry.key, &entry.node, schema));
    }
    for (name, schema) in options.into_iter().flatten() {
        if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
            let _ = shown.entry(name.clone()).or_insert_with(|| default.clone());
        }
    }
    Value::Object(shown)
}

fn show(key: &str, node: &Node, schema: Option<&Value>) -> Value {
    let format = schema.and_then(|schema| schema.get("format"));
    if node.hidden || is_secret(key) || format.is_some_and(|format| format == "secret") {
        return Value::String(HIDDEN.to_owned());
    }
    match &node.value {
        Yaml::String(text) => Value::String(without_credentials(text)),
        Yaml::List(items) => items.iter().map(|item| show(key, item, None)).collect(),
        Yaml::Map(entries) => {
            let entries = entries.iter();
            let shown =
                entries.map(|entry| (entry.key.clone(), show(&entry.key, &entry.node, None)));
            Value::Object(shown.collect())
        }
        _ => node.to_json(),
    }
}
