//! `isobar top`: a topology that runs, at a terminal, as it changes.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use isobar_topology::spec::units;

use super::Context;
use super::api::{Api, DEFAULT};
use super::signals::Signals;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::printable;
use crate::top::Seen;

/// What `top` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct TopArgs {
    /// The address of the HTTP API of a topology that runs.
    #[arg(value_name = "URL", default_value = DEFAULT)]
    url: Api,

    /// How often it is asked, at least every 100 ms.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    every: units::Duration,

    /// Answers once and ends; with exit code 4 when the topology does not answer.
    #[arg(long)]
    once: bool,

    /// How long an answer may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: units::Duration,
}

const EXAMPLE: &str = "\
Examples:
  isobar top
  isobar top http://10.0.0.7:10132 --every 5s
  isobar top --once

BUSY is the part of the time of all lanes that is spent inside of a bolt, QUEUE what waits for it or, \
of a spout, what is in flight, of what may. The bottleneck is marked with `<`. `?` stands for what is \
not known.";

/// Clears the screen (ED of ECMA-48).
const CLEAR: &str = "\x1b[2J";
/// Puts the cursor at the start of the screen (CUP).
const HOME: &str = "\x1b[H";
/// Clears what is behind the cursor in its line (EL), and ends the line.
const REST_OF_LINE: &str = "\x1b[K\n";
/// Clears what is below the cursor (ED).
const REST_OF_SCREEN: &str = "\x1b[J";

pub(super) fn execute(args: &TopArgs, context: Context<'_>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make the runtime of the command")?;
    runtime.block_on(async {
        if args.once {
            context.output.text(&ask(args).await?.text())?;
            return Ok(Exit::Done);
        }
        watch(args, &context).await
    })
}

async fn watch(args: &TopArgs, context: &Context<'_>) -> Outcome {
    let mut signals = Signals::listen()?;
    let mut ticks = tokio::time::interval(args.every.get().max(Duration::from_millis(100)));
    let redraws = std::io::stdout().is_terminal();
    let mut last = None;
    if redraws {
        let _ = context.output.write(CLEAR.as_bytes())?;
    }
    loop {
        let turn = async {
            let _ = ticks.tick().await;
            ask(args).await
        };
        let seen = tokio::select! {
            biased;
            _ = signals.next() => return Ok(Exit::Done),
            seen = turn => seen,
        };
        let text = match (seen, &last) {
            (Ok(seen), _) => last.insert(seen.text()).clone(),
            // What was seen last stays, under the word that it is old.
            (Err(failure), Some(last)) => format!("{:#}; asking again\n\n{last}", failure.error),
            (Err(failure), None) => format!("{:#}; asking again\n", failure.error),
        };
        let text = printable(&text);
        let drawn = match redraws {
            // Not cleared before: that flickers.
            true => format!("{HOME}{}{REST_OF_SCREEN}", text.replace('\n', REST_OF_LINE)),
            false => format!("{text}\n"),
        };
        let _ = context.output.write(drawn.as_bytes())?;
    }
}

async fn ask(args: &TopArgs) -> Result<Seen, Failure> {
    let (api, within) = (&args.url, args.timeout.get());
    Ok(Seen {
        statistics: api.get("/statistics", "its statistics", within).await?,
        accounting: api.get("/accounting", "its accounting", within).await?,
        facts: api.get("/diagnostics", "its diagnostics", within).await?,
    })
}
