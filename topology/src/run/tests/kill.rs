//! Bolts that are killed from outside while they hold records.

use super::*;

/// Keeps batches for a second, as an index keeps a body that is not full.
struct Collecting {
    kept: Vec<crate::Batch>,
    due: Option<clock::Instant>,
    seen: Seen<i64>,
}

impl crate::Bolt for Collecting {
    async fn process(
        &mut self,
        batch: crate::Batch,
        _: &mut crate::Emitter,
    ) -> Result<(), OperatorError> {
        let _ = self
            .due
            .get_or_insert(clock::now() + Duration::from_secs(1));
        self.kept.push(batch);
        Ok(())
    }

    fn deadline(&self) -> Option<clock::Instant> {
        self.due
    }

    async fn flush(&mut self, _: &mut crate::Emitter) -> Result<(), OperatorError> {
        if self.due.is_some_and(|due| due <= clock::now()) {
            self.due = None;
            for batch in self.kept.drain(..) {
                batch.records().for_each(|r| see(&self.seen, r.offset()));
                batch.answer(Answer::Delivered);
            }
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn killed_bolts_are_made_anew_and_what_they_held_is_sent_again_without_counting() {
    let seen = Seen::default();
    let collecting = {
        let seen = Arc::clone(&seen);
        move || {
            AnyBolt::new(Collecting {
                kept: Vec::new(),
                due: None,
                seen: Arc::clone(&seen),
            })
        }
    };
    let spread = vec![Output::To(vec![target(1, Grouping::Shuffle)])];
    let bolts = vec![
        bolt("pass", spread, pass),
        bolt("collecting", vec![], collecting),
    ];
    let mut graph = graph(2, 4, 10, bolts);
    // A kill that counted as an attempt would reject the records.
    graph.retry.attempts_max = 1;
    let local = LocalSet::new();
    let running = start_here(graph, true, &local).expect("starts");
    let killed = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(running.in_flight(0).0, 40);
        running.kill_bolts(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_secs(4)).await;
        let conditions = running.health().conditions();
        let said: Vec<&str> = conditions.iter().map(|one| &*one.text).collect();
        assert!(
            said.len() == 2 && said[0].starts_with("killed from outside"),
            "{said:?}"
        );
        assert_eq!(running.not_open().len(), 2);
        running.finished().await
    };
    assert_eq!(local.run_until(killed).await, Finish::Drained);
    let account = running.account(0);
    assert_eq!((account.delivered, account.difference()), (40, 0));
    assert_eq!(account.retried, 40);
    let again = running.edge_records_again();
    assert_eq!((again[0], running.edge_records()[0] - again[0]), (40, 40));
    assert_eq!(running.bolt(0).again, 40);
    assert_eq!(sorted(&seen), (0..40).collect::<Vec<_>>());
    let restarts = [0, 1].map(|bolt| running.bolt(bolt).restarts);
    assert_eq!(restarts, [2, 2]);
    assert!(running.health().conditions().is_empty());
}
