//! `isobar operators`: what a topology file can name, and the reference of each.

use clap::Args;
use isobar_topology::spec::nearest;

use super::Context;
use crate::cli::OutputArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Table};
use crate::reference::{self, Reference};

/// What `operators` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct OperatorsArgs {
    /// The type to show; all are listed without it. `settings` shows those of a topology.
    name: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar operators
  isobar operators elasticsearch
  isobar operators parse_json -o json | jq '.[].schema'";

pub(super) fn execute(args: &OperatorsArgs, context: Context<'_>) -> Outcome {
    let mut references = reference::all(context.registry);
    if let Some(name) = &args.name {
        let known: Vec<String> = references.iter().map(|r| r.name.clone()).collect();
        references.retain(|reference| reference.name == *name);
        if references.is_empty() {
            let known = known.iter().map(String::as_str);
            let nearest = nearest(name, known).map(|name| format!("; did you mean {name}?"));
            return Err(Failure::usage(format!(
                "there is no operator {name}: `isobar operators` lists them{}",
                nearest.unwrap_or_default()
            )));
        }
    }
    if args.name.is_some() {
        for reference in &mut references {
            if let Err(error) = reference.show() {
                let text = format!("isobar: the example cannot be shown at work: {error:#}");
                context.screen.line(&text);
            }
        }
    }
    match (args.output.format, &args.name) {
        (Format::Json, _) => context.output.json(&references)?,
        (Format::Table, None) => context.output.text(&list(&references))?,
        (Format::Table, Some(_)) => {
            let texts: Vec<String> = references.iter().map(Reference::text).collect();
            context.output.text(&texts.join("\n\n"))?;
        }
    }
    Ok(Exit::Done)
}

fn list(references: &[Reference]) -> String {
    let mut table = Table::new(["NAME", "KIND", "WHAT IT DOES"]);
    for reference in references {
        table.row([
            reference.name.clone(),
            reference.kind.word().to_owned(),
            reference.summary(),
        ]);
    }
    table.text()
}
