//! What a seed decides before anything runs: the graph, the input, what goes wrong how often, and how
//! each life of the process ends.

use std::fmt;
use std::time::Duration;

use isobar_topology::{Ordinals, RetryPolicy};

use testkit::random::{Random, fixed};

/// A whole simulation.
#[derive(Debug)]
pub struct Scenario {
    /// What everything follows from.
    pub seed: u64,
    pub lanes: usize,
    pub spouts: Vec<SpoutPlan>,
    /// Edges lead from smaller to larger numbers; the last bolt writes the dead letters.
    pub bolts: Vec<BoltPlan>,
    pub retry: RetryPolicy,
    pub drain_timeout: Duration,
    pub queue_batches: usize,
    pub queue_bytes: usize,
    pub max_in_flight_records: usize,
    pub max_in_flight_bytes: usize,
    pub max_uncommitted: usize,
    /// Most records of one batch.
    pub batch_max: usize,
    /// Bytes that a record has beside what says which one it is. Of large ones those that are settled are let
    /// go of before all of their batch are.
    pub padding: usize,
    pub troubles: Troubles,
    /// Average time between two changes of the assignment, in ms; none when `None`.
    pub rebalance_every: Option<u64>,
    /// The lives of the process, one after the other; the last one ends when everything is settled.
    pub lives: Vec<Ending>,
    /// Nothing goes wrong, so records must come in order.
    pub orderly: bool,
}

/// How a life of the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All at once, after so many ms, while every task waits.
    Crash(u64),
    /// All at once, at the last of so many points of the work, one at least: see `mortal.rs`.
    CrashAt(u64),
    /// By a drain that begins after so many ms.
    Stop(u64),
    /// When all input is settled. Everything is well from [`CALM`] on.
    CaughtUp,
}

/// After how many ms of a last life nothing goes wrong any more, except with records that are at
/// fault themselves.
pub const CALM: u64 = 20_000;

/// What the padding follows from, besides the seed.
const PADDED: u64 = 1 << 41;

/// Least padding of a record, where there is any.
const PADDING: usize = 1_000;

/// Bolts that split records, in one scenario.
const SPLITS_MAX: usize = 2;

/// A spout and its input.
#[derive(Debug)]
pub struct SpoutPlan {
    pub partitions: Vec<LogPlan>,
    pub out: Vec<Edge>,
    pub overload: Bound,
}

/// A partition's content.
#[derive(Debug)]
pub struct LogPlan {
    pub start: i64,
    pub records: usize,
    /// Per mille of offsets that hold no record.
    pub gaps: u64,
}

#[derive(Debug)]
pub struct BoltPlan {
    pub kind: Kind,
    pub out: Vec<Edge>,
    /// The stream `other`, of routing bolts.
    pub other: Vec<Edge>,
    pub rejected: Rejected,
    /// Per mille of records that the bolt drops, rejects, cannot survive.
    pub drops: u64,
    pub rejects: u64,
    pub poisons: u64,
    /// Away from, until, in ms of each life.
    pub outage: Option<(u64, u64)>,
    /// What a sink does with records while it is away.
    pub away: Away,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    /// Fails on them.
    Fails,
    /// Holds them.
    Holds,
    /// Holds them, and tells when it is back.
    HoldsAndTells,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Judges each record and hands the batch on.
    Judge,
    /// Also sends some records out on another stream.
    Route,
    /// Keeps batches for a while before it hands them on.
    Window,
    /// Makes several records of each, some at a time.
    Split,
    /// Writes and answers at once.
    Sink,
    /// Collects batches into requests, of which several are under way.
    BulkSink,
}

impl Kind {
    pub fn is_sink(self) -> bool {
        matches!(self, Kind::Sink | Kind::BulkSink)
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Edge {
    pub to: usize,
    pub way: Way,
    pub overload: Bound,
}

/// What bounds the records of a spout or an edge.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bound {
    /// Records in a second.
    pub throttle: Option<u64>,
    pub full: Full,
}

impl Bound {
    /// Whether records may be dropped.
    pub fn is_lossy(self) -> bool {
        self.full != Full::Wait
    }
}

/// What becomes of records for which there is no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Full {
    #[default]
    Wait,
    DropNewest,
    DropOldest,
    /// With the percentage that is kept.
    Sample(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Local,
    Shuffle,
    Fields,
    PartialKey,
    All,
    Global,
}

/// Where the stream `rejected` of a bolt leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    DeadLetter,
    Drop,
    To(usize),
}

