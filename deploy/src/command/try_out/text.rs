//! What became of a record, for people: what each bolt changed, or a line for each end; and the sums.

use std::collections::BTreeMap;

use isobar_operators::sample::Sampled;
use isobar_topology::Ordinals;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::differences::{Compare, differences};
use crate::output::number;
use crate::rehearsal::{End, Outcome, Step, Told};

/// Characters of a record, or of a value, that are shown.
const SHOWN: usize = 200;

/// What each bolt changes, and where the record ends.
pub(super) fn diff(record: &Sampled, told: &Told) -> String {
    let mut text = format!("{}\n  {}\n", name(record), input(record));
    for step in &told.steps {
        text.push_str(&step_text(step, told));
    }
    for end in &told.ends {
        let part = part_text(told.part(end));
        text.push_str(&format!("  → {part}{}\n", end_text(end)));
        let Outcome::Written(written) = &end.outcome else {
            continue;
        };
        if let Some(id) = &written.id {
            text.push_str(&format!("      id        {id}\n"));
        }
        if let Some(key) = &written.key {
            text.push_str(&format!("      key       {}\n", cut(key)));
        }
        if let Some(document) = &written.document {
            text.push_str(&format!("      document  {document}\n"));
        }
        if let Some(content) = &written.text {
            text.push_str(&format!("      text      {}\n", cut(content)));
        }
    }
    text.push('\n');
    text
}

/// A line for each end: the record, what became of it, and its id or the reason.
pub(super) fn rows(record: &Sampled, told: &Told) -> String {
    let row = |end: &End| {
        let (what, more) = match &end.outcome {
            Outcome::Written(written) => {
                let id = written.id.clone().or(written.key.clone());
                (
                    format!("{} {}", kind(written.kind), written.target),
                    id.unwrap_or_default(),
                )
            }
            Outcome::Rejected(rejected) => (
                format!("rejected by {}", rejected.by),
                format!("{}: {}", rejected.class, rejected.reason),
            ),
            Outcome::Dropped { policy } => (format!("dropped by {policy}"), String::new()),
            Outcome::Failed { reason } => ("not settled".to_owned(), reason.clone()),
        };
        let part = part_text(told.part(end));
        let line = format!("{:<24}  {part}{what:<36}  {}", name(record), cut(&more));
        format!("{}\n", line.trim_end())
    };
    told.ends.iter().map(row).collect()
}

fn name(record: &Sampled) -> String {
    format!("{}/{}@{}", record.topic, record.partition, record.offset)
}

fn input(record: &Sampled) -> String {
    match &record.payload {
        None => "(a tombstone)".to_owned(),
        Some(payload) => cut(&String::from_utf8_lossy(payload)),
    }
}

/// On one line, without control characters, and not too long.
fn cut(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(SHOWN).map(clean).collect();
    let left = text.chars().skip(SHOWN).count();
    if left > 0 {
        shown.push_str(&format!("… ({} more)", number(left)));
    }
    shown
}

fn step_text(step: &Step, told: &Told) -> String {
    let mut text = format!("  {}{}\n", part_text(step.part), step.name());
    if let Some(rejected) = &step.rejected {
        text.push_str(&format!(
            "      ! {}: {}\n",
            rejected.class, rejected.reason
        ));
        return text;
    }
    let Some(document) = &step.document else {
        return text;
    };
    let parsed = step.after.map(|after| &told.steps[after]);
    let parsed = parsed.filter(|before| before.document.is_some());
    let nothing = Value::Object(Map::new());
    let before = parsed.and_then(|before| before.document.as_ref());
    for one in differences(before.unwrap_or(&nothing), document, Compare::Everything) {
        text.push_str(&format!("      {}\n", cut(&one.to_string())));
    }
    let known = parsed.and_then(|before| before.event_time);
    if let Some(ms) = step.event_time.filter(|ms| Some(*ms) != known) {
        let time = Timestamp::from_millisecond(ms);
        let time = time.map_or_else(|_| format!("{ms} ms since 1970"), |time| time.to_string());
        text.push_str(&format!("      event time {time}\n"));
    }
    text
}

/// Which part of the record it is, in front of what is said of it.
fn part_text(part: Ordinals) -> String {
    match part.is_empty() {
        true => String::new(),
        false => format!("part {part}: "),
    }
}

fn kind(kind: &str) -> String {
    kind.replace('_', " ")
}

fn end_text(end: &End) -> String {
    let bolt = end.bolt.as_deref().unwrap_or_default();
    match &end.outcome {
        Outcome::Written(written) => format!("{bolt}: {} {}", kind(written.kind), written.target),
        Outcome::Rejected(rejected) => format!(
            "{bolt}: a dead letter, rejected by {} ({})",
            rejected.by, rejected.class
        ),
        Outcome::Dropped { policy } => format!("dropped by {policy}"),
        Outcome::Failed { reason } => {
            format!("{bolt}: not settled, would be tried again: {reason}")
        }
    }
}

/// How many records ended how.
#[derive(Debug, Default)]
pub(super) struct Counts {
    records: usize,
    /// Records of which a branch would be a dead letter.
    pub(super) rejected: usize,
    ends: BTreeMap<String, usize>,
}

impl Counts {
    pub(super) fn add(&mut self, told: &Told) {
        self.records += 1;
        self.rejected += usize::from(told.is_rejected());
        for end in &told.ends {
            let what = match &end.outcome {
                Outcome::Written(written) => {
                    format!("to {} {}", kind(written.kind), written.target)
                }
                Outcome::Rejected(rejected) => {
                    format!("rejected by {} ({})", rejected.by, rejected.class)
                }
                Outcome::Dropped { policy } => format!("dropped by {policy}"),
                Outcome::Failed { .. } => "not settled".to_owned(),
            };
            *self.ends.entry(what).or_default() += 1;
        }
    }

    /// The sums; `none` is what to say where there was no record.
    pub(super) fn text(&self, none: &str) -> String {
        if self.records == 0 {
            return none.to_owned();
        }
        let records = if self.records == 1 {
            "record"
        } else {
            "records"
        };
        let ends = self.ends.iter();
        let ends: Vec<String> = ends
            .map(|(what, count)| format!("{} {what}", number(*count)))
            .collect();
        let (records, ends) = (
            format!("{} {records}", number(self.records)),
            ends.join(", "),
        );
        let total: usize = self.ends.values().sum();
        if total == self.records {
            return format!("{records}: {ends}");
        }
        let total = number(total);
        format!(
            "{records} with {total} ends, as each part and branch of a record has its own: {ends}"
        )
    }
}
