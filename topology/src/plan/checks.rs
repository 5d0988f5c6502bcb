//! What must hold between operators before a topology may run.

use std::collections::{BTreeMap, BTreeSet};

use super::partial::Unprepared;
use super::{Edge, Prepared, RECORD_KEY, letters};
use crate::ordinals::Ordinals;
use crate::registry::{DocumentUse, LetterUse, PreparedBolt, PreparedSpout};
use crate::spec::{Component, Grouping, Input, OnFull, Problem, Problems, Spec, StreamRef};
use crate::stream::Stream;

/// The names of a bolt's streams by index; empty where it does not have the stream.
pub(super) fn stream_names(bolt: &PreparedBolt) -> Vec<String> {
    let named = |has: bool, name: &str| if has { name.to_owned() } else { String::new() };
    let mut names = vec![named(bolt.emits, "out"), named(true, "rejected")];
    names.extend(bolt.streams.iter().cloned());
    names
}

/// The stream that an input names, of a component with these.
pub(super) fn stream_of(input: &Input, streams: &[String]) -> Result<Stream, Problem> {
    let name = &input.from.component;
    let wanted = input.from.stream.as_deref().unwrap_or("out");
    if let Some(index) = streams.iter().position(|stream| stream == wanted) {
        return Ok(Stream::at(index));
    }
    let known = streams.iter().map(String::as_str);
    let known: Vec<&str> = known.filter(|stream| !stream.is_empty()).collect();
    let problem = |message: String| Problem::new(input.path.clone(), message).at(input.place);
    let (rejected, named): (Vec<&str>, _) = known.iter().partition(|name| **name == "rejected");
    Err(match (wanted, named.as_slice()) {
        ("out", []) => problem(format!("`{name}` is a sink: it emits only what it rejects"))
            .expected(format!("another input, or {name}.rejected")),
        ("out", _) => {
            let streams = named.iter().chain(&rejected);
            let streams: Vec<String> = streams.map(|stream| format!("{name}.{stream}")).collect();
            problem(format!("`{name}` has only named streams"))
                .expected(format!("one of {}", streams.join(", ")))
        }
        _ => problem(format!("`{name}` has no stream `{wanted}`"))
            .expected(format!("one of {}", known.join(", ")))
            .near(wanted, known),
    })
}

