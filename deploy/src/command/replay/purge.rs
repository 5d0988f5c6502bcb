//! Deletes the documents of what is to be read, page by page, for as long as the run goes on: it waits
//! while the run is held back, and ends when the run is stopped.

use isobar_operators::kafka::admin::TopicPartition;
use isobar_operators::replay::{Gate, Purge, Search, origin_of};
use isobar_topology::OperatorError;

use super::document::PlanFile;
use super::held::{Progress, ranges};
use super::make::undetermined;
use crate::command::signals::Signals;
use crate::exit::Failure;

/// The target that begins with one.
pub(super) const PURGE: &str = "purge";

/// What a purge came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Purged {
    /// Documents that are deleted.
    pub(super) documents: u64,
    /// What stopped it before all of them were.
    pub(super) stopped_by: Option<&'static str>,
}

/// Deletes the documents of the plan's ranges. What an earlier run has settled stays.
pub(super) async fn purge(
    plan: &PlanFile,
    progress: &Progress,
    searches: &[Search],
    gate: &Gate,
    signals: &mut Signals,
) -> Result<Purged, Failure> {
    let mut purged = Purged::default();
    for (partition, (from, to)) in ranges(plan) {
        let from = *progress.get(&partition).unwrap_or(&from);
        let source = source_of(plan, &partition);
        for search in searches {
            let mut purge = Purge::new(search, source.clone(), partition.partition, (from, to));
            let ended = pages(async || purge.page().await, gate, signals, &mut purged).await;
            ended.map_err(|error| {
                let Failure { exit, error } = undetermined(error);
                let said = "documents of the range are deleted, not all of them, and nothing is written \
                            yet; run the plan again";
                Failure::new(exit, error.context(said))
            })?;
            if purged.stopped_by.is_some() {
                return Ok(purged);
            }
        }
    }
    Ok(purged)
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
}
