//! Dead letters in memory: each rejection once, and whether it is settled.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use isobar_operators::dead_letter::{Origin, Resolution};
use isobar_operators::letters::{Content, IN_FILE, Stored};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::filter::Filter;
use crate::output::{Table, number};

/// Rejections, each with its newest letter; when one is open, the newest of those.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Only letters with this key are remembered: keys may be large.
    key: Option<String>,
    /// The topic or file that is read, as letters of it are shown.
    of: Arc<str>,
    by_identity: BTreeMap<Identity, Line>,
    /// While the topic is read, the newest letter of each number of redrives: the newest of all may be
    /// settled, and one of fewer redrives be open, since the record was read and rejected once more.
    read: BTreeMap<Identity, Vec<Line>>,
    /// Of those none settles what another one does.
    resolutions: BTreeMap<Identity, Vec<Resolution>>,
    /// Records of the topic that are nothing of ours.
    pub(super) strangers: u64,
}

/// A record and the bolt that rejected it.
pub(super) type Identity = (Origin, String);

/// What is remembered of a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) letter: At,
    pub(super) rejected_at_ms: i64,
    pub(super) topology: String,
    pub(super) bolt: String,
    pub(super) class: String,
    attempts: u32,
    /// How often the record was sent through again before.
    pub(super) redrives: u32,
    pub(super) target: Option<String>,
    /// Topic, partition and offset of the record.
    origin: String,
    reason: String,
    /// The redrive that settled it; null when it is open.
    pub(super) resolved_by: Option<String>,
    /// When the last open letter of this rejection was written, of whatever redrive, in ms since 1970.
    #[serde(skip)]
    pub(super) open_until_ms: i64,
    /// It has only a part of the record.
    #[serde(skip)]
    pub(super) is_cut: bool,
}

/// A place in a dead-letter topic or file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct At {
    /// The topic or the file; empty for the first topic, where that of `dead_letter` comes first.
    pub(super) of: Arc<str>,
    /// [`IN_FILE`] for a line of a file.
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl At {
    pub(super) fn of(of: &Arc<str>, stored: &Stored) -> Self {
        Self {
            of: Arc::clone(of),
            partition: stored.partition,
            offset: stored.offset,
        }
    }

    /// Whether this is the place that is wanted. The first topic may be named as well.
    pub(super) fn is(&self, wanted: &Self, first_topic: Option<&str>) -> bool {
        let place = |at: &Self| (at.partition, at.offset);
        let is_there =
            self.of == wanted.of || self.of.is_empty() && first_topic == Some(&*wanted.of);
        is_there && place(self) == place(wanted)
    }

    pub(super) fn is_in_file(&self) -> bool {
        self.partition == IN_FILE
    }
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of_topic = |of: &str, partition: &str, offset: &str| {
            Some(Self {
                of: of.into(),
                partition: partition.parse().ok().filter(|number| *number >= 0)?,
                offset: offset.parse().ok()?,
            })
        };
        let in_first = || {
            let (partition, offset) = text.split_once(':')?;
            of_topic("", partition, offset)
        };
        let in_topic = || {
            let (topic, place) = text.rsplit_once('/')?;
            let (partition, offset) = place.split_once('@')?;
            of_topic(topic, partition, offset)
        };
        let in_file = || {
            let (file, line) = text.rsplit_once(':')?;
            // A partition that is none is no file.
            let is_file = !file.is_empty() && file.parse::<i64>().is_err();
            Some(Self {
                of: file.into(),
                partition: IN_FILE,
                offset: line.parse().ok().filter(|_| is_file)?,
            })
        };
        in_first().or_else(in_topic).or_else(in_file).ok_or_else(|| {
            format!(
                "{text:?} is no letter; write its partition and offset, such as 0:4711, or a place as `isobar \
                 where` tells it, such as bad/0@4711 or dead.ndjson:17"
            )
        })
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            of,
            partition,
            offset,
        } = self;
        match of.is_empty() {
            true => write!(f, "{partition}:{offset}"),
            false if self.is_in_file() => write!(f, "{of}:{offset}"),
            false => write!(f, "{of}/{partition}@{offset}"),
        }
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Rejections of a kind.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Kind {
    bolt: String,
    class: String,
    letters: u64,
    first_ms: i64,
    last_ms: i64,
}

