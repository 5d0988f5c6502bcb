//! One life of the process after the other: the topology on one thread, and beside it the group's
//! coordinator, who moves partitions around and takes commits.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::grouping::KeyHash;
use isobar_topology::{
    BoltNode, Finish, Graph, Grouping, MakeSpout, OnFull, Output, Overload, Partition, Record,
    Running, SpoutNode, Symbols, Target, clock, start_here, testing,
};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::Plant;
use crate::bolts::Bolted;
use crate::scenario::{Bound, CALM, Edge, Ending, Full, Rejected, Scenario, Way};
use crate::spout::{Event, Mailbox, Reader};
use crate::world::{Life, World};

/// A run that took longer hangs: back-offs and restarts of all poison records fit in some hours.
const LIMIT: Duration = Duration::from_secs(3 * 3_600);
/// How long bolts may take to close after a drain; as in the core.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// How long a revoke waits for what is in flight.
const REVOKE_DRAIN: Duration = Duration::from_millis(500);

/// Runs a scenario; gives its history as a number, or what was wrong.
pub fn run(seed: u64, plant: Plant) -> Result<u64, String> {
    run_as(|| Scenario::of(seed), plant)
}

/// The same for any scenario, which may have to be made twice.
pub fn run_as(scenario: impl Fn() -> Scenario, plant: Plant) -> Result<u64, String> {
    let world = World::new(scenario(), plant, false);
    live_all(&world);
    let mut state = world.lock();
    match state.violation.take() {
        None => Ok(state.history.hash),
        Some(_) => Err(retell(scenario(), plant)),
    }
}

/// Runs once more and writes down what happens.
fn retell(scenario: Scenario, plant: Plant) -> String {
    let seed = scenario.seed;
    let world = World::new(scenario, plant, true);
    live_all(&world);
    let mut state = world.lock();
    let lines = state.history.lines.take().unwrap_or_default();
    let lines: Vec<String> = lines.into();
    let what = state.violation.take().unwrap_or("not again".to_owned());
    format!(
        "{:#?}\n{}\nseed {seed}: {what}\nagain: ISOBAR_SIMULATION_SEED={seed} cargo test -p isobar-tests --test simulation seeds",
        world.scenario,
        lines.join("\n"),
    )
}

fn live_all(world: &Arc<World>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O always starts");
    for ending in world.scenario.lives.clone() {
        // A crash ends the tasks with it.
        let tasks = LocalSet::new();
        runtime.block_on(tasks.run_until(live(world, ending, &tasks)));
        if world.lock().violation.is_some() {
            break;
        }
    }
    // The world holds the last life, and what that is made of holds the world.
    let last = world.lock().life.running.take();
    drop(last);
}

async fn live(world: &Arc<World>, ending: Ending, tasks: &LocalSet) {
    let mailboxes: Vec<Vec<Arc<Mailbox>>> = (0..world.scenario.spouts.len())
        .map(|_| (0..world.scenario.lanes).map(|_| Arc::default()).collect())
        .collect();
    let last = ending == Ending::CaughtUp;
    let graph = graph(world, &mailboxes);
    let running = Arc::new(start_here(graph, last, tasks).expect("simulated spouts start"));
    {
        let mut state = world.lock();
        state.life = Life {
            running: Some(Arc::clone(&running)),
            began: Some(clock::now()),
            last,
            points_left: match ending {
                Ending::CrashAt(points) => Some(points),
                Ending::Crash(_) | Ending::Stop(_) | Ending::CaughtUp => None,
            },
            ..Life::default()
        };
        state.logs.iter_mut().for_each(|log| log.lost = false);
        state
            .records
            .iter_mut()
            .for_each(|record| record.blame.clear());
        state.note(|line| write!(line, "a life begins that ends with {ending:?}"));
    }
    let coordinator = Coordinator {
        world: Arc::clone(world),
        running: Arc::clone(&running),
        mailboxes,
        owned: vec![None; world.lock().logs.len()],
    };
    tokio::select! {
        biased;
        () = world.violated.notified() => {}
        () = world.died.notified() => {}
        () = world.alive(coordinator.work()) => unreachable!("it works until the life is over"),
        () = end(world, &running, ending) => {}
        () = tokio::time::sleep(LIMIT) => {
            let conditions = running.health().conditions();
            let text = format!("it hangs; wrong is {conditions:?}");
            world.violate(&mut world.lock(), || text);
        }
    }
}

