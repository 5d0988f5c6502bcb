//! `isobar pause` and `isobar resume`: whether the spouts of running topologies read.

use std::path::PathBuf;

use clap::Args;
use isobar_topology::spec::units;

use super::Context;
use super::api::{Api, DEFAULT};
use super::runtime::block_on;
use crate::cli::OutputArgs;
use crate::diagnostics::rfc3339;
use crate::exit::{Exit, Failure, Outcome};
use crate::http::Pauses;
use crate::output::{Format, Table};
use crate::token::Token;

/// What `pause` and `resume` take.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct PauseArgs {
    /// The addresses of the HTTP APIs of topologies that run; that of a demo may have its token behind it.
    /// Each replica reads its own partitions: name all of them.
    #[arg(value_name = "URL", default_value = DEFAULT)]
    url: Vec<Api>,

    /// One spout. Default: all.
    #[arg(long, value_name = "SPOUT")]
    spout: Option<String>,

    /// The file with the token that the topology was started with (`isobar run --token-file`).
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// How long an answer may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: units::Duration,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar pause --token-file /run/secrets/isobar
  isobar pause http://10.0.0.7:10132 http://10.0.0.8:10132 \\
      --token-file /run/secrets/isobar
  isobar resume --spout logs --token-file /run/secrets/isobar
  isobar pause 'http://127.0.0.1:10132/#token=0123456789abcdef'

While a spout is paused it stays in its group and keeps its partitions, what it has read is worked off and committed, and its lag grows: `isobar lag`, `top` and the page say PAUSED. /readyz stays 200: the process is alive and in its group. Records that are deleted meanwhile are lost, so look at HEADROOM.

A pause is of one process and ends with it: a topology that is started again reads, and so does another replica that takes its partitions over. To keep a topology from reading for longer, stop it.";

/// The command line's word.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wish {
    Pause,
    Resume,
}

pub(super) fn execute(args: &PauseArgs, wish: Wish, context: Context<'_>) -> Outcome {
    let file = args.token_file.as_deref();
    let tokens = args.url.iter().map(|api| api.token(file));
    let tokens: Vec<Token> = tokens.collect::<Result<_, _>>()?;
    let (path, what) = match wish {
        Wish::Pause => ("/pause", "that it paused"),
        Wish::Resume => ("/resume", "that it reads again"),
    };
    let mut answers = Vec::new();
    let mut failures = Vec::new();
    block_on(async {
        for (api, token) in args.url.iter().zip(&tokens) {
            let query: Vec<_> = args.spout.iter().map(|spout| ("spout", &**spout)).collect();
            let within = args.timeout.get();
            // One that does not answer must not keep the others as they are.
            match api.post::<Pauses>(path, &query, token, what, within).await {
                Ok(answer) => answers.push((api.address(), answer)),
                Err(failure) => failures.push(failure),
            }
        }
    })?;
    match args.output.format {
        Format::Table if answers.is_empty() => {}
        Format::Table => context.output.text(&table(&answers))?,
        Format::Json => {
            let documents: Vec<&Pauses> = answers.iter().map(|(_, answer)| answer).collect();
            context.output.json(&documents)?;
        }
    }
    match failures.pop() {
        None => Ok(Exit::Done),
        Some(last) => {
            for failure in failures {
                context.screen.line(&format!("isobar: {:#}", failure.error));
            }
            Err::<Exit, Failure>(last)
        }
    }
}

fn table(answers: &[(&str, Pauses)]) -> String {
    let mut table = Table::new(["ADDRESS", "TOPOLOGY", "SPOUT", "STATE"]);
    for (address, answer) in answers {
        for spout in &answer.spouts {
            let state = match spout.paused_since_ms {
                Some(since) => format!("paused since {}", rfc3339(since)),
                None => "reads".to_owned(),
            };
            table.row([
                (*address).to_owned(),
                answer.topology.clone(),
                spout.spout.clone(),
                state,
            ]);
        }
    }
    table.text()
}
