//! Deletes the documents of what is to be written anew, a page at a time.

use hyper::Method;
use isobar_topology::OperatorError;
use serde_json::{Value, json};

use super::Search;

/// The documents of a partition, from one offset to before another, that are to be deleted, in whatever
/// index they are; of a data stream, in those behind it.
pub struct Purge<'s> {
    search: &'s Search,
    source: String,
    partition: i32,
    range: Value,
    /// The last page had one that was still there.
    any_deleted: bool,
}

impl<'s> Purge<'s> {
    /// Those of `source`, as [`crate::replay::origin_of`] gives it.
    pub fn new(search: &'s Search, source: String, partition: i32, range: (i64, i64)) -> Self {
        let (from, to) = range;
        Self {
            search,
            source,
            partition,
            range: json!({"range": {"gte": from, "lt": to}}),
            any_deleted: true,
        }
    }

    /// Deletes the next ones, 10,000 at most, and returns how many there were: 0 when none is left.
    /// Refreshes before it looks.
    ///
    /// Fails when documents carry no origin, or when one cannot be deleted; others are gone then.
    pub async fn page(&mut self) -> Result<u64, OperatorError> {
        let Search { ask, pattern, .. } = self.search;
        self.search.refresh().await?;
        let page = (self.search)
            .page(&self.source, self.partition, &self.range, &Value::Null)
            .await?;
        if page.is_empty() {
            return Ok(0);
        }
        if !self.any_deleted {
            return Err(OperatorError::external(format!(
                "documents in {pattern} are found and cannot be deleted: {}",
                page[0]
            )));
        }
        let mut lines = String::new();
        for hit in &page {
            let mut action = json!({"_index": hit["_index"], "_id": hit["_id"]});
            // It decides about the shard.
            if let Some(routing) = hit.get("_routing") {
                action["routing"] = routing.clone();
            }
            lines.push_str(&format!("{}\n", json!({ "delete": action })));
        }
        let path = "_bulk?filter_path=errors,items.*.status,items.*.error";
        let answer = ask.lines(Method::POST, path, lines).await?;
        let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
        // One that somebody else has deleted meanwhile is as good.
        let is_gone = |item: &&Value| matches!(item["delete"]["status"].as_u64(), Some(200 | 404));
        if let Some(item) = items.iter().find(|item| !is_gone(item)) {
            return Err(OperatorError::external(format!(
                "a document in {pattern} cannot be deleted: {item}"
            )));
        }
        if items.len() != page.len() {
            return Err(OperatorError::external(format!(
                "{} deletions in {pattern} were asked for and {} answered",
                page.len(),
                items.len()
            )));
        }
        // What all others have deleted meanwhile is not found again.
        self.any_deleted = items.iter().any(|item| item["delete"]["status"] == 200);
        Ok(page.len() as u64)
    }
}
