//! Replicas that know of each other.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context as _;
use isobar::exit::Exit;
use isobar::peers::Peers;
use serde_json::{Value, json};
use testkit::process::{Launch, Process};
use testkit::{http, ports, wait};

use crate::http::{Served, WAITING};
use crate::support::{File, isobar};

const SOON: Duration = Duration::from_secs(30);

/// A topology that waits for records that nobody sends.
const RUNNING: &str = "\
isobar: 1
name: waiting
connections:
  kafka: {type: kafka, brokers: embedded}
spouts:
  logs: {type: kafka, connection: kafka, topics: [logs], start: earliest}
bolts:
  end: {type: blackhole, inputs: [logs], on_rejected: drop}
";

#[test]
fn all_replicas_are_shown_and_one_that_does_not_answer_is_named() {
    let other = Served::start(WAITING);
    let address = other.address.clone();
    let api = [format!("http://{address}").parse().expect("an address")];
    let served = Served::start_with(WAITING, |observer| {
        observer.peers = Peers::at(&api, observer);
    });
    let until = |what: &str, is_so: &dyn Fn(&Value) -> bool| {
        let found = wait::until(what, SOON, || {
            let document = served.json("/replicas");
            anyhow::ensure!(is_so(&document), "{document}");
            Ok(document)
        });
        found.unwrap_or_else(|error| panic!("{error:#}"))
    };
    let document = until("an answer", &|document| {
        document["replicas"][1]["statistics"].is_object()
    });
    let (here, there) = (&document["replicas"][0], &document["replicas"][1]);
    assert_eq!(
        [&here["address"], &there["address"], &there["failure"]],
        [&json!("here"), &json!(address), &Value::Null]
    );
    assert_eq!(there["statistics"]["spouts"][0]["spout"], "in");

    drop(other);
    let document = until("a failure", &|document| {
        document["replicas"][1]["failure"].is_string()
    });
    let there = &document["replicas"][1];
    let failure = there["failure"].as_str().expect("text");
    let expected = format!("{address} does not say its statistics: ");
    assert!(failure.starts_with(&expected), "{failure}");
    // What it said last stays, with its age.
    assert!(there["age_seconds"].as_f64() > Some(0.0), "{there}");
    assert_eq!(there["statistics"]["topology"], "waiting");
}

#[test]
fn what_a_replica_says_is_as_old_as_the_question() {
    const SLOW: Duration = Duration::from_secs(1);
    let other = Served::start(WAITING);
    let between = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = between.local_addr().expect("bound");
    // Its statistics come at once, its account takes a while.
    let _ = std::thread::spawn(move || {
        for stream in between.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = [0; 1_024];
            let length = stream.read(&mut head).expect("a question");
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let path = head.split(' ').nth(1).expect("a path").to_owned();
            if path == "/accounting" {
                wait::rest(SLOW);
            }
            let text = other.json(&path).to_string();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
        }
    });
    let api = [format!("http://{address}").parse().expect("an address")];
    let served = Served::start_with(WAITING, |observer| {
        observer.peers = Peers::at(&api, observer);
    });
    let age = wait::until("an answer", SOON, || {
        let document = served.json("/replicas");
        let age = document["replicas"][1]["age_seconds"].as_f64();
        age.with_context(|| document.to_string())
    });
    let age = age.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(age >= SLOW.as_secs_f64(), "{age}");
}

#[test]
fn top_shows_several_replicas_together_and_who_is_gone() {
    let other = Served::start(WAITING);
    let api = [format!("http://{}", other.address)
        .parse()
        .expect("an address")];
    let served = Served::start_with(WAITING, |observer| {
        observer.peers = Peers::at(&api, observer);
    });
    let urls = [&served, &other].map(|one| format!("http://{}", one.address));
    for one in [&served, &other] {
        let _ = one.settle(190);
    }
    let known = wait::until("the other's account", SOON, || {
        let document = served.json("/replicas");
        let read = &document["accounting"]["spouts"][0]["read"];
        anyhow::ensure!(*read == 380, "{document}");
        Ok(())
    });
    known.unwrap_or_else(|error| panic!("{error:#}"));
    // One that knows the other, or both: twice the same address is one replica.
    for asked in [vec![&urls[0]], vec![&urls[0], &urls[1], &urls[0]]] {
        let arguments = ["top", "--once"].into_iter();
        let arguments: Vec<&str> = arguments
            .chain(asked.iter().map(|url| url.as_str()))
            .collect();
        let done = isobar("top-several", "", &arguments);
        assert_eq!(done.exit, Exit::Done, "{}", done.error);
        let words = |start: &str| -> Vec<Vec<&str>> {
            let lines = done.output.lines().filter(|line| line.starts_with(start));
            lines
                .map(|line| line.split_whitespace().collect())
                .collect()
        };
        assert_eq!(
            words("waiting:")[0][2..],
            ["2", "of", "2", "replicas", "answer"]
        );
        for address in [&served.address, &other.address] {
            assert_eq!(words(address).len(), 1, "{}", done.output);
        }
        assert_eq!(words("in ")[0][..4], ["in", "numbers", "?", "380"]);
        assert_eq!(words("odd ")[0][3], "380");
        assert_eq!(words("in ")[1][..2], ["in", "380"]);
    }

    let address = other.address.clone();
    drop(other);
    let gone = isobar("top-gone", "", &["top", "--once", &urls[0], &urls[1]]);
    assert_eq!(gone.exit, Exit::Undetermined);
    let failure = format!("{address} does not say its statistics: ");
    assert!(gone.error.starts_with(&failure), "{}", gone.error);
    assert!(
        gone.output.contains(&format!("\n{failure}")),
        "{}",
        gone.output
    );
    let first = gone.output.lines().next().expect("a line");
    assert_eq!(first, "waiting: NO_DATA, 1 of 2 replicas answer");
    assert!(gone.output.contains("\nin      190 "), "{}", gone.output);
    drop(served);
    let none = isobar("top-none", "", &["top", "--once", &urls[0], &urls[1]]);
    assert_eq!((none.exit, &*none.output), (Exit::Undetermined, ""));
    assert!(none.error.contains(&failure), "{}", none.error);
}

