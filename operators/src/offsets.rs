//! What a program needs to show, move and restore the commits of a spout's consumer group.
//!
//! Every change is one request to the group's coordinator, which refuses it while the group has a
//! member. A member that came and went between looking and writing is seen by what it has committed.

use std::collections::BTreeMap;
use std::time::Duration;

use isobar_topology::clock;

use crate::kafka::admin::{Admin, Commit, Committed, GroupState, RDKafkaErrorCode, TopicPartition};
use crate::kafka::commit_metadata::CommitMetadata;
use crate::kafka::error::Error;
use crate::lag::Source;
use crate::range::{self, Log, Place, Selection};
use crate::spouts::source;

/// The consumer group of a spout, as somebody sees it who is no member.
pub struct Group {
    admin: Admin,
    name: String,
    topics: Vec<String>,
}

/// A partition of a group.
#[derive(Clone, Debug)]
pub struct Position {
    /// The partition.
    pub partition: TopicPartition,
    /// The topic's id in Kafka's spelling; `None` where the cluster has none.
    pub topic_id: Option<String>,
    /// What its log holds.
    pub log: Log,
    /// The last commit.
    pub committed: Option<Committed>,
}

/// Why a change was not made, or not whole.
#[derive(Debug)]
pub struct NotMade {
    /// Partitions whose commit was changed all the same.
    pub changed: usize,
    /// What the cluster said.
    pub error: Error,
}

/// What is to become of the commit of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is this offset and text.
    To(i64, String),
    /// There is none, as before the first one.
    None,
}

