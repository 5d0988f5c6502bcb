//! Plans of small specifications over a registry of operators that do nothing.

mod problems;

use serde_json::{Value, json};

use super::*;
use crate::operator::{AnyBolt, Next};
use crate::registry::{BoltType, DocumentUse, Example, LetterUse, SpoutType, Topic};
use crate::spec::Node;
use crate::testing::{FnBolt, Script};

fn nothing() -> PreparedBolt {
    PreparedBolt::new(Arc::new(|_| -> AnyBolt { FnBolt::any(|_, _| Ok(())) }))
}

fn bolt_type(
    name: &'static str,
    prepare: fn(&Component, &mut Prepare<'_>) -> Result<PreparedBolt, Problems>,
) -> BoltType {
    BoltType {
        name,
        schema: || schemars::schema_for!(serde_json::Map<String, Value>),
        example: Example::of("", &[]),
        side_effects: false,
        deterministic: true,
        prepare,
    }
}

fn registry() -> Registry {
    Registry {
        connections: Vec::new(),
        spouts: vec![SpoutType {
            name: "script",
            schema: || schemars::schema_for!(serde_json::Map<String, Value>),
            example: "",
            prepare: |_, _| {
                Ok(PreparedSpout {
                    start: Box::new(|_| Ok(vec![Box::new(|| Script::spout([Next::End]))])),
                    max_in_flight_records: 10,
                    max_in_flight_bytes: 1000,
                    batch_bytes: 100,
                    max_uncommitted: 10,
                    reads: None,
                    memory: 0,
                    facts: Vec::new(),
                })
            },
        }],
        bolts: vec![
            bolt_type("parse", |_, _| {
                Ok(PreparedBolt {
                    document: DocumentUse::Makes,
                    ..nothing()
                })
            }),
            bolt_type("set", |_, _| Ok(nothing())),
            bolt_type("route", |_, _| {
                Ok(PreparedBolt {
                    emits: false,
                    streams: vec!["errors".to_owned(), "rest".to_owned()],
                    ..nothing()
                })
            }),
            bolt_type("part", |_, _| {
                Ok(PreparedBolt {
                    emits: false,
                    streams: vec!["odd".to_owned()],
                    document: DocumentUse::Any,
                    ..nothing()
                })
            }),
            bolt_type("lines", |_, _| {
                Ok(PreparedBolt {
                    emits: false,
                    letters: LetterUse::Writes,
                    ..nothing()
                })
            }),
            bolt_type("index", |_, _| {
                Ok(PreparedBolt {
                    emits: false,
                    writes: Some("the index".to_owned()),
                    ..nothing()
                })
            }),
            bolt_type("split", |_, _| {
                Ok(PreparedBolt {
                    parts_per_lane: 10,
                    document: DocumentUse::Unmakes("field: NAME"),
                    ..nothing()
                })
            }),
            bolt_type("hole", |_, _| {
                Ok(PreparedBolt {
                    emits: false,
                    rejects: false,
                    document: DocumentUse::Any,
                    ..nothing()
                })
            }),
            bolt_type("letters", |_, _| {
                Ok(PreparedBolt {
                    emits: false,
                    document: DocumentUse::Any,
                    ..nothing()
                })
            }),
        ],
    }
}

fn planned(bolts: Value) -> Result<Plan, Problems> {
    let file = json!({
        "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
        "bolts": bolts, "dead_letter": {"type": "letters"},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    plan(&spec, &registry(), 2, FilePath::new("."))
}

fn check(bolts: Value, expected: &[&str]) {
    let problems = planned(bolts).map(|_| ()).map_err(|p| p.to_string());
    let text = problems.err().unwrap_or_default();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn local_edges_are_fused_and_rejected_ones_are_not() {
    let plan = planned(json!({
        "parse": {"type": "parse", "inputs": ["in"]},
        "route": {"type": "route", "inputs": ["parse"]},
        "mark": {"type": "set", "inputs": ["route.errors"]},
        "index": {"type": "index", "inputs": ["mark", "route.rest"]},
    }))
    .expect("sound");
    assert_eq!(plan.graph.tasks(), [0, 0, 0, 0, 4]);
    let edges: Vec<(&str, &str, bool)> = plan
        .report
        .edges
        .iter()
        .map(|edge| (edge.from.as_str(), edge.to.as_str(), edge.fused))
        .collect();
    assert!(edges.contains(&("route.errors", "mark", true)));
    assert!(edges.contains(&("parse.rejected", "dead_letter", false)));
    assert!(
        !edges
            .iter()
            .any(|(from, ..)| *from == "dead_letter.rejected")
    );
}

#[test]
fn rejected_records_are_dead_letters_where_they_end() {
    let plan = planned(json!({
        "parse": {"type": "parse", "inputs": ["in"]},
        "index": {"type": "index", "inputs": ["parse"]},
        "part": {"type": "part", "inputs": ["parse.rejected"]},
        "letters": {"type": "letters", "inputs": ["part.odd", "index.rejected"]},
        "again": {"type": "parse", "inputs": ["letters.rejected"]},
        "more": {"type": "letters", "inputs": ["again"]},
        "hole": {"type": "hole", "inputs": ["part.odd", "more.rejected"]},
    }))
    .expect("sound");
    let graph = &plan.graph;
    let id = |bolt: usize| &*graph.bolts[bolt].id;
    let edges = graph.bolts.iter().flat_map(|bolt| {
        let targets = bolt.targets();
        targets.map(|(_, target)| (&*bolt.id, id(target.bolt), target.dead_letter))
    });
    let edges: Vec<(&str, &str, bool)> = edges.collect();
    assert!(edges.contains(&("parse", "part", false)));
    assert!(edges.contains(&("index", "letters", true)));
    // What passes records on leaves them what they are, and a parser does not.
    assert!(edges.contains(&("part", "letters", true)));
    assert!(edges.contains(&("again", "more", false)));
    // Who leads them to where nothing is written drops them by name.
    assert!(edges.contains(&("part", "hole", false)));
    assert!(edges.contains(&("more", "hole", true)));
    assert!(edges.contains(&("part", "dead_letter", true)));
}

#[test]
fn dead_letters_need_no_document_on_their_way_to_what_writes_them() {
    let bolts = |sink: &str, inputs: Value| {
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "part": {"type": "part", "inputs": ["parse.rejected"]},
            "hole": {"type": "hole", "inputs": ["part.odd"]},
            "sink": {"type": sink, "inputs": inputs},
            "end": {"type": "index", "inputs": ["parse"]},
        })
    };
    let lacks = "bolts.sink.inputs: `sink` works on documents, and some of its records have none; expected a parser such as parse_json on every way to it";
    check(bolts("lines", json!(["part.odd"])), &[]);
    check(
        bolts("lines", json!(["parse", "part.odd", "parse.rejected"])),
        &[],
    );
    check(bolts("lines", json!(["part.odd", "in"])), &[lacks]);
    check(bolts("index", json!(["part.odd"])), &[lacks]);
}

#[test]
fn a_sink_of_documents_takes_no_dead_letters() {
    let what = |sink: &str| {
        format!(
            "dead letters come to `{sink}`, and `index` writes documents alone: a rejected record is without its document; expected a bolt that writes dead letters, such as `kafka` or `file`, or a parser such as parse_json between"
        )
    };
    for inputs in [
        json!(["parse", "parse.rejected"]),
        json!(["parse", "end.rejected"]),
    ] {
        let from = inputs[1].clone();
        let bolts = json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "end": {"type": "letters", "inputs": ["parse"]},
            "sink": {"type": "index", "inputs": inputs},
        });
        let from = from.as_str().expect("a text");
        let problem = format!("bolts.sink.inputs[1]: {} {from} and `sink`", what("sink"));
        check(bolts, &[&problem]);
    }
    // A parser makes documents of them.
    check(
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "again": {"type": "parse", "inputs": ["parse.rejected"]},
            "end": {"type": "index", "inputs": ["parse", "again"]},
        }),
        &[],
    );
    let file = json!({
        "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
        "bolts": {
            "parse": {"type": "parse", "inputs": ["in"]},
            "end": {"type": "letters", "inputs": ["parse"]},
        },
        "dead_letter": {"type": "index"},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    let planned = plan(&spec, &registry(), 2, FilePath::new("."));
    let problems = planned.map(|_| ()).expect_err("it writes none").to_string();
    let problem = format!(
        "dead_letter.type: {} what is rejected and `dead_letter`",
        what("dead_letter")
    );
    assert_eq!(problems.lines().next(), Some(&*problem));
}

#[test]
fn what_cannot_reject_has_no_way_for_rejected_records() {
    let registry = registry();
    let spec = Spec::read(&Node::from_json(&json!({
        "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
        "bolts": {
            "parse": {"type": "parse", "inputs": ["in"], "on_rejected": "drop"},
            "hole": {"type": "hole", "inputs": [{"from": "parse", "grouping": "all"}]},
        },
    })));
    let plan = plan(&spec.expect("sound"), &registry, 2, FilePath::new("."));
    let edges = plan.expect("no dead letter is missing").report.edges;
    let edges = edges.iter().map(|edge| edge.from.as_str());
    assert_eq!(edges.collect::<Vec<_>>(), ["in", "parse"]);
}

#[test]
fn shuffled_edges_head_tasks_of_their_own() {
    let plan = planned(json!({
        "parse": {"type": "parse", "inputs": ["in"]},
        "set": {"type": "set", "inputs": [{"from": "parse", "grouping": "shuffle"}]},
        "index": {"type": "index", "inputs": [{"from": "set", "grouping": {"fields": ["doc.a.b", "kafka.key"]}}]},
    }))
    .expect("sound");
    assert_eq!(plan.graph.tasks(), [0, 1, 2, 3]);
}

#[test]
fn bounded_edges_have_queues_and_a_plan_says_what_is_dropped() {
    let file = json!({
        "isobar": 1, "name": "t",
        "spouts": {"in": {"type": "script", "throttle": "100/s", "on_full": "drop_newest"}},
        "bolts": {
            "parse": {"type": "parse", "inputs": ["in"]},
            "set": {"type": "set", "inputs": [{"from": "parse", "on_full": {"sample": "25%"}}]},
            "index": {"type": "index", "inputs": [{"from": "set", "throttle": "10/m"}]},
        },
        "dead_letter": {"type": "letters"},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    let plan = plan(&spec, &registry(), 2, FilePath::new(".")).expect("sound");
    assert_eq!(plan.graph.tasks()[..3], [0, 1, 2]);
    let report = &plan.report;
    assert_eq!(report.policies, ["in.drop_newest", "set.sample"]);
    assert_eq!(report.lossy, report.policies);
    let edges: Vec<(&str, Option<String>, Option<&str>)> = (report.edges.iter())
        .filter(|edge| !edge.from.ends_with("rejected"))
        .map(|edge| {
            let throttle = edge.throttle.map(|rate| rate.to_string());
            (edge.to.as_str(), throttle, edge.on_full.as_deref())
        })
        .collect();
    let expected = [
        ("parse", None, None),
        ("set", None, Some("sample 25%")),
        ("index", Some("10/m".to_owned()), None),
    ];
    assert_eq!(edges, expected);
    let facts = &report.nodes[0].facts;
    let facts: Vec<String> = facts
        .iter()
        .map(|(what, value)| format!("{what}: {value}"))
        .collect();
    assert_eq!(
        facts,
        [
            "throttle: reads at most 100/s, the rest waits at the source",
            "on_full: drops records that come while there is no room in flight: lossy",
        ]
    );
}

#[test]
fn what_leads_nowhere_or_arrives_twice_is_refused() {
    check(
        json!({"parse": {"type": "parse", "inputs": ["in"]}}),
        &[
            "bolts.parse: nobody consumes `parse`; expected a bolt with `inputs: [parse]`; a `blackhole` drops records by name",
        ],
    );
    check(
        json!({"index": {"type": "index", "inputs": ["in"]}}),
        &[
            "bolts.index.inputs: `index` works on documents, and some of its records have none; expected a parser such as parse_json on every way to it",
        ],
    );
    check(
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "route": {"type": "route", "inputs": ["parse"]},
            "index": {"type": "index", "inputs": ["route.error", "route.rest"]},
        }),
        &[
            "bolts.index.inputs[0]: `route` has no stream `error`; expected one of rejected, errors, rest; did you mean errors?",
            "bolts.route: nobody consumes `route.errors`; expected a bolt with `inputs: [route.errors]`; a `blackhole` drops records by name",
        ],
    );
    check(
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "set": {"type": "set", "inputs": ["parse"]},
            "index": {"type": "index", "inputs": ["parse", "set"]},
        }),
        &[
            "bolts.index.inputs: records of `parse` reach the index on two ways: both copies have the same id, the second would be taken for the first; expected one way to each target, or targets that differ",
        ],
    );
    check(
        json!({"parse": {"type": "parze", "inputs": ["in"]}}),
        &[
            "bolts.parse.type: unknown type of bolt `parze`; expected one of parse, set, route, part, lines, index, split, hole, letters; did you mean parse?",
        ],
    );
}