#[test]
fn top_names_a_replica_whose_diagnostics_hang() {
    let served = Served::start(WAITING);
    let _ = served.settle(190);
    let address = hanging(&served);
    let urls = [&served.address, &address].map(|one| format!("http://{one}"));
    let arguments = ["top", "--once", "--timeout", "5s", &urls[0], &urls[1]];
    let done = isobar("top-hangs", "", &arguments);
    assert_eq!(done.exit, Exit::Undetermined, "{}", done.output);
    let failure = format!("{address} does not say its diagnostics: ");
    assert!(done.error.starts_with(&failure), "{}", done.error);
    let said = done.output.contains(&format!("\n{failure}"));
    assert!(said, "{}", done.output);
    let first = done.output.lines().next().expect("a line");
    assert!(first.ends_with("1 of 2 replicas answer"), "{first}");
    // Its records are in no sum.
    let words: Vec<Vec<&str>> = done
        .output
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let of = |id: &str| {
        words
            .iter()
            .filter(|words| words.first() == Some(&id))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("in")[0][3], "190", "{}", done.output);
    assert_eq!(of("in")[1][1], "190", "{}", done.output);
    assert_eq!(of("odd")[0][3], "190", "{}", done.output);
}

/// The address of a replica that answers as `served` would under another name, and never says its
/// diagnostics. It serves until the test ends.
fn hanging(served: &Served) -> String {
    let mut statistics = served.json("/statistics");
    statistics["instance"] = json!("another");
    let accounting = served.json("/accounting");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let serve = move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let mut request = [0; 4096];
            let length = stream.read(&mut request).expect("a request");
            let request = String::from_utf8_lossy(&request[..length]);
            let body = match request.split(' ').nth(1) {
                Some("/statistics") => statistics.to_string(),
                Some("/accounting") => accounting.to_string(),
                _ => {
                    held.push(stream);
                    continue;
                }
            };
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all((head + &body).as_bytes()).expect("sent");
        }
    };
    drop(std::thread::spawn(serve));
    address
}

#[test]
fn its_own_address_is_no_second_replica() {
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let file = File::new("peers-own", RUNNING);
    let log = file.path.with_extension("log");
    let launch = Launch::new(env!("CARGO_BIN_EXE_isobar"), &log)
        .arguments(["run", "--http", &address])
        // Nobody listens at the second address.
        .arguments(["--peers", &format!("http://{address},http://127.0.0.1:9")])
        .arguments([&file.path]);
    let mut process = Process::start(launch).expect("it starts");
    let replicas = wait::until("itself to be left out", SOON, || {
        process.check_running()?;
        let document: Value = http::get(&address, "/replicas")?.json()?;
        let replicas = document["replicas"].as_array().context("a list")?.clone();
        anyhow::ensure!(replicas.len() == 2, "{document}");
        anyhow::ensure!(replicas[1]["failure"].is_string(), "{document}");
        Ok(replicas)
    });
    let replicas = replicas.unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(replicas[1]["address"], "127.0.0.1:9");
    assert_eq!(process.stop(SOON).expect("it ends").code(), Some(0));
    let log = std::fs::read_to_string(&log).expect("it logged");
    assert_eq!(log.matches("A replica does not answer").count(), 1, "{log}");
}

#[test]
fn another_topology_is_no_replica() {
    let other = Served::start(WAITING);
    let api = [format!("http://{}", other.address)
        .parse()
        .expect("an address")];
    let served = Served::start_with(
        &WAITING.replace("name: waiting", "name: mine"),
        |observer| {
            observer.peers = Peers::at(&api, observer);
        },
    );
    let failure = wait::until("a failure", SOON, || {
        let document = served.json("/replicas");
        let failure = document["replicas"][1]["failure"].as_str();
        Ok(failure.context("not yet")?.to_owned())
    });
    let expected = format!("{} runs waiting", other.address);
    assert_eq!(failure.expect("it is asked"), expected);
}

#[test]
fn without_peers_a_replica_shows_itself() {
    let served = Served::start(WAITING);
    let document = served.json("/replicas");
    assert_eq!(document["replicas"].as_array().map(Vec::len), Some(1));
    assert_eq!(document["lag"], json!([]));
}
