//! What servers answer to requests that the program does not send by itself, or not when it is wanted.

use std::time::Duration;

use anyhow::Context;
use isobar_operators::outcome::{Level, classes_of, row_of};
use serde_json::{Value, json};
use testkit::services::{Search, SearchClient, SearchVersion};
use testkit::{http, wait};

use super::Seen;

const LIMIT: Duration = Duration::from_secs(30);

/// Asks everything and returns the rows of the answers.
pub(super) fn see(search: &Search) -> Seen {
    let client = search.client();
    prepare(client);
    let mut seen = Seen::from_iter(of_requests(client));
    seen.extend(of_items(client));
    seen.extend(of_a_full_queue(client));
    if search.version().directory().starts_with("elasticsearch") {
        let no_stream = document("plain", "{}");
        seen.extend([item(client, "?require_data_stream=true", &no_stream)]);
    }
    if search.version() == SearchVersion::Elasticsearch9 {
        seen.extend(of_a_failure_store(client));
        seen.extend(of_a_cut_body(client));
    }
    seen
}

fn prepare(client: &SearchClient) {
    put(client, "/plain", &json!({}));
    let word = json!({"properties": {"word": {"type": "keyword"}}});
    put(client, "/words", &json!({ "mappings": word }));
    let routed = json!({"_routing": {"required": true}});
    put(client, "/routed", &json!({ "mappings": routed }));
    let nowhere = json!({"index.routing.allocation.require._name": "nobody"});
    let path = "/nowhere?wait_for_active_shards=0";
    put(client, path, &json!({ "settings": nowhere }));
    let stream = json!({"index_patterns": ["stream"], "data_stream": {}, "priority": 500});
    put(client, "/_index_template/stream", &stream);
}

fn of_requests(client: &SearchClient) -> Vec<&'static str> {
    let filled = |bytes: usize| document("plain", &format!("{{\"a\":\"{}\"}}", "x".repeat(bytes)));
    let sound = document("plain", "{}");
    let ndjson = "application/x-ndjson";
    let mut seen = Vec::new();
    let mut ask = |path: &str, kind: &str, body: &str| {
        let body = Some((kind, body.as_bytes()));
        let answer = http::request(client.address(), "POST", path, body, LIMIT);
        let answer = answer.expect("an answer");
        let read: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        seen.push(row(Level::Request, answer.status, read.get("error")));
    };
    ask("/_bulk", ndjson, "{\"create\":[]}\n{}\n");
    ask("/_bulk", ndjson, sound.trim_end());
    ask("/_bulk?nonsense=1", ndjson, &sound);
    ask("/_bulk", "text/csv", &sound);
    // Above `http.max_content_length`, then above `indexing_pressure.memory.limit`.
    ask("/_bulk", ndjson, &filled(1_100_000));
    ask("/_bulk", ndjson, &filled(700_000));
    let limit = "network.breaker.inflight_requests.limit";
    settings(client, &json!({ limit: "100kb" }));
    ask("/_bulk", ndjson, &filled(300_000));
    settings(client, &json!({ limit: null }));
    seen
}

fn of_items(client: &SearchClient) -> Vec<&'static str> {
    let long = format!("{{\"word\":\"{}\"}}", "x".repeat(40_000));
    let replacing = "{\"index\":{\"_index\":\"stream\",\"_id\":\"1\"}}\n{\"@timestamp\":1}\n";
    [
        ("", document("Bad Name", "{}")),
        ("", document("stream", "{\"a\":1}")),
        ("", replacing.to_owned()),
        ("", document("plain", "[1]")),
        ("", document("routed", "{}")),
        ("", document("words", &long)),
        ("?timeout=100ms", document("nowhere", "{}")),
    ]
    .iter()
    .map(|(query, lines)| item(client, query, lines))
    .collect()
}

fn of_a_failure_store(client: &SearchClient) -> Vec<&'static str> {
    let number = json!({"properties": {"number": {"type": "long"}}});
    let store = json!({"failure_store": {"enabled": true}});
    let template = json!({
        "index_patterns": ["failing"],
        "data_stream": {},
        "priority": 500,
        "template": {"data_stream_options": store, "mappings": number},
    });
    put(client, "/_index_template/failing", &template);
    let wrong = "{\"@timestamp\":\"2026-01-01T00:00:00Z\",\"number\":\"one\"}";
    vec![item(client, "", &document("failing", wrong))]
}