impl Letters {
    /// For the letters with a key, or for all.
    pub(super) fn of(key: Option<String>) -> Self {
        Self {
            key,
            ..Self::default()
        }
    }

    /// What is added from now on is of this topic or file; those of files come last.
    pub(super) fn read_from(&mut self, of: &Arc<str>) {
        self.of = Arc::clone(of);
    }

    pub(super) fn add(&mut self, stored: Stored) {
        let at = At::of(&self.of, &stored);
        let letter = match stored.content {
            Ok(Content::Letter(letter)) => letter,
            Ok(Content::Resolution(resolution)) => return self.resolve(resolution),
            Err(_) => {
                self.strangers += 1;
                return;
            }
        };
        let key = self.key.as_ref().map(String::as_bytes);
        if key.is_some() && key != stored.key.as_deref() {
            return;
        }
        let line = Line {
            letter: at,
            rejected_at_ms: letter.rejected_at,
            topology: letter.topology,
            bolt: letter.bolt.clone(),
            class: letter.class,
            attempts: letter.attempts,
            redrives: letter.redrives,
            target: letter.target,
            origin: place(&letter.origin),
            reason: letter.reason,
            resolved_by: None,
            open_until_ms: letter.rejected_at,
            is_cut: letter.cut.is_some(),
        };
        let lines = self.read.entry((letter.origin, letter.bolt)).or_default();
        let mut known = lines.iter_mut();
        match known.find(|known| known.redrives == line.redrives) {
            // Where a topic has it, too, it can be redriven from there.
            Some(known) if line.letter.is_in_file() && !known.letter.is_in_file() => {}
            Some(known) if line.rejected_at_ms > known.rejected_at_ms => *known = line,
            Some(_) => {}
            None => {
                // Nearly all have one only.
                lines.reserve_exact(1);
                lines.push(line);
            }
        }
    }

    fn resolve(&mut self, resolution: Resolution) {
        let identity = (resolution.origin.clone(), resolution.bolt.clone());
        let known = self.resolutions.entry(identity).or_default();
        let mut others = known.iter();
        if others.any(|other| other.settles(resolution.redrives, resolution.rejected_at)) {
            return;
        }
        known.retain(|other| !resolution.settles(other.redrives, other.rejected_at));
        known.reserve_exact(1);
        known.push(resolution);
    }

    /// Tells which letters are settled, when all of the topic is in.
    pub(super) fn finish(mut self) -> Self {
        for (identity, mut lines) in std::mem::take(&mut self.read) {
            let resolutions = self.resolutions.remove(&identity).unwrap_or_default();
            for line in &mut lines {
                let mut resolutions = resolutions.iter();
                let settles = |one: &&Resolution| one.settles(line.redrives, line.rejected_at_ms);
                line.resolved_by = resolutions.find(settles).map(|one| one.run.clone());
            }
            let open = lines.iter().filter(|line| line.is_open());
            let open_until_ms = open.map(|line| line.rejected_at_ms).max();
            if let Some(mut newest) = lines.into_iter().max_by_key(Line::rank) {
                newest.open_until_ms = open_until_ms.unwrap_or(newest.rejected_at_ms);
                let _ = self.by_identity.insert(identity, newest);
            }
        }
        self.resolutions.clear();
        self
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Identity, &Line)> {
        self.by_identity.iter()
    }

    /// Those that nothing has settled.
    pub(super) fn open(&self) -> impl Iterator<Item = (&Identity, &Line)> {
        self.all().filter(|(_, line)| line.is_open())
    }

    /// The letter that stands for a rejection.
    pub(super) fn of_rejection(&self, identity: &Identity) -> Option<&Line> {
        self.by_identity.get(identity)
    }

    /// Those that a filter takes, in the order of time; with `resolved`, those that are settled too.
    pub(super) fn chosen(&self, filter: &Filter, resolved: bool) -> Vec<&Line> {
        let all = self.by_identity.values();
        let is_meant = |line: &&Line| resolved || line.is_open();
        let mut lines: Vec<&Line> = all
            .filter(is_meant)
            .filter(|line| filter.takes(line))
            .collect();
        lines.sort_by_key(|line| line.rejected_at_ms);
        lines
    }

