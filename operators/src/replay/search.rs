//! What of a range is in the index: asked over the origin fields that every document carries.

mod own;
mod purge;
mod stored;
mod visible;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Method;
use isobar_topology::spec::{Problems, Spec, parse_config};
use isobar_topology::{OperatorError, Ordinals};
use serde::Serialize;
use serde_json::{Value, json};

use super::graph::{Sink, splits};
use super::names::Names;
use crate::bolts::ElasticsearchConfig;
use crate::connections::elasticsearch_of;
use crate::elasticsearch::ask::Ask;
use crate::elasticsearch::hosts::named;

pub use own::IndexState;
use own::Other;
pub use purge::Purge;
pub use stored::{Place, Stored};

/// Documents of one answer: the most that an index gives at its default settings.
const PAGE: usize = 10_000;

/// Offsets of one question: `index.max_terms_count` is 65,536 by default.
const TERMS_MAX: usize = 10_000;

/// Tells which cluster it is, and asks no other host for that.
const CLUSTER_STATE: &str = "_cluster/state/version?local=true&filter_path=cluster_uuid";

/// Stands for the id of a cluster that has not formed yet.
const NO_CLUSTER: &str = "_na_";

/// Whether a page says of each document which version of it was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Versions {
    LeftOut,
    Told,
}

/// The indices of a sink, to be searched.
pub struct Search {
    ask: Ask,
    /// The bolt that writes there.
    bolt: String,
    /// Names of the indices, `*` where the record decides.
    pattern: String,
    /// The names that it can make: the pattern finds others, too.
    names: Names,
    /// A pipeline of the cluster may give documents other indices.
    has_pipeline: bool,
    /// Other sinks of the topology.
    others: Vec<Other>,
    /// The indices that are searched, of those that the pattern finds; `None` for all.
    own: Mutex<Option<Arc<[String]>>>,
    /// The origin field; `None` where documents carry none.
    origin: Option<String>,
    /// Documents may be of parts of records.
    splits: bool,
    /// Nobody has said yet that the user may not refresh the indices.
    may_refresh: AtomicBool,
}

/// Offsets of one partition that have a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In ascending order, each once.
    pub offsets: Vec<i64>,
    /// Documents beyond the first of their offset: parts of split records.
    pub more: u64,
    /// Offsets of which a record, or the same part of one, has documents in two indices.
    pub doubled: Vec<i64>,
    /// Those that have several in one index: their ids are not the same.
    pub repeated: Vec<i64>,
    /// The parts that have a document, by offset; empty where the topology splits no records, and where
    /// whole ranges are looked for.
    pub parts: BTreeMap<i64, BTreeSet<Ordinals>>,
}

impl Search {
    /// Makes a client for the indices of `sink`, a bolt of `spec`.
    ///
    /// Fails with what is wrong with the connection.
    pub fn of(spec: &Spec, sink: &Sink) -> Result<Self, OperatorError> {
        let gone = || OperatorError::user(format!("{} has no connection", sink.bolt));
        let bolt = spec.bolts.iter().find(|bolt| bolt.id == sink.bolt);
        let bolt = bolt.ok_or_else(gone)?;
        let unsound = |problems: Problems| OperatorError::user(problems.to_string());
        let config: ElasticsearchConfig =
            parse_config(&bolt.config, &bolt.path).map_err(unsound)?;
        let connection = elasticsearch_of(spec, &config.connection).map_err(unsound)?;
        let connection = connection.ok_or_else(gone)?;
        Ok(Self {
            ask: Ask::of(&connection, connection.request_timeout.get())?,
            bolt: sink.bolt.clone(),
            pattern: pattern(&sink.index),
            names: Names::of(&sink.index),
            // Documents may go to indices of any name.
            has_pipeline: bolt.config.get("pipeline").is_some(),
            others: Vec::new(),
            own: Mutex::default(),
            origin: config.origin_field().map(str::to_owned),
            splits: splits(spec),
            may_refresh: AtomicBool::new(true),
        })
    }

    /// The bolt that writes there.
    pub fn bolt(&self) -> &str {
        &self.bolt
    }

    /// The field that tells where a document comes from.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The hosts, without user and password.
    pub fn hosts(&self) -> Vec<String> {
        let hosts = self.ask.hosts().iter();
        hosts.map(|host| named(host).to_owned()).collect()
    }

