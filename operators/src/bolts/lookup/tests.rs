//! Tables good and bad, records with and without a row, and files that change.

use std::time::Duration;

use isobar_topology::testing::{Emitted, Input, PreparedForTest};
use isobar_topology::{Stream, clock, json};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::read::{Field, Shape};
use super::*;
use crate::scratch::Scratch;

const HOSTS: &str = "\
host,zone,owner
web-1,eu-west,search
web-2,\"eu, north\",
db-1,us-east,\"the \"\"store\"\"\"
";

fn prepared(scratch: &Scratch, options: Value) -> Result<PreparedForTest, String> {
    let prepared = PreparedForTest::with_connections(&TYPE, &options, &Value::Null, scratch.path());
    prepared.map_err(|problems| problems.to_string())
}

/// What the bolt makes of documents, with a table in a file of this name.
async fn run(name: &str, table: &str, options: Value, documents: &[&str]) -> Vec<Emitted> {
    let scratch = Scratch::new();
    scratch.replace(name, table);
    let mut bolt = prepared(&scratch, with(name, options)).expect("good options");
    let inputs: Vec<Input> = documents.iter().map(|json| Input::document(json)).collect();
    bolt.run(&inputs).await
}

fn with(name: &str, mut options: Value) -> Value {
    for (option, value) in [("file", name), ("key", "host"), ("from", "doc.host")] {
        if options.get(option).is_none() {
            options[option] = json!(value);
        }
    }
    options
}

async fn documents(name: &str, table: &str, options: Value, given: &[&str]) -> Vec<Value> {
    let emitted = run(name, table, options, given).await;
    let documents = emitted.iter().map(|record| {
        assert_eq!((record.stream, &record.rejection), (Stream::OUT, &None));
        let text = record.document.as_deref().expect("has one");
        let scanned = json::scan_object(text.as_bytes(), |_| {});
        assert!(scanned.is_ok(), "{text}");
        serde_json::from_str(text).expect("JSON")
    });
    documents.collect()
}

