//! The spout of a redrive: chunk by chunk in the order of the origins, each settled before the next.
//!
//! Letters lie in their topic in no order of origins, and a partition is handed out in the order of its
//! offsets. So a chunk is sorted, and between two chunks the partitions are given up and taken anew,
//! by the protocol of revokes: it answers when nothing is in flight.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use isobar_topology::{
    ArenaBuilder, Next, OperatorError, Partition, Partitions, Policy, SourceBatch, Spout, clock,
};
use tokio::sync::oneshot;

use super::hold::Hold;
use super::reader::{Again, Chunks};
use super::{Job, LetterAt};
use crate::kafka::{OutRecord, Producer};

/// Bounds of a batch.
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;

/// Nobody waits for the partitions: what is in flight takes as long as it takes.
const WITHOUT_HASTE: Duration = Duration::from_secs(30 * 24 * 3_600);

pub(super) struct Letters {
    job: Arc<Job>,
    chunks: Chunks,
    partitions: Arc<Partitions>,
    tombstones: Option<Policy>,
    /// One for each topic of letters.
    producers: Vec<Producer>,
    steps: VecDeque<Step>,
    /// Handed out since the last resolutions: where it is and by which letter.
    handed_out: Vec<(Arc<Partition>, i64, LetterAt)>,
    /// Answered when what was handed out is settled.
    settled: Option<oneshot::Receiver<()>>,
    /// What is settled is to be told.
    to_tell: bool,
    /// Why no more letters come.
    broken: Option<String>,
    hold: Hold,
}

enum Step {
    Assign(Arc<Partition>, i64),
    /// With the letters of its records.
    Batch(SourceBatch, Vec<LetterAt>),
    Settle(Vec<Arc<Partition>>),
}

/// Of one source, by topic and partition, with their offsets.
type Records<'a> = BTreeMap<(&'a str, i32), Vec<(i64, Again)>>;

impl Letters {
    pub(super) fn new(
        job: Arc<Job>,
        chunks: Chunks,
        partitions: Arc<Partitions>,
        tombstones: Option<Policy>,
        hold: Hold,
    ) -> Result<Self, OperatorError> {
        let topics = job.letters.iter();
        let producers = topics.map(|letters| Producer::new(letters.producer()));
        let producers = producers.collect::<Result<_, _>>();
        let producers = producers
            .map_err(|error| OperatorError::user("no producer can be made").with_source(error))?;
        Ok(Self {
            job,
            chunks,
            partitions,
            tombstones,
            producers,
            steps: VecDeque::new(),
            handed_out: Vec::new(),
            settled: None,
            to_tell: false,
            broken: None,
            hold,
        })
    }

    /// Sorts a chunk. Records of a topic that was made anew have another source: they come apart, since
    /// one partition cannot be two at a time.
    fn begin(&mut self, chunk: Vec<Again>) {
        let mut sources: BTreeMap<u64, Records<'_>> = BTreeMap::new();
        let job = Arc::clone(&self.job);
        for record in chunk {
            let Some(pick) = job.picks.get(&record.letter) else {
                continue;
            };
            let origin = &pick.origin;
            let of_source = sources.entry(origin.source).or_default();
            let partition = of_source.entry((&origin.topic, origin.partition));
            partition.or_default().push((origin.offset, record));
        }
        for (source, partitions) in sources {
            let mut assigned = Vec::new();
            for ((topic, number), mut records) in partitions {
                records.sort_by_key(|(offset, _)| *offset);
                let partition = self.partitions.open(topic, number, source);
                let start = records.first().map_or(0, |(offset, _)| *offset);
                self.steps
                    .push_back(Step::Assign(Arc::clone(&partition), start));
                self.batches(&partition, records);
                assigned.push(partition);
            }
            self.steps.push_back(Step::Settle(assigned));
        }
    }

    fn batches(&mut self, partition: &Arc<Partition>, records: Vec<(i64, Again)>) {
        let mut records = records.into_iter().peekable();
        let most = self.hold.batch_records(BATCH_RECORDS);
        while records.peek().is_some() {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while let Some((offset, record)) =
                records.next_if(|_| batch.len() < most && bytes < BATCH_BYTES)
            {
                bytes += record.bytes();
                batch.push((offset, record));
            }
            let letters = batch.iter().map(|(_, record)| record.letter).collect();
            let batch = self.batch(partition, batch, bytes);
            self.steps.push_back(Step::Batch(batch, letters));
        }
    }

