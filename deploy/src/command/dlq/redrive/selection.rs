//! Which records are redriven: those of the open letters that are meant, each record once, with all the
//! letters that it settles.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::dead_letter::{Origin, REDRIVE, Resolution};
use isobar_operators::redrive::{LetterAt, Mark, Pick};
use isobar_operators::replay::{Guarantee, Sink};
use isobar_topology::Ordinals;
use serde_json::{Value, json};

use super::super::filter::Filter;
use super::super::letters::{At, Identity, Kind, Letters, Line, kinds, table};
use super::entry::Entry;
use super::whose::Whose;
use crate::command::replay::part::Part;
use crate::exit::Exit;
use crate::output::number;

/// Most records that are named when they cannot be redriven.
const NAMED_MAX: usize = 10;

/// What a redrive may take.
pub(super) struct Scope<'a> {
    pub(super) topology: &'a str,
    /// Whose the letters of a record are that a bolt has rejected.
    pub(super) whose: &'a dyn Fn(&Origin, &str) -> Whose,
    /// The number of the topic that a letter is in; `None` for a file, where nothing can be marked.
    pub(super) topic_of: &'a dyn Fn(&At) -> Option<usize>,
    /// Whether the run does all that a bolt would have led to, so that it settles the bolt's letters.
    pub(super) settles: &'a dyn Fn(&str) -> bool,
    pub(super) redrives_max: u32,
    pub(super) limit: usize,
    /// The name of the run.
    pub(super) run: &'a str,
}

/// The records, and what is not among them.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// One letter of each.
    pub(super) picks: BTreeMap<LetterAt, Pick>,
    /// How many they are, when they are taken.
    pub(super) records: usize,
    kinds: Vec<Kind>,
    letters: usize,
    /// Records whose letters hold only a part of them.
    cut: Vec<String>,
    /// Records whose letters are in files alone.
    in_files: usize,
    /// Records that were redriven too often.
    spent: usize,
    redrives_max: u32,
    /// Records beyond the limit.
    later: usize,
    /// Letters that are meant and are another topology's or another spout's.
    others: usize,
    /// Letters that are meant and are no spout's any more, as far as anybody knows.
    homeless: usize,
    /// Letters that are meant and that the run would not settle.
    unsettled: usize,
}

/// The bolts whose open letters are meant, of what this spout of a topology has read.
pub(super) fn rejected_by<'l>(
    letters: &'l Letters,
    filter: &Filter,
    topology: &str,
    whose: &dyn Fn(&Origin, &str) -> Whose,
) -> BTreeSet<&'l str> {
    let of_spout = letters.open().filter(|((origin, bolt), line)| {
        is_of(&line.topology, topology) && whose(origin, bolt) == Whose::Ours && filter.takes(line)
    });
    of_spout.map(|((_, bolt), _)| bolt.as_str()).collect()
}

/// The open letters of a record.
type Letter<'a> = (&'a Identity, &'a Line);

