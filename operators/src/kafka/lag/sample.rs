//! One round of questions: what brokers and the running spout say about each partition at a moment.
//!
//! The order makes the figures true: starts first, then commits, then what the spout has answered, then the
//! ends. Each can only have grown since the one before, so no difference of two is negative, and nothing
//! counts as deleted unread that was read and deleted between two questions.

use std::collections::BTreeMap;
use std::sync::Arc;

use isobar_topology::clock;

use super::age::{self, Bounds, Unread};
use super::brokers::{Brokers, TopicSettings};
use super::refusals::Refusals;
use crate::kafka::admin::{PartitionAnswer, Spec, TopicPartition};
use crate::kafka::commit_metadata::CommitMetadata;
use crate::kafka::error::Error;

/// What was said about one partition. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Who leads it, `host:port`; [`NO_LEADER`](super::NO_LEADER) where no broker does.
    pub leader: Option<Arc<str>>,
    /// The group's last commit, if it was asked for and there is one.
    pub committed: Option<i64>,
    /// What Isobar stored with that commit; `None` for commits of others.
    pub metadata: Option<CommitMetadata>,
    /// What the running spout had done by then; `None` when none reads the partition.
    pub progress: Option<Progress>,
    /// The first offset that still exists.
    pub start: Option<i64>,
    /// The offset after the last readable record.
    pub end: Option<i64>,
    /// The offset after the last record, those of open transactions included.
    pub high_watermark: Option<i64>,
    /// The timestamp of the first record that is not answered, where nobody has read it: in
    /// milliseconds since 1970, found by its offset.
    pub unread: Option<Unread>,
    /// When `end` was asked for, in milliseconds since 1970.
    pub sampled_ms: i64,
}

impl Sample {
    /// The offset before which everything is answered, or committed where nothing runs.
    pub fn done(&self) -> Option<i64> {
        let frontier = self.progress.and_then(|progress| progress.frontier);
        frontier.or(self.committed)
    }

    /// The offset before which as many records lie as are answered, where one reads the partition:
    /// behind one that is not, others may be.
    pub(super) fn answered(&self) -> Option<i64> {
        let Progress {
            next, in_flight, ..
        } = self.progress?;
        next?.checked_sub_unsigned(in_flight)
    }

    /// Timestamp of the record at the commit, where that had been read and still exists: as the commit tells it.
    /// Compaction may have removed that record since; what follows it is not older where brokers set the times.
    pub(super) fn committed_ms(&self) -> Option<i64> {
        let ms = self.metadata.as_ref()?.frontier_ms;
        let is_deleted = self.start > self.committed;
        ms.filter(|ms| *ms >= 0 && !is_deleted)
    }

    /// Records that are not answered.
    pub fn lag(&self) -> Option<u64> {
        behind(self.end, self.done()).or(self.empty())
    }

    /// Nothing is committed for a partition that has never held a record: that is no lag.
    pub(super) fn empty(&self) -> Option<u64> {
        (self.end.is_some() && self.start == self.end).then_some(0)
    }
}

/// What a running spout knows about one of its partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The next offset to hand to the bolts.
    pub next: Option<i64>,
    /// The lowest offset that is not answered yet.
    pub frontier: Option<i64>,
    /// Timestamp of the record at the frontier, in milliseconds since 1970, while it is in memory.
    pub frontier_ms: Option<i64>,
    /// Timestamp of the last answered record before it.
    pub answered_ms: Option<i64>,
    /// Records handed out and not answered.
    pub in_flight: u64,
    /// Records that were deleted before they were read, at most, since the start of the process.
    pub lost: u64,
}

/// The samples of a round, and why something is missing if it is.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// The last good sample of each partition that is still asked for.
    pub partitions: BTreeMap<TopicPartition, Sample>,
    /// Why a part of the last round failed, naming broker, topic or group.
    pub failure: Option<String>,
}

