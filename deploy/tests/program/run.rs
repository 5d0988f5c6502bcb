//! `run`, `validate` and `plan`: exit codes, reports, what goes wrong.

use isobar::exit::Exit;
use serde_json::{Value, json};

use crate::support::{Done, File, check_file, isobar};

const GOOD: &str = "\
isobar: 1
name: numbers
spouts:
  in: {type: numbers, records: 95, partitions: 2}
bolts:
  count: {type: count, inputs: [in], on_rejected: drop}
  sink: {type: sink, inputs: [count], on_rejected: drop}
settings: {lanes: 2}
";

const REJECTS: &str = "\
isobar: 1
name: numbers
spouts:
  in: {type: numbers, records: 20}
bolts:
  odd: {type: refuse_odd, inputs: [in]}
  sink: {type: present, inputs: [odd], on_rejected: drop}
dead_letter: {type: sink}
settings: {lanes: 1}
";

const RUN: [&str; 6] = [
    "run",
    "FILE",
    "--exit-when-caught-up",
    "--http",
    "off",
    "-o",
];

fn run(name: &str, topology: &str, more: &[&str]) -> Done {
    let arguments: Vec<&str> = RUN.iter().chain(&["json"]).chain(more).copied().collect();
    isobar(name, topology, &arguments)
}

fn terms(json: &Value) -> Value {
    let names = [
        "read",
        "delivered",
        "already_present",
        "dropped",
        "dead_lettered",
        "handed_back",
        "in_flight",
        "difference",
    ];
    names.iter().map(|name| json[name].clone()).collect()
}

#[test]
fn options_of_the_http_api_are_refused_without_one_and_a_bad_token_file_is_named() {
    for (more, expected) in [
        (["--token-file", "/t"], "--token-file is for the HTTP API"),
        (["--peers", "http://a:1"], "--peers is for the HTTP API"),
    ] {
        let refused = run("no-api", GOOD, &more);
        assert_eq!(refused.exit, Exit::Usage);
        assert!(refused.error.starts_with(expected), "{}", refused.error);
    }
    let refused = isobar("no-token", GOOD, &["run", "FILE", "--token-file", "/no/t"]);
    assert_eq!(refused.exit, Exit::Usage);
    let expected = "--token-file /no/t: cannot be read";
    assert!(refused.error.starts_with(expected), "{}", refused.error);
}

#[test]
fn a_run_that_catches_up_reports_every_term_and_ends_with_0() {
    let done = run("caught-up", GOOD, &[]);
    assert_eq!((done.exit, done.error.as_str()), (Exit::Done, ""));
    let report = done.json();
    assert_eq!(report["end"], "drained");
    assert_eq!(
        (&report["version"], &report["exit_code"]),
        (&json!(1), &json!(0))
    );
    let accounting = &report["accounting"];
    assert_eq!(
        terms(&accounting["total"]),
        json!([190, 190, 0, 0, 0, 0, 0, 0])
    );
    let spout = &accounting["spouts"][0];
    assert_eq!(
        (&spout["spout"], &spout["read"]),
        (&json!("in"), &json!(190))
    );
    let partition = &spout["partitions"][1];
    assert_eq!(terms(partition), json!([95, 95, 0, 0, 0, 0, 0, 0]));
    assert_eq!(
        [
            &partition["topic"],
            &partition["partition"],
            &partition["frontier"],
            &partition["next"]
        ],
        [&json!("numbers"), &json!(1), &json!(95), &json!(95)]
    );
    let count = &report["statistics"]["bolts"][0];
    assert_eq!([&count["records"], &count["counters"]["seen"]], [190, 190]);
}

#[test]
fn the_report_for_people_has_every_term() {
    let done = isobar("people", REJECTS, &RUN[..5]);
    let first = done.told.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("numbers: caught up after ")
            && first.ends_with(": everything that was read is settled"),
        "{first}"
    );
    let rest: Vec<&str> = done.told.lines().skip(1).take(3).collect();
    assert_eq!(
        rest,
        [
            "",
            "SPOUT  READ  DELIVERED  ALREADY PRESENT  DROPPED  DEAD-LETTERED  HANDED BACK  IN FLIGHT  DIFFERENCE",
            "in       20          0               10        0             10            0          0           0",
        ]
    );
    assert!(!done.told.contains("COUNTER"), "{}", done.told);
    let counts = isobar("people-counts", GOOD, &RUN[..5]);
    let table = "\nOPERATOR  COUNTER  VALUE\ncount     seen       190\n";
    assert!(counts.told.contains(table), "{}", counts.told);
}

