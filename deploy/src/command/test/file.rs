//! What tests of a topology say, as it stands under `tests` in its file or in a file beside it.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

use isobar_operators::indexed_field::IndexedField;
use isobar_topology::Plan;
use isobar_topology::spec::{Node, Path, Problem, Problems, Value as Yaml, parse_config};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::rehearsal::stream_name;
use crate::substitute::Outside;
use crate::topology_file::{Refused, TopologyFile};
use crate::yaml_file::YamlFile;

/// A test: records, and all that is to become of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    /// What it shows, in a sentence.
    pub(super) name: String,
    /// The spout that reads the records, where there are several.
    #[serde(default)]
    pub(super) spout: Option<String>,
    /// The time at which the test takes place, such as 2026-01-31T12:00:00Z.
    #[serde(default)]
    pub(super) now: Option<At>,
    /// The record, where there is one.
    #[serde(default)]
    record: Option<Record>,
    /// The records, in the order in which they are read.
    #[serde(default)]
    records: Vec<Record>,
    /// All that is to become of the records, in any order.
    pub(super) expect: Vec<Expected>,
    /// Whether documents are to have nothing but what is named, and reasons no more words.
    #[serde(default)]
    exact: bool,
}

/// A record that is read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Text as it is; a mapping or list is written as JSON; null is a tombstone.
    #[serde(deserialize_with = "any")]
    pub(super) value: Value,
    /// The key.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// The headers.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// The time of the record; that of the test without it.
    #[serde(default)]
    pub(super) timestamp: Option<At>,
    /// The topic; the first that the spout reads without it.
    #[serde(default)]
    pub(super) topic: Option<String>,
    /// The partition.
    #[serde(default)]
    pub(super) partition: i32,
    /// The offset; the next one without it.
    #[serde(default)]
    pub(super) offset: Option<i64>,
}

/// What is to become of a record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// The bolt that it comes to: the one that writes it.
    #[serde(default)]
    pub(super) bolt: Option<String>,
    /// A stream that it passes on the way, such as route.errors.
    #[serde(default)]
    pub(super) stream: Option<String>,
    /// The index or data stream that it is written to.
    #[serde(default)]
    pub(super) index: Option<String>,
    /// The topic that it is written to.
    #[serde(default)]
    pub(super) topic: Option<String>,
    /// The document id.
    #[serde(default)]
    pub(super) id: Option<String>,
    /// The key that it is written with.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// Members of the document that is written.
    #[serde(default)]
    pub(super) document: Option<Map<String, Value>>,
    /// Fields that the document must not have, such as user.password: neither inside of others, also in
    /// lists, nor with dots in their names. ["user.password"] is just the field that has this whole name.
    #[serde(default)]
    pub(super) without: Vec<String>,
    /// It is rejected.
    #[serde(default)]
    pub(super) rejected: Option<Rejection>,
    /// It is dropped by this policy.
    #[serde(default)]
    pub(super) dropped: Option<String>,
    /// As of the test, for this one alone.
    #[serde(default)]
    pub(super) exact: Option<bool>,
}

/// How a record is to be rejected.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejection {
    /// The bolt that rejects it.
    #[serde(default)]
    pub(super) by: Option<String>,
    /// The kind of reason, such as invalid_json.
    #[serde(default)]
    pub(super) class: Option<String>,
    /// A part of the reason; all of it where the test is exact.
    #[serde(default)]
    pub(super) reason: Option<String>,
}

/// A time with its zone, in ms since 1970.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(super) struct At(pub(super) i64);

impl TryFrom<String> for At {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = text.parse::<jiff::Timestamp>();
        let time = time.map_err(|_| {
            format!("{text:?} is no time with its zone, such as 2026-01-31T12:00:00Z")
        })?;
        Ok(Self(time.as_millisecond()))
    }
}

/// Without this, serde takes a null for a member that is not there.
fn any<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
    Value::deserialize(from)
}

