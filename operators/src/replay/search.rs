//! What of a range is in the index: asked over the origin fields that every document carries.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use isobar_topology::OperatorError;
use isobar_topology::spec::{Component, Node, Problems, Spec};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::graph::Sink;
use crate::elasticsearch::access::Access;
use crate::elasticsearch::connection::ElasticsearchConnection;
use crate::elasticsearch::exchange::causes;
use crate::elasticsearch::hosts::named;

/// Documents of one answer: the most that an index gives at its default settings.
const PAGE: usize = 10_000;

/// The indices of a sink, to be searched.
pub struct Search {
    http: reqwest::Client,
    urls: Vec<Url>,
    timeout: Duration,
    /// Names of the indices, `*` where the record decides.
    pattern: String,
    /// The origin field; `None` where documents carry none.
    origin: Option<String>,
}

/// An index that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexState {
    /// Its name.
    pub name: String,
    /// The blocks that keep documents out, by Elasticsearch's names.
    pub blocks: Vec<String>,
}

/// Offsets of one partition that have a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In ascending order, each once.
    pub offsets: Vec<i64>,
    /// Documents beyond the first of their offset in the same index: children of split records.
    pub more: u64,
    /// Offsets with documents in two indices.
    pub doubled: Vec<i64>,
}

impl Search {
    /// Makes a client for the indices of `sink`, a bolt of `spec`. Relative paths of the connection go
    /// through `beside`.
    ///
    /// Fails with what is wrong with the connection.
    pub fn of(
        spec: &Spec,
        sink: &Sink,
        beside: impl Fn(&std::path::Path) -> PathBuf,
    ) -> Result<Self, OperatorError> {
        let gone = || OperatorError::user(format!("{} has no connection", sink.bolt));
        let bolt = spec.bolts.iter().find(|bolt| bolt.id == sink.bolt);
        let bolt = bolt.ok_or_else(gone)?;
        let name = bolt.config.get("connection").and_then(Node::text);
        let component = spec
            .connections
            .iter()
            .find(|one| Some(one.id.as_str()) == name);
        let unsound = |problems: Problems| OperatorError::user(problems.to_string());
        let connection = ElasticsearchConnection::read(component.ok_or_else(gone)?)
            .map_err(unsound)?
            .beside(beside);
        Ok(Self {
            http: Access::load(&connection)?.http(1)?,
            urls: connection.urls(),
            timeout: connection.request_timeout.get(),
            pattern: pattern(&sink.index),
            origin: origin(bolt),
        })
    }

    /// The field that tells where a document comes from.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The indices that exist, with what keeps documents out. Of a data stream, those behind it.
    pub async fn indices(&self) -> Result<Vec<IndexState>, OperatorError> {
        let path = format!("{}/_settings?{LENIENT}&flat_settings=true", self.pattern);
        let answer = self.ask(Method::GET, &path, None).await?;
        let indices = answer.as_object().into_iter().flatten();
        let state = |(name, index): (&String, &Value)| {
            let settings = index["settings"].as_object().into_iter().flatten();
            let blocks = settings
                .filter(|(key, value)| key.starts_with("index.blocks.") && *value == "true")
                .map(|(key, _)| key.clone());
            IndexState {
                name: name.clone(),
                blocks: blocks.collect(),
            }
        };
        Ok(indices.map(state).collect())
    }

    /// Makes everything that is indexed visible to searches.
    pub async fn refresh(&self) -> Result<(), OperatorError> {
        let path = format!("{}/_refresh?{LENIENT}", self.pattern);
        self.ask(Method::POST, &path, None).await.map(|_| ())
    }

