//! More records than a sink takes: what each policy makes of them.

use std::num::NonZeroU16;

use super::*;
use crate::spec::units::Rate;

/// Keeps each batch for 100 ms.
struct Slow(Seen<i64>);

impl crate::Bolt for Slow {
    async fn process(
        &mut self,
        batch: crate::Batch,
        _: &mut crate::Emitter,
    ) -> Result<(), OperatorError> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        batch.records().for_each(|r| see(&self.0, r.offset()));
        batch.answer(Answer::Delivered);
        Ok(())
    }
}

fn slow(seen: &Seen<i64>) -> impl Fn() -> AnyBolt + Send + Sync + use<> {
    let seen = Arc::clone(seen);
    move || AnyBolt::new(Slow(Arc::clone(&seen)))
}

/// The same, and fails on its first batch.
struct FailsFirst {
    slow: Slow,
    has_failed: bool,
}

impl crate::Bolt for FailsFirst {
    async fn process(
        &mut self,
        batch: crate::Batch,
        out: &mut crate::Emitter,
    ) -> Result<(), OperatorError> {
        if !std::mem::replace(&mut self.has_failed, true) {
            batch.answer(Answer::Failed(Failure::External));
            return Ok(());
        }
        self.slow.process(batch, out).await
    }
}

fn policy(index: usize) -> Policy {
    Policy::new(index).expect("small")
}

fn full(on_full: OnFull) -> Overload {
    Overload {
        throttle: None,
        on_full,
    }
}

fn sample(keep: f64) -> Overload {
    full(OnFull::Sample {
        keep,
        policy: policy(0),
    })
}

/// 20 batches of 10 records, which come as fast as they are taken, over an edge with this bound to a
/// slow sink with two places in its queue.
async fn over_an_edge(overload: Overload) -> (Running, Vec<i64>) {
    let seen = Seen::default();
    let edge = Target {
        overload,
        ..target(1, Grouping::Local)
    };
    let bolts = vec![
        bolt("pass", vec![Output::To(vec![edge])], pass),
        bolt("sink", vec![], slow(&seen)),
    ];
    let mut graph = graph(1, 20, 10, bolts);
    graph.spouts[0].max_in_flight_records = 1_000;
    let (running, finish) = finish(graph).await;
    assert_eq!(finish, Finish::Drained);
    let account = running.account(0);
    let frontier = running.partitions(0).all()[0].account().frontier;
    assert_eq!((account.read, frontier), (200, Some(200)));
    (running, sorted(&seen))
}

