//! `isobar validate`: everything that is wrong with topology files, at once.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Context, test};
use crate::cli::OutputArgs;
use crate::environment::cores;
use crate::exit::{Exit, Outcome};
use crate::output::Format;
use crate::plan_document::note_text;
use crate::topology_file::{Refused, TopologyFile};

/// Version of the JSON form.
const VERSION: u32 = 1;

/// What `validate` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct ValidateArgs {
    /// The topology files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// A file of KEY=VALUE lines for `${KEY}` in the topology files. Can be given several times: later
    /// files win over earlier ones, and the environment wins over all.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar validate logs.yaml --env-file production.env
  isobar validate logs.yaml metrics.yaml
  isobar validate logs.yaml -o json | jq -r '.problems[].message'";

/// What was found in all files.
#[derive(Serialize)]
struct Report {
    version: u32,
    /// Whether a topology of each file can be run.
    valid: bool,
    problems: Vec<Problem>,
    notes: Vec<Note>,
}

/// One thing that is wrong.
#[derive(Serialize)]
struct Problem {
    file: String,
    /// From 1; null where it is of no place, such as a file that cannot be read.
    line: Option<u32>,
    /// From 1, in characters; null where the line is.
    column: Option<u32>,
    /// Where in the tree of values: `bolts.sink.inputs[0]`. Empty for the file as a whole.
    path: String,
    message: String,
    expected: Option<String>,
    /// The known name that was probably meant.
    nearest: Option<String>,
}

/// What is allowed and may not be meant.
#[derive(Serialize)]
struct Note {
    file: String,
    message: String,
}

pub(super) fn execute(args: &ValidateArgs, mut context: Context<'_>) -> Outcome {
    context.environment.add_files(&args.env_file)?;
    let mut report = Report {
        version: VERSION,
        valid: true,
        problems: Vec::new(),
        notes: Vec::new(),
    };
    let mut last = None;
    for path in &args.files {
        let found = notes(path, &context);
        match (args.output.format, found) {
            (Format::Json, found) => report.add(path, found),
            (Format::Table, Ok(notes)) => {
                let name = path.display();
                context.output.line(&format!("{name}: valid"))?;
                for note in &notes {
                    context.output.text(&note_text(note))?;
                }
            }
            (Format::Table, Err(refused)) => {
                if let Some(earlier) = last.replace(refused) {
                    context.screen.line(&earlier.to_string());
                }
            }
        }
    }
    if args.output.format == Format::Json {
        context.output.json(&report)?;
        return match report.valid {
            true => Ok(Exit::Done),
            false => Ok(Exit::Usage),
        };
    }
    match last {
        None => Ok(Exit::Done),
        Some(refused) => Err(refused.into()),
    }
}

/// What may not be meant in a file that is sound.
fn notes(path: &Path, context: &Context<'_>) -> Result<Vec<String>, Refused> {
    let file = context
        .environment
        .outside(|outside| TopologyFile::load(path, outside));
    let plan = file.plan(context.registry, cores())?;
    test::check(&file, path, &plan)?;
    Ok(plan.report.notes)
}

impl Report {
    fn add(&mut self, path: &Path, found: Result<Vec<String>, Refused>) {
        let file = path.display().to_string();
        match found {
            Ok(notes) => self.notes.extend(notes.into_iter().map(|message| Note {
                file: file.clone(),
                message,
            })),
            Err(refused) => {
                self.valid = false;
                let problems = refused.problems().iter().map(|problem| Problem {
                    file: file.clone(),
                    line: problem.place.map(|place| place.line),
                    column: problem.place.map(|place| place.column),
                    path: problem.path.to_string(),
                    message: problem.message.clone(),
                    expected: problem.expected.clone(),
                    nearest: problem.nearest.clone(),
                });
                self.problems.extend(problems);
            }
        }
    }
}