    /// How many of those that a filter takes are settled.
    pub(super) fn resolved(&self, filter: &Filter) -> usize {
        let all = self.by_identity.values();
        let settled = all.filter(|line| !line.is_open());
        settled.filter(|line| filter.takes(line)).count()
    }
}

impl Line {
    pub(super) fn is_open(&self) -> bool {
        self.resolved_by.is_none()
    }

    /// Open ones come before settled ones. A letter of a later redrive is newer, whatever the clocks say.
    fn rank(&self) -> (bool, u32, i64) {
        (self.is_open(), self.redrives, self.rejected_at_ms)
    }
}

/// Letters by bolt and class, the most frequent first.
pub(super) fn kinds<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Vec<Kind> {
    let mut kinds: BTreeMap<(&str, &str), Kind> = BTreeMap::new();
    for line in lines {
        let kind = kinds.entry((&line.bolt, &line.class));
        let kind = kind.or_insert_with(|| Kind {
            bolt: line.bolt.clone(),
            class: line.class.clone(),
            letters: 0,
            first_ms: i64::MAX,
            last_ms: i64::MIN,
        });
        kind.letters += 1;
        kind.first_ms = kind.first_ms.min(line.rejected_at_ms);
        kind.last_ms = kind.last_ms.max(line.rejected_at_ms);
    }
    let mut kinds: Vec<Kind> = kinds.into_values().collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.letters));
    kinds
}

/// A line for each kind; of records that are redriven, where they enter.
pub(super) fn table(kinds: &[Kind], enters_at: Option<&str>) -> String {
    let columns = ["BOLT", "CLASS", "LETTERS>", "FIRST", "LAST"];
    let mut table = Table::new(columns.into_iter().chain(enters_at.map(|_| "ENTERS AT")));
    for kind in kinds {
        let cells = [
            kind.bolt.clone(),
            kind.class.clone(),
            number(kind.letters),
            time(kind.first_ms),
            time(kind.last_ms),
        ];
        table.row(cells.into_iter().chain(enters_at.map(str::to_owned)));
    }
    table.text()
}

/// A line for each letter; with `resolved`, what settled it.
pub(super) fn listed(lines: &[&Line], resolved: bool) -> String {
    let columns = ["LETTER", "REJECTED AT", "BOLT", "CLASS", "RECORD"];
    let resolved_by = resolved.then_some("REDRIVEN BY");
    let mut table = Table::new(columns.into_iter().chain(resolved_by).chain(["REASON"]));
    for line in lines {
        let resolved_by = line.resolved_by.as_deref().unwrap_or("-");
        let cells = [
            line.letter.to_string(),
            time(line.rejected_at_ms),
            line.bolt.clone(),
            line.class.clone(),
            line.origin.clone(),
        ];
        let resolved_by = resolved.then(|| resolved_by.to_owned());
        table.row(
            cells
                .into_iter()
                .chain(resolved_by)
                .chain([line.reason.clone()]),
        );
    }
    table.text()
}

/// All that a letter has; its bytes as text, with what is not UTF-8 replaced. Fails with why it is none.
pub(super) fn full(at: &At, stored: &Stored) -> Result<Value, String> {
    let letter = match &stored.content {
        Ok(Content::Letter(letter)) => letter,
        Ok(Content::Resolution(resolution)) => {
            return Err(format!("it says that {} has settled one", resolution.run));
        }
        Err(not) => return Err(not.to_string()),
    };
    let text = |bytes: &Option<Vec<u8>>| {
        let bytes = bytes.as_ref();
        bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let cut = letter.cut.as_ref();
    Ok(json!({
        "version": super::VERSION,
        "letter": at,
        "rejected_at": time(letter.rejected_at),
        "topology": letter.topology,
        "bolt": letter.bolt,
        "class": letter.class,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "redrives": letter.redrives,
        "target": letter.target,
        "document_id": letter.document_id,
        "record": place(&letter.origin),
        "record_timestamp": letter.origin.timestamp.map(time),
        "child": letter.origin.ordinals,
        "cut_from_bytes": cut.map(|cut| cut.payload_bytes),
        "key": text(&stored.key),
        "payload": text(&stored.payload),
    }))
}

/// One line for each thing that is known.
pub(super) fn text(letter: &Value) -> String {
    let members = letter.as_object().into_iter().flatten();
    let lines = members
        .filter(|(name, value)| !value.is_null() && *name != "version")
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}: {text}\n"),
            None => format!("{name}: {value}\n"),
        });
    lines.collect()
}

