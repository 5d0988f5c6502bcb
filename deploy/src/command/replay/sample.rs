//! A sample of what a replay would write, against what is indexed: so that a fix that changes nothing,
//! or documents that would be stored twice, are seen before anything runs.

use std::collections::{BTreeMap, BTreeSet};

use isobar_operators::replay::{Place, Search, Stored, Target, origin_of_source};
use isobar_operators::sample::Sampled;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::differences::{Compare, Difference, differences};
use crate::output::number;
use crate::rehearsal::{Outcome, Told, Written};

/// Differences of one document that are listed for people.
const LISTED: usize = 20;
/// Characters of a line of them.
const SHOWN: usize = 160;

/// The sample in a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// Records that were read.
    records: usize,
    /// The timestamp of the oldest of them, in ms since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) oldest_ms: Option<i64>,
    /// What would become of each, an entry for each branch.
    ends: Vec<End>,
    /// Fields that would change, with the number of documents.
    changed_fields: BTreeMap<String, usize>,
    /// What to know before it is run, a sentence each.
    notes: Vec<String>,
    /// Whether there are records without a timestamp among them.
    #[serde(skip)]
    pub(super) has_undated: bool,
}

/// What would become of a record on a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    topic: String,
    partition: i32,
    offset: i64,
    #[serde(flatten)]
    fate: Fate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
enum Fate {
    /// It would be a document.
    Document(Compared),
    /// It would be a dead letter.
    Rejected {
        by: String,
        class: String,
        reason: String,
    },
    /// It would be dropped.
    Dropped { policy: String },
    /// It could not be rehearsed.
    Unknown { reason: String },
}

/// A document as it would be written, beside what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Compared {
    bolt: String,
    /// Where it would be written to, as the bolt names it.
    target: String,
    /// Its id; null where the cluster makes it.
    id: Option<String>,
    is: Is,
    /// The index that has the document now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    index: Option<String>,
    /// The id under which it has it, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    other_id: Option<String>,
    /// What is indexed (`before`) and what would be written (`after`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Difference>,
    /// It is in another index, or under another id, than it would be written to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    elsewhere: bool,
}

/// What is there of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Is {
    /// No document.
    Missing,
    /// The same one.
    Same,
    /// Another one.
    Changed,
}

/// What is there of the records of a sink, and where it writes to.
pub(super) struct Known {
    pub(super) bolt: String,
    pub(super) stored: Vec<Stored>,
    /// The member of documents that tells where they come from.
    pub(super) origin: Option<String>,
    /// The index that is written to, by the name that the bolt has for it. Names that are not in here
    /// are not known, or lead to no index yet.
    pub(super) written_to: BTreeMap<String, String>,
}

impl Known {
    /// Asks a sink's indices for what there is of rehearsed records.
    pub(super) async fn ask(
        bolt: &str,
        search: &Search,
        records: &[(Sampled, Told)],
    ) -> Result<Self, isobar_topology::OperatorError> {
        search.refresh().await?;
        let (mut ids, mut targets) = (BTreeSet::new(), BTreeSet::new());
        for written in records.iter().flat_map(|(_, told)| documents(told, bolt)) {
            ids.extend(written.id.as_deref());
            let _ = targets.insert((&written.target, written.kind == "data_stream"));
        }
        let places = records.iter().map(|(record, _)| Place {
            source: origin_of_source(record.source),
            partition: record.partition,
            offset: record.offset,
        });
        let ids: Vec<&str> = ids.into_iter().collect();
        let stored = search.stored(&ids, &places.collect::<Vec<_>>()).await?;
        let mut written_to = BTreeMap::new();
        for (name, is_stream) in targets {
            let index = search.written_to(name, is_stream).await?;
            written_to.extend(index.map(|index| (name.clone(), index)));
        }
        Ok(Self {
            bolt: bolt.to_owned(),
            stored,
            origin: search.origin().map(str::to_owned),
            written_to,
        })
    }