#[test]
fn rejected_records_end_a_run_with_3_only_where_that_was_asked_for() {
    let done = run("rejects", REJECTS, &[]);
    assert_eq!(
        (done.exit, &done.json()["rejected"]),
        (Exit::Done, &json!(10))
    );
    let done = run("rejects-fail", REJECTS, &["--fail-on-reject"]);
    assert_eq!(done.exit, Exit::Threshold);
    let report = done.json();
    assert_eq!(report["exit_code"], 3);
    assert_eq!(
        report["why"],
        json!(["10 records were rejected (--fail-on-reject)"])
    );
    let dropped = REJECTS
        .replace("inputs: [in]", "inputs: [in], on_rejected: drop")
        .replace("dead_letter: {type: sink}\n", "");
    let done = run("rejects-dropped", &dropped, &["--fail-on-reject"]);
    assert_eq!(done.exit, Exit::Threshold);
    let total = &done.json()["accounting"]["total"];
    assert_eq!(total["dropped_by_policy"], json!({"odd.rejected": 10}));
    assert_eq!(terms(total), json!([20, 0, 10, 10, 0, 0, 0, 0]));
    // Half of them are dropped on their way to where they would be dead letters.
    let few = REJECTS.replace(
        "dead_letter: {type: sink}\n",
        "  some: {type: some, inputs: [odd.rejected], on_rejected: drop}\n  \
         letters: {type: sink, inputs: [some], on_rejected: drop}\n",
    );
    let done = run("rejects-few", &few, &["--fail-on-reject"]);
    assert_eq!(done.exit, Exit::Threshold, "{}", done.error);
    let report = done.json();
    let total = &report["accounting"]["total"];
    assert_eq!(terms(total), json!([20, 0, 10, 5, 5, 0, 0, 0]));
    assert_eq!(report["rejected"], 10);
}

