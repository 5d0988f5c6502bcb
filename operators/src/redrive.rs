//! What a program needs to send dead letters through their topology again: the letters that are meant,
//! and a spout that hands out their records as if they came from where they were first read.
//!
//! A record keeps its topic, partition, offset and timestamp, so its documents have the ids that they
//! would have had. When all that was handed out is settled, the topics of the letters are told so: what
//! a killed run has not told is open still, and sent through once more by the next one.

mod hold;
mod reader;
mod spout;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use isobar_topology::spec::{Problems, Spec, parse_config};
use isobar_topology::{
    AnySpout, Graph, MakeSpout, Next, OperatorError, Policy, Spout, SpoutContext,
};

use crate::dead_letter::{Origin, Resolution};
use crate::letters::DeadLetters;
use crate::replay::Gate;
use crate::spouts::{self, KafkaConfig};
use hold::Hold;
use spout::Letters;

/// The letters that are meant.
#[derive(Clone, Debug)]
pub struct Job {
    /// The name of the run: the topology's, [`REDRIVE`](crate::dead_letter::REDRIVE), and what makes it
    /// the only one. New letters have it, and count their redrives by it.
    pub run: String,
    /// The topics that they are in.
    pub letters: Vec<DeadLetters>,
    /// One letter of each record.
    pub picks: Arc<BTreeMap<LetterAt, Pick>>,
    /// How long the brokers may say nothing.
    pub within: Duration,
    /// Records per second at most. With one, what is settled is marked each 30 s at least.
    pub rate: Option<NonZeroU32>,
    /// Whether a record can be stored a second time, by a run that goes on with one that has died. What is settled is
    /// marked each 1,000 records then, and not each 20,000.
    pub is_unprotected: bool,
    /// What holds it back from outside.
    pub gate: Option<Arc<Gate>>,
    /// Counts the picks that are left out, as there is no letter of their record at their place: a topic was made
    /// again.
    pub misplaced: Arc<AtomicU64>,
}

/// Where a letter is: the number of its topic among those of the job, and partition and offset there.
pub type LetterAt = (usize, i32, i64);

/// A record that is sent through again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Where it was first read.
    pub origin: Origin,
    /// How often it was sent through again before; its resolutions have the same number.
    pub redrives: u32,
    /// What is written when it is settled.
    pub marks: Vec<Mark>,
}

/// A resolution, and where it is written, so that whoever reads that topic alone sees what is settled in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its letter, whose topic and partition it goes to; for one in a file, the letter that its record is read from.
    pub at: LetterAt,
    /// What is said there.
    pub resolution: Resolution,
}

impl Pick {
    /// What is written when it is settled, wherever that is.
    pub fn resolutions(&self) -> impl Iterator<Item = &Resolution> {
        self.marks.iter().map(|mark| &mark.resolution)
    }
}

/// Makes the Kafka spout `id` of a planned graph hand out the records of dead letters, and end then.
/// The graph has the name of the run then. One lane reads; `shuffle` and `fields` edges lead to the others. Fails with what is wrong with the
/// spout's options.
pub fn redrive(spec: &Spec, graph: &mut Graph, id: &str, job: Job) -> Result<(), Problems> {
    let Some(component) = spec.spouts.iter().find(|spout| spout.id == id) else {
        return Ok(());
    };
    let config: KafkaConfig = parse_config(&component.config, &component.path)?;
    let tombstones = spouts::tombstones(&config, graph, id);
    graph.name.clone_from(&job.run);
    let job = Arc::new(job);
    if let Some(node) = graph.spouts.iter_mut().find(|node| *node.id == *id) {
        node.start = Box::new(move |context| start(&job, tombstones, context));
    }
    Ok(())
}

fn start(
    job: &Arc<Job>,
    tombstones: Option<Policy>,
    context: SpoutContext,
) -> Result<Vec<MakeSpout>, OperatorError> {
    let health = context.health.clone();
    let chunks = reader::start(Arc::clone(job), context.health)?;
    let hold = Hold::new(job.rate, job.gate.clone(), health);
    let letters = Letters::new(
        Arc::clone(job),
        chunks,
        context.partitions,
        tombstones,
        hold,
    )?;
    let first: MakeSpout = Box::new(move || AnySpout::new(letters));
    let others = (1..context.lanes).map(|_| -> MakeSpout { Box::new(|| AnySpout::new(Nothing)) });
    Ok(std::iter::once(first).chain(others).collect())
}

/// The spout on the other lanes.
struct Nothing;

impl Spout for Nothing {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        Ok(Next::End)
    }
}

#[cfg(test)]
mod tests;
