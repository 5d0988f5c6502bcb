//! What a check says for people: a sentence, a table, and the offsets that are to be looked at.

use super::{NAMED_MAX, Verdict, Verified};
use crate::command::verdict::Word;
use crate::output::{Table, and_more, known, number};

impl Verdict {
    /// The text for people.
    pub(in crate::command::replay) fn text(&self) -> String {
        let mut table = Table::new([
            "TOPIC",
            "PARTITION>",
            "PLANNED>",
            "IN INDEX>",
            "DEAD-LETTERED>",
            "DROPPED>",
            "GAPS>",
            "LOST>",
            "TWICE>",
        ]);
        for one in &self.partitions {
            let [dead_lettered, dropped, gaps, lost] = one.others();
            table.row([
                one.topic.clone(),
                one.partition.to_string(),
                number(one.planned),
                number(one.in_index),
                known(dead_lettered),
                known(dropped),
                known(gaps),
                known(lost),
                number(one.twice()),
            ]);
        }
        let by_sink = self.by_sink().map(|by_sink| format!("{by_sink}\n"));
        format!(
            "Verified: {}\n\n{}{}{}",
            self.sentence(),
            table.text(),
            by_sink.unwrap_or_default(),
            self.notes()
        )
    }

    /// How many documents each sink has, where there are several: an offset counts once, whichever of them has it.
    pub(in crate::command::replay) fn by_sink(&self) -> Option<String> {
        let each = self.documents.iter();
        let each = each.map(|(bolt, documents)| format!("{} by {bolt}", number(*documents)));
        let each: Vec<String> = each.collect();
        (each.len() > 1).then(|| format!("documents: {}", each.join(", ")))
    }

    /// What the verdict means.
    pub(in crate::command::replay) fn sentence(&self) -> &'static str {
        match self.verdict {
            Word::Exact => "exact: every offset of the plan is accounted for",
            Word::Wrong => "wrong: see below",
            Word::Unknown if self.partitions.iter().any(|one| one.kept.is_none()) => {
                "unknown: documents are there, and whether this plan has written them is not known: it was not run \
                 to its end, the report of its run is not beside it, or records go to more than one place or are \
                 split into parts; make a new plan and run it"
            }
            Word::Unknown if self.partitions.iter().all(Verified::is_known_but_since) => {
                "unknown: records that the run had rejected or dropped have a document by now, redriven since or written \
                 by the live topology; whether what has none are the other ones is not known"
            }
            Word::Unknown => {
                "unknown: of what has no document it is not known whether it was rejected or dropped: no report of \
                 a run to its end is beside the plan, or records go to more than one place, or are split into \
                 parts, of which some may be missing, or have ids of fields, so that another record of the same id \
                 has the document"
            }
        }
    }

    /// The offsets that are to be looked at, a line for each kind and partition.
    pub(in crate::command::replay) fn notes(&self) -> String {
        let mut notes = String::new();
        for one in &self.partitions {
            let name = format!("{}/{}", one.topic, one.partition);
            if let Some(kept) = one.kept.filter(|kept| *kept > 0) {
                notes.push_str(&format!(
                    "{name}: {} offsets keep a document that this run has not written: their records were rejected, \
                     dropped or deleted this time\n",
                    number(kept)
                ));
            }
            if one.since > 0 {
                notes.push_str(&format!(
                    "{name}: {} offsets have a document by now whose records the run had rejected or dropped\n",
                    number(one.since)
                ));
            }
            if one.verdict != Word::Exact && !one.without.is_empty() {
                notes.push_str(&format!(
                    "{name}: without a document: {}\n",
                    listed(&one.without, one.without_in_all)
                ));
            }
            if let Some(why) = &one.not_asked {
                notes.push_str(&format!(
                    "{name}: which of these offsets hold a record is not known: {why}\n"
                ));
            }
            if !one.doubled.is_empty() {
                notes.push_str(&format!(
                    "{name}: in two indices: {}\n",
                    listed(&one.doubled, one.doubled_in_all)
                ));
            }
            if !one.repeated.is_empty() {
                notes.push_str(&format!(
                    "{name}: more than once in one index, under several ids: {}\n",
                    listed(&one.repeated, one.repeated_in_all)
                ));
            }
        }
        for (bolt, fewer) in &self.fewer {
            notes.push_str(&format!(
                "{bolt}: {} documents fewer than there were before the purge: their records were rejected or dropped \
                 this time (isobar dlq list), or had several\n",
                number(*fewer)
            ));
        }
        notes
    }
}

/// The first of so many offsets.
fn listed(offsets: &[i64], count: u64) -> String {
    let named: Vec<String> = offsets.iter().take(NAMED_MAX).map(i64::to_string).collect();
    and_more(&named, count)
}
