//! Where the records of a redrive enter the topology.

use std::collections::BTreeSet;

use clap::ValueEnum;
use isobar_operators::replay::Way;
use isobar_topology::spec::Spec;
use serde_json::{Value, json};

/// Where somebody wants them to enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum EntersAt {
    /// At the spout, as when they were first read.
    #[default]
    Spout,
    /// At the bolt that rejected them.
    Bolt,
}

/// Where they enter.
#[derive(Debug)]
pub(in crate::command::dlq) struct Entry {
    /// The spout or the bolt.
    id: String,
    /// How they come to the bolt; `None` for the spout.
    way: Option<Way>,
}

impl Entry {
    pub(in crate::command::dlq) fn at_spout(spout: &str) -> Self {
        Self {
            id: spout.to_owned(),
            way: None,
        }
    }

    /// At the one bolt that has rejected them. Where there is no record, there is no bolt either, and nothing enters
    /// anywhere.
    ///
    /// Fails with a sentence when there are several, or no record can enter at it.
    pub(in crate::command::dlq) fn at_bolt(
        spec: &Spec,
        spout: &str,
        rejected_by: &BTreeSet<&str>,
    ) -> Result<Self, String> {
        let bolts: Vec<&str> = rejected_by.iter().copied().collect();
        match bolts.as_slice() {
            [] => Ok(Self::at_spout(spout)),
            [bolt] => Ok(Self {
                id: (*bolt).to_owned(),
                way: Some(Way::to(spec, spout, bolt)?),
            }),
            several => Err(format!(
                "several bolts have rejected these records, and in one run they enter at one: choose it with \
                 --bolt, one of {}",
                several.join(", ")
            )),
        }
    }

    /// The spout or the bolt.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The bolt, if it is one.
    pub(super) fn bolt(&self) -> Option<&str> {
        self.way.as_ref().map(|_| self.id.as_str())
    }

    /// Whether letters of a bolt are settled by what enters here: those of others say what became of the record
    /// elsewhere.
    pub(super) fn settles(&self, bolt: &str) -> bool {
        self.bolt().is_none_or(|one| one == bolt)
    }

    /// What is told before the run; nothing of the spout, where all goes as it went.
    pub(super) fn text(&self) -> String {
        let Some(way) = &self.way else {
            return String::new();
        };
        let mut text = format!("Entered at {}, and nowhere else", self.id);
        for (bolts, what) in [
            (
                &way.runs_again,
                "run again before it, as a letter has the record as it was read",
            ),
            (&way.passed_by, "passed by, as they only choose records"),
            (&way.may_part, "may send a record another way by now"),
        ] {
            if !bolts.is_empty() {
                text.push_str(&format!("; {what}: {}", bolts.join(", ")));
            }
        }
        text.push('\n');
        text
    }

    pub(super) fn document(&self) -> Value {
        let way = self.way.clone().unwrap_or_default();
        json!({
            "id": self.id,
            "is_bolt": self.way.is_some(),
            "runs_again": way.runs_again,
            "may_part": way.may_part,
            "passed_by": way.passed_by,
        })
    }
}

#[cfg(test)]
mod tests {
    use isobar_topology::spec::Node;

    use super::*;

    fn spec() -> Spec {
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "kafka": {"type": "kafka", "brokers": "localhost:1"},
                "search": {"type": "elasticsearch", "hosts": "http://localhost:1"},
            },
            "spouts": {"in": {"type": "kafka", "connection": "kafka", "topics": ["t"], "start": "earliest"}},
            "bolts": {
                "parse": {"type": "parse_json", "inputs": ["in"]},
                "some": {"type": "sample", "keep": 0.1, "inputs": ["parse"]},
                "index": {"type": "elasticsearch", "connection": "search", "index": "a", "inputs": ["some"]},
            },
        });
        Spec::read(&Node::from_json(&file)).expect("sound")
    }

    fn at(bolts: &[&str]) -> Result<Entry, String> {
        Entry::at_bolt(&spec(), "in", &bolts.iter().copied().collect())
    }

    #[test]
    fn it_is_told_where_records_enter_and_what_is_done_on_the_way() {
        let entry = at(&["index"]).expect("it can be");
        assert_eq!(entry.bolt(), Some("index"));
        assert_eq!(
            entry.text(),
            "Entered at index, and nowhere else; run again before it, as a letter has the record as it was read: \
             parse; passed by, as they only choose records: some\n"
        );
        assert_eq!(
            entry.document(),
            json!({"id": "index", "is_bolt": true, "runs_again": ["parse"], "may_part": [], "passed_by": ["some"]})
        );
        let first = at(&["parse"]).expect("it can be");
        assert_eq!(first.text(), "Entered at parse, and nowhere else\n");
    }

    #[test]
    fn letters_of_the_bolt_are_settled_and_of_all_where_records_enter_at_the_spout() {
        let entry = at(&["index"]).expect("it can be");
        assert!(entry.settles("index") && !entry.settles("parse"));
        let spout = Entry::at_spout("in");
        assert!(spout.settles("index") && spout.settles("parse"));
        assert_eq!(
            (spout.id(), spout.bolt(), spout.text().as_str()),
            ("in", None, "")
        );
        // Nothing enters where nothing was rejected.
        assert_eq!(at(&[]).expect("it can be").bolt(), None);
    }

    #[test]
    fn of_several_bolts_one_is_to_be_chosen_and_one_that_is_gone_is_refused() {
        let refused = at(&["index", "parse"]).expect_err("two");
        assert!(
            refused.ends_with("choose it with --bolt, one of index, parse"),
            "{refused}"
        );
        let refused = at(&["index_2"]).expect_err("no such bolt");
        assert!(
            refused.starts_with("the topology has no bolt index_2 any more"),
            "{refused}"
        );
    }
}
