//! Deletes the documents of what is to be read, page by page, for as long as the run goes on: it waits
//! while the run is held back, and ends when the run is stopped. It deletes in the indices alone that the plan
//! names, which are those that the replay writes to.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;
use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::replay::{Gate, IndexState, Purge, Search, origin_of};
use isobar_topology::OperatorError;

use super::document::{PlanFile, PlannedSink};
use super::held::{Progress, ranges};
use super::make::undetermined;
use crate::command::signals::Signals;
use crate::exit::{Exit, Failure};
use crate::output::number;

/// The target that begins with one.
pub(super) const PURGE: &str = "purge";

/// What is to be known of a purge that did not come to its end.
pub(super) const REMAINS: &str = "the documents that were deleted are missing until the plan is run to its end with \
                                  --resume, or a new plan with its range and target is";

/// What a purge came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Purged {
    /// Documents that are deleted.
    pub(super) documents: u64,
    /// What stopped it before all of them were.
    pub(super) stopped_by: Option<&'static str>,
}

/// Indices with the number of documents of the plan in each.
pub(super) type Holders = BTreeMap<String, u64>;

/// The documents of a half-open range of offsets: their source as they have it, and the partition.
pub(super) type Documents = (String, i32, (i64, i64));

/// Looks which indices that a sink's pattern finds have some documents, whosever they are.
pub(super) async fn holders(
    search: &Search,
    documents: &[Documents],
) -> Result<Holders, OperatorError> {
    let mut holders = Holders::new();
    search.make_visible().await?;
    for (source, partition, range) in documents {
        for (index, documents) in search.holders(source, *partition, *range).await? {
            *holders.entry(index).or_default() += documents;
        }
    }
    Ok(holders)
}

/// Of those indices the ones that a purge deletes in, as they are the sink's. Fails with a sentence where a bolt
/// that takes no part can write to one of them as well, as what is deleted of its documents would not come back, or
/// where one lets nothing be deleted: others would have been by then.
pub(super) fn purged(
    bolt: &str,
    holders: &Holders,
    indices: &[IndexState],
) -> Result<Holders, String> {
    let mut purged = Holders::new();
    for state in indices.iter().filter(|state| state.is_own) {
        let Some(documents) = holders.get(&state.name) else {
            continue;
        };
        if let Some(other) = &state.shared_with {
            return Err(format!(
                "{} has {} documents of the range, which {bolt} or {other} may have written, and {other} takes no \
                 part, as it is left out or another spout's: a purge would delete documents that it does not write \
                 anew; leave {other} in where it is left out, or replay into another index with index=NAME",
                state.name,
                number(*documents)
            ));
        }
        if !state.blocks.is_empty() {
            return Err(format!(
                "{} has {} documents of the range, and lets none be deleted ({}); take the block away before, or replay \
                 into another index with index=NAME",
                state.name,
                number(*documents),
                state.blocks.join(", ")
            ));
        }
        let _ = purged.insert(state.name.clone(), *documents);
    }
    Ok(purged)
}

/// What is to be known of indices that have documents of the range and are no sink's: a sentence each.
pub(super) fn stay(found: &[(Holders, &str)], purged: &BTreeSet<&String>) -> Vec<String> {
    let mut others: BTreeMap<&String, (u64, &str)> = BTreeMap::new();
    for (holders, bolt) in found {
        let holders = holders.iter().filter(|(index, _)| !purged.contains(index));
        others.extend(holders.map(|(index, documents)| (index, (*documents, *bolt))));
    }
    let each = others.into_iter().map(|(index, (documents, bolt))| {
        format!(
            "{index} has {} documents of the range as well: its name is none that {bolt} makes, so they stay there",
            number(documents)
        )
    });
    each.collect()
}

/// The indices of a sink that a run deletes in. The first run of a plan finds documents where the plan found them:
/// fails where there are others. A resumed one finds its own as well, and deletes those that an alias or a data
/// stream has put into a newer index; others have the ids that they will have.
fn targets(
    planned: &PlannedSink,
    found: Holders,
    indices: &[IndexState],
    resume: bool,
) -> Result<Vec<String>, Failure> {
    let refused = |why: String| Failure::new(Exit::Failed, anyhow!("nothing was deleted: {why}"));
    let found = purged(&planned.bolt, &found, indices).map_err(refused)?;
    let is_planned = |index: &String| planned.purged.contains_key(index);
    if !resume && let Some((index, documents)) = found.iter().find(|(index, _)| !is_planned(index))
    {
        return Err(refused(format!(
            "{index} has {} documents of the range, and had none when the plan was made; where an earlier run of \
             this plan has begun to write, go on with it by --resume, otherwise make a new plan",
            number(*documents)
        )));
    }
    let moves = |index: &String| {
        let mut indices = indices.iter();
        indices.any(|state| state.name == *index && !state.by_own_name)
    };
    let found = found.into_keys();
    Ok(found
        .filter(|index| is_planned(index) || moves(index))
        .collect())
}

