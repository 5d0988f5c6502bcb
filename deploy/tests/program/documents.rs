//! What documents show is right: every topology in them is planned, and records go through it.

use std::path::{Path, PathBuf};

use ::isobar::generate::{Generated, Generator, Lines};
use ::isobar::rehearsal::{Outcome, Stage, Told, Written};
use ::isobar::{Outside, TopologyFile};
use isobar_operators::sample::Sampled;
use isobar_topology::clock;

const OPERATORS: &str = include_str!("../../OPERATORS.md");
const MIGRATING: &str = include_str!("../../MIGRATING.md");
const SUPPORT: &str = include_str!("../../SUPPORT.md");
const SERVICES: &str = include_str!("../../../tests/services.list");

/// A block of code.
struct Block {
    /// The heading above it.
    section: String,
    /// What stands behind the fence.
    info: String,
    text: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let (mut blocks, mut section): (Vec<Block>, _) = (Vec::new(), "");
    let mut is_open = false;
    for line in markdown.lines() {
        match line.strip_prefix("```") {
            Some(info) => {
                is_open = !is_open;
                if is_open {
                    let (section, info) = (section.to_owned(), info.to_owned());
                    let text = String::new();
                    blocks.push(Block {
                        section,
                        info,
                        text,
                    });
                }
            }
            None if is_open => {
                let block = blocks.last_mut().expect("one is open");
                block.text += line;
                block.text += "\n";
            }
            None => section = line.strip_prefix("## ").unwrap_or(section),
        }
    }
    blocks
}

fn topology(text: &str) -> TopologyFile {
    let outside = Outside {
        variable: &|_| None,
        file: &|_| Ok("a secret".to_owned()),
    };
    TopologyFile::from_text(Path::new("block.yaml"), text.to_owned(), &outside)
}

fn stage(text: &str) -> Stage {
    let plan = topology(text).plan(&isobar_operators::registry(), 2);
    let plan = plan.unwrap_or_else(|refused| panic!("{refused}\n{text}"));
    Stage::open(plan).unwrap_or_else(|failure| panic!("{:#}", failure.error))
}

/// A record with the key `k`, through the spout of this id.
fn run(stage: &mut Stage, spout: &str, line: &str) -> Told {
    let record = Sampled {
        timestamp: clock::unix_ms(),
        key: Some(b"k".to_vec()),
        payload: Some(line.as_bytes().to_vec()),
        ..Sampled::of_topic("topic")
    };
    let told = stage.run(spout, &record, None);
    told.unwrap_or_else(|failure| panic!("{:#}", failure.error))
}

fn written(told: &Told) -> &Written {
    match &told.ends[..] {
        [end] => match &end.outcome {
            Outcome::Written(written) => written,
            other => panic!("{other:?}"),
        },
        ends => panic!("{ends:?}"),
    }
}

/// `@timestamp`, in seconds since 1970.
fn time_of(document: &serde_json::Value) -> i64 {
    let time = document["@timestamp"].as_str().expect("text");
    let time: jiff::Timestamp = time.parse().expect("a time");
    time.as_second()
}

#[test]
fn topologies_for_those_who_come_from_elsewhere_do_what_they_promise() {
    let shown: Vec<Block> = blocks(MIGRATING)
        .into_iter()
        .filter(|block| block.info == "yaml")
        .collect();
    let cases = [
        ("Logstash", "lines", Lines::Access, "access-20"),
        ("Vector", "events", Lines::Json, "logs-20"),
        ("Fluent Bit", "events", Lines::Json, "events-20"),
        ("Kafka Connect", "changes", Lines::Json, "customers"),
    ];
    assert_eq!(shown.len(), cases.len());
    for (block, (section, spout, lines, target)) in shown.iter().zip(cases) {
        assert_eq!(block.section, section);
        let mut stage = stage(&block.text);
        let start = clock::unix_ms() - 3_600_000;
        let mut record = Generated::default();
        Generator::new(lines, 1, start, 1_000).next_into(&mut record);
        let told = run(&mut stage, spout, &record.line);
        let written = written(&told);
        assert!(written.target.starts_with(target), "{written:?}");
        let document = written.document.as_ref().expect("a document");
        match section {
            "Logstash" => {
                assert_eq!(document["response"], "200", "{document}");
                assert_eq!(document["message"], record.line, "{document}");
                assert_eq!(time_of(document), record.timestamp / 1_000, "{document}");
            }
            "Vector" => {
                assert_eq!(document["env"], "prod", "{document}");
                let debug = record.line.replace("\"info\"", "\"debug\"");
                let told = run(&mut stage, spout, &debug);
                let Outcome::Dropped { policy } = &told.ends[0].outcome else {
                    panic!("{told:?}");
                };
                assert_eq!(policy, "kept.filtered");
            }
            "Fluent Bit" => {
                assert_eq!(document["http"]["status"], 200, "{document}");
                let age = clock::unix_ms() / 1_000 - time_of(document);
                assert!((0..600).contains(&age), "{document}");
            }
            _ => assert_eq!(written.id.as_deref(), Some("k"), "{written:?}"),
        }
        assert!(run(&mut stage, spout, "garbage").is_rejected(), "{section}");
    }
}

