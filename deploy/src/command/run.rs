//! `isobar run`: runs a topology, serves its HTTP API, and says at the end what became of each record.

mod from_group;
pub(super) mod report;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use isobar_topology::spec::units;

use super::api::Api;
use super::launch::{Launched, launch};
use super::runtime::block_on;
use super::signals::Signals;
use super::watch::{End, Run};
use super::{Context, doctor};
use crate::certificates::Certificates;
use crate::cli::{FileArgs, MetricsArgs, OutputArgs};
use crate::exit::{Failure, Outcome};
use crate::http::{self, Bind, Replays, Server};
use crate::lag;
use crate::metrics;
use crate::observer::Observer;
use crate::output::Format;
use crate::peers::Peers;
use crate::token::Token;
use report::Report;

/// What `run` takes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub struct RunArgs {
    #[command(flatten)]
    file: FileArgs,

    /// Reads what is there at the start, then ends.
    #[arg(long)]
    exit_when_caught_up: bool,

    /// With --exit-when-caught-up: ends with exit code 4 when nothing was read and nothing settled for
    /// so long, because an outside system is away. A replica without partitions gives up when the
    /// others commit nothing for so long.
    #[arg(long, value_name = "TIME", default_value = "60s")]
    give_up_after: units::Duration,

    /// Ends with exit code 3 when any record was rejected, though all else went well.
    #[arg(long)]
    fail_on_reject: bool,

    /// Starts where this consumer group is, where the topology's own group has committed nothing yet: for
    /// a new version beside the old one.
    #[arg(long, value_name = "GROUP", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    from_group: Option<String>,

    /// Where the HTTP API listens: HOST:PORT, or `off`. Port 0 takes any free one and logs it. Whoever
    /// reaches the address sees numbers and configuration, but no records and no secrets, and changes
    /// nothing without the token of --token-file.
    #[arg(long, value_name = "ADDR", default_value = http::DEFAULT)]
    http: Bind,

    /// A file with a token, 16 characters or more. Whoever sends it may pause the reading over the HTTP
    /// API, as `isobar pause` does, let it go on, see records, as `isobar tap` does, and replay, as `isobar
    /// replay` does. Without this option nobody can.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// A directory for the plans of replays that are asked for on the page or over the HTTP API, and for what
    /// came of them. Without it replays are shown there, paused and aborted, but not begun.
    #[arg(long, value_name = "DIR")]
    replay_dir: Option<PathBuf>,

    /// The HTTP APIs of the replicas of this topology, http://HOST:PORT separated by commas: the page, /lag
    /// and /replicas of this one show all of them then, and who does not answer. Its own address may be
    /// among them, so that all replicas can have the same list.
    #[arg(long, value_name = "URLS", value_delimiter = ',')]
    peers: Vec<Api>,

    #[command(flatten)]
    metrics: MetricsArgs,

    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLE: &str = "\
Examples:
  isobar run logs.yaml
  isobar run logs.yaml --exit-when-caught-up --fail-on-reject
  isobar run logs.yaml --http 0.0.0.0:8080 --log json
  isobar run logs-v2.yaml --from-group logs

The report at the end goes to standard error; with -o json to standard output.

While it runs, http://127.0.0.1:10132 in a browser shows it, isobar top does at a terminal, and for scripts:
  curl http://127.0.0.1:10132/readyz        is it reading, and why not
  curl http://127.0.0.1:10132/accounting    what became of every record
  curl http://127.0.0.1:10132/              all that can be asked for";

impl RunArgs {
    /// Refuses options of the HTTP API without one.
    fn check(&self) -> Result<(), Failure> {
        let given = [
            ("--token-file", self.token_file.is_some()),
            ("--replay-dir", self.replay_dir.is_some()),
            ("--peers", !self.peers.is_empty()),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) if self.http == Bind::Off => Err(Failure::usage(format!(
                "{option} is for the HTTP API, which --http off turns off: leave one of them out"
            ))),
            _ if self.replay_dir.is_some() && self.token_file.is_none() => Err(Failure::usage(
                "--replay-dir needs --token-file: without a token nobody may begin a replay",
            )),
            _ => Ok(()),
        }
    }
}

pub(super) fn execute(args: &RunArgs, mut context: Context<'_>) -> Outcome {
    let (file, plan) = args.file.plan(&mut context.environment, context.registry)?;
    let lanes = plan.graph.lanes;
    args.check()?;
    let token = args.token_file.as_deref().map(Token::read).transpose()?;
    let replays = Replays::of(&args.file, file.spec()?, args.replay_dir.as_deref())?;
    block_on(async {
        // Before anything is started or committed: an address in use stops the run, as does a file of headers
        // that is none.
        let server = Server::bind(&args.http, "--http HOST:PORT, or --http off").await?;
        let pushes = args.metrics.pushes(server.as_ref().map(Server::address))?;
        if let Some(other) = &args.from_group {
            for said in from_group::start_from(file.spec()?, other)? {
                context.screen.line(&format!("isobar: {said}"));
            }
        }
        let mut signals = Signals::listen()?;
        let Launched {
            mut observer,
            embedded: _services,
            spec,
        } = launch(
            &file,
            plan,
            &context,
            args.exit_when_caught_up,
            lag::INTERVAL,
        )?;
        let checks = doctor::at_start(&spec, lanes);
        observer.metrics = args.metrics.options();
        observer.token = token;
        observer.replays = Some(replays);
        observer.certificates = Certificates::watch(&spec, lanes);
        observer.peers = Peers::at(&args.peers, &observer);
        observer.pushes = pushes;
        let observer = Arc::new(observer);
        announce(&observer, server.as_ref());
        let run = Run {
            give_up_after: args.exit_when_caught_up.then_some(args.give_up_after),
            screen: &context.screen,
            observer: &observer,
            signals: &mut signals,
            goal: None,
        };
        let serving = async {
            match server {
                Some(server) => server.serve(Arc::clone(&observer)).await,
                None => std::future::pending().await,
            }
        };
        let figures = || Some(metrics::of(&observer));
        let pushing = observer.pushes.run(&figures);
        let end = tokio::select! {
            end = run.watch() => end,
            never = serving => match never {},
            never = pushing => match never {},
            never = observer.peers.run() => match never {},
        };
        if let Some(replays) = &observer.replays {
            tokio::select! {
                () = replays.end(matches!(end, End::CutShort(_))) => {}
                _ = signals.next() => replays.end(true).await,
            }
        }
        observer.pushes.last(&metrics::of(&observer)).await;
        checks.end();
        context.screen.clear();
        let report = Report::of(
            &observer,
            end,
            args.exit_when_caught_up,
            args.fail_on_reject,
        );
        match args.output.format {
            // Standard output may be that of a `console` bolt.
            Format::Table => context.screen.write(report.text().as_bytes()),
            Format::Json => context.output.json(&report)?,
        }
        report.say_why(&context.screen);
        Ok(report.exit())
    })?
}

fn announce(observer: &Observer, server: Option<&Server>) {
    let http = server.map(|server| format!("http://{}", server.address()));
    tracing::info!(
        topology = observer.plan.topology,
        lanes = observer.plan.lanes,
        version = crate::cli::VERSION,
        http = http.as_deref().unwrap_or("off"),
        "Started"
    );
}
