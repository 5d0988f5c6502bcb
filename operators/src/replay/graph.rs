//! The part of a topology that a replay goes through: what one spout reaches, with the sinks told where
//! to write.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use isobar_topology::spec::{Component, Entry, Node, OnRejected, Spec, Value};

use crate::bolts;

/// What becomes of documents that are in the index already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Only those that are missing are stored: nothing that is there changes.
    Missing,
    /// Every document is written anew.
    Overwrite,
    /// The documents of the range are deleted, wherever they are, and written anew: for data streams,
    /// which take no replacements.
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

/// Types of bolts that write to other systems than an index. A replay leaves them out.
const SIDE_EFFECTS: [&str; 3] = ["kafka", "file", "console"];

/// The part of a topology that records of `spout` go through, its sinks, and the bolts that are left out
/// since they have effects elsewhere. What would have reached those is dropped, counted under their name.
/// Records wait where live ones are dropped when too many come. Documents for indices that do not exist are
/// dropped, counted under [`super::missing_index_policy`], unless those are made (`create_missing`), or are another
/// one by the target.
///
/// Fails with a sentence when the target cannot be.
pub fn part_for(
    spec: &Spec,
    spout: &str,
    target: &Target,
    create_missing: bool,
) -> Result<(Spec, Vec<Sink>, Vec<String>), String> {
    let mut part = spec.clone();
    part.wait_for_room();
    let reached = reached(spec, spout);
    part.spouts.retain(|one| one.id == spout);
    part.bolts.retain(|bolt| reached.contains(bolt.id.as_str()));
    let (mut sinks, mut left_out) = (Vec::new(), Vec::new());
    for bolt in &mut part.bolts {
        let reached = |from: &str| reached.contains(from);
        bolt.inputs
            .retain(|input| reached(input.from.component.as_str()));
        if SIDE_EFFECTS.contains(&bolt.kind.as_str()) && !takes_dead_letters(bolt) {
            left_out.push(bolt.id.clone());
            bolt.kind = "blackhole".to_owned();
            bolt.config.value = Value::Map(Vec::new());
            bolt.on_rejected = Some(OnRejected::Drop);
        }
        if bolt.kind == "elasticsearch" {
            sinks.push(aim(bolt, target, create_missing)?);
        }
    }
    match (sinks.as_slice(), target) {
        ([], _) => Err(format!("no record of {spout} reaches an index")),
        ([_, _, ..], Target::Index(_)) => {
            let bolts: Vec<&str> = sinks.iter().map(|sink| sink.bolt.as_str()).collect();
            Err(format!(
                "records of {spout} reach several indices, by {}: documents of all of them would \
                 share the one of the target",
                bolts.join(", ")
            ))
        }
        _ => Ok((part, sinks, left_out)),
    }
}

/// The bolts of a part from which no record comes to one that is left out: what the part makes of a
/// record there is all that becomes of it.
pub fn whole<'p>(part: &'p Spec, left_out: &[String]) -> BTreeSet<&'p str> {
    let mut whole: BTreeSet<&str> = part.bolts.iter().map(|bolt| bolt.id.as_str()).collect();
    for bolt in part.sorted_bolts().into_iter().rev() {
        if left_out.contains(&bolt.id) {
            let _ = whole.remove(bolt.id.as_str());
        }
        if !whole.contains(bolt.id.as_str()) {
            for input in &bolt.inputs {
                let _ = whole.remove(input.from.component.as_str());
            }
        }
    }
    whole
}

/// Whether a stream of a part goes to several bolts, so that a record has several fates.
pub fn forks(part: &Spec) -> bool {
    let inputs = part.bolts.iter().flat_map(|bolt| &bolt.inputs);
    let mut seen = BTreeSet::new();
    inputs.into_iter().any(|input| !seen.insert(&input.from))
}

/// Whether a bolt of `part` splits records: then an offset may have some of its documents and lack others.
pub fn splits(part: &Spec) -> bool {
    part.bolts.iter().any(|bolt| bolt.kind == bolts::SPLIT)
}

/// The spout and the bolts that its records reach.
fn reached<'s>(spec: &'s Spec, spout: &'s str) -> BTreeSet<&'s str> {
    let mut reached = BTreeSet::from([spout]);
    for bolt in spec.sorted_bolts() {
        let mut inputs = bolt.inputs.iter();
        if inputs.any(|input| reached.contains(input.from.component.as_str())) {
            let _ = reached.insert(&bolt.id);
        }
    }
    reached
}

/// Whether nothing but rejected records comes to it.
fn takes_dead_letters(bolt: &Component) -> bool {
    let mut inputs = bolt.inputs.iter();
    inputs.all(|input| input.from.stream.as_deref() == Some("rejected"))
}

/// The sinks that records of `spout` reach, as they are without any target.
pub fn live_sinks(spec: &Spec, spout: &str) -> Vec<Sink> {
    let reached = reached(spec, spout);
    let sinks = spec.bolts.iter();
    sinks
        .filter(|bolt| bolt.kind == "elasticsearch" && reached.contains(bolt.id.as_str()))
        .map(live)
        .collect()
}

/// An indexing bolt as the topology says it.
fn live(bolt: &Component) -> Sink {
    let text = |name: &str| bolt.config.get(name).and_then(Node::text);
    let stream = text("data_stream");
    let guarantee = match text("id") {
        Some("auto") => Guarantee::None,
        None | Some("deterministic") if stream.is_some() => Guarantee::UntilRollover,
        None | Some("deterministic") => Guarantee::Exact,
        Some(_) => Guarantee::AsTheIdSays,
    };
    Sink {
        bolt: bolt.id.clone(),
        index: stream
            .or_else(|| text("index"))
            .unwrap_or_default()
            .to_owned(),
        guarantee,
    }
}

