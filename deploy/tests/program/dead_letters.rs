//! `isobar dlq` over a topology whose dead letters are in files, one of which is not that of `dead_letter`.

use isobar::environment::Environment;
use isobar::exit::Exit;
use serde_json::{Value, json};
use testkit::scratch::Scratch;

use super::commands::{self, Done};

const TOPOLOGY: &str = "
isobar: 1
name: access
connections: {kafka: {type: kafka, brokers: \"localhost:1\"}}
spouts:
  in: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [in]}
  bad: {type: file, path: bad.ndjson, inputs: [parse.rejected]}
  copy: {type: file, path: copy.ndjson, inputs: [parse]}
  both: {type: kafka, connection: kafka, topic: both, inputs: [parse, parse.rejected]}
dead_letter: {type: file, path: dead.ndjson}
";

fn letter(bolt: &str, offset: i64, second: u32) -> Value {
    json!({
        "dead_letter": 1, "topology": "access", "bolt": bolt, "attempts": 1, "class": "invalid_json",
        "reason": "no JSON", "source": "0000000000000007", "topic": "logs", "partition": 1, "offset": offset,
        "timestamp": null, "rejected_at": format!("2026-01-31T00:00:0{second}Z"), "key": "k",
        "payload_base64": "//4=", "headers": [],
    })
}

#[test]
fn letters_are_read_from_every_file_that_bolts_write_them_to() {
    let scratch = Scratch::new("dead-letters").expect("a directory");
    let file = scratch.file("t.yaml", TOPOLOGY).expect("written");
    // A document beside them, and a line that a crash has cut.
    let lines = format!(
        "{}\n{{\"a\":1}}\n{}\n{{\"dead_",
        letter("parse", 3, 1),
        letter("parse", 4, 2)
    );
    let _ = scratch.file("bad.ndjson", &lines).expect("written");
    // Of a replay, beside that of the live topology, which is not there yet.
    let more = letter("both", 5, 3).to_string();
    let more = scratch.file("dead.replay.19a.ndjson", &more);
    let more = format!("{}:1", more.expect("written").display());

    let dlq = |arguments: &[&str]| -> Done {
        let file = file.to_str().expect("UTF-8");
        let command = ["dlq", arguments[0], file];
        let command = command.iter().chain(&arguments[1..]).copied();
        let registry = isobar_operators::registry();
        commands::run(&registry, Environment::new(|_| None), command)
    };
    let stats = dlq(&["stats", "-o", "json"]);
    assert_eq!(stats.exit, Exit::Done, "{}", stats.error);
    let json: Value = serde_json::from_str(&stats.output).expect("JSON");
    assert_eq!(
        (&json["letters"], &json["strangers"]),
        (&json!(3), &json!(0))
    );
    let away = format!(
        "{} is not on this host; each host on which the topology runs has its own",
        scratch.path().join("dead.ndjson").display()
    );
    let unread = "those of both are among other records in both";
    assert_eq!(json["unread"], json!([away, unread]));
    let path = |name: &str| scratch.path().join(name).display().to_string();
    // Of the one that is away, there is that of a replay.
    let read = json!([path("dead.ndjson"), path("bad.ndjson")]);
    assert_eq!((&json["read"], &json["failed"]), (&read, &json!([])));
    // On another host there may be some.
    let none = dlq(&["stats", "--bolt", "none", "-o", "json"]);
    assert_eq!(none.exit, Exit::Done, "{}", none.error);
    let none: Value = serde_json::from_str(&none.output).expect("JSON");
    assert_eq!(
        (&none["letters"], &none["resolved"]),
        (&json!(null), &json!(null))
    );
    for why in [unread, &away] {
        assert!(stats.told.contains(why), "{}", stats.told);
    }

    let list = dlq(&["list", "-o", "json"]);
    let json: Value = serde_json::from_str(&list.output).expect("JSON");
    let bad = |line: u32| format!("{}:{line}", scratch.path().join("bad.ndjson").display());
    let places: Vec<&Value> = (json["letters"].as_array().expect("a list").iter())
        .map(|letter| &letter["letter"])
        .collect();
    assert_eq!(places, [&json!(bad(1)), &json!(bad(3)), &json!(more)]);

    let show = dlq(&["show", "--letter", &bad(3), "-o", "json"]);
    let json: Value = serde_json::from_str(&show.output).expect("JSON");
    assert_eq!(
        (&json["record"], &json["payload"], &json["letter"]),
        (
            &json!("logs/1@4"),
            &json!("\u{fffd}\u{fffd}"),
            &json!(bad(3))
        )
    );
    let none = dlq(&["show", "--letter", "0:1"]);
    assert_eq!(none.exit, Exit::Usage);
    assert!(
        none.error.starts_with("there is no letter 0:1 in "),
        "{}",
        none.error
    );
}

#[test]
fn where_no_letter_can_be_read_back_it_is_said_why() {
    let scratch = Scratch::new("dead-letters-none").expect("a directory");
    let topology = TOPOLOGY
        .replace(
            "  bad: {type: file, path: bad.ndjson,",
            "  bad: {type: console,",
        )
        .replace("{type: file, path: dead.ndjson}", "{type: console}");
    let file = scratch.file("t.yaml", &topology).expect("written");
    let registry = isobar_operators::registry();
    let command = ["dlq", "stats", file.to_str().expect("UTF-8")];
    let done = commands::run(&registry, Environment::new(|_| None), command);
    assert_eq!(done.exit, Exit::Usage);
    for why in [
        "its dead letters cannot be read back: those of dead_letter go where they cannot be read back from",
        "those of bad go where",
        "those of both are among other records in both",
    ] {
        assert!(done.error.contains(why), "no {why} in {}", done.error);
    }
}
