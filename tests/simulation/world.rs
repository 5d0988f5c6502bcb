//! The outside of the process under simulation: the partitions and what is committed of them, what
//! the sinks have, and what was done to each record. It outlives crashes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use isobar_topology::{Arena, Batch, Ordinals, Rejection, Running, clock};
use tokio::sync::Notify;

use crate::Plant;
use crate::scenario::{Edge, Fate, Item, Kind, Rejected, Scenario};
use testkit::random::{Random, fixed};

/// What everything in a simulation shares.
pub struct World {
    pub scenario: Scenario,
    pub plant: Plant,
    /// Rung at the first violation.
    pub violated: Notify,
    /// Rung when the process dies at a point of its work.
    pub died: Notify,
    state: Mutex<State>,
}

/// What changes.
pub struct State {
    pub random: Random,
    pub logs: Vec<Log>,
    pub records: Vec<Record>,
    /// What sinks have marked as written, with the record; see [`Plant::MarksBeforeItWrites`].
    pub marks: BTreeSet<(usize, Terminal)>,
    pub life: Life,
    pub violation: Option<String>,
    pub history: History,
    pub steps: u64,
}

/// One partition.
pub struct Log {
    pub spout: usize,
    pub number: i32,
    /// The number of its first record in [`State::records`].
    pub first: usize,
    pub offsets: Vec<i64>,
    pub end: i64,
    pub committed: i64,
    /// How many of its records were found in order when they were passed.
    pub verified: usize,
    /// How often it was assigned.
    pub assigned: u64,
    /// The lane that lost it knows, and no other one has it.
    pub lost: bool,
}

/// One record and what became of it, as seen from outside.
pub struct Record {
    pub log: usize,
    pub offset: i64,
    pub key: u64,
    pub tombstone: bool,
    /// Where it must arrive; `None` when a bolt cannot survive it.
    pub expected: Option<BTreeSet<Terminal>>,
    /// The same, if it is dropped wherever that may be since too many come.
    pub spared: Option<BTreeSet<Terminal>>,
    pub reached: BTreeSet<Terminal>,
    /// Faults of this life for which the record alone may be held responsible.
    pub blame: Vec<Blame>,
    /// Another member of the group took care of it.
    pub foreign: bool,
}

/// A place where records end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terminal {
    pub sink: usize,
    pub part: Ordinals,
    /// Where every lane gets a copy, the lane.
    pub lane: Option<usize>,
    /// For dead letters, the bolt that rejected the record.
    pub rejected_by: Option<usize>,
}

pub struct Blame {
    pub bolt: usize,
    pub faults: u32,
    /// The error said that the record never will succeed.
    pub certain: bool,
}

/// What is over when the process ends.
#[derive(Default)]
pub struct Life {
    pub running: Option<Arc<Running>>,
    pub began: Option<clock::Instant>,
    pub last: bool,
    /// At the last of these points of its work the process dies; `None` where it does not die so.
    pub points_left: Option<u64>,
    /// How often each record was handed out.
    pub handed: BTreeMap<usize, u64>,
    /// The sums of that, by log.
    pub read: BTreeMap<usize, u64>,
    /// No more changes of the assignment come.
    pub settled_down: bool,
    pub lanes_of_key: BTreeMap<(usize, u64), BTreeSet<usize>>,
    /// By bolt, log, key, and lane where each has a copy.
    pub last_seen: BTreeMap<(usize, usize, u64, usize), (i64, Ordinals)>,
    /// By sinks, which are to let go of it.
    pub kept: Vec<Arc<Arena>>,
}

/// What happened, as a number to compare runs by, and as text when somebody reads it.
#[derive(Default)]
pub struct History {
    pub hash: u64,
    pub lines: Option<VecDeque<String>>,
}

/// Lines of history that are shown with a violation.
const LINES_MAX: usize = 80;

