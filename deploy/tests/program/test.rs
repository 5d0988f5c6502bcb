//! `isobar test`, and the tests of the topologies that are shipped.

use std::path::Path;

use clap::CommandFactory;
use isobar::cli::Cli;
use isobar::exit::Exit;
use serde_json::{Value, json};
use testkit::process::OF_TOPOLOGIES;

use crate::support::{Done, File, built_program, isobar};

/// The built program: the shipped operators are what these tests are about.
fn run(name: &str, topology: &str, arguments: &[&str]) -> Done {
    run_with(name, topology, arguments, &[])
}

/// The same, with variables in its environment.
fn run_with(name: &str, topology: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    let file = File::new(name, topology);
    let path = file.path.to_str().expect("UTF-8");
    let arguments = arguments.iter().map(|argument| match *argument {
        "FILE" => path,
        argument => argument,
    });
    let ran = built_program()
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(path, "FILE");
    Done {
        exit: match ran.status.code() {
            Some(0) => Exit::Done,
            Some(1) => Exit::Failed,
            Some(2) => Exit::Usage,
            code => panic!("{code:?}: {}", text(&ran.stderr)),
        },
        output: text(&ran.stdout),
        told: String::new(),
        error: text(&ran.stderr),
    }
}

#[test]
fn every_shipped_topology_has_tests_and_passes_them() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies");
    let files = std::fs::read_dir(&directory).expect("it is there");
    let names = files.map(|file| file.expect("readable").path());
    let names: Vec<_> = names
        .filter(|file| file.to_string_lossy().ends_with(".yaml"))
        .collect();
    let topologies: Vec<_> = names
        .iter()
        .filter(|file| !file.to_string_lossy().ends_with(".tests.yaml"))
        .collect();
    assert!(topologies.len() >= 2, "the folder is empty");
    // Also in the shell of the quick start, which has its own.
    let elsewhere = OF_TOPOLOGIES.map(|name| match name {
        "KAFKA" => (name, "127.0.0.1:9"),
        "ES" => (name, "http://127.0.0.1:9"),
        name => (name, "elsewhere"),
    });
    for topology in topologies {
        let text = std::fs::read_to_string(topology).expect("text");
        for variable in text.split("${").skip(1) {
            let name = variable.split([':', '}']).next().unwrap_or_default();
            let is_kept_away = OF_TOPOLOGIES.contains(&name) || name == "file";
            assert!(is_kept_away, "{}: {name}", topology.display());
        }
        let topology = topology.to_str().expect("UTF-8");
        for variables in [&[][..], &elsewhere] {
            let ran = run_with("shipped", "", &["test", topology], variables);
            assert_eq!(
                ran.exit,
                Exit::Done,
                "{topology} {variables:?}\n{}{}",
                ran.output,
                ran.error
            );
        }
    }
}

