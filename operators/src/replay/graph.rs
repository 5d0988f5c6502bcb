//! The part of a topology that a replay goes through: what one spout reaches, with the sinks told where
//! to write.

mod aim;
mod entry;
mod left_out;
mod letters;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use isobar_topology::Registry;
use isobar_topology::spec::{Component, Entry, Input, Node, Spec, Value};

use crate::bolts;
use aim::{aim, live};
pub use entry::Way;
use entry::enter;
use left_out::{leave_out, prune};
use letters::Letters;

/// What becomes of documents that are in the index already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Only those that are missing are stored: nothing that is there changes.
    Missing,
    /// Every document is written anew.
    Overwrite,
    /// The documents of the range are deleted in the indices of the bolt, and written anew: for data
    /// streams, which take no replacements.
    Purge,
    /// Every document is written into other indices, by this name or template.
    Index(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "missing" => Ok(Self::Missing),
            None if text == "overwrite" => Ok(Self::Overwrite),
            None if text == "purge" => Ok(Self::Purge),
            Some(("index", name)) if !name.is_empty() => Ok(Self::Index(name.to_owned())),
            _ => Err(format!(
                "{text:?} is no target; write missing (stores what is not there, changes nothing), \
                 overwrite (writes every document anew), purge (deletes the documents of the range, then \
                 writes them: for data streams), or index=NAME (writes into another index)"
            )),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Overwrite => f.write_str("overwrite"),
            Self::Purge => f.write_str("purge"),
            Self::Index(name) => write!(f, "index={name}"),
        }
    }
}

/// A bolt that indexes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// Its id.
    pub bolt: String,
    /// The index or data stream as the topology, or the target, says it.
    pub index: String,
    /// What protects against storing a record twice.
    pub guarantee: Guarantee,
}

/// What protects against storing a record twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// The id and the index follow from the record alone.
    Exact,
    /// The id does, but a data stream writes into its newest index.
    UntilRollover,
    /// The id is what a template makes of the record's fields.
    AsTheIdSays,
    /// The cluster makes the ids.
    None,
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::UntilRollover => "until rollover",
            Self::AsTheIdSays => "as the id says",
            Self::None => "none",
        })
    }
}

/// What of a topology is run once more, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What becomes of documents that are there.
    pub target: Target,
    /// Indices that do not exist are made, also where the target alone does not say so.
    pub create_missing: bool,
    /// Of the bolts that index, only these; empty for all.
    pub only: Vec<String>,
    /// Bolts that are left out, and what only they lead to.
    pub exclude: Vec<String>,
    /// The records were rejected, and those alone are sent: they may also go where the cluster makes the ids, which
    /// tells nobody what is there already.
    pub were_rejected: bool,
    /// The bolt at which they enter; `None` for the spout.
    pub at: Option<String>,
}

impl Choice {
    /// All of it, making no index that does not exist.
    pub fn of(target: Target) -> Self {
        Self {
            target,
            create_missing: false,
            only: Vec::new(),
            exclude: Vec::new(),
            were_rejected: false,
            at: None,
        }
    }

    /// All of it, for records that were rejected: into what is missing, with the indices that it takes.
    pub fn of_rejected() -> Self {
        Self {
            create_missing: true,
            were_rejected: true,
            ..Self::of(Target::Missing)
        }
    }

    /// Whether an index that does not exist is made. That of another name is, and so is whatever a document
    /// goes to that a purge has deleted elsewhere: it would be gone for good.
    pub fn makes_indices(&self) -> bool {
        self.create_missing || matches!(self.target, Target::Index(_) | Target::Purge)
    }

    /// Whether a bolt is left out, as somebody wants it or it has effects elsewhere.
    fn leaves_out(&self, registry: &Registry, letters: &Letters, bolt: &Component) -> bool {
        let kind = registry.bolt(&bolt.kind);
        let has_effects =
            kind.is_some_and(|kind| kind.side_effects) && !letters.come_alone_to(bolt);
        let is_other = is_sink(bolt) && !self.only.is_empty() && !self.only.contains(&bolt.id);
        has_effects || is_other || self.exclude.contains(&bolt.id)
    }

