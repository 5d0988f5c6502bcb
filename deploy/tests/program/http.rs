//! The HTTP API of a running topology, asked over real connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use isobar::configuration;
use isobar::exit::Exit;
use isobar::http::{Bind, Server};
use isobar::lag::Watches;
use isobar::metrics::{self, Recorder};
use isobar::observer::Observer;
use isobar::plan_document::PlanDocument;
use isobar::token::Token;
use isobar::{Outside, TopologyFile};
use serde_json::{Value, json};
use testkit::http::{Response, get, request, request_with};
use testkit::wait;

use crate::support::{File, isobar, registry};

const SOON: Duration = Duration::from_secs(20);

pub const WAITING: &str = "\
isobar: 1
name: waiting
spouts:
  in: {type: numbers, records: 95, partitions: 2, waits: true, password: \"${SECRET}\"}
bolts:
  odd: {type: refuse_odd, inputs: [in]}
  count: {type: count, inputs: [{from: odd, grouping: shuffle}], on_rejected: drop}
  drop: {type: drop, inputs: [count], on_rejected: drop}
dead_letter: {type: sink}
settings: {lanes: 2}
";

/// A topology under observation; stopped when it is dropped.
pub struct Served {
    pub address: String,
    pub observer: Arc<Observer>,
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub fn start(topology: &str) -> Self {
        Self::start_with(topology, |_| ())
    }

    /// Starts it after a change of what is observed.
    pub fn start_with(topology: &str, change: impl FnOnce(&mut Observer)) -> Self {
        let outside = Outside {
            variable: &|name| (name == "SECRET").then(|| "hunter2".to_owned()),
            file: &|_| Err(std::io::ErrorKind::NotFound.into()),
        };
        let path = Path::new("t.yaml");
        let file = TopologyFile::from_text(path, topology.to_owned(), &outside);
        let registry = registry();
        let plan = file
            .plan(&registry, 1)
            .unwrap_or_else(|refused| panic!("{refused}"));
        let document = PlanDocument::of(&plan);
        let settings = &file.spec().expect("sound").settings;
        let configuration = configuration::effective(file.tree(), settings, 2, &registry);
        let running = isobar_topology::start(plan.graph, false).expect("it starts");
        let mut observer = Observer::new(
            running,
            document,
            configuration,
            Recorder::new(),
            Watches::default(),
        );
        observer.token = Some(Token::random().expect("random numbers"));
        change(&mut observer);
        let observer = Arc::new(observer);
        let (address_known, address) = sync_channel(1);
        let (end, ended) = sync_channel(1);
        let served = Arc::clone(&observer);
        let thread = std::thread::spawn(move || serve(served, &address_known, ended));
        Self {
            address: address.recv().expect("it listens"),
            observer,
            end: Some(end),
            thread: Some(thread),
        }
    }

    pub fn get(&self, path: &str) -> Response {
        get(&self.address, path).expect("an answer")
    }

    pub fn json(&self, path: &str) -> Value {
        self.get(path).json().expect("JSON")
    }

    /// Waits until all has arrived where it goes.
    pub fn settle(&self, records: u64) -> Value {
        wait::until("all records to be settled", SOON, || {
            let accounting = self.json("/accounting");
            let total = &accounting["total"];
            let done = total["read"] == records && total["in_flight"] == 0;
            anyhow::ensure!(done, "{total}");
            Ok(accounting)
        })
        .expect("they settle")
    }
}

fn serve(
    observer: Arc<Observer>,
    address: &SyncSender<String>,
    ended: std::sync::mpsc::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let bind = Bind::At("127.0.0.1:0".to_owned());
        let server = Server::bind(&bind, "--http")
            .await
            .expect("a free port")
            .expect("not off");
        address
            .send(server.address().to_string())
            .expect("it is waited for");
        let end = tokio::task::spawn_blocking(move || ended.recv());
        tokio::select! {
            never = server.serve(Arc::clone(&observer)) => match never {},
            never = observer.peers.run() => match never {},
            _ = end => {}
        }
    });
}

