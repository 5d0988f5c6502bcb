//! The documents of the embedded index, in bounded memory: when they take too much, the oldest go.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::bulk::{Fault, Item, Kind, Outcome};
use super::index_pattern;
use super::mapping::{Mapping, parsing};
use super::query::Query;
use crate::elasticsearch::index_name;
use crate::elasticsearch::outcome::EMBEDDED_INDICES;

/// Most indices: as many as a cluster of one node makes (`cluster.max_shards_per_node` is 1000). It bounds the memory
/// that their names and mappings take.
const INDICES_MAX: usize = 1_000;

/// Bytes around a document, rounded up: two entries of tables and two copies of its id.
const OVERHEAD: usize = 256;

/// What the index holds, and what it had to let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Documents that are held.
    pub documents: u64,
    /// Documents that were stored, those that were let go since included.
    pub stored: u64,
    /// Documents that were let go, the oldest first, as all together took too much memory.
    pub let_go: u64,
    /// Documents of ids that were there already.
    pub already_present: u64,
    /// Documents that did not fit, or that the index refused.
    pub refused: u64,
    /// Bytes that the documents take.
    pub bytes: u64,
    /// Bytes that they may take.
    pub bytes_max: u64,
}

/// A document that was found.
pub(super) struct Hit<'d> {
    pub(super) index: &'d str,
    pub(super) id: &'d str,
    /// The document as it was sent.
    pub(super) source: &'d [u8],
}

pub(super) struct Documents {
    /// By number, in order of arrival.
    documents: BTreeMap<u64, Document>,
    indices: BTreeMap<Arc<str>, Index>,
    next: u64,
    counts: Counts,
    /// Every write is refused, as an index with a write block does.
    pub(super) blocked: bool,
}

struct Document {
    index: Arc<str>,
    id: Box<str>,
    source: Box<[u8]>,
}

#[derive(Default)]
struct Index {
    mapping: Mapping,
    /// The number of the document of an id.
    ids: HashMap<Box<str>, u64>,
    /// Documents that were stored, those that were let go since included.
    stored: u64,
}

impl Documents {
    /// Holds documents of so many bytes at most, their ids and tables included.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            documents: BTreeMap::new(),
            indices: BTreeMap::new(),
            next: 0,
            counts: Counts {
                bytes_max: bytes_max as u64,
                ..Counts::default()
            },
            blocked: false,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// How many documents were stored in these indices, those that were let go since included.
    pub(super) fn stored_in(&self, names: &str) -> u64 {
        let all = self.indices.iter();
        let named = all.filter(|(index, _)| index_pattern::names(names, index));
        named.map(|(_, index)| index.stored).sum()
    }

