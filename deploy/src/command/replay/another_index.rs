//! The index of another name that a replay writes to, as it is when the run begins: another replay may have
//! written there since the plan was made, and which of the two a document came from nobody could tell later.

use anyhow::anyhow;
use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::replay::{IndexState, Search, Target};

use super::document::{PlanFile, PlannedSink};
use super::held::{Progress, ranges};
use super::make::undetermined;
use super::purge::{Holders, documents, holders};
use crate::exit::{Exit, Failure};
use crate::output::number;

/// Compares the index with what the plan has found there. Returns what is to be said before the run begins.
///
/// Fails where it has documents of the ranges that were not there then. A run that goes on may have written them
/// itself: where its progress does not prove that, they are told.
pub(super) async fn look(
    plan: &PlanFile,
    progress: &Progress,
    searches: &[Search],
    resume: bool,
) -> Result<Vec<String>, Failure> {
    // Where it begins is committed before the first record is read.
    let has_read = |(partition, (from, _)): (&TopicPartition, &(i64, i64))| {
        progress.get(partition).is_some_and(|next| next > from)
    };
    let is_another = matches!(plan.choice()?.target, Target::Index(_));
    if !is_another || ranges(plan).iter().any(has_read) {
        return Ok(Vec::new());
    }
    let (documents, mut told) = (documents(plan, progress), Vec::new());
    for (planned, search) in plan.sinks.iter().zip(searches) {
        let found = match search.origin() {
            Some(_) => holders(search, &documents).await.map_err(undetermined)?,
            None => Holders::new(),
        };
        let indices = search.indices().await.map_err(undetermined)?;
        let Changes { made, written } = changes(planned, &found, &indices);
        match written {
            Some(written) if !resume => {
                return Err(refusal(&written));
            }
            Some(written) => told.push(format!("{written}: they stay as they are")),
            None => told.extend(made),
        }
    }
    Ok(told)
}

/// Why a run does not begin where its index has other documents than when its plan was made.
fn refusal(written: &str) -> Failure {
    let error = anyhow!(
        "nothing was replayed: {written}: another replay has written them; delete the index, or make a new plan with \
         another name; where an earlier run of this plan has begun to write, go on with it by --resume"
    );
    Failure::new(Exit::Failed, error)
}

/// What is otherwise than when the plan was made, a sentence each.
#[derive(Debug, PartialEq, Eq)]
struct Changes {
    /// An index is there.
    made: Option<String>,
    /// It has documents of the ranges.
    written: Option<String>,
}

fn changes(planned: &PlannedSink, found: &Holders, indices: &[IndexState]) -> Changes {
    let own = || indices.iter().filter(|index| index.is_own);
    let was_there = |index: &&IndexState| planned.indices.contains_key(&index.name);
    let had_some = |index: &&IndexState| planned.there.contains_key(&index.name);
    let made = own().find(|index| !was_there(index)).map(|index| {
        format!(
            "{} exists by now, and did not when the plan was made: what is written goes beside what it has",
            index.name
        )
    });
    let later = own().filter(|index| !had_some(index));
    let mut written = later.filter_map(|index| Some((&index.name, found.get(&index.name)?)));
    let written = written.next().map(|(index, documents)| {
        format!(
            "{index} has {} documents of the range, and had none when the plan was made",
            number(*documents)
        )
    });
    Changes { made, written }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::indices::tests::state;
    use super::*;

    fn planned(indices: &[&str], there: &[&str]) -> PlannedSink {
        PlannedSink {
            bolt: "index".to_owned(),
            index: "again".to_owned(),
            hosts: Vec::new(),
            cluster: None,
            guarantee: "exact".to_owned(),
            verifiable: true,
            indices: indices
                .iter()
                .map(|name| ((*name).to_owned(), Vec::new()))
                .collect(),
            purged: BTreeMap::new(),
            there: of(there),
        }
    }

    fn of(names: &[&str]) -> Holders {
        names
            .iter()
            .map(|name| ((*name).to_owned(), 1_200))
            .collect()
    }

    #[test]
    fn documents_that_another_replay_has_written_since_the_plan_are_told() {
        let check = |planned: &PlannedSink, found: &[&str], written: Option<&str>, made: bool| {
            let indices = [state("again", true), state("others", false)];
            let changes = changes(planned, &of(found), &indices);
            assert_eq!(changes.written.as_deref(), written);
            assert_eq!(changes.made.is_some(), made, "{changes:?}");
        };
        let none = planned(&[], &[]);
        let text = "again has 1,200 documents of the range, and had none when the plan was made";
        check(&none, &["again"], Some(text), true);
        // By a replay of other ranges, or made by hand for this one.
        check(&none, &[], None, true);
        check(&planned(&["again"], &[]), &[], None, false);
        check(&planned(&["again"], &[]), &["again"], Some(text), false);
        // The plan has said so, and was accepted.
        check(&planned(&["again"], &["again"]), &["again"], None, false);
        // An index that the pattern finds and nothing is written to.
        check(&planned(&["again"], &[]), &["others"], None, false);
    }

    #[test]
    fn it_is_no_fault_of_the_command_line_as_where_a_purge_finds_them() {
        let Failure { exit, error } = refusal("again has 1,200 documents of the range");
        assert_eq!(exit, Exit::Failed);
        let text = error.to_string();
        assert!(
            text.starts_with("nothing was replayed: again has 1,200"),
            "{text}"
        );
    }
}
