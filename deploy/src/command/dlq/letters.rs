//! Dead letters in memory: each rejection once, by when it happened.

use std::collections::BTreeMap;

use isobar_operators::dead_letter::{Letter, NotALetter, Origin};
use isobar_operators::letters::Stored;
use serde::Serialize;
use serde_json::{Value, json};

use crate::output::{Table, number};

/// Which letters are meant; what is not given does not matter.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub(super) bolt: Option<String>,
    pub(super) class: Option<String>,
    pub(super) target: Option<String>,
}

impl Filter {
    fn takes(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == found
        };
        is(&self.bolt, Some(&letter.bolt))
            && is(&self.class, Some(&letter.class))
            && is(&self.target, letter.target.as_deref())
    }
}

/// Rejections, each with its newest letter.
#[derive(Debug, Default)]
pub(super) struct Letters {
    filter: Filter,
    by_identity: BTreeMap<(Origin, String), Line>,
    /// Records of the topic that are no letters.
    pub(super) strangers: u64,
}

/// What a list shows of a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// Partition and offset in the dead-letter topic.
    letter: String,
    rejected_at_ms: i64,
    topology: String,
    bolt: String,
    class: String,
    attempts: u32,
    target: Option<String>,
    /// Topic, partition and offset of the record.
    origin: String,
    reason: String,
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
    pub(super) fn of(filter: Filter) -> Self {
        Self {
            filter,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, stored: Stored) {
        let Ok(letter) = stored.letter else {
            self.strangers += 1;
            return;
        };
        if !self.filter.takes(&letter) {
            return;
        }
        let line = Line {
            letter: format!("{}:{}", stored.partition, stored.offset),
            rejected_at_ms: letter.rejected_at,
            topology: letter.topology,
            bolt: letter.bolt.clone(),
            class: letter.class,
            attempts: letter.attempts,
            target: letter.target,
            origin: place(&letter.origin),
            reason: letter.reason,
        };
        let newest = self.by_identity.entry((letter.origin, letter.bolt));
        let newest = newest.or_insert_with(|| line.clone());
        if line.rejected_at_ms > newest.rejected_at_ms {
            *newest = line;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_identity.len()
    }

    /// The newest ones, so many, in the order of time.
    pub(super) fn newest(&self, limit: usize) -> Vec<&Line> {
        let mut lines: Vec<&Line> = self.by_identity.values().collect();
        lines.sort_by_key(|line| line.rejected_at_ms);
        lines.split_off(lines.len().saturating_sub(limit))
    }

    /// By bolt and class, the most frequent first.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds: BTreeMap<(&str, &str), Kind> = BTreeMap::new();
        for line in self.by_identity.values() {
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

    pub(super) fn table(&self) -> String {
        let mut table = Table::new(["BOLT", "CLASS", "LETTERS>", "FIRST", "LAST"]);
        for kind in self.kinds() {
            table.row([
                kind.bolt,
                kind.class,
                number(kind.letters),
                time(kind.first_ms),
                time(kind.last_ms),
            ]);
        }
        table.text()
    }
}

pub(super) fn listed(lines: &[&Line]) -> String {
    let mut table = Table::new(["LETTER", "REJECTED AT", "BOLT", "CLASS", "RECORD", "REASON"]);
    for line in lines {
        table.row([
            line.letter.clone(),
            time(line.rejected_at_ms),
            line.bolt.clone(),
            line.class.clone(),
            line.origin.clone(),
            line.reason.clone(),
        ]);
    }
    table.text()
}

/// All that a letter has; its bytes as text, with what is not UTF-8 replaced.
pub(super) fn full(stored: &Stored) -> Result<Value, NotALetter> {
    let letter = stored.letter.as_ref().map_err(Clone::clone)?;
    let text = |bytes: &Option<Vec<u8>>| {
        let bytes = bytes.as_ref();
        bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let cut = letter.cut.as_ref();
    Ok(json!({
        "version": super::VERSION,
        "letter": format!("{}:{}", stored.partition, stored.offset),
        "rejected_at": time(letter.rejected_at),
        "topology": letter.topology,
        "bolt": letter.bolt,
        "class": letter.class,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "target": letter.target,
        "document_id": letter.document_id,
        "record": place(&letter.origin),
        "record_timestamp": letter.origin.timestamp.map(time),
        "child": letter.origin.ordinal,
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
    use super::*;

    fn stored(at: i64, offset: i64, class: &str, rejected_at: i64) -> Stored {
        Stored {
            partition: 0,
            offset: at,
            letter: Ok(Letter {
                topology: "logs".to_owned(),
                bolt: "parse".to_owned(),
                attempts: 1,
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
                    ordinal: None,
                },
                cut: None,
            }),
            key: None,
            payload: Some(b"{\xff".to_vec()),
        }
    }

    fn letters(filter: Filter) -> Letters {
        let mut letters = Letters::of(filter);
        // The second letter of one rejection, written again after a crash.
        letters.add(stored(0, 7, "invalid_json", 1_000));
        letters.add(stored(1, 7, "invalid_json", 2_000));
        letters.add(stored(2, 8, "invalid_json", 3_000));
        letters.add(stored(3, 9, "mapping", 1_500));
        letters.add(Stored {
            letter: Err(NotALetter::Version("2".to_owned())),
            ..stored(4, 9, "", 0)
        });
        letters
    }

    #[test]
    fn a_rejection_counts_once_however_often_its_letter_was_written() {
        let letters = letters(Filter::default());
        assert_eq!((letters.len(), letters.strangers), (3, 1));
        assert_eq!(
            letters.table(),
            "\
BOLT   CLASS         LETTERS  FIRST                   LAST
parse  invalid_json        2  1970-01-01T00:00:02Z    1970-01-01T00:00:03Z
parse  mapping             1  1970-01-01T00:00:01.5Z  1970-01-01T00:00:01.5Z
"
        );
    }

    #[test]
    fn the_newest_come_last_and_filters_hold() {
        let all = letters(Filter::default());
        let newest: Vec<&str> = all
            .newest(2)
            .iter()
            .map(|line| line.letter.as_str())
            .collect();
        assert_eq!(newest, ["0:1", "0:2"]);
        let mapping = letters(Filter {
            class: Some("mapping".to_owned()),
            ..Filter::default()
        });
        assert_eq!(mapping.len(), 1);
        assert!(listed(&mapping.newest(9)).contains("0:3     1970-01-01T00:00:01.5Z"));
    }

    #[test]
    fn one_letter_is_shown_with_its_record() {
        let value = full(&stored(5, 7, "invalid_json", 1_000)).expect("a letter");
        let text = text(&value);
        for part in ["letter: 0:5\n", "record: t/2@7\n", "payload: {\u{fffd}\n"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("target"), "{text}");
    }
}
