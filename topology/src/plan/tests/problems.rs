//! Mistakes of one component: all of them are said, and nothing that follows from them.

use serde_json::{Value, json};

use super::*;

#[test]
fn what_is_wrong_with_one_component_hides_nothing_of_the_others() {
    let unknown = "expected one of parse, set, route, part, lines, index, split, hole, letters";
    check(
        json!({
            "parse": {"type": "parze", "inputs": ["in"]},
            "route": {"type": "route", "inputs": ["parse"]},
            "mark": {"type": "sett", "inputs": ["route.rest"]},
            "index": {"type": "index", "inputs": ["route.error", "mark"]},
        }),
        &[
            &format!("bolts.mark.type: unknown type of bolt `sett`; {unknown}; did you mean set?"),
            &format!(
                "bolts.parse.type: unknown type of bolt `parze`; {unknown}; did you mean parse?"
            ),
            "bolts.index.inputs[0]: `route` has no stream `error`; expected one of rejected, errors, rest; did you mean errors?",
            "bolts.route: nobody consumes `route.errors`; expected a bolt with `inputs: [route.errors]`; a `blackhole` drops records by name",
        ],
    );
}

#[test]
fn a_dead_letter_that_is_wrong_is_all_that_is_said() {
    let file = json!({
        "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
        "bolts": {
            "parse": {"type": "parse", "inputs": ["in"]},
            "index": {"type": "index", "inputs": ["parse"]},
        },
        "dead_letter": {"type": "leters", "connection": "kafak"},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    let planned = plan(&spec, &registry(), 2, FilePath::new("."));
    let text = planned.map(|_| ()).expect_err("its type").to_string();
    assert!(text.starts_with("dead_letter.type: unknown type"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

/// The options of a bolt that stops at the first problem.
#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Write {
    #[serde(rename = "connection")]
    _connection: String,
    names: BTreeMap<String, String>,
    #[serde(rename = "size")]
    _size: u32,
    #[serde(default)]
    even: u32,
    #[serde(default)]
    rest: serde_json::Map<String, Value>,
}

fn prepare_write(
    component: &Component,
    prepare: &mut Prepare<'_>,
) -> Result<PreparedBolt, Problems> {
    let config: Write = spec::parse_config(&component.config, &component.path)?;
    let path = |option: &str| component.path.key(option);
    for (name, value) in &config.names {
        if value == "bad" {
            return Err(Problem::new(path("names").key(name), "bad").into());
        }
    }
    if config.rest.is_empty() {
        return Err(Problem::new(path("rest"), "empty").into());
    }
    for (name, value) in &config.rest {
        if value.is_array() {
            return Err(Problem::new(path("rest").key(name), "a list").into());
        }
    }
    if config.even % 2 == 1 {
        return Err(Problem::new(path("even"), "odd").into());
    }
    let _: Value = prepare.connection(component, "kafka")?;
    Ok(nothing())
}

#[test]
fn what_is_wrong_with_one_option_hides_nothing_of_the_others() {
    let mut registry = registry();
    registry.bolts.push(BoltType {
        schema: || schemars::schema_for!(Write),
        ..bolt_type("write", prepare_write)
    });
    let check = |options: Value, expected: &[&str]| {
        let mut bolt = json!({"type": "write", "inputs": ["in"], "on_rejected": "drop"});
        let bolt_options = bolt.as_object_mut().expect("an object");
        bolt_options.extend(options.as_object().expect("an object").clone());
        let file = json!({
            "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
            "bolts": {"parse": {"type": "parse", "inputs": ["in"], "on_rejected": "drop"}, "w": bolt,
                "end": {"type": "letters", "inputs": ["parse", "w"], "on_rejected": "drop"}},
            "connections": {"kafka": {"type": "kafka"}},
        });
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        let planned = plan(&spec, &registry, 2, FilePath::new("."));
        let text = planned.map(|_| ()).map_err(|problems| problems.to_string());
        let text = text.err().unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with("bolts.w"));
        assert_eq!(lines.collect::<Vec<_>>(), expected, "{options}");
    };
    let unknown = "unknown option; expected one of connection, even, names, rest, size";
    let kafka =
        "bolts.w.connection: unknown connection `kafak`; expected kafka; did you mean kafka?";
    // What is not read is no reason to stop, nor is what the type stops at.
    check(
        json!({"connection": "kafak", "names": {"a": "bad", "b": "ok", "c": "bad"}, "size": 1,
            "even": 3, "rest": {"x": [], "y": []}, "nothing": 1}),
        &[
            kafka,
            "bolts.w.even: odd",
            "bolts.w.names.a: bad",
            "bolts.w.names.c: bad",
            &format!("bolts.w.nothing: {unknown}"),
            "bolts.w.rest.x: a list",
            "bolts.w.rest.y: a list",
        ],
    );
    // An option that is spelled wrong is read as the one that was meant.
    check(
        json!({"connection": "kafak", "namse": {"a": "bad", "b": []}, "size": 7,
            "rest": {"x": 1}}),
        &[
            kafka,
            "bolts.w.names.a: bad",
            "bolts.w.names.b: found a list; expected a string",
            &format!("bolts.w.namse: {unknown}; did you mean names?"),
        ],
    );
    // A value that is missing or does not fit is replaced, and about its stand-in nothing is said.
    check(
        json!({"connection": "kafak", "size": "many", "even": 5, "rest": {"x": []}}),
        &[
            "bolts.w: `names` is missing; expected a mapping",
            kafka,
            "bolts.w.even: odd",
            "bolts.w.rest.x: a list",
            "bolts.w.size: found the string \"many\"; expected a whole number",
        ],
    );
}

#[test]
fn an_unknown_input_hides_nothing_of_the_rest() {
    let file = json!({
        "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}, "idle": {"type": "script"}},
        "bolts": {
            "parse": {"type": "parse", "inputs": ["in"]},
            "route": {"type": "route", "inputs": ["parse"]},
            "mark": {"type": "sett", "inputs": ["route.rest"], "on_rejected": "drop"},
            "more": {"type": "sett", "inputs": ["parse"]},
            "index": {"type": "index", "inputs": ["nosuch", {"from": "mark", "grouping": "shufle"}]},
        },
    });
    let lines = |file: &Value| {
        let (spec, problems) = Spec::read_all(&Node::from_json(file));
        let planned = plan_after(problems, &spec, &registry(), 2, FilePath::new("."));
        let text = planned.map(|_| ()).expect_err("wrong").to_string();
        let short = |line: &str| line.split(';').next().unwrap_or_default().to_owned();
        text.lines().map(short).collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&file),
        [
            "bolts.mark.type: unknown type of bolt `sett`",
            "bolts.more.type: unknown type of bolt `sett`",
            "bolts.index: records that it rejects lead nowhere",
            "bolts.index.inputs[0]: unknown input `nosuch`",
            "bolts.index.inputs[1].grouping: found the string \"shufle\"",
            "bolts.more: records that it rejects lead nowhere",
            "bolts.parse: records that it rejects lead nowhere",
            "bolts.route: nobody consumes `route.errors`",
            "bolts.route: records that it rejects lead nowhere",
            "spouts.idle: nobody consumes `idle`",
        ]
    );
    // Of what was not read at all anything may be consumed.
    for missing in [
        json!({"bolts": {"index": {"type": "index", "inputs": [7]}}}),
        json!({"bolts": {"index": {"type": "index"}}}),
        json!({"bolts": {"index": 7}}),
        json!({"dead_letter": 7}),
        json!({"dead_leter": {"type": "letters"}}),
    ] {
        let mut file = file.clone();
        for (section, change) in missing.as_object().expect("an object") {
            match change.as_object().filter(|_| section == "bolts") {
                Some(bolts) => {
                    let of_file = file["bolts"].as_object_mut().expect("an object");
                    of_file.extend(bolts.clone());
                }
                None => file[section] = change.clone(),
            }
        }
        let found = lines(&file);
        let is_of_graph = |line: &String| line.contains("nobody") || line.contains("nowhere");
        assert!(!found.iter().any(is_of_graph), "{missing}: {found:?}");
    }
}

#[test]
fn a_bolt_that_takes_the_name_of_a_spout_is_all_that_is_said() {
    let file = json!({
        "isobar": 1, "name": "t", "spouts": {"logs": {"type": "script"}},
        "bolts": {
            "parse": {"type": "parse", "inputs": ["logs"]},
            "logs": {"type": "index", "inputs": ["parse"]},
        },
        "dead_letter": {"type": "letters"},
    });
    let (spec, problems) = Spec::read_all(&Node::from_json(&file));
    let planned = plan_after(problems, &spec, &registry(), 2, FilePath::new("."));
    let text = planned.map(|_| ()).expect_err("the name").to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("bolts.logs: the id `logs` is taken"),
        "{text}"
    );
}

#[test]
fn rejected_records_lead_somewhere_or_say_why_not() {
    let file = json!({
        "isobar": 1, "name": "t", "spouts": {"in": {"type": "script"}},
        "bolts": {
            "parse": {"type": "parse", "inputs": ["in"]},
            "index": {"type": "index", "inputs": ["parse"], "on_rejected": "drop"},
        },
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    let planned = plan(&spec, &registry(), 2, FilePath::new("."));
    let text = planned.map(|_| ()).expect_err("parse.rejected").to_string();
    assert_eq!(
        text,
        "bolts.parse: records that it rejects lead nowhere; expected a `dead_letter` of the topology, a bolt with `inputs: [parse.rejected]`, or `on_rejected: drop`"
    );
}

#[test]
fn rejected_records_are_dropped_for_want_of_room_on_none_of_their_ways() {
    let bolts = |between: Value, from: Value| {
        json!({
            "parse": {"type": "parse", "inputs": ["in"]},
            "by_class": {"type": "part", "inputs": ["parse", "parse.rejected"]},
            "more": {"type": "part", "inputs": [between]},
            "bad": {"type": "letters", "inputs": [from]},
            "again": {"type": "parse", "inputs": ["more.odd"]},
            "end": {"type": "index", "inputs": [{"from": "again", "on_full": "drop_newest"}]},
        })
    };
    let refused = |to: &str, from: &str| {
        format!(
            "bolts.{to}.inputs[0].on_full: rejected records come to `{to}` by way of `{from}`, and are not dropped for want of room; expected block, `on_rejected: drop` at the bolt that rejects them, or a way of their own for them"
        )
    };
    let along = |on_full: Value| json!({"from": "by_class.odd", "on_full": on_full});
    for on_full in [
        json!("drop_newest"),
        json!("drop_oldest"),
        json!({"sample": "10%"}),
    ] {
        let plain = json!("by_class.odd");
        check(
            bolts(plain.clone(), along(on_full.clone())),
            &[&refused("bad", "by_class")],
        );
        check(
            bolts(along(on_full), plain),
            &[&refused("more", "by_class")],
        );
    }
    // They may be slowed down; and what a parser made of them is dropped as other records are.
    let slowly = json!({"from": "more.odd", "on_full": "block", "throttle": "10/s"});
    check(bolts(along(json!("block")), slowly), &[]);
}
