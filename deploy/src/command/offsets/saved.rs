//! The file of saved offsets: what a group had committed, and what a change made of it.
//!
//! Version 1. It outlives the process: a change of meaning needs a new version.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use isobar_operators::offsets::{Change, Position};
use isobar_topology::clock;
use serde::{Deserialize, Serialize};

use super::change::Row;
use crate::exit::Failure;

const VERSION: u32 = 1;

/// Offsets of a group at a moment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    version: u32,
    topology: String,
    spout: String,
    group: String,
    cluster_id: String,
    /// When it was written, in ms since 1970.
    at_ms: i64,
    pub(super) offsets: Vec<SavedOffset>,
}

/// The commit of a partition.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedOffset {
    pub(super) topic: String,
    /// In Kafka's spelling; null where the cluster has none.
    pub(super) topic_id: Option<String>,
    pub(super) partition: i32,
    /// What the group had committed; null for nothing.
    pub(super) committed: Option<i64>,
    /// The text that was stored with it.
    pub(super) metadata: Option<String>,
    /// What the change was to make of it: missing when nothing was to change, `{"to": null}` for no
    /// commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) changed: Option<Changed>,
}

/// A change.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changed {
    pub(super) to: Option<i64>,
}

impl Saved {
    pub(super) fn of(
        topology: &str,
        spout: &str,
        group: &str,
        cluster_id: &str,
        positions: &[Position],
        rows: &[Row],
    ) -> Self {
        let offset = |position: &Position| {
            let committed = position.committed.as_ref();
            let row = rows.iter().find(|row| row.partition == position.partition);
            SavedOffset {
                topic: position.partition.topic.to_string(),
                topic_id: position.topic_id.clone(),
                partition: position.partition.partition,
                committed: committed.map(|commit| commit.offset),
                metadata: committed.and_then(|commit| commit.metadata.clone()),
                changed: row.filter(|row| row.changes()).map(|row| Changed {
                    to: match row.change {
                        Change::To(offset, _) => Some(offset),
                        Change::None => None,
                    },
                }),
            }
        };
        Self {
            version: VERSION,
            topology: topology.to_owned(),
            spout: spout.to_owned(),
            group: group.to_owned(),
            cluster_id: cluster_id.to_owned(),
            at_ms: clock::unix_ms(),
            offsets: positions.iter().map(offset).collect(),
        }
    }

    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("{name}: cannot be read: {error}")))?;
        Self::parse(&text).map_err(|why| Failure::usage(format!("{name}: {why}")))
    }

    fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let no_file = |error| format!("is no file of saved offsets: {error}");
        let Any { version } = serde_json::from_str(text).map_err(no_file)?;
        if version != VERSION {
            return Err(format!(
                "is of version {version}; this program knows version {VERSION}"
            ));
        }
        serde_json::from_str(text).map_err(no_file)
    }

    /// Says why it is not about this group, if so.
    pub(super) fn check(&self, group: &str, cluster_id: &str) -> Result<(), String> {
        if self.group != group {
            return Err(format!(
                "is about the group {}, and not about {group}",
                self.group
            ));
        }
        if self.cluster_id != cluster_id {
            return Err(format!(
                "is about the cluster {}, and the connection leads to {cluster_id}",
                self.cluster_id
            ));
        }
        Ok(())
    }

    /// Writes it to a new file and waits until it is on the disk.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(self).map_err(anyhow::Error::from)?;
        text.push('\n');
        let written = File::create_new(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| {
            Failure::usage(format!("{}: cannot be written: {error}", path.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"version": 1, "topology": "logs", "spout": "in", "group": "g",
        "cluster_id": "c", "at_ms": 5, "offsets": [
        {"topic": "t", "topic_id": null, "partition": 0, "committed": null, "metadata": null,
         "changed": {"to": 7}},
        {"topic": "t", "topic_id": "id", "partition": 1, "committed": 4, "metadata": "m"}]}"#;

    #[test]
    fn the_form_of_version_1_never_changes() {
        let saved = Saved::parse(TEXT).expect("version 1");
        assert_eq!(saved.offsets[0].changed, Some(Changed { to: Some(7) }));
        assert_eq!(saved.offsets[1].changed, None);
        let again = serde_json::to_value(&saved).expect("JSON");
        let first: serde_json::Value = serde_json::from_str(TEXT).expect("JSON");
        assert_eq!(again, first);
    }

    #[test]
    fn a_file_of_another_kind_version_group_or_cluster_is_refused() {
        for (text, part) in [
            ("{}", "is no file of saved offsets: missing field `version`"),
            (r#"{"version": 2}"#, "is of version 2"),
            (r#"{"version": 1}"#, "missing field"),
        ] {
            let problem = Saved::parse(text).expect_err(text);
            assert!(problem.contains(part), "{problem}");
        }
        let saved = Saved::parse(TEXT).expect("version 1");
        assert_eq!(saved.check("g", "c"), Ok(()));
        assert!(
            saved
                .check("h", "c")
                .is_err_and(|why| why.contains("about the group g"))
        );
        assert!(
            saved
                .check("g", "d")
                .is_err_and(|why| why.contains("the cluster c"))
        );
    }
}
