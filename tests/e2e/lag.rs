//! Lag against the truth: what is reported of a real broker, compared with what the test itself sent and
//! saw delivered, at moments here and every second in `oracle.rs`; and `isobar lag` of any group, once and
//! standing, and of a program that was killed.

mod killed;
mod oracle;
mod pause;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use isobar_operators::kafka::connection::KafkaConnection;
use isobar_operators::lag::{Circumstances, Exactness, Row, Source, Status, Watch};
use isobar_topology::{Finish, clock};
use serde_json::{Value, json};
use testkit::process::{Launch, Process};
use testkit::scratch::Scratch;
use testkit::services::Kafka;
use testkit::services::kafka::Sent;
use testkit::{http, isobar, ports, wait};

use crate::kafka::member::{Member, Options, Seen};
use crate::support::Steps;

const LIMIT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const TOPIC: &str = "truth";
const PARTITIONS: i32 = 3;

/// A topic with all that was sent to it, and a member that reads it.
struct Truth {
    kafka: Kafka,
    member: Member,
    watch: Watch,
    seen: Seen,
    /// The timestamp of each record, by partition and offset; of transaction markers too.
    sent: Vec<Vec<i64>>,
}

fn start(kafka: &Kafka, seen: &Seen) -> (Member, Watch) {
    let options = Options {
        spout: json!({"max_in_flight_records": 500, "batch_records_max": 50}),
        ..Options::new(TOPIC)
    };
    let member = Member::start(kafka, seen, options);
    let partitions = member.running.partitions(0).clone();
    let health = member.running.health().clone();
    let watch = member
        .lag
        .watch(partitions, health, Duration::from_millis(200));
    (member, watch.expect("a client"))
}

/// Rows of so many partitions that were sampled after this call.
fn fresh_rows(watch: &Watch, partitions: i32) -> Vec<Row> {
    let from = clock::unix_ms();
    let fresh = wait::until("a fresh sample", LIMIT, || {
        let lag = watch.read(Circumstances::default());
        ensure!(lag.failure.is_none(), "{:?}", lag.failure);
        ensure!(lag.rows.len() == partitions as usize, "{:?}", lag.rows);
        let fresh = lag.rows.iter().all(|row| row.sampled_ms >= Some(from));
        ensure!(fresh, "{:?}", lag.rows);
        Ok(lag.rows)
    });
    fresh.expect("samples go on")
}

impl Truth {
    fn start() -> Self {
        let kafka = Kafka::start().expect("Kafka starts");
        kafka.create_topic(TOPIC, PARTITIONS, &[]).expect("created");
        let seen = Seen::default();
        let (member, watch) = start(&kafka, &seen);
        Self {
            kafka,
            member,
            watch,
            seen,
            sent: vec![Vec::new(); PARTITIONS as usize],
        }
    }

    fn send(&mut self, partition: i32, count: usize, ms: i64) {
        let records = (0..count).map(|_| record(partition, ms));
        self.kafka.produce(TOPIC, records).expect("acknowledged");
        self.sent[partition as usize].extend(vec![ms; count]);
    }

    fn transaction(&mut self, partition: i32, commit: bool) {
        let ms = clock::unix_ms();
        let records = (0..10).map(|_| record(partition, ms));
        let sent = self.kafka.produce_transaction(TOPIC, records, commit);
        sent.expect("acknowledged");
        self.sent[partition as usize].extend([ms; 11]);
    }

    fn rows(&self) -> Vec<Row> {
        fresh_rows(&self.watch, PARTITIONS)
    }

    /// Checks every figure while nothing is sent and nothing delivered: then each has one true value.
    fn check_still(&self, ends: &[i64], done: &[i64]) -> Vec<Row> {
        let rows = self.rows();
        for (row, (end, done)) in rows.iter().zip(ends.iter().zip(done)) {
            assert_eq!(row.end, Some(*end), "{row:?}");
            assert_eq!(row.lag, Some((end - done) as u64), "{row:?}");
            check_identity(row);
            check_age(
                row,
                self.sent[row.partition.partition as usize].as_slice(),
                *done..=*done,
            );
        }
        rows
    }

