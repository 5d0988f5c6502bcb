//! Questions about a consumer group that nobody is a member of here, and changes to what it has
//! committed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use isobar_topology::clock;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use serde::{Deserialize, Serialize};

use super::{Admin, COORDINATOR_PAUSE, TopicPartition};
use crate::kafka::error::Error;
use crate::kafka::ffi::admin::{Permissions, describe_topics, group as ffi};
use crate::kafka::ffi::commit;

pub use crate::kafka::ffi::admin::Permitted;
pub use ffi::GroupState;

/// What is to be committed for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
    /// The text to store with it.
    pub metadata: String,
}

/// Who is in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// How many they are, those that read nothing included.
    pub count: usize,
    /// Which of them reads a partition.
    pub owners: BTreeMap<TopicPartition, Member>,
}

/// A member of a group, as its coordinator knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What the coordinator calls it.
    pub id: String,
    /// What its client calls itself, `client.id`.
    pub client_id: String,
    /// Where it connects from: `/` and an address.
    pub host: String,
}

/// Its client id and host.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.client_id, self.host)
    }
}

impl Admin {
    /// Asks whether the group has members. A group that does not exist has none.
    ///
    /// Fails for a client that was made without a group.
    pub fn group_state(&self) -> Result<GroupState, Error> {
        let described = self.described(self.group()?, Permissions::LeftOut)?;
        Ok(described.state)
    }

    /// Asks which member of the group that this client was made for reads which partition: its
    /// client id and host. Empty while nobody does, and without a group.
    pub fn owners(&self) -> Result<BTreeMap<TopicPartition, String>, Error> {
        let owners = self.members()?.owners.into_iter();
        Ok(owners
            .map(|(partition, member)| (partition, member.to_string()))
            .collect())
    }

    /// Asks who is in the group that this client was made for; nobody without a group.
    pub fn members(&self) -> Result<Members, Error> {
        let Some(group) = &self.group else {
            return Ok(Members::default());
        };
        let described = self.described(group, Permissions::LeftOut)?.members;
        let mut members = Members {
            count: described.len(),
            ..Members::default()
        };
        for described in described {
            let member = Member {
                id: described.id,
                client_id: described.client_id,
                host: described.host,
            };
            let owner = |partition| (partition, member.clone());
            members
                .owners
                .extend(described.partitions.into_iter().map(owner));
        }
        Ok(members)
    }

    /// Asks what the coordinator counts as read by a member of the group; `None` where it knows no such
    /// member. Fails for a client that was made without a group.
    pub(in crate::kafka) fn owned_by(
        &self,
        member: &str,
    ) -> Result<Option<BTreeSet<TopicPartition>>, Error> {
        let described = self.described(self.group()?, Permissions::LeftOut)?;
        let mut members = described.members.into_iter();
        let found = members.find(|one| one.id == member);
        Ok(found.map(|one| one.partitions.into_iter().collect()))
    }

    /// Asks what the connection's user may do with the group that this client was made for; `None` where its
    /// coordinator does not tell. Fails for a client that was made without a group, and where the user may not
    /// even see the group.
    pub fn permitted_with_group(&self) -> Result<Option<Permitted>, Error> {
        let described = self.described(self.group()?, Permissions::Told)?;
        Ok(described.permitted)
    }

    /// Asks what the connection's user may do with topics. Those of which the brokers do not tell, or that do
    /// not exist or may not be seen, are left out.
    pub fn permitted_with_topics(
        &self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, Permitted>, Error> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let client = self.client.client();
        let described = describe_topics(client, topics, Permissions::Told, self.within);
        let described = self.explain(described)?.into_iter();
        Ok(described
            .filter_map(|one| Some((one.topic, one.permitted?)))
            .collect())
    }

