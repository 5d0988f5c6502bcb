//! The topics and files that hold the dead letters of a topology, read one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use isobar_operators::letters::{DeadLetters, Kept, Stored, in_files, kept};
use isobar_topology::Graph;
use isobar_topology::spec::Spec;

use super::letters::At;
use crate::command::source::asking;
use crate::exit::{Exit, Failure};
use crate::progress::Screen;

/// What holds them.
#[derive(Clone, Debug, Default)]
pub(super) struct Keepers {
    /// With the names that letters are shown with; the first has none.
    topics: Vec<(Arc<str>, DeadLetters)>,
    /// Of the live topology, with those of replays beside them.
    files: Vec<PathBuf>,
    /// Why others cannot be read.
    unread: Vec<String>,
}

/// What came of reading all of them.
#[derive(Debug, Default)]
struct Reading {
    /// How many could be read.
    read: usize,
    /// Why others could not.
    failures: Vec<Failure>,
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
                        false => letters.name(),
                    };
                    keepers.topics.push((name.into(), *letters));
                }
                Kept::File(path) => {
                    keepers.unread.extend(not_here(&path));
                    keepers.files.push(path);
                }
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
    /// nothing comes for `within`, or one of them cannot be read.
    pub(super) fn each(
        &self,
        within: Duration,
        each: impl FnMut(&Arc<str>, Stored),
    ) -> Result<(), Failure> {
        let mut failures = self.read(within, each).failures;
        match failures.is_empty() {
            true => Ok(()),
            false => Err(failures.swap_remove(0)),
        }
    }

    /// The same, of those that can be read; the others are among the unread from then on. Fails where there is none.
    pub(super) fn each_readable(
        &mut self,
        within: Duration,
        each: impl FnMut(&Arc<str>, Stored),
    ) -> Result<(), Failure> {
        let Reading { read, failures } = self.read(within, each);
        let whys: Vec<String> = failures
            .iter()
            .map(|failure| format!("{:#}", failure.error))
            .collect();
        match read {
            0 => Err(Failure::new(Exit::Undetermined, anyhow!(whys.join("; ")))),
            _ => {
                self.unread.extend(whys);
                Ok(())
            }
        }
    }

    fn read(&self, within: Duration, mut each: impl FnMut(&Arc<str>, Stored)) -> Reading {
        let mut reading = Reading::default();
        for (name, letters) in &self.topics {
            let read = letters.read(within, |stored| each(name, stored));
            reading.add(read.map_err(|error| {
                let Failure { exit, error } = asking(error);
                let context = format!("the letters of the topic {}", letters.name());
                Failure::new(exit, error.context(context))
            }));
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
            reading.add(read.map_err(Failure::usage));
        }
        reading
    }

    /// The topics.
    pub(super) fn topics(&self) -> Vec<DeadLetters> {
        let topics = self.topics.iter();
        topics.map(|(_, letters)| letters.clone()).collect()
    }

    /// The name of the first topic, whose letters are shown without it.
    pub(super) fn first_topic(&self) -> Option<&str> {
        self.topics.first().map(|(_, letters)| letters.name())
    }

    /// The number of a letter's topic; `None` for one in a file.
    pub(super) fn topic_of(&self, at: &At) -> Option<usize> {
        let mut topics = self.topics.iter();
        topics.position(|(name, _)| *name == at.of && !at.is_in_file())
    }

    /// The topics and files, by name.
    pub(super) fn names(&self) -> Vec<String> {
        let topics = self.topics.iter();
        let topics = topics.map(|(_, letters)| letters.name().to_owned());
        let files = self.files.iter().map(|path| path.display().to_string());
        topics.chain(files).collect()
    }

    /// Says why others cannot be read, or are not here.
    pub(super) fn say_unread(&self, screen: &Screen) {
        for why in &self.unread {
            screen.line(&format!("isobar: not read: {why}"));
        }
    }

    /// Why others cannot be read, or are not here.
    pub(super) fn unread(&self) -> &[String] {
        &self.unread
    }
}

impl Reading {
    fn add(&mut self, one: Result<(), Failure>) {
        match one {
            Ok(()) => self.read += 1,
            Err(failure) => self.failures.push(failure),
        }
    }
}

/// Why a file has no letters where that may be for being on another host.
fn not_here(live: &Path) -> Option<String> {
    let is_there = |path: &Path| path.try_exists().unwrap_or(true);
    let told = "each host on which the topology runs has its own";
    if is_there(live) {
        return None;
    }
    let directory = live
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    match directory.filter(|directory| !is_there(directory)) {
        Some(directory) => Some(format!(
            "{}: the directory {} is not on this host; {told}",
            live.display(),
            directory.display()
        )),
        None => Some(format!("{} is not on this host; {told}", live.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use isobar_topology::plan;
    use isobar_topology::spec::Node;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_letter_is_read_from_its_own_one_of_two_topics_of_one_name() {
        let kafka = |connection: &str, input: &str| json!({"type": "kafka", "connection": connection, "topic": "bad", "inputs": [input]});
        let spout = |connection: &str| json!({"type": "kafka", "connection": connection, "topics": ["a"], "start": "earliest"});
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "eu": {"type": "kafka", "brokers": "localhost:1"},
                "us": {"type": "kafka", "brokers": "localhost:2"},
            },
            "spouts": {"in_eu": spout("eu"), "in_us": spout("us")},
            "bolts": {
                "parse_eu": {"type": "parse_json", "inputs": ["in_eu"]},
                "parse_us": {"type": "parse_json", "inputs": ["in_us"]},
                "bad_eu": kafka("eu", "parse_eu.rejected"),
                "bad_us": kafka("us", "parse_us.rejected"),
                "end": {"type": "blackhole", "inputs": ["parse_eu", "parse_us"]},
            },
            "dead_letter": {"type": "kafka", "connection": "eu", "topic": "dead"},
        });
        let keepers = of(&file);
        assert_eq!(keepers.names(), ["dead", "eu:bad", "us:bad"]);
        let number = |place: &str| keepers.topic_of(&place.parse().expect("a place"));
        let found = ["0:5", "eu:bad/0@5", "us:bad/0@5", "bad/0@5"].map(number);
        assert_eq!(found, [Some(0), Some(1), Some(2), None]);
    }

    fn of(file: &serde_json::Value) -> Keepers {
        let spec = Spec::read(&Node::from_json(file)).expect("sound");
        let registry = isobar_operators::registry();
        let planned = plan(&spec, &registry, 1, Path::new(".")).expect("sound");
        Keepers::of(&spec, &planned.graph).expect("it has letters")
    }
}
