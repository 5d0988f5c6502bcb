//! What replays and redrives share: asking whoever is at the terminal, and a run that ends by itself.

use std::io::{self, BufRead, IsTerminal};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use isobar_topology::Plan;
use isobar_topology::spec::units::Duration;

use super::Context;
use super::launch::refused;
use super::run::report::Report;
use super::signals::Signals;
use super::watch::Run;
use crate::exit::{Exit, Failure};
use crate::lag::Watches;
use crate::observer::Observer;
use crate::plan_document::PlanDocument;

/// Shows what is about to be done and asks; fails when the answer is not yes. `done` is the participle
/// of what would be done.
pub(super) fn agree(
    yes: bool,
    text: &str,
    done: &str,
    context: &Context<'_>,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "standard input is no terminal, so nobody can be asked; --yes runs the plan",
        ));
    }
    context.screen.write(text.as_bytes());
    context.screen.line("Run this? yes or no:");
    let mut answer = String::new();
    let _ = io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, anyhow!("nothing was {done}"))),
    }
}

/// Runs a planned graph whose spouts end by themselves, and reports. Gives up when nothing was read and
/// nothing settled for so long.
pub(super) async fn to_its_end(
    plan: Plan,
    give_up_after: Duration,
    context: &Context<'_>,
) -> Result<Report, Failure> {
    let document = PlanDocument::of(&plan);
    let signals = Signals::listen()?;
    let running = isobar_topology::start(plan.graph, true).map_err(refused)?;
    let (recorder, lag) = (context.recorder.clone(), Watches::default());
    let observer = Observer::new(running, document, serde_json::Value::Null, recorder, lag);
    let observer = Arc::new(observer);
    let run = Run {
        give_up_after: Some(give_up_after),
        screen: &context.screen,
        observer: &observer,
        signals,
    };
    let end = run.watch().await;
    context.screen.clear();
    Ok(Report::of(&observer, end, true, false))
}
