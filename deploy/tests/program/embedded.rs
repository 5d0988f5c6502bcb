//! The built program with embedded services, as somebody uses it who has installed nothing.

mod examples;
mod lanes;
mod spouts;
mod topic;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::process::{Launch, Process};
use testkit::scratch::Scratch;
use testkit::{http, ports, wait};

use crate::support::built_program;

/// Far longer than any of it takes, also beside others on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// The program under way, with what it has logged as JSON.
struct Program {
    process: Process,
    address: String,
    _scratch: Scratch,
}

impl Program {
    /// Starts it with its HTTP API at a free port.
    fn start(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new(name).expect("a directory");
        let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
        let log = scratch.path().join("log");
        let launch = Launch::new(env!("CARGO_BIN_EXE_isobar"), &log)
            .arguments(["--log", "json", "--log-level", "info"])
            .arguments(arguments)
            .arguments(["--http", &address]);
        let launch = environment.iter().fold(launch, |launch, (name, value)| {
            launch.environment(name, value)
        });
        let mut process = Process::start(launch).expect("it starts");
        wait::until("its first answer", LIMIT, || {
            process.check_running()?;
            http::get(&address, "/healthz").map(drop)
        })
        .expect("it listens");
        Self {
            process,
            address,
            _scratch: scratch,
        }
    }

    fn printed(&self) -> String {
        std::fs::read_to_string(self.process.log()).expect("it printed something")
    }

    /// A field of the log line with this message.
    fn logged(&self, message: &str, field: &str) -> String {
        let printed = self.printed();
        let mut lines = printed
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = lines
            .find(|line| line["message"] == message)
            .unwrap_or_else(|| panic!("{message}:\n{printed}"));
        found[field].as_str().expect("a text").to_owned()
    }

    fn get(&self, path: &str) -> Result<Value> {
        http::get(&self.address, path)?.json()
    }

    fn total(&self) -> Result<Value> {
        Ok(self.get("/accounting")?["total"].clone())
    }
}

/// The file of the quick start of the README, which a test runs against a real Kafka and a real
/// Elasticsearch by the same variables.
#[test]
fn a_shipped_topology_runs_embedded_with_only_its_environment_changed() {
    let letters = Scratch::new("embedded-letters").expect("a directory");
    let token = letters.file("token", "0123456789abcdef").expect("written");
    let letters = letters.path().join("dead-letters.ndjson");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies/logs-to-elasticsearch.yaml");
    let mut program = Program::start(
        "embedded-run",
        &[
            "run",
            file.to_str().expect("text"),
            "--token-file",
            token.to_str().expect("text"),
        ],
        &[
            ("KAFKA", "embedded"),
            ("ES", "embedded"),
            ("TOPIC", "quick"),
            ("DEAD_LETTERS", letters.to_str().expect("text")),
        ],
    );
    let brokers = program.logged("Embedded Kafka is up", "brokers");
    let limits = program.logged("Embedded Kafka is up", "limits");
    assert!(
        limits.contains("keeps the last 5 MiB of each partition"),
        "{limits}"
    );
    let mut generate = built_program();
    let generate = generate
        .args([
            "generate",
            "--count",
            "5000",
            "--garbage",
            "1",
            "--topic",
            "quick",
        ])
        .args(["--brokers", &brokers]);
    let made = generate.output().expect("it starts");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );

    let total = wait::until("everything to be settled", LIMIT, || {
        let total = program.total()?;
        ensure!(total["read"] == 5_000 && total["in_flight"] == 0, "{total}");
        Ok(total)
    })
    .expect("it settles");
    assert_eq!(total["difference"], 0, "{total}");
    let number = |value: &Value| value.as_u64().expect("a number");
    let (delivered, dead) = (number(&total["delivered"]), number(&total["dead_lettered"]));
    assert!((20..100).contains(&dead), "{total}");
    assert_eq!(delivered + dead, 5_000, "{total}");
    let lines = std::fs::read_to_string(&letters).expect("letters were written");
    assert_eq!(lines.lines().count() as u64, dead);

    let index = program.logged(
        "The embedded index is up; it holds the latest documents in memory",
        "url",
    );
    let index = index.trim_start_matches("http://");
    let ask = |path: &str| http::get(index, path)?.json();
    let count = ask("/logs-*/_count").expect("it answers");
    assert_eq!(number(&count["count"]), delivered);
    let found = ask("/logs-*/_search?q=_isobar.t:quick%20level:error&default_operator=AND&size=1");
    let hit = &found.expect("it answers")["hits"]["hits"][0]["_source"];
    assert_eq!(
        (&hit["level"], &hit["is_error"]),
        (&"error".into(), &true.into())
    );
    assert_eq!(hit["environment"], "production");

    // A command of its own answers for replays: it has no such cluster, and says so.
    let replays = |method: &str, path: &str, body: &Value| {
        let headers = [("authorization", "Bearer 0123456789abcdef")];
        let answer = http::send(&program.address, method, path, &headers, body, LIMIT);
        let answer = answer.expect("an answer");
        (answer.status, answer.text())
    };
    let (status, text) = replays("GET", "/replays", &Value::Null);
    let expected = "embedded is inside the process that runs the topology";
    assert_eq!((status, text.contains(expected)), (400, true), "{text}");
    let plan = serde_json::json!({"from": "earliest", "to": "now", "target": "missing"});
    let (status, text) = replays("POST", "/replays/plans", &plan);
    let expected = "start the topology with --replay-dir DIR";
    assert_eq!((status, text.contains(expected)), (403, true), "{text}");
    let facts = program.get("/diagnostics").expect("it answers");
    let missing = facts["replays"]["missing"].as_str().expect("a sentence");
    assert!(missing.contains("is embedded"), "{missing}");

    let end = program.process.stop(LIMIT).expect("it ends");
    assert_eq!(end.code(), Some(0), "{}", program.printed());
}

