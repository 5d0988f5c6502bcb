//! What can be found out from outside about one record: where its offset lies in the log, what the group
//! has committed, which documents it has, and which dead letters.
//!
//! What a running program knows of it is asked by whoever knows where that runs.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use isobar_topology::spec::{Node, Spec};
use isobar_topology::{OperatorError, Ordinals};
use serde::Serialize;
use serde_json::Value;

use crate::dead_letter::{Letter, Resolution};
use crate::kafka::admin::TopicPartition;
use crate::kafka::error::Error;
use crate::kafka::has_record;
use crate::lag::Source;
use crate::letters::{Content, DeadLetters};
use crate::offsets::Group;
use crate::range::Selection;
use crate::replay::{Document, Search, live_sinks, ordinals_of, origin_of};
use crate::spouts;

/// A record, named by where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub partition: TopicPartition,
    /// The offset in it.
    pub offset: i64,
}

/// What the brokers say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The first offset of the partition that still exists.
    pub start: i64,
    /// The offset after the last record that can be read.
    pub end: i64,
    /// The offset after the last record, open transactions included.
    pub high: i64,
    /// What the group has committed.
    pub committed: Option<i64>,
    /// Members of the group.
    pub members: usize,
    /// Whether there is a record at the offset; `None` where that is not known, as it is deleted.
    pub exists: Option<bool>,
    /// The hash of cluster and topic, as it stands in dead letters.
    pub source: u64,
    /// The same as it stands in documents.
    pub origin: String,
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
    /// When, in ms since 1970; `None` where the letter does not say.
    pub rejected_at_ms: Option<i64>,
    /// The redrive that settled it; `None` when it is open. Only those in a topic can be settled.
    pub resolved_by: Option<String>,
}

/// Where dead letters can be looked for.
pub enum Letters {
    /// In a Kafka topic.
    Topic(Box<DeadLetters>),
    /// In a file of lines.
    File(PathBuf),
    /// Nowhere that can be read back, for this reason.
    Nowhere(&'static str),
}

/// Asks the brokers about a record that a spout of `source` reads. Each question waits at most `within`.
///
/// Fails when the spout does not read the partition, or nobody answers.
pub fn logged(source: &Source, place: &Place, within: Duration) -> Result<Logged, Error> {
    let group = Group::of(source, within)?;
    let partition = &place.partition;
    let number = partition.partition.to_string();
    let selection = Selection {
        topics: vec![partition.topic.to_string()],
        partitions: Some(number.parse().map_err(Error::Config)?),
    };
    let position = group.positions(&selection)?.into_iter().next();
    let position = position.ok_or_else(|| {
        Error::Config(format!(
            "{}/{number} gives no answer about its offsets",
            partition.topic
        ))
    })?;
    let id = position.topic_id.as_deref();
    let cluster = group.cluster_id()?;
    let log = position.log;
    let exists = match place.offset {
        offset if offset < log.start => None,
        offset if offset >= log.end => Some(false),
        offset => Some(has_record(source.connection(), partition, offset, within)?),
    };
    Ok(Logged {
        start: log.start,
        end: log.end,
        high: log.high,
        committed: position.committed.map(|committed| committed.offset),
        members: group.state()?.members,
        exists,
        source: spouts::source(&cluster, &partition.topic, id.unwrap_or_default()),
        origin: origin_of(&cluster, &partition.topic, id),
    })
}

/// Clients for the indices that records of a spout reach; none where no record reaches one. Fails with
/// what is wrong with a connection. Each question waits at most `within`.
pub fn searches(spec: &Spec, spout: &str, within: Duration) -> Result<Vec<Search>, OperatorError> {
    let sinks = live_sinks(spec, spout).into_iter();
    sinks
        .map(|sink| Ok(Search::of(spec, &sink)?.within(within)))
        .collect()
}

/// The documents of a record, after a refresh so that none is overlooked. Fails when one of the indices
/// cannot be searched: then nothing can be said of what was not found.
pub async fn documents(
    searches: &[Search],
    place: &Place,
    logged: &Logged,
) -> Result<Vec<Document>, OperatorError> {
    let mut found = Vec::new();
    for search in searches {
        search.refresh().await?;
        let (partition, offset) = (place.partition.partition, place.offset);
        found.extend(search.documents(&logged.origin, partition, offset).await?);
    }
    Ok(found)
}

impl Letters {
    /// Those of a topology whose options are sound.
    pub fn of(spec: &Spec) -> Self {
        let Some(component) = &spec.dead_letter else {
            return Self::Nowhere("the topology has no `dead_letter`");
        };
        match component.kind.as_str() {
            "kafka" => match DeadLetters::of(spec) {
                Ok(Some(letters)) => Self::Topic(Box::new(letters)),
                _ => Self::Nowhere("dead letters go to topics that records name"),
            },
            "file" => match component.config.get("path").and_then(Node::text) {
                Some(path) => Self::File(spec.directory.join(path)),
                None => Self::Nowhere("the file of the dead letters is not known"),
            },
            _ => Self::Nowhere("dead letters go where they cannot be read back from"),
        }
    }