#[test]
fn inputs_that_do_not_exist_are_told_those_that_do() {
    let bolts = |inputs: Value| {
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "route": {"type": "route", "inputs": ["parse"]},
            "index": {"type": "index", "inputs": ["route.errors", "route.rest"]},
            "last": {"type": "set", "inputs": inputs},
            "end": {"type": "letters", "inputs": ["last"]},
        })
    };
    check(
        bolts(json!(["route"])),
        &[
            "bolts.last.inputs[0]: `route` has only named streams; expected one of route.errors, route.rest, route.rejected",
        ],
    );
    check(
        bolts(json!(["index"])),
        &[
            "bolts.last.inputs[0]: `index` is a sink: it emits only what it rejects; expected another input, or index.rejected",
        ],
    );
    let unknown = |input: &str, nearest: &str| {
        let file = json!({
            "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
            "bolts": bolts(json!([input])), "dead_letter": {"type": "letters"},
        });
        let (spec, problems) = Spec::read_all(&Node::from_json(&file));
        let planned = plan_after(problems, &spec, &registry(), 2, FilePath::new("."));
        let problems = planned.map(|_| ()).expect_err("unknown").to_string();
        assert_eq!(
            problems,
            format!(
                "bolts.last.inputs[0]: unknown input `{}`; expected one of in, parse, route.errors, route.rest{nearest}",
                input.split('.').next().unwrap_or_default()
            )
        );
    };
    unknown("nobody", "");
    unknown("prase", "; did you mean parse?");
    unknown("prase.rejected", "; did you mean parse?");
    unknown("rotue.rest", "; did you mean route.rest?");
}