    /// Does what an item of a bulk request asks for.
    pub(super) fn apply<'i>(&mut self, item: &Item<'i>) -> Outcome<'i> {
        let outcome = self.judge(item);
        match outcome.status {
            409 => self.counts.already_present += 1,
            400..=499 if outcome.error.is_some() => self.counts.refused += 1,
            _ => {}
        }
        outcome
    }

    fn judge<'i>(&mut self, item: &Item<'i>) -> Outcome<'i> {
        let id = match item.id {
            Some(id) => id.into(),
            None => format!("auto-{}", self.next).into(),
        };
        if self.blocked {
            let index = item.index;
            let reason = format!("index [{index}] blocked by: [FORBIDDEN/8/index write (api)];");
            return Outcome::refused(id, 403, "cluster_block_exception", reason);
        }
        if item.kind == Kind::Delete {
            return match self.remove(item.index, &id) {
                true => Outcome::done(id, 200, "deleted"),
                false => Outcome::done(id, 404, "not_found"),
            };
        }
        let known = self.number(item.index, &id);
        if known.is_some() && item.kind == Kind::Create {
            return Outcome::conflict(id);
        }
        if let Err(fault) = self.prepare(item, &id) {
            return Outcome::refused(id, 400, fault.kind, fault.reason);
        }
        let replaced = known.is_some() && self.remove(item.index, &id);
        self.store(item.index, &id, item.source);
        match replaced {
            true => Outcome::done(id, 200, "updated"),
            false => Outcome::done(id, 201, "created"),
        }
    }

    /// Finds out whether a document can be stored, and learns its fields.
    fn prepare(&mut self, item: &Item<'_>, id: &str) -> Result<(), Fault> {
        let illegal = |kind: &'static str, reason: String| Fault {
            kind: kind.into(),
            reason: reason.into(),
        };
        if let Some(pipeline) = item.pipeline {
            let reason = format!("pipeline with id [{pipeline}] does not exist");
            return Err(illegal("illegal_argument_exception", reason));
        }
        if let Some(problem) = index_name::problem(item.index) {
            let reason = format!("Invalid index name [{}]: it {problem}", item.index);
            return Err(illegal("invalid_index_name_exception", reason));
        }
        let document: Value = serde_json::from_slice(item.source)
            .map_err(|error| parsing(format!("[1:{}] failed to parse: {error}", error.column())))?;
        if !document.is_object() {
            return Err(parsing("[1:1] failed to parse: not an object".to_owned()));
        }
        if !self.indices.contains_key(item.index) && self.indices.len() >= INDICES_MAX {
            // Held and not rejected: a real cluster has room for it, or can be given some.
            let reason = format!(
                "the embedded index holds {INDICES_MAX} indices at most, and this would be one more"
            );
            return Err(illegal(EMBEDDED_INDICES, reason));
        }
        let index = self.indices.entry(item.index.into()).or_default();
        index.mapping.learn(id, &document)
    }

    fn store(&mut self, index: &str, id: &str, source: &[u8]) {
        let number = self.next;
        self.next += 1;
        let (name, _) = (self.indices.get_key_value(index)).expect("it was prepared");
        let name = Arc::clone(name);
        let index = self.indices.get_mut(&name).expect("it is there");
        let _ = index.ids.insert(id.into(), number);
        index.stored += 1;
        let document = Document {
            index: name,
            id: id.into(),
            source: source.into(),
        };
        self.counts.bytes += document.size();
        self.counts.documents += 1;
        self.counts.stored += 1;
        let _ = self.documents.insert(number, document);
        while self.counts.bytes > self.counts.bytes_max && self.documents.len() > 1 {
            self.let_oldest_go();
        }
    }

    fn let_oldest_go(&mut self) {
        let Some((number, _)) = self.documents.first_key_value() else {
            return;
        };
        let number = *number;
        self.forget(number);
        self.counts.let_go += 1;
        if self.counts.let_go == 1 {
            tracing::warn!(
                bytes_max = self.counts.bytes_max,
                "The embedded index is full: from now on its oldest documents go as new ones come"
            );
        }
    }

    fn number(&self, index: &str, id: &str) -> Option<u64> {
        self.indices.get(index)?.ids.get(id).copied()
    }

    fn remove(&mut self, index: &str, id: &str) -> bool {
        match self.number(index, id) {
            Some(number) => {
                self.forget(number);
                true
            }
            None => false,
        }
    }

    fn forget(&mut self, number: u64) {
        let Some(document) = self.documents.remove(&number) else {
            return;
        };
        self.counts.bytes -= document.size();
        self.counts.documents -= 1;
        if let Some(index) = self.indices.get_mut(&document.index) {
            let _ = index.ids.remove(&document.id);
        }
    }

    /// Whether such an index was ever written to.
    pub(super) fn has_index(&self, names: &str) -> bool {
        let mut indices = self.indices.keys();
        indices.any(|index| index_pattern::names(names, index))
    }

    /// The document of an id.
    pub(super) fn get(&self, index: &str, id: &str) -> Option<&[u8]> {
        let number = self.number(index, id)?;
        Some(&self.documents.get(&number)?.source)
    }

    /// The documents of these indices that a query finds, the latest first.
    pub(super) fn find<'d>(
        &'d self,
        names: &'d str,
        query: &'d Query,
    ) -> impl Iterator<Item = Hit<'d>> {
        let latest_first = self.documents.values().rev();
        let named = latest_first.filter(|one| index_pattern::names(names, &one.index));
        named
            .filter(|one| query.finds(&one.index, &one.id, &one.source))
            .map(|one| Hit {
                index: &one.index,
                id: &one.id,
                source: &one.source,
            })
    }
}