impl Drop for Served {
    fn drop(&mut self) {
        self.observer.running.stop_within(Duration::ZERO);
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server does not panic");
        }
    }
}

#[test]
fn the_account_adds_up_and_names_policies() {
    let served = Served::start(WAITING);
    let accounting = served.settle(190);
    let total = &accounting["total"];
    assert_eq!(
        [
            &total["dropped"],
            &total["dead_lettered"],
            &total["difference"]
        ],
        [96, 94, 0]
    );
    assert_eq!(total["dropped_by_policy"], json!({"drop": 96}));
    let partitions = accounting["spouts"][0]["partitions"]
        .as_array()
        .expect("a list");
    assert_eq!(partitions.len(), 2);
    for partition in partitions {
        assert_eq!([&partition["read"], &partition["difference"]], [95, 0]);
    }
}

#[test]
fn statistics_are_numbers_and_diagnostics_facts_without_secrets() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    let statistics = served.json("/statistics");
    let odd = &statistics["bolts"][0];
    assert_eq!(
        [&odd["records"], &odd["rejected"], &odd["failures"]],
        [190, 94, 0]
    );
    let count = &statistics["bolts"][1];
    assert_eq!(
        [&count["counters"]["seen"], &count["waiting_batches"]],
        [96, 0]
    );
    let asked = &count["requests"][0];
    assert_eq!(
        (&asked["host"], &asked["requests"]),
        (&json!("es-1:9200"), &json!(2))
    );
    assert_eq!(statistics["bolts"][2]["requests"], json!([]));
    assert_eq!(
        statistics["bolts"][2]["waiting_batches"],
        Value::Null,
        "it is fused"
    );
    assert_eq!(statistics["spouts"][0]["in_flight_records_max"], 1_000);
    assert!(statistics["process"]["resident_bytes"].as_u64() > Some(1 << 20));

    let text = served.get("/diagnostics").text();
    assert!(!text.contains("hunter2"), "{text}");
    let diagnostics: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(diagnostics["version"], env!("CARGO_PKG_VERSION"));
    let configuration = &diagnostics["configuration"];
    assert_eq!(
        configuration["spouts"]["in"],
        json!({"type": "numbers", "records": 95, "partitions": 2, "waits": true, "password": "<hidden>"})
    );
    assert_eq!(
        [
            &configuration["settings"]["lanes"],
            &configuration["settings"]["max_attempts"]
        ],
        [2, 5]
    );
    assert_eq!(diagnostics["plan"]["topology"], "waiting");
    assert_eq!(diagnostics["lanes"][1]["ended"], false);
    let none = json!({"spouts": [], "shown": false, "begun": false, "missing": null});
    assert_eq!(diagnostics["replays"], none, "no spout reads Kafka");
}