    /// Where each partition ends, by what was sent.
    fn ends(&self) -> Vec<i64> {
        self.sent.iter().map(|sent| sent.len() as i64).collect()
    }

    /// Waits until nothing is behind, and checks that this is said.
    fn check_caught_up(&self) {
        let ends = self.ends();
        wait::until("no lag", LIMIT, || {
            let rows = self.rows();
            let caught_up = rows.iter().all(|row| row.committed_lag == Some(0));
            ensure!(caught_up, "{rows:?}");
            Ok(())
        })
        .expect("it catches up");
        let rows = self.check_still(&ends, &ends);
        assert!(rows.iter().all(|row| row.status == Status::Ok), "{rows:?}");
    }
}

fn record(partition: i32, ms: i64) -> Sent {
    Sent {
        partition: Some(partition),
        value: Some(b"{}".to_vec()),
        timestamp: Some(ms),
        ..Sent::default()
    }
}

fn check_identity(row: &Row) {
    let parts = [row.read_lag, row.open, row.commit_debt];
    if let Some(committed) = row.committed_lag {
        let sum = parts.into_iter().sum::<Option<u64>>();
        // Before it is joined, nobody knows what was read.
        assert!(sum == Some(committed) || row.next.is_none(), "{row:?}");
    }
}

/// Checks the age against the record at one of these offsets, which the first unsettled one is.
fn check_age(row: &Row, sent: &[i64], done: std::ops::RangeInclusive<i64>) {
    let now = clock::unix_ms();
    let Some(age) = row.age_ms else {
        assert_eq!(row.age_exactness, Exactness::Unknown, "{row:?}");
        return;
    };
    if row.age_exactness != Exactness::Exact {
        assert!(
            row.in_flight == Some(0) || row.in_flight.is_none(),
            "{row:?}"
        );
        return;
    }
    let mut candidates = done.filter_map(|offset| sent.get(usize::try_from(offset).ok()?));
    let is_true = candidates.any(|ms| (now - ms).max(0).abs_diff(age as i64) <= 1_000);
    assert!(is_true, "{row:?} at {now}");
}

