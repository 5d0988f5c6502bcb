//! A topology ready to run: operators to make, edges between them, bounds.
//!
//! Every bolt has one copy on each lane. A bolt is *fused* into the task of its inputs when all of
//! them are `local` edges without bounds from one task; else it heads a task of its own with a bounded inbox.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::dropped::Dropped;
use crate::error::OperatorError;
use crate::health::Health;
use crate::operator::{AnyBolt, AnySpout};
use crate::outcome::Policy;
use crate::overload::Overload;
use crate::partition::Partitions;
use crate::record::Record;
use crate::request_times::RequestTimes;
use crate::retry::RetryPolicy;
use crate::run::{Recoveries, RejectLimit};
use crate::statistics::Counters;
use crate::stream::Stream;
use crate::symbol::Symbols;

/// A topology ready to run.
pub struct Graph {
    /// The topology's name.
    pub name: String,
    /// Lanes: threads that each run a copy of all bolts, from 1 to 255.
    pub lanes: usize,
    /// Field names that the topology mentions.
    pub symbols: Arc<Symbols>,
    /// Names of drop policies, by [`crate::Policy::index`].
    pub policies: Vec<String>,
    /// Those of them that drop records since too many come.
    pub lossy: BTreeSet<Policy>,
    /// The spouts.
    pub spouts: Vec<SpoutNode>,
    /// The bolts; edges lead from smaller to larger numbers.
    pub bolts: Vec<BoltNode>,
    /// Pace and bound of retries.
    pub retry: RetryPolicy,
    /// How much of what is read may be dead-lettered; `None` for all of it.
    pub reject_limit: Option<RejectLimit>,
    /// How long a stop waits for what is in flight.
    pub drain_timeout: Duration,
    /// Batches that wait at most in each inbox, at least 1.
    pub queue_batches: usize,
    /// Bytes that wait at most in each inbox.
    pub queue_bytes: usize,
}

/// A spout of a [`Graph`].
pub struct SpoutNode {
    /// Its id in the topology file.
    pub id: Arc<str>,
    /// Makes the spout: called once, returns one maker for each lane.
    pub start: Box<StartSpout>,
    /// Consumers of the stream `out`.
    pub out: Vec<Target>,
    /// Most records in flight over all lanes.
    pub max_in_flight_records: usize,
    /// Most bytes in flight over all lanes. Of a batch of which little waits only that counts.
    pub max_in_flight_bytes: usize,
    /// Most records of one partition between frontier and last read.
    pub max_uncommitted: usize,
    /// What bounds the records that are read.
    pub overload: Overload,
}

/// Makes the lanes of a spout.
pub type StartSpout = dyn Fn(SpoutContext) -> Result<Vec<MakeSpout>, OperatorError> + Send + Sync;
/// Makes the part of a spout that runs on one lane, on that lane's thread.
pub type MakeSpout = Box<dyn FnOnce() -> AnySpout + Send>;
/// Makes a copy of a bolt, on the thread of its lane.
pub type MakeBolt = dyn Fn(BoltContext) -> AnyBolt + Send + Sync;

/// What a spout gets to know.
#[derive(Clone)]
pub struct SpoutContext {
    /// Its id in the topology file.
    pub id: Arc<str>,
    /// The topology's name.
    pub topology: Arc<str>,
    /// How many lanes to make.
    pub lanes: usize,
    /// Read up to what is there at the start, then end.
    pub bounded: bool,
    /// Where partitions are opened, so that accounts outlive assignments.
    pub partitions: Arc<Partitions>,
    /// What policies dropped, of the records of all spouts.
    pub dropped: Dropped,
    /// Where to say what is wrong.
    pub health: Health,
    /// Where to count what only this type of spout knows.
    pub counters: Counters,
}

/// What a bolt gets to know.
#[derive(Clone)]
pub struct BoltContext {
    /// Its id in the topology file.
    pub id: Arc<str>,
    /// The topology's name.
    pub topology: Arc<str>,
    /// The lane, from 0.
    pub lane: usize,
    /// How many lanes there are.
    pub lanes: usize,
    /// Where to say what is wrong.
    pub health: Health,
    /// Where to count what only this type of bolt knows.
    pub counters: Counters,
    /// Where to say how long requests to outside systems take.
    pub request_times: RequestTimes,
    /// Where to tell that what was held may go on.
    pub recoveries: Recoveries,
}

/// A bolt of a [`Graph`].
pub struct BoltNode {
    /// Its id in the topology file.
    pub id: Arc<str>,
    /// Makes one copy.
    pub make: Arc<MakeBolt>,
    /// Consumers by [`Stream::index`]; missing ones are as empty.
    pub outputs: Vec<Output>,
}

impl BoltNode {
    /// Where a stream leads.
    pub(crate) fn output(&self, stream: Stream) -> &Output {
        const NOWHERE: &Output = &Output::To(Vec::new());
        self.outputs.get(stream.index()).unwrap_or(NOWHERE)
    }
}

/// Where a stream leads.
pub enum Output {
    /// To these bolts, each of which gets every record.
    To(Vec<Target>),
    /// Nowhere on purpose.
    Drop(crate::Policy),
}

