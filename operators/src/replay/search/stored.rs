//! Documents as they are stored, to compare with what would be written: found by id and by origin, in
//! whatever index of the sink they are.

use std::collections::BTreeMap;

use hyper::Method;
use isobar_topology::OperatorError;
use serde_json::{Value, json};

use super::Search;

/// Documents of one answer. Whoever compares does it with a sample; a record has a few at most.
const STORED_MAX: usize = 1_000;

/// A document that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The index that it is in; of a data stream, the one behind it.
    pub index: String,
    /// Its id there.
    pub id: String,
    /// The document.
    pub document: Value,
}

/// Where a record was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The source as [`crate::replay::origin_of`] gives it.
    pub source: String,
    /// The partition.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
}

impl Search {
    /// Finds the documents that have one of these ids, or say that they come from one of these places: at
    /// most 1,000. Refresh before.
    ///
    /// Fails when an answer is not whole.
    pub async fn stored(
        &self,
        ids: &[&str],
        places: &[Place],
    ) -> Result<Vec<Stored>, OperatorError> {
        let mut any = vec![json!({"ids": {"values": ids}})];
        if self.origin.is_some() {
            let mut partitions: BTreeMap<(&str, i32), Vec<i64>> = BTreeMap::new();
            for place in places {
                let of_partition = partitions.entry((&place.source, place.partition));
                of_partition.or_default().push(place.offset);
            }
            for ((source, partition), offsets) in partitions {
                any.push(self.of_records(source, partition, &json!({"terms": offsets}))?);
            }
        }
        let body = json!({
            "size": STORED_MAX, "track_total_hits": false,
            "query": {"bool": {"should": any, "minimum_should_match": 1}},
        });
        let kept = "hits.hits._index,hits.hits._id,hits.hits._source";
        let mut answer = self.search(&body, kept).await?;
        let Value::Array(hits) = answer["hits"]["hits"].take() else {
            return Ok(Vec::new());
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let stored = hits.into_iter().map(|mut hit| Stored {
            index: text(&hit["_index"]),
            id: text(&hit["_id"]),
            document: hit["_source"].take(),
        });
        Ok(stored.collect())
    }

    /// The index that a document goes to that is written to `name`: itself, the one that an alias writes
    /// to, or the newest of a data stream. `None` where there is none yet, or an alias does not say.
    pub async fn written_to(
        &self,
        name: &str,
        is_data_stream: bool,
    ) -> Result<Option<String>, OperatorError> {
        // With a `*`, what does not exist is no error.
        if is_data_stream {
            let path = format!("_resolve/index/{name}*");
            let answer = self.ask.any(Method::GET, &path, None).await?;
            return Ok(newest_of_stream(&answer, name));
        }
        let path = format!("_alias/{name}*?expand_wildcards=all");
        let answer = self.ask.any(Method::GET, &path, None).await?;
        Ok(written_by_alias(&answer, name))
    }
}

/// Of the answer to `GET _resolve/index`: the indices of a data stream are listed in the order of their
/// generations.
fn newest_of_stream(answer: &Value, name: &str) -> Option<String> {
    let mut streams = answer["data_streams"].as_array()?.iter();
    let stream = streams.find(|stream| stream["name"] == name)?;
    let newest = stream["backing_indices"].as_array()?.last()?;
    Some(newest.as_str()?.to_owned())
}

/// Of the answer to `GET _alias`: an alias of several indices writes to the one that says so.
fn written_by_alias(answer: &Value, name: &str) -> Option<String> {
    let indices = answer.as_object().into_iter().flatten();
    let behind: Vec<(&String, &Value)> = indices
        .filter_map(|(index, about)| Some((index, about["aliases"].get(name)?)))
        .collect();
    match behind.as_slice() {
        [] => Some(name.to_owned()),
        [(index, alias)] if alias["is_write_index"] != false => Some((*index).clone()),
        several => {
            let mut several = several.iter();
            let writes = several.find(|(_, alias)| alias["is_write_index"] == true)?;
            Some(writes.0.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_leads_to_the_index_that_it_writes_to() {
        let alias = |more: Value| json!({"aliases": {"logs": more}});
        let answer = json!({"logs-1": alias(json!({})), "logs-old": {"aliases": {"logs-o": {}}}});
        assert_eq!(written_by_alias(&answer, "logs").as_deref(), Some("logs-1"));
        assert_eq!(written_by_alias(&answer, "lo").as_deref(), Some("lo"));
        let rolled = json!({
            "logs-1": alias(json!({"is_write_index": false})),
            "logs-2": alias(json!({"is_write_index": true})),
        });
        assert_eq!(written_by_alias(&rolled, "logs").as_deref(), Some("logs-2"));
        let unsaid = json!({"logs-1": alias(json!({})), "logs-2": alias(json!({}))});
        assert_eq!(written_by_alias(&unsaid, "logs"), None);
    }

    #[test]
    fn a_data_stream_writes_to_its_newest_index() {
        let answer = json!({"data_streams": [
            {"name": "app-2", "backing_indices": [".ds-app-2-1"]},
            {"name": "app", "backing_indices": [".ds-app-1", ".ds-app-2"]},
        ]});
        let newest = newest_of_stream(&answer, "app");
        assert_eq!(newest.as_deref(), Some(".ds-app-2"));
        assert_eq!(newest_of_stream(&answer, "ap"), None);
    }
}