    fn batch(
        &self,
        partition: &Arc<Partition>,
        records: Vec<(i64, Again)>,
        bytes: usize,
    ) -> SourceBatch {
        let mut arena = ArenaBuilder::new(Arc::clone(partition), records.len(), bytes);
        let mut dropped = Vec::new();
        for (offset, record) in records {
            if let (None, Some(policy)) = (&record.payload, self.tombstones) {
                dropped.push((arena.len() as u32, policy));
            }
            let pick = self.job.picks.get(&record.letter);
            let timestamp = pick.and_then(|pick| pick.origin.timestamp);
            let headers = record.headers.iter();
            arena.push(
                offset,
                timestamp.unwrap_or(-1),
                record.key.as_deref(),
                record.payload.as_deref(),
                headers.map(|(name, value)| (name.as_slice(), value.as_deref())),
            );
        }
        SourceBatch {
            arena: arena.finish(),
            dropped,
        }
    }

    /// Writes the resolutions of what is settled. Called again after a failure, it may write some twice,
    /// which changes nothing.
    async fn tell(&mut self) -> Result<(), OperatorError> {
        let is_settled = |partition: &Partition, offset: i64| {
            let frontier = partition.account().frontier;
            frontier.is_some_and(|frontier| offset < frontier)
        };
        let handed_out = self.handed_out.iter();
        let settled = handed_out.filter(|(partition, offset, _)| is_settled(partition, *offset));
        let written: Vec<_> = settled
            .filter_map(|(.., letter)| self.job.picks.get(letter))
            .flat_map(|pick| &pick.marks)
            .map(|mark| (mark.at, mark.resolution.headers()))
            .collect();
        let headers: Vec<_> = written.iter().map(|(to, all)| (*to, views(all))).collect();
        for (number, letters) in self.job.letters.iter().enumerate() {
            let of_topic = headers.iter().filter(|((topic, ..), _)| *topic == number);
            let records = of_topic.map(|((_, partition, _), headers)| OutRecord {
                topic: letters.topic(),
                partition: Some(*partition),
                headers,
                ..OutRecord::default()
            });
            let failures = self.producers[number].send(records).await.await;
            if let Some((_, error)) = failures.first() {
                return Err(OperatorError::external(format!(
                    "it cannot be written which dead letters are settled: {error}"
                )));
            }
        }
        self.handed_out.clear();
        Ok(())
    }
}

fn views<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, Option<&'a [u8]>)> {
    let headers = headers.iter();
    headers
        .map(|(name, value)| (*name, Some(value.as_bytes())))
        .collect()
}

impl Spout for Letters {
    async fn next(&mut self) -> Result<Next, OperatorError> {
        loop {
            if let Some(settled) = &mut self.settled {
                // Dropped only when the run has ended.
                let _ = settled.await;
                self.settled = None;
            }
            if self.to_tell {
                self.tell().await?;
                self.to_tell = false;
            }
            if let Some(error) = &self.broken {
                let text = format!("the dead letters cannot be read to their end: {error}");
                return Err(OperatorError::external(text));
            }
            if let Some(Step::Batch(..)) = self.steps.front() {
                self.hold.may_go().await;
            }
            match self.steps.pop_front() {
                Some(Step::Assign(partition, start)) => {
                    return Ok(Next::Assigned { partition, start });
                }
                Some(Step::Batch(batch, letters)) => {
                    let arena = &batch.arena;
                    self.hold.took(letters.len());
                    let records = letters.into_iter().enumerate().map(|(record, letter)| {
                        (Arc::clone(arena.partition()), arena.offset(record), letter)
                    });
                    self.handed_out.extend(records);
                    return Ok(Next::Batch(batch));
                }
                Some(Step::Settle(partitions)) => {
                    let (done, settled) = oneshot::channel();
                    self.settled = Some(settled);
                    self.to_tell = true;
                    return Ok(Next::Revoking {
                        partitions,
                        deadline: clock::now() + WITHOUT_HASTE,
                        done,
                    });
                }
                None => match self.chunks.recv().await {
                    Some(Ok(chunk)) => self.begin(chunk),
                    // The thread has ended: another run finds what is open then.
                    Some(Err(error)) => self.broken = Some(error.to_string()),
                    None => return Ok(Next::End),
                },
            }
        }
    }

    async fn close(&mut self) -> Result<(), OperatorError> {
        self.tell().await
    }
}