impl World {
    pub fn new(scenario: Scenario, plant: Plant, readable: bool) -> Arc<Self> {
        let mut logs = Vec::new();
        let mut records = Vec::new();
        for (spout, plan) in scenario.spouts.iter().enumerate() {
            for (number, plan) in plan.partitions.iter().enumerate() {
                let first = records.len();
                let mut offset = plan.start;
                let mut offsets = Vec::new();
                for _ in 0..plan.records {
                    let id = records.len();
                    let number = |what: u64| fixed(&[scenario.seed, 1 << 40, id as u64, what]);
                    while number(offset as u64) % 1000 < plan.gaps {
                        offset += 1;
                    }
                    offsets.push(offset);
                    records.push(Record {
                        log: logs.len(),
                        offset,
                        key: number(1) % 8,
                        tombstone: number(2) % 1000 < 20,
                        expected: None,
                        spared: None,
                        reached: BTreeSet::new(),
                        blame: Vec::new(),
                        foreign: false,
                    });
                    offset += 1;
                }
                let trailing = if plan.gaps > 0 { 3 } else { 0 };
                logs.push(Log {
                    spout,
                    number: number as i32,
                    first,
                    offsets,
                    end: offset + trailing,
                    committed: plan.start,
                    verified: 0,
                    assigned: 0,
                    lost: false,
                });
            }
        }
        for (id, record) in records.iter_mut().enumerate() {
            let (spout, item) = (&scenario.spouts[logs[record.log].spout], Item::whole(id));
            let arrival = |drops: Drops| {
                let mut expected = Some(BTreeSet::new());
                if !record.tombstone && (drops == Drops::Nothing || !spout.overload.is_lossy()) {
                    walk_along(&scenario, item, &spout.out, drops, &mut expected);
                }
                expected
            };
            let (expected, spared) = (arrival(Drops::Nothing), arrival(Drops::Everything));
            (record.expected, record.spared) = (expected, spared);
        }
        let state = State {
            random: Random::new(scenario.seed ^ 0x5eed),
            logs,
            records,
            marks: BTreeSet::new(),
            life: Life::default(),
            violation: None,
            history: History {
                hash: 0,
                lines: readable.then(VecDeque::new),
            },
            steps: 0,
        };
        Arc::new(Self {
            scenario,
            plant,
            violated: Notify::new(),
            died: Notify::new(),
            state: Mutex::new(state),
        })
    }

    /// Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// What is in a batch, in order.
    pub fn items_of(&self, batch: &Batch) -> Vec<Item> {
        let state = self.lock();
        let records = batch.records().map(|record| {
            let spout = record.topic().trim_start_matches("in-");
            let log = state
                .logs
                .iter()
                .find(|log| log.number == record.partition() && log.spout.to_string() == spout);
            let log = log.expect("batches come from partitions that there are");
            let at = log.offsets.binary_search(&record.offset());
            let id = log.first + at.expect("offsets are of records that there are");
            let payload = record.payload().unwrap_or_default();
            assert!(
                payload == self.scenario.payload(id).as_bytes(),
                "payload of the record"
            );
            Item {
                record: id,
                part: record.ordinals(),
            }
        });
        records.collect()
    }

    /// Notes what is wrong, the first time.
    pub fn violate(&self, state: &mut State, what: impl FnOnce() -> String) {
        if state.violation.is_none() {
            state.violation = Some(what());
            self.violated.notify_one();
        }
    }

    pub fn chance(&self, per_mille: u64) -> bool {
        per_mille > 0 && self.lock().random.chance(per_mille)
    }

    pub fn within(&self, range: std::ops::Range<u64>) -> u64 {
        self.lock().random.within(range)
    }

    /// Milliseconds since this life began.
    pub fn elapsed(&self) -> u64 {
        let began = self.lock().life.began;
        began.map_or(0, |began| (clock::now() - began).as_millis() as u64)
    }

    /// Whether nothing random goes wrong any more.
    pub fn calm(&self) -> bool {
        self.lock().life.last && self.elapsed() >= crate::scenario::CALM
    }

    /// Writes a record to a sink, `rejection` with it when the sink takes dead letters. Tells whether
    /// it was there already.
    pub fn write(&self, place: (usize, usize), item: Item, rejection: Option<&Rejection>) -> bool {
        let terminal = self.terminal(place, item, rejection);
        let mut state = self.lock();
        state.note(|line| write!(line, "{item} is written by bolt-{}", terminal.sink));
        !state.records[item.record].reached.insert(terminal)
    }

    /// Notes outside of the process that a sink has a record, which it has not written yet. Tells whether it
    /// was noted already.
    pub fn mark(&self, place: (usize, usize), item: Item, rejection: Option<&Rejection>) -> bool {
        let terminal = self.terminal(place, item, rejection);
        let mut state = self.lock();
        state.note(|line| write!(line, "{item} is marked by bolt-{}", terminal.sink));
        !state.marks.insert((item.record, terminal))
    }

    /// Where a record ends that comes to this sink on this lane.
    fn terminal(
        &self,
        (sink, lane): (usize, usize),
        item: Item,
        rejection: Option<&Rejection>,
    ) -> Terminal {
        let rejected_by = (sink == self.scenario.letters()).then(|| {
            let rejection = rejection.expect("dead letters come with their reason");
            number_of(&rejection.bolt)
        });
        Terminal {
            sink,
            part: item.part,
            lane: self.scenario.is_on_all_lanes(sink).then_some(lane),
            rejected_by,
        }
    }

