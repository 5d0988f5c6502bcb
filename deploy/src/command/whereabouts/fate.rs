//! From what was found to what became of the record.

use isobar_operators::inquiry::{FoundLetter, Logged, Place};
use isobar_operators::replay::{DOCUMENTS_MAX, Document};
use isobar_topology::Ordinals;
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::WhereaboutsState as State;

/// Version of the JSON form.
const VERSION: u32 = 1;

/// All that was found out, or why not.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) logged: Logged,
    /// Those in the indices, or in a sentence why none can be known.
    pub(super) documents: Result<Vec<Document>, String>,
    pub(super) letters: Result<Vec<FoundLetter>, String>,
    /// Of each program that was asked.
    pub(super) running: Vec<Result<State, String>>,
    /// The policies by which the topology drops records.
    pub(super) policies: Vec<String>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub(super) enum Fate {
    /// It has a document, or several. It may have a dead letter besides: of another branch of the
    /// topology, or from before it was sent through again.
    Indexed {
        documents: Vec<Document>,
        letters: Vec<FoundLetter>,
        /// It is not settled yet: more of its parts, or other branches, may come.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        in_flight: bool,
    },
    /// It has no document, and a dead letter that is open.
    DeadLettered {
        letters: Vec<FoundLetter>,
        /// Why its documents are not known, where they are not: it may have been redriven and indexed.
        not_asked: Option<String>,
    },
    Dropped {
        policy: String,
    },
    InFlight {
        since_ms: i64,
        bolt: Option<String>,
        retries: u32,
    },
    /// Nothing came to it yet, for this reason.
    NotRead {
        why: String,
    },
    /// It was deleted at the broker, and nothing came of it.
    Lost {
        why: String,
    },
    NoRecord {
        why: String,
    },
    /// Not known, with all that there is to say.
    Unknown {
        why: Vec<String>,
    },
}

impl Fate {
    /// Judges: what was found counts before what a program says, and that before what follows from
    /// offsets.
    pub(super) fn of(place: &Place, evidence: &Evidence) -> Self {
        let documents = evidence.documents.as_deref().unwrap_or_default();
        let letters = evidence.letters.as_deref().unwrap_or_default();
        if !documents.is_empty() {
            return Self::Indexed {
                documents: documents.to_vec(),
                letters: letters.to_vec(),
                in_flight: evidence.tells(|state| matches!(state, State::InFlight { .. })),
            };
        }
        if letters.iter().any(|letter| letter.resolved_by.is_none()) {
            return Self::DeadLettered {
                letters: letters.to_vec(),
                not_asked: evidence.documents.as_ref().err().cloned(),
            };
        }
        let logged = &evidence.logged;
        if place.offset >= logged.high {
            let why = format!("the partition ends at {}", logged.high);
            return Self::NoRecord { why };
        }
        if place.offset >= logged.end {
            let end = logged.end;
            let why = format!(
                "a transaction is open, and nothing from {end} on can be read before it ends"
            );
            return Self::NotRead { why };
        }
        if logged.exists == Some(false) {
            let why =
                "a marker of a transaction, a record of an aborted one, or a gap of compaction";
            return Self::NoRecord {
                why: why.to_owned(),
            };
        }
        let is_deleted = place.offset < logged.start;
        let told = evidence.running.iter().flatten();
        let told = told.filter_map(Self::as_told);
        // What is deleted may have been fetched before, but need not.
        told.filter(|fate| !is_deleted || !matches!(fate, Self::NotRead { .. }))
            .min_by_key(|fate| matches!(fate, Self::NotRead { .. }))
            .unwrap_or_else(|| Self::by_offsets(place, evidence))
    }

    /// What a program alone can tell.
    fn as_told(state: &State) -> Option<Self> {
        match state.clone() {
            State::Dropped { policy } => Some(Self::Dropped { policy }),
            State::InFlight {
                since_ms,
                bolt,
                retries,
            } => Some(Self::InFlight {
                since_ms,
                bolt,
                retries,
            }),
            State::NotRead => Some(Self::NotRead {
                why: "the running program has not come to it".to_owned(),
            }),
            State::Settled { .. } | State::Lost | State::Elsewhere => None,
        }
    }

