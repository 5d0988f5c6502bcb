//! Whole topologies on one thread under a paused clock: random small graphs, random input, random
//! failures, crashes and stops. One seed reproduces all of it; an oracle looks at every step.
//!
//! `ISOBAR_SIMULATION_SEEDS=100000` runs so many seeds, `ISOBAR_SIMULATION_SEED=17` one of them;
//! `tests/run simulation` runs a thousand, on all cores.
//!
//! Each rule of the oracle has a mistake that it must catch when it is built in. Those of [`Plant`] are in what
//! is around the core (its operators, its settings, the group), which one build can have or not: the core has no
//! place for mistakes. Those of the core itself are patches of its sources, `plants/`, each for a build of its own:
//! `tests/run plants`.

mod bolts;
mod life;
mod mortal;
mod oracle;
mod scenario;
mod spout;
mod world;

use std::io::Write as _;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use testkit::services::setting;

use crate::scenario::Scenario;

/// Seeds of an ordinary run: some ten seconds in a debug build.
const SEEDS: u64 = 200;

/// Seeds that may be needed to see a mistake that was built in.
const CANARY_SEEDS: u64 = 100;

/// How long one seed may take by the clock on the wall. A task that never yields cannot be stopped from
/// within.
const SEED_LIMIT: Duration = Duration::from_secs(60);

/// A mistake built in on purpose, to see that the oracle finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// None.
    Nothing,
    /// A sink says that it has delivered what it lost.
    LosesABatch,
    /// Offsets are committed as soon as records are read.
    CommitsWhatWasRead,
    /// A sink calls an outage the records' fault.
    BlamesRecords,
    /// A sink marks a record as written, writes it, and believes the mark when it comes again.
    MarksBeforeItWrites,
    /// A sink says of records that it has that they were dropped.
    CountsAsDropped,
    /// A bolt that splits says of a part that it is delivered, and hands it on to nobody.
    LosesAPart,
    /// A sink keeps a batch for ever.
    KeepsABatch,
    /// A spout leaves out a record.
    SkipsARecord,
    /// More is in flight than may be.
    ReadsTooMuch,
    /// A spout never lets go of bytes that were in flight.
    KeepsBytes,
    /// Sinks keep what they have answered for, so that what waits keeps all of its batch in memory.
    KeepsRecords,
    /// More is read ahead of the frontier than may be.
    RunsAhead,
    /// More waits in queues than may.
    QueuesTooMuch,
    /// Records go to any lane where the order is promised.
    LosesTheOrder,
    /// Records of one key go to any lane.
    ScattersKeys,
    /// Not every lane gets a copy.
    LosesACopy,
    /// A drain goes on after its time.
    DrainsForLong,
    /// Edges that must wait drop what finds no room.
    DropsWhatMayWait,
    /// Edges that may drop do so by another policy than theirs.
    DropsByAnotherName,
    /// A spout goes on with what it has lost.
    KeepsWhatItLost,
    /// A spout hands out what no account knows of.
    ReadsBesideTheAccount,
    /// A spout that is to read everything says too early that it has.
    EndsEarly,
    /// A run that is to settle everything is stopped with records in flight.
    IsStopped,
    /// A spout that finds nothing looks again at once.
    NeverRests,
}

#[test]
fn seeds_hold() {
    let (first, count) = match number("ISOBAR_SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("ISOBAR_SIMULATION_SEEDS").unwrap_or(SEEDS)),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads as u64 {
            let _ = scope.spawn(move || {
                let guard = Guard::new();
                for seed in (first + thread..first + count).step_by(threads) {
                    guard.begins(seed);
                    if let Err(violation) = life::run(seed, Plant::Nothing) {
                        panic!("{violation}");
                    }
                }
            });
        }
    });
}

#[test]
fn a_seed_reproduces_a_run() {
    for seed in 0..20 {
        let (once, again) = (
            life::run(seed, Plant::Nothing),
            life::run(seed, Plant::Nothing),
        );
        assert!(once.is_ok() && once == again, "seed {seed}");
    }
}

