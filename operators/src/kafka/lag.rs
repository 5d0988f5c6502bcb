//! Lag: how far a group's answered and committed offsets are behind the end of each partition.
//!
//! [`rows`] is a pure function over samples; [`Sampler`] takes the samples on a thread of its own.
//! The client's own statistics are not used: they freeze under backpressure, when lag matters.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use isobar_topology::clock;

use super::admin::{Admin, Spec, TopicPartition};
use super::commit_metadata::CommitMetadata;
use super::error::Error;
use super::log::lock;

/// What the brokers said about one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The group's last commit, if it was asked for and there is one.
    pub committed: Option<i64>,
    /// The text stored with that commit.
    pub metadata: Option<String>,
    /// The first offset that still exists.
    pub start: Option<i64>,
    /// The offset after the last readable record.
    pub end: Option<i64>,
    /// When `end` was asked for, in milliseconds since 1970.
    pub sampled_ms: i64,
}

/// What a running spout knows about one of its partitions; all unknown when it does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The next offset to hand to the bolts.
    pub next: Option<i64>,
    /// The lowest offset that is not answered yet.
    pub frontier: Option<i64>,
    /// Timestamp of the record at the frontier, in milliseconds since 1970.
    pub frontier_ms: Option<i64>,
    /// The last offset whose commit was confirmed.
    pub committed: Option<i64>,
    /// Records handed out and not answered.
    pub in_flight: Option<u64>,
}

/// The lag of one partition. `None` is unknown; it is never shown as 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset that still exists.
    pub start: Option<i64>,
    /// The offset after the last readable record.
    pub end: Option<i64>,
    /// The last commit; `None` when nothing was committed yet.
    pub committed: Option<i64>,
    /// Records that are not answered: end − frontier, or end − committed when nothing runs.
    pub lag: Option<u64>,
    /// Records that another tool sees as lag: end − committed.
    pub committed_lag: Option<u64>,
    /// Records that have not been read: end − next.
    pub read_lag: Option<u64>,
    /// Records that would be read again after a crash: frontier − committed.
    pub commit_debt: Option<u64>,
    /// Records handed out and not answered.
    pub in_flight: Option<u64>,
    /// Records that were deleted before they were answered: start − frontier (or committed).
    pub lost: Option<u64>,
    /// Age of the oldest record that is not answered, in milliseconds: 0 when there is none,
    /// `None` when its timestamp is not known.
    pub age_ms: Option<u64>,
}

/// Computes the lag of every partition that either side knows, in the order of their names.
///
/// `now_ms` is the wall-clock time in milliseconds since 1970. Commits must have been sampled
/// before ends; a progress newer than the sample is allowed for by never going below 0.
pub fn rows(
    samples: &BTreeMap<TopicPartition, Sample>,
    progress: &BTreeMap<TopicPartition, Progress>,
    now_ms: i64,
) -> Vec<Row> {
    let mut partitions: Vec<_> = samples.keys().chain(progress.keys()).collect();
    partitions.sort();
    partitions.dedup();
    partitions
        .into_iter()
        .map(|partition| {
            let sample = samples.get(partition).cloned().unwrap_or_default();
            let progress = progress.get(partition).copied().unwrap_or_default();
            row(partition.clone(), &sample, &progress, now_ms)
        })
        .collect()
}

fn row(partition: TopicPartition, sample: &Sample, progress: &Progress, now_ms: i64) -> Row {
    let committed = progress.committed.max(sample.committed);
    let done = progress.frontier.or(committed);
    // Nothing is committed for a partition that has never held a record.
    let empty = (sample.end.is_some() && sample.start == sample.end).then_some(0);
    let lag = behind(sample.end, done).or(empty);
    let metadata = sample.metadata.as_deref().and_then(CommitMetadata::parse);
    let frontier_ms = match progress.frontier {
        Some(_) => progress.frontier_ms,
        None => metadata.and_then(|metadata| metadata.frontier_ms),
    };
    Row {
        partition,
        start: sample.start,
        end: sample.end,
        committed,
        lag,
        committed_lag: behind(sample.end, committed).or(empty),
        read_lag: behind(sample.end, progress.next),
        commit_debt: behind(progress.frontier, committed),
        in_flight: progress.in_flight,
        lost: behind(sample.start, done),
        age_ms: match (lag, frontier_ms) {
            (Some(0), _) => Some(0),
            (_, Some(ms)) if ms >= 0 => Some(now_ms.abs_diff(ms.min(now_ms))),
            _ => None,
        },
    }
}

