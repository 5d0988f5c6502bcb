//! `isobar plan`: what a topology would run.

use clap::Args;

use super::Context;
use crate::cli::FileArgs;
use crate::exit::{Exit, Outcome};
use crate::output::Format;
use crate::plan_document::PlanDocument;

/// What `plan` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct PlanArgs {
    #[command(flatten)]
    file: FileArgs,

    /// How the plan is printed: table or json.
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        hide_possible_values = true
    )]
    output: Format,
}

const EXAMPLE: &str = "\
Examples:
  isobar plan logs.yaml
  isobar plan logs.yaml -o json | jq .memory.total";

pub(super) fn execute(args: &PlanArgs, mut context: Context<'_>) -> Outcome {
    let (_, plan) = args.file.plan(&mut context.environment, context.registry)?;
    let document = PlanDocument::of(&plan);
    match args.output {
        Format::Table => context.output.text(&document.text())?,
        Format::Json => context.output.json(&document)?,
    }
    Ok(Exit::Done)
}
