//! What is fuzzed: one function for each thing that reads text of others. A target panics when something
//! is wrong. The fuzzer gives it what it makes up, and `cargo test` what was found before, in `corpus/`.
//!
//! Knows neither the fuzzer nor the corpus.

use std::path::Path;

use isobar::{Outside, TopologyFile};
use isobar_operators::dead_letter::{Letter, Resolution};
use isobar_operators::outcome::{self, Class};
use serde_json::{Value, json};

use super::bolt::Bolt;
use super::{against_serde, asked, inside, kept, tables};

/// Something that is fuzzed.
pub struct Target {
    /// Its name, and that of its directory in `corpus/`.
    pub name: &'static str,
    /// Gives it an input; panics when something is wrong.
    pub run: fn(&[u8]),
}

/// Everything that is fuzzed.
pub const TARGETS: [Target; 29] = [
    target("json", json_parser),
    target("document", document),
    target("inside", inside::members),
    target("merge", inside::merge),
    target("syslog", syslog),
    target("access_log", access_log),
    target("key_value", key_value),
    target("csv", csv),
    target("regex", regex),
    target("grok", grok),
    target("user_agent", user_agent),
    target("timestamp", timestamp),
    target("condition", condition),
    target("template", template),
    target("topology", topology),
    target("settings", settings),
    target("mask", mask),
    target("split", split),
    target("convert", convert),
    target("reply", reply),
    target("letter", letter),
    target("letter_file", kept::letter_file),
    target("csv_table", tables::csv),
    target("ndjson_table", tables::ndjson),
    target("commit_metadata", kept::commit_metadata),
    target("register", kept::register),
    target("variables", kept::variables),
    target("question", asked::question),
    target("replicas", asked::replicas),
];

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// `parse_json` takes what serde_json takes, and the document means the same.
fn json_parser(input: &[u8]) {
    thread_local!(static BOLT: Bolt = Bolt::new("parse_json", json!({})));
    BOLT.with(|bolt| against_serde::parsed(input, bolt.raw(input).document()));
}

/// Documents that were edited mean what the edits make of them.
fn document(input: &[u8]) {
    thread_local!(static BOLTS: [Bolt; 3] = [
        Bolt::new("set_fields", json!({"fields": {
            "a": "text", "b": {"c": [1, null]}, "copy": "{{ default(doc.c, 'none') }}",
        }})),
        Bolt::new("remove_fields", json!({"fields": ["a", "c"]})),
        Bolt::new("rename_fields", json!({"fields": {"a": "b", "c": "d"}})),
    ]);
    let Some(before) = against_serde::object(input) else {
        return;
    };
    let text = std::str::from_utf8(input).expect("JSON is UTF-8");
    BOLTS.with(|[set, remove, rename]| {
        against_serde::edited(&before, set.document(text).document(), against_serde::set);
        against_serde::edited(
            &before,
            remove.document(text).document(),
            against_serde::remove,
        );
        against_serde::edited(
            &before,
            rename.document(text).document(),
            against_serde::rename,
        );
    });
}

/// Lines with and without a zone, with what is left of them.
fn syslog(input: &[u8]) {
    thread_local!(static BOLT: Bolt = Bolt::new(
        "parse_syslog",
        json!({"zone": "Europe/Berlin", "raw_field": "raw"}),
    ));
    BOLT.with(|bolt| bolt.raw(input).is_sound());
}

fn access_log(input: &[u8]) {
    thread_local!(static BOLT: Bolt = Bolt::new("parse_access_log", json!({"rest_field": "rest"})));
    BOLT.with(|bolt| bolt.raw(input).is_sound());
}

fn key_value(input: &[u8]) {
    thread_local!(static BOLT: Bolt = Bolt::new("parse_key_value", json!({})));
    BOLT.with(|bolt| bolt.raw(input).is_sound());
}

fn csv(input: &[u8]) {
    thread_local!(static BOLT: Bolt = Bolt::new("parse_csv", json!({"columns": ["a", "b", "c"]})));
    BOLT.with(|bolt| bolt.raw(input).is_sound());
}

/// The first line is the pattern, the rest the text.
fn regex(input: &[u8]) {
    let (pattern, text) = first_line(input);
    let options = json!({"pattern": pattern});
    if let Ok(bolt) = Bolt::try_new("parse_regex", &options) {
        bolt.raw(text).is_sound();
    }
}

