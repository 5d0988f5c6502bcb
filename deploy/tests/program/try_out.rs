//! `isobar try` over standard input: what is told of records, and that nothing is written.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{File, built_program};

const TOPOLOGY: &str = "\
isobar: 1
name: t
connections:
  kafka: {type: kafka, brokers: \"127.0.0.1:9\"}
  search: {type: elasticsearch, hosts: \"http://127.0.0.1:9\"}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs], event_time: time}
  mark: {type: set_fields, inputs: [parse], fields: {bad: \"{{ doc.status >= 500 }}\"}}
  short: {type: remove_fields, inputs: [mark], fields: [secret]}
  index: {type: elasticsearch, connection: search, inputs: [short], index: \"logs-{{ doc.team }}\", id: \"{{ doc.id }}\"}
dead_letter: {type: file, path: dead.ndjson}
";

const LINES: &str = "\
{\"id\":7,\"team\":\"a\",\"status\":503,\"time\":\"2026-01-31T06:00:00Z\",\"secret\":\"x\"}
{\"id\":8,\"status\":200,\"time\":\"2026-01-31T06:00:00Z\"}
{
";

fn tried(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    tried_on(TOPOLOGY, LINES, name, arguments)
}

fn tried_on(
    topology: &str,
    lines: &str,
    name: &str,
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let file = File::new(name, topology);
    let mut program = built_program()
        .arg("try")
        .arg(&file.path)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = program.stdin.take().expect("piped");
    // A command line that is refused reads nothing.
    let _ = input.write_all(lines.as_bytes());
    drop(input);
    let ended = program.wait_with_output().expect("it ends");
    let letters = file.path.with_file_name("dead.ndjson");
    assert!(!letters.exists(), "no sink is opened");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        ended.status.code(),
        text(&ended.stdout),
        text(&ended.stderr),
    )
}

#[test]
fn each_change_and_each_end_is_told() {
    let (code, text, error) = tried("try-diff", &["--stdin"]);
    assert_eq!(code, Some(0), "{error}");
    let expected = "\
logs/0@0
  {\"id\":7,\"team\":\"a\",\"status\":503,\"time\":\"2026-01-31T06:00:00Z\",\"secret\":\"x\"}
  parse
      + id: 7
      + team: \"a\"
      + status: 503
      + time: \"2026-01-31T06:00:00Z\"
      + secret: \"x\"
      event time 2026-01-31T06:00:00Z
  mark
      + bad: true
  short
      - secret: \"x\"
  → index: index logs-a
      id        7
      document  {\"id\":7,\"team\":\"a\",\"status\":503,\"time\":\"2026-01-31T06:00:00Z\",\"bad\":true,\"_isobar\":";
    assert!(text.starts_with(expected), "{text}");
    for part in [
        "  index.rejected\n      ! missing_field: index: {{ doc.team }}: doc.team is missing\n",
        "  → dead_letter: a dead letter, rejected by parse (invalid_json)\n",
        "\n3 records: 1 rejected by index (missing_field), 1 rejected by parse (invalid_json), 1 to index logs-a\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn the_parts_of_a_split_record_are_told_apart() {
    let split = "split: {type: split, inputs: [parse], field: items, as: document}\n  mark:";
    let topology = TOPOLOGY.replace("mark:", split).replace(
        "mark: {type: set_fields, inputs: [parse]",
        "mark: {type: set_fields, inputs: [split]",
    );
    let line = "{\"time\":\"2026-01-31T06:00:00Z\",\"items\":[{\"status\":1,\"team\":\"a\",\"id\":7},{\"status\":2},3]}\n";
    let (code, text, error) = tried_on(&topology, line, "try-split", &["--stdin"]);
    assert_eq!(code, Some(0), "{error}");
    for part in [
        "  part 0: split\n      - time: ",
        "  part 0: mark\n      + bad: false\n",
        "  part 1: index.rejected\n      ! missing_field: ",
        "  part 2: split.rejected\n      ! not_an_object: ",
        "  → part 0: index: index logs-a\n      id        7\n",
        "  → part 2: dead_letter: a dead letter, rejected by split (not_an_object)\n",
        "\n1 record with 3 ends, as each part and branch of a record has its own: 1 rejected by index (missing_field), 1 rejected by split (not_an_object), 1 to index logs-a\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let arguments = ["--stdin", "-o", "json"];
    let (_, text, _) = tried_on(&topology, line, "try-split-json", &arguments);
    let told: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(told["steps"][0].get("part"), None);
    let steps = told["steps"].as_array().expect("a list").iter();
    let parts: Vec<&Value> = steps.filter_map(|step| step.get("part")).collect();
    assert!(parts.contains(&&json!(2)), "{text}");
}

#[test]
fn tables_and_json_have_a_line_for_each() {
    let (code, text, _) = tried("try-table", &["--stdin", "-o", "table", "--fail-on-reject"]);
    assert_eq!(code, Some(3));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0].ends_with("index logs-a                          7"),
        "{text}"
    );
    assert!(
        lines[2].contains("rejected by parse") && lines[2].contains("invalid_json: "),
        "{text}"
    );
    let (code, text, _) = tried("try-json", &["--stdin", "-o", "json"]);
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        (&lines[2]["offset"], &lines[2]["value"]),
        (&json!(2), &json!("{"))
    );
    let end = &lines[0]["ends"][0];
    assert_eq!(
        (&end["outcome"], &end["id"], &end["after"]),
        (&json!("written"), &json!("7"), &json!(2))
    );
    assert_eq!(lines[0]["steps"][1]["document"]["bad"], true);
    assert_eq!(lines[1]["ends"][0]["by"], "index");
}

#[test]
fn brokers_that_do_not_answer_are_named() {
    let (code, _, error) = tried("try-away", &["--timeout", "300ms"]);
    assert_eq!(code, Some(4));
    assert!(error.contains("127.0.0.1:9"), "{error}");
    let (code, _, error) = tried("try-wrong", &["--stdin", "--from", "2h"]);
    assert_eq!(code, Some(2), "{error}");
    let backwards = ["--from", "5", "--to", "2"];
    let (code, _, error) = tried("try-backwards", &backwards);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("ends before it starts"), "{error}");
    let (code, output, _) = tried_on(TOPOLOGY, "", "try-nothing", &["--stdin"]);
    assert_eq!((code, output.as_str()), (Some(0), "nothing came in\n"));
    let (_, _, error) = tried("try-place", &["--from", "soon"]);
    assert!(error.contains("no place in a log"), "{error}");
}