#[test]
fn exported_metrics_are_those_of_the_table() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    served
        .observer
        .running
        .health()
        .set("in", "connecting", "no broker answers");
    let answer = served.get("/metrics");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let text = answer.text();
    for line in [
        "isobar_records_read_total{topology=\"waiting\",spout=\"in\"} 190",
        "isobar_records_dropped_total{topology=\"waiting\",spout=\"in\",policy=\"drop\"} 96",
        "isobar_accounting_difference_records{topology=\"waiting\",spout=\"in\"} 0",
        "isobar_bolt_rejected_records_total{topology=\"waiting\",bolt=\"odd\"} 94",
        "isobar_bolt_rejected_records_by_class_total{topology=\"waiting\",bolt=\"odd\",class=\"odd\"} 94",
        "# TYPE isobar_end_to_end_latency_seconds histogram",
        "isobar_end_to_end_latency_seconds_bucket{topology=\"waiting\",spout=\"in\",le=\"86400\"} 0",
        "isobar_end_to_end_latency_seconds_bucket{topology=\"waiting\",spout=\"in\",le=\"+Inf\"} 190",
        "isobar_end_to_end_latency_seconds_count{topology=\"waiting\",spout=\"in\"} 190",
        "# TYPE isobar_bolt_request_seconds histogram",
        "isobar_bolt_request_seconds_bucket{topology=\"waiting\",bolt=\"count\",host=\"es-1:9200\",le=\"0.001\"} 0",
        "isobar_bolt_request_seconds_bucket{topology=\"waiting\",bolt=\"count\",host=\"es-1:9200\",le=\"0.002\"} 2",
        "isobar_bolt_request_seconds_count{topology=\"waiting\",bolt=\"count\",host=\"es-1:9200\"} 2",
        "isobar_bolt_seen_total{topology=\"waiting\",bolt=\"count\"} 96",
        "# HELP isobar_bolt_seen_total Records seen.",
        "# TYPE isobar_lanes gauge",
        "isobar_lanes{topology=\"waiting\"} 2",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in:\n{text}"
        );
    }
    let exported: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| *name != "isobar_bolt_seen_total")
        .collect();
    // Those of lag are of Kafka spouts only, others of dead letters, TLS, and who is named to be sent to.
    let elsewhere = |label: &&str| ["group", "topic", "certificate", "to"].contains(label);
    let table = metrics::all().filter(|metric| !metric.labels.iter().any(elsewhere));
    let mut table: Vec<&str> = table.map(|metric| metric.name).collect();
    let mut sorted = exported.clone();
    sorted.sort_unstable();
    table.sort_unstable();
    assert_eq!(sorted, table);
    assert!(
        !text.contains("bolt=\"odd\"} 190\nisobar_bolt_waiting"),
        "absent is not 0"
    );
}

#[test]
fn metric_names_follow_the_rules_of_prometheus() {
    for metric in metrics::all() {
        let counter = metric.kind == metrics::Kind::Counter;
        assert_eq!(metric.name.ends_with("_total"), counter, "{}", metric.name);
        if metric.kind == metrics::Kind::Histogram {
            assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
        }
        let own = metric.name.starts_with("isobar_") || metric.name.starts_with("process_");
        assert!(own && metric.help.ends_with('.'), "{}", metric.name);
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(metric.name.chars().all(plain), "{}", metric.name);
    }
}

#[test]
fn unknown_paths_and_methods_are_refused_in_words() {
    let served = Served::start(WAITING);
    assert!(served.get("/").text().contains("/readyz       200 while"));
    assert_eq!(served.get("/history?after_ms=x").status, 400);
    assert_eq!(served.json("/history")["times_ms"], json!([]));
    let missing = served.get("/acounting");
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .text()
            .contains("/accounting   what became of every record")
    );
    let body = Some(("text/plain", &b"x"[..]));
    let posted = request(&served.address, "POST", "/accounting", body, SOON).expect("an answer");
    assert_eq!(posted.status, 405);
    assert_eq!(posted.header("allow"), Some("GET, HEAD"));
    assert_eq!(posted.text(), r#"{"error":"this is asked with GET"}"#);
}