    /// The dead letters of a record. Reads all letters; waits for brokers at most `within` without any
    /// progress. Fails with the cause in a sentence.
    pub fn find(
        &self,
        place: &Place,
        logged: &Logged,
        within: Duration,
    ) -> Result<Vec<FoundLetter>, String> {
        let mut found = Vec::new();
        match self {
            Self::Nowhere(why) => return Err((*why).to_owned()),
            Self::Topic(letters) => {
                let mut read = OfRecord::default();
                letters
                    .read(within, |stored| {
                        let at =
                            format!("{}/{}@{}", letters.topic(), stored.partition, stored.offset);
                        if let Ok(content) = stored.content {
                            read.add(content, at, place, logged);
                        }
                    })
                    .map_err(|error| error.to_string())?;
                found = read.finish();
            }
            Self::File(path) => {
                let unreadable =
                    |error: std::io::Error| format!("cannot read {}: {error}", path.display());
                let file = match std::fs::File::open(path) {
                    Ok(file) => file,
                    // It is made with the first letter.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return Ok(found);
                    }
                    Err(error) => return Err(unreadable(error)),
                };
                let mut lines = BufReader::new(file);
                let mut line = Vec::new();
                for number in 1_u64.. {
                    line.clear();
                    if lines.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
                        break;
                    }
                    if let Some(mut letter) = on_line(&line, place, logged) {
                        letter.place = format!("{}:{number}", path.display());
                        found.push(letter);
                    }
                }
            }
        }
        Ok(found)
    }
}

/// What a topic of dead letters holds of one record.
#[derive(Default)]
struct OfRecord {
    /// Each with its place.
    letters: Vec<(Letter, String)>,
    resolutions: Vec<Resolution>,
}

impl OfRecord {
    /// Keeps what lies at a place of the topic, if it is of the record.
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

