//! The bolt's options: what is wrong with them, and what a plan tells.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use isobar_topology::spec::Problems;
use isobar_topology::testing::{Fate, Input, PreparedForTest};
use serde_json::{Value, json};

use super::*;
use crate::stand_in::{answer_with, request};

fn prepare_with(options: &Value) -> Result<PreparedForTest, Problems> {
    // Nobody listens there: port 9 is the discard service, which is not used any more.
    prepare_at("http://127.0.0.1:9", options)
}

fn prepare_at(host: &str, options: &Value) -> Result<PreparedForTest, Problems> {
    let mut all = json!({"connection": "search"});
    for (name, value) in options.as_object().expect("a mapping") {
        all[name] = value.clone();
    }
    let connections = json!({"search": {"type": "elasticsearch", "hosts": [host]}});
    PreparedForTest::with_connections(&TYPE, &all, &connections, Path::new("."))
}

/// What is wrong with these options.
fn problems(options: &Value) -> Vec<String> {
    match prepare_with(options) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.sorted().iter().map(ToString::to_string).collect(),
    }
}

fn fact(options: &Value, what: &str) -> String {
    let prepared = prepare_with(options).expect("sound options").prepared;
    let found = prepared.facts.into_iter().find(|(name, _)| name == what);
    found.unwrap_or_else(|| panic!("no fact {what}")).1
}

#[test]
fn what_is_wrong_is_said_at_the_option() {
    for (options, starts) in [
        (
            json!({}),
            &["bolts.bolt: neither `index` nor `data_stream` is given"][..],
        ),
        (
            json!({"index": "a", "data_stream": "b"}),
            &["bolts.bolt.data_stream: `index` and `data_stream` are both given"],
        ),
        (
            json!({"index": "Logs"}),
            &["bolts.bolt.index: the name is not all lower case"],
        ),
        (
            json!({"index": "Logs-{{ event_time.format('%Y') }}"}),
            &["bolts.bolt.index: the name is not all lower case"],
        ),
        (
            json!({"index": "logs-%Y.%m.%d"}),
            &[
                "bolts.bolt.index: `%Y.%m.%d` stands for itself here; expected an expression, such as logs-{{ event_time.format('%Y.%m.%d') }}",
            ],
        ),
        (
            json!({"data_stream": "logs-{{ doc.app }}-%d"}),
            &["bolts.bolt.data_stream: `%d` stands for itself here"],
        ),
        (
            json!({"data_stream": "_x", "op": "index"}),
            &[
                "bolts.bolt.data_stream: the name starts with",
                "bolts.bolt.op: a data stream takes no replacements",
            ],
        ),
        (
            json!({"index": "a", "op": "index", "id": "auto"}),
            &["bolts.bolt.op: a document whose id the cluster makes replaces none"],
        ),
        (
            json!({"index": "a", "id": "deterministc"}),
            &["bolts.bolt.id: every document would have the same id"],
        ),
        (
            json!({"index": "a-{{ nonsense }", "id": "{{ doc. }}", "routing": "{{ ] }}"}),
            &[
                "bolts.bolt.id: ",
                "bolts.bolt.index: ",
                "bolts.bolt.routing: ",
            ],
        ),
        (
            json!({"index": "a", "origin": {"field": "_id"}}),
            &["bolts.bolt.origin.field: the field cannot be named `_id`"],
        ),
        (
            json!({"index": "a", "origin": {"field": "a.b"}}),
            &["bolts.bolt.origin.field: `a.b` looks like a field inside of `a`"],
        ),
        (
            json!({"index": "a", "pipeline": " "}),
            &["bolts.bolt.pipeline: the name is empty"],
        ),
        (
            json!({"index": "a", "body_bytes": "10B", "flush_interval": "0ms"}),
            &[
                "bolts.bolt.body_bytes: 10B is out of range",
                "bolts.bolt.flush_interval: 0ms is too short",
            ],
        ),
        (
            json!({"index": "a", "body_records": 0, "requests_per_lane": 65}),
            &[
                "bolts.bolt.body_records: ",
                "bolts.bolt.requests_per_lane: ",
            ],
        ),
        (
            json!({"index": "a", "connection": "other"}),
            &["bolts.bolt.connection: unknown connection `other`"],
        ),
        (
            json!({"index": "a", "event_time_bounds": "never"}),
            &["bolts.bolt.event_time_bounds: "],
        ),
    ] {
        let found = problems(&options);
        assert_eq!(found.len(), starts.len(), "{options}: {found:?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{options}: {found}");
        }
    }
    let near = problems(&json!({"index": "a", "id": "deterministc"}));
    assert!(near[0].ends_with("did you mean deterministic?"), "{near:?}");
}