#[tokio::test(start_paused = true)]
async fn fields_come_from_the_row_of_the_key() {
    let options = json!({"fields": {"zone": "zone", "team": "owner"}});
    let given = [
        r#"{"host":"web-1","n":1}"#,
        r#"{"host":"db-1","zone":"old","team":["old"]}"#,
        r#"{"host":"web-2","team":"kept"}"#,
        r#"{"host":"web-3","team":"kept"}"#,
        r#"{"other":"web-1"}"#,
        r#"{"host":"web-1"}"#,
    ];
    assert_eq!(
        documents("hosts.csv", HOSTS, options, &given).await,
        [
            json!({"host": "web-1", "n": 1, "zone": "eu-west", "team": "search"}),
            json!({"host": "db-1", "zone": "us-east", "team": "the \"store\""}),
            json!({"host": "web-2", "zone": "eu, north", "team": "kept"}),
            json!({"host": "web-3", "team": "kept"}),
            json!({"other": "web-1"}),
            json!({"host": "web-1", "zone": "eu-west", "team": "search"}),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn defaults_stand_in_where_the_table_has_no_value() {
    let options =
        json!({"fields": {"team": "owner", "zone": "zone"}, "default": {"team": {"name": "?"}}});
    let given = [
        r#"{"host":"web-1"}"#,
        r#"{"host":"web-2"}"#,
        r#"{"host":"web-3"}"#,
    ];
    assert_eq!(
        documents("hosts.csv", HOSTS, options, &given).await,
        [
            json!({"host": "web-1", "team": "search", "zone": "eu-west"}),
            json!({"host": "web-2", "team": {"name": "?"}, "zone": "eu, north"}),
            json!({"host": "web-3", "team": {"name": "?"}}),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn fields_may_be_inside_of_others() {
    let given = [
        r#"{"host":"web-1","about":{"n":1,"zone":"old"}}"#,
        r#"{"host":"web-2","about.zone":"stays"}"#,
        r#"{"host":"web-3","about":{"n":1}}"#,
        r#"{"host":"web-1"}"#,
    ];
    let options = json!({
        "fields": {"about.zone": "zone", "about.team.name": "owner", "[\"t.n\"]": "owner"},
        "default": {"about.team.name": "?", "t.n": "none"},
    });
    let team = |name: &str| json!({"name": name});
    assert_eq!(
        documents("hosts.csv", HOSTS, options, &given).await,
        [
            json!({"host": "web-1", "about": {"n": 1, "zone": "eu-west", "team": team("search")}, "t.n": "search"}),
            json!({"host": "web-2", "about.zone": "stays", "about": {"zone": "eu, north", "team": team("?")}, "t.n": "none"}),
            json!({"host": "web-3", "about": {"n": 1, "team": team("?")}, "t.n": "none"}),
            json!({"host": "web-1", "about": {"zone": "eu-west", "team": team("search")}, "t.n": "search"}),
        ]
    );
    let options = json!({"target": "about.host", "fields": {"zone": "zone"}});
    assert_eq!(
        documents("hosts.csv", HOSTS, options.clone(), &given[..1]).await,
        [json!({"host": "web-1", "about": {"n": 1, "zone": "old", "host": {"zone": "eu-west"}}})]
    );
    let emitted = run(
        "hosts.csv",
        HOSTS,
        options,
        &[r#"{"host":"web-1","about":7}"#],
    )
    .await;
    let rejection = emitted[0].rejection.as_ref().map(|one| one.class);
    assert_eq!(rejection, Some("not_an_object"));
}

#[tokio::test(start_paused = true)]
async fn without_fields_every_column_but_the_key_is_one() {
    let given = [r#"{"host":"web-1"}"#, r#"{"host":"web-2"}"#];
    assert_eq!(
        documents("hosts.csv", HOSTS, json!({}), &given).await,
        [
            json!({"host": "web-1", "zone": "eu-west", "owner": "search"}),
            json!({"host": "web-2", "zone": "eu, north"}),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_target_takes_all_fields_as_one_object() {
    let options = json!({"target": "about", "fields": {"z.one": "zone", "team": "owner"}});
    let table = format!("{HOSTS}bare,,\n");
    let given = [
        r#"{"host":"web-1","about":1}"#,
        r#"{"host":"web-2"}"#,
        r#"{"host":"web-3","about":1}"#,
        r#"{"host":"bare"}"#,
    ];
    assert_eq!(
        documents("hosts.csv", &table, options.clone(), &given).await,
        [
            json!({"host": "web-1", "about": {"team": "search", "z.one": "eu-west"}}),
            json!({"host": "web-2", "about": {"z.one": "eu, north"}}),
            json!({"host": "web-3", "about": 1}),
            json!({"host": "bare"}),
        ]
    );
    let mut options = options;
    options["default"] = json!({"team": null, "z.one": 0});
    assert_eq!(
        documents("hosts.csv", &table, options, &given[2..]).await,
        [
            json!({"host": "web-3", "about": {"team": null, "z.one": 0}}),
            json!({"host": "bare", "about": {"team": null, "z.one": 0}}),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn json_lines_keep_their_types_and_numbers_are_keys_as_text() {
    let table = "\u{FEFF}{\"id\": 7, \"tier\": 1.50, \"tags\": [\"a\", {\"b\": null}]}\r\n\n\
                 {\"tier\": null, \"id\": \"8\"}\n {\"\\u0069d\": true, \"more\": \"x\"} ";
    let options = json!({"key": "id", "from": "doc.n"});
    let given = [
        r#"{"n":7}"#,
        r#"{"n":"7"}"#,
        r#"{"n":8}"#,
        r#"{"n":true}"#,
        r#"{"n":[7]}"#,
    ];
    assert_eq!(
        documents("t.ndjson", table, options, &given).await,
        [
            json!({"n": 7, "tier": 1.5, "tags": ["a", {"b": null}]}),
            json!({"n": "7", "tier": 1.5, "tags": ["a", {"b": null}]}),
            json!({"n": 8}),
            json!({"n": true, "more": "x"}),
            json!({"n": [7]}),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn records_without_a_row_are_rejected_where_they_must_have_one() {
    let options = json!({"on_missing": "reject"});
    let given = [r#"{"host":"web-1"}"#, r#"{"host":"w\"3"}"#, r#"{"n":1}"#];
    let mut emitted = run("hosts.csv", HOSTS, options, &given).await;
    emitted.sort_by_key(|record| record.offset);
    let reasons = emitted.iter().map(|record| {
        let rejection = record.rejection.as_ref()?;
        assert_eq!(rejection.class, "lookup_missing");
        Some(rejection.reason.as_ref())
    });
    let reasons: Vec<Option<&str>> = reasons.collect();
    assert_eq!(
        reasons,
        [
            None,
            Some(r#"hosts.csv has no row for "w\"3""#),
            Some("there is nothing to look up: doc.host is missing"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn hits_and_misses_are_counted_and_a_value_is_in_a_batch_once() {
    let scratch = Scratch::new();
    let value = "v".repeat(1_000);
    scratch.replace("t.csv", format!("host,value\na,{value}\nb,{value}\n"));
    let mut bolt = prepared(&scratch, with("t.csv", json!({}))).expect("good options");
    let inputs: Vec<Input> = (0..100)
        .map(|n| ["a", "b", "c", "a"][n % 4])
        .map(|host| Input::document(&json!({"host": host}).to_string()))
        .collect();
    let batch = bolt.harness.batch(&inputs);
    let before = batch.size();
    let mut out = bolt.harness.emitter();
    let mut lookup = bolt.make();
    lookup.process(batch, &mut out).await.expect("no error");
    let emitted = bolt.harness.emitted(out).await;
    let with_value = emitted.iter().filter(|record| {
        record
            .document
            .as_deref()
            .is_some_and(|d| d.contains(&value))
    });
    assert_eq!(with_value.count(), 75);
    assert_eq!(
        bolt.counters.values()[..2]
            .iter()
            .map(|(name, _, n)| (*name, *n))
            .collect::<Vec<_>>(),
        [("reloads", 0), ("reloads_refused", 0)]
    );
    let counted: BTreeMap<_, _> = bolt
        .counters
        .values()
        .into_iter()
        .map(|(name, _, n)| (name, n))
        .collect();
    assert_eq!((counted["hits"], counted["misses"]), (75, 25));
    // The same batch again, to look at it before it is answered.
    let mut batch = bolt.harness.batch(&inputs);
    let prepared = Arc::new(prepared_parts(&scratch));
    let mut found = InBatch::default();
    found.find(&mut batch, &prepared, &prepared.source.table());
    let member = format!(",\"value\":\"{value}\"");
    assert_eq!(batch.size() - before, 2 * member.len());
    batch.answer(isobar_topology::Answer::Delivered);
}

/// The shared part of a bolt over `t.csv`.
fn prepared_parts(scratch: &Scratch) -> Prepared {
    let mut symbols = isobar_topology::Symbols::new();
    isobar_topology::testing::with_prepare(&mut symbols, |prepare| {
        let path = isobar_topology::spec::Path::root();
        let host = prepare.symbol("host", &path).expect("room");
        let value = prepare.symbol("value", &path).expect("room");
        assert!(host < value);
        let field = Field {
            name: "value".to_owned(),
            column: "value".to_owned(),
            default: Vec::new(),
        };
        let shape = Shape {
            format: TableFormat::Csv,
            key: "host".to_owned(),
            fields: vec![field],
            nested: false,
            bytes_max: 1 << 20,
        };
        let source = Source::load(scratch.path().join("t.csv"), shape, None, 50);
        Prepared {
            source: Arc::new(source.map_err(|e| e.to_string()).expect("a good table")),
            file: "t.csv".to_owned(),
            from: Expression::compile("doc.host", &path, prepare).expect("good"),
            fields: vec![FieldPath::new("value", &path, prepare).expect("a field")],
            inside: FieldPaths::default(),
            defaults: vec![Vec::new()],
            on_missing: OnMissing::Keep,
        }
    })
}

#[test]
fn tables_that_do_not_fit_say_line_and_column() {
    let scratch = Scratch::new();
    let small = || json!({"table_bytes_max": "1KiB"});
    let long = "x".repeat(2 << 20);
    let rows: String = (0..100).map(|n| format!("{n},1\n")).collect();
    let many = format!("host,a\n{rows}");
    for (name, table, options, expected) in [
        (
            "t.csv",
            &b"host,a\nx,1,2\n"[..],
            json!({}),
            "t.csv: line 2: the row has 3 cells, the first line 2",
        ),
        (
            "t.csv",
            b"host,a\nx,1\n\ny,\xFF\n",
            json!({}),
            "t.csv: line 4, column `a`: not UTF-8",
        ),
        (
            "t.csv",
            b"host,a\r\nx,\"1\n2\"\r\ny,\xFF",
            json!({}),
            "t.csv: line 4, column `a`: not UTF-8",
        ),
        (
            "t.csv",
            b"host,a\nx,1\ny,2\nx,3\n",
            json!({}),
            "t.csv: line 4: the key of this row is the key of line 2, too",
        ),
        (
            "t.csv",
            b"host,a\n,1\n",
            json!({}),
            "t.csv: line 2, column `host`: the key is empty",
        ),
        (
            "t.csv",
            b"host,a,a\n",
            json!({}),
            "t.csv: line 1: two columns are called `a`",
        ),
        (
            "t.csv",
            b"",
            json!({}),
            "t.csv: line 1: the file is empty; the first line names the columns",
        ),
        (
            "t.ndjson",
            b"{\"host\":\"x\",\"a\":1}\n{\"host\":\"y\" \"a\":1}\n",
            json!({}),
            "t.ndjson: line 2, column 13: ",
        ),
        (
            "t.ndjson",
            b"{\"host\":\"x\",\"a\":1}\n{\"a\":1}\n",
            json!({}),
            "t.ndjson: line 2, column `host`: the row has no key",
        ),
        (
            "t.ndjson",
            b"{\"host\":[],\"a\":1}\n",
            json!({}),
            "t.ndjson: line 1, column `host`: the key is neither text",
        ),
        (
            "t.ndjson",
            b"[1]\n",
            json!({}),
            "t.ndjson: line 1, column 1: expected an object, found an array",
        ),
        (
            "t.csv",
            &[b"host,a\n".as_slice(), &[b'x'; 1100]].concat(),
            small(),
            "t.csv: has 1107 bytes, more than table_bytes_max (1024)",
        ),
        (
            "t.csv",
            many.as_bytes(),
            small(),
            "t.csv: line 29: the table takes more memory than table_bytes_max (1024 bytes)",
        ),
        (
            "t.csv",
            format!("host,a\nx,\"{long}").as_bytes(),
            json!({}),
            "t.csv: cannot be read: a row of more than 1 MiB; is a quote left open?",
        ),
        (
            "t.ndjson",
            format!("{{\"host\":\"{long}\"}}").as_bytes(),
            json!({}),
            "t.ndjson: line 1: cannot be read: a row of more than 1 MiB",
        ),
    ] {
        scratch.replace(name, table);
        let problems = prepared(&scratch, with(name, options))
            .err()
            .expect("does not fit");
        let text = format!("bolts.bolt.file: {expected}");
        assert!(problems.starts_with(&text), "{problems}\nshould be\n{text}");
    }
    let missing = prepared(&scratch, with("nowhere.csv", json!({})))
        .err()
        .expect("is not there");
    assert!(
        missing.starts_with("bolts.bolt.file: nowhere.csv: cannot be read: No such file"),
        "{missing}"
    );
    let directory = prepared(&scratch, with(".", json!({"format": "csv"})))
        .err()
        .expect("no file");
    assert!(directory.contains("is not a file"), "{directory}");
}

#[test]
fn options_that_do_not_fit_are_said_all_at_once() {
    let scratch = Scratch::new();
    scratch.replace("hosts.csv", HOSTS);
    let problems = |options| {
        prepared(&scratch, with("hosts.csv", options))
            .err()
            .expect("refused")
    };
    let text = problems(json!({
        "key": "hots", "from": "doc.host ==", "on_missing": "reject",
        "fields": {"zone": "zome", "a..b": "zone"}, "default": {"zoe": 1}, "table_bytes_max": "3GiB",
    }));
    for expected in [
        "bolts.bolt.key: hosts.csv has no column `hots`; expected one of host, zone, owner; did you mean host?",
        "bolts.bolt.fields.zone: hosts.csv has no column `zome`; expected one of host, zone, owner; did you mean zone?",
        "bolts.bolt.fields[\"a..b\"]: `a..b` is not a field; expected a name such as host, ",
        "bolts.bolt.default: records without a row are rejected; expected `on_missing: keep`, or no defaults",
        "bolts.bolt.default.zoe: it is not a field of this lookup; expected one of zone; did you mean zone?",
        "bolts.bolt.table_bytes_max: found 3GiB; expected at most 2GiB",
        "bolts.bolt.from: at character ",
    ] {
        assert!(text.contains(expected), "{text}\nlacks\n{expected}");
    }
    for (options, expected) in [
        (
            json!({"shrink_limit": "half"}),
            "\"half\" is not a part: write a whole number from 0% to 100%",
        ),
        (json!({"shrink_limit": "101%"}), "\"101%\" is not a part"),
        (
            json!({"default": {"zone": "{{ doc.x }}"}}),
            "bolts.bolt.default.zone: a template; expected a constant",
        ),
        (
            json!({"fields": {}}),
            "bolts.bolt.fields: there is no field to set",
        ),
        (
            json!({"fields": {"a": "zone", "[\"a\"]": "owner"}}),
            "bolts.bolt.fields.a: the field `a` is set twice",
        ),
        (
            json!({"fields": {"a": "zone", "a.b": "owner"}}),
            "bolts.bolt.fields[\"a.b\"]: the field `a.b` is set twice; expected each field once, and none inside",
        ),
        (
            json!({"file": "hosts.txt"}),
            "bolts.bolt.file: the name hosts.txt does not tell how the file is written",
        ),
    ] {
        let text = problems(options);
        assert!(text.contains(expected), "{text}\nlacks\n{expected}");
    }
}

/// A lookup whose file changes: looks at it again every 10 s.
struct Changing {
    scratch: Scratch,
    prepared: PreparedForTest,
    bolt: AnyBolt,
}

impl Changing {
    fn new(table: &str) -> Self {
        let scratch = Scratch::new();
        scratch.replace("t.csv", table);
        let prepared = prepared(&scratch, with("t.csv", json!({}))).expect("good options");
        let bolt = prepared.make();
        Self {
            scratch,
            prepared,
            bolt,
        }
    }

    /// Waits for the next look at the file, and for what it leads to.
    async fn look(&mut self) {
        tokio::time::advance(Duration::from_secs(10)).await;
        for _look_and_take_over in 0..2 {
            let mut out = self.prepared.harness.emitter();
            self.bolt.flush(&mut out).await.expect("no error");
            let _none = self.prepared.harness.emitted(out).await;
        }
    }

    /// The value that a record with the key `a` gets.
    async fn value(&mut self) -> Option<String> {
        let given = [Input::document(r#"{"host":"a"}"#)];
        let emitted = self.prepared.harness.run(&mut self.bolt, &given).await;
        let document = emitted[0].document.as_deref().expect("has one");
        let document: Value = serde_json::from_str(document).expect("JSON");
        document
            .get("value")
            .and_then(Value::as_str)
            .map(str::to_owned)
    }

    /// Reloads and refused reloads so far, and the condition.
    fn state(&self) -> (u64, u64, Option<String>) {
        let counters: BTreeMap<_, _> = self
            .prepared
            .counters
            .values()
            .into_iter()
            .map(|(name, _, n)| (name, n))
            .collect();
        let conditions = self.prepared.health.conditions();
        let text = conditions.first().map(|condition| {
            let path = format!("{}/t.csv: ", self.scratch.path().display());
            condition
                .text
                .strip_prefix(&path)
                .expect("names the file")
                .to_owned()
        });
        (counters["reloads"], counters["reloads_refused"], text)
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_taken_over_and_an_unchanged_one_is_not_read() {
    let mut lookup = Changing::new("host,value\na,1\n");
    assert_eq!(lookup.value().await.as_deref(), Some("1"));
    lookup.scratch.replace("t.csv", "host,value\na,two\n");
    assert_eq!(
        lookup.value().await.as_deref(),
        Some("1"),
        "not looked at yet"
    );
    lookup.look().await;
    assert_eq!(lookup.value().await.as_deref(), Some("two"));
    lookup.look().await;
    assert_eq!(lookup.state(), (1, 0, None));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_does_not_fit_is_refused_once_until_it_does() {
    let mut lookup = Changing::new("host,value\na,1\nb,1\nc,1\nd,1\n");
    let in_use = ". The table that was read before stays in use";

    lookup.scratch.replace("t.csv", "host,value\na,2\n");
    lookup.look().await;
    lookup.look().await;
    let text = "has 1 rows, the table in use has 4, and a reload may lose at most 50% of them (shrink_limit); a restart takes the file as it is";
    assert_eq!(lookup.state(), (0, 1, Some(format!("{text}{in_use}"))));
    assert_eq!(lookup.value().await.as_deref(), Some("1"));

    lookup
        .scratch
        .replace("t.csv", "host,value\na,2\nb\nc,2\nd,2\n");
    lookup.look().await;
    let text = "line 3: the row has 1 cells, the first line 2";
    assert_eq!(lookup.state(), (0, 2, Some(format!("{text}{in_use}"))));

    std::fs::remove_file(lookup.scratch.path().join("t.csv")).expect("is there");
    lookup.look().await;
    let text = "cannot be read: No such file or directory (os error 2)";
    assert_eq!(lookup.state(), (0, 2, Some(format!("{text}{in_use}"))));
    assert_eq!(lookup.value().await.as_deref(), Some("1"));

    // Half of the rows is the most that it may lose.
    lookup.scratch.replace("t.csv", "host,value\na,2\nb,2\n");
    lookup.look().await;
    assert_eq!(lookup.state(), (1, 2, None));
    assert_eq!(lookup.value().await.as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_again_the_one_in_use_is_well() {
    let mut lookup = Changing::new("host,value\na,1\n");
    let (file, aside) = ("t.csv", "aside");
    let path = |name: &str| lookup.scratch.path().join(name);
    let (file, aside) = (path(file), path(aside));
    std::fs::rename(&file, &aside).expect("is there");
    lookup.look().await;
    assert!(lookup.state().2.is_some());
    std::fs::rename(&aside, &file).expect("is there");
    lookup.look().await;
    assert_eq!(lookup.state(), (0, 0, None));
}

#[tokio::test(start_paused = true)]
async fn no_third_table_is_read_while_a_lane_uses_the_first() {
    let mut lookup = Changing::new("host,value\na,1\n");
    let mut idle = lookup.prepared.make();
    lookup.scratch.replace("t.csv", "host,value\na,two\n");
    lookup.look().await;
    assert_eq!(lookup.value().await.as_deref(), Some("two"));
    lookup.scratch.replace("t.csv", "host,value\na,three\n");
    lookup.look().await;
    assert_eq!(
        lookup.value().await.as_deref(),
        Some("two"),
        "two tables are in use"
    );

    // A lane without records takes the new table over when it is time to look at the file.
    assert!(idle.deadline().is_some_and(|at| at <= clock::now()));
    let mut out = lookup.prepared.harness.emitter();
    idle.flush(&mut out).await.expect("no error");
    let _none = lookup.prepared.harness.emitted(out).await;
    lookup.look().await;
    assert_eq!(lookup.value().await.as_deref(), Some("three"));
    assert_eq!(lookup.state(), (2, 0, None));
}

#[tokio::test(start_paused = true)]
async fn a_file_is_never_looked_at_again_where_the_interval_is_zero() {
    let scratch = Scratch::new();
    scratch.replace("t.csv", "host,value\na,1\n");
    let options = with("t.csv", json!({"reload_interval": "0s"}));
    let bolt = prepared(&scratch, options).expect("good options").make();
    assert_eq!(bolt.deadline(), None);
}

#[test]
fn the_plan_tells_the_table_and_what_it_may_take() {
    let scratch = Scratch::new();
    scratch.replace("hosts.csv", HOSTS);
    let options = with("hosts.csv", json!({"table_bytes_max": "10MiB"}));
    let plan = prepared(&scratch, options).expect("good options").prepared;
    assert_eq!(plan.memory_shared, 24 << 20);
    assert_eq!(plan.facts[0].0, "table");
    assert!(
        plan.facts[0].1.starts_with("hosts.csv: 3 rows, "),
        "{:?}",
        plan.facts
    );
}

proptest! {
    /// Whatever stands in a file, it gives a table or a reason.
    #[test]
    fn arbitrary_files_give_a_table_or_a_reason(
        header in prop_oneof![Just("host,a\n"), Just("host\n"), Just("{\"host\":1}\n"), Just("")],
        rest in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[\",\r\na-c{}:]{0,60}".prop_map(String::into_bytes),
        ],
        format in prop::sample::select(vec!["csv", "ndjson"]),
    ) {
        let scratch = Scratch::new();
        scratch.replace("table", [header.as_bytes(), &rest].concat());
        for options in [json!({}), json!({"fields": {"b": "a"}, "target": "t"})] {
            let mut options = with("table", options);
            options["format"] = json!(format);
            match prepared(&scratch, options) {
                Ok(prepared) => prop_assert_eq!(prepared.prepared.facts.len(), 1),
                Err(problems) => prop_assert!(problems.starts_with("bolts.bolt."), "{}", problems),
            }
        }
    }
}
