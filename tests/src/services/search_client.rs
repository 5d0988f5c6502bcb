//! What a test asks a search server by itself: counts, dumps, templates. Plain HTTP, so that what
//! checks the program shares no code with it. Works with both products and with the stand-in.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http;

/// How long one request may take; a refresh or a search after a large load takes seconds.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);

/// How many documents one page of a dump asks for (the servers' own limit is 10,000).
const PAGE: usize = 10_000;

/// A client of one server. Cheap to clone; every request is a connection of its own.
#[derive(Debug, Clone)]
pub struct SearchClient {
    address: String,
}

/// A document as [`SearchClient::dump`] returns it.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its `_id`.
    pub id: String,
    /// The index that holds it (for a data stream: the backing index).
    pub index: String,
    /// Its number among all that its shard has taken, from 0 in the order in which they came.
    pub sequence: u64,
    /// The fields that were asked for, nested as in the document.
    pub fields: Value,
}

impl SearchClient {
    /// A client of the server at `host:port`, or `user:password@host:port`. Nothing is sent yet.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
        }
    }

    /// The address as it was given.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request and returns the answer's JSON. Fails on any status but 2xx, with the body.
    pub fn json(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let text = body.map(Value::to_string);
        let body = text
            .as_ref()
            .map(|text| ("application/json", text.as_bytes()));
        let response = http::request(&self.address, method, path, body, REQUEST_LIMIT)?;
        response.json().with_context(|| format!("{method} {path}"))
    }

    /// Makes everything indexed so far visible to counts and searches. `index` may be a pattern.
    pub fn refresh(&self, index: &str) -> Result<()> {
        self.json("POST", &format!("/{index}/_refresh"), None)
            .map(drop)
    }

    /// The number of documents. Refresh first.
    pub fn count(&self, index: &str) -> Result<u64> {
        self.count_where(index, &json!({"match_all": {}}))
    }

    /// The number of documents that match a query, such as `{"term": {"level": "error"}}`. Exact after
    /// a refresh.
    pub fn count_where(&self, index: &str, query: &Value) -> Result<u64> {
        let answer = self.json(
            "POST",
            &format!("/{index}/_count"),
            Some(&json!({"query": query})),
        )?;
        answer["count"]
            .as_u64()
            .with_context(|| format!("no count in {answer}"))
    }

    /// Searches with a body of one's own and returns the whole answer.
    pub fn search(&self, index: &str, body: &Value) -> Result<Value> {
        self.json("POST", &format!("/{index}/_search"), Some(body))
    }

    /// All documents of an index or pattern, with the named fields of each (none: only the ids).
    /// Refresh first. Takes a few seconds for 500,000 documents. Fails when fewer arrive than the
    /// server counted.
    pub fn dump(&self, index: &str, fields: &[&str]) -> Result<Vec<Document>> {
        // A scroll and not `search_after`: it reads one unchanging view, in index order, and needs no
        // field to sort by (ids cannot be sorted by at Elasticsearch's defaults).
        let source = if fields.is_empty() {
            json!(false)
        } else {
            json!(fields)
        };
        let first = json!({"size": PAGE, "sort": ["_doc"], "_source": source, "track_total_hits": true, "seq_no_primary_term": true});
        let mut page = self.json("POST", &format!("/{index}/_search?scroll=1m"), Some(&first))?;
        let total = page["hits"]["total"]["value"]
            .as_u64()
            .context("no total in the search answer")?;
        let mut documents = Vec::with_capacity(usize::try_from(total)?);
        loop {
            let scroll = page["_scroll_id"]
                .as_str()
                .context("no scroll in the search answer")?
                .to_owned();
            if let Some(failed) = page["_shards"]["failed"]
                .as_u64()
                .filter(|failed| *failed > 0)
            {
                bail!("{failed} shards failed: {}", page["_shards"]);
            }
            let hits = page["hits"]["hits"]
                .as_array_mut()
                .context("no hits in the search answer")?;
            if hits.is_empty() {
                drop(self.json(
                    "DELETE",
                    "/_search/scroll",
                    Some(&json!({"scroll_id": scroll})),
                )?);
                break;
            }
            for hit in hits {
                documents.push(Document {
                    id: hit["_id"].as_str().context("a hit without _id")?.to_owned(),
                    index: hit["_index"]
                        .as_str()
                        .context("a hit without _index")?
                        .to_owned(),
                    sequence: hit["_seq_no"].as_u64().context("a hit without _seq_no")?,
                    fields: hit["_source"].take(),
                });
            }
            let next = json!({"scroll": "1m", "scroll_id": scroll});
            page = self.json("POST", "/_search/scroll", Some(&next))?;
        }
        if documents.len() as u64 != total {
            bail!(
                "the dump of {index} has {} documents, the server counted {total}",
                documents.len()
            );
        }
        Ok(documents)
    }

    /// Creates or replaces an index template.
    pub fn put_template(&self, name: &str, body: &Value) -> Result<()> {
        self.json("PUT", &format!("/_index_template/{name}"), Some(body))
            .map(drop)
    }

    /// Deletes an index.
    pub fn delete_index(&self, index: &str) -> Result<()> {
        self.json("DELETE", &format!("/{index}"), None).map(drop)
    }

    /// Sends one bulk request (action and document lines) and returns the answer.
    pub fn bulk(&self, lines: &[u8]) -> Result<Value> {
        let body = Some(("application/x-ndjson", lines));
        http::request(&self.address, "POST", "/_bulk", body, REQUEST_LIMIT)?.json()
    }

    /// Fails unless the cluster is up and all primary shards are assigned (yellow or green) now.
    pub fn check_health(&self, limit: Duration) -> Result<()> {
        let path = "/_cluster/health?wait_for_status=yellow&timeout=1s";
        let health = http::request(&self.address, "GET", path, None, limit)?.json()?;
        match health["status"].as_str() {
            Some("yellow" | "green") => Ok(()),
            _ => bail!("the cluster is not up: {health}"),
        }
    }
}