    /// Fails with a sentence when it names what is not among `bolts`, those that records reach.
    fn check(&self, bolts: &[&Component], spout: &str) -> Result<(), String> {
        let names = |some: &[&&Component]| {
            let names: Vec<&str> = some.iter().map(|bolt| bolt.id.as_str()).collect();
            names.join(", ")
        };
        let all: Vec<&&Component> = bolts.iter().collect();
        let sinks: Vec<&&Component> = bolts.iter().filter(|bolt| is_sink(bolt)).collect();
        for (wanted, known, what) in [
            (&self.only, &sinks, "bolt that indexes"),
            (&self.exclude, &all, "bolt"),
        ] {
            let is_known = |name: &&String| known.iter().any(|bolt| bolt.id == **name);
            if let Some(name) = wanted.iter().find(|name| !is_known(name)) {
                return Err(format!(
                    "records of {spout} reach no {what} {name}; they reach {}",
                    names(known)
                ));
            }
        }
        Ok(())
    }
}

/// The part of a topology that records of `spout` go through, its sinks, and the bolts that are left out
/// since they have effects elsewhere, or as the choice says. What only those would have taken is dropped, counted
/// under the name of one of them. Records wait where live ones are dropped when too many come. Documents for
/// indices that do not exist are dropped, counted under [`super::missing_index_policy`], unless the choice makes
/// them.
///
/// Where records enter at a bolt, nothing is reached but what is on the way to it and behind it.
///
/// Fails with a sentence when the choice cannot be.
pub fn part_for(
    spec: &Spec,
    registry: &Registry,
    spout: &str,
    choice: &Choice,
) -> Result<(Spec, Vec<Sink>, Vec<String>), String> {
    let entered = choice.at.as_deref();
    let entered = entered.map(|bolt| enter(spec, registry, spout, bolt));
    let entered = entered.transpose()?;
    let spec = entered.as_ref().unwrap_or(spec);
    let all = reached(spec, spout, |_| true);
    let bolts = spec.bolts.iter();
    let bolts: Vec<&Component> = bolts
        .filter(|bolt| all.contains(bolt.id.as_str()))
        .collect();
    choice.check(&bolts, spout)?;
    let letters = Letters::of(spec);
    let leaves_out = |bolt: &Component| choice.leaves_out(registry, &letters, bolt);
    // What only a bolt leads to that is left out is not reached.
    let reached = reached(spec, spout, |bolt| !leaves_out(bolt));
    let mut part = spec.clone();
    part.wait_for_room();
    part.spouts.retain(|one| one.id == spout);
    part.bolts.retain(|bolt| reached.contains(bolt.id.as_str()));
    let (mut sinks, mut left_out) = (Vec::new(), Vec::new());
    for bolt in &mut part.bolts {
        if leaves_out(bolt) {
            left_out.push(bolt.id.clone());
        } else if is_sink(bolt) {
            sinks.push(aim(bolt, choice)?);
        }
    }
    for bolt in &mut part.bolts {
        bolt.inputs.retain(|input| {
            let from = &input.from.component;
            reached.contains(from.as_str()) && !left_out.contains(from)
        });
    }
    prune(&mut part, &left_out, &letters);
    leave_out(&mut part, &left_out);
    if choice.target == Target::Purge {
        refuse_lost_ways(spec, &sinks, &left_out)?;
    }
    match (sinks.as_slice(), &choice.target) {
        ([], _) => Err(format!("no record of {spout} reaches an index")),
        ([_, _, ..], Target::Index(_)) => {
            let bolts: Vec<&str> = sinks.iter().map(|sink| sink.bolt.as_str()).collect();
            Err(format!(
                "records of {spout} reach several indices, by {}: documents of all of them would \
                 share the one of the target; choose one of the bolts with --only-bolt",
                bolts.join(", ")
            ))
        }
        _ => Ok((part, sinks, left_out)),
    }
}

