//! A topology around the example of an operator: whatever its inputs name is there, and whatever it
//! emits is consumed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use isobar::{Outside, TopologyFile};
use isobar_topology::spec::{Component, Node, Problems, parse_config};
use isobar_topology::testing::{FnBolt, PreparedForTest};
use isobar_topology::{
    BoltType, DocumentUse, Example, Plan, Prepare, PreparedBolt, PreparedSpout, Registry,
    Rejection, SpoutType, Stream, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::scratch::Scratch;

/// The directory of the topology, with the files that examples name.
pub struct World {
    scratch: Scratch,
}

/// Connections that examples name: name, type, options.
const CONNECTIONS: [(&str, &str, &str); 2] = [
    ("kafka", "kafka", "brokers: [\"localhost:9092\"]"),
    (
        "search",
        "elasticsearch",
        "hosts: [\"http://localhost:9200\"]",
    ),
];

impl World {
    pub fn new() -> Self {
        let scratch = Scratch::new("operators").expect("temporary files can be written");
        let bolts = isobar_operators::registry().bolts;
        for (name, text) in bolts.iter().flat_map(|kind| kind.example.files) {
            let _path = scratch
                .file(name, text)
                .expect("temporary files can be written");
        }
        Self { scratch }
    }

    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Plans a topology in this directory for two lanes; gives what is printed about one that is
    /// refused.
    pub fn plan(&self, topology: &str) -> Result<Plan, String> {
        let file = read(&self.directory().join("topology.yaml"), topology);
        file.plan(&registry(), 2)
            .map_err(|refused| refused.to_string())
    }
}

fn read(path: &Path, text: &str) -> TopologyFile {
    let outside = Outside {
        variable: &|_| None,
        file: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    TopologyFile::from_text(path, text.to_owned(), &outside)
}

/// An operator to be looked at.
pub struct Subject {
    /// A topology around it; it is the bolt `subject`.
    pub topology: String,
    /// It needs an outside system.
    pub is_connected: bool,
}

impl Subject {
    pub fn bolt(world: &World, kind: &BoltType) -> Self {
        let example = read(Path::new("example.yaml"), kind.example.yaml);
        let is_connected = example.tree().get("connection").is_some();
        let connections: serde_json::Map<String, Value> = connections()
            .map(|(name, kind, options)| {
                let options = read(Path::new("connection.yaml"), options).tree().to_json();
                let mut options = options.as_object().expect("a mapping").clone();
                let _ = options.insert("type".to_owned(), json!(kind));
                (name.to_owned(), Value::Object(options))
            })
            .collect();
        let prepared = PreparedForTest::with_connections(
            kind,
            &example.tree().to_json(),
            &Value::Object(connections),
            world.directory(),
        );
        let prepared = prepared.map(|made| (made.prepared.emits, made.prepared.streams));
        // What is wrong with it is told when it is planned.
        let (emits, streams) = prepared.unwrap_or((true, Vec::new()));
        Self {
            topology: Self::around(kind.example.yaml, emits, &streams),
            is_connected,
        }
    }

    /// A topology that consumes what a spout reads.
    pub fn spout(kind: &SpoutType) -> String {
        format!(
            "{}spouts:\n  subject:\n{}bolts:\n  sink: {{type: probe, inputs: [subject]}}\n{END}",
            start(),
            indented(kind.example)
        )
    }

    /// A topology around the example of a bolt that emits on these streams.
    pub fn around(example: &str, emits: bool, streams: &[String]) -> String {
        let tree = read(Path::new("example.yaml"), example).tree().clone();
        let inputs = tree.get("inputs").map(Node::items).unwrap_or_default();
        let inputs = inputs.iter().map(|input| {
            let from = input.get("from").unwrap_or(input);
            from.text().expect("inputs are texts")
        });
        let inputs: Vec<&str> = inputs.collect();
        let mut bolts = sources(&inputs);
        bolts.push_str(&format!("  subject:\n{}", indented(example)));
        if emits {
            bolts.push_str("  sink_out: {type: probe, inputs: [subject]}\n");
        }
        for stream in streams {
            bolts.push_str(&format!(
                "  sink_{stream}: {{type: probe, inputs: [subject.{stream}]}}\n"
            ));
        }
        if !emits && streams.is_empty() {
            // Of a sink, what happens beside it is looked at.
            let inputs = inputs.join(", ");
            bolts.push_str(&format!(
                "  sink_beside: {{type: probe, inputs: [{inputs}]}}\n"
            ));
        }
        format!(
            "{}spouts:\n  logs: {{type: source}}\nbolts:\n{bolts}{END}",
            start()
        )
    }
}

/// Where rejected records go.
const END: &str = "dead_letter: {type: probe}\n";

/// The bolts that inputs name: parsers, and bolts with streams behind them. `logs` is the spout.
fn sources(inputs: &[&str]) -> String {
    let mut streams: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for input in inputs {
        let (bolt, stream) = input.split_once('.').unwrap_or((input, ""));
        streams.entry(bolt).or_default().push(stream);
    }
    let _spout = streams.remove("logs");
    let mut bolts = String::new();
    for (bolt, mut streams) in streams {
        streams.retain(|stream| !stream.is_empty());
        match streams.is_empty() {
            true => bolts.push_str(&format!("  {bolt}: {{type: documents, inputs: [logs]}}\n")),
            false => bolts.push_str(&format!(
                "  {bolt}_in: {{type: documents, inputs: [logs]}}\n  {bolt}: {{type: streams, inputs: [{bolt}_in], streams: [{}]}}\n",
                streams.join(", ")
            )),
        }
    }
    bolts
}

/// The connections whose types are registered.
fn connections() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let known: Vec<&str> = isobar_operators::registry()
        .connections
        .iter()
        .map(|kind| kind.name)
        .collect();
    CONNECTIONS
        .into_iter()
        .filter(move |(_, kind, _)| known.contains(kind))
}

fn start() -> String {
    let mut text = "isobar: 1\nname: suite\nconnections:\n".to_owned();
    for (name, kind, options) in connections() {
        text.push_str(&format!("  {name}: {{type: {kind}, {options}}}\n"));
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// Every operator of the program, and those that stand around them here. What `source` and `probe`
/// make is put into the graph when it is planned.
pub fn registry() -> Registry {
    let mut registry = isobar_operators::registry();
    registry.spouts.push(SpoutType {
        name: "source",
        schema: || schemars::schema_for!(Nothing),
        example: "",
        prepare: |_, _| {
            Ok(PreparedSpout {
                start: Box::new(|_| Ok(Vec::new())),
                max_in_flight_records: 1_000,
                max_in_flight_bytes: 64 << 20,
                batch_bytes: 1 << 20,
                max_uncommitted: 100_000,
                reads: None,
                memory: 0,
                facts: Vec::new(),
            })
        },
    });
    for (name, prepare) in [
        ("probe", prepare_probe as PrepareBolt),
        ("documents", prepare_documents),
        ("streams", prepare_streams),
    ] {
        registry.bolts.push(BoltType {
            name,
            schema: || schemars::schema_for!(Nothing),
            example: Example::of("", &[]),
            side_effects: false,
            deterministic: true,
            prepare,
        });
    }
    registry
}

type PrepareBolt = fn(&Component, &mut Prepare<'_>) -> Result<PreparedBolt, Problems>;

/// No options.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

fn prepare_probe(_: &Component, _: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    Ok(PreparedBolt {
        emits: false,
        document: DocumentUse::Any,
        ..PreparedBolt::new(Arc::new(|_| FnBolt::any(|_, _| Ok(()))))
    })
}

/// A parser that stands for all parsers.
fn prepare_documents(_: &Component, _: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let documents = |_| {
        FnBolt::any(|batch, out| {
            batch.judge(out, |record| match record.adopt_json() {
                Ok(()) => Verdict::Keep,
                Err(error) => Verdict::Reject(Rejection::new("invalid_json", error.to_string())),
            });
            Ok(())
        })
    };
    Ok(PreparedBolt {
        document: DocumentUse::Makes,
        ..PreparedBolt::new(Arc::new(documents))
    })
}

/// The streams that a `streams` bolt emits everything on, one after the other.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Streams {
    streams: Vec<String>,
}

fn prepare_streams(component: &Component, _: &mut Prepare<'_>) -> Result<PreparedBolt, Problems> {
    let Streams { streams } = parse_config(&component.config, &component.path)?;
    let count = streams.len();
    let make = move |_| {
        FnBolt::any(move |batch, out| {
            batch.judge(out, |record| {
                let turn = record.view().offset() as usize % count;
                Verdict::To(Stream::declared(turn).expect("few streams"))
            });
            Ok(())
        })
    };
    Ok(PreparedBolt {
        emits: false,
        streams,
        ..PreparedBolt::new(Arc::new(make))
    })
}
