//! A group at work, looked at every second by somebody who knows the truth: what the test itself sent, what
//! the bolt was given, and where the broker says that each partition ends. Nothing stands still for a
//! look, so a figure must lie between what was true before it and what is true after it; when nothing
//! moves that is one value.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::ensure;
use isobar_operators::lag::{Circumstances, Exactness, Row, Status, Watch};
use isobar_topology::{Finish, clock};
use serde_json::json;
use testkit::services::Kafka;
use testkit::services::kafka::Sent;
use testkit::wait;

use super::{LIMIT, check_identity, fresh_rows};
use crate::kafka::member::{Member, Options, Seen};
use crate::support::Steps;

const TOPIC: &str = "oracle";
const PARTITIONS: i32 = 4;
/// Never written to.
const EMPTY: i32 = 2;
/// All its records have one key.
const COMPACTED: i32 = 3;
const SECOND: Duration = Duration::from_secs(1);

/// What is known better.
struct Oracle {
    kafka: Kafka,
    /// By partition and offset, noted before it is sent: the timestamp of a record that is to be
    /// delivered; `None` for markers, aborted records and what was compacted.
    sent: Mutex<Vec<Vec<Option<i64>>>>,
    life: Mutex<Life>,
    /// Of partition 0, what is before this is deleted: delivered only if it was fetched before.
    deleted_before: AtomicI64,
    looks: AtomicUsize,
    exact: AtomicUsize,
}

/// A member from its start to its end.
struct Life {
    member: Member,
    watch: Watch,
    seen: Seen,
    /// Where it started.
    from: Vec<i64>,
    /// What was done at the last look.
    before: Vec<i64>,
}

impl Life {
    fn start(kafka: &Kafka, from: Vec<i64>) -> Self {
        let seen = Seen::default();
        let options = Options {
            // So little that most of a backlog is still at the broker.
            spout: json!({"max_in_flight_records": 500, "batch_records_max": 50, "queue_size": "1MiB",
                "options": {"fetch.message.max.bytes": 50_000}}),
            ..Options::new(TOPIC)
        };
        let member = Member::start(kafka, &seen, options);
        let partitions = member.running.partitions(0).clone();
        let health = member.running.health().clone();
        let interval = Duration::from_millis(200);
        let watch = member.lag.watch(partitions, health, interval);
        Self {
            member,
            watch: watch.expect("a client"),
            seen,
            before: from.clone(),
            from,
        }
    }

    fn rows(&self) -> Vec<Row> {
        fresh_rows(&self.watch, PARTITIONS)
    }

    /// The frontier of each partition, where a record in front of it is in memory.
    fn in_memory(&self) -> Vec<Option<i64>> {
        let partitions = self.member.running.partitions(0).all();
        let of = |number: i32| {
            let found = partitions.iter().find(|one| one.number() == number);
            let account = found?.account();
            account.frontier.filter(|_| account.in_flight > 0)
        };
        (0..PARTITIONS).map(of).collect()
    }
}

