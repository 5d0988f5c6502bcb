//! The effective configuration of a topology: the file with values from outside and defaults put in,
//! and with every secret hidden; and digests that tell configurations apart.

use isobar_topology::Registry;
use isobar_topology::spec::{Node, Settings, Value as Yaml};
use serde_json::{Map, Value};

use crate::secrets::{HIDDEN, is_secret, without_credentials};

/// What is hidden.
#[derive(Clone, Copy)]
enum Hides {
    /// Secrets, and values from outside, of which nobody can tell whether they are some.
    Outside,
    /// Secrets.
    Secrets,
    /// Nothing.
    Nothing,
}

/// Makes the configuration of a file that was planned. Values from variables and files are hidden
/// whatever they are: nobody can tell which of them are secrets.
pub fn effective(tree: &Node, settings: &Settings, lanes: usize, registry: &Registry) -> Value {
    whole(tree, settings, lanes, registry, [Hides::Outside; 2])
}

/// Tells apart what is done with records, and where they go: 32 hexadecimal digits, by all values, also those from
/// variables and files, none of which can be read from it. The number of lanes is left out, which is the machine's,
/// and so are the secrets of connections: they may change while all else stays.
pub fn fingerprint(tree: &Node, settings: &Settings, registry: &Registry) -> String {
    let hides = [Hides::Secrets, Hides::Nothing];
    digest(&whole(tree, settings, 0, registry, hides), 16)
}

fn whole(
    tree: &Node,
    settings: &Settings,
    lanes: usize,
    registry: &Registry,
    [of_connections, of_others]: [Hides; 2],
) -> Value {
    let mut shown = Map::new();
    for entry in tree.entries() {
        let value = match entry.key.as_str() {
            section @ ("connections" | "spouts" | "bolts") => {
                let hides = match section {
                    "connections" => of_connections,
                    _ => of_others,
                };
                let components = entry.node.entries().iter();
                let components = components.map(|entry| {
                    let component = component(section, &entry.node, registry, hides);
                    (entry.key.clone(), component)
                });
                Value::Object(components.collect())
            }
            "dead_letter" => component("bolts", &entry.node, registry, of_others),
            // Tests say nothing about what runs.
            "settings" | "tests" => continue,
            key => show(key, &entry.node, None, of_others),
        };
        let _ = shown.insert(entry.key.clone(), value);
    }
    let mut settings = serde_json::to_value(settings).unwrap_or_default();
    settings["lanes"] = lanes.into();
    let _ = shown.insert("settings".to_owned(), settings);
    Value::Object(shown)
}

/// Tells configurations apart: 12 hexadecimal digits, the same in every copy of the program that was started
/// with the same file. Values that may differ between copies are left out: those from outside, which are
/// hidden, and the number of lanes, which follows the machine.
pub fn hash(effective: &Value) -> String {
    let mut same = effective.clone();
    if let Some(settings) = same.get_mut("settings").and_then(Value::as_object_mut) {
        let _ = settings.remove("lanes");
    }
    digest(&same, 6)
}

/// The first bytes of SHA-256, in hexadecimal digits.
fn digest(value: &Value, bytes: usize) -> String {
    let digest = openssl::sha::sha256(value.to_string().as_bytes());
    digest[..bytes]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn component(section: &str, node: &Node, registry: &Registry, hides: Hides) -> Value {
    let kind = node.get("type").and_then(Node::text).unwrap_or_default();
    // Types of different sections share names.
    let schema = match section {
        "connections" => registry.connection(kind).map(|kind| kind.schema),
        "spouts" => registry.spout(kind).map(|kind| kind.schema),
        _ => registry.bolt(kind).map(|kind| kind.schema),
    };
    let schema = schema.map(|schema| schema());
    let options = schema.as_ref().and_then(|schema| schema.get("properties"));
    let options = options.and_then(Value::as_object);
    let mut shown = Map::new();
    for entry in node.entries() {
        let schema = options.and_then(|options| options.get(&entry.key));
        let value = show(&entry.key, &entry.node, schema, hides);
        let _ = shown.insert(entry.key.clone(), value);
    }
    for (name, schema) in options.into_iter().flatten() {
        if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
            let _ = shown.entry(name.clone()).or_insert_with(|| default.clone());
        }
    }
    Value::Object(shown)
}