    /// Asks for a group, again while its coordinator moves.
    fn described(&self, group: &str, permissions: Permissions) -> Result<ffi::Described, Error> {
        let deadline = clock::now() + self.within;
        loop {
            let client = self.client.client();
            let described = self.explain(ffi::describe(client, group, permissions, self.within));
            let is_moving = matches!(
                &described,
                Err(Error::Refused {
                    code: RDKafkaErrorCode::NotCoordinator
                        | RDKafkaErrorCode::CoordinatorNotAvailable
                        | RDKafkaErrorCode::CoordinatorLoadInProgress,
                    ..
                })
            );
            if !is_moving || clock::now() + COORDINATOR_PAUSE >= deadline {
                return described;
            }
            let _ = self.client.poll(COORDINATOR_PAUSE);
        }
    }

    /// Commits for the group, all at once, as somebody who is no member of it.
    ///
    /// Fails, and changes nothing, while the group has a member: the coordinator checks that at the
    /// moment of writing. After a time-out the commit may still happen.
    pub fn commit(&self, commits: &[Commit]) -> Result<(), Error> {
        let group = self.group()?;
        if commits.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(commits.len());
        for commit in commits {
            let partition = &commit.partition;
            let mut element = list.add_partition(&partition.topic, partition.partition);
            let offset = rdkafka::Offset::Offset(commit.offset);
            element.set_offset(offset).map_err(|error| Error::Refused {
                what: format!("committing offset {} for group {group}", commit.offset),
                code: RDKafkaErrorCode::InvalidArgument,
                text: error.to_string(),
            })?;
            if !commit.metadata.is_empty() {
                element.set_metadata(&commit.metadata);
            }
        }
        let committed = commit::commit_within(&self.client, &list, self.within);
        self.explain(committed.map_err(|code| changed(group, "committing for", code, self.within)))
    }

    /// Makes the group forget its commits of these partitions, all at once; the same as for
    /// [`Admin::commit`] holds while it has a member.
    pub fn forget(&self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let group = self.group()?;
        if partitions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            let _ = list.add_partition(&partition.topic, partition.partition);
        }
        let answer = ffi::delete_offsets(self.client.client(), group, &list, self.within);
        let elements = self.explain(answer)?;
        match elements.iter().find_map(|element| element.error) {
            None => Ok(()),
            Some(code) => Err(changed(group, "deleting commits of", code, self.within)),
        }
    }

    /// Deletes the group with all that it has committed. Returns whether there was one.
    pub fn delete_group(&self) -> Result<bool, Error> {
        let group = self.group()?;
        match self.explain(ffi::delete(self.client.client(), group, self.within)) {
            Err(Error::Refused {
                code: RDKafkaErrorCode::GroupIdNotFound,
                ..
            }) => Ok(false),
            deleted => deleted.map(|()| true),
        }
    }

    fn group(&self) -> Result<&str, Error> {
        let none = || Error::Config("the client was made without a consumer group".to_owned());
        self.group.as_deref().ok_or_else(none)
    }
}

/// What a refused change means.
fn changed(group: &str, what: &str, code: RDKafkaErrorCode, within: std::time::Duration) -> Error {
    let what = format!("{what} group {group}");
    match code {
        RDKafkaErrorCode::OperationTimedOut => Error::TimedOut {
            what,
            within,
            brokers: None,
            cause: None,
        },
        // What coordinators say to a stranger while there are members: of the classic protocol,
        // of that of KIP-848, and about a topic that they are subscribed to.
        RDKafkaErrorCode::UnknownMemberId
        | RDKafkaErrorCode::IllegalGeneration
        | RDKafkaErrorCode::RebalanceInProgress
        | RDKafkaErrorCode::StaleMemberEpoch
        | RDKafkaErrorCode::GroupSubscribedToTopic
        | RDKafkaErrorCode::NonEmptyGroup => Error::Refused {
            what,
            code,
            text: "it has members, so nothing was changed; stop the topology first".to_owned(),
        },
        code => Error::Refused {
            what,
            code,
            text: code.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
