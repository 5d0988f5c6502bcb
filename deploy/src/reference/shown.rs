//! The example of a bolt at work: its records run through it as `isobar try` runs them, when somebody
//! looks, so that what is shown is what the bolt does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use isobar_operators::sample::Sampled;
use isobar_topology::{BoltType, Example};
use serde::Serialize;
use serde_json::{Value, json};

use crate::rehearsal::{Outcome, Rejected, Stage, Step, Told};
use crate::{Outside, TopologyFile};

/// When all of it takes place, 2026-01-31T12:00:00Z in ms since 1970: what bolts make of records may
/// depend on it.
const NOW: i64 = 1_769_860_800_000;

/// The spout that examples of parsers read, and the parser before all others.
const SPOUT: &str = "logs";
const PARSER: &str = "parse";

/// Characters of a document on one line; a longer one has a line for each member.
const WIDTH: usize = 80;

/// A record and what becomes of it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The value of the record.
    pub record: String,
    /// What each bolt made of it, and its ends.
    #[serde(flatten)]
    pub told: Told,
}

/// Runs the records of a type's example. Contacts nobody; files that the example reads are in a
/// temporary directory meanwhile.
///
/// Fails when the example cannot be planned or the directory not be written.
pub(super) fn shown(kind: &BoltType) -> anyhow::Result<Vec<Shown>> {
    if kind.example.records.is_empty() {
        return Ok(Vec::new());
    }
    let files = Files::of(&kind.example)?;
    let mut stage = stage(kind, files.directory())?;
    let mut all = Vec::new();
    for (offset, value) in (0..).zip(kind.example.records) {
        let record = Sampled {
            offset,
            timestamp: NOW,
            payload: Some(value.as_bytes().to_vec()),
            ..Sampled::of_topic(SPOUT)
        };
        let told = stage.run(SPOUT, &record, Some(NOW));
        all.push(Shown {
            record: (*value).to_owned(),
            told: told.map_err(|failure| failure.error)?,
        });
    }
    Ok(all)
}

/// The example with what it needs before it; it has the name of its type.
fn stage(kind: &BoltType, directory: &Path) -> anyhow::Result<Stage> {
    let outside = Outside {
        variable: &|_| None,
        file: &|_| Err(std::io::ErrorKind::NotFound.into()),
    };
    let read =
        |text: String| TopologyFile::from_text(&directory.join("example.yaml"), text, &outside);
    let mut bolt = read(kind.example.yaml.to_owned()).tree().to_json();
    let from = if bolt["inputs"] == json!([SPOUT]) {
        SPOUT
    } else {
        PARSER
    };
    bolt["inputs"] = json!([from]);
    let topology = json!({
        "isobar": 1,
        "name": "example",
        "connections": {
            "kafka": {"type": "kafka", "brokers": ["localhost:9092"]},
            "search": {"type": "elasticsearch", "hosts": ["http://localhost:9200"]},
        },
        "spouts": {SPOUT: {"type": "kafka", "connection": "kafka", "topics": [SPOUT], "start": "earliest"}},
        "bolts": {PARSER: {"type": "parse_json", "inputs": [SPOUT]}, kind.name: bolt},
    });
    // JSON is YAML.
    let file = read(topology.to_string());
    let mut part = file.spec()?.clone();
    // Nobody consumes what it puts out: all that counts is that it does.
    part.is_torn = true;
    let mut registry = isobar_operators::registry();
    // The first one of a name counts.
    registry.bolts.insert(0, *kind);
    let plan = file.plan_part(&part, &registry, 1)?;
    Stage::open(plan).map_err(|failure| failure.error)
}

/// For people: the record, and below it what becomes of it at the bolt of this name.
pub(super) fn text(shown: &Shown, bolt: &str) -> String {
    let mut text = format!("{}\n", shown.record);
    let told = &shown.told;
    let mut steps: Vec<&Step> = told.steps.iter().filter(|step| step.bolt == bolt).collect();
    steps.sort_by_key(|step| step.part);
    for step in steps {
        text.push_str(&format!("  → {}\n", step_text(step, told)));
    }
    for end in told
        .ends
        .iter()
        .filter(|end| end.bolt.as_deref() == Some(bolt))
    {
        text.push_str(&format!("  → {}\n", outcome_text(&end.outcome)));
    }
    text
}

