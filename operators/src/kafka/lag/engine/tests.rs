//! The figures of scripted brokers at a scripted time.

use std::cell::Cell;

use isobar_topology::clock;
use proptest::prelude::*;

use super::*;
use crate::kafka::lag::scripted::{Log, Scripted};
use crate::kafka::lag::{Deletion, Eta, Exactness, Status, sample};

/// Brokers with one partition, and the engine that samples it.
struct World {
    brokers: Scripted,
    partition: TopicPartition,
    progress: Cell<Option<Progress>>,
    ages: Ages,
    engine: Engine,
}

impl World {
    fn new(log: Log) -> Self {
        let partition = TopicPartition::new("logs", 0);
        Self {
            brokers: Scripted::of([(partition.clone(), log)]),
            partition,
            progress: Cell::new(None),
            ages: Ages::default(),
            engine: Engine::new(Window::default()),
        }
    }

    fn change(&self, change: impl FnOnce(Log) -> Log) {
        let mut logs = self.brokers.logs.borrow_mut();
        let log = logs.remove(&self.partition).expect("it is there");
        let _ = logs.insert(self.partition.clone(), change(log));
    }

    fn live(&self) -> Option<BTreeMap<TopicPartition, Progress>> {
        let progress = self.progress.get()?;
        Some(BTreeMap::from([(self.partition.clone(), progress)]))
    }

    fn round(&mut self) {
        let partitions = [self.partition.clone()];
        let progress = self.live().unwrap_or_default();
        let taken = sample(
            &self.brokers,
            &partitions,
            true,
            &|| progress.clone(),
            &mut self.ages,
        );
        match taken {
            Ok(samples) => self.engine.take(samples, &self.ages),
            Err(error) => self.engine.fail(&partitions, error.to_string()),
        }
    }