#[test]
fn a_parameter_that_a_path_does_not_know_is_refused_with_those_that_it_knows() {
    let served = Served::start(WAITING);
    let token = served.observer.token.as_ref().expect("it has one").text();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer), ("content-length", "0")];
    for (method, path, said) in [
        (
            "GET",
            "/tap?edge=in&evry=5",
            "unknown field `evry`, expected one of `edge`, `every`, `limit`, `for`, `mask`, `where`",
        ),
        ("GET", "/tap?every=5", "missing field `edge`"),
        (
            "POST",
            "/pause?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "POST",
            "/resume?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "GET",
            "/history?after=1",
            "unknown field `after`, expected `after_ms`",
        ),
        (
            "GET",
            "/whereabouts?topic=t&partition=0&ofset=0",
            "unknown field `ofset`, expected one of `topic`, `partition`, `offset`",
        ),
        (
            "GET",
            "/replays?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "GET",
            "/replays/19a?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "POST",
            "/replays/19a/abort?sput=in",
            "unknown field `sput`, expected `spout`",
        ),
        (
            "POST",
            "/replays?rate=5",
            "unknown field `rate`, there are no fields",
        ),
        (
            "POST",
            "/replays/plans?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/replays/plans/19a?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/lag?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/accounting?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/statistics?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/replicas?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/diagnostics?spout=in",
            "unknown field `spout`, there are no fields",
        ),
        (
            "GET",
            "/layouts?form=0",
            "unknown field `form`, there are no fields",
        ),
    ] {
        let answer = request_with(&served.address, method, path, &headers, SOON);
        let answer = answer.expect("an answer");
        let place = path.split('?').next().expect("a path");
        let expected = json!({"error": format!("parameters of {place}: {said}")});
        assert_eq!((answer.status, answer.text()), (400, expected.to_string()));
    }
    assert_eq!(
        served.json("/statistics")["spouts"][0]["paused_since_ms"],
        Value::Null
    );
    // Who scrapes, probes or links to the page may add what they like.
    for path in [
        "/metrics?a=b",
        "/healthz?a=b",
        "/readyz?a=b",
        "/?a=b",
        "/page.css?a=b",
    ] {
        assert_eq!(served.get(path).status, 200, "{path}");
    }
}

#[test]
fn browsers_get_a_page_that_loads_nothing_from_elsewhere() {
    let served = Served::start(WAITING);
    let accept = [("accept", "text/html,*/*;q=0.8")];
    let page = request_with(&served.address, "GET", "/", &accept, SOON).expect("an answer");
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let html = page.text();
    let links = html.split("href=\"").chain(html.split("src=\"")).skip(1);
    let links = links.filter_map(|rest| rest.split('"').next());
    let links: Vec<&str> = links.filter(|link| !link.starts_with(['<', '#'])).collect();
    assert!(
        links.contains(&"page.js") && links.contains(&"page.css"),
        "{links:?}"
    );
    for link in links {
        let found = served.get(&format!("/{link}"));
        assert!(
            matches!(found.status, 200 | 503),
            "{link}: {}",
            found.status
        );
        // The one address of a name space of XML is loaded by nobody.
        let text = found.text().replace("http://www.w3.org/2000/svg", "");
        assert!(
            !text.contains("://") || link.ends_with("diagnostics"),
            "{link}"
        );
    }
    for part in ["/page.js", "/page.css", "/icon.svg"] {
        let answer = served.get(part);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}

#[test]
fn rates_are_unknown_at_first_and_of_the_last_seconds_then() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    let first = served.json("/statistics");
    assert_eq!(first["bolts"][0]["records_per_second"], Value::Null);
    let statistics = wait::until("a second look", SOON, || {
        served.observer.look();
        let statistics = served.json("/statistics");
        anyhow::ensure!(!statistics["bolts"][0]["busy_share"].is_null(), "one look");
        Ok(statistics)
    });
    let statistics = statistics.expect("a second later");
    assert_eq!(statistics["bolts"][0]["records_per_second"], 0.0);
    assert_eq!(
        statistics["bolts"][0]["rejected_by_class"],
        json!({"odd": 94})
    );
    assert_eq!(statistics["bolts"][1]["waiting_batches_max"], 8);
    assert_eq!(statistics["bottleneck"], Value::Null);
    let edges = statistics["edges"].as_array().expect("a list").iter();
    let records: Vec<_> = edges
        .map(|e| (e["from"].as_str(), e["to"].as_str(), e["records"].as_u64()))
        .collect();
    let expected = [
        ("in", "odd", 190),
        ("odd", "count", 96),
        ("odd.rejected", "dead_letter", 94),
        ("count", "drop", 96),
    ];
    let expected = expected.map(|(from, to, n)| (Some(from), Some(to), Some(n)));
    assert_eq!(records, expected);

    let health = served.observer.running.health();
    // What no record waits for bounds nothing.
    health.note("count", "table", "the file is refused");
    assert_eq!(served.json("/statistics")["bottleneck"], Value::Null);
    health.set("drop", "held", "the index is closed");
    let bottleneck = served.json("/statistics")["bottleneck"].clone();
    assert_eq!(
        bottleneck,
        json!({"bolt": "drop", "reason": "held: the index is closed"})
    );
}

