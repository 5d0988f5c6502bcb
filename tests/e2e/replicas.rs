//! Several replicas in one group under load: one joins, one leaves, one is killed with records in
//! flight. In both protocols of consumer groups. What they report of lag together is the truth meanwhile, but
//! for what nobody reads who is asked.

mod sums;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::isobar::{Isobar, Sampler, Setup};
use testkit::services::{Kafka, Search};
use testkit::{http, ports, wait};

use crate::support::{Steps, Total, check_exactly_once, setup, with_search};
use sums::{KNOWN_WITHIN, Running, Sums, check_known};

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: u64 = 6;
/// Sent before each of the changes.
const RECORDS: u64 = 60_000;

#[test]
fn replicas_come_and_go_and_each_record_is_indexed_once() {
    let mut steps = Steps::new("replicas");
    // With the broker's own values the group waits 45 s for a member that was killed.
    let settings = [
        ("group.consumer.min.session.timeout.ms", "6000"),
        ("group.consumer.session.timeout.ms", "6000"),
        ("group.consumer.min.heartbeat.interval.ms", "500"),
        ("group.consumer.heartbeat.interval.ms", "500"),
    ];
    let (kafka, search) = with_search(|| Kafka::start_with(&settings));
    steps.done("start");
    for protocol in ["classic", "consumer"] {
        kafka
            .create_topic("logs", 6, &[])
            .expect("the topic is created");
        changes_under_load(&kafka, &search, protocol, &mut steps);
        search
            .client()
            .delete_index("logs-2026.01.01")
            .expect("the next round starts empty");
        kafka.delete_topic("logs").expect("the topic is deleted");
    }
}

fn changes_under_load(kafka: &Kafka, search: &Search, protocol: &str, steps: &mut Steps) {
    let sums = Sums::default();
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| sums.watch(kafka, protocol));
        let changes = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            changes(kafka, search, protocol, steps, &sums);
        }));
        sums.end();
        watching.join().expect("no sum is above the truth");
        changes.expect("all goes well");
    });
    let looks = sums.looks();
    let least = [
        (looks.shares, 10),
        (looks.whole, 3),
        (looks.merged, 30),
        (looks.summed, 10),
        (looks.unowned, 3),
        (looks.confirmed, 5),
    ];
    assert!(least.iter().all(|(of, least)| of >= least), "{looks:?}");
    steps.done(&format!("{protocol}: {looks:?}"));
}