#[test]
fn lag_is_the_truth_whatever_happens() {
    let mut steps = Steps::new("lag");
    let mut truth = Truth::start();
    truth.check_caught_up();
    steps.done("start, empty partitions");

    live(&mut truth);
    truth.member.open();
    truth.check_caught_up();
    steps.done("bursts, idle times and pauses");

    // The sink is blocked: fetching stops when 500 records are in flight, and the end goes on.
    truth.member.close();
    let done = truth.ends();
    let mut last = 0;
    for _ in 0..6 {
        truth.send(0, 300, clock::unix_ms());
        let rows = truth.check_still(&truth.ends(), &done);
        let lag = rows[0].lag.expect("known");
        assert!(lag > last, "{lag} after {last}");
        last = lag;
    }
    let rows = wait::until("records in memory", LIMIT, || {
        let rows = truth.rows();
        ensure!(rows[0].age_exactness == Exactness::Exact, "{:?}", rows[0]);
        Ok(rows)
    });
    let read_lag = rows.expect("they are read")[0].read_lag;
    assert!(read_lag >= Some(1_000), "{read_lag:?}");
    truth.member.open();
    truth.check_caught_up();
    steps.done("a blocked sink");

    truth.transaction(0, true);
    truth.transaction(1, false);
    truth.check_caught_up();
    steps.done("transactions");

    shared(&mut truth);
    truth.check_caught_up();
    steps.done("two members");

    // Timestamps of the past and of the future, and a member that stops behind.
    truth.member.close();
    let done = truth.ends();
    let hour_ago = clock::unix_ms() - 3_600_000;
    truth.send(1, 5, clock::unix_ms() + 3_600_000);
    truth.send(2, 5, hour_ago);
    wait::until("exact ages", LIMIT, || {
        let rows = truth.check_still(&truth.ends(), &done);
        let exact = |row: &Row| row.age_exactness == Exactness::Exact;
        ensure!(rows[1..].iter().all(exact), "{rows:?}");
        ensure!(rows[1].age_ms == Some(0), "{rows:?}");
        Ok(())
    })
    .expect("they are read");
    let committed = |number: i32| {
        let text = truth.kafka.commit_text(TOPIC, TOPIC, number);
        text.is_ok_and(|text| text.contains(";f="))
    };
    wait::until("the commits", LIMIT, || {
        ensure!(committed(1) && committed(2), "not yet");
        Ok(())
    })
    .expect("they are committed");
    assert_eq!(truth.member.stop(), Finish::HandedBack);
    let rows = truth.member.lag.once(LIMIT).expect("it answers").rows;
    let lags: Vec<_> = rows.iter().map(|row| row.lag).collect();
    assert_eq!(lags, [Some(0), Some(5), Some(5)]);
    assert_eq!(rows[2].age_exactness, Exactness::Sampled);
    let age = rows[2].age_ms.expect("known") as i64;
    assert!((clock::unix_ms() - hour_ago - age).abs() <= 1_000, "{age}");
    steps.done("skew, stopped behind");

    // Stopped caught up: 0 until something comes, then its age.
    (truth.member, truth.watch) = start(&truth.kafka, &truth.seen);
    truth.check_caught_up();
    assert_eq!(truth.member.stop(), Finish::Drained);
    let once = |truth: &Truth| truth.member.lag.once(LIMIT).expect("it answers").rows;
    assert!(once(&truth).iter().all(|row| row.age_ms == Some(0)));
    let later = truth.sent[0].last().expect("there are some") + 1_000;
    truth.send(0, 5, later);
    let row = once(&truth).remove(0);
    assert_eq!((row.lag, row.age_exactness), (Some(5), Exactness::Sampled));
    let age = row.age_ms.expect("known") as i64;
    assert!((clock::unix_ms() - later - age).abs() <= 1_000, "{age}");
    steps.done("stopped caught up");

    // What is deleted before it is read is lost, and said to be.
    truth.send(0, 20, clock::unix_ms());
    let end = truth.ends()[0];
    truth
        .kafka
        .delete_records(TOPIC, 0, end - 5)
        .expect("deleted");
    let row = once(&truth).remove(0);
    assert_eq!((row.status, row.lost), (Status::Lost, Some(20)), "{row:?}");
    // A group that was put back, and one that has committed nothing.
    truth.kafka.commit(TOPIC, TOPIC, 1, 7, "").expect("reset");
    let ends = truth.ends();
    assert_eq!(once(&truth)[1].lag, Some(ends[1] as u64 - 7));
    let connection = KafkaConnection::plain(&[truth.kafka.brokers().to_owned()]);
    let nobody = Source::of_group(connection, "nobody", &[TOPIC.to_owned()]);
    let rows = nobody.once(LIMIT).expect("it answers").rows;
    assert!(
        rows.iter()
            .all(|row| row.lag.is_none() && row.age_ms.is_none())
    );
    steps.done("deletion, reset, no commits");
}

/// A second member takes a share and leaves again. What both report together is never above the truth, and
/// is the truth when every partition has an owner: long before they sample in their turn, which is once an hour
/// here, since they look at once at what they were given.
fn shared(truth: &mut Truth) {
    truth.member.close();
    for partition in 0..PARTITIONS {
        truth.send(partition, 100, clock::unix_ms());
    }
    let behind = 100 * PARTITIONS as u64;
    let options = Options {
        open: false,
        ..Options::new(TOPIC)
    };
    let other = Member::start(&truth.kafka, &truth.seen, options);
    let watches = [&truth.member, &other].map(|member| {
        let partitions = member.running.partitions(0).clone();
        let health = member.running.health().clone();
        let watch = member.lag.watch(partitions, health, HOUR);
        watch.expect("a client")
    });
    let reported = || -> anyhow::Result<Vec<usize>> {
        let shares = watches.each_ref().map(|watch| {
            let lag = watch.read(Circumstances::default());
            assert_eq!(lag.failure, None);
            lag.rows
        });
        let known = shares.iter().flatten().filter_map(|row| row.lag);
        let sum = known.clone().sum::<u64>();
        assert!(sum <= behind, "{sum} of {behind}: {shares:?}");
        let all = known.count() == PARTITIONS as usize && sum == behind;
        ensure!(all, "{shares:?}");
        Ok(shares.map(|rows| rows.len()).to_vec())
    };
    wait::until("both to have a share", LIMIT, || {
        let shares = reported()?;
        ensure!(shares.iter().all(|share| *share > 0), "{shares:?}");
        Ok(())
    })
    .expect("they share");
    let _ = other.stop();
    wait::until("one to have all", LIMIT, || {
        let shares = reported()?;
        ensure!(shares == [PARTITIONS as usize, 0], "{shares:?}");
        Ok(())
    })
    .expect("it takes over");
    truth.member.open();
}

