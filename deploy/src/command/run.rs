//! `isobar run`: runs a topology, serves its HTTP API, and says at the end what became of each record.

mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use isobar_topology::spec::units;
use isobar_topology::{Domain, Finish, OperatorError, clock};

use super::Context;
use super::signals::Signals;
use crate::cli::{FileArgs, MetricsArgs, OutputArgs};
use crate::configuration;
use crate::exit::{Exit, Failure, Outcome};
use crate::http::{self, Bind, Server};
use crate::lag::Watches;
use crate::metrics::Recorder;
use crate::observer::Observer;
use crate::output::{Format, number};
use crate::plan_document::PlanDocument;
use crate::progress::{Progress, Screen};
use report::{End, Report};

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

    /// Where the HTTP API listens: HOST:PORT, or `off`. Port 0 takes any free one and logs it. The API
    /// shows no records and has no password: whoever reaches the address sees numbers and
    /// configuration.
    #[arg(long, value_name = "ADDR", default_value = http::DEFAULT)]
    http: Bind,

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

The report at the end goes to standard error; with -o json to standard output.

While it runs:
  curl http://127.0.0.1:10132/readyz        is it reading, and why not
  curl http://127.0.0.1:10132/accounting    what became of every record
  curl http://127.0.0.1:10132/              all that can be asked for";

/// How often the run is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long closing may take after giving up: the systems that would be waited for are away.
const CLOSE_AFTER_GIVING_UP: Duration = Duration::from_secs(10);

pub(super) fn execute(args: &RunArgs, mut context: Context<'_>) -> Outcome {
    let (file, plan) = args.file.plan(&mut context.environment, context.registry)?;
    let document = PlanDocument::of(&plan);
    let settings = &file.spec()?.settings;
    let lanes = plan.graph.lanes;
    let configuration = configuration::effective(file.tree(), settings, lanes, context.registry);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make the runtime of the HTTP API")?;
    runtime.block_on(async {
        // Before anything is started: an address in use stops the run.
        let server = Server::bind(&args.http, "--http").await?;
        let signals = Signals::listen()?;
        let running =
            isobar_topology::start(plan.graph, args.exit_when_caught_up).map_err(refused)?;
        let lag = Watches::start(file.spec()?, &running);
        let recorder = context.recorder.clone();
        let mut observer = Observer::new(running, document, configuration, recorder, lag);
        observer.metrics = args.metrics.options();
        let observer = Arc::new(observer);
        announce(&observer, server.as_ref());
        let run = Run {
            args,
            screen: &context.screen,
            observer: &observer,
            signals,
        };
        let serving = async {
            match server {
                Some(server) => server.serve(Arc::clone(&observer)).await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            end = run.watch() => end,
            never = serving => match never {},
        };
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
    })
}

/// A spout that cannot be started: what the topology file says is wrong, or something else.
fn refused(error: OperatorError) -> Failure {
    let exit = match error.domain {
        Domain::User => Exit::Usage,
        Domain::External | Domain::Internal => Exit::Failed,
    };
    Failure::new(exit, error.into())
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

/// A run under way.
struct Run<'a> {
    args: &'a RunArgs,
    screen: &'a Screen,
    observer: &'a Observer,
    signals: Signals,
}

impl Run<'_> {
    /// Waits until the topology ends: by itself, by signals, or because nothing moves.
    async fn watch(mut self) -> End {
        let running = &self.observer.running;
        let finished = running.finished();
        tokio::pin!(finished);
        let mut ticks = tokio::time::interval(TICK);
        let mut progress = Progress::new();
        let mut upkeep = clock::now();
        let mut stopped_by = None;
        loop {
            tokio::select! {
                biased;
                finish = &mut finished => return End::Finished { finish, stopped_by },
                signal = self.signals.next() => match stopped_by {
                    None => {
                        self.stop_on(signal);
                        stopped_by = Some(signal);
                    }
                    Some(_) => return End::CutShort(signal),
                },
                _ = ticks.tick() => {}
            }
            if clock::now() >= upkeep {
                self.observer.recorder.upkeep();
                upkeep = clock::now() + Recorder::UPKEEP_INTERVAL;
            }
            let account = self.observer.accounting();
            let elsewhere = running.health().progress();
            let still_for = progress.still_for(&account, elsewhere);
            let reasons = self.observer.reasons();
            self.screen.show(|| {
                let lag = self.observer.lag.total(&self.observer.running);
                progress.line(&account, lag, &reasons)
            });
            let bounded = self.args.exit_when_caught_up && stopped_by.is_none();
            if bounded && still_for >= self.args.give_up_after.get() {
                return self.give_up(reasons, &mut finished).await;
            }
        }
    }

    fn stop_on(&self, signal: &str) {
        let (records, _) = self.in_flight();
        tracing::info!(
            signal,
            in_flight = records,
            "Stopping: reading has ended, what is in flight is waited for; a second signal ends at once"
        );
        self.observer.stopping();
        self.observer.running.stop();
    }

    /// Ends a bounded run that does not get on. What is in flight is not waited for again.
    async fn give_up(
        &self,
        mut reasons: Vec<String>,
        finished: &mut (impl Future<Output = Finish> + Unpin),
    ) -> End {
        if reasons.is_empty() {
            let (records, _) = self.in_flight();
            reasons.push(format!(
                "no operator says what is wrong; {} records are in flight",
                number(records)
            ));
        }
        tracing::error!(
            reasons = reasons.join("; "),
            "Giving up: nothing was read or settled"
        );
        self.observer.stopping();
        self.observer.running.stop_within(Duration::ZERO);
        let _ = tokio::time::timeout(CLOSE_AFTER_GIVING_UP, finished).await;
        End::GaveUp {
            after: self.args.give_up_after.to_string(),
            reasons,
        }
    }

    fn in_flight(&self) -> (usize, usize) {
        let spouts = 0..self.observer.running.graph().spouts.len();
        let each = spouts.map(|spout| self.observer.running.in_flight(spout));
        each.fold((0, 0), |sum, (records, bytes)| {
            (sum.0 + records, sum.1 + bytes)
        })
    }
}