/// Deletes the documents of the plan's ranges, in the indices of the plan. What an earlier run has settled stays.
///
/// Fails before anything is deleted where other indices have some by now.
pub(super) async fn purge(
    plan: &PlanFile,
    progress: &Progress,
    searches: &[Search],
    resume: bool,
    gate: &Gate,
    signals: &mut Signals,
) -> Result<Purged, Failure> {
    let mut purged = Purged::default();
    let ranges = documents(plan, progress);
    let mut chosen = Vec::new();
    for (planned, search) in plan.sinks.iter().zip(searches) {
        let found = holders(search, &ranges).await;
        let found = found.map_err(undetermined)?;
        let indices = search.indices().await.map_err(undetermined)?;
        let targets = targets(planned, found, &indices, resume)?;
        if !targets.is_empty() {
            search.only(targets);
            chosen.push(search);
        }
    }
    for (source, partition, range) in ranges {
        for search in &chosen {
            let mut purge = Purge::new(search, source.clone(), partition, range);
            let ended = pages(async || purge.page().await, gate, signals, &mut purged).await;
            ended.map_err(|error| {
                let Failure { exit, error } = undetermined(error);
                Failure::new(exit, error.context(failed(purged.documents)))
            })?;
            if purged.stopped_by.is_some() {
                return Ok(purged);
            }
        }
    }
    Ok(purged)
}

/// What is said where a page failed behind so many documents. Of that page some may be deleted as well.
fn failed(documents: u64) -> String {
    let documents = number(documents);
    format!("at least {documents} documents of the range are deleted, not all of them; {REMAINS}")
}

/// Deletes pages until there is none, and none while the run is held back or once it is stopped.
async fn pages(
    mut page: impl AsyncFnMut() -> Result<Option<u64>, OperatorError>,
    gate: &Gate,
    signals: &mut Signals,
    purged: &mut Purged,
) -> Result<(), OperatorError> {
    loop {
        purged.stopped_by = tokio::select! {
            biased;
            by = signals.next() => Some(by),
            () = gate.opened() => None,
        };
        if purged.stopped_by.is_some() {
            return Ok(());
        }
        match page().await? {
            None => return Ok(()),
            Some(documents) => purged.documents += documents,
        }
    }
}

/// The documents of what a plan has still to read.
pub(super) fn documents(plan: &PlanFile, progress: &Progress) -> Vec<Documents> {
    let ranges = ranges(plan).into_iter().map(|(partition, (from, to))| {
        let from = *progress.get(&partition).unwrap_or(&from);
        (source_of(plan, &partition), partition.partition, (from, to))
    });
    ranges.collect()
}

