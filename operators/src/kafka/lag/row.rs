//! The figures of one partition, put together from its sample, its past and what the running spout says
//! now.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::brokers::{Retention, TopicSettings};
use super::deletion::Deletion;
use super::eta::Eta;
use super::history::{History, Window};
use super::sample::{Progress, Sample, behind};
use super::status::Status;
use crate::kafka::admin::{Member, TopicPartition};

/// The owner of a partition that this process reads or holds.
pub const HERE: &str = "here";

/// How a figure is to be taken; what says less comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exactness {
    /// It is not known.
    #[default]
    Unknown,
    /// An estimate: the truth may be above or below.
    Sampled,
    /// The truth is this or less.
    UpperBound,
    /// The truth, at the time that the figure carries.
    Exact,
}

impl Exactness {
    /// Its word, as in JSON and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Sampled => "sampled",
            Self::UpperBound => "upper_bound",
            Self::Exact => "exact",
        }
    }

    /// How an age is to be taken that follows from where records lie: from the time of one before the one
    /// in question, or from a search by time.
    pub(super) fn by_order(rises: bool) -> Self {
        match rises {
            true => Self::UpperBound,
            false => Self::Sampled,
        }
    }
}

/// The lag of one partition. `None` is unknown; it is never shown as 0, and no figure is negative.
///
/// Offsets and differences of them are those of one moment, `sampled_ms`; then the committed lag is the
/// sum of read lag, open records and commit debt. Ages are those of now. While the brokers do not answer
/// the offsets stay as they were, and what follows from the end is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The partition.
    pub partition: TopicPartition,
    /// Who reads it: `here` for this process, else client id and host; `None` when nobody does.
    pub owner: Option<String>,
    /// The same as the group's coordinator knows it; `None` also for this process, which does not ask.
    pub member: Option<Member>,
    /// Who leads it: `host:port`, or [`NO_LEADER`](super::NO_LEADER); `None` where that is not known.
    pub leader: Option<Arc<str>>,
    /// When the ends were asked for, in milliseconds since 1970; `None` before they were.
    pub sampled_ms: Option<i64>,
    /// The first offset that still exists.
    pub start: Option<i64>,
    /// The offset after the last readable record.
    pub end: Option<i64>,
    /// The last commit; `None` when nothing was committed yet.
    pub committed: Option<i64>,
    /// The lowest offset that is not answered; `None` where nothing runs.
    pub frontier: Option<i64>,
    /// The next offset to hand to the bolts; `None` where nothing runs.
    pub next: Option<i64>,
    /// Records that are not answered: end − frontier, or end − committed when nothing runs.
    pub lag: Option<u64>,
    /// How the lag is to be taken: an upper bound when nothing is known but the commit.
    pub lag_exactness: Exactness,
    /// Records that another tool sees as lag: end − committed.
    pub committed_lag: Option<u64>,
    /// Records that have not been read: end − next.
    pub read_lag: Option<u64>,
    /// Offsets that were read and lie at or after the frontier: next − frontier.
    pub open: Option<u64>,
    /// Records that would be read again after a crash: frontier − committed.
    pub commit_debt: Option<u64>,
    /// Records handed out and not answered: the exact count, where gaps make `open` too large.
    pub in_flight: Option<u64>,
    /// Records that were deleted before they were read, at most: offsets that were passed, and those between the
    /// next offset (or the commit) and the start. Nobody tells any more which of them were markers of transactions,
    /// or aborted or compacted records.
    pub lost: Option<u64>,
    /// Age of the oldest record that is not answered, in milliseconds: 0 when there is none.
    pub age_ms: Option<u64>,
    /// How the age is to be taken: exact while the record is in memory.
    pub age_exactness: Exactness,
    /// Records between the start and the oldest one that is not answered: so many are deleted before
    /// any is lost.
    pub headroom: Option<u64>,
    /// When the oldest record that is not answered is deleted: by age, or by size at the speed of late where
    /// that is sooner.
    pub deletion: Deletion,
    /// How that is to be taken: an upper bound where size may delete sooner, and how fast is not known.
    pub headroom_exactness: Exactness,
    /// Offsets per second that came in during the last minute.
    pub incoming: Option<f64>,
    /// Offsets per second that were answered during the last minute, or from commit to commit where that is longer.
    pub outgoing: Option<f64>,
    /// How both are to be taken: estimates, since looks fall between batches and commits.
    pub rates_exactness: Exactness,
    /// When all of it is answered.
    pub eta: Eta,
    /// How that is to be taken: an estimate as the rates are, unless nothing is behind.
    pub eta_exactness: Exactness,
    /// For how long there has been lag and nothing was answered, in milliseconds; 0 without lag.
    pub still_ms: Option<u64>,
    /// What it means.
    pub status: Status,
    /// Why, in one sentence.
    pub reason: String,
}