fn step_text(step: &Step, told: &Told) -> String {
    let part = match step.part.is_empty() {
        true => String::new(),
        false => format!("part {}: ", step.part),
    };
    if let Some(rejected) = &step.rejected {
        return format!("{part}{}", rejected_text(rejected));
    }
    let before = step.after.map(|after| &told.steps[after]);
    let is_new = before.is_none_or(|before| before.document != step.document);
    let document = step.document.as_ref().filter(|_| is_new);
    let what = match (document, step.stream.as_str()) {
        (Some(document), "out") => document_text(document),
        (Some(document), _) => format!("{}: {}", step.name(), document_text(document)),
        (None, "out") => "as it is".to_owned(),
        (None, _) => step.name(),
    };
    // Without a better one it is the timestamp of the record.
    let time = step.event_time.filter(|time| *time != NOW);
    let time = time.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match time {
        Some(time) => format!("{part}{what}\n    event time {time}"),
        None => format!("{part}{what}"),
    }
}

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rejected(rejected) => rejected_text(rejected),
        Outcome::Dropped { policy } => format!("dropped by {policy}"),
        Outcome::Failed { reason } => format!("not settled: {reason}"),
        Outcome::Written(written) => {
            let mut text = format!("{} {}", written.kind.replace('_', " "), written.target);
            for (what, value) in [("id", &written.id), ("key", &written.key)] {
                if let Some(value) = value {
                    text.push_str(&format!(", {what} {value}"));
                }
            }
            match (&written.document, &written.text) {
                (Some(document), _) => text.push_str(&format!(": {}", document_text(document))),
                (None, Some(written)) => text.push_str(&format!(": {written}")),
                (None, None) => {}
            }
            text
        }
    }
}

fn rejected_text(rejected: &Rejected) -> String {
    format!("rejected as {}: {}", rejected.class, rejected.reason)
}

fn document_text(document: &Value) -> String {
    value_text(document, "    ")
}

/// JSON on one line, or with a line for each member where that is too long; `indent` is that of the line.
fn value_text(value: &Value, indent: &str) -> String {
    let line = value.to_string();
    let Some(members) = value.as_object().filter(|_| line.chars().count() > WIDTH) else {
        return line;
    };
    let inner = format!("{indent}  ");
    let members = members.iter().map(|(name, value)| {
        let name = Value::from(name.as_str());
        format!("{inner}{name}: {}", value_text(value, &inner))
    });
    format!(
        "{{\n{}\n{indent}}}",
        members.collect::<Vec<_>>().join(",\n")
    )
}

/// The files of an example, as long as they are needed.
struct Files {
    /// Empty where there are none.
    directory: PathBuf,
}

impl Files {
    fn of(example: &Example) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut files = Self {
            directory: PathBuf::new(),
        };
        if example.files.is_empty() {
            return Ok(files);
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("isobar-example-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let advice = || {
            format!(
                "cannot write to {}: set TMPDIR to a directory that can be written",
                directory.display()
            )
        };
        // One that is there already is another's.
        std::fs::create_dir(&directory).with_context(advice)?;
        files.directory.clone_from(&directory);
        for (name, text) in example.files {
            std::fs::write(directory.join(name), text).with_context(advice)?;
        }
        Ok(files)
    }

    fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if !self.directory.as_os_str().is_empty() {
            // What is left over in the temporary directory harms nobody.
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bolt_is_shown_at_work_and_settles_its_records() {
        for kind in isobar_operators::registry().bolts {
            let name = kind.name;
            let all = shown(&kind).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert!(!all.is_empty(), "{name} has no records");
            for one in &all {
                let Shown { record, told } = one;
                let here = told.steps.iter().filter(|step| step.bolt == name).count()
                    + told
                        .ends
                        .iter()
                        .filter(|end| end.bolt.as_deref() == Some(name))
                        .count();
                assert!(here > 0, "{name} makes nothing of {record}");
                let failed = told.ends.iter();
                let failed = failed.filter(|end| matches!(end.outcome, Outcome::Failed { .. }));
                assert_eq!(failed.count(), 0, "{record}: {}", text(one, name));
            }
        }
    }

    #[test]
    fn files_of_an_example_are_gone_afterwards() {
        let example = Example::of("", &[]).with_files(&[("a.csv", "a\n1\n")]);
        let files = Files::of(&example).expect("the temporary directory can be written");
        let file = files.directory().join("a.csv");
        assert_eq!(std::fs::read_to_string(&file).expect("is there"), "a\n1\n");
        drop(files);
        assert!(!file.exists());
    }

    #[test]
    fn an_example_that_is_wrong_says_so() {
        let mut kind = isobar_operators::registry().bolts[0];
        kind.example.yaml = "type: parse_json\ninputs: [logs]\nfeild: a\n";
        let error = shown(&kind).expect_err("there is no such option");
        assert!(format!("{error:#}").contains("feild"), "{error:#}");
    }
}