#[test]
fn a_sink_that_answers_for_what_it_lost_is_caught() {
    let violation = first_violation(Plant::LosesABatch);
    assert!(violation.contains("passed record"), "{violation}");
}

#[test]
fn a_commit_of_what_is_still_open_is_caught() {
    let violation = first_violation(Plant::CommitsWhatWasRead);
    assert!(violation.contains("the commit of log"), "{violation}");
}

#[test]
fn an_outage_that_dead_letters_is_caught() {
    let violation = first_violation(Plant::BlamesRecords);
    assert!(
        violation.contains("without a reason of its own"),
        "{violation}"
    );
}

/// Between the mark and the record is no more than an await that is ready.
#[test]
fn a_mistake_that_shows_only_in_a_crash_between_two_ready_awaits_is_caught() {
    let plant = Plant::MarksBeforeItWrites;
    let violation = first_violation(plant);
    assert!(violation.contains("passed record"), "{violation}");
    // The clock stands still there, so crashes by the clock never come between.
    for seed in 0..CANARY_SEEDS {
        let scenario = || Scenario::of(seed).crashing_by_the_clock();
        let by_the_clock = life::run_as(scenario, plant);
        assert!(by_the_clock.is_ok(), "{by_the_clock:?}");
    }
}

/// One mistake for each of the other rules.
#[test]
fn every_rule_of_the_oracle_catches_the_mistake_that_it_is_there_for() {
    for (plant, told) in [
        (
            Plant::CountsAsDropped,
            "indexed, dropped, dead-lettered are",
        ),
        (Plant::LosesAPart, "passed record"),
        (Plant::KeepsABatch, "it hangs"),
        (
            Plant::SkipsARecord,
            "records were handed out, the account says",
        ),
        (Plant::ReadsTooMuch, "in flight are too much"),
        (Plant::KeepsBytes, "bytes of no record"),
        (Plant::KeepsRecords, "bytes are kept of"),
        (Plant::RunsAhead, "records are read and not committed"),
        (Plant::QueuesTooMuch, "is over its bound"),
        (Plant::LosesTheOrder, "gets offset"),
        (Plant::ScattersKeys, "on too many lanes"),
        (Plant::LosesACopy, "passed record"),
        (Plant::DrainsForLong, "the drain took"),
        (Plant::DropsWhatMayWait, "passed record"),
        (Plant::DropsByAnotherName, "passed record"),
        (Plant::KeepsWhatItLost, "was lost and is still read"),
        (
            Plant::ReadsBesideTheAccount,
            "records in flight, by the accounts 0",
        ),
        (Plant::EndsEarly, "the end of log"),
        (Plant::IsStopped, "ended as HandedBack"),
        (Plant::NeverRests, "it goes on for ever"),
    ] {
        let violation = first_violation(plant);
        assert!(violation.contains(told), "{plant:?}: {violation}");
    }
}

/// The first seed that shows the mistake, of seeds that hold without it.
fn first_violation(plant: Plant) -> String {
    let guard = Guard::new();
    for seed in 0..CANARY_SEEDS {
        guard.begins(seed);
        if let Err(violation) = life::run(seed, plant) {
            assert!(life::run(seed, Plant::Nothing).is_ok());
            return violation;
        }
    }
    panic!("{CANARY_SEEDS} seeds did not show that {plant:?}");
}

fn number(name: &str) -> Option<u64> {
    let text = setting(name)?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

/// Ends the test program when a seed does not come to an end by itself.
struct Guard(SyncSender<u64>);

impl Guard {
    fn new() -> Self {
        let (begins, begun) = sync_channel(1);
        let _ = std::thread::spawn(move || {
            let Ok(mut seed) = begun.recv() else { return };
            loop {
                match begun.recv_timeout(SEED_LIMIT) {
                    Ok(next) => seed = next,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        // Past the test harness, which keeps what is printed and dies with it.
                        let _ = writeln!(
                            std::io::stderr(),
                            "seed {seed}: not over within {SEED_LIMIT:?}: a task never yields"
                        );
                        std::process::abort();
                    }
                }
            }
        });
        Self(begins)
    }

    fn begins(&self, seed: u64) {
        let _ = self.0.send(seed);
    }
}
