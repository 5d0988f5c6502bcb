//! Where a topology keeps its dead letters: in its `dead_letter`, and wherever else bolts write those that are
//! rejected. Whoever looks for letters looks there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind};
use std::path::{Path, PathBuf};

use isobar_topology::Graph;
use isobar_topology::spec::{Component, Node, Spec};

use super::{Content, DeadLetters, IN_FILE, Stored};
use crate::dead_letter::NotALetter;
use crate::letter;
use crate::replay::with_those_apart;

/// Where a bolt keeps those that it writes.
#[derive(Clone, Debug)]
pub enum Kept {
    /// In a Kafka topic.
    Topic(Box<DeadLetters>),
    /// In a file of lines; those of a replay in one beside it.
    File(PathBuf),
    /// Nowhere that can be read back, for this reason.
    Nowhere(String),
}

/// Where the dead letters are of a spout's records, or of all, in a topology whose options are sound: first those of
/// its `dead_letter`. Each place once.
pub fn kept(spec: &Spec, graph: &Graph, spout: Option<&str>) -> Vec<Kept> {
    let mut kept = each_once(of(spec, graph, spout));
    // Whosever letters are meant, a place has one name.
    name_apart(&mut kept, &each_once(of(spec, graph, None)));
    kept
}

fn of(spec: &Spec, graph: &Graph, spout: Option<&str>) -> Vec<Kept> {
    let spouts = graph.spouts.iter().enumerate();
    let meant = spouts.filter(|(_, node)| spout.is_none_or(|id| *node.id == *id));
    let writers = meant.flat_map(|(number, _)| graph.letter_writers(number));
    let writers: BTreeMap<&str, bool> = writers
        .map(|(bolt, only)| (&*graph.bolts[bolt].id, only))
        .collect();
    let others = spec.bolts.iter();
    let others = others.filter_map(|bolt| Some((bolt, *writers.get(bolt.id.as_str())?)));
    let of_topology = spec.dead_letter.iter().map(|bolt| (bolt, true));
    let all = of_topology.chain(others);
    all.map(|(bolt, only)| Kept::by(spec, bolt, only)).collect()
}

/// Names each topic, of which there may be others in `all` that are called so in another cluster.
fn name_apart(kept: &mut [Kept], all: &[Kept]) {
    for one in kept {
        let Kept::Topic(letters) = one else {
            continue;
        };
        let is_called_so =
            |other: &&Kept| matches!(other, Kept::Topic(other) if other.topic == letters.topic);
        if all.iter().filter(is_called_so).count() > 1 {
            letters.name = format!("{}:{}", letters.connection, letters.topic);
        }
    }
}

fn each_once(mut all: Vec<Kept>) -> Vec<Kept> {
    let (mut topics, mut files) = (BTreeSet::new(), BTreeSet::new());
    all.retain(|kept| match kept {
        Kept::Topic(letters) => topics.insert((letters.connection.clone(), letters.topic.clone())),
        Kept::File(path) => files.insert(path.clone()),
        Kept::Nowhere(_) => true,
    });
    all
}

impl Kept {
    /// Where a bolt keeps them; `only` where it writes nothing else.
    fn by(spec: &Spec, component: &Component, only: bool) -> Self {
        let id = &component.id;
        let nowhere = |why: &str| Self::Nowhere(format!("those of {id} {why}"));
        match component.kind.as_str() {
            "kafka" => match DeadLetters::by(spec, component) {
                // There can be any number of others, which all would have to be read.
                Ok(Some(letters)) if !only => {
                    nowhere(&format!("are among other records in {}", letters.topic()))
                }
                Ok(Some(letters)) => Self::Topic(Box::new(letters)),
                _ => nowhere("go to topics that records name"),
            },
            "file" => match component.config.get("path").and_then(Node::text) {
                Some(path) => Self::File(spec.directory.join(path)),
                None => nowhere("go to a file that is not known"),
            },
            _ => nowhere("go where they cannot be read back from"),
        }
    }
}

