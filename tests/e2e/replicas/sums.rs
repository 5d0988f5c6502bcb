//! The lag that all replicas report together, looked at while partitions move between them: what each says of
//! its own share, and what each of them shows of all that it knows (`--peers`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use testkit::services::Kafka;
use testkit::{http, wait};

const PAUSE: Duration = Duration::from_millis(300);
/// Commits are remembered for so long; what a replica says of one that has left is 15 s old at most and its
/// samples 5 s, and a busy machine takes its time.
const REMEMBERED: Duration = Duration::from_secs(60);
/// What is settled is committed within so long, while its reader lives: it commits each half second.
const COMMITTED_WITHIN: Duration = Duration::from_secs(15);
/// Between two samples of a replica, and between two questions to its peers.
const INTERVAL: Duration = Duration::from_secs(5);
/// A replica looks each second whether it was given other partitions; the sample and the answers take their time
/// on a busy machine.
const SLACK: Duration = Duration::from_secs(15);
/// Since it was given, a share is shown with its lag within so long.
pub(super) const KNOWN_WITHIN: Duration = INTERVAL.saturating_add(SLACK);

/// Who is asked, and what came of it.
#[derive(Default)]
pub(super) struct Sums(Mutex<State>);

#[derive(Default)]
struct State {
    running: Vec<Running>,
    killed: BTreeSet<String>,
    over: bool,
    looks: Looks,
}

/// A replica that is asked.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) address: String,
    /// Itself and its peers.
    pub(super) knows: Vec<String>,
    /// It has had a share, so that it knows its topics and has asked its peers.
    pub(super) shows_all: bool,
}

/// How often something was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    /// All shares, each partition in one at most.
    pub(super) shares: u64,
    /// The same, with the lag of all partitions known.
    pub(super) whole: u64,
    /// What one replica shows of all.
    pub(super) merged: u64,
    /// The same, with a sum that is known.
    pub(super) summed: u64,
    /// With a partition that nobody reads who is known to the replica, and no sum for that reason.
    pub(super) unowned: u64,
    /// With a lag that was not too small, as commits have shown since.
    pub(super) confirmed: u64,
}

/// Lag and the age of its sample, of a partition as a replica shows it.
type Shown = (Option<i64>, Duration);

impl Sums {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these are asked.
    pub(super) fn ask(&self, running: Vec<Running>) {
        self.state().running = running;
    }

    /// What this one had settled and not committed is settled again.
    pub(super) fn killed(&self, address: &str) {
        let _ = self.state().killed.insert(address.to_owned());
    }

    pub(super) fn end(&self) {
        self.state().over = true;
    }

    pub(super) fn looks(&self) -> Looks {
        self.state().looks
    }

    /// Looks until it is ended. No partition may be in two shares for longer than it takes to ask again.
    pub(super) fn watch(&self, kafka: &Kafka, group: &str) {
        let mut truth = Truth::default();
        let mut held = Held::default();
        let mut twice_before = Vec::new();
        loop {
            let running = match self.state() {
                state if state.over => return,
                state => state.running.clone(),
            };
            truth.look(kafka, group);
            let asked = wait::now();
            let shares = shares(&running);
            held.look(&shares);
            let merged = merged(&running);
            let ends = kafka.end_offsets("logs").expect("it answers");
            let mut looks = self.state().looks;
            looks.confirmed += truth.confirm(&self.state().killed);
            let mut by_partition: BTreeMap<u64, Vec<(&str, Shown)>> = BTreeMap::new();
            for (address, share) in &shares {
                for (partition, shown) in share {
                    let rows = by_partition.entry(*partition).or_default();
                    rows.push((address, *shown));
                }
            }
            let twice = by_partition.iter().filter(|(_, rows)| rows.len() > 1);
            let twice: Vec<u64> = twice.map(|(partition, _)| *partition).collect();
            let still = twice.iter().find(|one| twice_before.contains(*one));
            assert_eq!(still, None, "two replicas report it: {by_partition:?}");
            for (partition, rows) in by_partition.iter().filter(|(_, rows)| rows.len() == 1) {
                let (address, shown) = rows[0];
                let before = truth.before(asked, shown);
                check(address, before, *partition, shown, &ends);
                if let (Some(before), Some(lag)) = (before, shown.0) {
                    let settled = before.ends[*partition as usize] - lag;
                    truth.expect(address, *partition, settled);
                }
            }
            let known = by_partition.values().filter(|rows| rows[0].1.0.is_some());
            if twice.is_empty() {
                looks.shares += 1;
                looks.whole += u64::from(known.count() == ends.len());
            }
            for (one, lag) in &merged {
                let spout = &lag["spouts"][0];
                check_sum(spout, ends.len());
                for (partition, shown) in rows(spout) {
                    let before = truth.before(asked, shown);
                    check(&spout.to_string(), before, partition, shown, &ends);
                }
                held.check(one, spout);
                looks.merged += 1;
                looks.summed += u64::from(!spout["lag"].is_null());
                looks.unowned += u64::from(spout["unowned_partitions"].as_u64() > Some(0));
            }
            self.state().looks = looks;
            twice_before = twice;
            wait::rest(PAUSE);
        }
    }
}

