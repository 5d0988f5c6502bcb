//! `isobar lag`: how far the consumer groups of a topology are behind.

use clap::Args;
use isobar_topology::spec::units::Duration;

use super::Context;
use crate::cli::{FileArgs, OutputArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::lag::{self, LagDocument, SpoutLag};
use crate::output::Format;

/// What `lag` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct LagArgs {
    #[command(flatten)]
    file: FileArgs,

    /// How long each of a few questions to the brokers may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Duration,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar lag logs.yaml
  isobar lag logs.yaml -o json | jq '.spouts[].lag'

COMMITTED is the offset that the group goes on from, END the one after the last record, LAG what is
between them, OLDEST the age of the first record in it. `?` (null in JSON) stands for what is not known:
the exit code is 4 then, and standard error says why.";

pub(super) fn execute(args: &LagArgs, mut context: Context<'_>) -> Outcome {
    // The whole file is checked, so that what is wrong with it is said in the same words everywhere.
    let (file, _) = args.file.plan(&mut context.environment, context.registry)?;
    let spec = file.spec()?;
    let spouts = lag::of_file(spec, args.timeout.get())
        .map_err(|problems| Failure::from(file.refuse(problems)))?;
    if spouts.is_empty() {
        let name = args.file.file.display();
        return Err(Failure::usage(format!(
            "{name} has no spout that reads Kafka"
        )));
    }
    match args.output.format {
        Format::Table => context.output.text(&lag::table(&spouts))?,
        Format::Json => {
            let document = LagDocument::of(&spec.name, spouts.clone());
            context.output.json(&document)?;
        }
    }
    let unknown: Vec<String> = spouts.iter().filter_map(why_unknown).collect();
    for why in &unknown {
        context.screen.line(&format!("isobar: {why}"));
    }
    Ok(match unknown.is_empty() {
        true => Exit::Done,
        false => Exit::Undetermined,
    })
}

/// What there is to say about a lag that is not known, or not wholly.
fn why_unknown(spout: &SpoutLag) -> Option<String> {
    if let Some(failure) = &spout.failure {
        return Some(format!(
            "the lag of {} is not known: {failure}",
            spout.spout
        ));
    }
    let partition = spout
        .partitions
        .iter()
        .find(|partition| partition.lag.is_none())?;
    Some(format!(
        "the lag of {} is not known: its group {} has committed nothing for {}/{}",
        spout.spout, spout.group, partition.topic, partition.partition
    ))
}