/// What a row is made of.
pub(super) struct Parts<'a> {
    pub(super) sample: &'a Sample,
    pub(super) history: &'a History,
    /// What the running spout says now, where one reads the partition.
    pub(super) live: Option<&'a Progress>,
    /// Whether the group gave it to this process, which reads it or holds it.
    pub(super) is_here: bool,
    pub(super) settings: TopicSettings,
    /// Whether the brokers told the last time where it ends: that is not known otherwise.
    pub(super) heard: bool,
    pub(super) now_ms: i64,
}

impl Row {
    /// Enters who reads it, as the group's coordinator says; `None` when nobody does.
    pub fn read_by(&mut self, member: Option<Member>) {
        self.owner = member.as_ref().map(ToString::to_string);
        self.member = member;
    }

    /// A row of which nothing is known.
    pub fn unknown(partition: TopicPartition) -> Self {
        let nothing = Parts {
            sample: &Sample::default(),
            history: &History::new(Window::default()),
            live: None,
            is_here: false,
            settings: TopicSettings::default(),
            heard: true,
            now_ms: 0,
        };
        Self::of(partition, &nothing, (Status::NoData, String::new()))
    }

    pub(super) fn of(
        partition: TopicPartition,
        parts: &Parts<'_>,
        (status, reason): (Status, String),
    ) -> Self {
        let Parts {
            sample, history, ..
        } = parts;
        let progress = sample.progress;
        let frontier = progress.and_then(|progress| progress.frontier);
        let next = progress.and_then(|progress| progress.next);
        let lag = parts.now(sample.lag());
        let age = parts.age();
        let (deletion, headroom_exactness) = parts.deletion(age);
        let rates = parts.now(history.rates());
        let eta = parts.now(Some(history.eta())).unwrap_or_default();
        let behind_start = behind(sample.start, next.or(sample.committed));
        Self {
            partition,
            owner: parts.is_here.then(|| HERE.to_owned()),
            member: None,
            leader: sample.leader.clone(),
            sampled_ms: sample.end.map(|_| sample.sampled_ms),
            start: sample.start,
            end: sample.end,
            committed: sample.committed,
            frontier,
            next,
            lag,
            lag_exactness: match (lag, frontier) {
                (None, _) => Exactness::Unknown,
                (Some(0), _) | (_, Some(_)) => Exactness::Exact,
                _ => Exactness::UpperBound,
            },
            committed_lag: parts.now(behind(sample.end, sample.committed).or(sample.empty())),
            read_lag: parts.now(behind(sample.end, next)),
            open: behind(next, frontier),
            commit_debt: behind(frontier, sample.committed),
            in_flight: parts.live.map(|live| live.in_flight),
            lost: behind_start.map(|lost| lost + parts.live.map_or(0, |live| live.lost)),
            age_ms: age.map(|(ms, _)| ms),
            age_exactness: age.map_or(Exactness::Unknown, |(_, exactness)| exactness),
            headroom: behind(sample.done(), sample.start),
            deletion,
            headroom_exactness,
            incoming: rates.map(|(incoming, _)| incoming),
            outgoing: rates.map(|(_, outgoing)| outgoing),
            rates_exactness: rates.map_or(Exactness::Unknown, |_| Exactness::Sampled),
            eta,
            eta_exactness: match (eta, lag) {
                (Eta::Unknown, _) => Exactness::Unknown,
                (_, Some(0)) => Exactness::Exact,
                _ => Exactness::Sampled,
            },
            still_ms: match history.still_ms(parts.now_ms) {
                Some(0) => parts.now(Some(0)),
                still_ms => still_ms,
            },
            status,
            reason,
        }
    }
}