/// What goes wrong without a record being at fault, per mille of calls.
#[derive(Debug, Default)]
pub struct Troubles {
    pub external: u64,
    pub internal: u64,
    pub user: u64,
    pub panics: u64,
    pub forgets: u64,
    /// Some records of a batch get another fate than the rest.
    pub partial: u64,
    /// Written, but the answer says it failed.
    pub lost_answers: u64,
    pub slow: u64,
    pub opening: u64,
    pub reading: u64,
}

/// A record by its number, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    pub record: usize,
    pub part: Ordinals,
}

impl Item {
    pub fn whole(record: usize) -> Self {
        Self {
            record,
            part: Ordinals::NONE,
        }
    }

    /// What a bolt that splits makes of it.
    pub fn parts(self, count: u16) -> impl Iterator<Item = Item> {
        (0..usize::from(count)).map(move |number| {
            let part = self.part.part(number).expect("few bolts split");
            Item { part, ..self }
        })
    }

    /// It, and what it is a part of.
    pub fn and_outer(self) -> impl Iterator<Item = Item> {
        let numbers: Vec<u32> = self.part.iter().collect();
        let outer = (0..=numbers.len()).map(move |depth| {
            let mut numbers = numbers[..depth].iter();
            let part = numbers.try_fold(Ordinals::NONE, |of, number| of.part(*number as usize));
            part.expect("as deep as itself at most")
        });
        outer.map(move |part| Item { part, ..self })
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.part.is_empty() { "" } else { "." };
        write!(f, "{}{dot}{}", self.record, self.part)
    }
}

/// What a bolt does with a record, each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Other,
    Drop,
    Reject,
    Poison(Poison),
}