#[test]
fn a_plan_tells_what_protects_against_storing_twice() {
    for (options, part) in [
        (
            json!({"index": "logs-{{ event_time.format('%Y') }}"}),
            "excluded, as the name of the index",
        ),
        (
            json!({"index": "logs"}),
            "excluded; if the name is an alias",
        ),
        (
            json!({"data_stream": "logs"}),
            "excluded until the data stream rolls over",
        ),
        (json!({"index": "logs", "id": "auto"}), "none excluded"),
        (
            json!({"index": "logs", "id": "{{ doc.id }}"}),
            "the first document of an id stays",
        ),
        (
            json!({"index": "logs", "id": "{{ doc.id }}", "op": "index"}),
            "the last request",
        ),
    ] {
        let told = fact(&options, "duplicates");
        assert!(told.contains(part), "{options}: {told}");
    }
    let order = |options| fact(&options, "order");
    assert!(order(json!({"index": "a"})).starts_with("of no matter"));
    assert!(order(json!({"index": "a", "op": "index"})).starts_with("not kept: 3 requests"));
    let one = json!({"index": "a", "op": "index", "requests_per_lane": 1});
    assert!(order(one).starts_with("of handing over"));
}

#[test]
fn a_plan_tells_that_bodies_are_compressed() {
    let told = |options| fact(&options, "requests");
    let gzip = told(json!({"index": "logs", "compression": "gzip"}));
    assert!(gzip.ends_with("; sent compressed with gzip"), "{gzip}");
    assert!(!told(json!({"index": "logs"})).contains("gzip"));
    let other = problems(&json!({"index": "logs", "compression": "zstd"}));
    assert!(
        other[0].starts_with("bolts.bolt.compression: "),
        "{other:?}"
    );
}

#[test]
fn times_are_bounded_where_the_index_follows_from_them() {
    let told = |options| fact(&options, "event time");
    let dated = "logs-{{ event_time.format('%Y.%m.%d') }}";
    let default = "from 365d ago to 1d ahead; others are rejected";
    assert_eq!(told(json!({"index": dated})), default);
    assert_eq!(
        told(json!({"index": dated, "event_time_bounds": "off"})),
        "any"
    );
    assert_eq!(told(json!({"index": "logs"})), "any");
    assert_eq!(told(json!({"index": "logs-{{ doc.env }}"})), "any");
    let bounded = json!({"index": "logs", "event_time_bounds": {"future": "2h"}});
    assert_eq!(
        told(bounded),
        "from 365d ago to 2h ahead; others are rejected"
    );
    let of_records =
        json!({"index": "logs", "event_time_bounds": {"past": "7d", "around": "record"}});
    assert_eq!(
        told(of_records),
        "from 7d before the record to 1d ahead; others are rejected"
    );
}

#[test]
fn two_bolts_write_to_one_target_when_ids_could_meet() {
    let writes = |options: Value| prepare_with(&options).expect("sound").prepared.writes;
    let target = writes(json!({"index": "logs"})).expect("ids could meet");
    assert_eq!(target, "`logs` at http://127.0.0.1:9");
    assert_eq!(
        writes(json!({"index": "logs", "op": "index"})),
        Some(target)
    );
    assert_eq!(writes(json!({"index": "logs", "id": "auto"})), None);
}

