//! Whole files with all that is printed about them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path as FilePath;

use isobar_topology::Registry;
use isobar_topology::spec::{Path, Problem, read_value_file};

use super::*;
use crate::yaml;

const VARIABLES: [(&str, &str); 5] = [
    ("HOSTS", "a:1, b:2"),
    ("LANES", "3"),
    ("SECRET", "hunter2"),
    ("INPUT", "logz"),
    ("EMPTY", ""),
];

fn load(text: &str) -> TopologyFile {
    let variables: BTreeMap<&str, &str> = VARIABLES.into();
    let outside = Outside {
        variable: &|name| variables.get(name).map(|value| (*value).to_owned()),
        file: &|_| Err(io::ErrorKind::PermissionDenied.into()),
    };
    TopologyFile::from_text(FilePath::new("t.yaml"), text.to_owned(), &outside)
}

/// Compares what is printed, without the excerpts.
fn check(text: &str, expected: &[&str]) {
    let printed = load(text).spec().err().map(|refused| refused.to_string());
    let printed = printed.unwrap_or_default();
    let lines = printed.lines().filter(|line| line.starts_with("t.yaml"));
    assert_eq!(lines.collect::<Vec<_>>(), expected, "{text}");
}

const SOUND: &str = "\
isobar: 1
name: access-logs
spouts:
  logs: {type: kafka, brokers: \"${HOSTS}\"}
bolts:
  parse:
    type: parse_json
    inputs: [logs]
  index:
    type: elasticsearch
    inputs: [{from: parse, grouping: {fields: [doc.host]}}]
    password: ${SECRET}
    on_rejected: drop
settings:
  lanes: ${LANES}
  drain_timeout: ${DRAIN:-10s}
";

#[test]
fn a_sound_file_becomes_a_specification() {
    let file = load(SOUND);
    let spec = file.spec().expect("sound");
    assert_eq!(spec.name, "access-logs");
    assert_eq!(spec.settings.lanes, Some(3));
    assert_eq!(spec.settings.drain_timeout.get().as_secs(), 10);
    let brokers = spec.spouts[0].config.get("brokers");
    assert_eq!(brokers.and_then(Node::text), Some("a:1, b:2"));
    let place = spec.bolts[1].place;
    assert_eq!((place.line, place.column), (9, 3));
}

#[test]
fn every_problem_comes_at_once_with_its_line_and_a_caret() {
    let text = "\
isobar: 1
name: access-logs
spouts:
  logs: {type: kafka, topics: [\"${TOPIC}\"]}
  parse: {type: kafka}
bolts:
  parse:
    type: parse_json
    inputs: [lgos]
  a:
    type: filter
    inputs: [b]
  b:
    inputs: [a]
  c: {type: filter, inputs: [c]}
settings: {lanes: many, drian_timeout: 1s, retry_max: soon}
settings: {}
";
    let refused = load(text).spec().expect_err("wrong").to_string();
    assert_eq!(
        refused,
        "\
t.yaml:4:32: spouts.logs.topics[0]: the variable TOPIC is not set; expected TOPIC in the environment or in --env-file, or a default: ${TOPIC:-...}
    4 |   logs: {type: kafka, topics: [\"${TOPIC}\"]}
      |                                ^
t.yaml:7:3: bolts.parse: the id `parse` is taken by spouts.parse; expected an id of its own: spouts and bolts share their names
    7 |   parse:
      |   ^
t.yaml:9:14: bolts.parse.inputs[0]: unknown input `lgos`; expected one of logs, a, b, c; did you mean logs?
    9 |     inputs: [lgos]
      |              ^
t.yaml:10:3: bolts.a.inputs: the bolts form a cycle: a → b → a; expected a graph in which records only move forward
   10 |   a:
      |   ^
t.yaml:13:3: bolts.b: `type` is missing; expected the name of a type; `isobar operators` lists them
   13 |   b:
      |   ^
t.yaml:15:3: bolts.c.inputs: the bolts form a cycle: c → c; expected a graph in which records only move forward
   15 |   c: {type: filter, inputs: [c]}
      |   ^
t.yaml:16:19: settings.lanes: found the string \"many\"; expected a whole number from 1 to 255
   16 | settings: {lanes: many, drian_timeout: 1s, retry_max: soon}
      |                   ^
t.yaml:16:25: settings.drian_timeout: unknown option; expected one of drain_timeout, lanes, max_attempts, queue_batches, queue_bytes, reject_limit, retry_initial, retry_max; did you mean drain_timeout?
   16 | settings: {lanes: many, drian_timeout: 1s, retry_max: soon}
      |                         ^
t.yaml:16:55: settings.retry_max: found the string \"soon\"; expected a duration such as 500ms, 2s or 10m
   16 | settings: {lanes: many, drian_timeout: 1s, retry_max: soon}
      |                                                       ^
t.yaml:17:1: settings: stands in line 16 already; expected each key once
   17 | settings: {}
      | ^"
    );
}

#[test]
fn problems_of_components_come_in_the_same_run() {
    let text = SOUND.replace("isobar: 1", "isobar: 2");
    let refused = load(&text).plan(&Registry::default(), 1);
    let refused = refused.err().expect("the registry is empty").to_string();
    let lines: Vec<&str> = refused
        .lines()
        .filter(|line| line.starts_with("t.yaml"))
        .map(|line| line.split(';').next().unwrap_or_default())
        .collect();
    assert_eq!(
        lines,
        [
            "t.yaml:1:9: isobar: found the number 2",
            "t.yaml:4:16: spouts.logs.type: unknown type of spout `kafka`",
            "t.yaml:6:3: bolts.parse: records that it rejects lead nowhere",
            "t.yaml:7:11: bolts.parse.type: unknown type of bolt `parse_json`",
            "t.yaml:10:11: bolts.index.type: unknown type of bolt `elasticsearch`",
        ]
    );
}

/// Rejected records come there by way of a bolt, which the input alone does not tell.
#[test]
fn a_policy_that_would_drop_rejected_records_is_shown_where_it_stands() {
    let text = "\
isobar: 1
name: access-logs
connections:
  kafka: {type: kafka, brokers: \"localhost:9092\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [access], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  by_class: {type: route, inputs: [parse.rejected], routes: {old: \"kafka.offset < 10\"}, default: rest, on_rejected: drop}
  bad:
    type: kafka
    connection: kafka
    topic: dead
    inputs:
      - by_class.old
      - from: by_class.rest
        on_full: drop_newest
    on_rejected: drop
  end: {type: blackhole, inputs: [parse]}
";
    let registry = isobar_operators::registry();
    let planned = |text: &str| load(text).plan(&registry, 1).map(|_| ());
    let refused = planned(text).expect_err("the policy").to_string();
    assert_eq!(
        refused.lines().next(),
        Some(
            "t.yaml:17:18: bolts.bad.inputs[1].on_full: rejected records come to `bad` by way of `by_class`, and are not dropped for want of room; expected block, `on_rejected: drop` at the bolt that rejects them, or a way of their own for them"
        )
    );
    assert_eq!(refused.matches("t.yaml:").count(), 1, "{refused}");
    assert!(planned(&text.replace("drop_newest", "block")).is_ok());
}

#[test]
fn what_could_not_be_read_may_consume_anything() {
    let nowhere = |text: &str| {
        let refused = load(text).plan(&Registry::default(), 1);
        let refused = refused.err().expect("the registry is empty").to_string();
        refused.contains("lead nowhere")
    };
    assert!(nowhere(SOUND));
    // Of a value alone nothing depends; a key that stands there twice may have had the consumer.
    assert!(nowhere(&SOUND.replace("${SECRET}", "${NOWHERE}")));
    assert!(!nowhere(
        &SOUND.replace("  index:", "  parse: {type: x}\n  index:")
    ));
    assert!(!nowhere(&SOUND.replace("[logs]", "[\"${NOWHERE}\"]")));
}

#[test]
fn a_problem_points_at_a_value_and_never_below_what_a_secret_hides() {
    let mut found = Problems::default();
    let bolt = Path::root().key("bolts").key("index");
    found.push(Problem::new(bolt.key("inputs"), "a list"));
    found.push(Problem::new(bolt.key("type"), "a value"));
    let text = SOUND.replace("on_rejected: drop", "auth: {token: x, user: y}");
    found.push(Problem::new(bolt.key("auth").key("user"), "behind"));
    let printed = load(&text).refuse(found).to_string();
    assert_eq!(
        printed,
        "\
t.yaml:10:11: bolts.index.type: a value
   10 |     type: elasticsearch
      |           ^
t.yaml:11:5: bolts.index.inputs: a list
   11 |     inputs: [{from: parse, grouping: {fields: [doc.host]}}]
      |     ^
t.yaml:13:28: bolts.index.auth.user: behind
   13 |     auth: {token: <hidden>"
    );
}

#[test]
fn a_secret_below_its_key_is_not_shown() {
    let text = SOUND.replace(
        "on_rejected: drop",
        "auth:\n      token:\n        - hunter2",
    );
    let token = Path::root()
        .key("bolts")
        .key("index")
        .key("auth")
        .key("token");
    let mut found = Problems::default();
    found.push(Problem::new(token.index(0), "wrong"));
    let printed = load(&text).refuse(found).to_string();
    assert_eq!(printed, "t.yaml:15:11: bolts.index.auth.token[0]: wrong");
}

#[test]
fn problems_come_in_the_order_of_the_file_wherever_they_were_found() {
    // What an operator finds has a path and no place.
    let mut found = Problems::default();
    for (kind, component, option) in [
        ("bolts", "index", "password"),
        ("spouts", "logs", "brokers"),
    ] {
        let path = Path::root().key(kind).key(component).key(option);
        found.push(Problem::new(path, "wrong"));
    }
    let refused = load(SOUND).refuse(found);
    let places = refused.problems().iter().map(|problem| problem.place);
    let lines: Vec<u32> = places.flatten().map(|place| place.line).collect();
    assert_eq!(lines, [4, 12]);
}

#[test]
fn what_variables_gave_is_never_shown() {
    let text = SOUND
        .replace("[logs]", "[\"${INPUT}\"]")
        .replace("${LANES}", "${SECRET}");
    check(
        &text,
        &[
            "t.yaml:8:14: bolts.parse.inputs[0]: unknown input `<hidden>`; expected one of logs, index; did you mean logs?",
            "t.yaml:15:10: settings.lanes: found a string; expected a whole number from 1 to 255",
        ],
    );
    check(
        &SOUND.replace("name: access-logs", "name: ${SECRET}!"),
        &[
            "t.yaml:2:7: name: found a string; expected a name of lower-case letters, digits, - and _",
        ],
    );
}

#[test]
fn what_follows_from_a_value_that_is_missing_is_not_said() {
    check(
        &SOUND
            .replace("${LANES}", "${NOWHERE}")
            .replace("name: access-logs", "name: ${file:/x}"),
        &[
            "t.yaml:2:7: name: cannot read /x: permission denied; expected the absolute path of a readable text file of at most 64 KiB",
            "t.yaml:15:10: settings.lanes: the variable NOWHERE is not set; expected NOWHERE in the environment or in --env-file, or a default: ${NOWHERE:-...}",
        ],
    );
}

#[test]
fn files_that_are_no_topology_are_refused() {
    check(
        "",
        &["t.yaml:1:1: found nothing; expected a mapping with isobar, name, spouts and bolts"],
    );
    check(
        "- a\n",
        &["t.yaml:1:1: found a list; expected a mapping with isobar, name, spouts and bolts"],
    );
    check(
        "isobar: 1\n\tname: x\n",
        &[
            "t.yaml:1:9: not YAML: while scanning a plain scalar, found a tab; expected spaces instead of tabs",
        ],
    );
    let many: String = (0..300).map(|n| format!("{n}: x\n")).collect();
    let printed = load(&many).spec().expect_err("wrong").to_string();
    assert!(printed.ends_with("\nt.yaml: and 404 more"), "{printed}");
    let none = Outside {
        variable: &|_| None,
        file: &read_value_file,
    };
    let printed = |path: &FilePath| {
        let file = TopologyFile::load(path, &none);
        file.spec().expect_err("wrong").to_string()
    };
    let missing = printed(FilePath::new("/no/such/file.yaml"));
    assert_eq!(
        missing,
        "/no/such/file.yaml: cannot be read: No such file or directory (os error 2); expected a text file in UTF-8"
    );
    let directory =
        std::env::temp_dir().join(format!("isobar-topology-file-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for temporary files");
    let path = directory.join("t.yaml");
    std::fs::write(&path, b"a: 1\nb: \xff\n").expect("written");
    let not_text = printed(&path);
    std::fs::write(&path, "#".repeat(yaml::BYTES_MAX + 10)).expect("written");
    let large = printed(&path);
    let too_long = read_value_file(&path);
    std::fs::remove_dir_all(&directory).expect("removed");
    assert!(
        not_text.ends_with("cannot be read: line 2 is not UTF-8; expected a text file in UTF-8"),
        "{not_text}"
    );
    assert!(
        large.ends_with("the file is too large; expected at most 1024 KiB"),
        "{large}"
    );
    assert!(too_long.is_err());
}
