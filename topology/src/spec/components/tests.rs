//! Topology files given as JSON, each with its problems.

use serde_json::json;

use super::*;

/// Reads a file given as JSON and compares its problems, line by line.
fn check(change: serde_json::Value, expected: &[&str]) {
    let mut file = json!({
        "isobar": 1,
        "name": "logs",
        "spouts": {"in": {"type": "kafka"}},
        "bolts": {
            "parse": {"type": "parse_json", "inputs": ["in"]},
            "index": {"type": "elasticsearch", "inputs": ["parse"]},
        },
    });
    merge(&mut file, change);
    let problems = match Spec::read(&Node::from_json(&file)) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    };
    assert_eq!(problems.lines().collect::<Vec<_>>(), expected);
}

fn merge(into: &mut serde_json::Value, change: serde_json::Value) {
    match (into, change) {
        (serde_json::Value::Object(into), serde_json::Value::Object(change)) => {
            for (key, value) in change {
                if value.is_null() {
                    let _ = into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(json!(null)), value);
                }
            }
        }
        (into, change) => *into = change,
    }
}

#[test]
fn a_sound_file_has_no_problems_and_bolts_sort_behind_their_inputs() {
    check(json!({}), &[]);
    let file = json!({
        "isobar": 1, "name": "x", "spouts": {"in": {"type": "kafka"}},
        "bolts": {
            "last": {"type": "blackhole", "inputs": ["route.errors", "first"]},
            "route": {"type": "route", "inputs": [{"from": "first", "grouping": {"fields": ["doc.host"]}}]},
            "first": {"type": "parse_json", "inputs": "in"},
        },
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    let order: Vec<&str> = spec.sorted_bolts().iter().map(|b| b.id.as_str()).collect();
    assert_eq!(order, ["first", "route", "last"]);
    let grouping = |grouping: serde_json::Value| {
        let mut file = file.clone();
        file["bolts"]["route"]["inputs"][0]["grouping"] = grouping;
        let spec = Spec::read(&Node::from_json(&file)).expect("sound");
        spec.bolts[1].inputs[0].grouping.clone()
    };
    let fields = || vec!["doc.a".to_owned()];
    for (written, expected) in [
        (json!("local"), Grouping::Local),
        (json!("shuffle"), Grouping::Shuffle),
        (json!("all"), Grouping::All),
        (json!("global"), Grouping::Global),
        (json!({"fields": "doc.a"}), Grouping::Fields(fields())),
        (
            json!({"partial_key": ["doc.a"]}),
            Grouping::PartialKey(fields()),
        ),
    ] {
        assert_eq!(grouping(written), expected);
    }
    let route = &spec.bolts[1].inputs[0];
    assert_eq!(
        route.grouping,
        Grouping::Fields(vec!["doc.host".to_owned()])
    );
}

#[test]
fn problems_of_the_whole_are_found() {
    check(
        json!({"isobar": 2}),
        &[
            "isobar: found the number 2; expected 1, the only version of the file's format that this program knows",
        ],
    );
    check(
        json!({"name": null, "spout": {}}),
        &[
            "`name` is missing; expected the topology's name: it names the consumer group and the metrics",
            "spout: unknown key; expected one of isobar, name, connections, spouts, bolts, dead_letter, settings, tests; did you mean spouts?",
        ],
    );
    check(
        json!({"settings": {"lane": 2, "max_attempts": 0}}),
        &[
            "settings.lane: unknown option; expected one of drain_timeout, lanes, max_attempts, queue_batches, queue_bytes, reject_limit, retry_initial, retry_max; did you mean lanes?",
            "settings.max_attempts: found the number 0; expected a number from 1 to 1000",
        ],
    );
}

#[test]
fn problems_of_components_are_found() {
    check(
        json!({"bolts": {"in": {"type": "x", "inputs": ["parse"]}}}),
        &[
            "bolts.in: the id `in` is taken by spouts.in; expected an id of its own: spouts and bolts share their names",
        ],
    );
    check(
        json!({"bolts": {"index": {"type": null}}}),
        &[
            "bolts.index: `type` is missing; expected the name of a type; `isobar operators` lists them",
        ],
    );
    check(
        json!({"bolts": {"index": {"inputs": ["parze"]}}}),
        &[
            "bolts.index.inputs[0]: unknown input `parze`; expected one of in, parse; did you mean parse?",
        ],
    );
    check(
        json!({"bolts": {"index": {"inputs": null}}}),
        &[
            "bolts.index.inputs: `inputs` is missing; expected a list of spouts, bolts or streams such as [parse, route.errors]",
        ],
    );
    check(
        json!({"bolts": {"index": {"inputs": [{"from": "parse", "grouping": "shufle"}]}}}),
        &[
            "bolts.index.inputs[0].grouping: found the string \"shufle\"; expected local, shuffle, all, global, {fields: [doc.host]} or {partial_key: [doc.host]}; did you mean shuffle?",
        ],
    );
    check(
        json!({"bolts": {"index": {"inputs": [{"from": "parse", "grouping": {"partial_kee": ["doc.a"]}}]}}}),
        &[
            "bolts.index.inputs[0].grouping: found a mapping; expected local, shuffle, all, global, {fields: [doc.host]} or {partial_key: [doc.host]}; did you mean partial_key?",
        ],
    );
    check(
        json!({"bolts": {"index": {"on_rejected": "keep"}}}),
        &[
            "bolts.index.on_rejected: found the string \"keep\"; expected drop; to keep rejected records, consume the stream or set dead_letter",
        ],
    );
}

#[test]
fn mistakes_in_a_grouping_are_told_apart() {
    let of = |grouping: serde_json::Value, at: &str, expected: &str| {
        check(
            json!({"bolts": {"index": {"inputs": [{"from": "parse", "grouping": grouping}]}}}),
            &[&format!("bolts.index.inputs[0].grouping{at}: {expected}")],
        );
    };
    let fields = "expected one or more fields such as [doc.host]";
    let none = format!("no fields are named; {fields}");
    of(json!({"fields": []}), ".fields", &none);
    of(json!({"partial_key": null}), ".partial_key", &none);
    of(json!("fields"), ".fields", &none);
    of(
        json!({"fields": ["doc.a", 7]}),
        ".fields",
        &format!("found the number 7; {fields}"),
    );
    of(
        json!({"fields": ["doc.a"], "partial_key": ["doc.b"]}),
        "",
        "found 2 groupings: `fields`, `partial_key`; expected one of them",
    );
    let known =
        "expected local, shuffle, all, global, {fields: [doc.host]} or {partial_key: [doc.host]}";
    of(
        json!({"shuffle": true}),
        "",
        &format!("found a mapping; {known}; did you mean shuffle?"),
    );
    let beside = |grouping: serde_json::Value, inputs: serde_json::Value, expected: &str| {
        check(
            json!({"bolts": {"index": {"inputs": inputs, "grouping": grouping}}}),
            &[&format!(
                "bolts.index.grouping: a grouping belongs to one input; expected `inputs: [{expected}]`"
            )],
        );
    };
    beside(
        json!("global"),
        json!(["parse"]),
        "{from: parse, grouping: global}",
    );
    beside(
        json!({"fields": "doc.a"}),
        json!(["parse.slow", "in"]),
        "{from: parse.slow, grouping: {fields: [doc.a]}}",
    );
    beside(
        json!({"fields": []}),
        json!("parse"),
        "{from: parse, grouping: shuffle}",
    );
}

#[test]
fn what_bounds_records_is_read_at_spouts_and_inputs() {
    let file = json!({
        "isobar": 1, "name": "x",
        "spouts": {"in": {"type": "kafka", "throttle": "5000/s", "on_full": {"sample": "10%"}}},
        "bolts": {"last": {"type": "blackhole", "inputs": [
            {"from": "in", "on_full": "drop_oldest"}, {"from": "in", "throttle": "30/m"},
        ]}},
    });
    let spec = Spec::read(&Node::from_json(&file)).expect("sound");
    let spout = spec.spouts[0].overload;
    assert_eq!(spout.throttle.map(|rate| rate.per_second()), Some(5_000.0));
    assert!(matches!(spout.on_full, OnFull::Sample(keep) if keep.get() == 0.1));
    let inputs = &spec.bolts[0].inputs;
    assert_eq!(inputs[0].overload.on_full, OnFull::DropOldest);
    assert_eq!(inputs[1].overload.throttle, "30/m".parse().ok());
    assert_eq!(
        spec.spouts[0].config.entries().len(),
        0,
        "no options of its type"
    );

    check(
        json!({"spouts": {"in": {"throttle": 5000, "on_full": "drop"}}}),
        &[
            "spouts.in.on_full: found the string \"drop\"; expected block, drop_newest or {sample: 10%}, the part that is kept",
            "spouts.in.throttle: found the number 5000; expected records in a time, such as 1000/s, 50/m or 10/h",
        ],
    );
    let part = "expected a part in whole percent, from 0% to 100%, such as 10%";
    for (sample, found) in [
        (json!("110%"), "string \"110%\""),
        (json!(0.1), "number 0.1"),
    ] {
        check(
            json!({"spouts": {"in": {"on_full": {"sample": sample}}}}),
            &[&format!(
                "spouts.in.on_full.sample: found the {found}; {part}"
            )],
        );
    }
    for (throttle, expected) in [
        (
            "0/s",
            "at least one record in a time, such as 1/s, 50/m or 10/h",
        ),
        (
            "1k/s",
            "a whole number of records in a time, such as 1000/s, 50/m or 10/h",
        ),
        (
            "4294967296/s",
            "at most 4294967295 records in a second, a minute or an hour, such as 1000/s",
        ),
        (
            "10/day",
            "records in a second, a minute or an hour, such as 1000/s, 50/m or 10/h",
        ),
        ("fast", "records in a time, such as 1000/s, 50/m or 10/h"),
    ] {
        check(
            json!({"spouts": {"in": {"throttle": throttle}}}),
            &[&format!(
                "spouts.in.throttle: found the string \"{throttle}\"; expected {expected}"
            )],
        );
    }
    check(
        json!({"bolts": {"index": {"inputs": ["parse.slow"], "throttle": "10/s", "on_full": {"sample": "5%"}}}}),
        &[
            "bolts.index.on_full: `on_full` belongs to a spout, or to one input of a bolt; expected `inputs: [{from: parse.slow, on_full: {sample: 5%}}]`",
            "bolts.index.throttle: `throttle` belongs to a spout, or to one input of a bolt; expected `inputs: [{from: parse.slow, throttle: 10/s}]`",
        ],
    );
    check(
        json!({"spouts": {"in": {"on_full": "drop_oldest"}}}),
        &[
            "spouts.in.on_full: the oldest records of a spout are with bolts and cannot be taken back; expected block, drop_newest or {sample: 10%}; drop_oldest is for inputs of bolts: {from: logs, on_full: drop_oldest}",
        ],
    );
    check(
        json!({"bolts": {"index": {"inputs": [
            "parse",
            {"from": "parse.rejected", "on_full": "drop_newest"},
            {"from": "parse", "on_fill": "block"},
            {"from": "parse", "grouping": "all", "on_full": {"sample": "10%"}},
            {"from": "parse", "grouping": "all", "throttle": "10/s", "on_full": "block"},
        ]}}}),
        &[
            "bolts.index.inputs[1].on_full: rejected records are not dropped for want of room; expected block, or `on_rejected: drop` at the bolt that rejects them",
            "bolts.index.inputs[2].on_fill: unknown option; expected from, grouping, throttle or on_full; did you mean on_full?",
            "bolts.index.inputs[3].on_full: with `grouping: all` every lane gets each record, and none of these copies is dropped for want of room; expected block, or another grouping",
        ],
    );
}

#[test]
fn nothing_follows_from_a_name_that_cannot_be_used() {
    for name in [json!("My logs"), json!(""), json!(7)] {
        let (spec, problems) = Spec::read_all(&Node::from_json(&json!({
            "isobar": 1, "name": name, "spouts": {"in": {"type": "kafka"}},
            "bolts": {"last": {"type": "blackhole", "inputs": ["in"]}},
        })));
        assert_eq!(problems.sorted().len(), 1);
        assert_eq!(spec.name, NO_NAME);
    }
}

#[test]
fn cycles_are_printed() {
    check(
        json!({"bolts": {"parse": {"inputs": ["in", "index"]}}}),
        &[
            "bolts.parse.inputs: the bolts form a cycle: parse → index → parse; expected a graph in which records only move forward",
        ],
    );
    check(
        json!({"bolts": {"parse": {"inputs": ["parse"]}}}),
        &[
            "bolts.parse.inputs: the bolts form a cycle: parse → parse; expected a graph in which records only move forward",
        ],
    );
    // A bolt behind an unknown input, or behind a cycle, forms none.
    check(
        json!({"bolts": {"parse": {"inputs": ["inn"]}, "more": {"type": "x", "inputs": ["index"]}}}),
        &[
            "bolts.parse.inputs[0]: unknown input `inn`; expected one of in, index, more; did you mean in?",
        ],
    );
    check(
        json!({"bolts": {
            "parse": {"inputs": ["in", "index"]},
            "a": {"type": "x", "inputs": ["index", "b"]},
            "b": {"type": "x", "inputs": ["in", "b"]},
        }}),
        &[
            "bolts.b.inputs: the bolts form a cycle: b → b; expected a graph in which records only move forward",
            "bolts.parse.inputs: the bolts form a cycle: parse → index → parse; expected a graph in which records only move forward",
        ],
    );
}

#[test]
fn a_component_with_problems_is_known_to_those_behind_it() {
    check(
        json!({"bolts": {"parse": {"type": null}}}),
        &[
            "bolts.parse: `type` is missing; expected the name of a type; `isobar operators` lists them",
        ],
    );
    let (spec, problems) = Spec::read_all(&Node::from_json(&json!({
        "isobar": 1, "name": "x", "spouts": {"in": {"type": "kafka"}}, "unknown": 1,
        "bolts": {"last": {"type": "blackhole", "inputs": ["in", "nobody"]}},
    })));
    assert_eq!(problems.sorted().len(), 2);
    assert_eq!(spec.sorted_bolts().len(), 1);
}

#[test]
fn waits_and_sizes_have_ranges() {
    let root = Node::from_json(&json!({
        "isobar": 1, "name": "x", "spouts": {"in": {"type": "kafka"}},
        "bolts": {"last": {"type": "blackhole", "inputs": ["in"]}},
        "settings": {"retry_initial": "0s", "retry_max": "0s", "queue_bytes": 0, "lanes": 0},
    }));
    let (_, problems) = Spec::read_all(&root);
    let text = problems.to_string();
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            "settings.lanes: found the number 0; expected a number from 1 to 255",
            "settings.queue_bytes: 0 is out of range; expected from 1KiB to 1GiB",
            "settings.retry_initial: 0ms is out of range; expected from 1ms to 1h",
            "settings.retry_max: 0ms is out of range; expected from 1ms to 1h",
        ]
    );
}

