//! `isobar test`: runs the tests of a topology. Starts nothing, writes nothing, contacts nobody.

mod file;
mod judge;

use std::path::{Path, PathBuf};

use clap::Args;
use isobar_topology::spec::{Node, Spec};
use serde::Serialize;

use super::Context;
use crate::cli::{FileArgs, OutputArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, number};
use crate::rehearsal::Stage;
use crate::topology_file::{Refused, TopologyFile};
use file::{Names, Test, Tests};
use judge::{Misfit, judge};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// What `test` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct TestArgs {
    #[command(flatten)]
    file: FileArgs,

    /// A file of tests, in place of the one beside the topology file. Can be given several times.
    #[arg(long, value_name = "FILE")]
    tests: Vec<PathBuf>,

    /// Only tests with this text in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar test logs.yaml
  isobar test logs.yaml --tests more.yaml --only 'an error' -o json

Tests stand under `tests` in the topology file, or in a file beside it: logs.tests.yaml for logs.yaml.

  tests:
    - name: an error goes to the index of its day
      now: 2026-01-31T12:00:00Z
      record: {value: {timestamp: \"2026-01-31T06:00:00Z\", level: error}}
      expect:
        - {bolt: index, index: logs-2026.01.31, document: {level: error}}
    - name: what is no JSON is rejected
      record: {value: \"not JSON\"}
      expect:
        - rejected: {by: parse, class: invalid_json}

A record has value, key, headers, timestamp, topic, partition and offset. An expectation has bolt, stream, \
index, topic, id, key, document and without, or rejected (by, class, reason), or dropped with the name of \
the policy. Everything that becomes of the records must be expected. Of documents only what is named \
counts, and reasons may say more; with `exact: true` nothing else may be there.

Exit code 0: all passed. 1: some failed. 2: a file is wrong, or there is no test.";

/// What came of a test.
#[derive(Serialize)]
struct Judged {
    file: String,
    line: u32,
    name: String,
    passed: bool,
    misfits: Vec<Misfit>,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    passed: usize,
    failed: usize,
    tests: Vec<Judged>,
}

pub(super) fn execute(args: &TestArgs, mut context: Context<'_>) -> Outcome {
    let (topology, plan) = args.file.plan(&mut context.environment, context.registry)?;
    let names = Names::of(&plan);
    let files = args.read(&topology, &names, &context)?;
    let is_meant = |test: &Test| match &args.only {
        Some(text) => test.name.contains(text.as_str()),
        None => true,
    };
    let mut report = Report {
        version: VERSION,
        passed: 0,
        failed: 0,
        tests: Vec::new(),
    };
    for Tests { file, tests } in files {
        for (line, test) in tests.into_iter().filter(|(_, test)| is_meant(test)) {
            let topic = topic_of(topology.spec()?, test.spout.as_deref());
            // What one test leaves behind in a bolt is nothing to another.
            let (_, plan) = args.file.plan(&mut context.environment, context.registry)?;
            let misfits = judge(&test, &topic, &names, &mut Stage::open(plan)?)?;
            let passed = misfits.is_empty();
            report.passed += usize::from(passed);
            report.failed += usize::from(!passed);
            report.tests.push(Judged {
                file: file.display().to_string(),
                line,
                name: test.name,
                passed,
                misfits,
            });
        }
    }
    if report.tests.is_empty() {
        return Err(args.no_test());
    }
    match args.output.format {
        Format::Table => context.output.text(&report.text())?,
        Format::Json => context.output.json(&report)?,
    }
    Ok(match report.failed {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

impl TestArgs {
    /// All tests. Refused with every problem of the first file that has any.
    fn read(
        &self,
        topology: &TopologyFile,
        names: &Names,
        context: &Context<'_>,
    ) -> Result<Vec<Tests>, Failure> {
        let mut all = vec![file::inside(topology, &self.file.file, names)?];
        let beside = file::beside(&self.file.file);
        let files: Vec<&Path> = match self.tests.as_slice() {
            [] => Some(beside.as_path())
                .filter(|file| file.exists())
                .into_iter()
                .collect(),
            given => given.iter().map(PathBuf::as_path).collect(),
        };
        for path in files {
            let load = |outside: &crate::substitute::Outside<'_>| file::load(path, outside, names);
            all.push(context.environment.outside(load)?);
        }
        Ok(all)
    }

    fn no_test(&self) -> Failure {
        let name = self.file.file.display();
        Failure::usage(match &self.only {
            Some(text) => format!("{name}: no test has {text:?} in its name"),
            None => format!(
                "{name}: there is no test; write some under `tests` in it, or in {} (`isobar test --help` \
                 shows two)",
                file::beside(&self.file.file).display()
            ),
        })
    }
}

/// The first topic that a spout names, or else its own name.
pub(super) fn topic_of(spec: &Spec, spout: Option<&str>) -> String {
    let mut spouts = spec.spouts.iter();
    let meant = spouts.find(|one| spout.is_none_or(|spout| one.id == spout));
    let topics = meant.and_then(|one| one.config.get("topics"));
    let named = topics.and_then(|topics| match topics.items() {
        [] => topics.text().and_then(|text| text.split(',').next()),
        items => items.first().and_then(Node::text),
    });
    let name = named.or(meant.map(|one| one.id.as_str()));
    name.unwrap_or_default().trim().to_owned()
}

/// Finds what is wrong with the tests in a topology file.
pub(super) fn check(
    topology: &TopologyFile,
    path: &Path,
    plan: &isobar_topology::Plan,
) -> Result<(), Refused> {
    let _ = file::inside(topology, path, &Names::of(plan))?;
    Ok(())
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        for test in &self.tests {
            let word = if test.passed { "passed" } else { "FAILED" };
            text.push_str(&format!("{word}  {}\n", test.name));
            if !test.passed {
                text.push_str(&format!("        {}:{}\n", test.file, test.line));
            }
            for misfit in &test.misfits {
                text.push_str(&misfit_text(misfit));
            }
        }
        let tests = if self.tests.len() == 1 {
            "test"
        } else {
            "tests"
        };
        text.push_str(&format!(
            "\n{} {tests}: {} passed, {} failed\n",
            number(self.tests.len()),
            number(self.passed),
            number(self.failed)
        ));
        text
    }
}

fn misfit_text(misfit: &Misfit) -> String {
    match misfit {
        Misfit::Missing { expected } => {
            format!("        expected  {expected}\n        found     nothing\n")
        }
        Misfit::Unexpected { record, found } => {
            format!("        expected  nothing more\n        found     record {record}: {found}\n")
        }
        Misfit::Different {
            expected,
            record,
            found,
            differences,
        } => {
            let mut text = format!(
                "        expected  {expected}\n        found     record {record}: {found}\n"
            );
            for one in differences {
                let show = |value: &Option<serde_json::Value>| match value {
                    Some(value) => value.to_string(),
                    None => "nothing".to_owned(),
                };
                let (path, before, after) = (&one.path, show(&one.before), show(&one.after));
                text.push_str(&format!(
                    "          - {path}: {before}\n          + {path}: {after}\n"
                ));
            }
            text
        }
    }
}