/// What of a round before helps the next: ages that were found, the topics' settings, and who leads the
/// partitions.
#[derive(Debug, Default)]
pub struct Ages {
    pub(super) settings: BTreeMap<String, TopicSettings>,
    pub(super) found: BTreeMap<TopicPartition, Bounds>,
    pub(super) leaders: BTreeMap<TopicPartition, Arc<str>>,
}

/// Takes one round of samples of `partitions`. `progress` is called between the questions and tells
/// what a running spout has done; `ages` stays the same value over the rounds.
///
/// Waits for the answers: three, and some more where an age must be looked for or the leader is not
/// known. Errors of single partitions, and of questions after the ends, leave their fields unknown and are
/// named in [`Samples::failure`].
pub fn sample(
    brokers: &dyn Brokers,
    partitions: &[TopicPartition],
    transactions: bool,
    progress: &dyn Fn() -> BTreeMap<TopicPartition, Progress>,
    ages: &mut Ages,
) -> Result<Samples, Error> {
    let mut samples: BTreeMap<TopicPartition, Sample> = partitions
        .iter()
        .map(|partition| (partition.clone(), Sample::default()))
        .collect();
    // The client then knows whom to ask for the rest.
    ages.leaders_of(brokers, &mut samples);
    let mut refusals = Refusals::default();
    let starts = brokers.offsets(partitions, Spec::Earliest)?;
    fill(&mut samples, starts, &mut refusals, |sample, start| {
        sample.start = Some(start);
    });
    for commit in brokers.committed(partitions)?.into_iter().flatten() {
        if let Some(sample) = samples.get_mut(&commit.partition) {
            sample.committed = Some(commit.offset);
            let metadata = commit.metadata.as_deref();
            sample.metadata = metadata.and_then(CommitMetadata::parse);
        }
    }
    for (partition, progress) in progress() {
        if let Some(sample) = samples.get_mut(&partition) {
            sample.progress = Some(progress);
        }
    }
    let sampled_ms = clock::unix_ms();
    // Who does not answer may not lead any more.
    let ends = brokers.offsets(partitions, Spec::Latest);
    let ends = ends.inspect_err(|_| ages.ask_for_leaders_again())?;
    fill(&mut samples, ends, &mut refusals, |sample, end| {
        sample.end = Some(end);
        sample.sampled_ms = sampled_ms;
    });
    ages.ask_again_who_leads(&samples);
    // Without the rest the lag is known all the same.
    let mut failures = Vec::new();
    if transactions {
        // Only who has come to the end may be waiting for a transaction.
        let at_end: Vec<TopicPartition> = samples
            .iter()
            .filter(|(_, sample)| sample.end.is_some() && sample.lag() == Some(0))
            .map(|(partition, _)| partition.clone())
            .collect();
        match brokers.offsets(&at_end, Spec::HighWatermark) {
            Ok(marks) => fill(&mut samples, marks, &mut refusals, |sample, mark| {
                sample.high_watermark = Some(mark);
            }),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if let Err(error) = age::find(brokers, &mut samples, ages, sampled_ms) {
        failures.push(error.to_string());
    }
    failures.extend(refusals.text());
    Ok(Samples {
        partitions: samples,
        failure: (!failures.is_empty()).then(|| failures.join("; ")),
    })
}

fn fill(
    samples: &mut BTreeMap<TopicPartition, Sample>,
    answers: Vec<PartitionAnswer<i64>>,
    refusals: &mut Refusals,
    put: impl Fn(&mut Sample, i64),
) {
    for (partition, answer) in answers {
        match (samples.get_mut(&partition), answer) {
            (Some(sample), Ok(offset)) => put(sample, offset),
            (_, Err(code)) => refusals.add(partition, code),
            (None, Ok(_)) => {}
        }
    }
}

/// Returns how many offsets `done` is behind `goal`, at least 0; unknown if either is.
pub(super) fn behind(goal: Option<i64>, done: Option<i64>) -> Option<u64> {
    Some(u64::try_from(goal? - done?).unwrap_or(0))
}