const TOPOLOGY: &str = "\
isobar: 1
name: t
connections:
  kafka: {type: kafka, brokers: \"127.0.0.1:9\"}
  search: {type: elasticsearch, hosts: \"http://127.0.0.1:9\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  route:
    type: route
    inputs: [parse]
    routes: {errors: \"doc.level == 'error'\"}
    default: rest
  once: {type: deduplicate, inputs: [route.rest], fields: [id]}
  index: {type: elasticsearch, connection: search, inputs: [once], index: \"logs-{{ doc.team }}\", id: \"{{ doc.id }}\"}
  errors: {type: kafka, connection: kafka, inputs: [route.errors], topic: errors, key: \"{{ doc.team }}\"}
  copy: {type: file, inputs: [route.errors], path: copy.ndjson, format: payload}
dead_letter: {type: kafka, connection: kafka, topic: dead}
";

fn with(tests: &str) -> String {
    format!("{TOPOLOGY}tests:\n{tests}")
}

#[test]
fn all_that_becomes_of_records_is_compared() {
    let tests = r#"
  - name: a record goes once
    records:
      - {value: {id: 1, team: a, extra: {x: 1, y: [1, 2]}}}
      - {value: '{"id": 1, "team": "b"}'}
    expect:
      - {dropped: once.duplicate}
      - {bolt: index, stream: once, index: logs-a, id: "1", document: {extra: {y: [1, 2.0]}}, without: [extra.z]}
  - name: an error goes two ways
    record: {value: {level: error, team: a}, key: k, headers: {h: v}}
    expect:
      - {bolt: copy}
      - {bolt: errors, stream: route.errors, topic: errors, key: a, document: {level: error}}
  - name: what lacks the team has no index
    record: {value: {id: 2}}
    expect:
      - {bolt: dead_letter, rejected: {by: index, class: missing_field, reason: doc.team}}
"#;
    let ran = run("test-passes", &with(tests), &["test", "FILE", "-o", "json"]);
    assert_eq!(ran.exit, Exit::Done, "{}{}", ran.output, ran.error);
    let report = ran.json();
    assert_eq!(
        (&report["passed"], &report["failed"]),
        (&json!(3), &json!(0))
    );
    let some = run(
        "test-only",
        &with(tests),
        &["test", "FILE", "--only", "two ways"],
    );
    assert_eq!(
        some.output,
        "passed  an error goes two ways\n\n1 test: 1 passed, 0 failed\n"
    );
}

#[test]
fn what_is_not_as_expected_is_told_member_by_member() {
    let tests = r#"
  - name: all wrong
    exact: true
    record: {value: {id: 1, team: a, n: {x: 1, z: 0}}}
    expect:
      - {index: logs-b, document: {id: 1, team: a, n: {x: 2, y: 3}}}
      - {rejected: {}}
"#;
    let ran = run("test-fails", &with(tests), &["test", "FILE"]);
    assert_eq!(ran.exit, Exit::Failed);
    let (_, differences) = ran
        .output
        .split_once(", document {\"id\":1,\"team\":\"a\",\"n\":{\"x\":1,")
        .expect("what was found");
    let lines: Vec<&str> = differences.lines().skip(1).map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "- index: \"logs-b\"",
            "+ index: \"logs-a\"",
            "- document.n.x: 2",
            "+ document.n.x: 1",
            "- document.n.y: 3",
            "+ document.n.y: nothing",
            "- document.n.z: nothing",
            "+ document.n.z: 0",
            "expected  rejected",
            "found     nothing",
            "",
            "1 test: 0 passed, 1 failed",
        ],
        "{}",
        ran.output
    );
    let json = run(
        "test-fails-json",
        &with(tests),
        &["test", "FILE", "-o", "json"],
    )
    .json();
    let misfit = &json["tests"][0]["misfits"][0];
    assert_eq!(misfit["what"], "different");
    assert_eq!(
        misfit["differences"][2],
        json!({"path": "document.n.y", "before": 3})
    );
    assert_eq!(json["tests"][0]["line"], Value::from(22));
}

#[test]
fn what_differs_is_looked_for_at_the_bolt_that_is_named() {
    let tests = r#"
  - name: another id, and a copy of an error
    records:
      - {value: {id: 2}}
      - {value: {id: 7, team: a, level: warn}}
    expect:
      - {bolt: index, index: logs-b, id: "8", document: {id: 8, team: b, level: info}}
      - {bolt: dead_letter, rejected: {by: index}}
"#;
    let ran = run("test-nearest", &with(tests), &["test", "FILE"]);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(
        ran.output.contains("found     record 2: index"),
        "{}",
        ran.output
    );
    assert!(!ran.output.contains("- bolt"), "{}", ran.output);
    let tests = tests.replace("- {bolt: dead_letter, rejected: {by: index}}", "");
    let ran = run("test-nearest-alone", &with(&tests), &["test", "FILE"]);
    assert!(!ran.output.contains("- bolt"), "{}", ran.output);
    assert!(
        ran.output.contains("+ document.team: \"a\""),
        "{}",
        ran.output
    );
}

#[test]
fn a_field_that_must_not_be_there_is_looked_for_as_it_is_indexed() {
    let values = [
        r#"{"id":1,"team":"a","user":[{"password":"x"}]}"#,
        r#"{"id":1,"team":"a","user.password":"x"}"#,
        r#"{"id":1,"team":"a","user":{"password":null}}"#,
        r#"{"id":1,"team":"a","a":{"b.c":1}}"#,
        r#"{"id":1,"team":"a","a.b":[{"c":1}]}"#,
    ];
    for (number, value) in values.iter().enumerate() {
        let test = format!(
            "
  - name: nothing personal
    record: {{value: '{value}'}}
    expect: [{{bolt: index, without: [user.password, a.b.c]}}]
"
        );
        let ran = run(
            &format!("test-without-{number}"),
            &with(&test),
            &["test", "FILE"],
        );
        assert_eq!(ran.exit, Exit::Failed, "{value}: {}", ran.output);
    }
    let tests = r#"
  - name: just this name
    record: {value: '{"id":1,"team":"a","user":{"password":"x"}}'}
    expect: [{bolt: index, without: ['["user.password"]']}]
  - name: the name is there
    record: {value: '{"id":2,"team":"a","user.password":"x"}'}
    expect: [{bolt: index, without: ['["user.password"]']}]
"#;
    let ran = run("test-without-brackets", &with(tests), &["test", "FILE"]);
    assert!(
        ran.output.contains("2 tests: 1 passed, 1 failed"),
        "{}",
        ran.output
    );
    let tests = r#"
  - name: no fields
    record: {value: 1}
    expect: [{without: ["user.*", doc.a, "a..b"]}]
"#;
    let ran = run("test-without-none", &with(tests), &["test", "FILE"]);
    assert_eq!(ran.exit, Exit::Usage);
    for expected in [
        "tests[0].expect[0].without[0]: `user.*` does not stand for many fields; ",
        "tests[0].expect[0].without[1]: `doc.a` begins as in an expression; ",
        "tests[0].expect[0].without[2]: `a..b` is not a field; ",
    ] {
        assert!(ran.error.contains(expected), "{}", ran.error);
    }
}

#[test]
fn a_file_with_mistakes_is_answered_with_all_of_them() {
    let tests = r#"
  - {name: a, record: {value: 1, ofset: 3}, expect: [{bolt: indx}, {dropped: none, document: {}}]}
  - {name: b, now: yesterday, expect: []}
  - {name: c, spout: lgos, record: {value: 1}, expect: [{stream: route.error}, {}]}
"#;
    let ran = run("test-mistakes", &with(tests), &["test", "FILE"]);
    assert_eq!(ran.exit, Exit::Usage);
    let problems: Vec<&str> = ran
        .error
        .lines()
        .filter(|line| line.starts_with("FILE:"))
        .collect();
    let expected = [
        "FILE:22:34: tests[0].record.ofset: unknown option; expected one of headers, key, offset, partition, timestamp, topic, value; did you mean offset?",
        "FILE:22:61: tests[0].expect[0].bolt: there is no bolt `indx`; expected one of parse, route, ",
        "FILE:22:68: tests[0].expect[1]: a record that is written is not rejected or dropped; expected one ",
        "FILE:22:78: tests[0].expect[1].dropped: there is no policy `none`; expected one of ",
        "FILE:23:20: tests[1].now: \"yesterday\" is no time with its zone, such as 2026-01-31T12:00:00Z",
        "FILE:24:22: tests[2].spout: there is no spout `lgos`; expected one of logs; did you mean logs?",
        "FILE:24:66: tests[2].expect[0].stream: there is no stream `route.error`; expected one of parse, parse.rejected, route.rejected, route.errors, ",
        "FILE:24:80: tests[2].expect[1]: it says nothing; expected ",
    ];
    assert_eq!(problems.len(), expected.len(), "{}", ran.error);
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{}", ran.error);
    }
    let validated = run("validate-mistakes", &with(tests), &["validate", "FILE"]);
    assert_eq!(validated.error, ran.error);
    let none = run("test-none", TOPOLOGY, &["test", "FILE"]);
    assert_eq!(none.exit, Exit::Usage);
    assert!(
        none.error
            .starts_with("FILE: there is no test; write some under `tests`"),
        "{}",
        none.error
    );
}

/// Lines of a value, and elements of an array in each of them.
const SPLIT: &str = "\
isobar: 1
name: t
connections:
  kafka: {type: kafka, brokers: \"127.0.0.1:9\"}
  search: {type: elasticsearch, hosts: \"http://127.0.0.1:9\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  lines: {type: split, inputs: [logs]}
  parse: {type: parse_json, inputs: [lines]}
  events: {type: split, inputs: [parse], field: events, as: document, on_empty: drop}
  index: {type: elasticsearch, connection: search, inputs: [events], index: logs}
  copy: {type: file, inputs: [lines], path: copy.ndjson, format: payload}
dead_letter: {type: kafka, connection: kafka, topic: dead}
";

#[test]
fn every_part_of_a_split_record_is_told_and_has_an_id_of_its_own() {
    let tests = r#"
  - name: lines and their events
    record:
      timestamp: 2026-01-01T00:00:00Z
      value: "{\"events\":[{\"a\":1},{\"a\":2}]}\r\n\n{not json}\n{\"events\":[]}\n"
    expect:
      - {index: logs, document: {a: 1, _isobar: {o: 0, n: [0, 0]}}}
      - {index: logs, document: {a: 2, _isobar: {o: 0, n: [0, 1]}}, stream: lines}
      - {rejected: {by: parse, class: invalid_json}}
      - {dropped: events.empty}
      - {bolt: copy}
      - {bolt: copy}
      - {bolt: copy}
"#;
    let file = format!("{SPLIT}tests:\n{tests}");
    let ran = run("test-split", &file, &["test", "FILE"]);
    assert_eq!(ran.exit, Exit::Done, "{}{}", ran.output, ran.error);

    let tests = tests.replace("n: [0, 0]", "n: 0");
    let file = format!("{SPLIT}tests:\n{tests}");
    let ran = run("test-split-fails", &file, &["test", "FILE"]);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(
        ran.output.contains("+ document._isobar.n: [0,0]\n"),
        "{}",
        ran.output
    );
}

#[test]
fn each_element_of_a_record_that_is_an_array_is_a_document() {
    let topology = SPLIT.replace(
        "lines: {type: split, inputs: [logs]}",
        "lines: {type: split, inputs: [logs], value: json_array}",
    );
    let tests = r#"
  - name: as producers write them that send several at once
    records:
      - {value: [{events: [{a: 1}]}, {"events": [{a: 2}]}, 3]}
      - {value: {events: [{a: 3}]}}
    expect:
      - {index: logs, document: {a: 1, _isobar: {o: 0, n: [0, 0]}}}
      - {index: logs, document: {a: 2, _isobar: {o: 0, n: [1, 0]}}}
      - {index: logs, document: {a: 3, _isobar: {o: 1, n: [0, 0]}}}
      - {rejected: {by: parse, class: invalid_json}}
      - {bolt: copy}
      - {bolt: copy}
      - {bolt: copy}
      - {bolt: copy}
"#;
    let file = format!("{topology}tests:\n{tests}");
    let ran = run("test-array", &file, &["test", "FILE"]);
    assert_eq!(ran.exit, Exit::Done, "{}{}", ran.output, ran.error);
}

#[test]
fn the_tests_that_help_shows_pass() {
    let command = Cli::command();
    let test = command.find_subcommand("test").expect("there is one");
    let help = test.get_after_help().expect("it ends with examples");
    let help = help.to_string();
    let (_, from) = help.split_once("\n  tests:\n").expect("it shows tests");
    let (tests, _) = from.split_once("\n\n").expect("their end");
    let topology = "\
isobar: 1
name: logs
connections:
  kafka: {type: kafka, brokers: \"127.0.0.1:9\"}
  search: {type: elasticsearch, hosts: \"http://127.0.0.1:9\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs], event_time: timestamp}
  index: {type: elasticsearch, connection: search, inputs: [parse], index: \"logs-{{ event_time.format('%Y.%m.%d') }}\"}
dead_letter: {type: console}
";
    let file = format!("{topology}tests:\n{tests}\n");
    let ran = run("test-help", &file, &["test", "FILE"]);
    assert!(
        ran.output.ends_with("\n2 tests: 2 passed, 0 failed\n"),
        "{}{}",
        ran.output,
        ran.error
    );
}

#[test]
fn operators_that_say_nothing_of_rehearsals_are_not_run_as_sinks() {
    let topology = "\
isobar: 1
name: t
spouts: {in: {type: numbers, records: 1}}
bolts:
  odd: {type: refuse_odd, inputs: [in]}
  end: {type: away, inputs: [odd], on_rejected: drop}
dead_letter: {type: sink}
tests:
  - name: even numbers get there
    records: [{value: a}, {value: b}]
    expect: [{bolt: end}, {rejected: {by: odd, class: odd, reason: is odd}}]
";
    let ran = isobar("test-custom", topology, &["test", "FILE"]);
    assert_eq!(ran.exit, Exit::Done, "{}{}", ran.output, ran.error);
}
