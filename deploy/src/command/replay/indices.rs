//! What a plan finds of the indices: which there are of each sink, which are missing, and where a purge deletes.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::replay::{IndexState, Search, Target};

use super::document::PlannedSink;
use super::make::undetermined;
use super::part::Part;
use super::purge::{Documents, Holders, holders, purged, stay};
use crate::exit::Failure;

/// The indices that documents of a plan go to, or are in.
#[derive(Default)]
pub(super) struct Indices {
    pub(super) sinks: Vec<PlannedSink>,
    /// Names that documents go to and that do not exist.
    pub(super) missing: BTreeSet<String>,
    /// What else to know of them, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Indices {
    /// Asks for them. `documents` are those of the ranges, and `names` are those that some of their records go to,
    /// by bolt.
    ///
    /// Fails where a purge would delete documents of a bolt that is left out.
    pub(super) async fn look(
        part: &Part,
        searches: &[Search],
        target: &Target,
        documents: &[Documents],
        names: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<Self, Failure> {
        let (mut found, mut held) = (Self::default(), Vec::new());
        for (sink, search) in part.sinks.iter().zip(searches) {
            let mut of_documents = Holders::new();
            if *target == Target::Purge {
                let holders = holders(search, documents).await;
                of_documents = holders.map_err(undetermined)?;
            }
            let indices = search.indices().await.map_err(undetermined)?;
            let own = indices.iter().filter(|index| index.is_own);
            let own = own.map(|index| (index.name.clone(), index.blocks.clone()));
            // Another index is made, whatever there is.
            if !documents.is_empty() && !matches!(target, Target::Index(_)) {
                let names = names.get(&sink.bolt);
                found.missing.extend(missing(&sink.index, names, &indices));
            }
            found.sinks.push(PlannedSink {
                bolt: sink.bolt.clone(),
                index: sink.index.clone(),
                guarantee: sink.guarantee.to_string(),
                verifiable: search.origin().is_some(),
                indices: own.collect(),
                purged: purged(&sink.bolt, &of_documents, &indices).map_err(Failure::usage)?,
            });
            held.push((of_documents, sink.bolt.as_str()));
        }
        let purged = found.sinks.iter().flat_map(|sink| sink.purged.keys());
        found.notes = stay(&held, &purged.collect());
        Ok(found)
    }
}

/// Names that documents of a sink go to and that do not exist: of those that are known, and where none is, its
/// name or template if nothing that it finds exists.
fn missing(
    index: &str,
    known: Option<&BTreeSet<String>>,
    indices: &[IndexState],
) -> BTreeSet<String> {
    let exist: BTreeSet<&String> = indices.iter().flat_map(|index| &index.names).collect();
    match known {
        Some(known) => {
            let missing = known.iter().filter(|name| !exist.contains(name));
            missing.cloned().collect()
        }
        None if exist.is_empty() => BTreeSet::from([index.to_owned()]),
        None => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: Option<&[&str]>, exist: &[&[&str]], expected: &[&str]) {
        let set = |names: &[&str]| -> BTreeSet<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let indices = exist.iter().map(|names| IndexState {
            name: names[0].to_owned(),
            names: set(names),
            blocks: Vec::new(),
            is_own: true,
            by_own_name: true,
            shared_with: None,
        });
        let indices: Vec<IndexState> = indices.collect();
        let known = known.map(set);
        let found = missing("logs-{{ doc.day }}", known.as_ref(), &indices);
        assert_eq!(found, set(expected));
    }

    #[test]
    fn a_name_is_missing_where_nothing_leads_to_an_index_by_it() {
        let two = &[&["logs-1"][..], &["logs-2-000001", "logs-2"]];
        check(Some(&["logs-1", "logs-2", "logs-3"]), two, &["logs-3"]);
        check(Some(&["logs-3", "logs-4"]), &[], &["logs-3", "logs-4"]);
        check(Some(&["logs-1"]), two, &[]);
        check(None, two, &[]);
        check(None, &[], &["logs-{{ doc.day }}"]);
    }
}
