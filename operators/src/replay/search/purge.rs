//! Deletes the documents of what is to be written anew, a page at a time.

use hyper::Method;
use isobar_topology::OperatorError;
use serde_json::{Value, json};

use super::{Search, Versions};

/// The documents of a partition, from one offset to before another, that are to be deleted, in the indices
/// that are searched ([`Search::only`]).
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

    /// Deletes the next ones, 10,000 at most, and returns how many it has deleted: `None` when there was none
    /// left, 0 when others did, or wrote all of them anew, since it looked; that stays. Refreshes before it
    /// looks.
    ///
    /// Fails when documents carry no origin, or when one cannot be deleted; others are gone then. Fails also
    /// when there are some after a page of which none could be deleted: others write as fast as it deletes.
    pub async fn page(&mut self) -> Result<Option<u64>, OperatorError> {
        let Search { ask, pattern, .. } = self.search;
        self.search.make_visible().await?;
        let page = (self.search)
            .page(
                &self.source,
                self.partition,
                &self.range,
                &Value::Null,
                Versions::Told,
            )
            .await?;
        if page.is_empty() {
            return Ok(None);
        }
        if !self.any_deleted {
            return Err(OperatorError::external(format!(
                "documents in {pattern} are found and cannot be deleted: {}",
                page[0]
            )));
        }
        let path = "_bulk?filter_path=errors,items.*.status,items.*.error";
        let answer = ask.lines(Method::POST, path, deletions(&page)).await?;
        let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
        if let Some(item) = items.iter().find(|item| !is_settled(item)) {
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
        let deleted = items.iter().filter(|item| item["delete"]["status"] == 200);
        let deleted = deleted.count() as u64;
        // What all others have deleted meanwhile is not found again.
        self.any_deleted = deleted > 0;
        Ok(Some(deleted))
    }
}

/// The lines of a bulk request that deletes the documents of a page as they were found: a request that
/// is slow on its way must not delete what another run has written meanwhile.
fn deletions(page: &[Value]) -> String {
    let mut lines = String::new();
    for hit in page {
        let mut action = json!({"_index": hit["_index"], "_id": hit["_id"]});
        let copied = [
            ("_seq_no", "if_seq_no"),
            ("_primary_term", "if_primary_term"),
            // It decides about the shard.
            ("_routing", "routing"),
        ];
        for (found, option) in copied {
            if let Some(value) = hit.get(found) {
                action[option] = value.clone();
            }
        }
        lines.push_str(&format!("{}\n", json!({ "delete": action })));
    }
    lines
}

/// Whether a document is deleted, or somebody else has deleted it or written it anew meanwhile. The next
/// page has those that are still there.
fn is_settled(item: &Value) -> bool {
    matches!(item["delete"]["status"].as_u64(), Some(200 | 404 | 409))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::answered;
    use super::*;

    /// The indices of a host that gives these answers, one after the other.
    pub(in crate::replay::search) fn answering(answers: Vec<Value>) -> Search {
        let mut answers = answers.into_iter();
        answered(move |_| answers.next().expect("one is left"))
    }

    #[tokio::test]
    async fn what_others_deleted_or_wrote_anew_is_not_counted() {
        let found = |ids: &[&str]| {
            let hits = ids.iter().map(|id| json!({"_index": "logs", "_id": id}));
            let hits: Vec<Value> = hits.collect();
            json!({"_shards": {"failed": 0}, "timed_out": false, "hits": {"hits": hits}})
        };
        let deleted = |statuses: &[u16]| {
            let items = statuses
                .iter()
                .map(|status| json!({"delete": {"status": status}}));
            json!({"items": items.collect::<Vec<_>>()})
        };
        let search = answering(vec![
            json!({}),
            found(&["1", "2", "3", "4"]),
            deleted(&[200, 404, 409, 200]),
            json!({}),
            found(&["3"]),
            deleted(&[404]),
            json!({}),
            found(&[]),
        ]);
        let mut purge = Purge::new(&search, "s".to_owned(), 0, (0, 10));
        let mut pages = Vec::new();
        for _ in 0..3 {
            pages.push(purge.page().await.expect("an answer"));
        }
        assert_eq!(pages, [Some(2), Some(0), None]);
    }

    #[test]
    fn what_was_found_is_deleted_and_no_later_version_of_it() {
        let page = [
            json!({"_index": "a", "_id": "1", "_seq_no": 7, "_primary_term": 2, "sort": [0, "a"]}),
            json!({"_index": "b", "_id": "2", "_routing": "r"}),
        ];
        let lines = deletions(&page);
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let expected = [
            json!({"delete": {"_index": "a", "_id": "1", "if_seq_no": 7, "if_primary_term": 2}}),
            json!({"delete": {"_index": "b", "_id": "2", "routing": "r"}}),
        ];
        assert_eq!(lines, expected);
        for (status, settled) in [
            (200, true),
            (404, true),
            (409, true),
            (403, false),
            (429, false),
        ] {
            let item = json!({"delete": {"status": status}});
            assert_eq!(is_settled(&item), settled, "{status}");
        }
    }
}