#[test]
fn nothing_follows_from_a_cycle() {
    let file = json!({
        "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
        "bolts": {
            "parse": {"type": "parse", "inputs": ["in", "parse"]},
            "index": {"type": "index", "inputs": ["parse"]},
        },
        "dead_letter": {"type": "letters"},
    });
    let (spec, problems) = Spec::read_all(&Node::from_json(&file));
    let planned = plan_after(problems, &spec, &registry(), 2, FilePath::new("."));
    assert_eq!(
        planned.map(|_| ()).expect_err("a cycle").to_string(),
        "bolts.parse.inputs: the bolts form a cycle: parse → parse; expected a graph in which records only move forward"
    );
}

#[test]
fn copies_for_every_lane_reach_nothing_that_takes_a_second_one_for_the_first() {
    let all = |from: &str| json!({"from": from, "grouping": "all"});
    let expected =
        "expected another grouping: `all` is for bolts that lead to no index and no dead letters";
    check(
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "set": {"type": "set", "inputs": [all("parse")]},
            "index": {"type": "index", "inputs": ["set"]},
            "letters": {"type": "letters", "inputs": [all("index.rejected")]},
        }),
        &[
            &format!(
                "bolts.letters.inputs: with `grouping: all` every lane has a copy of the records of `index`, and all copies reach dead letters; {expected}"
            ),
            &format!(
                "bolts.set.inputs: with `grouping: all` every lane has a copy of the records of `parse`, and all copies reach the index; {expected}"
            ),
        ],
    );
    check(
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "index": {"type": "index", "inputs": ["parse"]},
            "part": {"type": "part", "inputs": [all("parse.rejected")]},
            "letters": {"type": "letters", "inputs": ["part.odd"]},
        }),
        &[&format!(
            "bolts.part.inputs: with `grouping: all` every lane has a copy of the records of `parse`, and all copies reach dead letters; {expected}"
        )],
    );
    // Nor dead letters, be they of the first bolt behind the edge or of one behind that.
    let copies = |set: Option<&str>| {
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "set": {"type": "set", "inputs": [all("parse")], "on_rejected": set},
            "end": {"type": "letters", "inputs": ["set"]},
        })
    };
    for (set, bolt) in [(None, "set"), (Some("drop"), "end")] {
        let mut bolts = copies(set);
        let options = bolts["set"].as_object_mut().expect("a mapping");
        options.retain(|_, option| !option.is_null());
        check(
            bolts,
            &[&format!(
                "bolts.set.inputs: with `grouping: all` every lane has a copy of the records of `parse`, and what `{bolt}` rejects would be one dead letter for each lane; expected another grouping, or `on_rejected: drop` in `{bolt}`"
            )],
        );
    }
    let plan = planned(json!({
        "parse": {"type": "parse", "inputs": ["in"]},
        "all": {"type": "letters", "inputs": [all("parse")], "on_rejected": "drop"},
        "one": {"type": "letters", "inputs": [{"from": "parse", "grouping": "global"}]},
        "two": {"type": "letters", "inputs": [{"from": "parse", "grouping": {"partial_key": ["doc.a"]}}]},
    }))
    .expect("sound");
    assert_eq!(plan.graph.tasks(), [0, 1, 2, 3, 4]);
    let edges = plan.report.edges.iter();
    let spread = edges.filter(|edge| edge.from == "parse");
    let spread: Vec<(&str, bool, bool)> = spread
        .map(|edge| (edge.grouping, edge.ordered, edge.fused))
        .collect();
    assert_eq!(
        spread,
        [
            ("all", true, false),
            ("global", true, false),
            ("partial_key", false, false)
        ]
    );
    assert_eq!(plan.report.notes.len(), 0);
}

