//! What replays and redrives share: asking whoever is at the terminal, and a run that ends by itself.

use std::io::{self, BufRead, IsTerminal};
use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use isobar_topology::spec::units::Duration;
use isobar_topology::{Graph, Plan};

use super::Context;
use super::launch::refused;
use super::run::report::Report;
use super::signals::Signals;
use super::watch::Run;
use crate::exit::{Exit, Failure};
use crate::lag::Watches;
use crate::observer::Observer;
use crate::plan_document::PlanDocument;
use crate::progress::Goal;

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

/// Bounds what is in flight, where somebody has said so.
pub(super) fn bound_in_flight(graph: &mut Graph, most: Option<NonZeroU32>) {
    if let Some(most) = most {
        for spout in &mut graph.spouts {
            spout.max_in_flight_records = most.get() as usize;
        }
    }
}

/// What a run did is told whether or not it can be checked: the check, and why there is none.
pub(super) fn apart<T>(checked: Result<T, Failure>) -> (Option<T>, Option<Failure>) {
    match checked {
        Ok(verdict) => (Some(verdict), None),
        Err(failure) => (None, Some(failure)),
    }
}

/// Waits for the check of what was done, and no longer when a signal comes: it may take as long as the work
/// itself, and nothing but the answer is lost with it.
pub(super) async fn unless_stopped<T>(
    check: impl Future<Output = Result<T, Failure>>,
    signals: &mut Signals,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        by = signals.next() => Err(Failure::new(Exit::Failed, anyhow!("stopped by {by}"))),
        checked = check => checked,
    }
}

/// Runs a planned graph whose spouts end by themselves, and reports. Gives up when nothing was read and
/// nothing settled for so long. `signals` stop it; a terminal shows how far it is from its `goal`; `started` hears what can be seen of it.
pub(super) async fn to_its_end(
    plan: Plan,
    give_up_after: Duration,
    signals: &mut Signals,
    goal: Option<Goal>,
    context: &Context<'_>,
    started: impl FnOnce(&Arc<Observer>),
) -> Result<Report, Failure> {
    let document = PlanDocument::of(&plan);
    let running = isobar_topology::start(plan.graph, true).map_err(refused)?;
    let (recorder, lag) = (context.recorder.clone(), Watches::default());
    let observer = Observer::new(running, document, serde_json::Value::Null, recorder, lag);
    let observer = Arc::new(observer);
    started(&observer);
    let run = Run {
        give_up_after: Some(give_up_after),
        screen: &context.screen,
        observer: &observer,
        signals,
        goal,
    };
    let end = run.watch().await;
    context.screen.clear();
    Ok(Report::of(&observer, end, true, false))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use isobar_topology::spec::{Node, Spec};
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn what_is_in_flight_is_bounded_where_somebody_says_so() {
        let file = json!({
            "isobar": 1, "name": "t", "connections": {"kafka": {"type": "kafka", "brokers": "localhost:1"}},
            "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "earliest"}},
            "bolts": {"out": {"type": "blackhole", "inputs": ["in"]}},
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        let registry = isobar_operators::registry();
        let plan = isobar_topology::plan(&spec, &registry, 1, Path::new("."));
        let mut graph = plan.expect("it can be planned").graph;
        let before = graph.spouts[0].max_in_flight_records;
        bound_in_flight(&mut graph, None);
        assert_eq!(graph.spouts[0].max_in_flight_records, before);
        bound_in_flight(&mut graph, NonZeroU32::new(7));
        assert_eq!(graph.spouts[0].max_in_flight_records, 7);
    }

    #[tokio::test]
    async fn a_check_that_goes_on_for_long_can_be_stopped() {
        let (stop, told) = mpsc::channel(2);
        let mut signals = Signals::told(told);
        let checked = unless_stopped(async { Ok(7) }, &mut signals).await;
        assert!(checked.is_ok_and(|checked| checked == 7));
        // The first one stops the run, the next one the check.
        stop.try_send("SIGINT").expect("it has room");
        assert_eq!(signals.next().await, "SIGINT");
        stop.try_send("replay abort").expect("it has room");
        let endless = std::future::pending::<Result<(), Failure>>();
        let stopped = unless_stopped(endless, &mut signals).await;
        let stopped = stopped.expect_err("nobody waits for it");
        assert_eq!(stopped.exit, Exit::Failed);
        assert_eq!(stopped.error.to_string(), "stopped by replay abort");
    }
}