/// Returns how many offsets `done` is behind `goal`, at least 0; unknown if either is.
fn behind(goal: Option<i64>, done: Option<i64>) -> Option<u64> {
    Some(u64::try_from(goal? - done?).unwrap_or(0))
}

/// Samples offsets on a thread of its own until it is dropped.
pub struct Sampler {
    shared: Arc<Shared>,
}

/// The samples so far, and why the last round failed if it did.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// The last good sample of each partition that is still asked for.
    pub partitions: BTreeMap<TopicPartition, Sample>,
    /// Why the last round failed, naming broker, topic or group.
    pub failure: Option<String>,
}

struct Shared {
    samples: Mutex<Arc<Samples>>,
    stop: Mutex<bool>,
    stopped: Condvar,
}

impl Sampler {
    /// Starts sampling what `partitions` returns, at once and then every `interval`.
    ///
    /// If `admin` was made for a group, its commits are asked for too, before the ends. Fails only when no thread can
    /// be made; unreachable brokers show as [`Samples::failure`].
    pub fn start(
        admin: Admin,
        interval: Duration,
        partitions: impl Fn() -> Vec<TopicPartition> + Send + 'static,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            samples: Mutex::default(),
            stop: Mutex::new(false),
            stopped: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let _ = std::thread::Builder::new()
            .name("kafka-lag".to_owned())
            .spawn(move || theirs.run(&admin, interval, &partitions))
            .map_err(|source| Error::System {
                what: "starting the lag thread".to_owned(),
                source,
            })?;
        Ok(Self { shared })
    }

    /// Returns the newest samples; never waits for the brokers.
    pub fn samples(&self) -> Arc<Samples> {
        Arc::clone(&lock(&self.shared.samples))
    }
}

/// Between two looks while there is nothing to ask about: a member that has just started gets its
/// partitions soon.
const UNTIL_ASSIGNED: Duration = Duration::from_millis(250);

/// Tells the thread to end; it does after the question that it is asking.
impl Drop for Sampler {
    fn drop(&mut self) {
        *lock(&self.shared.stop) = true;
        self.shared.stopped.notify_all();
    }
}

impl Shared {
    fn run(&self, admin: &Admin, interval: Duration, partitions: &dyn Fn() -> Vec<TopicPartition>) {
        let mut stop = lock(&self.stop);
        while !*stop {
            drop(stop);
            let partitions = partitions();
            self.round(admin, &partitions);
            let pause = match partitions.is_empty() {
                true => interval.min(UNTIL_ASSIGNED),
                false => interval,
            };
            stop = self
                .stopped
                .wait_timeout_while(lock(&self.stop), pause, |stop| !*stop)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(stop, _)| stop);
        }
    }

    fn round(&self, admin: &Admin, partitions: &[TopicPartition]) {
        let before = Arc::clone(&lock(&self.samples));
        let after = match sample(admin, partitions) {
            Ok(fresh) => fresh,
            Err(error) => Samples {
                partitions: before
                    .partitions
                    .iter()
                    .filter(|(partition, _)| partitions.contains(partition))
                    .map(|(partition, sample)| (partition.clone(), sample.clone()))
                    .collect(),
                failure: Some(error.to_string()),
            },
        };
        *lock(&self.samples) = Arc::new(after);
    }
}

/// Takes one round of samples: commits first, then starts, then ends, so that no lag is negative.
///
/// Waits for up to three answers. Errors of single partitions leave their fields unknown and are
/// named in [`Samples::failure`].
pub fn sample(admin: &Admin, partitions: &[TopicPartition]) -> Result<Samples, Error> {
    let mut samples: BTreeMap<TopicPartition, Sample> = partitions
        .iter()
        .map(|partition| (partition.clone(), Sample::default()))
        .collect();
    for commit in admin.committed(partitions)?.into_iter().flatten() {
        if let Some(sample) = samples.get_mut(&commit.partition) {
            sample.committed = Some(commit.offset);
            sample.metadata = commit.metadata;
        }
    }
    let mut failure = None;
    for (partition, start) in admin.offsets(partitions, Spec::Earliest)? {
        match (samples.get_mut(&partition), start) {
            (Some(sample), Ok(start)) => sample.start = Some(start),
            (_, Err(code)) => failure = Some(refused(&partition, code)),
            (None, Ok(_)) => {}
        }
    }
    let sampled_ms = clock::unix_ms();
    for (partition, end) in admin.offsets(partitions, Spec::Latest)? {
        match (samples.get_mut(&partition), end) {
            (Some(sample), Ok(end)) => {
                sample.end = Some(end);
                sample.sampled_ms = sampled_ms;
            }
            (_, Err(code)) => failure = Some(refused(&partition, code)),
            (None, Ok(_)) => {}
        }
    }
    Ok(Samples {
        partitions: samples,
        failure,
    })
}