impl Document {
    fn size(&self) -> u64 {
        (self.source.len() + 2 * self.id.len() + OVERHEAD) as u64
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::elasticsearch::outcome::{Action, Level, row_of};

    fn item<'i>(kind: Kind, id: &'i str, source: &'i str) -> Item<'i> {
        Item {
            position: 0,
            kind,
            index: "logs",
            id: Some(id),
            pipeline: None,
            source: source.as_bytes(),
        }
    }

    #[test]
    fn the_oldest_go_when_all_take_too_much_memory() {
        let room = 10 * (OVERHEAD + 7 + 6);
        let mut documents = Documents::new(room);
        for number in 100..150 {
            let (id, source) = (number.to_string(), format!("{{\"n\":{number}}}"));
            let outcome = documents.apply(&item(Kind::Create, &id, &source[..]));
            assert_eq!(outcome.status, 201, "{outcome:?}");
            assert!(documents.counts().bytes <= room as u64);
        }
        let counts = documents.counts();
        assert_eq!((counts.documents, counts.stored), (9, 50), "{counts:?}");
        assert_eq!(counts.documents + counts.let_go, counts.stored);
        let stored = ["logs", "l*,x", "x"].map(|names| documents.stored_in(names));
        assert_eq!(stored, [50, 50, 0]);
        assert_eq!(documents.documents.len() as u64, counts.documents);
        assert_eq!(documents.indices["logs"].ids.len() as u64, counts.documents);
        assert!(documents.get("logs", "149").is_some());
        assert!(documents.get("logs", "100").is_none());
        // Its id went with it.
        let again = documents.apply(&item(Kind::Create, "100", "{}"));
        assert_eq!(again.status, 201);
    }

    #[test]
    fn items_are_answered_as_real_servers_do() {
        let mut documents = Documents::new(1 << 20);
        let mut check = |kind, id, source, expected: (u16, &str)| {
            let item = item(kind, id, source);
            let outcome = documents.apply(&item);
            let said = outcome.error.as_ref().map_or(outcome.result, |e| &e.kind);
            assert_eq!((outcome.status, said), expected, "{source}");
        };
        check(Kind::Create, "1", "{\"n\":1}", (201, "created"));
        check(
            Kind::Create,
            "1",
            "{\"n\":2}",
            (409, "version_conflict_engine_exception"),
        );
        check(Kind::Index, "1", "{\"n\":3}", (200, "updated"));
        check(
            Kind::Create,
            "2",
            "{\"n\":",
            (400, "document_parsing_exception"),
        );
        check(
            Kind::Create,
            "2",
            "[1]",
            (400, "document_parsing_exception"),
        );
        check(
            Kind::Create,
            "2",
            "{\"n\":\"x\"}",
            (400, "document_parsing_exception"),
        );
        check(Kind::Delete, "1", "", (200, "deleted"));
        check(Kind::Delete, "1", "", (404, "not_found"));
        let counts = documents.counts();
        assert_eq!((counts.already_present, counts.refused), (1, 3));
        assert_eq!((counts.documents, counts.bytes), (0, 0));
        let wrong = Item {
            index: "Logs",
            ..item(Kind::Create, "1", "{}")
        };
        let error = documents.apply(&wrong).error.expect("upper case");
        assert_eq!(error.kind, "invalid_index_name_exception");
    }

    #[test]
    fn an_index_too_many_is_held_for_the_bound_of_the_embedded_index() {
        let mut documents = Documents::new(1 << 20);
        let mut create = |index: &str, id| {
            let outcome = documents.apply(&Item {
                index,
                ..item(Kind::Create, id, "{}")
            });
            (outcome.status, outcome.error)
        };
        for number in 0..INDICES_MAX {
            let (status, error) = create(&format!("logs-{number}"), "1");
            assert_eq!((status, error), (201, None), "{number}");
        }
        let (status, error) = create("more", "1");
        let fault = error.expect("there is no room");
        let error = json!({"type": fault.kind, "reason": fault.reason}).to_string();
        let row = row_of(Level::Item, status, Some(&error)).expect("it is known");
        assert_eq!(
            (row.id, row.class.action()),
            ("embedded_indices", Action::HoldTarget)
        );
        assert!(fault.reason.contains("1000 indices at most"), "{fault:?}");
        // Those that are there go on.
        assert_eq!(create("logs-7", "2").0, 201);
    }

    #[test]
    fn a_block_refuses_everything_until_it_goes() {
        let mut documents = Documents::new(1 << 20);
        documents.blocked = true;
        let refused = documents.apply(&item(Kind::Create, "1", "{}"));
        assert_eq!(refused.status, 403);
        documents.blocked = false;
        assert_eq!(documents.apply(&item(Kind::Create, "1", "{}")).status, 201);
    }
}