/// Tells an indexing bolt what the target says.
fn aim(bolt: &mut Component, target: &Target, create_missing: bool) -> Result<Sink, String> {
    let mut sink = live(bolt);
    if sink.guarantee == Guarantee::None && !matches!(target, Target::Index(_)) {
        return Err(format!(
            "the ids of {} are made by the cluster, so a replay would store every document once more; \
             replay into another index with index=NAME",
            bolt.id
        ));
    }
    if bolt.config.get("data_stream").is_some() && *target == Target::Overwrite {
        return Err(format!(
            "{} writes to a data stream, which takes no replacements; delete the documents first with \
             purge, or replay into another index with index=NAME",
            bolt.id
        ));
    }
    let operation = match target {
        Target::Overwrite => "index",
        Target::Missing | Target::Purge | Target::Index(_) => "create",
    };
    set(&mut bolt.config, "op", Some(operation));
    // The window was taken when it was live.
    set(&mut bolt.config, "event_time_bounds", Some("off"));
    let makes = create_missing || matches!(target, Target::Index(_));
    let missing = if makes { "create" } else { "drop" };
    set(&mut bolt.config, "missing_index", Some(missing));
    if let Target::Index(name) = target {
        set(&mut bolt.config, "data_stream", None);
        set(&mut bolt.config, "index", Some(name));
        sink.index.clone_from(name);
        if sink.guarantee == Guarantee::UntilRollover {
            sink.guarantee = Guarantee::Exact;
        }
    }
    Ok(sink)
}

/// Sets an option to a text, or takes it away.
fn set(config: &mut Node, name: &str, value: Option<&str>) {
    let place = config.place;
    let Value::Map(entries) = &mut config.value else {
        return;
    };
    entries.retain(|entry| entry.key != name);
    if let Some(value) = value {
        entries.push(Entry {
            key: name.to_owned(),
            key_place: place,
            node: Node::new(Value::String(value.to_owned()), place),
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
        let (part, sinks, left_out) =
            part_for(&live, "in", &Target::Missing, false).expect("it can be");
        let bolts: Vec<(&str, &str)> = part
            .bolts
            .iter()
            .map(|bolt| (bolt.id.as_str(), bolt.kind.as_str()))
            .collect();
        let expected = [
            ("parse", "parse_json"),
            ("index", "elasticsearch"),
            ("copy", "blackhole"),
        ];
        assert_eq!(bolts, expected);
        assert_eq!(part.bolts[0].inputs.len(), 1);
        assert_eq!(left_out, ["copy"]);
        assert_eq!(sinks[0].guarantee, Guarantee::Exact);
        let index = part.bolts[1].config.to_json();
        assert_eq!(
            (&index["op"], &index["event_time_bounds"]),
            (&"create".into(), &"off".into())
        );
        let planned = plan(&part, &registry(), 1, Path::new(".")).expect("it can be planned");
        assert_eq!(planned.graph.spouts.len(), 1);
    }

    #[test]
    fn no_index_is_made_unless_that_is_asked_for_or_it_is_another_one() {
        let live = spec(json!({"index": "logs", "missing_index": "create"}));
        let other = || Target::Index("logs-again".to_owned());
        for (target, create_missing, expected) in [
            (Target::Missing, false, "drop"),
            (Target::Purge, false, "drop"),
            (Target::Overwrite, true, "create"),
            (other(), false, "create"),
        ] {
            let (part, ..) = part_for(&live, "in", &target, create_missing).expect("it can be");
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
        let (part, ..) = part_for(&live, "in", &Target::Missing, false).expect("it can be");
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
        let (part, _, left_out) =
            part_for(&live, "in", &Target::Missing, false).expect("it can be");
        assert_eq!(whole(&part, &left_out), BTreeSet::from(["index"]));
        let all = BTreeSet::from(["parse", "index", "copy"]);
        assert_eq!(whole(&part, &[]), all);
    }

    #[test]
    fn a_stream_with_two_consumers_forks() {
        let live = spec(json!({"index": "logs"}));
        let (mut part, ..) = part_for(&live, "in", &Target::Missing, false).expect("it can be");
        assert!(forks(&part));
        part.bolts.retain(|bolt| bolt.id != "copy");
        assert!(!forks(&part));
    }

    #[test]
    fn another_index_takes_the_place_of_a_data_stream() {
        let live = spec(json!({"data_stream": "logs-app-prod"}));
        let (_, sinks, _) = part_for(&live, "in", &Target::Missing, false).expect("it can be");
        assert_eq!(sinks[0].guarantee, Guarantee::UntilRollover);
        let target = Target::Index("logs-again".to_owned());
        let (part, sinks, _) = part_for(&live, "in", &target, false).expect("it can be");
        assert_eq!(
            (sinks[0].index.as_str(), sinks[0].guarantee),
            ("logs-again", Guarantee::Exact)
        );
        assert!(plan(&part, &registry(), 1, Path::new(".")).is_ok());
    }

    #[test]
    fn a_purged_data_stream_is_written_as_it_is_live() {
        let live = spec(json!({"data_stream": "logs-app-prod"}));
        let (part, sinks, _) = part_for(&live, "in", &Target::Purge, false).expect("it can be");
        assert_eq!(sinks[0].index, "logs-app-prod");
        let index = part.bolts[1].config.to_json();
        assert_eq!(
            (&index["op"], &index["data_stream"]),
            (&"create".into(), &"logs-app-prod".into())
        );
        assert!(plan(&part, &registry(), 1, Path::new(".")).is_ok());
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
            let problem = part_for(live, spout, &target, false).expect_err(part);
            assert!(problem.contains(part), "{problem}");
        }
    }
}