/// Fails with a sentence where records come to one of the sinks by way of a bolt that is left out: a purge finds
/// documents by their record and not by their way, and deletes those as well, which nobody writes anew.
fn refuse_lost_ways(live: &Spec, sinks: &[Sink], left_out: &[String]) -> Result<(), String> {
    for bolt in left_out {
        let led_to = reached(live, bolt, |_| true);
        if let Some(Sink { bolt: sink, .. }) =
            sinks.iter().find(|sink| led_to.contains(&*sink.bolt))
        {
            return Err(format!(
                "{bolt} is left out, and {sink} indexes what comes from it when it is live: a purge would delete \
                 those documents and not write them anew; leave {bolt} in, leave {sink} out as well, or replay into \
                 another index with index=NAME"
            ));
        }
    }
    Ok(())
}

/// The component and the stream that an input takes from.
fn stream(input: &Input) -> (String, String) {
    let stream = input.from.stream.as_deref().unwrap_or("out");
    (input.from.component.clone(), stream.to_owned())
}

pub(super) fn is_sink(bolt: &Component) -> bool {
    bolt.kind == "elasticsearch"
}

/// The bolts of a part of `live` from which no record comes to one that is left out: what the part makes of
/// a record there is all that becomes of it.
pub fn whole<'p>(live: &Spec, part: &'p Spec, left_out: &[String]) -> BTreeSet<&'p str> {
    let mut lead_there: BTreeSet<&str> = left_out.iter().map(String::as_str).collect();
    for bolt in live.sorted_bolts().into_iter().rev() {
        if lead_there.contains(bolt.id.as_str()) {
            let inputs = bolt.inputs.iter();
            lead_there.extend(inputs.map(|input| input.from.component.as_str()));
        }
    }
    let bolts = part.bolts.iter().map(|bolt| bolt.id.as_str());
    bolts.filter(|bolt| !lead_there.contains(bolt)).collect()
}

/// Whether a stream of a part goes to several bolts, so that a record has several fates.
pub fn forks(part: &Spec) -> bool {
    let inputs = part.bolts.iter().flat_map(|bolt| &bolt.inputs);
    let mut seen = BTreeSet::new();
    inputs.into_iter().any(|input| !seen.insert(stream(input)))
}

/// Whether a bolt of `part` splits records: then an offset may have some of its documents and lack others.
pub fn splits(part: &Spec) -> bool {
    part.bolts.iter().any(|bolt| bolt.kind == bolts::SPLIT)
}

/// Whether a sink of `part` makes ids of fields, so that the document of a record may have become another one's.
pub fn shares_ids(part: &Spec) -> bool {
    let mut sinks = part.bolts.iter().filter(|bolt| is_sink(bolt));
    sinks.any(|bolt| live(bolt).guarantee == Guarantee::AsTheIdSays)
}

/// The spout and the bolts that its records reach, by way of bolts that lead on.
fn reached<'s>(
    spec: &'s Spec,
    spout: &'s str,
    leads_on: impl Fn(&Component) -> bool,
) -> BTreeSet<&'s str> {
    let (mut reached, mut ends) = (BTreeSet::from([spout]), BTreeSet::new());
    for bolt in spec.sorted_bolts() {
        let mut inputs = bolt
            .inputs
            .iter()
            .map(|input| input.from.component.as_str());
        if inputs.any(|from| reached.contains(from) && !ends.contains(from)) {
            let _ = reached.insert(&bolt.id);
            if !leads_on(bolt) {
                let _ = ends.insert(bolt.id.as_str());
            }
        }
    }
    reached
}

/// The spout and the bolts that its records reach, where they are rejected too.
pub fn reached_by<'s>(spec: &'s Spec, spout: &'s str) -> BTreeSet<&'s str> {
    reached(spec, spout, |_| true)
}