#[test]
fn memory_has_a_bound_that_follows_from_the_options() {
    let memory = |options: Value| {
        let prepared = prepare_with(&options).expect("sound").prepared;
        prepared.memory_per_lane
    };
    let small =
        json!({"index": "a", "body_bytes": "1MiB", "body_records": 100, "requests_per_lane": 1});
    let body = (1 << 20) + (64 << 10);
    // That to a document which is quoted twice.
    let reply = (64 << 10) + 1024 + 2 * body;
    assert_eq!(memory(small.clone()), 2 * body + reply);
    let many = json!({"index": "a", "body_bytes": "1KiB", "requests_per_lane": 1});
    let body = (1 << 10) + (64 << 10);
    assert_eq!(memory(many), 2 * body + (64 << 10) + 10_000 * 1024);
    assert!(memory(json!({"index": "a"})) < 64 << 20);
    let gzip = json!({"index": "a", "body_bytes": "1MiB", "body_records": 100, "requests_per_lane": 1, "compression": "gzip"});
    let more = memory(gzip) - memory(small);
    // Where it is made, and where it is kept.
    assert!((2 << 20..5 << 19).contains(&more), "{more}");
}

#[tokio::test(start_paused = true)]
async fn a_bolt_that_cannot_connect_says_where_and_why() {
    let mut bolt = prepare_with(&json!({"index": "a"})).expect("sound").make();
    let error = bolt.open().await.expect_err("nobody listens");
    assert_eq!(error.domain, isobar_topology::Domain::External);
    let text = error.to_string();
    assert!(
        text.starts_with("http://127.0.0.1:9: tcp connect error"),
        "{text}"
    );
}

/// Whether each document is refused or their whole request: a refusal lasts from the first one of either kind.
#[tokio::test]
async fn an_index_that_takes_nothing_for_long_as_the_cluster_is_busy_is_told() {
    let error = json!({"type": "es_rejected_execution_exception", "reason": "of `secret`"});
    let items = |item: Value| json!({"errors": true, "items": [{"create": item}]});
    let refused = items(json!({"status": 429, "error": error}));
    let answers = [
        (200, json!({"nodes": {"a": {"version": "9.2.0"}}})),
        (429, json!({"error": error, "status": 429})),
        (200, refused.clone()),
        (200, items(json!({"status": 201}))),
        (200, refused),
        (429, json!({"error": error, "status": 429})),
        (
            200,
            json!({"errors": false, "items": [{"create": {"status": 201}}]}),
        ),
    ];
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = format!("http://{}", listener.local_addr().expect("an address"));
    let serving = std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().expect("a client");
            let _ = request(&mut stream).expect("a request");
            answer_with(&mut stream, status, &body.to_string());
        }
    });
    let mut test = prepare_at(&host, &json!({"index": "logs"})).expect("sound options");
    let mut bolt = test.make();
    bolt.open().await.expect("a host");
    for (is_taken, is_told) in [
        (false, false),
        (false, true),
        (true, false),
        (false, false),
        (false, true),
        (true, false),
    ] {
        let batch = test.harness.batch(&[Input::document("{}")]);
        let mut out = test.harness.emitter();
        bolt.process(batch, &mut out).await.expect("it is written");
        bolt.flush(&mut out).await.expect("it is sent");
        let _ = test.harness.emitted(out).await;
        let fate = if is_taken {
            Fate::Delivered
        } else {
            Fate::Failed
        };
        assert_eq!(test.harness.fates(), Some(vec![fate]));
        let conditions = test.health.conditions();
        let told: Vec<_> = conditions
            .iter()
            .map(|c| (c.kind, c.text.as_str()))
            .collect();
        let text = "index `logs` has taken no documents for 30s or longer: 429 es_rejected_execution_exception; they are sent again, nothing is lost";
        assert_eq!(told, Vec::from_iter(is_told.then_some(("busy", text))));
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(30)).await;
        tokio::time::resume();
    }
    serving.join().expect("it ends");
}

#[test]
fn the_example_is_sound() {
    // As it stands in a file, without what belongs to every bolt.
    let options = json!({"index": "logs-{{ event_time.format('%Y.%m.%d') }}"});
    assert!(
        EXAMPLE
            .yaml
            .contains(options["index"].as_str().expect("a text"))
    );
    assert_eq!(problems(&options), Vec::<String>::new());
}
