//! Which path of the embedded index is answered with what: as much of an Elasticsearch 9.2 as sinks
//! and people ask for. What is not answered says so.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::bulk::{self, Filter};
use super::documents::{Documents, Hit};
use super::query::Query;

/// The version whose answers these are.
const VERSION: &str = "9.2.0";
/// Longest body that is read, in bytes; a longer one is answered 413.
pub(super) const BODY_MAX: usize = 16 << 20;
/// Documents that one search returns at most: `index.max_result_window` of Elasticsearch is 10000, too
/// many for a page.
const SIZE_MAX: usize = 1_000;
/// Up to here hits are counted exactly, as `track_total_hits` is by default.
const COUNTED_MAX: usize = 10_000;

/// Status and JSON.
pub(super) type Answer = (StatusCode, Vec<u8>);

/// A request.
pub(super) struct Asked<'r> {
    pub(super) method: Method,
    pub(super) path: &'r str,
    /// What stands behind `?`, as it came.
    pub(super) query: &'r str,
    pub(super) body: &'r [u8],
}

/// Answers one request.
pub(super) fn answer(documents: &mut Documents, asked: &Asked<'_>) -> Answer {
    let path = asked.path.trim_matches('/');
    let (index, last) = path.rsplit_once('/').unwrap_or(("", path));
    let reads = asked.method == Method::GET || asked.method == Method::POST;
    match (asked.method.as_str(), path) {
        ("POST" | "PUT", _) if last == "_bulk" => answer_bulk(documents, index, asked),
        ("GET" | "HEAD", "") => json_of(&identity()),
        ("GET", _) if path.starts_with("_cluster/health") => json_of(&health()),
        ("GET", _) if path.starts_with("_nodes") => json_of(&nodes()),
        ("GET", "_stats") => json_of(&json!(documents.counts())),
        _ if reads && last == "_search" => answer_search(documents, index, asked),
        _ if reads && last == "_count" => answer_count(documents, index, asked),
        // Documents are found as soon as they are stored.
        _ if reads && last == "_refresh" => json_of(&json!({"_shards": shards()})),
        ("GET", _) if index.ends_with("/_doc") => {
            get(documents, index.trim_end_matches("/_doc"), last)
        }
        ("HEAD", _) if !path.contains('/') => match documents.has_index(path) {
            true => (StatusCode::OK, Vec::new()),
            false => (StatusCode::NOT_FOUND, Vec::new()),
        },
        _ => error(
            "illegal_argument_exception",
            &format!(
                "the embedded index does not answer {} /{path}; it answers _bulk, _search?q=, _count, _doc, _refresh and _cluster/health",
                asked.method
            ),
        ),
    }
}

fn answer_bulk(documents: &mut Documents, index: &str, asked: &Asked<'_>) -> Answer {
    let filter = Filter::of_query(asked.query);
    if let Some(pipeline) = asked.parameter("pipeline") {
        let reason = format!("pipeline with id [{pipeline}] does not exist");
        return error("illegal_argument_exception", &reason);
    }
    let applied = bulk::apply(asked.body, index, &filter, usize::MAX, |item| {
        documents.apply(item)
    });
    match applied {
        Ok(items) => (StatusCode::OK, items),
        Err(reason) => error("illegal_argument_exception", &reason),
    }
}

fn answer_search(documents: &Documents, index: &str, asked: &Asked<'_>) -> Answer {
    let query = match asked.query() {
        Ok(query) => query,
        Err(answer) => return answer,
    };
    let size = asked.parameter("size");
    let size = match size.as_deref().map(str::parse::<usize>) {
        None => 10,
        Some(Ok(size)) if size <= SIZE_MAX => size,
        Some(_) => {
            let reason = format!("[size] must be a number from 0 to {SIZE_MAX}");
            return error("illegal_argument_exception", &reason);
        }
    };
    let mut found = documents.find(index, &query);
    let shown: Vec<Value> = found.by_ref().take(size).map(|hit| hit.to_json()).collect();
    let more = found
        .take(COUNTED_MAX + 1 - shown.len().min(COUNTED_MAX))
        .count();
    let total = shown.len() + more;
    let relation = if total > COUNTED_MAX { "gte" } else { "eq" };
    let total = json!({"value": total.min(COUNTED_MAX), "relation": relation});
    json_of(&json!({
        "took": 1,
        "timed_out": false,
        "_shards": shards(),
        "hits": {"total": total, "max_score": 1.0, "hits": shown},
    }))
}

fn answer_count(documents: &Documents, index: &str, asked: &Asked<'_>) -> Answer {
    match asked.query() {
        Ok(query) => {
            let count = documents.find(index, &query).count();
            json_of(&json!({"count": count, "_shards": shards()}))
        }
        Err(answer) => answer,
    }
}

fn get(documents: &Documents, index: &str, id: &str) -> Answer {
    let id = decoded(id);
    let Some(source) = documents.get(index, &id) else {
        let body = json!({"_index": index, "_id": id, "found": false});
        return (StatusCode::NOT_FOUND, body.to_string().into_bytes());
    };
    let source = Hit {
        index,
        id: &id,
        source,
    }
    .source();
    json_of(&json!({"_index": index, "_id": id, "found": true, "_source": source}))
}