    fn by_offsets(place: &Place, evidence: &Evidence) -> Self {
        let logged = &evidence.logged;
        let committed = match logged.committed {
            Some(committed) => format!("the group has committed {committed}"),
            None => "the group has committed nothing".to_owned(),
        };
        if evidence.tells(|state| matches!(state, State::Settled { .. })) {
            let first = "the running program has settled it".to_owned();
            let why = Self::passed_and_not_found(place, evidence, first);
            return Self::Unknown { why };
        }
        if evidence.tells(|state| *state == State::Lost) {
            let why = "the running program found it deleted before it came to it".to_owned();
            if evidence.has_no_trace() {
                return Self::Lost { why };
            }
            // It may have been read in an earlier assignment, and then handed back.
            let mut why = vec![why];
            why.extend(evidence.found_nothing());
            return Self::Unknown { why };
        }
        if logged.committed.is_some_and(|next| place.offset < next) {
            let first = format!(
                "{committed}, so it has passed the record: settled, lost, or skipped by `start` or a moved offset"
            );
            let why = Self::passed_and_not_found(place, evidence, first);
            return Self::Unknown { why };
        }
        if place.offset < logged.start {
            return Self::deleted(evidence, &committed);
        }
        if logged.members == 0 {
            let why = format!("{committed}, and nobody is reading");
            return Self::NotRead { why };
        }
        let mut why = vec![format!(
            "{committed}, and a member of the group reads on: in flight there, or not read yet"
        )];
        why.extend(evidence.silent());
        Self::Unknown { why }
    }

    /// Of a record that is deleted and that the group has not passed. It is lost unless it was read
    /// before, and that only all members and all places together can deny.
    fn deleted(evidence: &Evidence, committed: &str) -> Self {
        let start = evidence.logged.start;
        let deleted = format!("it is deleted: the log begins at {start}, and {committed}");
        if evidence.is_all_there_is() && !evidence.tells(|state| *state == State::NotRead) {
            return Self::Lost { why: deleted };
        }
        let mut why = vec![format!("{deleted}: lost, unless it was read before")];
        why.extend(evidence.found_nothing());
        if evidence.tells(|state| *state == State::NotRead) {
            why.push(
                "the running program has not come to it, but may have fetched it before".to_owned(),
            );
        }
        if evidence.running.iter().flatten().count() < evidence.logged.members {
            why.push("not all members of the group have answered".to_owned());
        }
        why.extend(evidence.silent());
        Self::Unknown { why }
    }

    /// What there is to say of a record that the group is past, and that has left no trace.
    fn passed_and_not_found(place: &Place, evidence: &Evidence, first: String) -> Vec<String> {
        let mut why = vec![first];
        why.extend(evidence.found_nothing());
        let was_not_dropped = evidence.tells(|state| *state == State::Settled { certain: true });
        let has_no_trace = evidence.has_no_trace();
        why.push(match evidence.policies.as_slice() {
            _ if was_not_dropped && has_no_trace => {
                "the running program did not drop it: its document or letter was deleted since, or it went elsewhere than to an index".to_owned()
            }
            _ if was_not_dropped => "the running program did not drop it".to_owned(),
            [] => "no bolt drops records".to_owned(),
            policies => format!(
                "it may have been dropped, by {}: a program knows what it dropped since its start",
                policies.join(" or ")
            ),
        });
        if place.offset < evidence.logged.start {
            why.push("the record itself is deleted".to_owned());
        }
        why.extend(evidence.silent());
        why
    }

