//! Edges along which every lane gets a copy of each record.

use super::*;

#[tokio::test(start_paused = true)]
async fn every_lane_has_a_copy_and_a_record_is_settled_when_all_of_them_are() {
    let seen: Seen<(usize, i64)> = Seen::default();
    let failed = Arc::new(AtomicU32::new(0));
    let sink = {
        let (seen, failed) = (Arc::clone(&seen), Arc::clone(&failed));
        BoltNode {
            id: "sink".into(),
            make: Arc::new(move |context| {
                let (seen, failed) = (Arc::clone(&seen), Arc::clone(&failed));
                FnBolt::any(move |batch, _| {
                    // One of the copies: all of them are sent again.
                    if context.lane == 1 && failed.fetch_add(1, Ordering::Relaxed) == 3 {
                        return Err(OperatorError::external("the index is away"));
                    }
                    batch
                        .records()
                        .for_each(|r| see(&seen, (context.lane, r.offset())));
                    batch.answer(Answer::Delivered);
                    Ok(())
                })
            }),
            outputs: Vec::new(),
        }
    };
    let edges = vec![Output::To(vec![target(1, Grouping::All)])];
    let (running, finish) = finish(graph(3, 20, 10, vec![bolt("pass", edges, pass), sink])).await;
    assert_eq!(finish, Finish::Drained);
    let mut seen = seen.lock().expect("nobody panics").clone();
    assert_eq!(
        seen.len(),
        3 * 200 + 2 * 10,
        "two copies were delivered before"
    );
    seen.sort_unstable();
    seen.dedup();
    let lanes = (0..3).flat_map(|lane| (0..200).map(move |offset| (lane, offset)));
    assert_eq!(seen, lanes.collect::<Vec<_>>());
    let account = running.account(0);
    assert_eq!(
        (account.read, account.delivered, account.retried),
        (200, 200, 10)
    );
    assert_eq!(running.edge_records(), [210, 630]);
}