/// Names, to inputs that do not exist, the streams that do.
pub(super) fn offer_streams(
    spec: &Spec,
    bolts: &[Prepared<'_, PreparedBolt>],
    problems: &mut Problems,
) {
    let spouts = spec.spouts.iter().map(|spout| spout.id.as_str());
    let components: Vec<&str> = spouts
        .chain(spec.bolts.iter().map(|bolt| bolt.id.as_str()))
        .collect();
    for bolt in &spec.bolts {
        let inputs = bolt.inputs.iter();
        let unknown = inputs.filter(|input| !components.contains(&input.from.component.as_str()));
        for input in unknown {
            let others = components.iter().filter(|id| **id != bolt.id);
            let offered: Vec<String> = others.flat_map(|id| emitted(id, bolts)).collect();
            let StreamRef { component, stream } = &input.from;
            let written = stream
                .as_ref()
                .map_or(component.clone(), |stream| format!("{component}.{stream}"));
            problems.amend(&input.path, |problem| {
                let of_component = problem.nearest.clone();
                let mut problem = problem
                    .expected(format!("one of {}", offered.join(", ")))
                    .near(&written, offered.iter().map(String::as_str));
                let of_component = of_component.filter(|name| offered.contains(name));
                problem.nearest = problem.nearest.or(of_component);
                problem
            });
        }
    }
}

/// What inputs are called that consume what a component emits, besides what it rejects.
fn emitted(id: &str, bolts: &[Prepared<'_, PreparedBolt>]) -> Vec<String> {
    let Some(bolt) = bolts.iter().find(|bolt| bolt.component.id == id) else {
        // A spout, or a bolt of which the streams are not known.
        return vec![id.to_owned()];
    };
    let streams = stream_names(&bolt.made);
    let streams = streams.iter().map(String::as_str);
    let input = |stream: &str| match stream {
        "" | "rejected" => None,
        "out" => Some(id.to_owned()),
        named => Some(format!("{id}.{named}")),
    };
    streams.filter_map(input).collect()
}

pub(super) fn unknown_type(
    component: &Component,
    what: &str,
    known: Vec<&str>,
    problems: &mut Problems,
) {
    // Where there is none, that was said.
    if component.kind.is_empty() {
        return;
    }
    problems.push(
        Problem::new(
            component.path.key("type"),
            format!("unknown type of {what} `{}`", component.kind),
        )
        .expected(format!("one of {}", known.join(", ")))
        .near(&component.kind, known),
    );
}

/// Every stream is consumed: records must not end without an answer.
pub(super) fn streams_lead_somewhere(
    spouts: &[Prepared<'_, PreparedSpout>],
    bolts: &[Prepared<'_, PreparedBolt>],
    unprepared: &Unprepared<'_>,
    edges: &[Edge<'_>],
    problems: &mut Problems,
) {
    let consumed = |id: &str, stream: Stream| {
        edges
            .iter()
            .any(|edge| edge.from == id && edge.stream == stream)
    };
    let mut complain = |component: &Component, stream: &str| {
        if unprepared.may_consume(&component.id, stream) {
            return;
        }
        let of = match stream {
            "out" => component.id.clone(),
            named => format!("{}.{named}", component.id),
        };
        problems.push(
            Problem::new(component.path.clone(), format!("nobody consumes `{of}`"))
                .expected(format!(
                    "a bolt with `inputs: [{of}]`; a `blackhole` drops records by name"
                ))
                .at(component.place),
        );
    };
    for spout in spouts {
        if !consumed(&spout.component.id, Stream::OUT) {
            complain(spout.component, "out");
        }
    }
    for bolt in bolts {
        for (index, name) in stream_names(&bolt.made).iter().enumerate() {
            let stream = Stream::at(index);
            let is_named = !name.is_empty() && stream != Stream::REJECTED;
            if is_named && !consumed(&bolt.component.id, stream) {
                complain(bolt.component, name);
            }
        }
    }
}

/// Bolts that work on documents come behind a parser on every way, except for the way of dead letters to
/// a sink that writes them.
pub(super) fn documents_are_made(
    bolts: &[Prepared<'_, PreparedBolt>],
    edges: &[Edge<'_>],
    problems: &mut Problems,
) {
    // Whether all that leaves a bolt has a document, and whether what has none is a dead letter.
    let mut has_document: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    // The bolt that took the documents away, of those behind it, and the option that leaves them there.
    let mut unmade: BTreeMap<&str, (&Component, Option<&str>)> = BTreeMap::new();
    let is_bolt = |id: &str| bolts.iter().any(|bolt| bolt.component.id == id);
    for (number, bolt) in bolts.iter().enumerate() {
        let inputs = edges.iter().filter(|edge| edge.to == number);
        // Where an input could not be connected something else is wrong.
        let known = inputs.clone().count();
        let all = |has: &dyn Fn(&Edge<'_>) -> bool| {
            known < bolt.component.inputs.len() || known > 0 && inputs.clone().all(has)
        };
        let of_source = |edge: &Edge<'_>| {
            let of_source = has_document.get(edge.from).copied();
            of_source.unwrap_or_else(|| (is_bolt(edge.from), is_bolt(edge.from)))
        };
        let is_rejected = |edge: &Edge<'_>| edge.stream == Stream::REJECTED;
        let arrives = all(&|edge| !is_rejected(edge) && of_source(edge).0);
        let or_letter = all(&|edge| is_rejected(edge) || of_source(edge).1);
        let is_fit = match bolt.made.letters {
            LetterUse::None => arrives,
            LetterUse::Writes | LetterUse::Cannot(_) => or_letter,
        };
        let by = inputs
            .clone()
            .find_map(|edge| unmade.get(edge.from).copied());
        if bolt.made.document == DocumentUse::Needs && !is_fit && known > 0 {
            let letters: Vec<&str> = inputs
                .clone()
                .filter(|edge| bolt.made.is_sink() && is_rejected(edge))
                .map(|edge| edge.from)
                .collect();
            match letters.as_slice() {
                [] => problems.push(lacks_documents(bolt.component, by)),
                from => problems.push(writes_no_letters(bolt.component, from)),
            }
        }
        let (leaves, by) = match bolt.made.document {
            DocumentUse::Makes => ((true, true), None),
            DocumentUse::Unmakes(unless) => (
                (false, false),
                Some((bolt.component, arrives.then_some(unless))),
            ),
            // Where there are none, that was said, and is not said of what comes behind as well.
            DocumentUse::Needs => ((true, true), None),
            DocumentUse::Any => ((arrives, or_letter), by),
        };
        let id = bolt.component.id.as_str();
        let _ = has_document.insert(id, leaves);
        unmade.extend(by.map(|by| (id, by)));
    }
}

/// Dead letters come to sinks only that can write them: what cannot be written waits for ever.
pub(super) fn letters_can_be_written(
    bolts: &[Prepared<'_, PreparedBolt>],
    edges: &[Edge<'_>],
    problems: &mut Problems,
) {
    for (number, bolt) in bolts.iter().enumerate() {
        if let LetterUse::Cannot(problem) = &bolt.made.letters
            && edges
                .iter()
                .any(|edge| edge.to == number && edge.dead_letter)
        {
            problems.push(problem.clone());
        }
    }
}

/// Rejected records are not dropped for want of room, wherever they come by way of bolts: what such a policy drops of them
/// on its last edge would count as dead-lettered, and no letter would be written. Of inputs from `rejected` itself that
/// is said where they are read.
pub(super) fn no_letter_is_dropped(
    bolts: &[Prepared<'_, PreparedBolt>],
    edges: &[Edge<'_>],
    problems: &mut Problems,
) {
    let by_way = edges
        .iter()
        .filter(|edge| edge.letters && edge.stream != Stream::REJECTED);
    for edge in by_way {
        let drops = |input: &&Input| input.overload.on_full != OnFull::Block;
        if let Some(input) = edge.input.filter(drops) {
            let (from, to) = (edge.from, &bolts[edge.to].component.id);
            let message = format!(
                "rejected records come to `{to}` by way of `{from}`, and are not dropped for want of room"
            );
            problems.push(Problem::new(input.path.key("on_full"), message).expected(
                "block, `on_rejected: drop` at the bolt that rejects them, or a way of their own for them",
            ));
        }
    }
}

/// A sink that writes documents alone, and gets dead letters of these bolts: what is rejected leaves as it was read.
fn writes_no_letters(sink: &Component, from: &[&str]) -> Problem {
    let Component { id, kind, .. } = sink;
    let what = format!(
        "dead letters come to `{id}`, and `{kind}` writes documents alone: a rejected record is without its document"
    );
    let is_letter = |input: &&Input| {
        let StreamRef { component, stream } = &input.from;
        stream.as_deref() == Some("rejected") && from.contains(&component.as_str())
    };
    let (path, way) = match sink.inputs.iter().position(|input| is_letter(&input)) {
        Some(at) => (
            sink.inputs[at].path.clone(),
            format!("{}.rejected", from[0]),
        ),
        // That of the topology.
        None => (sink.path.key("type"), "what is rejected".to_owned()),
    };
    Problem::new(path, what)
        .expected(format!(
            "a bolt that writes dead letters, such as `kafka` or `file`, or a parser such as parse_json between {way} \
             and `{id}`"
        ))
        .at(sink.place)
}

fn lacks_documents(bolt: &Component, unmade: Option<(&Component, Option<&str>)>) -> Problem {
    let id = &bolt.id;
    let Some((by, unless)) = unmade else {
        let what = format!("`{id}` works on documents, and some of its records have none");
        return Problem::new(bolt.path.key("inputs"), what)
            .expected("a parser such as parse_json on every way to it")
            .at(bolt.place);
    };
    let what = format!("it makes records of text, and `{id}` works on documents");
    let parser = format!("a parser such as parse_json between `{}` and `{id}`", by.id);
    Problem::new(by.path.clone(), what)
        .expected(match unless {
            Some(option) => format!("`{option}`, which leaves documents, or {parser}"),
            None => parser,
        })
        .at(by.place)
}

/// Numbers of parts have room for so many splits one behind the other.
pub(super) fn no_record_is_split_too_often(
    bolts: &[Prepared<'_, PreparedBolt>],
    edges: &[Edge<'_>],
    problems: &mut Problems,
) {
    // Edges lead to later bolts, so one pass from the start knows what each bolt comes behind.
    let mut depths = vec![0; bolts.len()];
    for number in 0..bolts.len() {
        let component = bolts[number].component;
        let inputs = edges.iter().filter(|edge| edge.to == number);
        let before = inputs.filter_map(|edge| {
            let from = bolts.iter().position(|bolt| bolt.component.id == edge.from);
            Some(depths[from?])
        });
        let before = before.max().unwrap_or(0);
        depths[number] = before + usize::from(bolts[number].made.parts_per_lane > 0);
        if depths[number] > Ordinals::DEPTH_MAX && before == Ordinals::DEPTH_MAX {
            problems.push(
                Problem::new(
                    component.path.clone(),
                    format!(
                        "`{}` splits records that {before} bolts before it have split",
                        component.id
                    ),
                )
                .expected(format!(
                    "at most {} bolts that split records, one behind the other",
                    Ordinals::DEPTH_MAX
                ))
                .at(component.place),
            );
        }
    }
}

/// Two copies of one record must not reach one target: they share an id, and the second would be
/// taken for the first.
pub(super) fn no_record_arrives_twice(
    spouts: &[Prepared<'_, PreparedSpout>],
    bolts: &[Prepared<'_, PreparedBolt>],
    edges: &[Edge<'_>],
    problems: &mut Problems,
) {
    // Edges lead to later bolts, so one pass from the end knows what each bolt leads to.
    let mut reaches: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); bolts.len()];
    // And the first bolt, from each one on, of which rejected records become dead letters.
    let mut writes_letters: Vec<Option<&str>> = vec![None; bolts.len()];
    let leads = letters::lead_on(bolts, edges);
    for number in (0..bolts.len()).rev() {
        let mut targets: BTreeSet<&str> =
            bolts[number].made.writes.as_deref().into_iter().collect();
        let id = bolts[number].component.id.as_str();
        let (rejected, others): (Vec<&Edge<'_>>, Vec<&Edge<'_>>) = edges
            .iter()
            .filter(|edge| edge.from == id)
            .partition(|edge| edge.stream == Stream::REJECTED);
        let mended = rejected.iter().filter(|edge| !edge.dead_letter);
        let ways: Vec<&&Edge<'_>> = mended.chain(&others).collect();
        for edge in &ways {
            targets.extend(reaches[edge.to].iter().copied());
        }
        reaches[number] = targets;
        let own = rejected.iter().any(|edge| letters::arrive(edge, &leads));
        let behind = ways.iter().find_map(|edge| writes_letters[edge.to]);
        writes_letters[number] = own.then_some(id).or(behind);
    }
    let sources = spouts.iter().map(|spout| spout.component);
    for source in sources.chain(bolts.iter().map(|bolt| bolt.component)) {
        let mut by_stream: BTreeMap<Stream, BTreeSet<&str>> = BTreeMap::new();
        for edge in edges.iter().filter(|edge| edge.from == source.id) {
            if let Grouping::All = edge.grouping {
                let target = match letters::arrive(edge, &leads) {
                    true => Some("dead letters"),
                    false => reaches[edge.to].first().copied(),
                };
                let many = match (target, writes_letters[edge.to]) {
                    (Some(target), _) => Some((
                        format!("all copies reach {target}"),
                        "another grouping: `all` is for bolts that lead to no index and no dead letters".to_owned(),
                    )),
                    (None, Some(bolt)) => Some((
                        format!("what `{bolt}` rejects would be one dead letter for each lane"),
                        format!("another grouping, or `on_rejected: drop` in `{bolt}`"),
                    )),
                    (None, None) => None,
                };
                if let Some((what, expected)) = many {
                    let component = bolts[edge.to].component;
                    problems.push(
                        Problem::new(
                            component.path.key("inputs"),
                            format!(
                                "with `grouping: all` every lane has a copy of the records of `{}`, and {what}",
                                source.id
                            ),
                        )
                        .expected(expected)
                        .at(component.place),
                    );
                    continue;
                }
            }
            let seen = by_stream.entry(edge.stream).or_default();
            let twice = reaches[edge.to]
                .iter()
                .find(|target| seen.contains(**target));
            if let Some(target) = twice {
                problems.push(
                    Problem::new(
                        bolts[edge.to].component.path.key("inputs"),
                        format!(
                            "records of `{}` reach {target} on two ways: both copies have the same id, the second would be taken for the first",
                            source.id
                        ),
                    )
                    .expected("one way to each target, or targets that differ")
                    .at(bolts[edge.to].component.place),
                );
            }
            seen.extend(reaches[edge.to].iter().copied());
        }
    }
}

/// What to know of bolts that are right only when records that are alike come to one copy of them.
pub(super) fn apart(
    bolts: &[Prepared<'_, PreparedBolt>],
    edges: &[Edge<'_>],
    lanes: usize,
) -> Vec<String> {
    if lanes == 1 {
        return Vec::new();
    }
    let mut notes = Vec::new();
    for (number, bolt) in bolts.iter().enumerate() {
        let Some(alike) = &bolt.made.alike else {
            continue;
        };
        if !are_together(number, alike, bolts, edges) {
            let fields = match alike.is_empty() {
                true => String::new(),
                false => format!("`grouping: {{fields: [{}]}}` or ", alike.join(", ")),
            };
            notes.push(format!(
                "`{}` knows what came on its own lane, and records that are alike may come on any of {lanes} lanes: {fields}`grouping: global` brings them to one, unless the key of the records does",
                bolt.component.id
            ));
        }
    }
    notes
}

/// Whether all records with the same values in these fields come to one copy of a bolt.
fn are_together(
    bolt: usize,
    alike: &[String],
    bolts: &[Prepared<'_, PreparedBolt>],
    edges: &[Edge<'_>],
) -> bool {
    // What a key is made of is alike when all of it is, or is inside of something that is.
    let is_alike = |field: &String| {
        let mut alike = alike.iter();
        alike.any(|alike| {
            let inside = field.strip_prefix(alike.as_str());
            inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let mut inputs = edges.iter().filter(|edge| edge.to == bolt);
    inputs.all(|edge| match edge.grouping {
        Grouping::Global => true,
        Grouping::Fields(fields) => fields.iter().all(is_alike),
        // Where they came together they stay together.
        Grouping::Local => {
            let mut all = bolts.iter();
            match all.position(|bolt| bolt.component.id == edge.from) {
                Some(from) => are_together(from, alike, bolts, edges),
                // A partition has all records of a key, and is read on one lane.
                None => alike.iter().any(|field| field == RECORD_KEY),
            }
        }
        Grouping::Shuffle | Grouping::PartialKey(_) | Grouping::All => false,
    })
}

/// Records must not come round: what a bolt writes to a topic that a spout on its way reads would be
/// read again, and written again, for ever.
pub(super) fn no_record_comes_round(
    spouts: &[Prepared<'_, PreparedSpout>],
    bolts: &[Prepared<'_, PreparedBolt>],
    edges: &[Edge<'_>],
    problems: &mut Problems,
) {
    for spout in spouts {
        let Some(reads) = &spout.made.reads else {
            continue;
        };
        let id = spout.component.id.as_str();
        let mut behind = vec![id];
        let mut at = 0;
        while let Some(from) = behind.get(at).copied() {
            at += 1;
            for edge in edges.iter().filter(|edge| edge.from == from) {
                let to = bolts[edge.to].component.id.as_str();
                if !behind.contains(&to) {
                    behind.push(to);
                }
            }
        }
        let is_behind =
            |bolt: &&Prepared<'_, PreparedBolt>| behind[1..].contains(&bolt.component.id.as_str());
        for bolt in bolts.iter().filter(is_behind) {
            if let Some(topic) = bolt.made.topic.as_ref().filter(|topic| reads(topic)) {
                let path = bolt.component.path.key("topic");
                let message = format!(
                    "`{id}` reads the topic {} too: records would come round for ever",
                    topic.name
                );
                problems
                    .push(Problem::new(path, message).expected("a topic that it does not read"));
            }
        }
    }
}

/// What only one may write is written by one bolt: another one would wait for ever.
pub(super) fn no_target_has_two_owners(
    bolts: &[Prepared<'_, PreparedBolt>],
    problems: &mut Problems,
) {
    let mut owners: BTreeMap<&str, &Component> = BTreeMap::new();
    for bolt in bolts {
        let Some(target) = bolt.made.owns.as_deref() else {
            continue;
        };
        match owners.get(target) {
            None => {
                let _ = owners.insert(target, bolt.component);
            }
            Some(owner) => {
                let path = bolt.component.path.key("path");
                let message = format!("`{}` writes {target} too", owner.id);
                problems.push(
                    Problem::new(path, message)
                        .expected("another one, or all records as `inputs` of one bolt"),
                );
            }
        }
    }
}