#[test]
fn a_first_wait_above_the_longest_one_is_said_where_it_was_written() {
    let check = |settings: serde_json::Value, expected: &str| {
        let root = Node::from_json(&json!({
            "isobar": 1, "name": "x", "spouts": {"in": {"type": "kafka"}},
            "bolts": {"last": {"type": "blackhole", "inputs": ["in"]}}, "settings": settings,
        }));
        assert_eq!(Spec::read_all(&root).1.to_string(), expected);
    };
    check(
        json!({"retry_initial": "1m"}),
        "settings.retry_initial: 1m is above `retry_max` (30s, the default); expected at most 30s, or a larger `retry_max`",
    );
    check(
        json!({"retry_initial": "2s", "retry_max": "1s"}),
        "settings.retry_initial: 2s is above `retry_max` (1s); expected at most 1s, or a larger `retry_max`",
    );
    check(
        json!({"retry_max": "50ms"}),
        "settings.retry_max: 50ms is below `retry_initial` (100ms, the default); expected at least 100ms, or a smaller `retry_initial`",
    );
    check(
        json!({"retry_initial": "1m", "retry_max": "soon"}),
        "settings.retry_max: found the string \"soon\"; expected a duration such as 500ms, 2s or 10m",
    );
    check(json!({"retry_initial": "1s", "retry_max": "1s"}), "");
}