/// How a bolt ends on a record that it cannot survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    Panic,
    User,
    Internal,
    Forget,
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let r = &mut random;
        let lanes = r.size(1..4);
        let batch_max = r.size(1..20);
        let max_in_flight_records = r.size(1..150);
        let padding = match fixed(&[seed, PADDED]) as usize {
            number if number.is_multiple_of(2) => 0,
            number => PADDING + number % PADDING,
        };
        let mut scenario = Self {
            seed,
            lanes,
            spouts: (0..r.size(1..4)).map(|_| SpoutPlan::of(r)).collect(),
            bolts: bolts(r),
            retry: RetryPolicy {
                initial: Duration::from_millis(r.within(1..500)),
                max: Duration::from_millis(r.within(500..20_000)),
                attempts_max: r.within(1..6) as u32,
                seed,
            },
            drain_timeout: Duration::from_millis(r.within(0..5_000)),
            queue_batches: r.size(1..5),
            queue_bytes: r.size(100..5_000) * (1 + padding / 100),
            max_in_flight_records,
            max_in_flight_bytes: r.size(500..20_000) * (1 + padding / 100),
            max_uncommitted: r.size(1..400),
            batch_max,
            padding,
            troubles: Troubles::of(r),
            rebalance_every: r.chance(500).then(|| r.within(50..3_000)),
            lives: Vec::new(),
            orderly: r.chance(100),
        };
        if scenario.orderly {
            scenario.troubles = Troubles::default();
            scenario.rebalance_every = None;
            for bolt in &mut scenario.bolts {
                (bolt.poisons, bolt.outage) = (0, None);
            }
        }
        scenario.connect(r);
        scenario.overload(r);
        for _ in 0..r.one_of(&[0, 0, 1, 2, 4]) {
            let after = r.within(0..5_000);
            // Many early ones: what goes on at the start and while much is on its way is over soon.
            let points_max = r.one_of(&[100, 1_000, 5_000]);
            let points = r.within(1..points_max);
            let ending = r.one_of(&[
                Ending::Crash(after),
                Ending::CrashAt(points),
                Ending::Stop(after),
            ]);
            scenario.lives.push(ending);
        }
        scenario.lives.push(Ending::CaughtUp);
        scenario
    }

    /// The same with all crashes by the clock.
    pub fn crashing_by_the_clock(mut self) -> Self {
        for ending in &mut self.lives {
            if let Ending::CrashAt(points) = *ending {
                *ending = Ending::Crash(points);
            }
        }
        self
    }

    /// What a record says.
    pub fn payload(&self, record: usize) -> String {
        record.to_string() + &" ".repeat(self.padding)
    }

    /// The policy by which the edges to a bolt drop what finds no room; those of bolts come before it, so
    /// that it counts for a record that a bolt drops as well.
    pub fn policy_of_bolt(&self, bolt: usize) -> usize {
        self.bolts.len() + 1 + bolt
    }

    /// As [`Scenario::policy_of_bolt`], for what a spout reads.
    pub fn policy_of_spout(&self, spout: usize) -> usize {
        2 * self.bolts.len() + 1 + spout
    }

    /// The bolt that writes the dead letters.
    pub fn letters(&self) -> usize {
        self.bolts.len() - 1
    }

    /// Into how many parts a bolt splits a record, or a part of one.
    pub fn parts(&self, bolt: usize, item: Item) -> u16 {
        1 + (self.number(bolt, item) >> 48) as u16 % 3
    }

    /// Follows from the record, or the part of one, and nothing else.
    fn number(&self, bolt: usize, item: Item) -> u64 {
        let of_record = [self.seed, bolt as u64, item.record as u64];
        let part = item.part.iter().map(u64::from);
        fixed(&of_record.into_iter().chain(part).collect::<Vec<_>>())
    }

    pub fn fate(&self, bolt: usize, item: Item) -> Fate {
        let plan = &self.bolts[bolt];
        let number = self.number(bolt, item);
        let at = number % 1000;
        let steps = [plan.poisons, plan.rejects, plan.drops];
        let poison = [
            Poison::Panic,
            Poison::User,
            Poison::Internal,
            Poison::Forget,
        ];
        if at < steps[0] {
            Fate::Poison(poison[(number >> 32) as usize % 4])
        } else if at < steps[0] + steps[1] {
            Fate::Reject
        } else if at < steps[0] + steps[1] + steps[2] {
            Fate::Drop
        } else if plan.kind == Kind::Route && (number >> 40).is_multiple_of(3) {
            Fate::Other
        } else {
            Fate::Pass
        }
    }

    /// The edges that lead to a bolt, with the bolts that they come from; `None` for a spout.
    pub fn ways_to(&self, to: usize) -> Vec<(Way, Option<usize>)> {
        let spouts = self.spouts.iter().flat_map(|spout| &spout.out);
        let mut ways: Vec<_> = spouts
            .filter(|edge| edge.to == to)
            .map(|edge| (edge.way, None))
            .collect();
        for (from, bolt) in self.bolts.iter().enumerate() {
            let edges = bolt.out.iter().chain(&bolt.other);
            let ways_from = edges.filter(|edge| edge.to == to);
            ways.extend(ways_from.map(|edge| (edge.way, Some(from))));
            let rejected = match bolt.rejected {
                Rejected::To(bolt) => bolt == to,
                Rejected::DeadLetter => to == self.letters() && from != to,
                Rejected::Drop => false,
            };
            if rejected {
                ways.push((Way::Local, Some(from)));
            }
        }
        ways
    }

    /// Whether each lane's copy of a bolt gets a copy of all that comes to it.
    pub fn is_on_all_lanes(&self, bolt: usize) -> bool {
        let ways = self.ways_to(bolt);
        !ways.is_empty() && ways.iter().all(|(way, _)| *way == Way::All)
    }

    /// Some edges and spouts of some graphs bound their records. Where every lane gets a copy, none is
    /// dropped: no topology file may say so.
    fn overload(&mut self, r: &mut Random) {
        let per_mille = r.one_of(&[0, 0, 200, 500]);
        let kept = Full::Sample(r.within(0..101));
        let edges = self.bolts.iter_mut();
        let edges = edges.flat_map(|bolt| bolt.out.iter_mut().chain(&mut bolt.other));
        for edge in edges.chain(self.spouts.iter_mut().flat_map(|spout| &mut spout.out)) {
            let fulls = [Full::DropNewest, Full::DropOldest, kept];
            edge.overload = Bound::of(r, per_mille, &fulls);
            if edge.way == Way::All {
                edge.overload.full = Full::Wait;
            }
        }
        for spout in &mut self.spouts {
            spout.overload = Bound::of(r, per_mille / 2, &[Full::DropNewest, kept]);
        }
    }

    /// Every bolt has an input, every stream a consumer.
    fn connect(&mut self, r: &mut Random) {
        let letters = self.letters();
        let ways = match r.within(0..4) {
            0 => vec![Way::Local],
            1 | 2 => vec![Way::Local, Way::Local, Way::Shuffle, Way::Fields],
            _ => vec![
                Way::Local,
                Way::Fields,
                Way::PartialKey,
                Way::All,
                Way::Global,
            ],
        };
        for to in 0..letters {
            for _ in 0..r.one_of(&[1, 1, 1, 2]) {
                let way = r.one_of(&ways);
                let earlier: Vec<usize> = (0..to)
                    .filter(|bolt| !self.bolts[*bolt].kind.is_sink())
                    .collect();
                let from = r.size(0..self.spouts.len() + earlier.len());
                let edges = match from.checked_sub(self.spouts.len()) {
                    None => &mut self.spouts[from].out,
                    Some(bolt) => {
                        let bolt = &mut self.bolts[earlier[bolt]];
                        let other = bolt.kind == Kind::Route && r.chance(500);
                        if other {
                            &mut bolt.other
                        } else {
                            &mut bolt.out
                        }
                    }
                };
                if edges.iter().all(|edge| edge.to != to) {
                    edges.push(Edge::new(to, way));
                }
            }
        }
        for spout in &mut self.spouts {
            if spout.out.is_empty() {
                let (to, way) = (r.size(0..letters), r.one_of(&ways));
                spout.out.push(Edge::new(to, way));
            }
        }
        for from in 0..letters {
            let kind = self.bolts[from].kind;
            let later = |r: &mut Random| Edge::new(r.size(from + 1..letters), r.one_of(&ways));
            let bolt = &mut self.bolts[from];
            if !kind.is_sink() && bolt.out.is_empty() {
                bolt.out.push(later(r));
            }
            if kind == Kind::Route && bolt.other.is_empty() {
                bolt.other.push(later(r));
            }
            let to = r.size(from + 1..letters + 1);
            let transforms = to < letters && !self.bolts[to].kind.is_sink();
            self.bolts[from].rejected = match r.within(0..10) {
                0 => Rejected::Drop,
                1 | 2 if transforms => Rejected::To(to),
                _ => Rejected::DeadLetter,
            };
        }
    }
}