impl Parts<'_> {
    /// A figure that follows from where the partition ends, unless that is not known any more.
    fn now<T>(&self, figure: Option<T>) -> Option<T> {
        figure.filter(|_| self.heard)
    }

    /// The age of the oldest record that is not answered.
    fn age(&self) -> Option<(u64, Exactness)> {
        let since = |ms: i64| u64::try_from(self.now_ms - ms).unwrap_or(0);
        if let Some(live) = self.live {
            if live.in_flight > 0 {
                return Some((since(live.frontier_ms?), Exactness::Exact));
            }
            // Nothing is in memory: all that is not answered is what has not been read.
            return match self.sample.end {
                Some(end) if live.frontier >= Some(end) => self.now(Some((0, Exactness::Sampled))),
                // What was looked for was answered since. The next one was not produced before it.
                Some(_) if live.frontier > self.sample.done() => {
                    let rises = self.settings.log_append_time;
                    Some((since(live.answered_ms?), Exactness::by_order(rises)))
                }
                _ => {
                    let unread = self.sample.unread?;
                    let still = live.frontier == self.sample.done();
                    still.then(|| (since(unread.ms), Exactness::by_order(unread.rises)))
                }
            };
        }
        if self.sample.lag()? == 0 {
            return self.now(Some((0, Exactness::Sampled)));
        }
        match self.sample.committed_ms() {
            // It may be answered, or deleted by compaction, and what follows be older where producers set times.
            Some(ms) => {
                let rises = self.settings.log_append_time;
                Some((since(ms), Exactness::by_order(rises)))
            }
            None => {
                let unread = self.sample.unread?;
                Some((since(unread.ms), Exactness::by_order(unread.rises)))
            }
        }
    }

    /// When the oldest record that is not answered is deleted.
    fn deletion(&self, age: Option<(u64, Exactness)>) -> (Deletion, Exactness) {
        let TopicSettings {
            retention,
            bounded_by_size,
            ..
        } = self.settings;
        if retention == Retention::Never && !bounded_by_size {
            return (Deletion::Never, Exactness::Exact);
        }
        match self.headroom_ms(age) {
            Some((ms, exactness)) => (Deletion::Seconds(ms as f64 / 1_000.0), exactness),
            None => (Deletion::Unknown, Exactness::Unknown),
        }
    }

    fn headroom_ms(&self, age: Option<(u64, Exactness)>) -> Option<(u64, Exactness)> {
        let by_age = self.headroom_by_age(age);
        if !self.settings.bounded_by_size {
            return by_age;
        }
        let by_size = self.headroom_by_size(age);
        match (by_age, by_size) {
            (Some((by_age, _)), Some(by_size)) => Some((by_age.min(by_size), Exactness::Sampled)),
            (None, Some(by_size)) => Some((by_size, Exactness::Sampled)),
            (Some((by_age, _)), None) => Some((by_age, Exactness::UpperBound)),
            (None, None) => None,
        }
    }

    fn headroom_by_age(&self, age: Option<(u64, Exactness)>) -> Option<(u64, Exactness)> {
        let Retention::After(retention_ms) = self.settings.retention else {
            return None;
        };
        let (age_ms, exactness) = age.filter(|(ms, _)| *ms > 0)?;
        let age_ms = i64::try_from(age_ms).ok()?;
        let left = u64::try_from(retention_ms - age_ms).unwrap_or(0);
        let exactness = match exactness {
            // Of a record that is younger there is more.
            Exactness::UpperBound => Exactness::Sampled,
            exactness => exactness,
        };
        Some((left, exactness))
    }

    fn headroom_by_size(&self, age: Option<(u64, Exactness)>) -> Option<u64> {
        let is_done = age.is_some_and(|(ms, _)| ms == 0) || self.sample.lag()? == 0;
        let records = behind(self.sample.done(), self.sample.start)?;
        let per_second = self.history.deleted_per_second()?;
        (!is_done).then(|| (records as f64 * 1_000.0 / per_second) as u64)
    }
}