    /// The id of the cluster, which no other has. Fails when no host tells, as the user has not the cluster
    /// privilege `monitor`.
    pub async fn cluster(&self) -> Result<String, OperatorError> {
        let untold = "the hosts do not say of which cluster they are";
        let mut why = OperatorError::external(untold);
        // Hosted ones keep the first to themselves.
        for path in [CLUSTER_STATE, ""] {
            match self.ask.any(Method::GET, path, None).await {
                Ok(answer) => {
                    let id = answer["cluster_uuid"].as_str();
                    if let Some(id) = id.filter(|id| *id != NO_CLUSTER) {
                        return Ok(id.to_owned());
                    }
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Makes everything that is indexed visible to searches, and finds out where they have to look: in the
    /// indices that are the sink's by their names.
    pub async fn refresh(&self) -> Result<(), OperatorError> {
        self.make_visible().await?;
        self.find_own().await
    }

    /// Finds the offsets of a partition, from one to before another, that have a document. `source` is
    /// that of [`super::origin_of`]. Reads 10,000 documents at a time; refresh before. The answer has a number
    /// for each offset: whoever asks about many, asks about so many at a time.
    ///
    /// Of a record with more than 10,000 documents in one index the others are not counted. Fails when
    /// documents carry no origin, or when an answer is not whole.
    pub async fn offsets(
        &self,
        source: &str,
        partition: i32,
        (from, to): (i64, i64),
    ) -> Result<Found, OperatorError> {
        let range = json!({"gte": from, "lt": to});
        let mut finding = Finding::default();
        self.find(source, partition, &json!({"range": range}), &mut finding)
            .await?;
        Ok(finding.found)
    }

    /// Finds those of some offsets, in ascending order, that have a document, and of which parts; otherwise as
    /// [`Search::offsets`].
    ///
    /// Fails also where a record has more than 10,000 documents in one index.
    pub async fn among(
        &self,
        source: &str,
        partition: i32,
        offsets: &[i64],
    ) -> Result<Found, OperatorError> {
        let mut finding = Finding {
            keeps_parts: true,
            ..Finding::default()
        };
        for offsets in offsets.chunks(TERMS_MAX) {
            let terms = json!({"terms": offsets});
            self.find(source, partition, &terms, &mut finding).await?;
        }
        Ok(finding.found)
    }

    /// `wanted` is a query over the offset, with the field's name left out.
    async fn find(
        &self,
        source: &str,
        partition: i32,
        wanted: &Value,
        finding: &mut Finding,
    ) -> Result<(), OperatorError> {
        let mut after = Value::Null;
        loop {
            let page = self.page(source, partition, wanted, &after, Versions::LeftOut);
            let mut page = page.await?;
            let goes_on = page.len() >= PAGE;
            if goes_on && !cut(&mut page) && finding.keeps_parts {
                return Err(OperatorError::external(format!(
                    "a record has more than {PAGE} documents in an index, and which parts of it they are is \
                     not told: {}",
                    page[0]
                )));
            }
            for hit in &page {
                let sort = &hit["sort"];
                let (Some(offset), Some(index)) = (sort[0].as_i64(), sort[1].as_str()) else {
                    return Err(OperatorError::external(format!("not understood: {hit}")));
                };
                let part = self.splits.then(|| self.part(hit));
                finding.add(offset, part, index);
            }
            match page.last() {
                Some(last) if goes_on => after = last["sort"].clone(),
                _ => return Ok(()),
            }
        }
    }

    /// The next documents of a partition, in the order of offset and index. `wanted` is a query over the
    /// offset, with the field's name left out.
    async fn page(
        &self,
        source: &str,
        partition: i32,
        wanted: &Value,
        after: &Value,
        versions: Versions,
    ) -> Result<Vec<Value>, OperatorError> {
        let query = self.of_records(source, partition, wanted)?;
        let offset = format!("{}.o", self.origin.as_deref().unwrap_or_default());
        // Reading it costs, and other documents have none.
        let source = match self.splits {
            true => json!([self.number()]),
            false => json!(false),
        };
        let mut body = json!({
            "size": PAGE, "_source": source, "track_total_hits": false,
            "seq_no_primary_term": versions == Versions::Told,
            "sort": [{offset: {"order": "asc", "unmapped_type": "long"}}, {"_index": "asc"}],
            "query": query,
        });
        if !after.is_null() {
            body["search_after"] = after.clone();
        }
        // Who counts documents goes by what they are sorted by: the rest of them is most of an answer.
        let kept = match versions {
            Versions::LeftOut => "hits.hits._source,hits.hits.sort",
            Versions::Told => {
                "hits.hits._index,hits.hits._id,hits.hits._routing,hits.hits._seq_no,\
                 hits.hits._primary_term,hits.hits._source,hits.hits.sort"
            }
        };
        let mut answer = self.search(&body, kept).await?;
        match answer["hits"]["hits"].take() {
            Value::Array(hits) => Ok(hits),
            _ => Ok(Vec::new()),
        }
    }
}

/// Documents of one record that are looked for at most.
pub const DOCUMENTS_MAX: usize = 100;

/// A document of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Document {
    /// The index that it is in.
    pub index: String,
    /// Its id there.
    pub id: String,
    /// Which part of the record it is of, where that was split.
    #[serde(skip_serializing_if = "Ordinals::is_none")]
    pub part: Ordinals,
}

impl Search {
    /// Waits for an answer at most so long, instead of as the connection says.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.ask = self.ask.within(timeout);
        self
    }

    /// The documents of one record, at most [`DOCUMENTS_MAX`]. `source` is that of [`super::origin_of`].
    ///
    /// Fails when documents carry no origin, or when an answer is not whole.
    pub async fn documents(
        &self,
        source: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Vec<Document>, OperatorError> {
        let body = json!({
            "size": DOCUMENTS_MAX, "_source": [self.number()],
            "query": self.of_records(source, partition, &json!({"term": offset}))?,
        });
        let kept = "hits.hits._index,hits.hits._id,hits.hits._source";
        let answer = self.search(&body, kept).await?;
        let hits = answer["hits"]["hits"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let documents = hits.map(|hit| Document {
            index: text(&hit["_index"]),
            id: text(&hit["_id"]),
            part: self.part(hit),
        });
        let mut documents: Vec<Document> = documents.collect();
        documents.sort_by(|a, b| (a.part, &a.index).cmp(&(b.part, &b.index)));
        Ok(documents)
    }

    /// The member of documents with the number of a part.
    fn number(&self) -> String {
        format!("{}.n", self.origin.as_deref().unwrap_or_default())
    }

    /// Which part of a record a document is of.
    fn part(&self, hit: &Value) -> Ordinals {
        let origin = self.origin.as_deref().unwrap_or_default();
        ordinals_of(&hit["_source"][origin]["n"])
    }

    /// The query for documents of some records. `wanted` is a query over the offset, with the field's name
    /// left out.
    fn of_records(
        &self,
        source: &str,
        partition: i32,
        wanted: &Value,
    ) -> Result<Value, OperatorError> {
        let field = self.origin.as_deref().ok_or_else(|| {
            OperatorError::user(
                "documents carry no origin (`origin: off`), so nobody can tell which records they are of",
            )
        })?;
        let name = |member: &str| format!("{field}.{member}");
        let wanted = wanted.as_object().into_iter().flatten();
        let wanted: Value = wanted
            .map(|(query, value)| (query.clone(), json!({name("o"): value})))
            .collect();
        // A mapping that was made by itself has text with a keyword beside it, one made on purpose may
        // have the keyword alone.
        let source = json!({"bool": {"minimum_should_match": 1, "should": [
            {"term": {name("s"): source}},
            {"term": {format!("{field}.s.keyword"): source}},
        ]}});
        Ok(json!({"bool": {"filter": [{"term": {name("p"): partition}}, wanted, source]}}))
    }

    /// Searches the indices that are the sink's, and refuses an answer that is not whole. `kept` are the parts
    /// of it that are wanted.
    async fn search(&self, body: &Value, kept: &str) -> Result<Value, OperatorError> {
        match self.in_own(body) {
            Some(body) => self.search_all(&body, kept).await,
            None => self.search_all(body, kept).await,
        }
    }

    /// The same in all indices that the pattern finds.
    async fn search_all(&self, body: &Value, kept: &str) -> Result<Value, OperatorError> {
        let path = format!(
            "{}/_search?{LENIENT}&filter_path=_shards.failed,timed_out,{kept}",
            self.pattern
        );
        let answer = self.ask.any(Method::POST, &path, Some(body)).await?;
        let failed = answer["_shards"]["failed"].as_u64() != Some(0);
        match failed || answer["timed_out"] == true {
            true => Err(OperatorError::external(format!(
                "a search in {} is not whole: {answer}",
                self.pattern
            ))),
            false => Ok(answer),
        }
    }
}

/// Which part of a record documents and letters in JSON say that they are of.
pub(crate) fn ordinals_of(value: &Value) -> Ordinals {
    let numbers = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    let parts = numbers.iter().try_fold(Ordinals::NONE, |of, number| {
        of.part(usize::try_from(number.as_u64()?).ok()?)
    });
    parts.unwrap_or_default()
}

/// Takes from a full page what is in its last place: more of that may follow, and a search goes on behind a
/// place, not within it. Returns `false` when that is all of it, and nothing is taken.
fn cut(page: &mut Vec<Value>) -> bool {
    let Some(last) = page.last() else {
        return false;
    };
    let whole = page.iter().rposition(|hit| hit["sort"] != last["sort"]);
    if let Some(whole) = whole {
        page.truncate(whole + 1);
    }
    whole.is_some()
}

/// What was found so far, and the index of each document of the last offset by the part that it is of.
#[derive(Default)]
struct Finding {
    found: Found,
    last: BTreeMap<Ordinals, String>,
    /// The parts that have a document are wanted.
    keeps_parts: bool,
}

impl Finding {
    /// Takes the next document, in the order of offset and index, with the part that it may be of.
    fn add(&mut self, offset: i64, part: Option<Ordinals>, index: &str) {
        let found = &mut self.found;
        if let Some(part) = part.filter(|_| self.keeps_parts) {
            let _ = found.parts.entry(offset).or_default().insert(part);
        }
        let is_first = found.offsets.last() != Some(&offset);
        if is_first {
            found.offsets.push(offset);
            self.last.clear();
        }
        let before = self.last.insert(part.unwrap_or_default(), index.to_owned());
        match before {
            Some(other) if other != index => {
                if found.doubled.last() != Some(&offset) {
                    found.doubled.push(offset);
                }
            }
            Some(_) => {
                if found.repeated.last() != Some(&offset) {
                    found.repeated.push(offset);
                }
                found.more += 1;
            }
            None => found.more += u64::from(!is_first),
        }
    }
}

/// No index at all is an answer, and closed ones are left out.
const LENIENT: &str = "ignore_unavailable=true&allow_no_indices=true&expand_wildcards=open,hidden";

/// The names that a template can give: with `*` where a record decides.
pub(crate) fn pattern(index: &str) -> String {
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::stand_in::{answer_with, request};

    /// The indices of a host that answers each body so.
    pub(super) fn answered(mut by: impl FnMut(Value) -> Value + Send + 'static) -> Search {
        answered_with(move |_, body| (200, by(body)))
    }

    /// The indices of a host that answers each path so, with a status.
    pub(super) fn answered_by_path(
        mut by: impl FnMut(&str) -> (u16, Value) + Send + 'static,
    ) -> Search {
        answered_with(move |head, _| by(head.split(' ').nth(1).expect("a path")))
    }

    fn answered_with(by: impl FnMut(&str, Value) -> (u16, Value) + Send + 'static) -> Search {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let connection = json!({"hosts": [format!("http://{address}")]});
        let connection = serde_json::from_value(connection).expect("sound");
        drop(std::thread::spawn(move || {
            let by = Arc::new(Mutex::new(by));
            // A client may open another connection while it waits for one.
            for stream in listener.incoming() {
                let (mut stream, by) = (stream.expect("a client"), Arc::clone(&by));
                drop(std::thread::spawn(move || {
                    while let Some((head, body)) = request(&mut stream) {
                        let body = serde_json::from_str(&body).unwrap_or_default();
                        let (status, said) = by.lock().expect("nobody panics")(&head, body);
                        answer_with(&mut stream, status, &said.to_string());
                    }
                }));
            }
        }));
        Search {
            ask: Ask::of(&connection, Duration::from_secs(10)).expect("a client"),
            bolt: "index".to_owned(),
            pattern: "logs".to_owned(),
            names: Names::of("logs"),
            has_pipeline: false,
            others: Vec::new(),
            own: Mutex::default(),
            origin: Some("_isobar".to_owned()),
            splits: false,
            may_refresh: AtomicBool::new(true),
        }
    }

    /// The indices of a host with these documents: offset, index and part, in the order of the first two.
    fn with_documents(documents: Vec<(i64, &'static str, u64)>) -> Search {
        let search = answered(move |asked| {
            let size = asked["size"].as_u64().expect("a number") as usize;
            let after = asked.get("search_after");
            let after = after.map(|after| (after[0].as_i64(), after[1].as_str()));
            let is_behind = |(offset, index, _): &&(i64, &str, u64)| {
                after.is_none_or(|after| (Some(*offset), Some(*index)) > after)
            };
            let hit = |(offset, index, part): &(i64, &str, u64)| json!({"sort": [offset, index], "_source": {"_isobar": {"n": part}}});
            let hits = documents.iter().filter(is_behind).take(size).map(hit);
            let hits: Vec<Value> = hits.collect();
            json!({"_shards": {"failed": 0}, "timed_out": false, "hits": {"hits": hits}})
        });
        Search {
            splits: true,
            ..search
        }
    }

    #[tokio::test]
    async fn no_part_is_left_out_where_a_page_ends_within_a_record() {
        let parts = |offset: i64| (0..21).map(move |part| (offset, "logs", part));
        // The first page ends within the record at 476.
        let search = with_documents((0..500).flat_map(parts).collect());
        let offsets: Vec<i64> = (0..500).collect();
        let found = search.among("s", 0, &offsets).await.expect("an answer");
        assert_eq!(found.offsets, offsets);
        assert_eq!(found.more, 500 * 20);
        assert!(found.parts.values().all(|parts| parts.len() == 21));
        // Whoever asks for all of a range wants no parts, and would have to keep them.
        let found = search.offsets("s", 0, (0, 500)).await.expect("an answer");
        assert_eq!((found.more, found.parts.len()), (500 * 20, 0));
    }

    #[tokio::test]
    async fn a_record_with_more_parts_than_an_answer_has_is_not_told_as_whole() {
        let many = (0..10_001).map(|part| (7, "logs", part));
        let search = with_documents(many.chain([(8, "logs", 0)]).collect());
        let refused = search.among("s", 0, &[7, 8]).await.expect_err("too many");
        assert!(
            refused.to_string().contains("more than 10000 documents"),
            "{refused}"
        );
        let found = search.offsets("s", 0, (7, 9)).await.expect("an answer");
        assert_eq!(found.offsets, [7, 8]);
    }

    #[tokio::test]
    async fn a_cluster_is_known_by_its_id_where_it_has_one() {
        let cluster = async |answers: Vec<Value>| {
            let search = super::purge::tests::answering(answers);
            search.cluster().await.map_err(|error| error.to_string())
        };
        let told = |id: &str| json!({"cluster_uuid": id});
        assert_eq!(cluster(vec![told("a")]).await, Ok("a".to_owned()));
        // One that keeps its state to itself.
        assert_eq!(
            cluster(vec![json!({}), told("b")]).await,
            Ok("b".to_owned())
        );
        let not_formed = cluster(vec![told(NO_CLUSTER), told(NO_CLUSTER)]).await;
        assert!(not_formed.is_err_and(|why| why.contains("of which cluster")));
    }

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
        let mut finding = Finding::default();
        for (offset, index) in [
            (3, "a"),
            (4, "a"),
            (4, "a"),
            (5, "a"),
            (5, "b"),
            (5, "c"),
            (7, "b"),
        ] {
            finding.add(offset, None, index);
        }
        let expected = Found {
            offsets: vec![3, 4, 5, 7],
            more: 1,
            doubled: vec![5],
            repeated: vec![4],
            ..Found::default()
        };
        assert_eq!(finding.found, expected);
    }

    #[test]
    fn parts_of_one_record_may_be_in_several_indices_and_each_in_one_only() {
        let part = |text: &str| text.parse::<Ordinals>().expect("sound");
        let mut finding = Finding {
            keeps_parts: true,
            ..Finding::default()
        };
        for (offset, number, index) in [
            (3, "0", "a"),
            (3, "2", "a"),
            (3, "1", "b"),
            (4, "0.1", "a"),
            (4, "0.1", "b"),
            (4, "0.2", "b"),
            (5, "0", "a"),
            (5, "1", "a"),
            (5, "1", "a"),
        ] {
            finding.add(offset, Some(part(number)), index);
        }
        assert_eq!(finding.found.offsets, [3, 4, 5]);
        assert_eq!((finding.found.more, finding.found.doubled), (5, vec![4]));
        assert_eq!(finding.found.repeated, [5]);
        assert_eq!(finding.found.parts[&4].len(), 2);
        for (value, expected) in [
            (json!(null), ""),
            (json!(3), "3"),
            (json!([3, 0]), "3.0"),
            (json!("x"), ""),
        ] {
            assert_eq!(ordinals_of(&value).to_string(), expected);
        }
    }
}
