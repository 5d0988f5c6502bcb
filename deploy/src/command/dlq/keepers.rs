//! The topics and files that hold the dead letters of a topology, read one after the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use isobar_operators::letters::{DeadLetters, Kept, Stored, in_files, kept};
use isobar_topology::Graph;
use isobar_topology::spec::Spec;

use super::letters::At;
use crate::command::source::asking;
use crate::exit::Failure;

/// What holds them.
#[derive(Clone, Debug, Default)]
pub(super) struct Keepers {
    /// With the names that letters are shown with; the first has none.
    topics: Vec<(Arc<str>, DeadLetters)>,
    /// Of the live topology, with those of replays beside them.
    files: Vec<PathBuf>,
    /// Why others cannot be read back.
    unread: Vec<String>,
}

impl Keepers {
    /// Those of a topology that is sound. Fails with a sentence when there is none that can be read.
    pub(super) fn of(spec: &Spec, graph: &Graph) -> Result<Self, String> {
        let mut keepers = Self::default();
        for kept in kept(spec, graph, None) {
            match kept {
                Kept::Topic(letters) => {
                    let name = match keepers.topics.is_empty() {
                        true => "",
                        false => letters.topic(),
                    };
                    keepers.topics.push((name.into(), *letters));
                }
                Kept::File(path) => keepers.files.push(path),
                Kept::Nowhere(why) => keepers.unread.push(why),
            }
        }
        match keepers.topics.is_empty() && keepers.files.is_empty() {
            false => Ok(keepers),
            true if keepers.unread.is_empty() => {
                Err("it has no `dead_letter`, nor a bolt that writes dead letters".to_owned())
            }
            true => Err(format!(
                "its dead letters cannot be read back: {}",
                keepers.unread.join("; ")
            )),
        }
    }

    /// Hands out everything that is in them now, each with its topic or file. Waits for the brokers; fails when
    /// nothing comes for `within`, or a file cannot be read.
    pub(super) fn each(
        &self,
        within: Duration,
        mut each: impl FnMut(&Arc<str>, Stored),
    ) -> Result<(), Failure> {
        for (name, letters) in &self.topics {
            letters
                .read(within, |stored| each(name, stored))
                .map_err(asking)?;
        }
        for live in &self.files {
            let mut name: Arc<str> = "".into();
            let read = in_files(live, |path, stored| {
                let path = path.to_string_lossy();
                if *name != *path {
                    name = (*path).into();
                }
                each(&name, stored);
            });
            read.map_err(Failure::usage)?;
        }
        Ok(())
    }

    /// The topics.
    pub(super) fn topics(&self) -> Vec<DeadLetters> {
        let topics = self.topics.iter();
        topics.map(|(_, letters)| letters.clone()).collect()
    }

    /// The name of the first topic, whose letters are shown without it.
    pub(super) fn first_topic(&self) -> Option<&str> {
        self.topics.first().map(|(_, letters)| letters.topic())
    }

    /// The number of a letter's topic; `None` for one in a file.
    pub(super) fn topic_of(&self, at: &At) -> Option<usize> {
        let mut topics = self.topics.iter();
        topics.position(|(name, _)| *name == at.of && !at.is_in_file())
    }

    /// Whether this is where a letter is. The first topic may be named as well.
    pub(super) fn is(&self, found: &At, wanted: &At) -> bool {
        let place = |at: &At| (at.partition, at.offset);
        let is_there =
            found.of == wanted.of || found.of.is_empty() && self.first_topic() == Some(&*wanted.of);
        is_there && place(found) == place(wanted)
    }

    /// The topics and files, by name.
    pub(super) fn names(&self) -> Vec<String> {
        let topics = self.topics.iter();
        let topics = topics.map(|(_, letters)| letters.topic().to_owned());
        let files = self.files.iter().map(|path| path.display().to_string());
        topics.chain(files).collect()
    }

    /// Why others cannot be read back.
    pub(super) fn unread(&self) -> &[String] {
        &self.unread
    }
}
