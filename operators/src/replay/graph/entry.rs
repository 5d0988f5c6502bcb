//! Lets records enter a topology at one of its bolts: those that it has rejected.
//!
//! A dead letter has the record as it was read, and a bolt is given what those before it make of that. So
//! these run again. Those that only choose records have chosen these, and are passed by.

use std::collections::BTreeSet;

use isobar_topology::Registry;
use isobar_topology::spec::{Component, Input, Spec};

use super::letters::Letters;
use super::{Choice, reached, stream};
use crate::bolts;

/// How records come to a bolt at which they enter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Bolts before it that run again, since they make what it is given, in their order.
    pub runs_again: Vec<String>,
    /// Those of them that may send a record another way.
    pub may_part: Vec<String>,
    /// Bolts before it that hand records on as they are, and are not asked again.
    pub passed_by: Vec<String>,
    /// What leads there, as component and stream.
    streams: BTreeSet<(String, String)>,
}

impl Way {
    /// That of records of `spout` to `bolt`. Fails with a sentence when there is none.
    pub fn to(spec: &Spec, spout: &str, bolt: &str) -> Result<Self, String> {
        let reached = reached(spec, spout, |_| true);
        if spec.bolts.iter().all(|one| one.id != bolt) {
            return Err(format!(
                "the topology has no bolt {bolt} any more, so no record can enter at it; let them enter at the \
                 spout with --at spout, or give the bolt its name again"
            ));
        }
        if !reached.contains(bolt) {
            return Err(format!(
                "records of {spout} do not reach {bolt} any more, so they cannot enter at it; let them enter at \
                 the spout with --at spout"
            ));
        }
        let sorted = spec.sorted_bolts();
        let mut leads_there = BTreeSet::from([bolt]);
        for one in sorted.iter().rev() {
            if leads_there.contains(one.id.as_str()) {
                let inputs = one.inputs.iter();
                leads_there.extend(inputs.map(|input| input.from.component.as_str()));
            }
        }
        let is_there = |one: &&&Component| {
            reached.contains(one.id.as_str()) && leads_there.contains(one.id.as_str())
        };
        let there: Vec<&&Component> = sorted.iter().filter(is_there).collect();
        let mut way = Self {
            streams: streams(there.iter().map(|one| **one)),
            ..Self::default()
        };
        let consumed = streams(&spec.bolts);
        for one in there.into_iter().filter(|one| one.id != bolt) {
            way.add(one, &consumed);
        }
        Ok(way)
    }

    /// Adds the next bolt before the one at which records enter.
    fn add(&mut self, bolt: &Component, consumed: &BTreeSet<(String, String)>) {
        let of_bolt = |streams: &BTreeSet<(String, String)>| -> BTreeSet<String> {
            let of_bolt = streams.iter().filter(|(from, _)| *from == bolt.id);
            of_bolt.map(|(_, stream)| stream.clone()).collect()
        };
        let (lead_there, mut all) = (of_bolt(&self.streams), of_bolt(consumed));
        let _ = all.remove(REJECTED);
        let takes_rejected = lead_there.contains(REJECTED);
        // Of two ways the letter does not say which one its record took.
        if bolts::CHOOSE.contains(&bolt.kind.as_str()) && lead_there.len() == 1 && !takes_rejected {
            self.passed_by.push(bolt.id.clone());
            return;
        }
        self.runs_again.push(bolt.id.clone());
        if takes_rejected || !all.is_subset(&lead_there) {
            self.may_part.push(bolt.id.clone());
        }
    }

    fn has(&self, bolt: &str) -> bool {
        let mut all = self.runs_again.iter().chain(&self.passed_by);
        all.any(|one| one == bolt)
    }
}

/// The stream of what bolts reject.
const REJECTED: &str = "rejected";