#[test]
fn top_shows_at_a_terminal_what_the_page_shows() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    wait::until("everything to be open", SOON, || {
        anyhow::ensure!(served.get("/readyz").status == 200, "not yet");
        Ok(())
    })
    .expect("it opens");
    let url = format!("http://{}", served.address);
    let done = isobar("top", "", &["top", &url, "--once"]);
    assert_eq!(done.exit, Exit::Done, "{}", done.error);
    let (first, rest) = done.output.split_once('\n').expect("lines");
    assert!(first.starts_with("waiting: OK, up "), "{first}");
    let expected = "
NODE         TYPE        RECORDS/S  RECORDS  BUSY  QUEUE  REJECTED  FAILURES
in           numbers             ?      190          0 %
odd          refuse_odd          ?      190     ?    0/8        94         0
count        count               ?       96     ?    0/8         0         0
drop         drop                ?       96     ?      -         0         0
dead_letter  sink                ?       94     ?    0/8         0         0

BOLT   HOST       REQUESTS/S  HALF WITHIN  99 % WITHIN
count  es-1:9200           ?            ?            ?

SPOUT  READ  DELIVERED";
    assert!(rest.starts_with(expected), "{rest}");
    let rejects = "\n\nBOLT  REASON  REJECTED  OF READ\nodd   odd           94  49.47 %\n";
    assert!(rest.ends_with(rejects), "{rest}");
    served
        .observer
        .running
        .health()
        .set("drop", "held", "closed");
    let done = isobar("top", "", &["top", &url, "--once"]);
    assert!(
        done.output.contains("\ndrop: held: closed\n"),
        "{}",
        done.output
    );
    assert!(
        done.output.contains("\nBottleneck: drop: held: closed\n"),
        "{}",
        done.output
    );
    drop(served);
    let done = isobar("top", "", &["top", &url, "--once"]);
    assert_eq!(done.exit, Exit::Undetermined);
    let expected = format!("{} does not say its statistics: ", &url["http://".len()..]);
    assert!(done.error.starts_with(&expected), "{}", done.error);
}

#[test]
fn spouts_are_paused_and_go_on_for_who_has_the_token() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    let post = |path: &str, token: Option<&str>| {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|bearer| ("authorization", &**bearer))
            .collect();
        request_with(&served.address, "POST", path, &headers, SOON).expect("an answer")
    };
    let token = served.observer.token.as_ref().expect("it has one").text();
    for (given, word) in [
        (None, "needs the token"),
        (Some(""), "needs the token"),
        (Some("0123456789abcdef0123456789abcdef"), "was refused"),
    ] {
        let refused = post("/pause", given);
        assert_eq!(refused.status, 401);
        assert!(refused.text().contains(word), "{}", refused.text());
    }
    let refused = served.get("/pause");
    assert_eq!(refused.status, 405);
    assert_eq!(refused.header("allow"), Some("POST"));
    assert!(
        refused.text().contains("done with POST"),
        "{}",
        refused.text()
    );
    let missing = post("/pause?spout=out", Some(token));
    assert_eq!(missing.status, 404);
    assert!(
        missing
            .text()
            .contains("there is no spout out; there is in")
    );
    assert_eq!(served.observer.running.paused_since(0), None);

    let paused = post("/pause?spout=in", Some(token)).json().expect("JSON");
    let since = paused["spouts"][0]["paused_since_ms"].clone();
    assert!(since.is_i64(), "{paused}");
    // It is alive and in its group: nothing else would read for it.
    assert_eq!(served.get("/readyz").status, 200);
    assert_eq!(
        served.json("/statistics")["spouts"][0]["paused_since_ms"],
        since
    );
    let metrics = served.get("/metrics").text();
    assert!(
        metrics.contains("isobar_spout_paused{topology=\"waiting\",spout=\"in\"} 1\n"),
        "{metrics}"
    );
    let again = post("/pause", Some(token)).json().expect("JSON");
    assert_eq!(again["spouts"][0]["paused_since_ms"], since);
    let url = format!("http://{}", served.address);
    let shown = isobar("top-paused", "", &["top", &url, "--once"]).output;
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("in ") && line.ends_with("paused")),
        "{shown}"
    );

    let reads = post("/resume", Some(token)).json().expect("JSON");
    assert_eq!(
        reads["spouts"][0],
        json!({"spout": "in", "paused_since_ms": null})
    );
}