impl Group {
    /// Makes a client; contacts nobody yet. Each question waits at most `within`.
    pub fn of(source: &Source, within: Duration) -> Result<Self, Error> {
        Ok(Self {
            admin: Admin::of_group(source.connection(), &source.group, within)?,
            name: source.group.clone(),
            topics: source.topics.clone(),
        })
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client that asks.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Asks for the cluster's id.
    pub fn cluster_id(&self) -> Result<String, Error> {
        self.admin.cluster_id()
    }

    /// Asks whether the group has members. One that does not exist has none.
    pub fn state(&self) -> Result<GroupState, Error> {
        self.admin.group_state()
    }

    /// Asks whether it exists: whether it has members, or commits for whatever topic. Embedded Kafka answers no
    /// questions about groups; there, whether it has committed anything for the topics of this one.
    pub fn exists(&self) -> Result<bool, Error> {
        match self.state() {
            Ok(state) => Ok(state.exists()),
            Err(error) if error.is_unsupported() => {
                let partitions = self.selected(&self.topics, &Selection::default())?;
                Ok(!self.commits(&partitions)?.is_empty())
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for the partitions that `selection` means: logs, ids and commits.
    ///
    /// Fails when it names what is not there, or when a topic does not exist.
    pub fn positions(&self, selection: &Selection) -> Result<Vec<Position>, Error> {
        let partitions = self.selected(&self.topics, selection)?;
        let mut logs = range::logs(&self.admin, &partitions)?;
        let ids = self.topic_ids(&partitions)?;
        let mut commits = self.commits(&partitions)?;
        let positions = partitions.into_iter().filter_map(|partition| {
            Some(Position {
                topic_id: ids.get(&*partition.topic).cloned().flatten(),
                log: logs.remove(&partition)?,
                committed: commits.remove(&partition),
                partition,
            })
        });
        Ok(positions.collect())
    }

    /// Asks for the id of a partition's topic; `None` where the cluster has none.
    ///
    /// Fails when the spout does not read that partition.
    pub fn topic_id(&self, partition: &TopicPartition) -> Result<Option<String>, Error> {
        let number = partition.partition.to_string();
        let selection = Selection {
            topics: vec![partition.topic.to_string()],
            partitions: Some(number.parse().map_err(Error::Config)?),
        };
        // Where it is named, the others need not be asked for.
        let named = self.topics.iter().find(|name| **name == *partition.topic);
        let topics = named.map_or(&*self.topics, std::slice::from_ref);
        let partitions = self.selected(topics, &selection)?;
        let mut ids = self.topic_ids(&partitions)?;
        Ok(ids.remove(&*partition.topic).flatten())
    }

    /// Asks which topic of that name there is: for the hash of the cluster, the name and the topic's id, as it stands
    /// in dead letters. `None` where there is none now.
    pub fn source_of(&self, topic: &str) -> Result<Option<u64>, Error> {
        let cluster = self.cluster_id()?;
        let answer = match self.admin.topics(&[topic]) {
            // There topics have no ids.
            Err(error) if error.is_unsupported() => return Ok(Some(source(&cluster, topic, ""))),
            answers => answers?.into_iter().find(|(name, _)| name == topic),
        };
        match answer {
            Some((_, Ok(known))) => {
                let id = known.id.unwrap_or_default();
                Ok(Some(source(&cluster, topic, &id)))
            }
            None | Some((_, Err(RDKafkaErrorCode::UnknownTopicOrPartition))) => Ok(None),
            Some((_, Err(code))) => Err(Error::Refused {
                what: format!("asking for the id of topic {topic}"),
                code,
                text: code.to_string(),
            }),
        }
    }

    /// Asks for the offset of a place in each partition, and why it is not the one that was asked for.
    pub fn places(
        &self,
        positions: &[Position],
        place: Place,
    ) -> Result<Vec<(TopicPartition, i64, Option<String>)>, Error> {
        let partitions: Vec<_> = positions.iter().map(|one| one.partition.clone()).collect();
        range::places(&self.admin, &partitions, place)
    }

    /// Asks for the commits of partitions; those without one are left out.
    pub fn commits(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Committed>, Error> {
        let commits = self.admin.committed(partitions)?.into_iter().flatten();
        Ok(commits
            .map(|commit| (commit.partition.clone(), commit))
            .collect())
    }

    /// Makes the changes. Fails, and changes nothing, while the group has a member.
    ///
    /// What is to have no commit is a request of its own: when the second one fails, the first has
    /// been made, and the failure says so.
    pub fn change(&self, changes: &[(TopicPartition, Change)]) -> Result<(), NotMade> {
        let (mut commits, mut none) = (Vec::new(), Vec::new());
        for (partition, change) in changes {
            match change {
                Change::None => none.push(partition.clone()),
                Change::To(offset, metadata) => commits.push(Commit {
                    partition: partition.clone(),
                    offset: *offset,
                    metadata: metadata.clone(),
                }),
            }
        }
        let not_made = |changed: usize| move |error| NotMade { changed, error };
        self.admin.commit(&commits).map_err(not_made(0))?;
        self.admin.forget(&none).map_err(not_made(commits.len()))
    }

    /// Those of the partitions of `topics` that are meant.
    fn selected(
        &self,
        topics: &[String],
        selection: &Selection,
    ) -> Result<Vec<TopicPartition>, Error> {
        let (all, problems) = self.admin.partitions(topics)?;
        if let Some(problem) = problems.into_iter().next() {
            return Err(Error::Config(problem));
        }
        let partitions = selection.of(&all).map_err(Error::Config)?;
        match partitions.is_empty() {
            true => Err(Error::Config(format!(
                "there is no topic {}",
                topics.join(", ")
            ))),
            false => Ok(partitions),
        }
    }

    fn topic_ids(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<String, Option<String>>, Error> {
        let mut names: Vec<&str> = partitions.iter().map(|one| &*one.topic).collect();
        names.sort_unstable();
        names.dedup();
        match self.admin.topics(&names) {
            Err(error) if error.is_unsupported() => Ok(BTreeMap::new()),
            Err(error) => Err(error),
            Ok(answers) => {
                let known = answers.into_iter();
                Ok(known
                    .filter_map(|(name, topic)| Some((name, topic.ok()?.id)))
                    .collect())
            }
        }
    }
}

impl Position {
    /// Whether the last commit says that it is about a topic of the same name that was deleted since:
    /// a spout holds such a partition.
    pub fn is_of_former_topic(&self) -> bool {
        let committed = self.committed.as_ref();
        committed.is_some_and(|commit| is_of_former_topic(commit, self.topic_id.as_deref()))
    }

    /// The text to store with a commit that somebody makes by hand: it says which topic is meant, so
    /// that a spout believes it, and that the group was put there now, so that no rewind is reported.
    pub fn text(&self) -> String {
        let metadata = CommitMetadata {
            topic_id: self.topic_id.clone(),
            by_hand_ms: Some(clock::unix_ms()),
            ..CommitMetadata::default()
        };
        metadata.to_string()
    }
}

/// Whether a commit says that it is about another topic of that name than the one with this id.
pub fn is_of_former_topic(commit: &Committed, topic_id: Option<&str>) -> bool {
    let metadata = commit.metadata.as_deref();
    let committed = metadata
        .and_then(CommitMetadata::parse)
        .and_then(|text| text.topic_id);
    committed.is_some() && topic_id.is_some() && committed.as_deref() != topic_id
}

/// The text of a commit that somebody puts back now, which says so; that of another program stays as it is.
pub fn put_back(text: &str) -> String {
    match CommitMetadata::parse(text) {
        Some(metadata) => CommitMetadata {
            by_hand_ms: Some(clock::unix_ms()),
            ..metadata
        }
        .to_string(),
        None => text.to_owned(),
    }
}
