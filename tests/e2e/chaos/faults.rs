//! The faults. Each part of the whole has its own series of them, one after the other, while those of
//! the other parts go on beside it. A series goes through its kinds in random order, then again.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::isobar::Isobar;
use testkit::proxy::Proxy;
use testkit::random::Random;
use testkit::services::{Kafka, Search};
use testkit::wait;

use super::trouble::{Part, Trouble};
use super::{LIMIT, SESSION};

/// So few that a bulk body takes seconds, and longer than its share of the connection; and fewer than a replica reads
/// from a broker.
const SLOW_BYTES_PER_SECOND: u64 = 50_000;

/// How long it may take until a member that goes on shows that it was put out meanwhile.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// One series.
pub(super) struct Faults<'t> {
    pub(super) random: Random,
    pub(super) until: Instant,
    pub(super) trouble: &'t Trouble,
    /// As [`Form::shows_all`](super::Form::shows_all).
    pub(super) shows_all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `kill -9`, and a start some seconds later.
    Kill,
    /// SIGSTOP until its group has put it out, and SIGCONT.
    Stop,
    /// SIGTERM and a start, one after the other.
    Roll,
    /// Connections are cut, several times in a row.
    Cut,
    /// Connections are slow.
    Slow,
    /// Connections pass nothing, and then are cut.
    Silence,
}

/// How often each was there.
struct Told(Part, Vec<(Kind, u32)>);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults of {:?}: {:?}", self.0, self.1)
    }
}

impl Faults<'_> {
    /// Faults of the replicas.
    pub(super) fn of_replicas(self, replicas: &mut [Isobar]) -> Result<String> {
        let (mut heard, mut refused) = (0, 0.0);
        let shows_all = self.shows_all;
        let told = self.series(
            Part::Replica,
            &[Kind::Kill, Kind::Stop, Kind::Roll],
            |kind, random| {
                let one = random.size(0..replicas.len());
                match kind {
                    Kind::Kill => {
                        replicas[one].kill9();
                        pause(random, 0..4_000);
                        replicas[one].start_again()?;
                    }
                    Kind::Stop => {
                        let before = put_out(&replicas[one])?;
                        replicas[one].pause();
                        let session = SESSION.as_millis() as u64;
                        pause(random, session + 2_000..session + 5_000);
                        replicas[one].resume();
                        let told = wait::until("the word", TOLD_WITHIN, || {
                            let after = put_out(&replicas[one])?;
                            ensure!(after.0 > before.0, "{after:?}");
                            Ok(())
                        });
                        heard += u32::from(told.is_ok());
                        refused += put_out(&replicas[one])?.1 - before.1;
                    }
                    _ => {
                        for replica in &mut *replicas {
                            // One that was killed a moment ago may not have come so far that it knows the signal.
                            wait_for_answer(replica)?;
                            let status = replica.stop(LIMIT)?;
                            let log = replica.process().log_tail();
                            ensure!(status.code() == Some(0), "{status}: {log}");
                            replica.start_again()?;
                            wait_for_answer(replica)?;
                        }
                    }
                }
                Ok(())
            },
        )?;
        ensure!(
            !shows_all || heard > 0 || refused > 0.0,
            "{told}: no stopped one was put out and came back"
        );
        Ok(format!(
            "{told}; {heard} times a stopped one was put out and came back, {refused} commits refused"
        ))
    }

    /// Faults of the brokers: never two of them at once.
    pub(super) fn of_brokers(self, kafka: &mut Kafka) -> Result<String> {
        let told = self.series(Part::Broker, &[Kind::Kill], |_, random| {
            let one = random.size(0..kafka.nodes());
            kafka.kill9_node(one);
            pause(random, 1_000..8_000);
            kafka.start_node_again(one)
        })?;
        Ok(told.to_string())
    }

    /// Faults of Elasticsearch and of the way there.
    pub(super) fn of_search(self, search: &mut Search, proxy: &Proxy) -> Result<String> {
        let kinds = [Kind::Kill, Kind::Cut, Kind::Slow, Kind::Silence];
        let told = self.series(Part::Search, &kinds, |kind, random| {
            match kind {
                Kind::Kill => {
                    search.kill9();
                    pause(random, 0..4_000);
                    search.restart()?;
                }
                Kind::Cut => {
                    let _ = cut(random, |_| proxy);
                }
                Kind::Slow => slow(random, proxy),
                _ => {
                    proxy.silence();
                    pause(random, 2_000..5_000);
                    let _ = proxy.cut();
                    proxy.pass();
                }
            }
            Ok(())
        })?;
        Ok(told.to_string())
    }

    /// Faults of the ways from replicas to brokers, of which each broker has its own.
    pub(super) fn of_ways(self, ways: &[Proxy]) -> Result<String> {
        let (mut cuts, shows_all) = (0, self.shows_all);
        let one_of = |random: &mut Random| &ways[random.size(0..ways.len())];
        let slowed = || ways.iter().map(Proxy::slowed).sum::<u64>();
        let before = slowed();
        let told = self.series(Part::Way, &[Kind::Cut, Kind::Slow], |kind, random| {
            match kind {
                Kind::Cut => cuts += cut(random, one_of),
                _ => {
                    let way = one_of(random);
                    slow(random, way);
                }
            }
            Ok(())
        })?;
        let slowed = slowed() - before;
        ensure!(
            !shows_all || cuts > 0 && slowed > 0,
            "{told}: {cuts} connections cut, {slowed} bytes slowed"
        );
        Ok(format!(
            "{told}; {cuts} connections cut, {slowed} bytes slowed"
        ))
    }

    fn series(
        mut self,
        part: Part,
        kinds: &[Kind],
        mut strike: impl FnMut(Kind, &mut Random) -> Result<()>,
    ) -> Result<Told> {
        let mut told: Vec<(Kind, u32)> = kinds.iter().map(|kind| (*kind, 0)).collect();
        let mut lasted = Duration::ZERO;
        loop {
            let mut left: Vec<usize> = (0..kinds.len()).collect();
            while !left.is_empty() {
                if part == Part::Search {
                    // Where its starts take long it would be away most of the time, and nothing known of it.
                    let time_left = self.until.saturating_duration_since(wait::now());
                    wait::rest(lasted.min(time_left));
                }
                pause(&mut self.random, rests(part));
                let next = left.swap_remove(self.random.size(0..left.len()));
                let (fault, began) = (self.trouble.begin(part), wait::now());
                strike(kinds[next], &mut self.random)?;
                drop(fault);
                lasted = began.elapsed();
                told[next].1 += 1;
                let each_was_there = told.iter().all(|(_, times)| *times > 0);
                if each_was_there && wait::now() >= self.until {
                    return Ok(Told(part, told));
                }
            }
        }
    }
}