    /// The text for people.
    pub(super) fn text(&self, place: &Place) -> String {
        let (topic, number) = (&place.partition.topic, place.partition.partition);
        let mut text = format!("{topic}/{number}@{}: {}\n", place.offset, self.sentence());
        let (letters, why): (&[FoundLetter], &[String]) = match self {
            Self::Indexed {
                documents,
                letters,
                in_flight,
            } => {
                for Document { index, id, part } in documents {
                    text.push_str(&format!("  {}{index}/_doc/{id}\n", part_text(*part)));
                }
                if *in_flight {
                    text.push_str("It is in flight still: more of it may come\n");
                }
                if !letters.is_empty() {
                    text.push_str("There is a dead letter of it, too:\n");
                }
                (letters, &[])
            }
            Self::DeadLettered { letters, not_asked } => (letters, not_asked.as_slice()),
            Self::Unknown { why } => (&[], why),
            _ => (&[], &[]),
        };
        for letter in letters {
            let at = letter.rejected_at_ms.map(|at| format!(" at {}", time(at)));
            let by = letter.resolved_by.as_ref();
            let settled = by.map(|run| format!(" (settled by the redrive {run})"));
            text.push_str(&format!(
                "  {}{}: rejected by {}{} as {}: {}{}\n",
                part_text(letter.part),
                letter.place,
                letter.bolt,
                at.unwrap_or_default(),
                letter.class,
                letter.reason,
                settled.unwrap_or_default()
            ));
        }
        for why in why {
            text.push_str(&format!("  {why}\n"));
        }
        text
    }

    fn sentence(&self) -> String {
        match self {
            Self::Indexed { documents, .. } => {
                let parts = documents.iter().filter(|one| !one.part.is_empty());
                match parts.count() {
                    0 => "indexed".to_owned(),
                    DOCUMENTS_MAX => format!("split, with {DOCUMENTS_MAX} parts indexed or more"),
                    parts => format!("split, with {parts} parts indexed"),
                }
            }
            Self::DeadLettered { .. } => "dead-lettered".to_owned(),
            Self::Dropped { policy } => format!("dropped by the policy {policy}"),
            Self::InFlight {
                since_ms,
                bolt,
                retries,
            } => {
                let at = match bolt {
                    Some(bolt) => format!("at {bolt}"),
                    None => "on its way to the first bolt".to_owned(),
                };
                let again = match retries {
                    0 => String::new(),
                    1 => ", sent again once".to_owned(),
                    times => format!(", sent again {times} times"),
                };
                format!("in flight since {}, {at}{again}", time(*since_ms))
            }
            Self::NotRead { why } => format!("not read yet: {why}"),
            Self::Lost { why } => format!("lost: {why}"),
            Self::NoRecord { why } => format!("no record: {why}"),
            Self::Unknown { .. } => "unknown".to_owned(),
        }
    }

    /// The form for programs.
    pub(super) fn json(&self, place: &Place) -> Value {
        let mut value = json!({
            "version": VERSION,
            "topic": &*place.partition.topic,
            "partition": place.partition.partition,
            "offset": place.offset,
        });
        let fate = serde_json::to_value(self).unwrap_or_default();
        if let (Some(all), Value::Object(fate)) = (value.as_object_mut(), fate) {
            all.extend(fate);
        }
        value
    }
}

impl Evidence {
    /// Whether a program that answered says so.
    fn tells(&self, so: impl Fn(&State) -> bool) -> bool {
        self.running.iter().flatten().any(so)
    }

    /// Whether everybody was asked who can know of the record, and answered.
    fn is_all_there_is(&self) -> bool {
        // Each program has one member in the group of a spout.
        self.has_no_trace()
            && self.running.iter().all(Result::is_ok)
            && self.running.len() >= self.logged.members
    }

    /// Whether documents and letters could be looked for, and there are none, not even settled ones.
    fn has_no_trace(&self) -> bool {
        let no_documents = self.documents.as_ref().is_ok_and(Vec::is_empty);
        no_documents && self.letters.as_ref().is_ok_and(Vec::is_empty)
    }