    /// Finds the offsets of a partition, from one to before another, that have a document. `source` is
    /// that of [`super::origin_of`]. Reads 10,000 documents at a time; refresh before.
    ///
    /// Fails when documents carry no origin, or when an answer is not whole.
    pub async fn offsets(
        &self,
        source: &str,
        partition: i32,
        (from, to): (i64, i64),
    ) -> Result<Found, OperatorError> {
        let field = self.origin.as_deref().ok_or_else(|| {
            OperatorError::user(
                "documents carry no origin (`origin: off`): nothing can be verified",
            )
        })?;
        let name = |member: &str| format!("{field}.{member}");
        // A mapping that was made by itself has text with a keyword beside it, one made on purpose may
        // have the keyword alone.
        let source = json!({"bool": {"minimum_should_match": 1, "should": [
            {"term": {name("s"): source}},
            {"term": {format!("{field}.s.keyword"): source}},
        ]}});
        let mut found = Found::default();
        let mut last: Option<(i64, String)> = None;
        let mut after = Value::Null;
        loop {
            let mut body = json!({
                "size": PAGE, "_source": false, "track_total_hits": false,
                "sort": [{name("o"): {"order": "asc", "unmapped_type": "long"}}, {"_index": "asc"}],
                "query": {"bool": {"filter": [
                    {"term": {name("p"): partition}},
                    {"range": {name("o"): {"gte": from, "lt": to}}},
                    source,
                ]}},
            });
            if !after.is_null() {
                body["search_after"] = after;
            }
            let path = format!(
                "{}/_search?{LENIENT}&filter_path=_shards.failed,timed_out,hits.hits.sort",
                self.pattern
            );
            let answer = self.ask(Method::POST, &path, Some(&body)).await?;
            let failed = answer["_shards"]["failed"].as_u64() != Some(0);
            if failed || answer["timed_out"] == true {
                return Err(OperatorError::external(format!(
                    "a search in {} is not whole: {answer}",
                    self.pattern
                )));
            }
            let Some(hits) = answer["hits"]["hits"]
                .as_array()
                .filter(|hits| !hits.is_empty())
            else {
                return Ok(found);
            };
            for hit in hits {
                let sort = &hit["sort"];
                let (Some(offset), Some(index)) = (sort[0].as_i64(), sort[1].as_str()) else {
                    return Err(OperatorError::external(format!("not understood: {hit}")));
                };
                found.add(offset, index, &mut last);
            }
            after = hits.last().map_or(Value::Null, |hit| hit["sort"].clone());
        }
    }

    /// Asks the hosts, one after the other, until one answers.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, OperatorError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut causes = Vec::new();
        for host in &self.urls {
            let host_name = named(host);
            let url = host
                .join(path)
                .map_err(|error| OperatorError::user(format!("{path}: {error}")))?;
            match self.send(method.clone(), url, body.clone().into()).await {
                Ok((200, answer)) => {
                    return serde_json::from_slice(&answer).map_err(|error| {
                        OperatorError::external(format!("{host_name}: no JSON: {error}"))
                    });
                }
                Ok((status, answer)) => {
                    let said = String::from_utf8_lossy(&answer);
                    let said: String = said.chars().take(300).collect();
                    causes.push(format!("{host_name}: {status} {said}"));
                }
                Err(cause) => causes.push(format!("{host_name}: {cause}")),
            }
        }
        Err(OperatorError::external(causes.join("; ")))
    }

    async fn send(&self, method: Method, url: Url, body: Bytes) -> Result<(u16, Bytes), String> {
        let request = self
            .http
            .request(method, url)
            .header("content-type", "application/json")
            .body(body)
            .timeout(self.timeout);
        let answer = request.send().await.map_err(|error| causes(&error))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|error| causes(&error))?;
        Ok((status, body))
    }
}

impl Found {
    /// Takes the next document, in the order of offset and index.
    fn add(&mut self, offset: i64, index: &str, last: &mut Option<(i64, String)>) {
        match last {
            Some((at, at_index)) if *at == offset && at_index == index => self.more += 1,
            Some((at, at_index)) if *at == offset => {
                if self.doubled.last() != Some(&offset) {
                    self.doubled.push(offset);
                }
                index.clone_into(at_index);
            }
            _ => {
                self.offsets.push(offset);
                *last = Some((offset, index.to_owned()));
            }
        }
    }
}

/// No index at all is an answer, and closed ones are left out.
const LENIENT: &str = "ignore_unavailable=true&allow_no_indices=true&expand_wildcards=open,hidden";

/// The names that a template can give.
fn pattern(index: &str) -> String {
    let mut pattern = String::new();
    let mut rest = index;
    while let Some((before, after)) = rest.split_once("{{") {
        pattern.push_str(before);
        if !pattern.ends_with('*') {
            pattern.push('*');
        }
        rest = after.split_once("}}").map_or("", |(_, rest)| rest);
    }
    pattern.push_str(rest);
    pattern
}

fn origin(bolt: &Component) -> Option<String> {
    match bolt.config.get("origin") {
        None => Some("_isobar".to_owned()),
        Some(origin) => origin.get("field").and_then(Node::text).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_become_patterns() {
        for (index, expected) in [
            ("logs", "logs"),
            ("logs-{{ event_time.format('%Y.%m.%d') }}", "logs-*"),
            ("{{ doc.a }}{{ doc.b }}-x-{{ doc.c }}", "*-x-*"),
        ] {
            assert_eq!(pattern(index), expected);
        }
    }

    #[test]
    fn offsets_in_two_indices_are_told_from_children_of_one_record() {
        let mut found = Found::default();
        let mut last = None;
        for (offset, index) in [
            (3, "a"),
            (4, "a"),
            (4, "a"),
            (5, "a"),
            (5, "b"),
            (5, "c"),
            (7, "b"),
        ] {
            found.add(offset, index, &mut last);
        }
        let expected = Found {
            offsets: vec![3, 4, 5, 7],
            more: 1,
            doubled: vec![5],
        };
        assert_eq!(found, expected);
    }
}
