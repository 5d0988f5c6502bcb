//! Metrics that are sent: in both formats, with headers, and to somebody who does not take them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Parser;
use isobar::exit::Exit;
use isobar::http::LagServer;
use isobar::lag::Standings;
use isobar::metrics;
use isobar::push::PushArgs;
use serde_json::{Value, json};

use crate::http::{Served, WAITING};
use crate::support::{File, isobar};

const SECOND: Duration = Duration::from_secs(1);

const GOOD: &str = "\
isobar: 1
name: numbers
spouts:
  in: {type: numbers, records: 95, partitions: 2}
bolts:
  sink: {type: sink, inputs: [in], on_rejected: drop}
settings: {lanes: 2}
";

/// Somebody who takes metrics, or refuses them.
struct Taker {
    address: String,
    refuses: Arc<AtomicBool>,
    taken: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Debug)]
struct Request {
    /// The first line and the headers, in lower case.
    head: String,
    body: String,
}

impl Taker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let (refuses, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let taken = Arc::<Mutex<Vec<Request>>>::default();
        let thread = {
            let (refuses, over, taken) =
                (Arc::clone(&refuses), Arc::clone(&over), Arc::clone(&taken));
            std::thread::spawn(move || {
                for connection in listener.incoming() {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    let request = answer(
                        connection.expect("a connection"),
                        refuses.load(Ordering::Acquire),
                    );
                    taken.lock().expect("nobody panics here").push(request);
                }
            })
        };
        Self {
            address,
            refuses,
            taken,
            over,
            thread: Some(thread),
        }
    }

    fn last(&self) -> Request {
        let taken = self.taken.lock().expect("nobody panics here");
        taken.last().expect("something came").clone()
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut connection: TcpStream, refuses: bool) -> Request {
    let mut reader = BufReader::new(connection.try_clone().expect("a second handle"));
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        let _ = reader.read_line(&mut line).expect("a line");
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let status = match refuses {
        true => "503 Service Unavailable",
        false => "204 No Content",
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    connection.write_all(answer.as_bytes()).expect("it is read");
    Request {
        head,
        body: String::from_utf8(body).expect("text"),
    }
}

#[test]
fn metrics_are_sent_in_both_formats_and_once_more_at_the_end() {
    let (influx, collector) = (Taker::start(), Taker::start());
    let headers = File::new(
        "push-headers",
        "# who we are\nAuthorization: Token hunter2\n",
    );
    let influx_url = format!("http://{}/write?db=isobar", influx.address);
    let collector_url = format!("http://{}", collector.address);
    let arguments = [
        "run",
        "FILE",
        "--exit-when-caught-up",
        "--http",
        "off",
        "--push-influx",
        &influx_url,
        "--push-otlp",
        &collector_url,
        "--push-headers",
        headers.path.to_str().expect("UTF-8"),
    ];
    let done = isobar("push", GOOD, &arguments);
    assert_eq!(done.exit, Exit::Done, "{}{}", done.told, done.error);

    let Request { head, body } = influx.last();
    assert!(head.starts_with("post /write?db=isobar http/1.1"), "{head}");
    assert!(head.contains("authorization: token hunter2"), "{head}");
    let line = body
        .lines()
        .find(|line| line.contains("records_delivered_total=190"))
        .unwrap_or_else(|| panic!("{body}"));
    assert!(
        line.starts_with("isobar,instance=") && line.contains(",spout=in "),
        "{line}"
    );

    let Request { head, body } = collector.last();
    assert!(head.starts_with("post /v1/metrics http/1.1"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("authorization: token hunter2"), "{head}");
    let request: Value = serde_json::from_str(&body).expect("JSON");
    let metrics = &request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    let metrics = metrics.as_array().expect("a list").iter();
    let delivered = metrics
        .filter(|metric| metric["name"] == "isobar_records_delivered_total")
        .collect::<Vec<_>>();
    let point = &delivered[0]["sum"]["dataPoints"][0];
    assert_eq!(point["asDouble"], 190.0, "{body}");
    let labels = json!([
        {"key": "topology", "value": {"stringValue": "numbers"}},
        {"key": "spout", "value": {"stringValue": "in"}},
    ]);
    assert_eq!(point["attributes"], labels);
}

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    push: PushArgs,
}

#[test]
fn who_takes_no_metrics_is_named_and_holds_nothing_up() {
    let taker = Taker::start();
    taker.refuses.store(true, Ordering::Release);
    let url = format!("http://{}/write?token=hunter2", taker.address);
    let flags = Flags::parse_from(["isobar", "--push-influx", &url]);
    let served = Served::start_with(WAITING, |observer| {
        observer.pushes = flags.push.pushes("here:1").expect("sound");
    });
    let _ = served.settle(190);
    let push = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let figures = metrics::of(&served.observer);
        runtime
            .expect("a runtime")
            .block_on(served.observer.pushes.last(&figures));
    };
    push();
    let text = served.get("/metrics").text();
    for line in [
        "isobar_failed_pushes_total{topology=\"waiting\",to=\"influx\"} 1\n",
        "isobar_pushes_total{topology=\"waiting\",to=\"influx\"} 0\n",
        "isobar_condition{topology=\"waiting\",component=\"metrics to influx\",kind=\"push\"} 1\n",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    let condition = &served.json("/diagnostics")["conditions"][0];
    let expected = format!(
        "http://{}/write does not take metrics: it answers 503 Service Unavailable",
        taker.address
    );
    assert_eq!(condition["text"], expected);
    assert_eq!(served.get("/readyz").status, 200, "it reads all the same");

    taker.refuses.store(false, Ordering::Release);
    push();
    let text = served.get("/metrics").text();
    assert!(
        text.contains("isobar_pushes_total{topology=\"waiting\",to=\"influx\"} 1\n"),
        "{text}"
    );
    assert!(!text.contains("isobar_condition{"), "{text}");
}

#[test]
fn a_standing_exporter_counts_what_it_sends() {
    let flags = Flags::parse_from(["isobar", "--push-influx", "http://127.0.0.1:9"]);
    let served = LagServer {
        topology: "t".to_owned(),
        standing: Standings::start(Vec::new(), SECOND, SECOND),
        options: metrics::lag::Options::default(),
        pushes: flags.push.pushes("here:1").expect("sound"),
        letters: None,
    };
    let document = served.document().expect("there is nothing to ask for");
    let text = metrics::text(&served.figures(&document));
    for counter in ["isobar_pushes_total", "isobar_failed_pushes_total"] {
        let series = format!("{counter}{{topology=\"t\",to=\"influx\"}} 0\n");
        assert!(text.contains(&series), "{text}");
    }
}

#[test]
fn headers_that_are_none_are_refused_without_showing_them() {
    let file = File::new("push-wrong", "Authorization Token hunter2\n");
    let path = file.path.to_str().expect("UTF-8");
    let arguments = [
        "run",
        "FILE",
        "--http",
        "off",
        "--push-otlp",
        "http://127.0.0.1:9",
        "--push-headers",
        path,
    ];
    let done = isobar("push-refused", GOOD, &arguments);
    assert_eq!(done.exit, Exit::Usage);
    let error = &done.error;
    assert!(error.starts_with("--push-headers "), "{error}");
    assert!(error.ends_with(":1: write Name: VALUE"), "{error}");
}

#[test]
fn one_look_at_lag_sends_no_metrics() {
    let url = "http://127.0.0.1:9";
    let arguments = ["lag", "FILE", "--push-influx", url];
    let done = isobar("push-lag", GOOD, &arguments);
    assert_eq!(done.exit, Exit::Usage);
    assert!(done.error.contains("go with --serve"), "{}", done.error);
}