impl Output {
    /// The consumers.
    pub(crate) fn targets(&self) -> &[Target] {
        match self {
            Output::To(targets) => targets,
            Output::Drop(_) => &[],
        }
    }
}

/// A consumer of a stream.
pub struct Target {
    /// The bolt's number.
    pub bolt: usize,
    /// How records are spread over its lanes.
    pub grouping: Grouping,
    /// The bolt is a sink that dead letters come to. Records that have a [`crate::Batch::rejection`] when
    /// they arrive are such: what becomes of them counts as dead-lettered.
    pub dead_letter: bool,
    /// What bounds the records along the edge. With a bound it has a queue, whatever its grouping.
    pub overload: Overload,
}

/// How records are spread over the lanes of a bolt.
#[derive(Clone)]
pub enum Grouping {
    /// Stay on the lane.
    Local,
    /// Batches go to the lanes in turn.
    Shuffle,
    /// Records of one key go to one lane; the function gives the key's slot, see [`crate::grouping::KeyHash`].
    Fields(Arc<KeySlot>),
    /// Records of one key go to one of two lanes, whichever got less so far from here; the function gives
    /// both slots of the key.
    PartialKey(Arc<KeySlots>),
    /// Every lane gets a copy of each record.
    All,
    /// One lane gets everything.
    Global,
}

/// Gives the key slot of a record, below [`crate::grouping::KEY_SLOTS`].
pub type KeySlot = dyn Fn(Record<'_>) -> usize + Send + Sync;
/// Gives both key slots of a record, as [`crate::grouping::KeyHash::slots`] does.
pub type KeySlots = dyn Fn(Record<'_>) -> [usize; 2] + Send + Sync;

/// The lane that gets everything where the grouping is [`Grouping::Global`].
pub(crate) const GLOBAL_LANE: usize = 0;

impl Graph {
    /// The policy of this name by which records are dropped; `None` when the topology has none.
    pub fn policy(&self, name: &str) -> Option<crate::Policy> {
        let index = self.policies.iter().position(|policy| policy == name)?;
        crate::Policy::new(index)
    }

    /// The bolts that records of a spout reach, by their numbers.
    pub fn downstream(&self, spout: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&Target> = self.spouts[spout].out.iter().collect();
        while let Some(target) = open.pop() {
            if found.insert(target.bolt) {
                let outputs = self.bolts[target.bolt].outputs.iter();
                open.extend(outputs.flat_map(Output::targets));
            }
        }
        found
    }

    /// The bolts that dead letters of a spout's records come to and that write them, by their numbers; with
    /// each whether nothing else comes to it.
    pub fn letter_writers(&self, spout: usize) -> BTreeMap<usize, bool> {
        let reached = self.downstream(spout);
        let of_spouts = self.spouts.iter().flat_map(|spout| &spout.out);
        let bolts = self.bolts.iter().enumerate();
        let of_reached = bolts.filter(|(number, _)| reached.contains(number));
        let letters = of_reached.flat_map(|(_, bolt)| bolt.targets());
        let letters = letters.filter(|(_, target)| target.dead_letter);
        let mut writers: BTreeMap<usize, bool> =
            letters.map(|(_, target)| (target.bolt, true)).collect();
        let of_bolts = self.bolts.iter().flat_map(BoltNode::targets);
        let all = of_spouts.chain(of_bolts.map(|(_, target)| target));
        for other in all.filter(|target| !target.dead_letter) {
            if let Some(only) = writers.get_mut(&other.bolt) {
                *only = false;
            }
        }
        writers
    }

    /// For each bolt the number of its task: the bolt that heads it.
    ///
    /// The edges between tasks have no cycle: a task is entered at its head only, and the graph of
    /// bolts has none. So a full inbox always drains.
    pub fn tasks(&self) -> Vec<usize> {
        let mut heads: Vec<usize> = (0..self.bolts.len()).collect();
        for bolt in 0..self.bolts.len() {
            let mut fused_into = None;
            let mut fusable = !self
                .spouts
                .iter()
                .any(|spout| spout.out.iter().any(|target| target.bolt == bolt));
            for (from, node) in self.bolts.iter().enumerate() {
                for (stream, target) in node.targets() {
                    if target.bolt != bolt {
                        continue;
                    }
                    debug_assert!(from < bolt, "edges lead from smaller to larger numbers");
                    // Rejected records come from retries too, from outside the task.
                    let direct = matches!(target.grouping, Grouping::Local)
                        && stream != Stream::REJECTED.index()
                        && target.overload == Overload::default();
                    fusable &= direct && fused_into.is_none_or(|head| head == heads[from]);
                    fused_into = Some(heads[from]);
                }
            }
            if let (true, Some(head)) = (fusable, fused_into) {
                heads[bolt] = head;
            }
        }
        heads
    }
}

impl BoltNode {
    /// All consumers, with the index of their stream.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (usize, &Target)> {
        self.outputs
            .iter()
            .enumerate()
            .flat_map(|(stream, output)| {
                output.targets().iter().map(move |target| (stream, target))
            })
    }
}
