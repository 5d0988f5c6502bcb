//! Documents of the ranges in indices that nothing writes to by the names of today, where a replay deletes none: those
//! under names that the topology made before would be there twice, and those of a replay into another index are meant
//! to be beside.

use std::collections::BTreeSet;

use isobar_operators::replay::registry::{Listed, State};
use isobar_operators::replay::{IndexState, Sink, Target, makes};

use super::indices::Indices;
use super::purge::Holders;
use crate::output::number;

/// What such an index has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Elsewhere {
    documents: u64,
    /// A bolt that finds it and does not write there.
    bolt: String,
    /// The names that lead to it.
    names: BTreeSet<String>,
}

/// Of the indices with documents those that no bolt writes to, by name.
pub(super) fn elsewhere(
    sink: &Sink,
    holders: &Holders,
    indices: &[IndexState],
) -> Vec<(String, Elsewhere)> {
    let nobodys = indices.iter().filter(|index| index.is_nobodys);
    let each = nobodys.filter_map(|index| {
        let elsewhere = Elsewhere {
            documents: *holders.get(&index.name)?,
            bolt: sink.bolt.clone(),
            names: index.names.clone(),
        };
        Some((index.name.clone(), elsewhere))
    });
    each.collect()
}

/// Tells of them: of those that a replay into another index has written by what the register says of runs, and of
/// the others that their documents would be there twice.
pub(super) fn tell(indices: &mut Indices, runs: Result<Vec<Listed>, String>) {
    if let Err(why) = &runs {
        indices.notes.push(format!(
            "whether an earlier replay into another index has written to one of these is not known: {why}"
        ));
    }
    let runs = runs.unwrap_or_default();
    for (index, found) in std::mem::take(&mut indices.elsewhere) {
        let documents = number(found.documents);
        match runs.iter().find(|run| is_of(run, &found)) {
            Some(run) => indices.notes.push(format!(
                "{index} has {documents} documents of the range as well, where the replay {} has written them \
                 (target {}): they stay there",
                run.entry.run, run.entry.target
            )),
            None => indices.there.push(format!(
                "{index} has {documents} documents of the range, and its name is none that {} makes now: they would be \
                 there twice; delete them there first, or let the range begin behind them (--accept-narrowed stores \
                 them twice)",
                found.bolt
            )),
        }
    }
}

/// Whether a run has written to another index of one of these names.
fn is_of(run: &Listed, found: &Elsewhere) -> bool {
    match run.entry.target.parse() {
        Ok(Target::Index(index)) if run.entry.state != State::Refused => {
            found.names.iter().any(|name| makes(&index, name))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::indices::tests::state;
    use super::super::register::entry_for_tests;
    use super::*;

    /// What is told of 2,000 documents in `logs-2026.01` and in `logs-window`: what narrows the plan, and notes.
    fn told(runs: Result<Vec<Listed>, String>) -> (Vec<String>, Vec<String>) {
        let sink = Sink {
            bolt: "index".to_owned(),
            index: "logs-{{ event_time.format('%Y.%m.%d') }}".to_owned(),
            guarantee: isobar_operators::replay::Guarantee::Exact,
        };
        let anothers = IndexState {
            is_nobodys: false,
            ..state("logs-errors", false)
        };
        let states = [
            state("logs-2026.01", false),
            state("logs-2026.01.31", true),
            state("logs-empty", false),
            state("logs-window", false),
            anothers,
        ];
        let holders = [
            "logs-2026.01",
            "logs-2026.01.31",
            "logs-errors",
            "logs-window",
        ];
        let holders = Holders::from(holders.map(|name| (name.to_owned(), 2_000)));
        let mut indices = Indices::default();
        indices
            .elsewhere
            .extend(elsewhere(&sink, &holders, &states));
        tell(&mut indices, runs);
        assert!(indices.elsewhere.is_empty());
        (indices.there, indices.notes)
    }

    fn run(target: &str) -> Listed {
        Listed {
            entry: entry_for_tests("19a", target),
            told_ms: 0,
        }
    }

    const FORMER: &str = "logs-2026.01 has 2,000 documents of the range, and its name is none that index makes now: they \
                          would be there twice; delete them there first, or let the range begin behind them \
                          (--accept-narrowed stores them twice)";

    #[test]
    fn what_a_former_template_has_written_would_be_there_twice_and_what_a_replay_has_is_beside() {
        let runs = vec![run("missing"), run("index=logs-window")];
        let (there, notes) = told(Ok(runs));
        assert_eq!(there, [FORMER]);
        let note = "logs-window has 2,000 documents of the range as well, where the replay 19a has written them (target \
                    index=logs-window): they stay there";
        assert_eq!(notes, [note]);
    }

    #[test]
    fn what_the_register_does_not_say_is_taken_for_what_a_former_template_has_written() {
        let mut refused = run("index=logs-window");
        refused.entry.state = State::Refused;
        for (runs, noted) in [
            (Ok(vec![run("missing"), run("redrive"), refused]), None),
            (Err("no answer".to_owned()), Some("is not known: no answer")),
        ] {
            let (there, notes) = told(runs);
            assert_eq!(there.len(), 2, "{there:?}");
            assert!(there[1].starts_with("logs-window has 2,000 "), "{there:?}");
            assert_eq!(notes.len(), usize::from(noted.is_some()));
            assert!(noted.is_none_or(|noted| notes[0].ends_with(noted)));
        }
    }
}