/// Fails unless `one` shows the lag of all partitions but those that somebody reads of whom it does not know, which
/// it may: one that has left is believed for 15 s.
pub(super) fn check_known(one: &Running, elsewhere: &[u64]) -> Result<()> {
    let lag = http::get(&one.address, "/lag")?.json()?;
    for (partition, (lag, _)) in rows(&lag["spouts"][0]) {
        ensure!(
            lag.is_some() || elsewhere.contains(&partition),
            "{partition} is not known to {}",
            one.address
        );
    }
    Ok(())
}

/// Every partition has its row, and the sum is that of the rows: it is known unless a row is not, or a
/// replica does not answer; then it is not known either how many nobody reads.
fn check_sum(spout: &Value, partitions: usize) {
    let rows = spout["partitions"].as_array().expect("a list");
    assert_eq!(rows.len(), partitions, "{spout}");
    let lags = rows.iter().map(|row| row["lag"].as_u64());
    let sum: Option<u64> = lags.sum();
    match spout["unowned_partitions"].as_u64() {
        Some(unowned) => {
            let nobody = rows.iter().filter(|row| row["owner"].is_null());
            let nobody: Vec<&Value> = nobody.collect();
            assert_eq!(nobody.len() as u64, unowned, "{spout}");
            assert!(nobody.iter().all(|row| row["lag"].is_null()), "{spout}");
            assert_eq!(spout["lag"].as_u64(), sum, "{spout}");
        }
        None => assert!(spout["lag"].is_null(), "{spout}"),
    }
}

/// What each says of its own share, at one time; one that is gone says nothing.
fn shares(running: &[Running]) -> Vec<(String, BTreeMap<u64, Shown>)> {
    let answers = answers(running.iter(), "/statistics");
    let shares = answers
        .into_iter()
        .map(|(one, statistics)| (one.address.clone(), rows(&statistics["lag"][0]).collect()));
    shares.collect()
}

/// What each shows of all.
fn merged(running: &[Running]) -> Vec<(&Running, Value)> {
    answers(running.iter().filter(|one| one.shows_all), "/lag")
}

fn answers<'a>(
    running: impl Iterator<Item = &'a Running>,
    path: &str,
) -> Vec<(&'a Running, Value)> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = running
            .map(|one| {
                (
                    one,
                    scope.spawn(move || http::get(&one.address, path)?.json()),
                )
            })
            .collect();
        let answers = asked
            .into_iter()
            .filter_map(|(one, asked)| Some((one, asked.join().expect("no panic").ok()?)));
        answers.collect()
    })
}

fn rows(spout: &Value) -> impl Iterator<Item = (u64, Shown)> {
    let partitions = spout["partitions"].as_array().into_iter().flatten();
    partitions.map(|row| {
        let number = row["partition"].as_u64().expect("a number");
        let age = row["sampled_age_seconds"].as_f64().unwrap_or(0.0);
        (number, (row["lag"].as_i64(), Duration::from_secs_f64(age)))
    })
}

