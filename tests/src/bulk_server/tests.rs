//! The stand-in as its clients see it, over real connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{http, wait};

const LIMIT: Duration = Duration::from_secs(20);
const FILTER: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error";

fn start() -> BulkServer {
    BulkServer::start(Options {
        keep_documents: true,
        ..Options::default()
    })
    .expect("a free port")
}

fn creates(ids: std::ops::Range<u32>) -> String {
    let line =
        |id| format!("{{\"create\":{{\"_index\":\"logs\",\"_id\":\"{id}\"}}}}\n{{\"n\":{id}}}\n");
    ids.map(line).collect()
}

fn send(server: &BulkServer, path: &str, body: &str) -> Result<http::Response> {
    http::request(
        &server.address(),
        "POST",
        path,
        Some(("application/x-ndjson", body.as_bytes())),
        LIMIT,
    )
}

fn bulk(server: &BulkServer, body: &str) -> Value {
    send(server, FILTER, body)
        .expect("an answer")
        .json()
        .expect("200 and JSON")
}

fn statuses(answer: &Value) -> Vec<u64> {
    let items = answer["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| {
            item.as_object()
                .expect("an item")
                .values()
                .next()
                .expect("an action")["status"]
                .as_u64()
                .expect("a status")
        })
        .collect()
}

#[test]
fn new_documents_are_created_and_known_ones_conflict() {
    let server = start();
    let first = send(&server, FILTER, &creates(0..2)).expect("an answer");
    assert_eq!(
        first.text(),
        r#"{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}"#
    );
    assert_eq!(first.header("x-elastic-product"), Some("Elasticsearch"));
    let second = bulk(&server, &creates(1..3));
    assert_eq!(second["errors"], true);
    assert_eq!(statuses(&second), [409, 201]);
    assert_eq!(
        second["items"][0]["create"]["error"]["type"],
        "version_conflict_engine_exception"
    );
    let counted = server.statistics();
    assert_eq!(
        (
            counted.requests,
            counted.items,
            counted.documents,
            counted.duplicates
        ),
        (2, 4, 3, 1)
    );
    assert_eq!(
        server.documents()[2],
        Stored {
            index: "logs".into(),
            id: "2".into(),
            source: b"{\"n\":2}".into()
        }
    );
}

#[test]
fn without_ids_every_document_is_new() {
    let server = BulkServer::start(Options {
        keep_ids: false,
        ..Options::default()
    })
    .expect("a free port");
    assert_eq!(statuses(&bulk(&server, &creates(0..2))), [201, 201]);
    assert_eq!(statuses(&bulk(&server, &creates(0..2))), [201, 201]);
    assert_eq!(server.statistics().documents, 4);
}

#[test]
fn every_way_to_write_an_action_line_is_read() {
    let server = start();
    let body = "{\"index\":{}}\n{}\n\
                { \"index\" : { \"_index\" : \"other\", \"_id\" : \"a\\u0062\" } }\n{}\n\
                {\"index\":{\"_id\": \"spaced\"}}\r\n{}\r\n\
                {\"delete\":{\"_index\":\"other\",\"_id\":\"ab\"}}\n\
                {\"delete\":{\"_index\":\"other\",\"_id\":\"ab\"}}\n\
                {\"create\":{\"_id\":\"x\"}}\n[1]\n\
                {\"create\":{\"_id\":\"last\"}}\n";
    let answer = send(&server, "/logs/_bulk", body)
        .expect("an answer")
        .json()
        .expect("200 and JSON");
    assert_eq!(statuses(&answer), [201, 201, 201, 200, 404, 400]);
    assert_eq!(answer["items"][1]["index"]["_id"], "ab");
    assert_eq!(answer["items"][2]["index"]["_index"], "logs");
    let indices: Vec<_> = server
        .documents()
        .into_iter()
        .map(|stored| (stored.index, stored.id))
        .collect();
    assert_eq!(
        indices,
        [
            ("logs".into(), "auto-0".into()),
            ("logs".to_owned(), "spaced".to_owned())
        ]
    );
}

#[test]
fn broken_requests_are_refused_whole() {
    let server = start();
    for (body, reason) in [
        (
            "{\"create\":{\"_index\":\"a\"}}\n{}",
            "terminated by a newline",
        ),
        ("no\n{}\n", "Malformed action"),
        (
            "{\"update\":{\"_index\":\"a\",\"_id\":\"1\"}}\n{}\n",
            "no action [update]",
        ),
        ("{\"create\":{\"_id\":\"1\"}}\n{}\n", "index is missing"),
    ] {
        let answer = send(&server, "/_bulk", body).expect("an answer");
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(reason), "{}", answer.text());
    }
    assert_eq!(server.statistics().documents, 0);
}

#[test]
fn filtering_by_errors_alone_loses_the_successes() {
    let server = start();
    let path = "/_bulk?filter_path=items.*.error.type";
    let _ = send(&server, path, &creates(1..2)).expect("an answer");
    let answer = send(&server, path, &creates(0..3)).expect("an answer");
    assert_eq!(
        answer.text(),
        r#"{"items":[{"create":{"error":{"type":"version_conflict_engine_exception"}}}]}"#
    );
    assert_eq!(
        send(&server, path, &creates(7..8))
            .expect("an answer")
            .text(),
        "{}"
    );
}