impl Edge {
    pub fn new(to: usize, way: Way) -> Self {
        let overload = Bound::default();
        Self { to, way, overload }
    }
}

impl Bound {
    fn of(r: &mut Random, per_mille: u64, fulls: &[Full]) -> Self {
        Self {
            throttle: r.chance(per_mille / 2).then(|| r.one_of(&[5, 50, 500])),
            full: match r.chance(per_mille) {
                true => r.one_of(fulls),
                false => Full::Wait,
            },
        }
    }
}

impl SpoutPlan {
    fn of(r: &mut Random) -> Self {
        let partitions = (0..r.size(1..4)).map(|_| LogPlan {
            start: r.one_of(&[0, 0, 1_000_000]),
            records: r.size(0..120),
            gaps: r.one_of(&[0, 50, 400]),
        });
        Self {
            partitions: partitions.collect(),
            out: Vec::new(),
            overload: Bound::default(),
        }
    }
}

fn bolts(r: &mut Random) -> Vec<BoltPlan> {
    let count = r.size(1..7);
    let kinds = [
        Kind::Judge,
        Kind::Route,
        Kind::Window,
        Kind::Split,
        Kind::Sink,
        Kind::BulkSink,
    ];
    let sinks = [Kind::Sink, Kind::BulkSink];
    // With poison records a run ends late: each of them costs up to ten restarts of a bolt.
    let poisons = r.one_of(&[0, 0, 0, 4, 20]);
    let faults = r.one_of(&[0, 20, 100]);
    let outages = r.one_of(&[0, 0, 300]);
    let bolt = |number: usize, r: &mut Random| {
        let kind = if number + 1 < count {
            r.one_of(&kinds)
        } else {
            r.one_of(&sinks)
        };
        let letters = number == count;
        let from = r.within(0..3_000);
        BoltPlan {
            kind,
            out: Vec::new(),
            other: Vec::new(),
            rejected: Rejected::DeadLetter,
            drops: if kind.is_sink() { 0 } else { faults },
            rejects: if letters { 0 } else { faults },
            poisons: if letters { 0 } else { poisons },
            outage: r.chance(outages).then(|| (from, from + r.within(0..CALM))),
            away: r.one_of(&[
                Away::Fails,
                Away::Holds,
                Away::HoldsAndTells,
                Away::HoldsAndTells,
            ]),
        }
    };
    let mut bolts: Vec<BoltPlan> = (0..=count).map(|number| bolt(number, r)).collect();
    // Each of them multiplies the records.
    let splits = bolts.iter_mut().filter(|bolt| bolt.kind == Kind::Split);
    splits
        .skip(SPLITS_MAX)
        .for_each(|bolt| bolt.kind = Kind::Judge);
    bolts
}

impl Troubles {
    fn of(r: &mut Random) -> Self {
        let quiet = r.chance(100);
        let external_only = r.chance(250);
        let scale = r.one_of(&[20, 100, 300]);
        let mut rate = |blames: bool| {
            let silent = quiet || (blames && external_only) || r.chance(500);
            if silent { 0 } else { r.within(0..scale) }
        };
        Self {
            external: rate(false),
            internal: rate(true),
            user: rate(true) / 4,
            panics: rate(true),
            forgets: rate(true),
            partial: rate(false),
            lost_answers: rate(false),
            slow: rate(false),
            opening: rate(false),
            reading: rate(false),
        }
    }
}