impl Selection {
    pub(super) fn of(letters: &Letters, filter: &Filter, scope: &Scope<'_>) -> Self {
        let mut selection = Self {
            redrives_max: scope.redrives_max,
            ..Self::default()
        };
        let mut records: BTreeMap<(u64, &str, i32, i64), Vec<Letter<'_>>> = BTreeMap::new();
        for (identity, line) in letters.open() {
            let (origin, bolt) = identity;
            let is_meant = usize::from(filter.takes(line));
            let whose = match is_of(&line.topology, scope.topology) {
                true => (scope.whose)(origin, bolt),
                false => Whose::Others,
            };
            match whose {
                Whose::Ours => {}
                Whose::Others => {
                    selection.others += is_meant;
                    continue;
                }
                Whose::Nobodys => {
                    selection.homeless += is_meant;
                    continue;
                }
            }
            let record = (
                origin.source,
                origin.topic.as_str(),
                origin.partition,
                origin.offset,
            );
            if !(scope.settles)(bolt) {
                selection.unsettled += is_meant;
            }
            records.entry(record).or_default().push((identity, line));
        }
        let settles = |letter: &Letter<'_>| (scope.settles)(&letter.0.1);
        let is_meant = |record: &Vec<Letter<'_>>| {
            let mut record = record.iter();
            record.any(|letter| settles(letter) && filter.takes(letter.1))
        };
        let mut meant: Vec<Vec<Letter<'_>>> = records.into_values().filter(is_meant).collect();
        meant.sort_by_key(|record| record.iter().map(|(_, line)| line.rejected_at_ms).min());
        let mut lines = Vec::new();
        for record in meant {
            let redrives = record.iter().map(|(_, line)| line.redrives).max();
            let topic_of = |letter: &Letter<'_>| (scope.topic_of)(&letter.1.letter);
            let mut whole = record.iter().filter(|(_, line)| !line.is_cut);
            let whole = whole.find_map(|letter| Some((*letter, topic_of(letter)?)));
            let in_file = |(_, line): &Letter<'_>| line.letter.is_in_file();
            match (whole, redrives.unwrap_or(0)) {
                (None, _) if record.iter().any(in_file) => selection.in_files += 1,
                (None, _) => selection.cut.push(place(&record[0].0.0)),
                (_, redrives) if redrives >= scope.redrives_max => selection.spent += 1,
                _ if selection.picks.len() >= scope.limit => selection.later += 1,
                (Some(((identity, line), topic)), redrives) => {
                    let at = (topic, line.letter.partition, line.letter.offset);
                    let mut record = record;
                    record.retain(settles);
                    let place_of = |line: &Line| {
                        let topic = (scope.topic_of)(&line.letter);
                        // In a file nothing can be marked.
                        topic.map_or(at, |topic| {
                            (topic, line.letter.partition, line.letter.offset)
                        })
                    };
                    let pick = pick(&identity.0, redrives, &record, place_of, scope.run);
                    let _ = selection.picks.insert(at, pick);
                    lines.extend(record.iter().map(|(_, line)| *line));
                }
            }
        }
        selection.records = selection.picks.len();
        selection.letters = lines.len();
        selection.kinds = kinds(lines);
        selection
    }

    /// What is told before the run.
    pub(super) fn text(&self, run: &str, letters: &str, entry: &Entry, part: &Part) -> String {
        let mut text = format!(
            "Redrive {run}: {} records, by their {} open dead letters in {letters}\n\n",
            number(self.records),
            number(self.letters),
        );
        if !self.kinds.is_empty() {
            text.push_str(&table(&self.kinds, Some(entry.id())));
            text.push('\n');
        }
        text.push_str(&entry.text());
        for sink in &part.sinks {
            text.push_str(&sink_text(sink, entry));
        }
        for bolt in &part.left_out {
            text.push_str(&format!(
                "Left out: {bolt} writes to another system; what would reach nothing else is dropped\n"
            ));
        }
        text.push_str(&self.left_out_text());
        text
    }

    /// What was asked for and is not redriven.
    pub(super) fn left_out_text(&self) -> String {
        let mut text = String::new();
        if !self.cut.is_empty() {
            let named: Vec<&str> = self
                .cut
                .iter()
                .take(NAMED_MAX)
                .map(String::as_str)
                .collect();
            text.push_str(&format!(
                "{} records are left out, since their letters were cut and hold only a part of them; \
                 `isobar replay` reads them from their topics: {}{}\n",
                number(self.cut.len()),
                named.join(", "),
                if self.cut.len() > NAMED_MAX { ", …" } else { "" },
            ));
        }
        if self.in_files > 0 {
            text.push_str(&format!(
                "{} records are left out, since their letters are in files, where nothing can be marked as \
                 settled; `isobar replay` reads them from their topics\n",
                number(self.in_files)
            ));
        }
        if self.spent > 0 {
            text.push_str(&format!(
                "{} records are left out, since they were redriven {} times before and rejected again \
                 (--redrives-max)\n",
                number(self.spent),
                number(self.redrives_max),
            ));
        }
        if self.later > 0 {
            text.push_str(&format!(
                "{} records more are open (--limit)\n",
                number(self.later)
            ));
        }
        if self.unsettled > 0 {
            text.push_str(&format!(
                "{} letters stay open, since their bolts lead to one that is left out, or are in the \
                 topology no more\n",
                number(self.unsettled)
            ));
        }
        if self.homeless > 0 {
            text.push_str(&format!(
                "{} letters stay open, since no spout reads their topics any more, or nobody can say which of several \
                 did: `isobar dlq list` names them\n",
                number(self.homeless)
            ));
        }
        if self.others > 0 {
            text.push_str(&format!(
                "{} open letters are of other topologies, or of other spouts\n",
                number(self.others)
            ));
        }
        text
    }

    pub(super) fn document(&self, entry: &Entry) -> Value {
        json!({
            "enters_at": entry.document(),
            "records": self.records,
            "letters": self.letters,
            "kinds": self.kinds,
            "left_out": {
                "cut": self.cut.len(),
                "in_files": self.in_files,
                "redriven_too_often": self.spent,
                "beyond_limit": self.later,
                "letters_not_settled": self.unsettled,
                "letters_of_topics_not_read": self.homeless,
                "letters_of_others": self.others,
            },
        })
    }

    pub(super) fn exit(&self) -> Exit {
        let records = self.cut.len() + self.in_files + self.spent;
        match records + self.unsettled + self.homeless {
            0 => Exit::Done,
            _ => Exit::Threshold,
        }
    }
}