#[test]
fn requests_meet_the_faults_that_are_scripted() {
    let server = start();
    server.fail_requests(2, RequestFault::too_many_requests());
    server.fail_requests(1, RequestFault::too_large());
    for status in [429, 429, 413, 200] {
        assert_eq!(
            send(&server, FILTER, &creates(0..1))
                .expect("an answer")
                .status,
            status
        );
    }
    assert_eq!(server.statistics().documents, 1);

    server.fail_requests(1, RequestFault::CutBefore);
    let _ = send(&server, FILTER, &creates(1..2)).expect_err("the connection is cut");
    assert_eq!(server.statistics().documents, 1);
    server.fail_requests(1, RequestFault::CutAfter);
    let _ = send(&server, FILTER, &creates(1..2)).expect_err("the connection is cut");
    assert_eq!(server.statistics().documents, 2);
    server.fail_requests(1, RequestFault::CutReply);
    let _ = send(&server, FILTER, &creates(2..3)).expect_err("the answer is cut");
    assert_eq!(server.statistics().documents, 3);

    server.fail_requests(1, RequestFault::NotJson);
    let answer = send(&server, FILTER, &creates(3..4)).expect("an answer");
    assert_eq!(
        (answer.status, answer.text().starts_with("<html>")),
        (200, true)
    );
    server.fail_requests(1, RequestFault::ItemsMissing(2));
    let answer = bulk(&server, &creates(4..8));
    assert_eq!(
        (&answer["errors"], statuses(&answer)),
        (&json!(false), vec![201, 201])
    );
    assert_eq!(server.statistics().documents, 6);
}

#[test]
fn faults_choose_requests_and_items_and_can_be_healed() {
    let server = start();
    server.fail_requests_if(
        9,
        |request| request.number == 1,
        RequestFault::unavailable(),
    );
    server.fail_items(1, |item| item.id == Some("1"), ItemFault::mapping());
    server.fail_items(9, |item| item.position == 2, ItemFault::too_many_requests());
    assert_eq!(statuses(&bulk(&server, &creates(0..3))), [201, 400, 429]);
    assert_eq!(
        send(&server, FILTER, &creates(0..3))
            .expect("an answer")
            .status,
        503
    );
    assert_eq!(statuses(&bulk(&server, &creates(0..3))), [409, 201, 429]);
    server.heal();
    assert_eq!(statuses(&bulk(&server, &creates(0..3))), [409, 409, 201]);
    assert_eq!(server.statistics().faulted_items, 3);
}

#[test]
fn a_shard_that_is_away_is_waited_for_as_long_as_the_request_says() {
    let server = start();
    server.fail_items(1, |item| item.id == Some("1"), ItemFault::shard_away());
    let began = wait::now();
    let answer = send(&server, &format!("{FILTER}&timeout=300ms"), &creates(0..3));
    let answer = answer.and_then(|answer| answer.json()).expect("an answer");
    assert_eq!(statuses(&answer), [201, 503, 201]);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_delayed_answer_does_not_hold_up_other_connections() {
    let server = start();
    server.fail_requests(1, RequestFault::Delay(Duration::from_secs(1000)));
    let mut waiting = TcpStream::connect(server.address()).expect("it listens");
    let body = creates(0..1);
    write!(
        waiting,
        "POST /_bulk HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    wait::until("the delayed request", LIMIT, || {
        anyhow::ensure!(server.statistics().requests == 1);
        Ok(())
    })
    .expect("it is stored");
    assert_eq!(statuses(&bulk(&server, &creates(0..1))), [409]);
}

#[test]
fn bodies_are_read_in_any_framing_over_one_connection() {
    let server = start();
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    let body = creates(0..1);
    write!(
        stream,
        "POST {FILTER} HTTP/1.1\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let (start, end) = body.split_at(10);
    write!(
        stream,
        "POST {FILTER} HTTP/1.1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n{start}\r\n{:x}\r\n{end}\r\n0\r\n\r\n",
        start.len(),
        end.len()
    )
    .expect("it reads");
    let mut answers = String::new();
    let _ = stream
        .read_to_string(&mut answers)
        .expect("it answers and closes");
    let heads: Vec<&str> = answers
        .matches("HTTP/1.1 100 Continue")
        .chain(answers.matches("HTTP/1.1 200 OK"))
        .collect();
    assert_eq!(heads.len(), 3, "{answers}");
    assert_eq!(server.statistics().duplicates, 1);
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let server = BulkServer::start(Options {
        body_max: 100,
        ..Options::default()
    })
    .expect("a free port");
    let answer = send(&server, FILTER, &creates(0..100)).expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (413, 0));
    assert_eq!(server.statistics().requests, 0);
}

#[test]
fn it_answers_what_clients_ask_first() {
    let mut server = start();
    let _ = bulk(&server, &creates(0..5));
    let get = |path: &str| {
        http::get(&server.address(), path)
            .expect("an answer")
            .json()
            .expect("JSON")
    };
    assert_eq!(get("/")["version"]["number"], "9.2.0");
    assert_eq!(
        get("/_cluster/health?wait_for_status=yellow")["status"],
        "green"
    );
    assert_eq!(get("/logs/_count")["count"], 5);
    assert_eq!(get("/_count")["count"], 5);
    assert_eq!(get("/other-*/_count")["count"], 0);
    assert_eq!(get("/_stats"), server.statistics().to_json());
    assert_eq!(
        get("/_cluster/state/version?filter_path=cluster_uuid")["cluster_uuid"],
        get("/")["cluster_uuid"]
    );
    let unknown = http::get(&server.address(), "/_cat/indices").expect("an answer");
    assert_eq!(unknown.status, 400);

    server.close();
    let _ = http::get(&server.address(), "/").expect_err("nothing listens");
    server.reopen().expect("the port is free");
    assert_eq!(
        http::get(&server.address(), "/_count")
            .expect("an answer")
            .json()
            .expect("JSON")["count"],
        5
    );
}
