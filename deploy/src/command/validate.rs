//! `isobar validate`: everything that is wrong with a topology file, at once.

use clap::Args;

use super::{Context, test};
use crate::cli::FileArgs;
use crate::exit::{Exit, Outcome};
use crate::plan_document::note_text;

/// What `validate` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct ValidateArgs {
    #[command(flatten)]
    file: FileArgs,
}

const EXAMPLE: &str = "\
Example:
  isobar validate logs.yaml --env-file production.env";

pub(super) fn execute(args: &ValidateArgs, mut context: Context<'_>) -> Outcome {
    let (file, plan) = args.file.plan(&mut context.environment, context.registry)?;
    test::check(&file, &args.file.file, &plan)?;
    context
        .output
        .line(&format!("{}: valid", args.file.file.display()))?;
    for note in &plan.report.notes {
        context.output.text(&note_text(note))?;
    }
    Ok(Exit::Done)
}
