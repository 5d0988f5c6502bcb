//! `isobar lag` without a broker: of a topology that runs, its exit codes, where answers are posted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use isobar::exit::Exit;
use serde_json::{Value, json};

use crate::support::{Done, isobar};

/// Answers so many requests with this, and gives their first lines and bodies.
fn server(
    requests: usize,
    status: &'static str,
    body: String,
) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let serve = move || {
        let connections = listener.incoming().take(requests);
        let one = |connection: std::io::Result<TcpStream>| {
            answer(connection.expect("a connection"), status, &body)
        };
        connections.map(one).collect()
    };
    (address, std::thread::spawn(serve))
}

fn answer(mut connection: TcpStream, status: &str, body: &str) -> String {
    let mut reader = BufReader::new(connection.try_clone().expect("a second handle"));
    let (mut first, mut length) = (String::new(), 0);
    let _ = reader.read_line(&mut first).expect("a request");
    loop {
        let mut line = String::new();
        let _ = reader.read_line(&mut line).expect("a header");
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
        if line.is_empty() {
            break;
        }
    }
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).expect("the body");
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    connection
        .write_all((head + body).as_bytes())
        .expect("it is read");
    first + &String::from_utf8(sent).expect("text")
}

/// All that was said besides the answer.
fn said(done: &Done) -> String {
    format!("{}{}", done.told, done.error)
}

fn document() -> Value {
    let partition = |number: i32, lag: u64, status: &str| {
        json!({
            "topic": "logs", "partition": number, "owner": "here", "status": status,
            "reason": "because", "start": 0, "end": 1_000, "committed": 1_000 - lag, "lag": lag,
            "lag_exactness": "exact", "oldest_age_seconds": lag, "oldest_age_exactness": "exact",
            "eta_seconds": "never",
        })
    };
    json!({
        "version": 1, "topology": "logs", "status": "SLOW", "spouts": [{
            "spout": "in", "group": "logs", "status": "SLOW", "reason": "logs/1: because",
            "lag": 400, "oldest_age_seconds": 400, "oldest_age_exactness": "exact",
            "eta_seconds": "never",
            "partitions": [partition(0, 0, "OK"), partition(1, 400, "SLOW")],
        }],
    })
}

#[test]
fn a_running_topology_is_asked_and_its_answer_shown() {
    let (address, served) = server(1, "200 OK", document().to_string());
    let url = format!("http://{address}/");
    let shown = isobar("lag-running", "", &["lag", &url]);
    assert_eq!(shown.exit, Exit::Done, "{}", said(&shown));
    // The program of before did not say how many records there are in all.
    let totals = "2 partitions hold 2,000 records, 400 of them are not settled.";
    for part in [
        "400  6 min 40 s",
        "never",
        "SLOW",
        "in: logs/1: because",
        totals,
    ] {
        assert!(shown.output.contains(part), "{part}: {}", shown.output);
    }
    assert!(served.join().expect("served")[0].starts_with("GET /lag HTTP/1.1"));
}

#[test]
fn thresholds_end_with_3_and_what_is_not_known_with_4() {
    for (arguments, exit, word) in [
        (["--fail-above", "400"], Exit::Done, ""),
        (["--fail-above", "399"], Exit::Threshold, "in: 400 records"),
        (
            ["--fail-older", "6m"],
            Exit::Threshold,
            "in: logs/1: the oldest",
        ),
        (["--fail-older", "7m"], Exit::Done, ""),
        (["--fail-status", "slow"], Exit::Threshold, "SLOW: because"),
        (["--fail-status", "stalled"], Exit::Done, ""),
    ] {
        let (address, _served) = server(1, "200 OK", document().to_string());
        let url = format!("http://{address}");
        let command = ["lag", &url, arguments[0], arguments[1]];
        let ended = isobar("lag-thresholds", "", &command);
        assert_eq!(ended.exit, exit, "{arguments:?}: {}", said(&ended));
        assert!(said(&ended).contains(word), "{}", said(&ended));
    }
    let (address, _served) = server(1, "503 Service Unavailable", String::new());
    for (url, word) in [
        (
            "http://127.0.0.1:9".to_owned(),
            "127.0.0.1:9 does not say its lag",
        ),
        (format!("http://{address}"), "it answers 503"),
    ] {
        let ended = isobar("lag-away", "", &["lag", &url]);
        assert_eq!(ended.exit, Exit::Undetermined);
        assert!(said(&ended).contains(word), "{}", said(&ended));
    }
}

#[test]
fn an_answer_is_posted_and_a_refusal_is_a_failure() {
    let (address, _served) = server(2, "200 OK", document().to_string());
    let (target, posted) = server(1, "204 No Content", String::new());
    let (source, post) = (
        format!("http://{address}"),
        format!("http://{target}/in?key=k"),
    );
    let ended = isobar(
        "lag-post",
        "",
        &["lag", &source, "--post", &post, "-o", "json"],
    );
    assert_eq!(ended.exit, Exit::Done, "{}", said(&ended));
    let posted = posted.join().expect("served").remove(0);
    let (first, body) = posted.split_once("\r\n").expect("a line and a body");
    assert_eq!(first, "POST /in?key=k HTTP/1.1");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body, ended.json());

    let (target, _posted) = server(1, "500 Internal Server Error", String::new());
    let post = format!("http://me:hunter2@{target}/in");
    let ended = isobar("lag-post-fails", "", &["lag", &source, "--post", &post]);
    assert_eq!(ended.exit, Exit::Failed);
    assert!(
        said(&ended).contains("/in: it answers 500"),
        "{}",
        said(&ended)
    );
    assert!(!said(&ended).contains("hunter2"), "{}", said(&ended));
}

#[test]
fn a_refused_answer_does_not_hide_a_threshold_that_is_passed() {
    let (address, _served) = server(1, "200 OK", document().to_string());
    let (target, _posted) = server(1, "500 Internal Server Error", String::new());
    let (source, post) = (format!("http://{address}"), format!("http://{target}/in"));
    let command = ["lag", &source, "--post", &post, "--fail-above", "399"];
    let ended = isobar("lag-post-threshold", "", &command);
    assert_eq!(ended.exit, Exit::Threshold, "{}", said(&ended));
    for word in ["in: 400 records", "/in: it answers 500"] {
        assert!(said(&ended).contains(word), "{}", said(&ended));
    }
}

#[test]
fn a_group_that_cannot_be_asked_is_undetermined() {
    let command = [
        "lag",
        "--brokers",
        "127.0.0.1:9",
        "--group",
        "g",
        "--timeout",
        "300ms",
    ];
    let ended = isobar("lag-group", "", &command);
    assert_eq!(ended.exit, Exit::Undetermined, "{}", said(&ended));
    let whole = format!("{}{}", ended.output, said(&ended));
    assert_eq!(
        whole.matches("no answer from 127.0.0.1:9").count(),
        1,
        "{whole}"
    );
    assert!(!whole.contains("partitions hold"), "{whole}");
    let over = [&command[..], &["--over", "1s"]].concat();
    let ended = isobar("lag-group-over", "", &over);
    assert_eq!(ended.exit, Exit::Undetermined, "{}", said(&ended));
}