    /// The document that is there of a record: one of its id before one that only comes from it, and one
    /// in the index that is written to before others.
    fn of(&self, record: &Sampled, written: &Written) -> Option<&Stored> {
        let target = self.written_to.get(&written.target);
        let origin = self.origin.as_deref().unwrap_or_default();
        let ordinal = written.document.as_ref().map(|one| &one[origin]["n"]);
        let comes_from_it = |one: &&Stored| {
            let at = &one.document[origin];
            at["s"] == origin_of_source(record.source)
                && at["p"] == record.partition
                && at["o"] == record.offset
                && Some(&at["n"]) == ordinal
        };
        let has_id = |one: &Stored| written.id.as_ref() == Some(&one.id);
        let found = self.stored.iter();
        let found = found.filter(|one| has_id(one) || comes_from_it(one));
        found.min_by_key(|one| (!has_id(one), Some(&one.index) != target))
    }
}

fn documents<'t>(told: &'t Told, bolt: &'t str) -> impl Iterator<Item = &'t Written> {
    let of_bolt = told
        .ends
        .iter()
        .filter(move |end| end.bolt.as_deref() == Some(bolt));
    of_bolt.filter_map(|end| match &end.outcome {
        Outcome::Written(written) => Some(written),
        _ => None,
    })
}

impl Sample {
    /// Compares rehearsed records with what is known of each sink. What the bolts of `left_out` would
    /// have got is left out.
    pub(super) fn of(
        records: &[(Sampled, Told)],
        known: &[Known],
        target: &Target,
        left_out: &[String],
    ) -> Self {
        let mut sample = Self {
            records: records.len(),
            oldest_ms: records
                .iter()
                .map(|(record, _)| record.timestamp)
                .filter(|ms| *ms >= 0)
                .min(),
            has_undated: records.iter().any(|(record, _)| record.timestamp < 0),
            ..Self::default()
        };
        for (record, told) in records {
            for end in &told.ends {
                let fate = match &end.outcome {
                    Outcome::Dropped { policy } if left_out.contains(policy) => continue,
                    Outcome::Dropped { policy } => Fate::Dropped {
                        policy: policy.clone(),
                    },
                    Outcome::Rejected(rejected) => Fate::Rejected {
                        by: rejected.by.clone(),
                        class: rejected.class.to_owned(),
                        reason: rejected.reason.clone(),
                    },
                    Outcome::Failed { reason } => Fate::Unknown {
                        reason: reason.clone(),
                    },
                    Outcome::Written(written) => {
                        let of_bolt = |one: &&Known| end.bolt.as_ref() == Some(&one.bolt);
                        match known.iter().find(of_bolt) {
                            Some(known) => Fate::Document(compare(record, written, known, target)),
                            None => continue,
                        }
                    }
                };
                sample.ends.push(End {
                    topic: record.topic.clone(),
                    partition: record.partition,
                    offset: record.offset,
                    fate,
                });
            }
        }
        let mut fields = BTreeMap::new();
        for one in sample.compared() {
            let paths: BTreeSet<&String> = one.differences.iter().map(|one| &one.path).collect();
            for path in paths {
                *fields.entry(path.clone()).or_default() += 1;
            }
        }
        sample.changed_fields = fields;
        sample.notes = sample.notes_on(target);
        sample
    }

    fn compared(&self) -> impl Iterator<Item = &Compared> {
        self.ends.iter().filter_map(|end| match &end.fate {
            Fate::Document(compared) => Some(compared),
            _ => None,
        })
    }

    fn count(&self, is: Is) -> usize {
        self.compared().filter(|one| one.is == is).count()
    }

    fn notes_on(&self, target: &Target) -> Vec<String> {
        let mut notes = Vec::new();
        let [missing, same, changed] =
            [Is::Missing, Is::Same, Is::Changed].map(|is| self.count(is));
        match target {
            Target::Missing if changed > 0 => notes.push(format!(
                "{} of the sample differ from what is indexed, and the target `missing` leaves them as they are; \
                 overwrite, purge and index=NAME write them anew",
                documents_of(changed)
            )),
            Target::Missing if missing == 0 && same > 0 => notes.push(
                "everything in the sample is indexed: this replay may have nothing to do".to_owned(),
            ),
            Target::Overwrite | Target::Purge if changed + missing == 0 && same > 0 => notes.push(
                "everything in the sample is indexed just as it would be written: this replay may change nothing"
                    .to_owned(),
            ),
            _ => {}
        }
        let mut elsewhere = self.compared().filter(|one| one.elsewhere);
        if let Some(first) = elsewhere.next() {
            let count = documents_of(1 + elsewhere.count());
            let (id, index) = (first.id.as_deref(), first.index.as_deref());
            notes.push(format!(
                "{count} of the sample are in another index, or have another id, than they would be written with \
                 ({} is in {} and would go to {}): they would be there twice; purge deletes them first",
                id.or(first.other_id.as_deref()).unwrap_or("one"),
                index.unwrap_or("another"),
                first.target
            ));
        }
        notes
    }

