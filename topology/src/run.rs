//! Runs a [`Graph`]: lanes, tasks on them, a stop that loses nothing, and what is going on meanwhile.

pub(crate) mod bolt_task;
mod edges;
mod in_flight;
mod inbox;
mod pause;
mod pulse;
mod recoveries;
mod reject_limit;
mod retries;
mod router;
mod signals;
mod spout_task;
mod tap;

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use crate::clock;
use crate::dropped::Dropped;
use crate::error::OperatorError;
use crate::graph::{BoltContext, Graph, MakeSpout, SpoutContext};
use crate::health::{Condition, Health};
use crate::latency::Latency;
use crate::memory;
use crate::overload::Throttle;
use crate::partition::{Account, Partitions};
use crate::run::bolt_task::{BoltTask, Member};
use crate::run::edges::Edges;
use crate::run::in_flight::InFlight;
use crate::run::inbox::{Receiver, inbox};
use crate::run::pause::Pause;
use crate::run::pulse::Pulse;
pub use crate::run::recoveries::Recoveries;
use crate::run::reject_limit::Limiter;
pub use crate::run::reject_limit::RejectLimit;
use crate::run::retries::Retries;
use crate::run::router::{Inboxes, Router};
use crate::run::signals::{Flushes, Kills, Phase, Phases, Signals};
use crate::run::spout_task::{SpoutTask, UNCOMMITTED};
pub use crate::run::tap::{Tap, Tapped, Text};
use crate::statistics::{BoltCounts, BoltStatistics, Counters};
use crate::stream::Stream;

/// How long bolts may take to close after their spouts have closed: what is in flight then was handed
/// back already.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A topology at work. Dropping it neither stops nor waits; call [`Running::stop`] and
/// [`Running::finished`].
pub struct Running {
    shared: Arc<Shared>,
    finished: watch::Receiver<Option<Finish>>,
}

/// A spout or bolt of which not every copy is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOpen {
    /// Its id.
    pub component: Arc<str>,
    /// Copies that are open.
    pub open: usize,
    /// Copies that there should be.
    pub of: usize,
}

/// A lane as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLife {
    /// It has ended: with the topology, or by a fault of the runtime.
    pub ended: bool,
    /// How long ago it gave the last sign of life. It gives one a second unless an operator blocks
    /// its thread; unknown before the first.
    pub quiet: Option<Duration>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Nothing was in flight any more: everything that was read is settled, or was handed back before
    /// when its partition moved to another member.
    Drained,
    /// The drain's deadline passed; what was in flight is handed back.
    HandedBack,
    /// A lane ended by a fault of the runtime itself.
    Broken(String),
}

struct Shared {
    graph: Graph,
    limiter: Option<Arc<Limiter>>,
    phases: Arc<Phases>,
    flushes: Arc<Flushes>,
    kills: Arc<Kills>,
    recoveries: Recoveries,
    health: Health,
    spouts: Vec<SpoutState>,
    bolts: Vec<Arc<BoltStatistics>>,
    edges: Edges,
    inboxes: Inboxes,
    heads: Vec<usize>,
    /// Spout tasks that have not ended yet, over all lanes.
    reading: AtomicUsize,
    /// Lanes that have not ended yet.
    lanes: AtomicUsize,
    pulses: Vec<Pulse>,
    /// A spout ended with records in flight.
    handed_back: AtomicBool,
    broken: Mutex<Option<String>>,
    finish: watch::Sender<Option<Finish>>,
}

struct SpoutState {
    partitions: Arc<Partitions>,
    in_flight: Arc<InFlight>,
    pause: Arc<Pause>,
    /// Slows down all lanes together.
    throttle: Option<Arc<Throttle>>,
    counters: Counters,
    /// Copies that there are, one per lane at most.
    copies: usize,
    /// Copies that have been opened.
    opened: Arc<AtomicUsize>,
}