    fn row(&self) -> Row {
        let live = self.live();
        let circumstances = Circumstances::default();
        let mut rows = self
            .engine
            .rows(live.as_ref(), &circumstances, clock::unix_ms());
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    fn sampled(&mut self) -> Row {
        self.round();
        self.row()
    }
}

fn running(frontier: i64, next: i64, frontier_ms: Option<i64>) -> Option<Progress> {
    Some(Progress {
        next: Some(next),
        frontier: Some(frontier),
        frontier_ms,
        answered_ms: None,
        in_flight: u64::try_from(next - frontier).expect("in order"),
        lost: 0,
    })
}

#[tokio::test(start_paused = true)]
async fn the_parts_of_the_committed_lag_add_up() {
    let now = clock::unix_ms();
    let log = Log::new((0..100).map(|n| now - 1_000 + n)).deleted_before(10);
    let mut world = World::new(log.committed(50, "").retention(3_600_000));
    world.progress.set(running(70, 90, Some(now - 6_000)));
    let row = world.sampled();
    assert_eq!(
        (row.start, row.end, row.committed),
        (Some(10), Some(100), Some(50))
    );
    assert_eq!((row.lag, row.committed_lag), (Some(30), Some(50)));
    let parts = (row.read_lag, row.open, row.commit_debt);
    assert_eq!(parts, (Some(10), Some(20), Some(20)));
    assert_eq!(
        (row.in_flight, row.lost, row.headroom),
        (Some(20), Some(0), Some(60))
    );
    assert_eq!(
        (row.age_ms, row.age_exactness),
        (Some(6_000), Exactness::Exact)
    );
    assert_eq!(
        (row.deletion, row.headroom_exactness),
        (Deletion::Seconds(3_594.0), Exactness::Exact)
    );
    assert_eq!(row.sampled_ms, Some(now));
    assert_eq!(row.lag_exactness, Exactness::Exact);
}

#[tokio::test(start_paused = true)]
async fn a_bound_on_size_deletes_before_the_age_does_as_fast_as_it_did_of_late() {
    const DAY_MS: i64 = 86_400_000;
    let by_age = Deletion::Seconds(86_394.0);
    let now = clock::unix_ms();
    let log = |deleted: i64| {
        let log = Log::new(vec![now - 6_000; 100_000]).committed(50_000, "");
        let log = log.retention(DAY_MS).deleted_before(deleted);
        log.bounded_by_size()
    };
    let mut world = World::new(log(10_000));
    world
        .progress
        .set(running(60_000, 60_010, Some(now - 6_000)));
    let row = world.sampled();
    let headroom = (row.headroom, row.deletion, row.headroom_exactness);
    assert_eq!(headroom, (Some(50_000), by_age, Exactness::UpperBound));
    // A segment of 1,000 records each 100 s.
    for segment in 1..=10 {
        tokio::time::advance(std::time::Duration::from_secs(100)).await;
        world.change(|_| log(10_000 + segment * 1_000));
        world.round();
    }
    let row = world.row();
    let headroom = (row.headroom, row.deletion, row.headroom_exactness);
    let by_size = Deletion::Seconds(4_000.0);
    assert_eq!(headroom, (Some(40_000), by_size, Exactness::Sampled));
    // Nothing is behind.
    world.change(|_| log(20_000).committed(100_000, ""));
    world.progress.set(running(100_000, 100_000, None));
    assert_eq!(world.sampled().deletion, Deletion::Unknown);
}

#[tokio::test(start_paused = true)]
async fn rates_are_estimates_as_is_what_follows_from_them_unless_nothing_is_behind() {
    let log = |committed| Log::new([1; 100]).committed(committed, "");
    let mut world = World::new(log(10));
    let exactness = |row: Row| [row.rates_exactness, row.eta_exactness];
    assert_eq!(
        exactness(world.sampled()),
        [Exactness::Unknown; 2],
        "one look tells no rates"
    );
    for (committed, of_eta) in [(60, Exactness::Sampled), (100, Exactness::Exact)] {
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
        world.change(|_| log(committed));
        let row = world.sampled();
        assert_eq!(exactness(row), [Exactness::Sampled, of_eta]);
    }
    *world.brokers.away.borrow_mut() = true;
    assert_eq!(exactness(world.sampled()), [Exactness::Unknown; 2]);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_deleted_that_is_known() {
    let log = || Log::new([clock::unix_ms(); 100]).committed(50, "");
    let deletion = |log| {
        let row = World::new(log).sampled();
        (row.deletion, row.headroom_exactness)
    };
    let never = (Deletion::Never, Exactness::Exact);
    assert_eq!(deletion(log().kept_for_ever()), never);
    // By size it may be, sooner or later; and nobody told.
    let unknown = (Deletion::Unknown, Exactness::Unknown);
    let by_size = log().kept_for_ever().bounded_by_size();
    assert_eq!([deletion(by_size), deletion(log())], [unknown; 2]);
}

#[tokio::test(start_paused = true)]
async fn the_age_goes_on_between_samples_and_ends_when_all_is_answered() {
    let now = clock::unix_ms();
    let mut world = World::new(Log::new([now; 10]).committed(0, ""));
    world.progress.set(running(0, 10, Some(now)));
    assert_eq!(world.sampled().age_ms, Some(0));
    tokio::time::advance(std::time::Duration::from_millis(2_500)).await;
    let row = world.row();
    assert_eq!(
        (row.age_ms, row.age_exactness),
        (Some(2_500), Exactness::Exact)
    );
    assert_eq!(
        (row.lag, row.sampled_ms),
        (Some(10), Some(now)),
        "as it was sampled"
    );
    world.progress.set(running(10, 10, None));
    let row = world.row();
    assert_eq!(
        (row.age_ms, row.age_exactness),
        (Some(0), Exactness::Sampled)
    );
}

#[tokio::test(start_paused = true)]
async fn a_blocked_sink_does_not_stop_the_lag_from_rising() {
    let now = clock::unix_ms();
    let mut world = World::new(Log::new([now; 10]).committed(0, ""));
    world.progress.set(running(0, 10, Some(now)));
    let mut last = world.sampled().lag;
    for second in 1..=20 {
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        world.change(|_| Log::new(vec![now; 10 + second * 100]).committed(0, ""));
        let row = world.sampled();
        assert!(row.lag > last, "{row:?}");
        assert_eq!(row.lag, Some(10 + second as u64 * 100));
        assert_eq!(row.age_ms, Some(second as u64 * 1_000));
        assert_eq!(row.still_ms, Some(second as u64 * 1_000));
        last = row.lag;
    }
    let row = world.row();
    assert_eq!(
        (row.incoming, row.outgoing, row.eta),
        (Some(100.0), Some(0.0), Eta::Never)
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_committed_is_unknown_and_an_empty_partition_has_no_lag() {
    let mut world = World::new(Log::new([1; 100]));
    let row = world.sampled();
    assert_eq!((row.lag, row.committed_lag, row.age_ms), (None, None, None));
    assert_eq!((row.lost, row.in_flight, row.headroom), (None, None, None));
    assert_eq!(row.lag_exactness, Exactness::Unknown);
    let mut world = World::new(Log::new([]));
    let row = world.sampled();
    assert_eq!(
        (row.lag, row.committed_lag, row.age_ms),
        (Some(0), Some(0), Some(0))
    );
    assert_eq!((row.eta, row.status), (Eta::Seconds(0.0), Status::Ok));
}

#[tokio::test(start_paused = true)]
async fn of_a_group_whose_commits_are_gone_no_figure_stays() {
    let mut world = World::new(Log::new([1; 5]).committed(5, ""));
    world.round();
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    let known = world.sampled();
    assert_eq!((known.lag, known.eta), (Some(0), Eta::Seconds(0.0)));
    world.change(|_| Log::new([1; 9]));
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    let row = world.sampled();
    assert_eq!(
        (row.end, row.lag, row.status),
        (Some(9), None, Status::NoData)
    );
    assert_eq!(
        (row.incoming, row.eta, row.still_ms),
        (None, Eta::Unknown, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stopped_group_has_its_age_from_the_commit_or_from_the_brokers() {
    let now = clock::unix_ms();
    let log = Log::new((0..100).map(|n| now - 100_000 + n * 1_000)).append_time();
    // The record at the commit had been read.
    let text = format!("isobar1;f={};l={}", now - 90_000, now - 91_000);
    let mut world = World::new(log.clone().committed(10, &text));
    let row = world.sampled();
    assert_eq!(
        (row.lag, row.lag_exactness),
        (Some(90), Exactness::UpperBound)
    );
    assert_eq!(
        (row.age_ms, row.age_exactness),
        (Some(90_000), Exactness::UpperBound)
    );
    // Of a topic whose producers set the times, a record behind it that is not settled may be older.
    let created = Log::new((0..100).map(|n| now - 100_000 + n * 1_000));
    let row = World::new(created.committed(10, &text)).sampled();
    assert_eq!(
        (row.age_ms, row.age_exactness),
        (Some(90_000), Exactness::Sampled)
    );
    // It had not.
    let text = format!("isobar1;l={}", now - 91_000);
    let row = World::new(log.clone().committed(10, &text)).sampled();
    assert_eq!(
        (row.age_ms, row.age_exactness),
        (Some(90_000), Exactness::UpperBound)
    );
    // It was caught up, hours ago.
    let row = World::new(log.clone().committed(100, &text)).sampled();
    assert_eq!((row.lag, row.age_ms), (Some(0), Some(0)));
    // What was to be read is gone, whether the record at the commit had been read or not.
    let read = format!("{text};f={}", now - 90_000);
    for text in [text, read] {
        let log = log.clone().committed(10, &text);
        let row = World::new(log.deleted_before(30)).sampled();
        assert_eq!((row.lost, row.status), (Some(20), Status::Lost));
        assert_eq!((row.age_ms, row.headroom), (Some(70_000), Some(0)));
    }
}

/// As where much is behind in many partitions: of most of them nothing is in memory at a moment.
#[tokio::test(start_paused = true)]
async fn what_was_answered_last_tells_the_age_of_what_follows_until_the_next_look() {
    let now = clock::unix_ms();
    let log = Log::new((0..100).map(|n| now - 600_000 + n * 1_000)).committed(0, "");
    for (log, exactness) in [
        (log.clone().append_time(), Exactness::UpperBound),
        (log, Exactness::Sampled),
    ] {
        let mut world = World::new(log);
        world.progress.set(running(0, 10, Some(now - 600_000)));
        assert_eq!(world.sampled().age_exactness, Exactness::Exact);
        // These are answered, and the next ones are not there yet.
        let answered = |offset: i64| {
            running(offset, offset, None).map(|progress| Progress {
                answered_ms: Some(now - 600_000 + (offset - 1) * 1_000),
                ..progress
            })
        };
        world.progress.set(answered(10));
        let row = world.row();
        let age = (row.age_ms, row.age_exactness);
        assert_eq!(age, (Some(591_000), exactness));
        // The look finds the record itself.
        assert_eq!(world.sampled().age_ms, Some(590_000));
        world.progress.set(answered(20));
        assert_eq!(world.row().age_ms, Some(581_000));
        // Given back, and read again from further back.
        world.progress.set(answered(5));
        assert_eq!(world.row().age_ms, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_has_a_row_and_what_others_read_has_none() {
    let mut world = World::new(Log::new([1; 5]).committed(2, ""));
    world.round();
    let nobody = BTreeMap::new();
    let mut circumstances = Circumstances::default();
    let rows = |world: &World, circumstances: &Circumstances| {
        world
            .engine
            .rows(Some(&nobody), circumstances, clock::unix_ms())
    };
    assert_eq!(rows(&world, &circumstances), []);
    let _ = circumstances.held.insert(
        world.partition.clone(),
        "the topic was made again".to_owned(),
    );
    let held = rows(&world, &circumstances);
    assert_eq!((held[0].status, held[0].lag), (Status::Held, Some(3)));
    // The group gave it to this member, so it is not read by nobody.
    assert_eq!(held[0].owner.as_deref(), Some(crate::kafka::lag::HERE));
}

#[tokio::test(start_paused = true)]
async fn while_brokers_are_away_offsets_become_old_and_what_follows_from_the_end_is_unknown() {
    let mut world = World::new(Log::new([1; 5]).committed(5, ""));
    world.progress.set(running(5, 5, None));
    world.round();
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    let known = world.sampled();
    assert_eq!((known.lag, known.status), (Some(0), Status::Ok));
    assert_eq!((known.age_ms, known.still_ms), (Some(0), Some(0)));
    assert_eq!((known.incoming, known.eta), (Some(0.0), Eta::Seconds(0.0)));

    *world.brokers.away.borrow_mut() = true;
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    let row = world.sampled();
    assert_eq!(world.engine.failure(), Some("the brokers are away"));
    assert_eq!((row.sampled_ms, row.end), (known.sampled_ms, Some(5)));
    assert_eq!((row.lag, row.lag_exactness), (None, Exactness::Unknown));
    assert_eq!((row.committed_lag, row.read_lag), (None, None));
    assert_eq!((row.age_ms, row.still_ms), (None, None));
    assert_eq!(
        (row.incoming, row.outgoing, row.eta),
        (None, None, Eta::Unknown)
    );
    let why = "the brokers are away".to_owned();
    assert_eq!((row.status, row.reason), (Status::NoData, why));

    *world.brokers.away.borrow_mut() = false;
    let row = world.sampled();
    assert_eq!((row.lag, row.status), (Some(0), Status::Ok));
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_stays_so_while_brokers_are_away() {
    let now = clock::unix_ms();
    let mut world = World::new(Log::new([now; 10]).committed(0, ""));
    world.progress.set(running(0, 10, Some(now)));
    world.round();
    *world.brokers.away.borrow_mut() = true;
    world.round();
    let why = "paused by hand".to_owned();
    let circumstances = Circumstances {
        paused: Some(why.clone()),
        ..Circumstances::default()
    };
    let live = world.live();
    let mut rows = world.engine.rows(live.as_ref(), &circumstances, now);
    let row = rows.remove(0);
    assert_eq!((row.status, row.reason), (Status::Paused, why));
    assert_eq!((row.lag, row.age_ms), (None, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn where_no_age_is_found_in_time_the_lag_is_known_all_the_same() {
    let now = clock::unix_ms();
    let log = Log::new((0..100).map(|n| now - 100_000 + n * 1_000)).append_time();
    let known = World::new(log.clone().committed(10, "")).sampled();
    assert_eq!(
        (known.lag, known.age_exactness),
        (Some(90), Exactness::UpperBound)
    );

    let mut world = World::new(log.clone().committed(10, ""));
    world.brokers.tell_little.set(true);
    let row = world.sampled();
    assert_eq!((row.lag, row.age_ms), (Some(90), None));
    assert_eq!(world.engine.failure(), Some("the brokers are slow"));
    // Nor is it known then whether a transaction hides what follows the end.
    let mut at_end = World::new(log.clone().committed(100, ""));
    at_end.brokers.tell_little.set(true);
    assert_eq!(at_end.sampled().lag, Some(0));
    assert_eq!(at_end.engine.failure(), Some("the brokers are slow"));

    // Each question is answered, and all of them would take a minute.
    let mut world = World::new(log.committed(10, ""));
    let each = std::time::Duration::from_secs(4);
    world.brokers.find_within.set(each);
    let before = clock::now();
    let row = world.sampled();
    assert_eq!((row.lag, row.age_ms), (Some(90), None));
    assert_eq!(clock::now() - before, 3 * each);
    let failure = world.engine.failure().expect("it is told");
    assert!(
        failure.starts_with("looking for the age of records: "),
        "{failure}"
    );
}

/// As those are purged that Kafka Streams writes for itself.
#[tokio::test(start_paused = true)]
async fn what_is_deleted_once_it_is_read_is_not_lost() {
    let mut world = World::new(Log::new([1; 10]).committed(10, ""));
    world.brokers.purge.set(true);
    for _ in 0..3 {
        let row = world.sampled();
        assert_eq!(
            (row.lost, row.status == Status::Lost),
            (Some(0), false),
            "{row:?}"
        );
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_partition_that_nobody_leads_what_follows_from_the_end_is_unknown() {
    let log = Log::new([1; 5]).committed(5, "");
    let mut world = World::new(log.clone());
    world.progress.set(running(5, 5, None));
    world.round();
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    let known = world.sampled();
    assert_eq!((known.lag, known.age_ms), (Some(0), Some(0)));
    assert_eq!((known.incoming, known.eta), (Some(0.0), Eta::Seconds(0.0)));

    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    world.change(Log::leaderless);
    let row = world.sampled();
    assert_eq!((row.committed, row.frontier), (Some(5), Some(5)));
    assert_eq!((row.lag, row.age_ms, row.still_ms), (None, None, None));
    let rates = (row.incoming, row.outgoing, row.eta);
    assert_eq!(rates, (None, None, Eta::Unknown));
    assert_eq!(row.status, Status::NoData);
    assert!(row.reason.contains("no broker leads it"), "{}", row.reason);

    world.change(|_| log);
    assert_eq!(world.sampled().lag, Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_memory_and_what_stands_still_stays_known_while_brokers_are_away() {
    let now = clock::unix_ms();
    let mut world = World::new(Log::new([now; 10]).committed(0, ""));
    world.progress.set(running(0, 10, Some(now)));
    world.round();
    *world.brokers.away.borrow_mut() = true;
    tokio::time::advance(std::time::Duration::from_secs(400)).await;
    let row = world.sampled();
    assert_eq!(
        (row.age_ms, row.age_exactness),
        (Some(400_000), Exactness::Exact)
    );
    assert_eq!((row.still_ms, row.open), (Some(400_000), Some(10)));
    assert_eq!((row.lag, row.status), (None, Status::NoData));
}

/// The whole course of a transaction that its producer left open while others go on: 10 records in it, and
/// 2 more behind it with each look.
#[tokio::test(start_paused = true)]
async fn the_end_is_where_open_transactions_begin() {
    let left = |behind: i64, stable: Option<i64>| {
        let log = Log::new((0..20 + 2 * behind).map(|_| 1));
        match stable {
            Some(offset) => log.open_transaction_at(offset),
            None => log,
        }
    };
    let mut world = World::new(left(0, Some(10)).committed(10, ""));
    world.progress.set(running(10, 10, None));
    let mut looks = Vec::new();
    for look in 0..=15 {
        world.change(|_| left(look, Some(10)).committed(10, ""));
        let row = world.sampled();
        // However much is written behind it, nothing of that can be read, so nothing is behind.
        assert_eq!((row.end, row.lag, row.age_ms), (Some(10), Some(0), Some(0)));
        looks.push((look * 5, row.status, row.reason));
        tokio::time::advance(std::time::Duration::from_secs(5)).await;
    }
    let (ok, blocked): (Vec<_>, Vec<_>) = looks
        .iter()
        .partition(|(_, status, _)| *status == Status::Ok);
    // A producer has a minute, unless it says another one: one that is open for longer was left.
    assert_eq!(ok.last().map(|(second, ..)| *second), Some(60));
    for (second, status, reason) in &blocked {
        assert_eq!(*status, Status::LsoBlocked);
        let why = format!("a transaction has been open for {second} s and hides what follows");
        assert_eq!(*reason, why);
    }
    assert_eq!(blocked.len(), 3);

    // It is aborted: what was behind it is behind the group now, and no longer hidden.
    world.change(|_| left(16, None).committed(10, ""));
    let row = world.sampled();
    assert_eq!((row.end, row.lag), (Some(52), Some(42)));
    assert_eq!(
        (row.status, row.reason.as_str()),
        (Status::Ok, "it gets on")
    );
    // All of it is settled, and the record that ends a transaction is passed.
    world.change(|_| left(16, None).committed(52, ""));
    world.progress.set(running(52, 52, None));
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    let row = world.sampled();
    assert_eq!((row.lag, row.status), (Some(0), Status::Ok));
    assert_eq!(row.reason, "nothing is behind");

    // The next one has a minute of its own.
    world.change(|_| left(17, Some(52)).committed(52, ""));
    assert_eq!(world.sampled().status, Status::Ok);
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    assert_eq!(world.sampled().status, Status::Ok);
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    assert_eq!(world.sampled().status, Status::LsoBlocked);
}

proptest! {
    #[test]
    fn no_figure_is_negative_and_the_parts_always_add_up(
        end in 0_i64..50, start in 0_i64..50, committed in 0_i64..50, done in 0_i64..50, read in 0_i64..50,
    ) {
        let committed = committed.min(end);
        let frontier = done.clamp(committed, end);
        let next = read.clamp(frontier, end);
        let log = Log::new((0..end).map(|n| n * 1_000));
        let mut world = World::new(log.committed(committed, "").deleted_before(start.min(end)));
        world.progress.set(running(frontier, next, None));
        let row = world.sampled();
        let parts = [row.read_lag, row.open, row.commit_debt].map(|part| part.expect("known"));
        prop_assert_eq!(row.committed_lag, Some(parts.iter().sum()));
        prop_assert_eq!(row.lag, Some(parts[0] + parts[1]));
        if end == frontier {
            prop_assert_eq!(row.lag, Some(0));
        }
    }
}
