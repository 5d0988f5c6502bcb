//! Walks the folders of operators and the registry: every file is registered under its own name, and
//! says everything that the reference of operators shows.

use std::collections::BTreeSet;
use std::path::Path;

use isobar_operators::registry;
use schemars::Schema;
use serde_json::Value;

/// Name, schema and example of an operator. A connection has no example: it stands in those of others.
struct Operator {
    name: &'static str,
    schema: Schema,
    example: Option<&'static str>,
}

fn operators() -> Vec<Operator> {
    let registry = registry();
    let connections = registry.connections.iter().map(|kind| Operator {
        name: kind.name,
        schema: (kind.schema)(),
        example: None,
    });
    let spouts = registry.spouts.iter().map(|kind| Operator {
        name: kind.name,
        schema: (kind.schema)(),
        example: Some(kind.example),
    });
    let bolts = registry.bolts.iter().map(|kind| Operator {
        name: kind.name,
        schema: (kind.schema)(),
        example: Some(kind.example.yaml),
    });
    connections.chain(spouts).chain(bolts).collect()
}

/// The names of the files in a folder of `src`.
fn files(folder: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(folder);
    let entries = std::fs::read_dir(path).expect("the folder is there");
    let names = entries.filter_map(|entry| {
        let name = entry.expect("can be read").file_name();
        let name = name.into_string().expect("UTF-8");
        name.strip_suffix(".rs").map(str::to_owned)
    });
    names.collect()
}

#[test]
fn every_file_is_registered_under_its_name() {
    let registry = registry();
    let bolts = registry.bolts.iter().map(|kind| kind.name.to_owned());
    assert_eq!(bolts.collect::<BTreeSet<_>>(), files("bolts"));
    let spouts = registry.spouts.iter().map(|kind| kind.name.to_owned());
    assert_eq!(spouts.collect::<BTreeSet<_>>(), files("spouts"));
}

#[test]
fn no_two_types_of_a_kind_share_a_name() {
    let registry = registry();
    let names = |names: Vec<&str>| (names.iter().collect::<BTreeSet<_>>().len(), names.len());
    for (different, all) in [
        names(registry.connections.iter().map(|kind| kind.name).collect()),
        names(registry.spouts.iter().map(|kind| kind.name).collect()),
        names(registry.bolts.iter().map(|kind| kind.name).collect()),
    ] {
        assert_eq!(different, all);
    }
}

#[test]
fn examples_name_their_type_and_inputs() {
    // By example, since a spout and a bolt may have one name.
    let bolts: Vec<&str> = registry()
        .bolts
        .iter()
        .map(|kind| kind.example.yaml)
        .collect();
    for operator in operators() {
        let Some(example) = operator.example else {
            continue;
        };
        let name = operator.name;
        assert!(
            example.starts_with(&format!("type: {name}\n")),
            "{name}: {example}"
        );
        assert!(example.ends_with('\n'), "{name}: {example}");
        let has_inputs = example.lines().any(|line| line.starts_with("inputs: ["));
        assert_eq!(has_inputs, bolts.contains(&example), "{name}: {example}");
    }
}

#[test]
fn every_option_is_documented_with_its_bounds_or_default() {
    let mut wrong = Vec::new();
    for operator in operators() {
        let schema = operator.schema.as_value();
        if text_of(schema, "description").is_empty() {
            wrong.push(format!("{}: what it does is not said", operator.name));
        }
        walk(schema, schema, operator.name, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Looks at every property of a schema and at those below.
fn walk(schema: &Value, root: &Value, path: &str, wrong: &mut Vec<String>) {
    let schema = resolve(schema, root);
    let members = schema["properties"].as_object();
    for (name, property) in members.into_iter().flatten() {
        let path = format!("{path}.{name}");
        let target = resolve(property, root);
        let mut about = text_of(property, "description");
        // An alternative with a value is a mapping of one member, described as a whole.
        if about.is_empty() && members.is_some_and(|members| members.len() == 1) {
            about = text_of(schema, "description");
        }
        if about.is_empty() {
            about = text_of(target, "description");
        }
        if about.is_empty() && property.get("const").is_none() {
            wrong.push(format!("{path}: what it does is not said"));
        }
        if is_number(target) && !says_bounds(target, about) {
            wrong.push(format!(
                "{path}: a number without bounds, in its schema or in words"
            ));
        }
        let required = schema["required"].as_array();
        let optional = !required.is_some_and(|names| names.iter().any(|one| one == name));
        if optional && is_choice(target) && !about.to_lowercase().contains("default") {
            wrong.push(format!("{path}: a choice whose default is not said"));
        }
        walk(property, root, &path, wrong);
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        for branch in schema[word].as_array().into_iter().flatten() {
            walk(branch, root, path, wrong);
        }
    }
    for word in ["items", "additionalProperties"] {
        if schema[word].is_object() {
            walk(&schema[word], root, path, wrong);
        }
    }
}

fn resolve<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    match schema["$ref"].as_str() {
        Some(target) => root
            .pointer(target.trim_start_matches('#'))
            .expect("schemas refer to what they define"),
        None => schema,
    }
}

fn text_of<'s>(schema: &'s Value, word: &str) -> &'s str {
    schema[word].as_str().unwrap_or_default()
}

fn is_number(schema: &Value) -> bool {
    let is = |kind: &Value| kind == "integer" || kind == "number";
    // Sizes are numbers with a unit of their own.
    schema["format"] != "byte_size"
        && (is(&schema["type"])
            || schema["type"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(is)))
}

/// Whether it is one word of several.
fn is_choice(schema: &Value) -> bool {
    let words = |branch: &Value| branch.get("const").is_some() || branch.get("enum").is_some();
    schema.get("enum").is_some()
        || schema["oneOf"]
            .as_array()
            .is_some_and(|branches| branches.iter().any(words))
}

fn says_bounds(schema: &Value, about: &str) -> bool {
    let in_schema = schema.get("minimum").is_some() && schema.get("maximum").is_some();
    let in_words = ["from ", "at most", "at least", "up to"];
    in_schema
        || in_words
            .iter()
            .any(|words| about.to_lowercase().contains(words))
}

#[test]
fn options_without_documentation_or_bounds_are_found() {
    let schema = serde_json::json!({
        "properties": {
            "silent": {"type": "string"},
            "count": {"type": ["integer", "null"], "minimum": 0, "description": "Counts."},
            "bounded": {"type": "integer", "description": "From 1 to 5."},
            "choice": {"enum": ["a", "b"], "description": "One of two."},
            "inner": {"$ref": "#/$defs/Inner", "description": "Inside."},
            "either": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}], "description": "Or not."},
        },
        "$defs": {"Inner": {"properties": {"deep": {"type": "boolean"}}}},
    });
    let mut wrong = Vec::new();
    walk(&schema, &schema, "x", &mut wrong);
    assert_eq!(
        wrong,
        [
            "x.silent: what it does is not said",
            "x.count: a number without bounds, in its schema or in words",
            "x.choice: a choice whose default is not said",
            "x.inner.deep: what it does is not said",
            "x.either.deep: what it does is not said",
        ]
    );
}