impl Oracle {
    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().expect("no holder panics")
    }

    fn sent(&self) -> MutexGuard<'_, Vec<Vec<Option<i64>>>> {
        self.sent.lock().expect("no holder panics")
    }

    fn send(&self, partition: i32, count: usize, ms: i64) {
        self.send_of(partition, count, ms, b"{}");
    }

    fn send_of(&self, partition: i32, count: usize, ms: i64, value: &[u8]) {
        let first = {
            let mut sent = self.sent();
            let of_partition = &mut sent[partition as usize];
            let first = of_partition.len();
            of_partition.extend(vec![Some(ms); count]);
            first
        };
        let records = (first..first + count).map(|number| record(partition, number, ms, value));
        self.kafka.produce(TOPIC, records).expect("acknowledged");
    }

    /// Between two looks, since the end that may be read and the one that is written differ meanwhile.
    fn transaction(&self, partition: i32, commit: bool) {
        let _no_look = self.life();
        let ms = clock::unix_ms();
        let records = (0..10).map(|number| record(partition, number, ms, b"{}"));
        let sent = self.kafka.produce_transaction(TOPIC, records, commit);
        sent.expect("acknowledged");
        let mut sent = self.sent();
        let of_partition = &mut sent[partition as usize];
        of_partition.extend([commit.then_some(ms); 10]);
        of_partition.push(None);
    }

    /// Keeps a transaction open until that is told, between two looks: meanwhile nothing behind its start can
    /// be read, and so nothing is behind. It is told of what has been open for a minute, so it is looked at
    /// as it will be in a minute.
    fn open_transaction(&self, partition: i32, commit: bool) {
        let life = self.life();
        let ms = clock::unix_ms();
        let first = self.sent()[partition as usize].len();
        let records = |numbers: std::ops::Range<usize>| {
            numbers.map(move |number| record(partition, number, ms, b"{}"))
        };
        let open = self
            .kafka
            .open_transaction(TOPIC, records(first..first + 10));
        let open = open.expect("the broker has it");
        let behind = self.kafka.produce(TOPIC, records(first + 10..first + 15));
        behind.expect("acknowledged");
        wait::until("the word", LIMIT, || {
            let row = in_a_minute(&life).remove(partition as usize);
            ensure!(row.status == Status::LsoBlocked, "{row:?}");
            ensure!(
                row.reason.starts_with("a transaction has been open for "),
                "{row:?}"
            );
            Ok(())
        })
        .expect("it is told");
        let row = life.rows().remove(partition as usize);
        let first = first as i64;
        assert_eq!(
            (row.end, row.frontier),
            (Some(first), Some(first)),
            "{row:?}"
        );
        assert_eq!((row.lag, row.age_ms), (Some(0), Some(0)), "{row:?}");
        assert_eq!(row.status, Status::Ok, "{row:?}");
        assert!((first..first + 15).all(|offset| !life.seen.has(partition, offset)));
        let mut sent = self.sent();
        let of_partition = &mut sent[partition as usize];
        of_partition.extend([commit.then_some(ms); 10]);
        of_partition.extend([Some(ms); 5]);
        of_partition.push(None);
        open.end(commit).expect("it ends");
    }

    /// The first offset of a partition that is not done: the lowest and the highest one that can be
    /// called so, since what is never delivered lies between.
    fn done(&self, life: &Life, partition: i32) -> RangeInclusive<i64> {
        let sent = self.sent();
        let deleted_before = match partition {
            0 => self.deleted_before.load(Ordering::Acquire),
            _ => 0,
        };
        let from = life.from[partition as usize];
        let mut low = from;
        for offset in from..sent[partition as usize].len() as i64 {
            if sent[partition as usize][offset as usize].is_some() {
                match life.seen.has(partition, offset) {
                    true => low = offset + 1,
                    false if offset < deleted_before => {}
                    false => return low..=offset,
                }
            }
        }
        low..=sent[partition as usize].len() as i64
    }

    /// Compares one sample with the truth.
    fn look(&self) {
        let mut life = self.life();
        let all = || 0..PARTITIONS;
        let bounds_before = self.kafka.bounds(TOPIC).expect("it answers");
        let committed_before = self.kafka.committed(TOPIC, TOPIC).expect("it answers");
        let memory_before = life.in_memory();
        let rows = life.rows();
        let read_ms = clock::unix_ms();
        let memory_after = life.in_memory();
        let done_after: Vec<_> = all().map(|one| self.done(&life, one)).collect();
        let committed_after = self.kafka.committed(TOPIC, TOPIC).expect("it answers");
        let bounds_after = self.kafka.bounds(TOPIC).expect("it answers");
        for (number, row) in rows.iter().enumerate() {
            let (before, after) = (bounds_before[number], bounds_after[number]);
            let (starts, ends) = (before.0..=after.0, before.1..=after.1);
            let done = life.before[number]..=*done_after[number].end();
            let (start, end) = (row.start.expect("known"), row.end.expect("known"));
            assert!(starts.contains(&start), "{row:?}: {starts:?}");
            assert!(ends.contains(&end), "{row:?}: {ends:?}");
            // What was done was read, and nothing is read that is not there. Before its first record a partition has
            // no place.
            if let Some(next) = row.next {
                assert!((*done.start()..=end).contains(&next), "{row:?}: {done:?}");
                assert_eq!(row.read_lag, Some((end - next) as u64), "{row:?}");
            }
            let headrooms =
                (done.start() - starts.end()).max(0)..=(done.end() - starts.start()).max(0);
            let headroom = row.headroom.expect("known") as i64;
            assert!(headrooms.contains(&headroom), "{row:?}: {headrooms:?}");
            let lags = (ends.start() - done.end()).max(0)..=ends.end() - done.start();
            let lag = row.lag.expect("known") as i64;
            assert!(lags.contains(&lag), "{row:?}: {lags:?}");
            assert_eq!(row.lag_exactness, Exactness::Exact, "{row:?}");
            let committed = committed_before[number]..=committed_after[number];
            assert!(committed.contains(&row.committed), "{row:?}: {committed:?}");
            check_identity(row);
            let in_memory = memory_before[number].filter(|_| memory_before == memory_after);
            self.check_age(row, done, in_memory.is_some(), read_ms);
        }
        life.before = done_after.iter().map(|done| *done.start()).collect();
        let _ = self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// An age that is called exact is that of a record which may be the first one; it must be called so
    /// while that record is in memory. Timestamps are those of producers, so no search gives a bound.
    fn check_age(&self, row: &Row, done: RangeInclusive<i64>, in_memory: bool, now_ms: i64) {
        match row.age_exactness {
            Exactness::Exact => {
                let age = row.age_ms.expect("known") as i64;
                let sent = self.sent();
                let of_partition = &sent[row.partition.partition as usize];
                let mut first = done.filter_map(|offset| *of_partition.get(offset as usize)?);
                let is_true = first.any(|ms| (now_ms - ms).max(0).abs_diff(age) <= 1_000);
                assert!(is_true, "{row:?} at {now_ms}");
                let _ = self.exact.fetch_add(1, Ordering::Relaxed);
            }
            Exactness::UpperBound => panic!("{row:?}"),
            Exactness::Sampled | Exactness::Unknown => assert!(!in_memory, "{row:?}"),
        }
    }

    /// Waits until nothing of all that was sent is behind, also by what is committed. A look of before knows
    /// an earlier end.
    fn wait_until_caught_up(&self) {
        wait::until("no lag", LIMIT, || {
            let rows = self.life().watch.read(Circumstances::default()).rows;
            let ends: Vec<_> = (self.sent().iter())
                .map(|sent| i64::try_from(sent.len()).ok())
                .collect();
            let caught_up = |row: &Row| {
                row.end == ends[row.partition.partition as usize]
                    && row.committed_lag == Some(0)
                    && row.age_ms == Some(0)
            };
            let all = rows.len() == PARTITIONS as usize && rows.iter().all(caught_up);
            ensure!(all, "{rows:?}");
            Ok(())
        })
        .expect("it catches up");
    }

    /// Lets so many looks happen.
    fn let_look(&self, looks: usize) {
        let last = self.looks.load(Ordering::Relaxed) + looks;
        wait::until("looks", LIMIT, || {
            ensure!(self.looks.load(Ordering::Relaxed) >= last, "not yet");
            Ok(())
        })
        .expect("it looks");
    }
}

