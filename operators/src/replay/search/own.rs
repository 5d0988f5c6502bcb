//! Which indices are a sink's: a pattern such as `logs-*` finds those of other sinks and topologies, and side
//! indices of earlier replays, as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use hyper::Method;
use isobar_topology::OperatorError;
use serde_json::{Value, json};

use super::Search;
use crate::replay::graph::Sink;
use crate::replay::names::Names;

/// Indices of one answer that have documents of some records; more than these are an error.
const HOLDERS_MAX: usize = 10_000;

/// An index that exists and that a sink's pattern finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexState {
    /// Its name; of a data stream, one behind it.
    pub name: String,
    /// The names that lead to it: its own, and those of aliases and data streams.
    pub names: BTreeSet<String>,
    /// What keeps documents out, by Elasticsearch's names.
    pub blocks: Vec<String>,
    /// One of its names is such as the sink's template makes them, and such as no other sink beside it whose
    /// template says more of the name.
    pub is_own: bool,
    /// The sink writes to it by its own name, and not by that of an alias or data stream.
    pub by_own_name: bool,
    /// The index that takes by now what the sink wrote to this one, by the name of an alias or a data stream.
    pub moved_to: Option<String>,
    /// A sink that takes no part and can write there, too.
    pub shared_with: Option<String>,
    /// None of its names is such as this sink or another one makes them, and no pipeline may have led documents there.
    pub is_nobodys: bool,
}

/// Another sink of a topology.
pub(super) struct Other {
    bolt: String,
    names: Names,
    is_left_out: bool,
}

impl Search {
    /// Tells it which sinks there are beside its own: those that take part, and those that are left out.
    pub fn beside(mut self, sinks: &[Sink], left_out: &[Sink]) -> Self {
        let all = sinks.iter().map(|sink| (sink, false));
        let all = all.chain(left_out.iter().map(|sink| (sink, true)));
        let others = all.filter(|(sink, _)| sink.bolt != self.bolt);
        self.others = others
            .map(|(sink, is_left_out)| Other {
                bolt: sink.bolt.clone(),
                names: Names::of(&sink.index),
                is_left_out,
            })
            .collect();
        self
    }

    /// The indices that exist and that the pattern finds, closed ones included, with whose they are and what
    /// keeps documents out. Of a data stream, those behind it.
    pub async fn indices(&self) -> Result<Vec<IndexState>, OperatorError> {
        let reached = self.reached().await?;
        let written = self.written(&reached).await?;
        let path = format!(
            "{}/_settings?ignore_unavailable=true&allow_no_indices=true&expand_wildcards=all&flat_settings=true",
            self.pattern
        );
        let answer = self.ask.any(Method::GET, &path, None).await?;
        let states = reached.into_iter().map(|(name, reached)| {
            let settings = answer[&name]["settings"].as_object().into_iter().flatten();
            let set = settings.filter(|(_, value)| *value == "true" || **value == true);
            let set: Vec<&str> = set.map(|(key, _)| key.as_str()).collect();
            let is_closed = reached.is_closed || set.contains(&"index.verified_before_close");
            let blocks = set.iter().filter(|key| BLOCKS.contains(key));
            let blocks = blocks.map(|key| (*key).to_owned());
            let mut by_names = reached.names.iter().filter_map(|by| written.get(by));
            let moved_to = by_names.find(|to| **to != name).cloned();
            let blocks = blocks.chain(is_closed.then(|| CLOSED.to_owned()));
            let state = self.state(name, reached.names, blocks);
            IndexState {
                moved_to: moved_to.filter(|_| state.is_own && !state.by_own_name),
                ..state
            }
        });
        Ok(states.collect())
    }

