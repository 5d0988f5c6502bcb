//! What can be found out from outside about one record: where its offset lies in the log, what the group
//! has committed, which documents it has, and which dead letters.
//!
//! What a running program knows of it is asked by whoever knows where that runs.

mod logged;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::try_join_all;
use isobar_topology::spec::Spec;
use isobar_topology::{Graph, OperatorError, Ordinals};
use serde::Serialize;

use crate::dead_letter::{Letter, Resolution};
use crate::kafka::admin::TopicPartition;
use crate::letters::{Content, Kept, in_files, kept};
use crate::replay::{Document, Search, live_sinks};

pub use logged::{Logged, logged};

/// A record, named by where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset in it.
    pub offset: i64,
}

/// A dead letter of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FoundLetter {
    /// Where it is: partition and offset of the topic, or line of the file.
    pub place: String,
    /// Which part of the record it is of, where that was split.
    #[serde(skip_serializing_if = "Ordinals::is_none")]
    pub part: Ordinals,
    /// The bolt that rejected the record.
    pub bolt: String,
    /// The kind of the reason.
    pub class: String,
    /// Why.
    pub reason: String,
    /// When, in ms since 1970.
    pub rejected_at_ms: Option<i64>,
    /// The redrive that settled it; `None` when it is open. One in a file is settled by a mark in a topic, where its
    /// record has another letter.
    pub resolved_by: Option<String>,
}

/// Where the dead letters of a record can be looked for.
pub struct Letters(Vec<Kept>);

/// Clients for the indices that records of a spout reach; none where no record reaches one. Fails with
/// what is wrong with a connection. Each question waits at most `within`.
pub fn searches(spec: &Spec, spout: &str, within: Duration) -> Result<Vec<Search>, OperatorError> {
    let sinks = live_sinks(spec, spout).into_iter();
    sinks
        .map(|sink| Ok(Search::of(spec, &sink)?.within(within)))
        .collect()
}

/// The documents of a record, after a refresh so that none is overlooked; of several indices at the same
/// time. Waits at most `within`. Fails when one of them cannot be searched: then nothing can be said of what
/// was not found.
pub async fn documents(
    searches: &[Search],
    place: &Place,
    logged: &Logged,
    within: Duration,
) -> Result<Vec<Document>, OperatorError> {
    let (partition, offset) = (place.partition.partition, place.offset);
    let each = searches.iter().map(|search| async move {
        search.make_visible().await?;
        search.documents(&logged.origin, partition, offset).await
    });
    let found = tokio::time::timeout(within, try_join_all(each)).await;
    let late = |_| OperatorError::external(format!("no answer within {within:?}"));
    let mut found = found.map_err(late)??.concat();
    // What the patterns of several sinks find is one document nevertheless.
    let mut seen = BTreeSet::new();
    found.retain(|document| seen.insert((document.index.clone(), document.id.clone())));
    Ok(found)
}

impl Letters {
    /// Those of the records of a spout, in a topology whose options are sound: in its `dead_letter`, and
    /// wherever else bolts of the graph write them.
    pub fn of(spec: &Spec, graph: &Graph, spout: &str) -> Self {
        Self(kept(spec, graph, Some(spout)))
    }

    /// The dead letters of a record. Reads all letters; waits for brokers at most `within` without any
    /// progress. Fails with the cause in a sentence where none is found that is open, and some cannot be
    /// read.
    pub fn find(
        &self,
        place: &Place,
        logged: &Logged,
        within: Duration,
    ) -> Result<Vec<FoundLetter>, String> {
        if self.0.is_empty() {
            return Err("the topology has no `dead_letter`, nor a bolt that writes any".to_owned());
        }
        let (mut read, mut unread) = (OfRecord::default(), Vec::new());
        for kept in &self.0 {
            match find(kept, place, logged, within) {
                Ok(of_place) => read.extend(of_place),
                Err(why) => unread.push(why),
            }
        }
        let found = read.finish();
        let is_open = |letter: &FoundLetter| letter.resolved_by.is_none();
        match unread.is_empty() || found.iter().any(is_open) {
            true => Ok(found),
            false => Err(unread.join("; ")),
        }
    }
}

/// What one place holds of a record.
fn find(kept: &Kept, place: &Place, logged: &Logged, within: Duration) -> Result<OfRecord, String> {
    let mut read = OfRecord::default();
    match kept {
        Kept::Nowhere(why) => return Err(why.clone()),
        Kept::Topic(letters) => {
            letters
                .read(within, |stored| {
                    let at = format!("{}/{}@{}", letters.name(), stored.partition, stored.offset);
                    if let Ok(content) = stored.content {
                        read.add(content, at, place, logged);
                    }
                })
                .map_err(|error| error.to_string())?;
        }
        Kept::File(live) => {
            let _ = in_files(live, |path, stored| {
                let at = format!("{}:{}", path.display(), stored.offset);
                if let Ok(content) = stored.content {
                    read.add(content, at, place, logged);
                }
            })?;
        }
    }
    Ok(read)
}

/// What topics and files of dead letters hold of one record.
#[derive(Default)]
struct OfRecord {
    /// Each with its place.
    letters: Vec<(Letter, String)>,
    resolutions: Vec<Resolution>,
}

impl OfRecord {
    /// Keeps what lies at a place, if it is of the record.
    fn add(&mut self, content: Content, at: String, place: &Place, logged: &Logged) {
        let origin = match &content {
            Content::Letter(letter) => &letter.origin,
            Content::Resolution(resolution) => &resolution.origin,
        };
        let is_meant = origin.topic == *place.partition.topic
            && origin.partition == place.partition.partition
            && origin.offset == place.offset
            && origin.source == logged.source;
        match content {
            _ if !is_meant => {}
            Content::Letter(letter) => self.letters.push((letter, at)),
            Content::Resolution(resolution) => self.resolutions.push(resolution),
        }
    }

    /// Adds what another place holds. Several bolts can write to one.
    fn extend(&mut self, other: Self) {
        for letter in other.letters {
            if !self.letters.contains(&letter) {
                self.letters.push(letter);
            }
        }
        self.resolutions.extend(other.resolutions);
    }

    /// The letters, when all places were read: a resolution can come before its letter, and be in another place.
    fn finish(self) -> Vec<FoundLetter> {
        let letters = self.letters.into_iter();
        letters
            .map(|(letter, place)| {
                let mut resolutions = self.resolutions.iter();
                let settling = resolutions.find(|resolution| {
                    (&resolution.origin, &resolution.bolt) == (&letter.origin, &letter.bolt)
                        && resolution.settles(letter.redrives, letter.rejected_at)
                });
                FoundLetter {
                    place,
                    part: letter.origin.ordinals,
                    bolt: letter.bolt,
                    class: letter.class,
                    reason: letter.reason,
                    rejected_at_ms: Some(letter.rejected_at),
                    resolved_by: settling.map(|resolution| resolution.run.clone()),
                }
            })
            .collect()
    }
}