/// Compares while records come in bursts and the bolt takes pauses. What is true changes under way, so
/// each figure must lie between what it was before the sample and after it.
fn live(truth: &mut Truth) {
    let over = AtomicBool::new(false);
    let bursts = std::thread::scope(|scope| {
        let produced = scope.spawn(|| {
            let mut sent = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let ms = clock::unix_ms();
                let records = (0..200).map(|number| record(number % 2, ms));
                truth.kafka.produce(TOPIC, records).expect("acknowledged");
                sent.push(ms);
            }
            sent
        });
        let mut done_before = truth.seen.first_missing(PARTITIONS);
        for round in 0..16 {
            match round % 4 {
                1 => truth.member.close(),
                3 => truth.member.open(),
                _ => {}
            }
            let ends_before = truth.kafka.end_offsets(TOPIC).expect("it answers");
            let rows = truth.rows();
            let ends_after = truth.kafka.end_offsets(TOPIC).expect("it answers");
            let done_after = truth.seen.first_missing(PARTITIONS);
            for (number, row) in rows.iter().enumerate() {
                let ends = Some(ends_before[number])..=Some(ends_after[number]);
                assert!(ends.contains(&row.end), "{row:?} is not in {ends:?}");
                let least = ends_before[number] - done_after[number];
                let most = ends_after[number] - done_before[number];
                let lag = row.lag.expect("known") as i64;
                assert!((least..=most).contains(&lag), "{row:?}: {least} to {most}");
                check_identity(row);
                assert!(row.age_exactness != Exactness::UpperBound, "{row:?}");
            }
            done_before = done_after;
        }
        over.store(true, Ordering::Relaxed);
        produced.join().expect("it produces")
    });
    for ms in bursts {
        truth.sent[0].extend([ms; 100]);
        truth.sent[1].extend([ms; 100]);
    }
}