/// As [`regex`].
fn grok(input: &[u8]) {
    let (pattern, text) = first_line(input);
    let options =
        json!({"pattern": pattern, "patterns": {"LEVEL": "(?:info|warn)", "ID": "%{LEVEL}-\\d+"}});
    if let Ok(bolt) = Bolt::try_new("parse_grok", &options) {
        bolt.raw(text).is_sound();
    }
}

/// What clients send of themselves stays as it is, and whatever rules find in it is text that says something.
fn user_agent(input: &[u8]) {
    thread_local!(static BOLT: Bolt = {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let mut rules = above.map(|above| above.join("tests/fuzz/regexes.yaml"));
        let rules = rules.find(|file| file.exists()).expect("it is in this repository");
        Bolt::new("parse_user_agent", json!({"file": rules, "target": "agent"}))
    });
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let document = json!({"user_agent": text}).to_string();
    let ended = BOLT.with(|bolt| bolt.document(&document));
    let document = ended.document().expect("it is never rejected");
    let document: Value = serde_json::from_str(document).expect("JSON");
    let agent = &document["agent"];
    assert_eq!([&document["user_agent"], &agent["original"]], [text, text]);
    for name in [
        "/name",
        "/version",
        "/os/name",
        "/os/version",
        "/device/name",
    ] {
        let found = agent.pointer(name);
        let says_something = |found: &Value| found.as_str().is_some_and(|text| !text.is_empty());
        assert!(found.is_none_or(says_something), "{name}: {agent}");
    }
}

/// The first line is the format, the rest the time. What was read and written down is read again as the
/// same time.
fn timestamp(input: &[u8]) {
    thread_local!(static AGAIN: Bolt = Bolt::new("parse_timestamp", json!({"field": "at"})));
    let (format, text) = first_line(input);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let options = json!({
        "field": "time", "formats": [format], "zone": "Europe/Berlin", "target": "at",
    });
    let Ok(bolt) = Bolt::try_new("parse_timestamp", &options) else {
        return;
    };
    let text = json!({"time": text}).to_string();
    let read = bolt.document(&text);
    read.is_sound();
    if let Some(written) = read.document() {
        let again = AGAIN.with(|again| again.document(written));
        assert_eq!(again.event_time(), read.event_time(), "{written}");
    }
}

/// A document for expressions: each kind of value once.
const DOCUMENT: &str = r#"{"s":"text","i":-3,"f":2.5,"t":true,"n":null,"l":[1,"a",{}],"o":{"k":"v"},"at":"2026-01-31T12:00:00Z"}"#;

/// A condition is refused, or decides.
fn condition(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(bolt) = Bolt::try_new("filter", &json!({"keep_when": text})) {
        bolt.document(DOCUMENT).is_sound();
    }
}

/// A template is refused, or gives a value or a reject.
fn template(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(bolt) = Bolt::try_new("set_fields", &json!({"fields": {"made": text}})) {
        bolt.document(DOCUMENT).is_sound();
    }
}

/// A whole topology file is refused with problems, or planned; nothing is contacted.
fn topology(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    plan(text);
}

/// As [`topology`], with the input in place of a bolt's options: problems of types, not of YAML.
fn settings(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut file = String::from(
        "isobar: 1\nname: fuzzed\nconnections:\n  kafka: {type: kafka, brokers: localhost:1}\n  search: {type: elasticsearch, hosts: http://localhost:1}\nspouts:\n  in: {type: kafka, connection: kafka, topics: [t], start: earliest}\ndead_letter: {type: blackhole}\nbolts:\n  bolt:\n    inputs: [in]\n",
    );
    for line in text.lines() {
        file.push_str("    ");
        file.push_str(line);
        file.push('\n');
    }
    plan(&file);
}