async fn end(world: &Arc<World>, running: &Running, ending: Ending) {
    let finish = match ending {
        Ending::Crash(after) => return tokio::time::sleep(Duration::from_millis(after)).await,
        Ending::CrashAt(_) => return std::future::pending().await,
        Ending::Stop(after) => {
            tokio::time::sleep(Duration::from_millis(after)).await;
            world.lock().note(|line| write!(line, "stop"));
            running.stop();
            let began = clock::now();
            let finish = running.finished().await;
            let limit = world.scenario.drain_timeout + CLOSE_LIMIT + Duration::from_millis(10);
            let took = clock::now() - began;
            if took > limit {
                world.violate(&mut world.lock(), || format!("the drain took {took:?}"));
            }
            finish
        }
        Ending::CaughtUp if world.plant == Plant::IsStopped => {
            while (0..world.scenario.spouts.len()).all(|spout| running.in_flight(spout).0 == 0) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            running.stop();
            running.finished().await
        }
        Ending::CaughtUp => running.finished().await,
    };
    world.check();
    world.check_counts();
    let mut open = 0;
    let mut handed_back = 0;
    for spout in 0..world.scenario.spouts.len() {
        let account = running.account(spout);
        open += account.in_flight as usize + running.in_flight(spout).1;
        handed_back += account.handed_back;
    }
    // Revoked partitions hand records back too, and the run goes on.
    let expected = match (ending, world.scenario.rebalance_every) {
        (Ending::CaughtUp, _) => Some(Finish::Drained),
        (_, None) if handed_back == 0 => Some(Finish::Drained),
        (_, None) => Some(Finish::HandedBack),
        (_, Some(_)) => None,
    };
    if open > 0 || expected.is_some_and(|expected| expected != finish) {
        world.violate(&mut world.lock(), || {
            format!(
                "ended as {finish:?} with {open} records or bytes open, {handed_back} handed back"
            )
        });
    }
    if ending == Ending::CaughtUp {
        world.check_caught_up();
    }
}

/// The coordinator of the group and the clients' callbacks.
struct Coordinator {
    world: Arc<World>,
    running: Arc<Running>,
    /// By spout and lane.
    mailboxes: Vec<Vec<Arc<Mailbox>>>,
    /// The lane that each log was given to.
    owned: Vec<Option<usize>>,
}

impl Coordinator {
    async fn work(mut self) {
        for log in 0..self.owned.len() {
            self.assign(log);
        }
        let every = self.world.scenario.rebalance_every;
        let mut next_change = every.map(|every| self.soon(every));
        self.settled_down(next_change.is_none());
        loop {
            // Commits are frequent while things move, then rare: a run may last for hours.
            let pause = if self.world.calm() { 5_000 } else { 100 };
            let commit = clock::now() + Duration::from_millis(pause);
            let change = next_change.unwrap_or(commit);
            tokio::time::sleep_until(commit.min(change)).await;
            self.commit_all().await;
            if next_change.is_some_and(|at| at <= clock::now()) {
                self.change().await;
                next_change = match every {
                    Some(every) if !self.is_over() => Some(self.soon(every)),
                    _ => None,
                };
                self.settled_down(next_change.is_none());
            }
        }
    }

    /// Whether the assignment stays as it is: a bounded run has to end.
    fn is_over(&self) -> bool {
        self.world.lock().life.last && self.world.elapsed() > CALM / 2
    }

    fn settled_down(&self, is: bool) {
        self.world.lock().life.settled_down = is;
    }

    fn soon(&self, every: u64) -> clock::Instant {
        clock::now() + Duration::from_millis(self.world.within(0..2 * every))
    }

