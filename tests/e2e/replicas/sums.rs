//! The lag that all replicas report together, looked at while partitions move between them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::services::Kafka;
use testkit::{http, wait};

const PAUSE: Duration = Duration::from_millis(300);
/// Commits are remembered for so long; samples are 5 s old at most, and a busy machine takes its time.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Who is asked, and what came of it.
#[derive(Default)]
pub(super) struct Sums {
    addresses: Mutex<Vec<String>>,
    over: AtomicBool,
    looks: AtomicU64,
    whole: AtomicU64,
}

/// Lag and its age, by partition, of one replica.
type Answer = BTreeMap<u64, (Option<u64>, Duration)>;

impl Sums {
    /// From now on these are asked.
    pub(super) fn ask(&self, addresses: impl IntoIterator<Item = String>) {
        *self.addresses.lock().expect("no holder panics") = addresses.into_iter().collect();
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// How often it looked, and how often all partitions were known then.
    pub(super) fn looks(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.looks), of(&self.whole))
    }

    /// Looks until it is ended. No partition may be reported by two replicas for longer than it takes to ask
    /// again, and the sum may never be above what was not committed when the oldest sample was taken.
    pub(super) fn watch(&self, kafka: &Kafka, group: &str) {
        let mut commits: VecDeque<(Instant, Vec<i64>)> = VecDeque::new();
        let mut twice_before = Vec::new();
        while !self.over.load(Ordering::Acquire) {
            let committed = kafka.committed(group, "logs").expect("it answers");
            let committed = committed.into_iter().map(|offset| offset.unwrap_or(0));
            commits.push_back((wait::now(), committed.collect()));
            if commits.len() > 1 && commits[1].0.elapsed() > REMEMBERED {
                let _ = commits.pop_front();
            }
            let answers = self.answers();
            let ends = kafka.end_offsets("logs").expect("it answers");
            let mut by_partition: BTreeMap<u64, Vec<(Option<u64>, Duration)>> = BTreeMap::new();
            for (partition, row) in answers.into_iter().flatten() {
                by_partition.entry(partition).or_default().push(row);
            }
            let twice = by_partition.iter().filter(|(_, rows)| rows.len() > 1);
            let twice: Vec<u64> = twice.map(|(partition, _)| *partition).collect();
            let still = twice.iter().find(|one| twice_before.contains(*one));
            assert_eq!(still, None, "two replicas report it: {by_partition:?}");
            if twice.is_empty() {
                check(&by_partition, &commits, &ends);
                let _ = self.looks.fetch_add(1, Ordering::Relaxed);
                let known = by_partition
                    .values()
                    .flatten()
                    .filter(|(lag, _)| lag.is_some());
                if known.count() == ends.len() {
                    let _ = self.whole.fetch_add(1, Ordering::Relaxed);
                }
                wait::rest(PAUSE);
            }
            twice_before = twice;
        }
    }

    /// What all of them say at one time; one that is gone says nothing.
    fn answers(&self) -> Vec<Answer> {
        let addresses = self.addresses.lock().expect("no holder panics").clone();
        std::thread::scope(|scope| {
            let asked: Vec<_> = addresses
                .iter()
                .map(|address| scope.spawn(move || http::get(address, "/lag")?.json()))
                .collect();
            let answers = asked.into_iter().map(|one| one.join().expect("no panic"));
            answers
                .filter_map(Result::ok)
                .map(|lag| rows(&lag))
                .collect()
        })
    }
}

fn rows(lag: &Value) -> Answer {
    let partitions = lag["spouts"][0]["partitions"].as_array();
    let partitions = partitions.into_iter().flatten();
    partitions
        .map(|row| {
            let number = row["partition"].as_u64().expect("a number");
            let age = row["sampled_age_seconds"].as_f64().unwrap_or(0.0);
            (number, (row["lag"].as_u64(), Duration::from_secs_f64(age)))
        })
        .collect()
}

fn check(
    by_partition: &BTreeMap<u64, Vec<(Option<u64>, Duration)>>,
    commits: &VecDeque<(Instant, Vec<i64>)>,
    ends: &[i64],
) {
    let now = wait::now();
    for (partition, rows) in by_partition {
        let (Some(lag), age) = rows[0] else {
            continue;
        };
        let before = commits.iter().rev().find(|(at, _)| now - *at >= age);
        // What is older than the first look has committed nothing that is known of.
        let committed = before.map_or(0, |(_, offsets)| offsets[*partition as usize]);
        let most = ends[*partition as usize] - committed;
        assert!(
            lag as i64 <= most,
            "{partition}: {lag} of {most} at most: {by_partition:?}"
        );
    }
}