fn dropped(running: &Running) -> Vec<(usize, u64)> {
    let dropped = running.account(0).dropped.into_iter();
    dropped
        .map(|(policy, count)| (policy.index(), count))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn by_default_everything_waits() {
    let (running, seen) = over_an_edge(Overload::default()).await;
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
    assert_eq!(dropped(&running), []);
}

#[tokio::test(start_paused = true)]
async fn drop_newest_keeps_what_waits() {
    let (running, seen) = over_an_edge(full(OnFull::DropNewest(policy(0)))).await;
    // One batch is at work and two wait when the rest comes.
    assert_eq!(seen[..20], (0..20).collect::<Vec<_>>());
    let count = seen.len() as u64;
    assert!((20..=40).contains(&count), "{count}");
    assert_eq!(dropped(&running), [(0, 200 - count)]);
    assert_eq!(running.edge_records(), [200, count]);
    let lost = running.partitions(0).all()[0].whereabouts(199);
    assert_eq!(lost, crate::Whereabouts::Dropped(policy(0)));
}

#[tokio::test(start_paused = true)]
async fn drop_oldest_keeps_what_came_last() {
    let (running, seen) = over_an_edge(full(OnFull::DropOldest(policy(0)))).await;
    assert_eq!(seen[seen.len() - 20..], (180..200).collect::<Vec<_>>());
    let count = seen.len() as u64;
    assert!((20..=40).contains(&count), "{count}");
    assert_eq!(dropped(&running), [(0, 200 - count)]);
}

#[tokio::test(start_paused = true)]
async fn sample_keeps_a_share_of_what_finds_no_room() {
    let (running, seen) = over_an_edge(sample(0.3)).await;
    let count = seen.len() as u64;
    // The first three batches find room; of the others about three of ten wait for it.
    assert!((50..110).contains(&count), "{count}");
    assert_eq!(dropped(&running), [(0, 200 - count)]);
    let (running, seen) = over_an_edge(sample(1.0)).await;
    assert_eq!((seen.len(), dropped(&running)), (200, vec![]));
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_sent_again_while_a_sampling_spout_has_more_than_finds_room() {
    let seen = Seen::default();
    let slow = Arc::clone(&seen);
    let make = move || {
        AnyBolt::new(FailsFirst {
            slow: Slow(Arc::clone(&slow)),
            has_failed: false,
        })
    };
    let mut graph = graph(1, 100, 1, vec![bolt("sink", vec![], make)]);
    graph.spouts[0].max_in_flight_records = 1_000;
    graph.spouts[0].overload = sample(1.0);
    let (_, finish) = finish(graph).await;
    assert_eq!(finish, Finish::Drained);
    let seen = seen.lock().expect("nobody panics").clone();
    assert_eq!(seen.len(), 100);
    let again = seen.iter().position(|offset| *offset == 0);
    assert!(again.is_some_and(|place| place < 20), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn what_others_sent_is_not_dropped_for_the_new() {
    let seen = Seen::default();
    let oldest = Target {
        overload: full(OnFull::DropOldest(policy(0))),
        ..target(2, Grouping::Local)
    };
    let other = target(2, Grouping::Local);
    // Records below 100 wait, the others drop one another.
    let route = || {
        FnBolt::any(|batch, out| {
            let part_of: Vec<u8> = batch
                .records()
                .map(|r| u8::from(r.offset() < 100))
                .collect();
            let mut parts = batch.part(&part_of, 2).into_iter();
            if let Some(batch) = parts.next().flatten() {
                out.emit(batch);
            }
            if let Some(batch) = parts.next().flatten() {
                out.emit_to(Stream::declared(0).expect("the first"), batch);
            }
            Ok(())
        })
    };
    let outputs = vec![
        Output::To(vec![oldest]),
        Output::To(vec![]),
        Output::To(vec![other]),
    ];
    let bolts = vec![
        bolt("pass", to(1), pass),
        bolt("route", outputs, route),
        bolt("sink", vec![], slow(&seen)),
    ];
    let mut graph = graph(1, 20, 10, bolts);
    graph.spouts[0].max_in_flight_records = 1_000;
    let (running, _) = finish(graph).await;
    let seen = sorted(&seen);
    assert_eq!(seen[..100], (0..100).collect::<Vec<_>>());
    let count = seen.len() as u64;
    assert_eq!(dropped(&running), [(0, 200 - count)]);
    assert!(count < 200, "some were dropped");
}

fn in_three() -> AnyBolt {
    FnBolt::any(|batch, out| {
        let three = NonZeroU16::new(3).expect("not 0");
        let split = batch.split(out, usize::MAX, |_| Ok(three));
        out.emit(split.parts.expect("each record is split"));
        Ok(())
    })
}

/// Three parts of each of 100 records, by number to one of two lanes, of which the second one is slow;
/// how many parts of each record arrived.
async fn in_parts(overload: Overload) -> (Running, Vec<usize>) {
    let seen = Seen::default();
    let by_part = Grouping::Fields(Arc::new(|record| {
        record.ordinals().iter().next().unwrap_or_default() as usize % 2
    }));
    let edge = Target {
        overload,
        ..target(1, by_part)
    };
    let bolts = vec![
        bolt("split", vec![Output::To(vec![edge])], in_three),
        on_lanes(&seen),
    ];
    let (running, finish) = finish(graph(2, 10, 10, bolts)).await;
    assert_eq!(finish, Finish::Drained);
    let seen = sorted(&seen);
    let of = |offset| seen.iter().filter(|at| **at == offset).count();
    (running, (0..100).map(of).collect())
}

/// A sink that is slow on lanes other than the first.
fn on_lanes(seen: &Seen<i64>) -> BoltNode {
    let (slow, fast) = (slow(seen), sink(seen));
    BoltNode {
        id: "sink".into(),
        make: Arc::new(move |context| match context.lane {
            0 => fast(),
            _ => slow(),
        }),
        outputs: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_of_which_a_part_is_dropped_counts_as_dropped() {
    let newest = full(OnFull::DropNewest(policy(0)));
    let oldest = full(OnFull::DropOldest(policy(0)));
    for overload in [newest, oldest] {
        let (running, parts) = in_parts(overload).await;
        let whole = parts.iter().filter(|parts| **parts == 3).count() as u64;
        let account = running.account(0);
        assert_eq!((account.delivered, account.already_present), (whole, 0));
        assert_eq!(dropped(&running), [(0, 100 - whole)]);
        // The parts on the other lane are where they belong.
        assert!(parts.iter().all(|parts| [2, 3].contains(parts)));
        assert!(whole < 100, "some were dropped");
        let by_name = crate::Whereabouts::Dropped(policy(0));
        let partition = &running.partitions(0).all()[0];
        for (offset, parts) in parts.iter().enumerate() {
            let is_dropped = partition.whereabouts(offset as i64) == by_name;
            assert_eq!(is_dropped, *parts < 3, "{offset}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sample_keeps_all_waiting_parts_of_a_record_or_none() {
    let seen = Seen::default();
    let edge = Target {
        overload: full(OnFull::Sample {
            keep: 0.3,
            policy: policy(0),
        }),
        ..target(1, Grouping::Local)
    };
    let bolts = vec![
        bolt("split", vec![Output::To(vec![edge])], in_three),
        bolt("sink", vec![], slow(&seen)),
    ];
    let (running, _) = finish(graph(1, 20, 10, bolts)).await;
    let seen = sorted(&seen);
    let (records, rest) = seen.as_chunks::<3>();
    assert!(rest.is_empty() && records.iter().all(|parts| parts[0] == parts[2]));
    let kept = records.len() as u64;
    assert!((50..110).contains(&kept), "{kept}");
    assert_eq!(running.account(0).delivered, kept);
    assert_eq!(dropped(&running), [(0, 200 - kept)]);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_which_a_copy_is_dropped_counts_as_dropped() {
    let seen = Seen::default();
    let edge = Target {
        overload: full(OnFull::DropNewest(policy(0))),
        ..target(2, Grouping::Local)
    };
    let bolts = vec![
        bolt(
            "all",
            vec![Output::To(vec![target(1, Grouping::All)])],
            pass,
        ),
        bolt("pass", vec![Output::To(vec![edge])], pass),
        on_lanes(&seen),
    ];
    let mut graph = graph(2, 20, 10, bolts);
    graph.spouts[0].max_in_flight_records = 1_000;
    let (running, _) = finish(graph).await;
    let seen = sorted(&seen);
    let both = (0..200).filter(|offset| seen.iter().filter(|at| *at == offset).count() == 2);
    let both = both.count() as u64;
    assert!(both < 200, "some were dropped");
    let account = running.account(0);
    assert_eq!((account.read, account.delivered), (200, both));
    assert_eq!(dropped(&running), [(0, 200 - both)]);
}

/// As [`over_an_edge`], with the bound at the spout.
async fn from_a_spout(overload: Overload, in_flight: usize) -> (Running, Vec<i64>) {
    let seen = Seen::default();
    let bolts = vec![bolt("pass", to(1), pass), bolt("sink", vec![], slow(&seen))];
    let mut graph = graph(1, 20, 10, bolts);
    graph.spouts[0].max_in_flight_records = in_flight;
    graph.spouts[0].overload = overload;
    graph.queue_batches = 100;
    let (running, finish) = finish(graph).await;
    assert_eq!(finish, Finish::Drained);
    let account = running.account(0);
    let frontier = running.partitions(0).all()[0].account().frontier;
    assert_eq!((account.read, frontier), (200, Some(200)));
    (running, sorted(&seen))
}

#[tokio::test(start_paused = true)]
async fn a_spout_drops_what_it_reads_while_there_is_no_room_in_flight() {
    let (running, seen) = from_a_spout(full(OnFull::DropNewest(policy(0))), 50).await;
    let count = seen.len() as u64;
    assert_eq!(seen[..50], (0..50).collect::<Vec<_>>());
    assert!(count < 100, "{count}");
    assert_eq!(dropped(&running), [(0, 200 - count)]);
}

#[tokio::test(start_paused = true)]
async fn a_spout_keeps_a_share_of_what_it_reads_while_there_is_no_room_in_flight() {
    for in_flight in [1, 50] {
        let (running, seen) = from_a_spout(sample(0.3), in_flight).await;
        let count = seen.len() as u64;
        assert!((40..140).contains(&count), "{count}");
        assert_eq!(dropped(&running), [(0, 200 - count)]);
    }
    let (running, seen) = from_a_spout(sample(1.0), 1).await;
    assert_eq!((seen.len(), dropped(&running)), (200, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_throttle_slows_down_and_drops_nothing() {
    let throttle = |rate: &str| Overload {
        throttle: Some(rate.parse::<Rate>().expect("a rate")),
        on_full: OnFull::Block,
    };
    let began = clock::now();
    let (_, seen) = over_an_edge(throttle("20/s")).await;
    let took = (clock::now() - began).as_secs();
    assert_eq!(
        (seen.len(), (9..11).contains(&took)),
        (200, true),
        "{took} s"
    );
    let began = clock::now();
    let (_, seen) = from_a_spout(throttle("600/m"), 50).await;
    let took = (clock::now() - began).as_secs();
    assert_eq!(
        (seen.len(), (18..21).contains(&took)),
        (200, true),
        "{took} s"
    );
}