/// A topology in which records of `spout` come to `bolt` by its way, and to what is behind it. Of a stream that
/// leads there nobody else takes them; other streams of bolts that run again lead where they did.
///
/// Fails with a sentence when they cannot enter there.
pub(super) fn enter(
    spec: &Spec,
    registry: &Registry,
    spout: &str,
    bolt: &str,
) -> Result<Spec, String> {
    let way = Way::to(spec, spout, bolt)?;
    let letters = Letters::of(spec);
    let leaves_out = |one: &Component| Choice::of_rejected().leaves_out(registry, &letters, one);
    let has_effects = |one: &Component| one.id == bolt && leaves_out(one);
    if spec.bolts.iter().any(has_effects) {
        return Err(format!(
            "{bolt} writes to another system, which a redrive leaves out, so records cannot enter at it and its \
             letters stay open"
        ));
    }
    let mut part = spec.clone();
    for one in &mut part.bolts {
        if one.id != bolt && !way.has(&one.id) {
            one.inputs.retain(|input| {
                !way.streams.contains(&stream(input))
                    && !way.passed_by.contains(&input.from.component)
            });
        }
    }
    for passed_by in &way.passed_by {
        pass_by(&mut part, passed_by);
    }
    Ok(part)
}

/// Takes a bolt out: those behind it read what it read.
fn pass_by(part: &mut Spec, bolt: &str) {
    let Some(at) = part.bolts.iter().position(|one| one.id == bolt) else {
        return;
    };
    let gone = part.bolts.remove(at);
    for one in &mut part.bolts {
        let mut seen = BTreeSet::new();
        let inputs = std::mem::take(&mut one.inputs).into_iter();
        let inputs = inputs.flat_map(|input| match input.from.component == gone.id {
            true => {
                let before = gone.inputs.iter();
                let read = before.map(|before| Input {
                    from: before.from.clone(),
                    ..input.clone()
                });
                read.collect()
            }
            false => vec![input],
        });
        one.inputs = inputs.filter(|input| seen.insert(stream(input))).collect();
    }
}