/// The sinks that records of `spout` reach, as they are without any target.
pub fn live_sinks(spec: &Spec, spout: &str) -> Vec<Sink> {
    let reached = reached(spec, spout, |_| true);
    let sinks = spec.bolts.iter();
    sinks
        .filter(|bolt| is_sink(bolt) && reached.contains(bolt.id.as_str()))
        .map(live)
        .collect()
}

/// Sets an option, or takes it away.
pub(super) fn set(config: &mut Node, name: &str, value: Option<Value>) {
    let place = config.place;
    let Value::Map(entries) = &mut config.value else {
        return;
    };
    entries.retain(|entry| entry.key != name);
    if let Some(value) = value {
        entries.push(Entry {
            key: name.to_owned(),
            key_place: place,
            node: Node::new(value, place),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use isobar_topology::plan;
    use isobar_topology::spec::{OnFull, Overload};
    use serde_json::json;

    use super::*;
    use crate::bolts::missing_index_policy;
    use crate::registry;

    fn spec(sink: serde_json::Value) -> Spec {
        let mut index =
            json!({"type": "elasticsearch", "connection": "search", "inputs": ["parse"]});
        let given = sink.as_object().expect("a mapping").clone();
        index.as_object_mut().expect("a mapping").extend(given);
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "kafka": {"type": "kafka", "brokers": "localhost:1"},
                "search": {"type": "elasticsearch", "hosts": "http://localhost:1"},
            },
            "spouts": {
                "in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "earliest"},
                "other": {"type": "kafka", "connection": "kafka", "topics": ["b"], "start": "earliest"},
            },
            "bolts": {
                "parse": {"type": "parse_json", "inputs": ["in", "other"]},
                "index": index,
                "copy": {"type": "file", "path": "copy", "inputs": ["parse"]},
                "apart": {"type": "blackhole", "inputs": ["other"]},
            },
            "dead_letter": {"type": "file", "path": "dead"},
        });
        Spec::read(&Node::from_json(&file)).expect("sound")
    }

    fn part_of(live: &Spec, target: &Target) -> Result<(Spec, Vec<Sink>, Vec<String>), String> {
        part_for(live, &registry(), "in", &Choice::of(target.clone()))
    }

    /// A topology of these bolts behind a spout `in`.
    fn of_bolts(bolts: &serde_json::Value) -> Spec {
        let file = json!({
            "isobar": 1, "name": "logs",
            "connections": {
                "kafka": {"type": "kafka", "brokers": "localhost:1"},
                "search": {"type": "elasticsearch", "hosts": "http://localhost:1"},
            },
            "spouts": {
                "in": {"type": "kafka", "connection": "kafka", "topics": ["a"], "start": "earliest"},
            },
            "bolts": bolts,
            "dead_letter": {"type": "file", "path": "dead"},
        });
        Spec::read(&Node::from_json(&file)).expect("sound")
    }

    #[test]
    fn bolts_are_left_out_with_what_only_they_lead_to() {
        let live = of_bolts(&json!({
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "find": {"type": "remove_fields", "fields": ["a"], "inputs": ["parse"]},
            "index": {"type": "elasticsearch", "connection": "search", "index": "a", "inputs": ["parse"]},
            "other": {"type": "elasticsearch", "connection": "search", "index": "b", "inputs": ["find"]},
            "copy": {"type": "file", "path": "copy", "inputs": ["parse"], "on_rejected": "drop"},
        }));
        let part = |only: &[&str], exclude: &[&str], target: Target| {
            let names = |some: &[&str]| some.iter().map(|one| (*one).to_owned()).collect();
            let choice = Choice {
                only: names(only),
                exclude: names(exclude),
                ..Choice::of(target)
            };
            let (part, sinks, left_out) = part_for(&live, &registry(), "in", &choice)?;
            let planned = plan(&part, &registry(), 1, Path::new("."));
            assert!(planned.is_ok(), "{:?}", planned.err());
            let bolts: Vec<String> = part.bolts.iter().map(|bolt| bolt.id.clone()).collect();
            let sinks: Vec<String> = sinks.into_iter().map(|sink| sink.bolt).collect();
            Ok::<_, String>((bolts.join(" "), sinks.join(" "), left_out.join(" ")))
        };
        let is = |bolts: &str, sinks: &str, left_out: &str| {
            Ok((bolts.to_owned(), sinks.to_owned(), left_out.to_owned()))
        };
        // Where another bolt consumes the stream, nothing is dropped in place of the one that is left out.
        assert_eq!(
            part(&[], &[], Target::Missing),
            is("parse find index other", "index other", "copy")
        );
        // All that `find` puts out would have gone to `other`, and `index` consumes what it reads.
        assert_eq!(
            part(&["index"], &[], Target::Index("x".to_owned())),
            is("parse index", "index", "other copy")
        );
        // Nobody else consumes what `find` puts out.
        assert_eq!(
            part(&["other"], &[], Target::Index("x".to_owned())),
            is("parse find other", "other", "index copy")
        );
        assert_eq!(
            part(&[], &["find"], Target::Missing),
            is("parse index", "index", "find copy")
        );
        for (only, exclude, said) in [
            (
                &["copy"][..],
                &[][..],
                "reach no bolt that indexes copy; they reach index, other",
            ),
            (
                &[],
                &["x"],
                "reach no bolt x; they reach parse, find, index, other, copy",
            ),
            (&[], &["index", "other"], "no record of in reaches an index"),
        ] {
            let problem = part(only, exclude, Target::Missing).expect_err(said);
            assert!(problem.contains(said), "{problem}");
        }
        let problem = part(&[], &[], Target::Index("x".to_owned())).expect_err("two");
        assert!(problem.ends_with("with --only-bolt"), "{problem}");
    }

    #[test]
    fn a_purge_is_refused_where_a_bolt_is_left_out_by_way_of_which_documents_came() {
        let live = of_bolts(&json!({
            "route": {"type": "route", "inputs": ["in"], "routes": {"a": "kafka.key == 'a'"}, "default": "b"},
            "parse_a": {"type": "parse_json", "inputs": ["route.a"]},
            "parse_b": {"type": "parse_json", "inputs": ["route.b"]},
            "index": {"type": "elasticsearch", "connection": "search", "index": "a", "inputs": ["parse_a", "parse_b"]},
            "other": {"type": "elasticsearch", "connection": "search", "index": "b", "inputs": ["parse_a"]},
            "copy": {"type": "file", "path": "copy", "inputs": ["parse_a"]},
        }));
        let part = |target: Target, exclude: &[&str]| {
            let choice = Choice {
                exclude: exclude.iter().map(|one| (*one).to_owned()).collect(),
                ..Choice::of(target)
            };
            part_for(&live, &registry(), "in", &choice).map(|_| ())
        };
        let refused = part(Target::Purge, &["parse_b"]).expect_err("documents by way of it");
        assert!(
            refused.starts_with("parse_b is left out, and index indexes what comes from it"),
            "{refused}"
        );
        assert_eq!(part(Target::Missing, &["parse_b"]), Ok(()));
        // What only goes elsewhere takes no documents along.
        assert_eq!(part(Target::Purge, &[]), Ok(()));
        assert_eq!(part(Target::Purge, &["parse_b", "index"]), Ok(()));
    }

    #[test]
    fn a_bolt_of_somebodys_own_that_has_effects_elsewhere_is_left_out() {
        let live = spec(json!({"index": "logs"}));
        let mut registry = registry();
        let parse = registry
            .bolts
            .iter_mut()
            .find(|bolt| bolt.name == "blackhole");
        parse.expect("it is there").side_effects = true;
        let mut with_mail = live.clone();
        with_mail.bolts[3].inputs[0].from.component = "in".to_owned();
        let choice = Choice::of(Target::Missing);
        let (.., left_out) = part_for(&with_mail, &registry, "in", &choice).expect("it can be");
        assert_eq!(left_out, ["copy", "apart"]);
    }

    #[test]
    fn targets_are_words_or_an_index() {
        for text in ["missing", "overwrite", "purge", "index=logs-2"] {
            assert_eq!(text.parse::<Target>().expect(text).to_string(), text);
        }
        for text in ["", "same", "index=", "index", "missing=1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_part_is_what_the_spout_reaches_without_other_systems_and_can_be_planned() {
        let live = spec(json!({"index": "logs-{{ doc.day }}", "op": "index"}));
        let (part, sinks, left_out) = part_of(&live, &Target::Missing).expect("it can be");
        let bolts: Vec<(&str, &str)> = part
            .bolts
            .iter()
            .map(|bolt| (bolt.id.as_str(), bolt.kind.as_str()))
            .collect();
        let expected = [("parse", "parse_json"), ("index", "elasticsearch")];
        assert_eq!(bolts, expected);
        assert_eq!(part.bolts[0].inputs.len(), 1);
        assert_eq!(left_out, ["copy"]);
        assert_eq!(sinks[0].guarantee, Guarantee::Exact);
        let index = part.bolts[1].config.to_json();
        assert_eq!(index["op"], "create");
        let planned = plan(&part, &registry(), 1, Path::new(".")).expect("it can be planned");
        assert_eq!(planned.graph.spouts.len(), 1);
    }

    #[test]
    fn no_index_is_made_unless_that_is_asked_for_or_it_is_another_one() {
        let live = spec(json!({"index": "logs", "missing_index": "create"}));
        let other = || Target::Index("logs-again".to_owned());
        for (target, create_missing, expected) in [
            (Target::Missing, false, "drop"),
            (Target::Overwrite, true, "create"),
            // It may have been deleted elsewhere a moment ago.
            (Target::Purge, false, "create"),
            (other(), false, "create"),
        ] {
            let choice = Choice {
                create_missing,
                ..Choice::of(target.clone())
            };
            let part = part_for(&live, &registry(), "in", &choice);
            let (part, ..) = part.expect("it can be");
            let index = part.bolts[1].config.to_json();
            assert_eq!(index["missing_index"], expected, "{target}");
            let planned = plan(&part, &registry(), 1, Path::new(".")).expect("it can be planned");
            let policy = planned.graph.policy(&missing_index_policy("index"));
            assert_eq!(policy.is_some(), expected == "drop");
        }
    }

    #[test]
    fn a_replay_drops_nothing_for_want_of_room() {
        let mut live = spec(json!({"index": "logs"}));
        for input in &mut live.bolts[0].inputs {
            input.overload.on_full = OnFull::DropOldest;
        }
        live.spouts[0].overload = Overload {
            throttle: "10/s".parse().ok(),
            on_full: OnFull::DropNewest,
        };
        let (part, ..) = part_of(&live, &Target::Missing).expect("it can be");
        let planned = plan(&part, &registry(), 1, Path::new(".")).expect("it can be planned");
        assert!(planned.report.lossy.is_empty());
        assert!(planned.graph.spouts[0].overload.throttle.is_some());
        assert!(
            plan(&live, &registry(), 1, Path::new("."))
                .is_ok_and(|live| live.report.lossy.len() == 2)
        );
    }

    #[test]
    fn live_sinks_are_those_that_a_spout_reaches_whatever_a_target_could_not_be() {
        let auto = spec(json!({"index": "logs-{{ doc.day }}", "id": "auto"}));
        let expected = Sink {
            bolt: "index".to_owned(),
            index: "logs-{{ doc.day }}".to_owned(),
            guarantee: Guarantee::None,
        };
        assert_eq!(live_sinks(&auto, "in"), [expected]);
        assert_eq!(live_sinks(&auto, "none"), []);
        let stream = spec(json!({"data_stream": "logs-app-prod"}));
        assert_eq!(live_sinks(&stream, "in")[0].index, "logs-app-prod");
    }

    #[test]
    fn a_bolt_that_leads_to_one_that_is_left_out_is_not_whole() {
        let live = spec(json!({"index": "logs"}));
        let (part, _, left_out) = part_of(&live, &Target::Missing).expect("it can be");
        assert_eq!(whole(&live, &part, &left_out), BTreeSet::from(["index"]));
        let all = BTreeSet::from(["parse", "index"]);
        assert_eq!(whole(&live, &part, &[]), all);
    }

    #[test]
    fn what_leads_to_a_bolt_that_is_left_out_alone_takes_nothing_from_others() {
        let read = |bolts: serde_json::Value| {
            let live = of_bolts(&bolts);
            let choice = Choice::of(Target::Missing);
            let (part, sinks, _) = part_for(&live, &registry(), "in", &choice).expect("it can be");
            let planned = plan(&part, &registry(), 1, Path::new("."));
            assert!(planned.is_ok(), "{:?}", planned.err());
            let bolts = part.bolts.iter().map(|bolt| {
                let inputs = bolt.inputs.iter().map(stream);
                let inputs: Vec<String> = inputs.map(|(from, of)| format!("{from}.{of}")).collect();
                format!("{} [{}]", bolt.id, inputs.join(" "))
            });
            (bolts.collect::<Vec<_>>().join(", "), sinks.len())
        };
        let index = |inputs: &[&str]| json!({"type": "elasticsearch", "connection": "search", "index": "a", "inputs": inputs});
        let copy = |input: &str| json!({"type": "file", "path": "copy", "inputs": [input], "on_rejected": "drop"});
        let trim =
            |inputs: &[&str]| json!({"type": "remove_fields", "fields": ["a"], "inputs": inputs});
        // By way of two.
        let chain = json!({
            "parse": {"type": "parse_json", "inputs": ["in"]}, "index": index(&["parse"]),
            "trim": trim(&["parse"]), "cut": trim(&["trim"]), "copy": copy("cut"),
        });
        assert_eq!(
            read(chain),
            ("parse [in.out], index [parse.out]".to_owned(), 1)
        );
        // Some of what it reads nobody else does.
        let routed = json!({
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "split": {"type": "route", "inputs": ["parse"], "routes": {"a": "doc.x == 1"}, "default": "b"},
            "index": index(&["split.a"]), "trim": trim(&["split.a", "split.b"]), "copy": copy("trim"),
        });
        let expected =
            "parse [in.out], split [parse.out], index [split.a], trim [split.b], copy [trim.out]";
        assert_eq!(read(routed), (expected.to_owned(), 1));
        // What it rejects is indexed.
        let rejected = json!({
            "parse": {"type": "parse_json", "inputs": ["in"]}, "index": index(&["parse"]),
            "cast": {"type": "convert", "fields": {"a": "integer"}, "inputs": ["parse"]},
            "copy": copy("cast"), "again": {"type": "parse_json", "inputs": ["cast.rejected"]}, "failures": {"type": "elasticsearch", "connection": "search", "index": "b", "inputs": ["again"]},
        });
        let expected = "parse [in.out], index [parse.out], cast [parse.out], copy [cast.out], again [cast.rejected], failures [again.out]";
        assert_eq!(read(rejected), (expected.to_owned(), 2));
        // Dead letters by way of a bolt that hands them on.
        let letters = json!({
            "parse": {"type": "parse_json", "inputs": ["in"]}, "index": index(&["parse"]),
            "which": {"type": "route", "inputs": ["parse.rejected"], "routes": {"a": "doc.x == 1"}, "default": "b"},
            "few": copy("which.a"), "many": {"type": "file", "path": "many", "inputs": ["which.b"]},
        });
        let expected = "parse [in.out], index [parse.out], which [parse.rejected], few [which.a], many [which.b]";
        assert_eq!(read(letters), (expected.to_owned(), 1));
    }

    #[test]
    fn of_a_stream_that_only_bolts_consume_that_are_left_out_one_drops_the_records() {
        let live = of_bolts(&json!({
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "route": {"type": "route", "inputs": ["parse"], "routes": {"a": "doc.a == 1"}, "default": "b"},
            "index": {"type": "elasticsearch", "connection": "search", "index": "a", "inputs": ["route.a"]},
            "copy": {"type": "file", "path": "copy", "inputs": ["route.a", "route.b"]},
            "mail": {"type": "file", "path": "mail", "inputs": ["route.b"]},
        }));
        let (part, _, left_out) = part_of(&live, &Target::Missing).expect("it can be");
        assert_eq!(left_out, ["copy", "mail"]);
        let bolt = |id: &str| part.bolts.iter().find(|one| one.id == id);
        let copy = bolt("copy").expect("it answers for route.b");
        assert_eq!((copy.kind.as_str(), copy.inputs.len()), ("blackhole", 1));
        assert_eq!(copy.inputs[0].from.stream.as_deref(), Some("b"));
        assert!(bolt("mail").is_none());
        assert!(!forks(&part));
        let planned = plan(&part, &registry(), 1, Path::new(".")).expect("it can be planned");
        assert!(planned.graph.policy("copy").is_some());
    }

    #[test]
    fn a_stream_with_two_consumers_forks() {
        let live = spec(json!({"index": "logs"}));
        assert!(forks(&live) && !shares_ids(&live));
        assert!(shares_ids(&spec(
            json!({"index": "logs", "id": "{{ doc.order }}"})
        )));
        let (part, ..) = part_of(&live, &Target::Missing).expect("it can be");
        assert!(!forks(&part));
    }

    #[test]
    fn another_index_takes_the_place_of_a_data_stream() {
        let live = spec(json!({"data_stream": "logs-app-prod"}));
        let (_, sinks, _) = part_of(&live, &Target::Missing).expect("it can be");
        assert_eq!(sinks[0].guarantee, Guarantee::UntilRollover);
        let target = Target::Index("logs-again".to_owned());
        let (part, sinks, _) = part_of(&live, &target).expect("it can be");
        assert_eq!(
            (sinks[0].index.as_str(), sinks[0].guarantee),
            ("logs-again", Guarantee::Exact)
        );
        assert!(plan(&part, &registry(), 1, Path::new(".")).is_ok());
    }

    #[test]
    fn a_purged_data_stream_is_written_as_it_is_live() {
        let live = spec(json!({"data_stream": "logs-app-prod"}));
        let (part, sinks, _) = part_of(&live, &Target::Purge).expect("it can be");
        assert_eq!(sinks[0].index, "logs-app-prod");
        let index = part.bolts[1].config.to_json();
        assert_eq!(
            (&index["op"], &index["data_stream"]),
            (&"create".into(), &"logs-app-prod".into())
        );
        assert!(plan(&part, &registry(), 1, Path::new(".")).is_ok());
    }

    #[test]
    fn records_that_were_rejected_go_also_where_the_cluster_makes_the_ids() {
        for sink in [
            json!({"index": "logs", "id": "auto"}),
            json!({"data_stream": "logs-app-prod", "id": "auto"}),
        ] {
            let part = part_for(&spec(sink), &registry(), "in", &Choice::of_rejected());
            let (part, sinks, _) = part.expect("it can be");
            assert_eq!(sinks[0].guarantee, Guarantee::None);
            let index = part.bolts[1].config.to_json();
            let options = (&index["id"], &index["op"], &index["missing_index"]);
            assert_eq!(
                options,
                (&"auto".into(), &"create".into(), &"create".into())
            );
            let planned = plan(&part, &registry(), 1, Path::new("."));
            assert!(planned.is_ok(), "{:?}", planned.err());
        }
    }

    #[test]
    fn a_target_that_would_store_twice_or_cannot_be_written_is_refused() {
        let stream = spec(json!({"data_stream": "logs-app-prod"}));
        let auto = spec(json!({"index": "logs", "id": "auto"}));
        for (live, spout, target, part) in [
            (&stream, "in", Target::Overwrite, "takes no replacements"),
            (&auto, "in", Target::Missing, "made by the cluster"),
            (&auto, "none", Target::Missing, "reaches an index"),
        ] {
            let problem = part_for(live, &registry(), spout, &Choice::of(target)).expect_err(part);
            assert!(problem.contains(part), "{problem}");
        }
    }
}