/// The source of a partition of the plan as documents have it.
fn source_of(plan: &PlanFile, partition: &TopicPartition) -> String {
    let id = plan.topics.get(&*partition.topic);
    origin_of(
        &plan.cluster_id,
        &partition.topic,
        id.and_then(Option::as_deref),
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::mpsc;

    use super::super::indices::tests::state;
    use super::*;

    #[tokio::test]
    async fn nothing_is_deleted_while_the_run_is_held_back_or_once_it_is_stopped() {
        let (stop, told) = mpsc::channel(1);
        let (mut signals, gate) = (Signals::told(told), Gate::default());
        let (asked, mut purged) = (Cell::new(0), Purged::default());
        let page = async || {
            asked.set(asked.get() + 1);
            match asked.get() {
                1 => gate.close("the live topology is behind"),
                2 => stop.try_send("replay abort").expect("it has room"),
                _ => {}
            }
            Ok(Some(10))
        };
        let opened = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            let before = asked.get();
            gate.open();
            before
        };
        let deleted = pages(page, &gate, &mut signals, &mut purged);
        let (ended, before) = tokio::join!(deleted, opened);
        ended.expect("no page failed");
        assert_eq!(before, 1, "held back");
        let expected = Purged {
            documents: 20,
            stopped_by: Some("replay abort"),
        };
        assert_eq!(purged, expected);
    }

    #[tokio::test]
    async fn it_ends_when_no_page_is_left() {
        let (_stop, told) = mpsc::channel(1);
        let (mut signals, gate) = (Signals::told(told), Gate::default());
        let (mut left, mut purged) = (vec![None, Some(3), Some(0), Some(7)], Purged::default());
        let page = async || Ok(left.pop().expect("no page behind the last one"));
        let ended = pages(page, &gate, &mut signals, &mut purged).await;
        ended.expect("no page failed");
        assert_eq!((purged.documents, purged.stopped_by), (10, None));
    }

    #[test]
    fn one_that_fails_says_how_many_are_gone_and_how_to_go_on() {
        let expected = "at least 20,000 documents of the range are deleted, not all of them; the documents that were \
                        deleted are missing until the plan is run to its end with --resume, or a new plan with its \
                        range and target is";
        assert_eq!(failed(20_000), expected);
    }

    fn of(indices: &[(&str, u64)]) -> Holders {
        let each = indices.iter();
        each.map(|(index, documents)| ((*index).to_owned(), *documents))
            .collect()
    }

    #[test]
    fn nothing_is_deleted_in_indices_of_others() {
        let found = of(&[("logs-1", 600), ("logs-again", 1_000)]);
        let mut indices = vec![
            state("logs-1", true),
            state("logs-2", true),
            state("logs-again", false),
        ];
        let own = purged("index", &found, &indices).expect("no other bolt writes there");
        assert_eq!(own, of(&[("logs-1", 600)]));
        let notes = stay(&[(found.clone(), "index")], &own.keys().collect());
        assert_eq!(
            notes,
            [
                "logs-again has 1,000 documents of the range as well: its name is none that index makes, so they stay there"
            ]
        );
        // What is not known to have any is of no matter.
        indices[1].shared_with = Some("errors".to_owned());
        assert!(purged("index", &found, &indices).is_ok());
        indices[0].blocks = vec!["index.blocks.write".to_owned()];
        let why = purged("index", &found, &indices).expect_err("it is blocked");
        let expected = "logs-1 has 600 documents of the range, and lets none be deleted (index.blocks.write); ";
        assert!(why.starts_with(expected), "{why}");
        indices[0].shared_with = Some("errors".to_owned());
        let why = purged("index", &found, &indices).expect_err("errors is left out");
        assert!(
            why.starts_with("logs-1 has 600 documents of the range, which index or errors may"),
            "{why}"
        );
    }

    #[test]
    fn a_run_deletes_where_its_plan_has_found_documents() {
        let planned = PlannedSink {
            bolt: "index".to_owned(),
            index: "logs-{{ doc.day }}".to_owned(),
            hosts: Vec::new(),
            cluster: None,
            guarantee: "exact".to_owned(),
            verifiable: true,
            indices: BTreeMap::new(),
            purged: of(&[("logs-1", 600), ("logs-2", 1)]),
            there: Holders::new(),
        };
        let mut behind = state("logs-3-000002", true);
        behind.by_own_name = false;
        let indices = [
            state("logs-1", true),
            state("logs-2", true),
            state("logs-3", true),
            behind,
        ];
        let found = of(&[("logs-1", 500)]);
        let targets_of = |found: &Holders, resume| {
            let targets = targets(&planned, found.clone(), &indices, resume);
            targets.map_err(|failure| failure.error.to_string())
        };
        assert_eq!(targets_of(&found, false), Ok(vec!["logs-1".to_owned()]));
        let later = of(&[("logs-1", 500), ("logs-3", 1_000)]);
        let refused = "nothing was deleted: logs-3 has 1,000 documents of the range, and had none when the plan was \
                       made; where an earlier run of this plan has begun to write, go on with it by --resume, \
                       otherwise make a new plan";
        assert_eq!(targets_of(&later, false), Err(refused.to_owned()));
        // An earlier attempt has written them, and they are what they will be.
        assert_eq!(targets_of(&later, true), Ok(vec!["logs-1".to_owned()]));
        let rolled = of(&[("logs-1", 500), ("logs-3-000002", 10)]);
        let both = ["logs-1", "logs-3-000002"].map(str::to_owned).to_vec();
        assert_eq!(targets_of(&rolled, true), Ok(both));
    }
}