/// How the lanes are run.
enum Place<'a> {
    /// A thread for each.
    Threads,
    /// All on the caller's thread: one seed and a paused clock reproduce a run.
    Here(&'a LocalSet),
}

/// Starts a topology on threads of its own. `bounded`: read what is there at the start, then end.
///
/// Fails when a spout cannot be started for a reason that trying again does not cure.
pub fn start(graph: Graph, bounded: bool) -> Result<Running, OperatorError> {
    start_at(graph, bounded, &Place::Threads)
}

/// Starts a topology with all lanes on one thread, for simulations under a paused clock.
pub fn start_here(graph: Graph, bounded: bool, on: &LocalSet) -> Result<Running, OperatorError> {
    start_at(graph, bounded, &Place::Here(on))
}

fn start_at(graph: Graph, bounded: bool, place: &Place<'_>) -> Result<Running, OperatorError> {
    assert!(
        (1..=255).contains(&graph.lanes),
        "the planner bounds the number of lanes"
    );
    let health = Health::default();
    let mut spouts = Vec::new();
    let mut lanes: Vec<Lane> = (0..graph.lanes).map(|_| Lane::default()).collect();
    let read: Vec<_> = (graph.spouts.iter())
        .map(|node| (Arc::clone(&node.id), Arc::<Partitions>::default()))
        .collect();
    let dropped = Dropped::new(&graph.policies, &graph.lossy, read.clone());
    for (number, node) in graph.spouts.iter().enumerate() {
        let partitions = Arc::clone(&read[number].1);
        let counters = Counters::default();
        let context = SpoutContext {
            id: Arc::clone(&node.id),
            topology: graph.name.as_str().into(),
            lanes: graph.lanes,
            bounded,
            partitions: Arc::clone(&partitions),
            dropped: dropped.clone(),
            health: health.clone(),
            counters: counters.clone(),
        };
        let copies = (node.start)(context)?;
        let count = copies.len();
        for (lane, make) in copies.into_iter().enumerate() {
            lanes[lane % graph.lanes].spouts.push((number, make));
        }
        let in_flight = InFlight::new(node.max_in_flight_records, node.max_in_flight_bytes);
        spouts.push(SpoutState {
            partitions,
            in_flight: Arc::new(in_flight),
            pause: Arc::default(),
            throttle: (node.overload.throttle).map(|rate| Arc::new(Throttle::new(rate))),
            counters,
            copies: count,
            opened: Arc::default(),
        });
    }
    let of_spouts = spouts.iter().map(|spout| Arc::clone(&spout.partitions));
    let of_spouts: Vec<_> = of_spouts.collect();
    let limiter = (graph.reject_limit).map(|limit| {
        let retry_max = graph.retry.max;
        Arc::new(Limiter::new(
            limit,
            retry_max,
            of_spouts,
            health.of_records(),
        ))
    });
    let heads = graph.tasks();
    let mut inboxes = Vec::new();
    for lane in &mut lanes {
        let mut senders = vec![None; graph.bolts.len()];
        for head in (0..graph.bolts.len()).filter(|bolt| heads[*bolt] == *bolt) {
            let (sender, receiver) = inbox(graph.queue_batches, graph.queue_bytes);
            senders[head] = Some(sender);
            let _ = lane.inboxes.insert(head, receiver);
        }
        inboxes.push(senders);
    }
    let reading = lanes.iter().map(|lane| lane.spouts.len()).sum();
    let (finish, finished) = watch::channel(None);
    let shared = Arc::new(Shared {
        limiter,
        phases: Arc::default(),
        flushes: Arc::default(),
        kills: Arc::default(),
        recoveries: Recoveries::default(),
        health,
        spouts,
        bolts: graph.bolts.iter().map(|_| Arc::default()).collect(),
        edges: Edges::new(&graph),
        inboxes: Arc::new(inboxes),
        heads,
        reading: AtomicUsize::new(reading),
        lanes: AtomicUsize::new(graph.lanes),
        pulses: (0..graph.lanes).map(|_| Pulse::default()).collect(),
        handed_back: AtomicBool::new(false),
        broken: Mutex::new(None),
        finish,
        graph,
    });
    for (number, lane) in lanes.into_iter().enumerate() {
        let shared = Arc::clone(&shared);
        match place {
            Place::Threads => start_thread(number, lane, shared)?,
            Place::Here(local) => {
                drop(local.spawn_local(shared.run_lane(number, lane)));
            }
        }
    }
    Ok(Running { shared, finished })
}

