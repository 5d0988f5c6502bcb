//! `isobar plan`: what a topology would run.

use clap::Args;

use super::Context;
use crate::cli::{FileArgs, OutputArgs};
use crate::exit::{Exit, Outcome};
use crate::output::Format;
use crate::plan_document::PlanDocument;

/// What `plan` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct PlanArgs {
    #[command(flatten)]
    file: FileArgs,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar plan logs.yaml
  isobar plan logs.yaml -o json | jq .memory.total";

pub(super) fn execute(args: &PlanArgs, mut context: Context<'_>) -> Outcome {
    let (_, plan) = args.file.plan(&mut context.environment, context.registry)?;
    let document = PlanDocument::of(&plan);
    match args.output.format {
        Format::Table => context.output.text(&document.text())?,
        Format::Json => context.output.json(&document)?,
    }
    Ok(Exit::Done)
}
