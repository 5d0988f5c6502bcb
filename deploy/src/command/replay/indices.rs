//! What a plan finds of the indices: which there are of each sink, which are missing, where a purge deletes, and
//! what another index has already.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::replay::{Guarantee, IndexState, Search, Sink, Target};

use super::clusters;
use super::document::PlannedSink;
use super::elsewhere::{Elsewhere, elsewhere};
use super::make::undetermined;
use super::part::Part;
use super::purge::{Documents, Holders, holders, purged, stay};
use crate::exit::Failure;
use crate::output::number;

/// The indices that documents of a plan go to, or are in.
#[derive(Default)]
pub(super) struct Indices {
    pub(super) sinks: Vec<PlannedSink>,
    /// Names that documents go to and that do not exist.
    pub(super) missing: BTreeSet<String>,
    /// Why not all documents of the ranges become what was asked for: they would be there twice, stay as they are in
    /// the index of the target, or are not taken. A sentence each.
    pub(super) there: Vec<String>,
    /// Indices that documents of the ranges are in and that nothing writes to, by name, where none is deleted.
    pub(super) elsewhere: BTreeMap<String, Elsewhere>,
    /// What else to know of them, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Indices {
    /// Asks for them. `documents` are those of the ranges, and `names` are those that some of their records go to,
    /// by bolt.
    ///
    /// Fails where a purge would delete documents of a bolt that is left out, or ones that cannot be written anew.
    pub(super) async fn look(
        part: &Part,
        searches: &[Search],
        target: &Target,
        documents: &[Documents],
        names: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<Self, Failure> {
        let (mut found, mut held) = (Self::default(), Vec::new());
        for (sink, search) in part.sinks.iter().zip(searches) {
            let (mut of_purge, mut of_index) = (Holders::new(), Holders::new());
            let indices = search.indices().await.map_err(undetermined)?;
            // Without an origin nobody can tell.
            let of_documents = match search.origin() {
                Some(_) => holders(search, documents).await.map_err(undetermined)?,
                None => Holders::new(),
            };
            match target {
                Target::Purge => {
                    let purged = purged(&sink.bolt, &of_documents, &indices);
                    of_purge = purged.map_err(Failure::usage)?;
                    held.push((of_documents, sink.bolt.as_str()));
                }
                Target::Index(_) => {
                    of_index = own(of_documents, &indices);
                    found.there.extend(there(sink, &of_index));
                }
                Target::Missing | Target::Overwrite => {
                    let left_behind = left_behind(sink, &of_documents, &indices);
                    found.there.extend(taken_places(sink, target));
                    found.there.extend(left_behind);
                    let elsewhere = elsewhere(sink, &of_documents, &indices);
                    found.elsewhere.extend(elsewhere);
                }
            }
            let own = indices.iter().filter(|index| index.is_own);
            let own = own.map(|index| (index.name.clone(), index.blocks.clone()));
            let names = names.get(&sink.bolt);
            if !documents.is_empty() {
                // Another index is made, whatever there is.
                if !matches!(target, Target::Index(_)) {
                    found.missing.extend(missing(&sink.index, names, &indices));
                }
                let mut blocked = blocked(names, target, &indices);
                if let (Target::Purge, Some(why)) = (target, blocked.first()) {
                    let why = format!("nothing can be purged: {why}");
                    return Err(Failure::usage(why));
                }
                found.there.append(&mut blocked);
            }
            let cluster = search.cluster().await;
            let untold = cluster.as_ref().err();
            (found.notes).extend(untold.map(|error| clusters::note(&sink.bolt, error)));
            found.sinks.push(PlannedSink {
                bolt: sink.bolt.clone(),
                index: sink.index.clone(),
                hosts: search.hosts(),
                cluster: cluster.ok(),
                guarantee: guarantee(sink, &indices).to_string(),
                verifiable: search.origin().is_some(),
                indices: own.collect(),
                purged: of_purge,
                there: of_index,
            });
        }
        let purged = found.sinks.iter().flat_map(|sink| sink.purged.keys());
        let stay = stay(&held, &purged.collect());
        found.notes.extend(stay);
        Ok(found)
    }
}

/// What is to be known of documents of the ranges that the index of the target has: a sentence for each index. What
/// is written goes beside them, and takes the place of none.
fn there(sink: &Sink, own: &Holders) -> Vec<String> {
    let stay = match sink.guarantee {
        Guarantee::None => "stay, and are stored once more beside them",
        _ => "stay as they are, whatever the topology makes of these records now",
    };
    let each = own.iter().map(|(name, documents)| {
        format!(
            "{name} has {} documents of the range already: they {stay}; delete the index first, or take another \
             name",
            number(*documents)
        )
    });
    each.collect()
}

/// Those of the indices with documents that are the sink's.
fn own(mut holders: Holders, indices: &[IndexState]) -> Holders {
    let own = indices.iter().filter(|index| index.is_own);
    let own: BTreeSet<&String> = own.map(|index| &index.name).collect();
    holders.retain(|index, _| own.contains(index));
    holders
}

/// What protects against storing twice, by the indices that the name leads to: behind an alias it is one after
/// the other, as behind a data stream.
fn guarantee(sink: &Sink, indices: &[IndexState]) -> Guarantee {
    let mut own = indices.iter().filter(|index| index.is_own);
    match sink.guarantee {
        Guarantee::Exact if own.any(|index| !index.by_own_name) => Guarantee::UntilRollover,
        guarantee => guarantee,
    }
}

/// What is to be known where a record of the range may take the place of one outside it.
fn taken_places(sink: &Sink, target: &Target) -> Option<String> {
    let takes = *target == Target::Overwrite && sink.guarantee == Guarantee::AsTheIdSays;
    takes.then(|| {
        format!(
            "the ids of {} are made of fields, and of the records of an id the first one stays when it is live: what \
             is overwritten may be the document of such a record outside the range",
            sink.bolt
        )
    })
}

/// What is to be known of documents of the ranges in indices that take none any more, as the name of the sink leads to
/// newer ones: a sentence for each index.
fn left_behind(sink: &Sink, holders: &Holders, indices: &[IndexState]) -> Vec<String> {
    let each = indices.iter().filter_map(|index| {
        let (documents, to) = (holders.get(&index.name)?, index.moved_to.as_ref()?);
        Some(format!(
            "{} has {} documents of the range, and what {} writes goes to {to} by now: they would be there twice; \
             purge deletes them first",
            index.name,
            number(*documents),
            sink.bolt
        ))
    });
    each.collect()
}

/// What is to be known of indices that documents of the ranges go to, by these names where they are known, and that
/// take none: a sentence for each.
fn blocked(
    names: Option<&BTreeSet<String>>,
    target: &Target,
    indices: &[IndexState],
) -> Vec<String> {
    let is_meant = |index: &&IndexState| match (names, target) {
        (Some(names), _) => !names.is_disjoint(&index.names),
        // Which ones of another name are meant was not looked at.
        (None, target) => matches!(target, Target::Index(_)),
    };
    let own = indices
        .iter()
        .filter(|index| index.is_own && index.moved_to.is_none());
    let blocked = own
        .filter(is_meant)
        .filter(|index| !index.blocks.is_empty());
    let each = blocked.map(|index| {
        format!(
            "{} takes no documents ({}): those of the range that go there would wait until the run gives up; open it, or \
             take the block away, before",
            index.name,
            index.blocks.join(", ")
        )
    });
    each.collect()
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
pub(super) mod tests {
    use super::*;

    /// One of that name alone.
    pub(in crate::command::replay) fn state(name: &str, is_own: bool) -> IndexState {
        IndexState {
            name: name.to_owned(),
            names: BTreeSet::from([name.to_owned()]),
            blocks: Vec::new(),
            is_own,
            by_own_name: is_own,
            moved_to: None,
            shared_with: None,
            is_nobodys: !is_own,
        }
    }

    fn check(known: Option<&[&str]>, exist: &[&[&str]], expected: &[&str]) {
        let set = |names: &[&str]| -> BTreeSet<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        let indices = exist.iter().map(|names| IndexState {
            names: set(names),
            ..state(names[0], true)
        });
        let indices: Vec<IndexState> = indices.collect();
        let known = known.map(set);
        let found = missing("logs-{{ doc.day }}", known.as_ref(), &indices);
        assert_eq!(found, set(expected));
    }

    #[test]
    fn documents_that_another_index_has_already_are_told() {
        let indices = [state("again", true), state("again-2", false)];
        let holders = ["again", "again-2"].map(|name| (name.to_owned(), 2_000));
        let holders = Holders::from(holders);
        let sink = |guarantee| Sink {
            bolt: "index".to_owned(),
            index: "again".to_owned(),
            guarantee,
        };
        let holders = own(holders, &indices);
        let told = there(&sink(Guarantee::Exact), &holders);
        assert_eq!(
            told,
            [
                "again has 2,000 documents of the range already: they stay as they are, whatever the topology makes \
                 of these records now; delete the index first, or take another name"
            ]
        );
        let twice = there(&sink(Guarantee::None), &holders);
        assert!(twice[0].contains("stored once more"), "{twice:?}");
        let none: Vec<String> = there(&sink(Guarantee::Exact), &Holders::new());
        assert_eq!(none, Vec::<String>::new());
    }

    #[test]
    fn documents_that_an_alias_has_left_behind_are_told_with_what_that_means() {
        let behind = |name: &str, moved_to: Option<&str>| IndexState {
            by_own_name: false,
            moved_to: moved_to.map(str::to_owned),
            ..state(name, true)
        };
        let indices = [
            behind("logs-000001", Some("logs-000003")),
            behind("logs-000002", Some("logs-000003")),
            behind("logs-000003", None),
        ];
        let sink = |guarantee| Sink {
            bolt: "index".to_owned(),
            index: "logs".to_owned(),
            guarantee,
        };
        let holders = ["logs-000001", "logs-000003"].map(|name| (name.to_owned(), 2_000));
        let told = left_behind(&sink(Guarantee::Exact), &Holders::from(holders), &indices);
        let expected = "logs-000001 has 2,000 documents of the range, and what index writes goes to logs-000003 by now: \
                        they would be there twice; purge deletes them first";
        assert_eq!(told, [expected]);
        let plain = [state("logs", true), behind("other", None)].map(|index| IndexState {
            is_own: index.name == "logs",
            ..index
        });
        for (live, indices, expected) in [
            (Guarantee::Exact, &indices[..], Guarantee::UntilRollover),
            (Guarantee::Exact, &plain, Guarantee::Exact),
            (Guarantee::None, &indices, Guarantee::None),
            (Guarantee::AsTheIdSays, &indices, Guarantee::AsTheIdSays),
        ] {
            assert_eq!(guarantee(&sink(live), indices), expected);
        }
    }

    #[test]
    fn an_overwrite_by_ids_of_fields_may_touch_what_is_outside_the_range() {
        let sink = |guarantee| Sink {
            bolt: "index".to_owned(),
            index: "logs".to_owned(),
            guarantee,
        };
        let by_field = sink(Guarantee::AsTheIdSays);
        let told = taken_places(&by_field, &Target::Overwrite).expect("it may");
        assert!(
            told.starts_with("the ids of index are made of fields"),
            "{told}"
        );
        assert_eq!(taken_places(&by_field, &Target::Missing), None);
        let exact = sink(Guarantee::Exact);
        assert_eq!(taken_places(&exact, &Target::Overwrite), None);
    }

    #[test]
    fn indices_that_take_nothing_are_told_where_documents_of_the_ranges_go_there() {
        let closed = |name: &str, moved_to: Option<&str>| IndexState {
            blocks: vec!["closed".to_owned()],
            moved_to: moved_to.map(str::to_owned),
            ..state(name, true)
        };
        let indices = [
            closed("logs-1", None),
            closed("logs-2", None),
            closed("logs-3", Some("logs-4")),
            state("logs-4", true),
        ];
        let told = |names: Option<&[&str]>, target: &Target| {
            let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            let told = blocked(names.as_ref(), target, &indices);
            let named = told.iter().filter_map(|one| one.split(' ').next());
            named.map(str::to_owned).collect::<Vec<_>>().join(" ")
        };
        let again = Target::Index("logs-{{ doc.day }}".to_owned());
        assert_eq!(
            told(Some(&["logs-1", "logs-3", "logs-4"]), &Target::Missing),
            "logs-1"
        );
        assert_eq!(told(Some(&["logs-4"]), &Target::Purge), "");
        assert_eq!(told(None, &Target::Overwrite), "");
        assert_eq!(told(None, &again), "logs-1 logs-2");
        let sentence = blocked(None, &again, &indices[..1]);
        assert!(
            sentence[0].starts_with("logs-1 takes no documents (closed): "),
            "{sentence:?}"
        );
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