fn start_thread(number: usize, lane: Lane, shared: Arc<Shared>) -> Result<(), OperatorError> {
    let name = format!("lane-{number}");
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        match runtime {
            Ok(runtime) => {
                LocalSet::new().block_on(&runtime, shared.run_lane(number, lane));
            }
            Err(error) => {
                shared.break_with(format!("lane {number} has no runtime: {error}"));
                shared.pulses[number].end();
                shared.lane_ended();
            }
        }
    };
    match std::thread::Builder::new().name(name).spawn(body) {
        Ok(_detached) => Ok(()),
        Err(error) => {
            Err(OperatorError::internal("a lane's thread could not be started").with_source(error))
        }
    }
}

/// What is handed to a lane when it starts.
#[derive(Default)]
struct Lane {
    spouts: Vec<(usize, MakeSpout)>,
    inboxes: BTreeMap<usize, Receiver>,
}

impl Shared {
    /// Runs all tasks of a lane until the topology has ended.
    async fn run_lane(self: Arc<Self>, number: usize, lane: Lane) {
        let body = Arc::clone(&self).run_tasks(number, lane);
        if std::panic::AssertUnwindSafe(body)
            .catch_unwind()
            .await
            .is_err()
        {
            self.break_with(format!("lane {number} panicked outside of any operator"));
        }
        self.pulses[number].end();
        self.lane_ended();
    }

    async fn run_tasks(self: Arc<Self>, lane: usize, parts: Lane) {
        let signals = Signals::new(&self.phases, &self.flushes, &self.kills);
        let mut tasks = JoinSet::new();
        for (head, receiver) in parts.inboxes {
            let task = self.bolt_task(lane, head, receiver, signals.clone());
            let _ = tasks.spawn_local(task.run());
        }
        let rejected = Rc::new(
            self.graph
                .bolts
                .iter()
                .enumerate()
                .map(|(number, bolt)| {
                    let output = bolt.output(Stream::REJECTED);
                    let sent = self.edges.of_stream(number, Stream::REJECTED.index());
                    Router::new(lane, None, output, sent, &self.heads, &self.inboxes)
                        .limited(self.limiter.as_ref(), &self.graph.bolts)
                })
                .collect::<Vec<_>>(),
        );
        for (number, make) in parts.spouts {
            let task = self.spout_task(lane, number, make, &rejected, signals.clone());
            let shared = Arc::clone(&self);
            let _ = tasks.spawn_local(async move {
                let settled = task.run().await;
                shared.spout_ended(settled);
            });
        }
        let cut_off = signals.closed_for(CLOSE_TIMEOUT);
        tokio::pin!(cut_off);
        let mut beat = Pulse::interval();
        let mut beats = 0;
        loop {
            tokio::select! {
                biased;
                ended = tasks.join_next() => match ended {
                    None => return,
                    Some(Ok(())) => {}
                    Some(Err(error)) => {
                        self.break_with(format!("a task of lane {lane} ended by a fault: {error}"));
                        return;
                    }
                },
                _ = beat.tick() => {
                    self.pulses[lane].beat();
                    beats += 1;
                    if beats % memory::BEATS == 0 {
                        memory::give_back(lane);
                    }
                }
                () = &mut cut_off => {
                    tracing::warn!(lane, "Bolts that did not close in time were cut off");
                    return;
                }
            }
        }
    }