/// What some bolts take from.
fn streams<'a>(bolts: impl IntoIterator<Item = &'a Component>) -> BTreeSet<(String, String)> {
    let inputs = bolts.into_iter().flat_map(|bolt| &bolt.inputs);
    inputs.map(stream).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use isobar_topology::plan;
    use isobar_topology::spec::Node;
    use serde_json::{Value, json};

    use super::super::{forks, part_for};
    use super::*;
    use crate::registry;

    /// A topology of these bolts behind a spout `in`, and one more behind another.
    fn of_bolts(bolts: &Value) -> Spec {
        let spout = |topic: &str| json!({"type": "kafka", "connection": "kafka", "topics": [topic], "start": "earliest"});
        let mut bolts = bolts.clone();
        bolts["apart"] = json!({"type": "blackhole", "inputs": ["other"]});
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "kafka": {"type": "kafka", "brokers": "localhost:1"},
                "search": {"type": "elasticsearch", "hosts": "http://localhost:1"},
            },
            "spouts": {"in": spout("a"), "other": spout("b")},
            "bolts": bolts,
            "dead_letter": {"type": "file", "path": "dead"},
        });
        Spec::read(&Node::from_json(&file)).expect("sound")
    }

    fn index(name: &str, inputs: &[&str]) -> Value {
        json!({"type": "elasticsearch", "connection": "search", "index": name, "inputs": inputs})
    }

    /// The way to a bolt, as what runs again, what of that may part, what is passed by, and the part that runs.
    fn check(live: &Spec, bolt: &str, expected: [&str; 4]) -> Spec {
        let way = Way::to(live, "in", bolt).expect("it can be");
        let choice = Choice {
            at: Some(bolt.to_owned()),
            ..Choice::of_rejected()
        };
        let (part, ..) = part_for(live, &registry(), "in", &choice).expect("it can be");
        let planned = plan(&part, &registry(), 1, Path::new("."));
        assert!(planned.is_ok(), "{:?}", planned.err());
        let bolts = part.bolts.iter().map(|bolt| {
            let inputs = bolt.inputs.iter().map(stream);
            let inputs: Vec<String> = inputs.map(|(from, of)| format!("{from}.{of}")).collect();
            format!("{} [{}]", bolt.id, inputs.join(" "))
        });
        let bolts: Vec<String> = bolts.collect();
        let found = [
            way.runs_again.join(" "),
            way.may_part.join(" "),
            way.passed_by.join(" "),
            bolts.join(", "),
        ];
        assert_eq!(found, expected);
        part
    }

    #[test]
    fn what_makes_the_document_runs_again_and_what_only_chooses_does_not() {
        let live = of_bolts(&json!({
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "raw": index("raw", &["parse"]),
            "some": {"type": "sample", "keep": 0.5, "inputs": ["parse"]},
            "level": {"type": "route", "routes": {"errors": "doc.level == 'error'"}, "default": "rest", "inputs": ["some"]},
            "trim": {"type": "remove_fields", "fields": ["a"], "inputs": ["level.errors"]},
            "index": index("logs", &["trim"]),
            "rest": index("rest", &["level.rest"]),
        }));
        assert!(forks(&live));
        let part = check(
            &live,
            "index",
            [
                "parse trim",
                "",
                "some level",
                "parse [in.out], trim [parse.out], index [trim.out]",
            ],
        );
        // No branch that could have another document of the record.
        assert!(!forks(&part));
        let _ = check(
            &live,
            "trim",
            [
                "parse",
                "",
                "some level",
                "parse [in.out], trim [parse.out], index [trim.out]",
            ],
        );
        // At the first bolt nothing comes before, and what is behind is all there.
        let _ = check(
            &live,
            "parse",
            [
                "",
                "",
                "",
                "parse [in.out], raw [parse.out], some [parse.out], level [some.out], trim [level.errors], \
                 index [trim.out], rest [level.rest]",
            ],
        );
    }

    #[test]
    fn of_two_ways_the_one_that_a_record_took_is_chosen_again() {
        let bolts = |junk: bool| {
            let mut bolts = json!({
                "kind": {"type": "route", "routes": {"json": "kafka.key == 'json'"}, "default": "text", "inputs": ["in"]},
                "json": {"type": "parse_json", "inputs": ["kind.json"]},
                "text": {"type": "parse_key_value", "inputs": ["kind.text"]},
                "index": index("logs", &["json", "text"]),
            });
            if junk {
                bolts["kind"]["routes"]["junk"] = "kafka.key == 'junk'".into();
                bolts["junk"] = json!({"type": "parse_json", "inputs": ["kind.junk"]});
                bolts["junk_index"] = index("junk", &["junk"]);
            }
            of_bolts(&bolts)
        };
        let both = "kind [in.out], json [kind.json], text [kind.text], index [json.out text.out]";
        let _ = check(&bolts(false), "index", ["kind json text", "", "", both]);
        // One that takes another way now goes on there, and is not lost.
        let three = format!("{both}, junk [kind.junk], junk_index [junk.out]");
        let expected = ["kind json text", "kind", "", three.as_str()];
        let _ = check(&bolts(true), "index", expected);
        let _ = check(
            &bolts(true),
            "json",
            ["", "", "kind", "json [in.out], index [json.out]"],
        );
    }

    #[test]
    fn where_a_bolt_takes_what_another_rejects_a_record_that_is_rejected_no_more_goes_on() {
        let live = of_bolts(&json!({
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "index": index("logs", &["parse"]),
            "again": {"type": "parse_key_value", "inputs": ["parse.rejected"]},
            "failures": index("failures", &["again"]),
        }));
        let all = "parse [in.out], index [parse.out], again [parse.rejected], failures [again.out]";
        let _ = check(&live, "failures", ["parse again", "parse", "", all]);
        let _ = check(&live, "index", ["parse", "", "", all]);
    }

    #[test]
    fn two_bolts_in_a_row_that_choose_are_both_passed_by_and_groupings_stay() {
        let live = of_bolts(&json!({
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "once": {"type": "deduplicate", "fields": ["a"], "inputs": ["parse"]},
            "few": {"type": "limit", "rate": "1/s", "above": "drop", "inputs": ["once"]},
            "index": {"type": "elasticsearch", "connection": "search", "index": "logs",
                "inputs": [{"from": "few", "grouping": "shuffle"}]},
        }));
        let expected = ["parse", "", "once few", "parse [in.out], index [parse.out]"];
        let part = check(&live, "index", expected);
        let grouping = &part.bolts[1].inputs[0].grouping;
        assert_eq!(*grouping, isobar_topology::spec::Grouping::Shuffle);
    }

    #[test]
    fn where_no_record_can_enter_it_is_said() {
        let live = of_bolts(&json!({
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "index": index("logs", &["parse"]),
            "copy": {"type": "file", "path": "copy", "inputs": ["parse"]},
        }));
        for (bolt, expected) in [
            ("parse_2", "the topology has no bolt parse_2 any more"),
            ("apart", "records of in do not reach apart any more"),
            ("copy", "copy writes to another system"),
        ] {
            let refused = enter(&live, &registry(), "in", bolt).expect_err(bolt);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