    /// Where nothing was found but letters that are settled, or why nothing could be.
    fn found_nothing(&self) -> Vec<String> {
        let documents = match &self.documents {
            Ok(_) => "the indices have no document of it".to_owned(),
            Err(why) => why.clone(),
        };
        let mut found = vec![documents];
        match self.letters.as_deref() {
            Ok([]) => found.push("there is no dead letter of it".to_owned()),
            Ok(letters) => found.extend(letters.iter().map(|letter| {
                let FoundLetter { place, bolt, .. } = letter;
                let run = letter.resolved_by.as_deref().unwrap_or_default();
                format!("its dead letter {place}, of {bolt}, is settled by the redrive {run}")
            })),
            Err(error) => found.push(format!("dead letters could not be read: {error}")),
        }
        found
    }

    /// Why programs said nothing.
    fn silent(&self) -> Vec<String> {
        let asked = self.running.iter();
        let silent: Vec<String> = asked.filter_map(|told| told.clone().err()).collect();
        match self.running.is_empty() {
            true => vec!["no running program was asked: see --http".to_owned()],
            false => silent,
        }
    }
}

/// Which part of a record, in front of where it is.
fn part_text(part: Ordinals) -> String {
    match part.is_empty() {
        true => String::new(),
        false => format!("part {part}: "),
    }
}