impl Test {
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.record.iter().chain(&self.records)
    }

    /// Whether everything is compared for this expectation.
    pub(super) fn is_exact(&self, expected: &Expected) -> bool {
        expected.exact.unwrap_or(self.exact)
    }
}

/// What tests can name of a topology.
pub(super) struct Names {
    pub(super) spouts: Vec<String>,
    bolts: Vec<String>,
    /// As topology files name them: `parse`, `route.errors`.
    streams: Vec<String>,
    policies: Vec<String>,
}

impl Names {
    pub(super) fn of(plan: &Plan) -> Self {
        let (spouts, bolts) = plan.report.nodes.split_at(plan.graph.spouts.len());
        let streams = bolts.iter().flat_map(|bolt| {
            // A sink has no `out`.
            let of_bolt = bolt.streams.iter().filter(|stream| !stream.is_empty());
            of_bolt.map(|stream| stream_name(&bolt.id, stream))
        });
        Self {
            streams: streams.collect(),
            spouts: spouts.iter().map(|spout| spout.id.clone()).collect(),
            bolts: bolts.iter().map(|bolt| bolt.id.clone()).collect(),
            policies: plan.report.policies.clone(),
        }
    }
}

/// Tests of one file.
pub(super) struct Tests {
    pub(super) file: PathBuf,
    /// Each with its line.
    pub(super) tests: Vec<(u32, Test)>,
}

const SECTION: &str = "tests";

/// The file beside a topology that holds its tests: `logs.tests.yaml` for `logs.yaml`.
pub(super) fn beside(topology: &FilePath) -> PathBuf {
    topology.with_extension("tests.yaml")
}

/// Reads the tests that stand in the topology file itself.
pub(super) fn inside(
    file: &TopologyFile,
    path: &FilePath,
    names: &Names,
) -> Result<Tests, Refused> {
    let (tests, problems) = read(file.tree(), names);
    match problems.is_empty() {
        true => Ok(Tests {
            file: path.to_owned(),
            tests,
        }),
        false => Err(file.refuse(problems)),
    }
}

/// Reads a file of tests.
pub(super) fn load(
    path: &FilePath,
    outside: &Outside<'_>,
    names: &Names,
) -> Result<Tests, Refused> {
    let file = YamlFile::load(path, outside);
    let mut problems = Problems::default();
    let is_readable = file.tree.value != Yaml::Unreadable;
    if is_readable && file.tree.get(SECTION).is_none() {
        let problem = Problem::new(Path::root(), format!("`{SECTION}` is missing"));
        let problem = problem.expected("a list of tests").at(file.tree.place);
        problems.push(problem);
    }
    for entry in file.tree.entries().iter().filter(|one| one.key != SECTION) {
        let problem = Problem::new(Path::root().key(&entry.key), "unknown key");
        problems.push(problem.expected("only `tests`").at(entry.key_place));
    }
    let (tests, found) = read(&file.tree, names);
    problems.append(found);
    match problems.is_empty() && file.problems.is_empty() {
        true => Ok(Tests {
            file: path.to_owned(),
            tests,
        }),
        false => Err(file.refuse(problems)),
    }
}

fn read(tree: &Node, names: &Names) -> (Vec<(u32, Test)>, Problems) {
    let (mut tests, mut problems) = (Vec::new(), Problems::default());
    let path = Path::root().key(SECTION);
    let Some(section) = tree.get(SECTION) else {
        return (tests, problems);
    };
    if !matches!(section.value, Yaml::List(_) | Yaml::Unreadable) {
        let problem = Problem::new(path.clone(), "not a list").at(section.place);
        problems.push(problem.expected("a list of tests, each with name, record and expect"));
    }
    for (number, node) in section.items().iter().enumerate() {
        let path = path.index(number);
        if let Some(test) = problems.take(parse_config::<Test>(node, &path)) {
            check(&test, &path, names, &mut problems);
            tests.push((node.place.line, test));
            continue;
        }
        // What else is wrong with it shows in the parts that can be read.
        let expect = node.get("expect").map(Node::items).unwrap_or_default();
        for (number, node) in expect.iter().enumerate() {
            let path = path.key("expect").index(number);
            if let Ok(expected) = parse_config(node, &path) {
                check_expected(&expected, &path, names, &mut problems);
            }
        }
    }
    (tests, problems)
}

