//! Secrets planted wherever a topology file takes one appear nowhere: not in what commands print, not in
//! logs, not at the address of a running topology.

use std::thread;
use std::time::Duration;

use testkit::process::{Launch, Process};
use testkit::{http, ports};

use crate::support::{File, built_program, missing_kafka};

/// From the environment, from a file, written into the file: each in its place once. None is part of
/// another, so that a piece of one is found as well.
const PLANTED: [&str; 12] = [
    "env-sasl-Zq81",
    "env-user-Wp52",
    "file-basic-Kx93",
    "written-key-Rt47",
    "written-url-Lm26",
    "written-option-Vb65",
    "env-stray-Hd38",
    "written-letter-Jn74",
    "file-token-of-the-api-Ty40",
    "short-token-Ow7",
    "file-header-Gs19",
    "bad-header-Fc57",
];

/// Every kind of secret, and hosts that nobody serves. `KEYS` is a directory.
const TOPOLOGY: &str = "\
isobar: 1
name: planted
connections:
  kafka:
    type: kafka
    brokers: \"127.0.0.1:9\"
    sasl: {mechanism: PLAIN, username: \"${PLANTED_USER}\", password: \"${PLANTED_SASL}\"}
  letters:
    type: kafka
    brokers: \"127.0.0.1:9\"
    sasl: {mechanism: SCRAM-SHA-512, username: letters, password: written-letter-Jn74}
  search:
    type: elasticsearch
    hosts: [\"http://127.0.0.1:9\"]
    auth: {basic: {username: isobar, password: \"${file:KEYS/basic}\"}}
  keyed:
    type: elasticsearch
    hosts: [\"http://somebody:written-url-Lm26@127.0.0.1:9\"]
  other:
    type: elasticsearch
    hosts: [\"http://127.0.0.1:9\"]
    auth: {api_key: written-key-Rt47}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs]}
  mark: {type: set_fields, inputs: [parse], fields: {token: \"${PLANTED_STRAY}\"}}
  index: {type: elasticsearch, connection: search, inputs: [mark], index: logs}
  again: {type: elasticsearch, connection: other, inputs: [mark], index: others}
dead_letter: {type: kafka, connection: letters, topic: planted.dead}
";

/// The file, with secrets that it reads beside it.
fn planted(name: &str, change: impl Fn(String) -> String) -> File {
    let file = File::new(name, "");
    let directory = file.path.parent().expect("it is in a directory");
    for (name, text) in [
        ("basic", "file-basic-Kx93\n"),
        ("token", "file-token-of-the-api-Ty40\n"),
        ("short", "short-token-Ow7\n"),
        ("headers", "Authorization: Token file-header-Gs19\n"),
        ("no-headers", "Token bad-header-Fc57\n"),
    ] {
        std::fs::write(directory.join(name), text).expect("it can be written");
    }
    let directory = directory.to_str().expect("text");
    let topology = change(TOPOLOGY.replace("KEYS", directory));
    std::fs::write(&file.path, topology).expect("it can be written");
    file
}

fn variables() -> [(&'static str, &'static str); 3] {
    [
        ("PLANTED_SASL", "env-sasl-Zq81"),
        ("PLANTED_USER", "env-user-Wp52"),
        ("PLANTED_STRAY", "env-stray-Hd38"),
    ]
}

/// What a command prints, on both outputs.
fn printed(arguments: &[&str]) -> String {
    let mut command = built_program();
    let _ = command.args(arguments).envs(variables());
    let done = command.output().expect("it starts");
    let (out, err) = (done.stdout, done.stderr);
    String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&err)
}

/// The planted secrets that a text shows, with what made it.
fn shown(what: &str, text: &str) -> Vec<String> {
    let found = PLANTED.iter().filter(|secret| text.contains(**secret));
    found
        .map(|secret| format!("{what} shows {secret}: {text}"))
        .collect()
}

#[test]
fn commands_show_no_secret() {
    // `keyed` is no use to anybody but its problem: URLs take no user.
    let sound = |text: String| {
        let (start, end) = (text.find("  keyed:"), text.find("  other:"));
        let (start, end) = start.zip(end).expect("both are there");
        text[..start].to_owned() + &text[end..]
    };
    let good = planted("secrets-good", sound);
    let path = good.path.to_str().expect("text");
    let beside = |name: &str| {
        let path = good.path.with_file_name(name);
        path.into_os_string().into_string().expect("text")
    };
    let (token, short) = (beside("token"), beside("short"));
    let (headers, no_headers) = (beside("headers"), beside("no-headers"));
    assert_eq!(printed(&["validate", path]), format!("{path}: valid\n"));
    let commands: Vec<Vec<&str>> = vec![
        vec!["validate", path],
        vec!["plan", path],
        vec!["plan", path, "-o", "json"],
        vec!["graph", path],
        vec!["doctor", path, "-o", "json"],
        vec!["lag", path, "-o", "json"],
        vec!["offsets", "show", path],
        vec!["dlq", "list", path],
        vec!["where", path, "logs/0@0"],
        vec![
            "replay", "plan", path, "--from", "earliest", "--to", "now", "--target", "missing",
        ],
        vec!["try", path],
        vec!["pause", "http://127.0.0.1:9", "--token-file", &token],
        vec!["pause", "http://127.0.0.1:9", "--token-file", &short],
        vec!["run", path, "--http", "127.0.0.1:0", "--token-file", &short],
        pushes(path, &no_headers),
        pushes(path, &headers),
        vec![
            "--log-level",
            "debug",
            "run",
            path,
            "--http",
            "off",
            "--exit-when-caught-up",
            "--give-up-after",
            "1s",
            "-o",
            "json",
        ],
        vec![
            "--log-level",
            "debug",
            "--log",
            "json",
            "run",
            path,
            "--http",
            "off",
            "--exit-when-caught-up",
            "--give-up-after",
            "1s",
        ],
    ];
    let found: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = commands
            .iter()
            .map(|arguments| scope.spawn(move || shown(&arguments.join(" "), &printed(arguments))))
            .collect();
        let found = running
            .into_iter()
            .map(|thread| thread.join().expect("it ends"));
        found.flatten().collect()
    });
    assert_eq!(found, Vec::<String>::new());
}

/// A run that ends, and that sends its metrics, with the headers of a file, to where nobody is.
fn pushes<'a>(path: &'a str, headers: &'a str) -> Vec<&'a str> {
    let mut run = vec!["--log-level", "debug", "run", path, "--http", "off"];
    run.extend(["--exit-when-caught-up", "--give-up-after", "1s"]);
    run.extend(["--push-influx", "http://127.0.0.1:9/write"]);
    run.extend(["--push-every", "1s", "--push-headers", headers]);
    run
}

#[test]
fn problems_of_a_file_show_no_secret() {
    let changes: [(&str, &str); 8] = [
        ("mechanism: PLAIN", "mechanism: PLANE"),
        (
            "password: \"${PLANTED_SASL}\"",
            "password: [\"${PLANTED_SASL}\"]",
        ),
        (
            "password: \"${PLANTED_SASL}\"",
            "passwort: \"${PLANTED_SASL}\"",
        ),
        (
            "    sasl: {mechanism: PLAIN",
            "    options: {ssl.key.password: written-option-Vb65}\n    sasl: {mechanism: PLAIN",
        ),
        (
            "api_key: written-key-Rt47",
            "api_key: {id: written-key-Rt47}",
        ),
        ("name: planted", "name: \"${PLANTED_STRAY}\""),
        ("start: earliest", "start: \"${PLANTED_STRAY}\""),
        (
            "inputs: [mark], index: logs",
            "inputs: [\"${PLANTED_STRAY}\"], index: logs",
        ),
    ];
    for (number, (from, to)) in changes.into_iter().enumerate() {
        let file = planted(&format!("secrets-bad-{number}"), |text| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        let path = file.path.to_str().expect("text");
        for command in ["validate", "plan", "run"] {
            let text = printed(&[command, path]);
            assert!(text.contains(path), "it has problems: {text}");
            assert_eq!(shown(to, &text), Vec::<String>::new());
        }
    }
}

#[test]
fn the_address_and_the_log_of_a_running_topology_show_no_secret() {
    let sound = |text: String| text.replace("somebody:written-url-Lm26@", "");
    let file = planted("secrets-run", sound);
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let log = file.path.with_extension("log");
    let beside = |name: &str| file.path.with_file_name(name);
    let mut launch = Launch::new(env!("CARGO_BIN_EXE_isobar"), &log)
        .arguments(["--log-level", "debug", "run", "--http", &address])
        .arguments(["--push-otlp", "http://127.0.0.1:9", "--push-every", "1s"])
        .arguments(["--push-headers".into(), beside("headers")])
        .arguments(["--token-file".into(), beside("token")])
        .arguments([&file.path]);
    for (name, value) in variables() {
        launch = launch.environment(name, value);
    }
    let mut process = Process::start(launch).expect("it starts");
    let limit = Duration::from_secs(30);
    let reasons = missing_kafka(&mut process, &address);
    let mut found = shown("/readyz", &reasons.text());
    for path in [
        "/",
        "/metrics",
        "/healthz",
        "/accounting",
        "/lag",
        "/history",
        "/statistics",
        "/diagnostics",
        "/whereabouts?topic=logs&partition=0&offset=0",
        "/no-such-path",
    ] {
        let answer = http::get(&address, path).expect("an answer");
        found.extend(shown(path, &answer.text()));
    }
    // With the token, and with one that is nearly it.
    for (token, status) in [
        ("file-token-of-the-api-Ty40", 200),
        ("file-token-of-the-api-Ty4", 401),
    ] {
        let token = format!("Bearer {token}");
        let headers = [("authorization", token.as_str())];
        let answer = http::request_with(&address, "POST", "/pause", &headers, limit);
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, status, "{}", answer.text());
        found.extend(shown("/pause", &answer.text()));
    }
    assert!(process.stop(limit).expect("it ends").code().is_some());
    let log = std::fs::read_to_string(&log).expect("it logged");
    found.extend(shown("the log", &log));
    assert_eq!(found, Vec::<String>::new());
}