fn place(origin: &Origin) -> String {
    format!("{}/{}@{}", origin.topic, origin.partition, origin.offset)
}

fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms);
    time.map_or_else(|_| format!("{ms} ms since 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use isobar_operators::dead_letter::{Letter, NotALetter};
    use isobar_topology::Ordinals;

    use super::*;

    fn stored(at: i64, offset: i64, class: &str, rejected_at: i64) -> Stored {
        Stored {
            partition: 0,
            offset: at,
            content: Ok(Content::Letter(Letter {
                topology: "logs".to_owned(),
                bolt: "parse".to_owned(),
                attempts: 1,
                redrives: 0,
                class: class.to_owned(),
                reason: "no JSON".to_owned(),
                target: None,
                document_id: None,
                rejected_at,
                origin: Origin {
                    source: 1,
                    topic: "t".to_owned(),
                    partition: 2,
                    offset,
                    timestamp: None,
                    ordinals: Ordinals::NONE,
                },
                cut: None,
            })),
            key: None,
            payload: Some(b"{\xff".to_vec()),
        }
    }

    fn letters() -> Letters {
        let mut letters = Letters::default();
        // The second letter of one rejection, written again after a crash.
        letters.add(stored(0, 7, "invalid_json", 1_000));
        letters.add(stored(1, 7, "invalid_json", 2_000));
        letters.add(stored(2, 8, "invalid_json", 3_000));
        letters.add(stored(3, 9, "mapping", 1_500));
        letters.add(Stored {
            content: Err(NotALetter::Version("2".to_owned())),
            ..stored(4, 9, "", 0)
        });
        letters
    }

    #[test]
    fn letters_of_several_places_are_told_apart_and_those_of_topics_are_taken_first() {
        let mut letters = Letters::default();
        letters.add(stored(0, 7, "invalid_json", 1_000));
        letters.read_from(&"bad".into());
        letters.add(stored(0, 8, "invalid_json", 2_000));
        letters.read_from(&"dead.ndjson".into());
        for (line, offset) in [(1, 7), (2, 9)] {
            letters.add(Stored {
                partition: IN_FILE,
                ..stored(line, offset, "invalid_json", 3_000)
            });
        }
        let letters = letters.finish();
        let all = letters.chosen(&Filter::default(), false);
        assert_eq!(places(&all), ["0:0", "bad/0@0", "dead.ndjson:2"]);
    }

    /// A letter of the record at 7 that was redriven so often.
    fn redriven(at: i64, redrives: u32, rejected_at: i64) -> Stored {
        let mut stored = stored(at, 7, "invalid_json", rejected_at);
        if let Ok(Content::Letter(letter)) = &mut stored.content {
            letter.redrives = redrives;
        }
        stored
    }

    fn resolution(of: &Stored) -> Stored {
        let Ok(Content::Letter(letter)) = &of.content else {
            panic!("no letter");
        };
        Stored {
            content: Ok(Content::Resolution(Resolution {
                origin: letter.origin.clone(),
                bolt: letter.bolt.clone(),
                redrives: letter.redrives,
                rejected_at: letter.rejected_at,
                run: "logs.redrive.1".to_owned(),
            })),
            ..stored(9, 0, "", 0)
        }
    }

    fn places(lines: &[&Line]) -> Vec<String> {
        lines.iter().map(|line| line.letter.to_string()).collect()
    }

    #[test]
    fn a_rejection_counts_once_however_often_its_letter_was_written() {
        let letters = letters().finish();
        let all = letters.chosen(&Filter::default(), false);
        assert_eq!((all.len(), letters.strangers), (3, 1));
        assert_eq!(
            table(&kinds(all), None),
            "\
BOLT   CLASS         LETTERS  FIRST                   LAST
parse  invalid_json        2  1970-01-01T00:00:02Z    1970-01-01T00:00:03Z
parse  mapping             1  1970-01-01T00:00:01.5Z  1970-01-01T00:00:01.5Z
"
        );
    }

    #[test]
    fn the_newest_come_last_and_filters_hold() {
        let letters = letters().finish();
        let all = letters.chosen(&Filter::default(), false);
        assert_eq!(places(&all), ["0:3", "0:1", "0:2"]);
        let filter = Filter {
            class: Some("mapping".to_owned()),
            ..Filter::default()
        };
        let mapping = letters.chosen(&filter, false);
        assert_eq!(mapping.len(), 1);
        assert!(listed(&mapping, false).contains("0:3     1970-01-01T00:00:01.5Z"));
    }

    #[test]
    fn what_is_resolved_is_open_no_more_until_it_is_rejected_again() {
        let mut letters = letters();
        // Resolutions can be read before their letters: they may be in other partitions.
        letters.add(resolution(&stored(1, 7, "", 2_000)));
        letters.add(resolution(&stored(2, 8, "", 3_000)));
        let mut again = stored(5, 8, "invalid_json", 2_500);
        if let Ok(Content::Letter(letter)) = &mut again.content {
            letter.redrives = 1;
        }
        letters.add(again);
        let letters = letters.finish();
        let open = letters.chosen(&Filter::default(), false);
        assert_eq!(places(&open), ["0:3", "0:5"]);
        assert_eq!(
            (letters.open().count(), letters.resolved(&Filter::default())),
            (2, 1)
        );
        let all = letters.chosen(&Filter::default(), true);
        assert!(listed(&all, true).contains("logs.redrive.1"));
    }

    #[test]
    fn a_new_rejection_is_open_behind_a_settled_one_of_more_redrives() {
        let mut letters = Letters::default();
        letters.add(redriven(0, 0, 1_000));
        letters.add(redriven(1, 1, 2_000));
        letters.add(resolution(&redriven(1, 1, 2_000)));
        // Read and rejected once more by the live topology.
        letters.add(redriven(2, 0, 3_000));
        let letters = letters.finish();
        let open = letters.chosen(&Filter::default(), false);
        assert_eq!(
            (places(&open), letters.resolved(&Filter::default())),
            (vec!["0:2".to_owned()], 0)
        );
    }

    #[test]
    fn two_resolutions_settle_no_more_than_each_of_them() {
        let mut letters = Letters::default();
        letters.add(redriven(0, 1, 40));
        letters.add(resolution(&redriven(1, 2, 10)));
        letters.add(resolution(&redriven(2, 0, 50)));
        let letters = letters.finish();
        assert_eq!(letters.open().count(), 1);
    }

    #[test]
    fn of_several_open_letters_of_a_rejection_the_one_of_most_redrives_stands_for_all() {
        let mut letters = Letters::default();
        letters.add(redriven(0, 0, 3_000));
        letters.add(redriven(1, 1, 2_000));
        let letters = letters.finish();
        let open: Vec<(u32, i64)> = letters
            .open()
            .map(|(_, line)| (line.redrives, line.open_until_ms))
            .collect();
        assert_eq!(open, [(1, 3_000)]);
    }

    #[test]
    fn letters_are_named_by_partition_and_offset() {
        for (text, of, partition) in [
            ("3:4711", "", 3),
            ("bad/3@4711", "bad", 3),
            ("/var/dead.ndjson:4711", "/var/dead.ndjson", IN_FILE),
            ("C:/dead:4711", "C:/dead", IN_FILE),
        ] {
            let at: At = text.parse().expect("a letter");
            assert_eq!((&*at.of, at.partition, at.offset), (of, partition, 4711));
            assert_eq!(at.to_string(), text);
        }
        for text in ["", "3", "3:", "1:b", "-1:2", ":2", "bad/@1", "bad/-1@1"] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_letter_is_shown_with_its_record() {
        let stored = stored(5, 7, "invalid_json", 1_000);
        let value = full(&At::of(&"".into(), &stored), &stored).expect("a letter");
        let text = text(&value);
        for part in ["letter: 0:5\n", "record: t/2@7\n", "payload: {\u{fffd}\n"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("target"), "{text}");
    }
}