#[test]
fn an_outage_is_given_up_after_the_deadline_with_its_cause() {
    let topology = GOOD.replace("type: sink", "type: away");
    let done = run("away", &topology, &["--give-up-after", "300ms"]);
    assert_eq!(done.exit, Exit::Undetermined);
    let report = done.json();
    assert_eq!(report["end"], "gave_up");
    let why = report["why"][0].as_str().unwrap_or_default();
    assert_eq!(
        why,
        "gave up: nothing was read or settled for 300ms (--give-up-after): sink: opening: cannot reach http://127.0.0.1:9: connection refused"
    );
    let total = &report["accounting"]["total"];
    assert_eq!(
        (&total["difference"], &total["in_flight"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(total["handed_back"], total["read"]);
}

#[test]
fn everything_wrong_with_a_file_comes_at_once_and_nothing_is_started() {
    let topology = GOOD
        .replace("records: 95", "recrods: 95, password: \"${SECRET}\"")
        .replace("inputs: [count]", "inputs: [cuont]");
    for command in ["run", "validate", "plan"] {
        let done = isobar("wrong", &topology, &[command, "FILE"]);
        assert_eq!((done.exit, done.output.as_str()), (Exit::Usage, ""));
        let problems: Vec<&str> = done
            .error
            .lines()
            .filter(|line| line.starts_with("FILE:"))
            .collect();
        assert_eq!(
            problems,
            [
                "FILE:4:23: spouts.in.recrods: unknown option; expected one of partitions, password, records, waits; did you mean records?",
                "FILE:7:31: bolts.sink.inputs[0]: unknown input `cuont`; expected one of in, count; did you mean count?",
            ]
        );
        assert!(!done.error.contains("hunter2"));
    }
}

#[test]
fn a_sound_file_is_called_valid() {
    let done = isobar("valid", GOOD, &["validate", "FILE"]);
    assert_eq!(
        (done.exit, done.output.as_str()),
        (Exit::Done, "FILE: valid\n")
    );
    let sound = isobar("valid-json", GOOD, &["validate", "FILE", "-o", "json"]);
    assert_eq!(sound.exit, Exit::Done);
    let nothing = json!({"version": 1, "valid": true, "problems": [], "notes": []});
    assert_eq!(sound.json(), nothing);
}

#[test]
fn several_files_are_checked_at_once_and_programs_read_what_is_wrong() {
    let wrong = File::new("second", &GOOD.replace("records: 95", "recrods: 95"));
    let wrong = wrong.path.to_str().expect("UTF-8");
    let files = ["validate", wrong, "FILE", "/no/such.yaml"];
    let done = isobar("several", GOOD, &files);
    assert_eq!(
        (done.exit, done.output.as_str()),
        (Exit::Usage, "FILE: valid\n")
    );
    let first = format!("{wrong}:4:23: spouts.in.recrods: unknown option");
    assert!(done.told.starts_with(&first), "{}", done.told);
    let last = "/no/such.yaml: cannot be read: ";
    assert!(done.error.starts_with(last), "{}", done.error);

    let done = isobar(
        "several-json",
        GOOD,
        &[&files[..], &["-o", "json"]].concat(),
    );
    assert_eq!((done.exit, done.error.as_str()), (Exit::Usage, ""));
    let report = done.json();
    let problems = report["problems"].as_array().expect("a list");
    assert_eq!((&report["valid"], problems.len()), (&json!(false), 2));
    assert_eq!(
        problems[0],
        json!({
            "file": wrong, "line": 4, "column": 23, "path": "spouts.in.recrods",
            "message": "unknown option",
            "expected": "one of partitions, password, records, waits", "nearest": "records",
        })
    );
    assert_eq!(problems[1]["file"], "/no/such.yaml");
    assert_eq!(problems[1]["line"], serde_json::Value::Null);
}

#[test]
fn a_plan_shows_nodes_edges_bounds_and_memory() {
    let done = isobar("plan", REJECTS, &["plan", "FILE"]);
    assert_eq!(done.exit, Exit::Done);
    check_file("tests/program/plan.txt", &done.output);
    let limit = "{lanes: 1, reject_limit: {ratio: 5%, over: 1m}}";
    let limited = REJECTS.replace("{lanes: 1}", limit);
    let done = isobar("plan-limit", &limited, &["plan", "FILE"]);
    let line = done
        .output
        .lines()
        .find(|line| line.starts_with("dead letters"));
    let line = line.unwrap_or_else(|| panic!("{}", done.output));
    assert!(
        line.contains(" 5%  of the records read within 1m, and 100"),
        "{line}"
    );
    let plan = isobar("plan-json", REJECTS, &["plan", "FILE", "-o", "json"]).json();
    assert_eq!((&plan["version"], &plan["lanes"]), (&json!(1), &json!(1)));
    assert_eq!(
        plan["nodes"][0],
        json!({"id": "in", "type": "numbers", "facts": {"records": "20"}})
    );
    assert_eq!(
        plan["edges"][0],
        json!({"from": "in", "to": "odd", "grouping": "local", "fused": false, "ordered": true})
    );
    assert_eq!(plan["bounds"]["spouts"][0]["max_in_flight_records"], 1_000);
    let memory = &plan["memory"];
    let parts = ["clients", "in_flight", "bolts", "fixed"].map(|part| memory[part].as_u64());
    let sum: u64 = parts.into_iter().flatten().sum();
    assert_eq!(memory["total"].as_u64(), Some(sum));
}

#[test]
fn an_address_in_use_is_said_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let done = isobar("in-use", GOOD, &["run", "FILE", "--http", &address]);
    assert_eq!((done.exit, done.output.as_str()), (Exit::Failed, ""));
    let expected = format!(
        "cannot listen on {address}: Address already in use (os error 98); choose another address with --http HOST:PORT, or --http off"
    );
    assert_eq!(done.error, expected);
}
