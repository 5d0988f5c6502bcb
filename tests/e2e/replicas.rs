//! Several replicas in one group under load: one joins, one leaves, one is killed with records in
//! flight. In both protocols of consumer groups. What they report of lag together is never above the
//! truth meanwhile.

mod sums;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::isobar::{Isobar, Sampler};
use testkit::services::{Kafka, Search};
use testkit::{http, wait};

use crate::support::{Steps, Total, check_exactly_once, setup, with_search};
use sums::Sums;

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
    let (looks, whole) = sums.looks();
    assert!(
        looks >= 10 && whole >= 3,
        "{looks} looks, {whole} of them whole"
    );
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
    let start = || Replica::start(kafka, search, protocol, &spout);

    send();
    let mut replicas: Vec<Replica> = (0..3).map(|_| start()).collect();
    sums.ask(addresses(&replicas));
    wait_for_shares(&replicas);
    steps.done(&format!("{protocol}: three replicas"));

    send();
    replicas.push(start());
    sums.ask(addresses(&replicas));
    wait_for_shares(&replicas);
    steps.done(&format!("{protocol}: a fourth joins"));

    send();
    let left = replicas.remove(0).stop();
    wait_for_shares(&replicas);
    steps.done(&format!("{protocol}: one leaves"));

    send();
    let killed = replicas.remove(0).kill();
    // Nobody reads its partitions now, and none is missing for who asks the brokers.
    let asked = replicas[0].isobar.setup().finish(&["lag"], LIMIT);
    let asked = asked.expect("it ends");
    let lag: Value = serde_json::from_str(&asked.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", asked.stderr));
    let rows = lag["spouts"][0]["partitions"].as_array().expect("a list");
    assert_eq!(rows.len() as u64, PARTITIONS, "{lag}");
    assert!(rows.iter().all(|row| row["lag"].is_u64()), "{lag}");
    wait_for_shares(&replicas);
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

fn addresses(replicas: &[Replica]) -> Vec<String> {
    let addresses = replicas.iter().map(|one| one.isobar.address());
    addresses.map(str::to_owned).collect()
}

/// A running replica whose accounting is watched.
struct Replica {
    isobar: Isobar,
    sampler: Sampler,
}

impl Replica {
    fn start(kafka: &Kafka, search: &Search, group: &str, spout: &str) -> Self {
        let isobar = setup(kafka, &search.url(), group, spout);
        let isobar = isobar
            .arguments(&["-o", "json"])
            .start()
            .expect("it starts");
        Self {
            sampler: isobar.sample_accounting().expect("a thread"),
            isobar,
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