fn refused(partition: &TopicPartition, code: super::admin::RDKafkaErrorCode) -> String {
    let TopicPartition { topic, partition } = partition;
    format!("topic {topic}, partition {partition}: {code}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sample: Sample, progress: Progress) -> Row {
        let partition = TopicPartition::new("logs", 0);
        let samples = BTreeMap::from([(partition.clone(), sample)]);
        let progress = BTreeMap::from([(partition, progress)]);
        rows(&samples, &progress, 10_000).remove(0)
    }

    fn sampled(start: i64, end: i64, committed: Option<i64>) -> Sample {
        Sample {
            committed,
            metadata: None,
            start: Some(start),
            end: Some(end),
            sampled_ms: 1,
        }
    }

    #[test]
    fn the_parts_of_the_lag_add_up() {
        let progress = Progress {
            next: Some(90),
            frontier: Some(70),
            frontier_ms: Some(4_000),
            committed: Some(60),
            in_flight: Some(20),
        };
        let row = check(sampled(10, 100, Some(50)), progress);
        assert_eq!(row.lag, Some(30));
        assert_eq!(row.committed, Some(60), "the newer commit counts");
        assert_eq!(row.committed_lag, Some(40));
        assert_eq!(row.read_lag, Some(10));
        assert_eq!(row.commit_debt, Some(10));
        assert_eq!(row.lost, Some(0));
        assert_eq!(row.age_ms, Some(6_000));
    }

    #[test]
    fn a_group_without_commits_has_unknown_lag_and_not_zero() {
        let row = check(sampled(0, 100, None), Progress::default());
        assert_eq!((row.lag, row.committed_lag, row.age_ms), (None, None, None));
        assert_eq!((row.lost, row.in_flight), (None, None));
    }

    #[test]
    fn a_partition_without_records_has_no_lag() {
        let row = check(sampled(7, 7, None), Progress::default());
        assert_eq!(
            (row.lag, row.committed_lag, row.age_ms),
            (Some(0), Some(0), Some(0))
        );
    }

    #[test]
    fn an_end_older_than_the_progress_gives_zero_and_never_less() {
        let progress = Progress {
            next: Some(130),
            frontier: Some(120),
            ..Progress::default()
        };
        let row = check(sampled(0, 100, None), progress);
        assert_eq!(
            (row.lag, row.read_lag, row.age_ms),
            (Some(0), Some(0), Some(0))
        );
    }

    #[test]
    fn a_stopped_group_has_its_lag_and_age_from_the_commit() {
        let mut sample = sampled(20, 100, Some(10));
        sample.metadata = Some("isobar1;f=9000".to_owned());
        let row = check(sample, Progress::default());
        assert_eq!(
            (row.lag, row.lost, row.age_ms),
            (Some(90), Some(10), Some(1_000))
        );
    }

    #[test]
    fn a_record_of_the_future_has_age_zero() {
        let progress = Progress {
            frontier: Some(1),
            frontier_ms: Some(99_000),
            ..Progress::default()
        };
        assert_eq!(check(sampled(0, 5, None), progress).age_ms, Some(0));
    }

    #[test]
    fn partitions_of_either_side_have_a_row() {
        let samples = BTreeMap::from([(TopicPartition::new("b", 0), Sample::default())]);
        let progress = BTreeMap::from([(TopicPartition::new("a", 1), Progress::default())]);
        let names: Vec<_> = rows(&samples, &progress, 0)
            .into_iter()
            .map(|row| row.partition.topic.to_string())
            .collect();
        assert_eq!(names, ["a", "b"]);
    }
}
