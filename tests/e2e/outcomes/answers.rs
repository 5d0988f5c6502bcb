//! What servers answer to requests that the program does not send by itself, or not when it is wanted.

use std::time::Duration;

use isobar_operators::outcome::{Level, row_of};
use serde_json::{Value, json};
use testkit::http;
use testkit::services::{Search, SearchClient, SearchVersion};

use super::Seen;

const LIMIT: Duration = Duration::from_secs(30);

/// Asks everything and returns the rows of the answers.
pub(super) fn see(search: &Search) -> Seen {
    let client = search.client();
    prepare(client);
    let mut seen = Seen::from_iter(of_requests(client));
    seen.extend(of_items(client));
    if search.version() == SearchVersion::Elasticsearch9 {
        seen.extend(of_a_failure_store(client));
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