#[test]
fn pause_and_resume_are_commands() {
    let served = Served::start(WAITING);
    let url = format!("http://{}", served.address);
    let token = served.observer.token.as_ref().expect("it has one").text();
    let file = File::new("pause-token", token);
    let path = file.path.to_str().expect("UTF-8");
    let done = isobar("pause", "", &["pause", &url, "--token-file", path]);
    assert_eq!(done.exit, Exit::Done, "{}", done.error);
    let words: Vec<&str> = done.output.split_whitespace().collect();
    assert_eq!(words[..4], ["ADDRESS", "TOPOLOGY", "SPOUT", "STATE"]);
    assert_eq!(words[5..9], ["waiting", "in", "paused", "since"]);
    let arguments = ["resume", &url, "--token-file", path, "-o", "json"];
    let done = isobar("resume", "", &arguments);
    assert_eq!(done.json()[0]["spouts"][0]["paused_since_ms"], Value::Null);

    // Who does not answer keeps no other one as it is.
    let arguments = ["pause", "http://127.0.0.1:9", &url, "--token-file", path];
    let done = isobar("pause-two", "", &arguments);
    assert_eq!(done.exit, Exit::Undetermined);
    let expected = "127.0.0.1:9 does not say that it paused: ";
    assert!(done.error.starts_with(expected), "{}", done.error);
    assert!(served.observer.running.paused_since(0).is_some());

    let wrong = File::new("pause-wrong-token", "0123456789abcdef");
    let path = wrong.path.to_str().expect("UTF-8");
    let done = isobar("pause-wrong", "", &["pause", &url, "--token-file", path]);
    assert_eq!(done.exit, Exit::Failed);
    let expected = format!("{}: the token was refused", served.address);
    assert!(done.error.starts_with(&expected), "{}", done.error);

    // As a demonstration prints it, and never without one.
    let with_token = format!("{url}/#token={token}");
    let done = isobar("resume-demo", "", &["resume", &with_token]);
    assert_eq!(done.exit, Exit::Done, "{}", done.error);
    assert!(done.output.contains("reads"), "{}", done.output);
    let done = isobar("pause-one", "", &["pause", &with_token, &url]);
    assert_eq!(done.exit, Exit::Usage);
    let expected = format!("name the token of {}: ", served.address);
    assert!(done.error.starts_with(&expected), "{}", done.error);
    assert_eq!(served.observer.running.paused_since(0), None);
    let short = format!("{url}/#token=short");
    let done = isobar("pause-short", "", &["pause", &short]);
    assert_eq!(done.exit, Exit::Usage);
    assert!(done.error.contains("16 or more"), "{}", done.error);
}

#[test]
fn connections_beyond_the_bound_wait_until_others_end() {
    let served = Served::start(WAITING);
    let mut open: Vec<TcpStream> = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(&served.address).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("set");
        // An answer shows that this one was taken.
        write!(stream, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("written");
        let mut first = [0; 1];
        stream.read_exact(&mut first).expect("an answer");
        open.push(stream);
    }
    let mut waiting = TcpStream::connect(&served.address).expect("the system takes it");
    write!(
        waiting,
        "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    .expect("written");
    waiting
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("set");
    let mut answer = [0; 15];
    let _ = waiting.read(&mut answer).expect_err("there is no room");
    drop(open.pop());
    waiting.set_read_timeout(Some(SOON)).expect("set");
    waiting.read_exact(&mut answer).expect("there is room now");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}