#[test]
fn bolts_that_compare_records_say_so_where_those_that_are_alike_may_come_apart() {
    let mut registry = registry();
    registry.bolts.push(bolt_type("compare", |_, _| {
        Ok(PreparedBolt {
            alike: Some(vec!["doc.a".to_owned(), "doc.b".to_owned()]),
            ..nothing()
        })
    }));
    registry.bolts.push(bolt_type("count", |_, _| {
        Ok(PreparedBolt {
            alike: Some(vec!["kafka.key".to_owned()]),
            ..nothing()
        })
    }));
    let notes = |grouping: Value, lanes: usize| {
        let file = json!({
            "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
            "bolts": {
                "parse": {"type": "parse", "inputs": ["in"]},
                "set": {"type": "set", "inputs": [{"from": "parse", "grouping": grouping}]},
                "once": {"type": "compare", "inputs": ["set"]},
                // What Kafka has on one partition is on one lane.
                "count": {"type": "count", "inputs": ["parse"]},
                "index": {"type": "index", "inputs": ["once"]},
                "end": {"type": "letters", "inputs": ["count"]},
            },
            "dead_letter": {"type": "letters"},
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        let plan = plan(&spec, &registry, lanes, FilePath::new(".")).expect("sound");
        plan.report.notes
    };
    for together in [
        json!("global"),
        json!({"fields": ["doc.b"]}),
        json!({"fields": ["doc.a.inner", "doc.b"]}),
    ] {
        assert_eq!(notes(together.clone(), 4), [""; 0], "{together}");
    }
    for apart in [
        json!("local"),
        json!("shuffle"),
        json!({"partial_key": ["doc.a"]}),
        json!({"fields": ["doc.a", "doc.c"]}),
        json!({"fields": ["doc.ab"]}),
        json!({"fields": ["kafka.key"]}),
    ] {
        let notes_of = |lanes| notes(apart.clone(), lanes);
        assert_eq!(
            notes_of(4),
            [
                "`once` knows what came on its own lane, and records that are alike may come on any of 4 lanes: `grouping: {fields: [doc.a, doc.b]}` or `grouping: global` brings them to one, unless the key of the records does"
            ],
            "{apart}"
        );
        assert_eq!(notes_of(1), [""; 0], "{apart}");
    }
}

#[test]
fn what_is_split_as_text_has_no_document_and_numbers_of_parts_have_room_for_four_splits() {
    check(
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "split": {"type": "split", "inputs": ["parse"]},
            "again": {"type": "parse", "inputs": ["split"]},
            "index": {"type": "index", "inputs": ["again"]},
        }),
        &[],
    );
    // What comes behind is not said again.
    let bolts = |split: &str| {
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "split": {"type": "split", "inputs": [split]},
            "part": {"type": "part", "inputs": ["split"]},
            "set": {"type": "set", "inputs": ["part.odd"]},
            "index": {"type": "index", "inputs": ["set"]},
            "other": {"type": "letters", "inputs": ["parse"]},
        })
    };
    let text = "bolts.split: it makes records of text, and `set` works on documents; expected";
    let parser = "a parser such as parse_json between `split` and `set`";
    check(
        bolts("parse"),
        &[&format!(
            "{text} `field: NAME`, which leaves documents, or {parser}"
        )],
    );
    check(bolts("in"), &[&format!("{text} {parser}")]);
    check(
        json!({
            "a": {"type": "split", "inputs": ["in"]},
            "b": {"type": "split", "inputs": ["a", "a.rejected"]},
            "c": {"type": "split", "inputs": ["in", "b"]},
            "d": {"type": "split", "inputs": ["c"]},
            "e": {"type": "split", "inputs": ["d"]},
            "f": {"type": "split", "inputs": ["e"]},
            "end": {"type": "letters", "inputs": ["f"]},
        }),
        &[
            "bolts.e: `e` splits records that 4 bolts before it have split; expected at most 4 bolts that split records, one behind the other",
        ],
    );
}