    fn bolt_task(&self, lane: usize, head: usize, inbox: Receiver, signals: Signals) -> BoltTask {
        let graph = &self.graph;
        let members = (0..graph.bolts.len()).filter(|bolt| self.heads[*bolt] == head);
        let members = members.map(|number| {
            let node = &graph.bolts[number];
            let routers = node.outputs.iter().enumerate().map(|(stream, output)| {
                let sent = self.edges.of_stream(number, stream);
                Router::new(lane, Some(head), output, sent, &self.heads, &self.inboxes)
                    .limited(self.limiter.as_ref(), &graph.bolts)
            });
            Member {
                number,
                context: BoltContext {
                    id: Arc::clone(&node.id),
                    topology: graph.name.as_str().into(),
                    lane,
                    lanes: graph.lanes,
                    health: self.health.clone(),
                    counters: self.bolts[number].own().clone(),
                    request_times: self.bolts[number].request_times().clone(),
                    recoveries: self.recoveries.clone(),
                },
                make: Arc::clone(&node.make),
                bolt: None,
                routers: routers.collect(),
                statistics: Arc::clone(&self.bolts[number]),
                setbacks: 0,
                failing: false,
                away_until: None,
            }
        });
        BoltTask {
            members: members.collect(),
            inbox,
            signals,
            detached: JoinSet::new(),
        }
    }

    fn spout_task(
        &self,
        lane: usize,
        number: usize,
        make: MakeSpout,
        rejected: &Rc<Vec<Router>>,
        signals: Signals,
    ) -> SpoutTask {
        let graph = &self.graph;
        let node = &graph.spouts[number];
        SpoutTask {
            id: Arc::clone(&node.id),
            spout: make().0,
            symbols: Arc::clone(&graph.symbols),
            out: Rc::new(Router::to(
                lane,
                None,
                &node.out,
                self.edges.of_spout(number),
                &self.heads,
                &self.inboxes,
            )),
            rejected: Rc::clone(rejected),
            bolts: graph
                .bolts
                .iter()
                .map(|bolt| Arc::clone(&bolt.id))
                .collect(),
            statistics: self.bolts.clone(),
            in_flight: Arc::clone(&self.spouts[number].in_flight),
            pause: Arc::clone(&self.spouts[number].pause),
            opened: Arc::clone(&self.spouts[number].opened),
            max_uncommitted: node.max_uncommitted,
            on_full: node.overload.on_full,
            throttle: self.spouts[number].throttle.clone(),
            retry: graph.retry,
            retries: Retries::new(
                graph.retry,
                ((number as u64) << 8) | lane as u64,
                self.recoveries.clone(),
            ),
            signals,
            health: self.health.clone(),
            state: spout_task::State::default(),
        }
    }

    fn spout_ended(&self, settled: bool) {
        if !settled {
            self.handed_back.store(true, Ordering::Release);
        }
        if self.reading.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.phases.move_to(Phase::Closing);
        }
    }

    fn lane_ended(&self) {
        if self.lanes.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let broken = self
            .broken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let finish = match broken {
            Some(text) => Finish::Broken(text),
            None if self.handed_back.load(Ordering::Acquire) => Finish::HandedBack,
            None => Finish::Drained,
        };
        let _ = self.finish.send_replace(Some(finish));
    }

    fn break_with(&self, text: String) {
        tracing::error!(text, "A lane ended by a fault of the runtime");
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = broken.get_or_insert(text);
        self.phases.move_to(Phase::Closing);
    }
}

impl Running {
    /// Stops reading, flushes, waits for what is in flight up to the graph's `drain_timeout`, then
    /// closes everything. Returns at once; [`Running::finished`] waits.
    pub fn stop(&self) {
        self.stop_within(self.shared.graph.drain_timeout);
    }