/// The rows as they will be read in a minute, should the brokers say nothing new till then.
fn in_a_minute(life: &Life) -> Vec<Row> {
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    clock.expect("a runtime").block_on(async {
        // What is older than a minute says nothing about now.
        tokio::time::advance(59 * SECOND).await;
        life.watch.read(Circumstances::default()).rows
    })
}

/// Keys are different, so that nothing but the compacted partition is compacted.
fn record(partition: i32, number: usize, ms: i64, value: &[u8]) -> Sent {
    let key = match partition {
        COMPACTED => "same".to_owned(),
        _ => format!("{partition}-{number}-{ms}"),
    };
    Sent {
        partition: Some(partition),
        key: Some(key.into_bytes()),
        value: Some(value.to_vec()),
        timestamp: Some(ms),
    }
}

/// Sends records of one key and waits until most of them are gone; tells what is left.
fn compacted(kafka: &Kafka) -> Vec<Option<i64>> {
    let ms = clock::unix_ms() - 60_000;
    let send = |numbers: std::ops::Range<usize>, ms| {
        let records = numbers.map(|number| record(COMPACTED, number, ms, b"{}"));
        kafka.produce(TOPIC, records).expect("acknowledged");
    };
    send(0..100, ms);
    // A segment that is written to is never compacted.
    send(100..110, ms + 10_000);
    let left = wait::until("the cleaner", LIMIT, || {
        let records = kafka.consume_all(TOPIC, LIMIT)?;
        let left: Vec<i64> = records.iter().map(|record| record.offset).collect();
        ensure!(left.len() < 100, "{} records", left.len());
        Ok(left)
    });
    let left = left.expect("it cleans");
    let of = |offset: i64| if offset < 100 { ms } else { ms + 10_000 };
    (0..110)
        .map(|offset| left.contains(&offset).then(|| of(offset)))
        .collect()
}