    /// A call failed on one batch for a reason that is attributable to its records.
    pub fn blame(&self, bolt: usize, batch: &[Item], certain: bool) {
        // Which one of several is at fault is not known: none of them may be held responsible.
        let Some(Item { record, .. }) = batch.first().copied() else {
            return;
        };
        if batch.iter().all(|item| item.record == record) {
            self.blame_one(bolt, record, certain);
        }
    }

    /// A request with the records of several batches failed as a whole for such a reason. A sink that
    /// cannot tell them apart accuses them all.
    pub fn blame_all(&self, bolt: usize, items: &[Item], certain: bool) {
        for item in items {
            self.blame_one(bolt, item.record, certain);
        }
    }

    /// This very record made a call fail.
    pub fn blame_one(&self, bolt: usize, record: usize, certain: bool) {
        let blame = &mut self.lock().records[record].blame;
        let known = blame.iter().position(|blame| blame.bolt == bolt);
        let at = known.unwrap_or_else(|| {
            blame.push(Blame {
                bolt,
                faults: 0,
                certain: false,
            });
            blame.len() - 1
        });
        blame[at].faults += 1;
        blame[at].certain |= certain;
    }
}

impl State {
    /// Adds a line to the history; always to its hash.
    pub fn note(&mut self, text: impl FnOnce(&mut String) -> std::fmt::Result) {
        let began = self.life.began;
        let at = began.map_or(0, |began| (clock::now() - began).as_millis());
        let mut line = format!("{:>7}.{:03} s: ", at / 1000, at % 1000);
        text(&mut line).expect("writing to a string never fails");
        for chunk in line.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.history.hash = fixed(&[self.history.hash, u64::from_le_bytes(word)]);
        }
        if let Some(lines) = &mut self.history.lines {
            if lines.len() == LINES_MAX {
                let _ = lines.pop_front();
            }
            lines.push_back(line);
        }
    }
}

/// `bolt-3` has the number 3.
fn number_of(bolt: &str) -> usize {
    let number = bolt.trim_start_matches("bolt-").parse();
    number.expect("all bolts are named by their number")
}

/// The bolt that a rejection names.
pub fn rejected_by(rejection: &Rejection) -> usize {
    number_of(&rejection.bolt)
}

/// What is dropped on the way of a record since too many come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drops {
    Nothing,
    /// Wherever that may be.
    Everything,
}

fn walk_along(
    scenario: &Scenario,
    item: Item,
    edges: &[Edge],
    drops: Drops,
    to: &mut Option<BTreeSet<Terminal>>,
) {
    for edge in edges {
        if drops == Drops::Nothing || !edge.overload.is_lossy() {
            walk(scenario, item, edge.to, drops, to);
        }
    }
}

/// Adds where a record arrives that is given to a bolt; `None` when some bolt cannot survive it.
fn walk(
    scenario: &Scenario,
    item: Item,
    bolt: usize,
    drops: Drops,
    to: &mut Option<BTreeSet<Terminal>>,
) {
    let plan = &scenario.bolts[bolt];
    match scenario.fate(bolt, item) {
        Fate::Pass if plan.kind.is_sink() => {
            if let Some(to) = to {
                let lanes = match scenario.is_on_all_lanes(bolt) {
                    true => (0..scenario.lanes).map(Some).collect(),
                    false => vec![None],
                };
                to.extend(lanes.into_iter().map(|lane| Terminal {
                    sink: bolt,
                    part: item.part,
                    lane,
                    rejected_by: None,
                }));
            }
        }
        Fate::Pass if plan.kind == Kind::Split => {
            for part in item.parts(scenario.parts(bolt, item)) {
                walk_along(scenario, part, &plan.out, drops, to);
            }
        }
        Fate::Pass => walk_along(scenario, item, &plan.out, drops, to),
        Fate::Other => walk_along(scenario, item, &plan.other, drops, to),
        Fate::Drop => {}
        Fate::Reject => walk_rejected(scenario, item, bolt, drops, to),
        Fate::Poison(_) => *to = None,
    }
}

/// As [`walk`], for a record that a bolt, or the core on its behalf, rejected.
pub fn walk_rejected(
    scenario: &Scenario,
    item: Item,
    bolt: usize,
    drops: Drops,
    to: &mut Option<BTreeSet<Terminal>>,
) {
    match scenario.bolts[bolt].rejected {
        Rejected::Drop => {}
        Rejected::To(next) => walk(scenario, item, next, drops, to),
        Rejected::DeadLetter => {
            if let Some(to) = to {
                let _ = to.insert(Terminal {
                    sink: scenario.letters(),
                    part: item.part,
                    lane: None,
                    rejected_by: Some(bolt),
                });
            }
        }
    }
}