/// The lag is never above what was not committed when its sample was taken.
fn check(of: &str, before: Option<&Look>, partition: u64, (lag, age): Shown, ends: &[i64]) {
    let number = partition as usize;
    // What is older than the first look has committed nothing that is known of.
    let committed = before.map_or(0, |look| look.committed[number]);
    let most = ends[number] - committed;
    assert!(
        lag.is_none_or(|lag| lag <= most),
        "{partition}: {lag:?} of {most} at most ({ends:?}, {committed} committed), {age:?} old, of {of}"
    );
}

/// What the brokers said over time, and what follows from it.
#[derive(Default)]
struct Truth {
    looks: VecDeque<Look>,
    /// When, whom, and up to where it said to have settled a partition at least.
    settled: VecDeque<(Instant, String, usize, i64)>,
}

struct Look {
    at: Instant,
    ends: Vec<i64>,
    committed: Vec<i64>,
}

impl Truth {
    fn look(&mut self, kafka: &Kafka, group: &str) {
        let ends = kafka.end_offsets("logs").expect("it answers");
        let committed = kafka.committed(group, "logs").expect("it answers");
        let committed = committed.into_iter().map(|offset| offset.unwrap_or(0));
        self.looks.push_back(Look {
            at: wait::now(),
            ends,
            committed: committed.collect(),
        });
        if self.looks.len() > 1 && self.looks[1].at.elapsed() > REMEMBERED {
            let _ = self.looks.pop_front();
        }
    }

    /// The last look before the sample of a row that was `asked` for after it.
    fn before(&self, asked: Instant, (_, age): Shown) -> Option<&Look> {
        let mut looks = self.looks.iter().rev();
        looks.find(|look| asked.saturating_duration_since(look.at) >= age)
    }

    /// So much is settled by the lag that was shown, so commits follow: else it was too small.
    fn expect(&mut self, address: &str, partition: u64, settled: i64) {
        let claim = (wait::now(), address.to_owned(), partition as usize, settled);
        self.settled.push_back(claim);
    }

    fn confirm(&mut self, killed: &BTreeSet<String>) -> u64 {
        let look = self.looks.back().expect("it has looked");
        let due = |claim: &(Instant, String, usize, i64)| look.at >= claim.0 + COMMITTED_WITHIN;
        let mut confirmed = 0;
        while let Some((_, address, number, settled)) = self.settled.pop_front_if(|one| due(one)) {
            if killed.contains(&address) {
                continue;
            }
            let committed = look.committed[number];
            assert!(
                committed >= settled,
                "{address} said that {number} is settled up to {settled}, and {committed} are committed"
            );
            confirmed += 1;
        }
        confirmed
    }
}

/// Since when which replica says that it reads a partition.
#[derive(Default)]
struct Held {
    since: BTreeMap<(u64, String), Instant>,
    /// Partitions whose lag a replica did not show in time, at the last look.
    late: BTreeSet<(String, u64)>,
}

impl Held {
    fn look(&mut self, shares: &[(String, BTreeMap<u64, Shown>)]) {
        let now = wait::now();
        let mut before = std::mem::take(&mut self.since);
        for (address, share) in shares {
            for partition in share.keys() {
                let key = (*partition, address.clone());
                let since = before.remove(&key).unwrap_or(now);
                let _ = self.since.insert(key, since);
            }
        }
    }

    /// Who knows of a partition's reader shows its lag soon after it was given, and from then on. The partition
    /// may have moved since this was looked at, but not at two looks on end.
    fn check(&mut self, one: &Running, spout: &Value) {
        for (partition, (lag, _)) in rows(spout) {
            let mut of_known = one.knows.iter().filter_map(|address| {
                let since = self.since.get(&(partition, address.clone()))?;
                (since.elapsed() > KNOWN_WITHIN).then_some(address)
            });
            let late = (one.address.clone(), partition);
            match of_known.next() {
                Some(reader) if lag.is_none() => {
                    let reader = reader.clone();
                    let new = self.late.insert(late);
                    assert!(new, "{partition} is read by {reader}: {spout}");
                }
                _ => drop(self.late.remove(&late)),
            }
        }
    }
}
