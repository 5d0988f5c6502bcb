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
    /// Why others cannot be read, or are not here.
    unread: Vec<String>,
    /// Of those that can be read, by name, the ones that were not to be when they were.
    failed: Vec<String>,
}

/// What came of reading all of them.
#[derive(Debug, Default)]
struct Reading {
    /// Those that were read, by name; a file that is not here was not.
    read: Vec<String>,
    /// Why others could not, with their names.
    failures: Vec<(String, Failure)>,
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
        let mut failures = self.read(within, each).failures.into_iter();
        failures.next().map_or(Ok(()), |(_, failure)| Err(failure))
    }

    /// The same, of those that can be read; the others are among the unread from then on. Returns the names of those
    /// that were read. Fails where others could not be, and none was.
    pub(super) fn each_readable(
        &mut self,
        within: Duration,
        each: impl FnMut(&Arc<str>, Stored),
    ) -> Result<Vec<String>, Failure> {
        let Reading { read, failures } = self.read(within, each);
        let why = |(_, failure): &(String, Failure)| format!("{:#}", failure.error);
        let whys: Vec<String> = failures.iter().map(why).collect();
        if read.is_empty() && !whys.is_empty() {
            return Err(Failure::new(Exit::Undetermined, anyhow!(whys.join("; "))));
        }
        self.unread.extend(whys);
        self.failed = failures.into_iter().map(|(name, _)| name).collect();
        Ok(read)
    }

    fn read(&self, within: Duration, mut each: impl FnMut(&Arc<str>, Stored)) -> Reading {
        let mut reading = Reading::default();
        for (name, letters) in &self.topics {
            let read = letters.read(within, |stored| each(name, stored));
            let read = read.map(|()| true).map_err(|error| {
                let Failure { exit, error } = asking(error);
                let context = format!("the letters of the topic {}", letters.name());
                Failure::new(exit, error.context(context))
            });
            reading.add(letters.name().to_owned(), read);
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
            reading.add(live.display().to_string(), read.map_err(Failure::usage));
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

    /// Those of [`Self::names`] that could not be read.
    pub(super) fn failed(&self) -> &[String] {
        &self.failed
    }

    /// How a command ends that has told what could be read.
    pub(super) fn exit(&self) -> Exit {
        match self.failed.is_empty() {
            true => Exit::Done,
            false => Exit::Undetermined,
        }
    }

    /// Why a letter was not found: it is not there, or nobody knows.
    pub(super) fn not_found(&self, letter: &At) -> Failure {
        let names = self.names().join(", ");
        match self.failed.is_empty() {
            true => Failure::usage(format!("there is no letter {letter} in {names}")),
            false => Failure::new(
                Exit::Undetermined,
                anyhow!(
                    "the letter {letter} was not found, and of {names} could not be read: {}",
                    self.failed.join(", ")
                ),
            ),
        }
    }
}

impl Reading {
    /// Notes whether there was anything to read.
    fn add(&mut self, name: String, read: Result<bool, Failure>) {
        match read {
            Ok(true) => self.read.push(name),
            Ok(false) => {}
            Err(failure) => self.failures.push((name, failure)),
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

    use isobar_operators::letters::IN_FILE;
    use isobar_topology::plan;
    use isobar_topology::spec::Node;
    use serde_json::json;
    use testkit::scratch::Scratch;

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

    #[test]
    fn a_file_that_cannot_be_read_leaves_open_what_is_in_it() {
        let scratch = Scratch::new("keepers").expect("a directory");
        let path = |name: &str| scratch.path().join(name).display().to_string();
        let (dead, bad) = (path("dead"), path("bad"));
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {"kafka": {"type": "kafka", "brokers": "localhost:1"}},
            "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "earliest"}},
            "bolts": {
                "parse": {"type": "parse_json", "inputs": ["in"]},
                "bad": {"type": "file", "path": bad, "inputs": ["parse.rejected"]},
                "end": {"type": "blackhole", "inputs": ["parse"]},
            },
            "dead_letter": {"type": "file", "path": dead},
        });
        let letter = At {
            of: dead.as_str().into(),
            partition: IN_FILE,
            offset: 1,
        };
        let read = || {
            let mut keepers = of(&file);
            let read = keepers.each_readable(Duration::ZERO, |_, _| {});
            (read, keepers)
        };
        // Neither is here, which is nothing that has failed.
        let (names, keepers) = read();
        assert!(names.expect("none has failed").is_empty());
        assert_eq!((keepers.unread().len(), keepers.exit()), (2, Exit::Done));
        assert_eq!(keepers.not_found(&letter).exit, Exit::Usage);
        // A directory can be opened, and not be read.
        std::fs::create_dir(Path::new(&dead)).expect("made");
        let (names, keepers) = read();
        let failure = names.expect_err("nothing was read");
        assert_eq!(failure.exit, Exit::Undetermined);
        assert!(keepers.failed().is_empty());
        let _ = scratch.file("bad", "").expect("written");
        let (names, keepers) = read();
        assert_eq!(names.expect("one was read"), [bad]);
        assert_eq!(keepers.failed(), [dead.as_str()]);
        assert_eq!(keepers.exit(), Exit::Undetermined);
        let failure = keepers.not_found(&letter);
        assert_eq!(failure.exit, Exit::Undetermined);
        let said = failure.error.to_string();
        assert!(
            said.ends_with(&format!("could not be read: {dead}")),
            "{said}"
        );
    }

    fn of(file: &serde_json::Value) -> Keepers {
        let spec = Spec::read(&Node::from_json(file)).expect("sound");
        let registry = isobar_operators::registry();
        let planned = plan(&spec, &registry, 1, Path::new(".")).expect("sound");
        Keepers::of(&spec, &planned.graph).expect("it has letters")
    }
}