fn show(key: &str, node: &Node, schema: Option<&Value>, hides: Hides) -> Value {
    let format = schema.and_then(|schema| schema.get("format"));
    let is_secret = is_secret(key) || format.is_some_and(|format| format == "secret");
    let is_hidden = match hides {
        Hides::Outside => node.hidden || is_secret,
        Hides::Secrets => is_secret,
        Hides::Nothing => false,
    };
    if is_hidden {
        return Value::String(HIDDEN.to_owned());
    }
    let shown = |key: &str, node: &Node| show(key, node, None, hides);
    match (&node.value, hides) {
        (Yaml::String(text), Hides::Outside | Hides::Secrets) => {
            Value::String(without_credentials(text))
        }
        (Yaml::List(items), _) => items.iter().map(|item| shown(key, item)).collect(),
        (Yaml::Map(entries), _) => {
            let entries = entries.iter();
            let shown = entries.map(|entry| (entry.key.clone(), shown(&entry.key, &entry.node)));
            Value::Object(shown.collect())
        }
        _ => node.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn copies_of_one_configuration_have_one_hash_on_any_machine() {
        let file = json!({"isobar": 1, "name": "t", "bolts": {"end": {"type": "blackhole"}}});
        let hash_of = |file: &Value, lanes: usize, max_attempts: u32| {
            let settings = Settings {
                max_attempts,
                ..Settings::default()
            };
            let registry = isobar_operators::registry();
            hash(&effective(
                &Node::from_json(file),
                &settings,
                lanes,
                &registry,
            ))
        };
        let known = hash_of(&file, 2, 5);
        assert_eq!(known.len(), 12);
        assert_eq!(hash_of(&file, 8, 5), known);
        assert_ne!(hash_of(&file, 2, 6), known);
        let mut changed = file.clone();
        changed["bolts"]["end"]["type"] = "console".into();
        assert_ne!(hash_of(&changed, 2, 5), known);
    }

    /// As if all values came from variables.
    fn hide(node: &mut Node) {
        match &mut node.value {
            Yaml::Map(entries) => entries.iter_mut().for_each(|one| hide(&mut one.node)),
            _ => node.hidden = true,
        }
    }

    #[test]
    fn another_value_from_outside_is_another_configuration() {
        let of = |host: &str, password: &str, index: &str, key: &str| {
            let mut tree = Node::from_json(&json!({
                "isobar": 1, "name": "t",
                "connections": {"search": {
                    "type": "elasticsearch", "hosts": format!("http://u:{password}@{host}:9200"),
                    "auth": {"username": "u", "password": password},
                }},
                "bolts": {
                    "hide": {"type": "mask", "fields": ["a"], "pseudonym_key": key},
                    "index": {"type": "elasticsearch", "connection": "search", "index": index},
                },
            }));
            hide(&mut tree);
            let (settings, registry) = (Settings::default(), isobar_operators::registry());
            let shown = effective(&tree, &settings, 0, &registry);
            (shown, fingerprint(&tree, &settings, &registry))
        };
        let (shown, known) = of("staging", "hunter2", "logs", "a key of 16 bytes");
        assert_eq!(known.len(), 32);
        let others = [
            of("production", "hunter2", "logs", "a key of 16 bytes"),
            of("staging", "hunter2", "logs-2", "a key of 16 bytes"),
            of("staging", "hunter2", "logs", "another of 16 bytes"),
        ];
        for other in others {
            assert_eq!(other.0, shown, "it looks the same");
            assert_ne!(other.1, known);
        }
        // Who asks decides nothing about documents.
        let asks = of("staging", "hunter3", "logs", "a key of 16 bytes");
        assert_eq!(asks.1, known);
    }

    #[test]
    fn defaults_are_put_in_and_secrets_are_not_shown() {
        let mut file = json!({
            "isobar": 1, "name": "t",
            "connections": {
                "kafka": {"type": "kafka", "brokers": "a:1",
                    "sasl": {"mechanism": "PLAIN", "username": "u", "password": "hunter2"},
                    "options": {"ssl.key.pem": "hunter2"}},
                "search": {"type": "elasticsearch", "hosts": ["https://u:hunter2@es:9200/x"]},
            },
            "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": "t"}},
            "dead_letter": {"type": "blackhole"},
        });
        let mut tree = Node::from_json(&file);
        let isobar_topology::spec::Value::Map(entries) = &mut tree.value else {
            unreachable!("it is a mapping")
        };
        // As a value that came from a variable.
        entries[1].node.hidden = true;
        let registry = isobar_operators::registry();
        let shown = effective(&tree, &Settings::default(), 3, &registry);
        assert!(!shown.to_string().contains("hunter2"), "{shown}");
        assert_eq!(shown["name"], HIDDEN);
        let connection = &mut file["connections"]["kafka"];
        connection["sasl"]["password"] = HIDDEN.into();
        connection["options"]["ssl.key.pem"] = HIDDEN.into();
        assert_eq!(shown["connections"]["kafka"], *connection);
        let hosts = &shown["connections"]["search"]["hosts"];
        assert_eq!(*hosts, json!(["https://<hidden>@es:9200/x"]));
        let spout = &shown["spouts"]["in"];
        assert_eq!(
            (&spout["topics"], &spout["commit_interval"]),
            (&json!("t"), &json!("2s"))
        );
        assert_eq!(shown["dead_letter"], json!({"type": "blackhole"}));
        let settings = &shown["settings"];
        assert_eq!(
            (&settings["lanes"], &settings["max_attempts"]),
            (&json!(3), &json!(5))
        );
    }
}