/// Where records go, and what protects them from being stored twice there.
fn sink_text(sink: &Sink, entry: &Entry) -> String {
    let Sink {
        bolt,
        index,
        guarantee,
    } = sink;
    let stored = match entry.bolt() {
        None => "what another branch of the topology has stored of these records there",
        Some(_) => "what other parts of a split record have stored there",
    };
    match guarantee {
        // What has no id to be found by is not known to be missing.
        Guarantee::None => format!(
            "Indexed by {bolt} into {index}: protected against storing twice: {guarantee}; the cluster makes the ids, \
             so {stored}, or a redrive that was cut short, is stored once more\n"
        ),
        _ => format!(
            "Indexed by {bolt} into {index}, where it is missing: protected against storing twice: {guarantee}\n"
        ),
    }
}

/// Whether a letter is of a topology, be it live, of a replay or of a redrive.
pub(super) fn is_of(letter: &str, topology: &str) -> bool {
    let rest = letter.strip_prefix(topology);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.starts_with(".replay.") || rest.starts_with(REDRIVE)
    })
}

/// The record itself, when its letter is of a part of it that a bolt has split off.
fn pick(
    origin: &Origin,
    redrives: u32,
    record: &[Letter<'_>],
    place_of: impl Fn(&Line) -> LetterAt,
    run: &str,
) -> Pick {
    let marks = record.iter().map(|((origin, bolt), line)| Mark {
        at: place_of(line),
        resolution: Resolution {
            origin: origin.clone(),
            bolt: bolt.clone(),
            // Of the record, by which later ones are told.
            redrives,
            rejected_at: line.open_until_ms,
            run: run.to_owned(),
        },
    });
    Pick {
        origin: Origin {
            ordinals: Ordinals::NONE,
            ..origin.clone()
        },
        redrives,
        marks: marks.collect(),
    }
}

fn place(origin: &Origin) -> String {
    format!("{}/{}@{}", origin.topic, origin.partition, origin.offset)
}

/// A letter of the record at `offset` of `t/0` that was rejected at this time.
#[cfg(test)]
pub(super) fn letter_for_tests(
    rejected_at: i64,
    offset: i64,
    bolt: &str,
) -> isobar_operators::dead_letter::Letter {
    isobar_operators::dead_letter::Letter {
        topology: "logs".to_owned(),
        bolt: bolt.to_owned(),
        attempts: 1,
        redrives: 0,
        class: "mapping".to_owned(),
        reason: "no number".to_owned(),
        target: None,
        document_id: None,
        rejected_at,
        origin: Origin {
            source: 7,
            topic: "t".to_owned(),
            partition: 0,
            offset,
            timestamp: None,
            ordinals: Ordinals::NONE,
        },
        cut: None,
    }
}

#[cfg(test)]
mod tests {
    use isobar_operators::dead_letter::{Cut, Letter};
    use isobar_operators::letters::{Content, IN_FILE, Stored};

    use super::letter_for_tests as letter;
    use super::*;

    fn select(letters: Vec<Letter>, filter: &Filter, limit: usize) -> Selection {
        select_from(Letters::default(), letters, filter, limit)
    }

    fn select_from(
        mut all: Letters,
        letters: Vec<Letter>,
        filter: &Filter,
        limit: usize,
    ) -> Selection {
        for (offset, letter) in (0..).zip(letters) {
            all.add(Stored {
                partition: 0,
                offset,
                content: Ok(Content::Letter(letter)),
                key: None,
                payload: None,
            });
        }
        let scope = Scope {
            topology: "logs",
            whose: &whose,
            topic_of: &|at| ["", "bad"].iter().position(|topic| *topic == &*at.of),
            settles: &|bolt| bolt != "to_kafka",
            redrives_max: 2,
            limit,
            run: "logs.redrive.1",
        };
        Selection::of(&all.finish(), filter, &scope)
    }

    /// The spout reads `t`, and another one that, too, which leads to `theirs`. Nobody reads `gone`.
    fn whose(origin: &Origin, bolt: &str) -> Whose {
        match (origin.topic.as_str(), bolt) {
            ("gone", _) => Whose::Nobodys,
            ("t", bolt) if bolt != "theirs" => Whose::Ours,
            _ => Whose::Others,
        }
    }

    #[test]
    fn letters_of_another_spout_are_neither_sent_through_nor_settled() {
        // Of one record both spouts have led to a letter.
        let letters = || {
            vec![
                letter(0, 5, "theirs"),
                letter(1, 5, "a"),
                letter(2, 6, "theirs"),
            ]
        };
        let selection = select(letters(), &Filter::default(), usize::MAX);
        let settled: Vec<(i64, &str)> = selection
            .picks
            .values()
            .flat_map(Pick::resolutions)
            .map(|one| (one.origin.offset, one.bolt.as_str()))
            .collect();
        assert_eq!(settled, [(5, "a")]);
        assert_eq!((selection.others, selection.exit()), (2, Exit::Done));
        let said = "2 open letters are of other topologies, or of other spouts\n";
        assert_eq!(selection.left_out_text(), said);
    }

    #[test]
    fn a_record_goes_through_once_and_settles_all_its_letters() {
        let filter = Filter {
            bolt: Some("b".to_owned()),
            ..Filter::default()
        };
        let mut again = letter(2, 6, "b");
        again.redrives = 1;
        again.topology = "logs.redrive.0".to_owned();
        let letters = vec![
            letter(0, 5, "a"),
            letter(1, 5, "b"),
            again,
            letter(3, 9, "a"),
        ];
        let selection = select(letters, &filter, usize::MAX);
        let offsets: Vec<(i64, u32, usize)> = selection
            .picks
            .values()
            .map(|pick| (pick.origin.offset, pick.redrives, pick.marks.len()))
            .collect();
        assert_eq!(offsets, [(5, 0, 2), (6, 1, 1)]);
        assert_eq!((selection.letters, selection.exit()), (3, Exit::Done));
    }

    #[test]
    fn marks_say_how_often_the_record_was_redriven_whichever_bolt_has_rejected_it() {
        let mut again = letter(1, 5, "b");
        again.redrives = 1;
        let selection = select(
            vec![letter(0, 5, "a"), again],
            &Filter::default(),
            usize::MAX,
        );
        let picks = selection.picks.values();
        let redrives: Vec<(u32, Vec<u32>)> = picks
            .map(|pick| {
                let marks = pick.resolutions().map(|one| one.redrives);
                (pick.redrives, marks.collect())
            })
            .collect();
        assert_eq!(redrives, [(1, vec![1, 1])]);
    }

    #[test]
    fn letters_of_topics_that_nobody_reads_any_more_make_less_of_it_than_was_asked_for() {
        let of_topic = |topic: &str| {
            let mut letter = letter(0, 5, "a");
            letter.origin.topic = topic.to_owned();
            let selection = select(vec![letter], &Filter::default(), usize::MAX);
            assert!(selection.picks.is_empty());
            (selection.exit(), selection.left_out_text())
        };
        let (exit, text) = of_topic("gone");
        assert_eq!(exit, Exit::Threshold);
        assert!(
            text.contains("1 letters stay open, since no spout reads"),
            "{text}"
        );
        // That is a matter of another spout.
        let (exit, text) = of_topic("u");
        assert_eq!(exit, Exit::Done);
        assert!(text.contains("or of other spouts"), "{text}");
    }

    #[test]
    fn where_nothing_protects_against_storing_twice_it_is_said_when_that_happens() {
        let text = |guarantee| {
            let sink = Sink {
                bolt: "index".to_owned(),
                index: "logs".to_owned(),
                guarantee,
            };
            sink_text(&sink, &Entry::at_spout("in"))
        };
        assert_eq!(
            text(Guarantee::Exact),
            "Indexed by index into logs, where it is missing: protected against storing twice: exact\n"
        );
        let none = text(Guarantee::None);
        assert!(none.starts_with("Indexed by index into logs: "), "{none}");
        assert!(none.contains("none; the cluster makes the ids"), "{none}");
    }

    #[test]
    fn letters_of_bolts_that_lead_to_what_is_left_out_stay_open() {
        let letters = || {
            vec![
                letter(0, 5, "a"),
                letter(1, 5, "to_kafka"),
                letter(2, 6, "to_kafka"),
            ]
        };
        let selection = select(letters(), &Filter::default(), usize::MAX);
        let settled: Vec<(i64, &str)> = selection
            .picks
            .values()
            .flat_map(Pick::resolutions)
            .map(|resolution| (resolution.origin.offset, resolution.bolt.as_str()))
            .collect();
        assert_eq!(settled, [(5, "a")]);
        assert_eq!((selection.letters, selection.exit()), (1, Exit::Threshold));
        assert!(selection.left_out_text().contains("2 letters stay open"));

        let filter = Filter {
            bolt: Some("to_kafka".to_owned()),
            ..Filter::default()
        };
        let selection = select(letters(), &filter, usize::MAX);
        assert_eq!((selection.picks.len(), selection.unsettled), (0, 2));
    }

    #[test]
    fn the_bolts_are_those_whose_letters_are_meant() {
        let mut letters = Letters::default();
        let mut other = letter(2, 7, "c");
        other.topology = "logs-2".to_owned();
        let all = [
            letter(0, 5, "a"),
            letter(1, 6, "b"),
            letter(3, 6, "theirs"),
            other,
        ];
        for (offset, letter) in (0..).zip(all) {
            letters.add(Stored {
                partition: 0,
                offset,
                content: Ok(Content::Letter(letter)),
                key: None,
                payload: None,
            });
        }
        let letters = letters.finish();
        let bolts = |filter: &Filter| {
            let found = rejected_by(&letters, filter, "logs", &whose);
            found.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(bolts(&Filter::default()), "a b");
        let filter = Filter {
            bolt: Some("b".to_owned()),
            ..Filter::default()
        };
        assert_eq!(bolts(&filter), "b");
    }

    #[test]
    fn letters_in_several_topics_are_redriven_and_those_in_files_alone_are_not() {
        let stored = |partition, at, offset, bolt| Stored {
            partition,
            offset: at,
            content: Ok(Content::Letter(letter(at, offset, bolt))),
            key: None,
            payload: None,
        };
        let mut all = Letters::default();
        all.read_from(&"bad".into());
        all.add(stored(2, 9, 5, "b"));
        all.read_from(&"dead.ndjson".into());
        // Of one record the topic has a letter, of another one none.
        all.add(stored(IN_FILE, 1, 5, "c"));
        all.add(stored(IN_FILE, 2, 6, "c"));
        all.read_from(&"".into());
        let of_first = vec![letter(0, 7, "a"), letter(1, 5, "a")];
        let selection = select_from(all, of_first, &Filter::default(), usize::MAX);
        let picks: Vec<(LetterAt, i64, Vec<LetterAt>)> = selection
            .picks
            .iter()
            .map(|(at, pick)| {
                let marks = pick.marks.iter().map(|mark| mark.at);
                (*at, pick.origin.offset, marks.collect())
            })
            .collect();
        let (first, second) = ((0, 0, 0), (1, 2, 9));
        let third = (0, 0, 1);
        // That of the file is marked beside the one that is read; another one of a topic where it is itself.
        let expected = [
            (first, 7, vec![first]),
            (third, 5, vec![third, second, third]),
        ];
        assert_eq!(picks, expected);
        assert_eq!((selection.in_files, selection.exit()), (1, Exit::Threshold));
        let text = selection.left_out_text();
        let said = "1 records are left out, since their letters are in files";
        assert!(text.starts_with(said), "{text}");
    }

    #[test]
    fn what_cannot_or_should_not_be_redriven_is_said() {
        let mut cut = letter(0, 1, "a");
        cut.cut = Some(Cut {
            payload_bytes: 9,
            payload_sha256: String::new(),
        });
        let mut spent = letter(1, 2, "a");
        spent.redrives = 2;
        let mut other = letter(2, 3, "a");
        other.topology = "logs-2".to_owned();
        let mut elsewhere = letter(3, 4, "a");
        elsewhere.origin.topic = "u".to_owned();
        let letters = vec![
            cut,
            spent,
            other,
            elsewhere,
            letter(4, 5, "a"),
            letter(5, 6, "a"),
        ];
        let selection = select(letters, &Filter::default(), 1);
        assert_eq!(selection.picks.len(), 1);
        assert_eq!(selection.exit(), Exit::Threshold);
        let text = selection.left_out_text();
        for part in [
            "1 records are left out, since their letters were cut",
            ": t/0@1\n",
            "1 records are left out, since they were redriven 2 times before",
            "1 records more are open (--limit)",
            "2 open letters are of other topologies",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}