impl Asked<'_> {
    /// The value of a parameter, decoded.
    fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        Some(decoded(&value.replace('+', " ")))
    }

    fn query(&self) -> Result<Query, Answer> {
        if !self.body.trim_ascii().is_empty() {
            let reason = "the embedded index reads no query from a body; give it as ?q=";
            return Err(error("parsing_exception", reason));
        }
        let all = self.parameter("default_operator");
        let all = all.is_some_and(|operator| operator.eq_ignore_ascii_case("AND"));
        let text = self.parameter("q").unwrap_or_default();
        Query::parse(&text, all).map_err(|reason| error("query_shard_exception", &reason))
    }
}

impl Hit<'_> {
    fn to_json(&self) -> Value {
        json!({"_index": self.index, "_id": self.id, "_score": 1.0, "_source": self.source()})
    }

    fn source(&self) -> Value {
        // What is stored was parsed before.
        serde_json::from_slice(self.source).unwrap_or_default()
    }
}

fn json_of(value: &Value) -> Answer {
    (StatusCode::OK, value.to_string().into_bytes())
}

fn error(kind: &str, reason: &str) -> Answer {
    let cause = json!({"type": kind, "reason": reason});
    let error = json!({"root_cause": [cause], "type": kind, "reason": reason});
    let body = json!({"error": error, "status": 400});
    (StatusCode::BAD_REQUEST, body.to_string().into_bytes())
}

/// Undoes percent-encoding; what is none stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match (*first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (byte, _) => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn shards() -> Value {
    json!({"total": 1, "successful": 1, "skipped": 0, "failed": 0})
}

fn identity() -> Value {
    json!({
        "name": "embedded",
        "cluster_name": "embedded",
        "cluster_uuid": "ZW1iZWRkZWQtaXNvYmFyIA",
        "version": {
            "number": VERSION,
            "build_flavor": "isobar-embedded",
            "minimum_wire_compatibility_version": "8.19.0",
            "minimum_index_compatibility_version": "8.0.0",
        },
        "tagline": "A stand-in inside of Isobar, for trying things out",
    })
}

fn health() -> Value {
    json!({
        "cluster_name": "embedded",
        "status": "green",
        "timed_out": false,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_primary_shards": 1,
        "active_shards": 1,
        "unassigned_shards": 0,
    })
}

fn nodes() -> Value {
    let http = json!({"max_content_length_in_bytes": BODY_MAX});
    let one = json!({"name": "embedded", "version": VERSION, "roles": ["data", "ingest", "master"], "http": http});
    json!({"cluster_name": "embedded", "nodes": {"embedded": one}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(documents: &mut Documents, method: Method, target: &str, body: &str) -> (u16, Value) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let asked = Asked {
            method,
            path,
            query,
            body: body.as_bytes(),
        };
        let (status, body) = answer(documents, &asked);
        (
            status.as_u16(),
            serde_json::from_slice(&body).unwrap_or_default(),
        )
    }

    fn filled() -> Documents {
        let mut documents = Documents::new(1 << 20);
        let line = |n: usize| {
            let level = if n.is_multiple_of(5) { "error" } else { "info" };
            format!(
                "{{\"create\":{{\"_index\":\"logs\",\"_id\":\"{n}\"}}}}\n{{\"n\":{n},\"level\":\"{level}\"}}\n"
            )
        };
        let body: String = (0..20).map(line).collect();
        let (status, stored) = ask(&mut documents, Method::POST, "/_bulk", &body);
        assert_eq!((status, &stored["errors"]), (200, &json!(false)));
        documents
    }

    #[test]
    fn documents_are_counted_and_found_the_latest_first() {
        let mut documents = filled();
        let mut get = |target: &str| ask(&mut documents, Method::GET, target, "");
        assert_eq!(get("/_count").1["count"], 20);
        assert_eq!(get("/logs/_count?q=level:error").1["count"], 4);
        assert_eq!(get("/other/_count").1["count"], 0);
        let (status, found) = get("/logs/_search?q=level%3Aerror&size=2");
        assert_eq!(status, 200);
        let hits = &found["hits"];
        assert_eq!(hits["total"], json!({"value": 4, "relation": "eq"}));
        assert_eq!(hits["hits"][0]["_id"], "15");
        assert_eq!(
            hits["hits"][1]["_source"],
            json!({"n": 10, "level": "error"})
        );
        let (_, all) = get("/_search?q=error+n:15&default_operator=AND");
        assert_eq!(all["hits"]["total"]["value"], 1);
        assert_eq!(get("/logs/_doc/7").1["_source"]["n"], 7);
        assert_eq!(get("/logs/_doc/70").0, 404);
    }

    #[test]
    fn what_is_not_answered_says_so() {
        let mut documents = filled();
        for (method, target, body, part) in [
            (
                Method::GET,
                "/_cat/indices",
                "",
                "does not answer GET /_cat/indices",
            ),
            (
                Method::PUT,
                "/_index_template/logs",
                "{}",
                "does not answer PUT",
            ),
            (Method::GET, "/_search?q=a~", "", "does not understand `~`"),
            (Method::POST, "/_search", "{\"query\":{}}", "give it as ?q="),
            (Method::GET, "/_search?size=5000", "", "0 to 1000"),
            (
                Method::POST,
                "/_bulk?pipeline=p",
                "{}\n",
                "pipeline with id [p] does not exist",
            ),
            (Method::POST, "/_bulk", "{}", "terminated by a newline"),
        ] {
            let (status, said) = ask(&mut documents, method, target, body);
            let reason = said["error"]["reason"].as_str().unwrap_or_default();
            assert!(status == 400 && reason.contains(part), "{target}: {said}");
        }
    }
}