    /// As [`Running::stop`], waiting for what is in flight at most so long.
    pub fn stop_within(&self, timeout: Duration) {
        let deadline = clock::now() + timeout;
        self.shared.phases.move_to(Phase::Draining(deadline));
    }

    /// Ends every bolt on every lane as a panic would, and makes them anew after so long: to see that
    /// nothing is lost by it. What they held is sent again from memory. Returns at once; a bolt that is
    /// in the middle of a batch ends after it.
    pub fn kill_bolts(&self, away: Duration) {
        self.shared.kills.kill(clock::now() + away);
    }

    /// Stops the reading of a spout, by its number in the graph, until [`Running::resume`]; tells whether it
    /// read before. Its partitions stay its own and are committed, and what is in flight is worked off. It
    /// is of this run only. Returns at once; each lane hands on one more batch at most.
    pub fn pause(&self, spout: usize) -> bool {
        self.shared.spouts[spout].pause.set(true)
    }

    /// Lets a spout read again; tells whether it was paused.
    pub fn resume(&self, spout: usize) -> bool {
        self.shared.spouts[spout].pause.set(false)
    }

    /// Since when a spout is paused, in ms since 1970; `None` while it reads.
    pub fn paused_since(&self, spout: usize) -> Option<i64> {
        self.shared.spouts[spout].pause.since()
    }

    /// When a spout last read again after a pause, in ms since 1970; `None` where it was never paused.
    pub fn resumed_at(&self, spout: usize) -> Option<i64> {
        self.shared.spouts[spout].pause.resumed()
    }

    /// Waits until every lane has ended.
    pub fn finished(&self) -> impl Future<Output = Finish> + use<> {
        let mut finished = self.finished.clone();
        async move {
            match finished.wait_for(Option::is_some).await {
                Ok(finish) => finish.clone().expect("waited for it"),
                Err(_) => Finish::Broken("the runtime was dropped".to_owned()),
            }
        }
    }

    /// The graph that runs.
    pub fn graph(&self) -> &Graph {
        &self.shared.graph
    }

    /// Where spouts and bolts say what is wrong; what of it is so now, [`Running::conditions`] tells.
    pub fn health(&self) -> &Health {
        &self.shared.health
    }

    /// What is wrong now, by component. What records found out is over when none is in flight that could
    /// come to the bolt, see [`Health::of_records`].
    pub fn conditions(&self) -> Vec<Condition> {
        let Shared {
            health, limiter, ..
        } = &*self.shared;
        if let Some(limiter) = limiter {
            limiter.look(clock::now());
        }
        health.end_without_records(|component| self.may_get_a_record(component));
        health.conditions()
    }

    /// Whether a record is in flight that may reach this component.
    fn may_get_a_record(&self, component: &str) -> bool {
        let graph = self.graph();
        let Some(bolt) = graph.bolts.iter().position(|bolt| *bolt.id == *component) else {
            return true;
        };
        (0..graph.spouts.len()).any(|spout| {
            let (records, _) = self.in_flight(spout);
            records > 0 && graph.downstream(spout).contains(&bolt)
        })
    }

    /// The partitions of a spout, by its number in the graph.
    pub fn partitions(&self, spout: usize) -> &Arc<Partitions> {
        &self.shared.spouts[spout].partitions
    }

    /// The account of a spout, summed over all partitions that it ever read.
    pub fn account(&self, spout: usize) -> Account {
        let mut sum = Account::default();
        for (partition, _) in self.partitions(spout).ever() {
            sum.add(&partition.account());
        }
        sum
    }

    /// The lanes, by number.
    pub fn lanes(&self) -> Vec<LaneLife> {
        self.shared.pulses.iter().map(Pulse::life).collect()
    }