fn changes(kafka: &Kafka, search: &Search, protocol: &str, steps: &mut Steps, sums: &Sums) {
    let options = match protocol {
        "classic" => ", options: {session.timeout.ms: 6000, heartbeat.interval.ms: 500}",
        _ => "",
    };
    let spout = format!(", group_protocol: {protocol}, commit_interval: 500ms{options}");
    let mut sent = 0;
    let mut send = || {
        kafka
            .produce_json("logs", 6, sent..sent + RECORDS)
            .expect("all is acknowledged");
        sent += RECORDS;
    };
    let addresses = [(); 4].map(|()| {
        let port = ports::free().expect("a free port");
        format!("127.0.0.1:{port}")
    });
    let setup = || setup(kafka, &search.url(), protocol, &spout).arguments(&["-o", "json"]);
    let file = setup();
    let start = |number: usize, knows: &[String]| {
        Replica::start(setup(), addresses[number].clone(), knows.to_vec())
    };

    send();
    let mut replicas: Vec<Replica> = (0..3).map(|n| start(n, &addresses[..3])).collect();
    sums.ask(running(&replicas, 0));
    wait_for_shares(&replicas);
    wait_for_lag(&replicas);
    sums.ask(running(&replicas, 3));
    check_file(kafka, protocol, &file);
    steps.done(&format!("{protocol}: three replicas"));

    // The others do not know it, so what it reads is read by nobody for them.
    send();
    replicas.push(start(3, &addresses));
    sums.ask(running(&replicas, 3));
    check_file(kafka, protocol, &file);
    wait_for_shares(&replicas);
    wait_for_lag(&replicas);
    sums.ask(running(&replicas, 4));
    steps.done(&format!("{protocol}: a fourth joins"));

    send();
    let left = replicas.remove(0).stop();
    sums.ask(running(&replicas, 3));
    check_file(kafka, protocol, &file);
    wait_for_shares(&replicas);
    wait_for_lag(&replicas);
    steps.done(&format!("{protocol}: one leaves"));

    send();
    sums.killed(replicas[0].isobar.address());
    let killed = replicas.remove(0).kill();
    sums.ask(running(&replicas, 2));
    // Nobody reads its partitions now, and none is missing for who asks the brokers.
    check_file(kafka, protocol, &file);
    wait_for_shares(&replicas);
    wait_for_lag(&replicas);
    steps.done(&format!(
        "{protocol}: one is killed with {} in flight",
        killed.in_flight
    ));

    let ends = vec![Some(sent as i64 / 6); 6];
    wait::until("everything to be committed", LIMIT, || {
        let committed = kafka.committed(protocol, "logs")?;
        ensure!(committed == ends, "{committed:?}");
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
    check_file(kafka, protocol, &file);
    let mut indexed = left.indexed() + killed.indexed();
    for replica in replicas {
        let total = replica.stop();
        assert_eq!((total.dead_lettered, total.dropped), (0, 0));
        indexed += total.indexed();
    }
    // What the killed one did after it was last asked is in nobody's account.
    assert!(
        indexed + killed.in_flight >= sent,
        "{sent} were sent, {indexed} are accounted for"
    );
    steps.done(&format!("{protocol}: everything is indexed"));
    check_exactly_once(search, PARTITIONS, sent);
    steps.done(&format!("{protocol}: look at every document"));
}

/// Who is asked; the first `shown` of them have had a share.
fn running(replicas: &[Replica], shown: usize) -> Vec<Running> {
    let running = replicas.iter().enumerate();
    let running = running.map(|(number, replica)| Running {
        address: replica.isobar.address().to_owned(),
        knows: replica.knows.clone(),
        shows_all: number < shown,
    });
    running.collect()
}

/// `isobar lag FILE` tells of all partitions, whoever reads them: of each what is not committed.
fn check_file(kafka: &Kafka, group: &str, file: &Setup) {
    let truth = || -> Result<Vec<(i64, i64)>> {
        let ends = kafka.end_offsets("logs")?.into_iter();
        let committed: Option<Vec<i64>> = kafka.committed(group, "logs")?.into_iter().collect();
        Ok(ends
            .zip(committed.context("nothing is committed")?)
            .collect())
    };
    let before = wait::until("a commit for each partition", LIMIT, truth).expect("it commits");
    let asked = file.finish(&["lag"], LIMIT).expect("it ends");
    let after = truth().expect("it answers");
    let lag: Value = serde_json::from_str(&asked.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", asked.stderr));
    let rows = lag["spouts"][0]["partitions"].as_array().expect("a list");
    assert_eq!(rows.len() as u64, PARTITIONS, "{lag}");
    for (row, (before, after)) in rows.iter().zip(before.into_iter().zip(after)) {
        let possible = before.0 - after.1..=after.0 - before.1;
        let is_true = row["lag"]
            .as_i64()
            .is_some_and(|lag| possible.contains(&lag));
        assert!(is_true, "{row} is not in {possible:?}");
    }
}

/// A running replica whose accounting is watched.
struct Replica {
    isobar: Isobar,
    sampler: Sampler,
    /// Itself and its peers.
    knows: Vec<String>,
}

impl Replica {
    fn start(setup: Setup, address: String, knows: Vec<String>) -> Self {
        let peers = knows.iter().map(|address| format!("http://{address}"));
        let peers = peers.collect::<Vec<_>>().join(",");
        let setup = setup.arguments(&["--peers", &peers]);
        let isobar = setup.start_at(address).expect("it starts");
        Self {
            sampler: isobar.sample_accounting().expect("a thread"),
            isobar,
            knows,
        }
    }

    /// The partitions that it reads.
    fn partitions(&self) -> Result<Vec<u64>> {
        let statistics = http::get(self.isobar.address(), "/statistics")?.json()?;
        let rows = statistics["lag"][0]["partitions"].as_array();
        let rows = rows.with_context(|| format!("no partitions in {statistics}"))?;
        let numbers = rows.iter().map(|row| row["partition"].as_u64());
        numbers
            .collect::<Option<_>>()
            .context("a row without partition")
    }

    /// Asks it to end; it settles what it has, or hands it back. Gives its last account.
    fn stop(mut self) -> Total {
        let status = self.isobar.stop(LIMIT).expect("it ends");
        let log = self.isobar.log().expect("it has one");
        assert_eq!(status.code(), Some(0), "{log}");
        let _ = self.sampler.finish().expect("every sample adds up");
        let report = self.isobar.report().expect("it reports");
        Total::of(&report["accounting"]).expect("an accounting")
    }

    fn kill(mut self) -> Total {
        let total = self.isobar.wait_for("records in flight", LIMIT, |address| {
            let total = Total::of(&http::get(address, "/accounting")?.json()?)?;
            ensure!(total.in_flight > 0, "{total:?}");
            Ok(total)
        });
        self.isobar.kill9();
        let _ = self.sampler.finish().expect("every sample adds up");
        total.unwrap_or_else(|error| panic!("{error:#}"))
    }
}

/// Waits until so many replicas read all partitions, each of them one replica, and nobody none.
fn wait_for_shares(replicas: &[Replica]) {
    wait::until("everybody's share", LIMIT, || {
        let shares = replicas.iter().map(Replica::partitions);
        let shares: Vec<Vec<u64>> = shares.collect::<Result<_>>()?;
        let mut all = shares.concat();
        all.sort_unstable();
        let fair = shares.iter().all(|share| !share.is_empty());
        ensure!(
            fair && all == (0..PARTITIONS).collect::<Vec<_>>(),
            "{shares:?}"
        );
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
}

/// Waits until each of them shows the lag of what is read by those that it knows, now that they have their shares:
/// one interval later at most, and a slack.
fn wait_for_lag(replicas: &[Replica]) {
    let shown = running(replicas, replicas.len());
    wait::until("the lag of the shares", KNOWN_WITHIN, || {
        for one in &shown {
            let unknown = replicas.iter();
            let unknown =
                unknown.filter(|other| !one.knows.contains(&other.isobar.address().to_owned()));
            let elsewhere: Vec<Vec<u64>> =
                unknown.map(Replica::partitions).collect::<Result<_>>()?;
            check_known(one, &elsewhere.concat())?;
        }
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error:#}"));
}
