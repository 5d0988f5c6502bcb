//! What an answer of Elasticsearch or OpenSearch means, and what follows from it. The table itself is in
//! `outcome/table.rs`; here is what its words mean and how a row is found.
//!
//! A status alone does not tell: a full queue and a full disk are both 429, a closed index and a bad
//! document are both 400.

mod table;

use std::ops::RangeInclusive;

use super::reply::{self, Fault, Items};

pub use table::TABLE;
pub(crate) use table::{CONTRADICTION, EMBEDDED_INDICES, FAILURE_STORE, NO_ERROR};

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// A request without an answer that can be believed; the type is our own word for what happened.
    Connection,
    /// A whole request, by the status of its reply.
    Request,
    /// One document of a request that was worked off.
    Item,
}

/// One row of the table. The first that matches counts.
#[derive(Debug)]
pub struct Row {
    /// Its name, for tests and the page of outcomes.
    pub id: &'static str,
    /// What it is about.
    pub level: Level,
    /// Its statuses; 0 where there is none.
    pub status: RangeInclusive<u16>,
    /// The error's `type`; empty for any, also for none.
    pub kind: &'static str,
    /// What one of the error's reasons contains; empty for anything.
    pub reason: &'static str,
    /// What it means.
    pub class: Class,
    /// Where it was seen.
    pub proof: Proof,
}

/// Where an outcome was seen, and is seen again by the end-to-end tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// On these servers.
    Servers(&'static [Server]),
    /// On the stand-in alone, since no test can bring a real server to it, for this reason.
    StandIn(&'static str),
}

/// A server that is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Elasticsearch 8.19.
    Elasticsearch8,
    /// Elasticsearch 9.2.
    Elasticsearch9,
    /// OpenSearch 2.19.
    OpenSearch2,
    /// OpenSearch 3.3.
    OpenSearch3,
}

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The document is in the index.
    Stored,
    /// A document of this id was there: a record that is sent again.
    Present,
    /// Queues or memory are full.
    Busy,
    /// The disk is full; the cluster releases the index by itself when it is not.
    DiskFull,
    /// The index is closed.
    Closed,
    /// The index, or the whole cluster, may not be written to.
    Blocked,
    /// We may not write to the index.
    NotPermitted,
    /// The index is not there and is not made by itself.
    Missing,
    /// The index, alias, data stream or pipeline is not set up for what is asked of it.
    Misconfigured,
    /// The cluster has as many shards as it may, so the index is not made.
    Shards,
    /// The document's shard holds as many documents as a shard can.
    Full,
    /// The document's shard is away: no node of the cluster has its primary.
    ShardAway,
    /// The embedded index has as many indices as it holds, so this one is not made.
    Indices,
    /// The document does not fit the index, or is none.
    Document,
    /// The index would get more fields than it may have.
    Fields,
    /// No index can have this name.
    Name,
    /// The document went into the failure store of its data stream instead of the index.
    FailureStore,
    /// An ingest pipeline refuses the document on purpose.
    Unwanted,
    /// Refused for a reason that no other row knows; it may be the document's or the index's fault.
    Refused,
    /// The index refuses all documents for one such reason, so it is the index that is at fault. No
    /// row says so: it follows from several items.
    AllRefused,
    /// Hosts that take other requests refuse each with this document as a whole, for what is in it or for its index. No
    /// row says so: it follows from several requests.
    TurnedAway,
    /// A fault of the server's code. It is the document's when the server does its work on others.
    Fault,

    /// The request was worked off: its items say the rest.
    Answered,
    /// This host, or what is behind it, is away: another one may do.
    Away,
    /// The request, or the reply to it, is larger than can be taken.
    TooLarge,
    /// The body, or one document in it, cannot be read.
    Malformed,
    /// Our credentials do not do.
    Denied,
    /// What answers is no Elasticsearch, or not one that takes such requests.
    Foreign,
    /// The request as such is not understood, whatever it holds: a fault of this program.
    NotUnderstood,
    /// The body is compressed in a way that is not taken.
    Encoding,

    /// No connection could be made.
    Unconnected,
    /// The connection broke; the request may have been worked off.
    Broken,
    /// No reply in time; the request may have been worked off.
    TimedOut,
    /// The reply is not that to a bulk request, or not to this one.
    Unreadable,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The record is delivered.
    Deliver,
    /// The record was delivered before.
    AlreadyPresent,
    /// The document is sent again, as often as it takes.
    RetryItem,
    /// The document waits, and so do others for this index, until the index takes documents again. A
    /// person is told what for.
    HoldTarget,
    /// The document is sent again a bounded number of times.
    CountAttempt,
    /// The record leaves on `rejected` with a reason of this class.
    Reject(&'static str),

    /// The items of the reply are looked at.
    ReadItems,
    /// The request is sent again later, as often as it takes; the host did its part.
    RetryRequest,
    /// The host is left out for a while; another one is asked, or the request is sent again later.
    AskAnother,
    /// The host is left out for a while, and its records are sent again later, in requests of half the size: the
    /// time of this one is used up.
    RetrySmaller,
    /// As before, and a person is told what to change: no other host will do better by itself.
    HoldConnection,
    /// The request is sent again in halves; a document that is left alone is rejected with a reason of
    /// this class. One that is not understood is rejected only where the host that says so has understood another
    /// request of the same body, and has not failed since. Otherwise other hosts are asked, and it waits, with a
    /// condition that tells; or, where such a host understands requests of other bodies, it is sent again a bounded
    /// number of times.
    Split(&'static str),
    /// As `HoldConnection`; what is to be changed is this program.
    ClientBug,
}

impl Class {
    /// What follows from it.
    pub fn action(self) -> Action {
        match self {
            Self::Stored => Action::Deliver,
            Self::Present => Action::AlreadyPresent,
            Self::Busy => Action::RetryItem,
            Self::DiskFull
            | Self::Closed
            | Self::Blocked
            | Self::NotPermitted
            | Self::Missing
            | Self::Misconfigured
            | Self::Shards
            | Self::Full
            | Self::ShardAway
            | Self::Indices
            | Self::AllRefused
            | Self::TurnedAway => Action::HoldTarget,
            Self::Document => Action::Reject("mapping"),
            Self::Fields => Action::Reject("field_limit"),
            Self::Name => Action::Reject("index_name"),
            Self::FailureStore => Action::Reject("failure_store"),
            Self::Unwanted | Self::Refused => Action::Reject("refused"),
            Self::Fault => Action::CountAttempt,
            Self::Answered => Action::ReadItems,
            Self::Away | Self::Unconnected | Self::Broken | Self::Unreadable => Action::AskAnother,
            Self::TimedOut => Action::RetrySmaller,
            Self::TooLarge => Action::Split("too_large"),
            Self::Malformed => Action::Split("refused"),
            Self::Denied | Self::Foreign | Self::Encoding => Action::HoldConnection,
            Self::NotUnderstood => Action::ClientBug,
        }
    }

    /// Whether it is a state of the cluster that comes and goes, and of no kind of document.
    pub(crate) fn passes(self) -> bool {
        matches!(
            self,
            Self::DiskFull | Self::Closed | Self::Blocked | Self::ShardAway
        )
    }

    /// Whether it is said of a shard of an index, of which others may take documents.
    pub fn is_of_a_shard(self) -> bool {
        matches!(self, Self::Full | Self::ShardAway)
    }

    /// What somebody can do about an index that is held, or a connection; empty where there is nothing
    /// to do.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::DiskFull => "free disk space: the cluster then releases the index by itself",
            Self::Closed => "open it",
            Self::Blocked => "remove the block from the index or the cluster",
            Self::NotPermitted => "give the user the privilege to write to it",
            Self::Missing => "create it, or let the cluster create indices",
            Self::Misconfigured => "set up the index, alias, data stream or pipeline",
            Self::Shards => {
                "delete indices, add data nodes, or raise `cluster.max_shards_per_node`"
            }
            Self::Full => "roll over to a new index, or reindex into one with more shards",
            Self::ShardAway => "a shard is away, and `GET _cluster/allocation/explain` says why",
            Self::Indices => {
                "let `index` of the bolt name fewer, or `hosts` of the connection a real Elasticsearch"
            }
            Self::AllRefused => "see why it refuses every document",
            Self::TurnedAway => {
                "any request with such a document is answered so, and others are taken: see the log of what answers, \
                 or of what stands before it, such as a firewall"
            }
            Self::Denied => "check `auth` of the connection and what it may do",
            Self::Foreign => "is this Elasticsearch or OpenSearch?",
            Self::Encoding => {
                "where the bolt says `compression: gzip`, leave that out: something on the way takes no compressed bodies"
            }
            Self::NotUnderstood => "this version of Isobar does not fit this server",
            _ => "",
        }
    }
}

