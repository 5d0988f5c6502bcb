//! The HTTP API of a running topology, asked over real connections.

mod metrics;
mod pause;
mod refusals;
mod top;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use isobar::configuration;
use isobar::http::{Bind, Server};
use isobar::lag::Watches;
use isobar::metrics::Recorder;
use isobar::observer::Observer;
use isobar::plan_document::PlanDocument;
use isobar::token::Token;
use isobar::{Outside, TopologyFile};
use serde_json::{Value, json};
use testkit::http::{Response, get, request_with};
use testkit::wait;

use crate::support::registry;

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
        observer.configuration_file = Some(path.display().to_string());
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
    assert_eq!(diagnostics["configuration_file"], "t.yaml");
    assert_eq!(diagnostics["plan"]["topology"], "waiting");
    assert_eq!(diagnostics["lanes"][1]["ended"], false);
    let none = json!({"spouts": [], "shown": false, "begun": false, "missing": null});
    assert_eq!(diagnostics["replays"], none, "no spout reads Kafka");
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