fn plan(text: &str) {
    // Variables are there, files are not: nothing of this machine must have a say.
    let outside = Outside {
        variable: &|name| (!name.contains("NOT")).then(|| format!("value of {name}")),
        file: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    let file = TopologyFile::from_text(Path::new("fuzzed.yaml"), text.to_owned(), &outside);
    match file.plan(&isobar_operators::registry(), 2) {
        Ok(plan) => assert!(!plan.graph.spouts.is_empty(), "a plan reads something"),
        Err(refused) => assert!(!refused.to_string().is_empty(), "a refusal says why"),
    }
}

/// Documents in which personal data is looked for, wherever it stands.
fn mask(input: &[u8]) {
    thread_local!(static BOLT: Bolt = Bolt::new("mask", json!({
        "fields": ["a"], "search": ["b", "c"],
        "patterns": ["email", "ipv4", "ipv6", "card_number", "token=\\w+"],
    })));
    if against_serde::object(input).is_some() {
        let text = std::str::from_utf8(input).expect("JSON is UTF-8");
        BOLT.with(|bolt| bolt.document(text).is_sound());
    }
}

/// Documents that are split, wherever the array or the text stands.
fn split(input: &[u8]) {
    thread_local!(static BOLTS: [Bolt; 3] = [
        Bolt::new("split", json!({"field": "a"})),
        Bolt::new("split", json!({"field": "a.b", "as": "document"})),
        Bolt::new("split", json!({"field": "a.b", "into": "c", "separator": ","})),
    ]);
    if against_serde::object(input).is_some() {
        let text = std::str::from_utf8(input).expect("JSON is UTF-8");
        BOLTS.with(|bolts| {
            for bolt in bolts {
                bolt.document(text).parts_are_sound();
            }
        });
    }
}

/// Values of every type in place of any other.
fn convert(input: &[u8]) {
    thread_local!(static BOLTS: [Bolt; 3] = ["reject", "remove", "keep"].map(|on_invalid| {
        let fields = json!({"a": "integer", "b": "float", "c": "boolean", "d": "string", "e.f": "integer"});
        Bolt::new("convert", json!({"fields": fields, "on_invalid": on_invalid}))
    }));
    if against_serde::object(input).is_some() {
        let text = std::str::from_utf8(input).expect("JSON is UTF-8");
        BOLTS.with(|bolts| {
            for bolt in bolts {
                bolt.document(text).is_sound();
            }
        });
    }
}

/// The reply to a bulk request: what is believed has an item for each document, and none counts as stored
/// that is not said to be. The first byte is the number of documents.
fn reply(input: &[u8]) {
    let Some((sent, reply)) = input.split_first() else {
        return;
    };
    let sent = usize::from(sent % 8);
    let Some(classes) = outcome::classes_of(reply, "create", sent) else {
        return;
    };
    assert_eq!(classes.len(), sent);
    // It quotes documents, so that it may hold what serde_json takes for no text.
    let Ok(reply) = serde_json::from_slice::<Value>(reply) else {
        return;
    };
    let items = reply["items"].as_array().expect("a list of items");
    assert_eq!(items.len(), sent, "{reply}");
    for (class, item) in classes.into_iter().zip(items) {
        let outcomes = item.as_object().expect("an item").values();
        let [said] = outcomes.collect::<Vec<_>>()[..] else {
            panic!("an item has one outcome: {item}");
        };
        let succeeded = said["status"]
            .as_u64()
            .is_some_and(|status| (200..300).contains(&status));
        let is_plain = said["error"].is_null() && said["failure_store"] != "used";
        assert_eq!(class == Class::Stored, succeeded && is_plain, "{item}");
    }
}

/// The headers of a record in a topic of dead letters, `name=value` in each line: no letter, or one that is
/// of one version and has a place. So it is with what settles letters.
fn letter(input: &[u8]) {
    let headers = || {
        let lines = input.split(|byte| *byte == b'\n');
        lines.filter_map(|line| {
            let name = line.iter().position(|byte| *byte == b'=')?;
            Some((&line[..name], Some(&line[name + 1..])))
        })
    };
    let has = |wanted: &str| headers().any(|(name, _)| name == wanted.as_bytes());
    if let Ok(letter) = Letter::read(headers()) {
        let needed = [
            "isobar.dead_letter.version",
            "isobar.origin.source",
            "isobar.origin.offset",
        ];
        assert!(needed.into_iter().all(has), "{letter:?}");
    }
    if let Some(Ok(resolution)) = Resolution::read(headers()) {
        let needed = [
            "isobar.resolution.version",
            "isobar.resolution.run",
            "isobar.origin.offset",
        ];
        assert!(needed.into_iter().all(has), "{resolution:?}");
    }
}

/// The first line as text, and what is behind it.
fn first_line(input: &[u8]) -> (String, &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (line, rest) = match end {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &[][..]),
    };
    (String::from_utf8_lossy(line).into_owned(), rest)
}