#[test]
fn every_figure_of_a_group_at_work_is_true_every_second() {
    let mut steps = Steps::new("lag, every second");
    let kafka = Kafka::start_with(&[("log.cleaner.backoff.ms", "200")]).expect("Kafka starts");
    let settings = [
        ("cleanup.policy", "compact,delete"),
        ("segment.ms", "5000"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    kafka
        .create_topic(TOPIC, PARTITIONS, &settings)
        .expect("created");
    let mut sent = vec![Vec::new(); PARTITIONS as usize];
    sent[COMPACTED as usize] = compacted(&kafka);
    steps.done("start, a compacted partition");

    let life = Life::start(&kafka, vec![0; PARTITIONS as usize]);
    let oracle = Oracle {
        kafka,
        sent: Mutex::new(sent),
        life: Mutex::new(life),
        deleted_before: AtomicI64::new(0),
        looks: AtomicUsize::new(0),
        exact: AtomicUsize::new(0),
    };
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let began = wait::now();
                oracle.look();
                wait::rest(SECOND.saturating_sub(began.elapsed()));
            }
        });
        let script = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            script(&oracle, &mut steps);
        }));
        over.store(true, Ordering::Relaxed);
        looking.join().expect("every look shows the truth");
        script.expect("the script runs to its end");
    });
    let looks = oracle.looks.load(Ordering::Relaxed);
    let exact = oracle.exact.load(Ordering::Relaxed);
    steps.done(&format!("{looks} looks, {exact} exact ages"));
    assert!(looks >= 15 && exact >= 10, "{looks} looks, {exact} exact");
}

fn script(oracle: &Oracle, steps: &mut Steps) {
    // Partitions without records and without commits are there from the first look on.
    oracle.let_look(2);
    let row = oracle.life().rows().remove(EMPTY as usize);
    assert_eq!(
        (row.lag, row.age_ms, row.status),
        (Some(0), Some(0), Status::Ok)
    );
    for burst in 0..20 {
        match burst {
            5 => oracle.life().member.close(),
            12 => oracle.life().member.open(),
            _ => {}
        }
        oracle.send(burst % 2, 400, clock::unix_ms());
        wait::rest(Duration::from_millis(200));
    }
    oracle.wait_until_caught_up();
    oracle.let_look(2);
    steps.done("bursts, a pause, idle");

    oracle.transaction(0, true);
    oracle.transaction(1, false);
    oracle.wait_until_caught_up();
    oracle.let_look(1);
    steps.done("transactions");

    for commit in [true, false] {
        oracle.open_transaction(1, commit);
        oracle.wait_until_caught_up();
    }
    steps.done("transactions that stay open");

    // Clocks of producers that go wrong: ages are those of the records, and never negative.
    oracle.life().member.close();
    let hour = 3_600_000;
    oracle.send(0, 5, clock::unix_ms() - hour);
    oracle.send(1, 5, clock::unix_ms() + hour);
    oracle.let_look(3);
    let rows = oracle.life().rows();
    assert!(rows[0].age_ms >= Some(hour as u64), "{:?}", rows[0]);
    assert_eq!(rows[1].age_ms, Some(0), "{:?}", rows[1]);
    oracle.life().member.open();
    oracle.wait_until_caught_up();
    steps.done("skew");

    // Deleted at the broker while the group stands still: what it has not fetched is lost.
    oracle.life().member.close();
    oracle.send_of(0, 3_000, clock::unix_ms(), &[b'x'; 2_000]);
    oracle.let_look(2);
    let start = oracle.sent()[0].len() as i64 - 100;
    oracle.deleted_before.store(start, Ordering::Release);
    let deleted = oracle.kafka.delete_records(TOPIC, 0, start);
    deleted.expect("deleted");
    oracle.let_look(2);
    assert_eq!(oracle.life().rows()[0].status, Status::Lost);
    oracle.life().member.open();
    oracle.wait_until_caught_up();
    let lost = {
        let (life, sent) = (oracle.life(), oracle.sent());
        let never_seen =
            |offset: &i64| sent[0][*offset as usize].is_some() && !life.seen.has(0, *offset);
        (0..start).filter(never_seen).count() as u64
    };
    let row = oracle.life().rows().remove(0);
    assert!(lost > 1_000, "{lost} are lost");
    assert_eq!((row.lost, row.status), (Some(lost), Status::Lost));
    steps.done("truncation");

    // The group is put back, and its next life starts there.
    {
        let mut life = oracle.life();
        assert_eq!(life.member.stop(), Finish::Drained);
        let mut from: Vec<i64> = oracle.kafka.end_offsets(TOPIC).expect("it answers");
        from[1] -= 1_000;
        let commit = oracle.kafka.commit(TOPIC, TOPIC, 1, from[1], "");
        commit.expect("the group has no member");
        *life = Life::start(&oracle.kafka, from);
    }
    oracle.let_look(2);
    oracle.wait_until_caught_up();
    oracle.let_look(1);
    steps.done("reset");
}