/// Cuts what goes by way of a proxy, each time of one that is chosen anew, several times in a row. Returns how many
/// connections that were.
fn cut<'p>(random: &mut Random, choose: impl Fn(&mut Random) -> &'p Proxy) -> usize {
    let mut cuts = 0;
    for _ in 0..random.within(3..8) {
        cuts += choose(random).cut();
        pause(random, 20..700);
    }
    cuts
}

/// Slows down what goes by way of a proxy for some seconds.
fn slow(random: &mut Random, proxy: &Proxy) {
    proxy.slow(SLOW_BYTES_PER_SECOND);
    pause(random, 2_000..5_000);
    proxy.pass();
}

fn wait_for_answer(replica: &mut Isobar) -> Result<()> {
    let answer = replica.wait_for("an answer", LIMIT, |address| {
        testkit::http::get(address, "/accounting")?.json()
    });
    answer.map(drop)
}

/// How often a replica's partitions were taken or given, and how many of its commits were refused.
fn put_out(replica: &Isobar) -> Result<(f64, f64)> {
    wait::until("the counts of the group", LIMIT, || {
        let count = |name| super::spout_count(replica, name);
        Ok((count("rebalances")?, count("failed_commits")?))
    })
}

/// Milliseconds from a fault to the next one. The index has long rests among them, in which it has to be known
/// what is in it.
fn rests(part: Part) -> std::ops::Range<u64> {
    match part {
        Part::Search => 300..9_000,
        Part::Replica | Part::Broker | Part::Way => 300..3_000,
    }
}

fn pause(random: &mut Random, milliseconds: std::ops::Range<u64>) {
    wait::rest(Duration::from_millis(random.within(milliseconds)));
}