    /// Takes a partition from its lane, by revoke or at once, and gives it to another one. Now and then
    /// all bolts are killed before.
    async fn change(&mut self) {
        if self.world.chance(100) {
            let away = self.world.within(0..3_000);
            let mut state = self.world.lock();
            state.note(|line| write!(line, "all bolts are killed for {away} ms"));
            drop(state);
            self.running.kill_bolts(Duration::from_millis(away));
        }
        if self.owned.is_empty() {
            return;
        }
        let log = self.world.within(0..self.owned.len() as u64) as usize;
        let Some(lane) = self.owned[log] else {
            return;
        };
        let partition = self.partition(log);
        let spout = self.world.lock().logs[log].spout;
        let mailbox = Arc::clone(&self.mailboxes[spout][lane]);
        if mailbox.take_back(log) {
            self.note(log, "is taken back");
            self.owned[log] = None;
        } else if self.world.chance(300) {
            self.note(log, "is lost");
            let assigned = self.world.lock().logs[log].assigned;
            mailbox.put(Event::Lose(log, partition, assigned));
            self.owned[log] = None;
        } else {
            self.note(log, "is revoked");
            let deadline = clock::now() + REVOKE_DRAIN;
            let (done, answered) = oneshot::channel();
            mailbox.put(Event::Revoke(log, partition, deadline, done));
            // The lane may be too busy to answer; the group does not wait for it.
            let _ = tokio::time::timeout(2 * REVOKE_DRAIN, answered).await;
            self.commit(log);
            self.owned[log] = None;
        }
        let away = Duration::from_millis(self.world.within(0..1_000));
        tokio::time::sleep(away).await;
        if self.world.chance(200) {
            self.progress_elsewhere(log);
        }
        self.assign(log);
    }

    /// Another member had the partition meanwhile and settled some records.
    fn progress_elsewhere(&self, log: usize) {
        let mut guard = self.world.lock();
        let state = &mut *guard;
        let records = state.random.size(1..10);
        let known = &mut state.logs[log];
        let from = known.offsets.partition_point(|o| *o < known.committed);
        let to = known.offsets.len().min(from + records);
        if let Some(next) = known.offsets[from..to].last() {
            known.committed = next + 1;
        }
        for at in from..to {
            state.records[known.first + at].foreign = true;
        }
    }

    fn assign(&mut self, log: usize) {
        let lane = self.world.within(0..self.world.scenario.lanes as u64) as usize;
        self.note(log, "is assigned");
        let partition = match self.world.plant {
            Plant::ReadsBesideTheAccount => self.opened(log, 8),
            _ => self.partition(log),
        };
        let mut state = self.world.lock();
        state.logs[log].assigned += 1;
        state.logs[log].lost = false;
        let (spout, start) = (state.logs[log].spout, state.logs[log].committed);
        self.mailboxes[spout][lane].put(Event::Assign(log, partition, start));
        self.owned[log] = Some(lane);
    }

    async fn commit_all(&self) {
        self.world.check();
        for log in 0..self.owned.len() {
            self.world.point().await;
            if self.owned[log].is_some() {
                self.commit(log);
            }
        }
    }

    /// Commits what is settled, or more, if that is the mistake to be found.
    fn commit(&self, log: usize) {
        let account = self.partition(log).account();
        let offset = match self.world.plant {
            Plant::CommitsWhatWasRead => account.next,
            _ => account.frontier,
        };
        let mut state = self.world.lock();
        let Some(offset) = offset.filter(|offset| *offset > state.logs[log].committed) else {
            return;
        };
        self.world
            .check_passed(&mut state, log, offset, "the commit");
        state.logs[log].committed = offset;
        state.note(|line| write!(line, "log {log} is committed up to {offset}"));
    }

    fn partition(&self, log: usize) -> Arc<Partition> {
        self.opened(log, 7)
    }

    /// As a source that goes by this number.
    fn opened(&self, log: usize, source: u64) -> Arc<Partition> {
        let state = self.world.lock();
        let log = &state.logs[log];
        let partitions = self.running.partitions(log.spout);
        partitions.open(&format!("in-{}", log.spout), log.number, source)
    }

    fn note(&self, log: usize, what: &str) {
        let mut state = self.world.lock();
        state.note(|line| write!(line, "log {log} {what}"));
    }
}