    /// Spouts and bolts that are not open on all their lanes: they connect, or are made anew.
    pub fn not_open(&self) -> Vec<NotOpen> {
        let graph = self.graph();
        let spouts = graph.spouts.iter().zip(&self.shared.spouts);
        let spouts = spouts.map(|(node, state)| NotOpen {
            component: Arc::clone(&node.id),
            open: state.opened.load(Ordering::Acquire),
            of: state.copies,
        });
        let bolts = graph.bolts.iter().zip(&self.shared.bolts);
        let bolts = bolts.map(|(node, statistics)| NotOpen {
            component: Arc::clone(&node.id),
            open: statistics.open(),
            of: graph.lanes,
        });
        spouts.chain(bolts).filter(|c| c.open < c.of).collect()
    }

    /// Records and bytes of a spout in flight, over all lanes.
    pub fn in_flight(&self, spout: usize) -> (usize, usize) {
        self.shared.spouts[spout].in_flight.now()
    }

    /// Whether a spout reads no further for what is in flight, at least on one lane: that is as much as may be,
    /// or more lies behind a record that waits than may.
    pub fn takes_no_more(&self, spout: usize) -> bool {
        let id = &*self.graph().spouts[spout].id;
        let conditions = self.shared.health.conditions();
        let mut uncommitted = conditions.iter().filter(|one| one.kind == UNCOMMITTED);
        !self.shared.spouts[spout].in_flight.has_room()
            || uncommitted.any(|one| one.component == id)
    }

    /// What the spout's type counts besides: name, help and value, by the spout's number in the graph.
    pub fn spout_counters(&self, spout: usize) -> Vec<(&'static str, &'static str, u64)> {
        self.shared.spouts[spout].counters.values()
    }

    /// The counters of a bolt, by its number in the graph.
    pub fn bolt(&self, bolt: usize) -> BoltCounts {
        self.shared.bolts[bolt].counts()
    }

    /// Records that a bolt rejected, by [`crate::Rejection::class`].
    pub fn rejected(&self, bolt: usize) -> BTreeMap<&'static str, u64> {
        self.shared.bolts[bolt].rejected_by_class()
    }

    /// A reason for which a bolt rejected records lately, by [`crate::Rejection::class`]. It may quote the
    /// record.
    pub fn rejected_lately(&self, bolt: usize) -> BTreeMap<&'static str, String> {
        self.shared.bolts[bolt].rejected_lately()
    }

    /// Records that went along each edge, those sent again included, in the order of
    /// [`crate::PlanReport::edges`].
    pub fn edge_records(&self) -> Vec<u64> {
        self.shared.edges.records()
    }

    /// Those of them that were sent again after a failure.
    pub fn edge_records_again(&self) -> Vec<u64> {
        self.shared.edges.again()
    }

    /// Looks at one in so many records on an edge, by its number in the order of
    /// [`crate::PlanReport::edges`], until what it returns is dropped; `None` where there is no such edge.
    /// Data never waits for it. Each holds 4 MiB of copies at most: the caller bounds how many there are.
    pub fn tap(&self, edge: usize, every: NonZeroU64) -> Option<Tap> {
        let taps = self.shared.edges.taps(edge)?;
        Some(taps.open(every))
    }

    /// What the bolt's type counts besides: name, help and value, by the bolt's number in the graph.
    pub fn bolt_counters(&self, bolt: usize) -> Vec<(&'static str, &'static str, u64)> {
        self.shared.bolts[bolt].own().values()
    }

    /// How long the requests of a bolt to each host took, by the bolt's number in the graph; nothing for a
    /// bolt that asks nobody.
    pub fn request_times(&self, bolt: usize) -> Vec<(Arc<str>, Latency)> {
        self.shared.bolts[bolt].request_times().values()
    }

    /// Batches that wait in the inbox of a bolt over all lanes; `None` for a fused bolt.
    pub fn waiting(&self, bolt: usize) -> Option<usize> {
        let lanes = self.shared.inboxes.iter();
        lanes
            .map(|inboxes| inboxes[bolt].as_ref().map(inbox::Sender::waiting))
            .sum()
    }
}

#[cfg(test)]
mod tests;