#[test]
fn any_group_is_asked_and_watched_from_outside() {
    let mut steps = Steps::new("lag of a group");
    let kafka = Kafka::start().expect("Kafka starts");
    let append = [
        ("message.timestamp.type", "LogAppendTime"),
        ("retention.ms", "86400000"),
    ];
    kafka.create_topic("orders", 2, &append).expect("created");
    let before = clock::unix_ms();
    kafka
        .produce_json("orders", 2, 0..1_000)
        .expect("acknowledged");
    kafka
        .commit("stranger", "orders", 0, 100, "")
        .expect("committed");
    steps.done("start");

    let asked = |arguments: &[&str]| -> (Option<i32>, Value, String) {
        let command = [
            "lag",
            "--brokers",
            kafka.brokers(),
            "--group",
            "stranger",
            "-o",
            "json",
        ];
        let command: Vec<&str> = command.iter().chain(arguments).copied().collect();
        let ended = isobar::finish(&command, LIMIT).expect("it ends");
        let json = serde_json::from_str(&ended.stdout).unwrap_or_default();
        (ended.status.code(), json, ended.stderr)
    };
    let (exit, json, told) = asked(&[]);
    assert_eq!(exit, Some(4), "{told}");
    assert!(
        told.contains("has committed nothing for orders/1"),
        "{told}"
    );
    let rows = &json["spouts"][0]["partitions"];
    assert_eq!(
        (&rows[0]["lag"], &rows[1]["lag"]),
        (&json!(400), &Value::Null)
    );
    assert_eq!(rows[0]["leader"], kafka.brokers());
    let age = rows[0]["oldest_age_seconds"].as_f64().expect("known");
    let oldest = (clock::unix_ms() - before) as f64 / 1_000.0;
    assert!(age <= oldest + 1.0, "{age} of {oldest}");
    assert_eq!(rows[0]["oldest_age_exactness"], "upper_bound");
    assert!(
        rows[0]["headroom_seconds"].as_f64() > Some(86_000.0),
        "{rows}"
    );

    kafka
        .commit("stranger", "orders", 1, 500, "")
        .expect("committed");
    let (exit, json, told) = asked(&["--fail-above", "400"]);
    assert_eq!(
        (exit, &json["spouts"][0]["lag"]),
        (Some(0), &json!(400)),
        "{told}"
    );
    assert_eq!(asked(&["--fail-above", "399"]).0, Some(3));
    // Nobody is in the group, which two seconds do not tell.
    let (exit, json, told) = asked(&["--over", "2s", "--fail-status", "slow"]);
    assert_eq!(
        (exit, &json["status"]),
        (Some(4), &json!("NO_DATA")),
        "{told}"
    );
    assert!(told.contains("nothing was settled in the "), "{told}");
    assert!(told.contains("; try --over 6m"), "{told}");
    assert_eq!(json["spouts"][0]["partitions"][0]["eta_seconds"], "never");
    steps.done("isobar lag");

    let scratch = Scratch::new("serve").expect("a directory");
    let address = format!("127.0.0.1:{}", ports::free().expect("a free port"));
    let launch = Launch::new(
        isobar::binary().expect("built"),
        &scratch.path().join("log"),
    );
    let launch = launch.arguments(["lag", "--brokers", kafka.brokers(), "--group", "stranger"]);
    let also = "kafka_exporter,kafka_lag_exporter";
    let launch = launch.arguments(["--metrics-also", also, "--serve", &address]);
    let mut process = Process::start(launch).expect("it starts");
    let labels = "{topology=\"stranger\",spout=\"stranger\",group=\"stranger\"";
    let metrics = wait::until("the metrics", LIMIT, || {
        let text = http::get(&address, "/metrics")?.text();
        let lag = format!("isobar_lag_records{labels},topic=\"orders\",partition=\"0\"}} 400\n");
        ensure!(text.contains(&lag), "{text}");
        Ok(text)
    });
    let metrics = metrics.expect("they come");
    assert!(
        metrics.contains(&format!("isobar_unowned_partitions{labels}}} 2\n")),
        "{metrics}"
    );
    let members = "kafka_consumergroup_members{consumergroup=\"stranger\"} 0\n";
    assert!(metrics.contains(members), "{metrics}");
    let of_cluster = format!(
        "{{cluster_name=\"{}\",group=\"stranger\"}}",
        kafka.brokers()
    );
    let sum = format!("kafka_consumergroup_group_sum_lag{of_cluster} 400\n");
    assert!(metrics.contains(&sum), "{metrics}");
    let json = http::get(&address, "/lag").and_then(|answer| answer.json());
    let json = json.context("/lag").expect("it answers");
    assert_eq!(json["spouts"][0]["lag"], 400);
    let url = format!("http://{address}");
    let ended = isobar::finish(&["lag", &url, "-o", "wide"], LIMIT).expect("it ends");
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let totals =
        "2 partitions (leading brokers: 1) hold 1,000 records, ≤400 of them are not settled.";
    for shown in ["orders", kafka.brokers(), totals] {
        assert!(ended.stdout.contains(shown), "{}", ended.stdout);
    }
    let status = process.stop(LIMIT).expect("it ends");
    assert_eq!(status.code(), Some(0));
    steps.done("isobar lag --serve");

    pause::is_told_and_loses_nothing(&kafka);
    steps.done("a pause under load");
}