fn graph(world: &Arc<World>, mailboxes: &[Vec<Arc<Mailbox>>]) -> Graph {
    let scenario = &world.scenario;
    let plant = world.plant;
    // A bound that is not kept.
    let more = |planted: Plant, bound: usize| match plant == planted {
        true => 20 * bound,
        false => bound,
    };
    let spouts = scenario.spouts.iter().enumerate().map(|(number, plan)| {
        let (world, mailboxes) = (Arc::clone(world), mailboxes[number].clone());
        SpoutNode {
            id: format!("in-{number}").into(),
            start: Box::new(move |context| {
                let lanes = mailboxes.iter().map(|mailbox| {
                    let (world, mailbox) = (Arc::clone(&world), Arc::clone(mailbox));
                    let make: MakeSpout =
                        Box::new(move || Reader::any(&world, &mailbox, context.bounded));
                    make
                });
                Ok(lanes.collect())
            }),
            out: targets(scenario, &plan.out, plant),
            overload: overload(plan.overload, scenario.policy_of_spout(number)),
            max_in_flight_records: more(Plant::ReadsTooMuch, scenario.max_in_flight_records),
            max_in_flight_bytes: more(Plant::ReadsTooMuch, scenario.max_in_flight_bytes),
            max_uncommitted: more(Plant::RunsAhead, scenario.max_uncommitted),
        }
    });
    let letters = scenario.letters();
    let bolts = scenario.bolts.iter().enumerate().map(|(number, plan)| {
        let world = Arc::clone(world);
        let local = |bolt, dead_letter| {
            vec![Target {
                bolt,
                grouping: Grouping::Local,
                dead_letter,
                overload: Overload::default(),
            }]
        };
        let rejected = match plan.rejected {
            _ if number == letters => Output::To(Vec::new()),
            Rejected::DeadLetter => Output::To(local(letters, true)),
            Rejected::To(bolt) => Output::To(local(bolt, false)),
            Rejected::Drop => Output::Drop(testing::policy(number + 1)),
        };
        BoltNode {
            id: format!("bolt-{number}").into(),
            make: Arc::new(move |context| Bolted::any(&world, number, &context)),
            outputs: vec![
                Output::To(targets(scenario, &plan.out, plant)),
                rejected,
                Output::To(targets(scenario, &plan.other, plant)),
            ],
        }
    });
    Graph {
        name: "simulated".to_owned(),
        lanes: scenario.lanes,
        symbols: Arc::new(Symbols::new()),
        policies: (0..scenario.policy_of_spout(scenario.spouts.len()))
            .map(|n| format!("policy-{n}"))
            .collect(),
        lossy: BTreeSet::new(),
        spouts: spouts.collect(),
        bolts: bolts.collect(),
        retry: scenario.retry,
        reject_limit: None,
        drain_timeout: match plant {
            Plant::DrainsForLong => scenario.drain_timeout + 10 * CLOSE_LIMIT,
            Plant::IsStopped => Duration::ZERO,
            _ => scenario.drain_timeout,
        },
        queue_batches: more(Plant::QueuesTooMuch, scenario.queue_batches),
        queue_bytes: more(Plant::QueuesTooMuch, scenario.queue_bytes),
    }
}

fn targets(scenario: &Scenario, edges: &[Edge], plant: Plant) -> Vec<Target> {
    let targets = edges.iter().map(|edge| Target {
        bolt: edge.to,
        grouping: match edge.way {
            Way::Local if plant == Plant::LosesTheOrder => Grouping::Shuffle,
            Way::Fields | Way::PartialKey | Way::Global if plant == Plant::ScattersKeys => {
                Grouping::Shuffle
            }
            Way::All if plant == Plant::LosesACopy => Grouping::Shuffle,
            Way::Local => Grouping::Local,
            Way::Shuffle => Grouping::Shuffle,
            Way::Fields => Grouping::Fields(Arc::new(|record| hash(record).slot())),
            Way::PartialKey => Grouping::PartialKey(Arc::new(|record| hash(record).slots())),
            Way::All => Grouping::All,
            Way::Global => Grouping::Global,
        },
        dead_letter: false,
        overload: match plant {
            Plant::DropsWhatMayWait if !edge.overload.is_lossy() => Overload {
                throttle: None,
                on_full: OnFull::DropNewest(testing::policy(scenario.policy_of_bolt(edge.to))),
            },
            Plant::DropsByAnotherName => overload(edge.overload, 0),
            _ => overload(edge.overload, scenario.policy_of_bolt(edge.to)),
        },
    });
    targets.collect()
}

fn hash(record: Record<'_>) -> KeyHash {
    let mut hash = KeyHash::default();
    hash.add(Some(record.key().unwrap_or_default()));
    hash
}

fn overload(bound: Bound, policy: usize) -> Overload {
    let policy = testing::policy(policy);
    Overload {
        throttle: (bound.throttle).map(|rate| format!("{rate}/s").parse().expect("a rate")),
        on_full: match bound.full {
            Full::Wait => OnFull::Block,
            Full::DropNewest => OnFull::DropNewest(policy),
            Full::DropOldest => OnFull::DropOldest(policy),
            Full::Sample(percent) => OnFull::Sample {
                keep: percent as f64 / 100.0,
                policy,
            },
        },
    }
}
