//! Spouts that an operator pauses.

use super::*;

/// Takes a second for each batch.
struct Slow;

impl crate::Bolt for Slow {
    async fn process(
        &mut self,
        batch: crate::Batch,
        _: &mut crate::Emitter,
    ) -> Result<(), OperatorError> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        batch.answer(Answer::Delivered);
        Ok(())
    }
}

fn slow_graph() -> Graph {
    let slow = bolt("slow", vec![], || AnyBolt::new(Slow));
    graph(1, 10, 10, vec![slow])
}

#[tokio::test(start_paused = true)]
async fn a_paused_spout_reads_nothing_and_what_is_in_flight_is_worked_off() {
    let local = LocalSet::new();
    let running = start_here(slow_graph(), true, &local).expect("starts");
    let script = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(running.paused_since(0), None);
        assert!(running.pause(0));
        assert!(!running.pause(0), "it is paused");
        let since = running.paused_since(0).expect("it is paused");
        let read = running.account(0).read;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let account = running.account(0);
        assert!((20..100).contains(&account.read), "{account:?}");
        assert!(account.read <= read + 10, "{account:?} after {read}");
        assert_eq!((account.delivered, account.in_flight), (account.read, 0));
        assert_eq!(running.paused_since(0), Some(since));
        assert!(running.resume(0));
        assert!(!running.resume(0), "it reads");
        assert_eq!(running.resumed_at(0), Some(clock::unix_ms()));
        running.finished().await
    };
    assert_eq!(local.run_until(script).await, Finish::Drained);
    assert_eq!(running.account(0).delivered, 100);
}

#[tokio::test(start_paused = true)]
async fn a_paused_topology_can_be_stopped() {
    let local = LocalSet::new();
    let running = start_here(slow_graph(), false, &local).expect("starts");
    let script = async {
        assert!(running.pause(0));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(running.account(0).read, 0);
        running.stop();
        running.finished().await
    };
    assert_eq!(local.run_until(script).await, Finish::Drained);
}