fn time(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms);
    time.map_or_else(|_| format!("{ms} ms since 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use isobar_operators::kafka::admin::TopicPartition;

    use super::*;

    fn place(offset: i64) -> Place {
        Place {
            partition: TopicPartition::new("logs", 3),
            offset,
        }
    }

    fn logged(
        log: std::ops::Range<i64>,
        committed: Option<i64>,
        members: usize,
        exists: Option<bool>,
    ) -> Logged {
        Logged {
            start: log.start,
            end: log.end,
            high: log.end,
            committed,
            members,
            exists,
            source: 7,
            origin: String::new(),
        }
    }

    /// A log from 100 to 200 of which 150 are committed, nobody reading, nothing found.
    fn nothing() -> Evidence {
        Evidence {
            logged: logged(100..200, Some(150), 0, Some(true)),
            documents: Ok(Vec::new()),
            letters: Ok(Vec::new()),
            running: vec![Err("localhost:1 does not answer: refused".to_owned())],
            policies: vec!["sample.sampled".to_owned()],
        }
    }

    fn document() -> Document {
        Document {
            index: "logs-1".to_owned(),
            id: "1x".to_owned(),
            part: Ordinals::NONE,
        }
    }

    fn letter() -> FoundLetter {
        FoundLetter {
            place: "dead/0@7".to_owned(),
            part: Ordinals::NONE,
            bolt: "index".to_owned(),
            class: "mapping".to_owned(),
            reason: "no".to_owned(),
            rejected_at_ms: Some(0),
            resolved_by: None,
        }
    }

    #[track_caller]
    fn check(offset: i64, evidence: &Evidence, expected: &str) {
        let text = Fate::of(&place(offset), evidence).text(&place(offset));
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn what_was_found_counts_before_all_else() {
        let mut evidence = nothing();
        evidence.running = vec![Ok(State::NotRead)];
        evidence.letters = Ok(vec![letter()]);
        check(
            160,
            &evidence,
            "logs/3@160: dead-lettered\n  dead/0@7: rejected by index at 1970-01-01T00:00:00Z as mapping: no\n",
        );
        evidence.documents = Ok(vec![document()]);
        check(
            160,
            &evidence,
            "logs/3@160: indexed\n  logs-1/_doc/1x\nThere is a dead letter",
        );
        // Also where the other place could not be asked.
        evidence.letters = Err("nobody there".to_owned());
        check(160, &evidence, "indexed");
    }

    #[test]
    fn of_a_split_record_each_part_is_told_and_whether_more_may_come() {
        let part = |text: &str| text.parse::<Ordinals>().expect("sound");
        let mut evidence = nothing();
        let documents = ["0", "2.1"].map(|text| Document {
            part: part(text),
            ..document()
        });
        evidence.documents = Ok(documents.to_vec());
        evidence.letters = Ok(vec![FoundLetter {
            part: part("1"),
            ..letter()
        }]);
        check(
            160,
            &evidence,
            "logs/3@160: split, with 2 parts indexed\n  part 0: logs-1/_doc/1x\n  part 2.1: logs-1/_doc/1x\n\
             There is a dead letter of it, too:\n  part 1: dead/0@7: rejected by index",
        );
        evidence.running = vec![Ok(State::InFlight {
            since_ms: 0,
            bolt: None,
            retries: 0,
        })];
        check(
            160,
            &evidence,
            "It is in flight still: more of it may come\n",
        );
        let fate = Fate::of(&place(160), &evidence).json(&place(160));
        assert_eq!(fate["documents"][1]["part"], json!([2, 1]));
        assert_eq!(fate["in_flight"], true);
    }

    #[test]
    fn a_program_tells_what_is_in_flight_dropped_or_not_read_yet() {
        let mut evidence = nothing();
        let in_flight = State::InFlight {
            since_ms: 0,
            bolt: Some("index".to_owned()),
            retries: 2,
        };
        evidence.running = vec![Ok(State::NotRead), Ok(in_flight)];
        check(
            160,
            &evidence,
            "in flight since 1970-01-01T00:00:00Z, at index, sent again 2 times",
        );
        evidence.running = vec![Ok(State::Elsewhere), Ok(State::NotRead)];
        check(160, &evidence, "not read yet: the running program");
        let policy = "sample.sampled".to_owned();
        evidence.running = vec![Ok(State::Dropped { policy })];
        check(120, &evidence, "dropped by the policy sample.sampled");
    }

    #[test]
    fn offsets_alone_tell_what_was_not_read_what_is_lost_and_what_never_was() {
        let mut evidence = nothing();
        check(
            160,
            &evidence,
            "not read yet: the group has committed 150, and nobody is reading",
        );
        check(200, &evidence, "no record: the partition ends at 200");
        evidence.logged = logged(100..200, Some(150), 0, Some(false));
        check(160, &evidence, "no record: a marker");
        evidence.logged = logged(100..200, None, 0, Some(true));
        check(
            160,
            &evidence,
            "the group has committed nothing, and nobody",
        );
    }

    #[test]
    fn what_an_open_transaction_holds_back_is_not_read_yet() {
        let mut evidence = nothing();
        evidence.logged.high = 210;
        check(
            205,
            &evidence,
            "not read yet: a transaction is open, and nothing from 200 on",
        );
        check(210, &evidence, "no record: the partition ends at 210");
    }

    #[test]
    fn what_is_deleted_is_lost_only_where_all_who_can_know_say_nothing() {
        let lost = || Evidence {
            logged: logged(100..200, Some(50), 1, None),
            running: vec![Ok(State::Elsewhere)],
            ..nothing()
        };
        check(
            99,
            &lost(),
            "lost: it is deleted: the log begins at 100, and the group has committed 50\n",
        );
        let mut nobody_reads = lost();
        nobody_reads.running.clear();
        nobody_reads.logged.members = 0;
        check(99, &nobody_reads, "lost: ");

        let unknown = "unknown\n  it is deleted: the log begins at 100, and the group has committed 50: lost, unless it was read before\n";
        let check_unknown = |evidence: &Evidence, why: &str| {
            check(99, evidence, unknown);
            check(99, evidence, why);
        };
        let mut evidence = lost();
        evidence.documents = Err("the indices could not be asked: timeout".to_owned());
        check_unknown(&evidence, "the indices could not be asked: timeout");
        evidence = lost();
        evidence.letters = Err("timeout".to_owned());
        check_unknown(&evidence, "dead letters could not be read: timeout");
        evidence = lost();
        evidence.running.clear();
        check_unknown(&evidence, "no running program was asked");
        evidence = lost();
        evidence.logged.members = 2;
        check_unknown(&evidence, "not all members of the group have answered");
        evidence = lost();
        evidence.running.push(Err("refused".to_owned()));
        check_unknown(&evidence, "refused");
        evidence = lost();
        evidence.running = vec![Ok(State::NotRead)];
        check_unknown(
            &evidence,
            "the running program has not come to it, but may have",
        );
    }

    #[test]
    fn a_program_that_counted_a_record_as_lost_is_believed_where_nothing_can_be_found() {
        let mut evidence = nothing();
        evidence.running = vec![Ok(State::Elsewhere), Ok(State::Lost)];
        check(
            120,
            &evidence,
            "logs/3@120: lost: the running program found it deleted before it came to it\n",
        );
        evidence.documents = Err("the indices could not be asked: timeout".to_owned());
        check(
            120,
            &evidence,
            "unknown\n  the running program found it deleted before it came to it\n  the indices could",
        );
    }

    #[test]
    fn a_letter_makes_a_record_dead_lettered_only_while_it_is_open() {
        let settled = FoundLetter {
            resolved_by: Some("run-1".to_owned()),
            ..letter()
        };
        let mut evidence = nothing();
        evidence.letters = Ok(vec![settled.clone()]);
        evidence.running = vec![Ok(State::Settled { certain: true })];
        check(120, &evidence, "unknown");
        check(
            120,
            &evidence,
            "no document of it\n  its dead letter dead/0@7, of index, is settled by the redrive run-1\n  the running program did not drop it\n",
        );
        evidence.letters = Ok(vec![settled, letter()]);
        check(
            120,
            &evidence,
            "dead-lettered\n  dead/0@7: rejected by index at 1970-01-01T00:00:00Z as mapping: no (settled by the redrive run-1)\n",
        );
    }

    #[test]
    fn a_dead_lettered_record_says_where_the_index_was_not_asked() {
        let mut evidence = nothing();
        evidence.letters = Ok(vec![letter()]);
        let json = |evidence: &Evidence| Fate::of(&place(120), evidence).json(&place(120));
        assert_eq!(json(&evidence)["not_asked"], Value::Null);
        let why = "the indices could not be asked: timeout";
        evidence.documents = Err(why.to_owned());
        check(
            120,
            &evidence,
            "as mapping: no\n  the indices could not be asked: timeout\n",
        );
        assert_eq!(json(&evidence)["not_asked"], why);
    }

    #[test]
    fn what_nobody_knows_is_unknown_with_what_was_asked() {
        let mut evidence = nothing();
        let unknown = Fate::of(&place(120), &evidence).text(&place(120));
        assert_eq!(
            unknown,
            "\
logs/3@120: unknown
  the group has committed 150, so it has passed the record: settled, lost, or skipped by `start` or a moved offset
  the indices have no document of it
  there is no dead letter of it
  it may have been dropped, by sample.sampled: a program knows what it dropped since its start
  localhost:1 does not answer: refused
"
        );
        evidence.documents = Err("the indices could not be asked: timeout".to_owned());
        check(120, &evidence, "the indices could not be asked: timeout");
        evidence.documents = Err("no record of in reaches an index".to_owned());
        check(120, &evidence, "\n  no record of in reaches an index\n");
        evidence.running = vec![Ok(State::Settled { certain: true })];
        check(
            120,
            &evidence,
            "unknown\n  the running program has settled it\n",
        );
        check(120, &evidence, "the running program did not drop it\n");
        evidence.documents = Ok(Vec::new());
        check(
            120,
            &evidence,
            "did not drop it: its document or letter was deleted",
        );
        check(160, &evidence, "unknown");
        evidence.running.clear();
        evidence.logged = logged(100..200, Some(150), 1, Some(true));
        check(
            160,
            &evidence,
            "in flight there, or not read yet\n  no running program was asked",
        );
        let json = Fate::of(&place(160), &evidence).json(&place(160));
        assert_eq!(
            (&json["fate"], &json["offset"]),
            (&"unknown".into(), &160.into())
        );
    }
}