/// Hands out the letters of a live topology's file and of those of replays beside it, each with its file. What is on
/// other lines is a document of the same sink, and left out. Where a file is not there, there are none: it is made
/// with the first. Returns whether there is any file. Fails with a sentence.
pub fn in_files(live: &Path, mut each: impl FnMut(&Path, Stored)) -> Result<bool, String> {
    let unreadable = |path: &Path, error: Error| format!("cannot read {}: {error}", path.display());
    let files = with_those_apart(live).map_err(|error| unreadable(live, error))?;
    let mut are_any = false;
    for path in files {
        let is_there = in_file(&path, |stored| each(&path, stored));
        are_any |= is_there.map_err(|error| unreadable(&path, error))?;
    }
    Ok(are_any)
}

/// Returns whether there is such a file.
fn in_file(path: &Path, mut each: impl FnMut(Stored)) -> Result<bool, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut lines = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1_i64.. {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if let Some(found) = letter::read(&line) {
            each(stored(number, found));
        }
    }
    Ok(true)
}

fn stored(line: i64, found: Result<letter::Line, NotALetter>) -> Stored {
    let (content, key, payload) = match found {
        Ok(letter::Line {
            letter,
            key,
            payload,
        }) => (Ok(Content::Letter(letter)), key, payload),
        Err(not) => (Err(not), None, None),
    };
    Stored {
        partition: IN_FILE,
        offset: line,
        content,
        key,
        payload,
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::plan;
    use serde_json::json;

    use super::*;
    use crate::registry;

    #[test]
    fn topics_of_one_name_in_several_clusters_are_told_apart_whosever_letters_are_meant() {
        let kafka = |connection: &str, topic: &str, input: &str| json!({"type": "kafka", "connection": connection, "topic": topic, "inputs": [input]});
        let spout = |connection: &str| json!({"type": "kafka", "connection": connection, "topics": ["a"], "start": "earliest"});
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "kafka_eu": {"type": "kafka", "brokers": "localhost:1"},
                "kafka_us": {"type": "kafka", "brokers": "localhost:2"},
            },
            "spouts": {"eu": spout("kafka_eu"), "us": spout("kafka_us")},
            "bolts": {
                "parse_eu": {"type": "parse_json", "inputs": ["eu"]},
                "parse_us": {"type": "parse_json", "inputs": ["us"]},
                "bad_eu": kafka("kafka_eu", "bad", "parse_eu.rejected"),
                "bad_us": kafka("kafka_us", "bad", "parse_us.rejected"),
                "end": {"type": "blackhole", "inputs": ["parse_eu", "parse_us"]},
            },
            "dead_letter": {"type": "kafka", "connection": "kafka_eu", "topic": "dead"},
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        let planned = plan(&spec, &registry(), 1, Path::new(".")).expect("sound");
        let names = |spout: Option<&str>| -> Vec<String> {
            let kept = kept(&spec, &planned.graph, spout).into_iter();
            kept.map(|kept| match kept {
                Kept::Topic(letters) => letters.name().to_owned(),
                other => panic!("{other:?}"),
            })
            .collect()
        };
        assert_eq!(names(None), ["dead", "kafka_eu:bad", "kafka_us:bad"]);
        assert_eq!(names(Some("us")), ["dead", "kafka_us:bad"]);
    }

    #[test]
    fn a_file_that_two_bolts_write_to_is_read_once() {
        let file = |path: &str| Kept::File(Path::new("/etc/isobar").join(path));
        let nowhere = || Kept::Nowhere("those of a".to_owned());
        let all = ["dead", "./dead", "other", "dead"].map(file);
        let all = all.into_iter().chain([nowhere(), nowhere()]).collect();
        let kept = each_once(all);
        let [
            Kept::File(first),
            Kept::File(second),
            Kept::Nowhere(_),
            Kept::Nowhere(_),
        ] = &kept[..]
        else {
            panic!("{kept:?}");
        };
        assert!(first.ends_with("dead") && second.ends_with("other"));
    }
}
