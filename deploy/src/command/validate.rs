//! `isobar validate`: everything that is wrong with a topology file, at once.

use clap::Args;

use super::{Context, test};
use crate::cli::FileArgs;
use crate::exit::{Exit, Outcome};

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
    Ok(Exit::Done)
}
