//! Which path is answered with what. Apart from bulk requests: as much of an Elasticsearch 9.2 as
//! clients ask before they send anything, and the stand-in's own counts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use isobar_operators::embedded::bulk::Filter;
use serde_json::{Value, json};

use super::fault::{Request as FaultRequest, RequestFault};
use super::{Shared, bulk};

/// The version that the stand-in claims to be.
const VERSION: &str = "9.2.0";

/// What goes back over the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) delay: Duration,
    pub(super) cut: Cut,
}

/// Where the connection ends, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    No,
    BeforeReply,
    WithinReply,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, body.to_string().into_bytes())
    }

    pub(super) fn error(status: u16, kind: &str, reason: &str) -> Self {
        if kind.is_empty() {
            return Self::bytes(status, Vec::new());
        }
        let error = json!({"root_cause": [{"type": kind, "reason": reason}], "type": kind, "reason": reason});
        Self::json(status, &json!({"error": error, "status": status}))
    }

    fn bytes(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: "application/json",
            body,
            delay: Duration::ZERO,
            cut: Cut::No,
        }
    }
}

/// Answers one request.
pub(super) fn answer(
    shared: &Shared,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
) -> Answer {
    let path = path.trim_matches('/');
    let (index, last) = path.rsplit_once('/').unwrap_or(("", path));
    if last == "_bulk" {
        return answer_bulk(shared, index, query, body);
    }
    let shards = json!({"total": 1, "successful": 1, "skipped": 0, "failed": 0});
    match (method, path) {
        ("GET" | "HEAD", "") => Answer::json(200, &identity()),
        ("GET", "_ages") => Answer::json(200, &shared.lock().store.ages()),
        ("DELETE", "_ages") => {
            shared.lock().store.forget_ages();
            Answer::json(200, &json!({"acknowledged": true}))
        }
        ("GET", "_stats") => Answer::json(200, &shared.lock().store.statistics().to_json()),
        ("GET", _) if path.starts_with("_cluster/health") => Answer::json(200, &health()),
        ("GET", _) if path.starts_with("_nodes") => Answer::json(200, &nodes(shared.body_max)),
        ("GET", _) if path.starts_with("_cluster/") => Answer::json(200, &cluster()),
        ("PUT" | "POST" | "DELETE", _)
            if path.starts_with("_index_template/") || path.starts_with("_component_template/") =>
        {
            Answer::json(200, &json!({"acknowledged": true}))
        }
        ("GET" | "POST", _) if last == "_count" => Answer::json(
            200,
            &json!({"count": shared.lock().store.count(index), "_shards": shards}),
        ),
        ("GET" | "POST", _) if last == "_refresh" => Answer::json(200, &json!({"_shards": shards})),
        ("HEAD", _) if shared.lock().store.has_index(path) => Answer::json(200, &json!({})),
        ("HEAD", _) => Answer::bytes(404, Vec::new()),
        _ => Answer::error(
            400,
            "illegal_argument_exception",
            &format!("the stand-in does not answer {method} /{path}"),
        ),
    }
}

fn answer_bulk(shared: &Shared, index: &str, query: &str, body: &[u8]) -> Answer {
    let mut state = shared.lock();
    let number = state.store.counted.requests;
    state.store.counted.requests += 1;
    state.store.counted.bytes += body.len() as u64;
    let under_way = shared.under_way.load(Ordering::Relaxed);
    let asked = FaultRequest {
        number,
        under_way,
        body,
    };
    let fault = state.faults.of_request(&asked);
    if fault.is_some() {
        state.store.counted.faulted_requests += 1;
    }
    let missing = match &fault {
        Some(RequestFault::Refuse {
            status,
            kind,
            reason,
        }) => return Answer::error(*status, kind, reason),
        Some(RequestFault::RefuseInWords(status, text)) => {
            return Answer::json(*status, &json!({"error": text, "status": status}));
        }
        Some(RequestFault::GatewayTimeout(delay)) => {
            return Answer {
                delay: *delay,
                ..Answer::error(504, "", "")
            };
        }
        Some(RequestFault::CutBefore) => {
            return Answer {
                cut: Cut::BeforeReply,
                ..Answer::bytes(200, Vec::new())
            };
        }
        Some(RequestFault::ItemsMissing(missing)) => *missing,
        _ => 0,
    };
    let applied = bulk::apply(&mut state, &Filter::of_query(query), index, body, missing);
    let mut delay = shared.delay;
    let answer = match applied {
        Ok(applied) => {
            if applied.waits {
                delay += shard_wait(query);
            }
            Answer::bytes(200, applied.answer)
        }
        Err(reason) => Answer::error(400, "illegal_argument_exception", &reason),
    };
    match fault {
        Some(RequestFault::Delay(delay)) => Answer { delay, ..answer },
        Some(RequestFault::CutAfter) => Answer {
            cut: Cut::BeforeReply,
            ..answer
        },
        Some(RequestFault::CutReply) => Answer {
            cut: Cut::WithinReply,
            ..answer
        },
        Some(RequestFault::NotJson) => Answer {
            content_type: "text/html",
            body: b"<html><body>Bad gateway</body></html>".to_vec(),
            ..answer
        },
        _ => Answer { delay, ..answer },
    }
}

/// How long a request waits for a shard: as long as its `timeout` says in milliseconds, else a minute.
fn shard_wait(query: &str) -> Duration {
    let timeout = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("timeout=")?.strip_suffix("ms"));
    let wait = timeout.and_then(|timeout| timeout.parse().ok());
    wait.map_or(Duration::from_secs(60), Duration::from_millis)
}

fn identity() -> Value {
    json!({
        "name": "stand-in",
        "cluster_name": "stand-in",
        "cluster_uuid": "c3RhbmQtaW4tY2x1c3Rlcg",
        "version": {
            "number": VERSION,
            "build_flavor": "default",
            "build_type": "tar",
            "build_hash": "0000000000000000000000000000000000000000",
            "build_date": "2026-01-01T00:00:00.000000000Z",
            "build_snapshot": false,
            "lucene_version": "10.3.1",
            "minimum_wire_compatibility_version": "8.19.0",
            "minimum_index_compatibility_version": "8.0.0",
        },
        "tagline": "You Know, for Search",
    })
}

fn health() -> Value {
    json!({
        "cluster_name": "stand-in",
        "status": "green",
        "timed_out": false,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": 1,
        "active_shards": 1,
        "unassigned_shards": 0,
    })
}

fn nodes(body_max: usize) -> Value {
    let http = json!({"max_content_length_in_bytes": body_max});
    let one = json!({"name": "stand-in", "version": VERSION, "roles": ["data", "ingest", "master"], "http": http});
    json!({"cluster_name": "stand-in", "nodes": {"stand-in": one}})
}

fn cluster() -> Value {
    let uuid = identity()["cluster_uuid"].take();
    json!({"cluster_name": "stand-in", "cluster_uuid": uuid, "nodes": {"versions": [VERSION]}})
}
