//! From what was found to what became of the record.

use isobar_operators::inquiry::{FoundLetter, Logged, Place};
use isobar_operators::replay::{DOCUMENTS_MAX, Document};
use isobar_topology::Ordinals;
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::{WhereaboutsState as State, WhereaboutsWaits as Waits};

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
    /// Ids of documents are made of fields, so several records may have the same.
    pub(super) shares_ids: bool,
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
        /// The policy that dropped other parts of it, or what went along other branches.
        #[serde(skip_serializing_if = "Option::is_none")]
        dropped: Option<String>,
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
        #[serde(skip_serializing_if = "Option::is_none")]
        waits: Option<Waits>,
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
                dropped: evidence.dropped_by(),
            };
        }
        if letters.iter().any(|letter| letter.resolved_by.is_none()) {
            return Self::DeadLettered {
                letters: letters.to_vec(),
                not_asked: evidence.documents.as_ref().err().cloned(),
            };
        }
        if let Ok(log) = &evidence.logged.log {
            if place.offset >= log.high {
                let why = format!("the partition ends at {}", log.high);
                return Self::NoRecord { why };
            }
            if place.offset >= log.end {
                let end = log.end;
                let why = format!(
                    "a transaction is open, and nothing from {end} on can be read before it ends"
                );
                return Self::NotRead { why };
            }
        }
        if evidence.logged.exists == Ok(Some(false)) {
            let why =
                "a marker of a transaction, a record of an aborted one, or a gap of compaction";
            return Self::NoRecord {
                why: why.to_owned(),
            };
        }
        // What is deleted may have been fetched before, but need not; and who does not know the log does
        // not know whether it is.
        let is_there = evidence
            .log_start()
            .is_some_and(|start| place.offset >= start);
        Self::told_by(&evidence.running)
            .filter(|fate| is_there || !matches!(fate, Self::NotRead { .. }))
            .unwrap_or_else(|| Self::by_offsets(place, evidence))
    }

    /// What the programs alone can tell.
    pub(super) fn told_by(running: &[Result<State, String>]) -> Option<Self> {
        let told = running.iter().flatten().filter_map(Self::as_told);
        // One program may have dropped what another one has read again since.
        told.min_by_key(|fate| match fate {
            Self::InFlight { .. } => 0,
            Self::NotRead { .. } => 2,
            _ => 1,
        })
    }

    /// What a program alone can tell.
    fn as_told(state: &State) -> Option<Self> {
        match state.clone() {
            State::Dropped { policy } => Some(Self::Dropped { policy }),
            State::InFlight {
                since_ms,
                bolt,
                retries,
                waits,
            } => Some(Self::InFlight {
                since_ms,
                bolt,
                retries,
                waits,
            }),
            State::NotRead => Some(Self::NotRead {
                why: "the running program has not come to it".to_owned(),
            }),
            State::Settled { .. } | State::Lost | State::Elsewhere => None,
        }
    }

    fn by_offsets(place: &Place, evidence: &Evidence) -> Self {
        let logged = &evidence.logged;
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
        let committed = evidence.committed();
        if let Ok(Some(next)) = logged.committed
            && place.offset < next
        {
            let first = format!(
                "the group has committed {next}, so it has passed the record: settled, lost, or skipped by `start` or a moved offset"
            );
            let why = Self::passed_and_not_found(place, evidence, first);
            return Self::Unknown { why };
        }
        if let Some(start) = evidence.log_start()
            && place.offset < start
        {
            return Self::deleted(evidence, start);
        }
        let mut why = Vec::new();
        match (committed, &logged.members, &logged.log) {
            (Some(committed), Ok(0), Ok(_)) => {
                let why = format!("{committed}, and nobody is reading");
                return Self::NotRead { why };
            }
            (Some(committed), Ok(1..), _) => why.push(format!(
                "{committed}, and a member of the group reads on: in flight there, or not read yet"
            )),
            (committed, ..) => why.extend(committed),
        }
        if evidence.tells(|state| *state == State::NotRead) {
            why.push("the running program has not come to it".to_owned());
        }
        why.extend(evidence.found_nothing());
        why.extend(evidence.silent());
        Self::Unknown { why }
    }

    /// Of a record that is deleted and that the group has not passed, as far as is known. It is lost unless
    /// it was read before, and that only all members and all places together can deny.
    fn deleted(evidence: &Evidence, start: i64) -> Self {
        let has_come = !evidence.tells(|state| *state == State::NotRead);
        let deleted = match evidence.committed() {
            Some(committed) => {
                let deleted = format!("it is deleted: the log begins at {start}, and {committed}");
                if evidence.is_all_there_is() && has_come {
                    return Self::Lost { why: deleted };
                }
                deleted
            }
            None => format!("it is deleted: the log begins at {start}"),
        };
        let mut why = vec![format!("{deleted}: lost, unless it was read before")];
        why.extend(evidence.found_nothing());
        if !has_come {
            why.push(
                "the running program has not come to it, but may have fetched it before".to_owned(),
            );
        }
        let answered = evidence.running.iter().flatten().count();
        if let Ok(members) = evidence.logged.members
            && answered < members
        {
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
                let by_id = match evidence.shares_ids {
                    true => ", or another record has its id",
                    false => "",
                };
                format!("the running program did not drop it: its document or letter was deleted since, or it went elsewhere than to an index{by_id}")
            }
            _ if was_not_dropped => "the running program did not drop it".to_owned(),
            [] => "no bolt drops records".to_owned(),
            policies => {
                let policies = policies.join(" or ");
                let has_forgotten = evidence.tells(|state| *state == State::Settled { certain: false });
                let why = match has_forgotten {
                    true => "the running program has forgotten which records it dropped so long ago, as it keeps a bounded number of them",
                    false => "a program knows what it dropped since its start",
                };
                format!("it may have been dropped, by {policies}: {why}")
            }
        });
        if evidence.shares_ids && !was_not_dropped && has_no_trace {
            why.push("another record may have its id, which is made of fields".to_owned());
        }
        if !evidence.policies.is_empty()
            && !was_not_dropped
            && evidence.logged.exists == Ok(Some(true))
        {
            let Place { partition, offset } = place;
            why.push(format!(
                "what the topology makes of it now is shown by `isobar try` with `--topic {} --partitions {} --from {offset} --sample 1`",
                partition.topic, partition.partition
            ));
        }
        if evidence
            .log_start()
            .is_some_and(|start| place.offset < start)
        {
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
                dropped,
            } => {
                for Document { index, id, part } in documents {
                    text.push_str(&format!("  {}{index}/_doc/{id}\n", part_text(*part)));
                }
                if *in_flight {
                    text.push_str("It is in flight still: more of it may come\n");
                }
                if let Some(policy) = dropped {
                    text.push_str(&format!(
                        "The policy {policy} dropped something of it: a part, another branch, or it again\n"
                    ));
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
                waits,
            } => {
                let at = match (bolt, waits) {
                    (Some(bolt), Some(waits)) => {
                        let since = time(waits.since_ms);
                        let why = match waits.held {
                            true => ", until that takes something again",
                            false => "",
                        };
                        format!("waits at {bolt} since {since}{why}")
                    }
                    (None, Some(waits)) => format!("waits since {}", time(waits.since_ms)),
                    // Of a batch that came back it is known where each record is.
                    (Some(bolt), None) if *retries == 0 => {
                        format!("at {bolt}, or other records of its batch are")
                    }
                    (Some(bolt), None) => format!("at {bolt}"),
                    (None, None) => "on its way to the first bolt".to_owned(),
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

    /// The policy that dropped the record, or some of it, as a program that answered says.
    fn dropped_by(&self) -> Option<String> {
        self.running.iter().flatten().find_map(|state| match state {
            State::Dropped { policy } => Some(policy.clone()),
            _ => None,
        })
    }

    /// Whether everybody was asked who can know of the record, and answered.
    fn is_all_there_is(&self) -> bool {
        // Each program has one member in the group of a spout.
        let members = self.logged.members.as_ref();
        self.has_no_trace()
            && self.running.iter().all(Result::is_ok)
            && members.is_ok_and(|members| self.running.len() >= *members)
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

    /// Why brokers and programs said nothing.
    fn silent(&self) -> Vec<String> {
        let mut silent = self.logged.unsaid();
        let programs = self.running.iter();
        silent.extend(programs.filter_map(|told| told.clone().err()));
        if self.running.is_empty() {
            silent.push("no running program was asked: see --http".to_owned());
        }
        silent
    }

    /// The first offset that still exists, where it is known.
    fn log_start(&self) -> Option<i64> {
        self.logged.log.as_ref().ok().map(|log| log.start)
    }

    /// What the group has committed, in words, where it is known.
    fn committed(&self) -> Option<String> {
        match self.logged.committed {
            Ok(Some(next)) => Some(format!("the group has committed {next}")),
            Ok(None) => Some("the group has committed nothing".to_owned()),
            Err(_) => None,
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
mod tests;