/// Sends a request for more shards than the server has room for in its queue until one is refused.
fn of_a_full_queue(client: &SearchClient) -> Vec<&'static str> {
    let spread = json!({"settings": {"number_of_shards": 32}});
    put(client, "/spread", &spread);
    let each = |number| format!("{{\"create\":{{\"_index\":\"spread\"}}}}\n{{\"n\":{number}}}\n");
    let lines: String = (0..2_000).map(each).collect();
    let refused = wait::until("a full queue", LIMIT, || {
        let answer = client.bulk(lines.as_bytes())?;
        let mut items = answer["items"].as_array().context("no items")?.iter();
        let refused = items.find(|item| item["create"]["status"] == 429);
        refused
            .map(|item| item["create"]["error"].clone())
            .context("there was room")
    });
    let refused = refused.unwrap_or_else(|error| panic!("{error:#}"));
    vec![row(Level::Item, 429, Some(&refused))]
}

/// Elasticsearch 9 reads bodies as they come, and takes what it has of one that is cut for all.
fn of_a_cut_body(client: &SearchClient) -> Vec<&'static str> {
    const SENT: usize = 4_000;
    let each = |number| format!("{{\"create\":{{\"_index\":\"plain\"}}}}\n{{\"n\":{number}}}\n");
    let lines: String = (0..SENT).map(each).collect();
    let body = gzip(lines.as_bytes());
    let body = ("application/x-ndjson", &body[..body.len() / 2]);
    let path = "/_bulk?filter_path=errors,items.*.status,items.*.error";
    let headers = [("content-encoding", "gzip")];
    let answer = http::send_body(client.address(), "POST", path, &headers, body, LIMIT);
    let answer = answer.expect("an answer");
    let read = answer.json().unwrap_or_else(|error| panic!("{error:#}"));
    let items = read["items"].as_array().expect("items").len();
    assert!(items > 0 && items < SENT, "{items} of {SENT}");
    // It is the number alone that is not believed.
    let is_believed = |sent| classes_of(&answer.body, "create", sent).is_some();
    assert!(is_believed(items) && !is_believed(SENT));
    vec!["item_count"]
}

/// A gzip file (RFC 1952) without its end, the sums: of blocks that are not compressed (RFC 1951, 3.2.4).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for block in bytes.chunks(u16::MAX.into()) {
        let length = block.len() as u16;
        // No block is the last one.
        file.push(0);
        file.extend(length.to_le_bytes());
        file.extend((!length).to_le_bytes());
        file.extend(block);
    }
    file
}

fn put(client: &SearchClient, path: &str, body: &Value) {
    let done = client.json("PUT", path, Some(body));
    let _ = done.unwrap_or_else(|error| panic!("{error:#}"));
}

/// Sets settings of the cluster.
pub(super) fn settings(client: &SearchClient, settings: &Value) {
    put(
        client,
        "/_cluster/settings",
        &json!({ "persistent": settings }),
    );
}

fn document(index: &str, source: &str) -> String {
    let action = json!({"create": {"_index": index, "_id": "1"}});
    format!("{action}\n{source}\n")
}

/// The row of the answer to one document.
fn item(client: &SearchClient, query: &str, lines: &str) -> &'static str {
    let body = Some(("application/x-ndjson", lines.as_bytes()));
    let path = format!("/_bulk{query}");
    let answer = http::request(client.address(), "POST", &path, body, LIMIT);
    let answer = answer.and_then(|answer| answer.json());
    let answer = answer.unwrap_or_else(|error| panic!("{lines}: {error:#}"));
    let item = answer["items"][0].as_object().expect("an item");
    let item = item.values().next().expect("an operation");
    let status = item["status"].as_u64().expect("a status");
    let used = json!({"type": "failure_store"});
    let error = match item["failure_store"] == "used" {
        true => Some(&used),
        false => item.get("error"),
    };
    row(Level::Item, status as u16, error)
}

fn row(level: Level, status: u16, error: Option<&Value>) -> &'static str {
    let error = error.map(Value::to_string);
    let row = row_of(level, status, error.as_deref());
    row.unwrap_or_else(|| panic!("no row for {status} {error:?}"))
        .id
}