    /// The letters, when all of the topic was read: a resolution can come before its letter.
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

/// The letter on a line, if it is one of this record.
fn on_line(line: &[u8], place: &Place, logged: &Logged) -> Option<FoundLetter> {
    let letter: Value = serde_json::from_slice(line).ok()?;
    let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
    let is_meant = letter["topic"] == *place.partition.topic
        && letter["partition"] == place.partition.partition
        && letter["offset"] == place.offset
        && letter["source"] == format!("{:016x}", logged.source);
    is_meant.then(|| FoundLetter {
        place: String::new(),
        part: ordinals_of(&letter["ordinal"]),
        bolt: text("bolt"),
        class: text("class"),
        reason: text("reason"),
        rejected_at_ms: text("rejected_at")
            .parse()
            .ok()
            .map(jiff::Timestamp::as_millisecond),
        resolved_by: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dead_letter::Origin;
    use crate::scratch::Scratch;

    #[test]
    fn indices_whose_cluster_makes_the_ids_are_searched_too() {
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "kafka": {"type": "kafka", "brokers": "localhost:1"},
                "search": {"type": "elasticsearch", "hosts": "http://localhost:1"},
            },
            "spouts": {
                "in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "earliest"},
                "apart": {"type": "kafka", "connection": "kafka", "topics": ["b"], "start": "earliest"},
            },
            "bolts": {
                "parse": {"type": "parse_json", "inputs": ["in"]},
                "index": {
                    "type": "elasticsearch", "connection": "search", "inputs": ["parse"],
                    "index": "logs", "id": "auto",
                },
                "nowhere": {"type": "blackhole", "inputs": ["apart"]},
            },
            "dead_letter": {"type": "file", "path": "dead"},
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        let count = |spout: &str| {
            let searches = searches(&spec, spout, Duration::from_secs(1));
            searches.expect("clients").len()
        };
        assert_eq!((count("in"), count("apart")), (1, 0));
    }

    #[test]
    fn letters_in_a_topic_are_open_until_a_resolution_of_their_record_and_bolt_settles_them() {
        let place = Place {
            partition: TopicPartition::new("logs", 1),
            offset: 4,
        };
        let logged = Logged {
            start: 0,
            end: 9,
            high: 9,
            committed: None,
            members: 0,
            exists: Some(true),
            source: 7,
            origin: String::new(),
        };
        let origin = |offset: i64, ordinals: Ordinals| Origin {
            source: 7,
            topic: "logs".to_owned(),
            partition: 1,
            offset,
            timestamp: None,
            ordinals,
        };
        let letter = |origin: Origin, bolt: &str, redrives: u32| {
            Content::Letter(Letter {
                topology: "logs".to_owned(),
                bolt: bolt.to_owned(),
                attempts: 1,
                redrives,
                class: "mapping".to_owned(),
                reason: "no".to_owned(),
                target: None,
                document_id: None,
                rejected_at: 1_000,
                origin,
                cut: None,
            })
        };
        let resolution = |origin: Origin| {
            Content::Resolution(Resolution {
                origin,
                bolt: "index".to_owned(),
                redrives: 0,
                rejected_at: 1_000,
                run: "run-1".to_owned(),
            })
        };
        let contents = [
            resolution(origin(4, Ordinals::NONE)),
            resolution(origin(5, Ordinals::NONE)),
            letter(origin(4, Ordinals::NONE), "index", 0),
            letter(origin(4, Ordinals::NONE), "index", 1),
            letter(origin(4, Ordinals::NONE), "parse", 0),
            letter(
                origin(4, Ordinals::NONE.part(2).expect("small")),
                "index",
                0,
            ),
            letter(origin(5, Ordinals::NONE), "index", 0),
        ];
        let mut read = OfRecord::default();
        for (number, content) in contents.into_iter().enumerate() {
            read.add(content, number.to_string(), &place, &logged);
        }
        let found = read.finish();
        let found: Vec<(&str, Option<&str>)> = found
            .iter()
            .map(|letter| (letter.place.as_str(), letter.resolved_by.as_deref()))
            .collect();
        let expected = [("2", Some("run-1")), ("3", None), ("4", None), ("5", None)];
        assert_eq!(found, expected);
    }

    #[test]
    fn letters_in_a_file_are_found_by_the_origin_of_their_record() {
        let directory = Scratch::new();
        let letter = |source: &str, offset: i64, reason: &str| {
            json!({
                "dead_letter": 1, "bolt": "index", "class": "mapping", "reason": reason,
                "source": source, "topic": "logs", "partition": 1, "offset": offset,
                "rejected_at": "1970-01-01T00:00:01Z", "ordinal": 3,
            })
        };
        let lines = [
            letter("0000000000000007", 5, "another record"),
            // A topic of that name which was deleted since.
            letter("0000000000000006", 4, "another topic"),
            letter("0000000000000007", 4, "this one"),
        ];
        let mut text = lines.map(|line| line.to_string()).join("\n");
        text.push_str("\n{\"cut\n\n");
        directory.replace("dead.ndjson", text);
        let place = Place {
            partition: TopicPartition::new("logs", 1),
            offset: 4,
        };
        let logged = Logged {
            start: 0,
            end: 9,
            high: 9,
            committed: None,
            members: 0,
            exists: Some(true),
            source: 7,
            origin: String::new(),
        };
        let find = |name: &str| {
            let letters = Letters::File(directory.path().join(name));
            letters.find(&place, &logged, Duration::from_secs(1))
        };
        let found = find("dead.ndjson").expect("it is read");
        let path = directory.path().join("dead.ndjson");
        let expected = FoundLetter {
            place: format!("{}:3", path.display()),
            part: Ordinals::NONE.part(3).expect("small"),
            bolt: "index".to_owned(),
            class: "mapping".to_owned(),
            reason: "this one".to_owned(),
            rejected_at_ms: Some(1_000),
            resolved_by: None,
        };
        assert_eq!(found, [expected]);
        assert_eq!(find("not there yet"), Ok(Vec::new()));
    }
}