#[test]
fn records_do_not_come_round_and_files_have_one_writer() {
    let mut registry = registry();
    registry.spouts[0].prepare = |component, _| {
        let own = component.id.clone();
        Ok(PreparedSpout {
            start: Box::new(|_| Ok(vec![Box::new(|| Script::spout([Next::End]))])),
            max_in_flight_records: 10,
            max_in_flight_bytes: 1000,
            batch_bytes: 100,
            max_uncommitted: 10,
            reads: Some(Box::new(move |topic| topic.name == own)),
            memory: 0,
            facts: Vec::new(),
        })
    };
    registry.bolts.push(bolt_type("topic", |component, _| {
        let name = component.config.get("topic").and_then(|node| node.text());
        Ok(PreparedBolt {
            emits: false,
            document: DocumentUse::Any,
            topic: name.map(|name| Topic {
                brokers: Vec::new(),
                name: name.to_owned(),
            }),
            owns: component
                .config
                .get("file")
                .map(|_| "the file f".to_owned()),
            ..nothing()
        })
    }));
    let check = |bolts: Value, dead_letter: Value, expected: &[&str]| {
        let file = json!({
            "isobar": 1, "name": "t",
            "spouts": {"a": {"type": "script"}, "b": {"type": "script"}},
            "bolts": bolts, "dead_letter": dead_letter,
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        let planned = plan(&spec, &registry, 2, FilePath::new("."));
        let text = planned.map(|_| ()).map_err(|problems| problems.to_string());
        let text = text.err().unwrap_or_default();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    };
    let round = "reads the topic a too: records would come round for ever; expected a topic that it does not read";
    let bolts = |parsed: &str, other: &str| {
        json!({
            "parse": {"type": "parse", "inputs": ["a"]},
            "out": {"type": "topic", "inputs": ["parse"], "topic": parsed},
            "other": {"type": "topic", "inputs": ["b"], "topic": other},
        })
    };
    // From one spout's topic to another's is a way, not a circle.
    check(bolts("b", "c"), json!({"type": "topic", "topic": "d"}), &[]);
    check(
        bolts("a", "c"),
        json!({"type": "topic", "topic": "a"}),
        &[
            &format!("bolts.out.topic: `a` {round}"),
            &format!("dead_letter.topic: `a` {round}"),
        ],
    );
    check(
        json!({
            "one": {"type": "topic", "inputs": ["a"], "file": "f"},
            "two": {"type": "topic", "inputs": ["b"], "file": "f"},
        }),
        json!({"type": "letters"}),
        &[
            "bolts.two.path: `one` writes the file f too; expected another one, or all records as `inputs` of one bolt",
        ],
    );
}

#[test]
fn what_bolts_copy_of_a_batch_has_room_in_the_plan() {
    let planned = |bolts: Value| {
        let file = json!({
            "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
            "bolts": bolts, "dead_letter": {"type": "letters"},
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        plan(&spec, &registry(), 2, FilePath::new(".")).expect("sound")
    };
    let in_flight = |bolts: Value| planned(bolts).report.memory.in_flight;
    let parse = || json!({"type": "parse", "inputs": ["in"]});
    let end = |from: &str| json!({"type": "letters", "inputs": [from]});
    let one = in_flight(json!({"parse": parse(), "end": end("parse")}));
    // A batch of 100 bytes on each of two lanes, in a buffer that grew.
    let copy = 2 * 2 * 100;
    let set = |from: &str| json!({"type": "set", "inputs": [from]});
    let three = json!({"parse": parse(), "a": set("parse"), "b": set("a"), "end": end("b")});
    assert_eq!(in_flight(three) - one, 2 * copy);
    let branches = json!({
        "parse": parse(), "route": {"type": "route", "inputs": ["parse"]},
        "a": end("route.errors"), "b": end("route.rest"),
    });
    assert_eq!(in_flight(branches) - one, 3 * copy);
    let queue = json!({
        "parse": parse(),
        "end": {"type": "letters", "inputs": [{"from": "parse", "grouping": "shuffle"}]},
    });
    let queue_bytes = planned(queue.clone()).graph.queue_bytes;
    assert_eq!(in_flight(queue) - one, 2 * queue_bytes);
}