    /// The text for people.
    pub(super) fn text(&self) -> String {
        let records = match self.records {
            1 => "1 record".to_owned(),
            records => format!("{} records", number(records)),
        };
        if self.records == 0 {
            return "Sample: there is no record in the range\n".to_owned();
        }
        let mut parts = Vec::new();
        for (is, text) in [
            (Is::Missing, "not in the index"),
            (Is::Same, "as indexed"),
            (Is::Changed, "other than indexed"),
        ] {
            match self.count(is) {
                0 => {}
                count => parts.push(format!("{} {text}", documents_of(count))),
            }
        }
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        for end in &self.ends {
            let what = match &end.fate {
                Fate::Document(_) => continue,
                Fate::Rejected { by, class, .. } => format!("rejected by {by} ({class})"),
                Fate::Dropped { policy } => format!("dropped by {policy}"),
                Fate::Unknown { reason } => format!("not known: {reason}"),
            };
            *others.entry(what).or_default() += 1;
        }
        parts.extend(
            others
                .into_iter()
                .map(|(what, count)| format!("{} {what}", number(count))),
        );
        let mut text = format!("Sample of {records}: {}\n", parts.join(", "));
        for (path, count) in &self.changed_fields {
            text.push_str(&format!("  {path} changes in {}\n", documents_of(*count)));
        }
        for end in &self.ends {
            if let Fate::Document(compared) = &end.fate
                && compared.is == Is::Changed
            {
                text.push_str(&end.text(compared));
            }
        }
        for note in &self.notes {
            text.push_str(&format!("Note: {note}\n"));
        }
        text
    }
}

impl End {
    fn text(&self, compared: &Compared) -> String {
        let mut text = format!(
            "  {}/{}@{} → {} {}\n",
            self.topic,
            self.partition,
            self.offset,
            compared.target,
            compared.id.as_deref().unwrap_or_default()
        );
        for one in compared.differences.iter().take(LISTED) {
            let line = one.to_string();
            let shown: String = line.chars().take(SHOWN).collect();
            let more = if shown.len() < line.len() { "…" } else { "" };
            text.push_str(&format!("      {shown}{more}\n"));
        }
        match compared.differences.len().saturating_sub(LISTED) {
            0 => {}
            more => text.push_str(&format!("      and {} more\n", number(more))),
        }
        text
    }
}

fn compare(record: &Sampled, written: &Written, known: &Known, target: &Target) -> Compared {
    let there = known.of(record, written);
    let nothing = Value::Null;
    let document = written.document.as_ref().unwrap_or(&nothing);
    let found = there.map_or_else(Vec::new, |there| {
        differences(&there.document, document, Compare::Everything)
    });
    let other_id = there.filter(|there| written.id.as_ref().is_some_and(|id| *id != there.id));
    let goes_to = known.written_to.get(&written.target);
    let other_index = there.filter(|there| goes_to.is_none_or(|index| *index != there.index));
    let may_double = matches!(target, Target::Missing | Target::Overwrite);
    Compared {
        bolt: known.bolt.clone(),
        target: written.target.clone(),
        id: written.id.clone(),
        is: match (there, found.is_empty()) {
            (None, _) => Is::Missing,
            (Some(_), true) => Is::Same,
            (Some(_), false) => Is::Changed,
        },
        index: there.map(|there| there.index.clone()),
        other_id: other_id.map(|there| there.id.clone()),
        differences: found,
        elsewhere: may_double && (other_id.is_some() || other_index.is_some()),
    }
}

fn documents_of(count: usize) -> String {
    match count {
        1 => "1 document".to_owned(),
        count => format!("{} documents", number(count)),
    }
}

#[cfg(test)]
mod tests;