/// Finds what no topology could fulfil, and names that this one does not have.
fn check(test: &Test, path: &Path, names: &Names, problems: &mut Problems) {
    let mut complain = |path: Path, message: String, expected: &str| {
        problems.push(Problem::new(path, message).expected(expected));
    };
    match (&test.record, test.records.len()) {
        (None, 0) => complain(
            path.clone(),
            "there is no record".to_owned(),
            "`record`, or a list of `records`",
        ),
        (Some(_), 1..) => complain(
            path.key("records"),
            "`record` and `records` are both given".to_owned(),
            "one of them",
        ),
        _ => {}
    }
    if test.expect.is_empty() {
        complain(
            path.key("expect"),
            "the list is empty".to_owned(),
            "what is to become of the records: a document, `rejected` or `dropped`",
        );
    }
    if test.spout.is_none() && names.spouts.len() > 1 {
        complain(
            path.clone(),
            "the topology has several spouts".to_owned(),
            &format!("`spout`, one of {}", names.spouts.join(", ")),
        );
    }
    check_name(
        "spout",
        &test.spout,
        path.key("spout"),
        &names.spouts,
        problems,
    );
    for (number, one) in test.expect.iter().enumerate() {
        check_expected(one, &path.key("expect").index(number), names, problems);
    }
}

fn check_expected(one: &Expected, path: &Path, names: &Names, problems: &mut Problems) {
    let mut check = |what: &str, name: &Option<String>, path: Path, known: &[String]| {
        check_name(what, name, path, known, problems);
    };
    check("bolt", &one.bolt, path.key("bolt"), &names.bolts);
    check("stream", &one.stream, path.key("stream"), &names.streams);
    check("policy", &one.dropped, path.key("dropped"), &names.policies);
    if let Some(rejection) = &one.rejected {
        let path = path.key("rejected").key("by");
        check("bolt", &rejection.by, path, &names.bolts);
    }
    for (number, written) in one.without.iter().enumerate() {
        let field = IndexedField::new(written, &path.key("without").index(number));
        problems.extend([field.err()]);
    }
    problems.extend([contradiction(one, path)]);
}

/// Complains about a name that the topology does not have.
fn check_name(
    what: &str,
    name: &Option<String>,
    path: Path,
    known: &[String],
    problems: &mut Problems,
) {
    let Some(name) = name.as_ref().filter(|name| !known.contains(name)) else {
        return;
    };
    let expected = match known {
        [] => "none, as the topology has none".to_owned(),
        known => format!("one of {}", known.join(", ")),
    };
    let problem = Problem::new(path, format!("there is no {what} `{name}`"));
    let problem = problem.near(name, known.iter().map(String::as_str));
    problems.push(problem.expected(expected));
}

/// A record that is rejected or dropped is not written as well.
fn contradiction(expected: &Expected, path: &Path) -> Option<Problem> {
    let written = expected.index.is_some()
        || expected.topic.is_some()
        || expected.id.is_some()
        || expected.key.is_some()
        || expected.document.is_some()
        || !expected.without.is_empty();
    let (rejected, dropped) = (expected.rejected.is_some(), expected.dropped.is_some());
    let kinds = [written, rejected, dropped];
    match kinds.iter().filter(|kind| **kind).count() {
        0 if expected.bolt.is_none() && expected.stream.is_none() => Some(
            Problem::new(path.clone(), "it says nothing")
                .expected("bolt, index, topic, id, document, rejected or dropped"),
        ),
        0 | 1 => None,
        _ => Some(
            Problem::new(
                path.clone(),
                "a record that is written is not rejected or dropped",
            )
            .expected("one of the three for each of `expect`"),
        ),
    }
}