#[test]
fn what_could_not_be_read_leads_to_no_further_problem() {
    let mut root = Node::from_json(&json!({
        "isobar": 1, "name": "?", "spouts": {"in": {"type": "?"}},
        "bolts": {"last": {"type": "x", "inputs": ["?", {"from": "?"}], "on_rejected": "?"}, "b": "?"},
        "settings": {"lanes": "?", "lane": 1},
    }));
    mark(&mut root, &mut 0);
    let (_, problems) = Spec::read_all(&root);
    assert_eq!(
        problems.to_string(),
        "settings.lane: unknown option; expected one of drain_timeout, lanes, max_attempts, queue_batches, queue_bytes, reject_limit, retry_initial, retry_max; did you mean lanes?"
    );
}

/// Gives each value a line of its own and makes each `?` unreadable.
fn mark(node: &mut Node, line: &mut u32) {
    *line += 1;
    node.place.line = *line;
    match &mut node.value {
        Value::String(text) if text == "?" => node.value = Value::Unreadable,
        Value::List(items) => items.iter_mut().for_each(|item| mark(item, line)),
        Value::Map(entries) => {
            for entry in entries {
                *line += 1;
                entry.key_place.line = *line;
                mark(&mut entry.node, line);
            }
        }
        _ => {}
    }
}
