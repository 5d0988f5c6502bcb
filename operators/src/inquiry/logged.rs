//! What the brokers say of one record: where its offset lies in the log, and what its group has committed.

use std::sync::Arc;
use std::time::Duration;

use isobar_topology::clock::{self, Instant};

use super::Place;
use crate::kafka::admin::{RDKafkaErrorCode, Spec, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::{Asked, Looking, let_go};
use crate::lag::Source;
use crate::offsets::Group;
use crate::range::Log;
use crate::replay::origin_of;
use crate::spouts;

/// What the brokers say of a record. What they do not say has the reason instead: while a partition changes
/// its leader, nobody knows where its log ends, but documents and letters can be found all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// What the log of the partition holds.
    pub log: Result<Log, String>,
    /// What the group has committed, if anything.
    pub committed: Result<Option<i64>, String>,
    /// Members of the group.
    pub members: Result<usize, String>,
    /// Whether there is a record at the offset; `None` where that cannot be known, as it is deleted or the
    /// log is not known.
    pub exists: Result<Option<bool>, String>,
    /// The hash of cluster and topic, as it stands in dead letters.
    pub source: u64,
    /// The same as it stands in documents.
    pub origin: String,
}

impl Logged {
    /// What the brokers did not say, and why.
    pub fn unsaid(&self) -> Vec<String> {
        let unsaid = [
            self.log.as_ref().err(),
            self.exists.as_ref().err(),
            self.committed.as_ref().err(),
            self.members.as_ref().err(),
        ];
        unsaid.into_iter().flatten().cloned().collect()
    }
}

/// Asks the brokers about a record that a spout of `source` reads, all at the same time. Waits at most
/// `within`.
///
/// Fails when the spout does not read the partition, or when nobody says which cluster and topic it is.
pub fn logged(source: &Source, place: &Place, within: Duration) -> Result<Logged, Error> {
    let brokers = Brokers {
        group: Arc::new(Group::of(source, within)?),
        looking: Arc::new(Looking::of(source.connection())?),
        place: place.clone(),
        deadline: clock::now() + within,
    };
    let logged = brokers.say();
    let_go(brokers);
    logged
}

fn in_words(error: Error) -> String {
    error.to_string()
}

/// Who is asked, and up to when.
struct Brokers {
    group: Arc<Group>,
    looking: Arc<Looking>,
    place: Place,
    deadline: Instant,
}

impl Brokers {
    fn say(&self) -> Result<Logged, Error> {
        let identity = self.ask(|group, partition| {
            let id = group.topic_id(partition)?;
            Ok((group.cluster_id()?, id))
        })?;
        let start = self.ask(offset(Spec::Earliest))?;
        let end = self.ask(offset(Spec::Latest))?;
        let high = self.ask(offset(Spec::HighWatermark))?;
        let record = self.look()?;
        let committed = self.ask(|group, partition| {
            let mut commits = group.commits(std::slice::from_ref(partition))?;
            Ok(commits.remove(partition).map(|commit| commit.offset))
        })?;
        let members = self.ask(|group, _| Ok(group.state()?.members))?;

        let topic = &*self.place.partition.topic;
        let (cluster, id) =
            self.answer(identity, &format!("asking for the id of topic {topic}"))?;
        let log = self.log(start, end, high);
        let exists = match &log {
            Ok(log) => self.exists(log, record),
            Err(_) => Ok(None),
        };
        let group = self.group.name();
        let committed = self.answer(
            committed,
            &format!("asking for the commits of group {group}"),
        );
        let members = self.answer(members, &format!("asking for the members of group {group}"));
        Ok(Logged {
            log: log.map_err(in_words),
            committed: committed.map_err(in_words),
            members: members.map_err(in_words),
            exists: exists.map_err(in_words),
            source: spouts::source(&cluster, topic, id.as_deref().unwrap_or_default()),
            origin: origin_of(&cluster, topic, id.as_deref()),
        })
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Group, &TopicPartition) -> Result<T, Error> + Send + 'static,
    ) -> Result<Asked<T>, Error> {
        let asked = (Arc::clone(&self.group), self.place.partition.clone());
        Asked::of(asked, |(group, partition)| question(group, partition))
    }

    /// Asks whether there is a record.
    fn look(&self) -> Result<Asked<bool>, Error> {
        let (place, left) = (self.place.clone(), self.left());
        Asked::of(Arc::clone(&self.looking), move |looking| {
            looking.has_record(&place.partition, place.offset, left)
        })
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(clock::now())
    }

    fn answer<T: Send + 'static>(&self, asked: Asked<T>, what: &str) -> Result<T, Error> {
        let late = || self.group.admin().no_answer(what.to_owned());
        asked.by(self.deadline, late)
    }

    fn log(&self, start: Asked<i64>, end: Asked<i64>, high: Asked<i64>) -> Result<Log, Error> {
        let what = asking_for_offsets(&self.place.partition);
        Ok(Log {
            start: self.answer(start, &what)?,
            end: self.answer(end, &what)?,
            high: self.answer(high, &what)?,
        })
    }

    fn exists(&self, log: &Log, record: Asked<bool>) -> Result<Option<bool>, Error> {
        let Place { partition, offset } = &self.place;
        match *offset {
            offset if offset < log.start => return Ok(None),
            offset if offset >= log.end => return Ok(Some(false)),
            _ => {}
        }
        let what = format!(
            "reading {}/{} at {offset}",
            partition.topic, partition.partition
        );
        if self.answer(record, &what)? {
            return Ok(Some(true));
        }
        // The log may have ended before it at that moment, and is known to go on behind it only now.
        self.answer(self.look()?, &what).map(Some)
    }
}

/// A question for one offset of a partition.
fn offset(spec: Spec) -> impl FnOnce(&Group, &TopicPartition) -> Result<i64, Error> + Send {
    move |group, partition| {
        let answers = group
            .admin()
            .offsets(std::slice::from_ref(partition), spec)?;
        let answer = answers.into_iter().next().map(|(_, answer)| answer);
        let unavailable = Err(RDKafkaErrorCode::OffsetNotAvailable);
        answer
            .unwrap_or(unavailable)
            .map_err(|code| Error::Refused {
                what: asking_for_offsets(partition),
                code,
                text: code.to_string(),
            })
    }
}

fn asking_for_offsets(partition: &TopicPartition) -> String {
    let TopicPartition { topic, partition } = partition;
    format!("asking for the offsets of {topic}/{partition}")
}