#[test]
fn what_embedded_services_cannot_do_is_said_before_anything_starts() {
    let scratch = Scratch::new("embedded-limits").expect("a directory");
    let text = "\
isobar: 1
name: t
connections:
  kafka: {type: kafka, brokers: embedded}
spouts:
  logs: {type: kafka, connection: kafka, topics: [t], start: START}
bolts:
  out: {type: blackhole, inputs: [logs], on_rejected: drop}
";
    let told = |command: &[&str], start: &str| {
        let text = text.replace("START", start);
        let file = scratch.file("t.yaml", &text).expect("it can be written");
        let mut isobar = built_program();
        let done = isobar.args(command).arg(file).output().expect("it starts");
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        (
            done.status.code(),
            told + &String::from_utf8_lossy(&done.stdout),
        )
    };
    let (code, said) = told(&["validate"], "2026-01-31T00:00:00Z");
    assert_eq!(code, Some(2));
    assert!(
        said.contains("spouts.logs.start: embedded Kafka finds no record by its time; expected earliest or latest"),
        "{said}"
    );
    let (code, said) = told(&["plan"], "earliest");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("knows no transactions"), "{said}");
    // Another process has no such cluster.
    for (command, expected) in [
        (&["lag"][..], 4),
        (&["offsets", "show"], 2),
        (&["generate", "--for"], 2),
        (&["replay", "list"], 2),
    ] {
        let (code, said) = told(command, "earliest");
        assert_eq!(code, Some(expected), "{command:?}: {said}");
        assert!(
            said.contains("embedded is inside the process that runs the topology"),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn records_that_embedded_kafka_forgot_before_they_were_read_count_as_lost() {
    let scratch = Scratch::new("embedded-lost").expect("a directory");
    let text = "\
isobar: 1
name: t
connections:
  kafka: {type: kafka, brokers: embedded}
spouts:
  logs: {type: kafka, connection: kafka, topics: [t], start: earliest, queue_size: 1MiB}
bolts:
  out: {type: blackhole, inputs: [logs], on_rejected: drop}
";
    let file = scratch.file("t.yaml", text).expect("written");
    let token = scratch.file("token", "0123456789abcdef").expect("written");
    let [file, token] = [&file, &token].map(|path| path.to_str().expect("text"));
    let arguments = ["run", file, "--token-file", token];
    let mut program = Program::start("embedded-lost-run", &arguments, &[]);
    let brokers = program.logged("Embedded Kafka is up", "brokers");
    let feed = |count: &str| {
        let mut generate = built_program();
        let generate = generate.args(["generate", "--count", count, "--topic", "t"]);
        let made = generate.args(["--brokers", &brokers]).output();
        let made = made.expect("it starts");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    };
    let bearer = [
        ("authorization", "Bearer 0123456789abcdef"),
        ("content-length", "0"),
    ];
    let post = |path: &str| {
        let answer = http::request_with(&program.address, "POST", path, &bearer, LIMIT);
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let settled = |enough: &dyn Fn(u64, u64) -> bool| {
        wait::until("everything to be settled", LIMIT, || {
            let total = program.total()?;
            let [read, lost, open] =
                ["read", "lost", "in_flight"].map(|name| total[name].as_u64().unwrap_or_default());
            ensure!(enough(read, lost) && open == 0, "{total}");
            Ok(total)
        })
        .expect("it settles")
    };
    feed("1000");
    let total = settled(&|read, _| read == 1_000);
    assert_eq!(total["lost"], 0, "{total}");

    post("/pause");
    // Far more than 5 MiB for each of the 4 partitions.
    const MORE: u64 = 200_000;
    feed(&MORE.to_string());
    post("/resume");
    let total = settled(&|read, lost| read + lost == 1_000 + MORE);
    let lost = total["lost"].as_u64().expect("a number");
    assert!((MORE / 10..MORE).contains(&lost), "{total}");
    assert_eq!(total["difference"], 0, "{total}");
    let told = wait::until("the loss to be told", LIMIT, || {
        let lag = program.get("/lag")?;
        ensure!(lag["status"] == "LOST", "{lag}");
        Ok(())
    });
    told.expect("it is told");

    let end = program.process.stop(LIMIT).expect("it ends");
    assert_eq!(end.code(), Some(0), "{}", program.printed());
}

#[test]
fn an_index_too_many_for_the_embedded_one_is_held_with_its_bound_and_what_to_do() {
    let scratch = Scratch::new("embedded-indices").expect("a directory");
    let text = "\
isobar: 1
name: t
connections:
  kafka: {type: kafka, brokers: embedded}
  search: {type: elasticsearch, hosts: [embedded]}
spouts:
  logs: {type: kafka, connection: kafka, topics: [t], start: earliest}
bolts:
  parse: {type: parse_json, inputs: [logs], on_rejected: drop}
  index:
    type: elasticsearch
    connection: search
    inputs: [parse]
    index: \"t-{{ kafka.partition }}-{{ kafka.offset }}\"
    on_rejected: drop
";
    let file = scratch.file("t.yaml", text).expect("written");
    let arguments = ["run", file.to_str().expect("text")];
    let program = Program::start("embedded-indices-run", &arguments, &[]);
    let brokers = program.logged("Embedded Kafka is up", "brokers");
    let mut generate = built_program();
    let generate = generate.args(["generate", "--count", "1100", "--topic", "t"]);
    let made = generate.args(["--brokers", &brokers]).output();
    let made = made.expect("it starts");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let total = wait::until("as many indices as there may be", LIMIT, || {
        let total = program.total()?;
        ensure!(
            total["read"] == 1_100 && total["delivered"] == 1_000,
            "{total}"
        );
        Ok(total)
    });
    let total = total.expect("they are made");
    assert_eq!([&total["in_flight"], &total["difference"]], [100, 0]);
    let said = wait::until("what is held", LIMIT, || {
        let answer = http::get(&program.address, "/readyz")?;
        ensure!(answer.status == 503, "{}", answer.text());
        Ok(answer.text())
    });
    let said = said.expect("it is said");
    let expected = "takes no documents: 400 embedded_index_limit_exception: the embedded index holds 1000 indices \
                    at most, and this would be one more (let `index` of the bolt name fewer, or `hosts` of the \
                    connection a real Elasticsearch)";
    assert!(said.contains(expected), "{said}");
    assert!(
        said.contains("their records wait, nothing is lost"),
        "{said}"
    );
}

/// A demonstration and the token in the address that it printed.
struct Shown {
    program: Program,
    token: String,
}

impl Shown {
    fn start() -> Self {
        let program = Program::start("demo", &["demo", "--rate", "400"], &[]);
        let printed = wait::until("the address", LIMIT, || {
            let printed = program.printed();
            ensure!(printed.contains("#token="), "{printed}");
            Ok(printed)
        });
        let printed = printed.expect("it is printed");
        let (before, after) = printed.split_once("/#token=").expect("it is there");
        let address = before.rsplit("http://").next().expect("an address");
        assert_eq!(address, program.address);
        let token = after.lines().next().expect("a token").to_owned();
        Self { program, token }
    }

    fn ask(&self, method: &str, path: &str) -> Result<Value> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", &*bearer), ("content-length", "0")];
        http::request_with(&self.program.address, method, path, &headers, LIMIT)?.json()
    }

    fn act(&self, action: &str) -> Value {
        let path = format!("/demo/actions/{action}");
        self.ask("POST", &path).expect("it is done")
    }

    fn sum(&self) -> Result<Value> {
        Ok(self.program.get("/demo")?["sum"].clone())
    }

    fn stored(&self) -> Result<u64> {
        self.sum()?["stored"].as_u64().context("a number")
    }

    /// Waits until more documents are stored than now.
    fn stores_again(&self) {
        let before = self.stored().expect("it answers");
        wait::until("more documents", LIMIT, || {
            ensure!(self.stored()? > before + 100, "none came");
            Ok(())
        })
        .expect("they come");
    }

    /// Waits until the topology says that something is wrong, in these words.
    fn says(&self, words: &str) {
        wait::until(words, LIMIT, || {
            let answer = http::get(&self.program.address, "/readyz")?;
            ensure!(
                answer.status == 503 && answer.text().contains(words),
                "{}",
                answer.text()
            );
            Ok(())
        })
        .expect("it is said");
    }
}

#[test]
fn the_demo_is_searchable_goes_through_outages_and_accounts_for_everything() {
    let mut shown = Shown::start();
    let found = wait::until("documents that are found", LIMIT, || {
        let found = shown.ask("GET", "/demo/search?q=level:error&size=3")?;
        ensure!(found["hits"]["hits"].get(0).is_some(), "{found}");
        Ok(found)
    });
    let found = found.expect("they are found");
    let hit = &found["hits"]["hits"][0];
    assert_eq!(
        (&hit["_index"], &hit["_source"]["level"]),
        (&"demo-errors".into(), &"error".into())
    );
    assert!(hit["_source"]["is_slow"].is_boolean(), "{hit}");

    // Without the token nothing is shown of records, and nothing done.
    for (method, path) in [
        ("GET", "/demo/search?q=error"),
        ("GET", "/tap?edge=parse"),
        ("GET", "/replays"),
        ("POST", "/replays/plans"),
        ("POST", "/replays/19a/abort"),
        ("POST", "/demo/actions/kill_bolts"),
    ] {
        for header in ["Bearer wrong", "Basic eDp5"] {
            let headers = [("authorization", header), ("content-length", "0")];
            let refused = http::request_with(&shown.program.address, method, path, &headers, LIMIT);
            let refused = refused.expect("an answer");
            assert_eq!(refused.status, 401, "{}", refused.text());
        }
    }

    let none = shown.ask("GET", "/replays").expect_err("it has none");
    assert!(none.to_string().contains("status 404"), "{none}");
    let facts = shown.program.get("/diagnostics").expect("it answers");
    let missing = facts["replays"]["missing"].as_str().expect("a sentence");
    assert!(
        missing.contains("isobar run FILE --token-file FILE --replay-dir DIR"),
        "{missing}"
    );

    let got = http::request(
        &shown.program.address,
        "GET",
        "/demo/actions/stop_index",
        None,
        LIMIT,
    );
    let got = got.expect("an answer");
    assert_eq!(got.status, 405);
    assert!(
        got.text().contains("\"error\":\"this is done with POST"),
        "{}",
        got.text()
    );

    dead_letters_are_listed_from_elsewhere(&shown);
    examples::the_help_asks_of_a_demonstration(&shown);
    let _ = shown.act("start_index");
    let busy = built_program()
        .args(["demo", "--http", &shown.program.address])
        .output()
        .expect("it starts");
    let why = String::from_utf8_lossy(&busy.stderr);
    assert!(
        why.contains("choose another address with --http HOST:PORT, or leave --http out"),
        "{why}"
    );

    let stopped = shown.act("stop_index");
    assert_eq!(stopped["by_hand"][0]["what"], "the index is stopped");
    assert!(stopped["by_hand"][0]["since_ms"].as_i64().is_some());
    assert_eq!(stopped["actions"][0]["action"], "start_index");
    shown.says("records wait until a host answers, nothing is lost");
    let _ = shown.act("start_index");
    shown.stores_again();

    let _ = shown.act("refuse_items");
    shown.says("index write (api)");
    let _ = shown.act("accept_items");
    shown.stores_again();

    let _ = shown.act("kill_bolts");
    shown.says("killed from outside; it is made anew soon");
    shown.stores_again();

    somebody_else_stores_a_document(&shown);
    let _ = shown.act("pause_input");
    let sum = wait::until("everything to be settled", LIMIT, || {
        let sum = shown.sum()?;
        let total = shown.program.total()?;
        ensure!(
            sum["on_the_way"] == 0 && total["in_flight"] == 0,
            "{sum} {total}"
        );
        Ok(sum)
    });
    let sum = sum.expect("it settles");
    let total = shown.program.total().expect("it answers");
    assert_eq!(
        (&total["difference"], &total["lost"]),
        (&0.into(), &0.into()),
        "{total}"
    );
    assert_eq!(
        (&total["read"], &total["dead_lettered"]),
        (&sum["written"], &sum["dead_lettered"])
    );
    let garbage = shown.program.get("/demo").expect("it answers")["input"]["garbage"].clone();
    assert_eq!(sum["dead_lettered"], garbage, "exactly the garbage: {sum}");

    let end = shown.program.process.stop(LIMIT).expect("it ends");
    assert_eq!(end.code(), Some(0), "{}", shown.program.printed());
}

/// It is no record of the topic, and must not be taken for one that has arrived.
fn somebody_else_stores_a_document(shown: &Shown) {
    let demo = shown.program.get("/demo").expect("it answers");
    let url = demo["index"]["url"].as_str().expect("a URL");
    let index = url.trim_start_matches("http://");
    let lines = b"{\"index\":{\"_index\":\"demo-2026.11.29\"}}\n{\"level\":\"error\"}\n";
    let body = Some(("application/x-ndjson", &lines[..]));
    let stored = http::request(index, "POST", "/_bulk", body, LIMIT).expect("it answers");
    assert!(
        stored.text().contains("\"errors\":false"),
        "{}",
        stored.text()
    );
}

/// By the file that the demonstration gives out, and the program that it names.
fn dead_letters_are_listed_from_elsewhere(shown: &Shown) {
    let file = http::get(&shown.program.address, "/demo/demo.yaml").expect("an answer");
    let scratch = Scratch::new("demo-file").expect("a directory");
    let path = scratch.path().join("demo.yaml");
    std::fs::write(&path, file.text()).expect("written");
    let document = shown.program.get("/demo").expect("it answers");
    let program = document["program"].as_str().expect("a path");
    let listed = wait::until("a dead letter", LIMIT, || {
        let listed = Command::new(program)
            .args(["dlq", "list"])
            .arg(&path)
            .output()?;
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        ensure!(
            text.contains("invalid_json"),
            "{text}{}",
            String::from_utf8_lossy(&listed.stderr)
        );
        Ok(text)
    });
    let _ = listed.expect("it is listed");
    let rejects = &shown.program.get("/demo").expect("it answers")["rejects"][0];
    assert_eq!(
        (&rejects["bolt"], &rejects["class"]),
        (&"parse".into(), &"invalid_json".into())
    );
    assert!(
        rejects["reason"].as_str().is_some_and(|why| why.len() > 10),
        "{rejects}"
    );
}

/// What `isobar tap` printed for these arguments behind the address of a demonstration with its token: exit
/// code, records, and what else it said.
fn tap(shown: &Shown, arguments: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let url = format!("http://{}/#token={}", shown.program.address, shown.token);
    let mut isobar = built_program();
    let done = isobar.args(["tap", "-o", "json", &url]).args(arguments);
    let done = done.output().expect("it starts");
    let lines = done.stdout.split(|byte| *byte == b'\n');
    let records = lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"));
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.code(), records.collect(), told)
}

#[test]
fn records_on_edges_of_the_demo_are_looked_at_and_all_arrive() {
    let shown = Shown::start();
    let (code, parsed, told) = tap(&shown, &["parse -> enrich", "--limit", "5"]);
    assert_eq!((code, parsed.len()), (Some(0), 5), "{told}");
    assert!(told.starts_with("5 of "), "{told}");
    assert!(told.contains("records on parse -> enrich shown."), "{told}");
    for record in &parsed {
        assert_eq!(record["topic"], "demo");
        assert!(record["document"]["level"].is_string(), "{record}");
        // The bolt behind the edge adds it.
        assert_eq!(record["document"]["is_slow"], Value::Null, "{record}");
    }
    let masked = ["enrich", "--limit", "3", "--every", "10"];
    let (code, enriched, told) = tap(
        &shown,
        &[&masked[..], &["--mask", "host,role,hots"]].concat(),
    );
    assert_eq!((code, enriched.len()), (Some(0), 3), "{told}");
    let idle = "No record shown has a field hots, so nothing is masked by that.";
    assert!(told.contains(idle), "{told}");
    for record in &enriched {
        let document = &record["document"];
        assert_eq!(
            (&document["host"], &document["role"]),
            (&"***".into(), &"***".into())
        );
        assert!(document["is_slow"].is_boolean(), "{record}");
    }
    let (code, rejected, told) = tap(&shown, &["parse.rejected", "--limit", "1"]);
    assert_eq!((code, rejected.len()), (Some(0), 1), "{told}");
    assert_eq!(rejected[0]["rejected"]["class"], "invalid_json");
    assert_eq!(rejected[0]["rejected"]["by"], "parse");
    assert!(rejected[0]["value"].is_string(), "{}", rejected[0]);

    // A field that the topology does not mention can be asked for as well.
    let condition = ["--where", "doc.number % 3 == 1 && kafka.topic == 'demo'"];
    let (code, met, told) = tap(
        &shown,
        &[&condition[..], &["parse", "--limit", "3"]].concat(),
    );
    assert_eq!((code, met.len()), (Some(0), 3), "{told}");
    assert!(told.contains(" looked at, 3 met the condition."), "{told}");
    for record in &met {
        let number = record["document"]["number"].as_u64();
        assert!(number.is_some_and(|number| number % 3 == 1), "{record}");
    }
    let never = ["enrich", "--where", "doc.nothing == 1", "--for", "2s"];
    let (code, none, told) = tap(&shown, &never);
    assert_eq!((code, none.len()), (Some(0), 0), "{told}");
    assert!(told.contains(", 0 met the condition. Of "), "{told}");
    let why = "it cannot be told, of the last one because doc.nothing is missing.";
    assert!(told.contains(why), "{told}");
    let (code, _, told) = tap(&shown, &["parse", "--where", "dco.host == 'a'"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(
        told.contains(
            "--where: at character 1 of the expression: unknown name `dco`; expected doc.NAME"
        ),
        "{told}"
    );

    let (code, _, told) = tap(&shown, &["parse", "--for", "200ms", "--limit", "1000000"]);
    assert_eq!(code, Some(0), "{told}");
    let (code, _, told) = tap(&shown, &["nowhere"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("there is no edge nowhere; there is logs -> parse, "),
        "{told}"
    );

    // Who asks without the command is told, too, before a tap is opened.
    let refused = shown.ask("GET", "/tap?edge=parse&where=doc.n%20%2B%201");
    let refused = refused.expect_err("it is no condition").to_string();
    assert!(refused.starts_with("status 400"), "{refused}");
    let why = "where: at character 1 of the expression: the expression is a number";
    assert!(refused.contains(why), "{refused}");

    // So many at once, and room again when who looked has gone away.
    let look = || {
        let mut connection = TcpStream::connect(&shown.program.address)?;
        let request = format!(
            "GET /tap?edge=parse&every=1000000&for=1h HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            shown.token
        );
        connection.write_all(request.as_bytes())?;
        let mut status = [0; 12];
        connection.read_exact(&mut status)?;
        Ok::<_, std::io::Error>((connection, String::from_utf8_lossy(&status).into_owned()))
    };
    let mut open = Vec::new();
    for expected in ["200", "200", "200", "200", "429"] {
        let (connection, status) = look().expect("it answers");
        assert_eq!(status, format!("HTTP/1.1 {expected}"));
        open.push(connection);
    }
    drop(open);
    wait::until("room for a tap", LIMIT, || {
        let (_, status) = look()?;
        ensure!(status == "HTTP/1.1 200", "{status}");
        Ok(())
    })
    .expect("those that are gone are closed");

    let _ = shown.act("pause_input");
    let total = wait::until("everything to be settled", LIMIT, || {
        let (sum, total) = (shown.sum()?, shown.program.total()?);
        ensure!(
            sum["on_the_way"] == 0 && total["in_flight"] == 0,
            "{sum} {total}"
        );
        Ok(total)
    });
    let total = total.expect("it settles");
    assert_eq!(
        (&total["difference"], &total["lost"]),
        (&0.into(), &0.into())
    );
}
