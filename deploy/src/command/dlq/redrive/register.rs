//! A redrive in the register of runs: what it claims there, and whether its letters are as they were when it has its
//! claim.

use std::collections::BTreeMap;

use anyhow::anyhow;
use isobar_operators::redrive::{LetterAt, Pick};
use isobar_operators::replay::registry::{Entry, REDRIVE};

use super::super::letters::{Letters, Line};
use super::super::records::Records;
use super::RedriveArgs;
use crate::command::replay::claiming::Wants;
use crate::exit::{Exit, Failure};
use crate::output::number;

/// What is said where it is not begun.
pub(super) const NOT_DONE: &str = "nothing was redriven";

/// What its entry says where records enter at the bolt that rejected them.
const AT_BOLT: &str = "--at=bolt";

/// Whether the records of a redrive entered at the bolt that rejected them.
pub(in crate::command::dlq) fn entered_at_bolt(entry: &Entry) -> bool {
    let asked = entry.asked.iter();
    let mut options = asked.flat_map(|asked| &asked.options);
    options.any(|option| option == AT_BOLT)
}

/// Claims its records, from the first in each partition to the last: a word to the register is as long for a
/// million of them.
pub(super) fn wants(
    args: &RedriveArgs,
    run: &str,
    spout: &str,
    is_at_bolt: bool,
    configuration: &str,
    picks: &BTreeMap<LetterAt, Pick>,
) -> Wants {
    Wants {
        run: run.to_owned(),
        spout: spout.to_owned(),
        target: REDRIVE.to_owned(),
        // Its progress is in the topics of the letters.
        group: String::new(),
        configuration: configuration.to_owned(),
        options: options(args, is_at_bolt),
        partitions: Records::of(picks.values()).ranges(),
    }
}

fn options(args: &RedriveArgs, is_at_bolt: bool) -> Vec<String> {
    let mut options = args.filter.options();
    options.extend(is_at_bolt.then(|| AT_BOLT.to_owned()));
    options.extend(args.limit.map(|limit| format!("--limit={limit}")));
    options.push(format!("--redrives-max={}", args.redrives_max));
    for (name, number) in [("rate", args.rate), ("max-in-flight", args.max_in_flight)] {
        options.extend(number.map(|number| format!("--{name}={number}")));
    }
    options.push(format!("--yield-to-live={}", args.yield_to_live));
    options
}

/// Fails where another run has settled some of the letters since they were read, which is before the claim.
pub(super) fn check_still_open(
    picks: &BTreeMap<LetterAt, Pick>,
    now: &Letters,
) -> Result<(), Failure> {
    let settled = picks.values().filter_map(|pick| {
        pick.resolutions().find_map(|one| {
            let line = now.of_rejection(&(one.origin.clone(), one.bolt.clone()))?;
            (!is_as_it_was(line, pick)).then_some(line)
        })
    });
    let settled: Vec<&Line> = settled.collect();
    let Some(first) = settled.first() else {
        return Ok(());
    };
    let by = first.resolved_by.as_deref().unwrap_or(&first.topology);
    Err(Failure::new(
        Exit::Failed,
        anyhow!(
            "{NOT_DONE}: {} of these {} records were redriven meanwhile, by {by}; the same command takes what is open",
            number(settled.len()),
            number(picks.len())
        ),
    ))
}

/// Whether a letter is open, and of no redrive since.
fn is_as_it_was(line: &Line, pick: &Pick) -> bool {
    line.is_open() && line.redrives <= pick.redrives
}

#[cfg(test)]
mod tests {
    use isobar_operators::dead_letter::{Letter, Origin, Resolution};
    use isobar_operators::letters::{Content, Stored};
    use isobar_operators::redrive::Mark;
    use isobar_topology::Ordinals;

    use super::*;

    fn letter(redrives: u32, topology: &str) -> Letter {
        Letter {
            topology: topology.to_owned(),
            bolt: "parse".to_owned(),
            attempts: 1,
            redrives,
            class: "invalid_json".to_owned(),
            reason: "no object".to_owned(),
            target: None,
            document_id: None,
            rejected_at: 5,
            origin: Origin {
                source: 7,
                topic: "t".to_owned(),
                partition: 0,
                offset: 40,
                timestamp: None,
                ordinals: Ordinals::NONE,
            },
            cut: None,
        }
    }

    fn mark(run: &str) -> Resolution {
        let letter = letter(0, "logs");
        Resolution {
            origin: letter.origin,
            bolt: letter.bolt,
            redrives: 0,
            rejected_at: 5,
            run: run.to_owned(),
        }
    }

    fn check(more: Vec<Content>, expected: Option<&str>) {
        let mut now = Letters::default();
        let first = Content::Letter(letter(0, "logs"));
        for (offset, content) in (0..).zip([vec![first], more].concat()) {
            now.add(Stored {
                partition: 0,
                offset,
                content: Ok(content),
                key: None,
                payload: None,
            });
        }
        let pick = Pick {
            origin: letter(0, "logs").origin,
            redrives: 0,
            marks: vec![Mark {
                at: (0, 0, 0),
                resolution: mark("logs.redrive.2"),
            }],
        };
        let picks = BTreeMap::from([((0, 0, 0), pick)]);
        let checked = check_still_open(&picks, &now.finish());
        let found = checked.err().map(|failure| failure.error.to_string());
        match expected {
            None => assert_eq!(found, None),
            Some(part) => {
                let found = found.expect("it is not as it was");
                assert!(found.contains(part), "{found}");
            }
        }
    }

    #[test]
    fn what_another_redrive_has_settled_before_the_claim_is_not_sent_through_again() {
        check(Vec::new(), None);
        // Read and rejected once more by the live topology.
        let mut later = letter(0, "logs");
        later.rejected_at = 9;
        check(vec![Content::Letter(later)], None);
        let settled = Content::Resolution(mark("logs.redrive.1"));
        let by = "1 of these 1 records were redriven meanwhile, by logs.redrive.1; the same";
        check(vec![settled.clone()], Some(by));
        let again = Content::Letter(letter(1, "logs.redrive.1"));
        check(vec![settled, again.clone()], Some(by));
        // It has not been told yet that the first one is settled.
        check(vec![again], Some(by));
    }
}