/// Every document of the repository.
fn documents() -> Vec<PathBuf> {
    fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("it is there") {
            let path = entry.expect("it can be read").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') || name == "target" || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                collect(&path, found);
            } else if name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    collect(&root, &mut found);
    found
}

/// That whole ones do what is said of them is shown by the tests beside this one.
#[test]
fn every_block_of_yaml_in_documents_is_planned_and_opened_or_an_example_of_an_operator() {
    let registry = isobar_operators::registry();
    let examples: Vec<&str> = (registry.spouts.iter().map(|kind| kind.example))
        .chain(registry.bolts.iter().map(|kind| kind.example.yaml))
        .collect();
    let mut seen = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).expect("text");
        for Block { info, text, .. } in blocks(&text) {
            let name = document.display();
            let is_yaml = info.split(' ').next() == Some("yaml");
            if !is_yaml {
                continue;
            }
            seen += 1;
            // Of another program, whose name stands behind.
            if info != "yaml" {
                continue;
            }
            if text.starts_with("isobar: 1\n") {
                let _ = stage(&text);
            } else if text.starts_with("connections:\n") {
                let rest = "isobar: 1\nname: t\nspouts: {s: {type: kafka, connection: kafka, topics: [t], start: latest}}\n\
                            bolts: {b: {type: blackhole, inputs: [s], on_rejected: drop}}\n";
                let kafka = match text.contains("\n  kafka:") {
                    true => text.clone(),
                    false => format!("{text}  kafka: {{type: kafka, brokers: \"a:1\"}}\n"),
                };
                let _ = stage(&format!("{rest}{kafka}"));
            } else {
                // The examples of operators are planned and run by their own tests.
                assert!(
                    examples.contains(&text.as_str()),
                    "{name}: nothing runs\n{text}"
                );
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn the_whole_topology_of_the_reference_does_what_it_shows() {
    let shown = blocks(OPERATORS);
    let block = shown
        .iter()
        .find(|block| block.section == "A whole topology file");
    let mut stage = stage(&block.expect("it is there").text);
    let created = jiff::Timestamp::from_millisecond(clock::unix_ms()).expect("in range");
    let order = |more: &str| format!("{{\"created\":\"{created}\",\"host\":\"WEB-01.eu\",{more}}}");
    for (more, is_marked) in [
        ("\"total\":1500,\"customer\":{\"kind\":\"new\"}", true),
        ("\"total\":5,\"customer\":{\"kind\":\"vip\"}", true),
        ("\"total\":5,\"customer\":{\"kind\":\"new\"}", false),
    ] {
        let told = run(&mut stage, "orders", &order(more));
        let written = written(&told);
        let index = format!("orders-{}", created.strftime("%Y.%m.%d"));
        assert_eq!(written.target, index, "{more}");
        let document = written.document.as_ref().expect("a document");
        let marks = ["priority", "shop", "sender"].map(|name| document[name].as_str());
        let expected = match is_marked {
            true => [Some("high"), Some("web-0"), Some("unknown")],
            false => [None; 3],
        };
        assert_eq!(marks, expected, "{document}");
    }
    assert!(run(&mut stage, "orders", "garbage").is_rejected());
}

#[test]
fn every_function_of_expressions_is_documented() {
    let file = "isobar: 1\nname: t\n\
                connections: {k: {type: kafka, brokers: \"a:1\"}}\n\
                spouts: {s: {type: kafka, connection: k, topics: [t], start: latest}}\n\
                bolts:\n  f: {type: filter, inputs: [s], keep_when: \"nosuch(1)\"}\n";
    let plan = topology(file).plan(&isobar_operators::registry(), 2);
    let problems = plan.err().expect("no such function").to_string();
    let (_, functions) = problems.split_once("expected one of ").expect("a list");
    let functions = functions.lines().next().expect("a line");
    let functions: Vec<&str> = functions
        .split_inclusive(')')
        .map_while(|one| one.trim_start_matches(", ").strip_suffix(')'))
        .take_while(|one| one.contains('('))
        .collect();
    assert!(functions.len() > 10, "{functions:?}");
    for function in functions {
        assert!(OPERATORS.contains(&format!("`{function})`")), "{function}");
    }
}

#[test]
fn versions_that_are_said_to_be_tested_are_those_that_the_tests_start() {
    let names = [
        ("Apache Kafka", "kafka"),
        ("Elasticsearch", "elasticsearch"),
        ("OpenSearch", "opensearch"),
    ];
    let rows = SUPPORT.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (system, version) = (cells.next()?, cells.next()?);
        let (_, name) = names.iter().find(|(said, _)| *said == system)?;
        Some(format!("{name}-{version}"))
    });
    let started = SERVICES.lines().filter(|line| !line.starts_with('#'));
    let started = started.filter_map(|line| line.split(' ').next());
    assert_eq!(rows.collect::<Vec<_>>(), started.collect::<Vec<_>>());
}
