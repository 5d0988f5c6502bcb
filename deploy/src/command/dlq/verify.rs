//! `isobar dlq verify`: what came of a redrive, by its marks in the topics of the letters and by the indices.

use std::collections::BTreeSet;

use clap::Args;
use isobar_operators::redrive::Pick;
use isobar_operators::replay::forks;
use isobar_operators::replay::registry::{Entry, Listed, Registry};
use serde_json::json;

use super::records::{Records, settled_by};
use super::redrive::{self, entered_at_bolt, part_of};
use super::verdict::Verdict;
use super::{VERSION, keepers_of};
use crate::cli::OutputArgs;
use crate::command::Context;
use crate::command::runtime::block_on;
use crate::command::source::{OfArgs, asking};
use crate::exit::{Failure, Outcome};
use crate::output::Format;

pub(super) const EXAMPLE: &str = "\
Examples:
  isobar replay list logs.yaml
  isobar dlq verify logs.yaml logs.redrive.19ab2f3c4d5

It says what the redrive would have said at its end, as far as that is known later: of one \
that was killed, nobody knows what it has dropped. What it has not come to is not checked, since that is open still. It proves something only while retention has \
deleted no letter and no mark of it, and nobody, the lifecycle of the indices included, has deleted a document.

Exit codes:
  0  exact: each record that it has settled is in the index, or was dropped by
     a policy
  1  wrong: something is missing or there twice
  2  it cannot be checked so: it is under way, of another spout, or has settled
     nothing
  3  exact, and records were rejected again
  4  unknown, as where something is missing and some letters cannot be read,
     letters are open as before, or an outside system did not answer in time";

/// What `verify` takes.
#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    of: OfArgs,

    /// The redrive, by its name, which it tells before it begins and `isobar replay list` afterwards.
    run: String,

    #[command(flatten)]
    output: OutputArgs,
}

pub(super) fn execute(args: &VerifyArgs, mut context: Context<'_>) -> Outcome {
    let (run, within) = (&args.run, args.of.timeout);
    let (file, source, _) = args.of.find(&mut context)?;
    let keepers = keepers_of(&file, &args.of.file, &context)?;
    let spec = file.spec()?;
    let registry = Registry::of(spec, &source.spout, within.get());
    let registry = registry.ok_or_else(|| Failure::usage("the spout has no connection"))?;
    let runs = registry.runs().map_err(asking)?;
    let told = runs.into_iter().find(|listed| listed.entry.run == *run);
    refuse_alive(told.as_ref())?;
    if let Some(Listed { entry, .. }) = &told {
        refuse_spout(entry, &source.spout)?;
    }
    let picks = settled_by(run, &keepers, within)?;
    if picks.is_empty() {
        return Err(Failure::usage(format!(
            "nothing in {} says that a redrive {run} has settled a letter: it has not, or the topic has deleted that",
            keepers.names().join(", ")
        )));
    }
    let told = told.map(|listed| listed.entry);
    let is_at_bolt = told.as_ref().is_some_and(entered_at_bolt);
    let bolts = picks.iter().flat_map(Pick::resolutions);
    let bolts: BTreeSet<&str> = bolts.map(|one| one.bolt.as_str()).collect();
    let entry = match is_at_bolt {
        true => redrive::Entry::at_bolt(spec, &source.spout, &bolts).map_err(Failure::usage)?,
        false => redrive::Entry::at_spout(&source.spout),
    };
    let part = part_of(&file, &source.spout, &entry, &context)?;
    let searches = part.searches()?;
    let records = Records::of(&picks);
    let after = records.letters(&keepers, within)?;
    let dropped = told.as_ref().and_then(|entry| entry.dropped);
    let forks = forks(&part.spec);
    let unread = keepers.unread();
    let found = Verdict::find(&records, &after, &searches, dropped, unread, forks);
    let mut verdict = block_on(found)??;
    if told.is_some_and(|entry| is_of_another(&entry, &part.configuration)) {
        verdict.is_of_another_configuration();
    }
    match args.output.format {
        Format::Table => context.output.text(&verdict.text())?,
        Format::Json => context.output.json(&json!({
            "version": VERSION,
            "id": run,
            "verification": verdict,
        }))?,
    }
    keepers.say_unread(&context.screen);
    Ok(verdict.exit())
}

/// What is under way has not been settled yet.
fn refuse_alive(told: Option<&Listed>) -> Result<(), Failure> {
    match told.filter(|listed| listed.is_alive()) {
        None => Ok(()),
        Some(Listed { entry, .. }) => Err(Failure::usage(format!(
            "the redrive {} is under way on {} (process {}), and verifies at its end",
            entry.run, entry.host, entry.pid
        ))),
    }
}

/// Another spout's records go to other bolts and indices.
fn refuse_spout(told: &Entry, spout: &str) -> Result<(), Failure> {
    match told.spout == spout {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "the redrive {} was of the spout {own}, not of {spout}; --spout {own} verifies it",
            told.run,
            own = told.spout
        ))),
    }
}

/// Whether a run was of a topology of another configuration than this one, as far as it has told.
fn is_of_another(told: &Entry, configuration: &str) -> bool {
    let asked = told.asked.as_ref();
    asked.is_some_and(|asked| asked.configuration != configuration)
}

#[cfg(test)]
mod tests {
    use isobar_operators::replay::registry::{Asked, REDRIVE};

    use super::*;
    use crate::command::replay::entry_for_tests;
    use crate::exit::Exit;

    fn told() -> Entry {
        entry_for_tests("t.redrive.1", REDRIVE)
    }

    #[test]
    fn a_redrive_is_verified_by_its_own_spout_alone() {
        assert!(refuse_spout(&told(), "logs").is_ok());
        let refused = refuse_spout(&told(), "other").expect_err("another one");
        assert_eq!(refused.exit, Exit::Usage);
        assert_eq!(
            refused.error.to_string(),
            "the redrive t.redrive.1 was of the spout logs, not of other; --spout logs verifies it"
        );
    }

    #[test]
    fn a_topology_that_has_changed_since_is_another_one() {
        let mut told = told();
        // An older program has not told.
        assert!(!is_of_another(&told, "0f"));
        told.asked = Some(Asked {
            user: "ops".to_owned(),
            configuration: "0f".to_owned(),
            options: Vec::new(),
        });
        assert!(!is_of_another(&told, "0f"));
        assert!(is_of_another(&told, "1f"));
    }
}