    /// Whether no two of the sinks, nor one that is left out, can write to the same index of those that exist: then all
    /// that one finds is its own.
    pub async fn are_apart(searches: &[Self]) -> Result<bool, OperatorError> {
        let mut seen = BTreeSet::new();
        for search in searches {
            let indices = search.indices().await?;
            for state in indices.into_iter().filter(|state| state.is_own) {
                if state.shared_with.is_some() || !seen.insert(state.name) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The index that each alias and data stream writes to by whose name the sink does, as far as they say.
    async fn written(
        &self,
        reached: &BTreeMap<String, Reached>,
    ) -> Result<BTreeMap<String, String>, OperatorError> {
        let mut written = BTreeMap::new();
        for (index, one) in reached {
            for name in one.names.iter().filter(|name| *name != index) {
                if self.is_own_name(name) && !written.contains_key(name) {
                    let is_stream = one.streams.contains(name);
                    let to = self.written_to(name, is_stream).await?;
                    written.extend(to.map(|to| (name.clone(), to)));
                }
            }
        }
        Ok(written)
    }

    /// The indices with documents of a partition, from one offset to before another, whosever they are, with
    /// how many. Make them visible before. `source` is that of [`crate::replay::origin_of`].
    ///
    /// Fails when documents carry no origin, when an answer is not whole, or when there are more than 10,000
    /// indices.
    pub async fn holders(
        &self,
        source: &str,
        partition: i32,
        (from, to): (i64, i64),
    ) -> Result<BTreeMap<String, u64>, OperatorError> {
        let range = json!({"range": {"gte": from, "lt": to}});
        let body = json!({
            "size": 0, "track_total_hits": false,
            "query": self.of_records(source, partition, &range)?,
            "aggs": {"indices": {"terms": {"field": "_index", "size": HOLDERS_MAX}}},
        });
        let kept = "aggregations.indices.buckets,aggregations.indices.sum_other_doc_count";
        let answer = self.search_all(&body, kept).await?;
        let found = &answer["aggregations"]["indices"];
        if found["sum_other_doc_count"]
            .as_u64()
            .is_some_and(|more| more > 0)
        {
            return Err(OperatorError::user(format!(
                "documents of the records are in more than {HOLDERS_MAX} indices of {}; take a smaller range",
                self.pattern
            )));
        }
        let buckets = found["buckets"].as_array().into_iter().flatten();
        let each = buckets.filter_map(|bucket| {
            Some((
                bucket["key"].as_str()?.to_owned(),
                bucket["doc_count"].as_u64()?,
            ))
        });
        Ok(each.collect())
    }

    /// Searches, and deletes, in these indices alone until the next [`Search::refresh`].
    pub fn only(&self, indices: impl IntoIterator<Item = String>) {
        self.set_own(Some(indices.into_iter().collect()));
    }

    /// Finds out which indices are the sink's. A name without `*` is what leads to it, and all are. Where a
    /// pipeline may have sent documents anywhere, so are those that no other sink can have written.
    pub(super) async fn find_own(&self) -> Result<(), OperatorError> {
        if !self.pattern.contains('*') {
            self.set_own(None);
            return Ok(());
        }
        let reached = self.reached().await?;
        let all = reached.len();
        let own = reached.into_iter().filter_map(|(name, one)| {
            let is_left = self.has_pipeline && !self.is_anothers(&one.names);
            let state = self.state(name, one.names, std::iter::empty());
            (state.is_own || is_left).then_some(state.name)
        });
        let own: Arc<[String]> = own.collect();
        self.set_own((own.len() < all).then_some(own));
        Ok(())
    }

    /// The body of a search where it is not to look into all that the pattern finds.
    pub(super) fn in_own(&self, body: &Value) -> Option<Value> {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let own = own.as_deref()?;
        let mut body = body.clone();
        let query = body["query"].take();
        body["query"] = json!({"bool": {"filter": [query, {"terms": {"_index": own}}]}});
        Some(body)
    }

    fn set_own(&self, own: Option<Arc<[String]>>) {
        // Nothing panics while holding this lock.
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = own;
    }

    fn state(
        &self,
        name: String,
        names: BTreeSet<String>,
        blocks: impl Iterator<Item = String>,
    ) -> IndexState {
        let shares =
            |other: &&Other| other.is_left_out && names.iter().any(|name| other.names.fit(name));
        let shared_with = self.others.iter().find(shares);
        let is_own = names.iter().any(|name| self.is_own_name(name));
        IndexState {
            is_own,
            is_nobodys: !is_own && !self.has_pipeline && !self.is_anothers(&names),
            by_own_name: self.is_own_name(&name),
            moved_to: None,
            shared_with: shared_with.map(|other| other.bolt.clone()),
            blocks: blocks.collect(),
            name,
            names,
        }
    }

    /// Whether another sink makes one of these names.
    fn is_anothers(&self, names: &BTreeSet<String>) -> bool {
        let fit = |other: &Other| names.iter().any(|name| other.names.fit(name));
        self.others.iter().any(fit)
    }

    /// Whether it is a name that the sink makes, and none that another one rather does.
    fn is_own_name(&self, name: &str) -> bool {
        let mut others = self.others.iter().map(|other| &other.names);
        let is_closer = |other: &Names| other.fit(name) && other.are_closer_than(&self.names);
        self.names.fit(name) && !others.any(is_closer)
    }

    /// The indices that the pattern finds, by name.
    async fn reached(&self) -> Result<BTreeMap<String, Reached>, OperatorError> {
        let is_pattern = self.pattern.contains('*');
        // With a `*`, what does not exist is no error.
        let more = if is_pattern { "" } else { "*" };
        let path = format!("_resolve/index/{}{more}?expand_wildcards=all", self.pattern);
        let answer = self.ask.any(Method::GET, &path, None).await?;
        Ok(reached(&answer, |name| is_pattern || name == self.pattern))
    }
}

/// The blocks that keep documents out; others keep mappings or searches.
const BLOCKS: [&str; 3] = [
    "index.blocks.read_only",
    "index.blocks.read_only_allow_delete",
    "index.blocks.write",
];

/// Stands among the blocks of an index that is closed.
const CLOSED: &str = "closed";

/// What leads to an index, and whether it is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reached {
    names: BTreeSet<String>,
    /// Those of them that are data streams.
    streams: BTreeSet<String>,
    is_closed: bool,
}

/// Of the answer to `GET _resolve/index`: the indices that names which are meant lead to.
fn reached(answer: &Value, is_meant: impl Fn(&str) -> bool) -> BTreeMap<String, Reached> {
    let mut found: BTreeMap<String, Reached> = BTreeMap::new();
    let mut closed = BTreeSet::new();
    for (kind, behind) in [
        ("indices", None),
        ("aliases", Some("indices")),
        ("data_streams", Some("backing_indices")),
    ] {
        for one in answer[kind].as_array().into_iter().flatten() {
            let Some(name) = one["name"].as_str() else {
                continue;
            };
            let mut attributes = one["attributes"].as_array().into_iter().flatten();
            if attributes.any(|attribute| *attribute == "closed") {
                let _ = closed.insert(name);
            }
            if !is_meant(name) {
                continue;
            }
            let indices = match behind {
                None => vec![name],
                Some(member) => texts(&one[member]),
            };
            for index in indices {
                let reached = found.entry(index.to_owned()).or_default();
                reached.names.extend([index.to_owned(), name.to_owned()]);
                if kind == "data_streams" {
                    let _ = reached.streams.insert(name.to_owned());
                }
            }
        }
    }
    for (name, reached) in &mut found {
        reached.is_closed = closed.contains(name.as_str());
    }
    found
}

/// A text, or some.
fn texts(value: &Value) -> Vec<&str> {
    let several = value.as_array().into_iter().flatten();
    let several = several.filter_map(Value::as_str);
    value.as_str().into_iter().chain(several).collect()
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::super::pattern;
    use super::super::purge::tests::answering;
    use super::*;
    use crate::replay::Guarantee;

    fn sink(bolt: &str, index: &str) -> Sink {
        Sink {
            bolt: bolt.to_owned(),
            index: index.to_owned(),
            guarantee: Guarantee::Exact,
        }
    }

    /// The bolt `index` with these names, beside others, and a host that gives these answers.
    fn search(index: &str, sinks: &[Sink], left_out: &[Sink], answers: Vec<Value>) -> Search {
        let search = Search {
            pattern: pattern(index),
            names: Names::of(index),
            ..answering(answers)
        };
        search.beside(sinks, left_out)
    }

    const DAYS: &str = "logs-{{ event_time.format('%Y.%m.%d') }}";
    const ERRORS: &str = "logs-errors-{{ event_time.format('%Y.%m.%d') }}";

    fn resolved() -> Value {
        let index =
            |name: &str, attributes: &[&str]| json!({"name": name, "attributes": attributes});
        json!({
            "indices": [
                index("logs-2026.01.31", &["open"]),
                index("logs-2026.02.01", &["closed", "hidden"]),
                index("logs-again", &["open"]),
                index("logs-errors-2026.01.31", &["open"]),
            ],
            "aliases": [
                {"name": "logs-2026.02.02", "indices": ["rolled-1", "rolled-2"]},
                {"name": "logs-all", "indices": ["logs-again", "logs-2026.01.31"]},
            ],
            "data_streams": [{"name": "logs-stream", "backing_indices": [".ds-logs-stream-1"]}],
        })
    }

    #[tokio::test]
    async fn indices_are_a_sinks_by_the_names_that_lead_there() {
        let blocked = json!({"logs-2026.01.31": {"settings": {
            "index.blocks.write": "true", "index.blocks.read_only": "false",
            "index.blocks.metadata": "true", "index.uuid": "a",
        }}});
        let alias = |is_written: bool| json!({"aliases": {"logs-2026.02.02": {"is_write_index": is_written}}});
        let rolled = json!({"rolled-1": alias(false), "rolled-2": alias(true)});
        let search = search(
            DAYS,
            &[sink("index", DAYS), sink("errors", ERRORS)],
            &[sink("any", "logs-{{ doc.app }}")],
            vec![resolved(), rolled, blocked],
        );
        let states = search.indices().await.expect("an answer");
        let is = |name: &str| {
            let state = states.iter().find(|state| state.name == name).expect(name);
            let blocks: Vec<&str> = state.blocks.iter().map(String::as_str).collect();
            (state.is_own, state.by_own_name, blocks.join(" "))
        };
        let own = |blocks: &str| (true, true, blocks.to_owned());
        let no_own = (false, false, String::new());
        assert_eq!(is("logs-2026.01.31"), own("index.blocks.write"));
        assert_eq!(is("logs-2026.02.01"), own("closed"));
        assert_eq!(is("rolled-2"), (true, false, String::new()));
        let moved: Vec<_> = states
            .iter()
            .filter_map(|state| Some((state.name.as_str(), state.moved_to.as_deref()?)))
            .collect();
        assert_eq!(moved, [("rolled-1", "rolled-2")]);
        for other in ["logs-again", "logs-errors-2026.01.31", ".ds-logs-stream-1"] {
            assert_eq!(is(other), no_own, "{other}");
        }
        // Any name can be one of those.
        let shared = states
            .iter()
            .all(|state| state.shared_with.as_deref() == Some("any"));
        assert!(shared, "{states:?}");
    }

    #[tokio::test]
    async fn an_index_that_no_name_of_today_leads_to_is_nobodys() {
        let nobodys = async |has_pipeline, left_out: &[Sink]| {
            let search = Search {
                has_pipeline,
                ..search(DAYS, &[], left_out, vec![resolved(), json!({}), json!({})])
            };
            let states = search.indices().await.expect("an answer");
            let nobodys = states.into_iter().filter(|state| state.is_nobodys);
            nobodys.map(|state| state.name).collect::<Vec<_>>()
        };
        let errors = "logs-errors-2026.01.31";
        let found = [".ds-logs-stream-1", "logs-again", errors];
        assert_eq!(nobodys(false, &[]).await, found);
        let left_out = [sink("errors", ERRORS)];
        assert_eq!(nobodys(false, &left_out).await, found[..2]);
        // That may have led documents there.
        assert_eq!(nobodys(true, &[]).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_was_the_newest_of_a_data_stream_takes_nothing_any_more() {
        let stream = json!({"data_streams": [
            {"name": "logs", "backing_indices": [".ds-logs-1", ".ds-logs-2"]},
        ]});
        let search = search("logs", &[], &[], vec![stream.clone(), stream, json!({})]);
        let states = search.indices().await.expect("an answer");
        let moved: Vec<_> = states
            .iter()
            .map(|state| state.moved_to.as_deref())
            .collect();
        assert_eq!(moved, [Some(".ds-logs-2"), None]);
    }

    #[tokio::test]
    async fn sinks_are_apart_where_none_can_write_to_an_index_of_another() {
        let apart = async |sinks: &[Sink], left_out: &[Sink]| {
            let written = || json!({"rolled-1": {"aliases": {}}});
            let searches = sinks.iter().map(|one| {
                let answers = vec![resolved(), written(), json!({})];
                Search {
                    bolt: one.bolt.clone(),
                    ..search(&one.index, &[], &[], answers)
                }
                .beside(sinks, left_out)
            });
            let searches: Vec<Search> = searches.collect();
            Search::are_apart(&searches).await.expect("an answer")
        };
        let [days, errors] = [sink("days", DAYS), sink("errors", ERRORS)];
        assert!(apart(from_ref(&days), &[]).await);
        assert!(apart(&[days.clone(), errors.clone()], &[]).await);
        assert!(!apart(&[days.clone(), sink("again", DAYS)], &[]).await);
        let any = sink("any", "logs-{{ doc.app }}");
        assert!(!apart(from_ref(&days), &[any]).await);
        assert!(apart(from_ref(&days), &[errors]).await);
    }

    #[tokio::test]
    async fn searches_look_into_the_indices_that_are_the_sinks() {
        let body = json!({"query": {"match_all": {}}, "size": 1});
        let own = async |search: &Search| {
            search.find_own().await.expect("an answer");
            let body = search.in_own(&body)?;
            Some(body["query"]["bool"]["filter"][1]["terms"]["_index"].clone())
        };
        let days = search(DAYS, &[], &[], vec![resolved()]);
        let expected = json!(["logs-2026.01.31", "logs-2026.02.01", "rolled-1", "rolled-2"]);
        assert_eq!(own(&days).await, Some(expected));
        days.only(["logs-2026.01.31".to_owned()]);
        let only = days.in_own(&body).expect("one index");
        let filter = json!([{"match_all": {}}, {"terms": {"_index": ["logs-2026.01.31"]}}]);
        assert_eq!(
            only,
            json!({"query": {"bool": {"filter": filter}}, "size": 1})
        );
        let template = "logs-{{ doc.app }}";
        let any = search(template, &[], &[], vec![resolved()]);
        assert_eq!(own(&any).await, None, "all are its own");
        // Of two that fit, the one that says more of the name.
        let beside = [sink("errors", ERRORS), sink("days", DAYS)];
        let any = search(template, &beside, &[], vec![resolved()]);
        let expected = json!([".ds-logs-stream-1", "logs-2026.01.31", "logs-again"]);
        assert_eq!(own(&any).await, Some(expected));
        // A pipeline may have sent documents anywhere but to where another one writes.
        let pipeline = Search {
            has_pipeline: true,
            ..search(DAYS, &[sink("errors", ERRORS)], &[], vec![resolved()])
        };
        let expected = json!([
            ".ds-logs-stream-1",
            "logs-2026.01.31",
            "logs-2026.02.01",
            "logs-again",
            "rolled-1",
            "rolled-2",
        ]);
        assert_eq!(own(&pipeline).await, Some(expected));
        // Nobody is asked.
        let constant = search("logs", &beside, &[], Vec::new());
        assert_eq!(own(&constant).await, None);
    }

    #[test]
    fn a_name_alone_is_looked_for_among_those_that_begin_with_it() {
        let answer = json!({
            "indices": [{"name": "logs-1", "attributes": ["open"]}, {"name": "logs-2"}],
            "aliases": [{"name": "logs", "indices": "logs-1"}], "data_streams": [],
        });
        let found = reached(&answer, |name| name == "logs");
        let names = BTreeSet::from(["logs".to_owned(), "logs-1".to_owned()]);
        let reached = Reached {
            names,
            ..Reached::default()
        };
        assert_eq!(found, BTreeMap::from([("logs-1".to_owned(), reached)]));
    }

    #[tokio::test]
    async fn who_has_documents_is_counted_over_all_that_the_pattern_finds() {
        let shards = json!({"failed": 0});
        let answer = |more: u64| {
            json!({"_shards": shards, "timed_out": false, "aggregations": {"indices": {
                "sum_other_doc_count": more,
                "buckets": [{"key": "a", "doc_count": 3}, {"key": "b", "doc_count": 1}],
            }}})
        };
        let search = search(DAYS, &[], &[], vec![answer(0), answer(1)]);
        let found = search.holders("s", 0, (0, 10)).await.expect("an answer");
        assert_eq!(
            found,
            BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 1)])
        );
        let error = search.holders("s", 0, (0, 10)).await.expect_err("too many");
        assert!(
            error.to_string().contains("more than 10000 indices"),
            "{error}"
        );
    }
}