impl Action {
    /// What is done with a whole request where this is said of it: overload is the cluster's, not a
    /// host's.
    pub(crate) fn of_request(self) -> Self {
        match self {
            Self::RetryItem => Self::RetryRequest,
            action => action,
        }
    }
}

/// The row of an answer as it stands in a reply: its status, and the JSON of its `error`, if it has one.
pub fn row_of(level: Level, status: u16, error: Option<&str>) -> Option<&'static Row> {
    let fault = error.and_then(|error| serde_json::from_str::<Fault<'_>>(error).ok());
    find(level, status, fault.as_ref())
}

/// What the reply to a bulk request says of each of its `sent` documents, in their order; `None` where it is
/// not believed, as it is no such reply or has another number of items. `operation` is `create` or `index`.
pub fn classes_of(reply: &[u8], operation: &str, sent: usize) -> Option<Vec<Class>> {
    Some(match reply::read(reply, operation, sent).ok()? {
        Items::AllStored => vec![Class::Stored; sent],
        Items::Each(items) => items.into_iter().map(|item| item.class).collect(),
    })
}

/// The class of an answer: that of the first row of its level that matches.
pub(crate) fn class_of(level: Level, status: u16, fault: Option<&Fault<'_>>) -> Class {
    find(level, status, fault).map_or(otherwise(level), |row| row.class)
}

fn find(level: Level, status: u16, fault: Option<&Fault<'_>>) -> Option<&'static Row> {
    TABLE.iter().find(|row| {
        row.level == level
            && row.status.contains(&status)
            && (row.kind.is_empty() || fault.is_some_and(|fault| row.kind == fault.kind))
            && (row.reason.is_empty() || fault.is_some_and(|fault| fault.says(row.reason)))
    })
}

/// What an answer means that no row knows.
fn otherwise(level: Level) -> Class {
    match level {
        Level::Connection => Class::Broken,
        Level::Request => Class::Foreign,
        Level::Item => Class::Refused,
    }
}

#[cfg(test)]
mod tests;
